//! The metadata stream of a camera: what happens before it and where it looks, as XML documents over
//! RTP (ONVIF Streaming Specification, "Metadata streaming"), at a path of its own or beside a video
//! of the same session. While nothing happens nothing is sent, but for reports.

use super::client::{CNAME, Delivery};
use super::conn::Conn;
use super::transport::Chosen;
use super::udp::Pair;
use crate::rtp::metadata::Sender;
use crate::rtp::packet::rtp_time;
use crate::rtp::rtcp::{self, SenderReport};
use crate::scene::Scenes;
use jiff::Timestamp;
use lensd_ffi::ptz::PtzStatus;
use lensd_ffi::state::{SceneEvent, SceneState};
use lensd_ffi::time::{Nanos, Stamp, UtcNanos};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

/// What the stream of a camera is called.
const NAME: &str = "metadata";
/// How often a report tells that it lives (RFC 3550 section 6.2).
const REPORT_EVERY: Nanos = Nanos::from_secs(5);

/// Topics by the words of [`SceneState::tamper`].
const TAMPER: [(&str, &str); 3] = [
    ("black", "tns1:VideoSource/ImageTooDark/ImagingService"),
    ("blurred", "tns1:VideoSource/ImageTooBlurry/ImagingService"),
    ("covered", "tns1:VideoSource/GlobalSceneChange/ImagingService"),
];
const MOTION: &str = "tns1:VideoSource/MotionAlarm";

/// Which camera's metadata a path is: `camN/metadata`, or `metadata` of the active one (0).
pub fn camera_of(path: &str) -> Option<u32> {
    if path == NAME {
        return Some(0);
    }
    let camera = path.strip_prefix("cam")?.strip_suffix(NAME)?.strip_suffix('/')?;
    let plain = !camera.is_empty() && camera.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| camera.parse().ok()).flatten().filter(|camera| *camera > 0)
}

/// A moment as XML Schema writes it (`xs:dateTime`).
fn time(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A document under way.
#[derive(Default)]
struct Document(String);

impl Document {
    fn event(&mut self, topic: &str, camera: u32, active: bool, ms: i64, operation: &str) {
        let at = time(ms);
        // Writing to a String cannot fail. Nothing of it is from outside: there is nothing to escape.
        let _ = write!(
            self.0,
            "<tt:Event><wsnt:NotificationMessage><wsnt:Topic \
             Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">{topic}\
             </wsnt:Topic><wsnt:Message><tt:Message UtcTime=\"{at}\" \
             PropertyOperation=\"{operation}\"><tt:Source><tt:SimpleItem Name=\"Source\" \
             Value=\"VideoSource_{camera}\"/></tt:Source><tt:Data><tt:SimpleItem Name=\"State\" \
             Value=\"{active}\"/></tt:Data></tt:Message></wsnt:Message>\
             </wsnt:NotificationMessage></tt:Event>"
        );
    }

    fn initial(&mut self, camera: u32, state: Option<&SceneState>, ms: i64) {
        let moves = state.is_some_and(|state| state.motion);
        self.event(MOTION, camera, moves, ms, "Initialized");
        for (word, topic) in TAMPER {
            let active = state.is_some_and(|state| topic_of(&state.tamper) == Some(topic));
            debug_assert!(topic_of(word) == Some(topic));
            self.event(topic, camera, active, ms, "Initialized");
        }
    }

    fn changed(&mut self, event: &SceneEvent) {
        let topic = if event.kind == "motion" { Some(MOTION) } else { topic_of(&event.why) };
        if let Some(topic) = topic {
            self.event(topic, event.camera, event.active, event.time_ms, "Changed");
        }
    }

    fn ptz(&mut self, status: &PtzStatus, ms: i64) {
        let mut position = String::new();
        if let (Some(pan), Some(tilt)) = (status.pan.position, status.tilt.position) {
            let _ = write!(position, "<tt:PanTilt x=\"{pan:.4}\" y=\"{tilt:.4}\"/>");
        }
        if let Some(zoom) = status.zoom.position {
            let _ = write!(position, "<tt:Zoom x=\"{zoom:.4}\"/>");
        }
        let word = |moves| if moves { "MOVING" } else { "IDLE" };
        let (pan_tilt, zoom) = (word(status.pan_tilt_moves()), word(status.zoom.moving));
        let at = time(ms);
        let _ = write!(
            self.0,
            "<tt:PTZ><tt:PTZStatus><tt:Position>{position}</tt:Position><tt:MoveStatus>\
             <tt:PanTilt>{pan_tilt}</tt:PanTilt><tt:Zoom>{zoom}</tt:Zoom></tt:MoveStatus>\
             <tt:UtcTime>{at}</tt:UtcTime></tt:PTZStatus></tt:PTZ>"
        );
    }

    /// The whole; `None`: there is nothing to tell.
    fn end(self) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let whole = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><tt:MetadataStream \
             xmlns:tt=\"http://www.onvif.org/ver10/schema\" \
             xmlns:wsnt=\"http://docs.oasis-open.org/wsn/b-2\" \
             xmlns:tns1=\"http://www.onvif.org/ver10/topics\">{}</tt:MetadataStream>",
            self.0
        );
        Some(whole.into_bytes())
    }
}

