//! NAL units of a byte stream. Law: the splitter that skips finds what the plain one finds.
#![no_main]

use lensd_engine::camera::annexb::split_units;
use lensd_ffi::unit::split_annex_b;
use libfuzzer_sys::fuzz_target;

/// H.264 Annex B.1 word for word: a byte at a time.
fn naive(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut i = 0;
    while i + 3 <= bytes.len() {
        if bytes[i..i + 3] == [0, 0, 1] {
            starts.push(i);
            i += 3;
        } else {
            i += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let whole = starts.iter().zip(ends).map(|(&from, to)| &bytes[from + 3..to]);
    let trimmed = whole.map(|nal| {
        let zeros = nal.iter().rev().take_while(|&&b| b == 0).count();
        &nal[..nal.len() - zeros]
    });
    trimmed.filter(|nal| !nal.is_empty()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    // Few values, so that start codes are as frequent as all else.
    let dense: Vec<u8> = bytes.iter().map(|b| b & 3).collect();
    for bytes in [bytes, &dense] {
        let mut spans = Vec::new();
        split_annex_b(bytes, &mut spans);
        let found: Vec<&[u8]> =
            spans.iter().map(|s| &bytes[s.offset as usize..(s.offset + s.len) as usize]).collect();
        assert_eq!(found, naive(bytes));
        let units = split_units(bytes);
        assert!(units.windows(2).all(|w| w[0].end == w[1].start));
        assert!(units.last().is_none_or(|u| u.end <= bytes.len()));
    }
});
