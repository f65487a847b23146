//! Still pictures.

use super::{Call, Reply, camera_number, redact};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::{Fault, Payload, Response};
use lensd_ffi::link::Ask;
use lensd_ffi::time::Nanos;
use std::sync::Arc;

/// How long a picture may take: a restart of the engine fits in, and its own reason comes first.
const PATIENCE: Nanos = Nanos::from_secs(5);

pub(super) fn still(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let quality = match call.request.query("quality") {
        None => 0,
        Some(text) => text
            .parse::<u8>()
            .ok()
            .filter(|q| (1..=100).contains(q))
            .ok_or_else(|| Fault::invalid_value("quality", "Value must be between 1 and 100"))?,
    };
    let camera = match call.request.query("camera") {
        None | Some("") => 0,
        Some(text) => camera_number(text).ok_or_else(|| {
            Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras")
        })?,
    };
    let stamp = match call.request.query("stamp") {
        None | Some("0" | "false" | "") => false,
        Some("1" | "true") => true,
        Some(_) => {
            return Err(Fault::invalid_value("stamp", "Value must be 1 or 0, true or false"));
        }
    };
    if !call.desk.engine.is_running() {
        return Err(Fault::camera_away("the engine is starting; try again in a second"));
    }
    match call.desk.engine.camera(camera) {
        Some(c) if c.connected => {}
        Some(c) => return Err(away(c.id, &c.error)),
        None if camera == 0 => return Err(Fault::camera_away("there is no camera")),
        None => return Err(Fault::not_found(format!("there is no camera {camera}"))),
    }
    let ask = if stamp { Ask::Stamped { camera, quality } } else { Ask::Still { camera, quality } };
    call.desk.ask(ask, PATIENCE, call.key, show, call.at)?;
    Ok(Reply::Later)
}

fn away(id: u32, why: &str) -> Fault {
    let why = if why.is_empty() { "it delivers nothing" } else { why };
    Fault::camera_away(format!("camera {id}: {}", redact(why)))
}

fn show(desk: &mut Desk, ask: &Ask, outcome: &Outcome, at: At) -> Response {
    match outcome {
        Outcome::Picture { jpeg, capture, stream } => {
            Response::new(200, "image/jpeg", Payload::Shared(Arc::clone(jpeg)))
                .header("Cache-Control", "no-store")
                .header("X-Capture-Time", capture.utc.millis().to_string())
                .header("X-Stream", stream.clone())
        }
        // No picture in time from a camera that has gone meanwhile: say so.
        Outcome::Late => {
            let (Ask::Still { camera: id, .. } | Ask::Stamped { camera: id, .. }) = *ask else {
                return super::settings::failed(&Outcome::Late, at);
            };
            match desk.engine.camera(id) {
                Some(c) if !c.connected => away(c.id, &c.error).response(at),
                _ => super::settings::failed(outcome, at),
            }
        }
        outcome @ Outcome::Answer(_) => super::settings::failed(outcome, at),
    }
}
