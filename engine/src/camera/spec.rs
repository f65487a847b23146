//! Camera SPECs: the text that names a camera, as typed on the command line or in a settings file.
//!
//! `v4l2:DEVICE[?format=NV12&size=1280x720&fps=30]` with a DEVICE that is a path (`/dev/video0`,
//! `/dev/v4l/by-path/…`, `/dev/v4l/by-id/…`), `serial=…`, `bus=…` or `id=…`,
//! `test:[?size=1280x720&fps=30&pattern=bars|noise|clock|still&seed=N]`,
//! `file:PATH[?stamp=1&loop=0&fps=25]`, `rtsp://…`, `rtsps://…`, `publish:NAME`.
//!
//! A path that itself contains a `?` is written with one more `?` behind it: options begin at the
//! last one.

use std::fmt;
use std::str::FromStr;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What the test camera shows around its marks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Colour bars and a box that moves.
    #[default]
    Bars,
    /// Fresh noise in every frame: the hardest picture for an encoder.
    Noise,
    /// The frame number in large digits.
    Clock,
    /// Nothing moves but the marks.
    Still,
}

impl Pattern {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Bars, "bars"),
        (Self::Noise, "noise"),
        (Self::Clock, "clock"),
        (Self::Still, "still"),
    ];

    /// Its name in a SPEC.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(p, _)| *p == self).map_or("", |(_, name)| name)
    }
}

/// The test camera's parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSpec {
    /// Picture size; even, from 320x180.
    pub size: Size,
    /// Pictures per second.
    pub fps: f64,
    /// What is shown.
    pub pattern: Pattern,
    /// Same seed, same pictures.
    pub seed: u64,
}

impl Default for TestSpec {
    fn default() -> Self {
        Self { size: Size { width: 1280, height: 720 }, fps: 30.0, pattern: Pattern::Bars, seed: 0 }
    }
}

/// A V4L2 camera's parameters. What is `None` is the driver's choice.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct V4l2Spec {
    /// Path of the device node or of a link to it, or what stays when that changes: `serial=…`,
    /// `bus=…`, `id=…` ([`Name`](super::tree::Name)).
    pub device: String,
    /// Name of a format that lensd can take from a driver: one of [`V4L2_FORMATS`].
    pub format: Option<String>,
    /// Size to ask for.
    pub size: Option<Size>,
    /// Pictures per second to ask for.
    pub fps: Option<f64>,
    /// Input (sensor) to choose, from 0.
    pub input: Option<u32>,
}

/// A file's parameters.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct FileSpec {
    /// Path of the file; its extension tells the kind.
    pub path: String,
    /// Whether coded units get a capture SEI with the moment they enter.
    pub stamp: bool,
    /// Whether the file ends after one pass instead of beginning again.
    pub once: bool,
    /// Pictures per second instead of what the file says.
    pub fps: Option<f64>,
}

/// What a camera SPEC names.
#[derive(Debug, Clone, PartialEq)]
pub enum CameraSpec {
    /// A capture device of the kernel.
    V4l2(V4l2Spec),
    /// The built-in test camera.
    Test(TestSpec),
    /// A file, played in a loop.
    File(FileSpec),
    /// A stream of another server.
    Rtsp {
        /// Its address, `rtsp://…` or `rtsps://…`.
        url: String,
    },
    /// Whatever a client publishes under this name by RTSP ANNOUNCE and RECORD.
    Publish {
        /// Letters, digits, `-`, `_` and `.`, at most 64.
        name: String,
    },
}

impl CameraSpec {
    /// The SPEC for people and logs: without the password of a URL.
    pub fn shown(&self) -> String {
        let text = self.to_string();
        let (Self::Rtsp { .. }, Some((scheme, rest))) = (self, text.split_once("://")) else {
            return text;
        };
        let host_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let host = rest[..host_end].rfind('@').map_or(0, |at| at + 1);
        format!("{scheme}://{}", &rest[host..])
    }
}

/// Formats that a SPEC may ask a driver for.
pub const V4L2_FORMATS: [&str; 14] = [
    "NV12", "NV21", "YU12", "YUYV", "UYVY", "NM12", "NM21", "YM12", "GREY", "RGB24", "BGR24",
    "MJPEG", "H264", "HEVC",
];

