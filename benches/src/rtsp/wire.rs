//! What travels on an RTSP connection: messages (RFC 2326 section 4) and interleaved packets
//! (section 10.12), found in a buffer without copying payloads.

use std::fmt;

/// A header section longer than this is no RTSP.
const MAX_HEAD: usize = 64 * 1024;
/// A body longer than this is no session description.
const MAX_BODY: usize = 128 * 1024;

/// Why bytes from a server are not RTSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// The header section passes 64 KiB.
    HeadTooLong,
    /// `Content-Length` is no number or passes 128 KiB.
    ContentLength,
    /// The first line is neither a status line nor a request line.
    StartLine,
    /// The head is not UTF-8.
    NotText,
}

impl fmt::Display for WireFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLong => "the header section is longer than 64 KiB",
            Self::ContentLength => "Content-Length is no number up to 128 KiB",
            Self::StartLine => "neither a status line nor a request line",
            Self::NotText => "the header section is not text",
        })
    }
}

/// One item at the start of a buffer, borrowed from it.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An interleaved packet: `$`, channel, 16 bits of length, payload.
    Packet {
        /// Channel of the `interleaved=` parameter.
        channel: u8,
        /// An RTP or RTCP packet.
        payload: &'a [u8],
    },
    /// An answer.
    Response(Response<'a>),
    /// A server may ask, too (RFC 2326 allows OPTIONS, ANNOUNCE, REDIRECT towards the client).
    Request {
        /// Its `CSeq`, to answer with.
        cseq: &'a str,
    },
}

/// A response, borrowed from the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: &'a str,
    /// All header lines.
    pub headers: Headers<'a>,
    /// Body, as long as `Content-Length` says.
    pub body: &'a [u8],
}

/// Header lines as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a>(&'a str);

impl<'a> Headers<'a> {
    /// Every value of `name`, whose case does not matter.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.split("\r\n").filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The first value of `name`.
    pub fn first(self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }
}

/// The first item of `buf` and how many bytes it took; `None` if more bytes are needed.
#[inline]
pub fn parse(buf: &[u8]) -> Result<Option<(Item<'_>, usize)>, WireFault> {
    match buf {
        [b'$', channel, hi, lo, rest @ ..] => {
            let len = usize::from(u16::from_be_bytes([*hi, *lo]));
            Ok(rest
                .get(..len)
                .map(|payload| (Item::Packet { channel: *channel, payload }, 4 + len)))
        }
        [] | [b'$', ..] => Ok(None),
        // Some servers end a message with a line end too many.
        [b'\r' | b'\n', ..] => {
            let blank = buf.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            Ok(parse(&buf[blank..])?.map(|(item, used)| (item, used + blank)))
        }
        _ => parse_message(buf),
    }
}

fn parse_message(buf: &[u8]) -> Result<Option<(Item<'_>, usize)>, WireFault> {
    let Some(end) = buf.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if buf.len() > MAX_HEAD { Err(WireFault::HeadTooLong) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&buf[..end]).map_err(|_| WireFault::NotText)?;
    let (start, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let headers = Headers(lines);
    let body_len = match headers.first("Content-Length") {
        None => 0,
        Some(text) => {
            text.parse().ok().filter(|n| *n <= MAX_BODY).ok_or(WireFault::ContentLength)?
        }
    };
    let used = end + 4 + body_len;
    let Some(body) = buf.get(end + 4..used) else { return Ok(None) };
    if let Some(status_line) = start.strip_prefix("RTSP/1.0 ") {
        let (code, reason) = status_line.split_once(' ').unwrap_or((status_line, ""));
        let status = code.parse().map_err(|_| WireFault::StartLine)?;
        return Ok(Some((Item::Response(Response { status, reason, headers, body }), used)));
    }
    if !start.ends_with(" RTSP/1.0") {
        return Err(WireFault::StartLine);
    }
    Ok(Some((Item::Request { cseq: headers.first("CSeq").unwrap_or("0") }, used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_and_messages_follow_each_other() {
        let bytes = b"$\x02\x00\x03abcRTSP/1.0 200 OK\r\nCSeq: 4\r\ncontent-length: 2\r\n\r\nhi$";
        let (item, used) = parse(bytes).unwrap().unwrap();
        assert_eq!(item, Item::Packet { channel: 2, payload: b"abc" });
        let (item, more) = parse(&bytes[used..]).unwrap().unwrap();
        let Item::Response(response) = item else { panic!("{item:?}") };
        assert_eq!((response.status, response.reason, response.body), (200, "OK", &b"hi"[..]));
        assert_eq!(response.headers.first("cseq"), Some("4"));
        assert_eq!(parse(&bytes[used + more..]).unwrap(), None);
    }

    #[test]
    fn every_beginning_asks_for_more() {
        let bytes = b"\r\nRTSP/1.0 401 Unauthorized\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]).unwrap(), None, "at {cut}");
        }
        assert_eq!(parse(bytes).unwrap().unwrap().1, bytes.len());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), Err(WireFault::StartLine));
        assert_eq!(parse(b"RTSP/1.0 abc\r\n\r\n"), Err(WireFault::StartLine));
        let long = b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n";
        assert_eq!(parse(long), Err(WireFault::ContentLength));
        assert_eq!(parse(&vec![b'a'; MAX_HEAD + 1]), Err(WireFault::HeadTooLong));
    }

    #[test]
    fn a_request_of_the_server_is_known() {
        let (item, _) = parse(b"OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n").unwrap().unwrap();
        assert_eq!(item, Item::Request { cseq: "9" });
    }
}
