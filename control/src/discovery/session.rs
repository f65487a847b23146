//! The target service (WS-Discovery 4 to 6).

use super::GROUP;
use super::wire::{self, Asks, Identity, Question, Sequence};
use crate::http::limit::Limiter;
use lensd_ffi::time::Nanos;
use std::net::{IpAddr, SocketAddr};

/// The longest time that an answer to a multicast waits, so that not all answer at once
/// (WS-Discovery 2.4, APP_MAX_DELAY).
const MAX_DELAY: Nanos = Nanos::from_millis(500);
/// Answers to one source within a second.
const PER_SECOND: u32 = 10;
/// Datagrams that wait to be sent.
const MAX_WAITING: usize = 256;

/// An interface, as far as this goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) index: u32,
    /// Where we are reached from there.
    pub(crate) url: String,
}

/// A datagram to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) to: SocketAddr,
    /// The interface that it leaves by.
    pub(crate) index: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What waits to be sent is made when it is, so that numbers are in the order of sending.
#[derive(Debug)]
enum Word {
    Hello,
    Answer(Question, SocketAddr),
}

/// The target service.
#[derive(Debug)]
pub(crate) struct Session {
    identity: Identity,
    instance: u32,
    number: u32,
    random: u64,
    port: u16,
    /// Whether it answers at all.
    silent: bool,
    waiting: Vec<(Nanos, Word, Place)>,
    answers: Limiter,
}

impl Session {
    /// `instance`: higher at each start (seconds since 1970 are). `seed`: for delays and ids.
    pub(crate) fn new(instance: u32, seed: u64) -> Self {
        Self {
            identity: Identity { version: instance, ..Identity::default() },
            instance,
            number: 0,
            random: seed,
            port: 3702,
            silent: false,
            waiting: Vec::new(),
            answers: Limiter::new(PER_SECOND, Nanos::from_secs(1)),
        }
    }

    /// By what it is known, and the port of the group.
    pub(crate) fn set_identity(&mut self, endpoint: String, port: u16) {
        self.identity.endpoint = endpoint;
        self.port = port;
    }

    /// Whether it has been said by what it is known.
    pub(crate) const fn is_known(&self) -> bool {
        !self.identity.endpoint.is_empty()
    }

    /// Other scopes; whether they are others.
    pub(crate) fn set_scopes(&mut self, scopes: Vec<String>) -> bool {
        let others = self.identity.scopes != scopes;
        if others {
            self.identity.scopes = scopes;
            self.identity.version = self.identity.version.wrapping_add(1);
        }
        others
    }

