//! The last seconds of a stream, cut into segments and parts.
//!
//! Fragments come in and are shared, never copied. What is promised to players at the beginning,
//! the longest segment and the longest part, holds for as long as the window does; a stream that
//! does not fit it any more begins another one, with higher numbers.

use crate::fmp4::News;
use crate::http::respond::{Payload, Slice};
use lensd_ffi::mux::{Init, TIMESCALE};
use lensd_ffi::time::{Nanos, UtcNanos};
use std::collections::VecDeque;
use std::sync::Arc;

/// Most bytes of a window, played or kept for those who are behind.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Most bytes of one segment: what is longer is cut.
const MAX_SEGMENT: usize = MAX_BYTES / 4;
/// Most fragments of an open segment: one of 10 s with 60 pictures a second has fewer.
const MAX_FRAGMENTS: usize = 1024;
/// The least target duration, in seconds. A picture that is late by up to three seconds belongs to a
/// fragment that is as long (`lensd_ffi::mux::Timeline`), which must fit a segment.
const LEAST_TARGET: u64 = 4;
/// The largest, in seconds: groups that are longer are cut.
const MOST_TARGET: u64 = 10;
/// A first group that is longer than this is ended, if the encoder lets it, in ticks.
const FIRST_KEY: u64 = 6 * TICKS;
/// Segments in a row whose pictures do not fit the parts until the window begins anew.
const MISFITS: u32 = 3;
const TICKS: u64 = TIMESCALE as u64;

/// How a stream is cut, as it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Length of a segment that is aimed at, in ticks of the media's time.
    pub(crate) segment: u64,
    /// Length of a part that is aimed at, likewise.
    pub(crate) part: u64,
    /// Segments in the playlist.
    pub(crate) segments: usize,
}

/// What is promised for as long as a window lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    /// `EXT-X-TARGETDURATION`, in seconds.
    pub(crate) target: u64,
    /// `PART-TARGET`, in ticks; whole milliseconds.
    pub(crate) part: u64,
}

/// A part of a segment: what is announced as soon as it is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) number: u64,
    /// In ticks.
    pub(crate) duration: u64,
    /// Whether there is a key frame in it.
    pub(crate) independent: bool,
    slices: Vec<Slice>,
}

/// A segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Its media sequence number.
    pub(crate) msn: u64,
    /// Whether it does not go on from the one before.
    pub(crate) discontinuity: bool,
    /// The number of its init segment.
    pub(crate) init: u64,
    /// When its first picture was captured.
    pub(crate) utc: UtcNanos,
    /// In ticks.
    pub(crate) duration: u64,
    /// The parts that are whole.
    pub(crate) parts: Vec<Part>,
    /// Whether its parts can be listed: not if one is too long.
    pub(crate) has_parts: bool,
    bytes: usize,
    fragments: usize,
    /// Discontinuities before it.
    pub(crate) breaks: u64,
    /// When it left the playlist.
    left: Option<Nanos>,
}

impl Segment {
    fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.parts.iter().flat_map(|part| &part.slices)
    }
}

/// What becomes of a request for something that may not be there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there.
    Now,
    /// It will be.
    Wait,
    /// Too far ahead (6.2.5.2).
    Far,
}

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    rules: Rules,
    /// The first segment's number, by which parts and init segments are named: no two windows of a
    /// stream have the same.
    birth: u64,
    promise: Option<Promise>,
    inits: Vec<(u64, Arc<Init>)>,
    /// Segments that are whole, the oldest first; those that have left the playlist stand in front.
    closed: VecDeque<Segment>,
    open: Option<Segment>,
    part: Part,
    /// Fragments of the first segment, until it is known how long parts are.
    early: Vec<News>,
    /// Pictures go on from here, in decode time.
    next: Option<u64>,
    /// From one key frame to the next, the last time, in ticks.
    group: u64,
    /// Since the last key frame, in ticks.
    since_key: u64,
    next_part: u64,
    breaks: u64,
    /// Segments in a row whose pictures do not fit the parts.
    misfits: u32,
    /// Whether other rules are to hold from the next key frame on.
    renew: bool,
    /// The last capture that is in.
    newest: Nanos,
    /// After a [`Window::cut`]: what was captured before is not shown any more.
    from: Option<Nanos>,
    /// Counts what players can see.
    version: u64,
}

