//! The bare sender: the least work that delivers a frame to many clients, the kernel's floor.
//!
//! Frames are made once and are the same bytes for every client; per frame and client there is
//! one `write` (TCP) or one `UDP_SEGMENT` send (UDP; two for a key frame of more than 64 KB).
//! It speaks just enough RTSP that `bench rtsp` can connect to it.

use std::net::SocketAddr;

pub mod frames;
mod serve;
mod session;

pub use serve::Sender;

/// The command line of `bench sender`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// `Some(true)`: UDP only, `Some(false)`: TCP only, else what each client asks for.
    pub udp_only: Option<bool>,
    /// End when so many clients have played and all have left; `None` is never.
    pub clients: Option<usize>,
    /// Bits per second of RTP.
    pub bitrate: u32,
    /// Frames per second.
    pub fps: u32,
    /// Frames from key frame to key frame.
    pub gop: u32,
}
