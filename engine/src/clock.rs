//! The one mapping from `CLOCK_MONOTONIC` to UTC of this process: every capture time, every sender
//! report and everything made of them is told by it, so that no two of them ever disagree.
//!
//! RTP times run on `CLOCK_MONOTONIC` and never jump. When UTC is set, the mapping changes at once:
//! pictures that are captured from then on carry the new time, and so does the next sender report;
//! what is already in a ring keeps the stamp that it was given.

use crate::sys::clock::adjtimex;
use lensd_ffi::time::{ClockState, Nanos, Stamp, UtcMap, UtcNanos, now, utc_now};
use parking_lot::Mutex;

/// How often the mapping is measured again, and the kernel asked for the bound of its error.
const EVERY: Nanos = Nanos::from_secs(1);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

/// What is known of the clocks.
struct Clock {
    map: UtcMap,
    state: ClockState,
    looked: Nanos,
}

impl Clock {
    fn new(at: Nanos, measured: UtcMap, state: ClockState) -> Self {
        Self { map: measured.with_error(state.error_ns), state, looked: at }
    }

    /// Whether it is time to measure, `utc` having been read just after `at`.
    const fn is_due(&self, at: Nanos, utc: UtcNanos) -> bool {
        at.since(self.looked).0 >= EVERY.0 || self.map.is_doubtful(at, utc)
    }

    /// Takes a measurement that was begun at `at`. Returns by how much UTC was set, in nanoseconds,
    /// if it was.
    fn renew(&mut self, at: Nanos, measured: UtcMap, state: ClockState) -> Option<i64> {
        // Another thread may have measured later, and come first.
        if at < self.looked {
            return None;
        }
        self.looked = at;
        let step = self.map.renew(measured.with_error(state.error_ns));
        self.state = ClockState { steps: self.state.steps + u64::from(step.is_some()), ..state };
        step
    }
}

/// Looks at the clocks where that is due, and asks what is known of them then.
fn with<T>(ask: impl FnOnce(&Clock, Nanos) -> T) -> T {
    let at = now();
    let utc = utc_now();
    if let Some(clock) = CLOCK.lock().as_ref().filter(|clock| !clock.is_due(at, utc)) {
        return ask(clock, at);
    }
    // Not under the lock: a camera's thread must never wait for a system call of another.
    let (measured, state) = (UtcMap::measure(), adjtimex());
    let mut held = CLOCK.lock();
    let clock = held.get_or_insert_with(|| Clock::new(at, measured, state));
    let step = clock.renew(at, measured, state);
    let answer = ask(clock, at);
    drop(held);
    if let Some(ns) = step {
        let ms = ns as f64 / 1e6;
        tracing::warn!("UTC was set by {ms:+.3} ms; capture times follow it from now on");
    }
    answer
}

/// The stamp of a monotonic instant of the last seconds.
pub fn stamp(mono: Nanos) -> Stamp {
    with(|clock, _| clock.map.stamp(mono))
}

/// The stamp of now.
pub fn stamp_now() -> Stamp {
    with(|clock, at| clock.map.stamp(at))
}

/// What the kernel says of UTC, and how often that was set since the first look.
pub fn state() -> ClockState {
    with(|clock, _| clock.state)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: i64 = 1_700_000_000_000_000_000;

    fn at(secs: u64) -> Nanos {
        Nanos::from_secs(secs)
    }

    /// UTC read at `mono`, `ahead` seconds before what it was at first.
    fn read(mono: Nanos, ahead: i64) -> (UtcNanos, UtcMap) {
        let utc = UtcNanos(UTC + mono.0.cast_signed() + ahead * 1_000_000_000);
        (utc, UtcMap::of(Nanos(mono.0 - 50), utc, Nanos(mono.0 + 50)))
    }

    #[test]
    fn it_is_measured_every_second_and_at_once_when_utc_was_set() {
        let known = ClockState { error_ns: Some(7_000), ..ClockState::default() };
        let mut clock = Clock::new(at(10), read(at(10), 0).1, known);
        assert!(!clock.is_due(at(10), read(at(10), 0).0));
        assert!(clock.is_due(at(10), read(at(10), -1).0), "a second back");
        assert!(clock.is_due(at(11), read(at(11), 0).0));
        assert_eq!(clock.renew(at(11), read(at(11), 0).1, known), None);
        assert_eq!((clock.state.steps, clock.map.stamp(at(11)).error_ns), (0, 7_050));
        // What is in flight keeps its stamp; what comes has the new time.
        let before = clock.map.stamp(at(11));
        let step = clock.renew(at(11), read(at(11), -3600).1, ClockState::default());
        assert_eq!(step, Some(-3_600_000_000_000));
        let after = clock.map.stamp(at(11));
        assert_eq!(before.utc.0 - after.utc.0, 3_600_000_000_000);
        assert_eq!((before.mono, after.error()), (after.mono, None));
        assert_eq!(clock.state.steps, 1);
        assert!(!clock.is_due(at(11), read(at(11), -3600).0));
        // A thread that measured before and comes late changes nothing.
        assert_eq!(clock.renew(at(10), read(at(10), 0).1, known), None);
        assert_eq!((clock.state.steps, clock.map.stamp(at(11))), (1, after));
    }

    #[test]
    fn all_stamps_of_the_process_agree() {
        let first = stamp_now();
        let again = stamp(first.mono);
        // A machine whose clock is set just now has another mapping.
        if state().steps == 0 {
            assert_eq!(first.utc, again.utc);
        }
        assert!(stamp_now().mono >= first.mono);
    }
}
