//! The bytes of a request: where its head ends, what it says, and how its body is framed.
//!
//! Everything by which two HTTP implementations could disagree about where a request ends is
//! refused, not repaired: that disagreement is what request smuggling is made of (RFC 9112 11.2).

use super::respond::Fault;

/// Longest request line in bytes, without its end.
pub const MAX_LINE: usize = 8 * 1024;
/// Most bytes of header fields.
pub const MAX_HEADERS: usize = 32 * 1024;
/// Most header fields.
const MAX_FIELDS: usize = 100;
/// Longest body in bytes, but for [`Request::is_streamed`].
pub const MAX_BODY: usize = 1024 * 1024;
/// The one request whose body may be longer: it goes to the disk as it comes and is never in
/// memory.
pub const STREAMED: (Method, &str) = (Method::Post, "upload");
/// Longest line of chunk framing; longest trailer section.
const MAX_CHUNK_LINE: usize = 256;
const MAX_TRAILERS: usize = 4 * 1024;

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as RFC 9110 section 9 names them")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// One that nothing here answers.
    Other,
}

impl Method {
    fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }

    /// Its name in a request line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "",
        }
    }

    /// Whether it only reads (RFC 9110 section 9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// The request target as it was sent, which a digest covers.
    pub target: String,
    /// Decoded segments of the path: `/a/b%2Fc` is `["a", "b/c"]`, `/` is none.
    pub segments: Vec<String>,
    /// Decoded query.
    pub query: Vec<(String, String)>,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the first field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// All values of fields of this name (lower case).
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether its body is handed on in pieces, however long it is.
    pub fn is_streamed(&self) -> bool {
        (self.method, &*self.segments) == (STREAMED.0, &[STREAMED.1.to_owned()])
    }

    /// The first value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By its length; 0 if there is none.
    Length(usize),
    /// In chunks.
    Chunked,
}

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The request, its body still to come.
    pub request: Request,
    /// Framing of the body.
    pub framing: Framing,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects: bool,
    /// HTTP/1.0, which has to be told when a connection stays.
    pub old: bool,
}

fn bad(message: &str) -> Fault {
    Fault::new(400, "BAD_REQUEST", "Bad request", message)
}

fn too_large(message: String) -> Fault {
    Fault::new(431, "HEADERS_TOO_LARGE", "Request header too large", message)
}

/// Looks for the end of a head, byte by byte, so that its verdict is the same wherever the bytes
/// were split on their way.
#[derive(Debug, Default)]
pub struct HeadScan {
    at: usize,
    /// Where the current line begins.
    line: usize,
    /// Lines with content so far.
    lines: usize,
    /// Empty lines before the request line.
    blank: usize,
    /// Where the request line begins, and where the first field does.
    first: usize,
    fields: usize,
    cr: bool,
}

impl HeadScan {
    /// Goes on in `bytes`, which begin with those of the last call. `Some`: the range of the head.
    ///
    /// # Errors
    /// The refusal; the connection cannot go on.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<std::ops::Range<usize>>, Fault> {
        while let Some(&byte) = bytes.get(self.at) {
            let column = self.at - self.line;
            self.at += 1;
            match byte {
                b'\n' if !self.cr => return Err(bad("a line must end with CR LF, not LF alone")),
                b'\n' => {
                    self.cr = false;
                    if column > 1 {
                        self.lines += 1;
                        if self.lines == 1 {
                            self.fields = self.at;
                        }
                    } else if self.lines > 0 {
                        return Ok(Some(self.first..self.at));
                    } else {
                        // RFC 9112 2.2: an empty line before the request line is ignored; some
                        // clients end a POST body with one.
                        self.blank += 1;
                        self.first = self.at;
                        if self.blank > 2 {
                            return Err(bad("empty lines where a request should begin"));
                        }
                    }
                    self.line = self.at;
                    continue;
                }
                _ if self.cr => return Err(bad("CR without LF")),
                b'\r' => self.cr = true,
                0 => return Err(bad("a zero byte in the head")),
                b' ' | b'\t' if column == 0 && self.lines > 0 => {
                    return Err(bad("a header field must not be folded (RFC 9112 5.2)"));
                }
                _ if column == 0 && self.lines == 0 && !byte.is_ascii_alphabetic() => {
                    return Err(bad("this is not HTTP; if it is TLS, use the HTTPS port"));
                }
                _ => {}
            }
            if self.lines == 0 && column > MAX_LINE {
                return Err(too_large(format!("the request line is over {MAX_LINE} bytes")));
            }
            if self.lines > 0 && self.at - self.fields > MAX_HEADERS {
                return Err(too_large(format!("the header fields are over {MAX_HEADERS} bytes")));
            }
        }
        Ok(None)
    }
}

