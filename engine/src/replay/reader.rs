//! The thread that reads a recording ahead of its client.
//!
//! It is never waited for: when its disk stalls, it stalls alone, and ends when it is let go. How
//! many there may be, stalled ones too, is bounded.

use super::range::Point;
use super::walk::{Picture, Step, Walk, Which};
use super::{Opened, Refused, Shelf};
use crate::record::disk::OnDisk;
use lensd_ffi::bell::Bell;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most readers of all clients.
pub const MAX_READERS: usize = 32;
/// Pictures that are read ahead, at most.
const AHEAD: usize = 64;
/// Bytes of them; one picture is read ahead whatever its size.
const AHEAD_BYTES: usize = 8 << 20;
/// How often it is looked whether a recording has grown.
const GROWTH: Duration = Duration::from_millis(50);
/// So many looks in vain later, whether anybody still writes to it.
const LOOKS: u32 = 20;

/// What a reader is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// It begins with the key frame at or before.
    pub at: Point,
    /// Which pictures.
    pub which: Which,
    /// Where it ends.
    pub until: Option<Point>,
}

/// What a reader has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A picture.
    Picture(Picture),
    /// Nothing follows. When the last picture ends, or with the first if there was none.
    End,
    /// The file cannot be read further: why.
    Failed(String),
}

/// How many readers there are.
#[derive(Debug, Clone, Default)]
pub struct Permits(Arc<AtomicUsize>);

impl Permits {
    fn take(&self) -> Option<Permit> {
        let more = |n: usize| (n < MAX_READERS).then_some(n + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Permit(Arc::clone(&self.0)))
    }
}

struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Default)]
struct Desk {
    stop: bool,
    opened: Option<Result<Arc<Opened>, Refused>>,
    /// How long the recording is, in ticks, as far as it is known.
    duration: u64,
    order: Option<Order>,
    /// Counts orders: what was read for an earlier one is thrown away.
    orders: u64,
    /// Whether there is more to read.
    going: bool,
    queue: VecDeque<Item>,
    bytes: usize,
}

impl Desk {
    fn has_room(&self) -> bool {
        self.queue.is_empty() || (self.queue.len() < AHEAD && self.bytes < AHEAD_BYTES)
    }
}

struct Shared {
    desk: Mutex<Desk>,
    wake: Condvar,
}

/// A recording that is read. The thread ends some time after this is dropped.
pub struct Reader {
    shared: Arc<Shared>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.desk.lock().stop = true;
        self.shared.wake.notify_all();
    }
}

