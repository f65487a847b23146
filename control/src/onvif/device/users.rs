//! Users and their levels (ONVIF Core 8.4): the levels are the roles. As over REST, nobody gives
//! more than he has and nobody changes who has more.

use crate::accounts::{Accounts, Credential, Refusal};
use crate::audit::Event;
use crate::onvif::call::{Answer, Call, Done, needed, not_done};
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::auth::{Access, Permission, Rights, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// What one needs besides what the operations' class asks for.
const WRITE: Access = Access::write(Permission::User);
/// Longest name.
const MAX_NAME: usize = 64;
/// Most users of one request: hashing a password takes a while.
const MAX_AT_ONCE: usize = 10;

/// The level of a role (`tt:UserLevel`). A role of one's own making is none of ONVIF's.
fn level(role: &str) -> &'static str {
    match Role::parse(role) {
        Some(Role::Administrator) => "Administrator",
        Some(Role::Operator) => "Operator",
        Some(Role::Viewer) => "User",
        Some(Role::Guest) => "Anonymous",
        None => "Extended",
    }
}

fn role(level: &str) -> Result<Role, Fault> {
    match level {
        "Administrator" => Ok(Role::Administrator),
        "Operator" => Ok(Role::Operator),
        "User" => Ok(Role::Viewer),
        "Anonymous" => Err(Fault::prohibited(
            "ter:AnonymousNotAllowed",
            "nobody is a user of the level Anonymous: it is what holds without a login",
        )),
        _ => Err(Fault::invalid_args("UserLevel is Administrator, Operator or User")),
    }
}

/// `GetUsers`: names and levels, never passwords.
pub(super) fn list(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetUsersResponse");
    for user in &call.desk.door.users().users {
        w.open("tds:User").leaf("tt:Username", &user.name);
        w.leaf("tt:UserLevel", level(&user.role)).close();
    }
    w.close();
    Ok(Done::Now)
}

/// A user as a request has it.
struct Wanted {
    name: String,
    password: Option<Zeroizing<String>>,
    role: Role,
}

fn wanted(asked: Node<'_>) -> Result<Vec<Wanted>, Fault> {
    let mut all: Vec<Wanted> = Vec::new();
    for user in asked.all("User") {
        let name = needed(user, "Username")?.to_owned();
        if name.len() > MAX_NAME {
            let why = format!("a name has at most {MAX_NAME} characters");
            return Err(Fault::prohibited("ter:UsernameTooLong", why));
        }
        if all.iter().any(|w| w.name == name) {
            let why = format!("the user {name} stands here twice");
            return Err(Fault::prohibited("ter:UsernameClash", why));
        }
        let password = user.child("Password").map(|p| Zeroizing::new(p.raw_text().to_owned()));
        let password = password.filter(|p| !p.is_empty());
        all.push(Wanted { name, password, role: role(needed(user, "UserLevel")?)? });
    }
    if all.is_empty() || all.len() > MAX_AT_ONCE {
        return Err(Fault::invalid_args(format!("give 1 to {MAX_AT_ONCE} users")));
    }
    Ok(all)
}

fn reach(caller: Rights, wanted: Rights) -> Result<(), Fault> {
    if caller.contain(wanted) {
        return Ok(());
    }
    let why = "Sender not Authorized: this is more than you may do yourself";
    Err(Fault::not_authorized(why))
}

/// Whether the caller may change this user, as he is.
fn target(all: &Accounts, caller: Rights, name: &str) -> Result<(), Fault> {
    let record = all.user(name).map_err(|why| not_done(&why))?;
    reach(caller, all.rights(record))
}

/// Who did what, for the audit log.
fn changes(call: &Call<'_>, what: &'static str, subjects: Vec<(String, Value)>) -> Changes {
    let from = call.from.peer.ip().to_string();
    Changes { what, user: call.who.user.clone(), from, subjects }
}

struct Changes {
    what: &'static str,
    user: String,
    from: String,
    subjects: Vec<(String, Value)>,
}

impl Changes {
    fn note(self, desk: &mut crate::desk::Desk, now_ms: i64) {
        let Self { what, user, from, subjects } = self;
        for (subject, details) in subjects {
            let details = Some(details).filter(|d| !d.is_null());
            let event = Event { what, user: &user, subject: &subject, from: &from, details };
            desk.audit.note(&event, now_ms);
        }
    }
}

