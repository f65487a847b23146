//! What goes in and out of the search for other devices.

use super::{Named, exactly, list, object, or_null, text, to, whole};
use serde_json::json;

/// Of `/api/onvif/discover`.
pub(super) fn all() -> Named {
    let stream = object(&[
        ("profile", text()),
        ("name", or_null(text())),
        ("codec", or_null(text())),
        ("width", or_null(whole())),
        ("height", or_null(whole())),
        ("uri?", text()),
        ("error?", text()),
    ]);
    vec![
        (
            "OnvifDiscover",
            exactly(&[
                ("username?", or_null(text())),
                ("password?", or_null(text())),
                ("add?", json!({ "type": ["string", "null"], "pattern": "^rtsp://" })),
            ]),
        ),
        (
            "OnvifDevices",
            object(&[
                ("devices?", list(to("OnvifDevice"))),
                ("added?", text()),
                ("begun?", text()),
            ]),
        ),
        (
            "OnvifDevice",
            object(&[
                ("id", text()),
                ("name", or_null(text())),
                ("hardware", or_null(text())),
                ("address", text()),
                ("services", list(text())),
                ("scopes", list(text())),
                ("streams?", list(stream)),
                ("error?", text()),
            ]),
        ),
    ]
}
