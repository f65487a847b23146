//! The ring of units: one writer, any number of readers in any process, nobody waits.
//!
//! A ring is a run of 64-bit words in shared memory: a header, `slots` descriptors, and a byte
//! area. Units have sequence numbers from 0; unit `s` has descriptor `s % slots`, and its bytes lie
//! in one piece somewhere in the byte area. Two words carry the protocol:
//!
//! * `HEAD`: all units below it are complete.
//! * `TAIL`: all units below it may be overwritten, now or at any later moment.
//!
//! The writer moves `TAIL` past whatever its next unit will overwrite, *then* writes, *then* moves
//! `HEAD`. A reader reads `HEAD`, reads the unit, *then* looks at `TAIL`: if that has passed the
//! unit, what was read is thrown away. So a reader that is too slow finds out, and nobody ever
//! believes a torn unit. Every word is an atomic, also the bytes, so that a race is a stale value
//! and never undefined behaviour; `tests/loom.rs` checks each ordering below by weakening it.
//!
//! A reader trusts nothing: a region of another process may hold anything, so all numbers are
//! checked after they are copied and before they are used.

use crate::order;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Nanos, Stamp, UtcNanos};
use crate::unit::{Codec, MAX_NALS, NalSpan, UnitMeta};
use std::sync::Arc;

/// Memory that holds a ring: 64-bit words that another process may share.
pub trait Words: Send + Sync {
    /// All words, the same ones at each call.
    fn words(&self) -> &[AtomicU64];

    /// Whether this process may store to the words.
    fn is_writable(&self) -> bool {
        true
    }
}

impl Words for Vec<AtomicU64> {
    fn words(&self) -> &[AtomicU64] {
        self
    }
}

/// "lensring" as bytes in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"lensring");
const VERSION: u64 = 1;

// Word indices in the header. Words that change stand on cache lines of their own.
const W_MAGIC: usize = 0;
const W_VERSION: usize = 1;
const W_SLOTS: usize = 2;
const W_BYTES: usize = 3;
const W_HEAD: usize = 8;
const W_TAIL: usize = 16;
const W_WRITE_POS: usize = 17;
const W_CLOSED: usize = 24;
/// Words of the header.
pub const HEADER_WORDS: usize = 32;

/// Words of a descriptor.
pub const SLOT_WORDS: usize = 16;
const D_SEQ: usize = 0;
const D_START: usize = 1;
const D_SIZE: usize = 2;
const D_KIND: usize = 3;
const D_MONO: usize = 4;
const D_UTC: usize = 5;
const D_ERROR: usize = 6;
const D_ENCODED: usize = 7;
const D_FRAME: usize = 8;
/// One past the newest key frame up to and with this unit; 0: there was none.
const D_KEY: usize = 9;
const D_USED: usize = 10;

/// The size of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Number of descriptors, a power of two.
    pub slots: usize,
    /// Bytes of the byte area, a multiple of 8.
    pub bytes: usize,
}

impl Geometry {
    /// Words that such a ring takes.
    pub const fn words(&self) -> usize {
        HEADER_WORDS + self.slots * SLOT_WORDS + self.bytes / 8
    }

    const fn area(&self) -> usize {
        HEADER_WORDS + self.slots * SLOT_WORDS
    }

    /// The largest unit, with its NAL table, that the ring takes: a quarter of the byte area, so
    /// that a reader always has time for at least the newest one.
    pub const fn max_unit(&self) -> usize {
        self.bytes / 4
    }

    const fn is_sound(&self) -> bool {
        self.slots.is_power_of_two()
            && self.slots <= 1 << 20
            && self.bytes >= 8
            && self.bytes.is_multiple_of(8)
            && self.bytes <= 1 << 32
    }
}

/// Why the writer refused a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Larger than [`Geometry::max_unit`].
    TooLarge {
        /// What the unit needs, in bytes.
        needs: usize,
        /// What the ring takes, in bytes.
        limit: usize,
    },
    /// More NAL units than [`MAX_NALS`].
    TooManyNals(usize),
    /// A NAL span that is empty or not inside the unit.
    BadSpan,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { needs, limit } => {
                write!(f, "a unit of {needs} bytes is over the ring's limit of {limit}")
            }
            Self::TooManyNals(n) => write!(f, "a unit of {n} NAL units is over {MAX_NALS}"),
            Self::BadSpan => write!(f, "a NAL unit is empty or lies outside its access unit"),
        }
    }
}

