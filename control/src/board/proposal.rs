//! Changes as they are asked for, and why one is refused.

use super::Board;
use crate::http::respond::Fault;
use lensd_ffi::auth::Access;
use lensd_ffi::settings::{Entry, resolve};
use serde_json::Value;

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
            Self::NotStored(_) => "Not stored",
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
            Self::NotStored(_) => (503, "INSUFFICIENT_STORAGE"),
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
}

impl Item {
    pub(crate) const fn entry(&self) -> Option<&'static Entry> {
        self.entry
    }

    pub(crate) fn refuse(&mut self, why: Refusal) {
        self.outcome = Err(why);
    }

    pub(crate) fn taken(&mut self, value: Value) {
        // An action leaves no value behind: what was asked for is confirmed.
        if self.entry.is_some_and(|e| !e.key.action) {
            self.outcome = Ok(value);
        }
    }
}

/// Checks changes, each for itself. `may`: what whoever asks is allowed.
pub(crate) fn propose<W>(
    board: &Board<W>,
    changes: impl IntoIterator<Item = (String, Value)>,
    may: impl Fn(Access) -> bool,
) -> Vec<Item> {
    let check = |name: &str, value: &Value| {
        let entry = resolve(name).map_err(|near| Box::new((None, Refusal::Unknown(near))))?;
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
    let item = |(name, value): (String, Value)| match check(&name, &value) {
        Ok((entry, value)) => {
            let before = board.held(entry).value.clone();
            Item { name, entry: Some(entry), outcome: Ok(value), before }
        }
        Err(refused) => {
            let (entry, why) = *refused;
            Item { name, entry, outcome: Err(why), before: Value::Null }
        }
    };
    changes.into_iter().map(item).collect()
}
