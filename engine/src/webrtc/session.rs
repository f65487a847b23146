//! One client: str0m's state machine, and what is said to it and heard of it. No socket and no clock.

use super::signal::{Description, Fragment, Refusal, attribute};
use super::timeline::Timeline;
use crate::rtp::packet::rtp_time;
use lensd_ffi::ring::UnitView;
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{AbsCaptureTime, Extension, ExtensionMap};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcError};

/// Most datagrams that wait for the socket; a unit is only begun when none does.
const MAX_QUEUE: usize = 4096;
/// Most candidates of the client that are kept.
const MAX_REMOTE: usize = 64;
/// How often the client's reports are looked at.
const STATS_EVERY: Duration = Duration::from_secs(2);
/// First payload type (RFC 3551 section 6) of our own offers, and how far the next one is.
const FIRST_PT: u8 = 96;

/// What takes datagrams.
pub trait Wire {
    /// Sends what is in the queue and takes it out. False: the socket is full, and the rest stays.
    fn flush(&mut self, queue: &mut VecDeque<Transmit>) -> bool;
}

/// What the client's reports say, as of the last one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Lost packets.
    pub lost: i64,
    /// Interarrival jitter in microseconds.
    pub jitter_us: u64,
    /// Round trip time in microseconds; 0: not known.
    pub round_trip_us: u64,
}

/// See the module.
pub struct Session {
    rtc: Rtc,
    timeline: Timeline,
    /// Values of `profile-level-id`, the best first.
    profiles: Vec<u32>,
    /// What may be done where the client takes none of them.
    advice: String,
    mid: Option<Mid>,
    /// Payload type, and the `profile-level-id` that it was agreed for.
    pt: Option<(Pt, u32)>,
    offer: Option<SdpPendingOffer>,
    /// The client's `a=ice-ufrag`.
    ufrag: Option<String>,
    remote: usize,
    connected: bool,
    over: Option<String>,
    key_wanted: bool,
    deadline: Nanos,
    /// Of the first picture's RTP time.
    offset: u32,
    queue: VecDeque<Transmit>,
    /// As the last report says.
    pub reported: Reported,
    /// Lets str0m's next turn be a panic.
    #[cfg(test)]
    pub breaks: bool,
}

impl Session {
    /// One that knows where we can be reached and what the stream may be sent as.
    pub fn new(
        timeline: Timeline,
        candidates: &[SocketAddr],
        profiles: Vec<u32>,
        random: u32,
        now: Nanos,
    ) -> Self {
        let mut extensions = ExtensionMap::empty();
        extensions.set(1, Extension::RtpMid);
        extensions.set(2, Extension::AbsoluteCaptureTime);
        let mut config = Rtc::builder()
            .set_ice_lite(true)
            .clear_codecs()
            .set_extension_map(extensions)
            .set_stats_interval(Some(STATS_EVERY));
        for (place, profile) in (0u8..).zip(&profiles) {
            let pt = FIRST_PT + 2 * place;
            config.codec_config().add_h264(pt.into(), Some((pt + 1).into()), true, *profile);
        }
        let mut rtc = config.build(timeline.instant(now));
        for address in candidates {
            // Ours are none that are refused; one that is has no effect.
            if let Ok(candidate) = Candidate::host(*address, "udp") {
                rtc.add_local_candidate(candidate);
            }
        }
        Self {
            rtc,
            timeline,
            profiles,
            advice: String::new(),
            mid: None,
            pt: None,
            offer: None,
            ufrag: None,
            remote: 0,
            connected: false,
            over: None,
            key_wanted: false,
            deadline: now,
            offset: random,
            queue: VecDeque::new(),
            reported: Reported::default(),
            #[cfg(test)]
            breaks: false,
        }
    }

    /// Says what may be done where the client takes no such stream.
    pub fn with_advice(self, advice: String) -> Self {
        Self { advice, ..self }
    }

    /// Answers a client's offer.
    ///
    /// # Errors
    /// `INVALID_SDP`, `NOT_ACCEPTABLE`.
    pub fn accept_offer(&mut self, said: Description<'_>, now: Nanos) -> Result<String, Refusal> {
        let Description { sdp, offer } = said;
        self.ufrag = attribute(&offer.alone(), "ice-ufrag").map(str::to_owned);
        let answer = self.rtc.sdp_api().accept_offer(sdp).map_err(|e| refused(&e))?;
        self.handle_timeout(now);
        self.mid = Some(Mid::from(offer.name()));
        self.choose()?;
        Ok(offer.answer(&answer.to_sdp_string()))
    }

