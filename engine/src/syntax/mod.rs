//! Syntax of coded units: what stands in their NAL units, without coding or decoding pictures.

pub mod sei;
pub mod sps;
