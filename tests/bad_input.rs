//! What no player should say, over real sockets: the right status, bounded memory, and nobody else
//! notices.
#![allow(missing_docs)]

mod play;

use play::proof::check_numbers;
use play::talk::{Assembler, TCP, Talk, Unit};
use play::{Play, Running, Server, until};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

/// A good client on a thread: it takes whole frames until told to stop.
struct Good {
    stop: Arc<AtomicBool>,
    frames: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<Unit>>,
}

impl Good {
    fn start(server: &Server, path: &str) -> Self {
        let mut talk = server.connect();
        talk.play(path);
        let stop = Arc::new(AtomicBool::new(false));
        let frames = Arc::new(AtomicUsize::new(0));
        let (own, count) = (Arc::clone(&stop), Arc::clone(&frames));
        let body = move || {
            let mut assembler = Assembler::default();
            let mut units = Vec::new();
            while !own.load(Ordering::Relaxed) {
                let (channel, packet) = talk.packet().expect("the good client's packets");
                if channel == 0 {
                    units.extend(assembler.push(&packet));
                    count.store(units.len(), Ordering::Relaxed);
                }
            }
            assert_eq!(assembler.gaps, 0, "the good client lost packets");
            units
        };
        Self { stop, frames, thread: Builder::new().name("good".into()).spawn(body).unwrap() }
    }

    /// It got every frame that was made.
    fn check(self, server: &Server) {
        until("its frames", || {
            let over = self.thread.is_finished();
            (over || self.frames.load(Ordering::Relaxed) > 20).then_some(())
        });
        self.stop.store(true, Ordering::Relaxed);
        let units = self.thread.join().unwrap();
        assert!(units[0].key);
        let numbers: Vec<u32> = units.iter().map(|u| u.capture.unwrap().number).collect();
        check_numbers(server, 1, &numbers);
    }
}

