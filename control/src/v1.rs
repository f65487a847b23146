//! `/api/v1`: settings and measured values as messages (SURFACE section 4).
//!
//! A message is one JSON object: a login, a question, a subscription, or changes. Every change
//! that was taken is confirmed to whoever made it and told to all others who may read the key;
//! what merely fluctuates is told only to who has subscribed to it.

mod frames;

pub(crate) use frames::{follow, show};

use crate::board::{MOST_KEYS, Refusal, Result1, known, propose};
use crate::clients::{Client, Queue};
use crate::desk::{ConnKey, Desk};
use crate::face::Face;
use crate::http::At;
use crate::http::auth::Who;
use crate::http::respond::Fault;
use crate::login::{Attempt, log_in};
use crate::settings::{self, By};
use crate::ws::frame_text;
use lensd_ffi::auth::{Access, Users};
use lensd_ffi::settings::{Entry, entries, find};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Most messages of a client that wait for the one before, and their bytes.
const MOST_WAITING: usize = 1_000;
const MOST_BYTES: usize = 1 << 20;

/// The face.
pub(crate) static FACE: Face = Face {
    protocols: &["lensd.v1"],
    on_open: open,
    on_text: text,
    on_binary: binary,
    on_close: close,
};

fn open(desk: &mut Desk, key: ConnKey, peer: SocketAddr, who: &Who, _: At) {
    let (who, class) = (who.clone(), class_of(who));
    let until_ms = end_of(desk.door.users(), &who);
    let (pictures, queue) = (None, Queue::default());
    let client = Client { peer, who, until_ms, class, measured: false, pictures, queue };
    desk.clients.map.insert(key, client);
}

/// When a login's token ends, if it does.
fn end_of(users: &Users, who: &Who) -> Option<i64> {
    let hash = who.token.as_deref()?;
    // A token that is over already was one that ended.
    users.tokens.iter().find(|t| t.sha256 == hash).map(|t| t.expires_ms).filter(|at| *at > 0)
}

fn class_of(who: &Who) -> Arc<str> {
    who.rights.names().join(" ").into()
}

fn close(desk: &mut Desk, key: ConnKey, at: At) {
    if let Some(client) = desk.clients.map.remove(&key)
        && let Some(watched) = client.pictures
    {
        desk.engine.unwatch(&watched.stream, at.mono);
    }
}

fn binary(desk: &mut Desk, key: ConnKey, _: &[u8], _: At) {
    say(desk, key, &error("Invalid message", None, "messages are JSON texts"));
}

fn say(desk: &mut Desk, key: ConnKey, message: &Value) {
    desk.outbox.send(key, frame_text(&message.to_string()));
}

fn error(error: &str, key: Option<&str>, message: &str) -> Value {
    let mut out = json!({ "error": error });
    if let Some(key) = key {
        // A name that nobody knows may be anything.
        out["key"] = json!(key.chars().take(128).collect::<String>());
    }
    if !message.is_empty() {
        out["message"] = json!(message);
    }
    out
}

fn refusal(name: &str, why: &Refusal) -> Value {
    error(why.error(), Some(name), &why.message())
}

/// A message: its turn comes when those before it are answered.
fn text(desk: &mut Desk, key: ConnKey, text: &str, at: At) {
    let Some(client) = desk.clients.map.get_mut(&key) else { return };
    let queue = &mut client.queue;
    let many = queue.waiting.len() >= MOST_WAITING || queue.bytes + text.len() > MOST_BYTES;
    if queue.busy && many {
        let why = "too many messages wait for the one before; wait for answers";
        return say(desk, key, &error("Service unavailable", None, why));
    }
    queue.bytes += text.len();
    queue.waiting.push_back(text.to_owned());
    turn(desk, key, at);
}

/// Goes through the messages that wait, up to one that takes its time.
fn turn(desk: &mut Desk, key: ConnKey, at: At) {
    loop {
        let Some(client) = desk.clients.map.get_mut(&key) else { return };
        let queue = &mut client.queue;
        if queue.busy || queue.turning {
            return;
        }
        let Some(text) = queue.waiting.pop_front() else { return };
        queue.bytes -= text.len();
        queue.turning = true;
        take(desk, key, &text, at);
        if let Some(client) = desk.clients.map.get_mut(&key) {
            client.queue.turning = false;
        }
    }
}

