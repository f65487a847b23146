//! Recording as the rest of the engine knows it.

use super::folder::Folder;
use super::keeper::{Job, Keeper, Picture, Store};
use super::list::{Going, List};
use super::plan::{Mode, Options, Plan, Which};
use super::reel::{Order, Reel, Shared};
use super::work::{Wanted, Worker};
use crate::publish::{Kind, Stream};
use crate::switchboard::Switchboard;
use crate::thread::{Stop, Thread, guard};
use crossbeam::channel::{Receiver, Sender, bounded};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, RecordAct};
use lensd_ffi::state::{CameraState, MediaEvent, RecordingState, StorageState};
use lensd_ffi::time::{Nanos, Stamp, now};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most streams that are recorded or kept ready at once.
const MOST: usize = 64;
/// Jobs that wait for the keeper: what does not fit is found at the next start.
const JOBS: usize = 256;
/// Orders that wait for a reel.
const ORDERS: usize = 16;
/// How long settings are waited for before recordings go on after a start.
const SETTLED: Nanos = Nanos::from_secs(5);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A code of SURFACE section 3.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: String,
}

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// A picture that is to be kept.
#[derive(Debug, Clone, Default)]
pub struct Snap {
    /// The JPEG.
    pub jpeg: Vec<u8>,
    /// Camera from 1.
    pub camera: u32,
    /// When it was captured.
    pub captured: Stamp,
    /// Width and height in pixels.
    pub size: (u16, u16),
    /// Title.
    pub title: String,
    /// What the camera is set to, for EXIF.
    pub settings: serde_json::Value,
    /// JPEG quality if the time is to be written into it.
    pub stamp: Option<u8>,
    /// Whether it takes the place of the one before.
    pub alone: bool,
}

struct Running {
    stream: Arc<Stream>,
    shared: Arc<Shared>,
    orders: Sender<Order>,
    bell: Arc<Bell>,
    plan: Option<Plan>,
    /// Pictures a second of its camera, as the reel was told.
    fps: f64,
    paused: bool,
    keep: Nanos,
    scheduled: bool,
    thread: Thread,
}

impl Running {
    fn tell(&self, order: Order) {
        // The reel takes them at once, unless its disk does not answer.
        if self.orders.try_send(order).is_err() {
            tracing::warn!(stream = self.stream.name, "the recorder does not listen");
        }
        self.bell.ring();
    }

    fn name(&self) -> &str {
        &self.stream.name
    }
}

/// See the module.
pub struct Hub {
    switchboard: Arc<Switchboard>,
    folder: Folder,
    store: Arc<Store>,
    reels: Mutex<Vec<Running>>,
    cameras: Mutex<HashMap<u32, CameraState>>,
    wanted: Sender<Wanted>,
    list: Arc<List>,
    /// What the settings said of bounds at the last look.
    bounds: Mutex<Plan>,
    /// What went on when the last engine ended, until it goes on again.
    left: Mutex<Vec<Going>>,
    started: Nanos,
    settled: AtomicBool,
    in_window: AtomicBool,
    threads: Mutex<Vec<Thread>>,
}

impl Hub {
    /// Starts the keeper. `bell` is rung when an answer is there.
    ///
    /// # Errors
    /// When there are no threads to be had.
    pub fn start(data: &Path, switchboard: Arc<Switchboard>, bell: Bell) -> io::Result<Self> {
        let folder = Folder::new(data);
        let (jobs, taken) = bounded(JOBS);
        let store = Arc::new(Store::new(jobs, bell));
        let list = Arc::new(List::read(&data.join("state/recording.json"), MOST));
        let keeper =
            Keeper::new(Arc::clone(&store), folder.clone(), data, taken, Arc::clone(&list));
        let (wanted, thumbnails) = bounded(ORDERS);
        let worker = Worker {
            store: Arc::clone(&store),
            folder: folder.clone(),
            database: data.join("catalog.db"),
            wanted: thumbnails,
        };
        let start = |name: &str, body: Box<dyn FnOnce(&Stop) + Send>| {
            let own = name.to_owned();
            let stop = Stop::new(Arc::new(Bell::new()?));
            Thread::start(name, stop, move |stop| {
                if let Err(panic) = guard(|| body(stop)) {
                    tracing::error!(panic, "{own} has panicked");
                }
            })
        };
        let threads = vec![
            start("record-work", Box::new(move |stop: &Stop| worker.run(stop)))?,
            start("record-keep", Box::new(move |stop: &Stop| keeper.run(stop)))?,
        ];
        let left = list.all();
        Ok(Self {
            switchboard,
            folder,
            store,
            reels: Mutex::default(),
            cameras: Mutex::default(),
            wanted,
            list,
            bounds: Mutex::default(),
            left: Mutex::new(left),
            started: now(),
            settled: AtomicBool::new(false),
            in_window: AtomicBool::new(false),
            threads: Mutex::new(threads),
        })
    }

