//! From a camera to its three rings: which stages a frame goes through.
//!
//! A stage exists only while it is used: a sub stream that nobody reads has no scaler and no
//! encoder, and costs nothing.

mod small;
mod sub;

use crate::camera::CameraInfo;
use crate::change::Change;
use crate::coded::CodedUnit;
use crate::config::CameraConfig;
use crate::encode::jpeg::Jpeg;
use crate::encode::m2m::EncoderM2m;
use crate::encode::openh264::{OpenH264, Tuning};
use crate::encode::{EncodeError, Encoder, Rate};
use crate::finish::{Finish, Inset};
use crate::frame::{Colour, Frame, PixelFormat, packed_planes};
use crate::glimpse::Glimpses;
use crate::picture::decode::H264Decoder;
use crate::picture::finish::{Finisher, overlay::Watermark};
use crate::picture::{Picture, View};
use crate::publish::{Publisher, Refusals, Stage, Stream};
use crate::style::Style;
use crate::syntax::sei::{self, Capture};
use crate::syntax::sps::parse_sps;
use crate::tap::CameraTap;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::{Codec, NalSpan};
use small::Small;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Shortest time between two key frames that clients ask for: otherwise a crowd of joining clients
/// would make every frame one.
const KEY_EVERY: Nanos = Nanos::from_millis(400);

/// Why nothing is done to pictures that a camera codes.
const UNCHANGED: &str =
    "this camera's stream is passed through as it codes it: its pictures cannot be changed";
/// Why such a stream has no encoder that could be told anything.
const UNCODED: &str = "this stream is passed through as the camera codes it";
/// Why no device scales a picture.
const DECODED: &str = "the pictures are decoded here";

/// The stages of one camera.
pub struct Pipeline {
    config: CameraConfig,
    info: CameraInfo,
    /// Whether frames carry a capture SEI whatever the configuration says.
    always_stamped: bool,
    /// Whether the camera's pictures lie in DMA-bufs.
    dmabuf: bool,
    /// Whether they are converted for the encoder.
    converted: bool,
    /// Whether a coded key frame has come.
    begun: bool,
    main: Track,
    sub: Track,
    mjpeg: Publisher,
    /// Other programs that want the raw frames.
    tap: Arc<CameraTap>,
    /// Whether they are pictures of the camera.
    taps: bool,
    jpeg: Option<Jpeg>,
    /// For the sub stream.
    small: Option<Small>,
    /// Only while pictures are converted, decoded or finished.
    finisher: Option<Finisher>,
    glimpses: Arc<Glimpses>,
    /// The watermark's file, and when that was written, as it was read last.
    mark: Option<(PathBuf, Option<SystemTime>)>,
    /// Bytes that were written to decode a camera's own coding.
    decoded: u64,
    /// Only for cameras that deliver H.264, and while a stream needs pixels.
    decoder: Option<H264Decoder>,
    /// What the samples of a stream that is passed through mean.
    coded_colour: Colour,
    jpeg_unit: CodedUnit,
}

/// A stream with an encoder.
struct Track {
    publisher: Publisher,
    encoder: Option<Box<dyn Encoder>>,
    rate: Rate,
    style: Style,
    unit: CodedUnit,
    last_key: Nanos,
    key_pending: bool,
    /// Whether a hardware encoder has failed.
    software: bool,
    /// Whether pictures are converted for the encoder.
    converts: bool,
    /// Bytes that processors copied for encoders that are gone.
    copied_before: u64,
}

/// Pictures from one key frame to the next.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn gop_of(fps: f64, secs: f64) -> u32 {
    (fps * secs).round().clamp(1.0, 100_000.0) as u32
}

/// The publishers of a camera's three streams, and where its raw frames go.
pub struct Publishers {
    /// Main.
    pub main: Publisher,
    /// Sub.
    pub sub: Publisher,
    /// MJPEG.
    pub mjpeg: Publisher,
    /// Frames.
    pub tap: Arc<CameraTap>,
}