/// Parses a whole head, as [`HeadScan`] found it.
///
/// # Errors
/// The refusal; the connection cannot go on.
pub fn parse_head(bytes: &[u8]) -> Result<Head, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut raw = httparse::Request::new(&mut fields);
    match raw.parse(bytes) {
        Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(too_large(format!("more than {MAX_FIELDS} header fields")));
        }
        Err(httparse::Error::Version) => return Err(bad("only HTTP/1.1 and HTTP/1.0 are spoken")),
        Err(e) => return Err(bad(&format!("malformed head: {e}"))),
        Ok(_) => return Err(bad("malformed head")),
    }
    let (Some(method), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
        return Err(bad("malformed head"));
    };
    let headers: Vec<(String, String)> = raw
        .headers
        .iter()
        .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
        .collect();
    let method = Method::parse(method);
    let (segments, query) = parse_target(method, target)?;
    let request =
        Request { method, target: target.to_owned(), segments, query, headers, body: Vec::new() };
    check_host(&request, minor)?;
    let framing = framing(&request, minor)?;
    let expects = match request.header("expect") {
        None => false,
        Some(e) if e.eq_ignore_ascii_case("100-continue") => minor == 1,
        Some(_) => return Err(bad("Expect can only be 100-continue")),
    };
    let says = |word: &str| {
        let mut tokens = request.headers("connection").flat_map(|v| v.split(','));
        tokens.any(|t| t.trim().eq_ignore_ascii_case(word))
    };
    let keep_alive = !says("close") && (minor == 1 || says("keep-alive"));
    Ok(Head { request, framing, keep_alive, expects, old: minor == 0 })
}

/// RFC 9112 3.2: one Host field, in HTTP/1.1 always.
fn check_host(request: &Request, minor: u8) -> Result<(), Fault> {
    let mut hosts = request.headers("host");
    match (hosts.next(), hosts.next()) {
        (None, _) if minor == 1 => Err(bad("the Host field is missing")),
        (_, Some(_)) => Err(bad("more than one Host field")),
        (Some(host), None) if !is_host(host) => Err(bad("malformed Host field")),
        _ => Ok(()),
    }
}

/// Whether it can be `name[:port]` or `[ipv6][:port]`: it is copied into URLs that are answered.
fn is_host(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%".contains(&b))
}

/// RFC 9112 6.1 to 6.3, with every ambiguity refused.
fn framing(request: &Request, minor: u8) -> Result<Framing, Fault> {
    let mut codings = request.headers("transfer-encoding");
    let mut lengths = request.headers("content-length");
    match (codings.next(), lengths.next()) {
        (Some(_), Some(_)) => Err(bad("Content-Length and Transfer-Encoding together")),
        (Some(coding), None) => {
            if minor == 0 || codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
                return Err(bad("Transfer-Encoding can only be chunked, once, in HTTP/1.1"));
            }
            Ok(Framing::Chunked)
        }
        (None, Some(length)) => {
            let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            if lengths.next().is_some() || !digits || length.len() > 18 {
                return Err(bad("Content-Length must be one decimal number"));
            }
            match length.parse() {
                Ok(n) if n <= MAX_BODY || request.is_streamed() => Ok(Framing::Length(n)),
                _ => Err(body_too_large()),
            }
        }
        (None, None) => Ok(Framing::Length(0)),
    }
}

fn body_too_large() -> Fault {
    let message = format!("a body may have {MAX_BODY} bytes");
    Fault::new(413, "PAYLOAD_TOO_LARGE", "Payload too large", message)
}

type Target = (Vec<String>, Vec<(String, String)>);

/// RFC 9112 3.2: origin form, absolute form, and the asterisk of OPTIONS.
fn parse_target(method: Method, target: &str) -> Result<Target, Fault> {
    if !target.bytes().all(|b| b.is_ascii_graphic()) || target.contains('#') {
        return Err(bad("malformed request target"));
    }
    if target == "*" && method == Method::Options {
        return Ok((Vec::new(), Vec::new()));
    }
    let target = match target.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].contains(&&*scheme.to_ascii_lowercase()) => {
            rest.find(['/', '?']).map_or("/", |i| &rest[i..])
        }
        _ => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path.strip_prefix('/') {
        Some(rest) => rest,
        None if path.is_empty() => "",
        None => return Err(bad("the request target must begin with /")),
    };
    // One slash at the end is forgiven: people type it.
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments = match path {
        "" => Vec::new(),
        path => path.split('/').map(|s| decode(s, false)).collect::<Result<_, _>>()?,
    };
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .take(MAX_FIELDS)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        })
        .collect::<Result<_, Fault>>()?;
    Ok((segments, query))
}

