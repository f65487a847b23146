//! Streams: what is encoded, and how it is served.

use crate::auth::Permission::{Device, Media, Network, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

pub(super) const STREAM_MAIN: Module = Module {
    name: "stream-main",
    plane: Plane::Engine,
    read: Media,
    write: Device,
    doc: "The active camera's main stream",
    keys: &[
        Key::set(
            "resolution",
            Kind::Size,
            D::Null,
            "Size of the camera's picture; the camera may take the nearest that it has",
        ),
        Key::set("fps", Kind::Whole(5, 60), D::Null, "Pictures per second, as the camera takes it")
            .unit("1/s"),
        Key::set(
            "main-encoding",
            Kind::Choice(&["h264", "jpeg"]),
            D::Text("h264"),
            "How the stream is coded; jpeg: pictures of jpeg-quality. Who plays it begins anew",
        ),
        Key::set("bitrate", Kind::Whole(100_000, 100_000_000), D::Null, "Rate of the encoder")
            .unit("bit/s"),
        Key::set("gop", Kind::Number(0.1, 60.0), D::Null, "Time between key frames").unit("s"),
        Key::set(
            "encoder-profile",
            Kind::Choice(&["auto", "baseline", "main", "high"]),
            D::Text("auto"),
            "Tools of H.264: more of them need fewer bits and more time",
        ),
        Key::set(
            "rate-mode",
            Kind::Choice(&["constant", "variable"]),
            D::Text("constant"),
            "Whether the bit rate is kept, or the quality as far as that allows",
        ),
        Key::set(
            "qp-min",
            Kind::Whole(0, 51),
            D::Whole(0),
            "Least quantizer: pictures are not made better than this",
        ),
        Key::set(
            "qp-max",
            Kind::Whole(0, 51),
            D::Whole(51),
            "Largest quantizer: pictures are not made worse than this, whatever the bit rate",
        ),
        Key::set(
            "capture-sei",
            Kind::Flag,
            D::Null,
            "Whether each unit carries its capture time in an SEI (the test camera's always do)",
        ),
        Key::set(
            "no-signal",
            Kind::Flag,
            D::Null,
            "Whether a picture that says why is sent while a camera is away; stills are refused then",
        ),
        Key::action("key-frame", Kind::Flag, "Asks the encoder for a key frame"),
        Key::measured(
            "stream-main-fps",
            Kind::Number(0.0, 1000.0),
            "Pictures per second, measured",
        )
        .unit("1/s"),
        Key::measured("stream-main-rate", Kind::Whole(0, i64::MAX), "Rate, measured").unit("bit/s"),
        Key::measured("stream-main-readers", Kind::Whole(0, 1_000_000), "Who reads it now"),
        Key::measured("stream-main-pipeline", Kind::Text(256), "The way of a frame, in words"),
    ],
};

pub(super) const EXTERNAL_STREAMS: Module = Module {
    name: "external-streams",
    plane: Plane::Control,
    read: Device,
    write: Device,
    doc: "Streams of other servers that are cameras here",
    keys: &[
        Key::measured(
            "external-streams",
            Kind::Json(8192),
            "Camera, URL without a password, whether it delivers, and else why not",
        )
        .announced(),
        Key::action(
            "external-stream-add",
            Kind::Text(600),
            "Takes up rtsp://[USER:PASSWORD@]HOST/PATH as a camera; the server starts again with it",
        ),
        Key::action(
            "external-stream-remove",
            Kind::Text(600),
            "Removes one that was added, by its URL; the server starts again without it",
        ),
    ],
};

pub(super) const LATENCY: Module = Module {
    name: "latency",
    plane: Plane::Engine,
    read: System,
    write: System,
    doc: "From the picture to the ring, of the active camera's main stream; see /api/latency",
    keys: &[
        Key::measured("latency-p50", Kind::Whole(0, i64::MAX), "Half of the last units took less")
            .unit("us"),
        Key::measured("latency-p99", Kind::Whole(0, i64::MAX), "99 of a hundred took less")
            .unit("us"),
        Key::measured("latency-max", Kind::Whole(0, i64::MAX), "The longest").unit("us"),
    ],
};

pub(super) const STREAM_SUB: Module = Module {
    name: "stream-sub",
    plane: Plane::Engine,
    read: Media,
    write: Device,
    doc: "The active camera's smaller stream",
    keys: &[
        Key::set(
            "sub-width",
            Kind::Whole(64, 4096),
            D::Null,
            "Width at most, an even number; never more than the picture has, and the height follows",
        )
        .unit("px"),
        Key::set("sub-bitrate", Kind::Whole(50_000, 50_000_000), D::Null, "Rate of the encoder")
            .unit("bit/s"),
        Key::set(
            "sub-encoding",
            Kind::Choice(&["h264", "jpeg"]),
            D::Text("h264"),
            "How the stream is coded, as main-encoding",
        ),
        Key::set(
            "sub-fps",
            Kind::Whole(0, 60),
            D::Whole(0),
            "Most pictures per second; 0: as many as the camera gives",
        )
        .unit("1/s"),
        Key::measured("stream-sub-fps", Kind::Number(0.0, 1000.0), "Pictures per second, measured")
            .unit("1/s"),
        Key::measured("stream-sub-rate", Kind::Whole(0, i64::MAX), "Rate, measured").unit("bit/s"),
        Key::measured("stream-sub-readers", Kind::Whole(0, 1_000_000), "Who reads it now"),
    ],
};

pub(super) const MJPEG: Module = Module {
    name: "mjpeg",
    plane: Plane::Engine,
    read: Media,
    write: Device,
    doc: "The active camera's stream of JPEG pictures",
    keys: &[
        Key::measured(
            "stream-mjpeg-fps",
            Kind::Number(0.0, 1000.0),
            "Pictures per second, measured",
        )
        .unit("1/s"),
        Key::measured("stream-mjpeg-rate", Kind::Whole(0, i64::MAX), "Rate, measured")
            .unit("bit/s"),
        Key::measured("stream-mjpeg-readers", Kind::Whole(0, 1_000_000), "Who reads it now"),
    ],
};

pub(super) const HLS: Module = Module {
    name: "hls",
    plane: Plane::Control,
    read: Media,
    write: Network,
    doc: "HTTP Live Streaming with low latency, /hls/stream1/index.m3u8",
    keys: &[
        Key::set("hls", Kind::Flag, D::Flag(true), "Whether streams can be played by HLS"),
        Key::set(
            "hls-segment",
            Kind::Whole(1, 10),
            D::Whole(2),
            "Length of a segment that is aimed at: it begins with a key frame, so gop counts, too",
        )
        .unit("s"),
        Key::set(
            "hls-part",
            Kind::Whole(100, 1000),
            D::Whole(250),
            "Length of a part that is aimed at: players are about three of them behind",
        )
        .unit("ms"),
        Key::set(
            "hls-segments",
            Kind::Whole(3, 60),
            D::Whole(8),
            "Segments in a playlist; there are more if they last less than three target durations",
        ),
        Key::measured("hls-streams", Kind::Whole(0, 1_000_000), "Streams that are played by HLS"),
        Key::measured("hls-memory", Kind::Whole(0, i64::MAX), "What is kept of them").unit("byte"),
    ],
};

pub(super) const FRAME_TAP: Module = Module {
    name: "frame-tap",
    plane: Plane::Engine,
    read: Media,
    write: System,
    doc: "Raw frames and coded units in shared memory, for vision programs of this machine",
    keys: &[
        Key::set("tap-enabled", Kind::Flag, D::Null, "Whether programs get frames"),
        Key::set(
            "tap-users",
            Kind::Text(500),
            D::Null,
            "Who gets frames without a token besides the server's user and root: names or numbers of \
             users of the machine, and of groups behind an @, separated by blanks",
        )
        .read_by(System),
        Key::set(
            "tap-size",
            Kind::Text(16),
            D::Null,
            "Size for programs that name none: WIDTHxHEIGHT with even sides, or camera",
        )
        .written_by(Device),
        Key::set(
            "tap-format",
            Kind::Choice(&["camera", "I420", "NV12", "GREY", "RGB24", "BGR24"]),
            D::Null,
            "Layout for programs that name none; camera: as it comes",
        )
        .written_by(Device),
        Key::set(
            "tap-lease",
            Kind::Whole(10, 60_000),
            D::Null,
            "How long a program may hold a frame before it is taken back",
        )
        .unit("ms"),
        Key::set("tap-max-clients", Kind::Whole(1, 256), D::Null, "Most programs at a time"),
        Key::measured("tap-clients", Kind::Whole(0, 1_000_000), "Programs that get frames or units"),
        Key::measured("tap-frames", Kind::Whole(0, i64::MAX), "Frames given, for each program"),
        Key::measured(
            "tap-lost",
            Kind::Whole(0, i64::MAX),
            "Frames that programs in mode every were too slow for",
        ),
        Key::measured(
            "tap-revoked",
            Kind::Whole(0, i64::MAX),
            "Frames that were taken back while a program held them",
        ),
        Key::measured("tap-loans", Kind::Whole(0, 1_000_000), "Frames that programs may look at now"),
        Key::measured(
            "tap-copied",
            Kind::Whole(0, i64::MAX),
            "Bytes of pictures that were converted or scaled for programs",
        )
        .unit("byte"),
    ],
};

pub(super) const RTSP: Module = Module {
    name: "rtsp",
    plane: Plane::Engine,
    read: Network,
    write: Network,
    doc: "The RTSP server",
    keys: &[
        Key::measured("rtsp-sessions", Kind::Whole(0, 1_000_000), "Who plays or publishes now")
            .read_by(System),
        Key::measured(
            "rtsp-error",
            Kind::Text(1200),
            "At which addresses it does not listen, and why",
        )
        .read_by(System)
        .announced(),
        Key::set(
            "rtsp-join",
            Kind::Choice(&["key", "gop"]),
            D::Null,
            "Where a client begins: at a fresh key frame, or at the newest one of the ring",
        ),
        Key::set(
            "rtsp-extensions",
            Kind::Choice(&["none", "ntp-64", "abs-capture-time", "ntp-64,abs-capture-time"]),
            D::Null,
            "RTP header extensions with the capture time, for new sessions whose URL has no ?ext=",
        ),
        Key::set(
            "rtsp-max-sessions",
            Kind::Whole(0, 100_000),
            D::Null,
            "Most sessions at a time; 0: no limit",
        ),
        Key::set(
            "rtsp-multicast",
            Kind::Json(4096),
            D::Empty,
            "Multicast groups: [{stream: such as cam1/main, address, port, ttl, on}]; on: it is sent \
             without a client, too. What is left out is as configured",
        ),
        Key::measured(
            "rtsp-multicast-groups",
            Kind::Json(4096),
            "Groups that are sent to now: stream, address, port, ttl, clients of RTSP",
        ),
        Key::set(
            "rtsp-pacing",
            Kind::Whole(0, 1000),
            D::Null,
            "Time over which a key frame is spread",
        )
        .unit("ms"),
    ],
};

pub(super) const WEBRTC: Module = Module {
    name: "webrtc",
    plane: Plane::Engine,
    read: Network,
    write: Network,
    doc: "WebRTC, for browsers",
    keys: &[
        Key::set(
            "webrtc-enabled",
            Kind::Flag,
            D::Null,
            "Whether there are sessions; off ends them",
        ),
        Key::set(
            "webrtc-port",
            Kind::Whole(0, 65_535),
            D::Null,
            "UDP port of all sessions; 0: any. Another one ends those there are",
        ),
        Key::set(
            "webrtc-addresses",
            Kind::Text(500),
            D::Null,
            "Further addresses that lead here, such as the public one of a router, as IP or IP:PORT, \
             separated by blanks; for new sessions",
        ),
        Key::set(
            "webrtc-ice-servers",
            Kind::Json(4096),
            D::Empty,
            "STUN and TURN servers that clients are told of: [{urls, username, credential}]",
        )
        .secrets(&["credential"]),
        Key::set("webrtc-max-clients", Kind::Whole(1, 1000), D::Null, "Most sessions at a time"),
        Key::set(
            "webrtc-join",
            Kind::Choice(&["key", "gop"]),
            D::Null,
            "Where a client begins: at a fresh key frame, or at the newest one of the ring",
        ),
        Key::measured("webrtc-clients", Kind::Whole(0, 1_000_000), "Sessions now").read_by(System),
        Key::measured(
            "webrtc-udp-port",
            Kind::Whole(0, 65_535),
            "The UDP port that is used; 0: none",
        )
        .announced(),
        Key::measured("webrtc-error", Kind::Text(200), "Why there can be no sessions").announced(),
    ],
};
