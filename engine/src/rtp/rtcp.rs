//! RTCP (RFC 3550 section 6): sender reports and goodbyes out, receiver reports in.

use lensd_ffi::time::UtcNanos;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;

/// What a sender report says (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// Who sends.
    pub ssrc: u32,
    /// Now.
    pub utc: UtcNanos,
    /// Now, on the stream's RTP clock.
    pub rtp_time: u32,
    /// Packets sent since the start; wraps.
    pub packets: u32,
    /// Bytes of payload sent since the start; wraps.
    pub octets: u32,
}

/// A compound of sender report and source description, with `cname` of at most 255 bytes.
pub fn sender_report(report: &SenderReport, cname: &str) -> Vec<u8> {
    let mut out = vec![0x80, SR, 0, 6];
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&report.utc.ntp64().to_be_bytes());
    for word in [report.rtp_time, report.packets, report.octets] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    description(report.ssrc, cname, &mut out);
    out
}

/// A compound of an empty receiver report, source description and goodbye (RFC 3550 6.6), which
/// ends a stream.
pub fn goodbye(ssrc: u32, cname: &str) -> Vec<u8> {
    let mut out = vec![0x80, RR, 0, 1];
    out.extend_from_slice(&ssrc.to_be_bytes());
    description(ssrc, cname, &mut out);
    out.extend_from_slice(&[0x81, BYE, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out
}

/// What a receiver reports (RFC 3550 section 6.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    /// Whose stream.
    pub source: u32,
    /// Share of packets lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Packets lost since the start; may be negative when packets came twice.
    pub lost: i32,
    /// Highest sequence number received, with its cycles.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP ticks.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report.
    pub last_sr: u32,
    /// Delay since then in 1/65536 s.
    pub delay: u32,
}

/// A receiver report with one block, for publishers that send to us.
pub fn receiver_report(ssrc: u32, block: &ReportBlock, cname: &str) -> Vec<u8> {
    let mut out = vec![0x81, RR, 0, 7];
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&block.source.to_be_bytes());
    let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    out.extend_from_slice(&[block.fraction_lost, lost[1], lost[2], lost[3]]);
    for word in [block.highest_seq, block.jitter, block.last_sr, block.delay] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    description(ssrc, cname, &mut out);
    out
}

fn description(ssrc: u32, cname: &str, out: &mut Vec<u8>) {
    let name = &cname.as_bytes()[..cname.len().min(255)];
    // CNAME item, then at least one zero to end the list, then up to a whole word (RFC 3550 6.5).
    let items = (2 + name.len() + 1).next_multiple_of(4);
    let words = u16::try_from(1 + items / 4).unwrap_or(0);
    out.extend_from_slice(&[0x81, SDES]);
    out.extend_from_slice(&words.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    let end = out.len() + items;
    out.extend_from_slice(&[1, u8::try_from(name.len()).unwrap_or(0)]);
    out.extend_from_slice(name);
    out.resize(end, 0);
}

/// Something that a peer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// Of a stream that it receives.
    Block(ReportBlock),
    /// Of a stream that it sends.
    Sender {
        /// Its SSRC.
        ssrc: u32,
        /// NTP time of the report.
        ntp: u64,
        /// The same on its RTP clock.
        rtp_time: u32,
    },
    /// It leaves.
    Bye,
}

/// Most reports that are read from one datagram.
const MAX_REPORTS: usize = 64;

/// Reads a compound packet. Broken parts end it; what came before counts.
pub fn parse(mut bytes: &[u8]) -> Vec<Report> {
    let mut out = Vec::new();
    while let Some(header) = bytes.first_chunk::<4>() {
        let [first, kind, _, _] = *header;
        let len = (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1) * 4;
        if first >> 6 != 2 || len > bytes.len() || out.len() >= MAX_REPORTS {
            break;
        }
        let (packet, rest) = bytes.split_at(len);
        let body = &packet[4..];
        let count = usize::from(first & 31);
        match kind {
            SR if body.len() >= 24 => {
                let ntp = u64::from(word(body, 4)) << 32 | u64::from(word(body, 8));
                out.push(Report::Sender { ssrc: word(body, 0), ntp, rtp_time: word(body, 12) });
                blocks(&body[24..], count, &mut out);
            }
            RR if body.len() >= 4 => blocks(&body[4..], count, &mut out),
            BYE => out.push(Report::Bye),
            _ => {}
        }
        bytes = rest;
    }
    out
}

fn blocks(bytes: &[u8], count: usize, out: &mut Vec<Report>) {
    for block in bytes.chunks_exact(24).take(count) {
        let lost = word(block, 4);
        out.push(Report::Block(ReportBlock {
            source: word(block, 0),
            fraction_lost: block[4],
            // 24 bits with a sign.
            lost: (lost << 8).cast_signed() >> 8,
            highest_seq: word(block, 8),
            jitter: word(block, 12),
            last_sr: word(block, 16),
            delay: word(block, 20),
        }));
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// Round trip time in microseconds from a report block that arrived at `utc` (RFC 3550 6.4.1).
pub fn round_trip_us(block: &ReportBlock, utc: UtcNanos) -> Option<u64> {
    if block.last_sr == 0 {
        return None;
    }
    let now = u32::try_from(utc.ntp64() >> 16 & 0xffff_ffff).ok()?;
    let ticks = now.wrapping_sub(block.last_sr).wrapping_sub(block.delay);
    // More than half the range is a negative time: the peer's clock ticks otherwise than ours.
    (ticks < 1 << 31).then(|| u64::from(ticks) * 1_000_000 / 65_536)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let report = SenderReport {
            ssrc: 0x0102_0304,
            utc: UtcNanos(1_000_000_000_500_000_000),
            rtp_time: 5,
            packets: 6,
            octets: 7,
        };
        for cname in ["", "a", "ab", "abc", "lensd@host"] {
            let bytes = sender_report(&report, cname);
            assert_eq!(bytes.len() % 4, 0);
            let ntp = report.utc.ntp64();
            assert_eq!(parse(&bytes), [Report::Sender { ssrc: report.ssrc, ntp, rtp_time: 5 }]);
            assert_eq!(parse(&goodbye(1, cname)), [Report::Bye]);
        }
        let block = ReportBlock {
            source: 9,
            fraction_lost: 3,
            lost: -5,
            highest_seq: 70_000,
            jitter: 11,
            last_sr: 12,
            delay: 13,
        };
        assert_eq!(parse(&receiver_report(1, &block, "x")), [Report::Block(block)]);
    }

    #[test]
    fn broken_packets_end_the_reading() {
        let good = goodbye(1, "x");
        for cut in 0..good.len() {
            let _ = parse(&good[..cut]);
        }
        assert_eq!(parse(&[0x80, 201, 0xff, 0xff]), []);
        assert_eq!(parse(&[0x40, 203, 0, 0]), []);
    }

    #[test]
    fn round_trip() {
        let sent = UtcNanos(1_700_000_000_000_000_000);
        let last_sr = u32::try_from(sent.ntp64() >> 16 & 0xffff_ffff).unwrap();
        let block = ReportBlock {
            source: 0,
            fraction_lost: 0,
            lost: 0,
            highest_seq: 0,
            jitter: 0,
            last_sr,
            delay: 65_536 / 10,
        };
        let arrived = UtcNanos(sent.0 + 150_000_000);
        let us = round_trip_us(&block, arrived).unwrap();
        assert!(us.abs_diff(50_000) < 40, "{us}");
        assert_eq!(round_trip_us(&ReportBlock { last_sr: 0, ..block }, arrived), None);
    }
}
