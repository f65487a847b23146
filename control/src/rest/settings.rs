//! Settings over REST: one by one, many at once, or a module as a whole.

use super::{Call, Reply};
use crate::board::{self, Item, MOST_KEYS, Refusal, Result1, propose};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::respond::{Fault, Response};
use crate::http::{At, json};
use crate::settings::{self as change, By};
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::link::Answer;
use lensd_ffi::settings::{Entry, entries, render, resolve};
use serde_json::{Map, Value, json};

fn unknown(name: &str, near: Vec<&'static str>) -> Fault {
    with_key(Refusal::Unknown(near).fault(), name)
}

fn with_key(fault: Fault, name: &str) -> Fault {
    // A name that nobody knows may be anything.
    let key: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
    Fault { key: Some(key.into()), ..fault }
}

/// Everything that the caller may read.
pub(super) fn all(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let readable = entries().iter().filter(|e| !e.key.action && call.who.allows(e.read()));
    let data: Map<String, Value> =
        readable.map(|e| (e.key.name.to_owned(), call.desk.board.held(e).value.clone())).collect();
    Ok(Reply::Now(Response::success(Value::Object(data), call.at)))
}

/// The JSON schema of all settings.
pub(super) fn schema(_: &mut Call<'_>) -> Result<Reply, Fault> {
    Ok(Reply::Now(Response::json(200, &render::schema())))
}

fn entry_of(call: &Call<'_>) -> Result<(String, &'static Entry), Fault> {
    let name = call.params.find("key").unwrap_or_default().to_owned();
    let entry = resolve(&name).map_err(|near| unknown(&name, near))?;
    Ok((name, entry))
}

/// One setting with everything that is known of it.
pub(super) fn one(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let (name, entry) = entry_of(call)?;
    if !call.who.allows(entry.read()) {
        return Err(with_key(forbidden(call, entry.read()), &name));
    }
    let held = call.desk.board.held(entry);
    let mut data = json!({
        "key": entry.key.name,
        "module": entry.module.name,
        "value": held.value,
        "schema": render::key_schema(entry),
    });
    if let Some(hardware) = &held.hardware {
        data["hardware"] = json!(hardware);
    }
    if !held.error.is_empty() {
        data["error"] = json!(super::redact(&held.error));
    }
    Ok(Reply::Now(Response::success(data, call.at)))
}

/// Sets one key: a bare JSON value, or `{"value": …}`.
pub(super) fn set_one(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let (name, entry) = entry_of(call)?;
    // Before the body: a client that waits to be asked for its login sends none at first.
    if let Some(write) = entry.write().filter(|write| !call.who.allows(*write)) {
        return Err(with_key(forbidden(call, write), &name));
    }
    let value = body_value(&call.request.body).map_err(|f| with_key(f, &name))?;
    let items =
        propose(&call.desk.board, [(name.clone(), value)], |access| call.who.allows(access));
    denied(call, &items)?;
    let key = call.key;
    let then = move |desk: &mut Desk, mut results: Vec<Result1>, at: At| {
        let response = match results.pop().map(|r| r.outcome) {
            Some(Ok(value)) => {
                let mut data = json!({ "key": name, "value": value });
                if let Some(hardware) = &desk.board.held(entry).hardware {
                    data["hardware"] = json!(hardware);
                }
                Response::success(data, at)
            }
            Some(Err(why)) => with_key(why.fault(), &name).response(at),
            None => Fault::unavailable("BUSY", "nothing was set").response(at),
        };
        desk.answer_later(key, response);
    };
    change::set(call.desk, items, false, By::user(&call.who.user), call.at, then);
    Ok(Reply::Later)
}

/// That the caller may not; who has not logged in yet is asked to.
fn forbidden(call: &Call<'_>, access: Access) -> Fault {
    let fault = Refusal::Denied(access).fault();
    let status = if call.who.user.is_empty() { 401 } else { fault.status };
    Fault { status, ..fault }
}

