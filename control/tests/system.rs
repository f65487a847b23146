//! What the server says of itself and does to itself: figures, events, restarts, configuration.
#![allow(missing_docs)]

mod house;

use house::House;
use lensd_control::Config;
use lensd_ffi::link::Report;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn plain(name: &str) -> House {
    House::start(name, |_| Config::default())
}

#[test]
fn metrics_are_for_those_addresses_and_those_people() {
    let house = plain("metrics");
    let (status, text) = house.curl("/metrics", &[]);
    assert_eq!(status, 200, "this machine may without a login");
    for row in ["# TYPE lensd_up gauge", "lensd_up 0", "lensd_http_connections 1"] {
        assert!(text.lines().any(|line| line == row), "{row}\n{text}");
    }
    assert_eq!(house.set("metrics-allow", json!("10.0.0.0/33")).0, 422);
    assert_eq!(house.set("metrics-allow", json!("10.0.0.0/8")).0, 200);
    // Guests may read the system's state, until they may not.
    assert_eq!(house.curl("/metrics", &[]).0, 200);
    assert_eq!(house.ask("PUT", "/api/roles/guest", Some("[]")).0, 200);
    assert_eq!(house.curl("/metrics", &[]).0, 401);
    assert_eq!(house.curl("/metrics", &["-u", "bob:secret456"]).0, 200);
}

#[test]
fn events_are_listed_and_told_as_they_come() {
    let house = plain("events");
    assert_eq!(house.curl("/api/events", &["-u", "ann:wrong"]).0, 401);
    let (status, body) = house.ask("GET", "/api/events?limit=5", None);
    assert_eq!(status, 200, "{body}");
    let events = body["data"]["events"].as_array().unwrap();
    let failed = events.iter().find(|e| e["event"] == "login failed").unwrap();
    assert_eq!((&failed["user"], &failed["kind"]), (&json!("ann"), &json!("audit")));
    assert_eq!(house.ask("GET", "/api/events?limit=x", None).0, 422);
    // Who may not read users is not told of them.
    let (_, bob) = house.curl("/api/events", &["-u", "bob:secret456"]);
    let bob: Value = serde_json::from_str(&bob).unwrap();
    assert!(bob["data"]["events"].as_array().unwrap().iter().all(|e| e["kind"] == "notice"));

    let last = body["data"]["last"].as_u64().unwrap();
    let mut curl = Command::new("curl")
        .args(["-sN", "-m", "60", "-u", "ann:secret123", "-H", "Accept: text/event-stream"])
        .args(["-H", &format!("Last-Event-ID: {}", last - 1)])
        .arg(house.url("/api/events"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut next = |start: &str| lines.find(|l| l.starts_with(start)).expect(start);
    assert_eq!(next("retry: "), "retry: 2000");
    assert_eq!(next("id: "), format!("id: {last}"), "what was missed comes first");
    let role = r#"{"name":"night","permissions":["Media_r"]}"#;
    assert_eq!(house.ask("POST", "/api/roles", Some(role)).0, 200);
    let told = loop {
        let data = next("data: ");
        if data.contains("role changed") {
            break data;
        }
    };
    let told: Value = serde_json::from_str(told.trim_start_matches("data: ")).unwrap();
    assert_eq!((&told["user"], &told["subject"]), (&json!("ann"), &json!("night")));
    curl.kill().unwrap();
    curl.wait().unwrap();
}

#[test]
fn restart_and_reset_are_told_to_the_supervisor() {
    let house = plain("restart");
    assert_eq!(house.curl("/api/restart", &["-X", "POST"]).0, 401);
    assert_eq!(house.curl("/api/restart", &["-X", "POST", "-u", "bob:secret456"]).0, 403);
    assert_eq!(house.ask("POST", "/api/restart", Some("{\"now\":1}")).0, 422);
    let (status, body) = house.ask("POST", "/api/restart", None);
    assert_eq!((status, &body["data"]["begun"]), (200, &json!("restart")));
    assert!(matches!(house.report(), Report::Restart));
    let (status, body) = house.ask("POST", "/api/reboot", None);
    assert_eq!(status, 422);
    assert!(body["message"].as_str().unwrap().contains("system.reboot-command"), "{body}");
    for body in ["{}", "{\"confirm\":false}", "{\"confirm\":1}"] {
        assert_eq!(house.ask("POST", "/api/reset", Some(body)).0, 422);
    }
    assert_eq!(house.set("device-name", json!("mine")).0, 200);
    assert_eq!(house.ask("POST", "/api/reset", Some("{\"confirm\":true}")).0, 200);
    // The first user is another, whose password is shown once.
    assert!(matches!(house.report(), Report::Password { password } if password.len() == 20));
    assert!(matches!(house.report(), Report::Restart));
}

#[test]
fn a_reboot_runs_the_command_of_the_configuration() {
    let house = House::start("reboot", |folder| {
        let command = format!("echo done > {}", folder.file("rebooted").display());
        let mut config = Config::default();
        config.system.reboot_command = Some(command);
        config
    });
    assert_eq!(house.ask("POST", "/api/reboot", None).0, 200);
    house::until("the command", || std::fs::read_to_string(house.folder.file("rebooted")).ok());
}

#[test]
fn a_configuration_is_exported_and_comes_back() {
    let house = plain("export");
    // Users of an earlier version have no hash that an import would find good enough.
    let password = Some("{\"password\":\"secret123\"}");
    assert_eq!(house.ask("PUT", "/api/users/ann/password", password).0, 200);
    assert_eq!(house.set("device-name", json!("the old one")).0, 200);
    let (status, plain) = house.ask("POST", "/api/config/export", None);
    assert_eq!((status, &plain["settings"]["device-name"]), (200, &json!("the old one")));
    assert!(plain.get("secrets").is_none());
    let (status, body) =
        house.ask("POST", "/api/config/export", Some("{\"passphrase\":\"short\"}"));
    assert_eq!((status, &body["key"]), (422, &json!("passphrase")));
    let passphrase = "{\"passphrase\":\"a long passphrase\"}";
    let (status, sealed) = house.ask("POST", "/api/config/export", Some(passphrase));
    assert_eq!(status, 200);
    let text = sealed.to_string();
    assert!(sealed.get("secrets").is_some() && !text.contains("argon2id$"), "{text}");
    assert_eq!(house.curl("/api/config/export", &["-X", "POST", "-u", "bob:secret456"]).0, 403);

    assert_eq!(house.set("device-name", json!("the new one")).0, 200);
    assert_eq!(house.ask("POST", "/api/config/import", Some("{}")).0, 422);
    let wrong = json!({ "configuration": sealed, "passphrase": "another one" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&wrong)).0, 422);
    let right = json!({ "configuration": sealed, "passphrase": "a long passphrase" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&right)).0, 200);
    assert!(matches!(house.report(), Report::Restart));
    let folder = house.stop();
    let house = House::start_in(folder, |_| Config::default());
    assert_eq!(house.value("device-name"), json!("the old one"));
}

#[test]
fn latency_is_said_by_streams() {
    let house = plain("latency");
    let (status, body) = house.ask("GET", "/api/latency", None);
    assert_eq!((status, &body["data"]["engine"]), (200, &json!("starting")));
    assert_eq!(body["data"]["streams"], json!([]));
}
