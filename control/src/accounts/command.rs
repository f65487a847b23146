//! What `lensd user` asks for: of the server when it runs, of the store itself when it does not.

use super::{Accounts, Credential, Refusal};
use lensd_ffi::auth::Rights;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// One command.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// All users.
    List,
    /// A new one.
    Add {
        /// Name.
        name: String,
        /// Role.
        role: String,
        /// Password.
        password: String,
    },
    /// Another password.
    Passwd {
        /// Name.
        name: String,
        /// Password.
        password: String,
    },
    /// Another role.
    Role {
        /// Name.
        name: String,
        /// Role.
        role: String,
    },
    /// Away with him.
    Rm {
        /// Name.
        name: String,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, name) = self.subject();
        write!(f, "{verb} {name}")
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if let Self::Add { password, .. } | Self::Passwd { password, .. } = self {
            password.zeroize();
        }
    }
}

impl Command {
    /// What happens to whom, in the words of the audit log.
    pub fn subject(&self) -> (&'static str, &str) {
        match self {
            Self::List => ("users listed", ""),
            Self::Add { name, .. } => ("user added", name),
            Self::Passwd { name, .. } => ("password changed", name),
            Self::Role { name, .. } => ("user changed", name),
            Self::Rm { name } => ("user removed", name),
        }
    }
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// Why it was not done.
    pub error: Option<String>,
    /// Name and role, for a list.
    pub users: Vec<(String, String)>,
}

/// Does it. It may take as long as a hash does.
pub fn obey(accounts: &Mutex<Accounts>, command: &Command, now_ms: i64) -> Done {
    match try_obey(accounts, command, now_ms) {
        Ok(users) => Done { error: None, users },
        Err(refusal) => Done { error: Some(refusal.to_string()), users: Vec::new() },
    }
}

fn try_obey(
    accounts: &Mutex<Accounts>,
    command: &Command,
    now_ms: i64,
) -> Result<Vec<(String, String)>, Refusal> {
    match command {
        Command::List => {
            let accounts = accounts.lock();
            let pair = |(n, r): (&String, &super::Record)| (n.clone(), r.role.clone());
            return Ok(accounts.users().iter().map(pair).collect());
        }
        Command::Add { name, role, password } => {
            let credential = Credential::make(name, password)?;
            accounts.lock().add(name, role, Rights::NONE, &credential, now_ms)?;
        }
        Command::Passwd { name, password } => {
            let credential = Credential::make(name, password)?;
            accounts.lock().set_password(name, &credential, now_ms)?;
        }
        Command::Role { name, role } => accounts.lock().change(name, Some(role), None, now_ms)?,
        Command::Rm { name } => accounts.lock().remove(name)?,
    }
    Ok(Vec::new())
}
