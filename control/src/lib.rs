//! The control plane: one process, one mio loop, everything that is not a video packet.
//!
//! Reading order: [`run()`] starts and turns the loop; `net` owns sockets and decides nothing;
//! [`http`] is the protocol without a socket; `rest` is the table of routes and what they do;
//! `desk` is what they ask. The engine is met in [`lensd_ffi`] alone.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod audit;
mod board;
pub mod catalogue;
mod clients;
pub mod config;
mod desk;
mod engine;
mod export;
mod face;
pub mod files;
mod fmp4;
pub mod http;
mod live;
pub mod local;
mod login;
pub mod media;
mod net;
#[allow(dead_code, reason = "its first users come with the next changes")]
mod outbox;
mod page;
pub mod password;
mod rest;
mod run;
mod settings;
pub mod signed;
pub mod store;
mod tls;
mod upload;
mod v1;
mod work;
pub mod ws;

pub use catalogue::query::fuzz_query;
pub use config::{Config, Limits, System};
pub use http::fuzz_http;
pub use http::multipart::fuzz_multipart;
pub use media::fuzz_media_path;
pub use run::run;
pub use ws::fuzz_websocket;
