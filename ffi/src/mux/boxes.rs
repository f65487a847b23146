//! Boxes as bytes (ISO/IEC 14496-12 4.2): what lies in what, and one written within another.

use mp4_atom::{Decode, Encode, Error, Result};

/// Length of a box header with a size of 32 bits.
pub(super) const HEADER: u64 = 8;

/// The type and the size of the box that begins `bytes`, header included; a size of 64 bits, or one
/// "up to the end", is none of those that a recording has within its fragments.
pub(super) fn short_header(bytes: &[u8]) -> Option<([u8; 4], u64)> {
    let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let kind = bytes.get(4..8)?.try_into().ok()?;
    (u64::from(size) >= HEADER).then_some((kind, size.into()))
}

/// The boxes that lie one after the other in `bytes`: type, the whole box, and what is in it. Ends
/// at the first that cannot be.
pub(super) fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, size) = short_header(bytes)?;
        let (whole, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
        bytes = rest;
        Some((kind, whole, &whole[8..]))
    })
}

/// What is in the first box of each type of `path`, one within the other.
pub(super) fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| {
        boxes(bytes).find(|(found, ..)| found == *kind).map(|(_, _, body)| body)
    })
}

/// Decodes the first box of type `T` among those in `bytes`.
pub(super) fn leaf<T: mp4_atom::Atom>(bytes: &[u8]) -> Option<T> {
    let kind: [u8; 4] = T::KIND.into();
    let (_, whole, _) = boxes(bytes).find(|(found, ..)| *found == kind)?;
    T::decode(&mut &whole[..]).ok()
}

/// Appends a box with what `body` appends.
pub(super) fn nest(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    body: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let begin = out.len();
    0_u32.encode(out)?;
    out.extend_from_slice(kind);
    body(out)?;
    let size = u32::try_from(out.len() - begin).map_err(|_| Error::TooLarge((*kind).into()))?;
    out[begin..begin + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_in_a_box_is_found_again() {
        let mut out = Vec::new();
        nest(&mut out, b"moov", |out| {
            nest(out, b"free", |_| Ok(()))?;
            nest(out, b"trak", |out| 7_u32.encode(out))
        })
        .unwrap();
        assert_eq!(inside(&out, &[b"moov", b"trak"]), Some(&[0, 0, 0, 7][..]));
        assert_eq!(inside(&out, &[b"moov", b"mdia"]), None);
        assert_eq!(inside(&out[..out.len() - 1], &[b"moov"]), None, "cut short");
        assert_eq!(short_header(&[0, 0, 0, 7, 1, 2, 3, 4]), None, "less than its header");
    }
}
