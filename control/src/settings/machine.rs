//! Settings that the machine takes: its network and its clock. Files and commands are those of the
//! configuration. All of this may take its time: it is for the worker threads.

use crate::config::System;
use lensd_ffi::time::{Nanos, now};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a command may take.
const PATIENCE: Nanos = Nanos::from_secs(20);
/// Most servers for names.
const MOST_DNS: usize = 8;
/// Most time servers: as many as clients are told (`tds:Capabilities`).
pub(crate) const MOST_SERVERS: usize = 8;
/// Our file for systemd-timesyncd: behind those of distributions, so that it counts.
const SERVERS_FILE: &str = "90-lensd.conf";
/// The line of our files that says what they were made of.
const MADE_OF: &str = "# lensd: ";

/// Runs a command of the configuration with an argument; what it printed.
///
/// # Errors
/// What it complained of.
pub(super) fn run(command: &str, argument: &str) -> Result<String, String> {
    let fail = |e: std::io::Error| format!("{command}: {e}");
    // Not pipes: something that the command leaves running may hold their ends for ever.
    let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let (said, complained) = (memory("said"), memory("complained"));
    let said = said.map_err(|e| fail(e.into()))?;
    let complained = complained.map_err(|e| fail(e.into()))?;
    let mut child = Command::new("/bin/sh")
        .args(["-c", command, "sh", argument])
        .stdin(Stdio::null())
        .stdout(said.try_clone().map_err(fail)?)
        .stderr(complained.try_clone().map_err(fail)?)
        .spawn()
        .map_err(fail)?;
    let end = now().plus(PATIENCE);
    let status = loop {
        match child.try_wait().map_err(fail)? {
            Some(status) => break status,
            None if now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{command}: it did not end within 20 seconds"));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let read = |file: &File| {
        let mut bytes = [0; 4096];
        let length = file.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    if status.success() {
        return Ok(read(&said));
    }
    let complained = read(&complained);
    let last = complained.lines().last().unwrap_or_default();
    Err(format!("{command}: {status}: {last}"))
}

/// What an interface is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    interface: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    dhcp: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dns: Vec<IpAddr>,
}

impl Network {
    /// What a value says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let wanted: Self = serde_json::from_value(value.clone()).map_err(|e| {
            format!(
                "Value must be {{interface, dhcp}} or {{interface, address, gateway, dns}}: {e}"
            )
        })?;
        let name = &wanted.interface;
        // What Linux takes as a name, and nothing that means something in a file of networkd.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > 15 || !name.bytes().all(plain) || name.starts_with('.') {
            return Err(format!("{name:?} is no name of an interface"));
        }
        if name == "lo" {
            return Err("lo is the machine's way to itself: choose an interface".to_owned());
        }
        if let Some(wrong) = wanted.dns.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(format!("{wrong} is no address of a server for names"));
        }
        if wanted.dns.len() > MOST_DNS {
            return Err(format!("at most {MOST_DNS} servers for names"));
        }
        match &wanted.address {
            None if wanted.dhcp => {
                if wanted.gateway.is_some() {
                    return Err("with dhcp the gateway comes from there".to_owned());
                }
            }
            Some(address) if !wanted.dhcp => {
                let network = check_address(address)?;
                if let Some(gateway) = wanted.gateway {
                    check_gateway(gateway, network)?;
                }
            }
            _ => return Err("give either dhcp or an address such as 192.168.1.5/24".to_owned()),
        }
        Ok(wanted)
    }

    /// As a file for systemd-networkd (systemd.network(5)).
    fn file(&self) -> String {
        let mut out =
            format!("{MADE_OF}{}\n[Match]\nName={}\n\n[Network]\n", json!(self), self.interface);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "DHCP={}", if self.dhcp { "yes" } else { "no" });
        if let Some(address) = &self.address {
            let _ = writeln!(out, "Address={address}");
        }
        if let Some(gateway) = self.gateway {
            let _ = writeln!(out, "Gateway={gateway}");
        }
        for server in &self.dns {
            let _ = writeln!(out, "DNS={server}");
        }
        out
    }

    fn path(&self, system: &System) -> PathBuf {
        // Files of distributions begin with 80 or 99; of several that match the first one counts.
        system.networkd.join(format!("50-lensd-{}.network", self.interface))
    }

    /// Writes the file and lets networkd read it; if that fails, all is as it was.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn apply(&self, system: &System) -> Result<Value, String> {
        let there = system.sys.join("class/net").join(&self.interface).exists();
        if !there {
            return Err(format!("there is no interface {}", self.interface));
        }
        let text = self.file();
        replace(&self.path(system), Some(&text), &system.network_command, &self.interface)?;
        Ok(json!(self))
    }
}

