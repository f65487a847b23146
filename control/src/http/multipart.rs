//! `multipart/form-data` (RFC 7578, RFC 2046 5.1) in a body that is here as a whole.
//!
//! Parts are slices of the body: nothing is copied, and there are at most as many as
//! [`MAX_PARTS`].

use super::respond::Fault;

/// Most parts of a form.
pub const MAX_PARTS: usize = 64;
/// Most bytes of the header fields of a part.
pub(super) const MAX_HEAD: usize = 4096;
/// Longest boundary (RFC 2046 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its name.
    pub name: String,
    /// The name that its file had, without any folder.
    pub filename: Option<String>,
    /// What it says that it is.
    pub content_type: Option<String>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

pub(super) fn bad(message: &str) -> Fault {
    Fault::new(400, "BAD_REQUEST", "Bad request", format!("malformed form: {message}"))
}

/// The fields of a form.
///
/// # Errors
/// 415 when it is no form, 400 when it is malformed.
pub fn parse<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, Fault> {
    let boundary = boundary(content_type)?;
    let delimiter = [b"--", boundary.as_bytes()].concat();
    // What stands before the first delimiter has no meaning (RFC 2046 5.1.1); here there is none.
    let mut rest = body.strip_prefix(b"\r\n").unwrap_or(body);
    rest =
        rest.strip_prefix(&*delimiter).ok_or_else(|| bad("it does not begin with its boundary"))?;
    let mut parts = Vec::new();
    let end = [b"\r\n", &*delimiter].concat();
    loop {
        if let Some(rest) = rest.strip_prefix(b"--") {
            if rest.is_empty() || rest.starts_with(b"\r\n") {
                return Ok(parts);
            }
            return Err(bad("something stands behind its end"));
        }
        // Blanks may stand behind a boundary: proxies have added them (RFC 2046 5.1.1).
        let blanks = rest.iter().take_while(|b| **b == b' ' || **b == b'\t').count();
        rest = rest[blanks..].strip_prefix(b"\r\n").ok_or_else(|| bad("a line at a boundary"))?;
        if parts.len() == MAX_PARTS {
            return Err(bad("more than 64 parts"));
        }
        let (head, from) = match rest.strip_prefix(b"\r\n") {
            Some(_) => (&rest[..0], 2),
            None => {
                let head = &rest[..rest.len().min(MAX_HEAD)];
                let length = find(head, b"\r\n\r\n").ok_or_else(|| bad("the head of a part"))?;
                (&rest[..length], length + 4)
            }
        };
        let content = &rest[from..];
        let length = find(content, &end).ok_or_else(|| bad("its end is missing"))?;
        parts.push(part(head, &content[..length])?);
        rest = &content[length + end.len()..];
    }
}

pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|b| *b == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The boundary that a Content-Type names.
pub(super) fn boundary(content_type: &str) -> Result<String, Fault> {
    let other = || {
        let message = "the body must be multipart/form-data";
        Fault::new(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported media type", message)
    };
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(other());
    }
    let boundary = parameter(parameters, "boundary").ok_or_else(|| bad("no boundary"))?;
    // RFC 2046 5.1.1: bchars, and no blank at the end.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let good = (1..=MAX_BOUNDARY).contains(&boundary.len()) && boundary.bytes().all(allowed);
    if good && !boundary.ends_with(' ') { Ok(boundary) } else { Err(bad("its boundary")) }
}

/// What stands before the bytes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// The name that its file had, without any folder.
    pub filename: Option<String>,
    /// What it says that it is.
    pub content_type: Option<String>,
}

fn part<'a>(head: &[u8], bytes: &'a [u8]) -> Result<Part<'a>, Fault> {
    let Head { name, filename, content_type } = part_head(head)?;
    Ok(Part { name, filename, content_type, bytes })
}

