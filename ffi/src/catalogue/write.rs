//! What the engine writes, and what it asks for that.

use super::record::{
    Finished, FoundRecord, MediaType, NewRecord, Progress, Record, State, Total, Totals,
};
use super::{Catalogue, CatalogueError};
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

impl Catalogue {
    pub(super) fn change(&mut self) -> Result<Transaction<'_>, CatalogueError> {
        // At once, so that two writers wait for each other at the beginning and not in the middle.
        Ok(self.db.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Enters a recording that begins; returns its number.
    ///
    /// # Errors
    /// [`CatalogueError::Conflict`] when its file is entered already.
    pub fn begin(&mut self, new: &NewRecord) -> Result<i64, CatalogueError> {
        let change = self.change()?;
        insert(&change, new)?;
        let id = change.last_insert_rowid();
        change.commit()?;
        Ok(id)
    }

    /// Notes how far recordings have come, all in one transaction. Numbers without a row and those
    /// that have ended are passed over.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn progress(&mut self, all: &[(i64, Progress)]) -> Result<(), CatalogueError> {
        let change = self.change()?;
        for (id, p) in all {
            change
                .prepare_cached(
                    "UPDATE records SET timestamp_end = ?2, duration = ?3, size = ?4
                     WHERE id = ?1 AND state = 'recording'",
                )?
                .execute(params![id, p.timestamp_end_ms, p.duration_ms, p.size])?;
        }
        Ok(change.commit()?)
    }

    /// Notes how a recording has ended.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`] without such a row.
    pub fn finish(&mut self, id: i64, end: &Finished) -> Result<(), CatalogueError> {
        let change = self.change()?;
        set_end(&change, id, end)?;
        Ok(change.commit()?)
    }

    /// Notes the SHA-256 of a file, in hexadecimal.
    ///
    /// # Errors
    /// [`CatalogueError::NotFound`] without such a row.
    pub fn set_sha256(&mut self, id: i64, sha256: &str) -> Result<(), CatalogueError> {
        let set = "UPDATE records SET sha256 = ?2 WHERE id = ?1";
        found(self.db.prepare_cached(set)?.execute(params![id, sha256])?, id)
    }

