//! What all plays share: the real binary on free ports with a data folder of its own, the tools
//! that watch it, and the proof that is in its pictures.
//!
//! Nothing here asserts on time. Limits are there so that a hanging test ends, and are generous.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(missing_docs, unreachable_pub, reason = "a test's shared part is no interface")]

pub mod browser;
pub mod proof;
pub mod talk;

use lensd_ffi::auth::digest::Algorithm;
use lensd_ffi::auth::{REALM, Token};
use lensd_ffi::time::{Nanos, now};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// Longer than anything here takes, even on a machine that is busy with other things.
pub const LIMIT: Nanos = Nanos::from_secs(300);
/// The camera of most plays: small and quick.
pub const CAMERA: &str = "test:?size=320x180&fps=50";
pub const LENSD: &str = env!("CARGO_BIN_EXE_lensd");

/// Waits until `what` is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = now().plus(LIMIT);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(10));
    }
}

/// A folder that goes away with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lensd-play-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a server is started.
pub struct Play {
    args: Vec<String>,
    discovery: u16,
    cameras: bool,
    users: Option<Value>,
    settings: String,
    isolated: bool,
}

impl Play {
    /// With a login for every stream.
    pub fn new() -> Self {
        let any = |option: &&str| [(*option).to_owned(), "127.0.0.1:0".to_owned()];
        Self {
            args: ["--http", "--https", "--rtsp", "--rtsps"].iter().flat_map(any).collect(),
            discovery: 0,
            cameras: false,
            users: None,
            settings: String::new(),
            isolated: false,
        }
    }

    /// Streams without a login.
    pub fn open() -> Self {
        Self::new().arg("--open")
    }

    /// Its settings say where it listens.
    pub fn at_no_address(mut self) -> Self {
        self.args.clear();
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    pub fn camera(mut self, spec: &str) -> Self {
        self.cameras = true;
        self.arg("--camera").arg(spec)
    }

    /// Lines of the settings file.
    pub fn settings(mut self, toml: &str) -> Self {
        self.settings = toml.to_owned();
        self
    }

    /// With the administrator `ann:secret123`, the viewer `bob:secret456` and his token `tok-bob`.
    pub fn users(mut self) -> Self {
        // The table as earlier versions wrote it, which is taken over at the start.
        let user = |name: &str, role: &str, password: &str| {
            let secret = format!("{name}:{REALM}:{password}");
            serde_json::json!({ "name": name, "role": role,
                "ha1_md5": Algorithm::Md5.hash(&secret),
                "ha1_sha256": Algorithm::Sha256.hash(&secret) })
        };
        self.users = Some(serde_json::json!({
            "realm": REALM,
            "open": false,
            "users": [user("ann", "administrator", "secret123"), user("bob", "viewer", "secret456")],
            "tokens": [{ "sha256": Token::hash("tok-bob"), "user": "bob", "expires_ms": 0 }],
        }));
        self
    }

    /// Found by WS-Discovery on the port that clients know. For a network of its own.
    pub fn found(mut self) -> Self {
        self.discovery = 3702;
        self
    }

    /// Heard on all addresses, at ports that a restart does not change. For a network of its own.
    pub fn on_all_addresses(mut self) -> Self {
        let mut ports = 9001..;
        let all = |arg: String| match arg.as_str() {
            "127.0.0.1:0" => format!("0.0.0.0:{}", ports.next().unwrap()),
            _ => arg,
        };
        self.args = self.args.into_iter().map(all).collect();
        self
    }

    /// In a network of its own, in which the loopback interface carries multicast. It needs no
    /// privilege where users may make namespaces.
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// The command, and the folder that it works in.
    pub fn command(mut self) -> (Command, Folder) {
        let folder = Folder::new();
        let data = folder.file("data");
        fs::create_dir_all(data.join("state")).unwrap();
        if let Some(users) = &self.users {
            fs::write(data.join("state/users.json"), serde_json::to_vec(users).unwrap()).unwrap();
        }
        let settings = folder.file("lensd.toml");
        fs::write(&settings, &self.settings).unwrap();
        if !self.cameras && !self.settings.contains("[[camera]]") {
            self = self.camera(CAMERA);
        }
        let mut command = if self.isolated {
            let script = "ip link set lo up multicast on && \
                          ip route add 224.0.0.0/4 dev lo && exec \"$0\" \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["-rn", "sh", "-c", script, LENSD]);
            command
        } else {
            Command::new(LENSD)
        };
        command.arg("--config").arg(&settings).arg("--data").arg(&data).args(&self.args);
        command.arg("--discovery-port").arg(self.discovery.to_string());
        // What the person who runs the tests has set must not change them.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LENSD_")) {
            command.env_remove(name);
        }
        (command, folder)
    }

