//! The media plane of lensd: cameras, encoders, rings, and the servers that send what is in them.
//!
//! `unsafe` lives in [`sys`] alone.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod apply;
pub mod camera;
pub mod capture;
pub mod change;
pub mod coded;
pub mod config;
pub mod encode;
pub mod frame;
pub mod hardware;
pub mod ingest;
pub mod ops;
pub mod picture;
pub mod pipeline;
pub mod publish;
pub mod publisher;
pub mod pull;
pub mod requests;
pub mod rtp;
pub mod rtsp;
pub mod run;
pub mod sdp;
pub mod switchboard;
pub mod syntax;
pub mod sys;
pub mod tap;
pub mod thread;
pub mod users;
