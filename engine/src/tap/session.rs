//! What is lent to one client, and when it is taken back. No sockets, no clock.

use crate::frame::{Frame, Memory, Shared};
use lensd_ffi::ring::Words;
use lensd_ffi::tap::block::{AckReader, Giver, MAX_HELD, Record, SLOTS};
use lensd_ffi::tap::client::MAX_BUFFERS;
use lensd_ffi::tap::wire::Mode;
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;
use std::sync::Arc;

/// Frames that may wait for a client in mode `every`, if it does not say.
const QUEUE: usize = 4;

/// A frame that the client may look at.
struct Loan {
    seq: u64,
    /// As [`Session::give`] was told.
    turn: u64,
    since: Nanos,
    /// Dropped, the camera may write to it again.
    _memory: Arc<dyn Memory>,
}

/// One client's frames.
pub struct Session<M: Words> {
    giver: Giver<M>,
    acks: AckReader<M>,
    mode: Mode,
    queue: usize,
    loans: VecDeque<Loan>,
    /// The pool whose buffers the client has, and which of them, a bit each.
    pool: u32,
    known: u64,
    /// The frame that it was woken for when that was looked at last.
    woken: u32,
}

impl<M: Words> Session<M> {
    /// Over fresh blocks.
    pub fn new(given: Arc<M>, acks: Arc<M>, mode: Mode, queue: u32) -> Self {
        let queue = match queue as usize {
            0 => QUEUE,
            n => n.min(MAX_HELD),
        };
        Self {
            giver: Giver::create(given),
            acks: AckReader::new(acks),
            mode,
            queue,
            loans: VecDeque::new(),
            pool: 0,
            known: 0,
            woken: 0,
        }
    }

    /// How long it took to wake the client for a frame, once for each that it was woken for.
    pub fn woken(&mut self) -> Option<Nanos> {
        let (turn, span) = self.acks.woken();
        (std::mem::replace(&mut self.woken, turn) != turn).then_some(span)
    }

    /// Ends the loans of frames that the client has given back, and of those that it has for longer
    /// than `bound`. The newest may wait for it for ever.
    pub fn collect(&mut self, at: Nanos, bound: Nanos) {
        let said = self.acks.read();
        let newest = self.giver.next_seq().wrapping_sub(1);
        let Self { giver, acks, loans, .. } = self;
        loans.retain(|loan| {
            if said.is_returned(loan.seq) {
                return false;
            }
            if at.since(loan.since) <= bound {
                return true;
            }
            if !said.holds(loan.seq) {
                return loan.seq == newest || !giver.withdraw(loan.seq, acks, true);
            }
            giver.revoke(loan.seq);
            false
        });
    }

    /// Whether the client has the buffer.
    pub fn knows(&self, buffer: &Shared<'_>) -> bool {
        buffer.pool == self.pool && self.known >> buffer.index & 1 == 1
    }

    /// The client has got the buffer, whose index is below [`MAX_BUFFERS`].
    pub fn learn(&mut self, buffer: &Shared<'_>) {
        debug_assert!((buffer.index as usize) < MAX_BUFFERS);
        if buffer.pool != self.pool {
            (self.pool, self.known) = (buffer.pool, 0);
        }
        self.known |= 1 << buffer.index;
    }

    /// Lends a frame, whose buffer the client knows. `turn` numbers frames in the order in which
    /// they came.
    pub fn give(&mut self, frame: &Frame, record: &Record, turn: u64) {
        self.make_room();
        let places = SLOTS as u64;
        while self.loans.iter().any(|l| l.seq % places == self.giver.next_seq() % places) {
            self.giver.skip();
        }
        let seq = self.giver.give(record);
        let memory = Arc::clone(&frame.memory);
        self.loans.push_back(Loan { seq, turn, since: record.given, _memory: memory });
    }

