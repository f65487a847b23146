//! Who is connected to `/api/v1`, and what each wants to be told.

use crate::engine::ConnKey;
use crate::http::auth::Who;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) who: Who,
    /// When the token that it came with ends, in UTC milliseconds; none: it has none, or that lasts.
    pub(crate) until_ms: Option<i64>,
    /// What it may do, in words: clients of the same words get the same bytes.
    pub(crate) class: Arc<str>,
    /// Whether it is told of fluctuating values.
    pub(crate) measured: bool,
    /// Whether it gets pictures, and of which stream.
    pub(crate) pictures: Option<String>,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// By their connections.
    pub(crate) map: HashMap<ConnKey, Client>,
}
