//! Settings. Only the active camera for now; the registry brings the rest.

use super::system::engine_word;
use super::{Call, PATIENCE, Reply};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::{Fault, Response};
use lensd_ffi::link::{Answer, Ask};
use serde_json::{Value, json};

const KEY: &str = "main-camera";

pub(super) fn main_camera(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = engine_word(call);
    let value = call.desk.engine.state().main_camera;
    let data = json!({ "key": KEY, "value": value, "engine": engine });
    Ok(Reply::Now(Response::success(data, call.at)))
}

pub(super) fn select_camera(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let value = body_value(&call.request.body)?;
    let state = call.desk.engine.state();
    let highest = state.cameras.iter().map(|c| c.id).max().unwrap_or(0);
    let camera = value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| state.cameras.iter().any(|c| c.id == *n))
        .ok_or_else(|| {
            let message = match highest {
                0 => "There is no camera".to_owned(),
                highest => format!("Value must be between 1 and {highest}"),
            };
            Fault::invalid_value(KEY, message)
        })?;
    call.desk.ask(Ask::SelectCamera { camera }, PATIENCE, call.key, selected, call.at)?;
    Ok(Reply::Later)
}

fn selected(_: &mut Desk, ask: &Ask, outcome: &Outcome, at: At) -> Response {
    match (ask, outcome) {
        (Ask::SelectCamera { camera }, Outcome::Answer(Answer::Done)) => {
            Response::success(json!({ "key": KEY, "value": camera }), at)
        }
        (_, outcome) => failed(outcome, at),
    }
}

/// A bare JSON value, or an object whose only member is `value`.
fn body_value(body: &[u8]) -> Result<Value, Fault> {
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let message = format!("the body must be a JSON value or {{\"value\": …}}: {e}");
        Fault::new(400, "INVALID_VALUE", "Invalid value", message)
    })?;
    match value {
        Value::Object(mut members) => match (members.remove("value"), members.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(Fault::invalid_value(KEY, "the object must have one member, value")),
        },
        value => Ok(value),
    }
}

/// The answer to a question that brought nothing.
pub(super) fn failed(outcome: &Outcome, at: At) -> Response {
    match outcome {
        Outcome::Answer(Answer::Fault { code, message }) => {
            let message = super::redact(message);
            Fault::of_engine(code.clone(), message).response(at)
        }
        Outcome::Late => {
            Fault::unavailable("TIMEOUT", "the engine did not answer in time").response(at)
        }
        _ => strange(at),
    }
}

/// The engine's answer fits no question: versions of the planes that do not match.
fn strange(at: At) -> Response {
    Fault::new(500, "INTERNAL", "Internal error", "the engine gave an answer to something else")
        .response(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_bare_and_wrapped() {
        assert_eq!(body_value(b" 2 "), Ok(json!(2)));
        assert_eq!(body_value(b"{\"value\":\"x\"}"), Ok(json!("x")));
        for (body, status) in [
            (&b""[..], 400),
            (b"2 3", 400),
            (b"NaN", 400),
            (b"{\"value\":1,\"x\":2}", 422),
            (b"{}", 422),
        ] {
            assert_eq!(body_value(body).unwrap_err().status, status);
        }
        let deep = "[".repeat(10_000);
        assert_eq!(body_value(deep.as_bytes()).unwrap_err().status, 400);
    }
}
