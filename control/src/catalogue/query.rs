//! What a client asks of the list of recordings, as parameters behind the `?`.

use crate::engine::camera_number;
use crate::http::respond::Fault;
use lensd_ffi::catalogue::{MAX_LIMIT, MAX_OFFSET, MAX_TEXT, MediaType, Query, Sort, State};

fn invalid(key: &str, message: impl Into<String>) -> Fault {
    Fault::invalid_value(key, message)
}

fn number<T: std::str::FromStr>(key: &str, text: &str, what: &str) -> Result<T, Fault> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or_else(|| invalid(key, format!("Value must be {what}")))
}

/// A word of a set, or a refusal that names them all.
fn one_of<T: Copy>(
    key: &str,
    text: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Fault> {
    all.iter().copied().find(|one| word(*one) == text).ok_or_else(|| {
        let words: Vec<&str> = all.iter().map(|one| word(*one)).collect();
        invalid(key, format!("Value must be one of {}", words.join(", ")))
    })
}

fn bounded(key: &str, text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(invalid(key, format!("Value must have 1 to {MAX_TEXT} bytes")));
    }
    Ok(text.to_owned())
}

/// Reads the parameters of a list.
///
/// # Errors
/// 422, with the parameter that is unknown, given twice, or cannot be so: a filter that were
/// overlooked would show what was not asked for.
pub fn parse(parameters: &[(String, String)]) -> Result<Query, Fault> {
    const MS: &str = "a time in ms since 1970";
    let mut query = Query::default();
    let mut down = None;
    for (i, (key, text)) in parameters.iter().enumerate() {
        if parameters[..i].iter().any(|(other, _)| other == key) {
            return Err(invalid(key, "Value must be given once"));
        }
        match key.as_str() {
            "from" => query.from_ms = Some(number(key, text, MS)?),
            "to" => query.to_ms = Some(number(key, text, MS)?),
            "camera" => {
                let camera = camera_number(text);
                let message = "Value must be a camera's number; see /api/cameras";
                query.camera = Some(camera.ok_or_else(|| invalid(key, message))?);
            }
            "mode" => query.mode = Some(bounded(key, text)?),
            "type" | "media_type" => {
                query.media_type = Some(one_of(key, text, MediaType::ALL, MediaType::word)?);
            }
            "state" => query.state = Some(one_of(key, text, State::ALL, State::word)?),
            "size_min" => query.size_min = Some(number(key, text, "a number of bytes")?),
            "size_max" => query.size_max = Some(number(key, text, "a number of bytes")?),
            "tag" => query.tag = Some(bounded(key, text)?),
            "text" => query.text = Some(bounded(key, text)?),
            "sort" => {
                let (word, minus) =
                    text.strip_prefix('-').map_or((text.as_str(), false), |word| (word, true));
                query.sort = one_of(key, word, &Sort::ALL, Sort::word)?;
                down = down.or(Some(minus));
            }
            "order" => down = Some(one_of(key, text, &[false, true], way)?),
            "limit" => {
                let what = format!("between 1 and {MAX_LIMIT}");
                query.limit = number(key, text, &what)?;
            }
            "offset" => {
                let what = format!("between 0 and {MAX_OFFSET}");
                query.offset = number(key, text, &what)?;
            }
            "after" => query.after = Some(bounded_cursor(key, text)?),
            // Who asks, and what keeps answers from being kept.
            "token" | "t" | "_" => {}
            _ => return Err(invalid(key, format!("the parameter {key:?} is not known here"))),
        }
    }
    // Who says nothing gets the newest first.
    query.descending = down.unwrap_or(true);
    Ok(query)
}

const fn way(down: bool) -> &'static str {
    if down { "desc" } else { "asc" }
}

fn bounded_cursor(key: &str, text: &str) -> Result<String, Fault> {
    if text.len() > 4096 {
        return Err(invalid(key, "this is no `next` of a page"));
    }
    Ok(text.to_owned())
}

/// The laws of the parser, for a fuzzer: it takes or refuses, says which parameter, and never asks
/// more of the catalogue than that may answer without a refusal of its own but for the bounds.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let pairs: Vec<(String, String)> = text
        .split('&')
        .take(64)
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    match parse(&pairs) {
        Ok(query) => {
            let most = [&query.tag, &query.text, &query.mode];
            assert!(most.into_iter().flatten().all(|t| (1..=MAX_TEXT).contains(&t.len())));
        }
        Err(fault) => {
            assert_eq!(fault.status, 422);
            assert!(fault.key.is_some_and(|key| pairs.iter().any(|(k, _)| *k == *key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Query, String> {
        fuzz_query(text.as_bytes());
        let pairs = text.split('&').filter_map(|p| p.split_once('='));
        let pairs: Vec<_> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        parse(&pairs).map_err(|f| f.key.unwrap().into())
    }

    #[test]
    fn parameters_become_a_query() {
        assert_eq!(read(""), Ok(Query::default()));
        let all = read(
            "from=-5&to=7&camera=cam2&mode=video&type=image&state=ready&size_min=1&size_max=2&\
             tag=a&text=b c&sort=size&order=asc&limit=9&offset=8&after=x&token=t",
        );
        let want = Query {
            from_ms: Some(-5),
            to_ms: Some(7),
            camera: Some(2),
            mode: Some("video".into()),
            media_type: Some(MediaType::Image),
            state: Some(State::Ready),
            size_min: Some(1),
            size_max: Some(2),
            tag: Some("a".into()),
            text: Some("b c".into()),
            sort: Sort::Size,
            descending: false,
            limit: 9,
            offset: 8,
            after: Some("x".into()),
        };
        assert_eq!(all, Ok(want));
        assert!(!read("sort=name").unwrap().descending && read("sort=-name").unwrap().descending);
        assert!(!read("order=asc&sort=-size").unwrap().descending);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, key) in [
            ("from=x", "from"),
            ("to=1.5", "to"),
            ("camera=front", "camera"),
            ("type=sound", "type"),
            ("state=Ready", "state"),
            ("size_min=-1", "size_min"),
            ("size_max=+1", "size_max"),
            ("tag=", "tag"),
            ("sort=colour", "sort"),
            ("order=up", "order"),
            ("limit=", "limit"),
            ("offset=99999999999999999999", "offset"),
            ("form=1", "form"),
            ("from=1&from=2", "from"),
        ] {
            assert_eq!(read(text), Err(key.to_owned()), "{text}");
        }
    }
}
