//! The thread of one camera: open, deliver, and open again when it fails.
//!
//! A panic in a camera or an encoder is a failure like any other: the camera and its stages are
//! thrown away, its rings and their readers stay, and it is opened again after the same waits.

mod absence;

use crate::camera::knobs::Knobs;
use crate::camera::spec::CameraSpec;
use crate::camera::v4l2::CameraV4l2;
use crate::camera::v4l2::choice::Wanted;
use crate::camera::{Camera, CameraError, CameraInfo, Shot, file, pattern};
use crate::change::Change;
use crate::config::CameraConfig;
use crate::encode::EncodeError;
use crate::glimpse::Glimpses;
use crate::hotplug::Watch;
use crate::ingest::Desk;
use crate::pipeline::{Pipeline, Publishers};
use crate::ptz::Aim;
use crate::publisher::PublishedCamera;
use crate::pull::PulledCamera;
use crate::scene::{Scenes, Watcher};
use crate::thread::{Stop, guard};
use absence::Absence;
use crossbeam::channel::{Receiver, Sender};
use lensd_ffi::bell::Bell;
use lensd_ffi::state::CameraState;
use lensd_ffi::time::{Nanos, now};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Waits between attempts to open: doubling from the first to the last.
const FIRST_WAIT: Nanos = Nanos::from_millis(500);
/// The first wait after a device has come back: its node is there, but udev may not have given it
/// to our group yet.
const BACK_WAIT: Nanos = Nanos::from_millis(20);
const LAST_WAIT: Nanos = Nanos::from_secs(15);
/// A camera that has delivered this long has earned the first wait again.
const HEALTHY: Nanos = Nanos::from_secs(20);

/// A change that the engine's main thread asks a camera's thread for.
pub struct Order {
    /// What to change.
    pub change: Change,
    /// Where the outcome goes.
    pub reply: Sender<Result<(), EncodeError>>,
}

/// The controls of a camera while it is open, for the engine's main thread.
#[derive(Debug, Default)]
pub struct Handles {
    knobs: Mutex<Option<Arc<dyn Knobs>>>,
    /// How often the camera was opened.
    opened: AtomicU64,
    /// Which part of its pictures is shown.
    pub aim: Arc<Aim>,
    scenes: Arc<Scenes>,
}

impl Handles {
    /// Of a camera that is not open yet; `scenes`: where what is seen before it is noted.
    pub fn new(scenes: Arc<Scenes>) -> Self {
        Self { scenes, ..Self::default() }
    }

    /// The controls; none while the camera is away, or if it has none.
    pub fn knobs(&self) -> Option<Arc<dyn Knobs>> {
        self.knobs.lock().clone()
    }

    /// How often the camera was opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }
}

/// Everything that the thread needs.
pub struct Task {
    /// Number from 1.
    pub id: u32,
    /// Configuration.
    pub config: CameraConfig,
    /// The parsed source.
    pub spec: CameraSpec,
    /// Rings.
    pub publishers: Publishers,
    /// Pictures of all cameras, for those that show another's.
    pub glimpses: Arc<Glimpses>,
    /// Wakes the thread.
    pub bell: Bell,
    /// What others see.
    pub state: Arc<Mutex<CameraState>>,
    /// Changes.
    pub orders: Receiver<Order>,
    /// Places to publish to.
    pub desk: Arc<Desk>,
    /// How often the camera or one of its stages has panicked.
    pub panics: Arc<AtomicU64>,
    /// Where the camera's controls are put while it is open.
    pub handles: Arc<Handles>,
    /// Rung when they are.
    pub desk_bell: Bell,
    /// Which devices there are.
    pub hotplug: Arc<Watch>,
}

/// A camera that is to be opened in another way.
struct Reopen {
    /// The one that worked.
    before: CameraSpec,
    /// Who waits for the outcome.
    replies: Vec<Sender<Result<(), EncodeError>>>,
}

/// Runs until told to stop.
pub fn run(task: Task, stop: &Stop) {
    let (id, hotplug) = (task.id, Arc::clone(&task.hotplug));
    run_with(task, stop, |spec, desk, bell| open(spec, (id, &hotplug), desk, bell));
}

