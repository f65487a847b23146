//! I420 to the layouts that vision programs want (BT.601, limited range in, full range RGB out).

use super::View;
use crate::frame::{Colour, PixelFormat, packed_planes};

/// Layouts that [`pack`] makes.
pub const FORMATS: [PixelFormat; 5] = [
    PixelFormat::I420,
    PixelFormat::Nv12,
    PixelFormat::Grey,
    PixelFormat::Rgb24,
    PixelFormat::Bgr24,
];

/// Writes a picture in another layout, without padding (see [`packed_planes`]).
///
/// # Errors
/// When the layout is none of [`FORMATS`], or `out` is too short.
pub fn pack(
    view: &View<'_>,
    colour: Colour,
    format: PixelFormat,
    out: &mut [u8],
) -> Result<(), String> {
    let (planes, size) = packed_planes(format, view.width(), view.height());
    if !FORMATS.contains(&format) {
        return Err(format!("pictures are not made in {format}"));
    }
    let Some(out) = out.get_mut(..size) else {
        return Err(format!("{size} bytes do not fit the buffer"));
    };
    let rows = |plane: usize| PixelFormat::I420.rows(plane, view.height());
    match format {
        PixelFormat::Rgb24 | PixelFormat::Bgr24 => {
            let levels = Levels::of(colour);
            for (y, to) in out.chunks_exact_mut(view.width() * 3).enumerate() {
                let [u, v] = [1, 2].map(|p| view.row(p, y / 2));
                if format == PixelFormat::Rgb24 {
                    colour_row::<0>(&levels, view.row(0, y), u, v, to);
                } else {
                    colour_row::<2>(&levels, view.row(0, y), u, v, to);
                }
            }
        }
        PixelFormat::Nv12 => {
            let (luma, chroma) = out.split_at_mut(planes[1].offset);
            copy_rows(view, 0, luma);
            for (y, to) in chroma.chunks_exact_mut(planes[1].stride).enumerate() {
                let pairs = view.row(1, y).iter().zip(view.row(2, y));
                for (to, (u, v)) in to.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
                    *to = [*u, *v];
                }
            }
        }
        _ => {
            let mut rest = out;
            for plane in 0..format.planes() {
                let bytes = rows(plane) * view.row(plane, 0).len();
                let (to, after) = rest.split_at_mut(bytes);
                copy_rows(view, plane, to);
                rest = after;
            }
        }
    }
    Ok(())
}

fn copy_rows(view: &View<'_>, plane: usize, to: &mut [u8]) {
    for (y, to) in to.chunks_exact_mut(view.row(plane, 0).len()).enumerate() {
        to.copy_from_slice(view.row(plane, y));
    }
}

