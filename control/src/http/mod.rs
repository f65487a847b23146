//! HTTP/1.1 (RFC 9110, RFC 9112) without a socket.
//!
//! [`parse`] knows the bytes of a head and of a body's framing, [`session`] is the machine of one
//! connection, [`respond`] makes answers and [`shape`] gives them the form that was asked for,
//! [`route`] finds who answers, [`auth`], [`limit`] and [`cors`] say whether one may ask, [`json`]
//! and [`multipart`] read bodies.

pub mod auth;
pub(crate) mod body;
pub mod cors;
pub mod form;
pub mod json;
pub mod limit;
pub mod multipart;
pub mod parse;
pub mod respond;
pub mod route;
pub mod session;
pub mod shape;

use lensd_ffi::time::{Nanos, UtcNanos};

/// An instant on both clocks: deadlines are monotonic, what people read is UTC.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// `CLOCK_MONOTONIC`.
    pub mono: Nanos,
    /// UTC.
    pub utc: UtcNanos,
}

impl At {
    /// Now. For the shell of the thread only.
    pub fn now() -> Self {
        Self { mono: lensd_ffi::time::now(), utc: lensd_ffi::time::utc_now() }
    }
}

/// The laws of the HTTP machine, for a fuzzer: whatever comes in, and wherever it is split, the
/// same requests come out and the same bytes go back; memory stays bounded; nothing panics.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_http(data: &[u8]) {
    let whole = session::replay(data, &[data.len()]);
    assert_eq!(whole, session::replay(data, &[1]), "byte by byte");
    let step = data.first().map_or(7, |b| usize::from(*b) + 2);
    assert_eq!(whole, session::replay(data, &[step, 1, 13]), "in uneven pieces");
}
