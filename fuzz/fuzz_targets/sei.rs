//! SEI NAL units. Law: no panic.
#![no_main]

use lensd_engine::syntax::sei::parse;
use lensd_ffi::unit::Codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for (codec, header) in [(Codec::H264, &[6][..]), (Codec::H265, &[39 << 1, 1])] {
        let _ = parse(codec, data);
        let _ = parse(codec, &[header, data].concat());
    }
});
