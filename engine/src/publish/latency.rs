//! How long the stages of a frame's way take, as histograms of the last seconds.

use hdrhistogram::Histogram;
use lensd_ffi::state::StageState;
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;

/// The stages in their order. `capture`: from the picture to the beginning of this stream's work
/// on it; `convert`: scaling and decoding; `encode`; `ring`: into the ring, until readers are woken;
/// `total`: from the picture until then.
const STAGES: [&str; 5] = ["capture", "convert", "encode", "ring", "total"];
/// Figures are of the last one to two of these.
const WINDOW: Nanos = Nanos::from_secs(10);
/// Longest time that is told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;
/// Frames that are in an encoder at a time.
const MOST_UNDER_WAY: usize = 16;

/// When a frame came to the stages.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    number: u64,
    taken: Nanos,
    ready: Nanos,
}

/// Histograms in microseconds, one a stage.
type Window = Vec<Histogram<u32>>;

/// See the module.
#[derive(Default)]
pub(super) struct Latency {
    under_way: VecDeque<UnderWay>,
    now: Window,
    before: Window,
    began: Nanos,
}

fn window() -> Window {
    // Two digits: the 1 % that they may be wrong by is less than what two runs differ by.
    STAGES.iter().filter_map(|_| Histogram::new_with_bounds(1, LONGEST, 2).ok()).collect()
}

impl Latency {
    /// Work on a frame begins; said again of the same frame, that it is ready for what follows.
    pub(super) fn take(&mut self, number: u64, at: Nanos) {
        if self.under_way.back().is_some_and(|newest| newest.number == number) {
            return self.ready(at);
        }
        if self.under_way.len() >= MOST_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.under_way.push_back(UnderWay { number, taken: at, ready: at });
    }

    /// The newest frame is ready for the encoder.
    pub(super) fn ready(&mut self, at: Nanos) {
        if let Some(newest) = self.under_way.back_mut() {
            newest.ready = at;
        }
    }

    /// A unit was published.
    pub(super) fn note(&mut self, number: u64, capture: Nanos, encoded: Nanos, published: Nanos) {
        if self.now.is_empty() || published.since(self.began) >= WINDOW {
            let old = std::mem::replace(&mut self.now, window());
            // After a rest, what was before it is not of the last seconds.
            let fresh = published.since(self.began) < Nanos(2 * WINDOW.0);
            self.before = if fresh { old } else { Window::new() };
            self.began = published;
        }
        // A camera that is opened anew counts from the beginning: what was taken before this frame
        // was captured is not this one, nor a later one.
        self.under_way.retain(|f| f.taken >= capture);
        let known = self.under_way.iter().find(|f| f.number == number).copied();
        // What an encoder has dropped is not waited for.
        self.under_way.retain(|f| f.number > number);
        let way = known.unwrap_or(UnderWay { number, taken: encoded, ready: encoded });
        let spans = [
            way.taken.since(capture),
            way.ready.since(way.taken),
            encoded.since(way.ready),
            published.since(encoded),
            published.since(capture),
        ];
        for (histogram, span) in self.now.iter_mut().zip(spans) {
            histogram.saturating_record(span.0 / 1000);
        }
    }

    /// What others see.
    pub(super) fn state(&self) -> Vec<StageState> {
        let both = |index: usize| {
            let mut all = self.now.get(index)?.clone();
            if let Some(before) = self.before.get(index) {
                all.add(before).ok()?;
            }
            Some(all)
        };
        let stage = |(index, name): (usize, &&str)| {
            let all = both(index)?;
            Some(StageState {
                stage: (*name).to_owned(),
                units: all.len(),
                p50_us: all.value_at_quantile(0.5),
                p99_us: all.value_at_quantile(0.99),
                max_us: all.max(),
            })
        };
        STAGES.iter().enumerate().filter_map(stage).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn stages_are_told_apart_and_add_up() {
        let mut latency = Latency::default();
        assert!(latency.state().is_empty());
        for number in 0..100 {
            let capture = Nanos((1000 + number * 20) * MS);
            latency.take(number, capture.plus(Nanos(MS)));
            latency.ready(capture.plus(Nanos(3 * MS)));
            latency.note(number, capture, capture.plus(Nanos(8 * MS)), capture.plus(Nanos(9 * MS)));
        }
        let near = |got: u64, want: u64| got.abs_diff(want) <= want / 50;
        let state = latency.state();
        for (stage, want) in state.iter().zip([1000, 2000, 5000, 1000, 9000]) {
            assert_eq!(stage.units, 100);
            assert!(near(stage.p50_us, want) && near(stage.max_us, want), "{stage:?}");
        }
        assert_eq!(state.len(), 5);
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_an_encoder_may_drop_frames() {
        let mut latency = Latency::default();
        let note = |latency: &mut Latency, number, secs| {
            let at = Nanos::from_secs(secs);
            latency.note(number, at, at.plus(Nanos(MS)), at.plus(Nanos(2 * MS)));
        };
        note(&mut latency, 0, 100);
        note(&mut latency, 1, 111);
        assert_eq!(latency.state()[4].units, 2);
        note(&mut latency, 2, 122);
        assert_eq!(latency.state()[4].units, 2);
        note(&mut latency, 3, 500);
        assert_eq!(latency.state()[4].units, 1);
        for number in 4..100 {
            latency.take(number, Nanos::from_secs(501));
        }
        assert_eq!(latency.under_way.len(), MOST_UNDER_WAY);
        note(&mut latency, 99, 501);
        assert!(latency.under_way.is_empty());
        latency.take(7, Nanos::from_secs(502));
        latency.take(7, Nanos::from_secs(503));
        latency.take(2, Nanos::from_secs(600));
        latency.note(2, Nanos::from_secs(599), Nanos::from_secs(601), Nanos::from_secs(602));
        assert!(latency.under_way.is_empty(), "of another opening");
    }
}
