//! The tables, and how one version of them becomes the next.
//!
//! Names are those that users of the file read (SURFACE section 8). Nothing but a migration changes
//! a table, and a migration that has been published is never changed.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::CatalogueError;

/// All of them; the first is version 1. The file says in `migrations` which it has had.
const MIGRATIONS: &[&str] = &[TABLES, COPIES];

/// The version that this program writes.
pub const VERSION: usize = MIGRATIONS.len();

/// How rows are found fast whatever is asked: rows that agree in camera, stream, mode, kind and
/// state have one *facet*, of which there are a few dozen, and each offered order has one index
/// that begins with the facet. A filter on any of those is a choice of facets, and a page is merged
/// from their indexes. The facets' counts are kept by triggers, so totals need no counting.
const TABLES: &str = "
CREATE TABLE facets(
    id INTEGER PRIMARY KEY,
    media_type TEXT NOT NULL,
    camera INTEGER NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    count INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE(media_type, camera, mode, state)
);
CREATE TABLE records(
    -- A number is never given twice: URLs and thumbnails are named by it.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    filename TEXT NOT NULL UNIQUE,
    media_type TEXT NOT NULL CHECK(media_type IN ('video', 'image')),
    encoding TEXT NOT NULL,
    timestamp_start INTEGER NOT NULL,
    timestamp_end INTEGER,
    duration INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    resolution TEXT NOT NULL DEFAULT '',
    fps REAL NOT NULL DEFAULT 0,
    state TEXT NOT NULL CHECK(state IN ('ready', 'recording', 'defect')),
    -- Where its tags are, in ms from its start, as a JSON array: kept by triggers.
    tag_markers TEXT NOT NULL DEFAULT '[]',
    sha256 TEXT,
    camera INTEGER NOT NULL DEFAULT 0,
    stream TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL DEFAULT '',
    title TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    protected INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    facet INTEGER
);
CREATE TABLE categories(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    color TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
);
CREATE TABLE tags(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    category_id INTEGER REFERENCES categories(id) ON DELETE SET NULL,
    record_id INTEGER NOT NULL REFERENCES records(id) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL DEFAULT '',
    deleted INTEGER NOT NULL DEFAULT 0
);

-- The offered orders, each with what the offered filters ask, so that rows are read only for what
-- is shown.
CREATE INDEX records_by_time ON records(facet, timestamp_start, id, size, duration);
CREATE INDEX records_by_size ON records(facet, size, id, timestamp_start, duration);
CREATE INDEX records_by_duration ON records(facet, duration, id, timestamp_start, size);
CREATE INDEX records_by_name ON records(facet, filename, id, timestamp_start, size);
-- What is asked of rows that were chosen by number, in a few pages.
CREATE INDEX records_by_id ON records(id, facet, timestamp_start, size, duration);
CREATE INDEX records_removable ON records(timestamp_start, id)
    WHERE state = 'ready' AND protected = 0 AND tag_markers = '[]';
CREATE INDEX records_unfinished ON records(id) WHERE state = 'recording';
CREATE INDEX records_unhashed ON records(id) WHERE state = 'ready' AND sha256 IS NULL;
CREATE INDEX tags_by_record ON tags(record_id, timestamp) WHERE deleted = 0;
CREATE INDEX tags_by_category ON tags(category_id, record_id) WHERE deleted = 0;
CREATE INDEX tags_by_title ON tags(title COLLATE NOCASE, record_id) WHERE deleted = 0;

-- Facets.
CREATE TRIGGER records_facet_insert AFTER INSERT ON records BEGIN
    INSERT OR IGNORE INTO facets(media_type, camera, mode, state)
        VALUES(new.media_type, new.camera, new.mode, new.state);
    UPDATE records SET facet = (SELECT id FROM facets WHERE media_type = new.media_type
        AND camera = new.camera AND mode = new.mode AND state = new.state) WHERE id = new.id;
    UPDATE facets SET count = count + 1, bytes = bytes + new.size
        WHERE media_type = new.media_type AND camera = new.camera AND mode = new.mode
        AND state = new.state;
END;
CREATE TRIGGER records_facet_delete AFTER DELETE ON records BEGIN
    UPDATE facets SET count = count - 1, bytes = bytes - old.size WHERE id = old.facet;
