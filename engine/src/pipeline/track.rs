//! A stream with an encoder, which is made when the first picture comes and goes when it fails, rests,
//! or is to be another one.

use super::KEY_EVERY;
use crate::coded::CodedUnit;
use crate::encode::{EncodeError, Encoder, Rate};
use crate::frame::{Frame, PixelFormat};
use crate::publish::{Publisher, Stream};
use crate::style::Style;
use crate::syntax::sei::{self, Capture};
use lensd_ffi::time::Nanos;
use std::sync::Arc;

/// A stream with an encoder.
pub(super) struct Track {
    pub(super) publisher: Publisher,
    pub(super) encoder: Option<Box<dyn Encoder>>,
    pub(super) rate: Rate,
    pub(super) style: Style,
    pub(super) unit: CodedUnit,
    pub(super) last_key: Nanos,
    /// When the next picture is due, where not all are wanted.
    pub(super) due: Nanos,
    pub(super) key_pending: bool,
    /// Whether a hardware encoder has failed.
    pub(super) software: bool,
    /// Whether pictures are converted for the encoder.
    pub(super) converts: bool,
    /// Bytes that processors copied for encoders that are gone.
    pub(super) copied_before: u64,
}

impl Track {
    pub(super) fn new(publisher: Publisher, rate: Rate, style: Style) -> Self {
        Self {
            publisher,
            encoder: None,
            rate,
            style,
            unit: CodedUnit::default(),
            last_key: Nanos(0),
            due: Nanos(0),
            key_pending: false,
            software: false,
            converts: false,
            copied_before: 0,
        }
    }

    pub(super) fn stream(&self) -> &Arc<Stream> {
        self.publisher.stream()
    }

    /// Ends the encoder until somebody wants the stream again.
    pub(super) fn rest(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.copied_before += encoder.copied_pixel_bytes();
        }
    }

    /// Whether a picture of this moment is wanted where `most` are, per second; 0: all are.
    pub(super) fn takes_turn(&mut self, at: Nanos, most: u32) -> bool {
        if most == 0 {
            return true;
        }
        let period = 1_000_000_000 / u64::from(most);
        // Cameras are not quite regular.
        if at.0.saturating_add(period / 8) < self.due.0 {
            return false;
        }
        // Who comes late, or is the first, sets the beat anew.
        let late = at.since(self.due).0 + period / 8 >= period;
        let from = if late { at } else { self.due };
        self.due = from.plus(Nanos(period));
        true
    }

    /// The next picture is made by another encoder, and nobody is told what this one's were.
    pub(super) fn renew(&mut self) {
        self.rest();
        self.key_pending = true;
        self.stream().forget_parameters();
    }

    pub(super) fn note_copied(&self, stages: u64) {
        let own = self.encoder.as_ref().map_or(0, |e| e.copied_pixel_bytes());
        self.stream().set_copied(self.copied_before + own + stages);
    }

    /// Of pictures that have one; it was checked when it was set.
    pub(super) fn set_quality(&mut self, quality: u8) {
        if let Some(encoder) = &mut self.encoder {
            let _ = encoder.set_quality(quality);
        }
    }

    pub(super) fn set_style(&mut self, style: Style) -> Result<(), EncodeError> {
        if let Some(encoder) = &mut self.encoder {
            encoder.set_style(style)?;
            self.stream().set_style_refusal(String::new());
        }
        self.style = style;
        Ok(())
    }

    pub(super) fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError> {
        if let Some(encoder) = &mut self.encoder {
            encoder.set_rate(rate)?;
        }
        self.rate = rate;
        Ok(())
    }

    /// Sees to an encoder, and whether it takes pictures of this layout as they are; if not, it takes
    /// I420.
    pub(super) fn ready(
        &mut self,
        format: PixelFormat,
        make: impl FnOnce(Rate) -> Result<Box<dyn Encoder>, EncodeError>,
    ) -> Result<bool, EncodeError> {
        let fits = |e: &dyn Encoder| e.takes(format) || e.takes(PixelFormat::I420);
        if self.encoder.as_deref().is_some_and(|e| !fits(e)) {
            // It was made for pictures of another layout.
            self.rest();
            self.key_pending = true;
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            slot => {
                let encoder = slot.insert(make(self.rate)?);
                // Hardware that cannot do it was asked when the setting was made; another one that
                // took its place, or is asked for a saved one, goes on with what it has.
                let refused = encoder.set_style(self.style).err();
                let why = refused.map(|e| e.0).unwrap_or_default();
                self.publisher.stream().set_style_refusal(why);
                encoder
            }
        };
        let takes = encoder.takes(format);
        self.converts = !takes;
        Ok(takes)
    }

    pub(super) fn encode(&mut self, frame: &Frame, stamp: Option<&Capture>) {
        let result = self.try_encode(frame, stamp);
        self.stream().set_error(&result.err().map(|e| e.0).unwrap_or_default());
    }

    pub(super) fn try_encode(
        &mut self,
        frame: &Frame,
        stamp: Option<&Capture>,
    ) -> Result<(), EncodeError> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        self.key_pending |= self.publisher.stream().take_key_wanted();
        let key = self.key_pending && frame.capture.mono.since(self.last_key) >= KEY_EVERY;
        let encoded = match encoder.encode(frame, key, &mut self.unit) {
            Ok(encoded) => encoded,
            Err(e) => {
                // It begins anew with the next picture.
                self.rest();
                self.key_pending = true;
                return Err(e);
            }
        };
        if !encoded {
            return Ok(());
        }
        if self.unit.key {
            self.key_pending = false;
            self.last_key = frame.capture.mono;
        }
        let sei = stamp.and_then(|s| sei::build(self.unit.codec, s));
        self.publisher.publish(&self.unit, sei.as_ref()).map_err(|e| EncodeError(e.to_string()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Kind, geometry_for};
    use lensd_ffi::bell::Bell;
    use lensd_ffi::unit::Codec;

    #[test]
    fn of_more_pictures_than_are_wanted_some_are_left_out_evenly() {
        let bell = Bell::new().unwrap();
        let publisher = Stream::create(1, Kind::Sub, Codec::H264, geometry_for(1), bell).unwrap().1;
        let rate = Rate { bitrate: 1, fps: 30.0, gop: 30 };
        let mut track = Track::new(publisher, rate, Style::default());
        for (most, expected) in [(0, 90), (60, 90), (30, 90), (20, 60), (10, 30), (1, 3)] {
            track.due = Nanos(0);
            let taken = (30..120_u64)
                .filter(|n| track.takes_turn(Nanos(n * 33_333_333 + n % 3 * 100_000), most))
                .count();
            assert!(taken.abs_diff(expected) <= 1, "{most}: {taken}");
        }
    }
}
