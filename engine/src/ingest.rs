//! Streams that a publisher sends to us (ANNOUNCE and RECORD): RTP in, units out to a camera.

use crate::clock;
use crate::coded::CodedUnit;
use crate::publish::is_parameter_set;
use crate::rtp::h264::Depacketizer;
use crate::rtp::rtcp::{self, ReportBlock};
use crate::rtp::source::{Arrival, Source};
use crate::sdp::Announced;
use crate::syntax::sps::parse_sps;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::{Codec, split_annex_b};
use parking_lot::Mutex;
use rtp_rs::RtpReader;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a publisher may send nothing: its rate is not known, and some send a picture each
/// second.
pub const SILENCE: Nanos = Nanos::from_secs(4);
/// Units that may wait for the camera's thread.
const QUEUE: usize = 64;

/// The paths that may be published to.
#[derive(Debug, Default)]
pub struct Desk {
    places: Mutex<HashMap<String, Arc<Place>>>,
}

/// One such path.
#[derive(Debug)]
pub struct Place {
    sender: Sender<CodedUnit>,
    receiver: Receiver<CodedUnit>,
    bell: Bell,
    /// Since when somebody publishes.
    busy: Mutex<Option<Nanos>>,
    lost: AtomicU64,
}

impl Place {
    /// A place that only its maker knows.
    pub fn new(bell: Bell) -> Arc<Self> {
        let (sender, receiver) = bounded(QUEUE);
        Arc::new(Self { sender, receiver, bell, busy: Mutex::default(), lost: AtomicU64::new(0) })
    }

    /// Begins to send units there; `None` if somebody does already.
    pub fn begin(self: &Arc<Self>, what: &Announced) -> Option<Ingest> {
        let mut busy = self.busy.lock();
        if busy.is_some() {
            return None;
        }
        *busy = Some(now());
        // The camera's thread, which may wait for somebody.
        self.bell.ring();
        Some(Ingest {
            place: Arc::clone(self),
            payload_type: what.payload_type,
            sets: what.sets.clone(),
            depacketizer: Depacketizer::default(),
            source: Source::default(),
            jumped: None,
            clock: None,
            number: 0,
            waits_for_key: true,
            size: (0, 0),
        })
    }

    /// The next unit, for the camera's thread.
    pub fn take(&self) -> Option<CodedUnit> {
        self.receiver.try_recv().ok()
    }

    /// Units of publishers that the camera never got: packets were missing, or its thread was behind
    /// and the queue full.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether units wait for the camera's thread, or somebody has just begun, so that they will.
    pub fn is_live(&self) -> bool {
        let just = |since: Nanos| now().since(since) < SILENCE;
        !self.receiver.is_empty() || self.busy.lock().is_some_and(just)
    }

    /// Whether somebody publishes.
    pub fn is_busy(&self) -> bool {
        self.busy.lock().is_some()
    }
}

impl Desk {
    /// Opens a path; `bell` wakes the camera's thread. The same place again if it is open.
    pub fn open(&self, name: &str, bell: Bell) -> Arc<Place> {
        let mut places = self.places.lock();
        let place = places.entry(name.to_owned()).or_insert_with(|| Place::new(bell));
        Arc::clone(place)
    }

    /// Whether a path may be published to.
    pub fn has(&self, name: &str) -> bool {
        self.places.lock().contains_key(name)
    }

    /// See [`Place::is_live`].
    pub fn is_live(&self, name: &str) -> bool {
        self.places.lock().get(name).is_some_and(|place| place.is_live())
    }

    /// Begins to publish; `None` if somebody does already.
    pub fn begin(&self, name: &str, what: &Announced) -> Option<Ingest> {
        let place = self.places.lock().get(name).cloned()?;
        place.begin(what)
    }
}

