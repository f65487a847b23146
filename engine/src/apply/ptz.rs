//! Moving cameras: orders go to the machine of [`crate::ptz`], and what it says of the axes to the
//! camera's controls, the motor, or the window that the camera's thread cuts.

use super::finish::set_of;
use super::{Apply, Camera, PATIENCE, Request};
use crate::camera::controls::{Control, Value as Raw};
use crate::change::{Change, Edit};
use crate::hardware::Lamp;
use crate::ptz::{Backend, Machine, Options, Window};
use crate::publish::Kind;
use lensd_ffi::link::Answer;
use lensd_ffi::ptz::{PtzAct, PtzReach, PtzStatus};
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};

/// Keys of the window within the picture.
pub(super) const WINDOW: [&str; 3] = ["digital-zoom", "digital-pan", "digital-tilt"];
/// How often a drive that is told positions is told the next one.
const STEP: Nanos = Nanos::from_millis(50);

/// `V4L2_CID_PAN_ABSOLUTE`, `_TILT_ABSOLUTE`, `_ZOOM_ABSOLUTE` (v4l2-controls.h).
const ABSOLUTE: [u32; 3] = [0x009a_0908, 0x009a_0909, 0x009a_090d];
/// `V4L2_CID_PAN_SPEED`, `_TILT_SPEED`, `_ZOOM_CONTINUOUS`: signed, 0 stops.
const SPEED: [u32; 3] = [0x009a_0920, 0x009a_0921, 0x009a_090f];
/// The keys that are these controls.
const KEYS: [&str; 3] = ["pan", "tilt", "zoom"];

/// What a key of this module changes.
pub(super) fn change_of(key: &str) -> Option<fn(&mut Options, &Value)> {
    fn share(value: &Value) -> f64 {
        value.as_f64().unwrap_or_default() / 100.0
    }
    Some(match key {
        "ptz-backend" => |options, value| {
            options.backend = match value.as_str().unwrap_or_default() {
                "camera" => Backend::Camera,
                "motor" => Backend::Motor,
                "digital" => Backend::Digital,
                "off" => Backend::Off,
                _ => Backend::Automatic,
            };
        },
        "ptz-travel-time" => {
            |options, value| options.travel_secs = value.as_f64().unwrap_or(4.0).max(0.1)
        }
        "ptz-speed" => |options, value| options.speed = share(value),
        "ptz-timeout" => |options, value| {
            let span = std::time::Duration::try_from_secs_f64(value.as_f64().unwrap_or(10.0));
            let ns = span.map_or(0, |span| span.as_nanos());
            options.timeout = Nanos(u64::try_from(ns).unwrap_or(u64::MAX / 2));
        },
        "ptz-pan-min" => |options, value| options.least[0] = share(value),
        "ptz-pan-max" => |options, value| options.most[0] = share(value),
        "ptz-tilt-min" => |options, value| options.least[1] = share(value),
        "ptz-tilt-max" => |options, value| options.most[1] = share(value),
        "ptz-zoom-max" => |options, value| options.most[2] = share(value),
        _ => return None,
    })
}

/// Who moves an axis.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Drive {
    #[default]
    None,
    /// A control for positions.
    Place(u32),
    /// A control for speeds.
    Pace(u32),
    Motor,
    Window,
}

/// What moves a camera, and where that is.
#[derive(Debug, Default)]
pub(super) struct Mount {
    machine: Machine,
    drives: [Drive; 3],
    name: &'static str,
    /// What controls were told last.
    told: [Option<i64>; 3],
    /// Whether it moved at the last look.
    moved: bool,
    /// Whether it was told something since.
    fresh: bool,
    error: String,
}

fn control(controls: &[Control], id: u32) -> Option<&Control> {
    let usable = |c: &&Control| !c.flags.contains(&"read-only") && c.maximum > c.minimum;
    controls.iter().find(|c| c.id == id).filter(usable)
}

