//! Instants of the two clocks that lensd uses, as types, and the only calls that read them.
//!
//! `CLOCK_MONOTONIC` orders everything; UTC is for people and for other machines. The kernel's
//! V4L2 time stamps are monotonic, so a capture time becomes UTC by [`UtcMap`] alone.

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
    /// Bound of the mapping's error, in nanoseconds.
    pub error_ns: u32,
}

/// The mapping from `CLOCK_MONOTONIC` to UTC as measured at one moment.
#[derive(Debug, Default, Clone, Copy)]
pub struct UtcMap {
    offset_ns: i64,
    error_ns: u32,
}

impl UtcMap {
    /// Measures the mapping: `CLOCK_REALTIME` read between two reads of `CLOCK_MONOTONIC`, the
    /// tightest of four. The error bound is half of that bracket.
    pub fn measure() -> Self {
        let mut best = Self { offset_ns: 0, error_ns: u32::MAX };
        for _ in 0..4 {
            let before = now();
            let utc = utc_now();
            let after = now();
            let half = after.since(before).0 / 2;
            let error_ns = u32::try_from(half).unwrap_or(u32::MAX - 1);
            if error_ns < best.error_ns {
                best = Self { offset_ns: utc.0 - (before.0 + half).cast_signed(), error_ns };
            }
        }
        best
    }

    /// The stamp of a monotonic instant.
    pub const fn stamp(&self, mono: Nanos) -> Stamp {
        Stamp {
            mono,
            utc: UtcNanos(mono.0.cast_signed() + self.offset_ns),
            error_ns: self.error_ns,
        }
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
    }

    #[test]
    fn the_map_agrees_with_both_clocks() {
        let map = UtcMap::measure();
        let stamp = map.stamp(now());
        let apart = (utc_now().0 - stamp.utc.0).abs();
        assert!(apart < 1_000_000_000, "{apart} ns apart");
    }
}
