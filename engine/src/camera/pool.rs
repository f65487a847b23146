//! Picture memory that is lent and comes back by itself.

use crate::frame::Memory;
use std::sync::Arc;

/// A lent buffer; free again when the pool's is the only handle.
pub(super) struct Buffer(pub(super) Vec<u8>);

impl Memory for Buffer {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Buffers that are used in turn. Nothing is allocated after they were.
pub(super) struct Pool(Vec<Arc<Buffer>>);

impl Pool {
    /// Buffers with these contents.
    pub(super) fn new(buffers: impl Iterator<Item = Vec<u8>>) -> Self {
        Self(buffers.map(|bytes| Arc::new(Buffer(bytes))).collect())
    }

    /// Fills the buffer that has been free for longest and lends it; `None` if none is free.
    pub(super) fn lend<T>(
        &mut self,
        fill: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Option<(Arc<Buffer>, T)> {
        let index = self.0.iter_mut().position(|b| Arc::get_mut(b).is_some())?;
        let mut buffer = self.0.remove(index);
        let filled = Arc::get_mut(&mut buffer).map(|b| fill(&mut b.0));
        self.0.push(Arc::clone(&buffer));
        Some((buffer, filled?))
    }
}
