//! What happens before a camera: motion, and that somebody tampers with it.
//!
//! A camera's thread reads some points of a picture (`grid`) ten times a second and asks what they
//! mean (`detector`), and only while that is wished: switched on, or automatic and somebody listens.
//! Else no byte of a picture is touched. What it finds is noted here for whoever tells it on.

pub mod detector;
pub mod grid;
pub mod region;

pub use region::Region;

use crate::frame::Frame;
use detector::{Detector, News};
use grid::Grid;
use lensd_ffi::bell::Bell;
use lensd_ffi::ptz::PtzStatus;
use lensd_ffi::state::{MAX_EVENTS, SceneEvent, SceneState};
use lensd_ffi::time::{Nanos, now, utc_now};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Shortest time between two looks: ten a second, of any camera's rate that is a multiple.
const EVERY: Nanos = Nanos::from_millis(95);
/// A test that nobody ends ends by itself.
const TEST: Nanos = Nanos::from_secs(60);

/// Whether something is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wish {
    /// While somebody listens.
    #[default]
    Automatic,
    /// Always.
    On,
    /// Never.
    Off,
}

/// What the settings say.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Whether motion is looked for.
    pub motion: Wish,
    /// Whether tampering is.
    pub tamper: Wish,
    /// 1 to 100: the more, the smaller the differences that count.
    pub sensitivity: u8,
    /// Least part of the region that must change, in percent.
    pub area: f32,
    /// How long motion lasts after it was seen last.
    pub hold: Nanos,
    /// Where motion counts.
    pub region: Region,
    /// How long a picture must be spoilt, or fine again.
    pub delay: Nanos,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            motion: Wish::Automatic,
            tamper: Wish::Automatic,
            sensitivity: 50,
            area: 1.0,
            hold: Nanos::from_secs(3),
            region: Region::default(),
            delay: Nanos::from_secs(3),
        }
    }
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listeners {
    /// Clients of the control plane: events, WebSockets, ONVIF.
    Control = 0,
    /// Metadata streams.
    Metadata = 1,
}

/// What a test pretends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pretended {
    /// Motion.
    Motion,
    /// Tampering.
    Tamper,
}

#[derive(Debug, Default)]
struct Log {
    last: u64,
    events: VecDeque<SceneEvent>,
    /// As the detectors of cameras see it.
    states: BTreeMap<u32, SceneState>,
    /// Tests under way, and when they end.
    tests: Vec<(u32, Pretended, Nanos)>,
    ptz: Vec<PtzStatus>,
}

/// What is wished and what was found, of all cameras.
#[derive(Debug, Default)]
pub struct Scenes {
    options: RwLock<Arc<Options>>,
    listeners: [AtomicU32; 2],
    log: Mutex<Log>,
    /// How often anything was noted that somebody is told.
    changes: AtomicU64,
    bells: RwLock<Vec<Bell>>,
}

impl Scenes {
    /// Rings at everything that is found.
    pub fn watch(&self, bell: Bell) {
        self.bells.write().push(bell);
    }

    /// Another number than before: there is something to tell.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn ring(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.bells.read().iter().for_each(Bell::ring);
    }

    /// What the settings say.
    pub fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read())
    }

    /// Changes that; cameras take it up with their next look.
    pub fn set_options(&self, options: Options) {
        *self.options.write() = Arc::new(options);
    }

    /// How many listen now.
    pub fn listen(&self, who: Listeners, count: u32) {
        self.listeners[who as usize].store(count, Ordering::Relaxed);
    }

    /// How many of all kinds listen.
    pub fn listeners(&self) -> u32 {
        self.listeners.iter().map(|l| l.load(Ordering::Relaxed)).fold(0, u32::saturating_add)
    }

    /// Whether motion and tampering are looked for.
    pub fn wanted(&self) -> (bool, bool) {
        let options = self.options.read();
        let wanted = |wish| match wish {
            Wish::On => true,
            Wish::Off => false,
            Wish::Automatic => self.listeners() > 0,
        };
        (wanted(options.motion), wanted(options.tamper))
    }

    /// Whether anything is.
    pub fn is_wanted(&self) -> bool {
        let (motion, tamper) = self.wanted();
        motion || tamper
    }

    /// How the cameras stand that are looked at, or were; with what tests pretend.
    pub fn states(&self) -> Vec<SceneState> {
        let log = self.log.lock();
        let mut states = log.states.clone();
        for (camera, what, _) in &log.tests {
            let state = states.entry(*camera).or_default();
            state.camera = *camera;
            match what {
                Pretended::Motion => state.motion = true,
                Pretended::Tamper => "test".clone_into(&mut state.tamper),
            }
        }
        states.into_values().collect()
    }

    /// The last that was found, oldest first.
    pub fn events(&self) -> Vec<SceneEvent> {
        self.log.lock().events.iter().cloned().collect()
    }

    /// The number of the newest event; 0: there is none.
    pub fn newest(&self) -> u64 {
        self.log.lock().last
    }

    /// Where the cameras look, as was noted last.
    pub fn ptz(&self) -> Vec<PtzStatus> {
        self.log.lock().ptz.clone()
    }

    /// Notes where they look.
    pub fn note_ptz(&self, states: &[PtzStatus]) {
        let mut log = self.log.lock();
        if log.ptz != states {
            states.clone_into(&mut log.ptz);
            drop(log);
            self.ring();
        }
    }

    fn note(&self, state: SceneState, news: &[News]) {
        let mut log = self.log.lock();
        let camera = state.camera;
        log.states.insert(camera, state);
        for news in news {
            let (kind, active, area, why) = match *news {
                News::Motion(active, area) => ("motion", active, area, ""),
                News::Tamper(active, why) => ("tamper", active, 0.0, why),
            };
            log.add(camera, kind, active, area, why, false);
        }
        drop(log);
        if !news.is_empty() {
            self.ring();
        }
    }

    /// Pretends that something was found, or has ended: so that all that follows can be tried. It
    /// is marked as a test, and ends by itself after a minute.
    pub fn pretend(&self, camera: u32, what: Pretended, active: bool, at: Nanos) {
        let mut log = self.log.lock();
        let before = log.tests.len();
        log.tests.retain(|(c, w, _)| (*c, *w) != (camera, what));
        let was = before > log.tests.len();
        if active {
            log.tests.push((camera, what, at.plus(TEST)));
        }
        if was != active {
            log.add_test(camera, what, active);
            drop(log);
            self.ring();
        }
    }

    /// Ends tests whose time has come.
    pub fn end_tests(&self, at: Nanos) {
        let due: Vec<_> = self.log.lock().tests.iter().filter(|t| t.2 <= at).copied().collect();
        for (camera, what, _) in due {
            self.pretend(camera, what, false, at);
        }
    }
}

