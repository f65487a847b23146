//! The whole control plane on a thread, face to face with a supervisor, an engine, and clients:
//! real packet sockets, shared memory and rings on one side, real TCP and curl on the other.
#![allow(missing_docs)]

use lensd_control::accounts::Command as UserCommand;
use lensd_control::{Config, Limits, run};
use lensd_ffi::auth::{Role, Token, User, Users};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, Order, Outcome, Received, Report};
use lensd_ffi::region::{Region, blank};
use lensd_ffi::ring::{Geometry, RingWriter};
use lensd_ffi::rtc::RtcAct;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::state::{
    CameraState, ClientState, ControlState, EngineState, PLANE_WORDS, StateReader, StateWriter,
    StreamState,
};
use lensd_ffi::time::{Nanos, UtcMap, now};
use lensd_ffi::unit::{Codec, UnitMeta};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("lensd-control-{}-{name}", std::process::id()));
        std::fs::create_dir_all(path.join("state")).unwrap();
        std::fs::create_dir_all(path.join("run")).unwrap();
        Self(path)
    }

    fn write_users(&self, users: &Users) {
        let path = self.0.join("state/users.json");
        std::fs::write(path.with_extension("new"), serde_json::to_vec(users).unwrap()).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the engine's thread and the test share.
struct Inside {
    state: EngineState,
    writer: StateWriter<Region>,
    ring_memory: Arc<Region>,
    ring: RingWriter<Region>,
    bell: Option<Bell>,
    asked: Vec<Ask>,
    /// Whether stills are answered.
    answers: bool,
}

impl Inside {
    fn picture(&mut self, text: &str) -> u64 {
        let meta = UnitMeta {
            codec: Codec::Jpeg,
            key: true,
            capture: UtcMap::measure().stamp(now()),
            ..UnitMeta::default()
        };
        let seq = self.ring.publish(&meta, &[], &[b"\xff\xd8", text.as_bytes()]).unwrap();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
        seq
    }

    fn tell(&mut self) {
        assert!(self.writer.set(&self.state));
    }

    fn count(&self, what: impl Fn(&Ask) -> bool) -> usize {
        self.asked.iter().filter(|a| what(a)).count()
    }
}

/// An engine with two cameras, of which the second is away.
struct FakeEngine {
    inside: Arc<Mutex<Inside>>,
    thread: JoinHandle<()>,
    /// Another handle on the engine's end of the link.
    end: std::os::fd::OwnedFd,
}

impl FakeEngine {
    /// Starts one and gives it to the control plane.
    fn start(leash: &Link) -> Self {
        let memory = Region::create("engine", PLANE_WORDS).unwrap();
        let shared = memory.share().unwrap();
        let geometry = Geometry { slots: 16, bytes: 1 << 20 };
        let ring_memory = Arc::new(Region::create("ring", geometry.words()).unwrap());
        let state = EngineState {
            pid: 7,
            main_camera: 1,
            cameras: vec![
                CameraState { id: 1, name: "Front".into(), connected: true, ..Default::default() },
                CameraState {
                    id: 2,
                    name: "Back".into(),
                    source: "rtsp://user:secret@10.0.0.9/".into(),
                    error: "no answer".into(),
                    ..Default::default()
                },
            ],
            streams: vec![
                StreamState { name: "cam1/main".into(), camera: 1, ..Default::default() },
                StreamState {
                    name: "cam1/mjpeg".into(),
                    camera: 1,
                    codec: Codec::Jpeg,
                    ..Default::default()
                },
            ],
            ..Default::default()
        };
        let mut inside = Inside {
            state,
            writer: StateWriter::new(Arc::new(memory)),
            ring: RingWriter::create(Arc::clone(&ring_memory), geometry),
            ring_memory,
            bell: None,
            asked: Vec::new(),
            answers: true,
        };
        inside.tell();
        let inside = Arc::new(Mutex::new(inside));
        let (ours, theirs) = Link::pair().unwrap();
        leash.send(&Order::Peer, &[shared.as_fd(), theirs.as_fd()]).unwrap();
        drop(theirs);
        let end = ours.as_fd().try_clone_to_owned().unwrap();
        let shared = Arc::clone(&inside);
        let thread =
            Builder::new().name("engine".into()).spawn(move || answer(&ours, &shared)).unwrap();
        Self { inside, thread, end }
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// Dies without a word.
    fn kill(self) {
        rustix::net::shutdown(&self.end, rustix::net::Shutdown::Both).unwrap();
        self.thread.join().unwrap();
    }
}

fn answer(link: &Link, inside: &Mutex<Inside>) {
    while let Ok(Received::Message(Asked { id, ask }, fds)) = link.receive::<Asked>() {
        let mut inside = inside.lock().unwrap();
        inside.asked.push(ask.clone());
        let mut ring = None;
        let answer = match ask {
            Ask::Subscribe { .. } => {
                inside.bell = fds.into_iter().next().map(Bell::from_fd);
                assert!(inside.bell.is_some(), "a subscription brings a bell");
                ring = Some(inside.ring_memory.share().unwrap());
                Answer::Ring
            }
            Ask::Unsubscribe { .. } => {
                inside.bell = None;
                Answer::Done
            }
            Ask::Still { .. } if !inside.answers => continue,
            Ask::Still { quality, .. } => {
                let seq = inside.picture(&format!("still q{quality}"));
                Answer::Unit { stream: "cam1/mjpeg".into(), seq }
            }
            Ask::Record { .. } | Ask::Snap { .. } | Ask::Stamped { .. } => {
                continue;
            }
            Ask::Clients { .. } => {
                let client = |id: &str, path: &str| ClientState {
                    id: id.into(),
                    path: path.into(),
                    ..Default::default()
                };
                let clients = vec![client("abc", "cam1/mjpeg"), client("def", "stream1")];
                Answer::Clients { clients }
            }
            Ask::Remove { ids } => Answer::Removed { gone: ids, kept: Vec::new() },
            Ask::Ptz { .. } => Answer::Ptz { status: Box::default() },
            Ask::Rtc {
                act: RtcAct::Play { offer, .. } | RtcAct::Accept { answer: offer, .. },
                ..
            } if !offer.starts_with("v=0") => {
                Answer::Fault { code: "INVALID_SDP".into(), message: "no SDP".into() }
            }
            Ask::Rtc { act: RtcAct::Play { .. } | RtcAct::Offer { .. }, .. } => {
                Answer::Rtc { session: "0123".into(), sdp: "v=0\r\n".into() }
            }
            Ask::Rtc { .. }
            | Ask::Thumbnail { .. }
            | Ask::Listen { .. }
            | Ask::TestScene { .. }
            | Ask::KeyFrame { .. } => Answer::Done,
            Ask::Set { changes, .. } if changes[0].1 == 2 => {
                Answer::Fault { code: "CAMERA_NOT_CONNECTED".into(), message: "no answer".into() }
            }
            Ask::Set { changes, .. } => {
                let outcome = |(key, value): (String, serde_json::Value)| Outcome {
                    refused: (value == 3).then(|| "there is no camera 3".to_owned()),
                    held: Held::of(value),
                    key,
                };
                Answer::Set { outcomes: changes.into_iter().map(outcome).collect() }
            }
        };
        let fds: Vec<_> = ring.iter().map(AsFd::as_fd).collect();
        if link.send(&Answered { id, answer }, &fds).is_err() {
            return;
        }
    }
}

/// A control plane that runs, and its supervisor.
struct House {
    leash: Link,
    memory: Arc<Region>,
    port: u16,
    thread: JoinHandle<ExitCode>,
    folder: Folder,
}

fn users() -> Users {
    Users {
        users: vec![
            User::new("admin", Role::Administrator, "lensd", "secret"),
            User::new("eve", Role::Viewer, "lensd", "looks"),
        ],
        tokens: vec![Token {
            sha256: Token::hash("tok"),
            user: "admin".into(),
            expires_ms: 0,
            rights: None,
        }],
        ..Users::default()
    }
}

impl House {
    fn start(name: &str, config: Config) -> Self {
        let folder = Folder::new(name);
        folder.write_users(&users());
        let config = Config { data: folder.0.clone(), http: Some("127.0.0.1:0".into()), ..config };
        let (leash, theirs) = Link::pair().unwrap();
        let fd = blank("control", PLANE_WORDS).unwrap();
        let shared = fd.try_clone().unwrap();
        let config = serde_json::to_value(config).unwrap();
        leash.send(&Order::Start { config }, &[fd.as_fd()]).unwrap();
        drop(fd);
        let thread = Builder::new().name("control".into()).spawn(move || run(theirs)).unwrap();
        let Ok(Received::Message(Report::Sealed, _)) = leash.receive() else { panic!("sealed") };
        let port = match leash.receive().unwrap() {
            Received::Message(Report::Listening { ports, notes }, _) => {
                assert!(notes.iter().all(|n| n.contains("earlier version")), "{notes:?}");
                ports["http"]
            }
            other => panic!("{other:?}"),
        };
        let memory = Arc::new(Region::open(shared).unwrap());
        Self { leash, memory, port, thread, folder }
    }

    fn open(name: &str) -> Self {
        Self::start(name, Config { open: true, ..Config::default() })
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).unwrap();
        stream.set_read_timeout(Some(ms(15_000))).unwrap();
        stream
    }

    /// Sends a request and reads everything up to the end of the connection.
    fn raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: cam:80\r\nConnection: close\r\n\r\n"))
    }

    fn json(&self, path: &str) -> Value {
        let text = self.get(path);
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {text}"));
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Status and body as curl gets them.
    fn curl(&self, path: &str, options: &[&str]) -> (u16, String) {
        let out = Command::new("curl")
            .args(["-s", "-m", "10", "-w", "\n%{http_code}"])
            .args(options)
            .arg(format!("http://127.0.0.1:{}{path}", self.port))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn stop(self) {
        self.leash.send(&Order::Stop, &[]).unwrap();
        let before = now();
        assert_eq!(
            format!("{:?}", self.thread.join().unwrap()),
            format!("{:?}", ExitCode::SUCCESS)
        );
        assert!(now().since(before) < Nanos::from_millis(1500), "stops at once");
    }
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while !holds() {
        assert!(now().since(start) < Nanos::from_secs(10), "{what}");
        sleep(ms(10));
    }
}

/// Reads until the end of `text` has come.
fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut out = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&out).contains(text) {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "{text:?} is not in {:?}", String::from_utf8_lossy(&out));
        out.extend_from_slice(&buffer[..n]);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn a_still_is_of_now_and_asked_for_once() {
    let house = House::open("still");
    let away = house.get("/api/snapshot");
    assert!(away.starts_with("HTTP/1.1 503") && away.contains("CAMERA_NOT_CONNECTED"), "{away}");
    let engine = FakeEngine::start(&house.leash);
    until("the engine is seen", || house.get("/health/ready").starts_with("HTTP/1.1 200"));
    for path in ["/api/snapshot?quality=7", "/camera.jpeg", "/image", "/images/current.jpg?t=1"] {
        let text = house.get(path);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("Content-Type: image/jpeg\r\nCache-Control: no-store"), "{text}");
        assert!(text.ends_with(if path.contains("q") { "still q7" } else { "still q0" }), "{text}");
    }
    assert_eq!(engine.inside().count(|a| matches!(a, Ask::Subscribe { .. })), 1, "the ring stays");
    until("nobody keeps the stream running", || engine.inside().bell.is_none());

    // Many at once are one question.
    engine.inside().asked.clear();
    let mut streams: Vec<TcpStream> = (0..40).map(|_| house.connect()).collect();
    {
        let _held = engine.inside();
        for stream in &mut streams {
            stream.write_all(b"GET /image HTTP/1.0\r\n\r\n").unwrap();
        }
        sleep(ms(30));
    }
    for stream in &mut streams {
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        assert!(out.ends_with(b"still q0"));
    }
    let asked = engine.inside().count(|a| matches!(a, Ask::Still { .. }));
    assert!(asked <= 5, "{asked} questions for 40 requests");

    let text = house.get("/api/snapshot?camera=2");
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("camera 2: no answer"), "{text}");
    assert!(house.get("/api/snapshot?camera=9").starts_with("HTTP/1.1 404"));
    assert!(house.get("/api/snapshot?quality=0").starts_with("HTTP/1.1 422"));
    // The engine is there but silent.
    engine.inside().answers = false;
    let text = house.get("/api/snapshot");
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("TIMEOUT"), "{text}");
    house.stop();
}

