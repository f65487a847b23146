//! A browser's session descriptions, its candidates and its datagrams. Laws: no panic; a description
//! that is answered has an answer with the same media in it; candidates are bounded.
#![no_main]

use lensd_engine::webrtc::session::{Session, datagram};
use lensd_engine::webrtc::signal::{lines, parse_answer, parse_fragment, parse_offer};
use lensd_engine::webrtc::timeline::Timeline;
use lensd_ffi::time::{Nanos, Stamp};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const NOW: Nanos = Nanos::from_secs(1000);

fn session() -> Session {
    static LINE: OnceLock<Timeline> = OnceLock::new();
    let make = || {
        let at = Stamp { mono: NOW, ..Stamp::default() };
        Timeline::new(Instant::now() + Duration::from_secs(1), at)
    };
    let here: SocketAddr = ([192, 0, 2, 1], 7000).into();
    Session::new(*LINE.get_or_init(make), &[here], vec![0x0042_e01e, 0x0064_001e], 1, NOW)
}

/// The kind of each medium.
fn media(sdp: &str) -> impl Iterator<Item = &str> {
    lines(sdp).filter_map(|line| line.strip_prefix("m=")?.split(' ').next())
}

fuzz_target!(|data: &[u8]| {
    let (from, to) = (([192, 0, 2, 9], 5000).into(), ([192, 0, 2, 1], 7000).into());
    if let Some(received) = datagram(from, to, data) {
        session().receive(received, NOW);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(fragment) = parse_fragment(text) {
        assert!(fragment.candidates.len() <= 32);
        let _ = session().trickle(fragment, NOW);
    }
    if let Ok(offer) = parse_offer(text)
        && let Ok(answer) = session().accept_offer(offer, NOW)
    {
        assert!(media(text).eq(media(&answer)), "{answer}");
    }
    if let Ok(answer) = parse_answer(text) {
        let mut session = session();
        if session.make_offer("stream1", NOW).is_ok() {
            let _ = session.accept_answer(answer, text, NOW);
        }
    }
});