    /// Whether it says nothing (ONVIF Core 7.1, NonDiscoverable).
    pub(crate) fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
        if silent {
            self.waiting.clear();
        }
    }

    /// Whether it says nothing.
    pub(crate) const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Says hello on an interface.
    pub(crate) fn greet(&mut self, place: Place, now: Nanos) {
        let when = now.plus(self.delay());
        self.wait(when, Word::Hello, place);
    }

    /// Says bye on interfaces, at once.
    pub(crate) fn leave(&mut self, places: &[Place]) -> Vec<Transmit> {
        if self.silent {
            return Vec::new();
        }
        self.waiting.clear();
        let to = SocketAddr::from((GROUP, self.port));
        let bye = |place: &Place| {
            let (id, sequence) = (self.id(), self.sequence());
            Transmit { to, index: place.index, bytes: wire::bye(&self.identity, &id, sequence) }
        };
        places.iter().map(bye).collect()
    }

    /// A datagram came in at `place`. **Then call [`Session::poll_output`] until it returns none,
    /// now and at [`Session::deadline`].**
    pub(crate) fn handle_input(
        &mut self,
        bytes: &[u8],
        from: SocketAddr,
        multicast: bool,
        place: &Place,
        now: Nanos,
    ) {
        if self.silent || !is_sender(from) || !self.answers.look(from.ip(), now).within {
            return;
        }
        let Some(question) = wire::question(bytes) else { return };
        let is_meant = match &question.asks {
            Asks::Resolve { endpoint } => *endpoint == self.identity.endpoint,
            Asks::Probe { types: false, .. } => false,
            Asks::Probe { scopes, .. } if scopes.is_empty() => true,
            Asks::Probe { rule, scopes, .. } => rule.is_some_and(|rule| {
                let ours = &self.identity.scopes;
                scopes.iter().all(|wanted| ours.iter().any(|own| rule.matches(wanted, own)))
            }),
        };
        if !is_meant || !self.answers.count(from.ip(), now).within {
            return;
        }
        let delay = if multicast { self.delay() } else { Nanos(0) };
        self.wait(now.plus(delay), Word::Answer(question, from), place.clone());
    }

    /// What is to be sent now.
    pub(crate) fn poll_output(&mut self, now: Nanos) -> Option<Transmit> {
        let at = self.waiting.iter().position(|(when, ..)| *when <= now)?;
        let (_, word, Place { index, url }) = self.waiting.remove(at);
        let (id, sequence) = (self.id(), self.sequence());
        let identity = &self.identity;
        let (to, bytes) = match word {
            Word::Hello => {
                let to = SocketAddr::from((GROUP, self.port));
                (to, wire::hello(identity, &url, &id, sequence))
            }
            Word::Answer(question, to) => {
                (to, wire::answer(&question, identity, &url, &id, sequence))
            }
        };
        Some(Transmit { to, index, bytes })
    }

    /// When something is to be sent next.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        self.waiting.iter().map(|(when, ..)| *when).min()
    }

    fn wait(&mut self, when: Nanos, word: Word, place: Place) {
        if !self.silent && self.waiting.len() < MAX_WAITING {
            self.waiting.push((when, word, place));
        }
    }

    fn delay(&mut self) -> Nanos {
        Nanos(self.next() % (MAX_DELAY.0 + 1))
    }

    fn sequence(&mut self) -> Sequence {
        self.number = self.number.wrapping_add(1);
        Sequence { instance: self.instance, number: self.number }
    }

    /// An id that no other message has. It need not be hard to guess.
    fn id(&mut self) -> String {
        uuid(self.next(), self.next())
    }

    /// SplitMix64: small, and good enough for delays.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A UUID of 122 bits (RFC 9562 5.4).
