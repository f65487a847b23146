//! What the engine is told when it starts. The root package makes it of the command line, the
//! environment and the settings file, and sends it over the leash.

use crate::finish::Finish;
use crate::style::Style;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The engine's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Address of RTSP, e.g. `0.0.0.0:8554`; none: not served.
    pub rtsp: Option<String>,
    /// Address of RTSPS; none: not served.
    pub rtsps: Option<String>,
    /// Whether streams can be read without a login.
    pub open: bool,
    /// How RTSP behaves.
    pub rtsp_options: RtspOptions,
    /// Cameras in order of their numbers. Empty: all that are found, else the test camera.
    pub cameras: Vec<CameraConfig>,
    /// Streams of other servers that were added while the server ran; the supervisor has them from
    /// the store.
    pub added: Vec<String>,
    /// The active camera at the start, from 1.
    pub main_camera: u32,
    /// What is built around the cameras.
    pub hardware: HardwareConfig,
    /// How frames are given to other programs.
    pub tap: TapOptions,
    /// How browsers get streams.
    pub webrtc: WebRtcOptions,
}

/// Where lights, motor and sensors are below `/sys`; none: there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardwareConfig {
    /// PWM channel or LED of camera 1's light.
    pub light1: Option<PathBuf>,
    /// PWM channel or LED of camera 2's light.
    pub light2: Option<PathBuf>,
    /// PWM channel of the disc's motor.
    pub disc: Option<PathBuf>,
    /// IIO device with `in_accel_*`.
    pub accelerometer: Option<PathBuf>,
    /// File of hwmon, or IIO device with `in_temp_*`, in the camera head.
    pub head_temperature: Option<PathBuf>,
    /// IIO device with `in_pressure_*`.
    pub pressure: Option<PathBuf>,
    /// File of hwmon, or IIO device with `in_temp_*`, at the FPGA.
    pub fpga_temperature: Option<PathBuf>,
    /// UIO device of the FPGA.
    pub fpga: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            rtsp: Some("0.0.0.0:8554".to_owned()),
            rtsps: Some("0.0.0.0:8322".to_owned()),
            open: false,
            rtsp_options: RtspOptions::default(),
            cameras: Vec::new(),
            added: Vec::new(),
            main_camera: 1,
            hardware: HardwareConfig::default(),
            tap: TapOptions::default(),
            webrtc: WebRtcOptions::default(),
        }
    }
}

/// How WebRTC behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebRtcOptions {
    /// Whether there are sessions.
    pub enabled: bool,
    /// UDP port of all sessions; 0: any.
    pub port: u16,
    /// Further addresses that lead here, such as the public one of a router: `IP` or `IP:PORT`,
    /// separated by blanks.
    pub addresses: String,
    /// Most sessions.
    pub max_clients: u32,
    /// Where a client begins.
    pub join: Join,
}

impl Default for WebRtcOptions {
    fn default() -> Self {
        Self { enabled: true, port: 0, addresses: String::new(), max_clients: 10, join: Join::Key }
    }
}

/// How raw frames and units are given to other programs of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TapOptions {
    /// Whether they are.
    pub enabled: bool,
    /// Who gets them without a token besides the server's user and root: names or numbers of users,
    /// and of groups behind an `@`, separated by blanks.
    pub users: String,
    /// Size for those who name none: `WIDTHxHEIGHT`, or `camera`.
    pub size: String,
    /// Layout for those who name none, or `camera`.
    pub format: String,
    /// How long a client may hold a frame, in milliseconds.
    pub lease_ms: u64,
    /// Most clients at a time.
    pub max_clients: u32,
    /// The socket; none: `run/tap.sock` in the data folder, which other users cannot reach.
    pub socket: Option<PathBuf>,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            users: String::new(),
            size: "camera".to_owned(),
            format: "camera".to_owned(),
            lease_ms: 1000,
            max_clients: 16,
            socket: None,
        }
    }
}