/// The first change that the caller may not make.
fn denied(call: &Call<'_>, items: &[Item]) -> Result<(), Fault> {
    for item in items {
        if let Err(Refusal::Denied(access)) = &item.outcome {
            return Err(with_key(forbidden(call, *access), &item.name));
        }
    }
    Ok(())
}

/// Sets many keys, each for itself: what is refused stands in `errors`.
pub(super) fn set_many(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let changes = changes_of(call)?;
    set(call, changes, false)
}

/// The changes in a body.
fn changes_of(call: &Call<'_>) -> Result<Map<String, Value>, Fault> {
    let mut writes = Permission::ALL.into_iter().map(Access::write);
    let (none, asked) = (!writes.any(|w| call.who.allows(w)), Access::write(Permission::System));
    if none {
        return Err(forbidden(call, asked));
    }
    let changes = json::object(&call.request.body)?;
    if changes.is_empty() {
        return Err(invalid("the object has no members"));
    }
    check_count(changes.len())?;
    Ok(changes)
}

fn check_count(keys: usize) -> Result<(), Fault> {
    if keys > MOST_KEYS {
        return Err(invalid(format!("at most {MOST_KEYS} keys at once; send several requests")));
    }
    Ok(())
}

fn set(call: &mut Call<'_>, changes: Map<String, Value>, atomic: bool) -> Result<Reply, Fault> {
    if changes.is_empty() {
        // All of it is as it is.
        return Ok(Reply::Now(Response::success(json!({}), call.at)));
    }
    let items = propose(&call.desk.board, changes, |access| call.who.allows(access));
    if atomic || call.who.user.is_empty() {
        denied(call, &items)?;
    }
    let key = call.key;
    let then = move |desk: &mut Desk, results: Vec<Result1>, at: At| {
        let response = many(&results, atomic, at);
        desk.answer_later(key, response);
    };
    change::set(call.desk, items, atomic, By::user(&call.who.user), call.at, then);
    Ok(Reply::Later)
}

fn many(results: &[Result1], atomic: bool, at: At) -> Response {
    let mut taken = Map::new();
    let mut errors = Vec::new();
    // The one that is the reason comes first: of a set that is all or nothing the others were only
    // taken along.
    let mut worst: Option<(&str, &Refusal)> = None;
    for result in results {
        match &result.outcome {
            Ok(value) => _ = taken.insert(result.name.clone(), value.clone()),
            Err(Refusal::NotAlone) => {}
            Err(why) => {
                worst.get_or_insert((&result.name, why));
                let name: String = result.name.chars().take(128).collect();
                let fault = why.fault();
                errors.push(json!({
                    "key": name,
                    "error": fault.error,
                    "code": fault.code,
                    "message": fault.message,
                }));
            }
        }
    }
    match worst {
        Some((name, why)) if atomic || taken.is_empty() => {
            let fault = with_key(why.fault(), name);
            let mut body = fault.json(at);
            body["errors"] = json!(errors);
            Response::json(fault.status, &body)
        }
        Some(_) => {
            let timestamp = at.utc.millis();
            let body = json!({"status": "success", "data": taken, "errors": errors, "timestamp": timestamp});
            Response::json(200, &body)
        }
        None => Response::success(Value::Object(taken), at),
    }
}

fn module(call: &Call<'_>, name: &str) -> Map<String, Value> {
    let own = entries().iter().filter(|e| e.module.name == name && !e.key.action);
    own.filter(|e| call.who.allows(e.read()))
        .map(|e| (e.key.name.to_owned(), call.desk.board.held(e).value.clone()))
        .collect()
}

/// All modules.
pub(super) fn config(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let data: Map<String, Value> = board::modules()
        .into_iter()
        .map(|name| (name.to_owned(), Value::Object(module(call, name))))
        .filter(|(_, keys)| keys.as_object().is_some_and(|k| !k.is_empty()))
        .collect();
    Ok(Reply::Now(Response::success(Value::Object(data), call.at)))
}