END;
CREATE TRIGGER records_facet_update AFTER UPDATE OF media_type, camera, mode, state, size ON records
BEGIN
    INSERT OR IGNORE INTO facets(media_type, camera, mode, state)
        VALUES(new.media_type, new.camera, new.mode, new.state);
    UPDATE facets SET count = count - 1, bytes = bytes - old.size WHERE id = old.facet;
    UPDATE facets SET count = count + 1, bytes = bytes + new.size
        WHERE media_type = new.media_type AND camera = new.camera AND mode = new.mode
        AND state = new.state;
    UPDATE records SET facet = (SELECT id FROM facets WHERE media_type = new.media_type
        AND camera = new.camera AND mode = new.mode AND state = new.state)
        WHERE id = new.id AND (old.media_type, old.camera, old.mode, old.state)
        IS NOT (new.media_type, new.camera, new.mode, new.state);
END;

-- Where the tags of a record are. (An ORDER BY among an aggregate's arguments would keep programs
-- with an SQLite before 3.44 from opening the file.)
CREATE TRIGGER tags_mark_insert AFTER INSERT ON tags BEGIN
    UPDATE records SET tag_markers = (SELECT json_group_array(at) FROM
        (SELECT timestamp - records.timestamp_start AS at FROM tags
        WHERE record_id = new.record_id AND deleted = 0 ORDER BY at))
        WHERE id = new.record_id;
END;
CREATE TRIGGER tags_mark_update AFTER UPDATE OF record_id, timestamp, deleted ON tags BEGIN
    UPDATE records SET tag_markers = (SELECT json_group_array(at) FROM
        (SELECT timestamp - records.timestamp_start AS at FROM tags
        WHERE record_id = records.id AND deleted = 0 ORDER BY at))
        WHERE id IN (old.record_id, new.record_id);
END;
CREATE TRIGGER tags_mark_delete AFTER DELETE ON tags BEGIN
    UPDATE records SET tag_markers = (SELECT json_group_array(at) FROM
        (SELECT timestamp - records.timestamp_start AS at FROM tags
        WHERE record_id = old.record_id AND deleted = 0 ORDER BY at))
        WHERE id = old.record_id;
END;

