//! Buffers and who holds them: `VIDIOC_REQBUFS`, `VIDIOC_QUERYBUF`, `VIDIOC_EXPBUF`, `VIDIOC_QBUF`,
//! `VIDIOC_DQBUF`, `VIDIOC_STREAMON`, `VIDIOC_STREAMOFF` ("Streaming I/O").
//!
//! The kernel knows two owners of a buffer, the driver and us. [`Lease`] is the second as a type:
//! its bytes can be read because nobody writes them while it lives, and dropping it queues the
//! buffer again, from whichever thread that happens on.

use super::{Device, QueueType, Refusal, bindings, refuse};
use crate::sys::dmabuf::{self, Access, Mapping};
use lensd_ffi::time::Nanos;
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use v4l2r::ioctl::{self as vidioc, UncheckedV4l2Buffer};
use v4l2r::memory::MemoryType;

/// Most buffers that a picture's planes lie in: one each.
const MOST_PLANES: usize = 3;

/// Where a buffer can be mapped, from `VIDIOC_QUERYBUF`: offset and length, of each plane if they
/// lie apart.
struct Place(Vec<(u32, u32)>);

impl From<UncheckedV4l2Buffer> for Place {
    fn from(UncheckedV4l2Buffer(raw, planes): UncheckedV4l2Buffer) -> Self {
        match planes {
            Some(planes) => {
                let places = planes.iter().take((raw.length as usize).min(planes.len())).map(|p| {
                    // SAFETY: for MMAP buffers the kernel filled in `mem_offset`, a plain number.
                    (unsafe { p.m.mem_offset }, p.length)
                });
                Self(places.collect())
            }
            None => {
                // SAFETY: as above, `offset`.
                let offset = unsafe { raw.m.offset };
                Self(vec![(offset, raw.length)])
            }
        }
    }
}

/// What the driver says of a buffer that it gives back (`struct v4l2_buffer`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Index in its queue.
    pub index: u32,
    /// Bytes used, from the buffer's beginning.
    pub used: usize,
    /// Where the picture begins.
    pub offset: usize,
    /// `V4L2_BUF_FLAG_*`
    pub flags: u32,
    /// The driver's frame counter.
    pub sequence: u32,
    /// The driver's time stamp, whatever its clock (see `flags`).
    pub time: Nanos,
    /// The same as `used` and `offset` of the second and the third plane, where these lie in buffers
    /// of their own.
    pub rest: [(usize, usize); MOST_PLANES - 1],
}

impl From<UncheckedV4l2Buffer> for Filled {
    fn from(UncheckedV4l2Buffer(raw, planes): UncheckedV4l2Buffer) -> Self {
        let seconds = u64::try_from(raw.timestamp.tv_sec).unwrap_or(0);
        let micros = u64::try_from(raw.timestamp.tv_usec).unwrap_or(0);
        let part = |n: usize| match &planes {
            Some(p) => (p[n].bytesused as usize, p[n].data_offset as usize),
            None if n == 0 => (raw.bytesused as usize, 0),
            None => (0, 0),
        };
        let (used, offset) = part(0);
        Self {
            index: raw.index,
            used,
            offset,
            rest: [part(1), part(2)],
            flags: raw.flags,
            sequence: raw.sequence,
            time: Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(micros * 1_000)),
        }
    }
}

impl Filled {
    /// Bytes used, and where the picture begins, of the buffer of a plane.
    pub fn part(&self, plane: usize) -> (usize, usize) {
        match plane.checked_sub(1) {
            None => (self.used, self.offset),
            Some(n) => self.rest.get(n).copied().unwrap_or_default(),
        }
    }

    /// Whether `V4L2_BUF_FLAG_ERROR` is set: the data may be damaged.
    pub fn damaged(&self) -> bool {
        self.flags & bindings::V4L2_BUF_FLAG_ERROR != 0
    }

    /// Whether the time stamp is of `CLOCK_MONOTONIC`.
    pub fn monotonic(&self) -> bool {
        self.flags & bindings::V4L2_BUF_FLAG_TIMESTAMP_MASK
            == bindings::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
    }

