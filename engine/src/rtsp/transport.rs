//! The `Transport` header (RFC 2326 section 12.39).

use std::fmt;
use std::net::IpAddr;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lower {
    /// Interleaved with RTSP.
    Tcp,
    /// As datagrams.
    Udp,
}

/// One of the transports that a client can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Interleaved or datagrams.
    pub lower: Lower,
    /// To a group.
    pub multicast: bool,
    /// The client's two ports, or the group's.
    pub client_port: Option<(u16, u16)>,
    /// The two channels.
    pub interleaved: Option<(u8, u8)>,
    /// `mode=record`.
    pub record: bool,
}

/// Most transports that are looked at in one header.
const MAX_OFFERS: usize = 16;

/// Parses the header. Transports that are not known (RAW, SAVP, …) are left out.
pub fn parse(header: &str) -> Vec<Offer> {
    header.split(',').take(MAX_OFFERS).filter_map(|spec| Offer::parse(spec.trim())).collect()
}

impl Offer {
    fn parse(spec: &str) -> Option<Self> {
        let mut fields = spec.split(';').map(str::trim);
        let lower = match fields.next()?.to_ascii_uppercase().as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => Lower::Udp,
            "RTP/AVP/TCP" => Lower::Tcp,
            _ => return None,
        };
        let mut out =
            Self { lower, multicast: false, client_port: None, interleaved: None, record: false };
        for field in fields {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "multicast" => out.multicast = true,
                "client_port" | "port" => out.client_port = Some(pair(value)?),
                "interleaved" => out.interleaved = Some(pair(value)?),
                "mode" => {
                    let mode = value.trim().trim_matches('"').to_ascii_lowercase();
                    out.record = matches!(mode.as_str(), "record" | "receive");
                }
                _ => {}
            }
        }
        Some(out)
    }
}

/// `a-b`, or `a`, which means `a` and the next.
fn pair<T: Copy + std::str::FromStr + TryFrom<u32> + Into<u32>>(value: &str) -> Option<(T, T)> {
    let (a, b) = value.split_once('-').unwrap_or((value, ""));
    let first: T = a.trim().parse().ok()?;
    let second = match b.trim() {
        "" => T::try_from(first.into() + 1).ok()?,
        b => b.parse().ok()?,
    };
    Some((first, second))
}

/// The transport that was chosen, as the answer says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Interleaved on two channels.
    Tcp {
        /// RTP and RTCP.
        channels: (u8, u8),
    },
    /// To the client's address.
    Udp {
        /// The client's.
        client: (u16, u16),
        /// Ours.
        server: (u16, u16),
    },
    /// To a group.
    Multicast {
        /// Group.
        group: IpAddr,
        /// RTP and RTCP.
        ports: (u16, u16),
        /// How far it goes.
        ttl: u8,
    },
}

/// The header of an answer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Transport.
    pub chosen: &'a Chosen,
    /// SSRC of our packets; none when the client sends.
    pub ssrc: Option<u32>,
    /// Whether the client sends.
    pub record: bool,
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chosen {
            Chosen::Tcp { channels: (a, b) } => {
                write!(f, "RTP/AVP/TCP;unicast;interleaved={a}-{b}")?;
            }
            Chosen::Udp { client, server } => write!(
                f,
                "RTP/AVP;unicast;client_port={}-{};server_port={}-{}",
                client.0, client.1, server.0, server.1
            )?,
            Chosen::Multicast { group, ports, ttl } => write!(
                f,
                "RTP/AVP;multicast;destination={group};port={}-{};ttl={ttl}",
                ports.0, ports.1
            )?,
        }
        if let Some(ssrc) = self.ssrc {
            write!(f, ";ssrc={ssrc:08X}")?;
        }
        f.write_str(if self.record { ";mode=\"RECORD\"" } else { ";mode=\"PLAY\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_players_send() {
        let ffmpeg = parse("RTP/AVP/UDP;unicast;client_port=21650-21651");
        assert_eq!(ffmpeg[0].client_port, Some((21650, 21651)));
        let gst =
            parse("RTP/AVP/UDP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=0-1");
        assert_eq!((gst[0].lower, gst[1].lower), (Lower::Udp, Lower::Tcp));
        assert_eq!(gst[1].interleaved, Some((0, 1)));
        let recording = parse("RTP/AVP/TCP;unicast;interleaved=0-1;mode=record");
        assert!(recording[0].record);
        let group = parse("RTP/AVP;multicast;mode=\"PLAY\"");
        assert!(group[0].multicast && !group[0].record);
    }

    #[test]
    fn what_is_unknown_or_broken_is_left_out() {
        for header in [
            "",
            "RAW/RAW/UDP;unicast",
            "RTP/SAVP;unicast;client_port=1-2",
            "RTP/AVP;client_port=70000-70001",
            "RTP/AVP/TCP;interleaved=255",
            "RTP/AVP;client_port=x",
        ] {
            assert!(parse(header).is_empty(), "{header}");
        }
        assert_eq!(parse(&"RTP/AVP,".repeat(1000)).len(), MAX_OFFERS);
    }
}
