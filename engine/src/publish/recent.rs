//! How long something took lately, in half a kilobyte: for what every client has one of.

use lensd_ffi::state::Spread;
use lensd_ffi::time::Nanos;

/// Parts of a power of two: what is told is at most an eighth more than what was.
const PARTS: usize = 8;
/// Powers of two that are told apart, in microseconds: the longest are some 67 seconds.
const POWERS: usize = 23;
const BUCKETS: usize = PARTS * (POWERS + 1);
/// After this long, what was counted so far counts half.
const HALF_LIFE: Nanos = Nanos::from_secs(10);

/// See the module.
#[derive(Debug, Clone)]
pub struct Recent {
    counts: Box<[u16; BUCKETS]>,
    /// The longest of this span and of the one before, in microseconds.
    longest: [u64; 2],
    aged: Nanos,
}

impl Default for Recent {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), longest: [0; 2], aged: Nanos(0) }
    }
}

/// The bucket of a time; those below `PARTS` are exact.
const fn bucket_of(us: u64) -> usize {
    let power = (us / PARTS as u64).checked_ilog2();
    let bucket = match power {
        None => us as usize,
        Some(power) => PARTS * (power as usize + 1) + (us >> power) as usize - PARTS,
    };
    if bucket < BUCKETS { bucket } else { BUCKETS - 1 }
}

/// The longest time of a bucket.
const fn longest_of(bucket: usize) -> u64 {
    if bucket < PARTS {
        return bucket as u64;
    }
    let (power, part) = (bucket / PARTS - 1, bucket % PARTS);
    (((PARTS + part + 1) as u64) << power) - 1
}

impl Recent {
    /// Counts a time at `now`.
    pub fn note(&mut self, span: Nanos, now: Nanos) {
        self.age(now);
        let us = span.micros();
        let count = &mut self.counts[bucket_of(us)];
        *count = count.saturating_add(1);
        self.longest[0] = self.longest[0].max(us);
    }

    fn age(&mut self, now: Nanos) {
        let spans = now.since(self.aged).0 / HALF_LIFE.0;
        if spans == 0 {
            return;
        }
        self.aged = now;
        let shift = u32::try_from(spans).unwrap_or(u32::MAX);
        for count in self.counts.iter_mut() {
            *count = count.checked_shr(shift).unwrap_or(0);
        }
        self.longest = [0, if spans == 1 { self.longest[0] } else { 0 }];
    }

    /// What was counted lately, as of `now`; none if nothing was.
    pub fn spread(&mut self, now: Nanos) -> Option<Spread> {
        self.age(now);
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        if all == 0 {
            return None;
        }
        let max_us = self.longest[0].max(self.longest[1]);
        let at = |hundredths: u64| {
            let rank = (all * hundredths).div_ceil(100);
            let mut below = 0;
            let found = self.counts.iter().position(|&count| {
                below += u64::from(count);
                below >= rank
            });
            found.map_or(max_us, longest_of).min(max_us)
        };
        Some(Spread { p50_us: at(50), p99_us: at(99), max_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Nanos = Nanos::from_secs(1000);

    #[test]
    fn every_time_is_in_a_bucket_that_is_at_most_an_eighth_longer() {
        let mut last = 0;
        for us in (0..5000).chain((5000..60_000_000).step_by(9973)) {
            let bucket = bucket_of(us);
            assert!(bucket >= last && bucket < BUCKETS);
            last = bucket;
            let longest = longest_of(bucket);
            assert!(us <= longest && longest <= us + us / 8, "{us}: {longest}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_hundred_times() {
        let mut recent = Recent::default();
        assert_eq!(recent.spread(START), None);
        for us in 1..=100u64 {
            recent.note(Nanos(us * 100_000), START);
        }
        let spread = recent.spread(START).unwrap();
        assert!((5_000..=5_625).contains(&spread.p50_us), "{spread:?}");
        assert!((9_900..=10_000).contains(&spread.p99_us), "{spread:?}");
        assert_eq!(spread.max_us, 10_000);
    }

    #[test]
    fn what_is_long_ago_counts_less_and_then_nothing() {
        let mut recent = Recent::default();
        for _ in 0..64 {
            recent.note(Nanos::from_millis(900), START);
        }
        let mut note = |secs| {
            let now = START.plus(Nanos::from_secs(secs));
            recent.note(Nanos::from_millis(1), now);
            recent.spread(now).unwrap()
        };
        // The longest of the span before still shows, and most times were that long.
        assert_eq!((note(10).max_us, note(11).max_us), (900_000, 900_000));
        // A span later it is gone; and after minutes all that was.
        assert_eq!(note(21).max_us, 1_000);
        assert_eq!(note(600), Spread { p50_us: 1_000, p99_us: 1_000, max_us: 1_000 });
        assert_eq!(recent.spread(START.plus(Nanos::from_secs(900))), None);
    }
}
