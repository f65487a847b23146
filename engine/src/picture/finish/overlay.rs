//! What lies over the picture: the time of capture, a text, a watermark.

use super::corner_of;
use crate::finish::osd::Osd;
use crate::finish::{Clock, Corner, Overlay};
use crate::frame::Colour;
use crate::picture::Canvas;
use crate::picture::range;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lensd_ffi::time::{Stamp, UtcNanos};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Largest watermark: bytes of the file, pixels a side.
const LARGEST_FILE: u64 = 8 << 20;
const LARGEST_SIDE: u32 = 4096;
/// Heights that glyphs exist in.
const HEIGHTS: [RasterHeight; 4] =
    [RasterHeight::Size16, RasterHeight::Size20, RasterHeight::Size24, RasterHeight::Size32];
/// Instead of a character that the font lacks.
const UNKNOWN: char = '?';

/// A picture with how much of it covers what is below, 0 to 255, both of even size.
#[derive(Debug, Default, Clone)]
pub struct Watermark {
    width: usize,
    height: usize,
    /// Y at full size, U and V at half, of limited range.
    planes: [Vec<u8>; 3],
    cover: Vec<u8>,
}

impl Watermark {
    /// Reads a PNG file. A side with an odd number of pixels loses one.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| failed(&e))?;
        let length = file.metadata().map_err(|e| failed(&e))?.len();
        if length > LARGEST_FILE {
            return Err(failed(&format!("{length} bytes; a watermark may have {LARGEST_FILE}")));
        }
        Self::parse(file.take(LARGEST_FILE)).map_err(|e| failed(&e))
    }

    /// Reads a PNG.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: impl Read) -> Result<Self, String> {
        let limits = png::Limits { bytes: 64 << 20 };
        let bytes = std::io::Cursor::new(all(bytes)?);
        let mut decoder = png::Decoder::new_with_limits(BufReader::new(bytes), limits);
        let wanted = png::Transformations::normalize_to_color8() | png::Transformations::ALPHA;
        decoder.set_transformations(wanted);
        let mut reader = decoder.read_info().map_err(|e| format!("no PNG: {e}"))?;
        let (width, height) = reader.info().size();
        if width < 2 || height < 2 || width > LARGEST_SIDE || height > LARGEST_SIDE {
            return Err(format!("{width}x{height}; a watermark has 2 to {LARGEST_SIDE} a side"));
        }
        let size = reader.output_buffer_size().ok_or("too large")?;
        let mut samples = vec![0; size];
        let info = reader.next_frame(&mut samples).map_err(|e| format!("no PNG: {e}"))?;
        let channels = info.color_type.samples();
        let row = info.line_size;
        let pixel = |x: usize, y: usize| {
            let at = y * row + x * channels;
            let p = &samples[at..at + channels];
            match *p {
                [grey, alpha] => [grey, grey, grey, alpha].map(i32::from),
                [r, g, b, alpha] => [r, g, b, alpha].map(i32::from),
                _ => [0; 4],
            }
        };
        let (width, height) = (width as usize & !1, height as usize & !1);
        let mut out = Self { width, height, ..Self::default() };
        for y in 0..height {
            for x in 0..width {
                let [r, g, b, alpha] = pixel(x, y);
                out.planes[0].push(((66 * r + 129 * g + 25 * b + (16 << 8) + 128) >> 8) as u8);
                out.cover.push(alpha as u8);
            }
        }
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let four = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
                let [r, g, b] = [0, 1, 2].map(|c| four.iter().map(|p| p[c]).sum::<i32>());
                out.planes[1].push(((-38 * r - 74 * g + 112 * b + (128 << 10) + 512) >> 10) as u8);
                out.planes[2].push(((112 * r - 94 * g - 18 * b + (128 << 10) + 512) >> 10) as u8);
            }
        }
        Ok(out)
    }
}

fn all(mut bytes: impl Read) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    bytes.read_to_end(&mut out).map_err(|e| e.to_string())?;
    Ok(out)
}

/// Draws overlays; keeps what stays the same from picture to picture.
#[derive(Debug, Default)]
pub(super) struct Painter {
    wish: Overlay,
    glyphs: Option<(RasterHeight, usize)>,
    zone: Option<TimeZone>,
    mark: Option<(PathBuf, Watermark)>,
    /// Coverage of the lines' box.
    cover: Vec<u8>,
    /// Ways to write times, by the texts' order.
    formats: Vec<Option<String>>,
}

