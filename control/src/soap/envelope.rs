//! The envelope: what a request asks, and what an answer looks like.

use super::{Document, Fault, Node, Ns, Writer};

/// Longest address that is repeated in an answer.
const MAX_ADDRESS: usize = 512;

/// What an answer has to repeat of a request's header (WS-Addressing 1.0, 3.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// `MessageID`, if there was one: only then `RelatesTo` is told.
    pub message_id: Option<String>,
    /// `To`, which names a subscription for clients that do not keep to its URL.
    pub to: Option<String>,
}

/// What a request asks.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The first element of the body: the operation.
    pub operation: Node<'a>,
    /// The UsernameToken of the security header, whose own Created is the one that counts.
    pub token: Option<Node<'a>>,
    /// Addresses.
    pub header: Header,
}

impl<'a> Request<'a> {
    /// Of a document.
    ///
    /// # Errors
    /// When it is no SOAP 1.2, or asks nothing.
    pub fn of(document: &'a Document) -> Result<Self, Fault> {
        let root = document.root();
        if root.is(Ns::Soap11, "Envelope") {
            let fault = Fault::sender(&[], "this service speaks SOAP 1.2");
            return Err(Fault { code: "env:VersionMismatch", ..fault });
        }
        if !root.is(Ns::Soap, "Envelope") {
            return Err(Fault::not_well_formed("the outermost element is no SOAP 1.2 Envelope"));
        }
        let soap = |name: &str| root.children().find(|n| n.is(Ns::Soap, name));
        let header = soap("Header");
        let body = soap("Body").ok_or_else(|| Fault::not_well_formed("there is no Body"))?;
        let operation = body.children().next();
        let operation =
            operation.ok_or_else(|| Fault::not_well_formed("the Body has no operation"))?;
        let token = header
            .and_then(|h| h.children().find(|n| n.is(Ns::Wsse, "Security")))
            .and_then(|s| s.children().find(|n| n.is(Ns::Wsse, "UsernameToken")));
        let addressing = |name: &str| {
            let node = header?.children().find(|n| n.is(Ns::Wsa, name))?;
            Some(node.text()).filter(|t| !t.is_empty() && t.len() <= MAX_ADDRESS)
        };
        let header = Header {
            message_id: addressing("MessageID").map(str::to_owned),
            to: addressing("To").map(str::to_owned),
        };
        Ok(Self { operation, token, header })
    }
}

/// Prefixes that every answer declares: schemas and clients expect them on the outermost element.
const DECLARED: &[Ns] = &[
    Ns::Soap,
    Ns::Ter,
    Ns::Tt,
    Ns::Tds,
    Ns::Trt,
    Ns::Tr2,
    Ns::Tev,
    Ns::Timg,
    Ns::Tptz,
    Ns::Tmd,
    Ns::Wsnt,
    Ns::Wstop,
    Ns::Wsa,
    Ns::Wsrf,
    Ns::Wsrfrw,
    Ns::Tns1,
    Ns::Xs,
];

/// An answer: the envelope, `action` and what it relates to if the request had an id, and what
/// `body` writes.
pub fn answer(header: &Header, action: Option<&str>, body: impl FnOnce(&mut Writer)) -> String {
    let mut w = Writer::new();
    w.open("env:Envelope").declare(DECLARED);
    if let Some(id) = &header.message_id {
        w.open("env:Header");
        w.maybe("wsa:Action", action);
        w.leaf("wsa:RelatesTo", id);
        w.close();
    }
    w.open("env:Body");
    body(&mut w);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish())
}

/// A message of our own: the envelope, `action`, whom it is for, and what `body` writes.
pub fn message(action: &str, to: &str, body: impl FnOnce(&mut Writer)) -> String {
    let mut w = Writer::new();
    w.open("env:Envelope").declare(DECLARED);
    w.open("env:Header").leaf("wsa:Action", action).leaf("wsa:To", to).close();
    w.open("env:Body");
    body(&mut w);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";

    fn read(text: &str) -> Result<(String, Header, bool), Fault> {
        let document = Document::parse(text.as_bytes()).unwrap();
        let request = Request::of(&document)?;
        Ok((format!("{:?}", request.operation), request.header, request.token.is_some()))
    }

    #[test]
    fn any_prefix_and_no_header_do() {
        let body = "<GetHostname xmlns='http://www.onvif.org/ver10/device/wsdl'/>";
        let text = format!("<Envelope xmlns='{SOAP}'><!-- c --><Body>\n {body} </Body></Envelope>");
        let (operation, header, token) = read(&text).unwrap();
        assert_eq!((&*operation, header, token), ("<Tds GetHostname>", Header::default(), false));
        for (text, code) in [
            (format!("<e:Envelope xmlns:e='{SOAP}'/>"), "env:Sender"),
            (format!("<e:Envelope xmlns:e='{SOAP}'><e:Body/></e:Envelope>"), "env:Sender"),
            ("<Envelope/>".to_owned(), "env:Sender"),
            (format!("<Envelope xmlns='{}'/>", Ns::Soap11.uri()), "env:VersionMismatch"),
        ] {
            assert_eq!(read(&text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn an_answer_relates_to_who_asked_to_be_told() {
        let header = Header { message_id: Some("urn:<1>".to_owned()), to: None };
        let text = answer(&header, Some("urn:x"), |w| _ = w.empty("tds:GetHostnameResponse"));
        assert!(
            text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><env:Envelope xmlns:env=")
        );
        assert!(
            text.contains("<wsa:RelatesTo>urn:&lt;1&gt;</wsa:RelatesTo>") && !text.contains('\n')
        );
        assert!(text.ends_with("<tds:GetHostnameResponse/></env:Body></env:Envelope>"));
        let document = Document::parse(text.as_bytes()).unwrap();
        assert!(Request::of(&document).unwrap().operation.is(Ns::Tds, "GetHostnameResponse"));
        assert!(!answer(&Header::default(), Some("urn:x"), |_| ()).contains("Header"));
    }
}
