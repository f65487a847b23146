//! Where cameras look.

use crate::auth::Permission::Device;
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const fn limit(name: &'static str, least: i64, default: i64, doc: &'static str) -> Key {
    Key::set(name, Kind::Whole(least, 100), D::Whole(default), doc).unit("%")
}

pub(super) const PTZ: Module = Module {
    name: "ptz",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "How cameras are moved; POST /api/ptz/move moves them",
    keys: &[
        Key::set(
            "ptz-backend",
            Kind::Choice(&["automatic", "camera", "motor", "digital", "off"]),
            D::Text("automatic"),
            "Who moves: the camera's controls of V4L2, the disc's motor for pan (one way, and never \
             by itself), or a part of the picture; automatic: the camera if it can, else the picture",
        ),
        Key::set(
            "ptz-travel-time",
            Kind::Number(0.5, 600.0),
            D::Number(4.0),
            "From one end to the other at full speed",
        )
        .unit("s"),
        Key::set(
            "ptz-speed",
            Kind::Whole(1, 100),
            D::Whole(100),
            "Speed of a move that names none",
        )
        .unit("%"),
        Key::set(
            "ptz-timeout",
            Kind::Number(0.1, 3600.0),
            D::Number(10.0),
            "How long a move goes on that names neither an end nor a time",
        )
        .unit("s"),
        limit("ptz-pan-min", -100, -100, "Furthest to the left that moves go"),
        limit("ptz-pan-max", -100, 100, "Furthest to the right"),
        limit("ptz-tilt-min", -100, -100, "Furthest down"),
        limit("ptz-tilt-max", -100, 100, "Furthest up"),
        limit("ptz-zoom-max", 0, 100, "Nearest"),
        Key::measured(
            "ptz-position",
            Kind::Json(160),
            "Where the active camera looks: pan and tilt from -1 to 1, zoom from 0 to 1",
        ),
        Key::measured("ptz-moving", Kind::Flag, "Whether the active camera moves").announced(),
        Key::measured("ptz-error", Kind::Text(200), "Why the active camera cannot be moved")
            .announced(),
    ],
};

pub(super) const PTZ_PRESETS: Module = Module {
    name: "ptz-presets",
    plane: Plane::Control,
    read: Device,
    write: Device,
    doc: "Positions that cameras go back to; /api/ptz/presets notes where one is",
    keys: &[
        Key::set(
            "ptz-presets",
            Kind::Json(16_384),
            D::Empty,
            "[{camera, token, name, pan, tilt, zoom}], at most 32 of each camera",
        ),
        Key::set(
            "ptz-home",
            Kind::Json(2048),
            D::Empty,
            "[{camera, pan, tilt, zoom}]; a camera that is not named goes to the middle",
        ),
    ],
};
