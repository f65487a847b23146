//! The headers of RTP packets and of the video payloads in them; nothing is put together.

use super::stamp::CaptureStamp;
use crate::rtsp::sdp::Codec;

/// An RTP packet (RFC 3550 section 5.1), borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtp<'a> {
    /// Last packet of a frame, for all video formats read here.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp.
    pub timestamp: u32,
    /// Payload, without padding.
    pub payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// Reads the header; `None` if `packet` is no RTP of version 2.
    #[inline]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let header = packet.first_chunk::<12>()?;
        if header[0] >> 6 != 2 {
            return None;
        }
        let mut start = 12 + 4 * usize::from(header[0] & 0x0f);
        if header[0] & 0x10 != 0 {
            let len = packet.get(start + 2..start + 4)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([len[0], len[1]]));
        }
        let padding = if header[0] & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
        Some(Self {
            marker: header[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            payload: packet.get(start..packet.len().checked_sub(padding)?)?,
        })
    }
}

/// Which part of a NAL unit a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// Whole units.
    #[default]
    Whole,
    /// The first fragment.
    Start,
    /// A fragment between.
    Middle,
    /// The last fragment.
    End,
}

/// What a payload's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    /// Whole or fragment.
    pub part: Part,
    /// It holds picture data, not only parameters.
    pub picture: bool,
    /// Its first picture data begins a picture (`first_mb_in_slice` 0 and its likes).
    pub picture_start: bool,
    /// It holds data of a picture that can be decoded by itself.
    pub key: bool,
    /// The capture stamp, if this packet has one.
    pub stamp: Option<CaptureStamp>,
    /// The headers contradict the payload format.
    pub malformed: bool,
}

impl Content {
    const MALFORMED: Self = Self {
        part: Part::Whole,
        picture: false,
        picture_start: false,
        key: false,
        stamp: None,
        malformed: true,
    };

    /// Reads `payload` as `codec` writes it.
    #[inline]
    pub fn parse(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::H264 => Self::h264(payload),
            Codec::H265 => Self::h265(payload),
            Codec::Jpeg => Self::jpeg(payload),
            Codec::Other => {
                Self { picture: true, picture_start: true, key: true, ..Self::default() }
            }
        }
    }

    /// RFC 6184 section 5.2.
    fn h264(payload: &[u8]) -> Self {
        let [indicator, rest @ ..] = payload else { return Self::MALFORMED };
        match indicator & 0x1f {
            1..=23 => {
                let mut content = Self::default();
                content.add_h264(payload);
                content
            }
            // STAP-A (5.7.1): 16 bits of size before each unit.
            24 => Self::aggregate(rest, Self::add_h264),
            // FU-A (5.8): S, E, R, type; the unit's own header is rebuilt from both bytes.
            28 => {
                let [header, slice @ ..] = rest else { return Self::MALFORMED };
                let Some(part) = fragment(*header) else { return Self::MALFORMED };
                let kind = header & 0x1f;
                let mut content = Self { part, ..Self::default() };
                content.picture = (1..=5).contains(&kind);
                content.key = kind == 5;
                content.picture_start = part == Part::Start && begins(slice);
                if kind == 6 && part == Part::Start {
                    content.stamp = CaptureStamp::parse_sei(slice);
                }
                content
            }
            _ => Self::MALFORMED,
        }
    }

    fn add_h264(&mut self, nal: &[u8]) {
        let [header, body @ ..] = nal else {
            self.malformed = true;
            return;
        };
        match header & 0x1f {
            kind @ 1..=5 => {
                self.picture_start |= !self.picture && begins(body);
                self.picture = true;
                self.key |= kind == 5;
            }
            6 => self.stamp = self.stamp.or_else(|| CaptureStamp::parse_sei(body)),
            _ => {}
        }
    }

    /// RFC 7798 section 4.4.
    fn h265(payload: &[u8]) -> Self {
        let [first, _, rest @ ..] = payload else { return Self::MALFORMED };
        match (first >> 1) & 0x3f {
            0..=47 => {
                let mut content = Self::default();
                content.add_h265(payload);
                content
            }
            48 => Self::aggregate(rest, Self::add_h265),
            49 => {
                let [header, slice @ ..] = rest else { return Self::MALFORMED };
                let Some(part) = fragment(*header) else { return Self::MALFORMED };
                let kind = header & 0x3f;
                let mut content = Self { part, ..Self::default() };
                content.picture = kind < 32;
                content.key = (16..=23).contains(&kind);
                content.picture_start = part == Part::Start && begins(slice);
                content
            }
            _ => Self::MALFORMED,
        }
    }

    fn add_h265(&mut self, nal: &[u8]) {
        let [header, _, body @ ..] = nal else {
            self.malformed = true;
            return;
        };
        match (header >> 1) & 0x3f {
            kind @ 0..=31 => {
                self.picture_start |= !self.picture && begins(body);
                self.picture = true;
                self.key |= (16..=23).contains(&kind);
            }
            39 => self.stamp = self.stamp.or_else(|| CaptureStamp::parse_sei(body)),
            _ => {}
        }
    }

    fn aggregate(mut rest: &[u8], add: fn(&mut Self, &[u8])) -> Self {
        let mut content = Self::default();
        if rest.is_empty() {
            return Self::MALFORMED;
        }
        while let [hi, lo, behind @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*hi, *lo]));
            let Some((nal, behind)) = behind.split_at_checked(len) else {
                return Self::MALFORMED;
            };
            add(&mut content, nal);
            rest = behind;
        }
        content.malformed |= !rest.is_empty();
        content
    }

    /// RFC 2435 section 3.1: the offset of a fragment within the frame's scan is what is needed.
    fn jpeg(payload: &[u8]) -> Self {
        let [_, a, b, c, _, _, _, _, ..] = payload else { return Self::MALFORMED };
        let at_start = [*a, *b, *c] == [0; 3];
        Self { picture: true, picture_start: at_start, key: true, ..Self::default() }
    }
}

