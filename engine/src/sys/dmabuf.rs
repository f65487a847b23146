//! Buffers that devices share: mapping them, announcing the processor's looks at them, allocating
//! them (kernel documentation "Buffer Sharing and Synchronization (dma-buf)").

use dma_heap::{Heap, HeapKind};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// A shared mapping of a descriptor, unmapped when dropped. It outlives the descriptor.
#[derive(Debug)]
pub struct Mapping {
    at: NonNull<u8>,
    len: usize,
    writable: bool,
}

// SAFETY: a mapping belongs to the process, not to a thread; all access goes through `&self` for
// reading and `&mut self` for writing.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `mmap(2)` of `len` bytes of `fd` from `offset`, for reading.
    ///
    /// # Errors
    /// Those of `mmap(2)`; `EINVAL` also for a length of zero.
    pub fn read_only(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Self::map(fd.as_fd(), offset, len, false)
    }

    /// `mmap(2)` of `len` bytes of `fd` from `offset`, for reading and writing.
    ///
    /// # Errors
    /// Those of `mmap(2)`; `EINVAL` also for a length of zero.
    pub fn read_write(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Self::map(fd.as_fd(), offset, len, true)
    }

    /// Several buffers of `len` bytes each from `offset` of `fd`, for reading, one after the other in
    /// memory; each begins on a page.
    ///
    /// # Errors
    /// Those of `mmap(2)`; `EINVAL` also for nothing, or a length of zero.
    pub fn joined(parts: &[(BorrowedFd<'_>, u64, usize)]) -> io::Result<Self> {
        let len = parts.iter().map(|(.., len)| whole_pages(*len)).sum();
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let at = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE)
        }?;
        let at = NonNull::new(at.cast::<u8>()).ok_or(Errno::NOMEM)?;
        // It owns the whole range from here on, also if a part of it cannot be had.
        let joined = Self { at, len, writable: false };
        let mut from = 0;
        for (fd, offset, len) in parts {
            let place = at.as_ptr().wrapping_add(from).cast();
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: `from` and the length are within the range that was reserved above, which
            // nobody else knows yet.
            unsafe { mmap(place, *len, ProtFlags::READ, flags, fd, *offset) }?;
            from += whole_pages(*len);
        }
        Ok(joined)
    }

    fn map(fd: BorrowedFd<'_>, offset: u64, len: usize, writable: bool) -> io::Result<Self> {
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let at = unsafe { mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, fd, offset) }?;
        let at = NonNull::new(at.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { at, len, writable })
    }

    /// The bytes. Only this module's siblings call it: they see to it that no device writes to the
    /// buffer while the slice lives.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: `at` is mapped readable for `len` bytes until `self` is dropped, and the callers
        // in `sys` hold the buffer dequeued, so nobody changes it meanwhile.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }

    /// The bytes, for writing; empty for a read-only mapping.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = if self.writable { self.len } else { 0 };
        // SAFETY: as for `bytes`; `&mut self` makes the slice the only one, and a length other
        // than zero is given only where the mapping is writable.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly what `mmap` returned, and no slice of it outlives `self`.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// The bytes of the pages that `len` bytes lie in.
pub fn whole_pages(len: usize) -> usize {
    len.next_multiple_of(rustix::param::page_size())
}

/// What the processor is about to do, or has done, with a DMA-buf (`struct dma_buf_sync`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `DMA_BUF_SYNC_READ`
    Read,
    /// `DMA_BUF_SYNC_WRITE`
    Write,
}

/// `DMA_BUF_IOCTL_SYNC` with `DMA_BUF_SYNC_START`: caches are made to agree with what the device
/// wrote.
///
/// # Errors
/// `ENOTTY` for a descriptor that is no DMA-buf, which then needs no synchronisation.
pub fn sync_start(fd: impl AsFd, access: Access) -> io::Result<()> {
    sync(fd.as_fd(), access, 0)
}

/// `DMA_BUF_IOCTL_SYNC` with `DMA_BUF_SYNC_END`: the device may have it again.
///
/// # Errors
/// As [`sync_start`].
pub fn sync_end(fd: impl AsFd, access: Access) -> io::Result<()> {
    const DMA_BUF_SYNC_END: u64 = 1 << 2;
    sync(fd.as_fd(), access, DMA_BUF_SYNC_END)
}

