//! A bounded tree of what came: one pass of quick-xml's reader into one list of nodes.
//!
//! Prefixes are resolved here and not by quick-xml's `NsReader`, because values are names too
//! (topics, types) and have to be resolved where they stand, when the reader has gone on.

use super::Ns;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::fmt;

/// Longest document in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Deepest element.
const MAX_DEPTH: usize = 32;
/// Most elements.
const MAX_NODES: usize = 4096;
/// Most attributes of an element, declarations of prefixes among them.
const MAX_ATTRIBUTES: usize = 64;
/// Most declarations of prefixes in a document.
const MAX_BINDINGS: usize = 256;
/// Longest text of an element, and longest value of an attribute.
const MAX_TEXT: usize = 16 * 1024;

/// Why a document is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than [`MAX_BODY`].
    TooLong,
    /// It is no XML, or more of it than is taken: what is wrong.
    Malformed(&'static str),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a request has at most {MAX_BODY} bytes"),
            Self::Malformed(why) => f.write_str(why),
        }
    }
}

/// Where an element's list of declared prefixes begins; the nearest declaration comes first.
type Binding = Option<u32>;

#[derive(Debug)]
struct Element {
    ns: Ns,
    local: String,
    /// Character data directly inside, put together.
    text: String,
    attributes: Vec<(Ns, String, String)>,
    bindings: Binding,
    first: Option<u32>,
    last: Option<u32>,
    next: Option<u32>,
}

/// A document.
#[derive(Debug)]
pub struct Document {
    elements: Vec<Element>,
    /// Prefix, what it means, and the declaration around it.
    bindings: Vec<(String, Ns, Binding)>,
}

