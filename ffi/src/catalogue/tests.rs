//! Rows from their beginning to their end, and files that are not as they should be.

use super::*;
use std::fs;

/// A folder that goes with its holder.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-cat-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn open(&self) -> Catalogue {
        Catalogue::open(&self.0.join("catalog.db")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn new(number: i64) -> NewRecord {
    NewRecord {
        filename: format!("recordings/r{number}.mp4"),
        media_type: MediaType::Video,
        encoding: Encoding::H264,
        camera: 1,
        stream: "cam1/main".into(),
        mode: "video".into(),
        timestamp_start_ms: 1_000 * number,
        resolution: "1920x1080".into(),
        fps: 30.0,
        title: String::new(),
    }
}

pub(super) fn end(number: i64) -> Finished {
    Finished {
        timestamp_end_ms: 1_000 * number + 500,
        duration_ms: 500,
        size: 100,
        state: State::Ready,
        error: None,
    }
}

#[test]
fn a_recording_from_its_beginning_to_its_end() {
    let folder = Folder::new("life");
    let mut engine = folder.open();
    let id = engine.begin(&new(1)).unwrap();
    assert!(matches!(engine.begin(&new(1)), Err(CatalogueError::Conflict(_))));
    let reader = Catalogue::open_reader(&folder.0.join("catalog.db")).unwrap();
    assert_eq!(reader.unfinished().unwrap()[0].id, id);
    let progress = Progress { timestamp_end_ms: 1_100, duration_ms: 100, size: 7 };
    engine.progress(&[(id, progress), (id + 1, progress)]).unwrap();
    let row = reader.record(id).unwrap().unwrap();
    assert_eq!((row.size, row.duration, row.state), (7, 100, State::Recording));
    engine.finish(id, &end(1)).unwrap();
    engine.progress(&[(id, progress)]).unwrap();
    assert_eq!(engine.missing_sha256(9).unwrap().len(), 1);
    engine.set_sha256(id, "ab").unwrap();
    assert!(
        engine.missing_sha256(9).unwrap().is_empty() && engine.unfinished().unwrap().is_empty()
    );
    let row = reader.by_filename("recordings/r1.mp4").unwrap().unwrap();
    assert_eq!((row.state, row.size, row.sha256.as_deref()), (State::Ready, 100, Some("ab")));
    assert_eq!(reader.newest(MediaType::Video).unwrap(), Some(row));
    assert_eq!(reader.newest(MediaType::Image).unwrap(), None);
    assert_eq!(reader.totals().unwrap().video, Total { count: 1, bytes: 100 });
    engine.remove(&[id, 77]).unwrap();
    assert_eq!(reader.totals().unwrap(), Totals::default());
    assert!(engine.begin(&new(2)).unwrap() > id, "a number is never given twice");
    assert!(matches!(engine.finish(77, &end(1)), Err(CatalogueError::NotFound(77))));
    assert!(matches!(engine.set_sha256(77, ""), Err(CatalogueError::NotFound(77))));
}

#[test]
fn files_without_rows_get_them_together_or_not_at_all() {
    let folder = Folder::new("adopt");
    let mut catalogue = folder.open();
    let found = |n| FoundRecord { record: new(n), end: end(n) };
    assert_eq!(catalogue.adopt(&[found(1), found(2)]).unwrap(), [1, 2]);
    assert!(catalogue.adopt(&[found(3), found(2)]).is_err());
    let mut names = Vec::new();
    catalogue
        .filenames(|id, name, size, state| names.push((id, name.to_owned(), size, state)))
        .unwrap();
    let row = |id| (id, format!("recordings/r{id}.mp4"), 100, State::Ready);
    assert_eq!(names, [row(1), row(2)]);
    assert_eq!(catalogue.totals().unwrap().video, Total { count: 2, bytes: 200 });
}

#[test]
fn what_may_be_removed_comes_oldest_first() {
    let folder = Folder::new("removable");
    let mut catalogue = folder.open();
    for n in [3, 1, 2, 4, 5] {
        catalogue.adopt(&[FoundRecord { record: new(n), end: end(n) }]).unwrap();
    }
    catalogue.begin(&new(0)).unwrap();
    let db = &catalogue.db;
    db.execute("UPDATE records SET protected = 1 WHERE timestamp_start = 2000", ()).unwrap();
    db.execute("UPDATE records SET state = 'defect' WHERE timestamp_start = 5000", ()).unwrap();
    let tag = "INSERT INTO tags(record_id, timestamp) SELECT id, 3100 FROM records
        WHERE timestamp_start = 3000";
    db.execute(tag, ()).unwrap();
    let starts = |catalogue: &Catalogue| {
        let rows = catalogue.oldest_removable(9).unwrap();
        rows.iter().map(|r| r.timestamp_start).collect::<Vec<_>>()
    };
    assert_eq!(starts(&catalogue), [1000, 4000]);
    let tagged = catalogue.record(1).unwrap().unwrap();
    assert_eq!(tagged.tag_markers, [100]);
    catalogue.db.execute("UPDATE tags SET deleted = 1", ()).unwrap();
    assert_eq!(starts(&catalogue), [1000, 3000, 4000]);
}

#[test]
fn a_file_of_a_newer_program_is_left_alone() {
    let folder = Folder::new("newer");
    let path = folder.0.join("catalog.db");
    folder.open().db.execute("INSERT INTO migrations VALUES(9, 0)", ()).unwrap();
    let before = fs::read(&path).unwrap();
    for opened in [Catalogue::open(&path), Catalogue::open_reader(&path)] {
        let Err(CatalogueError::Newer { found: 9, known: VERSION }) = opened else { panic!() };
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_damaged_file_is_moved_aside_and_said() {
    let folder = Folder::new("damaged");
    let path = folder.0.join("catalog.db");
    let aside = || {
        let names = fs::read_dir(&folder.0).unwrap().flatten().map(|e| e.file_name());
        names.filter(|n| n.to_string_lossy().starts_with("catalog.db.damaged-")).count()
    };
    fs::write(&path, "this is no database ".repeat(100)).unwrap();
    let mut first = folder.open();
    assert!(first.notes()[0].contains("damaged") && aside() == 1, "{:?}", first.notes());
    first.begin(&new(1)).unwrap();
    assert!(folder.open().notes().is_empty());
    // Found while it was used.
    first.mark_damaged().unwrap();
    let second = folder.open();
    assert_eq!((second.notes().len(), second.unfinished().unwrap().len()), (1, 0));
    assert!(first.is_replaced() && !second.is_replaced() && aside() >= 2);
}

#[test]
fn migrations_take_a_file_from_one_version_to_the_next_all_or_nothing() {
    let mut db = Connection::open_in_memory().unwrap();
    let one = "CREATE TABLE a(x); INSERT INTO a VALUES(1);";
    let two = "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1;";
    schema::migrate_by(&mut db, &[one], 10).unwrap();
    assert!(schema::migrate_by(&mut db, &[one, two, "nonsense"], 15).is_err());
    assert_eq!(schema::version(&db).unwrap(), 1);
    schema::migrate_by(&mut db, &[one, two], 20).unwrap();
    schema::migrate_by(&mut db, &[one, two], 30).unwrap();
    let y: i64 = db.query_row("SELECT y FROM a", (), |row| row.get(0)).unwrap();
    let at: String = db
        .query_row("SELECT group_concat(version || '@' || applied_at) FROM migrations", (), |r| {
            r.get(0)
        })
        .unwrap();
    assert_eq!((y, at.as_str()), (2, "1@10,2@20"));
    let older = schema::migrate_by(&mut db, &[one], 40);
    assert!(matches!(older, Err(CatalogueError::Newer { found: 2, known: 1 })));
}
