//! What a handler gets, and how it answers later.

use super::table::Operation;
use super::{Address, From, envelope, of_fault};
use crate::accounts::{Accounts, Refusal as Refused};
use crate::board::{Refusal, Result1, propose};
use crate::desk::{ConnKey, Desk};
use crate::engine::Outcome;
use crate::http::At;
use crate::http::respond::Response;
use crate::settings::{self, By};
use crate::soap::{self, Fault, Header, Node, Writer};
use lensd_ffi::auth::{Access, Login};
use lensd_ffi::link::{Answer as Said, Ask};
use lensd_ffi::time::Nanos;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;

/// Most changes of one list that wait.
const MOST_EDITS: usize = 16;

/// How a handler has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It has written the response.
    Now,
    /// It has seen to it that [`Ticket::answer`] follows.
    Later,
}

/// What a handler returns.
pub(super) type Answer = Result<Done, Fault>;

/// A handler: it reads the operation's element, and writes the one of the response.
pub(super) type Handler = for<'a, 'b> fn(&'a mut Call<'b>, Node<'b>, &'a mut Writer) -> Answer;

/// A request in the hands of its handler.
pub(super) struct Call<'a> {
    pub(super) desk: &'a mut Desk,
    /// Who calls; a guest where none is needed.
    pub(super) who: Login,
    pub(super) from: From,
    pub(super) at: At,
    /// Where the caller reaches us.
    pub(super) address: Address,
    /// The path below `/onvif`.
    pub(super) segments: &'a [String],
    pub(super) operation: &'static Operation,
    pub(super) header: Header,
    /// The camera whose word counts for settings of pictures; none: the active one.
    pub(super) camera: Option<u32>,
}

/// What is kept of a call until its answer.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    key: ConnKey,
    header: Header,
    operation: &'static Operation,
}

impl Ticket {
    /// The response with what was written.
    pub(super) fn response(&self, body: Writer) -> Response {
        let body = body.fragment();
        let action = self.operation.response_action();
        envelope(200, soap::answer(&self.header, Some(&action), |w| _ = w.append(&body)))
    }

    /// The response that tells a fault.
    pub(super) fn fault(&self, fault: &Fault, at: At) -> Response {
        of_fault(&self.header, fault, at)
    }

    /// Answers with what `write` writes, or its fault.
    pub(super) fn answer(
        &self,
        desk: &mut Desk,
        at: At,
        write: impl FnOnce(&mut Desk, &mut Writer) -> Result<(), Fault>,
    ) {
        let mut w = Writer::new();
        let response = match write(desk, &mut w) {
            Ok(()) => self.response(w),
            Err(fault) => of_fault(&self.header, &fault, at),
        };
        desk.answer_later(self.key, response);
    }
}