impl Reader {
    /// Opens the recording of this number, or the newest; the bell rings when that is done, and
    /// when there is something to take. None: there are too many readers.
    pub fn open(
        shelf: Arc<dyn Shelf>,
        id: Option<i64>,
        bell: Bell,
        permits: &Permits,
    ) -> Option<Self> {
        let permit = permits.take()?;
        let shared = Arc::new(Shared { desk: Mutex::default(), wake: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let body = move || {
            let _permit = permit;
            read(&theirs, &*shelf, id, &bell);
        };
        std::thread::Builder::new().name("replay".to_owned()).spawn(body).ok()?;
        Some(Self { shared })
    }

    /// What is known of the recording; none: it is being opened.
    pub fn opened(&self) -> Option<Result<Arc<Opened>, Refused>> {
        self.shared.desk.lock().opened.clone()
    }

    /// How long it is, in ticks, as far as it is known.
    pub fn duration(&self) -> u64 {
        self.shared.desk.lock().duration
    }

    /// Reads from somewhere else; what was read ahead is thrown away.
    pub fn order(&self, order: Order) {
        let mut desk = self.shared.desk.lock();
        desk.orders += 1;
        (desk.order, desk.going, desk.bytes) = (Some(order), true, 0);
        desk.queue.clear();
        drop(desk);
        self.shared.wake.notify_all();
    }

    /// Looks at what comes next; none: it is not read yet.
    pub fn peek<T>(&self, look: impl FnOnce(&Item) -> T) -> Option<T> {
        self.shared.desk.lock().queue.front().map(look)
    }

    /// Whether the end comes next but one; none: what comes next but one is not read yet.
    pub fn is_last(&self) -> Option<bool> {
        self.shared.desk.lock().queue.get(1).map(|item| *item == Item::End)
    }

    /// Takes what comes next.
    pub fn take(&self) -> Option<Item> {
        let mut desk = self.shared.desk.lock();
        let item = desk.queue.pop_front()?;
        if let Item::Picture(picture) = &item {
            desk.bytes -= picture.bytes.len();
        }
        drop(desk);
        self.shared.wake.notify_all();
        Some(item)
    }
}

/// The body of the thread.
fn read(shared: &Shared, shelf: &dyn Shelf, id: Option<i64>, bell: &Bell) {
    let opened = open(shelf, id);
    let (opened, walk) = match opened {
        Ok((opened, walk)) => (Ok(Arc::new(opened)), Some(walk)),
        Err(refused) => (Err(refused), None),
    };
    let id = opened.as_ref().map(|opened| opened.id).ok();
    let mut desk = shared.desk.lock();
    desk.opened = Some(opened);
    desk.duration = walk.as_ref().map_or(0, Walk::duration);
    drop(desk);
    bell.ring();
    let Some(mut walk) = walk else { return };
    let mut looks = 0;
    loop {
        let mut desk = shared.desk.lock();
        while !desk.stop && desk.order.is_none() && !(desk.going && desk.has_room()) {
            shared.wake.wait(&mut desk);
        }
        if desk.stop {
            return;
        }
        let (order, orders) = (desk.order.take(), desk.orders);
        drop(desk);
        // The lock is not held while the disk works.
        let begun = match order {
            Some(order) => begin(&mut walk, order),
            None => Ok(true),
        };
        let step = begun.and_then(|begun| if begun { walk.step() } else { Ok(Step::End) });
        let item = match step {
            Ok(Step::Picture(picture)) => Item::Picture(picture),
            Ok(Step::End) => Item::End,
            Ok(Step::NotYet) => {
                looks += 1;
                if looks % LOOKS == 0 && !shelf.find(id).is_some_and(|found| found.growing) {
                    walk.finish();
                }
                let mut desk = shared.desk.lock();
                desk.duration = walk.duration();
                if !desk.stop && desk.order.is_none() {
                    shared.wake.wait_for(&mut desk, GROWTH);
                }
                continue;
            }
            Err(error) => Item::Failed(error.to_string()),
        };
        let mut desk = shared.desk.lock();
        desk.duration = walk.duration();
        if desk.orders != orders {
            continue;
        }
        match &item {
            Item::Picture(picture) => desk.bytes += picture.bytes.len(),
            Item::End | Item::Failed(_) => desk.going = false,
        }
        // One that waits may wait for the next, or for the one behind.
        let awaited = desk.queue.len() < 2;
        desk.queue.push_back(item);
        drop(desk);
        if awaited {
            bell.ring();
        }
    }
}

/// Goes where an order says. False: the recording has no such place.
fn begin(walk: &mut Walk<OnDisk>, order: Order) -> io::Result<bool> {
    let mut ticks = |point| match point {
        Point::Ticks(at) => Ok(Some(at)),
        Point::Now => Ok(Some(i64::try_from(walk.duration()).unwrap_or(i64::MAX))),
        Point::Utc(at) => walk.moment(at),
    };
    let Some(at) = ticks(order.at)? else { return Ok(false) };
    // An end behind the recording's is the recording's.
    let until = order.until.map(&mut ticks).transpose()?.flatten();
    let back = order.which == Which::KeysBack;
    if until.is_some_and(|until| if back { until >= at } else { until <= at }) {
        return Ok(false);
    }
    walk.seek(at, order.which, until).map(|()| true)
}

fn open(shelf: &dyn Shelf, id: Option<i64>) -> Result<(Opened, Walk<OnDisk>), Refused> {
    let found = shelf.find(id).ok_or(Refused::NotFound)?;
    // A file that is deleted from now on is there as long as it is open.
    let file = File::open(&found.path).map_err(|e| Refused::Unreadable(e.to_string()))?;
    let mut walk = Walk::open(OnDisk(file), found.growing)?;
    let opened = walk.describe(found.id)?;
    Ok((opened, walk))
}

#[cfg(test)]
mod tests;
