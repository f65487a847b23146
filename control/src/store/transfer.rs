//! The whole configuration as one JSON value, and the way back to the factory's.

use super::seal::{Sealer, random};
use super::{ChangeSet, Store, StoreError};
use crate::password;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::auth::digest::hex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// By what an export is known, with the version of its form.
const MARK: &str = "lensd-configuration";
/// The version of the form.
const FORM: u64 = 1;
/// What stands in an export in the clear, by the prefix of its keys.
const PLAIN: &[(&str, &str)] = &[("settings", "setting/"), ("roles", "role/"), ("users", "user/")];
/// What the passphrase protects.
const SEALED: &str = "secrets";
/// Entries of an import.
const MAX_ENTRIES: usize = 20_000;

impl Store {
    /// Back to the factory: settings but those of `keep`, and all users, roles, tokens and secrets
    /// are gone. Whoever asks for it makes the first user anew.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn factory_reset(&self, keep: &[&str]) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        for key in self.scan("").into_keys() {
            let kept = key.strip_prefix("setting/").is_some_and(|k| keep.contains(&k));
            if !kept && !key.starts_with("meta/") {
                set.delete(key);
            }
        }
        self.commit(&set)
    }

    /// Sets all settings but those of `keep` back to what nobody has set, and forgets `secrets`.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn reset_settings(&self, keep: &[&str], secrets: &[&str]) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        secrets.iter().for_each(|name| set.delete(format!("secret/{name}")));
        for key in self.scan("setting/").into_keys() {
            if !keep.contains(&key.as_str()) {
                set.delete(format!("secret/setting/{key}"));
                set.delete(format!("setting/{key}"));
            }
        }
        self.commit(&set)
    }

    /// The whole configuration. Passwords and other secrets are in it only with a passphrase,
    /// under which they are sealed (Argon2id and AES-256-GCM); sessions and tokens never are.
    /// `more`: secrets that the store does not have.
    ///
    /// # Errors
    /// `Refused` for a passphrase that is too short; `Io`, without randomness.
    pub fn export(&self, passphrase: Option<&str>, more: &Secrets) -> Result<Value, StoreError> {
        let mut out = Map::new();
        out.insert(MARK.to_owned(), json!(FORM));
        out.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        for (name, prefix) in PLAIN {
            let parse = |(key, bytes): (String, Vec<u8>)| {
                Some((key, serde_json::from_slice::<Value>(&bytes).ok()?))
            };
            let part: Map<String, Value> =
                self.scan(prefix).into_iter().filter_map(parse).collect();
            out.insert((*name).to_owned(), Value::Object(part));
        }
        if let Some(passphrase) = passphrase {
            out.insert(SEALED.to_owned(), self.export_secrets(passphrase, more)?);
        }
        Ok(Value::Object(out))
    }

    fn export_secrets(&self, passphrase: &str, more: &Secrets) -> Result<Value, StoreError> {
        password::check(passphrase).map_err(StoreError::Refused)?;
        let more = more.iter().map(|(name, open)| (name.clone(), STANDARD.encode(&**open)));
        let mut secrets: BTreeMap<String, String> = more.collect();
        for (name, bytes) in self.scan("password/") {
            secrets.insert(format!("password/{name}"), STANDARD.encode(bytes));
        }
        for key in self.scan("secret/").into_keys() {
            if let Some(open) = self.load_secret(&key) {
                secrets.insert(format!("secret/{key}"), STANDARD.encode(&*open));
            }
        }
        let text = serde_json::to_vec(&secrets).map_err(|e| StoreError::Io(e.to_string()))?;
        let text = Zeroizing::new(text);
        let salt: [u8; 16] = random()?;
        let sealed = passphrase_key(passphrase, &salt)?.seal(SEALED, &text)?;
        Ok(json!({ "kdf": "argon2id", "salt": hex(&salt), "sealed": STANDARD.encode(sealed) }))
    }

    /// Puts the configuration of an export in the place of this one, all of it or nothing. Without
    /// its secrets, users that are here too keep their passwords; others need one to be set.
    /// Sessions and tokens end. **What its parts say must have been checked.**
    ///
    /// # Errors
    /// `Refused`: nobody could log in; and as [`Store::commit`].
    pub fn import(&self, import: &Import) -> Result<(), StoreError> {
        let mut set = ChangeSet::default();
        let kept = |key: &str| ["meta/", "secret/", "password/"].iter().any(|p| key.starts_with(p));
        self.scan("").into_keys().filter(|k| !kept(k)).for_each(|key| set.delete(key));
        for (name, value) in &import.settings {
            self.put_setting(&mut set, name, value)?;
        }
        for (prefix, part) in [("role/", &import.roles), ("user/", &import.users)] {
            for (key, value) in part {
                set.put_json(format!("{prefix}{key}"), value)?;
            }
        }
        for (key, secret) in &import.secrets {
            match key.strip_prefix("secret/") {
                Some(name) => self.put_secret(&mut set, name, secret)?,
                None if key.starts_with("password/") => set.put(key.clone(), secret.to_vec()),
                None => {}
            }
        }
        self.check_import(&set)?;
        self.drop_orphans(&mut set);
        self.commit(&set)
    }

    /// Somebody must be able to log in and put right what the import did.
    fn check_import(&self, set: &ChangeSet) -> Result<(), StoreError> {
        let administers = |(key, value): (&String, &Vec<u8>)| {
            let name = key.strip_prefix("user/")?;
            let user: Value = serde_json::from_slice(value).ok()?;
            let password = format!("password/{name}");
            let known = set.puts.contains_key(&password) || self.read(&password).is_some();
            (known && user.get("role")? == "administrator").then_some(())
        };
        if set.puts.iter().find_map(administers).is_some() {
            return Ok(());
        }
        Err(StoreError::Refused(
            "no administrator of this configuration has a password; give its passphrase".to_owned(),
        ))
    }

    /// The passwords of users that the import does not have.
    fn drop_orphans(&self, set: &mut ChangeSet) {
        for (prefix, user) in [("password/", "password/"), ("secret/", "secret/user/")] {
            for key in self.scan(prefix).into_keys().map(|k| format!("{prefix}{k}")) {
                let gone = key
                    .strip_prefix(user)
                    .is_some_and(|name| !set.puts.contains_key(&format!("user/{name}")));
                if gone && !set.puts.contains_key(&key) {
                    set.delete(key);
                }
            }
        }
    }
}

