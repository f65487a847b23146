//! The files of the media folder: listed, downloaded, removed, uploaded.

use super::recordings::{self, By};
use super::{Call, Reply};
use crate::desk::Desk;
use crate::http::At;
use crate::http::respond::{Fault, Response};
use crate::media::{Beneath, Media};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Entries of a page, and most of them.
const USUAL: usize = 100;
const MOST: usize = 1_000;

/// How a file is shown to a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// In the page, if it can.
    Inline,
    /// As something to be kept.
    Attachment,
}

/// A file that was opened, and its name.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    name: String,
}

/// The path that a text names.
fn beneath(text: &str) -> Result<Beneath, Fault> {
    Beneath::parse(text).ok_or_else(|| Fault::not_found(format!("{text:.100?} is no path here")))
}

/// The one map from what the file system refuses to HTTP.
pub(super) fn refused(path: &str, e: &io::Error) -> Fault {
    let message = format!("{path:.200}: {e}");
    match e.kind() {
        // A link in the way (ELOOP) is nothing that is served.
        _ if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Fault::not_found(format!("{path:.200}: there is no such file"))
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Fault::not_found(format!("{path:.200}: there is no such file"))
        }
        io::ErrorKind::AlreadyExists => Fault::new(409, "CONFLICT", "Conflict", message),
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem => Fault::unavailable("INSUFFICIENT_STORAGE", message),
        _ => Fault::new(500, "INTERNAL", "Internal error", message),
    }
}

/// Opens a file. **Only on a worker.**
pub(super) fn open(media: &Media, path: &str) -> Result<Opened, Fault> {
    let beneath = beneath(path)?;
    let file = media.open(&beneath).map_err(|e| refused(path, &e))?;
    Ok(Opened { file, name: beneath.name().unwrap_or_default().to_owned() })
}

/// What a file is, by its name.
fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "mp4" | "m4v" => "video/mp4",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "json" => "application/json",
        "txt" | "log" => "text/plain; charset=utf-8",
        // What a browser would run in our name is not shown: uploads are anybody's.
        _ => "application/octet-stream",
    }
}

/// A name for Content-Disposition (RFC 6266 4.3): the plain one, and if need be all of it.
fn disposition(how: Shown, name: &str) -> String {
    let kind = if how == Shown::Inline { "inline" } else { "attachment" };
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\%;".contains(c) || c == ' ';
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if plain == name {
        return format!("{kind}; filename=\"{plain}\"");
    }
    let mut all = String::new();
    for byte in name.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => all.push(char::from(b)),
            b => all.push_str(&format!("%{b:02X}")),
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{all}")
}

/// Sends a file, or the part that is asked for.
pub(super) fn response(opened: Opened, how: Shown) -> Result<Response, Fault> {
    let Opened { file, name } = opened;
    let kind = content_type(&name);
    let how = if kind == "application/octet-stream" { Shown::Attachment } else { how };
    let response = Response::file(kind, file).map_err(|e| refused(&name, &e))?;
    Ok(response.header("Content-Disposition", disposition(how, &name)))
}

fn path<'a>(call: &'a Call<'_>) -> &'a str {
    call.params.find("path").unwrap_or_default()
}

/// `recordings/NAME` for a file that is in the folder of its day: clients that know a file by its
/// name alone ask so.
fn in_its_day(path: &str) -> Option<String> {
    let (top, name) = path.split_once('/')?;
    if name.contains('/') || !["recordings", "snapshots"].contains(&top) {
        return None;
    }
    let day = name
        .split(['_', '-', '.'])
        .find(|part| part.len() == 8 && part.bytes().all(|b| b.is_ascii_digit()))?;
    Some(format!("{top}/{}/{}/{}/{name}", &day[..4], &day[4..6], &day[6..]))
}

fn send(call: &mut Call<'_>, how: Shown) -> Result<Reply, Fault> {
    let (media, path) = (call.desk.media.clone(), path(call).to_owned());
    let job = move || match (open(&media, &path), in_its_day(&path)) {
        (Err(fault), Some(day)) if fault.status == 404 => open(&media, &day).map_err(|_| fault),
        (opened, _) => opened,
    };
    call.desk.answer_by_disk(call.key, job, move |_, made, _| response(made?, how))?;
    Ok(Reply::Later)
}

pub(super) fn show(call: &mut Call<'_>) -> Result<Reply, Fault> {
    send(call, Shown::Inline)
}

