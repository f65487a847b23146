//! What happens before the cameras.

use crate::auth::Permission::{Device, Media};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const WHEN: Kind = Kind::Choice(&["automatic", "on", "off"]);

pub(super) const MOTION: Module = Module {
    name: "motion",
    plane: Plane::Engine,
    read: Media,
    write: Device,
    doc: "Motion before the cameras; its beginning and end are events of kind motion",
    keys: &[
        Key::set(
            "motion-detection",
            WHEN,
            D::Text("automatic"),
            "Whether it is looked for; automatic: while somebody listens to events",
        ),
        Key::set(
            "motion-sensitivity",
            Kind::Whole(1, 100),
            D::Whole(50),
            "How small a difference of brightness counts; noise is learnt besides",
        )
        .unit("%"),
        Key::set(
            "motion-area",
            Kind::Number(0.1, 100.0),
            D::Number(1.0),
            "Least part of the region that must change",
        )
        .unit("%"),
        Key::set(
            "motion-hold",
            Kind::Number(0.2, 300.0),
            D::Number(3.0),
            "How long motion lasts after it was seen last",
        )
        .unit("s"),
        Key::set(
            "motion-region",
            Kind::Json(6144),
            D::Empty,
            "Where it counts: [] everywhere, {x, y, width, height} in percent of the picture, or rows \
             of a grid over it such as [\"0110\", \"1111\"], at most 64x64",
        ),
        Key::measured(
            "motion-active",
            Kind::Flag,
            "Whether something moves before the active camera",
        )
        .announced(),
        Key::measured("motion-cameras", Kind::Json(256), "Cameras before which something moves")
            .announced(),
        Key::measured(
            "motion-changed",
            Kind::Number(0.0, 100.0),
            "Part of the region that has changed, of the active camera",
        )
        .unit("%"),
        Key::measured(
            "motion-cost",
            Kind::Whole(0, i64::MAX),
            "Time of the processor for one look at a picture of the active camera, ten a second",
        )
        .unit("us"),
        Key::measured(
            "motion-looks",
            Kind::Whole(0, i64::MAX),
            "Pictures of the active camera that were looked at, for motion or tampering",
        ),
        Key::measured(
            "motion-read",
            Kind::Whole(0, i64::MAX),
            "Bytes of them that the processor read; none is copied",
        )
        .unit("byte"),
        Key::measured(
            "motion-listeners",
            Kind::Whole(0, 1_000_000),
            "Who listens: event streams, WebSockets subscribed to measured, ONVIF, metadata streams",
        ),
        Key::measured("motion-error", Kind::Text(200), "Why nothing can be found").announced(),
    ],
};

pub(super) const TAMPER: Module = Module {
    name: "tamper",
    plane: Plane::Engine,
    read: Media,
    write: Device,
    doc: "Cameras that are covered, blinded or out of focus; an event of kind tamper",
    keys: &[
        Key::set(
            "tamper-detection",
            WHEN,
            D::Text("automatic"),
            "Whether it is looked for; automatic: while somebody listens to events",
        ),
        Key::set(
            "tamper-delay",
            Kind::Number(0.5, 300.0),
            D::Number(3.0),
            "How long the picture must be spoilt, and fine again afterwards",
        )
        .unit("s"),
        Key::measured("tamper-active", Kind::Flag, "Whether the active camera is tampered with")
            .announced(),
        Key::measured(
            "tamper-reason",
            Kind::Choice(&["black", "covered", "blurred", "test"]),
            "How: no light, no contours, or most of its usual detail lost",
        )
        .announced(),
        Key::measured("tamper-cameras", Kind::Json(256), "Cameras that are tampered with")
            .announced(),
    ],
};