/// Gives a program of the machine another file, or none, and lets it read that; if it does not, all
/// is as it was.
fn replace(path: &Path, text: Option<&str>, command: &str, argument: &str) -> Result<(), String> {
    let write = |text: Option<&[u8]>| match text {
        Some(text) => put(path, text),
        None => match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {e}", path.display()))
            }
            _ => Ok(()),
        },
    };
    let before = fs::read(path).ok();
    write(text.map(str::as_bytes))?;
    run(command, argument).map(|_| ()).inspect_err(|_| {
        let again = write(before.as_deref()).and_then(|()| run(command, argument).map(|_| ()));
        if let Err(e) = again {
            tracing::error!("{} cannot be set back: {e}", path.display());
        }
    })
}

/// Checks names and addresses of time servers.
///
/// # Errors
/// What is none.
pub(super) fn check_servers(list: &str) -> Result<(), String> {
    if list.split_whitespace().count() > MOST_SERVERS {
        return Err(format!("at most {MOST_SERVERS} time servers"));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let name = |s: &str| !s.starts_with(['-', '.']) && s.len() <= 253 && s.bytes().all(plain);
    match list.split_whitespace().find(|s| s.parse::<IpAddr>().is_err() && !name(s)) {
        Some(wrong) => Err(format!("{wrong:?} is neither a name nor an address")),
        None => Ok(()),
    }
}

/// Tells systemd-timesyncd which servers to ask; with none it asks those that the machine has
/// without us.
///
/// # Errors
/// Why not.
pub(super) fn apply_servers(system: &System, list: &str) -> Result<Value, String> {
    let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
    fs::create_dir_all(&system.timesyncd)
        .map_err(|e| format!("{}: {e}", system.timesyncd.display()))?;
    // An empty line forgets those of the files before ours.
    let text = format!("{MADE_OF}{}\n[Time]\nNTP=\nNTP={list}\n", json!(list));
    let text = (!list.is_empty()).then_some(text);
    let command = &system.time_servers_command;
    replace(&system.timesyncd.join(SERVERS_FILE), text.as_deref(), command, &list)?;
    Ok(json!(list))
}

/// What our file says of time servers.
pub(super) fn servers_now(system: &System) -> Value {
    made_of(&system.timesyncd.join(SERVERS_FILE)).unwrap_or_else(|| json!(""))
}

/// What one of our files was made of.
fn made_of(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::from_str(text.lines().next()?.strip_prefix(MADE_OF)?).ok()
}

/// An address and how many of its bits are the network's.
fn check_address(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is no address with its network, such as 192.168.1.5/24");
    let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.parse().map_err(|_| wrong())?;
    if !(1..=most).contains(&bits) {
        return Err(wrong());
    }
    check_host(address, (address, bits)).map(|()| (address, bits))
}

/// Whether an address is one that an interface can have in a network.
fn check_host(ip: IpAddr, (of, bits): (IpAddr, u8)) -> Result<(), String> {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast {
        return Err(format!("{ip} is no address that an interface can have"));
    }
    if let (IpAddr::V4(ip), IpAddr::V4(_), 1..=30) = (ip, of, bits) {
        let hosts = u32::MAX >> bits;
        let host = ip.to_bits() & hosts;
        if host == 0 || host == hosts {
            let what = if host == 0 { "the network itself" } else { "everybody in the network" };
            return Err(format!("{ip}/{bits} is {what}, not an address of one machine"));
        }
    }
    Ok(())
}

/// Whether a gateway can be reached from an address.
fn check_gateway(gateway: IpAddr, network: (IpAddr, u8)) -> Result<(), String> {
    let (own, bits) = network;
    check_host(gateway, network).map_err(|why| format!("gateway: {why}"))?;
    let reached = match (own, gateway) {
        (IpAddr::V4(own), IpAddr::V4(gateway)) => {
            let shift = 32 - u32::from(bits);
            (own.to_bits() ^ gateway.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(own), IpAddr::V6(gateway)) => {
            let shift = 128 - u32::from(bits);
            let near = (own.to_bits() ^ gateway.to_bits()).checked_shr(shift).unwrap_or(0) == 0;
            // Routers are mostly known by their address on the link (RFC 4861 4.2).
            near || gateway.is_unicast_link_local()
        }
        _ => false,
    };
    match reached && own != gateway {
        true => Ok(()),
        false => Err(format!("the gateway {gateway} is no other machine in {own}/{bits}")),
    }
}

/// Puts a file in the place of another in one step.
fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Our files for systemd-networkd.
fn network_files(system: &System) -> Vec<PathBuf> {
    let files = fs::read_dir(&system.networkd).into_iter().flatten().flatten();
    let mut ours: Vec<PathBuf> = files
        .map(|f| f.path())
        .filter(|p| {
            let name = p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with("50-lensd-") && name.ends_with(".network")
        })
        .collect();
    ours.sort();
    ours
}

/// What our files say, of the first interface that has one.
pub(super) fn network_now(system: &System) -> Value {
    network_files(system).iter().find_map(|path| made_of(path)).unwrap_or_default()
}

/// Takes back what this server has given the machine: its files are removed, as far as they may be
/// written at all.
pub(super) fn forget(system: &System) {
    let mut done = Vec::new();
    if system.allow_network {
        for path in network_files(system) {
            let interface =
                made_of(&path).and_then(|v| Some(v.get("interface")?.as_str()?.to_owned()));
            let interface = interface.unwrap_or_default();
            done.push(replace(&path, None, &system.network_command, &interface));
        }
    }
    let servers = system.timesyncd.join(SERVERS_FILE);
    if system.allow_time && servers.exists() {
        done.push(replace(&servers, None, &system.time_servers_command, ""));
    }
    for why in done.into_iter().filter_map(Result::err) {
        tracing::error!("what the machine was given stays: {why}");
    }
}

/// Checks the name of a time zone.
///
/// # Errors
/// What it looks like.
pub(super) fn check_zone(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-_/".contains(&b);
    let parts = |p: &str| !p.is_empty() && !p.starts_with('-');
    if name.bytes().all(plain) && name.split('/').all(parts) {
        return Ok(());
    }
    Err(format!("{name:?} is no time zone such as Europe/Berlin"))
}

/// Seconds since 1970 with their fraction, as date(1) takes them.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: Value) -> Result<Network, String> {
        Network::of(&value)
    }

    #[test]
    fn what_an_interface_is_told() {
        let fixed = json!({"interface": "eth0", "address": "10.0.0.2/24", "gateway": "10.0.0.1", "dns": ["9.9.9.9"]});
        let network = of(fixed.clone()).unwrap();
        assert_eq!(json!(network), fixed);
        let file = network.file();
        let want = "[Match]\nName=eth0\n\n[Network]\nDHCP=no\nAddress=10.0.0.2/24\nGateway=10.0.0.1\nDNS=9.9.9.9\n";
        assert_eq!(file.split_once('\n').unwrap().1, want);
        assert!(
            of(json!({"interface": "eth0", "dhcp": true})).unwrap().file().contains("DHCP=yes")
        );
        for bad in [
            json!({"interface": "eth0"}),
            json!({"interface": "eth0", "dhcp": true, "address": "10.0.0.2/24"}),
            json!({"interface": "eth0", "dhcp": true, "gateway": "10.0.0.1"}),
            json!({"interface": "eth0", "address": "10.0.0.2"}),
            json!({"interface": "eth0", "address": "10.0.0.2/33"}),
            json!({"interface": "lo", "dhcp": true}),
            json!({"interface": "eth0", "address": "0.0.0.0/24"}),
            json!({"interface": "eth0", "address": "127.0.0.1/8"}),
            json!({"interface": "eth0", "address": "224.0.0.1/4"}),
            json!({"interface": "eth0", "address": "10.0.0.0/24"}),
            json!({"interface": "eth0", "address": "10.0.0.255/24"}),
            json!({"interface": "eth0", "address": "10.0.0.5/24", "gateway": "11.0.0.1"}),
            json!({"interface": "eth0", "address": "10.0.0.5/24", "gateway": "10.0.0.5"}),
            json!({"interface": "eth0", "address": "10.0.0.5/24", "gateway": "0.0.0.0"}),
            json!({"interface": "eth0", "address": "10.0.0.5/24", "gateway": "fe80::1"}),
            json!({"interface": "eth0", "address": "fd00::5/64", "gateway": "fd01::1"}),
            json!({"interface": "eth0", "address": "10.0.0.5/24", "dns": ["0.0.0.0"]}),
            json!({"interface": "eth0", "address": "10.0.0.2/24\nx"}),
            json!({"interface": "../x", "dhcp": true}),
            json!({"interface": "a\nb", "dhcp": true}),
            json!({"interface": "", "dhcp": true}),
            json!({"interface": "eth0", "dhcp": true, "more": 1}),
            json!("eth0"),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn commands_get_their_argument_as_it_is() {
        assert_eq!(run("echo \"$1\"", "a; b $(c)").unwrap(), "a; b $(c)");
        let why = run("echo no such zone >&2; exit 3", "x").unwrap_err();
        assert!(why.contains("no such zone") && why.contains('3'), "{why}");
    }

    #[test]
    fn zones_and_seconds() {
        for good in ["UTC", "Europe/Berlin", "Etc/GMT+1", "America/Port-au-Prince"] {
            assert!(check_zone(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "/etc", "a//b", "-x", "a b", "a;b"] {
            assert!(check_zone(bad).is_err(), "{bad}");
        }
        assert_eq!(seconds(1_700_000_000_050), "1700000000.050");
    }
}
