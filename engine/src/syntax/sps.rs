//! Sequence parameter sets of H.264: the reader is the contract's, since MP4 needs it in both planes.

pub(crate) use lensd_ffi::syntax::bits::Bits;
pub use lensd_ffi::syntax::h264::{Sps, parse_sps};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::CodedUnit;
    use crate::encode::openh264::{OpenH264, Tuning};
    use crate::encode::{Encoder, Rate};
    use crate::frame::{Colour, Frame, PixelFormat, packed_planes};
    use std::sync::Arc;

    #[test]
    fn sets_of_our_own_encoder() {
        for (width, height) in [(320, 180), (640, 360), (1920, 1080)] {
            let (planes, used) = packed_planes(PixelFormat::I420, width, height);
            let frame = Frame {
                format: PixelFormat::I420,
                width,
                height,
                planes,
                used,
                colour: Colour::default(),
                memory: Arc::new(vec![128; used]),
                capture: lensd_ffi::time::Stamp::default(),
                number: 0,
                crc: None,
            };
            let rate = Rate { bitrate: 100_000, fps: 30.0, gop: 30 };
            let mut unit = CodedUnit::default();
            OpenH264::new(rate, Tuning::default())
                .unwrap()
                .encode(&frame, true, &mut unit)
                .unwrap();
            let from = unit.nals[0].offset as usize;
            let sps = parse_sps(&unit.bytes[from..from + unit.nals[0].len as usize]).unwrap();
            assert_eq!((sps.width, sps.height, sps.profile_idc), (width, height, 66));
        }
    }
}