#[test]
fn live_jpegs_skip_for_who_is_slow_and_outlive_the_engine() {
    let house = House::open("mjpeg");
    let engine = FakeEngine::start(&house.leash);
    until("the engine is seen", || house.get("/health/ready").starts_with("HTTP/1.1 200"));
    let mut stream = house.connect();
    stream.write_all(b"GET /mjpeg/stream1 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let head = read_until(&mut stream, "\r\n\r\n");
    assert!(head.contains("multipart/x-mixed-replace; boundary="), "{head}");
    until("the stream is subscribed", || engine.inside().bell.is_some());
    engine.inside().picture("first");
    read_until(&mut stream, "first");

    // Large pictures that nobody takes: at the end the newest one comes, and few of the others.
    let big = "x".repeat(200_000);
    for i in 0..100 {
        engine.inside().picture(&format!("{big}<{i}>"));
        sleep(ms(2));
    }
    let rest = read_until(&mut stream, "<99>");
    let came = (0..100).filter(|i| rest.contains(&format!("<{i}>"))).count();
    assert!(came < 60, "{came} of 100 pictures were kept for a client that did not read");
    let clients = house.curl("/api/streams/cam1-mjpeg/clients?token=tok", &[]).1;
    let clients: Value = serde_json::from_str(&clients).unwrap();
    let clients = clients["data"]["clients"].as_array().unwrap();
    assert_eq!((clients.len(), &clients[0]["id"]), (2, &Value::from("abc")));
    assert!(clients[1]["skipped"].as_u64().unwrap() > 10, "{}", clients[1]);

    let clients = house.curl("/api/streams/cam1%2Fmain/clients?token=tok", &[]).1;
    let clients: Value = serde_json::from_str(&clients).unwrap();
    let clients = clients["data"]["clients"].as_array().unwrap();
    assert_eq!((clients.len(), &clients[0]["id"]), (1, &Value::from("def")));

    // Another engine: the same viewer goes on.
    engine.kill();
    until("it is gone", || house.get("/health/ready").starts_with("HTTP/1.1 503"));
    assert_eq!(house.json("/api/status")["data"]["engine"], "starting");
    let engine = FakeEngine::start(&house.leash);
    until("the stream is subscribed again", || engine.inside().bell.is_some());
    engine.inside().picture("second life");
    read_until(&mut stream, "second life");
    assert!(house.get("/image").ends_with("still q0"));

    drop(stream);
    until("the subscription ends with the viewer", || engine.inside().bell.is_none());
    assert!(house.get("/mjpeg/cam9").starts_with("HTTP/1.1 404"));
    house.stop();
}

#[test]
fn a_still_that_waits_survives_a_restart_of_the_engine() {
    let house = House::open("restart");
    let engine = FakeEngine::start(&house.leash);
    until("the engine is seen", || house.get("/health/ready").starts_with("HTTP/1.1 200"));
    engine.inside().answers = false;
    let mut stream = house.connect();
    stream.write_all(b"GET /image HTTP/1.0\r\n\r\n").unwrap();
    until("it is asked", || engine.inside().count(|a| matches!(a, Ask::Still { .. })) == 1);
    engine.kill();
    let _engine = FakeEngine::start(&house.leash);
    let mut out = Vec::new();
    stream.read_to_end(&mut out).unwrap();
    assert!(out.ends_with(b"still q0"), "{}", String::from_utf8_lossy(&out));
    house.stop();
}

#[test]
fn logins_by_curl_and_lock_out() {
    let house = House::start("login", Config::default());
    let engine = FakeEngine::start(&house.leash);
    until("the engine is seen", || house.get("/health/ready").starts_with("HTTP/1.1 200"));
    let text = house.get("/api/streams");
    assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    for scheme in ["algorithm=SHA-256", "algorithm=MD5", "Basic realm=\"lensd\""] {
        assert!(text.contains(scheme), "{text}");
    }
    assert!(text.contains("\"code\":\"INVALID_CREDENTIALS\""), "{text}");
    for options in [
        &["-u", "admin:secret"][..],
        &["--digest", "-u", "admin:secret"],
        &["--anyauth", "-u", "eve:looks"],
        &["-H", "Authorization: Bearer tok"],
    ] {
        let (status, body) = house.curl("/api/streams", options);
        assert_eq!(status, 200, "{options:?}: {body}");
    }
    assert_eq!(house.curl("/api/snapshot?token=tok", &[]).0, 200);
    // What a guest may see.
    for path in ["/health", "/health/live", "/api/health", "/api/info", "/api/status"] {
        assert_eq!(house.curl(path, &[]).0, 200, "{path}");
    }
    assert_eq!(house.curl("/api/cameras", &[]).0, 401);
    let (_, body) = house.curl("/api/cameras?token=tok", &[]);
    assert!(body.contains("rtsp://***@10.0.0.9/") && !body.contains("secret"), "{body}");

    // Changing things needs more than looking.
    let path = "/api/settings/main-camera";
    let (status, body) = house.curl(path, &["-u", "eve:looks", "-d", "1"]);
    assert!(status == 403 && body.contains("PERMISSION_DENIED"), "{body}");
    for (value, want) in [("1", 200), ("{\"value\":1}", 200), ("2", 503), ("3", 422), ("x", 400)] {
        let options = ["--digest", "-u", "admin:secret", "-d", value];
        let (status, body) = house.curl(path, &options);
        assert_eq!(status, want, "{value}: {body}");
    }
    let first = |a: &Ask| matches!(a, Ask::Set { changes, .. } if changes[0].1 == 1);
    assert_eq!(engine.inside().count(first), 2);
    let with =
        |more: &[&str]| house.curl(path, &[&["-u", "admin:secret", "-d", "1"], more].concat()).0;
    assert_eq!(with(&["-H", "Transfer-Encoding: chunked"]), 200);
    assert_eq!(with(&["-H", "Expect: 100-continue"]), 200);
    assert_eq!(with(&["-H", "Origin: http://elsewhere"]), 403);
    let (status, body) = house.curl(path, &["-u", "admin:secret"]);
    assert!(status == 200 && body.contains("\"value\":1"), "{body}");

    // A user whom `lensd user` adds is known at once, to the engine too.
    let add = UserCommand::Add {
        name: "new".into(),
        role: "viewer".into(),
        password: "looks too".into(),
    };
    let done = lensd_control::local::ask(&house.folder.0, &add).unwrap();
    assert_eq!(done.error, None);
    assert_eq!(house.curl("/api/streams", &["-u", "new:looks too"]).0, 200);
    let reader = StateReader::attach(Arc::clone(&house.memory)).unwrap();
    assert!(reader.read::<ControlState>().unwrap().users.find("new").is_some());

    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(house.curl("/api/streams", &["-u", "admin:wrong"]).0);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let (status, body) = house.curl("/api/streams", &["-u", "admin:secret"]);
    assert!(status == 429 && body.contains("\"retry_after\":"), "{body}");
    house.stop();
}

#[test]
fn requests_of_every_kind() {
    let house = House::open("requests");
    let engine = FakeEngine::start(&house.leash);
    until("the engine is seen", || house.get("/health/ready").starts_with("HTTP/1.1 200"));
    std::fs::write(
        house.folder.0.join("run/ports.json"),
        format!("{{\"http\":{},\"rtsp\":8554}}", house.port),
    )
    .unwrap();
    let info = house.json("/api/info");
    assert_eq!(info["data"]["urls"]["main"], "rtsp://cam:8554/stream1");
    assert_eq!(info["version"], info["data"]["version"]);
    let streams = house.json("/api/streams");
    assert_eq!(streams["status"], "success");
    assert_eq!(streams["data"]["streams"][0]["rtsp"], "rtsp://cam:8554/cam1/main");
    assert_eq!(house.json("/api/camera/status")["data"]["name"], "Front");
    let health = house.json("/health");
    assert_eq!(health["data"]["status"], "degraded");
    assert_eq!(health["data"]["engine"], "running");
    engine.inside().state.cameras[1].connected = true;
    engine.inside().tell();
    assert_eq!(house.json("/health")["data"]["status"], "ok");

    let page = house.get("/");
    assert!(page.contains("Content-Security-Policy: default-src 'none'") && page.contains("<html"));
    assert!(!page.contains("{{nonce}}"));
    let lost = house.get("/nothing");
    assert!(lost.starts_with("HTTP/1.1 404") && lost.contains("\"code\":\"NOT_FOUND\""));
    let (status, _) = house.curl("/api/info", &["-X", "DELETE"]);
    assert_eq!(status, 405);
    let text = house.raw("DELETE /api/info HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(text.contains("Allow: GET, HEAD, OPTIONS\r\n"), "{text}");
    assert_eq!(house.curl("/api/info", &["-I"]).0, 200);
    assert_eq!(house.curl("/image", &["-I"]).0, 200);
    assert_eq!(house.curl("/api/info", &["-X", "OPTIONS"]).0, 200);

    // Several requests in one packet, one of which has to wait for the engine.
    let text = house.raw(
        "GET /image HTTP/1.1\r\nHost: h\r\n\r\nGET /health/live HTTP/1.1\r\nHost: h\r\n\r\n\
         GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
    assert!(place("still q0") < place("\"ok\"") && place("\"ok\"") < place("NOT_FOUND"));

    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999\r\n\r\n", "413"),
        ("\x16\x03\x01\x02", "400"),
    ] {
        let text = house.raw(request);
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {text}");
        assert!(text.contains("Connection: close") && text.contains("\"status\":\"error\""));
    }
    let long = house.raw(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)));
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    house.stop();
}

