//! Network storage as settings say it, and how it goes as clients see it.

use super::own::error;
use crate::carry::{Plan, Secret};
use crate::desk::Desk;
use crate::http::At;
use lensd_ffi::link::Ask;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

/// By what the store knows the secret.
const SECRET: &str = "network-storage";
/// How long the removal of recordings that are copied may take.
const REMOVAL: Nanos = Nanos::from_secs(30);

/// Everything of which a plan is made; a test holds this against the table.
#[cfg(test)]
const PLANNED: &[&str] = &[
    "network-storage-kind",
    "network-storage-folder",
    "network-storage-guard",
    "network-storage-endpoint",
    "network-storage-region",
    "network-storage-bucket",
    "network-storage-prefix",
    "network-storage-virtual-host",
    "network-storage-access-key",
    "network-storage-what",
    "network-storage-tagged",
    "network-storage-delete-local",
    "network-storage-verify",
    "network-storage-rate",
    "network-storage-timeout",
];

/// Keeps the secret, sealed. What is confirmed, told and written down is that there is one.
pub(super) fn keep_secret(
    desk: &Desk,
    value: &Value,
) -> impl FnOnce() -> Result<Value, String> + Send + 'static {
    let secret = Zeroizing::new(value.as_str().unwrap_or_default().to_owned());
    let store = Arc::clone(&desk.store);
    move || {
        let kept = if secret.is_empty() {
            store.delete_secret(SECRET)
        } else {
            store.save_secret(SECRET, secret.as_bytes())
        };
        kept.map(|()| json!(!secret.is_empty())).map_err(|e| e.to_string())
    }
}

/// The secret.
pub(crate) fn secret(desk: &Desk) -> Option<Secret> {
    let bytes = desk.store.load_secret(SECRET)?;
    String::from_utf8(bytes.to_vec()).ok().map(Zeroizing::new)
}

/// Makes the settings hold, if they are others; `anew`: in any case, for the secret is another.
pub(crate) fn configure(desk: &mut Desk, anew: bool) {
    let board = &desk.board;
    let value = |key: &str| board.value(key).clone();
    let plan = Plan::of(value);
    let same = match (desk.carry.plan(), &plan) {
        (Ok(old), Ok(new)) => old == new.as_ref(),
        (Err(old), Err(new)) => old == new,
        _ => false,
    };
    if same && !anew && !desk.carry.lacks_thread() {
        return;
    }
    let secret = secret(desk);
    let held = Held::of(secret.is_some());
    desk.carry.take(plan, secret);
    desk.board.own("network-storage-secret-set", held, None);
}

/// Once a second.
pub(super) fn measure(desk: &mut Desk, at: At) {
    configure(desk, false);
    if desk.board.value("network-storage-secret-set").is_null() {
        let held = Held::of(secret(desk).is_some());
        desk.board.own("network-storage-secret-set", held, None);
    }
    let status = desk.carry.status(at.mono);
    tell(desk, &status, at);
    let trouble = Some(status.error).filter(|why| !why.is_empty());
    let last = status.last.unwrap_or_default();
    let known = |value: Value| if last.1 > 0 { Held::of(value) } else { Held::default() };
    let short: String = last.0.chars().take(200).collect();
    let values = [
        ("network-storage-state", Held::of(status.standing.word())),
        ("network-storage-error", error(trouble)),
        ("network-storage-queue", Held::of(status.totals.queued.count)),
        ("network-storage-queue-size", Held::of(status.totals.queued.bytes)),
        ("network-storage-failed", Held::of(status.totals.failed.count)),
        ("network-storage-bytes", Held::of(status.bytes)),
        ("network-storage-last", known(json!(short))),
        ("network-storage-last-time", known(json!(last.1))),
    ];
    for (name, held) in values {
        desk.board.own(name, held, None);
    }
    let ids = desk.carry.take_removable();
    if !ids.is_empty()
        && let Err(fault) = desk.engine.ask_alone(Ask::Remove { ids }, REMOVAL, at.mono)
    {
        tracing::debug!("recordings that are copied stay for now: {}", fault.message);
    }
}

/// How the disk of the recordings is, in the words of `storage-state`, and `low` when little more is
/// free than is to stay; empty: the engine does not say.
pub(crate) fn standing(desk: &mut Desk) -> String {
    let state = desk.engine.state();
    let storage = state.storage.clone();
    if storage.state != "ok" {
        return if storage.state == "starting" { String::new() } else { storage.state };
    }
    // Nothing is to stay free: then it is a recording that finds it full.
    if state.recordings.iter().any(|recording| recording.state == "full") {
        return "full".to_owned();
    }
    let value = |key: &str| desk.board.value(key).clone();
    // Where the oldest make room, it is always about to be full.
    if value("storage-replace") == true || storage.total == 0 {
        return storage.state;
    }
    let floor = value("keep-free").as_u64().unwrap_or(0) * 1_000_000;
    let floor = floor.min(storage.total / 2);
    let word = if storage.free < floor + storage.total / 20 { "low" } else { "ok" };
    word.to_owned()
}

/// What becomes of that disk becomes a notice.
pub(super) fn notice(desk: &mut Desk, before: &str, now: &str, at: At) {
    if now == before || now.is_empty() {
        return;
    }
    let state = desk.engine.state();
    let storage = state.storage.clone();
    let ended = state.recordings.iter().find(|r| r.state == "full").map(|r| r.error.clone());
    let (level, text) = match (before, now) {
        ("" | "ok", "ok") => return,
        (_, "ok") => ("info", "storage is well again".to_owned()),
        (_, "low") => {
            ("warning", format!("storage is low: {} MB are free", storage.free / 1_000_000))
        }
        (_, word) => {
            let known = Some(storage.error).filter(|why| !why.is_empty()).or(ended);
            ("error", format!("storage is {word}: {}", known.unwrap_or_default()))
        }
    };
    desk.board.notices.add(level, text, at);
}

/// Another standing is an event, and trouble a notice.
fn tell(desk: &mut Desk, status: &crate::carry::Status, at: At) {
    let Some(news) = desk.carry.news(status) else { return };
    let word = news.standing.word();
    let mut event = json!({"time": news.time_ms, "event": "network-storage", "state": word});
    if !news.error.is_empty() {
        event["text"] = json!(crate::http::respond::redact(&news.error));
    }
    desk.events.note_storage(event);
    if news.standing.is_trouble() {
        let why = crate::http::respond::redact(&news.error);
        desk.board.notices.add("error", format!("network storage: {word}: {why}"), at);
    } else if news.was_trouble {
        desk.board.notices.add("info", "network storage is well again", at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_of_network_storage_is_part_of_the_plan() {
        let plan = include_str!("../carry/plan.rs");
        for name in PLANNED {
            assert!(plan.contains(&format!("\"{name}\"")), "{name}");
        }
        let table = lensd_ffi::settings::entries().iter();
        let settable =
            table.filter(|e| e.module.name == "network-storage" && e.key.settable && !e.key.action);
        for entry in settable {
            assert!(PLANNED.contains(&entry.key.name), "{} is in no plan", entry.key.name);
        }
    }
}
