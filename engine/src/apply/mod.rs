//! Makes the engine what control's bank says it should be, and says in its own what it is.
//!
//! Control's bank is the desire; it outlives this process. What is set goes to a camera's control,
//! a camera's thread, the RTSP server or a device of sysfs, and what these took is published and
//! answered. A refused value leaves the old one in place.

mod finish;
mod holds;
mod image;
mod keys;
mod measure;
mod ptz;
mod recording;
mod reset;
mod scene;
mod tap;
mod webrtc;

use crate::camera::controls::Control;
use crate::camera::knobs::Knobs;
use crate::capture::{Handles, Order};
use crate::change::{Change, Edit};
use crate::config::{CameraConfig, HardwareConfig, RtspOptions};
use crate::encode::EncodeError;
use crate::hardware::{Lamp, Watch};
use crate::rtsp::serve::View;
use crate::switchboard::Switchboard;
use crossbeam::channel::{Receiver, Sender, TryRecvError};
use image::MEANINGS;
use keys::Means;
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, Outcome};
use lensd_ffi::region::Region;
use lensd_ffi::settings::bank::{BankReader, BankWriter, Held};
use lensd_ffi::settings::{Entry, Plane, entries, find};
use lensd_ffi::state::CameraState;
use lensd_ffi::time::{Nanos, now};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How long a camera's thread may take for a change; opening a camera anew is the longest.
const PATIENCE: Nanos = Nanos::from_secs(5);
/// Most requests that wait for cameras at once.
const MOST_WAITING: usize = 256;

/// A camera as this room knows it.
pub struct Camera {
    /// Number from 1.
    pub id: u32,
    /// Configuration, with what was changed since.
    pub config: CameraConfig,
    /// What its thread says.
    pub state: Arc<Mutex<CameraState>>,
    /// Its controls.
    pub handles: Arc<Handles>,
    /// Its orders.
    pub orders: Sender<Order>,
    /// Wakes its thread.
    pub bell: Bell,
    opened: u64,
    knobs: Option<Arc<dyn Knobs>>,
    /// Asked for once at each opening: some cameras take milliseconds for each of them.
    controls: Vec<Control>,
    inputs: (Vec<String>, u32),
    mount: ptz::Mount,
}

impl Camera {
    /// A camera whose thread was started.
    pub fn new(
        id: u32,
        config: CameraConfig,
        state: Arc<Mutex<CameraState>>,
        handles: Arc<Handles>,
        orders: Sender<Order>,
        bell: Bell,
    ) -> Self {
        Self {
            id,
            config,
            state,
            handles,
            orders,
            bell,
            opened: 0,
            knobs: None,
            controls: Vec::new(),
            inputs: Default::default(),
            mount: ptz::Mount::default(),
        }
    }

    /// Whether it has the control of a key.
    fn has(&self, key: &str) -> bool {
        MEANINGS.iter().any(|m| m.key == key && m.find(&self.controls).is_some())
    }
}

/// Index of a camera, what it was told, and where its answer comes.
type Told = (usize, Change, Receiver<Result<(), EncodeError>>);

/// What a change waits for.
enum Progress {
    Done(Outcome),
    /// Cameras were told.
    Told {
        entry: &'static Entry,
        /// What is remembered as wanted if it is done.
        value: Value,
        /// Who has not answered yet.
        answers: Vec<Told>,
        /// Who is told when these have taken it.
        others: Vec<(usize, Change)>,
        /// Whether these are such others: whatever they say, nothing follows.
        follows: bool,
        /// What that one said, or else the first.
        verdict: Option<Result<(), String>>,
    },
}

/// Whose word counts, by which others are told or not.
#[derive(Clone, Copy)]
enum Word {
    Active,
    /// By index.
    Camera(usize),
    /// Nobody waits for an answer: each takes what it can.
    Nobody,
}

struct Request {
    /// As control numbered it; none: nobody waits.
    id: Option<u64>,
    progress: Vec<Progress>,
    deadline: Nanos,
}

