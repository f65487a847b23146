//! What outlives the process: settings, secrets, users, roles, tokens.
//!
//! One LMDB table under `DATA/state`, one transaction per set of changes, on the disk before
//! [`Store::commit`] returns. The table is small, so it is read once when the store is opened and
//! kept; reading cannot fail and never touches the file again.
//!
//! | key | value |
//! |---|---|
//! | `meta/…` | schema, variant |
//! | `setting/KEY` | JSON; what is secret in it is masked, and the whole is in `secret/setting/KEY` |
//! | `secret/KEY` | sealed with the device's key (`seal.rs`) |
//! | `user/NAME`, `role/NAME`, `token/HASH` | JSON, see [`crate::accounts`] |
//! | `password/NAME` | Argon2id hash, a PHC string |
//!
//! A store that cannot be used is no reason not to serve pictures: [`Store::open_or_volatile`]
//! gives one that forgets, and says so.

mod check;
mod lmdb;
mod seal;
mod transfer;

#[cfg(test)]
mod tests;

pub use check::check as check_file;
pub use transfer::{Import, Secrets};

use self::lmdb::Kv;
use lensd_ffi::settings::{MASK, find};
use lensd_ffi::time::utc_now;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use seal::Sealer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How large the store may become: thousands of times what a full configuration needs.
const MAP_SIZE: usize = 32 << 20;
/// The version of the table that is described above.
const SCHEMA: u64 = 1;
const SCHEMA_KEY: &str = "meta/schema";
/// Longest value. LMDB has no limit of its own that would be of use.
const MAX_VALUE: usize = 1 << 20;
const CHECKSUM: usize = 4;

