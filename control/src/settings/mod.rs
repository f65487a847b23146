//! How a setting becomes another.
//!
//! A change is checked (name, permission, value), then taken by whoever owns the key: the engine
//! over the link, or this plane by [`own`]. What was taken is stored, and only when it is on the
//! disk is it confirmed: who has a confirmation has it also after the power went. The others are
//! told at once what holds now.

mod machine;
mod own;
mod save;

pub(crate) use own::{adopt_all, engine_ended};

use crate::audit::Event;
use crate::board::{Item, Refusal, Result1, Set};
use crate::desk::Desk;
use crate::engine::{ConnKey, Outcome};
use crate::http::At;
use crate::http::respond::Fault;
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::settings::bank::Held;
use lensd_ffi::settings::{Entry, Plane, entries};
use lensd_ffi::time::Nanos;
use own::Taken;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How long the engine may take; a camera that is opened anew takes longest.
const PATIENCE: Nanos = Nanos::from_secs(6);
/// Most change sets under way at once.
const MOST: usize = 1024;

/// Does what follows from the engine's answers to sets.
pub(crate) fn follow(desk: &mut Desk, at: At) {
    for (set, outcome) in desk.take_set_answers() {
        answered(desk, set, &outcome, at);
    }
}

/// Sets several keys in their order. `atomic`: if one is refused, nothing is changed. `then` is
/// called on the loop, now or later, and always.
pub(crate) fn set(
    desk: &mut Desk,
    items: Vec<Item>,
    atomic: bool,
    origin: Option<ConnKey>,
    user: &str,
    at: At,
    then: impl FnOnce(&mut Desk, Vec<Result1>, At) + 'static,
) {
    let full = desk.board.sets.len() >= MOST;
    let spoilt = atomic && items.iter().any(|i| i.outcome.is_err());
    let mut set = Set { items, atomic, origin, user: user.to_owned(), then: Box::new(then) };
    if full || spoilt {
        for item in &mut set.items {
            if item.outcome.is_ok() {
                item.refuse(if full { Refusal::Busy } else { Refusal::NotAlone });
            }
        }
        return end(desk, set, at);
    }
    let changes: Vec<(String, Value)> = set
        .items
        .iter()
        .filter(|i| i.entry().is_some_and(|e| e.plane() == Plane::Engine))
        .filter_map(|i| Some((i.entry()?.key.name.to_owned(), i.outcome.clone().ok()?)))
        .collect();
    if changes.is_empty() {
        return own_part(desk, set, at);
    }
    let id = desk.board.next_id;
    desk.board.next_id += 1;
    match desk.engine.ask_for_board(id, Ask::Set { changes }, PATIENCE, at.mono) {
        Ok(()) => _ = desk.board.sets.insert(id, set),
        Err(fault) => {
            refuse_engine_part(&mut set, &Refusal::Away(fault));
            own_part(desk, set, at);
        }
    }
}

fn refuse_engine_part(set: &mut Set<Desk>, why: &Refusal) {
    for item in &mut set.items {
        let engine = item.entry().is_some_and(|e| e.plane() == Plane::Engine);
        if engine && item.outcome.is_ok() {
            item.refuse(why.clone());
        }
    }
}

/// The engine has answered a set, or has not.
fn answered(desk: &mut Desk, id: u64, outcome: &Outcome, at: At) {
    let Some(mut set) = desk.board.sets.remove(&id) else { return };
    match outcome {
        Outcome::Answer(Answer::Set { outcomes }) => {
            let mut outcomes = outcomes.iter();
            for item in &mut set.items {
                let engine = item.entry().is_some_and(|e| e.plane() == Plane::Engine);
                if !engine || item.outcome.is_err() {
                    continue;
                }
                let Some(outcome) = outcomes.next() else {
                    item.refuse(Refusal::Hardware("the engine did not say".to_owned()));
                    continue;
                };
                match &outcome.refused {
                    Some(why) => item.refuse(Refusal::Hardware(why.clone())),
                    None => item.taken(outcome.held.value.clone()),
                }
                if let Some(entry) = item.entry() {
                    desk.board.note(entry.index, outcome.held.clone(), set.origin);
                }
            }
        }
        Outcome::Answer(Answer::Fault { code, message }) => {
            let fault = Fault::of_engine(code.clone(), message.clone());
            refuse_engine_part(&mut set, &Refusal::Away(fault));
        }
        _ => {
            let fault = Fault::unavailable("ENGINE_STARTING", "the engine did not answer in time");
            refuse_engine_part(&mut set, &Refusal::Away(fault));
        }
    }
    if set.atomic && set.items.iter().any(|i| i.outcome.is_err()) {
        return take_back(desk, set, false, at);
    }
    own_part(desk, set, at);
}

