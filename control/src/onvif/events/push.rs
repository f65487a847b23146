//! Messages that are pushed (WS-BaseNotification 1.3, 3 and 4).
//!
//! A subscriber names an address, and we connect to it: so it must be the subscriber's own, or one
//! that the setting `onvif-push-hosts` allows, and what a name resolved to at the subscription is
//! what is connected to ever after. Redirects are not followed, and nothing of an answer is read
//! but its status.

use super::subscriptions::{address_of, current_and_end, filter, full, new_id, reference, span};
use crate::broker::{Message, Target, Wanted};
use crate::config::is_among;
use crate::desk::Desk;
use crate::http::At;
use crate::onvif::call::{Answer, Call, Done};
use crate::soap::{self, Fault, Node, Writer};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// How long a consumer may take for one delivery, from the connection to its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest address of a consumer.
const MAX_URL: usize = 512;
/// Most addresses of a name that are looked at.
const MAX_RESOLVED: usize = 16;

fn refuse(why: impl Into<String>) -> Fault {
    Fault::sender(&["ter:InvalidArgVal", "ter:InvalidConsumer"], why.into())
        .with_detail("wsnt:SubscribeCreationFailedFault")
}

/// Host and port of a consumer's address, if it is one that may be.
fn parts(url: &str) -> Result<(String, u16), Fault> {
    if url.len() > MAX_URL || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse(format!("an address has at most {MAX_URL} characters of ASCII")));
    }
    let uri: Uri = url.parse().map_err(|_| refuse(format!("{url:?} is no URL")))?;
    if uri.scheme_str() != Some("http") {
        return Err(refuse("events are pushed to addresses that begin with http://"));
    }
    let authority = uri.authority().ok_or_else(|| refuse("the address has no host"))?;
    if authority.as_str().contains('@') {
        return Err(refuse("the address must not have a user name"));
    }
    // What follows the host is its port; one that is none would be passed over.
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none() {
        return Err(refuse("the address has a port that is none"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || authority.as_str().contains('\\') {
        return Err(refuse("the address has no host"));
    }
    Ok((host.to_owned(), authority.port_u16().unwrap_or(80)))
}

/// Whether we may connect to an address because `peer` wants it.
fn is_allowed(ip: IpAddr, peer: IpAddr, listed: &str) -> bool {
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
        return false;
    }
    ip == peer.to_canonical() || is_among(listed, ip).unwrap_or(false)
}

/// `Subscribe`.
pub(super) fn subscribe(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let url = asked.path(&["ConsumerReference", "Address"]).map(Node::text);
    let url = url
        .filter(|u| !u.is_empty())
        .ok_or_else(|| Fault::invalid_args("ConsumerReference has no Address"))?;
    let (host, port) = parts(url)?;
    let text = asked.value("InitialTerminationTime");
    let span = span(call, text, "wsnt:UnacceptableInitialTerminationTimeFault")?;
    let (filter, id) = (filter(asked)?, new_id()?);
    let peer = call.from.peer.ip();
    let listed = call.text("onvif-push-hosts");
    let (url, address) = (url.to_owned(), address_of(call, &id));
    let owner = call.who.clone();
    let begin = move |desk: &mut Desk, found: Option<SocketAddr>, w: &mut Writer, at: At| {
        let consumer = found.ok_or_else(|| {
            refuse("the consumer must be at the subscriber's own address; see onvif-push-hosts")
        })?;
        let own = desk.own_ports.values().any(|p| *p == consumer.port());
        if own && consumer.ip().to_canonical().is_loopback() {
            return Err(refuse("the consumer is this server"));
        }
        let wanted = Wanted::Push(Target { address: consumer, url });
        if !desk.broker.subscribe(id, owner, filter, wanted, span, at.mono) {
            return Err(full());
        }
        w.open("wsnt:SubscribeResponse");
        reference("wsnt:SubscriptionReference", &address, w);
        current_and_end(at, at.mono.plus(span), w);
        w.close();
        Ok(())
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        let found = is_allowed(ip, peer, &listed).then(|| SocketAddr::new(ip, port));
        begin(call.desk, found, w, call.at)?;
        return Ok(Done::Now);
    }
    // Asking for a name may take a while.
    let ticket = call.ticket();
    let job = move || {
        let all = (host.as_str(), port).to_socket_addrs().ok()?;
        all.take(MAX_RESOLVED).find(|a| is_allowed(a.ip(), peer, &listed))
    };
    let begun = call.desk.push.try_run(job, move |desk: &mut Desk, found, at| {
        let found = found.ok().flatten();
        ticket.answer(desk, at, |desk, w| begin(desk, found, w, at));
    });
    begun.map_err(|fault| Fault::busy(fault.message))?;
    Ok(Done::Later)
}

/// Gives to the threads what is to be pushed now.
pub(in crate::onvif) fn push(desk: &mut Desk, at: At) {
    for (id, target, messages) in desk.broker.pushes(at.mono) {
        let count = messages.len();
        let key = id.clone();
        let job = move || deliver(&target, &messages);
        let begun = desk.push.try_run(job, move |desk: &mut Desk, done, at| {
            let taken = done.is_ok_and(|d| d).then_some(count);
            desk.broker.pushed(&key, taken, at.mono);
        });
        if begun.is_err() {
            desk.broker.pushed(&id, None, at.mono);
        }
    }
}

/// Delivers messages; whether the consumer took them.
fn deliver(target: &Target, messages: &[Arc<Message>]) -> bool {
    let action = "http://docs.oasis-open.org/wsn/bw-2/NotificationConsumer/Notify";
    let body = soap::message(action, &target.url, |w| {
        w.open("wsnt:Notify");
        messages.iter().for_each(|m| m.write(w));
        w.close();
    });
    let config = Config::builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .build();
    let agent = Agent::with_parts(config, DefaultConnector::default(), Pinned(target.address));
    let kind = format!("application/soap+xml; charset=utf-8; action=\"{action}\"");
    let sent = agent.post(&target.url).content_type(&kind).send(body);
    sent.is_ok_and(|answer| answer.status().is_success())
}

/// Every name is this address.
#[derive(Debug)]
struct Pinned(SocketAddr);

impl Resolver for Pinned {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut all = self.empty();
        all.push(self.0);
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_are_http_and_have_no_user() {
        assert_eq!(parts("http://10.0.0.1:81/x?y"), Ok(("10.0.0.1".to_owned(), 81)));
        assert_eq!(parts("http://[::1]/"), Ok(("::1".to_owned(), 80)));
        for bad in [
            "",
            "x",
            "/x",
            "https://h/",
            "file:///etc/passwd",
            "http:///x",
            "http://u@h/",
            "http://u:p@h/",
            "http://127.0.0.1#@h/",
            "http://h\\@g/",
            "http://h:99999/",
            "http://h/ \r\nX: y",
        ] {
            let refused = parts(bad);
            let to_its_host = refused.as_ref().is_ok_and(|(h, _)| h == "127.0.0.1");
            assert!(refused.is_err() || to_its_host, "{bad} {refused:?}");
        }
        assert!(parts(&format!("http://h/{}", "x".repeat(MAX_URL))).is_err());
    }

    #[test]
    fn a_consumer_is_at_the_subscribers_address_or_listed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let peer = ip("::ffff:10.0.0.5");
        assert!(is_allowed(ip("10.0.0.5"), peer, ""));
        assert!(is_allowed(ip("192.168.1.9"), peer, "192.168.1.0/24"));
        for bad in ["127.0.0.1", "10.0.0.6", "169.254.169.254", "::1", "0.0.0.0", "224.0.0.1"] {
            assert!(!is_allowed(ip(bad), peer, "192.168.1.0/24"), "{bad}");
        }
        assert!(!is_allowed(ip("239.255.255.250"), ip("239.255.255.250"), "0.0.0.0/0"));
    }
}