#[test]
fn the_right_status_for_each_mistake() {
    let server = Play::open().users().start();
    let good = Good::start(&server, "stream1");
    let base = server.rtsp("");
    // Mistakes after which the connection goes on.
    let mut talk = server.connect();
    let cases: &[(&str, &str, &str, u16)] = &[
        ("DESCRIBE", "nowhere", "", 404),
        ("DESCRIBE", "cam9/main", "", 404),
        ("DESCRIBE", "", "", 404),
        ("DESCRIBE", "stream0", "", 404),
        ("DESCRIBE", "../../etc/passwd", "", 404),
        ("DESCRIBE", "stream1", "Accept: text/plain\r\n", 406),
        ("DESCRIBE", "stream1", "Require: funky-feature\r\n", 551),
        ("DESCRIBE", "stream1", "Session: 0123456789abcdef\r\n", 454),
        ("PLAY", "stream1", "", 455),
        ("PLAY", "stream1", "Session: 1\r\n", 454),
        ("PAUSE", "stream1", "", 455),
        ("RECORD", "stream1", "", 401),
        ("TEARDOWN", "stream1", "", 454),
        ("TEARDOWN", "stream1", "Session: nonsense\r\n", 454),
        ("GET_PARAMETER", "stream1", "", 200),
        ("GET_PARAMETER", "stream1", "Session: 77\r\n", 454),
        ("SET_PARAMETER", "stream1", "", 200),
        ("SETUP", "stream1/trackID=0", "", 400),
        ("SETUP", "nowhere/trackID=0", TCP, 404),
        ("SETUP", "stream1/trackID=0", "Transport: RTP/SAVP;unicast;client_port=5-6\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: RAW/RAW/UDP\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: RTP/AVP;unicast\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: RTP/AVP;client_port=70000-70001\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: RTP/AVP;client_port=0-1\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: RTP/AVP/TCP;interleaved=900-901\r\n", 461),
        ("SETUP", "stream1/trackID=0", "Transport: ;;;,,,=\r\n", 461),
        ("SETUP", "stream1/trackID=0?udp", TCP, 461),
        ("SETUP", "stream1?tcp/trackID=0", "Transport: RTP/AVP;client_port=4000-4001\r\n", 461),
        ("ANNOUNCE", "stream1", "Content-Type: application/sdp\r\n", 401),
        ("FLY", "stream1", "", 501),
        ("describe", "stream1", "", 501),
        ("REDIRECT", "stream1", "", 501),
        ("OPTIONS", "*", "", 200),
    ];
    for (method, path, headers, want) in cases {
        let answer = talk.ask(method, path, headers);
        assert_eq!(answer.status, *want, "{method} {path} {headers}");
        let cseq = answer.header("CSeq").expect("a CSeq");
        assert!(cseq.parse::<u32>().is_ok());
    }
    // Mistakes after which nothing can follow.
    let long = "x".repeat(20_000);
    let many = format!("X-Header: {}\r\n", "y".repeat(1000)).repeat(40);
    let texts: &[(String, u16)] = &[
        (format!("DESCRIBE {base}{long} RTSP/1.0\r\nCSeq: 1\r\n\r\n"), 414),
        (format!("DESCRIBE {base}{long}"), 414),
        (format!("DESCRIBE {base}stream1 RTSP/1.0\r\nCSeq: 1\r\n{many}\r\n"), 400),
        (format!("DESCRIBE {base}stream1 RTSP/1.0\r\nCSeq: 1\r\n{many}"), 400),
        ("complete nonsense\r\n\r\n".to_owned(), 400),
        ("DESCRIBE\r\n\r\n".to_owned(), 400),
        (format!("DESCRIBE {base}stream1 RTSP/1.0\r\nno colon here\r\n\r\n"), 400),
        (format!("DESCRIBE {base}stream1 RTSP/1.0\r\nCSeq: 1\r\nA\u{1}: b\r\n\r\n"), 400),
        (format!("DESCRIBE {base}stream1 HTTP/9\r\nCSeq: 1\r\n\r\n"), 400),
        (format!("DESCRIBE {base}stream1 RTSP/2.0\r\nCSeq: 1\r\n\r\n"), 505),
        (format!("OPTIONS {base} RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n"), 400),
        (format!("OPTIONS {base} RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n"), 413),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("\u{0}\u{1}\u{2}\u{3}\u{4}".to_owned(), 400),
    ];
    for (text, want) in texts {
        let mut talk = server.connect();
        let shown: String = text.chars().take(60).collect();
        assert_eq!(talk.status_of(text.as_bytes()), *want, "{shown:?}");
        assert!(talk.is_closed(), "{shown:?}");
    }
    // No CSeq, but it is known where the next request begins.
    let mut talk = server.connect();
    assert_eq!(talk.status_of(format!("OPTIONS {base} RTSP/1.0\r\n\r\n").as_bytes()), 400);
    assert_eq!(talk.ask("OPTIONS", "", "").status, 200);
    good.check(&server);
}

#[test]
fn a_session_is_its_connections_own() {
    let server = Play::open().start();
    let mut one = server.connect();
    let session = one.play("stream1");
    let mut two = server.connect();
    for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"] {
        let header = format!("Session: {session}\r\n");
        assert_eq!(two.ask(method, "stream1", &header).status, 454, "{method}");
    }
    // Not twice, not for another stream, and not while it plays.
    assert_eq!(one.ask("SETUP", "stream1/trackID=0", TCP).status, 455);
    assert_eq!(one.ask("PAUSE", "stream1", "").status, 200);
    assert_eq!(one.ask("SETUP", "stream2/trackID=0", TCP).status, 459);
    assert_eq!(one.ask("SETUP", "stream1/trackID=0", TCP).status, 200);
    assert_eq!(one.ask("PLAY", "stream1", "").status, 200);
    assert_eq!(one.ask("TEARDOWN", "stream1", "").status, 200);
    assert_eq!(one.ask("PLAY", "stream1", "").status, 455);
}

