//! RTSP from the client's side: DESCRIBE, SETUP over TCP, PLAY, and staying alive.

use crate::rtsp::parse::{Item, Parser, Reply};
use crate::sdp::{Announced, parse_announce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::auth::digest::Response;
use lensd_ffi::time::Nanos;

/// How long the server may take for an answer, and later for the next packet.
pub const SILENCE: Nanos = Nanos::from_secs(10);
/// How often we say that we are alive.
const KEEP_ALIVE: Nanos = Nanos::from_secs(20);

/// Where to pull from: the URL without its user, and the user.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// URL as it is sent.
    pub url: String,
    /// `host:port`.
    pub address: String,
    user: Option<(String, String)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

impl Target {
    /// From `rtsp://[user:password@]host[:port]/path`.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("rtsp://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((decoded(name), decoded(password))), host)
            }
            None => (None, authority),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(h, p)| {
            p.parse::<u16>().is_ok() && (!h.contains(':') || h.ends_with(']'))
        });
        let address = if has_port { host.to_owned() } else { format!("{host}:554") };
        (!host.is_empty()).then(|| Self { url: format!("rtsp://{host}{path}"), address, user })
    }
}

/// Without percent signs (RFC 3986 2.1): a password may have any character. A sign that stands for
/// nothing is itself.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *byte == b'%');
        let hex = hex.and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        out.push(hex.unwrap_or(*byte));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// What the session has to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The server has told what it sends; packets follow.
    Described(Announced),
    /// An RTP packet.
    Packet(Vec<u8>),
    /// It is over: why, and whether trying again may help.
    Over(String, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Describe,
    Setup,
    Play,
    Playing,
}

/// The machine: bytes in, bytes and events out.
pub struct ClientSession {
    target: Target,
    parser: Parser,
    step: Step,
    cseq: u32,
    challenge: Option<String>,
    /// Whether the request that waits for its answer carried a login.
    tried: bool,
    base: String,
    control: String,
    session: Option<String>,
    last_heard: Nanos,
    last_asked: Nanos,
    out: Vec<u8>,
}

impl ClientSession {
    /// Begins; **then send what [`Self::take_output`] gives.**
    pub fn new(target: Target, now: Nanos) -> Self {
        let mut out = Self {
            base: target.url.clone(),
            target,
            parser: Parser::default(),
            step: Step::Describe,
            cseq: 0,
            challenge: None,
            tried: false,
            control: String::new(),
            session: None,
            last_heard: now,
            last_asked: now,
            out: Vec::new(),
        };
        out.ask(now);
        out
    }

    /// Bytes to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes bytes of the server.
    pub fn handle_input(&mut self, bytes: &[u8], now: Nanos, events: &mut Vec<Event>) {
        self.last_heard = now;
        self.parser.push(bytes);
        loop {
            match self.parser.next_item() {
                Ok(None) => return,
                Ok(Some(Item::Interleaved { channel: 0, payload })) => {
                    events.push(Event::Packet(payload));
                }
                Ok(Some(Item::Interleaved { .. } | Item::Request(_))) => {}
                Ok(Some(Item::Response(reply))) => self.answered(&reply, now, events),
                Err(error) => {
                    return events.push(Event::Over(format!("no RTSP: {}", error.what), true));
                }
            }
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Nanos, events: &mut Vec<Event>) {
        if now.since(self.last_heard) > SILENCE {
            events.push(Event::Over("the server has been silent for 10 s".into(), true));
        } else if self.step == Step::Playing && now.since(self.last_asked) > KEEP_ALIVE {
            self.request("GET_PARAMETER", &self.base.clone(), "", now);
        }
    }

    /// Says goodbye.
    pub fn teardown(&mut self, now: Nanos) {
        if self.session.is_some() {
            self.request("TEARDOWN", &self.base.clone(), "", now);
        }
    }

    fn ask(&mut self, now: Nanos) {
        let base = self.base.clone();
        match self.step {
            Step::Describe => {
                self.request("DESCRIBE", &base, "Accept: application/sdp\r\n", now);
            }
            Step::Setup => {
                let track = self.control.clone();
                let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
                self.request("SETUP", &track, transport, now);
            }
            Step::Play => self.request("PLAY", &base, "Range: npt=0.000-\r\n", now),
            Step::Playing => {}
        }
    }

    fn request(&mut self, method: &str, url: &str, headers: &str, now: Nanos) {
        self.cseq += 1;
        self.last_asked = now;
        let login = self.login(method, url);
        self.tried = login.is_some();
        let login = login.map(|l| format!("Authorization: {l}\r\n")).unwrap_or_default();
        let session = self.session.as_ref().map(|s| format!("Session: {s}\r\n"));
        self.out.extend_from_slice(
            format!(
                "{method} {url} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: lensd\r\n{login}{}{headers}\r\n",
                self.cseq,
                session.unwrap_or_default()
            )
            .as_bytes(),
        );
    }

    fn login(&self, method: &str, url: &str) -> Option<String> {
        let (user, password) = self.target.user.as_ref()?;
        let challenge = self.challenge.as_ref()?;
        match challenge.split_once(' ') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("digest") => {
                let cnonce = format!("{:08x}", self.cseq);
                Response::answer(rest, user, password, method, url, &cnonce)
            }
            _ => Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))),
        }
    }

    fn answered(&mut self, reply: &Reply, now: Nanos, events: &mut Vec<Event>) {
        if reply.status == 401 && !self.tried && self.target.user.is_some() {
            let offers =
                || reply.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case("WWW-Authenticate"));
            // MD5 is what every server that offers a digest gets right; Basic is the last resort.
            let digest = offers().rev().find(|(_, v)| v.to_ascii_lowercase().starts_with("digest"));
            self.challenge = digest.or_else(|| offers().next()).map(|(_, v)| v.clone());
            if self.challenge.is_some() {
                return self.ask(now);
            }
        }
        if reply.status != 200 {
            if self.step == Step::Playing {
                return;
            }
            let (why, retry) = match reply.status {
                401 | 403 => ("the login is refused; put user:password@ before the host", false),
                404 => ("there is no such stream", true),
                461 => ("RTP over TCP is refused", false),
                _ => ("the server refuses", true),
            };
            return events.push(Event::Over(format!("{why} (status {})", reply.status), retry));
        }
        match self.step {
            Step::Describe => match parse_announce(&reply.body) {
                Ok(announced) => {
                    let base = reply.header("Content-Base").unwrap_or(&self.base);
                    self.base = base.trim_end_matches('/').to_owned();
                    self.control = control_url(&self.base, &announced.control);
                    events.push(Event::Described(announced));
                    self.step = Step::Setup;
                }
                Err(why) => return events.push(Event::Over(why.to_owned(), false)),
            },
            Step::Setup => {
                let session = reply.header("Session").and_then(|s| s.split(';').next());
                self.session = session.map(|s| s.trim().to_owned());
                self.step = Step::Play;
            }
            Step::Play => self.step = Step::Playing,
            Step::Playing => return,
        }
        self.ask(now);
    }
}

