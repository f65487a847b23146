//! WebRTC: streams for browsers (RFC 8825), with WHEP (draft-ietf-wish-whep) or an offer of our own.
//!
//! Signalling comes over HTTP to the control plane, which asks by [`view`]. [`signal`] reads what
//! comes from outside and fits the coding to it, [`offer`] makes an offer one that str0m answers
//! rightly, [`session`] is one client on str0m, [`feed`] where
//! it stands in a ring, [`hall`] all clients and what may be asked of them. They know no sockets.
//! [`serve`] is the one loop that does the I/O, with [`socket`]; [`addresses`] knows where we can be
//! reached, [`timeline`] translates times.

pub mod addresses;
pub mod feed;
pub mod hall;
pub mod offer;
pub mod serve;
pub mod session;
pub mod signal;
pub mod socket;
pub mod timeline;
pub mod view;
