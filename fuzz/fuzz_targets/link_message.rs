//! A packet on a link, as any type of message. Laws: no panic, no waiting; a message that is read
//! can be sent and is then read as the same.
#![no_main]

use lensd_ffi::link::{Answered, Asked, Link, MAX_PACKET, Order, Received, Report};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

fn law<T: Serialize + DeserializeOwned + Debug>(data: &[u8]) {
    let (a, b) = Link::pair().expect("descriptors");
    b.set_nonblocking(true).expect("nonblocking");
    rustix::net::send(&a, data, rustix::net::SendFlags::empty()).expect("send");
    if let Ok(Received::Message(message, fds)) = b.receive::<T>() {
        assert!(fds.is_empty());
        a.send(&message, &[]).expect("what came fits again");
        let Ok(Received::Message(again, _)) = b.receive::<T>() else { panic!("{message:?}") };
        assert_eq!(format!("{message:?}"), format!("{again:?}"));
    }
}

fuzz_target!(|data: &[u8]| {
    if data.is_empty() || data.len() > MAX_PACKET / 8 {
        return;
    }
    law::<Order>(data);
    law::<Report>(data);
    law::<Asked>(data);
    law::<Answered>(data);
});
