//! The TLS certificate.

use super::{Call, Reply};
use crate::desk::Desk;
use crate::http::At;
use crate::http::body::Members;
use crate::http::multipart;
use crate::http::parse::Request;
use crate::http::respond::{Fault, Response};
use crate::tls::{self, Pair};
use std::path::Path;

/// What a change says: a pair, or that one is to be made.
struct Wanted {
    certificate: Option<String>,
    key: Option<String>,
    generate: bool,
    names: Vec<String>,
}

pub(super) fn view(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let folder = call.desk.identity.folder().to_owned();
    call.desk.answer_by_work(
        call.key,
        move || read(&folder),
        |_, pem, at| {
            let view = tls::view(&pem?, at.utc.millis())?;
            Ok(Response::success(serde_json::json!(view), at))
        },
    )?;
    Ok(Reply::Later)
}

fn read(folder: &Path) -> Result<String, Fault> {
    let path = folder.join("cert.pem");
    std::fs::read_to_string(path)
        .map_err(|e| Fault::not_found(format!("the certificate cannot be read: {e}")))
}

pub(super) fn replace(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let wanted = wanted(call.request)?;
    let folder = call.desk.identity.folder().to_owned();
    let (user, peer) = (call.who.user.clone(), call.peer);
    let done = move |desk: &mut Desk, made: Result<Pair, Fault>, at: At| {
        let pair = made?;
        tracing::info!(user, %peer, "the TLS certificate is replaced");
        desk.look_at_identity();
        let view = tls::view(&pair.certificate, at.utc.millis())?;
        Ok(Response::success(serde_json::json!(view), at))
    };
    let now_ms = call.at.utc.millis();
    match wanted {
        Wanted { certificate: Some(certificate), key: Some(key), generate: false, names }
            if names.is_empty() =>
        {
            let pair = Pair { certificate, key };
            call.desk.answer_by_work(call.key, move || keep(&folder, pair, now_ms), done)?;
        }
        Wanted { certificate: None, key: None, generate: true, names } => {
            let names = tls::names(names)?;
            let job = move || keep(&folder, tls::make(names)?, now_ms);
            call.desk.answer_by_work(call.key, job, done)?;
        }
        _ => {
            let message = "give certificate and key, or generate and names, and not both";
            return Err(Fault::invalid_value("certificate", message));
        }
    }
    Ok(Reply::Later)
}

/// Reads the body: JSON, or a form with the files `certificate` and `key`.
fn wanted(request: &Request) -> Result<Wanted, Fault> {
    let kind = request.header("content-type").unwrap_or("");
    if kind.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        let parts = multipart::parse(kind, &request.body)?;
        let text = |name: &str| {
            let part = parts.iter().find(|p| p.name == name)?;
            Some(String::from_utf8_lossy(part.bytes).into_owned())
        };
        let (certificate, key) = (text("certificate"), text("key"));
        return Ok(Wanted { certificate, key, generate: false, names: Vec::new() });
    }
    let mut members = Members::of(&request.body)?;
    let wanted = Wanted {
        certificate: members.text("certificate")?,
        key: members.text("key")?,
        generate: members.flag("generate")?.unwrap_or_default(),
        names: members.texts("names")?.unwrap_or_default(),
    };
    members.end()?;
    Ok(wanted)
}

/// Checks a pair, and keeps it if it is good.
fn keep(folder: &Path, pair: Pair, now_ms: i64) -> Result<Pair, Fault> {
    tls::config(&pair)?;
    if tls::view(&pair.certificate, now_ms)?.is_over(now_ms) {
        return Err(Fault::invalid_value("certificate", "its time is over"));
    }
    tls::store(folder, &pair).map_err(|e| {
        let message = format!("the certificate cannot be stored: {e}");
        if e.kind() == std::io::ErrorKind::StorageFull {
            return Fault::unavailable("INSUFFICIENT_STORAGE", message);
        }
        Fault::new(500, "INTERNAL", "Internal error", message)
    })?;
    Ok(pair)
}
