//! Clients of str0m, face to face with the hall on a clock that stands still unless it is told.

use super::*;
use crate::coded::CodedUnit;
use crate::config::Join;
use crate::publish::{Kind, Publisher, geometry_for};
use lensd_ffi::auth::Login;
use lensd_ffi::time::UtcNanos;
use lensd_ffi::unit::{Codec, NalSpan};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Output, Rtc};

/// What libx264 says of 320x180 in Constrained Baseline, level 3.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x62, 0xe4, 0x80,
];
const HERE: &str = "192.0.2.1:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What the hall has sent, and how much of it the network takes at a time.
#[derive(Default)]
struct Net {
    sent: VecDeque<Transmit>,
    full: bool,
}

impl Wire for Net {
    fn flush(&mut self, queue: &mut VecDeque<Transmit>) -> bool {
        if !self.full {
            self.sent.append(queue);
        }
        !self.full
    }
}

/// A client that is no browser.
struct Peer {
    rtc: Rtc,
    address: SocketAddr,
    offered: Option<SdpPendingOffer>,
    mid: Option<Mid>,
    connected: bool,
    closed: bool,
    /// First byte of the last NAL unit, and RTP time, of each picture.
    got: Vec<(u8, u64)>,
}

impl Peer {
    fn new(address: &str, start: Instant) -> Self {
        let mut rtc = Rtc::builder().clear_codecs().enable_h264(true).build(start);
        rtc.add_local_candidate(Candidate::host(at(address), "udp").unwrap());
        Self {
            rtc,
            address: at(address),
            offered: None,
            mid: None,
            connected: false,
            closed: false,
            got: Vec::new(),
        }
    }

    fn offer(&mut self) -> String {
        let mut api = self.rtc.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        self.offered = Some(pending);
        offer.to_sdp_string()
    }

    fn take(&mut self, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        self.rtc.sdp_api().accept_answer(self.offered.take().unwrap(), answer).unwrap();
    }

