//! PLAY: of a stream from now on, of a recording from anywhere.

use super::{House, Onvif, Session, State, Wanted, base_of, warn};
use crate::rtsp::path::Path;
use crate::rtsp::wire::{Request, Response, Status};
use crate::sdp::{METADATA_TRACK, TRACK};

impl Session {
    /// `None`: a recording's reader has not found the place yet.
    pub(super) fn play(
        &mut self,
        request: &Request,
        path: &Path,
        late: bool,
        house: &mut dyn House,
    ) -> Option<Response> {
        let (range, scale) = (request.header("Range"), request.header("Scale"));
        let says = |name: &str, value: &str| {
            request.header(name).is_some_and(|header| header.trim().starts_with(value))
        };
        let cseq = request.header("CSeq").and_then(|cseq| cseq.parse::<u32>().ok()).unwrap_or(0);
        let onvif = is_onvif(request).then(|| Onvif {
            cseq: cseq.to_be_bytes()[3],
            unpaced: says("Rate-Control", "no"),
            keys: says("Frames", "intra"),
        });
        let wanted = Wanted { range, scale, onvif };
        match self.state {
            State::Init => return Some(warn(Status::NOT_VALID_IN_STATE, "SETUP first")),
            State::Recording => {
                return Some(warn(Status::NOT_VALID_IN_STATE, "this session records"));
            }
            State::Ready if self.announced.is_some() => {
                return Some(warn(Status::NOT_VALID_IN_STATE, "RECORD is what follows ANNOUNCE"));
            }
            // A PLAY while playing changes nothing (live555 sends them to keep the session alive),
            // unless it asks for another part of a recording.
            State::Playing if !house.uses(&self.path).stored => {
                let answer = Response::new(Status::OK).with("Range", "npt=now-");
                return Some(self.with_session(answer));
            }
            State::Playing | State::Ready => {}
        }
        if path.name != self.path.name {
            return Some(Response::new(Status::NOT_FOUND));
        }
        let start = match house.play(&self.path, &wanted) {
            Ok(None) if late => {
                house.pause();
                self.state = State::Ready;
                return Some(warn(Status::UNAVAILABLE, "the recording's disk does not answer"));
            }
            Ok(None) => return None,
            Err(Status::INVALID_RANGE) => {
                // What was played is let go when elsewhere is looked for.
                house.pause();
                self.state = State::Ready;
                return Some(warn(Status::INVALID_RANGE, "npt or clock, within the recording"));
            }
            Err(status) => return Some(Response::new(status)),
            Ok(Some(start)) => start,
        };
        self.state = State::Playing;
        if start.same {
            let range = start.range.unwrap_or_default();
            return Some(self.with_session(Response::new(Status::OK).with("Range", range)));
        }
        let track = if self.path.is_metadata() { METADATA_TRACK } else { TRACK };
        let mut info = format!("url={}/{track}", base_of(&request.uri));
        if let Some(seq) = start.seq {
            info.push_str(&format!(";seq={seq}"));
        }
        if let Some(time) = start.time {
            info.push_str(&format!(";rtptime={time}"));
        }
        let range = start.range.unwrap_or_else(|| "npt=now-".to_owned());
        let mut response = Response::new(Status::OK).with("Range", range);
        if let Some(scale) = start.scale {
            response = response.with("Scale", scale.to_string());
        }
        if onvif.is_some() {
            response = response.with("Rate-Control", if start.unpaced { "no" } else { "yes" });
        }
        Some(self.with_session(response.with("RTP-Info", info)))
    }
}

/// Whether ONVIF's replay is required, and nothing else.
pub(super) fn is_onvif(request: &Request) -> bool {
    request.header("Require").map(str::trim) == Some("onvif-replay")
        && request.header("Proxy-Require").is_none()
}