impl Log {
    fn add(&mut self, camera: u32, kind: &str, active: bool, area: f32, why: &str, test: bool) {
        self.last += 1;
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(SceneEvent {
            number: self.last,
            time_ms: utc_now().millis(),
            camera,
            kind: kind.to_owned(),
            active,
            area: tenths(area),
            why: why.to_owned(),
            test,
        });
    }

    fn add_test(&mut self, camera: u32, what: Pretended, active: bool) {
        let (kind, why) = match what {
            Pretended::Motion => ("motion", ""),
            Pretended::Tamper => ("tamper", "test"),
        };
        self.add(camera, kind, active, 0.0, why, true);
    }
}

/// The same word as the detector's.
fn reason(word: &str) -> &'static str {
    let known = ["black", "covered", "blurred"];
    known.into_iter().find(|known| *known == word).unwrap_or("covered")
}

/// A percentage with one digit behind the point.
fn tenths(percent: f32) -> f64 {
    (f64::from(percent) * 10.0).round() / 10.0
}

/// Looks at a camera's pictures, on the camera's thread.
#[derive(Debug)]
pub struct Watcher {
    scenes: Arc<Scenes>,
    /// Only while it looks.
    eye: Option<Eye>,
    state: SceneState,
}

#[derive(Debug, Default)]
struct Eye {
    grid: Grid,
    detector: Detector,
    last: Nanos,
}

impl Watcher {
    /// Of a camera.
    pub fn new(camera: u32, scenes: Arc<Scenes>) -> Self {
        Self { scenes, eye: None, state: SceneState { camera, ..SceneState::default() } }
    }

    /// Whether pictures are to be looked at.
    pub fn is_wanted(&self) -> bool {
        self.scenes.is_wanted()
    }

    /// Whether it looks at them now.
    pub const fn looks(&self) -> bool {
        self.eye.is_some()
    }

