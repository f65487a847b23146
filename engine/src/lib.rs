//! The media plane of lensd: cameras, encoders, rings, and the servers that send what is in them.
//!
//! `unsafe` lives in [`sys`] alone.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod camera;
pub mod encode;
pub mod frame;
pub mod ingest;
pub mod picture;
pub mod publish;
pub mod rtp;
pub mod rtsp;
pub mod sdp;
pub mod switchboard;
pub mod users;
pub mod sys;
