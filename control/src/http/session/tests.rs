//! One connection, byte by byte.

use super::*;

const AT: At = At { mono: Nanos(1), utc: lensd_ffi::time::UtcNanos(0) };

fn later(secs: u64) -> At {
    At { mono: Nanos::from_secs(secs), ..AT }
}

fn request(session: &mut Session) -> Request {
    match session.poll(AT) {
        Some(Event::Request(r)) => *r,
        other => panic!("{other:?}"),
    }
}

fn drain(session: &mut Session) -> String {
    let mut out = Vec::new();
    while !session.poll_output().is_empty() {
        out.extend_from_slice(session.poll_output());
        session.output_sent(session.poll_output().len(), AT);
    }
    String::from_utf8(out).unwrap()
}

fn ok(text: &str) -> Response {
    Response::new(200, "text/plain", Payload::Own(text.into()))
}

const CORPUS: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b?c=d HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /no HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.0\r\n\r\nrest",
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\n\r\nGET",
    "\r\nGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /a HTTP/1.1\r\nHo",
    "\u{16}\u{3}\u{1}",
];

#[test]
fn the_same_at_every_split() {
    for text in CORPUS {
        let data = text.as_bytes();
        let whole = replay(data, &[data.len()]);
        for first in 1..data.len() {
            assert_eq!(whole, replay(data, &[first, data.len()]), "{text:?} at {first}");
        }
        super::super::fuzz_http(data);
    }
}

/// Random edits of good requests, in random pieces, from a fixed seed.
#[test]
fn the_same_for_random_input_in_random_pieces() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut data = CORPUS[random(CORPUS.len())].as_bytes().to_vec();
        for _ in 0..random(4) {
            let at = random(data.len());
            match random(3) {
                0 => data[at] = b"\r\n :0\0AZ%;,\xff"[random(12)],
                1 => data.insert(at, b"\r\n :0\0AZ%;,\xff"[random(12)]),
                _ => _ = data.remove(at),
            }
        }
        let sizes: Vec<usize> = (0..4).map(|_| random(data.len() + 1) + 1).collect();
        let whole = replay(&data, &[data.len()]);
        assert_eq!(whole, replay(&data, &sizes), "{:?}", String::from_utf8_lossy(&data));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_though_answers_are_late() {
    let mut session = Session::new(AT);
    session.handle_input(CORPUS[0].as_bytes(), AT);
    assert_eq!(request(&mut session).target, "/a");
    assert_eq!(session.poll(AT), None, "the second waits");
    session.answer(ok("first"), AT);
    assert_eq!(request(&mut session).target, "/b?c=d");
    session.answer(ok("second"), AT);
    let out = drain(&mut session);
    assert!(out.find("first").unwrap() < out.find("second").unwrap());
    assert!(session.rests_since().is_some());
}

#[test]
fn output_over_the_mark_holds_further_requests_back() {
    let mut session = Session::new(AT);
    session.handle_input(CORPUS[0].as_bytes(), AT);
    let _ = request(&mut session);
    session.answer(ok(&"x".repeat(HIGH_WATER + 1)), AT);
    assert_eq!(session.poll(AT), None);
    drain(&mut session);
    assert_eq!(request(&mut session).target, "/b?c=d");
}