/// As [`run`], with another way to open cameras.
fn run_with(
    task: Task,
    stop: &Stop,
    mut open: impl FnMut(&CameraSpec, &Desk, &Bell) -> Result<Box<dyn Camera>, CameraError>,
) {
    let Task {
        id,
        mut config,
        mut spec,
        publishers,
        glimpses,
        bell,
        state,
        orders,
        desk,
        panics,
        handles,
        desk_bell,
        hotplug,
    } = task;
    // The kernel may round a sleep up by 50 us to save wake-ups, which would be latency here.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut publishers = Some(publishers);
    let mut wait = FIRST_WAIT;
    let mut said = String::new();
    let mut reopen: Option<Reopen> = None;
    let mut away_since = None;
    while !stop.is_set() {
        let Some(own) = publishers.take() else { return };
        if config.on_demand && !is_wanted(&own) && !handles.scenes.is_wanted() {
            note(&state, |s| {
                s.connected = false;
                s.error = "resting: nobody reads it".to_owned();
            });
            // Who comes now is what it waits for, also if it was away when it was looked for last.
            for publisher in [&own.main, &own.sub, &own.mjpeg] {
                publisher.stream().set_away("", false);
            }
            publishers = Some(own);
            rest(&bell, Nanos::from_secs(60));
            note_orders(&orders, &mut config, "the camera rests: nobody reads it");
            continue;
        }
        // Before the attempt: a device that comes while it fails must not be missed.
        let changes = hotplug.changes();
        let opened = guarded(&panics, || {
            let camera = open(&spec, &desk, &bell)?;
            let info = camera.info();
            Ok((camera, info))
        });
        let (mut own, error) = match opened {
            Err(error) => {
                if let Some(failed) = reopen.take() {
                    spec = failed.before;
                    for reply in failed.replies {
                        let _ = reply.send(Err(EncodeError(error.message.clone())));
                    }
                    desk_bell.ring();
                    publishers = Some(own);
                    continue;
                }
                (own, Some(error))
            }
            Ok((mut camera, info)) => {
                let since = now();
                away_since = None;
                // Streams that nobody reads now would keep the fault, and refuse whoever comes.
                for publisher in [&own.main, &own.sub, &own.mjpeg] {
                    publisher.stream().set_away("", false);
                    publisher.stream().set_error("");
                }
                for remark in &info.remarks {
                    tracing::info!(camera = id, "{remark}");
                }
                tracing::info!(
                    camera = id,
                    name = info.name,
                    format = info.format,
                    size = format!("{}x{}", info.width, info.height),
                    fps = info.fps,
                    "camera opened"
                );
                let modes = camera.modes();
                note(&state, |s| {
                    s.connected = true;
                    s.modes = modes;
                    s.error.clear();
                    s.name = if config.name.is_empty() {
                        info.name.clone()
                    } else {
                        config.name.clone()
                    };
                    if let Some(device) = hotplug.device(id) {
                        s.stable_id = device.id;
                        s.node = device.path.display().to_string();
                        if !s.source.starts_with("v4l2:") {
                            // The test camera has stepped aside.
                            s.source = spec.shown();
                        }
                    }
                    hotplug.note(id, &s.name, Ok(()));
                    s.format = words_of(&info);
                    (s.width, s.height) = (info.width as u32, info.height as u32);
                    s.fps = info.fps;
                });
                *handles.knobs.lock() = camera.knobs();
                handles.opened.fetch_add(1, Ordering::Release);
                desk_bell.ring();
                if let Some(done) = reopen.take() {
                    // Whoever asks what the streams are waits for the first picture.
                    for publisher in [&own.main, &own.sub, &own.mjpeg] {
                        publisher.stream().forget_parameters();
                    }
                    for reply in done.replies {
                        let _ = reply.send(Ok(()));
                    }
                    desk_bell.ring();
                }
                let always = matches!(spec, CameraSpec::Test(_));
                let mut pipeline = Pipeline::new(&config, info, always, own, Arc::clone(&glimpses))
                    .with_aim(Arc::clone(&handles.aim))
                    .watched(Watcher::new(id, Arc::clone(&handles.scenes)));
                let ended = guarded(&panics, || {
                    let mut delivery = Delivery {
                        pipeline: &mut pipeline,
                        config: &mut config,
                        spec: &spec,
                        bell: &bell,
                        orders: &orders,
                        desk_bell: &desk_bell,
                        state: &state,
                    };
                    delivery.run(&mut *camera, stop)
                });
                *handles.knobs.lock() = None;
                let ended = match ended {
                    Ok(Some((next, replies))) => {
                        let before = std::mem::replace(&mut spec, next);
                        reopen = Some(Reopen { before, replies });
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                };
                if now().since(since) > HEALTHY {
                    wait = FIRST_WAIT;
                    said.clear();
                }
                (pipeline.into_publishers(), ended.err())
            }
        };
        hotplug.closed(id);
        if let Some(error) = error {
            // The same refusal at every attempt is said once.
            if said == error.message {
                tracing::debug!(camera = id, "{error}");
            } else {
                tracing::warn!(camera = id, "{error}");
                said.clone_from(&error.message);
            }
            note(&state, |s| {
                s.connected = false;
                s.error.clone_from(&error.message);
                let name = if s.name.is_empty() { &s.source } else { &s.name };
                hotplug.note(id, name, Err(&error.message));
            });
            let (name, size) = {
                let known = state.lock();
                let size = (known.width as usize, known.height as usize);
                (known.name.clone(), if size.0 > 0 { size } else { wanted_size(&spec) })
            };
            let mut absence = Absence {
                name,
                size,
                why: &error.message,
                since: *away_since.get_or_insert_with(now),
                config: &mut config,
                orders: &orders,
                bell: &bell,
                desk_bell: &desk_bell,
                panics: &panics,
            };
            let span = if error.retry { wait } else { LAST_WAIT };
            let back = || match &spec {
                CameraSpec::V4l2(v4l2) => {
                    hotplug.changes() != changes && hotplug.is_there(id, &v4l2.device)
                }
                CameraSpec::Publish { name } => desk.is_live(name),
                _ => false,
            };
            let is_back;
            (own, is_back) = absence.pass(own, stop, now().plus(span), back);
            if is_back {
                // What goes wrong with it now is news.
                wait = BACK_WAIT;
                said.clear();
            } else {
                wait = Nanos((wait.0 * 2).min(LAST_WAIT.0));
            }
        }
        publishers = Some(own);
    }
}

/// Does something in which a panic is a failure of the camera, and counted.
fn guarded<T>(
    panics: &AtomicU64,
    body: impl FnOnce() -> Result<T, CameraError>,
) -> Result<T, CameraError> {
    guard(body).unwrap_or_else(|panic| {
        let times = panics.fetch_add(1, Ordering::Relaxed) + 1;
        Err(CameraError::passing(format!(
            "this camera's thread has panicked ({times} since the start), a fault of lensd: {panic}"
        )))
    })
}

/// What a camera gives, in words; size and rate are left out where they show only later.
fn words_of(info: &CameraInfo) -> String {
    let mut out = info.format.clone();
    if info.width > 0 {
        out.push_str(&format!(" {}x{}", info.width, info.height));
    }
    if info.fps > 0.0 {
        out.push_str(&format!(" {:.4} fps", info.fps).replace(".0000", ""));
    }
    out
}

fn is_wanted(own: &Publishers) -> bool {
    [&own.main, &own.sub, &own.mjpeg].iter().any(|p| p.stream().is_wanted()) || own.tap.is_wanted()
}

fn note(state: &Mutex<CameraState>, change: impl FnOnce(&mut CameraState)) {
    change(&mut state.lock());
}

/// Waits for the bell, or as long as `span`.
fn rest(bell: &Bell, span: Nanos) {
    let span = Timespec {
        tv_sec: i64::try_from(span.0 / 1_000_000_000).unwrap_or(60),
        tv_nsec: i64::try_from(span.0 % 1_000_000_000).unwrap_or(0),
    };
    let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&span));
    bell.take();
}

