//! Instants of the two clocks that lensd uses, as types, and the only calls that read them.
//!
//! `CLOCK_MONOTONIC` orders everything; UTC is for people and for other machines. The kernel's
//! V4L2 time stamps are monotonic, so a capture time becomes UTC by [`UtcMap`] alone, and whoever
//! stamps anything in a process uses the same one (the engine's `clock`).

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// An instant or a span of `CLOCK_MONOTONIC`, in nanoseconds.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Nanos(pub u64);

impl Nanos {
    /// A span of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s * 1_000_000_000)
    }

    /// The span from `earlier` to `self`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This instant, moved on by `span`.
    pub const fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The same as a [`std::time::Duration`].
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// Whole microseconds, rounded down.
    pub const fn micros(self) -> u64 {
        self.0 / 1_000
    }
}

/// An instant of UTC, in nanoseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UtcNanos(pub i64);

impl UtcNanos {
    /// The NTP time stamp of RFC 5905 section 6: 32 bits of seconds since 1900, 32 of fraction.
    pub fn ntp64(self) -> u64 {
        /// Seconds from 1900-01-01 to 1970-01-01.
        const NTP_OFFSET: i64 = 2_208_988_800;
        let secs = self.0.div_euclid(1_000_000_000) + NTP_OFFSET;
        let frac =
            (u128::from(self.0.rem_euclid(1_000_000_000).cast_unsigned()) << 32) / 1_000_000_000;
        (secs.cast_unsigned() << 32) | u64::try_from(frac).unwrap_or(0)
    }

    /// The instant of an NTP time stamp. What cannot be in its first era is of the next, which
    /// begins in 2036 (RFC 4330 section 3).
    pub fn of_ntp64(ntp: u64) -> Self {
        const NTP_OFFSET: i64 = 2_208_988_800;
        let secs = (ntp >> 32).cast_signed();
        let secs = if secs < 1 << 31 { secs + (1 << 32) } else { secs };
        // Rounded up, as the fraction was rounded down.
        let nanos = ((ntp & 0xffff_ffff) * 1_000_000_000).div_ceil(1 << 32);
        Self((secs - NTP_OFFSET) * 1_000_000_000 + nanos.cast_signed())
    }

    /// Whole milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// A capture time as every consumer gets it: monotonic, and its image in UTC with an error bound.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// `CLOCK_MONOTONIC` time.
    pub mono: Nanos,
    /// The same instant in UTC.
    pub utc: UtcNanos,
    /// How far `utc` may be from true UTC, in nanoseconds; [`Stamp::NO_BOUND`] if nobody knows.
    pub error_ns: u32,
}

impl Stamp {
    /// The error of a clock that nothing synchronizes, and any of 4.3 seconds and more.
    pub const NO_BOUND: u32 = u32::MAX;

    /// The bound of the error, if there is one.
    pub const fn error(self) -> Option<Nanos> {
        if self.error_ns == Self::NO_BOUND { None } else { Some(Nanos(self.error_ns as u64)) }
    }
}

/// Who keeps the clock of UTC right.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockSource {
    /// Nobody (`STA_UNSYNC`).
    #[default]
    None,
    /// A program that steers the clock itself: chrony, linuxptp.
    Service,
    /// The kernel's phase-locked loop, fed by a program: ntpd, systemd-timesyncd (`STA_PLL`).
    Pll,
    /// A pulse per second (`STA_PPSTIME`).
    Pps,
}

impl ClockSource {
    /// All of them by name.
    pub const NAMES: &'static [&'static str] = &["none", "service", "pll", "pps"];

    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What the kernel knows of its clock of UTC (`adjtimex(2)`).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockState {
    /// Who keeps it right.
    pub source: ClockSource,
    /// Bound of its error (`maxerror`), in nanoseconds; none: it is not synchronized.
    pub error_ns: Option<u64>,
    /// The error that is to be expected (`esterror`), in nanoseconds; none likewise.
    pub expected_ns: Option<u64>,
    /// How often it was set, instead of steered, since the engine began. A leap second counts.
    pub steps: u64,
}

impl ClockState {
    /// Whether somebody keeps it right.
    pub const fn is_synchronized(&self) -> bool {
        self.error_ns.is_some()
    }
}

/// The mapping from `CLOCK_MONOTONIC` to UTC as measured at one moment.
///
/// Both clocks are steered alike (`clock_gettime(2)`), so they only part ways when UTC is set: as
/// long as nobody does that, one mapping holds for ever, and [`UtcMap::renew`] keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcMap {
    offset_ns: i64,
    /// Half of the time that reading both clocks took.
    bracket_ns: u64,
    /// The bound of UTC's own error.
    clock_ns: Option<u64>,
}

impl UtcMap {
    /// Measures the mapping: `CLOCK_REALTIME` read between two reads of `CLOCK_MONOTONIC`, the
    /// tightest of four. How good UTC itself is remains to be said, see [`UtcMap::with_error`].
    pub fn measure() -> Self {
        let read = || (now(), utc_now(), now());
        let all = [read(), read(), read(), read()].map(|(a, utc, b)| Self::of(a, utc, b));
        all.into_iter().min_by_key(|map| map.bracket_ns).unwrap_or(all[0])
    }

    /// The mapping that follows of `utc` read between `before` and `after`.
    pub const fn of(before: Nanos, utc: UtcNanos, after: Nanos) -> Self {
        let half = after.since(before).0 / 2;
        let offset_ns = utc.0 - (before.0 + half).cast_signed();
        Self { offset_ns, bracket_ns: half, clock_ns: None }
    }

    /// The same with the bound of UTC's own error, in nanoseconds; none: nobody knows.
    #[must_use]
    pub const fn with_error(self, clock_ns: Option<u64>) -> Self {
        Self { clock_ns, ..self }
    }

