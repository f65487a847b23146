//! H.265 in RTP (RFC 7798): single NAL units, aggregation packets and fragments, without DONL.

use super::packet::{Source, Writer};

/// NAL type of an aggregation packet (RFC 7798 4.4.2).
const AP: u8 = 48;
/// NAL type of a fragment (RFC 7798 4.4.3).
const FU: u8 = 49;

/// Packs one access unit.
pub(super) fn pack(source: &Source<'_>, writer: &mut Writer<'_>) {
    let mut i = 0;
    while i < source.nals.len() {
        let taken = aggregate(source, i, writer);
        if taken > 0 {
            i += taken;
            continue;
        }
        let nal = source.nals[i];
        let (from, len) = (nal.offset as usize, nal.len as usize);
        if len <= writer.room() {
            writer.begin(&[]);
            writer.append_unit(from..from + len);
        } else {
            fragment(source, from, len, writer);
        }
        i += 1;
    }
}

fn aggregate(source: &Source<'_>, first: usize, writer: &mut Writer<'_>) -> usize {
    let mut used = 2;
    let fits = source.nals[first..]
        .iter()
        .take_while(|nal| {
            used += 2 + nal.len as usize;
            used <= writer.room()
        })
        .count();
    if fits < 2 {
        return 0;
    }
    let nals = &source.nals[first..first + fits];
    // Layer and temporal id are the lowest of all (RFC 7798 4.4.2).
    let (mut forbidden, mut ids) = (0, u16::MAX);
    for nal in nals {
        let header = header_of(source, nal.offset as usize);
        forbidden |= header & 0x8000;
        ids = ids.min(header & 0x01ff);
    }
    let header = forbidden | u16::from(AP) << 9 | ids;
    writer.begin(&header.to_be_bytes());
    for nal in nals {
        writer.append_bytes(&u16::try_from(nal.len).unwrap_or(0).to_be_bytes());
        writer.append_unit(nal.offset as usize..(nal.offset + nal.len) as usize);
    }
    fits
}

fn fragment(source: &Source<'_>, from: usize, len: usize, writer: &mut Writer<'_>) {
    let header = header_of(source, from);
    let kind = u8::try_from(header >> 9 & 0x3f).unwrap_or(0);
    let payload_header = (header & 0x81ff | u16::from(FU) << 9).to_be_bytes();
    let (mut at, end) = (from + 2, from + len);
    let mut start_bit = 0x80;
    while at < end {
        let take = (writer.room() - 3).min(end - at);
        let end_bit = if at + take == end { 0x40 } else { 0 };
        writer.begin(&[payload_header[0], payload_header[1], start_bit | end_bit | kind]);
        writer.append_unit(at..at + take);
        start_bit = 0;
        at += take;
    }
}

fn header_of(source: &Source<'_>, at: usize) -> u16 {
    match (source.head)(at..at + 2).as_deref() {
        Some([a, b]) => u16::from_be_bytes([*a, *b]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{SHAPE, wire};
    use lensd_ffi::unit::{Codec, NalSpan};

    #[test]
    fn a_fragmented_unit_keeps_its_type_and_its_bytes() {
        // IDR_W_RADL (19), layer 0, temporal id plus one 1.
        let mut bytes = vec![0, 0, 0, 1, 19 << 1, 1];
        bytes.extend((0..300u16).map(|n| u8::try_from(n % 250 + 2).unwrap()));
        let nals = [NalSpan { offset: 4, len: 302 }];
        let packets = wire(&bytes, &nals, Codec::H265, &SHAPE, 0);
        let mut again = vec![19 << 1, 1];
        for (i, p) in packets.iter().enumerate() {
            assert_eq!(p[12] >> 1 & 0x3f, 49);
            assert_eq!(p[14] & 0x3f, 19);
            assert_eq!(p[14] & 0x80 != 0, i == 0);
            assert_eq!(p[14] & 0x40 != 0, i + 1 == packets.len());
            again.extend_from_slice(&p[15..]);
        }
        assert_eq!(again, bytes[4..]);
    }

    #[test]
    fn parameter_sets_are_aggregated() {
        let bytes = [0, 0, 0, 1, 64, 1, 9, 0, 0, 0, 1, 66, 1, 8, 7];
        let nals = [NalSpan { offset: 4, len: 3 }, NalSpan { offset: 11, len: 4 }];
        let packets = wire(&bytes, &nals, Codec::H265, &SHAPE, 0);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0][12..], [48 << 1, 1, 0, 3, 64, 1, 9, 0, 4, 66, 1, 8, 7]);
    }
}
