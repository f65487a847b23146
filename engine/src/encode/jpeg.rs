//! The JPEG encoder, for still pictures and MJPEG streams: baseline, standard Huffman tables,
//! 4:2:0, or 4:2:2 where the camera delivers that, or grey.

use super::{EncodeError, Encoder, Rate};
use crate::camera::CodedUnit;
use crate::frame::{Frame, PixelFormat};
use crate::picture::convert::{self, Converter};
use crate::picture::{Picture, View, range};
use crate::style::Style;
use crate::sys::jpeg::{Compressor, Subsampling};
use lensd_ffi::unit::{Codec, NalSpan};

/// A JPEG encoder.
pub struct Jpeg {
    compressor: Compressor,
    quality: u8,
    converter: Converter,
    /// The picture in full range.
    full: Picture,
    /// Planes of a 4:2:2 picture in full range.
    planes: [Vec<u8>; 3],
    copied: u64,
}

impl Jpeg {
    /// An encoder of the given quality, 1 to 100.
    ///
    /// # Errors
    /// When the quality is out of range.
    pub fn new(quality: u8) -> Result<Self, EncodeError> {
        check(quality)?;
        Ok(Self {
            compressor: Compressor::new().map_err(EncodeError)?,
            quality,
            converter: Converter::default(),
            full: Picture::default(),
            planes: Default::default(),
            copied: 0,
        })
    }

    /// Changes the quality, 1 to 100.
    ///
    /// # Errors
    /// When the quality is out of range; it is then as before.
    pub fn set_quality(&mut self, quality: u8) -> Result<(), EncodeError> {
        check(quality)?;
        self.quality = quality;
        Ok(())
    }

    /// Encodes a picture that is I420 already, such as a decoded or scaled one. `out` is replaced.
    ///
    /// # Errors
    /// When TurboJPEG fails.
    pub fn encode_view(
        &mut self,
        view: &View<'_>,
        full_range: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let view = view.even();
        if full_range {
            return compress(&mut self.compressor, &view, self.quality, out);
        }
        self.full.copy_from(&view);
        let [y, u, v] = self.full.planes_mut();
        range::expand_luma(y);
        range::expand_chroma(u);
        range::expand_chroma(v);
        self.copied += self.full.bytes().len() as u64;
        let view = self.full.view().ok_or_else(|| EncodeError("an empty picture".into()))?;
        compress(&mut self.compressor, &view, self.quality, out)
    }

    fn encode_422(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        convert::split_422(frame, &mut self.planes).map_err(EncodeError)?;
        let [y, u, v] = &mut self.planes;
        self.copied += (y.len() + u.len() + v.len()) as u64;
        if !frame.colour.full_range {
            range::expand_luma(y);
            range::expand_chroma(u);
            range::expand_chroma(v);
        }
        let (width, half) = (frame.width, frame.width.div_ceil(2));
        let planes = [(&y[..], width), (&u[..], half), (&v[..], half)];
        let size = (width & !1, frame.height);
        self.compressor
            .compress_planes(&planes, size, Subsampling::S422, self.quality, out)
            .map_err(EncodeError)
    }

    fn encode_grey(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let luma = &mut self.planes[0];
        luma.clear();
        frame.rows(0).for_each(|row| luma.extend_from_slice(row));
        self.copied += luma.len() as u64;
        if !frame.colour.full_range {
            range::expand_luma(luma);
        }
        let (planes, size) = ([(&luma[..], frame.width)], (frame.width, frame.height));
        self.compressor
            .compress_planes(&planes, size, Subsampling::Grey, self.quality, out)
            .map_err(EncodeError)
    }

    fn encode_rgb(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let plane = frame.planes[0];
        let pixels = frame.memory.bytes().get(plane.offset..).unwrap_or_default();
        let bgr = frame.format == PixelFormat::Bgr24;
        let size = (frame.width, frame.height);
        self.compressor
            .compress_rgb(pixels, plane.stride, size, bgr, self.quality, out)
            .map_err(EncodeError)
    }
}

fn compress(
    compressor: &mut Compressor,
    view: &View<'_>,
    quality: u8,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (planes, strides) = (view.planes(), view.strides());
    let planes: [(&[u8], usize); 3] = std::array::from_fn(|i| (planes[i], strides[i]));
    compressor
        .compress_planes(&planes, (view.width(), view.height()), Subsampling::S420, quality, out)
        .map_err(EncodeError)
}

fn check(quality: u8) -> Result<(), EncodeError> {
    if (1..=100).contains(&quality) {
        return Ok(());
    }
    Err(EncodeError(format!("a JPEG quality of {quality}; it may be 1 to 100")))
}

