//! What holds now, for each key.

use super::Apply;
use super::image::MEANINGS;
use super::keys::{Means, means};
use crate::camera::devices;
use crate::camera::tree::{Trace, Tree};
use crate::config::Join;
use crate::hardware::Lamp;
use crate::publish::{Kind, Stage};
use crossbeam::channel::Receiver;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::settings::{Entry, Plane, entries, find};
use lensd_ffi::state::{EngineState, StreamState};
use lensd_ffi::time::now;
use serde_json::{Value, json};

fn reading(value: &Result<f64, String>) -> Held {
    match value {
        Ok(value) => Held::of((value * 1000.0).round() / 1000.0),
        // The module's error key says why.
        Err(_) => Held::default(),
    }
}

fn whole(value: u64) -> Value {
    i64::try_from(value).unwrap_or(i64::MAX).into()
}

/// The first of the faults; null without one.
fn fault<'a>(errors: impl IntoIterator<Item = Option<&'a String>>) -> Held {
    let first = errors.into_iter().flatten().next();
    first.map_or_else(Held::default, |why| {
        Held::of(why.chars().filter(|c| !c.is_control()).take(160).collect::<String>())
    })
}

/// Notices that devices come and go.
#[derive(Default)]
pub(super) struct DeviceWatch {
    /// Nodes at the last look.
    nodes: Option<Vec<Trace>>,
    /// Devices are asked what they are on a thread of their own: a driver may take its time.
    asked: Option<Receiver<Vec<Value>>>,
}

impl DeviceWatch {
    fn look(&mut self) -> Option<Vec<Value>> {
        if let Some(list) = self.asked.as_ref().and_then(|asked| asked.try_recv().ok()) {
            self.asked = None;
            return Some(list);
        }
        if self.asked.is_some() {
            return None;
        }
        let nodes = Tree::default().nodes();
        if self.nodes.as_ref() == Some(&nodes) {
            return None;
        }
        self.nodes = Some(nodes);
        let (sender, asked) = crossbeam::channel::bounded(1);
        let thread = std::thread::Builder::new().name("devices".to_owned()).spawn(move || {
            let _ = sender.send(survey());
        });
        self.asked = thread.is_ok().then_some(asked);
        None
    }
}

fn survey() -> Vec<Value> {
    let of = |d: &devices::Device| {
        let role = serde_json::to_value(d.role).unwrap_or_default();
        json!({"path": d.path, "id": d.id, "name": d.card, "driver": d.driver, "role": role})
    };
    // What is more does not fit the value's place.
    devices::outline().iter().take(32).map(of).collect()
}

impl Apply {
    /// Publishes what is measured, and what may have changed without being set.
    pub fn measure(&mut self, state: &EngineState) {
        if self.wish("auto-rotate") == true
            && let Err(why) = self.follow_mounting(true, now())
        {
            tracing::debug!("auto-rotate: {why}");
        }
        for entry in entries().iter().filter(|e| e.plane() == Plane::Engine && !e.key.action) {
            if entry.key.name == "devices" {
                continue;
            }
            let held = self.held_in(entry, Some(state));
            self.publish(entry.index, held);
        }
    }

    /// Publishes the devices when they have become others.
    pub fn measure_devices(&mut self) {
        if let Some(list) = self.devices.look()
            && let Some(entry) = find("devices")
        {
            self.publish(entry.index, Held::of(list));
        }
    }

    /// What holds for a key that was set.
    pub(super) fn held_now(&self, entry: &Entry) -> Held {
        self.held_in(entry, None)
    }

