//! A V4L2 camera: negotiation, waiting, and what is made of each buffer ("Common API Elements",
//! "Streaming I/O (Memory Mapping)", "Streaming I/O (DMA buffer exporting)").

pub mod choice;
pub mod coded;
pub mod colour;
pub mod layout;

pub use choice::Wanted;
pub use layout::Delivers;

pub use crate::camera::StampedAt;
use crate::camera::knobs::{DeviceKnobs, Knobs};
use crate::camera::{Camera, CameraError, CameraInfo, CodedUnit, Shot, devices};
use crate::clock;
use crate::frame::{Colour, Frame, Memory, PixelFormat, Plane, Shared, SharedKind};
use crate::sys::v4l2::event::Event;
use crate::sys::v4l2::format::{Format, PlaneFormat};
use crate::sys::v4l2::queue::{CaptureQueue, Filled, Lease};
use crate::sys::v4l2::{Device, QueueType, Refusal, bindings};
use coded::Assembler;
use lensd_ffi::bell::Bell;
use lensd_ffi::state::CameraMode;
use lensd_ffi::time::{Nanos, Stamp, now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Buffers to ask for: one that is filled, one that waits, and six for encoders, readers and the tap.
const BUFFERS: u32 = 8;
/// How long [`Camera::next`] waits at most.
const LONGEST_WAIT: Nanos = Nanos::from_secs(1);
/// What a camera may take from streaming on to its first frame: USB cameras adjust their exposure.
const FIRST_FRAME: Nanos = Nanos::from_secs(5);

/// The zero-copy path takes the descriptor; only software looks at the bytes.
impl Memory for Lease {
    fn bytes(&self) -> &[u8] {
        Lease::bytes(self)
    }

    fn dmabuf(&self) -> Option<BorrowedFd<'_>> {
        Lease::dmabuf(self)
    }

    fn shared(&self) -> Option<Shared<'_>> {
        let (pool, index, buffers) = self.identity();
        let (fd, kind) = (Lease::dmabuf(self)?, SharedKind::DmaBuf);
        Some(Shared { fd, kind, len: self.length(), pool, index, buffers })
    }
}

/// What went wrong so far without ending the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames missing in the driver's numbering, the damaged ones among them.
    pub lost: u64,
    /// Frames that the driver marked as damaged, or that were shorter than a picture.
    pub damaged: u64,
    /// Times that all buffers were held by readers, so that the driver had none to fill.
    pub starved: u64,
}

/// An open V4L2 camera.
#[derive(Debug)]
pub struct CameraV4l2 {
    // Dropped first: it stops the stream while the device is open.
    queue: CaptureQueue,
    device: Arc<Device>,
    info: CameraInfo,
    modes: Vec<CameraMode>,
    format: Format,
    delivers: Delivers,
    planes: [Plane; 3],
    colour: Colour,
    /// Bytes of a raw picture in each of its buffers; 0 for coded ones.
    picture: [usize; 3],
    assembler: Option<Assembler>,
    numbers: Numbers,
    counts: Counts,
    starving: bool,
    /// Whether the driver's events are waited for.
    events: bool,
    stamped_at: StampedAt,
    stall: Stall,
}

/// Frame numbers of 64 bits from 0, made of the driver's of 32 bits.
#[derive(Debug, Default)]
struct Numbers {
    last: Option<(u32, u64)>,
}

impl Numbers {
    /// The number of the frame that the driver calls `sequence`, and how many are missing before.
    fn next(&mut self, sequence: u32) -> (u64, u64) {
        let (number, lost) = match self.last {
            None => (0, 0),
            Some((last, number)) => {
                let step = sequence.wrapping_sub(last);
                // A counter that stands still or jumps back (some drivers have none) loses nothing.
                let step = if step == 0 || step > u32::MAX / 2 { 1 } else { u64::from(step) };
                (number + step, step - 1)
            }
        };
        self.last = Some((sequence, number));
        (number, lost)
    }
}

/// Notices that no frame comes any more: for three intervals and a second.
#[derive(Debug, Clone, Copy)]
struct Stall {
    last: Nanos,
    patience: Nanos,
    usual: Nanos,
}

impl Stall {
    fn new(now: Nanos, fps: f64) -> Self {
        let interval = if fps > 0.0 { (3e9 / fps) as u64 } else { 0 };
        let usual = Nanos::from_secs(if fps > 0.0 { 1 } else { 2 }).plus(Nanos(interval));
        Self { last: now, patience: usual.max(FIRST_FRAME), usual }
    }

    fn frame(&mut self, now: Nanos) {
        (self.last, self.patience) = (now, self.usual);
    }

    fn deadline(&self) -> Nanos {
        self.last.plus(self.patience)
    }
}

