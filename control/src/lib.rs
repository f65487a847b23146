//! The control plane: one process, one mio loop, everything that is not a video packet.
//!
//! Reading order: [`run()`] starts and turns the loop; `net` owns sockets and decides nothing;
//! [`http`] is the protocol without a socket; `rest` is the table of routes and what they do;
//! `desk` is what they ask. The engine is met in [`lensd_ffi`] alone.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod audit;
mod board;
mod broker;
mod carry;
pub mod catalogue;
mod clients;
pub mod config;
mod desk;
mod discovery;
mod engine;
mod export;
pub mod external;
mod face;
pub mod files;
mod fmp4;
mod hls;
pub mod http;
mod inputs;
mod listeners;
mod live;
pub mod local;
mod login;
pub mod media;
mod net;
mod onvif;
#[allow(dead_code, reason = "its first users come with the next changes")]
mod outbox;
mod page;
pub mod password;
mod presets;
mod profiles;
mod ptz;
mod rest;
mod run;
mod settings;
pub mod signed;
pub mod soap;
pub mod store;
mod tls;
mod upload;
mod v1;
mod work;
pub mod ws;

pub use broker::fuzz_filter;
pub use carry::fuzz_answer;
pub use catalogue::query::fuzz_query;
pub use config::{Config, Limits, System};
pub use discovery::fuzz_discovery;
pub use hls::fuzz_hls;
pub use http::fuzz_http;
pub use http::multipart::fuzz_multipart;
pub use media::fuzz_media_path;
pub use onvif::fuzz_onvif;
pub use presets::fuzz_presets;
pub use run::run;
pub use soap::{fuzz_security, fuzz_soap};
pub use ws::fuzz_websocket;