impl Painter {
    /// Gets ready for pictures of this height.
    pub(super) fn prepare(&mut self, wish: &Overlay, height: usize) {
        self.glyphs = Some(glyphs_of(height / [48, 36, 24, 16][usize::from(wish.size.min(3))]));
        if self.wish == *wish {
            return;
        }
        self.wish = wish.clone();
        let local = wish.clock == Clock::Local || wish.texts.iter().any(|osd| !osd.utc);
        self.zone = local.then(TimeZone::system);
        self.formats = wish.texts.iter().map(Osd::format).collect();
        match &wish.watermark {
            Some(path) if self.mark.as_ref().is_none_or(|(known, _)| known != path) => {
                // Whoever set it was told of faults; a file that vanished since is left out.
                self.mark = Watermark::load(path).ok().map(|mark| (path.clone(), mark));
            }
            Some(_) => {}
            None => self.mark = None,
        }
    }

    /// Draws.
    pub(super) fn paint(&mut self, capture: Stamp, colour: Colour, canvas: &mut Canvas<'_>) {
        let margin = (canvas.height() / 72) & !1;
        if let Some((_, mark)) = &self.mark {
            let corner = self.wish.watermark_corner;
            let size = (canvas.width(), canvas.height());
            if let Some((x, y)) = corner_of(corner, size, (mark.width, mark.height), margin) {
                stamp(mark, colour, x, y, canvas);
            }
        }
        let clock = match self.wish.clock {
            Clock::Off => String::new(),
            Clock::Utc => time(capture.utc, &TimeZone::UTC),
            Clock::Local => time(capture.utc, self.zone.as_ref().unwrap_or(&TimeZone::UTC)),
        };
        let lines: Vec<&str> =
            [clock.as_str(), &self.wish.text].into_iter().filter(|line| !line.is_empty()).collect();
        let Some(usual) = self.glyphs else { return };
        let room = (canvas.width(), canvas.height());
        // How much of each corner is taken: what comes later lies below or above it.
        let mut taken = [0; 4];
        if !lines.is_empty() {
            let size = render(&lines, usual.0, usual.1, canvas.width(), &mut self.cover);
            if let Some((x, y)) = corner_of(self.wish.corner, room, size, margin) {
                write(&self.cover, size, Ink::white(colour), x, y, canvas);
                taken[self.wish.corner as usize] = size.1;
            }
        }
        for (osd, format) in self.wish.texts.iter().zip(&self.formats) {
            let line = osd_line(osd, format.as_deref(), capture.utc, self.zone.as_ref());
            let (glyphs, times) = match osd.size {
                0 => usual,
                size => glyphs_of(size as usize),
            };
            let size = render(&[&line], glyphs, times, canvas.width(), &mut self.cover);
            let place = match osd.position.corner() {
                Some(corner) => {
                    let above = &mut taken[corner as usize];
                    let inner = (room.0, room.1.saturating_sub(*above));
                    let down = if matches!(corner, Corner::TopLeft | Corner::TopRight) {
                        *above
                    } else {
                        0
                    };
                    *above += size.1;
                    corner_of(corner, inner, size, margin).map(|(x, y)| (x, y + down))
                }
                None => custom(osd, room, size),
            };
            if let Some((x, y)) = place {
                write(&self.cover, size, Ink::of(osd, colour), x, y, canvas);
            }
        }
    }
}

/// Glyphs for a line of this height, and how many times each of their pixels: larger than the
/// largest glyphs are several.
fn glyphs_of(line: usize) -> (RasterHeight, usize) {
    let times = line.div_ceil(48).max(1);
    let fits = HEIGHTS.iter().rev().find(|h| h.val() * times <= line.max(16));
    (fits.copied().unwrap_or(RasterHeight::Size16), times)
}

/// What a text says at a moment.
fn osd_line(osd: &Osd, format: Option<&str>, utc: UtcNanos, zone: Option<&TimeZone>) -> String {
    let Some(format) = format else { return osd.text.clone() };
    let Ok(at) = Timestamp::from_nanosecond(utc.0.into()) else { return osd.text.clone() };
    let zone = zone.filter(|_| !osd.utc).cloned().unwrap_or(TimeZone::UTC);
    let time = at.to_zoned(zone).strftime(format).to_string();
    if osd.text.is_empty() { time } else { format!("{} {time}", osd.text) }
}

