//! The frame tap with real programs: in C, compiled here, in Python, and those that read a pipe.
//!
//! What they see is proved by the test camera's checksum of each frame, and counted.
#![allow(missing_docs)]

mod play;

use lensd_engine::camera::marks::Marks;
use lensd_ffi::tap::client::{Options, Tap, TapError};
use lensd_ffi::tap::units::Units;
use lensd_ffi::tap::wire::Mode;
use lensd_ffi::time::Nanos;
use play::proof::{let_frames_pass, marks_of};
use play::{Done, Folder, Play, Running, Server, http, linked_tool, run, until};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const WAIT: Option<Nanos> = Some(Nanos::from_secs(60));

/// Where `ffi/install.sh` has put library and header. Tests are processes that run at once: one
/// after the other looks whether it is up to date.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("liblensd");
        run(Command::new("flock")
            .arg(prefix.with_extension("lock"))
            .arg(format!("{ROOT}/ffi/install.sh"))
            .arg("--debug")
            .arg(&prefix));
        prefix
    })
}

/// What pkg-config says, as words.
fn flags(kind: &str) -> Vec<String> {
    let path = prefix().join("lib/pkgconfig");
    let mut command = Command::new("pkg-config");
    let done = run(command.args([kind, "lensd"]).env("PKG_CONFIG_PATH", path));
    String::from_utf8(done.out).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// Compiles an example of `ffi/examples` as its head says.
fn compile(name: &str, to: &Folder) -> PathBuf {
    let program = to.file(name);
    let rpath = format!("-Wl,-rpath,{}", prefix().join("lib").display());
    run(Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"])
        .arg(format!("{ROOT}/ffi/examples/{name}.c"))
        .args(flags("--cflags"))
        .args(flags("--libs"))
        .arg(rpath)
        .arg("-o")
        .arg(&program));
    program
}

fn socket(server: &Server) -> PathBuf {
    server.folder.file("data/run/tap.sock")
}

fn options(server: &Server) -> Options {
    Options { socket: Some(socket(server)), ..Options::default() }
}

/// A program that reads frames of this server.
fn client(program: &Path, server: &Server) -> Command {
    let mut command = Command::new(program);
    command.env("LENSD_TAP", socket(server));
    command
}

/// The counts that a program of C prints at its end.
fn counts(done: &Done) -> [u64; 4] {
    let line = done
        .err
        .lines()
        .find(|l| l.starts_with("given "))
        .unwrap_or_else(|| panic!("{}", done.err));
    let numbers = line.split(", ").map(|part| part.split(' ').nth(1).unwrap().parse().unwrap());
    numbers.collect::<Vec<u64>>().try_into().unwrap()
}

fn tap_state(server: &Server, key: &str) -> u64 {
    server.state()["tap"][key].as_u64().unwrap()
}

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_program_in_c_sees_whole_frames() {
    let server = Play::open().start();
    let tap = compile("tap", &server.folder);
    let done = run(client(&tap, &server).args(["--every", "--crc", "--frames", "200"]));
    let [given, lost, revoked, torn] = counts(&done);
    assert!(given >= 200 && lost == 0 && revoked == 0 && torn == 0, "{}", done.err);
    let out = String::from_utf8(done.out).unwrap();
    let numbers: Vec<u32> =
        out.lines().map(|l| l.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.len(), 200);
    play::proof::check_numbers(&server, 1, &numbers);
    assert!(out.lines().all(|l| l.contains(" YU12 320x180 ")), "{out}");
    // As it is, nothing was copied, also if that is what one asks for.
    let asked = ["--format", "I420", "--size", "320x180", "--crc", "--frames", "20"];
    assert_eq!(counts(&run(client(&tap, &server).args(asked)))[3], 0);
    let_frames_pass(&server, 30);
    assert_eq!(tap_state(&server, "copied_pixel_bytes"), 0);
}

#[test]
fn the_static_library_is_whole() {
    let server = Play::open().start();
    let program = server.folder.file("tap");
    run(Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE"])
        .arg(format!("{ROOT}/ffi/examples/tap.c"))
        .args(flags("--cflags"))
        .arg(prefix().join("lib/liblensd.a"))
        .args(["-lpthread", "-ldl", "-lm", "-lgcc_s", "-o"])
        .arg(&program));
    let done = run(client(&program, &server).args(["--crc", "--frames", "3"]));
    assert_eq!(counts(&done)[3], 0);
}

#[test]
fn units_for_c() {
    let server = Play::open().start();
    let units = compile("units", &server.folder);
    let done = run(client(&units, &server).args(["stream1", "60"]));
    let messages = play::proof::messages_of(&done.out);
    play::proof::check_messages(&server, &messages, 60);
    assert!(done.err.lines().next().unwrap().contains("key frame"), "{}", done.err);
}

/// Luma of this many frames, in order. While the reader starts, the pipe is full and frames are lost,
/// which is counted.
fn check_piped(server: &Server, luma: &[u8], frames: usize) {
    let marks = marks_of(luma, 320, 180, 320 * 180);
    assert_eq!(marks.len(), frames);
    let missing =
        |pair: &[Marks]| u64::from(pair[1].number.checked_sub(pair[0].number + 1).unwrap());
    let missing: u64 = marks.windows(2).map(missing).sum();
    until("the losses in the count", || {
        (missing <= tap_state(server, "lost") + server.camera_lost(1)).then_some(())
    });
}

#[test]
fn ffmpeg_and_gstreamer_read_the_pipe() {
    let server = Play::open().start();
    let y4m = compile("y4m", &server.folder);
    let (raw, y4m) = (server.folder.file("raw"), y4m.display().to_string());
    let pipe = |script: String| {
        let mut shell = Command::new("bash");
        shell.env("LENSD_TAP", socket(&server)).args(["-o", "pipefail", "-c", &script]);
        run(&mut shell)
    };
    let done = pipe(format!(
        "{y4m} --frames 60 --fps 50 | ffmpeg -nostdin -v error -f yuv4mpegpipe -i pipe:0 \
         -fps_mode passthrough -pix_fmt gray -f rawvideo pipe:1"
    ));
    check_piped(&server, &done.out, 60);
    let done = pipe(format!(
        "{y4m} --frames 40 --raw GREY | ffmpeg -nostdin -v error -f rawvideo -pix_fmt gray \
         -s 320x180 -r 50 -i pipe:0 -f rawvideo pipe:1"
    ));
    check_piped(&server, &done.out, 40);
    pipe(format!(
        "{y4m} --frames 60 | gst-launch-1.0 -q fdsrc ! y4mdec ! videoconvert ! \
         video/x-raw,format=GRAY8 ! filesink location={}",
        raw.display()
    ));
    // GStreamer's rows are a multiple of four long, and so are these.
    check_piped(&server, &fs::read(raw).unwrap(), 60);
}

/// Installs the package as its users do, with the system's NumPy, OpenCV and setuptools, so that
/// nothing is fetched; returns the interpreter that has it.
fn install_package(to: &Folder) -> PathBuf {
    let (venv, source) = (to.file("venv"), to.file("package"));
    run(Command::new(linked_tool("python3"))
        .args(["-m", "venv", "--without-pip", "--system-site-packages"])
        .arg(&venv));
    // The build writes beside its sources.
    run(Command::new("cp").arg("-r").arg(format!("{ROOT}/ffi/python")).arg(&source));
    let python = venv.join("bin/python");
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation"])
        .arg("--disable-pip-version-check")
        .arg(&source));
    python
}

