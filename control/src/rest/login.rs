//! Log-in, log-out, sessions, API tokens.

use super::{Call, Reply};
use crate::accounts::{Kind, TokenRecord};
use crate::audit::Event;
use crate::desk::Desk;
use crate::http::At;
use crate::http::auth::{COOKIE, cookies, csrf};
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use crate::login::{Attempt, LoggedIn, log_in};
use lensd_ffi::auth::{Access, Permission, Token};
use serde_json::{Value, json};

/// Longest life of a token that has an end: ten years, in seconds.
const MAX_LIFE: i64 = 10 * 366 * 86_400;

/// Who asks, if he is known.
pub(super) fn known(call: &Call<'_>) -> Result<(), Reply> {
    if call.who.user.is_empty() {
        // A cookie without its field is a guest's request, and says so.
        if let Some(fault) = call.desk.door.lacks_csrf(call.request, call.at) {
            return Err(Reply::Now(fault.response(call.at)));
        }
        return Err(Reply::Now(call.desk.door.ask_login(false, false, call.at)));
    }
    Ok(())
}

pub(super) fn login(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let name = members.needed("username")?;
    let password = members.password("password")?;
    let password =
        password.ok_or_else(|| Fault::invalid_value("password", "password is missing"))?;
    members.end()?;
    let from = call.peer.ip();
    let agent = call.request.header("user-agent").unwrap_or_default().to_owned();
    let (key, secure) = (call.key, call.secure);
    log_in(
        call.desk,
        Attempt { name, password, from, agent },
        call.at,
        move |desk, outcome, at| {
            let response = match outcome {
                Ok(login) => welcome(&login, secure, at),
                Err(fault) => fault.response(at),
            };
            desk.answer_later(key, response);
        },
    )?;
    Ok(Reply::Later)
}

fn welcome(login: &LoggedIn, secure: bool, at: At) -> Response {
    let data = json!({
        "token": *login.token,
        "csrf": login.csrf,
        "user": login.who.user,
        "role": login.who.role,
        "permissions": login.who.rights,
        "expires": login.expires,
    });
    // Seed 002 reads the token at the top level.
    let body = json!({
        "status": "success",
        "token": *login.token,
        "data": data,
        "timestamp": at.utc.millis(),
    });
    let seconds = (login.expires - at.utc.millis()) / 1000;
    Response::json(200, &body).header("Set-Cookie", cookie(&login.token, seconds, secure))
}

