//! Moving cameras over REST.

use super::{Call, Reply, camera_number};
use crate::desk::Desk;
use crate::http::At;
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use crate::presets::Preset;
use crate::ptz::{self, Act, Done};
use lensd_ffi::ptz::{PtzAct, PtzStatus, PtzVector};
use serde_json::{Value, json};

/// Longest time that a move may be told to go on, in seconds.
const LONGEST: f64 = 24.0 * 3600.0;

fn unknown_camera() -> Fault {
    Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras")
}

/// The camera that a query names; 0: the active one.
fn camera_of_query(call: &Call<'_>) -> Result<u32, Fault> {
    call.request
        .query("camera")
        .map_or(Ok(0), |text| camera_number(text).ok_or_else(unknown_camera))
}

/// The camera that a body names; 0: the active one.
fn camera_of(members: &mut Members) -> Result<u32, Fault> {
    match members.any("camera") {
        None | Some(Value::Null) => Ok(0),
        Some(Value::Number(n)) => {
            n.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(unknown_camera)
        }
        Some(Value::String(text)) => camera_number(&text).ok_or_else(unknown_camera),
        Some(_) => Err(unknown_camera()),
    }
}

fn number(value: Option<Value>, key: &str) -> Result<Option<f64>, Fault> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .map(Some)
            .ok_or_else(|| Fault::invalid_value(key, format!("{key} must be a number"))),
    }
}

fn vector(members: &mut Members) -> Result<PtzVector, Fault> {
    let mut axis = |key: &str| number(members.any(key), key);
    Ok(PtzVector { pan: axis("pan")?, tilt: axis("tilt")?, zoom: axis("zoom")? })
}

/// One number for all axes, or one for each.
fn speed(members: &mut Members) -> Result<PtzVector, Fault> {
    match members.any("speed") {
        Some(Value::Object(axes)) => {
            let mut axes = Members::from_map(axes);
            let speed = vector(&mut axes)?;
            axes.end()?;
            Ok(speed)
        }
        value => {
            let all = number(value, "speed")?;
            Ok(PtzVector { pan: all, tilt: all, zoom: all })
        }
    }
}

fn shown_preset(preset: &Preset) -> Value {
    json!(preset)
}

fn shown(desk: &Desk, status: &PtzStatus) -> Value {
    let axis = |i: usize| {
        let axis = status.axes()[i];
        json!({
            "reach": axis.reach,
            "min": axis.least,
            "max": axis.most,
            "position": axis.position,
            "moving": axis.moving,
        })
    };
    let home = ptz::home_of(desk, status.camera);
    json!({
        "camera": status.camera,
        "backend": status.backend,
        "pan": axis(0),
        "tilt": axis(1),
        "zoom": axis(2),
        "moving": status.pan_tilt_moves() || status.zoom.moving,
        "home": { "pan": home.pan, "tilt": home.tilt, "zoom": home.zoom },
        "error": (!status.error.is_empty()).then(|| super::redact(&status.error)),
    })
}

fn answer(desk: &mut Desk, outcome: Result<Done, Fault>, at: At) -> Response {
    match outcome {
        Ok(done) => {
            let mut data = shown(desk, &done.status);
            if let Some(preset) = &done.preset {
                data["preset"] = shown_preset(preset);
            }
            Response::success(data, at)
        }
        Err(fault) => {
            let message = super::redact(&fault.message);
            Fault { message, ..fault }.response(at)
        }
    }
}

fn act(call: &mut Call<'_>, camera: u32, act: Act) -> Result<Reply, Fault> {
    ptz::act(call.desk, camera, act, &call.who.user, call.key, call.at, answer)?;
    Ok(Reply::Later)
}

pub(super) fn status(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let camera = camera_of_query(call)?;
    act(call, camera, Act::Direct(PtzAct::Look))
}

pub(super) fn go(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = camera_of(&mut members)?;
    let mode = members.text("mode")?.unwrap_or_else(|| "absolute".to_owned());
    let (to, speed) = (vector(&mut members)?, speed(&mut members)?);
    let timeout = number(members.any("timeout"), "timeout")?;
    members.end()?;
    let what = match mode.as_str() {
        "absolute" => PtzAct::Absolute { to, speed },
        "relative" => PtzAct::Relative { by: to, speed },
        "continuous" => {
            if timeout.is_some_and(|secs| !(0.0..=LONGEST).contains(&secs)) {
                let why = format!("Value must be between 0 and {LONGEST} seconds");
                return Err(Fault::invalid_value("timeout", why));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let timeout_ms = timeout.map(|secs| (secs * 1000.0) as u64);
            PtzAct::Continuous { velocity: to, timeout_ms }
        }
        _ => {
            let why = "Value must be one of: absolute, relative, continuous";
            return Err(Fault::invalid_value("mode", why));
        }
    };
    act(call, camera, Act::Direct(what))
}

pub(super) fn stop(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = camera_of(&mut members)?;
    let (pan_tilt, zoom) = (members.flag("pan_tilt")?, members.flag("zoom")?);
    members.end()?;
    let all = pan_tilt.is_none() && zoom.is_none();
    let what = PtzAct::Stop { pan_tilt: pan_tilt.unwrap_or(all), zoom: zoom.unwrap_or(all) };
    act(call, camera, Act::Direct(what))
}

pub(super) fn go_home(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let (camera, speed) = (camera_of(&mut members)?, speed(&mut members)?);
    members.end()?;
    act(call, camera, Act::GoHome { speed })
}

pub(super) fn set_home(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = camera_of(&mut members)?;
    members.end()?;
    act(call, camera, Act::SetHome)
}

pub(super) fn presets(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let camera = camera_of_query(call)?;
    let id = if camera == 0 { call.desk.engine.state().main_camera } else { camera };
    let list: Vec<Value> = ptz::presets_of(call.desk, id).iter().map(shown_preset).collect();
    let data = json!({ "camera": id, "presets": list });
    Ok(Reply::Now(Response::success(data, call.at)))
}

fn save(call: &mut Call<'_>, token: Option<String>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let (camera, name) = (camera_of(&mut members)?, members.text("name")?);
    members.end()?;
    act(call, camera, Act::Save { token, name })
}

fn token(call: &Call<'_>) -> String {
    call.params.find("token").unwrap_or_default().to_owned()
}

pub(super) fn add_preset(call: &mut Call<'_>) -> Result<Reply, Fault> {
    save(call, None)
}

pub(super) fn replace_preset(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let token = token(call);
    save(call, Some(token))
}

pub(super) fn recall(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let (camera, speed) = (camera_of(&mut members)?, speed(&mut members)?);
    members.end()?;
    let token = token(call);
    act(call, camera, Act::GoTo { token, speed })
}

pub(super) fn remove_preset(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let (camera, token) = (camera_of_query(call)?, token(call));
    act(call, camera, Act::Remove { token })
}
