//! Latency histograms, and the sink that fills them while a client's bytes are parsed.

use hdrhistogram::{Counter, Histogram};
use lensd_ffi::time::Nanos;

use crate::media::stream::Stream;
use crate::rtsp::sdp::Track;
use crate::rtsp::session::Sink;

/// Highest latency told apart, one minute.
const HIGHEST_NS: u64 = 60_000_000_000;

/// A histogram of nanoseconds with `digits` significant digits.
pub(super) fn histogram<C: Counter>(digits: u8) -> Histogram<C> {
    // The bounds are constants of this file: 1000 ns to one minute, at most three digits.
    Histogram::new_with_bounds(1000, HIGHEST_NS, digits).expect("valid histogram bounds")
}

/// What all clients have in common.
pub(super) struct Tally {
    /// The measurement runs: latencies count.
    pub(super) open: bool,
    /// Capture to last packet.
    pub(super) last_packet: Histogram<u64>,
    /// Capture to first packet.
    pub(super) first_packet: Histogram<u64>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { open: false, last_packet: histogram(3), first_packet: histogram(3) }
    }
}

/// Takes one client's packets, all read at `now`.
pub(super) struct Arrivals<'a> {
    pub(super) now: Nanos,
    pub(super) stream: &'a mut Stream,
    pub(super) own: &'a mut Histogram<u32>,
    /// `None` for a client that stopped reading: its latencies are its own fault.
    pub(super) tally: Option<&'a mut Tally>,
}

impl Sink for Arrivals<'_> {
    fn track(&mut self, track: &Track) {
        *self.stream = Stream::new(track.codec, track.clock_rate);
    }

    #[inline]
    fn packet(&mut self, packet: &[u8]) {
        let Some(frame) = self.stream.packet(self.now, packet) else { return };
        let (Some(stamp), Some(tally)) = (frame.stamp, &mut self.tally) else { return };
        if tally.open {
            let capture = Nanos(stamp.mono_ns);
            let latency = self.now.since(capture).0;
            self.own.saturating_record(latency);
            tally.last_packet.saturating_record(latency);
            tally.first_packet.saturating_record(frame.first.since(capture).0);
        }
    }
}
