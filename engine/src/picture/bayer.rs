//! Raw samples of sensors: each pixel has one colour, the other two are the mean of its neighbours
//! (bilinear). No black level, no white balance: a camera that delivers these leaves them to
//! whoever looks at its pictures.

use crate::frame::{Bayer, Depth, Frame};

/// The upper 8 of the bits that count.
pub(super) fn narrow(from: &[u8], depth: Depth, to: &mut [u8]) {
    if depth == Depth::Eight {
        to.copy_from_slice(from);
        return;
    }
    for (to, pair) in to.iter_mut().zip(from.as_chunks::<2>().0) {
        *to = (u16::from_le_bytes(*pair) >> depth.excess()).min(255) as u8;
    }
}

/// Makes rows of interleaved red, green and blue, from row `first` on; as many as `to` holds.
///
/// # Errors
/// When the frame is smaller than the pattern of colours, or has no such rows.
pub(super) fn to_rgb(
    frame: &Frame,
    order: Bayer,
    depth: Depth,
    first: usize,
    samples: &mut Vec<u8>,
    to: &mut [u8],
) -> Result<(), String> {
    let (width, height) = (frame.width, frame.height);
    let count = to.len() / (width * 3).max(1);
    if width < 2 || height < 2 || first + count > height {
        return Err(format!("{frame:?} is no picture of a sensor"));
    }
    // The rows with one more on each side, and each row too. What is outside is mirrored, which
    // keeps the order of colours.
    let wide = width + 2;
    samples.resize((count + 2) * wide, 0);
    let plane = frame.planes[0];
    for (i, row) in samples.chunks_exact_mut(wide).enumerate() {
        let y = match (first + i).checked_sub(1) {
            None => 1,
            Some(y) if y >= height => height - 2,
            Some(y) => y,
        };
        let at = plane.offset + y * plane.stride;
        let bytes = frame.memory.bytes().get(at..at + width * depth.bytes());
        narrow(bytes.ok_or("a frame without its rows")?, depth, &mut row[1..=width]);
        (row[0], row[width + 1]) = (row[2], row[width - 1]);
    }
    let (red_x, red_y) = match order {
        Bayer::Rggb => (0, 0),
        Bayer::Grbg => (1, 0),
        Bayer::Gbrg => (0, 1),
        Bayer::Bggr => (1, 1),
    };
    for (i, to) in to.chunks_exact_mut(width * 3).enumerate() {
        let row = |n: usize| &samples[(i + n) * wide..(i + n + 1) * wide];
        let (above, here, below) = (row(0), row(1), row(2));
        // Where the row's own colour is: red in some rows, blue in the others.
        let red_row = (first + i) % 2 == red_y;
        let own = if red_row { red_x } else { 1 - red_x };
        for (x, to) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let [l, c, r] = [x, x + 1, x + 2].map(|x| u16::from(here[x]));
            let [ul, u, ur] = [x, x + 1, x + 2].map(|x| u16::from(above[x]));
            let [dl, d, dr] = [x, x + 1, x + 2].map(|x| u16::from(below[x]));
            let (mine, green, other) = if x % 2 == own {
                (c, (l + r + u + d + 2) >> 2, (ul + ur + dl + dr + 2) >> 2)
            } else {
                ((l + r + 1) >> 1, c, (u + d + 1) >> 1)
            };
            let (red, blue) = if red_row { (mine, other) } else { (other, mine) };
            *to = [red as u8, green as u8, blue as u8];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, PixelFormat, packed_planes};
    use std::sync::Arc;

    /// A sensor's picture of one colour.
    fn flat(order: Bayer, depth: Depth, rgb: [u8; 3], width: usize, height: usize) -> Frame {
        let colours = match order {
            Bayer::Rggb => [0, 1, 1, 2],
            Bayer::Grbg => [1, 0, 2, 1],
            Bayer::Gbrg => [1, 2, 0, 1],
            Bayer::Bggr => [2, 1, 1, 0],
        };
        let mut bytes = Vec::new();
        for at in 0..width * height {
            let (x, y) = (at % width, at / width);
            let sample = u16::from(rgb[colours[y % 2 * 2 + x % 2]]) << depth.excess();
            let low = if depth == Depth::Eight { 0 } else { 1 };
            bytes.extend_from_slice(&(sample + low).to_le_bytes()[..depth.bytes()]);
        }
        let format = PixelFormat::Bayer(order, depth);
        let (planes, used) = packed_planes(format, width, height);
        Frame {
            format,
            width,
            height,
            planes,
            used,
            colour: Colour::OURS,
            memory: Arc::new(bytes),
            capture: Default::default(),
            number: 0,
            crc: None,
        }
    }

    #[test]
    fn every_order_and_depth_shows_the_colour_to_its_edges() {
        let (mut samples, rgb) = (Vec::new(), [200, 100, 30]);
        for order in [Bayer::Bggr, Bayer::Gbrg, Bayer::Grbg, Bayer::Rggb] {
            for depth in [Depth::Eight, Depth::Ten, Depth::Twelve, Depth::Fourteen, Depth::Sixteen]
            {
                for (width, height) in [(2, 2), (6, 4), (7, 5)] {
                    let frame = flat(order, depth, rgb, width, height);
                    for (first, count) in [(0, height), (0, 2), (height - 1, 1)] {
                        let mut out = vec![0; count * width * 3];
                        to_rgb(&frame, order, depth, first, &mut samples, &mut out).unwrap();
                        let even = out.as_chunks::<3>().0.iter().all(|p| *p == rgb);
                        assert!(even, "{order:?} {depth:?} {width}x{height} {first}: {out:?}");
                    }
                }
            }
        }
        let tiny = flat(Bayer::Rggb, Depth::Eight, rgb, 1, 1);
        let refused = to_rgb(&tiny, Bayer::Rggb, Depth::Eight, 0, &mut samples, &mut [0; 3]);
        assert!(refused.is_err());
    }

    #[test]
    fn a_point_spreads_over_its_neighbours() {
        let mut frame = flat(Bayer::Rggb, Depth::Eight, [0, 0, 0], 6, 6);
        let mut bytes = vec![0; 36];
        // A red sample at (2, 2).
        bytes[2 * 6 + 2] = 200;
        frame.memory = Arc::new(bytes);
        let mut out = vec![0; 108];
        to_rgb(&frame, Bayer::Rggb, Depth::Eight, 0, &mut Vec::new(), &mut out).unwrap();
        let red = |x: usize, y: usize| out[(y * 6 + x) * 3];
        assert_eq!((red(2, 2), red(1, 2), red(2, 1), red(1, 1), red(4, 2)), (200, 100, 100, 50, 0));
    }
}
