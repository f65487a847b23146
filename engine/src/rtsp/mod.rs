//! RTSP 1.0 (RFC 2326), the server side.
//!
//! [`parse`] and [`wire`] know messages, [`transport`] the header of that name, [`session`] what a
//! client may do when, [`house`] what that needs of the world. They know no sockets. [`serve`] is
//! the one loop that does the I/O, with [`conn`] (one connection), [`client`] (one receiver of a stream),
//! [`replay`] (one of a recording) and [`udp`] (the datagram sockets).

pub mod client;
pub mod conn;
pub mod groups;
pub mod house;
pub mod metadata;
pub mod parse;
pub mod path;
pub mod replay;
pub mod serve;
pub mod session;
pub mod transport;
pub mod udp;
pub mod wire;
pub mod world;
