//! What goes in and out, as JSON Schema: the components of the description. Settings come from the
//! registry.

mod network;
mod ptz;
mod recordings;

use crate::board;
use lensd_ffi::auth::Permission;
use lensd_ffi::settings::{Entry, entries, render};
use lensd_ffi::time::ClockSource;
use serde_json::{Map, Value, json};

fn text() -> Value {
    json!({ "type": "string" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn word(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn or_null(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn to(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object; a name with `?` may be missing.
fn object(members: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in members {
        let plain = name.trim_end_matches('?');
        if plain == *name {
            required.push(plain);
        }
        properties.insert(plain.to_owned(), schema.clone());
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object that has nothing else.
fn exactly(members: &[(&str, Value)]) -> Value {
    let mut out = object(members);
    out["additionalProperties"] = json!(false);
    out
}

fn permissions() -> Value {
    let names: Vec<String> = Permission::ALL
        .into_iter()
        .flat_map(|p| match p {
            Permission::Reboot => vec![format!("{p:?}_w")],
            _ => vec![format!("{p:?}_r"), format!("{p:?}_rw")],
        })
        .collect();
    list(json!({ "enum": names }))
}

/// What is read: every value may be unknown.
fn readable<'a>(keys: impl Iterator<Item = &'a Entry>) -> Value {
    let properties: Map<String, Value> = keys
        .filter(|e| !e.key.action)
        .map(|e| (e.key.name.to_owned(), or_null(render::key_schema(e))))
        .collect();
    json!({ "type": "object", "properties": properties })
}

/// What may be set.
fn settable<'a>(keys: impl Iterator<Item = &'a Entry>) -> Value {
    let properties: Map<String, Value> = keys
        .filter(|e| e.key.settable)
        .map(|e| (e.key.name.to_owned(), render::key_schema(e)))
        .collect();
    json!({ "type": "object", "properties": properties, "minProperties": 1 })
}

fn by_module(of: impl Fn(&str) -> Value) -> Map<String, Value> {
    board::modules().into_iter().map(|name| (name.to_owned(), of(name))).collect()
}

fn of_module(name: &str) -> impl Iterator<Item = &'static Entry> {
    entries().iter().filter(move |e| e.module.name == name)
}

/// All components by their names.
pub(super) fn components() -> Value {
    let mut all = Map::new();
    let parts =
        [general, cameras, recordings::all, network::all, ptz::all, people, settings, system];
    for part in parts {
        for (name, schema) in part() {
            let other = all.insert(name.to_owned(), schema);
            debug_assert!(other.is_none(), "two schemas are called {name}");
        }
    }
    Value::Object(all)
}

type Named = Vec<(&'static str, Value)>;

fn general() -> Named {
    vec![
        ("Anything", json!({ "type": "object" })),
        (
            "Fault",
            object(&[
                ("status", json!({ "const": "error" })),
                ("error", text()),
                ("code", text()),
                ("message", text()),
                ("timestamp", whole()),
                ("key?", text()),
                ("limit?", whole()),
                ("period?", text()),
                ("retry_after?", whole()),
            ]),
        ),
        ("Word", object(&[("status", text())])),
    ]
}

fn engine() -> Value {
    word(&["running", "starting", "stalled"])
}

/// Which moment of a picture's life its capture time is; empty before the first one.
fn stamped_at() -> Value {
    word(&["", "start-of-exposure", "end-of-frame", "dequeued", "made", "arrived"])
}

fn cameras() -> Named {
    let brief = object(&[
        ("id", whole()),
        ("name", text()),
        ("connected", flag()),
        ("error", text()),
        ("active", flag()),
    ]);
    vec![
        (
            "Camera",
            object(&[
                ("id", whole()),
                ("name", text()),
                ("source", text()),
                ("stable_id", text()),
                ("node", text()),
                ("status", word(&["connected", "disconnected"])),
                ("connected", flag()),
                ("error", text()),
                ("active", flag()),
                ("format", text()),
                ("width", whole()),
                ("height", whole()),
                ("fps", number()),
                ("frames", whole()),
                ("lost", whole()),
                ("stamped_at", stamped_at()),
                ("engine?", engine()),
            ]),
        ),
        (
            "Cameras",
            object(&[
                ("engine", engine()),
                ("main_camera", whole()),
                ("cameras", list(to("Camera"))),
            ]),
        ),
        (
            "ActiveCamera",
            object(&[
                ("engine", engine()),
                ("connected", flag()),
                ("error", text()),
                ("id?", whole()),
                ("name?", text()),
                ("width?", whole()),
                ("height?", whole()),
                ("fps?", number()),
            ]),
        ),
        (
            "Status",
            object(&[
                ("engine", engine()),
                ("main_camera", whole()),
                ("cameras", list(brief)),
                ("streams_running", whole()),
                ("rtsp_sessions", whole()),
                ("http_connections", whole()),
                ("uptime", whole()),
            ]),
        ),
        (
            "Stream",
            object(&[
                ("id", text()),
                ("name", text()),
                ("camera", whole()),
                ("codec", word(&["h264", "h265", "jpeg"])),
                ("running", flag()),
                ("active", flag()),
                ("width", whole()),
                ("height", whole()),
                ("fps", number()),
                ("bitrate", whole()),
                ("units", whole()),
                ("keys", whole()),
                ("bytes", whole()),
                ("readers", whole()),
                ("copied_pixel_bytes", whole()),
                ("pipeline", text()),
                ("error", text()),
                ("stages", list(to("Stage"))),
                ("stamped_at", or_null(stamped_at())),
                ("rtsp", or_null(text())),
                ("mjpeg?", text()),
                ("hls?", text()),
                ("whep?", text()),
                ("http_clients?", whole()),
            ]),
        ),
        (
            "Streams",
            object(&[
                ("engine", engine()),
                ("main_camera", whole()),
                ("streams", list(to("Stream"))),
            ]),
        ),
        (
            "Client",
            object(&[
                ("id", text()),
                ("address", text()),
                ("user", text()),
                ("path", text()),
                ("transport", text()),
                ("agent", text()),
                ("state", text()),
                ("since_ms", whole()),
                ("units", whole()),
                ("packets", whole()),
                ("bytes", whole()),
                ("skipped", whole()),
                ("skipped_groups", whole()),
                ("reported_lost", whole()),
                ("jitter_us", whole()),
                ("round_trip_us", whole()),
                ("send?", object(&[("p50_us", whole()), ("p99_us", whole()), ("max_us", whole())])),
            ]),
        ),
        (
            "Stage",
            object(&[
                ("stage", word(&["capture", "convert", "encode", "ring", "total", "send", "tap"])),
                ("units", whole()),
                ("p50_us", whole()),
                ("p99_us", whole()),
                ("max_us", whole()),
            ]),
        ),
        ("Clients", object(&[("stream", text()), ("clients", list(to("Client")))])),
        (
            "RtcOffer",
            object(&[
                ("status", word(&["success"])),
                ("type", word(&["offer"])),
                ("sdp", text()),
                ("session", text()),
                ("stream", text()),
                ("resource", text()),
                ("iceServers", list(to("Anything"))),
                ("timestamp", whole()),
            ]),
        ),
        (
            "RtcAnswer",
            object(&[("type?", word(&["answer"])), ("sdp", text()), ("session?", text())]),
        ),
        (
            "RtcCandidate",
            object(&[
                ("candidate?", text()),
                ("sdpMid?", text()),
                ("sdpMLineIndex?", whole()),
                ("usernameFragment?", text()),
                ("session?", text()),
            ]),
        ),
        ("IceServers", object(&[("iceServers", list(to("Anything")))])),
        ("Accepted", object(&[("accepted", flag())])),
    ]
}

fn people() -> Named {
    let token = object(&[
        ("id", text()),
        ("kind", text()),
        ("user", text()),
        ("name", text()),
        ("from", text()),
        ("created", whole()),
        ("used", whole()),
        ("expires", whole()),
        ("current", flag()),
        ("role?", text()),
        ("token?", text()),
    ]);
    let rights = || to("PermissionList");
    vec![
        ("PermissionList", permissions()),
        ("Login", exactly(&[("username", text()), ("password", text())])),
        (
            "LoggedIn",
            object(&[
                ("token", text()),
                ("csrf", text()),
                ("user", text()),
                ("role", text()),
                ("permissions", rights()),
                ("expires", whole()),
            ]),
        ),
        ("Ended", object(&[("ended", flag())])),
        (
            "Session",
            object(&[
                ("authenticated", flag()),
                ("user", text()),
                ("role", text()),
                ("permissions", rights()),
                ("expires", or_null(whole())),
                ("csrf", or_null(text())),
            ]),
        ),
        ("Token", token),
        ("Tokens", object(&[("tokens", list(to("Token")))])),
        ("Sessions", object(&[("sessions", list(to("Token")))])),
        (
            "NewToken",
            exactly(&[
                ("name?", text()),
                ("expires_in?", json!({ "type": "integer", "minimum": 1, "maximum": 316_224_000 })),
                ("role?", text()),
            ]),
        ),
        (
            "User",
            object(&[
                ("username", text()),
                ("role", text()),
                ("permissions", rights()),
                ("own_permissions", rights()),
                ("created?", whole()),
                ("changed?", whole()),
            ]),
        ),
        ("Users", object(&[("users", list(to("User")))])),
        (
            "NewUser",
            exactly(&[
                ("username", text()),
                ("password", text()),
                ("role?", text()),
                ("permissions?", rights()),
            ]),
        ),
        (
            "UserChange",
            exactly(&[("role?", text()), ("permissions?", rights()), ("password?", text())]),
        ),
        (
            "Permissions",
            object(&[
                ("username", text()),
                ("role", text()),
                ("permissions", rights()),
                ("own_permissions", rights()),
            ]),
        ),
        ("Password", exactly(&[("password", text()), ("old_password?", text())])),
        ("Changed", object(&[("username", text()), ("changed", flag())])),
        ("Removed", object(&[("username?", text()), ("name?", text()), ("removed", flag())])),
        ("Rights", json!({ "anyOf": [rights(), exactly(&[("permissions", rights())])] })),
        ("Role", object(&[("name", text()), ("permissions", rights()), ("built_in", flag())])),
        ("Roles", object(&[("roles", list(to("Role")))])),
        ("NewRole", exactly(&[("name", text()), ("permissions?", rights())])),
    ]
}

fn settings() -> Named {
    let errors =
        list(object(&[("key", text()), ("error", text()), ("code", text()), ("message", text())]));
    let hardware = exactly(&[
        ("min", whole()),
        ("max", whole()),
        ("step", whole()),
        ("default", whole()),
        ("value", whole()),
    ]);
    vec![
        ("Settings", readable(entries().iter())),
        ("SettingsChange", settable(entries().iter())),
        ("Module", json!({ "type": "object", "description": "Keys of the module" })),
        (
            "Config",
            json!({ "type": "object", "properties": by_module(|m| readable(of_module(m))) }),
        ),
        (
            "ConfigChange",
            json!({
                "type": "object",
                "properties": by_module(|m| settable(of_module(m))),
                "minProperties": 1,
            }),
        ),
        (
            "Taken",
            object(&[
                ("status", json!({ "const": "success" })),
                ("data", json!({ "type": "object" })),
                ("errors?", errors),
                ("timestamp", whole()),
            ]),
        ),
        ("Value", json!({ "description": "A value of the key's type, or {\"value\": it}" })),
        ("Hardware", hardware),
        (
            "Setting",
            object(&[
                ("key", text()),
                ("module", text()),
                ("value", json!({})),
                ("schema", json!({ "type": "object" })),
                ("hardware?", to("Hardware")),
                ("error?", text()),
            ]),
        ),
        (
            "SettingTaken",
            object(&[("key", text()), ("value", json!({})), ("hardware?", to("Hardware"))]),
        ),
        ("Schema", object(&[("properties", json!({ "type": "object" }))])),
    ]
}

fn system() -> Named {
    let counts = object(&[("connected", whole()), ("configured", whole())]);
    let ports = json!({ "type": "object", "additionalProperties": whole() });
    vec![
        (
            "Health",
            object(&[
                ("status", word(&["ok", "degraded"])),
                ("engine", engine()),
                ("cameras", counts),
                ("uptime", whole()),
            ]),
        ),
        (
            "Info",
            object(&[
                ("name", text()),
                ("version", text()),
                ("variant", text()),
                ("pid", whole()),
                ("engine", engine()),
                ("engine_pid", whole()),
                ("started", whole()),
                ("uptime", whole()),
                ("open", flag()),
                ("ports", ports),
                ("urls", json!({ "type": "object", "additionalProperties": or_null(text()) })),
                ("features", list(text())),
            ]),
        ),
        (
            "Latency",
            object(&[
                ("engine", engine()),
                (
                    "clock",
                    object(&[
                        ("source", word(ClockSource::NAMES)),
                        ("error_ns", or_null(whole())),
                        ("expected_ns", or_null(whole())),
                        ("steps", whole()),
                    ]),
                ),
                (
                    "streams",
                    list(object(&[
                        ("stream", text()),
                        ("running", flag()),
                        ("stages", list(to("Stage"))),
                    ])),
                ),
            ]),
        ),
        ("Events", object(&[("events", list(to("Event"))), ("last", whole())])),
        (
            "Event",
            object(&[
                ("id", whole()),
                (
                    "kind",
                    word(&[
                        "notice", "audit", "camera", "media", "motion", "tamper", "storage",
                        "input",
                    ]),
                ),
                ("time", whole()),
                ("level?", text()),
                ("text?", text()),
                ("event?", text()),
                ("user?", text()),
                ("subject?", text()),
                ("from?", text()),
                ("details?", json!({})),
                ("camera?", whole()),
                ("name?", text()),
                ("reason?", text()),
                ("filename?", text()),
                ("active?", flag()),
                ("area?", number()),
                ("why?", text()),
                ("test?", flag()),
            ]),
        ),
        (
            "RecordingNow",
            object(&[
                ("id?", json!({ "type": ["integer", "null"] })),
                ("camera?", whole()),
                ("stream?", text()),
                ("mode?", text()),
                ("state?", text()),
                ("filename?", json!({ "type": ["string", "null"] })),
                ("started?", whole()),
                ("elapsed_ms?", json!({ "type": ["integer", "null"] })),
                ("duration_ms?", whole()),
                ("size?", whole()),
                ("dropped_pictures?", whole()),
                ("dropped_groups?", whole()),
                ("error?", json!({ "type": ["string", "null"] })),
                ("recordings?", list(to("RecordingNow"))),
            ]),
        ),
        (
            "RecordingStatus",
            object(&[
                ("recording", flag()),
                ("paused", flag()),
                ("recordings", list(to("RecordingNow"))),
                (
                    "storage",
                    object(&[
                        ("state", text()),
                        ("error", json!({ "type": ["string", "null"] })),
                        ("total", whole()),
                        ("free", whole()),
                        ("low", flag()),
                        ("standing", text()),
                        ("network", text()),
                    ]),
                ),
            ]),
        ),
        (
            "StartRecording",
            exactly(&[
                ("camera?", camera_or_null()),
                ("stream?", json!({ "enum": ["main", "sub", "mjpeg"] })),
                ("duration?", json!({ "type": "integer", "minimum": 1, "maximum": 31_536_000 })),
                (
                    "title?",
                    json!({ "type": "string", "maxLength": 200, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }),
                ),
            ]),
        ),
        (
            "WhichRecording",
            exactly(&[
                ("camera?", camera_or_null()),
                ("stream?", json!({ "enum": ["main", "sub", "mjpeg"] })),
            ]),
        ),
        (
            "NewSnapshot",
            exactly(&[
                ("camera?", camera_or_null()),
                ("quality?", json!({ "type": "integer", "minimum": 1, "maximum": 100 })),
                ("stamp?", flag()),
                (
                    "title?",
                    json!({ "type": "string", "maxLength": 200, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$" }),
                ),
            ]),
        ),
        (
            "Kept",
            object(&[
                ("id", json!({ "type": ["integer", "null"] })),
                ("filename", text()),
                ("size", whole()),
                ("captured", whole()),
                ("url", text()),
            ]),
        ),
        (
            "Updated",
            object(&[
                ("received", whole()),
                ("size", whole()),
                ("version?", text()),
                ("begun?", text()),
            ]),
        ),
        ("Begun", object(&[("begun", text())])),
        ("Confirm", exactly(&[("confirm", json!({ "const": true }))])),
        ("Export", exactly(&[("passphrase?", text())])),
        ("Configuration", object(&[("lensd-configuration", whole())])),
        (
            "Import",
            json!({ "anyOf": [
                to("Configuration"),
                exactly(&[("configuration", to("Configuration")), ("passphrase?", text())]),
            ] }),
        ),
        (
            "Certificate",
            object(&[
                ("subject", text()),
                ("names", list(text())),
                ("issuer", text()),
                ("self_signed", flag()),
                ("serial", text()),
                ("not_before", whole()),
                ("not_after", whole()),
                ("valid", flag()),
                ("fingerprint_sha256", text()),
                ("key_type", text()),
                ("chain", whole()),
            ]),
        ),
        (
            "NewCertificate",
            exactly(&[
                ("certificate?", text()),
                ("key?", text()),
                ("generate?", flag()),
                ("names?", list(text())),
            ]),
        ),
    ]
}

/// A camera's number, or `cam1`.
fn camera_or_null() -> Value {
    json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 },
        { "type": "string", "pattern": "^(cam|camera)?[0-9]{1,9}$" },
        { "type": "null" },
    ] })
}
