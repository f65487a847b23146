//! A stateful encoder of the kernel ("Memory-to-Memory Stateful Video Encoder Interface"): raw
//! pictures in at its OUTPUT queue, coded ones out at its CAPTURE queue.
//!
//! A picture that lies in a DMA-buf is imported as it is; only one that the driver cannot take so
//! is copied, and counted.

use crate::camera::v4l2::coded::Assembler;
use crate::camera::v4l2::colour;
use crate::camera::v4l2::layout::{self, Delivers};
use crate::camera::{CodedUnit, devices};
use crate::encode::{EncodeError, Encoder, Rate};
use crate::frame::{Colour, Frame, PixelFormat, Plane};
use crate::m2m::{IMPORTS, dmabuf_size, exchange};
use crate::style::{Profile, RateMode, Style};
use crate::sys::v4l2::control::Raw;
use crate::sys::v4l2::format::{Format, FourCc, Interval, PlaneFormat};
use crate::sys::v4l2::queue::{CaptureQueue, Lease, OutputQueue};
use crate::sys::v4l2::{Device, QueueType, Refusal, bindings as b};
use lensd_ffi::unit::Codec;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Buffers of coded pictures.
const CODED_BUFFERS: u32 = 4;
/// Buffers of raw pictures that are copied.
const RAW_BUFFERS: u32 = 2;
use b::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE as H264_BASELINE;
use b::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE as H264_CONSTRAINED;
use b::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_HIGH as H264_HIGH;
use b::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_MAIN as H264_MAIN;

/// What an encoder makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// ITU-T H.264
    H264,
    /// ITU-T H.265
    H265,
    /// Fast Walsh Hadamard Transform, the coding of the kernel's test driver vicodec: nothing
    /// plays it, but every step of the interface can be tested with it.
    Fwht,
}

impl Coding {
    /// V4L2's code.
    pub const fn fourcc(self) -> FourCc {
        FourCc::new(match self {
            Self::H264 => b"H264",
            Self::H265 => b"HEVC",
            Self::Fwht => b"FWHT",
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Fwht => "fwht",
        }
    }
}

/// The first device that encodes to `coding`.
pub fn find(coding: Coding) -> Option<PathBuf> {
    devices::paths().into_iter().find(|path| M2m::probe(path, coding).is_ok())
}

/// A memory-to-memory device as an encoder, whatever its coding.
#[derive(Debug)]
pub struct M2m {
    device: Arc<Device>,
    coding: Coding,
    output: QueueType,
    capture: QueueType,
    takes: Vec<PixelFormat>,
    rate: Rate,
    style: Style,
    running: Option<Running>,
    /// Whether the driver refused a DMA-buf: it is not asked again for pictures of that kind.
    import_refused: bool,
    copied: u64,
}

/// Both queues, streaming, set up for pictures of one kind.
#[derive(Debug)]
struct Running {
    shape: Shape,
    raw: Queue,
    coded: CaptureQueue,
}

#[derive(Debug)]
struct Queue {
    queue: OutputQueue,
    planes: [Plane; 3],
    used: usize,
}

/// What must stay the same for the queues to stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: PixelFormat,
    width: usize,
    height: usize,
    colour: Colour,
    /// Where the planes of pictures in DMA-bufs lie.
    shared: Option<[Plane; 3]>,
}

impl Shape {
    fn of(frame: &Frame) -> Self {
        let shared = frame.memory.dmabuf().map(|_| frame.planes);
        let Frame { format, width, height, colour, .. } = *frame;
        Self { format, width, height, colour, shared }
    }
}

impl M2m {
    /// Opens the encoder at `path`. Its queues are set up by the first picture.
    ///
    /// # Errors
    /// If it cannot be opened, or does not encode to `coding`.
    pub fn open(path: &Path, coding: Coding, rate: Rate) -> Result<Self, EncodeError> {
        let (device, (output, capture)) = Self::probe(path, coding)?;
        let takes = devices::formats(&device, output, |_| false)
            .iter()
            .filter_map(|caps| match Delivers::of(caps.fourcc)? {
                Delivers::Pixels(PixelFormat::Mjpeg) | Delivers::Apart(_) | Delivers::Coded(_) => {
                    None
                }
                Delivers::Pixels(pixels) => Some(pixels),
            })
            .collect();
        Ok(Self {
            device: Arc::new(device),
            coding,
            output,
            capture,
            takes,
            rate,
            style: Style::default(),
            running: None,
            import_refused: false,
            copied: 0,
        })
    }

