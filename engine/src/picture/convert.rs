//! Every raw layout to I420. YCbCr keeps its matrix and range; RGB and raw sensors become BT.601 of
//! limited range ([`Colour::OURS`](crate::frame::Colour::OURS)).
//!
//! The packed layouts are the library's work (yuv: SSE, AVX2 and NEON, chosen while running).

use super::decode::JpegDecoder;
use super::scale::{PlaneView, halve_rows};
use super::{Canvas, Picture, View, bayer};
use crate::frame::{Frame, PixelFormat};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvError, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

/// Rows that are gone through at a time where something lies in between: that stays in the cache.
const BAND_ROWS: usize = 16;

/// Gives I420 views of frames, converting those of other layouts, and counts what that touched.
#[derive(Debug, Default)]
pub struct Converter {
    picture: Picture,
    rows: Rows,
    jpeg: JpegDecoder,
    copied: u64,
}

/// Memory that converting some rows needs, kept for the next.
#[derive(Debug, Default)]
pub struct Rows {
    /// Packed rows whose last one the driver has cut short.
    packed: Vec<u8>,
    /// U and V of 4:2:2.
    chroma: [Vec<u8>; 2],
    rgb: Vec<u8>,
    samples: Vec<u8>,
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
        check(frame)?;
        self.picture.resize(frame.width, frame.height);
        let canvas = self.picture.canvas().ok_or_else(|| too_short(frame))?;
        rows_to_i420(frame, 0, &mut self.rows, canvas)?;
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

/// Whether the frame's memory holds what its size says.
///
/// # Errors
/// When not, or when the layout is a coded one.
pub fn check(frame: &Frame) -> Result<(), String> {
    if frame.format == PixelFormat::Mjpeg {
        return Err("a JPEG picture has to be decoded, not converted".into());
    }
    if frame.width == 0 || (0..frame.format.planes()).any(|p| frame.rows(p).next().is_none()) {
        return Err(too_short(frame));
    }
    Ok(())
}

/// Converts as many rows of a raw frame as `to` has, from row `first` on, which is even. Chroma that
/// a layout has at full height is averaged over two rows (over 2x2 pixels for RGB).
///
/// # Errors
/// When the frame's memory is shorter than its size says, `to` is wider or has more rows than there
/// are, or the layout is a coded one.
pub fn rows_to_i420(
    frame: &Frame,
    first: usize,
    rows: &mut Rows,
    mut to: Canvas<'_>,
) -> Result<(), String> {
    check(frame)?;
    if to.width() != frame.width || first % 2 == 1 || first + to.height() > frame.height {
        return Err(format!("{frame:?} has no such {} rows from {first} on", to.height()));
    }
    match frame.format {
        PixelFormat::I420 => {
            for plane in 0..3 {
                let from = frame.rows(plane).skip(if plane == 0 { first } else { first / 2 });
                to.rows_mut(plane).zip(from).for_each(|(to, from)| to.copy_from_slice(from));
            }
        }
        PixelFormat::Nv12 => from_semi_planar(frame, first, &mut to, false),
        PixelFormat::Nv21 => from_semi_planar(frame, first, &mut to, true),
        PixelFormat::Yuyv | PixelFormat::Uyvy => packed(frame, first, rows, to)?,
        PixelFormat::Grey => {
            to.rows_mut(0).zip(frame.rows(0).skip(first)).for_each(|(to, from)| {
                to.copy_from_slice(from);
            });
            no_chroma(&mut to);
        }
        PixelFormat::GreyDeep(depth) => {
            for (to, from) in to.rows_mut(0).zip(frame.rows(0).skip(first)) {
                bayer::narrow(from, depth, to);
            }
            no_chroma(&mut to);
        }
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => {
            let plane = frame.planes[0];
            let from = &frame.memory.bytes()[plane.offset + first * plane.stride..];
            rgb(from, plane.stride, frame.format == PixelFormat::Bgr24, to)?;
        }
        PixelFormat::Bayer(order, depth) => {
            let Rows { rgb: scratch, samples, .. } = rows;
            let stride = frame.width * 3;
            scratch.resize(BAND_ROWS * stride, 0);
            for at in (0..to.height()).step_by(BAND_ROWS) {
                let count = BAND_ROWS.min(to.height() - at);
                let colours = &mut scratch[..count * stride];
                bayer::to_rgb(frame, order, depth, first + at, samples, colours)?;
                rgb(colours, stride, false, to.band(at, count).ok_or("no such rows")?)?;
            }
        }
        PixelFormat::Mjpeg => {}
    }
    Ok(())
}

/// A canvas as the library wants it.
fn planar(to: Canvas<'_>) -> Result<YuvPlanarImageMut<'_, u8>, String> {
    let side = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
    let (width, height) = (side(to.width())?, side(to.height())?);
    let strides = to.strides();
    let [y, u, v] = to.into_planes();
    Ok(YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: side(strides[0])?,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: side(strides[1])?,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: side(strides[2])?,
        width,
        height,
    })
}

/// Luma goes where it belongs; chroma, once it is taken apart, is averaged over two rows on its way.
fn packed(frame: &Frame, first: usize, rows: &mut Rows, mut to: Canvas<'_>) -> Result<(), String> {
    let Rows { packed, chroma, .. } = rows;
    let (plane, half) = (frame.planes[0], frame.width.div_ceil(2));
    chroma.iter_mut().for_each(|c| c.resize(BAND_ROWS * half, 0));
    let side = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
    for at in (0..to.height()).step_by(BAND_ROWS) {
        let count = BAND_ROWS.min(to.height() - at);
        let start = plane.offset + (first + at) * plane.stride;
        let (from, stride) = match frame.memory.bytes().get(start..start + count * plane.stride) {
            Some(from) => (from, plane.stride),
            None => {
                // The last row is without its padding.
                packed.clear();
                let cut = frame.rows(0).skip(first + at).take(count);
                cut.for_each(|row| packed.extend_from_slice(row));
                (&packed[..], frame.format.row_bytes(0, frame.width))
            }
        };
        let band = to.band(at, count).ok_or("no such rows")?;
        let strides = band.strides();
        let [y, to_u, to_v] = band.into_planes();
        let [u, v] = chroma;
        let (width, height) = (side(frame.width)?, side(count)?);
        let mut apart = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Borrowed(y),
            y_stride: side(strides[0])?,
            u_plane: BufferStoreMut::Borrowed(u),
            u_stride: side(half)?,
            v_plane: BufferStoreMut::Borrowed(v),
            v_stride: side(half)?,
            width,
            height,
        };
        let from = YuvPackedImage { yuy: from, yuy_stride: side(stride)?, width, height };
        let done = match frame.format {
            PixelFormat::Yuyv => yuv::yuyv422_to_yuv422(&mut apart, &from),
            _ => yuv::uyvy422_to_yuv422(&mut apart, &from),
        };
        done.map_err(|e| failed(&e))?;
        for (bytes, (to, stride)) in [(&*u, (to_u, strides[1])), (&*v, (to_v, strides[2]))] {
            let from = PlaneView { bytes, stride: half, width: half, height: count };
            halve_rows(&from, to, stride);
        }
    }
    Ok(())
}

