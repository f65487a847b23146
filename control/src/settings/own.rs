//! The keys of this plane: what setting them does, and what is measured here.

use super::check;
use super::machine::{self, Network};
use super::{labels, storage, streams};
use crate::accounts::{Kind, TokenRecord};
use crate::board::{Board, Seen};
use crate::config::System;
use crate::desk::Desk;
use crate::external;
use crate::http::At;
use crate::signed::{self, Licence};
use lensd_ffi::link::{Ask, RecordAct, Report};
use lensd_ffi::settings::Entry;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Sessions that are shown: more does not fit the value's place.
const MOST_SESSIONS: usize = 32;
/// How often the machine is asked about its time servers.
const ASK_NTP_EVERY: Nanos = Nanos::from_secs(60);

/// How a key of this plane takes a value.
pub(super) enum Taken {
    /// At once.
    Now(Value),
    /// When a worker is done with it.
    Later(Job),
}

/// What a worker does; the value that was taken.
pub(super) type Job = Box<dyn FnOnce() -> Result<Value, String> + Send>;

fn later(job: impl FnOnce() -> Result<Value, String> + Send + 'static) -> Result<Taken, String> {
    Ok(Taken::Later(Box::new(job)))
}

/// Sets a key of this plane.
pub(super) fn apply(
    desk: &mut Desk,
    entry: &Entry,
    value: &Value,
    user: &str,
    at: At,
) -> Result<Taken, String> {
    let asked = *value == Value::Bool(true);
    check::check(entry.key.name, value)?;
    match entry.key.name {
        "device-name" | "cors-origins" | "metrics-allow" | "ptz-presets" | "ptz-home" => {}
        "onvif-profiles" | "onvif-scopes" | "onvif-push-hosts" => {}
        "notification-dismiss" => {
            desk.board.notices.dismiss(value.as_u64().unwrap_or(0))?;
            let notices = desk.board.notices.value();
            desk.board.own("notifications", Held::of(notices), None);
        }
        name if name.starts_with("limit-") => {}
        "hls" | "hls-segment" | "hls-part" | "hls-segments" => {}
        "onvif" | "onvif-hosts" | "onvif-token-window" | "discovery" => {}
        "restart" if asked => restart(desk, user, at),
        "reboot" if asked => reboot(desk, user)?,
        "factory-reset" if asked => factory_reset(desk, user, at)?,
        "restart" | "reboot" | "factory-reset" => {}
        "tag" => return later(labels::tag(desk, value, user, at)?),
        "external-stream-add" | "external-stream-remove" => {
            return later(streams::set(desk, entry.key.name, value)?);
        }
        "network-storage-secret" => return later(storage::keep_secret(desk, value)),
        name if name.starts_with("network-storage-") => {}
        "licence" => {
            read_licence(desk, value, at)?;
        }
        "network-config" => {
            let wanted = Network::of(value)?;
            allowed(desk.config.system.allow_network, "network")?;
            let system = desk.config.system.clone();
            tracing::warn!(user, config = %value, "the network is set");
            return later(move || wanted.apply(&system));
        }
        "time-servers" => {
            let list = value.as_str().unwrap_or_default().to_owned();
            machine::check_servers(&list)?;
            allowed(desk.config.system.allow_time, "time")?;
            tracing::warn!(user, list, "time servers are set");
            let system = desk.config.system.clone();
            return later(move || machine::apply_servers(&system, &list));
        }
        "time-zone" | "time-ntp" | "time-set" => {
            allowed(desk.config.system.allow_time, "time")?;
            let (command, argument) = time_command(&desk.config.system, entry.key.name, value)?;
            tracing::warn!(user, key = entry.key.name, argument, "the clock is set");
            let value = value.clone();
            desk.board.meter.ntp_asked = None;
            return later(move || machine::run(&command, &argument).map(|_| value));
        }
        name => return Err(format!("nothing takes {name}")),
    }
    Ok(Taken::Now(value.clone()))
}

