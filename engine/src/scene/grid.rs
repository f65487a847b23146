//! A picture as a few thousand numbers: how bright it is in each cell of a grid, and how much detail
//! there is. Only the points that are counted are read, in whatever layout they lie.

use crate::frame::{Frame, PixelFormat};

/// Cells across.
pub const COLUMNS: usize = 64;
/// Cells down.
pub const ROWS: usize = 36;
/// All of them.
pub const CELLS: usize = COLUMNS * ROWS;
/// Points of a cell across and down.
const POINTS: usize = 4;

/// What was read of a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Mean brightness of each cell, 0 to 255, row by row.
    pub luma: Vec<f32>,
    /// Mean difference of points that lie side by side, 0 to 255.
    pub detail: f32,
    /// Bytes that were read.
    pub read: u64,
}

impl Default for Grid {
    fn default() -> Self {
        Self { luma: vec![0.0; CELLS], detail: 0.0, read: 0 }
    }
}

/// Where the brightness of a pixel lies: bytes before the first, bytes from one to the next, and
/// whether a sample has two of them, by how many bits too large.
struct Layout {
    first: usize,
    step: usize,
    excess: Option<u32>,
}

fn layout(format: PixelFormat) -> Option<Layout> {
    let plain = |first, step| Some(Layout { first, step, excess: None });
    match format {
        PixelFormat::I420 | PixelFormat::Nv12 | PixelFormat::Nv21 | PixelFormat::Grey => {
            plain(0, 1)
        }
        PixelFormat::Yuyv => plain(0, 2),
        PixelFormat::Uyvy => plain(1, 2),
        // Green is most of brightness.
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => plain(1, 3),
        PixelFormat::GreyDeep(depth) | PixelFormat::Bayer(_, depth) => {
            let deep = depth.bytes() > 1;
            Some(Layout { first: 0, step: depth.bytes(), excess: deep.then(|| depth.excess()) })
        }
        PixelFormat::Mjpeg => None,
    }
}

impl Grid {
    /// Reads a picture.
    ///
    /// # Errors
    /// When its layout has no brightness that could be read, it is smaller than the grid, or its
    /// memory is shorter than its size says.
    pub fn read(&mut self, frame: &Frame) -> Result<(), String> {
        let layout = layout(frame.format)
            .ok_or_else(|| format!("{} has to be decoded first", frame.format))?;
        let (width, height) = (frame.width, frame.height);
        // A point and its neighbour of the same colour, in a sensor's mosaic too.
        if width < 2 * COLUMNS + 2 || height < 2 * ROWS {
            return Err(format!("{width}x{height} is too small for motion to be found"));
        }
        let bytes = frame.memory.bytes();
        let plane = frame.planes[0];
        let sample = |row: &[u8], x: usize| -> Option<u16> {
            let at = layout.first + x * layout.step;
            match layout.excess {
                None => row.get(at).map(|b| u16::from(*b)),
                Some(excess) => {
                    let both = row.get(at..at + 2)?;
                    Some((u16::from_le_bytes([both[0], both[1]]) >> excess).min(255))
                }
            }
        };
        let (mut detail, mut points) = (0_u64, 0_u64);
        for cell_y in 0..ROWS {
            let mut sums = [0_u32; COLUMNS];
            for point in 0..POINTS {
                // Even: one colour of a mosaic.
                let y = ((cell_y * POINTS + point) * height / (ROWS * POINTS)) & !1;
                let start = plane.offset + y * plane.stride;
                let row = bytes.get(start..).ok_or("a picture's memory is too short")?;
                for (cell, sum) in sums.iter_mut().enumerate() {
                    for point in 0..POINTS {
                        let x = ((cell * POINTS + point) * (width - 2) / (COLUMNS * POINTS)) & !1;
                        let (one, next) = (sample(row, x), sample(row, x + 2));
                        let (Some(one), Some(next)) = (one, next) else {
                            return Err("a picture's memory is too short".to_owned());
                        };
                        *sum += u32::from(one);
                        detail += u64::from(one.abs_diff(next));
                        points += 1;
                    }
                }
            }
            let means = &mut self.luma[cell_y * COLUMNS..][..COLUMNS];
            for (mean, sum) in means.iter_mut().zip(sums) {
                *mean = sum as f32 / (POINTS * POINTS) as f32;
            }
        }
        self.detail = detail as f32 / points.max(1) as f32;
        self.read = 2 * points * if layout.excess.is_some() { 2 } else { 1 };
        Ok(())
    }