/// RFC 6265 5.2, and its successor's SameSite.
fn cookie(token: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Who asks, what he may do, and what his changes need beside the cookie.
pub(super) fn session(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let now_ms = call.at.utc.millis();
    let hash = call.who.token.as_deref();
    let users = call.desk.door.users();
    let own = cookies(call.request).find(|t| hash == Some(Token::hash(t).as_str()));
    let data = json!({
        "authenticated": !call.who.user.is_empty(),
        "user": call.who.user,
        "role": call.who.role,
        "permissions": call.who.rights,
        "expires": hash.and_then(|h| users.token(h, now_ms)).map(|t| t.expires_ms),
        "csrf": own.map(csrf),
    });
    Ok(Reply::Now(Response::success(data, call.at)))
}

pub(super) fn logout(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if let Err(reply) = known(call) {
        return Ok(reply);
    }
    let gone = cookie("", 0, call.secure);
    let Some(hash) = call.who.token.clone() else {
        // With Basic or Digest there is no session to end.
        let response = Response::success(json!({ "ended": false }), call.at);
        return Ok(Reply::Now(response.header("Set-Cookie", gone)));
    };
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    call.desk.change_accounts(
        call.key,
        move |all| {
            let mut all = all.lock();
            all.end_token(Kind::Session, &hash, None)
                .or_else(|_| all.end_token(Kind::Token, &hash, None))
        },
        move |desk, _, at| {
            let event = Event { what: "logout", user: &user, from: &from, ..Event::default() };
            desk.audit.note(&event, at.utc.millis());
            let response = Response::success(json!({ "ended": true }), at);
            Ok(response.header("Set-Cookie", gone))
        },
    )?;
    Ok(Reply::Later)
}

/// Whose sessions and tokens one may see and end: all, or one's own.
fn reach(call: &Call<'_>, write: bool) -> Option<String> {
    let of = if write { Access::write } else { Access::read };
    let access = of(Permission::User);
    (!call.who.allows(access)).then(|| call.who.user.clone())
}

fn shown(hash: &str, record: &TokenRecord, current: Option<&str>) -> Value {
    let mut value = json!(record);
    value["id"] = json!(TokenRecord::id(hash));
    value["current"] = json!(current == Some(hash));
    value
}

fn list(call: &mut Call<'_>, kind: Kind, name: &str) -> Result<Reply, Fault> {
    if let Err(reply) = known(call) {
        return Ok(reply);
    }
    let user = reach(call, false);
    let current = call.who.token.clone();
    let name = name.to_owned();
    call.desk.change_accounts(
        call.key,
        move |all| {
            let all = all.lock();
            let found = all.tokens(kind, user.as_deref());
            Ok(found.iter().map(|(h, r)| shown(h, r, current.as_deref())).collect::<Vec<_>>())
        },
        move |_, found, at| Ok(Response::success(json!({ name: found }), at)),
    )?;
    Ok(Reply::Later)
}

fn end(call: &mut Call<'_>, kind: Kind, what: &'static str) -> Result<Reply, Fault> {
    if let Err(reply) = known(call) {
        return Ok(reply);
    }
    let user = reach(call, true);
    let id = call.params.find("id").unwrap_or_default().to_owned();
    let (by, from) = (call.who.user.clone(), call.peer.ip().to_string());
    call.desk.change_accounts(
        call.key,
        move |all| all.lock().end_token(kind, &id, user.as_deref()),
        move |desk, record, at| {
            note(desk, what, &by, &record, &from, at);
            Ok(Response::success(json!({ "ended": true }), at))
        },
    )?;
    Ok(Reply::Later)
}

fn note(desk: &mut Desk, what: &str, user: &str, record: &TokenRecord, from: &str, at: At) {
    let details = Some(json!({ "name": record.name }));
    desk.audit.note(&Event { what, user, subject: &record.user, from, details }, at.utc.millis());
}

pub(super) fn sessions(call: &mut Call<'_>) -> Result<Reply, Fault> {
    list(call, Kind::Session, "sessions")
}

pub(super) fn end_session(call: &mut Call<'_>) -> Result<Reply, Fault> {
    end(call, Kind::Session, "session ended")
}

pub(super) fn tokens(call: &mut Call<'_>) -> Result<Reply, Fault> {
    list(call, Kind::Token, "tokens")
}

pub(super) fn end_token(call: &mut Call<'_>) -> Result<Reply, Fault> {
    end(call, Kind::Token, "token ended")
}

/// Makes a token for a program: `name`, `expires_in` in seconds, and a `role` that limits it.
pub(super) fn make_token(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if let Err(reply) = known(call) {
        return Ok(reply);
    }
    let mut members = Members::of(&call.request.body)?;
    let name = members.text("name")?.unwrap_or_default();
    let life = members.number("expires_in", 1, MAX_LIFE)?;
    let role = members.text("role")?;
    members.end()?;
    if let Some(hash) = &call.who.token {
        // A token that is limited must not make one that is not.
        let table = call.desk.door.users();
        if table.token(hash, call.at.utc.millis()).is_some_and(|t| t.rights.is_some()) {
            let message = "a token that is limited to a role makes no others";
            return Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", message));
        }
    }
    let now_ms = call.at.utc.millis();
    let expires = life.map_or(0, |life| now_ms + life * 1000);
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    let by = user.clone();
    call.desk.change_accounts(
        call.key,
        {
            let from = from.clone();
            move |all| all.lock().make_token(&user, &name, role.as_deref(), &from, expires, now_ms)
        },
        move |desk, begun, at| {
            note(desk, "token made", &by, &begun.record, &from, at);
            let mut data = shown(&Token::hash(&begun.token), &begun.record, None);
            data["token"] = json!(*begun.token);
            let body = json!({
                "status": "success",
                "token": *begun.token,
                "data": data,
                "timestamp": at.utc.millis(),
            });
            Ok(Response::json(200, &body))
        },
    )?;
    Ok(Reply::Later)
}
