//! Recordings and snapshots: found, downloaded, labelled, removed.

use super::files::{self, Shown};
use super::{Call, Reply};
use crate::audit::Event;
use crate::catalogue::query;
use crate::desk::{ConnKey, Desk};
use crate::engine::Outcome;
use crate::http::At;
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use crate::settings::look_at_labels;
use lensd_ffi::catalogue::{Catalogue, CatalogueError, Encoding, Record, RecordChange, TagQuery};
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::sync::Arc;

/// Most recordings that are removed by one request.
pub(super) const MOST_REMOVED: usize = 1_000;
/// How long the removal of many files may take.
const REMOVAL: Nanos = Nanos::from_secs(30);
/// How long a thumbnail may take to be made.
const MAKING: Nanos = Nanos::from_secs(10);
/// Tags that are shown with a recording; `/api/tags?record_id=` has all of them.
const TAGS: u32 = 1_000;

/// Lets a worker do something with the catalogue and answers with what it made.
pub(super) fn work(
    call: &mut Call<'_>,
    job: impl FnOnce(&mut Catalogue) -> Result<Value, CatalogueError> + Send + 'static,
) -> Result<Reply, Fault> {
    let shelf = Arc::clone(&call.desk.shelf);
    call.desk.answer_by_work(
        call.key,
        move || shelf.with(job),
        |_, made, at| Ok(Response::success(made?, at)),
    )?;
    Ok(Reply::Later)
}

/// The same for a change, of which others are told.
pub(super) fn change(
    call: &mut Call<'_>,
    what: &'static str,
    subject: impl Into<String>,
    job: impl FnOnce(&mut Catalogue) -> Result<Value, CatalogueError> + Send + 'static,
) -> Result<Reply, Fault> {
    let shelf = Arc::clone(&call.desk.shelf);
    let by = By::of(call, what, subject.into());
    call.desk.answer_by_work(
        call.key,
        move || shelf.with(job),
        move |desk, made, at| {
            let made = made?;
            by.note(desk, at);
            look_at_labels(desk, at);
            Ok(Response::success(made, at))
        },
    )?;
    Ok(Reply::Later)
}

/// Who does what, for the log that `/api/events` shows.
pub(super) struct By {
    what: &'static str,
    user: String,
    from: String,
    subject: String,
}

impl By {
    pub(super) fn of(call: &Call<'_>, what: &'static str, subject: String) -> Self {
        Self { what, user: call.who.user.clone(), from: call.peer.ip().to_string(), subject }
    }

    pub(super) fn about(self, subject: String) -> Self {
        Self { subject, ..self }
    }

    pub(super) fn note(&self, desk: &mut Desk, at: At) {
        let Self { what, user, from, subject } = self;
        let event = Event { what, user, from, subject, details: None };
        desk.audit.note(&event, at.utc.millis());
    }
}

/// A number in a path.
pub(super) fn id(call: &Call<'_>) -> Result<i64, Fault> {
    let text = call.params.find("id").unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Fault::not_found(format!("{text:.40?} is no recording's number; see /api/recordings"))
    })
}

/// As clients see it.
pub(super) fn shown(record: &Record) -> Value {
    let mut value = json!(record);
    value["url"] = json!(format!("/api/recordings/{}", record.id));
    // There is no decoder of H.265 to make one with.
    let shows = record.encoding != Encoding::H265;
    value["thumbnail"] = json!(shows.then(|| format!("/api/recordings/{}/thumbnail", record.id)));
    value
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let query = query::parse(&call.request.query)?;
    work(call, move |catalogue| {
        let page = catalogue.list(&query)?;
        Ok(json!({
            "recordings": page.records.iter().map(shown).collect::<Vec<_>>(),
            "total": page.total,
            "total_at_least": page.total_at_least,
            "limit": query.limit,
            "offset": query.offset,
            "next": page.next,
        }))
    })
}

pub(super) fn info(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    work(call, move |catalogue| {
        let record = catalogue.record(id)?.ok_or(CatalogueError::NotFound(id))?;
        let tags = catalogue.tags(&TagQuery {
            record_id: Some(id),
            limit: TAGS,
            ..TagQuery::default()
        })?;
        let mut value = shown(&record);
        value["tags"] = json!(tags);
        Ok(value)
    })
}

/// The file itself.
pub(super) fn download(call: &mut Call<'_>) -> Result<Reply, Fault> {
    by_number(call, id(call)?, Shown::Inline)
}

/// Sends the file of a recording.
pub(super) fn by_number(call: &mut Call<'_>, id: i64, how: Shown) -> Result<Reply, Fault> {
    let (shelf, media) = (Arc::clone(&call.desk.shelf), call.desk.media.clone());
    let job = move || {
        let record = shelf.with(|c| c.record(id)?.ok_or(CatalogueError::NotFound(id)))?;
        files::open(&media, &record.filename)
    };
    call.desk.answer_by_disk(call.key, job, move |_, made, _| files::response(made?, how))?;
    Ok(Reply::Later)
}

pub(super) fn label(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    let mut members = Members::of(&call.request.body)?;
    let change_to = RecordChange {
        title: members.text("title")?,
        note: members.text("note")?,
        protected: members.flag("protected")?,
    };
    members.end()?;
    change(call, "recording labelled", id.to_string(), move |catalogue| {
        catalogue.label(id, &change_to).map(|record| shown(&record))
    })
}