    fn poll(&mut self) -> Vec<Transmit> {
        let mut out = Vec::new();
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return out,
                Output::Transmit(datagram) => out.push(datagram),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(Event::MediaAdded(added)) => self.mid = Some(added.mid),
                Output::Event(Event::MediaData(data)) => {
                    self.mid = Some(data.mid);
                    self.got.push((*data.data.last().unwrap(), data.time.numer()));
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// The hall, its camera and its network.
struct Play {
    hall: Hall,
    view: Arc<View>,
    publisher: Publisher,
    stream: Arc<Stream>,
    net: Net,
    start: Instant,
    now: Stamp,
    /// Number of the next picture.
    next: u8,
    sps: Vec<u8>,
}

impl Play {
    fn new() -> Self {
        let bell = Bell::new().unwrap();
        let (stream, publisher) =
            Stream::create(1, Kind::Main, Codec::H264, geometry_for(0), bell).unwrap();
        let switchboard = Arc::new(Switchboard::default());
        switchboard.add(Arc::clone(&stream));
        switchboard.select(1);
        let users = Arc::new(UserTable::new(true, lensd_ffi::auth::Lockout::new()));
        let (bell, answered) = (Arc::new(Bell::new().unwrap()), Bell::new().unwrap());
        let options = WebRtcOptions { max_clients: 3, ..WebRtcOptions::default() };
        let view = Arc::new(View::new(options.clone(), bell, answered));
        #[expect(clippy::disallowed_methods, reason = "the clock's beginning, nothing else")]
        let start = Instant::now() + Duration::from_secs(1);
        let now = Stamp {
            mono: Nanos::from_secs(1000),
            utc: UtcNanos(1_700_000_000_000_000_000),
            ..Stamp::default()
        };
        let mut hall = Hall::new(World {
            switchboard,
            guard: users.guard([0; 32]),
            users,
            view: Arc::clone(&view),
            random: || {
                use std::hash::{BuildHasher as _, RandomState};
                RandomState::new().hash_one(1)
            },
            timeline: Timeline::new(start, now),
        });
        hall.set(&options, Ok((at(HERE).port(), Family::Both)));
        Self {
            hall,
            view,
            publisher,
            stream,
            net: Net::default(),
            start,
            now,
            next: 0,
            sps: SPS.to_vec(),
        }
    }

    fn put(&mut self, key: bool) {
        let mut unit = CodedUnit {
            key,
            codec: Codec::H264,
            capture: self.now,
            number: self.next.into(),
            width: 320,
            height: 180,
            ..CodedUnit::default()
        };
        let picture = [if key { 0x65 } else { 0x41 }, self.next | 0x80];
        let pps = [0x68, 0xcb, 0x83, 0xcb, 0x20];
        let nals: &[&[u8]] = if key { &[&self.sps, &pps, &picture] } else { &[&picture] };
        for nal in nals {
            unit.bytes.extend_from_slice(&[0, 0, 0, 1]);
            let offset = u32::try_from(unit.bytes.len()).unwrap();
            unit.nals.push(NalSpan { offset, len: u32::try_from(nal.len()).unwrap() });
            unit.bytes.extend_from_slice(nal);
        }
        self.publisher.publish(&unit, None).unwrap();
        self.next += 1;
    }

    fn from(peer: &Peer, user: &str) -> RtcFrom {
        RtcFrom {
            login: Login { user: user.to_owned(), ..Login::default() },
            peer: peer.address.ip(),
            local: at(HERE).ip(),
            agent: String::new(),
        }
    }

    fn ask(&mut self, from: RtcFrom, act: RtcAct) -> Option<Answer> {
        let (answer, answered) = crossbeam::channel::bounded(1);
        self.hall.ask(Post { from, act, answer }, self.now);
        answered.try_recv().ok()
    }

    /// The same, where a refusal is the test's end.
    fn begin(&mut self, from: RtcFrom, act: RtcAct) -> (String, String) {
        match self.ask(from, act) {
            Some(Answer::Rtc { session, sdp }) => (session, sdp),
            other => panic!("{other:?}"),
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now.mono.since(Nanos::from_secs(1000)).duration()
    }

    /// Lets so much time pass, 10 ms at a time, and datagrams come.
    fn go(&mut self, span: Duration, peers: &mut [&mut Peer]) {
        for _ in 0..span.as_millis() / 10 {
            self.now.mono = self.now.mono.plus(Nanos::from_millis(10));
            self.now.utc.0 += 10_000_000;
            self.hall.deliver(&mut self.net, self.now);
            self.hall.handle_timeout(&mut self.net, self.now);
            let instant = self.instant();
            for datagram in self.net.sent.split_off(0) {
                let Some(peer) = peers.iter_mut().find(|p| p.address == datagram.destination)
                else {
                    continue;
                };
                let received =
                    Receive::new(Protocol::Udp, datagram.source, peer.address, &datagram.contents);
                peer.rtc.handle_input(Input::Receive(instant, received.unwrap())).unwrap();
                for out in peer.poll() {
                    self.hall.receive(out.source, out.destination, &out.contents, self.now);
                }
            }
            for peer in &mut *peers {
                peer.rtc.handle_input(Input::Timeout(instant)).unwrap();
                for out in peer.poll() {
                    let taken =
                        self.hall.receive(out.source, out.destination, &out.contents, self.now);
                    if let Some(token) = taken {
                        self.hall.pump(token, &mut self.net, self.now);
                    }
                }
            }
        }
    }

    /// A client that is connected.
    fn join(&mut self, address: &str) -> (Peer, String) {
        let mut peer = Peer::new(address, self.instant());
        let from = Self::from(&peer, "ann");
        let act = RtcAct::Play { stream: "cam1/main".to_owned(), offer: peer.offer() };
        let (session, answer) = self.begin(from, act);
        peer.take(&answer);
        for _ in 0..50 {
            if peer.connected && self.hall.clients.iter().all(|(_, c)| c.since.is_some()) {
                return (peer, session);
            }
            self.go(Duration::from_millis(100), &mut [&mut peer]);
        }
        panic!("not connected:\n{answer}");
    }
}

fn code(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Fault { code, .. }) => code,
        other => format!("{other:?}"),
    }
}

#[test]
fn pictures_go_from_a_key_frame_on_with_their_capture_times() {
    let mut play = Play::new();
    play.put(true);
    let (mut peer, session) = play.join("192.0.2.9:5000");
    assert!(play.stream.take_key_wanted(), "the policy is a fresh key frame");
    play.put(false);
    play.go(Duration::from_millis(40), &mut [&mut peer]);
    assert_eq!(peer.got, [], "it is not what one can begin with");
    for key in [true, false, false] {
        play.put(key);
        play.go(Duration::from_millis(40), &mut [&mut peer]);
    }
    let numbers: Vec<u8> = peer.got.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0x82, 0x83, 0x84]);
    for pair in peer.got.windows(2) {
        assert_eq!(pair[1].1 - pair[0].1, 90 * 40);
    }
    // What a browser asks for reaches the camera.
    assert!(!play.stream.take_key_wanted());
    let mid = peer.mid.unwrap();
    let asked = peer.rtc.writer(mid).unwrap().request_keyframe(None, KeyframeRequestKind::Pli);
    asked.unwrap();
    play.go(Duration::from_millis(100), &mut [&mut peer]);
    assert!(play.stream.take_key_wanted());