/// `CreateUsers`: all or none.
pub(super) fn create(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    call.needs(WRITE)?;
    let users = wanted(asked)?;
    let noted = users.iter().map(|u| (u.name.clone(), json!({ "role": u.role.name() })));
    let noted = changes(call, "user added", noted.collect());
    let (caller, now_ms) = (call.who.rights, call.at.utc.millis());
    let job = move |accounts: &parking_lot::Mutex<Accounts>| {
        let mut made = Vec::new();
        for user in users {
            reach(caller, user.role.rights())?;
            if accounts.lock().users().contains_key(&user.name) {
                let why = format!("there is a user {} already", user.name);
                return Err(Fault::prohibited("ter:UsernameClash", why));
            }
            let password = user.password.as_ref().map_or("", |p| p.as_str());
            let credential =
                Credential::make(&user.name, password).map_err(|why| not_done(&why))?;
            made.push((user.name, user.role, credential));
        }
        let mut all = accounts.lock();
        for (i, (name, role, credential)) in made.iter().enumerate() {
            if let Err(why) = all.add(name, role.name(), Rights::NONE, credential, now_ms) {
                for (name, ..) in &made[..i] {
                    let _ = all.remove(name);
                }
                return Err(match why {
                    Refusal::Conflict(why) => Fault::prohibited("ter:TooManyUsers", why),
                    why => not_done(&why),
                });
            }
        }
        Ok(())
    };
    call.accounts(job, move |desk, (), w, at| {
        noted.note(desk, at.utc.millis());
        w.empty("tds:CreateUsersResponse");
        Ok(())
    })
}

/// `SetUser`: level, and password if there is one; all or none.
pub(super) fn set(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    call.needs(WRITE)?;
    let users = wanted(asked)?;
    let details = |u: &Wanted| {
        let mut details = json!({ "role": u.role.name() });
        if u.password.is_some() {
            details["password"] = json!("changed");
        }
        (u.name.clone(), details)
    };
    let noted = changes(call, "user changed", users.iter().map(details).collect());
    let (caller, now_ms) = (call.who.rights, call.at.utc.millis());
    let job = move |accounts: &parking_lot::Mutex<Accounts>| {
        let mut made = Vec::new();
        for user in users {
            target(&accounts.lock(), caller, &user.name)?;
            reach(caller, user.role.rights())?;
            let credential = user.password.map(|p| Credential::make(&user.name, &p)).transpose();
            made.push((user.name, user.role, credential.map_err(|why| not_done(&why))?));
        }
        accounts.lock().change_all(&made, now_ms).map_err(|why| not_done(&why))
    };
    call.accounts(job, move |desk, (), w, at| {
        noted.note(desk, at.utc.millis());
        w.empty("tds:SetUserResponse");
        Ok(())
    })
}

/// `DeleteUsers`: all or none.
pub(super) fn delete(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    call.needs(WRITE)?;
    // Whoever stands there twice is one user.
    let names: BTreeSet<String> = asked.all("Username").map(|n| n.text().to_owned()).collect();
    if names.is_empty() {
        return Err(Fault::invalid_args("Username is missing"));
    }
    let noted = names.iter().map(|n| (n.clone(), Value::Null)).collect();
    let noted = changes(call, "user removed", noted);
    let caller = call.who.rights;
    let job = move |accounts: &parking_lot::Mutex<Accounts>| {
        let mut all = accounts.lock();
        for name in &names {
            target(&all, caller, name)?;
        }
        let administrator = |r: &str| r == Role::Administrator.name();
        let stays = |(name, record): (&String, &crate::accounts::Record)| {
            administrator(&record.role) && !names.contains(name)
        };
        if !all.users().iter().any(stays) {
            let why = "the last administrator stays; make another one first";
            return Err(Fault::prohibited("ter:FixedUser", why));
        }
        for name in &names {
            all.remove(name).map_err(|why| not_done(&why))?;
        }
        Ok(())
    };
    call.accounts(job, move |desk, (), w, at| {
        noted.note(desk, at.utc.millis());
        w.empty("tds:DeleteUsersResponse");
        Ok(())
    })
}
