use super::*;
use crate::mux::{Init, Reference, Sample, begin, sealed, whole_lid};
use crate::unit::NalSpan;

/// A JPEG recording of these fragments, each given as decode time and sizes of its samples, that
/// last 3000 ticks and are shown 500 after they are decoded.
pub(in crate::mux) fn recording(fragments: &[(u64, &[usize])]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&Init::jpeg(64, 48).unwrap(), &mut out);
    for (n, (decode, sizes)) in fragments.iter().enumerate() {
        append(n, *decode, sizes, &mut out);
    }
    out
}

pub(in crate::mux) fn append(n: usize, decode: u64, sizes: &[usize], out: &mut Vec<u8>) {
    let pictures: Vec<Vec<u8>> = sizes.iter().map(|size| vec![n as u8; *size]).collect();
    let sample = |bytes| Sample {
        codec: Codec::Jpeg,
        bytes,
        nals: &[],
        key: true,
        duration: 3000,
        offset: 500,
    };
    let samples: Vec<_> = pictures.iter().map(|bytes| sample(bytes)).collect();
    let reference = Reference { ntp: 7 << 32, time: decode + 500 };
    sealed(u32::try_from(n).unwrap() + 1, decode, reference, &samples, out).unwrap();
}

/// All fragments, and how they end.
pub(in crate::mux) fn scan(file: &[u8]) -> (Vec<Fragment>, End) {
    let mut scanner = Scanner::new(&Header::read(file).unwrap());
    let mut fragments = Vec::new();
    loop {
        match scanner.next(file).unwrap() {
            Next::Fragment(fragment) => fragments.push(fragment),
            Next::End(end) => return (fragments, end),
        }
    }
}

#[test]
fn what_is_written_is_found() {
    let file = recording(&[(90_000, &[5, 700]), (96_000, &[3]), (200_000, &[4096; 20])]);
    let header = Header::read(&file[..]).unwrap();
    assert_eq!((header.form, header.codec), (Form::Open, Codec::Jpeg));
    assert_eq!((header.width, header.height), (64, 48));
    assert_eq!(header.init, Init::jpeg(64, 48).unwrap().bytes);
    let (fragments, end) = scan(&file);
    assert_eq!(end, End::Bare);
    assert_eq!(fragments.iter().map(|f| f.decode).collect::<Vec<_>>(), [90_000, 96_000, 200_000]);
    assert_eq!(fragments.iter().map(|f| f.samples.len()).collect::<Vec<_>>(), [2, 1, 20]);
    assert_eq!(fragments.last().unwrap().end(), file.len() as u64);
    assert_eq!(fragments[0].decoded(), 96_000);
    for (n, fragment) in fragments.iter().enumerate() {
        assert!(fragment.check(&file[..]).unwrap());
        assert_eq!((fragment.ntp, fragment.time), (7 << 32, fragment.decode + 500));
        for sample in &fragment.samples {
            assert_eq!((sample.duration, sample.cts, sample.key), (3000, 500, true));
            let from = usize::try_from(sample.offset).unwrap();
            let bytes = &file[from..from + sample.size as usize];
            assert!(bytes.iter().all(|byte| usize::from(*byte) == n));
        }
    }
}

#[test]
fn parameter_sets_come_back() {
    let sets = [&crate::mux::tests::SPS[..], &crate::mux::tests::PPS];
    let nals: Vec<&[u8]> = [&sets[..], &[&[0x65, 1, 2, 3]]].concat();
    let mut muxer = crate::mux::Muxer::new();
    crate::mux::tests::push(&mut muxer, Codec::H264, 0, true, &nals).unwrap();
    let mut file = Vec::new();
    begin(muxer.init().unwrap(), &mut file);
    let header = Header::read(&file[..]).unwrap();
    assert_eq!((header.codec, header.width, header.height), (Codec::H264, 1920, 1080));
    assert_eq!(header.sets, sets);
    let bytes = [0x65, 1, 2, 3, 0x65, 9, 9];
    let spans = [NalSpan { offset: 0, len: 4 }, NalSpan { offset: 4, len: 3 }];
    let samples = [(0, true), (1, false)].map(|(offset, key)| Sample {
        codec: Codec::H264,
        bytes: &bytes,
        nals: &spans,
        key,
        duration: 1,
        offset,
    });
    sealed(1, 5, Reference { ntp: 0, time: 5 }, &samples, &mut file).unwrap();
    let (fragments, _) = scan(&file);
    let keys: Vec<_> = fragments[0].samples.iter().map(|s| (s.size, s.cts, s.key)).collect();
    assert_eq!(keys, [(15, 0, true), (15, 1, false)]);
}

