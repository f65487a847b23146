//! The init segment: `ftyp` and `moov`, and what browsers want to know ahead of it.

use super::boxes::nest;
use super::movie::Movie;
use super::sets::{Kind, ParameterSets};
use crate::syntax::{h264, h265};
use crate::unit::{Codec, Colour};
use mp4_atom::{
    Avc1, Avcc, AvccExt, Colr, Encode, Ftyp, Hvc1, HvcCArray, Hvcc, Visual,
    esds::{DecoderConfig, EsDescriptor, Esds, SLConfig},
};
use std::fmt::Write as _;

/// An init segment. All fragments up to the next one are read by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Init {
    /// `ftyp` and `moov`.
    pub bytes: Vec<u8>,
    /// The media type with the `codecs` of RFC 6381: `video/mp4; codecs="avc1.42c01e"`.
    pub mime: String,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl Init {
    /// What parameter sets say. None: some are missing, or say nothing sensible.
    pub(super) fn of(codec: Codec, sets: &ParameterSets) -> Option<Self> {
        let entry = match codec {
            Codec::H264 => avc1(sets)?,
            Codec::H265 => hvc1(sets)?,
            Codec::Jpeg => return None,
        };
        Self::with(entry)
    }

    /// Of JPEG pictures of this size: `mp4v` with the object type of JPEG, 0x6C (ISO/IEC 14496-1
    /// 7.2.6.6, ISO/IEC 14496-14 5.6). None: a size of nothing.
    pub fn jpeg(width: u16, height: u16) -> Option<Self> {
        if width == 0 || height == 0 {
            return None;
        }
        Self::with(mp4v(width, height)?)
    }

    fn with((entry, codecs, width, height): Entry) -> Option<Self> {
        let mut bytes = Vec::with_capacity(1024);
        // cmfc is CMAF's; iso6 is the first that may begin offsets at the moof.
        let brands = [b"iso6", b"cmfc", b"mp41"];
        let ftyp = Ftyp {
            major_brand: b"iso6".into(),
            minor_version: 0,
            compatible_brands: brands.into_iter().map(Into::into).collect(),
        };
        ftyp.encode(&mut bytes).ok()?;
        let movie = Movie { entry: &entry, width, height, created: 0, tables: None, items: &[] };
        movie.write(&mut bytes).ok()?;
        Some(Self { bytes, mime: format!("video/mp4; codecs=\"{codecs}\""), width, height })
    }
}

/// A sample entry, the `codecs` of RFC 6381, width and height.
type Entry = (Vec<u8>, String, u16, u16);

fn encoded(entry: &impl Encode) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    entry.encode(&mut out).ok().map(|()| out)
}

fn visual(width: usize, height: usize) -> Option<Visual> {
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    Some(Visual { data_reference_index: 1, width, height, ..Visual::default() })
}

fn colr(colour: Option<Colour>) -> Option<Colr> {
    colour.map(|colour| Colr::Nclx {
        colour_primaries: colour.primaries.into(),
        transfer_characteristics: colour.transfer.into(),
        matrix_coefficients: colour.matrix.into(),
        full_range_flag: colour.full_range,
    })
}

fn avc1(sets: &ParameterSets) -> Option<Entry> {
    let sequence_parameter_sets = sets.copies(Kind::Sps);
    let picture_parameter_sets = sets.copies(Kind::Pps);
    // `numOfSequenceParameterSets` has five bits.
    if sequence_parameter_sets.len() > 31 || picture_parameter_sets.is_empty() {
        return None;
    }
    let sps = h264::parse_sps(sequence_parameter_sets.first()?)?;
    let visual = visual(sps.width, sps.height)?;
    let (width, height) = (visual.width, visual.height);
    // ISO/IEC 14496-15 5.3.3.1.2: not for Baseline, Main and Extended.
    let ext = (!matches!(sps.profile_idc, 66 | 77 | 88)).then(|| AvccExt {
        chroma_format: sps.chroma_format_idc,
        bit_depth_luma: sps.bit_depth_luma,
        bit_depth_chroma: sps.bit_depth_chroma,
        sequence_parameter_sets_ext: Vec::new(),
    });
    let avcc = Avcc {
        configuration_version: 1,
        avc_profile_indication: sps.profile_idc,
        profile_compatibility: sps.constraints,
        avc_level_indication: sps.level_idc,
        length_size: 4,
        sequence_parameter_sets,
        picture_parameter_sets,
        ext,
    };
    let entry = Avc1 { visual, avcc, colr: colr(sps.colour), ..Avc1::default() };
    Some((encoded(&entry)?, format!("avc1.{:06x}", sps.profile_level_id()), width, height))
}

fn hvc1(sets: &ParameterSets) -> Option<Entry> {
    let sps = h265::parse_sps(sets.of(Kind::Sps).next()?)?;
    let array = |nal_unit_type, kind| {
        let nalus = sets.copies(kind);
        (!nalus.is_empty()).then_some(HvcCArray { completeness: true, nal_unit_type, nalus })
    };
    let arrays = vec![array(32, Kind::Vps)?, array(33, Kind::Sps)?, array(34, Kind::Pps)?];
    let visual = visual(sps.width, sps.height)?;
    let (width, height) = (visual.width, visual.height);
    let hvcc = Hvcc {
        general_profile_space: sps.profile_space,
        general_tier_flag: sps.high_tier,
        general_profile_idc: sps.profile_idc,
        general_profile_compatibility_flags: sps.compatibility.to_be_bytes(),
        general_constraint_indicator_flags: sps.constraints,
        general_level_idc: sps.level_idc,
        chroma_format_idc: sps.chroma_format_idc,
        bit_depth_luma_minus8: sps.bit_depth_luma - 8,
        bit_depth_chroma_minus8: sps.bit_depth_chroma - 8,
        num_temporal_layers: sps.sub_layers,
        temporal_id_nested: sps.temporal_id_nested,
        length_size_minus_one: 3,
        arrays,
        ..Hvcc::new()
    };
    let entry = Hvc1 { visual, hvcc, colr: colr(sps.colour), ..Hvc1::default() };
    Some((encoded(&entry)?, hvc1_codecs(&sps), width, height))
}

fn mp4v(width: u16, height: u16) -> Option<Entry> {
    let dec_config = DecoderConfig {
        object_type_indication: 0x6c,
        // VisualStream (ISO/IEC 14496-1 table 6)
        stream_type: 4,
        ..DecoderConfig::default()
    };
    let es_desc = EsDescriptor { dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() };
    let mut out = Vec::new();
    nest(&mut out, b"mp4v", |out| {
        visual(width.into(), height.into()).unwrap_or_default().encode(out)?;
        Esds { es_desc }.encode(out)
    })
    .ok()?;
    Some((out, "mp4v.6C".to_owned(), width, height))
}

/// ISO/IEC 14496-15 E.3: `hvc1.1.6.L93.90`.
fn hvc1_codecs(sps: &h265::Sps) -> String {
    let space = ["", "A", "B", "C"][usize::from(sps.profile_space & 3)];
    let tier = if sps.high_tier { 'H' } else { 'L' };
    let mut out = format!(
        "hvc1.{space}{}.{:X}.{tier}{}",
        sps.profile_idc,
        sps.compatibility.reverse_bits(),
        sps.level_idc
    );
    let used = sps.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &sps.constraints[..used] {
        let _ = write!(out, ".{byte:X}");
    }
    out
}