/// Sizes that clients know by heart, largest first: offered where every size is possible.
pub const USUAL_SIZES: &[(u32, u32)] = &[
    (3840, 2160),
    (2560, 1440),
    (1920, 1080),
    (1280, 960),
    (1280, 720),
    (960, 540),
    (800, 600),
    (640, 480),
    (640, 360),
    (320, 240),
    (320, 180),
];

/// Largest width and height of a picture in pixels.
pub const MAX_SIDE: usize = 8192;
/// Smallest picture that has room for the test camera's marks.
pub const MIN_TEST_SIZE: Size = Size { width: 320, height: 180 };
/// Highest rate in pictures per second.
pub const MAX_FPS: f64 = 1000.0;

/// Longest serial number, bus or id of a device in bytes.
pub const MAX_NAME: usize = 255;

/// Why a SPEC was refused: the SPEC, the place in it, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError(pub String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

impl FromStr for CameraSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        parse(text).map_err(|why| SpecError(format!("camera \"{text}\": {why}")))
    }
}

fn parse(text: &str) -> Result<CameraSpec, String> {
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("rtsp://") || lower.starts_with("rtsps://") {
        let host = text.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', '?']).next().unwrap_or("");
        if host.rsplit('@').next().unwrap_or("").is_empty() {
            return Err("no host name behind \"//\"".into());
        }
        return Ok(CameraSpec::Rtsp { url: text.into() });
    }
    let (scheme, rest) = text.split_once(':').ok_or_else(|| unknown_scheme(text))?;
    match scheme {
        "v4l2" => parse_v4l2(rest),
        "test" => parse_test(rest),
        "file" => parse_file(rest),
        "publish" => parse_publish(rest),
        other => Err(unknown_scheme(other)),
    }
}

fn unknown_scheme(found: &str) -> String {
    format!(
        "\"{found}\" is no kind of camera; there are v4l2:/dev/videoN, test:, file:PATH, \
         rtsp://HOST/PATH and publish:NAME"
    )
}

fn parse_v4l2(rest: &str) -> Result<CameraSpec, String> {
    let (device, query) = split_query(rest);
    let named = match device.split_once('=') {
        Some(("serial" | "bus" | "id", value)) => {
            (1..=MAX_NAME).contains(&value.len()) && value.trim() == value
        }
        _ => device.starts_with('/'),
    };
    if !named {
        return Err(format!(
            "device \"{device}\" must be a full path such as /dev/video0, or serial=…, bus=… or \
             id=… as `lensd devices` says them (1 to {MAX_NAME} bytes)"
        ));
    }
    let mut spec = V4l2Spec { device: device.into(), ..V4l2Spec::default() };
    for (key, value) in pairs(query)? {
        match key {
            "format" => spec.format = Some(parse_format(value)?),
            "size" => spec.size = Some(parse_size(value, Size { width: 16, height: 16 })?),
            "fps" => spec.fps = Some(parse_fps(value)?),
            "input" => {
                let input = value.parse().ok().filter(|n| *n < 32);
                let why = || format!("input={value}: must be a whole number from 0 to 31");
                spec.input = Some(input.ok_or_else(why)?);
            }
            _ => return Err(unknown_key(key, "format, size, fps, input")),
        }
    }
    Ok(CameraSpec::V4l2(spec))
}

fn parse_test(rest: &str) -> Result<CameraSpec, String> {
    let (path, query) = split_query(rest);
    if !path.is_empty() {
        return Err(format!("\"{path}\" is out of place: options follow as test:?key=value&…"));
    }
    let mut spec = TestSpec::default();
    for (key, value) in pairs(query)? {
        match key {
            "size" => spec.size = parse_size(value, MIN_TEST_SIZE)?,
            "fps" => spec.fps = parse_fps(value)?,
            "pattern" => spec.pattern = parse_pattern(value)?,
            "seed" => {
                spec.seed = value.parse().map_err(|_| {
                    format!("seed={value}: must be a whole number from 0 to 2^64-1")
                })?;
            }
            _ => return Err(unknown_key(key, "size, fps, pattern, seed")),
        }
    }
    Ok(CameraSpec::Test(spec))
}

