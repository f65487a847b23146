//! What a client may do, and when: the state machine of one RTSP connection (RFC 2326 appendix A).
//!
//! A connection has at most one session, and a session one track, since a stream here is video; and
//! one of metadata, where that is asked for.
//! The session ends with its connection: every client that we know keeps it open, and a client
//! that has vanished is then noticed by TCP itself.
//!
//! The machine has no socket and no clock. It is told the time, asks its [`House`] about streams
//! and users, and leaves bytes to be sent in [`Session::poll_output`].

mod play;

pub use super::house::{Described, House, Onvif, Start, Uses, Wanted};
use super::parse::{Item, ParseError, Parser};
use super::path::Path;
use super::replay::recording_of;
use super::transport::{self, Answer, Offer};
use super::wire::{Method, PLAYABLE, PUBLIC, PUBLISHABLE, Request, Response, Status};
use crate::sdp::{Announced, METADATA_TRACK, TRACK};
use lensd_ffi::auth::{Access, Credentials, Login, Permission, Verdict};
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;

/// How long DESCRIBE waits for a camera's first key frame.
const DESCRIBE_WAIT: Nanos = Nanos::from_secs(5);
/// Most requests that wait for an answer; more are a client that does not read.
const MAX_WAITING: usize = 16;

/// RFC 2326 appendix A.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No session.
    Init,
    /// A transport is chosen.
    Ready,
    /// Packets go out.
    Playing,
    /// Packets come in.
    Recording,
}

/// What the connection is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Bytes(Vec<u8>),
    /// It becomes a half of an HTTP tunnel: `x-sessioncookie`, whether it is the half that sends
    /// to the client, and what followed the head.
    Tunnel {
        /// Names the tunnel.
        cookie: String,
        /// GET: we send. POST: we receive.
        get: bool,
        /// Bytes after the head.
        rest: Vec<u8>,
    },
    /// Close when all is sent.
    Close,
}

/// One connection's machine.
#[derive(Debug)]
pub struct Session {
    parser: Parser,
    outputs: VecDeque<Output>,
    waiting: VecDeque<Request>,
    /// Since when the first waiting request waits.
    waiting_since: Nanos,
    state: State,
    id: Option<String>,
    path: Path,
    announced: Option<Announced>,
    /// Who the last request of this connection that was asked has proved to be.
    login: Option<Login>,
    agent: String,
    last_heard: Nanos,
    /// Whether a whole message has come.
    spoken: bool,
    closed: bool,
}

impl Session {
    /// A connection that was accepted now.
    pub fn new(now: Nanos) -> Self {
        Self {
            parser: Parser::default(),
            outputs: VecDeque::new(),
            waiting: VecDeque::new(),
            waiting_since: now,
            state: State::Init,
            id: None,
            path: Path::default(),
            announced: None,
            login: None,
            agent: String::new(),
            last_heard: now,
            spoken: false,
            closed: false,
        }
    }

    /// Where the protocol stands.
    pub const fn state(&self) -> State {
        self.state
    }

    /// The user, empty without a login.
    pub fn user(&self) -> &str {
        self.login.as_ref().map_or("", |login| &login.user)
    }

    /// What the session rests on. When it stands no more, the session is to end.
    pub const fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// The client's product name.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The stream that was set up.
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// The session's name.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Notes that the client lives: it reports by RTCP, or its socket takes what we send.
    pub fn heard(&mut self, now: Nanos) {
        self.last_heard = now;
    }

    /// When the client was last heard.
    pub const fn last_heard(&self) -> Nanos {
        self.last_heard
    }

    /// Whether the client has sent a whole message; a few bytes of one are no sign of a client.
    pub const fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Whether a request waits for a camera.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Bytes of memory that messages take which are not whole, or wait for their answer.
    pub fn held(&self) -> usize {
        self.parser.held() + self.waiting.iter().map(Request::size).sum::<usize>()
    }