#[test]
fn a_program_in_python_sees_the_same_memory() {
    let server = Play::open().start();
    let python = install_package(&server.folder);
    let script = |arguments: &[&str]| {
        let mut command = client(&python, &server);
        let library = prefix().join("lib/liblensd.so");
        run(command.env("LENSD_LIBRARY", library).args(arguments))
    };
    let done = script(&["-c", include_str!("play/tap.py")]);
    let out = String::from_utf8(done.out).unwrap();
    assert_eq!(out.lines().last(), Some("all is well"), "{out}\n{}", done.err);
    for example in ["tap.py", "opencv.py"] {
        let path = format!("{ROOT}/ffi/examples/{example}");
        let done = script(&[&path, "stream1", "10"]);
        let lines = String::from_utf8(done.out).unwrap();
        assert_eq!(lines.lines().count(), 10, "{example}: {lines}");
    }
}

#[test]
fn one_that_is_stopped_changes_nothing_for_the_others() {
    let server = Play::open().start();
    let tap = compile("tap", &server.folder);
    let stalled = Running::start(client(&tap, &server).args(["--every", "--hold", "1"]));
    until("the first", || (tap_state(&server, "clients") == 1).then_some(()));
    let_frames_pass(&server, 10);
    stalled.signal(Signal::STOP);
    let others = [(); 3].map(|()| {
        Running::start(client(&tap, &server).args(["--every", "--crc", "--frames", "150"]))
    });
    for other in others {
        let done = other.succeed();
        let [_, lost, revoked, torn] = counts(&done);
        let out = String::from_utf8(done.out).unwrap();
        let numbers: Vec<u32> =
            out.lines().map(|l| l.split(' ').next().unwrap().parse().unwrap()).collect();
        // The camera made all of them, and each was given to each: what a client did not see, it
        // was too slow for itself, which a busy machine may do to it.
        let missing: u64 = numbers.windows(2).map(|w| u64::from(w[1] - w[0] - 1)).sum();
        assert!(missing <= lost + server.camera_lost(1), "{missing} {lost}");
        assert_eq!((revoked, torn), (0, 0), "{}", done.err);
    }
    // The camera had buffers all the time; the stopped one has lost what it did not take.
    until("its losses", || (tap_state(&server, "lost") > 50).then_some(()));
    stalled.signal(Signal::CONT);
    let_frames_pass(&server, 10);
    stalled.signal(Signal::TERM);
    drop(stalled);
    until("its end", || (tap_state(&server, "clients") == 0).then_some(()));
    assert_eq!(tap_state(&server, "loans"), 0);
}

