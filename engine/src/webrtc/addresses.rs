//! Where clients reach us: the addresses of the machine's interfaces, the one at which the client
//! asked, and those that the settings name.

use super::socket::Family;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use std::net::{IpAddr, SocketAddr};

/// Most addresses that a client is told of.
const MOST: usize = 16;

/// Addresses of interfaces that are up, without loopback and link-local ones, which lead nowhere
/// from elsewhere.
pub fn of_machine() -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let mut out: Vec<IpAddr> = all
        .filter(|interface| up(interface.flags))
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
        })
        .filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_link_local(),
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        })
        .collect();
    out.dedup();
    out
}

/// The addresses that the setting names: `IP` or `IP:PORT`, separated by blanks. 0: the port is ours.
///
/// # Errors
/// What is wrong, for a person.
pub fn parse(text: &str) -> Result<Vec<(IpAddr, u16)>, String> {
    let one = |word: &str| {
        let whole = || word.parse::<SocketAddr>().ok().map(|a| (a.ip(), a.port()));
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        let named = whole().or_else(|| Some((bare.parse().ok()?, 0)));
        named.filter(|(ip, _)| !ip.is_unspecified() && !ip.is_multicast()).ok_or_else(|| {
            format!("Value must be addresses such as 203.0.113.5 or [2001:db8::5]:8555: {word:?}")
        })
    };
    let all: Vec<_> = text.split_whitespace().map(one).collect::<Result<_, _>>()?;
    if all.len() > MOST / 2 {
        return Err(format!("Value must have at most {} addresses", MOST / 2));
    }
    Ok(all)
}

/// What a client that asked at `local` is told, the best first. `port` is our socket's.
pub fn candidates(
    local: IpAddr,
    named: &[(IpAddr, u16)],
    machine: &[IpAddr],
    port: u16,
    family: Family,
) -> Vec<SocketAddr> {
    let local = Some(local.to_canonical()).filter(|ip| !is_scoped(*ip));
    let named =
        named.iter().map(|(ip, own)| SocketAddr::new(*ip, if *own > 0 { *own } else { port }));
    let machine = machine.iter().map(|ip| SocketAddr::new(*ip, port));
    let mut out: Vec<SocketAddr> = Vec::new();
    for address in local.map(|ip| SocketAddr::new(ip, port)).into_iter().chain(named).chain(machine)
    {
        let reachable = family == Family::Both || address.is_ipv4();
        if reachable && !out.contains(&address) && out.len() < MOST {
            out.push(address);
        }
    }
    out
}

/// Whether an address means something only together with an interface.
const fn is_scoped(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_the_client_came_by_is_first() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let named = parse("203.0.113.5 203.0.113.6:9 [2001:db8::5]").unwrap();
        let machine = [ip("192.0.2.1"), ip("2001:db8::1")];
        let told = |local: &str, family| {
            candidates(ip(local), &named, &machine, 8555, family)
                .iter()
                .map(SocketAddr::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            told("::ffff:192.0.2.1", Family::Both),
            "192.0.2.1:8555 203.0.113.5:8555 203.0.113.6:9 [2001:db8::5]:8555 [2001:db8::1]:8555"
        );
        assert_eq!(
            told("fe80::1", Family::V4),
            "203.0.113.5:8555 203.0.113.6:9 192.0.2.1:8555",
            "without IPv6 none of its addresses"
        );
    }

    #[test]
    fn addresses_of_the_setting() {
        assert_eq!(parse(""), Ok(Vec::new()));
        for bad in ["x", "0.0.0.0", "1.2.3.4:x", "224.0.0.1", "example.org"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"1.2.3.4 ".repeat(9)).is_err());
    }
}
