//! The capture SEI: when a picture was captured and what it looked like, inside its own access
//! unit, so that any client can prove loss, order and latency.
//!
//! A `user_data_unregistered` message (H.264 D.1.7, H.265 D.2.7; payloadType 5) whose UUID is the
//! 16 ASCII bytes `lensd-capture-01`, then 48 ASCII hex digits without separators: capture time in
//! `CLOCK_MONOTONIC` ns (16), the same instant in UTC ns since 1970 (16), frame number (8, modulo
//! 2^32), CRC-32 of the raw I420 picture, 0 if not computed (8).

use crate::coded::CodedUnit;
use lensd_ffi::time::{Nanos, Stamp, UtcNanos};
use lensd_ffi::unit::{Codec, NalSpan};

/// `uuid_iso_iec_11578` of the message.
pub const UUID: [u8; 16] = *b"lensd-capture-01";

const DIGITS: usize = 48;
/// UUID and digits: one byte of payload_size.
const PAYLOAD: usize = UUID.len() + DIGITS;
/// Start code, NAL header of at most two bytes, type, size, payload, `rbsp_trailing_bits`. Nothing
/// in it can look like a start code: UUID and digits have no zero bytes.
const MAX_BYTES: usize = 4 + 2 + 2 + PAYLOAD + 1;

/// What a capture SEI says.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// Capture time in `CLOCK_MONOTONIC`.
    pub mono: Nanos,
    /// The same instant in UTC.
    pub utc: UtcNanos,
    /// Frame number, modulo 2^32.
    pub number: u32,
    /// CRC-32 (IEEE) of the raw I420 picture, 0 if not computed.
    pub crc: u32,
}

impl Capture {
    /// What there is to say about a frame.
    pub fn of(stamp: Stamp, number: u64, crc: Option<u32>) -> Self {
        // Truncated by design: the message counts modulo 2^32.
        let number = (number & 0xffff_ffff) as u32;
        Self { mono: stamp.mono, utc: stamp.utc, number, crc: crc.unwrap_or(0) }
    }
}

/// A capture SEI as a NAL unit with start code, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct SeiNal {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl SeiNal {
    /// Start code (4 bytes) and NAL unit.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Builds the NAL unit; `None` for JPEG, which has none.
pub fn build(codec: Codec, capture: &Capture) -> Option<SeiNal> {
    let header: &[u8] = match codec {
        Codec::H264 => &[6],
        // H.265 7.3.1.2: PREFIX_SEI_NUT (39), nuh_layer_id 0, nuh_temporal_id_plus1 1.
        Codec::H265 => &[39 << 1, 1],
        Codec::Jpeg => return None,
    };
    let mut sei = SeiNal { bytes: [0; MAX_BYTES], len: 0 };
    let mut push = |part: &[u8]| {
        sei.bytes[sei.len..sei.len + part.len()].copy_from_slice(part);
        sei.len += part.len();
    };
    push(&[0, 0, 0, 1]);
    push(header);
    push(&[5, PAYLOAD as u8]);
    push(&UUID);
    push(&hex::<16>(capture.mono.0));
    push(&hex::<16>(capture.utc.0.cast_unsigned()));
    push(&hex::<8>(capture.number.into()));
    push(&hex::<8>(capture.crc.into()));
    push(&[0x80]);
    Some(sei)
}

fn hex<const N: usize>(value: u64) -> [u8; N] {
    std::array::from_fn(|i| b"0123456789abcdef"[(value >> (4 * (N - 1 - i)) & 15) as usize])
}

/// Where the SEI belongs in an access unit: the index in `nals` before which it goes, and the
/// offset in `bytes` of that NAL unit's start code. First of all, but after an access unit
/// delimiter, which must stay the first (H.264 7.4.1.2.3, H.265 7.4.2.4.4).
pub fn place(codec: Codec, bytes: &[u8], nals: &[NalSpan]) -> (usize, usize) {
    let is_delimiter = |nal: &NalSpan| {
        bytes.get(nal.offset as usize).is_some_and(|&header| match codec {
            Codec::H264 => header & 31 == 9,
            Codec::H265 => header >> 1 & 63 == 35,
            Codec::Jpeg => false,
        })
    };
    let index = usize::from(nals.first().is_some_and(is_delimiter));
    let end = index.checked_sub(1).map_or(0, |i| (nals[i].offset + nals[i].len) as usize);
    (index, end.min(bytes.len()))
}

