//! Nodes and configurations: what can be moved, how far, and how fast.

use super::moves::{TIMEOUTS, auxiliaries, known, usual_timeout_ms};
use super::spaces::{self, POSITION, SPEED, TRANSLATION, VELOCITY, reaches};
use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::entities::{Camera, camera, cameras, head_camera, ptz_camera};
use crate::onvif::profiles;
use crate::presets;
use crate::soap::time::{duration, parse_duration};
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::ptz::{PtzReach, PtzVector};
use serde_json::{Value, json};

fn movable(call: &mut Call<'_>) -> Vec<Camera> {
    let mut list = cameras(call.desk);
    list.retain(|camera| camera.movable);
    list
}

fn write_node(call: &mut Call<'_>, camera: &Camera, w: &mut Writer) {
    let status = known(call, camera.id);
    w.open("tptz:PTZNode").attribute("token", camera.head());
    w.attribute("FixedHomePosition", false);
    w.leaf("tt:Name", &camera.name);
    spaces::write("tt:SupportedPTZSpaces", &status, w);
    w.leaf("tt:MaximumNumberOfPresets", presets::MOST).leaf("tt:HomeSupported", true);
    for command in auxiliaries(call, camera.id) {
        w.leaf("tt:AuxiliaryCommands", command);
    }
    w.close();
}

