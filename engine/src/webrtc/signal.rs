//! What is read of session descriptions and candidates before str0m gets them, and how the stream's
//! coding is fitted to an offer.

use super::offer::Offer;
use crate::publish::Parameters;
use lensd_ffi::rtc::MAX_SDP;
use lensd_ffi::syntax::h264::parse_sps;
use lensd_ffi::unit::Codec;
use serde_json::Value;
use str0m::Candidate;
use str0m::change::{SdpAnswer, SdpOffer};

/// Most media of a description: a browser's page has two or three.
const MAX_MEDIA: usize = 16;
/// Most lines of a description.
const MAX_LINES: usize = 2048;
/// Most candidates of one fragment.
const MAX_CANDIDATES: usize = 32;

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As [`lensd_ffi::link::Answer::Fault`] has it.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Refusal {
    /// With words.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// It is no such description.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("INVALID_SDP", message)
    }

    /// It is one, but nothing in it can be served.
    pub fn unacceptable(message: impl Into<String>) -> Self {
        Self::new("NOT_ACCEPTABLE", message)
    }
}

/// Checks what str0m does not, or not in words.
fn check(sdp: &str) -> Result<(), Refusal> {
    if sdp.len() > MAX_SDP {
        let message = format!("a session description has at most {MAX_SDP} bytes");
        return Err(Refusal::new("TOO_LARGE", message));
    }
    if !sdp.starts_with("v=0\r\n") && !sdp.starts_with("v=0\n") {
        return Err(Refusal::invalid("a session description (RFC 8866) begins with the line v=0"));
    }
    if sdp.contains(|c: char| c.is_control() && !"\r\n\t".contains(c)) {
        return Err(Refusal::invalid("the session description has control characters in it"));
    }
    let media = || lines(sdp).filter_map(|line| line.strip_prefix("m="));
    if lines(sdp).count() > MAX_LINES || count_media(sdp) > MAX_MEDIA {
        let message = format!("at most {MAX_MEDIA} media and {MAX_LINES} lines are read");
        return Err(Refusal::new("TOO_LARGE", message));
    }
    if !media().any(|m| m.starts_with("video ")) {
        let message = "there is no m=video in it: add a transceiver for video, recvonly";
        return Err(Refusal::unacceptable(message));
    }
    Ok(())
}

/// Its lines, without their ends.
pub fn lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.split('\n').map(|line| line.trim_end_matches('\r'))
}

/// How many media there are.
pub fn count_media(sdp: &str) -> usize {
    lines(sdp).filter(|line| line.starts_with("m=")).count()
}

fn unreadable(e: impl std::fmt::Display) -> Refusal {
    // It may quote the whole description.
    let why: String = e.to_string().chars().take(300).collect();
    Refusal::invalid(format!("the session description cannot be read: {why}"))
}

/// A client's offer, and what str0m is told of it.
#[derive(Debug)]
pub struct Description<'a> {
    /// [`Offer::alone`].
    pub sdp: SdpOffer,
    /// The whole one.
    pub offer: Offer<'a>,
}

/// A client's offer.
///
/// # Errors
/// `INVALID_SDP`, `TOO_LARGE`, `NOT_ACCEPTABLE`.
pub fn parse_offer(sdp: &str) -> Result<Description<'_>, Refusal> {
    check(sdp)?;
    let offer = Offer::parse(sdp)?;
    let sdp = SdpOffer::from_sdp_string(&offer.alone()).map_err(unreadable)?;
    Ok(Description { sdp, offer })
}

/// A client's answer.
///
/// # Errors
/// As [`parse_offer`].
pub fn parse_answer(sdp: &str) -> Result<SdpAnswer, Refusal> {
    check(sdp)?;
    SdpAnswer::from_sdp_string(sdp).map_err(unreadable)
}

/// The value of the first attribute of this name.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    lines(sdp).find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// What a client says of its way to us, a piece at a time (RFC 8840 section 9).
#[derive(Debug, Default)]
pub struct Fragment {
    /// `a=ice-ufrag`.
    pub ufrag: Option<String>,
    /// `a=mid`.
    pub mid: Option<String>,
    /// Those that can be used; names of mDNS and candidates of TCP are passed over.
    pub candidates: Vec<Candidate>,
}

