//! Encoders: a raw picture in, an access unit out.

pub mod jpeg;
pub mod m2m;
pub mod openh264;

use crate::coded::CodedUnit;
use crate::frame::{Frame, PixelFormat};
use crate::style::Style;
use std::fmt;

/// What a stream should look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Target in bits per second.
    pub bitrate: u32,
    /// Pictures per second.
    pub fps: f64,
    /// Pictures from one key frame to the next.
    pub gop: u32,
}

/// Why a picture could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError(pub String);

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

/// An encoder. Pictures of another size or format than the one before make it begin anew with a
/// key frame.
pub trait Encoder: Send {
    /// Encodes one picture into `out`, whose buffers are reused and whose `codec`, `key`, `bytes`,
    /// `nals`, `width`, `height` are set (`capture` and `number` are copied from the frame). A key
    /// frame carries its parameter sets. `false`: the rate control left this picture out.
    ///
    /// # Errors
    /// The picture is lost; the next may work.
    fn encode(
        &mut self,
        frame: &Frame,
        key: bool,
        out: &mut CodedUnit,
    ) -> Result<bool, EncodeError>;

    /// Changes the rate while running, without a key frame where the encoder can.
    ///
    /// # Errors
    /// The rate is then as before.
    fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError>;

    /// Changes how bits are spent, with the next picture, which is a key frame.
    ///
    /// # Errors
    /// What it cannot do; all is then as before.
    fn set_style(&mut self, style: Style) -> Result<(), EncodeError>;

    /// Changes the quality (1 to 100) of pictures that have one, from the next on.
    ///
    /// # Errors
    /// When it is out of range; it is then as before.
    fn set_quality(&mut self, _quality: u8) -> Result<(), EncodeError> {
        Ok(())
    }

    /// Whether it takes pictures of this layout as they are.
    fn takes(&self, format: PixelFormat) -> bool;

    /// Its name in a pipeline's description, e.g. `openh264`, `v4l2 m2m h264 /dev/video11`.
    fn name(&self) -> String;

    /// Why it copies pictures before it can encode them; empty if it does not.
    fn copies(&self) -> &'static str {
        ""
    }

    /// Raw picture bytes that the processor copied or converted for it so far.
    fn copied_pixel_bytes(&self) -> u64;
}
