//! How a setting becomes another.
//!
//! A change is checked (name, permission, value), then taken by whoever owns the key: the engine
//! over the link, or this plane by [`own`]. What was taken is stored, and only when it is on the
//! disk is it confirmed: who has a confirmation has it also after the power went. The others are
//! told at once what holds now.

mod check;
mod import;
mod labels;
mod machine;
mod own;
mod save;
mod storage;
mod streams;
mod undo;

pub(crate) use import::check_import;
pub(crate) use labels::look as look_at_labels;
pub(crate) use machine::MOST_SERVERS;
pub(crate) use own::{adopt_all, engine_ended, soft_reset};
pub(crate) use storage::{
    configure as configure_storage, secret as storage_secret, standing as storage_standing,
};

use crate::audit::Event;
use crate::board::{Item, Refusal, Result1, Set, Stage};
use crate::desk::Desk;
use crate::engine::{ConnKey, Outcome};
use crate::http::At;
use crate::http::respond::Fault;
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::settings::bank::Held;
use lensd_ffi::settings::{Plane, entries};
use lensd_ffi::time::Nanos;
use own::Taken;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How long the engine may take; a camera that is opened anew takes longest.
const PATIENCE: Nanos = Nanos::from_secs(6);
/// How long its answer may be on its way.
const WAY: Nanos = Nanos::from_millis(500);
/// Most change sets under way at once.
const MOST: usize = 1024;

/// Does what follows from the engine's answers to sets.
pub(crate) fn follow(desk: &mut Desk, at: At) {
    for (set, outcome) in desk.take_set_answers() {
        answered(desk, set, &outcome, at);
    }
}

/// Who sets.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    /// The client that is told by its answer and by nothing else.
    pub(crate) origin: Option<ConnKey>,
    /// For the log.
    pub(crate) user: &'a str,
    /// The camera that is meant, whose word counts; none: the active one.
    pub(crate) camera: Option<u32>,
}

impl<'a> By<'a> {
    /// A user who means the active camera.
    pub(crate) const fn user(user: &'a str) -> Self {
        Self { origin: None, user, camera: None }
    }
}

/// Sets several keys in their order. `atomic`: if one is refused, nothing is changed; what does
/// something is done only when all values were taken. `then` is called on the loop, now or later,
/// and always.
pub(crate) fn set(
    desk: &mut Desk,
    items: Vec<Item>,
    atomic: bool,
    by: By<'_>,
    at: At,
    then: impl FnOnce(&mut Desk, Vec<Result1>, At) + 'static,
) {
    let full = desk.board.sets.len() >= MOST;
    let spoilt = atomic && items.iter().any(|i| i.outcome.is_err());
    let stage = if atomic { Stage::Values } else { Stage::All };
    let (By { origin, camera, .. }, user) = (by, by.user.to_owned());
    let mut set = Set { items, stage, began: false, origin, user, camera, then: Box::new(then) };
    if full || spoilt {
        for item in &mut set.items {
            if item.outcome.is_ok() {
                item.refuse(if full { Refusal::Busy } else { Refusal::NotAlone });
            }
        }
        return end(desk, set, at);
    }
    if atomic { undo::in_turn(desk, set, at) } else { engine_part(desk, set, at) }
}

/// The keys of the engine whose turn it is, then those of this plane.
fn engine_part(desk: &mut Desk, mut set: Set<Desk>, at: At) {
    let changes: Vec<(String, Value)> = set
        .items
        .iter()
        .filter(|i| i.is_due(set.stage, Plane::Engine))
        .filter_map(|i| Some((i.entry()?.key.name.to_owned(), i.outcome.clone().ok()?)))
        .collect();
    if changes.is_empty() {
        return own_from(desk, set, 0, at);
    }
    let id = desk.board.next_id;
    desk.board.next_id += 1;
    let ask = within(changes, set.camera, at);
    match desk.engine.ask_for_board(id, ask, PATIENCE, at.mono) {
        Ok(()) => _ = desk.board.sets.insert(id, set),
        Err(fault) => {
            refuse_engine_part(&mut set, &Refusal::Away(fault));
            own_from(desk, set, 0, at);
        }
    }
}

/// A set for the engine, which is to do nothing after we have given it up: it gets a little less
/// time than we wait, for its answer has a way to go.
fn within(changes: Vec<(String, Value)>, camera: Option<u32>, at: At) -> Ask {
    Ask::Set { changes, until: at.mono.plus(PATIENCE.since(WAY)), camera }
}

fn refuse_engine_part(set: &mut Set<Desk>, why: &Refusal) {
    let stage = set.stage;
    for item in set.items.iter_mut().filter(|i| i.is_due(stage, Plane::Engine)) {
        item.refuse(why.clone());
    }
}

