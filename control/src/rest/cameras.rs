//! Cameras.

use super::system::engine_word;
use super::{Call, Reply, camera_number, redact};
use crate::http::respond::{Fault, Response};
use lensd_ffi::state::CameraState;
use serde_json::{Value, json};

fn describe(camera: &CameraState, active: u32) -> Value {
    json!({
        "id": camera.id,
        "name": camera.name,
        "source": redact(&camera.source),
        "stable_id": camera.stable_id,
        "node": camera.node,
        "status": if camera.connected { "connected" } else { "disconnected" },
        "connected": camera.connected,
        "error": redact(&camera.error),
        "active": camera.id == active,
        "format": camera.format,
        "width": camera.width,
        "height": camera.height,
        "fps": camera.fps,
        "frames": camera.frames,
        "lost": camera.lost,
        "stamped_at": camera.stamped_at,
    })
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = engine_word(call);
    let state = call.desk.engine.state();
    let active = state.main_camera;
    let cameras: Vec<Value> = state.cameras.iter().map(|c| describe(c, active)).collect();
    let data = json!({ "engine": engine, "main_camera": active, "cameras": cameras });
    Ok(Reply::Now(Response::success(data, call.at)))
}

pub(super) fn one(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = call.params.find("id").unwrap_or("");
    let active = call.desk.engine.state().main_camera;
    let camera = camera_number(id)
        .filter(|id| *id > 0)
        .and_then(|id| call.desk.engine.camera(id))
        .ok_or_else(|| Fault::not_found(format!("there is no camera {id:?}; see /api/cameras")))?;
    let mut data = describe(&camera, active);
    data["engine"] = json!(engine_word(call));
    Ok(Reply::Now(Response::success(data, call.at)))
}

/// The active camera: whether it is there, for everybody.
pub(super) fn active(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = engine_word(call);
    let data = match call.desk.engine.camera(0) {
        None => json!({ "engine": engine, "connected": false, "error": "there is no camera" }),
        Some(c) => json!({
            "engine": engine,
            "id": c.id,
            "name": c.name,
            "connected": c.connected,
            "error": redact(&c.error),
            "width": c.width,
            "height": c.height,
            "fps": c.fps,
        }),
    };
    Ok(Reply::Now(Response::success(data, call.at)))
}
