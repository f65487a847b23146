//! Header extensions that carry a unit's capture time (RFC 8285), in the first of its packets.
//!
//! The one-byte form is sent: whoever reads extensions at all must read it (RFC 8285 section 4.1.2
//! lets a sender fall back to it), and ours have 8 bytes and identifiers below 15, so that the
//! two-byte form would only be longer.

use crate::config::Extensions;
use lensd_ffi::time::Stamp;

/// What marks one-byte elements (RFC 8285 section 4.2).
pub const PROFILE: u16 = 0xBEDE;
/// Most bytes of elements with their padding.
pub const MOST: usize = 20;

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
    use lensd_ffi::time::UtcNanos;

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