/// The control's value for a speed, -1 to 1; 0 stops, wherever it lies in the range.
fn pace(control: &Control, velocity: f64) -> i64 {
    let end = if velocity > 0.0 { control.maximum } else { control.minimum };
    #[expect(clippy::cast_possible_truncation, reason = "within the control's range")]
    let value = (velocity.abs() * end as f64).round() as i64;
    value.clamp(control.minimum.min(0), control.maximum.max(0))
}

/// The control's value for a position, `least` to 1.
fn raw(control: &Control, least: f64, value: f64) -> i64 {
    let span = control.maximum.saturating_sub(control.minimum) as f64;
    let part = (value - least) / (1.0 - least) * span;
    let step = i64::try_from(control.step).unwrap_or(1).max(1) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "within the control's range")]
    let offset = ((part / step).round() * step) as i64;
    control.minimum.saturating_add(offset).clamp(control.minimum, control.maximum)
}

fn place(control: &Control, least: f64) -> Option<f64> {
    let Some(Raw::Number(value)) = control.value else { return None };
    let span = control.maximum.saturating_sub(control.minimum) as f64;
    let part = value.saturating_sub(control.minimum) as f64 / span;
    Some(part.clamp(0.0, 1.0) * (1.0 - least) + least)
}

/// Ends of the ranges: pan and tilt begin at -1.
const LEAST: [f64; 3] = [-1.0, -1.0, 0.0];

impl Camera {
    fn control_drives(&self) -> [Drive; 3] {
        std::array::from_fn(|i| {
            if control(&self.controls, ABSOLUTE[i]).is_some() {
                Drive::Place(ABSOLUTE[i])
            } else if control(&self.controls, SPEED[i]).is_some() {
                Drive::Pace(SPEED[i])
            } else {
                Drive::None
            }
        })
    }

    /// Finds who moves it, and where that is now.
    fn mount(&mut self, options: &Options, window: Result<(), String>, motor: &Lamp, at: Nanos) {
        let controls = self.control_drives();
        let none = || [Drive::None, Drive::None, Drive::None];
        let windows = || [Drive::Window, Drive::Window, Drive::Window];
        let turns = controls[..2].iter().any(|drive| *drive != Drive::None);
        let moves = turns || controls[2] != Drive::None;
        let missing = "this camera has no controls for pan, tilt or zoom".to_owned();
        let (name, drives, error) = match (options.backend, window) {
            (Backend::Off, _) => ("off", none(), "it is switched off (ptz-backend)".to_owned()),
            (Backend::Camera, _) if moves => ("camera", controls, String::new()),
            (Backend::Camera, _) => ("camera", none(), missing),
            (Backend::Automatic, _) if turns => ("camera", controls, String::new()),
            (Backend::Automatic | Backend::Digital, Ok(())) => {
                ("digital", windows(), String::new())
            }
            (Backend::Automatic, Err(_)) if moves => ("camera", controls, String::new()),
            (Backend::Automatic | Backend::Digital, Err(why)) => ("digital", none(), why),
            (Backend::Motor, window) => {
                let rest = if window.is_ok() { Drive::Window } else { Drive::None };
                match motor.missing() {
                    None => ("motor", [Drive::Motor, rest.clone(), rest], String::new()),
                    Some(why) => ("motor", [Drive::None, rest.clone(), rest], why),
                }
            }
        };
        let mount = &mut self.mount;
        if mount.drives != drives {
            mount.machine.halt(at);
            mount.told = [None; 3];
            self.handles.aim.set(None);
        }
        mount.machine.set_reach(std::array::from_fn(|i| match drives[i] {
            Drive::None => PtzReach::None,
            Drive::Pace(_) | Drive::Motor => PtzReach::Speed,
            Drive::Place(_) | Drive::Window => PtzReach::Position,
        }));
        let finish = &self.config.finish;
        let shown = Window { zoom: finish.zoom, pan: finish.pan, tilt: finish.tilt }.position();
        for (i, drive) in drives.iter().enumerate() {
            let known = match drive {
                Drive::Place(id) => {
                    control(&self.controls, *id).and_then(|control| place(control, LEAST[i]))
                }
                Drive::Window if !self.handles.aim.is_set() => Some(shown[i]),
                _ => None,
            };
            if let Some(position) = known {
                mount.machine.note(i, position, at);
            }
        }
        (mount.drives, mount.name, mount.error) = (drives, name, error);
    }