    fn probe(path: &Path, coding: Coding) -> Result<(Device, (QueueType, QueueType)), EncodeError> {
        let refused = |refusal: Refusal| EncodeError(devices::reason(path, &refusal));
        let device = Device::open(path).map_err(refused)?;
        let cap = device.querycap().map_err(refused)?;
        let queues = cap.m2m_queues().filter(|_| cap.streams());
        let codings = queues
            .map_or_else(Vec::new, |(output, capture)| devices::codings(&device, output, capture));
        match queues {
            Some(queues) if codings.contains(&coding.fourcc()) => Ok((device, queues)),
            _ => {
                let names: Vec<_> = codings.iter().map(ToString::to_string).collect();
                let (path, card) = (path.display(), cap.card);
                Err(EncodeError(match names.as_slice() {
                    [] => format!("{path} ({card}) is no encoder"),
                    _ => format!("{path} ({card}) encodes to {} only", names.join(", ")),
                }))
            }
        }
    }

    /// Layouts that it takes; others are to be converted first.
    pub fn takes(&self) -> &[PixelFormat] {
        &self.takes
    }

    /// Its name in a pipeline's description.
    pub fn name(&self) -> String {
        format!("v4l2 m2m {} {}", self.coding.name(), self.device.path().display())
    }

    /// Raw picture bytes that were copied for it so far.
    pub fn copied_pixel_bytes(&self) -> u64 {
        self.copied
    }

