//! Recordings in both forms, read by programs that others wrote: FFmpeg decodes from them exactly
//! the pictures that went in, at exactly their times; OpenCV finds pictures by their number.
#![allow(missing_docs)]

use lensd_engine::camera::CodedUnit;
use lensd_engine::camera::mp4::{Cursor, parse_box_header, parse_moov, to_annex_b};
use lensd_engine::record::mend::mend;
use lensd_ffi::mux::{Init, Muxer, Reference, Sample, begin, sealed};
use lensd_ffi::time::{Stamp, UtcNanos};
use lensd_ffi::unit::{Codec, UnitMeta};
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-11-21T14:05:57.25Z.
const BEGIN: UtcNanos = UtcNanos(1_795_269_957_250_000_000);
/// Decode times in the file begin anywhere.
const FIRST: u64 = 123_456_789;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(command: &mut Command) -> (Vec<u8>, String) {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{command:?}: {errors}");
    (done.stdout, errors)
}

fn ffmpeg(args: &[&str]) {
    run(Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(args));
}

/// A coded picture with its times in ticks from the first decode time.
struct Picture {
    unit: CodedUnit,
    decode: u64,
    cts: i32,
    duration: u32,
}

/// What FFmpeg made of the test picture, 75 pictures of 25 a second.
fn source(folder: &Path, codec: Codec) -> (PathBuf, Vec<Picture>) {
    let path = folder.join("source.mp4");
    let name = path.to_str().unwrap();
    let input = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=3"];
    let coded: &[&str] = match codec {
        Codec::H264 => &["-c:v", "libx264", "-g", "25", "-bf", "3", "-pix_fmt", "yuv420p"],
        Codec::H265 => &[
            "-c:v",
            "libx265",
            "-x265-params",
            "keyint=25:bframes=3:log-level=none:open-gop=0",
            "-tag:v",
            "hvc1",
            "-pix_fmt",
            "yuv420p",
        ],
        Codec::Jpeg => {
            let pattern = folder.join("%03d.jpg");
            ffmpeg(&[&input[..], &["-q:v", "4", pattern.to_str().unwrap()]].concat());
            ffmpeg(&["-framerate", "25", "-i", pattern.to_str().unwrap(), "-c", "copy", name]);
            let picture = |n: u64| Picture {
                unit: CodedUnit {
                    codec,
                    key: true,
                    bytes: std::fs::read(folder.join(format!("{:03}.jpg", n + 1))).unwrap(),
                    ..CodedUnit::default()
                },
                decode: n * 3600,
                cts: 0,
                duration: 3600,
            };
            return (path, (0..75).map(picture).collect());
        }
    };
    ffmpeg(&[&input[..], coded, &["-video_track_timescale", "90000", name]].concat());
    let file = std::fs::read(&path).unwrap();
    let mut at = 0;
    let moov = loop {
        let head = parse_box_header(&file[at..]).unwrap();
        let end = at + usize::try_from(head.size.unwrap()).unwrap();
        if &head.kind == b"moov" {
            break &file[at..end];
        }
        at = end;
    };
    let track = parse_moov(moov).unwrap();
    let (mut cursor, mut pictures) = (Cursor::default(), Vec::new());
    while let Some(sample) = cursor.next(&track.table) {
        let mut unit = CodedUnit { codec, ..CodedUnit::default() };
        let from = usize::try_from(sample.offset).unwrap();
        let bytes = &file[from..from + sample.size as usize];
        to_annex_b(bytes, sample.sync, &track, &mut unit).unwrap();
        unit.key = sample.sync;
        pictures.push(Picture {
            unit,
            decode: sample.dts,
            cts: i32::try_from(sample.cts).unwrap(),
            duration: sample.duration,
        });
    }
    assert_eq!(pictures.len(), 75);
    (path, pictures)
}

/// A recording of these, a fragment for every twelve pictures, not closed.
fn record(path: &Path, pictures: &[Picture]) {
    let first = &pictures[0].unit;
    let mut muxer = Muxer::new();
    let meta = UnitMeta { codec: first.codec, key: true, ..UnitMeta::default() };
    let init = match first.codec {
        Codec::Jpeg => Init::jpeg(320, 180).unwrap(),
        _ => {
            muxer.push(&meta, &first.bytes, &first.nals, &mut Vec::new()).unwrap();
            Init::clone(muxer.init().unwrap())
        }
    };
    let mut file = Vec::new();
    begin(&init, &mut file);
    for (n, group) in (1..).zip(pictures.chunks(12)) {
        let samples: Vec<Sample<'_>> = group
            .iter()
            .map(|picture| Sample {
                codec: picture.unit.codec,
                bytes: &picture.unit.bytes,
                nals: &picture.unit.nals,
                key: picture.unit.key,
                duration: picture.duration,
                offset: picture.cts,
            })
            .collect();
        let decode = FIRST + group[0].decode;
        let shown = decode.strict_add_signed(group[0].cts.into());
        let ns = i64::try_from(group[0].decode * 100_000 / 9).unwrap();
        let stamp = Stamp { utc: UtcNanos(BEGIN.0 + ns), ..Stamp::default() };
        let reference = Reference { ntp: stamp.utc.ntp64(), time: shown };
        sealed(n, decode, reference, &samples, &mut file).unwrap();
    }
    std::fs::write(path, file).unwrap();
}