    /// `state`: the engine's, where it is at hand; values that need it are else as published last.
    fn held_in(&self, entry: &Entry, state: Option<&EngineState>) -> Held {
        let name = entry.key.name;
        match means(name) {
            Means::Image => self.control_now(name),
            Means::Measured => match state {
                Some(state) => self.measured(name, state),
                None => self.held.get(entry.index).cloned().unwrap_or_default(),
            },
            Means::Main => match self.switchboard.main_camera() {
                0 => Held::missing("there is no camera"),
                main => Held::of(main),
            },
            Means::Input(camera) => match self.cameras.get(camera) {
                None => Held::missing("there is no such camera"),
                Some(camera) if camera.knobs.is_none() => {
                    Held::missing("the camera is away, or has no inputs to choose from")
                }
                Some(camera) if camera.inputs.0.is_empty() => {
                    Held::missing("this camera has no inputs to choose from")
                }
                Some(camera) => Held::of(camera.inputs.1 + 1),
            },
            Means::Change(_) | Means::Quality => self.stream_now(name),
            Means::Rtsp(_) => Held::of(match name {
                "rtsp-join" => match self.rtsp.join {
                    Join::Gop => json!("gop"),
                    Join::Key => json!("key"),
                },
                "rtsp-multicast" => self.wish(name),
                "rtsp-extensions" => json!(self.rtsp.extensions.name()),
                "rtsp-max-sessions" => json!(self.rtsp.max_sessions),
                _ => json!(self.rtsp.pacing_ms),
            }),
            Means::Tap(_) => self.tap_now(name),
            Means::WebRtc(_) => self.webrtc_now(name),
            Means::Scene(_) | Means::Ptz(_) => Held::of(self.wish(name)),
            Means::Light(lamp) => self.driven(name, &self.lights[lamp]),
            Means::Disc => self.driven(name, &self.disc),
            Means::AutoRotate => Held {
                value: self.wish(name),
                error: self.sensors.now().acceleration[1].clone().err().unwrap_or_default(),
                hardware: None,
            },
            Means::Record => self.record_now(),
            Means::Recording(_) | Means::Snapshot | Means::Limit => Held::of(self.wish(name)),
            Means::Finish(_) | Means::Style(_) => self.finish_now(entry),
            Means::KeyFrame | Means::ResetImage | Means::Snap => Held::default(),
        }
    }

    fn driven(&self, name: &str, lamp: &Lamp) -> Held {
        lamp.missing().map_or_else(|| Held::of(self.wish(name)), Held::missing)
    }

    fn control_now(&self, name: &str) -> Held {
        let Some(camera) = self.active().and_then(|i| self.cameras.get(i)) else {
            return Held::missing("there is no camera");
        };
        let control = MEANINGS.iter().find(|m| m.key == name);
        match control.and_then(|m| Some((m, m.find(&camera.controls)?))) {
            Some((meaning, control)) => meaning.held(control),
            None if camera.knobs.is_none() => {
                Held::missing("the camera is away, or has no controls")
            }
            None => match name {
                "mirror" => Held::of(camera.config.finish.mirror),
                "flip" => Held::of(camera.config.finish.flip),
                _ => Held::missing("this camera has no such control"),
            },
        }
    }

    fn stream_now(&self, name: &str) -> Held {
        let Some(camera) = self.active().and_then(|i| self.cameras.get(i)) else {
            return Held::missing("there is no camera");
        };
        let config = &camera.config;
        let value = match name {
            "bitrate" => json!(config.bitrate),
            "sub-bitrate" => json!(config.sub_bitrate),
            // Samples of colour are two pixels wide.
            "sub-width" => json!(config.sub_width & !1),
            "sub-fps" => json!(config.sub_fps),
            "main-encoding" => json!(if config.main_jpeg { "jpeg" } else { "h264" }),
            "sub-encoding" => json!(if config.sub_jpeg { "jpeg" } else { "h264" }),
            "gop" => json!(config.gop_secs),
            "jpeg-quality" => json!(config.quality),
            "capture-sei" => json!(config.capture_sei),
            "no-signal" => json!(config.no_signal),
            name => {
                let state = camera.state.lock();
                if state.width == 0 {
                    return Held::missing(state.error.clone());
                }
                if name == "resolution" {
                    json!(format!("{}x{}", state.width, state.height))
                } else {
                    // A camera may give 29.97.
                    #[expect(clippy::cast_possible_truncation, reason = "at most a thousand")]
                    let fps = state.fps.round() as i64;
                    json!(fps)
                }
            }
        };
        Held::of(value)
    }

