//! Cameras and streams as ONVIF's entities: what they are called, and what holds of them.
//!
//! | entity | token | is |
//! |---|---|---|
//! | video source | `VideoSource_1` | a camera |
//! | video source configuration | `cam1-view` | its whole picture |
//! | video encoder configuration | `cam1-main`, `-sub`, `-mjpeg` | a stream |
//! | metadata configuration | `cam1-metadata` | its metadata |
//! | PTZ node and configuration | `cam1-head`, `cam1-ptz` | who moves it |
//!
//! Settings of pictures and encoders are those of all cameras, so a change by one camera's
//! configuration is one of the others', too.

use super::tokens;
use crate::desk::Desk;
use crate::ptz;
use lensd_ffi::state::CameraMode;
use lensd_ffi::unit::Codec;

/// Longest name, in characters (`tt:Name`).
const LONGEST_NAME: usize = 64;

/// A camera.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Camera {
    /// Number from 1.
    pub(super) id: u32,
    /// What people call it.
    pub(super) name: String,
    /// Of its picture, as it is encoded, in pixels.
    pub(super) width: u32,
    /// Of its picture, in pixels.
    pub(super) height: u32,
    /// Pictures per second.
    pub(super) fps: f64,
    /// Whether it can be moved.
    pub(super) movable: bool,
    /// Sizes that it can be set to.
    pub(super) modes: Vec<CameraMode>,
    /// Whether its picture is turned by a quarter, so that sizes are the other way round.
    pub(super) turned: bool,
}

impl Camera {
    /// Token of the video source.
    pub(super) fn token(&self) -> String {
        tokens::video_source(self.id)
    }

    /// Token of the video source configuration.
    pub(super) fn view(&self) -> String {
        format!("cam{}-view", self.id)
    }

    /// Token of the PTZ configuration.
    pub(super) fn ptz(&self) -> String {
        format!("cam{}-ptz", self.id)
    }

    /// Token of the PTZ node.
    pub(super) fn head(&self) -> String {
        format!("cam{}-head", self.id)
    }

    /// Token of the metadata configuration.
    pub(super) fn metadata(&self) -> String {
        format!("cam{}-metadata", self.id)
    }
}

/// Which stream of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The large one.
    Main,
    /// The small one.
    Sub,
    /// JPEG pictures.
    Mjpeg,
}

impl Kind {
    /// All of them, as profiles are listed.
    pub(super) const ALL: [Self; 3] = [Self::Main, Self::Sub, Self::Mjpeg];

    /// As paths have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
            Self::Mjpeg => "mjpeg",
        }
    }
}

/// A stream's encoder as it is set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encoder {
    /// Camera number.
    pub(super) camera: u32,
    /// Which stream.
    pub(super) kind: Kind,
    /// Coding.
    pub(super) codec: Codec,
    /// Width in pixels.
    pub(super) width: u32,
    /// Height in pixels.
    pub(super) height: u32,
    /// Pictures per second.
    pub(super) fps: f64,
    /// Most bits per second.
    pub(super) bitrate: u64,
    /// Seconds from one key frame to the next.
    pub(super) gop_secs: f64,
    /// Of H.264: `Baseline`, `Main`, `High`.
    pub(super) profile: &'static str,
    /// 1 to 100.
    pub(super) quality: i64,
    /// Whether the pictures come coded from elsewhere, and stay as they are.
    pub(super) fixed: bool,
}

impl Encoder {
    /// Token of the video encoder configuration.
    pub(super) fn token(&self) -> String {
        format!("cam{}-{}", self.camera, self.kind.name())
    }

    /// Path of the stream.
    pub(super) fn path(&self) -> String {
        format!("cam{}/{}", self.camera, self.kind.name())
    }

    /// Pictures from one key frame to the next.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 3600")]
    pub(super) fn gop(&self) -> u32 {
        (self.gop_secs * self.fps).round().clamp(1.0, 3600.0) as u32
    }

    /// Pictures per second, as whole numbers tell it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1000")]
    pub(super) fn whole_fps(&self) -> u32 {
        self.fps.round().clamp(1.0, 1000.0) as u32
    }
}

/// The cameras, in the order of their numbers.
pub(super) fn cameras(desk: &mut Desk) -> Vec<Camera> {
    those(desk, |_| true)
}

/// A camera by its number.
pub(super) fn camera(desk: &mut Desk, id: u32) -> Option<Camera> {
    those(desk, |other| other == id).pop()
}

