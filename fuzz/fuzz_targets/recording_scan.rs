//! Recordings that are read: whatever is in the file, and a good one with bytes cut off or changed.
//! Laws: no panic; fragments lie behind each other and inside the file, their samples inside of
//! them; a file that was cut has the fragments that are whole and no other; of one with a changed
//! byte, what a right seal vouches for is as it was written; a file that is done has the index of
//! its fragments.
#![no_main]

use lensd_ffi::mux::{
    Fragment, Header, Index, Init, Next, Reference, Sample, Scanner, Whole, begin, sealed,
    whole_lid,
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
    if let Some(index) = Index::of_movie(&header, file).expect("memory can be read") {
        assert!(index.places().windows(2).all(|pair| pair[0].offset <= pair[1].offset));
        assert!(index.end() <= file.len() as u64);
    }
    Some((header, fragments))
}

/// The index of a recording, and the same of it when it is done.
fn indices(mut file: Vec<u8>, header: &Header, fragments: &[Fragment]) -> [Option<Index>; 2] {
    let (mut index, mut whole) = (Index::new(header), Whole::default());
    for fragment in fragments {
        index.push(fragment);
        whole.push(fragment).expect("a few");
    }
    let Some(movie) = whole.movie(header, None) else { return [None, None] };
    let end = file.len() as u64;
    let lid = usize::try_from(header.lid).expect("short");
    file[lid..lid + 16].copy_from_slice(&whole_lid(end - header.lid));
    file.extend_from_slice(&movie);
    let header = Header::read(&file[..]).expect("a recording");
    let closed = Index::of_movie(&header, &file[..]).expect("memory can be read");
    assert!(closed.is_some(), "a file that is done has an index");
    [Some(index), closed]
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
    let [open, closed] = indices(good.clone(), &header, &whole);
    let said = |index: &Option<Index>| {
        index.as_ref().map(|index| (index.places().to_vec(), index.end(), index.duration()))
    };
    assert_eq!(said(&open), said(&closed));

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
