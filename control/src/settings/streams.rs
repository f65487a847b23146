//! The keys of `external-streams`.

use super::own::restart;
use crate::audit::Event;
use crate::desk::Desk;
use crate::external;
use crate::http::At;
use crate::http::respond::redact;
use lensd_ffi::state::CameraState;
use serde_json::{Value, json};
use std::sync::Arc;

const ADD: &str = "external-stream-add";
const REMOVE: &str = "external-stream-remove";

/// Cameras that are streams of others.
pub(super) fn measured(desk: &mut Desk) -> Value {
    let cameras = &desk.engine.state().cameras;
    let theirs = cameras.iter().filter(|c| c.source.starts_with("rtsp"));
    let one = |c: &CameraState| json!({ "camera": c.id, "url": redact(&c.source), "connected": c.connected, "error": redact(&c.error) });
    theirs.map(one).collect()
}

/// Adds or removes a stream of another server. It holds from the restart on that follows. What was
/// taken is the address without a password.
pub(super) fn set(
    desk: &Desk,
    key: &str,
    value: &Value,
) -> Result<impl FnOnce() -> Result<Value, String> + Send + 'static, String> {
    let url = value.as_str().unwrap_or_default().to_owned();
    let shown = redact(&url);
    let store = Arc::clone(&desk.store);
    let add = key == ADD;
    if add && !external::is_stream(&url) {
        return Err("Value must be a stream's address such as rtsp://10.0.0.7/stream".to_owned());
    }
    Ok(move || {
        let done = if add { external::add(&store, url) } else { external::remove(&store, &url) };
        done.map(|()| json!(shown))
    })
}

/// Does what follows when one was taken.
pub(super) fn taken(desk: &mut Desk, key: &str, shown: &Value, user: &str, at: At) {
    let what = match key {
        ADD => "camera added",
        REMOVE => "camera removed",
        _ => return,
    };
    let subject = shown.as_str().unwrap_or_default();
    let event = Event { what, user, subject, ..Event::default() };
    desk.audit.note(&event, at.utc.millis());
    restart(desk, user, at);
}
