//! What the settings want done to a picture before it is encoded: cut-out, turn, inset, overlay.
//!
//! Each pixel of the result is written once, whatever the source's layout: a turned picture is
//! converted in bands that stay in the cache and are put where they belong. Only zoom of a layout
//! that is not I420, and what lies over the picture, writes some pixels twice.

pub mod overlay;
mod place;

use super::convert::{Converter, Rows, rows_to_i420};
use super::decode::JpegDecoder;
use super::pool::Pool;
use super::scale::{Area, Scaler};
use super::{Canvas, Picture, View};
use crate::finish::{Corner, Finish, Inset};
use crate::frame::{Colour, Frame, PixelFormat};
pub use overlay::write_time;

use overlay::Painter;
use place::Move;

/// Rows that are converted at a time before they are put elsewhere.
const BAND: usize = 16;
/// How much smaller the other camera's picture is in a corner.
const INSET: usize = 4;

/// The stage. Its memory is kept from one picture to the next.
#[derive(Debug, Default)]
pub struct Finisher {
    pool: Pool,
    rows: Rows,
    band: Picture,
    converter: Converter,
    decoder: JpegDecoder,
    scaler: Scaler,
    small: Picture,
    painter: Painter,
    copied: u64,
}

impl Finisher {
    /// The frame as I420 in memory of ours, for encoders that take nothing else.
    ///
    /// # Errors
    /// When the frame's memory is shorter than its size says, or readers hold every picture.
    pub fn convert(&mut self, frame: &Frame) -> Result<Frame, String> {
        let Self { pool, rows, .. } = self;
        let made = pool.draw(frame, (frame.width, frame.height), |canvas| {
            rows_to_i420(frame, 0, rows, canvas)
        })?;
        self.copied += made.used as u64;
        Ok(made)
    }

    /// A JPEG as I420 of full range, straight into the memory that the encoder reads.
    ///
    /// # Errors
    /// When it is no JPEG that cameras make, or readers hold every picture.
    pub fn decode(&mut self, frame: &Frame) -> Result<Frame, String> {
        let bytes = frame.memory.bytes();
        let jpeg = &bytes[..frame.used.min(bytes.len())];
        let Self { pool, decoder, .. } = self;
        let mut made = None;
        let (width, height) = decoder.decode_to(jpeg, |width, height, decode| {
            made = Some(pool.draw(frame, (width, height), decode)?);
            Ok(())
        })?;
        let made = made.ok_or("a JPEG without a picture")?;
        self.copied += made.used as u64;
        Ok(Frame { width, height, colour: Colour::JPEG, ..made })
    }

    /// Does what is wished. `other`: the other camera's newest picture.
    ///
    /// # Errors
    /// When the frame's memory is shorter than its size says, or readers hold every picture.
    pub fn make(
        &mut self,
        frame: &Frame,
        wish: &Finish,
        other: Option<&Frame>,
    ) -> Result<Frame, String> {
        let moved = Move::of(wish);
        // Half a chroma sample cannot be turned.
        let source = (frame.width & !1, frame.height & !1);
        let size = if moved.transposes { (source.1, source.0) } else { source };
        let (capture, painter) = (frame.capture, &mut self.painter);
        painter.prepare(&wish.overlay, size.1);
        let mut pool = std::mem::take(&mut self.pool);
        let made = pool.draw(frame, size, |mut canvas| {
            self.draw(frame, source, wish, &moved, &mut canvas)?;
            // A broken picture of the other camera costs this one nothing.
            let _ = self.inset(wish.inset, other, frame.colour, &mut canvas);
            self.painter.paint(capture, frame.colour, &mut canvas);
            Ok(())
        });
        self.pool = pool;
        // What the encoder sees is not what the camera's checksum is of.
        made.map(|made| Frame { crc: None, ..made })
    }

    fn draw(
        &mut self,
        frame: &Frame,
        source: (usize, usize),
        wish: &Finish,
        moved: &Move,
        canvas: &mut Canvas<'_>,
    ) -> Result<(), String> {
        let pixels = (canvas.width() * canvas.height() * 3 / 2) as u64;
        self.copied += pixels;
        let (width, height) = source;
        if wish.zooms() {
            return self.zoom(frame, source, wish, moved, canvas);
        }
        if (width, height) == (frame.width, frame.height) && moved.is_none() {
            let whole = canvas.band(0, height).ok_or("no rows")?;
            return rows_to_i420(frame, 0, &mut self.rows, whole);
        }
        moved.clear(frame.colour, canvas);
        if let Some(view) = View::of_frame(frame) {
            moved.place(&view.even(), 0, source, canvas);
            return Ok(());
        }
        for first in (0..height).step_by(BAND) {
            let count = BAND.min(height - first);
            self.band.resize(frame.width, count);
            let band = self.band.canvas().ok_or("no rows")?;
            rows_to_i420(frame, first, &mut self.rows, band)?;
            let band = self.band.view().ok_or("no rows")?;
            moved.place(&band.even(), first, source, canvas);
        }
        Ok(())
    }