/// Undoes what was taken of a set that is all or nothing.
///
/// `own_too`: keys of this plane were taken already.
fn take_back(desk: &mut Desk, mut set: Set<Desk>, own_too: bool, at: At) {
    let mut changes = Vec::new();
    for item in &mut set.items {
        let Some(entry) = item.entry().filter(|_| item.outcome.is_ok()) else { continue };
        item.refuse(Refusal::NotAlone);
        if entry.key.action || item.before.is_null() {
            continue;
        }
        let before = item.before.clone();
        match entry.plane() {
            Plane::Engine => changes.push((entry.key.name.to_owned(), before)),
            Plane::Control if own_too => own_back(desk, entry, &before, &set.user, at),
            Plane::Control => {}
        }
    }
    if !changes.is_empty() {
        let id = desk.board.next_id;
        desk.board.next_id += 1;
        // Nobody waits for it, and what holds is in the engine's bank.
        if let Err(fault) = desk.engine.ask_for_board(id, Ask::Set { changes }, PATIENCE, at.mono) {
            tracing::warn!("settings could not be taken back: {}", fault.message);
        }
    }
    end(desk, set, at);
}

/// A key of this plane as it was.
fn own_back(desk: &mut Desk, entry: &'static Entry, before: &Value, user: &str, at: At) {
    let name = entry.key.name;
    let done = match own::apply(desk, entry, before, user, at) {
        Ok(Taken::Now(value)) => {
            own::adopt(desk, name, &value);
            desk.board.own(name, Held::of(value), None);
            Ok(())
        }
        Ok(Taken::Later(job)) => {
            let then = move |desk: &mut Desk, made: Result<Value, String>, _| match made {
                Ok(value) => {
                    own::adopt(desk, name, &value);
                    desk.board.own(name, Held::of(value), None);
                }
                Err(why) => tracing::warn!("{name} could not be taken back: {why}"),
            };
            desk.work.run(job, then).map_err(|fault| fault.message)
        }
        Err(why) => Err(why),
    };
    if let Err(why) = done {
        tracing::warn!("{name} could not be taken back: {why}");
    }
}

/// The keys of this plane, then the store.
fn own_part(desk: &mut Desk, set: Set<Desk>, at: At) {
    own_from(desk, set, 0, at);
}

/// The same from an item on; what waits for a worker goes on from there.
fn own_from(desk: &mut Desk, mut set: Set<Desk>, first: usize, at: At) {
    for at_item in first..set.items.len() {
        let item = &set.items[at_item];
        let Some(entry) = item.entry().filter(|e| e.plane() == Plane::Control) else { continue };
        let Ok(value) = item.outcome.clone() else { continue };
        match own::apply(desk, entry, &value, &set.user, at) {
            Ok(Taken::Now(taken)) => own_taken(desk, &mut set, at_item, Ok(taken)),
            Err(why) => own_taken(desk, &mut set, at_item, Err(why)),
            Ok(Taken::Later(job)) => return own_later(desk, set, at_item, job, at),
        }
    }
    if set.atomic && set.items.iter().any(|i| i.outcome.is_err()) {
        return take_back(desk, set, true, at);
    }
    keep(desk, set, at);
}

/// What a key of this plane has become.
fn own_taken(desk: &mut Desk, set: &mut Set<Desk>, at_item: usize, made: Result<Value, String>) {
    let (origin, item) = (set.origin, &mut set.items[at_item]);
    let Some(entry) = item.entry() else { return };
    match made {
        Ok(taken) => {
            item.taken(taken.clone());
            own::adopt(desk, entry.key.name, &taken);
            if !entry.key.action {
                desk.board.own(entry.key.name, Held::of(taken), origin);
            }
        }
        Err(why) => item.refuse(Refusal::Hardware(why)),
    }
}

