//! One client's view of one RTP stream: packets become frames, frames become counters.

use lensd_ffi::time::Nanos;

use super::payload::{Content, Part, Rtp};
use super::sequence::{Arrival, Sequence};
use super::stamp::CaptureStamp;
use crate::rtsp::sdp::Codec;

/// Counters since the first packet.
#[derive(Debug, Default, Clone)]
pub struct Counters {
    /// RTP packets.
    pub packets: u64,
    /// Their bytes, RTP headers included.
    pub bytes: u64,
    /// Packets that are no RTP, or whose payload header contradicts itself.
    pub malformed: u64,
    /// Whole frames.
    pub frames: u64,
    /// Whole key frames.
    pub key_frames: u64,
    /// Torn frames: packets missing, fragments that do not join, no beginning or no marker.
    pub torn: u64,
    /// Frames with a capture stamp.
    pub stamped: u64,
    /// Frame numbers that were skipped.
    pub lost_numbers: u64,
    /// Frame numbers that came again at once.
    pub repeated_numbers: u64,
    /// Frame numbers lower than the one before.
    pub disordered_numbers: u64,
}

/// A whole frame, as its last packet arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeFrame {
    /// It can be decoded by itself.
    pub key: bool,
    /// Arrival of its first packet.
    pub first: Nanos,
    /// The stamp, if it has one.
    pub stamp: Option<CaptureStamp>,
}

#[derive(Debug, Default, Clone)]
struct Frame {
    timestamp: u32,
    open: bool,
    first: Nanos,
    missing: u32,
    had_gap: bool,
    malformed: bool,
    unit_open: bool,
    picture: bool,
    picture_start: bool,
    key: bool,
    stamp: Option<CaptureStamp>,
}

/// The stream.
#[derive(Debug, Default)]
pub struct Stream {
    codec: Codec,
    clock_rate: u32,
    /// Order and loss of packets.
    pub sequence: Sequence,
    /// All else that is counted.
    pub counters: Counters,
    /// Arrival of the first packet.
    pub first_packet: Option<Nanos>,
    /// Arrival of the last packet of the first whole key frame.
    pub first_key_frame: Option<Nanos>,
    frame: Frame,
    number: Option<u32>,
    /// A frame boundary was seen: a stream that is joined within a frame is not torn.
    joined: bool,
    transit: Option<u32>,
    /// In RTP units, times 16 (RFC 3550 A.8).
    jitter_x16: u32,
}

impl Stream {
    /// A stream of `codec`, whose time stamps count `clock_rate` per second.
    pub fn new(codec: Codec, clock_rate: u32) -> Self {
        Self { codec, clock_rate: clock_rate.max(1), ..Self::default() }
    }

    /// RFC 3550 interarrival jitter now, in milliseconds.
    pub fn jitter_ms(&self) -> f64 {
        f64::from(self.jitter_x16 >> 4) * 1000.0 / f64::from(self.clock_rate.max(1))
    }

    /// Takes a packet that arrived at `now`; answers with the frame that it completed.
    #[inline]
    pub fn packet(&mut self, now: Nanos, packet: &[u8]) -> Option<WholeFrame> {
        let Some(rtp) = Rtp::parse(packet) else {
            self.counters.malformed += 1;
            return None;
        };
        self.counters.packets += 1;
        self.counters.bytes += packet.len() as u64;
        let arrival = self.sequence.arrive(rtp.sequence);
        if arrival == Arrival::Duplicate {
            return None;
        }
        self.measure_jitter(now, rtp.timestamp);
        let content = Content::parse(self.codec, rtp.payload);
        self.counters.malformed += u64::from(content.malformed);
        if arrival == Arrival::Late {
            self.fill(&rtp, &content);
            return None;
        }
        if self.frame.open && self.frame.timestamp != rtp.timestamp {
            self.end_without_marker();
        }
        if !self.frame.open {
            self.frame =
                Frame { open: true, timestamp: rtp.timestamp, first: now, ..Frame::default() };
        } else if let Arrival::Gap(missing) = arrival {
            self.frame.missing += u32::from(missing);
            self.frame.had_gap = true;
        }
        self.frame.add(&content);
        if rtp.marker { self.end(now) } else { None }
    }

    /// A late packet of the frame that is still open fills its gap.
    fn fill(&mut self, rtp: &Rtp<'_>, content: &Content) {
        if self.frame.open && self.frame.timestamp == rtp.timestamp {
            self.frame.missing = self.frame.missing.saturating_sub(1);
            self.frame.add(content);
        }
    }

