//! Sequence parameter sets of H.264 (7.3.2.1.1, E.1.1): what SDP, MP4, file cameras and the splitter
//! of access units need of them.

use super::bits::Bits;
use crate::unit::Colour;

/// What a sequence parameter set says. Field names are those of H.264 7.4.2.1.1 where they have
/// one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile_idc: u8,
    /// `constraint_set0_flag` (bit 7) to `constraint_set5_flag` (bit 2).
    pub constraints: u8,
    /// `level_idc`.
    pub level_idc: u8,
    /// `seq_parameter_set_id`, 0 to 31.
    pub id: u8,
    /// Width in pixels, cropped.
    pub width: usize,
    /// Height in pixels, cropped.
    pub height: usize,
    /// Pictures per second from the VUI's timing, if it is there and sensible.
    pub fps: Option<f64>,
    /// What samples mean, if the VUI says it.
    pub colour: Option<Colour>,
    /// `chroma_format_idc`, 0 to 3.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample (`bit_depth_luma_minus8` + 8), 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 14.
    pub bit_depth_chroma: u8,
    /// `separate_colour_plane_flag`.
    pub separate_colour_plane: bool,
    /// `log2_max_frame_num_minus4` + 4.
    pub log2_max_frame_num: u32,
    /// `frame_mbs_only_flag`: no interlaced pictures.
    pub frame_mbs_only: bool,
    /// `max_num_reorder_frames` (E.2.1), 0 to 16, if the VUI says it: how many pictures may be
    /// decoded before one that is shown earlier.
    pub max_num_reorder_frames: Option<u8>,
}

impl Sps {
    /// `profile-level-id` of RFC 6184 8.1: three bytes, to be written as six hex digits.
    pub fn profile_level_id(&self) -> u32 {
        u32::from(self.profile_idc) << 16
            | u32::from(self.constraints) << 8
            | u32::from(self.level_idc)
    }
}