    /// Whether the time stamp was taken at the start of exposure, not at the end of the frame.
    pub fn start_of_exposure(&self) -> bool {
        self.flags & bindings::V4L2_BUF_FLAG_TSTAMP_SRC_MASK
            == bindings::V4L2_BUF_FLAG_TSTAMP_SRC_SOE
    }

    /// Whether an encoder marked it as a key frame.
    pub fn key(&self) -> bool {
        self.flags & bindings::V4L2_BUF_FLAG_KEYFRAME != 0
    }

    /// Whether it is the last one of a drained codec.
    pub fn last(&self) -> bool {
        self.flags & bindings::V4L2_BUF_FLAG_LAST != 0
    }
}

impl Device {
    /// `VIDIOC_REQBUFS`; answers how many there are now.
    fn reqbufs(&self, queue: QueueType, memory: MemoryType, count: u32) -> Result<usize, Refusal> {
        let meanings = &[
            (Errno::BUSY, "another program is streaming from the device"),
            (Errno::INVAL, "the driver does not support this kind of buffer"),
        ];
        vidioc::reqbufs(&self.fd, queue, memory, count).map_err(refuse("VIDIOC_REQBUFS", meanings))
    }

    /// `VIDIOC_QUERYBUF`
    fn querybuf(&self, queue: QueueType, index: u32) -> Result<Place, Refusal> {
        vidioc::querybuf(&self.fd, queue, index as usize).map_err(refuse("VIDIOC_QUERYBUF", &[]))
    }

    /// `VIDIOC_EXPBUF` of a plane, read-only: who is handed the descriptor cannot write to the
    /// picture.
    fn expbuf(&self, queue: QueueType, index: u32, plane: usize) -> Result<OwnedFd, Refusal> {
        let flags = vidioc::ExpbufFlags::CLOEXEC | vidioc::ExpbufFlags::RDONLY;
        vidioc::expbuf(&self.fd, queue, index as usize, plane, flags)
            .map_err(refuse("VIDIOC_EXPBUF", &[]))
    }

    /// `VIDIOC_QBUF`
    fn qbuf(&self, queue: QueueType, buffer: &Queued<'_>) -> Result<(), Refusal> {
        let meanings = &[(Errno::INVAL, "the buffer does not suit the queue")];
        vidioc::qbuf(&self.fd, buffer.to_raw(queue)).map_err(refuse("VIDIOC_QBUF", meanings))
    }

    /// `VIDIOC_DQBUF`; `None` if no buffer is ready.
    fn dqbuf(&self, queue: QueueType) -> Result<Option<Filled>, Refusal> {
        let meanings =
            &[(Errno::INVAL, "the stream was stopped"), (Errno::PIPE, "the stream has ended")];
        match vidioc::dqbuf(&self.fd, queue) {
            Ok(filled) => Ok(Some(filled)),
            Err(e) => match refuse("VIDIOC_DQBUF", meanings)(e) {
                Refusal { errno: Errno::AGAIN, .. } => Ok(None),
                refusal => Err(refusal),
            },
        }
    }

    /// `VIDIOC_STREAMON`
    fn streamon(&self, queue: QueueType) -> Result<(), Refusal> {
        let meanings = &[
            (Errno::BUSY, "another program is streaming from the device"),
            (Errno::PIPE, "the pipeline behind the device is not set up"),
            (Errno::NOLINK, "the pipeline behind the device is not connected"),
        ];
        vidioc::streamon(&self.fd, queue).map_err(refuse("VIDIOC_STREAMON", meanings))
    }

    /// `VIDIOC_STREAMOFF`: all buffers are ours again.
    fn streamoff(&self, queue: QueueType) -> Result<(), Refusal> {
        vidioc::streamoff(&self.fd, queue).map_err(refuse("VIDIOC_STREAMOFF", &[]))
    }
}

/// A buffer on its way to the driver.
#[derive(Default)]
struct Queued<'a> {
    index: u32,
    /// The buffer to import; otherwise it is the driver's own.
    dmabuf: Option<BorrowedFd<'a>>,
    length: u32,
    used: u32,
    time: Nanos,
    /// Planes that lie in buffers of their own, besides the first.
    more_planes: u32,
}