impl std::error::Error for Refused {}

/// The only writer of a ring.
#[derive(Debug)]
pub struct RingWriter<M: Words> {
    memory: Arc<M>,
    geometry: Geometry,
    /// Sequence number of the next unit.
    next: u64,
    /// Oldest unit that is still whole.
    tail: u64,
    /// Absolute position of the next byte; its place is the remainder by `geometry.bytes`.
    pos: u64,
    /// One past the newest key frame; 0: there was none.
    key: u64,
}

impl<M: Words> RingWriter<M> {
    /// Makes an empty ring in fresh memory, whose words are all zero.
    ///
    /// # Panics
    /// When the geometry is not sound, or the memory is too small or another process's: a mistake of
    /// the program.
    pub fn create(memory: Arc<M>, geometry: Geometry) -> Self {
        assert!(geometry.is_sound() && memory.words().len() >= geometry.words(), "{geometry:?}");
        assert!(memory.is_writable(), "this memory is another process's");
        let words = memory.words();
        words[W_VERSION].store(VERSION, Ordering::Relaxed);
        words[W_SLOTS].store(geometry.slots as u64, Ordering::Relaxed);
        words[W_BYTES].store(geometry.bytes as u64, Ordering::Relaxed);
        order::publish(&words[W_MAGIC], MAGIC);
        Self { memory, geometry, next: 0, tail: 0, pos: 0, key: 0 }
    }

    /// The ring's size.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// A reader in this process.
    pub fn reader(&self) -> RingReader<M> {
        RingReader { memory: Arc::clone(&self.memory), geometry: self.geometry }
    }

    /// Sequence number that the next unit will have.
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    /// Writes a unit that consists of `parts` end to end, and makes it visible. Returns its
    /// sequence number.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed.
    pub fn publish(
        &mut self,
        meta: &UnitMeta,
        nals: &[NalSpan],
        parts: &[&[u8]],
    ) -> Result<u64, Refused> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        if nals.len() > MAX_NALS {
            return Err(Refused::TooManyNals(nals.len()));
        }
        let record = nals.len() * 8 + len.next_multiple_of(8);
        if record > self.geometry.max_unit() {
            return Err(Refused::TooLarge { needs: record, limit: self.geometry.max_unit() });
        }
        if nals.iter().any(|n| n.len == 0 || n.offset as usize + n.len as usize > len) {
            return Err(Refused::BadSpan);
        }
        let start = self.place(record);
        let end = start + record as u64;
        self.release_until(end);

        let words = self.memory.words();
        words[W_WRITE_POS].store(end, Ordering::Relaxed);
        words[W_TAIL].store(self.tail, Ordering::Relaxed);
        order::before_overwrite();

        let seq = self.next;
        let slot = self.slot(seq);
        words[slot + D_SEQ].store(seq, Ordering::Relaxed);
        words[slot + D_START].store(start, Ordering::Relaxed);
        words[slot + D_SIZE].store(len as u64 | (nals.len() as u64) << 32, Ordering::Relaxed);
        words[slot + D_KIND].store(pack_kind(meta), Ordering::Relaxed);
        words[slot + D_MONO].store(meta.capture.mono.0, Ordering::Relaxed);
        words[slot + D_UTC].store(meta.capture.utc.0.cast_unsigned(), Ordering::Relaxed);
        words[slot + D_ERROR].store(u64::from(meta.capture.error_ns), Ordering::Relaxed);
        words[slot + D_ENCODED].store(meta.encoded.0, Ordering::Relaxed);
        words[slot + D_FRAME].store(meta.frame, Ordering::Relaxed);
        if meta.key {
            self.key = seq + 1;
        }
        words[slot + D_KEY].store(self.key, Ordering::Relaxed);

        let from = self.geometry.area() + self.index_of(start);
        let record_words = &words[from..from + record / 8];
        let (table, area) = record_words.split_at(nals.len());
        for (word, nal) in table.iter().zip(nals) {
            word.store(u64::from(nal.offset) | u64::from(nal.len) << 32, Ordering::Relaxed);
        }
        store_bytes(area, parts);