/// Time in milliseconds from the first, and hash of each decoded picture.
fn decoded(path: &Path) -> Vec<(i64, String)> {
    let (out, errors) = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-i"])
        .arg(path)
        .args(["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "1/90000"])
        .args(["-f", "framemd5", "-"]));
    assert_eq!(errors, "", "{path:?}");
    let text = String::from_utf8(out).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse::<i64>().unwrap(), fields[5].to_owned())
    };
    let all: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).map(line).collect();
    let first = all[0].0;
    all.into_iter().map(|(at, hash)| (at - first, hash)).collect()
}

fn probe(path: &Path, entries: &str) -> String {
    let (out, errors) = run(Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", entries, "-of", "default=nw=1:nk=1"])
        .arg(path));
    assert_eq!(errors, "", "{path:?}");
    String::from_utf8(out).unwrap().trim().to_owned()
}

fn both_forms(codec: Codec, name: &str) {
    let folder = Folder::new(name);
    let (source, pictures) = source(&folder.0, codec);
    let path = folder.0.join("recording.mp4");
    record(&path, &pictures);
    let wanted = decoded(&source);
    assert_eq!(wanted.len(), 75);
    assert_eq!(decoded(&path), wanted, "while it is written");

    let mended = mend(&path, Some("Größe \"XL\"")).unwrap();
    assert_eq!((mended.pictures, mended.fragments, mended.duration_ms), (75, 7, 3000));
    assert_eq!(mended.captured_ms, BEGIN.millis());
    assert_eq!(decoded(&path), wanted, "when it is closed");
    assert_eq!(probe(&path, "format=duration"), "3.000000");
    assert_eq!(probe(&path, "stream=start_time"), "0.000000", "the first picture is shown at 0");
    assert_eq!(probe(&path, "format_tags=title"), "Größe \"XL\"");
    assert_eq!(probe(&path, "format_tags=date"), "2026-11-21T14:05:57.250Z");
    assert_eq!(probe(&path, "format_tags=creation_time"), "2026-11-21T14:05:57.000000Z");
    assert_eq!(probe(&path, "stream=nb_frames"), "75");

    // OpenCV, by the number of the picture, wherever key frames are.
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| std::env::var("HOME").unwrap_or_default() + "/.cache");
    let python = cache + "/lensd/tools/python3";
    let script = "import cv2, sys\n\
        def grey(v):\n\
        \x20   ok, p = v.read()\n\
        \x20   assert ok\n\
        \x20   return p\n\
        v = cv2.VideoCapture(sys.argv[1])\n\
        assert v.get(cv2.CAP_PROP_FRAME_COUNT) == 75, v.get(cv2.CAP_PROP_FRAME_COUNT)\n\
        all = [grey(v) for _ in range(75)]\n\
        for n in (60, 3, 24, 25, 26, 74, 0, 49):\n\
        \x20   v.set(cv2.CAP_PROP_POS_FRAMES, n)\n\
        \x20   assert (grey(v) == all[n]).all(), n\n";
    run(Command::new(python).args(["-c", script]).arg(&path));
}

#[test]
fn h264_with_b_pictures() {
    both_forms(Codec::H264, "rec-h264");
}

#[test]
fn h265_with_b_pictures() {
    both_forms(Codec::H265, "rec-h265");
}

#[test]
fn jpeg() {
    both_forms(Codec::Jpeg, "rec-jpeg");
}

#[test]
fn a_file_that_was_cut_plays_up_to_there_and_is_mended() {
    let folder = Folder::new("rec-cut");
    let (source, pictures) = source(&folder.0, Codec::H264);
    let path = folder.0.join("recording.mp4");
    record(&path, &pictures);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1000]).unwrap();
    let mended = mend(&path, None).unwrap();
    assert_eq!((mended.pictures, mended.fragments), (72, 6));
    let (found, wanted) = (decoded(&path), decoded(&source));
    assert!(found.iter().all(|picture| wanted.contains(picture)));
    assert_eq!(found.len(), 72);
}
