//! WS-Discovery (April 2005, as ONVIF Core 7 has it) without a socket: [`wire`] is the datagrams,
//! [`scope`] what matches, [`Session`] the target service that says hello, answers and says bye.
//!
//! A datagram is answered at most once and with little more than it brought, so that nobody can use
//! us to flood a third: answers of one source are counted, and what is not understood is met with
//! silence.

pub(crate) mod scope;
mod session;
pub(crate) mod wire;

pub(crate) use session::{Place, Session, Transmit, uuid};

use lensd_ffi::time::Nanos;
use std::net::{Ipv4Addr, SocketAddr};

/// The group and port of all (WS-Discovery 2.4).
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// The laws of the target service, for a fuzzer: nothing panics, a datagram is answered at most
/// once, and only what asks is answered.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_discovery(data: &[u8]) {
    let mut session = Session::new(1, 1);
    let scopes = vec!["onvif://www.onvif.org/name/fuzz".to_owned()];
    session.set_scopes(scopes);
    let place = Place { index: 2, url: "http://10.0.0.1/onvif/device_service".to_owned() };
    let from = SocketAddr::from(([10, 0, 0, 9], 3702));
    session.handle_input(data, from, true, &place, Nanos(0));
    let mut answers = 0;
    while let Some(transmit) = session.poll_output(Nanos::from_secs(10)) {
        assert_eq!(transmit.to, from);
        let read = crate::soap::Document::parse(&transmit.bytes);
        assert!(read.is_ok(), "we read what we write");
        answers += 1;
    }
    assert!(answers <= 1, "{answers}");
    let _ = wire::matches(data, "urn:uuid:x");
}
