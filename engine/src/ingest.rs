//! Streams that a publisher sends to us (ANNOUNCE and RECORD): RTP in, units out to a camera.

use crate::coded::CodedUnit;
use crate::publish::is_parameter_set;
use crate::rtp::h264::Depacketizer;
use crate::sdp::Announced;
use crate::syntax::sps::parse_sps;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, UtcMap};
use lensd_ffi::unit::{Codec, split_annex_b};
use parking_lot::Mutex;
use rtp_rs::RtpReader;
use std::collections::HashMap;
use std::sync::Arc;

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
    busy: Mutex<bool>,
}

impl Place {
    /// A place that only its maker knows.
    pub fn new(bell: Bell) -> Arc<Self> {
        let (sender, receiver) = bounded(QUEUE);
        Arc::new(Self { sender, receiver, bell, busy: Mutex::new(false) })
    }

    /// Begins to send units there; `None` if somebody does already.
    pub fn begin(self: &Arc<Self>, what: &Announced) -> Option<Ingest> {
        if std::mem::replace(&mut *self.busy.lock(), true) {
            return None;
        }
        Some(Ingest {
            place: Arc::clone(self),
            payload_type: what.payload_type,
            sets: what.sets.clone(),
            depacketizer: Depacketizer::default(),
            last_seq: None,
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

    /// Whether somebody publishes.
    pub fn is_busy(&self) -> bool {
        *self.busy.lock()
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
    last_seq: Option<u16>,
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
        let seq = u16::from(packet.sequence_number());
        let step = self.last_seq.map_or(1, |last| seq.wrapping_sub(last));
        // Late or repeated packets are not put back in order: TCP never makes them.
        if step == 0 || step > 0x8000 {
            return;
        }
        self.last_seq = Some(seq);
        let lost = step != 1;
        if lost {
            self.waits_for_key = true;
        }
        let unit = self.depacketizer.push(packet.payload(), packet.mark(), lost);
        if let Some(bytes) = unit {
            let capture = self.capture_time(packet.timestamp(), now);
            self.pass_on(bytes, capture);
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
            return;
        }
        (unit.width, unit.height) = self.size;
        unit.capture = UtcMap::measure().stamp(capture);
        unit.number = self.number;
        self.number += 1;
        match self.place.sender.try_send(unit) {
            Ok(()) => self.place.bell.ring(),
            // The camera's thread is behind by two seconds: go on at a key frame.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.waits_for_key = true,
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
        *self.place.busy.lock() = false;
        self.place.bell.ring();
    }
}
