//! The table of users of earlier versions, `DATA/state/users.json`: taken over once.

use super::{Accounts, MAX_USERS, Material, Record};
use crate::accounts::tokens::{Kind, TokenRecord};
use crate::store::{ChangeSet, StoreError};
use lensd_ffi::auth::{REALM, Rights, Role};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Old {
    realm: String,
    users: Vec<OldUser>,
    #[serde(default)]
    tokens: Vec<OldToken>,
}

#[derive(Deserialize)]
struct OldUser {
    name: String,
    role: Role,
    ha1_md5: String,
    ha1_sha256: String,
}

#[derive(Deserialize)]
struct OldToken {
    sha256: String,
    user: String,
    expires_ms: i64,
}

impl Accounts {
    /// Takes the users of an earlier version over and removes their file. They keep their digests;
    /// the rest is made when they log in. One line for the person who started the server, if
    /// something was done or could not be.
    pub fn take_over(&mut self, data: &Path, now_ms: i64) -> Option<String> {
        let path = data.join("state/users.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => return Some(format!("{} cannot be read: {e}", path.display())),
        };
        if self.store.fault().is_some() {
            // It would be lost with the process.
            return Some(format!("{} is not taken over: nothing can be stored", path.display()));
        }
        let done = serde_json::from_slice::<Old>(&bytes)
            .map_err(|e| e.to_string())
            .and_then(|old| self.store_old(&old, now_ms).map_err(|e| e.to_string()));
        match done {
            Ok(count) => match fs::remove_file(&path) {
                Ok(()) => Some(format!("{count} users of an earlier version were taken over")),
                Err(e) => Some(format!("{} cannot be removed: {e}", path.display())),
            },
            Err(why) => {
                let aside = path.with_extension("json.damaged");
                let _ = fs::rename(&path, &aside);
                Some(format!(
                    "{} is no table of users ({why}): kept as {}",
                    path.display(),
                    aside.display()
                ))
            }
        }
    }

    fn store_old(&mut self, old: &Old, now_ms: i64) -> Result<usize, StoreError> {
        if old.realm != REALM {
            return Err(StoreError::Refused(format!("its realm is not {REALM}")));
        }
        let mut set = ChangeSet::default();
        let mut count = 0;
        for user in old.users.iter().take(MAX_USERS) {
            if self.users.contains_key(&user.name) {
                continue;
            }
            let record = Record {
                role: user.role.name().to_owned(),
                permissions: Rights::NONE,
                generation: 0,
                created: now_ms,
                changed: now_ms,
            };
            let material = Material {
                ha1_md5: user.ha1_md5.clone(),
                ha1_sha256: user.ha1_sha256.clone(),
                password: None,
            };
            set.put_json(format!("user/{}", user.name), &record)?;
            let bytes = serde_json::to_vec(&material).map_err(|e| StoreError::Io(e.to_string()))?;
            self.store.put_secret(
                &mut set,
                &format!("user/{}", user.name),
                &Zeroizing::new(bytes),
            )?;
            count += 1;
        }
        for token in &old.tokens {
            let record = TokenRecord {
                kind: Kind::Token,
                user: token.user.clone(),
                name: "from an earlier version".to_owned(),
                from: String::new(),
                created: now_ms,
                used: 0,
                expires: token.expires_ms,
                role: None,
            };
            set.put_json(format!("token/{}", token.sha256), &record)?;
        }
        self.store.commit(&set)?;
        self.reload();
        Ok(count)
    }
}
