//! Frames as they go out: RTP packets made once, of which only numbers and stamp change.

use crate::media::stamp::{CaptureStamp, UUID};

/// Bytes of an RTP packet, header included; all but the last of a frame are this long, as one
/// `UDP_SEGMENT` send demands.
pub const PACKET: usize = 1440;
/// RTP header (RFC 3550 section 5.1).
const RTP_HEADER: usize = 12;
/// `$`, channel, length.
const INTERLEAVED: usize = 4;
/// A key frame is so many times as large as the others.
const KEY_WEIGHT: u32 = 5;

/// Parameter sets of a 1280x720 baseline stream.
pub const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xba, 0x10, 0x00, 0x00];
/// Picture parameter set to go with it.
pub const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

/// One kind of frame, ready to send but for its numbers.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Packets, each behind its interleaved header, for TCP.
    pub tcp: Vec<u8>,
    /// Packets alone, for UDP.
    pub udp: Vec<u8>,
    packets: usize,
    /// Where the stamp's digits are in the first packet.
    digits: usize,
}

/// Both kinds of frame of a stream.
#[derive(Debug, Clone)]
pub struct Film {
    /// The key frame.
    pub key: Frame,
    /// Any other.
    pub delta: Frame,
    gop: u32,
    ticks_per_frame: u32,
    number: u32,
    sequence: u16,
}

impl Film {
    /// Frames that together make `bitrate` bits per second.
    pub fn new(bitrate: u32, fps: u32, gop: u32) -> Self {
        let (fps, gop) = (fps.max(1), gop.max(1));
        let gop_bytes = u64::from(bitrate) / 8 * u64::from(gop) / u64::from(fps);
        let delta = usize::try_from(gop_bytes / u64::from(gop - 1 + KEY_WEIGHT)).unwrap_or(0);
        Self {
            key: Frame::new(true, delta * KEY_WEIGHT as usize),
            delta: Frame::new(false, delta),
            gop,
            ticks_per_frame: 90_000 / fps,
            number: 0,
            sequence: 0,
        }
    }

    /// The next frame, captured at `mono_ns`, in the form for TCP, for UDP or both.
    pub fn next(&mut self, mono_ns: u64, utc_ns: u64, tcp: bool, udp: bool) -> &Frame {
        let number = self.number;
        self.number = number.wrapping_add(1);
        let frame = if number.is_multiple_of(self.gop) { &mut self.key } else { &mut self.delta };
        let stamp = CaptureStamp { mono_ns, utc_ns, number, crc: 0 };
        let timestamp = number.wrapping_mul(self.ticks_per_frame);
        frame.stamp(self.sequence, timestamp, &stamp, tcp, udp);
        self.sequence = self.sequence.wrapping_add((frame.packets & 0xffff) as u16);
        frame
    }
}

impl Frame {
    /// A frame of about `bytes`, at least two packets.
    fn new(key: bool, bytes: usize) -> Self {
        let payloads = payloads(key, bytes);
        let first = &payloads[0];
        let uuid = first.windows(UUID.len()).position(|w| w == UUID).unwrap_or(0);
        let mut frame = Self {
            tcp: Vec::new(),
            udp: Vec::new(),
            packets: payloads.len(),
            digits: RTP_HEADER + uuid + UUID.len(),
        };
        for (i, payload) in payloads.iter().enumerate() {
            let marker = if i + 1 == payloads.len() { 0x80 } else { 0 };
            let mut packet = vec![0x80, 96 | marker, 0, 0, 0, 0, 0, 0];
            packet.extend(b"bare");
            packet.extend(payload);
            let len = u16::try_from(packet.len()).unwrap_or(u16::MAX);
            frame.tcp.extend([b'$', 0]);
            frame.tcp.extend(len.to_be_bytes());
            frame.tcp.extend(&packet);
            frame.udp.extend(&packet);
        }
        frame
    }

    fn stamp(&mut self, sequence: u16, time: u32, stamp: &CaptureStamp, tcp: bool, udp: bool) {
        let digits = stamp.digits();
        let forms = [(tcp, &mut self.tcp, INTERLEAVED), (udp, &mut self.udp, 0)];
        for (wanted, bytes, prefix) in forms {
            if !wanted {
                continue;
            }
            let mut number = sequence;
            for packet in bytes.chunks_mut(PACKET + prefix) {
                packet[prefix + 2..prefix + 4].copy_from_slice(&number.to_be_bytes());
                packet[prefix + 4..prefix + 8].copy_from_slice(&time.to_be_bytes());
                number = number.wrapping_add(1);
            }
            let at = prefix + self.digits;
            bytes[at..at + digits.len()].copy_from_slice(&digits);
        }
    }
}

