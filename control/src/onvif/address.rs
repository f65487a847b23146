//! Where a client reaches us: addresses that are told are made of it, so that they are right behind
//! every name and port that he uses, and nobody else's.

use super::{ENTRY, From};
use crate::desk::Desk;
use crate::http::parse::Request;
use std::net::IpAddr;

/// Scheme, host and port, as the client knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    scheme: &'static str,
    /// A name or an address, an IPv6 one in its brackets.
    host: String,
    port: u16,
}

impl Address {
    /// Of a request: what its field `Host` says if that is ours, else our end of the connection.
    pub(super) fn of(desk: &Desk, request: &Request, from: From) -> Self {
        let scheme = if from.secure { "https" } else { "http" };
        let given = request.header("host").and_then(|host| split(host, scheme));
        let ours = given.filter(|(host, _)| is_ours(desk, host, from.local.ip()));
        let (host, port) = match ours {
            Some((host, port)) => (host.to_owned(), port),
            None => (bracketed(from.local.ip().to_canonical()), from.local.port()),
        };
        Self { scheme, host, port }
    }

    /// The URL of a path, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        let Self { scheme, host, port } = self;
        format!("{scheme}://{host}:{port}{path}")
    }

    /// The URL of a service.
    pub(super) fn service(&self, name: &str) -> String {
        self.url(&format!("/onvif/{name}"))
    }

    /// The host alone, for other protocols.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The URL that clients begin with, at an address of ours.
    pub(crate) fn entry(scheme: &str, ip: IpAddr, port: u16) -> String {
        format!("{scheme}://{}:{port}{ENTRY}", bracketed(ip))
    }
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Host and port of an authority.
fn split<'a>(authority: &'a str, scheme: &str) -> Option<(&'a str, u16)> {
    let usual = if scheme == "https" { 443 } else { 80 };
    let colon = authority.rfind(':').filter(|at| authority.find(']').is_none_or(|e| e < *at));
    match colon {
        None => Some((authority, usual)),
        Some(at) => Some((&authority[..at], authority[at + 1..].parse().ok()?)),
    }
}

/// Whether a host is one of this machine's: an address of an interface, its name (also as mDNS has
/// it), or one of those that `onvif-hosts` lists.
fn is_ours(desk: &Desk, host: &str, local: IpAddr) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let held = |key: &str| desk.board.value(key);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        let interfaces = held("network-interfaces").as_array();
        let mut addresses = interfaces
            .into_iter()
            .flatten()
            .filter_map(|i| i["addresses"].as_array())
            .flatten()
            .filter_map(|a| a.as_str()?.split('/').next()?.parse::<IpAddr>().ok());
        return ip == local.to_canonical() || addresses.any(|own| own.to_canonical() == ip);
    }
    let same = |name: &str| !name.is_empty() && bare.eq_ignore_ascii_case(name);
    let machine = held("hostname").as_str().unwrap_or_default();
    let listed = held("onvif-hosts").as_str().unwrap_or_default();
    same("localhost")
        || same(machine)
        || same(&format!("{machine}.local"))
        || listed.split_whitespace().any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_split() {
        assert_eq!(split("h", "http"), Some(("h", 80)));
        assert_eq!(split("h:8080", "https"), Some(("h", 8080)));
        assert_eq!(split("[::1]", "https"), Some(("[::1]", 443)));
        assert_eq!(split("[::1]:81", "http"), Some(("[::1]", 81)));
        assert_eq!((split("h:x", "http"), split("h:99999", "http")), (None, None));
        assert_eq!(
            Address::entry("http", "::1".parse().unwrap(), 80),
            "http://[::1]:80/onvif/device_service"
        );
    }
}
