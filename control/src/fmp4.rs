//! A stream as fragments of MP4, made once for all who play it.
//!
//! Each unit becomes a fragment as soon as it is there, and a WebSocket's frame; HLS leaves out the
//! frame's header. The frames since the last key frame are kept, so that who comes sees something
//! at once.

use crate::ws::{frame_binary, frame_text};
use lensd_ffi::mux::{Init, Muxer, Placed, TIMESCALE};
use lensd_ffi::region::Region;
use lensd_ffi::ring::{Missed, RingReader, UnitView};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::NalSpan;
use serde_json::json;
use std::sync::Arc;

/// A WebSocket's frame, for any number of clients.
pub(crate) type Frame = Arc<Vec<u8>>;

/// Most bytes that are kept for who comes; in a longer group he waits for the next key frame.
const MAX_GROUP: usize = 2 * 1024 * 1024;
/// Most fragments of a group likewise.
const MAX_FRAGMENTS: usize = 1024;
/// How old the newest unit of a ring may be for the stream to be a live one.
const FRESH: Nanos = Nanos::from_secs(2);
/// Units that are looked at in a row without one of use.
const MAX_SKIPS: usize = 4096;

/// A fragment that has just been made.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// The fragment.
    pub(crate) frame: Frame,
    /// Bytes of the frame's header, before those of the fragment.
    pub(crate) header: usize,
    /// Whether decoding can begin with it.
    pub(crate) key: bool,
    /// Where it lies in time.
    pub(crate) placed: Placed,
    /// When its picture was captured.
    pub(crate) capture: Stamp,
    /// The init segment that it is decoded by.
    pub(crate) init: Arc<Init>,
}

/// A stream's fragments.
#[derive(Debug)]
pub(crate) struct Broadcast {
    muxer: Muxer,
    /// The ring that is read, by its number.
    epoch: u64,
    /// The unit that is read next; none: the newest key frame.
    next: Option<u64>,
    /// Counts init segments.
    version: u64,
    init: Option<Beginning>,
    group: Vec<News>,
    group_bytes: usize,
    bytes: Vec<u8>,
    nals: Vec<NalSpan>,
}

/// What goes ahead of fragments.
#[derive(Debug, Clone)]
struct Beginning {
    init: Arc<Init>,
    frame: Frame,
    /// UTC at media time 0, in milliseconds since 1970.
    epoch_ms: f64,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self {
            muxer: Muxer::new(),
            epoch: 0,
            next: None,
            version: 0,
            init: None,
            group: Vec::new(),
            group_bytes: 0,
            bytes: Vec::new(),
            nals: Vec::new(),
        }
    }
}

impl Broadcast {
    /// The number of the init segment that holds now; none: there is none yet.
    pub(crate) fn version(&self) -> Option<u64> {
        self.init.as_ref().map(|_| self.version)
    }

    /// What goes ahead of fragments to a client who named the stream so: what it is, as a text, and
    /// the init segment. None: nobody knows yet.
    pub(crate) fn beginning(&self, named: &str) -> Option<[Frame; 2]> {
        let Beginning { init, frame, epoch_ms } = self.init.as_ref()?;
        let about = json!({
            "subscribed": "frames",
            "stream": named,
            "format": "mp4",
            "mime": init.mime,
            "width": init.width,
            "height": init.height,
            "timescale": TIMESCALE,
            "epoch_ms": epoch_ms,
        });
        Some([frame_text(&about.to_string()), Arc::clone(frame)])
    }

    /// The fragments from the last key frame on; none of them if they are too many.
    pub(crate) fn group(&self) -> &[News] {
        &self.group
    }