/// A conversation that is cut at every byte, and one that comes byte by byte, say the same.
#[test]
fn requests_in_pieces() {
    let server = Play::open().start();
    let base = server.rtsp("");
    let conversation = format!(
        "OPTIONS {base}stream1 RTSP/1.0\r\nCSeq: 1\r\n\r\n\
         DESCRIBE {base}stream1 RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\r\n\
         GET_PARAMETER {base}stream1 RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 2\r\n\r\n\r\n\
         $\u{1}\u{0}\u{4}abcd\
         SETUP {base}nowhere/trackID=0 RTSP/1.0\r\nCSeq: 4\r\n{TCP}\r\n\
         OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n"
    );
    let bytes = conversation.as_bytes();
    let hear = |talk: &mut Talk| -> Vec<(u16, String)> {
        (0..5)
            .map(|_| {
                let answer = talk.answer();
                (answer.status, answer.header("CSeq").unwrap().to_owned())
            })
            .collect()
    };
    let mut whole = server.connect();
    whole.send(bytes).unwrap();
    let want = hear(&mut whole);
    assert_eq!(want.iter().map(|w| w.0).collect::<Vec<_>>(), [200, 200, 200, 404, 200]);
    for cut in 1..bytes.len() {
        let mut talk = server.connect();
        talk.stream.set_nodelay(true).unwrap();
        talk.send(&bytes[..cut]).unwrap();
        // Let the first part arrive alone.
        sleep(Duration::from_micros(300));
        talk.send(&bytes[cut..]).unwrap();
        assert_eq!(hear(&mut talk), want, "cut at {cut}");
    }
    let mut talk = server.connect();
    talk.stream.set_nodelay(true).unwrap();
    for byte in bytes {
        talk.send(std::slice::from_ref(byte)).unwrap();
    }
    assert_eq!(hear(&mut talk), want);
}

#[test]
fn the_eleventh_session_is_refused() {
    let server = Play::new().users().start();
    let login = "Authorization: Basic Ym9iOnNlY3JldDQ1Ng==\r\n";
    let setup = |talk: &mut Talk| talk.ask("SETUP", "stream1/trackID=0", &format!("{TCP}{login}"));
    let mut talks: Vec<Talk> = (0..10).map(|_| server.connect()).collect();
    for talk in &mut talks {
        assert_eq!(setup(talk).status, 200);
    }
    let mut late = server.connect();
    assert_eq!(setup(&mut late).status, 453);
    // Asking again and again does not use anything up, and refusals do not either.
    for _ in 0..50 {
        assert_eq!(setup(&mut talks[0]).status, 200);
        assert_eq!(setup(&mut late).status, 453);
        let bad = format!("Transport: RTP/SAVP\r\n{login}");
        assert_eq!(talks[1].ask("SETUP", "stream1/trackID=0", &bad).status, 461);
    }
    assert_eq!(talks[2].ask("TEARDOWN", "stream1", "").status, 200);
    assert_eq!(setup(&mut late).status, 200);
    drop(talks);
    let mut others: Vec<Talk> = (0..9).map(|_| server.connect()).collect();
    for talk in &mut others {
        until("a free session", || (setup(talk).status == 200).then_some(()));
    }
}

#[test]
fn a_storm_of_setups() {
    let server = Play::open().start();
    let good = Good::start(&server, "stream1");
    let mut talk = server.connect();
    for round in 0..3000u32 {
        let transport = match round % 4 {
            0 => TCP.to_owned(),
            1 => format!("Transport: RTP/AVP;client_port={0}-{0}\r\n", 20_000 + round),
            2 => {
                format!("Transport: RTP/AVP;client_port={}-{}\r\n", 30_000 + round, 60_000 - round)
            }
            _ => "Transport: RTP/AVP;multicast\r\n".to_owned(),
        };
        let status = talk.ask("SETUP", "stream1/trackID=0", &transport).status;
        assert!(matches!(status, 200 | 461), "{status} {transport}");
        if round % 7 == 0 {
            talk.ask("TEARDOWN", "stream1", "");
        }
    }
    drop(talk);
    until("the storm's end", || (server.clients().len() == 1).then_some(()));
    good.check(&server);
}

