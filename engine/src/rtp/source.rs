//! A source of RTP that sends to us, as its receiver sees it: which packets are its own and in
//! order (RFC 3550 appendix A.1), how many are missing (A.3), how unevenly they come (A.8).

use super::packet::rtp_time;
use super::rtcp::{Report, ReportBlock};
use lensd_ffi::time::Nanos;

/// A step forward of so many sequence numbers is a jump, no loss.
const MAX_DROPOUT: u16 = 3000;
/// A packet that is late by more is no late packet.
const MAX_MISORDER: u16 = 100;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or with `lost` one after some that are missing.
    Next {
        /// Packets before it are missing.
        lost: bool,
    },
    /// Behind others that it should have come before, or come already.
    Late,
    /// A stranger, or the first of a source that begins anew: the next packet tells. Keep it.
    Jump,
    /// The source has begun anew with the packet that was the last [`Arrival::Jump`], and this one
    /// follows it.
    Restart {
        /// By its SSRC it is another source, e.g. an encoder that was started again.
        other: bool,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Source {
    counts: Option<Counts>,
    /// SSRC, and the sequence number by which a jump proves to be a new beginning.
    expected: Option<(u32, u16)>,
}

/// What is known of a source that has sent something.
#[derive(Debug)]
struct Counts {
    ssrc: u32,
    /// Sequence number of the first packet.
    base: u32,
    /// The highest one, with its cycles.
    highest: u32,
    received: u32,
    /// As of the last report.
    expected_before: u32,
    received_before: u32,
    /// RTP ticks between sending and arrival, by clocks that do not agree.
    transit: u32,
    /// Interarrival jitter, times 16.
    jitter: u32,
    /// Middle of the NTP time of the last sender report, and when it came.
    last_sr: Option<(u32, Nanos)>,
}

impl Counts {
    fn new(ssrc: u32, seq: u16) -> Self {
        Self {
            ssrc,
            base: seq.into(),
            highest: seq.into(),
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: 0,
            jitter: 0,
            last_sr: None,
        }
    }

    fn note_transit(&mut self, transit: u32) {
        let change = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        let decay = (self.jitter + 8) >> 4;
        self.jitter = self.jitter.saturating_add(change).saturating_sub(decay);
    }
}

impl Source {
    /// Takes a packet's header; it arrived at `now`.
    pub fn take(&mut self, ssrc: u32, seq: u16, time: u32, now: Nanos) -> Arrival {
        let transit = rtp_time(now).wrapping_sub(time);
        let Some(counts) = &mut self.counts else {
            self.counts = Some(Counts { transit, ..Counts::new(ssrc, seq) });
            return Arrival::Next { lost: false };
        };
        let step = seq.wrapping_sub(low(counts.highest));
        if ssrc == counts.ssrc && (step == 0 || step > MAX_MISORDER.wrapping_neg()) {
            counts.received = counts.received.wrapping_add(1);
            return Arrival::Late;
        }
        if ssrc == counts.ssrc && step < MAX_DROPOUT {
            self.expected = None;
            counts.highest = counts.highest.wrapping_add(step.into());
            counts.received = counts.received.wrapping_add(1);
            counts.note_transit(transit);
            return Arrival::Next { lost: step != 1 };
        }
        // One packet of another place may be anybody's; two in a row are a source.
        if self.expected.replace((ssrc, seq.wrapping_add(1))) != Some((ssrc, seq)) {
            return Arrival::Jump;
        }
        self.expected = None;
        let other = ssrc != counts.ssrc;
        let first = Counts::new(ssrc, seq.wrapping_sub(1));
        *counts = Counts { highest: first.base + 1, received: 2, transit, ..first };
        Arrival::Restart { other }
    }

    /// Takes what it reports of itself; that arrived at `now`.
    pub fn heard(&mut self, report: &Report, now: Nanos) {
        if let (Some(counts), Report::Sender { ssrc, ntp, .. }) = (&mut self.counts, report)
            && *ssrc == counts.ssrc
        {
            counts.last_sr = u32::try_from(ntp >> 16 & 0xffff_ffff).ok().map(|sr| (sr, now));
        }
    }

    /// What a receiver reports of it; `None` before its first packet.
    pub fn report(&mut self, now: Nanos) -> Option<ReportBlock> {
        let counts = self.counts.as_mut()?;
        let expected = counts.highest.wrapping_sub(counts.base).wrapping_add(1);
        let since = |now: u32, before: u32| i64::from(now.wrapping_sub(before));
        let due = since(expected, counts.expected_before);
        let missing = due - since(counts.received, counts.received_before);
        (counts.expected_before, counts.received_before) = (expected, counts.received);
        let fraction = if due > 0 && missing > 0 { (missing << 8) / due } else { 0 };
        let delay = counts.last_sr.map_or(0, |(_, came)| {
            u128::from(now.since(came).0) * 65_536 / u128::from(Nanos::from_secs(1).0)
        });
        Some(ReportBlock {
            source: counts.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            lost: expected.wrapping_sub(counts.received).cast_signed(),
            highest_seq: counts.highest,
            jitter: counts.jitter >> 4,
            last_sr: counts.last_sr.map_or(0, |(sr, _)| sr),
            delay: u32::try_from(delay).unwrap_or(u32::MAX),
        })
    }
}

/// A sequence number without its cycles.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(seq: u32) -> u16 {
    seq as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Nanos = Nanos::from_secs(5);
    const NEXT: Arrival = Arrival::Next { lost: false };
    const LOST: Arrival = Arrival::Next { lost: true };

    fn take(source: &mut Source, ssrc: u32, seqs: &[u16]) -> Vec<Arrival> {
        seqs.iter().map(|seq| source.take(ssrc, *seq, 0, T)).collect()
    }

    #[test]
    fn losses_and_late_packets_are_told_from_jumps() {
        let mut source = Source::default();
        assert_eq!(take(&mut source, 1, &[65_534, 65_535, 0, 2]), [NEXT, NEXT, NEXT, LOST]);
        assert_eq!(take(&mut source, 1, &[1, 2, 65_530]), [Arrival::Late; 3]);
        assert_eq!(take(&mut source, 1, &[2 + 2999]), [LOST]);
        // One stray packet changes nothing, nor do two that do not follow each other.
        assert_eq!(take(&mut source, 1, &[20_000, 3002]), [Arrival::Jump, NEXT]);
        assert_eq!(take(&mut source, 1, &[20_001, 30_000]), [Arrival::Jump; 2]);
        assert_eq!(take(&mut source, 1, &[3003]), [NEXT]);
    }

    #[test]
    fn a_source_that_begins_anew_is_followed() {
        let mut source = Source::default();
        take(&mut source, 1, &[40_000, 40_001]);
        // Backward, forward, and as another source next to where the old one was.
        for (ssrc, seq, other) in [(1, 10, false), (1, 30_000, false), (2, 30_003, true)] {
            let got = take(&mut source, ssrc, &[seq, seq + 1, seq + 2]);
            assert_eq!(got, [Arrival::Jump, Arrival::Restart { other }, NEXT]);
        }
        assert_eq!(source.report(T).unwrap().source, 2);
        assert_eq!(source.report(T).unwrap().lost, 0);
    }

    #[test]
    fn the_report_counts_as_the_standard_does() {
        let mut source = Source::default();
        assert_eq!(source.report(T), None);
        take(&mut source, 7, &[65_535, 0, 1, 4]);
        let report = source.report(T).unwrap();
        assert_eq!((report.source, report.highest_seq), (7, 65_536 + 4));
        // Two of six; and none of the four after that.
        assert_eq!((report.lost, report.fraction_lost), (2, 85));
        take(&mut source, 7, &[5, 6, 7, 8]);
        let report = source.report(T).unwrap();
        assert_eq!((report.lost, report.fraction_lost), (2, 0));
        assert_eq!((report.last_sr, report.delay), (0, 0));
        let sender = Report::Sender { ssrc: 7, ntp: 0x1234_5678_9abc_def0, rtp_time: 0 };
        source.heard(&sender, T);
        source.heard(&Report::Sender { ssrc: 8, ntp: 0, rtp_time: 0 }, T);
        let report = source.report(T.plus(Nanos::from_millis(1500))).unwrap();
        assert_eq!((report.last_sr, report.delay), (0x5678_9abc, 65_536 * 3 / 2));
    }

    #[test]
    fn jitter_is_what_the_gaps_differ_by() {
        let mut source = Source::default();
        // Sent every 10 ms; each second one arrives 1 ms late: the mean change is 90 ticks.
        for n in 0..1000u16 {
            let sent = u64::from(n) * 10;
            let arrival = Nanos::from_millis(1000 + sent + u64::from(n % 2));
            source.take(1, n, u32::try_from(sent * 90).unwrap(), arrival);
        }
        let jitter = source.report(T).unwrap().jitter;
        assert!((88..=92).contains(&jitter), "{jitter}");
        // Evenly from then on.
        for n in 1000..2000u16 {
            let sent = u64::from(n) * 10;
            let time = u32::try_from(sent * 90).unwrap();
            source.take(1, n, time, Nanos::from_millis(1000 + sent));
        }
        assert_eq!(source.report(T).unwrap().jitter, 0);
    }
}
