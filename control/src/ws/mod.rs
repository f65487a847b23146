//! WebSocket (RFC 6455) on the port of HTTP.
//!
//! [`wire`] knows the bytes, [`session`] is the machine of one connection without a socket, and a
//! face (`Face`) is who understands the messages. A handler of HTTP upgrades to one; from then on the
//! loop calls it for every message.

pub mod session;
pub mod wire;

pub use wire::{frame_binary, frame_text};

/// The laws of the WebSocket machine, for a fuzzer: whatever comes in, and wherever it is split,
/// the same messages come out and the same bytes go back; memory stays bounded; nothing panics.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_websocket(data: &[u8]) {
    let whole = session::replay(data, &[data.len()]);
    assert_eq!(whole, session::replay(data, &[1]), "byte by byte");
    let step = data.first().map_or(7, |b| usize::from(*b) + 2);
    assert_eq!(whole, session::replay(data, &[step, 1, 13]), "in uneven pieces");
}
