//! Many settings at once, with an engine that has one light less than it is asked for; and messages
//! of the WebSocket that say more than one thing.
#![allow(missing_docs)]

mod house;

use house::{House, python, until};
use lensd_control::Config;
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, Outcome, Received};
use lensd_ffi::settings::bank::Held;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Builder;

/// What the engine holds, and all that it was ever asked to set.
#[derive(Default)]
struct Inside {
    held: BTreeMap<String, Value>,
    asked: Vec<String>,
}

/// Takes everything but the light.
fn engine(link: &Link, inside: &Mutex<Inside>) {
    while let Ok(Received::Message(Asked { id, ask }, _)) = link.receive::<Asked>() {
        let Ask::Set { changes, .. } = ask else { continue };
        let mut inside = inside.lock().unwrap();
        let mut outcomes = Vec::new();
        for (key, value) in changes {
            inside.asked.push(key.clone());
            let refused = (key == "cam1-light").then(|| "there is no light".to_owned());
            if refused.is_none() {
                inside.held.insert(key.clone(), value);
            }
            let held = Held::of(inside.held.get(&key).cloned().unwrap_or_default());
            outcomes.push(Outcome { key, held, refused });
        }
        drop(inside);
        if link.send(&Answered { id, answer: Answer::Set { outcomes } }, &[]).is_err() {
            return;
        }
    }
}

struct Rig {
    house: House,
    inside: Arc<Mutex<Inside>>,
}

impl Rig {
    fn start(name: &str) -> Self {
        let house = House::start(name, |_| Config::default());
        let link = house.meet_engine();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let theirs = Arc::clone(&inside);
        Builder::new().name("engine".into()).spawn(move || engine(&link, &theirs)).unwrap();
        house.wait_for_engine();
        Self { house, inside }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }
}

#[test]
fn what_is_refused_as_a_whole_is_gone_when_that_is_said() {
    let rig = Rig::start("whole");
    assert_eq!(rig.house.set("brightness", json!(30)).0, 200);
    for brightness in [11, 12, 13] {
        let changes = json!({"image": {"brightness": brightness}, "light": {"cam1-light": true}});
        let (status, body) = rig.house.ask("PATCH", "/api/config", Some(&changes.to_string()));
        assert_eq!((status, &body["key"]), (422, &json!("cam1-light")), "{body}");
        assert_eq!(rig.inside().held["brightness"], json!(30));
        assert_eq!(rig.house.value("brightness"), json!(30));
    }
    // What does something waits for the rest, on either plane.
    for action in [
        json!({"snapshot": {"snap": true}, "light": {"cam1-light": true}}),
        json!({"recording": {"record": true}, "light": {"cam1-light": true}}),
        json!({"recording": {"record": true}, "webserver": {"metrics-allow": "10.0.0.0/99"}}),
        json!({"restart": {"restart": true}, "light": {"cam1-light": true}}),
    ] {
        let (status, body) = rig.house.ask("PATCH", "/api/config", Some(&action.to_string()));
        assert_eq!(status, 422, "{body}");
    }
    let asked = rig.inside().asked.clone();
    assert!(!asked.iter().any(|key| ["snap", "record"].contains(&key.as_str())), "{asked:?}");
    // And what is taken as a whole is done.
    let good = json!({"image": {"brightness": 44}, "snapshot": {"snap": true}});
    let (status, body) = rig.house.ask("PATCH", "/api/config", Some(&good.to_string()));
    assert_eq!((status, &body["data"]), (200, &json!({"brightness": 44, "snap": true})), "{body}");
    assert_eq!(rig.inside().asked.last().unwrap(), "snap");
    assert_eq!(rig.house.set("restart", json!(true)).0, 200);
    assert!(matches!(rig.house.report(), lensd_ffi::link::Report::Restart), "the first one");
}

/// Three at once: each is tried alone.
#[test]
fn sets_that_come_together_do_not_see_each_other() {
    let rig = Rig::start("together");
    assert_eq!(rig.house.set("brightness", json!(30)).0, 200);
    std::thread::scope(|scope| {
        for brightness in [11, 12, 13, 14] {
            let house = &rig.house;
            scope.spawn(move || {
                let image = json!({ "brightness": brightness });
                let changes = json!({"image": image, "light": {"cam1-light": true}}).to_string();
                assert_eq!(house.ask("PATCH", "/api/config", Some(&changes)).0, 422);
            });
        }
    });
    assert_eq!(rig.inside().held["brightness"], json!(30));
    assert_eq!(rig.house.value("brightness"), json!(30));
}