-- Full text. Empty texts are not in it: most rows have none.
CREATE VIRTUAL TABLE records_text USING fts5(title, note, content = 'records', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
CREATE VIRTUAL TABLE tags_text USING fts5(title, note, content = 'tags', content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
CREATE TRIGGER records_text_insert AFTER INSERT ON records
    WHEN new.title <> '' OR new.note <> '' BEGIN
    INSERT INTO records_text(rowid, title, note) VALUES(new.id, new.title, new.note);
END;
CREATE TRIGGER records_text_delete AFTER DELETE ON records
    WHEN old.title <> '' OR old.note <> '' BEGIN
    INSERT INTO records_text(records_text, rowid, title, note)
        VALUES('delete', old.id, old.title, old.note);
END;
CREATE TRIGGER records_text_update_old AFTER UPDATE OF title, note ON records
    WHEN old.title <> '' OR old.note <> '' BEGIN
    INSERT INTO records_text(records_text, rowid, title, note)
        VALUES('delete', old.id, old.title, old.note);
    INSERT INTO records_text(rowid, title, note)
        SELECT new.id, new.title, new.note WHERE new.title <> '' OR new.note <> '';
END;
CREATE TRIGGER records_text_update_new AFTER UPDATE OF title, note ON records
    WHEN old.title = '' AND old.note = '' AND (new.title <> '' OR new.note <> '') BEGIN
    INSERT INTO records_text(rowid, title, note) VALUES(new.id, new.title, new.note);
END;
CREATE TRIGGER tags_text_insert AFTER INSERT ON tags BEGIN
    INSERT INTO tags_text(rowid, title, note) VALUES(new.id, new.title, new.note);
END;
CREATE TRIGGER tags_text_delete AFTER DELETE ON tags BEGIN
    INSERT INTO tags_text(tags_text, rowid, title, note)
        VALUES('delete', old.id, old.title, old.note);
END;
CREATE TRIGGER tags_text_update AFTER UPDATE OF title, note ON tags BEGIN
    INSERT INTO tags_text(tags_text, rowid, title, note)
        VALUES('delete', old.id, old.title, old.note);
    INSERT INTO tags_text(rowid, title, note) VALUES(new.id, new.title, new.note);
END;
";

/// What is copied to network storage. `records.copy` says how far the copy of a file is, kept by
/// triggers like the sums in `copy_totals`; none: nobody has asked for one yet. Files without a copy
/// have an index of their own, so that those that are to be queued are found among any number.
const COPIES: &str = "
CREATE TABLE copies(
    record_id INTEGER PRIMARY KEY REFERENCES records(id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK(state IN ('queued', 'copied', 'failed', 'dropped')),
    size INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    -- It is not tried before this, UTC ms.
    next_at INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    -- Where it is, or goes: the storage, and the name there.
    target TEXT NOT NULL DEFAULT '',
    path TEXT NOT NULL DEFAULT '',
    -- S3's name of an upload in parts that is under way.
    upload TEXT NOT NULL DEFAULT '',
    copied_at INTEGER
);
CREATE INDEX copies_next ON copies(state, next_at, record_id);
CREATE INDEX copies_by_state ON copies(state, record_id);

-- Uploads that nobody will finish: their parts take room at the storage until they are ended.
CREATE TABLE copy_remains(
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    path TEXT NOT NULL,
    upload TEXT NOT NULL
);
CREATE TABLE copy_totals(
    state TEXT PRIMARY KEY,
    count INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO copy_totals(state) VALUES('queued'), ('copied'), ('failed'), ('dropped');

ALTER TABLE records ADD COLUMN copy TEXT;
CREATE INDEX records_uncopied ON records(media_type, (tag_markers <> '[]'), id)
    WHERE state = 'ready' AND copy IS NULL;
CREATE INDEX records_copied ON records(id)
    WHERE state = 'ready' AND copy = 'copied' AND protected = 0 AND tag_markers = '[]';

CREATE TRIGGER copies_insert AFTER INSERT ON copies BEGIN
    UPDATE records SET copy = new.state WHERE id = new.record_id;
    UPDATE copy_totals SET count = count + 1, bytes = bytes + new.size WHERE state = new.state;
END;
CREATE TRIGGER copies_update AFTER UPDATE OF state, size ON copies BEGIN
    UPDATE records SET copy = new.state WHERE id = new.record_id;
    UPDATE copy_totals SET count = count - 1, bytes = bytes - old.size WHERE state = old.state;
    UPDATE copy_totals SET count = count + 1, bytes = bytes + new.size WHERE state = new.state;
END;
CREATE TRIGGER copies_delete AFTER DELETE ON copies BEGIN
    UPDATE records SET copy = NULL WHERE id = old.record_id;
    UPDATE copy_totals SET count = count - 1, bytes = bytes - old.size WHERE state = old.state;
END;
CREATE TRIGGER copies_remain_delete AFTER DELETE ON copies WHEN old.upload <> '' BEGIN
    INSERT INTO copy_remains(target, path, upload) VALUES(old.target, old.path, old.upload);
END;
CREATE TRIGGER copies_remain_update AFTER UPDATE OF upload ON copies
    WHEN old.upload <> '' AND new.upload <> old.upload AND new.state <> 'copied' BEGIN
    INSERT INTO copy_remains(target, path, upload) VALUES(old.target, old.path, old.upload);
END;
";

/// Brings a file to [`VERSION`], all or nothing. `now_ms` is noted as the time of it.
///
/// # Errors
/// [`CatalogueError::Newer`] for a file of a newer program.
pub(super) fn migrate(db: &mut Connection, now_ms: i64) -> Result<(), CatalogueError> {
    migrate_by(db, MIGRATIONS, now_ms)
}

/// What the first version of the program made, for tests of the way from there.
#[cfg(test)]
pub(super) const fn first_version() -> [&'static str; 1] {
    [TABLES]
}

/// The same with other migrations, for tests of the way from one version to the next.
pub(super) fn migrate_by(
    db: &mut Connection,
    migrations: &[&str],
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let known = migrations.len();
    if version(db)? == known {
        return Ok(());
    }
    // The other plane may do the same at the same time: whoever comes second finds it done.
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations(
            version INTEGER PRIMARY KEY,
            applied_at INTEGER NOT NULL
        )",
    )?;
    let found = version(&change)?;
    if found > known {
        return Err(CatalogueError::Newer { found, known });
    }
    for (number, migration) in migrations.iter().enumerate().skip(found) {
        apply(&change, number + 1, migration, now_ms)?;
    }
    Ok(change.commit()?)
}

fn apply(db: &Transaction<'_>, number: usize, text: &str, now_ms: i64) -> rusqlite::Result<()> {
    db.execute_batch(text)?;
    let row = (i64::try_from(number).unwrap_or(i64::MAX), now_ms);
    db.execute("INSERT INTO migrations(version, applied_at) VALUES(?1, ?2)", row)?;
    Ok(())
}

/// The version of a file; 0 for one that is new.
pub(super) fn version(db: &Connection) -> rusqlite::Result<usize> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'migrations'";
    if db.query_row(there, (), |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM migrations";
    db.query_row(newest, (), |row| row.get::<_, i64>(0)).map(|n| usize::try_from(n).unwrap_or(0))
}