impl Call<'_> {
    /// For an answer that comes later.
    pub(super) fn ticket(&self) -> Ticket {
        let (key, operation) = (self.from.key, self.operation);
        Ticket { key, header: self.header.clone(), operation }
    }

    /// The connection that waits for the answer.
    pub(super) const fn key(&self) -> ConnKey {
        self.from.key
    }

    /// Whether the caller may do this as well as what the operation itself needs.
    pub(super) fn needs(&self, access: Access) -> Result<(), Fault> {
        if self.who.allows(access) {
            return Ok(());
        }
        let verb = if access.write { "change" } else { "read" };
        let domain = access.permission;
        Err(Fault::not_authorized(format!(
            "Sender not Authorized: this needs permission to {verb} {domain:?}"
        )))
    }

    /// What holds of a setting, or what is measured; null if it is not known.
    pub(super) fn value(&self, key: &str) -> Value {
        self.desk.board.value(key).clone()
    }

    /// The same as text; empty if it is none.
    pub(super) fn text(&self, key: &str) -> String {
        self.value(key).as_str().unwrap_or_default().to_owned()
    }

    /// Sets keys as one change, all or nothing, and answers when it is applied and stored: with
    /// what `then` writes, or a fault. `invalid`: ONVIF's code for a value that cannot be.
    pub(super) fn change(
        &mut self,
        changes: Vec<(String, Value)>,
        invalid: &'static str,
        then: impl FnOnce(&mut Desk, &mut Writer, At) -> Result<(), Fault> + 'static,
    ) -> Answer {
        let ticket = self.ticket();
        let who = self.who.clone();
        let items = propose(&self.desk.board, changes, |access| who.allows(access));
        let follow = move |desk: &mut Desk, results: Vec<Result1>, at: At| {
            ticket.answer(desk, at, |desk, w| match first_refused(&results, invalid) {
                Some(fault) => Err(fault),
                None => then(desk, w, at),
            });
        };
        let by = By { camera: self.camera, ..By::user(&who.user) };
        settings::set(self.desk, items, true, by, self.at, follow);
        Ok(Done::Later)
    }

    /// Makes a change of a list that one setting holds. What the engine applies takes a moment, and
    /// who changes the list meanwhile waits, so that nobody's entry is lost: `make` sees the list as it
    /// is when its turn comes. With nothing to change `then` is called at once.
    pub(super) fn edit<T: 'static>(
        &mut self,
        key: &'static str,
        invalid: &'static str,
        make: impl FnOnce(&mut Desk) -> Result<(Vec<(String, Value)>, T), Fault> + 'static,
        then: impl FnOnce(T, &mut Writer) + 'static,
    ) -> Answer {
        let (ticket, who, camera) = (self.ticket(), self.who.clone(), self.camera);
        let then = |made, w: &mut Writer| {
            then(made, w);
            Ok(())
        };
        let edit = move |desk: &mut Desk, at: At| {
            let (changes, made) = match make(desk) {
                Ok(made) => made,
                Err(fault) => {
                    ticket.answer(desk, at, |_, _| Err(fault));
                    return edited(desk, key, at);
                }
            };
            if changes.is_empty() {
                ticket.answer(desk, at, |_, w| then(made, w));
                return edited(desk, key, at);
            }
            let items = propose(&desk.board, changes, |access| who.allows(access));
            let follow = move |desk: &mut Desk, results: Vec<Result1>, at: At| {
                ticket.answer(desk, at, |_, w| match first_refused(&results, invalid) {
                    Some(fault) => Err(fault),
                    None => then(made, w),
                });
                edited(desk, key, at);
            };
            let by = By { camera, ..By::user(&who.user) };
            settings::set(desk, items, true, by, at, follow);
        };
        match self.desk.edits.get_mut(key) {
            Some(waiting) if waiting.len() >= MOST_EDITS => {
                return Err(Fault::busy(format!("too many change {key} at once; try again")));
            }
            Some(waiting) => waiting.push_back(Box::new(edit)),
            None => {
                self.desk.edits.insert(key, VecDeque::new());
                edit(self.desk, self.at);
            }
        }
        Ok(Done::Later)
    }

    /// Lets a worker do something with the accounts and answers when it is stored.
    pub(super) fn accounts<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&Mutex<Accounts>) -> Result<T, Fault> + Send + 'static,
        then: impl FnOnce(&mut Desk, T, &mut Writer, At) -> Result<(), Fault> + 'static,
    ) -> Answer {
        let ticket = self.ticket();
        let begun = self.desk.with_accounts(job, move |desk, made, at| {
            ticket.answer(desk, at, |desk, w| match made {
                Ok(made) => then(desk, made?, w, at),
                Err(fault) => Err(Fault::receiver(&["ter:Action"], fault.message)),
            });
        });
        begun.map_err(|fault| Fault::busy(fault.message))?;
        Ok(Done::Later)
    }

    /// Asks the engine and answers with what `then` writes of its answer.
    pub(super) fn ask(
        &mut self,
        ask: Ask,
        patience: Nanos,
        then: impl FnOnce(&mut Desk, &Said, &mut Writer, At) -> Result<(), Fault> + 'static,
    ) -> Answer {
        let (ticket, key) = (self.ticket(), self.from.key);
        let follow = move |desk: &mut Desk, _: &Ask, outcome: &Outcome, at: At| {
            ticket.answer(desk, at, |desk, w| match outcome {
                Outcome::Answer(Said::Fault { message, .. }) => {
                    Err(Fault::receiver(&["ter:Action"], message.clone()))
                }
                Outcome::Answer(said) => then(desk, said, w, at),
                _ => Err(Fault::busy("the engine did not answer in time; try again")),
            });
            None
        };
        let begun = self.desk.ask_then(ask, patience, key, follow, self.at);
        begun.map_err(|fault| Fault::busy(fault.message))?;
        Ok(Done::Later)
    }
}