fn those(desk: &mut Desk, wanted: impl Fn(u32) -> bool) -> Vec<Camera> {
    let state = desk.engine.state();
    let active = state.main_camera;
    let list: Vec<_> = state.cameras.iter().filter(|c| wanted(c.id)).cloned().collect();
    // What the settings say of the active camera is as new as the last change.
    let size = desk.board.value("resolution").as_str().unwrap_or_default().to_owned();
    let size = size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let fps = desk.board.value("fps").as_f64();
    let turned = matches!(desk.board.value("rotate").as_str().unwrap_or_default(), "90" | "270");
    let camera = |state: lensd_ffi::state::CameraState| {
        let own = size.filter(|_| state.id == active);
        let (width, height): (u32, u32) = own.unwrap_or((state.width, state.height));
        // A camera that was never there yet: what is looked for when it comes. Recorders add it so.
        let (width, height) = if width == 0 { (1280, 720) } else { (width, height) };
        let (width, height) = if turned { (height, width) } else { (width, height) };
        let exact = if state.fps > 0.0 { state.fps } else { 30.0 };
        let set = fps.filter(|set| state.id == active && (set - exact).abs() >= 1.0);
        let movable = ptz::known(desk, state.id).is_some_and(|s| s.is_movable());
        Camera {
            id: state.id,
            name: match state.name.chars().take(LONGEST_NAME).collect::<String>() {
                name if name.is_empty() => format!("camera {}", state.id),
                name => name,
            },
            width,
            height,
            fps: set.unwrap_or(exact),
            movable,
            modes: state.modes,
            turned,
        }
    };
    list.into_iter().map(camera).collect()
}

