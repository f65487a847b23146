//! Users, roles, sessions and tokens: who there is, and what each may do.
//!
//! The store is the truth: an operation is checked against what is known, committed as one set of
//! changes, and then read back. All of it may take a disk's time, so it is done by workers under
//! one lock; the loop and the engine decide with the [`Table`] that comes out of it.
//!
//! | key | value |
//! |---|---|
//! | `user/NAME` | [`Record`]: nothing secret |
//! | `password/NAME` | Argon2id, what a log-in by password is checked with |
//! | `secret/user/NAME` | sealed: digests for Digest, and the password itself |
//! | `role/NAME` | permissions of a custom role, or of the guest |
//! | `token/SHA-256` | [`TokenRecord`] |
//!
//! The password itself is kept because a WS-UsernameToken digest (ONVIF) is made over it and can be
//! checked in no other way. When the device's key is lost, so are these secrets; log-ins by
//! password still work and make them anew.

mod command;
mod import;
mod legacy;
mod several;
mod tokens;

#[cfg(test)]
mod tests;

pub use command::{Command, Done, obey};
pub use import::check_import;
pub use tokens::{Begun, Kind, TokenRecord};

use crate::password;
use crate::store::{ChangeSet, Store, StoreError};
use lensd_ffi::auth::digest::Algorithm;
use lensd_ffi::auth::{REALM, Rights, Role, Token, User, Users};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use zeroize::{Zeroize as _, Zeroizing};

/// The user that exists from the start.
pub const ADMIN: &str = "admin";
/// Most users: the table of all is read by the engine whenever it changes.
const MAX_USERS: usize = 100;
/// Most roles besides those that are built in.
const MAX_ROLES: usize = 32;
/// Longest name, in bytes.
const MAX_NAME: usize = 64;

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing.
    NotFound(String),
    /// It would contradict what is there.
    Conflict(String),
    /// A value is wrong: which one, and what would be right.
    Invalid(&'static str, String),
    /// It is more than whoever asks may do himself.
    Denied(String),
    /// It cannot be stored.
    Store(StoreError),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound(why)
            | Self::Conflict(why)
            | Self::Invalid(_, why)
            | Self::Denied(why) => f.write_str(why),
            Self::Store(e) => e.fmt(f),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

/// What is stored of a user in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the role.
    pub role: String,
    /// What this user may do beyond the role.
    #[serde(default)]
    pub permissions: Rights,
    /// Counts changes of the password.
    #[serde(default)]
    pub generation: u64,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
    /// UTC milliseconds of the last change.
    #[serde(default)]
    pub changed: i64,
}

/// What is stored of a user, sealed.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Material {
    ha1_md5: String,
    ha1_sha256: String,
    /// None for a user who came from a version that did not keep it, until the next log-in.
    password: Option<String>,
}

impl Drop for Material {
    fn drop(&mut self) {
        self.password.zeroize();
        self.ha1_md5.zeroize();
        self.ha1_sha256.zeroize();
    }
}

/// Everything that is derived from a password. Making it takes a while.
pub struct Credential {
    phc: String,
    material: Material,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// For a user's new password.
    ///
    /// # Errors
    /// `Invalid`, when it may not be one.
    pub fn make(name: &str, password: &str) -> Result<Self, Refusal> {
        password::check(password).map_err(|why| Refusal::Invalid("password", why))?;
        Self::derive(name, password)
    }

    fn derive(name: &str, password: &str) -> Result<Self, Refusal> {
        let secret = Zeroizing::new(format!("{name}:{REALM}:{password}"));
        let material = Material {
            ha1_md5: Algorithm::Md5.hash(&secret),
            ha1_sha256: Algorithm::Sha256.hash(&secret),
            password: Some(password.to_owned()),
        };
        let phc = password::hash(password).map_err(|e| Refusal::Store(StoreError::Io(e)))?;
        Ok(Self { phc, material })
    }
}

/// The table that verdicts are made with, and its number: a higher one is newer.
#[derive(Debug, Clone)]
pub struct Table {
    /// Number.
    pub version: u64,
    /// Users and tokens.
    pub users: Users,
    /// For this plane alone.
    pub passwords: Passwords,
}

