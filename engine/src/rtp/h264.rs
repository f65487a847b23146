//! H.264 in RTP (RFC 6184), packetization mode 1: single NAL units, STAP-A and FU-A.

use super::packet::{Source, Writer};

/// NAL type of an aggregation packet (RFC 6184 5.7.1).
const STAP_A: u8 = 24;
/// NAL type of a fragment (RFC 6184 5.8).
const FU_A: u8 = 28;

/// Packs one access unit. Small neighbours (SEI, SPS, PPS) share a packet, large ones are cut.
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

/// Packs NAL units from `first` into one STAP-A, if at least two fit. Returns how many.
fn aggregate(source: &Source<'_>, first: usize, writer: &mut Writer<'_>) -> usize {
    let mut used = 1;
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
    // The F bit is the OR, the NRI the highest of all (RFC 6184 5.7.1).
    let (mut forbidden, mut importance) = (0, 0);
    for nal in nals {
        let byte = first_byte(source, nal.offset as usize);
        forbidden |= byte & 0x80;
        importance = importance.max(byte & 0x60);
    }
    writer.begin(&[forbidden | importance | STAP_A]);
    for nal in nals {
        let size = u16::try_from(nal.len).unwrap_or(0);
        writer.append_bytes(&size.to_be_bytes());
        writer.append_unit(nal.offset as usize..(nal.offset + nal.len) as usize);
    }
    fits
}

fn fragment(source: &Source<'_>, from: usize, len: usize, writer: &mut Writer<'_>) {
    let header = first_byte(source, from);
    let indicator = header & 0xe0 | FU_A;
    // The NAL header is not sent; it is in the two bytes of the FU (RFC 6184 5.8).
    let (mut at, end) = (from + 1, from + len);
    let mut start_bit = 0x80;
    while at < end {
        let take = (writer.room() - 2).min(end - at);
        let end_bit = if at + take == end { 0x40 } else { 0 };
        writer.begin(&[indicator, start_bit | end_bit | header & 0x1f]);
        writer.append_unit(at..at + take);
        start_bit = 0;
        at += take;
    }
}

fn first_byte(source: &Source<'_>, at: usize) -> u8 {
    (source.head)(at..at + 1).and_then(|b| b.first().copied()).unwrap_or(0)
}

/// Puts H.264 packets together again, for publishers that send to us.
#[derive(Debug, Default)]
pub struct Depacketizer {
    /// Annex B bytes of the access unit so far.
    unit: Vec<u8>,
    /// Inside a fragmented NAL unit.
    fragment: bool,
    /// Something of this access unit is missing.
    broken: bool,
}

/// Largest access unit that is put together, in bytes.
pub const MAX_UNIT: usize = 8 << 20;

impl Depacketizer {
    /// Takes the payload of the next packet in order. `lost`: packets before it are missing.
    /// With the marker set, returns the access unit if it is whole.
    pub fn push(&mut self, payload: &[u8], marker: bool, lost: bool) -> Option<Vec<u8>> {
        if lost {
            self.broken = true;
            self.fragment = false;
        }
        if self.take(payload).is_none() || self.unit.len() > MAX_UNIT {
            self.broken = true;
            self.unit.clear();
        }
        if !marker {
            return None;
        }
        let whole = !self.broken && !self.fragment && !self.unit.is_empty();
        let unit = std::mem::take(&mut self.unit);
        (self.broken, self.fragment) = (false, false);
        whole.then_some(unit)
    }

    fn take(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, rest) = payload.split_first()?;
        match header & 0x1f {
            1..=23 => self.append(payload),
            STAP_A => {
                let mut rest = rest;
                while let Some((size, after)) = rest.split_at_checked(2) {
                    let len = usize::from(u16::from_be_bytes([size[0], size[1]]));
                    let (nal, after) = after.split_at_checked(len)?;
                    if !nal.is_empty() {
                        self.append(nal);
                    }
                    rest = after;
                }
            }
            FU_A => {
                let (&fu, data) = rest.split_first()?;
                if fu & 0x80 != 0 {
                    self.append(&[header & 0xe0 | fu & 0x1f]);
                    self.fragment = true;
                } else if !self.fragment {
                    return None;
                }
                self.unit.extend_from_slice(data);
                if fu & 0x40 != 0 {
                    self.fragment = false;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn append(&mut self, nal: &[u8]) {
        self.unit.extend_from_slice(&[0, 0, 0, 1]);
        self.unit.extend_from_slice(nal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::tests::{SHAPE, wire};
    use super::*;
    use lensd_ffi::unit::{Codec, split_annex_b};

    fn unit(lens: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (i, len) in lens.iter().enumerate() {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.push(0x60 | u8::try_from(i % 5 + 1).unwrap());
            bytes.extend((1..*len).map(|n| u8::try_from(n % 200 + 2).unwrap()));
        }
        bytes
    }

    #[test]
    fn what_is_packed_comes_out_again_whatever_the_sizes() {
        for lens in [
            &[1][..],
            &[88],
            &[89],
            &[10, 20, 1000],
            &[10, 20, 30, 40],
            &[500, 3, 500],
            &[86, 1, 87, 88, 89, 90],
        ] {
            let bytes = unit(lens);
            let mut nals = Vec::new();
            split_annex_b(&bytes, &mut nals);
            assert_eq!(nals.len(), lens.len());
            let packets = wire(&bytes, &nals, Codec::H264, &SHAPE, 0);
            let mut depacketizer = Depacketizer::default();
            let mut out = None;
            for (i, p) in packets.iter().enumerate() {
                out = depacketizer.push(&p[12..], i + 1 == packets.len(), false);
            }
            assert_eq!(out.as_ref(), Some(&bytes), "{lens:?}");
        }
    }

    #[test]
    fn small_neighbours_share_a_packet() {
        let bytes = unit(&[10, 20, 30]);
        let mut nals = Vec::new();
        split_annex_b(&bytes, &mut nals);
        let packets = wire(&bytes, &nals, Codec::H264, &SHAPE, 0);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0][12] & 0x1f, STAP_A);
    }

    #[test]
    fn a_unit_with_a_lost_packet_is_not_returned_and_the_next_is() {
        let bytes = unit(&[500]);
        let mut nals = Vec::new();
        split_annex_b(&bytes, &mut nals);
        let packets = wire(&bytes, &nals, Codec::H264, &SHAPE, 0);
        let mut d = Depacketizer::default();
        assert_eq!(d.push(&packets[0][12..], false, false), None);
        for p in &packets[2..packets.len() - 1] {
            assert_eq!(d.push(&p[12..], false, true), None);
        }
        assert_eq!(d.push(&packets[packets.len() - 1][12..], true, false), None);
        assert!(d.push(&[0x41, 1], true, false).is_some());
    }

    #[test]
    fn hostile_payloads_are_survived() {
        let mut d = Depacketizer::default();
        for p in [&[][..], &[24], &[24, 0], &[24, 0, 9, 1], &[28], &[28, 0], &[0], &[31, 1]] {
            assert_eq!(d.push(p, true, false), None, "{p:?}");
        }
    }
}