/// See the module.
pub struct Apply {
    bank: BankWriter<Region>,
    /// What was published last, by the keys' places.
    held: Vec<Held>,
    /// What control wants, by the keys' places.
    desired: BTreeMap<usize, Value>,
    /// Stored values that were refused, until another is set: why.
    passed_over: BTreeMap<usize, String>,
    reader: Option<BankReader<Region>>,
    cameras: Vec<Camera>,
    switchboard: Arc<Switchboard>,
    view: Arc<View>,
    rtsp: RtspOptions,
    rtsp_bell: Arc<Bell>,
    tap: (Arc<crate::tap::view::View>, Arc<Bell>),
    lights: [Lamp; 2],
    disc: Lamp,
    sensors: Watch,
    devices: measure::DeviceWatch,
    /// Whether the head hangs upside down, as it was turned to last.
    upside_down: Option<bool>,
    recorder: recording::Recorder,
    /// Where watermarks are.
    uploads: PathBuf,
    requests: Vec<Request>,
    /// Whose word counts in the request that is being begun.
    word: Word,
    ptz: crate::ptz::Options,
    scenes: Arc<crate::scene::Scenes>,
    webrtc: Option<Arc<crate::webrtc::view::View>>,
}

impl Apply {
    /// Over the engine's own memory.
    ///
    /// # Errors
    /// When there is no thread to be had for the sensors.
    pub fn new(
        bank: BankWriter<Region>,
        cameras: Vec<Camera>,
        switchboard: Arc<Switchboard>,
        view: Arc<View>,
        rtsp: (RtspOptions, Arc<Bell>),
        (hardware, uploads): (HardwareConfig, PathBuf),
        (tap, hub): ((Arc<crate::tap::view::View>, Arc<Bell>), Arc<crate::record::Hub>),
    ) -> io::Result<Self> {
        let lamp = |path: &Option<std::path::PathBuf>, key| Lamp::new(path.clone(), key);
        Ok(Self {
            bank,
            held: vec![Held::default(); entries().len()],
            desired: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            reader: None,
            cameras,
            switchboard,
            view,
            rtsp: rtsp.0,
            rtsp_bell: rtsp.1,
            tap,
            lights: [
                lamp(&hardware.light1, "hardware.light1"),
                lamp(&hardware.light2, "hardware.light2"),
            ],
            disc: lamp(&hardware.disc, "hardware.disc"),
            sensors: Watch::start(hardware)?,
            devices: measure::DeviceWatch::default(),
            upside_down: None,
            recorder: recording::Recorder::new(hub),
            uploads,
            requests: Vec::new(),
            word: Word::Active,
            ptz: crate::ptz::Options::default(),
            scenes: Arc::default(),
            webrtc: None,
        })
    }

    /// With what is looked for before the cameras.
    pub fn with_scenes(self, scenes: Arc<crate::scene::Scenes>) -> Self {
        Self { scenes, ..self }
    }

    /// A camera that was plugged in: it gets what is wished of all, and is the active one if that is
    /// wished; `first`: the active one where nothing is.
    pub fn add(&mut self, camera: Camera, first: u32, at: Nanos) {
        let (index, id) = (self.cameras.len(), camera.id);
        self.cameras.push(camera);
        let mut progress = Vec::new();
        let mut main = u64::from(first);
        for (place, value) in self.desired.clone() {
            let Some(entry) = entries().get(place) else { continue };
            match keys::means(entry.key.name) {
                Means::Change(make) => progress.push(self.tell(entry, make(&value), Some(index))),
                Means::Main => main = value.as_u64().unwrap_or(main),
                Means::Quality => _ = self.set_quality(&value),
                _ => {}
            }
        }
        if main == u64::from(id) {
            self.switchboard.select(id);
        }
        if !progress.is_empty() {
            self.requests.push(Request { id: None, progress, deadline: at.plus(PATIENCE) });
        }
    }

    /// Another incarnation of control: whatever its bank wants otherwise than is done is done.
    pub fn attach(&mut self, reader: Option<BankReader<Region>>, at: Nanos) {
        self.reader = reader;
        for request in &mut self.requests {
            request.id = None;
        }
        let wanted = self.reader.as_mut().map(BankReader::changed).unwrap_or_default();
        let mut changes = Vec::new();
        for (index, held) in wanted {
            let Some(entry) = entries().get(index).filter(|e| e.plane() == Plane::Engine) else {
                continue;
            };
            let known = self.desired.get(&index) == Some(&held.value);
            // What is recorded goes on by itself: the bank knows only who set it last, not who ended it.
            let state = entry.key.action || matches!(keys::means(entry.key.name), Means::Record);
            if !known && !held.value.is_null() && entry.key.settable && !state {
                // Also what cannot be taken now: the camera may be away, or still starting.
                self.desired.insert(index, held.value.clone());
                changes.push((entry.key.name.to_owned(), held.value));
            }
        }
        if !changes.is_empty() {
            self.meet_cameras(at);
            tracing::info!(settings = changes.len(), "settings of control are applied");
            self.word = Word::Nobody;
            self.begin(None, changes, at.plus(PATIENCE));
            self.word = Word::Active;
        }
        self.recorder.hub.settle();
    }

