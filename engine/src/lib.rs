//! The media plane of lensd: cameras, encoders, rings, and the servers that send what is in them.
//!
//! `unsafe` lives in [`sys`] alone.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod apply;
pub mod camera;
pub mod capture;
pub mod change;
pub mod clock;
pub mod coded;
pub mod config;
pub mod encode;
pub mod finish;
pub mod frame;
pub mod glimpse;
pub mod hardware;
pub mod hotplug;
pub mod ingest;
pub mod m2m;
pub mod nosignal;
pub mod ops;
pub mod picture;
pub mod pipeline;
pub mod ptz;
pub mod publish;
pub mod publisher;
pub mod pull;
pub mod record;
pub mod replay;
pub mod requests;
pub mod rtp;
pub mod rtsp;
pub mod run;
pub mod scene;
pub mod sdp;
pub mod style;
pub mod switchboard;
pub mod syntax;
pub mod sys;
pub mod tap;
pub mod thread;
pub mod users;
pub mod webrtc;