/// However often it is asked for, a stream has one group, and no other has it.
#[test]
fn each_stream_has_its_own_group() {
    let server = Play::open().start();
    let mut groups = std::collections::BTreeMap::<&str, String>::new();
    for round in 0..600 {
        let path = ["stream1", "cam1/main", "cam1/mjpeg"][round % 3];
        let mut talk = server.connect();
        let multicast = "Transport: RTP/AVP;multicast\r\n";
        let answer = talk.ask("SETUP", &format!("{path}/trackID=0"), multicast);
        assert_eq!(answer.status, 200);
        let text = answer.header("Transport").unwrap();
        let group = text.split("destination=").nth(1).unwrap().split(';').next().unwrap();
        let known = groups.entry(path).or_insert_with(|| group.to_owned());
        assert_eq!(known, group, "{path}");
        assert_eq!(talk.ask("TEARDOWN", path, "").status, 200);
    }
    let distinct: std::collections::BTreeSet<&String> = groups.values().collect();
    assert_eq!(distinct.len(), 3, "{groups:?}");
}

/// Connections that say nothing, or only a part of something, next to a client that loses nothing.
#[test]
fn half_open_connections() {
    let long = std::env::var("LENSD_LONG").is_ok_and(|v| v == "1");
    let count = if long { 10_000 } else { 2_000 };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let server = Play::open().start();
    let good = Good::start(&server, "stream1");
    let before = server.engine_memory();
    let address = server.address("rtsp");
    let mut open = Vec::new();
    for i in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        if i % 2 == 0 {
            // The server may have closed the oldest ones already.
            let _ = stream.write_all(b"DESCRIBE rtsp://x/stream1 RTSP/1.0\r\nCSeq: 1\r\nX: ");
        }
        open.push(stream);
    }
    // Newcomers are served all the same.
    let mut talk = server.connect();
    talk.play("stream1");
    for _ in 0..20 {
        talk.packet().unwrap();
    }
    let grown = server.engine_memory().saturating_sub(before);
    assert!(grown < 8 * count, "{grown} KiB for {count} connections");
    drop(open);
    play::proof::let_frames_pass(&server, 50);
    good.check(&server);
}

#[test]
fn strangers_at_the_udp_ports() {
    let server = Play::open().start();
    let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let rtcp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = |s: &UdpSocket| s.local_addr().unwrap().port();
    let mut talk = server.connect();
    let transport =
        format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", port(&rtp), port(&rtcp));
    let answer = talk.ask("SETUP", "stream1/trackID=0", &transport);
    let text = answer.header("Transport").unwrap();
    let ports = text.split("server_port=").nth(1).unwrap().split(';').next().unwrap();
    let (a, b) = ports.split_once('-').unwrap();
    let (a, b): (u16, u16) = (a.parse().unwrap(), b.parse().unwrap());
    assert_eq!((a % 2, b), (0, a + 1));
    // The same ports for a second client could not be told apart.
    let mut thief = server.connect();
    assert_eq!(thief.ask("SETUP", "stream1/trackID=0", &transport).status, 461);
    assert_eq!(talk.ask("PLAY", "stream1", "").status, 200);
    rtp.set_read_timeout(Some(play::LIMIT.duration())).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bye = [0x81, 203, 0, 1, 1, 2, 3, 4];
    let report = [0x81, 201, 0, 7, 1, 2, 3, 4, 9, 9, 9, 9, 255, 255, 255, 255];
    let mut assembler = Assembler::default();
    let mut units = Vec::new();
    let mut buffer = [0; 65536];
    while units.len() < 150 {
        for port in [a, b] {
            for text in [&bye[..], &report, b"", b"x", &[0x80; 1400], &[0xff; 40]] {
                stranger.send_to(text, ("127.0.0.1", port)).unwrap();
                // What the client itself sends may be wrong, too.
                rtcp.send_to(text, ("127.0.0.1", port)).unwrap();
            }
        }
        let n = rtp.recv(&mut buffer).unwrap();
        units.extend(assembler.push(&buffer[..n]));
    }
    assert_eq!(assembler.gaps, 0);
    let numbers: Vec<u32> = units.iter().map(|u| u.capture.unwrap().number).collect();
    check_numbers(&server, 1, &numbers);
    assert_eq!(talk.ask("GET_PARAMETER", "stream1", "").status, 200);
}