fn allowed(allowed: bool, what: &str) -> Result<(), String> {
    if allowed {
        return Ok(());
    }
    Err(format!("setting this is not allowed here: set system.allow-{what}"))
}

/// The command that takes a key of the clock, and what it is told.
fn time_command(system: &System, key: &str, value: &Value) -> Result<(String, String), String> {
    Ok(match key {
        "time-zone" => {
            let zone = value.as_str().unwrap_or_default();
            machine::check_zone(zone)?;
            (system.time_zone_command.clone(), zone.to_owned())
        }
        "time-ntp" => (system.ntp_command.clone(), value.to_string()),
        _ => (system.time_command.clone(), machine::seconds(value.as_u64().unwrap_or(0))),
    })
}

/// What the licence says; none: none was set.
fn read_licence(desk: &Desk, value: &Value, at: At) -> Result<Option<Licence>, String> {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let key = desk.config.system.licence_key.as_deref();
    let key = key.ok_or("there is no key to check it with: set system.licence-key")?;
    let serial = serial_number(&desk.config.system.machine_id);
    let serial = serial.as_str().ok_or("this machine has no identity: see system.machine-id")?;
    Licence::read(text, &signed::key(key)?, serial, at.utc.millis()).map(Some)
}

/// Stored values at the start, as if they had been set now.
pub(crate) fn adopt_all(desk: &mut Desk) {
    for entry in lensd_ffi::settings::entries() {
        if entry.plane() == lensd_ffi::settings::Plane::Control
            && let Some(value) = desk.board.wanted(entry).cloned()
        {
            adopt(desk, entry.key.name, &value);
        }
    }
}

/// Makes a value hold in what uses it.
pub(super) fn adopt(desk: &mut Desk, name: &str, value: &Value) {
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
    if name == "cors-origins" {
        desk.config.origins = value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|o| Some(o.as_str()?.into()))
            .collect();
        return;
    }
    if name == "tag" {
        return labels::look(desk, At::now());
    }
    if name == "network-storage-secret" {
        return storage::configure(desk, true);
    }
    if let Some(hls) = desk.hls.settings().with(name, value.as_bool(), number) {
        return desk.hls.set(hls);
    }
    let limits = &mut desk.config.limits;
    match (name, number) {
        ("limit-anonymous", Some(n)) => limits.anonymous_per_minute = n,
        ("limit-user", Some(n)) => limits.user_per_second = n,
        ("limit-stills", Some(n)) => limits.stills_per_second = n,
        ("limit-failed-logins", Some(n)) => limits.failed_logins = n,
        ("limit-upload", Some(n)) => limits.upload_mib = n,
        _ => return,
    }
    desk.door.set_limits(&desk.config.limits);
}

/// Sets everything back but users, tokens, and what one reaches this server by, and starts again.
pub(crate) fn soft_reset(
    desk: &mut Desk,
    user: &str,
    then: impl FnOnce(&mut Desk, Result<(), String>, At) + 'static,
) {
    tracing::warn!(user, "factory reset, but for users and network");
    desk.board.saves.changes.clear();
    let store = Arc::clone(&desk.store);
    let kept = |e: &&Entry| {
        ["webserver", "network", "urls", "onvif", "discovery"].contains(&e.module.name)
            || ["categories", "categoryCounter"].contains(&e.key.name)
    };
    let keep: Vec<&str> =
        lensd_ffi::settings::entries().iter().filter(kept).map(|e| e.key.name).collect();
    let user = user.to_owned();
    let job = move || store.reset_settings(&keep, &[external::SECRET]).map_err(|e| e.to_string());
    // The one that waits is told in any case, so what follows is kept for both.
    let then = std::rc::Rc::new(std::cell::Cell::new(Some(then)));
    let kept = std::rc::Rc::clone(&then);
    let begun = desk.work.try_run(job, move |desk: &mut Desk, made, at| {
        let made = made.unwrap_or_else(|_| Err("the work for it has failed".to_owned()));
        if made.is_ok() {
            restart(desk, &user, at);
        }
        if let Some(then) = kept.take() {
            then(desk, made, at);
        }
    });
    // Taken only then: else it would be gone when the work is done.
    if let Err(fault) = begun
        && let Some(then) = then.take()
    {
        then(desk, Err(fault.message), At::now());
    }
}

