//! What each key of the engine is: the other half of the registry's table.

use super::finish::{self, Set, SetStyle};
use super::image::MEANINGS;
use super::ptz;
use super::recording;
use super::scene;
use super::webrtc;
use crate::camera::spec::Size;
use crate::change::Change;
use crate::config::{Extensions, Join, RtspOptions, TapOptions, WebRtcOptions};
use crate::ptz::Options as PtzOptions;
use crate::record::plan::Options;
use crate::style::{Profile, RateMode};
use lensd_ffi::settings::Kind;
use serde_json::Value;

/// What a key does.
pub(super) enum Means {
    /// Chooses the active camera.
    Main,
    /// Is a control of the cameras.
    Image,
    /// Changes how a camera or its streams work.
    Change(fn(&Value) -> Change),
    /// Changes what is done to pictures before they are encoded.
    Finish(Set),
    /// Changes how encoders spend bits.
    Style(SetStyle),
    /// Quality of JPEG pictures.
    Quality,
    /// Chooses a camera's input; index of the camera.
    Input(usize),
    /// Changes how the RTSP server works.
    Rtsp(fn(&mut RtspOptions, &Value)),
    /// Begins, interrupts or ends recording.
    Record,
    /// Takes a snapshot.
    Snap,
    /// Changes how it is recorded, and what is kept.
    Recording(fn(&mut Options, &Value)),
    /// Changes how snapshots are taken.
    Snapshot,
    /// Changes what is looked for before cameras.
    Scene(scene::Set),
    /// Changes how cameras are moved.
    Ptz(fn(&mut PtzOptions, &Value)),
    /// Changes how the frame tap works.
    Tap(fn(&mut TapOptions, &Value)),
    /// Changes how WebRTC works.
    WebRtc(fn(&mut WebRtcOptions, &Value)),
    /// Switches a light or says how bright it is; its index.
    Light(usize),
    /// Drives the disc's motor.
    Disc,
    /// Lets mirror and flip follow the acceleration sensor.
    AutoRotate,
    /// A limit that a measured value is compared with.
    Limit,
    /// Asks for a key frame.
    KeyFrame,
    /// Sets the cameras' controls to their defaults.
    ResetImage,
    /// Cannot be set.
    Measured,
}

fn whole(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
}

fn quantizer(value: &Value) -> u8 {
    value.as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the key of this name does.
pub(super) fn means(key: &str) -> Means {
    match key {
        "main-camera" => Means::Main,
        "cam1-sensor" => Means::Input(0),
        "cam2-sensor" => Means::Input(1),
        "resolution" => Means::Change(|v| {
            let size = v.as_str().and_then(size_of);
            Change::Size(size.unwrap_or(Size { width: 0, height: 0 }))
        }),
        "fps" => Means::Change(|v| Change::Fps(v.as_f64().unwrap_or_default())),
        "bitrate" => Means::Change(|v| Change::Bitrate(whole(v))),
        "sub-bitrate" => Means::Change(|v| Change::SubBitrate(whole(v))),
        "sub-width" => Means::Change(|v| Change::SubWidth(whole(v) & !1)),
        "main-encoding" => Means::Change(|v| Change::MainJpeg(v == "jpeg")),
        "sub-encoding" => Means::Change(|v| Change::SubJpeg(v == "jpeg")),
        "sub-fps" => Means::Change(|v| Change::SubFps(whole(v))),
        "gop" => Means::Change(|v| Change::Gop(v.as_f64().unwrap_or(1.0))),
        "encoder-profile" => Means::Style(|style, v, _| {
            style.profile = match v.as_str().unwrap_or_default() {
                "baseline" => Profile::Baseline,
                "main" => Profile::Main,
                "high" => Profile::High,
                _ => Profile::Auto,
            };
        }),
        "rate-mode" => Means::Style(|style, v, _| {
            let variable = v == "variable";
            style.mode = if variable { RateMode::Variable } else { RateMode::Constant };
        }),
        "qp-min" => Means::Style(|style, v, _| style.qp_min = quantizer(v)),
        "qp-max" => Means::Style(|style, v, _| style.qp_max = quantizer(v)),
        "jpeg-quality" => Means::Quality,
        "no-signal" => Means::Change(|v| Change::NoSignal(v == true)),
        "capture-sei" => Means::Change(|v| Change::CaptureSei(v == true)),
        "rtsp-join" => Means::Rtsp(|options, v| {
            options.join = if v == "gop" { Join::Gop } else { Join::Key };
        }),
        "rtsp-extensions" => Means::Rtsp(|options, v| {
            options.extensions = Extensions::parse(v.as_str().unwrap_or_default());
        }),
        "rtsp-max-sessions" => Means::Rtsp(|options, v| options.max_sessions = whole(v)),
        "rtsp-multicast" => Means::Rtsp(|options, v| {
            // It was checked before.
            options.groups = crate::rtsp::groups::parse(v).unwrap_or_default();
        }),
        "rtsp-pacing" => Means::Rtsp(|options, v| options.pacing_ms = whole(v).into()),
        "tap-enabled" => Means::Tap(|options, v| options.enabled = v == true),
        "tap-users" => Means::Tap(|options, v| text(v).clone_into(&mut options.users)),
        "tap-size" => Means::Tap(|options, v| text(v).clone_into(&mut options.size)),
        "tap-format" => Means::Tap(|options, v| text(v).clone_into(&mut options.format)),
        "tap-lease" => Means::Tap(|options, v| options.lease_ms = whole(v).into()),
        "tap-max-clients" => Means::Tap(|options, v| options.max_clients = whole(v)),
        key if let Some(change) = webrtc::change_of(key) => Means::WebRtc(change),
        "record" => Means::Record,
        "snap" => Means::Snap,
        "snap-stamp" | "snap-interval" | "snap-keep-one" => Means::Snapshot,
        key if let Some(change) = recording::change_of(key) => Means::Recording(change),
        "cam1-light" | "cam1-light-level" => Means::Light(0),
        "cam2-light" | "cam2-light-level" => Means::Light(1),
        "disc-rotation" | "disc-speed" => Means::Disc,
        "auto-rotate" => Means::AutoRotate,
        "head-temperature-limit" | "pressure-limit" => Means::Limit,
        "key-frame" => Means::KeyFrame,
        "image-reset" => Means::ResetImage,
        key if let Some(set) = scene::set_of(key) => Means::Scene(set),
        key if let Some(change) = ptz::change_of(key) => Means::Ptz(change),
        key if let Some(set) = finish::set_of(key) => Means::Finish(set),
        key if MEANINGS.iter().any(|m| m.key == key) => Means::Image,
        _ => Means::Measured,
    }
}

/// A size that the registry's kind has let through.
fn size_of(text: &str) -> Option<Size> {
    debug_assert!(Kind::Size.check(&Value::from(text)).is_ok());
    let (width, height) = text.split_once('x')?;
    Some(Size { width: width.parse().ok()?, height: height.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::settings::{Plane, entries, find};

    #[test]
    fn every_setting_of_the_engine_does_something() {
        for entry in entries().iter().filter(|e| e.plane() == Plane::Engine) {
            let measured = matches!(means(entry.key.name), Means::Measured);
            assert_eq!(measured, !entry.key.settable, "{}", entry.key.name);
        }
        for meaning in MEANINGS {
            assert!(find(meaning.key).is_some(), "{}", meaning.key);
        }
    }
}
