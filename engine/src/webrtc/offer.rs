//! A client's offer, of which one video is played. str0m gets an offer of that video alone, and its
//! answer is made one to all of them: it writes candidates only into the media in front, changes the
//! names of media, and passes over kinds that it does not know.

use super::signal::{Refusal, attribute, lines};
use std::fmt::Write as _;

/// What str0m is told where it would change the medium's own name: its names have 16 letters and
/// digits.
const NAME: &str = "0";
/// Attributes of a transport, which bundled media have from the first of them (RFC 8843 section 7.1).
const TRANSPORT: [&str; 5] = ["ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup"];
/// What packets carry the name of their medium by (RFC 9143 section 15).
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// A medium: the words of its `m=`, and its lines after that.
#[derive(Debug)]
struct Medium<'a> {
    kind: &'a str,
    port: &'a str,
    protocol: &'a str,
    formats: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> Medium<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut lines = lines(text).filter(|line| !line.is_empty());
        let head = lines.next().unwrap_or_default();
        let mut words = head.trim_start_matches("m=").splitn(4, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty());
        match (word(), word(), word(), word()) {
            (Some(kind), Some(port), Some(protocol), Some(formats))
                if port.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                Ok(Self { kind, port, protocol, formats, lines: lines.collect() })
            }
            _ => Err(Refusal::invalid(
                "a line m= is not m=KIND PORT PROTOCOL FORMAT (RFC 8866 section 5.14)",
            )),
        }
    }

    fn attribute(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| attribute(line, name))
    }

    fn mid(&self) -> Option<&'a str> {
        self.attribute("mid").map(str::trim).filter(|mid| !mid.is_empty())
    }

    /// Whether it receives (RFC 8866 section 6.7).
    fn receives(&self, session: &str) -> bool {
        let said = |line: &str| match line {
            "a=recvonly" | "a=sendrecv" => Some(true),
            "a=sendonly" | "a=inactive" => Some(false),
            _ => None,
        };
        let own = self.lines.iter().find_map(|line| said(line));
        own.or_else(|| lines(session).find_map(said)).unwrap_or(true)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Offer<'a> {
    session: &'a str,
    media: Vec<Medium<'a>>,
    /// Which of them is played.
    played: usize,
    /// The names in its `a=group:BUNDLE`.
    bundle: Vec<&'a str>,
    /// Which medium has the transport (RFC 8843 section 7.1.2), if not the played one.
    carrier: Option<usize>,
}

