//! The few parts of an `rtsp://` URL that a client needs.

use std::net::{SocketAddr, ToSocketAddrs};

/// A parsed `rtsp://[user[:password]@]host[:port][/path]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtspUrl {
    /// `host` or `host:port`, as written; IPv6 in brackets.
    authority: String,
    /// Path and query, with its slash; may be empty.
    path: String,
    /// User of the URL, if any.
    pub user: Option<String>,
    /// Password of the URL, if any.
    pub password: Option<String>,
}

impl RtspUrl {
    /// Parses `text`; the error is a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("rtsp://").ok_or_else(|| {
            format!("{text}: the URL must start with rtsp:// (TLS is not measured here)")
        })?;
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (login, authority) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        if authority.is_empty() {
            return Err(format!("{text}: the URL names no host"));
        }
        let (user, password) = match login.map(|l| l.split_once(':').unwrap_or((l, ""))) {
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
            None => (None, None),
        };
        Ok(Self { authority: authority.to_owned(), path: path.to_owned(), user, password })
    }

    /// The URL without user and password, as requests carry it.
    pub fn request_uri(&self) -> String {
        format!("rtsp://{}{}", self.authority, self.path)
    }

    /// The first address that the host has; port 554 if none is written.
    pub fn resolve(&self) -> Result<SocketAddr, String> {
        let has_port =
            self.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host =
            if has_port { self.authority.clone() } else { format!("{}:554", self.authority) };
        let mut found = host.to_socket_addrs().map_err(|e| format!("{host}: {e}"))?;
        found.next().ok_or_else(|| format!("{host}: no address"))
    }
}

/// The URI of a `control` attribute relative to `base` (RFC 2326 appendix C.1.1).
///
/// Every server in use means "append after a slash", not RFC 3986 resolution.
pub fn join(base: &str, control: &str) -> String {
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    if control.starts_with("rtsp://") || control.starts_with("rtsps://") {
        return control.to_owned();
    }
    let slash = if base.ends_with('/') { "" } else { "/" };
    format!("{base}{slash}{}", control.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let url = RtspUrl::parse("rtsp://me:p@ss@127.0.0.1:8554/a/b?tcp").unwrap();
        assert_eq!(url.request_uri(), "rtsp://127.0.0.1:8554/a/b?tcp");
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("me"), Some("p@ss")));
        assert_eq!(url.resolve().unwrap().to_string(), "127.0.0.1:8554");
        let bare = RtspUrl::parse("rtsp://127.0.0.1").unwrap();
        assert_eq!(bare.resolve().unwrap().port(), 554);
        assert!(RtspUrl::parse("http://x/").is_err());
        assert!(RtspUrl::parse("rtsp:///x").is_err());
    }

    #[test]
    fn controls() {
        assert_eq!(join("rtsp://h/a/", "trackID=0"), "rtsp://h/a/trackID=0");
        assert_eq!(join("rtsp://h/a", "trackID=0"), "rtsp://h/a/trackID=0");
        assert_eq!(join("rtsp://h/a", "rtsp://h/b"), "rtsp://h/b");
        assert_eq!(join("rtsp://h/a", "*"), "rtsp://h/a");
    }
}