fn topic_of(tamper: &str) -> Option<&'static str> {
    // Only to try it: that is some change of the scene.
    let word = if tamper == "test" { "covered" } else { tamper };
    TAMPER.iter().find(|(known, _)| *known == word).map(|(_, topic)| *topic)
}

/// How packets reach a client.
#[derive(Debug, Clone, Copy)]
enum Reach {
    Channels(u8, u8),
    Datagrams(SocketAddr, SocketAddr),
}

/// A client's metadata stream.
#[derive(Debug)]
pub struct Feed {
    camera: u32,
    reach: Reach,
    sender: Sender,
    offset: u32,
    /// Whether it plays.
    pub playing: bool,
    /// The last event that the client was told of; none: it knows nothing yet.
    told: Option<u64>,
    /// [`Scenes::changes`] at the last look.
    seen: u64,
    ptz: Option<PtzStatus>,
    next_report: Nanos,
}

impl Feed {
    /// Of a camera, by the transport that was chosen; none for one that it cannot have.
    pub fn new(camera: u32, chosen: &Chosen, delivery: &Delivery, random: u64) -> Option<Self> {
        let reach = match (delivery, chosen) {
            (Delivery::Stream { rtp, rtcp }, _) => Reach::Channels(*rtp, *rtcp),
            (Delivery::Datagrams { rtcp, .. }, Chosen::Udp { client, .. }) => {
                let mut rtp = *rtcp;
                rtp.set_port(client.0);
                Reach::Datagrams(rtp, *rtcp)
            }
            _ => return None,
        };
        let [a, b, c, d, e, f, g, h] = random.to_be_bytes();
        let sender = Sender {
            ssrc: u32::from_be_bytes([a, b, c, d]),
            seq: u16::from_be_bytes([e, f]),
            packets: 0,
            octets: 0,
        };
        let offset = u32::from_be_bytes([g, h, a, c]);
        let (told, seen, ptz, next_report) = (None, 0, None, Nanos(0));
        Some(Self { camera, reach, sender, offset, playing: false, told, seen, ptz, next_report })
    }

    /// Its SSRC.
    pub const fn ssrc(&self) -> u32 {
        self.sender.ssrc
    }

