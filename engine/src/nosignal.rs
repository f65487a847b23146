//! What clients see while a camera is away, if that is wished: a still picture that says so.
//!
//! It comes through the same stages as the camera's own pictures, in the size that these had, but
//! five times a second only. Its capture times are whole intervals since the camera went, also across
//! attempts to open it: players guess rates from the distances of the first pictures. It is no picture
//! of the camera: stills are refused meanwhile, and the camera counts as disconnected.

use crate::camera::CameraInfo;
use crate::config::CameraConfig;
use crate::finish::{Finish, Turn};
use crate::frame::{Colour, Frame, PixelFormat, packed_planes};
use crate::picture::Picture;
use crate::picture::text;
use crate::pipeline::{Pipeline, Publishers};
use lensd_ffi::time::{Nanos, Stamp, UtcNanos};
use std::sync::Arc;

/// Pictures per second.
const RATE: u64 = 5;
/// From one picture to the next.
const INTERVAL: u64 = 1_000_000_000 / RATE;
/// The size while it is not known which the camera has.
const USUAL: (usize, usize) = (1280, 720);
/// Most bits per second: a still picture needs few.
const MAX_BITRATE: u32 = 1_000_000;

/// Stands in for a camera.
pub struct StandIn {
    pipeline: Pipeline,
    picture: Picture,
    lines: Vec<String>,
    since: Stamp,
    due: Option<Nanos>,
    number: u64,
}

impl StandIn {
    /// For the camera `name`, whose pictures had this size (0 if that is not known), and which is
    /// away because of `why`, `since` when.
    pub fn new(
        publishers: Publishers,
        config: &CameraConfig,
        name: &str,
        (width, height): (usize, usize),
        why: &str,
        since: Stamp,
    ) -> Self {
        let (width, height) = match (width & !1, height & !1) {
            (0, _) | (_, 0) => USUAL,
            size => size,
        };
        // As clients know it, but not itself turned.
        let turned = matches!(config.finish.turn, Turn::Quarter | Turn::ThreeQuarters);
        let (width, height) = if turned { (height, width) } else { (width, height) };
        // An encoder that was named may not take these pictures; any will do.
        let encoder = if config.encoder == "openh264" { "openh264" } else { "auto" };
        let config = CameraConfig {
            encoder: encoder.to_owned(),
            bitrate: config.bitrate.min(MAX_BITRATE),
            sub_bitrate: config.sub_bitrate.min(MAX_BITRATE),
            finish: Finish::default(),
            ..config.clone()
        };
        let info = CameraInfo {
            name: "no signal".to_owned(),
            format: PixelFormat::I420.to_string(),
            width,
            height,
            fps: RATE as f64,
            ..CameraInfo::default()
        };
        let mut picture = Picture::default();
        picture.resize(width, height);
        let columns = (width / (text::ADVANCE * scale_of(width))).saturating_sub(2);
        let mut lines = vec![name.chars().take(columns).collect(), String::new()];
        lines.extend(text::wrap(why, columns, 4));
        let pipeline =
            Pipeline::new(&config, info, false, publishers, Arc::default()).without_tap();
        Self { pipeline, picture, lines, since, due: None, number: 0 }
    }

    /// Sends a picture if it is time. Returns when the next is due.
    pub fn show(&mut self, now: Stamp) -> Nanos {
        let gone = now.mono.since(self.since.mono).0;
        let first = || self.since.mono.plus(Nanos(gone.div_ceil(INTERVAL) * INTERVAL));
        let due = *self.due.get_or_insert_with(first);
        if now.mono < due {
            return due;
        }
        let late = gone % INTERVAL;
        let now = Stamp {
            mono: Nanos(now.mono.0 - late),
            utc: UtcNanos(now.utc.0 - late.cast_signed()),
            ..now
        };
        let next = now.mono.plus(Nanos(INTERVAL));
        self.due = Some(next);
        self.draw(now);
        let (width, height) = (self.picture.width(), self.picture.height());
        let (planes, used) = packed_planes(PixelFormat::I420, width, height);
        let frame = Frame {
            format: PixelFormat::I420,
            width,
            height,
            planes,
            used,
            colour: Colour::OURS,
            memory: Arc::new(self.picture.bytes().to_vec()),
            capture: now,
            number: self.number,
            crc: None,
        };
        self.number += 1;
        self.pipeline.frame(&frame);
        next
    }

