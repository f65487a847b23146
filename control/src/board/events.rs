//! The event log: what is written down of people and what operators are told, in one order.

use super::Notices;
use crate::audit::Audit;
use lensd_ffi::auth::{Access, Permission};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// Events that are kept.
const MOST: usize = 1000;

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its number, from 1.
    pub(crate) id: u64,
    /// `notice` or `audit`.
    pub(crate) kind: &'static str,
    body: Map<String, Value>,
}

impl Event {
    /// What one must be allowed to read it: names and addresses of people are not for everybody.
    pub(crate) fn access(&self) -> Access {
        Access::read(if self.kind == "audit" { Permission::User } else { Permission::System })
    }

    /// As JSON.
    pub(crate) fn value(&self) -> Value {
        let mut body = self.body.clone();
        body.insert("id".to_owned(), json!(self.id));
        body.insert("kind".to_owned(), json!(self.kind));
        Value::Object(body)
    }
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Events {
    list: VecDeque<Event>,
    last: u64,
    audited: u64,
    noticed: u64,
}

impl Events {
    /// Takes over what has happened since; whether that is anything.
    pub(crate) fn look(&mut self, audit: &Audit, notices: &Notices) -> bool {
        let before = self.last;
        let (number, recent) = audit.recent();
        let new = usize::try_from(number.saturating_sub(self.audited)).unwrap_or(usize::MAX);
        if new > 0 {
            let mut lines: Vec<Value> = recent.rev().take(new).cloned().collect();
            lines.reverse();
            lines.into_iter().for_each(|line| self.add("audit", line));
            self.audited = number;
        }
        for (id, value) in notices.since(self.noticed) {
            self.noticed = id;
            self.add("notice", value);
        }
        self.last > before
    }

    fn add(&mut self, kind: &'static str, value: Value) {
        let Value::Object(body) = value else { return };
        self.last += 1;
        if self.list.len() >= MOST {
            self.list.pop_front();
        }
        self.list.push_back(Event { id: self.last, kind, body });
    }

    /// The number of the newest.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Those after number `id`, oldest first.
    pub(crate) fn since(&self, id: u64) -> impl DoubleEndedIterator<Item = &Event> {
        let from = self.list.partition_point(|event| event.id <= id);
        self.list.range(from..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event as Happened;
    use crate::http::At;
    use std::path::Path;

    #[test]
    fn both_logs_become_one_and_it_is_bounded() {
        let mut audit = Audit::open(Path::new("/proc/none"));
        let mut notices = Notices::default();
        let mut events = Events::default();
        assert!(!events.look(&audit, &notices));
        notices.add("error", "camera 1 is gone", At::default());
        audit.note(&Happened { what: "login", user: "ann", ..Happened::default() }, 1);
        assert!(events.look(&audit, &notices) && !events.look(&audit, &notices));
        let all: Vec<Value> = events.since(0).map(Event::value).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0]["event"], &all[0]["kind"]), (&json!("login"), &json!("audit")));
        assert_eq!((&all[1]["level"], &all[1]["id"]), (&json!("error"), &json!(2)));
        assert_eq!(events.since(1).next().unwrap().access().permission, Permission::System);
        for i in 0..3 * MOST {
            audit.note(&Happened { what: "login", ..Happened::default() }, 1);
            if i % 700 == 0 {
                events.look(&audit, &notices);
            }
        }
        events.look(&audit, &notices);
        assert_eq!(events.since(0).count(), MOST);
        assert_eq!(events.since(events.last()).count(), 0);
    }
}