impl Window {
    /// Begins with segment `birth`, after so many breaks.
    pub(crate) fn new(rules: Rules, birth: u64, breaks: u64) -> Self {
        Self {
            rules,
            birth,
            promise: None,
            inits: Vec::new(),
            closed: VecDeque::new(),
            open: None,
            part: Part::default(),
            early: Vec::new(),
            next: None,
            group: 0,
            since_key: 0,
            next_part: 0,
            breaks,
            misfits: 0,
            renew: false,
            newest: Nanos(0),
            from: None,
            version: 0,
        }
    }

    /// Other rules, which hold from the next key frame on in a window of their own.
    pub(crate) fn set_rules(&mut self, rules: Rules) {
        self.renew |= self.rules != rules;
        self.rules = rules;
    }

    /// What comes next is of another source, which may begin with its past: it counts from a key
    /// frame on that was captured no earlier than what is in already.
    pub(crate) fn cut(&mut self) {
        self.next = None;
        self.from = Some(self.newest);
    }

    /// What is promised; none: nobody can play it yet.
    pub(crate) const fn promise(&self) -> Option<Promise> {
        self.promise
    }

    /// Its first segment's number.
    pub(crate) const fn birth(&self) -> u64 {
        self.birth
    }

    /// The number of the part that comes next.
    pub(crate) const fn next_part(&self) -> u64 {
        self.next_part
    }

    /// Counts what players can see.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether a key frame is overdue: without one a segment would have to be cut where players
    /// cannot begin.
    pub(crate) fn wants_key(&self) -> bool {
        let due = match self.promise {
            None => FIRST_KEY,
            Some(Promise { target, .. }) => {
                let target = target * TICKS;
                // A group that fits is waited for.
                (target * 9 / 10).max(self.group * 21 / 20).min(target - TICKS / 10)
            }
        };
        self.from.is_some() || self.open.is_some() && self.since_key > due
    }