/// Why something is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Another process has it open.
    InUse(String),
    /// The disk or the store is full. Nothing was changed.
    NoRoom(String),
    /// The file is not what it should be.
    Damaged(String),
    /// A newer version of this program wrote it.
    Newer(String),
    /// What was to be stored cannot be.
    Refused(String),
    /// Anything else, as the kernel or LMDB says it. Nothing was changed.
    Io(String),
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(why)
            | Self::NoRoom(why)
            | Self::Damaged(why)
            | Self::Newer(why)
            | Self::Refused(why)
            | Self::Io(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StoreError {}

/// Changes that are made together or not at all. Of two changes of one key the last one counts.
#[derive(Debug, Default, Clone)]
pub struct ChangeSet {
    puts: BTreeMap<String, Vec<u8>>,
    deletes: Vec<String>,
}

impl ChangeSet {
    /// Sets a key.
    pub fn put(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        let key = key.into();
        self.deletes.retain(|k| *k != key);
        self.puts.insert(key, value.into());
    }

    /// Whether it sets or deletes a key.
    pub fn has(&self, key: &str) -> bool {
        self.puts.contains_key(key) || self.deletes.iter().any(|deleted| deleted == key)
    }

    /// Sets a key to a value as JSON.
    ///
    /// # Errors
    /// `Refused`, if it has no JSON.
    pub fn put_json(
        &mut self,
        key: impl Into<String>,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|e| StoreError::Refused(e.to_string()))?;
        self.put(key, bytes);
        Ok(())
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, key: impl Into<String>) {
        let key = key.into();
        self.puts.remove(&key);
        self.deletes.push(key);
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// The store. It may be shared between threads; changes come one after the other.
#[derive(Debug)]
pub struct Store {
    inside: Mutex<Inside>,
    sealer: Sealer,
    notes: Vec<String>,
    fault: Option<String>,
    _lock: Option<File>,
}

#[derive(Debug)]
struct Inside {
    table: BTreeMap<String, Vec<u8>>,
    /// None: nothing is kept beyond the process.
    kv: Option<Kv>,
}

impl Store {
    /// Opens the store of a data folder, or makes it. A file that is damaged is moved aside, with
    /// what can be saved of it carried over, and [`Store::notes`] says so.
    ///
    /// # Errors
    /// `InUse`, `Newer`, `NoRoom`, `Io`.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        Self::open_sized(data, MAP_SIZE)
    }

    pub(crate) fn open_sized(data: &Path, map_size: usize) -> Result<Self, StoreError> {
        let folder = data.join("state");
        let fail = |e: std::io::Error| StoreError::Io(format!("{}: {e}", folder.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(fail)?;
        let lock = lock(&folder)?;
        let mut notes = Vec::new();
        let sealer = seal::device_key(&folder.join("device.key"), &mut notes)?;
        let (mut kv, table) = load(&folder, map_size, &mut notes)?;
        match table.get(SCHEMA_KEY).map(|v| serde_json::from_slice::<u64>(v)) {
            Some(Ok(SCHEMA)) => {}
            Some(_) => {
                return Err(StoreError::Newer(format!(
                    "{} was written by a newer lensd; use that one, or another data folder",
                    folder.display()
                )));
            }
            None => {
                let mut set = ChangeSet::default();
                set.put(SCHEMA_KEY, SCHEMA.to_string());
                kv.commit(&recorded(&set)?)?;
            }
        }
        let inside = Mutex::new(Inside { table, kv: Some(kv) });
        let store = Self { inside, sealer, notes, fault: None, _lock: Some(lock) };
        store.seal_settings()?;
        Ok(store)
    }

    /// Opens the store, or gives one that forgets when the process ends, so that the rest works.
    pub fn open_or_volatile(data: &Path) -> Self {
        Self::open(data).unwrap_or_else(|e| Self::volatile(Some(e.to_string())))
    }

    /// A store that forgets, and why.
    ///
    /// # Panics
    /// When the kernel has no randomness, or the library no AES: then there is nothing to serve.
    pub fn volatile(fault: Option<String>) -> Self {
        let key = seal::random().expect("the kernel has randomness");
        Self {
            inside: Mutex::new(Inside { table: BTreeMap::new(), kv: None }),
            sealer: Sealer::new(&key).expect("AES-256-GCM is there"),
            notes: Vec::new(),
            fault,
            _lock: None,
        }
    }

    /// Why nothing is kept, if that is so.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What a person should know of the opening.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The value of a key.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.inside.lock().table.get(key).cloned()
    }

    /// The value of a key, from JSON. One that is something else is as good as none.
    pub fn read_json<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(&self.read(key)?).ok()
    }

    /// All keys that begin with `prefix`, without it, and their values.
    pub fn scan(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let inside = self.inside.lock();
        let found = inside.table.range(prefix.to_owned()..);
        found.map_while(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
    }

    /// Makes all changes of a set, or none, and returns when they are on the disk.
    ///
    /// # Errors
    /// `NoRoom`, `Refused`, `Io`: nothing has changed.
    pub fn commit(&self, changes: &ChangeSet) -> Result<(), StoreError> {
        let mut inside = self.inside.lock();
        let records = recorded(changes)?;
        if let Some(kv) = &mut inside.kv {
            kv.commit(&records)?;
        }
        for key in &changes.deletes {
            inside.table.remove(key);
        }
        inside.table.extend(changes.puts.clone());
        Ok(())
    }

    /// All settings that are stored.
    pub fn load_settings(&self) -> BTreeMap<String, Value> {
        let stored = self.scan("setting/");
        let value = |(key, bytes): (String, Vec<u8>)| {
            let value = self.open_setting(&key, serde_json::from_slice(&bytes).ok()?)?;
            Some((key, value))
        };
        stored.into_iter().filter_map(value).collect()
    }

    /// Stores settings together; none: back to what is built in.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn save_settings(&self, changes: &[(String, Option<Value>)]) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        for (name, value) in changes {
            match value {
                Some(value) => self.put_setting(&mut set, name, value)?,
                None => {
                    set.delete(format!("setting/{name}"));
                    set.delete(format!("secret/setting/{name}"));
                }
            }
        }
        self.commit(&set)
    }

    /// Adds a setting to a set of changes: what is secret in it is sealed, with all of it.
    fn put_setting(
        &self,
        set: &mut ChangeSet,
        name: &str,
        value: &Value,
    ) -> Result<(), StoreError> {
        let shown = find(name).map(|entry| entry.masked(value));
        set.put_json(format!("setting/{name}"), shown.as_ref().unwrap_or(value))?;
        // A value that is masked already comes from an export; what it hides may be here.
        if shown.is_some_and(|shown| shown != *value) {
            let text = serde_json::to_vec(value).map_err(|e| StoreError::Refused(e.to_string()))?;
            self.put_secret(set, &format!("setting/{name}"), &Zeroizing::new(text))?;
        }
        Ok(())
    }

    /// A stored setting with what is secret in it; none if that is not here.
    fn open_setting(&self, name: &str, stored: Value) -> Option<Value> {
        let masked = find(name).filter(|e| !e.key.secrets.is_empty());
        let Some(entry) = masked.filter(|_| stored.to_string().contains(MASK)) else {
            return Some(stored);
        };
        let open = self.load_secret(&format!("setting/{name}"));
        let open = open.and_then(|text| serde_json::from_slice(&text).ok());
        let open = open.filter(|open| entry.masked(open) == stored);
        if open.is_none() {
            tracing::warn!(key = name, "what is secret of this setting is not here; set it again");
        }
        open
    }

    /// Seals what an earlier version has stored as it was.
    fn seal_settings(&self) -> Result<(), StoreError> {
        let plain = |(name, value): &(String, Value)| {
            find(name).is_some_and(|entry| entry.masked(value) != *value)
        };
        let stored = self.scan("setting/").into_iter();
        let stored = stored.filter_map(|(name, v)| Some((name, serde_json::from_slice(&v).ok()?)));
        let old: Vec<_> = stored.filter(plain).map(|(name, v)| (name, Some(v))).collect();
        if old.is_empty() { Ok(()) } else { self.save_settings(&old) }
    }

    /// Stores a secret, sealed.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn save_secret(&self, key: &str, secret: &[u8]) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        self.put_secret(&mut set, key, secret)?;
        self.commit(&set)
    }

    /// Adds a secret, sealed, to a set of changes.
    ///
    /// # Errors
    /// `Io`, without randomness.
    pub fn put_secret(
        &self,
        set: &mut ChangeSet,
        key: &str,
        secret: &[u8],
    ) -> Result<(), StoreError> {
        set.put(format!("secret/{key}"), self.sealer.seal(key, secret)?);
        Ok(())
    }

    /// A secret. None if there is none, or if it was sealed with the key of another device.
    pub fn load_secret(&self, key: &str) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = self.read(&format!("secret/{key}"))?;
        let open = self.sealer.open(key, &sealed);
        if open.is_none() {
            tracing::warn!(key, "a secret cannot be read with this device's key; set it again");
        }
        open
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn delete_secret(&self, key: &str) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        set.delete(format!("secret/{key}"));
        self.commit(&set)
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| StoreError::Io(format!("{}: {e}", path.display())))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| StoreError::InUse(format!("another process has {} open", folder.display())))?;
    Ok(file)
}

