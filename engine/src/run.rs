//! The engine's main thread: it puts everything together, talks to the supervisor and to control,
//! and publishes the state.

mod arrivals;
mod browsers;
mod identity;
mod peer;
mod ports;
mod roster;

use crate::apply::{self, Apply};
use crate::camera::devices;
use crate::camera::spec::CameraSpec;
use crate::camera::tree::Tree;
use crate::capture;
use crate::clock;
use crate::config::{CameraConfig, Config};
use crate::glimpse::Glimpses;
use crate::hotplug::{self, Watch};
use crate::ingest::Desk;
use crate::ops;
use crate::pipeline::Publishers;
use crate::publish::{Kind, Stream, geometry_for};
use crate::record;
use crate::replay::shelf::Catalogued;
use crate::requests::Requests;
use crate::rtsp::client::Way;
use crate::rtsp::replay::Replays;
use crate::rtsp::serve::{Server, View};
use crate::rtsp::world::World;
use crate::scene::Scenes;
use crate::switchboard::Switchboard;
use crate::tap;
use crate::thread::{Stop, Thread, guard};
use crate::users::UserTable;
use crate::webrtc;
use arrivals::Arrivals;
use browsers::Browsers;
use crossbeam::channel::{Sender, bounded};
use identity::identity;
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{self, Link, Order, Received, Report};
use lensd_ffi::listen::Doors;
use lensd_ffi::region::Region;
use lensd_ffi::settings::bank::BankWriter;
use lensd_ffi::stages::{Plane, Walk};
use lensd_ffi::state::{BANK_AT, CameraState, EngineState, StateWriter};
use lensd_ffi::time::{Nanos, now, utc_now};
use lensd_ffi::unit::Codec;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use parking_lot::Mutex;
use peer::Met;
use ports::Sockets;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const LEASH: Token = Token(0);
const LINK: Token = Token(1);
const BELL: Token = Token(2);

/// Most cameras that are found by themselves: as many as settings can name.
const MAX_CAMERAS: usize = 64;

/// How often the state is published.
const PUBLISH_EVERY: Nanos = Nanos::from_millis(500);

/// Runs the engine; the body of `lensd engine`.
pub fn run(leash: Link) -> ExitCode {
    match begin(&leash) {
        Ok(Some(engine)) => match engine.serve(&leash) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => {
                tracing::error!("the engine's loop failed: {e}");
                ExitCode::FAILURE
            }
        },
        // The supervisor went away, or wants nothing more of us, before anything was served.
        Ok(None) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = leash.send(&Report::Failed { reason }, &[]);
            ExitCode::FAILURE
        }
    }
}

/// A camera and what is known of it.
struct Cam {
    state: Arc<Mutex<CameraState>>,
    panics: Arc<AtomicU64>,
    orders: Sender<capture::Order>,
    bell: Bell,
    thread: Thread,
}

struct Engine {
    started_ms: i64,
    doors: Doors,
    state: StateWriter<Region>,
    switchboard: Arc<Switchboard>,
    users: Arc<UserTable>,
    view: Arc<View>,
    rtsp_bell: Arc<Bell>,
    rtsp: Thread,
    tap_view: Arc<tap::view::View>,
    hub: Arc<tap::Hub>,
    tap: Option<Thread>,
    webrtc_view: Arc<webrtc::view::View>,
    webrtc: Browsers,
    cameras: Vec<Cam>,
    desk: Arc<Desk>,
    glimpses: Arc<Glimpses>,
    scenes: Arc<Scenes>,
    /// Up to which of its events the state was published.
    told_scene: u64,
    hotplug: Arc<Watch>,
    arrivals: Arrivals,
    _devices: Thread,
    requests: Requests,
    /// To control, if it was there before us.
    link: Option<Link>,
    recorder: Arc<record::Hub>,
    shown: Arc<Mutex<ops::Shown>>,
    _ops: Option<ops::Ops>,
}