/// A change of a list has ended: the next one's turn.
fn edited(desk: &mut Desk, key: &'static str, at: At) {
    match desk.edits.get_mut(key).and_then(VecDeque::pop_front) {
        Some(next) => next(desk, at),
        None => _ = desk.edits.remove(key),
    }
}

/// The fault of the change that was refused, not of those that were only taken along.
fn first_refused(results: &[Result1], invalid: &'static str) -> Option<Fault> {
    let why = |r: &Result1| Some((r.name.clone(), r.outcome.as_ref().err()?.clone()));
    let mut all = results.iter().filter_map(why);
    let first = all.clone().find(|(_, why)| *why != Refusal::NotAlone);
    first.or_else(|| all.next()).map(|(name, why)| refused(&name, &why, invalid))
}

/// The one map from what is refused of a setting to ONVIF.
pub(super) fn refused(name: &str, why: &Refusal, invalid: &'static str) -> Fault {
    let message = format!("{name}: {}", why.message());
    match why {
        Refusal::Denied(_) => Fault::not_authorized(format!("Sender not Authorized: {message}")),
        Refusal::Invalid(_) | Refusal::Hardware(_) | Refusal::Unknown(_) | Refusal::ReadOnly => {
            Fault::invalid_value(invalid, message)
        }
        Refusal::NotAlone | Refusal::Busy | Refusal::Away(_) => Fault::busy(message),
        Refusal::NotStored(_) | Refusal::NotKept(_) => Fault::receiver(&["ter:Action"], message),
    }
}

/// The one map from what accounts refuse to ONVIF.
pub(super) fn not_done(why: &Refused) -> Fault {
    let message = why.to_string();
    match why {
        Refused::NotFound(_) => Fault::invalid_value("ter:UsernameMissing", message),
        Refused::Conflict(_) => Fault::prohibited("ter:FixedUser", message),
        Refused::Invalid("password", _) => Fault::prohibited("ter:PasswordTooWeak", message),
        Refused::Invalid(..) => Fault::invalid_value("ter:InvalidUsername", message),
        Refused::Denied(_) => Fault::prohibited("ter:NotAuthorized", message),
        Refused::Store(_) => Fault::receiver(&["ter:Action"], message),
    }
}

/// An argument that must be there.
pub(super) fn needed<'a>(node: Node<'a>, name: &str) -> Result<&'a str, Fault> {
    node.value(name).ok_or_else(|| Fault::invalid_args(format!("{name} is missing")))
}

/// `true`, `1`, `false` or `0`.
pub(super) fn flag(node: Node<'_>, name: &str) -> Result<Option<bool>, Fault> {
    match node.value(name) {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(_) => Err(Fault::invalid_args(format!("{name} is neither true nor false"))),
    }
}

/// A number.
pub(super) fn number<T: std::str::FromStr>(node: Node<'_>, name: &str) -> Result<Option<T>, Fault> {
    let wrong = |_| Fault::invalid_args(format!("{name} is not such a number"));
    node.value(name).map(|text| text.parse().map_err(|_| ()).map_err(wrong)).transpose()
}