/// A recording with its file.
pub(super) fn remove(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    no_body(call)?;
    let by = By::of(call, "removal of a recording", id.to_string());
    let show = |gone, mut kept: Kept| match kept.pop() {
        None => Ok(json!({ "removed": gone })),
        Some((id, why)) => Err(kept_fault(id, &why)),
    };
    ask_removal(call.desk, vec![id], by, call.key, call.at, show)?;
    Ok(Reply::Later)
}

/// The same for the file of a name, which was asked to be removed.
pub(super) fn remove_later(
    desk: &mut Desk,
    id: i64,
    name: String,
    by: By,
    key: ConnKey,
    at: At,
) -> Result<(), Fault> {
    let show = move |_, mut kept: Kept| match kept.pop() {
        None => Ok(json!({ "removed": name })),
        Some((id, why)) => Err(kept_fault(id, &why)),
    };
    ask_removal(desk, vec![id], by, key, at, show)
}

/// Many recordings: `{"ids": […]}`. What cannot be removed is said one by one.
pub(super) fn remove_many(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let ids = members.ids("ids", MOST_REMOVED)?;
    members.end()?;
    let by = By::of(call, "removal of recordings", format!("{} of them", ids.len()));
    let show = |gone, kept: Kept| {
        let kept: Vec<Value> =
            kept.into_iter().map(|(id, why)| json!({ "id": id, "reason": why })).collect();
        Ok(json!({ "removed": gone, "kept": kept }))
    };
    ask_removal(call.desk, ids, by, call.key, call.at, show)?;
    Ok(Reply::Later)
}

/// Those that could not be removed, and why.
type Kept = Vec<(i64, String)>;

fn no_body(call: &Call<'_>) -> Result<(), Fault> {
    Members::of(&call.request.body)?.end()
}

fn ask_removal(
    desk: &mut Desk,
    ids: Vec<i64>,
    by: By,
    key: ConnKey,
    at: At,
    show: impl FnOnce(Vec<i64>, Kept) -> Result<Value, Fault> + 'static,
) -> Result<(), Fault> {
    let finish = move |_: &mut Desk, _: &Ask, outcome: &Outcome, at: At| match outcome {
        Outcome::Answer(Answer::Removed { gone, kept }) => match show(gone.clone(), kept.clone()) {
            Ok(data) => Response::success(data, at),
            Err(fault) => fault.response(at),
        },
        outcome => super::settings::failed(outcome, at),
    };
    desk.ask(Ask::Remove { ids }, REMOVAL, key, finish, at)?;
    // It is done whether or not anybody waits for the answer.
    by.note(desk, at);
    Ok(())
}

fn kept_fault(id: i64, why: &str) -> Fault {
    match why {
        "NOT_FOUND" => Fault::not_found(format!("there is no recording {id}")),
        "RECORDING_IN_PROGRESS" => {
            let message = format!("recording {id} is under way: stop it first");
            Fault::new(409, "RECORDING_IN_PROGRESS", "Recording in progress", message)
        }
        "PROTECTED" => {
            let message = format!("recording {id} is protected: set protected to false first");
            Fault::new(409, "CONFLICT", "Conflict", message)
        }
        _ => Fault::new(500, "INTERNAL", "Internal error", format!("recording {id}: {why}")),
    }
}

/// The small picture. If it is not there, the engine is asked to make it.
pub(super) fn thumbnail(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let id = id(call)?;
    let (shelf, media, key) = (Arc::clone(&call.desk.shelf), call.desk.media.clone(), call.key);
    let job = move || {
        shelf.with(|c| c.record(id)?.ok_or(CatalogueError::NotFound(id)))?;
        match files::open(&media, &picture(id)) {
            Err(fault) if fault.status == 404 => Ok(None),
            opened => opened.map(Some),
        }
    };
    call.desk.disk.try_run(job, move |desk: &mut Desk, made, at| {
        let made = made.map_err(Fault::from).and_then(|made: Result<_, Fault>| made);
        let answer = match made {
            Ok(Some(opened)) => files::response(opened, Shown::Inline),
            Ok(None) => match make_thumbnail(desk, id, key, at) {
                Ok(()) => return,
                Err(fault) => Err(fault),
            },
            Err(fault) => Err(fault),
        };
        desk.answer_later(key, answer.unwrap_or_else(|fault| fault.response(at)));
    })?;
    Ok(Reply::Later)
}

fn picture(id: i64) -> String {
    format!("thumbnails/{id}.jpg")
}

/// Asks the engine for it, and then a worker to open what was made.
fn make_thumbnail(desk: &mut Desk, id: i64, key: ConnKey, at: At) -> Result<(), Fault> {
    let then = move |desk: &mut Desk, _: &Ask, outcome: &Outcome, at: At| {
        if !matches!(outcome, Outcome::Answer(Answer::Done)) {
            return Some(super::settings::failed(outcome, at));
        }
        let media = desk.media.clone();
        let job = move || files::open(&media, &picture(id));
        let finish =
            |_: &mut Desk, made: Result<_, Fault>, _| files::response(made?, Shown::Inline);
        desk.answer_by_disk(key, job, finish).err().map(|fault| fault.response(at))
    };
    desk.ask_then(Ask::Thumbnail { id }, MAKING, key, then, at)
}
