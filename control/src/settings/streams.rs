//! The keys of `external-streams`.

use super::own::{Taken, restart};
use crate::audit::Event;
use crate::desk::Desk;
use crate::external;
use crate::http::At;
use crate::http::respond::redact;
use lensd_ffi::state::CameraState;
use serde_json::{Value, json};

/// Cameras that are streams of others.
pub(super) fn measured(desk: &mut Desk) -> Value {
    let cameras = &desk.engine.state().cameras;
    let theirs = cameras.iter().filter(|c| c.source.starts_with("rtsp"));
    let one = |c: &CameraState| json!({ "camera": c.id, "url": redact(&c.source), "connected": c.connected, "error": redact(&c.error) });
    theirs.map(one).collect()
}

/// Adds or removes a stream of another server. It holds from the restart on that follows.
pub(super) fn set(
    desk: &mut Desk,
    key: &str,
    value: &Value,
    user: &str,
    at: At,
) -> Result<Taken, String> {
    let url = value.as_str().unwrap_or_default().to_owned();
    let shown = redact(&url);
    let path = external::path(&desk.config.data);
    // Nobody sees what was asked for: there may be a password in it.
    let (done, what) = if key == "external-stream-add" {
        if !external::is_stream(&url) {
            return Err(
                "Value must be a stream's address such as rtsp://10.0.0.7/stream".to_owned()
            );
        }
        (external::add(&path, url), "camera added")
    } else {
        (external::remove(&path, &url), "camera removed")
    };
    done?;
    let event = Event { what, user, subject: &shown, ..Event::default() };
    desk.audit.note(&event, at.utc.millis());
    restart(desk, user, at);
    Ok(Taken::Now(json!(shown)))
}