pub(super) fn part_head(head: &[u8]) -> Result<Head, Fault> {
    let head = std::str::from_utf8(head).map_err(|_| bad("a head that is not UTF-8"))?;
    let mut part = None;
    let mut content_type = None;
    for line in head.split("\r\n").filter(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a header field"))?;
        if name.eq_ignore_ascii_case("content-disposition") {
            let (kind, parameters) = value.split_once(';').unwrap_or((value, ""));
            if part.is_some() || !kind.trim().eq_ignore_ascii_case("form-data") {
                return Err(bad("a part that is not form-data"));
            }
            let name = parameter(parameters, "name").ok_or_else(|| bad("a part without name"))?;
            part = Some((name, parameter(parameters, "filename").map(|f| base_name(&f))));
        } else if name.eq_ignore_ascii_case("content-type") {
            content_type = Some(value.trim().to_owned());
        } else if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"].contains(&&*value.trim().to_ascii_lowercase())
        {
            // RFC 7578 4.7: nobody sends it any more.
            return Err(bad("an encoding of a part"));
        }
    }
    let (name, filename) = part.ok_or_else(|| bad("a part without name"))?;
    Ok(Head { name, filename, content_type })
}

/// A file's name as browsers send it, which may be a whole path.
fn base_name(path: &str) -> String {
    let base = path.rsplit(['/', '\\']).next().unwrap_or_default();
    base.chars().filter(|c| !c.is_control()).collect()
}

/// The value of a parameter, quoted or not. In quotes `\"` and `%22` are a quote (RFC 7578 4.2,
/// HTML 4.10.21.8).
fn parameter(text: &str, wanted: &str) -> Option<String> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, value) = rest.split_once('=')?;
        let mut out = String::new();
        let used = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut chars = quoted.char_indices();
                loop {
                    match chars.next()? {
                        (at, '"') => break at + 2,
                        // Only a quote is escaped: Windows paths hold lone backslashes.
                        (at, '\\') if quoted[at + 1..].starts_with('"') => {
                            out.push('"');
                            chars.next();
                        }
                        (_, c) => out.push(c),
                    }
                }
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                out.push_str(value[..end].trim());
                end
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(out.replace("%22", "\""));
        }
        rest = &value[used..];
    }
}