    /// Starts it and waits until everything listens.
    pub fn start(self) -> Server {
        let (command, folder) = self.command();
        Server::start(command, folder)
    }
}

/// A server that runs. It is stopped in order at the end, and must end well.
pub struct Server {
    child: Child,
    pub folder: Folder,
    pub ports: Value,
    planes: Vec<i32>,
    over: bool,
}

impl Server {
    pub fn start(mut command: Command, folder: Folder) -> Self {
        let log = fs::File::create(folder.file("log")).unwrap();
        let ports_file = folder.file("data/run/ports.json");
        let _ = fs::remove_file(&ports_file);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut server =
            Self { child, folder, ports: Value::Null, planes: Vec::new(), over: false };
        server.ports = until("ports.json", || {
            if let Ok(Some(status)) = server.child.try_wait() {
                server.over = true;
                panic!("lensd ended: {status}\n{}", server.log());
            }
            serde_json::from_str(&fs::read_to_string(&ports_file).ok()?).ok()
        });
        server.note_planes();
        server
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.file("log")).unwrap_or_default()
    }

    pub fn port(&self, name: &str) -> u16 {
        u16::try_from(self.ports[name].as_u64().unwrap()).unwrap()
    }

    pub fn address(&self, name: &str) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port(name)))
    }

    pub fn rtsp(&self, path: &str) -> String {
        format!("rtsp://127.0.0.1:{}/{path}", self.port("rtsp"))
    }

    /// With a name and a password in the URL.
    pub fn rtsp_as(&self, login: &str, path: &str) -> String {
        format!("rtsp://{login}@127.0.0.1:{}/{path}", self.port("rtsp"))
    }

    pub fn rtsps(&self, path: &str) -> String {
        format!("rtsps://127.0.0.1:{}/{path}", self.port("rtsps"))
    }

    pub fn https(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}/{path}", self.port("https"))
    }

    pub fn http(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port("http"))
    }

    /// A command that runs in the server's network.
    pub fn tool(&self, name: &str) -> Command {
        let own = fs::read_link("/proc/self/ns/net").ok();
        let its = fs::read_link(format!("/proc/{}/ns/net", self.child.id())).ok();
        if own == its {
            return Command::new(name);
        }
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.child.id().to_string());
        command.args(["--user", "--net", "--preserve-credentials", name]);
        command
    }

    pub fn supervisor(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The process id of `engine` or `control`, once it runs.
    pub fn plane(&self, name: &str) -> i32 {
        let supervisor = self.supervisor();
        until(name, || children(supervisor).into_iter().find(|(_, n)| n == name)).0
    }

    fn note_planes(&mut self) {
        self.planes.extend(children(self.supervisor()).into_iter().map(|(pid, _)| pid));
    }

    /// Kills a plane and returns when another one has taken its place; control's when it listens.
    pub fn kill_plane(&mut self, name: &str) {
        let old = self.plane(name);
        signal(old, Signal::KILL);
        let supervisor = self.supervisor();
        until("the plane's return", || {
            children(supervisor).into_iter().find(|(pid, n)| n == name && *pid != old)
        });
        if name == "control" {
            let mut knock = self.tool("curl");
            knock.args(["-s", "-o", "/dev/null", &self.http("health/live")]);
            until("its port", || knock.status().unwrap().success().then_some(()));
        }
        self.note_planes();
    }

    /// Everything that the engine says of itself.
    pub fn state(&self) -> Value {
        until("the engine's state", || {
            let socket = self.folder.file("data/run/engine-ops.sock");
            let mut stream = UnixStream::connect(socket).ok()?;
            stream.write_all(b"GET /debug/pipeline HTTP/1.0\r\n\r\n").ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
        })
    }

    /// Frames that camera `id` could not make in time, because the machine was busy.
    pub fn camera_lost(&self, id: usize) -> u64 {
        self.state()["engine"]["cameras"][id - 1]["lost"].as_u64().unwrap_or(0)
    }

    /// RTSP sessions by their transport.
    pub fn clients(&self) -> Vec<Value> {
        self.state()["clients"].as_array().cloned().unwrap_or_default()
    }

    /// Resident memory of the engine in KiB.
    pub fn engine_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.plane("engine"));
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn connect(&self) -> talk::Talk {
        talk::Talk::to(self.address("rtsp"))
    }

    /// Ends it with a signal and returns how it ended.
    pub fn end(&mut self, by: Signal) -> ExitStatus {
        self.note_planes();
        signal(self.supervisor(), by);
        self.over = true;
        until("the server's end", || self.child.try_wait().unwrap())
    }

    /// All that were ever started are gone.
    pub fn check_gone(&self) {
        until("the end of all processes", || {
            self.planes.iter().all(|pid| !is_ours(*pid)).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        if failing {
            eprintln!("--- the server's log\n{}---", self.log());
        }
        if self.over {
            return;
        }
        if failing {
            // The planes end with their supervisor.
            let _ = self.child.kill();
            let _ = self.child.wait();
            return;
        }
        let status = self.end(Signal::INT);
        assert!(status.success(), "{status}\n{}", self.log());
        self.check_gone();
        assert!(!self.folder.file("data/run/ports.json").exists());
    }
}

/// The processes that a process has started, with their first argument.
fn children(parent: i32) -> Vec<(i32, String)> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name may hold blanks: state and parent follow its closing bracket.
        let (state, rest) = stat.rsplit_once(") ")?.1.split_once(' ')?;
        let own = rest.split(' ').next()?.parse() == Ok(parent);
        let arguments = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        let first = arguments.split('\0').nth(1)?.to_owned();
        (own && state != "Z").then_some((pid, first))
    })
    .collect()
}

