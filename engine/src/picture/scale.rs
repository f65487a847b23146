//! Scaling of I420 pictures, above all down to the size of a sub stream.
//!
//! Each pixel becomes the mean of the area that it covers in the source. Exactly 2:1 has a fast
//! path. Scaling up works too, and then shows the source's pixels as blocks with soft edges.

use super::{Picture, View};

/// Scales pictures into a buffer of its own.
#[derive(Debug, Default)]
pub struct Scaler {
    picture: Picture,
    plane: PlaneScaler,
    copied: u64,
}

impl Scaler {
    /// The picture at `width` x `height` pixels, both even; the picture itself if it has that size.
    ///
    /// # Errors
    /// When the target size is odd, zero, or above 8192.
    pub fn scale<'a>(
        &'a mut self,
        view: View<'a>,
        width: usize,
        height: usize,
    ) -> Result<View<'a>, String> {
        if (view.width(), view.height()) == (width, height) {
            return Ok(view);
        }
        let sound = |n: usize| (2..=8192).contains(&n) && n.is_multiple_of(2);
        if !sound(width) || !sound(height) {
            return Err(format!("cannot scale to {width}x{height}: sides must be even, to 8192"));
        }
        self.picture.resize(width, height);
        for (p, to) in self.picture.planes_mut().into_iter().enumerate() {
            let shift = usize::from(p > 0);
            let from = PlaneView {
                bytes: view.planes()[p],
                stride: view.strides()[p],
                width: view.width().div_ceil(1 << shift),
                height: view.height().div_ceil(1 << shift),
            };
            self.plane.scale(&from, to, width >> shift, height >> shift);
        }
        self.copied += self.picture.bytes().len() as u64;
        self.picture.view().ok_or_else(|| "a scaled picture has a size".into())
    }

    /// Bytes of pictures that were written here so far.
    pub fn copied_pixel_bytes(&self) -> u64 {
        self.copied
    }
}

/// One plane of 8-bit samples: `height` rows of `width` bytes, `stride` bytes apart.
pub(super) struct PlaneView<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl<'a> PlaneView<'a> {
    fn row(&self, y: usize) -> &'a [u8] {
        let from = y * self.stride;
        &self.bytes[from..from + self.width]
    }
}

/// Scales planes; keeps the tables and the row that it needs.
#[derive(Debug, Default)]
pub(super) struct PlaneScaler {
    across: Spans,
    down: Spans,
    /// A row of sums over source rows, each 256 times a sample.
    sums: Vec<u16>,
}

impl PlaneScaler {
    /// Scales `from` to `width` x `height` samples without padding.
    pub(super) fn scale(
        &mut self,
        from: &PlaneView<'_>,
        to: &mut [u8],
        width: usize,
        height: usize,
    ) {
        if from.width == 2 * width && from.height == 2 * height {
            return halve(from, to, width);
        }
        self.across.prepare(from.width, width);
        self.down.prepare(from.height, height);
        self.sums.resize(from.width, 0);
        for (y, to) in to.chunks_exact_mut(width).enumerate() {
            let (first, weights) = self.down.of(y);
            self.sums.fill(0);
            for (i, &weight) in weights.iter().enumerate() {
                // The weights of a span add up to 256: 255 * 256 fits.
                for (sum, &sample) in self.sums.iter_mut().zip(from.row(first + i)) {
                    *sum += u16::from(sample) * weight;
                }
            }
            if from.width == width {
                for (to, &sum) in to.iter_mut().zip(&self.sums) {
                    *to = ((u32::from(sum) + 128) >> 8) as u8;
                }
                continue;
            }
            for (x, to) in to.iter_mut().enumerate() {
                let (first, weights) = self.across.of(x);
                let sums = &self.sums[first..first + weights.len()];
                let sum: u32 =
                    sums.iter().zip(weights).map(|(&s, &w)| u32::from(s) * u32::from(w)).sum();
                *to = ((sum + (1 << 15)) >> 16) as u8;
            }
        }
    }
}

/// 2:1 both ways: the mean of four.
fn halve(from: &PlaneView<'_>, to: &mut [u8], width: usize) {
    for (y, to) in to.chunks_exact_mut(width).enumerate() {
        let (upper, lower) = (from.row(2 * y).as_chunks::<2>().0, from.row(2 * y + 1));
        for (to, (a, b)) in to.iter_mut().zip(upper.iter().zip(lower.as_chunks::<2>().0)) {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *to = ((sum + 2) >> 2) as u8;
        }
    }
}

/// For each sample of the target: the first source sample that it covers, and the weights of that
/// and the following ones, which add up to 256.
#[derive(Debug, Default)]
struct Spans {
    size: (usize, usize),
    firsts: Vec<(usize, usize)>,
    weights: Vec<u16>,
}

