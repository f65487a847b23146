//! The only place that knows LMDB: its successor `heed` opens the same files, and a swap would be
//! this file.
//!
//! `lmdb-rkv` is sound only if one is careful: an iterator may outlive its cursor, and a slice that
//! it returned changes under a later write. So values are copied out inside their transaction, no
//! iterator leaves a function, and one process opens a folder at a time ([`super::Store`] holds a
//! lock on it). For the same reason there are no stale reader slots: who opens the lock file alone
//! gets a fresh table, and [`Kv::open`] removes what a killed process left.

use super::{ChangeSet, StoreError};
use lmdb::{
    Cursor as _, Database, DatabaseFlags, Environment, Error, Transaction as _, WriteFlags,
};
use std::fs;
use std::path::{Path, PathBuf};

/// LMDB's own limit of a key.
pub(super) const MAX_KEY: usize = 511;

/// A key and its value.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// An open environment with one table.
pub(super) struct Kv {
    folder: PathBuf,
    map_size: usize,
    /// None only after a fault from which LMDB does not recover and that could not be mended.
    open: Option<(Environment, Database)>,
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Kv {
    /// Opens the files of a folder, or makes them. They never grow beyond `map_size` bytes.
    pub(super) fn open(folder: &Path, map_size: usize) -> Result<Self, StoreError> {
        // The slots of readers that are no more, and a mutex that its holder took with it.
        let _ = fs::remove_file(folder.join("lock.mdb"));
        let open = environment(folder, map_size)?;
        Ok(Self { folder: folder.to_owned(), map_size, open: Some(open) })
    }

    /// The value of a key.
    #[cfg_attr(not(test), expect(dead_code, reason = "the store keeps what it has scanned"))]
    pub(super) fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (env, db) = self.parts()?;
        let txn = env.begin_ro_txn().map_err(fault)?;
        match txn.get(*db, &key) {
            Ok(value) => Ok(Some(value.to_vec())),
            Err(Error::NotFound) => Ok(None),
            Err(e) => Err(fault(e)),
        }
    }

    /// All keys that begin with `prefix`, in order, with their values.
    pub(super) fn scan(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let (env, db) = self.parts()?;
        let txn = env.begin_ro_txn().map_err(fault)?;
        let mut cursor = txn.open_ro_cursor(*db).map_err(fault)?;
        let mut found = Vec::new();
        // An empty key cannot be looked for.
        let entries =
            if prefix.is_empty() { cursor.iter_start() } else { cursor.iter_from(prefix) };
        for entry in entries {
            let (key, value) = entry.map_err(fault)?;
            if !key.starts_with(prefix.as_bytes()) {
                break;
            }
            found.push((key.to_vec(), value.to_vec()));
        }
        Ok(found)
    }

    /// Writes all of it or nothing, and returns when it is on the disk.
    pub(super) fn commit(&mut self, changes: &ChangeSet) -> Result<(), StoreError> {
        let done = self.try_commit(changes);
        if matches!(done, Err(StoreError::Io(_) | StoreError::NoRoom(_))) {
            // After a failed write of its head an environment refuses everything. What is on the
            // disk is whole, so it is opened anew.
            self.open = None;
            self.open = environment(&self.folder, self.map_size).ok();
        }
        done
    }

    fn try_commit(&mut self, changes: &ChangeSet) -> Result<(), StoreError> {
        let (env, db) = self.parts()?;
        let mut txn = env.begin_rw_txn().map_err(fault)?;
        for key in &changes.deletes {
            match txn.del(*db, key, None) {
                Ok(()) | Err(Error::NotFound) => {}
                Err(e) => return Err(fault(e)),
            }
        }
        for (key, value) in &changes.puts {
            txn.put(*db, key, value, WriteFlags::empty()).map_err(fault)?;
        }
        txn.commit().map_err(fault)
    }

    fn parts(&self) -> Result<&(Environment, Database), StoreError> {
        let name = self.folder.display();
        self.open.as_ref().ok_or_else(|| StoreError::Io(format!("{name} cannot be opened again")))
    }
}

fn environment(folder: &Path, map_size: usize) -> Result<(Environment, Database), StoreError> {
    let env = Environment::new()
        .set_map_size(map_size)
        .open_with_permissions(folder, 0o600)
        .map_err(fault)?;
    let db = env.create_db(None, DatabaseFlags::empty()).map_err(fault)?;
    Ok((env, db))
}

fn fault(e: Error) -> StoreError {
    const NO_SPACE: i32 = rustix::io::Errno::NOSPC.raw_os_error();
    const QUOTA: i32 = rustix::io::Errno::DQUOT.raw_os_error();
    match e {
        Error::MapFull => StoreError::NoRoom("the store has reached its greatest size".to_owned()),
        Error::Other(NO_SPACE | QUOTA) => StoreError::NoRoom("the disk is full".to_owned()),
        Error::BadValSize => StoreError::Refused("a key is too long".to_owned()),
        Error::PageNotFound
        | Error::Corrupted
        | Error::Invalid
        | Error::VersionMismatch
        | Error::Incompatible => StoreError::Damaged(e.to_string()),
        e => StoreError::Io(e.to_string()),
    }
}
