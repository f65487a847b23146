//! Sequence parameter sets of H.265 (7.3.2.2, E.2.1): what MP4 needs of them.

use super::bits::Bits;
use crate::unit::Colour;

/// What a sequence parameter set says. Field names are those of H.265 7.4.3.2.1 where they have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sps {
    /// `general_profile_space`, 0 to 3.
    pub profile_space: u8,
    /// `general_tier_flag`: the high tier.
    pub high_tier: bool,
    /// `general_profile_idc`, 0 to 31.
    pub profile_idc: u8,
    /// `general_profile_compatibility_flag[0]` (bit 31) to `[31]` (bit 0).
    pub compatibility: u32,
    /// The 48 bits from `general_progressive_source_flag` on.
    pub constraints: [u8; 6],
    /// `general_level_idc`, 30 times the level.
    pub level_idc: u8,
    /// `sps_max_sub_layers_minus1` + 1, 1 to 7.
    pub sub_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub temporal_id_nested: bool,
    /// `sps_seq_parameter_set_id`, 0 to 15.
    pub id: u8,
    /// `chroma_format_idc`, 0 to 3.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample, 8 to 15.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 15.
    pub bit_depth_chroma: u8,
    /// Width in pixels, cropped.
    pub width: usize,
    /// Height in pixels, cropped.
    pub height: usize,
    /// What samples mean, if the VUI says it.
    pub colour: Option<Colour>,
}

/// Reads a sequence parameter set from its NAL unit (header included, start code not). `None` if it
/// is another NAL unit, is cut short before its size, or says something that the standard forbids.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    if nal.first()? >> 1 & 63 != 33 {
        return None;
    }
    let mut bits = Bits::new(nal.get(2..)?);
    bits.u(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.u(3).filter(|&n| n < 7)? as u8 + 1;
    let temporal_id_nested = bits.flag()?;
    let profile_space = bits.u(2)? as u8;
    let high_tier = bits.flag()?;
    let profile_idc = bits.u(5)? as u8;
    let compatibility = bits.u(32)?;
    let mut constraints = [0; 6];
    for byte in &mut constraints {
        *byte = bits.u(8)? as u8;
    }
    let level_idc = bits.u(8)? as u8;
    skip_sub_layer_levels(&mut bits, sub_layers - 1)?;

    let id = bits.ue().filter(|&id| id < 16)? as u8;
    let chroma_format_idc = bits.ue().filter(|&c| c <= 3)? as u8;
    let grey = chroma_format_idc == 0 || chroma_format_idc == 3 && bits.flag()?;
    let size = |n: u32| (1..=16_384).contains(&n).then_some(n as usize);
    let (coded_width, coded_height) = (size(bits.ue()?)?, size(bits.ue()?)?);
    let (mut width, mut height) = (coded_width, coded_height);
    if bits.flag()? {
        // SubWidthC and SubHeightC of table 6-1.
        let unit_x = if !grey && chroma_format_idc < 3 { 2 } else { 1 };
        let unit_y = if !grey && chroma_format_idc == 1 { 2 } else { 1 };
        let mut crop = || bits.ue().map(|n| n as usize);
        let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
        width = width.checked_sub((left + right) * unit_x).filter(|&w| w > 0)?;
        height = height.checked_sub((top + bottom) * unit_y).filter(|&h| h > 0)?;
    }
    let bit_depth_luma = bits.ue().filter(|&n| n <= 7)? as u8 + 8;
    let bit_depth_chroma = bits.ue().filter(|&n| n <= 7)? as u8 + 8;
    Some(Sps {
        profile_space,
        high_tier,
        profile_idc,
        compatibility,
        constraints,
        level_idc,
        sub_layers,
        temporal_id_nested,
        id,
        chroma_format_idc,
        bit_depth_luma,
        bit_depth_chroma,
        width,
        height,
        // What follows is long; whatever is wrong there costs the colours and not the size.
        colour: find_colour(&mut bits, sub_layers - 1),
    })
}

/// The rest of `profile_tier_level` (7.3.3).
fn skip_sub_layer_levels(bits: &mut Bits<'_>, max_sub_layers_minus1: u8) -> Option<()> {
    let mut present = [(false, false); 7];
    for one in present.iter_mut().take(max_sub_layers_minus1.into()) {
        *one = (bits.flag()?, bits.flag()?);
    }
    if max_sub_layers_minus1 > 0 {
        for _ in max_sub_layers_minus1..8 {
            bits.u(2)?;
        }
    }
    for (profile, level) in present {
        if profile {
            bits.u(32)?;
            bits.u(32)?;
            bits.u(24)?;
        }
        if level {
            bits.u(8)?;
        }
    }
    Some(())
}

