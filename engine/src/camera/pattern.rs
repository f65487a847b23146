//! The test camera: pictures that depend on size, pattern, seed and frame number alone, but for
//! the capture time in their marks (see [`super::marks`] for the geometry).
//!
//! Layout of a picture: a background, the marks at the top left, and along the bottom a strip of
//! `height / 10` rows in which `bars` moves a box and `clock` counts the frames in digits.

use super::knobs::Knobs;
use super::look::{Filter, Look};
use super::marks::{self, GRID_COLUMNS, GRID_ROWS, Marks, cell_side};
use super::pool::{Pool, Sheet, sheets};
use super::spec::{Pattern, TestSpec, USUAL_SIZES};
use super::{Camera, CameraError, CameraInfo, Shot, StampedAt};
use crate::clock;
use crate::frame::{Colour, Frame, PixelFormat, Plane, packed_planes};
use lensd_ffi::bell::Bell;
use lensd_ffi::state::CameraMode;
use lensd_ffi::time::{Nanos, now};
use std::sync::Arc;

pub use super::marks::read_marks;

/// Pictures that consumers can hold at the same time before frames are lost.
const BUFFERS: u32 = 8;

/// The test camera.
pub struct TestCamera {
    painter: Painter,
    pool: Pool<Sheet>,
    clock: Pace,
    lost: u64,
    look: Arc<Look>,
}

/// Opens the test camera.
///
/// # Errors
/// When the size is odd or below 320x180, or the rate is not from 0.1 to 1000.
pub fn open(spec: &TestSpec) -> Result<TestCamera, CameraError> {
    // A spec that was not parsed from text may hold anything: one parser decides.
    let text = super::spec::CameraSpec::Test(spec.clone()).to_string();
    text.parse::<super::spec::CameraSpec>().map_err(|e| CameraError::lasting(e.0))?;
    let painter = Painter::new(spec);
    // Painted once: that takes longer than all else before the first picture.
    let pool =
        painter.pool().map_err(|e| CameraError::passing(format!("no memory for pictures: {e}")))?;
    let at = now();
    Ok(TestCamera { painter, pool, clock: Pace::new(spec.fps, at), lost: 0, look: Arc::default() })
}

impl Camera for TestCamera {
    fn info(&self) -> CameraInfo {
        let spec = &self.painter.spec;
        CameraInfo {
            name: "test camera".into(),
            format: PixelFormat::I420.to_string(),
            width: spec.size.width,
            height: spec.size.height,
            fps: spec.fps,
            coded: None,
            remarks: Vec::new(),
        }
    }

    fn modes(&self) -> Vec<CameraMode> {
        // Any size will do; these are those that people know.
        let mode = |&(width, height): &(u32, u32)| CameraMode { width, height, fps: 60.0 };
        USUAL_SIZES.iter().map(mode).collect()
    }

    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError> {
        if !self.clock.wait(bell)? {
            return Ok(Shot::Woken);
        }
        let (number, capture) = self.clock.take(now());
        self.painter.follow(&self.look);
        let painter = &self.painter;
        let Some((buffer, crc)) =
            self.pool.lend(|sheet| sheet.fill(|bytes| painter.paint(bytes, number, capture)))
        else {
            // Every buffer is still in use: the frame cannot be drawn, as in a real driver.
            self.lost += 1;
            return Ok(Shot::Woken);
        };
        Ok(Shot::Frame(Frame {
            format: PixelFormat::I420,
            width: self.painter.spec.size.width,
            height: self.painter.spec.size.height,
            planes: self.painter.planes,
            used: self.painter.bytes,
            colour: Colour::OURS,
            memory: buffer,
            capture: clock::stamp(capture),
            number,
            crc: Some(crc),
        }))
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Made
    }

    fn lost(&self) -> u64 {
        self.lost + self.clock.missed
    }

    fn knobs(&self) -> Option<Arc<dyn Knobs>> {
        Some(Arc::clone(&self.look) as Arc<dyn Knobs>)
    }
}

/// Deadlines of a steady rate. Frame n is due at `start + n / fps`, computed anew for each frame,
/// so that no error adds up.
pub(super) struct Pace {
    start: Nanos,
    /// Thousandths of pictures per second.
    millihertz: u64,
    next: u64,
    pub(super) missed: u64,
}

impl Pace {
    /// A pace of `fps` pictures per second, the first at `start`.
    pub(super) fn new(fps: f64, start: Nanos) -> Self {
        // Saturating: the SPEC's range ends far below.
        let millihertz = ((fps * 1000.0).round() as u64).max(1);
        Self { start, millihertz, next: 0, missed: 0 }
    }

    /// Pictures per second.
    pub(super) fn fps(&self) -> f64 {
        self.millihertz as f64 / 1000.0
    }