/// A message takes its time: those after it wait.
fn wait_for_it(desk: &mut Desk, key: ConnKey) {
    if let Some(client) = desk.clients.map.get_mut(&key) {
        client.queue.busy = true;
    }
}

/// It has its answer.
fn go_on(desk: &mut Desk, key: ConnKey, at: At) {
    if let Some(client) = desk.clients.map.get_mut(&key) {
        client.queue.busy = false;
        turn(desk, key, at);
    }
}

fn take(desk: &mut Desk, key: ConnKey, text: &str, at: At) {
    let message = match crate::http::json::object(text.as_bytes()) {
        Ok(message) => message,
        Err(fault) => return say(desk, key, &error("Invalid message", None, &fault.message)),
    };
    if message.len() > MOST_KEYS {
        return say(desk, key, &error("Invalid message", None, &too_many()));
    }
    let has = |name: &str| message.contains_key(name);
    if has("username") || has("password") || has("token") {
        let with = if has("token") { "token" } else { "password" };
        let also: &[&str] = &["username", with];
        refuse_rest(desk, key, &message, "login", also);
        login(desk, key, &message, at);
    } else if let Some(wanted) = message.get("get") {
        refuse_rest(desk, key, &message, "get", &["get"]);
        get(desk, key, wanted);
    } else if has("subscribe") || has("unsubscribe") {
        let what = if has("subscribe") { "subscribe" } else { "unsubscribe" };
        let frames = message.get(what).and_then(Value::as_str) == Some("frames");
        let also: &[&str] = if frames { &[what, "format", "stream"] } else { &[what] };
        refuse_rest(desk, key, &message, what, also);
        subscribe(desk, key, &message, at);
    } else {
        change(desk, key, in_order(message, text), at);
    }
}

/// Members in the order in which they were written.
fn in_order(mut message: Map<String, Value>, text: &str) -> Vec<(String, Value)> {
    let names = crate::http::json::names(text.as_bytes());
    names.iter().filter_map(|name| message.remove_entry(name)).collect()
}

fn too_many() -> String {
    format!("a message has at most {MOST_KEYS} keys; send several")
}

/// Members that have no place in a message of its meaning: none is passed over in silence.
fn refuse_rest(
    desk: &mut Desk,
    key: ConnKey,
    message: &Map<String, Value>,
    meaning: &str,
    also: &[&str],
) {
    let why = format!("nothing was done with it: the message has {meaning}; send another for this");
    for name in message.keys().filter(|name| !also.contains(&name.as_str())) {
        say(desk, key, &error("Invalid message", Some(name), &why));
    }
}

fn login(desk: &mut Desk, key: ConnKey, message: &Map<String, Value>, at: At) {
    let Some(client) = desk.clients.map.get(&key) else { return };
    let peer = client.peer.ip();
    let word = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
    let token = word("token");
    match (token, word("username"), word("password")) {
        (Some(token), name, _) => {
            let outcome = desk.door.admit_token(&token, peer, at).and_then(|who| {
                match name.is_none_or(|name| name == who.user) {
                    true => Ok((who, token)),
                    false => Err(Fault::new(
                        401,
                        "UNAUTHORIZED",
                        "Unauthorized",
                        "the token is another user's: leave username out, or give the token's",
                    )),
                }
            });
            logged_in(desk, key, outcome, at);
        }
        (None, Some(name), Some(password)) => {
            let (password, agent) = (password.into(), "WebSocket".to_owned());
            let attempt = Attempt { name, password, from: peer, agent };
            wait_for_it(desk, key);
            let begun = log_in(desk, attempt, at, move |desk, outcome, at| {
                let outcome = outcome.map(|login| (login.who, login.token.to_string()));
                logged_in(desk, key, outcome, at);
                go_on(desk, key, at);
            });
            if let Err(fault) = begun {
                logged_in(desk, key, Err(fault), at);
                go_on(desk, key, at);
            }
        }
        _ => {
            let why = "a login is {\"username\", \"password\"} or {\"token\"}, all of them texts";
            let answer =
                json!({ "authenticated": false, "error": "Invalid message", "message": why });
            say(desk, key, &answer);
        }
    }
}

