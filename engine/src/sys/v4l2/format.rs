//! `VIDIOC_ENUM_FMT`, `VIDIOC_ENUM_FRAMESIZES`, `VIDIOC_ENUM_FRAMEINTERVALS`, `VIDIOC_G_FMT`,
//! `VIDIOC_S_FMT`, `VIDIOC_G_PARM`, `VIDIOC_S_PARM`, `VIDIOC_S_SELECTION`.

use super::{Device, QueueType, Refusal, bindings, refuse, text};
use rustix::io::Errno;
use serde::{Serialize, Serializer};
use std::fmt;
use std::os::fd::AsRawFd;
use v4l2r::ioctl::{self as vidioc};

/// A pixel or coding format ("Image Formats"): four characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FourCc(pub u32);

impl FourCc {
    /// From its characters.
    pub const fn new(code: &[u8; 4]) -> Self {
        Self(u32::from_le_bytes(*code))
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit says "big endian" (v4l2_fourcc_be).
        let bytes = (self.0 & 0x7fff_ffff).to_le_bytes();
        if !bytes.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
            return write!(f, "0x{:08x}", self.0);
        }
        f.write_str(String::from_utf8_lossy(&bytes).trim_end())?;
        f.write_str(if self.0 >> 31 == 1 { "-BE" } else { "" })
    }
}

impl Serialize for FourCc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A format that a queue offers (`struct v4l2_fmtdesc`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// The format.
    pub fourcc: FourCc,
    /// In words.
    pub description: String,
    /// `V4L2_FMT_FLAG_*`
    pub flags: u32,
}

impl FormatDescription {
    /// Whether it is coded (`V4L2_FMT_FLAG_COMPRESSED`).
    pub fn compressed(&self) -> bool {
        self.flags & bindings::V4L2_FMT_FLAG_COMPRESSED != 0
    }

    /// Whether a library would make it, not the device (`V4L2_FMT_FLAG_EMULATED`).
    pub fn emulated(&self) -> bool {
        self.flags & bindings::V4L2_FMT_FLAG_EMULATED != 0
    }
}

impl From<bindings::v4l2_fmtdesc> for FormatDescription {
    fn from(raw: bindings::v4l2_fmtdesc) -> Self {
        Self {
            fourcc: FourCc(raw.pixelformat),
            description: text(&raw.description),
            flags: raw.flags,
        }
    }
}

/// Sizes that a format offers, one entry of the enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeEntry {
    /// Exactly this.
    Discrete(u32, u32),
    /// All from the first to the second in steps of the third (width, height).
    Stepwise((u32, u32), (u32, u32), (u32, u32)),
    /// Nothing that the manual knows.
    Unknown,
}

impl From<bindings::v4l2_frmsizeenum> for SizeEntry {
    fn from(raw: bindings::v4l2_frmsizeenum) -> Self {
        match raw.size() {
            Some(vidioc::FrmSizeTypes::Discrete(d)) => Self::Discrete(d.width, d.height),
            Some(vidioc::FrmSizeTypes::StepWise(s)) => Self::Stepwise(
                (s.min_width, s.min_height),
                (s.max_width, s.max_height),
                (s.step_width, s.step_height),
            ),
            None => Self::Unknown,
        }
    }
}

/// The time from one frame to the next, in seconds (`struct v4l2_fract`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Interval {
    /// Numerator.
    pub numerator: u32,
    /// Denominator.
    pub denominator: u32,
}

impl Interval {
    /// Frames per second; zero for nonsense.
    pub fn fps(self) -> f64 {
        if self.numerator == 0 {
            0.0
        } else {
            f64::from(self.denominator) / f64::from(self.numerator)
        }
    }

    /// The interval of a rate, to a thousandth of a frame per second.
    pub fn of_fps(fps: f64) -> Self {
        let fps = fps.clamp(0.001, 1_000_000.0);
        // NTSC rates are exact multiples of 1000/1001 (ITU-R BT.1700).
        let ntsc = (fps * 1.001).round();
        if fps.fract() != 0.0 && ntsc >= 1.0 && (fps - ntsc / 1.001).abs() < 0.005 {
            return Self { numerator: 1001, denominator: ntsc as u32 * 1000 };
        }
        if fps.fract() == 0.0 {
            return Self { numerator: 1, denominator: fps as u32 };
        }
        Self { numerator: 1000, denominator: (fps * 1000.0).round() as u32 }
    }