impl Pipeline {
    /// Stages for a camera that was opened.
    pub fn new(
        config: &CameraConfig,
        info: CameraInfo,
        always_stamped: bool,
        publishers: Publishers,
        glimpses: Arc<Glimpses>,
    ) -> Self {
        let fps = if info.fps > 0.0 { info.fps } else { 30.0 };
        let gop = gop_of(fps, config.gop_secs);
        let rate = |bitrate| Rate { bitrate, fps, gop };
        let pipeline = Self {
            main: Track::new(publishers.main, rate(config.bitrate), config.style),
            sub: Track::new(publishers.sub, rate(config.sub_bitrate), config.style),
            mjpeg: publishers.mjpeg,
            tap: publishers.tap,
            taps: true,
            config: config.clone(),
            info,
            always_stamped,
            dmabuf: false,
            converted: false,
            begun: false,
            jpeg: None,
            small: None,
            finisher: None,
            glimpses,
            mark: None,
            decoded: 0,
            decoder: None,
            coded_colour: Colour::default(),
            jpeg_unit: CodedUnit::default(),
        };
        if pipeline.shows_another() {
            pipeline.glimpses.want(true);
        }
        let passed = |why: &str| if pipeline.info.coded.is_some() { why } else { "" }.to_owned();
        pipeline
            .main
            .stream()
            .set_refusals(Refusals { finish: passed(UNCHANGED), style: passed(UNCODED) });
        pipeline.describe();
        pipeline
    }

    const fn is_stamped(&self) -> bool {
        self.always_stamped || self.config.capture_sei
    }

    /// The same for pictures that no program must take for the camera's.
    pub fn without_tap(self) -> Self {
        Self { taps: false, ..self }
    }

    /// Gives the publishers back, for the camera's next life.
    pub fn into_publishers(self) -> Publishers {
        if self.shows_another() {
            self.glimpses.want(false);
        }
        self.glimpses.forget(self.camera());
        self.tap.rest();
        Publishers {
            main: self.main.publisher,
            sub: self.sub.publisher,
            mjpeg: self.mjpeg,
            tap: self.tap,
        }
    }

    fn camera(&self) -> u32 {
        self.main.stream().camera
    }

    fn shows_another(&self) -> bool {
        self.config.finish.inset != Inset::Off
    }

    /// Whether anybody reads anything.
    pub fn is_wanted(&self) -> bool {
        let streams = [self.main.stream(), self.sub.stream(), self.mjpeg.stream()];
        streams.iter().any(|s| s.is_wanted()) || self.tap.is_wanted()
    }

    /// Changes how streams are made while they are.
    ///
    /// # Errors
    /// The encoder's refusal, and all is as before.
    pub fn change(&mut self, change: &Change) -> Result<(), EncodeError> {
        let passed = || EncodeError(UNCODED.to_owned());
        match *change {
            // "As it is": an encoder made with no bits at all would never begin.
            Change::Bitrate(0) | Change::SubBitrate(0) => {}
            Change::Bitrate(_) | Change::Gop(_) if self.info.coded.is_some() => {
                return Err(passed());
            }
            Change::Bitrate(bitrate) => {
                self.main.set_rate(Rate { bitrate, ..self.main.rate })?;
                self.config.bitrate = bitrate;
            }
            Change::SubBitrate(bitrate) => {
                self.sub.set_rate(Rate { bitrate, ..self.sub.rate })?;
                self.config.sub_bitrate = bitrate;
            }
            Change::Gop(secs) => {
                let gop = gop_of(self.main.rate.fps, secs);
                self.main.set_rate(Rate { gop, ..self.main.rate })?;
                self.sub.set_rate(Rate { gop, ..self.sub.rate })?;
                self.config.gop_secs = secs;
            }
            Change::SubWidth(width) => {
                // The next picture makes them anew, in the new size.
                self.rest_sub();
                self.config.sub_width = width;
                self.describe();
            }
            Change::CaptureSei(on) => self.config.capture_sei = on,
            Change::Finish(ref edit) => {
                let mut wish = self.config.finish.clone();
                edit.apply(&mut wish);
                self.change_finish(&wish)?;
            }
            Change::Style(_) if self.info.coded.is_some() => return Err(passed()),
            Change::Style(ref edit) => {
                let mut style = self.config.style;
                edit.apply(&mut style);
                self.main.set_style(style)?;
                self.sub.set_style(style)?;
                self.config.style = style;
            }
            Change::NoSignal(on) => self.config.no_signal = on,
            Change::Size(_) | Change::Fps(_) | Change::Input(_) | Change::Source(_) => {
                return Err(EncodeError("only opening the camera anew changes this".into()));
            }
        }
        Ok(())
    }

