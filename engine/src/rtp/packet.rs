//! A unit as RTP packets: headers made once, payload left in the ring.

use super::{extension, h264, h265, jpeg};
use crate::config::Extensions;
use lensd_ffi::time::Nanos;
use lensd_ffi::unit::{Codec, NalSpan, UnitMeta};
use rtp_rs::RtpPacketBuilder;
use std::ops::Range;

/// Ticks of the RTP clock of all video payload formats, per second.
pub const CLOCK_RATE: u64 = 90_000;

/// Payload types that SDP announces: dynamic ones, and 26 which RFC 3551 gives to JPEG.
pub const fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::H264 => 96,
        Codec::H265 => 97,
        Codec::Jpeg => 26,
    }
}

/// A capture time on the RTP clock, without the stream's random offset. Wraps every 13 hours.
#[expect(clippy::cast_possible_truncation, reason = "an RTP time is 32 bits that wrap")]
pub const fn rtp_time(capture: Nanos) -> u32 {
    // Exact for any uptime: 90 kHz is 9 ticks per 100 us.
    ((capture.0 as u128 * CLOCK_RATE as u128) / 1_000_000_000) as u32
}

/// Bytes of the interleaved prefix (RFC 2326 section 10.12) that stands before each header.
pub const PREFIX: usize = 4;
/// Bytes of a fixed RTP header (RFC 3550 section 5.1).
pub const RTP_HEADER: usize = 12;

/// A piece of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of [`Packets::headers`].
    Header(Range<usize>),
    /// Bytes of the unit.
    Unit(Range<usize>),
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Header(r) | Self::Unit(r) => r.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A packet: its pieces, the first of which is a header that begins with the interleaved prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Indices into [`Packets::pieces`].
    pub pieces: Range<usize>,
    /// Length without the interleaved prefix.
    pub len: usize,
}

/// All packets of one unit.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    /// Headers, each with an interleaved prefix for channel 0 before it.
    pub headers: Vec<u8>,
    /// Pieces of all packets in order.
    pub pieces: Vec<Piece>,
    /// Packets in order.
    pub packets: Vec<Packet>,
    /// Sequence number of the first.
    pub first_seq: u16,
    /// RTP time of the unit.
    pub time: u32,
    /// Bytes of header extensions in all packets.
    extension: usize,
}

/// What packets have in common.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Most bytes of a packet, header included.
    pub packet_size: usize,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Random offset of the RTP clock.
    pub time_offset: u32,
    /// Header extensions, in the first packet of each unit.
    pub extensions: Extensions,
    /// Most packets that go to the kernel as one datagram.
    pub burst: usize,
}

/// A unit's facts for packetizing.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Meta data.
    pub meta: &'a UnitMeta,
    /// Length in bytes.
    pub len: usize,
    /// NAL units.
    pub nals: &'a [NalSpan],
    /// The first bytes of the unit, as far as the payload format must see them: all of each NAL
    /// unit's header, or a JPEG's headers.
    pub head: &'a Head<'a>,
}

/// Reads single bytes of a unit, for headers only.
pub type Head<'a> = dyn Fn(Range<usize>) -> Option<Vec<u8>> + 'a;

impl Packets {
    /// Packetizes a unit beginning with sequence number `first_seq`. Empty if it has nothing that
    /// its payload format can carry.
    pub fn pack(source: &Source<'_>, shape: &Shape, first_seq: u16) -> Self {
        let words = extension::words(shape.extensions, source.meta.capture);
        Self::pack_with(source, shape, first_seq, (extension::PROFILE, words))
    }

    /// The same with another header extension in the first packet: what it is, and its words, which
    /// are at most [`extension::MOST`] bytes.
    pub fn pack_with(
        source: &Source<'_>,
        shape: &Shape,
        first_seq: u16,
        extension: (u16, Vec<u8>),
    ) -> Self {
        let time = rtp_time(source.meta.capture.mono).wrapping_add(shape.time_offset);
        let mut out = Self { first_seq, time, ..Self::default() };
        let mut writer = Writer {
            profile: extension.0,
            extension: extension.1,
            payload_type: payload_type(source.meta.codec),
            shape,
            out: &mut out,
        };
        match source.meta.codec {
            Codec::H264 => h264::pack(source, &mut writer),
            Codec::H265 => h265::pack(source, &mut writer),
            Codec::Jpeg => jpeg::pack(source, &mut writer),
        }
        out.finish();
        out
    }

