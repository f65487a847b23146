//! Looks for ONVIF devices on the network, and asks them for their streams. It takes seconds: for a
//! worker.
//!
//! A device is spoken to only at the address from which it answered, so that nobody on the network
//! can have us call others; it gets digests and never a password.

use crate::discovery::{GROUP, wire};
use crate::external::Login;
use crate::soap::{self, Document, Node, Ns, Writer, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::time::{Nanos, now, utc_now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;

/// How long answers are waited for.
const LISTEN: Nanos = Nanos::from_secs(3);
/// When the probe is sent once more, since datagrams get lost.
const AGAIN: Nanos = Nanos::from_millis(300);
/// Most interfaces, devices, and profiles of a device.
const MAX_INTERFACES: usize = 16;
const MAX_DEVICES: usize = 64;
const MAX_PROFILES: usize = 16;
/// How long one device may take for one answer, and all of them for all.
const PATIENCE: Duration = Duration::from_secs(3);
const ALL: Nanos = Nanos::from_secs(20);

/// A device that has answered.
#[derive(Debug, Clone)]
struct Found {
    from: IpAddr,
    device: wire::Match,
}

/// Looks for devices; with a login each is asked for its streams.
///
/// # Errors
/// When there is no network to look in.
pub(crate) fn discover(port: u16, login: Option<&Login>) -> Result<Value, String> {
    let found = probe(port)?;
    let end = now().plus(ALL);
    let devices: Vec<Value> = found.iter().map(|f| describe(f, login, end)).collect();
    Ok(json!({ "devices": devices }))
}

/// Addresses from which we look.
fn interfaces() -> Vec<Ipv4Addr> {
    use nix::net::if_::InterfaceFlags;
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST;
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    all.filter(|a| a.flags.contains(wanted))
        .filter_map(|a| Some(a.address.as_ref()?.as_sockaddr_in()?.ip()))
        .take(MAX_INTERFACES)
        .collect()
}

fn probe(port: u16) -> Result<Vec<Found>, String> {
    let open = |ip: Ipv4Addr| {
        let socket = UdpSocket::bind((ip, 0)).ok()?;
        rustix::net::sockopt::set_ip_multicast_if(&socket, &ip).ok()?;
        rustix::net::sockopt::set_ip_multicast_loop(&socket, true).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    };
    let sockets: Vec<UdpSocket> = interfaces().into_iter().filter_map(open).collect();
    if sockets.is_empty() {
        return Err("there is no interface that carries multicast".to_owned());
    }
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| e.to_string())?;
    let (high, low) = random.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().fold(0, |n: u64, b| (n << 8) | u64::from(*b));
    let id = crate::discovery::uuid(half(high), half(low));
    let datagram = wire::probe(&id);
    let send = || {
        for socket in &sockets {
            // An interface may go away meanwhile; others answer.
            let _ = socket.send_to(&datagram, (GROUP, port));
        }
    };
    send();
    let begun = now();
    let mut again = Some(begun.plus(AGAIN));
    let mut found: Vec<Found> = Vec::new();
    let mut buffer = vec![0; wire::MAX_DATAGRAM + 1];
    loop {
        let at = now();
        if at >= begun.plus(LISTEN) || found.len() >= MAX_DEVICES {
            return Ok(found);
        }
        if again.is_some_and(|when| when <= at) {
            again = None;
            send();
        }
        let until = again.unwrap_or(begun.plus(LISTEN));
        let mut fds: Vec<PollFd<'_>> =
            sockets.iter().map(|s| PollFd::new(s, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Timespec::try_from(until.since(at).duration()).ok().as_ref());
        for socket in &sockets {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Some(bytes) = buffer.get(..length) else { continue };
                for device in wire::matches(bytes, &id) {
                    let known = found.iter().any(|f| f.device.endpoint == device.endpoint);
                    if !known && found.len() < MAX_DEVICES {
                        found.push(Found { from: from.ip(), device });
                    }
                }
            }
        }
    }
}

fn describe(found: &Found, login: Option<&Login>, end: Nanos) -> Value {
    let Found { from, device } = found;
    let scope = |kind: &str| {
        let begin = format!("onvif://www.onvif.org/{kind}/");
        let scope = device.scopes.iter().find_map(|s| s.strip_prefix(&begin))?;
        Some(crate::discovery::scope::decoded(scope))
    };
    let mut value = json!({
        "id": device.endpoint,
        "name": scope("name"),
        "hardware": scope("hardware"),
        "address": from,
        "services": device.addresses,
        "scopes": device.scopes,
    });
    let Some((user, password)) = login else { return value };
    let service = device.addresses.iter().find(|a| is_at(a, *from));
    let asked = match service {
        None => Err("it names no address of its own".to_owned()),
        Some(_) if now() >= end => Err("others took too long".to_owned()),
        Some(url) => Client::new(url, *from, user, password).and_then(|mut c| c.streams()),
    };
    match asked {
        Ok(streams) => value["streams"] = streams,
        Err(why) => value["error"] = json!(why),
    }
    value
}

/// Whether a URL is plain HTTP at this very address.
fn is_at(url: &str, ip: IpAddr) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let plain = uri.authority().filter(|a| !a.as_str().contains('@'));
    let host = plain.map(|a| a.host().trim_matches(['[', ']']).parse::<IpAddr>());
    uri.scheme_str() == Some("http") && host == Some(Ok(ip))
}

