//! Starting again, the way back to the factory, and the whole configuration as one file.

use super::{Call, Reply};
use crate::accounts;
use crate::audit::Event;
use crate::board::{Result1, propose};
use crate::desk::Desk;
use crate::external;
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use crate::http::{At, json};
use crate::settings::{self, By};
use crate::store::{Import, Secrets, Store, StoreError};
use crate::tls::{self, Pair};
use lensd_ffi::auth::Role;
use lensd_ffi::link::Report;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// By what the certificate is known among the secrets of an export.
const CERTIFICATE: &str = "tls/certificate";
/// Its key.
const KEY: &str = "tls/key";

/// Sets a key that does something, as every other way of setting it would.
fn act(call: &mut Call<'_>, name: &'static str, what: &'static str) -> Result<Reply, Fault> {
    let change = [(name.to_owned(), Value::Bool(true))];
    let items = propose(&call.desk.board, change, |access| call.who.allows(access));
    let (key, user, from) = (call.key, call.who.user.clone(), call.peer.ip().to_string());
    let by = user.clone();
    let then = move |desk: &mut Desk, results: Vec<Result1>, at: At| {
        let outcome = results.into_iter().next().map(|r| r.outcome);
        let response = match outcome {
            Some(Ok(_)) => {
                let event = Event { what, user: &by, from: &from, ..Event::default() };
                desk.audit.note(&event, at.utc.millis());
                Response::success(json!({ "begun": what }), at)
            }
            Some(Err(why)) => why.fault().response(at),
            None => Fault::unavailable("BUSY", "nothing was begun").response(at),
        };
        desk.answer_later(key, response);
    };
    settings::set(call.desk, items, false, By::user(&user), call.at, then);
    Ok(Reply::Later)
}

pub(super) fn restart(call: &mut Call<'_>) -> Result<Reply, Fault> {
    Members::of(&call.request.body)?.end()?;
    act(call, "restart", "restart")
}

pub(super) fn reboot(call: &mut Call<'_>) -> Result<Reply, Fault> {
    Members::of(&call.request.body)?.end()?;
    act(call, "reboot", "reboot")
}

/// Nobody comes here by mistake: the body says that it is meant.
pub(super) fn reset(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    if members.any("confirm") != Some(Value::Bool(true)) {
        let message = "settings, users and certificates are lost by that, and nothing but recordings with their tags and categories stays; if it is meant, send {\"confirm\": true}";
        return Err(Fault::invalid_value("confirm", message));
    }
    members.end()?;
    act(call, "factory-reset", "factory reset")
}

/// The one map from what the store refuses to HTTP.
fn refused(why: StoreError) -> Fault {
    match why {
        StoreError::Refused(why) => Fault::invalid_value("configuration", why),
        StoreError::NoRoom(why) => Fault::unavailable("INSUFFICIENT_STORAGE", why),
        why => Fault::new(500, "INTERNAL", "Internal error", why.to_string()),
    }
}

fn note(desk: &mut Desk, what: &str, user: &str, from: &str, secrets: bool, at: At) {
    let details = Some(json!({ "secrets": secrets }));
    desk.audit.note(&Event { what, user, from, details, ..Event::default() }, at.utc.millis());
}

/// What an export holds, and what an import can make of users and roles, is the administrator's:
/// less than all rights would be a detour to them.
fn administers(call: &Call<'_>) -> Result<(), Fault> {
    if call.who.rights.contain(Role::Administrator.rights()) {
        return Ok(());
    }
    let message = "the whole configuration, with users and roles, is for administrators only";
    Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", message))
}

