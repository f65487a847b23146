//! Bytes to RTSP messages, however they are cut.

use super::wire::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_LINE, Method, Request, Status};

/// Something that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A request.
    Request(Request),
    /// A binary packet (RFC 2326 section 10.12).
    Interleaved {
        /// Channel.
        channel: u8,
        /// Packet.
        payload: Vec<u8>,
    },
    /// A response to a request of ours.
    Response(Reply),
}

/// A response of another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What is wrong with the bytes. The connection cannot go on: where the next message begins is not
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The answer.
    pub status: Status,
    /// What is wrong, for the log and the client.
    pub what: &'static str,
}

const fn bad<T>(what: &'static str) -> Result<T, ParseError> {
    Err(ParseError { status: Status::BAD_REQUEST, what })
}

/// As much as a buffer may keep although little is in it.
const KEEP: usize = 32 * 1024;

/// Collects bytes until they make a message.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
    /// Bytes at the front that are used up.
    used: usize,
    seen: Seen,
}

/// What is known of a message that is not whole: a client that sends it byte by byte must not have
/// all of it looked at for each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// How far the end of its head was searched for.
    searched: usize,
    /// Whether the end of its first line is in that.
    line: bool,
    /// Its length, once its head is whole.
    needs: usize,
}

impl Parser {
    /// Takes bytes. **Then call [`Self::next_item`] until it has nothing more.**
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        let len = self.bytes.len() + bytes.len();
        if self.bytes.capacity() > KEEP && len < self.bytes.capacity() / 4 {
            // What a long message has left.
            self.bytes.shrink_to(len);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.used
    }

    /// Bytes of memory that it takes.
    pub const fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes everything that is not parsed yet, e.g. when a tunnel begins.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.used);
        *self = Self::default();
        rest
    }

    /// The next message.
    ///
    /// # Errors
    /// The bytes are no RTSP; nothing can follow.
    pub fn next_item(&mut self) -> Result<Option<Item>, ParseError> {
        // Empty lines between messages are allowed (RFC 2068 section 4.1), and keep some NATs open.
        while matches!(self.bytes.get(self.used), Some(b'\r' | b'\n')) {
            self.used += 1;
        }
        let rest = &self.bytes[self.used..];
        let taken = match rest.first() {
            _ if rest.len() < self.seen.needs => None,
            None => None,
            Some(b'$') => interleaved(rest),
            Some(_) => match head_end(rest, self.seen.searched) {
                Some(end) => message(rest, end, &mut self.seen.needs)?,
                None => {
                    limits(rest, &mut self.seen)?;
                    None
                }
            },
        };
        let Some((item, len)) = taken else {
            if self.used == self.bytes.len() {
                // An idle connection keeps no buffer.
                *self = Self::default();
            }
            return Ok(None);
        };
        self.used += len;
        self.seen = Seen::default();
        Ok(Some(item))
    }
}

/// Refuses a head that is too long, or that is none, before its end has come.
fn limits(rest: &[u8], seen: &mut Seen) -> Result<(), ParseError> {
    if !seen.line {
        let end = rest[seen.searched..].iter().position(|&b| b == b'\n');
        seen.line = end.is_some();
        if end.map_or(rest.len(), |n| seen.searched + n) > MAX_LINE {
            return Err(ParseError {
                status: Status::URI_TOO_LONG,
                what: "the request line is too long",
            });
        }
    }
    // Three bytes of the head's end may be there already.
    seen.searched = rest.len().saturating_sub(3);
    if rest.len() > MAX_HEAD {
        return bad("the headers are too long");
    }
    if rest[..rest.len().min(16)].iter().any(|&b| b < b' ' && b != b'\r' && b != b'\n') {
        return bad("this is no RTSP");
    }
    Ok(())
}

/// Length of the head with its empty line; lines may end with CR LF or, as some clients do, LF.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    while let Some(n) = bytes.get(i..)?.iter().position(|&b| b == b'\n') {
        let at = i + n;
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'\n'), _) => return Some(at + 2),
            (Some(b'\r'), Some(b'\n')) => return Some(at + 3),
            _ => {}
        }
        i = at + 1;
    }
    None
}

fn interleaved(bytes: &[u8]) -> Option<(Item, usize)> {
    let &[_, channel, a, b] = bytes.first_chunk::<4>()?;
    let len = usize::from(u16::from_be_bytes([a, b]));
    let payload = bytes.get(4..4 + len)?.to_vec();
    Some((Item::Interleaved { channel, payload }, 4 + len))
}