impl CameraV4l2 {
    /// Opens a node with the format, size and rate nearest to what is wanted, and starts it.
    ///
    /// # Errors
    /// One that may pass: busy, unplugged, no permission. One that stays: not a camera, or a format
    /// that it lacks; the message then says what it has.
    pub fn open(path: impl Into<PathBuf>, wanted: &Wanted) -> Result<Self, CameraError> {
        let path = path.into();
        let refused = |refusal: Refusal| failed(&path, &refusal);
        let node = Arc::new(Device::open(&path).map_err(refused)?);
        let cap = node.querycap().map_err(refused)?;
        let name = || format!("{} ({})", path.display(), cap.card);
        let Some(queue) = cap.capture_queue().filter(|_| cap.streams()) else {
            return Err(CameraError::lasting(not_a_camera(&name(), &path)));
        };
        if let Some(input) = wanted.input {
            // Before formats: each input has its own.
            node.s_input(input).map_err(|refusal| {
                CameraError::lasting(format!("{}: input {}: {refusal}", name(), input + 1))
            })?;
        }
        let offered = devices::formats(&node, queue, |code| Delivers::of(code).is_some());
        let choice = choice::choose(&offered, wanted)
            .map_err(|why| CameraError::lasting(format!("{}: {why}", name())))?;
        let format = set_format(&node, queue, &choice).map_err(refused)?;
        if format.fourcc != choice.fourcc || format.planes.len() != choice.delivers.buffers() {
            return Err(CameraError::lasting(format!(
                "{}: asked for {}, the driver gives {} in {} planes",
                name(),
                choice.fourcc,
                format.fourcc,
                format.planes.len()
            )));
        }
        let laid_out = match choice.delivers {
            Delivers::Pixels(PixelFormat::Mjpeg) | Delivers::Coded(_) => Some(Default::default()),
            Delivers::Pixels(pixels) => {
                layout::planes(pixels, &format).map(|(planes, size)| (planes, [size, 0, 0]))
            }
            Delivers::Apart(pixels) => layout::planes_apart(pixels, &format),
        };
        let (planes, picture) = laid_out.ok_or_else(|| {
            CameraError::lasting(format!(
                "{}: its driver says {format:?}, which cannot hold such a picture",
                name()
            ))
        })?;
        // The rate can only be set once the size is (VIDIOC_S_FMT may reset it).
        let given = node.s_parm(queue, choice.interval).ok().flatten();
        let given = given.or_else(|| node.g_parm(queue));
        let fps = given.unwrap_or(choice.interval).fps();
        let size = (format.width, format.height);
        let mut remarks = choice::remarks(&offered, format.fourcc, wanted, size, fps);
        if given.is_none() {
            remarks.push("the driver does not say its frame rate".into());
        }
        if !matches!(
            format.field,
            bindings::v4l2_field_V4L2_FIELD_ANY | bindings::v4l2_field_V4L2_FIELD_NONE
        ) {
            remarks.push("the pictures are interlaced".into());
        }
        // Webcams have no such event.
        let events = node.subscribe_source_change().is_ok();
        let frames = CaptureQueue::start(Arc::clone(&node), queue, BUFFERS).map_err(refused)?;
        let coded = match choice.delivers {
            Delivers::Coded(codec) => Some(codec),
            Delivers::Pixels(_) | Delivers::Apart(_) => None,
        };
        if coded.is_none() && !frames.exported() {
            remarks.push("the driver does not export its buffers: pictures will be copied".into());
        }
        let colour = match choice.delivers {
            Delivers::Pixels(pixels) | Delivers::Apart(pixels) => {
                colour::of_camera(format.colour, pixels)
            }
            Delivers::Coded(_) => Colour::default(),
        };
        Ok(Self {
            queue: frames,
            colour,
            modes: choice::modes(&offered, wanted),
            info: CameraInfo {
                name: cap.card.clone(),
                format: choice.delivers.to_string(),
                width: format.width as usize,
                height: format.height as usize,
                fps,
                coded,
                remarks,
            },
            format,
            delivers: choice.delivers,
            planes,
            picture,
            assembler: coded.map(Assembler::new),
            numbers: Numbers::default(),
            counts: Counts::default(),
            starving: false,
            events,
            stamped_at: StampedAt::EndOfFrame,
            stall: Stall::new(now(), fps),
            device: node,
        })
    }