/// Reads `application/trickle-ice-sdpfrag`.
///
/// # Errors
/// `INVALID_SDP`, `TOO_LARGE`.
pub fn parse_fragment(text: &str) -> Result<Fragment, Refusal> {
    if text.len() > MAX_SDP {
        let message = format!("a fragment has at most {MAX_SDP} bytes");
        return Err(Refusal::new("TOO_LARGE", message));
    }
    let mut fragment = Fragment::default();
    let mut count = 0;
    for line in lines(text).filter(|line| !line.is_empty()) {
        let Some((kind, rest)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(Refusal::invalid("a line of the fragment is not LETTER=VALUE"));
        };
        let Some((name, value)) = rest.split_once(':').filter(|_| kind == "a") else { continue };
        match name {
            "ice-ufrag" => fragment.ufrag = Some(value.to_owned()),
            "mid" => fragment.mid = fragment.mid.or_else(|| Some(value.to_owned())),
            "candidate" => {
                count += 1;
                if count > MAX_CANDIDATES {
                    let message = format!("a fragment has at most {MAX_CANDIDATES} candidates");
                    return Err(Refusal::new("TOO_LARGE", message));
                }
                // What cannot be used is no fault: we find the client by its own checks.
                if let Ok(candidate) = Candidate::from_sdp_string(rest)
                    && candidate.proto() == str0m::net::Protocol::Udp
                {
                    fragment.candidates.push(candidate);
                }
            }
            _ => {}
        }
    }
    Ok(fragment)
}

/// What may be done about a stream that cannot be played. `again`: the name of the same camera's
/// stream that lensd codes, if it codes that one alone.
pub fn advice(passed: bool, again: Option<&str>) -> String {
    match again {
        _ if !passed => {
            "the setting encoder-profile changes it; baseline is what all play".to_owned()
        }
        Some(name) => format!(
            "it is passed through as the camera codes it, and set there; {name} is coded again"
        ),
        None => "it is passed through as the camera codes it, and set there".to_owned(),
    }
}

/// The values of `profile-level-id` (RFC 6184 section 8.1) under which a stream may be sent, the best
/// first: its own profile, and those whose decoders must decode it too (ISO/IEC 14496-10 A.2).
/// `reorders`: whether its captures have been seen to go back.
///
/// # Errors
/// `NOT_ACCEPTABLE`, in words that end with the advice, for a stream that no browser plays.
pub fn profiles(
    parameters: &Parameters,
    reorders: bool,
    name: &str,
    advice: &str,
) -> Result<Vec<u32>, Refusal> {
    let coding = match parameters.codec {
        Codec::H264 => None,
        Codec::H265 => Some("H.265"),
        Codec::Jpeg => Some("JPEG pictures"),
    };
    if let Some(coding) = coding {
        let message = format!(
            "{name} is {coding}, and WebRTC is served with H.264: ask for another stream \
             (/api/streams says how each is coded)"
        );
        return Err(Refusal::unacceptable(message));
    }
    let Some(sps) = parameters.sets.iter().find_map(|set| parse_sps(set)) else {
        let message = format!("{name} has no parameter set that can be read");
        return Err(Refusal::unacceptable(message));
    };
    // RTP of WebRTC has no decoding times, and its receivers show what is decoded as it comes.
    if sps.max_num_reorder_frames.map_or(reorders, |frames| frames > 0) {
        let message = format!(
            "{name} has B pictures, which browsers show only now and then: they put none into \
             order. {advice}"
        );
        return Err(Refusal::unacceptable(message));
    }
    // Streams that call themselves Baseline without constraint_set1_flag use nothing of it that
    // Constrained Baseline has not (FMO, ASO): no encoder for live pictures does.
    let families: &[u32] = match sps.profile_idc {
        66 => &[0x42e0, 0x4200, 0x4d00, 0x6400],
        77 => &[0x4d00, 0x6400],
        100 => &[0x6400],
        other => {
            let message =
                format!("{name} is H.264 of profile {other}, which browsers do not play: {advice}");
            return Err(Refusal::unacceptable(message));
        }
    };
    let level = u32::from(sps.level_idc);
    Ok(families.iter().map(|family| family << 8 | level).collect())
}

