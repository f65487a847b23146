//! The one thing that a load client wants of a session description: its video track.

/// How the RTP payload is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// RFC 6184.
    #[default]
    H264,
    /// RFC 7798.
    H265,
    /// RFC 2435.
    Jpeg,
    /// Anything else: frames are counted by the marker bit alone.
    Other,
}

/// The first video track of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Its payload format.
    pub codec: Codec,
    /// Units of its RTP time stamps per second.
    pub clock_rate: u32,
    /// `a=control` of the track.
    pub control: String,
    /// `a=control` of the session, for PLAY.
    pub session_control: String,
}

/// Finds the first video track in `sdp`.
pub fn video_track(sdp: &str) -> Option<Track> {
    let mut session_control = String::new();
    let mut track: Option<(Track, &str)> = None;
    let mut in_video = false;
    let mut in_media = false;
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            if track.is_some() {
                break;
            }
            in_media = true;
            in_video = media.starts_with("video ");
            if in_video {
                let payload_type = media.split(' ').nth(3).unwrap_or("");
                let codec = if payload_type == "26" { Codec::Jpeg } else { Codec::Other };
                let fresh = Track {
                    codec,
                    clock_rate: 90_000,
                    control: String::new(),
                    session_control: String::new(),
                };
                track = Some((fresh, payload_type));
            }
        } else if let Some(control) = line.strip_prefix("a=control:") {
            match (&mut track, in_video, in_media) {
                (Some((track, _)), true, _) => control.clone_into(&mut track.control),
                (_, _, false) => control.clone_into(&mut session_control),
                _ => {}
            }
        } else if let (Some(map), Some((track, payload_type)), true) =
            (line.strip_prefix("a=rtpmap:"), &mut track, in_video)
        {
            read_rtpmap(map, payload_type, track);
        }
    }
    let (mut track, _) = track?;
    track.session_control = session_control;
    Some(track)
}

/// `96 H264/90000`.
fn read_rtpmap(map: &str, payload_type: &str, track: &mut Track) {
    let Some((number, encoding)) = map.split_once(' ') else { return };
    if number != payload_type {
        return;
    }
    let mut parts = encoding.trim().split('/');
    track.codec = match parts.next().unwrap_or("").to_ascii_uppercase().as_str() {
        "H264" => Codec::H264,
        "H265" => Codec::H265,
        "JPEG" => Codec::Jpeg,
        _ => Codec::Other,
    };
    if let Some(rate) = parts.next().and_then(|r| r.parse().ok()).filter(|r| *r > 0) {
        track.clock_rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_after_audio() {
        let sdp = "v=0\r\na=control:*\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 OPUS/48000/2\r\n\
                   a=control:trackID=1\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n\
                   a=control:trackID=2\r\nm=application 0 RTP/AVP 98\r\na=control:trackID=3\r\n";
        let track = video_track(sdp).unwrap();
        assert_eq!((track.codec, track.clock_rate), (Codec::H265, 90_000));
        assert_eq!((track.control.as_str(), track.session_control.as_str()), ("trackID=2", "*"));
        assert_eq!(video_track("v=0\r\nm=audio 0 RTP/AVP 0\r\n"), None);
    }

    #[test]
    fn static_jpeg_has_no_rtpmap() {
        let track = video_track("m=video 0 RTP/AVP 26\n").unwrap();
        assert_eq!((track.codec, track.control.as_str()), (Codec::Jpeg, ""));
    }
}
