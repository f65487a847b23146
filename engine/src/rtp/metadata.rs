//! Metadata documents as RTP packets (ONVIF Streaming Specification, "RTP payload format for
//! metadata stream"): the XML as it is, cut where a packet is full; the last one is marked.

/// Dynamic payload type; ONVIF's examples have it.
pub const PAYLOAD_TYPE: u8 = 107;
/// Bytes of a header without extensions (RFC 3550 section 5.1).
const HEADER: usize = 12;

/// Who sends, and where its counts stand.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// SSRC.
    pub ssrc: u32,
    /// Number of the next packet.
    pub seq: u16,
    /// Packets sent so far; wraps.
    pub packets: u32,
    /// Bytes of payload sent so far; wraps.
    pub octets: u32,
}

impl Sender {
    /// The packets of a document, each of at most `size` bytes.
    pub fn packets(&mut self, document: &[u8], time: u32, size: usize) -> Vec<Vec<u8>> {
        let room = size.saturating_sub(HEADER).max(1);
        let last = document.len().div_ceil(room).saturating_sub(1);
        let pieces = document.chunks(room).enumerate();
        pieces
            .map(|(i, piece)| {
                let mark = if i == last { 0x80 } else { 0 };
                let mut packet = vec![0x80, mark | PAYLOAD_TYPE];
                packet.extend_from_slice(&self.seq.to_be_bytes());
                packet.extend_from_slice(&time.to_be_bytes());
                packet.extend_from_slice(&self.ssrc.to_be_bytes());
                packet.extend_from_slice(piece);
                self.seq = self.seq.wrapping_add(1);
                self.packets = self.packets.wrapping_add(1);
                self.octets = self.octets.wrapping_add(u32::try_from(piece.len()).unwrap_or(0));
                packet
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_whole_again_and_its_end_is_marked() {
        let mut sender = Sender { ssrc: 7, seq: u16::MAX, packets: 0, octets: 0 };
        for len in [1_usize, 88, 89, 500] {
            let document: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let before = sender.seq;
            let packets = sender.packets(&document, 90_000, 100);
            assert_eq!(packets.len(), len.div_ceil(88));
            let mut whole = Vec::new();
            for (i, packet) in packets.iter().enumerate() {
                let read = rtp_rs::RtpReader::new(packet).unwrap();
                assert_eq!(read.mark(), i + 1 == packets.len());
                assert_eq!((read.payload_type(), read.timestamp(), read.ssrc()), (107, 90_000, 7));
                let expected = before.wrapping_add(u16::try_from(i).unwrap());
                assert_eq!(u16::from(read.sequence_number()), expected);
                assert!(packet.len() <= 100);
                whole.extend_from_slice(read.payload());
            }
            assert_eq!(whole, document);
        }
        assert_eq!(sender.octets, 1 + 88 + 89 + 500);
    }
}
