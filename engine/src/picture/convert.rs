//! Every raw layout to I420 (BT.601, limited range), in plain loops that LLVM vectorises.

use super::decode::JpegDecoder;
use super::{Picture, View};
use crate::frame::{Frame, PixelFormat};

/// Gives I420 views of frames, converting those of other layouts, and counts what that touched.
#[derive(Debug, Default)]
pub struct Converter {
    picture: Picture,
    jpeg: JpegDecoder,
    copied: u64,
}

impl Converter {
    /// The frame as I420: in place if it is, else converted into a buffer of ours. A JPEG is
    /// decoded; its view has the size that is in the JPEG.
    ///
    /// # Errors
    /// When the frame's memory is shorter than its size says, or it is no JPEG where it should be.
    pub fn view<'a>(&'a mut self, frame: &'a Frame) -> Result<View<'a>, String> {
        if frame.format == PixelFormat::I420 {
            return View::of_frame(frame).ok_or_else(|| too_short(frame));
        }
        if frame.format == PixelFormat::Mjpeg {
            let jpeg = frame.memory.bytes().get(..frame.used).ok_or_else(|| too_short(frame))?;
            let view = self.jpeg.decode(jpeg)?;
            self.copied += (view.width() * view.height() * 3 / 2) as u64;
            return Ok(view);
        }
        to_i420(frame, &mut self.picture)?;
        self.copied += self.picture.bytes().len() as u64;
        self.picture.view().ok_or_else(|| too_short(frame))
    }

    /// Bytes of pictures that were written here so far.
    pub fn copied_pixel_bytes(&self) -> u64 {
        self.copied
    }
}

fn too_short(frame: &Frame) -> String {
    format!("{frame:?} has only {} bytes of memory", frame.memory.bytes().len())
}

/// Converts a raw frame of any layout and size into `out`, which takes the frame's size. Chroma
/// that a layout has at full height is averaged over two rows (over 2x2 pixels for RGB).
///
/// # Errors
/// When the frame's memory is shorter than its size says, or the layout is a coded one.
pub fn to_i420(frame: &Frame, out: &mut Picture) -> Result<(), String> {
    if frame.format == PixelFormat::Mjpeg {
        return Err("a JPEG picture has to be decoded, not converted".into());
    }
    if frame.width == 0 || (0..frame.format.planes()).any(|p| frame.rows(p).next().is_none()) {
        return Err(too_short(frame));
    }
    out.resize(frame.width, frame.height);
    match frame.format {
        PixelFormat::I420 => {
            let view = View::of_frame(frame).ok_or_else(|| too_short(frame))?;
            out.copy_from(&view);
        }
        PixelFormat::Nv12 => from_semi_planar(frame, out, false),
        PixelFormat::Nv21 => from_semi_planar(frame, out, true),
        PixelFormat::Yuyv => from_packed::<0>(frame, out),
        PixelFormat::Uyvy => from_packed::<1>(frame, out),
        PixelFormat::Grey => {
            copy_luma(frame, out);
            let [_, u, v] = out.planes_mut();
            u.fill(128);
            v.fill(128);
        }
        PixelFormat::Rgb24 => from_rgb::<0>(frame, out),
        PixelFormat::Bgr24 => from_rgb::<2>(frame, out),
        PixelFormat::Mjpeg => {}
    }
    Ok(())
}

fn copy_luma(frame: &Frame, out: &mut Picture) {
    let [luma, _, _] = out.planes_mut();
    for (to, from) in luma.chunks_exact_mut(frame.width).zip(frame.rows(0)) {
        to.copy_from_slice(from);
    }
}

fn from_semi_planar(frame: &Frame, out: &mut Picture, v_first: bool) {
    copy_luma(frame, out);
    let half = frame.width.div_ceil(2);
    let [_, u, v] = out.planes_mut();
    let (first, second) = if v_first { (v, u) } else { (u, v) };
    let rows = first.chunks_exact_mut(half).zip(second.chunks_exact_mut(half));
    for ((a, b), from) in rows.zip(frame.rows(1)) {
        for ((a, b), pair) in a.iter_mut().zip(b).zip(from.chunks_exact(2)) {
            (*a, *b) = (pair[0], pair[1]);
        }
    }
}