    /// Takes bytes from the client. **Then drain [`Self::poll_output`].**
    pub fn handle_input(&mut self, bytes: &[u8], now: Nanos, house: &mut dyn House) {
        if self.closed {
            return;
        }
        self.last_heard = now;
        self.parser.push(bytes);
        loop {
            let item = self.parser.next_item();
            self.spoken |= matches!(item, Ok(Some(_)));
            match item {
                Ok(None) => break,
                // We ask nothing of clients, so a response answers nothing.
                Ok(Some(Item::Response(_))) => {}
                Ok(Some(Item::Interleaved { channel, payload })) => {
                    house.interleaved(channel, &payload);
                }
                Ok(Some(Item::Request(request))) => {
                    if self.begin_tunnel(&request) {
                        return;
                    }
                    if self.waiting.len() >= MAX_WAITING {
                        self.refuse(&ParseError {
                            status: Status::BAD_REQUEST,
                            what: "too many requests wait for their answer",
                        });
                        return;
                    }
                    if self.waiting.is_empty() {
                        self.waiting_since = now;
                    }
                    self.waiting.push_back(request);
                    self.handle_timeout(now, house);
                    if self.closed {
                        return;
                    }
                }
                Err(error) => {
                    self.refuse(&error);
                    return;
                }
            }
        }
    }

