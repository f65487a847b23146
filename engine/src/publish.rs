//! A stream as the rest of the engine knows it: its ring, who wants it, and what it has done.
//!
//! The camera's thread holds the [`Publisher`], the only writer. Everybody else holds the
//! [`Stream`]: it reads the ring, says that it wants the stream or a key frame, and is woken by a
//! bell. The writer never waits for any of them.

mod latency;
mod order;
mod recent;

pub use latency::Stage;
pub use recent::Recent;

use crate::coded::CodedUnit;
use crate::syntax::sei::{self, SeiNal};
use latency::Latency;
use lensd_ffi::bell::Bell;
use lensd_ffi::region::Region;
use lensd_ffi::ring::{Geometry, Refused, RingReader, RingWriter};
use lensd_ffi::state::StreamState;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::{Codec, NalSpan, UnitMeta};
use order::Order;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Which of a camera's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Full size.
    Main,
    /// Scaled down.
    Sub,
    /// JPEG pictures.
    Mjpeg,
}

impl Kind {
    /// The last part of the stream's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
            Self::Mjpeg => "mjpeg",
        }
    }
}

/// What a decoder must know before the first picture, for SDP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Coding.
    pub codec: Codec,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// VPS (H.265), SPS and PPS in this order, without start codes.
    pub sets: Vec<Vec<u8>>,
}

/// A stream's ring and what belongs to it.
pub struct Stream {
    /// `cam1/main` and the like.
    pub name: String,
    /// Camera number, from 1.
    pub camera: u32,
    /// Which of the camera's streams.
    pub kind: Kind,
    region: Arc<Region>,
    reader: RingReader<Region>,
    readers: AtomicU32,
    key_wanted: AtomicBool,
    bells: Mutex<Vec<(u64, Bell)>>,
    camera_bell: Bell,
    quality_wanted: AtomicU32,
    /// JPEG quality; 0: as configured.
    quality: AtomicU32,
    parameters: Mutex<Option<Arc<Parameters>>>,
    figures: Mutex<Figures>,
    /// When the newest units came into the ring, by their numbers.
    published: Mutex<VecDeque<(u64, Nanos)>>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.name)
    }
}

/// Why what is wished of a stream's pictures is not done; empty texts: it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// Of what is done to pictures ([`crate::finish::Finish`]).
    pub finish: String,
    /// Of how the encoder spends bits ([`crate::style::Style`]).
    pub style: String,
}

#[derive(Default)]
struct Figures {
    codec: Codec,
    width: u16,
    height: u16,
    units: u64,
    keys: u64,
    bytes: u64,
    /// Capture time and size of the units of the last two seconds.
    recent: VecDeque<(Nanos, usize)>,
    copied_pixel_bytes: u64,
    pipeline: String,
    error: String,
    /// Why the camera is away; empty while it is there.
    away: String,
    /// Whether something else is shown meanwhile.
    covered: bool,
    refusals: Refusals,
    latency: Latency,
    order: Order,
    reorders: bool,
    /// Whether it is as the camera codes it.
    passed: bool,
}

/// Over how long frame rate and bit rate are measured.
const WINDOW: Nanos = Nanos::from_secs(2);
/// Most units in that window that are remembered.
const MAX_RECENT: usize = 512;
/// Units of which it is remembered when they came into the ring. A reader that is farther behind
/// measures nothing but itself.
const MAX_PUBLISHED: usize = 64;

/// The size of a ring for a stream of this rate: eight seconds of it, within bounds, so that a
/// group of pictures fits well into the half that may be lent to the kernel.
pub fn geometry_for(bitrate: u32) -> Geometry {
    let bytes = (bitrate as usize).clamp(4 << 20, 64 << 20).next_power_of_two();
    Geometry { slots: 1024, bytes }
}

