//! Parameter sets of a stream: which hold, and whether a unit brings others.

use crate::syntax::bits::Bits;
use crate::unit::{Codec, NalSpan, UnitMeta};

/// Most sets that are kept; encoders have one of each kind. What is more is not taken.
const MOST: usize = 64;
/// Most bytes of a set. Real ones have less than a hundred.
const LONGEST: usize = 4096;

/// What a NAL unit is to MP4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Video parameter set (H.265).
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// Filler data: ISO/IEC 14496-15 has no place for it in samples.
    Filler,
    /// Anything else: slices, SEI, delimiters.
    Content,
}

impl Kind {
    pub(super) fn of(codec: Codec, nal: &[u8]) -> Self {
        let Some(first) = nal.first() else { return Self::Filler };
        match (codec, first & 31, first >> 1 & 63) {
            (Codec::H264, 7, _) | (Codec::H265, _, 33) => Self::Sps,
            (Codec::H264, 8, _) | (Codec::H265, _, 34) => Self::Pps,
            (Codec::H265, _, 32) => Self::Vps,
            (Codec::H264, 12, _) | (Codec::H265, _, 38) => Self::Filler,
            _ => Self::Content,
        }
    }
}

/// The NAL units of a unit; those that are not inside of it are left out.
pub(super) fn nals_of<'a>(bytes: &'a [u8], nals: &'a [NalSpan]) -> impl Iterator<Item = &'a [u8]> {
    nals.iter().filter_map(|span| {
        let from = span.offset as usize;
        bytes.get(from..from.checked_add(span.len as usize)?)
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    kind: Kind,
    id: u32,
    nal: Vec<u8>,
}

/// All sets that hold, by kind and identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ParameterSets {
    list: Vec<Set>,
}

impl ParameterSets {
    /// Takes the sets of a unit. True: some were not known, or said something else.
    pub(super) fn take(&mut self, meta: &UnitMeta, bytes: &[u8], nals: &[NalSpan]) -> bool {
        let mut changed = false;
        for nal in nals_of(bytes, nals) {
            let kind = Kind::of(meta.codec, nal);
            if kind > Kind::Pps || nal.len() > LONGEST {
                continue;
            }
            let Some(id) = id_of(meta.codec, kind, nal) else { continue };
            let known = self.list.iter().position(|set| (set.kind, set.id) == (kind, id));
            match known {
                Some(at) if self.list[at].nal == nal => continue,
                Some(at) => nal.clone_into(&mut self.list[at].nal),
                None if self.list.len() < MOST => {
                    self.list.push(Set { kind, id, nal: nal.to_vec() });
                    self.list.sort_by_key(|set| (set.kind, set.id));
                }
                None => continue,
            }
            changed = true;
            // The pictures' sets were read by the old one (7.4.1.2.1): they come anew.
            if kind == Kind::Sps && known.is_some() {
                self.list.retain(|set| set.kind != Kind::Pps);
            }
        }
        changed
    }

    /// The sets of a kind, by their identifiers.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &[u8]> {
        self.list.iter().filter(move |set| set.kind == kind).map(|set| &*set.nal)
    }

    /// Copies of the sets of a kind.
    pub(super) fn copies(&self, kind: Kind) -> Vec<Vec<u8>> {
        self.of(kind).map(<[u8]>::to_vec).collect()
    }
}

/// The identifier of a set. None: it is cut short.
fn id_of(codec: Codec, kind: Kind, nal: &[u8]) -> Option<u32> {
    match (codec, kind) {
        (Codec::H264, Kind::Sps) => Bits::new(nal.get(4..)?).ue(),
        (Codec::H264, _) => Bits::new(nal.get(1..)?).ue(),
        (_, Kind::Sps) => crate::syntax::h265::parse_sps(nal).map(|sps| sps.id.into()),
        (_, Kind::Vps) => Bits::new(nal.get(2..)?).u(4),
        _ => Bits::new(nal.get(2..)?).ue(),
    }
}
