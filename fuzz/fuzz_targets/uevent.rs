//! What the kernel says of devices. Laws: no panic; what is read stands in the message; written
//! again it is read as the same, whatever stood between.
#![no_main]

use lensd_engine::sys::uevent::{Action, MAX_MESSAGE, Uevent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(event) = Uevent::parse(data) else { return };
    assert!(data.len() <= MAX_MESSAGE && event.path.starts_with('/'));
    let stands = |text: &str| {
        text.is_empty() || data.windows(text.len()).any(|part| part == text.as_bytes())
    };
    assert!(stands(event.path) && stands(event.subsystem) && stands(event.node));
    let action = match event.action {
        Action::Add => "add",
        Action::Remove => "remove",
        Action::Other => "change",
    };
    let Uevent { path, subsystem, node, .. } = event;
    let again = format!("{action}@{path}\0SUBSYSTEM={subsystem}\0SEQNUM=1\0DEVNAME={node}\0");
    if again.len() <= MAX_MESSAGE {
        assert_eq!(Uevent::parse(again.as_bytes()), Some(event));
    }
});