    /// Does what is asked. No answer now: [`Apply::look`] will have it.
    pub fn set(
        &mut self,
        id: u64,
        changes: Vec<(String, Value)>,
        (until, camera): (Nanos, Option<u32>),
        at: Nanos,
    ) -> Option<Answer> {
        // It was answered already that nothing came of it.
        if until <= at {
            let message = "it came too late".to_owned();
            return Some(Answer::Fault { code: "BUSY".to_owned(), message });
        }
        if self.requests.len() >= MOST_WAITING {
            let message = "too many changes wait for the cameras".to_owned();
            return Some(Answer::Fault { code: "RATE_LIMITED".to_owned(), message });
        }
        let meant = camera.and_then(|id| self.cameras.iter().position(|c| c.id == id));
        self.word = meant.map_or(Word::Active, Word::Camera);
        self.begin(Some(id), changes, until.min(at.plus(PATIENCE)));
        self.word = Word::Active;
        self.finish(at).pop().map(|(_, answer)| answer)
    }

    fn begin(&mut self, id: Option<u64>, changes: Vec<(String, Value)>, deadline: Nanos) {
        let mut progress = Vec::with_capacity(changes.len());
        let crossed = self.crossed(&changes);
        for (name, value) in changes {
            progress.push(match (&crossed, find(&name)) {
                (Some(why), Some(entry)) if finish::QUANTIZERS.contains(&entry.key.name) => {
                    self.done(entry, Err(why.clone()))
                }
                _ => self.start(name, value),
            });
        }
        if id.is_none() {
            progress.iter().for_each(|one| self.pass_over(one));
        }
        self.requests.push(Request { id, progress, deadline });
    }

    /// What is stored was taken once, but a file of settings that was imported may say anything. A
    /// camera's refusal is another matter: it may be away.
    fn pass_over(&mut self, progress: &Progress) {
        let Progress::Done(Outcome { key, refused: Some(why), .. }) = progress else { return };
        let Some(entry) = find(key) else { return };
        let no_camera = match keys::means(entry.key.name) {
            Means::Finish(_) => self.cameras.is_empty(),
            Means::Rtsp(_) | Means::Recording(_) | Means::Scene(_) | Means::Ptz(_) => false,
            Means::Tap(_) | Means::WebRtc(_) => false,
            _ => true,
        };
        if !no_camera {
            tracing::warn!("the stored value of {key} is passed over: {why}");
            self.desired.remove(&entry.index);
            self.passed_over.insert(entry.index, format!("what is stored is not in force: {why}"));
            self.publish(entry.index, self.held_now(entry));
        }
    }