/// Answers changes for a camera that is not there: whoever asks must not wait until it is. What
/// the camera itself has no say in is noted for its return.
fn note_orders(orders: &Receiver<Order>, config: &mut CameraConfig, why: &str) {
    while let Ok(order) = orders.try_recv() {
        let noted = order.change.configure(config);
        let outcome = if noted { Ok(()) } else { Err(EncodeError(why.to_owned())) };
        let _ = order.reply.send(outcome);
    }
}

/// The size that a SPEC asks for.
fn wanted_size(spec: &CameraSpec) -> (usize, usize) {
    let size = match spec {
        CameraSpec::Test(test) => Some(test.size),
        CameraSpec::V4l2(v4l2) => v4l2.size,
        CameraSpec::File(_) | CameraSpec::Rtsp { .. } | CameraSpec::Publish { .. } => None,
    };
    size.map_or((0, 0), |size| (size.width, size.height))
}

fn open(
    spec: &CameraSpec,
    (id, hotplug): (u32, &Watch),
    desk: &Desk,
    bell: &Bell,
) -> Result<Box<dyn Camera>, CameraError> {
    match spec {
        CameraSpec::Test(test) => Ok(Box::new(pattern::open(test)?)),
        CameraSpec::Publish { name } => {
            let bell = bell.try_clone().map_err(|e| CameraError::passing(e.to_string()))?;
            Ok(Box::new(PublishedCamera::open(name, desk.open(name, bell))?))
        }
        CameraSpec::File(file) => Ok(Box::new(file::open(file)?)),
        CameraSpec::V4l2(v4l2) => {
            let wanted = Wanted {
                format: v4l2.format.as_deref().and_then(|f| f.parse().ok()),
                size: v4l2.size.map(|s| (s.width as u32, s.height as u32)),
                fps: v4l2.fps,
                input: v4l2.input,
            };
            let found = hotplug.find(id, &v4l2.device).map_err(CameraError::passing)?;
            let camera = CameraV4l2::open(&found.path, &wanted)?;
            hotplug.opened(id, &v4l2.device, &found);
            Ok(Box::new(camera))
        }
        CameraSpec::Rtsp { url } if url.starts_with("rtsps:") => Err(CameraError::lasting(
            "an rtsps:// stream cannot be pulled; its rtsp:// can".to_owned(),
        )),
        CameraSpec::Rtsp { url } => {
            let bell = bell.try_clone().map_err(|e| CameraError::passing(e.to_string()))?;
            Ok(Box::new(PulledCamera::open(url, bell)?))
        }
    }
}

