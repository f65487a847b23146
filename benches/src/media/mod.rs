//! What an RTP stream tells without decoding it: loss, order, whole frames, latency.

pub mod payload;
pub mod sequence;
pub mod stamp;
pub mod stream;