/// A publisher's stream.
pub struct Ingest {
    place: Arc<Place>,
    payload_type: u8,
    sets: Vec<Vec<u8>>,
    depacketizer: Depacketizer,
    source: Source,
    /// The packet that may be the first of a publisher that begins anew.
    jumped: Option<Vec<u8>>,
    /// RTP time and arrival of the packet that the clock was set by.
    clock: Option<(u32, Nanos)>,
    number: u64,
    /// After a loss nothing is passed on until decoding can begin again.
    waits_for_key: bool,
    /// Width and height in pixels, as the newest SPS says.
    size: (usize, usize),
}

impl Ingest {
    /// Takes a packet that arrived at `now`.
    pub fn push(&mut self, bytes: &[u8], now: Nanos) {
        let Ok(packet) = RtpReader::new(bytes) else { return };
        if packet.payload_type() != self.payload_type {
            return;
        }
        let (seq, time) = (packet.sequence_number().into(), packet.timestamp());
        match self.source.take(packet.ssrc(), seq, time, now) {
            // They are not put back in order: TCP never makes them.
            Arrival::Late => {}
            Arrival::Jump => self.jumped = Some(bytes.to_vec()),
            Arrival::Next { lost } => self.accept(&packet, lost, now),
            Arrival::Restart { other } => {
                self.clock = None;
                self.waits_for_key = true;
                if other {
                    // It owes nothing to the unit that the one before it did not end.
                    self.depacketizer = Depacketizer::default();
                }
                let first = self.jumped.take().unwrap_or_default();
                if let Ok(first) = RtpReader::new(&first) {
                    self.accept(&first, !other, now);
                }
                self.accept(&packet, false, now);
            }
        }
    }

    /// Takes the next packet in order. `lost`: packets before it are missing.
    fn accept(&mut self, packet: &RtpReader<'_>, lost: bool, now: Nanos) {
        if lost {
            self.waits_for_key = true;
        }
        match self.depacketizer.push(packet.payload(), packet.mark(), lost) {
            Some(bytes) => {
                let capture = self.capture_time(packet.timestamp(), now);
                self.pass_on(bytes, capture);
            }
            None if packet.mark() => self.lose(),
            None => {}
        }
    }

    /// Takes what the publisher reports of itself.
    pub fn heard(&mut self, bytes: &[u8], now: Nanos) {
        for report in rtcp::parse(bytes) {
            self.source.heard(&report, now);
        }
    }

    /// What is to be reported to the publisher; `None` before its first packet.
    pub fn report(&mut self, now: Nanos) -> Option<ReportBlock> {
        self.source.report(now)
    }