/// Takes a YUYV or UYVY frame apart into planes of 4:2:2 without padding.
///
/// # Errors
/// When the frame has another layout or its memory is shorter than its size says.
pub fn split_422(frame: &Frame, planes: &mut [Vec<u8>; 3]) -> Result<(), String> {
    let (width, half) = (frame.width, frame.width.div_ceil(2));
    if frame.width == 0 || frame.rows(0).next().is_none() {
        return Err(too_short(frame));
    }
    let [y, u, v] = planes;
    y.resize(width * frame.height, 0);
    u.resize(half * frame.height, 0);
    v.resize(half * frame.height, 0);
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    for ((y, (u, v)), row) in y.chunks_exact_mut(width).zip(chroma).zip(frame.rows(0)) {
        match frame.format {
            PixelFormat::Yuyv => split_row_422::<0>(row, y, u, v),
            PixelFormat::Uyvy => split_row_422::<1>(row, y, u, v),
            other => return Err(format!("{other} is not a packed 4:2:2 layout")),
        }
    }
    Ok(())
}

fn split_row_422<const LUMA: usize>(row: &[u8], y: &mut [u8], u: &mut [u8], v: &mut [u8]) {
    pick_luma::<LUMA>(row, y);
    for ((u, v), four) in u.iter_mut().zip(v).zip(row.as_chunks::<4>().0) {
        (*u, *v) = (four[1 - LUMA], four[3 - LUMA]);
    }
}

/// YUYV (`LUMA` = 0) or UYVY (`LUMA` = 1).
fn from_packed<const LUMA: usize>(frame: &Frame, out: &mut Picture) {
    let (width, half) = (frame.width, frame.width.div_ceil(2));
    let [luma, u, v] = out.planes_mut();
    let mut rows = frame.rows(0);
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    for (two, (u, v)) in luma.chunks_mut(2 * width).zip(chroma) {
        let Some(upper) = rows.next() else { return };
        let lower = rows.next().unwrap_or(upper);
        let (first, second) = two.split_at_mut(width);
        pick_luma::<LUMA>(upper, first);
        if !second.is_empty() {
            pick_luma::<LUMA>(lower, second);
        }
        let pairs = upper.as_chunks::<4>().0.iter().zip(lower.as_chunks::<4>().0);
        for ((u, v), (a, b)) in u.iter_mut().zip(v).zip(pairs) {
            *u = average(a[1 - LUMA], b[1 - LUMA]);
            *v = average(a[3 - LUMA], b[3 - LUMA]);
        }
    }
}

fn pick_luma<const LUMA: usize>(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from.as_chunks::<2>().0) {
        *to = from[LUMA];
    }
}

const fn average(a: u8, b: u8) -> u8 {
    // Rounded up, as the processor's averaging instruction does.
    ((a as u16 + b as u16 + 1) >> 1) as u8
}

/// RGB (`RED` = 0) or BGR (`RED` = 2), by the usual 8-bit coefficients of BT.601.
fn from_rgb<const RED: usize>(frame: &Frame, out: &mut Picture) {
    let (width, half) = (frame.width, frame.width.div_ceil(2));
    let [luma, u, v] = out.planes_mut();
    let mut rows = frame.rows(0);
    let chroma = u.chunks_exact_mut(half).zip(v.chunks_exact_mut(half));
    for (two, (u, v)) in luma.chunks_mut(2 * width).zip(chroma) {
        let Some(upper) = rows.next() else { return };
        let lower = rows.next().unwrap_or(upper);
        let (first, second) = two.split_at_mut(width);
        rgb_luma::<RED>(upper, first);
        if !second.is_empty() {
            rgb_luma::<RED>(lower, second);
        }
        for (i, (u, v)) in u.iter_mut().zip(v).enumerate() {
            // The last column of an odd width counts twice.
            let (left, right) = (2 * i * 3, (2 * i + 1).min(width - 1) * 3);
            let sum = |c: usize| {
                i32::from(upper[left + c])
                    + i32::from(upper[right + c])
                    + i32::from(lower[left + c])
                    + i32::from(lower[right + c])
            };
            let (r, g, b) = (sum(RED), sum(1), sum(2 - RED));
            // Four pixels: two more bits; 128 << 10 and half a step are added before the shift.
            *u = ((-38 * r - 74 * g + 112 * b + (128 << 10) + 512) >> 10) as u8;
            *v = ((112 * r - 94 * g - 18 * b + (128 << 10) + 512) >> 10) as u8;
        }
    }
}