    /// Why pictures are copied into its buffers; empty if they are not.
    pub fn copies(&self) -> &'static str {
        match &self.running {
            None => "",
            Some(running) if running.raw.queue.imports() => "",
            Some(running) if running.shape.shared.is_none() => {
                "the pictures do not lie in one DMA-buf each"
            }
            Some(_) if self.import_refused => "the driver refused to import such a DMA-buf",
            Some(_) => "the driver wants other rows or padding than the camera gives",
        }
    }

    /// Whether pictures are imported where they lie.
    pub fn imports(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.raw.queue.imports())
    }

    /// Encodes one picture and lets `take` have the coded bytes and whether the driver calls them a
    /// key frame.
    ///
    /// # Errors
    /// The picture is lost; the next one begins anew with a key frame.
    pub fn encode_with<T>(
        &mut self,
        frame: &Frame,
        key: bool,
        take: impl FnOnce(&[u8], bool) -> T,
    ) -> Result<T, EncodeError> {
        let shape = Shape::of(frame);
        if self.running.as_ref().is_none_or(|running| running.shape != shape) {
            self.import_refused = false;
            self.restart(frame)?;
        } else if key {
            self.set(b::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1);
        }
        if let Err(refusal) = self.queue(frame) {
            if !self.imports() {
                self.running = None;
                return Err(self.error(&refusal));
            }
            // The driver imports, but not this buffer (too small, not contiguous): copy instead.
            self.import_refused = true;
            self.restart(frame)?;
            self.queue(frame).map_err(|refusal| self.error(&refusal))?;
        }
        let lease = self.coded()?;
        Ok(take(lease.used_bytes(), lease.filled.key()))
    }

    /// The next coded buffer. An error stops both queues, which gives every buffer back, the
    /// frame's too.
    fn coded(&mut self) -> Result<Lease, EncodeError> {
        let coded = self.wait_for_coded();
        if coded.is_err() {
            self.running = None;
        }
        coded
    }

    /// Changes the rate, while running if the driver can.
    ///
    /// # Errors
    /// If the driver has a bit rate but refuses this one, or has none and another is asked for.
    pub fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError> {
        if rate.bitrate != self.rate.bitrate && !self.set_bitrate(rate.bitrate) {
            return Err(EncodeError(format!("{} has no bit rate to be set", self.name())));
        }
        self.rate = rate;
        self.set_period();
        // Some drivers take another rate only before they start: the bit rate is right anyhow.
        let _ = self.device.s_parm(self.output, Interval::of_fps(rate.fps));
        Ok(())
    }

    fn error(&self, what: &dyn std::fmt::Display) -> EncodeError {
        EncodeError(format!("{}: {what}", self.name()))
    }

    /// Sets both queues up for pictures like `frame`, in the order of "Initialization".
    fn restart(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.running = None;
        let running = self.start(frame)?;
        self.running = Some(running);
        Ok(())
    }

    fn start(&self, frame: &Frame) -> Result<Running, EncodeError> {
        let refused = |refusal: Refusal| self.error(&refusal);
        let (Ok(width), Ok(height)) = (u32::try_from(frame.width), u32::try_from(frame.height))
        else {
            return Err(self.error(&"too large a picture"));
        };
        if !self.takes.contains(&frame.format) {
            let takes: Vec<_> = self.takes.iter().map(ToString::to_string).collect();
            let (format, takes) = (frame.format, takes.join(", "));
            return Err(self.error(&format!("it takes {takes}, not {format}")));
        }
        let coded = Format {
            fourcc: self.coding.fourcc(),
            width,
            height,
            // Room for a key frame of a noisy picture.
            planes: vec![PlaneFormat { stride: 0, size: (width * height).max(1 << 20) }],
            ..Format::default()
        };
        self.device.s_fmt(self.capture, &coded).map_err(refused)?;
        let stride = u32::try_from(frame.planes[0].stride).unwrap_or(0);
        let wanted = Format {
            fourcc: Delivers::Pixels(frame.format).fourcc(),
            width,
            height,
            field: b::v4l2_field_V4L2_FIELD_NONE,
            planes: vec![PlaneFormat { stride, size: 0 }],
            // The driver writes it into the VUI.
            colour: colour::to_driver(frame.colour),
        };
        let raw = self.device.s_fmt(self.output, &wanted).map_err(refused)?;
        let layout = layout::planes(frame.format, &raw).filter(|_| raw.fourcc == wanted.fourcc);
        let Some((planes, used)) = layout.filter(|_| raw.planes.len() == 1) else {
            return Err(self.error(&format!("it does not take {} so", frame.format)));
        };
        if raw.width < width || raw.height < height {
            let (w, h) = (raw.width, raw.height);
            return Err(self.error(&format!("{width}x{height} is too large, {w}x{h} the most")));
        }
        self.crop(&raw, width, height)?;
        let _ = self.device.s_parm(self.output, Interval::of_fps(self.rate.fps));
        self.set_controls(width, height);

        let coded = CaptureQueue::start(Arc::clone(&self.device), self.capture, CODED_BUFFERS)
            .map_err(refused)?;
        let same = (raw.width, raw.height) == (width, height)
            && planes == frame.planes
            && dmabuf_size(frame) >= u64::from(raw.planes[0].size);
        let device = || Arc::clone(&self.device);
        let queue = if same && !self.import_refused {
            OutputQueue::importing(device(), self.output, IMPORTS)
                .or_else(|_| OutputQueue::copying(device(), self.output, RAW_BUFFERS))
        } else {
            OutputQueue::copying(device(), self.output, RAW_BUFFERS)
        };
        let queue = queue.map_err(refused)?;
        Ok(Running { shape: Shape::of(frame), raw: Queue { queue, planes, used }, coded })
    }

    /// Where the driver wants more rows or columns than the picture has, tells it which are seen.
    fn crop(&self, raw: &Format, width: u32, height: u32) -> Result<(), EncodeError> {
        if (raw.width, raw.height) == (width, height) {
            return Ok(());
        }
        let seen = match self.device.s_selection_crop(width, height) {
            Ok(seen) => seen == (width, height),
            // Without the call, a driver that only rounds up to whole macroblocks crops by itself.
            Err(_) => raw.width - width < 16 && raw.height - height < 16,
        };
        if seen {
            return Ok(());
        }
        let (w, h) = (raw.width, raw.height);
        Err(self.error(&format!("{width}x{height} is too small, {w}x{h} the least")))
    }

    /// Gives `frame` to the driver.
    fn queue(&mut self, frame: &Frame) -> Result<(), Refusal> {
        let Some(Running { raw, .. }) = &mut self.running else { return Ok(()) };
        let used = u32::try_from(raw.used).unwrap_or(u32::MAX);
        let time = frame.capture.mono;
        if raw.queue.imports()
            && let Some(fd) = frame.memory.dmabuf()
        {
            let length = u32::try_from(dmabuf_size(frame)).unwrap_or(u32::MAX);
            return raw.queue.queue_import(fd, length, used, time);
        }
        let mut copied = 0;
        raw.queue.queue_copy(used, time, |to| copied = copy(frame, &raw.planes, to))?;
        self.copied += copied;
        Ok(())
    }

    /// Waits until the driver has given the coded picture, and the raw one back.
    fn wait_for_coded(&mut self) -> Result<Lease, EncodeError> {
        let Some(Running { raw, coded, .. }) = &mut self.running else {
            return Err(self.error(&"it is not running"));
        };
        let lease = exchange(&self.device, &mut raw.queue, coded).map_err(|e| self.error(&e))?;
        if lease.filled.damaged() || lease.filled.used == 0 {
            return Err(self.error(&"it could not encode the picture"));
        }
        Ok(lease)
    }

    /// Sets a control if the driver has it, to the nearest value that it takes. Tells whether.
    fn set(&self, id: u32, value: i64) -> bool {
        let Some(control) = self.device.query_ext_ctrl(id) else { return false };
        let nearest = value.clamp(control.minimum, control.maximum.max(control.minimum));
        i32::try_from(nearest)
            .is_ok_and(|value| self.device.s_ext_ctrl(id, Raw::Integer(value)).is_ok())
    }

    /// The controls that say how bits are spent.
    fn style_controls(&self) -> Vec<(u32, i64)> {
        use b::v4l2_mpeg_video_bitrate_mode_V4L2_MPEG_VIDEO_BITRATE_MODE_CBR as CBR;
        use b::v4l2_mpeg_video_bitrate_mode_V4L2_MPEG_VIDEO_BITRATE_MODE_VBR as VBR;
        let Style { mode, qp_min, qp_max, .. } = self.style;
        let mode = if mode == RateMode::Variable { VBR } else { CBR };
        let mut out = vec![(b::V4L2_CID_MPEG_VIDEO_BITRATE_MODE, i64::from(mode))];
        let (least, most) = match self.coding {
            Coding::H264 => {
                (b::V4L2_CID_MPEG_VIDEO_H264_MIN_QP, b::V4L2_CID_MPEG_VIDEO_H264_MAX_QP)
            }
            Coding::H265 => {
                (b::V4L2_CID_MPEG_VIDEO_HEVC_MIN_QP, b::V4L2_CID_MPEG_VIDEO_HEVC_MAX_QP)
            }
            Coding::Fwht => return out,
        };
        let plain = Style::default();
        // As the driver has them unless somebody asks for others.
        if (qp_min, qp_max) != (plain.qp_min, plain.qp_max) {
            out.extend([(least, qp_min.into()), (most, qp_max.into())]);
        }
        out
    }

    /// Changes how bits are spent, from the next picture on, which is a key frame.
    ///
    /// # Errors
    /// What the driver has no control for; all is then as before.
    pub fn set_style(&mut self, style: Style) -> Result<(), EncodeError> {
        let before = std::mem::replace(&mut self.style, style);
        if before == style {
            return Ok(());
        }
        let mut wanted = self.style_controls();
        if style.mode == before.mode {
            wanted.retain(|(id, _)| *id != b::V4L2_CID_MPEG_VIDEO_BITRATE_MODE);
        }
        if style.profile != before.profile && style.profile != Profile::Auto {
            wanted.push((b::V4L2_CID_MPEG_VIDEO_H264_PROFILE, 0));
        }
        if wanted.iter().any(|(id, _)| self.device.query_ext_ctrl(*id).is_none()) {
            self.style = before;
            return Err(EncodeError(format!(
                "{} has no control for one of profile, rate mode and quantizers",
                self.name()
            )));
        }
        // Most of them are taken before the queues start only.
        self.running = None;
        Ok(())
    }

    fn set_bitrate(&self, bitrate: u32) -> bool {
        self.set(b::V4L2_CID_MPEG_VIDEO_BITRATE, i64::from(bitrate))
    }

    fn set_period(&self) {
        let gop = i64::from(self.rate.gop.max(1));
        self.set(b::V4L2_CID_MPEG_VIDEO_GOP_SIZE, gop);
        self.set(b::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, gop);
    }

    /// What drivers have of it, they take; each lacks something.
    fn set_controls(&self, width: u32, height: u32) {
        self.set(b::V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE, 1);
        for (id, value) in self.style_controls() {
            self.set(id, value);
        }
        self.set_bitrate(self.rate.bitrate);
        self.set_period();
        self.set(b::V4L2_CID_MPEG_VIDEO_B_FRAMES, 0);
        self.set(b::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1);
        self.set(b::V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR, 1);
        let joined =
            b::v4l2_mpeg_video_header_mode_V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME;
        self.set(b::V4L2_CID_MPEG_VIDEO_HEADER_MODE, i64::from(joined));
        if self.coding == Coding::H264 {
            let wanted = match self.style.profile {
                Profile::Auto => &[H264_HIGH, H264_MAIN][..],
                Profile::High => &[H264_HIGH],
                Profile::Main => &[H264_MAIN],
                Profile::Baseline => &[H264_CONSTRAINED, H264_BASELINE],
            };
            let _ =
                wanted.iter().any(|p| self.set(b::V4L2_CID_MPEG_VIDEO_H264_PROFILE, (*p).into()));
            let level = h264_level(width, height, self.rate);
            self.set(b::V4L2_CID_MPEG_VIDEO_H264_LEVEL, i64::from(level));
        }
    }
}

