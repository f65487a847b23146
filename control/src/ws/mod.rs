//! WebSocket (RFC 6455) on the port of HTTP.
//!
//! [`wire`] knows the bytes, [`session`] is the machine of one connection without a socket, and a
//! face (`Face`) is who understands the messages. A handler of HTTP upgrades to one; from then on the
//! loop calls it for every message.

pub mod session;
pub(crate) mod v1;
pub mod wire;

pub use wire::{frame_binary, frame_text};

use crate::desk::{ConnKey, Desk};
use crate::http::At;
use crate::http::auth::Who;
use std::net::SocketAddr;

/// Who understands the messages of a WebSocket. Answers go out by `desk.outbox`.
#[derive(Debug)]
pub(crate) struct Face {
    /// Subprotocols that it speaks, if a client offers one (RFC 6455 1.9).
    pub(crate) protocols: &'static [&'static str],
    /// A connection is there. `who` is as the upgrade's credentials say, a guest without any.
    pub(crate) on_open: fn(&mut Desk, ConnKey, SocketAddr, &Who, At),
    /// A text came.
    pub(crate) on_text: fn(&mut Desk, ConnKey, &str, At),
    /// Bytes came.
    pub(crate) on_binary: fn(&mut Desk, ConnKey, &[u8], At),
    /// The connection is over. Said once; nothing reaches it any more.
    pub(crate) on_close: fn(&mut Desk, ConnKey, At),
}

/// The laws of the WebSocket machine, for a fuzzer: whatever comes in, and wherever it is split,
/// the same messages come out and the same bytes go back; memory stays bounded; nothing panics.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_websocket(data: &[u8]) {
    let whole = session::replay(data, &[data.len()]);
    assert_eq!(whole, session::replay(data, &[1]), "byte by byte");
    let step = data.first().map_or(7, |b| usize::from(*b) + 2);
    assert_eq!(whole, session::replay(data, &[step, 1, 13]), "in uneven pieces");
}