const fn malformed<T>(why: &'static str) -> Result<T, Refused> {
    Err(Refused::Malformed(why))
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > MAX_BODY {
            return Err(Refused::TooLong);
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return malformed("this is not UTF-8") };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let mut document = Self { elements: Vec::new(), bindings: Vec::new() };
        let mut open: Vec<u32> = Vec::new();
        let mut begun = false;
        loop {
            let event =
                reader.read_event().map_err(|_| Refused::Malformed("this is not XML 1.0"))?;
            match event {
                Event::Start(start) => {
                    let index = document.add(&start, &open)?;
                    open.push(index);
                }
                Event::Empty(start) => _ = document.add(&start, &open)?,
                Event::End(_) => _ = open.pop(),
                Event::Text(text) => document.push(&open, &text.xml10_content())?,
                Event::CData(text) => document.push(&open, &text.xml10_content())?,
                Event::GeneralRef(name) => {
                    let known = match name.resolve_char_ref() {
                        Ok(Some(c)) => Some(c),
                        Ok(None) => match &*name.into_inner() {
                            "lt" => Some('<'),
                            "gt" => Some('>'),
                            "amp" => Some('&'),
                            "quot" => Some('"'),
                            "apos" => Some('\''),
                            _ => None,
                        },
                        Err(_) => None,
                    };
                    let Some(c) = known else { return malformed("there are no such entities") };
                    document.push(&open, c.encode_utf8(&mut [0; 4]))?;
                }
                Event::Decl(_) if !begun => {}
                Event::Decl(_) => return malformed("an XML declaration stands first"),
                Event::Comment(_) => {}
                Event::DocType(_) => return malformed("there must be no DOCTYPE (SOAP 1.2 5)"),
                Event::PI(_) => return malformed("there must be no PI (SOAP 1.2 5)"),
                Event::Eof => break,
            }
            begun = true;
        }
        if !open.is_empty() {
            return malformed("an element is not closed");
        }
        if document.elements.is_empty() {
            return malformed("there is no element");
        }
        Ok(document)
    }

    /// The outermost element.
    pub fn root(&self) -> Node<'_> {
        Node { document: self, index: 0 }
    }

    fn add(&mut self, start: &BytesStart<'_>, open: &[u32]) -> Result<u32, Refused> {
        if self.elements.len() >= MAX_NODES {
            return malformed("too many elements");
        }
        if open.len() >= MAX_DEPTH {
            return malformed("too many elements inside each other");
        }
        let parent = open.last().copied();
        if parent.is_none() && !self.elements.is_empty() {
            return malformed("there is more than one outermost element");
        }
        let mut bindings = parent.and_then(|p| self.elements[p as usize].bindings);
        let mut plain: Vec<(String, String)> = Vec::new();
        // One more than there may be, so that too many are noticed and never all of them read.
        for (count, attribute) in start.attributes().take(MAX_ATTRIBUTES + 1).enumerate() {
            if count == MAX_ATTRIBUTES {
                return malformed("too many attributes");
            }
            let Ok(attribute) = attribute else { return malformed("an attribute is malformed") };
            if attribute.value.len() > MAX_TEXT {
                return malformed("an attribute is too long");
            }
            let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) else {
                return malformed("an attribute has an entity that there is not");
            };
            if !is_text(&value) {
                return malformed("a character that XML does not have");
            }
            let name: &str = attribute.key.as_ref();
            let prefix = match name.split_once(':') {
                Some(("xmlns", prefix)) => prefix,
                None if name == "xmlns" => "",
                _ => {
                    plain.push((name.to_owned(), value.into_owned()));
                    continue;
                }
            };
            if self.bindings.len() >= MAX_BINDINGS {
                return malformed("too many namespaces");
            }
            self.bindings.push((prefix.to_owned(), Ns::of(value.trim()), bindings));
            bindings = u32::try_from(self.bindings.len() - 1).ok();
        }
        let name = start.name();
        let (ns, local) = self.resolve(bindings, name.as_ref(), true)?;
        let mut attributes = Vec::with_capacity(plain.len());
        for (name, value) in plain {
            let (ns, local) = self.resolve(bindings, &name, false)?;
            attributes.push((ns, local.to_owned(), value));
        }
        let (local, text) = (local.to_owned(), String::new());
        let index = u32::try_from(self.elements.len()).unwrap_or(u32::MAX);
        let (first, last, next) = (None, None, None);
        self.elements.push(Element { ns, local, text, attributes, bindings, first, last, next });
        if let Some(parent) = parent {
            let before = self.elements[parent as usize].last.replace(index);
            match before {
                Some(before) => self.elements[before as usize].next = Some(index),
                None => self.elements[parent as usize].first = Some(index),
            }
        }
        Ok(index)
    }

    /// What a name means. `element`: a name without a prefix has the default namespace.
    fn resolve<'a>(
        &self,
        bindings: Binding,
        name: &'a str,
        element: bool,
    ) -> Result<(Ns, &'a str), Refused> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if local.is_empty() || local.contains(':') {
            return malformed("a name is malformed");
        }
        match (prefix, element) {
            ("", false) => return Ok((Ns::None, local)),
            ("xml", _) => return Ok((Ns::Xml, local)),
            _ => {}
        }
        match self.binding(bindings, prefix) {
            Some(ns) => Ok((ns, local)),
            None if prefix.is_empty() => Ok((Ns::None, local)),
            None => malformed("a prefix is not declared"),
        }
    }

    fn binding(&self, mut from: Binding, prefix: &str) -> Option<Ns> {
        while let Some(index) = from {
            let (name, ns, outer) = self.bindings.get(index as usize)?;
            if name == prefix {
                return Some(*ns);
            }
            from = *outer;
        }
        None
    }

    fn push(&mut self, open: &[u32], text: &str) -> Result<(), Refused> {
        let Some(element) = open.last().and_then(|i| self.elements.get_mut(*i as usize)) else {
            return if text.trim().is_empty() {
                Ok(())
            } else {
                malformed("there is text outside of the outermost element")
            };
        };
        if element.text.len() + text.len() > MAX_TEXT {
            return malformed("a text is too long");
        }
        if !is_text(text) {
            return malformed("a character that XML does not have");
        }
        element.text.push_str(text);
        Ok(())
    }
}

/// Whether all are characters of XML 1.0 (2.2).
pub(super) fn is_text(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || "\t\n\r".contains(c) || c >= '\u{7f}')
        && !text.contains(['\u{fffe}', '\u{ffff}'])
}

/// An element.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    document: &'a Document,
    index: u32,
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?} {}>", self.ns(), self.local())
    }
}