    /// Tells the drives where to be now.
    fn drive(&mut self, motor: &Lamp, at: Nanos) -> Result<(), String> {
        let position = self.mount.machine.position(at);
        let mut outcome = Ok(());
        for i in 0..3 {
            let velocity = self.mount.machine.velocity(i, at);
            let id = match self.mount.drives[i] {
                Drive::None | Drive::Window => continue,
                Drive::Place(id) | Drive::Pace(id) => id,
                Drive::Motor => {
                    #[expect(clippy::cast_possible_truncation, reason = "up to 100")]
                    let percent = (velocity * 100.0).round() as i64;
                    if self.mount.told[i].replace(percent) != Some(percent) {
                        outcome = motor.drive(percent.unsigned_abs()).and(outcome);
                    }
                    continue;
                }
            };
            let Some(found) = control(&self.controls, id).cloned() else { continue };
            let wanted = match self.mount.drives[i] {
                Drive::Pace(_) => pace(&found, velocity),
                _ => raw(&found, LEAST[i], position[i]),
            };
            if self.mount.told[i] == Some(wanted) {
                continue;
            }
            let Some(knobs) = self.knobs.clone() else { continue };
            match knobs.set(&found, &Raw::Number(wanted)) {
                Ok(taken) => {
                    self.mount.told[i] = Some(wanted);
                    if let Some(known) = self.controls.iter_mut().find(|c| c.id == id) {
                        known.value = Some(taken);
                    }
                }
                Err(why) => outcome = outcome.and(Err(why.0)),
            }
        }
        outcome
    }

    fn ptz(&self, options: &Options, at: Nanos) -> PtzStatus {
        let mount = &self.mount;
        let [pan, tilt, zoom] = mount.machine.axes(options, at);
        let (backend, error) = (mount.name.to_owned(), mount.error.clone());
        PtzStatus { camera: self.id, backend, pan, tilt, zoom, error }
    }
}

impl Apply {
    /// Finds out how a camera is moved now.
    fn mount(&mut self, index: usize, at: Nanos) {
        let Some(camera) = self.cameras.get_mut(index) else { return };
        let stream = self.switchboard.of(camera.id, Kind::Main);
        let why = stream.map(|stream| stream.refusals().finish).unwrap_or_default();
        let window = if why.is_empty() { Ok(()) } else { Err(why) };
        camera.mount(&self.ptz, window, &self.disc, at);
    }

