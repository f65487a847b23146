//! Multicast groups: which stream has which, as the settings say, and sending to them without a
//! client that asked over RTSP (ONVIF Media Service Specification, "StartMulticastStreaming").

use super::client::{Delivery, Receiver};
use super::udp;
use super::world::{OutletKey, Post, World};
use crate::config::{GroupPlan, Join};
use crate::sys::socket::Address;
use lensd_ffi::time::Stamp;
use mio::net::UdpSocket;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Most groups that are named.
const MOST: usize = 16;
/// Longest name of a stream.
const LONGEST: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    stream: String,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    port: Option<u32>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    on: bool,
}

/// The groups that a setting's value names: `[{stream, address, port, ttl, on}]`. What is left out
/// is as the configuration says.
///
/// # Errors
/// What is wrong with which of them.
pub fn parse(value: &Value) -> Result<Vec<GroupPlan>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let list: Vec<Raw> = serde_json::from_value(value.clone())
        .map_err(|e| format!("Value must be [{{stream, address, port, ttl, on}}]: {e}"))?;
    if list.len() > MOST {
        return Err(format!("at most {MOST} groups"));
    }
    let mut out: Vec<GroupPlan> = Vec::new();
    for raw in list {
        let plan = plan_of(raw)?;
        if out.iter().any(|other| other.stream == plan.stream) {
            return Err(format!("{} is there twice", plan.stream));
        }
        // Two streams in one group could not be told apart but by their ports.
        let same = |other: &&GroupPlan| other.address.is_some() && other.address == plan.address;
        if let Some(other) = out.iter().find(same)
            && other.port == plan.port
        {
            return Err(format!("{} and {} have the same group", other.stream, plan.stream));
        }
        out.push(plan);
    }
    Ok(out)
}

fn plan_of(raw: Raw) -> Result<GroupPlan, String> {
    let stream = raw.stream.trim_matches('/').to_owned();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_');
    if stream.is_empty() || stream.len() > LONGEST || !stream.chars().all(named) {
        return Err("stream must be a path such as cam1/main or stream1".to_owned());
    }
    let address = match raw.address.as_deref().filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let address = text.parse::<Ipv4Addr>().ok();
            // 224.0.0.0/24 never leaves a link and belongs to routing (RFC 5771 section 4).
            let usable = address.filter(|a| a.is_multicast() && a.octets()[..3] != [224, 0, 0]);
            Some(usable.ok_or_else(|| {
                format!("{stream}: address must be 224.0.1.0 to 239.255.255.255, not {text:?}")
            })?)
        }
    };
    let port = match raw.port {
        None | Some(0) => None,
        Some(port) => {
            let even = u16::try_from(port).ok().filter(|port| port % 2 == 0 && *port >= 1024);
            let why =
                || format!("{stream}: port must be even, from 1024 to 65534; the next is RTCP's");
            Some(even.ok_or_else(why)?)
        }
    };
    let ttl = match raw.ttl {
        None => None,
        Some(ttl) => {
            let ttl = u8::try_from(ttl).ok();
            Some(ttl.ok_or_else(|| format!("{stream}: ttl must be between 0 and 255"))?)
        }
    };
    Ok(GroupPlan { stream, address, port, ttl, on: raw.on })
}

/// A multicast group.
pub struct Group {
    /// Sends to it.
    pub receiver: Receiver,
    /// RTP out.
    pub socket: UdpSocket,
    /// How many clients listen, and one more if it is sent to in any case.
    pub listeners: usize,
    /// Whether it is.
    pub pinned: bool,
    /// Its address.
    pub address: Ipv4Addr,
    /// RTP's port and RTCP's.
    pub ports: (u16, u16),
    /// How many routers packets may pass.
    pub ttl: u8,
}

impl Post {
    /// Whether its group is sent to without a client.
    pub fn is_pinned(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.pinned)
    }
}

impl World {
    /// Where an outlet's packets for all go: what the settings say of its stream, else the next
    /// address of the configuration's range, the same whenever it is asked for.
    pub(super) fn group_of(&mut self, key: &OutletKey) -> (Ipv4Addr, (u16, u16), u8) {
        let options = &self.options;
        let usual = key.1 == options.extensions;
        let plan = options.groups.iter().find(|plan| plan.stream == key.0).filter(|_| usual);
        let port = plan.and_then(|plan| plan.port).unwrap_or(options.multicast_port);
        let ttl = plan.and_then(|plan| plan.ttl).unwrap_or(options.multicast_ttl);
        let address = match plan.and_then(|plan| plan.address) {
            Some(address) => address,
            None => {
                let first = u32::from(options.multicast_group);
                let taken = |address| options.groups.iter().any(|p| p.address == Some(address));
                let fresh = (0..u32::MAX)
                    .filter(|n| !self.groups.values().any(|known| known == n))
                    .find(|n| !taken(Ipv4Addr::from(first.wrapping_add(*n))));
                let index = *self.groups.entry(key.clone()).or_insert(fresh.unwrap_or(0));
                Ipv4Addr::from(first.wrapping_add(index))
            }
        };
        (address, (port, port.wrapping_add(1)), ttl)
    }

