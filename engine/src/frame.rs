//! A raw picture on its way: where its bytes are, how they are laid out, and when it was captured.

use lensd_ffi::time::Stamp;
pub use lensd_ffi::unit::Colour;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// How many bits of a sample count. More than 8 lie in two bytes each, the lower one first, with
/// zeros above (V4L2 "Luma-Only Formats", "Raw Bayer Formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "numbers")]
pub enum Depth {
    Eight = 8,
    Ten = 10,
    Twelve = 12,
    Fourteen = 14,
    Sixteen = 16,
}

impl Depth {
    /// Bytes of a sample.
    pub const fn bytes(self) -> usize {
        if matches!(self, Self::Eight) { 1 } else { 2 }
    }

    /// By how much a sample is shifted to be one of 8 bits.
    pub const fn excess(self) -> u32 {
        self as u32 - 8
    }
}

/// The colours that a sensor's first two rows begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "they are their names")]
pub enum Bayer {
    Bggr,
    Gbrg,
    Grbg,
    Rggb,
}

/// How the bytes of a picture are laid out. Names are those of V4L2 (V4L2 "Image Formats").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Y plane, then U, then V, chroma halved both ways (`V4L2_PIX_FMT_YUV420`, `YU12`).
    I420,
    /// Y plane, then U and V interleaved, halved both ways.
    Nv12,
    /// Y plane, then V and U interleaved, halved both ways.
    Nv21,
    /// Y0 U Y1 V, chroma halved horizontally.
    Yuyv,
    /// U Y0 V Y1, chroma halved horizontally.
    Uyvy,
    /// 8 bits of luminance.
    Grey,
    /// 8 bits each of red, green, blue (`V4L2_PIX_FMT_RGB24`, `RGB3`).
    Rgb24,
    /// 8 bits each of blue, green, red (`V4L2_PIX_FMT_BGR24`, `BGR3`).
    Bgr24,
    /// Luminance of more than 8 bits.
    GreyDeep(Depth),
    /// A sensor's raw samples, each of one colour.
    Bayer(Bayer, Depth),
    /// A JPEG picture.
    Mjpeg,
}

impl PixelFormat {
    /// Number of planes.
    pub const fn planes(self) -> usize {
        match self {
            Self::I420 => 3,
            Self::Nv12 | Self::Nv21 => 2,
            _ => 1,
        }
    }

    /// Bytes in a row of plane `plane` of a picture `width` pixels wide, without padding. 0 for
    /// [`PixelFormat::Mjpeg`].
    pub const fn row_bytes(self, plane: usize, width: usize) -> usize {
        match (self, plane) {
            (Self::I420, 0) | (Self::Nv12 | Self::Nv21, 0) | (Self::Grey, _) => width,
            (Self::I420, _) => width.div_ceil(2),
            (Self::Nv12 | Self::Nv21, _) => width.div_ceil(2) * 2,
            (Self::Yuyv | Self::Uyvy, _) => width.div_ceil(2) * 4,
            (Self::Rgb24 | Self::Bgr24, _) => width * 3,
            (Self::GreyDeep(depth) | Self::Bayer(_, depth), _) => width * depth.bytes(),
            (Self::Mjpeg, _) => 0,
        }
    }

    /// Rows of plane `plane` of a picture `height` pixels high. 0 for [`PixelFormat::Mjpeg`].
    pub const fn rows(self, plane: usize, height: usize) -> usize {
        match (self, plane) {
            (Self::I420 | Self::Nv12 | Self::Nv21, 1..) => height.div_ceil(2),
            (Self::Mjpeg, _) => 0,
            _ => height,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GreyDeep(depth) => return write!(f, "GREY{}", *depth as u8),
            Self::Bayer(order, depth) => {
                return write!(f, "{}{}", format!("{order:?}").to_uppercase(), *depth as u8);
            }
            Self::I420 => "I420",
            Self::Nv12 => "NV12",
            Self::Nv21 => "NV21",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Grey => "GREY",
            Self::Rgb24 => "RGB24",
            Self::Bgr24 => "BGR24",
            Self::Mjpeg => "MJPEG",
        })
    }
}

