//! Sockets: who is connected, what can be read and written. What bytes mean is [`crate::http`]'s.

mod beacon;
mod conn;
mod serve;
mod stream;

pub(crate) use beacon::Beacon;
pub(crate) use serve::Serve;
