//! What is copied to network storage: which files wait for it, and what became of each.
//!
//! A file is queued when it is done and wanted, whoever ran at that moment: queueing looks for what
//! has no row here. A row goes with its recording.

use super::record::{CopyState, MediaType, Total};
use super::{Catalogue, CatalogueError};
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

/// Most uploads that are remembered to be ended at a storage: further ones are left to it.
const MOST_REMAINS: i64 = 1_000;
/// Most characters of an error.
const MAX_ERROR: usize = 300;

/// Which files are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyWish {
    /// Recordings.
    pub videos: bool,
    /// Snapshots.
    pub images: bool,
    /// Of these, only what has a tag.
    pub tagged_only: bool,
}

/// A file in the queue, or behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Its recording.
    pub id: i64,
    /// The file, relative to `DATA/media`.
    pub filename: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, in hexadecimal, once it is known.
    pub sha256: Option<String>,
    /// How far it is.
    pub state: CopyState,
    /// UTC ms.
    pub queued_at: i64,
    /// It is not tried before this, UTC ms.
    pub next_at: i64,
    /// How often it was tried in vain.
    pub attempts: u32,
    /// Why it was in vain.
    pub error: Option<String>,
    /// The storage where it is or goes; empty: it was not begun.
    pub target: String,
    /// Its name there.
    pub path: String,
    /// S3's name of an upload in parts that is under way; else empty.
    #[serde(skip)]
    pub upload: String,
    /// When it was there, UTC ms.
    pub copied_at: Option<i64>,
}

/// Which of them: in order of their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyQuery {
    /// Only those.
    pub state: Option<CopyState>,
    /// With a larger number than this.
    pub after: i64,
    /// Most of them.
    pub limit: u32,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CopyTotals {
    /// That wait.
    pub queued: Total,
    /// That are copied.
    pub copied: Total,
    /// That failed.
    pub failed: Total,
    /// That nobody wanted.
    pub dropped: Total,
}

/// An upload at a storage that nobody will finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Its number.
    pub id: i64,
    /// Name of the file at the storage.
    pub path: String,
    /// S3's name of the upload.
    pub upload: String,
}

const COPY: &str = "copies.record_id, records.filename, copies.size, records.sha256, copies.state,
    copies.queued_at, copies.next_at, copies.attempts, copies.error, copies.target, copies.path,
    copies.upload, copies.copied_at
    FROM copies JOIN records ON records.id = copies.record_id";