/// The source to go on with, and who waits for that.
type Next = (CameraSpec, Vec<Sender<Result<(), EncodeError>>>);

/// What delivering needs.
struct Delivery<'a> {
    pipeline: &'a mut Pipeline,
    config: &'a mut CameraConfig,
    spec: &'a CameraSpec,
    bell: &'a Bell,
    orders: &'a Receiver<Order>,
    desk_bell: &'a Bell,
    state: &'a Mutex<CameraState>,
}

impl Delivery<'_> {
    /// Delivers until the camera fails, the thread is to stop, nobody wants anything, or the camera
    /// has to be opened in another way.
    fn run(&mut self, camera: &mut dyn Camera, stop: &Stop) -> Result<Option<Next>, CameraError> {
        loop {
            // A source that is never without a picture never says that it was woken.
            if stop.is_set() {
                return Ok(None);
            }
            match camera.next(self.bell)? {
                Shot::Frame(frame) => {
                    self.pipeline.frame(&frame);
                    count(self.state, camera);
                }
                Shot::Unit(unit) => {
                    self.pipeline.unit(&unit);
                    count(self.state, camera);
                    note_size(self.state, unit.width, unit.height);
                }
                Shot::Woken => {
                    self.bell.take();
                }
            }
            if let Some(next) = self.obey() {
                return Ok(Some(next));
            }
            if stop.is_set() || (self.config.on_demand && !self.pipeline.is_wanted()) {
                return Ok(None);
            }
        }
    }

    /// Does what is ordered; a source that is to be opened instead ends that. Several changes of
    /// the source open it once.
    fn obey(&mut self) -> Option<Next> {
        let mut next: Option<Next> = None;
        while let Ok(Order { change, reply }) = self.orders.try_recv() {
            let mut config = self.config.clone();
            let outcome = if change.configure(&mut config) {
                self.pipeline.change(&change).map(|()| *self.config = config)
            } else {
                let spec = next.as_ref().map_or(self.spec, |(spec, _)| spec);
                match change.respecify(spec) {
                    Ok(changed) if changed != *spec => {
                        let mut replies = next.take().map(|(_, r)| r).unwrap_or_default();
                        replies.push(reply);
                        next = Some((changed, replies));
                        continue;
                    }
                    same => same.map(|_| ()),
                }
            };
            let _ = reply.send(outcome);
            self.desk_bell.ring();
        }
        next
    }
}