    fn from_raw(raw: bindings::v4l2_fract) -> Option<Self> {
        (raw.numerator != 0 && raw.denominator != 0)
            .then_some(Self { numerator: raw.numerator, denominator: raw.denominator })
    }
}

/// Frame intervals that a size offers, one entry of the enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalEntry {
    /// Exactly this.
    Discrete(Interval),
    /// All from the first (fastest) to the second (slowest).
    Range(Interval, Interval),
    /// Nothing that the manual knows.
    Unknown,
}

impl From<bindings::v4l2_frmivalenum> for IntervalEntry {
    fn from(raw: bindings::v4l2_frmivalenum) -> Self {
        match raw.intervals() {
            Some(vidioc::FrmIvalTypes::Discrete(d)) => {
                Interval::from_raw(*d).map_or(Self::Unknown, Self::Discrete)
            }
            Some(vidioc::FrmIvalTypes::StepWise(s)) => {
                match (Interval::from_raw(s.min), Interval::from_raw(s.max)) {
                    (Some(min), Some(max)) => Self::Range(min, max),
                    _ => Self::Unknown,
                }
            }
            None => Self::Unknown,
        }
    }
}

/// One plane's layout (`struct v4l2_plane_pix_format`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlaneFormat {
    /// Bytes from one row to the next; zero for coded formats.
    pub stride: u32,
    /// Bytes of a buffer of this plane.
    pub size: u32,
}

/// How colours are to be understood (`V4L2_COLORSPACE_*` and its companions; zero is "default").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Colour {
    /// `enum v4l2_colorspace`
    pub space: u32,
    /// `enum v4l2_ycbcr_encoding`
    pub encoding: u32,
    /// `enum v4l2_quantization`
    pub quantization: u32,
    /// `enum v4l2_xfer_func`
    pub transfer: u32,
}

/// A queue's format, whether it is of the single- or the multi-planar API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Format {
    /// Pixel or coding format.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `enum v4l2_field`
    pub field: u32,
    /// Planes in memory: one, but for non-contiguous formats.
    pub planes: Vec<PlaneFormat>,
    /// Colours.
    pub colour: Colour,
}

impl From<bindings::v4l2_format> for Format {
    fn from(raw: bindings::v4l2_format) -> Self {
        let mplane = raw.type_ == QueueType::VideoCaptureMplane as u32
            || raw.type_ == QueueType::VideoOutputMplane as u32;
        if mplane {
            // SAFETY: a multi-planar type makes `pix_mp` the union's member; it is plain numbers.
            let pix = unsafe { raw.fmt.pix_mp };
            // SAFETY: both members are one byte.
            let encoding = unsafe { pix.__bindgen_anon_1.ycbcr_enc };
            let planes = usize::from(pix.num_planes).min(pix.plane_fmt.len());
            Self {
                fourcc: FourCc(pix.pixelformat),
                width: pix.width,
                height: pix.height,
                field: pix.field,
                planes: pix.plane_fmt[..planes]
                    .iter()
                    .map(|p| PlaneFormat { stride: p.bytesperline, size: p.sizeimage })
                    .collect(),
                colour: Colour {
                    space: pix.colorspace,
                    encoding: u32::from(encoding),
                    quantization: u32::from(pix.quantization),
                    transfer: u32::from(pix.xfer_func),
                },
            }
        } else {
            // SAFETY: a single-planar type makes `pix` the union's member; it is plain numbers.
            let pix = unsafe { raw.fmt.pix };
            // SAFETY: both members are one number of 32 bits.
            let encoding = unsafe { pix.__bindgen_anon_1.ycbcr_enc };
            Self {
                fourcc: FourCc(pix.pixelformat),
                width: pix.width,
                height: pix.height,
                field: pix.field,
                planes: vec![PlaneFormat { stride: pix.bytesperline, size: pix.sizeimage }],
                colour: Colour {
                    space: pix.colorspace,
                    encoding,
                    quantization: pix.quantization,
                    transfer: pix.xfer_func,
                },
            }
        }
    }
}

