//! Three processes, each of which may die at any time.
#![allow(missing_docs)]

mod play;

use play::proof::{check_marks, let_frames_pass, marks_of};
use play::talk::Assembler;
use play::{CAMERA, Folder, LENSD, Play, Running, Server, run, signal, until};
use rustix::process::Signal;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;

fn player(server: &Server, frames: u32) -> Running {
    Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-rtsp_transport", "tcp"])
            .args(["-i", &server.rtsp("stream1"), "-frames:v", &frames.to_string()])
            .args(["-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]),
    )
}

fn check_player(server: &Server, player: Running, frames: usize) {
    let done = player.succeed();
    check_marks(server, &marks_of(&done.out, 320, 180, 320 * 180), frames);
}

fn playing(server: &Server) {
    until("the player", || server.clients().iter().any(|c| c["state"] == "playing").then_some(()));
}

#[test]
fn no_frame_is_lost_when_control_dies() {
    let mut server = Play::open().start();
    let player = player(&server, 250);
    playing(&server);
    let web = server.address("http");
    for _ in 0..2 {
        server.kill_plane("control");
        // It comes back on its own port.
        until("the web page", || TcpStream::connect(web).ok());
        let_frames_pass(&server, 20);
    }
    assert!(play::http(&server, "GET /api/health", "").1.contains("running"));
    check_player(&server, player, 250);
}

#[test]
fn the_engine_comes_back_with_its_ports_and_settings() {
    let mut server =
        Play::open().users().camera(CAMERA).camera("test:?size=640x360&fps=50").start();
    let addresses = [server.address("rtsp"), server.address("rtsps")];
    for _ in 0..2 {
        let mut talk = server.connect();
        talk.play("stream1");
        server.kill_plane("engine");
        assert!(talk.is_closed());
        for address in addresses {
            until("the port", || TcpStream::connect(address).ok());
        }
        let again = player(&server, 50);
        check_player(&server, again, 50);
        // Control has found the new one.
        until("health", || {
            let (_, body) = play::http(&server, "GET /api/health", "");
            (body.contains("running") && body.contains("\"ok\"")).then_some(())
        });
        let (status, picture) = {
            let done = run(Command::new("curl")
                .args(["-sS", "-o", "/dev/null", "-w"])
                .args(["%{http_code} %{size_download}", &server.http("api/snapshot")]));
            let text = String::from_utf8(done.out).unwrap();
            let (status, size) = text.split_once(' ').unwrap();
            (status.to_owned(), size.parse::<u64>().unwrap())
        };
        assert!(status == "200" && picture > 1000, "{status} {picture}");
    }
}

#[test]
fn players_are_told_goodbye() {
    for by in [Signal::TERM, Signal::INT] {
        let mut server = Play::open().start();
        let mut talk = server.connect();
        talk.play("stream1");
        let mut assembler = Assembler::default();
        for _ in 0..20 {
            let (channel, packet) = talk.packet().unwrap();
            if channel == 0 {
                assembler.push(&packet);
            }
        }
        let status = server.end(by);
        assert!(status.success(), "{status}");
        server.check_gone();
        assert!(!server.folder.file("data/run/ports.json").exists());
        // All that was sent comes first, then the goodbye, then the end.
        let mut goodbye = false;
        while let Ok((channel, packet)) = talk.packet() {
            assert!(!goodbye, "something follows the goodbye");
            match channel {
                0 => {
                    assembler.push(&packet);
                }
                // A compound packet: a report first, BYE (203) in it.
                _ => goodbye = packet_types(&packet).contains(&203),
            }
        }
        assert!(goodbye, "no BYE after {by:?}");
        assert_eq!(assembler.gaps, 0);
    }
}

#[test]
fn players_over_udp_are_told_goodbye_however_they_leave() {
    let server = Play::open().settings("[rtsp]\ntimeout = 5\n").start();
    for how in ["TEARDOWN", "close", "silence"] {
        let [rtp, rtcp] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        rtcp.set_read_timeout(Some(play::LIMIT.duration())).unwrap();
        let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
        let mut talk = server.connect();
        let transport =
            format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", port(&rtp), port(&rtcp));
        let answer = talk.ask("SETUP", "stream1/trackID=0", &transport);
        let session = format!("Session: {}\r\n", answer.session());
        assert_eq!(talk.ask("PLAY", "stream1", &session).status, 200);
        let report = || {
            let mut buffer = [0; 500];
            let n = rtcp.recv(&mut buffer).unwrap();
            packet_types(&buffer[..n])
        };
        assert_eq!(report(), [200, 202], "a sender report");
        match how {
            "TEARDOWN" => assert_eq!(talk.ask("TEARDOWN", "stream1", &session).status, 200),
            "close" => drop(talk),
            _ => {}
        }
        // A compound begins with a report, and there may be some of the stream before the end.
        until(how, || (report() == [201, 202, 203]).then_some(()));
    }
}

/// Types of the packets of a compound RTCP packet (RFC 3550 6.1).
fn packet_types(mut compound: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some(head) = compound.first_chunk::<4>() {
        types.push(head[1]);
        let words = usize::from(u16::from_be_bytes([head[2], head[3]])) + 1;
        compound = compound.get(words * 4..).unwrap_or_default();
    }
    types
}

#[test]
fn reports_come_with_the_first_packet() {
    let server = Play::open().start();
    let mut talk = server.connect();
    talk.play("stream1");
    let (channel, packet) = talk.packet().unwrap();
    assert_eq!((channel, packet[1]), (1, 200), "a sender report before the first picture");
}

#[test]
fn the_planes_end_with_their_supervisor() {
    let mut server = Play::open().start();
    let address = server.address("rtsp");
    let status = server.end(Signal::KILL);
    assert!(!status.success());
    server.check_gone();
    assert!(TcpStream::connect(address).is_err());
    // The folder is free for the next one.
    let mut command = Command::new(LENSD);
    command.args(["--open", "--camera", CAMERA, "--http", "127.0.0.1:0", "--rtsp", "127.0.0.1:0"]);
    command.args(["--https", "off", "--rtsps", "off", "--data"]).arg(server.folder.file("data"));
    let next = std::mem::replace(&mut server.folder, Folder::new());
    let next = Server::start(command, next);
    assert!(next.ports["rtsps"].is_null());
}

/// One line that says what is wrong, and exit code 1.
fn refused(command: &mut Command, wants: &[&str]) {
    let done = Running::start(command).finish();
    assert_eq!(done.status.code(), Some(1), "{}", done.err);
    let lines: Vec<&str> = done.err.lines().collect();
    let reasons: Vec<&&str> = lines.iter().filter(|l| l.starts_with("lensd: ")).collect();
    assert_eq!(reasons.len(), 1, "{}", done.err);
    for want in wants {
        assert!(reasons[0].contains(want), "{want:?} is not in {:?}", reasons[0]);
    }
    assert!(done.out.is_empty(), "{}", String::from_utf8_lossy(&done.out));
}

#[test]
fn a_port_that_is_taken() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let options = ["--http", "--https", "--rtsp", "--rtsps"];
    let mut taken = Vec::new();
    for option in options {
        let folder = Folder::new();
        let mut command = Command::new(LENSD);
        for own in options {
            command.args([own, if own == option { address.as_str() } else { "127.0.0.1:0" }]);
        }
        command.arg("--data").arg(folder.file("data")).args(["--camera", CAMERA]);
        let server = Server::start(command, folder);
        let name = option.trim_start_matches('-');
        assert!(server.ports[name].is_null() && server.ports.as_object().unwrap().len() >= 3);
        let log = until("the banner", || Some(server.log()).filter(|l| l.contains("is running")));
        for say in [&*address, "another program", option] {
            assert!(log.contains(say), "{say:?} is not in {log}");
        }
        taken.push((server, name.to_owned()));
    }
    // Whoever has it ends: then it is served there, and programs are told.
    drop(other);
    let (server, name) = taken.swap_remove(0);
    drop(taken);
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    until("the port", || {
        let ports = fs::read_to_string(server.folder.file("data/run/ports.json")).ok()?;
        let ports: serde_json::Value = serde_json::from_str(&ports).ok()?;
        (ports[&name] == port).then_some(())
    });
    TcpStream::connect(&address).unwrap();
}