/// One camera and its streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraConfig {
    /// SPEC (SURFACE section 1).
    pub source: String,
    /// Name for people; empty: the camera's own.
    pub name: String,
    /// Bits per second of the main stream.
    pub bitrate: u32,
    /// Seconds from one key frame to the next.
    pub gop_secs: f64,
    /// Width of the sub stream in pixels; its height follows. Not above the camera's.
    pub sub_width: u32,
    /// Bits per second of the sub stream.
    pub sub_bitrate: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// `auto`, `openh264`, or the node of a V4L2 M2M encoder.
    pub encoder: String,
    /// `auto`, `cpu`, or the node of a V4L2 M2M scaler, for the sub stream.
    pub scaler: String,
    /// Whether every unit carries its capture time in an SEI. The test camera's always do.
    pub capture_sei: bool,
    /// Whether the camera rests while nobody reads any of its streams.
    pub on_demand: bool,
    /// Whether a picture that says so is sent while the camera is away.
    pub no_signal: bool,
    /// What is done to its pictures: settings say so while the engine runs.
    #[serde(skip)]
    pub finish: Finish,
    /// How its encoders spend bits; also a setting.
    #[serde(skip)]
    pub style: Style,
    /// Whether the main stream is JPEG pictures; also a setting.
    #[serde(skip)]
    pub main_jpeg: bool,
    /// The same of the sub stream.
    #[serde(skip)]
    pub sub_jpeg: bool,
    /// Most pictures per second of the sub stream; 0: all. Also a setting.
    #[serde(skip)]
    pub sub_fps: u32,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            source: String::new(),
            name: String::new(),
            bitrate: 4_000_000,
            gop_secs: 1.0,
            sub_width: 640,
            sub_bitrate: 700_000,
            quality: 80,
            encoder: "auto".to_owned(),
            scaler: "auto".to_owned(),
            capture_sei: false,
            on_demand: false,
            no_signal: false,
            finish: Finish::default(),
            style: Style::default(),
            main_jpeg: false,
            sub_jpeg: false,
            sub_fps: 0,
        }
    }
}

/// When a client's picture begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// At the next key frame, which the encoder is asked for.
    #[default]
    Key,
    /// At once, with the newest key frame of the ring and all that followed it.
    Gop,
}

/// Header extensions with the capture time that RTP packets carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Extensions {
    /// `ntp-64` (RFC 6051 section 3.3).
    pub ntp64: bool,
    /// `abs-capture-time`, as WebRTC has it.
    pub abs_capture_time: bool,
}

impl Extensions {
    /// Reads `none`, or names with commas between; names that are not known count nothing, for
    /// players put into URLs what they like.
    pub fn parse(text: &str) -> Self {
        let has = |names: [&str; 2]| text.split(',').any(|name| names.contains(&name));
        Self {
            ntp64: has(["ntp-64", "ntp64"]),
            abs_capture_time: has(["abs-capture-time", "abs_capture_time"]),
        }
    }

    /// As [`Extensions::parse`] reads it.
    pub const fn name(self) -> &'static str {
        match (self.ntp64, self.abs_capture_time) {
            (false, false) => "none",
            (true, false) => "ntp-64",
            (false, true) => "abs-capture-time",
            (true, true) => "ntp-64,abs-capture-time",
        }
    }
}

/// How the RTSP server behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RtspOptions {
    /// Where a client begins unless it says `?join=`.
    pub join: Join,
    /// What streams carry unless a client says `?ext=`.
    pub extensions: Extensions,
    /// Most sessions; 0: no limit.
    pub max_sessions: u32,
    /// Seconds after which a silent client is let go.
    pub timeout_secs: u64,
    /// Most bytes of an RTP packet with its header.
    pub packet_size: usize,
    /// Over how many milliseconds the packets of a large unit are spread for UDP clients, so that a
    /// key frame does not overflow a small switch's buffer; 0: they go at once.
    pub pacing_ms: u64,
    /// UDP port for RTP, the next one is RTCP's; 0: any.
    pub udp_port: u16,
    /// First multicast group; each stream takes the next.
    pub multicast_group: Ipv4Addr,
    /// UDP port of all groups; the next one is RTCP's.
    pub multicast_port: u16,
    /// How many routers a multicast packet may pass.
    pub multicast_ttl: u8,
    /// Groups of streams that have their own; a setting.
    #[serde(skip)]
    pub groups: Vec<GroupPlan>,
}

/// The multicast group of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// Path of the stream, such as `cam1/main`.
    pub stream: String,
    /// Address; none: the next of the range.
    pub address: Option<Ipv4Addr>,
    /// UDP port, even; none: the usual one.
    pub port: Option<u16>,
    /// How many routers its packets may pass; none: as usual.
    pub ttl: Option<u8>,
    /// Whether it is sent to without a client.
    pub on: bool,
}

impl Default for RtspOptions {
    fn default() -> Self {
        Self {
            join: Join::Key,
            extensions: Extensions::default(),
            max_sessions: 10,
            timeout_secs: 60,
            // With UDP and IPv6 headers 1488 bytes, which every Ethernet carries.
            packet_size: 1440,
            pacing_ms: 0,
            udp_port: 0,
            multicast_group: Ipv4Addr::new(239, 255, 42, 1),
            multicast_port: 5004,
            multicast_ttl: 1,
            groups: Vec::new(),
        }
    }
}
