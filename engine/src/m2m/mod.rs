//! Devices of the kernel that go from memory to memory ("Video Memory-To-Memory Interface"): a
//! picture in at the OUTPUT queue, what was made of it out at the CAPTURE queue.

pub mod scaler;

use crate::frame::Frame;
use crate::sys::v4l2::queue::{CaptureQueue, Lease, OutputQueue};
use crate::sys::v4l2::{Device, Refusal};
use lensd_ffi::time::{Nanos, now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// How long one picture may take.
const PATIENCE: Nanos = Nanos::from_millis(1000);
/// Imports that a driver keeps: as many as a camera has buffers.
pub(crate) const IMPORTS: u32 = 8;

/// Waits until the driver has given what it made of the picture, and the picture back.
///
/// # Errors
/// In words; both queues are then to be stopped, which gives every buffer back.
pub(crate) fn exchange(
    device: &Device,
    given: &mut OutputQueue,
    made: &CaptureQueue,
) -> Result<Lease, String> {
    let words = |refusal: Refusal| refusal.to_string();
    let until = now().plus(PATIENCE);
    let mut lease = None;
    loop {
        given.dequeue().map_err(words)?;
        if lease.is_none() {
            lease = made.dequeue().map_err(words)?;
        }
        if given.with_driver() == 0
            && let Some(lease) = lease.take()
        {
            return Ok(lease);
        }
        let left = until.since(now());
        if left == Nanos(0) {
            let ms = PATIENCE.0 / 1_000_000;
            return Err(format!("nothing came of the picture within {ms} ms"));
        }
        let timeout = Timespec {
            tv_sec: (left.0 / 1_000_000_000).cast_signed(),
            tv_nsec: (left.0 % 1_000_000_000).cast_signed(),
        };
        // Only what is missing: the other would make poll return at once.
        let wanted = if lease.is_none() { PollFlags::IN } else { PollFlags::OUT };
        let mut fds = [PollFd::from_borrowed_fd(device.as_fd(), wanted)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.to_string()),
        }
        let events = fds[0].revents();
        if events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
            && !events.intersects(PollFlags::IN | PollFlags::OUT)
        {
            // The calls above say why; if they do not, the stream is broken all the same.
            given.dequeue().map_err(words)?;
            made.dequeue().map_err(words)?;
            return Err("the driver reports an error on its stream".to_owned());
        }
    }
}

/// The size of a frame's DMA-buf; 0 without one.
pub(crate) fn dmabuf_size(frame: &Frame) -> u64 {
    frame.memory.dmabuf().and_then(|fd| seek(fd, SeekFrom::End(0)).ok()).unwrap_or(0)
}
