//! Every setting and measured value as clients see it, and how one becomes another.
//!
//! A change is checked (name, permission, value), then taken by whoever owns the key: the engine
//! over the link, or this plane by [`own`]. What was taken is stored, and only when it is on the
//! disk is it confirmed and told to the others: who has a confirmation has it also after the power
//! went.

mod own;
mod proposal;
mod save;

pub(crate) use own::adopt_all;
pub(crate) use proposal::{Item, Refusal, propose};

use crate::desk::{ConnKey, Desk};
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::Fault;
use crate::store::Store;
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::region::Region;
use lensd_ffi::settings::bank::{BankReader, BankWriter, Held};
use lensd_ffi::settings::{Entry, Plane, entries, find};
use lensd_ffi::state::BANK_AT;
use lensd_ffi::time::Nanos;
use save::Saves;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How long the engine may take; a camera that is opened anew takes longest.
const PATIENCE: Nanos = Nanos::from_secs(6);
/// Most change sets under way at once.
const MOST: usize = 1024;

/// What became of one change of a set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Result1 {
    /// The name by which it was asked for.
    pub(crate) name: String,
    /// The value that holds now, or why it was not taken.
    pub(crate) outcome: Result<Value, Refusal>,
}

/// Does what follows when a set of changes has come to its end.
pub(crate) type Then = Box<dyn FnOnce(&mut Desk, Vec<Result1>, At)>;

/// A set of changes under way.
struct Set {
    items: Vec<Item>,
    /// All or nothing.
    atomic: bool,
    /// Who asked, to whom it is not told again.
    origin: Option<ConnKey>,
    /// Who asked, for the log.
    user: String,
    then: Then,
}

/// See the module.
pub(crate) struct Board {
    bank: BankWriter<Region>,
    engine: Option<BankReader<Region>>,
    /// What clients see, by the keys' places.
    held: Vec<Held>,
    /// What was set and is kept, by the keys' places.
    wanted: BTreeMap<usize, Value>,
    sets: BTreeMap<u64, Set>,
    next_id: u64,
    saves: Saves,
    /// Keys with another value than clients were told, and who knows already.
    news: BTreeMap<usize, Option<ConnKey>>,
    pub(crate) notices: own::Notices,
    meter: own::Meter,
}

impl Board {
    /// With what is stored.
    pub(crate) fn new(memory: Arc<Region>, store: &Store) -> Self {
        let mut board = Self {
            bank: BankWriter::create(memory, BANK_AT),
            engine: None,
            held: entries().iter().map(|e| Held::of(e.key.default.value())).collect(),
            wanted: BTreeMap::new(),
            sets: BTreeMap::new(),
            next_id: 1,
            saves: Saves::default(),
            news: BTreeMap::new(),
            notices: own::Notices::default(),
            meter: own::Meter::default(),
        };
        for (name, value) in store.load_settings() {
            // A key of another version, or a value that is not possible any more, is left alone in
            // the store: an older program may come back to it.
            let Some(entry) = find(&name).filter(|e| e.key.saved) else { continue };
            match entry.key.kind.check(&value) {
                Ok(value) => _ = board.wanted.insert(entry.index, value),
                Err(why) => tracing::warn!(key = name, "the stored value is passed over: {why}"),
            }
        }
        board.write_bank();
        board
    }

    /// The bank from nothing: what is wanted of the engine, and our own values.
    fn write_bank(&mut self) {
        for entry in entries() {
            let wanted = self.wanted.get(&entry.index).cloned();
            let held = match (entry.plane(), wanted) {
                (Plane::Engine, None) => continue,
                (_, Some(value)) => Held::of(value),
                (Plane::Control, None) => Held::of(entry.key.default.value()),
            };
            self.bank.set(entry.index, &held);
            if entry.plane() == Plane::Control {
                self.held[entry.index] = held;
            }
        }
    }

    /// Another incarnation of the engine: its bank.
    pub(crate) fn meet_engine(&mut self, memory: Arc<Region>) {
        self.engine = BankReader::attach(memory, BANK_AT);
        self.look_at_engine();
    }