/// The passwords that are known, for what can be checked in no other way (WS-UsernameToken). They
/// stay in this process.
#[derive(Clone, Default)]
pub struct Passwords(Arc<BTreeMap<String, Zeroizing<String>>>);

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    /// A user's, if it is known.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|password| password.as_str())
    }
}

/// All accounts.
pub struct Accounts {
    store: Arc<Store>,
    users: BTreeMap<String, Record>,
    material: BTreeMap<String, Material>,
    /// Custom roles, and the guest's if it was changed.
    roles: BTreeMap<String, Rights>,
    tokens: BTreeMap<String, TokenRecord>,
    /// Sessions that the store has no room for: they last as long as this process.
    unkept: BTreeMap<String, TokenRecord>,
    version: u64,
    open: bool,
    /// How long a session lasts that is not used.
    session_ms: i64,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Those of a store. `open`: streams and stills may be read without a login.
    pub fn new(store: Arc<Store>, open: bool) -> Self {
        let mut accounts = Self {
            store,
            users: BTreeMap::new(),
            material: BTreeMap::new(),
            roles: BTreeMap::new(),
            tokens: BTreeMap::new(),
            unkept: BTreeMap::new(),
            version: 0,
            open,
            session_ms: tokens::SESSION_MS,
        };
        accounts.reload();
        accounts
    }

    /// Reads everything from the store anew.
    pub fn reload(&mut self) {
        fn parse<T: serde::de::DeserializeOwned>(
            store: &Store,
            prefix: &str,
        ) -> BTreeMap<String, T> {
            let entries = store.scan(prefix).into_iter();
            entries
                .filter_map(|(key, value)| match serde_json::from_slice(&value) {
                    Ok(value) => Some((key, value)),
                    Err(e) => {
                        tracing::error!("{prefix}{key} cannot be read and is left out: {e}");
                        None
                    }
                })
                .collect()
        }
        self.users = parse(&self.store, "user/");
        self.roles = parse(&self.store, "role/");
        // One that is built in is as it is built, whatever an earlier version has stored.
        self.roles.retain(|name, _| matches!(Role::parse(name), None | Some(Role::Guest)));
        self.tokens = parse(&self.store, "token/");
        self.unkept.retain(|_, token| self.users.contains_key(&token.user));
        self.tokens.extend(self.unkept.clone());
        self.material = self
            .users
            .keys()
            .filter_map(|name| {
                let secret = self.store.load_secret(&format!("user/{name}"))?;
                Some((name.clone(), serde_json::from_slice(&secret).ok()?))
            })
            .collect();
        self.version += 1;
    }

    /// For verdicts.
    pub fn table(&self) -> Table {
        let user = |(name, record): (&String, &Record)| {
            let material = self.material.get(name);
            User {
                name: name.clone(),
                role: record.role.clone(),
                rights: self.rights(record),
                generation: self.generation(record),
                ha1_md5: material.map(|m| m.ha1_md5.clone()).unwrap_or_default(),
                ha1_sha256: material.map(|m| m.ha1_sha256.clone()).unwrap_or_default(),
            }
        };
        let token = |(hash, record): (&String, &TokenRecord)| Token {
            sha256: hash.clone(),
            user: record.user.clone(),
            expires_ms: record.expires,
            rights: record.role.as_ref().map(|role| self.role(role).unwrap_or_default()),
        };
        let users = Users {
            realm: REALM.to_owned(),
            open: self.open,
            guest: self.role(Role::Guest.name()).unwrap_or_default(),
            users: self.users.iter().map(user).collect(),
            tokens: self.tokens.iter().map(token).collect(),
        };
        let known = |(name, material): (&String, &Material)| {
            Some((name.clone(), Zeroizing::new(material.password.clone()?)))
        };
        let passwords = Passwords(Arc::new(self.material.iter().filter_map(known).collect()));
        Table { version: self.version, users, passwords }
    }

    /// All users.
    pub const fn users(&self) -> &BTreeMap<String, Record> {
        &self.users
    }

