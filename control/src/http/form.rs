//! `multipart/form-data` that comes in pieces, for forms that are too long for memory: what
//! [`super::multipart`] says of a whole body, said as it comes.

use super::multipart::{Head, MAX_HEAD, MAX_PARTS, bad, boundary, find, part_head};
use super::respond::Fault;

/// Something in the form.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A field begins.
    Begin(Head),
    /// Bytes of it.
    Data(&'a [u8]),
    /// It is over.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Start,
    /// Behind a boundary.
    Boundary,
    /// Behind the blanks that follow it.
    Line,
    Head,
    Data,
    /// Behind the two dashes of the last boundary.
    Last,
    /// What follows has no meaning.
    Over,
}

/// Reads one form.
#[derive(Debug)]
pub struct FormReader {
    /// CR LF, two dashes, and the boundary.
    delimiter: Vec<u8>,
    /// What cannot be understood before more has come: less than a head and a delimiter.
    rest: Vec<u8>,
    state: State,
    parts: usize,
}

impl FormReader {
    /// Of a body of this Content-Type.
    ///
    /// # Errors
    /// 415 when it is no form, 400 when it has no boundary.
    pub fn new(content_type: &str) -> Result<Self, Fault> {
        let delimiter = [b"\r\n--", boundary(content_type)?.as_bytes()].concat();
        Ok(Self { delimiter, rest: Vec::new(), state: State::Start, parts: 0 })
    }

    /// Tells what the next bytes bring.
    ///
    /// # Errors
    /// 400 when the form is malformed; or what `tell` says.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut tell: impl FnMut(Step<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(used) = self.step(&rest[at..], &mut tell)? {
            at += used;
        }
        rest.drain(..at);
        self.rest = rest;
        Ok(())
    }

    /// No more will come.
    ///
    /// # Errors
    /// 400 when the form is not whole.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.state {
            State::Over => Ok(()),
            State::Last if self.rest.is_empty() => Ok(()),
            State::Last => Err(bad("something stands behind its end")),
            State::Start => Err(bad("it does not begin with its boundary")),
            _ => Err(bad("its end is missing")),
        }
    }

    /// One step; how many bytes it took, or none if it needs more.
    fn step(
        &mut self,
        bytes: &[u8],
        tell: &mut impl FnMut(Step<'_>) -> Result<(), Fault>,
    ) -> Result<Option<usize>, Fault> {
        match self.state {
            State::Start => {
                let first = &self.delimiter[2..];
                let skip = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
                if bytes.len() < skip + first.len() && first.starts_with(&bytes[skip..]) {
                    return Ok(None);
                }
                // A lone CR may become the line before the boundary.
                if bytes == b"\r" {
                    return Ok(None);
                }
                if !bytes[skip..].starts_with(first) {
                    return Err(bad("it does not begin with its boundary"));
                }
                self.state = State::Boundary;
                Ok(Some(skip + first.len()))
            }
            State::Boundary => match bytes {
                [] | [b'-'] => Ok(None),
                [b'-', b'-', ..] => {
                    self.state = State::Last;
                    Ok(Some(2))
                }
                _ => {
                    self.state = State::Line;
                    Ok(Some(0))
                }
            },
            // Blanks may stand behind a boundary: proxies have added them (RFC 2046 5.1.1).
            State::Line => match bytes {
                [b' ' | b'\t', ..] => Ok(Some(1)),
                [] | [b'\r'] => Ok(None),
                [b'\r', b'\n', ..] if self.parts < MAX_PARTS => {
                    self.parts += 1;
                    self.state = State::Head;
                    Ok(Some(2))
                }
                [b'\r', b'\n', ..] => Err(bad("more than 64 parts")),
                _ => Err(bad("a line at a boundary")),
            },
            State::Head => {
                if bytes.starts_with(b"\r\n") {
                    return Err(bad("a part without name"));
                }
                let window = &bytes[..bytes.len().min(MAX_HEAD)];
                match find(window, b"\r\n\r\n") {
                    Some(length) => {
                        tell(Step::Begin(part_head(&bytes[..length])?))?;
                        self.state = State::Data;
                        Ok(Some(length + 4))
                    }
                    None if bytes.len() >= MAX_HEAD => Err(bad("the head of a part")),
                    None => Ok(None),
                }
            }
            State::Data => match find(bytes, &self.delimiter) {
                Some(length) => {
                    if length > 0 {
                        tell(Step::Data(&bytes[..length]))?;
                    }
                    tell(Step::End)?;
                    self.state = State::Boundary;
                    Ok(Some(length + self.delimiter.len()))
                }
                None => {
                    // The end of these bytes may be the beginning of a delimiter.
                    let sure = (bytes.len() + 1).saturating_sub(self.delimiter.len());
                    if sure == 0 {
                        return Ok(None);
                    }
                    tell(Step::Data(&bytes[..sure]))?;
                    Ok(Some(sure))
                }
            },
            State::Last => match bytes {
                [] | [b'\r'] => Ok(None),
                [b'\r', b'\n', ..] => {
                    self.state = State::Over;
                    Ok(Some(2))
                }
                _ => Err(bad("something stands behind its end")),
            },
            State::Over => Ok((!bytes.is_empty()).then_some(bytes.len())),
        }
    }
}

/// What comes of a body in pieces of these sizes, in turn: names and bytes of the fields.
///
/// # Errors
/// As [`FormReader::feed`].
pub(super) fn collect(
    content_type: &str,
    body: &[u8],
    sizes: &[usize],
) -> Result<Vec<(Head, Vec<u8>)>, Fault> {
    let mut reader = FormReader::new(content_type)?;
    let (mut parts, mut open) = (Vec::new(), false);
    let (mut rest, mut sizes) = (body, sizes.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
        reader.feed(&rest[..size], |step| {
            match step {
                Step::Begin(head) => {
                    assert!(!std::mem::replace(&mut open, true));
                    parts.push((head, Vec::new()));
                }
                Step::Data(data) => {
                    assert!(open && !data.is_empty());
                    if let Some((_, bytes)) = parts.last_mut() {
                        bytes.extend_from_slice(data);
                    }
                }
                Step::End => assert!(std::mem::replace(&mut open, false)),
            }
            Ok(())
        })?;
        assert!(reader.rest.len() < MAX_HEAD + reader.delimiter.len(), "bounded");
        rest = &rest[size..];
    }
    reader.finish().map(|()| parts)
}