/// Memory that holds a picture. Dropping the last handle gives the buffer back to whoever lent it.
pub trait Memory: Send + Sync {
    /// All bytes, mapped. For software stages only: the zero-copy path never calls it.
    fn bytes(&self) -> &[u8];

    /// The buffer as a DMA-buf, for hardware.
    fn dmabuf(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The buffer as other processes may have it: they can map it for reading alone.
    fn shared(&self) -> Option<Shared<'_>> {
        None
    }
}

/// What a shared buffer is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedKind {
    /// A DMA-buf.
    DmaBuf,
    /// A memfd whose size is sealed, and that nobody else can map for writing.
    Memfd,
}

/// A buffer as other processes may have it. Pool and index are its identity: whoever has the
/// descriptor once knows it by them.
#[derive(Debug, Clone, Copy)]
pub struct Shared<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// What it is.
    pub kind: SharedKind,
    /// Its length in bytes.
    pub len: usize,
    /// The set of buffers; no other set of this process has the same number.
    pub pool: u32,
    /// Which of these, from 0.
    pub index: u32,
    /// How many there are.
    pub buffers: u32,
}

impl Memory for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Where one plane lies in its memory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// Offset of the first row in bytes.
    pub offset: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A raw (or JPEG) picture.
#[derive(Clone)]
pub struct Frame {
    /// Layout.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Planes; those past [`PixelFormat::planes`] are unused.
    pub planes: [Plane; 3],
    /// Bytes of the memory that are used, which matters for JPEG.
    pub used: usize,
    /// What its samples mean.
    pub colour: Colour,
    /// The bytes.
    pub memory: Arc<dyn Memory>,
    /// When it was captured.
    pub capture: Stamp,
    /// Number since the camera was opened, from 0, with gaps where frames were lost.
    pub number: u64,
    /// CRC-32 (IEEE) of the I420 picture, if the camera has computed it.
    pub crc: Option<u32>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{} #{}", self.format, self.width, self.height, self.number)
    }
}

/// Planes of a picture without padding, one after the other, and the bytes they take.
pub fn packed_planes(format: PixelFormat, width: usize, height: usize) -> ([Plane; 3], usize) {
    let mut planes = [Plane::default(); 3];
    let mut offset = 0;
    for (i, plane) in planes.iter_mut().enumerate().take(format.planes()) {
        let stride = format.row_bytes(i, width);
        *plane = Plane { offset, stride };
        offset += stride * format.rows(i, height);
    }
    (planes, offset)
}

impl Frame {
    /// The rows of plane `plane`, each without its padding. Empty if the memory is too short for
    /// what the frame says, which a driver could get wrong.
    pub fn rows(&self, plane: usize) -> impl Iterator<Item = &[u8]> {
        let Plane { offset, stride } = self.planes[plane];
        let (row, rows) =
            (self.format.row_bytes(plane, self.width), self.format.rows(plane, self.height));
        let bytes = self.memory.bytes();
        let sound = row > 0
            && rows > 0
            && stride >= row
            && (rows - 1)
                .checked_mul(stride)
                .and_then(|n| n.checked_add(offset)?.checked_add(row))
                .is_some_and(|end| end <= bytes.len());
        (0..if sound { rows } else { 0 }).map(move |y| {
            let at = offset + y * stride;
            &bytes[at..at + row]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_sizes_of_an_odd_picture() {
        for (format, bytes) in [
            (PixelFormat::I420, 15 + 6 + 6),
            (PixelFormat::Nv12, 15 + 12),
            (PixelFormat::Yuyv, 36),
            (PixelFormat::Rgb24, 45),
        ] {
            assert_eq!(packed_planes(format, 5, 3).1, bytes, "{format}");
        }
    }

    #[test]
    fn a_frame_that_lies_about_its_memory_has_no_rows() {
        let (planes, size) = packed_planes(PixelFormat::Grey, 4, 4);
        let mut frame = Frame {
            format: PixelFormat::Grey,
            width: 4,
            height: 4,
            planes,
            used: size,
            colour: Colour::default(),
            memory: Arc::new(vec![0; size]),
            capture: Stamp::default(),
            number: 0,
            crc: None,
        };
        assert_eq!(frame.rows(0).count(), 4);
        frame.height = 5;
        assert_eq!(frame.rows(0).count(), 0);
    }
}