fn begin(leash: &Link) -> Result<Option<Engine>, String> {
    let Some((config, region, lockout)) = link::first_order::<Config>(leash)? else {
        return Ok(None);
    };
    let region = Arc::new(region);
    let bank = BankWriter::create(Arc::clone(&region), BANK_AT);
    let mut state = StateWriter::new(region);
    let started_ms = utc_now().millis();
    state.set(&EngineState { pid: std::process::id(), started_ms, ..EngineState::default() });
    let _ = leash.send(&Report::Sealed, &[]);
    raise_descriptor_limit();

    let taken =
        ports::take(config.rtsp.as_deref(), config.rtsps.as_deref(), config.rtsp_options.udp_port)?;
    let Sockets { doors, rtsp: listener, rtsps: tls_listener, udp, note } = taken;
    let tls_listener = match tls_listener {
        Some(listener) => Some((listener, identity(config.data.join("tls"))?)),
        None => None,
    };
    let mut walk = Walk::start(Plane::Engine);
    let missing = doors.missing();
    match missing.first() {
        None => tracing::info!("{}", walk.done("ports", None)),
        Some(why) => tracing::warn!("{}", walk.done("ports", Some(why))),
    }
    let fail = |what: &'static str| move |e: io::Error| format!("{what}: {e}");
    let switchboard = Arc::new(Switchboard::default());
    let desk = Arc::new(Desk::default());
    let users = Arc::new(UserTable::new(config.open, lockout));
    let (specs, mut notes) = cameras_of(&config)?;
    notes.extend(missing.iter().cloned().chain(note));
    let glimpses = Arc::<Glimpses>::default();
    let scenes = Arc::<Scenes>::default();
    let automatic = config.cameras.is_empty();
    let hotplug = Arc::new(Watch::new(Tree::default(), automatic));
    let bell = Bell::new().map_err(fail("eventfd"))?;
    let tap_view = Arc::new(tap::view::View::new(config.tap.clone()));
    let hub = Arc::new(tap::Hub::default());
    let mut cameras = Vec::new();
    let mut applied = Vec::new();
    for (i, (camera_config, spec)) in specs.into_iter().enumerate() {
        let id = u32::try_from(i + 1).map_err(|_| "too many cameras".to_owned())?;
        let tap = (&*hub, &tap_view);
        let (cam, camera) = start_camera(
            id,
            camera_config,
            spec,
            &switchboard,
            tap,
            (&desk, &glimpses, &scenes, &bell),
            &hotplug,
        )
        .map_err(|e| format!("camera {id}: {e}"))?;
        cameras.push(cam);
        applied.push(camera);
    }
    if !switchboard.select(config.main_camera.max(1)) {
        switchboard.select(1);
    }
    tracing::info!("{}", walk.done("cameras", Some("any").filter(|_| cameras.is_empty())));

    let rtsp_bell = Arc::new(Bell::new().map_err(fail("eventfd"))?);
    let change = Bell::new().map_err(fail("eventfd"))?;
    switchboard.watch(change.try_clone().map_err(fail("eventfd"))?);
    let view = Arc::new(View::default());
    *view.missing.lock() = missing.join("; ");
    let world = World {
        options: config.rtsp_options.clone(),
        switchboard: Arc::clone(&switchboard),
        posts: HashMap::new(),
        udp,
        way: Way {
            segment_ok: true,
            pacing: Nanos::from_millis(config.rtsp_options.pacing_ms),
            resume: None,
            full: false,
        },
        addresses: HashMap::new(),
        guard: users.guard(random_key()),
        users: Arc::clone(&users),
        bell: Arc::clone(&rtsp_bell),
        sessions: 0,
        ingest: Arc::clone(&desk),
        groups: HashMap::new(),
        unfit: HashMap::new(),
        logins: Vec::new(),
        random: random_word,
        replays: Replays {
            shelf: Some(Arc::new(Catalogued::new(&config.data))),
            ..Replays::default()
        },
        scenes: Arc::clone(&scenes),
        feeds: Vec::new(),
    };
    scenes.watch(rtsp_bell.try_clone().map_err(fail("eventfd"))?);
    let server = Server::new(listener, tls_listener, world, change, Arc::clone(&view))
        .map_err(fail("RTSP server"))?;
    let tap_bell = Arc::new(Bell::new().map_err(fail("eventfd"))?);
    let own = bell.try_clone().map_err(fail("eventfd"))?;
    let recorder = record::Hub::start(&config.data, Arc::clone(&switchboard), own)
        .map_err(fail("recorder"))?;
    let recorder = Arc::new(recorder);
    tracing::info!("{}", walk.done("recording", None));
    // Before the thread: a fault after it would leave that running, and us waiting for it.
    let apply = Apply::new(
        bank,
        applied,
        Arc::clone(&switchboard),
        Arc::clone(&view),
        (config.rtsp_options.clone(), Arc::clone(&rtsp_bell)),
        (config.hardware.clone(), config.data.join("media/uploads")),
        ((Arc::clone(&tap_view), Arc::clone(&tap_bell)), Arc::clone(&recorder)),
    )
    .map_err(fail("sensors"))?
    .with_scenes(Arc::clone(&scenes));
    tracing::info!("{}", walk.done("hardware", None));
    let webrtc_view = browsers::view(&config.webrtc, &bell).map_err(fail("eventfd"))?;
    let apply = apply.with_webrtc(Arc::clone(&webrtc_view));
    scenes.watch(bell.try_clone().map_err(fail("eventfd"))?);
    hotplug.wake(bell.try_clone().map_err(fail("eventfd"))?);
    let views = (Arc::clone(&view), Arc::clone(&webrtc_view));
    let mut requests = Requests::new(Arc::clone(&switchboard), views, bell, apply);
    let link = match peer::meet(leash, &users, &mut requests, peer::PATIENCE) {
        Ok(Met::Control(link)) => link,
        Ok(Met::Late) => {
            tracing::warn!("the control plane is late: until it is there nobody can log in");
            None
        }
        Ok(Met::Over) => return Ok(None),
        Err(e) => return Err(format!("the supervisor: {e}")),
    };
    let rtsp = Thread::start("rtsp-1", Stop::new(Arc::clone(&rtsp_bell)), move |_| {
        if let Err(e) = server.run() {
            tracing::error!("the RTSP server's loop failed: {e}");
        }
    })
    .map_err(fail("thread"))?;

    let change = Bell::new().map_err(fail("eventfd"))?;
    switchboard.watch(change.try_clone().map_err(fail("eventfd"))?);
    let tap = start_tap(
        &config,
        tap::serve::World {
            switchboard: Arc::clone(&switchboard),
            hub: Arc::clone(&hub),
            users: Arc::clone(&users),
            guard: users.guard(random_key()),
            view: Arc::clone(&tap_view),
            bell: tap_bell,
            change,
        },
    );

    let webrtc = Browsers::start(&switchboard, &users, &webrtc_view).map_err(fail("eventfd"))?;
    let shown = Arc::<Mutex<ops::Shown>>::default();
    let ops = match ops::Ops::start(&config.data, Arc::clone(&shown), Arc::clone(&view)) {
        Ok(ops) => Some(ops),
        Err(e) => {
            tracing::warn!("no operations socket: {e}");
            None
        }
    };
    let devices = hotplug::start(Arc::clone(&hotplug)).map_err(fail("devices"))?;
    let mut engine = Engine {
        started_ms,
        doors,
        state,
        requests,
        link,
        recorder,
        switchboard,
        users,
        view,
        rtsp_bell,
        rtsp,
        tap_view,
        hub,
        tap,
        webrtc_view,
        webrtc,
        cameras,
        desk,
        glimpses,
        scenes,
        told_scene: 0,
        hotplug,
        arrivals: Arrivals::new(automatic, config.main_camera, config.data.clone()),
        _devices: devices,
        shown,
        _ops: ops,
    };
    engine.write_roster();
    tracing::info!("{}", walk.done("streams", None));
    // Whoever hears that we listen may ask for a camera at once.
    engine.publish(now());
    let ports = engine.doors.ports().clone();
    let _ = leash.send(&Report::Listening { ports, notes }, &[]);
    Ok(Some(engine))
}