impl Drop for M2m {
    fn drop(&mut self) {
        // Every picture was waited for, so that nothing is left to be drained; the command tells
        // firmware that keeps state of its own. Dropping the queues then stops them.
        if self.running.is_some() {
            let _ = self.device.encoder_cmd_stop();
        }
    }
}

/// Copies a picture into a buffer whose planes lie at `planes`; answers the bytes copied.
fn copy(frame: &Frame, planes: &[Plane; 3], to: &mut [u8]) -> u64 {
    let mut copied = 0;
    for (i, plane) in planes.iter().enumerate().take(frame.format.planes()) {
        for (y, row) in frame.rows(i).enumerate() {
            let at = plane.offset + y * plane.stride;
            if let Some(to) = to.get_mut(at..at + row.len()) {
                to.copy_from_slice(row);
                copied += row.len() as u64;
            }
        }
    }
    copied
}

/// The least level of H.264 table A-1 that allows the size, the rate and the bit rate (`MaxFS`,
/// `MaxMBPS`, `MaxBR` of the High profile), as `V4L2_MPEG_VIDEO_H264_LEVEL_*`.
fn h264_level(width: u32, height: u32, rate: Rate) -> u32 {
    use b::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_3_0 as L3_0;
    const TABLE: [(u64, f64, u64); 9] = [
        (1_620, 40_500.0, 10_000),
        (3_600, 108_000.0, 14_000),
        (5_120, 216_000.0, 20_000),
        (8_192, 245_760.0, 20_000),
        (8_192, 245_760.0, 50_000),
        (8_704, 522_240.0, 50_000),
        (22_080, 589_824.0, 135_000),
        (36_864, 983_040.0, 240_000),
        (36_864, 2_073_600.0, 240_000),
    ];
    let blocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
    let fits = |(size, speed, bits): &(u64, f64, u64)| {
        // High profile has 1250 bits where the table says 1000 (A.3.3, cpbBrVclFactor).
        blocks <= *size
            && blocks as f64 * rate.fps <= *speed
            && u64::from(rate.bitrate) <= bits * 1_250
    };
    L3_0 + TABLE.iter().position(fits).unwrap_or(TABLE.len() - 1) as u32
}

