//! What can be asked over HTTP: one table of routes, and their handlers by subject.

mod cameras;
mod certificate;
mod discover;
mod events;
mod exports;
mod files;
mod hls;
mod login;
mod machine;
mod metrics;
mod openapi;
mod ptz;
mod recording;
mod recordings;
mod routes;
mod scene;
mod schema;
mod settings;
mod socket;
mod stills;
mod storage;
mod streams;
mod system;
mod tags;
mod update;
mod uploads;
mod users;
mod webrtc;

use crate::desk::{ConnKey, Desk};
use crate::engine::camera_number;
use crate::face::Face;
use crate::http::At;
use crate::http::auth::Who;
use crate::http::cors::Site;
use crate::http::limit::Rate;
use crate::http::parse::{Method, Request};
use crate::http::respond::{Fault, Response, redact};
use crate::http::route::{self, Found, Params, Route};
use crate::live::Viewer;
use crate::onvif;
use lensd_ffi::time::Nanos;
use routes::{ROUTES, Served};
use std::net::SocketAddr;

/// A request in the hands of its handler.
pub(crate) struct Call<'a> {
    pub(crate) desk: &'a mut Desk,
    pub(crate) request: &'a Request,
    pub(crate) params: &'a Params,
    pub(crate) who: &'a Who,
    pub(crate) peer: SocketAddr,
    /// Our end of the connection.
    pub(crate) local: SocketAddr,
    pub(crate) key: ConnKey,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    pub(crate) at: At,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    pub(crate) peer: SocketAddr,
    /// Our end of the connection.
    pub(crate) local: SocketAddr,
    pub(crate) key: ConnKey,
    pub(crate) secure: bool,
}

impl Call<'_> {
    /// `https` or `http`, as the client reached us.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and port as the client knows us, for the URLs that it is told.
    pub(crate) fn authority(&self) -> String {
        let known = self.request.header("host").filter(|h| !h.is_empty());
        known.map_or_else(
            || match self.desk.own_ports.get(self.scheme()) {
                Some(port) => format!("localhost:{port}"),
                None => "localhost".to_owned(),
            },
            str::to_owned,
        )
    }

    /// The host of [`Call::authority`], an IPv6 address in its brackets.
    pub(crate) fn host(&self) -> String {
        let authority = self.authority();
        match authority.rfind(':').filter(|at| authority.find(']').is_none_or(|end| end < *at)) {
            Some(at) => authority[..at].to_owned(),
            None => authority,
        }
    }
}

/// What a handler does.
pub(crate) enum Reply {
    /// Answers.
    Now(Response),
    /// Has asked the engine for this connection; the answer will come.
    Later,
    /// Answers without an end.
    Live(Response, Box<Viewer>),
    /// Answers by becoming a WebSocket.
    Upgrade(Response, &'static Face),
}

/// A handler.
pub(crate) type Handler = for<'a, 'b> fn(&'a mut Call<'b>) -> Result<Reply, Fault>;

/// A request that may be made.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Who answers; none: ONVIF, which has a table of its own.
    served: Option<(&'static Route<Served>, Params)>,
    pub(crate) who: Who,
    /// For the X-RateLimit fields of its answer.
    pub(crate) rate: Option<Rate>,
}

/// Finds who answers a request and whether it may be made, before its body is read.
pub(crate) fn admit(
    desk: &mut Desk,
    request: &Request,
    site: &Site,
    peer: SocketAddr,
    at: At,
) -> Result<Pass, Box<Response>> {
    if onvif::is_for(desk, request) {
        onvif::admit(request, at)?;
        return Ok(Pass { served: None, who: desk.door.users().guest(), rate: None });
    }
    let (route, params) = match route::find(ROUTES, request) {
        Found::Route(route, params) => (route, params),
        Found::Methods(allow) if request.method == Method::Options => {
            return Err(Box::new(site.options(request, allow)));
        }
        Found::Methods(allow) => {
            let message = format!("this path takes {allow}");
            let fault = Fault::new(405, "METHOD_NOT_ALLOWED", "Method not allowed", message);
            return Err(Box::new(fault.response(at).header("Allow", allow)));
        }
        Found::Nothing => {
            let fault = Fault::not_found("there is nothing at this path; see /api/info");
            return Err(Box::new(fault.response(at)));
        }
    };
    let from = peer.ip();
    let own = site.as_own(request);
    let seen = own.as_ref().unwrap_or(request);
    let (who, rate) = desk.door.admit(seen, route.access, route.class, from, at)?;
    Ok(Pass { served: Some((route, params)), who, rate })
}

/// Begins a request whose body comes in pieces.
pub(crate) fn begin(desk: &mut Desk, request: &Request, from: From) -> Result<(), Fault> {
    uploads::begin(desk, request, from.key)
}

/// A piece of such a body.
pub(crate) fn feed(desk: &mut Desk, key: ConnKey, piece: Vec<u8>) -> Result<(), Fault> {
    uploads::feed(desk, key, piece)
}

/// Answers a request that may be made.
pub(crate) fn answer(desk: &mut Desk, pass: &Pass, request: &Request, from: From, at: At) -> Reply {
    let From { peer, local, key, secure } = from;
    let Some((route, params)) = &pass.served else {
        let from = onvif::From { peer, local, key, secure };
        return onvif::handle(desk, request, from, at).map_or(Reply::Later, Reply::Now);
    };
    let who = &pass.who;
    let mut call = Call { desk, request, params, who, peer, local, key, secure, at };
    match (route.handler.handler)(&mut call) {
        Ok(reply) => reply,
        // Who has not logged in is asked to: some clients (Digest) wait for that.
        Err(fault) if fault.status == 401 => Reply::Now(desk.door.ask_login(false, false, at)),
        Err(fault) => Reply::Now(fault.response(at)),
    }
}

/// How long the engine may take for a question that needs no picture.
const PATIENCE: Nanos = Nanos::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_texts() {
        assert_eq!(redact("rtsp://u:p@h:554/a?b=c@d"), "rtsp://***@h:554/a?b=c@d");
        assert_eq!(
            redact("cannot open rtsp://u:p@h and x://q"),
            "cannot open rtsp://***@h and x://q"
        );
        assert_eq!(redact("rtsp://u:p@w@h/"), "rtsp://***@h/");
        assert_eq!(redact("v4l2:/dev/video0"), "v4l2:/dev/video0");
    }

    #[test]
    fn camera_numbers() {
        assert_eq!(["1", "cam2", "camera3"].map(camera_number), [Some(1), Some(2), Some(3)]);
        assert_eq!(["", "cam", "x1", "1x", "cam-1"].map(camera_number), [None; 5]);
    }
}