        order::publish(&words[W_HEAD], seq + 1);
        self.next = seq + 1;
        self.pos = end;
        Ok(seq)
    }

    /// Tells readers that no unit will follow.
    pub fn close(&mut self) {
        order::publish(&self.memory.words()[W_CLOSED], 1);
    }

    /// The absolute position where a record of this many bytes fits in one piece.
    fn place(&self, record: usize) -> u64 {
        let cap = self.geometry.bytes as u64;
        let used = self.pos % cap;
        if used + record as u64 > cap { self.pos + (cap - used) } else { self.pos }
    }

    /// Moves the tail past every unit that a record ending at `end` or the next descriptor
    /// overwrites.
    fn release_until(&mut self, end: u64) {
        let words = self.memory.words();
        let oldest_byte = end.saturating_sub(self.geometry.bytes as u64);
        while self.tail < self.next {
            let start = words[self.slot(self.tail) + D_START].load(Ordering::Relaxed);
            let reused = self.next - self.tail >= self.geometry.slots as u64;
            if start >= oldest_byte && !reused {
                break;
            }
            self.tail += 1;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize fits one")]
    const fn slot(&self, seq: u64) -> usize {
        HEADER_WORDS + (seq % self.geometry.slots as u64) as usize * SLOT_WORDS
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize fits one")]
    const fn index_of(&self, pos: u64) -> usize {
        (pos % self.geometry.bytes as u64) as usize / 8
    }
}

impl<M: Words> Drop for RingWriter<M> {
    fn drop(&mut self) {
        self.close();
    }
}

fn pack_kind(meta: &UnitMeta) -> u64 {
    meta.codec.to_wire()
        | u64::from(meta.key) << 8
        | u64::from(meta.width) << 16
        | u64::from(meta.height) << 32
}

/// Stores the parts end to end, eight bytes a word; the last word is filled up with zeros.
fn store_bytes(words: &[AtomicU64], parts: &[&[u8]]) {
    let mut out = words.iter();
    let mut carry = [0u8; 8];
    let mut held = 0;
    for part in parts {
        let mut rest = *part;
        if held > 0 {
            let take = rest.len().min(8 - held);
            carry[held..held + take].copy_from_slice(&rest[..take]);
            held += take;
            rest = &rest[take..];
            if held < 8 {
                continue;
            }
            if let Some(word) = out.next() {
                word.store(u64::from_le_bytes(carry), Ordering::Relaxed);
            }
        }
        let (chunks, tail) = rest.as_chunks::<8>();
        for (chunk, word) in chunks.iter().zip(out.by_ref()) {
            word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
        }
        carry[..tail.len()].copy_from_slice(tail);
        held = tail.len();
    }
    if held > 0 {
        carry[held..].fill(0);
        if let Some(word) = out.next() {
            word.store(u64::from_le_bytes(carry), Ordering::Relaxed);
        }
    }
}

/// Why a unit could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// It is not written yet.
    NotYet,
    /// It is overwritten, or was while it was read.
    Overwritten,
    /// The memory does not hold a sound unit: its writer is broken or hostile.
    Corrupt,
}

/// A unit that was whole when it was looked at: what is known of it, and where its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitView {
    /// Sequence number in its ring.
    pub seq: u64,
    /// What is known of it.
    pub meta: UnitMeta,
    /// Length of its bytes.
    pub len: usize,
    start: u64,
    nals: usize,
    /// As [`D_KEY`].
    key: u64,
}

/// Reads a ring. Cheap to clone; every clone may be on its own thread.
#[derive(Debug)]
pub struct RingReader<M: Words> {
    memory: Arc<M>,
    geometry: Geometry,
}

impl<M: Words> Clone for RingReader<M> {
    fn clone(&self) -> Self {
        Self { memory: Arc::clone(&self.memory), geometry: self.geometry }
    }
}