/// The whole configuration; its secrets only under a passphrase.
pub(super) fn export(call: &mut Call<'_>) -> Result<Reply, Fault> {
    administers(call)?;
    let mut members = Members::of(&call.request.body)?;
    let passphrase = members.password("passphrase")?;
    members.end()?;
    let store = std::sync::Arc::clone(&call.desk.store);
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    let secrets = passphrase.is_some();
    let identity = call.desk.identity.folder().to_owned();
    call.desk.answer_by_work(
        call.key,
        move || {
            let mut more = Secrets::new();
            if let Some(Pair { certificate, key }) = tls::brought(&identity) {
                more.insert(CERTIFICATE.to_owned(), Zeroizing::new(certificate.into_bytes()));
                more.insert(KEY.to_owned(), Zeroizing::new(key.into_bytes()));
            }
            let mut made = store.export(passphrase.as_ref().map(|p| p.as_str()), &more)?;
            made["cameras"] = json!(external::export(&store));
            Ok(made)
        },
        move |desk, made, at| {
            let made = made.map_err(|why: StoreError| match why {
                StoreError::Refused(why) => Fault::invalid_value("passphrase", why),
                why => refused(why),
            })?;
            note(desk, "configuration exported", &user, &from, secrets, at);
            let name = "attachment; filename=\"lensd-configuration.json\"";
            Ok(Response::json(200, &made).header("Content-Disposition", name))
        },
    )?;
    Ok(Reply::Later)
}

/// Checks all of an import, then puts it in the place of what is here: all of it or nothing.
fn put_in_place(store: &Store, identity: &Path, mut import: Import) -> Result<(), StoreError> {
    let pair = pair_of(&mut import)?;
    accounts::check_import(&mut import).map_err(StoreError::Refused)?;
    settings::check_import(&mut import).map_err(StoreError::Refused)?;
    let secret = format!("secret/{}", external::SECRET);
    let open = import.secrets.remove(&secret);
    if let Some(listed) = import.cameras.take() {
        let open = open.as_ref().map(|open| open.as_slice());
        let list = external::check(store, listed, open).map_err(StoreError::Refused)?;
        import.secrets.insert(secret, external::text(&list));
    }
    let Some(pair) = pair else { return store.import(&import) };
    // The only part that is not in the store's transaction.
    let failed = |e: io::Error| StoreError::Io(format!("the certificate cannot be stored: {e}"));
    let before = tls::read(identity);
    tls::store(identity, &pair).map_err(failed)?;
    store.import(&import).inspect_err(|_| {
        if let Err(e) = before.and_then(|pair| tls::store(identity, &pair)) {
            tracing::error!("the certificate that was there is lost: {e}");
        }
    })
}

/// The certificate of an import, if it has one.
fn pair_of(import: &mut Import) -> Result<Option<Pair>, StoreError> {
    let mut text = |name: &str| import.secrets.remove(name);
    let (Some(certificate), Some(key)) = (text(CERTIFICATE), text(KEY)) else { return Ok(None) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pair = Pair { certificate: text(&certificate), key: text(&key) };
    tls::config(&pair).map_err(|why| StoreError::Refused(why.message))?;
    Ok(Some(pair))
}

/// Takes an export, as it is or as `{"configuration": …, "passphrase": …}`, and starts again with
/// it.
pub(super) fn import(call: &mut Call<'_>) -> Result<Reply, Fault> {
    administers(call)?;
    let mut body = json::object(&call.request.body)?;
    let mut passphrase = None;
    if let Some(inner) = body.remove("configuration") {
        passphrase = match body.remove("passphrase") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(Zeroizing::new(text)),
            Some(_) => return Err(Fault::invalid_value("passphrase", "it must be a string")),
        };
        let Value::Object(inner) = inner else {
            return Err(Fault::invalid_value("configuration", "it must be an object"));
        };
        if let Some(key) = body.keys().next() {
            return Err(Fault::invalid_value(key, format!("the key {key:?} is not known here")));
        }
        body = inner;
    }
    let store = std::sync::Arc::clone(&call.desk.store);
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    let secrets = passphrase.is_some();
    let identity = call.desk.identity.folder().to_owned();
    let value = Value::Object(body);
    call.desk.answer_by_work(
        call.key,
        move || {
            let import = Import::read(value, passphrase.as_ref().map(|p| p.as_str()))?;
            put_in_place(&store, &identity, import)
        },
        move |desk, made, at| {
            made.map_err(refused)?;
            note(desk, "configuration imported", &user, &from, secrets, at);
            // What every room holds of the old one is not worth finding.
            desk.reports.push(Report::Restart);
            Ok(Response::success(json!({ "imported": true, "begun": "restart" }), at))
        },
    )?;
    Ok(Reply::Later)
}