    /// Makes a fragment of the next unit in the stream's `epoch`th ring. None: it is not there yet.
    pub(crate) fn next(
        &mut self,
        reader: &RingReader<Region>,
        epoch: u64,
        now: Nanos,
    ) -> Option<News> {
        if self.epoch != epoch {
            (self.epoch, self.next) = (epoch, None);
            self.muxer.skip_to_key();
            self.forget_group();
        }
        for _ in 0..MAX_SKIPS {
            let seq = match self.next {
                Some(seq) => seq,
                None => begin(reader, now)?,
            };
            let read = reader.view(seq).and_then(|unit| self.read(reader, &unit).map(|()| unit));
            self.next = match read {
                Ok(_) => Some(seq + 1),
                Err(Missed::NotYet) => return None,
                // Lapped: on with the newest key frame, or with the one to come.
                Err(Missed::Overwritten | Missed::Corrupt) => {
                    self.muxer.skip_to_key();
                    let key = reader.newest_key().map(|unit| unit.seq).filter(|key| *key > seq);
                    Some(key.unwrap_or_else(|| reader.head().max(seq + 1)))
                }
            };
            let news = read.ok().and_then(|unit| self.push(&unit));
            if news.is_some() {
                return news;
            }
        }
        None
    }

    fn read(&mut self, reader: &RingReader<Region>, unit: &UnitView) -> Result<(), Missed> {
        self.bytes.clear();
        self.nals.clear();
        reader.nals(unit, &mut self.nals)?;
        reader.copy(unit, 0, unit.len, &mut self.bytes)
    }

    /// A fragment of the unit that was read, if one is made of it.
    fn push(&mut self, unit: &UnitView) -> Option<News> {
        let mut boxes = Vec::with_capacity(self.bytes.len() + 256);
        let muxed = match self.muxer.push(&unit.meta, &self.bytes, &self.nals, &mut boxes) {
            Ok(muxed) => muxed,
            Err(why) => {
                tracing::debug!("unit {} is no fragment: {why}", unit.seq);
                return None;
            }
        };
        if let Some(init) = self.muxer.init().filter(|_| muxed.new_init || self.init.is_none()) {
            self.version += 1;
            let epoch_ms = epoch_ms(unit.meta.capture);
            let frame = frame_binary(&[&init.bytes]);
            self.init = Some(Beginning { init: Arc::clone(init), frame, epoch_ms });
        }
        let init = Arc::clone(self.muxer.init()?);
        let frame = frame_binary(&[&boxes]);
        let header = frame.len() - boxes.len();
        let (key, placed, capture) = (muxed.key, muxed.placed, unit.meta.capture);
        let news = News { frame, header, key, placed, capture, init };
        if news.key {
            self.forget_group();
            if let Some(beginning) = &mut self.init {
                beginning.epoch_ms = epoch_ms(unit.meta.capture);
            }
        }
        let fits =
            self.group_bytes + news.frame.len() <= MAX_GROUP && self.group.len() < MAX_FRAGMENTS;
        if news.key || !self.group.is_empty() && fits {
            self.group_bytes += news.frame.len();
            self.group.push(news.clone());
        } else {
            self.forget_group();
        }
        Some(news)
    }

    fn forget_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
    }
}

/// Where reading begins: at the newest key frame of a stream that runs, else at what comes.
fn begin(reader: &RingReader<Region>, now: Nanos) -> Option<u64> {
    let newest = reader.view(reader.head().checked_sub(1)?).ok()?;
    if now.since(newest.meta.capture.mono) > FRESH {
        return None;
    }
    Some(reader.newest_key().map_or(newest.seq, |key| key.seq))
}

