//! Fragmented MP4 (ISO/IEC 14496-12, 14496-15, CMAF 23000-19): coded units in, boxes out.
//!
//! Pure: no file, no clock, no socket. One track of H.264 (`avc1`) or H.265 (`hvc1`), whose
//! parameter sets stand in the init segment and in no sample; everything else of a unit is kept,
//! also its SEI messages. [`Muxer`] makes a fragment of each unit as it comes, for live use;
//! [`fragment()`] makes one of any number of samples whose durations are known.
//!
//! Presentation times are capture times (`CLOCK_MONOTONIC`) in ticks of 90 kHz. Decode times follow
//! each other without a gap, as CMAF has it: a fragment that is sent at once can only predict when
//! the next picture will come, and the composition offset of that one says how it really was
//! ([`Timeline`]).

mod boxes;
mod fragment;
mod init;
mod movie;
mod recording;
mod scan;
mod sets;
mod timeline;
mod track;
mod whole;

pub use fragment::{Reference, Sample, fragment};
pub use init::Init;
pub use recording::{SEAL, begin, sealed, whole_lid};
pub use scan::{End, Form, Fragment, Header, Next, ReadAt, Sampled, Scanner, Unreadable};
pub use timeline::{Placed, TIMESCALE, Timeline, ticks};
pub use track::Track;
pub use whole::{TooMany, Whole, same_samples};

use crate::unit::{Codec, NalSpan, UnitMeta};
use std::sync::Arc;

/// Why a unit became no fragment, or a sample no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// It is not H.264 or H.265.
    NotVideo,
    /// Decoding cannot begin with it, and nothing was begun, or was and its parameter sets are over.
    WaitsForKey,
    /// A key frame without parameter sets, or with some that say nothing sensible.
    NoSets,
    /// It has no NAL units but parameter sets and filler, or one outside its bytes.
    Empty,
    /// Longer than a box can be.
    TooLong,
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotVideo => "only H.264 and H.265 go into MP4 here",
            Self::WaitsForKey => "waiting for a key frame",
            Self::NoSets => "a key frame without parameter sets that can be read",
            Self::Empty => "a unit without a coded picture, or with a NAL unit outside of it",
            Self::TooLong => "a unit is longer than a box can be",
        })
    }
}

impl std::error::Error for Skipped {}

/// What was made of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Muxed {
    /// Whether the init segment is another one than before: it goes ahead of this fragment.
    pub new_init: bool,
    /// Whether decoding can begin with this fragment.
    pub key: bool,
    /// Where it lies in time, in ticks of [`TIMESCALE`].
    pub placed: Placed,
}

/// Makes a fragment (`prft`, `moof`, `mdat`) of each unit of a stream, at once.
#[derive(Debug, Default)]
pub struct Muxer {
    track: Track,
    timeline: Timeline,
    /// Number of the last fragment (`mfhd`).
    sequence: u32,
}

impl Muxer {
    /// Waits for its first key frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The init segment of the last fragment; none before the first.
    pub const fn init(&self) -> Option<&Arc<Init>> {
        self.track.init()
    }

    /// Units are missing between the last and the next: the stream goes on with a key frame.
    pub const fn skip_to_key(&mut self) {
        self.track.skip_to_key();
    }

    /// Appends the fragment of a unit to `out`. `nals` are the spans of its NAL units.
    ///
    /// # Errors
    /// [`Skipped`], and `out` is as it was.
    pub fn push(
        &mut self,
        meta: &UnitMeta,
        bytes: &[u8],
        nals: &[NalSpan],
        out: &mut Vec<u8>,
    ) -> Result<Muxed, Skipped> {
        if meta.codec == Codec::Jpeg {
            return Err(Skipped::NotVideo);
        }
        let init = self.track.take(meta, bytes, nals)?;
        let mut timeline = self.timeline.clone();
        let capture = ticks(meta.capture.mono);
        let placed = timeline.place(capture, meta.key);
        let sample = Sample {
            codec: meta.codec,
            bytes,
            nals,
            key: meta.key,
            duration: placed.duration,
            offset: placed.offset,
        };
        let reference = Reference { ntp: meta.capture.utc.ntp64(), time: capture };
        let sequence = self.sequence.wrapping_add(1);
        fragment(sequence, placed.decode, Some(reference), &[sample], out)?;
        (self.timeline, self.sequence) = (timeline, sequence);
        let new_init = self.track.go_on(init);
        Ok(Muxed { new_init, key: meta.key, placed })
    }
}

#[cfg(test)]
pub(crate) mod tests;