/// Percent-decoding (RFC 3986 2.1); in a query `+` is a space.
fn decode(text: &str, query: bool) -> Result<String, Fault> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let wrong = || bad("malformed percent-encoding in the URL");
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong()) };
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            b'+' if query => b' ',
            byte => byte,
        });
    }
    if out.contains(&0) {
        return Err(wrong());
    }
    String::from_utf8(out).map_err(|_| wrong())
}

/// Takes a body out of the stream of bytes.
#[derive(Debug)]
pub struct BodyReader {
    state: BodyState,
    kept: usize,
    most: usize,
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// This many bytes of a body with Content-Length.
    Length(usize),
    ChunkSize,
    ChunkData(usize),
    /// CR LF behind the data of a chunk.
    ChunkEnd,
    Trailers,
    Done,
}

impl BodyReader {
    /// Of a body with this framing.
    pub const fn new(framing: Framing) -> Self {
        Self::with_most(framing, MAX_BODY)
    }

    /// The same of one that nobody keeps as a whole.
    pub const fn streamed(framing: Framing) -> Self {
        Self::with_most(framing, usize::MAX)
    }

    const fn with_most(framing: Framing, most: usize) -> Self {
        let state = match framing {
            Framing::Length(0) => BodyState::Done,
            Framing::Length(n) => BodyState::Length(n),
            Framing::Chunked => BodyState::ChunkSize,
        };
        Self { state, kept: 0, most, line: Vec::new(), trailers: 0 }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.state == BodyState::Done
    }

