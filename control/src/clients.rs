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
    pub(crate) pictures: Option<Watched>,
}

/// What a client watches.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The stream's own name.
    pub(crate) stream: String,
    /// As the client named it.
    pub(crate) named: String,
    /// As video; none: as JPEG pictures.
    pub(crate) video: Option<Playing>,
}

/// How far a client is that plays video.
#[derive(Debug, Default)]
pub(crate) struct Playing {
    /// The init segment that it has, by its number; none: it has none.
    pub(crate) init: Option<u64>,
    /// The one that it had before the last parcel, which it may not have got.
    pub(crate) before: Option<u64>,
    /// Whether it has had everything up to here, and so can take what comes next.
    pub(crate) flows: bool,
    /// Whether it was behind, and goes on with the next key frame.
    pub(crate) skips: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// By their connections.
    pub(crate) map: HashMap<ConnKey, Client>,
}
