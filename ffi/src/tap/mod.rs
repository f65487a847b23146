//! The frame tap: raw pictures and coded units for other processes, where they lie.
//!
//! A client connects to `DATA/run/tap.sock` (`SOCK_SEQPACKET`), says what it wants ([`wire`]), and
//! gets descriptors: of its two blocks of shared memory ([`block`]), of a bell, and once of each
//! buffer. From then on a frame is a few words in the first block and a ring of the bell; what the
//! client holds it says in the second. [`client`] is the client's side, for Rust; the C API and the
//! Python package are skins over it.

pub mod block;
#[cfg(not(loom))]
pub mod client;
#[cfg(not(loom))]
pub mod units;
pub mod wire;
