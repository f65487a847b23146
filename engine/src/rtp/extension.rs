//! Header extensions that carry a unit's capture time (RFC 8285), in the first of its packets.
//!
//! The one-byte form is sent: whoever reads extensions at all must read it (RFC 8285 section 4.1.2
//! lets a sender fall back to it), and ours have 8 bytes and identifiers below 15, so that the
//! two-byte form would only be longer.

use crate::config::Extensions;
use lensd_ffi::time::{Stamp, UtcNanos};

/// What marks one-byte elements (RFC 8285 section 4.2).
pub const PROFILE: u16 = 0xBEDE;
/// Most bytes of elements with their padding.
pub const MOST: usize = 20;

/// What marks ONVIF's own extension of recordings that are played (ONVIF Streaming Specification,
/// "RTP header extension").
pub const REPLAY: u16 = 0xABAC;

/// What ONVIF's extension says of a picture besides when it was captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Decoding can begin with it (C).
    pub clean: bool,
    /// The recording ends with it (E and T).
    pub last: bool,
    /// It does not follow the one before (D).
    pub discontinuity: bool,
    /// The lowest byte of the `CSeq` of the PLAY that it answers.
    pub cseq: u8,
}

impl Replayed {
    /// The words of the extension.
    pub fn words(self, captured: UtcNanos) -> Vec<u8> {
        let bit = |set: bool, at: u8| u8::from(set) << at;
        let flags =
            bit(self.clean, 7) | bit(self.last, 6) | bit(self.discontinuity, 5) | bit(self.last, 4);
        let mut out = captured.ntp64().to_be_bytes().to_vec();
        out.extend_from_slice(&[flags, self.cseq, 0, 0]);
        out
    }
}

/// The identifier that SDP gives to an extension, its URI, and whether a stream has it.
type Element = (u8, &'static str, fn(Extensions) -> bool);

/// Each carries the capture time as a 64-bit NTP time stamp, and no stream has another identifier
/// for it. `ntp-64`: RFC 6051 section 3.3, the time that belongs to the packet's RTP time, which
/// here is when the picture was captured. `abs-capture-time`: its short form, without an offset,
/// since the clock that captures is the clock of the sender reports.
const ELEMENTS: [Element; 2] = [
    (1, "urn:ietf:params:rtp-hdrext:ntp-64", |e| e.ntp64),
    (2, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", |e| e.abs_capture_time),
];

/// Identifiers and URIs for SDP's `a=extmap` (RFC 8285 section 8).
pub fn maps(extensions: Extensions) -> impl Iterator<Item = (u8, &'static str)> {
    ELEMENTS.into_iter().filter(move |(_, _, has)| has(extensions)).map(|(id, uri, _)| (id, uri))
}

/// The extension words of a unit that was captured then; none for a stream without extensions.
pub fn words(extensions: Extensions, capture: Stamp) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, _) in maps(extensions) {
        // The identifier in the upper half, length less one in the lower (RFC 8285 section 4.2).
        out.push(id << 4 | 7);
        out.extend_from_slice(&capture.utc.ntp64().to_be_bytes());
    }
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn onvif_words_are_three() {
        let captured = UtcNanos(1_700_000_000_250_000_000);
        let first = Replayed { clean: true, discontinuity: true, cseq: 7, last: false };
        let ntp = captured.ntp64().to_be_bytes();
        assert_eq!(first.words(captured), [&ntp[..], &[0b1010_0000, 7, 0, 0]].concat());
        let last = Replayed { last: true, ..Replayed::default() };
        assert_eq!(last.words(captured)[8..], [0b0101_0000, 0, 0, 0]);
        assert!(first.words(captured).len() <= MOST);
    }

    #[test]
    fn words_are_elements_with_padding() {
        let capture = Stamp { utc: UtcNanos(1_700_000_000_250_000_000), ..Stamp::default() };
        let ntp = capture.utc.ntp64().to_be_bytes();
        let both = Extensions { ntp64: true, abs_capture_time: true };
        let one = Extensions { ntp64: false, abs_capture_time: true };
        assert!(words(Extensions::default(), capture).is_empty());
        assert_eq!(words(one, capture), [&[0x27][..], &ntp, &[0; 3]].concat());
        let all = words(both, capture);
        assert_eq!(all, [&[0x17][..], &ntp, &[0x27], &ntp, &[0; 2]].concat());
        assert_eq!(all.len(), MOST);
        assert_eq!(maps(both).map(|m| m.0).collect::<Vec<_>>(), [1, 2]);
        assert!(maps(one).all(|(id, uri)| id == 2 && uri.ends_with("/abs-capture-time")));
    }
}
