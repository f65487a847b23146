//! A minimal RTSP 1.0 client, sans-IO: it plays one video track of any server.
//!
//! It has no socket and no clock, so the load generator can run hundreds in one thread and the
//! tests can feed them recorded answers byte by byte.

pub mod auth;
pub mod sdp;
pub mod session;
pub mod url;
pub mod wire;