    /// Takes bytes up to the end of the body, and appends its content to `out`, if that is wanted.
    /// Returns how many it took.
    ///
    /// # Errors
    /// The refusal; the connection cannot go on.
    pub fn feed(&mut self, bytes: &[u8], mut out: Option<&mut Vec<u8>>) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            match self.state {
                BodyState::Length(left) | BodyState::ChunkData(left) => {
                    let take = left.min(bytes.len() - at);
                    if let Some(out) = out.as_deref_mut() {
                        out.extend_from_slice(&bytes[at..at + take]);
                    }
                    at += take;
                    self.state = match self.state {
                        BodyState::Length(_) if take == left => BodyState::Done,
                        BodyState::Length(_) => BodyState::Length(left - take),
                        _ if take == left => BodyState::ChunkEnd,
                        _ => BodyState::ChunkData(left - take),
                    };
                }
                _ => {
                    if self.push_line(bytes[at])? {
                        let line = std::mem::take(&mut self.line);
                        self.state = self.next(&line)?;
                    }
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// Collects a line of framing; true at its end.
    fn push_line(&mut self, byte: u8) -> Result<bool, Fault> {
        match (self.line.last(), byte) {
            (Some(b'\r'), b'\n') => {
                self.line.pop();
                return Ok(true);
            }
            (Some(b'\r'), _) | (_, b'\n' | 0) => {
                return Err(bad("malformed line in a chunked body"));
            }
            _ => self.line.push(byte),
        }
        if self.state == BodyState::Trailers {
            self.trailers += 1;
        }
        if self.line.len() > MAX_CHUNK_LINE || self.trailers > MAX_TRAILERS {
            return Err(bad("over-long line in a chunked body"));
        }
        Ok(false)
    }

    /// The state behind a line of framing.
    fn next(&mut self, line: &[u8]) -> Result<BodyState, Fault> {
        match self.state {
            BodyState::ChunkEnd if line.is_empty() => Ok(BodyState::ChunkSize),
            BodyState::ChunkEnd => Err(bad("a chunk is longer than it says")),
            BodyState::Trailers if line.is_empty() => Ok(BodyState::Done),
            // Trailer fields are read over: nothing here may depend on them (RFC 9110 6.5.1).
            BodyState::Trailers => Ok(BodyState::Trailers),
            _ => match self.chunk_size(line)? {
                0 => Ok(BodyState::Trailers),
                n => Ok(BodyState::ChunkData(n)),
            },
        }
    }

    /// RFC 9112 7.1: hexadecimal digits, and maybe extensions, which are ignored.
    fn chunk_size(&mut self, line: &[u8]) -> Result<usize, Fault> {
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let rest = &line[digits..];
        if digits == 0 || digits > 15 || !(rest.is_empty() || rest[0] == b';') {
            return Err(bad("malformed chunk size"));
        }
        let size = std::str::from_utf8(&line[..digits])
            .ok()
            .and_then(|s| usize::from_str_radix(s, 16).ok())
            .ok_or_else(|| bad("malformed chunk size"))?;
        self.kept = self.kept.saturating_add(size);
        if self.kept > self.most { Err(body_too_large()) } else { Ok(size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, u16> {
        let mut scan = HeadScan::default();
        let range = scan.advance(text.as_bytes()).map_err(|f| f.status)?.expect("a whole head");
        parse_head(&text.as_bytes()[range]).map_err(|f| f.status)
    }

    fn with(fields: &str) -> Result<Head, u16> {
        head(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"))
    }

    #[test]
    fn a_request_is_read() {
        let head = head(
            "\r\nGET /a%20b/c%2Fd/?q=1+2&q=3&e HTTP/1.1\r\nHost: [::1]:80\r\nX-A:  v \r\n\r\n",
        )
        .unwrap();
        let r = &head.request;
        assert_eq!((r.method, &*r.target), (Method::Get, "/a%20b/c%2Fd/?q=1+2&q=3&e"));
        assert_eq!(r.segments, ["a b", "c/d"]);
        assert_eq!((r.query("q"), r.query("e"), r.query("x")), (Some("1 2"), Some(""), None));
        assert_eq!(r.header("x-a"), Some("v"));
        assert!(head.keep_alive && head.framing == Framing::Length(0));
    }

    #[test]
    fn what_could_be_smuggled_is_refused() {
        for fields in [
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 5",
            "Content-Length: 4, 4",
            "Content-Length: +4",
            "Content-Length: -4",
            "Content-Length: 0x4",
            "Content-Length: 4 4",
            "Content-Length: ",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding:",
            "Transfer-Encoding : chunked",
            "Content-Length : 4",
            " Content-Length: 4",
            "X: a\r\n Content-Length: 4",
            "X: a\r\n\tfolded",
            "X: a\rContent-Length: 4",
            "X: a\nContent-Length: 4",
            "X: a\0b",
            "Content-Length\0: 4",
            ": 4",
            "Host: h",
            "Expect: 200-ok",
        ] {
            assert_eq!(with(fields), Err(400), "{fields:?}");
        }
        assert_eq!(with("Content-Length: 1048577"), Err(413));
    }

    #[test]
    fn request_lines_that_are_none() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /% HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\"b\r\n\r\n",
            "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /\r\n\r\n",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\x16\x03\x01\r\n\r\n",
            "GET / HTTP/1.1\nHost: h\n\n",
        ] {
            assert_eq!(head(text).map(|h| h.request), Err(400), "{text:?}");
        }
    }

    #[test]
    fn limits_of_the_head() {
        let line = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(n));
        assert!(head(&line(MAX_LINE - 14)).is_ok());
        assert_eq!(head(&line(MAX_LINE - 13)).map(|_| ()), Err(431));
        assert_eq!(with(&format!("X: {}", "a".repeat(MAX_HEADERS))), Err(431));
        assert!(with(&format!("X: {}", "a".repeat(MAX_HEADERS - 100))).is_ok());
        assert_eq!(with("X: a\r\n".repeat(MAX_FIELDS).trim_end()), Err(431));
    }

    #[test]
    fn connections_stay_or_close() {
        let keeps = |line: &str, field: &str| {
            head(&format!("GET / {line}\r\nHost: h\r\n{field}\r\n\r\n")).unwrap().keep_alive
        };
        assert!(keeps("HTTP/1.1", "X: y") && keeps("HTTP/1.0", "Connection: Keep-Alive"));
        assert!(!keeps("HTTP/1.0", "X: y") && !keeps("HTTP/1.1", "Connection: x, Close"));
    }

    #[test]
    fn absolute_targets_and_the_asterisk() {
        let target = |t: &str| {
            head(&format!("OPTIONS {t} HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap().request.segments
        };
        assert_eq!(target("http://h:80/a/b?c"), ["a", "b"]);
        assert!(target("http://h").is_empty() && target("*").is_empty());
    }

    fn body(text: &str) -> Result<(String, usize), u16> {
        let mut reader = BodyReader::new(Framing::Chunked);
        let mut out = Vec::new();
        let took = reader.feed(text.as_bytes(), Some(&mut out)).map_err(|f| f.status)?;
        assert!(reader.is_done(), "{text:?}");
        Ok((String::from_utf8(out).unwrap(), took))
    }

    #[test]
    fn chunks() {
        assert_eq!(body("3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\n\r\nGET"), {
            Ok(("abc0123456789".to_owned(), 33))
        });
        assert_eq!(body("0\r\nA: b\r\nC: d\r\n\r\n").unwrap().0, "");
        for text in [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "\r\n",
            ";\r\n",
            "ffffffffffffffff1\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\rX\r\n\r\n",
        ] {
            assert_eq!(body(text), Err(400), "{text:?}");
        }
        assert_eq!(body("fffffff\r\n"), Err(413));
        assert_eq!(body(&format!("1;{}\r\n", "x".repeat(300))), Err(400));
    }
}
