//! Keys of what happens before the cameras.

use super::Apply;
use crate::scene::{Options, Pretended, Region, Wish};
use lensd_ffi::link::Answer;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::state::{EngineState, SceneState};
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};

/// What a key's value changes, or why it cannot.
pub(super) type Set = fn(&mut Options, &Value) -> Result<(), String>;

fn wish(value: &Value) -> Wish {
    match value.as_str().unwrap_or_default() {
        "on" => Wish::On,
        "off" => Wish::Off,
        _ => Wish::Automatic,
    }
}

fn span(value: &Value) -> Nanos {
    let span = std::time::Duration::try_from_secs_f64(value.as_f64().unwrap_or(3.0));
    Nanos(span.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 2)))
}

/// What a key of this name sets.
pub(super) fn set_of(key: &str) -> Option<Set> {
    Some(match key {
        "motion-detection" => |options, value| {
            options.motion = wish(value);
            Ok(())
        },
        "motion-sensitivity" => |options, value| {
            options.sensitivity =
                value.as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or(50).clamp(1, 100);
            Ok(())
        },
        "motion-area" => |options, value| {
            #[expect(clippy::cast_possible_truncation, reason = "at most 100")]
            let area = value.as_f64().unwrap_or(1.0) as f32;
            options.area = area;
            Ok(())
        },
        "motion-hold" => |options, value| {
            options.hold = span(value);
            Ok(())
        },
        "motion-region" => |options, value| {
            options.region = Region::of(value)?;
            Ok(())
        },
        "tamper-detection" => |options, value| {
            options.tamper = wish(value);
            Ok(())
        },
        "tamper-delay" => |options, value| {
            options.delay = span(value);
            Ok(())
        },
        _ => return None,
    })
}

fn round(n: f64) -> f64 {
    (n * 10.0).round() / 10.0
}

impl Apply {
    pub(super) fn set_scene(&mut self, set: Set, value: &Value) -> Result<(), String> {
        let mut options = (*self.scenes.options()).clone();
        set(&mut options, value)?;
        self.scenes.set_options(options);
        // A camera that rests while nobody reads it may have to wake.
        self.cameras.iter().for_each(|camera| camera.bell.ring());
        Ok(())
    }

    /// How many of control's clients listen.
    pub fn listen(&self, listeners: u32) {
        let before = self.scenes.is_wanted();
        self.scenes.listen(crate::scene::Listeners::Control, listeners);
        if before != self.scenes.is_wanted() {
            self.cameras.iter().for_each(|camera| camera.bell.ring());
        }
    }

    /// Pretends motion or tampering before a camera, or that it has ended.
    pub fn test_scene(&self, camera: u32, tamper: bool, active: bool, at: Nanos) -> Answer {
        let id = if camera == 0 { self.switchboard.main_camera() } else { camera };
        if !self.cameras.iter().any(|c| c.id == id) {
            let message = format!("there is no camera {id}; see /api/cameras");
            return Answer::Fault { code: "NOT_FOUND".to_owned(), message };
        }
        let what = if tamper { Pretended::Tamper } else { Pretended::Motion };
        self.scenes.pretend(id, what, active, at);
        Answer::Done
    }

    pub(super) fn scene_measured(&self, name: &str, state: &EngineState) -> Held {
        let none = SceneState::default();
        let scene = state.scenes.iter().find(|s| s.camera == state.main_camera).unwrap_or(&none);
        let idle = || Held::missing("nobody listens, or it is switched off");
        let which = |found: fn(&SceneState) -> bool| {
            let all: Vec<u32> =
                state.scenes.iter().filter(|s| found(s)).map(|s| s.camera).collect();
            Held::of(all)
        };
        match name {
            "motion-active" if scene.motion => Held::of(true),
            "motion-active" if !scene.motion_watched => idle(),
            "motion-active" => Held::of(false),
            "motion-changed" if !scene.motion_watched => idle(),
            "motion-changed" => Held::of(round(scene.area)),
            "motion-cameras" => which(|scene| scene.motion),
            "motion-cost" => Held::of(i64::try_from(scene.cost_us).unwrap_or(i64::MAX)),
            "motion-looks" => Held::of(i64::try_from(scene.looks).unwrap_or(i64::MAX)),
            "motion-read" => Held::of(i64::try_from(scene.read).unwrap_or(i64::MAX)),
            "motion-listeners" => Held::of(self.scenes.listeners()),
            "motion-error" if scene.error.is_empty() => Held::default(),
            "motion-error" => Held::of(json!(scene.error.chars().take(160).collect::<String>())),
            "tamper-active" if !scene.tamper.is_empty() => Held::of(true),
            "tamper-active" if !scene.tamper_watched => idle(),
            "tamper-active" => Held::of(false),
            "tamper-reason" if scene.tamper.is_empty() => Held::default(),
            "tamper-reason" => Held::of(scene.tamper.clone()),
            _ => which(|scene| !scene.tamper.is_empty()),
        }
    }
}
