//! The datagrams of WS-Discovery.

use super::scope::Rule;
use crate::soap::{Document, Node, Ns, Writer};

/// Longest datagram that is sent or read.
pub(crate) const MAX_DATAGRAM: usize = 16 * 1024;
/// Most types and most scopes of a probe.
const MAX_WORDS: usize = 32;
/// Longest id.
const MAX_ID: usize = 256;

const EVERYBODY: &str = "urn:schemas-xmlsoap-org:ws:2005:04:discovery";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

/// The types that this device has.
pub(crate) const TYPES: &[(Ns, &str)] = &[(Ns::Dn, "NetworkVideoTransmitter"), (Ns::Tds, "Device")];

/// Somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// Its id, which the answer repeats.
    pub(crate) id: String,
    pub(crate) asks: Asks,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asks {
    /// Who is there of these types and scopes? None of a kind: any. No rule: one that is not known.
    Probe { types: bool, rule: Option<Rule>, scopes: Vec<String> },
    /// Where is this one?
    Resolve { endpoint: String },
}

/// Reads a datagram; none: it asks nothing.
pub(crate) fn question(bytes: &[u8]) -> Option<Question> {
    if bytes.len() > MAX_DATAGRAM {
        return None;
    }
    let document = Document::parse(bytes).ok()?;
    let root = document.root();
    let of = |name: &str| root.children().find(|n| n.is(Ns::Soap, name));
    let id = of("Header")?.children().find(|n| n.is(Ns::Wsa2004, "MessageID"))?.text();
    if id.is_empty() || id.len() > MAX_ID {
        return None;
    }
    let asked = of("Body")?.children().next().filter(|n| n.ns() == Ns::Wsd)?;
    let asks = match asked.local() {
        "Probe" => {
            let types = asked.child("Types").is_none_or(has_types);
            let scopes = asked.child("Scopes");
            let rule = Rule::of(scopes.and_then(|s| s.attribute("MatchBy")));
            let words = scopes.map(Node::text).unwrap_or_default().split_whitespace();
            let words: Vec<String> = words.take(MAX_WORDS + 1).map(str::to_owned).collect();
            if words.len() > MAX_WORDS {
                return None;
            }
            Asks::Probe { types, rule, scopes: words }
        }
        "Resolve" => {
            let endpoint = asked.path(&["EndpointReference", "Address"])?.text().to_owned();
            Asks::Resolve { endpoint }
        }
        _ => return None,
    };
    Some(Question { id: id.to_owned(), asks })
}

/// Whether this device has all these types. A prefix that is not declared could mean any
/// namespace: then the name decides.
fn has_types(node: Node<'_>) -> bool {
    node.text().split_whitespace().take(MAX_WORDS).all(|word| {
        let (prefix, name) = word.split_once(':').unwrap_or(("", word));
        let ns = node.namespace(prefix);
        TYPES.iter().any(|(own, local)| *local == name && ns.is_none_or(|ns| ns == *own))
    })
}

/// What this device says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `urn:uuid:…`.
    pub(crate) endpoint: String,
    pub(crate) scopes: Vec<String>,
    /// Another one whenever anything of this changes.
    pub(crate) version: u32,
}

/// The number of a message (WS-Discovery, appendix I).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) instance: u32,
    pub(crate) number: u32,
}

fn envelope(
    action: &'static str,
    id: &str,
    relates: Option<&str>,
    sequence: Option<Sequence>,
    body: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut w = Writer::new();
    w.open("env:Envelope").declare(&[Ns::Soap, Ns::Wsa2004, Ns::Wsd, Ns::Dn, Ns::Tds]);
    w.open("env:Header").leaf("wsad:MessageID", id);
    w.maybe("wsad:RelatesTo", relates);
    w.leaf("wsad:To", if relates.is_some() { ANONYMOUS } else { EVERYBODY });
    w.leaf("wsad:Action", format!("{}/{action}", Ns::Wsd.uri()));
    if let Some(Sequence { instance, number }) = sequence {
        w.open("d:AppSequence").attribute("InstanceId", instance);
        w.attribute("MessageNumber", number).close();
    }
    w.close().open("env:Body");
    body(&mut w);
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish());
    text.into_bytes()
}

/// Who it is, and what else is known of him.
fn describe(identity: &Identity, url: &str, w: &mut Writer) {
    w.open("wsad:EndpointReference").leaf("wsad:Address", &identity.endpoint).close();
    let types = TYPES.iter().map(|(ns, name)| format!("{}:{name}", ns.prefix()));
    w.leaf("d:Types", types.collect::<Vec<_>>().join(" "));
    w.leaf("d:Scopes", identity.scopes.join(" ")).leaf("d:XAddrs", url);
    w.leaf("d:MetadataVersion", identity.version);
}