fn rgb(from: &[u8], stride: usize, bgr: bool, to: Canvas<'_>) -> Result<(), String> {
    let convert = if bgr { yuv::bgr_to_yuv420 } else { yuv::rgb_to_yuv420 };
    let stride = u32::try_from(stride).map_err(|e| e.to_string())?;
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    convert(&mut planar(to)?, from, stride, range, matrix, YuvConversionMode::Balanced)
        .map_err(|e| failed(&e))
}

fn failed(error: &YuvError) -> String {
    format!("cannot convert a picture: {error}")
}

fn no_chroma(to: &mut Canvas<'_>) {
    for plane in 1..3 {
        to.rows_mut(plane).for_each(|row| row.fill(128));
    }
}

fn from_semi_planar(frame: &Frame, first: usize, to: &mut Canvas<'_>, v_first: bool) {
    to.rows_mut(0).zip(frame.rows(0).skip(first)).for_each(|(to, from)| to.copy_from_slice(from));
    for (row, from) in frame.rows(1).skip(first / 2).take(to.height().div_ceil(2)).enumerate() {
        let (u, v) = to.chroma_row(row);
        let (a, b) = if v_first { (v, u) } else { (u, v) };
        for ((a, b), pair) in a.iter_mut().zip(b).zip(from.as_chunks::<2>().0) {
            [*a, *b] = *pair;
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
    for (to, from) in y.iter_mut().zip(row.as_chunks::<2>().0) {
        *to = from[LUMA];
    }
    for ((u, v), four) in u.iter_mut().zip(v).zip(row.as_chunks::<4>().0) {
        (*u, *v) = (four[1 - LUMA], four[3 - LUMA]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Bayer, Colour, Depth, Plane, packed_planes};
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
            colour: Colour::default(),
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
        let mut out = Converter::default();
        for format in [I420, Nv12, Nv21, Yuyv, Uyvy, Grey] {
            for (width, height) in [(1, 1), (2, 2), (3, 5), (64, 4), (77, 9), (130, 7)] {
                for pad in [0, 13] {
                    let frame = frame(format, width, height, pad);
                    let view = out.view(&frame).unwrap();
                    for (p, y) in
                        (0..3).flat_map(|p| (0..I420.rows(p, height)).map(move |y| (p, y)))
                    {
                        for (x, &byte) in view.row(p, y).iter().enumerate() {
                            let want = sample(&frame, p, x, y);
                            let at = (p, x, y);
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
                let mut out = Converter::default();
                let view = out.view(&frame).unwrap();
                for (p, want) in yuv.into_iter().enumerate() {
                    let row = view.row(p, 0);
                    assert!(row.iter().all(|&b| u8::abs_diff(b, want) <= 1), "{rgb:?} {row:?}");
                }
            }
        }
    }

    #[test]
    fn rows_in_bands_are_those_of_the_whole() {
        use PixelFormat::{Bgr24, Grey, I420, Nv12, Nv21, Rgb24, Uyvy, Yuyv};
        let deep = [
            PixelFormat::GreyDeep(Depth::Twelve),
            PixelFormat::Bayer(Bayer::Grbg, Depth::Eight),
            PixelFormat::Bayer(Bayer::Bggr, Depth::Sixteen),
        ];
        let all = [I420, Nv12, Nv21, Yuyv, Uyvy, Grey, Rgb24, Bgr24].into_iter().chain(deep);
        for format in all {
            let (width, height) = (34, 21);
            let frame = frame(format, width, height, 4);
            let mut whole = Converter::default();
            let whole = whole.view(&frame).unwrap();
            let mut rows = Rows::default();
            for (first, count) in [(0, 2), (4, 16), (20, 1), (2, 19)] {
                let mut band = Picture::default();
                band.resize(width, count);
                rows_to_i420(&frame, first, &mut rows, band.canvas().unwrap()).unwrap();
                let view = band.view().unwrap();
                for (y, shift) in (0..count).map(|y| (y, 0)).chain((0..count / 2).map(|y| (y, 1))) {
                    for p in if shift == 0 { 0..1 } else { 1..3 } {
                        let want = whole.row(p, (first >> shift) + y);
                        assert_eq!(view.row(p, y), want, "{format} {first} {count} {p} {y}");
                    }
                }
            }
            let mut band = Picture::default();
            band.resize(width, 4);
            assert!(rows_to_i420(&frame, 18, &mut rows, band.canvas().unwrap()).is_err());
            assert!(rows_to_i420(&frame, 1, &mut rows, band.canvas().unwrap()).is_err());
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
