//! The `Transport` header. Laws: no panic, a bounded number of offers; an answer is an offer.
#![no_main]

use lensd_engine::rtsp::transport::{Answer, Chosen, Lower, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let offers = parse(text);
    assert!(offers.len() <= 16);
    for offer in offers {
        let chosen = match (offer.lower, offer.interleaved, offer.client_port) {
            (Lower::Tcp, Some(channels), _) => Chosen::Tcp { channels },
            (Lower::Udp, _, Some(client)) => Chosen::Udp { client, server: (1, 2) },
            _ => continue,
        };
        let answer = Answer { chosen: &chosen, ssrc: Some(9), record: offer.record };
        let again = parse(&answer.to_string());
        assert_eq!(again.len(), 1, "{answer}");
        assert_eq!((again[0].lower, again[0].record), (offer.lower, offer.record));
        match offer.lower {
            Lower::Tcp => assert_eq!(again[0].interleaved, offer.interleaved),
            Lower::Udp => assert_eq!(again[0].client_port, offer.client_port),
        }
    }
});
