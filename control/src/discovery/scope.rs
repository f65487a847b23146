//! Which scopes match (WS-Discovery 5.1): by segments of their paths, so that `hardware/D1` does
//! not match `hardware/D1-566`.

/// What scopes are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// As URIs, segment by segment; the one that is looked for may be shorter.
    Rfc3986,
    /// Byte by byte.
    Strcmp0,
    /// Only who has no scopes matches.
    None,
}

impl Rule {
    /// Of the attribute `MatchBy`; none: one that is not known here, which matches nothing.
    pub(crate) fn of(name: Option<&str>) -> Option<Self> {
        const BASE: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/";
        match name.map(|n| n.trim().strip_prefix(BASE).unwrap_or(n)) {
            None | Some("" | "rfc3986" | "rfc2396") => Some(Self::Rfc3986),
            Some("strcmp0") => Some(Self::Strcmp0),
            Some("none") => Some(Self::None),
            Some(_) => None,
        }
    }

    /// Whether a scope that is looked for matches one of ours.
    pub(crate) fn matches(self, wanted: &str, ours: &str) -> bool {
        match self {
            Self::Strcmp0 => wanted == ours,
            Self::None => false,
            Self::Rfc3986 => match (Parts::of(wanted), Parts::of(ours)) {
                (Some(a), Some(b)) => a.is_prefix_of(&b),
                _ => false,
            },
        }
    }
}

/// A URI, taken apart.
struct Parts {
    scheme: String,
    authority: String,
    segments: Vec<String>,
}

impl Parts {
    /// None: no URI, or one with segments that mean others (`.`, `..`).
    fn of(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let mut segments: Vec<String> =
            path.trim_start_matches('/').split('/').map(decoded).collect();
        // A slash at the end separates nothing.
        if segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        if segments.iter().any(|s| s == "." || s == "..") {
            return None;
        }
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        Some(Self { scheme, authority, segments })
    }

    fn is_prefix_of(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.authority == other.authority
            && other.segments.starts_with(&self.segments)
    }
}

/// Without percent signs (RFC 3986 2.1). What is no UTF-8 then matches nothing but itself.
pub(crate) fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 3;
            }
            (byte, _) => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_compared_whole() {
        let ours = "onvif://www.onvif.org/hardware/D1-566";
        let matches = |wanted: &str| Rule::Rfc3986.matches(wanted, ours);
        for good in [
            ours,
            "onvif://www.onvif.org",
            "onvif://www.onvif.org/",
            "ONVIF://WWW.onvif.ORG/hardware",
            "onvif://www.onvif.org/hardware/",
            "onvif://www.onvif.org/hardware/D1%2D566",
        ] {
            assert!(matches(good), "{good}");
        }
        for bad in [
            "onvif://www.onvif.org/hardware/D1",
            "onvif://www.onvif.org/Hardware",
            "onvif://www.onvif.org/hardware/D1-566/x",
            "onvif://www.onvif.org/x/../hardware",
            "http://www.onvif.org/hardware",
            "onvif://other",
            "hardware",
            "",
            "%",
            "onvif://www.onvif.org/é%",
        ] {
            assert!(!matches(bad), "{bad}");
        }
    }

    #[test]
    fn rules_by_their_names() {
        const BASE: &str = "http://schemas.xmlsoap.org/ws/2005/04/discovery/";
        assert_eq!(Rule::of(None), Some(Rule::Rfc3986));
        assert_eq!(Rule::of(Some(&format!("{BASE}rfc3986"))), Some(Rule::Rfc3986));
        assert_eq!(Rule::of(Some(&format!("{BASE}strcmp0"))), Some(Rule::Strcmp0));
        assert_eq!(Rule::of(Some(&format!("{BASE}ldap"))), None);
        assert!(Rule::Strcmp0.matches("a:b", "a:b") && !Rule::Strcmp0.matches("a:b", "A:b"));
        assert!(!Rule::None.matches("a:b", "a:b"));
    }
}