#[test]
fn head_has_no_body_but_its_length() {
    let mut session = Session::new(AT);
    session.handle_input(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
    let _ = request(&mut session);
    session.answer(ok("twelve bytes"), AT);
    let out = drain(&mut session);
    assert!(out.contains("Content-Length: 12\r\n") && out.ends_with("\r\n\r\n"), "{out}");
}

#[test]
fn a_body_is_invited_only_when_it_is_wanted() {
    let head = "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut session = Session::new(AT);
    session.handle_input(head.as_bytes(), AT);
    assert_eq!(session.poll(AT), Some(Event::Offer));
    assert!(drain(&mut session).is_empty());
    session.accept();
    assert_eq!(drain(&mut session), "HTTP/1.1 100 Continue\r\n\r\n");
    session.handle_input(b"hi", AT);
    assert_eq!(request(&mut session).body, b"hi");

    let mut session = Session::new(AT);
    session.handle_input(head.as_bytes(), AT);
    assert_eq!(session.poll(AT), Some(Event::Offer));
    session.answer(Response::empty(401), AT);
    let out = drain(&mut session);
    assert!(out.starts_with("HTTP/1.1 401") && out.contains("Connection: close"), "{out}");
    assert!(session.is_done());
}

#[test]
fn deadlines() {
    let mut session = Session::new(AT);
    session.handle_input(b"GET / HT", AT);
    assert_eq!(session.poll(AT), None);
    session.handle_input(b"TP", later(9));
    session.handle_timeout(later(9));
    assert!(!session.is_done());
    session.handle_timeout(later(11));
    assert!(drain(&mut session).starts_with("HTTP/1.1 408"));
    assert!(session.is_done());

    let mut silent = Session::new(AT);
    silent.handle_timeout(later(11));
    assert!(silent.is_done());

    let mut idle = Session::new(AT);
    idle.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
    let _ = request(&mut idle);
    idle.handle_timeout(later(1000));
    idle.answer(ok(""), AT);
    drain(&mut idle);
    idle.handle_timeout(later(59));
    assert!(idle.rests_since().is_some());
    idle.handle_timeout(later(61));
    assert!(idle.is_done());

    let mut stalled = Session::new(AT);
    stalled.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
    let _ = request(&mut stalled);
    stalled.answer(ok("x"), AT);
    stalled.note_stall(AT);
    stalled.handle_timeout(later(31));
    assert!(stalled.is_done() && stalled.poll_output().is_empty());
}

#[test]
fn a_live_answer_holds_one_part_at_most() {
    let mut session = Session::new(AT);
    session.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
    let _ = request(&mut session);
    session.start_live(&Response::empty(200), AT);
    let part = Arc::new(b"part".to_vec());
    assert!(!session.push_live(Arc::clone(&part)), "the head is not sent");
    let head = drain(&mut session);
    assert!(!head.contains("Content-Length") && head.contains("Connection: close"));
    assert!(session.push_live(Arc::clone(&part)) && !session.push_live(part));
    assert_eq!(drain(&mut session), "part");
    session.handle_end();
    assert!(session.is_done());
}

/// A file of its own for a test; it has no name any more.
fn file(bytes: &[u8]) -> std::fs::File {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("lensd-session-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

/// Sends all that can be sent, reading files as a shell does.
fn drain_files(session: &mut Session) -> Vec<u8> {
    use std::os::unix::fs::FileExt as _;
    let mut out = Vec::new();
    loop {
        if let Some((file, offset, length)) = session.wants_chunk() {
            assert!(length as u64 <= CHUNK);
            let mut bytes = vec![0; length];
            let n = file.read_at(&mut bytes, offset).unwrap();
            bytes.truncate(n);
            session.take_chunk(bytes);
        }
        let mut pieces = [IoSlice::new(&[]); 3];
        let count = session.poll_pieces(&mut pieces);
        let piece: Vec<u8> = pieces[..count].iter().flat_map(|p| p.iter().copied()).collect();
        if piece.is_empty() {
            return out;
        }
        assert!(session.queued as u64 <= CHUNK + 2 * HIGH_WATER as u64, "never all of it");
        // Not all of it, so that a rest stays in the middle of a piece.
        let n = piece.len().div_ceil(2);
        out.extend_from_slice(&piece[..n]);
        session.output_sent(n, AT);
    }
}

#[test]
fn a_file_is_sent_in_pieces_and_what_follows_waits_for_it() {
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    let mut session = Session::new(AT);
    session.handle_input(CORPUS[0].as_bytes(), AT);
    let _ = request(&mut session);
    session.answer(Response::file("video/mp4", file(&content)).unwrap(), AT);
    assert_eq!(session.poll(AT), None, "the second request waits");
    let out = drain_files(&mut session);
    let body = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&out[..body]).contains("Content-Length: 300000\r\n"));
    assert_eq!(out[body..], content);
    assert_eq!(request(&mut session).target, "/b?c=d");
    assert_eq!(session.queued, 0);
}

#[test]
fn a_file_that_becomes_shorter_ends_the_connection() {
    let mut session = Session::new(AT);
    session.handle_input(b"GET /f HTTP/1.1\r\nHost: h\r\nRange: bytes=10-\r\n\r\n", AT);
    let _ = request(&mut session);
    let file = file(&[7; 200_000]);
    let handle = file.try_clone().unwrap();
    session.answer(Response::file("video/mp4", file).unwrap(), AT);
    handle.set_len(100_000).unwrap();
    let out = drain_files(&mut session);
    assert!(out.starts_with(b"HTTP/1.1 206 Partial Content\r\n"));
    assert!(session.is_done() && out.len() < 101_000, "the client sees that bytes are missing");
}

#[test]
fn of_a_file_head_tells_the_length_only() {
    let mut session = Session::new(AT);
    session.handle_input(b"HEAD /f HTTP/1.1\r\nHost: h\r\n\r\n", AT);
    let _ = request(&mut session);
    session.answer(Response::file("video/mp4", file(&[7; 1000])).unwrap(), AT);
    let out = String::from_utf8(drain_files(&mut session)).unwrap();
    assert!(out.contains("Content-Length: 1000\r\n") && out.ends_with("\r\n\r\n"), "{out}");
}

#[test]
fn answers_take_the_form_that_is_asked_for() {
    let exchange = |fields: &str| {
        let mut session = Session::new(AT);
        let text = format!("GET /f HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        session.handle_input(text.as_bytes(), AT);
        let _ = request(&mut session);
        session.answer(ok(&"text ".repeat(1000)), AT);
        let out = drain_files(&mut session);
        let body = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(out[..body].to_vec()).unwrap(), out.len() - body)
    };
    let (plain, length) = exchange("");
    assert!(plain.contains("ETag: \"") && length == 5000, "{plain}");
    let (zipped, length) = exchange("Accept-Encoding: gzip\r\n");
    assert!(zipped.contains("Content-Encoding: gzip\r\n") && length < 500, "{zipped}");
    assert!(zipped.contains(&format!("Content-Length: {length}\r\n")));
    let tag = zipped.split_once("ETag: ").unwrap().1.split_once("\r\n").unwrap().0.to_owned();
    let (same, length) = exchange(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n"));
    assert!(same.starts_with("HTTP/1.1 304 Not Modified\r\n") && length == 0, "{same}");
    assert!(!same.contains("Content-Length") && same.contains(&tag), "{same}");
}