    /// The device, for its controls.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The driver's format, with colours and padding.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// What went wrong so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Waits until the device or the bell has something, or until `until`.
    fn wait(&self, bell: &Bell, until: Nanos) -> Result<Ready, CameraError> {
        let wait = until.since(now()).min(LONGEST_WAIT);
        let timeout = Timespec {
            tv_sec: (wait.0 / 1_000_000_000).cast_signed(),
            tv_nsec: (wait.0 % 1_000_000_000).cast_signed(),
        };
        let device = self.device.as_fd();
        let events = if self.events { PollFlags::PRI } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(device, PollFlags::IN | events),
            PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(self.error(&format!("poll: {e}"))),
        }
        let [device, bell] = fds.map(|fd| fd.revents());
        Ok(Ready {
            bell: !bell.is_empty(),
            frame: device.contains(PollFlags::IN),
            event: device.contains(PollFlags::PRI),
            broken: device.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
        })
    }

    fn error(&self, what: &str) -> CameraError {
        let path = self.device.path().display();
        CameraError::passing(format!("{path} ({}): {what}", self.info.name))
    }

    /// What a buffer is to consumers; `None` if there is nothing in it for them.
    fn shot(&mut self, lease: Lease, dequeued: Nanos) -> Option<Shot> {
        let filled = lease.filled;
        if filled.damaged() || !self.plausible(&lease) {
            self.counts.damaged += 1;
            return None;
        }
        let (number, lost) = self.numbers.next(filled.sequence);
        self.counts.lost += lost;
        self.stall.frame(dequeued);
        let capture = self.stamp(&filled, dequeued);
        let (width, height) = (self.info.width, self.info.height);
        let format = match self.delivers {
            Delivers::Pixels(format) | Delivers::Apart(format) => format,
            Delivers::Coded(codec) => {
                let mut unit =
                    CodedUnit { codec, width, height, capture, number, ..<_>::default() };
                let complete = self.assembler.as_mut()?.assemble(lease.used_bytes(), &mut unit);
                return complete.then_some(Shot::Unit(unit));
            }
        };
        let mut planes = self.planes;
        let mut used = filled.used.min(lease.length());
        if let Delivers::Apart(_) = self.delivers {
            used = lease.length();
            for (plane, (n, (from, _))) in planes.iter_mut().zip(lease.parts().enumerate()) {
                plane.offset = from + filled.part(n).1;
            }
        } else {
            for plane in planes.iter_mut().take(format.planes()) {
                plane.offset += filled.offset;
            }
        }
        let (memory, colour) = (Arc::new(lease), self.colour);
        let crc = None;
        Some(Shot::Frame(Frame {
            format,
            width,
            height,
            planes,
            used,
            colour,
            memory,
            capture,
            number,
            crc,
        }))
    }

    /// Whether a buffer, or each of a picture's, is filled as far as the picture goes.
    fn plausible(&self, lease: &Lease) -> bool {
        lease.parts().enumerate().all(|(n, (_, length))| {
            let (used, offset) = lease.filled.part(n);
            let end = offset + self.picture[n].max(1);
            end <= used && end <= length
        })
    }

    fn stamp(&mut self, filled: &Filled, dequeued: Nanos) -> Stamp {
        // A time of the future (vivid's ends of frames) or of long ago is not a capture time,
        // whatever the flag says.
        let recent = filled.time <= dequeued && dequeued.since(filled.time) < Nanos::from_secs(10);
        if !filled.monotonic() || !recent {
            self.stamped_at = StampedAt::Dequeued;
            return clock::stamp(dequeued);
        }
        self.stamped_at = if filled.start_of_exposure() {
            StampedAt::StartOfExposure
        } else {
            StampedAt::EndOfFrame
        };
        clock::stamp(filled.time)
    }

    /// Looks at events; one that ends the stream is an error.
    fn events(&mut self) -> Result<(), CameraError> {
        // A driver that announces events and has none would have us poll without a pause.
        self.events = false;
        while let Some(event) = self.device.dqevent() {
            self.events = true;
            match event {
                Event::SourceChange(_) => {
                    return Err(self.error("its input has another size or rate now"));
                }
                Event::EndOfStream => return Err(self.error("its stream has ended")),
                Event::Control(_) | Event::Other(_) => {}
            }
        }
        Ok(())
    }

    /// Whether frames are overdue. Readers that hold all buffers are not the device's fault.
    fn overdue(&mut self, at: Nanos) -> Result<(), CameraError> {
        if self.queue.with_driver() == 0 {
            if !self.starving {
                self.counts.starved += 1;
            }
            self.starving = true;
            self.stall.frame(at);
        } else {
            self.starving = false;
        }
        if at < self.stall.deadline() {
            return Ok(());
        }
        let seconds = at.since(self.stall.last).0 as f64 / 1e9;
        let damaged = match self.counts.damaged {
            0 => String::new(),
            n => format!(" ({n} damaged ones so far)"),
        };
        Err(self.error(&format!("no frame for {seconds:.1} s{damaged}")))
    }
}

/// What [`CameraV4l2::wait`] found.
struct Ready {
    bell: bool,
    frame: bool,
    event: bool,
    broken: bool,
}

