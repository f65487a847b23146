//! What a ring carries: one access unit of H.264 or H.265, or one JPEG picture, and what is known of it.

use crate::time::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// How a unit is coded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// ITU-T H.264, Annex B byte stream.
    #[default]
    H264,
    /// ITU-T H.265, Annex B byte stream.
    H265,
    /// A baseline JPEG picture.
    Jpeg,
}

impl Codec {
    pub(crate) const fn to_wire(self) -> u64 {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
            Self::Jpeg => 3,
        }
    }

    pub(crate) const fn from_wire(wire: u64) -> Option<Self> {
        match wire {
            1 => Some(Self::H264),
            2 => Some(Self::H265),
            3 => Some(Self::Jpeg),
            _ => None,
        }
    }

    /// The name that people and SDP (RFC 8866, `a=rtpmap`) use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Jpeg => "JPEG",
        }
    }
}

/// What samples mean: code points of ITU-T H.273. The default is that nobody knows, and limited
/// range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// `ColourPrimaries`
    pub primaries: u8,
    /// `TransferCharacteristics`
    pub transfer: u8,
    /// `MatrixCoefficients`
    pub matrix: u8,
    /// `VideoFullRangeFlag`: luma from 0 to 255 instead of 16 to 235.
    pub full_range: bool,
}

impl Colour {
    /// What lensd makes of RGB and of raw sensors: sRGB's colours by the matrix of BT.601 in limited
    /// range.
    pub const OURS: Self = Self { primaries: 1, transfer: 13, matrix: 6, full_range: false };
    /// JPEG files (JFIF): the same in full range.
    pub const JPEG: Self = Self { full_range: true, ..Self::OURS };
}

impl Default for Colour {
    fn default() -> Self {
        Self { primaries: 2, transfer: 2, matrix: 2, full_range: false }
    }
}

/// Where one NAL unit lies in its access unit: offset of its first byte (the NAL header, after the
/// start code) and length, in bytes. A JPEG has one entry that covers it whole.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct NalSpan {
    /// Offset from the first byte of the unit.
    pub offset: u32,
    /// Length without start code or trailing zeros.
    pub len: u32,
}

/// Most NAL units that a unit's table lists; a unit that has more is refused by the ring.
pub const MAX_NALS: usize = 512;

/// What is known of a unit besides its bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct UnitMeta {
    /// Coding.
    pub codec: Codec,
    /// Whether decoding can begin here (IDR or IRAP with parameter sets, any JPEG).
    pub key: bool,
    /// Picture width in pixels, 0 if unknown.
    pub width: u16,
    /// Picture height in pixels, 0 if unknown.
    pub height: u16,
    /// When the picture was captured.
    pub capture: Stamp,
    /// When encoding was done.
    pub encoded: Nanos,
    /// The source's own frame number, counted from 0 since it was opened.
    pub frame: u64,
}

/// Finds the NAL units of an Annex B byte stream (H.264 Annex B.1) and appends their spans.
///
/// Start codes may have three or four bytes; zero bytes before a start code belong to none.
/// Bytes before the first start code are ignored.
pub fn split_annex_b(bytes: &[u8], spans: &mut Vec<NalSpan>) {
    let mut open: Option<usize> = None;
    let mut i = 0;
    while let Some(at) = next_start_code(bytes, i) {
        if let Some(from) = open {
            push_nal(bytes, from, at, spans);
        }
        open = Some(at + 3);
        i = at + 3;
    }
    if let Some(from) = open {
        push_nal(bytes, from, bytes.len(), spans);
    }
}

fn push_nal(bytes: &[u8], from: usize, mut to: usize, spans: &mut Vec<NalSpan>) {
    // trailing_zero_8bits and the fourth byte of a long start code (B.1.1) are not part of the NAL.
    while to > from && bytes[to - 1] == 0 {
        to -= 1;
    }
    if to > from
        && let (Ok(offset), Ok(len)) = (u32::try_from(from), u32::try_from(to - from))
    {
        spans.push(NalSpan { offset, len });
    }
}

/// The position of the next `00 00 01` at or after `from`.
fn next_start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    while i + 3 <= bytes.len() {
        // The third byte tells how far no start code can begin.
        match bytes[i + 2] {
            0 => i += 1,
            1 if bytes[i] == 0 && bytes[i + 1] == 0 => return Some(i),
            _ => i += 3,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Vec<&[u8]> {
        let mut spans = Vec::new();
        split_annex_b(bytes, &mut spans);
        spans.iter().map(|s| &bytes[s.offset as usize..(s.offset + s.len) as usize]).collect()
    }

    #[test]
    fn three_and_four_byte_start_codes_and_trailing_zeros() {
        let bytes = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(split(&bytes), [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 9]]);
    }

    #[test]
    fn nothing_without_a_start_code() {
        assert!(split(&[1, 2, 3]).is_empty());
        assert!(split(&[0, 0, 1]).is_empty());
        assert!(split(&[]).is_empty());
    }

    #[test]
    fn every_start_code_is_found_by_a_naive_search_too() {
        // All strings of length 9 over {0, 1, 2}: the skipping search must agree with the plain one.
        for n in 0..3usize.pow(9) {
            let bytes: Vec<u8> =
                (0..9u32).map(|d| u8::try_from(n / 3usize.pow(d) % 3).unwrap()).collect();
            for from in 0..9 {
                let naive = (from..7).find(|&i| bytes[i..i + 3] == [0, 0, 1]);
                assert_eq!(next_start_code(&bytes, from), naive, "{bytes:?} from {from}");
            }
        }
    }
}
