//! JPEG in RTP (RFC 2435).
//!
//! The format carries the entropy-coded scan and rebuilds the headers at the receiver, so it can
//! only carry baseline pictures of three components, 4:2:0 or 4:2:2, with the standard Huffman
//! tables, at most 2040 pixels a side. The quantization tables go along in the first packet.

use super::huffman;
use super::packet::{Head, Source, Writer};

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

/// As many bytes of a picture as its headers usually take, and may take: some cameras put a small
/// picture, or data of their own, into segments of 64 KiB each.
const HEADERS: [usize; 2] = [4096, 256 * 1024];
/// Longest side in pixels: eight times what a byte holds (RFC 2435 section 3.1.5).
const MAX_SIDE: usize = 2040;
/// Longest scan: offsets have 24 bits.
const MAX_SCAN: usize = 0xff_ffff;

/// Packs one picture; nothing if RTP cannot carry it.
pub(super) fn pack(source: &Source<'_>, writer: &mut Writer<'_>) {
    let Ok(headers) = Headers::read(source.len, source.head) else { return };
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
    Headers::parse(head).is_ok()
}

/// Why RTP cannot carry a picture of `len` bytes, which `head` reads; `None` if it can, or if it
/// cannot be read any more.
pub fn refusal(len: usize, head: &Head<'_>) -> Option<&'static str> {
    match Headers::read(len, head) {
        Err(Fault::Unfit(why)) => Some(why),
        Err(Fault::Cut) => Some("its headers have no end"),
        Ok(_) | Err(Fault::Gone) => None,
    }
}

/// What is wrong with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// RTP cannot carry it: why.
    Unfit(&'static str),
    /// Its headers go on behind the bytes that are there.
    Cut,
    /// It is overwritten.
    Gone,
}

impl Headers {
    /// RFC 2435 section 3.1, with Q = 255: tables are in the packet.
    fn main_header(&self, offset: usize) -> Vec<u8> {
        let offset = u32::try_from(offset).unwrap_or(0).to_be_bytes();
        let kind = if self.restart_interval > 0 { self.kind | 0x40 } else { self.kind };
        let side = |n: usize| u8::try_from(n.div_ceil(8)).unwrap_or(0);
        vec![0, offset[1], offset[2], offset[3], kind, 255, side(self.width), side(self.height)]
    }

    fn read(len: usize, head: &Head<'_>) -> Result<Self, Fault> {
        let mut headers = Err(Fault::Cut);
        for limit in HEADERS {
            headers = Self::parse(&head(0..len.min(limit)).ok_or(Fault::Gone)?);
            if headers != Err(Fault::Cut) {
                break;
            }
        }
        match headers {
            Ok(headers) if len - headers.scan > MAX_SCAN => Err(Fault::Unfit("it is too long")),
            headers => headers,
        }
    }

    fn parse(jpeg: &[u8]) -> Result<Self, Fault> {
        let byte = |at: usize| jpeg.get(at).copied().ok_or(Fault::Cut);
        let mut tables: [Option<&[u8]>; 4] = [None; 4];
        let mut frame = None;
        let mut restart_interval = 0;
        if (byte(0)?, byte(1)?) != (0xff, 0xd8) {
            return Err(Fault::Unfit("it is no JPEG"));
        }
        let mut at = 2;
        let scan = loop {
            if byte(at)? != 0xff {
                return Err(Fault::Unfit("its headers are broken"));
            }
            let marker = byte(at + 1)?;
            if marker == 0xff {
                at += 1;
                continue;
            }
            let len = usize::from(u16::from_be_bytes([byte(at + 2)?, byte(at + 3)?]));
            let body = jpeg.get(at + 4..at + 2 + len.max(2)).ok_or(Fault::Cut)?;
            at += 2 + len.max(2);
            match marker {
                0xdb => read_tables(body, &mut tables)?,
                0xc4 => check_huffman(body)?,
                0xc0 => frame = Some(Frame::parse(body)?),
                0xdd => match *body {
                    [a, b] => restart_interval = u16::from_be_bytes([a, b]),
                    _ => return Err(Fault::Unfit("its restart interval is broken")),
                },
                0xc1..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => {
                    return Err(Fault::Unfit("it is not baseline (progressive, for example)"));
                }
                0xda => break body,
                _ => {}
            }
        };
        let frame = frame.ok_or(Fault::Unfit("its scan comes before its size"))?;
        // All three components in one scan, luminance with the first tables, chrominance with the
        // second: nothing else is what a receiver rebuilds.
        let [y, u, v] = frame.components;
        if scan != [3, y.id, 0x00, u.id, 0x11, v.id, 0x11, 0, 63, 0] {
            return Err(Fault::Unfit("its components are not coded together in one scan"));
        }
        let kind = match [y.sampling, u.sampling, v.sampling] {
            [0x21, 0x11, 0x11] => 0,
            [0x22, 0x11, 0x11] => 1,
            _ => return Err(Fault::Unfit("its colours are neither 4:2:0 nor 4:2:2")),
        };
        let table =
            |component: Component| tables.get(usize::from(component.table)).copied().flatten();
        let (Some(luma), Some(chroma)) = (table(y), table(u)) else {
            return Err(Fault::Unfit("it has no quantization tables"));
        };
        if table(v) != Some(chroma) {
            return Err(Fault::Unfit("it has more than two quantization tables"));
        }
        let tables = [luma, chroma].concat();
        let (width, height) = (frame.width, frame.height);
        Ok(Self { kind, width, height, tables, restart_interval, scan: at })
    }
}

/// One of the three colours (T.81 B.2.2).
#[derive(Clone, Copy)]
struct Component {
    id: u8,
    sampling: u8,
    table: u8,
}

/// The frame header.
struct Frame {
    width: usize,
    height: usize,
    components: [Component; 3],
}

impl Frame {
    fn parse(body: &[u8]) -> Result<Self, Fault> {
        let [8, h1, h0, w1, w0, 3, components @ ..] = body else {
            return Err(Fault::Unfit("it does not have three colours of 8 bits"));
        };
        let width = usize::from(u16::from_be_bytes([*w1, *w0]));
        let height = usize::from(u16::from_be_bytes([*h1, *h0]));
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Fault::Unfit("RTP carries JPEG pictures up to 2040x2040"));
        }
        let &[a, b, c, d, e, f, g, h, i] = components else {
            return Err(Fault::Unfit("its headers are broken"));
        };
        let component = |[id, sampling, table]: [u8; 3]| Component { id, sampling, table };
        let components = [[a, b, c], [d, e, f], [g, h, i]].map(component);
        Ok(Self { width, height, components })
    }
}