/// A message whose head ends at `end`; without all of its body only how many bytes it `needs`.
fn message(
    bytes: &[u8],
    end: usize,
    needs: &mut usize,
) -> Result<Option<(Item, usize)>, ParseError> {
    limits(&bytes[..end], &mut Seen::default())?;
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else { return bad("not UTF-8") };
    let mut lines = head.split('\n').map(|l| l.strip_suffix('\r').unwrap_or(l));
    let first = lines.next().unwrap_or_default();
    let mut headers = Vec::new();
    for line in lines.take_while(|l| !l.is_empty()) {
        if headers.len() >= MAX_HEADERS {
            return bad("there are too many headers");
        }
        let Some((name, value)) = line.split_once(':') else { return bad("a header has no colon") };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return bad("a header's name is not one word");
        }
        if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return bad("a header's value has control characters");
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let tunnel = is_http(first);
    // The body of a tunnel's POST never ends; what follows its head is the tunnel.
    let body = if tunnel { 0 } else { body_len(&headers)? };
    let len = end + body;
    let Some(body) = bytes.get(end..len) else {
        *needs = len;
        return Ok(None);
    };
    if first.starts_with("RTSP/") {
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let Some(status) = status else { return bad("the response has no status") };
        return Ok(Some((Item::Response(Reply { status, headers, body: body.to_vec() }), len)));
    }
    if first.starts_with(' ') {
        // What follows could as well be a response, or a packet.
        return bad("the request line begins with a space");
    }
    let mut words = first.split(' ').filter(|w| !w.is_empty());
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return bad("the request line is not METHOD URI VERSION");
    };
    if !method.bytes().all(|b| b.is_ascii_graphic()) || !uri.bytes().all(|b| b > b' ' && b != 0x7f)
    {
        return bad("the request line has control characters");
    }
    if !version.starts_with("RTSP/") && !version.starts_with("HTTP/1.") {
        return bad("the request line does not end with RTSP/1.0");
    }
    let request = Request {
        method: Method::parse(method, version.starts_with("HTTP/")),
        uri: uri.to_owned(),
        version_ok: version == "RTSP/1.0" || tunnel,
        headers,
        body: body.to_vec(),
    };
    Ok(Some((Item::Request(request), len)))
}

fn is_http(line: &str) -> bool {
    (line.starts_with("GET ") || line.starts_with("POST ")) && line.contains(" HTTP/1.")
}

