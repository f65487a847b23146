//! Concatenated JPEGs: where one ends, without decoding it (ITU-T T.81 B.1.1).

use super::spec::MAX_SIDE;

/// Largest JPEG that is taken.
pub const MAX_JPEG: usize = 32 << 20;

/// What the bytes begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jpeg {
    /// A whole picture: length from SOI to EOI, width and height.
    Whole {
        /// Bytes.
        length: usize,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The beginning of one.
    Partial,
    /// No JPEG: what is wrong and its offset from the first byte.
    Foreign {
        /// Offset in bytes.
        offset: usize,
        /// What is there, and what should be.
        why: String,
    },
}

/// Measures the JPEG that `bytes` begin with.
pub fn measure(bytes: &[u8]) -> Jpeg {
    let foreign = |offset, why: &str| Jpeg::Foreign { offset, why: why.into() };
    let start = &bytes[..bytes.len().min(2)];
    if start != &[0xff, 0xd8][..start.len()] {
        return foreign(0, &format!("a JPEG begins with ff d8, not {start:02x?}"));
    }
    let (mut at, mut size) = (2, None);
    loop {
        let Some(&marker) = bytes.get(at) else { return Jpeg::Partial };
        if marker != 0xff {
            return foreign(at, &format!("a marker is expected, not {marker:02x}"));
        }
        let Some(&code) = bytes.get(at + 1) else { return Jpeg::Partial };
        match code {
            // Fill bytes; TEM and RSTn have no length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd7 => at += 2,
            0xd9 => {
                let Some((width, height)) = size else {
                    return foreign(at, "the picture ends before its size");
                };
                return Jpeg::Whole { length: at + 2, width, height };
            }
            0x00 | 0xd8 => return foreign(at, &format!("marker ff {code:02x} is out of place")),
            _ => {
                let Some(length) = bytes.get(at + 2..at + 4) else { return Jpeg::Partial };
                let length = usize::from(length[0]) << 8 | usize::from(length[1]);
                let Some(segment) = bytes.get(at + 4..at + 2 + length.max(2)) else {
                    return Jpeg::Partial;
                };
                // SOF0 to SOF15 without DHT, JPG and DAC.
                if matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc) {
                    let &[_, h1, h0, w1, w0, ..] = segment else {
                        return foreign(at, "a frame header is too short");
                    };
                    let width = usize::from(w1) << 8 | usize::from(w0);
                    let height = usize::from(h1) << 8 | usize::from(h0);
                    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
                        return foreign(at, &format!("a size of {width}x{height}"));
                    }
                    size = Some((width, height));
                }
                at += 2 + length.max(2);
                if code == 0xda {
                    match skip_scan(bytes, at) {
                        Some(end) => at = end,
                        None => return Jpeg::Partial,
                    }
                }
            }
        }
    }
}

/// The first marker behind a scan's entropy-coded data, in which ff 00 is a byte and RSTn belong.
fn skip_scan(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::jpeg::{Compressor, Subsampling};

    fn jpeg(value: u8) -> Vec<u8> {
        let plane: Vec<u8> = (0..40 * 30).map(|i| (i * i) as u8 ^ value).collect();
        let mut bytes = Vec::new();
        let planes = [(&plane[..], 40)];
        let mut compressor = Compressor::new().unwrap();
        compressor.compress_planes(&planes, (40, 30), Subsampling::Grey, 90, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn pictures_are_told_apart_and_cut_ones_are_known() {
        let (first, second) = (jpeg(1), jpeg(200));
        let both = [&first[..], &second].concat();
        let whole = |length| Jpeg::Whole { length, width: 40, height: 30 };
        assert_eq!(measure(&both), whole(first.len()));
        assert_eq!(measure(&both[first.len()..]), whole(second.len()));
        for cut in 0..first.len() {
            assert_eq!(measure(&first[..cut]), Jpeg::Partial, "{cut}");
        }
    }

    #[test]
    fn a_thumbnail_inside_does_not_end_it() {
        let inner = jpeg(3);
        let mut outer = jpeg(4);
        let mut segment = vec![0xff, 0xe1];
        segment.extend(u16::try_from(inner.len() + 2).unwrap().to_be_bytes());
        segment.extend(&inner);
        outer.splice(2..2, segment);
        assert_eq!(measure(&outer), Jpeg::Whole { length: outer.len(), width: 40, height: 30 });
    }

    #[test]
    fn foreign_bytes_are_refused_where_they_are() {
        for (bytes, at) in [
            (&b"RIFF"[..], 0),
            (&[0xff, 0xd8, 0x00], 2),
            (&[0xff, 0xd8, 0xff, 0xd9], 2),
            (&[0xff, 0xd8, 0xff, 0xd8], 2),
            (&[0xff, 0xd8, 0xff, 0xc0, 0, 4, 8, 0], 2),
            (&[0xff, 0xd8, 0xff, 0xc0, 0, 8, 8, 0, 0, 0, 0, 1], 2),
        ] {
            assert!(matches!(measure(bytes), Jpeg::Foreign { offset, .. } if offset == at));
        }
    }
}
