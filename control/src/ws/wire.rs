//! The bytes of WebSocket (RFC 6455): what an upgrade must say, and the frames that we send.
//!
//! A server's frames are not masked (5.1), so the same bytes are right for every client: a message
//! to many is framed once and shared.

use crate::http::parse::{Method, Request};
use crate::http::respond::{Fault, Response};
use std::sync::Arc;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Most bytes of a control frame's payload (5.5).
pub const MAX_CONTROL: usize = 125;

/// Why a connection ends (7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All is well.
    Normal,
    /// The server stops.
    Away,
    /// The peer broke the protocol.
    Protocol,
    /// Text that is not UTF-8.
    Data,
    /// The peer broke our rules.
    Policy,
    /// A message that is too long.
    TooLong,
    /// What another close frame said; it is said back.
    Other(u16),
}

impl Code {
    /// As a number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Away => 1001,
            Self::Protocol => 1002,
            Self::Data => 1007,
            Self::Policy => 1008,
            Self::TooLong => 1009,
            Self::Other(code) => code,
        }
    }
}

fn frame(opcode: OpCode, parts: &[&[u8]]) -> Vec<u8> {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = Vec::with_capacity(length + 10);
    // Writing to a Vec cannot fail.
    let _ = header.format(length as u64, &mut out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A text message as one frame, for any number of clients.
pub fn frame_text(text: &str) -> Arc<Vec<u8>> {
    Arc::new(frame(OpCode::Data(Data::Text), &[text.as_bytes()]))
}

/// A binary message as one frame, for any number of clients.
pub fn frame_binary(parts: &[&[u8]]) -> Arc<Vec<u8>> {
    Arc::new(frame(OpCode::Data(Data::Binary), parts))
}

/// A ping.
pub fn frame_ping() -> Vec<u8> {
    frame(OpCode::Control(Control::Ping), &[])
}

/// The answer to a ping (5.5.3).
pub fn frame_pong(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(Control::Pong), &[payload])
}

/// The end; without a code when the peer's had none.
pub fn frame_close(code: Option<Code>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return frame(OpCode::Control(Control::Close), &[]) };
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let number = code.number().to_be_bytes();
    frame(OpCode::Control(Control::Close), &[&number, &reason.as_bytes()[..end]])
}

/// What a close frame's payload says (5.5.1, 7.4).
///
/// # Errors
/// With what code to answer a payload that says nothing valid.
pub fn parse_close(payload: &[u8]) -> Result<Option<Code>, Code> {
    match payload {
        [] => Ok(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            // 1004 to 1006 and 1015 never stand in a frame; what is not assigned is refused too.
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Code::Protocol);
            }
            std::str::from_utf8(reason).map_err(|_| Code::Data)?;
            Ok(Some(Code::Other(code)))
        }
        [_] => Err(Code::Protocol),
    }
}

