//! Units to fragmented MP4. Laws: no panic; what comes out parses again, and says the sizes and
//! times that it has; decode times follow each other; pictures are shown when they were captured;
//! what is refused leaves nothing behind.
#![no_main]

use lensd_ffi::mux::{Muxer, ticks};
use lensd_ffi::syntax::{h264, h265};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::{Codec, UnitMeta, split_annex_b};
use libfuzzer_sys::fuzz_target;
use mp4_atom::{Any, DecodeMaybe};

/// Sets of encoders, so that something begins without being guessed.
const SETS: [&[u8]; 2] = [
    &[
        0, 0, 1, 0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 2, 0x27, 0xe5, 0xc0, 0x44, 0, 0, 3,
        0, 4, 0, 0, 3, 0, 0xc8, 0x3c, 0x60, 0xc6, 0x58, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb, 0x22,
        0xc0,
    ],
    &[
        0, 0, 1, 0x40, 1, 0x0c, 1, 0xff, 0xff, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0,
        0x3c, 0x95, 0x94, 9, 0, 0, 1, 0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0,
        0x3c, 0xa0, 0x0a, 8, 0x0b, 0x9f, 0x79, 0x65, 0x65, 0x92, 0x4c, 0xaf, 1, 0x6a, 2, 2, 2, 8,
        0, 0, 3, 0, 8, 0, 0, 3, 0, 0xc8, 0x40, 0, 0, 1, 0x44, 1, 0xc1, 0x72, 0xb4, 0x62, 0x40,
    ],
];

fn boxes(mut bytes: &[u8]) -> Vec<Any> {
    let mut out = Vec::new();
    while let Some(one) = Any::decode_maybe(&mut bytes).expect("boxes that parse") {
        out.push(one);
    }
    assert!(bytes.is_empty());
    out
}

fuzz_target!(|data: &[u8]| {
    let _ = (h264::parse_sps(data), h265::parse_sps(data));
    let mut muxer = Muxer::new();
    let mut mono = 0_u64;
    let (mut next, mut kept) = (None, Vec::new());
    for unit in data.split(|byte| *byte == 0xfe).take(64) {
        let [head, step, rest @ ..] = unit else { continue };
        let codec = [Codec::H264, Codec::H265, Codec::H264, Codec::Jpeg][usize::from(head & 3)];
        let key = head & 4 != 0;
        // From nothing to hours, forwards and sometimes back.
        let span = 1_u64 << (step & 63).min(52);
        mono = if head & 64 != 0 { mono.saturating_sub(span) } else { mono.saturating_add(span) };
        let mut bytes = Vec::new();
        if head & 8 != 0 {
            bytes.extend_from_slice(SETS[usize::from(codec == Codec::H265)]);
        }
        bytes.extend_from_slice(rest);
        let mut nals = Vec::new();
        split_annex_b(&bytes, &mut nals);
        if head & 16 != 0
            && let Some(last) = nals.last_mut()
        {
            last.len += u32::from(*step);
        }
        let capture = Stamp { mono: Nanos(mono), ..Stamp::default() };
        let meta = UnitMeta { codec, key, capture, ..UnitMeta::default() };
        let mut out = std::mem::take(&mut kept);
        let before = out.len();
        match muxer.push(&meta, &bytes, &nals, &mut out) {
            Err(_) => assert_eq!(out.len(), before),
            Ok(muxed) => {
                let placed = muxed.placed;
                assert_eq!(placed.shown(), ticks(capture.mono));
                assert!(placed.duration > 0);
                // Only what no offset of 32 bits could say begins anew without a key frame.
                let far = |next: u64| i32::try_from(next.abs_diff(placed.shown())).is_err();
                let follows = next.is_none_or(|next| next == placed.decode || far(next));
                assert!(muxed.key || follows, "{placed:?} after {next:?}");
                next = Some(placed.decode + u64::from(placed.duration));
                let init = muxer.init().expect("an init segment ahead of fragments");
                assert!(init.mime.starts_with("video/mp4; codecs="));
                assert_eq!(boxes(&init.bytes).len(), 2);
                let [Any::Prft(_), Any::Moof(moof), Any::Mdat(mdat)] = &boxes(&out[before..])[..]
                else {
                    panic!("other boxes")
                };
                let sample = moof.traf[0].trun[0].samples.get(0).expect("a sample");
                assert_eq!(sample.size, u32::try_from(mdat.data.len()).ok());
                let mut rest = &mdat.data[..];
                while let Some((length, more)) = rest.split_first_chunk::<4>() {
                    rest = &more[u32::from_be_bytes(*length) as usize..];
                }
                assert!(rest.is_empty(), "lengths and NAL units");
            }
        }
        out.clear();
        kept = out;
    }
});
