//! The frame tap: vision programs read the cameras' pictures where they lie.
//!
//! A camera's thread gives each raw frame to the [`CameraTap`], which lends it to the clients that
//! want it as it is, and hands it to the workshop for those that want another size or layout. Both
//! are over in microseconds: nothing is copied, and nobody is waited for. `serve` is the thread that
//! lets clients in and out. What is shared with them, byte for byte, is in `lensd_ffi::tap`.

pub mod camera;
pub mod door;
pub mod group;
pub mod serve;
pub mod session;
pub mod view;
mod workshop;

pub use camera::{CameraTap, Hub};
