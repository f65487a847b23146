//! Requests of the frame tap.
//!
//! Laws: nothing panics; what is taken is within bounds; a request that is written is read as it was.
#![no_main]

use lensd_ffi::tap::wire::{MAX_REQUEST, Request, VERSION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = Request::parse(data) else { return };
    assert!(data.len() <= MAX_REQUEST);
    assert_eq!(request.version, VERSION);
    if let Ok(Some(Some((width, height)))) = request.size() {
        assert!([width, height].iter().all(|s| (16..=8192).contains(s) && s % 2 == 0));
    }
    let written = serde_json::to_vec(&request).expect("it can be written");
    if written.len() <= MAX_REQUEST {
        assert_eq!(Request::parse(&written), Ok(request));
    }
});