    /// Begins one change.
    fn start(&mut self, name: String, value: Value) -> Progress {
        let owned = find(&name).filter(|e| e.plane() == Plane::Engine && e.key.settable);
        let Some(entry) = owned else {
            let refused = Some("this is no setting of the engine".to_owned());
            return Progress::Done(Outcome { key: name, held: Held::default(), refused });
        };
        // Control has checked it; a program that maps the memory might not have.
        let value = match entry.key.kind.check(&value) {
            Ok(value) => value,
            Err(refusal) => return self.done(entry, Err(refusal.0)),
        };
        let result = match keys::means(entry.key.name) {
            Means::Main => self.select(&value),
            Means::Image if finish::ORIENTATION.contains(&entry.key.name) => {
                return self.orient(entry, &value, now());
            }
            Means::Image => self.set_image(entry, &value),
            Means::Style(set) => {
                let edit = |index| (index, Change::Style(Edit::new(set, value.clone(), index)));
                let changes = (0..self.cameras.len()).map(edit).collect();
                return self.tell_each(entry, value, changes);
            }
            Means::Finish(set) => {
                if ptz::WINDOW.contains(&entry.key.name) {
                    self.settle_windows(now());
                }
                return self.tell_finish(entry, &value, set);
            }
            Means::Change(make) => return self.tell(entry, make(&value), None),
            Means::Quality => self.set_quality(&value),
            Means::Input(camera) => {
                let input = value.as_i64().unwrap_or(1) - 1;
                let change = Change::Input(u32::try_from(input).unwrap_or(0));
                return self.tell(entry, change, Some(camera));
            }
            Means::Rtsp(change) => {
                if entry.key.name == "rtsp-multicast"
                    && let Err(why) = crate::rtsp::groups::parse(&value)
                {
                    return self.done(entry, Err(why));
                }
                change(&mut self.rtsp, &value);
                *self.view.options.lock() = Some(self.rtsp.clone());
                self.rtsp_bell.ring();
                Ok(())
            }
            Means::Record => self.set_record(&value),
            Means::Snap => self.ask_for_snapshot(&value),
            Means::Snapshot => Ok(()),
            Means::Recording(change) => self.set_recording(entry.key.name, change, &value),
            Means::Tap(change) => self.set_tap(entry.key.name, change, &value),
            Means::WebRtc(change) => self.set_webrtc(entry.key.name, change, &value),
            Means::Scene(set) => self.set_scene(set, &value),
            Means::Ptz(change) => self.set_ptz(change, &value, now()),
            Means::Light(lamp) => self.drive_light(entry, lamp, &value),
            Means::Disc => self.drive_disc(entry, &value),
            Means::AutoRotate => self.follow_mounting(value == Value::Bool(true), now()),
            Means::Limit => Ok(()),
            Means::KeyFrame => self.ask_for_key(&value),
            Means::ResetImage => return self.reset_image(entry, &value),
            Means::Measured => Err("this value is measured and cannot be set".to_owned()),
        };
        self.done(entry, result.map(|()| value))
    }

    /// A change that has come to its end: remembers what is wanted, publishes what holds.
    fn done(&mut self, entry: &'static Entry, result: Result<Value, String>) -> Progress {
        let refused = match result {
            Ok(value) => {
                self.passed_over.remove(&entry.index);
                if !entry.key.action && !matches!(keys::means(entry.key.name), Means::Record) {
                    self.desired.insert(entry.index, value);
                }
                None
            }
            Err(why) => Some(why),
        };
        let held = self.held_now(entry);
        self.publish(entry.index, held.clone());
        if matches!(keys::means(entry.key.name), Means::ResetImage) {
            self.publish_picture();
        }
        Progress::Done(Outcome { key: entry.key.name.to_owned(), held, refused })
    }

    /// Publishes a value if it is another than before.
    fn publish(&mut self, index: usize, mut held: Held) {
        if let Some(why) = self.passed_over.get(&index).filter(|_| held.error.is_empty()) {
            held.error.clone_from(why);
        }
        if self.held.get(index) != Some(&held) {
            if !self.bank.set(index, &held) {
                tracing::warn!(
                    key = entries()[index].key.name,
                    "a value is too long for its place"
                );
            }
            self.held[index] = held;
        }
    }

    fn active(&self) -> Option<usize> {
        let main = self.switchboard.main_camera();
        self.cameras.iter().position(|c| c.id == main)
    }

    /// The camera whose word counts.
    fn decider(&self) -> Option<usize> {
        match self.word {
            Word::Active => self.active(),
            Word::Camera(index) => Some(index),
            Word::Nobody => None,
        }
    }

    fn select(&self, value: &Value) -> Result<(), String> {
        let camera = value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        if self.switchboard.select(camera) {
            return Ok(());
        }
        let count = self.cameras.len();
        Err(format!("Value must be between 1 and {count}: there is no camera {camera}"))
    }

    /// Without the cameras' threads: each takes it up with its next picture.
    fn set_quality(&mut self, value: &Value) -> Result<(), String> {
        // libjpeg's scale begins at 1.
        let quality = value.as_u64().and_then(|q| u8::try_from(q).ok()).unwrap_or(100).max(1);
        for camera in &mut self.cameras {
            camera.config.quality = quality;
            if let Some(stream) = self.switchboard.of(camera.id, crate::publish::Kind::Mjpeg) {
                stream.set_quality(quality);
            }
        }
        Ok(())
    }

