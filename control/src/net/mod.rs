//! Sockets: who is connected, what can be read and written. What bytes mean is [`crate::http`]'s.

mod conn;
mod serve;
mod stream;

pub(crate) use serve::Serve;
