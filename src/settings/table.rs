//! The table itself: every key with what it takes and where its value goes.

use super::{CameraSetting, Kind, Setting, Value};
use lensd_engine::config::Join;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// All settings but those of cameras.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        key: "server.data",
        option: Some("data"),
        kind: Kind::Text,
        help: "Folder for everything that is kept [default: data]",
        apply: |s, v| s.engine.data = PathBuf::from(v.text()),
    },
    Setting {
        key: "server.variant",
        option: Some("variant"),
        kind: Kind::Choice(&["DEFAULT", "DEMO", "DEV", "EDU", "rc_DMG", "VB"]),
        help: "Factory variant [default: DEFAULT]",
        apply: |s, v| s.variant = v.text(),
    },
    Setting {
        key: "server.open",
        option: Some("open"),
        kind: Kind::Flag,
        help: "Streams and still pictures are readable without a login",
        apply: |s, v| s.engine.open = v.flag(),
    },
    Setting {
        key: "server.json-logs",
        option: Some("json-logs"),
        kind: Kind::Flag,
        help: "Log lines are JSON",
        apply: |s, v| s.json_logs = v.flag(),
    },
    Setting {
        key: "server.main-camera",
        option: None,
        kind: Kind::Whole(1, 64),
        help: "The camera that /stream1 shows at the start",
        apply: |s, v| s.engine.main_camera = v.whole(),
    },
    Setting {
        key: "http.listen",
        option: Some("http"),
        kind: Kind::Address,
        help: "Address of the web page and REST [default: 0.0.0.0:8080]",
        apply: |s, v| s.http = v.address(),
    },
    Setting {
        key: "http.origins",
        option: None,
        kind: Kind::Origins,
        help: "Other sites whose pages may use this server; *: any, for what needs no login",
        apply: |s, v| s.origins = v.text().split_whitespace().map(str::to_owned).collect(),
    },
    Setting {
        key: "https.listen",
        option: Some("https"),
        kind: Kind::Address,
        help: "The same over TLS [default: 0.0.0.0:8443]",
        apply: |s, v| s.https = v.address(),
    },
    Setting {
        key: "rtsp.listen",
        option: Some("rtsp"),
        kind: Kind::Address,
        help: "Address of RTSP [default: 0.0.0.0:8554]",
        apply: |s, v| s.engine.rtsp = v.address(),
    },
    Setting {
        key: "rtsps.listen",
        option: Some("rtsps"),
        kind: Kind::Address,
        help: "Address of RTSP over TLS [default: 0.0.0.0:8322]",
        apply: |s, v| s.engine.rtsps = v.address(),
    },
    Setting {
        key: "rtsp.join",
        option: None,
        kind: Kind::Choice(&["key", "gop"]),
        help: "Where a client begins: at a fresh key frame, or at the newest one of the ring",
        apply: |s, v| {
            s.engine.rtsp_options.join = if v.text() == "gop" { Join::Gop } else { Join::Key };
        },
    },
    Setting {
        key: "rtsp.max-sessions",
        option: None,
        kind: Kind::Whole(0, 100_000),
        help: "Most sessions at a time; 0: no limit",
        apply: |s, v| s.engine.rtsp_options.max_sessions = v.whole(),
    },
    Setting {
        key: "rtsp.timeout",
        option: None,
        kind: Kind::Whole(5, 3600),
        help: "Seconds after which a silent client is let go",
        apply: |s, v| s.engine.rtsp_options.timeout_secs = v.whole(),
    },
    Setting {
        key: "rtsp.packet-size",
        option: None,
        kind: Kind::Whole(256, 8192),
        help: "Most bytes of an RTP packet",
        apply: |s, v| s.engine.rtsp_options.packet_size = v.whole(),
    },
    Setting {
        key: "rtsp.pacing-ms",
        option: None,
        kind: Kind::Whole(0, 100),
        help: "Over how many ms a large unit is spread for UDP clients; 0: at once",
        apply: |s, v| s.engine.rtsp_options.pacing_ms = v.whole(),
    },
    Setting {
        key: "rtsp.udp-port",
        option: None,
        kind: Kind::Whole(0, 65_534),
        help: "UDP port of RTP, even, RTCP takes the next; 0: any",
        apply: |s, v| s.engine.rtsp_options.udp_port = v.whole(),
    },
    Setting {
        key: "rtsp.multicast-group",
        option: None,
        kind: Kind::Group,
        help: "First multicast group; each stream takes the next",
        apply: |s, v| {
            s.engine.rtsp_options.multicast_group =
                v.text().parse().unwrap_or(Ipv4Addr::new(239, 255, 42, 1));
        },
    },
    Setting {
        key: "rtsp.multicast-port",
        option: None,
        kind: Kind::Whole(1024, 65_534),
        help: "UDP port of all groups; RTCP takes the next",
        apply: |s, v| s.engine.rtsp_options.multicast_port = v.whole(),
    },
    Setting {
        key: "rtsp.multicast-ttl",
        option: None,
        kind: Kind::Whole(0, 255),
        help: "How many routers a multicast packet may pass",
        apply: |s, v| s.engine.rtsp_options.multicast_ttl = v.whole(),
    },
    Setting {
        key: "hardware.light1",
        option: None,
        kind: Kind::Text,
        help: "PWM channel or LED of camera 1's light, below /sys",
        apply: |s, v| s.engine.hardware.light1 = v.path(),
    },
    Setting {
        key: "hardware.light2",
        option: None,
        kind: Kind::Text,
        help: "PWM channel or LED of camera 2's light",
        apply: |s, v| s.engine.hardware.light2 = v.path(),
    },
    Setting {
        key: "hardware.disc",
        option: None,
        kind: Kind::Text,
        help: "PWM channel of the disc's motor",
        apply: |s, v| s.engine.hardware.disc = v.path(),
    },
    Setting {
        key: "hardware.accelerometer",
        option: None,
        kind: Kind::Text,
        help: "IIO device with in_accel_*, in the camera head",
        apply: |s, v| s.engine.hardware.accelerometer = v.path(),
    },
    Setting {
        key: "hardware.head-temperature",
        option: None,
        kind: Kind::Text,
        help: "File of hwmon or IIO device with in_temp_*, in the camera head",
        apply: |s, v| s.engine.hardware.head_temperature = v.path(),
    },
    Setting {
        key: "hardware.pressure",
        option: None,
        kind: Kind::Text,
        help: "IIO device with in_pressure_*",
        apply: |s, v| s.engine.hardware.pressure = v.path(),
    },
    Setting {
        key: "hardware.fpga-temperature",
        option: None,
        kind: Kind::Text,
        help: "File of hwmon or IIO device with in_temp_*, at the FPGA",
        apply: |s, v| s.engine.hardware.fpga_temperature = v.path(),
    },
    Setting {
        key: "hardware.fpga",
        option: None,
        kind: Kind::Text,
        help: "UIO device of the FPGA",
        apply: |s, v| s.engine.hardware.fpga = v.path(),
    },
    Setting {
        key: "system.reboot-command",
        option: None,
        kind: Kind::Text,
        help: "What starts the machine again, for the shell; none: nobody may",
        apply: |s, v| s.system.reboot_command = v.word(),
    },
    Setting {
        key: "system.proc",
        option: None,
        kind: Kind::Text,
        help: "Where proc(5) is, as a container or a test has it [default: /proc]",
        apply: |s, v| s.system.proc = PathBuf::from(v.text()),
    },
    Setting {
        key: "system.sys",
        option: None,
        kind: Kind::Text,
        help: "Where sysfs(5) is [default: /sys]",
        apply: |s, v| s.system.sys = PathBuf::from(v.text()),
    },
];