/// The S and E bits that FU headers of both formats have at the top; never both.
fn fragment(header: u8) -> Option<Part> {
    match header >> 6 {
        0b00 => Some(Part::Middle),
        0b01 => Some(Part::End),
        0b10 => Some(Part::Start),
        _ => None,
    }
}

/// Whether slice data begins a picture: `first_mb_in_slice` is ue(v), whose 0 is a single one bit;
/// H.265's `first_slice_segment_in_pic_flag` is the same bit.
fn begins(slice: &[u8]) -> bool {
    slice.first().is_some_and(|b| b & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_header_with_everything() {
        let mut packet = vec![0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 1, 2, 3, 4];
        packet.extend([5, 6, 7, 8]);
        packet.extend([0xbe, 0xde, 0, 1, 0, 0, 0, 0]);
        packet.extend(b"hello");
        packet.extend([0, 0, 3]);
        let rtp = Rtp::parse(&packet).unwrap();
        assert_eq!(rtp, Rtp { marker: true, sequence: 0x1234, timestamp: 9, payload: b"hello" });
        for cut in 0..24 {
            assert_eq!(Rtp::parse(&packet[..cut]), None, "at {cut}");
        }
        packet[0] = 0x71;
        assert_eq!(Rtp::parse(&packet), None);
    }

    #[test]
    fn stap_a_with_parameters_sei_and_slice() {
        let stamp = CaptureStamp { mono_ns: 5, utc_ns: 6, number: 7, crc: 8 };
        let mut payload = vec![24];
        for nal in [&[0x67, 1, 2][..], &stamp.nal(), &[0x65, 0x88]] {
            payload.extend(u16::try_from(nal.len()).unwrap().to_be_bytes());
            payload.extend(nal);
        }
        let content = Content::parse(Codec::H264, &payload);
        assert_eq!(content.stamp, Some(stamp));
        assert!(content.picture && content.picture_start && content.key && !content.malformed);
        payload.push(0);
        assert!(Content::parse(Codec::H264, &payload).malformed);
        assert!(Content::parse(Codec::H264, &payload[..20]).malformed);
        assert!(Content::parse(Codec::H264, &[24]).malformed);
    }

    #[test]
    fn sei_as_a_single_nal() {
        let stamp = CaptureStamp { mono_ns: 1, ..CaptureStamp::default() };
        let content = Content::parse(Codec::H264, &stamp.nal());
        assert_eq!((content.stamp, content.picture), (Some(stamp), false));
    }

    #[test]
    fn fragments() {
        let start = Content::parse(Codec::H264, &[0x7c, 0x85, 0x88]);
        assert!(start.part == Part::Start && start.picture_start && start.key);
        assert_eq!(Content::parse(Codec::H264, &[0x7c, 0x05, 0x88]).part, Part::Middle);
        assert!(!Content::parse(Codec::H264, &[0x7c, 0x05, 0x88]).picture_start);
        assert_eq!(Content::parse(Codec::H264, &[0x7c, 0x41, 1]).part, Part::End);
        assert!(Content::parse(Codec::H264, &[0x7c, 0xc5, 1]).malformed);
        assert!(Content::parse(Codec::H264, &[0x7c]).malformed);
        let second_slice = Content::parse(Codec::H264, &[0x61, 0x40]);
        assert!(second_slice.picture && !second_slice.picture_start);
        let h265 = Content::parse(Codec::H265, &[49 << 1, 1, 0x80 | 19, 0x80]);
        assert!(h265.part == Part::Start && h265.key && h265.picture_start);
    }

    #[test]
    fn jpeg_by_its_offset() {
        assert!(Content::parse(Codec::Jpeg, &[0; 8]).picture_start);
        assert!(!Content::parse(Codec::Jpeg, &[0, 0, 1, 0, 0, 0, 0, 0]).picture_start);
        assert!(Content::parse(Codec::Jpeg, &[0; 7]).malformed);
    }
}
