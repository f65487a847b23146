//! What becomes of an answer by what the request said besides: not modified, a part of it, or
//! compressed (RFC 9110 sections 8.4, 13 and 14).

use super::At;
use super::parse::{Method, Request};
use super::respond::{Fault, FileBody, Payload, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;

/// Bodies from here on are compressed; shorter ones fit a packet anyway.
const MIN_GZIP: usize = 1024;
/// Longer ones are not: that would hold up everybody else. But for those that are always the same,
/// such as the description of the API: they are compressed once.
const MAX_GZIP: usize = 256 * 1024;
/// Longest of those, and most that are kept.
const MAX_SAME: usize = 4 << 20;
const MOST_SAME: usize = 4;

/// Compressed texts that are always the same, by their tags.
static SAME: Mutex<BTreeMap<String, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());

/// What a request says about the form of its answer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wants {
    method: Option<Method>,
    gzip: bool,
    none_match: Option<String>,
    modified_since: Option<String>,
    range: Option<String>,
    if_range: Option<String>,
}

impl Wants {
    /// Of a request.
    pub fn of(request: &Request) -> Self {
        let field = |name| request.header(name).map(str::to_owned);
        let match_all: Vec<&str> = request.headers("if-none-match").collect();
        Self {
            method: Some(request.method),
            gzip: request.headers("accept-encoding").any(takes_gzip),
            none_match: (!match_all.is_empty()).then(|| match_all.join(",")),
            modified_since: field("if-modified-since"),
            range: field("range"),
            if_range: field("if-range"),
        }
    }

    /// Gives an answer its form.
    pub fn shape(&self, response: Response) -> Response {
        let reads = matches!(self.method, Some(Method::Get | Method::Head));
        if !reads || response.status != 200 {
            return response;
        }
        let mut response = tagged(response);
        let compressible = is_compressible(&response);
        if compressible {
            response = response.vary("Accept-Encoding");
        }
        let compress = compressible && self.gzip && self.range.is_none();
        if compress {
            for (_, tag) in response.headers.iter_mut().filter(|(n, _)| *n == "ETag") {
                // Other bytes, so another tag (RFC 9110 8.8.3.3).
                *tag = format!("{}-gzip\"", tag.trim_end_matches('"'));
            }
        }
        if self.is_unmodified(&response) {
            response.headers.retain(|(n, _)| !["Content-Type", "Content-Disposition"].contains(n));
            return Response { status: 304, body: Payload::Own(Vec::new()), ..response };
        }
        if compress {
            return gzip(response);
        }
        match &self.range {
            Some(range) if self.method == Some(Method::Get) => self.cut(response, range),
            _ => response,
        }
    }

    /// RFC 9110 13.2.2: the tag decides, and only without one the time.
    fn is_unmodified(&self, response: &Response) -> bool {
        match &self.none_match {
            Some(tags) => {
                let Some(own) = response.find("ETag") else { return false };
                // Weak comparison (13.1.2). Who has the other coding has the same content.
                let plain = |tag: &str| tag.replace("-gzip\"", "\"");
                let mut tags = tags.split(',').map(|t| t.trim().trim_start_matches("W/"));
                tags.any(|tag| tag == "*" || plain(tag) == plain(own))
            }
            None => {
                let own = response.find("Last-Modified");
                own.is_some() && own == self.modified_since.as_deref()
            }
        }
    }

    /// RFC 9110 14.2: one range of bytes; several, or what is none, are answered with the whole.
    fn cut(&self, mut response: Response, range: &str) -> Response {
        if response.find("Accept-Ranges") != Some("bytes") {
            return response;
        }
        if let Some(condition) = &self.if_range
            && response.find("ETag") != Some(condition)
            && response.find("Last-Modified") != Some(condition)
        {
            return response;
        }
        let whole = response.body.len();
        match parse_range(range, whole) {
            None => response,
            Some(None) => {
                let message = format!("there are {whole} bytes, of which {range:?} is no part");
                let fault = Fault::new(416, "INVALID_VALUE", "Range not satisfiable", message);
                // What holds of this answer, too.
                response
                    .headers
                    .retain(|(n, _)| ["Accept-Ranges", "Vary", "Cache-Control"].contains(n));
                let mut said = fault.response(At::now());
                said.headers.append(&mut response.headers);
                said.header("Content-Range", format!("bytes */{whole}"))
            }
            Some(Some(part)) => {
                let field = format!("bytes {}-{}/{whole}", part.start, part.end - 1);
                let body = slice(response.body, &part);
                let response = Response { status: 206, body, ..response };
                response.header("Content-Range", field)
            }
        }
    }
}

/// Whether a list of codings (RFC 9110 12.5.3) lets gzip in.
fn takes_gzip(list: &str) -> bool {
    let mut any = false;
    for item in list.split(',') {
        let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
        let zero = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        match coding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return !zero,
            "*" => any = !zero,
            _ => {}
        }
    }
    any
}