/// A client of one device.
struct Client<'a> {
    agent: Agent,
    ip: IpAddr,
    device: String,
    media: String,
    user: &'a str,
    password: &'a str,
    /// How far the device's clock is from ours, in milliseconds.
    ahead_ms: i64,
}

impl<'a> Client<'a> {
    fn new(url: &str, ip: IpAddr, user: &'a str, password: &'a str) -> Result<Self, String> {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .build();
        let (agent, device) = (Agent::new_with_config(config), url.to_owned());
        let media = String::new();
        let mut client = Self { agent, ip, device, media, user, password, ahead_ms: 0 };
        client.meet()?;
        Ok(client)
    }

    /// Its time, by which tokens are made, and where its media service is.
    fn meet(&mut self) -> Result<(), String> {
        let url = self.device.clone();
        let ms = self.ask(
            &url,
            false,
            |w| _ = w.empty("tds:GetSystemDateAndTime"),
            |body| {
                let utc = body.path(&["SystemDateAndTime", "UTCDateTime"])?;
                let part = |outer: &str, name: &str| utc.path(&[outer, name])?.text().parse().ok();
                let civil = time::Civil {
                    year: part("Date", "Year")?,
                    month: part("Date", "Month")?,
                    day: part("Date", "Day")?,
                    hour: part("Time", "Hour")?,
                    minute: part("Time", "Minute")?,
                    second: part("Time", "Second")?,
                };
                civil.millis()
            },
        );
        self.ahead_ms = ms.map_or(0, |ms| ms - utc_now().millis());
        let ask = |w: &mut Writer| {
            w.open("tds:GetCapabilities").leaf("tds:Category", "Media").close();
        };
        let media = self.ask(&url, true, ask, |body| {
            Some(body.path(&["Capabilities", "Media", "XAddr"])?.text().to_owned())
        })?;
        // What it names for itself may be of another network.
        self.media = if is_at(&media, self.ip) { media } else { url };
        Ok(())
    }