/// Checks the list of STUN and TURN servers that clients are told of: objects as `RTCIceServer` has
/// them (WebRTC 1.0 section 4.2.4).
///
/// # Errors
/// What is wrong, for a person.
pub fn check_ice_servers(value: &Value) -> Result<(), String> {
    const SHAPE: &str = "Value must be a list of {urls, username, credential}, where urls is one or \
                         a list of stun:HOST:PORT, turn:HOST:PORT, stuns: and turns:";
    /// Most servers: browsers slow down with more than a few.
    const MOST: usize = 8;
    let list = match value {
        Value::Null => return Ok(()),
        Value::Array(list) if list.len() <= MOST => list,
        Value::Array(_) => return Err(format!("Value must have at most {MOST} servers")),
        _ => return Err(SHAPE.to_owned()),
    };
    let is_url = |url: &Value| {
        let url = url.as_str().unwrap_or_default();
        let schemes = ["stun:", "stuns:", "turn:", "turns:"];
        let plain = |c: char| c.is_ascii_graphic() && !"<>\"\\,;".contains(c);
        schemes.iter().any(|s| url.len() > s.len() && url.starts_with(s)) && url.chars().all(plain)
    };
    let is_text = |text: &Value| {
        let plain = |c: char| !c.is_control() && !"\"\\".contains(c);
        text.as_str().is_some_and(|t| t.is_ascii() && t.chars().all(plain))
    };
    let is_server = |server: &Value| {
        let Value::Object(members) = server else { return false };
        let urls = match members.get("urls") {
            Some(Value::Array(urls)) => !urls.is_empty() && urls.iter().all(is_url),
            Some(url) => is_url(url),
            None => false,
        };
        urls && members.iter().all(|(name, value)| match name.as_str() {
            "urls" => true,
            "username" | "credential" => is_text(value),
            _ => false,
        })
    };
    if list.iter().all(is_server) { Ok(()) } else { Err(SHAPE.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code<T>(result: Result<T, Refusal>) -> &'static str {
        result.err().map_or("", |refusal| refusal.code)
    }

    #[test]
    fn what_is_no_offer_is_refused_in_words() {
        for (bad, want) in [
            ("", "INVALID_SDP"),
            ("hello", "INVALID_SDP"),
            ("v=0\r\nm=video 9 x\0\r\n", "INVALID_SDP"),
            ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", "NOT_ACCEPTABLE"),
            ("v=0\r\nm=video what\r\n", "INVALID_SDP"),
        ] {
            assert_eq!(code(parse_offer(bad)), want, "{bad:?}");
        }
        let long = format!("v=0\r\n{}", "a=x\r\n".repeat(MAX_LINES));
        assert_eq!(code(parse_offer(&long)), "TOO_LARGE");
        assert_eq!(code(parse_offer(&"x".repeat(MAX_SDP + 1))), "TOO_LARGE");
    }

    #[test]
    fn a_fragment_is_read_and_what_cannot_be_used_is_passed_over() {
        let text = "a=ice-ufrag:abcd\r\na=ice-pwd:x\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                    a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host\r\n\
                    a=candidate:2 1 udp 2130706431 0d2f.local 5000 typ host\r\n\
                    a=candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\r\n\
                    a=end-of-candidates\r\n";
        let fragment = parse_fragment(text).unwrap();
        assert_eq!((fragment.ufrag.as_deref(), fragment.mid.as_deref()), (Some("abcd"), Some("0")));
        assert_eq!(fragment.candidates.len(), 1);
        assert_eq!(code(parse_fragment("nonsense")), "INVALID_SDP");
        let many = "a=candidate:x\r\n".repeat(MAX_CANDIDATES + 1);
        assert_eq!(code(parse_fragment(&many)), "TOO_LARGE");
    }

    #[test]
    fn a_stream_is_offered_under_what_decodes_it() {
        // What libx264 says of 320x180, level 3.
        let baseline = vec![
            0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x01, 0x41, 0x9f, 0x9f, 0x01, 0x10, 0x00, 0x00, 0x03,
            0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20, 0xf1, 0x62, 0xe4, 0x80,
        ];
        let main = [&[baseline[0], 77], &baseline[2..]].concat();
        // One that says no more than it must.
        let high = vec![0x67, 0x64, 0x00, 0x1e, 0xac, 0xb4, 0x0a, 0x0c, 0xc8];
        let of = |codec, sets| {
            let parameters = Parameters { codec, sets, ..Parameters::default() };
            profiles(&parameters, false, "cam1/main", "so")
        };
        let of_sps = |sps: Vec<u8>| of(Codec::H264, vec![sps]);
        let all = [0x0042_e01e, 0x0042_001e, 0x004d_001e, 0x0064_001e];
        assert_eq!(of_sps(baseline.clone()).unwrap(), all);
        assert_eq!(of_sps(main).unwrap(), all[2..]);
        assert_eq!(of_sps(high).unwrap(), all[3..]);
        let extended = [&[baseline[0], 88], &baseline[2..]].concat();
        assert_eq!(code(of_sps(extended)), "NOT_ACCEPTABLE");
        for codec in [Codec::H265, Codec::Jpeg] {
            let refusal = of(codec, Vec::new()).unwrap_err();
            assert_eq!(refusal.code, "NOT_ACCEPTABLE");
            assert!(refusal.message.contains("/api/streams"), "{}", refusal.message);
        }
        assert_eq!(code(of(Codec::H264, Vec::new())), "NOT_ACCEPTABLE");
    }

    #[test]
    fn b_pictures_are_refused_with_what_may_be_done() {
        // What libx264 says of 1920x1080 in High: max_num_reorder_frames is 2.
        let reorders = vec![
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x60, 0xc6, 0x58,
        ];
        let advice = advice(true, Some("cam1/sub"));
        let of = |sps: &[u8], seen| {
            let parameters = Parameters { sets: vec![sps.to_vec()], ..Parameters::default() };
            profiles(&parameters, seen, "cam1/main", &advice)
        };
        let refusal = of(&reorders, false).unwrap_err();
        assert_eq!(refusal.code, "NOT_ACCEPTABLE");
        assert!(refusal.message.contains("B pictures"), "{}", refusal.message);
        assert!(refusal.message.ends_with("cam1/sub is coded again"), "{}", refusal.message);
        // One that says nothing of it is known by its captures.
        let silent = [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x06, 0x64];
        assert!(parse_sps(&silent).unwrap().max_num_reorder_frames.is_none());
        assert_eq!((code(of(&silent, false)), code(of(&silent, true))), ("", "NOT_ACCEPTABLE"));
        assert!(super::advice(false, None).contains("encoder-profile"));
        assert!(!super::advice(true, None).contains("encoder-profile"));
    }

    #[test]
    fn ice_servers_are_as_browsers_take_them() {
        for good in [
            json!(null),
            json!([]),
            json!([{ "urls": "stun:stun.example:3478" }]),
            json!([{ "urls": ["turn:t.example", "turns:t.example:443?transport=tcp"],
                     "username": "u", "credential": "c" }]),
        ] {
            assert_eq!(check_ice_servers(&good), Ok(()), "{good}");
        }
        for bad in [
            json!({}),
            json!(["stun:x"]),
            json!([{ "urls": "http://x" }]),
            json!([{ "urls": [] }]),
            json!([{ "urls": "stun:a\r\nX: y" }]),
            json!([{ "urls": "stun:a>; rel=\"x\"" }]),
            json!([{ "urls": "turn:a", "credential": 5 }]),
            json!([{ "urls": "turn:a", "other": "x" }]),
        ] {
            assert!(check_ice_servers(&bad).is_err(), "{bad}");
        }
    }
}
