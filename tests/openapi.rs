//! What the server says of itself in `/api/openapi.json`, held against what it does: schemathesis
//! makes requests of the description, right ones and wrong ones, and compares the answers.
#![allow(missing_docs)]

mod play;

use play::{Play, Server, linked_tool, run};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const ANN: &str = "ann:secret123";

fn curl(server: &Server, path: &str, options: &[&str]) -> String {
    let done = run(Command::new("curl").args(["-sS", "-f"]).args(options).arg(server.http(path)));
    String::from_utf8(done.out).unwrap()
}

/// Paths that end the server, or themselves never, and one that would lock everybody else out.
const LEFT_OUT: &[&str] = &[
    "/api/restart",
    "/api/reboot",
    "/api/reset",
    "/api/update",
    "/api/config/import",
    // Takes seconds each time, and adds cameras by starting again.
    "/api/onvif/discover",
    "/mjpeg/",
    // It knows no SDP; tests/webrtc.rs does.
    "/whep/",
    "/api/v1",
];
/// Keys that would do the same.
const LEFT_OUT_KEYS: &[&str] = &["restart", "reboot", "factory-reset"];

/// Takes out what must not be tried.
fn harmless(mut all: Value) -> Value {
    let paths = all["paths"].as_object_mut().unwrap();
    paths.retain(|path, _| !LEFT_OUT.iter().any(|left_out| path.starts_with(left_out)));
    // The key is in the path, where nothing can be left out.
    for method in ["post", "patch"] {
        let item = paths.get_mut("/api/settings/{key}").unwrap().as_object_mut().unwrap();
        assert!(item.remove(method).is_some());
    }
    let harmless = |schema: &mut Value| {
        let keys = schema["properties"].as_object_mut().unwrap();
        keys.retain(|key, _| !LEFT_OUT_KEYS.contains(&key.as_str()) && !key.starts_with("limit-"));
        schema["additionalProperties"] = json!(false);
    };
    let schemas = all["components"]["schemas"].as_object_mut().unwrap();
    harmless(&mut schemas["SettingsChange"]);
    let modules = schemas["ConfigChange"]["properties"].as_object_mut().unwrap();
    modules.values_mut().for_each(harmless);
    all
}

#[test]
fn the_description_needs_no_login_and_is_the_committed_one() {
    let server = Play::new().users().start();
    let text = curl(&server, "api/openapi.json", &[]);
    let committed = fs::read_to_string("control/openapi.json").unwrap();
    assert!(text == committed, "they differ");
    let page = curl(&server, "api/docs", &["-i"]);
    assert!(page.contains("text/html") && page.contains("/api/settings/{key}"), "{page:.300}");
}

#[test]
fn every_answer_is_one_that_is_described() {
    let server = Play::new().users().start();
    let more = r#"{"limit-user":1000000,"limit-stills":1000000,"limit-failed-logins":1000}"#;
    curl(&server, "api/settings", &["-u", ANN, "-d", more]);
    let all: Value = serde_json::from_str(&curl(&server, "api/openapi.json", &[])).unwrap();
    let file = server.folder.file("openapi.json");
    fs::write(&file, harmless(all).to_string()).unwrap();
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_schema_conformance";
    let done = Command::new(linked_tool("venv/bin/st"))
        .arg("run")
        .arg(&file)
        .args(["--url", &server.http(""), "--auth", ANN, "--checks", checks])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"])
        .args(["--generation-deterministic", "--no-shrink"])
        .args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color"])
        .args(["--warnings", "off"])
        .current_dir(&server.folder.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(curl(&server, "health/live", &[]).matches("\"ok\"").count(), 1);
}