#[test]
fn clients_that_are_killed_leave_nothing_behind() {
    let rounds = if std::env::var("LENSD_LONG").is_ok_and(|v| v == "1") { 1000 } else { 40 };
    let server = Play::open().start();
    let tap = compile("tap", &server.folder);
    let engine = server.plane("engine");
    let nobody = || {
        until("nobody", || {
            (tap_state(&server, "clients") == 0 && tap_state(&server, "loans") == 0).then_some(())
        });
    };
    let kill_some = |rounds: u32| {
        let ways: [&[&str]; 4] = [
            &["--every", "--hold", "5"],
            &["--crc"],
            &["--size", "160x90", "--format", "BGR24"],
            &["--every", "--format", "GREY"],
        ];
        for round in 0..rounds {
            let mut victim =
                Running::start(client(&tap, &server).args(ways[round as usize % ways.len()]));
            if round % 3 != 0 {
                // Else it is killed wherever it is on its way in.
                until("a client", || {
                    (tap_state(&server, "clients") > 0 || victim.is_over()).then_some(())
                });
            }
            victim.signal(Signal::KILL);
            let _ = victim.finish();
        }
        nobody();
    };
    // The first ones also start what is started once.
    kill_some(8);
    let before = (descriptors(engine), server.engine_memory());
    kill_some(rounds);
    let after = until("the last descriptors", || {
        let now = descriptors(engine);
        (now <= before.0).then_some((now, server.engine_memory()))
    });
    // Fewer are fine: the last of the first ones may have been on its way out.
    assert!(after.0 <= before.0);
    assert!(after.1 < before.1 + 8 * 1024, "{} KiB became {}", before.1, after.1);
    assert_eq!(server.plane("engine"), engine, "it is the same engine");
}