/// Wakes a loop when there is something to read.
fn register(poll: &Poll, fd: &dyn AsFd, token: Token) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)
}

impl Engine {
    /// Serves until told to stop, or until the RTSP server is lost; then ends in order.
    fn serve(mut self, leash: &Link) -> io::Result<()> {
        let outcome = self.watch(leash);
        self.end();
        outcome
    }

    fn watch(&mut self, leash: &Link) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(16);
        leash.set_nonblocking(true)?;
        register(&poll, leash, LEASH)?;
        register(&poll, self.requests.bell(), BELL)?;
        let mut link = self.link.take();
        if let Some(link) = &link {
            register(&poll, link, LINK)?;
        }
        let mut published = Nanos(0);
        loop {
            let rest = self.requests.apply().turning(now()).unwrap_or(PUBLISH_EVERY);
            match poll.poll(&mut events, Some(rest.min(PUBLISH_EVERY).duration())) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            loop {
                match leash.receive::<Order>() {
                    Ok(Received::Message(Order::Peer, fds)) => {
                        let new = peer::welcome(fds, &self.users, &mut self.requests)?;
                        let Some(new) = new else { continue };
                        // Dropping the old one takes it out of the poll.
                        register(&poll, &new, LINK)?;
                        link = Some(new);
                    }
                    Ok(Received::Message(Order::Stop, _) | Received::Closed) => return Ok(()),
                    Ok(Received::Message(Order::Start { .. }, _)) => {}
                    Ok(Received::Empty) => break,
                    Err(e) => {
                        tracing::error!("the supervisor's message was not understood: {e}");
                        break;
                    }
                }
            }
            if let Some(open) = &link
                && !self.requests.serve(open)
            {
                link = None;
                self.requests.reset();
            }
            if link.is_none() {
                self.requests.serve_alone();
            }
            if self.rtsp.is_finished() {
                // The supervisor starts another engine, which has one.
                return Err(io::Error::other("the RTSP thread has ended"));
            }
            let at = now();
            self.meet_arrivals(at);
            self.webrtc.look(at);
            let turned = self.requests.apply().turn(at);
            self.scenes.end_tests(at);
            if at.since(published) >= PUBLISH_EVERY
                || turned
                || self.scenes.newest() > self.told_scene
                || self.is_news()
                || self.recorder.take_news()
            {
                published = at;
                self.try_doors(leash);
                self.publish(at);
            }
        }
    }

    /// Looks whether an address that was missing is there.
    fn try_doors(&mut self, leash: &Link) {
        if !self.doors.try_again() {
            return;
        }
        let missing = self.doors.missing().join("; ");
        tracing::info!(
            "the RTSP server listens at an address that was missing; now missing: {missing:?}"
        );
        *self.view.missing.lock() = missing;
        let report = Report::Listening { ports: self.doors.ports().clone(), notes: Vec::new() };
        if let Err(e) = leash.send(&report, &[]) {
            tracing::error!("cannot report to the supervisor: {e}");
        }
    }

    fn publish(&mut self, at: Nanos) {
        for cam in &self.cameras {
            if cam.thread.is_finished() {
                let mut state = cam.state.lock();
                state.connected = false;
                "this camera's thread has ended; see the log".clone_into(&mut state.error);
            }
        }
        let state = EngineState {
            pid: std::process::id(),
            started_ms: self.started_ms,
            main_camera: self.switchboard.main_camera(),
            cameras: self.cameras.iter().map(|c| c.state.lock().clone()).collect(),
            streams: self.switchboard.streams().iter().map(|s| s.state(at)).collect(),
            sessions: u32::try_from(
                self.view.clients.lock().iter().filter(|c| c.state != "paused").count(),
            )
            .unwrap_or(u32::MAX),
            webrtc_sessions: self.webrtc_view.count(),
            clock: clock::state(),
            events: self.hotplug.events(),
            recordings: self.recorder.states(),
            storage: self.recorder.storage(),
            media_events: self.recorder.events(),
            ptz: self.requests.apply().ptz_states(at),
            scenes: self.scenes.states(),
            scene_events: self.scenes.events(),
        };
        self.told_scene = state.scene_events.last().map_or(0, |event| event.number);
        self.scenes.note_ptz(&state.ptz);
        self.recorder.meet(&state.cameras);
        self.recorder.look(at);
        self.arrivals.told = state.events.last().map_or(0, |event| event.number);
        if !self.state.set(&state) {
            tracing::warn!("the engine's state is too long for its cell");
        }
        let panics = self.cameras.iter().map(|c| c.panics.load(Ordering::Relaxed)).collect();
        self.requests.apply().measure(&state);
        self.requests.apply().measure_devices();
        let tap = self.tap_view.figures();
        let tap_clients = self.tap_view.clients.lock().clone();
        *self.shown.lock() = ops::Shown { engine: state, panics, tap, tap_clients };
    }

    /// Ends in order: first the clients, who get their goodbyes, then the cameras.
    fn end(mut self) {
        let mut walk = Walk::stop(Plane::Engine);
        self.view.stop.store(true, Ordering::Release);
        self.tap_view.stop.store(true, Ordering::Release);
        self.webrtc_view.end();
        drop(self.tap.take());
        drop(self.webrtc);
        // Before the cameras end: what they have given so far is in the files.
        self.recorder.end();
        tracing::info!("{}", walk.done("recordings", None));
        self.rtsp_bell.ring();
        if let Some(panic) = self.rtsp.join() {
            tracing::error!(panic, "the RTSP thread had panicked");
        }
        tracing::info!("{}", walk.done("streams", None));
        drop(self.cameras);
        tracing::info!("{}", walk.done("cameras", None));
    }
}

