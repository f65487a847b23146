//! What was recorded: one row for each recording and snapshot, tags, categories, and how they are
//! found among a million.
//!
//! `DATA/catalog.db` is SQLite with a write-ahead log. Both planes have it open: the engine enters
//! recordings and removes them with their files, control writes titles, notes, protection, tags and
//! categories. Nobody holds a transaction while waiting for something else, so who comes second
//! waits milliseconds. A crash loses no committed row, a power cut at most the last seconds
//! (`synchronous = NORMAL`), which the engine mends by comparing rows with files at the start.

mod copies;
mod labels;
mod query;
mod record;
mod schema;
mod write;

pub use copies::{Copy, CopyQuery, CopyTotals, CopyWish, Remains};
pub use labels::{
    Category, Labels, MAX_CATEGORIES, MAX_TAGS, NewTag, RecordChange, Tag, TagChange, TagQuery,
};
pub use query::{MAX_LIMIT, MAX_OFFSET, MAX_TEXT, Page, Query, Sort};
pub use record::{
    CopyState, Encoding, Finished, FoundRecord, MAX_NOTE, MAX_TITLE, MediaType, NewRecord,
    Progress, Record, State, Total, Totals,
};
pub use schema::VERSION;

use crate::time;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one waits for who writes at the moment.
const BUSY: Duration = Duration::from_secs(5);
/// Who may read it: its owner.
const OWN: u32 = 0o600;
/// Statements that are kept ready.
const STATEMENTS: usize = 128;

/// Why the catalogue did not do something.
#[derive(Debug)]
pub enum CatalogueError {
    /// A newer version of the program has made the file.
    Newer {
        /// Version of the file.
        found: usize,
        /// The newest that is known here.
        known: usize,
    },
    /// There is no row of this number.
    NotFound(i64),
    /// It is there already; the text says what.
    Conflict(String),
    /// A value that cannot be: which, and why.
    Invalid(&'static str, String),
    /// The file is damaged: open it again, which begins a new one.
    Damaged(rusqlite::Error),
    /// The disk is full, or may not be written.
    NoRoom(rusqlite::Error),
    /// SQLite.
    Sqlite(rusqlite::Error),
    /// The file system.
    Io(io::Error),
}

impl std::fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found, known } => write!(
                f,
                "the catalogue is of version {found}, this program knows {known}: \
                 use the newer program, or move catalog.db away"
            ),
            Self::NotFound(id) => write!(f, "there is no number {id}"),
            Self::Conflict(what) => f.write_str(what),
            Self::Invalid(_, why) => f.write_str(why),
            Self::Damaged(e) => write!(f, "the catalogue is damaged: {e}"),
            Self::NoRoom(e) => write!(f, "the catalogue cannot be written: {e}"),
            Self::Sqlite(e) => write!(f, "the catalogue: {e}"),
            Self::Io(e) => write!(f, "the catalogue's file: {e}"),
        }
    }
}

impl std::error::Error for CatalogueError {}

impl From<rusqlite::Error> for CatalogueError {
    fn from(e: rusqlite::Error) -> Self {
        match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(e),
            Some(ErrorCode::DiskFull | ErrorCode::ReadOnly) => Self::NoRoom(e),
            _ => Self::Sqlite(e),
        }
    }
}

impl From<io::Error> for CatalogueError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// The catalogue, opened.
#[derive(Debug)]
pub struct Catalogue {
    db: Connection,
    path: PathBuf,
    /// Which file it is, should another one take its place.
    inode: u64,
    notes: Vec<String>,
}

impl Catalogue {
    /// Opens the file, makes it if it is not there, and brings it to the present version. A damaged
    /// file is moved aside to `catalog.db.damaged-TIME` (UTC ms) and a new one begun:
    /// [`Catalogue::notes`] says so. Its rows come back when files are compared with rows.
    ///
    /// # Errors
    /// [`CatalogueError::Newer`] for a file of a newer program; else when the file cannot be
    /// opened.
    pub fn open(path: &Path) -> Result<Self, CatalogueError> {
        // One at a time: both planes start together, and one file is moved aside once.
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(OWN)
            .open(beside(path, ".lock"))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let marked = beside(path, ".damaged").exists();
        let why = if marked {
            "it was found damaged while it was used".to_owned()
        } else {
            match Self::try_open(path) {
                Err(CatalogueError::Damaged(e)) => e.to_string(),
                done => return done,
            }
        };
        let aside = move_aside(path)?;
        let mut new = Self::try_open(path)?;
        let aside = aside.display();
        new.notes.push(format!(
            "the catalogue was damaged ({why}) and is now {aside}: a new one is begun, in which \
             recordings come back, tags and titles do not"
        ));
        Ok(new)
    }

    /// Opens a file that is there, for reading only.
    ///
    /// # Errors
    /// When it is not there, or cannot be read, or is of another version.
    pub fn open_reader(path: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        set_up(&db)?;
        let found = schema::version(&db)?;
        if found != VERSION {
            return Err(CatalogueError::Newer { found, known: VERSION });
        }
        Self::of(db, path)
    }

    fn try_open(path: &Path) -> Result<Self, CatalogueError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // SQLite would make it readable by all; its log gets the same mode.
        OpenOptions::new().create(true).append(true).mode(OWN).open(path)?;
        let mut db = Connection::open_with_flags(path, flags)?;
        set_up(&db)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        schema::migrate(&mut db, time::utc_now().millis())?;
        let catalogue = Self::of(db, path)?;
        catalogue.probe()?;
        Ok(catalogue)
    }

    fn of(db: Connection, path: &Path) -> Result<Self, CatalogueError> {
        use std::os::unix::fs::MetadataExt as _;
        let inode = fs::metadata(path)?.ino();
        Ok(Self { db, path: path.to_owned(), inode, notes: Vec::new() })
    }

    /// A look into every table and index; a whole check would take seconds for a million rows.
    fn probe(&self) -> Result<(), CatalogueError> {
        self.totals()?;
        self.unfinished()?;
        self.oldest_removable(1)?;
        self.missing_sha256(1)?;
        self.newest(MediaType::Video)?;
        Ok(())
    }

    /// What the opener should be told.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether another file, or none, is in the place of the one that is open: then open it again.
    pub fn is_replaced(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        !fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode)
    }

    /// Says to all that open the file from now on that it is damaged, after
    /// [`CatalogueError::Damaged`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn mark_damaged(&self) -> io::Result<()> {
        File::create(beside(&self.path, ".damaged")).map(|_| ())
    }
}

fn set_up(db: &Connection) -> Result<(), CatalogueError> {
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    // The log is cut to this when it is taken into the file.
    db.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    db.pragma_update(None, "cache_size", -64 * 1024)?;
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Moves a damaged file and its log out of the way.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = beside(path, &format!(".damaged-{}", time::utc_now().millis()));
    fs::rename(path, &aside).or_else(none_is_fine)?;
    for suffix in ["-wal", "-shm"] {
        fs::rename(beside(path, suffix), beside(&aside, suffix)).or_else(none_is_fine)?;
    }
    fs::remove_file(beside(path, ".damaged")).or_else(none_is_fine)?;
    Ok(aside)
}

fn none_is_fine(e: io::Error) -> io::Result<()> {
    if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) }
}

#[cfg(test)]
mod tests;
