use super::*;
use crate::record::mend;
use lensd_ffi::mux::{Init, Muxer, Reference, Sample, begin, sealed};
use lensd_ffi::unit::{UnitMeta, split_annex_b};
use std::cell::RefCell;

/// Ticks from picture to picture.
const STEP: u32 = 3600;
/// The capture time of the first.
const BEGIN: UtcNanos = UtcNanos(1_795_269_957_250_000_000);

/// The nth picture: a NAL unit with its number. Every tenth is a key frame.
fn unit(n: u8) -> Vec<u8> {
    let sets: &[u8] = &[
        0, 0, 1, 0x67, 0x64, 0, 0x28, 0xac, 0xd9, 0x40, 0x78, 2, 0x27, 0xe5, 0xc0, 0x44, 0, 0, 3,
        0, 4, 0, 0, 3, 0, 0xc8, 0x3c, 0x60, 0xc6, 0x58, 0, 0, 1, 0x68, 0xeb, 0xe3, 0xcb, 0x22,
        0xc0,
    ];
    let delimiter: &[u8] = &[0, 0, 1, 9, 0xf0];
    let kind = if n.is_multiple_of(10) { 0x65 } else { 0x41 };
    let sets = if n == 0 { sets } else { &[] };
    [delimiter, sets, &[0, 0, 1, kind, n, 7]].concat()
}

/// A recording of so many pictures, some to a fragment.
pub(crate) fn recording(pictures: u8, per_fragment: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut muxer = Muxer::new();
    let all: Vec<u8> = (0..pictures).collect();
    for (sequence, numbers) in (1..).zip(all.chunks(per_fragment)) {
        let units: Vec<_> = numbers
            .iter()
            .map(|n| {
                let (bytes, mut nals) = (unit(*n), Vec::new());
                split_annex_b(&bytes, &mut nals);
                (*n, bytes, nals)
            })
            .collect();
        if file.is_empty() {
            let meta = UnitMeta { key: true, ..UnitMeta::default() };
            muxer.push(&meta, &units[0].1, &units[0].2, &mut Vec::new()).unwrap();
            begin(muxer.init().unwrap(), &mut file);
        }
        let samples: Vec<Sample<'_>> = units
            .iter()
            .map(|(n, bytes, nals)| Sample {
                codec: Codec::H264,
                bytes,
                nals,
                key: n.is_multiple_of(10),
                duration: STEP,
                offset: 500,
            })
            .collect();
        let decode = 90_000 + u64::from(numbers[0]) * u64::from(STEP);
        let at = i64::from(numbers[0]) * 40_000_000;
        let reference = Reference { ntp: UtcNanos(BEGIN.0 + at).ntp64(), time: decode + 500 };
        sealed(sequence, decode, reference, &samples, &mut file).unwrap();
    }
    file
}

/// The same, closed.
pub(crate) fn closed(pictures: u8, per_fragment: usize) -> Vec<u8> {
    let path = std::env::temp_dir()
        .join(format!("lensd-walk-{}-{pictures}-{per_fragment}.mp4", std::process::id()));
    std::fs::write(&path, recording(pictures, per_fragment)).unwrap();
    mend::mend(&path, None).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// The number that a picture says.
pub(crate) fn number(picture: &Picture) -> u8 {
    let last = picture.nals.last().unwrap();
    picture.bytes[last.offset as usize + 1]
}

/// The numbers of all that come.
fn numbers(walk: &mut Walk<impl ReadAt>) -> (Vec<u8>, Step) {
    let mut out = Vec::new();
    loop {
        match walk.step().unwrap() {
            Step::Picture(picture) => {
                let n = number(&picture);
                assert_eq!(picture.shown, i64::from(n) * i64::from(STEP));
                assert_eq!(picture.captured.0, BEGIN.0 + i64::from(n) * 40_000_000);
                assert_eq!(picture.key, n.is_multiple_of(10));
                out.push(n);
            }
            end => return (out, end),
        }
    }
}

#[test]
fn both_forms_are_walked_alike() {
    for file in [recording(47, 7), closed(47, 7), recording(47, 1), closed(47, 30)] {
        let mut walk = Walk::open(&file[..], false).unwrap();
        let opened = walk.describe(3).unwrap();
        assert_eq!((opened.id, opened.codec, opened.width), (3, Codec::H264, 1920));
        assert_eq!(opened.duration, Some(47 * u64::from(STEP)));
        assert_eq!((opened.captured, opened.fps.round()), (BEGIN, 25.0));
        walk.seek(0, Which::All, None).unwrap();
        assert_eq!(numbers(&mut walk), ((0..47).collect(), Step::End));
        let at = |n: u8| i64::from(n) * i64::from(STEP);
        for (n, from) in [(0, 0), (9, 0), (10, 10), (29, 20), (46, 40), (200, 40)] {
            walk.seek(at(n), Which::All, None).unwrap();
            assert_eq!(numbers(&mut walk).0, (from..47).collect::<Vec<u8>>(), "{n}");
        }
        walk.seek(at(15), Which::All, Some(at(22))).unwrap();
        assert_eq!(numbers(&mut walk).0, (10..22).collect::<Vec<u8>>());
        walk.seek(at(15), Which::Keys, None).unwrap();
        assert_eq!(numbers(&mut walk).0, [10, 20, 30, 40]);
        walk.seek(at(38), Which::KeysBack, None).unwrap();
        assert_eq!(numbers(&mut walk), (vec![30, 20, 10, 0], Step::End));
        walk.seek(at(46), Which::KeysBack, Some(at(15))).unwrap();
        assert_eq!(numbers(&mut walk).0, [40, 30, 20]);
        walk.seek(-5, Which::KeysBack, None).unwrap();
        assert_eq!(numbers(&mut walk).0, [0]);
    }
}

#[test]
fn sets_stand_behind_the_delimiter_of_key_frames() {
    let file = recording(12, 12);
    let mut walk = Walk::open(&file[..], false).unwrap();
    walk.seek(0, Which::All, None).unwrap();
    for n in 0..12 {
        let Step::Picture(picture) = walk.step().unwrap() else { panic!() };
        let kinds: Vec<u8> =
            picture.nals.iter().map(|nal| picture.bytes[nal.offset as usize] & 31).collect();
        let wanted: &[u8] = if n % 10 == 0 { &[9, 7, 8, 5] } else { &[9, 1] };
        assert_eq!(kinds, wanted, "{n}");
    }
}

/// A file that somebody writes to.
struct Growing<'a>(&'a RefCell<Vec<u8>>);

