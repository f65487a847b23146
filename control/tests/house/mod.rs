//! The control plane on a thread, with a supervisor and without an engine, for tests of what the
//! machine has.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(missing_docs, unreachable_pub, reason = "a test's shared part is no interface")]

use lensd_control::{Config, run};
use lensd_ffi::auth::{Role, User, Users};
use lensd_ffi::link::{Link, Order, Received, Report};
use lensd_ffi::region::{Region, blank};
use lensd_ffi::state::{EngineState, PLANE_WORDS, StateWriter};
use lensd_ffi::time::{Nanos, now};
use serde_json::Value;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// A folder that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-house-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("data/state")).unwrap();
        std::fs::create_dir_all(path.join("data/run")).unwrap();
        std::fs::create_dir_all(path.join("data/tls")).unwrap();
        std::fs::create_dir_all(path.join("data/logs")).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A control plane that runs, with the administrator `ann:secret123` and the viewer
/// `bob:secret456`.
pub struct House {
    pub folder: Folder,
    pub port: u16,
    leash: Link,
    thread: Option<JoinHandle<ExitCode>>,
}

/// Waits until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = now().plus(Nanos::from_secs(120));
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A Python that has `module`, as the script of tools in the folder `tests` leaves it.
///
/// # Panics
/// When there is none: a peer that is missing proves nothing.
pub fn python(module: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let python = home.join(".cache/lensd/tools/venv/bin/python");
    let there = Command::new(&python).args(["-c", &format!("import {module}")]).status();
    assert!(there.is_ok_and(|s| s.success()), "no {} with {module}", python.display());
    python
}

impl House {
    pub fn start(name: &str, config: impl FnOnce(&Folder) -> Config) -> Self {
        let folder = Folder::new(name);
        let users = Users {
            users: vec![
                User::new("ann", Role::Administrator, "lensd", "secret123"),
                User::new("bob", Role::Viewer, "lensd", "secret456"),
            ],
            ..Users::default()
        };
        let file = folder.file("data/state/users.json");
        std::fs::write(file, serde_json::to_vec(&users).unwrap()).unwrap();
        Self::start_in(folder, config)
    }

    pub fn start_in(folder: Folder, config: impl FnOnce(&Folder) -> Config) -> Self {
        let data = folder.file("data");
        let http = Some("127.0.0.1:0".into());
        let config = Config { data, http, discovery_port: 0, ..config(&folder) };
        let (leash, theirs) = Link::pair().unwrap();
        let fd = blank("control", PLANE_WORDS).unwrap();
        let config = serde_json::to_value(config).unwrap();
        leash.send(&Order::Start { config }, &[fd.as_fd()]).unwrap();
        let thread = Builder::new().name("control".into()).spawn(move || run(theirs)).unwrap();
        let Ok(Received::Message(Report::Sealed, _)) = leash.receive() else { panic!("sealed") };
        let Ok(Received::Message(Report::Listening { ports, .. }, _)) = leash.receive() else {
            panic!("listening")
        };
        Self { folder, port: ports["http"], leash, thread: Some(thread) }
    }

    /// Gives the plane an engine: this end of the link is the engine's.
    pub fn meet_engine(&self) -> Link {
        let memory = Region::create("engine", PLANE_WORDS).unwrap();
        let (ours, theirs) = Link::pair().unwrap();
        let shared = memory.share().unwrap();
        let mut writer = StateWriter::new(Arc::new(memory));
        assert!(writer.set(&EngineState { pid: 7, ..EngineState::default() }));
        self.leash.send(&Order::Peer, &[shared.as_fd(), theirs.as_fd()]).unwrap();
        ours
    }

    /// Waits until it knows.
    pub fn wait_for_engine(&self) {
        until("the engine", || (self.curl("/health/ready", &[]).0 == 200).then_some(()));
    }

    /// What the plane says to its supervisor next.
    pub fn report(&self) -> Report {
        match self.leash.receive().unwrap() {
            Received::Message(report, _) => report,
            other => panic!("{other:?}"),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Status and body as curl gets them.
    pub fn curl(&self, path: &str, options: &[&str]) -> (u16, String) {
        let out = Command::new("curl")
            .args(["-s", "-m", "60", "-w", "\n%{http_code}"])
            .args(options)
            .arg(self.url(path))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// As the administrator; `body`, if any, is sent.
    pub fn ask(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut options = vec!["-u", "ann:secret123", "-X", method];
        options.extend(body.iter().flat_map(|b| ["-d", b]));
        let (status, body) = self.curl(path, &options);
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Value {
        let (status, body) = self.ask("GET", &format!("/api/settings/{key}"), None);
        assert_eq!(status, 200, "{body}");
        body["data"]["value"].clone()
    }

    pub fn set(&self, key: &str, value: Value) -> (u16, Value) {
        let body = serde_json::json!({ "value": value }).to_string();
        self.ask("POST", &format!("/api/settings/{key}"), Some(&body))
    }

    /// Ends the plane; the folder stays as it is.
    pub fn stop(mut self) -> Folder {
        self.end();
        std::mem::replace(&mut self.folder, Folder(PathBuf::from("/nonexistent/lensd")))
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = self.leash.send(&Order::Stop, &[]);
            let ended = thread.join();
            if !std::thread::panicking() {
                assert!(ended.is_ok());
            }
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.end();
    }
}
