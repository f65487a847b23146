//! Parameters of the list of recordings; the laws stand beside the parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_query(data));
