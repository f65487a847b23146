//! The two blocks of shared memory that a client of raw frames has with the engine. Each has one
//! writer.
//!
//! The engine's block is a ring of frame records. A record's first word, its *generation*, says
//! which frame it is and whether that is still lent: the engine never waits, it takes a frame back
//! by changing the word. The client's block says which frames it holds, and up to which one it has
//! seen all.
//!
//! A frame is lent from the moment it is given. There are three ways for a loan to end:
//!
//! * The client gives it back: it has seen the frame ([`Acks::seen`]) and does not hold it.
//! * The engine withdraws one that the client has not taken. Both may happen at once, so that each
//!   side says what it does, and then looks at what the other has said (`order::settle`): either
//!   the client finds it withdrawn and leaves it, or the engine finds it taken and lets it be.
//! * The engine revokes one that the client holds for too long. The client finds out when it looks
//!   at the generation after its work ([`Taker::is_valid`]), and throws away what it has read.
//!
//! `tests/loom.rs` weakens the orderings in turn.

use crate::order;
use crate::ring::Words;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Nanos, Stamp, UtcNanos};
use std::sync::Arc;

/// "lensdtap" as bytes in memory.
const MAGIC: u64 = u64::from_le_bytes(*b"lensdtap");
const W_MAGIC: usize = 0;
const W_VERSION: usize = 1;
const W_SLOTS: usize = 2;
/// One past the newest frame that was given.
const W_HEAD: usize = 8;
/// Frames that this client did not get, by its own slowness.
const W_LOST: usize = 16;
/// Frames that were taken back while it held them.
const W_REVOKED: usize = 17;
/// Frames given.
const W_GIVEN: usize = 18;
const HEADER: usize = 24;

/// Records in the engine's block, a power of two: more than a client can hold and have waiting.
pub const SLOTS: usize = 64;
/// Words of a record.
const SLOT_WORDS: usize = 24;
/// Words of the engine's block.
pub const GIVER_WORDS: usize = HEADER + SLOTS * SLOT_WORDS;

// Words of a record.
const R_GENERATION: usize = 0;
const R_BUFFER: usize = 1;
const R_NUMBER: usize = 2;
const R_MONO: usize = 3;
const R_UTC: usize = 4;
const R_ERROR_FORMAT: usize = 5;
const R_SIZE: usize = 6;
const R_USED_PLANES: usize = 7;
const R_CRC: usize = 8;
const R_GIVEN: usize = 9;
const R_CAMERA: usize = 10;
const R_PLANES: usize = 11;
const R_END: usize = R_PLANES + 2 * MAX_PLANES;

/// Most frames that a client holds at once.
pub const MAX_HELD: usize = 16;
/// Words of the client's block: what it has seen, and on a cache line of their own what it holds.
pub const ACK_WORDS: usize = 8 + MAX_HELD;
const A_SEEN: usize = 0;
/// The last frame that it was woken for, and how long that took: for the server's figures only.
const A_WOKEN: usize = 1;
const A_HELD: usize = 8;

/// Most planes of a picture.
pub const MAX_PLANES: usize = 3;

/// Where a plane lies in its buffer, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PlaneRecord {
    /// The first row.
    pub offset: u32,
    /// From one row to the next.
    pub stride: u32,
    /// Length of a row without padding.
    pub row: u32,
    /// Number of rows.
    pub rows: u32,
}

/// Everything about a frame but its pixels.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which frame of this client, from 0.
    pub seq: u64,
    /// The set of buffers.
    pub pool: u32,
    /// Which buffer of these.
    pub index: u32,
    /// The camera's frame number, with gaps where it lost some.
    pub number: u64,
    /// When it was captured.
    pub capture: Stamp,
    /// V4L2's code of the layout: the bytes of `YU12`, little-endian.
    pub fourcc: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes of the buffer that are used.
    pub used: u32,
    /// Planes that there are.
    pub plane_count: u32,
    /// CRC-32 (IEEE) of the picture, if the camera has computed it.
    pub crc: Option<u32>,
    /// When it was given.
    pub given: Nanos,
    /// Number of the camera, from 1.
    pub camera: u32,
    /// What the samples mean: `ColourPrimaries`, `TransferCharacteristics`, `MatrixCoefficients` and
    /// `VideoFullRangeFlag` of ITU-T H.273, a byte each, the first in the lowest.
    pub colour: u32,
    /// Planes.
    pub planes: [PlaneRecord; MAX_PLANES],
}

