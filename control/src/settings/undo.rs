//! Sets that are all or nothing: they come one after the other, and one that is refused is answered
//! only when what was taken of it is taken back.

use super::own::{self, Taken};
use super::{PATIENCE, end, engine_part, within};
use crate::board::{Refusal, Set};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use lensd_ffi::link::Answer;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::settings::{Entry, Plane, find};
use serde_json::Value;

/// Most sets that wait for their turn: each may take as long as a camera does.
const MOST_WAITING: usize = 16;

/// Begins a set, now or when those before it have ended: what one tries out must not be what another
/// one takes for the value before.
pub(super) fn in_turn(desk: &mut Desk, mut set: Set<Desk>, at: At) {
    if !desk.board.trial {
        return begin(desk, set, at);
    }
    if desk.board.trials.len() >= MOST_WAITING {
        set.items.iter_mut().for_each(|item| item.refuse(Refusal::Busy));
        return end(desk, set, at);
    }
    desk.board.trials.push_back(set);
}

fn begin(desk: &mut Desk, mut set: Set<Desk>, at: At) {
    desk.board.trial = true;
    set.began = true;
    for item in &mut set.items {
        if let Some(entry) = item.entry() {
            item.before = before(desk, entry);
        }
    }
    engine_part(desk, set, at);
}

/// What is to hold of a key: what was set, or what it is.
fn before(desk: &Desk, entry: &Entry) -> Value {
    let board = &desk.board;
    board.wanted(entry).unwrap_or(&board.held(entry).value).clone()
}

/// A set has ended: the next one's turn.
pub(super) fn next(desk: &mut Desk, at: At) {
    desk.board.trial = false;
    if let Some(set) = desk.board.trials.pop_front() {
        begin(desk, set, at);
    }
}

/// Takes back what was taken of a set, in the end's place.
pub(super) fn take_back(desk: &mut Desk, mut set: Set<Desk>, at: At) {
    let (mut changes, mut own) = (Vec::new(), Vec::new());
    for item in &mut set.items {
        if item.outcome.is_ok() {
            item.refuse(Refusal::NotAlone);
        }
        let Some(entry) = item.entry().filter(|e| item.in_force && !e.key.action) else { continue };
        // Somebody else may have set it meanwhile, by itself.
        let wanted = desk.board.wanted(entry).cloned();
        let before = wanted.unwrap_or_else(|| item.before.clone());
        if before.is_null() {
            continue;
        }
        match entry.plane() {
            Plane::Engine => changes.push((entry.key.name.to_owned(), before)),
            Plane::Control => own.push((entry, before)),
        }
    }
    let id = desk.board.next_id;
    desk.board.next_id += 1;
    let (user, camera) = (set.user.clone(), set.camera);
    // One more than there is, until all have begun.
    desk.board.backs.insert(id, (set, 1));
    if !changes.is_empty() {
        let ask = within(changes, camera, at);
        match desk.engine.ask_for_board(id, ask, PATIENCE, at.mono) {
            Ok(()) => begun(desk, id),
            // Then it has ended, and the next one gets what is wanted.
            Err(fault) => tracing::warn!("settings could not be taken back: {}", fault.message),
        }
    }
    for (entry, before) in own {
        own_back(desk, id, entry, &before, &user, at);
    }
    done(desk, id, at);
}

fn begun(desk: &mut Desk, id: u64) {
    if let Some((_, left)) = desk.board.backs.get_mut(&id) {
        *left += 1;
    }
}

/// A part of it is taken back, or cannot be: whoever waits for the last one is answered.
fn done(desk: &mut Desk, id: u64, at: At) {
    let Some((_, left)) = desk.board.backs.get_mut(&id) else { return };
    *left -= 1;
    if *left == 0
        && let Some((set, _)) = desk.board.backs.remove(&id)
    {
        end(desk, set, at);
    }
}

/// The engine has taken its part back, or has not.
pub(super) fn answered(desk: &mut Desk, id: u64, outcome: &Outcome, at: At) {
    if let Outcome::Answer(Answer::Set { outcomes }) = outcome {
        for outcome in outcomes {
            if let Some(why) = &outcome.refused {
                tracing::warn!("{} could not be taken back: {why}", outcome.key);
            }
            if let Some(entry) = find(&outcome.key) {
                desk.board.note(entry.index, outcome.held.clone(), None);
            }
        }
    } else {
        tracing::warn!("settings could not be taken back: the engine did not answer");
    }
    done(desk, id, at);
}

/// A key of this plane as it was.
fn own_back(desk: &mut Desk, id: u64, entry: &'static Entry, before: &Value, user: &str, at: At) {
    let name = entry.key.name;
    match own::apply(desk, entry, before, user, at) {
        Ok(Taken::Now(value)) => own_is_back(desk, name, Ok(value)),
        Ok(Taken::Later(job)) => {
            let then = move |desk: &mut Desk, made: Result<Result<Value, String>, _>, at| {
                let failed = |_| Err("the work for it has failed".to_owned());
                own_is_back(desk, name, made.unwrap_or_else(failed));
                done(desk, id, at);
            };
            match desk.work.try_run(job, then) {
                Ok(()) => begun(desk, id),
                Err(fault) => own_is_back(desk, name, Err(fault.message)),
            }
        }
        Err(why) => own_is_back(desk, name, Err(why)),
    }
}

fn own_is_back(desk: &mut Desk, name: &str, made: Result<Value, String>) {
    match made {
        Ok(value) => {
            own::adopt(desk, name, &value);
            desk.board.own(name, Held::of(value), None);
        }
        Err(why) => tracing::warn!("{name} could not be taken back: {why}"),
    }
}
