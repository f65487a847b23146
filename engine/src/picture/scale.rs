//! Scaling of I420 pictures: down to the size of a sub stream, up for digital zoom.
//!
//! Exactly 2:1, the usual case, is done here; all else is the library's work (fast_image_resize:
//! SSE4.1, AVX2 and NEON, chosen while running): the mean of the covered area downwards, bilinear
//! upwards.

use super::{Canvas, View};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

/// A part of a picture, in pixels from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Area {
    /// All of a picture.
    pub fn of(view: &View<'_>) -> Self {
        Self::whole(view.width(), view.height())
    }

    /// All of a picture of this size.
    pub fn whole(width: usize, height: usize) -> Self {
        Self { x: 0.0, y: 0.0, width: width as f64, height: height as f64 }
    }

    /// As much of it as lies within a picture of this size.
    fn within(self, width: usize, height: usize) -> Self {
        let (width, height) = (width as f64, height as f64);
        let (x, y) = (self.x.clamp(0.0, width), self.y.clamp(0.0, height));
        Self { x, y, width: self.width.min(width - x), height: self.height.min(height - y) }
    }
}

/// Scales pictures, with tables kept from one to the next.
#[derive(Debug, Default)]
pub struct Scaler {
    resizer: Resizer,
    copied: u64,
}

impl Scaler {
    /// Draws `area` of a picture on all of `to`, whose rows have no padding.
    ///
    /// # Errors
    /// When the area is not within the picture, or empty.
    pub fn scale(&mut self, view: &View<'_>, area: Area, mut to: Canvas<'_>) -> Result<(), String> {
        let whole = area == Area::of(view);
        let halved = whole && (view.width(), view.height()) == (2 * to.width(), 2 * to.height());
        let sizes: [_; 3] = std::array::from_fn(|p| to.plane_size(p));
        for (p, (width, height)) in sizes.into_iter().enumerate() {
            let from = PlaneView::of(view, p);
            let Some(to) = to.packed_plane(p) else {
                return Err("a scaled picture cannot have padded rows".into());
            };
            if halved && (from.width, from.height) == (2 * width, 2 * height) {
                halve(&from, to, width);
                continue;
            }
            let share = if p == 0 { 1.0 } else { 2.0 };
            let part = Area {
                x: area.x / share,
                y: area.y / share,
                width: area.width / share,
                height: area.height / share,
            };
            self.plane(&from, part, to, (width, height))?;
        }
        self.copied += sizes.iter().map(|(w, h)| (w * h) as u64).sum::<u64>();
        Ok(())
    }

    /// Scales `area` of one plane to `size`, without padding.
    pub(super) fn plane(
        &mut self,
        from: &PlaneView<'_>,
        area: Area,
        to: &mut [u8],
        size: (usize, usize),
    ) -> Result<(), String> {
        let side = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
        let failed = |e: &dyn std::fmt::Display| format!("cannot scale a picture: {e}");
        // The source is an image as wide as its stride, of which a part is used.
        let mut padded = Vec::new();
        let length = from.stride * from.height;
        let bytes = from.bytes.get(..length).unwrap_or_else(|| {
            // The last row is without its padding.
            padded.extend_from_slice(from.bytes);
            padded.resize(length, 0);
            &padded
        });
        let source = ImageRef::new(side(from.stride)?, side(from.height)?, bytes, PixelType::U8)
            .map_err(|e| failed(&e))?;
        let (width, height) = (side(size.0)?, side(size.1)?);
        let to = to.get_mut(..size.0 * size.1).ok_or_else(|| failed(&"too small a place"))?;
        let mut image =
            Image::from_slice_u8(width, height, to, PixelType::U8).map_err(|e| failed(&e))?;
        // Half an odd side is less than its chroma has, and rounding may be more than there is.
        let area = area.within(from.width, from.height);
        if area.width <= 0.0 || area.height <= 0.0 {
            return Err(failed(&"nothing of it is within the part that is wanted"));
        }
        let down = f64::from(width) <= area.width && f64::from(height) <= area.height;
        let filter = if down { FilterType::Box } else { FilterType::Bilinear };
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(filter))
            .crop(area.x, area.y, area.width, area.height)
            .use_alpha(false);
        self.resizer.resize(&source, &mut image, &options).map_err(|e| failed(&e))
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
    fn of(view: &View<'a>, plane: usize) -> Self {
        let shift = usize::from(plane > 0);
        Self {
            bytes: view.planes()[plane],
            stride: view.strides()[plane],
            width: view.width().div_ceil(1 << shift),
            height: view.height().div_ceil(1 << shift),
        }
    }