    fn ask_for_key(&self, value: &Value) -> Result<(), String> {
        if *value == Value::Bool(true) {
            let main = self.switchboard.main_camera();
            let stream = self.switchboard.of(main, crate::publish::Kind::Main);
            stream.ok_or("there is no camera")?.want_key();
        }
        Ok(())
    }

    /// Sets a control of every camera that has it, if the one whose word counts takes it.
    fn set_image(&mut self, entry: &Entry, value: &Value) -> Result<(), String> {
        let first = self.decider();
        match (first, self.word) {
            (Some(first), _) => self.set_control(first, entry.key.name, value)?,
            (None, Word::Nobody) => {}
            (None, _) => return Err("no camera is active".to_owned()),
        }
        for index in (0..self.cameras.len()).filter(|index| Some(*index) != first) {
            if let Err(why) = self.set_control(index, entry.key.name, value) {
                tracing::debug!(camera = index + 1, key = entry.key.name, "{why}");
            }
        }
        Ok(())
    }

    fn set_control(&mut self, index: usize, key: &str, value: &Value) -> Result<(), String> {
        let camera = self.cameras.get_mut(index).ok_or("there is no such camera")?;
        let Some(knobs) = camera.knobs.clone() else {
            let state = camera.state.lock();
            return Err(if state.connected {
                format!("{} has no controls", state.name)
            } else {
                format!("camera {} is away: {}", camera.id, state.error)
            });
        };
        let meaning = MEANINGS.iter().find(|m| m.key == key).ok_or("this is no control")?;
        let Some(control) = meaning.find(&camera.controls).cloned() else {
            let name = camera.state.lock().name.clone();
            return Err(format!("{name} has no control for {key}"));
        };
        if control.flags.contains(&"read-only") {
            return Err(format!("{} cannot be changed at this camera", control.name));
        }
        let raw = meaning.raw(&control, value)?;
        let taken = knobs.set(&control, &raw).map_err(|e| e.0)?;
        if image::has_followers(&control) {
            camera.controls = knobs.controls();
        } else if let Some(known) = camera.controls.iter_mut().find(|c| c.id == control.id) {
            known.value = Some(taken);
        }
        Ok(())
    }

    /// Whether the head hangs upside down. In between, where gravity points to the side, it is as it
    /// was; an angle of 45 degrees keeps a head that swings from turning the picture to and fro.
    fn mounting(&self) -> Result<bool, String> {
        /// Half of gravity's acceleration, m/s².
        const CLEAR: f64 = 4.9;
        let upwards = self.sensors.now().acceleration[1].clone()?;
        Ok(match upwards {
            // A head at rest feels gravity as an acceleration upwards.
            y if y > CLEAR => false,
            y if y < -CLEAR => true,
            _ => self.upside_down.unwrap_or(false),
        })
    }

    /// Turns the picture the right way up.
    fn follow_mounting(&mut self, wanted: bool, at: Nanos) -> Result<(), String> {
        if !wanted {
            self.upside_down = None;
            return Ok(());
        }
        let upside_down = self.mounting()?;
        if self.upside_down == Some(upside_down) {
            return Ok(());
        }
        for key in ["mirror", "flip"] {
            let entry = find(key).ok_or("there is no such key")?;
            let value = Value::Bool(upside_down);
            let progress = vec![self.orient(entry, &value, at)];
            if let [Progress::Done(Outcome { refused: Some(why), .. })] = &progress[..] {
                return Err(why.clone());
            }
            self.requests.push(Request { id: None, progress, deadline: at.plus(PATIENCE) });
        }
        self.upside_down = Some(upside_down);
        Ok(())
    }

    fn wish(&self, name: &str) -> Value {
        let entry = find(name);
        let wish = entry.and_then(|e| self.desired.get(&e.index)).cloned();
        wish.or_else(|| entry.map(|e| e.key.default.value())).unwrap_or_default()
    }

    /// Switches a light, or changes its level.
    fn drive_light(&self, entry: &Entry, lamp: usize, value: &Value) -> Result<(), String> {
        let pick =
            |name: &str| if entry.key.name == name { value.clone() } else { self.wish(name) };
        let on = pick(["cam1-light", "cam2-light"][lamp]).as_bool().unwrap_or_default();
        let level = pick(["cam1-light-level", "cam2-light-level"][lamp]).as_u64().unwrap_or(0);
        self.lights[lamp].drive(if on { level } else { 0 })
    }