/// `a=control` of a track as a URL (RFC 2326 C.1.1).
fn control_url(base: &str, control: &str) -> String {
    match control {
        "" | "*" => base.to_owned(),
        whole if whole.contains("://") => whole.to_owned(),
        relative => format!("{base}/{relative}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let odd = Target::parse("rtsp://a%20b:p%40%2F%@h/").unwrap();
        assert_eq!(odd.user, Some(("a b".to_owned(), "p@/%".to_owned())));
        let t = Target::parse("rtsp://u:p@192.0.2.1:8554/a?b").unwrap();
        assert_eq!(
            (t.url.as_str(), t.address.as_str()),
            ("rtsp://192.0.2.1:8554/a?b", "192.0.2.1:8554")
        );
        assert_eq!(Target::parse("rtsp://h/x").unwrap().address, "h:554");
        assert_eq!(Target::parse("rtsp://[::1]/x").unwrap().address, "[::1]:554");
        assert_eq!(Target::parse("rtsp:///x"), None);
        assert!(!format!("{t:?}").contains("u:p"), "the password is not shown");
    }

    const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t1\r\n";

    fn reply(status: u16, headers: &str, body: &str) -> String {
        format!(
            "RTSP/1.0 {status} X\r\nCSeq: 1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[test]
    fn from_a_challenge_to_packets() {
        let now = Nanos::from_secs(1);
        let mut s = ClientSession::new(Target::parse("rtsp://u:p@h/s").unwrap(), now);
        let mut events = Vec::new();
        let sent = |s: &mut ClientSession| String::from_utf8(s.take_output()).unwrap();
        assert!(sent(&mut s).starts_with("DESCRIBE rtsp://h/s RTSP/1.0\r\n"));
        let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
                         WWW-Authenticate: Basic realm=\"r\"\r\n";
        s.handle_input(reply(401, challenge, "").as_bytes(), now, &mut events);
        assert!(sent(&mut s).contains("Authorization: Digest username=\"u\""));
        s.handle_input(
            reply(200, "Content-Base: rtsp://h/s/\r\n", SDP).as_bytes(),
            now,
            &mut events,
        );
        assert!(sent(&mut s).starts_with("SETUP rtsp://h/s/t1 "));
        s.handle_input(reply(200, "Session: abc;timeout=60\r\n", "").as_bytes(), now, &mut events);
        assert!(sent(&mut s).contains("Session: abc\r\n"));
        s.handle_input(reply(200, "", "").as_bytes(), now, &mut events);
        s.handle_input(b"$\x00\x00\x02hi$\x01\x00\x01x", now, &mut events);
        assert!(matches!(events[0], Event::Described(_)));
        assert_eq!(events[1..], [Event::Packet(b"hi".to_vec())]);
        s.handle_input(b"", now.plus(KEEP_ALIVE), &mut events);
        s.handle_timeout(now.plus(KEEP_ALIVE).plus(Nanos(1)), &mut events);
        assert!(sent(&mut s).starts_with("GET_PARAMETER "));
        s.handle_timeout(Nanos::from_secs(100), &mut events);
        assert!(matches!(&events[2], Event::Over(_, true)));
    }

    #[test]
    fn a_refused_login_is_not_tried_for_ever() {
        let now = Nanos::from_secs(1);
        let mut s = ClientSession::new(Target::parse("rtsp://u:p@h/s").unwrap(), now);
        let mut events = Vec::new();
        let challenge = reply(401, "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
        s.handle_input(challenge.as_bytes(), now, &mut events);
        assert!(events.is_empty());
        s.handle_input(challenge.as_bytes(), now, &mut events);
        assert!(matches!(&events[..], [Event::Over(why, false)] if why.contains("401")));
    }
}
