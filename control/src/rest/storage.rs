//! Network storage: how it goes, its queue, and tests of it.

use super::recordings::{By, MOST_REMOVED, change};
use super::{Call, Reply};
use crate::http::body::Members;
use crate::http::respond::{Fault, Response, redact};
use crate::settings::{configure_storage, storage_secret};
use lensd_ffi::catalogue::{CopyQuery, CopyState};
use serde_json::json;
use std::sync::Arc;

/// Files of a page, if nothing else is said, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1_000;

fn query(call: &Call<'_>) -> Result<CopyQuery, Fault> {
    let mut query = CopyQuery { limit: USUAL, ..CopyQuery::default() };
    let digits = |key: &str, text: &str, most: i64| {
        let number = text.parse().ok().filter(|n| (0..=most).contains(n));
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let message = format!("Value must be between 0 and {most}");
        number.filter(|_| plain).ok_or_else(|| Fault::invalid_value(key, message))
    };
    for (key, text) in &call.request.query {
        match key.as_str() {
            "state" => {
                let state = CopyState::by_word(text).ok_or_else(|| {
                    let message = "Value must be one of queued, copied, failed, dropped";
                    Fault::invalid_value(key, message)
                })?;
                query.state = Some(state);
            }
            "after" => query.after = digits(key, text, i64::MAX)?,
            "limit" => {
                let limit = digits(key, text, MOST.into())?;
                query.limit = u32::try_from(limit.max(1)).unwrap_or(MOST);
            }
            "token" | "t" | "_" => {}
            _ => {
                let message = format!("the parameter {key:?} is not known here");
                return Err(Fault::invalid_value(key, message));
            }
        }
    }
    Ok(query)
}

pub(super) fn state(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let query = query(call)?;
    let shelf = Arc::clone(&call.desk.shelf);
    let job = move || shelf.with(|c| Ok((c.copies(&query)?, c.copy_totals()?)));
    call.desk.answer_by_work(call.key, job, move |desk, made, at| {
        let (items, totals) = made?;
        let full = items.len() == query.limit as usize;
        let next = items.last().map(|copy| copy.id).filter(|_| full);
        let status = desk.carry.status(at.mono);
        let plan = desk.carry.plan().ok().flatten();
        let kind = desk.board.value("network-storage-kind").clone();
        let current = status
            .current
            .map(|c| json!({ "id": c.id, "filename": c.filename, "size": c.size, "done": c.done }));
        let data = json!({
            "kind": kind,
            "target": plan.map(crate::carry::Plan::target),
            "state": status.standing.word(),
            "error": (!status.error.is_empty()).then(|| redact(&status.error)),
            "queued": totals.queued,
            "failed": totals.failed,
            "copied": totals.copied,
            "dropped": totals.dropped,
            "bytes": status.bytes,
            "current": current,
            "last": status.last.map(|(name, time)| json!({ "filename": name, "time": time })),
            "items": items,
            "next": next,
        });
        Ok(Response::success(data, at))
    })?;
    Ok(Reply::Later)
}

/// Queues copies anew: `{"ids": […]}`, or nothing for all that failed.
pub(super) fn retry(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let ids = members.has("ids").then(|| members.ids("ids", MOST_REMOVED)).transpose()?;
    members.end()?;
    call.desk.carry.wake();
    change(call, "copies tried again", count(ids.as_deref()), move |catalogue| {
        let changed = catalogue.retry_copies(ids.as_deref())?;
        Ok(json!({ "changed": changed }))
    })
}

/// Takes files out of the queue: `{"ids": […]}`.
pub(super) fn give_up(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let ids = members.ids("ids", MOST_REMOVED)?;
    members.end()?;
    change(call, "copies dropped", count(Some(&ids)), move |catalogue| {
        Ok(json!({ "changed": catalogue.drop_copies(&ids)? }))
    })
}

fn count(ids: Option<&[i64]>) -> String {
    ids.map_or_else(|| "all that failed".to_owned(), |ids| format!("{} of them", ids.len()))
}

/// Tests the storage as it is set.
pub(super) fn test(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let mark = members.flag("mark")?.unwrap_or(false);
    members.end()?;
    configure_storage(call.desk, false);
    let invalid = |message: String| Fault::invalid_value("network-storage-kind", message);
    let plan = match call.desk.carry.plan() {
        Ok(Some(plan)) => plan.clone(),
        Ok(None) => return Err(invalid("there is no network storage: set this key".to_owned())),
        Err(why) => return Err(invalid(why.to_owned())),
    };
    let by = By::of(call, "network storage tested", plan.target());
    let secret = storage_secret(call.desk);
    let begun = call.desk.carry.begin_test(plan, secret, mark, call.at.mono);
    begun.map_err(|why| Fault::new(409, "CONFLICT", "Conflict", why))?;
    call.desk.storage_test = Some(call.key);
    by.note(call.desk, call.at);
    Ok(Reply::Later)
}
