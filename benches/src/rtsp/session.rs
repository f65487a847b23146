//! The client's side of one RTSP session as a state machine: OPTIONS, DESCRIBE, SETUP, PLAY,
//! keep-alive, TEARDOWN.

use std::fmt;

use lensd_ffi::time::Nanos;

use super::auth::{Challenge, Login};
use super::sdp::{self, Track};
use super::url;
use super::wire::{self, Headers, Item, Response, WireFault};

/// A request that has no answer for this long has failed.
const REPLY_TIMEOUT: Nanos = Nanos::from_secs(15);

/// How RTP is to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Interleaved in the RTSP connection.
    Tcp,
    /// Unicast to this port; RTCP to the next.
    Udp {
        /// The even port of the pair.
        rtp_port: u16,
    },
}

/// Where a session stands: which answer it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for the answer to OPTIONS.
    Options,
    /// Waits for the session description.
    Describe,
    /// Waits for the transport.
    Setup,
    /// Waits for the answer to PLAY.
    Play,
    /// Media flows.
    Playing,
    /// Waits for the answer to TEARDOWN.
    Teardown,
    /// Over, in good order.
    Closed,
}

impl State {
    fn method(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Playing => "keep-alive",
            Self::Teardown | Self::Closed => "TEARDOWN",
        }
    }
}

/// Why a session ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server's bytes are not RTSP.
    Wire(WireFault),
    /// The server refused a request.
    Refused {
        /// The request's method.
        method: &'static str,
        /// Status code and reason.
        answer: String,
    },
    /// The server wants a login and none was given, or none it accepts.
    Login(&'static str),
    /// The description has no video.
    NoVideo,
    /// The answer to SETUP lacks what RFC 2326 demands.
    Setup(&'static str),
    /// No answer in time.
    Silent(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(fault) => write!(f, "not RTSP: {fault}"),
            Self::Refused { method, answer } => write!(f, "{method} refused: {answer}"),
            Self::Login(why) => write!(f, "login: {why}"),
            Self::NoVideo => f.write_str("the description has no video track"),
            Self::Setup(why) => write!(f, "SETUP: {why}"),
            Self::Silent(method) => write!(f, "no answer to {method} within 15 s"),
        }
    }
}

/// Takes what a session finds.
pub trait Sink {
    /// The track that will be played; called once, before its first packet.
    fn track(&mut self, track: &Track);
    /// An RTP packet from the connection.
    fn packet(&mut self, packet: &[u8]);
}

/// One client session. **The caller writes what [`Session::output`] holds after every call.**
#[derive(Debug)]
pub struct Session {
    state: State,
    transport: Transport,
    uri: String,
    base: String,
    login: Option<Login>,
    challenge: Option<Challenge>,
    logins: u32,
    retried: bool,
    cseq: u32,
    session_id: Option<String>,
    track_control: String,
    play_uri: String,
    rtp_channel: u8,
    has_get_parameter: bool,
    keep_alive: Nanos,
    deadline: Nanos,
    out: Vec<u8>,
}

