//! What the rest of the engine sees of the tap, and what it tells it.

use crate::config::TapOptions;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by all threads of the tap.
#[derive(Debug, Default)]
pub struct View {
    /// How it is to work. Ring the server's bell after a change.
    pub options: Mutex<TapOptions>,
    /// Set to end it.
    pub stop: AtomicBool,
    /// Clients, renewed at each tick.
    pub clients: Mutex<Vec<ClientView>>,
    /// Frames given to clients, each counted for each.
    pub frames: AtomicU64,
    /// Frames that clients did not get because they, or the workshop, were slow.
    pub lost: AtomicU64,
    /// Frames that were taken back while they were held.
    pub revoked: AtomicU64,
    /// Frames that are lent now, each counted for each client.
    pub loans: AtomicU64,
    /// Clients that are connected for frames or units.
    pub connected: AtomicU64,
    /// Bytes of pictures that processors wrote for the tap.
    pub copied: AtomicU64,
    /// Why requests were refused, counted.
    pub refused: AtomicU64,
}

/// A client as others see it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct ClientView {
    /// Process; 0 if it is in another namespace.
    pub pid: i32,
    /// The system's user.
    pub uid: u32,
    /// lensd's user, if a token named one.
    pub user: String,
    /// The stream, such as `cam1/main`.
    pub stream: String,
    /// `raw` or `encoded`.
    pub what: &'static str,
    /// Size and layout, if they are not the camera's.
    pub shape: String,
}

/// All counts at one moment.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// As [`View::connected`].
    pub clients: u64,
    /// As [`View::frames`].
    pub frames: u64,
    /// As [`View::lost`].
    pub lost: u64,
    /// As [`View::revoked`].
    pub revoked: u64,
    /// As [`View::loans`].
    pub loans: u64,
    /// As [`View::copied`].
    pub copied_pixel_bytes: u64,
    /// As [`View::refused`].
    pub refused: u64,
}

impl View {
    /// With these options.
    pub fn new(options: TapOptions) -> Self {
        Self { options: Mutex::new(options), ..Self::default() }
    }

    /// The counts.
    pub fn figures(&self) -> Figures {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Figures {
            clients: of(&self.connected),
            frames: of(&self.frames),
            lost: of(&self.lost),
            revoked: of(&self.revoked),
            loans: of(&self.loans),
            copied_pixel_bytes: of(&self.copied),
            refused: of(&self.refused),
        }
    }
}
