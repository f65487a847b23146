//! The SEI in which lensd's test camera proves loss, order and latency.
//!
//! `user_data_unregistered` (H.264 D.1.7) with the UUID `lensd-capture-01`, then ASCII hex without
//! separators: 16 digits capture time in CLOCK_MONOTONIC ns, 16 digits UTC ns since 1970, 8 digits
//! frame number, 8 digits CRC-32 of the raw picture. All ASCII, so emulation prevention (7.4.1.1)
//! never inserts a byte and the text can be found and replaced in place.

/// The UUID.
pub const UUID: &[u8; 16] = b"lensd-capture-01";
/// Hex digits behind the UUID.
pub const DIGITS: usize = 48;

/// What the SEI says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaptureStamp {
    /// Capture time, CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// Capture time, UTC since 1970.
    pub utc_ns: u64,
    /// Number of the frame.
    pub number: u32,
    /// CRC-32 of the raw picture; 0 if not computed.
    pub crc: u32,
}

impl CaptureStamp {
    /// Reads the stamp from an H.264 or H.265 SEI NAL unit's payload (behind the NAL header).
    pub fn parse_sei(mut rbsp: &[u8]) -> Option<Self> {
        /// `user_data_unregistered`.
        const USER_DATA_UNREGISTERED: usize = 5;
        // A NAL unit ends with the trailing bits' byte, hence at least two bytes for a message.
        while rbsp.len() > 2 {
            let kind = ff_coded(&mut rbsp)?;
            let size = ff_coded(&mut rbsp)?;
            // Of a fragment only the beginning may be here; the stamp must be.
            let message = &rbsp[..size.min(rbsp.len())];
            if kind == USER_DATA_UNREGISTERED
                && let Some(text) = message.strip_prefix(UUID)
            {
                return Self::parse_digits(text);
            }
            rbsp = rbsp.get(size..)?;
        }
        None
    }

    fn parse_digits(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text.get(..DIGITS)?).ok()?;
        // from_str_radix would take a sign.
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            mono_ns: u64::from_str_radix(&text[..16], 16).ok()?,
            utc_ns: u64::from_str_radix(&text[16..32], 16).ok()?,
            number: u32::from_str_radix(&text[32..40], 16).ok()?,
            crc: u32::from_str_radix(&text[40..], 16).ok()?,
        })
    }

    /// The 48 digits.
    pub fn digits(&self) -> [u8; DIGITS] {
        let mut out = [0; DIGITS];
        hex(self.mono_ns, &mut out[..16]);
        hex(self.utc_ns, &mut out[16..32]);
        hex(u64::from(self.number), &mut out[32..40]);
        hex(u64::from(self.crc), &mut out[40..]);
        out
    }

    /// The SEI NAL unit, header and trailing bits included.
    pub fn nal(&self) -> Vec<u8> {
        let mut nal = vec![0x06, 5, 64];
        nal.extend_from_slice(UUID);
        nal.extend_from_slice(&self.digits());
        nal.push(0x80);
        nal
    }
}

/// Writes the lowest digits of `value` that fit into `out`.
fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// A number coded as a run of 0xff and a last byte (H.264 7.3.2.3.1).
fn ff_coded(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value += usize::from(byte);
        if byte != 0xff {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: CaptureStamp =
        CaptureStamp { mono_ns: 0x0123_4567_89ab_cdef, utc_ns: 42, number: 0xdead_beef, crc: 7 };

    #[test]
    fn reads_what_it_wrote() {
        assert_eq!(CaptureStamp::parse_sei(&STAMP.nal()[1..]), Some(STAMP));
    }

    #[test]
    fn reads_the_text_that_the_engine_writes() {
        let mut rbsp = vec![5, 64];
        rbsp.extend(b"lensd-capture-010000000000001234fffffffffffffffe0000004ddeadbeef\x80");
        let stamp = CaptureStamp::parse_sei(&rbsp).unwrap();
        assert_eq!((stamp.mono_ns, stamp.utc_ns), (0x1234, u64::MAX - 1));
        assert_eq!((stamp.number, stamp.crc), (0x4d, 0xdead_beef));
    }

    #[test]
    fn other_messages_before_it_are_passed_over() {
        let mut rbsp = vec![1, 2, 0xaa, 0xbb, 5, 17];
        rbsp.extend([0; 17]);
        rbsp.extend(&STAMP.nal()[1..]);
        assert_eq!(CaptureStamp::parse_sei(&rbsp), Some(STAMP));
    }

    #[test]
    fn cut_or_foreign_ones_are_none() {
        let nal = STAMP.nal();
        for cut in 0..nal.len() - 1 {
            assert_eq!(CaptureStamp::parse_sei(&nal[1..cut.max(1)]), None, "at {cut}");
        }
        let mut signed = nal.clone();
        signed[19] = b'+';
        assert_eq!(CaptureStamp::parse_sei(&signed[1..]), None);
    }
}
