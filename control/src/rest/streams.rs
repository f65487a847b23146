//! Streams, who receives them, and live JPEGs.

use super::system::engine_word;
use super::{Call, PATIENCE, Reply, camera_number, redact};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::{Fault, Response};
use crate::live::{BOUNDARY, Pictures, Viewer};
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::state::ClientState;
use lensd_ffi::unit::Codec;
use serde_json::{Value, json};

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let (engine, authority, host) = (engine_word(call), call.authority(), call.host());
    let scheme = call.scheme();
    let rtsp = call.desk.ports().get("rtsp").map(|port| format!("rtsp://{host}:{port}/"));
    let hls = call.desk.hls.settings().on;
    let webrtc = *call.desk.board.value("webrtc-enabled") != Value::Bool(false);
    let state = call.desk.engine.state().clone();
    let streams: Vec<Value> = state
        .streams
        .iter()
        .map(|stream| {
            let mut value = json!(stream);
            value["id"] = json!(stream.name.replace('/', "-"));
            value["error"] = json!(redact(&stream.error));
            value["pipeline"] = json!(redact(&stream.pipeline));
            let camera = state.cameras.iter().find(|c| c.id == stream.camera);
            value["stamped_at"] = json!(camera.map(|c| &c.stamped_at));
            value["active"] = json!(stream.camera == state.main_camera);
            value["rtsp"] = json!(rtsp.as_ref().map(|base| format!("{base}{}", stream.name)));
            if stream.codec != Codec::Jpeg && hls {
                let name = &stream.name;
                value["hls"] = json!(format!("{scheme}://{authority}/hls/{name}/index.m3u8"));
            }
            if stream.codec == Codec::H264 && webrtc {
                value["whep"] = json!(format!("{scheme}://{authority}/whep/{}", stream.name));
            }
            if stream.codec == Codec::Jpeg {
                value["mjpeg"] = json!(format!("{scheme}://{authority}/mjpeg/{}", stream.name));
                value["http_clients"] = json!(call.desk.watching(&stream.name).len());
            }
            value
        })
        .collect();
    let data = json!({
        "engine": engine,
        "main_camera": state.main_camera,
        "streams": streams,
    });
    Ok(Reply::Now(Response::success(data, call.at)))
}

/// The name in the path, `/` for the first `-`.
pub(super) fn asked(call: &Call<'_>) -> String {
    match (call.params.find("id"), call.params.find("camera"), call.params.find("stream")) {
        (Some(id), _, _) => id.replacen('-', "/", 1),
        (None, camera, stream) => {
            format!("{}/{}", camera.unwrap_or_default(), stream.unwrap_or_default())
        }
    }
}

pub(super) fn unknown(call: &mut Call<'_>, name: &str) -> Fault {
    if !call.desk.engine.is_running() {
        return Fault::unavailable("ENGINE_STARTING", "the engine is starting");
    }
    Fault::not_found(format!("there is no stream {name:?}; see /api/streams"))
}

pub(super) fn clients(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = asked(call);
    let Some(stream) = call.desk.engine.find_stream(&name) else {
        return Err(unknown(call, &name));
    };
    // All are asked for: a client of `stream1` receives a stream whose own name it did not say.
    let ask = Ask::Clients { stream: String::new() };
    call.desk.ask(
        ask,
        PATIENCE,
        call.key,
        move |desk: &mut Desk, _: &Ask, outcome: &Outcome, at| {
            show_clients(desk, &stream.name, outcome, at)
        },
        call.at,
    )?;
    Ok(Reply::Later)
}

fn show_clients(desk: &mut Desk, stream: &str, outcome: &Outcome, at: At) -> Response {
    let Outcome::Answer(Answer::Clients { clients }) = outcome else {
        return super::settings::failed(outcome, at);
    };
    let mut clients = clients.clone();
    clients.retain(|c| {
        desk.engine.find_stream(c.path.trim_matches('/')).is_some_and(|s| s.name == stream)
    });
    clients.extend(desk.watching(stream));
    Response::success(json!({ "stream": stream, "clients": clients }), at)
}

/// Any name of a camera or of one of its streams means its JPEG stream.
pub(super) fn mjpeg(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = asked(call);
    let follows = matches!(name.as_str(), "stream1" | "stream2" | "active");
    let camera = if follows {
        call.desk.engine.state().main_camera
    } else {
        match call.desk.engine.find_stream(&name) {
            Some(stream) => stream.camera,
            None => camera_number(&name).ok_or_else(|| unknown(call, &name))?,
        }
    };
    if !call.desk.engine.is_running() {
        return Err(Fault::unavailable("ENGINE_STARTING", "the engine is starting"));
    }
    let stream = call.desk.engine.jpeg_stream(camera).ok_or_else(|| unknown(call, &name))?;
    let client = ClientState {
        id: format!("http-{}", call.key.generation),
        address: call.peer.to_string(),
        user: call.who.user.clone(),
        path: format!("/mjpeg/{name}"),
        transport: "http".to_owned(),
        agent: call.request.header("user-agent").unwrap_or("").chars().take(200).collect(),
        state: "playing".to_owned(),
        since_ms: call.at.utc.millis(),
        ..ClientState::default()
    };
    let who = call.who.clone();
    let viewer = Pictures { who, stream: stream.name, follows, opened: false, seen: None, client };
    let response = Response {
        status: 200,
        headers: vec![
            ("Content-Type", format!("multipart/x-mixed-replace; boundary={BOUNDARY}")),
            ("Cache-Control", "no-store".to_owned()),
        ],
        ..Response::empty(200)
    };
    Ok(Reply::Live(response, Box::new(Viewer::Pictures(Box::new(viewer)))))
}