    /// Takes another measurement. As long as both may be of the same clocks the mapping stays, so
    /// that the time from one picture to the next is the same in both clocks to the nanosecond.
    /// Else UTC was set meanwhile: the new mapping holds from now on, and the answer is by how much
    /// it is ahead of the old one, in nanoseconds.
    pub fn renew(&mut self, newer: Self) -> Option<i64> {
        let step = newer.offset_ns - self.offset_ns;
        if step.unsigned_abs() <= self.bracket_ns + newer.bracket_ns {
            self.clock_ns = newer.clock_ns;
            return None;
        }
        *self = newer;
        Some(step)
    }

    /// Whether `utc`, read just after `mono`, is so far from the mapping that it must be measured
    /// again: by a tenth of a millisecond. A smaller step shows at the next regular measurement.
    pub const fn is_doubtful(&self, mono: Nanos, utc: UtcNanos) -> bool {
        (utc.0 - self.utc(mono).0).unsigned_abs() > 100_000
    }

    const fn utc(&self, mono: Nanos) -> UtcNanos {
        UtcNanos(mono.0.cast_signed() + self.offset_ns)
    }

    /// The stamp of a monotonic instant.
    pub fn stamp(&self, mono: Nanos) -> Stamp {
        let error = self.clock_ns.map(|ns| ns.saturating_add(self.bracket_ns));
        let error_ns = error.and_then(|ns| u32::try_from(ns).ok()).unwrap_or(Stamp::NO_BOUND);
        Stamp { mono, utc: self.utc(mono), error_ns }
    }
}

/// `CLOCK_MONOTONIC` now. For the shells of threads only; state machines are told the time.
pub fn now() -> Nanos {
    let t = clock_gettime(ClockId::Monotonic);
    Nanos(t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned())
}

/// `CLOCK_REALTIME` now. For the shells of threads only.
pub fn utc_now() -> UtcNanos {
    let t = clock_gettime(ClockId::Realtime);
    UtcNanos(t.tv_sec * 1_000_000_000 + t.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_of_the_unix_epoch_and_of_half_a_second() {
        assert_eq!(UtcNanos(0).ntp64(), 2_208_988_800 << 32);
        assert_eq!(UtcNanos(500_000_000).ntp64() & 0xffff_ffff, 0x8000_0000);
        assert_eq!(UtcNanos(-500_000_000).ntp64() >> 32, 2_208_988_799);
        for at in [0, 1, 999_999_999, 1_795_269_957_250_000_001, 2_085_978_496_000_000_000] {
            assert_eq!(UtcNanos::of_ntp64(UtcNanos(at).ntp64()), UtcNanos(at));
        }
    }

    #[test]
    fn the_map_agrees_with_both_clocks() {
        let map = UtcMap::measure();
        let stamp = map.stamp(now());
        let apart = (utc_now().0 - stamp.utc.0).abs();
        assert!(apart < 1_000_000_000, "{apart} ns apart");
        assert_eq!(stamp.error(), None, "of a clock that nobody was asked of");
    }

    const START: Nanos = Nanos::from_secs(100);
    const UTC: i64 = 1_700_000_000_000_000_000;

    /// UTC read within `bracket` around `mono`, ahead of what the first one says by `ahead`.
    fn read(mono: Nanos, bracket: u64, ahead: i64) -> UtcMap {
        let utc = UTC + mono.since(START).0.cast_signed() + ahead;
        UtcMap::of(Nanos(mono.0 - bracket), UtcNanos(utc), Nanos(mono.0 + bracket))
    }

    #[test]
    fn a_mapping_stays_until_the_clock_is_set() {
        let mut map = read(START, 50, 0).with_error(Some(1_000));
        let first = map.stamp(START);
        assert_eq!((first.utc, first.error()), (UtcNanos(UTC), Some(Nanos(1_050))));
        let later = START.plus(Nanos::from_secs(3600));
        // Read within 400 ns, so 300 more mean nothing.
        assert_eq!(map.renew(read(later, 400, 300).with_error(Some(2_000))), None);
        let stamp = map.stamp(later);
        assert_eq!(stamp.utc.0 - first.utc.0, 3_600_000_000_000);
        assert_eq!(stamp.error(), Some(Nanos(2_050)));
        // A second back: the old mapping is not right any more.
        assert_eq!(map.renew(read(later, 50, -1_000_000_000)), Some(-1_000_000_000));
        assert_eq!(map.stamp(later).utc.0, UTC + 3_599_000_000_000);
        assert_eq!(map.stamp(later).error(), None);
    }

    #[test]
    fn a_step_is_seen_at_a_glance() {
        let map = read(START, 50, 0);
        for (ahead, doubtful) in [(0, false), (90_000, false), (-200_000, true), (1 << 40, true)] {
            assert_eq!(map.is_doubtful(START, UtcNanos(UTC + ahead)), doubtful, "{ahead}");
        }
    }

    #[test]
    fn an_error_that_is_too_large_is_none() {
        let map = read(START, 50, 0);
        assert_eq!(map.with_error(Some(16_000_000_000)).stamp(START).error(), None);
        assert_eq!(map.with_error(Some(u64::MAX)).stamp(START).error(), None);
        let largest = u64::from(Stamp::NO_BOUND) - 51;
        assert_eq!(map.with_error(Some(largest)).stamp(START).error(), Some(Nanos(largest + 50)));
    }

    #[test]
    fn sources_have_the_names_that_json_gives_them() {
        use ClockSource::{None, Pll, Pps, Service};
        for source in [None, Service, Pll, Pps] {
            assert_eq!(serde_json::json!(source), source.name());
        }
    }
}