fn parse_file(rest: &str) -> Result<CameraSpec, String> {
    let (path, query) = split_query(rest);
    if path.is_empty() {
        return Err("no path behind \"file:\"".into());
    }
    let mut spec = FileSpec { path: path.into(), ..FileSpec::default() };
    for (key, value) in pairs(query)? {
        match key {
            "stamp" => spec.stamp = parse_switch(key, value)?,
            "loop" => spec.once = !parse_switch(key, value)?,
            "fps" => spec.fps = Some(parse_fps(value)?),
            _ => return Err(unknown_key(key, "stamp, loop, fps")),
        }
    }
    Ok(CameraSpec::File(spec))
}

fn parse_publish(name: &str) -> Result<CameraSpec, String> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(sound) || name.starts_with('.') {
        return Err(format!(
            "name \"{name}\" must have 1 to 64 letters, digits, '-', '_' or '.', not '.' first"
        ));
    }
    Ok(CameraSpec::Publish { name: name.into() })
}

/// Path and options: all before and all behind the last `?`.
fn split_query(rest: &str) -> (&str, &str) {
    rest.rsplit_once('?').unwrap_or((rest, ""))
}

fn pairs(query: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| format!("\"{pair}\" should be key=value"))?;
        if found.iter().any(|(k, _)| *k == key) {
            return Err(format!("\"{key}\" is given twice"));
        }
        found.push((key, value));
    }
    Ok(found)
}

fn unknown_key(key: &str, known: &str) -> String {
    format!("there is no option \"{key}\"; there are {known}")
}

fn parse_size(value: &str, least: Size) -> Result<Size, String> {
    let range = format!("even numbers WIDTHxHEIGHT from {least} to {MAX_SIDE}x{MAX_SIDE}");
    let refuse = || format!("size={value}: must be {range}");
    let (width, height) = value.split_once('x').ok_or_else(refuse)?;
    let number = |text: &str| -> Result<usize, String> {
        // usize::from_str would take a leading plus sign.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        text.parse().map_err(|_| refuse())
    };
    let size = Size { width: number(width)?, height: number(height)? };
    let sound = (least.width..=MAX_SIDE).contains(&size.width)
        && (least.height..=MAX_SIDE).contains(&size.height)
        && size.width.is_multiple_of(2)
        && size.height.is_multiple_of(2);
    if sound { Ok(size) } else { Err(refuse()) }
}

fn parse_fps(value: &str) -> Result<f64, String> {
    let refuse = || format!("fps={value}: must be a number from 0.1 to {MAX_FPS}");
    let fps: f64 = value.parse().map_err(|_| refuse())?;
    if (0.1..=MAX_FPS).contains(&fps) { Ok(fps) } else { Err(refuse()) }
}

fn parse_format(value: &str) -> Result<String, String> {
    let upper = value.to_ascii_uppercase();
    if V4L2_FORMATS.contains(&upper.as_str()) {
        return Ok(upper);
    }
    Err(format!("format={value}: must be one of {}", V4L2_FORMATS.join(", ")))
}

fn parse_pattern(value: &str) -> Result<Pattern, String> {
    let found = Pattern::ALL.iter().find(|(_, name)| *name == value);
    found
        .map(|(pattern, _)| *pattern)
        .ok_or_else(|| format!("pattern={value}: must be bars, noise, clock or still"))
}

fn parse_switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(format!("{key}={value}: must be 0 or 1")),
    }
}

impl fmt::Display for CameraSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4l2(spec) => {
                let mut query = Vec::new();
                query.extend(spec.format.as_ref().map(|v| format!("format={v}")));
                query.extend(spec.size.map(|v| format!("size={v}")));
                query.extend(spec.fps.map(|v| format!("fps={v}")));
                query.extend(spec.input.map(|v| format!("input={v}")));
                write_with_query(f, "v4l2", &spec.device, &query)
            }
            Self::Test(spec) => {
                let query = [
                    format!("size={}", spec.size),
                    format!("fps={}", spec.fps),
                    format!("pattern={}", spec.pattern.name()),
                    format!("seed={}", spec.seed),
                ];
                write_with_query(f, "test", "", &query)
            }
            Self::File(spec) => {
                let mut query = Vec::new();
                query.extend(spec.stamp.then(|| "stamp=1".to_owned()));
                query.extend(spec.once.then(|| "loop=0".to_owned()));
                query.extend(spec.fps.map(|v| format!("fps={v}")));
                write_with_query(f, "file", &spec.path, &query)
            }
            Self::Rtsp { url } => f.write_str(url),
            Self::Publish { name } => write!(f, "publish:{name}"),
        }
    }
}