    fn change_finish(&mut self, wish: &Finish) -> Result<(), EncodeError> {
        // What was noted while it was away can be taken back one by one.
        if self.info.coded.is_some() && !wish.is_plain() && self.config.finish.is_plain() {
            return Err(EncodeError(UNCHANGED.to_owned()));
        }
        let mark = wish.overlay.watermark.as_deref().map(|path| (path.to_owned(), dated(path)));
        if mark != self.mark {
            // Another file, or another one of the same name.
            if let Some((path, _)) = &mark {
                Watermark::load(path).map_err(EncodeError)?;
            }
            self.mark = mark;
            if let Some(finisher) = &mut self.finisher {
                finisher.reload();
            }
        }
        if self.config.encoder == "auto" && wish.is_plain() != self.config.finish.is_plain() {
            // Hardware may take the camera's pictures, but not ours, or the other way round.
            self.main.rest();
            self.main.key_pending = true;
        }
        let before = self.shows_another();
        self.config.finish.clone_from(wish);
        if before != self.shows_another() {
            self.glimpses.want(!before);
        }
        self.describe();
        Ok(())
    }

    /// A raw or JPEG picture.
    pub fn frame(&mut self, frame: &Frame) {
        self.glimpses.offer(self.camera(), frame);
        if frame.format == PixelFormat::Mjpeg {
            self.jpeg_frame(frame);
        } else {
            self.raw_frame(frame, true);
        }
    }

    fn raw_frame(&mut self, frame: &Frame, with_jpeg: bool) {
        if self.taps {
            self.offer(frame);
        }
        let stamp = self.is_stamped().then(|| Capture::of(frame.capture, frame.number, frame.crc));
        self.main.stream().note_taken(frame.number, now());
        let dmabuf = frame.memory.dmabuf().is_some();
        let fresh = self.main.encoder.is_none() || dmabuf != self.dmabuf;
        self.dmabuf = dmabuf;
        let plain = self.config.finish.is_plain();
        let finished = if plain { None } else { Some(self.finished(frame)) };
        let shown = match &finished {
            Some(Ok(finished)) => finished,
            Some(Err(why)) => return self.main.stream().set_error(why),
            None => frame,
        };
        let config = &self.config;
        let (software, format) = (self.main.software, shown.format);
        let ready = self.main.ready(format, |rate| make_encoder(config, rate, format, software));
        let converted = match ready {
            Err(why) => {
                self.main.stream().set_error(&why.0);
                None
            }
            // What the encoder is given is also what the sub stream is scaled from.
            Ok(false) => Some(self.finisher.get_or_insert_default().convert(shown)),
            Ok(true) => None,
        };
        let before = std::mem::replace(&mut self.converted, converted.is_some());
        let fresh = fresh || before != self.converted;
        let given = match &converted {
            Some(Ok(converted)) => converted,
            Some(Err(why)) => return self.main.stream().set_error(why),
            None => shown,
        };
        if finished.is_some() || converted.is_some() {
            self.main.stream().note_ready(now());
        }
        self.main.encode(given, stamp.as_ref());
        let stages = self.finisher.as_ref().map_or(0, Finisher::copied_pixel_bytes);
        self.main.note_copied(stages);
        if self.main.encoder.is_none() && self.config.encoder == "auto" {
            // Hardware that fails is not asked again until the camera is opened anew.
            self.main.software = true;
        }
        if fresh {
            self.describe();
        }
        if self.sub.stream().is_wanted() {
            // `with_jpeg`: it was not decoded here.
            let camera = match (with_jpeg, plain) {
                (true, true) => Ok(frame),
                (false, _) => Err(DECODED),
                (true, false) => Err("the settings ask for changed pictures"),
            };
            self.sub_frame(camera, given, stamp.as_ref());
        } else if self.sub.encoder.is_some() {
            self.rest_sub();
            self.describe();
        }
        if (with_jpeg || !plain) && self.mjpeg.stream().is_wanted() {
            self.encode_jpeg(shown);
        } else if !self.mjpeg.stream().is_wanted() {
            self.jpeg = None;
        }
    }

