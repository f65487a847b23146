//! Cameras and what they are.

use crate::auth::Permission::{Device, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

pub(super) const CAMERA_HEADS: Module = Module {
    name: "camera-heads",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "Which cameras there are, and which one the main stream shows",
    keys: &[
        Key::measured("cam1-exists", Kind::Flag, "Whether camera 1 delivers pictures")
            .announced()
            .alias(&["cam0Exists"])
            .read_by(System),
        Key::measured("cam2-exists", Kind::Flag, "Whether camera 2 delivers pictures")
            .announced()
            .alias(&["cam1Exists"])
            .read_by(System),
        Key::measured("cam1-name", Kind::Text(128), "Name of camera 1").announced(),
        Key::measured("cam2-name", Kind::Text(128), "Name of camera 2").announced(),
        Key::measured("cam1-format", Kind::Text(128), "What camera 1 really delivers").announced(),
        Key::measured("cam2-format", Kind::Text(128), "What camera 2 really delivers").announced(),
        Key::measured("cameras", Kind::Whole(0, 64), "How many cameras are configured or found")
            .announced()
            .read_by(System),
        Key::set(
            "main-camera",
            Kind::Whole(1, 64),
            D::Whole(1),
            "The active camera: /stream1 and /stream2 show it. Settings of the picture are for all cameras; shown is what this one has taken",
        )
        .alias(&["cameraSwitch"]),
    ],
};

pub(super) const SENSORS: Module = Module {
    name: "sensors",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "Which of a camera's inputs (V4L2 VIDIOC_S_INPUT) is used",
    keys: &[
        Key::set("cam1-sensor", Kind::Whole(1, 32), D::Null, "Input of camera 1, from 1")
            .alias(&["cam0SelectedSensor"]),
        Key::set("cam2-sensor", Kind::Whole(1, 32), D::Null, "Input of camera 2, from 1")
            .alias(&["cam1SelectedSensor"]),
    ],
};

pub(super) const DEVICES: Module = Module {
    name: "devices",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "V4L2 devices of the machine, those without a camera in use too",
    keys: &[Key::measured(
        "devices",
        Kind::Json(8192),
        "Path, name, driver and role of each device",
    )
    .announced()],
};