impl ReadAt for Growing<'_> {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.borrow()[..].read_at(at, into)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.borrow()[..].size()
    }
}

#[test]
fn a_file_that_grows_is_walked_on() {
    let parts: Vec<Vec<u8>> = [10, 20, 30].map(|n| recording(n, 5)).into();
    let file = RefCell::new(parts[0].clone());
    let mut walk = Walk::open(Growing(&file), true).unwrap();
    assert_eq!(walk.describe(1).unwrap().duration, None);
    walk.seek(0, Which::All, None).unwrap();
    assert_eq!(numbers(&mut walk), ((0..10).collect(), Step::NotYet));
    // Half a fragment is none.
    *file.borrow_mut() = parts[1][..parts[1].len() - 3].to_vec();
    assert_eq!(numbers(&mut walk), ((10..15).collect(), Step::NotYet));
    *file.borrow_mut() = parts[2].clone();
    assert_eq!(numbers(&mut walk), ((15..30).collect(), Step::NotYet));
    // It is closed: nothing moves.
    *file.borrow_mut() = closed(30, 5);
    assert_eq!(numbers(&mut walk), (vec![], Step::End));
    assert!(!walk.is_growing());
    // Or its writer has gone.
    *file.borrow_mut() = parts[1].clone();
    let mut walk = Walk::open(Growing(&file), true).unwrap();
    walk.finish();
    assert_eq!(numbers(&mut walk), ((0..20).collect(), Step::End));
}

#[test]
fn what_cannot_be_played_is_refused_with_the_reason() {
    let refused = |file: &[u8]| {
        let opened = Walk::open(file, false).and_then(|mut walk| walk.describe(1));
        opened.err()
    };
    let file = recording(10, 5);
    let begins = usize::try_from(Header::read(&file[..]).unwrap().end).unwrap();
    let Some(Refused::Unreadable(why)) = refused(&file[..begins + 9]) else { panic!() };
    assert_eq!(why, "it has no picture yet");
    let Some(Refused::Unreadable(why)) = refused(&[7; 100]) else { panic!() };
    assert!(why.starts_with("byte 0: no ftyp box"), "{why}");
    // A JPEG that is none.
    let mut file = Vec::new();
    begin(&Init::jpeg(16, 16).unwrap(), &mut file);
    let sample = Sample {
        codec: Codec::Jpeg,
        bytes: &[1, 2, 3],
        nals: &[],
        key: true,
        duration: 1,
        offset: 0,
    };
    sealed(1, 0, Reference { ntp: 0, time: 0 }, &[sample], &mut file).unwrap();
    assert!(matches!(refused(&file), Some(Refused::Unfit(_))), "{:?}", refused(&file));
}

#[test]
fn a_damaged_picture_is_left_out() {
    let mut file = recording(10, 5);
    let walk = Walk::open(&file[..], false).unwrap();
    let fragment = match Scanner::from(walk.index.places()[0].offset).next(&file[..]).unwrap() {
        Next::Fragment(fragment) => fragment,
        end => panic!("{end:?}"),
    };
    let at = usize::try_from(fragment.samples[2].offset).unwrap();
    file[at] = 0xff;
    let mut walk = Walk::open(&file[..], false).unwrap();
    assert_eq!(numbers(&mut walk).0, [0, 1, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn moments_are_found_by_when_they_were_captured() {
    let after = |ms: i64| UtcNanos(BEGIN.0 + ms * 1_000_000);
    for file in [recording(30, 7), closed(30, 7)] {
        let mut walk = Walk::open(&file[..], false).unwrap();
        for ms in [0, 1, 40, 239, 240, 281, 1199] {
            assert_eq!(walk.moment(after(ms)).unwrap(), Some(ms * 90), "{ms}");
        }
        for ms in [-1, 1200, 5000] {
            assert_eq!(walk.moment(after(ms)).unwrap(), None, "{ms}");
        }
    }
    // A pause of ten seconds behind the first fragment, of which the file's own time knows nothing.
    let mut file = recording(14, 7);
    let second = recording(7, 7).len();
    let ntp = second + file[second..].windows(4).position(|w| w == b"prft").unwrap() + 12;
    let went_on = after(280 + 10_000).ntp64();
    file[ntp..ntp + 8].copy_from_slice(&went_on.to_be_bytes());
    let mut walk = Walk::open(&file[..], false).unwrap();
    let times = [(279, 279), (280, 280), (5000, 280), (10_280, 280), (10_300, 300), (10_559, 559)];
    for (captured, shown) in times {
        assert_eq!(walk.moment(after(captured)).unwrap(), Some(shown * 90), "{captured}");
    }
    assert_eq!(walk.moment(after(10_560)).unwrap(), None);
}
