//! The software H.264 encoder: constrained baseline, no reordering, one picture in, one unit out.

use super::{EncodeError, Encoder, Rate};
use crate::camera::CodedUnit;
use crate::frame::{Frame, PixelFormat};
use crate::picture::View;
use crate::style::{Profile, RateMode, Style};
use crate::sys::openh264::{self as sys, Coded, Settings};
use lensd_ffi::unit::{Codec, NalSpan};

pub use crate::sys::openh264::Slices;

/// What does not change while an encoder lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// How bits are spent.
    pub style: Style,
    /// How pictures are cut into slices.
    pub slices: Slices,
    /// Threads; more than one needs [`Slices::Count`].
    pub threads: u16,
    /// Whether the rate control may leave pictures out to keep to its rate.
    pub skip: bool,
    /// Whether the pictures are of a screen.
    pub screen: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            style: Style::default(),
            slices: Slices::One,
            threads: 1,
            skip: false,
            screen: false,
        }
    }
}

/// An openh264 encoder, made anew when the picture's size changes.
pub struct OpenH264 {
    rate: Rate,
    tuning: Tuning,
    encoder: Option<sys::Encoder>,
}

impl OpenH264 {
    /// An encoder; the size comes with the first picture.
    ///
    /// # Errors
    /// When the rate is out of range.
    pub fn new(rate: Rate, tuning: Tuning) -> Result<Self, EncodeError> {
        check(rate)?;
        Ok(Self { rate, tuning, encoder: None })
    }
}

fn check(rate: Rate) -> Result<(), EncodeError> {
    if rate.bitrate < 1000 || !(0.1..=1000.0).contains(&rate.fps) || rate.gop == 0 {
        return Err(EncodeError(format!(
            "openh264 needs a bit rate from 1000 bit/s, 0.1 to 1000 fps and a key frame interval \
             from 1, not {rate:?}"
        )));
    }
    Ok(())
}

impl Encoder for OpenH264 {
    fn encode(
        &mut self,
        frame: &Frame,
        key: bool,
        out: &mut CodedUnit,
    ) -> Result<bool, EncodeError> {
        let Tuning { style, slices, threads, skip, screen } = self.tuning;
        let (profile, variable) = (style.profile, style.mode == RateMode::Variable);
        let profile = match profile {
            Profile::Auto | Profile::Baseline => sys::Profile::Baseline,
            Profile::Main => sys::Profile::Main,
            Profile::High => sys::Profile::High,
        };
        let qp = (style.qp_min.min(style.qp_max), style.qp_max);
        let Rate { bitrate, fps, gop } = self.rate;
        let refused = || EncodeError(format!("openh264 takes I420, not {frame:?} as it is"));
        let view = View::of_frame(frame).ok_or_else(refused)?.even();
        let crate::frame::Colour { primaries, transfer, matrix, full_range } = frame.colour;
        let colour = ([primaries, transfer, matrix], full_range);
        let (width, height) = (view.width(), view.height());
        let encoder = match &mut self.encoder {
            Some(e)
                if (e.settings().width, e.settings().height, e.settings().colour)
                    == (width, height, colour) =>
            {
                e
            }
            slot => {
                let settings = Settings {
                    width,
                    height,
                    bitrate,
                    fps,
                    gop,
                    profile,
                    variable,
                    qp,
                    colour,
                    threads,
                    slices,
                    skip,
                    screen,
                };
                slot.insert(sys::Encoder::new(settings).map_err(EncodeError)?)
            }
        };
        out.bytes.clear();
        out.nals.clear();
        let CodedUnit { bytes, nals, .. } = out;
        let time_ms = frame.capture.mono.0 / 1_000_000;
        let coded = encoder
            .encode(view.planes(), view.strides(), time_ms, key, &mut |nal| {
                append(nal, bytes, nals)
            })
            .map_err(EncodeError)?;
        out.codec = Codec::H264;
        out.key = coded == Coded::Key;
        (out.width, out.height) = (width, height);
        (out.capture, out.number) = (frame.capture, frame.number);
        Ok(coded != Coded::Skipped && !out.nals.is_empty())
    }

    fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError> {
        check(rate)?;
        if let Some(encoder) = &mut self.encoder
            && let Err(why) = encoder.set_rate(rate.bitrate, rate.fps, rate.gop)
        {
            // Some of the three may have changed: a new encoder has the old ones again.
            self.encoder = None;
            return Err(EncodeError(why));
        }
        self.rate = rate;
        Ok(())
    }

    fn set_style(&mut self, style: Style) -> Result<(), EncodeError> {
        if self.tuning.style != style {
            self.tuning.style = style;
            self.encoder = None;
        }
        Ok(())
    }