impl<'a> Offer<'a> {
    /// Reads an offer and finds its first video that receives.
    ///
    /// # Errors
    /// `INVALID_SDP`, `NOT_ACCEPTABLE`.
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let mut parts = text.split("\nm=");
        let session = parts.next().unwrap_or_default();
        let media: Vec<Medium<'_>> = parts.map(Medium::parse).collect::<Result<_, _>>()?;
        for (i, medium) in media.iter().enumerate() {
            if medium.mid().is_some_and(|mid| media[..i].iter().any(|m| m.mid() == Some(mid))) {
                return Err(Refusal::invalid("two of its media have the same a=mid"));
            }
        }
        let bundle_of = |medium: &Medium<'_>| -> Vec<&'a str> {
            let groups = lines(session).filter_map(|line| line.strip_prefix("a=group:BUNDLE "));
            let mut groups = groups.map(|names| names.split_ascii_whitespace().collect::<Vec<_>>());
            let own = |names: &Vec<&str>| medium.mid().is_some_and(|mid| names.contains(&mid));
            groups.find(own).unwrap_or_default()
        };
        // Port 0 is what is not there, but for bundled media (RFC 8843 section 6).
        let live = |m: &Medium<'_>| m.port != "0" || !bundle_of(m).is_empty();
        let plays = |m: &&Medium<'_>| m.kind == "video" && m.receives(session) && live(m);
        let Some(played) = media.iter().position(|m| plays(&m)) else {
            let message = "no m=video in it receives anything: make it recvonly";
            return Err(Refusal::unacceptable(message));
        };
        let bundle = bundle_of(&media[played]);
        let first = bundle.first().and_then(|mid| media.iter().position(|m| m.mid() == Some(mid)));
        // The first of the group has its transport, and Chromium with the policy max-bundle does not
        // take an answer that rejects it: it stays, and nothing is sent for it.
        let keeps = |i: &usize| {
            let medium = &media[*i];
            ["audio", "video"].contains(&medium.kind) && medium.port != "0"
        };
        let carrier = first.filter(|i| *i != played).filter(keeps);
        if media[played].port == "0" && carrier.is_none() {
            let message = "its m=video has port 0 and hangs on a medium that is not sent: put \
                           m=video in front";
            return Err(Refusal::unacceptable(message));
        }
        Ok(Self { session, media, played, bundle, carrier })
    }

    /// What str0m calls the medium that is played.
    pub fn name(&self) -> &'a str {
        let fits = |mid: &&str| mid.len() <= 16 && mid.bytes().all(|b| b.is_ascii_alphanumeric());
        self.media[self.played].mid().filter(fits).unwrap_or(NAME)
    }

    /// Whether that is its own name.
    fn keeps_name(&self) -> bool {
        self.media[self.played].mid() == Some(self.name())
    }

    /// The offer of that medium alone.
    pub fn alone(&self) -> String {
        let medium = &self.media[self.played];
        let mut out = String::new();
        for line in lines(self.session).filter(|line| !line.is_empty()) {
            if !line.starts_with("a=group:") {
                push(&mut out, line);
            }
        }
        push(&mut out, &format!("a=group:BUNDLE {}", self.name()));
        let port = if medium.port == "0" { "9" } else { medium.port };
        push(&mut out, &format!("m=video {port} {} {}", medium.protocol, medium.formats));
        for line in &medium.lines {
            // Packets must not carry a name that the client has not given.
            let renamed = !self.keeps_name()
                && (attribute(line, "mid").is_some() || line.contains(MID_EXTENSION));
            if !renamed && *line != "a=bundle-only" {
                push(&mut out, line);
            }
        }
        if !self.keeps_name() {
            push(&mut out, &format!("a=mid:{}", self.name()));
        }
        let first = self.bundle.first().and_then(|mid| {
            self.media.iter().find(|other| other.mid() == Some(mid) && other.port != "0")
        });
        for name in TRANSPORT {
            let missing =
                medium.attribute(name).is_none() && attribute(self.session, name).is_none();
            if let Some(value) = first.and_then(|first| first.attribute(name)).filter(|_| missing) {
                push(&mut out, &format!("a={name}:{value}"));
            }
        }
        out
    }

    /// Makes str0m's answer to [`Offer::alone`] one to the whole offer: others than the medium that
    /// is played, and the one that has its transport, are rejected (RFC 3264 section 6).
    pub fn answer(&self, alone: &str) -> String {
        let (session, played) = alone.split_once("\nm=").unwrap_or((alone, ""));
        let mut out = String::new();
        for line in lines(session).filter(|line| !line.is_empty()) {
            if !line.starts_with("a=group:BUNDLE") {
                push(&mut out, line);
                continue;
            }
            // A group that was not offered cannot be answered.
            if let (Some(mid), false) = (self.media[self.played].mid(), self.bundle.is_empty()) {
                let carrier = self.carrier.and_then(|i| self.media[i].mid());
                let names: Vec<&str> = carrier.into_iter().chain([mid]).collect();
                push(&mut out, &format!("a=group:BUNDLE {}", names.join(" ")));
            }
        }
        for (i, medium) in self.media.iter().enumerate() {
            if i == self.played {
                self.push_played(&mut out, played);
            } else if self.carrier == Some(i) {
                push_carrier(&mut out, medium, played);
            } else {
                let Medium { kind, protocol, formats, .. } = medium;
                push(&mut out, &format!("m={kind} 0 {protocol} {formats}"));
                push(&mut out, "c=IN IP4 0.0.0.0");
                push(&mut out, "a=inactive");
                push_mid(&mut out, medium);
            }
        }
        out
    }

    fn push_played(&self, out: &mut String, played: &str) {
        for (i, line) in lines(played).filter(|line| !line.is_empty()).enumerate() {
            match attribute(line, "mid") {
                _ if i == 0 => push(out, &format!("m={line}")),
                Some(_) => push_mid(out, &self.media[self.played]),
                None if self.carrier.is_some() && line.starts_with("a=candidate:") => {}
                None => push(out, line),
            }
        }
    }
}

