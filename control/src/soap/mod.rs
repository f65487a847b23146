//! SOAP 1.2 without a socket and without a meaning: a bounded tree of what came ([`Document`]), a
//! writer that escapes by construction ([`Writer`]), faults, and the arithmetic of
//! WS-UsernameToken.
//!
//! Nothing here knows this server. What is read is bounded before it is kept: bytes, depth, nodes,
//! attributes, text. There are no document types, no processing instructions and no entities but
//! the five that XML itself has, so a request can neither grow nor reach for a file.

mod envelope;
mod fault;
mod namespace;
mod parse;
pub mod time;
mod token;
mod write;

pub use envelope::{Header, Request, answer, message};
pub use fault::Fault;
pub use namespace::Ns;
pub use parse::{Document, MAX_BODY, Node, Refused};
pub use token::{MAX_NONCE, Spent, Token, Used, password_digest};
pub use write::Writer;

/// The laws of the reader, for a fuzzer: nothing panics, what is kept is bounded, and the text that
/// a tree holds survives being written and read again.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_soap(data: &[u8]) {
    let Ok(document) = Document::parse(data) else { return };
    let all = document.root().descendants();
    let mut again = Writer::new();
    again.open("tt:All");
    for node in &all {
        again.leaf("tt:Text", node.text());
    }
    again.close();
    let again = again.finish();
    let read = Document::parse(again.as_bytes());
    // What came may be longer once escaped than what is taken.
    if let Ok(read) = read {
        let texts: Vec<&str> = read.root().children().map(|n| n.text()).collect();
        let given: Vec<&str> = all.iter().map(|n| n.text()).collect();
        assert_eq!(given, texts);
    }
    let _ = Request::of(&document);
}

/// The laws of the token, for a fuzzer: whatever stands in a security header, nothing panics, and
/// without the password nobody is let in.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_security(data: &[u8]) {
    let Ok(document) = Document::parse(data) else { return };
    for node in document.root().descendants() {
        if let Ok(Some(token)) = Token::of(node) {
            assert!(!token.is_right("a password that nobody sent", false));
            let mut used = Used::default();
            let first = used.spend(&token, token.created_ms, 300_000);
            assert_eq!(first, Spent::Good);
            assert_eq!(used.spend(&token, token.created_ms, 300_000), Spent::Again);
        }
    }
}
