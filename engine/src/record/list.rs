//! What is recorded, written down so that it goes on after the end of the engine, of the server, or of
//! power.

use super::plan::Plan;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Many times what is ever written, in bytes.
const LONGEST: u64 = 1 << 20;

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Going {
    pub(super) stream: String,
    pub(super) plan: Plan,
    pub(super) paused: bool,
    /// For how long it was recorded, in whole seconds as captured. 0 where there is no limit, so that
    /// nothing is to be written.
    #[serde(default)]
    pub(super) spent_secs: u64,
}

/// The list, and its file.
#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    now: Mutex<Vec<Going>>,
    written: Mutex<Vec<Going>>,
}

impl List {
    /// What the file says, at most so many streams.
    pub(super) fn read(path: &Path, most: usize) -> Self {
        let fits = fs::metadata(path).is_ok_and(|meta| meta.len() <= LONGEST);
        let text = if fits { fs::read(path).unwrap_or_default() } else { Vec::new() };
        let mut all = serde_json::from_slice::<Vec<Going>>(&text).unwrap_or_default();
        all.truncate(most);
        Self { path: path.to_owned(), now: Mutex::new(all.clone()), written: Mutex::new(all) }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Going> {
        self.now.lock().clone()
    }

    /// It is this now. What somebody wanted is written at once, the rest by [`List::write`].
    pub(super) fn set(&self, all: Vec<Going>) {
        let same =
            |a: &Going, b: &Going| (&a.stream, &a.plan, a.paused) == (&b.stream, &b.plan, b.paused);
        let mut now = self.now.lock();
        let wanted = now.len() != all.len() || now.iter().zip(&all).any(|(a, b)| !same(a, b));
        *now = all;
        drop(now);
        if wanted {
            self.write();
        }
    }

    /// Writes it, if it has changed. For a thread that may wait for the disk.
    pub(super) fn write(&self) {
        let mut written = self.written.lock();
        let all = self.now.lock().clone();
        if *written == all {
            return;
        }
        let draft = self.path.with_extension("tmp");
        let kept = serde_json::to_vec(&all)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                let mut options = OpenOptions::new();
                let mut file =
                    options.create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&draft, &self.path));
        match kept {
            Ok(()) => *written = all,
            Err(e) => tracing::debug!("what is recorded is not written down: {e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_was_recorded_is_known_after_a_crash() {
        let folder = std::env::temp_dir().join(format!("lensd-list-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("recording.json");
        let plan = Plan { limit_secs: 60, ..Plan::default() };
        let going = |spent_secs| Going {
            stream: "cam1/main".to_owned(),
            plan: plan.clone(),
            paused: false,
            spent_secs,
        };
        let list = List::read(&path, 8);
        list.set(vec![going(0)]);
        assert_eq!(List::read(&path, 8).all(), [going(0)], "a start is written at once");
        list.set(vec![going(7)]);
        assert_eq!(List::read(&path, 8).all(), [going(0)], "nobody waits for the disk for that");
        list.write();
        assert_eq!(List::read(&path, 8).all(), [going(7)]);
        // As an engine from before wrote it.
        let old = fs::read_to_string(&path).unwrap().replace(",\"spent_secs\":7", "");
        fs::write(&path, old).unwrap();
        assert_eq!(List::read(&path, 8).all(), [going(0)]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