#[test]
fn strangers_need_a_token() {
    // A folder that others reach: the data folder is its owner's.
    let folder = Folder::new();
    let path = folder.file("tap.sock");
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Play::new()
        .users()
        .settings(&format!("[tap]\nsocket = {:?}\n", path.display().to_string()))
        .start();
    let tap = compile("tap", &folder);
    // The library lies in the target folder, which others may not read.
    let library = folder.file("lib");
    run(Command::new("cp").arg("-rL").arg(prefix().join("lib")).arg(&library));
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(&folder.0));
    let own = run(Command::new(&tap).env("LENSD_TAP", &path).args(["--frames", "3"]));
    assert_eq!(counts(&own)[3], 0);
    if !rustix::process::getuid().is_root() {
        // Nobody else can be played; who is let in is also tested in engine/src/tap/door.rs.
        return;
    }
    let stranger = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(&tap);
        command.env("LENSD_TAP", &path).env("LD_LIBRARY_PATH", &library).args(arguments);
        Running::start(command.args(["--frames", "3"])).finish()
    };
    let refused = |done: &Done, why: &str| {
        assert!(!done.status.success() && done.err.contains(why), "{}", done.err);
    };
    refused(&stranger(&[]), "may not read frames: give a token");
    refused(&stranger(&["--token", "tok-eve"]), "token is wrong or has expired");
    assert!(stranger(&["--token", "tok-bob"]).status.success());
    let set = |body: &str| http(&server, "PATCH /api/settings", body);
    let (status, body) = set(r#"{"tap-users":"nobdoy"}"#);
    assert!(status >= 400 || body.contains("no user"), "{status} {body}");
    let (status, body) = set(r#"{"tap-users":"nobody"}"#);
    assert_eq!(status, 200, "{body}");
    assert!(stranger(&[]).status.success());
    set(r#"{"tap-users":"@nogroup"}"#);
    assert!(stranger(&[]).status.success());
    // Who is not named any more goes.
    let mut long = Command::new("setpriv");
    long.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(&tap);
    let long = Running::start(long.env("LENSD_TAP", &path).env("LD_LIBRARY_PATH", &library));
    until("it", || {
        let clients = server.state()["tap_clients"].clone();
        clients.as_array()?.iter().any(|c| c["pid"] == long.pid()).then_some(())
    });
    set(r#"{"tap-users":""}"#);
    let done = long.finish();
    assert!(done.err.contains("may not read frames any more"), "{}", done.err);
}

#[test]
fn settings_are_taken_and_told() {
    let server = Play::new().users().start();
    let get = |key: &str| {
        let (status, body) = http(&server, &format!("GET /api/settings/{key}"), "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"]["value"].clone()
    };
    let set = |body: &str| http(&server, "PATCH /api/settings", body);
    // The engine tells its values some moments after it listens.
    until("the engine's values", || (get("tap-enabled") == true).then_some(()));
    set(r#"{"tap-size":"160x90","tap-format":"GREY","tap-max-clients":1}"#);
    assert_eq!(get("tap-size"), "160x90");
    let mut tap = Tap::open(&options(&server)).unwrap();
    let frame = tap.next(WAIT).unwrap().unwrap();
    let r = frame.record;
    assert_eq!((r.width, r.height, r.fourcc), (160, 90, u32::from_le_bytes(*b"GREY")));
    let full = Tap::open(&options(&server)).unwrap_err();
    assert!(matches!(&full, TapError::Refused { code, .. } if code == "RATE_LIMITED"), "{full}");
    until("the count", || (get("tap-clients") == 1).then_some(()));
    until("copied bytes", || (get("tap-copied").as_u64()? > 0).then_some(()));
    let (_, body) = set(r#"{"tap-size":"161x90"}"#);
    assert!(body.contains("even sides"), "{body}");
    set(r#"{"tap-enabled":false}"#);
    let over = until("its end", || tap.next(Some(Nanos::from_millis(50))).err());
    assert!(over.to_string().contains("switched off"), "{over}");
    until("the frame's end", || (!frame.is_valid()).then_some(()));
    let off = Tap::open(&options(&server)).unwrap_err();
    assert!(off.to_string().contains("tap-enabled"), "{off}");
}

#[test]
fn how_long_clients_take_to_be_woken_is_a_stage() {
    let server = Play::open().start();
    let mut tap = Tap::open(&options(&server)).unwrap();
    until("the stage", || {
        tap.next(WAIT).unwrap().unwrap();
        let stages = &server.state()["engine"]["streams"][0]["stages"];
        let tap = stages.as_array()?.iter().find(|s| s["stage"] == "tap")?;
        (tap["units"].as_u64()? >= 3 && tap["max_us"].as_u64()? > 0).then_some(())
    });
}

#[test]
fn who_follows_the_active_camera_gets_the_other_one() {
    let server = Play::open()
        .users()
        .camera("test:?size=320x180&fps=50")
        .camera("test:?size=640x360&fps=50")
        .start();
    let mut tap = Tap::open(&Options { mode: Mode::Every, ..options(&server) }).unwrap();
    let mut fixed = Tap::open(&Options { stream: "cam1".into(), ..options(&server) }).unwrap();
    let mut units = Units::open(&options(&server)).unwrap();
    let width = |tap: &mut Tap| tap.next(WAIT).unwrap().unwrap().record.width;
    assert_eq!((width(&mut tap), width(&mut fixed)), (320, 320));
    assert_eq!(units.next(WAIT).unwrap().unwrap().meta.width, 320);
    http(&server, "PATCH /api/settings", r#"{"main-camera":2}"#);
    until("the other camera", || (width(&mut tap) == 640).then_some(()));
    until("its units", || {
        let unit = units.next(WAIT).unwrap().unwrap();
        (unit.meta.width == 640).then(|| assert!(unit.meta.key, "they begin with a key frame"))
    });
    assert_eq!((tap.stream(), units.stream()), ("cam2/main", "cam2/main"));
    assert_eq!((width(&mut fixed), fixed.stream()), (320, "cam1/main"));
}

#[test]
fn frames_of_cameras_that_deliver_something_else() {
    let folder = Folder::new();
    let (h264, mjpeg) = (folder.file("a.h264"), folder.file("a.mjpeg"));
    play::make_h264(&h264, 100, 10);
    run(Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x240:rate=25",
            "-frames:v",
            "50",
        ])
        .args(["-pix_fmt", "yuvj420p", "-f", "mjpeg"])
        .arg(&mjpeg));
    let server = Play::open()
        .camera(&format!("file:{}", h264.display()))
        .camera(&format!("file:{}", mjpeg.display()))
        .start();
    for camera in ["cam1", "cam2", "cam1/sub"] {
        let mut tap = Tap::open(&Options { stream: camera.into(), ..options(&server) }).unwrap();
        let frame = tap.next(WAIT).unwrap().unwrap();
        let bytes = until("a whole picture", || tap.next(WAIT).unwrap().unwrap().copy());
        let r = frame.record;
        assert_eq!(
            (r.width * 3, r.fourcc),
            (r.height * 4, u32::from_le_bytes(*b"YU12")),
            "{camera}"
        );
        // A test card has all kinds of luminance.
        let luma = &bytes[..(r.width * r.height) as usize];
        assert!(luma.iter().max().unwrap() - luma.iter().min().unwrap() > 100, "{camera}");
    }
    // They were decoded, and that is told.
    until("the count", || (tap_state(&server, "copied_pixel_bytes") > 0).then_some(()));
}

#[test]
fn a_camera_that_delivers_something_else_than_was_asked_for() {
    let server = Play::open().users().start();
    let fixed =
        Options { size: Some("320x180".into()), format: Some("I420".into()), ..options(&server) };
    let mut fixed = Tap::open(&fixed).unwrap();
    let mut free = Tap::open(&options(&server)).unwrap();
    assert_eq!(fixed.next(WAIT).unwrap().unwrap().record.width, 320);
    http(&server, "PATCH /api/settings", r#"{"resolution":"640x360"}"#);
    until("the new size", || (free.next(WAIT).unwrap()?.record.width == 640).then_some(()));
    let end = until("the end", || fixed.next(Some(Nanos::from_millis(100))).err());
    assert!(end.to_string().contains("something else"), "{end}");
}

#[test]
fn a_camera_that_rests_is_woken_by_a_tap() {
    let server = Play::open()
        .settings("[[camera]]\nsource = \"test:?size=320x180&fps=50\"\non-demand = true\n")
        .start();
    let frames = || server.state()["engine"]["cameras"][0]["connected"] == true;
    assert!(!frames());
    let mut tap = Tap::open(&options(&server)).unwrap();
    assert!(tap.next(WAIT).unwrap().unwrap().copy().is_some());
    assert!(until("the camera", || frames().then_some(true)));
    drop(tap);
    until("its rest", || (!frames()).then_some(()));
}

#[test]
fn clients_find_out_that_the_engine_has_ended() {
    let mut server = Play::open().start();
    let mut tap = Tap::open(&options(&server)).unwrap();
    let frame = tap.next(WAIT).unwrap().unwrap();
    server.kill_plane("engine");
    let end = until("the end", || tap.next(Some(Nanos::from_secs(1))).err());
    assert!(matches!(end, TapError::Closed(_)), "{end}");
    // What is mapped stays.
    assert!(frame.pixels().len() > 320 * 180);
    until("another one", || Tap::open(&options(&server)).ok()?.next(WAIT).ok()?);
}

#[test]
fn who_says_nonsense_is_told_so() {
    use lensd_ffi::link::{Link, Received};
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket as open};
    let server = Play::open().start();
    let talk = |packets: &[&[u8]]| {
        let fd = open(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&fd, &SocketAddrUnix::new(socket(&server)).unwrap()).unwrap();
        for packet in packets {
            // It may have been closed already.
            let _ = rustix::net::send(&fd, packet, rustix::net::SendFlags::NOSIGNAL);
        }
        let link = Link::from_fd(fd);
        let mut said = String::new();
        while let Ok(Received::Message(packet, _)) = link.receive_packet() {
            said += &String::from_utf8(packet).unwrap();
        }
        said
    };
    assert!(talk(&[b"GET / HTTP/1.1\r\n\r\n"]).contains("INVALID_VALUE"));
    assert!(talk(&[br#"{"version":9}"#]).contains("speaks version 1"));
    assert!(talk(&[br#"{"version":1,"size":"1x1"}"#]).contains("even sides"));
    assert!(talk(&[br#"{"version":1,"format":"YUYV"}"#]).contains("none of camera, I420"));
    assert!(talk(&[br#"{"version":1}"#, b"more"]).contains("says nothing after"));
    until("the count", || (tap_state(&server, "refused") >= 4).then_some(()));
    // Nobody was harmed.
    assert!(Tap::open(&options(&server)).unwrap().next(WAIT).unwrap().is_some());
}