    /// When frame `number` is due.
    pub(super) fn deadline(&self, number: u64) -> Nanos {
        let span = u128::from(number) * 1_000_000_000_000 / u128::from(self.millihertz);
        self.start.plus(Nanos(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// Waits for the next deadline. `false`: the bell rang, or a second went by.
    fn wait(&self, bell: &Bell) -> Result<bool, CameraError> {
        wait_until(self.deadline(self.next), bell)
    }

    /// The frame that is due at `now` and the moment it was due, which counts as its capture time:
    /// waking up late is latency of lensd, as it is with a real camera. Frames that are overdue
    /// by more than a period are left out and counted.
    pub(super) fn take(&mut self, now: Nanos) -> (u64, Nanos) {
        while self.deadline(self.next + 1) <= now {
            // After a long stop (a suspended machine) do not count up one by one.
            let behind = u128::from(now.since(self.deadline(self.next)).0)
                * u128::from(self.millihertz)
                / 1_000_000_000_000;
            let skip = u64::try_from(behind).unwrap_or(u64::MAX).max(1);
            self.next += skip;
            self.missed += skip;
        }
        self.next += 1;
        (self.next - 1, self.deadline(self.next - 1))
    }
}

/// Waits till `deadline`, at most a second. `false`: the bell rang, or the second went by.
///
/// # Errors
/// When the kernel refuses to wait.
pub(super) fn wait_until(deadline: Nanos, bell: &Bell) -> Result<bool, CameraError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let left = deadline.since(now()).0;
    let timeout = left.min(1_000_000_000);
    let timespec = Timespec {
        tv_sec: (timeout / 1_000_000_000).cast_signed(),
        tv_nsec: (timeout % 1_000_000_000).cast_signed(),
    };
    let mut fds = [PollFd::new(bell, PollFlags::IN)];
    match poll(&mut fds, Some(&timespec)) {
        Ok(0) => Ok(left == timeout),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(CameraError::passing(format!("cannot wait for the next picture: {e}"))),
    }
}

/// Draws pictures. Every buffer starts as a copy of the background; a frame repaints the same
/// areas whatever was in them.
struct Painter {
    spec: TestSpec,
    planes: [Plane; 3],
    bytes: usize,
    /// Once a control was turned: the clean background, what is done to each picture, and after
    /// how many turns that was found.
    looks: Option<(Vec<u8>, Filter, u64)>,
}

/// Y, U and V of white, yellow, cyan, green, magenta, red, blue and black at 75 % (BT.601).
const BARS: [[u8; 3]; 8] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
    [16, 128, 128],
];

/// Segments of the digits 0-9: bits 0-6 are top, top right, bottom right, bottom, bottom left,
/// top left, middle.
const DIGITS: [u8; 10] = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];

impl Painter {
    fn new(spec: &TestSpec) -> Self {
        let (planes, bytes) = packed_planes(PixelFormat::I420, spec.size.width, spec.size.height);
        Self { spec: spec.clone(), planes, bytes, looks: None }
    }

    /// Buffers with the background in them.
    fn pool(&self) -> std::io::Result<Pool<Sheet>> {
        let background = self.background();
        let mut pool = sheets(BUFFERS, self.bytes)?;
        // All at once, so that each gets it.
        let painted: Vec<_> = (0..BUFFERS)
            .map(|_| pool.lend(|sheet| sheet.fill(|bytes| bytes.copy_from_slice(&background))))
            .collect();
        drop(painted);
        Ok(pool)
    }

    /// Takes over what was turned since the last picture.
    fn follow(&mut self, look: &Look) {
        let changes = look.changes();
        let known = self.looks.as_ref().map_or(0, |(_, _, known)| *known);
        if changes == known {
            return;
        }
        let background = match self.looks.take() {
            Some((background, ..)) => background,
            None => self.background(),
        };
        self.looks = Some((background, look.filter(), changes));
    }

    fn strip_top(&self) -> usize {
        let height = self.spec.size.height;
        (height - height / 10) & !1
    }

    /// Everything that stays: bars (turned by the seed) fading towards the bottom, a dark strip,
    /// the marks' guard.
    fn background(&self) -> Vec<u8> {
        let (width, height) = (self.spec.size.width, self.spec.size.height);
        let mut bytes = vec![0; self.bytes];
        let turn = usize::try_from(splitmix(self.spec.seed) % 8).unwrap_or(0);
        for (p, plane) in self.planes.iter().enumerate() {
            let shift = usize::from(p > 0);
            for y in 0..height >> shift {
                let row = plane.offset + y * plane.stride;
                for (x, byte) in bytes[row..row + (width >> shift)].iter_mut().enumerate() {
                    let value = i32::from(BARS[((x << shift) * 8 / width + turn) % 8][p]);
                    let fade = 256 - i32::try_from((y << shift) * 96 / height).unwrap_or(0);
                    let base = if p == 0 { 16 } else { 128 };
                    *byte = u8::try_from(base + (value - base) * fade / 256).unwrap_or(0);
                }
            }
        }
        let strip = self.strip_top();
        self.fill(&mut bytes, 0, strip, width, height - strip, [24, 128, 128]);
        let side = cell_side(width, height);
        let (right, bottom) = ((GRID_COLUMNS * side).min(width), (GRID_ROWS * side).min(height));
        self.fill(&mut bytes, 0, 0, right, bottom, [16, 128, 128]);
        bytes
    }

