//! What a recording is written to.

use lensd_ffi::mux::ReadAt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What can be read, written, cut and made safe.
pub trait Disk: ReadAt {
    /// Writes all of `bytes` at `at`.
    ///
    /// # Errors
    /// Of the device; some of it may be written then.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts off what lies behind so many bytes.
    ///
    /// # Errors
    /// Of the device.
    fn truncate(&mut self, size: u64) -> io::Result<()>;

    /// Returns when everything before is on the device itself.
    ///
    /// # Errors
    /// Of the device; nobody knows then what is there.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file.
#[derive(Debug)]
pub struct OnDisk(pub File);

impl ReadAt for OnDisk {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }
}

impl Disk for OnDisk {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at)
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
