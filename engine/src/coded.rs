//! A coded picture on its way from a camera or an encoder to a ring.

use lensd_ffi::time::Stamp;
use lensd_ffi::unit::{Codec, NalSpan};

/// A coded picture from a camera or an encoder, not yet in a ring.
#[derive(Debug, Clone, Default)]
pub struct CodedUnit {
    /// Coding.
    pub codec: Codec,
    /// Whether decoding can begin here; parameter sets are then inside.
    pub key: bool,
    /// Annex B byte stream with start codes, or a JPEG.
    pub bytes: Vec<u8>,
    /// Its NAL units; one entry for all of a JPEG.
    pub nals: Vec<NalSpan>,
    /// Width in pixels, 0 if unknown.
    pub width: usize,
    /// Height in pixels, 0 if unknown.
    pub height: usize,
    /// When it was captured.
    pub capture: Stamp,
    /// Number since the camera was opened.
    pub number: u64,
}