    fn takes(&self, format: PixelFormat) -> bool {
        format == PixelFormat::I420
    }

    fn name(&self) -> String {
        "openh264".into()
    }

    fn copied_pixel_bytes(&self) -> u64 {
        0
    }
}

/// Appends a NAL unit with its start code of four bytes.
fn append(nal: &[u8], bytes: &mut Vec<u8>, nals: &mut Vec<NalSpan>) {
    let zeros = nal.iter().take_while(|&&b| b == 0).count();
    let payload = if nal.get(zeros) == Some(&1) && zeros >= 2 { &nal[zeros + 1..] } else { nal };
    bytes.extend_from_slice(&[0, 0, 0, 1]);
    if let (Ok(offset), Ok(len)) = (u32::try_from(bytes.len()), u32::try_from(payload.len())) {
        nals.push(NalSpan { offset, len });
    }
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::pattern;
    use crate::camera::spec::{Pattern, Size, TestSpec};
    use crate::camera::{Camera, Shot};
    use crate::frame::{Colour, PixelFormat, packed_planes};
    use lensd_ffi::bell::Bell;
    use lensd_ffi::time::{Nanos, Stamp, UtcNanos};
    use lensd_ffi::unit::split_annex_b;
    use std::sync::Arc;

    const RATE: Rate = Rate { bitrate: 500_000, fps: 25.0, gop: 10 };

    fn frames(count: usize, pattern: Pattern, width: usize, height: usize) -> Vec<Frame> {
        let spec = TestSpec { size: Size { width, height }, fps: 200.0, pattern, seed: 1 };
        let mut camera = pattern::open(&spec).unwrap();
        let bell = Bell::new().unwrap();
        let mut frames: Vec<Frame> = Vec::new();
        while frames.len() < count {
            if let Shot::Frame(mut frame) = camera.next(&bell).unwrap() {
                frame.memory = Arc::new(frame.memory.bytes().to_vec());
                let n = frames.len() as u64;
                frame.capture =
                    Stamp { mono: Nanos(n * 40_000_000), utc: UtcNanos(0), error_ns: 0 };
                frames.push(frame);
            }
        }
        frames
    }

    fn kinds(unit: &CodedUnit) -> Vec<u8> {
        unit.nals.iter().map(|n| unit.bytes[n.offset as usize] & 31).collect()
    }

    #[test]
    fn key_frames_come_at_the_interval_and_when_asked_for_with_parameter_sets() {
        let mut encoder = OpenH264::new(RATE, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        for (n, frame) in frames(24, Pattern::Bars, 320, 180).iter().enumerate() {
            assert!(encoder.encode(frame, n == 13, &mut unit).unwrap());
            let key = matches!(n, 0 | 10 | 13 | 23);
            assert_eq!(unit.key, key, "{n}");
            assert_eq!(kinds(&unit), if key { vec![7, 8, 5] } else { vec![1] }, "{n}");
            assert_eq!((unit.width, unit.height, unit.number), (320, 180, frame.number));
            let mut spans = Vec::new();
            split_annex_b(&unit.bytes, &mut spans);
            assert_eq!(spans, unit.nals);
            for nal in &unit.nals {
                let at = nal.offset as usize;
                assert_eq!(unit.bytes[at - 4..at], [0, 0, 0, 1]);
            }
            if key {
                // RFC 6184 profile-level-id: constrained baseline has set0 and set1.
                let sps = unit.nals[0].offset as usize;
                assert_eq!(unit.bytes[sps + 1], 66);
                assert_eq!(unit.bytes[sps + 2] & 0xc0, 0xc0);
            }
        }
        assert_eq!(encoder.copied_pixel_bytes(), 0);
    }

    #[test]
    fn another_size_begins_anew_and_a_wrong_one_is_refused() {
        let mut encoder = OpenH264::new(RATE, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        for (width, height) in [(320, 180), (640, 360), (320, 180)] {
            for (n, frame) in frames(2, Pattern::Still, width, height).iter().enumerate() {
                encoder.encode(frame, false, &mut unit).unwrap();
                assert_eq!((unit.key, unit.width), (n == 0, width));
            }
        }
        let mut tiny = frames(1, Pattern::Still, 320, 180).remove(0);
        tiny.height = 8;
        assert!(encoder.encode(&tiny, false, &mut unit).unwrap_err().0.contains("from 16"));
        tiny.height = 200;
        assert!(encoder.encode(&tiny, false, &mut unit).is_err(), "more rows than memory");
    }

    #[test]
    fn odd_sizes_lose_a_row_and_other_layouts_are_refused() {
        let mut encoder = OpenH264::new(RATE, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv] {
            let (planes, used) = packed_planes(format, 321, 181);
            let frame = Frame {
                format,
                width: 321,
                height: 181,
                planes,
                used,
                colour: Colour::default(),
                memory: Arc::new(vec![77; used]),
                capture: Stamp::default(),
                number: 9,
                crc: None,
            };
            let taken = encoder.encode(&frame, true, &mut unit);
            assert_eq!(taken.is_ok(), encoder.takes(format), "{format}");
            assert_eq!((unit.key, unit.width, unit.height, unit.number), (true, 320, 180, 9));
        }
    }

    #[test]
    fn bits_are_spent_as_asked() {
        let frames = frames(6, Pattern::Noise, 320, 180);
        let mut encoder = OpenH264::new(RATE, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        let mut sizes = Vec::new();
        let plain = Style::default();
        for (style, profile) in [
            (plain, 66),
            (Style { profile: Profile::Main, ..plain }, 77),
            (Style { profile: Profile::High, mode: RateMode::Variable, ..plain }, 100),
            (Style { qp_min: 48, ..plain }, 66),
            (Style { qp_max: 12, ..plain }, 66),
        ] {
            encoder.set_style(style).unwrap();
            let mut size = 0;
            for (n, frame) in frames.iter().enumerate() {
                encoder.encode(frame, false, &mut unit).unwrap();
                assert_eq!(unit.key, n == 0, "{style:?}");
                if n == 0 {
                    assert_eq!(unit.bytes[unit.nals[0].offset as usize + 1], profile, "{style:?}");
                }
                size += unit.bytes.len();
            }
            sizes.push(size);
        }
        assert!(sizes[3] < sizes[0] && sizes[0] < sizes[4], "{sizes:?}");
    }

    #[test]
    fn what_samples_mean_is_in_the_parameter_set() {
        let mut encoder = OpenH264::new(RATE, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        let mut frame = frames(1, Pattern::Still, 320, 180).remove(0);
        let hd = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        for colour in [Colour::OURS, Colour::JPEG, hd] {
            frame.colour = colour;
            encoder.encode(&frame, false, &mut unit).unwrap();
            assert!(unit.key, "another meaning needs another parameter set");
            let at = unit.nals[0].offset as usize;
            let nal = &unit.bytes[at..at + unit.nals[0].len as usize];
            assert_eq!(crate::syntax::sps::parse_sps(nal).unwrap().colour, Some(colour));
        }
    }

    #[test]
    fn the_bit_rate_is_kept_and_changes_while_running_without_a_key_frame() {
        let rate = Rate { bitrate: 1_500_000, fps: 25.0, gop: 1000 };
        let mut encoder = OpenH264::new(rate, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        let frames = frames(100, Pattern::Noise, 320, 180);
        let mut bytes = [0, 0];
        for (n, frame) in frames.iter().enumerate() {
            if n == 50 {
                encoder.set_rate(Rate { bitrate: 6_000_000, ..rate }).unwrap();
            }
            encoder.encode(frame, false, &mut unit).unwrap();
            assert_eq!(unit.key, n == 0);
            // The first half second of each rate is the control's to settle.
            if n % 50 >= 13 {
                bytes[n / 50] += unit.bytes.len();
            }
        }
        assert!(bytes[1] > 2 * bytes[0], "{bytes:?}");
        assert!(encoder.set_rate(Rate { gop: 0, ..rate }).is_err());
        assert!(encoder.set_rate(Rate { fps: 0.0, ..rate }).is_err());
    }

    #[test]
    fn slices_can_be_kept_within_a_packet_or_counted() {
        let frames = frames(4, Pattern::Noise, 640, 360);
        let mut unit = CodedUnit::default();
        let rate = Rate { bitrate: 3_000_000, ..RATE };
        let tuning = Tuning { slices: Slices::MaxBytes(1104), ..Tuning::default() };
        let mut encoder = OpenH264::new(rate, tuning).unwrap();
        for frame in &frames {
            encoder.encode(frame, false, &mut unit).unwrap();
            assert!(unit.nals.len() > 4);
            assert!(unit.nals.iter().all(|n| n.len <= 1104), "{:?}", unit.nals);
        }
        let tuning = Tuning { slices: Slices::Count(4), threads: 2, ..Tuning::default() };
        let mut encoder = OpenH264::new(rate, tuning).unwrap();
        for (n, frame) in frames.iter().enumerate() {
            encoder.encode(frame, false, &mut unit).unwrap();
            assert_eq!(unit.nals.len(), if n == 0 { 6 } else { 4 });
        }
    }
}
