//! Settings that are lists: regions, texts on pictures, multicast groups. Laws: no panic; what is
//! taken is bounded, and texts are read as they are written.
#![no_main]

use lensd_engine::finish::osd;
use lensd_engine::rtsp::groups;
use lensd_engine::scene::Region;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(region) = Region::of(&value) {
        assert!(region.count() > 0);
    }
    if let Ok(texts) = osd::parse(&value) {
        assert!(texts.len() <= 32 && texts.iter().all(|text| text.rgb().is_some()));
        assert_eq!(osd::parse(&serde_json::json!(texts)), Ok(texts));
    }
    if let Ok(groups) = groups::parse(&value) {
        assert!(groups.len() <= 16);
        for group in groups {
            assert!(group.address.is_none_or(|address| address.is_multicast()));
            assert!(group.port.is_none_or(|port| port % 2 == 0));
        }
    }
});
