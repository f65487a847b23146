//! Recordings of pictures that FFmpeg made, for tests of files and of playing them.
#![allow(dead_code, unreachable_pub)]

use lensd_engine::camera::CodedUnit;
use lensd_engine::camera::mp4::{Cursor, parse_box_header, parse_moov, to_annex_b};
use lensd_ffi::mux::{Init, Muxer, Reference, Sample, begin, sealed};
use lensd_ffi::time::{Stamp, UtcNanos};
use lensd_ffi::unit::{Codec, UnitMeta};
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2026-11-21T14:05:57.25Z.
pub const BEGIN: UtcNanos = UtcNanos(1_795_269_957_250_000_000);
/// Decode times in the file begin anywhere.
const FIRST: u64 = 123_456_789;

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
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

pub fn run(command: &mut Command) -> (Vec<u8>, String) {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{command:?}: {errors}");
    (done.stdout, errors)
}

fn ffmpeg(args: &[&str]) {
    run(Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(args));
}

/// A coded picture with its times in ticks from the first decode time.
pub struct Picture {
    unit: CodedUnit,
    decode: u64,
    cts: i32,
    duration: u32,
}

/// What FFmpeg made of the test picture, 75 pictures of 25 a second.
pub fn source(folder: &Path, codec: Codec) -> (PathBuf, Vec<Picture>) {
    let path = folder.join("source.mp4");
    let name = path.to_str().unwrap();
    let input = ["-f", "lavfi", "-i", "testsrc2=s=320x176:r=25:d=3"];
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
            ffmpeg(
                &[
                    &input[..],
                    &[
                        "-q:v",
                        "4",
                        "-huffman",
                        "default",
                        "-pix_fmt",
                        "yuvj420p",
                        pattern.to_str().unwrap(),
                    ],
                ]
                .concat(),
            );
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
pub fn record(path: &Path, pictures: &[Picture]) {
    let first = &pictures[0].unit;
    let mut muxer = Muxer::new();
    let meta = UnitMeta { codec: first.codec, key: true, ..UnitMeta::default() };
    let init = match first.codec {
        Codec::Jpeg => Init::jpeg(320, 176).unwrap(),
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

/// The interpreter that has OpenCV.
pub fn python() -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| std::env::var("HOME").unwrap_or_default() + "/.cache");
    PathBuf::from(cache + "/lensd/tools/python3")
}

/// Time in ticks from the first, and hash of each picture that FFmpeg decodes.
pub fn decoded(path: &Path) -> Vec<(i64, String)> {
    decoded_with(&[], path.as_os_str())
}

/// The same of something else than a file.
pub fn decoded_with(options: &[&str], input: &std::ffi::OsStr) -> Vec<(i64, String)> {
    let (out, errors) = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning"])
        .args(options)
        .arg("-i")
        .arg(input)
        .args(["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "1/90000"])
        .args(["-f", "framemd5", "-"]));
    assert_eq!(errors, "", "{}", input.display());
    let text = String::from_utf8(out).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse::<i64>().unwrap(), fields[5].to_owned())
    };
    let all: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).map(line).collect();
    let first = all[0].0;
    all.into_iter().map(|(at, hash)| (at - first, hash)).collect()
}