/// Forgets everything but recordings and their categories, also what the machine was given and the
/// TLS identity, ends recording, makes the first user anew, and starts both planes again.
fn factory_reset(desk: &mut Desk, user: &str, at: At) -> Result<(), String> {
    tracing::warn!(user, "factory reset");
    desk.board.saves.changes.clear();
    // Else it would go on after the restart. Without an engine nothing is recorded.
    let stop = Ask::Record {
        act: RecordAct::Stop,
        camera: None,
        stream: String::new(),
        seconds: None,
        title: String::new(),
    };
    if let Err(fault) = desk.engine.ask_alone(stop, Nanos::from_secs(5), at.mono) {
        tracing::warn!("factory reset: {}", fault.message);
    }
    let identity = desk.config.data.join("tls");
    let store = Arc::clone(&desk.store);
    let now_ms = at.utc.millis();
    let system = desk.config.system.clone();
    let job = move |accounts: &parking_lot::Mutex<crate::accounts::Accounts>| {
        store.factory_reset(&["categories", "categoryCounter"]).map_err(|e| e.to_string())?;
        machine::forget(&system);
        // The start that follows makes another one.
        for name in ["key.pem", "cert.pem"] {
            let _ = fs::remove_file(identity.join(name));
        }
        let mut accounts = accounts.lock();
        accounts.reload();
        accounts.ensure_admin(None, now_ms).map_err(|e| e.to_string())
    };
    let user = user.to_owned();
    desk.with_accounts(job, move |desk, done, at| {
        match done.map_err(|fault| fault.message).and_then(|done| done) {
            // As at the very first start: shown once, to who sits at the server.
            Ok(Some(password)) => {
                desk.reports.push(Report::Password { password: password.to_string() })
            }
            Ok(None) => {}
            Err(why) => {
                tracing::error!("factory reset: {why}");
                desk.board.notices.add("error", format!("factory reset failed: {why}"), at);
                return;
            }
        }
        restart(desk, &user, at);
    })
    .map_err(|fault| fault.message)
}

pub(super) fn restart(desk: &mut Desk, user: &str, at: At) {
    tracing::warn!(user, "restart");
    desk.board.notices.add("info", "the server was started again", at);
    desk.reports.push(Report::Restart);
}