    fn end_without_marker(&mut self) {
        self.frame.open = false;
        if self.joined && self.frame.picture {
            self.counters.torn += 1;
        }
        self.joined = true;
    }

    fn end(&mut self, now: Nanos) -> Option<WholeFrame> {
        self.frame.open = false;
        let joined = std::mem::replace(&mut self.joined, true);
        let frame = &self.frame;
        if !frame.picture && frame.missing == 0 {
            // Parameter sets that were sent by themselves.
            return None;
        }
        if !frame.is_whole() {
            self.counters.torn += u64::from(joined || frame.picture_start);
            return None;
        }
        let whole = WholeFrame { key: frame.key, first: frame.first, stamp: frame.stamp };
        self.counters.frames += 1;
        if whole.key {
            self.counters.key_frames += 1;
            self.first_key_frame.get_or_insert(now);
        }
        if let Some(stamp) = whole.stamp {
            self.count_number(stamp.number);
        }
        Some(whole)
    }

    fn count_number(&mut self, number: u32) {
        self.counters.stamped += 1;
        if let Some(last) = self.number.replace(number) {
            match number.wrapping_sub(last) {
                1 => {}
                0 => self.counters.repeated_numbers += 1,
                ahead @ 2..0x8000_0000 => self.counters.lost_numbers += u64::from(ahead - 1),
                _ => self.counters.disordered_numbers += 1,
            }
        }
    }

    fn measure_jitter(&mut self, now: Nanos, timestamp: u32) {
        let first = *self.first_packet.get_or_insert(now);
        // From the first packet on, so that nanoseconds times the clock rate stay within 64 bits.
        let units = now.since(first).0.wrapping_mul(u64::from(self.clock_rate)) / 1_000_000_000;
        let transit = ((units & 0xffff_ffff) as u32).wrapping_sub(timestamp);
        if let Some(last) = self.transit.replace(transit) {
            let apart = transit.wrapping_sub(last).cast_signed().unsigned_abs();
            self.jitter_x16 =
                self.jitter_x16.saturating_add(apart).saturating_sub((self.jitter_x16 + 8) >> 4);
        }
    }
}

impl Frame {
    fn add(&mut self, content: &Content) {
        self.malformed |= content.malformed;
        let (joins, open) = match content.part {
            Part::Whole => (!self.unit_open, false),
            Part::Start => (!self.unit_open, true),
            Part::Middle => (self.unit_open, true),
            Part::End => (self.unit_open, false),
        };
        // Past a gap the fragments that are here cannot join; the gap itself is the finding.
        self.malformed |= !joins && !self.had_gap;
        self.unit_open = open;
        if content.picture && !self.picture {
            self.picture_start = content.picture_start;
            self.picture = true;
        }
        self.key |= content.key;
        self.stamp = self.stamp.or(content.stamp);
    }

