//! Settings as clients send them. Laws: no panic; what the strict parser takes any parser takes, and
//! as the same value; a value that a kind lets through it lets through again, unchanged, and it fits
//! its place in the bank; a refusal says what is possible.
#![no_main]

use lensd_control::http::json;
use lensd_ffi::settings::{entries, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = json::parse(data) else { return };
    assert_eq!(serde_json::from_slice::<serde_json::Value>(data).expect("JSON"), value);
    for entry in entries() {
        match entry.key.kind.check(&value) {
            Ok(kept) => {
                assert_eq!(entry.key.kind.check(&kept).as_ref(), Ok(&kept), "{}", entry.key.name);
                let longest = entry.key.kind.longest();
                assert!(kept.to_string().len() <= longest, "{}: {kept}", entry.key.name);
            }
            Err(refusal) => assert!(refusal.0.starts_with("Value must be ")),
        }
    }
    for name in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
        match resolve(name) {
            Ok(entry) => {
                assert!(entry.key.name == name || entry.key.aliases.contains(&name.as_str()))
            }
            Err(near) => assert!(near.len() <= 3),
        }
    }
});