    fn streams(&mut self) -> Result<Value, String> {
        let url = self.media.clone();
        let profiles = self.ask(
            &url,
            true,
            |w| _ = w.empty("trt:GetProfiles"),
            |body| {
                let one = |p: Node<'_>| {
                    let resolution = p.path(&["VideoEncoderConfiguration", "Resolution"]);
                    let side = |name: &str| resolution?.value(name)?.parse::<u32>().ok();
                    let codec = p.path(&["VideoEncoderConfiguration", "Encoding"]).map(Node::text);
                    let token = p.attribute("token")?.to_owned();
                    let value = json!({
                        "profile": token,
                        "name": p.value("Name"),
                        "codec": codec,
                        "width": side("Width"),
                        "height": side("Height"),
                    });
                    Some((token, value))
                };
                Some(body.all("Profiles").take(MAX_PROFILES).filter_map(one).collect::<Vec<_>>())
            },
        )?;
        let mut streams = Vec::new();
        for (token, mut value) in profiles {
            let ask = |w: &mut Writer| {
                w.open("trt:GetStreamUri").open("trt:StreamSetup");
                w.leaf("tt:Stream", "RTP-Unicast").open("tt:Transport");
                w.leaf("tt:Protocol", "RTSP").close().close();
                w.leaf("trt:ProfileToken", &token).close();
            };
            let uri = self.ask(&url, true, ask, |body| {
                Some(body.path(&["MediaUri", "Uri"])?.text().to_owned())
            });
            match uri {
                Ok(uri) => value["uri"] = json!(uri),
                Err(why) => value["error"] = json!(why),
            }
            streams.push(value);
        }
        Ok(Value::Array(streams))
    }

    /// One operation: what `read` finds in its response.
    fn ask<T>(
        &mut self,
        url: &str,
        login: bool,
        body: impl FnOnce(&mut Writer),
        read: impl FnOnce(Node<'_>) -> Option<T>,
    ) -> Result<T, String> {
        let text = self.envelope(login, body)?;
        let kind = "application/soap+xml; charset=utf-8";
        let sent = self.agent.post(url).content_type(kind).send(text);
        let mut answer = sent.map_err(|e| format!("{}: {e}", self.ip))?;
        let limit = soap::MAX_BODY as u64;
        let bytes = answer.body_mut().with_config().limit(limit).read_to_vec();
        let bytes = bytes.map_err(|e| format!("{}: {e}", self.ip))?;
        let document = Document::parse(&bytes).map_err(|why| format!("{}: {why}", self.ip))?;
        let root = document.root();
        let found = root.child("Body").and_then(|b| b.children().next());
        let found = found.ok_or_else(|| format!("{}: an answer without a body", self.ip))?;
        if found.is(Ns::Soap, "Fault") {
            let why = found.path(&["Reason", "Text"]).map(Node::text).unwrap_or("a fault");
            let why: String = why.chars().take(200).collect();
            return Err(format!("{}: {why}", self.ip));
        }
        read(found).ok_or_else(|| format!("{}: an answer that lacks what was asked for", self.ip))
    }

    fn envelope(&self, login: bool, body: impl FnOnce(&mut Writer)) -> Result<String, String> {
        let mut nonce = [0; 16];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| e.to_string())?;
        let created = time::date_time(utc_now().millis() + self.ahead_ms);
        let digest = soap::password_digest(&nonce, &created, self.password);
        let mut w = Writer::new();
        w.open("env:Envelope");
        w.declare(&[Ns::Soap, Ns::Tds, Ns::Trt, Ns::Tt, Ns::Wsse, Ns::Wsu]);
        w.open("env:Header");
        if login {
            let kind = "http://docs.oasis-open.org/wss/2004/01/\
                        oasis-200401-wss-username-token-profile-1.0#PasswordDigest";
            w.open("wsse:Security").attribute("env:mustUnderstand", true);
            w.open("wsse:UsernameToken").leaf("wsse:Username", self.user);
            w.open("wsse:Password").attribute("Type", kind);
            w.text(digest).close();
            w.leaf("wsse:Nonce", STANDARD.encode(nonce)).leaf("wsu:Created", created);
            w.close().close();
        }
        w.close().open("env:Body");
        body(&mut w);
        Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", w.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_that_answered_is_called() {
        let ip: IpAddr = "10.0.0.7".parse().unwrap();
        assert!(is_at("http://10.0.0.7/onvif/device_service", ip));
        assert!(is_at("http://10.0.0.7:8080/x", ip));
        for bad in [
            "http://10.0.0.8/x",
            "https://10.0.0.7/x",
            "http://10.0.0.7@10.0.0.8/x",
            "http://localhost/x",
            "file:///x",
            "",
        ] {
            assert!(!is_at(bad, ip), "{bad}");
        }
    }
}