/// Secrets by their names, open.
pub type Secrets = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// An export that was read: the parts are there, what they say is still to be checked.
#[derive(Default)]
pub struct Import {
    /// Values by the names of settings.
    pub settings: Map<String, Value>,
    /// Permissions by the names of roles.
    pub roles: Map<String, Value>,
    /// Records by the names of users.
    pub users: Map<String, Value>,
    /// The addresses of added cameras; none: the export is of a version that had none in it.
    pub cameras: Option<Vec<Value>>,
    /// `password/NAME`, `secret/NAME`, and what is not the store's.
    pub secrets: Secrets,
}

impl Import {
    /// Reads an export; its secrets are opened with the passphrase.
    ///
    /// # Errors
    /// `Refused`: what is wrong with it.
    pub fn read(value: Value, passphrase: Option<&str>) -> Result<Self, StoreError> {
        let refused = |why: String| StoreError::Refused(why);
        let Value::Object(mut members) = value else {
            return Err(refused("a configuration is an object".to_owned()));
        };
        if members.remove(MARK).and_then(|form| form.as_u64()) != Some(FORM) {
            return Err(refused("this is no configuration of lensd, or of a newer version".into()));
        }
        members.remove("version");
        let mut import = Self::default();
        for (name, part) in [
            ("settings", &mut import.settings),
            ("roles", &mut import.roles),
            ("users", &mut import.users),
        ] {
            match members.remove(name) {
                None => {}
                Some(Value::Object(found)) => *part = found,
                Some(_) => return Err(refused(format!("{name} is no object"))),
            }
        }
        match members.remove("cameras") {
            None => {}
            Some(Value::Array(list)) => import.cameras = Some(list),
            Some(_) => return Err(refused("cameras is no list".to_owned())),
        }
        let sealed = members.remove(SEALED);
        if let Some(name) = members.keys().next() {
            return Err(refused(format!("the part {name:?} is not known")));
        }
        if import.settings.len() + import.roles.len() + import.users.len() > MAX_ENTRIES {
            return Err(refused(format!("it has more than {MAX_ENTRIES} entries")));
        }
        if let (Some(sealed), Some(passphrase)) = (sealed, passphrase) {
            import.secrets = open_secrets(&sealed, passphrase)?;
        }
        Ok(import)
    }
}

fn open_secrets(sealed: &Value, passphrase: &str) -> Result<Secrets, StoreError> {
    let refused =
        || StoreError::Refused("the passphrase is wrong, or the secrets are damaged".to_owned());
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).ok_or_else(refused);
    let salt = unhex(text("salt")?).ok_or_else(refused)?;
    let bytes = STANDARD.decode(text("sealed")?).map_err(|_| refused())?;
    let open = passphrase_key(passphrase, &salt)?.open(SEALED, &bytes).ok_or_else(refused)?;
    let secrets: BTreeMap<String, String> = serde_json::from_slice(&open).map_err(|_| refused())?;
    let mut out = Secrets::new();
    for (key, value) in secrets {
        let value = STANDARD.decode(value).map_err(|_| refused())?;
        out.insert(key, Zeroizing::new(value));
    }
    Ok(out)
}

fn passphrase_key(passphrase: &str, salt: &[u8]) -> Result<Sealer, StoreError> {
    let mut key = Zeroizing::new([0; 32]);
    password::derive(passphrase, salt, &mut key).map_err(StoreError::Refused)?;
    Sealer::new(&key)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}
