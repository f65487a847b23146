//! Who understands the messages of a WebSocket.

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