    /// What it does, in the words of a pipeline's description; empty if nothing.
    pub const fn words(&self) -> &'static str {
        if self.looks() {
            "; motion and tampering (CPU: reads some points of ten pictures a second)"
        } else {
            ""
        }
    }

    /// Looks at a picture if it is time and wished. `true`: it has begun to look, or has ended.
    pub fn look(&mut self, frame: &Frame) -> bool {
        let (motion, tamper) = self.scenes.wanted();
        if !motion && !tamper {
            return self.rest();
        }
        let begins = self.eye.is_none();
        let eye = self.eye.get_or_insert_default();
        let at = frame.capture.mono;
        if !begins && at.since(eye.last) < EVERY {
            return false;
        }
        eye.last = at;
        let begun = now();
        let options = self.scenes.options();
        let state = &mut self.state;
        let mut news = Vec::new();
        match eye.grid.read(frame) {
            Ok(()) => {
                news = eye.detector.look(&eye.grid, &options, at);
                state.read += eye.grid.read;
                state.error.clear();
            }
            Err(why) => state.error = why,
        }
        state.looks += 1;
        (state.motion_watched, state.tamper_watched) = (motion, tamper);
        // What is not looked for is not told, though it was seen: it costs nothing more.
        news.retain(|news| match news {
            News::Motion(..) => motion,
            News::Tamper(..) => tamper,
        });
        for news in &news {
            match *news {
                News::Motion(active, _) => state.motion = active,
                News::Tamper(active, why) => {
                    if active { why } else { "" }.clone_into(&mut state.tamper);
                }
            }
        }
        if !motion && std::mem::take(&mut state.motion) {
            news.push(News::Motion(false, 0.0));
        }
        if !tamper && !state.tamper.is_empty() {
            news.push(News::Tamper(false, reason(&std::mem::take(&mut state.tamper))));
        }
        state.area = tenths(eye.detector.area());
        let took = now().since(begun).micros();
        state.cost_us = if state.cost_us == 0 { took } else { (state.cost_us * 15 + took) / 16 };
        self.scenes.note(state.clone(), &news);
        begins
    }

    /// Ends it: what was found has ended as far as anybody knows. `true`: it looked.
    pub fn rest(&mut self) -> bool {
        if self.eye.take().is_none() {
            return false;
        }
        let mut news = Vec::new();
        if std::mem::take(&mut self.state.motion) {
            news.push(News::Motion(false, 0.0));
        }
        let tamper = std::mem::take(&mut self.state.tamper);
        if !tamper.is_empty() {
            news.push(News::Tamper(false, reason(&tamper)));
        }
        (self.state.motion_watched, self.state.tamper_watched) = (false, false);
        self.state.area = 0.0;
        self.scenes.note(self.state.clone(), &news);
        true
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colour, PixelFormat, packed_planes};
    use lensd_ffi::time::{Stamp, UtcNanos};

    fn frame(tenth: u64, box_at: Option<usize>) -> Frame {
        let (width, height) = (320, 180);
        let (planes, used) = packed_planes(PixelFormat::Grey, width, height);
        let mut bytes = vec![0_u8; used];
        for (i, b) in bytes.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let hit = box_at.is_some_and(|at| (at..at + 60).contains(&x) && (60..120).contains(&y));
            *b = if hit { 250 } else { 40 + ((x / 3 + y / 5) % 90) as u8 };
        }
        let mono = Nanos::from_millis(tenth * 100 + 1);
        Frame {
            format: PixelFormat::Grey,
            width,
            height,
            planes,
            used,
            colour: Colour::OURS,
            memory: Arc::new(bytes),
            capture: Stamp { mono, utc: UtcNanos(0), ..Stamp::default() },
            number: 0,
            crc: None,
        }
    }

    #[test]
    fn nothing_is_read_unless_somebody_listens() {
        let scenes = Arc::<Scenes>::default();
        let bell = Bell::new().unwrap();
        scenes.watch(bell.try_clone().unwrap());
        let mut watcher = Watcher::new(1, Arc::clone(&scenes));
        assert!(!watcher.look(&frame(0, None)) && scenes.states().is_empty());
        scenes.listen(Listeners::Control, 1);
        assert!(watcher.look(&frame(1, None)), "it begins");
        assert!(!watcher.look(&frame(1, None)), "not twice within a tenth");
        assert_eq!(scenes.states()[0].looks, 1);
        for t in 2..60 {
            watcher.look(&frame(t, (t > 40).then_some(t as usize * 4)));
        }
        let events = scenes.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(events[0].active && events[0].kind == "motion" && !events[0].test);
        assert!(scenes.states()[0].motion && bell.take());
        // Nobody listens any more: it ends, and says so.
        scenes.listen(Listeners::Control, 0);
        assert!(watcher.look(&frame(60, None)) && !watcher.looks());
        assert!(!scenes.events()[1].active && !scenes.states()[0].motion);
        let looks = scenes.states()[0].looks;
        watcher.look(&frame(99, None));
        assert_eq!(scenes.states()[0].looks, looks);
        // Switched on it needs no listener.
        scenes.set_options(Options { tamper: Wish::On, motion: Wish::Off, ..Options::default() });
        watcher.look(&frame(100, None));
        let state = &scenes.states()[0];
        assert!(state.tamper_watched && !state.motion_watched);
    }

    #[test]
    fn a_test_is_marked_and_ends_by_itself() {
        let scenes = Scenes::default();
        scenes.pretend(2, Pretended::Motion, true, Nanos(0));
        scenes.pretend(2, Pretended::Motion, true, Nanos::from_secs(30));
        let events = scenes.events();
        assert_eq!((events.len(), events[0].test, events[0].camera), (1, true, 2));
        assert!(scenes.states()[0].motion);
        scenes.end_tests(Nanos::from_secs(80));
        assert_eq!(scenes.newest(), 1);
        scenes.end_tests(Nanos::from_secs(90));
        assert!(!scenes.events()[1].active && scenes.states().is_empty());
        scenes.pretend(2, Pretended::Tamper, false, Nanos(0));
        assert_eq!(scenes.newest(), 2, "nothing ends that has not begun");
        for i in 0..100 {
            scenes.pretend(1, Pretended::Tamper, i % 2 == 0, Nanos(0));
        }
        assert_eq!(scenes.events().len(), MAX_EVENTS);
    }
}