fn sync(fd: BorrowedFd<'_>, access: Access, flags: u64) -> io::Result<()> {
    const DMA_BUF_IOCTL_SYNC: rustix::ioctl::Opcode = opcode::write::<u64>(b'b', 0);
    let flags = flags
        | match access {
            Access::Read => 1,
            Access::Write => 2,
        };
    loop {
        // SAFETY: `struct dma_buf_sync` is one __u64 of flags, which the call only reads.
        match unsafe { ioctl(fd, Setter::<DMA_BUF_IOCTL_SYNC, u64>::new(flags)) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return Ok(other?),
        }
    }
}

/// What a buffer was allocated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `/dev/dma_heap/system`: devices can import it.
    DmaHeap,
    /// `memfd_create(2)`: only processes can share it.
    Memfd,
}

/// Shared memory of `len` bytes: from the system's DMA heap, or a memfd where the kernel has none.
///
/// # Errors
/// When neither can be had: out of memory or of descriptors.
pub fn allocate(len: usize) -> io::Result<(OwnedFd, Origin)> {
    if let Ok(fd) = Heap::new(HeapKind::System).and_then(|heap| heap.allocate(len)) {
        return Ok((fd, Origin::DmaHeap));
    }
    let fd = memfd_create("lensd-frame", MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, len as u64)?;
    Ok((fd, Origin::Memfd))
}

/// A number for a set of buffers that no other set of this process has.
pub fn next_pool() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A buffer that only this process fills: allocated, mapped, and readable by others as a descriptor.
#[derive(Debug)]
pub struct Owned {
    fd: OwnedFd,
    origin: Origin,
    mapping: Mapping,
}

impl Owned {
    /// Allocates `len` bytes (see [`allocate`]).
    ///
    /// # Errors
    /// As [`allocate`], or when it cannot be mapped.
    pub fn new(len: usize) -> io::Result<Self> {
        let (fd, origin) = allocate(len)?;
        let mapping = Mapping::read_write(&fd, 0, len)?;
        Ok(Self { fd, origin, mapping })
    }

    /// A memfd of `len` bytes that keeps its size, and that nobody else can map for writing.
    ///
    /// # Errors
    /// When the machine is out of memory or the process of descriptors.
    pub fn memfd(len: usize) -> io::Result<Self> {
        let fd = memfd_create("lensd-frame", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&fd, len as u64)?;
        let mapping = Mapping::read_write(&fd, 0, len)?;
        let seals = SealFlags::FUTURE_WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals)?;
        Ok(Self { fd, origin: Origin::Memfd, mapping })
    }

    /// Lets `fill` write all bytes, between the synchronisation calls that a DMA-buf wants.
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut [u8]) -> T) -> T {
        let dma = self.origin == Origin::DmaHeap;
        if dma {
            let _ = sync_start(&self.fd, Access::Write);
        }
        let filled = fill(self.mapping.bytes_mut());
        if dma {
            let _ = sync_end(&self.fd, Access::Write);
        }
        filled
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.mapping.bytes()
    }

    /// What it was allocated from.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl AsFd for Owned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_buffer_is_the_same_memory_through_its_descriptor() {
        let mut buffer = Owned::new(8192).unwrap();
        buffer.fill(|bytes| bytes[4096] = 7);
        let other = Mapping::read_only(&buffer, 0, 8192).unwrap();
        assert_eq!((buffer.bytes()[4096], other.bytes()[4096]), (7, 7));
    }

    #[test]
    fn a_memfd_is_no_dmabuf_and_says_so() {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        let error = sync_start(&fd, Access::Read).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
    }

    #[test]
    fn buffers_are_joined_page_by_page() {
        let mut parts = [Owned::new(5000).unwrap(), Owned::new(100).unwrap()];
        for (n, part) in parts.iter_mut().enumerate() {
            part.fill(|bytes| bytes.fill(n as u8 + 1));
        }
        let joined = {
            let [a, b] = &parts;
            Mapping::joined(&[(a.as_fd(), 0, 5000), (b.as_fd(), 0, 100)]).unwrap()
        };
        let second = whole_pages(5000);
        assert_eq!((joined.bytes()[0], joined.bytes()[4999], joined.bytes()[second]), (1, 1, 2));
        assert_eq!(joined.bytes().len(), second + whole_pages(100));
        assert!(Mapping::joined(&[]).is_err());
    }

    #[test]
    fn nothing_cannot_be_mapped() {
        let fd = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        assert!(Mapping::read_only(&fd, 0, 0).is_err());
    }
}