    /// Lends a frame to other programs, and notes how long they took to be woken.
    fn offer(&self, frame: &Frame) {
        let stream = self.main.stream();
        self.tap.offer(frame, |spans| stream.note_spans(Stage::Tap, spans, now()));
    }

    /// The frame with all done to it that is wished.
    fn finished(&mut self, frame: &Frame) -> Result<Frame, String> {
        let other = if self.shows_another() { self.glimpses.other(self.camera()) } else { None };
        let finisher = self.finisher.get_or_insert_default();
        finisher.make(frame, &self.config.finish, other.as_ref())
    }

    fn encode_jpeg(&mut self, frame: &Frame) {
        let stream = Arc::clone(self.mjpeg.stream());
        stream.note_taken(frame.number, now());
        let result = self.try_jpeg(frame, &stream);
        stream.set_error(&result.err().map(|e| e.0).unwrap_or_default());
    }

    fn try_jpeg(&mut self, frame: &Frame, stream: &Stream) -> Result<(), EncodeError> {
        let mut jpeg = match self.jpeg.take() {
            Some(jpeg) => jpeg,
            None => Jpeg::new(self.config.quality)?,
        };
        let usual = stream.quality().unwrap_or(self.config.quality);
        jpeg.set_quality(stream.take_quality().unwrap_or(usual))?;
        let encoded = jpeg.encode(frame, true, &mut self.jpeg_unit)?;
        stream.set_copied(jpeg.copied_pixel_bytes());
        self.jpeg = Some(jpeg);
        if encoded {
            self.mjpeg.publish(&self.jpeg_unit, None).map_err(|e| EncodeError(e.to_string()))?;
        }
        Ok(())
    }

    /// A camera that delivers JPEG: the MJPEG stream is passed through, the others are decoded.
    fn jpeg_frame(&mut self, frame: &Frame) {
        let bytes = frame.memory.bytes();
        let bytes = &bytes[..frame.used.min(bytes.len())];
        // A picture that something is done to is coded anew.
        if self.config.finish.is_plain() && self.mjpeg.stream().is_wanted() {
            let unit = &mut self.jpeg_unit;
            unit.bytes.clear();
            unit.bytes.extend_from_slice(bytes);
            unit.nals.clear();
            unit.nals.push(NalSpan { offset: 0, len: u32::try_from(bytes.len()).unwrap_or(0) });
            (unit.codec, unit.key) = (Codec::Jpeg, true);
            (unit.width, unit.height) = (frame.width, frame.height);
            (unit.capture, unit.number) = (frame.capture, frame.number);
            if let Err(e) = self.mjpeg.publish(&self.jpeg_unit, None) {
                self.mjpeg.stream().set_error(&e.to_string());
            }
        }
        self.main.stream().note_taken(frame.number, now());
        match self.finisher.get_or_insert_default().decode(frame) {
            Ok(raw) => self.raw_frame(&raw, false),
            // One broken picture of a USB camera: count it and go on.
            Err(why) => self.main.stream().set_error(&why),
        }
    }