impl<M: Words> RingReader<M> {
    /// A reader of a ring that somebody else made.
    ///
    /// # Errors
    /// [`Missed::Corrupt`] if the memory does not begin with a sound header of this version that
    /// fits it.
    pub fn attach(memory: Arc<M>) -> Result<Self, Missed> {
        let words = memory.words();
        if words.len() < HEADER_WORDS
            || order::observe(&words[W_MAGIC]) != MAGIC
            || words[W_VERSION].load(Ordering::Relaxed) != VERSION
        {
            return Err(Missed::Corrupt);
        }
        let size = |w: usize| usize::try_from(words[w].load(Ordering::Relaxed));
        let (Ok(slots), Ok(bytes)) = (size(W_SLOTS), size(W_BYTES)) else {
            return Err(Missed::Corrupt);
        };
        let geometry = Geometry { slots, bytes };
        if !geometry.is_sound() || geometry.words() > words.len() {
            return Err(Missed::Corrupt);
        }
        Ok(Self { memory, geometry })
    }

    /// One past the newest complete unit.
    pub fn head(&self) -> u64 {
        order::observe(&self.memory.words()[W_HEAD])
    }

    /// The oldest unit that is not yet given up.
    pub fn tail(&self) -> u64 {
        self.memory.words()[W_TAIL].load(Ordering::Relaxed)
    }

    /// Whether the writer has closed the ring: the head that is read after this is its last.
    pub fn is_closed(&self) -> bool {
        order::observe(&self.memory.words()[W_CLOSED]) != 0
    }

    /// The newest unit from which decoding can begin, if it is still there.
    ///
    /// The newest unit says where it is, so that both become visible at once: a word of its own
    /// would for a moment, or for ever if the writer dies, name a unit that is not published.
    pub fn newest_key(&self) -> Option<UnitView> {
        // Again only if the writer published while we looked.
        for _ in 0..8 {
            let head = self.head();
            let newest = self.view(head.checked_sub(1)?);
            if let Ok(unit) = newest {
                let key = unit.key.checked_sub(1)?;
                let found = if key == unit.seq { newest } else { self.view(key) };
                if let Ok(found) = found {
                    return Some(found).filter(|u| u.meta.key);
                }
            }
            if self.head() == head {
                return None;
            }
        }
        None
    }