/// A memory-to-memory device as an [`Encoder`] of H.264 or H.265.
#[derive(Debug)]
pub struct EncoderM2m {
    m2m: M2m,
    assembler: Assembler,
}

impl EncoderM2m {
    /// Opens the encoder at `path`.
    ///
    /// # Errors
    /// If it cannot be opened, does not encode to `codec`, or `codec` is JPEG.
    pub fn open(path: &Path, codec: Codec, rate: Rate) -> Result<Self, EncodeError> {
        let coding = match codec {
            Codec::H264 => Coding::H264,
            Codec::H265 => Coding::H265,
            Codec::Jpeg => return Err(EncodeError("v4l2 m2m: no JPEG".into())),
        };
        let m2m = M2m::open(path, coding, rate)?;
        Ok(Self { m2m, assembler: Assembler::new(codec) })
    }

    /// Opens the first encoder of this machine that makes `codec`; `None` if there is none.
    pub fn first(codec: Codec, rate: Rate) -> Option<Result<Self, EncodeError>> {
        let coding = match codec {
            Codec::H264 => Coding::H264,
            Codec::H265 => Coding::H265,
            Codec::Jpeg => return None,
        };
        find(coding).map(|path| Self::open(&path, codec, rate))
    }

    /// Layouts that it takes; others are to be converted first.
    pub fn takes(&self) -> &[PixelFormat] {
        self.m2m.takes()
    }