/// A medium for which nothing is sent, with the transport of the one that is played.
fn push_carrier(out: &mut String, medium: &Medium<'_>, played: &str) {
    let Medium { kind, protocol, formats, .. } = medium;
    push(out, &format!("m={kind} 9 {protocol} {formats}"));
    push(out, "c=IN IP4 0.0.0.0");
    for line in lines(played) {
        let transport = TRANSPORT.iter().any(|name| attribute(line, name).is_some());
        if transport || line.starts_with("a=candidate:") {
            push(out, line);
        }
    }
    push_mid(out, medium);
    push(out, "a=inactive");
    push(out, "a=rtcp-mux");
    for line in medium
        .lines
        .iter()
        .filter(|line| ["a=rtpmap:", "a=fmtp:"].iter().any(|start| line.starts_with(start)))
    {
        push(out, line);
    }
}

fn push_mid(out: &mut String, medium: &Medium<'_>) {
    if let Some(mid) = medium.mid() {
        push(out, &format!("a=mid:{mid}"));
    }
}

fn push(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{line}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webrtc::signal::{Description, parse_offer};

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    const KEYS: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
        a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
        10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\na=setup:actpass\r\n";
    const AUDIO: &str = "UDP/TLS/RTP/SAVPF 111 8\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\n\
        a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n";
    const VIDEO: &str = "UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtcp-mux\r\n\
        a=rtpmap:102 H264/90000\r\n\
        a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n";
    /// What str0m might say to a video.
    const SAID: &str = "v=0\r\no=str0m-0 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0\r\na=ice-lite\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\n\
        a=candidate:1 1 udp 2113937151 192.0.2.1 7000 typ host\r\na=ice-ufrag:wxyz\r\n\
        a=setup:passive\r\na=mid:0\r\na=sendonly\r\na=rtpmap:102 H264/90000\r\n";

    fn media(text: &str) -> Vec<&str> {
        text.split("\r\nm=").skip(1).collect()
    }

    fn code(text: &str) -> &'static str {
        Offer::parse(text).err().map_or("", |refusal| refusal.code)
    }

    #[test]
    fn candidates_are_in_the_video_wherever_it_stands() {
        let text = format!(
            "{HEAD}a=group:BUNDLE 1 2\r\nm=audio 9 {AUDIO}{KEYS}a=mid:0\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n{KEYS}\
             m=video 9 {VIDEO}{KEYS}a=mid:1\r\nm=hologram 9 x y\r\n"
        );
        let Description { sdp: _, offer } = parse_offer(&text).unwrap();
        assert_eq!(offer.name(), "1");
        let answer = offer.answer(SAID);
        assert!(answer.contains("\r\na=group:BUNDLE 1\r\n"), "{answer}");
        let all = media(&answer);
        assert_eq!(all.len(), 4);
        assert_eq!(
            all[0],
            "audio 0 UDP/TLS/RTP/SAVPF 111 8\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:0"
        );
        assert!(all[1].starts_with("application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
        assert!(all[2].starts_with("video 9 ") && all[2].contains("a=candidate:1 "), "{answer}");
        assert!(all[2].contains("a=mid:1\r\n"), "{answer}");
        assert_eq!(all[3], "hologram 0 x y\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    }

    #[test]
    fn what_the_video_hangs_on_stays_and_sends_nothing() {
        let text = format!(
            "{HEAD}a=group:BUNDLE 0 1\r\nm=audio 9 {AUDIO}{KEYS}a=mid:0\r\n\
             m=video 0 {VIDEO}a=bundle-only\r\na=mid:1\r\n"
        );
        let Description { offer, .. } = parse_offer(&text).unwrap();
        let alone = offer.alone();
        assert!(alone.contains("m=video 9 ") && alone.contains("a=ice-ufrag:abcd"), "{alone}");
        let answer = offer.answer(SAID);
        assert!(answer.contains("\r\na=group:BUNDLE 0 1\r\n"), "{answer}");
        let all = media(&answer);
        assert!(all[0].starts_with("audio 9 UDP/TLS/RTP/SAVPF 111 8\r\n"), "{answer}");
        for line in ["a=candidate:1 ", "a=ice-ufrag:wxyz", "a=setup:passive", "a=inactive"] {
            assert!(all[0].contains(line), "{answer}");
        }
        assert!(all[0].contains("a=rtpmap:111 opus/48000/2"), "{answer}");
        assert!(all[1].starts_with("video 9 ") && !all[1].contains("a=candidate"), "{answer}");
        // Browsers give it a port, and mean the same.
        let ported = text.replace("m=video 0", "m=video 9").replace("a=bundle-only\r\n", "");
        assert_eq!(parse_offer(&ported).unwrap().offer.answer(SAID), answer);
        // Behind a data channel, which is not there, there is nothing.
        let text = text.replace("m=audio 9 UDP/TLS/RTP/SAVPF", "m=application 9 UDP/DTLS/SCTP");
        assert_eq!(code(&text), "NOT_ACCEPTABLE");
    }

    #[test]
    fn names_come_back_as_they_were() {
        for mid in ["cam-0", "a-name-of-more-than-16-letters", "a.b_c"] {
            let text =
                format!("{HEAD}a=group:BUNDLE {mid}\r\nm=video 9 {VIDEO}{KEYS}a=mid:{mid}\r\n");
            let Description { offer, .. } = parse_offer(&text).unwrap();
            let alone = offer.alone();
            assert!(!alone.contains(mid) && !alone.contains(MID_EXTENSION), "{alone}");
            let answer = offer.answer(SAID);
            assert!(answer.contains(&format!("\r\na=mid:{mid}\r\n")), "{answer}");
            assert!(answer.contains(&format!("\r\na=group:BUNDLE {mid}\r\n")), "{answer}");
        }
        // Without a name there is none in the answer.
        let text = format!("{HEAD}m=video 9 {VIDEO}{KEYS}");
        let Description { offer, .. } = parse_offer(&text).unwrap();
        let answer = offer.answer(SAID);
        assert!(!answer.contains("a=mid") && !answer.contains("BUNDLE"), "{answer}");
    }

    #[test]
    fn what_is_no_medium_or_receives_nothing_is_refused() {
        for (media, want) in [
            ("m=video 9 x\r\n", "INVALID_SDP"),
            ("m=video what x y\r\n", "INVALID_SDP"),
            ("m=video 9 x y\r\na=mid:1\r\nm=audio 9 x y\r\na=mid:1\r\n", "INVALID_SDP"),
            ("m=video 9 x y\r\na=sendonly\r\n", "NOT_ACCEPTABLE"),
            ("m=video 0 x y\r\n", "NOT_ACCEPTABLE"),
            ("m=video 9 x y\r\n", ""),
            ("m=video 9 x y\r\na=inactive\r\nm=video 9 x y\r\n", ""),
        ] {
            assert_eq!(code(&format!("{HEAD}{media}")), want, "{media}");
        }
        assert_eq!(code(&format!("{HEAD}a=inactive\r\nm=video 9 x y\r\n")), "NOT_ACCEPTABLE");
    }
}
