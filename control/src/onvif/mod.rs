//! ONVIF: what the operations of its services mean here.
//!
//! A request's operation is the name of the first element in its Body, wherever it was posted to
//! below `/onvif`; only subscriptions are told apart by their path. The one table of operations
//! ([`table`]) says who may call each, [`security`] says who calls. What must wait (for the engine,
//! the disk, or something to happen) leaves its connection parked in the loop.

mod address;
mod call;
mod device;
mod deviceio;
mod encoders;
mod entities;
mod events;
pub(crate) mod finder;
mod fuzz;
mod imaging;
mod media;
mod media2;
mod metadata;
mod multicast;
mod osds;
mod profiles;
mod ptz;
mod run;
mod security;
mod services;
mod sources;
mod table;
mod tokens;
mod uris;

pub(crate) use address::Address;
pub(crate) use device::{endpoint, is_discoverable, scopes};
pub use fuzz::fuzz_onvif;
pub(crate) use run::{check_logins, note_discovery, tick, turn};

use crate::desk::{ConnKey, Desk};
use crate::http::At;
use crate::http::parse::{Method, Request};
use crate::http::respond::{Payload, Response};
use crate::soap::{self, Document, Fault, Header, MAX_BODY, Refused, Writer};
use call::{Call, Done};
use lensd_ffi::auth::Login;
use serde_json::Value;
use std::net::SocketAddr;

/// The first segment of every path that is answered here.
const PATH: &str = "onvif";
/// The path that every client knows (ONVIF Core 5.1.1).
pub(crate) const ENTRY: &str = "/onvif/device_service";

/// Whether a request is for here.
pub(crate) fn is_for(desk: &Desk, request: &Request) -> bool {
    let on = || *desk.board.value("onvif") != Value::Bool(false);
    request.segments.first().is_some_and(|s| s == PATH) && on()
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    /// Who sends it.
    pub(crate) peer: SocketAddr,
    /// Our end of the connection.
    pub(crate) local: SocketAddr,
    /// The connection.
    pub(crate) key: ConnKey,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
}

/// Looks at a request before its body is read.
pub(crate) fn admit(request: &Request, at: At) -> Result<(), Box<Response>> {
    let refuse = |status, fault: Fault| {
        let response = of_fault(&Header::default(), &Fault { status, ..fault }, at);
        Err(Box::new(response))
    };
    if request.method != Method::Post {
        let fault = Fault::sender(&["ter:WellFormed"], "SOAP is sent with POST");
        let response = of_fault(&Header::default(), &Fault { status: 405, ..fault }, at);
        return Err(Box::new(response.header("Allow", "POST")));
    }
    let length = request.header("content-length").and_then(|l| l.parse::<usize>().ok());
    if length.is_some_and(|l| l > MAX_BODY) {
        return refuse(413, Fault::not_well_formed(Refused::TooLong.to_string()));
    }
    let kind = request.header("content-type").unwrap_or("application/soap+xml");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Some clients say text/xml as SOAP 1.1 did.
    if !["application/soap+xml", "text/xml", "application/xml"].contains(&&*kind) {
        return refuse(415, Fault::not_well_formed("a request is application/soap+xml"));
    }
    Ok(())
}

/// Answers a request, or none: the answer will come by [`Desk::answer_later`].
pub(crate) fn handle(desk: &mut Desk, request: &Request, from: From, at: At) -> Option<Response> {
    let document = match Document::parse(&request.body) {
        Ok(document) => document,
        Err(why) => {
            let status = if why == Refused::TooLong { 413 } else { 400 };
            let fault = Fault { status, ..Fault::not_well_formed(why.to_string()) };
            return Some(of_fault(&Header::default(), &fault, at));
        }
    };
    let asked = match soap::Request::of(&document) {
        Ok(asked) => asked,
        Err(fault) => return Some(of_fault(&Header::default(), &fault, at)),
    };
    let operation = table::find(asked.operation);
    // Who may not change the device does not learn what it lacks.
    let class = operation.map_or(table::Class::WriteSystem, |o| o.class);
    let who = match security::admit(desk, request, asked.token, class, from, at) {
        Ok(who) => who,
        Err(refusal) => {
            let response = refusal.response(&asked.header, at);
            let Some(when) = refusal.held_until else { return Some(response) };
            desk.answer_at(when, from.key, response);
            return None;
        }
    };
    let Some(operation) = operation else {
        return Some(of_fault(&asked.header, &Fault::not_implemented(), at));
    };
    let header = Header { message_id: asked.header.message_id.clone(), to: asked.header.to };
    let address = Address::of(desk, request, from);
    let segments = request.segments.get(1..).unwrap_or_default();
    let camera = None;
    let mut call = Call { desk, who, from, at, address, segments, operation, header, camera };
    let mut w = Writer::new();
    match (operation.handler)(&mut call, asked.operation, &mut w) {
        Ok(Done::Now) => Some(call.ticket().response(w)),
        Ok(Done::Later) => None,
        Err(fault) => Some(of_fault(&call.header, &fault, at)),
    }
}

/// The response that tells a fault.
pub(crate) fn of_fault(header: &Header, fault: &Fault, at: At) -> Response {
    let action = Some("http://www.w3.org/2005/08/addressing/soap/fault");
    let now = soap::time::date_time(at.utc.millis());
    let text = soap::answer(header, action, |w| fault.write(w, &now));
    let response = envelope(fault.status, text);
    match fault.retry_after {
        Some(secs) => response.header("Retry-After", secs.to_string()),
        None => response,
    }
}

fn envelope(status: u16, text: String) -> Response {
    let kind = "application/soap+xml; charset=utf-8";
    Response::new(status, kind, Payload::Own(text.into_bytes())).header("Cache-Control", "no-store")
}

/// Whether somebody has logged in.
fn is_known(who: &Login) -> bool {
    !who.user.is_empty()
}