impl Stream {
    /// Makes a stream with an empty ring. `camera_bell` wakes the camera's thread.
    ///
    /// # Errors
    /// When there is no shared memory to be had.
    pub fn create(
        camera: u32,
        kind: Kind,
        codec: Codec,
        geometry: Geometry,
        camera_bell: Bell,
    ) -> io::Result<(Arc<Self>, Publisher)> {
        let name = format!("cam{camera}/{}", kind.name());
        let region = Arc::new(Region::create(&name, geometry.words())?);
        let writer = RingWriter::create(Arc::clone(&region), geometry);
        let stream = Arc::new(Self {
            name,
            camera,
            kind,
            reader: writer.reader(),
            region,
            readers: AtomicU32::new(0),
            key_wanted: AtomicBool::new(false),
            bells: Mutex::default(),
            camera_bell,
            quality_wanted: AtomicU32::new(0),
            quality: AtomicU32::new(0),
            parameters: Mutex::default(),
            figures: Mutex::new(Figures { codec, ..Figures::default() }),
            published: Mutex::default(),
        });
        let publisher =
            Publisher { stream: Arc::clone(&stream), writer, broken: None, spans: Vec::new() };
        Ok((stream, publisher))
    }

    /// The ring.
    pub const fn ring(&self) -> &RingReader<Region> {
        &self.reader
    }

    /// The ring's memory, for other processes.
    pub const fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Asks for a key frame as soon as possible.
    pub fn want_key(&self) {
        self.key_wanted.store(true, Ordering::Release);
        self.camera_bell.ring();
    }

    /// Takes the wish for a key frame. For the camera's thread.
    pub fn take_key_wanted(&self) -> bool {
        self.key_wanted.swap(false, Ordering::AcqRel)
    }

    /// Sets the JPEG quality (1 to 100) from the next picture on.
    pub fn set_quality(&self, quality: u8) {
        self.quality.store(quality.into(), Ordering::Relaxed);
    }

    /// The JPEG quality that was set; none: as configured.
    pub fn quality(&self) -> Option<u8> {
        u8::try_from(self.quality.load(Ordering::Relaxed)).ok().filter(|q| *q > 0)
    }

    /// Asks for the next picture in another JPEG quality (1 to 100) than the stream's.
    pub fn want_quality(&self, quality: u8) {
        self.quality_wanted.store(quality.into(), Ordering::Release);
    }

    /// Takes that wish. For the camera's thread.
    pub fn take_quality(&self) -> Option<u8> {
        u8::try_from(self.quality_wanted.swap(0, Ordering::AcqRel)).ok().filter(|q| *q > 0)
    }

