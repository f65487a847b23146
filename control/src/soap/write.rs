//! Writes XML. What is given as text or as a value is escaped; names are the program's own.

use super::Ns;
use std::fmt::{Display, Write as _};

/// Writes one document or a part of one.
///
/// Names are written as `prefix:Name` with the prefixes of [`Ns::prefix`]; an envelope declares
/// all of them. There is no indentation: some clients read answers line by line.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    open: Vec<&'static str>,
    /// Whether the last start tag still waits for attributes or its end.
    inside: bool,
}

impl Writer {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins an element. What follows is in it until [`Writer::close`].
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.end_tag();
        self.out.push('<');
        self.out.push_str(name);
        self.open.push(name);
        self.inside = true;
        self
    }

    /// Ends the element that was begun last.
    ///
    /// # Panics
    /// In tests, if none is open.
    pub fn close(&mut self) -> &mut Self {
        debug_assert!(!self.open.is_empty(), "nothing is open");
        let Some(name) = self.open.pop() else { return self };
        if std::mem::take(&mut self.inside) {
            self.out.push_str("/>");
        } else {
            let _ = write!(self.out, "</{name}>");
        }
        self
    }

    /// An attribute of the element that was begun last. **Before anything is in it.**
    pub fn attribute(&mut self, name: &str, value: impl Display) -> &mut Self {
        debug_assert!(self.inside, "{name} must stand in a start tag");
        if self.inside {
            let _ = write!(self.out, " {name}=\"");
            self.escape(&value.to_string());
            self.out.push('"');
        }
        self
    }

    /// Text inside the element that was begun last.
    pub fn text(&mut self, text: impl Display) -> &mut Self {
        self.end_tag();
        self.escape(&text.to_string());
        self
    }

    /// An element with text in it.
    pub fn leaf(&mut self, name: &'static str, text: impl Display) -> &mut Self {
        self.open(name).text(text).close()
    }

    /// An element without anything in it.
    pub fn empty(&mut self, name: &'static str) -> &mut Self {
        self.open(name).close()
    }

    /// An element with text in it, if there is one.
    pub fn maybe(&mut self, name: &'static str, text: Option<impl Display>) -> &mut Self {
        if let Some(text) = text {
            self.leaf(name, text);
        }
        self
    }

    /// An element, and in it what `inside` writes.
    pub fn element(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        inside(self);
        self.close()
    }

    /// What another writer has written, into the element that was begun last.
    pub fn append(&mut self, other: &Written) -> &mut Self {
        self.end_tag();
        self.out.push_str(&other.0);
        self
    }

    /// Declares all prefixes that answers use.
    pub fn declare(&mut self, namespaces: &[Ns]) -> &mut Self {
        for ns in namespaces {
            self.attribute(&format!("xmlns:{}", ns.prefix()), ns.uri());
        }
        self
    }

    /// What was written, with everything closed.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    /// What was written, to be put into another document.
    pub fn fragment(self) -> Written {
        Written(self.finish())
    }

    fn end_tag(&mut self) {
        if std::mem::take(&mut self.inside) {
            self.out.push('>');
        }
    }

    fn escape(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                // Inside an attribute a reader would make a blank of them.
                '\r' | '\n' | '\t' => {
                    let _ = write!(self.out, "&#{};", u32::from(c));
                }
                // XML has no way to write them.
                c if !super::parse::is_text(c.encode_utf8(&mut [0; 4])) => {
                    self.out.push('\u{fffd}')
                }
                c => self.out.push(c),
            }
        }
    }
}

/// A part of a document that a [`Writer`] has written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text() {
        let mut w = Writer::new();
        w.open("a").attribute("x", "\"<&\n").element("b", |w| {
            w.leaf("c", 1.5).empty("d").maybe("e", None::<&str>).maybe("f", Some(true));
        });
        w.text("<\u{1}>");
        let want =
            "<a x=\"&quot;&lt;&amp;&#10;\"><b><c>1.5</c><d/><f>true</f></b>&lt;\u{fffd}&gt;</a>";
        assert_eq!(w.finish(), want);
    }

    #[test]
    fn a_part_goes_into_another_document() {
        let mut part = Writer::new();
        part.leaf("b", "&");
        let part = part.fragment();
        let mut w = Writer::new();
        w.open("a").append(&part).append(&part);
        assert_eq!(w.finish(), "<a><b>&amp;</b><b>&amp;</b></a>");
    }
}