impl Session {
    /// A session that will play `uri`; its first request is in the output at once.
    pub fn new(uri: String, login: Option<Login>, transport: Transport, now: Nanos) -> Self {
        let mut session = Self {
            state: State::Options,
            transport,
            base: uri.clone(),
            play_uri: uri.clone(),
            uri,
            login,
            challenge: None,
            logins: 0,
            retried: false,
            cseq: 0,
            session_id: None,
            track_control: String::new(),
            rtp_channel: 0,
            has_get_parameter: false,
            keep_alive: Nanos::from_secs(25),
            deadline: now,
            out: Vec::new(),
        };
        session.ask(now);
        session
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes for the server, and room to take away what was sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// When [`Session::handle_timeout`] must be called at the latest.
    pub fn deadline(&self) -> Nanos {
        self.deadline
    }

    /// Consumes whole items from the start of `buf` and says how many bytes they were; the rest
    /// must come again, with more behind it.
    pub fn handle_input(
        &mut self,
        now: Nanos,
        buf: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        while let Some((item, len)) = wire::parse(&buf[used..]).map_err(Fault::Wire)? {
            used += len;
            match item {
                Item::Packet { channel, payload } => {
                    if channel == self.rtp_channel {
                        sink.packet(payload);
                    }
                }
                Item::Response(response) => self.handle_response(now, &response, sink)?,
                Item::Request { cseq } => {
                    let answer = format!("RTSP/1.0 501 Not Implemented\r\nCSeq: {cseq}\r\n\r\n");
                    self.out.extend_from_slice(answer.as_bytes());
                }
            }
        }
        Ok(used)
    }

    /// Does what is due: a keep-alive, or giving up on a silent server.
    pub fn handle_timeout(&mut self, now: Nanos) -> Result<(), Fault> {
        if now < self.deadline {
            return Ok(());
        }
        match self.state {
            State::Playing => self.ask(now),
            State::Teardown => self.state = State::Closed,
            State::Closed => {}
            waiting => return Err(Fault::Silent(waiting.method())),
        }
        Ok(())
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Nanos) {
        if self.session_id.is_some() && !matches!(self.state, State::Teardown | State::Closed) {
            self.state = State::Teardown;
            self.ask(now);
        } else {
            self.state = State::Closed;
        }
    }

    fn handle_response(
        &mut self,
        now: Nanos,
        response: &Response<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let headers = response.headers;
        // The answer to a keep-alive that was overtaken by TEARDOWN is of no interest.
        if headers.first("CSeq").and_then(|c| c.parse().ok()).is_some_and(|c: u32| c != self.cseq) {
            return Ok(());
        }
        match response.status {
            200..=299 => self.retried = false,
            401 => return self.log_in(now, headers),
            // A keep-alive that a server does not know kept the session alive all the same.
            _ if matches!(self.state, State::Playing) && response.status != 454 => {
                self.has_get_parameter = false;
                return Ok(());
            }
            _ if matches!(self.state, State::Teardown) => {}
            status => {
                return Err(Fault::Refused {
                    method: self.state.method(),
                    answer: format!("{status} {}", response.reason),
                });
            }
        }
        match self.state {
            State::Options => {
                self.has_get_parameter = headers
                    .all("Public")
                    .any(|p| p.split(',').any(|m| m.trim() == "GET_PARAMETER"));
                self.state = State::Describe;
            }
            State::Describe => {
                self.take_description(response, sink)?;
                self.state = State::Setup;
            }
            State::Setup => {
                self.take_transport(headers)?;
                self.state = State::Play;
            }
            State::Play => {
                self.state = State::Playing;
                self.deadline = now.plus(self.keep_alive);
                return Ok(());
            }
            State::Teardown => {
                self.state = State::Closed;
                return Ok(());
            }
            State::Playing | State::Closed => return Ok(()),
        }
        self.ask(now);
        Ok(())
    }

    fn log_in(&mut self, now: Nanos, headers: Headers<'_>) -> Result<(), Fault> {
        if self.login.is_none() {
            return Err(Fault::Login("the server wants one; give --user and --password"));
        }
        if std::mem::replace(&mut self.retried, true) {
            return Err(Fault::Login("user or password is wrong"));
        }
        self.challenge = Challenge::choose(headers.all("WWW-Authenticate"));
        self.logins = 0;
        if self.challenge.is_none() {
            return Err(Fault::Login("the server offers neither Basic nor Digest with MD5"));
        }
        self.ask(now);
        Ok(())
    }

    fn take_description(
        &mut self,
        response: &Response<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(response.body);
        let track = sdp::video_track(&text).ok_or(Fault::NoVideo)?;
        if let Some(base) =
            ["Content-Base", "Content-Location"].iter().find_map(|n| response.headers.first(n))
            && base.starts_with("rtsp://")
        {
            base.clone_into(&mut self.base);
        }
        self.track_control = url::join(&self.base, &track.control);
        self.play_uri = url::join(&self.base, &track.session_control);
        sink.track(&track);
        Ok(())
    }

    fn take_transport(&mut self, headers: Headers<'_>) -> Result<(), Fault> {
        let session = headers.first("Session").ok_or(Fault::Setup("no Session"))?;
        let mut parts = session.split(';').map(str::trim);
        self.session_id = parts.next().map(str::to_owned);
        let timeout = parts.find_map(|p| p.strip_prefix("timeout=")?.parse::<u64>().ok());
        // Twice per time-out, so that one lost second does not end the session.
        self.keep_alive = Nanos::from_millis(timeout.unwrap_or(60).clamp(2, 60) * 500);
        let transport = headers.first("Transport").ok_or(Fault::Setup("no Transport"))?;
        if self.transport == Transport::Tcp {
            let channels = transport.split(';').find_map(|p| p.trim().strip_prefix("interleaved="));
            let channels = channels.ok_or(Fault::Setup("the server refused interleaving"))?;
            let first = channels.split('-').next().and_then(|c| c.parse().ok());
            self.rtp_channel = first.ok_or(Fault::Setup("no channel number"))?;
        }
        Ok(())
    }

    /// Writes the request that belongs to the current state.
    fn ask(&mut self, now: Nanos) {
        let (method, uri) = match self.state {
            State::Options => ("OPTIONS", &self.uri),
            State::Describe => ("DESCRIBE", &self.uri),
            State::Setup => ("SETUP", &self.track_control),
            State::Play => ("PLAY", &self.play_uri),
            State::Playing if self.has_get_parameter => ("GET_PARAMETER", &self.play_uri),
            State::Playing => ("OPTIONS", &self.play_uri),
            State::Teardown | State::Closed => ("TEARDOWN", &self.play_uri),
        };
        self.cseq += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        text += "User-Agent: lensd-bench\r\n";
        if let (Some(challenge), Some(login)) = (&self.challenge, &self.login) {
            self.logins += 1;
            let value = challenge.answer(login, method, uri, self.logins);
            text += &format!("Authorization: {value}\r\n");
        }
        if let Some(id) = &self.session_id {
            text += &format!("Session: {id}\r\n");
        }
        match (self.state, self.transport) {
            (State::Describe, _) => text += "Accept: application/sdp\r\n",
            (State::Setup, Transport::Tcp) => {
                text += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
            }
            (State::Setup, Transport::Udp { rtp_port }) => {
                let rtcp_port = rtp_port.wrapping_add(1);
                text += "Transport: RTP/AVP;unicast;client_port=";
                text += &format!("{rtp_port}-{rtcp_port}\r\n");
            }
            (State::Play, _) => text += "Range: npt=0.000-\r\n",
            _ => {}
        }
        text += "\r\n";
        self.out.extend_from_slice(text.as_bytes());
        let patience = if self.state == State::Playing { self.keep_alive } else { REPLY_TIMEOUT };
        self.deadline = now.plus(patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::sdp::Codec;

    #[derive(Default)]
    struct Seen {
        track: Option<Track>,
        packets: Vec<Vec<u8>>,
    }

    impl Sink for Seen {
        fn track(&mut self, track: &Track) {
            self.track = Some(track.clone());
        }
        fn packet(&mut self, packet: &[u8]) {
            self.packets.push(packet.to_vec());
        }
    }

    const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t=0\r\n";

    /// What a server with Digest says to each request, ours or not, in order.
    fn replies() -> Vec<Vec<u8>> {
        let describe = format!(
            "RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Base: rtsp://h/s/\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        );
        let mut play = b"RTSP/1.0 200 OK\r\nCSeq: 5\r\nSession: abc\r\n\r\n".to_vec();
        play.extend(b"$\x04\x00\x02hi$\x05\x00\x01x$\x04\x00\x00");
        vec![
            b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, GET_PARAMETER\r\n\r\n".to_vec(),
            b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\n\
              WWW-Authenticate: Basic realm=\"r\"\r\n\
              WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n"
                .to_vec(),
            describe.into_bytes(),
            b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: abc;timeout=10\r\n\
              Transport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n\r\n"
                .to_vec(),
            play,
        ]
    }

    fn login() -> Option<Login> {
        Some(Login { user: "u".into(), password: "p".into() })
    }

    fn start(login: Option<Login>, transport: Transport) -> Session {
        Session::new("rtsp://h/s".into(), login, transport, Nanos(0))
    }

    fn said(session: &mut Session) -> String {
        String::from_utf8(std::mem::take(session.output())).unwrap()
    }

    /// Feeds `bytes` in two parts, as TCP would have cut them at `cut`.
    fn feed(session: &mut Session, bytes: &[u8], cut: usize, seen: &mut Seen) {
        let used = session.handle_input(Nanos(1), &bytes[..cut], seen).unwrap();
        let rest = session.handle_input(Nanos(2), &bytes[used..], seen).unwrap();
        assert_eq!(used + rest, bytes.len());
    }

    #[test]
    fn plays_whatever_way_tcp_cuts_the_answers() {
        let longest = replies().iter().map(Vec::len).max().unwrap();
        for cut in 0..=longest {
            let mut seen = Seen::default();
            let mut session = start(login(), Transport::Tcp);
            let mut asked = said(&mut session);
            for reply in replies() {
                feed(&mut session, &reply, cut.min(reply.len()), &mut seen);
                asked += &said(&mut session);
            }
            assert_eq!(session.state(), State::Playing, "cut at {cut}");
            assert_eq!(seen.packets, [b"hi".to_vec(), vec![]], "cut at {cut}");
            assert_eq!(seen.track.unwrap().codec, Codec::H264);
            assert!(asked.contains("SETUP rtsp://h/s/t=0 RTSP/1.0\r\nCSeq: 4"), "{asked}");
            assert!(asked.contains("PLAY rtsp://h/s/ RTSP/1.0"), "{asked}");
            assert_eq!(asked.matches("Authorization: Digest").count(), 3);
        }
    }

    #[test]
    fn keeps_alive_twice_per_timeout_and_says_goodbye() {
        let mut seen = Seen::default();
        let mut session = start(login(), Transport::Tcp);
        for reply in replies() {
            feed(&mut session, &reply, 0, &mut seen);
        }
        said(&mut session);
        assert_eq!(session.deadline(), Nanos(2).plus(Nanos::from_secs(5)));
        session.handle_timeout(Nanos::from_secs(4)).unwrap();
        assert_eq!(said(&mut session), "");
        session.handle_timeout(Nanos::from_secs(6)).unwrap();
        assert!(said(&mut session).starts_with("GET_PARAMETER rtsp://h/s/ RTSP/1.0\r\nCSeq: 6"));
        let refused = b"RTSP/1.0 405 Method Not Allowed\r\nCSeq: 6\r\n\r\n";
        feed(&mut session, refused, 0, &mut seen);
        session.handle_timeout(Nanos::from_secs(12)).unwrap();
        assert!(said(&mut session).starts_with("OPTIONS"));
        session.close(Nanos::from_secs(13));
        assert!(said(&mut session).starts_with("TEARDOWN"));
        feed(&mut session, b"RTSP/1.0 200 OK\r\nCSeq: 8\r\n\r\n", 0, &mut seen);
        assert_eq!(session.state(), State::Closed);
    }

    #[test]
    fn udp_ports_are_offered() {
        let mut seen = Seen::default();
        let mut session = start(login(), Transport::Udp { rtp_port: 5000 });
        for reply in &replies()[..3] {
            feed(&mut session, reply, 0, &mut seen);
        }
        assert!(said(&mut session).contains("RTP/AVP;unicast;client_port=5000-5001\r\n"));
    }

    #[test]
    fn failures_say_why() {
        let mut seen = Seen::default();
        let feed = |login, reply: &[u8]| {
            let mut session = start(login, Transport::Tcp);
            let fault = session.handle_input(Nanos(1), reply, &mut Seen::default());
            (fault, session)
        };
        let asks = b"RTSP/1.0 401 No\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm=x\r\n\r\n";
        assert!(matches!(feed(None, asks).0, Err(Fault::Login(_))));
        let (first, mut session) = feed(login(), asks);
        assert!(first.is_ok());
        let again = b"RTSP/1.0 401 No\r\nCSeq: 2\r\nWWW-Authenticate: Basic realm=x\r\n\r\n";
        assert!(matches!(
            session.handle_input(Nanos(2), again, &mut seen),
            Err(Fault::Login("user or password is wrong"))
        ));
        let (busy, _) = feed(None, b"RTSP/1.0 453 Not Enough Bandwidth\r\nCSeq: 1\r\n\r\n");
        assert_eq!(busy.unwrap_err().to_string(), "OPTIONS refused: 453 Not Enough Bandwidth");
        let mut silent = start(None, Transport::Tcp);
        assert_eq!(silent.handle_timeout(Nanos::from_secs(16)), Err(Fault::Silent("OPTIONS")));
    }
}