/// Reads a sequence parameter set from its NAL unit (header included, start code not). `None` if
/// it is another NAL unit, is cut short, or says something that the standard forbids.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    if nal.first()? & 31 != 7 {
        return None;
    }
    let mut bits = Bits::new(&nal[1..]);
    let profile_idc = bits.u(8)? as u8;
    let constraints = bits.u(8)? as u8;
    let level_idc = bits.u(8)? as u8;
    let id = u8::try_from(bits.ue()?).ok().filter(|&id| id < 32)?;
    let (mut chroma_format_idc, mut separate_colour_plane) = (1, false);
    let (mut bit_depth_luma, mut bit_depth_chroma) = (8, 8);
    if matches!(
        profile_idc,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format_idc = bits.ue().filter(|&c| c <= 3)?;
        separate_colour_plane = chroma_format_idc == 3 && bits.flag()?;
        bit_depth_luma = bits.ue().filter(|&n| n <= 6)? as u8 + 8;
        bit_depth_chroma = bits.ue().filter(|&n| n <= 6)? as u8 + 8;
        bits.flag()?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            skip_scaling_matrix(&mut bits, chroma_format_idc)?;
        }
    }
    let log2_max_frame_num = bits.ue().filter(|&n| n <= 12)? + 4;
    match bits.ue()? {
        0 => drop(bits.ue().filter(|&n| n <= 12)?),
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue().filter(|&n| n <= 255)? {
                bits.se()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.ue()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    let width_mbs = bits.ue().filter(|&n| n < 1024)? as usize + 1;
    let map_units = bits.ue().filter(|&n| n < 1024)? as usize + 1;
    let frame_mbs_only = bits.flag()?;
    if !frame_mbs_only {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    bits.flag()?; // direct_8x8_inference_flag
    let (mut width, mut height) =
        (width_mbs * 16, map_units * 16 * if frame_mbs_only { 1 } else { 2 });
    if bits.flag()? {
        // Table 6-1, equations 7-19 to 7-22.
        let grey = chroma_format_idc == 0 || separate_colour_plane;
        let unit_x = if !grey && chroma_format_idc < 3 { 2 } else { 1 };
        let unit_y = if !grey && chroma_format_idc == 1 { 2 } else { 1 };
        let unit_y = unit_y * if frame_mbs_only { 1 } else { 2 };
        let mut crop = || bits.ue().map(|n| n as usize);
        let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
        width = width.checked_sub((left + right) * unit_x).filter(|&w| w > 0)?;
        height = height.checked_sub((top + bottom) * unit_y).filter(|&h| h > 0)?;
    }
    // A VUI that is cut short costs what it says, not the size.
    let mut vui = Vui::default();
    if bits.flag().unwrap_or(false) {
        let _ = parse_vui(&mut bits, &mut vui);
    }
    let Vui { fps, colour, max_num_reorder_frames } = vui;
    Some(Sps {
        profile_idc,
        constraints,
        level_idc,
        id,
        width,
        height,
        fps,
        colour,
        chroma_format_idc: chroma_format_idc as u8,
        bit_depth_luma,
        bit_depth_chroma,
        separate_colour_plane,
        log2_max_frame_num,
        frame_mbs_only,
        max_num_reorder_frames,
    })
}

fn skip_scaling_matrix(bits: &mut Bits<'_>, chroma_format_idc: u32) -> Option<()> {
    for list in 0..if chroma_format_idc == 3 { 12 } else { 8 } {
        if bits.flag()? {
            // 7.3.2.1.1.1
            let (mut last, mut next) = (8i64, 8i64);
            for _ in 0..if list < 6 { 16 } else { 64 } {
                if next != 0 {
                    next = (last + i64::from(bits.se()?)).rem_euclid(256);
                }
                last = if next == 0 { last } else { next };
            }
        }
    }
    Some(())
}

/// What is wanted of a VUI.
#[derive(Default)]
struct Vui {
    fps: Option<f64>,
    colour: Option<Colour>,
    max_num_reorder_frames: Option<u8>,
}

/// Reads a VUI (E.1.1) as far as it goes. The rate is half of `time_scale / num_units_in_tick`,
/// which count fields.
fn parse_vui(bits: &mut Bits<'_>, vui: &mut Vui) -> Option<()> {
    if bits.flag()? && bits.u(8)? == 255 {
        bits.u(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.u(3)?; // video_format
        let mut said = Colour { full_range: bits.flag()?, ..Colour::default() };
        if bits.flag()? {
            said.primaries = bits.u(8)? as u8;
            said.transfer = bits.u(8)? as u8;
            said.matrix = bits.u(8)? as u8;
        }
        vui.colour = Some(said);
    }
    if bits.flag()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?;
    }
    if bits.flag()? {
        let (units_in_tick, time_scale) = (bits.u(32)?, bits.u(32)?);
        let fps = f64::from(time_scale) / (2.0 * f64::from(units_in_tick));
        vui.fps = Some(fps).filter(|fps| (0.1..=1000.0).contains(fps));
        bits.flag()?; // fixed_frame_rate_flag
    }
    let nal_hrd = bits.flag()?;
    if nal_hrd {
        skip_hrd(bits)?;
    }
    let vcl_hrd = bits.flag()?;
    if vcl_hrd {
        skip_hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.flag()?; // low_delay_hrd_flag
    }
    bits.flag()?; // pic_struct_present_flag
    if bits.flag()? {
        bits.flag()?; // motion_vectors_over_pic_boundaries_flag
        for _ in 0..4 {
            bits.ue()?; // max_bytes_per_pic_denom to log2_max_mv_length_vertical
        }
        let frames = bits.ue().filter(|&n| n <= 16)?;
        vui.max_num_reorder_frames = u8::try_from(frames).ok();
    }
    Some(())
}

/// `hrd_parameters` (E.1.2).
fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue().filter(|&n| n < 32)? + 1;
    bits.u(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.flag()?; // cbr_flag
    }
    bits.u(20)?; // three lengths of delays, time_offset_length
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_encoders_in_the_field() {
        // libx264, 1920x1080, high, 25 fps.
        let nal = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
        ];
        let sps = parse_sps(&nal).unwrap();
        assert_eq!((sps.width, sps.height, sps.fps), (1920, 1080, Some(25.0)));
        assert_eq!(sps.profile_level_id(), 0x64_0028);
        assert!(sps.frame_mbs_only);
        assert_eq!(sps.max_num_reorder_frames, Some(2), "x264's usual B-frames");
        for cut in 0..nal.len() {
            let _ = parse_sps(&nal[..cut]);
        }
        assert!(parse_sps(&nal[..8]).is_none());
        assert!(parse_sps(&[0x68, 1, 2]).is_none());
        assert!(parse_sps(&[]).is_none());
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 1u32;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 & if state & 0x100 == 0 { 0xff } else { 0x81 }
                })
                .collect();
            let mut nal = vec![0x67];
            nal.extend(bytes);
            let _ = parse_sps(&nal);
        }
    }
}
