//! Shared memory: a sealed memfd that its maker may write and everybody else may only read.
//!
//! The maker maps the memfd for writing and then seals it: no other mapping can be made writable
//! and its size cannot change (`fcntl(2)`, `F_SEAL_FUTURE_WRITE`). So a reader can never be hit by
//! `SIGBUS`, and never by a second writer.
#![allow(unsafe_code)]

use crate::ring::Words;
use crate::sync::AtomicU64;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

const SEALS: SealFlags =
    SealFlags::FUTURE_WRITE.union(SealFlags::GROW).union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// Largest region that is mapped, in bytes.
pub const MAX_REGION: u64 = 8 << 30;

/// Seals that keep the size, so that no mapping can be cut.
const SIZE_SEALS: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK).union(SealFlags::SEAL);

/// Makes an unsealed memfd of at least `words` zero words, for a process that will
/// [`Region::adopt`] it.
///
/// # Errors
/// When the kernel has no memory or no descriptors.
pub fn blank(name: &str, words: usize) -> io::Result<OwnedFd> {
    let bytes = (words * 8).next_multiple_of(4096);
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&fd, bytes as u64)?;
    Ok(fd)
}

/// Whether the memfd has its one writer and a fixed size.
///
/// # Errors
/// When the descriptor is no memfd.
pub fn is_sealed(fd: impl AsFd) -> io::Result<bool> {
    Ok(fcntl_get_seals(fd)?.contains(SEALS))
}

