//! What a camera's format is to lensd, and where the planes of a picture lie.

use crate::frame::{Bayer, Depth, PixelFormat, Plane};
use crate::sys::v4l2::format::{Format, FourCc};
use lensd_ffi::unit::Codec;
use std::fmt;
use std::str::FromStr;

/// What a camera delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivers {
    /// Pictures of this layout, JPEG among them.
    Pixels(PixelFormat),
    /// Pictures of this layout, each plane in a buffer of its own ("Non-contiguous multi-planar").
    Apart(PixelFormat),
    /// A coded stream that is passed through.
    Coded(Codec),
}

/// V4L2's codes, best first where a camera offers several: planar 4:2:0 is what encoders take, then
/// what is converted at least cost. `MJPG` and `JPEG` are both JPEG pictures in practice.
const CODES: [(&[u8; 4], Delivers); 40] = [
    (b"NV12", Delivers::Pixels(PixelFormat::Nv12)),
    (b"YU12", Delivers::Pixels(PixelFormat::I420)),
    (b"NV21", Delivers::Pixels(PixelFormat::Nv21)),
    (b"YUYV", Delivers::Pixels(PixelFormat::Yuyv)),
    (b"UYVY", Delivers::Pixels(PixelFormat::Uyvy)),
    (b"NM12", Delivers::Apart(PixelFormat::Nv12)),
    (b"YM12", Delivers::Apart(PixelFormat::I420)),
    (b"NM21", Delivers::Apart(PixelFormat::Nv21)),
    (b"MJPG", Delivers::Pixels(PixelFormat::Mjpeg)),
    (b"JPEG", Delivers::Pixels(PixelFormat::Mjpeg)),
    (b"RGB3", Delivers::Pixels(PixelFormat::Rgb24)),
    (b"BGR3", Delivers::Pixels(PixelFormat::Bgr24)),
    (b"GREY", Delivers::Pixels(PixelFormat::Grey)),
    (b"Y10 ", grey(Depth::Ten)),
    (b"Y12 ", grey(Depth::Twelve)),
    (b"Y14 ", grey(Depth::Fourteen)),
    (b"Y16 ", grey(Depth::Sixteen)),
    (b"BA81", bayer(Bayer::Bggr, Depth::Eight)),
    (b"GBRG", bayer(Bayer::Gbrg, Depth::Eight)),
    (b"GRBG", bayer(Bayer::Grbg, Depth::Eight)),
    (b"RGGB", bayer(Bayer::Rggb, Depth::Eight)),
    (b"BG10", bayer(Bayer::Bggr, Depth::Ten)),
    (b"GB10", bayer(Bayer::Gbrg, Depth::Ten)),
    (b"BA10", bayer(Bayer::Grbg, Depth::Ten)),
    (b"RG10", bayer(Bayer::Rggb, Depth::Ten)),
    (b"BG12", bayer(Bayer::Bggr, Depth::Twelve)),
    (b"GB12", bayer(Bayer::Gbrg, Depth::Twelve)),
    (b"BA12", bayer(Bayer::Grbg, Depth::Twelve)),
    (b"RG12", bayer(Bayer::Rggb, Depth::Twelve)),
    (b"BG14", bayer(Bayer::Bggr, Depth::Fourteen)),
    (b"GB14", bayer(Bayer::Gbrg, Depth::Fourteen)),
    (b"GR14", bayer(Bayer::Grbg, Depth::Fourteen)),
    (b"RG14", bayer(Bayer::Rggb, Depth::Fourteen)),
    (b"BYR2", bayer(Bayer::Bggr, Depth::Sixteen)),
    (b"GB16", bayer(Bayer::Gbrg, Depth::Sixteen)),
    (b"GR16", bayer(Bayer::Grbg, Depth::Sixteen)),
    (b"RG16", bayer(Bayer::Rggb, Depth::Sixteen)),
    (b"H264", Delivers::Coded(Codec::H264)),
    (b"HEVC", Delivers::Coded(Codec::H265)),
    (b"H265", Delivers::Coded(Codec::H265)),
];

