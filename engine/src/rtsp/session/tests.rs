//! Plays: what a client sends, and the status that it gets.

use super::super::transport::{Chosen, Lower};
use super::*;

/// A house with one stream, `s`, one path to publish to, `p`, and a user `u`.
#[derive(Default)]
struct Doll {
    open: bool,
    ready: bool,
    sessions_left: u32,
    calls: Vec<&'static str>,
    packets: Vec<(u8, Vec<u8>)>,
    /// What PLAY waits for has not come.
    waits: bool,
}

impl House for Doll {
    fn verdict(&mut self, request: &lensd_ffi::auth::Request<'_>) -> Verdict {
        match request.credentials {
            _ if self.open => Verdict::Allow(lensd_ffi::auth::Login::default()),
            Credentials::Token(t) if t == "tok" => {
                Verdict::Allow(lensd_ffi::auth::Login { user: "u".into(), ..Default::default() })
            }
            _ => Verdict::Login { stale: false, failed: false },
        }
    }
    fn challenges(&mut self, _: bool) -> Vec<String> {
        vec!["Digest realm=\"x\"".into(), "Basic realm=\"x\"".into()]
    }
    fn describe(&mut self, path: &Path) -> Described {
        match (path.name.as_str(), self.ready) {
            ("s", true) => Described::Sdp("v=0\r\n".into()),
            ("s", false) => Described::Wait,
            ("dead", _) => Described::Unavailable("unplugged".into()),
            ("odd", _) => Described::Unfit("it is too large"),
            _ => Described::NotFound,
        }
    }
    fn uses(&mut self, path: &Path) -> Uses {
        Uses {
            play: ["s", "t", "dead", "odd"].contains(&&*path.name),
            publish: path.name == "p",
            stored: false,
        }
    }
    fn setup(&mut self, path: &Path, offers: &[Offer]) -> Result<(Chosen, u32), Status> {
        self.calls.push("setup");
        if path.name != "s" {
            return Err(Status::NOT_FOUND);
        }
        if self.sessions_left == 0 {
            return Err(Status::NOT_ENOUGH_BANDWIDTH);
        }
        let chosen = match &offers[0] {
            Offer { lower: Lower::Tcp, interleaved, .. } => {
                Chosen::Tcp { channels: interleaved.unwrap_or((0, 1)) }
            }
            Offer { multicast: true, .. } => {
                Chosen::Multicast { group: [239, 255, 42, 1].into(), ports: (5004, 5005), ttl: 1 }
            }
            Offer { client_port, .. } => Chosen::Udp {
                client: client_port.ok_or(Status::UNSUPPORTED_TRANSPORT)?,
                server: (8000, 8001),
            },
        };
        Ok((chosen, 0xabc))
    }
    fn play(&mut self, _: &Path, _: &Wanted<'_>) -> Result<Option<Start>, Status> {
        self.calls.push("play");
        if self.waits {
            return Ok(None);
        }
        Ok(Some(Start { seq: Some(5), ..Start::default() }))
    }
    fn pause(&mut self) {
        self.calls.push("pause");
    }
    fn teardown(&mut self) {
        self.calls.push("teardown");
    }
    fn announce(&mut self, path: &Path, _: &Announced) -> Result<(), Status> {
        if path.name == "p" { Ok(()) } else { Err(Status::NOT_FOUND) }
    }
    fn setup_record(&mut self, _: &Path, offers: &[Offer]) -> Result<Chosen, Status> {
        offers[0]
            .interleaved
            .map(|channels| Chosen::Tcp { channels })
            .ok_or(Status::UNSUPPORTED_TRANSPORT)
    }
    fn setup_ignored(&mut self, offers: &[Offer]) -> Result<Chosen, Status> {
        self.calls.push("ignore");
        offers[0]
            .interleaved
            .map(|channels| Chosen::Tcp { channels })
            .ok_or(Status::UNSUPPORTED_TRANSPORT)
    }
    fn record(&mut self) -> Result<(), Status> {
        self.calls.push("record");
        Ok(())
    }
    fn interleaved(&mut self, channel: u8, payload: &[u8]) {
        self.packets.push((channel, payload.to_vec()));
    }
    fn random(&mut self) -> u64 {
        0x1234
    }
    fn timeout_secs(&self) -> u64 {
        60
    }
}

fn doll() -> Doll {
    Doll { open: true, ready: true, sessions_left: 1, ..Doll::default() }
}

