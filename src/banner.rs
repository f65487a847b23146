//! What a person sees when the server has started.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Facts for the banner.
pub(crate) struct Banner<'a> {
    /// Ports by name.
    pub(crate) ports: &'a BTreeMap<String, u16>,
    /// The password of the first start.
    pub(crate) password: Option<&'a str>,
    /// Whether streams need no login.
    pub(crate) open: bool,
    /// Lines of the planes.
    pub(crate) notes: &'a [String],
    /// The addresses of those servers that have a single one.
    pub(crate) hosts: BTreeMap<&'static str, IpAddr>,
}

impl Banner<'_> {
    /// The text.
    pub(crate) fn render(&self) -> String {
        let own = own_address();
        let at = |name: &str| {
            let port = self.ports.get(name)?;
            let host = host_text(self.hosts.get(name).copied().unwrap_or(own));
            Some(format!("{name}://{host}:{port}"))
        };
        let mut out = format!("lensd {} is running\n", env!("CARGO_PKG_VERSION"));
        let mut row = |name: &str, url: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "  {name:<10} {url}");
        };
        if let Some(url) = at("http") {
            row("web page", format!("{url}/"));
            row("ONVIF", format!("{url}/onvif/device_service"));
        }
        if let Some(url) = at("https") {
            row("encrypted", format!("{url}/"));
        }
        if let Some(url) = at("rtsp") {
            row("video", format!("{url}/stream1"));
            row("smaller", format!("{url}/stream2"));
        }
        if let Some(url) = at("rtsps") {
            row("encrypted", format!("{url}/stream1"));
        }
        for note in self.notes {
            let _ = writeln!(out, "  note: {note}");
        }
        match (self.password, self.open) {
            (Some(password), _) => {
                out.push_str(&Self::password(password));
            }
            (None, true) => {}
            (None, false) => {
                let _ = writeln!(out, "  streams need a login; --open lets everybody watch");
            }
        }
        if self.open {
            let _ = writeln!(out, "  everybody who reaches these addresses can watch (--open)");
        }
        out
    }
}

impl Banner<'_> {
    /// How a password that was made up is shown.
    pub(crate) fn password(password: &str) -> String {
        format!(
            "  log in as admin with the password {password}\n  \
             (it is shown this once; LENSD_ADMIN_PASSWORD sets another)\n"
        )
    }
}

/// An address in a URL.
fn host_text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The address by which others on the network reach this machine, as the routing table says.
/// Nothing is sent.
fn own_address() -> IpAddr {
    let asked = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // TEST-NET-1 (RFC 5737) is routed like any far address.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    match asked {
        Ok(address) if !address.ip().is_unspecified() => address.ip(),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_url_that_can_be_pasted() {
        let ports = [("http", 80), ("https", 443), ("rtsp", 554), ("rtsps", 322)];
        let text = Banner {
            ports: &ports.iter().map(|(n, p)| ((*n).to_owned(), *p)).collect(),
            password: Some("pw"),
            open: false,
            notes: &["a note".to_owned()],
            hosts: ["http", "https", "rtsp"]
                .map(|name| (name, IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)))
                .into_iter()
                .chain([("rtsps", IpAddr::from([192, 0, 2, 7]))])
                .collect(),
        }
        .render();
        for want in [
            "http://[::1]:80/",
            "http://[::1]:80/onvif/device_service",
            "https://[::1]:443/",
            "rtsp://[::1]:554/stream1",
            "rtsps://192.0.2.7:322/",
            "pw",
            "a note",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
    }
}
