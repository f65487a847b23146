//! RTP (RFC 3550): units to packets, and the reports about them.
//!
//! Packets are made once per unit and shared by all clients of a stream: a packet is a header in a
//! small buffer and a piece of the unit that stays where it is, in the ring.

pub mod extension;
pub mod h264;
pub mod h265;
mod huffman;
pub mod jpeg;
pub mod metadata;
pub mod outlet;
pub mod packet;
pub mod rtcp;
pub mod source;
