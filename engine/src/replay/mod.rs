//! Recordings that are played: units read from files at their own pace, for one client each.
//!
//! [`walk`] goes through a file, [`reader`] is the thread that does so ahead of the client,
//! [`range`] knows what a client may ask for (RFC 2326 section 3.6). A disk that stalls holds its
//! own reader and nobody else.

pub mod range;
pub mod reader;
pub mod shelf;
pub mod walk;

use lensd_ffi::time::UtcNanos;
use lensd_ffi::unit::Codec;
use std::path::PathBuf;

/// Knows where recordings lie. It is asked from threads of readers, and may take its time.
pub trait Shelf: Send + Sync {
    /// The recording of this number; without one, the newest of those that are whole or running.
    fn find(&self, id: Option<i64>) -> Option<Found>;
}

/// A recording that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub id: i64,
    /// Its file.
    pub path: PathBuf,
    /// Whether somebody writes to it.
    pub growing: bool,
}

/// What is known of a recording that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// Its number.
    pub id: i64,
    /// Coding.
    pub codec: Codec,
    /// Parameter sets without start codes.
    pub sets: Vec<Vec<u8>>,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Ticks of 90 kHz from the first picture to the end of the last; none while it grows.
    pub duration: Option<u64>,
    /// Pictures a second, on average; 0 if it has only one.
    pub fps: f64,
    /// When its first picture was captured.
    pub captured: UtcNanos,
}

/// Why a recording cannot be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is none of this number.
    NotFound,
    /// Its file cannot be read: why.
    Unreadable(String),
    /// RTP cannot carry its pictures: why.
    Unfit(&'static str),
}

/// Ticks of 90 kHz in nanoseconds, rounded up, such that whoever rounds the other way down gets the
/// same ticks again.
pub fn nanos(ticks: u64) -> u64 {
    u64::try_from((u128::from(ticks) * 100_000).div_ceil(9)).unwrap_or(u64::MAX)
}