    /// A coded unit: the main stream is passed through, the others are decoded while wanted.
    pub fn unit(&mut self, unit: &CodedUnit) {
        // What comes before refers to what was before the camera was opened.
        self.begun |= unit.key;
        if !self.begun {
            return;
        }
        let sei = self
            .is_stamped()
            .then(|| sei::build(unit.codec, &Capture::of(unit.capture, unit.number, None)))
            .flatten();
        match self.main.publisher.publish(unit, sei.as_ref()) {
            Ok(_) => self.main.stream().set_error(""),
            Err(e) => self.main.stream().set_error(&e.to_string()),
        }
        let (sub, mjpeg) = (self.sub.stream().is_wanted(), self.mjpeg.stream().is_wanted());
        let tap = self.tap.is_wanted();
        if !sub && !mjpeg && !tap {
            if self.decoder.take().is_some() {
                self.sub.rest();
                self.describe();
            }
            return;
        }
        if unit.codec != Codec::H264 {
            let why = format!("{} can be passed through, but not decoded here", unit.codec.name());
            self.sub.stream().set_error(&why);
            self.mjpeg.stream().set_error(&why);
            self.tap.set_fault(&why);
            return;
        }
        let nal = |span: &NalSpan| unit.bytes.get(span.offset as usize..)?.get(..span.len as usize);
        let sps = unit.nals.iter().filter_map(nal).find_map(parse_sps).filter(|_| unit.key);
        if let Some(sps) = sps {
            self.coded_colour = sps.colour.unwrap_or_default();
        }
        let mut decoder = self.decoder.take().unwrap_or_default();
        for (track, wanted) in [(self.sub.stream(), sub), (self.mjpeg.stream(), mjpeg)] {
            if wanted {
                track.note_taken(unit.number, now());
            }
        }
        match decoder.decode(&unit.bytes, unit.key) {
            Ok(Some(view)) => {
                let raw = Frame { colour: self.coded_colour, ..frame_of(&view, unit) };
                // Once by the decoder, once by us.
                self.decoded += 2 * raw.used as u64;
                if tap {
                    self.offer(&raw);
                }
                if sub {
                    let stamp =
                        self.is_stamped().then(|| Capture::of(raw.capture, raw.number, None));
                    self.sub_frame(Err(DECODED), &raw, stamp.as_ref());
                }
                if mjpeg {
                    self.encode_jpeg(&raw);
                }
            }
            Ok(None) => {}
            Err(why) => self.sub.stream().set_error(&why),
        }
        self.decoder = Some(decoder);
    }

