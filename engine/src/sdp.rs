//! SDP (RFC 8866) of our streams, and what a publisher's SDP says.

use crate::config::Extensions;
use crate::publish::Parameters;
use crate::rtp::extension;
use crate::rtp::packet::{CLOCK_RATE, payload_type};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::unit::Codec;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// What our only track is called in `a=control` and in URLs.
pub const TRACK: &str = "trackID=0";

/// Address, port of RTP and time to live of a multicast group.
pub type Group = (Ipv4Addr, u16, u8);

/// What a session's metadata are called, likewise.
pub const METADATA_TRACK: &str = "trackID=1";

/// The medium of metadata (ONVIF Streaming Specification, "RTSP": `vnd.onvif.metadata`).
pub fn metadata_medium() -> String {
    let payload = crate::rtp::metadata::PAYLOAD_TYPE;
    format!(
        "m=application 0 RTP/AVP {payload}\r\n\
         a=rtpmap:{payload} vnd.onvif.metadata/{CLOCK_RATE}\r\n\
         a=recvonly\r\na=control:{METADATA_TRACK}\r\n"
    )
}

/// Describes a camera's metadata alone.
pub fn describe_metadata(name: &str, origin: u64) -> String {
    format!(
        "v=0\r\no=- {origin} 1 IN IP4 0.0.0.0\r\ns={name}\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         a=tool:lensd\r\na=type:broadcast\r\na=control:*\r\na=range:npt=now-\r\n{}",
        metadata_medium()
    )
}

/// Describes a stream. `origin` makes the session's id; `group` is set for multicast: who has that
/// description can listen without asking for more.
pub fn describe(
    name: &str,
    parameters: &Parameters,
    extensions: Extensions,
    origin: u64,
    fps: f64,
    group: Option<Group>,
) -> String {
    let kind = "a=type:broadcast\r\na=control:*\r\na=range:npt=now-";
    write(name, parameters, extensions, origin, fps, (kind, group))
}

/// Describes a recording; `until` is its end as a normal play time, empty while it grows.
pub fn describe_stored(
    name: &str,
    parameters: &Parameters,
    extensions: Extensions,
    origin: u64,
    fps: f64,
    until: &str,
) -> String {
    let kind = format!("a=control:*\r\na=range:npt=0-{until}");
    write(name, parameters, extensions, origin, fps, (&kind, None))
}

fn write(
    name: &str,
    parameters: &Parameters,
    extensions: Extensions,
    origin: u64,
    fps: f64,
    (kind, group): (&str, Option<Group>),
) -> String {
    let payload = payload_type(parameters.codec);
    // RFC 8866 section 5.7: a group's address has its time to live behind it.
    let (address, port) = match group {
        Some((address, port, ttl)) => (format!("{address}/{ttl}"), port),
        None => ("0.0.0.0".to_owned(), 0),
    };
    let mut out = format!(
        "v=0\r\no=- {origin} 1 IN IP4 0.0.0.0\r\ns={name}\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         a=tool:lensd\r\n{kind}\r\n\
         m=video {port} RTP/AVP {payload}\r\na=rtpmap:{payload} {}/{CLOCK_RATE}\r\n",
        parameters.codec.name()
    );
    let format = match parameters.codec {
        Codec::H264 => h264_format(&parameters.sets),
        Codec::H265 => h265_format(&parameters.sets),
        Codec::Jpeg => None,
    };
    // Writing to a String cannot fail.
    if let Some(format) = format {
        let _ = write!(out, "a=fmtp:{payload} {format}\r\n");
    }
    if parameters.width > 0 {
        let _ = write!(
            out,
            "a=framesize:{payload} {}-{}\r\na=cliprect:0,0,{},{}\r\n",
            parameters.width, parameters.height, parameters.height, parameters.width
        );
    }
    if fps > 0.0 {
        let _ = write!(out, "a=framerate:{fps:.2}\r\n");
    }
    for (id, uri) in extension::maps(extensions) {
        let _ = write!(out, "a=extmap:{id} {uri}\r\n");
    }
    let _ = write!(out, "a=recvonly\r\na=control:{TRACK}\r\n");
    out
}

/// RFC 6184 section 8.1.
fn h264_format(sets: &[Vec<u8>]) -> Option<String> {
    let sps = sets.iter().find(|s| s.first().is_some_and(|b| b & 31 == 7) && s.len() >= 4)?;
    let all: Vec<String> = sets.iter().map(|s| STANDARD.encode(s)).collect();
    Some(format!(
        "packetization-mode=1; profile-level-id={:02X}{:02X}{:02X}; sprop-parameter-sets={}",
        sps[1],
        sps[2],
        sps[3],
        all.join(",")
    ))
}

