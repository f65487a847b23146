//! The cases of the Autobahn suite that matter, by hand, and our own rules.

use super::*;
use lensd_ffi::time::UtcNanos;

const AT: At = At { mono: Nanos(1), utc: UtcNanos(0) };

fn later(ms: u64) -> At {
    At { mono: Nanos::from_millis(ms), ..AT }
}

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(0x80 | u8::try_from(n).unwrap()),
        n @ 126..65_536 => {
            out.push(0xfe);
            out.extend_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        }
        n => {
            out.push(0xff);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
    out
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

fn drain(session: &mut Session) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let mut slices = [IoSlice::new(&[]); 3];
        let count = session.poll_output(&mut slices);
        let piece: Vec<u8> = slices[..count].iter().flat_map(|s| s.iter().copied()).collect();
        if piece.is_empty() {
            return out;
        }
        // Not all of it, so that a rest stays in the middle of a frame.
        let sent = piece.len().div_ceil(2);
        out.extend_from_slice(&piece[..sent]);
        session.output_sent(sent, AT);
    }
}

fn feed(session: &mut Session, bytes: &[u8], at: At) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rest = bytes;
    loop {
        let take = rest.len().min(session.room());
        session.handle_input(&rest[..take]);
        rest = &rest[take..];
        while let Some(event) = session.poll(at) {
            events.push(event);
        }
        if rest.is_empty() || (take == 0 && session.room() == 0) {
            return events;
        }
    }
}

/// What comes out of these frames, and the code of the close frame that answers them.
fn exchange(frames: &[Vec<u8>]) -> (Vec<Event>, Option<u16>) {
    let mut session = Session::new(AT);
    session.trust();
    let events = feed(&mut session, &frames.concat(), AT);
    let out = drain(&mut session);
    let close = out.windows(4).position(|w| w[0] == 0x88 && w[1] >= 2 && !session.is_open());
    let code = close.map(|at| u16::from_be_bytes([out[at + 2], out[at + 3]]));
    (events, code)
}

fn refused(frames: &[Vec<u8>]) -> Option<u16> {
    exchange(frames).1
}

fn texts(all: &[&str]) -> Vec<Event> {
    all.iter().map(|t| Event::Text((*t).to_owned())).collect()
}

#[test]
fn messages_of_all_lengths() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, MAX_MESSAGE] {
        let payload = "*".repeat(length);
        assert_eq!(exchange(&[text(&payload)]), (texts(&[&payload]), None), "{length}");
        let bytes = vec![0xfe; length];
        let binary = vec![Event::Binary(bytes.clone())];
        assert_eq!(exchange(&[frame(0x82, &bytes)]), (binary, None), "{length}");
    }
    assert_eq!(refused(&[frame(0x82, &vec![0; MAX_MESSAGE + 1])]), Some(1009));
    // A length that is claimed costs nothing, however large.
    for claim in [MAX_MESSAGE as u64 + 1, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let head = [&[0x82, 0xff], &claim.to_be_bytes()[..], &[0; 4]].concat();
        assert_eq!(refused(&[head]), Some(1009), "{claim}");
    }
    let half = vec![0; MAX_MESSAGE / 2 + 1];
    assert_eq!(refused(&[frame(0x02, &half), frame(0x80, &half)]), Some(1009));
}

#[test]
fn strangers_are_short() {
    let mut session = Session::new(AT);
    assert_eq!(feed(&mut session, &text(&"x".repeat(MAX_STRANGE)), AT).len(), 1);
    feed(&mut session, &text(&"x".repeat(MAX_STRANGE + 1)), AT);
    assert_eq!(drain(&mut session)[2..4], 1009_u16.to_be_bytes());
}

#[test]
fn pings_are_answered_with_what_they_carry() {
    let mut session = Session::new(AT);
    for payload in [&b""[..], b"Hello", &[0xff; 125]] {
        feed(&mut session, &frame(0x89, payload), AT);
        let out = drain(&mut session);
        assert_eq!((out[0], usize::from(out[1]), &out[2..]), (0x8a, payload.len(), payload));
    }
    feed(&mut session, &frame(0x8a, b"nobody asked"), AT);
    assert!(drain(&mut session).is_empty() && session.is_open());
    assert_eq!(refused(&[frame(0x89, &[0; 126])]), Some(1002));
}