    /// Says in words which way frames go.
    fn describe(&self) {
        let place = if self.dmabuf { " dmabuf" } else { "" };
        let source = format!("{} {}{place}", self.info.name, self.info.format);
        let encoder = match (&self.info.coded, &self.main.encoder) {
            (Some(_), _) => "passed through".to_owned(),
            (None, Some(e)) => match e.copies() {
                "" => e.name(),
                why => format!("copy (CPU: {why}) -> {}", e.name()),
            },
            (None, None) => "encoder".to_owned(),
        };
        let decoded = if self.info.coded.is_some() || self.info.format == "MJPEG" {
            " -> decode (CPU: this stream needs pixels)"
        } else {
            ""
        };
        let finish = &self.config.finish;
        let mut stages = String::new();
        if self.info.format == "MJPEG" {
            stages.push_str(decoded);
        }
        if !finish.is_plain() && self.info.coded.is_none() {
            let words = finish.words();
            stages.push_str(&format!(" -> {words} (CPU: the settings ask for it)"));
        } else if let Some(encoder) = &self.main.encoder
            && self.info.coded.is_none()
            && self.info.format != "MJPEG"
            && self.main.converts
        {
            stages.push_str(&format!(" -> I420 (CPU: {} takes nothing else)", encoder.name()));
        }
        self.main.stream().describe(&format!("{source}{stages} -> {encoder} -> ring"));
        let scaled = self.small.as_ref().map_or_else(
            || format!("scale to width {}", self.config.sub_width),
            |small| small.words(self.config.sub_width),
        );
        let coder = match &self.sub.encoder {
            Some(encoder) if self.sub.converts => {
                let name = encoder.name();
                format!("I420 (CPU: {name} takes nothing else) -> {name}")
            }
            Some(encoder) => match encoder.copies() {
                "" => encoder.name(),
                why => format!("copy (CPU: {why}) -> {}", encoder.name()),
            },
            None => "encoder".to_owned(),
        };
        let done = if finish.is_plain() || self.info.coded.is_some() {
            String::new()
        } else {
            format!(" -> {} (CPU: the settings ask for it)", finish.words())
        };
        self.sub.stream().describe(&format!(
            "{source}{decoded}{done} -> {scaled} -> {coder} -> ring, while read"
        ));
        self.mjpeg.stream().describe(&if self.info.format == "MJPEG" && done.is_empty() {
            format!("{source} -> passed through -> ring, while read")
        } else {
            format!("{source}{decoded}{done} -> libjpeg-turbo (CPU) -> ring, while read")
        });
    }
}

impl Track {
    fn new(publisher: Publisher, rate: Rate, style: Style) -> Self {
        Self {
            publisher,
            encoder: None,
            rate,
            style,
            unit: CodedUnit::default(),
            last_key: Nanos(0),
            key_pending: false,
            software: false,
            converts: false,
            copied_before: 0,
        }
    }

    fn stream(&self) -> &Arc<Stream> {
        self.publisher.stream()
    }

