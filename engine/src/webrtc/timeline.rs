//! Times as str0m wants them: it knows [`Instant`]s alone, and says UTC in its sender reports by the
//! one pair of an instant and UTC that it took when it was first used.
//!
//! So each session's instants are shifted by as much as UTC was set since then: its reports say what
//! the clock says that captures are stamped by. A session that runs when UTC is set keeps its shift;
//! its `abs-capture-time` tells the new time.

use lensd_ffi::time::{Nanos, Stamp};
use std::time::{Duration, Instant};

/// An instant of str0m, what the monotonic clock says then, and what UTC is ahead of that by.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    instant: Instant,
    mono: Nanos,
    offset: i64,
}

impl Timeline {
    /// Of a moment that was measured.
    pub fn new(instant: Instant, at: Stamp) -> Self {
        Self { instant, mono: at.mono, offset: offset_of(at) }
    }

    /// The same for a session that begins now.
    #[must_use]
    pub fn renewed(self, now: Stamp) -> Self {
        let step = offset_of(now).saturating_sub(self.offset);
        let span = Duration::from_nanos(step.unsigned_abs());
        let shifted =
            if step >= 0 { self.instant.checked_add(span) } else { self.instant.checked_sub(span) };
        // UTC was set back by more than the machine has been up: such an instant does not exist.
        Self { instant: shifted.unwrap_or(self.instant), offset: offset_of(now), ..self }
    }

    /// A monotonic time as an instant.
    pub fn instant(&self, mono: Nanos) -> Instant {
        if mono >= self.mono {
            self.instant + mono.since(self.mono).duration()
        } else {
            let back = self.mono.since(mono).duration();
            self.instant.checked_sub(back).unwrap_or(self.instant)
        }
    }

    /// An instant as a monotonic time.
    pub fn mono(&self, instant: Instant) -> Nanos {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        match instant.checked_duration_since(self.instant) {
            Some(span) => Nanos(self.mono.0.saturating_add(nanos(span))),
            None => Nanos(self.mono.0.saturating_sub(nanos(self.instant - instant))),
        }
    }
}

/// What UTC is ahead of the monotonic clock by.
fn offset_of(stamp: Stamp) -> i64 {
    stamp.utc.0.saturating_sub(i64::try_from(stamp.mono.0).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::time::UtcNanos;

    #[test]
    fn times_go_there_and_back_also_after_utc_was_set() {
        #[expect(clippy::disallowed_methods, reason = "an instant can be had no other way")]
        let instant = Instant::now() + Duration::from_secs(100);
        let at = |mono, utc| Stamp { mono: Nanos(mono), utc: UtcNanos(utc), ..Stamp::default() };
        let first = Timeline::new(instant, at(5_000_000_000, 1_000_000_000_000));
        for step in [0, 7_000_000_000, -7_000_000_000] {
            let line = first.renewed(at(6_000_000_000, 1_001_000_000_000 + step));
            for mono in [4_000_000_000, 5_000_000_000, 9_000_000_000] {
                assert_eq!(line.mono(line.instant(Nanos(mono))), Nanos(mono));
            }
            let ahead = line.instant(Nanos(5_000_000_000));
            assert_eq!(ahead.saturating_duration_since(instant).as_nanos(), step.max(0) as u128);
            assert_eq!(instant.saturating_duration_since(ahead).as_nanos(), (-step).max(0) as u128);
        }
    }
}