#[test]
fn what_breaks_the_protocol_ends_it() {
    for first in [0xc1, 0xa1, 0x91, 0xf1, 0xc9, 0xc8] {
        assert_eq!(refused(&[frame(first, b"x")]), Some(1002), "reserved bits {first:x}");
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_eq!(refused(&[frame(0x80 | opcode, b"")]), Some(1002), "opcode {opcode}");
        let (events, code) = exchange(&[text("good"), frame(0x80 | opcode, b"")]);
        assert_eq!((events, code), (texts(&["good"]), Some(1002)));
    }
    assert_eq!(refused(&[vec![0x81, 1, b'x']]), Some(1002), "not masked");
    assert_eq!(refused(&[frame(0x09, b"")]), Some(1002), "a fragmented ping");
    assert_eq!(refused(&[frame(0x80, b"x")]), Some(1002), "a continuation of nothing");
    assert_eq!(refused(&[frame(0x00, b"x")]), Some(1002));
    assert_eq!(refused(&[frame(0x01, b"x"), text("y")]), Some(1002), "one in the other");
    assert_eq!(refused(&[text("x"), frame(0x80, b"y")]), Some(1002));
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let frames = [
        frame(0x01, b"frag"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x00, b"men"),
        frame(0x8a, b"pong"),
        frame(0x80, b"ts"),
    ];
    assert_eq!(exchange(&frames), (texts(&["fragments"]), None));
    let pieces: Vec<u8> = frames.concat();
    for size in 1..pieces.len() {
        let (events, output, _) = replay(&pieces, &[size]);
        assert_eq!((events, output.len()), (texts(&["fragments"]), 6 + 3), "{size}");
    }
}

#[test]
fn text_is_utf_8() {
    let good = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \u{10ffff}\u{0}";
    assert_eq!(exchange(&[text(good)]), (texts(&[good]), None));
    // A letter may be cut by fragments.
    let bytes = "κ😀".as_bytes();
    for cut in 0..=bytes.len() {
        let frames = [frame(0x01, &bytes[..cut]), frame(0x80, &bytes[cut..])];
        assert_eq!(exchange(&frames), (texts(&["κ😀"]), None), "{cut}");
    }
    for bad in [
        &b"\xce\xba\xed\xa0\x80"[..],
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\x80",
        b"\xff",
        b"\xce",
        b"abc\xe2\x82",
    ] {
        assert_eq!(refused(&[frame(0x81, bad)]), Some(1007), "{bad:x?}");
    }
    // It is noticed before the message is over.
    assert_eq!(refused(&[frame(0x01, b"\xce\xba\xff")]), Some(1007));
    let mut session = Session::new(AT);
    let long = frame(0x81, &[b"good \xff", &[b'x'; 100][..]].concat());
    feed(&mut session, &long[..14], AT);
    assert!(!session.is_open());
}

#[test]
fn the_end_is_said_back() {
    let close = |payload: &[u8]| {
        let mut session = Session::new(AT);
        let events = feed(&mut session, &[frame(0x88, payload), text("too late")].concat(), AT);
        assert!(events.is_empty() && !session.is_open());
        drain(&mut session)
    };
    assert_eq!(close(b""), [0x88, 0]);
    assert_eq!(close(&[3, 0xe8, b'o', b'k']), [0x88, 2, 3, 0xe8]);
    for code in [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999] {
        assert_eq!(close(&code.to_be_bytes())[2..4], code.to_be_bytes());
    }
    assert_eq!(close(&[3])[2..4], 1002_u16.to_be_bytes());
    assert_eq!(close(&1005_u16.to_be_bytes())[2..4], 1002_u16.to_be_bytes());
    assert_eq!(close(&[3, 0xe8, 0xce, 0xff])[2..4], 1007_u16.to_be_bytes());
    assert_eq!(refused(&[frame(0x88, &[0; 126])]), Some(1002));
}

#[test]
fn our_end_waits_for_theirs_but_not_long() {
    let mut session = Session::new(AT);
    session.close(Code::Away, "the server stops", AT);
    assert_eq!(drain(&mut session)[..4], [0x88, 18, 0x03, 0xe9]);
    assert!(!session.is_done());
    assert!(feed(&mut session, &text("unread"), AT).is_empty());
    let mut polite = Session::new(AT);
    polite.close(Code::Away, "", AT);
    drain(&mut polite);
    feed(&mut polite, &frame(0x88, &[3, 0xe9]), AT);
    assert!(polite.is_done());
    let by = session.deadline().unwrap();
    session.handle_timeout(At { mono: by, ..AT });
    assert!(session.is_done());
}

#[test]
fn a_hundred_messages_a_second() {
    let mut session = Session::new(AT);
    let messages = |n: usize| text("m").repeat(n);
    assert_eq!(feed(&mut session, &messages(100), later(1)).len(), 100);
    assert!(feed(&mut session, &messages(2), later(900)).is_empty());
    let out = String::from_utf8_lossy(&drain(&mut session)).into_owned();
    assert_eq!(out.matches(LIMITED).count(), 2);
    assert_eq!(feed(&mut session, &messages(1), later(1100)).len(), 1, "another second");
    // A flood at once, and one that does not end.
    let mut flood = Session::new(AT);
    for _ in 0..20 {
        feed(&mut flood, &messages(60), AT);
        drain(&mut flood);
    }
    assert!(!flood.is_open());
    let mut stubborn = Session::new(AT);
    let mut code = Vec::new();
    for second in 0..20 {
        feed(&mut stubborn, &messages(101), later(1000 * second));
        code = drain(&mut stubborn);
        if !stubborn.is_open() {
            break;
        }
    }
    assert!(!stubborn.is_open());
    assert!(code.windows(4).any(|w| w[0] == 0x88 && w[2..4] == 1008_u16.to_be_bytes()));
}