/// Keys of a `[[camera]]` table.
pub(crate) const CAMERA_SETTINGS: &[CameraSetting] = &[
    CameraSetting {
        key: "source",
        kind: Kind::Camera,
        help: "The camera's SPEC",
        apply: |c, v| c.source = v.text(),
    },
    CameraSetting {
        key: "name",
        kind: Kind::Text,
        help: "Name for people",
        apply: |c, v| c.name = v.text(),
    },
    CameraSetting {
        key: "bitrate",
        kind: Kind::Whole(10_000, 200_000_000),
        help: "Bits per second of the main stream",
        apply: |c, v| c.bitrate = v.whole(),
    },
    CameraSetting {
        key: "gop-secs",
        kind: Kind::Number(0.1, 60.0),
        help: "Seconds from one key frame to the next",
        apply: |c, v| {
            c.gop_secs = match v {
                Value::Number(n) => n,
                other => f64::from(other.whole::<i32>()),
            };
        },
    },
    CameraSetting {
        key: "sub-width",
        kind: Kind::Whole(64, 8192),
        help: "Width of the sub stream in pixels",
        apply: |c, v| c.sub_width = v.whole(),
    },
    CameraSetting {
        key: "sub-bitrate",
        kind: Kind::Whole(10_000, 200_000_000),
        help: "Bits per second of the sub stream",
        apply: |c, v| c.sub_bitrate = v.whole(),
    },
    CameraSetting {
        key: "quality",
        kind: Kind::Whole(1, 100),
        help: "JPEG quality",
        apply: |c, v| c.quality = v.whole(),
    },
    CameraSetting {
        key: "encoder",
        kind: Kind::Text,
        help: "auto, openh264, or the node of a V4L2 encoder",
        apply: |c, v| c.encoder = v.text(),
    },
    CameraSetting {
        key: "capture-sei",
        kind: Kind::Flag,
        help: "Whether every unit carries its capture time",
        apply: |c, v| c.capture_sei = v.flag(),
    },
    CameraSetting {
        key: "on-demand",
        kind: Kind::Flag,
        help: "Whether the camera rests while nobody reads it",
        apply: |c, v| c.on_demand = v.flag(),
    },
];