impl Catalogue {
    /// Queues files that are done, wanted and not queued yet, at most `most` in one transaction;
    /// how many.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn queue_copies(
        &mut self,
        wish: CopyWish,
        most: u32,
        now_ms: i64,
    ) -> Result<usize, CatalogueError> {
        let kinds = [(MediaType::Video, wish.videos), (MediaType::Image, wish.images)];
        let wanted = |change: &rusqlite::Connection, kind, tagged: bool, left: usize| {
            // By the index of those without a copy: the expression is its second column.
            change
                .prepare_cached(
                    "SELECT id FROM records WHERE state = 'ready' AND copy IS NULL
                     AND media_type = ?1 AND (tag_markers <> '[]') = ?2 ORDER BY id LIMIT ?3",
                )?
                .query_map(params![kind, tagged, left], |row| row.get::<_, i64>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        // Looked for without a lock first: mostly there is nothing.
        let find = |db: &rusqlite::Connection| -> Result<Vec<i64>, CatalogueError> {
            let mut ids = Vec::new();
            for (kind, _) in kinds.into_iter().filter(|(_, on)| *on) {
                for tagged in [true, false] {
                    let left = (most as usize).saturating_sub(ids.len());
                    if tagged || !wish.tagged_only {
                        ids.extend(wanted(db, kind, tagged, left)?);
                    }
                }
            }
            Ok(ids)
        };
        if find(&self.db)?.is_empty() {
            return Ok(0);
        }
        let change = self.change()?;
        let ids = find(&change)?;
        for id in &ids {
            change
                .prepare_cached(
                    "INSERT INTO copies(record_id, state, size, queued_at)
                     SELECT id, 'queued', size, ?2 FROM records WHERE id = ?1",
                )?
                .execute(params![id, now_ms])?;
        }
        change.commit()?;
        Ok(ids.len())
    }

    /// The next to be copied: what is new before what was in vain.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn next_copy(&self, now_ms: i64) -> Result<Option<Copy>, CatalogueError> {
        let which = "WHERE copies.state = 'queued' AND copies.next_at <= ?1
            ORDER BY copies.next_at, copies.record_id LIMIT 1";
        Ok(self.copies_where(which, &[&now_ms])?.pop())
    }

    /// One of them.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copy(&self, id: i64) -> Result<Option<Copy>, CatalogueError> {
        Ok(self.copies_where("WHERE copies.record_id = ?1", &[&id])?.pop())
    }

    /// Those of a query.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copies(&self, query: &CopyQuery) -> Result<Vec<Copy>, CatalogueError> {
        let by_state = "WHERE copies.state = ?1 AND copies.record_id > ?2
            ORDER BY copies.record_id LIMIT ?3";
        let all = "WHERE ?1 IS NULL AND copies.record_id > ?2 ORDER BY copies.record_id LIMIT ?3";
        let which = if query.state.is_some() { by_state } else { all };
        self.copies_where(which, &[&query.state, &query.after, &query.limit])
    }

    fn copies_where(
        &self,
        which: &str,
        with: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Copy>, CatalogueError> {
        let mut select = self.db.prepare_cached(&format!("SELECT {COPY} {which}"))?;
        let rows = select.query_map(with, |row| {
            Ok(Copy {
                id: row.get(0)?,
                filename: row.get(1)?,
                size: row.get(2)?,
                sha256: row.get(3)?,
                state: row.get(4)?,
                queued_at: row.get(5)?,
                next_at: row.get(6)?,
                attempts: row.get(7)?,
                error: row.get(8)?,
                target: row.get(9)?,
                path: row.get(10)?,
                upload: row.get(11)?,
                copied_at: row.get(12)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// How many there are and how large; this counts nothing.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copy_totals(&self) -> Result<CopyTotals, CatalogueError> {
        let mut select = self.db.prepare_cached("SELECT state, count, bytes FROM copy_totals")?;
        let mut rows = select.query(())?;
        let mut totals = CopyTotals::default();
        while let Some(row) = rows.next()? {
            let total = Total { count: row.get(1)?, bytes: row.get(2)? };
            match row.get(0)? {
                CopyState::Queued => totals.queued = total,
                CopyState::Copied => totals.copied = total,
                CopyState::Failed => totals.failed = total,
                CopyState::Dropped => totals.dropped = total,
            }
        }
        Ok(totals)
    }

    /// Notes where a copy goes, and the upload in parts that has begun; an empty one: none is
    /// under way. One that was noted before becomes remains.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`]: the recording, and with it the copy, is gone.
    pub fn copy_begun(
        &mut self,
        id: i64,
        target: &str,
        path: &str,
        upload: &str,
    ) -> Result<(), CatalogueError> {
        let set = "UPDATE copies SET target = ?2, path = ?3, upload = ?4 WHERE record_id = ?1";
        let rows = self.db.prepare_cached(set)?.execute(params![id, target, path, upload])?;
        super::write::found(rows, id)
    }

    /// Notes that a copy is there.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`]: the recording is gone meanwhile.
    pub fn copy_done(
        &mut self,
        id: i64,
        target: &str,
        path: &str,
        size: u64,
        now_ms: i64,
    ) -> Result<(), CatalogueError> {
        let set = "UPDATE copies SET state = 'copied', target = ?2, path = ?3, upload = '',
            size = ?4, copied_at = ?5, error = NULL WHERE record_id = ?1";
        let rows = self.db.prepare_cached(set)?.execute(params![id, target, path, size, now_ms])?;
        super::write::found(rows, id)
    }

    /// Notes that a copy was in vain; with `next_ms` it is tried again then, else it stays as failed
    /// until somebody wants it again.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`]: the recording is gone meanwhile.
    pub fn copy_failed(
        &mut self,
        id: i64,
        why: &str,
        next_ms: Option<i64>,
    ) -> Result<(), CatalogueError> {
        let why: String = why.chars().take(MAX_ERROR).collect();
        let state = if next_ms.is_some() { CopyState::Queued } else { CopyState::Failed };
        let set = "UPDATE copies SET state = ?2, attempts = attempts + 1, error = ?3,
            next_at = coalesce(?4, next_at) WHERE record_id = ?1";
        let rows = self.db.prepare_cached(set)?.execute(params![id, state, why, next_ms])?;
        super::write::found(rows, id)
    }

    /// Queues copies anew, as if they had never been tried: these, or with none all that failed and
    /// all that wait for their next time. How many.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`] for a number that is not there; then none is.
    pub fn retry_copies(&mut self, ids: Option<&[i64]>) -> Result<usize, CatalogueError> {
        const ANEW: &str = "UPDATE copies SET state = 'queued', next_at = 0, attempts = 0,
            error = NULL, copied_at = NULL";
        let change = self.change()?;
        let mut count = 0;
        match ids {
            None => {
                for which in ["state = 'failed'", "state = 'queued' AND next_at > 0"] {
                    count += change.execute(&format!("{ANEW} WHERE {which}"), ())?;
                }
            }
            Some(ids) => {
                for id in ids {
                    let set = format!("{ANEW} WHERE record_id = ?1");
                    super::write::found(change.prepare_cached(&set)?.execute([id])?, *id)?;
                    count += 1;
                }
            }
        }
        change.commit()?;
        Ok(count)
    }

    /// Takes copies out of the queue that are not there yet. How many.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`] for a number that is not in the queue; then none is.
    pub fn drop_copies(&mut self, ids: &[i64]) -> Result<usize, CatalogueError> {
        let change = self.change()?;
        for id in ids {
            let set = "UPDATE copies SET state = 'dropped', upload = '' WHERE record_id = ?1
                AND state <> 'copied'";
            super::write::found(change.prepare_cached(set)?.execute([id])?, *id)?;
        }
        change.commit()?;
        Ok(ids.len())
    }

    /// Recordings that are copied and neither tagged nor protected, behind number `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copied_removable(&self, after: i64, limit: u32) -> Result<Vec<i64>, CatalogueError> {
        let mut select = self.db.prepare_cached(
            "SELECT id FROM records WHERE state = 'ready' AND copy = 'copied' AND protected = 0
             AND tag_markers = '[]' AND id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = select.query_map(params![after, limit], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// An upload at a storage that nobody will finish.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copy_remains(&mut self, target: &str) -> Result<Option<Remains>, CatalogueError> {
        let select = "SELECT id, path, upload FROM copy_remains WHERE target = ?1 LIMIT 1";
        let mut select = self.db.prepare_cached(select)?;
        Ok(select
            .query_row([target], |row| {
                Ok(Remains { id: row.get(0)?, path: row.get(1)?, upload: row.get(2)? })
            })
            .optional()?)
    }

    /// That one is ended; those beyond the newest thousand are forgotten with it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn copy_remains_gone(&mut self, id: i64) -> Result<(), CatalogueError> {
        let change = self.change()?;
        change.execute("DELETE FROM copy_remains WHERE id = ?1", [id])?;
        let old = "DELETE FROM copy_remains WHERE id IN
            (SELECT id FROM copy_remains ORDER BY id DESC LIMIT -1 OFFSET ?1)";
        change.execute(old, [MOST_REMAINS])?;
        Ok(change.commit()?)
    }
}

#[cfg(test)]
mod tests;