fn section_of(call: &Call<'_>) -> Result<&'static str, Fault> {
    let wanted = call.params.find("section").unwrap_or_default();
    board::modules()
        .into_iter()
        .find(|name| *name == wanted)
        .ok_or_else(|| Fault::not_found("there is no such module; GET /api/config names them"))
}

/// One module.
pub(super) fn section(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = section_of(call)?;
    let data = module(call, name);
    let first = entries().iter().find(|e| e.module.name == name);
    if let Some(entry) = first.filter(|_| data.is_empty())
        && !call.who.allows(entry.read())
    {
        return Err(forbidden(call, entry.read()));
    }
    Ok(Reply::Now(Response::success(Value::Object(data), call.at)))
}

/// Changes several modules, all or nothing.
pub(super) fn set_config(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut changes = Map::new();
    for (name, keys) in changes_of(call)? {
        if !board::modules().contains(&name.as_str()) {
            let message = "there is no such module; GET /api/config names them";
            return Err(with_key(Fault::not_found(message), &name));
        }
        let Value::Object(keys) = keys else {
            return Err(with_key(invalid("a module must be an object of its keys"), &name));
        };
        check_count(changes.len() + keys.len())?;
        for (key, value) in keys {
            in_section(&key, &name)?;
            changes.insert(key, value);
        }
    }
    pass_over_unchanged(call, &mut changes, false);
    set(call, changes, true)
}

/// Leaves out what nobody can set and what is not known, if it is as it is: what GET gave may come
/// back as a whole. `any`: also measured values that have become others meanwhile.
fn pass_over_unchanged(call: &Call<'_>, changes: &mut Map<String, Value>, any: bool) {
    changes.retain(|name, value| {
        let Ok(entry) = resolve(name) else { return true };
        let measured = entry.write().is_none();
        let same = call.desk.board.held(entry).value == *value;
        !(call.who.allows(entry.read()) && (measured && (any || same) || value.is_null() && same))
    });
}

fn in_section(key: &str, section: &str) -> Result<(), Fault> {
    match resolve(key) {
        Err(near) => Err(unknown(key, near)),
        Ok(entry) if entry.module.name != section => {
            let message = format!("this key is of module {}, not {section}", entry.module.name);
            Err(with_key(Fault::not_found(message), key))
        }
        Ok(_) => Ok(()),
    }
}

/// Changes a module, all or nothing. PUT: keys that are left out go back to their defaults; those
/// without one, which are as the camera has them, stay.
pub(super) fn set_section(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let section = section_of(call)?;
    let mut changes = changes_of(call)?;
    for key in changes.keys() {
        in_section(key, section)?;
    }
    let whole = call.request.method == crate::http::parse::Method::Put;
    if whole {
        let given: Vec<usize> =
            changes.keys().filter_map(|k| resolve(k).ok()).map(|e| e.index).collect();
        let left_out = entries().iter().filter(|e| {
            let own = e.module.name == section && e.key.settable && !e.key.action;
            own && !given.contains(&e.index)
        });
        for entry in left_out {
            let default = entry.key.default.value();
            if !default.is_null() {
                changes.insert(entry.key.name.to_owned(), default);
            }
        }
    }
    pass_over_unchanged(call, &mut changes, whole);
    set(call, changes, true)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(400, "INVALID_VALUE", "Invalid value", message.into())
}

/// A bare JSON value, or an object whose only member is `value`.
fn body_value(body: &[u8]) -> Result<Value, Fault> {
    match json::parse(body)? {
        Value::Object(mut members) if members.len() == 1 && members.contains_key("value") => {
            Ok(members.remove("value").unwrap_or_default())
        }
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
        for body in [&b""[..], b"2 3", b"NaN", b"\xff", b"{\"value\":1,\"value\":2}"] {
            assert_eq!(body_value(body).unwrap_err().status, 400);
        }
    }
}
