//! What goes in and out of moving cameras, and of trying what follows from what they see.

use super::{Named, camera_or_null, exactly, flag, list, number, object, or_null, text, to, whole};
use serde_json::{Value, json};

fn share(least: i64) -> Value {
    json!({ "type": ["number", "null"], "minimum": least, "maximum": 1 })
}

fn speed() -> Value {
    let one = || json!({ "type": ["number", "null"], "minimum": 0, "maximum": 1 });
    let axes = exactly(&[("pan?", one()), ("tilt?", one()), ("zoom?", one())]);
    json!({ "anyOf": [one(), axes] })
}

/// Of moving cameras.
pub(super) fn all() -> Named {
    let axis = object(&[
        ("reach", json!({ "enum": ["none", "speed", "position"] })),
        ("min", number()),
        ("max", number()),
        ("position", or_null(number())),
        ("moving", flag()),
    ]);
    let place = || object(&[("pan", share(-1)), ("tilt", share(-1)), ("zoom", share(0))]);
    let name = || json!({ "type": "string", "minLength": 1, "maxLength": 64 });
    vec![
        (
            "Ptz",
            object(&[
                ("camera", whole()),
                ("backend", json!({ "enum": ["camera", "motor", "digital", "off"] })),
                ("pan", axis.clone()),
                ("tilt", axis.clone()),
                ("zoom", axis),
                ("moving", flag()),
                ("home", place()),
                ("error", or_null(text())),
                ("preset?", to("PtzPreset")),
            ]),
        ),
        (
            "PtzPreset",
            object(&[
                ("camera", whole()),
                ("token", text()),
                ("name", text()),
                ("pan", share(-1)),
                ("tilt", share(-1)),
                ("zoom", share(0)),
            ]),
        ),
        ("PtzPresets", object(&[("camera", whole()), ("presets", list(to("PtzPreset")))])),
        (
            "PtzMove",
            exactly(&[
                ("camera?", camera_or_null()),
                ("mode?", json!({ "enum": ["absolute", "relative", "continuous"] })),
                ("pan?", or_null(number())),
                ("tilt?", or_null(number())),
                ("zoom?", or_null(number())),
                ("speed?", speed()),
                (
                    "timeout?",
                    json!({ "type": ["number", "null"], "minimum": 0, "maximum": 86_400 }),
                ),
            ]),
        ),
        (
            "PtzStop",
            exactly(&[
                ("camera?", camera_or_null()),
                ("pan_tilt?", or_null(flag())),
                ("zoom?", or_null(flag())),
            ]),
        ),
        ("PtzGo", exactly(&[("camera?", camera_or_null()), ("speed?", speed())])),
        ("TestEvent", exactly(&[("camera?", camera_or_null()), ("active?", or_null(flag()))])),
        (
            "TestedEvent",
            object(&[("test", json!({ "enum": ["motion", "tamper"] })), ("active", flag())]),
        ),
        ("PtzWhich", exactly(&[("camera?", camera_or_null())])),
        ("PtzNewPreset", exactly(&[("camera?", camera_or_null()), ("name?", or_null(name()))])),
    ]
}