    /// Tries the requests that wait. Call it when a stream has something new, and when time passed.
    pub fn handle_timeout(&mut self, now: Nanos, house: &mut dyn House) {
        while let Some(request) = self.waiting.pop_front() {
            let late = now.since(self.waiting_since) >= DESCRIBE_WAIT;
            match self.answer(&request, late, house) {
                Some(response) => {
                    self.respond(&request, response);
                    self.waiting_since = now;
                }
                None => {
                    self.waiting.push_front(request);
                    break;
                }
            }
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Ends the session and says so to the house.
    pub fn end(&mut self, house: &mut dyn House) {
        if self.state != State::Init || self.id.is_some() {
            house.teardown();
        }
        self.state = State::Init;
        self.id = None;
        self.announced = None;
    }

    fn refuse(&mut self, error: &ParseError) {
        let response = Response::new(error.status)
            .with("Connection", "close")
            .with("Warning", format!("199 lensd \"{}\"", error.what));
        self.outputs.push_back(Output::Bytes(response.to_bytes()));
        self.close();
    }

    /// Nothing follows: requests that wait get no answer.
    fn close(&mut self) {
        self.outputs.push_back(Output::Close);
        self.closed = true;
        self.waiting.clear();
    }

    fn begin_tunnel(&mut self, request: &Request) -> bool {
        let get = match request.method {
            Method::HttpGet => true,
            Method::HttpPost => false,
            _ => return false,
        };
        match request.header("x-sessioncookie").filter(|c| !c.is_empty() && c.len() <= 128) {
            Some(cookie) if self.id.is_none() => {
                let (cookie, rest) = (cookie.to_owned(), self.parser.take_rest());
                self.outputs.push_back(Output::Tunnel { cookie, get, rest });
            }
            // Somebody opened the RTSP port in a browser.
            _ => {
                let text = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n\
                            This is an RTSP port. Open rtsp:// URLs with a player.\r\n";
                self.outputs.push_back(Output::Bytes(text.as_bytes().to_vec()));
                self.close();
            }
        }
        true
    }

    fn respond(&mut self, request: &Request, mut response: Response) {
        if let Some(cseq) = request.header("CSeq") {
            response.headers.insert(0, ("CSeq", cseq.to_owned()));
        }
        response.headers.push(("Server", concat!("lensd/", env!("CARGO_PKG_VERSION")).to_owned()));
        self.outputs.push_back(Output::Bytes(response.to_bytes()));
        if !request.version_ok {
            self.close();
        }
    }

    /// `None`: the answer must wait.
    fn answer(&mut self, request: &Request, late: bool, house: &mut dyn House) -> Option<Response> {
        if !request.version_ok {
            return Some(Response::new(Status::VERSION));
        }
        if request.header("CSeq").is_none_or(|c| c.parse::<u32>().is_err()) {
            return Some(warn(Status::BAD_REQUEST, "CSeq is missing or no number"));
        }
        let required = request.header("Require").or_else(|| request.header("Proxy-Require"));
        if let Some(option) = required
            && !(play::is_onvif(request) && house.uses(&self.path_of(request)).stored)
        {
            return Some(Response::new(Status::OPTION).with("Unsupported", option));
        }
        if let Some(agent) = request.header("User-Agent") {
            self.agent = agent.chars().take(64).collect();
        }
        let path = self.path_of(request);
        if let Some(refusal) = self.check_session(request) {
            return Some(refusal);
        }
        if let Some(refusal) = self.check_login(request, &path, house) {
            return Some(refusal);
        }
        if let Some(refusal) = self.check_method(request, &path, house) {
            return Some(refusal);
        }
        match &request.method {
            Method::Options => Some(Response::new(Status::OK).with("Public", PUBLIC)),
            Method::Describe => self.describe(request, path, late, house),
            Method::Announce => Some(self.announce(request, path, house)),
            Method::Setup => match self.check_fit(&path, late, house) {
                Fit::Yes => Some(self.setup(request, path, house)),
                Fit::No(refusal) => Some(refusal),
                Fit::Unknown => None,
            },
            Method::Play => self.play(request, &path, late, house),
            Method::Pause => Some(self.pause(house)),
            Method::Record => Some(self.record(house)),
            Method::Teardown => Some(self.teardown(house)),
            Method::GetParameter | Method::SetParameter => Some(self.parameter(request)),
            Method::HttpGet | Method::HttpPost | Method::Other(_) => {
                Some(Response::new(Status::NOT_IMPLEMENTED).with("Public", PUBLIC))
            }
        }
    }

    /// The path of a request; what its URI leaves out is taken from the one that was described.
    fn path_of(&self, request: &Request) -> Path {
        let path = Path::parse(&request.uri);
        // Content-Base has no query, so a SETUP that follows a DESCRIBE has lost it.
        if !path.has_query && path.name == self.path.name {
            return Path { track: path.track, second: path.second, ..self.path.clone() };
        }
        path
    }

    fn check_session(&self, request: &Request) -> Option<Response> {
        let named = request.header("Session")?.split(';').next()?.trim();
        (self.id.as_deref() != Some(named)).then(|| Response::new(Status::SESSION_NOT_FOUND))
    }

    fn check_login(
        &mut self,
        request: &Request,
        path: &Path,
        house: &mut dyn House,
    ) -> Option<Response> {
        let access = match request.method {
            Method::Options | Method::Other(_) => return None,
            Method::Announce | Method::Record => Access::write(Permission::Media),
            _ if recording_of(&path.name).is_some() => Access::read(Permission::Media),
            _ => Access::LIVE,
        };
        let credentials = match (request.header("Authorization"), &path.token) {
            (Some(header), _) => Credentials::parse(header),
            (None, Some(token)) => Credentials::Token(token.clone()),
            // A connection that has proved who it is need not do it again.
            (None, None)
                if !self.user().is_empty()
                    && !access.write
                    && self.login.as_ref().is_some_and(|login| login.allows(access)) =>
            {
                return None;
            }
            (None, None)
                if self.state != State::Init && (access == Access::LIVE || access.write) =>
            {
                return None;
            }
            (None, None) => Credentials::None,
        };
        let verdict = house.verdict(&lensd_ffi::auth::Request {
            credentials: &credentials,
            method: request.method.name(),
            uri: &request.uri,
            access,
        });
        match verdict {
            Verdict::Allow(login) => {
                self.login = Some(login);
                None
            }
            Verdict::Forbid(_) => Some(warn(Status::FORBIDDEN, "this user may not do that")),
            verdict @ (Verdict::Login { .. } | Verdict::Locked { .. }) => {
                let stale = matches!(verdict, Verdict::Login { stale: true, .. });
                let mut response = Response::new(Status::UNAUTHORIZED);
                if let Verdict::Locked { retry_after } = verdict {
                    response = response.with("Retry-After", retry_after.to_string());
                }
                for challenge in house.challenges(stale) {
                    response = response.with("WWW-Authenticate", challenge);
                }
                Some(response)
            }
        }
    }

    /// Refuses what exists, but not at this path (RFC 2326 section 11.3.1).
    fn check_method(
        &self,
        request: &Request,
        path: &Path,
        house: &mut dyn House,
    ) -> Option<Response> {
        let publishes = match request.method {
            Method::Announce => true,
            // What was announced has tracks below its path, and the state says what may follow.
            _ if self.announced.is_some() => return None,
            Method::Record => true,
            Method::Describe | Method::Setup | Method::Play | Method::Pause => false,
            _ => return None,
        };
        let allowed = match (house.uses(path), publishes) {
            (Uses { play: true, publish: false, .. }, true) => PLAYABLE,
            (Uses { play: false, publish: true, .. }, false) => PUBLISHABLE,
            _ => return None,
        };
        Some(Response::new(Status::METHOD_NOT_ALLOWED).with("Allow", allowed))
    }

    fn describe(
        &mut self,
        request: &Request,
        path: Path,
        late: bool,
        house: &mut dyn House,
    ) -> Option<Response> {
        if let Some(accept) = request.header("Accept")
            && !accept.contains("application/sdp")
            && !accept.contains("*/*")
        {
            return Some(warn(Status::NOT_ACCEPTABLE, "only application/sdp is given"));
        }
        match house.describe(&path) {
            Described::Sdp(sdp) => {
                let mut response = Response::new(Status::OK)
                    .with("Content-Base", format!("{}/", base_of(&request.uri)))
                    .with("Content-Type", "application/sdp");
                response.body = sdp.into_bytes();
                if self.state == State::Init {
                    self.path = path;
                }
                Some(response)
            }
            Described::Wait if late => Some(warn(Status::UNAVAILABLE, "there is no picture yet")),
            Described::Wait => None,
            Described::NotFound => Some(Response::new(Status::NOT_FOUND)),
            Described::Unavailable(why) => Some(warn(Status::UNAVAILABLE, &why)),
            Described::Unfit(why) => Some(unfit(why)),
            Described::Full => Some(full()),
        }
    }

    /// Whether RTP can carry the pictures of a path that is set up without a DESCRIBE before, which
    /// would have said so: such a client would wait for pictures that never come.
    fn check_fit(&self, path: &Path, late: bool, house: &mut dyn House) -> Fit {
        // A recording has to be opened, again if it was given back.
        let known = self.path.name == path.name && !house.uses(path).stored;
        if self.state != State::Init || self.announced.is_some() || known {
            return Fit::Yes;
        }
        match house.describe(path) {
            Described::Unfit(why) => Fit::No(unfit(why)),
            Described::Full => Fit::No(full()),
            Described::Wait if !late => Fit::Unknown,
            // Whatever else there is to say, the set-up says it.
            _ => Fit::Yes,
        }
    }

    fn setup(&mut self, request: &Request, path: Path, house: &mut dyn House) -> Response {
        if matches!(self.state, State::Playing | State::Recording) {
            return warn(Status::NOT_VALID_IN_STATE, "PAUSE or TEARDOWN first");
        }
        let recording = self.announced.is_some();
        // A publisher names its track as its own SDP does, below the announced path.
        let path = if recording && path.name.starts_with(&self.path.name) {
            self.path.clone()
        } else {
            path
        };
        if self.id.is_some() && path.name != self.path.name {
            return Response::new(Status::AGGREGATE);
        }
        let Some(header) = request.header("Transport") else {
            return warn(Status::BAD_REQUEST, "the Transport header is missing");
        };
        let offers: Vec<Offer> = transport::parse(header)
            .into_iter()
            .filter(|o| path.only.is_none_or(|only| only == o.lower))
            .filter(|o| !path.multicast || o.multicast)
            .filter(|o| o.record == recording)
            .collect();
        if offers.is_empty() {
            return warn(
                Status::UNSUPPORTED_TRANSPORT,
                "RTP/AVP over UDP, TCP or multicast is served here",
            );
        }
        let ignored = self.announced.as_ref().is_some_and(|a| !names_track(&request.uri, a));
        let chosen = if ignored {
            house.setup_ignored(&offers).map(|c| (c, None))
        } else if recording {
            house.setup_record(&path, &offers).map(|c| (c, None))
        } else {
            house.setup(&path, &offers).map(|(c, ssrc)| (c, Some(ssrc)))
        };
        let (chosen, ssrc) = match chosen {
            Ok(chosen) => chosen,
            // What was set up of another track stays.
            Err(status) if ignored || ((recording || path.is_metadata()) && self.id.is_some()) => {
                return Response::new(status);
            }
            Err(status) => {
                self.id = None;
                self.state = State::Init;
                return Response::new(status);
            }
        };
        self.path = path;
        self.state = State::Ready;
        let id = self.id.get_or_insert_with(|| format!("{:016x}", house.random())).clone();
        let answer = Answer { chosen: &chosen, ssrc, record: recording };
        Response::new(Status::OK)
            .with("Transport", answer.to_string())
            .with("Session", format!("{id};timeout={}", house.timeout_secs()))
    }

    fn pause(&mut self, house: &mut dyn House) -> Response {
        if !matches!(self.state, State::Playing | State::Ready) || self.announced.is_some() {
            return warn(Status::NOT_VALID_IN_STATE, "nothing plays");
        }
        house.pause();
        self.state = State::Ready;
        self.with_session(Response::new(Status::OK))
    }

    fn announce(&mut self, request: &Request, path: Path, house: &mut dyn House) -> Response {
        if self.state != State::Init {
            return warn(Status::NOT_VALID_IN_STATE, "this connection has a session");
        }
        if request.header("Content-Type").is_none_or(|t| !t.starts_with("application/sdp")) {
            return warn(Status::UNSUPPORTED_MEDIA, "ANNOUNCE takes application/sdp");
        }
        let announced = match crate::sdp::parse_announce(&request.body) {
            Ok(announced) => announced,
            Err(why) => return warn(Status::UNSUPPORTED_MEDIA, why),
        };
        self.announced = None;
        if let Err(status) = house.announce(&path, &announced) {
            return Response::new(status);
        }
        self.path = path;
        self.announced = Some(announced);
        Response::new(Status::OK)
    }

    fn record(&mut self, house: &mut dyn House) -> Response {
        if self.state != State::Ready || self.announced.is_none() {
            return warn(Status::NOT_VALID_IN_STATE, "ANNOUNCE and SETUP first");
        }
        match house.record() {
            Err(status) => Response::new(status),
            Ok(()) => {
                self.state = State::Recording;
                self.with_session(Response::new(Status::OK))
            }
        }
    }

    fn teardown(&mut self, house: &mut dyn House) -> Response {
        if self.id.is_none() {
            return Response::new(Status::SESSION_NOT_FOUND);
        }
        self.end(house);
        Response::new(Status::OK)
    }

    /// Without a body either is a sign of life (RFC 2326 sections 10.8 and 10.9 leave that open for
    /// SET_PARAMETER, and some players send it); there are no parameters.
    fn parameter(&self, request: &Request) -> Response {
        if request.body.iter().all(u8::is_ascii_whitespace) {
            self.with_session(Response::new(Status::OK))
        } else {
            warn(Status::PARAMETER, "there are no parameters")
        }
    }

    fn with_session(&self, response: Response) -> Response {
        match &self.id {
            Some(id) => response.with("Session", id.clone()),
            None => response,
        }
    }
}

/// A URI without track and query, for `Content-Base` and `RTP-Info`.
fn base_of(uri: &str) -> &str {
    let end = uri.find('?').unwrap_or(uri.len());
    let whole = uri[..end].trim_end_matches('/');
    whole.trim_end_matches(TRACK).trim_end_matches(METADATA_TRACK).trim_end_matches('/')
}

/// Whether a SETUP is for the track that was taken from a publisher's SDP.
fn names_track(uri: &str, announced: &Announced) -> bool {
    let uri = uri.split('?').next().unwrap_or_default().trim_end_matches('/');
    let control = announced.control.split('?').next().unwrap_or_default().trim_end_matches('/');
    // Publishers of one track may name none.
    matches!(control, "" | "*") || !announced.several || uri.ends_with(control)
}

/// Whether RTP can carry what is set up.
enum Fit {
    Yes,
    No(Response),
    /// The camera has not delivered a picture yet.
    Unknown,
}

fn full() -> Response {
    warn(Status::NOT_ENOUGH_BANDWIDTH, "too many recordings are played; try again later")
}

fn unfit(why: &str) -> Response {
    let why = format!("RTP cannot carry this camera's JPEG pictures: {why}");
    warn(Status::UNSUPPORTED_MEDIA, &why)
}

fn warn(status: Status, why: &str) -> Response {
    Response::new(status).with("Warning", format!("199 lensd \"{why}\""))
}

#[cfg(test)]
mod tests;