    let [client] = &play.hall.describe(play.now.mono)[..] else { panic!() };
    assert_eq!(
        (client.units, client.state.as_str(), client.path.as_str()),
        (3, "playing", "cam1/main")
    );
    // Its candidates are taken, an ICE restart is not (RFC 9725 section 4.3).
    let trickle = |fragment: &str| RtcAct::Trickle {
        session: session.clone(),
        fragment: fragment.to_owned(),
    };
    assert_eq!(
        play.ask(Play::from(&peer, "ann"), trickle("a=end-of-candidates\r\n")),
        Some(Answer::Done)
    );
    let restart = trickle("a=ice-ufrag:another\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n");
    assert_eq!(code(play.ask(Play::from(&peer, "ann"), restart)), "NO_ICE_RESTART");
    // Only its owner ends it; then its client hears of it.
    let end = |session: &str| RtcAct::End { session: session.to_owned() };
    assert_eq!(code(play.ask(Play::from(&peer, "bob"), end(&session))), "NOT_FOUND");
    assert_eq!(play.ask(Play::from(&peer, "ann"), end(&session)), Some(Answer::Done));
    assert_eq!(code(play.ask(Play::from(&peer, "ann"), end(&session))), "NOT_FOUND");
    play.go(Duration::from_millis(100), &mut [&mut peer]);
    assert!(peer.closed && play.hall.is_idle() && play.hall.owners.is_empty());
}

#[test]
fn who_is_behind_a_full_socket_loses_whole_groups() {
    let mut play = Play::new();
    play.hall.options.join = Join::Gop;
    play.put(true);
    let (mut peer, _) = play.join("192.0.2.9:5000");
    play.go(Duration::from_millis(40), &mut [&mut peer]);
    assert_eq!(peer.got.len(), 1, "the group of the ring");
    play.net.full = true;
    for key in [false, false, true, false] {
        play.put(key);
        play.go(Duration::from_millis(20), &mut [&mut peer]);
    }
    play.net.full = false;
    play.go(Duration::from_millis(100), &mut [&mut peer]);
    play.put(false);
    play.go(Duration::from_millis(40), &mut [&mut peer]);
    let numbers: Vec<u8> = peer.got.iter().map(|(number, _)| *number).collect();
    // The one that waited in the socket's queue went out first.
    assert_eq!(numbers, [0x80, 0x81, 0x83, 0x84, 0x85]);
    let [client] = &play.hall.describe(play.now.mono)[..] else { panic!() };
    assert_eq!((client.skipped, client.skipped_groups), (1, 1));
}