/// What the samples are multiplied by, in 2^14ths.
struct Levels {
    black: i32,
    luma: i32,
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

impl Levels {
    /// BT.709 where that is said, else BT.601 (ITU-T H.273 table 4).
    fn of(colour: Colour) -> Self {
        let (red, blue) = if colour.matrix == 1 { (0.2126, 0.0722) } else { (0.299, 0.114) };
        let green = 1.0 - red - blue;
        let (luma, chroma) =
            if colour.full_range { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        let fixed = |factor: f64| (factor * 16_384.0).round() as i32;
        let (of_v, of_u) = (2.0 * (1.0 - red) * chroma, 2.0 * (1.0 - blue) * chroma);
        Self {
            black: if colour.full_range { 0 } else { 16 },
            luma: fixed(luma),
            red_of_v: fixed(of_v),
            green_of_u: fixed(of_u * blue / green),
            green_of_v: fixed(of_v * red / green),
            blue_of_u: fixed(of_u),
        }
    }
}

/// One row of RGB (`RED` = 0) or BGR (`RED` = 2).
fn colour_row<const RED: usize>(levels: &Levels, luma: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) {
    let l = levels;
    let pixels = out.as_chunks_mut::<3>().0.iter_mut();
    for (x, (pixel, luma)) in pixels.zip(luma).enumerate() {
        // With half a step, so that the shift rounds.
        let y = (i32::from(*luma) - l.black) * l.luma + (1 << 13);
        let (u, v) = (i32::from(u[x / 2]) - 128, i32::from(v[x / 2]) - 128);
        pixel[RED] = ((y + l.red_of_v * v) >> 14).clamp(0, 255) as u8;
        pixel[1] = ((y - l.green_of_u * u - l.green_of_v * v) >> 14).clamp(0, 255) as u8;
        pixel[2 - RED] = ((y + l.blue_of_u * u) >> 14).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_and_matrix_are_the_cameras() {
        let hd = Colour { matrix: 1, ..Colour::OURS };
        for (colour, yuv, rgb) in [
            (Colour::JPEG, [255, 128, 128], [255, 255, 255]),
            (Colour::JPEG, [0, 128, 128], [0, 0, 0]),
            (Colour::JPEG, [76, 85, 255], [254, 0, 0]),
            (hd, [63, 102, 240], [255, 1, 0]),
            (hd, [173, 42, 26], [0, 255, 1]),
        ] {
            let [y, u, v] = yuv.map(|s: u8| vec![s; 4]);
            let view = View::new(2, 2, [&y, &u, &v], [2, 1, 1]).unwrap();
            let mut out = vec![0; 12];
            pack(&view, colour, PixelFormat::Rgb24, &mut out).unwrap();
            for (got, want) in out.iter().zip(rgb) {
                assert!(got.abs_diff(want) <= 2, "{colour:?} {yuv:?} {out:?}");
            }
        }
    }

    #[test]
    fn colours_are_those_of_bt601() {
        for (yuv, rgb) in [
            ([235, 128, 128], [255, 255, 255]),
            ([16, 128, 128], [0, 0, 0]),
            ([82, 90, 240], [255, 0, 0]),
            ([144, 54, 34], [0, 255, 0]),
            ([41, 240, 110], [0, 0, 255]),
        ] {
            let [y, u, v] = yuv.map(|s: u8| vec![s; 15]);
            let view = View::new(5, 3, [&y, &u, &v], [5, 3, 3]).unwrap();
            for (format, order) in
                [(PixelFormat::Rgb24, [0, 1, 2]), (PixelFormat::Bgr24, [2, 1, 0])]
            {
                let mut out = vec![9; 46];
                pack(&view, Colour::OURS, format, &mut out).unwrap();
                assert_eq!(out[45], 9);
                for pixel in out[..45].chunks(3) {
                    for (got, c) in pixel.iter().zip(order) {
                        assert!(got.abs_diff(rgb[c]) <= 1, "{format} {rgb:?} {pixel:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn planes_lie_where_they_are_said_to() {
        let bytes: Vec<u8> = (0..100).collect();
        let view = View::new(3, 3, [&bytes, &bytes[40..], &bytes[60..]], [7, 5, 4]).unwrap();
        let packed = |format| {
            let mut out = vec![0; packed_planes(format, 3, 3).1];
            pack(&view, Colour::OURS, format, &mut out).unwrap();
            out
        };
        let luma = [0, 1, 2, 7, 8, 9, 14, 15, 16];
        assert_eq!(packed(PixelFormat::Grey), luma);
        let nv12 = packed(PixelFormat::Nv12);
        assert_eq!((&nv12[..9], &nv12[9..]), (&luma[..], &[40, 60, 41, 61, 45, 64, 46, 65][..]));
        let i420 = packed(PixelFormat::I420);
        assert_eq!((&i420[..9], &i420[9..]), (&luma[..], &[40, 41, 45, 46, 60, 61, 64, 65][..]));
        assert!(pack(&view, Colour::OURS, PixelFormat::Yuyv, &mut [0; 99]).is_err());
        assert!(pack(&view, Colour::OURS, PixelFormat::Grey, &mut [0; 8]).is_err());
    }
}