impl<'a> Node<'a> {
    fn element(self) -> &'a Element {
        &self.document.elements[self.index as usize]
    }

    /// Its namespace.
    pub fn ns(self) -> Ns {
        self.element().ns
    }

    /// Its name without a prefix.
    pub fn local(self) -> &'a str {
        &self.element().local
    }

    /// Whether it has this name.
    pub fn is(self, ns: Ns, local: &str) -> bool {
        self.ns() == ns && self.local() == local
    }

    /// Its own text, without blanks around it.
    pub fn text(self) -> &'a str {
        self.element().text.trim_matches([' ', '\t', '\r', '\n'])
    }

    /// Its own text as it came: for values in which blanks count, such as passwords.
    pub fn raw_text(self) -> &'a str {
        &self.element().text
    }

    /// The elements in it.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let document = self.document;
        let node = move |index| Node { document, index };
        std::iter::successors(self.element().first.map(node), move |n| n.element().next.map(node))
    }

    /// It and all elements in it.
    pub fn descendants(self) -> Vec<Node<'a>> {
        let mut all = vec![self];
        let mut at = 0;
        while let Some(node) = all.get(at).copied() {
            all.extend(node.children());
            at += 1;
        }
        all
    }

    /// The first element in it of this name, whatever its namespace: clients mix them up, and no
    /// type of ONVIF's has two elements of one name.
    pub fn child(self, local: &str) -> Option<Node<'a>> {
        self.children().find(|n| n.local() == local)
    }

    /// The same along a path of names.
    pub fn path(self, path: &[&str]) -> Option<Node<'a>> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// All elements in it of this name.
    pub fn all(self, local: &'a str) -> impl Iterator<Item = Node<'a>> + use<'a> {
        self.children().filter(move |n| n.local() == local)
    }

    /// The text of the first element in it of this name, unless that is empty.
    pub fn value(self, local: &str) -> Option<&'a str> {
        self.child(local).map(Node::text).filter(|t| !t.is_empty())
    }

    /// The value of an attribute without a namespace.
    pub fn attribute(self, local: &str) -> Option<&'a str> {
        self.attribute_of(Ns::None, local)
    }

    /// The value of an attribute.
    pub fn attribute_of(self, ns: Ns, local: &str) -> Option<&'a str> {
        let found = self.element().attributes.iter().find(|(n, l, _)| *n == ns && l == local);
        found.map(|(_, _, value)| value.as_str())
    }

    /// What a prefix means where this element stands; the empty one is the default namespace.
    pub fn namespace(self, prefix: &str) -> Option<Ns> {
        self.document.binding(self.element().bindings, prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> &'static str {
        match Document::parse(text.as_bytes()) {
            Err(Refused::Malformed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_resolved_where_they_stand() {
        let text = "<?xml version='1.0'?><s:a xmlns:s='http://www.onvif.org/ver10/schema' x='1&amp;'>\
                    <b xmlns='http://www.onvif.org/ver10/device/wsdl' s:y='2'> t&#65;<c/>u </b>\
                    <s:b xmlns:s='urn:x'>s:x</s:b></s:a>";
        let document = Document::parse(text.as_bytes()).unwrap();
        let root = document.root();
        assert!(root.is(Ns::Tt, "a") && root.attribute("x") == Some("1&"));
        let b: Vec<Node<'_>> = root.all("b").collect();
        assert!(b[0].is(Ns::Tds, "b") && b[1].is(Ns::Other, "b"));
        assert_eq!((b[0].text(), b[0].raw_text()), ("tAu", " tAu "));
        assert_eq!(b[0].attribute_of(Ns::Tt, "y"), Some("2"));
        assert_eq!(b[0].child("c").map(Node::ns), Some(Ns::Tds));
        assert_eq!((b[1].namespace("s"), root.namespace("s")), (Some(Ns::Other), Some(Ns::Tt)));
        assert_eq!(root.descendants().len(), 4);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(MAX_DEPTH), "</a>".repeat(MAX_DEPTH));
        assert!(Document::parse(deep.as_bytes()).is_ok());
        assert!(why(&format!("<a>{deep}</a>")).contains("inside each other"));
        let many =
            |n: usize| format!("<a {}/>", (0..n).map(|i| format!("a{i}='' ")).collect::<String>());
        assert!(Document::parse(many(MAX_ATTRIBUTES).as_bytes()).is_ok());
        assert!(why(&many(MAX_ATTRIBUTES + 1)).contains("attributes"));
        let spaces = (0..6).map(|i| {
            let one: String = (0..50).map(|j| format!("xmlns:p{i}x{j}='u' ")).collect();
            format!("<a {one}/>")
        });
        assert!(why(&format!("<a>{}</a>", spaces.collect::<String>())).contains("namespaces"));
        assert!(why(&format!("<a>{}</a>", "<b/>".repeat(MAX_NODES))).contains("elements"));
        assert!(why(&format!("<a>{}</a>", "x".repeat(MAX_TEXT + 1))).contains("long"));
        assert!(why(&format!("<a b='{}'/>", "x".repeat(MAX_TEXT + 1))).contains("long"));
        let long = vec![b'a'; MAX_BODY + 1];
        assert_eq!(Document::parse(&long).unwrap_err(), Refused::TooLong);
    }

    #[test]
    fn what_is_dangerous_is_refused() {
        assert!(why("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>").contains("DOCTYPE"));
        assert!(why("<a>&b;</a>").contains("entities"));
        assert!(why("<a b='&c;'/>").contains("entity"));
        assert!(why("<a>&#0;</a>").len() > 5);
        assert!(why("<a><?php x?></a>").contains("PI"));
        for bad in [
            "",
            "  ",
            "x",
            "<a",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<p:a/>",
            "<a p:b=''/>",
            "<a b='1' b='2'/>",
            "<a b=1/>",
            "<a>\u{1}</a>",
            "<a:b:c xmlns:a='x'/>",
            "<a>&#xFFFF;</a>",
        ] {
            assert!(Document::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Document::parse(b"<a>\xff</a>").is_err());
    }
}