/// A file as something to be kept, also by the number of its recording.
pub(super) fn download(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if let Ok(id) = path(call).parse::<i64>() {
        return recordings::by_number(call, id, Shown::Attachment);
    }
    send(call, Shown::Attachment)
}

fn number(call: &Call<'_>, name: &str, from: usize, most: usize) -> Result<Option<usize>, Fault> {
    let Some(text) = call.request.query(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|n| (from..=most).contains(n));
    let message = || format!("Value must be between {from} and {most}");
    number.map(Some).ok_or_else(|| Fault::invalid_value(name, message()))
}

/// What is in a folder: `path`, `limit`, `offset`.
pub(super) fn list(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let text = match call.params.find("path") {
        Some(path) => path.to_owned(),
        None => call.request.query("path").unwrap_or_default().trim_matches('/').to_owned(),
    };
    let beneath = beneath(&text)?;
    let limit = number(call, "limit", 1, MOST)?.unwrap_or(USUAL);
    let offset = number(call, "offset", 0, usize::MAX)?.unwrap_or(0);
    let media = call.desk.media.clone();
    let job = move || -> Result<Value, Fault> {
        let entries = media.list(&beneath).map_err(|e| refused(&text, &e))?;
        let total = entries.len();
        let below =
            |name: &str| if text.is_empty() { name.to_owned() } else { format!("{text}/{name}") };
        let shown = entries.into_iter().skip(offset).take(limit).map(|entry| {
            let kind = if entry.is_folder { "folder" } else { "file" };
            json!({
                "name": entry.name,
                "path": below(&entry.name),
                "type": kind,
                "size": entry.size,
                "modified": entry.modified,
            })
        });
        let files: Vec<Value> = shown.collect();
        Ok(
            json!({ "path": text, "files": files, "total": total, "limit": limit, "offset": offset }),
        )
    };
    call.desk.answer_by_disk(call.key, job, |_, made, at| Ok(Response::success(made?, at)))?;
    Ok(Reply::Later)
}

/// Removes a file; one that has a row goes with it, by way of the engine.
pub(super) fn remove(call: &mut Call<'_>) -> Result<Reply, Fault> {
    crate::http::body::Members::of(&call.request.body)?.end()?;
    let text = path(call).to_owned();
    let beneath = beneath(&text)?;
    let (shelf, media, key) = (Arc::clone(&call.desk.shelf), call.desk.media.clone(), call.key);
    let by = By::of(call, "file removed", text.clone());
    let name = text.clone();
    let job = move || -> Result<Option<i64>, Fault> {
        if let Some(record) = shelf.with(|c| c.by_filename(&text))? {
            return Ok(Some(record.id));
        }
        if beneath.top() == Some("thumbnails") {
            let message = "thumbnails go with their recordings";
            return Err(Fault::new(409, "CONFLICT", "Conflict", message));
        }
        media.remove(&beneath).map_err(|e| refused(&text, &e))?;
        Ok(None)
    };
    call.desk.disk.try_run(job, move |desk: &mut Desk, made, at: At| {
        let made = made.map_err(Fault::from).and_then(|made| made);
        let done = match made {
            Ok(None) => {
                by.note(desk, at);
                Ok(Some(Response::success(json!({ "removed": name }), at)))
            }
            Ok(Some(id)) => recordings::remove_later(desk, id, name, by, key, at).map(|()| None),
            Err(fault) => Err(fault),
        };
        match done {
            Ok(None) => {}
            Ok(Some(response)) => desk.answer_later(key, response),
            Err(fault) => desk.answer_later(key, fault.response(at)),
        }
    })?;
    Ok(Reply::Later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_day_are_found_by_name() {
        let name = "recordings/recording_20261121_142301_cam1.mp4";
        let day = "recordings/2026/11/21/recording_20261121_142301_cam1.mp4";
        assert_eq!(in_its_day(name).as_deref(), Some(day));
        assert_eq!(in_its_day(day), None);
        assert_eq!(in_its_day("uploads/recording_20261121.mp4"), None);
        assert_eq!(in_its_day("recordings/recording_2026112_1.mp4"), None);
    }

    #[test]
    fn names_are_written_as_they_must_be() {
        assert_eq!(disposition(Shown::Inline, "a b.mp4"), "inline; filename=\"a b.mp4\"");
        assert_eq!(
            disposition(Shown::Attachment, "ä\"b"),
            "attachment; filename=\"__b\"; filename*=UTF-8''%C3%A4%22b"
        );
        assert_eq!(content_type("x.html"), "application/octet-stream");
        assert_eq!(content_type("x.MP4"), "video/mp4");
    }
}
