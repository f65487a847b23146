//! Changes as they are asked for, and why one is refused.

use super::{Board, Stage};
use crate::http::respond::Fault;
use lensd_ffi::auth::Access;
use lensd_ffi::settings::{Entry, Kind, Plane, find, resolve};
use serde_json::Value;
use std::collections::BTreeMap;

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// There is no such key; names that are near.
    Unknown(Vec<&'static str>),
    /// Whoever asks may not.
    Denied(Access),
    /// Nobody can: it is measured.
    ReadOnly,
    /// The value is not possible: what is.
    Invalid(String),
    /// Who owns the key did not take it: why.
    Hardware(String),
    /// The engine is not there.
    Away(Fault),
    /// Another change of the same set was refused.
    NotAlone,
    /// Too many changes are under way.
    Busy,
    /// It holds, but not beyond a restart.
    NotStored(String),
    /// It cannot be stored, and so was taken back.
    NotKept(String),
}

impl Refusal {
    /// The short text of SURFACE section 4.
    pub(crate) fn error(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "Unknown key",
            Self::Denied(_) => "Permission denied",
            Self::ReadOnly | Self::Invalid(_) | Self::Hardware(_) => "Invalid value",
            Self::Away(fault) => fault.error,
            Self::NotAlone => "Not applied",
            Self::Busy => "Busy",
            Self::NotStored(_) | Self::NotKept(_) => "Not stored",
        }
    }

    /// What to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unknown(near) if near.is_empty() => {
                "there is no such key; see /api/openapi.json or {\"get\": \"*\"}".to_owned()
            }
            Self::Unknown(near) => format!("there is no such key; is it {}?", near.join(" or ")),
            Self::Denied(access) => format!(
                "this needs permission to {} {:?}; log in, or ask an administrator",
                if access.write { "change" } else { "read" },
                access.permission
            ),
            Self::ReadOnly => "this value is measured and cannot be set".to_owned(),
            Self::Invalid(why) | Self::Hardware(why) => why.clone(),
            Self::Away(fault) => fault.message.to_string(),
            Self::NotAlone => "another change of this request was refused".to_owned(),
            Self::Busy => "too many changes are under way; try again in a second".to_owned(),
            Self::NotStored(why) => format!("it holds until the next restart only: {why}"),
            Self::NotKept(why) => format!("it cannot be kept, so nothing was changed: {why}"),
        }
    }

    /// As an answer of HTTP, without the key.
    pub(crate) fn fault(&self) -> Fault {
        let (status, code) = match self {
            Self::Unknown(_) => (404, "NOT_FOUND"),
            Self::Denied(_) => (403, "PERMISSION_DENIED"),
            Self::ReadOnly | Self::Invalid(_) | Self::Hardware(_) => (422, "INVALID_VALUE"),
            Self::NotAlone => (422, "NOT_APPLIED"),
            Self::Away(fault) => return fault.clone(),
            Self::Busy => (503, "BUSY"),
            Self::NotStored(_) | Self::NotKept(_) => (503, "INSUFFICIENT_STORAGE"),
        };
        Fault::new(status, code, self.error(), self.message())
    }
}

/// One change of a set.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The name by which it was asked for.
    pub(crate) name: String,
    entry: Option<&'static Entry>,
    /// The value to be taken, then the one that was; or why not.
    pub(crate) outcome: Result<Value, Refusal>,
    /// The value before.
    pub(crate) before: Value,
    /// Whether whoever owns the key has taken it.
    pub(crate) in_force: bool,
}

impl Item {
    pub(crate) const fn entry(&self) -> Option<&'static Entry> {
        self.entry
    }

    /// Whether it is to be taken by a plane at a stage of its set.
    pub(crate) fn is_due(&self, stage: Stage, plane: Plane) -> bool {
        let of_plane = self.entry.is_some_and(|e| e.plane() == plane);
        of_plane && self.outcome.is_ok() && self.has_turn(stage)
    }

    /// Whether a stage is about what it is.
    pub(crate) fn has_turn(&self, stage: Stage) -> bool {
        let Some(entry) = self.entry else { return false };
        // A recording that was begun is a file, whatever is set afterwards.
        let acts = entry.key.action || entry.key.name == "record";
        match stage {
            Stage::All => true,
            Stage::Values => !acts,
            Stage::Actions => acts,
        }
    }

    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.outcome = Err(why);
    }

    pub(crate) fn taken(&mut self, value: Value) {
        // An action leaves no value behind: what was asked for is confirmed. But for a text: that is
        // a secret, of which nobody is told, and which is not written down.
        let secret = |e: &Entry| e.key.action && matches!(e.key.kind, Kind::Text(_));
        if self.entry.is_some_and(|e| !e.key.action || secret(e)) {
            self.outcome = Ok(value);
        }
    }
}

