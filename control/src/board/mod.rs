//! Every setting and measured value as clients see it: what is known, what is wanted and kept, what
//! is news, and which changes are under way. What is done with it is in the room above (`settings`).

mod events;
mod news;
mod notices;
mod proposal;

pub(crate) use events::{Event as Happened, Events};
use news::News;
pub(crate) use notices::{Meter, Notices, Seen};
pub(crate) use proposal::{Item, MOST_KEYS, Refusal, known, propose};

use crate::engine::ConnKey;
use crate::http::At;
use crate::store::Store;
use lensd_ffi::region::Region;
use lensd_ffi::settings::bank::{BankReader, BankWriter, Held};
use lensd_ffi::settings::{Entry, Plane, entries, find};
use lensd_ffi::state::BANK_AT;
use lensd_ffi::time::Nanos;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What became of one change of a set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Result1 {
    /// The name by which it was asked for.
    pub(crate) name: String,
    /// The value that holds now, or why it was not taken.
    pub(crate) outcome: Result<Value, Refusal>,
}

/// Does what follows when a set of changes has come to its end.
pub(crate) type Then<W> = Box<dyn FnOnce(&mut W, Vec<Result1>, At)>;

/// What follows when values are stored, or are not and why.
pub(crate) type Stored<W> = Box<dyn FnOnce(&mut W, Result<(), String>, At)>;

/// A set of changes under way.
pub(crate) struct Set<W> {
    pub(crate) items: Vec<Item>,
    pub(crate) stage: Stage,
    /// Whether it has its turn, and the next one waits for its end.
    pub(crate) began: bool,
    /// Who asked, to whom it is not told again.
    pub(crate) origin: Option<ConnKey>,
    /// Who asked, for the log.
    pub(crate) user: String,
    /// The camera whose word counts; none: the active one.
    pub(crate) camera: Option<u32>,
    pub(crate) then: Then<W>,
}

impl<W> Set<W> {
    /// Whether it is all or nothing.
    pub(crate) fn is_atomic(&self) -> bool {
        self.stage != Stage::All
    }
}

/// What of a set has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everything: each key stands for itself.
    All,
    /// All or nothing, and first the values, which can be taken back.
    Values,
    /// Then what does something, which cannot.
    Actions,
}

/// What is to be stored.
pub(crate) struct Saves<W> {
    /// By the keys' places; none: as if it had never been set.
    pub(crate) changes: BTreeMap<usize, Option<Value>>,
    pub(crate) thens: Vec<Stored<W>>,
    /// Of the transaction that is under way.
    pub(crate) saved: Vec<Stored<W>>,
    pub(crate) under_way: bool,
    /// Transactions that came to their end.
    pub(crate) over: u64,
}

/// See the module.
pub(crate) struct Board<W> {
    pub(crate) bank: BankWriter<Region>,
    engine: Option<BankReader<Region>>,
    /// What clients see, by the keys' places.
    held: Vec<Held>,
    /// What was set and is kept, by the keys' places.
    pub(crate) wanted: BTreeMap<usize, Value>,
    pub(crate) sets: BTreeMap<u64, Set<W>>,
    /// Sets that were refused, while what was taken of them is taken back, and of how many parts
    /// that is still to be heard.
    pub(crate) backs: BTreeMap<u64, (Set<W>, usize)>,
    /// Whether a set that is all or nothing is under way, and those that come after it.
    pub(crate) trial: bool,
    pub(crate) trials: VecDeque<Set<W>>,
    pub(crate) next_id: u64,
    pub(crate) saves: Saves<W>,
    news: News,
    /// What was set since the last look, for the audit log: by user and key.
    pub(crate) changed: BTreeMap<(String, &'static str), Value>,
    pub(crate) notices: Notices,
    pub(crate) meter: Meter,
}

impl<W> Board<W> {
    /// With what is stored.
    pub(crate) fn new(memory: Arc<Region>, store: &Store) -> Self {
        let mut board = Self {
            bank: BankWriter::create(memory, BANK_AT),
            engine: None,
            held: entries().iter().map(|e| Held::of(e.key.default.value())).collect(),
            wanted: BTreeMap::new(),
            sets: BTreeMap::new(),
            backs: BTreeMap::new(),
            trial: false,
            trials: VecDeque::new(),
            next_id: 1,
            saves: Saves {
                changes: BTreeMap::new(),
                thens: Vec::new(),
                saved: Vec::new(),
                under_way: false,
                over: 0,
            },
            news: News::default(),
            changed: BTreeMap::new(),
            notices: Notices::default(),
            meter: Meter::default(),
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

    /// The value of a key, by its name; null if there is no such key.
    pub(crate) fn value(&self, name: &str) -> &Value {
        find(name).map_or(&Value::Null, |entry| &self.held(entry).value)
    }

    /// What is kept of a key; none: nothing was set.
    pub(crate) fn wanted(&self, entry: &Entry) -> Option<&Value> {
        self.wanted.get(&entry.index)
    }

    /// What is known of a key is another; `origin` knows already.
    pub(crate) fn note(&mut self, index: usize, held: Held, origin: Option<ConnKey>) {
        if self.held[index] == held {
            return;
        }
        let told = self.held[index].value != held.value && !entries()[index].key.action;
        if told {
            self.news.note(index, origin);
        }
        self.held[index] = held;
    }

    /// A value of this plane, measured or set.
    pub(crate) fn own(&mut self, name: &str, held: Held, origin: Option<ConnKey>) {
        let Some(entry) = find(name) else { return };
        if self.held[entry.index] != held {
            self.bank.set(entry.index, &held);
            self.note(entry.index, held, origin);
        }
    }

    /// Whether it is time for [`Board::take_news`]: not while a change is on its way to the disk.
    pub(crate) fn may_tell(&mut self, now: Nanos) -> bool {
        let saves = &self.saves;
        self.news.is_time(saves.under_way.then_some(saves.over), now)
    }

    /// When news have waited long enough.
    pub(crate) fn news_deadline(&self) -> Option<Nanos> {
        self.news.deadline()
    }

    /// Keys whose values have changed, and who knows already. Calling takes them.
    pub(crate) fn take_news(&mut self) -> BTreeMap<usize, Option<ConnKey>> {
        self.news.take()
    }
}

/// Keys that are of one module, by its name.
pub(crate) fn modules() -> BTreeSet<&'static str> {
    entries().iter().map(|e| e.module.name).collect()
}
