//! Recordings copied to a medium that can be taken out.

use super::recordings::{By, MOST_REMOVED};
use super::{Call, Reply};
use crate::export::{Item, targets};
use crate::http::body::Members;
use crate::http::respond::{Fault, Response};
use serde_json::json;
use std::sync::Arc;

/// The media that are there, and the export that runs or ran last.
pub(super) fn state(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let system = call.desk.config.system.clone();
    // statvfs of a medium that is pulled out may hang.
    let job = move || {
        let all = targets(&system.proc, &system.sys);
        all.iter().map(crate::export::Target::value).collect::<Vec<_>>()
    };
    call.desk.answer_by_disk(call.key, job, |desk, targets, at| {
        let export = desk.export.value();
        Ok(Response::success(json!({ "targets": targets, "export": export }), at))
    })?;
    Ok(Reply::Later)
}

/// Begins to copy: `{"ids": […], "target": "sdb1"}`; the target may be missing if there is one.
pub(super) fn begin(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let ids = members.ids("ids", MOST_REMOVED)?;
    let wanted = members.text("target")?;
    members.end()?;
    let by = By::of(call, "export", format!("{} recordings", ids.len()));
    let (shelf, system) = (Arc::clone(&call.desk.shelf), call.desk.config.system.clone());
    let job = move || {
        let mut all = targets(&system.proc, &system.sys);
        if let Some(wanted) = &wanted {
            all.retain(|target| target.name == *wanted || target.path.as_os_str() == &**wanted);
        }
        let names: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
        let message = match (all.len(), wanted) {
            (1, _) => String::new(),
            (0, None) => "no removable medium is mounted: plug one in".to_owned(),
            (0, Some(_)) => "there is no such removable medium; see GET here".to_owned(),
            _ => format!("name one of {}", names.join(", ")),
        };
        let target = all.pop().filter(|_| message.is_empty());
        let target = target.ok_or_else(|| Fault::invalid_value("target", message))?;
        let items = shelf.with(|catalogue| {
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                let record = catalogue.record(id)?;
                let record = record.ok_or(lensd_ffi::catalogue::CatalogueError::NotFound(id))?;
                items.push(Item { id, filename: record.filename });
            }
            Ok(items)
        })?;
        Ok((target, items))
    };
    call.desk.answer_by_disk(call.key, job, move |desk, made: Result<_, Fault>, at| {
        let (target, items) = made?;
        let begun = desk.export.begin(desk.media.clone(), target, items);
        let begun =
            begun.map_err(|e| Fault::unavailable("BUSY", format!("no thread for it: {e}")))?;
        if !begun {
            let message = "another export runs; see GET here";
            return Err(Fault::new(409, "CONFLICT", "Conflict", message));
        }
        by.note(desk, at);
        Ok(Response::success(desk.export.value(), at))
    })?;
    Ok(Reply::Later)
}