    fn zoom(
        &mut self,
        frame: &Frame,
        (width, height): (usize, usize),
        wish: &Finish,
        moved: &Move,
        canvas: &mut Canvas<'_>,
    ) -> Result<(), String> {
        let before = self.converter.copied_pixel_bytes();
        let view = self.converter.view(frame)?.even();
        let part = |side: usize, towards: f64, offset: i32| {
            let side = side as f64;
            let shown = side / wish.zoom.clamp(1.0, 16.0);
            let from = (side - shown) * (towards.clamp(-1.0, 1.0) + 1.0) / 2.0 - f64::from(offset);
            (from.clamp(0.0, side - shown), shown)
        };
        let (x, across) = part(width, wish.pan, wish.offset.0);
        let (y, down) = part(height, -wish.tilt, wish.offset.1);
        let area = Area { x, y, width: across, height: down };
        if moved.is_turn() {
            self.small.resize(width, height);
            self.scaler.scale(&view, area, self.small.canvas().ok_or("no size")?)?;
            let view = self.small.view().ok_or("no size")?;
            Move { offset: (0, 0), ..*moved }.place(&view, 0, (width, height), canvas);
            self.copied += self.small.bytes().len() as u64;
        } else {
            let whole = canvas.band(0, height).ok_or("no rows")?;
            self.scaler.scale(&view, area, whole)?;
        }
        self.copied += self.converter.copied_pixel_bytes() - before;
        Ok(())
    }

    /// Shows the other camera's picture, as far as there is one.
    fn inset(
        &mut self,
        inset: Inset,
        other: Option<&Frame>,
        colour: Colour,
        canvas: &mut Canvas<'_>,
    ) -> Result<(), String> {
        let (width, height) = (canvas.width(), canvas.height());
        match (inset, other) {
            (Inset::Off, _) | (Inset::Corner(_), None) => Ok(()),
            (Inset::Corner(corner), Some(other)) => {
                let size = fit((other.width, other.height), (width / INSET, height / INSET));
                let margin = (height / 36) & !1;
                let Some((x, y)) = corner_of(corner, (width, height), size, margin) else {
                    return Ok(());
                };
                self.show(other, size, canvas.part(x, y, size.0, size.1).ok_or("no room")?)
            }
            (Inset::Beside, other) => {
                // Its own picture, once it is half as wide, is kept while the canvas is blackened.
                let half = (width / 2) & !1;
                let size = fit((width, height), (half, height));
                let mut own = std::mem::take(&mut self.small);
                own.resize(size.0, size.1);
                let (wide, high) = (width, height);
                let strides = canvas.strides();
                let source = View::of_canvas(canvas).ok_or("no size")?;
                debug_assert_eq!((source.width(), source.height(), strides[0]), (wide, high, wide));
                self.scaler.scale(&source, Area::of(&source), own.canvas().ok_or("no size")?)?;
                place::black(colour, canvas);
                let down = ((height - size.1) / 2) & !1;
                if let (Some(view), Some(part)) = (own.view(), canvas.part(0, down, size.0, size.1))
                {
                    place::copy(&view, part);
                }
                self.copied += 2 * own.bytes().len() as u64;
                self.small = own;
                let Some(other) = other else { return Ok(()) };
                let size = fit((other.width, other.height), (half, height));
                let middle = |room: usize, size: usize| ((room - size) / 2) & !1;
                let (x, y) = (half + middle(half, size.0), middle(height, size.1));
                self.show(other, size, canvas.part(x, y, size.0, size.1).ok_or("no room")?)
            }
        }
    }

    /// Draws a picture of another camera, scaled.
    fn show(&mut self, other: &Frame, size: (usize, usize), to: Canvas<'_>) -> Result<(), String> {
        let before = self.converter.copied_pixel_bytes();
        let view = self.converter.view(other)?.even();
        self.small.resize(size.0, size.1);
        self.scaler.scale(&view, Area::of(&view), self.small.canvas().ok_or("no size")?)?;
        let small = self.small.view().ok_or("no size")?;
        place::copy(&small, to);
        self.copied += 2 * self.small.bytes().len() as u64;
        self.copied += self.converter.copied_pixel_bytes() - before;
        Ok(())
    }

    /// Reads a watermark's file anew with the next picture.
    pub fn reload(&mut self) {
        self.painter = Painter::default();
    }

    /// Bytes of pictures that were written here so far.
    pub fn copied_pixel_bytes(&self) -> u64 {
        self.copied
    }
}

/// The largest even size of the shape of `picture` within `room`.
fn fit(picture: (usize, usize), room: (usize, usize)) -> (usize, usize) {
    let (width, height) = (picture.0.max(1), picture.1.max(1));
    let (across, down) = (room.0, room.0 * height / width);
    let (across, down) =
        if down <= room.1 { (across, down) } else { (room.1 * width / height, room.1) };
    ((across & !1).max(2), (down & !1).max(2))
}

/// Where something of this size lies in a corner, even; `None` if there is no room.
fn corner_of(
    corner: Corner,
    (width, height): (usize, usize),
    size: (usize, usize),
    margin: usize,
) -> Option<(usize, usize)> {
    let right = width.checked_sub(size.0 + margin)? & !1;
    let bottom = height.checked_sub(size.1 + margin)? & !1;
    Some(match corner {
        Corner::TopLeft => (margin, margin),
        Corner::TopRight => (right, margin),
        Corner::BottomLeft => (margin, bottom),
        Corner::BottomRight => (right, bottom),
    })
}

/// Whether a layout is what [`Finisher`] makes.
pub fn is_ours(format: PixelFormat) -> bool {
    format == PixelFormat::I420
}

#[cfg(test)]
mod tests;
