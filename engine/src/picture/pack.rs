//! I420 to the layouts that vision programs want (BT.601, limited range in, full range RGB out).

use super::View;
use crate::frame::{PixelFormat, packed_planes};

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
pub fn pack(view: &View<'_>, format: PixelFormat, out: &mut [u8]) -> Result<(), String> {
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
            for (y, to) in out.chunks_exact_mut(view.width() * 3).enumerate() {
                let [u, v] = [1, 2].map(|p| view.row(p, y / 2));
                if format == PixelFormat::Rgb24 {
                    colour_row::<0>(view.row(0, y), u, v, to);
                } else {
                    colour_row::<2>(view.row(0, y), u, v, to);
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

/// One row of RGB (`RED` = 0) or BGR (`RED` = 2).
fn colour_row<const RED: usize>(luma: &[u8], u: &[u8], v: &[u8], out: &mut [u8]) {
    let pixels = out.as_chunks_mut::<3>().0.iter_mut();
    for (x, (pixel, luma)) in pixels.zip(luma).enumerate() {
        // 255 / 219 in 2^14ths, with half a step so that the shift rounds.
        let y = (i32::from(*luma) - 16) * 19_077 + (1 << 13);
        let (u, v) = (i32::from(u[x / 2]) - 128, i32::from(v[x / 2]) - 128);
        pixel[RED] = ((y + 26_149 * v) >> 14).clamp(0, 255) as u8;
        pixel[1] = ((y - 6_419 * u - 13_320 * v) >> 14).clamp(0, 255) as u8;
        pixel[2 - RED] = ((y + 33_050 * u) >> 14).clamp(0, 255) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                pack(&view, format, &mut out).unwrap();
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
            pack(&view, format, &mut out).unwrap();
            out
        };
        let luma = [0, 1, 2, 7, 8, 9, 14, 15, 16];
        assert_eq!(packed(PixelFormat::Grey), luma);
        let nv12 = packed(PixelFormat::Nv12);
        assert_eq!((&nv12[..9], &nv12[9..]), (&luma[..], &[40, 60, 41, 61, 45, 64, 46, 65][..]));
        let i420 = packed(PixelFormat::I420);
        assert_eq!((&i420[..9], &i420[9..]), (&luma[..], &[40, 41, 45, 46, 60, 61, 64, 65][..]));
        assert!(pack(&view, PixelFormat::Yuyv, &mut [0; 99]).is_err());
        assert!(pack(&view, PixelFormat::Grey, &mut [0; 8]).is_err());
    }
}
