//! How long pictures take, in microseconds each. Not run by default:
//! `cargo test --release -p lensd-engine --test speed -- --ignored --nocapture`.

use lensd_engine::camera::spec::CameraSpec;
use lensd_engine::camera::{Camera, CodedUnit, Shot, pattern};
use lensd_engine::encode::jpeg::Jpeg;
use lensd_engine::encode::openh264::{OpenH264, Slices, Tuning};
use lensd_engine::encode::{Encoder, Rate};
use lensd_engine::finish::{Clock, Finish, Turn};
use lensd_engine::frame::{Bayer, Depth, Frame, PixelFormat, packed_planes};
use lensd_engine::picture::convert::Converter;
use lensd_engine::picture::decode::{H264Decoder, JpegDecoder};
use lensd_engine::picture::finish::Finisher;
use lensd_engine::picture::scale::{Area, Scaler};
use lensd_engine::picture::{Picture, View};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::now;
use std::sync::Arc;

/// Median, 99th percentile and largest of repeated runs.
fn time(name: &str, count: usize, mut work: impl FnMut(usize)) {
    let mut spans: Vec<u64> = (0..count)
        .map(|n| {
            let start = now();
            work(n);
            now().since(start).micros()
        })
        .collect();
    spans.sort_unstable();
    let at = |share: usize| spans[(count - 1) * share / 100];
    println!("{name:44} p50 {:6} p99 {:6} max {:6}", at(50), at(99), at(100));
}

fn frames(options: &str, count: usize) -> Vec<Frame> {
    let Ok(CameraSpec::Test(spec)) = format!("test:?fps=1000&{options}").parse() else { panic!() };
    let mut camera = pattern::open(&spec).unwrap();
    let bell = Bell::new().unwrap();
    let mut frames = Vec::new();
    while frames.len() < count {
        if let Shot::Frame(mut frame) = camera.next(&bell).unwrap() {
            frame.memory = Arc::new(frame.memory.bytes().to_vec());
            frames.push(frame);
        }
    }
    frames
}

fn as_format(frame: &Frame, format: PixelFormat) -> Frame {
    let (planes, used) = packed_planes(format, frame.width, frame.height);
    let bytes: Vec<u8> = frame.memory.bytes().iter().copied().cycle().take(used).collect();
    Frame { format, planes, used, memory: Arc::new(bytes), ..frame.clone() }
}

