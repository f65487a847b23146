//! Video for Linux 2, one function per ioctl (kernel documentation "Video for Linux API", part I,
//! "Function Reference"). Where the `v4l2r` crate wraps a call well, it is used.
//!
//! Here are opening, `VIDIOC_QUERYCAP`, inputs and the error type; [`mod@format`] has formats, sizes
//! and rates, [`queue`] buffers and who holds them, [`control`] controls, [`event`] events and
//! encoder commands.

pub mod control;
pub mod event;
pub mod format;
pub mod queue;

pub use v4l2r::QueueType;
pub use v4l2r::bindings;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Getter, Updater, ioctl, opcode};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use v4l2r::ioctl::{self as vidioc, IntoErrno};

/// A call that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The call as the manual names it.
    pub call: &'static str,
    /// The error number.
    pub errno: Errno,
    /// What that number means for this call; empty if the manual has nothing special to say.
    pub why: &'static str,
}

impl Refusal {
    pub(super) fn new(
        call: &'static str,
        errno: Errno,
        meanings: &[(Errno, &'static str)],
    ) -> Self {
        let why = meanings
            .iter()
            .chain(ALWAYS)
            .find(|(number, _)| *number == errno)
            .map_or("", |(_, meaning)| meaning);
        Self { call, errno, why }
    }

    /// Whether the device is gone or broken, so that only opening it again can help.
    pub fn gone(&self) -> bool {
        matches!(self.errno, Errno::NODEV | Errno::IO | Errno::NXIO | Errno::NOENT | Errno::PIPE)
    }

    /// Whether somebody else has it.
    pub fn busy(&self) -> bool {
        self.errno == Errno::BUSY
    }
}

/// What an error number means for every V4L2 call ("Generic Error Codes").
const ALWAYS: &[(Errno, &str)] = &[
    (Errno::NODEV, "the device is gone"),
    (Errno::IO, "the hardware or its connection failed"),
    (Errno::BUSY, "the device is busy"),
    (Errno::NOTTY, "the driver does not have this call"),
    (Errno::NOMEM, "the kernel has not enough memory for it"),
    (Errno::NOSPC, "the USB bus has not enough bandwidth left for it"),
    (Errno::ACCESS, "permission denied"),
    (Errno::PERM, "permission denied"),
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.why.is_empty() {
            write!(f, "{}: {}", self.call, self.errno)
        } else {
            write!(f, "{}: {} (error {})", self.call, self.why, self.errno.raw_os_error())
        }
    }
}

impl std::error::Error for Refusal {}

/// Turns the errors of `v4l2r` into a [`Refusal`].
fn refuse<E: IntoErrno>(
    call: &'static str,
    meanings: &'static [(Errno, &'static str)],
) -> impl FnOnce(E) -> Refusal {
    move |e| Refusal::new(call, Errno::from_raw_os_error(e.into_errno()), meanings)
}

/// An open device node, non-blocking, closed when dropped.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    path: PathBuf,
}