/// With a strong tag of its bytes, if somebody may keep it.
fn tagged(response: Response) -> Response {
    let kept = response.find("Cache-Control").is_none_or(|c| !c.contains("no-store"));
    let bytes = response.body.bytes();
    if !kept || bytes.is_empty() || response.find("ETag").is_some() {
        return response;
    }
    let hash = Sha256::digest(bytes);
    let tag = hash[..12].iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    });
    response.header("ETag", format!("\"{tag}\""))
}

fn is_compressible(response: &Response) -> bool {
    let kind = response.find("Content-Type").unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    let text = kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/vnd.apple.mpegurl"
        );
    let length = response.body.bytes().len();
    let most = if is_same(response) { MAX_SAME } else { MAX_GZIP };
    text && (MIN_GZIP..=most).contains(&length) && response.find("Content-Encoding").is_none()
}

/// Whether an answer is the same for everybody, and has a tag.
fn is_same(response: &Response) -> bool {
    matches!(response.body, Payload::Shared(_)) && response.find("ETag").is_some()
}

fn gzip(response: Response) -> Response {
    let tag = response.find("ETag").map(str::to_owned);
    let Some(tag) = tag.filter(|_| response.body.len() > MAX_GZIP as u64) else {
        return gzip_now(response);
    };
    if let Some(bytes) = SAME.lock().get(&tag).map(Arc::clone) {
        return Response { body: Payload::Shared(bytes), ..response }
            .header("Content-Encoding", "gzip");
    }
    let mut response = gzip_now(response);
    if let Payload::Own(bytes) = &mut response.body {
        let bytes = Arc::new(std::mem::take(bytes));
        let mut same = SAME.lock();
        if same.len() >= MOST_SAME {
            same.clear();
        }
        same.insert(tag, Arc::clone(&bytes));
        response.body = Payload::Shared(bytes);
    }
    response
}

fn gzip_now(response: Response) -> Response {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    // Into memory, where nothing fails.
    let done = out.write_all(response.body.bytes()).and_then(|()| out.finish());
    match done {
        Ok(bytes) => {
            Response { body: Payload::Own(bytes), ..response }.header("Content-Encoding", "gzip")
        }
        Err(_) => response,
    }
}

/// A range of `length` bytes. None: it is not understood and does not count. `Some(None)`: there
/// are no such bytes.
fn parse_range(text: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (unit, set) = text.split_once('=')?;
    let (first, last) = set.split_once('-')?;
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than fit are far behind every end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let range = if first.trim().is_empty() {
        let suffix = number(last)?;
        length.saturating_sub(suffix)..length
    } else {
        let first = number(first)?;
        let last = if last.trim().is_empty() { u64::MAX } else { number(last)? };
        if last < first {
            return None;
        }
        first..last.saturating_add(1).min(length)
    };
    Some((range.start < range.end).then_some(range))
}

