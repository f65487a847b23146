//! Settings of recordings and snapshots.

use super::Apply;
use crate::publish::Kind;
use crate::record::Hub;
use crate::record::plan::{Options, Which};
use crate::record::schedule::Schedule;
use lensd_ffi::link::RecordAct;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::state::EngineState;
use lensd_ffi::time::Nanos;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What snapshots are about.
pub(super) struct Recorder {
    pub(super) hub: Arc<Hub>,
    /// Snapshots that keys have asked for.
    wanted: u32,
    /// When the last one by interval was taken.
    taken: Option<Nanos>,
}

impl Recorder {
    pub(super) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub, wanted: 0, taken: None }
    }
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn small(value: &Value) -> u32 {
    u32::try_from(whole(value)).unwrap_or(u32::MAX)
}

/// What a key changes.
pub(super) fn change_of(key: &str) -> Option<fn(&mut Options, &Value)> {
    const MB: u64 = 1_000_000;
    Some(match key {
        "record-camera" => |options, value| {
            options.which = if value == "all" { Which::All } else { Which::Active };
        },
        "record-stream" => |options, value| {
            options.kinds = match value.as_str() {
                Some("sub") => vec![Kind::Sub],
                Some("both") => vec![Kind::Main, Kind::Sub],
                Some("mjpeg") => vec![Kind::Mjpeg],
                _ => vec![Kind::Main],
            };
        },
        "record-limit" => |options, value| options.plan.limit_secs = whole(value),
        "record-segment" => |options, value| options.plan.segment_secs = whole(value),
        "record-segment-size" => |options, value| options.plan.segment_bytes = whole(value) * MB,
        "record-schedule" => |options, value| {
            // Checked before.
            options.schedule =
                Schedule::parse(value.as_str().unwrap_or_default()).unwrap_or_default();
        },
        "record-resume" => |options, value| options.resume = value == true,
        "record-mode" => |options, value| {
            options.mode = match value.as_str() {
                Some("time-lapse") => "time-lapse",
                Some("slow-motion") => "slow-motion",
                _ => "video",
            };
        },
        "time-lapse-interval" => |options, value| {
            options.interval_ms = millis(value);
        },
        "time-lapse-rate" => |options, value| options.lapse_rate = small(value),
        "slow-motion-rate" => |options, value| options.slow_rate = small(value),
        "pre-event" => |options, value| options.before = Nanos::from_millis(millis(value)),
        "storage-replace" => |options, value| options.replace = value == true,
        "keep-days" => |options, value| options.keep.days = whole(value),
        "keep-size" => |options, value| options.keep.bytes = whole(value) * MB,
        "keep-count" => |options, value| options.keep.count = whole(value),
        "keep-free" => |options, value| options.keep.free = whole(value) * MB,
        _ => return None,
    })
}

/// Seconds of a key whose range is a day.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to a day")]
fn millis(value: &Value) -> u64 {
    (value.as_f64().unwrap_or_default() * 1000.0).round() as u64
}

