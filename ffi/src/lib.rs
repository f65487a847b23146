//! The contract of lensd's planes: what the engine, the control plane and any third process that
//! maps the shared memory must agree on byte for byte, or verdict for verdict.
//!
//! Nothing here imports another crate of this workspace. `unsafe` lives in [`region`] and [`capi`].
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod auth;
pub mod bell;
#[cfg(not(loom))]
pub mod capi;
#[cfg(feature = "catalogue")]
pub mod catalogue;
pub mod cell;
pub mod link;
pub mod listen;
pub mod mux;
#[cfg(not(loom))]
mod order;
#[cfg(loom)]
pub mod order;
pub mod ptz;
#[cfg(not(loom))]
pub mod region;
pub mod ring;
pub mod rtc;
pub mod settings;
pub mod stages;
pub mod state;
pub mod sync;
pub mod syntax;
pub mod tap;
pub mod time;
pub mod unit;
pub mod update;
