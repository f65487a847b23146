//! Every setting and every measured value of the camera server, declared once.
//!
//! [`MODULES`] is the only place that knows a key's name, type, range, default and who may read or
//! change it. WebSocket, REST, the page's forms, OpenAPI, the C header and the reference page are
//! made of it ([`render`]); both planes check values with it ([`Kind::check`]); the banks in shared
//! memory have a place for each of its keys ([`bank`]).

pub mod bank;
mod kind;
mod registry;
pub mod render;
mod table;

pub use kind::{Kind, Refusal};
pub use registry::{Default, Entry, Key, MASK, Module, Plane, entries, find, resolve};
pub use table::MODULES;
