//! The form of recordings: what their writer appends, and when they are done, overwrites.
//!
//! | | |
//! |---|---|
//! | `ftyp` | |
//! | `free` of 16 bytes, the *lid* | becomes, when the file is done, the header of an `mdat` up to the last `moov` |
//! | `moov` | of an init segment |
//! | `uuid` of 32 bytes, the *seal* | [`SEAL`], then CRC-32 (IEEE) and length of the three boxes that follow, big-endian |
//! | `prft`, `moof`, `mdat` | a fragment; with its seal, as often as need be |
//! | `moov` | with the tables of all samples, when the file is done |
//!
//! So a file that is being written is a fragmented one, which plays up to its last fragment, and one
//! that is done is an ordinary one, with an index, in which that header hides all other boxes; no
//! sample moves. A fragment is there when its seal is right: so what a power cut tore is found by
//! reading the last fragment, not the whole file.

use super::fragment::{Reference, Sample, fragment};
use super::{Init, Skipped};

/// The type of the `uuid` box ahead of each fragment (ISO/IEC 14496-12 4.2).
pub const SEAL: [u8; 16] = *b"lensd-fragment-1";

/// Bytes of a seal: header, type, CRC, length.
pub(super) const SEAL_SIZE: usize = 32;
/// Bytes of the lid.
pub(super) const LID_SIZE: usize = 16;

/// The lid of a file that is being written.
pub(super) const OPEN_LID: [u8; LID_SIZE] =
    [0, 0, 0, 16, b'f', b'r', b'e', b'e', 0, 0, 0, 0, 0, 0, 0, 0];

/// The lid of a file that is done: a header of `mdat` with a size of 64 bits, of all from itself up to the last `moov`.
pub fn whole_lid(size: u64) -> [u8; LID_SIZE] {
    let mut lid = [0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 0, 0, 0, 0, 0];
    lid[8..].copy_from_slice(&size.to_be_bytes());
    lid
}

/// Appends what a recording begins with to `out`.
pub fn begin(init: &Init, out: &mut Vec<u8>) {
    // The init segment's first box is ftyp.
    let size = init.bytes.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize);
    let (ftyp, moov) = init.bytes.split_at(size.min(init.bytes.len()));
    for part in [ftyp, &OPEN_LID, moov] {
        out.extend_from_slice(part);
    }
}

/// Appends a fragment with its seal to `out`; see [`fragment()`].
///
/// # Errors
/// [`Skipped`], and `out` is as it was.
pub fn sealed(
    sequence: u32,
    decode: u64,
    reference: Reference,
    samples: &[Sample<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Skipped> {
    let begin = out.len();
    out.extend_from_slice(&[0, 0, 0, 32]);
    out.extend_from_slice(b"uuid");
    out.extend_from_slice(&SEAL);
    out.extend_from_slice(&[0; 8]);
    let from = begin + SEAL_SIZE;
    let written = fragment(sequence, decode, Some(reference), samples, out)
        .and_then(|()| u32::try_from(out.len() - from).map_err(|_| Skipped::TooLong));
    let length = match written {
        Ok(length) => length,
        Err(skipped) => {
            out.truncate(begin);
            return Err(skipped);
        }
    };
    let crc = crc32fast::hash(&out[from..]);
    out[from - 8..from - 4].copy_from_slice(&crc.to_be_bytes());
    out[from - 4..from].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