const fn grey(depth: Depth) -> Delivers {
    Delivers::Pixels(PixelFormat::GreyDeep(depth))
}

const fn bayer(order: Bayer, depth: Depth) -> Delivers {
    Delivers::Pixels(PixelFormat::Bayer(order, depth))
}

impl Delivers {
    /// What a V4L2 code is, if lensd can use it.
    pub fn of(fourcc: FourCc) -> Option<Self> {
        CODES.iter().find(|(code, _)| FourCc::new(code) == fourcc).map(|(_, delivers)| *delivers)
    }

    /// How much a code is preferred: less is better.
    pub(super) fn rank(fourcc: FourCc) -> usize {
        CODES.iter().position(|(code, _)| FourCc::new(code) == fourcc).unwrap_or(CODES.len())
    }

    /// How many buffers a picture is in.
    pub(super) const fn buffers(self) -> usize {
        match self {
            Self::Apart(pixels) => pixels.planes(),
            Self::Pixels(_) | Self::Coded(_) => 1,
        }
    }

    /// V4L2's code of raw pictures, for an encoder's input.
    pub fn fourcc(self) -> FourCc {
        let code = CODES.iter().find(|(_, delivers)| *delivers == self);
        code.map_or(FourCc(0), |(code, _)| FourCc::new(code))
    }
}

impl fmt::Display for Delivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(format) => format.fmt(f),
            Self::Apart(_) => self.fourcc().fmt(f),
            Self::Coded(codec) => f.write_str(codec.name()),
        }
    }
}

impl FromStr for Delivers {
    type Err = String;

    /// Takes lensd's names (`I420`, `RGB24`), V4L2's codes (`YU12`, `RGB3`) and the codings' other
    /// names (`MJPG`, `H265`), in any case.
    fn from_str(name: &str) -> Result<Self, String> {
        let upper = name.to_ascii_uppercase();
        CODES
            .iter()
            .find(|(code, delivers)| {
                code.as_slice() == upper.as_bytes() || delivers.to_string() == upper
            })
            .map(|(_, delivers)| *delivers)
            .ok_or_else(|| {
                let mut names: Vec<_> = CODES.iter().map(|(_, d)| d.to_string()).collect();
                names.dedup();
                format!("format {name} is not known; there are {}", names.join(", "))
            })
    }
}

/// Where the planes of a picture lie in a buffer whose format is `format` ("Contiguous
/// multi-planar": each plane right after the one before, the chroma stride derived from the luma
/// stride), and the bytes they take. `None` if the driver's numbers cannot hold such a picture.
pub fn planes(pixels: PixelFormat, format: &Format) -> Option<([Plane; 3], usize)> {
    let (width, height) = (format.width as usize, format.height as usize);
    let memory = format.planes.first()?;
    if pixels == PixelFormat::Mjpeg {
        return Some(([Plane::default(); 3], memory.size as usize));
    }
    let luma = match memory.stride as usize {
        0 => pixels.row_bytes(0, width),
        stride => stride,
    };
    let mut planes = [Plane::default(); 3];
    let mut offset = 0;
    for (i, plane) in planes.iter_mut().enumerate().take(pixels.planes()) {
        let stride = match (pixels, i) {
            (PixelFormat::I420, 1..) => luma.div_ceil(2),
            // An odd width has half a pair of chroma more than luma.
            (PixelFormat::Nv12 | PixelFormat::Nv21, 1..) => luma.max(pixels.row_bytes(i, width)),
            _ => luma,
        };
        if stride < pixels.row_bytes(i, width) {
            return None;
        }
        *plane = Plane { offset, stride };
        offset += stride * pixels.rows(i, height);
    }
    (width > 0 && height > 0 && offset <= memory.size as usize).then_some((planes, offset))
}

