//! The event log: what is written down of people, what operators are told, and cameras that come
//! and go, in one order.

use super::Notices;
use crate::audit::Audit;
use crate::http::respond::redact;
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::state::EngineState;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// Events that are kept.
const MOST: usize = 1000;

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its number, from 1.
    pub(crate) id: u64,
    /// `notice`, `audit`, `camera`, `media`, `motion`, `tamper`, `storage` or `input`.
    pub(crate) kind: &'static str,
    body: Map<String, Value>,
}

impl Event {
    /// What one must be allowed to read it: names and addresses of people are not for everybody.
    pub(crate) fn access(&self) -> Access {
        Access::read(match self.kind {
            "audit" => Permission::User,
            "media" | "motion" | "tamper" => Permission::Media,
            "storage" => Permission::Storage,
            "input" => Permission::Device,
            _ => Permission::System,
        })
    }

    /// As JSON.
    pub(crate) fn value(&self) -> Value {
        let mut body = self.body.clone();
        body.insert("id".to_owned(), json!(self.id));
        body.insert("kind".to_owned(), json!(self.kind));
        Value::Object(body)
    }
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Events {
    list: VecDeque<Event>,
    last: u64,
    audited: u64,
    noticed: u64,
    /// Which incarnation of the engine was listened to, and up to which of its events.
    engine: (i64, u64),
    /// Up to which of its events about recordings.
    media: u64,
    /// Up to which of its events of what cameras see.
    scene: u64,
    /// The number of the newest at the last look.
    looked: u64,
}

impl Events {
    /// Takes over what has happened since; whether that is anything.
    pub(crate) fn look(&mut self, audit: &Audit, notices: &Notices, engine: &EngineState) -> bool {
        let (number, recent) = audit.recent();
        let new = usize::try_from(number.saturating_sub(self.audited)).unwrap_or(usize::MAX);
        if new > 0 {
            let mut lines: Vec<Value> = recent.rev().take(new).cloned().collect();
            lines.reverse();
            lines.into_iter().for_each(|line| self.add("audit", line));
            self.audited = number;
        }
        for (id, value) in notices.since(self.noticed) {
            self.noticed = id;
            self.add("notice", value);
        }
        if self.engine.0 != engine.started_ms {
            self.engine = (engine.started_ms, 0);
            (self.media, self.scene) = (0, 0);
        }
        let heard = self.engine.1;
        for event in engine.events.iter().filter(|e| e.number > heard) {
            let what = if event.connected { "camera.connected" } else { "camera.disconnected" };
            let (camera, reason) = (event.camera, redact(&event.reason));
            self.add(
                "camera",
                json!({"time": event.time_ms, "event": what, "camera": camera, "name": event.name, "reason": reason}),
            );
        }
        self.engine.1 = engine.events.last().map_or(self.engine.1, |e| e.number);
        let heard = self.media;
        for event in engine.media_events.iter().filter(|e| e.number > heard) {
            let mut body =
                json!({"time": event.time_ms, "event": event.topic, "text": redact(&event.text)});
            if event.camera > 0 {
                body["camera"] = json!(event.camera);
            }
            if !event.filename.is_empty() {
                body["filename"] = json!(event.filename);
            }
            self.add("media", body);
        }
        self.media = engine.media_events.last().map_or(self.media, |e| e.number);
        let heard = self.scene;
        for event in engine.scene_events.iter().filter(|e| e.number > heard) {
            let (time, camera, active) = (event.time_ms, event.camera, event.active);
            let (kind, what) = match (event.kind.as_str(), active) {
                ("motion", true) => ("motion", "motion.start"),
                ("motion", false) => ("motion", "motion.stop"),
                (_, true) => ("tamper", "tamper.start"),
                (_, false) => ("tamper", "tamper.stop"),
            };
            let mut body = json!({"time": time, "event": what, "camera": camera, "active": active});
            match kind {
                "motion" => body["area"] = json!(event.area),
                _ => body["why"] = json!(event.why),
            }
            if event.test {
                body["test"] = json!(true);
            }
            self.add(kind, body);
        }
        self.scene = engine.scene_events.last().map_or(self.scene, |e| e.number);
        let news = self.last > self.looked;
        self.looked = self.last;
        news
    }

