//! Changes to a camera while it runs, as its thread is told them.

use crate::camera::spec::{CameraSpec, Size, SpecError};
use crate::config::CameraConfig;
use crate::encode::EncodeError;
use crate::finish::Finish;
use crate::style::Style;
use serde_json::Value;
use std::fmt;

/// A change of one thing among several that are kept together: those who ask for others of them at
/// the same time do not undo it.
#[derive(Clone)]
pub struct Edit<T> {
    /// What the value means for the camera with this index.
    set: fn(&mut T, &Value, usize),
    value: Value,
    camera: usize,
}

impl<T> Edit<T> {
    /// A change of the camera with this index.
    pub fn new(set: fn(&mut T, &Value, usize), value: Value, camera: usize) -> Self {
        Self { set, value, camera }
    }

    /// Does it.
    pub fn apply(&self, to: &mut T) {
        (self.set)(to, &self.value, self.camera);
    }
}

impl<T> PartialEq for Edit<T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.set, other.set)
            && (&self.value, self.camera) == (&other.value, other.camera)
    }
}

impl<T> fmt::Debug for Edit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({}, camera {})", self.value, self.camera)
    }
}

/// What of a camera can be changed while it runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Main stream: bits per second.
    Bitrate(u32),
    /// Sub stream: bits per second.
    SubBitrate(u32),
    /// Sub stream: width in pixels.
    SubWidth(u32),
    /// Sub stream: most pictures per second; 0: all.
    SubFps(u32),
    /// Main stream: whether it is JPEG pictures.
    MainJpeg(bool),
    /// Sub stream: the same.
    SubJpeg(bool),
    /// Seconds from one key frame to the next.
    Gop(f64),
    /// Whether units carry their capture time.
    CaptureSei(bool),
    /// What is done to pictures before they are encoded.
    Finish(Edit<Finish>),
    /// How encoders spend bits.
    Style(Edit<Style>),
    /// Whether a picture says so while the camera is away.
    NoSignal(bool),
    /// Size of the camera's picture: it is opened anew.
    Size(Size),
    /// Pictures per second of the camera: it is opened anew.
    Fps(f64),
    /// The input that delivers, from 0: it is opened anew.
    Input(u32),
    /// Another source in place of this one.
    Source(CameraSpec),
}

impl Change {
    /// Notes itself in the configuration; `false` if it is one of the source.
    pub fn configure(&self, config: &mut CameraConfig) -> bool {
        match self {
            Self::Bitrate(bits) => config.bitrate = *bits,
            Self::SubBitrate(bits) => config.sub_bitrate = *bits,
            Self::SubWidth(width) => config.sub_width = *width,
            Self::SubFps(fps) => config.sub_fps = *fps,
            Self::MainJpeg(on) => config.main_jpeg = *on,
            Self::SubJpeg(on) => config.sub_jpeg = *on,
            Self::Gop(secs) => config.gop_secs = *secs,
            Self::CaptureSei(on) => config.capture_sei = *on,
            Self::Finish(edit) => edit.apply(&mut config.finish),
            Self::Style(edit) => edit.apply(&mut config.style),
            Self::NoSignal(on) => config.no_signal = *on,
            Self::Size(_) | Self::Fps(_) | Self::Input(_) | Self::Source(_) => return false,
        }
        true
    }

    /// The value of its key that is remembered as wanted.
    pub fn value(&self) -> Value {
        match self {
            Self::Bitrate(n) | Self::SubBitrate(n) | Self::SubWidth(n) => (*n).into(),
            Self::SubFps(n) => (*n).into(),
            Self::MainJpeg(on) | Self::SubJpeg(on) => if *on { "jpeg" } else { "h264" }.into(),
            Self::Gop(secs) => (*secs).into(),
            Self::CaptureSei(on) | Self::NoSignal(on) => (*on).into(),
            Self::Size(size) => size.to_string().into(),
            Self::Fps(fps) => fps.round().into(),
            Self::Input(input) => (input + 1).into(),
            // Only the key that asked for it knows.
            Self::Finish(_) | Self::Style(_) => Value::Null,
            // No key means this.
            Self::Source(_) => Value::Null,
        }
    }

    /// The source with this change.
    ///
    /// # Errors
    /// Why such a source cannot be.
    pub fn respecify(&self, spec: &CameraSpec) -> Result<CameraSpec, EncodeError> {
        if let Self::Source(other) = self {
            return Ok(other.clone());
        }
        let mut spec = spec.clone();
        match (&mut spec, self) {
            (CameraSpec::Test(test), Self::Size(size)) => test.size = *size,
            (CameraSpec::Test(test), Self::Fps(fps)) => test.fps = *fps,
            (CameraSpec::V4l2(v4l2), Self::Size(size)) => v4l2.size = Some(*size),
            (CameraSpec::V4l2(v4l2), Self::Fps(fps)) => v4l2.fps = Some(*fps),
            (CameraSpec::V4l2(v4l2), Self::Input(input)) => v4l2.input = Some(*input),
            (_, Self::Input(_)) => {
                return Err(EncodeError("this camera has no inputs to choose from".to_owned()));
            }
            _ => {
                let why = "this camera's pictures come as they are: their size and rate cannot be \
                           set";
                return Err(EncodeError(why.to_owned()));
            }
        }
        // One parser decides what is possible.
        spec.to_string().parse().map_err(|e: SpecError| EncodeError(e.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> CameraSpec {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_takes_what_it_can_be() {
        let size = Change::Size(Size { width: 640, height: 360 });
        let test = size.respecify(&spec("test:?fps=5")).unwrap();
        assert_eq!(test.to_string(), "test:?size=640x360&fps=5&pattern=bars&seed=0");
        let v4l2 = Change::Input(2).respecify(&spec("v4l2:/dev/video0")).unwrap();
        assert_eq!(v4l2.to_string(), "v4l2:/dev/video0?input=2");
        assert!(Change::Input(2).respecify(&spec("test:")).is_err());
        assert!(Change::Fps(5.0).respecify(&spec("file:/x.mp4")).is_err());
        let odd = Change::Size(Size { width: 641, height: 360 });
        assert!(odd.respecify(&spec("test:")).unwrap_err().0.contains("even"));
    }

    #[test]
    fn the_rest_is_configuration() {
        let mut config = CameraConfig::default();
        assert!(Change::Gop(2.5).configure(&mut config));
        assert!((config.gop_secs - 2.5).abs() < 1e-9);
        assert!(!Change::Fps(5.0).configure(&mut config));
    }
}
