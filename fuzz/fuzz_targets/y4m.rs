//! Headers of y4m files. Laws: no panic; a size that a picture can have.
#![no_main]

use lensd_engine::camera::y4m::{parse_frame_line, parse_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse_frame_line(data);
    let header = [b"YUV4MPEG2 ", data].concat();
    for bytes in [data, &header] {
        if let Ok(found) = parse_header(bytes) {
            assert!(found.length <= bytes.len() && found.fps.is_finite());
            assert!((1..1 << 30).contains(&found.picture_bytes()));
        }
    }
});