/// Says how a login went. The connection may have gone while the password was checked.
fn logged_in(desk: &mut Desk, key: ConnKey, outcome: Result<(Who, String), Fault>, at: At) {
    if outcome.is_err() {
        // It was somebody before: it is told that it is nobody, and so it is.
        become_guest(desk, key, at);
    }
    let until_ms = outcome.as_ref().ok().and_then(|(who, _)| end_of(desk.door.users(), who));
    let Some(client) = desk.clients.map.get_mut(&key) else { return };
    let answer = match outcome {
        Ok((who, token)) => {
            client.class = class_of(&who);
            client.until_ms = until_ms;
            client.who = who;
            desk.outbox.trust(key);
            json!({
                "authenticated": true,
                "user": client.who.user,
                "role": client.who.role,
                "permissions": client.who.rights.names(),
                "token": token,
            })
        }
        Err(fault) => {
            let mut answer = json!({
                "authenticated": false,
                "error": fault.error,
                "code": fault.code,
                "message": fault.message,
            });
            if let Some(secs) = fault.retry_after {
                answer["retry_after"] = json!(secs);
            }
            answer
        }
    };
    say(desk, key, &answer);
}

/// Looks at logins whose tokens have come to their end meanwhile.
pub(crate) fn check_ends(desk: &mut Desk, at: At) {
    let over = |c: &Client| c.until_ms.is_some_and(|until| until <= at.utc.millis());
    if desk.clients.map.values().any(over) {
        check_logins(desk, at);
    }
}

/// Makes guests of those whose login stands no more: the user was changed, the session has ended.
pub(crate) fn check_logins(desk: &mut Desk, at: At) {
    let users = desk.door.users();
    let now_ms = at.utc.millis();
    let guest = users.guest();
    let void = |(_, c): &(&ConnKey, &Client)| match c.who.user.is_empty() {
        true => c.who.rights != guest.rights,
        false => !users.holds(&c.who, now_ms),
    };
    let over: Vec<ConnKey> = desk.clients.map.iter().filter(void).map(|(key, _)| *key).collect();
    // A session that is used lasts longer.
    for client in desk.clients.map.values_mut().filter(|c| c.until_ms.is_some()) {
        client.until_ms = end_of(users, &client.who);
    }
    for key in over {
        // What guests may do has changed: nobody logged in for that.
        if !become_guest(desk, key, at) {
            continue;
        }
        let why = "the session has ended; log in again";
        let answer = json!({ "authenticated": false, "error": "Session ended", "message": why });
        say(desk, key, &answer);
    }
}

/// Leaves a client what everybody may; whether it was logged in.
fn become_guest(desk: &mut Desk, key: ConnKey, at: At) -> bool {
    let guest = desk.door.users().guest();
    let Some(client) = desk.clients.map.get_mut(&key) else { return false };
    let was_user = !client.who.user.is_empty();
    client.class = class_of(&guest);
    client.until_ms = None;
    let pictures = client.pictures.take_if(|_| !guest.allows(Access::LIVE));
    client.who = guest;
    if let Some(watched) = pictures {
        desk.engine.unwatch(&watched.stream, at.mono);
    }
    was_user
}

fn may(desk: &Desk, key: ConnKey) -> impl Fn(Access) -> bool + use<> {
    let who = desk.clients.map.get(&key).map(|c| c.who.clone());
    move |access| who.as_ref().is_some_and(|w| w.allows(access))
}

fn get(desk: &mut Desk, key: ConnKey, wanted: &Value) {
    let may = may(desk, key);
    let mut answer = Map::new();
    let mut refused = Vec::new();
    match wanted {
        Value::String(all) if all == "*" => {
            for entry in entries().iter().filter(|e| !e.key.action && may(e.read())) {
                let value = desk.board.held(entry).value.clone();
                answer.insert(entry.key.name.to_owned(), value);
            }
        }
        Value::Array(names) if names.len() > MOST_KEYS => {
            return say(desk, key, &error("Invalid message", Some("get"), &too_many()));
        }
        Value::Array(names) if names.iter().all(Value::is_string) => {
            let mut suggested = 0;
            for name in names.iter().filter_map(Value::as_str) {
                match known(name, &mut suggested) {
                    Ok(entry) if may(entry.read()) => {
                        let value = desk.board.held(entry).value.clone();
                        answer.insert(name.to_owned(), value);
                    }
                    Ok(entry) => refused.push((name, Refusal::Denied(entry.read()))),
                    Err(why) => refused.push((name, why)),
                }
            }
        }
        _ => {
            let why = "get takes a list of names, or \"*\" for all";
            return say(desk, key, &error("Invalid message", Some("get"), why));
        }
    }
    if !answer.is_empty() || refused.is_empty() {
        say(desk, key, &Value::Object(answer));
    }
    for (name, why) in refused {
        say(desk, key, &refusal(name, &why));
    }
}