impl Queued<'_> {
    fn to_raw(&self, queue: QueueType) -> UncheckedV4l2Buffer {
        let mut raw = UncheckedV4l2Buffer::new_for_querybuf(queue, Some(self.index));
        raw.0.memory =
            if self.dmabuf.is_some() { MemoryType::DmaBuf } else { MemoryType::Mmap } as u32;
        raw.0.field = bindings::v4l2_field_V4L2_FIELD_NONE;
        raw.0.timestamp.tv_sec = (self.time.0 / 1_000_000_000) as _;
        raw.0.timestamp.tv_usec = (self.time.0 / 1_000 % 1_000_000) as _;
        if let Some(planes) = &mut raw.1 {
            raw.0.length = 1 + self.more_planes;
            planes[0].bytesused = self.used;
            planes[0].length = self.length;
            if let Some(fd) = self.dmabuf {
                planes[0].m.fd = fd.as_raw_fd();
            }
        } else {
            raw.0.bytesused = self.used;
            raw.0.length = self.length;
            if let Some(fd) = self.dmabuf {
                raw.0.m.fd = fd.as_raw_fd();
            }
        }
        raw
    }
}

/// A streaming queue; stopped, and its buffers freed, when dropped.
#[derive(Debug)]
struct Live {
    device: Arc<Device>,
    queue: QueueType,
    memory: MemoryType,
}

impl Drop for Live {
    fn drop(&mut self) {
        // A device that is gone refuses both, and has let go of everything itself.
        let _ = self.device.streamoff(self.queue);
        let _ = self.device.reqbufs(self.queue, self.memory, 0);
    }
}

/// One of the driver's buffers as this process sees it.
#[derive(Debug)]
struct Slot {
    index: u32,
    /// The queue's number, which no later queue has, and how many buffers it has.
    pool: (u32, u32),
    /// Bytes of each plane's buffer: one, but where planes lie apart.
    lengths: Vec<usize>,
    /// One for each, or none if the driver does not export.
    dmabufs: Vec<OwnedFd>,
    /// Mapped when somebody first looks: the zero-copy path never does.
    mapping: OnceLock<Option<Mapping>>,
}

impl Slot {
    fn buffer(&self) -> Queued<'static> {
        let more_planes = self.lengths.len().saturating_sub(1) as u32;
        Queued { index: self.index, more_planes, ..Queued::default() }
    }

    /// The exported buffers, mapped.
    fn map(&self) -> Option<Mapping> {
        match self.dmabufs.as_slice() {
            [] => None,
            [one] => Mapping::read_only(one, 0, self.lengths[0]).ok(),
            several => {
                let parts = several.iter().zip(&self.lengths);
                let parts: Vec<_> = parts.map(|(fd, len)| (fd.as_fd(), 0, *len)).collect();
                Mapping::joined(&parts).ok()
            }
        }
    }
}

/// A queue that pictures or coded units are taken from.
#[derive(Debug)]
pub struct CaptureQueue {
    live: Arc<Live>,
    slots: Vec<Arc<Slot>>,
    with_driver: Arc<AtomicUsize>,
}

impl CaptureQueue {
    /// Allocates `count` buffers (the driver may give more or fewer), exports them if the driver
    /// can, queues all and starts streaming.
    ///
    /// # Errors
    /// The call that failed. `EBUSY`: somebody else streams.
    pub fn start(device: Arc<Device>, queue: QueueType, count: u32) -> Result<Self, Refusal> {
        let count = device.reqbufs(queue, MemoryType::Mmap, count)?;
        let live = Arc::new(Live { device, queue, memory: MemoryType::Mmap });
        let device = &live.device;
        let mut slots = Vec::with_capacity(count);
        let pool = (dmabuf::next_pool(), u32::try_from(count).unwrap_or(0));
        for index in 0..pool.1 {
            let place = device.querybuf(queue, index)?;
            if !(1..=MOST_PLANES).contains(&place.0.len()) {
                let errno = Errno::INVAL;
                let why = "its pictures lie in more than three buffers";
                return Err(Refusal::new("VIDIOC_QUERYBUF", errno, &[(errno, why)]));
            }
            let lengths: Vec<_> = place.0.iter().map(|(_, length)| *length as usize).collect();
            let dmabufs = (0..lengths.len()).map(|plane| device.expbuf(queue, index, plane));
            let dmabufs = dmabufs.collect::<Result<Vec<_>, _>>().unwrap_or_default();
            let mapping = OnceLock::new();
            if dmabufs.is_empty() {
                let part = |(offset, length): &(u32, u32)| {
                    (device.as_fd(), u64::from(*offset), *length as usize)
                };
                let mapped = match place.0.as_slice() {
                    [(offset, length)] => {
                        Mapping::read_only(device.as_ref(), (*offset).into(), *length as usize)
                    }
                    several => Mapping::joined(&several.iter().map(part).collect::<Vec<_>>()),
                };
                let mapped = mapped.map_err(|e| {
                    Refusal::new("mmap", Errno::from_io_error(&e).unwrap_or(Errno::NOMEM), &[])
                })?;
                let _ = mapping.set(Some(mapped));
            }
            slots.push(Arc::new(Slot { index, pool, lengths, dmabufs, mapping }));
        }
        for slot in &slots {
            device.qbuf(queue, &slot.buffer())?;
        }
        let with_driver = Arc::new(AtomicUsize::new(slots.len()));
        device.streamon(queue)?;
        Ok(Self { live, slots, with_driver })
    }

