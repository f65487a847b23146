//! The network of the machine (ONVIF Core 8.2). It is told as it is; a change goes the way of the
//! setting `network-config`, and where the machine's network is not ours to set, the same value is
//! taken and another one refused.

use crate::onvif::call::{Answer, Call, Done, flag, needed, number};
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::auth::{Access, Permission};
use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// What one needs for a change besides what the operations' class asks for.
const WRITE: Access = Access::write(Permission::Network);

/// An interface as the registry has it.
struct Interface {
    name: String,
    up: bool,
    mac: String,
    addresses: Vec<(IpAddr, u8)>,
}

/// Interfaces, without the loopback one where there is another. Clients take the address of the
/// first for the device's own; Home Assistant takes the MAC of the last for its identity.
fn interfaces(call: &Call<'_>) -> Vec<Interface> {
    let held = call.value("network-interfaces");
    let one = |i: &Value| {
        let text = |key: &str| i[key].as_str().unwrap_or_default().to_owned();
        let address = |a: &Value| {
            let (ip, bits) = a.as_str()?.split_once('/')?;
            Some((ip.parse().ok()?, bits.parse().ok()?))
        };
        let addresses = i["addresses"].as_array().into_iter().flatten();
        Interface {
            name: text("name"),
            up: text("state") != "down",
            mac: text("mac"),
            addresses: addresses.filter_map(address).collect(),
        }
    };
    let mut all: Vec<Interface> = held.as_array().into_iter().flatten().map(one).collect();
    if all.iter().any(|i| i.name != "lo") {
        all.retain(|i| i.name != "lo");
    }
    all.sort_by_key(|i| !i.up || i.addresses.is_empty());
    all
}

/// What the machine's network is told by us, if it is.
fn told(call: &Call<'_>, interface: &str) -> Value {
    let told = call.value("network-config");
    if told["interface"] == interface { told } else { Value::Null }
}

/// `GetNetworkInterfaces`.
pub(super) fn interfaces_of(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetNetworkInterfacesResponse");
    for interface in interfaces(call) {
        let dhcp = told(call, &interface.name)["dhcp"] == true;
        w.open("tds:NetworkInterfaces").attribute("token", &interface.name);
        w.leaf("tt:Enabled", interface.up);
        w.open("tt:Info").leaf("tt:Name", &interface.name);
        w.leaf("tt:HwAddress", &interface.mac).close();
        let of = |v4: bool| {
            interface.addresses.iter().filter(move |(ip, _)| ip.is_ipv4() == v4).copied()
        };
        let mut addresses = of(true).peekable();
        if addresses.peek().is_some() {
            w.open("tt:IPv4").leaf("tt:Enabled", true).open("tt:Config");
            // The schema has one address for DHCP and any number of others.
            if !dhcp {
                for (ip, bits) in addresses {
                    prefixed("tt:Manual", ip, bits, w);
                }
            } else if let Some((ip, bits)) = addresses.next() {
                prefixed("tt:FromDHCP", ip, bits, w);
            }
            w.leaf("tt:DHCP", dhcp).close().close();
        }
        let mut addresses = of(false).peekable();
        if addresses.peek().is_some() {
            w.open("tt:IPv6").leaf("tt:Enabled", true).open("tt:Config").leaf("tt:DHCP", "Off");
            let local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            let all: Vec<(IpAddr, u8)> = addresses.collect();
            for (ip, bits) in all.iter().filter(|(ip, _)| !local(ip)) {
                prefixed("tt:Manual", *ip, *bits, w);
            }
            for (ip, bits) in all.iter().filter(|(ip, _)| local(ip)) {
                prefixed("tt:LinkLocal", *ip, *bits, w);
            }
            w.close().close();
        }
        w.close();
    }
    w.close();
    Ok(Done::Now)
}

fn prefixed(name: &'static str, ip: IpAddr, bits: u8, w: &mut Writer) {
    w.open(name).leaf("tt:Address", ip).leaf("tt:PrefixLength", bits).close();
}

