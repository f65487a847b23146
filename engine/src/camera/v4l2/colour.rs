//! V4L2's names of colours ("Colorspaces") and the code points of ITU-T H.273 that streams carry.

use crate::frame::{Colour, PixelFormat};
use crate::sys::v4l2::format::Colour as Raw;

/// `V4L2_COLORSPACE_*` with the primaries, transfer and matrix that it stands for where a driver
/// does not name them, and whether YCbCr is then of full range.
const SPACES: [(u32, u8, u8, u8, bool); 10] = [
    (1, 6, 1, 6, false),    // SMPTE170M
    (2, 7, 7, 7, false),    // SMPTE240M
    (3, 1, 1, 1, false),    // REC709
    (5, 4, 1, 6, false),    // 470_SYSTEM_M
    (6, 5, 1, 6, false),    // 470_SYSTEM_BG
    (7, 1, 13, 6, true),    // JPEG
    (8, 1, 13, 6, false),   // SRGB
    (9, 2, 2, 6, false),    // OPRGB: H.273 has no number for it
    (10, 9, 1, 9, false),   // BT2020
    (12, 11, 17, 1, false), // DCI_P3
];

/// `V4L2_XFER_FUNC_*`, `V4L2_YCBCR_ENC_*`.
const TRANSFERS: [(u32, u8); 6] = [(1, 1), (2, 13), (4, 7), (5, 8), (6, 17), (7, 16)];
const MATRICES: [(u32, u8); 7] = [(1, 6), (2, 1), (3, 6), (4, 1), (6, 9), (7, 10), (8, 7)];
/// `V4L2_QUANTIZATION_FULL_RANGE`, `V4L2_QUANTIZATION_LIM_RANGE`
const FULL: u32 = 1;
const LIMITED: u32 = 2;

/// What the samples of a camera's pictures mean once they are YCbCr.
pub fn of_camera(raw: Raw, pixels: PixelFormat) -> Colour {
    let space = SPACES.iter().find(|(space, ..)| *space == raw.space);
    let (primaries, transfer, matrix, full) =
        space.map_or((2, 2, 2, false), |&(_, p, t, m, full)| (p, t, m, full));
    let named = |table: &[(u32, u8)], value: u32, usual: u8| {
        table.iter().find(|(v, _)| *v == value).map_or(usual, |(_, code)| *code)
    };
    let transfer = named(&TRANSFERS, raw.transfer, transfer);
    match pixels {
        // Converted here, whatever the driver calls the matrix of its RGB.
        PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Bayer(..) => {
            Colour { primaries, transfer, ..Colour::OURS }
        }
        PixelFormat::Mjpeg => Colour::JPEG,
        _ => Colour {
            primaries,
            transfer,
            matrix: named(&MATRICES, raw.encoding, matrix),
            full_range: match raw.quantization {
                FULL => true,
                LIMITED => false,
                _ => full,
            },
        },
    }
}

/// The same for a driver that is to encode such pictures.
pub fn to_driver(colour: Colour) -> Raw {
    let space = SPACES.iter().find(|(_, p, t, ..)| (*p, *t) == (colour.primaries, colour.transfer));
    let space = space.or_else(|| SPACES.iter().find(|(_, p, ..)| *p == colour.primaries));
    let space = space.filter(|_| colour.primaries != 2).map_or(0, |(space, ..)| *space);
    let back = |table: &[(u32, u8)], code: u8| {
        table.iter().find(|(_, c)| *c == code).map_or(0, |(value, _)| *value)
    };
    Raw {
        space: if space == 7 { 8 } else { space },
        encoding: back(&MATRICES, colour.matrix),
        quantization: if colour.full_range { FULL } else { LIMITED },
        transfer: back(&TRANSFERS, colour.transfer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_leaves_open_is_its_colour_spaces() {
        let raw = |space, encoding, quantization, transfer| Raw {
            space,
            encoding,
            quantization,
            transfer,
        };
        let hd = of_camera(raw(3, 0, 0, 0), PixelFormat::Nv12);
        assert_eq!(hd, Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false });
        // A webcam: sRGB, the matrix of BT.601.
        let webcam = of_camera(raw(8, 0, 0, 0), PixelFormat::Yuyv);
        assert_eq!(webcam, Colour::OURS);
        let full = of_camera(raw(8, 2, 1, 1), PixelFormat::Yuyv);
        assert_eq!(full, Colour { primaries: 1, transfer: 1, matrix: 1, full_range: true });
        assert_eq!(of_camera(raw(0, 0, 0, 0), PixelFormat::Nv12), Colour::default());
        assert_eq!(of_camera(raw(7, 0, 0, 0), PixelFormat::Yuyv), Colour::JPEG);
        assert_eq!(of_camera(raw(8, 0, 1, 0), PixelFormat::Rgb24), Colour::OURS);
    }

    #[test]
    fn an_encoder_is_told_what_the_camera_said() {
        for space in [1, 2, 3, 5, 6, 8, 10, 12] {
            let raw = Raw { space, ..Raw::default() };
            let colour = of_camera(raw, PixelFormat::Nv12);
            let back = to_driver(colour);
            assert_eq!(of_camera(back, PixelFormat::Nv12), colour, "{space}");
        }
        let unknown = to_driver(Colour::default());
        assert_eq!(unknown, Raw { space: 0, encoding: 0, quantization: LIMITED, transfer: 0 });
    }
}
