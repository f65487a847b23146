//! Users and roles.
//!
//! Nobody gives more than he has, and nobody changes who has more: else whoever may change users
//! would be an administrator by a detour.

use super::login::known;
use super::{Call, Reply};
use crate::accounts::{Accounts, Credential, Record, Refusal, is_password};
use crate::audit::Event;
use crate::desk::Desk;
use crate::http::At;
use crate::http::auth::{forbidden, wrong};
use crate::http::body::{self, Members};
use crate::http::respond::{Fault, Response};
use lensd_ffi::auth::{Access, Permission, Rights};
use parking_lot::Mutex;
use serde_json::{Value, json};

const READ: Access = Access::read(Permission::User);
const WRITE: Access = Access::write(Permission::User);

fn shown(accounts: &Accounts, name: &str, record: &Record) -> Value {
    json!({
        "username": name,
        "role": record.role,
        "permissions": accounts.rights(record),
        "own_permissions": record.permissions,
        "created": record.created,
        "changed": record.changed,
    })
}

/// What a job refuses.
enum No {
    Refusal(Refusal),
    Fault(Fault),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What the audit log says of a change.
struct Change {
    what: &'static str,
    subject: String,
    details: Option<Value>,
}

/// Lets a worker do it and answers with what it made. A change is written down.
fn work(
    call: &mut Call<'_>,
    change: Option<Change>,
    job: impl FnOnce(&Mutex<Accounts>) -> Result<Value, No> + Send + 'static,
) -> Result<Reply, Fault> {
    let (user, from, key) = (call.who.user.clone(), call.peer.ip().to_string(), call.key);
    call.desk.with_accounts(job, move |desk: &mut Desk, made, at| {
        let response = match made {
            Ok(Ok(data)) => {
                if let Some(Change { what, subject, details }) = change {
                    let event =
                        Event { what, user: &user, subject: &subject, from: &from, details };
                    desk.audit.note(&event, at.utc.millis());
                }
                Response::success(data, at)
            }
            Ok(Err(No::Refusal(refusal))) => crate::desk::refused(&refusal).response(at),
            Ok(Err(No::Fault(fault))) | Err(fault) => fault.response(at),
        };
        desk.answer_later(key, response);
    })?;
    Ok(Reply::Later)
}

fn beyond() -> Fault {
    let message = "this is more than you may do yourself; ask an administrator";
    Fault::new(403, "PERMISSION_DENIED", "Permission denied", message)
}

fn check_reach(caller: Rights, wanted: Rights) -> Result<(), No> {
    if caller.contain(wanted) { Ok(()) } else { Err(beyond().into()) }
}

/// Whether the caller may change this user, as he is.
fn check_target(accounts: &Accounts, caller: Rights, name: &str) -> Result<(), No> {
    let record = accounts.user(name)?;
    check_reach(caller, accounts.rights(record))
}

fn name(call: &Call<'_>) -> String {
    call.params.find("name").unwrap_or_default().to_owned()
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    work(call, None, |all| {
        let all = all.lock();
        let users: Vec<Value> = all.users().iter().map(|(n, r)| shown(&all, n, r)).collect();
        Ok(json!({ "users": users }))
    })
}

/// One's own record may be read by everybody who has one.
fn may_read(call: &Call<'_>, name: &str) -> Result<(), Result<Reply, Fault>> {
    known(call).map_err(Ok)?;
    if call.who.user == name || call.who.allows(READ) {
        return Ok(());
    }
    Err(Err(forbidden(READ)))
}

pub(super) fn one(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = name(call);
    if let Err(reply) = may_read(call, &name) {
        return reply;
    }
    work(call, None, move |all| {
        let all = all.lock();
        Ok(shown(&all, &name, all.user(&name)?))
    })
}

pub(super) fn permissions(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = name(call);
    if let Err(reply) = may_read(call, &name) {
        return reply;
    }
    work(call, None, move |all| {
        let all = all.lock();
        let record = all.user(&name)?;
        Ok(json!({
            "username": name,
            "role": record.role,
            "permissions": all.rights(record),
            "own_permissions": record.permissions,
        }))
    })
}

pub(super) fn add(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let name = match members.text("username")? {
        Some(name) => name,
        None => members
            .text("name")?
            .ok_or_else(|| Fault::invalid_value("username", "username is missing"))?,
    };
    let password = members.password("password")?;
    let password =
        password.ok_or_else(|| Fault::invalid_value("password", "password is missing"))?;
    let role = members.text("role")?.unwrap_or_else(|| "viewer".to_owned());
    let rights = members.rights("permissions")?.unwrap_or_default();
    members.end()?;
    let (caller, now_ms) = (call.who.rights, call.at.utc.millis());
    let details = Some(json!({ "role": role, "permissions": rights }));
    let change = Change { what: "user added", subject: name.clone(), details };
    work(call, Some(change), move |all| {
        let wanted = all.lock().role(&role).unwrap_or_default().or(rights);
        check_reach(caller, wanted)?;
        let credential = Credential::make(&name, &password)?;
        let mut all = all.lock();
        all.add(&name, &role, rights, &credential, now_ms)?;
        Ok(shown(&all, &name, all.user(&name)?))
    })
}

/// `role`, `permissions`, `password`: what is there is changed.
pub(super) fn change(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let role = members.text("role")?;
    let rights = members.rights("permissions")?;
    let password = members.password("password")?;
    members.end()?;
    let subject = name(call);
    let mut details = json!({});
    if let Some(role) = &role {
        details["role"] = json!(role);
    }
    if let Some(rights) = rights {
        details["permissions"] = json!(rights);
    }
    if password.is_some() {
        details["password"] = json!("changed");
    }
    let change = Change { what: "user changed", subject: subject.clone(), details: Some(details) };
    let (caller, now_ms) = (call.who.rights, call.at.utc.millis());
    work(call, Some(change), move |all| {
        let credential = password.map(|p| Credential::make(&subject, &p)).transpose()?;
        let mut all = all.lock();
        check_target(&all, caller, &subject)?;
        let record = all.user(&subject)?;
        let role_rights = all.role(role.as_ref().unwrap_or(&record.role)).unwrap_or_default();
        check_reach(caller, role_rights.or(rights.unwrap_or(record.permissions)))?;
        all.change(&subject, role.as_deref(), rights, now_ms)?;
        if let Some(credential) = credential {
            all.set_password(&subject, &credential, now_ms)?;
        }
        Ok(shown(&all, &subject, all.user(&subject)?))
    })
}

/// A list, bare or as `permissions`.
pub(super) fn set_permissions(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let rights = bare_or_named(&call.request.body)?;
    let subject = name(call);
    let details = Some(json!({ "permissions": rights }));
    let change = Change { what: "user changed", subject: subject.clone(), details };
    let (caller, now_ms) = (call.who.rights, call.at.utc.millis());
    work(call, Some(change), move |all| {
        let mut all = all.lock();
        check_target(&all, caller, &subject)?;
        check_reach(caller, rights)?;
        all.change(&subject, None, Some(rights), now_ms)?;
        Ok(shown(&all, &subject, all.user(&subject)?))
    })
}

fn bare_or_named(body: &[u8]) -> Result<Rights, Fault> {
    let value = body::value(body)?;
    if value.is_array() {
        return body::rights(&value);
    }
    let mut members = Members::of(body)?;
    let rights = members.rights("permissions")?;
    members.end()?;
    rights.ok_or_else(|| Fault::invalid_value("permissions", "permissions is missing"))
}

pub(super) fn remove(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let subject = name(call);
    let change = Change { what: "user removed", subject: subject.clone(), details: None };
    let caller = call.who.rights;
    work(call, Some(change), move |all| {
        let mut all = all.lock();
        check_target(&all, caller, &subject)?;
        all.remove(&subject)?;
        Ok(json!({ "username": subject, "removed": true }))
    })
}

/// One's own password with the old one, or anybody's by who may change users.
pub(super) fn set_password(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if let Err(reply) = known(call) {
        return Ok(reply);
    }
    let subject = name(call);
    let administers = call.who.allows(WRITE);
    if subject != call.who.user && !administers {
        return Err(forbidden(WRITE));
    }
    let mut members = Members::of(&call.request.body)?;
    let new = members.password("password")?;
    let new = new.ok_or_else(|| Fault::invalid_value("password", "password is missing"))?;
    let old = members.password("old_password")?;
    members.end()?;
    let from = call.peer.ip();
    if old.is_none() && !administers {
        return Err(Fault::invalid_value("old_password", "the old password is needed"));
    }
    if old.is_some() {
        // It could be guessed here as well as at the log-in.
        call.desk.door.check_lock(&subject, from, call.at)?;
    }
    let (caller, now_ms, key) = (call.who.rights, call.at.utc.millis(), call.key);
    let user = call.who.user.clone();
    let name = subject.clone();
    let job = move |all: &Mutex<Accounts>| -> Result<bool, No> {
        if old.is_some_and(|old| !is_password(all, &name, &old)) {
            return Ok(false);
        }
        let credential = Credential::make(&name, &new)?;
        let mut all = all.lock();
        if administers {
            check_target(&all, caller, &name)?;
        }
        all.set_password(&name, &credential, now_ms)?;
        Ok(true)
    };
    call.desk.with_accounts(job, move |desk: &mut Desk, made, at: At| {
        let response = match made {
            Ok(Ok(true)) => {
                let event = Event {
                    what: "password changed",
                    user: &user,
                    subject: &subject,
                    from: &from.to_string(),
                    details: None,
                };
                desk.audit.note(&event, at.utc.millis());
                Response::success(json!({ "username": subject, "changed": true }), at)
            }
            Ok(Ok(false)) => {
                desk.door.note_login(&subject, false, from, at);
                Fault { key: Some("old_password".into()), ..wrong() }.response(at)
            }
            Ok(Err(No::Refusal(refusal))) => crate::desk::refused(&refusal).response(at),
            Ok(Err(No::Fault(fault))) | Err(fault) => fault.response(at),
        };
        desk.answer_later(key, response);
    })?;
    Ok(Reply::Later)
}

fn role(name: &str, rights: Rights) -> Value {
    let built_in = lensd_ffi::auth::Role::parse(name).is_some();
    json!({ "name": name, "permissions": rights, "built_in": built_in })
}

pub(super) fn roles(call: &mut Call<'_>) -> Result<Reply, Fault> {
    work(call, None, |all| {
        let roles = all.lock().roles();
        let roles: Vec<Value> = roles.iter().map(|(n, r)| role(n, *r)).collect();
        Ok(json!({ "roles": roles }))
    })
}

pub(super) fn one_role(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = name(call);
    work(call, None, move |all| {
        let found = all.lock().role(&name);
        let rights =
            found.ok_or_else(|| Refusal::NotFound(format!("there is no role {name:?}")))?;
        Ok(role(&name, rights))
    })
}

pub(super) fn add_role(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let name = members.needed("name")?;
    let rights = members.rights("permissions")?.unwrap_or_default();
    members.end()?;
    put(call, name, rights, true)
}

pub(super) fn put_role(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let rights = bare_or_named(&call.request.body)?;
    let name = name(call);
    put(call, name, rights, false)
}

fn put(call: &mut Call<'_>, name: String, rights: Rights, new: bool) -> Result<Reply, Fault> {
    let details = Some(json!({ "permissions": rights }));
    let change = Change { what: "role changed", subject: name.clone(), details };
    let caller = call.who.rights;
    work(call, Some(change), move |all| {
        let mut all = all.lock();
        let before = all.role(&name);
        if new && before.is_some() {
            return Err(Refusal::Conflict(format!("there is a role {name:?} already")).into());
        }
        check_reach(caller, rights.or(before.unwrap_or_default()))?;
        all.put_role(&name, rights)?;
        Ok(role(&name, rights))
    })
}

pub(super) fn remove_role(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let name = name(call);
    let change = Change { what: "role removed", subject: name.clone(), details: None };
    work(call, Some(change), move |all| {
        all.lock().remove_role(&name)?;
        Ok(json!({ "name": name, "removed": true }))
    })
}
