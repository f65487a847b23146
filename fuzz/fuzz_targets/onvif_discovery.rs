//! Datagrams of WS-Discovery; the laws stand beside the target service.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_discovery(data));