fn body_len(headers: &[(String, String)]) -> Result<usize, ParseError> {
    let mut lens = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("content-length"));
    let Some((_, value)) = lens.next() else { return Ok(0) };
    if lens.any(|(_, other)| other != value) {
        return bad("two Content-Length headers differ");
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return bad("Content-Length is not a number");
    }
    match value.parse() {
        Ok(len) if len <= MAX_BODY => Ok(len),
        _ => Err(ParseError { status: Status::TOO_LARGE, what: "the body is too long" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(parser: &mut Parser) -> Vec<Item> {
        std::iter::from_fn(|| parser.next_item().unwrap()).collect()
    }

    const EXCHANGE: &[u8] = b"OPTIONS rtsp://h:554/a RTSP/1.0\r\nCSeq: 1\r\n\r\n\
        $\x01\x00\x03abc\r\n\r\n\
        ANNOUNCE rtsp://h/b RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nv=0\r\n\
        RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n\
        PLAY * RTSP/1.0\nCSeq:4\n\n";

    #[test]
    fn the_same_items_however_the_bytes_are_cut() {
        let mut parser = Parser::default();
        parser.push(EXCHANGE);
        let whole = all(&mut parser);
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[1], Item::Interleaved { channel: 1, payload: b"abc".to_vec() });
        for cut in 1..EXCHANGE.len() {
            let mut parser = Parser::default();
            let mut got = Vec::new();
            for part in [&EXCHANGE[..cut], &EXCHANGE[cut..]] {
                parser.push(part);
                got.extend(all(&mut parser));
            }
            assert_eq!(got, whole, "cut at {cut}");
        }
        let mut parser = Parser::default();
        let mut got = Vec::new();
        for byte in EXCHANGE {
            parser.push(&[*byte]);
            got.extend(all(&mut parser));
        }
        assert_eq!(got, whole);
    }

    #[test]
    fn what_is_written_is_read() {
        let request = Request {
            method: Method::Announce,
            uri: "rtsp://h/x".into(),
            version_ok: true,
            headers: vec![("CSeq".into(), "1".into()), ("Content-Length".into(), "2".into())],
            body: b"hi".to_vec(),
        };
        let mut parser = Parser::default();
        parser.push(&request.to_bytes());
        assert_eq!(parser.next_item(), Ok(Some(Item::Request(request))));
        assert_eq!(parser.pending(), 0);
    }

    #[test]
    fn each_refusal_has_its_status() {
        let long_line = format!("PLAY rtsp://{} RTSP/1.0", "a".repeat(MAX_LINE));
        let headers = format!("PLAY x RTSP/1.0\r\n{}", "A: b\r\n".repeat(6000));
        let many = format!("PLAY x RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
        for (bytes, status) in [
            (long_line.as_str(), 414),
            (headers.as_str(), 400),
            (many.as_str(), 400),
            ("PLAY x RTSP/1.0\r\nno colon\r\n\r\n", 400),
            ("PLAY x\r\n\r\n", 400),
            ("PLAY x y RTSP/1.0\r\n\r\n", 400),
            ("PLAY x FTP/1\r\n\r\n", 400),
            (" RTSP/1 x RTSP/1.0\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\nA b: c\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\n: c\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\nContent-Length: +1\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("PLAY x RTSP/1.0\r\nContent-Length: 65537\r\n\r\n", 413),
            ("PLAY x RTSP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
            ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03", 400),
        ] {
            let mut parser = Parser::default();
            parser.push(bytes.as_bytes());
            let error = parser.next_item().expect_err(&bytes[..bytes.len().min(60)]);
            assert_eq!(error.status.0, status, "{bytes:.60}");
        }
    }

    #[test]
    fn no_byte_is_looked_at_again_for_each_that_follows() {
        let mut parser = Parser::default();
        parser.push(b"ANNOUNCE rtsp://h/");
        assert_eq!(parser.next_item(), Ok(None));
        assert_eq!(parser.seen, Seen { searched: 15, line: false, needs: 0 });
        parser.push(b"b RTSP/1.0\r\nCSeq: 2\r\n");
        assert_eq!(parser.next_item(), Ok(None));
        assert_eq!(parser.seen, Seen { searched: 36, line: true, needs: 0 });
        parser.push(b"Content-Length: 60000\r\n\r\n");
        assert_eq!(parser.next_item(), Ok(None));
        let head = parser.pending();
        assert_eq!(parser.seen.needs, head + 60_000);
        // While its body comes the head is not parsed again: what stands there now is no head.
        parser.bytes[..head].fill(1);
        parser.push(&[b'v'; 59_999]);
        assert_eq!(parser.next_item(), Ok(None));
        parser.push(b"v");
        assert!(parser.next_item().is_err());
    }

    #[test]
    fn a_buffer_is_as_large_as_what_is_in_it() {
        let mut parser = Parser::default();
        let long =
            format!("PLAY x RTSP/1.0\r\nContent-Length: 65000\r\n\r\n{}", "x".repeat(65_000));
        parser.push(long.as_bytes());
        assert!(parser.held() < 2 * long.len());
        parser.push(b"PL");
        assert!(matches!(parser.next_item(), Ok(Some(Item::Request(_)))));
        assert_eq!((parser.next_item(), parser.pending()), (Ok(None), 2));
        parser.push(b"AY");
        assert!(parser.held() < 1000, "{}", parser.held());
        parser.push(b" x RTSP/1.0\r\n\r\n");
        assert!(matches!(parser.next_item(), Ok(Some(Item::Request(_)))));
        assert_eq!((parser.next_item(), parser.held()), (Ok(None), 0));
    }

    #[test]
    fn a_tunnel_begins_after_its_head() {
        let mut parser = Parser::default();
        parser.push(b"POST /s HTTP/1.0\r\nContent-Length: 32767\r\n\r\nT1BUSU9O");
        let Some(Item::Request(request)) = parser.next_item().unwrap() else { panic!() };
        assert_eq!(request.method, Method::HttpPost);
        assert_eq!(parser.take_rest(), b"T1BUSU9O");
    }
}