/// Lets a worker take an item, and goes on with the next one.
fn own_later(desk: &mut Desk, set: Set<Desk>, at_item: usize, job: own::Job, at: At) {
    // Whoever is refused a worker must still be answered.
    let set = Rc::new(RefCell::new(Some(set)));
    let kept = Rc::clone(&set);
    let begun = desk.work.try_run(job, move |desk: &mut Desk, made, at| {
        let Some(mut set) = kept.borrow_mut().take() else { return };
        let made = made.unwrap_or_else(|_| Err("the work for it has failed".to_owned()));
        own_taken(desk, &mut set, at_item, made);
        own_from(desk, set, at_item + 1, at);
    });
    let refused = begun.err().and_then(|fault| Some((fault, set.borrow_mut().take()?)));
    if let Some((fault, mut set)) = refused {
        set.items[at_item].refuse(Refusal::Away(fault));
        own_from(desk, set, at_item + 1, at);
    }
}

/// Stores what is to be kept.
fn keep(desk: &mut Desk, mut set: Set<Desk>, at: At) {
    let mut changes = BTreeMap::new();
    for item in &set.items {
        let Some(entry) = item.entry() else { continue };
        match &item.outcome {
            Ok(value) if entry.key.saved => _ = changes.insert(entry.index, Some(value.clone())),
            Ok(Value::Bool(true)) if entry.key.name == "image-reset" => {
                let image = entries().iter().filter(|e| {
                    let module = e.module.name;
                    e.key.saved
                        && ["image", "auto-exposure", "white-balance", "noise", "zoom"]
                            .contains(&module)
                });
                changes.extend(image.map(|e| (e.index, None)));
            }
            _ => {}
        }
    }
    if changes.is_empty() {
        return end(desk, set, at);
    }
    for (index, value) in &changes {
        let entry = &entries()[*index];
        let value = value.clone();
        match &value {
            Some(value) => _ = desk.board.wanted.insert(*index, value.clone()),
            None => _ = desk.board.wanted.remove(index),
        }
        if entry.plane() == Plane::Engine {
            desk.board.bank.set(*index, &Held::of(value.unwrap_or_default()));
        }
    }
    desk.board.saves.changes.extend(changes);
    desk.board.saves.thens.push(Box::new(move |desk: &mut Desk, stored, at| {
        if let Err(why) = stored {
            for item in &mut set.items {
                if item.outcome.is_ok() && item.entry().is_some_and(|e| e.key.saved) {
                    item.refuse(Refusal::NotStored(why.clone()));
                }
            }
        }
        end(desk, set, at);
    }));
    save::go_on(desk);
}

/// Who has set what within the last second: one line each, however often a slider moved.
fn write_down(desk: &mut Desk, at: At) {
    let mut by_user: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
    for ((user, key), value) in std::mem::take(&mut desk.board.changed) {
        by_user.entry(user).or_default().insert(key.to_owned(), value);
    }
    for (user, values) in by_user {
        let details = Some(Value::Object(values));
        let event = Event { what: "settings changed", user: &user, details, ..Event::default() };
        desk.audit.note(&event, at.utc.millis());
    }
}

/// Tells whoever asked.
fn end(desk: &mut Desk, set: Set<Desk>, at: At) {
    for item in &set.items {
        if let (Some(entry), Ok(value)) = (item.entry(), &item.outcome)
            && desk.board.changed.len() < MOST
        {
            desk.board.changed.insert((set.user.clone(), entry.key.name), value.clone());
        }
    }
    let results = set
        .items
        .into_iter()
        .map(|item| Result1 { name: item.name, outcome: item.outcome })
        .collect();
    (set.then)(desk, results, at);
}

/// Once a second: what is measured here, and saves that were refused a thread.
pub(crate) fn tick(desk: &mut Desk, at: At) {
    own::measure(desk, at);
    write_down(desk, at);
    save::go_on(desk);
}

#[cfg(test)]
mod tests {
    use lensd_ffi::settings::{Plane, entries};

    /// A key that nothing takes or measures would be a promise that nobody keeps.
    #[test]
    fn every_key_of_this_plane_stands_in_its_code() {
        let code = [
            include_str!("own.rs"),
            include_str!("machine.rs"),
            include_str!("../rest/metrics.rs"),
        ]
        .concat();
        for entry in entries().iter().filter(|e| e.plane() == Plane::Control) {
            let name = format!("\"{}\"", entry.key.name);
            // The limits of addresses are taken by what they begin with, and named one by one.
            assert!(code.contains(&name), "{name} is taken and measured by nobody");
        }
    }
}