#[test]
fn another_profile_than_was_agreed_on_ends_it() {
    let mut play = Play::new();
    // Main, which the client's High would decode, too.
    play.sps[1] = 77;
    play.put(true);
    let (mut peer, _) = play.join("192.0.2.9:5000");
    for profile in [77, 66] {
        play.sps[1] = profile;
        play.put(true);
        play.go(Duration::from_millis(40), &mut [&mut peer]);
        assert!(!peer.closed && play.hall.clients.len() == 1, "{profile}");
    }
    play.sps[1] = 88;
    play.put(true);
    play.go(Duration::from_millis(100), &mut [&mut peer]);
    assert!(peer.closed && play.hall.is_idle());
}

#[test]
fn our_own_offer_is_answered_by_its_media() {
    let mut play = Play::new();
    play.put(true);
    let mut peer = Peer::new("192.0.2.9:5000", play.instant());
    let from = Play::from(&peer, "ann");
    let offer = RtcAct::Offer { stream: "stream1".to_owned() };
    let (first, _) = play.begin(from.clone(), offer.clone());
    let (session, sdp) = play.begin(from.clone(), offer);
    assert_ne!(first, session);
    let answer = peer.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&sdp).unwrap()).unwrap();
    let accept = |session: &str| RtcAct::Accept {
        session: session.to_owned(),
        answer: answer.to_sdp_string(),
    };
    assert_eq!(code(play.ask(Play::from(&peer, "bob"), accept(""))), "NOT_FOUND");
    assert_eq!(play.ask(from.clone(), accept("")), Some(Answer::Done));
    assert_eq!(code(play.ask(from, accept(&session))), "CONFLICT");
    play.go(Duration::from_secs(1), &mut [&mut peer]);
    assert!(peer.connected);
    play.put(true);
    play.go(Duration::from_millis(40), &mut [&mut peer]);
    assert_eq!(peer.got.len(), 1);
    // The one that nobody answered goes by itself.
    assert_eq!(play.hall.clients.len(), 2);
    play.go(Duration::from_secs(30), &mut [&mut peer]);
    assert_eq!(play.hall.clients.len(), 1);
}

#[test]
fn who_is_silent_is_let_go() {
    let mut play = Play::new();
    play.put(true);
    let (mut one, _) = play.join("192.0.2.9:5000");
    let (mut two, _) = play.join("192.0.2.9:5001");
    play.go(Duration::from_secs(1), &mut [&mut one, &mut two]);
    assert_eq!(play.hall.clients.len(), 2);
    play.go(Duration::from_secs(40), &mut [&mut one]);
    assert_eq!(play.hall.clients.len(), 1);
    assert!(play.hall.owners.values().all(|token| play.hall.clients.contains(*token)));
    // Nor does a stranger's datagram change anything.
    let stranger = at("192.0.2.77:1");
    for bytes in [&b""[..], b"\x00\x01\x00\x00", b"\x80\x60hello", b"\x16\xfe\xff"] {
        assert_eq!(play.hall.receive(stranger, at(HERE), bytes, play.now), None);
    }
    assert!(!play.hall.owners.contains_key(&stranger));
}

/// What a program makes of an offer by mistake is answered or refused, and str0m survives it.
#[test]
fn offers_with_lines_missing_doubled_or_cut_end_nobody() {
    let mut play = Play::new();
    play.put(true);
    let whole = Peer::new("192.0.2.9:5000", play.instant()).offer();
    let lines: Vec<&str> = whole.split_inclusive("\r\n").collect();
    let mut bad = Vec::new();
    for i in 0..lines.len() {
        let (before, after) = (lines[..i].concat(), lines[i + 1..].concat());
        let value = lines[i].find([':', ' ']).unwrap_or(1);
        bad.push(format!("{before}{after}"));
        bad.push(format!("{before}{0}{0}{after}", lines[i]));
        bad.push(format!("{before}{}\r\n{after}", &lines[i][..=value]));
        bad.push(format!("{before}{}99999999999{after}", &lines[i][..value]));
        bad.push(before);
    }
    let mut answered = 0;
    for offer in bad {
        let Ok(parsed) = signal::parse_offer(&offer) else { continue };
        let timeline = Timeline::new(play.start, play.now);
        let profiles = vec![0x0042_e01e];
        let mut session = Session::new(timeline, &[at(HERE)], profiles, 1, play.now.mono);
        answered += u32::from(session.accept_offer(parsed, play.now.mono).is_ok());
    }
    assert!(answered > 10, "{answered}");
}