    /// Withdraws what the client was too slow for, so that one more frame can be lent.
    fn make_room(&mut self) {
        if self.loans.is_empty() {
            return;
        }
        let said = self.acks.read();
        // What is given back already, and was not collected yet, is not lost.
        self.loans.retain(|loan| !said.is_returned(loan.seq));
        let waiting = self.loans.iter().filter(|l| !said.holds(l.seq)).count();
        let mut over = match self.mode {
            Mode::Latest => waiting,
            Mode::Every => (waiting + 1).saturating_sub(self.queue),
        };
        let lost = self.mode == Mode::Every;
        let Self { giver, acks, loans, .. } = self;
        loans.retain(|loan| {
            let goes = over > 0 && !said.holds(loan.seq) && giver.withdraw(loan.seq, acks, lost);
            over -= usize::from(goes);
            !goes
        });
    }

    /// Takes back the frame of this turn, whatever the client does with it.
    pub fn take_back(&mut self, turn: u64) {
        let Self { giver, acks, loans, mode, .. } = self;
        loans.retain(|loan| {
            if loan.turn != turn {
                return true;
            }
            if !giver.withdraw(loan.seq, acks, *mode == Mode::Every) {
                giver.revoke(loan.seq);
            }
            false
        });
    }

    /// The camera is closed: takes back what the client has not taken.
    pub fn rest(&mut self) {
        let Self { giver, acks, loans, .. } = self;
        loans.retain(|loan| !giver.withdraw(loan.seq, acks, false));
    }

    /// The client is let out: whatever it holds is not its any more.
    pub fn end(&mut self) {
        let Self { giver, loans, .. } = self;
        for loan in loans.drain(..) {
            giver.revoke(loan.seq);
        }
    }

    /// Counts frames that it does not get.
    pub fn miss(&mut self, frames: u64) {
        self.giver.note_lost(frames);
    }

    /// Turns of the frames that are lent, and whether the client holds them.
    pub fn loans(&self) -> impl Iterator<Item = (u64, bool)> {
        let said = self.acks.read();
        self.loans.iter().map(move |loan| (loan.turn, said.holds(loan.seq)))
    }

    /// How many are lent.
    pub fn loan_count(&self) -> usize {
        self.loans.len()
    }

    /// Frames lost and revoked so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.giver.lost(), self.giver.revoked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PixelFormat, packed_planes};
    use lensd_ffi::sync::AtomicU64;
    use lensd_ffi::tap::block::{ACK_WORDS, GIVER_WORDS, Taken, Taker};
    use lensd_ffi::time::Stamp;

    type Words = Vec<AtomicU64>;
    const BOUND: Nanos = Nanos(100);

    fn session(mode: Mode, queue: u32) -> (Session<Words>, Taker<Words>) {
        let memory = |n: usize| Arc::new((0..n).map(|_| AtomicU64::new(0)).collect::<Words>());
        let (given, acks) = (memory(GIVER_WORDS), memory(ACK_WORDS));
        let session = Session::new(Arc::clone(&given), Arc::clone(&acks), mode, queue);
        (session, Taker::attach(given, acks).unwrap())
    }

    /// Lends a frame at an instant; the memory says whether it still is.
    fn give(session: &mut Session<Words>, turn: u64, at: u64) -> std::sync::Weak<Vec<u8>> {
        let (planes, used) = packed_planes(PixelFormat::Grey, 4, 4);
        let memory = Arc::new(vec![0; used]);
        let weak = Arc::downgrade(&memory);
        let frame = Frame {
            format: PixelFormat::Grey,
            width: 4,
            height: 4,
            planes,
            used,
            colour: Default::default(),
            memory,
            capture: Stamp::default(),
            number: turn,
            crc: None,
        };
        let record = Record { number: turn, given: Nanos(at), ..Record::default() };
        session.give(&frame, &record, turn);
        weak
    }

    #[test]
    fn latest_lends_the_newest_and_what_is_held() {
        let (mut session, client) = session(Mode::Latest, 0);
        let first = give(&mut session, 0, 0);
        let Taken::Frame(_) = client.take(0, 0) else { panic!() };
        let second = give(&mut session, 1, 1);
        let third = give(&mut session, 2, 2);
        assert_eq!([&first, &second, &third].map(|w| w.strong_count()), [1, 0, 1]);
        assert_eq!(client.take(1, 1), Taken::Gone);
        let Taken::Frame(frame) = client.take(2, 1) else { panic!() };
        assert_eq!(frame.number, 2);
        assert!(client.give_back(0, 0) && client.give_back(2, 1));
        session.collect(Nanos(3), BOUND);
        assert_eq!([&first, &third].map(|w| w.strong_count()), [0, 0]);
        assert_eq!(session.counts(), (0, 0), "skipping is not losing");
    }