/// Makes the answer to a request for an upgrade (4.2.2). `protocols` are the subprotocols that are
/// spoken here; the first that the client offers is taken.
///
/// # Errors
/// 400, 405 or 426, when it is no such request (4.2.1).
pub fn upgrade(request: &Request, protocols: &[&'static str]) -> Result<Response, Fault> {
    let has = |field: &str, word: &str| {
        let mut tokens = request.headers(field).flat_map(|v| v.split(','));
        tokens.any(|t| t.trim().eq_ignore_ascii_case(word))
    };
    if request.method != Method::Get {
        let message = "a WebSocket begins with GET (RFC 6455 4.1)";
        return Err(Fault::new(405, "METHOD_NOT_ALLOWED", "Method not allowed", message));
    }
    if !has("connection", "upgrade") || !has("upgrade", "websocket") {
        let message = "this is a WebSocket: connect to it with ws:// or wss://";
        return Err(Fault::new(426, "UPGRADE_REQUIRED", "Upgrade required", message));
    }
    let bad = |message: &str| Fault::new(400, "BAD_REQUEST", "Bad request", message);
    let mut versions = request.headers("sec-websocket-version");
    if (versions.next(), versions.next()) != (Some("13"), None) {
        let message = "only version 13 of WebSocket is spoken";
        return Err(Fault::new(426, "UPGRADE_REQUIRED", "Upgrade required", message));
    }
    let mut keys = request.headers("sec-websocket-key");
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(bad("Sec-WebSocket-Key must be there once"));
    };
    if !is_key(key) {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let offered = request.headers("sec-websocket-protocol").flat_map(|v| v.split(','));
    let taken =
        offered.map(str::trim).find_map(|name| protocols.iter().find(|p| **p == name).copied());
    let response = Response::empty(101)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
    Ok(match taken {
        Some(name) => response.header("Sec-WebSocket-Protocol", name),
        None => response,
    })
}

/// 16 bytes in base64 (4.2.1 item 5): 22 digits, of the last only two bits, and the padding.
fn is_key(key: &str) -> bool {
    let digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    match key.strip_suffix("==") {
        Some(digits) => digits.len() == 22 && digits.bytes().all(digit),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{HeadScan, parse_head};

    fn ask(line: &str, fields: &str) -> Result<Response, u16> {
        let text = format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let range = HeadScan::default().advance(text.as_bytes()).unwrap().unwrap();
        let request = parse_head(&text.as_bytes()[range]).unwrap().request;
        upgrade(&request, &["v1.lensd"]).map_err(|f| f.status)
    }

    const GOOD: &str = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

    #[test]
    fn the_example_of_the_rfc() {
        let response = ask("GET /", GOOD).unwrap();
        let accept = response.headers.iter().find(|(n, _)| *n == "Sec-WebSocket-Accept").unwrap();
        assert_eq!((response.status, &*accept.1), (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn a_subprotocol_is_taken_if_it_is_known() {
        let protocol = |offer: &str| {
            let response = ask("GET /", &format!("{GOOD}Sec-WebSocket-Protocol: {offer}\r\n"));
            let fields = response.unwrap().headers;
            fields.into_iter().find(|(n, _)| *n == "Sec-WebSocket-Protocol").map(|(_, v)| v)
        };
        assert_eq!(protocol("chat, v1.lensd").as_deref(), Some("v1.lensd"));
        assert_eq!(protocol("chat"), None);
    }

    #[test]
    fn what_is_no_upgrade_is_refused() {
        assert_eq!(ask("POST /", GOOD).unwrap_err(), 405);
        for (from, to, status) in [
            ("Upgrade: WebSocket\r\n", "", 426),
            ("keep-alive, Upgrade", "keep-alive", 426),
            ("Version: 13", "Version: 8", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 426),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ!==", 400),
            (
                "Sec-WebSocket-Version",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version",
                400,
            ),
        ] {
            assert_eq!(ask("GET /", &GOOD.replace(from, to)).unwrap_err(), status, "{from} {to}");
        }
    }

    #[test]
    fn lengths_of_frames() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 255, 255]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = frame_text(&"x".repeat(length));
            assert_eq!(frame[..head.len()], head, "{length}");
            assert_eq!(frame.len(), head.len() + length);
        }
    }

    #[test]
    fn reasons_of_an_end() {
        let long = "ä".repeat(100);
        let frame = frame_close(Some(Code::Policy), &long);
        assert_eq!(frame[..4], [0x88, 124, 0x03, 0xf0], "cut between letters");
        assert_eq!(parse_close(&frame[2..]), Ok(Some(Code::Other(1008))));
        assert_eq!(parse_close(&[]), Ok(None));
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert_eq!(parse_close(&code.to_be_bytes()), Err(Code::Protocol), "{code}");
        }
        assert_eq!(parse_close(&[3]), Err(Code::Protocol));
        assert_eq!(parse_close(&[3, 0xe8, 0xff]), Err(Code::Data));
    }
}