    /// Makes a group for an outlet that has none.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open_group(&mut self, key: &OutletKey, local: IpAddr) -> std::io::Result<()> {
        let (address, ports, ttl) = self.group_of(key);
        let Some(post) = self.posts.get_mut(key).filter(|post| post.group.is_none()) else {
            return Ok(());
        };
        let socket = udp::multicast_sender(local, ttl)?;
        let to = |port| SocketAddr::new(IpAddr::V4(address), port);
        let delivery = Delivery::Datagrams { rtp: Address::from(to(ports.0)), rtcp: to(ports.1) };
        let receiver = Receiver::new(delivery);
        post.group =
            Some(Group { receiver, socket, listeners: 0, pinned: false, address, ports, ttl });
        Ok(())
    }

    /// One who listens to an outlet's group less.
    pub(super) fn leave_group(&mut self, key: &OutletKey) {
        let Some(post) = self.posts.get_mut(key) else { return };
        let Some(group) = &mut post.group else { return };
        group.listeners = group.listeners.saturating_sub(1);
        if group.listeners == 0 {
            group.receiver.goodbye(&post.outlet, None, &group.socket);
            post.group = None;
        }
    }

    /// Sends to the groups that the settings switch on, and no longer to others. A group that
    /// clients of RTSP listen to as well changes its address when the last of them has gone.
    pub(super) fn pin_groups(&mut self, now: Stamp) {
        let wanted: Vec<OutletKey> = self
            .options
            .groups
            .iter()
            .filter(|plan| plan.on)
            .map(|plan| (plan.stream.clone(), self.options.extensions))
            .collect();
        let pinned = self.posts.iter().filter(|(_, post)| post.is_pinned());
        for key in pinned.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let now_at = self.group_of(&key);
            let Some(group) = self.posts.get_mut(&key).and_then(|post| post.group.as_mut()) else {
                continue;
            };
            let moved = (group.address, group.ports, group.ttl) != now_at && group.listeners == 1;
            if !wanted.contains(&key) || moved {
                group.pinned = false;
                self.leave_group(&key);
                self.sweep(&key);
            }
        }
        for key in wanted {
            if self.posts.get(&key).is_none_or(|post| !post.is_pinned()) {
                self.pin(&key, now);
            }
        }
    }

    fn pin(&mut self, key: &OutletKey, now: Stamp) {
        let local = self.udp.rtp.local_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
        // A stream that is not there yet is tried again.
        let path = super::path::Path { name: key.0.clone(), ..super::path::Path::default() };
        if self.post(&path).is_err() {
            return;
        }
        if let Err(e) = self.open_group(key, local) {
            tracing::warn!(stream = key.0, "no multicast: {e}");
        }
        match self.posts.get_mut(key) {
            Some(post) if post.group.is_some() => {
                post.outlet.advance();
                if let Some(group) = &mut post.group {
                    group.listeners += 1;
                    group.pinned = true;
                    if !group.receiver.playing {
                        group.receiver.begin(&post.outlet, Join::Key, now);
                    }
                }
            }
            _ => self.sweep(key),
        }
    }

    /// Whether anything is sent without a client.
    pub(super) fn has_pins(&self) -> bool {
        self.options.groups.iter().any(|plan| plan.on)
    }

    /// The groups that are sent to now, for people and programs.
    pub(super) fn shown_groups(&self) -> Value {
        let of = |(key, post): (&OutletKey, &Post)| {
            let group = post.group.as_ref()?;
            Some(json!({
                "stream": key.0,
                "address": group.address.to_string(),
                "port": group.ports.0,
                "ttl": group.ttl,
                "clients": group.listeners - usize::from(group.pinned),
            }))
        };
        let mut all: Vec<Value> = self.posts.iter().filter_map(of).collect();
        all.sort_by_key(|group| group["stream"].as_str().unwrap_or_default().to_owned());
        all.truncate(MOST);
        Value::Array(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_and_wrong_ones_refused() {
        let value = json!([
            { "stream": "/cam1/main/", "address": "239.1.2.3", "port": 6000, "ttl": 5, "on": true },
            { "stream": "cam1/sub" },
        ]);
        let plans = parse(&value).unwrap();
        assert_eq!(plans[0].stream, "cam1/main");
        assert_eq!((plans[0].address, plans[0].port), (Some([239, 1, 2, 3].into()), Some(6000)));
        assert_eq!((plans[0].on, plans[1].on, plans[1].address), (true, false, None));
        assert_eq!(parse(&Value::Null), Ok(Vec::new()));
        for (plan, word) in [
            (json!({ "stream": "a", "address": "10.0.0.1" }), "224.0.1.0"),
            (json!({ "stream": "a", "address": "224.0.0.5" }), "224.0.1.0"),
            (json!({ "stream": "a", "address": "x" }), "224.0.1.0"),
            (json!({ "stream": "a", "port": 5005 }), "even"),
            (json!({ "stream": "a", "port": 80 }), "even"),
            (json!({ "stream": "a", "ttl": 256 }), "ttl"),
            (json!({ "stream": "" }), "stream"),
            (json!({ "stream": "a b" }), "stream"),
            (json!({ "stream": "a", "x": 1 }), "x"),
        ] {
            let why = parse(&json!([plan])).unwrap_err();
            assert!(why.contains(word), "{plan}: {why}");
        }
        let same = json!([{ "stream": "a", "address": "239.1.1.1" },
            { "stream": "b", "address": "239.1.1.1" }]);
        assert!(parse(&same).unwrap_err().contains("same group"));
        let twice = json!([{ "stream": "a" }, { "stream": "/a" }]);
        assert!(parse(&twice).unwrap_err().contains("twice"));
        assert!(parse(&json!(vec![json!({ "stream": "a" }); 17])).is_err());
    }
}