    /// Recordings that are said to be under way.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn unfinished(&self) -> Result<Vec<Record>, CatalogueError> {
        self.records("WHERE state = 'recording' ORDER BY id", &[])
    }

    /// The oldest finished ones whose SHA-256 is missing, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn missing_sha256(&self, limit: u32) -> Result<Vec<Record>, CatalogueError> {
        self.records("WHERE state = 'ready' AND sha256 IS NULL ORDER BY id LIMIT ?1", &[&limit])
    }

    /// A row; none if there is no such number.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn record(&self, id: i64) -> Result<Option<Record>, CatalogueError> {
        Ok(self.records("WHERE id = ?1", &[&id])?.pop())
    }

    /// The row of a file, named relative to `DATA/media`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn by_filename(&self, filename: &str) -> Result<Option<Record>, CatalogueError> {
        Ok(self.records("WHERE filename = ?1", &[&filename])?.pop())
    }

    /// The one that began last and is not defect; recordings under way count.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn newest(&self, media_type: MediaType) -> Result<Option<Record>, CatalogueError> {
        // A look into the index for each facet, instead of a sort.
        let id: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT newest.id FROM facets, records AS newest
                 WHERE facets.media_type = ?1 AND facets.state <> 'defect' AND facets.count > 0
                 AND newest.id = (SELECT id FROM records WHERE facet = facets.id
                    ORDER BY timestamp_start DESC, id DESC LIMIT 1)
                 ORDER BY newest.timestamp_start DESC, newest.id DESC LIMIT 1",
            )?
            .query_row([media_type], |row| row.get(0))
            .optional()?;
        id.map_or(Ok(None), |id| self.record(id))
    }

    /// Tells number, file, bytes and state of every row, in order of their files.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn filenames(
        &self,
        mut tell: impl FnMut(i64, &str, u64, State),
    ) -> Result<(), CatalogueError> {
        let mut all = self
            .db
            .prepare_cached("SELECT id, filename, size, state FROM records ORDER BY filename")?;
        let mut rows = all.query(())?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            tell(row.get(0)?, name, row.get(2)?, row.get(3)?);
        }
        Ok(())
    }

    /// Enters files that have none, all in one transaction; returns their numbers.
    ///
    /// # Errors
    /// [`CatalogueError::Conflict`] when one is entered already; then none is.
    pub fn adopt(&mut self, found: &[FoundRecord]) -> Result<Vec<i64>, CatalogueError> {
        let change = self.change()?;
        let mut ids = Vec::with_capacity(found.len());
        for FoundRecord { record, end } in found {
            insert(&change, record)?;
            let id = change.last_insert_rowid();
            set_end(&change, id, end)?;
            ids.push(id);
        }
        change.commit()?;
        Ok(ids)
    }

    /// Removes rows with their tags, all in one transaction; those that are not there count as
    /// removed. **Remove the files first:** a file without a row comes back at the next start.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn remove(&mut self, ids: &[i64]) -> Result<(), CatalogueError> {
        let change = self.change()?;
        for id in ids {
            change.prepare_cached("DELETE FROM records WHERE id = ?1")?.execute([id])?;
        }
        Ok(change.commit()?)
    }

    /// How many there are and how large they are together; this counts nothing.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn totals(&self) -> Result<Totals, CatalogueError> {
        let mut sums = self
            .db
            .prepare_cached("SELECT media_type, sum(count), sum(bytes) FROM facets GROUP BY 1")?;
        let mut rows = sums.query(())?;
        let mut totals = Totals::default();
        while let Some(row) = rows.next()? {
            let total = Total { count: row.get(1)?, bytes: row.get(2)? };
            match row.get(0)? {
                MediaType::Video => totals.video = total,
                MediaType::Image => totals.image = total,
            }
        }
        Ok(totals)
    }

    /// What retention may remove, oldest first, at most `limit`: ready, not protected, without
    /// tags.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn oldest_removable(&self, limit: u32) -> Result<Vec<Record>, CatalogueError> {
        let which = "WHERE state = 'ready' AND protected = 0 AND tag_markers = '[]'
            ORDER BY timestamp_start, id LIMIT ?1";
        self.records(which, &[&limit])
    }

    pub(super) fn records(
        &self,
        which: &str,
        with: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Record>, CatalogueError> {
        let query = format!("SELECT {} FROM records {which}", Record::COLUMNS);
        let mut query = self.db.prepare_cached(&query)?;
        let rows = query.query_map(with, Record::of_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn insert(change: &Transaction<'_>, new: &NewRecord) -> Result<(), CatalogueError> {
    let mut statement = change.prepare_cached(
        "INSERT INTO records(filename, media_type, encoding, camera, stream, mode, timestamp_start,
            resolution, fps, title, state)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'recording')",
    )?;
    let done = statement.execute(params![
        new.filename,
        new.media_type,
        new.encoding,
        new.camera,
        new.stream,
        new.mode,
        new.timestamp_start_ms,
        new.resolution,
        new.fps,
        new.title
    ]);
    match done {
        Err(rusqlite::Error::SqliteFailure(e, _))
            if e.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            Err(CatalogueError::Conflict(format!("the file {:?} has a row already", new.filename)))
        }
        done => done.map(|_| ()).map_err(CatalogueError::from),
    }
}

fn set_end(change: &Transaction<'_>, id: i64, end: &Finished) -> Result<(), CatalogueError> {
    let mut statement = change.prepare_cached(
        "UPDATE records SET timestamp_end = ?2, duration = ?3, size = ?4, state = ?5, error = ?6
         WHERE id = ?1",
    )?;
    let with = params![id, end.timestamp_end_ms, end.duration_ms, end.size, end.state, end.error];
    found(statement.execute(with)?, id)
}

pub(super) fn found(rows: usize, id: i64) -> Result<(), CatalogueError> {
    if rows == 0 { Err(CatalogueError::NotFound(id)) } else { Ok(()) }
}
