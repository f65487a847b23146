use super::*;
use crate::time::{Nanos, Stamp, UtcNanos};
use crate::unit::split_annex_b;
use mp4_atom::{Any, Decode as _, DecodeMaybe as _};

/// libx264, 1920x1080, high, 25 fps.
pub(super) const SPS: [u8; 27] = [
    0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03,
    0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
];
pub(super) const PPS: [u8; 6] = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
/// libx265, 320x180.
const VPS_265: [u8; 24] = [
    0x40, 0x01, 0x0c, 0x01, 0xff, 0xff, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03,
    0x00, 0x00, 0x03, 0x00, 0x3c, 0x95, 0x94, 0x09,
];
const SPS_265: [u8; 46] = [
    0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03,
    0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0b, 0x9f, 0x79, 0x65, 0x65, 0x92, 0x4c, 0xaf, 0x01, 0x6a, 0x02,
    0x02, 0x02, 0x08, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x40,
];
const PPS_265: [u8; 7] = [0x44, 0x01, 0xc1, 0x72, 0xb4, 0x62, 0x40];

/// The `n`th unit of a stream of 25 fps, of these NAL units.
pub(super) fn push(
    muxer: &mut Muxer,
    codec: Codec,
    n: u64,
    key: bool,
    nals: &[&[u8]],
) -> Result<(Muxed, Vec<u8>), Skipped> {
    let bytes = nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect::<Vec<u8>>();
    let mut spans = Vec::new();
    split_annex_b(&bytes, &mut spans);
    let mono = Nanos::from_millis(10_000 + n * 40);
    let utc = UtcNanos(1_700_000_000_000_000_000 + i64::try_from(n).unwrap() * 40_000_000);
    let meta = UnitMeta {
        codec,
        key,
        capture: Stamp { mono, utc, ..Stamp::default() },
        ..UnitMeta::default()
    };
    let mut out = vec![9];
    let muxed = muxer.push(&meta, &bytes, &spans, &mut out);
    if muxed.is_err() {
        assert_eq!(out, [9], "nothing is left of what was refused");
    }
    muxed.map(|muxed| (muxed, out.split_off(1)))
}

fn boxes(mut bytes: &[u8]) -> Vec<Any> {
    let mut out = Vec::new();
    while let Some(any) = Any::decode_maybe(&mut bytes).unwrap() {
        out.push(any);
    }
    assert!(bytes.is_empty());
    out
}

const AUD: &[u8] = &[9, 0xf0];
const SEI: &[u8] = &[6, 5, 1, 7, 0x80];
const IDR: &[u8] = &[0x65, 1, 2, 3];
const SLICE: &[u8] = &[0x41, 4, 5];
const FILLER: &[u8] = &[12, 0xff, 0x80];

#[test]
fn a_fragment_has_its_times_and_everything_but_sets_and_filler() {
    let mut muxer = Muxer::new();
    let nals = [AUD, &SPS, &PPS, SEI, IDR, FILLER];
    let (muxed, bytes) = push(&mut muxer, Codec::H264, 0, true, &nals).unwrap();
    assert!(muxed.new_init && muxed.key);
    let [Any::Prft(prft), Any::Moof(moof), Any::Mdat(mdat)] = &boxes(&bytes)[..] else { panic!() };
    assert_eq!(prft.media_time, 900_000);
    assert_eq!(prft.ntp_timestamp >> 32, 1_700_000_000 + 2_208_988_800);
    let traf = &moof.traf[0];
    assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 898_500);
    let run = &traf.trun[0];
    let sample = run.samples.get(0).unwrap();
    assert_eq!((sample.flags, sample.cts), (Some(0x0200_0000), Some(1500)));
    let want: Vec<u8> = [AUD, SEI, IDR]
        .iter()
        .flat_map(|nal| [&[0, 0, 0, nal.len() as u8], *nal].concat())
        .collect();
    assert_eq!(mdat.data, want);
    assert_eq!(sample.size, Some(want.len() as u32));
    let at = bytes.windows(4).position(|w| w == b"moof").unwrap() - 4;
    let from = at + usize::try_from(run.data_offset.unwrap()).unwrap();
    assert_eq!(bytes[from..], want, "counted from the moof");

    for n in 1..20 {
        let (muxed, bytes) = push(&mut muxer, Codec::H264, n, false, &[SLICE]).unwrap();
        assert!(!muxed.new_init && !muxed.key);
        let [Any::Prft(_), Any::Moof(moof), Any::Mdat(_)] = &boxes(&bytes)[..] else { panic!() };
        assert_eq!(moof.mfhd.sequence_number, u32::try_from(n).unwrap() + 1);
        assert_eq!(moof.traf[0].trun[0].samples.get(0).unwrap().flags, Some(0x0101_0000));
        assert_eq!(muxed.placed.shown(), 900_000 + n * 3600, "the capture time");
        assert!(n < 3 || muxed.placed.duration == 3600, "{muxed:?}");
    }
}