    #[test]
    fn every_loses_the_oldest_when_the_queue_is_full() {
        let (mut session, client) = session(Mode::Every, 2);
        let loans: Vec<_> = (0..4).map(|n| give(&mut session, n, n)).collect();
        assert_eq!(loans.iter().map(|w| w.strong_count()).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(session.counts(), (2, 0));
        assert_eq!([client.take(0, 0), client.take(1, 0)], [Taken::Gone; 2]);
        for number in 2..4 {
            assert!(
                matches!(client.take(number, number as usize), Taken::Frame(f) if f.number == number)
            );
        }
        // What is held does not count as waiting.
        give(&mut session, 4, 4);
        assert_eq!(session.counts(), (2, 0));
    }

    #[test]
    fn who_holds_for_too_long_loses_it_and_finds_out() {
        let (mut session, client) = session(Mode::Every, 0);
        let held = give(&mut session, 0, 0);
        let waiting = give(&mut session, 1, 0);
        let newest = give(&mut session, 2, 0);
        let Taken::Frame(_) = client.take(0, 0) else { panic!() };
        session.collect(Nanos(100), BOUND);
        assert!(client.is_valid(0));
        session.collect(Nanos(101), BOUND);
        assert!(!client.is_valid(0) && !client.give_back(0, 0));
        assert_eq!([&held, &waiting, &newest].map(|w| w.strong_count()), [0, 0, 1]);
        assert_eq!(session.counts(), (1, 1));
    }

    #[test]
    fn a_frame_is_taken_back_by_its_turn() {
        let (mut session, client) = session(Mode::Every, 0);
        let loans: Vec<_> = (0..3).map(|n| give(&mut session, 10 + n, 0)).collect();
        let Taken::Frame(_) = client.take(0, 0) else { panic!() };
        session.take_back(10);
        session.take_back(11);
        assert_eq!(session.loans().collect::<Vec<_>>(), [(12, false)]);
        assert_eq!(session.counts(), (1, 1));
        session.rest();
        assert!(loans.iter().all(|w| w.strong_count() == 0));
        let last = give(&mut session, 13, 0);
        assert!(matches!(client.take(3, 1), Taken::Frame(_)) && client.is_valid(3));
        session.end();
        assert!(!client.is_valid(3) && last.strong_count() == 0);
    }

    #[test]
    fn a_client_that_says_nonsense_keeps_nothing_past_the_bound() {
        let memory = |n: usize| Arc::new((0..n).map(|_| AtomicU64::new(0)).collect::<Words>());
        let acks = memory(ACK_WORDS);
        let mut session = Session::new(memory(GIVER_WORDS), Arc::clone(&acks), Mode::Every, 16);
        for nonsense in [1, u64::MAX, 1 << 63] {
            for word in acks.iter() {
                word.store(nonsense, lensd_ffi::sync::Ordering::Relaxed);
            }
            let loans: Vec<_> = (0..40).map(|n| give(&mut session, n, 0)).collect();
            session.collect(Nanos(1000), BOUND);
            let kept = loans.iter().filter(|w| w.strong_count() > 0).count();
            assert!(kept <= 1, "{kept} of {nonsense:x}");
        }
    }

    #[test]
    fn a_frame_that_is_held_keeps_its_place() {
        let (mut session, client) = session(Mode::Latest, 0);
        let held = give(&mut session, 0, 0);
        let Taken::Frame(_) = client.take(0, 0) else { panic!() };
        for turn in 1..3 * SLOTS as u64 {
            give(&mut session, turn, 0);
            let newest = client.head() - 1;
            assert!(matches!(client.take(newest, 1), Taken::Frame(f) if f.number == turn));
            assert!(client.give_back(newest, 1));
        }
        assert!(client.is_valid(0) && held.strong_count() == 1);
        assert_eq!((client.given(), client.head()), (3 * SLOTS as u64, 3 * SLOTS as u64 + 3));
    }
}