const T0: Nanos = Nanos::from_secs(10);

/// Sends one request and returns the answer's text; `?` if there is none yet.
fn ask(session: &mut Session, house: &mut Doll, line: &str, headers: &str) -> String {
    let request = format!("{line} RTSP/1.0\r\nCSeq: 9\r\n{headers}\r\n");
    session.handle_input(request.as_bytes(), T0, house);
    match session.poll_output() {
        Some(Output::Bytes(bytes)) => String::from_utf8(bytes).unwrap(),
        other => format!("? {other:?}"),
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
const SESSION: &str = "Session: 0000000000001234\r\n";

#[test]
fn from_describe_to_teardown() {
    let (mut s, mut house) = (Session::new(T0), doll());
    let answer = ask(&mut s, &mut house, "OPTIONS *", "");
    assert!(answer.contains("Public: OPTIONS, DESCRIBE") && answer.contains("CSeq: 9"));
    let answer = ask(&mut s, &mut house, "DESCRIBE rtsp://h/s?tcp", "Accept: application/sdp\r\n");
    assert!(answer.contains("Content-Base: rtsp://h/s/\r\n") && answer.ends_with("v=0\r\n"));
    let answer = ask(&mut s, &mut house, "SETUP rtsp://h/s/trackID=0", TCP);
    assert!(answer.contains("Session: 0000000000001234;timeout=60"), "{answer}");
    assert!(answer.contains("interleaved=0-1;ssrc=00000ABC"));
    let answer = ask(&mut s, &mut house, "PLAY rtsp://h/s/", SESSION);
    assert!(answer.contains("RTP-Info: url=rtsp://h/s/trackID=0;seq=5\r\n"), "{answer}");
    assert_eq!(s.state(), State::Playing);
    assert_eq!(status(&ask(&mut s, &mut house, "GET_PARAMETER rtsp://h/s", SESSION)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "PAUSE rtsp://h/s", SESSION)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "PLAY rtsp://h/s", SESSION)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "TEARDOWN rtsp://h/s", SESSION)), 200);
    assert_eq!(s.state(), State::Init);
    assert_eq!(house.calls, ["setup", "play", "pause", "play", "teardown"]);
}

#[test]
fn a_play_waits_for_a_recording_and_not_for_ever() {
    let (mut s, mut house) = (Session::new(T0), Doll { waits: true, ..doll() });
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/s", TCP)), 200);
    assert!(ask(&mut s, &mut house, "PLAY rtsp://h/s", SESSION).starts_with('?'));
    s.handle_timeout(T0.plus(Nanos(DESCRIBE_WAIT.0 - 1)), &mut house);
    assert_eq!(s.poll_output(), None);
    s.handle_timeout(T0.plus(DESCRIBE_WAIT), &mut house);
    let Some(Output::Bytes(answer)) = s.poll_output() else { panic!("no answer") };
    assert_eq!(status(&String::from_utf8(answer).unwrap()), 503);
    assert_eq!((house.calls.last(), s.state()), (Some(&"pause"), State::Ready));
    house.waits = false;
    assert_eq!(status(&ask(&mut s, &mut house, "PLAY rtsp://h/s", SESSION)), 200);
}

#[test]
fn a_set_up_without_a_description_waits_for_a_picture_as_that_does() {
    let (mut s, mut house) = (Session::new(T0), Doll { ready: false, ..doll() });
    assert!(ask(&mut s, &mut house, "SETUP rtsp://h/s", TCP).starts_with('?'));
    assert!(s.is_waiting() && house.calls.is_empty());
    house.ready = true;
    s.handle_timeout(T0, &mut house);
    let Some(Output::Bytes(bytes)) = s.poll_output() else { panic!("no answer") };
    assert_eq!(status(&String::from_utf8(bytes).unwrap()), 200);
    let (mut s, mut house) = (Session::new(T0), doll());
    let refused = ask(&mut s, &mut house, "SETUP rtsp://h/odd", TCP);
    assert!(refused.contains("it is too large"), "{refused}");
}