fn reboot(desk: &mut Desk, user: &str) -> Result<(), String> {
    let Some(command) = desk.config.system.reboot_command.clone() else {
        return Err("rebooting is not allowed here: set system.reboot-command".to_owned());
    };
    tracing::warn!(user, command, "reboot");
    let job = move || std::process::Command::new("/bin/sh").arg("-c").arg(&command).status();
    desk.work
        .run(job, |_, status, _| match status {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::error!("the reboot command ended with {status}"),
            Err(e) => tracing::error!("the reboot command cannot be run: {e}"),
        })
        .map_err(|fault| fault.message)
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    let path = root.join(path);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Measures everything that this plane measures.
pub(super) fn measure(desk: &mut Desk, at: At) {
    notice_changes(desk, at);
    let (proc, sys) = (desk.config.system.proc.clone(), desk.config.system.sys.clone());
    let mut faults = Vec::new();
    let mut keep = |result: Result<Value, String>| {
        result.unwrap_or_else(|why| {
            faults.push(why);
            Value::Null
        })
    };
    let load = keep(processors(&proc).map(|(busy, all)| {
        let before = desk.board.meter.processors.replace((busy, all));
        let Some((busy_before, all_before)) = before else { return Value::Null };
        let span = all.saturating_sub(all_before);
        if span == 0 {
            return Value::Null;
        }
        let part = busy.saturating_sub(busy_before) * 1000 / span;
        json!(f64::from(u32::try_from(part.min(1000)).unwrap_or(0)) / 10.0)
    }));
    let memory = memory(&proc);
    let external = streams::measured(desk);
    let (streams, bytes) = desk.hls.load();
    let values = [
        ("external-streams", external),
        ("cpu-load", load),
        ("memory-total", keep(memory.clone().map(|(total, _)| json!(total)))),
        ("memory-used", keep(memory.map(|(total, free)| json!(total.saturating_sub(free))))),
        ("cpu-temperature", temperature(&sys)),
        ("hostname", keep(read(&proc, "sys/kernel/hostname").map(Value::from))),
        ("uptime", json!(desk.uptime(at))),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("variant", json!(desk.config.variant)),
        ("serial-number", serial_number(&desk.config.system.machine_id)),
        ("api-version", json!("v1")),
        ("api-clients", json!(desk.clients.map.len())),
        ("http-connections", json!(desk.connections)),
        ("hls-streams", json!(streams)),
        ("hls-memory", json!(bytes)),
        ("notifications", desk.board.notices.value()),
        ("time", json!(at.utc.millis())),
        ("time-zone", time_zone(&desk.config.system.localtime)),
        ("time-synchronized", json!(desk.config.system.synchronized.exists())),
        ("ports", json!(desk.ports())),
        ("network-interfaces", interfaces(&sys)),
        ("users", users(desk)),
        ("limit-anonymous", json!(desk.config.limits.anonymous_per_minute)),
        ("limit-user", json!(desk.config.limits.user_per_second)),
        ("limit-stills", json!(desk.config.limits.stills_per_second)),
        ("limit-upload", json!(desk.config.limits.upload_mib)),
        ("limit-failed-logins", json!(desk.config.limits.failed_logins)),
    ];
    for (name, value) in values {
        desk.board.own(name, Held::of(value), None);
    }
    let fault = faults.into_iter().next();
    desk.board.own("system-info-error", error(fault), None);
    disk(&mut desk.board, &desk.config.data);
    clock(desk);
    people(desk);
    permitted(desk);
    licence(desk, at);
    update(desk);
    certificate(desk, at);
    ask_ntp(desk, at);
    storage::measure(desk, at);
    labels::measure(desk, at);
}

/// What the kernel says of the clock, as the engine found it that stamps pictures by it.
fn clock(desk: &mut Desk) {
    let running = desk.engine.is_running();
    let clock = desk.engine.state().clock;
    let micros = |ns: u64| json!(ns.div_ceil(1000));
    let values = [
        ("clock-synchronized", json!(clock.is_synchronized())),
        ("clock-source", json!(clock.source)),
        ("clock-error-bound", clock.error_ns.map_or(Value::Null, micros)),
        ("clock-steps", json!(clock.steps)),
    ];
    for (name, value) in values {
        let held = if running {
            Held::of(value)
        } else {
            Held::missing("the engine is starting, and it is the one that looks at the clock")
        };
        desk.board.own(name, held, None);
    }
}

/// Sessions and roles, unless a worker is changing them just now.
fn people(desk: &mut Desk) {
    let accounts = std::sync::Arc::clone(&desk.accounts);
    let Some(all) = accounts.try_lock() else { return };
    let roles: Value =
        all.roles().iter().map(|(n, r)| json!({ "name": n, "permissions": r })).collect();
    let sessions = all.tokens(Kind::Session, None);
    let count = sessions.len();
    let mut newest: Vec<_> = sessions.into_iter().map(|(_, record)| record).collect();
    newest.sort_by_key(|record| std::cmp::Reverse(record.created));
    let session = |s: &&TokenRecord| {
        let short = |text: &str| text.chars().take(80).collect::<String>();
        json!({"user": s.user, "from": s.from, "client": short(&s.name), "created": s.created, "used": s.used, "expires": s.expires})
    };
    let list: Value = newest.iter().take(MOST_SESSIONS).map(session).collect();
    desk.board.own("roles", Held::of(roles), None);
    desk.board.own("session-count", Held::of(count), None);
    desk.board.own("sessions", Held::of(list), None);
}

/// What of the machine may not be set.
fn permitted(desk: &mut Desk) {
    let system = &desk.config.system;
    let (network, time) = (system.allow_network, system.allow_time);
    for (name, given, what) in [("network-error", network, "network"), ("time-error", time, "time")]
    {
        desk.board.own(name, error(allowed(given, what).err()), None);
    }
    if !desk.board.meter.network_read {
        desk.board.meter.network_read = true;
        let now = machine::network_now(&desk.config.system);
        desk.board.own("network-config", Held::of(now), None);
        let now = machine::servers_now(&desk.config.system);
        desk.board.own("time-servers", Held::of(now), None);
    }
}

/// What supervisor and worker have left of the last update.
fn update(desk: &mut Desk) {
    use lensd_ffi::update::{Ended, Marker};
    let data = &desk.config.data;
    let (state, version, why) = match (Marker::find(data), Ended::find(data)) {
        (Some(marker), _) => ("under way".to_owned(), json!(marker.to), None),
        (None, Some(ended)) => {
            let why = Some(ended.reason).filter(|r| !r.is_empty());
            (ended.state, json!(ended.version), why)
        }
        (None, None) => ("none".to_owned(), Value::Null, None),
    };
    desk.board.own("update-state", Held::of(state), None);
    desk.board.own("update-version", Held::of(version), None);
    desk.board.own("update-error", error(why), None);
}

/// A licence may end by itself.
fn licence(desk: &mut Desk, at: At) {
    let text = desk.board.value("licence").clone();
    let (value, fault) = match read_licence(desk, &text, at) {
        Ok(licence) => (licence.map_or(json!([]), |l| l.value()), None),
        Err(why) => (json!([]), Some(why)),
    };
    desk.board.own("licences", Held::of(value), None);
    desk.board.own("licence-error", error(fault), None);
}

/// Looks at the certificate when its file has become another.
fn certificate(desk: &mut Desk, at: At) {
    use std::os::unix::fs::MetadataExt as _;
    let path = desk.identity.folder().join("cert.pem");
    let mark = fs::metadata(&path).map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.size())).ok();
    if desk.board.meter.certificate == Some(mark) {
        return;
    }
    desk.board.meter.certificate = Some(mark);
    let read = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()));
    let view =
        read.and_then(|pem| crate::tls::view(&pem, at.utc.millis()).map_err(|fault| fault.message));
    let (view, fault) = match view {
        Ok(view) => (json!(view), None),
        Err(why) => (Value::Null, Some(why)),
    };
    let subject = view["subject"].as_str().map(|s| s.chars().take(200).collect::<String>());
    desk.board.own("certificate-subject", Held::of(json!(subject)), None);
    desk.board.own("certificate-expires", Held::of(view["not_after"].clone()), None);
    desk.board.own("certificate-error", error(fault), None);
}