#[test]
fn an_address_that_the_machine_does_not_have() {
    // TEST-NET-1 (RFC 5737) is nobody's.
    let play = Play::new().users().settings(
        "[http]\nlisten = \"127.0.0.1:0\"\n[https]\nlisten = \"192.0.2.1:0\"\n[rtsp]\nlisten = \"192.0.2.1:0\"\n",
    );
    let (command, folder) = play.at_no_address().command();
    let server = Server::start(command, folder);
    let log = until("the banner", || Some(server.log()).filter(|l| l.contains("is running")));
    for say in ["192.0.2.1", "--rtsp", "--https"] {
        assert!(log.contains(say), "{say:?} is not in {log}");
    }
    let keys = until("the settings", || {
        let (status, body) = play::http(&server, "GET /api/config", "");
        (status == 200 && body.contains("192.0.2.1")).then_some(body)
    });
    assert!(keys.contains("rtsp-error") && keys.contains("http-error"));
}

#[test]
fn a_data_folder_that_cannot_be_used() {
    let mut command = Command::new(LENSD);
    refused(command.args(["--data", "/proc/lensd"]), &["/proc/lensd", "--data"]);
    let folder = Folder::new();
    fs::write(folder.file("file"), "").unwrap();
    let inside = folder.file("file/data");
    let mut command = Command::new(LENSD);
    refused(command.arg("--data").arg(&inside), &[inside.to_str().unwrap(), "--data"]);
}