/// The laws of the parser, for a fuzzer: parts are slices of the body in their order, none holds
/// the boundary's line, and a form that is written again from its parts is read as the same.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_multipart(data: &[u8]) {
    const TYPE: &str = "multipart/form-data; boundary=xYz";
    let _ = parse(&String::from_utf8_lossy(data), data);
    let whole = parse(TYPE, data);
    let sizes: Vec<usize> = data.iter().take(7).map(|b| usize::from(*b) + 1).collect();
    for sizes in [&[1][..], &[usize::MAX], &sizes] {
        let pieces = super::form::collect(TYPE, data, sizes);
        match (&whole, pieces) {
            (Ok(parts), Ok(pieces)) => {
                assert_eq!(parts.len(), pieces.len());
                for (part, (head, bytes)) in parts.iter().zip(pieces) {
                    assert_eq!((&part.name, &part.filename), (&head.name, &head.filename));
                    assert_eq!((&part.content_type, part.bytes), (&head.content_type, &*bytes));
                }
            }
            (Err(_), Err(_)) => {}
            (whole, pieces) => panic!("{whole:?} as a whole, {pieces:?} in pieces of {sizes:?}"),
        }
    }
    let Ok(parts) = whole else { return };
    assert!(parts.len() <= MAX_PARTS);
    let mut again = b"--xYz".to_vec();
    for part in &parts {
        assert!(find(part.bytes, b"\r\n--xYz").is_none(), "a part ends at the first boundary");
        again.extend_from_slice(b"\r\nContent-Disposition: form-data; name=\"");
        again.extend_from_slice(part.name.replace('"', "%22").as_bytes());
        again.push(b'"');
        if let Some(filename) = &part.filename {
            again.extend_from_slice(b"; filename=\"");
            again.extend_from_slice(filename.replace('"', "%22").as_bytes());
            again.push(b'"');
        }
        if let Some(content_type) = &part.content_type {
            again.extend_from_slice(format!("\r\nContent-Type: {content_type}").as_bytes());
        }
        again.extend_from_slice(b"\r\n\r\n");
        again.extend_from_slice(part.bytes);
        again.extend_from_slice(b"\r\n--xYz");
    }
    again.extend_from_slice(b"--\r\n");
    let strange = |text: &str| text.contains(['\\', '\r', '\n']) || text.contains("%22");
    if parts.iter().any(|p| strange(&p.name) || p.filename.as_deref().is_some_and(strange)) {
        return;
    }
    let read = parse(TYPE, &again);
    // Escapes may make a head longer than a head may be.
    assert!(read.is_err() || read.as_ref() == Ok(&parts), "{read:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"b 1\"";

    fn read(body: &str) -> Result<Vec<Part<'_>>, u16> {
        fuzz_multipart(body.replace("b 1", "xYz").as_bytes());
        parse(TYPE, body.as_bytes()).map_err(|f| f.status)
    }

    #[test]
    fn a_form_as_browsers_send_it() {
        let body = "--b 1\r\nContent-Disposition: form-data; name=\"a%22b\"\r\n\r\nvalue\r\n\
            --b 1  \r\ncontent-type: image/png\r\n\
            Content-Disposition: form-data; filename=\"C:\\x\\\\y \\\"1\\\".png\"; name=f\r\n\r\n\
            \x01\r\n--b\r\n\r\n--b 1--\r\nepilogue";
        let parts = read(body).unwrap();
        assert_eq!((&*parts[0].name, parts[0].bytes), ("a\"b", &b"value"[..]));
        assert_eq!(parts[1].name, "f");
        assert_eq!(parts[1].filename.as_deref(), Some("y \"1\".png"));
        assert_eq!(parts[1].content_type.as_deref(), Some("image/png"));
        assert_eq!(parts[1].bytes, b"\x01\r\n--b\r\n");
        assert_eq!(read("--b 1--\r\n"), Ok(Vec::new()));
        assert_eq!(parse("Multipart/Form-Data;charset=x; Boundary=q", b"--q--"), Ok(Vec::new()));
    }

    /// Random edits of a good form, from a fixed seed, under the fuzzer's laws.
    #[test]
    fn the_laws_hold_for_random_forms() {
        const ODD: &[u8] = b"\r\n -:;=\"\\%2/xYz\0\xff";
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let good = "--xYz\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b/c\"\r\n\
            Content-Type: text/plain\r\n\r\nvalue\r\n--xYz \r\n\
            Content-Disposition: form-data; name=x\r\n\r\n\r\n--xYz--\r\n";
        for _ in 0..50_000 {
            let mut data = good.as_bytes().to_vec();
            for _ in 0..random(5) {
                let at = random(data.len());
                let byte = ODD[random(ODD.len())];
                match random(3) {
                    0 => data[at] = byte,
                    1 => data.insert(at, byte),
                    _ => _ = data.remove(at),
                }
            }
            fuzz_multipart(&data);
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let field = "Content-Disposition: form-data; name=a";
        for body in [
            String::new(),
            "x--b 1--".into(),
            "--b 1".into(),
            "--b 1--x".into(),
            "--b 1\n".into(),
            format!("--b 1\r\n{field}\r\n\r\nno end"),
            format!("--b 1\r\n{field}\r\n\r\nx\r\n--b 1"),
            "--b 1\r\n\r\nx\r\n--b 1--".into(),
            "--b 1\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b 1--".into(),
            "--b 1\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b 1--".into(),
            format!("--b 1\r\n{field}\r\n{field}\r\n\r\nx\r\n--b 1--"),
            format!("--b 1\r\n{field}\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b 1--"),
            format!("--b 1\r\nX: {}\r\n{field}\r\n\r\nx\r\n--b 1--", "x".repeat(MAX_HEAD)),
            format!(
                "--b 1\r\n{}--",
                format!("{field}\r\n\r\nx\r\n--b 1\r\n").repeat(MAX_PARTS + 1)
            ),
        ] {
            assert_eq!(read(&body), Err(400), "{body:?}");
        }
        for (kind, status) in [
            ("application/json", 415),
            ("", 415),
            ("multipart/form-data", 400),
            ("multipart/form-data; boundary=", 400),
            ("multipart/form-data; boundary=\"a\r\"", 400),
            ("multipart/form-data; boundary=\"a \"", 400),
        ] {
            assert_eq!(parse(kind, b"--a--").map_err(|f| f.status), Err(status), "{kind}");
        }
        assert!(parse(&format!("multipart/form-data; boundary={}", "a".repeat(71)), b"").is_err());
    }
}
