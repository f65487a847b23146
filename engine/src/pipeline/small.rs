//! The sub stream's pictures: scaled by a device where there is one that takes the camera's, else by
//! the processor.

use crate::config::CameraConfig;
use crate::frame::{Frame, PixelFormat};
use crate::m2m::scaler::ScalerM2m;
use crate::picture::convert::Converter;
use crate::picture::finish::Finisher;
use crate::picture::pool::Pool;
use crate::picture::scale::{Area, Scaler};
use std::path::Path;

/// Layouts that a device's pictures may have where the processor encodes them, cheapest first.
const LAYOUTS: [PixelFormat; 7] = [
    PixelFormat::I420,
    PixelFormat::Nv12,
    PixelFormat::Nv21,
    PixelFormat::Yuyv,
    PixelFormat::Uyvy,
    PixelFormat::Rgb24,
    PixelFormat::Bgr24,
];

/// The stage, which exists only while the sub stream is read.
#[derive(Default)]
pub(super) struct Small {
    device: Device,
    /// Whether another one scales, or for another reason, since this was asked last.
    news: bool,
    converter: Converter,
    scaler: Scaler,
    pool: Pool,
    /// For a device's pictures in a layout that the encoder does not take.
    finisher: Finisher,
}

/// Who scales.
#[derive(Default)]
enum Device {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    Is(Box<ScalerM2m>),
    /// The processor, since no device can, and why.
    Not(String),
    /// The processor, as long as the pictures are not the camera's own, and why.
    Unfit(String),
}

impl Small {
    /// A smaller picture. `camera`: the camera's own, where nothing is done to it; `given`: what the
    /// main stream's encoder is given; `layouts`: what a hardware encoder takes, best first.
    ///
    /// # Errors
    /// When the frame's memory is shorter than its size says, or readers hold every picture.
    pub(super) fn make(
        &mut self,
        camera: Result<&Frame, &str>,
        given: &Frame,
        size: (usize, usize),
        layouts: &[PixelFormat],
        config: &CameraConfig,
    ) -> Result<Frame, String> {
        match camera {
            Ok(frame) => {
                if let Some(small) = self.by_device(frame, size, layouts, config) {
                    return Ok(small);
                }
            }
            Err(why) => {
                if !matches!(&self.device, Device::Unfit(known) if known == why) {
                    self.turn_to(Device::Unfit(why.to_owned()));
                }
            }
        }
        let view = self.converter.view(given)?.even();
        let scaler = &mut self.scaler;
        self.pool.draw(given, size, |to| scaler.scale(&view, Area::of(&view), to))
    }

    fn by_device(
        &mut self,
        frame: &Frame,
        size: (usize, usize),
        layouts: &[PixelFormat],
        config: &CameraConfig,
    ) -> Option<Frame> {
        let usable = match &self.device {
            Device::Unknown | Device::Unfit(_) => false,
            // Once refused it is not asked again before somebody begins to read anew.
            Device::Not(_) => return None,
            Device::Is(scaler) => scaler.fits(frame, size),
        };
        if !usable {
            // Its queues are to be stopped before others begin.
            self.device = Device::Unknown;
            let layouts = [layouts, &LAYOUTS].concat();
            let found = match config.scaler.as_str() {
                "auto" => ScalerM2m::find(frame, size, &layouts, None),
                "cpu" => Err("the configuration says so".to_owned()),
                path => ScalerM2m::find(frame, size, &layouts, Some(Path::new(path))),
            };
            match found {
                Ok(scaler) => self.turn_to(Device::Is(Box::new(scaler))),
                Err(why) => self.turn_to(Device::Not(why)),
            }
        }
        let Device::Is(scaler) = &mut self.device else { return None };
        match scaler.scale(frame) {
            Ok(small) => Some(small),
            Err(why) => {
                tracing::warn!("{}: {why}; the processor scales from now on", scaler.name());
                self.turn_to(Device::Not(why));
                None
            }
        }
    }

    fn turn_to(&mut self, device: Device) {
        (self.device, self.news) = (device, true);
    }

    /// Whether [`Small::words`] may be others since the last call.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// A device's picture as I420, for an encoder that takes nothing else.
    ///
    /// # Errors
    /// As [`Finisher::convert`].
    pub(super) fn convert(&mut self, small: &Frame) -> Result<Frame, String> {
        self.finisher.convert(small)
    }

    /// Whether a device scales.
    pub(super) fn by_hardware(&self) -> bool {
        matches!(self.device, Device::Is(_))
    }

    /// Who scales to `width`, in the words of a pipeline's description.
    pub(super) fn words(&self, width: u32) -> String {
        match &self.device {
            Device::Unknown => format!("scale to width {width}"),
            Device::Is(scaler) => scaler.name(),
            Device::Not(why) | Device::Unfit(why) => format!("scale to width {width} (CPU: {why})"),
        }
    }

    /// Bytes of pictures that were written here so far.
    pub(super) fn copied_pixel_bytes(&self) -> u64 {
        self.converter.copied_pixel_bytes()
            + self.scaler.copied_pixel_bytes()
            + self.finisher.copied_pixel_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, packed_planes};
    use lensd_ffi::time::Stamp;
    use std::sync::Arc;

    #[test]
    fn the_processor_scales_what_no_device_can_and_says_why() {
        let (planes, used) = packed_planes(PixelFormat::I420, 64, 32);
        let frame = Frame {
            format: PixelFormat::I420,
            width: 64,
            height: 32,
            planes,
            used,
            colour: Colour::OURS,
            memory: Arc::new(vec![77; used]),
            capture: Stamp::default(),
            number: 5,
            crc: None,
        };
        let (mut small, config) = (Small::default(), CameraConfig::default());
        let mut make = |camera| small.make(camera, &frame, (32, 16), &[], &config).unwrap();
        let made = make(Ok(&frame));
        assert_eq!((made.width, made.height, made.number), (32, 16, 5));
        assert!(made.rows(0).all(|row| row.iter().all(|&b| b == 77)));
        make(Ok(&frame));
        assert_eq!(
            small.words(32),
            "scale to width 32 (CPU: the pictures do not lie in one DMA-buf each)"
        );
        assert!(!small.by_hardware() && small.copied_pixel_bytes() > 0);
        // Another reason takes the place of the first one.
        small.make(Err("something is done to them"), &frame, (32, 16), &[], &config).unwrap();
        assert_eq!(small.words(32), "scale to width 32 (CPU: something is done to them)");
        assert!(small.take_news() && !small.take_news());
        // Once they are the camera's own again, devices are asked again.
        small.make(Ok(&frame), &frame, (32, 16), &[], &config).unwrap();
        assert!(small.take_news() && small.words(32).contains("one DMA-buf each"));
    }
}