    fn drive_disc(&self, entry: &Entry, value: &Value) -> Result<(), String> {
        let pick =
            |name: &str| if entry.key.name == name { value.clone() } else { self.wish(name) };
        let on = pick("disc-rotation").as_bool().unwrap_or_default();
        let speed = pick("disc-speed").as_u64().unwrap_or(0);
        self.disc.drive(if on { speed } else { 0 })
    }

    /// Tells the threads of all cameras, or of one.
    fn tell(&mut self, entry: &'static Entry, change: Change, only: Option<usize>) -> Progress {
        let targets = match only {
            Some(camera) => camera..camera + 1,
            None => 0..self.cameras.len(),
        };
        let value = change.value();
        self.tell_each(entry, value, targets.map(|index| (index, change.clone())).collect())
    }

    /// Looks after what is waited for: answers that have become ready.
    pub fn look(&mut self, at: Nanos) -> Vec<(u64, Answer)> {
        self.meet_cameras(at);
        self.finish(at)
    }

    fn finish(&mut self, at: Nanos) -> Vec<(u64, Answer)> {
        let mut out = Vec::new();
        for mut request in std::mem::take(&mut self.requests) {
            let late = request.deadline <= at;
            for progress in &mut request.progress {
                self.go_on(progress, late, at);
            }
            if request.progress.iter().any(|p| matches!(p, Progress::Told { .. })) {
                self.requests.push(request);
                continue;
            }
            let outcomes = request.progress.into_iter().filter_map(|p| match p {
                Progress::Done(outcome) => Some(outcome),
                Progress::Told { .. } => None,
            });
            if let Some(id) = request.id {
                out.push((id, Answer::Set { outcomes: outcomes.collect() }));
            }
        }
        out
    }

    fn go_on(&mut self, progress: &mut Progress, late: bool, at: Nanos) {
        let Progress::Told { entry, value, answers, others, follows, verdict } = progress else {
            return;
        };
        let mut heard = Vec::new();
        answers.retain(|(index, change, answer)| {
            let result = match answer.try_recv() {
                Ok(result) => result.map_err(|e| e.0),
                Err(TryRecvError::Empty) if !late => return true,
                Err(TryRecvError::Empty) => Err("the camera did not answer in time".to_owned()),
                Err(TryRecvError::Disconnected) => Err("the camera went away".to_owned()),
            };
            heard.push((*index, change.clone(), result));
            false
        });
        for (index, change, result) in heard {
            if result.is_ok() {
                change.configure(&mut self.cameras[index].config);
            }
            verdict.get_or_insert(result);
        }
        if answers.is_empty() {
            let mut result = verdict.take().unwrap_or_else(|| Err("there is no camera".to_owned()));
            if *follows {
                // Something else may be wanted by now.
                result = Err("only who was asked first is heard".to_owned());
            }
            let (entry, value, others) = (*entry, value.take(), std::mem::take(others));
            if result.is_ok() {
                self.tell_others(entry, value.clone(), others, at);
            }
            *progress = self.done(entry, result.map(|()| value));
        }
    }

    /// Cameras that were opened since: they get the wishes for their controls.
    fn meet_cameras(&mut self, at: Nanos) {
        for index in 0..self.cameras.len() {
            let camera = &mut self.cameras[index];
            let opened = camera.handles.opened();
            let knobs = camera.handles.knobs();
            if opened == camera.opened && knobs.is_some() == camera.knobs.is_some() {
                continue;
            }
            camera.opened = opened;
            camera.controls = knobs.as_ref().map(|k| k.controls()).unwrap_or_default();
            camera.inputs = knobs.as_ref().map(|k| k.inputs()).unwrap_or_default();
            camera.knobs = knobs;
            self.meet_finish(index, at);
            self.meet_orientation(index, at);
            if self.cameras[index].knobs.is_none() {
                continue;
            }
            for meaning in MEANINGS {
                let wish = find(meaning.key).and_then(|e| self.desired.get(&e.index)).cloned();
                let Some(wish) = wish else { continue };
                if let Err(why) = self.set_control(index, meaning.key, &wish) {
                    tracing::debug!(camera = index + 1, key = meaning.key, "{why}");
                }
            }
        }
    }
}