    /// Whether anybody reads it.
    pub fn is_wanted(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// What SDP needs, once a key frame was published.
    pub fn parameters(&self) -> Option<Arc<Parameters>> {
        self.parameters.lock().clone()
    }

    /// What comes next will be coded otherwise: nobody is told what was until then.
    pub fn forget_parameters(&self) {
        *self.parameters.lock() = None;
    }

    /// Coding of the newest unit, or the one it was made for.
    pub fn codec(&self) -> Codec {
        self.figures.lock().codec
    }

    /// Says how frames get here, in words.
    pub fn describe(&self, pipeline: &str) {
        let mut figures = self.figures.lock();
        if figures.pipeline != pipeline {
            pipeline.clone_into(&mut figures.pipeline);
        }
    }

    /// Notes whether the stream is passed through as the camera codes it.
    pub fn set_passed(&self, passed: bool) {
        self.figures.lock().passed = passed;
    }

    /// Whether it is: then no setting of ours changes its coding.
    pub fn is_passed(&self) -> bool {
        self.figures.lock().passed
    }

    /// Whether pictures are decoded before others that are shown earlier, as far as their captures
    /// tell.
    pub fn reorders(&self) -> bool {
        self.figures.lock().reorders
    }

    /// Notes the encoder's fault, or with an empty text that it works.
    pub fn set_error(&self, error: &str) {
        let mut figures = self.figures.lock();
        if figures.error != error {
            error.clone_into(&mut figures.error);
        }
    }

    /// Notes why wishes are not done.
    pub fn set_refusals(&self, refusals: Refusals) {
        self.figures.lock().refusals = refusals;
    }

    /// Notes why the encoder does not spend bits as is wished.
    pub fn set_style_refusal(&self, why: String) {
        self.figures.lock().refusals.style = why;
    }

    /// Why wishes are not done.
    pub fn refusals(&self) -> Refusals {
        self.figures.lock().refusals.clone()
    }

    /// Notes why the camera is away, or with an empty text that it is there. `covered`: whether
    /// another picture is shown meanwhile.
    pub fn set_away(&self, why: &str, covered: bool) {
        let mut figures = self.figures.lock();
        if figures.away != why {
            why.clone_into(&mut figures.away);
            figures.error.clear();
        }
        figures.covered = covered;
    }

    /// Why the camera is away; none while it is there.
    pub fn away(&self) -> Option<String> {
        let figures = self.figures.lock();
        (!figures.away.is_empty()).then(|| figures.away.clone())
    }

    /// The same, if nothing is shown meanwhile.
    pub fn silent(&self) -> Option<String> {
        let figures = self.figures.lock();
        (!figures.away.is_empty() && !figures.covered).then(|| figures.away.clone())
    }

    /// Notes how many picture bytes the processor has copied for this stream so far.
    pub fn set_copied(&self, bytes: u64) {
        self.figures.lock().copied_pixel_bytes = bytes;
    }

    /// Work on the frame of this number begins.
    pub fn note_taken(&self, number: u64, at: Nanos) {
        self.figures.lock().latency.take(number, at);
    }

    /// That frame is ready for the encoder.
    pub fn note_ready(&self, at: Nanos) {
        self.figures.lock().latency.ready(at);
    }

    /// What a stage took each of some readers, until `at`.
    pub fn note_spans(&self, stage: Stage, spans: &[Nanos], at: Nanos) {
        self.figures.lock().latency.note_spans(stage, spans, at);
    }

    /// When the unit of this number came into the ring; none of one that is long ago.
    pub fn published_at(&self, seq: u64) -> Option<Nanos> {
        self.published.lock().iter().rev().find(|(s, _)| *s == seq).map(|(_, at)| *at)
    }

    fn note_published(&self, seq: u64, at: Nanos) {
        let mut published = self.published.lock();
        if published.len() >= MAX_PUBLISHED {
            published.pop_front();
        }
        published.push_back((seq, at));
    }

    /// Rings all bells, e.g. when something else than a new unit happened.
    pub fn ring_bells(&self) {
        for (_, bell) in self.bells.lock().iter() {
            bell.ring();
        }
    }

    /// The state that others see, at `now`.
    #[expect(clippy::cast_precision_loss, reason = "counts of two seconds")]
    pub fn state(&self, now: Nanos) -> StreamState {
        let mut figures = self.figures.lock();
        figures.forget_before(now);
        let span = WINDOW.0 as f64 / 1e9;
        let recent_bytes: usize = figures.recent.iter().map(|r| r.1).sum();
        let fps = match (figures.recent.front(), figures.recent.back()) {
            (Some(first), Some(last)) if last.0 > first.0 => {
                (figures.recent.len() - 1) as f64 / (last.0.since(first.0).0 as f64 / 1e9)
            }
            _ => 0.0,
        };
        let latency = figures.latency.figures();
        let mut state = StreamState {
            name: self.name.clone(),
            camera: self.camera,
            codec: figures.codec,
            running: !figures.recent.is_empty(),
            width: figures.width.into(),
            height: figures.height.into(),
            fps: (fps * 100.0).round() / 100.0,
            bitrate: (recent_bytes as f64 * 8.0 / span) as u64,
            units: figures.units,
            keys: figures.keys,
            bytes: figures.bytes,
            readers: self.readers.load(Ordering::Relaxed),
            copied_pixel_bytes: figures.copied_pixel_bytes,
            pipeline: figures.pipeline.clone(),
            error: if figures.away.is_empty() { &figures.error } else { &figures.away }.clone(),
            stages: Vec::new(),
        };
        drop(figures);
        state.stages = latency.sum_up();
        state
    }
}

impl Figures {
    fn forget_before(&mut self, now: Nanos) {
        let oldest = Nanos(now.0.saturating_sub(WINDOW.0));
        while self.recent.front().is_some_and(|r| r.0 < oldest) || self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
    }
}

/// A wish to read a stream: as long as it exists the stream runs, and `bell` is rung at each unit.
#[derive(Debug)]
pub struct Subscription {
    stream: Arc<Stream>,
    id: u64,
}

impl Subscription {
    /// Subscribes.
    pub fn new(stream: &Arc<Stream>, bell: Bell) -> Self {
        let mut bells = stream.bells.lock();
        let id = bells.iter().map(|b| b.0).max().map_or(0, |n| n + 1);
        bells.push((id, bell));
        drop(bells);
        if stream.readers.fetch_add(1, Ordering::AcqRel) == 0 {
            stream.camera_bell.ring();
        }
        Self { stream: Arc::clone(stream), id }
    }