/// Starts the frame tap. Streams go on without it if its socket cannot be had.
fn start_tap(config: &Config, world: tap::serve::World) -> Option<Thread> {
    let usual = || config.data.join("run/tap.sock");
    let path = config.tap.socket.clone().unwrap_or_else(usual);
    let stop = Stop::new(Arc::clone(&world.bell));
    let started = tap::serve::Server::new(&path, world).and_then(|server| {
        Thread::start("tap", stop, move |_| match guard(|| server.run()) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::error!("the frame tap's loop failed: {e}"),
            Err(panic) => tracing::error!(panic, "the frame tap has panicked"),
        })
    });
    started.map_err(|e| tracing::warn!("no frame tap: {e}")).ok()
}

fn start_camera(
    id: u32,
    config: CameraConfig,
    spec: CameraSpec,
    switchboard: &Switchboard,
    tap: (&tap::Hub, &Arc<tap::view::View>),
    (desk, glimpses, scenes, desk_bell): (&Arc<Desk>, &Arc<Glimpses>, &Arc<Scenes>, &Bell),
    hotplug: &Arc<Watch>,
) -> io::Result<(Cam, apply::Camera)> {
    let bell = Arc::new(Bell::new()?);
    let make = |kind, codec, bitrate| {
        Stream::create(id, kind, codec, geometry_for(bitrate), bell.try_clone()?)
    };
    // It may become JPEG pictures while it runs, some of which are to fit.
    let (main, main_publisher) = make(Kind::Main, Codec::H264, config.bitrate.max(8_000_000))?;
    let (sub, sub_publisher) = make(Kind::Sub, Codec::H264, config.sub_bitrate)?;
    // JPEG pictures are a tenth of a megabyte each: a ring like that of 16 Mbit/s.
    let (mjpeg, mjpeg_publisher) = make(Kind::Mjpeg, Codec::Jpeg, 16_000_000)?;
    for stream in [main, sub, mjpeg] {
        switchboard.add(stream);
    }
    let camera_tap = tap::CameraTap::new(id, bell.try_clone()?, Arc::clone(tap.1));
    tap.0.add(Arc::clone(&camera_tap));
    match &spec {
        CameraSpec::Publish { name } => _ = desk.open(name, bell.try_clone()?),
        CameraSpec::V4l2(v4l2) => hotplug.expect(id, &v4l2.device),
        _ => {}
    }
    hotplug.wake(bell.try_clone()?);
    let state = Arc::new(Mutex::new(CameraState {
        id,
        name: config.name.clone(),
        source: spec.shown(),
        stable_id: match &spec {
            CameraSpec::V4l2(v4l2) => {
                v4l2.device.strip_prefix("id=").unwrap_or_default().to_owned()
            }
            _ => String::new(),
        },
        error: "starting".to_owned(),
        ..CameraState::default()
    }));
    let panics = Arc::<AtomicU64>::default();
    // More than there are settings: all of them come at once when control has started.
    let (orders, receiver) = bounded(256);
    let handles = Arc::new(capture::Handles::new(Arc::clone(scenes)));
    let own = config.clone();
    let task = capture::Task {
        id,
        config,
        spec,
        publishers: Publishers {
            main: main_publisher,
            sub: sub_publisher,
            mjpeg: mjpeg_publisher,
            tap: camera_tap,
        },
        glimpses: Arc::clone(glimpses),
        bell: bell.try_clone()?,
        state: Arc::clone(&state),
        orders: receiver,
        desk: Arc::clone(desk),
        panics: Arc::clone(&panics),
        handles: Arc::clone(&handles),
        desk_bell: desk_bell.try_clone()?,
        hotplug: Arc::clone(hotplug),
    };
    let told = orders.clone();
    let camera = apply::Camera::new(id, own, Arc::clone(&state), handles, told, bell.try_clone()?);
    let own_bell = bell.try_clone()?;
    let thread =
        Thread::start(&format!("cam-{id}"), Stop::new(bell), move |stop| capture::run(task, stop))?;
    Ok((Cam { state, panics, orders, bell: own_bell, thread }, camera))
}

