//! Answers: the envelope of SURFACE section 3, the one map from faults to it, and the head of a
//! response as bytes.

use super::At;
use lensd_ffi::time::UtcNanos;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

/// Why something is not done, as a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// One of the codes of SURFACE section 3.
    pub code: Cow<'static, str>,
    /// Short text.
    pub error: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// The setting or parameter that is meant.
    pub key: Option<Box<str>>,
    /// How much is allowed in which period.
    pub limit: Option<(u32, &'static str)>,
    /// Seconds after which to try again.
    pub retry_after: Option<u32>,
}

impl Fault {
    /// A fault.
    pub fn new(
        status: u16,
        code: &'static str,
        error: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            error,
            message: message.into(),
            key: None,
            limit: None,
            retry_after: None,
        }
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "NOT_FOUND", "Not found", message)
    }

    /// 422 for a value that is of the wrong type or out of its range.
    pub fn invalid_value(key: &str, message: impl Into<String>) -> Self {
        let fault = Self::new(422, "INVALID_VALUE", "Invalid value", message);
        Self { key: Some(key.into()), ..fault }
    }

    /// 503 for a camera that delivers nothing.
    pub fn camera_away(message: impl Into<String>) -> Self {
        let fault = Self::new(503, "CAMERA_NOT_CONNECTED", "Camera not connected", message);
        Self { retry_after: Some(1), ..fault }
    }

    /// 503 for something that comes back by itself.
    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        let fault = Self::new(503, code, "Service unavailable", message);
        Self { retry_after: Some(1), ..fault }
    }

    /// A fault that the engine reports: the one map from its codes to HTTP.
    pub fn of_engine(code: String, message: String) -> Self {
        let (status, error) = match code.as_str() {
            "NOT_FOUND" => (404, "Not found"),
            "INVALID_VALUE" | "INVALID_RESOLUTION" => (422, "Invalid value"),
            "RECORDING_IN_PROGRESS" => (409, "Recording in progress"),
            "CAMERA_NOT_CONNECTED" => (503, "Camera not connected"),
            "NOT_RECORDING" => (409, "Not recording"),
            "INSUFFICIENT_STORAGE" => (503, "Insufficient storage"),
            "STORAGE_UNAVAILABLE" => (503, "Storage unavailable"),
            "RATE_LIMITED" => (429, "Too many requests"),
            "INVALID_SDP" => (400, "Invalid session description"),
            "NOT_ACCEPTABLE" => (406, "Not acceptable"),
            "CONFLICT" => (409, "Conflict"),
            "TOO_LARGE" => (413, "Content too large"),
            "NO_ICE_RESTART" => (422, "No ICE restart"),
            "WEBRTC_OFF" => (409, "WebRTC is off"),
            "TOO_MANY_SESSIONS" | "WEBRTC_UNAVAILABLE" => (503, "Service unavailable"),
            _ => (500, "Engine fault"),
        };
        let retry_after = (code == "TOO_MANY_SESSIONS").then_some(5);
        Self { code: code.into(), retry_after, ..Self::new(status, "", error, message) }
    }

    /// As the body of a response.
    pub fn json(&self, at: At) -> Value {
        let mut body = json!({
            "status": "error",
            "error": self.error,
            "code": self.code,
            "message": self.message,
            "timestamp": at.utc.millis(),
        });
        if let Some(key) = &self.key {
            body["key"] = json!(key);
        }
        if let Some((limit, period)) = self.limit {
            body["limit"] = json!(limit);
            body["period"] = json!(period);
        }
        if let Some(secs) = self.retry_after {
            body["retry_after"] = json!(secs);
        }
        body
    }

    /// As a response.
    pub fn response(&self, at: At) -> Response {
        let response = Response::json(self.status, &self.json(at));
        match self.retry_after {
            Some(secs) => response.header("Retry-After", secs.to_string()),
            None => response,
        }
    }
}

/// The bytes of a body: its own, shared by many answers, or in a file.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Its own.
    Own(Vec<u8>),
    /// Shared.
    Shared(Arc<Vec<u8>>),
    /// Read piece by piece as the client takes it.
    File(FileBody),
    /// Shared, of which the beginning is left out.
    Slice(Slice),
    /// Several of those, one behind the other.
    Chain(Vec<Slice>),
}

/// Shared bytes from a place on.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The bytes.
    pub bytes: Arc<Vec<u8>>,
    /// How many of them are left out.
    pub from: usize,
}

