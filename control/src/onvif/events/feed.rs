//! What happens here, as ONVIF's topics: states of cameras, recordings and storage, and what
//! detectors see.

use super::configurations;
use crate::broker::{Message, States};
use crate::desk::Desk;
use crate::http::At;
use crate::onvif::tokens::video_source;
use crate::soap::time;
use lensd_ffi::time::Nanos;
use serde_json::Value;

/// Topics of what a camera's detectors say, by why a camera is tampered with.
const TAMPER: &[(&str, &[&str])] = &[
    ("tns1:VideoSource/ImageTooDark/ImagingService", &["black"]),
    ("tns1:VideoSource/ImageTooBlurry/ImagingService", &["blurred"]),
    ("tns1:VideoSource/GlobalSceneChange/ImagingService", &["covered", "test"]),
];
const MOTION: &str = "tns1:VideoSource/MotionAlarm";
const SIGNAL: &str = "tns1:VideoSource/SignalLoss";
const INPUT: &str = "tns1:Device/Trigger/DigitalInput";
const JOB: &str = "tns1:RecordingConfig/JobState";
/// How often states are looked at.
const LOOK: Nanos = Nanos::from_millis(250);
const STORAGE: &str = "tns1:Device/HardwareFailure/StorageFailure";

/// Takes what has happened since, and what holds now. Called at each turn of the loop.
pub(in crate::onvif) fn feed(desk: &mut Desk, at: At) {
    // A first look at configurations is due before who has just subscribed can change one.
    let is_first = desk.fed.configurations.is_none() && desk.broker.len() > 0;
    if desk.fed.next <= at.mono || is_first {
        desk.fed.next = at.mono.plus(LOOK);
        inputs(desk, at);
        states(desk, at);
        configurations::watch(desk, at);
    }
    let last = desk.events.last();
    if desk.fed.seen == Some(last) {
        return;
    }
    let seen = desk.fed.seen.unwrap_or(last);
    let news: Vec<(&'static str, Value)> =
        desk.events.since(seen).map(|e| (e.kind, e.value())).collect();
    desk.fed.seen = Some(last);
    for (kind, value) in news {
        happened(desk, kind, &value, at);
    }
}

fn publish(desk: &mut Desk, name: &str, ms: i64, source: Vec<String>, data: Vec<String>) {
    desk.broker.publish(Message::new(name, ms, source, data));
}

/// What the digital inputs said first; what becomes of them since is an event.
fn inputs(desk: &mut Desk, at: At) {
    let known = desk.config.system.inputs.iter().zip(&desk.inputs);
    let levels: Vec<(String, bool)> = known
        .filter_map(|(input, level)| Some((input.name.clone(), *level.as_ref().ok()?)))
        .filter(|(name, _)| !desk.broker.holds(INPUT, name))
        .collect();
    for (name, on) in levels {
        publish(desk, INPUT, at.utc.millis(), vec![name], vec![on.to_string()]);
    }
}

/// What holds now. What is not known of a source's detectors holds as quiet, so that clients see
/// that there are such events.
fn states(desk: &mut Desk, at: At) {
    if !desk.engine.is_running() {
        return;
    }
    let ms = at.utc.millis();
    let state = desk.engine.state();
    let cameras: Vec<(String, bool)> =
        state.cameras.iter().map(|c| (video_source(c.id), c.connected)).collect();
    let recordings: Vec<(String, bool)> = state
        .recordings
        .iter()
        .map(|r| (r.stream.replace('/', "-"), r.state == "recording"))
        .collect();
    let storage = state.storage.state.clone();
    let started = time::date_time(desk.started.utc.millis());
    let now = States { cameras, recordings, storage };
    if desk.fed.states.as_ref() == Some(&now) {
        return;
    }
    let States { cameras, recordings, storage } = &now;
    for (source, connected) in cameras {
        publish(desk, SIGNAL, ms, vec![source.clone()], vec![(!connected).to_string()]);
        for topic in TAMPER.iter().map(|(topic, _)| *topic).chain([MOTION]) {
            if !desk.broker.holds(topic, source) {
                publish(desk, topic, ms, vec![source.clone()], vec![false.to_string()]);
            }
        }
    }
    for (job, runs) in recordings {
        let word = if *runs { "Active" } else { "Idle" };
        publish(desk, JOB, ms, vec![job.clone()], vec![word.to_owned()]);
    }
    let failed = !["", "ok", "starting"].contains(&storage.as_str());
    publish(desk, STORAGE, ms, vec!["media".to_owned()], vec![failed.to_string()]);
    publish(desk, "tns1:Monitoring/OperatingTime/LastReboot", ms, vec![], vec![started]);
    let gone = |message: &Message| match (message.topic.path[0], message.source.first()) {
        ("tns1:VideoSource", Some(source)) => !cameras.iter().any(|(c, _)| c == source),
        ("tns1:RecordingConfig", Some(job)) => !recordings.iter().any(|(r, _)| r == job),
        _ => false,
    };
    desk.broker.retain(ms, |message| !gone(message));
    desk.fed.states = Some(now);
}

/// An event of the log.
fn happened(desk: &mut Desk, kind: &str, event: &Value, at: At) {
    let ms = event["time"].as_i64().unwrap_or(at.utc.millis());
    let camera = event["camera"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let active = event["active"] == true;
    match kind {
        "motion" if camera > 0 => {
            publish(desk, MOTION, ms, vec![video_source(camera)], vec![active.to_string()]);
        }
        "tamper" if camera > 0 => {
            let why = event["why"].as_str().unwrap_or_default();
            for (topic, reasons) in TAMPER {
                // The end is one of all of them; a reason that is not known is a change of scene.
                let known = TAMPER.iter().any(|(_, all)| all.contains(&why));
                let other = !known && topic.contains("GlobalSceneChange");
                let holds = active && (reasons.contains(&why) || other);
                publish(desk, topic, ms, vec![video_source(camera)], vec![holds.to_string()]);
            }
        }
        "input" => {
            let name = event["input"].as_str().unwrap_or_default().to_owned();
            publish(desk, INPUT, ms, vec![name], vec![active.to_string()]);
        }
        _ => {}
    }
}

/// A media profile has been made, changed or removed.
pub(in crate::onvif) fn profile_changed(desk: &mut Desk, token: &str, at: At) {
    let ms = at.utc.millis();
    publish(desk, "tns1:Media/ProfileChanged", ms, vec![], vec![token.to_owned()]);
}

/// A configuration of a type such as `VideoEncoder` has changed.
pub(super) fn configuration_changed(desk: &mut Desk, token: &str, kind: &str, at: At) {
    let (ms, data) = (at.utc.millis(), vec![token.to_owned(), kind.to_owned()]);
    publish(desk, "tns1:Media/ConfigurationChanged", ms, vec![], data);
}
