//! Beginnings of JPEG pictures. Laws: no panic; a picture is no longer than its bytes.
#![no_main]

use lensd_engine::camera::mjpeg::{Jpeg, measure};
use lensd_engine::rtp::jpeg::can_carry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = can_carry(data);
    let mut picture = vec![0xff, 0xd8];
    picture.extend_from_slice(data);
    let _ = can_carry(&picture);
    for bytes in [data, &picture] {
        match measure(bytes) {
            Jpeg::Whole { length, .. } => {
                assert!(length <= bytes.len());
                // What follows it changes nothing.
                assert_eq!(measure(&bytes[..length]), measure(bytes));
            }
            Jpeg::Foreign { offset, .. } => assert!(offset <= bytes.len()),
            Jpeg::Partial => {}
        }
    }
});
