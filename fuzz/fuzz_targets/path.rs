//! The URI of a request. Laws: no panic; a name is no longer than its URI could make it.
#![no_main]

use lensd_engine::rtsp::path::Path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|uri: &str| {
    let path = Path::parse(uri);
    // A byte that is no UTF-8 becomes a character of three bytes.
    assert!(path.name.len() <= uri.len() * 3);
    assert_eq!(path, Path::parse(uri));
    // Scheme and host are not part of what is asked for.
    if uri.starts_with('/') && !uri.contains("://") {
        assert_eq!(path, Path::parse(&format!("rtsp://host:8554{uri}")));
    }
});
