//! Recordings over real sockets. Pictures say their number; there are 25 a second, and every tenth
//! is a key frame.

use super::*;
use crate::config::RtspOptions;
use crate::replay::walk::tests::{closed, recording};
use crate::replay::{Found, Shelf};
use crate::rtp::rtcp::{self, Report};
use lensd_ffi::auth::{Access, Permission, Rights, Users};
use parking_lot::Mutex;
use rtp_rs::RtpReader;
use std::path::PathBuf;

/// Recordings 1 (30 pictures, closed), 2 (30 pictures, cut off) and 3 (no recording); the newest
/// is 1. Number 4 grows.
struct Files {
    folder: PathBuf,
    growing: Mutex<bool>,
}

impl Files {
    fn new(name: &str) -> Arc<Self> {
        let folder =
            std::env::temp_dir().join(format!("lensd-serve-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (id, bytes) in
            [(1, closed(30, 5)), (2, recording(30, 7)), (3, vec![7; 900]), (4, recording(10, 5))]
        {
            std::fs::write(folder.join(id.to_string()), bytes).unwrap();
        }
        Arc::new(Self { folder, growing: Mutex::new(true) })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Shelf for Files {
    fn find(&self, id: Option<i64>) -> Option<Found> {
        let id = id.unwrap_or(1);
        let growing = id == 4 && *self.growing.lock();
        let path = self.folder.join(id.to_string());
        path.exists().then_some(Found { id, path, growing })
    }
}

fn start(files: &Arc<Files>) -> Running {
    let shelf = Arc::clone(files) as Arc<dyn Shelf>;
    Running::start_with(RtspOptions::default(), |server| {
        server.world.replays.shelf = Some(shelf);
        // What was recorded is for those who may read Media: here everybody.
        let guest = Rights::NONE.with(Access::read(Permission::Media));
        server.world.guard.set_users(Users { guest, ..Users::default() });
    })
}

/// What comes on a connection.
#[derive(Debug)]
enum Heard {
    Answer(String),
    /// Sequence number, RTP time, and the number of a picture that ends here.
    Rtp(u16, u32, Option<u8>),
    Rtcp(Vec<Report>),
}

struct Talk<S> {
    stream: S,
    pending: Vec<u8>,
    cseq: u32,
    session: String,
    url: String,
}

impl<S: Read + io::Write> Talk<S> {
    fn new(stream: S, path: &str) -> Self {
        let url = format!("rtsp://h/{path}");
        Self { stream, pending: Vec::new(), cseq: 0, session: String::new(), url }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 65536];
        let n = self.stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the server has closed");
        self.pending.extend_from_slice(&buffer[..n]);
    }

    fn next(&mut self) -> Heard {
        loop {
            if self.pending.first() == Some(&b'$') && self.pending.len() >= 4 {
                let len = 4 + usize::from(u16::from_be_bytes([self.pending[2], self.pending[3]]));
                if self.pending.len() >= len {
                    let packet: Vec<u8> = self.pending.drain(..len).collect();
                    return match packet[1] {
                        0 => heard(&packet[4..]),
                        _ => Heard::Rtcp(rtcp::parse(&packet[4..])),
                    };
                }
            } else if let Some(end) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.pending[..end + 4].to_vec()).unwrap();
                let length = header(&head, "Content-Length").map_or(0, |n| n.parse().unwrap());
                if self.pending.len() >= end + 4 + length {
                    let all: Vec<u8> = self.pending.drain(..end + 4 + length).collect();
                    return Heard::Answer(String::from_utf8(all).unwrap());
                }
            }
            self.fill();
        }
    }

    /// Sends a request and returns the answer; what comes before it is kept for nobody.
    fn ask(&mut self, method: &str, headers: &str) -> String {
        self.cseq += 1;
        let track = if method == "SETUP" { "/trackID=0" } else { "" };
        let session = match &*self.session {
            "" => String::new(),
            id => format!("Session: {id}\r\n"),
        };
        let request = format!(
            "{method} {}{track} RTSP/1.0\r\nCSeq: {}\r\n{session}{headers}\r\n",
            self.url, self.cseq
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        loop {
            if let Heard::Answer(answer) = self.next() {
                if let Some(session) = header(&answer, "Session") {
                    self.session = session.split(';').next().unwrap().to_owned();
                }
                return answer;
            }
        }
    }

    /// DESCRIBE and SETUP.
    fn set_up(&mut self, transport: &str) -> String {
        let sdp = self.ask("DESCRIBE", "");
        assert!(sdp.starts_with("RTSP/1.0 200"), "{sdp}");
        let answer = self.ask("SETUP", &format!("Transport: {transport}\r\n"));
        assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
        sdp
    }

    /// PLAY, and where it begins: sequence number and RTP time.
    fn play(&mut self, headers: &str) -> (String, u16, u32) {
        let answer = self.ask("PLAY", headers);
        assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
        let info = header(&answer, "RTP-Info").unwrap();
        let field = |name: &str| {
            let (_, rest) = info.split_once(&format!(";{name}=")).unwrap();
            rest.split(';').next().unwrap().parse::<u32>().unwrap()
        };
        (answer.clone(), u16::try_from(field("seq")).unwrap(), field("rtptime"))
    }

    /// The next so many pictures, with their RTP times from `time` on, that begin with packet `seq`.
    fn pictures(&mut self, many: usize, (seq, time): (u16, u32)) -> Vec<(u8, i32)> {
        let (mut next, mut out) = (seq, Vec::new());
        while out.len() < many {
            match self.next() {
                Heard::Rtp(seq, at, number) => {
                    assert_eq!(seq, next);
                    next = next.wrapping_add(1);
                    out.extend(number.map(|n| (n, at.wrapping_sub(time).cast_signed())));
                }
                Heard::Rtcp(reports) => {
                    assert!(
                        reports.iter().all(|r| matches!(r, Report::Sender { .. })),
                        "{reports:?}"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
        out
    }

    /// Waits for the goodbye, before which no further picture may come.
    fn end(&mut self) {
        loop {
            match self.next() {
                Heard::Rtcp(reports) if reports.contains(&Report::Bye) => return,
                Heard::Rtcp(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}

fn heard(packet: &[u8]) -> Heard {
    let rtp = RtpReader::new(packet).unwrap();
    let payload = rtp.payload();
    // A slice alone, or the last in an aggregate (RFC 6184 section 5.7.1).
    let number = rtp.mark().then(|| payload[payload.len() - 2]);
    Heard::Rtp(rtp.sequence_number().into(), rtp.timestamp(), number)
}

fn numbers(pictures: &[(u8, i32)]) -> Vec<u8> {
    pictures.iter().map(|picture| picture.0).collect()
}

/// Every picture in its time, from `first` on, `step` ticks apart.
fn check(pictures: &[(u8, i32)], wanted: &[u8], step: i32) {
    assert_eq!(numbers(pictures), wanted);
    for (n, (_, at)) in (0..).zip(pictures) {
        // To the tick; scaled ones are rounded.
        assert!((at - n * step).abs() <= i32::from(step != 3600), "{pictures:?}");
    }
}

const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1";

#[test]
fn a_recording_is_played_to_its_end_and_again() {
    let files = Files::new("whole");
    let server = start(&files);
    for path in ["recording", "recording/1", "recording/2"] {
        let mut talk = Talk::new(server.connect(""), path);
        let sdp = talk.set_up(TCP);
        assert!(sdp.contains("a=range:npt=0-1.200000\r\n"), "{sdp}");
        assert!(sdp.contains("sprop-parameter-sets="), "{sdp}");
        let (answer, seq, time) = talk.play("Range: npt=0.000-\r\n");
        assert_eq!(header(&answer, "Range").unwrap(), "npt=0.000000-1.200000");
        assert_eq!(header(&answer, "Scale"), None);
        let all: Vec<u8> = (0..30).collect();
        check(&talk.pictures(30, (seq, time)), &all, 3600);
        talk.end();
        // Who plays on begins anew.
        let (answer, seq, time) = talk.play("");
        assert_eq!(header(&answer, "Range").unwrap(), "npt=0.000000-1.200000");
        check(&talk.pictures(3, (seq, time)), &[0, 1, 2], 3600);
        // A place that is not there ends what was played; the next request is heard all the same.
        let answer = talk.ask("PLAY", "Range: npt=1-0.5\r\n");
        assert!(answer.starts_with("RTSP/1.0 457"), "{answer}");
        let (_, seq, time) = talk.play("Range: npt=0.4-\r\n");
        check(&talk.pictures(3, (seq, time)), &[10, 11, 12], 3600);
    }
}

#[test]
fn seeks_go_to_the_key_frame_before_and_pauses_lose_nothing() {
    let files = Files::new("seek");
    let server = start(&files);
    let mut talk = Talk::new(server.connect(""), "recording/1");
    talk.set_up(TCP);
    let (answer, seq, time) = talk.play("Range: npt=0.5-\r\n");
    assert_eq!(header(&answer, "Range").unwrap(), "npt=0.400000-1.200000");
    check(&talk.pictures(3, (seq, time)), &[10, 11, 12], 3600);
    // Those that are on their way when it is paused come before the answer.
    let mut next = 13;
    talk.stream.write_all(pause(&mut talk.cseq, &talk.url, &talk.session).as_bytes()).unwrap();
    loop {
        match talk.next() {
            Heard::Rtp(_, _, number) => {
                assert_eq!(number, Some(next));
                next += 1;
            }
            Heard::Answer(answer) => {
                assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
                break;
            }
            Heard::Rtcp(_) => {}
        }
    }
    let (answer, seq, time) = talk.play("");
    let resumed = f64::from(next) * 0.04;
    assert_eq!(header(&answer, "Range").unwrap(), format!("npt={resumed:.6}-1.200000"));
    check(&talk.pictures(2, (seq, time)), &[next, next + 1], 3600);
    // Elsewhere while it plays.
    let (answer, seq, time) = talk.play("Range: npt=0-0.2\r\n");
    assert_eq!(header(&answer, "Range").unwrap(), "npt=0.000000-0.200000");
    check(&talk.pictures(5, (seq, time)), &[0, 1, 2, 3, 4], 3600);
    talk.end();
    let (answer, seq, time) = talk.play("Range: clock=20261121T140558.2Z-\r\n");
    let range = "clock=20261121T140558.050000Z-";
    assert_eq!(header(&answer, "Range").unwrap(), range);
    check(&talk.pictures(2, (seq, time)), &[20, 21], 3600);
    // Live555's sign of life changes nothing.
    let answer = talk.ask("PLAY", "");
    assert!(answer.starts_with("RTSP/1.0 200") && header(&answer, "RTP-Info").is_none());
}

fn pause(cseq: &mut u32, url: &str, session: &str) -> String {
    *cseq += 1;
    format!("PAUSE {url} RTSP/1.0\r\nCSeq: {cseq}\r\nSession: {session}\r\n\r\n")
}

#[test]
fn scales_are_played_and_told() {
    let files = Files::new("scale");
    let server = start(&files);
    let mut talk = Talk::new(server.connect(""), "recording/1");
    talk.set_up(TCP);
    let plays: [(&str, &str, &[u8], i32); 5] = [
        ("2", "Range: npt=0.8-\r\n", &[20, 21, 22, 23, 24, 25, 26, 27, 28, 29], 1800),
        ("4", "Range: npt=0-\r\n", &[0, 10, 20], 9000),
        ("-1", "Range: npt=1.1-\r\n", &[20, 10, 0], 36_000),
        ("-100", "Range: npt=1.1-0.3\r\n", &[20, 10], 2250),
        ("0.5", "Range: npt=0.0-0.1\r\n", &[0, 1, 2], 7200),
    ];
    for (scale, range, wanted, step) in plays {
        let (answer, seq, time) = talk.play(&format!("Scale: {scale}\r\n{range}"));
        let told = if scale == "-100" { "-16" } else { scale };
        assert_eq!(header(&answer, "Scale").unwrap(), told);
        check(&talk.pictures(wanted.len(), (seq, time)), wanted, step);
        talk.end();
    }
    // Backwards without a place: from the end.
    let (answer, seq, time) = talk.play("Scale: -8\r\n");
    assert_eq!(header(&answer, "Range").unwrap(), "npt=0.800000-0.000000");
    check(&talk.pictures(3, (seq, time)), &[20, 10, 0], 4500);
}

#[test]
fn what_grows_is_played_on() {
    let files = Files::new("grows");
    let server = start(&files);
    let mut talk = Talk::new(server.connect(""), "recording/4");
    let sdp = talk.set_up(TCP);
    assert!(sdp.contains("a=range:npt=0-\r\n"), "{sdp}");
    let (answer, mut seq, time) = talk.play("Range: npt=0-\r\n");
    assert_eq!(header(&answer, "Range").unwrap(), "npt=0.000000-");
    let first = talk.pictures(10, (seq, time));
    seq = seq.wrapping_add(10);
    check(&first, &(0..10).collect::<Vec<u8>>(), 3600);
    std::fs::write(files.folder.join("4"), recording(20, 5)).unwrap();
    assert_eq!(numbers(&talk.pictures(10, (seq, time))), (10..20).collect::<Vec<u8>>());
    *files.growing.lock() = false;
    talk.end();
}

#[test]
fn what_is_not_there_is_refused() {
    let files = Files::new("refused");
    let server = start(&files);
    let answer = |path: &str| Talk::new(server.connect(""), path).ask("DESCRIBE", "");
    for path in
        ["recording/9", "recording/x", "recording/0", "recording/-1", "recordings", "recording/1/2"]
    {
        assert!(answer(path).starts_with("RTSP/1.0 404"), "{path}: {}", answer(path));
    }
    let broken = answer("recording/3");
    assert!(broken.starts_with("RTSP/1.0 503") && broken.contains("no ftyp box"), "{broken}");
    // Without a DESCRIBE it is opened all the same.
    let mut talk = Talk::new(server.connect(""), "recording/1");
    let answer = talk.ask("SETUP", &format!("Transport: {TCP}\r\n"));
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    for (headers, status) in [
        ("Range: npt=2-\r\n", "457"),
        ("Range: npt=1-0.5\r\n", "457"),
        ("Range: clock=20250101T000000Z-\r\n", "457"),
        ("Range: clock=20261121T140559Z-\r\n", "457"),
        ("Range: bytes=1-2\r\n", "457"),
        ("Scale: fast\r\n", "400"),
    ] {
        let answer = talk.ask("PLAY", headers);
        assert!(answer.starts_with(&format!("RTSP/1.0 {status}")), "{headers}: {answer}");
    }
    // And plays after all that, also when it is deleted meanwhile.
    std::fs::remove_file(files.folder.join("1")).unwrap();
    let (_, seq, time) = talk.play("");
    check(&talk.pictures(30, (seq, time)), &(0..30).collect::<Vec<u8>>(), 3600);
    talk.end();
    let answer = talk.ask("TEARDOWN", "");
    assert!(answer.starts_with("RTSP/1.0 200"), "{answer}");
    talk.session.clear();
    let answer = talk.ask("SETUP", &format!("Transport: {TCP}\r\n"));
    assert!(answer.starts_with("RTSP/1.0 404"), "it is looked for again: {answer}");
}

#[test]
fn datagrams_and_tls_carry_it_too() {
    let files = Files::new("ways");
    let server = start(&files);
    let mut talk = Talk::new(server.connect_tls(""), "recording/1");
    talk.set_up(TCP);
    let (_, seq, time) = talk.play("");
    check(&talk.pictures(30, (seq, time)), &(0..30).collect::<Vec<u8>>(), 3600);
    talk.end();

    let sockets = [0, 1].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let ports: Vec<u16> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
    let mut talk = Talk::new(server.connect(""), "recording/2");
    talk.set_up(&format!("RTP/AVP;unicast;client_port={}-{}", ports[0], ports[1]));
    let (_, seq, time) = talk.play("");
    let mut buffer = [0; 2048];
    sockets.iter().for_each(|s| s.set_read_timeout(Some(Duration::from_secs(5))).unwrap());
    for n in 0..30_u8 {
        let len = sockets[0].recv(&mut buffer).unwrap();
        let Heard::Rtp(at, shown, number) = heard(&buffer[..len]) else { panic!() };
        assert_eq!((at, number), (seq.wrapping_add(n.into()), Some(n)));
        assert_eq!(shown.wrapping_sub(time), u32::from(n) * 3600);
    }
    loop {
        let len = sockets[1].recv(&mut buffer).unwrap();
        if rtcp::parse(&buffer[..len]).contains(&Report::Bye) {
            break;
        }
    }
    // A group is no way to play a recording to one.
    let answer = Talk::new(server.connect(""), "recording/1");
    let mut talk = answer;
    let answer = talk.ask("SETUP", "Transport: RTP/AVP;multicast\r\n");
    assert!(answer.starts_with("RTSP/1.0 461"), "{answer}");
}

#[test]
fn clients_play_apart() {
    let files = Files::new("apart");
    let server = start(&files);
    let mut talks = [0, 1].map(|_| Talk::new(server.connect(""), "recording/1"));
    talks.iter_mut().for_each(|talk| drop(talk.set_up(TCP)));
    let [a, b] = &mut talks;
    let (_, seq_a, time_a) = a.play("Range: npt=0-\r\n");
    let (_, seq_b, time_b) = b.play("Range: npt=0.8-\r\n");
    check(&a.pictures(30, (seq_a, time_a)), &(0..30).collect::<Vec<u8>>(), 3600);
    check(&b.pictures(10, (seq_b, time_b)), &(20..30).collect::<Vec<u8>>(), 3600);
    // And their sessions are shown.
    let shown = |state: &str| {
        server
            .view
            .clients
            .lock()
            .iter()
            .any(|c| c.path == "recording/1" && c.state == state && c.units > 0)
    };
    assert!((0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        shown("playing")
    }));
}

/// The flags of ONVIF's extension, its CSeq, when the picture was captured in milliseconds from the
/// first, and its number.
fn onvif(talk: &mut Talk<TcpStream>) -> (u8, u8, i64, u8) {
    loop {
        if talk.pending.first() != Some(&b'$') || talk.pending.len() < 4 {
            assert!(!talk.pending.starts_with(b"RTSP"));
            talk.fill();
            continue;
        }
        let len = 4 + usize::from(u16::from_be_bytes([talk.pending[2], talk.pending[3]]));
        while talk.pending.len() < len {
            talk.fill();
        }
        let packet: Vec<u8> = talk.pending.drain(..len).collect();
        if packet[1] == 0 {
            let rtp = RtpReader::new(&packet[4..]).unwrap();
            let (profile, words) = rtp.extension().unwrap();
            assert_eq!((profile, words.len()), (0xABAC, 12));
            let ntp = u64::from_be_bytes(*words.first_chunk().unwrap());
            let at = lensd_ffi::time::UtcNanos::of_ntp64(ntp).millis() - 1_795_269_957_250;
            let payload = rtp.payload();
            return (words[8], words[9], at, payload[payload.len() - 2]);
        }
    }
}

#[test]
fn onvif_clients_get_their_header_and_their_pace() {
    let files = Files::new("onvif");
    let server = start(&files);
    let mut talk = Talk::new(server.connect(""), "recording/1");
    talk.set_up(&format!("{TCP}\r\nRequire: onvif-replay"));
    let from = "Require: onvif-replay\r\nRange: clock=20261121T140557.7Z-\r\n";
    let (answer, ..) = talk.play(&format!("{from}Rate-Control: no\r\n"));
    assert_eq!(header(&answer, "Rate-Control").unwrap(), "no");
    let range = "clock=20261121T140557.650000Z-";
    assert_eq!(header(&answer, "Range").unwrap(), range);
    let cseq = u8::try_from(talk.cseq).unwrap();
    for n in 10..30_u8 {
        let flags = match n {
            10 => 0b1010_0000,
            20 => 0b1000_0000,
            29 => 0b0101_0000,
            _ => 0,
        };
        assert_eq!(onvif(&mut talk), (flags, cseq, i64::from(n) * 40, n));
    }
    talk.end();
    let (answer, ..) = talk.play("Require: onvif-replay\r\nRange: npt=0-\r\nFrames: intra\r\n");
    assert_eq!(header(&answer, "Rate-Control").unwrap(), "yes");
    let numbers = [0, 1, 2].map(|_| onvif(&mut talk).3);
    assert_eq!(numbers, [0, 10, 20]);
    // Whoever asks for more, or for it elsewhere, is told that it is not there.
    let answer = talk.ask("PAUSE", "Require: onvif-replay, other\r\n");
    assert!(answer.starts_with("RTSP/1.0 551"), "{answer}");
    let mut live = Talk::new(server.connect(""), "stream1");
    let answer = live.ask("DESCRIBE", "Require: onvif-replay\r\n");
    assert!(answer.starts_with("RTSP/1.0 551"), "{answer}");
}
