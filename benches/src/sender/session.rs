//! The server's side of RTSP, as little of it as a client needs to start playing.

use base64::Engine as _;

use super::frames::{PPS, SPS};

/// How a client wants its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Interleaved, channels 0 and 1.
    Tcp,
    /// To this port.
    Udp(u16),
}

/// One connection. The caller writes `output` after each call.
#[derive(Debug, Default)]
pub(super) struct Session {
    input: Vec<u8>,
    /// Bytes for the client.
    pub(super) output: Vec<u8>,
    /// Where SETUP said packets shall go.
    pub(super) mode: Option<Mode>,
    /// Between PLAY and TEARDOWN.
    pub(super) playing: bool,
    /// TEARDOWN was asked, or what came is no RTSP.
    pub(super) over: bool,
}

/// No request that this server understands is longer.
const LONGEST: usize = 16 * 1024;

impl Session {
    /// Takes bytes; `udp_only` restricts the transport, `server_port` is told to UDP clients.
    pub(super) fn handle_input(&mut self, bytes: &[u8], udp_only: Option<bool>, server_port: u16) {
        self.input.extend_from_slice(bytes);
        loop {
            if let [b'$', _, hi, lo, ..] = self.input[..] {
                // Receiver reports are of no interest.
                let len = 4 + usize::from(u16::from_be_bytes([hi, lo]));
                if self.input.len() < len {
                    return;
                }
                self.input.drain(..len);
            } else if let Some(end) = self.input.windows(4).position(|w| w == b"\r\n\r\n") {
                let request: Vec<u8> = self.input.drain(..end + 4).collect();
                self.answer(&String::from_utf8_lossy(&request), udp_only, server_port);
            } else {
                self.over |= self.input.len() > LONGEST;
                return;
            }
        }
    }

    fn answer(&mut self, request: &str, udp_only: Option<bool>, server_port: u16) {
        let mut lines = request.split("\r\n");
        let mut start = lines.next().unwrap_or("").split(' ');
        let (method, uri) = (start.next().unwrap_or(""), start.next().unwrap_or(""));
        let header = |name: &str| {
            lines.clone().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let cseq = header("CSeq").unwrap_or("0");
        let (status, rest) = match method {
            "OPTIONS" => {
                let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN";
                ("200 OK", format!("Public: {methods}\r\n\r\n"))
            }
            "DESCRIBE" => ("200 OK", describe(uri)),
            "SETUP" => match parse_transport(header("Transport").unwrap_or(""), udp_only) {
                None => ("461 Unsupported Transport", "\r\n".to_owned()),
                Some(mode) => {
                    self.mode = Some(mode);
                    let transport = match mode {
                        Mode::Tcp => "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned(),
                        Mode::Udp(port) => format!(
                            "RTP/AVP;unicast;client_port={port}-{};server_port={server_port}-{}",
                            port.wrapping_add(1),
                            server_port.wrapping_add(1)
                        ),
                    };
                    (
                        "200 OK",
                        format!("Session: bare;timeout=60\r\nTransport: {transport}\r\n\r\n"),
                    )
                }
            },
            "PLAY" if self.mode.is_some() => {
                self.playing = true;
                ("200 OK", "Session: bare\r\n\r\n".to_owned())
            }
            "PLAY" => ("455 Method Not Valid in This State", "\r\n".to_owned()),
            "GET_PARAMETER" => ("200 OK", "Session: bare\r\n\r\n".to_owned()),
            "TEARDOWN" => {
                self.playing = false;
                self.over = true;
                ("200 OK", "\r\n".to_owned())
            }
            _ => ("501 Not Implemented", "\r\n".to_owned()),
        };
        let reply = format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n{rest}");
        self.output.extend_from_slice(reply.as_bytes());
    }
}

fn describe(uri: &str) -> String {
    let encode = |nal| base64::engine::general_purpose::STANDARD.encode(nal);
    let sdp = format!(
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=bare sender\r\nt=0 0\r\na=control:*\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;sprop-parameter-sets={},{}\r\na=control:video\r\n",
        encode(SPS),
        encode(PPS)
    );
    let len = sdp.len();
    format!(
        "Content-Base: {uri}/\r\nContent-Type: application/sdp\r\nContent-Length: {len}\r\n\r\n{sdp}"
    )
}

fn parse_transport(value: &str, udp_only: Option<bool>) -> Option<Mode> {
    let offer = value.split(',').next()?;
    let mode = if offer.contains("/TCP") {
        Mode::Tcp
    } else {
        let ports = offer.split(';').find_map(|p| p.trim().strip_prefix("client_port="))?;
        Mode::Udp(ports.split('-').next()?.parse().ok()?)
    };
    let udp = mode != Mode::Tcp;
    udp_only.is_none_or(|only| only == udp).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports() {
        let udp = "RTP/AVP;unicast;client_port=5000-5001";
        assert_eq!(parse_transport(udp, None), Some(Mode::Udp(5000)));
        assert_eq!(parse_transport(udp, Some(false)), None);
        let tcp = "RTP/AVP/TCP;unicast;interleaved=0-1";
        assert_eq!(parse_transport(tcp, Some(false)), Some(Mode::Tcp));
        assert_eq!(parse_transport("RTP/AVP;multicast", None), None);
    }

    #[test]
    fn play_needs_setup_and_reports_between_requests_are_passed_over() {
        let mut session = Session::default();
        let play = b"$\x01\x00\x02abPLAY rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n";
        for byte in play {
            session.handle_input(&[*byte], None, 0);
        }
        assert!(session.output.starts_with(b"RTSP/1.0 455"));
        assert!(!session.playing);
    }
}
