//! Where a client stands in the ring of its stream, and what it gets next.
//!
//! The ring is the only queue: a client that is slow stays where it is, and goes on at a key frame
//! when one is there that is newer.

use crate::config::Join;
use crate::publish::{Stream, Subscription, Switch};
use lensd_ffi::bell::Bell;
use lensd_ffi::ring::{Cursor, Missed, Next, UnitView};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::Codec;
use std::sync::Arc;

/// How old the newest unit may be where somebody joins with the group in the ring, as for RTSP.
const STALE: Nanos = Nanos::from_secs(3);
/// Most copies that are kept while clients are served: all stand at the same few units.
const MAX_COPIES: usize = 8;

/// Copies of units, made once for all clients that are served in one go.
#[derive(Debug, Default)]
pub struct Copies(Vec<(usize, u64, Arc<[u8]>)>);

impl Copies {
    fn of(&mut self, stream: &Arc<Stream>, unit: &UnitView) -> Result<Arc<[u8]>, Missed> {
        let key = (Arc::as_ptr(stream).addr(), unit.seq);
        if let Some((_, _, bytes)) = self.0.iter().find(|(s, seq, _)| (*s, *seq) == key) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = stream.ring().copy_shared(unit)?;
        if self.0.len() >= MAX_COPIES {
            self.0.remove(0);
        }
        self.0.push((key.0, key.1, Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// Forgets them: what is sent is kept by nobody.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// What a client gets.
#[derive(Debug)]
pub enum Found {
    /// A unit.
    Unit(UnitView, Arc<[u8]>),
    /// Nothing yet.
    Nothing,
    /// The stream is coded otherwise than the client was told.
    Recoded,
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    subscription: Subscription,
    cursor: Cursor,
    /// Where to go over to, and the first unit that counts there.
    pending: Switch,
    waits_for_key: bool,
    last_capture: Nanos,
    /// When it began; units from before it tell nothing of how long sending takes.
    began: Nanos,
    /// Units left out.
    pub skipped: u64,
    /// Groups that these belong to.
    pub skipped_groups: u64,
}

impl Feed {
    /// Keeps a stream running for a client that is not connected yet.
    pub fn new(stream: &Arc<Stream>, bell: Bell) -> Self {
        Self {
            cursor: Cursor::at_head(stream.ring()),
            subscription: Subscription::new(stream, bell),
            pending: Switch::default(),
            waits_for_key: true,
            last_capture: Nanos(0),
            began: Nanos(0),
            skipped: 0,
            skipped_groups: 0,
        }
    }

    /// The stream.
    pub const fn stream(&self) -> &Arc<Stream> {
        self.subscription.stream()
    }

    /// When it began.
    pub const fn began(&self) -> Nanos {
        self.began
    }

    /// The client is connected.
    pub fn begin(&mut self, join: Join, now: Stamp) {
        self.began = now.mono;
        let ring = self.subscription.stream().ring();
        let fresh = |unit: &UnitView| {
            let newest = ring.head().checked_sub(1).and_then(|seq| ring.view(seq).ok());
            newest
                .is_some_and(|n| n.seq >= unit.seq && now.mono.since(n.meta.capture.mono) <= STALE)
        };
        match ring.newest_key().filter(|unit| join == Join::Gop && fresh(unit)) {
            Some(key) => {
                self.cursor = Cursor::at(key.seq);
                self.waits_for_key = false;
            }
            None => {
                self.cursor = Cursor::at_head(ring);
                self.waits_for_key = true;
                self.stream().want_key();
            }
        }
    }

    /// Whether a key frame is on its way: the client has all units before it still to come.
    pub fn has_key_ahead(&self) -> bool {
        let next = self.cursor.seq();
        self.stream().ring().newest_key().is_some_and(|key| key.seq >= next)
    }

    /// Goes over to another stream at that one's next key frame.
    pub fn switch_to(&mut self, stream: &Arc<Stream>, bell: Bell) {
        self.pending.to(self.subscription.stream(), stream, bell);
    }

    fn go_over(&mut self) {
        if let Some((subscription, key)) = self.pending.due(self.last_capture) {
            self.cursor = Cursor::at(key);
            self.subscription = subscription;
            self.waits_for_key = false;
        }
    }

    /// Reads on.
    pub fn next(&mut self, copies: &mut Copies) -> Found {
        self.go_over();
        loop {
            let stream = Arc::clone(self.stream());
            match self.cursor.next(stream.ring()) {
                Next::Empty | Next::Corrupt => return Found::Nothing,
                Next::Lapped(units) => self.lose(units),
                Next::Unit(unit) if unit.meta.codec != Codec::H264 => return Found::Recoded,
                Next::Unit(unit) if self.waits_for_key && !unit.meta.key => {
                    // Before the first picture nothing is missed.
                    self.skipped += u64::from(self.last_capture.0 > 0);
                }
                Next::Unit(unit) => match copies.of(&stream, &unit) {
                    Ok(bytes) => {
                        self.waits_for_key = false;
                        self.last_capture = unit.meta.capture.mono;
                        return Found::Unit(unit, bytes);
                    }
                    Err(_) => self.lose(1),
                },
            }
        }
    }

    /// Units are gone before the client got them.
    fn lose(&mut self, units: u64) {
        self.skipped += units;
        if !std::mem::replace(&mut self.waits_for_key, true) {
            self.skipped_groups += 1;
            self.stream().want_key();
        }
    }

    /// The socket takes nothing for this client: a group is left out if a newer key frame waits.
    pub fn fall_behind(&mut self) {
        let next = self.cursor.seq();
        if let Some(key) = self.stream().ring().newest_key().filter(|key| key.seq > next) {
            self.skipped += key.seq - next;
            self.skipped_groups += 1;
            self.cursor = Cursor::at(key.seq);
            self.waits_for_key = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::CodedUnit;
    use crate::publish::{Kind, Publisher, geometry_for};
    use lensd_ffi::unit::NalSpan;

    fn stream() -> (Arc<Stream>, Publisher) {
        let bell = Bell::new().unwrap();
        Stream::create(1, Kind::Main, Codec::H264, geometry_for(0), bell).unwrap()
    }

    fn put(publisher: &mut Publisher, key: bool, number: u8, len: usize) {
        let unit = CodedUnit {
            key,
            bytes: vec![number; len],
            nals: vec![NalSpan { offset: 0, len: u32::try_from(len).unwrap() }],
            number: number.into(),
            capture: Stamp { mono: Nanos(u64::from(number) + 1), ..Stamp::default() },
            ..CodedUnit::default()
        };
        publisher.publish(&unit, None).unwrap();
    }

    fn numbers(feed: &mut Feed) -> Vec<u8> {
        let mut copies = Copies::default();
        let mut out = Vec::new();
        while let Found::Unit(_, bytes) = feed.next(&mut copies) {
            out.push(bytes[0]);
        }
        out
    }

    fn feed(stream: &Arc<Stream>, join: Join) -> Feed {
        let mut feed = Feed::new(stream, Bell::new().unwrap());
        feed.begin(join, Stamp { mono: Nanos(100), ..Stamp::default() });
        feed
    }

    #[test]
    fn it_begins_at_a_key_frame_as_the_policy_says() {
        let (stream, mut publisher) = stream();
        put(&mut publisher, true, 0, 10);
        put(&mut publisher, false, 1, 10);
        let (mut key, mut gop) = (feed(&stream, Join::Key), feed(&stream, Join::Gop));
        assert!(stream.take_key_wanted());
        assert_eq!(numbers(&mut gop), [0, 1]);
        put(&mut publisher, false, 2, 10);
        put(&mut publisher, true, 3, 10);
        assert_eq!(numbers(&mut key), [3]);
        assert_eq!(numbers(&mut gop), [2, 3]);
        assert_eq!((key.skipped, gop.skipped), (0, 0));
    }

    #[test]
    fn who_is_slow_loses_whole_groups() {
        let (stream, mut publisher) = stream();
        let mut slow = feed(&stream, Join::Key);
        put(&mut publisher, true, 0, 10);
        assert_eq!(numbers(&mut slow), [0]);
        for number in 1..=4 {
            put(&mut publisher, number == 3, number, 10);
        }
        slow.fall_behind();
        assert_eq!(numbers(&mut slow), [3, 4]);
        assert_eq!((slow.skipped, slow.skipped_groups), (2, 1));
        slow.fall_behind();
        assert_eq!(slow.skipped_groups, 1, "there is no newer key frame");
        // Lapped: the ring holds four of a quarter of its size.
        let large = geometry_for(0).max_unit() - 64;
        for number in 5..=12 {
            put(&mut publisher, number == 11, number, large);
        }
        assert_eq!(numbers(&mut slow), [11, 12]);
        assert_eq!(slow.skipped_groups, 2);
        assert_eq!(slow.skipped, 2 + 6);
    }

    #[test]
    fn it_goes_over_at_the_other_streams_key_frame() {
        let (one, mut first) = stream();
        let (two, mut second) = stream();
        let mut feed = feed(&one, Join::Key);
        put(&mut first, true, 0, 10);
        put(&mut second, true, 1, 10);
        assert_eq!(numbers(&mut feed), [0]);
        feed.switch_to(&two, Bell::new().unwrap());
        put(&mut first, false, 2, 10);
        put(&mut second, false, 3, 10);
        assert_eq!(numbers(&mut feed), [2], "the other has no key frame since");
        put(&mut second, true, 4, 10);
        put(&mut second, false, 5, 10);
        assert_eq!(numbers(&mut feed), [4, 5]);
        assert!(Arc::ptr_eq(feed.stream(), &two));
    }
}