#[test]
fn init_segments_say_what_the_sets_say() {
    let mut muxer = Muxer::new();
    push(&mut muxer, Codec::H264, 0, true, &[&SPS, &PPS, IDR]).unwrap();
    let init = muxer.init().unwrap();
    assert_eq!(init.mime, "video/mp4; codecs=\"avc1.640028\"");
    assert_eq!((init.width, init.height), (1920, 1080));
    let [Any::Ftyp(_), Any::Moov(moov)] = &boxes(&init.bytes)[..] else { panic!() };
    let mdia = &moov.trak[0].mdia;
    assert_eq!(mdia.mdhd.timescale, 90_000);
    let [mp4_atom::Codec::Avc1(avc1)] = &mdia.minf.stbl.stsd.codecs[..] else { panic!() };
    assert_eq!(avc1.avcc.sequence_parameter_sets, [SPS]);
    assert_eq!(avc1.avcc.picture_parameter_sets, [PPS]);
    let ext = avc1.avcc.ext.as_ref().unwrap();
    assert_eq!((ext.chroma_format, ext.bit_depth_luma, ext.bit_depth_chroma), (1, 8, 8));
    assert!(avc1.colr.is_none(), "the set says nothing of colours");

    let mut muxer = Muxer::new();
    let nals: [&[u8]; 4] = [&VPS_265, &SPS_265, &PPS_265, &[0x26, 1, 7]];
    push(&mut muxer, Codec::H265, 0, true, &nals).unwrap();
    let init = muxer.init().unwrap();
    assert_eq!(init.mime, "video/mp4; codecs=\"hvc1.1.6.L60.90\"");
    let [Any::Ftyp(_), Any::Moov(moov)] = &boxes(&init.bytes)[..] else { panic!() };
    let codecs = &moov.trak[0].mdia.minf.stbl.stsd.codecs;
    let [mp4_atom::Codec::Hvc1(hvc1)] = &codecs[..] else { panic!() };
    assert_eq!(hvc1.hvcc.arrays.iter().map(|a| a.nal_unit_type).collect::<Vec<_>>(), [32, 33, 34]);
    assert!(matches!(hvc1.colr, Some(mp4_atom::Colr::Nclx { colour_primaries: 1, .. })));
}

#[test]
fn only_a_key_frame_with_its_sets_begins() {
    let mut muxer = Muxer::new();
    let mut pushed =
        |n, key, nals: &[&[u8]]| push(&mut muxer, Codec::H264, n, key, nals).map(|p| p.0);
    assert_eq!(pushed(0, false, &[SLICE]), Err(Skipped::WaitsForKey));
    assert_eq!(pushed(1, true, &[IDR]), Err(Skipped::NoSets));
    assert_eq!(pushed(2, true, &[&SPS, IDR]), Err(Skipped::NoSets));
    assert_eq!(pushed(3, true, &[&SPS[..5], &PPS, &[7]]), Err(Skipped::NoSets));
    assert!(pushed(4, true, &[&SPS, &PPS, IDR]).unwrap().new_init);
    assert_eq!(pushed(5, false, &[&SPS, &PPS, FILLER]), Err(Skipped::Empty));
    assert!(pushed(6, false, &[SLICE]).is_ok());
    assert!(!pushed(7, true, &[&SPS, &PPS, IDR]).unwrap().new_init, "the same sets");
    muxer.skip_to_key();
    assert!(push(&mut muxer, Codec::H264, 8, false, &[SLICE]).is_err());
    assert!(!push(&mut muxer, Codec::H264, 9, true, &[IDR]).unwrap().0.new_init, "still the same");
    assert_eq!(push(&mut muxer, Codec::Jpeg, 0, true, &[IDR]).unwrap_err(), Skipped::NotVideo);
}