    /// Moves a camera, or says where it looks.
    pub fn ptz(&mut self, camera: u32, act: &PtzAct, at: Nanos) -> Answer {
        let id = if camera == 0 { self.switchboard.main_camera() } else { camera };
        let fault = |code: &str, message| Answer::Fault { code: code.to_owned(), message };
        let Some(index) = self.cameras.iter().position(|c| c.id == id) else {
            return fault("NOT_FOUND", format!("there is no camera {id}; see /api/cameras"));
        };
        self.mount(index, at);
        let (camera, options) = (&mut self.cameras[index], &self.ptz);
        if *act != PtzAct::Look {
            let can = camera.mount.drives.iter().any(|drive| *drive != Drive::None);
            if !can && !matches!(act, PtzAct::Stop { .. }) {
                return fault("UNSUPPORTED", camera.mount.error.clone());
            }
            if let PtzAct::Continuous { velocity, .. } = act
                && camera.mount.drives[0] == Drive::Motor
                && velocity.pan.is_some_and(|pan| pan < 0.0)
            {
                let why = "the motor turns one way: pan must not be below 0".to_owned();
                return fault("INVALID_VALUE", why);
            }
            if let Err(refusal) = camera.mount.machine.act(act, options, at) {
                return fault("INVALID_VALUE", refusal.0);
            }
            if camera.mount.drives.contains(&Drive::Window) {
                camera.handles.aim.set(Some(camera.mount.machine.courses()));
            }
            (camera.mount.moved, camera.mount.fresh) = (true, true);
            if let Err(why) = camera.drive(&self.disc, at) {
                camera.mount.machine.halt(at);
                return fault("CAMERA_NOT_CONNECTED", why);
            }
            // What was wished of the same controls before must not come back.
            for (i, key) in KEYS.iter().enumerate() {
                if let (Drive::Place(_), Some(entry)) =
                    (&camera.mount.drives[i], lensd_ffi::settings::find(key))
                {
                    self.desired.remove(&entry.index);
                }
            }
        }
        Answer::Ptz { status: Box::new(self.cameras[index].ptz(&self.ptz, at)) }
    }

    /// Lets what moves go on. `true`: something began to move, or has come to rest.
    pub fn turn(&mut self, at: Nanos) -> bool {
        let mut news = false;
        for camera in &mut self.cameras {
            if !camera.mount.moved {
                continue;
            }
            camera.mount.moved = camera.mount.machine.next_end(at).is_some();
            news |= std::mem::take(&mut camera.mount.fresh) || !camera.mount.moved;
            if let Err(why) = camera.drive(&self.disc, at) {
                tracing::warn!(camera = camera.id, "it cannot be moved on: {why}");
                camera.mount.machine.halt(at);
            }
        }
        news
    }

    /// How long the loop may rest as far as cameras that move are concerned.
    pub fn turning(&self, at: Nanos) -> Option<Nanos> {
        let next = |camera: &Camera| {
            let end = camera.mount.machine.next_end(at)?.since(at);
            let told = |d: &Drive| matches!(d, Drive::Place(_));
            Some(if camera.mount.drives.iter().any(told) { end.min(STEP) } else { end })
        };
        self.cameras.iter().filter(|c| c.mount.moved).filter_map(next).min()
    }

    /// All cameras.
    pub fn ptz_states(&mut self, at: Nanos) -> Vec<PtzStatus> {
        for index in 0..self.cameras.len() {
            self.mount(index, at);
        }
        self.cameras.iter().map(|camera| camera.ptz(&self.ptz, at)).collect()
    }

    pub(super) fn set_ptz(
        &mut self,
        change: fn(&mut Options, &Value),
        value: &Value,
        at: Nanos,
    ) -> Result<(), String> {
        let mut options = self.ptz.clone();
        change(&mut options, value);
        for (i, axis) in KEYS.iter().enumerate() {
            if options.least[i] > options.most[i] {
                return Err(format!("the least {axis} must not be above the greatest"));
            }
        }
        self.ptz = options;
        for index in 0..self.cameras.len() {
            self.mount(index, at);
        }
        Ok(())
    }

    /// The window is set by its keys: no camera's goes elsewhere from now on, and what is not set
    /// stays as it was moved to.
    pub(super) fn settle_windows(&mut self, at: Nanos) {
        for index in 0..self.cameras.len() {
            let camera = &mut self.cameras[index];
            let Some(window) = camera.handles.aim.window(at) else { continue };
            camera.mount.machine.halt(at);
            camera.handles.aim.set(None);
            let values =
                [json!(window.zoom), json!(window.pan * 100.0), json!(window.tilt * 100.0)];
            for (key, value) in WINDOW.iter().zip(values) {
                let (Some(set), Some(entry)) = (set_of(key), lensd_ffi::settings::find(key)) else {
                    continue;
                };
                let change = Change::Finish(Edit::new(set, value, index));
                let wish = self.wish(key);
                let progress = vec![self.tell_each(entry, wish, vec![(index, change)])];
                self.requests.push(Request { id: None, progress, deadline: at.plus(PATIENCE) });
            }
        }
    }