    fn measured(&self, name: &str, state: &EngineState) -> Held {
        let camera = |n: usize| state.cameras.get(n);
        let stream = |kind: Kind| -> Option<&StreamState> {
            let name = format!("cam{}/{}", state.main_camera, kind.name());
            state.streams.iter().find(|s| s.name == name)
        };
        let text = |text: &str| {
            Held::of(text.chars().filter(|c| !c.is_control()).take(60).collect::<String>())
        };
        let named = |n: usize| camera(n).map_or_else(Held::default, |c| text(&c.name));
        let format = |n: usize| camera(n).map_or_else(Held::default, |c| text(&c.format));
        let fps = |kind| stream(kind).map_or(0.0, |s| (s.fps * 10.0).round() / 10.0);
        let rate = |kind| whole(stream(kind).map_or(0, |s| s.bitrate));
        let readers = |kind| stream(kind).map_or(0, |s| s.readers);
        let sensors = self.sensors.now();
        let limit = |name| self.wish(name).as_f64().unwrap_or_default();
        Held::of(match name {
            "cam1-exists" => json!(camera(0).is_some_and(|c| c.connected)),
            "cam2-exists" => json!(camera(1).is_some_and(|c| c.connected)),
            "cam1-name" => return named(0),
            "cam2-name" => return named(1),
            "cam1-format" => return format(0),
            "cam2-format" => return format(1),
            "cameras" => json!(state.cameras.len()),
            "stream-main-fps" => json!(fps(Kind::Main)),
            "stream-sub-fps" => json!(fps(Kind::Sub)),
            "stream-mjpeg-fps" => json!(fps(Kind::Mjpeg)),
            "stream-main-rate" => rate(Kind::Main),
            "stream-sub-rate" => rate(Kind::Sub),
            "stream-mjpeg-rate" => rate(Kind::Mjpeg),
            "stream-main-readers" => json!(readers(Kind::Main)),
            "stream-sub-readers" => json!(readers(Kind::Sub)),
            "stream-mjpeg-readers" => json!(readers(Kind::Mjpeg)),
            "stream-main-pipeline" => {
                return stream(Kind::Main).map_or_else(Held::default, |s| {
                    Held::of(s.pipeline.chars().take(200).collect::<String>())
                });
            }
            "latency-p50" | "latency-p99" | "latency-max" => {
                let stages = stream(Kind::Main).map(|s| s.stages.as_slice()).unwrap_or_default();
                let total = stages.iter().find(|s| s.stage == Stage::Total.name());
                return total.map_or_else(Held::default, |total| {
                    Held::of(whole(match name {
                        "latency-p50" => total.p50_us,
                        "latency-p99" => total.p99_us,
                        _ => total.max_us,
                    }))
                });
            }
            "rtsp-sessions" => json!(state.sessions),
            "rtsp-error" => {
                let missing = self.view.missing.lock();
                return match missing.is_empty() {
                    true => Held::default(),
                    false => Held::of(missing.chars().take(300).collect::<String>()),
                };
            }
            "rtsp-multicast-groups" => self.view.groups.lock().clone(),
            name if name.starts_with("motion-") || name.starts_with("tamper-") => {
                return self.scene_measured(name, state);
            }
            "ptz-position" | "ptz-moving" | "ptz-error" => return self.ptz_measured(name),
            "tap-clients" | "tap-frames" | "tap-lost" | "tap-revoked" | "tap-loans"
            | "tap-copied" => whole(self.tap_measured(name)),
            "webrtc-clients" | "webrtc-udp-port" | "webrtc-error" => self.webrtc_measured(name),
            "light-error" => {
                let faults = self.lights.each_ref().map(Lamp::missing);
                return fault(faults.iter().map(Option::as_ref));
            }
            "disc-rotation-error" => return fault([self.disc.missing().as_ref()]),
            "acceleration-x" => return reading(&sensors.acceleration[0]),
            "acceleration-y" => return reading(&sensors.acceleration[1]),
            "acceleration-z" => return reading(&sensors.acceleration[2]),
            "rotation" => match self.mounting() {
                Ok(true) => json!(180),
                Ok(false) => json!(0),
                Err(_) => Value::Null,
            },
            "auto-rotate-error" => return fault([self.mounting().as_ref().err()]),
            "head-sensors-error" => {
                return fault(sensors.acceleration.iter().map(|a| a.as_ref().err()));
            }
            "head-temperature" => return reading(&sensors.head_temperature),
            "head-temperature-high" => match sensors.head_temperature {
                Ok(now) => json!(now > limit("head-temperature-limit")),
                Err(_) => Value::Null,
            },
            "head-temperature-error" => return fault([sensors.head_temperature.as_ref().err()]),
            "pressure" => return reading(&sensors.pressure),
            "pressure-low" => match sensors.pressure {
                Ok(now) => json!(now < limit("pressure-limit")),
                Err(_) => Value::Null,
            },
            "pressure-error" => return fault([sensors.pressure.as_ref().err()]),
            "fpga-present" => json!(sensors.fpga.is_ok()),
            "fpga-error" => return fault([sensors.fpga.as_ref().err()]),
            "fpga-temperature" => return reading(&sensors.fpga_temperature),
            "fpga-temperature-error" => return fault([sensors.fpga_temperature.as_ref().err()]),
            name if let Some(held) = self.recording_measured(name, state) => return held,
            other => {
                debug_assert!(false, "{other} is measured by nobody");
                return Held::missing("nothing measures this");
            }
        })
    }
}