/// A camera's configuration and what its SPEC says.
type Source = (CameraConfig, CameraSpec);

/// A camera that nobody has configured.
fn found(source: String) -> Result<Source, String> {
    let spec = source.parse::<CameraSpec>().map_err(|e| e.0)?;
    Ok((CameraConfig { source, ..CameraConfig::default() }, spec))
}

/// The cameras: those of the configuration, or all that are found, or the test camera.
fn cameras_of(config: &Config) -> Result<(Vec<Source>, Vec<String>), String> {
    if !config.cameras.is_empty() {
        let mut out = Vec::new();
        for camera in &config.cameras {
            let spec = camera.source.parse::<CameraSpec>().map_err(|e| e.0)?;
            out.push((camera.clone(), spec));
        }
        out.extend(added_cameras(config)?);
        return Ok((out, Vec::new()));
    }
    let mut notes = Vec::new();
    // Those of an engine before this one come first, be they there or not.
    let known = roster::read(&config.data);
    let mut out = known.iter().cloned().map(found).collect::<Result<Vec<_>, _>>()?;
    for device in devices::outline() {
        if device.role != devices::Role::Camera {
            continue;
        }
        if let Some(problem) = &device.problem {
            notes.push(format!("{} ({}): {problem}", device.path.display(), device.card));
        }
        if out.len() < MAX_CAMERAS && !roster::knows(&known, &device.id) {
            // Its number may be another when it comes back.
            let by_number = || found(format!("v4l2:{}", device.path.display()));
            out.push(found(format!("v4l2:id={}", device.id)).or_else(|_| by_number())?);
        }
    }
    out.extend(added_cameras(config)?);
    if out.is_empty() {
        out.push(found("test:".to_owned())?);
        notes.push(
            "no camera was found, so this is the built-in test camera; one that is plugged in \
             takes its place"
                .to_owned(),
        );
    }
    Ok((out, notes))
}

/// Cameras of other servers that were added over REST.
fn added_cameras(config: &Config) -> Result<Vec<Source>, String> {
    let streams = config.added.iter();
    let streams = streams.filter(|spec| matches!(spec.parse(), Ok(CameraSpec::Rtsp { .. })));
    streams.take(MAX_CAMERAS).cloned().map(found).collect()
}

/// A client takes one descriptor, and the usual soft limit of 1024 is soon reached.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    fill_random(&mut key);
    key
}

fn random_word() -> u64 {
    let mut word = [0; 8];
    fill_random(&mut word);
    u64::from_ne_bytes(word)
}

fn fill_random(bytes: &mut [u8]) {
    let mut done = 0;
    while done < bytes.len() {
        // Fails only when interrupted before the kernel's pool is ready, at boot.
        if let Ok(n) =
            rustix::rand::getrandom(&mut bytes[done..], rustix::rand::GetRandomFlags::empty())
        {
            done += n;
        }
    }
}