#[test]
fn a_message_has_an_end() {
    let house = House::start("many", |_| Config::default());
    let many: serde_json::Map<String, Value> =
        (0..600).map(|i| (format!("brightnes{i}"), json!(1))).collect();
    let many = Value::Object(many);
    for (path, body) in [
        ("/api/settings", many.clone()),
        ("/api/config/image", many.clone()),
        ("/api/config", json!({ "image": many })),
    ] {
        let (status, body) = house.ask("PATCH", path, Some(&body.to_string()));
        assert!(status == 400 && body["message"].as_str().unwrap().contains("512"), "{body}");
    }
}

const CLIENT: &str = r#"
import json, sys
from websockets.sync.client import connect

with connect(sys.argv[1]) as ws:
    def ask(message, answers=1):
        ws.send(json.dumps(message))
        return [json.loads(ws.recv(60)) for _ in range(answers)]

    for many in [{f'brightnes{i}': 1 for i in range(600)}, {'get': ['brightnes'] * 600}]:
        [answer] = ask(many)
        assert '512' in answer['message'], answer
    login = {'username': 'ann', 'password': 'secret123'}
    refused, welcome = ask({**login, 'brightness': 7}, 2)
    assert refused['key'] == 'brightness' and 'login' in refused['message'], refused
    assert welcome['authenticated'], welcome
    refused, answer = ask({'get': ['device-name'], 'device-name': 'x'}, 2)
    assert refused['key'] == 'device-name' and refused['error'] == 'Invalid message', refused
    assert answer == {'device-name': sys.argv[2]}, answer
    refused, answer = ask({'subscribe': 'measured', 'format': 'jpeg'}, 2)
    assert refused['key'] == 'format' and answer == {'subscribed': 'measured'}, answer
"#;

#[test]
fn a_message_with_two_meanings_says_what_was_not_done() {
    let house = House::start("meanings", |_| Config::default());
    let name = house.value("device-name");
    let url = format!("ws://127.0.0.1:{}/api/v1", house.port);
    let out = Command::new(python("websockets"))
        .args(["-c", CLIENT, &url, name.as_str().unwrap()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn who_changed_what_is_written_down_before_the_end() {
    let house = House::start("written", |_| Config::default());
    let (status, _) = house.set("device-name", json!("the last change"));
    assert_eq!(status, 200);
    let folder = house.stop();
    let log = std::fs::read_to_string(folder.file("data/logs/audit.log")).unwrap();
    assert!(log.contains("the last change"), "{log}");

    let house = House::start_in(folder, |_| Config::default());
    assert_eq!(house.set("device-name", json!("before it")).0, 200);
    assert_eq!(house.set("restart", json!(true)).0, 200);
    house.report();
    let log = || std::fs::read_to_string(house.folder.file("data/logs/audit.log")).unwrap();
    assert!(log().contains("before it"), "{}", log());
    assert_eq!(house.set("device-name", json!(" ")).0, 422, "a device has a name");
}

#[test]
fn a_token_has_no_role_beyond_its_users() {
    let house = House::start("token", |_| Config::default());
    let make = |user: &str, role: &str| {
        let body = json!({ "name": "x", "role": role }).to_string();
        house.curl("/api/token", &["-X", "POST", "-u", user, "-d", &body])
    };
    for (user, role, want) in [
        ("bob:secret456", "administrator", 403),
        ("bob:secret456", "operator", 403),
        ("bob:secret456", "viewer", 200),
        ("ann:secret123", "operator", 200),
    ] {
        let (status, body) = make(user, role);
        assert_eq!(status, want, "{user} {role}: {body}");
    }
}

#[test]
fn an_engine_that_hangs_is_told() {
    let house = House::start("hangs", |_| Config::default());
    let word = || {
        let (_, text) = house.curl("/health", &[]);
        serde_json::from_str::<Value>(&text).unwrap()["data"]["engine"].clone()
    };
    assert_eq!(word(), "starting");
    // It says what it is once, and nothing more.
    let _engine = house.meet_engine();
    until("the engine", || (word() == "running").then_some(()));
    assert_eq!(house.curl("/health/ready", &[]).0, 200);
    until("the word", || (word() == "stalled").then_some(()));
    let (status, text) = house.curl("/health/ready", &[]);
    assert!(status == 503 && text.contains("ENGINE_STALLED"), "{text}");
}