/// Big frames, so that a socket is soon full.
const HEAVY: &str = "test:?size=640x360&fps=50&pattern=noise";

/// Waits until a client that does not read has a full connection: it gets no more while the camera
/// goes on. It is the one that got least, and more than `units` units.
fn until_full(server: &Server, units: u64) {
    let least = || {
        let clients = server.clients();
        clients.iter().filter_map(|c| c["units"].as_u64()).min().unwrap_or(0)
    };
    until("a full connection", || {
        let before = least();
        play::proof::let_frames_pass(server, 40);
        (before > units && least() == before).then_some(())
    });
}

/// A client that stops to read loses whole groups. The good ones do not notice, and when it reads
/// again it goes on at a key frame.
#[test]
fn a_reader_that_stops() {
    let server = Play::open().camera(HEAVY).start();
    let mut slow = server.connect();
    slow.play("stream1");
    let good = Good::start(&server, "stream1");
    let before = server.engine_memory();
    until_full(&server, 0);
    let grown = server.engine_memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
    let mut assembler = Assembler::default();
    let mut last: Option<u32> = None;
    let mut leaps = 0;
    let mut after = 0;
    // The assembler panics at a torn frame.
    while after < 50 {
        let (channel, packet) = slow.packet().unwrap();
        if channel != 0 {
            continue;
        }
        let Some(unit) = assembler.push(&packet) else { continue };
        let number = unit.capture.unwrap().number;
        assert!(last.is_none_or(|l| number > l));
        if last.is_some_and(|l| number > l + 1) {
            let lost = u64::from(number - last.unwrap() - 1);
            if !unit.key {
                // A frame that the camera did not make is no loss of the client's.
                assert!(lost <= server.camera_lost(1), "frame {number} follows {last:?}");
            }
            leaps += usize::from(unit.key);
        }
        after += usize::from(leaps > 0);
        last = Some(number);
    }
    assert!(leaps >= 1);
    good.check(&server);
}

/// The rest of one large picture may wait for a client; that is no reason to refuse its questions.
#[test]
fn a_question_behind_a_large_picture() {
    let server = Play::open().camera("test:?size=1920x1080&fps=15&pattern=noise").start();
    let mut talk = server.connect();
    talk.play("cam1/mjpeg");
    until_full(&server, 0);
    let question = talk.request("GET_PARAMETER", "cam1/mjpeg", "");
    talk.send(question.as_bytes()).unwrap();
    play::proof::let_frames_pass(&server, 20);
    assert_eq!(talk.answer().status, 200);
}