    /// `VIDIOC_DQBUF`: takes the oldest filled buffer; `None` if none is ready.
    ///
    /// # Errors
    /// `ENODEV`, `EIO` when the device is gone or broken.
    pub fn dequeue(&self) -> Result<Option<Lease>, Refusal> {
        let Some(filled) = self.live.device.dqbuf(self.live.queue)? else { return Ok(None) };
        let Some(slot) = self.slots.get(filled.index as usize) else {
            let errno = Errno::IO;
            let why = "the driver gave a buffer that it does not have";
            return Err(Refusal::new("VIDIOC_DQBUF", errno, &[(errno, why)]));
        };
        self.with_driver.fetch_sub(1, Ordering::Relaxed);
        Ok(Some(Lease {
            filled,
            slot: Arc::clone(slot),
            live: Arc::downgrade(&self.live),
            with_driver: Arc::clone(&self.with_driver),
            looked: OnceLock::new(),
        }))
    }

    /// Buffers that the driver has to fill; with none it loses frames.
    pub fn with_driver(&self) -> usize {
        self.with_driver.load(Ordering::Relaxed)
    }

    /// Buffers in all.
    pub fn buffers(&self) -> usize {
        self.slots.len()
    }

    /// Whether the buffers are exported as DMA-bufs.
    pub fn exported(&self) -> bool {
        self.slots.iter().all(|slot| !slot.dmabufs.is_empty())
    }
}

/// A filled buffer that is ours until this is dropped; then the driver gets it back, if the queue
/// still streams. It may outlive the queue and the device: the memory stays.
#[derive(Debug)]
pub struct Lease {
    /// What the driver said of it.
    pub filled: Filled,
    slot: Arc<Slot>,
    live: Weak<Live>,
    with_driver: Arc<AtomicUsize>,
    /// Whether the processor looked at it, so that `DMA_BUF_SYNC_START` wants its end.
    looked: OnceLock<()>,
}

impl Lease {
    /// All bytes of the buffer, mapped now if they were not before; of several, one after the other
    /// ([`Lease::parts`]). Empty if that fails.
    pub fn bytes(&self) -> &[u8] {
        let Some(mapping) = self.slot.mapping.get_or_init(|| self.slot.map()) else { return &[] };
        self.looked.get_or_init(|| {
            for fd in &self.slot.dmabufs {
                let _ = dmabuf::sync_start(fd, Access::Read);
            }
        });
        mapping.bytes()
    }

    /// The bytes that the driver filled.
    pub fn used_bytes(&self) -> &[u8] {
        let bytes = self.bytes();
        bytes.get(self.filled.offset..self.filled.used.min(bytes.len())).unwrap_or(&[])
    }