    fn is_whole(&self) -> bool {
        self.missing == 0
            && !self.malformed
            && self.picture_start
            && (!self.unit_open || self.had_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &[u8] = &[0x7c, 0x85, 0x88];
    const MIDDLE: &[u8] = &[0x7c, 0x05, 1];
    const END: &[u8] = &[0x7c, 0x45, 1];
    const SLICE: &[u8] = &[0x61, 0x9a];

    fn rtp(seq: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 96 | u8::from(marker) << 7];
        packet.extend(seq.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(payload);
        packet
    }

    fn run(packets: &[(u16, u32, bool, &[u8])]) -> Stream {
        let mut stream = Stream::new(Codec::H264, 90_000);
        for (i, (seq, timestamp, marker, payload)) in packets.iter().enumerate() {
            let now = Nanos::from_millis(i as u64 * 10);
            stream.packet(now, &rtp(*seq, *timestamp, *marker, payload));
        }
        stream
    }

    #[test]
    fn whole_frames_across_the_wrap() {
        let stream = run(&[
            (65534, 0, false, START),
            (65535, 0, false, MIDDLE),
            (0, 0, true, END),
            (1, 3000, true, SLICE),
        ]);
        let counters = &stream.counters;
        assert_eq!((counters.frames, counters.key_frames, counters.torn), (2, 1, 0));
        assert_eq!(stream.first_packet, Some(Nanos(0)));
        assert_eq!(stream.first_key_frame, Some(Nanos::from_millis(20)));
        assert_eq!(stream.sequence.gaps, 0);
    }

    #[test]
    fn a_gap_inside_tears_the_frame() {
        let stream = run(&[(1, 0, false, START), (3, 0, true, END), (4, 3000, true, SLICE)]);
        assert_eq!((stream.counters.torn, stream.counters.frames), (1, 1));
        assert_eq!((stream.sequence.gaps, stream.sequence.lost), (1, 1));
    }

    #[test]
    fn a_gap_at_the_end_or_the_beginning_tears_one_frame() {
        let end = run(&[(1, 0, false, START), (3, 3000, true, SLICE)]);
        assert_eq!((end.counters.torn, end.counters.frames), (0, 1), "joined within it");
        let end = run(&[(0, 0, true, SLICE), (1, 3000, false, START), (3, 6000, true, SLICE)]);
        assert_eq!((end.counters.torn, end.counters.frames), (1, 2));
        let beginning = run(&[
            (0, 0, true, SLICE),
            (2, 3000, false, MIDDLE),
            (3, 3000, true, END),
            (4, 6000, true, SLICE),
        ]);
        assert_eq!((beginning.counters.torn, beginning.counters.frames), (1, 2));
    }

    #[test]
    fn whole_frames_lost_between_tear_nothing() {
        let stream = run(&[(0, 0, true, SLICE), (9, 9000, true, SLICE)]);
        assert_eq!((stream.counters.torn, stream.counters.frames), (0, 2));
        assert_eq!(stream.sequence.lost, 8);
    }

    #[test]
    fn fragments_that_do_not_join_tear_without_any_gap() {
        for bad in [[START, START, END], [START, MIDDLE, MIDDLE], [START, SLICE, END]] {
            let packets: Vec<_> = [SLICE]
                .iter()
                .chain(&bad)
                .enumerate()
                .map(|(i, payload)| {
                    let seq = u16::try_from(i).unwrap();
                    (seq, u32::from(i > 0), i == 0 || i == 3, *payload)
                })
                .collect();
            let stream = run(&packets);
            assert_eq!((stream.counters.torn, stream.counters.frames), (1, 1), "{bad:?}");
        }
    }

    #[test]
    fn a_late_packet_heals_the_frame() {
        let stream = run(&[
            (0, 0, true, SLICE),
            (1, 1, false, START),
            (3, 1, false, MIDDLE),
            (2, 1, false, MIDDLE),
            (4, 1, true, END),
        ]);
        assert_eq!((stream.counters.torn, stream.counters.frames), (0, 2));
        assert_eq!((stream.sequence.reordered, stream.sequence.lost), (1, 0));
    }

    #[test]
    fn joining_within_a_frame_is_no_loss() {
        let stream = run(&[(7, 0, false, MIDDLE), (8, 0, true, END), (9, 1, true, SLICE)]);
        assert_eq!((stream.counters.torn, stream.counters.frames), (0, 1));
    }

    #[test]
    fn numbers_of_stamped_frames() {
        let mut stream = Stream::new(Codec::H264, 90_000);
        let mut seq = 0;
        for (i, number) in [10, 11, 14, 14, 12].into_iter().enumerate() {
            let stamp = CaptureStamp { mono_ns: 1, utc_ns: 2, number, crc: 0 };
            let timestamp = u32::try_from(i).unwrap() * 3000;
            for (payload, marker) in [(stamp.nal(), false), (SLICE.to_vec(), true)] {
                let whole = stream.packet(Nanos(9), &rtp(seq, timestamp, marker, &payload));
                assert_eq!(whole.and_then(|w| w.stamp), marker.then_some(stamp));
                seq += 1;
            }
        }
        let counters = &stream.counters;
        assert_eq!((counters.stamped, counters.lost_numbers), (5, 2));
        assert_eq!((counters.repeated_numbers, counters.disordered_numbers), (1, 1));
    }

    #[test]
    fn even_arrival_has_no_jitter() {
        let even: Vec<_> = (0..50).map(|i| (i, u32::from(i) * 900, true, SLICE)).collect();
        assert!(run(&even).jitter_ms() < 0.1);
        let bursts: Vec<_> = (0..50).map(|i| (i, u32::from(i / 2) * 1800, true, SLICE)).collect();
        assert!(run(&bursts).jitter_ms() > 5.0);
    }
}