    /// Something has become of network storage.
    pub(crate) fn note_storage(&mut self, value: Value) {
        self.add("storage", value);
    }

    /// A digital input is on or off.
    pub(crate) fn note_input(&mut self, value: Value) {
        self.add("input", value);
    }

    fn add(&mut self, kind: &'static str, value: Value) {
        let Value::Object(body) = value else { return };
        self.last += 1;
        if self.list.len() >= MOST {
            self.list.pop_front();
        }
        self.list.push_back(Event { id: self.last, kind, body });
    }

    /// The number of the newest.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Those after number `id`, oldest first.
    pub(crate) fn since(&self, id: u64) -> impl DoubleEndedIterator<Item = &Event> {
        let from = self.list.partition_point(|event| event.id <= id);
        self.list.range(from..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event as Happened;
    use crate::http::At;
    use lensd_ffi::state::CameraEvent;
    use std::path::Path;

    #[test]
    fn both_logs_become_one_and_it_is_bounded() {
        let mut audit = Audit::open(Path::new("/proc/none"));
        let mut notices = Notices::default();
        let mut events = Events::default();
        let engine = EngineState::default();
        assert!(!events.look(&audit, &notices, &engine));
        notices.add("error", "camera 1 is gone", At::default());
        audit.note(&Happened { what: "login", user: "ann", ..Happened::default() }, 1);
        assert!(events.look(&audit, &notices, &engine) && !events.look(&audit, &notices, &engine));
        let all: Vec<Value> = events.since(0).map(Event::value).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0]["event"], &all[0]["kind"]), (&json!("login"), &json!("audit")));
        assert_eq!((&all[1]["level"], &all[1]["id"]), (&json!("error"), &json!(2)));
        assert_eq!(events.since(1).next().unwrap().access().permission, Permission::System);
        for i in 0..3 * MOST {
            audit.note(&Happened { what: "login", ..Happened::default() }, 1);
            if i % 700 == 0 {
                events.look(&audit, &notices, &engine);
            }
        }
        events.look(&audit, &notices, &engine);
        assert_eq!(events.since(0).count(), MOST);
        assert_eq!(events.since(events.last()).count(), 0);
    }

    #[test]
    fn what_became_of_cameras_is_taken_once_from_each_engine() {
        let audit = Audit::open(Path::new("/proc/none"));
        let (notices, mut events) = (Notices::default(), Events::default());
        let of = |number, connected: bool| CameraEvent {
            number,
            camera: 1,
            connected,
            reason: if connected { "" } else { "rtsp://u:p@h/ unplugged" }.to_owned(),
            ..CameraEvent::default()
        };
        let mut engine = EngineState { started_ms: 5, ..EngineState::default() };
        engine.events = vec![of(7, true), of(8, false)];
        assert!(events.look(&audit, &notices, &engine) && !events.look(&audit, &notices, &engine));
        engine.events.push(of(9, true));
        assert!(events.look(&audit, &notices, &engine));
        // Another engine counts from 1.
        engine = EngineState { started_ms: 6, events: vec![of(1, true)], ..engine };
        assert!(events.look(&audit, &notices, &engine));
        let all: Vec<Value> = events.since(0).map(Event::value).collect();
        let what: Vec<_> = all.iter().map(|e| e["event"].as_str().unwrap()).collect();
        let (on, off) = ("camera.connected", "camera.disconnected");
        assert_eq!(what, [on, off, on, on]);
        assert_eq!((&all[1]["camera"], &all[1]["kind"]), (&json!(1), &json!("camera")));
        let reason = all[1]["reason"].as_str().unwrap();
        assert!(reason.ends_with("unplugged") && !reason.contains("u:p"), "{reason}");
    }
}