fn epoch_ms(capture: Stamp) -> f64 {
    let ns = i128::from(capture.utc.0) - i128::from(capture.mono.0);
    // To the microsecond: more does not fit a number of JavaScript.
    (ns / 1000) as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::ring::{Geometry, RingWriter};
    use lensd_ffi::unit::{Codec, UnitMeta};

    const SETS: [&[u8]; 2] = [
        &[
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
        ],
        &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0],
    ];

    struct Ring(RingWriter<Region>, RingReader<Region>);

    impl Ring {
        fn new() -> Self {
            let geometry = Geometry { slots: 16, bytes: 1 << 16 };
            let memory = Arc::new(Region::create("ring", geometry.words()).unwrap());
            let writer = RingWriter::create(memory, geometry);
            let reader = writer.reader();
            Self(writer, reader)
        }

        /// A unit at so many frames of 25 a second.
        fn write(&mut self, frame: u64, key: bool) {
            let slice: &[u8] = &[0x41, 0x9a, 1];
            let nals = if key { vec![SETS[0], SETS[1], &[0x65, 0x88, 1]] } else { vec![slice] };
            let mut at = 0;
            let spans: Vec<NalSpan> = nals
                .iter()
                .map(|nal| {
                    let len = u32::try_from(nal.len()).unwrap();
                    at += len;
                    NalSpan { offset: at - len, len }
                })
                .collect();
            let capture = Stamp { mono: Nanos::from_millis(1000 + 40 * frame), ..Stamp::default() };
            let meta = UnitMeta { codec: Codec::H264, key, capture, ..UnitMeta::default() };
            self.0.publish(&meta, &spans, &nals).unwrap();
        }
    }

    /// Which of the fragments that are there now are key frames.
    fn keys(video: &mut Broadcast, ring: &Ring, epoch: u64, frame: u64) -> Vec<bool> {
        let now = Nanos::from_millis(1000 + 40 * frame);
        std::iter::from_fn(|| video.next(&ring.1, epoch, now)).map(|news| news.key).collect()
    }

    #[test]
    fn it_begins_with_the_newest_group_and_keeps_it() {
        let (mut ring, mut video) = (Ring::new(), Broadcast::default());
        assert!(video.beginning("stream1").is_none());
        for frame in 0..7 {
            ring.write(frame, frame % 5 == 0);
        }
        assert_eq!(keys(&mut video, &ring, 1, 7), [true, false]);
        assert_eq!((video.group().len(), video.version()), (2, Some(1)));
        for frame in 7..12 {
            ring.write(frame, frame % 5 == 0);
        }
        assert_eq!(keys(&mut video, &ring, 1, 12), [false, false, false, true, false]);
        assert_eq!((video.group().len(), video.version()), (2, Some(1)), "the same init segment");
        assert!(video.beginning("stream1").is_some());
    }

    #[test]
    fn it_goes_on_with_a_key_frame_when_it_was_lapped_or_the_ring_is_another() {
        let (mut ring, mut video) = (Ring::new(), Broadcast::default());
        ring.write(0, true);
        assert_eq!(keys(&mut video, &ring, 1, 0), [true]);
        for frame in 1..40 {
            ring.write(frame, frame == 30);
        }
        let got = keys(&mut video, &ring, 1, 39);
        assert_eq!((got.len(), got[0]), (10, true), "from the newest key frame");
        let mut other = Ring::new();
        other.write(50, false);
        assert!(keys(&mut video, &other, 2, 50).is_empty());
        assert!(video.group().is_empty());
        other.write(51, true);
        assert_eq!(keys(&mut video, &other, 2, 51), [true]);
        assert_eq!(video.version(), Some(1));
    }

    #[test]
    fn what_a_stream_that_rested_has_left_is_not_live() {
        let (mut ring, mut video) = (Ring::new(), Broadcast::default());
        ring.write(0, true);
        assert!(keys(&mut video, &ring, 1, 1000).is_empty());
        ring.write(1000, true);
        assert_eq!(keys(&mut video, &ring, 1, 1000), [true]);
    }

    #[test]
    fn a_group_that_is_too_long_is_not_kept() {
        let (mut ring, mut video) = (Ring::new(), Broadcast::default());
        for frame in 0..=MAX_FRAGMENTS as u64 {
            ring.write(frame, frame == 0);
            assert_eq!(keys(&mut video, &ring, 1, frame).len(), 1);
            let kept = if frame < MAX_FRAGMENTS as u64 { frame + 1 } else { 0 };
            assert_eq!(video.group().len() as u64, kept);
        }
    }
}
