//! The audit log: who logged in or failed to, and who changed what, as lines of JSON in
//! `DATA/logs/audit.log`, readable by the owner alone.
//!
//! The file is bounded by starting another one, and what happened last is also kept in memory for
//! those who ask. Passwords and tokens never get here: events are made of the few fields below.

use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Longest file; then the next one begins.
const MAX_FILE: u64 = 1 << 20;
/// Files that are kept besides the one that is written.
const OLD_FILES: u32 = 4;
/// Events that are kept in memory.
const RECENT: usize = 1000;
/// Longest text of a field: names come from whoever tries to log in.
const MAX_TEXT: usize = 200;

/// Something that happened.
#[derive(Debug, Clone, Default)]
pub struct Event<'a> {
    /// What, such as `login` or `password changed`.
    pub what: &'a str,
    /// Who did it; empty: nobody is known.
    pub user: &'a str,
    /// To whom or what; empty: nothing else.
    pub subject: &'a str,
    /// The address it came from, or `lensd user`.
    pub from: &'a str,
    /// Anything else, such as the old and new value of a setting.
    pub details: Option<Value>,
}

/// The log.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    recent: VecDeque<Value>,
    number: u64,
}

impl Audit {
    /// In a data folder. If its file cannot be written, events are kept in memory all the same.
    pub fn open(data: &Path) -> Self {
        let path = data.join("logs/audit.log");
        let mut audit = Self { path, file: None, size: 0, recent: VecDeque::new(), number: 0 };
        audit.reopen();
        audit
    }

    fn reopen(&mut self) {
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        match open {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |m| m.len());
                self.file = Some(file);
            }
            Err(e) => {
                tracing::error!("the audit log {} cannot be written: {e}", self.path.display());
                self.file = None;
            }
        }
    }

    /// Notes an event at UTC millisecond `now_ms`.
    pub fn note(&mut self, event: &Event<'_>, now_ms: i64) {
        self.number += 1;
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(now_ms));
        line.insert("event".to_owned(), json!(event.what));
        for (name, text) in [("user", event.user), ("subject", event.subject), ("from", event.from)]
        {
            if !text.is_empty() {
                let text: String = text.chars().take(MAX_TEXT).collect();
                line.insert(name.to_owned(), json!(text));
            }
        }
        if let Some(details) = &event.details {
            line.insert("details".to_owned(), details.clone());
        }
        let line = Value::Object(line);
        self.write(&line);
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
    }

    /// What happened last, oldest first, and the number of the newest of all events so far.
    pub fn recent(&self) -> (u64, impl DoubleEndedIterator<Item = &Value>) {
        (self.number, self.recent.iter())
    }

    fn write(&mut self, line: &Value) {
        // JSON escapes control characters, so an event is one line whatever a name holds.
        let text = format!("{line}\n");
        if self.size + text.len() as u64 > MAX_FILE {
            self.rotate();
        }
        if let Some(file) = &mut self.file {
            match file.write_all(text.as_bytes()) {
                Ok(()) => self.size += text.len() as u64,
                Err(e) => {
                    tracing::error!("the audit log {} cannot be written: {e}", self.path.display());
                }
            }
        }
    }

    fn rotate(&mut self) {
        let name = |n: u32| match n {
            0 => self.path.clone(),
            n => PathBuf::from(format!("{}.{n}", self.path.display())),
        };
        for n in (0..OLD_FILES).rev() {
            let _ = fs::rename(name(n), name(n + 1));
        }
        self.reopen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn events_are_lines_and_files_are_bounded() {
        let data = std::env::temp_dir().join(format!("lensd-audit-{}", std::process::id()));
        fs::create_dir_all(data.join("logs")).unwrap();
        let mut audit = Audit::open(&data);
        let name = "a\nb".repeat(100);
        let event = Event { what: "login failed", user: &name, from: "::1", ..Event::default() };
        for i in 0..40_000 {
            audit.note(&event, i);
        }
        let mut names = Vec::new();
        for file in fs::read_dir(data.join("logs")).unwrap().flatten() {
            let meta = file.metadata().unwrap();
            assert!(meta.len() <= MAX_FILE && meta.mode() & 0o077 == 0);
            names.push(file.file_name().into_string().unwrap());
        }
        names.sort();
        let want = ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"];
        assert_eq!(names, want);
        let text = fs::read_to_string(data.join("logs/audit.log")).unwrap();
        let last: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
        assert_eq!((&last["time"], &last["event"]), (&json!(39_999), &json!("login failed")));
        let (number, recent) = audit.recent();
        assert_eq!((number, recent.count()), (40_000, RECENT));
        fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn without_a_file_it_remembers() {
        let mut audit = Audit::open(Path::new("/proc/none"));
        audit.note(&Event { what: "login", user: "ann", ..Event::default() }, 1);
        let (_, mut recent) = audit.recent();
        assert_eq!(recent.next().unwrap()["user"], "ann");
    }
}
