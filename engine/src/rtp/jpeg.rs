//! JPEG in RTP (RFC 2435).
//!
//! The format carries the entropy-coded scan and rebuilds the headers at the receiver, so it can
//! only carry baseline pictures of three components, 4:2:0 or 4:2:2, with the standard Huffman
//! tables, at most 2040 pixels a side. The quantization tables go along in the first packet.

use super::packet::{Source, Writer};

/// What a JPEG's headers say, as far as RTP carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Headers {
    /// RFC 2435 section 4.1: 0 for 4:2:2, 1 for 4:2:0.
    kind: u8,
    width: usize,
    height: usize,
    /// Quantization tables in the order luminance, chrominance, 64 bytes each.
    tables: Vec<u8>,
    restart_interval: u16,
    /// Where the scan begins.
    scan: usize,
}

/// As many bytes of a picture as its headers may take.
const MAX_HEADERS: usize = 4096;

/// Packs one picture; nothing if RTP cannot carry it.
pub(super) fn pack(source: &Source<'_>, writer: &mut Writer<'_>) {
    let Some(head) = (source.head)(0..source.len.min(MAX_HEADERS)) else { return };
    let Some(headers) = Headers::parse(&head) else { return };
    let tail = (source.head)(source.len.saturating_sub(2)..source.len);
    // The end-of-image marker is the receiver's to add, though most send it; it is left out.
    let end = if tail.as_deref() == Some(&[0xff, 0xd9]) { source.len - 2 } else { source.len };
    let mut at = headers.scan;
    while at < end {
        let offset = at - headers.scan;
        let mut header = headers.main_header(offset);
        if headers.restart_interval > 0 {
            header.extend_from_slice(&headers.restart_interval.to_be_bytes());
            // F and L set, count all ones: whole frames only (RFC 2435 section 3.1.7).
            header.extend_from_slice(&[0xff, 0xff]);
        }
        if offset == 0 {
            let len = u16::try_from(headers.tables.len()).unwrap_or(0);
            header.extend_from_slice(&[0, 0]);
            header.extend_from_slice(&len.to_be_bytes());
            header.extend_from_slice(&headers.tables);
        }
        let take = writer.room().saturating_sub(header.len()).min(end - at);
        if take == 0 {
            return;
        }
        writer.begin(&header);
        writer.append_unit(at..at + take);
        at += take;
    }
}

/// Whether RTP can carry a picture with these first bytes.
pub fn can_carry(head: &[u8]) -> bool {
    Headers::parse(head).is_some()
}

impl Headers {
    /// RFC 2435 section 3.1, with Q = 255: tables are in the packet.
    fn main_header(&self, offset: usize) -> Vec<u8> {
        let offset = u32::try_from(offset).unwrap_or(0).to_be_bytes();
        let kind = if self.restart_interval > 0 { self.kind | 0x40 } else { self.kind };
        let side = |n: usize| u8::try_from(n.div_ceil(8)).unwrap_or(0);
        vec![0, offset[1], offset[2], offset[3], kind, 255, side(self.width), side(self.height)]
    }

    fn parse(jpeg: &[u8]) -> Option<Self> {
        let mut tables: [Option<Vec<u8>>; 4] = [None, None, None, None];
        let mut frame = None;
        let mut restart_interval = 0;
        let mut at = 2;
        if jpeg.get(..2)? != [0xff, 0xd8] {
            return None;
        }
        loop {
            if *jpeg.get(at)? != 0xff {
                return None;
            }
            let marker = *jpeg.get(at + 1)?;
            if marker == 0xff {
                at += 1;
                continue;
            }
            let len = usize::from(u16::from_be_bytes([*jpeg.get(at + 2)?, *jpeg.get(at + 3)?]));
            let body = jpeg.get(at + 4..at + 2 + len)?;
            at += 2 + len;
            match marker {
                0xdb => read_tables(body, &mut tables)?,
                0xc0 => frame = Some(body),
                0xdd => restart_interval = u16::from_be_bytes([*body.first()?, *body.get(1)?]),
                // Other frame types than baseline cannot be carried.
                0xc1..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return None,
                0xda => break,
                _ => {}
            }
        }
        let frame = frame?;
        let side =
            |i: usize| Some(usize::from(u16::from_be_bytes([*frame.get(i)?, *frame.get(i + 1)?])));
        let (height, width) = (side(1)?, side(3)?);
        if *frame.first()? != 8 || *frame.get(5)? != 3 || width > 2040 || height > 2040 {
            return None;
        }
        let kind = match (*frame.get(7)?, *frame.get(10)?, *frame.get(13)?) {
            (0x21, 0x11, 0x11) => 0,
            (0x22, 0x11, 0x11) => 1,
            _ => return None,
        };
        let table = |i: usize| tables.get(usize::from(*frame.get(i)?))?.clone();
        let (luma, chroma) = (table(8)?, table(11)?);
        let tables = [luma, chroma].concat();
        Some(Self { kind, width, height, tables, restart_interval, scan: at })
    }
}

fn read_tables(mut body: &[u8], tables: &mut [Option<Vec<u8>>; 4]) -> Option<()> {
    while let Some((&kind, rest)) = body.split_first() {
        // 16-bit tables (high half not 0) are not baseline.
        let (table, rest) = rest.split_at_checked(64)?;
        if kind > 3 {
            return None;
        }
        tables[usize::from(kind)] = Some(table.to_vec());
        body = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{SHAPE, wire};
    use super::*;
    use lensd_ffi::unit::{Codec, NalSpan};

    fn picture(scan: &[u8]) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        let mut segment = |marker: u8, body: &[u8]| {
            out.extend_from_slice(&[0xff, marker]);
            out.extend_from_slice(&u16::try_from(body.len() + 2).unwrap().to_be_bytes());
            out.extend_from_slice(body);
        };
        segment(0xdb, &[&[0][..], &[1; 64], &[1], &[2; 64]].concat());
        let sof = [8, 0, 48, 0, 64, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        segment(0xc0, &sof);
        segment(0xda, &[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
        out.extend_from_slice(scan);
        out.extend_from_slice(&[0xff, 0xd9]);
        out
    }

    #[test]
    fn the_scan_is_cut_and_the_tables_go_along() {
        let scan: Vec<u8> = (0..500u16).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let bytes = picture(&scan);
        let shape = super::super::packet::Shape { packet_size: 300, ..SHAPE };
        let all = [NalSpan { offset: 0, len: u32::try_from(bytes.len()).unwrap() }];
        let packets = wire(&bytes, &all, Codec::Jpeg, &shape, 0);
        assert_eq!(packets[0][12..20], [0, 0, 0, 0, 1, 255, 8, 6]);
        assert_eq!(packets[0][20..24], [0, 0, 0, 128]);
        let mut again = packets[0][24 + 128..].to_vec();
        for p in &packets[1..] {
            let offset = usize::from(p[14]) << 8 | usize::from(p[15]);
            assert_eq!(offset, again.len());
            again.extend_from_slice(&p[20..]);
        }
        assert_eq!(again, scan);
    }

    #[test]
    fn what_rtp_cannot_carry_is_not_sent() {
        let good = picture(&[1, 2, 3]);
        assert!(can_carry(&good));
        assert!(!can_carry(&[]));
        assert!(!can_carry(&good[..50]));
        let mut progressive = good.clone();
        let sof = good.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        progressive[sof + 1] = 0xc2;
        assert!(!can_carry(&progressive));
    }
}