/// Asks now and then whether the clock follows time servers: that is a program of its own.
fn ask_ntp(desk: &mut Desk, at: At) {
    let asked = desk.board.meter.ntp_asked;
    let is_time = asked.is_none_or(|asked| at.mono.since(asked) >= ASK_NTP_EVERY);
    if !desk.config.system.allow_time || !is_time {
        return;
    }
    let query = desk.config.system.ntp_query.clone();
    let begun = desk.work.run(
        move || machine::run(&query, ""),
        |desk: &mut Desk, said, _| {
            let held = match said.as_deref() {
                Ok("yes" | "true") => Held::of(true),
                Ok("no" | "false") => Held::of(false),
                Ok(other) => Held::missing(format!("neither yes nor no: {other}")),
                Err(why) => Held::missing(why.clone()),
            };
            desk.board.own("time-ntp", held, None);
        },
    );
    if begun.is_ok() {
        desk.board.meter.ntp_asked = Some(at.mono);
    }
}

pub(super) fn error(fault: Option<String>) -> Held {
    fault.map_or_else(Held::default, |why| Held::of(why.chars().take(160).collect::<String>()))
}

/// The link to the engine has ended: everybody is told at once, for it may be back in no time.
pub(crate) fn engine_ended(desk: &mut Desk, at: At) {
    desk.board.notices.add("error", "the engine has ended; it is started again", at);
    let notices = desk.board.notices.value();
    desk.board.own("notifications", Held::of(notices), None);
}

