//! Clients that get the same frames.

use super::session::Session;
use super::view::View;
use crate::camera::v4l2::layout::Delivers;
use crate::frame::{Frame, Shared, SharedKind};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::Link;
use lensd_ffi::region::Region;
use lensd_ffi::tap::block::{MAX_PLANES, PlaneRecord, Record};
use lensd_ffi::tap::client::MAX_BUFFERS;
use lensd_ffi::tap::wire::{BufferKind, Told};
use lensd_ffi::time::Nanos;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Buffers that a camera keeps, whatever the clients do: one that is filled, one that waits for
/// that, one whose frame goes through the pipeline.
const RESERVE: usize = 3;

/// A client as those see it who give it frames.
pub struct Member {
    /// Chosen by the server.
    pub id: u64,
    /// What it has.
    pub session: Session<Region>,
    /// Its connection, for buffers.
    pub link: Arc<Link>,
    /// Wakes it.
    pub bell: Bell,
}

/// See the module.
#[derive(Default)]
pub struct Group {
    members: Vec<Member>,
    /// Frames given so far.
    turn: u64,
}

impl Group {
    /// Lets a client in.
    pub fn join(&mut self, member: Member) {
        self.members.push(member);
    }

    /// Lets a client out; everything that was lent to it comes back.
    pub fn leave(&mut self, id: u64, view: &View) {
        let at = self.members.iter().position(|m| m.id == id);
        if let Some(mut member) = at.map(|at| self.count(view, |group| group.members.remove(at))) {
            member.session.end();
        }
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Lends a frame to everybody, from `at` on. `held_back` more buffers than usual are not to be
    /// lent. What can wait until everybody is awake is left to [`Group::collect`].
    pub fn offer(&mut self, frame: &Frame, at: Nanos, held_back: usize, camera: u32, view: &View) {
        let Some(buffer) = frame.memory.shared().filter(|b| (b.index as usize) < MAX_BUFFERS)
        else {
            return;
        };
        let Some(record) = record_of(frame, &buffer, at, camera) else { return };
        self.count(view, |group| {
            group.make_room(buffer.buffers as usize, held_back, at, view);
            group.turn += 1;
            let mut given = 0;
            for Member { session, link, .. } in &mut group.members {
                if !session.knows(&buffer) {
                    // Before the frame, so that who is told of the frame finds it.
                    if link.send(&told(&buffer), &[buffer.fd]).is_err() {
                        // It does not read, or is gone, which the server's loop will notice.
                        session.miss(1);
                        continue;
                    }
                    session.learn(&buffer);
                }
                session.give(frame, &record, group.turn);
                given += 1;
            }
            // All are given it before the first is woken, which may take this core at once. One
            // more ring for who got nothing is no harm.
            for member in &group.members {
                member.bell.ring();
            }
            view.frames.fetch_add(given, Ordering::Relaxed);
        });
    }

    /// How long clients took to be woken, since that was asked last.
    pub fn woken(&mut self) -> impl Iterator<Item = Nanos> {
        self.members.iter_mut().filter_map(|m| m.session.woken())
    }

    /// Sees to it that the camera keeps enough of its buffers. What comes back first is what only
    /// those have who have much, so that a client that stalls takes nothing from the others; of
    /// that, what nobody looks at; of that, the oldest.
    fn make_room(&mut self, buffers: usize, held_back: usize, at: Nanos, view: &View) {
        let most = buffers.saturating_sub(RESERVE + held_back).max(1);
        // At least as many as there are frames: without a look at what the clients say.
        let loans =
            |group: &Self| group.members.iter().map(|m| m.session.loan_count()).sum::<usize>();
        if loans(self) < most {
            return;
        }
        self.collect_all(at, view);
        // By turn: the least that anyone has who has it, and whether anyone looks at it.
        let mut turns = BTreeMap::<u64, (usize, bool)>::new();
        for member in &self.members {
            let has = member.session.loan_count();
            for (turn, held) in member.session.loans() {
                let known = turns.entry(turn).or_insert((has, held));
                *known = (known.0.min(has), known.1 | held);
            }
        }
        // One place is for the frame that comes.
        let over = (turns.len() + 1).saturating_sub(most);
        if over == 0 {
            return;
        }
        let mut turns: Vec<_> = turns.into_iter().collect();
        turns.sort_unstable_by_key(|(turn, (has, held))| (Reverse(*has), *held, *turn));
        for (turn, _) in turns.into_iter().take(over) {
            for member in &mut self.members {
                member.session.take_back(turn);
            }
        }
    }

    /// Ends loans that are over.
    pub fn collect(&mut self, at: Nanos, view: &View) {
        self.count(view, |group| group.collect_all(at, view));
    }

    fn collect_all(&mut self, at: Nanos, view: &View) {
        let bound = Nanos::from_millis(view.options.lock().lease_ms);
        for member in &mut self.members {
            member.session.collect(at, bound);
        }
    }

    /// The camera is closed.
    pub fn rest(&mut self, view: &View) {
        self.count(view, |group| {
            for member in &mut group.members {
                member.session.rest();
            }
        });
    }

    /// Counts frames that nobody of them gets.
    pub fn miss(&mut self, frames: u64, view: &View) {
        self.count(view, |group| {
            for member in &mut group.members {
                member.session.miss(frames);
            }
        });
    }

    /// Does something, and adds what it changed to the counts of all.
    fn count<T>(&mut self, view: &View, act: impl FnOnce(&mut Self) -> T) -> T {
        let sums = |group: &Self| {
            let counts = group.members.iter().map(|m| m.session.counts());
            let (lost, revoked) = counts.fold((0, 0), |a, c| (a.0 + c.0, a.1 + c.1));
            let loans: usize = group.members.iter().map(|m| m.session.loan_count()).sum();
            (lost, revoked, loans as u64)
        };
        let before = sums(self);
        let done = act(self);
        let after = sums(self);
        // Less than before where a client has left.
        view.lost.fetch_add(after.0.saturating_sub(before.0), Ordering::Relaxed);
        view.revoked.fetch_add(after.1.saturating_sub(before.1), Ordering::Relaxed);
        if after.2 >= before.2 {
            view.loans.fetch_add(after.2 - before.2, Ordering::Relaxed);
        } else {
            view.loans.fetch_sub(before.2 - after.2, Ordering::Relaxed);
        }
        done
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let quiet = self.members.is_empty() || std::thread::panicking();
        debug_assert!(quiet, "clients leave before their group goes");
    }
}

fn told(buffer: &Shared<'_>) -> Told {
    Told::Buffer {
        pool: buffer.pool,
        index: buffer.index,
        len: buffer.len as u64,
        kind: match buffer.kind {
            SharedKind::DmaBuf => BufferKind::Dmabuf,
            SharedKind::Memfd => BufferKind::Memfd,
        },
    }
}

/// What clients are told of a frame; `None` of one that lies about its memory, as a driver could.
fn record_of(frame: &Frame, buffer: &Shared<'_>, given: Nanos, camera: u32) -> Option<Record> {
    let number = |n: usize| u32::try_from(n).ok();
    let mut planes = [PlaneRecord::default(); MAX_PLANES];
    let count = frame.format.planes();
    for (i, plane) in planes.iter_mut().enumerate().take(count) {
        *plane = PlaneRecord {
            offset: number(frame.planes[i].offset)?,
            stride: number(frame.planes[i].stride)?,
            row: number(frame.format.row_bytes(i, frame.width))?,
            rows: number(frame.format.rows(i, frame.height))?,
        };
    }
    let record = Record {
        seq: 0,
        pool: buffer.pool,
        index: buffer.index,
        number: frame.number,
        capture: frame.capture,
        fourcc: Delivers::Pixels(frame.format).fourcc().0,
        width: number(frame.width)?,
        height: number(frame.height)?,
        used: number(frame.used.min(buffer.len))?,
        plane_count: number(count)?,
        crc: frame.crc,
        given,
        camera,
        colour: u32::from_le_bytes([
            frame.colour.primaries,
            frame.colour.transfer,
            frame.colour.matrix,
            frame.colour.full_range.into(),
        ]),
        planes,
    };
    record.fits(buffer.len).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::pool::{Pool, Sheet, sheets};
    use crate::frame::{Memory, PixelFormat, packed_planes};
    use lensd_ffi::link::Received;
    use lensd_ffi::tap::block::{ACK_WORDS, GIVER_WORDS, Taken, Taker};
    use lensd_ffi::tap::wire::Mode;
    use lensd_ffi::time::Stamp;

    struct Client {
        taker: Taker<Region>,
        link: Link,
        bell: Bell,
    }

    fn member(id: u64, mode: Mode) -> (Member, Client) {
        let given = Arc::new(Region::create("given", GIVER_WORDS).unwrap());
        let acks = Region::invite("acks", ACK_WORDS).unwrap();
        let theirs = Arc::new(Region::accept(acks.share().unwrap()).unwrap());
        let session = Session::new(Arc::clone(&given), Arc::new(acks), mode, 0);
        let taker = Taker::attach(given, theirs).unwrap();
        let (ours, link) = Link::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        link.set_nonblocking(true).unwrap();
        let bell = Bell::new().unwrap();
        let client = Client { taker, link, bell: bell.try_clone().unwrap() };
        (Member { id, session, link: Arc::new(ours), bell }, client)
    }

    fn frame(pool: &mut Pool<Sheet>, number: u64) -> Option<Frame> {
        let (planes, used) = packed_planes(PixelFormat::I420, 64, 32);
        let (memory, ()) = pool.lend(|sheet| sheet.fill(|bytes| bytes.fill(number as u8)))?;
        Some(Frame {
            format: PixelFormat::I420,
            width: 64,
            height: 32,
            planes,
            used,
            colour: Default::default(),
            memory: memory as Arc<dyn Memory>,
            capture: Stamp::default(),
            number,
            crc: None,
        })
    }

    #[test]
    fn a_client_that_stalls_takes_nothing_from_the_camera_or_the_others() {
        let mut pool = sheets(6, 64 * 32 * 3 / 2).unwrap();
        let (mut group, view) = (Group::default(), View::default());
        view.options.lock().lease_ms = 60_000;
        let (stalled, still) = member(1, Mode::Every);
        let (quick, lively) = member(2, Mode::Every);
        group.join(stalled);
        group.join(quick);
        for number in 0..100 {
            let frame = frame(&mut pool, number).expect("the camera always has a buffer");
            group.offer(&frame, Nanos(number), 0, 1, &view);
            drop(frame);
            assert!(lively.bell.take());
            let Taken::Frame(got) = lively.taker.take(number, 0) else { panic!("{number}") };
            assert_eq!(got.number, number);
            assert!(lively.taker.give_back(number, 0));
            if number < 3 {
                assert!(matches!(still.taker.take(number, number as usize), Taken::Frame(_)));
            }
        }
        assert_eq!((lively.taker.lost(), lively.taker.revoked()), (0, 0));
        // It keeps as many as the camera can spare, until they have been held for too long.
        assert_eq!(still.taker.revoked(), 1);
        assert!(!still.taker.is_valid(0) && still.taker.is_valid(1) && still.taker.is_valid(2));
        let figures = view.figures();
        assert_eq!((figures.frames, figures.revoked), (200, 1));
        assert_eq!(figures.lost, still.taker.lost());
        group.leave(1, &view);
        group.collect(Nanos(100), &view);
        assert_eq!(view.figures().loans, 0);
        group.leave(2, &view);
    }

    #[test]
    fn each_buffer_is_sent_once_and_a_new_pool_anew() {
        let (mut group, view) = (Group::default(), View::default());
        let (one, client) = member(1, Mode::Latest);
        group.join(one);
        for _ in 0..2 {
            let mut pool = sheets(4, 64 * 32 * 3 / 2).unwrap();
            for number in 0..20 {
                group.offer(&frame(&mut pool, number).unwrap(), Nanos(number), 0, 1, &view);
            }
            let mut indices = Vec::new();
            while let Received::Message(Told::Buffer { index, .. }, fds) =
                client.link.receive().unwrap()
            {
                assert_eq!(fds.len(), 1);
                indices.push(index);
            }
            indices.sort_unstable();
            assert!(indices.len() >= 2 && indices.windows(2).all(|w| w[0] < w[1]), "{indices:?}");
        }
        group.leave(1, &view);
    }

    #[test]
    fn a_frame_that_lies_is_not_given() {
        let mut pool = sheets(4, 64 * 32 * 3 / 2).unwrap();
        let mut lying = frame(&mut pool, 0).unwrap();
        let at = |frame: &Frame| {
            let buffer = frame.memory.shared().unwrap();
            record_of(frame, &buffer, Nanos(0), 1)
        };
        assert!(at(&lying).is_some());
        lying.height = 33;
        assert!(at(&lying).is_none());
    }
}
