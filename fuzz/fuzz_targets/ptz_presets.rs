//! Presets and homes of cameras as settings; the laws stand beside the parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_presets(data));