    /// Draws frame `number` into a buffer of its own background and returns its CRC-32.
    fn paint(&self, bytes: &mut [u8], number: u64, capture: Nanos) -> u32 {
        if let Some((background, ..)) = &self.looks {
            bytes.copy_from_slice(background);
        }
        match self.spec.pattern {
            Pattern::Bars => self.paint_box(bytes, number),
            Pattern::Clock => self.paint_digits(bytes, number),
            Pattern::Noise => self.paint_noise(bytes, number),
            Pattern::Still => {}
        }
        let (width, height) = (self.spec.size.width, self.spec.size.height);
        if let Some((_, filter, _)) = &self.looks {
            filter.apply(bytes, &self.planes, width, height);
            let side = cell_side(width, height);
            let (right, bottom) =
                ((GRID_COLUMNS * side).min(width), (GRID_ROWS * side).min(height));
            self.fill(bytes, 0, 0, right, bottom, [16, 128, 128]);
        }
        // Truncated by design: the marks count modulo 2^32.
        let marks = Marks { number: (number & 0xffff_ffff) as u32, capture };
        let Plane { offset, stride } = self.planes[0];
        let luma = &mut bytes[offset..offset + stride * height];
        marks::draw_marks(luma, stride, width, height, marks);
        crc32fast::hash(bytes)
    }

    /// A bright box that crosses the strip in 128 frames; the seed says where it begins.
    fn paint_box(&self, bytes: &mut [u8], number: u64) {
        let (width, height, top) = (self.spec.size.width, self.spec.size.height, self.strip_top());
        let rows = height - top;
        self.fill(bytes, 0, top, width, rows, [24, 128, 128]);
        let step = number.wrapping_add(splitmix(self.spec.seed)) % 128;
        let x = (usize::try_from(step).unwrap_or(0) * (width - rows) / 127) & !1;
        self.fill(bytes, x, top, rows & !1, rows, [210, 90, 180]);
    }

    /// The frame number in ten digits of seven segments.
    fn paint_digits(&self, bytes: &mut [u8], number: u64) {
        let (width, height, top) = (self.spec.size.width, self.spec.size.height, self.strip_top());
        let rows = height - top;
        self.fill(bytes, 0, top, width, rows, [24, 128, 128]);
        let line = (rows / 10).max(2) & !1;
        let (tall, wide) = ((rows - 2 * line) & !1, (rows / 2) & !1);
        let half = (tall / 2) & !1;
        for place in 0..10u32 {
            let digit = usize::try_from(number / 10u64.pow(9 - place) % 10).unwrap_or(0);
            let x = 2 * line + usize::try_from(place).unwrap_or(0) * (wide + 2 * line);
            let y = top + (line & !1);
            let segments = [
                (x, y, wide, line),
                (x + wide - line, y, line, half),
                (x + wide - line, y + half, line, half),
                (x, y + 2 * half - line, wide, line),
                (x, y + half, line, half),
                (x, y, line, half),
                (x, y + half - line / 2, wide, line),
            ];
            for (bit, (x, y, w, h)) in segments.into_iter().enumerate() {
                if DIGITS[digit] >> bit & 1 == 1 {
                    self.fill(bytes, x, y, w, h, [235, 128, 128]);
                }
            }
        }
    }

    /// Noise everywhere but under the marks.
    fn paint_noise(&self, bytes: &mut [u8], number: u64) {
        let (width, height) = (self.spec.size.width, self.spec.size.height);
        let side = cell_side(width, height);
        let mut state = splitmix(self.spec.seed ^ splitmix(number)) | 1;
        for (p, plane) in self.planes.iter().enumerate() {
            let shift = usize::from(p > 0);
            for y in 0..height >> shift {
                let left = if (y << shift) < GRID_ROWS * side { GRID_COLUMNS * side } else { 0 };
                let row = plane.offset + y * plane.stride;
                let row = &mut bytes[row + (left.min(width) >> shift)..row + (width >> shift)];
                for eight in row.chunks_mut(8) {
                    // xorshift64: full period, and fast enough for 1080p.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    // Each byte from 48 to 175, in range for luma and chroma.
                    let pixels = (state & 0x7f7f_7f7f_7f7f_7f7f) + 0x3030_3030_3030_3030;
                    eight.copy_from_slice(&pixels.to_le_bytes()[..eight.len()]);
                }
            }
        }
    }