pub(crate) fn uuid(high: u64, low: u64) -> String {
    format!(
        "urn:uuid:{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// Whether an answer may go there: nobody sends from a group or from port 0.
fn is_sender(from: SocketAddr) -> bool {
    let of_one = match from.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    };
    of_one && from.port() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(100);

    fn place() -> Place {
        Place { index: 3, url: "http://10.0.0.1:80/onvif/device_service".to_owned() }
    }

    fn session() -> Session {
        let mut session = Session::new(5, 7);
        session.set_identity("urn:uuid:me".to_owned(), 3702);
        session.set_scopes(vec!["onvif://www.onvif.org/name/cam".to_owned()]);
        session
    }

    fn from(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 4000))
    }

    fn sent(session: &mut Session, now: Nanos) -> Vec<Transmit> {
        std::iter::from_fn(|| session.poll_output(now)).collect()
    }

    fn with_scopes(scopes: &str) -> Vec<u8> {
        let probe = String::from_utf8(wire::probe("i")).unwrap();
        probe
            .replace("</d:Probe>", &format!("<d:Scopes>{scopes}</d:Scopes></d:Probe>"))
            .into_bytes()
    }

    #[test]
    fn a_multicast_is_answered_after_a_while_and_a_unicast_at_once() {
        let mut s = session();
        s.handle_input(&wire::probe("i"), from(2), true, &place(), NOW);
        let when = s.deadline().unwrap();
        assert!(when > NOW && when <= NOW.plus(MAX_DELAY));
        assert!(sent(&mut s, NOW).is_empty());
        let answers = sent(&mut s, when);
        assert_eq!((answers.len(), answers[0].to, answers[0].index), (1, from(2), 3));
        let found = wire::matches(&answers[0].bytes, "i");
        assert_eq!(found[0].addresses, [place().url]);
        s.handle_input(&wire::probe("i"), from(2), false, &place(), NOW);
        assert_eq!(sent(&mut s, NOW).len(), 1);
    }

    #[test]
    fn who_is_not_meant_is_silent() {
        let mut s = session();
        for (scopes, want) in [
            ("onvif://www.onvif.org/name/cam", 1),
            ("onvif://www.onvif.org", 1),
            ("onvif://www.onvif.org/name/ca", 0),
            ("onvif://www.onvif.org onvif://www.onvif.org/location", 0),
        ] {
            s.handle_input(&with_scopes(scopes), from(3), false, &place(), NOW);
            assert_eq!(sent(&mut s, NOW).len(), want, "{scopes}");
        }
        for bytes in [&b""[..], b"<a/>", b"GET / HTTP/1.1", &wire::probe("")] {
            s.handle_input(bytes, from(4), false, &place(), NOW);
        }
        let group = SocketAddr::from((GROUP, 3702));
        s.handle_input(&wire::probe("i"), group, true, &place(), NOW);
        s.handle_input(
            &wire::probe("i"),
            SocketAddr::from(([10, 0, 0, 1], 0)),
            true,
            &place(),
            NOW,
        );
        assert_eq!(s.deadline(), None);
        s.set_silent(true);
        s.handle_input(&wire::probe("i"), from(5), false, &place(), NOW);
        s.greet(place(), NOW);
        assert!(s.deadline().is_none() && s.leave(&[place()]).is_empty());
    }

    #[test]
    fn one_source_gets_so_many_answers_and_others_theirs() {
        let mut s = session();
        for _ in 0..50 {
            s.handle_input(&wire::probe("i"), from(2), false, &place(), NOW);
        }
        s.handle_input(&wire::probe("i"), from(3), false, &place(), NOW);
        assert_eq!(sent(&mut s, NOW).len(), PER_SECOND as usize + 1);
        for host in 0..=255 {
            for _ in 0..PER_SECOND {
                s.handle_input(
                    &wire::probe("i"),
                    from(host),
                    true,
                    &place(),
                    Nanos::from_secs(200),
                );
            }
        }
        assert!(s.waiting.len() <= MAX_WAITING);
    }

    #[test]
    fn hello_bye_and_resolve() {
        let mut s = session();
        s.greet(place(), NOW);
        let hello = sent(&mut s, NOW.plus(MAX_DELAY));
        assert_eq!(hello[0].to, SocketAddr::from((GROUP, 3702)));
        let hello = String::from_utf8(hello[0].bytes.clone()).unwrap();
        assert!(hello.contains("MessageNumber=\"1\"") && hello.contains("/Hello<"));
        let resolve = |id: &str| {
            let probe = String::from_utf8(wire::probe("i")).unwrap();
            let (begin, _) = probe.split_once("<d:Probe>").unwrap();
            format!(
                "{begin}<d:Resolve><wsad:EndpointReference><wsad:Address>{id}</wsad:Address>\
                 </wsad:EndpointReference></d:Resolve></env:Body></env:Envelope>"
            )
        };
        s.handle_input(resolve("urn:uuid:you").as_bytes(), from(2), false, &place(), NOW);
        assert_eq!(s.deadline(), None);
        s.handle_input(resolve("urn:uuid:me").as_bytes(), from(2), false, &place(), NOW);
        let answer = String::from_utf8(sent(&mut s, NOW)[0].bytes.clone()).unwrap();
        assert!(answer.contains("<d:ResolveMatches><d:ResolveMatch>"));
        let bye = s.leave(&[place()]);
        assert!(String::from_utf8(bye[0].bytes.clone()).unwrap().contains("MessageNumber=\"3\""));
        assert!(s.set_scopes(Vec::new()) && !s.set_scopes(Vec::new()));
    }
}