/// Where a text at a place of its own lies: within the picture, on even pixels.
fn custom(osd: &Osd, room: (usize, usize), size: (usize, usize)) -> Option<(usize, usize)> {
    let at = |share: f64, room: usize, size: usize| {
        let most = room.checked_sub(size)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a picture")]
        let at = ((share + 1.0) / 2.0 * room as f64) as usize;
        Some(at.min(most) & !1)
    };
    Some((at(osd.x, room.0, size.0)?, at(-osd.y, room.1, size.1)?))
}

/// The colour of letters, and how much darker it is behind them.
#[derive(Clone, Copy)]
struct Ink {
    yuv: [u8; 3],
    /// Black of the picture's range.
    black: u16,
    darkens: bool,
}

impl Ink {
    const fn white(colour: Colour) -> Self {
        let (black, white) = if colour.full_range { (0, 255) } else { (16, 235) };
        Self { yuv: [white, 128, 128], black, darkens: true }
    }

    fn of(osd: &Osd, colour: Colour) -> Self {
        let plain = Self { darkens: !osd.transparent, ..Self::white(colour) };
        let Some(rgb) = osd.rgb().filter(|rgb| *rgb != [255; 3]) else { return plain };
        // ITU-R BT.601, as watermarks are.
        let [r, g, b] = rgb.map(i32::from);
        let mut y = [((66 * r + 129 * g + 25 * b + (16 << 8) + 128) >> 8) as u8];
        let mut chroma = [
            ((-38 * r - 74 * g + 112 * b + (128 << 8) + 128) >> 8) as u8,
            ((112 * r - 94 * g - 18 * b + (128 << 8) + 128) >> 8) as u8,
        ];
        if colour.full_range {
            range::expand_luma(&mut y);
            range::expand_chroma(&mut chroma);
        }
        Self { yuv: [y[0], chroma[0], chroma[1]], ..plain }
    }
}

/// Writes the time of capture, in the machine's zone, into a picture of its own: what an overlay
/// does to a stream.
pub fn write_time(capture: Stamp, colour: Colour, canvas: &mut Canvas<'_>) {
    let mut painter = Painter::default();
    painter.prepare(&Overlay { clock: Clock::Local, ..Overlay::default() }, canvas.height());
    painter.paint(capture, colour, canvas);
}

/// The time as people read it, with thousandths and the zone.
fn time(utc: UtcNanos, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_nanosecond(utc.0.into()) else { return String::new() };
    let at = at.to_zoned(zone.clone());
    at.strftime("%Y-%m-%d %H:%M:%S%.3f %Z").to_string()
}

/// Draws lines as coverage, and gives the box's size, which is even.
fn render(
    lines: &[&str],
    glyphs: RasterHeight,
    times: usize,
    most: usize,
    cover: &mut Vec<u8>,
) -> (usize, usize) {
    let advance = noto_sans_mono_bitmap::get_raster_width(FontWeight::Bold, glyphs) * times;
    let high = glyphs.val() * times;
    let pad = (high / 4).max(2);
    // What does not fit is cut off.
    let fitting = (most.saturating_sub(4 * pad) / advance.max(1)).max(1);
    let longest = lines.iter().map(|l| l.chars().count().min(fitting)).max().unwrap_or(0);
    let (width, height) = (longest * advance + 2 * pad, lines.len() * high + pad);
    let (width, height) = ((width + 1) & !1, (height + 1) & !1);
    cover.clear();
    cover.resize(width * height, 0);
    for (row, line) in lines.iter().enumerate() {
        for (column, c) in line.chars().take(fitting).enumerate() {
            let glyph = get_raster(c, FontWeight::Bold, glyphs)
                .or_else(|| get_raster(UNKNOWN, FontWeight::Bold, glyphs));
            let Some(glyph) = glyph else { continue };
            let (left, top) = (pad + column * advance, pad / 2 + row * high);
            for (y, pixels) in glyph.rows().enumerate() {
                for dy in 0..times {
                    let at = (top + y * times + dy) * width + left;
                    for (x, pixel) in pixels.iter().enumerate() {
                        cover[at + x * times..at + (x + 1) * times].fill(*pixel);
                    }
                }
            }
        }
    }
    (width, height)
}

