//! Uploads: a form whose files go to the disk as they come.

use super::recordings::By;
use super::{Call, Reply};
use crate::desk::{ConnKey, Desk};
use crate::http::At;
use crate::http::parse::Request;
use crate::http::respond::{Fault, Response};
use crate::upload::{FOLDER, Upload, Uploaded, too_large};
use crate::work::Panicked;
use serde_json::{Value, json};

/// Uploads at a time: each has a place in memory and may be slow.
const MOST: usize = 8;

/// Before the first byte of the body.
pub(super) fn begin(desk: &mut Desk, request: &Request, key: ConnKey) -> Result<(), Fault> {
    if desk.uploads.len() >= MOST {
        let message = format!("{MOST} uploads are under way; try again later");
        return Err(Fault::unavailable("BUSY", message));
    }
    let most = u64::from(desk.config.limits.upload_mib) << 20;
    // A little more for the form itself; what is in its files is counted as it comes.
    let length: Option<u64> = request.header("content-length").and_then(|n| n.parse().ok());
    if length.is_some_and(|length| length > most + (1 << 20)) {
        return Err(too_large(most));
    }
    let kind = request.header("content-type").unwrap_or_default();
    let upload = Upload::new(kind, desk.media.clone(), most)?;
    desk.uploads.insert(key, Some(upload));
    Ok(())
}

/// A piece of the body: a thread writes it, and then the next one may come.
pub(super) fn feed(desk: &mut Desk, key: ConnKey, piece: Vec<u8>) -> Result<(), Fault> {
    let gone = || Fault::new(500, "INTERNAL", "Internal error", "the upload is not known");
    let mut upload = desk.uploads.get_mut(&key).and_then(Option::take).ok_or_else(gone)?;
    let job = move || upload.feed(&piece).map(|()| upload);
    let then = move |desk: &mut Desk, made: Result<Result<Upload, Fault>, Panicked>, at: At| {
        match (made.map_err(Fault::from).and_then(|made| made), desk.uploads.get_mut(&key)) {
            (Ok(upload), Some(place)) => {
                *place = Some(upload);
                desk.resumed.push(key);
            }
            // The client is gone, and with it what it had sent.
            (_, None) => {}
            (Err(fault), Some(_)) => {
                desk.uploads.remove(&key);
                desk.answer_later(key, fault.response(at));
            }
        }
    };
    desk.disk.try_run(job, then).inspect_err(|_| {
        desk.uploads.remove(&key);
    })
}

/// The whole body has come.
pub(super) fn upload(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let Some(Some(upload)) = call.desk.uploads.remove(&call.key) else {
        return Err(Fault::invalid_value("file", "the body must be a form with a file"));
    };
    let by = By::of(call, "file uploaded", String::new());
    let key = call.key;
    let then = move |desk: &mut Desk, made: Result<_, Panicked>, at: At| {
        let made = made.map_err(Fault::from).and_then(|made: Result<Vec<Uploaded>, Fault>| made);
        let response = match made {
            Ok(files) => {
                let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
                by.about(names.join(", ")).note(desk, at);
                let shown = |name: &str, size: u64| {
                    let path = format!("{FOLDER}/{name}");
                    json!({ "name": name, "url": format!("/files/{path}"), "path": path, "size": size })
                };
                let files: Vec<Value> = files.iter().map(|f| shown(&f.name, f.size)).collect();
                Response::success(json!({ "files": files }), at)
            }
            Err(fault) => fault.response(at),
        };
        desk.answer_later(key, response);
    };
    call.desk.disk.try_run(move || upload.keep(), then)?;
    Ok(Reply::Later)
}