/// A change that is not made where the machine's network is not ours.
fn change(
    call: &mut Call<'_>,
    config: Value,
    invalid: &'static str,
    response: &'static str,
) -> Answer {
    call.needs(WRITE)?;
    if !call.desk.config.system.allow_network {
        let why = "this device does not set the machine's network: see system.allow-network";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    let change = vec![("network-config".to_owned(), config)];
    call.change(change, invalid, move |_, w, _| {
        w.open(response);
        if response == "tds:SetNetworkInterfacesResponse" {
            w.leaf("tds:RebootNeeded", false);
        }
        w.close();
        Ok(())
    })
}

/// Answers that all is as it was.
fn unchanged(response: &'static str, w: &mut Writer) -> Answer {
    w.open(response);
    if response == "tds:SetNetworkInterfacesResponse" {
        w.leaf("tds:RebootNeeded", false);
    }
    w.close();
    Ok(Done::Now)
}

/// What `network-config` would be for an interface as it is now.
fn as_it_is(call: &Call<'_>, interface: &Interface) -> Value {
    if told(call, &interface.name)["dhcp"] == true {
        return json!({ "interface": interface.name, "dhcp": true });
    }
    let address = interface.addresses.iter().find(|(ip, _)| ip.is_ipv4());
    let mut config = json!({ "interface": interface.name });
    if let Some((ip, bits)) = address {
        config["address"] = json!(format!("{ip}/{bits}"));
    }
    if let Some((_, gateway)) = gateways(&call.desk.config.system.proc).first() {
        config["gateway"] = json!(gateway);
    }
    let (servers, _) = resolvers(&call.desk.config.system.resolv_conf);
    if !servers.is_empty() {
        config["dns"] = json!(servers);
    }
    config
}

/// The interface that the default route leaves by, else the first.
fn main_interface(call: &Call<'_>) -> Option<Interface> {
    let by = gateways(&call.desk.config.system.proc).into_iter().next().map(|(name, _)| name);
    let mut all = interfaces(call);
    let at = all.iter().position(|i| Some(&i.name) == by.as_ref()).unwrap_or(0);
    (at < all.len()).then(|| all.swap_remove(at))
}

/// `SetNetworkInterfaces`: IPv4, by an address or by DHCP.
pub(super) fn set_interfaces(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    const RESPONSE: &str = "tds:SetNetworkInterfacesResponse";
    let token = needed(asked, "InterfaceToken")?;
    let known = interfaces(call).into_iter().find(|i| i.name == token);
    let interface = known.ok_or_else(|| {
        Fault::invalid_value(
            "ter:InvalidNetworkInterface",
            format!("there is no interface {token}"),
        )
    })?;
    let wanted = asked.child("NetworkInterface");
    let wanted = wanted.ok_or_else(|| Fault::invalid_args("NetworkInterface is missing"))?;
    let before = as_it_is(call, &interface);
    let mut config = before.clone();
    if let Some(v4) = wanted.child("IPv4") {
        if flag(v4, "DHCP")? == Some(true) {
            config = json!({ "interface": token, "dhcp": true });
        } else if let Some(manual) = v4.child("Manual") {
            let address = needed(manual, "Address")?;
            let bits: u8 = number(manual, "PrefixLength")?.unwrap_or(24);
            let right = address.parse::<Ipv4Addr>().is_ok() && (1..=32).contains(&bits);
            if !right {
                let why = format!("{address}/{bits} is no address with its network");
                return Err(Fault::invalid_value("ter:InvalidIPv4Address", why));
            }
            if let Some(config) = config.as_object_mut() {
                config.remove("dhcp");
            }
            config["address"] = json!(format!("{address}/{bits}"));
        }
    }
    let off = flag(wanted, "Enabled")? == Some(false) && interface.up;
    if off || wanted.child("MTU").is_some() || wanted.child("Link").is_some() {
        let why = "an interface is neither switched off here, nor is its link set";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    if config == before {
        return unchanged(RESPONSE, w);
    }
    change(call, config, "ter:InvalidIPv4Address", RESPONSE)
}

/// Servers and search domains of resolv.conf(5).
fn resolvers(path: &Path) -> (Vec<IpAddr>, Vec<String>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let words = |line: &str, name: &str| -> Vec<String> {
        let mut words = line.split_whitespace();
        if words.next() == Some(name) { words.map(str::to_owned).collect() } else { Vec::new() }
    };
    let servers = text.lines().filter_map(|l| words(l, "nameserver").first()?.parse().ok());
    let search = text.lines().map(|l| words(l, "search")).rfind(|w| !w.is_empty());
    (servers.take(8).collect(), search.unwrap_or_default())
}

/// `GetDNS`.
pub(super) fn dns(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let (servers, search) = resolvers(&call.desk.config.system.resolv_conf);
    w.open("tds:GetDNSResponse").open("tds:DNSInformation").leaf("tt:FromDHCP", false);
    for domain in search.iter().filter(|d| *d != ".") {
        w.leaf("tt:SearchDomain", domain);
    }
    for server in servers {
        typed("tt:DNSManual", server, w);
    }
    w.close().close();
    Ok(Done::Now)
}

/// An address with its type (`tt:IPAddress`).
fn typed(name: &'static str, ip: IpAddr, w: &mut Writer) {
    w.open(name);
    match ip {
        IpAddr::V4(ip) => w.leaf("tt:Type", "IPv4").leaf("tt:IPv4Address", ip),
        IpAddr::V6(ip) => w.leaf("tt:Type", "IPv6").leaf("tt:IPv6Address", ip),
    };
    w.close();
}

/// `SetDNS`.
pub(super) fn set_dns(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    const RESPONSE: &str = "tds:SetDNSResponse";
    let mut wanted = Vec::new();
    for manual in asked.all("DNSManual") {
        let text = manual.value("IPv4Address").or_else(|| manual.value("IPv6Address"));
        let ip: Option<IpAddr> = text.and_then(|t| t.parse().ok());
        let why = || Fault::invalid_value("ter:InvalidIPv4Address", "DNSManual is no address");
        wanted.push(ip.ok_or_else(why)?);
    }
    let search: Vec<String> = asked.all("SearchDomain").map(|n| n.text().to_owned()).collect();
    let dhcp = flag(asked, "FromDHCP")?.unwrap_or(false);
    let (servers, mut domains) = resolvers(&call.desk.config.system.resolv_conf);
    domains.retain(|d| d != ".");
    if !dhcp && wanted == servers && search == domains {
        return unchanged(RESPONSE, w);
    }
    if dhcp || search != domains {
        let why = "servers for names are set by their addresses here, and nothing else of it is";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    let interface = main_interface(call);
    let interface = interface.ok_or_else(|| Fault::busy("there is no interface"))?;
    let mut config = as_it_is(call, &interface);
    config["dns"] = json!(wanted);
    change(call, config, "ter:InvalidDnsName", RESPONSE)
}

/// `GetNTP`. Servers that are not told by us come from the machine's own configuration or DHCP.
pub(super) fn ntp(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let servers = call.text("time-servers");
    w.open("tds:GetNTPResponse").open("tds:NTPInformation");
    w.leaf("tt:FromDHCP", servers.is_empty());
    for server in servers.split_whitespace() {
        match server.parse() {
            Ok(ip) => typed("tt:NTPManual", ip, w),
            Err(_) => {
                w.open("tt:NTPManual").leaf("tt:Type", "DNS").leaf("tt:DNSname", server).close();
            }
        }
    }
    w.close().close();
    Ok(Done::Now)
}

/// `SetNTP`, by the setting `time-servers`.
pub(super) fn set_ntp(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let machines = flag(asked, "FromDHCP")?.unwrap_or(false);
    let mut wanted = Vec::new();
    for manual in asked.all("NTPManual").filter(|_| !machines) {
        let kind = needed(manual, "Type")?;
        let (part, invalid) = match kind {
            "IPv4" => ("IPv4Address", "ter:InvalidIPv4Address"),
            "IPv6" => ("IPv6Address", "ter:InvalidIPv6Address"),
            "DNS" => ("DNSname", "ter:InvalidDnsName"),
            _ => return Err(Fault::invalid_args("Type is IPv4, IPv6 or DNS")),
        };
        let server = manual.value(part).unwrap_or_default();
        let fits =
            server.parse::<IpAddr>().ok().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" });
        if server.is_empty() || fits.unwrap_or("DNS") != kind || server.contains(' ') {
            return Err(Fault::invalid_value(invalid, format!("{part} {server:?} is no {kind}")));
        }
        wanted.push(server);
    }
    let wanted = wanted.join(" ");
    if wanted == call.text("time-servers") {
        w.empty("tds:SetNTPResponse");
        return Ok(Done::Now);
    }
    if !call.desk.config.system.allow_time {
        let why = "this device does not set the machine's clock: see system.allow-time";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    let change = vec![("time-servers".to_owned(), json!(wanted))];
    call.change(change, "ter:InvalidDnsName", |_, w, _| {
        w.empty("tds:SetNTPResponse");
        Ok(())
    })
}

/// Interfaces and gateways of the default routes of `/proc/net/route`.
fn gateways(proc: &Path) -> Vec<(String, Ipv4Addr)> {
    let text = fs::read_to_string(proc.join("net/route")).unwrap_or_default();
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, to, gateway) = (words.first()?, words.get(1)?, words.get(2)?);
        // In the order of the bytes on the wire, printed as a number of this machine.
        let gateway = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        let is_default = *to == "00000000" && gateway != [0; 4];
        is_default.then(|| ((*name).to_owned(), Ipv4Addr::from(gateway)))
    };
    text.lines().skip(1).filter_map(route).take(4).collect()
}

/// `GetNetworkDefaultGateway`.
pub(super) fn gateway(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetNetworkDefaultGatewayResponse").open("tds:NetworkGateway");
    for (_, ip) in gateways(&call.desk.config.system.proc) {
        w.leaf("tt:IPv4Address", ip);
    }
    w.close().close();
    Ok(Done::Now)
}

/// `SetNetworkDefaultGateway`.
pub(super) fn set_gateway(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    const RESPONSE: &str = "tds:SetNetworkDefaultGatewayResponse";
    let mut wanted = Vec::new();
    for node in asked.all("IPv4Address") {
        let ip: Option<Ipv4Addr> = node.text().parse().ok();
        let why = || Fault::invalid_value("ter:InvalidGatewayAddress", "IPv4Address is none");
        wanted.push(ip.ok_or_else(why)?);
    }
    if asked.child("IPv6Address").is_some() {
        let why = "a gateway of IPv6 is not set here";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    let now: Vec<Ipv4Addr> =
        gateways(&call.desk.config.system.proc).into_iter().map(|(_, ip)| ip).collect();
    if wanted == now {
        return unchanged(RESPONSE, w);
    }
    let interface = main_interface(call);
    let interface = interface.ok_or_else(|| Fault::busy("there is no interface"))?;
    let mut config = as_it_is(call, &interface);
    match (wanted.as_slice(), config.as_object_mut()) {
        ([], Some(config)) => _ = config.remove("gateway"),
        ([ip], Some(config)) => _ = config.insert("gateway".to_owned(), json!(ip)),
        _ => {
            let why = "there can be one gateway";
            return Err(Fault::invalid_value("ter:InvalidGatewayAddress", why));
        }
    }
    change(call, config, "ter:InvalidGatewayAddress", RESPONSE)
}

/// Protocols with their ports; one that is off has the port that it would have.
fn protocols(call: &mut Call<'_>) -> Vec<(&'static str, bool, u16)> {
    let ports = call.desk.ports();
    let one = |name: &'static str, key: &str, usual: u16| {
        let port = ports.get(key).copied();
        (name, port.is_some(), port.unwrap_or(usual))
    };
    vec![one("HTTP", "http", 80), one("HTTPS", "https", 443), one("RTSP", "rtsp", 554)]
}

/// `GetNetworkProtocols`.
pub(super) fn protocols_of(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetNetworkProtocolsResponse");
    for (name, on, port) in protocols(call) {
        w.open("tds:NetworkProtocols").leaf("tt:Name", name).leaf("tt:Enabled", on);
        w.leaf("tt:Port", port).close();
    }
    w.close();
    Ok(Done::Now)
}

/// `SetNetworkProtocols`: ports are said when the server is started, so only what holds is taken.
pub(super) fn set_protocols(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let now = protocols(call);
    for wanted in asked.all("NetworkProtocols") {
        let name = needed(wanted, "Name")?;
        let Some((_, on, port)) = now.iter().find(|(n, ..)| *n == name) else {
            let why = format!("there is no protocol {name}");
            return Err(Fault::invalid_value("ter:ServiceNotSupported", why));
        };
        let ports: Vec<&str> = wanted.all("Port").map(Node::text).collect();
        let same_port = ports.iter().all(|p| *p == port.to_string());
        if flag(wanted, "Enabled")?.is_some_and(|wanted| wanted != *on) || !same_port {
            let why = "ports are set when the server is started: see http.listen, rtsp.listen";
            return Err(Fault::prohibited("ter:SettingProhibited", why));
        }
    }
    unchanged("tds:SetNetworkProtocolsResponse", w)
}

/// `SetHostname`: the machine's name is not ours to set.
pub(super) fn set_hostname(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let name = needed(asked, "Name")?;
    // RFC 1123 2.1, with dots for names within a domain.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        let why = format!("{name:?} is no name of a host (RFC 1123 2.1)");
        return Err(Fault::invalid_value("ter:InvalidHostname", why));
    }
    if name != call.text("hostname") {
        let why = "this device does not set the machine's name";
        return Err(Fault::prohibited("ter:SettingProhibited", why));
    }
    unchanged("tds:SetHostnameResponse", w)
}

/// `GetRelayOutputs`: there are none.
pub(super) fn relays(_: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.empty("tds:GetRelayOutputsResponse");
    Ok(Done::Now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_machine() {
        let root = std::env::temp_dir().join(format!("lensd-network-{}", std::process::id()));
        fs::create_dir_all(root.join("net")).unwrap();
        let route =
            "Iface\tDestination\tGateway\nlo\t0000007F\t00000000\neth0\t00000000\t0100000A\n";
        fs::write(root.join("net/route"), route).unwrap();
        let want = if cfg!(target_endian = "little") { [10, 0, 0, 1] } else { [1, 0, 0, 10] };
        assert_eq!(gateways(&root), [("eth0".to_owned(), Ipv4Addr::from(want))]);
        let resolv = root.join("resolv.conf");
        fs::write(&resolv, "# x\nnameserver 9.9.9.9\nnameserver ::1\nnameserver x\nsearch a b\n")
            .unwrap();
        let (servers, search) = resolvers(&resolv);
        assert_eq!(servers, ["9.9.9.9".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(search, ["a", "b"]);
        fs::remove_dir_all(&root).unwrap();
        assert!(gateways(&root).is_empty() && resolvers(&resolv).0.is_empty());
    }
}