#[test]
fn there_are_as_many_as_are_allowed_and_waiting_ends() {
    let mut play = Play::new();
    let mut peer = Peer::new("192.0.2.9:5000", play.instant());
    let from = Play::from(&peer, "ann");
    let act = RtcAct::Play { stream: "stream1".to_owned(), offer: peer.offer() };
    // Without a picture yet the answer waits for one.
    assert_eq!(play.ask(from.clone(), act.clone()), None);
    assert!(play.stream.take_key_wanted());
    let (answer, answered) = crossbeam::channel::bounded(1);
    play.hall.ask(Post { from: from.clone(), act: act.clone(), answer }, play.now);
    play.go(Duration::from_secs(1), &mut []);
    assert!(answered.try_recv().is_err());
    play.put(true);
    play.go(Duration::from_millis(10), &mut []);
    assert!(matches!(answered.try_recv(), Ok(Answer::Rtc { .. })));
    assert_eq!(play.hall.clients.len(), 2);
    // What is not connected makes room.
    for _ in 0..4 {
        play.begin(from.clone(), RtcAct::Offer { stream: "stream1".to_owned() });
        assert_eq!(play.hall.clients.len(), 3);
    }
    play.begin(from.clone(), act.clone());
    assert_eq!(play.hall.clients.len(), 3);
    // Who cannot have the stream is told at once.
    let other = RtcAct::Offer { stream: "cam2/main".to_owned() };
    assert_eq!(code(play.ask(from.clone(), other)), "NOT_FOUND");
    play.stream.set_away("it was pulled out", false);
    assert_eq!(code(play.ask(from.clone(), act.clone())), "CAMERA_NOT_CONNECTED");
    for (enabled, want) in [(true, "WEBRTC_UNAVAILABLE"), (false, "WEBRTC_OFF")] {
        let options = WebRtcOptions { enabled, ..WebRtcOptions::default() };
        play.hall.set(&options, Err("why".to_owned()));
        assert_eq!(code(play.ask(from.clone(), act.clone())), want);
    }
    assert!(play.view.clients.lock().is_empty());
}

#[test]
fn who_only_begins_sessions_keeps_nobody_out() {
    let mut play = Play::new();
    play.put(true);
    let act = |peer: &mut Peer| RtcAct::Play { stream: "stream1".to_owned(), offer: peer.offer() };
    let begin_many = |play: &mut Play| {
        for _ in 0..5 {
            let mut idle = Peer::new("192.0.2.66:5000", play.instant());
            let act = act(&mut idle);
            play.ask(Play::from(&idle, "ann"), act);
        }
    };
    let mut there = Vec::new();
    for address in ["192.0.2.9:5000", "192.0.2.10:5000", "192.0.2.11:5000"] {
        begin_many(&mut play);
        assert_eq!(play.hall.clients.len(), 3);
        let mut peer = Peer::new(address, play.instant());
        let from = Play::from(&peer, "bob");
        let (_, answer) = play.begin(from, act(&mut peer));
        peer.take(&answer);
        // The last place alone is had by who comes last.
        if there.len() < 2 {
            begin_many(&mut play);
        }
        there.push(peer);
        let mut peers: Vec<&mut Peer> = there.iter_mut().collect();
        play.go(Duration::from_secs(1), &mut peers);
        assert!(there.iter().all(|peer| peer.connected && !peer.closed), "{address}");
    }
    // Who plays stays.
    let mut late = Peer::new("192.0.2.12:5000", play.instant());
    let from = Play::from(&late, "bob");
    assert_eq!(code(play.ask(from, act(&mut late))), "TOO_MANY_SESSIONS");
    assert!(play.hall.clients.iter().all(|(_, client)| client.since.is_some()));
}