/// Ignored because it measures and asserts nothing, and a debug build's figures mean nothing.
/// `LENSD_LONG=1 tests/run.sh` runs it.
#[test]
#[ignore = "a measurement: cargo test --release -p lensd-engine --test speed -- --ignored --nocapture"]
fn speeds() {
    let bell = Bell::new().unwrap();
    for options in [
        "size=1280x720&pattern=bars",
        "size=1280x720&pattern=clock",
        "size=1280x720&pattern=noise",
        "size=1920x1080&pattern=bars",
    ] {
        // At 1000 fps a frame is nearly always due: what is left is the drawing.
        let Ok(CameraSpec::Test(spec)) = format!("test:?fps=1000&{options}").parse() else {
            panic!()
        };
        let mut camera = pattern::open(&spec).unwrap();
        let mut spans = Vec::new();
        for _ in 0..300 {
            // Let two deadlines pass: no waiting inside.
            let from = now();
            while now().since(from).micros() < 2100 {}
            let start = now();
            assert!(matches!(camera.next(&bell).unwrap(), Shot::Frame(_)));
            spans.push(now().since(start).micros());
        }
        spans.sort_unstable();
        println!(
            "{:44} p50 {:6} p99 {:6}",
            format!("test camera {options}"),
            spans[150],
            spans[297]
        );
    }
    for (size, bitrate) in [("1280x720", 4_000_000), ("1920x1080", 6_000_000)] {
        for pattern in ["bars", "noise"] {
            let frames = frames(&format!("size={size}&pattern={pattern}"), 30);
            let (width, height) = (frames[0].width, frames[0].height);
            let rate = Rate { bitrate, fps: 30.0, gop: 30 };
            let counted = Tuning { slices: Slices::Count(2), threads: 2, ..Tuning::default() };
            for (name, tuning) in [("", Tuning::default()), (" 2 slices 2 threads", counted)] {
                let mut encoder = OpenH264::new(rate, tuning).unwrap();
                let mut unit = CodedUnit::default();
                time(&format!("openh264 {size} {pattern}{name}"), 90, |n| {
                    encoder.encode(&frames[n % 30], false, &mut unit).unwrap();
                });
            }
            let mut encoder = OpenH264::new(rate, Tuning::default()).unwrap();
            let mut decoder = H264Decoder::default();
            let units: Vec<CodedUnit> = frames
                .iter()
                .map(|frame| {
                    let mut unit = CodedUnit::default();
                    encoder.encode(frame, false, &mut unit).unwrap();
                    unit
                })
                .collect();
            time(&format!("openh264 decode {size} {pattern}"), 90, |n| {
                let unit = &units[n % 30];
                decoder.decode(&unit.bytes, unit.key).unwrap();
            });
            if pattern == "noise" {
                continue;
            }
            let mut jpeg = Jpeg::new(80).unwrap();
            let mut unit = CodedUnit::default();
            for format in [
                PixelFormat::I420,
                PixelFormat::Nv12,
                PixelFormat::Yuyv,
                PixelFormat::Grey,
                PixelFormat::Rgb24,
            ] {
                let other = as_format(&frames[0], format);
                time(&format!("jpeg q80 {size} {format}"), 60, |_| {
                    jpeg.encode(&other, true, &mut unit).unwrap();
                });
            }
            jpeg.encode(&frames[0], true, &mut unit).unwrap();
            let mut decoder = JpegDecoder::default();
            time(&format!("jpeg decode {size} 4:2:0"), 60, |_| {
                decoder.decode(&unit.bytes).unwrap();
            });
            jpeg.encode(&as_format(&frames[0], PixelFormat::Yuyv), true, &mut unit).unwrap();
            time(&format!("jpeg decode {size} 4:2:2"), 60, |_| {
                decoder.decode(&unit.bytes).unwrap();
            });
            let mut converter = Converter::default();
            for format in [
                PixelFormat::Nv12,
                PixelFormat::Nv21,
                PixelFormat::Yuyv,
                PixelFormat::Uyvy,
                PixelFormat::Grey,
                PixelFormat::Rgb24,
                PixelFormat::Bgr24,
                PixelFormat::Bayer(Bayer::Rggb, Depth::Eight),
                PixelFormat::Bayer(Bayer::Rggb, Depth::Twelve),
            ] {
                let other = as_format(&frames[0], format);
                time(&format!("{format} to I420 {size}"), 100, |_| {
                    converter.view(&other).unwrap();
                });
            }
            let mut finisher = Finisher::default();
            let wishes = [
                ("turn by 90", Finish { turn: Turn::Quarter, ..Finish::default() }),
                ("turn by 180", Finish { turn: Turn::Half, ..Finish::default() }),
                ("mirror", Finish { mirror: true, ..Finish::default() }),
                ("zoom 2", Finish { zoom: 2.0, ..Finish::default() }),
                ("time and text", {
                    let mut finish = Finish::default();
                    (finish.overlay.clock, finish.overlay.text) = (Clock::Utc, "Gate 7".into());
                    finish
                }),
            ];
            for (name, wish) in wishes {
                for format in [PixelFormat::I420, PixelFormat::Yuyv] {
                    let other = as_format(&frames[0], format);
                    time(&format!("{name} {size} {format}"), 100, |_| {
                        finisher.make(&other, &wish, None).unwrap();
                    });
                }
            }
            let mut converter = Converter::default();
            let view: View<'_> = converter.view(&frames[0]).unwrap();
            let mut scaler = Scaler::default();
            for (to_width, to_height) in [(width / 2, height / 2), (640, 480), (854, 480)] {
                let mut to = Picture::default();
                to.resize(to_width, to_height);
                time(&format!("scale {size} to {to_width}x{to_height}"), 100, |_| {
                    scaler.scale(&view, Area::of(&view), to.canvas().unwrap()).unwrap();
                });
            }
        }
    }
}
