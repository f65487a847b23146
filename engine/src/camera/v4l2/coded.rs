//! Coded streams of cameras and encoders, made complete: each key frame with its parameter sets.

use crate::camera::CodedUnit;
use lensd_ffi::unit::{Codec, split_annex_b};

/// Makes units of what a driver delivers buffer by buffer.
#[derive(Debug)]
pub struct Assembler {
    codec: Codec,
    /// The newest parameter sets by their NAL unit type, in the order of their types: VPS, SPS, PPS.
    sets: Vec<(u8, Vec<u8>)>,
    /// What came in buffers without a picture, to be put before the next one.
    head: Vec<u8>,
}

/// Most bytes that are kept for the next picture.
const MOST_HEAD: usize = 64 * 1024;

const START: [u8; 4] = [0, 0, 0, 1];

impl Assembler {
    /// For a stream of this coding.
    pub fn new(codec: Codec) -> Self {
        Self { codec, sets: Vec::new(), head: Vec::new() }
    }

    /// Puts the access unit in `bytes` (Annex B) into `out`: `codec`, `key`, `bytes`, `nals`.
    /// `false` if it holds no picture; its parameter sets then go before the next.
    pub fn assemble(&mut self, bytes: &[u8], out: &mut CodedUnit) -> bool {
        (out.codec, out.key) = (self.codec, false);
        out.bytes.clear();
        out.nals.clear();
        split_annex_b(bytes, &mut out.nals);
        // Some drivers give whole buffers: the zeros after the last NAL unit are no part of it.
        let end = out.nals.last().map_or(0, |nal| (nal.offset + nal.len) as usize);
        let bytes = &bytes[..end];
        let types: Vec<u8> = out.nals.iter().map(|n| self.kind(bytes[n.offset as usize])).collect();
        for (nal, kind) in out.nals.iter().zip(&types) {
            if self.is_set(*kind) {
                self.remember(*kind, &bytes[nal.offset as usize..][..nal.len as usize]);
            }
        }
        if !types.iter().any(|kind| self.is_picture(*kind)) {
            // Many encoders give their parameter sets in a buffer of their own. One that gives
            // nothing else must not fill the memory.
            if types.is_empty() || self.head.len() + bytes.len() > MOST_HEAD {
                self.head.clear();
            } else {
                self.head.extend_from_slice(bytes);
            }
            out.nals.clear();
            return false;
        }
        let random_access = types.iter().any(|kind| self.is_random_access(*kind));
        let carries = types.iter().any(|kind| self.is_set(*kind));
        if !self.head.is_empty() {
            out.bytes.append(&mut self.head);
        } else if random_access && !carries {
            for (_, set) in &self.sets {
                out.bytes.extend_from_slice(&START);
                out.bytes.extend_from_slice(set);
            }
        }
        out.bytes.extend_from_slice(bytes);
        if out.bytes.len() != bytes.len() {
            out.nals.clear();
            split_annex_b(&out.bytes, &mut out.nals);
        }
        // Without parameter sets nobody can begin there.
        out.key = random_access && self.complete();
        true
    }

    fn remember(&mut self, kind: u8, set: &[u8]) {
        match self.sets.binary_search_by_key(&kind, |(kind, _)| *kind) {
            Ok(at) => {
                if self.sets[at].1 != set {
                    self.sets[at].1 = set.to_vec();
                }
            }
            Err(at) => self.sets.insert(at, (kind, set.to_vec())),
        }
    }

    fn complete(&self) -> bool {
        let wanted = if self.codec == Codec::H265 { 3 } else { 2 };
        self.sets.len() == wanted
    }

    /// `nal_unit_type`: H.264 7.3.1, H.265 7.3.1.2.
    fn kind(&self, header: u8) -> u8 {
        if self.codec == Codec::H265 { header >> 1 & 0x3f } else { header & 0x1f }
    }

    /// SPS 7 and PPS 8 (H.264 table 7-1); VPS 32, SPS 33, PPS 34 (H.265 table 7-1).
    fn is_set(&self, kind: u8) -> bool {
        if self.codec == Codec::H265 { (32..=34).contains(&kind) } else { matches!(kind, 7 | 8) }
    }