fn read_tables<'a>(mut body: &'a [u8], tables: &mut [Option<&'a [u8]>; 4]) -> Result<(), Fault> {
    while let Some((&kind, rest)) = body.split_first() {
        // 16-bit tables (high half not 0) are not baseline.
        let (Some(slot), Some((table, rest))) =
            (tables.get_mut(usize::from(kind)), rest.split_at_checked(64))
        else {
            return Err(Fault::Unfit("its quantization tables are not of 8 bits"));
        };
        *slot = Some(table);
        body = rest;
    }
    Ok(())
}

/// The tables do not travel: a receiver takes the standard's. A picture without any is coded with
/// those, too.
fn check_huffman(mut body: &[u8]) -> Result<(), Fault> {
    while let Some((&name, _)) = body.split_first() {
        let fault = Fault::Unfit("its Huffman tables are not the standard ones (optimised coding)");
        let counts = body.get(1..17).ok_or(fault)?;
        let values: usize = counts.iter().map(|n| usize::from(*n)).sum();
        let (table, rest) = body.split_at_checked(17 + values).ok_or(fault)?;
        // Others than these four no scan uses that is let through.
        if huffman::STANDARD.iter().any(|standard| standard[0] == name && *standard != table) {
            return Err(fault);
        }
        body = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{SHAPE, wire};
    use super::*;
    use crate::sys::jpeg::{Compressor, Subsampling};
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

    /// Why a picture cannot be carried.
    fn why(jpeg: &[u8]) -> Option<&'static str> {
        refusal(jpeg.len(), &|r| jpeg.get(r).map(<[u8]>::to_vec))
    }

    /// With the byte behind `offset` bytes after a marker replaced.
    fn with(jpeg: &[u8], marker: u8, offset: usize, byte: u8) -> Vec<u8> {
        let mut out = jpeg.to_vec();
        let at = jpeg.windows(2).position(|w| w == [0xff, marker]).unwrap();
        out[at + offset] = byte;
        out
    }

    #[test]
    fn what_rtp_cannot_carry_is_not_sent() {
        let good = picture(&[1, 2, 3]);
        assert!(can_carry(&good));
        assert!(!can_carry(&[]));
        assert!(!can_carry(&good[..50]));
        for (bad, reason) in [
            (with(&good, 0xc0, 1, 0xc2), "baseline"),
            (with(&good, 0xc0, 5, 8), "2040"),
            (with(&good, 0xc0, 7, 8), "2040"),
            (with(&good, 0xc0, 6, 0), "2040"),
            (with(&good, 0xc0, 9, 1), "three colours"),
            (with(&good, 0xc0, 11, 0x11), "4:2:0"),
            (with(&good, 0xc0, 18, 0), "quantization"),
            (with(&good, 0xc0, 12, 3), "quantization"),
            (with(&good, 0xdb, 4, 0x10), "quantization"),
            (with(&good, 0xda, 4, 1), "one scan"),
            (with(&good, 0xda, 6, 0x11), "one scan"),
        ] {
            let got = why(&bad).unwrap_or_default();
            assert!(got.contains(reason), "{reason}: {got:?}");
            let all = [NalSpan { offset: 0, len: u32::try_from(bad.len()).unwrap() }];
            assert!(wire(&bad, &all, Codec::Jpeg, &SHAPE, 0).is_empty(), "{reason}");
        }
    }

    #[test]
    fn the_tables_must_be_those_that_the_receiver_has() {
        let mut coded = Vec::new();
        let (luma, chroma) = ([77; 64 * 48], [99; 32 * 24]);
        let planes = [(&luma[..], 64), (&chroma[..], 32), (&chroma[..], 32)];
        let mut compressor = Compressor::new().unwrap();
        compressor.compress_planes(&planes, (64, 48), Subsampling::S420, 80, &mut coded).unwrap();
        assert_eq!(why(&coded), None, "what our own encoder makes");
        // The count of codes of 2 bits in the first table, and one of another length.
        let other = with(&with(&coded, 0xc4, 6, 0), 0xc4, 7, 6);
        assert!(why(&other).unwrap().contains("Huffman"));
        let planes = [(&luma[..], 64), (&luma[..], 64), (&luma[..], 64)];
        compressor.compress_planes(&planes, (64, 48), Subsampling::S444, 80, &mut coded).unwrap();
        assert!(why(&coded).unwrap().contains("4:2:0"));
        compressor
            .compress_planes(&planes[..1], (64, 48), Subsampling::Grey, 80, &mut coded)
            .unwrap();
        assert!(why(&coded).unwrap().contains("three colours"));
    }

    #[test]
    fn long_segments_before_the_picture_are_no_hindrance() {
        let good = picture(&[1, 2, 3]);
        let mut long = vec![0xff, 0xd8, 0xff, 0xe4, 0xff, 0xff];
        long.resize(2 + 2 + 0xffff, 7);
        long.extend_from_slice(&good[2..]);
        assert_eq!(why(&long), None);
        let all = [NalSpan { offset: 0, len: u32::try_from(long.len()).unwrap() }];
        let shape = super::super::packet::Shape { packet_size: 300, ..SHAPE };
        assert_eq!(wire(&long, &all, Codec::Jpeg, &shape, 0).len(), 1);
    }
}