#[test]
fn frames_that_only_waste_time_end_it() {
    let mut session = Session::new(AT);
    feed(&mut session, &frame(0x01, b""), AT);
    feed(&mut session, &frame(0x00, b"").repeat(MAX_FRAMES as usize), AT);
    assert!(!session.is_open());
    assert_eq!(drain(&mut session)[2..4], 1008_u16.to_be_bytes());
}

#[test]
fn who_does_not_read_is_dropped() {
    let mut session = Session::new(AT);
    let half = Arc::new(vec![0; MAX_QUEUED / 2]);
    assert!(session.is_clear());
    assert!(session.send(wire::frame_text("first")));
    assert!(session.send(Arc::clone(&half)) && session.send(Arc::clone(&half)));
    assert!(!session.is_clear());
    assert!(!session.send(wire::frame_text("one too many")));
    assert!(session.is_done(), "and nothing of it is kept");
    assert_eq!(Arc::strong_count(&half), 1);
    for together in [false, true] {
        let mut large = Session::new(AT);
        let picture = Arc::new(vec![0; 3 * MAX_QUEUED]);
        let taken = if together { large.send_together(&[picture]) } else { large.send(picture) };
        assert!(taken, "one is always taken");
        assert!(large.send(wire::frame_text("news")), "and what comes while it goes out");
        assert!(large.send(Arc::clone(&half)) && !large.send(Arc::clone(&half)), "not all of it");
    }
    let mut slow = Session::new(AT);
    assert!(slow.send(Arc::clone(&half)));
    slow.output_sent(half.len() - 1, AT);
    assert!(slow.send(Arc::clone(&half)) && slow.send(Arc::clone(&half)));
    assert!(!slow.send(wire::frame_text("x")), "what had gone out by then makes no room");
    let mut stalled = Session::new(AT);
    stalled.send(half);
    stalled.note_stall(AT);
    stalled.handle_timeout(later(31_000));
    assert!(stalled.is_done());
}

#[test]
fn video_is_skipped_as_a_whole_for_who_is_behind() {
    let mut session = Session::new(AT);
    let large = wire::frame_binary(&[&vec![7; 2 * MAX_BEHIND]]);
    let small = wire::frame_binary(&[b"small"]);
    assert!(session.send_together(&[Arc::clone(&large), Arc::clone(&small)]), "one always goes");
    assert!(!session.send_together(std::slice::from_ref(&small)));
    assert_eq!(drain(&mut session), [&large[..], &small].concat());
    for _ in 0..2 {
        assert!(session.send_together(&[Arc::clone(&small), Arc::clone(&small)]));
    }
    assert!(!session.send_together(&[Arc::clone(&small), large]), "all or none");
    assert_eq!(drain(&mut session), small.repeat(4));
    assert!(session.is_open(), "it is not dropped for that");
}

#[test]
fn who_does_not_read_its_answers_is_not_listened_to() {
    let mut session = Session::new(AT);
    session.send(Arc::new(vec![0; HIGH_WATER + 1]));
    session.handle_input(&text("wait"));
    assert_eq!(session.poll(AT), None);
    drain(&mut session);
    assert_eq!(session.poll(AT), Some(Event::Text("wait".into())));
}

#[test]
fn silence_is_asked_and_then_ended() {
    let mut session = Session::new(AT);
    session.handle_timeout(later(30_001));
    assert_eq!(drain(&mut session), [0x89, 0]);
    feed(&mut session, &frame(0x8a, b""), later(31_000));
    session.handle_timeout(later(60_002));
    assert_eq!(drain(&mut session), [0x89, 0]);
    session.handle_timeout(later(90_001));
    assert!(session.is_open());
    session.handle_timeout(later(90_003));
    assert!(session.is_done());
}

#[test]
fn an_idle_client_costs_no_buffer() {
    let mut session = Session::new(AT);
    session.trust();
    feed(&mut session, &text(&"x".repeat(100_000)), AT);
    session.send(wire::frame_text(&"x".repeat(100_000)));
    drain(&mut session);
    assert_eq!((session.input.capacity(), session.control.capacity()), (0, 0));
    assert!(session.message.is_none() && session.output.capacity() <= 64);
    assert!(size_of::<Session>() <= 512);
}

/// Random edits of good frames, in random pieces, from a fixed seed.
#[test]
fn the_same_at_every_split() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let corpus = [
        text("hello"),
        frame(0x01, b"a"),
        frame(0x80, b"\xc3"),
        frame(0x89, b"p"),
        frame(0x8a, b""),
        frame(0x82, &[7; 300]),
        frame(0x88, &[3, 0xe8]),
    ];
    for _ in 0..20_000 {
        let mut data: Vec<u8> =
            (0..random(6) + 1).flat_map(|_| corpus[random(corpus.len())].clone()).collect();
        for _ in 0..random(3) {
            let at = random(data.len());
            data[at] ^= 1 << random(8);
        }
        let whole = replay(&data, &[data.len()]);
        let sizes: Vec<usize> = (0..4).map(|_| random(20) + 1).collect();
        assert_eq!(whole, replay(&data, &sizes), "{data:x?} in {sizes:?}");
    }
}