impl Format {
    fn to_raw(&self, queue: QueueType) -> bindings::v4l2_format {
        let mut raw = bindings::v4l2_format { type_: queue as u32, ..Default::default() };
        if queue.is_multiplanar() {
            let mut pix = bindings::v4l2_pix_format_mplane {
                width: self.width,
                height: self.height,
                pixelformat: self.fourcc.0,
                field: self.field,
                colorspace: self.colour.space,
                quantization: self.colour.quantization as u8,
                xfer_func: self.colour.transfer as u8,
                ..Default::default()
            };
            pix.__bindgen_anon_1.ycbcr_enc = self.colour.encoding as u8;
            for (to, from) in pix.plane_fmt.iter_mut().zip(&self.planes) {
                to.bytesperline = from.stride;
                to.sizeimage = from.size;
            }
            pix.num_planes = self.planes.len().clamp(1, pix.plane_fmt.len()) as u8;
            raw.fmt.pix_mp = pix;
        } else {
            let plane = self.planes.first().copied().unwrap_or_default();
            raw.fmt.pix = bindings::v4l2_pix_format {
                width: self.width,
                height: self.height,
                pixelformat: self.fourcc.0,
                field: self.field,
                bytesperline: plane.stride,
                sizeimage: plane.size,
                colorspace: self.colour.space,
                // Says that the fields from `flags` on are meant.
                priv_: bindings::V4L2_PIX_FMT_PRIV_MAGIC,
                __bindgen_anon_1: bindings::v4l2_pix_format__bindgen_ty_1 {
                    ycbcr_enc: self.colour.encoding,
                },
                quantization: self.colour.quantization,
                xfer_func: self.colour.transfer,
                ..Default::default()
            };
        }
        raw
    }
}

/// What `VIDIOC_G_PARM` and `VIDIOC_S_PARM` answer, of it what lensd uses.
struct StreamParm(Option<Interval>);

impl From<bindings::v4l2_streamparm> for StreamParm {
    fn from(raw: bindings::v4l2_streamparm) -> Self {
        // SAFETY: `capture` and `output` have their first fields in the same places, and are plain
        // numbers.
        let parm = unsafe { raw.parm.capture };
        let settable = parm.capability & bindings::V4L2_CAP_TIMEPERFRAME != 0;
        Self(settable.then(|| Interval::from_raw(parm.timeperframe)).flatten())
    }
}

impl Device {
    /// `VIDIOC_ENUM_FMT`; `None` past the last.
    pub fn enum_fmt(&self, queue: QueueType, index: u32) -> Option<FormatDescription> {
        vidioc::enum_fmt(&self.fd, queue, index).ok()
    }

    /// `VIDIOC_ENUM_FRAMESIZES`; `None` past the last, and where the driver does not say.
    pub fn enum_framesizes(&self, index: u32, fourcc: FourCc) -> Option<SizeEntry> {
        vidioc::enum_frame_sizes(&self.fd, index, fourcc.0.into()).ok()
    }

    /// `VIDIOC_ENUM_FRAMEINTERVALS`; `None` past the last, and where the driver does not say.
    pub fn enum_frameintervals(
        &self,
        index: u32,
        fourcc: FourCc,
        (width, height): (u32, u32),
    ) -> Option<IntervalEntry> {
        vidioc::enum_frame_intervals(&self.fd, index, fourcc.0.into(), width, height).ok()
    }

    /// `VIDIOC_G_FMT`
    ///
    /// # Errors
    /// If the device has no such queue.
    pub fn g_fmt(&self, queue: QueueType) -> Result<Format, Refusal> {
        vidioc::g_fmt(&self.fd, queue).map_err(refuse("VIDIOC_G_FMT", &[]))
    }

