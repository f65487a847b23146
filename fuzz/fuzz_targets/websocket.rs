//! The WebSocket machine of the control plane; its laws stand beside it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_websocket(data));