    fn draw(&mut self, now: Stamp) {
        let (width, height) = (self.picture.width(), self.picture.height());
        let small = scale_of(width);
        let (line, left) = (text::HEIGHT * small, text::ADVANCE * small);
        text::fill(&mut self.picture, [32, 128, 128]);
        let mut y = (height / 4).min(height.saturating_sub(line * 8));
        text::write(&mut self.picture, "NO SIGNAL", left, y, small * 2, 220);
        y += line * 2;
        for text in &self.lines {
            text::write(&mut self.picture, text, left, y, small, 160);
            y += line;
        }
        let (clock, away) = (time_of_day(now), now.mono.since(self.since.mono).0 / 1_000_000_000);
        let time = format!("{clock} UTC, away for {away} s");
        text::write(&mut self.picture, &time, left, y + line / 2, small, 200);
    }

    /// Ends it, for the camera is back or is looked for.
    pub fn end(self) -> Publishers {
        self.pipeline.into_publishers()
    }
}

/// Pixels of a point, so that a line has some forty characters.
fn scale_of(width: usize) -> usize {
    (width / (text::ADVANCE * 40)).max(1)
}

/// `hh:mm:ss`.
fn time_of_day(at: Stamp) -> String {
    let seconds = at.utc.millis().div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::decode::H264Decoder;
    use crate::publish::{Kind, Stream, geometry_for};
    use lensd_ffi::bell::Bell;
    use lensd_ffi::unit::Codec;

    fn at(ms: u64) -> Stamp {
        let utc = UtcNanos((45_296_000 + ms.cast_signed()) * 1_000_000);
        Stamp { mono: Nanos::from_millis(ms), utc, error_ns: 0 }
    }

    #[test]
    fn it_has_the_cameras_size_and_honest_times() {
        let make = |kind, codec| {
            Stream::create(1, kind, codec, geometry_for(1), Bell::new().unwrap()).unwrap()
        };
        let (stream, main) = make(Kind::Main, Codec::H264);
        let sub = make(Kind::Sub, Codec::H264).1;
        let mjpeg = make(Kind::Mjpeg, Codec::Jpeg).1;
        let publishers = Publishers {
            main,
            sub,
            mjpeg,
            tap: crate::tap::CameraTap::new(1, Bell::new().unwrap(), Arc::default()),
        };
        let config = CameraConfig::default();
        let why = "/dev/video0: unplugged";
        let mut away = StandIn::new(publishers, &config, "door", (640, 360), why, at(1000));
        for ms in [1000, 1200, 1499, 1500, 1999, 2100] {
            away.show(at(ms));
        }
        let ring = stream.ring();
        let times: Vec<u64> = (0..ring.head())
            .map(|seq| ring.view(seq).unwrap().meta.capture.mono.0 / 1_000_000)
            .collect();
        assert_eq!(times, [1000, 1200, 1400, 1800, 2000]);
        let first = ring.view(0).unwrap();
        assert!(first.meta.key && (first.meta.width, first.meta.height) == (640, 360));
        let mut bytes = Vec::new();
        ring.copy(&first, 0, first.len, &mut bytes).unwrap();
        let mut decoder = H264Decoder::default();
        let view = decoder.decode(&bytes, true).unwrap().unwrap();
        let bright = (0..360).flat_map(|y| view.row(0, y)).filter(|v| **v > 128).count();
        assert!((500..30_000).contains(&bright), "{bright} bright points of text");
        assert_eq!(time_of_day(at(4000)), "12:35:00");
        let publishers = away.end();
        assert_eq!(publishers.main.stream().name, "cam1/main");
    }

    #[test]
    fn any_size_and_any_words_will_do() {
        for size in [(0, 0), (2, 2), (16, 16), (33, 1001), (3840, 16)] {
            let make = |kind, codec| {
                Stream::create(1, kind, codec, geometry_for(1), Bell::new().unwrap()).unwrap().1
            };
            let publishers = Publishers {
                tap: crate::tap::CameraTap::new(1, Bell::new().unwrap(), Arc::default()),
                main: make(Kind::Main, Codec::H264),
                sub: make(Kind::Sub, Codec::H264),
                mjpeg: make(Kind::Mjpeg, Codec::Jpeg),
            };
            let config = CameraConfig::default();
            let why = "\u{1f600} ".repeat(1000);
            StandIn::new(publishers, &config, &why, size, &why, at(0)).show(at(0));
        }
    }
}