    /// The stream.
    pub const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.bells.lock().retain(|b| b.0 != self.id);
        if self.stream.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stream.camera_bell.ring();
        }
    }
}

/// Going over to another stream, when another camera is the active one: at the first key frame that
/// comes there and is newer than all that was sent, so that no picture is followed by an older one.
#[derive(Debug, Default)]
pub struct Switch(Option<(Subscription, u64)>);

impl Switch {
    /// Goes over from `now` to `stream`, or stays where that is the same.
    pub fn to(&mut self, now: &Arc<Stream>, stream: &Arc<Stream>, bell: Bell) {
        self.0 = (!Arc::ptr_eq(now, stream)).then(|| {
            stream.want_key();
            (Subscription::new(stream, bell), stream.ring().head())
        });
    }

    /// The other stream and its key frame's number, once that is there. `sent`: the capture time of
    /// the newest picture that was sent.
    pub fn due(&mut self, sent: Nanos) -> Option<(Subscription, u64)> {
        let (subscription, from) = self.0.as_ref()?;
        let key = subscription.stream().ring().newest_key()?;
        if key.seq < *from || key.meta.capture.mono <= sent {
            return None;
        }
        self.0.take().map(|(subscription, _)| (subscription, key.seq))
    }
}

/// The only writer of a stream.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    writer: RingWriter<Region>,
    /// Why a unit was left out to which those up to the next key frame refer.
    broken: Option<Refused>,
    /// Reused for units that get a SEI.
    spans: Vec<NalSpan>,
}

impl Publisher {
    /// The stream.
    pub const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Publishes a unit, with a capture SEI put in where it belongs, and wakes the readers.
    ///
    /// # Errors
    /// When the ring refuses it. What follows would refer to a unit that nobody has, so it is left
    /// out as well, with the same error, up to the next key frame, which is asked for.
    pub fn publish(&mut self, unit: &CodedUnit, sei: Option<&SeiNal>) -> Result<u64, Refused> {
        if !unit.key
            && let Some(refused) = &self.broken
        {
            // Again and again: the encoder may have made one meanwhile that was refused, too.
            self.stream.key_wanted.store(true, Ordering::Release);
            return Err(*refused);
        }
        let meta = UnitMeta {
            codec: unit.codec,
            key: unit.key,
            width: u16::try_from(unit.width).unwrap_or(0),
            height: u16::try_from(unit.height).unwrap_or(0),
            capture: unit.capture,
            encoded: now(),
            frame: unit.number,
        };
        let published = match sei {
            None => self.writer.publish(&meta, &unit.nals, &[&unit.bytes]),
            Some(sei) => {
                self.spans.clone_from(&unit.nals);
                let parts = sei::insert(unit.codec, &unit.bytes, &mut self.spans, sei);
                self.writer.publish(&meta, &self.spans, &parts)
            }
        };
        let seq = match published {
            Ok(seq) => seq,
            Err(refused) => {
                self.stream.key_wanted.store(true, Ordering::Release);
                self.stream.set_error(&refused.to_string());
                self.broken = Some(refused);
                return Err(refused);
            }
        };
        self.broken = None;
        let published = now();
        self.stream.note_published(seq, published);
        // Before the bells: whoever waits to describe the stream is woken by them.
        if meta.key {
            self.note_parameters(unit);
        }
        self.stream.ring_bells();
        let extra = sei.map_or(0, |s| s.bytes().len());
        let mut figures = self.stream.figures.lock();
        figures.latency.note(unit.number, meta.capture.mono, meta.encoded, published);
        figures.codec = meta.codec;
        (figures.width, figures.height) = (meta.width, meta.height);
        figures.units += 1;
        figures.keys += u64::from(meta.key);
        figures.bytes += (unit.bytes.len() + extra) as u64;
        figures.order.note(meta.capture.mono);
        figures.reorders = figures.order.reorders(figures.reorders);
        figures.recent.push_back((meta.encoded, unit.bytes.len() + extra));
        figures.forget_before(meta.encoded);
        Ok(seq)
    }

