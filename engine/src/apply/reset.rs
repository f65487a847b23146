//! The way back to how cameras show pictures by themselves.

use super::finish::set_of;
use super::image::MEANINGS;
use super::{Apply, Progress};
use crate::camera::controls::Value as Raw;
use crate::change::{Change, Edit};
use crate::finish::Finish;
use lensd_ffi::settings::{Entry, entries};
use lensd_ffi::time::now;
use serde_json::Value;

/// The keys of which control forgets what was set.
fn picture() -> impl Iterator<Item = &'static Entry> {
    entries().iter().filter(|entry| entry.is_of_picture())
}

/// Their defaults, as far as they are the processor's.
fn plain(finish: &mut Finish, _: &Value, camera: usize) {
    for entry in picture() {
        if let Some(set) = set_of(entry.key.name) {
            set(finish, &entry.key.default.value(), camera);
        }
    }
}

impl Apply {
    /// Every control of the cameras to its default, their pictures as they come, and no wish left.
    pub(super) fn reset_image(&mut self, entry: &'static Entry, value: &Value) -> Progress {
        if *value != Value::Bool(true) {
            return self.done(entry, Ok(value.clone()));
        }
        if self.active().is_none() {
            return self.done(entry, Err("no camera is active".to_owned()));
        }
        for camera in &mut self.cameras {
            let Some(knobs) = camera.knobs.clone() else { continue };
            // Twice: what an automatic holds can be set once that is off, and the other way round.
            for _ in 0..2 {
                for meaning in MEANINGS {
                    if let Some(control) = meaning.find(&camera.controls) {
                        let _ = knobs.set(control, &Raw::Number(control.default));
                    }
                }
            }
            camera.controls = knobs.controls();
        }
        let at = now();
        self.settle_windows(at);
        for entry in picture() {
            self.desired.remove(&entry.index);
        }
        // A head that hangs upside down is found to do so anew.
        self.upside_down = None;
        let mut changes = Vec::new();
        for (index, camera) in self.cameras.iter().enumerate() {
            let edit = Edit::new(plain, Value::Null, index);
            let mut finish = camera.config.finish.clone();
            edit.apply(&mut finish);
            if finish != camera.config.finish {
                changes.push((index, Change::Finish(edit)));
            }
        }
        for index in 0..self.cameras.len() {
            self.meet_orientation(index, at);
        }
        if changes.is_empty() {
            return self.done(entry, Ok(value.clone()));
        }
        self.tell_each(entry, value.clone(), changes)
    }

    /// Says what holds of all these keys.
    pub(super) fn publish_picture(&mut self) {
        for entry in picture() {
            let held = self.held_now(entry);
            self.publish(entry.index, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finish::set_of;
    use super::*;
    use lensd_ffi::settings::find;
    use serde_json::json;

    #[test]
    fn what_is_forgotten_is_what_is_set_back() {
        for entry in picture() {
            let name = entry.key.name;
            let control = MEANINGS.iter().any(|meaning| meaning.key == name);
            assert!(control != set_of(name).is_some(), "{name}");
        }
        for meaning in MEANINGS {
            assert!(find(meaning.key).unwrap().is_of_picture(), "{}", meaning.key);
        }
        let mut finish = Finish::default();
        let others = [
            ("rotate", json!("90")),
            ("digital-zoom", json!(2.5)),
            ("digital-pan", json!(-50)),
            ("digital-tilt", json!(20)),
        ];
        for (key, value) in &others {
            set_of(key).unwrap()(&mut finish, value, 1);
        }
        set_of("overlay-text").unwrap()(&mut finish, &json!("stays"), 1);
        assert_ne!(finish, Finish::default());
        plain(&mut finish, &Value::Null, 1);
        set_of("overlay-text").unwrap()(&mut finish, &json!(""), 1);
        assert_eq!(finish, Finish::default());
        let processed = picture().filter(|entry| set_of(entry.key.name).is_some()).count();
        assert_eq!(processed, others.len());
    }
}