impl Encoder for Jpeg {
    fn encode(
        &mut self,
        frame: &Frame,
        _key: bool,
        out: &mut CodedUnit,
    ) -> Result<bool, EncodeError> {
        let bytes = &mut out.bytes;
        match frame.format {
            PixelFormat::Yuyv | PixelFormat::Uyvy => self.encode_422(frame, bytes)?,
            PixelFormat::Grey => self.encode_grey(frame, bytes)?,
            PixelFormat::Rgb24 | PixelFormat::Bgr24 => self.encode_rgb(frame, bytes)?,
            PixelFormat::Mjpeg => {
                // It is one already.
                let jpeg = frame.memory.bytes().get(..frame.used);
                let jpeg = jpeg.ok_or_else(|| EncodeError(format!("{frame:?} is too short")))?;
                bytes.clear();
                bytes.extend_from_slice(jpeg);
            }
            PixelFormat::I420
            | PixelFormat::Nv12
            | PixelFormat::Nv21
            | PixelFormat::GreyDeep(_)
            | PixelFormat::Bayer(..) => {
                let mut converter = std::mem::take(&mut self.converter);
                let result = converter
                    .view(frame)
                    .map_err(EncodeError)
                    .and_then(|view| self.encode_view(&view, frame.colour.full_range, bytes));
                self.converter = converter;
                result?;
            }
        }
        out.codec = Codec::Jpeg;
        out.key = true;
        let len = u32::try_from(out.bytes.len()).map_err(|e| EncodeError(e.to_string()))?;
        out.nals.clear();
        out.nals.push(NalSpan { offset: 0, len });
        (out.width, out.height) = (frame.width, frame.height);
        if matches!(
            frame.format,
            PixelFormat::I420
                | PixelFormat::Nv12
                | PixelFormat::Nv21
                | PixelFormat::GreyDeep(_)
                | PixelFormat::Bayer(..)
        ) {
            (out.width, out.height) = (frame.width & !1, frame.height & !1);
        } else if matches!(frame.format, PixelFormat::Yuyv | PixelFormat::Uyvy) {
            out.width = frame.width & !1;
        }
        (out.capture, out.number) = (frame.capture, frame.number);
        Ok(true)
    }

    /// JPEG has no bit rate: the quality stays.
    fn set_rate(&mut self, _rate: Rate) -> Result<(), EncodeError> {
        Ok(())
    }

    fn set_style(&mut self, _style: Style) -> Result<(), EncodeError> {
        Ok(())
    }

    fn set_quality(&mut self, quality: u8) -> Result<(), EncodeError> {
        Self::set_quality(self, quality)
    }

    fn takes(&self, _format: PixelFormat) -> bool {
        true
    }

    fn name(&self) -> String {
        "turbojpeg".into()
    }

    fn copied_pixel_bytes(&self) -> u64 {
        self.copied + self.converter.copied_pixel_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, packed_planes};
    use crate::picture::decode::JpegDecoder;
    use lensd_ffi::time::Stamp;
    use std::sync::Arc;

    fn frame(format: PixelFormat, width: usize, height: usize, pixel: &[u8]) -> Frame {
        let (planes, used) = packed_planes(format, width, height);
        let bytes: Vec<u8> = pixel.iter().copied().cycle().take(used).collect();
        Frame {
            format,
            width,
            height,
            planes,
            used,
            colour: Colour::default(),
            memory: Arc::new(bytes),
            capture: Stamp::default(),
            number: 3,
            crc: None,
        }
    }

    #[test]
    fn every_layout_is_encoded_and_keeps_its_colour() {
        let mut encoder = Jpeg::new(95).unwrap();
        let mut decoder = JpegDecoder::default();
        let mut unit = CodedUnit::default();
        for (format, pixel, colour) in [
            (PixelFormat::Yuyv, &[82u8, 90, 82, 240][..], [82, 90, 240]),
            (PixelFormat::Uyvy, &[90, 82, 240, 82], [82, 90, 240]),
            (PixelFormat::Rgb24, &[255, 0, 0], [82, 90, 240]),
            (PixelFormat::Bgr24, &[0, 0, 255], [82, 90, 240]),
            (PixelFormat::Grey, &[100], [100, 128, 128]),
            (PixelFormat::I420, &[60], [60, 60, 60]),
            (PixelFormat::Nv12, &[200], [200, 200, 200]),
        ] {
            for (width, height) in [(64, 48), (33, 35), (2, 2)] {
                let frame = frame(format, width, height, pixel);
                assert!(encoder.encode(&frame, false, &mut unit).unwrap());
                assert_eq!((unit.codec, unit.key, unit.number), (Codec::Jpeg, true, 3));
                assert_eq!(unit.nals, [NalSpan { offset: 0, len: unit.bytes.len() as u32 }]);
                let view = decoder.decode(&unit.bytes).unwrap();
                assert_eq!((view.width(), view.height()), (unit.width, unit.height), "{format}");
                for (p, want) in colour.into_iter().enumerate() {
                    let mut got = [want];
                    if p == 0 {
                        range::expand_luma(&mut got)
                    } else {
                        range::expand_chroma(&mut got)
                    }
                    let (want, got) = (got[0], view.row(p, 0)[0]);
                    // I420 and NV12 colours of one value for all are outside of RGB: only near.
                    assert!(got.abs_diff(want) <= 3, "{format} {width}x{height} {p}: {got}");
                }
            }
        }
        assert!(encoder.copied_pixel_bytes() > 0);
    }

    #[test]
    fn quality_matters_and_is_checked() {
        assert!(Jpeg::new(0).is_err());
        let mut encoder = Jpeg::new(1).unwrap();
        assert!(encoder.set_quality(101).is_err());
        let pixel: Vec<u8> = (0..251).map(|i| (i * 89 % 251) as u8).collect();
        let frame = frame(PixelFormat::I420, 320, 180, &pixel);
        let mut sizes = Vec::new();
        for quality in [1, 50, 100] {
            encoder.set_quality(quality).unwrap();
            let mut unit = CodedUnit::default();
            encoder.encode(&frame, false, &mut unit).unwrap();
            sizes.push(unit.bytes.len());
        }
        assert!(sizes.is_sorted() && sizes[0] * 4 < sizes[2], "{sizes:?}");
    }
}
