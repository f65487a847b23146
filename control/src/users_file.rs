//! What outlives the process: the table of users, as the supervisor wrote it.
//!
//! Thin for now: the control-plane issue puts a transactional store behind the same two calls.

use lensd_ffi::auth::Users;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The users file.
#[derive(Debug)]
pub(crate) struct UsersFile {
    path: PathBuf,
    seen: Option<Mark>,
}

/// By what a changed file is known: a file that replaces another one has another inode, also
/// within the granularity of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: (i64, i64),
    inode: u64,
    size: u64,
}

impl UsersFile {
    pub(crate) fn new(data: &Path) -> Self {
        Self { path: data.join("state/users.json"), seen: None }
    }

    /// The table, if the file is another one than at the last call.
    pub(crate) fn read_new(&mut self) -> Option<Result<Users, String>> {
        let mark = std::fs::metadata(&self.path).ok().map(|m| Mark {
            modified: (m.mtime(), m.mtime_nsec()),
            inode: m.ino(),
            size: m.size(),
        });
        if mark == self.seen {
            return None;
        }
        self.seen = mark;
        // A file that is gone takes no user's access away: whoever replaces it is not done yet.
        mark?;
        Some(self.read())
    }

    fn read(&self) -> Result<Users, String> {
        let name = self.path.display();
        let text = std::fs::read(&self.path).map_err(|e| format!("cannot read {name}: {e}"))?;
        serde_json::from_slice(&text).map_err(|e| format!("{name} is no table of users: {e}"))
    }

    /// What to say when there is no such file at the start.
    pub(crate) fn missing(&self) -> String {
        format!("no users yet: {} is missing, nobody can log in", self.path.display())
    }
}