/// `Hello`.
pub(crate) fn hello(identity: &Identity, url: &str, id: &str, sequence: Sequence) -> Vec<u8> {
    envelope("Hello", id, None, Some(sequence), |w| {
        w.open("d:Hello");
        describe(identity, url, w);
        w.close();
    })
}

/// `Bye`.
pub(crate) fn bye(identity: &Identity, id: &str, sequence: Sequence) -> Vec<u8> {
    envelope("Bye", id, None, Some(sequence), |w| {
        w.open("d:Bye").open("wsad:EndpointReference");
        w.leaf("wsad:Address", &identity.endpoint).close().close();
    })
}

/// `ProbeMatches` or `ResolveMatches`, with one match.
pub(crate) fn answer(
    question: &Question,
    identity: &Identity,
    url: &str,
    id: &str,
    sequence: Sequence,
) -> Vec<u8> {
    let (action, outer, inner) = match question.asks {
        Asks::Probe { .. } => ("ProbeMatches", "d:ProbeMatches", "d:ProbeMatch"),
        Asks::Resolve { .. } => ("ResolveMatches", "d:ResolveMatches", "d:ResolveMatch"),
    };
    envelope(action, id, Some(&question.id), Some(sequence), |w| {
        w.open(outer).open(inner);
        describe(identity, url, w);
        w.close().close();
    })
}

/// `Probe`, for devices of ONVIF's.
pub(crate) fn probe(id: &str) -> Vec<u8> {
    envelope("Probe", id, None, None, |w| {
        w.open("d:Probe").leaf("d:Types", "dn:NetworkVideoTransmitter").close();
    })
}

/// A device that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) endpoint: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) addresses: Vec<String>,
}

/// Reads the answer to our probe of this id.
pub(crate) fn matches(bytes: &[u8], id: &str) -> Vec<Match> {
    let words = |node: Option<Node<'_>>| -> Vec<String> {
        let text = node.map(Node::text).unwrap_or_default();
        let short = text.split_whitespace().filter(|w| w.len() <= MAX_ID);
        short.take(MAX_WORDS).map(str::to_owned).collect()
    };
    let read = |document: &Document| {
        let root = document.root();
        let of = |name: &str| root.children().find(|n| n.is(Ns::Soap, name));
        let relates = of("Header")?.child("RelatesTo")?.text() == id;
        let found = of("Body")?.child("ProbeMatches").filter(|_| relates)?;
        let one = |m: Node<'_>| {
            let endpoint = m.path(&["EndpointReference", "Address"])?.text().to_owned();
            let (scopes, addresses) = (words(m.child("Scopes")), words(m.child("XAddrs")));
            let known = !addresses.is_empty() && endpoint.len() <= MAX_ID;
            known.then_some(Match { endpoint, scopes, addresses })
        };
        Some(found.all("ProbeMatch").take(MAX_WORDS).filter_map(one).collect())
    };
    let fits = bytes.len() <= MAX_DATAGRAM;
    let document = fits.then(|| Document::parse(bytes).ok()).flatten();
    document.as_ref().and_then(read).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_answered_and_the_answer_read() {
        let question = question(&probe("urn:uuid:1")).unwrap();
        assert_eq!(question.id, "urn:uuid:1");
        let Asks::Probe { types: true, rule: Some(Rule::Rfc3986), scopes } = &question.asks else {
            panic!("{question:?}");
        };
        assert!(scopes.is_empty());
        let identity = Identity {
            endpoint: "urn:uuid:me".to_owned(),
            scopes: vec!["onvif://www.onvif.org/name/a".to_owned()],
            version: 7,
        };
        let sequence = Sequence { instance: 1, number: 2 };
        let bytes = answer(&question, &identity, "http://h/x", "urn:uuid:2", sequence);
        let found = matches(&bytes, "urn:uuid:1");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].endpoint, &found[0].addresses[0][..]),
            ("urn:uuid:me", "http://h/x")
        );
        assert!(matches(&bytes, "urn:uuid:3").is_empty(), "of another probe");
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>"));
        assert!(text.contains("<d:AppSequence InstanceId=\"1\" MessageNumber=\"2\"/>"));
        assert_eq!(super::question(text.as_bytes()), None, "an answer asks nothing");
    }

    #[test]
    fn types_are_names_in_namespaces() {
        let types = |text: &str| {
            let probe = String::from_utf8(probe("i")).unwrap();
            let probe = probe.replace("dn:NetworkVideoTransmitter", text);
            match question(probe.as_bytes()).unwrap().asks {
                Asks::Probe { types, .. } => types,
                Asks::Resolve { .. } => panic!(),
            }
        };
        assert!(types("tds:Device") && types("tds:Device dn:NetworkVideoTransmitter") && types(""));
        assert!(types("dp0:NetworkVideoTransmitter"), "not declared");
        assert!(!types("tds:NetworkVideoTransmitter") && !types("tds:PrinterServiceType"));
        assert!(!types("dn:NetworkVideoTransmitter tds:X"));
    }
}