#[test]
fn wherever_it_is_cut_the_fragments_before_are_there() {
    let file = recording(&[(0, &[5]), (3000, &[3, 9])]);
    let whole = scan(&file).0;
    let begins = usize::try_from(whole[0].offset).unwrap();
    for cut in 0..file.len() {
        let part = &file[..cut];
        if cut < begins {
            assert!(matches!(Header::read(part), Err(Unreadable::Cut)), "{cut}");
            continue;
        }
        let (fragments, end) = scan(part);
        let fits = whole.iter().filter(|f| f.end() <= cut as u64).count();
        assert_eq!(fragments, whole[..fits], "{cut}");
        let bare = whole.iter().any(|f| f.offset == cut as u64 || f.end() == cut as u64);
        assert_eq!(end == End::Bare, bare, "{cut}");
    }
}

#[test]
fn a_changed_byte_is_noticed() {
    let file = recording(&[(0, &[50])]);
    let fragment = &scan(&file).0[0];
    for at in usize::try_from(fragment.offset).unwrap()..file.len() {
        let mut other = file.clone();
        other[at] ^= 4;
        let (fragments, end) = scan(&other);
        let torn = matches!(end, End::Torn(_)) && fragments.is_empty();
        assert!(torn || !fragments[0].check(&other[..]).unwrap(), "{at}");
    }
}

#[test]
fn the_lid_says_how_far_a_file_is() {
    let mut file = recording(&[(0, &[50])]);
    let end = file.len() as u64;
    let lid = Header::read(&file[..]).unwrap().lid;
    let at = usize::try_from(lid).unwrap();
    file[at..at + 16].copy_from_slice(&whole_lid(end - lid));
    file.extend_from_slice(&[0, 0, 0, 9, b'm', b'o', b'o', b'v', 7]);
    assert_eq!(Header::read(&file[..]).unwrap().form, Form::Whole { movie_at: end });
    assert_eq!(scan(&file).1, End::Movie(9));
    // Half of it, or a file that was cut off afterwards.
    file[at + 3] = 16;
    assert_eq!(Header::read(&file[..]).unwrap().form, Form::Unclear);
    file[at + 3] = 1;
    file.truncate(file.len() - 20);
    assert_eq!(Header::read(&file[..]).unwrap().form, Form::Unclear);
}

#[test]
fn foreign_files_are_refused_with_the_place() {
    let file = recording(&[(0, &[50])]);
    let mut other = file.clone();
    other[4..8].copy_from_slice(b"RIFF");
    let error = Header::read(&other[..]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 0: no ftyp box, so this is no recording of lensd's or a damaged one"
    );
    let at = file.windows(4).position(|w| w == b"mp4v").unwrap();
    other.clone_from(&file);
    other[at..at + 4].copy_from_slice(b"vp09");
    assert!(Header::read(&other[..]).unwrap_err().to_string().contains("sample entry"));
    // A progressive MP4 has its moov elsewhere.
    other.clone_from(&file);
    let at = Header::read(&file[..]).unwrap().lid as usize + 16;
    other[at + 4..at + 8].copy_from_slice(b"mdat");
    let error = Header::read(&other[..]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("byte {at}: no moov box")), "{error}");
}