/// The number in a token such as `cam1-view`.
fn number(token: &str, end: &str) -> Option<u32> {
    let digits = token.strip_prefix("cam")?.strip_suffix(end)?;
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

fn known(desk: &mut Desk, id: Option<u32>) -> Option<u32> {
    id.filter(|id| desk.engine.state().cameras.iter().any(|c| c.id == *id))
}

/// The camera of a video source.
pub(super) fn camera_of_source(desk: &mut Desk, token: &str) -> Option<u32> {
    let id = tokens::camera_of_source(token).filter(|id| tokens::video_source(*id) == token);
    known(desk, id)
}

/// The camera of a video source configuration.
pub(super) fn source_camera(desk: &mut Desk, token: &str) -> Option<u32> {
    known(desk, number(token, "-view"))
}

/// The camera of a metadata configuration.
pub(super) fn metadata_camera(desk: &mut Desk, token: &str) -> Option<u32> {
    known(desk, number(token, "-metadata"))
}

/// The camera of a PTZ configuration.
pub(super) fn ptz_camera(desk: &mut Desk, token: &str) -> Option<u32> {
    let id = known(desk, number(token, "-ptz"))?;
    ptz::known(desk, id).is_some_and(|s| s.is_movable()).then_some(id)
}

/// The camera of a PTZ node.
pub(super) fn head_camera(desk: &mut Desk, token: &str) -> Option<u32> {
    let id = known(desk, number(token, "-head"))?;
    ptz::known(desk, id).is_some_and(|s| s.is_movable()).then_some(id)
}

/// The encoder that a token of a configuration means.
pub(super) fn encoder_of(desk: &mut Desk, token: &str) -> Option<Encoder> {
    let kind = Kind::ALL.into_iter().find(|kind| token.ends_with(kind.name()))?;
    let id = number(token, &format!("-{}", kind.name()))?;
    let camera = camera(desk, id)?;
    encoders(desk, &camera).into_iter().find(|e| e.kind == kind)
}

/// A camera's encoders, as profiles are listed.
pub(super) fn encoders(desk: &mut Desk, camera: &Camera) -> Vec<Encoder> {
    Kind::ALL.into_iter().map(|kind| encoder(desk, camera, kind)).collect()
}

/// The size of a small picture: as wide as wanted, of the same shape, with even sides.
pub(super) fn small_size(camera: &Camera, wanted: u32) -> (u32, u32) {
    let width = wanted.clamp(16, camera.width.max(16)) & !1;
    let height = u64::from(camera.height) * u64::from(width) / u64::from(camera.width.max(1));
    (width, u32::try_from(height).unwrap_or(2).max(2) & !1)
}

fn encoder(desk: &mut Desk, camera: &Camera, kind: Kind) -> Encoder {
    let name = format!("cam{}/{}", camera.id, kind.name());
    let stream = desk.engine.find_stream(&name);
    let mut words = stream.as_ref().map(|s| s.pipeline.clone()).unwrap_or_default();
    if words.contains("-> encoder ->") {
        // It has chosen none yet, and will as the other has.
        let main = format!("cam{}/{}", camera.id, Kind::Main.name());
        words = desk.engine.find_stream(&main).map(|s| s.pipeline).unwrap_or_default();
    }
    let whole = |key: &str| desk.board.value(key).as_u64();
    let is_jpeg = |key: &str| desk.board.value(key) == "jpeg";
    // Pictures that come coded stay as they are; of others the setting is newer than the state.
    let running = stream.as_ref().map_or(Codec::H264, |s| s.codec);
    let codec = match kind {
        Kind::Main if is_jpeg("main-encoding") => Codec::Jpeg,
        Kind::Sub if is_jpeg("sub-encoding") => Codec::Jpeg,
        Kind::Mjpeg => Codec::Jpeg,
        _ if running == Codec::Jpeg => Codec::H264,
        _ => running,
    };
    let (mut width, mut height, mut fps) = (camera.width, camera.height, camera.fps);
    if kind == Kind::Sub {
        let wanted = whole("sub-width").and_then(|w| u32::try_from(w).ok()).unwrap_or(640);
        (width, height) = small_size(camera, wanted);
        let most = desk.board.value("sub-fps").as_f64().filter(|most| *most > 0.0);
        fps = most.map_or(fps, |most| fps.min(most));
    }
    let quality = match codec {
        Codec::Jpeg => desk.board.value("jpeg-quality").as_i64().unwrap_or(80).clamp(1, 100),
        _ => quality_of(desk.board.value("qp-min").as_i64().unwrap_or(0)),
    };
    let hardware = !words.is_empty() && !words.contains("openh264");
    let profile = match desk.board.value("encoder-profile").as_str().unwrap_or_default() {
        "baseline" => "Baseline",
        "main" => "Main",
        "high" => "High",
        // What the encoders do by themselves.
        _ if hardware => "High",
        _ => "Baseline",
    };
    let bitrate = match kind {
        Kind::Sub => whole("sub-bitrate").unwrap_or(500_000),
        Kind::Main | Kind::Mjpeg => whole("bitrate").unwrap_or(4_000_000),
    };
    let mut gop_secs = desk.board.value("gop").as_f64().unwrap_or(1.0);
    let codes = ["openh264", "m2m", "encoder"].iter().any(|word| words.contains(word));
    let fixed = kind == Kind::Main && camera.modes.is_empty() && !words.is_empty() && !codes;
    let mut bitrate = bitrate;
    if let Some(stream) = stream.filter(|_| fixed) {
        // Not what is set, for that is nothing here, but what comes.
        bitrate = if stream.bitrate > 0 { stream.bitrate } else { bitrate };
        if stream.keys > 0 {
            gop_secs = stream.units as f64 / stream.keys as f64 / fps;
        }
    }
    Encoder {
        camera: camera.id,
        kind,
        codec,
        width,
        height,
        fps,
        bitrate,
        gop_secs,
        profile,
        quality,
        fixed,
    }
}

/// The quality, 1 to 100, that a least quantizer from 0 to 51 means.
fn quality_of(qp_min: i64) -> i64 {
    (100 * 51 - qp_min.clamp(0, 51) * 99 + 25) / 51
}

/// The least quantizer that a quality means.
pub(super) fn qp_min_of(quality: i64) -> i64 {
    ((100 - quality.clamp(1, 100)) * 51 + 49) / 99
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        assert_eq!((number("cam1-view", "-view"), number("cam12", "")), (Some(1), Some(12)));
        for bad in ["cam-view", "cam01-view", "cam1", "cam+1-view", "xcam1-view", "cam1-view "] {
            assert_eq!(number(bad, "-view"), None, "{bad}");
        }
    }

    #[test]
    fn quality_and_quantizer_are_each_others() {
        for qp in 0..=51 {
            let quality = quality_of(qp);
            assert!((1..=100).contains(&quality), "{qp}: {quality}");
            assert_eq!(qp_min_of(quality), qp);
        }
        assert_eq!((quality_of(0), quality_of(51)), (100, 1));
    }
}