#[test]
fn who_is_slow_or_too_many_is_sent_away() {
    let house = House::start("slow", Config { max_connections: 4, ..Config::default() });
    let mut loris = house.connect();
    loris.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let busy = [house.connect(), house.connect()];
    for mut stream in &busy {
        stream.write_all(b"GET /a").unwrap();
    }
    let mut resting = house.connect();
    resting.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    read_until(&mut resting, "degraded");
    sleep(ms(1100));
    // One who rests makes room for one who asks; after that the house is full.
    let mut fifth = house.connect();
    fifth.write_all(b"GET /heal").unwrap();
    until("it is counted", || {
        let text = house.get("/health");
        text.starts_with("HTTP/1.1 503") && text.contains("TOO_MANY_CONNECTIONS")
    });
    let before = now();
    assert!(read_until(&mut loris, "\r\n\r\n").starts_with("HTTP/1.1 408"));
    assert!(now().since(before) < Nanos::from_secs(11));
    until("there is room again", || house.get("/health").starts_with("HTTP/1.1 200"));
    house.stop();
}

#[test]
fn a_flood_leaves_nothing_behind() {
    let house = House::start("flood", Config { max_connections: 32, ..Config::default() });
    for round in 0..3 {
        let mut good = house.connect();
        let flood: Vec<TcpStream> = (0..300).map(|_| house.connect()).collect();
        for mut stream in &flood {
            let _ = stream.write_all(b"POST /api/settings/main-camera HTTP/1.1\r\nContent-Le");
        }
        // Who was there first is served meanwhile.
        good.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        read_until(&mut good, "degraded");
        drop(flood);
        until(&format!("there is room after round {round}"), || {
            house.get("/health").starts_with("HTTP/1.1 200")
        });
    }
    house.stop();
}