    fn row(&self, y: usize) -> &'a [u8] {
        let from = y * self.stride;
        &self.bytes[from..from + self.width]
    }
}

/// Means of 2x2 samples, in loops that LLVM vectorises.
fn halve(from: &PlaneView<'_>, to: &mut [u8], width: usize) {
    for (y, to) in to.chunks_exact_mut(width).enumerate() {
        let (upper, lower) = (from.row(2 * y).as_chunks::<2>().0, from.row(2 * y + 1));
        for (to, (a, b)) in to.iter_mut().zip(upper.iter().zip(lower.as_chunks::<2>().0)) {
            let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
            *to = ((sum + 2) >> 2) as u8;
        }
    }
}

/// Means of two rows each; an odd last one stays as it is. For chroma of 4:2:2.
pub(super) fn halve_rows(from: &PlaneView<'_>, to: &mut [u8], stride: usize) {
    // The last row may be without its padding.
    for (y, to) in to.chunks_mut(stride).take(from.height.div_ceil(2)).enumerate() {
        let upper = from.row((2 * y).min(from.height - 1));
        let lower = from.row((2 * y + 1).min(from.height - 1));
        for (to, (a, b)) in to.iter_mut().zip(upper.iter().zip(lower)) {
            *to = ((u16::from(*a) + u16::from(*b) + 1) >> 1) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::marks::read_marks;
    use crate::camera::pattern;
    use crate::camera::spec::{Size, TestSpec};
    use crate::camera::{Camera, Shot};
    use crate::picture::Picture;
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

    fn scaled(scaler: &mut Scaler, view: View<'_>, width: usize, height: usize) -> Picture {
        let mut out = Picture::default();
        out.resize(width, height);
        scaler.scale(&view, Area::of(&view), out.canvas().unwrap()).unwrap();
        out
    }

    #[test]
    fn a_flat_picture_stays_flat_and_a_ramp_a_ramp() {
        let mut scaler = Scaler::default();
        for (width, height) in [(160, 90), (320, 180), (214, 120), (100, 100), (640, 400)] {
            for value in [0, 16, 128, 255] {
                let flat = picture(321, 181, |_, _| value);
                let scaled = scaled(&mut scaler, flat.view().unwrap(), width, height);
                let scaled = scaled.view().unwrap();
                for y in 0..height {
                    assert!(scaled.row(0, y).iter().all(|&b| b == value));
                    assert!(scaled.row(2, y / 2).iter().all(|&b| b == value));
                }
            }
            let ramp = picture(256, 256, |x, _| x as u8);
            let scaled = scaled(&mut scaler, ramp.view().unwrap(), width, height);
            let scaled = scaled.view().unwrap();
            for (x, &byte) in scaled.row(0, 7).iter().enumerate() {
                let want = (x as f64 + 0.5) * 256.0 / width as f64 - 0.5;
                // Upwards, the outermost source sample's half is even.
                let want = want.clamp(0.0, 255.0);
                assert!((f64::from(byte) - want).abs() <= 1.0, "{width}: {x} {byte} {want}");
            }
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_general_one() {
        let source = picture(64, 32, |x, y| (x * x + 31 * y * y) as u8);
        let view = source.view().unwrap();
        let mut fast = Scaler::default();
        let fast = scaled(&mut fast, view, 32, 16);
        let fast = fast.view().unwrap();
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
            let scaled = scaled(&mut scaler, view, width, height);
            let scaled = scaled.view().unwrap();
            let marks = read_marks(scaled.planes()[0], scaled.strides()[0], width, height);
            assert_eq!(marks.map(|m| m.capture), Some(frame.capture.mono), "{width}x{height}");
        }
    }

    #[test]
    fn a_part_is_shown_whole() {
        let source = picture(64, 64, |x, y| if x >= 32 && y >= 32 { 200 } else { 50 });
        let view = source.view().unwrap();
        let mut scaler = Scaler::default();
        let mut out = Picture::default();
        out.resize(64, 64);
        let area = Area { x: 34.0, y: 34.0, width: 20.0, height: 20.0 };
        scaler.scale(&view, area, out.canvas().unwrap()).unwrap();
        assert!(out.bytes()[..64 * 64].iter().all(|&b| b == 200));
        let outside = Area { x: 64.0, ..area };
        assert!(scaler.scale(&view, outside, out.canvas().unwrap()).is_err());
        assert_eq!(scaler.copied_pixel_bytes(), 64 * 96);
    }
}