    /// Its transport in a word.
    pub const fn way(&self) -> &'static str {
        match self.reach {
            Reach::Channels(..) => "tcp",
            Reach::Datagrams(..) => "udp",
        }
    }

    /// Begins, or goes on: what holds is told anew.
    pub fn play(&mut self) {
        self.playing = true;
        (self.told, self.ptz) = (None, None);
    }

    /// Sends what is new. A client that does not read is told later, of what is known then.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn pump(
        &mut self,
        conn: &mut Conn,
        udp: &Pair,
        scenes: &Scenes,
        packet_size: usize,
        now: Stamp,
    ) -> io::Result<()> {
        let interleaved = matches!(self.reach, Reach::Channels(..));
        if !self.playing || (interleaved && !conn.is_clear()) {
            return Ok(());
        }
        if now.mono >= self.next_report {
            self.next_report = now.mono.plus(REPORT_EVERY);
            let report = SenderReport {
                ssrc: self.sender.ssrc,
                utc: now.utc,
                rtp_time: self.time(now.mono),
                packets: self.sender.packets,
                octets: self.sender.octets,
            };
            self.send(&rtcp::sender_report(&report, CNAME), true, conn, udp)?;
        }
        let Some(document) = self.news(scenes, now.utc) else { return Ok(()) };
        let time = self.time(now.mono);
        for packet in self.sender.packets(&document, time, packet_size) {
            self.send(&packet, false, conn, udp)?;
        }
        Ok(())
    }

    const fn time(&self, at: Nanos) -> u32 {
        rtp_time(at).wrapping_add(self.offset)
    }

    /// The document of what the client does not know.
    fn news(&mut self, scenes: &Scenes, utc: UtcNanos) -> Option<Vec<u8>> {
        // Asked at every picture of the session's video.
        let changes = scenes.changes();
        if self.told.is_some() && self.seen == changes {
            return None;
        }
        self.seen = changes;
        let ptz = scenes.ptz().into_iter().find(|status| status.camera == self.camera);
        let newest = scenes.newest();
        if self.told == Some(newest) && self.ptz == ptz {
            return None;
        }
        let mut document = Document::default();
        match self.told {
            None => {
                let states = scenes.states();
                let state = states.iter().find(|state| state.camera == self.camera);
                document.initial(self.camera, state, utc.millis());
            }
            Some(told) => {
                let own = |e: &&SceneEvent| e.number > told && e.camera == self.camera;
                scenes.events().iter().filter(own).for_each(|event| document.changed(event));
            }
        }
        self.told = Some(newest);
        if self.ptz != ptz {
            if let Some(status) = ptz.as_ref().filter(|status| status.is_movable()) {
                document.ptz(status, utc.millis());
            }
            self.ptz = ptz;
        }
        document.end()
    }

    fn send(&self, packet: &[u8], rtcp: bool, conn: &mut Conn, udp: &Pair) -> io::Result<()> {
        match self.reach {
            Reach::Channels(data, reports) => {
                let len = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
                let channel = if rtcp { reports } else { data };
                // RFC 2326 section 10.12.
                let mut framed = vec![b'$', channel, len[0], len[1]];
                framed.extend_from_slice(packet);
                conn.write(&framed)
            }
            Reach::Datagrams(data, reports) => {
                let (socket, to) = if rtcp { (&udp.rtcp, reports) } else { (&udp.rtp, data) };
                // What the network does not take is lost, as always with datagrams.
                let _ = socket.send_to(packet, to);
                Ok(())
            }
        }
    }

    /// Says that it ends.
    pub fn goodbye(&self, conn: &mut Conn, udp: &Pair) {
        if self.playing && (conn.is_clear() || matches!(self.reach, Reach::Datagrams(..))) {
            let _ = self.send(&rtcp::goodbye(self.sender.ssrc, CNAME), true, conn, udp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Pretended;
    use lensd_ffi::ptz::{PtzAxis, PtzReach};

    #[test]
    fn paths_name_their_camera() {
        assert_eq!(camera_of("metadata"), Some(0));
        assert_eq!(camera_of("cam12/metadata"), Some(12));
        for other in ["cam0/metadata", "cam/metadata", "cam1", "cam1/main", "cam1metadata", ""] {
            assert_eq!(camera_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_holds_comes_first_then_what_changes_of_that_camera_alone() {
        let scenes = Scenes::default();
        let chosen = Chosen::Tcp { channels: (0, 1) };
        let delivery = Delivery::Stream { rtp: 0, rtcp: 1 };
        let mut feed = Feed::new(2, &chosen, &delivery, 5).unwrap();
        feed.play();
        let utc = UtcNanos(1_700_000_000_000_000_000);
        let mut news = || feed.news(&scenes, utc).map(|d| String::from_utf8(d).unwrap());
        let first = news().unwrap();
        assert_eq!(first.matches("PropertyOperation=\"Initialized\"").count(), 4, "{first}");
        assert!(first.contains("2023-11-14T22:13:20.000Z") && !first.contains("\"true\""));
        assert_eq!(news(), None, "nothing has happened");
        scenes.pretend(1, Pretended::Motion, true, Nanos(0));
        assert_eq!(news(), None, "before another camera");
        scenes.pretend(2, Pretended::Motion, true, Nanos(0));
        scenes.pretend(2, Pretended::Tamper, true, Nanos(0));
        let changed = news().unwrap();
        for part in ["MotionAlarm", "GlobalSceneChange", "VideoSource_2", "Changed", "\"true\""] {
            assert!(changed.contains(part), "{part} {changed}");
        }
        let axis = |position| PtzAxis {
            reach: PtzReach::Position,
            position: Some(position),
            moving: position > 0.0,
            ..PtzAxis::default()
        };
        let status = PtzStatus {
            camera: 2,
            pan: axis(0.5),
            tilt: axis(0.0),
            zoom: axis(0.0),
            ..PtzStatus::default()
        };
        scenes.note_ptz(&[status]);
        let moved = news().unwrap();
        assert!(moved.contains("<tt:PanTilt x=\"0.5000\" y=\"0.0000\"/>"), "{moved}");
        assert!(moved.contains("<tt:PanTilt>MOVING</tt:PanTilt><tt:Zoom>IDLE</tt:Zoom>"));
        // All of it is XML.
        for document in [first, changed, moved] {
            let opened = document.matches('<').count();
            assert_eq!(opened, document.matches('>').count(), "{document}");
        }
    }
}