    /// `VIDIOC_S_FMT`; answers what the driver made of it.
    ///
    /// # Errors
    /// `EBUSY` while anybody has buffers of that queue.
    pub fn s_fmt(&self, queue: QueueType, format: &Format) -> Result<Format, Refusal> {
        let meanings = &[
            (Errno::BUSY, "another program is using the device"),
            (Errno::INVAL, "the driver does not know such a format"),
        ];
        vidioc::s_fmt(&mut self.fd.as_raw_fd(), format.to_raw(queue))
            .map_err(refuse("VIDIOC_S_FMT", meanings))
    }

    /// `VIDIOC_G_PARM`: the frame interval, if the driver has one that can be set.
    pub fn g_parm(&self, queue: QueueType) -> Option<Interval> {
        vidioc::g_parm::<StreamParm>(&self.fd, queue).ok()?.0
    }

    /// `VIDIOC_S_PARM`: sets the frame interval; answers what the driver made of it, `None` if it
    /// does not let it be set.
    ///
    /// # Errors
    /// `ENOTTY` from drivers without it, `EBUSY` from some while streaming.
    pub fn s_parm(
        &self,
        queue: QueueType,
        interval: Interval,
    ) -> Result<Option<Interval>, Refusal> {
        let mut raw = bindings::v4l2_streamparm { type_: queue as u32, ..Default::default() };
        // `output` has the interval in the same place.
        raw.parm.capture = bindings::v4l2_captureparm {
            timeperframe: bindings::v4l2_fract {
                numerator: interval.numerator,
                denominator: interval.denominator,
            },
            ..Default::default()
        };
        vidioc::s_parm::<_, StreamParm>(&self.fd, raw)
            .map(|parm| parm.0)
            .map_err(refuse("VIDIOC_S_PARM", &[]))
    }

    /// `VIDIOC_S_SELECTION` with `V4L2_SEL_TGT_CROP` on an OUTPUT queue: the part of the raw
    /// picture that is encoded, from its upper left corner. Answers the size that the driver took.
    ///
    /// # Errors
    /// `ENOTTY` or `EINVAL` from drivers that cannot crop.
    pub fn s_selection_crop(&self, width: u32, height: u32) -> Result<(u32, u32), Refusal> {
        let rect = bindings::v4l2_rect { left: 0, top: 0, width, height };
        vidioc::s_selection::<_, bindings::v4l2_rect>(
            &self.fd,
            vidioc::SelectionType::Output,
            vidioc::SelectionTarget::Crop,
            rect,
            vidioc::SelectionFlags::empty(),
        )
        .map(|rect| (rect.width, rect.height))
        .map_err(refuse("VIDIOC_S_SELECTION", &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fourcc_for_people() {
        assert_eq!(FourCc::new(b"NV12").to_string(), "NV12");
        assert_eq!(FourCc::new(b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc(FourCc::new(b"Y16 ").0 | 1 << 31).to_string(), "Y16-BE");
        assert_eq!(FourCc(1).to_string(), "0x00000001");
    }

    #[test]
    fn intervals_of_rates() {
        let of = |fps| {
            let i = Interval::of_fps(fps);
            (i.numerator, i.denominator)
        };
        assert_eq!(of(30.0), (1, 30));
        assert_eq!(of(29.97), (1001, 30000));
        assert_eq!(of(59.94), (1001, 60000));
        assert_eq!(of(12.5), (1000, 12500));
        assert_eq!(of(0.0), (1000, 1));
        assert_eq!(Interval { numerator: 0, denominator: 5 }.fps(), 0.0);
    }

    #[test]
    fn a_format_survives_both_planar_interfaces() {
        let format = Format {
            fourcc: FourCc::new(b"NV12"),
            width: 640,
            height: 480,
            field: 1,
            planes: vec![PlaneFormat { stride: 704, size: 506_880 }],
            colour: Colour { space: 3, encoding: 2, quantization: 1, transfer: 4 },
        };
        for queue in [QueueType::VideoCapture, QueueType::VideoOutputMplane] {
            assert_eq!(Format::from(format.to_raw(queue)), format);
        }
    }
}