/// Darkens the box and writes letters on it.
fn write(
    cover: &[u8],
    (width, height): (usize, usize),
    ink: Ink,
    x: usize,
    y: usize,
    canvas: &mut Canvas<'_>,
) {
    let Some(mut part) = canvas.part(x, y, width, height) else { return };
    // At most 255.
    let behind = |value: u8, black: u16| {
        if ink.darkens { ((u16::from(value) + 3 * black) / 4) as u8 } else { value }
    };
    for (row, cover) in part.rows_mut(0).zip(cover.chunks_exact(width)) {
        for (luma, cover) in row.iter_mut().zip(cover) {
            *luma = blend(behind(*luma, ink.black), ink.yuv[0], *cover);
        }
    }
    for plane in 1..3 {
        for (row, cover) in part.rows_mut(plane).zip(cover.chunks_exact(2 * width)) {
            for (chroma, cover) in row.iter_mut().zip(cover.chunks_exact(2)) {
                *chroma = blend(behind(*chroma, 128), ink.yuv[plane], cover[0]);
            }
        }
    }
}

/// Lays a watermark on the picture.
fn stamp(mark: &Watermark, colour: Colour, x: usize, y: usize, canvas: &mut Canvas<'_>) {
    let Some(mut part) = canvas.part(x, y, mark.width, mark.height) else { return };
    let mut line = Vec::new();
    for plane in 0..3 {
        let shift = usize::from(plane > 0);
        let width = mark.width >> shift;
        for (row, to) in part.rows_mut(plane).enumerate() {
            line.clear();
            line.extend_from_slice(&mark.planes[plane][row * width..(row + 1) * width]);
            if colour.full_range {
                if plane == 0 {
                    range::expand_luma(&mut line);
                } else {
                    range::expand_chroma(&mut line);
                }
            }
            for (i, (to, from)) in to.iter_mut().zip(&line).enumerate() {
                let cover = mark.cover[(row << shift) * mark.width + (i << shift)];
                *to = blend(*to, *from, cover);
            }
        }
    }
}

fn blend(below: u8, above: u8, cover: u8) -> u8 {
    let (below, above, cover) = (u16::from(below), u16::from(above), u16::from(cover));
    // At most 255 * 255.
    ((below * (255 - cover) + above * cover + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_zone() {
        let at = UtcNanos(1_700_000_000_123_456_789);
        assert_eq!(time(at, &TimeZone::UTC), "2023-11-14 22:13:20.123 UTC");
        let fixed = TimeZone::fixed(jiff::tz::offset(5));
        assert_eq!(time(at, &fixed), "2023-11-15 03:13:20.123 +05");
    }

    #[test]
    fn lines_that_are_too_long_are_cut() {
        let mut cover = Vec::new();
        let long = "x".repeat(1000);
        let (width, height) = render(&[&long, "ä"], RasterHeight::Size16, 2, 640, &mut cover);
        assert!(width <= 640 && height >= 64, "{width}x{height}");
        assert_eq!(cover.len(), width * height);
        assert!(cover.contains(&255));
    }

    fn file(color: png::ColorType, width: u32, height: u32, samples: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        out
    }

    #[test]
    fn watermarks_of_every_kind() {
        let red = [255, 0, 0, 128].repeat(15);
        let mark = Watermark::parse(&file(png::ColorType::Rgba, 5, 3, &red)[..]).unwrap();
        assert_eq!((mark.width, mark.height), (4, 2));
        assert!(mark.cover.iter().all(|&c| c == 128));
        assert!(mark.planes[0].iter().all(|&y| y.abs_diff(82) <= 1));
        assert!(mark.planes[2].iter().all(|&v| v.abs_diff(240) <= 1));
        for (color, samples) in [
            (png::ColorType::Rgb, [255, 255, 255].repeat(15)),
            (png::ColorType::Grayscale, vec![255; 15]),
            (png::ColorType::GrayscaleAlpha, [255, 255].repeat(15)),
        ] {
            let mark = Watermark::parse(&file(color, 5, 3, &samples)[..]).unwrap();
            assert!(mark.planes[0].iter().all(|&y| y == 235), "{color:?}");
            assert!(mark.cover.iter().all(|&c| c == 255), "{color:?}");
        }
        assert!(Watermark::parse(&b"no picture"[..]).unwrap_err().contains("no PNG"));
        let whole = file(png::ColorType::Rgba, 5, 3, &red);
        for cut in 0..whole.len() - 12 {
            let _ = Watermark::parse(&whole[..cut]);
        }
        assert!(Watermark::load(Path::new("/nonexistent.png")).is_err());
    }
}
