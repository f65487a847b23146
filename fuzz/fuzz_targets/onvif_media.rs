//! Configurations, texts, groups and vectors in ONVIF's requests, and the profiles that are kept. Laws: no
//! panic; what is taken is within its range, and what the registry takes; it reads as it was written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lensd_control::fuzz_onvif(data));