    /// Changes the options.
    pub fn change(&self, edit: impl FnOnce(&mut Options)) {
        edit(&mut self.store.options.lock());
    }

    /// The options.
    pub fn options(&self) -> Options {
        self.store.options.lock().clone()
    }

    /// The settings of control are known now.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// What the cameras are now.
    pub fn meet(&self, cameras: &[CameraState]) {
        *self.cameras.lock() = cameras.iter().map(|c| (c.id, c.clone())).collect();
    }

    /// The folder of recordings and snapshots.
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// All that is recorded or kept ready.
    pub fn states(&self) -> Vec<RecordingState> {
        let at = now();
        self.reels.lock().iter().map(|reel| reel.shared.shown(at)).collect()
    }

    /// Storage.
    pub fn storage(&self) -> StorageState {
        self.store.shown(now())
    }

    /// What happened lately.
    pub fn events(&self) -> Vec<MediaEvent> {
        self.store.events()
    }

    /// Whether something is otherwise than at the last call: it is worth telling at once.
    pub fn take_news(&self) -> bool {
        self.store.take_news()
    }

    /// Begins, interrupts or ends recordings, and says what they are then.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn record(
        &self,
        act: RecordAct,
        camera: Option<u32>,
        kind: Option<Kind>,
        plan: impl FnOnce(&mut Plan),
    ) -> Result<Vec<RecordingState>, Refusal> {
        match act {
            RecordAct::Start => {
                let mut wanted = self.options().plan();
                plan(&mut wanted);
                self.begin(camera, kind, &wanted, false)
            }
            other => self.tell_running(other, camera, kind),
        }
        .inspect(|_| self.store.tell_main())
    }

    fn targets(
        &self,
        camera: Option<u32>,
        kind: Option<Kind>,
    ) -> Result<Vec<Arc<Stream>>, Refusal> {
        let options = self.options();
        let cameras = match (camera, options.which) {
            (Some(0), _) | (None, Which::Active) => vec![self.switchboard.main_camera()],
            (Some(camera), _) => vec![camera],
            (None, Which::All) => {
                let mut all: Vec<u32> =
                    self.switchboard.streams().iter().map(|s| s.camera).collect();
                all.dedup();
                all
            }
        };
        let kinds = kind.map_or(options.kinds, |kind| vec![kind]);
        let mut streams = Vec::new();
        for camera in cameras {
            for kind in &kinds {
                match self.switchboard.of(camera, *kind) {
                    Some(stream) => streams.push(stream),
                    None if camera == 0 => {
                        return refuse("CAMERA_NOT_CONNECTED", "there is no camera");
                    }
                    None => return refuse("NOT_FOUND", format!("there is no camera {camera}")),
                }
            }
        }
        Ok(streams)
    }

    fn begin(
        &self,
        camera: Option<u32>,
        kind: Option<Kind>,
        plan: &Plan,
        scheduled: bool,
    ) -> Result<Vec<RecordingState>, Refusal> {
        let streams = self.targets(camera, kind)?;
        if let Err(e) = self.store.has_room()
            && !(scheduled || self.options().replace)
        {
            let code = match e.kind() {
                io::ErrorKind::StorageFull => "INSUFFICIENT_STORAGE",
                _ => "STORAGE_UNAVAILABLE",
            };
            return refuse(code, format!("{e}: make room, or see the keys of module storage"));
        }
        let mut reels = self.reels.lock();
        let busy = |name: &str| reels.iter().any(|r| r.name() == name && r.plan.is_some());
        if streams.iter().all(|stream| busy(&stream.name)) {
            let names: Vec<&str> = streams.iter().map(|s| s.name.as_str()).collect();
            let message = format!("{} is being recorded already", names.join(", "));
            return refuse("RECORDING_IN_PROGRESS", message);
        }
        let away: Vec<String> = streams
            .iter()
            .filter_map(|stream| Some(format!("camera {}: {}", stream.camera, stream.away()?)))
            .collect();
        // Those that are away are recorded from their return on, as one that went away meanwhile.
        if away.len() == streams.len() && !scheduled {
            return refuse("CAMERA_NOT_CONNECTED", away.into_iter().next().unwrap_or_default());
        }
        for stream in &streams {
            self.check(stream, plan)?;
        }
        for stream in &streams {
            self.begin_one(&mut reels, stream, plan, scheduled, Nanos(0))
                .or_else(|e| refuse("INTERNAL", format!("no recorder can be started: {e}")))?;
        }
        let at = now();
        let meant = |r: &&Running| streams.iter().any(|s| s.name == r.name());
        Ok(reels.iter().filter(meant).map(|reel| reel.shared.shown(at)).collect())
    }

    /// Whether a stream can be recorded like this.
    fn check(&self, stream: &Stream, plan: &Plan) -> Result<(), Refusal> {
        let fps = self.fps(stream.camera);
        if let Mode::SlowMotion { rate } = plan.mode
            && fps > 0.0
            && fps <= f64::from(rate)
        {
            let message = format!(
                "camera {} gives {fps} pictures a second: slow motion that is played with {rate} \
                 needs more. Set fps, or slow-motion-rate",
                stream.camera
            );
            return refuse("INVALID_VALUE", message);
        }
        Ok(())
    }

    fn fps(&self, camera: u32) -> f64 {
        self.cameras.lock().get(&camera).map_or(0.0, |camera| camera.fps)
    }

    fn begin_one(
        &self,
        reels: &mut Vec<Running>,
        stream: &Arc<Stream>,
        plan: &Plan,
        scheduled: bool,
        spent: Nanos,
    ) -> io::Result<()> {
        let fps = self.fps(stream.camera);
        let reel = self.reel(reels, stream)?;
        if reel.plan.is_none() {
            let away = stream.away().unwrap_or_default();
            if !away.is_empty() {
                let text = format!("it is recorded once it is there: {away}");
                tracing::warn!(stream = stream.name, "{text}");
                self.store.note("recording.error", stream.camera, "", &text);
            }
            reel.plan = Some(plan.clone());
            reel.fps = fps;
            reel.scheduled = scheduled;
            reel.paused = false;
            // Until the reel says so itself.
            reel.shared.set_spent(spent);
            let mut state = reel.shared.state.lock();
            state.started_ms = lensd_ffi::time::utc_now().millis();
            "waiting".clone_into(&mut state.state);
            plan.mode.name().clone_into(&mut state.mode);
            state.error = away;
            drop(state);
            reel.tell(Order::Start(Box::new(plan.clone()), fps, spent));
        }
        Ok(())
    }

    /// The reel of a stream, with a thread.
    fn reel<'a>(
        &self,
        reels: &'a mut Vec<Running>,
        stream: &Arc<Stream>,
    ) -> io::Result<&'a mut Running> {
        if let Some(at) = reels.iter().position(|r| r.name() == stream.name) {
            return Ok(&mut reels[at]);
        }
        if reels.len() >= MOST {
            return Err(io::Error::other(format!("more than {MOST} streams")));
        }
        let shared = Arc::<Shared>::default();
        *shared.state.lock() = RecordingState {
            camera: stream.camera,
            stream: stream.name.clone(),
            state: "off".to_owned(),
            ..RecordingState::default()
        };
        let (orders, taken) = bounded(ORDERS);
        let bell = Arc::new(Bell::new()?);
        let own = bell.try_clone()?;
        let reel = Reel::new(
            Arc::clone(stream),
            Arc::clone(&shared),
            taken,
            self.folder.clone(),
            Arc::clone(&self.store),
        );
        let name = format!("rec-{}", stream.name.replace('/', "-"));
        let label = stream.name.clone();
        let thread = Thread::start(&name, Stop::new(Arc::clone(&bell)), move |stop| {
            match guard(|| reel.run(stop, &own)) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::error!(stream = label, "the recorder failed: {e}"),
                Err(panic) => tracing::error!(stream = label, panic, "the recorder has panicked"),
            }
        })?;
        reels.push(Running {
            stream: Arc::clone(stream),
            shared,
            orders,
            bell,
            plan: None,
            fps: 0.0,
            paused: false,
            keep: Nanos(0),
            scheduled: false,
            thread,
        });
        let last = reels.len() - 1;
        Ok(&mut reels[last])
    }

    fn tell_running(
        &self,
        act: RecordAct,
        camera: Option<u32>,
        kind: Option<Kind>,
    ) -> Result<Vec<RecordingState>, Refusal> {
        let camera = camera.map(|c| if c == 0 { self.switchboard.main_camera() } else { c });
        let mut reels = self.reels.lock();
        let at = now();
        let mut told = Vec::new();
        for reel in reels.iter_mut().filter(|r| r.plan.is_some()) {
            let other = camera.is_some_and(|c| c != reel.stream.camera)
                || kind.is_some_and(|k| k != reel.stream.kind);
            if other {
                continue;
            }
            let mut state = reel.shared.shown(at);
            match act {
                RecordAct::Stop => {
                    reel.plan = None;
                    reel.tell(Order::Stop);
                    "stopped".clone_into(&mut state.state);
                }
                RecordAct::Pause => {
                    reel.paused = true;
                    reel.tell(Order::Pause);
                    "paused".clone_into(&mut state.state);
                }
                RecordAct::Resume | RecordAct::Start => {
                    reel.paused = false;
                    reel.tell(Order::Resume);
                    "recording".clone_into(&mut state.state);
                }
            }
            told.push(state);
        }
        if told.is_empty() {
            return refuse("NOT_RECORDING", "nothing of that is being recorded");
        }
        Ok(told)
    }

    /// What `record` holds: whether anything is recorded, and whether all of that pauses.
    pub fn recording(&self) -> (bool, bool) {
        let reels = self.reels.lock();
        let mut all = reels.iter().filter(|r| r.plan.is_some()).peekable();
        let any = all.peek().is_some();
        (any, any && all.all(|r| r.paused))
    }

    /// Keeps a picture. The answer is [`Answer::Kept`] or a fault.
    ///
    /// # Errors
    /// [`Refusal`] when too many wait.
    pub fn snap(&self, snap: Snap) -> Result<Receiver<Answer>, Refusal> {
        let camera_name =
            self.cameras.lock().get(&snap.camera).map(|c| c.name.clone()).unwrap_or_default();
        let (answer, receiver) = bounded(1);
        let picture = Box::new(Picture { snap, camera_name });
        self.ask(Job::Snap { picture, answer }, receiver)
    }

    /// Removes recordings and snapshots. The answer is [`Answer::Removed`].
    ///
    /// # Errors
    /// [`Refusal`] when too many wait.
    pub fn remove(&self, ids: Vec<i64>) -> Result<Receiver<Answer>, Refusal> {
        let (answer, receiver) = bounded(1);
        self.ask(Job::Remove { ids, answer }, receiver)
    }

    fn ask(&self, job: Job, answer: Receiver<Answer>) -> Result<Receiver<Answer>, Refusal> {
        match self.store.jobs.try_send(job) {
            Ok(()) => Ok(answer),
            Err(_) => refuse("STORAGE_UNAVAILABLE", "storage does not keep up; try again later"),
        }
    }

    /// Makes a thumbnail. The answer is [`Answer::Done`] or a fault.
    ///
    /// # Errors
    /// [`Refusal`] when too many wait.
    pub fn thumbnail(&self, id: i64) -> Result<Receiver<Answer>, Refusal> {
        let (answer, receiver) = bounded(1);
        match self.wanted.try_send(Wanted { id, answer }) {
            Ok(()) => Ok(receiver),
            Err(_) => refuse("RATE_LIMITED", "too many thumbnails are being made; try again"),
        }
    }

    /// Looks around: what has ended, what the schedule says, what is kept from before a start.
    pub fn look(&self, at: Nanos) {
        self.go_on(at);
        self.follow_schedule();
        let options = self.options();
        let ready = if options.before.0 > 0 { self.targets(None, None) } else { Ok(Vec::new()) };
        let ready = ready.unwrap_or_default();
        let mut reels = self.reels.lock();
        for stream in &ready {
            if let Err(e) = self.reel(&mut reels, stream) {
                tracing::warn!(stream = stream.name, "no recorder: {e}");
            }
        }
        for reel in reels.iter_mut() {
            let wished = ready.iter().any(|s| s.name == reel.name());
            let keep = if wished { options.before } else { Nanos(0) };
            if reel.keep != keep {
                reel.keep = keep;
                reel.tell(Order::Keep(keep));
            }
            if reel.plan.is_some() && reel.orders.is_empty() && !reel.shared.records() {
                // It has come to its limit, or there was no room.
                reel.plan = None;
            }
            let fps = self.fps(reel.stream.camera);
            if reel.plan.is_some() && fps > 0.0 && (fps - reel.fps).abs() > 0.001 {
                reel.fps = fps;
                reel.tell(Order::Rate(fps));
            }
        }
        self.follow_bounds(&mut reels, &options.plan);
        reels.retain(|reel| {
            if reel.thread.is_finished() {
                return false;
            }
            let used = reel.plan.is_some() || reel.keep.0 > 0 || reel.shared.records();
            used || !reel.orders.is_empty()
        });
        self.write_list(&reels);
    }

    /// Bounds that are set hold for what is recorded, too, unless its start named others.
    fn follow_bounds(&self, reels: &mut [Running], set: &Plan) {
        let old = std::mem::replace(&mut *self.bounds.lock(), set.clone());
        for reel in reels {
            let Some(plan) = &mut reel.plan else { continue };
            let before = plan.clone();
            for (bound, old, new) in [
                (&mut plan.segment_secs, old.segment_secs, set.segment_secs),
                (&mut plan.segment_bytes, old.segment_bytes, set.segment_bytes),
                (&mut plan.limit_secs, old.limit_secs, set.limit_secs),
            ] {
                if *bound == old {
                    *bound = new;
                }
            }
            if *plan != before {
                let bounds = Box::new(plan.clone());
                reel.tell(Order::Bounds(bounds));
            }
        }
    }

    /// What was being recorded when the last engine ended goes on.
    fn go_on(&self, at: Nanos) {
        let ready = self.settled.load(Ordering::Acquire) || at.since(self.started) > SETTLED;
        if self.left.lock().is_empty() || !ready || self.storage().state == "starting" {
            return;
        }
        let left = std::mem::take(&mut *self.left.lock());
        if !self.options().resume {
            return;
        }
        let mut reels = self.reels.lock();
        for going in left {
            let Some(stream) = self.switchboard.resolve(&going.stream) else { continue };
            let (limit, spent) = (going.plan.limit_secs, going.spent_secs);
            if limit > 0 && spent >= limit {
                continue;
            }
            let spent = Nanos::from_secs(spent);
            if let Err(e) = self.begin_one(&mut reels, &stream, &going.plan, false, spent) {
                tracing::warn!(stream = going.stream, "recording does not go on: {e}");
            } else {
                tracing::info!(stream = going.stream, "recording goes on");
            }
            let paused = reels.iter_mut().find(|reel| reel.name() == going.stream && going.paused);
            if let Some(reel) = paused {
                reel.paused = true;
                reel.tell(Order::Pause);
            }
        }
    }

    fn follow_schedule(&self) {
        let options = self.options();
        let inside = options.schedule.holds_now();
        if self.in_window.swap(inside, Ordering::AcqRel) == inside {
            return;
        }
        if inside {
            if let Err(refusal) = self.begin(None, None, &options.plan(), true)
                && refusal.code != "RECORDING_IN_PROGRESS"
            {
                tracing::warn!("the schedule's recording does not begin: {}", refusal.message);
                // At the next look, then.
                self.in_window.store(false, Ordering::Release);
            }
            return;
        }
        for reel in self.reels.lock().iter_mut().filter(|r| r.scheduled && r.plan.is_some()) {
            reel.plan = None;
            reel.tell(Order::Stop);
        }
    }

    /// Writes down what is recorded, when that has changed.
    fn write_list(&self, reels: &[Running]) {
        if !self.left.lock().is_empty() {
            return;
        }
        let going = reels.iter().filter(|reel| !reel.scheduled).filter_map(|reel| {
            let plan = reel.plan.clone()?;
            let limited = plan.limit_secs > 0;
            let spent_secs = if limited { reel.shared.spent().0 / 1_000_000_000 } else { 0 };
            Some(Going { stream: reel.name().to_owned(), plan, paused: reel.paused, spent_secs })
        });
        self.list.set(going.collect());
    }

    /// Ends all recordings in order, and waits until their files are closed.
    pub fn end(&self) {
        // One after the other is told before the first is waited for.
        let mut reels = std::mem::take(&mut *self.reels.lock());
        for reel in &reels {
            reel.tell(Order::Stop);
        }
        for reel in &mut reels {
            if let Some(panic) = reel.thread.join() {
                tracing::error!(panic, "a recorder had panicked");
            }
        }
        self.threads.lock().clear();
    }
}

#[cfg(test)]
mod tests;
