//! The event log, at once or as it grows.

use super::{Call, Reply};
use crate::http::respond::{Fault, Response};
use crate::live::{Listener, Viewer};
use serde_json::{Value, json};

/// Events of an answer that does not say how many it wants.
const USUAL: usize = 100;
const MOST: usize = 1000;

fn number(call: &Call<'_>, name: &str, most: usize) -> Result<Option<usize>, Fault> {
    let Some(text) = call.request.query(name) else { return Ok(None) };
    match text.parse().ok().filter(|n| *n <= most) {
        Some(n) => Ok(Some(n)),
        None => Err(Fault::invalid_value(name, format!("Value must be between 0 and {most}"))),
    }
}

/// The newest events, newest first; with `Accept: text/event-stream` those that come.
pub(super) fn events(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let limit = number(call, "limit", MOST)?.unwrap_or(USUAL);
    let since = number(call, "since", usize::MAX)?;
    // What came with this turn of the loop belongs to it.
    call.desk.look_at_events(false);
    let accept = call.request.header("accept").unwrap_or_default();
    if accept.contains("text/event-stream") {
        return Ok(listen(call, since));
    }
    call.desk.listeners.note_poll(call.at.mono);
    let since = since.and_then(|id| u64::try_from(id).ok()).unwrap_or(0);
    let log = &call.desk.events;
    let may = log.since(since).rev().filter(|event| call.who.allows(event.access()));
    let events: Vec<Value> = may.take(limit).map(|event| event.value()).collect();
    let data = json!({ "events": events, "last": log.last() });
    Ok(Reply::Now(Response::success(data, call.at)))
}

fn listen(call: &Call<'_>, since: Option<usize>) -> Reply {
    // A browser that lost its connection says what it heard last.
    let heard = call.request.header("last-event-id").and_then(|id| id.parse().ok());
    let last = call.desk.events.last();
    let seen = heard.or_else(|| u64::try_from(since?).ok()).unwrap_or(last).min(last);
    let listener = Listener { who: call.who.clone(), seen, told: None };
    let response = Response {
        headers: vec![
            ("Content-Type", "text/event-stream".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ],
        ..Response::empty(200)
    };
    Reply::Live(response, Box::new(Viewer::Events(listener)))
}
