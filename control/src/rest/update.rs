//! Another version of the program.

use super::{Call, Reply};
use crate::audit::Event;
use crate::http::respond::{Fault, Response};
use crate::signed::{self, package};
use lensd_ffi::link::Report;
use lensd_ffi::update;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

/// What a piece of a package led to.
enum Step {
    /// More must come.
    Received(u64),
    /// This version is in place.
    Installed(String),
}

fn number(call: &Call<'_>, name: &str) -> Result<Option<u64>, Fault> {
    let Some(text) = call.request.query(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|n| *n <= package::MOST_BYTES);
    let message = || format!("Value must be between 0 and {}", package::MOST_BYTES);
    number.map(Some).ok_or_else(|| Fault::invalid_value(name, message()))
}

/// Takes a package, or the piece of it that begins at `offset` of `size` bytes: a body has a limit.
pub(super) fn update(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let system = &call.desk.config.system;
    let Some(key) = system.update_key.as_deref() else {
        let message = "updates are not allowed here: set system.update-key";
        return Err(Fault::new(409, "CONFLICT", "Conflict", message));
    };
    let key = signed::key(key).map_err(|why| Fault::invalid_value("system.update-key", why))?;
    let offset = number(call, "offset")?.unwrap_or(0);
    let body = call.request.body.clone();
    let size = number(call, "size")?.unwrap_or(body.len() as u64);
    if body.is_empty() || offset.saturating_add(body.len() as u64) > size {
        return Err(Fault::invalid_value("size", "the piece is empty, or goes beyond the size"));
    }
    let (data, binary) = (call.desk.config.data.clone(), system.update_binary.clone());
    let (user, from) = (call.who.user.clone(), call.peer.ip().to_string());
    let job = move || {
        let part = update::folder(&data).join("package.part");
        let received = append(&part, offset, &body)?;
        if received < size {
            return Ok(Step::Received(received));
        }
        let binary = match binary {
            Some(binary) => binary,
            None => std::env::current_exe().map_err(|e| refused(e.to_string()))?,
        };
        let running = env!("CARGO_PKG_VERSION");
        let installed = package::install(&part, &key, &binary, &data, running);
        let _ = fs::remove_file(&part);
        installed.map(Step::Installed).map_err(refused)
    };
    call.desk.answer_by_work(call.key, job, move |desk, made: Result<Step, Fault>, at| {
        let data = match made? {
            Step::Received(received) => json!({ "received": received, "size": size }),
            Step::Installed(version) => {
                tracing::warn!(user, version, "another version takes over");
                let event = Event {
                    what: "update",
                    user: &user,
                    subject: &version,
                    from: &from,
                    details: None,
                };
                desk.audit.note(&event, at.utc.millis());
                desk.reports.push(Report::Update);
                json!({ "received": size, "size": size, "version": version, "begun": "update" })
            }
        };
        Ok(Response::success(data, at))
    })?;
    Ok(Reply::Later)
}

fn refused(why: String) -> Fault {
    Fault::invalid_value("package", why)
}

/// Adds a piece to what has come; how much that is then.
fn append(part: &Path, offset: u64, piece: &[u8]) -> Result<u64, Fault> {
    let fail = |e: std::io::Error| {
        let message = format!("{}: {e}", part.display());
        Fault::unavailable("INSUFFICIENT_STORAGE", message)
    };
    if let Some(folder) = part.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    let mut open = OpenOptions::new();
    let mut file = if offset == 0 {
        open.write(true).create(true).truncate(true).open(part).map_err(fail)?
    } else {
        open.append(true).create(true).open(part).map_err(fail)?
    };
    let length = file.metadata().map_err(fail)?.len();
    if length != offset {
        let message = format!("{length} bytes have come so far; go on there, or begin anew at 0");
        let fault = Fault::new(409, "CONFLICT", "Conflict", message);
        return Err(Fault { key: Some("offset".into()), ..fault });
    }
    file.write_all(piece).map_err(fail)?;
    Ok(length + piece.len() as u64)
}