    /// The segments of the playlist that are whole.
    pub(crate) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.closed.iter().filter(|segment| segment.left.is_none())
    }

    /// The one that is being made.
    pub(crate) const fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// The init segment that the newest pictures are decoded by.
    pub(crate) fn newest_init(&self) -> Option<&Arc<Init>> {
        self.inits.last().map(|(_, init)| init)
    }

    /// What a window after this one may begin with: a segment's number, and breaks.
    pub(crate) fn beyond(&self) -> (u64, u64) {
        let last = self.open.as_ref().or(self.closed.back()).map_or(self.birth, |s| s.msn);
        (last + 1, self.breaks + 1)
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.closed.iter().chain(&self.open).map(|segment| segment.bytes).sum()
    }

    /// Largest and mean rate of the listed segments, in bit/s.
    pub(crate) fn rates(&self) -> (u64, u64) {
        let rate = |bytes: usize, duration: u64| bytes as u64 * 8 * TICKS / duration.max(1);
        let peak = self.listed().map(|s| rate(s.bytes, s.duration)).max().unwrap_or(0);
        let sums = self.listed().fold((0, 0), |(b, d), s| (b + s.bytes, d + s.duration));
        (peak.max(1), rate(sums.0, sums.1).max(1))
    }

    /// Pictures a second.
    pub(crate) fn pace(&self) -> f64 {
        let sums = self.listed().fold((0, 0), |(n, d), s| (n + s.fragments, d + s.duration));
        sums.0 as f64 * TICKS as f64 / sums.1.max(1) as f64
    }

    /// Takes a fragment. `number`: a segment's number that no window before has had, if this one
    /// must begin anew.
    pub(crate) fn push(&mut self, news: &News, number: u64, now: Nanos) {
        if self.from.is_some_and(|from| !news.key || news.capture.mono < from) {
            return;
        }
        self.from = None;
        self.newest = self.newest.max(news.capture.mono);
        if news.key && (self.renew || self.misfits >= MISFITS) {
            let (next, breaks) = self.beyond();
            let (version, newest) = (self.version + 1, self.newest);
            *self = Self { version, newest, ..Self::new(self.rules, number.max(next), breaks) };
        }
        let duration = u64::from(news.placed.duration);
        let known = self.newest_init().is_some_and(|init| Arc::ptr_eq(init, &news.init));
        if self.next != Some(news.placed.decode) || !known {
            if !news.key {
                // Decoding cannot begin with it, so nobody would see it.
                return;
            }
            self.close(false, now);
            self.breaks += u64::from(!self.closed.is_empty());
            (self.group, self.since_key) = (0, 0);
            if !known {
                let number = self.inits.last().map_or(0, |(number, _)| number + 1);
                self.inits.push((number, Arc::clone(&news.init)));
            }
        } else if news.key {
            self.group = self.since_key;
            if self.ends_at_key() {
                self.close(true, now);
            }
            self.since_key = 0;
        } else if self.is_full(duration) {
            self.close(false, now);
        }
        self.add(news, duration);
        match self.promise {
            None => self.early.push(news.clone()),
            Some(promise) => {
                self.put(news, promise);
                if duration > promise.part {
                    // Nobody is told of it before it is in a segment.
                    self.close(false, now);
                }
            }
        }
    }

    /// Whether the open segment ends where a key frame comes.
    fn ends_at_key(&self) -> bool {
        let Some(open) = &self.open else { return false };
        // The first one as soon as it can: players wait for it.
        let Some(promise) = self.promise else { return true };
        let next = open.duration + self.group;
        let enough = open.duration * 2 >= self.rules.segment;
        enough && next * 10 > self.rules.segment * 11 || next > promise.target * TICKS
    }

    /// Whether it would be longer than promised with so much more.
    fn is_full(&self, more: u64) -> bool {
        let target = self.promise.map_or(MOST_TARGET, |promise| promise.target);
        self.open.as_ref().is_some_and(|open| {
            open.duration + more > target * TICKS
                || open.fragments >= MAX_FRAGMENTS
                || open.bytes >= MAX_SEGMENT
        })
    }

    fn add(&mut self, news: &News, duration: u64) {
        let msn = self.closed.back().map_or(self.birth, |last| last.msn + 1);
        let open = self.open.get_or_insert_with(|| Segment {
            msn,
            discontinuity: self.closed.back().is_some_and(|last| last.breaks != self.breaks),
            init: self.inits.last().map_or(0, |(number, _)| *number),
            utc: news.capture.utc,
            duration: 0,
            parts: Vec::new(),
            has_parts: true,
            bytes: 0,
            fragments: 0,
            breaks: self.breaks,
            left: None,
        });
        open.duration += duration;
        open.bytes += news.frame.len() - news.header;
        open.fragments += 1;
        self.since_key += duration;
        self.next = Some(news.placed.decode + duration);
    }

    /// Puts a fragment of the open segment into a part, and ends that if it is long enough.
    fn put(&mut self, news: &News, promise: Promise) {
        let duration = u64::from(news.placed.duration);
        if self.part.duration + duration > promise.part {
            self.close_part();
        }
        self.part.duration += duration;
        self.part.independent |= news.key;
        self.part.slices.push(Slice { bytes: Arc::clone(&news.frame), from: news.header });
        if let Some(open) = self.open.as_mut().filter(|_| duration > promise.part) {
            // No part may be so long.
            open.has_parts = false;
        }
        // The least that one may have (4.4.4.9), for the next picture may be late.
        if self.part.duration * 100 >= promise.part * 85 {
            self.close_part();
        }
    }

    fn close_part(&mut self) {
        let Some(open) = self.open.as_mut().filter(|_| !self.part.slices.is_empty()) else {
            return;
        };
        let part = Part { number: self.next_part, ..std::mem::take(&mut self.part) };
        open.parts.push(part);
        self.next_part += 1;
        self.version += 1;
    }

    /// Ends the open segment, at a key frame or wherever.
    fn close(&mut self, at_key: bool, now: Nanos) {
        let Some(open) = &self.open else { return };
        let step = (open.duration / open.fragments.max(1) as u64).max(1);
        let promise = match self.promise {
            Some(promise) => promise,
            None => {
                let promise = self.make_promise(open, step, at_key);
                self.promise = Some(promise);
                for news in std::mem::take(&mut self.early) {
                    self.put(&news, promise);
                }
                promise
            }
        };
        self.close_part();
        let Some(segment) = self.open.take() else { return };
        // Parts of whole pictures must reach 85 % of their target (4.4.4.9).
        let fits = promise.part / step * step * 100 >= promise.part * 85;
        self.misfits = if fits { 0 } else { self.misfits + 1 };
        self.closed.push_back(segment);
        self.version += 1;
        self.trim(now);
    }

    fn make_promise(&self, first: &Segment, step: u64, at_key: bool) -> Promise {
        let pictures = ((self.rules.part + step / 2) / step).max(1);
        // A tenth more than so many pictures last, for they do not come evenly.
        let part = (pictures * step * 11 / 10).next_multiple_of(TICKS / 1000);
        // A group of a second and one that is a little longer are the same to an encoder.
        let group = if at_key { (first.duration + TICKS / 4).div_ceil(TICKS) } else { 0 };
        let target = self.rules.segment.div_ceil(TICKS).max(group).max(part.div_ceil(TICKS));
        // What is in the playlist already must keep the promise, too.
        let target = target.clamp(LEAST_TARGET, MOST_TARGET).max(first.duration.div_ceil(TICKS));
        Promise { target, part }
    }

    /// Lets segments go: out of the playlist when there are more than set, out of memory when nobody
    /// may ask for them any more (RFC 8216 6.2.2).
    fn trim(&mut self, now: Nanos) {
        let least = self.promise.map_or(0, |promise| 3 * promise.target * TICKS);
        let mut listed: u64 = self.listed().map(|segment| segment.duration).sum();
        let mut count = self.listed().count();
        for segment in self.closed.iter_mut().filter(|segment| segment.left.is_none()) {
            if count <= self.rules.segments || listed - segment.duration < least {
                break;
            }
            segment.left = Some(now);
            listed -= segment.duration;
            count -= 1;
        }
        let mut bytes = self.bytes();
        while let Some(first) = self.closed.front().filter(|_| self.closed.len() > 1) {
            let kept = Nanos((first.duration + listed) * 1_000_000_000 / TICKS);
            let over = first.left.is_some_and(|left| now.since(left) > kept);
            if !over && bytes <= MAX_BYTES {
                break;
            }
            bytes -= first.bytes;
            self.closed.pop_front();
        }
        let used = |number: u64| self.closed.iter().any(|segment| segment.init == number);
        let newest = self.inits.last().map(|(number, _)| *number);
        self.inits.retain(|(number, _)| Some(*number) == newest || used(*number));
    }

    /// Whether a playlist with so much in it is there.
    pub(crate) fn has(&self, msn: u64, part: Option<u64>) -> Verdict {
        let (Some(last), Some(promise)) = (self.closed.back(), self.promise) else {
            return Verdict::Wait;
        };
        // The Advance Part Limit.
        let ahead = if promise.part < TICKS { (3 * TICKS).div_ceil(promise.part) } else { 3 };
        let parts = |segment: Option<&Segment>| segment.map_or(0, |s| s.parts.len() as u64);
        let open = parts(self.open.as_ref());
        let is_there = match part {
            _ if msn > last.msn.saturating_add(2) => return Verdict::Far,
            Some(part) if msn == last.msn + 1 && part > open + ahead => return Verdict::Far,
            Some(part) if msn == last.msn + 2 && part > ahead => return Verdict::Far,
            None => msn <= last.msn,
            Some(part) if msn == last.msn + 1 => part < open,
            // Behind its last part comes the next one's first.
            Some(part) if msn == last.msn => {
                !last.has_parts || part < parts(Some(last)) || open > 0
            }
            Some(_) => msn < last.msn,
        };
        if is_there { Verdict::Now } else { Verdict::Wait }
    }

    /// An init segment.
    pub(crate) fn init(&self, birth: u64, number: u64) -> Option<&Arc<Init>> {
        let found = self.inits.iter().find(|(n, _)| birth == self.birth && *n == number);
        found.map(|(_, init)| init)
    }

    /// A segment's bytes.
    pub(crate) fn segment(&self, msn: u64) -> Option<Payload> {
        let segment = self.closed.iter().find(|segment| segment.msn == msn)?;
        Some(Payload::Chain(segment.slices().cloned().collect()))
    }

    /// A part's bytes. None: it is not there, and will only be if it is [`Window::next_part`].
    pub(crate) fn part(&self, birth: u64, number: u64) -> Option<Payload> {
        let mut parts = self.closed.iter().chain(&self.open).flat_map(|segment| &segment.parts);
        let part = parts.find(|part| birth == self.birth && part.number == number)?;
        Some(Payload::Chain(part.slices.clone()))
    }
}

#[cfg(test)]
pub(super) mod tests;