    /// Sequence number of the packet that follows.
    pub fn next_seq(&self) -> u16 {
        self.first_seq.wrapping_add(u16::try_from(self.packets.len() % 65536).unwrap_or(0))
    }

    /// Bytes of all packets without interleaved prefixes.
    pub fn len(&self) -> usize {
        self.packets.iter().map(|p| p.len).sum()
    }

    /// Whether there is no packet.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Bytes of RTP payload, as a sender report counts them.
    pub fn payload_len(&self) -> usize {
        self.len() - self.packets.len() * RTP_HEADER - self.extension
    }

    /// Sets the channel of all interleaved prefixes.
    pub fn set_channel(&mut self, channel: u8) {
        for packet in &self.packets {
            if let Piece::Header(range) = &self.pieces[packet.pieces.start] {
                self.headers[range.start + 1] = channel;
            }
        }
    }

    /// Sets the marker of the last packet (RFC 6184 5.1) and the interleaved lengths.
    fn finish(&mut self) {
        let last = self.packets.len().saturating_sub(1);
        for (i, packet) in self.packets.iter_mut().enumerate() {
            packet.len =
                self.pieces[packet.pieces.clone()].iter().map(Piece::len).sum::<usize>() - PREFIX;
            let Piece::Header(range) = &self.pieces[packet.pieces.start] else { continue };
            let header = &mut self.headers[range.clone()];
            header[0] = b'$';
            let len = u16::try_from(packet.len).unwrap_or(u16::MAX);
            header[2..4].copy_from_slice(&len.to_be_bytes());
            if i == last {
                header[PREFIX + 1] |= 0x80;
            }
        }
    }
}

/// Builds packets for a payload format.
pub struct Writer<'a> {
    /// What the header extension is (`defined by profile`, RFC 3550 section 5.3.1).
    profile: u16,
    extension: Vec<u8>,
    payload_type: u8,
    shape: &'a Shape,
    out: &'a mut Packets,
}