impl Record {
    /// Whether all planes lie in a buffer of this length.
    pub fn fits(&self, len: usize) -> bool {
        let planes = self.planes.iter().take(self.plane_count as usize);
        self.plane_count as usize <= MAX_PLANES
            && self.used as usize <= len
            && planes.clone().all(|p| {
                // Products of two u32 fit a u64, and so do their sums.
                let before = u64::from(p.rows.saturating_sub(1)) * u64::from(p.stride);
                let end = u64::from(p.offset) + before + u64::from(p.row);
                p.rows > 0 && p.row > 0 && p.row <= p.stride && end <= len as u64
            })
    }
}

const fn pack(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
const fn unpack(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

const fn lent(seq: u64) -> u64 {
    seq << 1 | 1
}

const fn withdrawn(seq: u64) -> u64 {
    seq << 1
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder by a small number")]
const fn slot(seq: u64) -> usize {
    HEADER + (seq % SLOTS as u64) as usize * SLOT_WORDS
}

/// The only writer of the engine's block.
#[derive(Debug)]
pub struct Giver<M: Words> {
    memory: Arc<M>,
    next: u64,
    given: u64,
    lost: u64,
    revoked: u64,
}

impl<M: Words> Giver<M> {
    /// In fresh memory, whose words are all zero.
    ///
    /// # Panics
    /// When the memory is too small or another process's: a mistake of the program.
    pub fn create(memory: Arc<M>) -> Self {
        assert!(memory.words().len() >= GIVER_WORDS && memory.is_writable());
        let words = memory.words();
        words[W_VERSION].store(super::wire::VERSION.into(), Ordering::Relaxed);
        words[W_SLOTS].store(SLOTS as u64, Ordering::Relaxed);
        order::publish(&words[W_MAGIC], MAGIC);
        Self { memory, next: 0, given: 0, lost: 0, revoked: 0 }
    }

    /// The number that the next frame will have.
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    /// Leaves out a number, whose place is that of a frame that is still lent. The client finds
    /// nothing under it.
    pub fn skip(&mut self) {
        self.next += 1;
    }

    /// Lends a frame; its number is in `record.seq` from now on. **The frame that has this place
    /// so far ([`SLOTS`] before) must not be lent any more.**
    pub fn give(&mut self, record: &Record) -> u64 {
        let seq = self.next;
        let words = self.memory.words();
        let record_words = &words[slot(seq)..slot(seq) + R_END];
        record_words[R_GENERATION].store(withdrawn(seq), Ordering::Relaxed);
        order::before_overwrite();
        let r = record;
        for (at, value) in [
            (R_BUFFER, pack(r.index, r.pool)),
            (R_NUMBER, r.number),
            (R_MONO, r.capture.mono.0),
            (R_UTC, r.capture.utc.0.cast_unsigned()),
            (R_ERROR_FORMAT, pack(r.capture.error_ns, r.fourcc)),
            (R_SIZE, pack(r.width, r.height)),
            (R_USED_PLANES, pack(r.used, r.plane_count)),
            (R_CRC, pack(r.crc.unwrap_or(0), r.crc.is_some().into())),
            (R_GIVEN, r.given.0),
            (R_CAMERA, pack(r.camera, r.colour)),
        ] {
            record_words[at].store(value, Ordering::Relaxed);
        }
        for (i, plane) in r.planes.iter().enumerate() {
            let at = R_PLANES + 2 * i;
            record_words[at].store(pack(plane.offset, plane.stride), Ordering::Relaxed);
            record_words[at + 1].store(pack(plane.row, plane.rows), Ordering::Relaxed);
        }
        order::publish(&record_words[R_GENERATION], lent(seq));
        self.given += 1;
        words[W_GIVEN].store(self.given, Ordering::Relaxed);
        order::publish(&words[W_HEAD], seq + 1);
        self.next = seq + 1;
        seq
    }

    /// Withdraws a frame if the client has not taken it. `true`: it is ours again, and counts as
    /// lost if `lost`.
    pub fn withdraw(&mut self, seq: u64, acks: &AckReader<M>, lost: bool) -> bool {
        let word = &self.memory.words()[slot(seq) + R_GENERATION];
        word.store(withdrawn(seq), Ordering::Relaxed);
        order::settle();
        if acks.read().holds(seq) {
            // Taken, or the client is about to find it withdrawn and says so by letting it go.
            order::publish(word, lent(seq));
            return false;
        }
        if lost {
            self.note_lost(1);
        }
        true
    }

    /// Takes a frame back whatever the client does with it.
    pub fn revoke(&mut self, seq: u64) {
        self.memory.words()[slot(seq) + R_GENERATION].store(withdrawn(seq), Ordering::Relaxed);
        // Before whatever overwrites the picture, and that is far away.
        order::before_overwrite();
        self.revoked += 1;
        self.memory.words()[W_REVOKED].store(self.revoked, Ordering::Relaxed);
    }

    /// Counts frames that the client does not get.
    pub fn note_lost(&mut self, frames: u64) {
        self.lost += frames;
        self.memory.words()[W_LOST].store(self.lost, Ordering::Relaxed);
    }

    /// Frames that the client did not get.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Frames that were taken back while it held them.
    pub const fn revoked(&self) -> u64 {
        self.revoked
    }
}

/// What a client has said, read at one moment. It may be anything: a hostile client harms its own
/// loans alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acks {
    /// It has taken or skipped all frames below it.
    pub seen: u64,
    held: [u64; MAX_HELD],
}

impl Acks {
    /// Whether it holds a frame.
    pub fn holds(&self, seq: u64) -> bool {
        self.held.contains(&(seq + 1))
    }

    /// Whether a frame is given back.
    pub fn is_returned(&self, seq: u64) -> bool {
        seq < self.seen && !self.holds(seq)
    }
}

/// The engine's look at the client's block.
#[derive(Debug)]
pub struct AckReader<M: Words>(Arc<M>);

impl<M: Words> AckReader<M> {
    /// Over memory of at least [`ACK_WORDS`].
    ///
    /// # Panics
    /// When it is smaller: a mistake of the program.
    pub fn new(memory: Arc<M>) -> Self {
        assert!(memory.words().len() >= ACK_WORDS);
        Self(memory)
    }

    /// The frame that it was woken for last, as the lower half of its number and one, and the time from
    /// the frame's being given until then. May be anything, and 0 before the first.
    pub fn woken(&self) -> (u32, Nanos) {
        let (span, turn) = unpack(self.0.words()[A_WOKEN].load(Ordering::Relaxed));
        (turn, Nanos(span.into()))
    }

    /// What the client says now.
    pub fn read(&self) -> Acks {
        let words = self.0.words();
        // What was held when it was seen is in these words before `seen` says so.
        let seen = order::observe(&words[A_SEEN]);
        let mut held = [0; MAX_HELD];
        for (held, word) in held.iter_mut().zip(&words[A_HELD..]) {
            // A place that is free again: the client's looks at the picture were before.
            *held = order::observe(word);
        }
        Acks { seen, held }
    }
}

/// The client's side of both blocks.
#[derive(Debug)]
pub struct Taker<M: Words> {
    given: Arc<M>,
    acks: Arc<M>,
}

impl<M: Words> Clone for Taker<M> {
    fn clone(&self) -> Self {
        Self { given: Arc::clone(&self.given), acks: Arc::clone(&self.acks) }
    }
}

/// What [`Taker::take`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A frame; it is held at the place that was given.
    Frame(Record),
    /// This frame is not there any more.
    Gone,
    /// It is not given yet.
    NotYet,
}

impl<M: Words> Taker<M> {
    /// Over the blocks that came from the engine; `None` if they are none of this version.
    pub fn attach(given: Arc<M>, acks: Arc<M>) -> Option<Self> {
        let words = given.words();
        let sound = words.len() >= GIVER_WORDS
            && acks.words().len() >= ACK_WORDS
            && acks.is_writable()
            && order::observe(&words[W_MAGIC]) == MAGIC
            && words[W_VERSION].load(Ordering::Relaxed) == u64::from(super::wire::VERSION)
            && words[W_SLOTS].load(Ordering::Relaxed) == SLOTS as u64;
        sound.then_some(Self { given, acks })
    }

    /// One past the newest frame that was given.
    pub fn head(&self) -> u64 {
        order::observe(&self.given.words()[W_HEAD])
    }

    /// Frames that were given.
    pub fn given(&self) -> u64 {
        self.given.words()[W_GIVEN].load(Ordering::Relaxed)
    }

    /// Frames that the engine did not give because the client was slow.
    pub fn lost(&self) -> u64 {
        self.given.words()[W_LOST].load(Ordering::Relaxed)
    }

    /// Frames that the engine took back while they were held.
    pub fn revoked(&self) -> u64 {
        self.given.words()[W_REVOKED].load(Ordering::Relaxed)
    }

    fn generation(&self, seq: u64) -> &AtomicU64 {
        &self.given.words()[slot(seq) + R_GENERATION]
    }

    /// Takes frame `seq` and holds it at place `place` (below [`MAX_HELD`]), which must be free.
    /// All frames up to and with it count as seen.
    pub fn take(&self, seq: u64, place: usize) -> Taken {
        if seq >= self.head() {
            return Taken::NotYet;
        }
        let acks = self.acks.words();
        let held = &acks[A_HELD + place];
        held.store(seq + 1, Ordering::Relaxed);
        order::settle();
        let mut r = [0; R_END];
        let whole = order::observe(self.generation(seq)) == lent(seq);
        if whole {
            let from = slot(seq);
            for (value, word) in r.iter_mut().zip(&self.given.words()[from..from + R_END]) {
                *value = word.load(Ordering::Relaxed);
            }
            order::after_read();
        }
        let kept = whole && self.generation(seq).load(Ordering::Relaxed) == lent(seq);
        if !kept {
            order::publish(held, 0);
        }
        order::publish(&acks[A_SEEN], seq + 1);
        if kept { Taken::Frame(parse(seq, &r)) } else { Taken::Gone }
    }

    /// Says how long it took from a frame's being given until its client was woken for it.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half of a number")]
    pub fn note_woken(&self, seq: u64, span: Nanos) {
        let span = u32::try_from(span.0).unwrap_or(u32::MAX);
        self.acks.words()[A_WOKEN].store(pack(span, (seq + 1) as u32), Ordering::Relaxed);
    }

    /// Counts all frames below `seq` as seen.
    pub fn skip_to(&self, seq: u64) {
        order::publish(&self.acks.words()[A_SEEN], seq);
    }

    /// Whether a frame that is held was not taken back. What was read of it before this call is
    /// then right.
    pub fn is_valid(&self, seq: u64) -> bool {
        order::after_read();
        self.generation(seq).load(Ordering::Relaxed) == lent(seq)
    }

    /// Gives back what is held at a place; tells whether it was valid until now.
    pub fn give_back(&self, seq: u64, place: usize) -> bool {
        let valid = self.is_valid(seq);
        order::publish(&self.acks.words()[A_HELD + place], 0);
        valid
    }
}

fn parse(seq: u64, r: &[u64; R_END]) -> Record {
    let (index, pool) = unpack(r[R_BUFFER]);
    let (error_ns, fourcc) = unpack(r[R_ERROR_FORMAT]);
    let (width, height) = unpack(r[R_SIZE]);
    let (used, plane_count) = unpack(r[R_USED_PLANES]);
    let (crc, known) = unpack(r[R_CRC]);
    let mut planes = [PlaneRecord::default(); MAX_PLANES];
    for (i, plane) in planes.iter_mut().enumerate() {
        let (offset, stride) = unpack(r[R_PLANES + 2 * i]);
        let (row, rows) = unpack(r[R_PLANES + 2 * i + 1]);
        *plane = PlaneRecord { offset, stride, row, rows };
    }
    let utc = UtcNanos(r[R_UTC].cast_signed());
    Record {
        seq,
        pool,
        index,
        number: r[R_NUMBER],
        capture: Stamp { mono: Nanos(r[R_MONO]), utc, error_ns },
        fourcc,
        width,
        height,
        used,
        plane_count,
        crc: (known != 0).then_some(crc),
        given: Nanos(r[R_GIVEN]),
        camera: unpack(r[R_CAMERA]).0,
        colour: unpack(r[R_CAMERA]).1,
        planes,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    type Memory = Vec<AtomicU64>;

    fn blocks() -> (Giver<Memory>, AckReader<Memory>, Taker<Memory>) {
        let memory = |n: usize| Arc::new((0..n).map(|_| AtomicU64::new(0)).collect::<Memory>());
        let (given, acks) = (memory(GIVER_WORDS), memory(ACK_WORDS));
        let giver = Giver::create(Arc::clone(&given));
        let taker = Taker::attach(given, Arc::clone(&acks)).unwrap();
        (giver, AckReader::new(acks), taker)
    }

    fn record(number: u64) -> Record {
        let plane = PlaneRecord { offset: 1, stride: 8, row: 7, rows: 2 };
        Record {
            pool: 3,
            index: 5,
            number,
            capture: Stamp { mono: Nanos(number), utc: UtcNanos(-1), error_ns: 9 },
            fourcc: u32::from_le_bytes(*b"YU12"),
            width: 7,
            height: 2,
            used: 20,
            plane_count: 1,
            crc: Some(0),
            given: Nanos(4),
            camera: 2,
            colour: 0x0106_0d01,
            planes: [plane; MAX_PLANES],
            ..Record::default()
        }
    }

    #[test]
    fn what_is_given_is_taken_and_given_back() {
        let (mut giver, acks, taker) = blocks();
        assert_eq!(taker.take(0, 0), Taken::NotYet);
        for number in 0..3 {
            assert_eq!(giver.give(&record(number)), number);
        }
        let Taken::Frame(frame) = taker.take(1, 4) else { panic!() };
        assert_eq!(frame, Record { seq: 1, ..record(1) });
        let said = acks.read();
        assert!(said.is_returned(0), "it was skipped");
        assert!(said.holds(1) && !said.is_returned(1) && !said.is_returned(2));
        assert!(taker.give_back(1, 4));
        assert!(acks.read().is_returned(1));
    }

    #[test]
    fn a_frame_is_withdrawn_only_before_it_is_taken() {
        let (mut giver, acks, taker) = blocks();
        giver.give(&record(0));
        giver.give(&record(1));
        let Taken::Frame(_) = taker.take(0, 0) else { panic!() };
        assert!(!giver.withdraw(0, &acks, true) && taker.is_valid(0));
        assert!(giver.withdraw(1, &acks, true));
        assert_eq!(taker.take(1, 1), Taken::Gone);
        assert_eq!((taker.lost(), taker.revoked()), (1, 0));
        giver.revoke(0);
        assert!(!taker.is_valid(0) && !taker.give_back(0, 0));
        assert_eq!((taker.lost(), taker.revoked()), (1, 1));
    }

    #[test]
    fn a_place_that_is_used_again_is_another_frame() {
        let (mut giver, _, taker) = blocks();
        for number in 0..=SLOTS as u64 {
            giver.give(&record(number));
        }
        assert_eq!(taker.take(0, 0), Taken::Gone);
        assert!(matches!(taker.take(SLOTS as u64, 0), Taken::Frame(f) if f.number == SLOTS as u64));
    }

    #[test]
    fn records_that_lie_do_not_fit() {
        let sound = record(0);
        assert!(sound.fits(20) && !sound.fits(19));
        let with = |plane: PlaneRecord| Record { planes: [plane; 3], ..sound };
        let plane = sound.planes[0];
        for bad in [
            with(PlaneRecord { rows: 0, ..plane }),
            with(PlaneRecord { rows: u32::MAX, stride: u32::MAX, ..plane }),
            with(PlaneRecord { row: 9, ..plane }),
            with(PlaneRecord { offset: u32::MAX, ..plane }),
            Record { plane_count: 4, ..sound },
        ] {
            assert!(!bad.fits(20), "{bad:?}");
        }
    }
}