    /// A user.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn user(&self, name: &str) -> Result<&Record, Refusal> {
        self.users.get(name).ok_or_else(|| Refusal::NotFound(format!("there is no user {name:?}")))
    }

    /// What a user may do.
    pub fn rights(&self, record: &Record) -> Rights {
        self.role(&record.role).unwrap_or_default().or(record.permissions)
    }

    /// What a role may do; none if there is no such role.
    pub fn role(&self, name: &str) -> Option<Rights> {
        self.roles.get(name).copied().or_else(|| Role::parse(name).map(Role::rights))
    }

    /// All roles: those that are built in, then the others.
    pub fn roles(&self) -> Vec<(String, Rights)> {
        let built_in = Role::ALL.iter().map(|r| r.name().to_owned());
        let custom = self.roles.keys().filter(|n| Role::parse(n).is_none()).cloned();
        built_in
            .chain(custom)
            .map(|n| (self.role(&n).unwrap_or_default(), n))
            .map(|(r, n)| (n, r))
            .collect()
    }

    /// Changes when anything does that a login rests on.
    fn generation(&self, record: &Record) -> u64 {
        let mut hasher = DefaultHasher::new();
        (record.generation, &record.role, self.rights(record).names()).hash(&mut hasher);
        record.created.hash(&mut hasher);
        // JSON numbers beyond 2^53 do not survive every reader.
        hasher.finish() >> 12
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict`, `Invalid`, `Store`.
    pub fn add(
        &mut self,
        name: &str,
        role: &str,
        permissions: Rights,
        credential: &Credential,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        check_name("username", name)?;
        if self.users.contains_key(name) {
            return Err(Refusal::Conflict(format!("there is a user {name:?} already")));
        }
        if self.users.len() >= MAX_USERS {
            return Err(Refusal::Conflict(format!("there can be {MAX_USERS} users")));
        }
        self.check_role(role)?;
        let record = Record {
            role: role.to_owned(),
            permissions,
            generation: 0,
            created: now_ms,
            changed: now_ms,
        };
        let mut set = ChangeSet::default();
        set.put_json(format!("user/{name}"), &record)?;
        self.put_credential(&mut set, name, credential)?;
        self.commit(&set)
    }

    /// Gives a user another password. His sessions, tokens and streams end.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub fn set_password(
        &mut self,
        name: &str,
        credential: &Credential,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut record = self.user(name)?.clone();
        record.generation += 1;
        record.changed = now_ms;
        let mut set = ChangeSet::default();
        set.put_json(format!("user/{name}"), &record)?;
        self.put_credential(&mut set, name, credential)?;
        self.end_tokens_of(&mut set, name);
        self.commit(&set)
    }

    /// Changes a user's role or own permissions. If that changes what he may do, his sessions,
    /// tokens and streams end.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for the last administrator, `Invalid`, `Store`.
    pub fn change(
        &mut self,
        name: &str,
        role: Option<&str>,
        permissions: Option<Rights>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let before = self.user(name)?.clone();
        let mut record = before.clone();
        if let Some(role) = role {
            self.check_role(role)?;
            role.clone_into(&mut record.role);
        }
        record.permissions = permissions.unwrap_or(record.permissions);
        if record == before {
            return Ok(());
        }
        if record.role != Role::Administrator.name() {
            self.check_not_last(name)?;
        }
        record.changed = now_ms;
        let mut set = ChangeSet::default();
        set.put_json(format!("user/{name}"), &record)?;
        self.end_tokens_of(&mut set, name);
        self.commit(&set)
    }

    /// Removes a user with all that is his.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for the last administrator, `Store`.
    pub fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        self.user(name)?;
        self.check_not_last(name)?;
        let mut set = ChangeSet::default();
        for prefix in ["user/", "password/", "secret/user/"] {
            set.delete(format!("{prefix}{name}"));
        }
        self.end_tokens_of(&mut set, name);
        self.commit(&set)
    }

    /// Makes or changes a custom role, or says what a guest may do. What its users had open ends.
    ///
    /// # Errors
    /// `Invalid`, `Conflict`, `Store`.
    pub fn put_role(&mut self, name: &str, rights: Rights) -> Result<(), Refusal> {
        check_name("name", name)?;
        check_role_rights(name, rights)?;
        let custom = self.roles.keys().filter(|n| Role::parse(n).is_none()).count();
        if Role::parse(name).is_none() && !self.roles.contains_key(name) && custom >= MAX_ROLES {
            return Err(Refusal::Conflict(format!("there can be {MAX_ROLES} custom roles")));
        }
        let mut set = ChangeSet::default();
        set.put_json(format!("role/{name}"), &rights)?;
        self.commit(&set)
    }

    /// Removes a custom role, or gives the guest back what the factory gave.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while somebody has it, `Store`.
    pub fn remove_role(&mut self, name: &str) -> Result<(), Refusal> {
        match Role::parse(name) {
            Some(Role::Guest) => {}
            Some(_) => return Err(Refusal::Conflict(format!("the role {name} is built in"))),
            None if !self.roles.contains_key(name) => {
                return Err(Refusal::NotFound(format!("there is no role {name:?}")));
            }
            None => {}
        }
        let user = self.users.iter().find(|(_, r)| r.role == name).map(|(n, _)| n);
        let token = self.tokens.values().find(|t| t.role.as_deref() == Some(name)).map(|t| &t.user);
        if let Some(holder) = user.or(token) {
            return Err(Refusal::Conflict(format!("{holder} has the role {name}")));
        }
        let mut set = ChangeSet::default();
        set.delete(format!("role/{name}"));
        self.commit(&set)
    }

    /// How a password is checked, without holding the lock for as long as it takes.
    fn check_of(&self, name: &str) -> Check {
        let Some(record) = self.users.get(name) else { return Check::Nobody };
        match self.store.read(&format!("password/{name}")).and_then(|b| String::from_utf8(b).ok()) {
            Some(phc) => {
                let whole = self.material.get(name).is_some_and(|m| m.password.is_some());
                Check::Hash { phc, whole, generation: record.generation }
            }
            // From a version that had no such hashes.
            None => match self.material.get(name) {
                Some(m) => {
                    Check::Digest { ha1: m.ha1_sha256.clone(), generation: record.generation }
                }
                None => Check::Nobody,
            },
        }
    }

    /// Adds to a user what his right password tells and was not known.
    fn complete(&mut self, name: &str, generation: u64, credential: &Credential) {
        // Unless it has been changed since it was checked.
        if self.users.get(name).is_none_or(|r| r.generation != generation) {
            return;
        }
        let mut set = ChangeSet::default();
        let done = self
            .put_credential(&mut set, name, credential)
            .map_err(Refusal::from)
            .and_then(|()| self.commit(&set));
        if let Err(e) = done {
            tracing::warn!("what belongs to {name}'s password cannot be stored: {e}");
        }
    }

    fn put_credential(
        &self,
        set: &mut ChangeSet,
        name: &str,
        credential: &Credential,
    ) -> Result<(), StoreError> {
        set.put(format!("password/{name}"), credential.phc.clone());
        let material = serde_json::to_vec(&credential.material)
            .map_err(|e| StoreError::Refused(e.to_string()))?;
        self.store.put_secret(set, &format!("user/{name}"), &Zeroizing::new(material))
    }

    fn check_role(&self, role: &str) -> Result<(), Refusal> {
        if self.role(role).is_some() && role != Role::Guest.name() {
            return Ok(());
        }
        let names = self.roles().into_iter().map(|(n, _)| n).filter(|n| n != Role::Guest.name());
        let names: Vec<String> = names.collect();
        let message = format!("there is no role {role:?}; there are {}", names.join(", "));
        Err(Refusal::Invalid("role", message))
    }

    /// Without an administrator nobody could ever make one again.
    fn check_not_last(&self, name: &str) -> Result<(), Refusal> {
        let administrator = |r: &Record| r.role == Role::Administrator.name();
        let is_one = self.users.get(name).is_some_and(administrator);
        let others = self.users.iter().any(|(n, r)| n != name && administrator(r));
        if is_one && !others {
            let why = format!("{name} is the last administrator; make another one first");
            return Err(Refusal::Conflict(why));
        }
        Ok(())
    }

    fn commit(&mut self, set: &ChangeSet) -> Result<(), Refusal> {
        self.store.commit(set)?;
        self.unkept.retain(|hash, _| !set.has(&format!("token/{hash}")));
        self.reload();
        Ok(())
    }

    /// Sees to it that somebody can administer: gives the first user the password that is given,
    /// or, when there are no users at all, one that is made up. Returns that one, to be shown once.
    /// For the start only: it may take a while.
    ///
    /// # Errors
    /// `Invalid`, `Store`.
    pub fn ensure_admin(
        &mut self,
        given: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<Zeroizing<String>>, Refusal> {
        let made = match given {
            None if self.users.is_empty() => {
                let made = password::generate();
                Some(Zeroizing::new(made.map_err(|e| StoreError::Io(e.to_string()))?))
            }
            None => return Ok(None),
            Some(_) => None,
        };
        let password = given.or(made.as_ref().map(|m| m.as_str())).unwrap_or_default();
        if !self.users.contains_key(ADMIN) {
            let credential = Credential::make(ADMIN, password)?;
            let role = Role::Administrator.name();
            self.add(ADMIN, role, Rights::NONE, &credential, now_ms)?;
            return Ok(made);
        }
        // The same one at every start must not end what is open.
        if !matches!(self.check_of(ADMIN), Check::Hash { phc, .. } if password::verify(&phc, password))
        {
            let credential = Credential::make(ADMIN, password)?;
            self.set_password(ADMIN, &credential, now_ms)?;
        }
        self.change(ADMIN, Some(Role::Administrator.name()), None, now_ms)?;
        Ok(made)
    }
}

/// How a password is checked.
enum Check {
    Nobody,
    Hash {
        phc: String,
        /// Whether all is known that the password tells.
        whole: bool,
        generation: u64,
    },
    Digest {
        ha1: String,
        generation: u64,
    },
}

impl Check {
    fn is_right(&self, name: &str, password: &str) -> bool {
        match self {
            Self::Nobody => password::verify_nothing(password),
            Self::Hash { phc, .. } => password::verify(phc, password),
            Self::Digest { ha1, .. } => {
                let secret = Zeroizing::new(format!("{name}:{REALM}:{password}"));
                let given = Algorithm::Sha256.hash(&secret);
                lensd_ffi::auth::digest::same(ha1, &given)
            }
        }
    }

    /// For which generation something is missing.
    const fn lacks(&self) -> Option<u64> {
        match self {
            Self::Hash { whole: false, generation, .. } | Self::Digest { generation, .. } => {
                Some(*generation)
            }
            _ => None,
        }
    }
}

/// Whether a password is a user's. **It takes as long as a hash does: never call it on the loop.**
pub fn is_password(accounts: &parking_lot::Mutex<Accounts>, name: &str, password: &str) -> bool {
    let check = accounts.lock().check_of(name);
    if !check.is_right(name, password) {
        return false;
    }
    if let Some(generation) = check.lacks()
        && let Ok(credential) = Credential::derive(name, password)
    {
        accounts.lock().complete(name, generation, &credential);
    }
    true
}

/// Whether a role of this name may have these rights: those that are built in are as they are, but
/// for the guest's.
fn check_role_rights(name: &str, rights: Rights) -> Result<(), Refusal> {
    match Role::parse(name) {
        Some(Role::Guest) if rights.names().iter().any(|n| !n.ends_with("_r")) => {
            let why = "without a login nothing can be changed: give the guest only …_r";
            Err(Refusal::Invalid("permissions", why.to_owned()))
        }
        None | Some(Role::Guest) => Ok(()),
        Some(_) => {
            let why = format!("the role {name} is built in; make one with another name");
            Err(Refusal::Conflict(why))
        }
    }
}

/// A name that can stand in a URL, a log line and a Digest header.
fn check_name(key: &'static str, name: &str) -> Result<(), Refusal> {
    let inside = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    let right = (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(inside)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if right {
        return Ok(());
    }
    let why = format!(
        "a name has 1 to {MAX_NAME} letters, digits and . _ - @, and begins with a letter or digit"
    );
    Err(Refusal::Invalid(key, why))
}