#[test]
fn each_mistake_has_its_status() {
    for (want, lines) in [
        (404, vec![("DESCRIBE rtsp://h/x", "")]),
        (503, vec![("DESCRIBE rtsp://h/dead", "")]),
        (415, vec![("DESCRIBE rtsp://h/odd", "")]),
        (415, vec![("SETUP rtsp://h/odd", TCP)]),
        (415, vec![("DESCRIBE rtsp://h/s", ""), ("SETUP rtsp://h/odd", TCP)]),
        (406, vec![("DESCRIBE rtsp://h/s", "Accept: text/html\r\n")]),
        (404, vec![("SETUP rtsp://h/x", TCP)]),
        (400, vec![("SETUP rtsp://h/s", "")]),
        (461, vec![("SETUP rtsp://h/s", "Transport: RAW/RAW/UDP;unicast\r\n")]),
        (461, vec![("SETUP rtsp://h/s?udp", TCP)]),
        (461, vec![("SETUP rtsp://h/s", "Transport: RTP/AVP;unicast\r\n")]),
        (455, vec![("PLAY rtsp://h/s", "")]),
        (455, vec![("PAUSE rtsp://h/s", "")]),
        (455, vec![("RECORD rtsp://h/p", "")]),
        (405, vec![("RECORD rtsp://h/s", "")]),
        (405, vec![("SETUP rtsp://h/s", TCP), ("RECORD rtsp://h/s", SESSION)]),
        (405, vec![("ANNOUNCE rtsp://h/s", "Content-Type: application/sdp\r\n")]),
        (405, vec![("DESCRIBE rtsp://h/p", "")]),
        (405, vec![("SETUP rtsp://h/p", TCP)]),
        (405, vec![("PLAY rtsp://h/p", "")]),
        (454, vec![("PLAY rtsp://h/s", SESSION)]),
        (454, vec![("TEARDOWN rtsp://h/s", "")]),
        (459, vec![("SETUP rtsp://h/s", TCP), ("SETUP rtsp://h/t", TCP)]),
        (
            455,
            vec![
                ("SETUP rtsp://h/s", TCP),
                ("PLAY rtsp://h/s", SESSION),
                ("SETUP rtsp://h/s", TCP),
            ],
        ),
        (415, vec![("ANNOUNCE rtsp://h/p", "")]),
        (415, vec![("ANNOUNCE rtsp://h/p", "Content-Type: application/sdp\r\n")]),
        (501, vec![("REDIRECT rtsp://h/s", "")]),
        (551, vec![("OPTIONS *", "Require: funky\r\n")]),
        (200, vec![("SET_PARAMETER rtsp://h/s", "")]),
        (454, vec![("SET_PARAMETER rtsp://h/s", SESSION)]),
    ] {
        let (mut s, mut house) = (Session::new(T0), doll());
        let last = lines.iter().map(|(l, h)| ask(&mut s, &mut house, l, h)).last().unwrap();
        assert_eq!(status(&last), want, "{lines:?}: {last}");
    }
}

