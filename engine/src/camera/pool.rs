//! Picture memory that is lent and comes back by itself.

use crate::frame::{Memory, Shared, SharedKind};
use crate::sys::dmabuf::{Owned, next_pool};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Buffers that are used in turn; one is free again when the pool's is the only handle.
#[derive(Debug)]
pub struct Pool<B>(Vec<Arc<B>>);

impl<B> Pool<B> {
    /// Of these.
    pub fn new(buffers: impl Iterator<Item = B>) -> Self {
        Self(buffers.map(Arc::new).collect())
    }

    /// Fills the buffer that has been free for longest and lends it; `None` if none is free.
    pub fn lend<T>(&mut self, fill: impl FnOnce(&mut B) -> T) -> Option<(Arc<B>, T)> {
        let index = self.0.iter_mut().position(|b| Arc::get_mut(b).is_some())?;
        let mut buffer = self.0.remove(index);
        let filled = Arc::get_mut(&mut buffer).map(fill);
        self.0.push(Arc::clone(&buffer));
        Some((buffer, filled?))
    }
}

/// A buffer that other processes can map for reading: a memfd.
#[derive(Debug)]
pub struct Sheet {
    memory: Owned,
    pool: u32,
    index: u32,
    buffers: u32,
}

impl Sheet {
    /// Lets `fill` write all bytes.
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut [u8]) -> T) -> T {
        self.memory.fill(fill)
    }
}

impl Memory for Sheet {
    fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    fn shared(&self) -> Option<Shared<'_>> {
        Some(Shared {
            fd: self.memory.as_fd(),
            kind: SharedKind::Memfd,
            len: self.bytes().len(),
            pool: self.pool,
            index: self.index,
            buffers: self.buffers,
        })
    }
}

/// Makes a pool of `buffers` sheets of `len` bytes, all zero. Nothing is allocated after that.
///
/// # Errors
/// When the machine is out of memory or the process of descriptors.
pub fn sheets(buffers: u32, len: usize) -> io::Result<Pool<Sheet>> {
    let pool = next_pool();
    let sheets: io::Result<Vec<_>> = (0..buffers)
        .map(|index| Ok(Sheet { memory: Owned::memfd(len)?, pool, index, buffers }))
        .collect();
    Ok(Pool::new(sheets?.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_keep_who_they_are_and_nobody_else_writes_them() {
        let mut pool = sheets(2, 5000).unwrap();
        let (a, ()) = pool.lend(|sheet| sheet.fill(|bytes| bytes[4999] = 1)).unwrap();
        let (b, ()) = pool.lend(|_| ()).unwrap();
        assert!(pool.lend(|_| ()).is_none());
        let (one, two) = (a.shared().unwrap(), b.shared().unwrap());
        assert_eq!((one.index, two.index, one.buffers, one.len), (0, 1, 2, 5000));
        assert_eq!(one.pool, two.pool);
        assert!(rustix::io::pwrite(one.fd, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(one.fd, 1).is_err());
        assert_ne!(sheets(1, 1).unwrap().0[0].pool, one.pool);
        drop(a);
        let again = pool.lend(|sheet| sheet.fill(|bytes| bytes[4999])).unwrap();
        assert_eq!((again.0.shared().unwrap().index, again.1), (0, 1));
    }
}