    /// Takes over what the engine has published since.
    pub(crate) fn look_at_engine(&mut self) {
        let changed = self.engine.as_mut().map(BankReader::changed).unwrap_or_default();
        for (index, held) in changed {
            if entries().get(index).is_some_and(|e| e.plane() == Plane::Engine) {
                self.note(index, held, None);
            }
        }
    }

    /// What is known of a key.
    pub(crate) fn held(&self, entry: &Entry) -> &Held {
        &self.held[entry.index]
    }

    /// What is kept of a key; none: nothing was set.
    pub(crate) fn wanted(&self, entry: &Entry) -> Option<&Value> {
        self.wanted.get(&entry.index)
    }

    fn note(&mut self, index: usize, held: Held, origin: Option<ConnKey>) {
        if self.held[index] == held {
            return;
        }
        let told = self.held[index].value != held.value && !entries()[index].key.action;
        if told {
            let known = self.news.entry(index).or_insert(origin);
            if *known != origin {
                *known = None;
            }
        }
        self.held[index] = held;
    }

    /// A value of this plane, measured or set.
    fn own(&mut self, name: &str, held: Held, origin: Option<ConnKey>) {
        let Some(entry) = find(name) else { return };
        if self.held[entry.index] != held {
            self.bank.set(entry.index, &held);
            self.note(entry.index, held, origin);
        }
    }

    /// Keys whose values have changed, and who knows already. Calling takes them.
    pub(crate) fn take_news(&mut self) -> BTreeMap<usize, Option<ConnKey>> {
        std::mem::take(&mut self.news)
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

fn refuse_engine_part(set: &mut Set, why: &Refusal) {
    for item in &mut set.items {
        let engine = item.entry().is_some_and(|e| e.plane() == Plane::Engine);
        if engine && item.outcome.is_ok() {
            item.refuse(why.clone());
        }
    }
}

/// The engine has answered a set, or has not.
pub(crate) fn answered(desk: &mut Desk, id: u64, outcome: &Outcome, at: At) {
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
        return take_back(desk, set, at);
    }
    own_part(desk, set, at);
}

/// Undoes what was taken of a set that is all or nothing.
fn take_back(desk: &mut Desk, mut set: Set, at: At) {
    let mut changes = Vec::new();
    for item in &mut set.items {
        let Some(entry) = item.entry().filter(|_| item.outcome.is_ok()) else { continue };
        if entry.plane() == Plane::Engine && !entry.key.action && !item.before.is_null() {
            changes.push((entry.key.name.to_owned(), item.before.clone()));
        }
        item.refuse(Refusal::NotAlone);
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

/// The keys of this plane, then the store.
fn own_part(desk: &mut Desk, mut set: Set, at: At) {
    for at_item in 0..set.items.len() {
        let item = &set.items[at_item];
        let Some(entry) = item.entry().filter(|e| e.plane() == Plane::Control) else { continue };
        let Ok(value) = item.outcome.clone() else { continue };
        let result = own::apply(desk, entry, &value, &set.user, at);
        let item = &mut set.items[at_item];
        match result {
            Ok(taken) => {
                item.taken(taken.clone());
                if !entry.key.action {
                    desk.board.own(entry.key.name, Held::of(taken), set.origin);
                }
            }
            Err(why) => item.refuse(Refusal::Hardware(why)),
        }
    }
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
    desk.board.saves.add(
        changes,
        Box::new(move |desk, stored, at| {
            if let Err(why) = stored {
                for item in &mut set.items {
                    if item.outcome.is_ok() && item.entry().is_some_and(|e| e.key.saved) {
                        item.refuse(Refusal::NotStored(why.clone()));
                    }
                }
            }
            end(desk, set, at);
        }),
    );
    save::go_on(desk);
}

/// Tells whoever asked.
fn end(desk: &mut Desk, set: Set, at: At) {
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
    save::go_on(desk);
}

/// Keys that are of one module, by its name.
pub(crate) fn modules() -> BTreeSet<&'static str> {
    entries().iter().map(|e| e.module.name).collect()
}