fn slice(body: Payload, range: &Range<u64>) -> Payload {
    if let Payload::File(FileBody { file, offset, .. }) = body {
        let (offset, length) = (offset + range.start, range.end - range.start);
        return Payload::File(FileBody { file, offset, length });
    }
    let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let part = body.bytes().get(index(range.start)..index(range.end));
    Payload::Own(part.unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn wants(fields: &[(&str, &str)]) -> Wants {
        let headers = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Wants::of(&Request {
            method: Method::Get,
            target: String::new(),
            segments: Vec::new(),
            query: Vec::new(),
            headers,
            body: Vec::new(),
        })
    }

    fn text(length: usize) -> Response {
        Response::new(200, "text/plain", Payload::Own(vec![b'x'; length]))
            .header("Accept-Ranges", "bytes")
    }

    #[test]
    fn text_is_compressed_for_those_who_take_it() {
        let shaped = wants(&[("accept-encoding", "br, gzip;q=0.5")]).shape(text(5000));
        assert_eq!(shaped.find("Content-Encoding"), Some("gzip"));
        assert_eq!(shaped.find("Vary"), Some("Accept-Encoding"));
        assert!(shaped.find("ETag").unwrap().ends_with("-gzip\""));
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(shaped.body.bytes()).read_to_end(&mut out).unwrap();
        assert_eq!(out, vec![b'x'; 5000]);
        for none in ["", "br", "gzip;q=0", "gzip; q=0.0", "*;q=0", "identity"] {
            let shaped = wants(&[("accept-encoding", none)]).shape(text(5000));
            assert_eq!(shaped.find("Content-Encoding"), None, "{none}");
            assert_eq!(shaped.find("Vary"), Some("Accept-Encoding"), "it could have been");
        }
        let all = [("accept-encoding", "*")];
        for other in [
            text(MIN_GZIP - 1),
            text(MAX_GZIP + 1),
            Response::new(200, "image/jpeg", Payload::Own(vec![0; 5000])),
            Response { status: 404, ..text(5000) },
        ] {
            assert_eq!(wants(&all).shape(other).find("Content-Encoding"), None);
        }
    }

    #[test]
    fn what_is_always_the_same_is_compressed_however_long() {
        let same = Arc::new(vec![b'y'; MAX_GZIP + 1]);
        for _ in 0..2 {
            let response = Response::new(200, "text/plain", Payload::Shared(Arc::clone(&same)));
            let shaped = wants(&[("accept-encoding", "gzip")]).shape(response);
            assert_eq!(shaped.find("Content-Encoding"), Some("gzip"));
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(shaped.body.bytes()).read_to_end(&mut out).unwrap();
            assert_eq!(out, *same);
        }
    }

    #[test]
    fn who_has_it_is_told_so() {
        let tag = wants(&[]).shape(text(2000)).find("ETag").unwrap().to_owned();
        let zipped = tag.replace("\"", "") + "-gzip";
        for (field, status) in [
            (tag.clone(), 304),
            (format!("\"x\", W/{tag}"), 304),
            (format!("\"{zipped}\""), 304),
            ("*".to_owned(), 304),
            ("\"x\"".to_owned(), 200),
            (String::new(), 200),
        ] {
            let shaped = wants(&[("if-none-match", &field)]).shape(text(2000));
            assert_eq!(shaped.status, status, "{field}");
            assert_eq!(shaped.body.bytes().is_empty(), status == 304);
            assert!(shaped.find("ETag").is_some());
        }
        let dated = || text(9).header("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT");
        let since = [("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")];
        assert_eq!(wants(&since).shape(dated()).status, 304);
        let both = [since[0], ("if-none-match", "\"x\"")];
        assert_eq!(wants(&both).shape(dated()).status, 200, "the tag decides");
        let secret = text(9).header("Cache-Control", "no-store");
        assert_eq!(wants(&[]).shape(secret).find("ETag"), None);
    }

    #[test]
    fn parts() {
        let cut = |range: &str| {
            let body = Payload::Own(b"0123456789".to_vec());
            let whole = Response::new(200, "video/mp4", body).header("Accept-Ranges", "bytes");
            let shaped = wants(&[("range", range)]).shape(whole);
            let text = String::from_utf8(shaped.body.bytes().to_vec()).unwrap();
            let part = if shaped.status == 416 {
                assert!(text.contains("there are 10 bytes"), "{text}");
                assert_eq!(shaped.find("Content-Type"), Some("application/json"));
                ""
            } else {
                &text
            };
            let field = shaped.find("Content-Range").unwrap_or("-");
            format!("{} {part} {field}", shaped.status)
        };
        assert_eq!(cut("bytes=0-0"), "206 0 bytes 0-0/10");
        assert_eq!(cut("bytes=2-4"), "206 234 bytes 2-4/10");
        assert_eq!(cut("bytes=7-"), "206 789 bytes 7-9/10");
        assert_eq!(cut("Bytes = 7-99"), "206 789 bytes 7-9/10");
        assert_eq!(cut("bytes=-3"), "206 789 bytes 7-9/10");
        assert_eq!(cut("bytes=-99"), "206 0123456789 bytes 0-9/10");
        assert_eq!(cut("bytes=10-"), "416  bytes */10");
        assert_eq!(cut("bytes=99999999999999999999-"), "416  bytes */10");
        assert_eq!(cut("bytes=-0"), "416  bytes */10");
        for whole in ["bytes=4-2", "bytes=1-2,4-5", "bytes=", "bytes=-", "lines=1-2", "bytes=a-b"] {
            assert_eq!(cut(whole), "200 0123456789 -", "{whole}");
        }
    }

    #[test]
    fn a_part_of_what_has_changed_is_the_whole() {
        let tag = wants(&[]).shape(text(10)).find("ETag").unwrap().to_owned();
        let cut = |condition: &str| {
            wants(&[("range", "bytes=1-2"), ("if-range", condition)]).shape(text(10)).status
        };
        assert_eq!((cut(&tag), cut("\"x\""), cut(&format!("W/{tag}"))), (206, 200, 200));
        let plain = Response::new(200, "text/plain", Payload::Own(vec![0; 10]));
        assert_eq!(wants(&[("range", "bytes=1-2")]).shape(plain).status, 200, "not offered");
    }

    #[test]
    fn a_part_of_a_file_is_a_file() {
        let path = std::env::temp_dir().join(format!("lensd-shape-{}", std::process::id()));
        std::fs::write(&path, "0123456789").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let whole = Response::file("video/mp4", file).unwrap();
        assert!(whole.find("ETag").is_some() && whole.find("Last-Modified").is_some());
        let shaped = wants(&[("range", "bytes=3-6"), ("accept-encoding", "gzip")]).shape(whole);
        assert_eq!(shaped.find("Content-Range"), Some("bytes 3-6/10"));
        let Payload::File(body) = &shaped.body else { panic!("{:?}", shaped.body) };
        assert_eq!((body.offset, body.length), (3, 4));
    }
}