fn rgb_luma<const RED: usize>(from: &[u8], to: &mut [u8]) {
    for (to, p) in to.iter_mut().zip(from.as_chunks::<3>().0) {
        let (r, g, b) = (u32::from(p[RED]), u32::from(p[1]), u32::from(p[2 - RED]));
        *to = ((66 * r + 129 * g + 25 * b + (16 << 8) + 128) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Plane, packed_planes};
    use lensd_ffi::time::Stamp;
    use std::sync::Arc;

    /// A frame with `pad` bytes behind each row, filled by position.
    fn frame(format: PixelFormat, width: usize, height: usize, pad: usize) -> Frame {
        let mut planes = [Plane::default(); 3];
        let mut size = 0;
        for (i, plane) in planes.iter_mut().enumerate().take(format.planes()) {
            *plane = Plane { offset: size, stride: format.row_bytes(i, width) + pad };
            size += plane.stride * format.rows(i, height);
        }
        let bytes = (0..size).map(|i| (i * 7 % 251) as u8).collect::<Vec<u8>>();
        Frame {
            format,
            width,
            height,
            planes,
            used: size,
            memory: Arc::new(bytes),
            capture: Stamp::default(),
            number: 0,
            crc: None,
        }
    }

    /// Y, U, V of the pixel, straight from the definition of the layout.
    fn sample(frame: &Frame, plane: usize, x: usize, y: usize) -> i32 {
        let at = |p: usize, y: usize, i: usize| {
            i32::from(frame.memory.bytes()[frame.planes[p].offset + y * frame.planes[p].stride + i])
        };
        let last = frame.height - 1;
        let both = |i: usize| (at(0, 2 * y, i) + at(0, (2 * y + 1).min(last), i) + 1) / 2;
        match (frame.format, plane) {
            (PixelFormat::I420, p) => at(p, y, x),
            (PixelFormat::Grey, 0) | (PixelFormat::Nv12 | PixelFormat::Nv21, 0) => at(0, y, x),
            (PixelFormat::Grey, _) => 128,
            (PixelFormat::Nv12, p) => at(1, y, 2 * x + p - 1),
            (PixelFormat::Nv21, p) => at(1, y, 2 * x + 2 - p),
            (PixelFormat::Yuyv, 0) => at(0, y, 2 * x),
            (PixelFormat::Yuyv, p) => both(4 * x + 2 * p - 1),
            (PixelFormat::Uyvy, 0) => at(0, y, 2 * x + 1),
            (PixelFormat::Uyvy, p) => both(4 * x + 2 * p - 2),
            _ => unreachable!(),
        }
    }

    #[test]
    fn layouts_agree_with_their_definitions_at_odd_sizes_and_strides() {
        use PixelFormat::{Grey, I420, Nv12, Nv21, Uyvy, Yuyv};
        let mut out = Picture::default();
        for format in [I420, Nv12, Nv21, Yuyv, Uyvy, Grey] {
            for (width, height) in [(1, 1), (2, 2), (3, 5), (64, 4), (77, 9), (130, 7)] {
                for pad in [0, 13] {
                    let frame = frame(format, width, height, pad);
                    to_i420(&frame, &mut out).unwrap();
                    for (p, plane) in out.planes_mut().into_iter().enumerate() {
                        let row = I420.row_bytes(p, width);
                        for (i, &byte) in plane.iter().enumerate() {
                            let want = sample(&frame, p, i % row, i / row);
                            let at = (p, i % row, i / row);
                            assert_eq!(i32::from(byte), want, "{format} {width}x{height} {at:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rgb_colours_have_the_values_of_bt601() {
        // 75 % and 100 % colours: R, G, B and Y, U, V.
        for (rgb, yuv) in [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [82, 90, 240]),
            ([0, 255, 0], [144, 54, 34]),
            ([0, 0, 255], [41, 240, 110]),
            ([191, 191, 0], [162, 44, 142]),
        ] {
            for (format, order) in
                [(PixelFormat::Rgb24, [0, 1, 2]), (PixelFormat::Bgr24, [2, 1, 0])]
            {
                let mut frame = frame(format, 5, 3, 1);
                let bytes = [order.map(|c: usize| rgb[c]); 17].concat();
                frame.planes[0].stride = 15;
                frame.memory = Arc::new(bytes);
                let mut out = Picture::default();
                to_i420(&frame, &mut out).unwrap();
                let [y, u, v] = out.planes_mut();
                for (plane, want) in [(y, yuv[0]), (u, yuv[1]), (v, yuv[2])] {
                    assert!(plane.iter().all(|&p| p.abs_diff(want) <= 1), "{rgb:?} {plane:?}");
                }
            }
        }
    }

    #[test]
    fn frames_that_lie_are_refused() {
        let mut converter = Converter::default();
        for format in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv, PixelFormat::Rgb24]
        {
            let mut lying = frame(format, 16, 16, 0);
            assert!(converter.view(&lying).is_ok());
            lying.height = 18;
            assert!(converter.view(&lying).is_err(), "{format}");
            lying.height = 0;
            assert!(converter.view(&lying).is_err(), "{format}");
        }
        let (_, size) = packed_planes(PixelFormat::Nv12, 16, 16);
        assert_eq!(converter.copied_pixel_bytes(), 3 * size as u64);
        assert!(converter.view(&frame(PixelFormat::Mjpeg, 16, 16, 0)).is_err());
    }
}