/// Whether a process is (still) one of lensd's planes: ids are used again.
fn is_ours(pid: i32) -> bool {
    let name = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    name.to_string_lossy().contains("lensd")
}

pub fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A tool that runs beside the test.
pub struct Running {
    child: Child,
    out: Option<JoinHandle<Vec<u8>>>,
    err: Option<JoinHandle<Vec<u8>>>,
    what: String,
}

/// What a tool left.
pub struct Done {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
}

fn collect(from: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut from = from?;
    let body = move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    };
    Some(Builder::new().name("output".into()).spawn(body).unwrap())
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        // A group of its own: a wrapper such as setpriv or timeout is ended with its program.
        command.process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap_or_else(|e| panic!("{what}: {e}; see tests/setup.sh"));
        let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
        Self { child, out, err, what }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn signal(&self, by: Signal) {
        signal(self.pid(), by);
    }

    pub fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Done {
        let end = now().plus(LIMIT);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if now() > end {
                let what = self.what.clone();
                self.kill();
                let err = self.err.take().unwrap().join().unwrap();
                panic!("{what} hangs:\n{}", String::from_utf8_lossy(&err));
            }
            sleep(Duration::from_millis(5));
        };
        let out = self.out.take().unwrap().join().unwrap();
        let err = self.err.take().unwrap().join().unwrap();
        Done { status, out, err: String::from_utf8_lossy(&err).into_owned() }
    }

    /// Waits for its end, which must be a good one.
    pub fn succeed(self) -> Done {
        let what = self.what.clone();
        let done = self.finish();
        assert!(done.status.success(), "{what}: {}\n{}", done.status, done.err);
        done
    }

    fn kill(&mut self) {
        let _ =
            rustix::process::kill_process_group(Pid::from_raw(self.pid()).unwrap(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// Runs a tool to its good end.
pub fn run(command: &mut Command) -> Done {
    Running::start(command).succeed()
}

/// Where tests/setup.sh put the links to programs that have several names.
pub fn linked_tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let path = cache.join("lensd/tools").join(name);
    assert!(path.exists(), "{} is missing: run tests/setup.sh", path.display());
    path
}

/// A request over HTTP: status and body.
pub fn http(server: &Server, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address("http")).unwrap();
    stream.set_read_timeout(Some(LIMIT.duration())).unwrap();
    let text = format!(
        "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Basic YW5uOnNlY3JldDEyMw==\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap();
    (status, answer.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default())
}

/// Real H.264 of `frames` frames with key frames every `gop`, made by libx264.
pub fn make_h264(to: &Path, frames: u32, gop: u32) {
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=50"])
        .args(["-frames:v", &frames.to_string(), "-c:v", "libx264", "-preset", "veryfast"])
        .args(["-bf", "0", "-g", &gop.to_string(), "-pix_fmt", "yuv420p", "-y"])
        .arg(to));
}

/// Status and body of what a user gets.
pub fn ask(server: &Server, user: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "60", "-w", "\n%{http_code}", "-u", user, "-X", method]);
    if !body.is_empty() {
        command.args(["-d", body]);
    }
    let done = run(command.arg(server.http(path)));
    let text = String::from_utf8(done.out).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The same as the administrator of [`Play::users`].
pub fn ann(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    ask(server, "ann:secret123", method, path, body)
}
