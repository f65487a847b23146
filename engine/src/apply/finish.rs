//! Keys of what is done to pictures before they are encoded.

use super::keys::{Means, means};
use super::{Apply, PATIENCE, Progress, Request};
use crate::capture::Order;
use crate::change::{Change, Edit};
use crate::finish::{Clock, Corner, Finish, Inset, Turn, osd};
use crate::style::Style;
use crossbeam::channel::bounded;
use lensd_ffi::settings::{Entry, Plane, entries};
use lensd_ffi::time::Nanos;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What a key's value means for the pictures of the camera with this index.
pub(super) type Set = fn(&mut Finish, &Value, usize);
/// The same of how encoders spend bits.
pub(super) type SetStyle = fn(&mut Style, &Value, usize);

fn pixels(value: &Value) -> i32 {
    value.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or_default()
}

/// The same in whole samples of colour, which are two pixels wide and high.
fn even(value: &Value) -> i32 {
    pixels(value) & !1
}

/// -100 to 100 as -1 to 1.
fn share(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default() / 100.0
}

fn corner(value: &Value) -> Corner {
    match value.as_str().unwrap_or_default() {
        "top-right" => Corner::TopRight,
        "bottom-left" => Corner::BottomLeft,
        "bottom-right" => Corner::BottomRight,
        _ => Corner::TopLeft,
    }
}

/// What a key of this name sets.
pub(super) fn set_of(key: &str) -> Option<Set> {
    Some(match key {
        "rotate" => |finish, value, _| {
            finish.turn = match value.as_str().unwrap_or_default() {
                "90" => Turn::Quarter,
                "180" => Turn::Half,
                "270" => Turn::ThreeQuarters,
                _ => Turn::None,
            };
        },
        "digital-zoom" => |finish, value, _| finish.zoom = value.as_f64().unwrap_or(1.0),
        "digital-pan" => |finish, value, _| finish.pan = share(value),
        "digital-tilt" => |finish, value, _| finish.tilt = share(value),
        "cam1-offset-x" => |finish, value, camera| {
            if camera == 0 {
                finish.offset.0 = even(value);
            }
        },
        "cam1-offset-y" => |finish, value, camera| {
            if camera == 0 {
                finish.offset.1 = even(value);
            }
        },
        "cam2-offset-x" => |finish, value, camera| {
            if camera == 1 {
                finish.offset.0 = even(value);
            }
        },
        "cam2-offset-y" => |finish, value, camera| {
            if camera == 1 {
                finish.offset.1 = even(value);
            }
        },
        "pip-mode" => |finish, value, _| {
            finish.inset = match value.as_str().unwrap_or_default() {
                "off" => Inset::Off,
                "side-by-side" => Inset::Beside,
                _ => Inset::Corner(corner(value)),
            };
        },
        "overlay-time" => |finish, value, _| {
            finish.overlay.clock = match value.as_str().unwrap_or_default() {
                "utc" => Clock::Utc,
                "local" => Clock::Local,
                _ => Clock::Off,
            };
        },
        "overlay-text" => |finish, value, _| {
            finish.overlay.text = value.as_str().unwrap_or_default().to_owned();
        },
        "overlay-position" => |finish, value, _| finish.overlay.corner = corner(value),
        "overlay-size" => |finish, value, _| {
            finish.overlay.size = match value.as_str().unwrap_or_default() {
                "small" => 1,
                "large" => 3,
                _ => 2,
            };
        },
        "osd" => |finish, value, camera| {
            let camera = u32::try_from(camera + 1).unwrap_or(0);
            finish.overlay.texts = osd::of_camera(value, camera);
        },
        "overlay-watermark" => |finish, value, _| {
            let name = value.as_str().filter(|name| !name.is_empty());
            finish.overlay.watermark = name.map(PathBuf::from);
        },
        "overlay-watermark-position" => {
            |finish, value, _| finish.overlay.watermark_corner = corner(value)
        }
        _ => return None,
    })
}

/// What the processor does where a camera cannot.
fn orientation(key: &str) -> Set {
    match key {
        "mirror" => |finish, value, _| finish.mirror = value == true,
        _ => |finish, value, _| finish.flip = value == true,
    }
}

/// Keys of the picture's orientation that cameras may have controls for.
pub(super) const ORIENTATION: [&str; 2] = ["mirror", "flip"];

/// Keys of which one may not be above the other.
pub(super) const QUANTIZERS: [&str; 2] = ["qp-min", "qp-max"];

