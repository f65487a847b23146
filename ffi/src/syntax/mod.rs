//! Syntax of coded video: what parameter sets say, without coding or decoding pictures.
//!
//! Whatever comes in, from a camera, a file or a publisher, nothing here panics or allocates.

pub mod bits;
pub mod h264;
pub mod h265;