    /// Offers the stream. Returns the offer, and the `a=mid` by which its answer is known.
    ///
    /// # Errors
    /// `INTERNAL`, should str0m not make one.
    pub fn make_offer(&mut self, stream: &str, now: Nanos) -> Result<(String, String), Refusal> {
        let mut api = self.rtc.sdp_api();
        let (name, track) = (Some("lensd".to_owned()), Some(stream.replace('/', "-")));
        let mid = api.add_media(MediaKind::Video, Direction::SendOnly, name, track, None);
        let made = api.apply();
        let (offer, pending) = made.ok_or_else(|| Refusal::new("INTERNAL", "no offer was made"))?;
        self.offer = Some(pending);
        self.mid = Some(mid);
        self.handle_timeout(now);
        Ok((offer.to_sdp_string(), mid.to_string()))
    }

    /// Takes the answer to our offer, which `said` is the text of.
    ///
    /// # Errors
    /// `CONFLICT` if it has been answered, `INVALID_SDP`, `NOT_ACCEPTABLE`.
    pub fn accept_answer(
        &mut self,
        answer: SdpAnswer,
        said: &str,
        now: Nanos,
    ) -> Result<(), Refusal> {
        let Some(pending) = self.offer.take() else {
            return Err(Refusal::new("CONFLICT", "this session has had its answer"));
        };
        self.ufrag = attribute(said, "ice-ufrag").map(str::to_owned);
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|e| refused(&e))?;
        self.handle_timeout(now);
        self.choose()
    }

    /// Finds what the stream is sent as.
    fn choose(&mut self) -> Result<(), Refusal> {
        if let Some(why) = &self.over {
            return Err(Refusal::invalid(why.clone()));
        }
        let Some(mid) = self.mid else {
            return Err(Refusal::unacceptable(
                "no m=video in it receives anything: make it recvonly",
            ));
        };
        if self.rtc.media(mid).is_some_and(|m| !m.direction().is_sending()) {
            return Err(Refusal::unacceptable("the m=video in it does not receive: recvonly"));
        }
        let writer = self.rtc.writer(mid);
        let offered: Vec<(Pt, u32)> = writer
            .iter()
            .flat_map(|writer| writer.payload_params())
            .filter(|params| params.spec().codec == Codec::H264)
            .filter_map(|params| Some((params.pt(), params.spec().format.profile_level_id?)))
            .collect();
        let best = self.profiles.iter().find_map(|profile| {
            offered.iter().find(|(_, id)| family(*id) == family(*profile)).copied()
        });
        self.pt = best;
        if best.is_none() {
            let names: Vec<String> = self.profiles.iter().map(|p| format!("{p:06x}")).collect();
            return Err(Refusal::unacceptable(format!(
                "the client receives no H.264 of a profile-level-id that this stream has ({}) with \
                 packetization-mode 1: {}",
                names.join(", "),
                self.advice
            )));
        }
        Ok(())
    }

    /// Whether the client takes a stream of one of these values of `profile-level-id`.
    pub fn takes(&self, profiles: &[u32]) -> bool {
        self.pt.is_some_and(|(_, agreed)| profiles.iter().any(|p| family(*p) == family(agreed)))
    }

    /// Takes candidates of the client.
    ///
    /// # Errors
    /// `NO_ICE_RESTART` for one (RFC 9725 section 4.3).
    pub fn trickle(&mut self, fragment: Fragment, now: Nanos) -> Result<(), Refusal> {
        if let (Some(own), Some(said)) = (&self.ufrag, &fragment.ufrag)
            && own != said
        {
            let message = "there is no ICE restart: end this session and begin another";
            return Err(Refusal::new("NO_ICE_RESTART", message));
        }
        for candidate in fragment.candidates {
            if self.remote < MAX_REMOTE {
                self.remote += 1;
                self.rtc.add_remote_candidate(candidate);
                self.drain();
            }
        }
        self.handle_timeout(now);
        Ok(())
    }

    /// Whether pictures can be sent.
    pub const fn is_ready(&self) -> bool {
        self.connected && self.pt.is_some() && self.over.is_none()
    }

    /// Why it is over.
    pub fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// When it wants [`Session::handle_timeout`].
    pub const fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// Whether the client has asked for a key frame since the last call.
    pub const fn take_key_wanted(&mut self) -> bool {
        std::mem::replace(&mut self.key_wanted, false)
    }

    /// Whether a datagram is for this client.
    pub fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    /// Takes a datagram.
    pub fn receive(&mut self, received: Receive<'_>, now: Nanos) {
        self.handle_input(Input::Receive(self.timeline.instant(now), received));
    }

    fn handle_input(&mut self, input: Input<'_>) {
        if let Err(e) = self.rtc.handle_input(input) {
            self.end(format!("WebRTC: {e}"));
        }
        self.drain();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        // What was changed before must have come out (str0m's "single-mutation invariant").
        self.drain();
        self.handle_input(Input::Timeout(self.timeline.instant(now)));
    }

    /// Sends a unit. **Only while [`Session::is_clear`].**
    pub fn write(&mut self, unit: &UnitView, bytes: Arc<[u8]>, now: Nanos) {
        let (Some(mid), Some((pt, _))) = (self.mid, self.pt) else { return };
        let capture = unit.meta.capture;
        let time = u64::from(rtp_time(capture.mono).wrapping_add(self.offset));
        let time = MediaTime::new(time, Frequency::NINETY_KHZ);
        let instant = self.timeline.instant(capture.mono);
        let Some(writer) = self.rtc.writer(mid) else { return };
        let nanos = u64::try_from(capture.utc.0).unwrap_or(0);
        let abs = AbsCaptureTime {
            capture_time: UNIX_EPOCH + Duration::from_nanos(nanos),
            clock_offset: None,
        };
        if let Err(e) = writer.abs_capture_time(abs).write(pt, instant, time, bytes) {
            self.end(format!("WebRTC: {e}"));
        }
        self.handle_timeout(now);
    }

    /// Whether nothing waits for the socket.
    pub fn is_clear(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lets the socket take what waits. Returns datagrams and bytes that it took.
    pub fn flush(&mut self, wire: &mut impl Wire) -> (u64, u64) {
        let size = |queue: &VecDeque<Transmit>| {
            (queue.len(), queue.iter().map(|t| t.contents.len()).sum::<usize>())
        };
        let before = size(&self.queue);
        if before.0 > 0 {
            wire.flush(&mut self.queue);
        }
        let after = size(&self.queue);
        ((before.0 - after.0) as u64, (before.1 - after.1) as u64)
    }

    /// Says goodbye: RTCP BYE and DTLS `close_notify`, to be flushed.
    pub fn close(&mut self, why: &str, now: Nanos) {
        let first = self.over.is_none();
        self.end(why.to_owned());
        if first && self.connected {
            let _ = self.rtc.close();
            self.handle_timeout(now);
        }
    }

    fn end(&mut self, why: String) {
        self.over.get_or_insert(why);
    }

    fn drain(&mut self) {
        #[cfg(test)]
        assert!(!self.breaks, "as str0m might");
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = self.timeline.mono(at);
                    break;
                }
                Ok(Output::Transmit(datagram)) => {
                    if datagram.proto == Protocol::Udp && self.queue.len() < MAX_QUEUE {
                        self.queue.push_back(datagram);
                    }
                }
                Ok(Output::Event(event)) => self.note(event),
                Err(e) => {
                    self.end(format!("WebRTC: {e}"));
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.end("the connection was closed".to_owned());
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.end("the client is not heard any more".to_owned());
            }
            Event::KeyframeRequest(_) => self.key_wanted = true,
            Event::MediaEgressStats(stats) => {
                if let Some(rtt) = stats.rtt {
                    self.reported.round_trip_us = u64::try_from(rtt.as_micros()).unwrap_or(0);
                }
                if let Some(remote) = stats.remote {
                    self.reported.jitter_us = u64::from(remote.jitter) * 1_000_000 / 90_000;
                    self.reported.lost = i64::try_from(remote.packets_lost).unwrap_or(i64::MAX);
                }
            }
            Event::Closed => self.end("the client has ended it".to_owned()),
            _ => {}
        }
    }
}

/// Profile of a `profile-level-id`: levels may differ, profiles not (RFC 6184 section 8.2.2).
const fn family(profile_level_id: u32) -> u32 {
    profile_level_id >> 8
}

/// A datagram that was received, as str0m takes it; none: it is nothing of WebRTC.
pub fn datagram(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Option<Receive<'_>> {
    Receive::new(Protocol::Udp, from, to, bytes).ok()
}

fn refused(e: &RtcError) -> Refusal {
    let why: String = e.to_string().chars().take(300).collect();
    Refusal::invalid(format!("the session description cannot be used: {why}"))
}