/// An access unit with a SEI inserted, as parts to be written one after the other, nothing copied.
/// The caller's `nals` become those of the whole.
///
/// Returns the three parts; an empty first one is usual.
pub fn insert<'a>(
    codec: Codec,
    bytes: &'a [u8],
    nals: &mut Vec<NalSpan>,
    sei: &'a SeiNal,
) -> [&'a [u8]; 3] {
    let (index, at) = place(codec, bytes, nals);
    let (head, tail) = bytes.split_at(at);
    let (at, len) = (at as u32, sei.len as u32);
    for nal in &mut nals[index..] {
        nal.offset += len;
    }
    nals.insert(index, NalSpan { offset: at + 4, len: len - 4 });
    [head, sei.bytes(), tail]
}

/// Inserts the SEI into a unit's own buffer, moving what follows.
pub fn stamp_unit(unit: &mut CodedUnit, capture: &Capture) {
    let Some(sei) = build(unit.codec, capture) else { return };
    let (_, at) = place(unit.codec, &unit.bytes, &unit.nals);
    let mut nals = std::mem::take(&mut unit.nals);
    insert(unit.codec, &unit.bytes, &mut nals, &sei);
    unit.nals = nals;
    unit.bytes.splice(at..at, sei.bytes().iter().copied());
}

/// Reads a capture SEI from a NAL unit without its start code; `None` if it is another NAL unit or
/// has no such message. Messages of other kinds beside it are skipped.
pub fn parse(codec: Codec, nal: &[u8]) -> Option<Capture> {
    find_message(codec, nal, |kind, size, rbsp| {
        if kind != 5 || (size as usize) < PAYLOAD {
            return None;
        }
        let mut payload = [0; PAYLOAD];
        for byte in &mut payload {
            *byte = rbsp.byte()?;
        }
        if payload[..16] == UUID { read_digits(&payload[16..]) } else { None }
    })
}

/// Whether a H.264 SEI NAL unit says that decoding can begin with its access unit and give right
/// pictures at once (D.1.8, `recovery_point` with `recovery_frame_cnt` 0): open groups of pictures.
pub fn is_recovery_point(nal: &[u8]) -> bool {
    // recovery_frame_cnt is ue(v): 0 is a first bit of 1.
    let at_once = |kind, size, rbsp: &mut Rbsp<'_>| {
        (kind == 6 && size > 0 && rbsp.byte()? & 0x80 != 0).then_some(())
    };
    find_message(Codec::H264, nal, at_once).is_some()
}

/// Goes through the messages of a SEI NAL unit until `read` has found what it looks for. It is
/// given type, size and a reader of its own of the payload.
fn find_message<T>(
    codec: Codec,
    nal: &[u8],
    read: impl Fn(u32, u32, &mut Rbsp<'_>) -> Option<T>,
) -> Option<T> {
    let header = match (codec, *nal.first()?) {
        (Codec::H264, first) if first & 31 == 6 => 1,
        (Codec::H265, first) if matches!((first >> 1) & 63, 39 | 40) => 2,
        _ => return None,
    };
    let mut rbsp = Rbsp { nal: nal.get(header..)?, zeros: 0 };
    loop {
        // H.264 7.3.2.3.1: each 0xff adds 255 to the type and to the size.
        let kind = rbsp.varying()?;
        let size = rbsp.varying()?;
        if let Some(found) = read(kind, size, &mut rbsp.clone()) {
            return Some(found);
        }
        rbsp.skip(size)?;
    }
}

/// The capture SEI of an access unit, if it has one.
pub fn find(codec: Codec, bytes: &[u8], nals: &[NalSpan]) -> Option<Capture> {
    nals.iter().find_map(|nal| {
        let from = nal.offset as usize;
        parse(codec, bytes.get(from..from.checked_add(nal.len as usize)?)?)
    })
}

fn read_digits(digits: &[u8]) -> Option<Capture> {
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().try_fold(0u64, |value, &digit| {
            Some(value << 4 | u64::from(char::from(digit).to_digit(16)?))
        })
    };
    Some(Capture {
        mono: Nanos(number(0..16)?),
        utc: UtcNanos(number(16..32)?.cast_signed()),
        number: u32::try_from(number(32..40)?).ok()?,
        crc: u32::try_from(number(40..48)?).ok()?,
    })
}

/// The bytes of a NAL unit without `emulation_prevention_three_byte`s (H.264 7.3.1).
#[derive(Clone)]
struct Rbsp<'a> {
    nal: &'a [u8],
    zeros: u8,
}

