//! Recordings and snapshots: files of the form that [`lensd_ffi::mux`] describes, and their rows.
//!
//! A [`Hub`] is what the rest of the engine knows. Each recorded stream has a thread, which reads
//! the ring as any other reader does and writes; one more keeps the catalogue and storage. Neither
//! is ever waited for: a disk that does not answer holds nobody but them.

pub mod disk;
pub mod folder;
mod hub;
mod keeper;
mod list;
pub mod mend;
pub mod plan;
mod reconcile;
mod reel;
pub mod schedule;
pub mod session;
mod work;

pub use hub::{Hub, Refusal, Snap};
pub use work::stamped;

use lensd_ffi::link::Answer;
use std::io;

/// What control is told of a disk that failed.
fn fault_of(e: &io::Error) -> Answer {
    let code = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "INSUFFICIENT_STORAGE",
        _ => "STORAGE_UNAVAILABLE",
    };
    Answer::Fault { code: code.to_owned(), message: e.to_string() }
}