fn subscribe(desk: &mut Desk, key: ConnKey, message: &Map<String, Value>, at: At) {
    let on = message.contains_key("subscribe");
    let topic = message.get(if on { "subscribe" } else { "unsubscribe" });
    match topic.and_then(Value::as_str) {
        Some("measured") => {
            if let Some(client) = desk.clients.map.get_mut(&key) {
                client.measured = on;
            }
            let word = if on { "subscribed" } else { "unsubscribed" };
            say(desk, key, &json!({ word: "measured" }));
        }
        Some("frames") => frames::subscribe(desk, key, message, on, at),
        _ => {
            let why = "topics are frames and measured";
            say(desk, key, &error("Invalid value", Some("subscribe"), why));
        }
    }
}

fn change(desk: &mut Desk, key: ConnKey, message: Vec<(String, Value)>, at: At) {
    if message.is_empty() {
        return say(desk, key, &error("Invalid message", None, "the object has no members"));
    }
    let items = propose(&desk.board, message, may(desk, key));
    let user = desk.clients.map.get(&key).map(|c| c.who.user.clone()).unwrap_or_default();
    wait_for_it(desk, key);
    let by = By { origin: Some(key), ..By::user(&user) };
    settings::set(desk, items, false, by, at, move |desk, results, at| {
        confirm(desk, key, &results);
        go_on(desk, key, at);
    });
}

fn confirm(desk: &mut Desk, key: ConnKey, results: &[Result1]) {
    let mut taken = Map::new();
    let mut names = Vec::new();
    for result in results {
        if let Ok(value) = &result.outcome {
            taken.insert(result.name.clone(), value.clone());
            names.push(json!(result.name));
        }
    }
    if !taken.is_empty() {
        taken.insert("info".to_owned(), Value::Array(names));
        say(desk, key, &Value::Object(taken));
    }
    // Somebody else has set it while this one was stored, and was told of first: the last word is
    // what holds.
    let mut since = Map::new();
    for result in results {
        if let (Some(entry), Ok(value)) = (find(&result.name), &result.outcome)
            && !entry.key.action
        {
            let held = &desk.board.held(entry).value;
            if held != value {
                since.insert(entry.key.name.to_owned(), held.clone());
            }
        }
    }
    if !since.is_empty() {
        say(desk, key, &Value::Object(since));
    }
    for result in results {
        if let Err(why) = &result.outcome {
            say(desk, key, &refusal(&result.name, why));
        }
    }
}

/// Bytes for a class of clients; none: nothing of it is theirs to know.
type Frame = Option<Arc<Vec<u8>>>;

/// Tells everybody what has changed. Clients who may read the same get the same bytes, framed once.
pub(crate) fn tell(desk: &mut Desk) {
    let news = desk.board.take_news();
    if news.is_empty() || desk.clients.map.is_empty() {
        return;
    }
    let news: Vec<(&'static Entry, Option<ConnKey>)> =
        news.into_iter().map(|(index, known)| (&entries()[index], known)).collect();
    let board = &desk.board;
    let frame = |told: &dyn Fn(&Entry, Option<ConnKey>) -> bool| {
        let members: Map<String, Value> = news
            .iter()
            .filter(|(entry, known)| told(entry, *known))
            .map(|(e, _)| (e.key.name.to_owned(), board.held(e).value.clone()))
            .collect();
        (!members.is_empty()).then(|| frame_text(&Value::Object(members).to_string()))
    };
    let mut frames: HashMap<(&Arc<str>, bool), Frame> = HashMap::new();
    for (key, client) in &desk.clients.map {
        let tells = |entry: &Entry| {
            client.who.allows(entry.read()) && (client.measured || !entry.key.quiet)
        };
        // Who made a change has been told in the confirmation.
        let made = frame_key(*key, &news);
        let frame = if made {
            frame(&|entry, known| tells(entry) && known != Some(*key))
        } else {
            let class = (&client.class, client.measured);
            frames.entry(class).or_insert_with(|| frame(&|entry, _| tells(entry))).clone()
        };
        if let Some(frame) = frame {
            desk.outbox.send(*key, frame);
        }
    }
}

/// Whether a client made one of the changes.
fn frame_key(key: ConnKey, news: &[(&'static Entry, Option<ConnKey>)]) -> bool {
    news.iter().any(|(_, known)| *known == Some(key))
}