impl Rbsp<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.nal.split_first()?;
        self.nal = rest;
        if self.zeros >= 2 && first == 3 {
            self.zeros = 0;
            return self.byte();
        }
        self.zeros = if first == 0 { self.zeros.saturating_add(1) } else { 0 };
        Some(first)
    }

    fn varying(&mut self) -> Option<u32> {
        let mut value = 0u32;
        loop {
            let byte = self.byte()?;
            value = value.checked_add(byte.into())?;
            if byte != 0xff {
                return Some(value);
            }
        }
    }

    fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.byte().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::unit::split_annex_b;

    const CAPTURE: Capture =
        Capture { mono: Nanos(0x1234), utc: UtcNanos(-2), number: 77, crc: 0xdead_beef };

    /// Found by the fuzzer: they were counted in a byte.
    #[test]
    fn three_hundred_zeros_in_a_message_are_no_overflow() {
        let mut nal = vec![6, 4, 255, 45];
        nal.resize(4 + 300, 0);
        nal.push(0x80);
        assert_eq!(parse(Codec::H264, &nal), None);
    }

    #[test]
    fn the_message_is_what_the_surface_says() {
        let sei = build(Codec::H264, &CAPTURE).unwrap();
        let text = b"lensd-capture-010000000000001234fffffffffffffffe0000004ddeadbeef";
        assert_eq!(sei.bytes()[..7], [0, 0, 0, 1, 6, 5, 64]);
        assert_eq!(&sei.bytes()[7..71], text);
        assert_eq!(sei.bytes()[71..], [0x80]);
        let sei = build(Codec::H265, &CAPTURE).unwrap();
        assert_eq!(sei.bytes()[..8], [0, 0, 0, 1, 78, 1, 5, 64]);
        assert_eq!(&sei.bytes()[8..72], text);
        assert!(build(Codec::Jpeg, &CAPTURE).is_none());
    }

    #[test]
    fn what_is_built_is_read_back() {
        let extreme =
            Capture { mono: Nanos(u64::MAX), utc: UtcNanos(i64::MIN), number: u32::MAX, crc: 0 };
        for codec in [Codec::H264, Codec::H265] {
            for capture in [CAPTURE, Capture::default(), extreme] {
                let sei = build(codec, &capture).unwrap();
                assert_eq!(parse(codec, &sei.bytes()[4..]), Some(capture));
                for end in 4..sei.bytes().len() - 1 {
                    assert_eq!(parse(codec, &sei.bytes()[4..end]), None);
                }
            }
        }
    }

    #[test]
    fn it_goes_first_but_behind_a_delimiter() {
        for (codec, delimiter, slice) in
            [(Codec::H264, [9, 0xf0], [0x65, 7]), (Codec::H265, [70, 1], [38, 1])]
        {
            for delimited in [false, true] {
                let mut bytes = Vec::new();
                if delimited {
                    bytes.extend([0, 0, 0, 1, delimiter[0], delimiter[1]]);
                }
                bytes.extend([0, 0, 1, slice[0], slice[1], 9]);
                let mut nals = Vec::new();
                split_annex_b(&bytes, &mut nals);
                let mut unit = CodedUnit {
                    codec,
                    bytes: bytes.clone(),
                    nals: nals.clone(),
                    ..CodedUnit::default()
                };
                stamp_unit(&mut unit, &CAPTURE);
                let sei = build(codec, &CAPTURE).unwrap();
                let parts = insert(codec, &bytes, &mut nals, &sei).concat();
                assert_eq!(parts, unit.bytes);
                assert_eq!(nals, unit.nals);
                let mut spans = Vec::new();
                split_annex_b(&parts, &mut spans);
                assert_eq!(spans, nals);
                assert_eq!(find(codec, &parts, &nals), Some(CAPTURE));
                let first = parts[nals[0].offset as usize];
                assert_eq!(first == delimiter[0], delimited);
                assert_eq!(
                    parse(codec, &parts[nals[usize::from(delimited)].offset as usize..]),
                    Some(CAPTURE)
                );
            }
        }
    }

    #[test]
    fn other_messages_beside_it_are_skipped() {
        let sei = build(Codec::H264, &CAPTURE).unwrap();
        // A message of type 1 with three bytes behind an emulation prevention byte, then one of
        // type 5 of somebody else.
        let mut nal = vec![6, 1, 3, 0, 0, 3, 0, 5, 64];
        nal.extend([7; 64]);
        nal.extend(&sei.bytes()[5..]);
        assert_eq!(parse(Codec::H264, &nal), Some(CAPTURE));
        assert!(!is_recovery_point(&nal));
        nal.splice(1..1, [6, 1, 0xc4]);
        assert!(is_recovery_point(&nal));
        nal[3] = 0x44;
        assert!(!is_recovery_point(&nal), "it takes a picture to recover");
        assert_eq!(parse(Codec::H264, &nal), Some(CAPTURE));
        assert_eq!(parse(Codec::H264, &[6, 0xff, 0xff]), None);
        assert_eq!(parse(Codec::H264, &[0x65, 5, 64]), None);
        assert_eq!(parse(Codec::H264, &[]), None);
    }
}