fn count(state: &Mutex<CameraState>, camera: &dyn Camera) {
    let stamped_at = camera.stamped_at().name();
    let mut state = state.lock();
    state.frames += 1;
    state.lost = camera.lost();
    if state.stamped_at != stamped_at {
        stamped_at.clone_into(&mut state.stamped_at);
    }
}

fn note_size(state: &Mutex<CameraState>, width: usize, height: usize) {
    if width > 0 {
        let mut state = state.lock();
        (state.width, state.height) = (width as u32, height as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::CodedUnit;
    use crate::camera::tree::tests::Fake;
    use crate::publish::{Kind, Stream, Subscription, geometry_for};
    use crate::thread::Thread;
    use lensd_ffi::ring::Geometry;
    use lensd_ffi::unit::{Codec, NalSpan};
    use std::sync::atomic::AtomicBool;

    /// A camera that passes one unit through at each look until it is pulled out, or panics.
    #[derive(Default)]
    struct Doll {
        broken: bool,
        pulled: Arc<AtomicBool>,
    }

    impl Camera for Doll {
        fn info(&self) -> CameraInfo {
            CameraInfo { coded: Some(Codec::H264), ..CameraInfo::default() }
        }

        fn next(&mut self, _: &Bell) -> Result<Shot, CameraError> {
            assert!(!self.broken, "broken");
            if self.pulled.load(Ordering::Acquire) {
                return Err(CameraError::passing("pulled out"));
            }
            let (bytes, nals) = (vec![0, 0, 0, 1, 0x65], vec![NalSpan { offset: 4, len: 1 }]);
            Ok(Shot::Unit(CodedUnit { key: true, bytes, nals, ..CodedUnit::default() }))
        }
    }

    #[test]
    fn a_camera_that_panics_is_opened_again_and_keeps_its_readers() {
        let bell = Arc::new(Bell::new().unwrap());
        let make = |kind, codec| {
            let geometry = Geometry { slots: 16, bytes: 4096 };
            Stream::create(1, kind, codec, geometry, bell.try_clone().unwrap()).unwrap()
        };
        let (main, main_publisher) = make(Kind::Main, Codec::H264);
        let sub = make(Kind::Sub, Codec::H264).1;
        let mjpeg = make(Kind::Mjpeg, Codec::Jpeg).1;
        let (_orders, receiver) = crossbeam::channel::bounded(1);
        let (state, panics) = (Arc::<Mutex<CameraState>>::default(), Arc::<AtomicU64>::default());
        let task = Task {
            id: 1,
            config: CameraConfig::default(),
            spec: "test:".parse().unwrap(),
            publishers: Publishers {
                main: main_publisher,
                sub,
                mjpeg,
                tap: crate::tap::CameraTap::new(1, bell.try_clone().unwrap(), Arc::default()),
            },
            glimpses: Arc::default(),
            bell: bell.try_clone().unwrap(),
            state: Arc::clone(&state),
            orders: receiver,
            desk: Arc::default(),
            panics: Arc::clone(&panics),
            handles: Arc::default(),
            desk_bell: Bell::new().unwrap(),
            hotplug: Arc::default(),
        };
        let reader = Bell::new().unwrap();
        let _subscription = Subscription::new(&main, reader.try_clone().unwrap());
        let (shown, errors) = crossbeam::channel::unbounded();
        let mut opened = 0;
        let thread = Thread::start("cam-1", Stop::new(Arc::clone(&bell)), move |stop| {
            run_with(task, stop, |_, _, _| {
                shown.send(state.lock().error.clone()).unwrap();
                opened += 1;
                // The first cannot even be opened, the second breaks when it delivers.
                assert!(opened > 1, "broken");
                Ok(Box::new(Doll { broken: opened == 2, ..Doll::default() }))
            });
        });
        let thread = thread.unwrap();
        assert_eq!(errors.recv().unwrap(), "");
        for times in ["(1 since", "(2 since"] {
            let error = errors.recv().unwrap();
            assert!(error.contains("panicked") && error.contains(times), "{error}");
        }
        // The errors have rung, too.
        for _ in 0..100 {
            if main.ring().head() == 0 {
                rest(&reader, Nanos::from_secs(60));
            }
        }
        assert!(main.ring().head() > 0);
        drop(thread);
        assert_eq!(panics.load(Ordering::Relaxed), 2);
        assert_eq!(main.state(now()).error, "");
    }

    #[test]
    fn a_camera_that_is_pulled_out_leaves_a_picture_and_comes_back_under_another_number() {
        let fake = Fake::new("away");
        fake.plug(0, "1", "A");
        let hotplug = Arc::new(Watch::new(fake.tree(), false));
        let bell = Arc::new(Bell::new().unwrap());
        let make = |kind, codec| {
            Stream::create(1, kind, codec, geometry_for(1), bell.try_clone().unwrap()).unwrap()
        };
        let (main, main_publisher) = make(Kind::Main, Codec::H264);
        let sub = make(Kind::Sub, Codec::H264).1;
        let mjpeg = make(Kind::Mjpeg, Codec::Jpeg).1;
        let (_orders, receiver) = crossbeam::channel::bounded(1);
        let state = Arc::<Mutex<CameraState>>::default();
        let task = Task {
            id: 1,
            config: CameraConfig { no_signal: true, ..CameraConfig::default() },
            spec: "v4l2:/dev/video0?size=320x180".parse().unwrap(),
            publishers: Publishers {
                main: main_publisher,
                sub,
                mjpeg,
                tap: crate::tap::CameraTap::new(1, Bell::new().unwrap(), Arc::default()),
            },
            glimpses: Arc::default(),
            bell: bell.try_clone().unwrap(),
            state: Arc::clone(&state),
            orders: receiver,
            desk: Arc::default(),
            panics: Arc::default(),
            handles: Arc::default(),
            desk_bell: Bell::new().unwrap(),
            hotplug: Arc::clone(&hotplug),
        };
        hotplug.wake(bell.try_clone().unwrap());
        let reader = Bell::new().unwrap();
        let _subscription = Subscription::new(&main, reader.try_clone().unwrap());
        let pulled = Arc::<AtomicBool>::default();
        let (devices, gone) = (Arc::clone(&hotplug), Arc::clone(&pulled));
        let thread = Thread::start("cam-1", Stop::new(Arc::clone(&bell)), move |stop| {
            run_with(task, stop, |_, _, _| {
                let found = devices.find(1, "/dev/video0").map_err(CameraError::passing)?;
                if !found.path.exists() {
                    return Err(CameraError::passing("not there"));
                }
                devices.opened(1, "/dev/video0", &found);
                Ok(Box::new(Doll { broken: false, pulled: Arc::clone(&gone) }))
            });
        });
        let _thread = thread.unwrap();
        let until = |what: &str, done: &dyn Fn() -> bool| {
            for _ in 0..100_000 {
                if done() {
                    return;
                }
                rest(&reader, Nanos::from_secs(60));
            }
            panic!("never: {what}");
        };
        let width = || main.ring().newest_key().map_or(0, |key| key.meta.width);
        until("pictures", &|| main.ring().head() > 0);
        assert_eq!((state.lock().connected, main.away()), (true, None));
        assert_eq!(state.lock().stable_id, "usb-1d6b-0102-A");
        fake.pull(0, "1");
        pulled.store(true, Ordering::Release);
        until("a picture that says so", &|| width() == 320);
        assert!(!state.lock().connected && main.away().is_some() && main.silent().is_none());
        pulled.store(false, Ordering::Release);
        fake.plug(6, "2", "A");
        hotplug.look_now();
        until("the camera's own pictures", &|| main.away().is_none() && width() == 0);
        assert!(state.lock().node.ends_with("video6"));
        let events = hotplug.events();
        let told: Vec<_> = events.iter().map(|e| (e.connected, e.reason.as_str())).collect();
        assert_eq!(told, [(true, ""), (false, "pulled out"), (true, "")]);
    }

    #[test]
    fn a_camera_that_is_away_declines() {
        let (orders, receiver) = crossbeam::channel::bounded(2);
        let (reply, outcome) = crossbeam::channel::bounded(2);
        let mut config = CameraConfig::default();
        for change in [Change::Fps(10.0), Change::Bitrate(1)] {
            orders.send(Order { change, reply: reply.clone() }).unwrap();
        }
        note_orders(&receiver, &mut config, "unplugged");
        assert_eq!(outcome.try_recv().unwrap().unwrap_err().0, "unplugged");
        assert_eq!((outcome.try_recv().unwrap(), config.bitrate), (Ok(()), 1), "noted");
    }
}