    /// Looks at unit `seq`.
    ///
    /// # Errors
    /// [`Missed`]; a unit is never returned half.
    pub fn view(&self, seq: u64) -> Result<UnitView, Missed> {
        if seq >= self.head() {
            return Err(Missed::NotYet);
        }
        let words = self.memory.words();
        #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize fits one")]
        let at = HEADER_WORDS + (seq % self.geometry.slots as u64) as usize * SLOT_WORDS;
        let mut d = [0; D_USED];
        for (value, word) in d.iter_mut().zip(&words[at..at + D_USED]) {
            *value = word.load(Ordering::Relaxed);
        }
        self.check(seq)?;
        let unit = self.parse(&d).ok_or(Missed::Corrupt)?;
        if unit.seq == seq { Ok(unit) } else { Err(Missed::Corrupt) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the masks say what is kept")]
    fn parse(&self, d: &[u64; D_USED]) -> Option<UnitView> {
        let len = (d[D_SIZE] & 0xffff_ffff) as usize;
        let nals = (d[D_SIZE] >> 32) as usize;
        let start = d[D_START];
        let record = nals.checked_mul(8)?.checked_add(len.next_multiple_of(8))?;
        let offset = (start % self.geometry.bytes as u64) as usize;
        if nals > MAX_NALS || !offset.is_multiple_of(8) || offset + record > self.geometry.bytes {
            return None;
        }
        Some(UnitView {
            seq: d[D_SEQ],
            meta: UnitMeta {
                codec: Codec::from_wire(d[D_KIND] & 0xff)?,
                key: d[D_KIND] >> 8 & 1 == 1,
                width: (d[D_KIND] >> 16 & 0xffff) as u16,
                height: (d[D_KIND] >> 32 & 0xffff) as u16,
                capture: Stamp {
                    mono: Nanos(d[D_MONO]),
                    utc: UtcNanos(d[D_UTC].cast_signed()),
                    error_ns: d[D_ERROR] as u32,
                },
                encoded: Nanos(d[D_ENCODED]),
                frame: d[D_FRAME],
            },
            len,
            start,
            nals,
            key: d[D_KEY],
        })
    }

    /// Whether everything that was read of `seq` so far was read before it was overwritten.
    fn check(&self, seq: u64) -> Result<(), Missed> {
        order::after_read();
        if self.tail() > seq { Err(Missed::Overwritten) } else { Ok(()) }
    }

    /// Whether the unit is still whole. What was read of it before this call is then right.
    pub fn is_intact(&self, unit: &UnitView) -> bool {
        self.check(unit.seq).is_ok()
    }

    /// Whether the unit is at least half a ring away from the writer, so that its bytes may be
    /// handed to the kernel where they lie.
    pub fn is_lendable(&self, unit: &UnitView) -> bool {
        let written = self.memory.words()[W_WRITE_POS].load(Ordering::Relaxed);
        written.saturating_sub(unit.start) <= self.geometry.bytes as u64 / 2 && self.is_intact(unit)
    }

    /// Appends the spans of the unit's NAL units to `spans`.
    ///
    /// # Errors
    /// [`Missed`]; `spans` is then as it was.
    pub fn nals(&self, unit: &UnitView, spans: &mut Vec<NalSpan>) -> Result<(), Missed> {
        let kept = spans.len();
        let from = self.record(unit);
        let mut sound = true;
        #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
        spans.extend(self.memory.words()[from..from + unit.nals].iter().map(|word| {
            let word = word.load(Ordering::Relaxed);
            let span = NalSpan { offset: word as u32, len: (word >> 32) as u32 };
            sound &= span.offset as usize + span.len as usize <= unit.len && span.len > 0;
            span
        }));
        let verdict = self.check(unit.seq);
        if verdict.is_err() || !sound {
            spans.truncate(kept);
        }
        verdict?;
        if sound { Ok(()) } else { Err(Missed::Corrupt) }
    }

    /// Appends the bytes `from .. from + len` of the unit to `out`.
    ///
    /// # Errors
    /// [`Missed`]; `out` is then as it was.
    ///
    /// # Panics
    /// When the range is not inside the unit: a mistake of the program.
    pub fn copy(
        &self,
        unit: &UnitView,
        from: usize,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Missed> {
        assert!(from + len <= unit.len, "{from}+{len} of {}", unit.len);
        let kept = out.len();
        out.reserve(len + 16);
        let first = self.record(unit) + unit.nals + from / 8;
        let count = (from % 8 + len).div_ceil(8);
        for word in &self.memory.words()[first..first + count] {
            out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        if let Err(missed) = self.check(unit.seq) {
            out.truncate(kept);
            return Err(missed);
        }
        out.drain(kept..kept + from % 8);
        out.truncate(kept + len);
        Ok(())
    }

    /// A copy of all bytes of the unit, to be shared.
    ///
    /// # Errors
    /// [`Missed`].
    pub fn copy_shared(&self, unit: &UnitView) -> Result<Arc<[u8]>, Missed> {
        let mut out: Arc<[u8]> = std::iter::repeat_n(0, unit.len).collect();
        let first = self.record(unit) + unit.nals;
        let words = &self.memory.words()[first..first + unit.len.div_ceil(8)];
        // Nobody else has it yet.
        for (chunk, word) in Arc::make_mut(&mut out).chunks_mut(8).zip(words) {
            let bytes = word.load(Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        self.check(unit.seq)?;
        Ok(out)
    }

    /// Where the unit's bytes lie in this process, for a call of the kernel; the words before them
    /// are not to be read. Valid as long as this reader, meaningful while [`Self::is_lendable`].
    pub fn address(&self, unit: &UnitView) -> *const u8 {
        let first = self.record(unit) + unit.nals;
        self.memory.words().get(first).map_or(std::ptr::null(), |w| std::ptr::from_ref(w).cast())
    }

    /// Word index of the unit's record.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize fits one")]
    const fn record(&self, unit: &UnitView) -> usize {
        self.geometry.area() + (unit.start % self.geometry.bytes as u64) as usize / 8
    }
}

/// What a [`Cursor`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next unit, in order.
    Unit(UnitView),
    /// The writer was faster: so many units are lost, and the cursor stands at the newest key
    /// frame, or past the head if there is none.
    Lapped(u64),
    /// Nothing new.
    Empty,
    /// The ring is not sound; give it up.
    Corrupt,
}

/// A place in a ring that moves on unit by unit.
#[derive(Debug, Clone)]
pub struct Cursor {
    next: u64,
}

impl Cursor {
    /// Stands so that the next unit to be published is the next one read.
    pub fn at_head<M: Words>(ring: &RingReader<M>) -> Self {
        Self { next: ring.head() }
    }

    /// Stands at the newest key frame, or at the head if there is none.
    pub fn at_key<M: Words>(ring: &RingReader<M>) -> Self {
        // The head first: a key frame that is published after the search is then not stepped over.
        let head = ring.head();
        Self { next: ring.newest_key().map_or(head, |u| u.seq) }
    }

    /// Stands at unit `seq`.
    pub const fn at(seq: u64) -> Self {
        Self { next: seq }
    }

    /// Sequence number of the unit that is read next.
    pub const fn seq(&self) -> u64 {
        self.next
    }

    /// Reads on.
    pub fn next<M: Words>(&mut self, ring: &RingReader<M>) -> Next {
        match ring.view(self.next) {
            Ok(unit) => {
                self.next += 1;
                Next::Unit(unit)
            }
            Err(Missed::NotYet) => Next::Empty,
            Err(Missed::Corrupt) => Next::Corrupt,
            Err(Missed::Overwritten) => {
                let old = self.next;
                *self = Self::at_key(ring);
                // A key frame older than where we stood would be a step back.
                self.next = self.next.max(old + 1);
                Next::Lapped(self.next - old)
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SMALL: Geometry = Geometry { slots: 4, bytes: 256 };

    fn ring(geometry: Geometry) -> RingWriter<Vec<AtomicU64>> {
        let words = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
        RingWriter::create(Arc::new(words), geometry)
    }

    fn bytes_of(reader: &RingReader<Vec<AtomicU64>>, unit: &UnitView) -> Vec<u8> {
        let mut out = Vec::new();
        reader.copy(unit, 0, unit.len, &mut out).unwrap();
        out
    }

    #[test]
    fn a_unit_comes_out_as_it_went_in() {
        let mut writer = ring(SMALL);
        let reader = RingReader::attach(Arc::clone(&writer.memory)).unwrap();
        let meta =
            UnitMeta { key: true, width: 1920, height: 1080, frame: 7, ..Default::default() };
        let nals = [NalSpan { offset: 1, len: 3 }, NalSpan { offset: 4, len: 9 }];
        writer.publish(&meta, &nals, &[b"abc", b"", b"defghijklm"]).unwrap();
        let unit = reader.view(0).unwrap();
        assert_eq!((unit.meta, unit.len), (meta, 13));
        assert_eq!(bytes_of(&reader, &unit), b"abcdefghijklm");
        let mut spans = Vec::new();
        reader.nals(&unit, &mut spans).unwrap();
        assert_eq!(spans, nals);
        let mut some = b"x".to_vec();
        reader.copy(&unit, 3, 7, &mut some).unwrap();
        assert_eq!(some, b"xdefghij");
        assert_eq!(*reader.copy_shared(&unit).unwrap(), *b"abcdefghijklm");
        assert_eq!(reader.view(1), Err(Missed::NotYet));
        assert_eq!(reader.newest_key(), Some(unit));
    }

    #[test]
    fn a_lapped_reader_finds_out_and_goes_on_at_a_key_frame() {
        let mut writer = ring(SMALL);
        let reader = writer.reader();
        let mut cursor = Cursor::at_head(&reader);
        for i in 0..20u64 {
            let meta = UnitMeta { key: i % 3 == 0, frame: i, ..Default::default() };
            writer.publish(&meta, &[], &[&[u8::try_from(i).unwrap(); 40]]).unwrap();
        }
        assert_eq!(cursor.next(&reader), Next::Lapped(18));
        let Next::Unit(unit) = cursor.next(&reader) else { panic!() };
        assert_eq!((unit.seq, unit.meta.key), (18, true));
        assert_eq!(bytes_of(&reader, &unit), [18; 40]);
    }

    /// The writer was killed, or is just now, before it published a key frame.
    #[test]
    fn an_unpublished_key_frame_does_not_hide_the_one_before() {
        let mut writer = ring(SMALL);
        let reader = writer.reader();
        let key = UnitMeta { key: true, ..Default::default() };
        assert_eq!(reader.newest_key(), None);
        writer.publish(&key, &[], &[b"one"]).unwrap();
        writer.publish(&UnitMeta::default(), &[], &[b"two"]).unwrap();
        writer.publish(&key, &[], &[b"three"]).unwrap();
        assert_eq!(reader.newest_key().map(|u| u.seq), Some(2));
        writer.memory.words()[W_HEAD].store(2, Ordering::Relaxed);
        assert_eq!(reader.newest_key().map(|u| u.seq), Some(0));
        assert_eq!(Cursor::at_key(&reader).seq(), 0);
    }

    #[test]
    fn a_key_frame_that_is_gone_is_not_named() {
        let mut writer = ring(SMALL);
        let reader = writer.reader();
        writer.publish(&UnitMeta { key: true, ..Default::default() }, &[], &[b"k"]).unwrap();
        for _ in 0..4 {
            writer.publish(&UnitMeta::default(), &[], &[b"d"]).unwrap();
        }
        assert_eq!(reader.newest_key(), None);
        assert_eq!(Cursor::at_key(&reader).seq(), 5);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut writer = ring(SMALL);
        let meta = UnitMeta::default();
        assert_eq!(
            writer.publish(&meta, &[], &[&[0; 65]]),
            Err(Refused::TooLarge { needs: 72, limit: 64 })
        );
        let outside = [NalSpan { offset: 3, len: 6 }];
        assert_eq!(writer.publish(&meta, &outside, &[&[0; 8]]), Err(Refused::BadSpan));
        // Every reader would call a unit with an empty NAL unit corrupt.
        let empty = [NalSpan { offset: 3, len: 0 }];
        assert_eq!(writer.publish(&meta, &empty, &[&[0; 8]]), Err(Refused::BadSpan));
        assert_eq!(writer.reader().head(), 0);
    }

    #[test]
    fn every_unit_still_held_is_whole_whatever_the_sizes() {
        let mut writer = ring(Geometry { slots: 8, bytes: 512 });
        let reader = writer.reader();
        for i in 0..500u64 {
            let len = usize::try_from(i * 37 % 129).unwrap();
            let fill = u8::try_from(i % 251).unwrap();
            writer.publish(&UnitMeta::default(), &[], &[&vec![fill; len]]).unwrap();
            for seq in reader.tail()..reader.head() {
                let unit = reader.view(seq).unwrap();
                assert_eq!(unit.len, usize::try_from(seq * 37 % 129).unwrap());
                assert!(bytes_of(&reader, &unit).iter().all(|&b| u64::from(b) == seq % 251));
            }
            assert!(reader.tail() <= i && i < reader.head());
        }
    }

    #[test]
    fn a_hostile_region_is_refused_or_read_without_harm() {
        let mut writer = ring(SMALL);
        writer.publish(&UnitMeta::default(), &[NalSpan { offset: 0, len: 4 }], &[b"abcd"]).unwrap();
        let count = writer.memory.words().len();
        for target in 0..count {
            let good = writer.memory.words()[target].load(Ordering::Relaxed);
            for bad in [u64::MAX, 1 << 63, 1 << 32, 0x0101_0101_0101_0101, 3] {
                writer.memory.words()[target].store(bad, Ordering::Relaxed);
                if let Ok(reader) = RingReader::attach(Arc::clone(&writer.memory)) {
                    if let Ok(unit) = reader.view(0) {
                        let mut out = Vec::new();
                        let _ = reader.nals(&unit, &mut Vec::new());
                        let _ = reader.copy(&unit, 0, unit.len, &mut out);
                        let _ = reader.is_lendable(&unit);
                        let _ = reader.address(&unit);
                    }
                    let _ = reader.newest_key();
                    let _ = Cursor::at(u64::MAX).next(&reader);
                }
            }
            writer.memory.words()[target].store(good, Ordering::Relaxed);
        }
    }

    #[test]
    fn dropping_the_writer_closes_the_ring() {
        let writer = ring(SMALL);
        let reader = writer.reader();
        assert!(!reader.is_closed());
        drop(writer);
        assert!(reader.is_closed());
    }
}
