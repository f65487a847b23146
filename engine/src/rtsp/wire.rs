//! RTSP messages as values (RFC 2326 sections 4 to 7).

use std::fmt;

/// Longest request line in bytes.
pub const MAX_LINE: usize = 8 * 1024;
/// Longest head (request line and headers) in bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// Most headers of a message: in memory each takes more than on the wire.
pub const MAX_HEADERS: usize = 128;
/// Longest body in bytes: an ANNOUNCE's SDP.
pub const MAX_BODY: usize = 64 * 1024;

/// The methods that this server has (RFC 2326 section 10), and all else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// What can you do?
    Options,
    /// What is this stream?
    Describe,
    /// I will publish this stream.
    Announce,
    /// How shall it travel?
    Setup,
    /// Go.
    Play,
    /// Wait.
    Pause,
    /// I send now.
    Record,
    /// End.
    Teardown,
    /// Mostly: I am alive.
    GetParameter,
    /// Set something.
    SetParameter,
    /// The first half of an HTTP tunnel.
    HttpGet,
    /// The other half.
    HttpPost,
    /// Something else.
    Other(String),
}

/// The value of the `Public` header: what there is.
pub const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, PAUSE, RECORD, TEARDOWN, \
                          GET_PARAMETER, SET_PARAMETER";

/// The value of the `Allow` header where a stream can be played.
pub const PLAYABLE: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, \
                            SET_PARAMETER";
/// And where one can be published.
pub const PUBLISHABLE: &str = "OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN, GET_PARAMETER, \
                               SET_PARAMETER";

impl Method {
    /// From the request line.
    pub fn parse(name: &str, http: bool) -> Self {
        match (name, http) {
            ("GET", true) => Self::HttpGet,
            ("POST", true) => Self::HttpPost,
            ("OPTIONS", false) => Self::Options,
            ("DESCRIBE", false) => Self::Describe,
            ("ANNOUNCE", false) => Self::Announce,
            ("SETUP", false) => Self::Setup,
            ("PLAY", false) => Self::Play,
            ("PAUSE", false) => Self::Pause,
            ("RECORD", false) => Self::Record,
            ("TEARDOWN", false) => Self::Teardown,
            ("GET_PARAMETER", false) => Self::GetParameter,
            ("SET_PARAMETER", false) => Self::SetParameter,
            _ => Self::Other(name.to_owned()),
        }
    }

    /// As in the request line.
    pub fn name(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Record => "RECORD",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::HttpGet => "GET",
            Self::HttpPost => "POST",
            Self::Other(name) => name,
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// URI as it stands in the request line.
    pub uri: String,
    /// Whether it is `RTSP/1.0` (or, in a tunnel's head, HTTP/1.x).
    pub version_ok: bool,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Bytes of it in memory, about.
    pub fn size(&self) -> usize {
        let headers =
            self.headers.iter().map(|(n, v)| size_of::<(String, String)>() + n.len() + v.len());
        self.uri.len() + self.body.len() + headers.sum::<usize>()
    }

    /// The request as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} RTSP/1.0\r\n", self.method.name(), self.uri);
        for (name, value) in &self.headers {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

/// A status code (RFC 2326 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// Done.
    pub const OK: Self = Self(200);
    /// Not understood.
    pub const BAD_REQUEST: Self = Self(400);
    /// Log in first.
    pub const UNAUTHORIZED: Self = Self(401);
    /// Logged in, but not allowed.
    pub const FORBIDDEN: Self = Self(403);
    /// No such stream.
    pub const NOT_FOUND: Self = Self(404);
    /// Not for this stream.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// Not in a form that the client takes.
    pub const NOT_ACCEPTABLE: Self = Self(406);
    /// Body too long.
    pub const TOO_LARGE: Self = Self(413);
    /// Request line too long.
    pub const URI_TOO_LONG: Self = Self(414);
    /// Not SDP, SDP of something that is not taken, or pictures that RTP cannot carry.
    pub const UNSUPPORTED_MEDIA: Self = Self(415);
    /// Parameter not understood.
    pub const PARAMETER: Self = Self(451);
    /// Too many sessions.
    pub const NOT_ENOUGH_BANDWIDTH: Self = Self(453);
    /// No such session.
    pub const SESSION_NOT_FOUND: Self = Self(454);
    /// Not now.
    pub const NOT_VALID_IN_STATE: Self = Self(455);
    /// `Range` cannot be had.
    pub const INVALID_RANGE: Self = Self(457);
    /// Not on several streams at once.
    pub const AGGREGATE: Self = Self(459);
    /// No such transport.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(461);
    /// No such method.
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// The camera is away.
    pub const UNAVAILABLE: Self = Self(503);
    /// Not RTSP/1.0.
    pub const VERSION: Self = Self(505);
    /// `Require` names something that is not there.
    pub const OPTION: Self = Self(551);

    /// The reason phrase.
    pub const fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            415 => "Unsupported Media Type",
            451 => "Parameter Not Understood",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            457 => "Invalid Range",
            459 => "Aggregate Operation Not Allowed",
            461 => "Unsupported Transport",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            505 => "RTSP Version Not Supported",
            551 => "Option Not Supported",
            _ => "Error",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.reason())
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: Status,
    /// Headers in order, `CSeq` among them.
    pub headers: Vec<(&'static str, String)>,
    /// Body; a `Content-Length` is added for it.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer without headers or body.
    pub const fn new(status: Status) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("RTSP/1.0 {}\r\n", self.status);
        for (name, value) in &self.headers {
            out.push_str(name);
            out.push_str(": ");
            // A value that came from a request must not begin a header of its own.
            out.extend(value.chars().filter(|c| !c.is_control()));
            out.push_str("\r\n");
        }
        if !self.body.is_empty() {
            out.push_str("Content-Length: ");
            out.push_str(&self.body.len().to_string());
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}
