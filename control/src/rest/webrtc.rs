//! Signalling of WebRTC: WHEP (draft-ietf-wish-whep, which shares its manners with RFC 9725), and an
//! offer of our own. The sessions are the engine's.

use super::{Call, Reply};
use crate::desk::Desk;
use crate::engine::Outcome;
use crate::http::At;
use crate::http::body::Members;
use crate::http::respond::{Fault, Payload, Response};
use lensd_ffi::link::{Answer, Ask};
use lensd_ffi::rtc::{MAX_SDP, RtcAct, RtcFrom};
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How long the engine may take: it waits for a camera's first picture.
const PATIENCE: Nanos = Nanos::from_secs(5);

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// The type of a body, without its parameters.
fn is_of(call: &Call<'_>, kind: &str) -> Result<(), Fault> {
    let said = call.request.header("content-type").unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(kind) {
        return Ok(());
    }
    let message = format!("the body must be {kind}, and Content-Type must say so");
    Err(Fault::new(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type", message))
}

/// Whether the client takes SDP for an answer (RFC 9110 section 12.5.1).
fn takes_sdp(call: &Call<'_>) -> Result<(), Fault> {
    let mut ranges = call.request.headers("accept").flat_map(|field| field.split(',')).peekable();
    let fits = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        [SDP, "application/*", "*/*"].iter().any(|k| kind.eq_ignore_ascii_case(k))
    };
    if ranges.peek().is_none() || ranges.any(fits) {
        return Ok(());
    }
    let message = format!("the answer is {SDP}, which the field Accept leaves out");
    Err(Fault::new(406, "NOT_ACCEPTABLE", "Not acceptable", message))
}

fn too_long() -> Fault {
    let message = format!("a session description has at most {MAX_SDP} bytes");
    Fault::new(413, "TOO_LARGE", "Content too large", message)
}

fn text_of(body: &[u8]) -> Result<String, Fault> {
    if body.len() > MAX_SDP {
        return Err(too_long());
    }
    let text = std::str::from_utf8(body).map_err(|e| {
        let message = format!("byte {} is not UTF-8", e.valid_up_to() + 1);
        Fault::new(400, "INVALID_SDP", "Invalid session description", message)
    })?;
    plain(text)?;
    Ok(text.to_owned())
}

/// Refuses what no description has in it, and what would be six times as long on its way to the
/// engine.
fn plain(text: &str) -> Result<(), Fault> {
    let odd = |c: char| c.is_control() && !"\r\n\t".contains(c);
    let Some(at) = text.find(odd) else { return Ok(()) };
    let message = format!("byte {} is a control character; lines end with CR LF", at + 1);
    Err(Fault::new(400, "INVALID_SDP", "Invalid session description", message))
}

fn ask(
    call: &mut Call<'_>,
    act: RtcAct,
    then: impl FnOnce(&mut Desk, &str, String, At) -> Response + 'static,
) -> Result<Reply, Fault> {
    let agent = call.request.header("user-agent").unwrap_or("").chars().take(200).collect();
    let from =
        RtcFrom { login: call.who.clone(), peer: call.peer.ip(), local: call.local.ip(), agent };
    let finish = |desk: &mut Desk, _: &Ask, outcome: &Outcome, at: At| match outcome {
        Outcome::Answer(Answer::Rtc { session, sdp }) => then(desk, session, sdp.clone(), at),
        Outcome::Answer(Answer::Done) => then(desk, "", String::new(), at),
        outcome => super::settings::failed(outcome, at),
    };
    call.desk.ask(Ask::Rtc { from: Box::new(from), act }, PATIENCE, call.key, finish, call.at)?;
    Ok(Reply::Later)
}

/// STUN and TURN servers that clients are told of.
fn ice_servers(desk: &Desk) -> Vec<Value> {
    desk.board.value("webrtc-ice-servers").as_array().cloned().unwrap_or_default()
}

/// The same as fields `Link` (draft-ietf-wish-whep section 4.4, RFC 8288). The engine has checked
/// that no text ends its field.
fn links(servers: &[Value]) -> Vec<String> {
    let mut out = Vec::new();
    for server in servers {
        let urls = match &server["urls"] {
            Value::Array(urls) => urls.iter().filter_map(Value::as_str).collect(),
            url => url.as_str().into_iter().collect::<Vec<_>>(),
        };
        for url in urls {
            let mut link = format!("<{url}>; rel=\"ice-server\"");
            for name in ["username", "credential"] {
                if let Some(value) = server[name].as_str() {
                    // Writing to a String cannot fail.
                    let _ = write!(link, "; {name}=\"{value}\"");
                }
            }
            if server["credential"].is_string() {
                link.push_str("; credential-type=\"password\"");
            }
            out.push(link);
        }
    }
    out
}

/// POST of an offer: begins a session.
pub(super) fn play(call: &mut Call<'_>) -> Result<Reply, Fault> {
    is_of(call, SDP)?;
    takes_sdp(call)?;
    let offer = text_of(&call.request.body)?;
    let path = call.params.find("path").unwrap_or_default().to_owned();
    let act = RtcAct::Play { stream: stream_of(&path), offer };
    ask(call, act, move |desk, session, sdp, _| {
        let mut response = Response::new(201, SDP, Payload::Own(sdp.into_bytes()))
            .header("Location", format!("/whep/{path}/{session}"))
            .header("Accept-Patch", FRAGMENT)
            .header("Cache-Control", "no-store");
        for link in links(&ice_servers(desk)) {
            response = response.header("Link", link);
        }
        response
    })
}

/// A stream's path, also as `/api/streams` writes it: with the first `-` for its `/`.
fn stream_of(path: &str) -> String {
    if path.starts_with("cam") && !path.contains('/') {
        path.replacen('-', "/", 1)
    } else {
        path.to_owned()
    }
}

/// The session that a resource's path ends with.
fn session_of(call: &Call<'_>) -> String {
    let path = call.params.find("path").unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// PATCH: candidates of the client.
pub(super) fn trickle(call: &mut Call<'_>) -> Result<Reply, Fault> {
    is_of(call, FRAGMENT)?;
    let fragment = text_of(&call.request.body)?;
    let act = RtcAct::Trickle { session: session_of(call), fragment };
    ask(call, act, |_, _, _, _| Response::empty(204))
}

/// DELETE: ends a session.
pub(super) fn end(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let act = RtcAct::End { session: session_of(call) };
    ask(call, act, |_, _, _, at| Response::success(json!({ "ended": true }), at))
}

/// GET: the server offers, as a browser's `setRemoteDescription` takes it.
pub(super) fn offer(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let stream = call.request.query("stream").filter(|s| !s.is_empty()).unwrap_or("stream1");
    let stream = stream_of(stream);
    ask(call, RtcAct::Offer { stream: stream.clone() }, move |desk, session, sdp, at| {
        let body = json!({
            "status": "success",
            "type": "offer",
            "sdp": sdp,
            "session": session,
            "stream": stream,
            "resource": format!("/whep/{stream}/{session}"),
            "iceServers": ice_servers(desk),
            "timestamp": at.utc.millis(),
        });
        Response::json(200, &body).header("Cache-Control", "no-store")
    })
}

/// POST: the browser's answer to that, `{type, sdp}`.
pub(super) fn answer(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    if members.text("type")?.is_some_and(|kind| kind != "answer") {
        return Err(Fault::invalid_value("type", "Value must be answer"));
    }
    let answer = members.needed("sdp")?;
    let session = members.text("session")?.unwrap_or_default();
    members.end()?;
    if answer.len() > MAX_SDP {
        return Err(too_long());
    }
    plain(&answer)?;
    ask(call, RtcAct::Accept { session, answer }, |_, _, _, at| {
        Response::success(json!({ "accepted": true }), at)
    })
}

/// GET: the STUN and TURN servers.
pub(super) fn servers(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let data = json!({ "iceServers": ice_servers(call.desk) });
    Ok(Reply::Now(Response::success(data, call.at).header("Cache-Control", "no-store")))
}

/// POST: a candidate of the browser, as its `onicecandidate` has it.
pub(super) fn candidate(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let mut members = Members::of(&call.request.body)?;
    let candidate = members.text("candidate")?.unwrap_or_default();
    let mid = members.text("sdpMid")?;
    let ufrag = members.text("usernameFragment")?;
    let session = members.text("session")?.unwrap_or_default();
    members.number("sdpMLineIndex", 0, 65_535)?;
    members.end()?;
    let mut fragment = String::new();
    let mut line = |name: &str, value: Option<String>| match value {
        Some(value) if value.contains(|c: char| c.is_control()) => {
            Err(Fault::invalid_value(name, format!("{name} has control characters in it")))
        }
        Some(value) => {
            let _ = write!(fragment, "a={name}{value}\r\n");
            Ok(())
        }
        None => Ok(()),
    };
    line("ice-ufrag:", ufrag)?;
    line("mid:", mid)?;
    // An empty one says that there are no more.
    let last = candidate.is_empty();
    let value = candidate.strip_prefix("a=").unwrap_or(&candidate).to_owned();
    if !last && !value.starts_with("candidate:") {
        return Err(Fault::invalid_value("candidate", "Value must begin with candidate:"));
    }
    line("", Some(if last { "end-of-candidates".to_owned() } else { value }))?;
    if fragment.len() > MAX_SDP {
        return Err(too_long());
    }
    ask(call, RtcAct::Trickle { session, fragment }, |_, _, _, at| {
        Response::success(json!({ "accepted": true }), at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_as_links() {
        let servers = [
            json!({ "urls": "stun:s.example:3478" }),
            json!({ "urls": ["turn:t.example", "turns:t.example"], "username": "u",
                    "credential": "c" }),
        ];
        assert_eq!(
            links(&servers),
            [
                "<stun:s.example:3478>; rel=\"ice-server\"",
                "<turn:t.example>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; \
                 credential-type=\"password\"",
                "<turns:t.example>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; \
                 credential-type=\"password\"",
            ]
        );
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(text_of(b"v=0\r\ns=-\tx\n").is_ok());
        for bad in [&b"v=0\r\n\x01"[..], b"\0", b"v=0\x7f", b"v=0\xc2\x85", b"v=\xff"] {
            let fault = text_of(bad).unwrap_err();
            assert_eq!((fault.status, &*fault.code), (400, "INVALID_SDP"), "{bad:?}");
        }
        assert_eq!(text_of(&[b'v'; MAX_SDP + 1]).unwrap_err().status, 413);
    }

    #[test]
    fn streams_by_both_their_names() {
        let names = ["stream1", "cam1/main", "cam1-sub", "x-y"].map(stream_of);
        assert_eq!(names, ["stream1", "cam1/main", "cam1/sub", "x-y"]);
    }
}