    /// Where a camera's window is, if it was moved.
    pub(super) fn window_of(&self, index: usize, at: Nanos) -> Option<Window> {
        self.cameras.get(index)?.handles.aim.window(at)
    }

    pub(super) fn ptz_measured(&self, name: &str) -> Held {
        let at = lensd_ffi::time::now();
        let Some(camera) = self.active().and_then(|i| self.cameras.get(i)) else {
            return Held::missing("there is no camera");
        };
        let status = camera.ptz(&self.ptz, at);
        match name {
            "ptz-moving" => Held::of(status.pan_tilt_moves() || status.zoom.moving),
            "ptz-error" if status.error.is_empty() => Held::default(),
            "ptz-error" => Held::of(
                status.error.chars().filter(|c| !c.is_control()).take(160).collect::<String>(),
            ),
            _ => {
                let round = |n: Option<f64>| n.map(|n| (n * 1000.0).round() / 1000.0);
                let at = status.position();
                let [pan, tilt, zoom] = at.axes().map(round);
                Held::of(json!({ "pan": pan, "tilt": tilt, "zoom": zoom }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::controls::{ControlError, Kind as ControlKind};
    use crate::camera::knobs::Knobs;
    use crate::capture::Handles;
    use crate::config::CameraConfig;
    use lensd_ffi::bell::Bell;
    use lensd_ffi::ptz::PtzVector;
    use parking_lot::Mutex;
    use std::sync::Arc;

    /// A head with controls, and all that they were told.
    #[derive(Debug, Default)]
    struct Head(Mutex<Vec<(u32, i64)>>);

    impl Knobs for Head {
        fn controls(&self) -> Vec<Control> {
            Vec::new()
        }

        fn set(&self, control: &Control, value: &Raw) -> Result<Raw, ControlError> {
            let Raw::Number(n) = value else { panic!() };
            if control.id == SPEED[2] {
                return Err(ControlError("the lens is stuck".to_owned()));
            }
            self.0.lock().push((control.id, *n));
            Ok(value.clone())
        }
    }

    fn knob(id: u32, minimum: i64, maximum: i64, value: i64) -> Control {
        Control {
            id,
            key: "x".into(),
            name: "X".into(),
            kind: ControlKind::Integer,
            minimum,
            maximum,
            step: 1,
            default: 0,
            value: Some(Raw::Number(value)),
            items: Vec::new(),
            flags: Vec::new(),
        }
    }

    fn camera(controls: Vec<Control>) -> (Camera, Arc<Head>) {
        let head = Arc::new(Head::default());
        let (orders, _) = crossbeam::channel::bounded(1);
        let handles = Arc::new(Handles::new(Arc::default()));
        let bell = Bell::new().unwrap();
        let mut camera =
            Camera::new(1, CameraConfig::default(), Arc::default(), handles, orders, bell);
        camera.controls = controls;
        camera.knobs = Some(Arc::clone(&head) as Arc<dyn Knobs>);
        (camera, head)
    }

    const fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    fn motor() -> Lamp {
        Lamp::new(None, "hardware.disc")
    }

    #[test]
    fn a_head_with_positions_is_led_along_its_course() {
        let controls = vec![
            knob(ABSOLUTE[0], -36_000, 36_000, 18_000),
            knob(ABSOLUTE[1], -36_000, 36_000, 0),
            knob(ABSOLUTE[2], 100, 500, 100),
        ];
        let (mut camera, head) = camera(controls);
        let (options, motor) = (Options::default(), motor());
        camera.mount(&options, Ok(()), &motor, ms(0));
        let status = camera.ptz(&options, ms(0));
        assert_eq!(status.backend, "camera");
        assert_eq!(status.position().axes(), [Some(0.5), Some(0.0), Some(0.0)]);
        let to = PtzVector { pan: Some(-0.5), zoom: Some(1.0), ..PtzVector::default() };
        let act = PtzAct::Absolute { to, speed: PtzVector::default() };
        camera.mount.machine.act(&act, &options, ms(0)).unwrap();
        for t in [0, 1000, 2000, 4000, 4050] {
            camera.drive(&motor, ms(t)).unwrap();
        }
        let of = |id| -> Vec<i64> {
            let told = head.0.lock();
            told.iter().filter(|(i, _)| *i == id).map(|(_, n)| *n).collect()
        };
        assert_eq!(of(ABSOLUTE[0]), [18_000, 0, -18_000], "and nothing twice");
        assert_eq!(of(ABSOLUTE[2]), [100, 200, 300, 500]);
        // At rest it is where the control is, whoever turned it.
        camera.controls[1].value = Some(Raw::Number(36_000));
        camera.mount(&options, Ok(()), &motor, ms(5000));
        assert_eq!(camera.ptz(&options, ms(5000)).tilt.position, Some(1.0));
    }

    #[test]
    fn a_head_with_speeds_goes_and_stops() {
        let (mut camera, head) = camera(vec![knob(SPEED[0], -20, 40, 0), knob(SPEED[2], -7, 7, 0)]);
        let (options, motor) = (Options::default(), motor());
        camera.mount(&options, Ok(()), &motor, ms(0));
        let status = camera.ptz(&options, ms(0));
        assert_eq!((status.pan.reach, status.tilt.reach), (PtzReach::Speed, PtzReach::None));
        let go = |pan| PtzAct::Continuous {
            velocity: PtzVector { pan: Some(pan), ..PtzVector::default() },
            timeout_ms: Some(500),
        };
        camera.mount.machine.act(&go(1.0), &options, ms(0)).unwrap();
        // The zoom's control refuses, and is said to; the pan has begun all the same.
        assert!(camera.drive(&motor, ms(0)).unwrap_err().contains("stuck"));
        assert_eq!(camera.mount.machine.next_end(ms(0)), Some(ms(500)));
        let _ = camera.drive(&motor, ms(500));
        assert_eq!(*head.0.lock(), [(SPEED[0], 40), (SPEED[0], 0)]);
    }

    #[test]
    fn who_moves_a_camera_is_as_wished_and_as_possible() {
        let passed = || Err("passed through".to_owned());
        let lens = || vec![knob(ABSOLUTE[2], 0, 10, 0)];
        for (backend, controls, window, name, reach) in [
            (Backend::Automatic, lens(), Ok(()), "digital", [PtzReach::Position; 3]),
            (
                Backend::Automatic,
                lens(),
                passed(),
                "camera",
                [PtzReach::None, PtzReach::None, PtzReach::Position],
            ),
            (Backend::Automatic, Vec::new(), passed(), "digital", [PtzReach::None; 3]),
            (Backend::Camera, Vec::new(), Ok(()), "camera", [PtzReach::None; 3]),
            (
                Backend::Motor,
                Vec::new(),
                Ok(()),
                "motor",
                [PtzReach::None, PtzReach::Position, PtzReach::Position],
            ),
            (Backend::Off, lens(), Ok(()), "off", [PtzReach::None; 3]),
        ] {
            let (mut camera, _) = camera(controls);
            let options = Options { backend, ..Options::default() };
            camera.mount(&options, window, &motor(), ms(0));
            let status = camera.ptz(&options, ms(0));
            assert_eq!(status.backend, name, "{backend:?}");
            assert_eq!(status.axes().map(|axis| axis.reach), reach, "{backend:?}");
            assert_eq!(status.error.is_empty(), status.is_movable() && name != "motor");
        }
    }
}