    /// Ends the encoder until somebody wants the stream again.
    fn rest(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.copied_before += encoder.copied_pixel_bytes();
        }
    }

    fn note_copied(&self, stages: u64) {
        let own = self.encoder.as_ref().map_or(0, |e| e.copied_pixel_bytes());
        self.stream().set_copied(self.copied_before + own + stages);
    }

    fn set_style(&mut self, style: Style) -> Result<(), EncodeError> {
        if let Some(encoder) = &mut self.encoder {
            encoder.set_style(style)?;
            self.stream().set_style_refusal(String::new());
        }
        self.style = style;
        Ok(())
    }

    fn set_rate(&mut self, rate: Rate) -> Result<(), EncodeError> {
        if let Some(encoder) = &mut self.encoder {
            encoder.set_rate(rate)?;
        }
        self.rate = rate;
        Ok(())
    }

    /// Sees to an encoder, and whether it takes pictures of this layout as they are; if not, it takes
    /// I420.
    fn ready(
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

    fn encode(&mut self, frame: &Frame, stamp: Option<&Capture>) {
        let result = self.try_encode(frame, stamp);
        self.stream().set_error(&result.err().map(|e| e.0).unwrap_or_default());
    }

    fn try_encode(&mut self, frame: &Frame, stamp: Option<&Capture>) -> Result<(), EncodeError> {
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

/// A decoded picture as a frame.
fn frame_of(view: &View<'_>, unit: &CodedUnit) -> Frame {
    let mut picture = Picture::default();
    picture.copy_from(view);
    let (width, height) = (view.width(), view.height());
    let (planes, used) = packed_planes(PixelFormat::I420, width, height);
    Frame {
        format: PixelFormat::I420,
        width,
        height,
        planes,
        used,
        colour: Colour::default(),
        memory: Arc::new(picture.take_bytes()),
        capture: unit.capture,
        number: unit.number,
        crc: None,
    }
}

/// When a file was written last.
fn dated(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

/// The encoder that the configuration names; `auto` is this machine's hardware if it takes the
/// camera's pictures as they are, else software.
fn make_encoder(
    config: &CameraConfig,
    rate: Rate,
    format: PixelFormat,
    software: bool,
) -> Result<Box<dyn Encoder>, EncodeError> {
    match config.encoder.as_str() {
        "auto" if !software => {
            if let Some(Ok(encoder)) = EncoderM2m::first(Codec::H264, rate)
                && encoder.takes().contains(&format)
            {
                return Ok(Box::new(encoder));
            }
            Ok(Box::new(OpenH264::new(rate, Tuning::default())?))
        }
        "auto" | "openh264" => Ok(Box::new(OpenH264::new(rate, Tuning::default())?)),
        path if path.starts_with('/') => {
            let encoder = EncoderM2m::open(Path::new(path), Codec::H264, rate)?;
            if encoder.takes().iter().any(|f| *f == format || *f == PixelFormat::I420) {
                return Ok(Box::new(encoder));
            }
            let takes: Vec<String> = encoder.takes().iter().map(ToString::to_string).collect();
            Err(EncodeError(format!(
                "the encoder {path} takes neither {format} nor I420, but {}; ask the camera for \
                 one of these with ?format=",
                takes.join(", ")
            )))
        }
        other => Err(EncodeError(format!(
            "there is no encoder {other:?}; there are auto, openh264, and nodes such as /dev/video11"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::{Kind, geometry_for};
    use lensd_ffi::bell::Bell;

    #[test]
    fn no_bit_rate_means_the_one_there_is() {
        let make = |kind, codec| {
            let bell = Bell::new().unwrap();
            Stream::create(1, kind, codec, geometry_for(1), bell).unwrap().1
        };
        let publishers = Publishers {
            tap: CameraTap::new(1, Bell::new().unwrap(), Arc::default()),
            main: make(Kind::Main, Codec::H264),
            sub: make(Kind::Sub, Codec::H264),
            mjpeg: make(Kind::Mjpeg, Codec::Jpeg),
        };
        let config = CameraConfig::default();
        let mut pipeline =
            Pipeline::new(&config, CameraInfo::default(), false, publishers, Arc::default());
        pipeline.change(&Change::Bitrate(0)).unwrap();
        assert_eq!(pipeline.main.rate.bitrate, config.bitrate);
        pipeline.change(&Change::Bitrate(1_000_000)).unwrap();
        assert_eq!(pipeline.main.rate.bitrate, 1_000_000);
        assert!(pipeline.change(&Change::Fps(5.0)).is_err());
    }

    #[test]
    fn a_camera_that_codes_begins_with_a_key_frame_whenever_it_is_opened() {
        let make = |kind, codec| {
            let bell = Bell::new().unwrap();
            Stream::create(1, kind, codec, geometry_for(1), bell).unwrap().1
        };
        let mut publishers = Publishers {
            tap: CameraTap::new(1, Bell::new().unwrap(), Arc::default()),
            main: make(Kind::Main, Codec::H264),
            sub: make(Kind::Sub, Codec::H264),
            mjpeg: make(Kind::Mjpeg, Codec::Jpeg),
        };
        let unit = |key| {
            let (bytes, nals) = (vec![0, 0, 0, 1, 0x41], vec![NalSpan { offset: 4, len: 1 }]);
            CodedUnit { key, bytes, nals, ..CodedUnit::default() }
        };
        for units in [2, 4] {
            let info = CameraInfo { coded: Some(Codec::H264), ..CameraInfo::default() };
            let mut pipeline =
                Pipeline::new(&CameraConfig::default(), info, false, publishers, Arc::default());
            for key in [false, false, true, false] {
                pipeline.unit(&unit(key));
            }
            publishers = pipeline.into_publishers();
            assert_eq!(publishers.main.stream().ring().head(), units);
        }
    }
}