impl Camera for CameraV4l2 {
    fn knobs(&self) -> Option<Arc<dyn Knobs>> {
        let knobs = DeviceKnobs::open(self.device.path())?;
        Some(Arc::new(knobs))
    }

    fn info(&self) -> CameraInfo {
        self.info.clone()
    }

    fn stamped_at(&self) -> StampedAt {
        self.stamped_at
    }

    fn modes(&self) -> Vec<CameraMode> {
        self.modes.clone()
    }

    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError> {
        let begun = now();
        loop {
            let ready = self.wait(bell, self.stall.deadline())?;
            let at = now();
            if ready.event && !ready.broken {
                self.events()?;
            }
            if ready.bell {
                return Ok(Shot::Woken);
            }
            if ready.frame || ready.broken {
                match self.queue.dequeue() {
                    Ok(Some(lease)) => {
                        if let Some(shot) = self.shot(lease, at) {
                            return Ok(shot);
                        }
                    }
                    Ok(None) if ready.broken => {
                        return Err(self.error("the driver reports an error on its stream"));
                    }
                    Ok(None) => {}
                    Err(refusal) => return Err(failed(self.device.path(), &refusal)),
                }
            }
            self.overdue(at)?;
            if at.since(begun) >= LONGEST_WAIT || !ready.frame && !ready.event {
                return Ok(Shot::Woken);
            }
        }
    }

    fn lost(&self) -> u64 {
        self.counts.lost
    }
}

/// `VIDIOC_S_FMT` of what was chosen.
fn set_format(node: &Device, queue: QueueType, choice: &choice::Choice) -> Result<Format, Refusal> {
    let wanted = Format {
        fourcc: choice.fourcc,
        width: choice.size.0,
        height: choice.size.1,
        field: bindings::v4l2_field_V4L2_FIELD_NONE,
        planes: vec![PlaneFormat::default(); choice.delivers.buffers()],
        ..Format::default()
    };
    node.s_fmt(queue, &wanted)
}

/// The error of a refused call.
fn failed(path: &Path, refusal: &Refusal) -> CameraError {
    let message = if refusal.call != "open" && refusal.gone() {
        format!("{}: unplugged or broken: {refusal}", path.display())
    } else {
        devices::reason(path, refusal)
    };
    let passing = refusal.gone()
        || refusal.busy()
        || matches!(refusal.errno, Errno::ACCESS | Errno::PERM | Errno::NOSPC | Errno::NOMEM)
        // What was negotiated and is then refused is a matter of the moment.
        || matches!(refusal.call, "VIDIOC_STREAMON" | "VIDIOC_QBUF" | "VIDIOC_DQBUF");
    CameraError { message, retry: passing }
}

fn not_a_camera(name: &str, path: &Path) -> String {
    let others: Vec<_> = devices::outline()
        .into_iter()
        .filter(|d| d.role == devices::Role::Camera && *d.path != *path)
        .map(|d| format!("{} ({})", d.path.display(), d.card))
        .collect();
    let instead = match others.as_slice() {
        [] => "there is no camera".to_owned(),
        cameras => format!("there is {}", cameras.join(", ")),
    };
    format!("{name} is not a capture device; {instead}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_numbers_count_gaps_and_survive_overflow() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.next(u32::MAX - 1), (0, 0));
        assert_eq!(numbers.next(u32::MAX), (1, 0));
        assert_eq!(numbers.next(2), (4, 2));
        assert_eq!(numbers.next(3), (5, 0));
    }

    #[test]
    fn a_driver_that_does_not_count() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.next(0), numbers.next(0), numbers.next(0)], [(0, 0), (1, 0), (2, 0)]);
        let mut numbers = Numbers::default();
        assert_eq!([numbers.next(9), numbers.next(3), numbers.next(4)], [(0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn patience_is_three_intervals_and_a_second() {
        let mut stall = Stall::new(Nanos(0), 1.0);
        assert_eq!(stall.deadline(), Nanos::from_secs(5));
        stall.frame(Nanos::from_secs(1));
        assert_eq!(stall.deadline(), Nanos::from_secs(5));
        let mut stall = Stall::new(Nanos(0), 30.0);
        stall.frame(Nanos(0));
        assert_eq!(stall.deadline(), Nanos::from_millis(1_100));
        assert_eq!(Stall::new(Nanos(0), 0.0).usual, Nanos::from_secs(2));
    }

    #[test]
    fn no_such_camera() {
        let error = CameraV4l2::open("/dev/video4711", &Wanted::default()).unwrap_err();
        assert!(error.retry);
        assert!(error.message.starts_with("/dev/video4711 does not exist"), "{error}");
    }

    #[test]
    fn not_a_video_device() {
        let error = CameraV4l2::open("/dev/null", &Wanted::default()).unwrap_err();
        assert!(!error.retry);
        assert!(error.message.contains("not a video device"), "{error}");
    }
}