fn write_with_query(
    f: &mut fmt::Formatter<'_>,
    scheme: &str,
    path: &str,
    query: &[String],
) -> fmt::Result {
    write!(f, "{scheme}:{path}")?;
    if !query.is_empty() || path.contains('?') {
        write!(f, "?{}", query.join("&"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<CameraSpec>().expect_err(text).0
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = |text: &str| text.parse::<CameraSpec>().unwrap().shown();
        assert_eq!(shown("rtsp://u:p@192.0.2.1/x"), "rtsp://192.0.2.1/x");
        assert_eq!(shown("rtsp://u:p@q@host"), "rtsp://host");
        assert_eq!(shown("rtsp://192.0.2.1/x@y"), "rtsp://192.0.2.1/x@y");
    }

    #[test]
    fn every_kind_reads_back_what_it_prints() {
        for text in [
            "v4l2:/dev/video0",
            "v4l2:/dev/video2?format=NV12&size=1280x720&fps=29.97",
            "v4l2:/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0",
            "v4l2:serial=SN 7/a?fps=5",
            "v4l2:bus=usb-0000:00:14.0-1",
            "v4l2:id=usb-1d6b-0102-SN@usb-0000-00-14.0-1",
            "test:?size=640x360&fps=25&pattern=noise&seed=7",
            "file:/data/a b.mp4",
            "file:/data/what?.h264?stamp=1&loop=0&fps=12.5",
            "file:/data/why?.h264?",
            "rtsp://user:word@10.0.0.7:8554/stream1?x=1",
            "rtsps://host/",
            "publish:door-1",
        ] {
            let spec: CameraSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), text);
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
    }

    #[test]
    fn the_test_camera_has_defaults() {
        assert_eq!("test:".parse(), Ok(CameraSpec::Test(TestSpec::default())));
        assert_eq!("test:?".parse(), Ok(CameraSpec::Test(TestSpec::default())));
    }

    #[test]
    fn refusals_name_the_place_and_what_exists() {
        for (text, part) in [
            ("webcam", "v4l2:/dev/videoN"),
            ("usb:0", "\"usb\" is no kind of camera"),
            ("", "no kind of camera"),
            ("test:bars", "out of place"),
            ("test:?colour=red", "there are size, fps, pattern, seed"),
            ("test:?size=1281x720", "even numbers"),
            ("test:?size=1280x721", "even numbers"),
            ("test:?size=318x180", "from 320x180"),
            ("test:?size=8194x720", "8192x8192"),
            ("test:?size=+640x360", "size=+640x360"),
            ("test:?size=640", "WIDTHxHEIGHT"),
            ("test:?size=99999999999999999999x2", "8192x8192"),
            ("test:?fps=0", "from 0.1 to 1000"),
            ("test:?fps=nan", "from 0.1"),
            ("test:?fps=-5", "from 0.1"),
            ("test:?fps=1001", "from 0.1"),
            ("test:?pattern=snow", "bars, noise, clock or still"),
            ("test:?seed=-1", "whole number"),
            ("test:?seed", "should be key=value"),
            ("test:?seed=1&seed=2", "given twice"),
            ("v4l2:video0", "full path"),
            ("v4l2:", "full path"),
            ("v4l2:serial=", "serial=…"),
            ("v4l2:serial= 7", "serial=…"),
            ("v4l2:name=x", "full path"),
            ("v4l2:/dev/video0?format=P010", "NV12"),
            ("v4l2:/dev/video0?sise=1x1", "there are format, size, fps"),
            ("file:", "no path"),
            ("file:?stamp=1", "no path"),
            ("file:a.h264?stamp=yes", "0 or 1"),
            ("rtsp://", "no host"),
            ("rtsp://user@/x", "no host"),
            ("publish:", "1 to 64"),
            ("publish:a/b", "1 to 64"),
            ("publish:..", "'.' first"),
            ("test:\n", "control character"),
        ] {
            let message = refusal(text);
            assert!(message.contains(part), "{text:?}: {message}");
            assert!(message.starts_with(&format!("camera \"{text}\": ")), "{message}");
        }
    }
}
