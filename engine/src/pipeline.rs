//! From a camera to its three rings: which stages a frame goes through.
//!
//! A stage exists only while it is used: a sub stream that nobody reads has no scaler and no
//! encoder, and costs nothing.

mod small;
mod sub;
mod track;
mod words;

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
use crate::ptz::Aim;
use crate::publish::{Publisher, Refusals, Stage, Stream};
use crate::scene::Watcher;
use crate::syntax::sei::{self, Capture};
use crate::syntax::sps::parse_sps;
use crate::tap::CameraTap;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::{Codec, NalSpan};
use small::Small;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use track::Track;

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
    /// The part of the pictures that is shown, once somebody moves it.
    aim: Arc<Aim>,
    /// Looks for motion.
    watcher: Option<Watcher>,
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

/// Pictures from one key frame to the next.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn gop_of(fps: f64, secs: f64) -> u32 {
    (fps * secs).round().clamp(1.0, 100_000.0) as u32
}

/// The sub stream's rate where the camera gives `fps` pictures and `most` are wanted; 0: all.
fn sub_rate(fps: f64, most: u32, config: &CameraConfig, rate: Rate) -> Rate {
    let fps = if most > 0 { fps.min(f64::from(most)) } else { fps };
    Rate { fps, gop: gop_of(fps, config.gop_secs), ..rate }
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
            sub: Track::new(
                publishers.sub,
                sub_rate(fps, config.sub_fps, config, rate(config.sub_bitrate)),
                config.style,
            ),
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
            aim: Arc::default(),
            watcher: None,
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

    /// The same with a window that is moved while pictures come.
    pub fn with_aim(self, aim: Arc<Aim>) -> Self {
        Self { aim, ..self }
    }

    /// The same with somebody who looks for motion.
    pub fn watched(self, watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// Lets motion be looked for in the camera's own picture: what is drawn on it does not move.
    fn watch(&mut self, frame: &Frame) {
        if self.watcher.as_mut().is_some_and(|watcher| watcher.look(frame)) {
            self.describe();
        }
    }

    /// Takes up where the window is now. Encoders stay as they are, but for the step from the whole
    /// picture to a part of it, which is one from the camera's memory to ours.
    fn follow_aim(&mut self) {
        let finish = &self.config.finish;
        let Some(window) = self.aim.window(now()) else { return };
        if (window.zoom, window.pan, window.tilt) == (finish.zoom, finish.pan, finish.tilt) {
            return;
        }
        let wish = Finish {
            zoom: window.zoom,
            pan: window.pan,
            tilt: window.tilt,
            ..self.config.finish.clone()
        };
        if let Err(why) = self.change_finish(&wish) {
            // Whoever moves it was told so already.
            tracing::debug!(camera = self.camera(), "the window stays: {}", why.0);
        }
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
        let watched = self.watcher.as_ref().is_some_and(Watcher::is_wanted);
        streams.iter().any(|s| s.is_wanted()) || self.tap.is_wanted() || watched
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
            Change::Bitrate(_) | Change::Gop(_) | Change::MainJpeg(true)
                if self.info.coded.is_some() =>
            {
                return Err(passed());
            }
            // The next picture makes the encoder, and whoever plays the stream begins anew.
            Change::MainJpeg(on) if on != self.config.main_jpeg => {
                self.config.main_jpeg = on;
                self.main.renew();
            }
            Change::SubJpeg(on) if on != self.config.sub_jpeg => {
                self.config.sub_jpeg = on;
                self.sub.renew();
            }
            Change::MainJpeg(_) | Change::SubJpeg(_) => {}
            Change::SubFps(fps) => {
                self.sub.set_rate(sub_rate(
                    self.main.rate.fps,
                    fps,
                    &self.config,
                    self.sub.rate,
                ))?;
                self.config.sub_fps = fps;
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
                let of = |rate: Rate| Rate { gop: gop_of(rate.fps, secs), ..rate };
                self.main.set_rate(of(self.main.rate))?;
                self.sub.set_rate(of(self.sub.rate))?;
                self.config.gop_secs = secs;
            }
            Change::SubWidth(width) => {
                // The next picture makes them anew, in the new size.
                self.rest_sub();
                self.sub.renew();
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
                self.main.stream().forget_parameters();
                self.sub.stream().forget_parameters();
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
        self.settle();
    }

    fn raw_frame(&mut self, frame: &Frame, with_jpeg: bool) {
        self.follow_aim();
        if self.taps {
            self.tap.offer(frame);
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
        let quality = self.mjpeg.stream().quality().unwrap_or(config.quality);
        let ready = self.main.ready(format, |rate| match config.main_jpeg {
            true => Jpeg::new(quality).map(|jpeg| Box::new(jpeg) as Box<dyn Encoder>),
            false => make_encoder(config, rate, format, software),
        });
        self.main.set_quality(quality);
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
        if self.main.encoder.is_none() && self.config.encoder == "auto" && !self.config.main_jpeg {
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
        // Last: no picture is to wait for it.
        self.watch(frame);
    }

    /// All is done for a frame that other programs were lent.
    fn settle(&self) {
        let at = now();
        let stream = self.main.stream();
        self.tap.settle(at, |spans| spans.for_each(|s| stream.note_spans(Stage::Tap, &[s], at)));
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
        let watched = self.watcher.as_ref().is_some_and(Watcher::is_wanted);
        if !sub && !mjpeg && !tap && !watched {
            if self.watcher.as_mut().is_some_and(Watcher::rest) {
                self.describe();
            }
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
                    self.tap.offer(&raw);
                }
                self.watch(&raw);
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
        self.settle();
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