#[test]
fn a_second_server_on_the_same_data() {
    let server = Play::open().start();
    let data = server.folder.file("data");
    let mut command = Command::new(LENSD);
    command.args(["--http", "127.0.0.1:0", "--https", "off"]);
    command.args(["--rtsp", "127.0.0.1:0", "--rtsps", "off"]);
    let command = command.arg("--data").arg(&data).args(["--camera", CAMERA]);
    refused(command, &["another lensd", data.to_str().unwrap()]);
    // The first one is not disturbed, and programs still find it.
    assert!(data.join("run/ports.json").exists());
    assert_eq!(server.connect().ask("OPTIONS", "stream1", "").status, 200);
}

#[test]
fn a_bad_configuration() {
    let folder = Folder::new();
    let file = folder.file("bad.toml");
    fs::write(&file, "[rtsp]\n\njoni = \"gop\"\n").unwrap();
    let place = format!("{}:3: rtsp.joni: ", file.display());
    let run = |args: &[&str]| {
        let mut command = Command::new(LENSD);
        command.args(args).arg("--config").arg(&file).arg("--data").arg(folder.file("data"));
        command
    };
    refused(&mut run(&[]), &[&place, "rtsp.join"]);
    refused(&mut run(&["run"]), &[&place]);
    refused(&mut run(&["check"]), &[&place]);
    assert!(!folder.file("data").exists(), "nothing is made before the settings are good");
    fs::write(&file, "[rtsp]\njoin = \"gop\"\n[[camera]]\nsource = \"test:?fps=5\"\n").unwrap();
    let good = play::run(&mut run(&["check"]));
    assert!(String::from_utf8_lossy(&good.out).contains("fps=5"));
    let mut missing = Command::new(LENSD);
    refused(missing.args(["check", "--config", "/nowhere.toml"]), &["/nowhere.toml"]);
    // Options hold wherever they stand.
    let mut camera = Command::new(LENSD);
    refused(camera.args(["check", "--camera", "tset:"]), &["tset:"]);
    let mut camera = Command::new(LENSD);
    refused(camera.args(["--camera", "tset:", "check"]), &["tset:"]);
    let (first, second) = (["--camera", "test:?fps=7", "check"], ["--open", "check", "--keys"]);
    let good = play::run(Command::new(LENSD).args(first));
    assert!(String::from_utf8_lossy(&good.out).contains("fps=7"));
    assert!(play::run(Command::new(LENSD).args(second)).status.success());
    let mut variable = Command::new(LENSD);
    refused(variable.arg("check").env("LENSD_RTSP", "x"), &["LENSD_RTSP"]);
}

#[test]
fn version_and_the_planes_by_hand() {
    let done = run(Command::new(LENSD).arg("version"));
    let text = String::from_utf8(done.out).unwrap();
    let first = format!("lensd {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(text.lines().next(), Some(first.as_str()));
    assert!(text.contains("variant: ") && text.contains("features: "), "{text}");
    for plane in ["engine", "control"] {
        let done = Running::start(Command::new(LENSD).arg(plane)).finish();
        assert_eq!(done.status.code(), Some(2));
        assert!(done.err.contains("lensd run"), "{}", done.err);
    }
}

#[test]
fn a_plane_that_is_stopped_does_not_stop_the_others() {
    let server = Play::open().start();
    let control = server.plane("control");
    signal(control, Signal::STOP);
    let player = player(&server, 150);
    check_player(&server, player, 150);
    signal(control, Signal::CONT);
    assert!(play::http(&server, "GET /api/health", "").0 == 200);
}

/// What the environment says holds at every start, so also after a reset.
#[test]
fn a_factory_reset_keeps_the_environments_password() {
    let (mut command, folder) = Play::new().command();
    command.env("LENSD_ADMIN_PASSWORD", "from outside");
    let server = play::Server::start(command, folder);
    let ask = |method: &str, path: &str, body: &str| {
        play::ask(&server, "admin:from outside", method, path, body).0
    };
    assert_eq!(ask("GET", "api/users", ""), 200);
    let control = server.plane("control");
    assert_eq!(ask("POST", "api/reset", r#"{"confirm":true}"#), 200);
    until("the restart", || (server.plane("control") != control).then_some(()));
    let mut knock = server.tool("curl");
    knock.args(["-s", "-o", "/dev/null", &server.http("health/live")]);
    until("its port", || knock.status().unwrap().success().then_some(()));
    assert_eq!(ask("GET", "api/users", ""), 200);
    assert!(!server.log().contains("shown this once"), "no other password is made up for long");
}