    fn lose(&self) {
        // What comes before the first key frame was never to be had.
        if self.number > 0 {
            self.place.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The RTP time on our clock: as far from the first packet's arrival as RTP says, and set anew
    /// when that drifts away by more than half a second.
    fn capture_time(&mut self, time: u32, now: Nanos) -> Nanos {
        let (first, arrived) = *self.clock.get_or_insert((time, now));
        let ticks = time.wrapping_sub(first).cast_signed();
        let offset = i64::from(ticks) * 1_000_000_000 / 90_000;
        let capture = Nanos(arrived.0.saturating_add_signed(offset));
        if capture.0.abs_diff(now.0) > 500_000_000 || ticks > 1 << 30 {
            self.clock = Some((time, now));
            return now;
        }
        // Nothing was captured in the future.
        capture.min(now)
    }

    fn pass_on(&mut self, bytes: Vec<u8>, capture: Nanos) {
        let mut unit = CodedUnit { codec: Codec::H264, bytes, ..CodedUnit::default() };
        split_annex_b(&unit.bytes, &mut unit.nals);
        let kind = |u: &CodedUnit, i: usize| u.bytes[u.nals[i].offset as usize] & 31;
        unit.key = (0..unit.nals.len()).any(|i| kind(&unit, i) == 5);
        if unit.key {
            self.complete(&mut unit);
            let sps = self.sets.iter().find_map(|set| parse_sps(set));
            self.size = sps.map_or((0, 0), |s| (s.width, s.height));
            self.waits_for_key = false;
        }
        if self.waits_for_key {
            return self.lose();
        }
        (unit.width, unit.height) = self.size;
        unit.capture = clock::stamp(capture);
        unit.number = self.number;
        self.number += 1;
        match self.place.sender.try_send(unit) {
            Ok(()) => self.place.bell.ring(),
            // The camera's thread is behind by two seconds: go on at a key frame.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waits_for_key = true;
                self.lose();
            }
        }
    }

    /// Keeps the newest parameter sets, and puts them before a key frame that lacks them.
    fn complete(&mut self, unit: &mut CodedUnit) {
        let own: Vec<Vec<u8>> = unit
            .nals
            .iter()
            .map(|n| unit.bytes[n.offset as usize..(n.offset + n.len) as usize].to_vec())
            .filter(|n| is_parameter_set(Codec::H264, n))
            .collect();
        if !own.is_empty() {
            self.sets = own;
            return;
        }
        let mut bytes = Vec::new();
        for set in &self.sets {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(set);
        }
        bytes.extend_from_slice(&unit.bytes);
        unit.bytes = bytes;
        unit.nals.clear();
        split_annex_b(&unit.bytes, &mut unit.nals);
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        *self.place.busy.lock() = None;
        self.place.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp_rs::RtpPacketBuilder;

    const NOW: Nanos = Nanos::from_secs(9);

    fn place() -> (Arc<Place>, Ingest) {
        let place = Place::new(Bell::new().unwrap());
        let what = Announced {
            codec: Codec::H264,
            payload_type: 96,
            control: String::new(),
            several: false,
            sets: Vec::new(),
        };
        let ingest = place.begin(&what).unwrap();
        (place, ingest)
    }

    /// Units of one packet each, every fourth of them a key frame.
    fn send(ingest: &mut Ingest, ssrc: u32, seqs: std::ops::Range<u16>) {
        for seq in seqs {
            let nal = if seq % 4 == 0 { 0x65 } else { 0x41 };
            let payload = [nal, seq.to_be_bytes()[0], seq.to_be_bytes()[1]];
            let packet = RtpPacketBuilder::new()
                .payload_type(96)
                .ssrc(ssrc)
                .sequence(seq.into())
                .marked(true)
                .payload(&payload)
                .build()
                .unwrap();
            ingest.push(&packet, NOW);
        }
    }

    /// Sequence numbers of the units that the camera gets.
    fn got(place: &Place) -> Vec<u16> {
        let units = std::iter::from_fn(|| place.take());
        units.map(|u| u16::from_be_bytes([u.bytes[5], u.bytes[6]])).collect()
    }

    #[test]
    fn after_a_loss_the_camera_gets_the_next_key_frame() {
        let (place, mut ingest) = place();
        send(&mut ingest, 1, 2..7);
        send(&mut ingest, 1, 9..14);
        assert_eq!(got(&place), [4, 5, 6, 12, 13]);
        assert_eq!(place.lost(), 3, "9 to 11; what came before 4 was never to be had");
    }

    #[test]
    fn an_encoder_that_begins_anew_is_heard() {
        let (place, mut ingest) = place();
        send(&mut ingest, 1, 40_000..40_002);
        // Another SSRC; its first unit is a key frame, and is not lost.
        send(&mut ingest, 2, 100..103);
        // The same, but with other numbers: whether its first unit is whole is not known.
        send(&mut ingest, 2, 60_000..60_006);
        assert_eq!(got(&place), [40_000, 40_001, 100, 101, 102, 60_004, 60_005]);
        // A stranger's packet in between is none of ours.
        send(&mut ingest, 2, 60_006..60_007);
        send(&mut ingest, 3, 60_008..60_009);
        send(&mut ingest, 2, 60_007..60_008);
        assert_eq!(got(&place), [60_006, 60_007]);
    }

    #[test]
    fn units_that_find_the_queue_full_are_counted() {
        let (place, mut ingest) = place();
        let room = u16::try_from(QUEUE).unwrap();
        send(&mut ingest, 1, 0..room + 3);
        assert_eq!(place.lost(), 3);
        assert_eq!(got(&place).len(), QUEUE);
        send(&mut ingest, 1, room + 3..room + 5);
        assert_eq!((got(&place), place.lost()), (vec![room + 4], 4));
    }
}
