//! Health, information and status of the server.

use super::{Call, Reply, redact};
use crate::http::respond::{Fault, Response};
use crate::page;
use serde_json::{Value, json};

/// `running`, `starting` while there is none, or `stalled` while it says nothing.
pub(super) fn engine_word(call: &mut Call<'_>) -> &'static str {
    call.desk.engine.word()
}

pub(super) fn index(_: &mut Call<'_>) -> Result<Reply, Fault> {
    page::index().map(Reply::Now)
}

pub(super) fn still_page(_: &mut Call<'_>) -> Result<Reply, Fault> {
    page::still().map(Reply::Now)
}

pub(super) fn live(call: &mut Call<'_>) -> Result<Reply, Fault> {
    Ok(Reply::Now(Response::success(json!({ "status": "ok" }), call.at)))
}

pub(super) fn ready(call: &mut Call<'_>) -> Result<Reply, Fault> {
    match call.desk.engine.word() {
        "running" => {}
        "stalled" => {
            let why = "the engine has said nothing for seconds: is the machine overloaded?";
            return Err(Fault::unavailable("ENGINE_STALLED", why));
        }
        _ => return Err(Fault::unavailable("ENGINE_STARTING", "the engine is starting")),
    }
    Ok(Reply::Now(Response::success(json!({ "status": "ready" }), call.at)))
}

/// 200 as long as this process answers; what is wrong stands in the body.
pub(super) fn health(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = engine_word(call);
    let state = call.desk.engine.state();
    let connected = state.cameras.iter().filter(|c| c.connected).count();
    let all = state.cameras.len();
    let good = engine == "running" && connected == all && all > 0;
    let data = json!({
        "status": if good { "ok" } else { "degraded" },
        "engine": engine,
        "cameras": { "connected": connected, "configured": all },
        "uptime": call.desk.uptime(call.at),
    });
    Ok(Reply::Now(Response::success(data, call.at)))
}

pub(super) fn info(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let (authority, host) = (call.authority(), call.host());
    let (scheme, socket) = (call.scheme(), if call.secure { "wss" } else { "ws" });
    let (ports, hls) = (call.desk.ports(), call.desk.hls.settings().on);
    let webrtc = *call.desk.board.value("webrtc-enabled") != Value::Bool(false);
    let rtsp = ports.get("rtsp").map(|p| format!("rtsp://{host}:{p}"));
    let path = |base: &Option<String>, path: &str| {
        base.as_ref().map_or(Value::Null, |b| json!(format!("{b}{path}")))
    };
    let data = json!({
        "name": "lensd",
        "version": env!("CARGO_PKG_VERSION"),
        "variant": call.desk.config.variant,
        "pid": std::process::id(),
        "engine": engine_word(call),
        "engine_pid": call.desk.engine.state().pid,
        "started": call.desk.started.utc.millis(),
        "uptime": call.desk.uptime(call.at),
        "open": call.desk.config.open,
        "ports": ports,
        "urls": {
            "web": format!("{scheme}://{authority}/"),
            "snapshot": format!("{scheme}://{authority}/api/snapshot"),
            "mjpeg": format!("{scheme}://{authority}/mjpeg/stream1"),
            "hls": hls.then(|| format!("{scheme}://{authority}/hls/stream1/index.m3u8")),
            "whep": webrtc.then(|| format!("{scheme}://{authority}/whep/stream1")),
            "websocket": format!("{socket}://{authority}/api/v1"),
            "main": path(&rtsp, "/stream1"),
            "sub": path(&rtsp, "/stream2"),
        },
        "features": ["rest", "snapshot", "mjpeg", "hls", "webrtc", "rtsp", "onvif", "recording", "basic", "digest", "token", "websocket", "https"],
    });
    // Seed 002's own test looks for the version at the top level.
    let body = json!({
        "status": "success",
        "version": data["version"],
        "data": data,
        "timestamp": call.at.utc.millis(),
    });
    Ok(Reply::Now(Response::json(200, &body)))
}

/// Without a login too: that cameras exist and whether they work, but not what they are.
pub(super) fn status(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = engine_word(call);
    let state = call.desk.engine.state();
    let cameras: Vec<Value> = state
        .cameras
        .iter()
        .map(|c| {
            json!({
                "id": c.id,
                "name": c.name,
                "connected": c.connected,
                "error": redact(&c.error),
                "active": c.id == state.main_camera,
            })
        })
        .collect();
    let data = json!({
        "engine": engine,
        "main_camera": state.main_camera,
        "cameras": cameras,
        "streams_running": state.streams.iter().filter(|s| s.running).count(),
        "rtsp_sessions": state.sessions,
        "http_connections": call.desk.connections,
        "uptime": call.desk.uptime(call.at),
    });
    Ok(Reply::Now(Response::success(data, call.at)))
}
