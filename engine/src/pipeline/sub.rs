//! The sub stream: from the camera's picture to a small one to its encoder.

use super::small::Small;
use super::{Pipeline, make_encoder};
use crate::config::CameraConfig;
use crate::encode::jpeg::Jpeg;
use crate::encode::m2m::EncoderM2m;
use crate::encode::openh264::{OpenH264, Tuning};
use crate::encode::{Encoder, Rate};
use crate::frame::{Frame, PixelFormat};
use crate::syntax::sei::Capture;
use lensd_ffi::time::now;
use lensd_ffi::unit::Codec;
use std::path::Path;

impl Pipeline {
    /// Ends the sub stream's stages; what they have written stays counted.
    pub(super) fn rest_sub(&mut self) {
        self.sub.rest();
        if let Some(small) = self.small.take() {
            self.sub.copied_before += small.copied_pixel_bytes();
        }
    }

    /// `camera`: the camera's own picture, or why a device cannot scale that.
    pub(super) fn sub_frame(
        &mut self,
        camera: Result<&Frame, &str>,
        given: &Frame,
        stamp: Option<&Capture>,
    ) {
        let size = sub_size(given.width, given.height, self.config.sub_width);
        if !self.sub.takes_turn(given.capture.mono, self.config.sub_fps) {
            return;
        }
        let fresh = self.sub.encoder.is_none();
        self.sub.stream().note_taken(given.number, now());
        let mut small = self.small.take().unwrap_or_default();
        match self.sub_picture(&mut small, camera, given, size) {
            Ok(picture) => {
                self.sub.stream().note_ready(now());
                self.sub.encode(&picture, stamp);
                // Hardware that fails is not asked again until the camera is opened anew.
                self.sub.software |= self.sub.encoder.is_none() && !self.config.sub_jpeg;
                self.sub.note_copied(small.copied_pixel_bytes() + self.decoded);
            }
            Err(why) => self.sub.stream().set_error(&why),
        }
        let fresh = small.take_news() || fresh;
        self.small = Some(small);
        if fresh {
            self.describe();
        }
    }

    /// The sub stream's picture as its encoder takes it.
    fn sub_picture(
        &mut self,
        small: &mut Small,
        camera: Result<&Frame, &str>,
        given: &Frame,
        size: (usize, usize),
    ) -> Result<Frame, String> {
        let layouts = match (&self.sub.encoder, camera) {
            // What an encoder that runs takes is in the layout that it was made for.
            (None, Ok(_)) if !self.sub.software && !self.config.sub_jpeg => {
                hardware_layouts(&self.config)
            }
            _ => Vec::new(),
        };
        let picture = small.make(camera, given, size, &layouts, &self.config)?;
        let hardware = small.by_hardware() && !self.sub.software;
        let config = &self.config;
        let quality = self.mjpeg.stream().quality().unwrap_or(config.quality);
        let takes = self.sub.ready(picture.format, |rate| {
            if config.sub_jpeg {
                return Jpeg::new(quality).map(|jpeg| Box::new(jpeg) as Box<dyn Encoder>);
            }
            if hardware && hardware_layouts(config).contains(&picture.format) {
                return make_encoder(config, rate, picture.format, false);
            }
            OpenH264::new(rate, Tuning::default()).map(|e| Box::new(e) as Box<dyn Encoder>)
        });
        self.sub.set_quality(quality);
        if takes.map_err(|e| e.0)? { Ok(picture) } else { small.convert(&picture) }
    }
}

/// The sub stream's size: as wide as wanted, never wider than the camera, same shape, even.
fn sub_size(width: usize, height: usize, wanted: u32) -> (usize, usize) {
    let to = (wanted as usize).clamp(16, width.max(16)) & !1;
    let high = (height * to / width.max(1)).max(2) & !1;
    (to, high)
}

/// What the hardware encoder takes that the configuration allows, in its order; nothing without one.
fn hardware_layouts(config: &CameraConfig) -> Vec<PixelFormat> {
    let rate = Rate { bitrate: 1_000_000, fps: 30.0, gop: 30 };
    let encoder = match config.encoder.as_str() {
        "auto" => EncoderM2m::first(Codec::H264, rate),
        path if path.starts_with('/') => Some(EncoderM2m::open(Path::new(path), Codec::H264, rate)),
        _ => None,
    };
    encoder.and_then(Result::ok).map_or_else(Vec::new, |encoder| encoder.takes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_stream_keeps_the_shape_and_is_never_larger() {
        assert_eq!(sub_size(1280, 720, 640), (640, 360));
        assert_eq!(sub_size(640, 480, 640), (640, 480));
        assert_eq!(sub_size(320, 180, 640), (320, 180));
        assert_eq!(sub_size(1920, 1080, 641), (640, 360));
    }
}
