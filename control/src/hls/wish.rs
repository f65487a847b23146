//! What a player asks for: a file by its name, and the directives of a blocking request.

use std::fmt;

/// A file of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    /// The multivariant playlist.
    Index,
    /// The media playlist.
    Live,
    /// An init segment: the first segment of its window, and its number there.
    Init(u64, u64),
    /// A segment by its media sequence number.
    Segment(u64),
    /// A part: the first segment of its window, and its number there.
    Part(u64, u64),
}

impl File {
    /// By its name. None: there is no such file.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let pair = |text: &str| {
            let (birth, number) = text.split_once('-')?;
            Some((number_of(birth)?, number_of(number)?))
        };
        match name {
            "index.m3u8" => return Some(Self::Index),
            "live.m3u8" => return Some(Self::Live),
            _ => {}
        }
        let (kind, rest) = name.strip_suffix(".mp4")?.split_once('-')?;
        match kind {
            "init" => pair(rest).map(|(birth, number)| Self::Init(birth, number)),
            "part" => pair(rest).map(|(birth, number)| Self::Part(birth, number)),
            "segment" => number_of(rest).map(Self::Segment),
            _ => None,
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index => f.write_str("index.m3u8"),
            Self::Live => f.write_str("live.m3u8"),
            Self::Init(birth, number) => write!(f, "init-{birth}-{number}.mp4"),
            Self::Segment(number) => write!(f, "segment-{number}.mp4"),
            Self::Part(birth, number) => write!(f, "part-{birth}-{number}.mp4"),
        }
    }
}

/// A `decimal-integer` (RFC 8216 4.2): digits, in 64 bits; written in one way only.
fn number_of(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// Which version of a playlist is waited for (draft-pantos-hls-rfc8216bis 6.2.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// The segment that must be in it (`_HLS_msn`).
    pub(crate) msn: u64,
    /// The part of it that is enough (`_HLS_part`); none: all of it.
    pub(crate) part: Option<u64>,
}

impl Since {
    /// Of a decoded query; none: the playlist as it is. What is not a directive is not looked at.
    ///
    /// # Errors
    /// What is wrong with them, for a client.
    pub(crate) fn parse(query: &[(String, String)]) -> Result<Option<Self>, String> {
        let msn = one(query, "_HLS_msn")?;
        let part = one(query, "_HLS_part")?;
        match (msn, part) {
            (Some(msn), part) => Ok(Some(Self { msn, part })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err("_HLS_part needs _HLS_msn, whose part it is".to_owned()),
        }
    }
}

/// A directive that is a number.
fn one(query: &[(String, String)], name: &str) -> Result<Option<u64>, String> {
    let mut values = query.iter().filter(|(n, _)| n == name).map(|(_, value)| value);
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(format!("{name} is there twice"));
    }
    let Some(text) = first else { return Ok(None) };
    match number_of(text) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("{name} must be a whole number from 0 to {}, in digits", u64::MAX)),
    }
}

/// Whatever is asked, reading it ends, and what is understood is written as it was read.
#[doc(hidden)]
pub fn fuzz_hls(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for name in text.split(['?', '/']) {
        if let Some(file) = File::parse(name) {
            assert_eq!(file.to_string(), name);
        }
    }
    let query: Vec<(String, String)> = text
        .split('&')
        .filter_map(|item| item.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match Since::parse(&query) {
        Ok(Some(Since { msn, part })) => {
            let said = |name: &str, n: u64| query.contains(&(name.to_owned(), n.to_string()));
            assert!(said("_HLS_msn", msn) && part.is_none_or(|n| said("_HLS_part", n)));
        }
        Ok(None) => assert!(query.iter().all(|(n, _)| n != "_HLS_msn" && n != "_HLS_part")),
        Err(why) => assert!(why.starts_with("_HLS_")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_one_name_each() {
        for name in [
            "index.m3u8",
            "live.m3u8",
            "init-7-0.mp4",
            "segment-12.mp4",
            "part-7-18446744073709551615.mp4",
        ] {
            assert_eq!(File::parse(name).map(|file| file.to_string()).as_deref(), Some(name));
        }
        for name in [
            "",
            "index.m3u",
            "segment-.mp4",
            "segment-01.mp4",
            "segment-+1.mp4",
            "segment-1-2.mp4",
            "part-1.mp4",
            "part-1-2-3.mp4",
            "part-1-18446744073709551616.mp4",
            "init-1-2.m4s",
            "other-1.mp4",
        ] {
            assert_eq!(File::parse(name), None, "{name}");
        }
    }

    #[test]
    fn directives_are_numbers_and_refused_with_words() {
        let parse = |query: &str| {
            let pair = |item: &str| item.split_once('=').map(|(n, v)| (n.into(), v.into()));
            Since::parse(&query.split('&').filter_map(pair).collect::<Vec<_>>())
        };
        assert_eq!(parse("token=x"), Ok(None));
        assert_eq!(
            parse("_HLS_skip=YES"),
            Ok(None),
            "nothing is skipped, which a client must take"
        );
        assert_eq!(parse("_HLS_msn=5"), Ok(Some(Since { msn: 5, part: None })));
        assert_eq!(parse("_HLS_part=0&_HLS_msn=5"), Ok(Some(Since { msn: 5, part: Some(0) })));
        for (query, word) in [
            ("_HLS_part=1", "needs _HLS_msn"),
            ("_HLS_msn=-1", "whole number"),
            ("_HLS_msn=", "whole number"),
            ("_HLS_msn=1.5", "whole number"),
            ("_HLS_msn=99999999999999999999", "whole number"),
            ("_HLS_msn=1&_HLS_part=x", "_HLS_part must"),
            ("_HLS_msn=1&_HLS_msn=1", "twice"),
        ] {
            let why = parse(query).unwrap_err();
            assert!(why.contains(word), "{query}: {why}");
        }
    }
}