#[test]
fn calls_without_a_login_are_limited() {
    let limits = Limits { anonymous_per_minute: 3, ..Limits::default() };
    let house = House::start("limits", Config { limits, ..Config::default() });
    let text = house.get("/api/info");
    assert!(text.contains("X-RateLimit-Limit: 3\r\nX-RateLimit-Remaining: 2\r\n"), "{text}");
    house.get("/api/info");
    house.get("/api/info");
    let text = house.get("/api/info");
    assert!(text.starts_with("HTTP/1.1 429") && text.contains("Retry-After: "), "{text}");
    assert!(text.contains("\"limit\":3") && text.contains("\"period\":\"minute\""), "{text}");
    assert!(house.get("/health").starts_with("HTTP/1.1 200"));
    assert_eq!(house.curl("/api/info?token=tok", &[]).0, 200);
    house.stop();
}

#[test]
fn a_port_that_is_taken_and_a_leash_that_ends() {
    let house = House::open("taken");
    let (leash, theirs) = Link::pair().unwrap();
    let fd = blank("control", PLANE_WORDS).unwrap();
    let http = Some(format!("127.0.0.1:{}", house.port));
    let data = house.folder.0.join("other");
    std::fs::create_dir_all(data.join("state")).unwrap();
    let config = Config { http, data, discovery_port: 0, ..Config::default() };
    let config = serde_json::to_value(config).unwrap();
    leash.send(&Order::Start { config }, &[fd.as_fd()]).unwrap();
    let other = Builder::new().spawn(move || run(theirs)).unwrap();
    let listening = || loop {
        match leash.receive() {
            Ok(Received::Message(Report::Listening { ports, notes }, _)) => return (ports, notes),
            Ok(Received::Message(..)) => {}
            _ => panic!("it has ended"),
        }
    };
    let (ports, notes) = listening();
    let note = notes.iter().find(|note| note.contains("--http")).unwrap();
    assert!(note.contains(&house.port.to_string()) && !note.contains('\n'), "{note}");
    assert!(!ports.contains_key("http"));

    drop(house.leash);
    assert_eq!(format!("{:?}", house.thread.join().unwrap()), format!("{:?}", ExitCode::SUCCESS));
    // Now it can be had.
    assert_eq!(listening().0["http"], house.port);
    TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    drop(leash);
    assert_eq!(format!("{:?}", other.join().unwrap()), format!("{:?}", ExitCode::SUCCESS));
}
