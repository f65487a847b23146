//! Filters of events as subscribers write them; the laws stand beside the broker.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_filter(data));