/// Cameras that come and go become notices.
fn notice_changes(desk: &mut Desk, at: At) {
    let storage = storage::standing(desk);
    let state = desk.engine.state();
    let cameras = state.cameras.iter().map(|c| (c.id, c.connected)).collect();
    let rtsp = desk.board.value("rtsp-error").as_str().unwrap_or_default().to_owned();
    let now = Seen { cameras, storage, rtsp };
    let errors: Vec<String> = state.cameras.iter().map(|c| c.error.clone()).collect();
    let seen = std::mem::take(&mut desk.board.meter.seen);
    for ((id, connected), why) in now.cameras.iter().zip(errors) {
        let before = seen.cameras.iter().find(|(known, _)| known == id).map(|(_, c)| *c);
        match (before, connected) {
            (Some(true), false) => {
                let text = format!("camera {id} is gone: {}", crate::http::respond::redact(&why));
                desk.board.notices.add("error", text, at);
            }
            // At the start: it may come yet, and that is said then.
            (None, false) if !why.is_empty() => {
                let why = crate::http::respond::redact(&why);
                desk.board.notices.add("error", format!("camera {id} is not there: {why}"), at);
            }
            (Some(false), true) => {
                desk.board.notices.add("info", format!("camera {id} is back"), at);
            }
            _ => {}
        }
    }
    if !now.rtsp.is_empty() && now.rtsp != seen.rtsp {
        desk.board.notices.add("error", now.rtsp.as_str(), at);
    } else if now.rtsp.is_empty() && !seen.rtsp.is_empty() && desk.engine.is_running() {
        let text = "the RTSP server listens at the address that was missing";
        desk.board.notices.add("info", text, at);
    }
    storage::notice(desk, &seen.storage, &now.storage, at);
    desk.board.meter.seen = now;
}

/// Busy and all ticks of `/proc/stat` (proc_stat(5)).
fn processors(proc: &Path) -> Result<(u64, u64), String> {
    let text = read(proc, "stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
    if ticks.len() < 5 {
        return Err(format!("{}/stat has no line of all processors", proc.display()));
    }
    let all = ticks.iter().sum::<u64>();
    // Idle, and waiting for disks.
    Ok((all - ticks[3] - ticks[4], all))
}

/// All and available bytes of `/proc/meminfo`.
fn memory(proc: &Path) -> Result<(u64, u64), String> {
    let text = read(proc, "meminfo")?;
    let find = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    match (find("MemTotal:"), find("MemAvailable:")) {
        (Some(total), Some(free)) => Ok((total, free)),
        _ => Err(format!("{}/meminfo lacks MemTotal or MemAvailable", proc.display())),
    }
}

/// The hottest thermal zone; many machines have none.
fn temperature(sys: &Path) -> Value {
    let zones = fs::read_dir(sys.join("class/thermal")).into_iter().flatten().flatten();
    let hottest = zones
        .filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"))
        .filter_map(|zone| read(&zone.path(), "temp").ok()?.parse::<i32>().ok())
        .max();
    hottest.map_or(Value::Null, |thousandths| json!(f64::from(thousandths) / 1000.0))
}

/// A name of the machine that tells nobody its own: machine-id(5) asks for that.
fn serial_number(machine_id: &Path) -> Value {
    use lensd_ffi::auth::Token;
    match fs::read_to_string(machine_id) {
        Ok(id) if !id.trim().is_empty() => {
            let hash = Token::hash(&format!("lensd serial number {}", id.trim()));
            json!(hash[..16].to_uppercase())
        }
        _ => Value::Null,
    }
}

fn time_zone(link: &Path) -> Value {
    let named = fs::read_link(link).ok().and_then(|path| {
        let text = path.to_string_lossy().into_owned();
        text.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    });
    let text = named.or_else(|| {
        let text = fs::read_to_string("/etc/timezone").ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty() && t.len() < 64)
    });
    text.map_or_else(|| json!("UTC"), Value::from)
}