#[test]
fn a_player_that_is_stopped() {
    let server = Play::open().camera(HEAVY).start();
    let good = Good::start(&server, "stream1");
    let player = Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-rtsp_transport", "tcp"])
            .args(["-i", &server.rtsp("stream1"), "-frames:v", "400"])
            .args(["-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]),
    );
    let its = || {
        let clients = server.clients();
        let found = clients
            .into_iter()
            .find(|c| c["agent"].as_str().is_some_and(|a| a.starts_with("Lavf")));
        found.unwrap_or_default()
    };
    until("the player", || (its()["units"].as_u64()? > 20).then_some(()));
    player.signal(Signal::STOP);
    until_full(&server, 20);
    player.signal(Signal::CONT);
    until("its loss", || (its()["skipped_groups"].as_u64()? > 0).then_some(()));
    let done = player.succeed();
    // No picture is damaged, before and after.
    let marks = play::proof::marks_of(&done.out, 640, 360, 640 * 360);
    assert_eq!(marks.len(), 400);
    assert!(marks.windows(2).all(|m| m[0].number < m[1].number));
    assert!(!done.err.contains("error"), "{}", done.err);
    good.check(&server);
}

/// Who asks without end and never reads is let go, encrypted or not.
#[test]
fn questions_without_an_ear() {
    let server = Play::open().start();
    let good = Good::start(&server, "stream1");
    let before = server.engine_memory();
    let question = "DESCRIBE rtsp://x/stream1 RTSP/1.0\r\nCSeq: 1\r\n\r\n".repeat(100);
    let mut stream = TcpStream::connect(server.address("rtsp")).unwrap();
    stream.set_write_timeout(Some(play::LIMIT.duration())).unwrap();
    let mut sent = 0;
    let refused = loop {
        match stream.write(question.as_bytes()) {
            Ok(n) => sent += n,
            Err(e) => break e,
        }
        assert!(sent < 1 << 30, "a gigabyte of questions");
    };
    assert!(matches!(refused.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
    let script = "import socket, ssl, sys\n\
                  plain = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n\
                  tls = ssl._create_unverified_context().wrap_socket(plain)\n\
                  try:\n\
                  \x20   while True: tls.sendall(sys.argv[2].encode())\n\
                  except OSError: pass\n";
    let port = server.port("rtsps").to_string();
    play::run(Command::new(play::linked_tool("python3")).args(["-c", script, &port, &question]));
    let grown = server.engine_memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB for questions");
    good.check(&server);
}

/// A tunnel's two halves: rubbish in them, halves that never meet, and a long life.
#[test]
fn tunnels() {
    let server = Play::open().settings("[rtsp]\ntimeout = 5\n").start();
    let good = Good::start(&server, "stream1");
    let get = |cookie: &str| {
        let mut stream = TcpStream::connect(server.address("rtsp")).unwrap();
        stream.set_read_timeout(Some(play::LIMIT.duration())).unwrap();
        let text = format!("GET /stream1 HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let post = |cookie: &str| {
        let mut stream = TcpStream::connect(server.address("rtsp")).unwrap();
        let text = format!(
            "POST /stream1 HTTP/1.0\r\nx-sessioncookie: {cookie}\r\nContent-Length: 32767\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let read = |stream: &mut TcpStream, want: &str| {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains(want) {
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "closed after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    // A half without the other is let go.
    let mut alone = post("nobody");
    assert!(matches!(alone.read(&mut [0; 100]), Ok(0) | Err(_)));
    // What is not base64 ends the tunnel, and only it.
    let (mut out, mut into) = (get("bad"), post("bad"));
    read(&mut out, "\r\n\r\n");
    into.write_all(b"!!!! not base64 !!!!").unwrap();
    assert!(matches!(into.read(&mut [0; 100]), Ok(0) | Err(_)));
    // Requests keep it alive far longer than a silent client would be.
    let (mut out, mut into) = (get("good"), post("good"));
    read(&mut out, "\r\n\r\n");
    use base64::Engine as _;
    for cseq in 1..9 {
        let text = format!("GET_PARAMETER rtsp://x/ RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n");
        let coded = base64::engine::general_purpose::STANDARD.encode(text);
        into.write_all(coded.as_bytes()).unwrap();
        read(&mut out, &format!("CSeq: {cseq}\r\n"));
        sleep(Duration::from_secs(1));
    }
    good.check(&server);
}

/// A client of UDP that says nothing is let go after the time-out, and one that reports is not.
#[test]
fn silence() {
    let server = Play::open().settings("[rtsp]\ntimeout = 5\n").start();
    let mut silent = server.connect();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let transport = format!("Transport: RTP/AVP;client_port={port}-{}\r\n", port ^ 1);
    let session = silent.ask("SETUP", "stream1/trackID=0", &transport);
    assert_eq!(session.status, 200);
    assert!(session.header("Session").unwrap().ends_with("timeout=5"));
    assert_eq!(silent.ask("PLAY", "stream1", "").status, 200);
    // One that reads what it is sent lives, though it never says anything.
    let good = Good::start(&server, "stream1");
    assert!(silent.is_closed());
    play::proof::let_frames_pass(&server, 50);
    assert_eq!(server.clients().len(), 1);
    good.check(&server);
}
