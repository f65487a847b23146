//! Multicast groups of streams, which the setting `rtsp-multicast` keeps.

use super::call::{Answer, Call, number};
use super::profiles;
use crate::desk::Desk;
use crate::soap::{Fault, Node, Writer};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The setting that keeps them.
pub(super) const KEY: &str = "rtsp-multicast";

/// A stream's group, as far as it is set; what is not is the server's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// Unspecified: the server's choice.
    address: Ipv4Addr,
    /// 0: the server's choice.
    port: u16,
    ttl: u8,
}

fn entry<'a>(groups: &'a Value, path: &str) -> Option<&'a Value> {
    groups.as_array()?.iter().find(|g| g["stream"] == path)
}

fn group_in(groups: &Value, path: &str) -> Group {
    let entry = entry(groups, path).cloned().unwrap_or_default();
    let address = entry["address"].as_str().and_then(|a| a.parse().ok());
    let part = |name: &str| entry[name].as_u64();
    Group {
        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        port: part("port").and_then(|p| u16::try_from(p).ok()).unwrap_or(0),
        ttl: part("ttl").and_then(|t| u8::try_from(t).ok()).unwrap_or(1),
    }
}

/// A stream's group in words that only compare.
pub(super) fn words(groups: &Value, path: &str) -> String {
    entry(groups, path).map(ToString::to_string).unwrap_or_default()
}

/// `tt:Multicast` of a stream.
pub(super) fn write(call: &Call<'_>, path: Option<&str>, w: &mut Writer) {
    let groups = call.value(KEY);
    let group = group_in(&groups, path.unwrap_or_default());
    w.open("tt:Multicast").open("tt:Address").leaf("tt:Type", "IPv4");
    w.leaf("tt:IPv4Address", group.address).close();
    w.leaf("tt:Port", group.port).leaf("tt:TTL", group.ttl);
    let on = path.and_then(|path| entry(&groups, path)).is_some_and(|g| g["on"] == true);
    w.leaf("tt:AutoStart", on).close();
}

/// The group that a configuration's `Multicast` names.
fn read(node: Node<'_>) -> Result<Group, Fault> {
    let invalid = |why: &str| Fault::invalid_value("ter:ConfigModify", why.to_owned());
    let address = node.child("Address");
    if address.and_then(|a| a.value("Type")).is_some_and(|kind| kind != "IPv4") {
        return Err(invalid("multicast goes to IPv4 groups"));
    }
    let address = match address.and_then(|a| a.value("IPv4Address")) {
        None | Some("") => Ipv4Addr::UNSPECIFIED,
        Some(text) => text.parse().map_err(|_| invalid("IPv4Address is no address"))?,
    };
    let port = number::<u16>(node, "Port")?.unwrap_or(0);
    Ok(Group { address, port, ttl: number::<u8>(node, "TTL")?.unwrap_or(1) })
}

/// The law of groups: what is read is kept so that it reads the same.
pub(super) fn fuzz(node: Node<'_>) {
    if let Ok(group) = read(node) {
        assert_eq!(group_in(&with(Value::Null, "s", Some(group), None), "s"), group);
    }
}

/// The list of groups with another one for a stream.
fn with(groups: Value, path: &str, group: Option<Group>, on: Option<bool>) -> Value {
    let mut list = match groups {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let mut own = match list.iter().position(|g| g["stream"] == path) {
        Some(at) => list.remove(at),
        None => json!({ "stream": path }),
    };
    if let Some(group) = group {
        own["ttl"] = json!(group.ttl);
        own["port"] = json!(group.port);
        let set = !group.address.is_unspecified();
        own["address"] = set.then(|| group.address.to_string()).into();
    }
    if let Some(on) = on {
        own["on"] = json!(on);
    }
    list.push(own);
    Value::Array(list)
}

/// The group that a configuration names, if it names one.
pub(super) fn named(configuration: Node<'_>) -> Result<Option<Group>, Fault> {
    configuration.child("Multicast").map(read).transpose()
}

/// What this group changes, as a key and its value.
pub(super) fn changed(groups: &Value, path: &str, group: Group) -> Option<(String, Value)> {
    let is_new = group != group_in(groups, path);
    is_new.then(|| (KEY.to_owned(), with(groups.clone(), path, Some(group), None)))
}

/// Begins or ends sending a profile's stream to its group.
pub(super) fn stream(call: &mut Call<'_>, token: &str, on: bool, response: &'static str) -> Answer {
    let profile = profiles::find(call, token)?;
    let path = profiles::stream_of(call, &profile)?.path();
    let switch = move |desk: &mut Desk| {
        let groups = desk.board.value(KEY).clone();
        if entry(&groups, &path).is_some_and(|g| g["on"] == true) == on {
            return Ok((Vec::new(), ()));
        }
        Ok((vec![(KEY.to_owned(), with(groups, &path, None, Some(on)))], ()))
    };
    call.edit(KEY, "ter:ConfigModify", switch, move |(), w| _ = w.empty(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_changed_one_by_one() {
        let other = json!({ "stream": "cam2/main", "on": true });
        let groups = json!([other]);
        let group = Group { address: Ipv4Addr::new(239, 1, 2, 3), port: 6000, ttl: 4 };
        let groups = with(groups, "cam1/main", Some(group), None);
        assert_eq!(group_in(&groups, "cam1/main"), group);
        let groups = with(groups, "cam1/main", None, Some(true));
        let own = json!({ "stream": "cam1/main", "address": "239.1.2.3", "port": 6000, "ttl": 4,
            "on": true });
        assert_eq!(groups, json!([other, own]));
        let choice = Group { address: Ipv4Addr::UNSPECIFIED, port: 0, ttl: 1 };
        let groups = with(groups, "cam1/main", Some(choice), None);
        assert_eq!((group_in(&groups, "cam1/main"), group_in(&Value::Null, "x")), (choice, choice));
    }
}