impl Device {
    /// `open(2)` of a character device.
    ///
    /// # Errors
    /// Those of `open(2)`; `ENOTTY` for a file that is no character device.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let refusal = |errno| {
            let meanings = [
                (Errno::NOENT, "no such device"),
                (Errno::NXIO, "no driver behind this node"),
                (Errno::NOTTY, "not a device"),
            ];
            Refusal::new("open", errno, &meanings)
        };
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(refusal)?;
        let stat = rustix::fs::fstat(&fd).map_err(refusal)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
            return Err(refusal(Errno::NOTTY));
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `VIDIOC_QUERYCAP`
    ///
    /// # Errors
    /// `ENOTTY` if it is no V4L2 device.
    pub fn querycap(&self) -> Result<Capability, Refusal> {
        let meanings =
            &[(Errno::NOTTY, "not a video device"), (Errno::INVAL, "not a video device")];
        vidioc::querycap(&self.fd).map_err(refuse("VIDIOC_QUERYCAP", meanings))
    }

    /// `VIDIOC_ENUMINPUT`; `None` past the last.
    pub fn enuminput(&self, index: usize) -> Option<Input> {
        vidioc::enuminput(&self.fd, index).ok()
    }

    /// `VIDIOC_G_INPUT`. (v4l2r 0.0.6 returns the call's result in place of the input.)
    ///
    /// # Errors
    /// `ENOTTY` if the driver has no inputs.
    pub fn g_input(&self) -> Result<u32, Refusal> {
        const VIDIOC_G_INPUT: rustix::ioctl::Opcode = opcode::read::<i32>(b'V', 38);
        // SAFETY: the call writes one int.
        unsafe { ioctl(&self.fd, Getter::<VIDIOC_G_INPUT, i32>::new()) }
            .map(i32::cast_unsigned)
            .map_err(|e| Refusal::new("VIDIOC_G_INPUT", e, &[]))
    }

    /// `VIDIOC_S_INPUT`.
    ///
    /// # Errors
    /// `EINVAL` if there is no such input, `EBUSY` while pictures are captured.
    pub fn s_input(&self, input: u32) -> Result<(), Refusal> {
        const VIDIOC_S_INPUT: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'V', 39);
        let mut number = input.cast_signed();
        // SAFETY: the call reads and writes one int.
        unsafe { ioctl(&self.fd, Updater::<VIDIOC_S_INPUT, i32>::new(&mut number)) }.map_err(|e| {
            Refusal::new(
                "VIDIOC_S_INPUT",
                e,
                &[(rustix::io::Errno::INVAL, "there is no such input")],
            )
        })
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a node says it is (`struct v4l2_capability`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capability {
    /// Name of the driver.
    pub driver: String,
    /// Name of the device.
    pub card: String,
    /// Where it is attached.
    pub bus: String,
    /// `V4L2_CAP_*` of this very node: `device_caps` where the driver tells them apart.
    pub caps: u32,
}

impl Capability {
    /// The queue that pictures are captured from, if this node is a camera: neither metadata, nor
    /// memory to memory, nor output only.
    pub fn capture_queue(&self) -> Option<QueueType> {
        if self.m2m_queues().is_some() {
            return None;
        }
        match self.caps {
            c if c & bindings::V4L2_CAP_VIDEO_CAPTURE_MPLANE != 0 => {
                Some(QueueType::VideoCaptureMplane)
            }
            c if c & bindings::V4L2_CAP_VIDEO_CAPTURE != 0 => Some(QueueType::VideoCapture),
            _ => None,
        }
    }

    /// The OUTPUT and CAPTURE queues of a memory-to-memory device.
    pub fn m2m_queues(&self) -> Option<(QueueType, QueueType)> {
        use bindings as b;
        // v4l2loopback says everything of itself unless it is loaded with exclusive_caps=1, but is
        // a camera to whoever reads.
        if self.driver == "v4l2 loopback" {
            return None;
        }
        // Old drivers set both directions instead of the M2M capability.
        let has = |caps| self.caps & caps == caps;
        if has(b::V4L2_CAP_VIDEO_M2M_MPLANE)
            || has(b::V4L2_CAP_VIDEO_CAPTURE_MPLANE | b::V4L2_CAP_VIDEO_OUTPUT_MPLANE)
        {
            Some((QueueType::VideoOutputMplane, QueueType::VideoCaptureMplane))
        } else if has(b::V4L2_CAP_VIDEO_M2M)
            || has(b::V4L2_CAP_VIDEO_CAPTURE | b::V4L2_CAP_VIDEO_OUTPUT)
        {
            Some((QueueType::VideoOutput, QueueType::VideoCapture))
        } else {
            None
        }
    }

    /// Whether buffers can be queued (`V4L2_CAP_STREAMING`), the only way that lensd takes.
    pub fn streams(&self) -> bool {
        self.caps & bindings::V4L2_CAP_STREAMING != 0
    }
}

impl From<bindings::v4l2_capability> for Capability {
    fn from(raw: bindings::v4l2_capability) -> Self {
        let told_apart = raw.capabilities & bindings::V4L2_CAP_DEVICE_CAPS != 0;
        Self {
            driver: text(&raw.driver),
            card: text(&raw.card),
            bus: text(&raw.bus_info),
            caps: if told_apart { raw.device_caps } else { raw.capabilities },
        }
    }
}

/// An input of a capture device (`struct v4l2_input`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Name.
    pub name: String,
    /// `V4L2_IN_ST_*`: zero if all is well or unknown.
    pub status: u32,
}

impl From<bindings::v4l2_input> for Input {
    fn from(raw: bindings::v4l2_input) -> Self {
        Self { name: text(&raw.name), status: raw.status }
    }
}

/// A string of a V4L2 structure: up to the first NUL, or all of it if a driver forgot that;
/// whatever is not UTF-8 or not printable is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(caps: u32) -> Capability {
        Capability { caps, ..Capability::default() }
    }

    #[test]
    fn what_a_node_is() {
        use bindings as b;
        assert_eq!(node(b::V4L2_CAP_VIDEO_CAPTURE).capture_queue(), Some(QueueType::VideoCapture));
        assert_eq!(
            node(b::V4L2_CAP_VIDEO_CAPTURE_MPLANE).capture_queue(),
            Some(QueueType::VideoCaptureMplane)
        );
        assert_eq!(node(b::V4L2_CAP_META_CAPTURE).capture_queue(), None);
        assert_eq!(node(b::V4L2_CAP_VIDEO_OUTPUT).capture_queue(), None);
        let old_m2m = node(b::V4L2_CAP_VIDEO_CAPTURE | b::V4L2_CAP_VIDEO_OUTPUT);
        assert_eq!(old_m2m.capture_queue(), None);
        assert!(old_m2m.m2m_queues().is_some());
        let loopback = Capability { driver: "v4l2 loopback".into(), ..old_m2m };
        assert_eq!(loopback.capture_queue(), Some(QueueType::VideoCapture));
    }

    #[test]
    fn strings_of_careless_drivers() {
        assert_eq!(text(b"cam\0junk"), "cam");
        assert_eq!(text(b"no end"), "no end");
        assert_eq!(text(b" \xff\x01 \0"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn not_a_device() {
        let refusal = Device::open(Path::new("/proc/self/stat")).unwrap_err();
        assert_eq!(refusal.call, "open");
        let refusal = Device::open(Path::new("/dev/no-such-video")).unwrap_err();
        assert_eq!(refusal.to_string(), "open: no such device (error 2)");
    }

    #[test]
    fn a_device_that_is_no_video_device() {
        let refusal = Device::open(Path::new("/dev/null")).unwrap().querycap().unwrap_err();
        assert_eq!(refusal.to_string(), "VIDIOC_QUERYCAP: not a video device (error 25)");
    }
}