    /// Whether pictures are imported where they lie.
    pub fn imports(&self) -> bool {
        self.m2m.imports()
    }
}

impl Encoder for EncoderM2m {
    fn encode(
        &mut self,
        frame: &Frame,
        key: bool,
        out: &mut CodedUnit,
    ) -> Result<bool, EncodeError> {
        (out.width, out.height) = (frame.width, frame.height);
        (out.capture, out.number) = (frame.capture, frame.number);
        let assembler = &mut self.assembler;
        let mut complete = self.m2m.encode_with(frame, key, |b, _| assembler.assemble(b, out))?;
        if !complete {
            // The parameter sets came in a buffer of their own; the picture is the next one.
            let lease = self.m2m.coded()?;
            complete = self.assembler.assemble(lease.used_bytes(), out);
        }
        Ok(complete)
    }

    fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError> {
        self.m2m.set_rate(rate)
    }

    fn set_style(&mut self, style: Style) -> Result<(), EncodeError> {
        self.m2m.set_style(style)
    }

    fn takes(&self, format: PixelFormat) -> bool {
        self.m2m.takes().contains(&format)
    }

    fn name(&self) -> String {
        self.m2m.name()
    }

    fn copies(&self) -> &'static str {
        self.m2m.copies()
    }

    fn copied_pixel_bytes(&self) -> u64 {
        self.m2m.copied_pixel_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::packed_planes;
    use lensd_ffi::time::Stamp;

    #[test]
    fn levels_of_usual_streams() {
        use b::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_3_1 as L3_1;
        use b::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_4_0 as L4_0;
        use b::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_4_2 as L4_2;
        use b::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_5_1 as L5_1;
        let rate = |fps| Rate { bitrate: 4_000_000, fps, gop: 30 };
        assert_eq!(h264_level(1280, 720, rate(30.0)), L3_1);
        assert_eq!(h264_level(1920, 1080, rate(30.0)), L4_0);
        assert_eq!(h264_level(1920, 1080, rate(60.0)), L4_2);
        assert_eq!(h264_level(3840, 2160, rate(30.0)), L5_1);
    }

    #[test]
    fn copying_into_padded_rows_counts_the_picture_alone() {
        let (planes, used) = packed_planes(PixelFormat::Nv12, 4, 2);
        let frame = Frame {
            format: PixelFormat::Nv12,
            width: 4,
            height: 2,
            planes,
            used,
            colour: Colour::default(),
            memory: Arc::new((1..=12).collect::<Vec<u8>>()),
            capture: Stamp::default(),
            number: 0,
            crc: None,
        };
        let padded =
            [Plane { offset: 0, stride: 6 }, Plane { offset: 12, stride: 6 }, Plane::default()];
        let mut to = [0; 18];
        assert_eq!(copy(&frame, &padded, &mut to), 12);
        assert_eq!(to, [1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0, 9, 10, 11, 12, 0, 0]);
        // Too small a buffer takes what it can hold whole rows of.
        assert_eq!(copy(&frame, &padded, &mut to[..8]), 4);
    }

    #[test]
    fn what_is_no_encoder_says_so() {
        let rate = Rate { bitrate: 1, fps: 30.0, gop: 30 };
        let error = M2m::open(Path::new("/dev/null"), Coding::H264, rate).unwrap_err();
        assert!(error.0.contains("not a video device"), "{error}");
    }
}
