//! The clock, starting again, the way back to the factory, and logs (ONVIF Core 8.3).

use super::information::{date_time_type, time_zone};
use crate::audit::Event;
use crate::onvif::call::{Answer, Call, Done, flag, needed, number};
use crate::settings;
use crate::soap::time::Civil;
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::auth::{Access, Permission};
use serde_json::{Value, json};

/// What one needs for a restart besides what the operations' class asks for.
const REBOOT: Access = Access::write(Permission::Reboot);
/// A clock that is this near is not set: requests take a moment to come.
const NEAR_MS: i64 = 2000;
/// Lines of a log that are told.
const LINES: usize = 200;

/// `SetSystemDateAndTime`, by the settings `time-ntp`, `time-zone` and `time-set`. What is as it
/// was is taken also where the clock is not ours to set.
pub(super) fn set_date_and_time(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let kind = needed(asked, "DateTimeType")?;
    flag(asked, "DaylightSavings")?;
    let mut changes = Vec::new();
    match kind {
        "NTP" | "Manual" => {
            if kind != date_time_type(call) {
                changes.push(("time-ntp".to_owned(), json!(kind == "NTP")));
            }
        }
        _ => return Err(Fault::invalid_args("DateTimeType is Manual or NTP")),
    }
    if let Some(zone) = asked.path(&["TimeZone", "TZ"]).map(Node::text).filter(|z| !z.is_empty()) {
        let (rule, _) = time_zone(call);
        if zone != rule && zone != call.text("time-zone") {
            // The machine knows zones by name: a rule that is another one names none.
            if !zone.contains('/') && zone != "UTC" {
                let why = format!("{zone} is not {rule}; give a name such as Europe/Berlin");
                return Err(Fault::invalid_value("ter:InvalidTimeZone", why));
            }
            changes.push(("time-zone".to_owned(), json!(zone)));
        }
    }
    let moment = asked.child("UTCDateTime").map(moment).transpose()?;
    match (kind, moment) {
        ("Manual", Some(ms)) if (ms - call.at.utc.millis()).abs() > NEAR_MS => {
            changes.push(("time-set".to_owned(), json!(ms)));
        }
        _ => {}
    }
    if changes.is_empty() {
        w.empty("tds:SetSystemDateAndTimeResponse");
        return Ok(Done::Now);
    }
    if !call.desk.config.system.allow_time {
        let why = "this device does not set the machine's clock: see system.allow-time";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    call.change(changes, "ter:InvalidDateTime", |_, w, _| {
        w.empty("tds:SetSystemDateAndTimeResponse");
        Ok(())
    })
}

/// Milliseconds since 1970 of a `tt:DateTime`.
fn moment(node: Node<'_>) -> Result<i64, Fault> {
    let part = |outer: &str, name: &str| -> Result<i64, Fault> {
        let outer = node.child(outer);
        let value = outer.map(|o| number(o, name)).transpose()?.flatten();
        value.ok_or_else(|| Fault::invalid_args(format!("UTCDateTime has no {name}")))
    };
    let civil = Civil {
        year: part("Date", "Year")?,
        month: part("Date", "Month")?,
        day: part("Date", "Day")?,
        hour: part("Time", "Hour")?,
        minute: part("Time", "Minute")?,
        second: part("Time", "Second")?,
    };
    civil.millis().ok_or_else(|| {
        Fault::invalid_value("ter:InvalidDateTime", "there is no such moment in UTCDateTime")
    })
}

fn note(call: &Call<'_>) -> impl Fn(&mut crate::desk::Desk, &'static str, i64) + 'static {
    let (user, from) = (call.who.user.clone(), call.from.peer.ip().to_string());
    move |desk, what, now_ms| {
        let event = Event { what, user: &user, from: &from, ..Event::default() };
        desk.audit.note(&event, now_ms);
    }
}

/// `SystemReboot`: the machine, where that is allowed, else this server.
pub(super) fn reboot(call: &mut Call<'_>, _: Node<'_>, _: &mut Writer) -> Answer {
    call.needs(REBOOT)?;
    let machine = call.desk.config.system.reboot_command.is_some();
    let what = if machine { "reboot" } else { "restart" };
    let note = note(call);
    let change = vec![(what.to_owned(), json!(true))];
    call.change(change, "ter:InvalidArgVal", move |desk, w, at| {
        note(desk, what, at.utc.millis());
        let whole = if machine { "The machine" } else { "The camera server" };
        w.open("tds:SystemRebootResponse");
        w.leaf("tds:Message", format!("{whole} starts again")).close();
        Ok(())
    })
}

/// `SetSystemFactoryDefault`. Hard: everything. Soft: all but users and network.
pub(super) fn factory_default(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    call.needs(REBOOT)?;
    let note = note(call);
    let write = |w: &mut Writer| _ = w.empty("tds:SetSystemFactoryDefaultResponse");
    match needed(asked, "FactoryDefault")? {
        "Hard" => {
            let change = vec![("factory-reset".to_owned(), json!(true))];
            call.change(change, "ter:InvalidArgVal", move |desk, w, at| {
                note(desk, "factory reset", at.utc.millis());
                write(w);
                Ok(())
            })
        }
        "Soft" => {
            let ticket = call.ticket();
            settings::soft_reset(call.desk, &call.who.user, move |desk, done, at| {
                ticket.answer(desk, at, |desk, w| {
                    done.map_err(|why| Fault::receiver(&["ter:Action"], why))?;
                    note(desk, "settings reset", at.utc.millis());
                    write(w);
                    Ok(())
                });
            });
            Ok(Done::Later)
        }
        _ => Err(Fault::invalid_args("FactoryDefault is Hard or Soft")),
    }
}

/// `GetSystemLog`: the newest lines, the oldest first.
pub(super) fn log(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let audit = match needed(asked, "LogType")? {
        "Access" => true,
        "System" => false,
        _ => return Err(Fault::invalid_args("LogType is System or Access")),
    };
    let kept = |e: &&crate::board::Happened| (e.kind == "audit") == audit;
    let mut lines: Vec<String> = call
        .desk
        .events
        .since(0)
        .rev()
        .filter(kept)
        .take(LINES)
        .map(|e| line(&e.value()))
        .collect();
    lines.reverse();
    w.open("tds:GetSystemLogResponse").open("tds:SystemLog");
    w.leaf("tt:String", lines.join("\n")).close().close();
    Ok(Done::Now)
}

/// An event as a line: its moment, then what it says.
fn line(value: &Value) -> String {
    let ms = value["time"].as_i64().unwrap_or(0);
    let mut rest = value.clone();
    if let Some(members) = rest.as_object_mut() {
        members.remove("time");
        members.remove("id");
    }
    format!("{} {rest}", crate::soap::time::date_time(ms))
}