#[test]
fn another_set_begins_a_new_init_segment() {
    let mut muxer = Muxer::new();
    push(&mut muxer, Codec::H264, 0, true, &[&SPS, &PPS, IDR]).unwrap();
    let first = Arc::clone(muxer.init().unwrap());
    // A set in the middle takes effect at the next key frame, also one that does not repeat it.
    let second: &[u8] = &[0x68, 0x5b, 0x7a];
    let middle = push(&mut muxer, Codec::H264, 1, false, &[second, SLICE]);
    assert_eq!(middle.unwrap_err(), Skipped::WaitsForKey);
    assert_eq!(
        push(&mut muxer, Codec::H264, 2, false, &[SLICE]).unwrap_err(),
        Skipped::WaitsForKey
    );
    assert!(push(&mut muxer, Codec::H264, 3, true, &[&SPS, &PPS, IDR]).unwrap().0.new_init);
    assert_ne!(&first, muxer.init().unwrap());
    // Another level in the same sequence set.
    let mut other = SPS;
    other[3] = 0x29;
    let (muxed, _) = push(&mut muxer, Codec::H264, 4, true, &[&other, &PPS, IDR]).unwrap();
    assert!(muxed.new_init);
    assert_eq!(muxer.init().unwrap().mime, "video/mp4; codecs=\"avc1.640029\"");
    // Another codec.
    let nals: [&[u8]; 4] = [&VPS_265, &SPS_265, &PPS_265, &[0x26, 1, 7]];
    assert!(push(&mut muxer, Codec::H265, 5, true, &nals).unwrap().0.new_init);
}

#[test]
fn samples_whose_durations_are_known_share_a_fragment() {
    let bytes = [0, 0, 1, 0x65, 1, 0, 0, 1, 0x41, 2];
    let (key, other) = ([NalSpan { offset: 3, len: 2 }], [NalSpan { offset: 8, len: 2 }]);
    let sample = |nals, key, duration| Sample {
        codec: Codec::H264,
        bytes: &bytes,
        nals,
        key,
        duration,
        offset: 0,
    };
    let samples = [sample(&key, true, 3000), sample(&other, false, 4500)];
    let mut out = Vec::new();
    fragment(7, 5, None, &samples, &mut out).unwrap();
    let mut rest = &out[..];
    let moof = mp4_atom::Moof::decode(&mut rest).unwrap();
    let durations: Vec<_> = moof.traf[0].trun[0].samples.iter().map(|s| s.duration).collect();
    assert_eq!(durations, [Some(3000), Some(4500)]);
    let kept = out.clone();
    assert_eq!(fragment(8, 5, None, &[], &mut out), Err(Skipped::Empty));
    let outside = [NalSpan { offset: 8, len: 3 }];
    assert_eq!(fragment(8, 5, None, &[sample(&outside, false, 1)], &mut out), Err(Skipped::Empty));
    assert_eq!(out, kept);
}

#[test]
fn jpeg_is_stored_as_it_is() {
    let init = Init::jpeg(640, 480).unwrap();
    assert_eq!(init.mime, "video/mp4; codecs=\"mp4v.6C\"");
    let [Any::Ftyp(_), Any::Moov(moov)] = &boxes(&init.bytes)[..] else { panic!() };
    assert_eq!(moov.trak[0].tkhd.width, 640.into());
    assert_eq!(Init::jpeg(0, 480), None);
    let picture = [0xff, 0xd8, 1, 2, 0xff, 0xd9];
    let sample = Sample {
        codec: Codec::Jpeg,
        bytes: &picture,
        nals: &[],
        key: false,
        duration: 9,
        offset: 0,
    };
    let mut out = Vec::new();
    fragment(1, 0, None, &[sample], &mut out).unwrap();
    let [Any::Moof(moof), Any::Mdat(mdat)] = &boxes(&out)[..] else { panic!() };
    assert_eq!(mdat.data, picture);
    assert_eq!(moof.traf[0].trun[0].samples.get(0).unwrap().flags, Some(0x0200_0000));
    let nothing = Sample { bytes: &[], ..sample };
    assert_eq!(fragment(1, 0, None, &[nothing], &mut out), Err(Skipped::Empty));
}