impl Spans {
    fn prepare(&mut self, source: usize, target: usize) {
        if self.size == (source, target) {
            return;
        }
        self.size = (source, target);
        self.firsts.clear();
        self.weights.clear();
        // Positions in units of 1 / target of a source sample: exact.
        for i in 0..target {
            let (from, to) = (i * source, (i + 1) * source);
            let first = from / target;
            self.firsts.push((first, self.weights.len()));
            let share = |at: usize| ((at - from) * 256 + source / 2) / source;
            for sample in first..to.div_ceil(target) {
                let (left, right) = ((sample * target).max(from), ((sample + 1) * target).min(to));
                // Differences of rounded sums: no error is left at the end.
                self.weights.push((share(right) - share(left)) as u16);
            }
        }
        self.firsts.push((source, self.weights.len()));
    }

    fn of(&self, i: usize) -> (usize, &[u16]) {
        let (first, from) = self.firsts[i];
        (first, &self.weights[from..self.firsts[i + 1].1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::marks::read_marks;
    use crate::camera::pattern;
    use crate::camera::spec::{Size, TestSpec};
    use crate::camera::{Camera, Shot};
    use lensd_ffi::bell::Bell;

    fn picture(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> Picture {
        let mut picture = Picture::default();
        picture.resize(width, height);
        for (p, plane) in picture.planes_mut().into_iter().enumerate() {
            let row = width.div_ceil(if p == 0 { 1 } else { 2 });
            for (i, byte) in plane.iter_mut().enumerate() {
                *byte = value(i % row, i / row);
            }
        }
        picture
    }

    #[test]
    fn weights_of_every_span_add_up() {
        let mut spans = Spans::default();
        for (source, target) in [(1280, 640), (1920, 854), (7, 2), (2, 8), (8192, 16), (5, 5)] {
            spans.prepare(source, target);
            for i in 0..target {
                let (first, weights) = spans.of(i);
                assert_eq!(weights.iter().map(|&w| u32::from(w)).sum::<u32>(), 256);
                assert!(first + weights.len() <= source, "{source} to {target}: {i}");
            }
        }
    }

    #[test]
    fn a_flat_picture_stays_flat_and_a_ramp_a_ramp() {
        let mut scaler = Scaler::default();
        for (width, height) in [(160, 90), (320, 180), (214, 120), (100, 100), (640, 400)] {
            for value in [0, 16, 128, 255] {
                let flat = picture(321, 181, |_, _| value);
                let scaled = scaler.scale(flat.view().unwrap(), width, height).unwrap();
                for y in 0..height {
                    assert!(scaled.row(0, y).iter().all(|&b| b == value));
                    assert!(scaled.row(2, y / 2).iter().all(|&b| b == value));
                }
            }
            let ramp = picture(256, 256, |x, _| x as u8);
            let scaled = scaler.scale(ramp.view().unwrap(), width, height).unwrap();
            for (x, &byte) in scaled.row(0, 7).iter().enumerate() {
                let want = (x as f64 + 0.5) * 256.0 / width as f64 - 0.5;
                assert!((f64::from(byte) - want).abs() <= 1.0, "{width}: {x} {byte} {want}");
            }
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_general_one() {
        let source = picture(64, 32, |x, y| (x * x + 31 * y * y) as u8);
        let view = source.view().unwrap();
        let mut fast = Scaler::default();
        let fast = fast.scale(view, 32, 16).unwrap();
        for (y, row) in (0..16).map(|y| (y, fast.row(0, y))) {
            for (x, &byte) in row.iter().enumerate() {
                let at = |dx: usize, dy: usize| u32::from(view.row(0, 2 * y + dy)[2 * x + dx]);
                let sum = at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1);
                assert_eq!(u32::from(byte), (sum + 2) / 4);
            }
        }
    }

    #[test]
    fn marks_are_read_from_scaled_pictures() {
        let size = Size { width: 1280, height: 720 };
        let spec = TestSpec { size, ..TestSpec::default() };
        let mut camera = pattern::open(&spec).unwrap();
        let bell = Bell::new().unwrap();
        let Shot::Frame(frame) = camera.next(&bell).unwrap() else { panic!("a frame is due") };
        let mut scaler = Scaler::default();
        for (width, height) in [(1280, 720), (640, 360), (426, 240), (320, 180), (854, 480)] {
            let view = View::of_frame(&frame).unwrap();
            let scaled = scaler.scale(view, width, height).unwrap();
            let marks = read_marks(scaled.planes()[0], scaled.strides()[0], width, height);
            assert_eq!(marks.map(|m| m.capture), Some(frame.capture.mono), "{width}x{height}");
        }
        assert!(scaler.scale(View::of_frame(&frame).unwrap(), 641, 360).is_err());
        assert!(scaler.scale(View::of_frame(&frame).unwrap(), 0, 0).is_err());
    }
}