/// Most keys in one message.
pub(crate) const MOST_KEYS: usize = 512;
/// For how many unknown ones of a message near names are looked for: each is compared with all.
const SUGGESTED: usize = 8;

/// The key of a name, or that there is none; `suggested`: how often near ones were looked for.
pub(crate) fn known(name: &str, suggested: &mut usize) -> Result<&'static Entry, Refusal> {
    if let Some(entry) = find(name) {
        return Ok(entry);
    }
    *suggested += 1;
    let near =
        if *suggested > SUGGESTED { Vec::new() } else { resolve(name).err().unwrap_or_default() };
    Err(Refusal::Unknown(near))
}

/// Checks changes, each for itself. `may`: what whoever asks is allowed.
pub(crate) fn propose<W>(
    board: &Board<W>,
    changes: impl IntoIterator<Item = (String, Value)>,
    may: impl Fn(Access) -> bool,
) -> Vec<Item> {
    let mut suggested = 0;
    let mut check = |name: &str, value: &Value| {
        let entry = known(name, &mut suggested).map_err(|why| Box::new((None, why)))?;
        let refuse = |why| Box::new((Some(entry), why));
        let Some(write) = entry.write() else {
            let read = entry.read();
            // Who may not read it does not learn what it is.
            return Err(refuse(if may(read) { Refusal::ReadOnly } else { Refusal::Denied(read) }));
        };
        if !may(write) {
            return Err(refuse(Refusal::Denied(write)));
        }
        let checked = entry.key.kind.check(value);
        checked.map(|v| (entry, v)).map_err(|why| refuse(Refusal::Invalid(why.0)))
    };
    let item = move |(name, value): (String, Value)| match check(&name, &value) {
        Ok((entry, value)) => {
            let before = board.held(entry).value.clone();
            Item { name, entry: Some(entry), outcome: Ok(value), before, in_force: false }
        }
        Err(refused) => {
            let (entry, why) = *refused;
            Item { name, entry, outcome: Err(why), before: Value::Null, in_force: false }
        }
    };
    let mut items: Vec<Item> = changes.into_iter().map(item).collect();
    refuse_twins(&mut items);
    items
}

/// A key that stands there by two of its names would be confirmed with two values.
fn refuse_twins(items: &mut [Item]) {
    let mut names: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        if let Some(entry) = item.entry {
            names.entry(entry.index).or_default().push(place);
        }
    }
    for twins in names.into_values().filter(|places| places.len() > 1) {
        let all: Vec<String> = twins.iter().map(|place| items[*place].name.clone()).collect();
        let why = format!("{} are names of one key: give one of them", all.join(" and "));
        for place in twins {
            items[place].refuse(Refusal::Invalid(why.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use lensd_ffi::region::Region;
    use lensd_ffi::state::PLANE_WORDS;
    use std::sync::Arc;

    #[test]
    fn names_are_suggested_for_the_first_few_only_and_mean_one_key_once() {
        let memory = Arc::new(Region::create("proposal", PLANE_WORDS).unwrap());
        let board = Board::<()>::new(memory, &Store::volatile(None));
        let changes = (0..100).map(|i| (format!("brightnes{i}"), Value::Null));
        let items = propose(&board, changes, |_| true);
        let twins = ["jpeg-quality", "pictureQuality", "brightness"];
        let items_of_twins = propose(&board, twins.map(|n| (n.to_owned(), 20.into())), |_| true);
        let refused: Vec<bool> = items_of_twins.iter().map(|i| i.outcome.is_err()).collect();
        assert_eq!(refused, [true, true, false]);
        let near = |i: &Item| matches!(&i.outcome, Err(Refusal::Unknown(near)) if !near.is_empty());
        assert_eq!(items.iter().filter(|i| near(i)).count(), SUGGESTED);
        assert!(items.iter().all(|i| matches!(i.outcome, Err(Refusal::Unknown(_)))));
    }
}
