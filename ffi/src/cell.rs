//! A cell holds the newest value of something, as bytes: one writer, any number of readers.
//!
//! Where a ring keeps a history, a cell keeps the last word: the table of users, the state of all
//! streams. Two halves are written in turn, so that a reader of the published half is overtaken
//! only by two further writes, and then it knows.

use crate::order;
use crate::ring::Words;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// Words before the two halves: the version, and one per half for its length.
const HEADER: usize = 3;

/// Words that a cell for values of up to `bytes` bytes takes.
pub const fn cell_words(bytes: usize) -> usize {
    HEADER + 2 * bytes.div_ceil(8)
}

/// The cells of a region: `at` words from its start, `bytes` the longest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellPlace {
    /// First word.
    pub at: usize,
    /// Longest value in bytes.
    pub bytes: usize,
}

impl CellPlace {
    /// One past the last word.
    pub const fn end(&self) -> usize {
        self.at + cell_words(self.bytes)
    }

    fn words<'a, M: Words>(&self, memory: &'a M) -> Option<&'a [AtomicU64]> {
        memory.words().get(self.at..self.end())
    }

    fn half(&self, version: u64) -> usize {
        HEADER + if version.is_multiple_of(2) { 0 } else { self.bytes.div_ceil(8) }
    }
}

/// The only writer of a cell.
#[derive(Debug)]
pub struct CellWriter<M: Words> {
    memory: Arc<M>,
    place: CellPlace,
    version: u64,
}

impl<M: Words> CellWriter<M> {
    /// A writer in fresh memory, whose words are all zero.
    ///
    /// # Panics
    /// When the place is not inside the memory, or that is another process's: a mistake of the
    /// program.
    pub fn create(memory: Arc<M>, place: CellPlace) -> Self {
        assert!(place.words(&*memory).is_some(), "{place:?}");
        assert!(memory.is_writable(), "this memory is another process's");
        Self { memory, place, version: 0 }
    }

    /// Publishes a value.
    ///
    /// # Errors
    /// The longest length that is possible, if the value is longer.
    pub fn set(&mut self, value: &[u8]) -> Result<(), usize> {
        if value.len() > self.place.bytes {
            return Err(self.place.bytes);
        }
        let Some(words) = self.place.words(&*self.memory) else { return Err(0) };
        let version = self.version + 1;
        // Who sees a word of this version in a half will see, after its own fence, that the version
        // before is published: that is the announcement, for a reader of this half stands at the
        // version before that.
        order::before_overwrite();
        let half = self.place.half(version);
        words[1 + usize::from(version % 2 == 1)].store(value.len() as u64, Ordering::Relaxed);
        let (chunks, tail) = value.as_chunks::<8>();
        for (word, chunk) in words[half..].iter().zip(chunks) {
            word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
        }
        if !tail.is_empty() {
            let mut last = [0; 8];
            last[..tail.len()].copy_from_slice(tail);
            words[half + chunks.len()].store(u64::from_le_bytes(last), Ordering::Relaxed);
        }
        order::publish(&words[0], version);
        self.version = version;
        Ok(())
    }
}

/// Reads a cell.
#[derive(Debug)]
pub struct CellReader<M: Words> {
    memory: Arc<M>,
    place: CellPlace,
}

impl<M: Words> CellReader<M> {
    /// A reader; `None` if the place is not inside the memory.
    pub fn attach(memory: Arc<M>, place: CellPlace) -> Option<Self> {
        place.words(&*memory)?;
        Some(Self { memory, place })
    }

    /// The version of the published value: 0 if there is none yet, else one more at each change.
    pub fn version(&self) -> u64 {
        self.place.words(&*self.memory).map_or(0, |w| order::observe(&w[0]))
    }

    /// The newest value and its version; `None` if there is none, or if the writer was faster
    /// several times in a row.
    pub fn read(&self) -> Option<(u64, Vec<u8>)> {
        let words = self.place.words(&*self.memory)?;
        for _ in 0..8 {
            let version = order::observe(&words[0]);
            if version == 0 {
                return None;
            }
            let len = words[1 + usize::from(version % 2 == 1)].load(Ordering::Relaxed);
            let Some(len) = usize::try_from(len).ok().filter(|l| *l <= self.place.bytes) else {
                continue;
            };
            let half = self.place.half(version);
            let mut value = Vec::with_capacity(len.next_multiple_of(8));
            for word in &words[half..half + len.div_ceil(8)] {
                value.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
            value.truncate(len);
            order::after_read();
            if words[0].load(Ordering::Relaxed) == version {
                return Some((version, value));
            }
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_read() {
        let place = CellPlace { at: 1, bytes: 20 };
        let memory: Arc<Vec<AtomicU64>> =
            Arc::new((0..place.end()).map(|_| AtomicU64::new(0)).collect());
        let reader = CellReader::attach(Arc::clone(&memory), place).unwrap();
        assert_eq!(reader.read(), None);
        let mut writer = CellWriter::create(memory, place);
        for (version, value) in
            [&b"hello"[..], b"", b"01234567890123456789", b"x"].iter().enumerate()
        {
            writer.set(value).unwrap();
            assert_eq!(reader.read(), Some((version as u64 + 1, value.to_vec())));
        }
        assert_eq!(writer.set(&[0; 21]), Err(20));
        assert_eq!(reader.read(), Some((4, b"x".to_vec())));
    }

    #[test]
    fn a_place_outside_is_refused() {
        let memory: Arc<Vec<AtomicU64>> = Arc::new(vec![AtomicU64::new(0)]);
        assert!(CellReader::attach(memory, CellPlace { at: 0, bytes: 8 }).is_none());
    }
}
