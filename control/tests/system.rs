//! What the server says of itself and does to itself: figures, events, restarts, configuration.
#![allow(missing_docs)]

mod house;

use house::{Folder, House};
use lensd_control::Config;
use lensd_ffi::link::Report;
use serde_json::{Value, json};
use std::fs;
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
    // A certificate that somebody has brought is part of it, under the passphrase.
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["camera.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let pair = json!({ "certificate": certificate, "key": key.serialize_pem() }).to_string();
    assert_eq!(house.ask("POST", "/api/certificate", Some(&pair)).0, 200);
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
    assert!(!text.contains("PRIVATE") && !plain.to_string().contains("PRIVATE"));
    assert_eq!(house.curl("/api/config/export", &["-X", "POST", "-u", "bob:secret456"]).0, 403);

    assert_eq!(house.set("device-name", json!("the new one")).0, 200);
    assert_eq!(house.ask("POST", "/api/certificate", Some("{\"generate\":true}")).0, 200);
    let own = json!({ "passphrase": "a long passphrase" }).to_string();
    let (_, other) = house.ask("POST", "/api/config/export", Some(&own));
    assert_eq!(house.ask("POST", "/api/config/import", Some("{}")).0, 422);
    let wrong = json!({ "configuration": sealed, "passphrase": "another one" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&wrong)).0, 422);
    let right = json!({ "configuration": sealed, "passphrase": "a long passphrase" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&right)).0, 200);
    assert!(matches!(house.report(), Report::Restart));
    let folder = house.stop();
    let identity = |folder: &Folder| fs::read_to_string(folder.file("data/tls/cert.pem")).unwrap();
    assert_eq!(identity(&folder), certificate);
    let house = House::start_in(folder, |_| Config::default());
    assert_eq!(house.value("device-name"), json!("the old one"));
    // One that was made on the machine stays there, and so does what another machine has.
    let made = json!({ "configuration": other, "passphrase": "a long passphrase" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&made)).0, 200);
    assert_eq!(identity(&house.stop()), certificate);
}

#[test]
fn an_import_is_checked_as_if_all_had_been_set_here() {
    let house = plain("import");
    let password = Some("{\"password\":\"secret123\"}");
    assert_eq!(house.ask("PUT", "/api/users/ann/password", password).0, 200);
    let (_, good) = house.ask("POST", "/api/config/export", None);
    for (part, name, value) in [
        ("roles", "administrator", json!(["Media_r"])),
        ("roles", "guest", json!(["Media_rw"])),
        ("roles", "a b", json!([])),
        ("roles", "night", json!(["Media"])),
        ("settings", "brightness", json!(999)),
        ("settings", "brightnes", json!(50)),
        ("settings", "cors-origins", json!(["*"])),
        ("settings", "cpu-load", json!(1)),
        ("users", "eve", json!({"role": "viewer", "permissions": "Foo"})),
        ("users", "eve", json!({"role": "none"})),
        ("users", "eve", json!({"role": "guest"})),
        ("users", "eve", json!({"role": "viewer", "admin": true})),
        ("users", "e e", json!({"role": "viewer"})),
    ] {
        let mut bad = good.clone();
        bad[part][name] = value;
        let (status, body) = house.ask("POST", "/api/config/import", Some(&bad.to_string()));
        assert_eq!(status, 422, "{part}.{name}: {body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{part}.{name}: ")), "{message}");
    }
    for (part, value) in [("others", json!({})), ("cameras", json!(["http://x"]))] {
        let mut bad = good.clone();
        bad[part] = value;
        let (status, body) = house.ask("POST", "/api/config/import", Some(&bad.to_string()));
        assert!(status == 422 && body["message"].as_str().unwrap().contains(part), "{body}");
    }
    assert_eq!(house.ask("POST", "/api/config/import", Some(&good.to_string())).0, 200);
    assert!(matches!(house.report(), Report::Restart), "the only one that was taken");
}

#[test]
fn who_has_less_than_all_rights_neither_exports_nor_imports() {
    let house = plain("half");
    let role = r#"{"name":"keeper","permissions":["System_rw","Network_rw"]}"#;
    assert_eq!(house.ask("POST", "/api/roles", Some(role)).0, 200);
    let eve = r#"{"username":"eve","password":"secret789","role":"keeper"}"#;
    assert_eq!(house.ask("POST", "/api/users", Some(eve)).0, 200);
    for (path, body) in [
        ("/api/config/export", "{}"),
        ("/api/config/export", "{\"passphrase\":\"a long passphrase\"}"),
        ("/api/config/import", "{\"lensd-configuration\":1,\"users\":{}}"),
    ] {
        let (status, body) = house.curl(path, &["-X", "POST", "-u", "eve:secret789", "-d", body]);
        assert!(status == 403 && body.contains("administrators"), "{status} {body}");
    }
}

#[test]
fn added_cameras_are_part_of_an_export() {
    let house = plain("cameras");
    let password = Some("{\"password\":\"secret123\"}");
    assert_eq!(house.ask("PUT", "/api/users/ann/password", password).0, 200);
    let url = "rtsp://joe:hidden77@10.0.0.7/stream";
    assert_eq!(house.set("external-stream-add", json!(url)).0, 200);
    assert!(matches!(house.report(), Report::Restart));
    let (_, bare) = house.ask("POST", "/api/config/export", None);
    assert_eq!(bare["cameras"], json!(["rtsp://10.0.0.7/stream"]));
    let passphrase = "{\"passphrase\":\"a long passphrase\"}";
    let (_, sealed) = house.ask("POST", "/api/config/export", Some(passphrase));
    assert!(!format!("{bare}{sealed}").contains("hidden77"));
    let kept = |house: House| {
        let folder = house.stop();
        let store = lensd_control::store::Store::open(&folder.file("data")).unwrap();
        let list = lensd_control::external::read(&store);
        drop(store);
        (House::start_in(folder, |_| Config::default()), list)
    };

    // Who is here is asked for as before; who is not comes without a login.
    assert_eq!(house.ask("POST", "/api/config/import", Some(&bare.to_string())).0, 200);
    let (house, list) = kept(house);
    assert_eq!(list, [url]);
    assert_eq!(house.set("external-stream-remove", json!(url)).0, 200);
    let whole = json!({ "configuration": sealed, "passphrase": "a long passphrase" }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&whole)).0, 200);
    let (house, list) = kept(house);
    assert_eq!(list, [url]);
    // What is refused leaves them.
    let none = json!({ "lensd-configuration": 1, "cameras": [] }).to_string();
    assert_eq!(house.ask("POST", "/api/config/import", Some(&none)).0, 422, "no administrator");
    assert_eq!(kept(house).1, [url]);
}

#[test]
fn latency_is_said_by_streams() {
    let house = plain("latency");
    let (status, body) = house.ask("GET", "/api/latency", None);
    assert_eq!((status, &body["data"]["engine"]), (200, &json!("starting")));
    assert_eq!(body["data"]["streams"], json!([]));
}
