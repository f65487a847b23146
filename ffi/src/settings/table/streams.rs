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
        Key::set("sub-width", Kind::Whole(64, 4096), D::Null, "Width; the height follows")
            .unit("px"),
        Key::set("sub-bitrate", Kind::Whole(50_000, 50_000_000), D::Null, "Rate of the encoder")
            .unit("bit/s"),
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
            "rtsp-pacing",
            Kind::Whole(0, 1000),
            D::Null,
            "Time over which a key frame is spread",
        )
        .unit("ms"),
    ],
};
