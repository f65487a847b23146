//! What can be asked over HTTP: one table of routes, and their handlers by subject.

mod body;
mod cameras;
mod certificate;
mod login;
mod settings;
mod socket;
mod stills;
mod streams;
mod system;
mod users;

use crate::desk::{ConnKey, Desk};
use crate::http::At;
use crate::http::auth::Who;
use crate::http::cors::Site;
use crate::http::limit::{Class, Rate};
use crate::http::parse::{Method, Request};
use crate::http::respond::{Fault, Response};
use crate::http::route::{self, Found, Params, Route};
use crate::live::Viewer;
use crate::ws::Face;
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::time::Nanos;
use std::net::SocketAddr;

/// A request in the hands of its handler.
pub(crate) struct Call<'a> {
    pub(crate) desk: &'a mut Desk,
    pub(crate) request: &'a Request,
    pub(crate) params: &'a Params,
    pub(crate) who: &'a Who,
    pub(crate) peer: SocketAddr,
    pub(crate) key: ConnKey,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    pub(crate) at: At,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct From {
    pub(crate) peer: SocketAddr,
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

const SYSTEM: Option<Access> = Some(Access::read(Permission::System));
const DEVICE: Option<Access> = Some(Access::read(Permission::Device));
const MEDIA: Option<Access> = Some(Access::read(Permission::Media));
const NETWORK: Option<Access> = Some(Access::read(Permission::Network));
const NETWORK_WRITE: Option<Access> = Some(Access::write(Permission::Network));

const fn get(
    path: &'static str,
    access: Option<Access>,
    class: Class,
    handler: Handler,
    doc: &'static str,
) -> Route<Handler> {
    Route { method: Method::Get, path, access, class, handler, doc }
}

const fn write(
    method: Method,
    path: &'static str,
    access: Option<Access>,
    handler: Handler,
    doc: &'static str,
) -> Route<Handler> {
    Route { method, path, access, class: Class::Api, handler, doc }
}

const USER: Option<Access> = Some(Access::read(Permission::User));
const USER_WRITE: Option<Access> = Some(Access::write(Permission::User));

/// Everything that is answered.
#[rustfmt::skip]
pub(crate) static ROUTES: &[Route<Handler>] = &[
    get("/", MEDIA, Class::Free, system::index, "The web page"),
    get("/health", None, Class::Free, system::health, "Whether server, engine and cameras work"),
    get("/health/live", None, Class::Free, system::live, "Whether this process answers"),
    get("/health/ready", None, Class::Free, system::ready, "200 once the engine runs, else 503"),
    get("/api/health", None, Class::Free, system::health, "Whether server, engine and cameras work"),
    get("/api/v1", None, Class::Free, socket::api_v1, "The WebSocket: log in, read, set and be told"),
    get("/api/info", SYSTEM, Class::Api, system::info, "Name, version, ports, URLs and features"),
    get("/api/status", SYSTEM, Class::Api, system::status, "State of the engine and its cameras"),
    get("/api/camera/status", SYSTEM, Class::Api, cameras::active, "State of the active camera"),
    get("/api/cameras", DEVICE, Class::Api, cameras::list, "All cameras"),
    get("/api/cameras/{id}", DEVICE, Class::Api, cameras::one, "One camera, by number"),
    get("/api/streams", MEDIA, Class::Api, streams::list, "All streams with their rates"),
    get("/api/streams/{id}/clients", DEVICE, Class::Api, streams::clients, "Who receives a stream"),
    get("/api/streams/{camera}/{stream}/clients", DEVICE, Class::Api, streams::clients, "Who receives a stream"),
    get("/api/snapshot", MEDIA, Class::Still, stills::still, "A JPEG of now: quality, camera"),
    get("/camera.jpeg", MEDIA, Class::Still, stills::still, "A JPEG of now"),
    get("/image", MEDIA, Class::Still, stills::still, "A JPEG of now"),
    get("/images/current.jpg", MEDIA, Class::Still, stills::still, "A JPEG of now"),
    get("/mjpeg/{id}", MEDIA, Class::Api, streams::mjpeg, "Live JPEGs, multipart/x-mixed-replace"),
    get("/mjpeg/{camera}/{stream}", MEDIA, Class::Api, streams::mjpeg, "Live JPEGs, multipart/x-mixed-replace"),
    write(Method::Post, "/api/login", None, login::login, "Begins a session: username, password"),
    write(Method::Post, "/api/logout", None, login::logout, "Ends the session or token that is used"),
    get("/api/session", None, Class::Api, login::session, "Who asks, what he may do, and the CSRF token"),
    get("/api/sessions", None, Class::Api, login::sessions, "One's own sessions; of all with the permission User"),
    write(Method::Delete, "/api/sessions/{id}", None, login::end_session, "Ends a session"),
    write(Method::Post, "/api/token", None, login::make_token, "Makes an API token: name, expires_in (seconds), role"),
    get("/api/token", None, Class::Api, login::tokens, "One's own API tokens; of all with the permission User"),
    get("/api/tokens", None, Class::Api, login::tokens, "The same"),
    write(Method::Delete, "/api/token/{id}", None, login::end_token, "Ends an API token"),
    write(Method::Delete, "/api/tokens/{id}", None, login::end_token, "Ends an API token"),
    get("/api/users", USER, Class::Api, users::list, "All users"),
    write(Method::Post, "/api/users", USER_WRITE, users::add, "Adds a user: username, password, role, permissions"),
    get("/api/users/{name}", None, Class::Api, users::one, "One user; everybody may read himself"),
    write(Method::Patch, "/api/users/{name}", USER_WRITE, users::change, "Changes role, permissions, password"),
    write(Method::Put, "/api/users/{name}", USER_WRITE, users::change, "The same"),
    write(Method::Delete, "/api/users/{name}", USER_WRITE, users::remove, "Removes a user"),
    get("/api/users/{name}/permissions", None, Class::Api, users::permissions, "What a user may do"),
    write(Method::Put, "/api/users/{name}/permissions", USER_WRITE, users::set_permissions, "What a user may do beyond the role"),
    write(Method::Put, "/api/users/{name}/password", None, users::set_password, "Another password; one's own with old_password"),
    get("/api/roles", USER, Class::Api, users::roles, "All roles"),
    write(Method::Post, "/api/roles", USER_WRITE, users::add_role, "Adds a role: name, permissions"),
    get("/api/roles/{name}", USER, Class::Api, users::one_role, "One role"),
    write(Method::Put, "/api/roles/{name}", USER_WRITE, users::put_role, "Makes or changes a role; guest is what holds without a login"),
    write(Method::Delete, "/api/roles/{name}", USER_WRITE, users::remove_role, "Removes a role"),
    get("/api/settings", SYSTEM, Class::Api, settings::all, "Every setting and measured value"),
    write(Method::Post, "/api/settings", SYSTEM, settings::set_many, "Sets keys, each for itself"),
    write(Method::Patch, "/api/settings", SYSTEM, settings::set_many, "Sets keys, each for itself"),
    get("/api/settings/{key}", SYSTEM, Class::Api, settings::one, "One key, its range and the hardware's"),
    write(Method::Post, "/api/settings/{key}", SYSTEM, settings::set_one, "Sets a key: a JSON value or {\"value\": …}"),
    write(Method::Patch, "/api/settings/{key}", SYSTEM, settings::set_one, "Sets a key: a JSON value or {\"value\": …}"),
    get("/api/schema", SYSTEM, Class::Api, settings::schema, "JSON schema of all keys"),
    get("/api/config", SYSTEM, Class::Api, settings::config, "Every setting by module"),
    write(Method::Put, "/api/config", SYSTEM, settings::set_config, "Changes modules, all or nothing"),
    write(Method::Patch, "/api/config", SYSTEM, settings::set_config, "Changes modules, all or nothing"),
    get("/api/config/{section}", SYSTEM, Class::Api, settings::section, "One module"),
    write(Method::Put, "/api/config/{section}", SYSTEM, settings::set_section, "Changes a module, all or nothing; what is left out gets its default"),
    write(Method::Patch, "/api/config/{section}", SYSTEM, settings::set_section, "Changes a module, all or nothing"),
    get("/api/certificate", NETWORK, Class::Api, certificate::view, "The TLS certificate"),
    write(Method::Post, "/api/certificate", NETWORK_WRITE, certificate::replace, "Takes a certificate and its key as PEM, or makes a self-signed one"),
];

/// A request that may be made.
#[derive(Debug)]
pub(crate) struct Pass {
    route: &'static Route<Handler>,
    params: Params,
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
    Ok(Pass { route, params, who, rate })
}

/// Answers a request that may be made.
pub(crate) fn answer(desk: &mut Desk, pass: &Pass, request: &Request, from: From, at: At) -> Reply {
    let From { peer, key, secure } = from;
    let (params, who) = (&pass.params, &pass.who);
    let mut call = Call { desk, request, params, who, peer, key, secure, at };
    match (pass.route.handler)(&mut call) {
        Ok(reply) => reply,
        // Who has not logged in is asked to: some clients (Digest) wait for that.
        Err(fault) if fault.status == 401 => Reply::Now(desk.door.ask_login(false, false, at)),
        Err(fault) => Reply::Now(fault.response(at)),
    }
}

/// The stream whose pictures a WebSocket gets under this name.
pub(crate) fn picture_stream(desk: &mut Desk, name: &str) -> Option<String> {
    streams::pictures_of(desk, name)
}

/// How long the engine may take for a question that needs no picture.
const PATIENCE: Nanos = Nanos::from_secs(2);

/// A camera number as people write it: `1`, `cam1`, `camera1`.
fn camera_number(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let word = &text[..text.len() - digits.len()];
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    (plain && ["", "cam", "camera"].contains(&word)).then(|| digits.parse().ok()).flatten()
}

/// Takes user names and passwords out of the URLs in a text: a camera's SPEC may be
/// `rtsp://user:password@host/`.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(user) => {
                out.push_str("***");
                &after[user..]
            }
            None => after,
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_documented_once() {
        for (i, a) in ROUTES.iter().enumerate() {
            assert!(a.doc.len() > 5 && a.path.starts_with('/'), "{}", a.path);
            assert!(ROUTES[i + 1..].iter().all(|b| (a.method, a.path) != (b.method, b.path)));
        }
    }

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