    /// Fills a rectangle, whose place is even, clipped to the picture.
    fn fill(&self, bytes: &mut [u8], x: usize, y: usize, w: usize, h: usize, colour: [u8; 3]) {
        let (right, bottom) =
            ((x + w).min(self.spec.size.width), (y + h).min(self.spec.size.height));
        if x >= right {
            return;
        }
        for (p, plane) in self.planes.iter().enumerate() {
            let shift = usize::from(p > 0);
            for line in y >> shift..bottom >> shift {
                let row = plane.offset + line * plane.stride;
                bytes[row + (x >> shift)..row + (right >> shift)].fill(colour[p]);
            }
        }
    }
}

/// The splitmix64 hash: spreads seeds and numbers over 64 bits.
const fn splitmix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::spec::Size;
    use super::*;

    fn spec(pattern: Pattern, width: usize, height: usize, seed: u64) -> TestSpec {
        TestSpec { size: Size { width, height }, fps: 100.0, pattern, seed }
    }

    #[test]
    fn the_same_seed_gives_the_same_pictures_whatever_was_in_the_buffer() {
        for pattern in [Pattern::Bars, Pattern::Noise, Pattern::Clock, Pattern::Still] {
            for (width, height) in [(320, 180), (642, 362), (1280, 720)] {
                let painter = Painter::new(&spec(pattern, width, height, 3));
                let (mut fresh, mut used) = (painter.background(), painter.background());
                for n in 0..5 {
                    painter.paint(&mut used, n * 7, Nanos(n));
                }
                let crc = painter.paint(&mut used, 77, Nanos(99));
                assert_eq!(painter.paint(&mut fresh, 77, Nanos(99)), crc);
                assert_eq!(fresh, used, "{pattern:?} {width}x{height}");
                assert_eq!(crc, crc32fast::hash(&fresh));
                assert_eq!(
                    read_marks(&fresh, width, width, height),
                    Some(Marks { number: 77, capture: Nanos(99) })
                );
            }
        }
    }

    #[test]
    fn other_seeds_and_numbers_give_other_pictures() {
        let picture = |pattern, seed, number| {
            let painter = Painter::new(&spec(pattern, 320, 180, seed));
            let mut bytes = painter.background();
            painter.paint(&mut bytes, number, Nanos(0));
            bytes
        };
        for pattern in [Pattern::Bars, Pattern::Noise] {
            assert_ne!(picture(pattern, 0, 0), picture(pattern, 1, 0));
        }
        for pattern in [Pattern::Bars, Pattern::Noise, Pattern::Clock] {
            assert_ne!(picture(pattern, 0, 0), picture(pattern, 0, 1));
        }
    }

    #[test]
    fn the_pace_does_not_drift_and_counts_what_it_leaves_out() {
        let mut pace = Pace::new(29.97, Nanos(1000));
        assert_eq!(pace.deadline(29_970), Nanos(1000 + 1_000_000_000_000));
        assert_eq!(pace.take(Nanos(1000)), (0, Nanos(1000)));
        let (number, at) = pace.take(pace.deadline(5).plus(Nanos(1)));
        assert_eq!((number, at, pace.missed), (5, pace.deadline(5), 4));
        // A day later.
        let late = pace.deadline(2_589_408);
        assert_eq!(pace.take(late), (2_589_408, late));
        assert_eq!(pace.missed, 2_589_408 + 1 - 3);
    }

    #[test]
    fn frames_come_on_time_and_buffers_are_lent_and_taken_back() {
        let bell = Bell::new().unwrap();
        let mut camera = open(&spec(Pattern::Bars, 320, 180, 0)).unwrap();
        let mut held = Vec::new();
        while held.len() < BUFFERS as usize {
            if let Shot::Frame(frame) = camera.next(&bell).unwrap() {
                assert!(frame.capture.mono <= now());
                held.push(frame);
            }
        }
        assert!(matches!(camera.next(&bell).unwrap(), Shot::Woken), "no buffer is left");
        assert!(camera.lost() >= 1);
        held.clear();
        assert!(matches!(camera.next(&bell).unwrap(), Shot::Frame(_)));
        bell.ring();
        let mut woken = false;
        for _ in 0..2 {
            woken |= matches!(camera.next(&bell).unwrap(), Shot::Woken);
        }
        assert!(woken);
    }

    #[test]
    fn a_spec_that_nobody_checked_is_refused() {
        assert!(open(&spec(Pattern::Bars, 321, 180, 0)).is_err());
        assert!(open(&TestSpec { fps: 0.0, ..TestSpec::default() }).is_err());
    }
}