impl Slice {
    /// Those that count.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

/// A part of a file.
#[derive(Debug, Clone)]
pub struct FileBody {
    /// The file. It is read at places, so many may read it at a time.
    pub file: Arc<File>,
    /// Where the part begins.
    pub offset: u64,
    /// Its length.
    pub length: u64,
}

impl Payload {
    /// The bytes, if they are in one piece of memory: none of a file or a chain.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Slice(slice) => slice.as_bytes(),
            Self::File(_) | Self::Chain(_) => &[],
        }
    }

    /// How many bytes it has, wherever they are.
    pub fn len(&self) -> u64 {
        match self {
            Self::File(body) => body.length,
            Self::Chain(slices) => slices.iter().map(|s| s.as_bytes().len() as u64).sum(),
            payload => payload.bytes().len() as u64,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Header fields, besides those that the session adds.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Payload,
}

impl Response {
    /// A response with a body of some type.
    pub fn new(status: u16, content_type: &str, body: Payload) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body }
    }

    /// A response without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Payload::Own(Vec::new()) }
    }

    /// A JSON value.
    pub fn json(status: u16, value: &Value) -> Self {
        let mut bytes = value.to_string().into_bytes();
        bytes.push(b'\n');
        Self::new(status, "application/json", Payload::Own(bytes))
            .header("Cache-Control", "no-store")
    }

    /// The envelope of success.
    pub fn success(data: Value, at: At) -> Self {
        let timestamp = at.utc.millis();
        Self::json(200, &json!({ "status": "success", "data": data, "timestamp": timestamp }))
    }

    /// A file, of which clients may ask for parts. Its tag is made of what changes when it does.
    ///
    /// # Errors
    /// When the file cannot be examined.
    pub fn file(content_type: &str, file: File) -> io::Result<Self> {
        let m = file.metadata()?;
        let tag = format!("\"{:x}-{:x}-{:x}.{:x}\"", m.ino(), m.size(), m.mtime(), m.mtime_nsec());
        let modified = http_date(UtcNanos(m.mtime().saturating_mul(1_000_000_000)));
        let body = FileBody { file: Arc::new(file), offset: 0, length: m.size() };
        Ok(Self::new(200, content_type, Payload::File(body))
            .header("ETag", tag)
            .header("Last-Modified", modified)
            .header("Accept-Ranges", "bytes")
            // It may be kept, but whoever takes it from there must ask whether he still may.
            .header("Cache-Control", "private, no-cache"))
    }

    /// With another header field. The value must not come from a client.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The value of a header field.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// With another field on which the answer depends (RFC 9110 12.5.5).
    #[must_use]
    pub fn vary(mut self, field: &'static str) -> Self {
        match self.headers.iter_mut().find(|(name, _)| *name == "Vary") {
            Some((_, value)) if value.split(", ").any(|f| f == field) => {}
            Some((_, value)) => {
                value.push_str(", ");
                value.push_str(field);
            }
            None => self.headers.push(("Vary", field.to_owned())),
        }
        self
    }
}

/// Takes user names and passwords out of the URLs in a text: a camera's SPEC may be
/// `rtsp://user:password@host/`.
pub fn redact(text: &str) -> String {
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

/// What the session knows of an answer's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The connection stays; HTTP/1.0 has to be told so.
    Keep {
        /// HTTP/1.0.
        old: bool,
    },
    /// It closes after this answer.
    Close,
    /// It closes after this answer, whose length nobody knows.
    Endless,
    /// Another protocol follows this answer.
    Upgrade,
}

/// The head of a response as bytes.
pub fn head(response: &Response, tail: Tail, at: At) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    let _ = write!(out, "Server: lensd\r\nDate: {}\r\n", http_date(at.utc));
    for (name, value) in &response.headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    out.push_str("X-Content-Type-Options: nosniff\r\n");
    // RFC 9110 8.6: neither has a body that could have a length.
    let bodiless = [204, 304].contains(&response.status) || tail == Tail::Upgrade;
    if tail != Tail::Endless && !bodiless {
        let _ = write!(out, "Content-Length: {}\r\n", response.body.len());
    }
    out.push_str(match tail {
        Tail::Keep { old: false } | Tail::Upgrade => "\r\n",
        Tail::Keep { old: true } => "Connection: keep-alive\r\n\r\n",
        Tail::Close | Tail::Endless => "Connection: close\r\n\r\n",
    });
    out.into_bytes()
}

const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// IMF-fixdate (RFC 9110 5.6.7), e.g. `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn http_date(utc: UtcNanos) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [(&str, i64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let secs = utc.0.max(0) / 1_000_000_000;
    let (days, secs) = (secs / 86_400, secs % 86_400);
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let (mut year, mut day) = (1970, days);
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = "Dec";
    for (name, length) in MONTHS {
        let length = length + i64::from(name == "Feb" && leap(year));
        if day < length {
            month = name;
            break;
        }
        day -= length;
    }
    let weekday = usize::try_from(days % 7).map_or("Thu", |d| DAYS[d]);
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{weekday}, {:02} {month} {year} {h:02}:{m:02}:{s:02} GMT", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_709_208_000, "Thu, 29 Feb 2024 12:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(UtcNanos(secs * 1_000_000_000)), text);
        }
    }

    #[test]
    fn what_the_engine_refuses_has_a_status() {
        // RFC 9725 section 4.3.
        for (code, status) in [("NO_ICE_RESTART", 422), ("WEBRTC_UNAVAILABLE", 503), ("?", 500)] {
            assert_eq!(Fault::of_engine(code.to_owned(), String::new()).status, status, "{code}");
        }
    }

    #[test]
    fn the_envelope_of_a_fault() {
        let fault = Fault {
            limit: Some((100, "minute")),
            retry_after: Some(45),
            ..Fault::invalid_value("fps", "Value must be between 5 and 60")
        };
        let at = At { utc: UtcNanos(1_704_067_200_000_000_000), ..At::default() };
        assert_eq!(
            fault.json(at),
            json!({"status": "error", "error": "Invalid value", "code": "INVALID_VALUE",
                "message": "Value must be between 5 and 60", "timestamp": 1_704_067_200_000_i64,
                "key": "fps", "limit": 100, "period": "minute", "retry_after": 45})
        );
    }
}
