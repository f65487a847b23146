//! Recordings that are read: whatever is in the file, and a good one with bytes cut off or changed.
//! Laws: no panic; fragments lie behind each other and inside the file, their samples inside of
//! them; a file that was cut has the fragments that are whole and no other; of one with a changed
//! byte, what a right seal vouches for is as it was written.
#![no_main]

use lensd_ffi::mux::{
    Fragment, Header, Init, Next, Reference, Sample, Scanner, Whole, begin, sealed,
};
use lensd_ffi::unit::Codec;
use libfuzzer_sys::fuzz_target;

fn scan(file: &[u8]) -> Option<(Header, Vec<Fragment>)> {
    let header = Header::read(file).ok()?;
    let mut scanner = Scanner::new(&header);
    let (mut fragments, mut whole) = (Vec::new(), Whole::default());
    while let Next::Fragment(fragment) = scanner.next(file).expect("memory can be read") {
        assert_eq!(fragment.offset, fragments.last().map_or(header.end, Fragment::end));
        assert!(fragment.end() <= file.len() as u64 && fragment.end() == scanner.at());
        let mut from = fragment.offset;
        for sample in &fragment.samples {
            assert!(sample.size > 0 && sample.offset >= from, "within its fragment");
            assert!(sample.offset + u64::from(sample.size) <= fragment.end());
            from = fragment.offset;
        }
        let _ = whole.push(&fragment);
        fragments.push(fragment);
    }
    let _ = whole.movie(&header, None);
    Some((header, fragments))
}

/// A recording of JPEGs, a fragment for each byte of `data`.
fn recording(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&Init::jpeg(16, 16).expect("a size"), &mut out);
    let (mut decode, picture) = (0, [0xd8; 256]);
    for (n, byte) in (1..).zip(data) {
        let samples: Vec<_> = (0..=byte & 3)
            .map(|i| Sample {
                codec: Codec::Jpeg,
                bytes: &picture[..usize::from(*byte).max(1)],
                nals: &[],
                key: true,
                duration: u32::from(*byte) + 1,
                offset: i32::from(i) - 1,
            })
            .collect();
        let reference = Reference { ntp: decode, time: decode };
        sealed(n, decode, reference, &samples, &mut out).expect("pictures fit");
        decode += samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
    }
    out
}

fuzz_target!(|data: &[u8]| {
    scan(data);
    let [place @ .., change] = &data[..data.len().min(5)] else { return };
    let place = place.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let good = recording(&data[data.len().min(5)..data.len().min(40)]);
    let (header, whole) = scan(&good).expect("a recording");

    let cut = &good[..place % (good.len() + 1)];
    let fits = whole.iter().filter(|fragment| fragment.end() <= cut.len() as u64).count();
    match scan(cut) {
        Some((_, found)) => assert_eq!(found, whole[..fits]),
        None => assert!((cut.len() as u64) < header.end),
    }

    let mut bad = good.clone();
    bad[place % good.len()] ^= change;
    let Some((_, found)) = scan(&bad) else { return };
    for fragment in found {
        if fragment.check(&bad[..]).expect("memory can be read") {
            assert!(whole.contains(&fragment), "the seal is right, but {fragment:?}");
        }
    }
    // A fragment anywhere else, as after damage.
    let from = place % (data.len() + 1);
    let _ = Scanner::from(from as u64).next(data);
});
