//! Boxes of MP4 files. Law: no panic, and time and memory in proportion.
#![no_main]

use lensd_engine::camera::CodedUnit;
use lensd_engine::camera::mp4::{Cursor, parse_box_header, parse_moof, parse_moov, to_annex_b};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse_box_header(data);
    let framed = |kind: &[u8; 4]| {
        let size = u32::try_from(data.len() + 8).expect("short").to_be_bytes();
        [&size[..], kind, data].concat()
    };
    let Ok(track) = parse_moov(&framed(b"moov")) else { return };
    let (_, _, _) = (track.table.len(), track.table.mean_duration(), track.table.max_cts());
    let mut cursor = Cursor::default();
    for _ in 0..1000 {
        if cursor.next(&track.table).is_none() {
            break;
        }
    }
    let _ = parse_moof(&framed(b"moof"), 100, &track, &mut 0);
    let _ = to_annex_b(data, true, &track, &mut CodedUnit::default());
});
