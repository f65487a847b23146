//! Cameras: whatever delivers pictures or coded units, each on a thread of its own.

pub mod annexb;
mod annexb_file;
pub mod controls;
pub mod devices;
pub mod file;
pub mod knobs;
pub mod look;
pub mod marks;
pub mod mjpeg;
mod mjpeg_file;
pub mod mp4;
mod mp4_file;
pub mod pattern;
pub mod pool;
pub mod spec;
pub mod tree;
pub mod v4l2;
pub mod y4m;
mod y4m_file;

pub use crate::coded::CodedUnit;
use crate::frame::Frame;
use knobs::Knobs;
use lensd_ffi::bell::Bell;
use lensd_ffi::state::CameraMode;
use lensd_ffi::unit::Codec;
use std::fmt;
use std::sync::Arc;

/// What a camera really gives, after negotiation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CameraInfo {
    /// Name for people: the driver's card name, a file's name, `test camera`.
    pub name: String,
    /// Layout or coding, e.g. `NV12`, `MJPEG`, `H264`.
    pub format: String,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pictures per second.
    pub fps: f64,
    /// The coding, if it delivers coded units that can be passed through.
    pub coded: Option<Codec>,
    /// What was asked for and is not given, a sentence each, e.g. `asked for 60 fps, the driver
    /// gives 30`.
    pub remarks: Vec<String>,
}

/// What a capture time says: which moment of a picture's life it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampedAt {
    /// When the exposure began (`V4L2_BUF_FLAG_TSTAMP_SRC_SOE`).
    StartOfExposure,
    /// When the last of the picture had arrived (`V4L2_BUF_FLAG_TSTAMP_SRC_EOF`). How long before
    /// that it was exposed and read out, the driver does not say.
    EndOfFrame,
    /// When the buffer was dequeued: the driver gives no time of `CLOCK_MONOTONIC`.
    Dequeued,
    /// When it came into being: it never saw a sensor, or that was long ago (a file).
    Made,
    /// When its first packets arrived, carried on by the sender's clock: what lies before that, the
    /// sender alone knows.
    Arrived,
}

impl StampedAt {
    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartOfExposure => "start-of-exposure",
            Self::EndOfFrame => "end-of-frame",
            Self::Dequeued => "dequeued",
            Self::Made => "made",
            Self::Arrived => "arrived",
        }
    }
}

/// What [`Camera::next`] returns with.
#[derive(Debug)]
pub enum Shot {
    /// A raw or JPEG picture.
    Frame(Frame),
    /// A coded unit, to be passed through.
    Unit(CodedUnit),
    /// The bell was rung (it is not taken yet), or a long time passed with nothing.
    Woken,
}

/// Why a camera stopped delivering, or cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraError {
    /// What, where and what to do, in one line.
    pub message: String,
    /// Whether opening it again later may help: a device that was unplugged or is busy, unlike a
    /// format that it does not have.
    pub retry: bool,
}

impl CameraError {
    /// An error that may pass.
    pub fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: true }
    }

    /// An error that stays until the configuration changes.
    pub fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: false }
    }
}

impl fmt::Display for CameraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CameraError {}

/// An open camera. Dropping it closes it.
pub trait Camera: Send {
    /// What it gives.
    fn info(&self) -> CameraInfo;

    /// Waits for the next picture. Returns [`Shot::Woken`] as soon as `bell` is readable (poll it
    /// together with the device), and at least once a second.
    ///
    /// # Errors
    /// The camera is then to be dropped, and opened again if the error says so.
    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError>;

    /// What the capture time of the newest picture says; unless a source knows better, that it was
    /// taken when it came.
    fn stamped_at(&self) -> StampedAt {
        StampedAt::Dequeued
    }

    /// Its controls, if it has any.
    fn knobs(&self) -> Option<Arc<dyn Knobs>> {
        None
    }

    /// Sizes that it can be set to, largest first; none: its pictures come as they are.
    fn modes(&self) -> Vec<CameraMode> {
        Vec::new()
    }

    /// Frames that the driver, or the way from a publisher, lost since it was opened.
    fn lost(&self) -> u64 {
        0
    }
}