    fn note_parameters(&self, unit: &CodedUnit) {
        let sets: Vec<Vec<u8>> = unit
            .nals
            .iter()
            .filter_map(|n| unit.bytes.get(n.offset as usize..(n.offset + n.len) as usize))
            .filter(|nal| is_parameter_set(unit.codec, nal))
            .map(<[u8]>::to_vec)
            .collect();
        let parameters = Parameters {
            codec: unit.codec,
            width: u16::try_from(unit.width).unwrap_or(0),
            height: u16::try_from(unit.height).unwrap_or(0),
            sets,
        };
        let mut known = self.stream.parameters.lock();
        // A key frame that repeats none is decoded with those before; SDP must not lose them.
        let same = |k: &Parameters| k.codec == parameters.codec && k.width == parameters.width;
        if parameters.sets.is_empty() && known.as_deref().is_some_and(same) {
            return;
        }
        if known.as_deref() != Some(&parameters) {
            *known = Some(Arc::new(parameters));
        }
    }
}

/// Whether a NAL unit is a parameter set (H.264 table 7-1, H.265 table 7-1).
pub fn is_parameter_set(codec: Codec, nal: &[u8]) -> bool {
    match (codec, nal.first()) {
        (Codec::H264, Some(b)) => matches!(b & 0x1f, 7 | 8),
        (Codec::H265, Some(b)) => matches!(b >> 1 & 0x3f, 32..=34),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::unit::split_annex_b;

    fn unit(nals: &[&[u8]]) -> CodedUnit {
        let mut unit = CodedUnit { key: true, width: 640, height: 360, ..CodedUnit::default() };
        for nal in nals {
            unit.bytes.extend_from_slice(&[0, 0, 0, 1]);
            unit.bytes.extend_from_slice(nal);
        }
        split_annex_b(&unit.bytes, &mut unit.nals);
        unit
    }

    fn stream() -> (Arc<Stream>, Publisher) {
        let geometry = Geometry { slots: 16, bytes: 4096 };
        Stream::create(1, Kind::Main, Codec::H264, geometry, Bell::new().unwrap()).unwrap()
    }

    #[test]
    fn subscriptions_wake_and_are_counted() {
        let (stream, mut publisher) = stream();
        assert!(!stream.is_wanted());
        let bell = Bell::new().unwrap();
        let subscription = Subscription::new(&stream, bell.try_clone().unwrap());
        assert!(stream.is_wanted());
        let seq = publisher.publish(&unit(&[&[0x67, 1], &[0x68, 2], &[0x65, 3]]), None).unwrap();
        assert!(bell.take());
        let encoded = stream.ring().view(seq).unwrap().meta.encoded;
        assert!(stream.published_at(seq).is_some_and(|at| at >= encoded && at <= now()));
        assert_eq!(stream.published_at(seq + 1), None);
        drop(subscription);
        assert!(!stream.is_wanted());
        publisher.publish(&unit(&[&[0x65, 3]]), None).unwrap();
        assert!(!bell.take());
        let parameters = stream.parameters().unwrap();
        assert_eq!(parameters.sets.len(), 2, "the second key frame had none of its own");
    }

    #[test]
    fn behind_a_unit_that_was_refused_nothing_goes_before_a_key_frame() {
        let (stream, mut publisher) = stream();
        let small = |key| CodedUnit { key, ..unit(&[&[0x41, 1]]) };
        let large = CodedUnit { key: false, ..unit(&[&[0x41; 2000]]) };
        publisher.publish(&small(true), None).unwrap();
        assert!(!stream.take_key_wanted());
        let refused = publisher.publish(&large, None).unwrap_err();
        assert!(matches!(refused, Refused::TooLarge { .. }));
        for _ in 0..2 {
            assert!(stream.take_key_wanted());
            assert_eq!(publisher.publish(&small(false), None), Err(refused));
        }
        assert_eq!(stream.ring().head(), 1);
        publisher.publish(&small(true), None).unwrap();
        publisher.publish(&small(false), None).unwrap();
        assert_eq!(stream.ring().head(), 3);
    }

    #[test]
    fn that_a_camera_is_away_outlives_an_encoder_that_works() {
        let (stream, _publisher) = stream();
        assert_eq!(stream.away(), None);
        stream.set_away("unplugged", true);
        stream.set_error("");
        assert_eq!(stream.state(now()).error, "unplugged");
        assert_eq!((stream.away().as_deref(), stream.silent()), (Some("unplugged"), None));
        stream.set_away("unplugged", false);
        assert_eq!(stream.silent().as_deref(), Some("unplugged"));
        stream.set_away("", false);
        assert_eq!((stream.away(), stream.state(now()).error), (None, String::new()));
    }
}