/// Whether changes put the least quantizer above the largest, and in what words.
fn crossed(style: Style, changes: &[(String, Value)]) -> Option<String> {
    let asked = |key: &str| changes.iter().rev().find(|(name, _)| name == key);
    let [least, most] = QUANTIZERS.map(asked);
    if least.is_none() && most.is_none() {
        return None;
    }
    let of = |asked: Option<&(String, Value)>, now: u8| {
        asked.and_then(|(_, value)| value.as_u64()).unwrap_or(now.into())
    };
    let (least, most) = (of(least, style.qp_min), of(most, style.qp_max));
    let why = format!("qp-min must not be above qp-max: {least} is above {most}");
    (least > most).then_some(why)
}

/// The file that a name stands for.
fn within(uploads: &Path, name: &Path) -> Result<PathBuf, String> {
    let plain = name.file_name().filter(|file| Path::new(file) == name);
    plain.map(|file| uploads.join(file)).ok_or_else(|| {
        format!("Value must be the name of a PNG file in {}, without a folder", uploads.display())
    })
}

impl Apply {
    /// The value as the camera's thread understands it.
    pub(super) fn resolved(&self, key: &str, value: &Value) -> Result<Value, String> {
        match value.as_str() {
            Some(name) if key == "overlay-watermark" && !name.is_empty() => {
                within(&self.uploads, Path::new(name)).map(|path| path.to_string_lossy().into())
            }
            _ if key == "osd" => osd::parse(value).map(|_| value.clone()),
            _ => Ok(value.clone()),
        }
    }

    /// Why changes would leave the active camera's encoder no quantizer.
    pub(super) fn crossed(&self, changes: &[(String, Value)]) -> Option<String> {
        let style = self.active().and_then(|i| self.cameras.get(i)).map(|c| c.config.style);
        crossed(style.unwrap_or_default(), changes)
    }

    /// Tells the cameras what is done to their pictures now.
    pub(super) fn tell_finish(
        &mut self,
        entry: &'static Entry,
        value: &Value,
        set: Set,
    ) -> Progress {
        let resolved = match self.resolved(entry.key.name, value) {
            Ok(resolved) => resolved,
            Err(why) => return self.done(entry, Err(why)),
        };
        let edit = |index| (index, Change::Finish(Edit::new(set, resolved.clone(), index)));
        let changes = (0..self.cameras.len()).map(edit).collect();
        self.tell_each(entry, value.clone(), changes)
    }

    /// Tells cameras, each its own change: first the one whose word counts, if it is among them, for
    /// what it refuses is to change nothing at the others either.
    pub(super) fn tell_each(
        &mut self,
        entry: &'static Entry,
        value: Value,
        mut changes: Vec<(usize, Change)>,
    ) -> Progress {
        let decider = self.decider();
        let mut others = Vec::new();
        if changes.iter().any(|(index, _)| Some(*index) == decider) {
            (changes, others) = changes.into_iter().partition(|(index, _)| Some(*index) == decider);
        }
        let mut answers = Vec::new();
        for (index, change) in changes {
            let Some(camera) = self.cameras.get(index) else { continue };
            let (reply, answer) = bounded(1);
            if camera.orders.try_send(Order { change: change.clone(), reply }).is_ok() {
                camera.bell.ring();
                answers.push((index, change, answer));
            }
        }
        if answers.is_empty() {
            let why = "the camera is busy, or there is none; try again";
            return self.done(entry, Err(why.to_owned()));
        }
        Progress::Told { entry, value, answers, others, follows: false, verdict: None }
    }

    /// The same for those whose word does not count: what they cannot do they go without, and nobody
    /// waits for them.
    pub(super) fn tell_others(
        &mut self,
        entry: &'static Entry,
        value: Value,
        changes: Vec<(usize, Change)>,
        at: Nanos,
    ) {
        if changes.is_empty() {
            return;
        }
        let mut told = self.tell_each(entry, value, changes);
        if let Progress::Told { follows, .. } = &mut told {
            *follows = true;
            let (progress, deadline) = (vec![told], at.plus(PATIENCE));
            self.requests.push(Request { id: None, progress, deadline });
        }
    }

    /// Mirrors or flips: a camera that can by its control, another one's pictures by the processor.
    pub(super) fn orient(&mut self, entry: &'static Entry, value: &Value, at: Nanos) -> Progress {
        let taken = self.set_image(entry, value);
        let active = self.decider();
        let (mut changes, mut others) = (Vec::new(), Vec::new());
        for index in 0..self.cameras.len() {
            let Some(change) = self.reoriented(index, entry.key.name, value) else { continue };
            if active == Some(index) { &mut changes } else { &mut others }.push((index, change));
        }
        self.tell_others(entry, value.clone(), others, at);
        let lacks = active
            .and_then(|i| self.cameras.get(i))
            .is_some_and(|c| c.state.lock().connected && !c.has(entry.key.name));
        if changes.is_empty() {
            // The processor does it already, or there is nothing for it to do.
            let result = if lacks { Ok(()) } else { taken };
            return self.done(entry, result.map(|()| value.clone()));
        }
        self.tell_each(entry, value.clone(), changes)
    }

