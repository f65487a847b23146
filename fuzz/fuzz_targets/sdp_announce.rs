//! A publisher's SDP. Laws: no panic; little is kept of much.
#![no_main]

use lensd_engine::sdp::parse_announce;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(what) = parse_announce(data) {
        assert!(what.sets.len() <= 8 && what.control.len() <= data.len());
        assert!(what.sets.iter().map(Vec::len).sum::<usize>() <= data.len());
    }
});
