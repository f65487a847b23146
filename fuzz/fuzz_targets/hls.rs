//! Names of files of HLS and the directives of blocking requests; the laws stand beside them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_hls(data));