fn size_of(fd: &OwnedFd) -> io::Result<usize> {
    let size = fstat(fd)?.st_size.cast_unsigned();
    usize::try_from(size)
        .ok()
        .filter(|b| *b >= 8 && size <= MAX_REGION)
        .ok_or_else(|| invalid("the shared memory has no sensible size"))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A mapping of a whole memfd.
#[derive(Debug)]
pub struct Region {
    fd: OwnedFd,
    start: NonNull<AtomicU64>,
    words: usize,
    writable: bool,
}

// SAFETY: the mapping lives as long as the value, and its words are only used as atomics.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Makes a region of at least `words` zero words, writable through this value alone.
    ///
    /// # Errors
    /// When the kernel has no memory, no descriptors or no memfd seals (before Linux 5.1).
    pub fn create(name: &str, words: usize) -> io::Result<Self> {
        Self::adopt(blank(name, words)?)
    }

    /// Maps the memfd that [`blank`] made for writing, and seals it. From now on only this value
    /// can write it.
    ///
    /// # Errors
    /// When it is sealed already, or the kernel refuses.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let bytes = size_of(&fd)?;
        let region = Self::map(fd, bytes, ProtFlags::READ | ProtFlags::WRITE)?;
        fcntl_add_seals(&region.fd, SEALS)?;
        // Until now another holder of the descriptor could have cut it under the mapping.
        if size_of(&region.fd)? != bytes {
            return Err(invalid("the shared memory changed its size while it was taken over"));
        }
        Ok(region)
    }

    /// Maps a region that another process made, for reading.
    ///
    /// # Errors
    /// `InvalidData` if it is not sealed as [`Region::create`] does, or its size is beyond reason;
    /// else what the kernel says.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        if !is_sealed(&fd)? {
            return Err(invalid("the shared memory is not sealed by its writer"));
        }
        let bytes = size_of(&fd)?;
        Self::map(fd, bytes, ProtFlags::READ)
    }

    /// Makes memory of at least `words` zero words that another process will write, and maps it for
    /// reading. Its size cannot change.
    ///
    /// # Errors
    /// As [`Region::create`].
    pub fn invite(name: &str, words: usize) -> io::Result<Self> {
        let fd = blank(name, words)?;
        fcntl_add_seals(&fd, SIZE_SEALS)?;
        let bytes = size_of(&fd)?;
        Self::map(fd, bytes, ProtFlags::READ)
    }

    /// Maps what another process made with [`Region::invite`] for writing.
    ///
    /// # Errors
    /// `InvalidData` if its size is not sealed or beyond reason; else what the kernel says.
    pub fn accept(fd: OwnedFd) -> io::Result<Self> {
        if !fcntl_get_seals(&fd)?.contains(SIZE_SEALS) {
            return Err(invalid("the size of the shared memory is not sealed"));
        }
        let bytes = size_of(&fd)?;
        Self::map(fd, bytes, ProtFlags::READ | ProtFlags::WRITE)
    }

    fn map(fd: OwnedFd, bytes: usize, prot: ProtFlags) -> io::Result<Self> {
        // SAFETY: a fresh shared mapping, placed by the kernel where nothing is.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, prot, MapFlags::SHARED, &fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let writable = prot.contains(ProtFlags::WRITE);
        Ok(Self { fd, start, words: bytes / 8, writable })
    }

    /// Another descriptor of the memfd, to be sent to a reader.
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Words for Region {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `map` made a mapping of this many words, page-aligned, that lives as long as
        // `self`; its size is sealed, so every page stays there; other processes change the words,
        // which atomics allow. A read-only mapping is only read, with relaxed loads of a size for
        // which Rust allows that (see `order::observe`): writers ask `is_writable` first, and
        // whoever stores to a word besides is stopped by the kernel.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    fn is_writable(&self) -> bool {
        self.writable
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `map` made; no reference to it outlives `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.words * 8) };
    }
}

/// A buffer of pictures that another process or a device writes, mapped for reading.
#[derive(Debug)]
pub struct Pixels {
    fd: OwnedFd,
    start: NonNull<u8>,
    len: usize,
    dmabuf: bool,
}

// SAFETY: a mapping belongs to the process, not to a thread, and is only read.
unsafe impl Send for Pixels {}
// SAFETY: as above.
unsafe impl Sync for Pixels {}

impl Pixels {
    /// Maps the first `len` bytes of a memfd whose size is sealed, or of a DMA-buf, whose size is
    /// fixed.
    ///
    /// # Errors
    /// `InvalidData` if it could be cut, or is shorter; else what the kernel says.
    pub fn open(fd: OwnedFd, len: u64, dmabuf: bool) -> io::Result<Self> {
        if !dmabuf && !fcntl_get_seals(&fd)?.contains(SealFlags::SHRINK) {
            return Err(invalid("the size of the buffer is not sealed"));
        }
        // A DMA-buf says its size to lseek(2) alone.
        let size = rustix::fs::seek(&fd, rustix::fs::SeekFrom::End(0))?;
        let len = usize::try_from(len).ok().filter(|l| *l > 0 && *l as u64 <= size.min(MAX_REGION));
        let len = len.ok_or_else(|| invalid("the buffer is not as long as it is said to be"))?;
        let flags = MapFlags::SHARED;
        // SAFETY: a fresh shared mapping, placed by the kernel where nothing is.
        let start = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, flags, &fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { fd, start, len, dmabuf })
    }

    /// Where its bytes lie in this process. Their owner may change them at any time.
    pub const fn address(&self) -> *const u8 {
        self.start.as_ptr().cast_const()
    }

    /// Their number.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none; there always are some.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Before the processor looks at what a device wrote (`DMA_BUF_IOCTL_SYNC` of the kernel's
    /// "Buffer Sharing and Synchronization"). Nothing for a memfd.
    pub fn begin_look(&self) {
        /// `DMA_BUF_SYNC_READ | DMA_BUF_SYNC_START`
        const START: u64 = 1;
        self.sync(START);
    }

    /// After it.
    pub fn end_look(&self) {
        /// `DMA_BUF_SYNC_READ | DMA_BUF_SYNC_END`
        const END: u64 = 1 | 1 << 2;
        self.sync(END);
    }

    fn sync(&self, flags: u64) {
        use rustix::ioctl::{Setter, ioctl, opcode};
        const DMA_BUF_IOCTL_SYNC: rustix::ioctl::Opcode = opcode::write::<u64>(b'b', 0);
        if self.dmabuf {
            // SAFETY: `struct dma_buf_sync` is one __u64 of flags, which the call only reads.
            let call = unsafe { Setter::<DMA_BUF_IOCTL_SYNC, u64>::new(flags) };
            // SAFETY: as above; the descriptor is open as long as `self`.
            let _ = unsafe { ioctl(&self.fd, call) };
        }
    }

    /// Copies bytes out, as far as there are any. They are each of some moment: whoever lent the
    /// buffer says afterwards whether all are of one picture.
    pub fn copy(&self, from: usize, out: &mut [u8]) {
        use std::sync::atomic::AtomicU8;
        let from = from.min(self.len);
        let len = out.len().min(self.len - from);
        // SAFETY: `open` mapped `len` bytes that stay as long as `self`; others may change them,
        // which atomics allow, and relaxed loads of a byte are allowed in read-only memory.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast::<AtomicU8>(), self.len) };
        for (to, byte) in out.iter_mut().zip(&bytes[from..from + len]) {
            *to = byte.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Drop for Pixels {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `open` made; whoever asked for its address keeps `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{Geometry, RingReader, RingWriter};
    use crate::sync::Ordering;
    use crate::unit::UnitMeta;
    use std::sync::Arc;

    #[test]
    fn a_reader_sees_what_the_writer_writes_and_nobody_else_can_write() {
        let geometry = Geometry { slots: 8, bytes: 4096 };
        let region = Arc::new(Region::create("test", geometry.words()).unwrap());
        let mut writer = RingWriter::create(Arc::clone(&region), geometry);
        let fd = region.share().unwrap();
        assert!(rustix::io::write(&fd, b"x").is_err(), "write(2) on a sealed memfd");
        let other = Arc::new(Region::open(fd).unwrap());
        let reader = RingReader::attach(other).unwrap();
        writer.publish(&UnitMeta::default(), &[], &[b"across"]).unwrap();
        let mut out = Vec::new();
        reader.copy(&reader.view(0).unwrap(), 0, 6, &mut out).unwrap();
        assert_eq!(out, b"across");
    }

    #[test]
    #[should_panic(expected = "another process's")]
    fn a_writer_in_a_readers_mapping_is_a_panic_and_no_sigsegv() {
        let geometry = Geometry { slots: 8, bytes: 4096 };
        let region = Region::create("test", geometry.words()).unwrap();
        let other = Region::open(region.share().unwrap()).unwrap();
        let _ = RingWriter::create(Arc::new(other), geometry);
    }

    #[test]
    fn a_memfd_that_could_shrink_is_refused() {
        let fd = rustix::fs::memfd_create("open", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&fd, 4096).unwrap();
        assert_eq!(Region::open(fd).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn fresh_memory_is_zero() {
        let region = Region::create("zero", 600).unwrap();
        assert!(region.words().len() >= 600);
        assert!(region.words().iter().all(|w| w.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn what_another_process_shall_write_is_written_by_it_alone() {
        let ours = Region::invite("invite", 8).unwrap();
        let theirs = Region::accept(ours.share().unwrap()).unwrap();
        assert!(theirs.is_writable() && !ours.is_writable());
        theirs.words()[3].store(7, Ordering::Relaxed);
        assert_eq!(ours.words()[3].load(Ordering::Relaxed), 7);
        assert!(ftruncate(&ours.fd, 0).is_err());
        assert!(Region::accept(blank("open", 8).unwrap()).is_err());
    }

    #[test]
    fn pixels_are_those_of_a_sealed_buffer() {
        let fd = || {
            let fd = blank("pixels", 512).unwrap();
            rustix::io::pwrite(&fd, b"abc", 4095).unwrap();
            fd
        };
        assert!(Pixels::open(fd(), 4096, false).is_err(), "it could be cut");
        let sealed = fd();
        fcntl_add_seals(&sealed, SIZE_SEALS).unwrap();
        assert!(Pixels::open(sealed.try_clone().unwrap(), 1 << 20, false).is_err());
        assert!(Pixels::open(sealed.try_clone().unwrap(), 0, false).is_err());
        let pixels = Pixels::open(sealed, 4096, false).unwrap();
        let mut out = [9; 4];
        pixels.copy(4094, &mut out);
        assert_eq!((out, pixels.len()), ([0, b'a', 9, 9], 4096));
    }
}
