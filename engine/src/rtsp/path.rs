//! What a request's URI asks for.

use super::transport::Lower;
use crate::config::{Extensions, Join};
use crate::sdp::{METADATA_TRACK, TRACK};

/// A URI, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// Without leading and trailing slash, query and track: `stream1`, `cam1/main`.
    pub name: String,
    /// Whether it named the track, not the presentation.
    pub track: bool,
    /// `?tcp` or `?udp`.
    pub only: Option<Lower>,
    /// `?multicast`.
    pub multicast: bool,
    /// `?metadata`: they come beside the video.
    pub metadata: bool,
    /// Whether the track that it named is that of metadata.
    pub second: bool,
    /// `?token=`.
    pub token: Option<String>,
    /// `?join=`.
    pub join: Option<Join>,
    /// `?ext=ntp-64,abs-capture-time`, or `?ext=none`.
    pub extensions: Option<Extensions>,
    /// Whether there was a query at all.
    pub has_query: bool,
}

impl Path {
    /// Takes a URI apart: `rtsp://host:port/name[/trackID=0][?query]`, or only the path. What the
    /// query holds besides is ignored, since players add things of their own.
    pub fn parse(uri: &str) -> Self {
        let rest = match uri.split_once("://") {
            Some((_, rest)) => rest.find(['/', '?']).map_or("", |i| &rest[i..]),
            None => uri,
        };
        // A track is appended to the base URL, query included, by some clients; so both
        // `/name/trackID=0?q` and `/name?q/trackID=0` occur.
        let find = |name| rest.find(name).map(|at| (at, name));
        let found = find(TRACK).or_else(|| find(METADATA_TRACK));
        let (rest, track) = match found {
            Some((i, name)) => (format!("{}{}", &rest[..i], &rest[i + name.len()..]), true),
            None => (rest.to_owned(), false),
        };
        let second = found.is_some_and(|(_, name)| name == METADATA_TRACK);
        let (path, query) =
            rest.split_once('?').map_or((rest.as_str(), None), |(p, q)| (p, Some(q)));
        let mut out = Self {
            name: decode(path.trim_matches('/')),
            track,
            second,
            has_query: query.is_some(),
            ..Self::default()
        };
        for item in query.unwrap_or_default().trim_end_matches('/').split('&') {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match (key, value) {
                ("tcp", _) => out.only = Some(Lower::Tcp),
                ("udp", _) => out.only = Some(Lower::Udp),
                ("multicast", _) => out.multicast = true,
                ("metadata", _) => out.metadata = true,
                ("token", value) => out.token = Some(decode(value)),
                ("join", "key") => out.join = Some(Join::Key),
                ("join", "gop") => out.join = Some(Join::Gop),
                ("ext", names) => out.extensions = Some(Extensions::parse(&decode(names))),
                _ => {}
            }
        }
        out
    }

    /// Whether it leads to metadata, not to video.
    pub fn is_metadata(&self) -> bool {
        self.second || super::metadata::camera_of(&self.name).is_some()
    }
}

/// Percent decoding (RFC 3986 section 2.1); what is no valid code stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let code = (bytes[i] == b'%')
            .then(|| text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok()))
            .flatten();
        out.push(code.unwrap_or(bytes[i]));
        i += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it() {
        for (uri, name, track) in [
            ("rtsp://h:8554/stream1", "stream1", false),
            ("rtsp://h:8554/stream1/", "stream1", false),
            ("rtsp://h/cam1/main/trackID=0", "cam1/main", true),
            ("rtsp://h/stream1?tcp/trackID=0", "stream1", true),
            ("rtsp://h/stream1/trackID=0?tcp", "stream1", true),
            ("rtsp://u:p@h/stream%31", "stream1", false),
            ("/stream1", "stream1", false),
            ("rtsp://h", "", false),
            ("*", "*", false),
        ] {
            let path = Path::parse(uri);
            assert_eq!((path.name.as_str(), path.track), (name, track), "{uri}");
        }
    }

    #[test]
    fn the_query_is_understood_wherever_the_track_stands() {
        for uri in [
            "rtsp://h/s?udp&token=a%2Fb&join=gop&ext=ntp-64&x=1/trackID=0",
            "rtsp://h/s?udp&token=a%2Fb&join=gop&ext=ntp-64",
        ] {
            let path = Path::parse(uri);
            assert_eq!(path.only, Some(Lower::Udp));
            assert_eq!(path.token.as_deref(), Some("a/b"));
            assert_eq!(path.join, Some(Join::Gop));
            assert_eq!(path.extensions.map(Extensions::name), Some("ntp-64"));
        }
    }

    #[test]
    fn metadata_are_a_path_or_the_second_track() {
        for (uri, name, second, metadata) in [
            ("rtsp://h/cam1/metadata", "cam1/metadata", false, true),
            ("rtsp://h/cam1/metadata/trackID=1", "cam1/metadata", true, true),
            ("rtsp://h/cam1/main/trackID=1?metadata", "cam1/main", true, true),
            ("rtsp://h/cam1/main?metadata&multicast", "cam1/main", false, false),
        ] {
            let path = Path::parse(uri);
            assert_eq!((path.name.as_str(), path.second), (name, second), "{uri}");
            assert_eq!(path.is_metadata(), metadata, "{uri}");
        }
        let path = Path::parse("rtsp://h/s?metadata&multicast");
        assert!(path.metadata && path.multicast);
    }

    #[test]
    fn extensions_are_named_with_commas_between() {
        for (uri, want) in [
            ("rtsp://h/s", None),
            ("rtsp://h/s?ext=", Some("none")),
            ("rtsp://h/s?ext=none", Some("none")),
            ("rtsp://h/s?ext=ntp64", Some("ntp-64")),
            ("rtsp://h/s?ext=x,abs-capture-time", Some("abs-capture-time")),
            ("rtsp://h/s?ext=abs-capture-time%2Cntp-64&tcp/", Some("ntp-64,abs-capture-time")),
        ] {
            assert_eq!(Path::parse(uri).extensions.map(Extensions::name), want, "{uri}");
        }
    }
}