impl Apply {
    /// Recording, and what is done with snapshots.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.recorder.hub
    }

    pub(super) fn set_record(&self, value: &Value) -> Result<(), String> {
        let hub = &self.recorder.hub;
        let act = match value {
            Value::Bool(true) => RecordAct::Start,
            Value::Bool(false) => RecordAct::Stop,
            value if value == "pause" => RecordAct::Pause,
            _ => RecordAct::Resume,
        };
        match hub.record(act, None, None, |_| {}) {
            // It is as it is wanted already.
            Err(refusal) if refusal.code == "RECORDING_IN_PROGRESS" => Ok(()),
            Err(_) if act == RecordAct::Stop => Ok(()),
            Err(refusal) => Err(refusal.message),
            Ok(_) => Ok(()),
        }
    }

    pub(super) fn record_now(&self) -> Held {
        Held::of(match self.recorder.hub.recording() {
            (_, true) => json!("pause"),
            (any, false) => json!(any),
        })
    }

    pub(super) fn set_recording(
        &self,
        key: &str,
        change: fn(&mut Options, &Value),
        value: &Value,
    ) -> Result<(), String> {
        if key == "record-schedule" {
            Schedule::parse(value.as_str().unwrap_or_default())?;
        }
        self.recorder.hub.change(|options| change(options, value));
        Ok(())
    }

    pub(super) fn ask_for_snapshot(&mut self, value: &Value) -> Result<(), String> {
        if *value != Value::Bool(true) {
            return Ok(());
        }
        let main = self.switchboard.main_camera();
        let stream = self.switchboard.of(main, Kind::Mjpeg).ok_or("there is no camera")?;
        if let Some(why) = stream.away() {
            return Err(format!("camera {main}: {why}"));
        }
        if self.recorder.wanted > 8 {
            return Err("too many snapshots at once".to_owned());
        }
        self.recorder.wanted += 1;
        Ok(())
    }

    /// How many snapshots are to be taken now: by key, and by interval.
    pub fn due_snapshots(&mut self, at: Nanos) -> u32 {
        let interval = Nanos::from_secs(whole(&self.wish("snap-interval")));
        let due = interval.0 > 0 && self.recorder.taken.is_none_or(|t| at.since(t) >= interval);
        if due {
            // Late ones do not move those that follow.
            let on_time = self.recorder.taken.map(|t| t.plus(interval));
            self.recorder.taken = on_time.filter(|t| at.since(*t) < interval).or(Some(at));
        }
        if interval.0 == 0 {
            self.recorder.taken = None;
        }
        std::mem::take(&mut self.recorder.wanted) + u32::from(due)
    }

    /// Whether snapshots show their time, and whether they replace each other.
    pub fn snapshot_options(&self) -> (bool, bool) {
        (self.wish("snap-stamp") == true, self.wish("snap-keep-one") == true)
    }

    /// What a camera's pictures are set to.
    pub fn picture_settings(&self) -> Value {
        let mut all = Map::new();
        for meaning in super::image::MEANINGS {
            let held = lensd_ffi::settings::find(meaning.key).map(|entry| self.held_now(entry));
            if let Some(held) = held.filter(|held| !held.value.is_null()) {
                all.insert(meaning.key.to_owned(), held.value);
            }
        }
        Value::Object(all)
    }

    pub(super) fn recording_measured(&self, name: &str, state: &EngineState) -> Option<Held> {
        let storage = &state.storage;
        // The one of which most is to be said.
        let of_main = |r: &&lensd_ffi::state::RecordingState| r.camera == state.main_camera;
        let running = || state.recordings.iter().filter(|r| r.started_ms > 0);
        let shown = running().find(of_main).or_else(|| running().next());
        let shown = shown.or_else(|| state.recordings.first());
        let count = |n: u64| json!(i64::try_from(n).unwrap_or(i64::MAX));
        let words = |text: &str| json!(text.chars().take(160).collect::<String>());
        let last = |topics: [&str; 2]| {
            let of = |e: &&lensd_ffi::state::MediaEvent| topics.contains(&e.topic.as_str());
            state.media_events.iter().rev().find(of)
        };
        Some(Held::of(match name {
            "record-state" => json!(shown.map_or("off", |r| r.state.as_str())),
            "record-file" => shown.map_or(Value::Null, |r| words(&r.filename)),
            "record-time" => json!(shown.map_or(0, |r| r.duration_ms / 1000)),
            "record-size" => count(shown.map_or(0, |r| r.bytes)),
            "record-dropped" => count(state.recordings.iter().map(|r| r.dropped_units).sum()),
            "record-error" => {
                let error = state.recordings.iter().find(|r| !r.error.is_empty());
                error.map_or(Value::Null, |r| words(&r.error))
            }
            "snap-file" => last(["snapshot.taken", ""]).map_or(Value::Null, |e| words(&e.filename)),
            "snap-error" => match last(["snapshot.taken", "snapshot.error"]) {
                Some(event) if event.topic == "snapshot.error" => words(&event.text),
                _ => Value::Null,
            },
            "storage-state" => json!(storage.state),
            "storage-error" => {
                if storage.error.is_empty() {
                    Value::Null
                } else {
                    words(&storage.error)
                }
            }
            "records-count" => count(storage.videos),
            "records-size" => count(storage.video_bytes),
            "snapshots-count" => count(storage.images),
            "snapshots-size" => count(storage.image_bytes),
            _ => return None,
        }))
    }
}