/// Opens the file, or moves it aside and begins anew with what could be read of it.
fn load(
    folder: &Path,
    map_size: usize,
    notes: &mut Vec<String>,
) -> Result<(Kv, BTreeMap<String, Vec<u8>>), StoreError> {
    let file = folder.join("data.mdb");
    let whole = match fs::read(&file) {
        Ok(bytes) if bytes.is_empty() => Ok(()),
        Ok(bytes) => check::check(&bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => return Err(StoreError::Io(format!("{}: {e}", file.display()))),
    };
    let (saved, why) = match whole {
        Err(why) => (BTreeMap::new(), why),
        Ok(()) => match read_all(folder, map_size) {
            Ok((kv, table, 0)) => return Ok((kv, table)),
            Ok((_, table, lost)) => (table, format!("{lost} of its entries are damaged")),
            Err(StoreError::Damaged(why)) => (BTreeMap::new(), why),
            Err(e) => return Err(e),
        },
    };
    let aside = set_aside(folder)
        .map_err(|e| StoreError::Io(format!("{} cannot be moved: {e}", file.display())))?;
    notes.push(format!(
        "the store {} was damaged ({why}): kept in {}; {}",
        file.display(),
        aside.display(),
        if saved.is_empty() { "a new one was made" } else { "the rest of it was carried over" }
    ));
    let mut kv = Kv::open(folder, map_size)?;
    let mut set = ChangeSet::default();
    saved.iter().for_each(|(key, value)| set.put(key.clone(), value.clone()));
    kv.commit(&recorded(&set)?)?;
    Ok((kv, saved))
}

/// All entries whose checksum is right, and how many are not so.
type All = (Kv, BTreeMap<String, Vec<u8>>, usize);

fn read_all(folder: &Path, map_size: usize) -> Result<All, StoreError> {
    let kv = Kv::open(folder, map_size)?;
    let mut table = BTreeMap::new();
    let mut lost = 0;
    for (key, record) in kv.scan("")? {
        match String::from_utf8(key).ok().and_then(|key| Some((unrecord(&key, &record)?, key))) {
            Some((value, key)) => _ = table.insert(key, value),
            None => lost += 1,
        }
    }
    Ok((kv, table, lost))
}

/// Moves the files to a folder that bears the time.
fn set_aside(folder: &Path) -> std::io::Result<PathBuf> {
    let secs = utc_now().millis() / 1000;
    let aside = (0..)
        .map(|n| folder.join(format!("damaged-{secs}-{n}")))
        .find(|path| !path.exists())
        .unwrap_or_default();
    DirBuilder::new().mode(0o700).create(&aside)?;
    fs::rename(folder.join("data.mdb"), aside.join("data.mdb"))?;
    let _ = fs::rename(folder.join("lock.mdb"), aside.join("lock.mdb"));
    File::open(folder)?.sync_all()?;
    Ok(aside)
}

/// The changes as they stand in the file: each value behind its checksum.
fn recorded(changes: &ChangeSet) -> Result<ChangeSet, StoreError> {
    let mut puts = BTreeMap::new();
    for (key, value) in &changes.puts {
        if key.is_empty() || key.len() > lmdb::MAX_KEY || value.len() > MAX_VALUE {
            return Err(StoreError::Refused(format!(
                "a key may have 1 to {} bytes and a value {MAX_VALUE}",
                lmdb::MAX_KEY
            )));
        }
        let mut record = checksum(key, value).to_le_bytes().to_vec();
        record.extend_from_slice(value);
        puts.insert(key.clone(), record);
    }
    let deletes = changes.deletes.clone();
    Ok(ChangeSet { puts, deletes })
}

fn unrecord(key: &str, record: &[u8]) -> Option<Vec<u8>> {
    let (sum, value) = record.split_first_chunk::<CHECKSUM>()?;
    (u32::from_le_bytes(*sum) == checksum(key, value)).then(|| value.to_vec())
}

/// CRC-32 over key and value: LMDB has no checksums of its own.
fn checksum(key: &str, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(value);
    hasher.finalize()
}
