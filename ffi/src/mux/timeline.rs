//! When samples are decoded and shown.

use crate::time::Nanos;

/// Ticks a second (`timescale`), as in RTP.
pub const TIMESCALE: u32 = 90_000;

/// Beyond this decode times are not bent any more but begin anew at the next key frame.
const BREAK: u64 = 3 * TIMESCALE as u64;
/// Pictures whose distance is looked at to say when the next will come.
const WINDOW: usize = 16;
/// So many pictures are missing in what is a pause.
const PAUSE: u64 = 8;
/// What a picture is thought to last before the second has come: 30 a second.
const FIRST: u64 = TIMESCALE as u64 / 30;

/// An instant of `CLOCK_MONOTONIC` in ticks of [`TIMESCALE`], rounded down.
pub fn ticks(at: Nanos) -> u64 {
    // 90,000 per 10^9; the product of two u64 needs more than one.
    u64::try_from(u128::from(at.0) * u128::from(TIMESCALE) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Where a sample lies, in ticks of [`TIMESCALE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// When it is decoded (`baseMediaDecodeTime`).
    pub decode: u64,
    /// How long after its decode time the next one has its own.
    pub duration: u32,
    /// Presentation time less decode time (`sample_composition_time_offset`).
    pub offset: i32,
}

impl Placed {
    /// The presentation time: the capture time, unless that was out of reach of a 32-bit offset.
    pub const fn shown(&self) -> u64 {
        self.decode.saturating_add_signed(self.offset as i64)
    }
}

/// Gives samples their times as they come, without knowing the next.
///
/// Decode times follow each other without gap or overlap, since players (Media Source Extensions,
/// "coded frame processing") throw pictures away behind a gap of more than two. So a duration is a promise,
/// and where the next picture came earlier or later its composition offset says so. It is promised
/// half a picture early: offsets below zero, by which FFmpeg shifts all times, are then only of
/// pictures out of order, or of those that came earlier by more than that.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The decode time that was promised to the next sample.
    next: Option<u64>,
    /// The latest presentation time after each of the last samples; by that also streams whose
    /// pictures come out of order have an even pace.
    tops: [u64; WINDOW],
    count: usize,
    /// From one picture to the next, as it was thought to be last.
    step: u64,
}

impl Timeline {
    /// Places the next sample, of a picture captured at `at`. Decode times may begin anew at a
    /// `key` frame only.
    pub fn place(&mut self, at: u64, key: bool) -> Placed {
        let apart = self.next.map(|next| next.abs_diff(at));
        if apart.is_none_or(|gap| gap > BREAK && (key || i32::try_from(gap).is_err())) {
            *self = Self::default();
        }
        let decode = self.next.unwrap_or(at.saturating_sub(FIRST / 2));
        let last = self.count.checked_sub(1).map(|n| self.tops[n % WINDOW]);
        let top = last.map_or(at, |last| last.max(at));
        let past = top - last.unwrap_or(top);
        if self.step > 0 && past / self.step > PAUSE {
            // Pictures that are missing say nothing of the pace.
            let missing = past - self.step;
            self.tops = self.tops.map(|top| top.saturating_add(missing));
        }
        let step = self.pace(top);
        self.step = step;
        self.tops[self.count % WINDOW] = top;
        self.count += 1;
        // Ahead of the pictures it slows down, but never stands still.
        let least = (step / 4).max(1);
        let duration = top.saturating_add(step / 2).saturating_sub(decode).max(least);
        let duration = u32::try_from(duration).unwrap_or(u32::MAX);
        self.next = Some(decode.saturating_add(duration.into()));
        let offset = i128::from(at) - i128::from(decode);
        Placed { decode, duration, offset: i32::try_from(offset).unwrap_or(0) }
    }

    /// Ticks from one picture to the next, by the last few up to the one at `top`.
    const fn pace(&self, top: u64) -> u64 {
        // Nobody knows yet: whenever the second comes, it is then decoded before it is shown.
        if self.count == 0 {
            return 0;
        }
        let known = if self.count < WINDOW { self.count } else { WINDOW };
        let span = top.saturating_sub(self.tops[(self.count - known) % WINDOW]);
        let step = span / known as u64;
        if step == 0 { 1 } else { step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places pictures captured at these times, the first a key frame, and holds the laws.
    fn place(times: &[u64]) -> Vec<Placed> {
        let mut timeline = Timeline::default();
        let placed: Vec<_> =
            times.iter().enumerate().map(|(i, at)| timeline.place(*at, i == 0)).collect();
        for (one, at) in placed.iter().zip(times) {
            assert_eq!(one.shown(), *at);
            assert!(one.duration > 0);
        }
        for pair in placed.windows(2) {
            assert_eq!(pair[0].decode + u64::from(pair[0].duration), pair[1].decode);
        }
        placed
    }

    #[test]
    fn an_even_stream_is_decoded_when_it_is_captured() {
        let times: Vec<u64> = (0..50).map(|n| 1_000_000 + n * 3600).collect();
        for one in &place(&times)[2..] {
            assert_eq!((one.offset, one.duration), (1800, 3600));
        }
    }

    #[test]
    fn a_late_picture_keeps_its_time_and_the_next_ones_theirs() {
        let jitter = [0_u64, 700, 100, 900, 0, 300];
        let mut times: Vec<u64> =
            (0..60).map(|n| 90_000 + n * 3000 + jitter[n as usize % 6]).collect();
        // One missing picture, and a pause of two seconds.
        times.remove(30);
        for late in &mut times[45..] {
            *late += 180_000;
        }
        let placed = place(&times);
        assert!(placed.iter().all(|p| (0..190_000).contains(&p.offset)), "{placed:?}");
        let settled = &placed[20..29];
        assert!(settled.iter().all(|p| p.offset < 3000), "{settled:?}");
    }

    #[test]
    fn pictures_out_of_order_have_an_even_pace() {
        let times: Vec<u64> =
            (0..20).flat_map(|n| [3, 1, 2].map(|k| 90_000 + (3 * n + k) * 3000)).collect();
        let placed = &place(&times)[18..];
        let sum: u64 = placed.iter().map(|one| u64::from(one.duration)).sum();
        assert!((2900..3100).contains(&(sum / placed.len() as u64)), "{sum}");
        assert!(placed.iter().all(|one| one.offset.unsigned_abs() < 10_000), "{placed:?}");
    }

    #[test]
    fn after_a_long_gap_time_begins_anew_at_a_key_frame() {
        let mut timeline = Timeline::default();
        timeline.place(90_000, true);
        let late = timeline.place(90_000 + 4 * 90_000, false);
        assert_eq!(late.decode, 90_000, "not at another");
        let far = 1_000_000_000;
        assert_eq!(timeline.place(far, true).decode, far - 1500);
        assert_eq!(timeline.place(90_000, true).decode, 88_500, "nor does it matter which way");
        let farther = u64::MAX - 5;
        assert_eq!(
            timeline.place(farther, false).decode,
            farther - 1500,
            "nothing could say that offset"
        );
        timeline.place(u64::MAX, false);
        timeline.place(0, false);
    }

    #[test]
    fn ticks_are_exact_after_years() {
        assert_eq!(ticks(Nanos(0)), 0);
        assert_eq!(ticks(Nanos(1_000_000_000)), 90_000);
        assert_eq!(ticks(Nanos(11_112)), 1);
        assert_eq!(ticks(Nanos::from_secs(3_000_000_000)), 270_000_000_000_000);
        assert!(ticks(Nanos(u64::MAX)) > 1 << 50);
    }
}
