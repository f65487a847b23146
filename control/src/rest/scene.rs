//! Trying what follows from motion and tampering without either.

use super::{Call, PATIENCE, Reply, camera_number};
use crate::audit::Event;
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::auth::cookies;
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use lensd_ffi::link::{Answer, Ask};
use serde_json::{Value, json};

fn camera_fault() -> Fault {
    Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras")
}

fn begin(call: &mut Call<'_>, camera: u32, tamper: bool, active: bool) -> Result<Reply, Fault> {
    let from = call.peer.ip().to_string();
    let details = Some(json!({ "tamper": tamper, "active": active }));
    let event = Event {
        what: "test event",
        user: &call.who.user,
        from: &from,
        details,
        ..Event::default()
    };
    call.desk.audit.note(&event, call.at.utc.millis());
    let ask = Ask::TestScene { camera, tamper, active };
    let shown = move |_: &mut Desk, _: &Ask, outcome: &Outcome, at: At| match outcome {
        Outcome::Answer(Answer::Done) => {
            let event = if tamper { "tamper" } else { "motion" };
            Response::success(json!({ "test": event, "active": active }), at)
        }
        outcome => super::settings::failed(outcome, at),
    };
    call.desk.ask(ask, PATIENCE, call.key, shown, call.at)?;
    Ok(Reply::Later)
}

fn by_body(call: &mut Call<'_>, tamper: bool) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = match members.any("camera") {
        None | Some(Value::Null) => 0,
        Some(Value::Number(n)) => {
            n.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or_else(camera_fault)?
        }
        Some(Value::String(text)) => camera_number(&text).ok_or_else(camera_fault)?,
        Some(_) => return Err(camera_fault()),
    };
    let active = members.flag("active")?.unwrap_or(true);
    members.end()?;
    begin(call, camera, tamper, active)
}

pub(super) fn motion(call: &mut Call<'_>) -> Result<Reply, Fault> {
    by_body(call, false)
}

pub(super) fn tamper(call: &mut Call<'_>) -> Result<Reply, Fault> {
    by_body(call, true)
}

/// The same by a link that test programs open, such as those of ONVIF devices. A page of another
/// site can make a browser open it too, with its session's cookie: that does not count here.
pub(super) fn motion_by_link(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if call.request.header("authorization").is_none() && cookies(call.request).next().is_some() {
        let why = "with a session's cookie this takes POST";
        return Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", why));
    }
    let active = match call.request.query("state") {
        None | Some("true" | "1") => true,
        Some("false" | "0") => false,
        Some(_) => return Err(Fault::invalid_value("state", "Value must be true or false")),
    };
    let camera =
        call.request.query("camera").map(|text| camera_number(text).ok_or_else(camera_fault));
    let camera = camera.transpose()?.unwrap_or(0);
    begin(call, camera, false, active)
}