/// The engine has answered a set, or has not.
fn answered(desk: &mut Desk, id: u64, outcome: &Outcome, at: At) {
    let Some(mut set) = desk.board.sets.remove(&id) else {
        return undo::answered(desk, id, outcome, at);
    };
    let stage = set.stage;
    match outcome {
        Outcome::Answer(Answer::Set { outcomes }) => {
            let mut outcomes = outcomes.iter();
            for item in set.items.iter_mut().filter(|i| i.is_due(stage, Plane::Engine)) {
                let Some(outcome) = outcomes.next() else {
                    item.refuse(Refusal::Hardware("the engine did not say".to_owned()));
                    continue;
                };
                match &outcome.refused {
                    Some(why) => item.refuse(Refusal::Hardware(why.clone())),
                    None => {
                        item.taken(outcome.held.value.clone());
                        item.in_force = true;
                    }
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
            let why = "the engine did not answer in time; nothing was changed by it";
            let fault = Fault::unavailable("BUSY", why);
            refuse_engine_part(&mut set, &Refusal::Away(fault));
        }
    }
    own_from(desk, set, 0, at);
}

/// The keys of this plane whose turn it is, from an item on; what waits for a worker goes on from
/// there. Then what does something, then the store.
fn own_from(desk: &mut Desk, mut set: Set<Desk>, first: usize, at: At) {
    let spoilt = |set: &Set<Desk>| set.is_atomic() && set.items.iter().any(|i| i.outcome.is_err());
    for at_item in first..set.items.len() {
        if spoilt(&set) {
            break;
        }
        let item = &set.items[at_item];
        let Some(entry) = item.entry().filter(|_| item.is_due(set.stage, Plane::Control)) else {
            continue;
        };
        let Ok(value) = item.outcome.clone() else { continue };
        match own::apply(desk, entry, &value, &set.user, at) {
            Ok(Taken::Now(taken)) => own_taken(desk, &mut set, at_item, Ok(taken)),
            Err(why) => own_taken(desk, &mut set, at_item, Err(why)),
            Ok(Taken::Later(job)) => return own_later(desk, set, at_item, job, at),
        }
    }
    if spoilt(&set) {
        return undo::take_back(desk, set, at);
    }
    if set.stage == Stage::Values {
        set.stage = Stage::Actions;
        return engine_part(desk, set, at);
    }
    let turn = std::mem::take(&mut set.began);
    keep(desk, set, at);
    if turn {
        undo::next(desk, at);
    }
}

/// What a key of this plane has become.
fn own_taken(desk: &mut Desk, set: &mut Set<Desk>, at_item: usize, made: Result<Value, String>) {
    let (origin, item) = (set.origin, &mut set.items[at_item]);
    let Some(entry) = item.entry() else { return };
    match made {
        Ok(taken) => {
            item.taken(taken.clone());
            item.in_force = true;
            own::adopt(desk, entry.key.name, &taken);
            streams::taken(desk, entry.key.name, &taken, &set.user, At::now());
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
    let turns: &[Stage] =
        if set.is_atomic() { &[Stage::Values, Stage::Actions] } else { &[Stage::All] };
    for (turn, item) in turns.iter().flat_map(|turn| set.items.iter().map(move |i| (*turn, i))) {
        let Some(entry) = item.entry().filter(|_| item.has_turn(turn)) else { continue };
        match &item.outcome {
            Ok(value) if entry.key.saved => _ = changes.insert(entry.index, Some(value.clone())),
            Ok(Value::Bool(true)) if entry.key.name == "image-reset" => {
                let picture = entries().iter().filter(|e| e.is_of_picture());
                changes.extend(picture.map(|e| (e.index, None)));
            }
            _ => {}
        }
    }
    if changes.is_empty() {
        return end(desk, set, at);
    }
    let kept: Vec<(usize, Option<Value>)> =
        changes.keys().map(|index| (*index, desk.board.wanted.get(index).cloned())).collect();
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
            if set.is_atomic() {
                want_as_before(desk, &kept);
                let first = set.items.iter_mut().find(|i| i.entry().is_some_and(|e| e.key.saved));
                if let Some(item) = first {
                    item.refuse(Refusal::NotKept(why));
                }
                return undo::take_back(desk, set, at);
            }
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

/// What was wanted before a set that cannot be stored.
fn want_as_before(desk: &mut Desk, kept: &[(usize, Option<Value>)]) {
    for (index, before) in kept {
        match before {
            Some(value) => _ = desk.board.wanted.insert(*index, value.clone()),
            None => _ = desk.board.wanted.remove(index),
        }
        if entries()[*index].plane() == Plane::Engine {
            desk.board.bank.set(*index, &Held::of(before.clone().unwrap_or_default()));
        }
    }
}

/// Who has set what since the last time: one line each, however often a slider moved. **Before
/// anything that may end this process, too.**
pub(crate) fn write_down(desk: &mut Desk, at: At) {
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
    let turn = set.began;
    for item in &set.items {
        if let (Some(entry), Ok(value)) = (item.entry(), &item.outcome)
            && desk.board.changed.len() < MOST
        {
            desk.board.changed.insert((set.user.clone(), entry.key.name), entry.masked(value));
        }
    }
    let results = set
        .items
        .into_iter()
        .map(|item| Result1 { name: item.name, outcome: item.outcome })
        .collect();
    (set.then)(desk, results, at);
    if turn {
        undo::next(desk, at);
    }
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
            include_str!("check.rs"),
            include_str!("machine.rs"),
            include_str!("labels.rs"),
            include_str!("storage.rs"),
            include_str!("streams.rs"),
            include_str!("../rest/metrics.rs"),
            include_str!("../onvif/run.rs"),
            include_str!("../inputs.rs"),
            include_str!("../run.rs"),
        ]
        .concat();
        for entry in entries().iter().filter(|e| e.plane() == Plane::Control) {
            let name = format!("\"{}\"", entry.key.name);
            // The limits of addresses are taken by what they begin with, and named one by one.
            assert!(code.contains(&name), "{name} is taken and measured by nobody");
        }
    }
}