/// Goes over everything from `log2_max_pic_order_cnt_lsb_minus4` to the VUI's colours.
fn find_colour(bits: &mut Bits<'_>, max_sub_layers_minus1: u8) -> Option<Colour> {
    let log2_max_poc_lsb = bits.ue().filter(|&n| n <= 12)? + 4;
    let every_layer = bits.flag()?;
    for _ in if every_layer { 0 } else { max_sub_layers_minus1 }..=max_sub_layers_minus1 {
        for _ in 0..3 {
            bits.ue()?;
        }
    }
    for _ in 0..6 {
        bits.ue()?; // sizes of blocks, depths of transform trees
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.u(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag()? {
        bits.u(8)?; // bit depths of PCM samples
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
    }
    let sets = bits.ue().filter(|&n| n <= 64)?;
    let mut deltas = 0;
    for index in 0..sets {
        deltas = skip_short_term_set(bits, index, deltas)?;
    }
    if bits.flag()? {
        for _ in 0..bits.ue().filter(|&n| n <= 32)? {
            bits.u(log2_max_poc_lsb + 1)?;
        }
    }
    bits.u(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if !bits.flag()? {
        return None;
    }
    if bits.flag()? && bits.u(8)? == 255 {
        bits.u(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if !bits.flag()? {
        return None;
    }
    bits.u(3)?; // video_format
    let mut said = Colour { full_range: bits.flag()?, ..Colour::default() };
    if bits.flag()? {
        said.primaries = bits.u(8)? as u8;
        said.transfer = bits.u(8)? as u8;
        said.matrix = bits.u(8)? as u8;
    }
    Some(said)
}

/// `scaling_list_data` (7.3.4).
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size_id in 0..4 {
        for _ in 0..if size_id == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size_id > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + (size_id << 1))) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// `st_ref_pic_set` (7.3.7); takes and gives `NumDeltaPocs` of the set before and of this one.
fn skip_short_term_set(bits: &mut Bits<'_>, index: u32, before: u32) -> Option<u32> {
    if index > 0 && bits.flag()? {
        bits.flag()?; // delta_rps_sign
        bits.ue()?;
        let mut deltas = 0;
        for _ in 0..=before {
            let kept = bits.flag()? || bits.flag()?;
            deltas += u32::from(kept);
        }
        return (deltas <= 32).then_some(deltas);
    }
    let negative = bits.ue().filter(|&n| n <= 16)?;
    let positive = bits.ue().filter(|&n| n <= 16)?;
    for _ in 0..negative + positive {
        bits.ue()?;
        bits.flag()?;
    }
    Some(negative + positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libx265, 320x180 (coded 320x184), 25 fps, B pictures, colours of BT.709.
    const X265: [u8; 48] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x08, 0x0b, 0x9f, 0x79, 0x65, 0x65, 0x92, 0x4c, 0xaf, 0x01,
        0x6a, 0x02, 0x02, 0x02, 0x08, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xc8,
        0x40, 0x00, 0x00,
    ];

    #[test]
    fn a_set_of_an_encoder_in_the_field() {
        let sps = parse_sps(&X265).unwrap();
        assert_eq!((sps.width, sps.height, sps.id), (320, 180, 0));
        assert_eq!((sps.profile_idc, sps.level_idc, sps.high_tier), (1, 60, false));
        assert_eq!((sps.compatibility, sps.constraints), (0x6000_0000, [0x90, 0, 0, 0, 0, 0]));
        assert_eq!((sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma), (1, 8, 8));
        assert_eq!((sps.sub_layers, sps.temporal_id_nested), (1, true));
        let bt709 = Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false };
        assert_eq!(sps.colour, Some(bt709));
    }

    #[test]
    fn cut_short_it_says_less_and_never_something_else() {
        let whole = parse_sps(&X265).unwrap();
        for cut in 0..X265.len() {
            if let Some(sps) = parse_sps(&X265[..cut]) {
                assert_eq!(Sps { colour: whole.colour, ..sps }, whole, "{cut}");
                assert!(sps.colour.is_none() || sps.colour == whole.colour, "{cut}");
            }
        }
        assert!(parse_sps(&[0x44, 0x01, 0xc1]).is_none(), "a picture parameter set");
    }
}
