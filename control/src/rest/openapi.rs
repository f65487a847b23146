//! The description of everything that is answered, as OpenAPI 3.1 and as a page, made of the table
//! of routes and the registry of settings.

use super::routes::{ROUTES, Served};
use super::{Call, Reply, schema};
use crate::http::limit::Class;
use crate::http::respond::{Fault, Payload, Response};
use crate::http::route::Route;
use lensd_ffi::auth::{Access, Permission};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

/// What comes out.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// The envelope of success around this schema.
    Data(&'static str),
    /// This schema alone.
    Json(&'static str),
    /// Bytes of this type.
    Bytes(&'static str),
    /// Another protocol.
    Switch,
    /// No body.
    Nothing,
}

/// A parameter behind the `?`: name, schema as JSON, what it is.
pub(crate) type Query = (&'static str, &'static str, &'static str);

/// What goes into a route and comes out of it, beside what follows from its other columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    answer: Answer,
    /// Status of success.
    status: &'static str,
    /// Schema of a JSON body.
    body: Option<&'static str>,
    /// Type of another body.
    upload: Option<&'static str>,
    /// Whether the body may be missing.
    optional: bool,
    /// Another type that may come out, without an end.
    or: Option<&'static str>,
    query: &'static [Query],
    also: &'static [u16],
}

const fn spec(answer: Answer) -> Spec {
    let status = match answer {
        Answer::Switch => "101",
        Answer::Nothing => "204",
        _ => "200",
    };
    Spec {
        answer,
        status,
        body: None,
        upload: None,
        optional: false,
        or: None,
        query: &[],
        also: &[],
    }
}

/// The envelope of success around a schema.
pub(super) const fn data(name: &'static str) -> Spec {
    spec(Answer::Data(name))
}

/// A schema as it is.
pub(super) const fn json(name: &'static str) -> Spec {
    spec(Answer::Json(name))
}

/// Bytes of a type.
pub(super) const fn bytes(kind: &'static str) -> Spec {
    spec(Answer::Bytes(kind))
}

/// Nothing.
pub(super) const NOTHING: Spec = spec(Answer::Nothing);

/// A WebSocket.
pub(super) const SWITCH: Spec = spec(Answer::Switch);

/// Which version of a playlist is waited for.
pub(super) const PLAYLIST: &[Query] = &[
    ("_HLS_msn", r#"{"type":"integer","minimum":0}"#, "Number of a segment that must be in it"),
    ("_HLS_part", r#"{"type":"integer","minimum":0}"#, "Part of that segment that is enough"),
];

/// What a still picture may be asked to be.
pub(super) const STILL: &[Query] = &[
    ("quality", r#"{"type":"integer","minimum":1,"maximum":100}"#, "JPEG quality"),
    ("camera", r#"{"type":"string"}"#, "Number of the camera; without it the active one"),
    (
        "stamp",
        r#"{"enum":["0","1","true","false"]}"#,
        "Whether its time of capture is written into it",
    ),
];

/// Which recordings, in which order, and which page of them.
pub(super) const RECORDINGS: &[Query] = &[
    ("from", WHOLE, "Begun at this UTC ms or later"),
    ("to", WHOLE, "Begun before this UTC ms"),
    ("camera", r#"{"type":"string"}"#, "Number of the camera"),
    ("mode", TEXT, "Mode, such as video or time-lapse"),
    ("type", r#"{"enum":["video","image"]}"#, "Recordings or snapshots; usually both"),
    ("state", r#"{"enum":["ready","recording","defect"]}"#, "How far it is"),
    ("size_min", COUNT, "At least so many bytes"),
    ("size_max", COUNT, "At most so many bytes"),
    ("tag", TEXT, "With a tag of this title, or of the category of this name"),
    ("text", TEXT, "With words that begin so in title, note or tags"),
    (
        "sort",
        r#"{"enum":["time","size","duration","name","-time","-size","-duration","-name"]}"#,
        "Order; with a minus the last first. Usually the newest first",
    ),
    ("order", r#"{"enum":["asc","desc"]}"#, "The direction, instead of a minus"),
    ("limit", r#"{"type":"integer","minimum":1,"maximum":1000}"#, "How many; usually 50"),
    ("offset", r#"{"type":"integer","minimum":0,"maximum":100000}"#, "How many to pass over"),
    ("after", r#"{"type":"string"}"#, "`next` of the page before: goes on there"),
];
const WHOLE: &str = r#"{"type":"integer"}"#;
const COUNT: &str = r#"{"type":"integer","minimum":0}"#;
const NUMBER: &str = r#"{"type":"integer","minimum":1}"#;
const TEXT: &str = r#"{"type":"string","minLength":1,"maxLength":200}"#;

/// Which tags.
pub(super) const TAGGED: &[Query] = &[
    ("record_id", NUMBER, "Of this recording, by their moments"),
    ("category_id", NUMBER, "Of this category"),
    ("before", NUMBER, "With a smaller number: the page behind the one that ended with it"),
    ("limit", r#"{"type":"integer","minimum":1,"maximum":1000}"#, "How many; usually 100"),
];

/// Which files of the queue to network storage.
pub(super) const QUEUE: &[Query] = &[
    ("state", r#"{"enum":["queued","copied","failed","dropped"]}"#, "How far it is; usually all"),
    (
        "after",
        r#"{"type":"integer","minimum":0}"#,
        "The page before ended with this number: its next",
    ),
    ("limit", r#"{"type":"integer","minimum":1,"maximum":1000}"#, "How many; usually 100"),
];

/// Which files.
pub(super) const FILES: &[Query] = &[
    ("limit", r#"{"type":"integer","minimum":1,"maximum":1000}"#, "How many; usually 100"),
    ("offset", COUNT, "How many to pass over"),
];
pub(super) const FOLDER: &[Query] = &[
    ("path", r#"{"type":"string"}"#, "The folder below the media folder; usually that itself"),
    ("limit", r#"{"type":"integer","minimum":1,"maximum":1000}"#, "How many; usually 100"),
    ("offset", COUNT, "How many to pass over"),
];

/// Which camera is meant.
pub(super) const CAMERA: &[Query] =
    &[("camera", r#"{"type":"string"}"#, "Number of the camera; without it the active one")];

/// Which stream is meant.
pub(super) const STREAM: &[Query] =
    &[("stream", r#"{"type":"string"}"#, "Its path; without it stream1")];

/// What a test pretends.
pub(super) const TEST: &[Query] = &[
    ("state", r#"{"enum":["true","false"]}"#, "Whether it begins or ends; usually true"),
    ("camera", r#"{"type":"string"}"#, "Number of the camera; without it the active one"),
];

/// Which events are wanted.
pub(super) const EVENTS: &[Query] = &[
    ("limit", r#"{"type":"integer","minimum":0,"maximum":1000}"#, "How many at most; usually 100"),
    ("since", r#"{"type":"integer","minimum":0}"#, "Only those after this number"),
];

/// Which piece of a package the body is.
pub(super) const PIECE: &[Query] = &[
    ("offset", r#"{"type":"integer","minimum":0}"#, "Where the piece begins; 0: a new package"),
    (
        "size",
        r#"{"type":"integer","minimum":1}"#,
        "Bytes of the whole; without it that is the body",
    ),
];

impl Spec {
    pub(super) const fn body(self, name: &'static str) -> Self {
        Self { body: Some(name), ..self }
    }

    pub(super) const fn upload(self, kind: &'static str) -> Self {
        Self { upload: Some(kind), ..self }
    }

    pub(super) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    pub(super) const fn or(self, kind: &'static str) -> Self {
        Self { or: Some(kind), ..self }
    }

    pub(super) const fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn status(self, status: &'static str) -> Self {
        Self { status, ..self }
    }

    pub(super) const fn also(self, also: &'static [u16]) -> Self {
        Self { also, ..self }
    }
}

/// Subjects, by how their paths begin; the first that fits counts.
const TAGS: &[(&str, &str)] = &[
    ("/api/session", "login"),
    ("/api/token", "login"),
    ("/api/log", "login"),
    ("/api/users", "users"),
    ("/api/roles", "users"),
    ("/api/settings", "settings"),
    ("/api/config", "settings"),
    ("/api/schema", "settings"),
    ("/api/camera", "cameras"),
    ("/api/ptz", "cameras"),
    ("/api/motion", "cameras"),
    ("/api/tamper", "cameras"),
    ("/api/streams", "streams"),
    ("/api/latency", "streams"),
    ("/mjpeg", "streams"),
    ("/whep", "streams"),
    ("/api/webrtc", "streams"),
    ("/api/snapshot", "pictures"),
    ("/camera.jpeg", "pictures"),
    ("/image", "pictures"),
    ("/api/recording", "recordings"),
    ("/api/tags", "recordings"),
    ("/api/categories", "recordings"),
    ("/api/files", "files"),
    ("/files", "files"),
    ("/download", "files"),
    ("/upload", "files"),
    ("/", "system"),
];

fn tag(path: &str) -> &'static str {
    TAGS.iter().find(|(start, _)| path.starts_with(start)).map_or("system", |(_, tag)| tag)
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|p| Some(p.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*')))
}

/// The statuses of faults that a route may answer.
fn faults(route: &Route<Served>) -> Vec<u16> {
    let spec = &route.handler.spec;
    let mut all = vec![400, 503];
    // Whoever may knock may be sent away, and whatever changes something is not for other sites.
    if route.access.is_some() || route.class != Class::Free {
        all.extend([401, 403, 429]);
    }
    if parameters(route.path).next().is_some() {
        all.push(404);
    }
    if !route.method.is_safe() {
        all.extend([403, 413, 422]);
    }
    if !spec.query.is_empty() {
        all.push(422);
    }
    if matches!(spec.answer, Answer::Switch) {
        all.push(426);
    }
    all.extend(spec.also);
    all.sort_unstable();
    all.dedup();
    all
}

/// As roles name it.
fn permission(access: Access) -> String {
    let how = match (access.permission, access.write) {
        (Permission::Reboot, _) => "w",
        (_, true) => "rw",
        (_, false) => "r",
    };
    format!("{:?}_{how}", access.permission)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn success(answer: Answer) -> Value {
    let content = |kind: &str, schema: Value| json!({ kind: { "schema": schema } });
    match answer {
        Answer::Data(name) => {
            let envelope = json!({
                "type": "object",
                "required": ["status", "data", "timestamp"],
                "properties": {
                    "status": { "const": "success" },
                    "data": reference(name),
                    "timestamp": { "type": "integer", "description": "UTC, ms since 1970" },
                },
            });
            let content = content("application/json", envelope);
            json!({ "description": "Done", "content": content })
        }
        Answer::Json(name) => {
            let content = content("application/json", reference(name));
            json!({ "description": "Done", "content": content })
        }
        Answer::Bytes(kind) => json!({ "description": "Done", "content": { kind: {} } }),
        Answer::Switch => json!({ "description": "The WebSocket begins" }),
        Answer::Nothing => json!({ "description": "Done" }),
    }
}

fn operation(route: &Route<Served>) -> Value {
    let spec = &route.handler.spec;
    let method = route.method.name().to_ascii_lowercase();
    let words: String = route
        .path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty())
        .fold(method, |out, word| format!("{out}_{word}"));
    let mut parameters: Vec<Value> = parameters(route.path)
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
        })
        .collect();
    parameters.extend(spec.query.iter().map(|(name, schema, doc)| {
        let schema: Value = serde_json::from_str(schema).unwrap_or_default();
        json!({ "name": name, "in": "query", "description": doc, "schema": schema })
    }));
    let mut answer = success(spec.answer);
    if let Some(kind) = spec.or {
        answer["content"][kind] = json!({});
    }
    let mut responses = Map::new();
    responses.insert(spec.status.to_owned(), answer);
    for fault in faults(route) {
        let fault_of = json!({ "$ref": "#/components/responses/Fault" });
        responses.insert(fault.to_string(), fault_of);
    }
    let mut out = json!({
        "operationId": words,
        "summary": route.doc,
        "tags": [tag(route.path)],
        "parameters": parameters,
        "responses": responses,
    });
    match route.access {
        Some(access) => {
            out["x-permission"] = json!(permission(access));
        }
        None => out["security"] = json!([]),
    }
    let mut content = Map::new();
    if let Some(name) = spec.body {
        content.insert("application/json".to_owned(), json!({ "schema": reference(name) }));
    }
    if let Some(kind) = spec.upload {
        content.insert(kind.to_owned(), json!({}));
    }
    if !content.is_empty() {
        out["requestBody"] = json!({ "required": !spec.optional, "content": content });
    }
    out
}

/// All of it.
fn description() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path.replace("{*", "{")).or_insert_with(|| json!({}));
        item[route.method.name().to_ascii_lowercase()] = operation(route);
    }
    let fault = json!({
        "description": "Why not",
        "content": { "application/json": { "schema": reference("Fault") } },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lensd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A camera server. Settings are also read, set and followed over the \
                            WebSocket at /api/v1.",
        },
        "security": [{ "basic": [] }, { "digest": [] }, { "bearer": [] }, { "cookie": [] }, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "digest": { "type": "http", "scheme": "digest" },
                "bearer": { "type": "http", "scheme": "bearer" },
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": crate::http::auth::COOKIE,
                    "description": "Changes need the field X-CSRF-Token too, see /api/session",
                },
                "token": { "type": "apiKey", "in": "query", "name": "token" },
            },
            "schemas": schema::components(),
            "responses": { "Fault": fault },
        },
    })
}

/// The committed copy, which a test compares: `control/openapi.json`.
fn text() -> String {
    format!("{:#}\n", description())
}

pub(super) fn document(_: &mut Call<'_>) -> Result<Reply, Fault> {
    static TEXT: OnceLock<Arc<Vec<u8>>> = OnceLock::new();
    let text = TEXT.get_or_init(|| Arc::new(text().into_bytes()));
    let body = Payload::Shared(Arc::clone(text));
    let response = Response::new(200, "application/json", body);
    Ok(Reply::Now(response.header("Cache-Control", "no-cache")))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
code,pre{font:13px/1.4 ui-monospace,monospace}summary code{font-weight:600}\
details{border-bottom:1px solid #ccc;padding:.4em 0}pre{background:#f4f4f4;padding:.6em;overflow:auto}\
small{color:#666}";

fn html() -> String {
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>lensd: API</title>\
         <style>{STYLE}</style><h1>API of lensd {}</h1><p>The same for programs: \
         <a href=openapi.json>openapi.json</a>. Faults have the shape \
         <a href=#Fault>Fault</a>.</p>",
        env!("CARGO_PKG_VERSION")
    );
    let mut tags: Vec<&str> = ROUTES.iter().map(|r| tag(r.path)).collect();
    tags.sort_unstable();
    tags.dedup();
    for name in tags {
        let _ = write!(out, "<h2>{name}</h2>");
        for route in ROUTES.iter().filter(|r| tag(r.path) == name) {
            entry(route, &mut out);
        }
    }
    out.push_str("<h2>Schemas</h2>");
    for (name, schema) in schema::components().as_object().into_iter().flatten() {
        let _ = write!(
            out,
            "<details id=\"{name}\"><summary><code>{name}</code></summary><pre>{}</pre></details>",
            escape(&format!("{schema:#}"))
        );
    }
    out
}

fn entry(route: &Route<Served>, out: &mut String) {
    let spec = &route.handler.spec;
    let access = route.access.map_or_else(|| "no login".to_owned(), permission);
    let _ = write!(
        out,
        "<details><summary><code>{} {}</code> {} <small>{access}</small></summary><ul>",
        route.method.name(),
        escape(route.path),
        escape(route.doc)
    );
    for (name, schema, doc) in spec.query {
        let _ = write!(out, "<li><code>?{name}=</code> {doc} <small>{}</small>", escape(schema));
    }
    let link = |name: &str| format!("<a href=#{name}>{name}</a>");
    if let Some(name) = spec.body {
        let _ = write!(out, "<li>Body: {} as JSON", link(name));
    }
    if let Some(kind) = spec.upload {
        let _ = write!(out, "<li>Body: {kind}");
    }
    let answer = match spec.answer {
        Answer::Data(name) => {
            format!("<code>{{\"status\": \"success\", \"data\": </code>{}", link(name))
        }
        Answer::Json(name) => link(name),
        Answer::Bytes(kind) => kind.to_owned(),
        Answer::Nothing => "nothing".to_owned(),
        Answer::Switch => "a WebSocket".to_owned(),
    };
    let answer = spec.or.map_or(answer.clone(), |kind| format!("{answer}, or {kind}"));
    let faults: Vec<String> = faults(route).iter().map(u16::to_string).collect();
    let _ = write!(out, "<li>Answer: {answer}<li>Faults: {}</ul></details>", faults.join(", "));
}

/// The description for people.
pub(super) fn page(_: &mut Call<'_>) -> Result<Reply, Fault> {
    static PAGE: OnceLock<Arc<Vec<u8>>> = OnceLock::new();
    let page = PAGE.get_or_init(|| Arc::new(html().into_bytes()));
    let response =
        Response::new(200, "text/html; charset=utf-8", Payload::Shared(Arc::clone(page)))
            .header("Cache-Control", "no-cache")
            .header(
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'",
            )
            .header("Referrer-Policy", "no-referrer");
    Ok(Reply::Now(response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::Method;
    use std::path::PathBuf;

    /// Everything that a value refers to.
    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    out.push(to.clone());
                }
                members.values().for_each(|v| references(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[test]
    fn what_is_referred_to_is_there_and_all_of_it_is_used() {
        let all = description();
        let mut wanted = Vec::new();
        references(&all, &mut wanted);
        for to in &wanted {
            assert!(all.pointer(to.trim_start_matches('#')).is_some(), "{to}");
        }
        for name in all["components"]["schemas"].as_object().unwrap().keys() {
            let to = format!("#/components/schemas/{name}");
            assert!(wanted.contains(&to), "nobody uses {name}");
        }
        let rows: usize =
            all["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(rows, ROUTES.len());
    }

    #[test]
    fn parameters_have_schemas_that_are_json() {
        for (_, schema, _) in ROUTES.iter().flat_map(|r| r.handler.spec.query) {
            assert!(serde_json::from_str::<Value>(schema).unwrap().is_object(), "{schema}");
        }
        assert!(ROUTES.iter().all(|r| r.method != Method::Get || r.handler.spec.body.is_none()));
    }

    #[test]
    fn the_page_stands_alone() {
        let page = html();
        for outside in ["<script", "src=", "href=http", "href=\"http", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("/api/settings/{key}"));
    }

    #[test]
    fn committed_copy_is_up_to_date() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        if std::env::var_os("LENSD_RENDER").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == text(),
            "control/openapi.json is not what the table says; make it anew: \
             LENSD_RENDER=1 cargo nextest run -p lensd-control committed_copy"
        );
    }
}