#[test]
fn a_bad_network_does_not_make_key_frames_for_all_the_time() {
    let mut play = Play::new();
    play.put(true);
    let (mut peer, _) = play.join("192.0.2.9:5000");
    play.put(true);
    play.go(Duration::from_millis(40), &mut [&mut peer]);
    assert!(play.stream.take_key_wanted());
    let mid = peer.mid.unwrap();
    let mut ask = |play: &mut Play| {
        let mut writer = peer.rtc.writer(mid).unwrap();
        writer.request_keyframe(None, KeyframeRequestKind::Pli).unwrap();
        play.go(Duration::from_millis(100), &mut [&mut peer]);
        play.stream.take_key_wanted()
    };
    assert!(ask(&mut play), "at once");
    let again = (0..30).filter(|_| ask(&mut play)).count();
    assert!((2..=3).contains(&again), "{again} times in three seconds");
    // A key frame that came meanwhile is what was asked for.
    assert!((0..11).any(|_| ask(&mut play)));
    assert!(!ask(&mut play));
    play.put(true);
    play.go(Duration::from_secs(2), &mut []);
    assert!(!play.stream.take_key_wanted());
}

#[test]
fn whom_str0m_panics_over_goes_alone() {
    let mut play = Play::new();
    play.put(true);
    let (mut good, _) = play.join("192.0.2.9:5000");
    type Blow = fn(&mut Play, &mut Peer, &str);
    let blows: [Blow; 4] = [
        |play, good, _| {
            play.put(true);
            play.go(Duration::from_millis(20), &mut [good]);
        },
        |play, good, _| play.go(Duration::from_secs(2), &mut [good]),
        |play, _, session| {
            let fragment = "a=end-of-candidates\r\n".to_owned();
            let from = Play::from(&Peer::new("192.0.2.10:5000", play.instant()), "ann");
            let trickle = RtcAct::Trickle { session: session.to_owned(), fragment };
            assert_eq!(code(play.ask(from, trickle)), "NOT_FOUND");
        },
        |play, _, session| {
            let from = Play::from(&Peer::new("192.0.2.10:5000", play.instant()), "ann");
            play.ask(from, RtcAct::End { session: session.to_owned() });
        },
    ];
    for (n, blow) in blows.into_iter().enumerate() {
        let (_, session) = play.join("192.0.2.10:5000");
        let of = |client: &&mut Client| client.id == session;
        let client = play.hall.clients.iter_mut().map(|(_, client)| client).find(of);
        client.unwrap().session.breaks = true;
        blow(&mut play, &mut good, &session);
        assert_eq!(play.hall.clients.len(), 1, "{n}");
        assert!(play.hall.owners.values().all(|token| play.hall.clients.contains(*token)));
    }
    let before = good.got.len();
    play.put(true);
    play.go(Duration::from_millis(40), &mut [&mut good]);
    assert_eq!(good.got.len(), before + 1, "the others go on");
    for (_, client) in &mut play.hall.clients {
        client.session.breaks = true;
    }
    play.hall.end_all(&mut play.net, play.now);
    assert!(play.hall.is_idle());
}

#[test]
fn a_stream_whose_pictures_are_not_in_order_is_refused_and_ends() {
    let mut play = Play::new();
    // One that says nothing of its order, 320x192.
    play.sps = vec![0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x06, 0x64];
    play.stream.set_passed(true);
    play.put(true);
    let (mut peer, _) = play.join("192.0.2.9:5000");
    let base = play.now.mono;
    for n in 0..30_u64 {
        // I1 P3 B2 P5 B4 and so on.
        let step = if n % 2 == 0 { n + 3 } else { n };
        play.now.mono = base.plus(Nanos::from_millis(step * 10));
        play.put(false);
    }
    play.put(true);
    play.go(Duration::from_millis(100), &mut [&mut peer]);
    assert!(peer.closed && play.hall.is_idle());
    let mut late = Peer::new("192.0.2.10:5000", play.instant());
    let from = Play::from(&late, "ann");
    let act = RtcAct::Play { stream: "stream1".to_owned(), offer: late.offer() };
    let Some(Answer::Fault { code, message }) = play.ask(from, act) else { panic!() };
    assert_eq!(code, "NOT_ACCEPTABLE");
    assert!(message.contains("B pictures") && !message.contains("encoder-profile"), "{message}");
}
