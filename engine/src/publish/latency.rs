//! How long the stages of a unit's way take, as histograms of the last seconds.

use hdrhistogram::Histogram;
use lensd_ffi::state::StageState;
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;

/// A stage of a unit's way, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the picture to the beginning of this stream's work on it.
    Capture,
    /// Scaling and decoding.
    Convert,
    /// Encoding.
    Encode,
    /// Into the ring, where readers find it.
    Ring,
    /// From the picture until then.
    Total,
    /// From the ring until the kernel has all of it, for each reader's socket.
    Send,
    /// From the ring until a reader of the frame tap was woken.
    Tap,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Capture,
        Self::Convert,
        Self::Encode,
        Self::Ring,
        Self::Total,
        Self::Send,
        Self::Tap,
    ];

    /// Its name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Convert => "convert",
            Self::Encode => "encode",
            Self::Ring => "ring",
            Self::Total => "total",
            Self::Send => "send",
            Self::Tap => "tap",
        }
    }
}

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

/// Histograms in microseconds, one a stage that something was noted of.
type Window = [Option<Histogram<u32>>; Stage::ALL.len()];

/// Figures of the stages, as they are at a moment.
#[derive(Default, Clone)]
pub(super) struct Figures {
    now: Window,
    before: Window,
}

/// See the module.
#[derive(Default)]
pub(super) struct Latency {
    under_way: VecDeque<UnderWay>,
    figures: Figures,
    began: Nanos,
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

    /// A unit is in the ring.
    pub(super) fn note(&mut self, number: u64, capture: Nanos, encoded: Nanos, published: Nanos) {
        // A camera that is opened anew counts from the beginning: what was taken before this frame
        // was captured is not this one, nor a later one.
        self.under_way.retain(|f| f.taken >= capture);
        let known = self.under_way.iter().find(|f| f.number == number).copied();
        // What an encoder has dropped is not waited for.
        self.under_way.retain(|f| f.number > number);
        let way = known.unwrap_or(UnderWay { number, taken: encoded, ready: encoded });
        for (stage, span) in [
            (Stage::Capture, way.taken.since(capture)),
            (Stage::Convert, way.ready.since(way.taken)),
            (Stage::Encode, encoded.since(way.ready)),
            (Stage::Ring, published.since(encoded)),
            (Stage::Total, published.since(capture)),
        ] {
            self.note_spans(stage, &[span], published);
        }
    }

    /// What readers say that a stage took each of them.
    pub(super) fn note_spans(&mut self, stage: Stage, spans: &[Nanos], at: Nanos) {
        if at.since(self.began) >= WINDOW {
            let old = std::mem::take(&mut self.figures.now);
            // After a rest, what was before it is not of the last seconds.
            let fresh = at.since(self.began) < Nanos(2 * WINDOW.0);
            self.figures.before = if fresh { old } else { Window::default() };
            self.began = at;
        }
        let slot = &mut self.figures.now[stage as usize];
        // Two digits: the 1 % that they may be wrong by is less than what two runs differ by.
        let new = || Histogram::new_with_bounds(1, LONGEST, 2).ok();
        if let Some(histogram) = slot.take().or_else(new) {
            let histogram = slot.insert(histogram);
            for span in spans {
                histogram.saturating_record(span.0 / 1000);
            }
        }
    }

    /// The figures, to be summed up elsewhere: whoever notes something must not wait for that.
    pub(super) fn figures(&self) -> Figures {
        self.figures.clone()
    }
}

impl Figures {
    /// What others see.
    pub(super) fn sum_up(self) -> Vec<StageState> {
        let pairs = Stage::ALL.into_iter().zip(self.now.into_iter().zip(self.before));
        let sum = |(stage, (now, before)): (Stage, (Option<Histogram<u32>>, _))| {
            let all = match (now, before) {
                (Some(mut now), Some(before)) => now.add(before).is_ok().then_some(now)?,
                (now, before) => now.or(before)?,
            };
            Some(StageState {
                stage: stage.name().to_owned(),
                units: all.len(),
                p50_us: all.value_at_quantile(0.5),
                p99_us: all.value_at_quantile(0.99),
                max_us: all.max(),
            })
        };
        pairs.filter_map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn stages_are_told_apart_and_add_up() {
        let mut latency = Latency::default();
        assert!(latency.figures().sum_up().is_empty());
        for number in 0..100 {
            let capture = Nanos((1000 + number * 20) * MS);
            latency.take(number, capture.plus(Nanos(MS)));
            latency.ready(capture.plus(Nanos(3 * MS)));
            latency.note(number, capture, capture.plus(Nanos(8 * MS)), capture.plus(Nanos(9 * MS)));
        }
        let near = |got: u64, want: u64| got.abs_diff(want) <= want / 50;
        let state = latency.figures().sum_up();
        for (stage, want) in state.iter().zip([1000, 2000, 5000, 1000, 9000]) {
            assert_eq!(stage.units, 100);
            assert!(near(stage.p50_us, want) && near(stage.max_us, want), "{stage:?}");
        }
        assert_eq!(state.len(), 5);
        let spans = [Nanos(7 * MS), Nanos(7 * MS), Nanos(9 * MS)];
        latency.note_spans(Stage::Send, &spans, Nanos(3000 * MS));
        let state = latency.figures().sum_up();
        let (names, send) = (state.iter().map(|s| s.stage.as_str()), &state[5]);
        assert!(names.eq(["capture", "convert", "encode", "ring", "total", "send"]));
        assert!(send.units == 3 && near(send.p50_us, 7000) && near(send.max_us, 9000), "{send:?}");
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
        assert_eq!(latency.figures().sum_up()[4].units, 2);
        note(&mut latency, 2, 122);
        assert_eq!(latency.figures().sum_up()[4].units, 2);
        note(&mut latency, 3, 500);
        assert_eq!(latency.figures().sum_up()[4].units, 1);
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