    fn is_picture(&self, kind: u8) -> bool {
        if self.codec == Codec::H265 { kind < 32 } else { (1..=5).contains(&kind) }
    }

    /// IDR (H.264), IRAP (H.265 16..=23).
    fn is_random_access(&self, kind: u8) -> bool {
        if self.codec == Codec::H265 { (16..=23).contains(&kind) } else { kind == 5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&START[..], nal].concat()).collect()
    }

    fn types(codec: Codec, unit: &CodedUnit) -> Vec<u8> {
        let assembler = Assembler::new(codec);
        unit.nals.iter().map(|n| assembler.kind(unit.bytes[n.offset as usize])).collect()
    }

    #[test]
    fn an_idr_gets_the_parameter_sets_it_lacks() {
        let mut assembler = Assembler::new(Codec::H264);
        let mut out = CodedUnit::default();
        let whole = annex_b(&[&[0x67, 1], &[0x68, 2], &[0x65, 3]]);
        assert!(assembler.assemble(&whole, &mut out));
        assert!(out.key);
        assert_eq!(out.bytes, whole);
        assert!(assembler.assemble(&annex_b(&[&[0x41, 9]]), &mut out));
        assert!(!out.key);
        assert!(assembler.assemble(&annex_b(&[&[0x65, 4]]), &mut out));
        assert!(out.key);
        assert_eq!(types(Codec::H264, &out), [7, 8, 5]);
    }

    #[test]
    fn zeros_after_the_unit_are_left_out() {
        let mut out = CodedUnit::default();
        let unit = annex_b(&[&[0x41, 9]]);
        let padded = [&unit[..], &[0; 1000]].concat();
        assert!(Assembler::new(Codec::H264).assemble(&padded, &mut out));
        assert_eq!(out.bytes, unit);
    }

    #[test]
    fn parameter_sets_in_a_buffer_of_their_own_join_the_next_picture() {
        let mut assembler = Assembler::new(Codec::H264);
        let mut out = CodedUnit::default();
        assert!(!assembler.assemble(&annex_b(&[&[0x67, 1], &[0x68, 2]]), &mut out));
        assert!(assembler.assemble(&annex_b(&[&[0x65, 3]]), &mut out));
        assert_eq!((out.key, types(Codec::H264, &out)), (true, vec![7, 8, 5]));
    }

    #[test]
    fn an_idr_before_any_parameter_set_is_no_key() {
        let mut assembler = Assembler::new(Codec::H264);
        let mut out = CodedUnit::default();
        assert!(assembler.assemble(&annex_b(&[&[0x65, 3]]), &mut out));
        assert!(!out.key);
    }

    #[test]
    fn newer_parameter_sets_replace_older_ones() {
        let mut assembler = Assembler::new(Codec::H265);
        let mut out = CodedUnit::default();
        let head = |n| annex_b(&[&[0x44, 1, n], &[0x42, 1, n], &[0x40, 1, n]]);
        assert!(!assembler.assemble(&head(1), &mut out));
        assert!(!assembler.assemble(&head(2), &mut out));
        assert!(assembler.assemble(&annex_b(&[&[0x26, 1, 7]]), &mut out));
        assert!(assembler.assemble(&annex_b(&[&[0x26, 1, 8]]), &mut out));
        assert!(out.key);
        assert_eq!(types(Codec::H265, &out), [32, 33, 34, 19]);
        assert!(out.bytes.windows(3).any(|w| w == [0x42, 1, 2]));
        assert!(!out.bytes.windows(3).any(|w| w == [0x42, 1, 1]));
    }

    #[test]
    fn junk_holds_no_picture() {
        let mut out = CodedUnit::default();
        assert!(!Assembler::new(Codec::H264).assemble(&[1, 2, 3], &mut out));
        assert!(!Assembler::new(Codec::H264).assemble(&[], &mut out));
        let mut assembler = Assembler::new(Codec::H264);
        for _ in 0..10_000 {
            assert!(!assembler.assemble(&annex_b(&[&[0x06; 100]]), &mut out));
        }
        assert!(assembler.head.len() <= MOST_HEAD);
    }
}