/// RFC 7798 section 7.1.
fn h265_format(sets: &[Vec<u8>]) -> Option<String> {
    let of = |kind: u8| {
        let found: Vec<String> = sets
            .iter()
            .filter(|s| s.first().is_some_and(|b| b >> 1 & 63 == kind))
            .map(|s| STANDARD.encode(s))
            .collect();
        (!found.is_empty()).then(|| found.join(","))
    };
    Some(format!("sprop-vps={}; sprop-sps={}; sprop-pps={}", of(32)?, of(33)?, of(34)?))
}

/// What a publisher announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Coding of its video.
    pub codec: Codec,
    /// Its RTP payload type.
    pub payload_type: u8,
    /// Its track's `a=control`.
    pub control: String,
    /// Whether there are other tracks.
    pub several: bool,
    /// Parameter sets from SDP, with which its key frames are completed.
    pub sets: Vec<Vec<u8>>,
}

/// Reads a publisher's SDP: the first video track that can be taken.
///
/// # Errors
/// What is missing, for the answer.
pub fn parse_announce(body: &[u8]) -> Result<Announced, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| "the SDP is not text")?;
    let mut payload = None;
    let mut out = Announced {
        codec: Codec::H264,
        payload_type: 0,
        control: String::new(),
        several: text.lines().take(512).filter(|l| l.starts_with("m=")).count() > 1,
        sets: Vec::new(),
    };
    let mut known = false;
    for line in text.lines().take(512) {
        if let Some(media) = line.strip_prefix("m=") {
            if known {
                break;
            }
            let mut words = media.split_whitespace();
            let video = words.next() == Some("video");
            payload = words.nth(2).filter(|_| video).and_then(|p| p.parse::<u8>().ok());
            continue;
        }
        let (Some(number), Some(attribute)) = (payload, line.strip_prefix("a=")) else { continue };
        if let Some(map) = attribute.strip_prefix("rtpmap:") {
            let (id, name) = map.split_once(' ').unwrap_or((map, ""));
            if id.parse() == Ok(number) {
                out.codec = match name.split('/').next() {
                    Some(n) if n.eq_ignore_ascii_case("h264") => Codec::H264,
                    _ => return Err("only H.264 video is taken"),
                };
                out.payload_type = number;
                known = true;
            }
        } else if let Some(format) = attribute.strip_prefix("fmtp:") {
            for item in format.split(';') {
                let item = item.trim().rsplit(' ').next().unwrap_or_default();
                if let Some(sets) = item.strip_prefix("sprop-parameter-sets=") {
                    out.sets =
                        sets.split(',').take(8).filter_map(|s| STANDARD.decode(s).ok()).collect();
                }
            }
        } else if let Some(control) = attribute.strip_prefix("control:") {
            control.clone_into(&mut out.control);
        }
    }
    if known { Ok(out) } else { Err("the SDP has no video track with an rtpmap") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_description_is_read_back() {
        let sets = vec![vec![0x67, 0x42, 0xc0, 0x1f, 1], vec![0x68, 2]];
        let parameters = Parameters { codec: Codec::H264, width: 640, height: 360, sets };
        let both = Extensions { ntp64: true, abs_capture_time: true };
        let text = describe("stream1", &parameters, both, 7, 30.0, None);
        assert!(text.contains("profile-level-id=42C01F"));
        assert!(
            text.contains("a=extmap:1 urn:ietf:params:rtp-hdrext:ntp-64\r\na=extmap:2 http://")
        );
        assert!(text.lines().all(|l| l.as_bytes()[1] == b'='));
        let read = parse_announce(text.as_bytes()).unwrap();
        assert_eq!(read.sets, parameters.sets);
        assert_eq!((read.payload_type, read.control.as_str()), (96, TRACK));
        let group = Some(([239, 1, 2, 3].into(), 6000, 7));
        let all = describe("stream1", &parameters, both, 7, 30.0, group) + &metadata_medium();
        for line in ["c=IN IP4 239.1.2.3/7", "m=video 6000 RTP/AVP 96"] {
            assert!(all.lines().any(|l| l == line), "{all}");
        }
        assert!(
            all.contains("m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000")
        );
        assert_eq!(parse_announce(all.as_bytes()).unwrap().sets, parameters.sets);
    }

    #[test]
    fn what_cannot_be_taken_is_refused() {
        for sdp in [
            "",
            "m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
            "m=video 0 RTP/AVP 98\r\na=rtpmap:98 VP8/90000\r\n",
            "m=video 0 RTP/AVP 96\r\n",
        ] {
            assert!(parse_announce(sdp.as_bytes()).is_err(), "{sdp}");
        }
        assert!(parse_announce(&[0xff, 0xfe]).is_err());
    }
}