impl Writer<'_> {
    /// Bytes of payload that the next packet can take.
    pub fn room(&self) -> usize {
        let first = if self.out.packets.is_empty() && !self.extension.is_empty() {
            4 + self.extension.len()
        } else {
            0
        };
        self.shape.packet_size - RTP_HEADER - first
    }

    /// Begins a packet; `payload_header` are the first bytes of its payload.
    pub fn begin(&mut self, payload_header: &[u8]) {
        let start = self.out.headers.len();
        self.out.headers.resize(start + PREFIX, 0);
        let seq = self.out.next_seq();
        let mut builder = RtpPacketBuilder::new()
            .payload_type(self.payload_type)
            .ssrc(self.shape.ssrc)
            .sequence(seq.into())
            .timestamp(self.out.time);
        if self.out.packets.is_empty() && !self.extension.is_empty() {
            builder = builder.extension(self.profile, &self.extension);
            self.out.extension = 4 + self.extension.len();
        }
        let mut header = [0; RTP_HEADER + 4 + extension::MOST];
        let len = builder.build_into(&mut header).unwrap_or(0);
        self.out.headers.extend_from_slice(&header[..len]);
        self.out.headers.extend_from_slice(payload_header);
        let piece = Piece::Header(start..self.out.headers.len());
        let at = self.out.pieces.len();
        self.out.pieces.push(piece);
        self.out.packets.push(Packet { pieces: at..at + 1, len: 0 });
    }

    /// Appends a piece of the unit to the packet.
    pub fn append_unit(&mut self, range: Range<usize>) {
        self.out.pieces.push(Piece::Unit(range));
        self.extend();
    }

    /// Appends bytes that are not in the unit.
    pub fn append_bytes(&mut self, bytes: &[u8]) {
        let start = self.out.headers.len();
        self.out.headers.extend_from_slice(bytes);
        self.out.pieces.push(Piece::Header(start..start + bytes.len()));
        self.extend();
    }

    fn extend(&mut self) {
        let end = self.out.pieces.len();
        if let Some(packet) = self.out.packets.last_mut() {
            packet.pieces.end = end;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rtp_rs::RtpReader;

    pub(crate) const SHAPE: Shape =
        Shape { packet_size: 100, ssrc: 7, time_offset: 0, extensions: PLAIN, burst: 64 };
    /// Without header extensions.
    pub(crate) const PLAIN: Extensions = Extensions { ntp64: false, abs_capture_time: false };

    /// Packs `bytes` and returns the packets as they would be on the wire.
    pub(crate) fn wire(
        bytes: &[u8],
        nals: &[NalSpan],
        codec: Codec,
        shape: &Shape,
        first: u16,
    ) -> Vec<Vec<u8>> {
        let meta = UnitMeta { codec, ..UnitMeta::default() };
        let head = |r: Range<usize>| bytes.get(r).map(<[u8]>::to_vec);
        let source = Source { meta: &meta, len: bytes.len(), nals, head: &head };
        let packets = Packets::pack(&source, shape, first);
        packets
            .packets
            .iter()
            .map(|p| {
                let mut out = Vec::new();
                for piece in &packets.pieces[p.pieces.clone()] {
                    match piece {
                        Piece::Header(r) => out.extend_from_slice(&packets.headers[r.clone()]),
                        Piece::Unit(r) => out.extend_from_slice(&bytes[r.clone()]),
                    }
                }
                assert_eq!(out[0], b'$');
                assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])), p.len);
                assert_eq!(out.len(), p.len + PREFIX);
                assert!(p.len <= shape.packet_size);
                out.split_off(PREFIX)
            })
            .collect()
    }

    #[test]
    fn sequence_numbers_wrap_and_the_last_packet_is_marked() {
        let mut bytes = vec![0, 0, 0, 1, 0x65];
        bytes.resize(500, 0xaa);
        let nals = [NalSpan { offset: 4, len: 496 }];
        let packets = wire(&bytes, &nals, Codec::H264, &SHAPE, 65_534);
        let parsed: Vec<_> = packets.iter().map(|p| RtpReader::new(p).unwrap()).collect();
        let seqs: Vec<u16> = parsed.iter().map(|p| p.sequence_number().into()).collect();
        assert_eq!(seqs[..3], [65_534, 65_535, 0]);
        let marks: Vec<bool> = parsed.iter().map(RtpReader::mark).collect();
        assert!(marks[..marks.len() - 1].iter().all(|m| !m) && marks[marks.len() - 1]);
    }

    #[test]
    fn the_extension_is_in_the_first_packet_and_counts() {
        let shape = Shape { extensions: Extensions { ntp64: true, ..PLAIN }, ..SHAPE };
        let mut bytes = vec![0, 0, 0, 1, 0x65];
        bytes.resize(300, 0xaa);
        let packets = wire(&bytes, &[NalSpan { offset: 4, len: 296 }], Codec::H264, &shape, 0);
        let first = RtpReader::new(&packets[0]).unwrap();
        let (profile, data) = first.extension().unwrap();
        assert_eq!((profile, data[0]), (0xBEDE, 0x17));
        assert_eq!(data[1..9], lensd_ffi::time::UtcNanos(0).ntp64().to_be_bytes());
        assert!(RtpReader::new(&packets[1]).unwrap().extension().is_none());
    }

    #[test]
    fn the_rtp_clock_is_exact_after_years() {
        let year = 365 * 24 * 3600;
        let ticks = u64::from(rtp_time(Nanos::from_secs(year)));
        assert_eq!(ticks, year * CLOCK_RATE % (1 << 32));
        assert_eq!(rtp_time(Nanos(33_333_333)), 2_999);
    }
}
