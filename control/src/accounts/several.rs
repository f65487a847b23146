//! Changes of several users at once.

use super::{Accounts, Credential, Refusal};
use crate::store::ChangeSet;
use lensd_ffi::auth::Role;

impl Accounts {
    /// Gives several users a role, and those a password who have one here: all of them or nobody.
    /// What each of them had open ends, as by [`Accounts::change`] and [`Accounts::set_password`].
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if nobody would be an administrator any more, `Invalid`, `Store`.
    pub fn change_all(
        &mut self,
        changes: &[(String, Role, Option<Credential>)],
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let mut set = ChangeSet::default();
        let mut after = self.users.clone();
        for (name, role, credential) in changes {
            let before = self.user(name)?;
            let mut record = before.clone();
            role.name().clone_into(&mut record.role);
            record.generation += u64::from(credential.is_some());
            if record == *before {
                continue;
            }
            record.changed = now_ms;
            set.put_json(format!("user/{name}"), &record)?;
            if let Some(credential) = credential {
                self.put_credential(&mut set, name, credential)?;
            }
            self.end_tokens_of(&mut set, name);
            after.insert(name.clone(), record);
        }
        if !after.values().any(|r| r.role == Role::Administrator.name()) {
            let why = "nobody would be an administrator any more; make another one first";
            return Err(Refusal::Conflict(why.to_owned()));
        }
        self.commit(&set)
    }
}
