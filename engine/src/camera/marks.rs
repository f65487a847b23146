//! Machine-readable marks in the picture: frame number, capture time and a checksum as black and
//! white cells, large enough to survive H.264 at low bit rates and scaling down.
//!
//! Geometry. The marks are a grid of 18 x 10 square cells at the top left of the picture. A cell
//! of a picture of `width` x `height` pixels has a side of
//! `16 * max(1, min(width / 320, height / 180) / 2)` pixels (integer divisions): 16 pixels up to
//! 1279x719, 32 for 1280x720, 48 for 1920x1080. So every cell covers whole macroblocks, and in a
//! picture scaled to half its size a cell still has 8 pixels.
//!
//! The outermost cells all around are black, a guard against what is beside them. The 16 x 8 cells
//! within hold 128 bits in reading order, the most significant bit first, white (luma 235) for 1
//! and black (luma 16) for 0: rows 0-1 the frame number (32 bits), rows 2-5 the capture time in ns
//! of `CLOCK_MONOTONIC` (64 bits), rows 6-7 the CRC-32 (IEEE) of those twelve bytes, big-endian.
//! Chroma is neutral under the marks.

use lensd_ffi::time::Nanos;

const COLUMNS: usize = 16;
const BIT_ROWS: usize = 8;
/// Width of the grid in cells, guard included.
pub(super) const GRID_COLUMNS: usize = COLUMNS + 2;
/// Height of the grid in cells, guard included.
pub(super) const GRID_ROWS: usize = BIT_ROWS + 2;

const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// What the marks of a picture say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Frame number, modulo 2^32.
    pub number: u32,
    /// Capture time.
    pub capture: Nanos,
}

impl Marks {
    fn bits(self) -> u128 {
        let payload = self.payload();
        let crc = crc32fast::hash(&payload);
        u128::from(self.number) << 96 | u128::from(self.capture.0) << 32 | u128::from(crc)
    }

    fn payload(self) -> [u8; 12] {
        let mut payload = [0; 12];
        payload[..4].copy_from_slice(&self.number.to_be_bytes());
        payload[4..].copy_from_slice(&self.capture.0.to_be_bytes());
        payload
    }

    fn from_bits(bits: u128) -> Option<Self> {
        let bytes = bits.to_be_bytes();
        let number = u32::from_be_bytes(bytes[..4].try_into().ok()?);
        let capture = Nanos(u64::from_be_bytes(bytes[4..12].try_into().ok()?));
        let crc = u32::from_be_bytes(bytes[12..].try_into().ok()?);
        (crc32fast::hash(&bytes[..12]) == crc).then_some(Self { number, capture })
    }
}

/// Side of a cell in pixels, in a picture of this size.
pub fn cell_side(width: usize, height: usize) -> usize {
    16 * ((width / 320).min(height / 180) / 2).max(1)
}

/// Draws the marks into a luma plane of `width` x `height` pixels. The guard is not drawn.
/// Pictures below 320x180 have no room and are left alone.
pub(super) fn draw_marks(
    luma: &mut [u8],
    stride: usize,
    width: usize,
    height: usize,
    marks: Marks,
) {
    let side = cell_side(width, height);
    if width < GRID_COLUMNS * side || height < GRID_ROWS * side {
        return;
    }
    let bits = marks.bits();
    for row in 0..BIT_ROWS {
        let top = (row + 1) * side;
        let first = top * stride + side;
        for column in 0..COLUMNS {
            let bit = bits >> (127 - (row * COLUMNS + column)) & 1;
            let from = first + column * side;
            luma[from..from + side].fill(if bit == 1 { WHITE } else { BLACK });
        }
        // The other rows of pixels are the first one again.
        for y in 1..side {
            luma.copy_within(first..first + COLUMNS * side, first + y * stride);
        }
    }
}

/// Reads the marks from the luma plane of a decoded picture, full size or scaled down: by 1, 2,
/// 3, 4, 1.5, 6 or 8, whichever matches. `None` if the picture has no marks or they are damaged.
pub fn read_marks(luma: &[u8], stride: usize, width: usize, height: usize) -> Option<Marks> {
    // Scale factors as twice their value, most likely first.
    [2, 4, 6, 8, 3, 12, 16].into_iter().find_map(|twice| {
        let side = cell_side(width * twice / 2, height * twice / 2);
        read_cells(luma, stride, width, height, side * 2, twice)
    })
}

/// Reads cells with a side of `num / den` pixels.
fn read_cells(
    luma: &[u8],
    stride: usize,
    width: usize,
    height: usize,
    num: usize,
    den: usize,
) -> Option<Marks> {
    let at = |cells: usize| cells * num / den;
    if at(GRID_COLUMNS) > width || at(GRID_ROWS) > height || num < 2 * den || stride < width {
        return None;
    }
    let mut bits = 0u128;
    for row in 1..=BIT_ROWS {
        for column in 1..=COLUMNS {
            // The middle half of the cell, where the neighbours' ringing does not reach.
            let (x, y) = (at(column), at(row));
            let (dx, dy) = ((at(column + 1) - x) / 4, (at(row + 1) - y) / 4);
            let (right, bottom) = (at(column + 1) - dx, at(row + 1) - dy);
            let mut sum = 0;
            let mut count = 0;
            for line in y + dy..bottom {
                let pixels = luma.get(line * stride + x + dx..line * stride + right)?;
                sum += pixels.iter().map(|&p| usize::from(p)).sum::<usize>();
                count += pixels.len();
            }
            bits = bits << 1 | u128::from(sum > count * usize::from((WHITE + BLACK) / 2));
        }
    }
    Marks::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, height: usize, marks: Marks) -> Vec<u8> {
        let mut luma = vec![BLACK; width * height];
        draw_marks(&mut luma, width, width, height, marks);
        luma
    }

    #[test]
    fn marks_are_read_at_every_size_and_at_half_of_it() {
        for (width, height) in
            [(320, 180), (640, 360), (640, 480), (1280, 720), (1920, 1080), (720, 1280)]
        {
            let marks = Marks { number: 0xfeed_0007, capture: Nanos(0x0123_4567_89ab_cdef) };
            let luma = drawn(width, height, marks);
            assert_eq!(read_marks(&luma, width, width, height), Some(marks), "{width}x{height}");
            let half: Vec<u8> = (0..width / 2 * (height / 2))
                .map(|i| luma[i / (width / 2) * 2 * width + i % (width / 2) * 2])
                .collect();
            assert_eq!(read_marks(&half, width / 2, width / 2, height / 2), Some(marks));
        }
    }

    #[test]
    fn one_flipped_cell_is_noticed() {
        let (width, height) = (320, 180);
        let luma = drawn(width, height, Marks { number: 5, capture: Nanos(6) });
        for cell in 0..COLUMNS * BIT_ROWS {
            let mut damaged = luma.clone();
            let (x, y) = ((cell % COLUMNS + 1) * 16, (cell / COLUMNS + 1) * 16);
            for line in y..y + 16 {
                for pixel in &mut damaged[line * width + x..line * width + x + 16] {
                    *pixel = WHITE + BLACK - *pixel;
                }
            }
            assert_eq!(read_marks(&damaged, width, width, height), None, "cell {cell}");
        }
    }

    #[test]
    fn pictures_without_marks_have_none() {
        for value in [0, 16, 128, 235] {
            assert_eq!(read_marks(&vec![value; 320 * 180], 320, 320, 180), None);
        }
        assert_eq!(read_marks(&[], 0, 0, 0), None);
        assert_eq!(read_marks(&[0; 10], 320, 320, 180), None);
    }
}
