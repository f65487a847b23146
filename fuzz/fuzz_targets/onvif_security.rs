//! WS-UsernameToken as it stands in requests; its laws stand beside it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_security(data));