/// The planes of a picture of which each lies in a buffer of its own, whose formats are those of
/// `format`: strides, and the bytes that each takes. Offsets are 0. `None` as [`planes`].
pub fn planes_apart(pixels: PixelFormat, format: &Format) -> Option<([Plane; 3], [usize; 3])> {
    let (width, height) = (format.width as usize, format.height as usize);
    let (mut planes, mut sizes) = ([Plane::default(); 3], [0; 3]);
    if format.planes.len() != pixels.planes() || width == 0 || height == 0 {
        return None;
    }
    for (i, memory) in format.planes.iter().enumerate() {
        let row = pixels.row_bytes(i, width);
        let stride = if memory.stride == 0 { row } else { memory.stride as usize };
        sizes[i] = stride * pixels.rows(i, height);
        if stride < row || sizes[i] > memory.size as usize {
            return None;
        }
        planes[i] = Plane { offset: 0, stride };
    }
    Some((planes, sizes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::v4l2::format::PlaneFormat;

    fn format(width: u32, height: u32, stride: u32, size: u32) -> Format {
        Format { width, height, planes: vec![PlaneFormat { stride, size }], ..Format::default() }
    }

    #[test]
    fn names_of_formats() {
        for (name, code) in
            [("i420", b"YU12"), ("YU12", b"YU12"), ("mjpeg", b"MJPG"), ("rgb24", b"RGB3")]
        {
            assert_eq!(name.parse::<Delivers>().unwrap().fourcc(), FourCc::new(code), "{name}");
        }
        assert_eq!("hevc".parse(), Ok(Delivers::Coded(Codec::H265)));
        let refused = "XYZ".parse::<Delivers>().unwrap_err();
        assert!(refused.contains("there are NV12, I420, NV21"), "{refused}");
    }

    #[test]
    fn planes_with_padded_rows() {
        let (p, used) = planes(PixelFormat::Nv12, &format(640, 480, 704, 506_880)).unwrap();
        assert_eq!(p[1], Plane { offset: 704 * 480, stride: 704 });
        assert_eq!(used, 704 * 720);
        let (p, used) = planes(PixelFormat::I420, &format(640, 480, 704, 506_880)).unwrap();
        assert_eq!(p[1], Plane { offset: 704 * 480, stride: 352 });
        assert_eq!(p[2], Plane { offset: 704 * 480 + 352 * 240, stride: 352 });
        assert_eq!(used, 704 * 720);
    }

    #[test]
    fn a_driver_that_says_no_stride() {
        let (p, used) = planes(PixelFormat::Yuyv, &format(320, 240, 0, 153_600)).unwrap();
        assert_eq!((p[0].stride, used), (640, 153_600));
    }

    #[test]
    fn planes_in_buffers_of_their_own() {
        assert_eq!("nm12".parse(), Ok(Delivers::Apart(PixelFormat::Nv12)));
        let nm12 = Delivers::Apart(PixelFormat::Nv12);
        assert_eq!((nm12.to_string().as_str(), nm12.buffers()), ("NM12", 2));
        let mut f = format(640, 480, 704, 704 * 480);
        assert!(planes_apart(PixelFormat::Nv12, &f).is_none());
        f.planes.push(PlaneFormat { stride: 0, size: 640 * 240 });
        let (p, sizes) = planes_apart(PixelFormat::Nv12, &f).unwrap();
        assert_eq!((p[0].stride, p[1].stride), (704, 640));
        assert_eq!(sizes, [704 * 480, 640 * 240, 0]);
        f.planes[1].size -= 1;
        assert!(planes_apart(PixelFormat::Nv12, &f).is_none());
    }

    #[test]
    fn numbers_that_cannot_be() {
        assert!(planes(PixelFormat::Yuyv, &format(320, 240, 320, 153_600)).is_none());
        assert!(planes(PixelFormat::Nv12, &format(640, 480, 640, 307_200)).is_none());
        assert!(planes(PixelFormat::Grey, &format(0, 480, 0, 307_200)).is_none());
        assert!(planes(PixelFormat::Grey, &Format::default()).is_none());
    }

    #[test]
    fn odd_pictures() {
        let (p, used) = planes(PixelFormat::Nv12, &format(5, 3, 5, 27)).unwrap();
        assert_eq!((p[1], used), (Plane { offset: 15, stride: 6 }, 27));
    }
}