    /// What the processor is to do otherwise at a camera than it does, if this is wished. Nothing
    /// while nobody knows what the camera can.
    fn reoriented(&self, index: usize, key: &str, wish: &Value) -> Option<Change> {
        let camera = self.cameras.get(index)?;
        if !camera.state.lock().connected {
            return None;
        }
        let own = *wish == true && !camera.has(key);
        let edit = Edit::new(orientation(key), own.into(), index);
        let mut finish = camera.config.finish.clone();
        edit.apply(&mut finish);
        (finish != camera.config.finish).then_some(Change::Finish(edit))
    }

    /// The same for a camera that was opened, or whose controls were reset.
    pub(super) fn meet_orientation(&mut self, index: usize, at: Nanos) {
        for key in ORIENTATION {
            let Some(entry) = lensd_ffi::settings::find(key) else { continue };
            let wish = self.desired.get(&entry.index).cloned().unwrap_or(Value::Bool(false));
            let Some(change) = self.reoriented(index, key, &wish) else { continue };
            // The wish stays as it is.
            let progress = vec![self.tell_each(entry, wish, vec![(index, change)])];
            self.requests.push(Request { id: None, progress, deadline: at.plus(PATIENCE) });
        }
    }

    /// Gives a camera that was opened what is wished of pictures, if it does not do it already:
    /// one that was plugged in later.
    pub(super) fn meet_finish(&mut self, index: usize, at: Nanos) {
        for entry in entries().iter().filter(|e| e.plane() == Plane::Engine) {
            let meaning = means(entry.key.name);
            if !matches!(meaning, Means::Finish(_) | Means::Style(_)) {
                continue;
            }
            let Some(wish) = self.desired.get(&entry.index).cloned() else { continue };
            let Ok(resolved) = self.resolved(entry.key.name, &wish) else { continue };
            let change = match meaning {
                Means::Finish(set) => Change::Finish(Edit::new(set, resolved, index)),
                Means::Style(set) => Change::Style(Edit::new(set, resolved, index)),
                _ => continue,
            };
            let Some(camera) = self.cameras.get(index) else { return };
            let mut config = camera.config.clone();
            change.configure(&mut config);
            if config == camera.config {
                continue;
            }
            let progress = self.tell_each(entry, wish, vec![(index, change)]);
            let deadline = at.plus(PATIENCE);
            self.requests.push(Request { id: None, progress: vec![progress], deadline });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_what_is_done() {
        let mut finish = Finish::default();
        for (key, value) in [
            ("rotate", json!("90")),
            ("digital-zoom", json!(2.5)),
            ("digital-pan", json!(-50)),
            ("cam1-offset-x", json!(12)),
            ("cam2-offset-y", json!(99)),
            ("pip-mode", json!("bottom-left")),
            ("overlay-time", json!("local")),
            ("overlay-size", json!("large")),
        ] {
            set_of(key).unwrap()(&mut finish, &value, 0);
        }
        assert_eq!((finish.turn, finish.pan, finish.offset), (Turn::Quarter, -0.5, (12, 0)));
        assert_eq!(finish.inset, Inset::Corner(Corner::BottomLeft));
        assert_eq!((finish.overlay.clock, finish.overlay.size), (Clock::Local, 3));
        assert!(set_of("brightness").is_none());
    }

    #[test]
    fn the_least_quantizer_is_not_above_the_largest() {
        let style = Style { qp_min: 10, qp_max: 30, ..Style::default() };
        let set = |list: &[(&str, u8)]| {
            let changes: Vec<_> =
                list.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            crossed(style, &changes)
        };
        assert!(set(&[("qp-min", 31)]).is_some() && set(&[("qp-max", 9)]).is_some());
        assert!(set(&[("qp-min", 40), ("qp-max", 35)]).unwrap().contains("40 is above 35"));
        for good in [&[("qp-min", 30)][..], &[("qp-min", 40), ("qp-max", 45)], &[("fps", 5)]] {
            assert_eq!(set(good), None, "{good:?}");
        }
    }

    #[test]
    fn a_watermark_is_a_file_of_the_uploads() {
        let uploads = Path::new("/data/uploads");
        assert_eq!(within(uploads, Path::new("a.png")).unwrap(), uploads.join("a.png"));
        for bad in ["../a.png", "/etc/passwd", "x/y.png", ".."] {
            assert!(within(uploads, Path::new(bad)).is_err(), "{bad}");
        }
    }
}
