//! Beginning, interrupting and ending recordings; snapshots that are kept.

use super::{Call, Reply, camera_number};
use crate::audit::Event;
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use crate::settings::storage_standing;
use lensd_ffi::link::{Answer, Ask, RecordAct};
use lensd_ffi::state::RecordingState;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};

/// How long the engine may take: a disk that does not answer is told as such.
const PATIENCE: Nanos = Nanos::from_secs(8);
/// Most characters of a title.
const TITLE: usize = 200;

/// A recording as it is shown.
fn describe(recording: &RecordingState, at: At) -> Value {
    json!({
        "id": (recording.id > 0).then_some(recording.id),
        "camera": recording.camera,
        "stream": recording.stream,
        "mode": recording.mode,
        "state": recording.state,
        "filename": (!recording.filename.is_empty()).then_some(&recording.filename),
        "started": recording.started_ms,
        "elapsed_ms": (recording.started_ms > 0).then(|| at.utc.millis() - recording.started_ms),
        "duration_ms": recording.duration_ms,
        "size": recording.bytes,
        "dropped_pictures": recording.dropped_units,
        "dropped_groups": recording.dropped_groups,
        "error": (!recording.error.is_empty()).then_some(&recording.error),
    })
}

fn overview(desk: &mut Desk, at: At) -> Value {
    let standing = storage_standing(desk);
    let network = desk.carry.status(at.mono).standing.word();
    let state = desk.engine.state();
    let running: Vec<_> = state.recordings.iter().filter(|r| r.started_ms > 0).collect();
    let storage = &state.storage;
    json!({
        "recording": !running.is_empty(),
        "paused": !running.is_empty() && running.iter().all(|r| r.state == "paused"),
        "recordings": state.recordings.iter().map(|r| describe(r, at)).collect::<Vec<_>>(),
        "storage": {
            "state": storage.state,
            "low": standing == "low",
            "standing": if standing.is_empty() { "starting" } else { &standing },
            "network": network,
            "error": (!storage.error.is_empty()).then_some(&storage.error),
            "total": storage.total,
            "free": storage.free,
        },
    })
}

pub(super) fn status(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let at = call.at;
    let data = overview(call.desk, at);
    Ok(Reply::Now(Response::success(data, at)))
}

pub(super) fn start(call: &mut Call<'_>) -> Result<Reply, Fault> {
    record(call, RecordAct::Start)
}

pub(super) fn stop(call: &mut Call<'_>) -> Result<Reply, Fault> {
    record(call, RecordAct::Stop)
}

pub(super) fn pause(call: &mut Call<'_>) -> Result<Reply, Fault> {
    record(call, RecordAct::Pause)
}

pub(super) fn resume(call: &mut Call<'_>) -> Result<Reply, Fault> {
    record(call, RecordAct::Resume)
}

/// The camera of a body or a query: a number, or `cam1`.
fn camera(value: Option<Value>) -> Result<Option<u32>, Fault> {
    let wrong =
        || Fault::invalid_value("camera", "Value must be a camera's number; see /api/cameras");
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(n)) => {
            n.as_u64().and_then(|n| u32::try_from(n).ok()).map(Some).ok_or_else(wrong)
        }
        Some(Value::String(text)) => camera_number(&text).map(Some).ok_or_else(wrong),
        Some(_) => Err(wrong()),
    }
}

fn title(members: &mut Members) -> Result<String, Fault> {
    let title = members.text("title")?.unwrap_or_default();
    if title.chars().count() > TITLE || title.chars().any(char::is_control) {
        let message = format!("Value must be a text of at most {TITLE} characters in one line");
        return Err(Fault::invalid_value("title", message));
    }
    Ok(title)
}

fn record(call: &mut Call<'_>, act: RecordAct) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = camera(members.any("camera"))?;
    let stream = members.text("stream")?.unwrap_or_default();
    if !["", "main", "sub", "mjpeg"].contains(&&*stream) {
        let message = format!("{stream:?} is no stream; they are main, sub and mjpeg");
        return Err(Fault::invalid_value("stream", message));
    }
    let (mut seconds, mut name) = (None, String::new());
    if act == RecordAct::Start {
        seconds = members.number("duration", 1, 31_536_000)?.and_then(|n| u64::try_from(n).ok());
        name = title(&mut members)?;
    }
    members.end()?;
    running(call)?;
    let ask = Ask::Record { act, camera, stream, seconds, title: name };
    note(
        call,
        match act {
            RecordAct::Start => "recording started",
            RecordAct::Stop => "recording stopped",
            RecordAct::Pause => "recording paused",
            RecordAct::Resume => "recording resumed",
        },
    );
    call.desk.ask(ask, PATIENCE, call.key, shown, call.at)?;
    Ok(Reply::Later)
}

fn running(call: &mut Call<'_>) -> Result<(), Fault> {
    if call.desk.engine.is_running() {
        return Ok(());
    }
    Err(Fault::camera_away("the engine is starting; try again in a second"))
}

fn note(call: &mut Call<'_>, what: &'static str) {
    let from = call.peer.ip().to_string();
    let event = Event { what, user: &call.who.user, from: &from, ..Event::default() };
    call.desk.audit.note(&event, call.at.utc.millis());
}

fn shown(_: &mut Desk, _: &Ask, outcome: &Outcome, at: At) -> Response {
    match outcome {
        Outcome::Answer(Answer::Recordings { recordings }) => {
            let list: Vec<Value> = recordings.iter().map(|r| describe(r, at)).collect();
            // Scripts look for the one that they began.
            let mut data = list.first().cloned().unwrap_or_else(|| json!({}));
            data["recordings"] = json!(list);
            Response::success(data, at)
        }
        outcome => super::settings::failed(outcome, at),
    }
}

/// Takes a snapshot and keeps it.
pub(super) fn snap(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let camera = camera(members.any("camera"))?.unwrap_or(0);
    let quality = members.number("quality", 1, 100)?.and_then(|q| u8::try_from(q).ok());
    let stamp = members.flag("stamp")?;
    let title = title(&mut members)?;
    members.end()?;
    running(call)?;
    let ask = Ask::Snap { camera, quality: quality.unwrap_or(0), stamp, title };
    call.desk.ask(ask, PATIENCE, call.key, kept, call.at)?;
    Ok(Reply::Later)
}

fn kept(_: &mut Desk, _: &Ask, outcome: &Outcome, at: At) -> Response {
    match outcome {
        Outcome::Answer(Answer::Kept { id, filename, size, captured_ms }) => {
            let data = json!({
                "id": (*id > 0).then_some(id),
                "filename": filename,
                "size": size,
                "captured": captured_ms,
                "url": format!("/files/{filename}"),
            });
            Response::success(data, at)
        }
        outcome => super::settings::failed(outcome, at),
    }
}
