//! RTP packets of a publisher. Laws: no panic; a unit is no longer than what came and begins with a
//! start code; an ingest's units list their NAL units rightly.
#![no_main]

use lensd_engine::ingest::Desk;
use lensd_engine::rtp::h264::{Depacketizer, MAX_UNIT};
use lensd_engine::sdp::Announced;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::Nanos;
use lensd_ffi::unit::Codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut depacketizer = Depacketizer::default();
    let desk = Desk::default();
    let place = desk.open("p", Bell::new().expect("descriptors"));
    let what = Announced {
        codec: Codec::H264,
        payload_type: 96,
        control: String::new(),
        several: false,
        sets: vec![vec![0x67, 1, 2], vec![0x68, 1]],
    };
    let mut ingest = desk.begin("p", &what).expect("nobody publishes");
    assert!(desk.begin("p", &what).is_none());
    let (mut rest, mut seq, mut came) = (data, 0u16, 0);
    // A packet: flags, length, payload.
    while let [flags, len, after @ ..] = rest {
        let (payload, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        let (marker, lost) = (flags & 1 != 0, flags & 2 != 0);
        // A NAL unit of one byte in a STAP-A takes three; in the unit it takes five.
        came += payload.len() * 4 + 8;
        if let Some(unit) = depacketizer.push(payload, marker, lost) {
            assert!(unit.starts_with(&[0, 0, 0, 1]) || unit.starts_with(&[0, 0, 1]), "{unit:?}");
            assert!(unit.len() <= came && unit.len() <= MAX_UNIT);
        }
        seq = seq.wrapping_add(if lost { u16::from(*flags) } else { 1 });
        let mut packet = vec![0x80, 96 | u8::from(marker) << 7];
        packet.extend_from_slice(&seq.to_be_bytes());
        packet.extend_from_slice(&[*flags, *len, 0, 0, 0, 0, 0, 1]);
        packet.extend_from_slice(payload);
        if flags & 4 != 0 {
            packet[0] = *flags;
        }
        ingest.push(&packet, Nanos(u64::from(seq) * 1_000_000));
        while let Some(unit) = place.take() {
            let inside = |n: &lensd_ffi::unit::NalSpan| (n.offset + n.len) as usize;
            assert!(unit.nals.iter().all(|n| n.len > 0 && inside(n) <= unit.bytes.len()));
        }
    }
});