#[test]
fn parameters_are_not_understood() {
    for method in ["GET_PARAMETER", "SET_PARAMETER"] {
        for (body, want) in [("", 200), ("\r\n", 200), ("volume: 11\r\n", 451)] {
            let (mut s, mut house) = (Session::new(T0), doll());
            let request = format!(
                "{method} rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            s.handle_input(request.as_bytes(), T0, &mut house);
            let Some(Output::Bytes(bytes)) = s.poll_output() else { panic!() };
            assert_eq!(status(&String::from_utf8(bytes).unwrap()), want, "{method} {body:?}");
        }
    }
}

#[test]
fn a_method_at_the_wrong_path_is_told_what_is_allowed_there() {
    let (mut s, mut house) = (Session::new(T0), doll());
    let answer = ask(&mut s, &mut house, "ANNOUNCE rtsp://h/s", "");
    assert!(answer.contains("\r\nAllow: OPTIONS, DESCRIBE, SETUP, PLAY, "), "{answer}");
    let answer = ask(&mut s, &mut house, "DESCRIBE rtsp://h/p", "");
    assert!(answer.contains("\r\nAllow: OPTIONS, ANNOUNCE, SETUP, RECORD, "), "{answer}");
}

#[test]
fn the_session_limit_is_453_and_leaves_nothing() {
    let (mut s, mut house) = (Session::new(T0), Doll { sessions_left: 0, ..doll() });
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/s", TCP)), 453);
    assert_eq!((s.state(), s.id()), (State::Init, None));
}

#[test]
fn a_login_is_asked_for_once_per_connection() {
    let (mut s, mut house) = (Session::new(T0), Doll { open: false, ..doll() });
    let answer = ask(&mut s, &mut house, "DESCRIBE rtsp://h/s", "");
    assert_eq!(status(&answer), 401);
    assert_eq!(answer.matches("WWW-Authenticate").count(), 2);
    let answer = ask(&mut s, &mut house, "DESCRIBE rtsp://h/s?token=tok", "");
    assert_eq!(status(&answer), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/s/trackID=0", TCP)), 200);
    assert_eq!(s.user(), "u");
}

#[test]
fn a_camera_that_starts_is_waited_for_and_not_for_ever() {
    let (mut s, mut house) = (Session::new(T0), Doll { ready: false, ..doll() });
    assert!(ask(&mut s, &mut house, "DESCRIBE rtsp://h/s", "").starts_with('?'));
    assert!(ask(&mut s, &mut house, "OPTIONS *", "").starts_with('?'), "answers keep their order");
    house.ready = true;
    s.handle_timeout(T0, &mut house);
    let Some(Output::Bytes(first)) = s.poll_output() else { panic!() };
    assert!(String::from_utf8(first).unwrap().contains("v=0"));
    assert!(matches!(s.poll_output(), Some(Output::Bytes(_))));

    house.ready = false;
    assert!(ask(&mut s, &mut house, "DESCRIBE rtsp://h/s", "").starts_with('?'));
    s.handle_timeout(T0.plus(DESCRIBE_WAIT), &mut house);
    let Some(Output::Bytes(bytes)) = s.poll_output() else { panic!() };
    assert_eq!(status(&String::from_utf8(bytes).unwrap()), 503);
}

#[test]
fn publishing() {
    let (mut s, mut house) = (Session::new(T0), doll());
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n";
    let request = format!(
        "ANNOUNCE rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    s.handle_input(request.as_bytes(), T0, &mut house);
    let Some(Output::Bytes(bytes)) = s.poll_output() else { panic!() };
    assert_eq!(status(&String::from_utf8(bytes).unwrap()), 200);
    let record = "Transport: RTP/AVP/TCP;unicast;interleaved=2-3;mode=record\r\n";
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/p/streamid=0", record)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "PLAY rtsp://h/p", SESSION)), 455);
    assert_eq!(status(&ask(&mut s, &mut house, "RECORD rtsp://h/p", SESSION)), 200);
    s.handle_input(b"$\x02\x00\x02hi", T0, &mut house);
    assert_eq!(house.packets, [(2, b"hi".to_vec())]);
}

#[test]
fn half_a_request_is_no_sign_of_a_client() {
    let (mut s, mut house) = (Session::new(T0), doll());
    s.handle_input(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: ", T0, &mut house);
    assert!(!s.has_spoken());
    s.handle_input(b"y\r\n\r\n", T0, &mut house);
    assert!(s.has_spoken());
}

/// Announces sound and a picture, in this order.
fn announce_both(s: &mut Session, house: &mut Doll) {
    let sdp = "v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/44100\r\n\
               a=control:streamid=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
               a=control:streamid=1\r\n";
    let request = format!(
        "ANNOUNCE rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    s.handle_input(request.as_bytes(), T0, house);
    assert!(matches!(s.poll_output(), Some(Output::Bytes(_))));
}

#[test]
fn a_publisher_with_sound_keeps_its_place() {
    let (mut s, mut house) = (Session::new(T0), doll());
    announce_both(&mut s, &mut house);
    for (track, channels) in [(0, "0-1"), (1, "2-3")] {
        let how = format!("Transport: RTP/AVP/TCP;unicast;interleaved={channels};mode=record\r\n");
        let line = format!("SETUP rtsp://h/p/streamid={track}");
        assert_eq!(status(&ask(&mut s, &mut house, &line, &how)), 200);
    }
    assert_eq!(status(&ask(&mut s, &mut house, "RECORD rtsp://h/p", SESSION)), 200);
    assert_eq!(house.calls, ["ignore", "record"], "and nothing is torn down in between");
}

#[test]
fn a_publisher_may_try_another_transport() {
    let (mut s, mut house) = (Session::new(T0), doll());
    announce_both(&mut s, &mut house);
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001;mode=record\r\n";
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/p/streamid=1", udp)), 461);
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/p/streamid=1", tcp)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "SETUP rtsp://h/p/streamid=1", tcp)), 200);
    assert_eq!(status(&ask(&mut s, &mut house, "RECORD rtsp://h/p", SESSION)), 200);
    assert!(!house.calls.contains(&"teardown"));
}

#[test]
fn what_is_no_rtsp_is_answered_and_closed() {
    for bytes in [&b"\x16\x03\x01\x00\x00\x00\x00"[..], b"hello world foo bar\r\n\r\n"] {
        let (mut s, mut house) = (Session::new(T0), doll());
        s.handle_input(bytes, T0, &mut house);
        let Some(Output::Bytes(answer)) = s.poll_output() else { panic!() };
        assert_eq!(status(&String::from_utf8(answer).unwrap()), 400);
        assert_eq!(s.poll_output(), Some(Output::Close));
        s.handle_input(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n", T0, &mut house);
        assert_eq!(s.poll_output(), None);
    }
}

#[test]
fn a_storm_of_waiting_requests_is_bounded() {
    let (mut s, mut house) = (Session::new(T0), Doll { ready: false, ..doll() });
    let one = b"DESCRIBE rtsp://h/s RTSP/1.0\r\nCSeq: 1\r\n\r\n";
    s.handle_input(&one.repeat(100), T0, &mut house);
    assert!(s.waiting.len() <= MAX_WAITING);
    assert!(matches!(s.poll_output(), Some(Output::Bytes(_))));
    assert_eq!(s.poll_output(), Some(Output::Close));
}

#[test]
fn a_tunnel_begins_with_its_cookie() {
    let (mut s, mut house) = (Session::new(T0), doll());
    s.handle_input(b"POST /s HTTP/1.0\r\nx-sessioncookie: abc\r\n\r\nT1BU", T0, &mut house);
    let want = Output::Tunnel { cookie: "abc".into(), get: false, rest: b"T1BU".to_vec() };
    assert_eq!(s.poll_output(), Some(want));
}

/// What real players sent to this server, from connect to TEARDOWN, recorded with them; only the
/// address, the path and the session's name are replaced.
const RECORDED: &[(&str, &[u8])] = &[
    ("ffmpeg tcp", include_bytes!("testdata/ffmpeg-5.1-tcp.bin")),
    ("ffmpeg udp", include_bytes!("testdata/ffmpeg-5.1-udp.bin")),
    ("gstreamer tcp", include_bytes!("testdata/gstreamer-1.22-tcp.bin")),
    ("gstreamer udp", include_bytes!("testdata/gstreamer-1.22-udp.bin")),
    ("gstreamer multicast", include_bytes!("testdata/gstreamer-1.22-multicast.bin")),
];

/// The statuses of all answers to `bytes`, fed in pieces of `size`.
fn statuses(bytes: &[u8], size: usize) -> (Vec<u16>, Vec<&'static str>) {
    let (mut s, mut house) = (Session::new(T0), doll());
    let mut out = Vec::new();
    for piece in bytes.chunks(size) {
        s.handle_input(piece, T0, &mut house);
        while let Some(Output::Bytes(answer)) = s.poll_output() {
            out.push(status(&String::from_utf8(answer).unwrap()));
        }
    }
    (out, house.calls)
}

#[test]
fn recorded_players_are_served_however_their_bytes_are_cut() {
    for (name, bytes) in RECORDED {
        let (whole, calls) = statuses(bytes, bytes.len());
        assert!(whole.iter().all(|s| *s == 200), "{name}: {whole:?}");
        assert_eq!(calls[..2], ["setup", "play"], "{name}");
        assert_eq!(calls.last(), Some(&"teardown"), "{name}");
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(statuses(bytes, size), (whole.clone(), calls.clone()), "{name} by {size}");
        }
    }
}

#[test]
fn nothing_follows_a_close() {
    let (mut s, mut house) = (Session::new(T0), doll());
    let two = b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\nOPTIONS * RTSP/1.0\r\nCSeq: 2\r\n\r\n";
    s.handle_input(two, T0, &mut house);
    let Some(Output::Bytes(answer)) = s.poll_output() else { panic!() };
    assert_eq!(status(&String::from_utf8(answer).unwrap()), 505);
    assert_eq!((s.poll_output(), s.poll_output()), (Some(Output::Close), None));
    // Nor does the answer to a request that waited for its camera.
    let (mut s, mut house) = (Session::new(T0), Doll { ready: false, ..doll() });
    assert!(ask(&mut s, &mut house, "DESCRIBE rtsp://h/s", "").starts_with('?'));
    s.handle_input(b"\x01", T0, &mut house);
    while s.poll_output().is_some_and(|o| o != Output::Close) {}
    house.ready = true;
    s.handle_timeout(T0, &mut house);
    assert_eq!(s.poll_output(), None);
}