    /// Mean brightness, and how much cells differ from it (standard deviation).
    pub fn spread(&self) -> (f32, f32) {
        let count = self.luma.len().max(1) as f32;
        let mean = self.luma.iter().sum::<f32>() / count;
        let square = self.luma.iter().map(|l| (l - mean) * (l - mean)).sum::<f32>() / count;
        (mean, square.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Bayer, Colour, Depth, packed_planes};
    use lensd_ffi::time::Stamp;
    use std::sync::Arc;

    fn frame(format: PixelFormat, width: usize, height: usize, bytes: Vec<u8>) -> Frame {
        let (planes, used) = packed_planes(format, width, height);
        assert!(bytes.len() <= used);
        Frame {
            format,
            width,
            height,
            planes,
            used,
            colour: Colour::OURS,
            memory: Arc::new(bytes),
            capture: Stamp::default(),
            number: 0,
            crc: None,
        }
    }

    #[test]
    fn every_layout_is_read_where_its_brightness_lies() {
        let (width, height) = (320, 180);
        for (format, pixel) in [
            (PixelFormat::Grey, vec![77]),
            (PixelFormat::Yuyv, vec![77, 1]),
            (PixelFormat::Uyvy, vec![1, 77]),
            (PixelFormat::Rgb24, vec![1, 77, 2]),
            (PixelFormat::GreyDeep(Depth::Ten), (77_u16 << 2).to_le_bytes().to_vec()),
            (PixelFormat::Bayer(Bayer::Rggb, Depth::Eight), vec![77]),
        ] {
            let bytes = pixel.repeat(width * height);
            let mut grid = Grid::default();
            grid.read(&frame(format, width, height, bytes)).unwrap();
            assert!(grid.luma.iter().all(|l| (l - 77.0).abs() < 0.01), "{format}");
            assert!(grid.detail < 0.01 && grid.spread().1 < 0.01);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let mut grid = Grid::default();
        for (format, width, height, bytes) in [
            (PixelFormat::Mjpeg, 0, 0, 0),
            (PixelFormat::Grey, 100, 60, 6000),
            (PixelFormat::Grey, 320, 180, 320 * 170),
            (PixelFormat::Yuyv, 320, 180, 10),
        ] {
            let frame = frame(PixelFormat::Grey, width, height, vec![0; bytes.min(width * height)]);
            assert!(grid.read(&Frame { format, ..frame }).is_err(), "{format} {width}");
        }
    }

    #[test]
    fn detail_and_spread_are_told_apart() {
        let (width, height) = (320, 180);
        let mut bytes = vec![0; width * height];
        // Halves: much spread, no detail.
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = if i % width < width / 2 { 50 } else { 200 };
        }
        let mut grid = Grid::default();
        grid.read(&frame(PixelFormat::Grey, width, height, bytes.clone())).unwrap();
        assert!(grid.detail < 2.0 && grid.spread().1 > 50.0, "{} {:?}", grid.detail, grid.spread());
        // Stripes: much detail, no spread.
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = if i % width / 2 % 2 == 0 { 50 } else { 200 };
        }
        grid.read(&frame(PixelFormat::Grey, width, height, bytes)).unwrap();
        assert!(
            grid.detail > 100.0 && grid.spread().1 < 60.0,
            "{} {:?}",
            grid.detail,
            grid.spread()
        );
    }
}
