//! A fragment: `moof` and `mdat`, and before them `prft` with the time of day.

use super::Skipped;
use super::sets::{Kind, nals_of};
use crate::unit::{Codec, NalSpan};
use mp4_atom::{
    Encode, FourCC, Header, Mfhd, Moof, Prft, ReferenceTime, Tfdt, Tfhd, Traf, Trun, TrunEntry,
};

/// The only track.
pub(super) const TRACK: u32 = 1;

/// `sample_depends_on` 2: on no other (ISO/IEC 14496-12 8.8.3.1).
const KEY: u32 = 0x0200_0000;
/// `sample_depends_on` 1: on others; `sample_is_non_sync_sample`.
const OTHER: u32 = 0x0101_0000;

/// A coded unit and its place in time.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// How it is coded.
    pub codec: Codec,
    /// Its bytes, as in the ring.
    pub bytes: &'a [u8],
    /// Where its NAL units lie. Parameter sets and filler are left out of the sample. Of no
    /// meaning for a JPEG, which is stored as it is.
    pub nals: &'a [NalSpan],
    /// Whether decoding can begin here.
    pub key: bool,
    /// Ticks until the next sample is decoded.
    pub duration: u32,
    /// Presentation time less decode time, in ticks.
    pub offset: i32,
}

impl Sample<'_> {
    fn content(&self) -> impl Iterator<Item = &[u8]> {
        nals_of(self.bytes, self.nals).filter(|nal| Kind::of(self.codec, nal) == Kind::Content)
    }

    /// Appends what becomes of it in a file.
    fn append(&self, out: &mut Vec<u8>) -> Result<(), Skipped> {
        if self.codec == Codec::Jpeg {
            out.extend_from_slice(self.bytes);
            return Ok(());
        }
        for nal in self.content() {
            let length = u32::try_from(nal.len()).map_err(|_| Skipped::TooLong)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(nal);
        }
        Ok(())
    }

    /// Bytes with a length before each NAL unit; of a JPEG, its own.
    fn size(&self) -> Result<u32, Skipped> {
        if self.codec == Codec::Jpeg {
            let size = u32::try_from(self.bytes.len()).map_err(|_| Skipped::TooLong)?;
            return if size == 0 { Err(Skipped::Empty) } else { Ok(size) };
        }
        let size = self.content().map(|nal| 4 + nal.len()).sum::<usize>();
        // A span outside the unit would silently be missing from the picture.
        let whole = nals_of(self.bytes, self.nals).count() == self.nals.len();
        if size == 0 || !whole {
            return Err(Skipped::Empty);
        }
        u32::try_from(size).map_err(|_| Skipped::TooLong)
    }
}

/// What the clock said (`prft`, ISO/IEC 14496-12 8.16.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// When the fragment's first picture was captured, as an NTP time stamp.
    pub ntp: u64,
    /// Its presentation time, in ticks.
    pub time: u64,
}

/// Appends a fragment of `samples`, the first of which is decoded at `decode`, to `out`.
///
/// # Errors
/// [`Skipped`], and `out` is as it was.
pub fn fragment(
    sequence: u32,
    decode: u64,
    reference: Option<Reference>,
    samples: &[Sample<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Skipped> {
    let kept = out.len();
    let written = write(sequence, decode, reference, samples, out);
    if written.is_err() {
        out.truncate(kept);
    }
    written
}

fn write(
    sequence: u32,
    decode: u64,
    reference: Option<Reference>,
    samples: &[Sample<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Skipped> {
    let mut entries = Vec::with_capacity(samples.len());
    let mut length = 0_usize;
    for sample in samples {
        let size = sample.size()?;
        length += size as usize;
        entries.push(TrunEntry {
            duration: Some(sample.duration),
            size: Some(size),
            flags: Some(if sample.key || sample.codec == Codec::Jpeg { KEY } else { OTHER }),
            cts: Some(sample.offset.into()),
        });
    }
    if entries.is_empty() {
        return Err(Skipped::Empty);
    }
    // With its header of 8 bytes, and far enough from where an offset of 32 bits ends.
    if length > i32::MAX as usize - 65_536 {
        return Err(Skipped::TooLong);
    }
    let failed = |_| Skipped::TooLong;
    if let Some(reference) = reference {
        let prft = Prft {
            reference_track_id: TRACK,
            ntp_timestamp: reference.ntp,
            media_time: reference.time,
            utc_time_semantics: ReferenceTime::RealTime,
        };
        prft.encode(out).map_err(failed)?;
    }
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number: sequence },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: decode }),
            trun: vec![Trun { data_offset: Some(0), samples: entries.into() }],
            ..Traf::default()
        }],
    };
    // The offset of the bytes counts from the box that says it, so its length must be known first.
    let begin = out.len();
    moof.encode(out).map_err(failed)?;
    let offset = i32::try_from(out.len() - begin + 8).map_err(|_| Skipped::TooLong)?;
    out.truncate(begin);
    moof.traf[0].trun[0].data_offset = Some(offset);
    moof.encode(out).map_err(failed)?;
    out.reserve(length + 8);
    Header { kind: FourCC::new(b"mdat"), size: Some(length) }.encode(out).map_err(failed)?;
    for sample in samples {
        sample.append(out)?;
    }
    Ok(())
}