/// Interfaces with their addresses.
fn interfaces(sys: &Path) -> Value {
    let mut addresses: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for address in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(storage) = address.address else { continue };
        let bits = |bytes: &[u8]| bytes.iter().map(|b| b.count_ones()).sum::<u32>();
        let text = if let Some(v4) = storage.as_sockaddr_in() {
            let mask = address.netmask.and_then(|m| Some(m.as_sockaddr_in()?.ip()));
            let mask = mask.map_or(32, |m| bits(&m.octets()));
            format!("{}/{mask}", v4.ip())
        } else if let Some(v6) = storage.as_sockaddr_in6() {
            let mask = address.netmask.and_then(|m| Some(m.as_sockaddr_in6()?.ip()));
            let mask = mask.map_or(128, |m| bits(&m.octets()));
            format!("{}/{mask}", v6.ip())
        } else {
            continue;
        };
        addresses.entry(address.interface_name).or_default().push(text);
    }
    let mut names: Vec<String> = fs::read_dir(sys.join("class/net"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
        .into_iter()
        .take(32)
        .map(|name| {
            let attribute = |file: &str| read(&sys.join("class/net").join(&name), file).ok();
            json!({
                "name": name,
                "state": attribute("operstate"),
                "mac": attribute("address"),
                "addresses": addresses.get(&name).map(|a| &a[..a.len().min(8)]),
            })
        })
        .collect()
}

fn users(desk: &Desk) -> Value {
    let list = desk.door.users().users.iter().take(100);
    list.map(|u| json!({"name": u.name, "role": u.role})).collect()
}

fn disk<W>(board: &mut Board<W>, data: &Path) {
    match rustix::fs::statvfs(data) {
        Ok(stat) => {
            let bytes = |blocks: u64| json!(blocks.saturating_mul(stat.f_frsize));
            board.own("disk-total", Held::of(bytes(stat.f_blocks)), None);
            board.own("disk-free", Held::of(bytes(stat.f_bavail)), None);
            board.own("disk-error", Held::default(), None);
        }
        Err(e) => {
            for name in ["disk-total", "disk-free"] {
                board.own(name, Held::default(), None);
            }
            let why = format!("the file system of {} cannot be asked: {e}", data.display());
            board.own("disk-error", error(Some(why)), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fake_proc() {
        let root = std::env::temp_dir().join(format!("lensd-proc-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("stat"), "cpu  10 0 20 60 10 0 0 0 0 0\ncpu0 1 2 3\n").unwrap();
        fs::write(root.join("meminfo"), "MemTotal: 100 kB\nMemAvailable:  40 kB\n").unwrap();
        assert_eq!(processors(&root), Ok((30, 100)));
        assert_eq!(memory(&root), Ok((102_400, 40_960)));
        fs::write(root.join("stat"), "nothing").unwrap();
        assert!(processors(&root).unwrap_err().contains("stat"));
        fs::remove_dir_all(&root).unwrap();
        assert!(memory(&root).unwrap_err().contains("meminfo"));
    }

    #[test]
    fn origins_have_no_path() {
        assert!(
            check::check("cors-origins", &json!(["https://a.example", "http://b:8080"])).is_ok()
        );
        for bad in [json!("x"), json!(["*"]), json!(["https://a/b"]), json!([1])] {
            assert!(check::check("cors-origins", &bad).is_err(), "{bad}");
        }
    }
}