/// The payloads: a STAP-A with parameter sets, stamp and filler, then the picture as FU-A.
///
/// The filler (NAL unit type 12) makes the first packet as long as the others: a short SEI packet
/// of its own would cost a second system call per frame and UDP client.
fn payloads(key: bool, bytes: usize) -> Vec<Vec<u8>> {
    const ROOM: usize = PACKET - RTP_HEADER;
    let mut first = vec![0x78];
    let sei = CaptureStamp::default().nal();
    let parameters: &[&[u8]] = if key { &[SPS, PPS] } else { &[] };
    for nal in parameters.iter().copied().chain([&sei[..]]) {
        push_unit(&mut first, nal);
    }
    let mut filler = vec![0xff; ROOM - first.len() - 2];
    filler[0] = 12;
    filler[ROOM - first.len() - 3] = 0x80;
    push_unit(&mut first, &filler);

    let kind = if key { 5 } else { 1 };
    // The slice data begins with first_mb_in_slice 0.
    let mut slice = vec![0xa5; bytes.saturating_sub(ROOM).max(2)];
    slice[0] = 0x88;
    let mut payloads = vec![first];
    if slice.len() < ROOM {
        slice.insert(0, 0x60 | kind);
        payloads.push(slice);
        return payloads;
    }
    // FU indicator and FU header take the place of the unit's own header.
    let count = slice.len().div_ceil(ROOM - 2);
    for (i, part) in slice.chunks(ROOM - 2).enumerate() {
        let start = if i == 0 { 0x80 } else { 0 };
        let end = if i + 1 == count { 0x40 } else { 0 };
        let mut payload = vec![0x7c, start | end | kind];
        payload.extend(part);
        payloads.push(payload);
    }
    payloads
}

fn push_unit(aggregate: &mut Vec<u8>, nal: &[u8]) {
    aggregate.extend(u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
    aggregate.extend(nal);
}

#[cfg(test)]
mod tests {
    use lensd_ffi::time::Nanos;

    use super::*;
    use crate::media::stream::Stream;
    use crate::rtsp::sdp::Codec;

    #[test]
    fn a_film_is_whole_and_has_the_right_rate() {
        let mut film = Film::new(4_000_000, 30, 30);
        let mut stream = Stream::new(Codec::H264, 90_000);
        let mut bytes = 0;
        for number in 0..120 {
            let frame = film.next(1000 + number, 0, true, true);
            assert_eq!(frame.udp.len() + 4 * frame.packets, frame.tcp.len());
            bytes += frame.udp.len();
            for packet in frame.udp.chunks(PACKET) {
                if let Some(whole) = stream.packet(Nanos(number), packet) {
                    assert_eq!(whole.stamp.unwrap().mono_ns, 1000 + number);
                    assert_eq!(whole.key, number % 30 == 0);
                }
            }
        }
        assert_eq!((stream.counters.frames, stream.counters.torn), (120, 0));
        assert_eq!((stream.sequence.gaps, stream.counters.malformed), (0, 0));
        assert_eq!(stream.counters.lost_numbers, 0);
        let rate = bytes * 8 / 4;
        assert!((3_900_000..4_100_000).contains(&rate), "{rate}");
        let ratio = film.key.udp.len() / film.delta.udp.len();
        assert!((4..=5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn small_frames_and_odd_rates_are_well_formed() {
        for bitrate in (1..60).map(|i| i * 50_000) {
            let mut film = Film::new(bitrate, 25, 5);
            let mut stream = Stream::new(Codec::H264, 90_000);
            for _ in 0..10 {
                let frame = film.next(1, 2, false, true);
                let segments = frame.udp.chunks(PACKET);
                assert_eq!(segments.len(), frame.packets, "{bitrate}");
                for packet in segments {
                    stream.packet(Nanos(1), packet);
                }
            }
            assert_eq!((stream.counters.frames, stream.counters.torn), (10, 0), "{bitrate}");
        }
    }
}