pub(super) fn all(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tptz:GetNodesResponse");
    for camera in movable(call) {
        write_node(call, &camera, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn one(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let token = needed(asked, "NodeToken")?;
    let found = head_camera(call.desk, token).and_then(|id| camera(call.desk, id));
    let camera = found.ok_or_else(|| {
        Fault::invalid_value("ter:NoEntity", format!("there is no PTZ node {token:?}"))
    })?;
    w.open("tptz:GetNodeResponse");
    write_node(call, &camera, w);
    w.close();
    Ok(Done::Now)
}

/// A limit, which is set in percent.
fn limit(call: &Call<'_>, key: &str, usual: f64) -> f64 {
    call.value(key).as_f64().map_or(usual, |percent| percent / 100.0)
}

/// `tt:PTZConfiguration`.
pub(in crate::onvif) fn write_configuration(
    call: &mut Call<'_>,
    name: &'static str,
    camera: &Camera,
    uses: usize,
    w: &mut Writer,
) {
    let status = known(call, camera.id);
    let (goes, zooms) = reaches(&status, PtzReach::Position);
    let (moves, drives) = reaches(&status, PtzReach::Speed);
    w.open(name).attribute("token", camera.ptz());
    w.leaf("tt:Name", format!("cam{} PTZ", camera.id)).leaf("tt:UseCount", uses);
    w.leaf("tt:NodeToken", camera.head());
    for (name, there, space) in [
        ("tt:DefaultAbsolutePantTiltPositionSpace", goes, POSITION.0),
        ("tt:DefaultAbsoluteZoomPositionSpace", zooms, POSITION.1),
        ("tt:DefaultRelativePanTiltTranslationSpace", goes, TRANSLATION.0),
        ("tt:DefaultRelativeZoomTranslationSpace", zooms, TRANSLATION.1),
        ("tt:DefaultContinuousPanTiltVelocitySpace", moves, VELOCITY.0),
        ("tt:DefaultContinuousZoomVelocitySpace", drives, VELOCITY.1),
    ] {
        w.maybe(name, there.then_some(space));
    }
    let speed = limit(call, "ptz-speed", 1.0);
    let axis = |there: bool| there.then_some(speed);
    w.open("tt:DefaultPTZSpeed");
    let speeds = PtzVector { pan: axis(moves), tilt: axis(moves), zoom: axis(drives) };
    spaces::write_vector(speeds, SPEED, w);
    w.close().leaf("tt:DefaultPTZTimeout", duration(usual_timeout_ms(call)));
    let pan = (limit(call, "ptz-pan-min", -1.0), limit(call, "ptz-pan-max", 1.0));
    let tilt = (limit(call, "ptz-tilt-min", -1.0), limit(call, "ptz-tilt-max", 1.0));
    let zoom = (0.0, limit(call, "ptz-zoom-max", 1.0));
    spaces::write_limits((pan, tilt, zoom), &status, w);
    w.close();
}

fn write_configurations(
    call: &mut Call<'_>,
    list: &[Camera],
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    let all = profiles::all(call);
    w.open(response);
    for camera in list {
        let uses = profiles::uses(&all, &camera.ptz());
        write_configuration(call, "tptz:PTZConfiguration", camera, uses, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn configurations(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let list = movable(call);
    write_configurations(call, &list, "tptz:GetConfigurationsResponse", w)
}

fn by_token(call: &mut Call<'_>, token: &str) -> Result<Camera, Fault> {
    let found = ptz_camera(call.desk, token).and_then(|id| camera(call.desk, id));
    found.ok_or_else(|| profiles::no_config(token))
}

pub(super) fn configuration(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let camera = by_token(call, needed(asked, "PTZConfigurationToken")?)?;
    write_configurations(call, &[camera], "tptz:GetConfigurationResponse", w)
}

/// That of the camera that the profile shows; all, where it shows none yet.
pub(super) fn compatible(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let own = profiles::camera_of(call, &profile);
    let mut list = movable(call);
    list.retain(|camera| own.is_none_or(|own| own == camera.id));
    write_configurations(call, &list, "tptz:GetCompatibleConfigurationsResponse", w)
}

pub(super) fn options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let camera = by_token(call, needed(asked, "ConfigurationToken")?)?;
    let status = known(call, camera.id);
    w.open("tptz:GetConfigurationOptionsResponse").open("tptz:PTZConfigurationOptions");
    spaces::write("tt:Spaces", &status, w);
    w.open("tt:PTZTimeout").leaf("tt:Min", duration(*TIMEOUTS.start()));
    w.leaf("tt:Max", duration(*TIMEOUTS.end())).close().close().close();
    Ok(Done::Now)
}

fn refuse(why: impl Into<String>) -> Fault {
    Fault::invalid_value("ter:ConfigModify", why.into())
}

/// The ends of a range, in percent.
fn percents(node: Node<'_>, name: &str) -> Result<Option<(i64, i64)>, Fault> {
    let Some(range) = node.child(name) else { return Ok(None) };
    let end = |name: &str| -> Result<i64, Fault> {
        let number = range.value(name).and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|n| (-1.0..=1.0).contains(n));
        #[expect(clippy::cast_possible_truncation, reason = "-100 to 100")]
        let percent = number.map(|n| (n * 100.0).round() as i64);
        percent.ok_or_else(|| refuse(format!("{name} of a limit must be between -1 and 1")))
    };
    let (min, max) = (end("Min")?, end("Max")?);
    if min > max {
        return Err(refuse("a limit's Min must not be above its Max"));
    }
    Ok(Some((min, max)))
}

/// The settings that a configuration makes into others.
fn changes(call: &Call<'_>, node: Node<'_>) -> Result<Vec<(String, Value)>, Fault> {
    let mut out = Vec::new();
    let mut put = |key: &str, value: Value| {
        if call.value(key).as_f64() != value.as_f64() {
            out.push((key.to_owned(), value));
        }
    };
    for (name, space) in [
        ("DefaultAbsolutePantTiltPositionSpace", POSITION.0),
        ("DefaultAbsoluteZoomPositionSpace", POSITION.1),
        ("DefaultRelativePanTiltTranslationSpace", TRANSLATION.0),
        ("DefaultRelativeZoomTranslationSpace", TRANSLATION.1),
        ("DefaultContinuousPanTiltVelocitySpace", VELOCITY.0),
        ("DefaultContinuousZoomVelocitySpace", VELOCITY.1),
    ] {
        if node.value(name).is_some_and(|given| given != space) {
            return Err(refuse(format!("{name} must be {space}")));
        }
    }
    if let Some(text) = node.value("DefaultPTZTimeout") {
        let ms = parse_duration(text).filter(|ms| TIMEOUTS.contains(ms));
        let ms = ms.ok_or_else(|| refuse("DefaultPTZTimeout must be PT0.1S to PT3600S"))?;
        #[expect(clippy::cast_precision_loss, reason = "at most an hour")]
        put("ptz-timeout", json!(ms as f64 / 1000.0));
    }
    let speeds = node.child("DefaultPTZSpeed");
    let axis = speeds.and_then(|s| s.child("PanTilt").or_else(|| s.child("Zoom")));
    if let Some(speed) = axis.and_then(|axis| axis.attribute("x")) {
        let speed = speed.parse::<f64>().ok().filter(|speed| (0.0..=1.0).contains(speed));
        let speed = speed.ok_or_else(|| refuse("a speed must be between 0 and 1"))?;
        #[expect(clippy::cast_possible_truncation, reason = "1 to 100")]
        put("ptz-speed", json!(((speed * 100.0).round() as i64).max(1)));
    }
    if let Some(range) = node.path(&["PanTiltLimits", "Range"]) {
        if let Some((min, max)) = percents(range, "XRange")? {
            put("ptz-pan-min", json!(min));
            put("ptz-pan-max", json!(max));
        }
        if let Some((min, max)) = percents(range, "YRange")? {
            put("ptz-tilt-min", json!(min));
            put("ptz-tilt-max", json!(max));
        }
    }
    if let Some(range) = node.path(&["ZoomLimits", "Range"])
        && let Some((min, max)) = percents(range, "XRange")?
    {
        if min != 0 {
            return Err(refuse("zoom begins at 0"));
        }
        put("ptz-zoom-max", json!(max));
    }
    Ok(out)
}

pub(super) fn set(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let node = asked.child("PTZConfiguration");
    let node = node.ok_or_else(|| Fault::invalid_args("PTZConfiguration is missing"))?;
    let camera = by_token(call, node.attribute("token").unwrap_or_default())?;
    if node.value("NodeToken").is_some_and(|token| token != camera.head()) {
        return Err(refuse(format!("this configuration is of the node {:?}", camera.head())));
    }
    let changes = changes(call, node)?;
    if changes.is_empty() {
        w.empty("tptz:SetConfigurationResponse");
        return Ok(Done::Now);
    }
    call.change(changes, "ter:ConfigModify", move |_, w, _| {
        w.empty("tptz:SetConfigurationResponse");
        Ok(())
    })
}