    /// The buffer as a DMA-buf, if the driver exports it and it is one.
    pub fn dmabuf(&self) -> Option<BorrowedFd<'_>> {
        match self.slot.dmabufs.as_slice() {
            [one] => Some(one.as_fd()),
            _ => None,
        }
    }

    /// Where in [`Lease::bytes`] the buffer of each plane begins, and its length; one, but where
    /// planes lie apart.
    pub fn parts(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut from = 0;
        self.slot.lengths.iter().map(move |length| {
            let part = (from, *length);
            from += dmabuf::whole_pages(*length);
            part
        })
    }

    /// Which buffer it is: its queue's number, its index, and how many the queue has.
    pub fn identity(&self) -> (u32, u32, u32) {
        (self.slot.pool.0, self.slot.index, self.slot.pool.1)
    }

    /// Size of the buffer in bytes, known without mapping it; of several, to the last one's end.
    pub fn length(&self) -> usize {
        self.parts().last().map_or(0, |(from, length)| from + length)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.looked.get().is_some() {
            for fd in &self.slot.dmabufs {
                let _ = dmabuf::sync_end(fd, Access::Read);
            }
        }
        // The queue that this buffer came from, or none: a later queue of the same device has
        // another `Live`, so that no index ever goes to the wrong one.
        let Some(live) = self.live.upgrade() else { return };
        if live.device.qbuf(live.queue, &self.slot.buffer()).is_ok() {
            self.with_driver.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How an [`OutputQueue`] gets its pictures.
#[derive(Debug)]
enum Source {
    /// Buffers of the driver that pictures are copied into.
    Copied(Vec<Mapping>),
    /// Buffers of others, each known by its file: the kernel keeps an import as long as the same
    /// buffer comes with the same index.
    Imported(Vec<Option<(u64, u64)>>),
}

/// A queue that raw pictures are given to.
#[derive(Debug)]
pub struct OutputQueue {
    live: Live,
    source: Source,
    /// Which indices the driver has.
    queued: Vec<bool>,
    /// The index that was used longest ago is the next to be taken for a new import.
    turn: usize,
}

impl OutputQueue {
    /// Allocates `count` buffers to copy pictures into, and starts streaming.
    ///
    /// # Errors
    /// The call that failed.
    pub fn copying(device: Arc<Device>, queue: QueueType, count: u32) -> Result<Self, Refusal> {
        let count = device.reqbufs(queue, MemoryType::Mmap, count)?;
        let live = Live { device, queue, memory: MemoryType::Mmap };
        let mut mappings = Vec::with_capacity(count);
        for index in 0..u32::try_from(count).unwrap_or(0) {
            let place = live.device.querybuf(queue, index)?;
            let [(offset, length)] = place.0[..] else {
                return Err(Refusal::new("VIDIOC_QUERYBUF", Errno::INVAL, &[]));
            };
            let (offset, length) = (u64::from(offset), length as usize);
            let mapping = Mapping::read_write(live.device.as_ref(), offset, length);
            mappings.push(mapping.map_err(|e| {
                Refusal::new("mmap", Errno::from_io_error(&e).unwrap_or(Errno::NOMEM), &[])
            })?);
        }
        live.device.streamon(queue)?;
        Ok(Self { live, source: Source::Copied(mappings), queued: vec![false; count], turn: 0 })
    }

    /// Makes room for `count` DMA-bufs of others, and starts streaming.
    ///
    /// # Errors
    /// `EINVAL`: the driver does not import.
    pub fn importing(device: Arc<Device>, queue: QueueType, count: u32) -> Result<Self, Refusal> {
        let count = device.reqbufs(queue, MemoryType::DmaBuf, count)?;
        let live = Live { device, queue, memory: MemoryType::DmaBuf };
        live.device.streamon(queue)?;
        let source = Source::Imported(vec![None; count]);
        Ok(Self { live, source, queued: vec![false; count], turn: 0 })
    }

    /// Whether it imports; otherwise it copies.
    pub fn imports(&self) -> bool {
        matches!(self.source, Source::Imported(_))
    }

    /// Queues a picture that `fill` writes into one of the driver's buffers, `used` bytes of it.
    ///
    /// # Errors
    /// `EAGAIN` if the driver has all buffers.
    pub fn queue_copy(
        &mut self,
        used: u32,
        time: Nanos,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), Refusal> {
        let free = self.queued.iter().position(|queued| !queued);
        let (Some(index), Source::Copied(mappings)) = (free, &mut self.source) else {
            return Err(Refusal::new("VIDIOC_QBUF", Errno::AGAIN, FULL));
        };
        fill(mappings[index].bytes_mut());
        let buffer = Queued { index: index as u32, used, time, ..Queued::default() };
        self.live.device.qbuf(self.live.queue, &buffer)?;
        self.queued[index] = true;
        Ok(())
    }

    /// Queues a picture where it lies. **The caller keeps the buffer unchanged until the driver
    /// has given it back** ([`OutputQueue::dequeue`]).
    ///
    /// # Errors
    /// `EINVAL` if the buffer is too small or cannot be imported, `EAGAIN` if the driver has all
    /// buffers.
    pub fn queue_import(
        &mut self,
        dmabuf: BorrowedFd<'_>,
        length: u32,
        used: u32,
        time: Nanos,
    ) -> Result<(), Refusal> {
        let Source::Imported(known) = &mut self.source else {
            return Err(Refusal::new("VIDIOC_QBUF", Errno::INVAL, &[]));
        };
        let stat = rustix::fs::fstat(dmabuf).map_err(|e| Refusal::new("fstat", e, &[]))?;
        let file = Some((stat.st_dev, stat.st_ino));
        let count = known.len();
        let index = (0..count)
            .find(|&i| known[i] == file && !self.queued[i])
            .or_else(|| (0..count).find(|&i| known[i].is_none() && !self.queued[i]))
            .or_else(|| (0..count).map(|i| (self.turn + i) % count).find(|&i| !self.queued[i]))
            .ok_or_else(|| Refusal::new("VIDIOC_QBUF", Errno::AGAIN, FULL))?;
        self.turn = index + 1;
        let dmabuf = Some(dmabuf);
        let buffer = Queued { index: index as u32, dmabuf, length, used, time, more_planes: 0 };
        self.live.device.qbuf(self.live.queue, &buffer)?;
        known[index] = file;
        self.queued[index] = true;
        Ok(())
    }

    /// `VIDIOC_DQBUF`: takes back what the driver is done with; `None` if nothing is.
    ///
    /// # Errors
    /// `ENODEV`, `EIO` when the device is gone or broken.
    pub fn dequeue(&mut self) -> Result<Option<Filled>, Refusal> {
        let filled = self.live.device.dqbuf(self.live.queue)?;
        if let Some(filled) = filled
            && let Some(queued) = self.queued.get_mut(filled.index as usize)
        {
            *queued = false;
        }
        Ok(filled)
    }

    /// Buffers that the driver has.
    pub fn with_driver(&self) -> usize {
        self.queued.iter().filter(|queued| **queued).count()
    }
}

const FULL: &[(Errno, &str)] = &[(Errno::AGAIN, "the driver has all buffers")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_says_of_a_buffer_in_both_interfaces() {
        let mut raw = UncheckedV4l2Buffer::new_for_querybuf(QueueType::VideoCapture, Some(3));
        raw.0.bytesused = 100;
        raw.0.flags = bindings::V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
            | bindings::V4L2_BUF_FLAG_TSTAMP_SRC_SOE
            | bindings::V4L2_BUF_FLAG_ERROR;
        raw.0.timestamp.tv_sec = 2;
        raw.0.timestamp.tv_usec = 5;
        let filled = Filled::from(raw);
        assert_eq!((filled.index, filled.used, filled.time), (3, 100, Nanos(2_000_005_000)));
        assert!(filled.monotonic() && filled.start_of_exposure() && filled.damaged());

        let mut raw = UncheckedV4l2Buffer::new_for_querybuf(QueueType::VideoCaptureMplane, None);
        raw.1.as_mut().unwrap()[0].bytesused = 70;
        raw.1.as_mut().unwrap()[0].data_offset = 6;
        raw.1.as_mut().unwrap()[1].bytesused = 35;
        let filled = Filled::from(raw);
        assert_eq!(filled.rest, [(35, 0), (0, 0)]);
        assert_eq!((filled.used, filled.offset), (70, 6));
        assert!(!filled.monotonic() && !filled.damaged());
    }

    #[test]
    fn a_clock_before_its_epoch_is_zero() {
        let mut raw = UncheckedV4l2Buffer::new_for_querybuf(QueueType::VideoCapture, None);
        raw.0.timestamp.tv_sec = -1;
        let filled = Filled::from(raw);
        assert_eq!(filled.time, Nanos(0));
    }
}
