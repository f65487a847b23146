//! One stream being recorded, on a thread of its own: a disk that does not answer holds nobody else.

use super::folder::{Folder, What, sync_folder};
use super::keeper::{Job, Store};
use super::plan::Plan;
use super::session::{Output, Session, Unit, encoding};
use crate::publish::{Stream, Subscription};
use crate::thread::Stop;
use crossbeam::channel::{Receiver, TrySendError};
use lensd_ffi::bell::Bell;
use lensd_ffi::catalogue::{MediaType, NewRecord, Progress};
use lensd_ffi::ring::{Cursor, Next, UnitView};
use lensd_ffi::state::RecordingState;
use lensd_ffi::time::{Nanos, Stamp, now, utc_now};
use lensd_ffi::unit::UnitMeta;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often it looks around when no unit comes.
const TICK: Nanos = Nanos::from_millis(100);
/// How long a fresh key frame is waited for before the newest one of the ring will do.
const FRESH: Nanos = Nanos::from_millis(200);
/// A stream whose newest picture is older does not flow.
const FLOWS: Nanos = Nanos::from_secs(2);
/// Most bytes that are kept from before the start.
const MOST_BEFORE: usize = 128 << 20;
/// How long it waits until it tries storage again.
const RETRY: Nanos = Nanos::from_secs(2);
/// How long a write takes that is told as a stall.
const STALL: Nanos = Nanos::from_secs(3);

/// What a reel is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Record like this, pictures of a camera that gives so many a second; what is recorded already
    /// goes on. So much of it was recorded before the engine's start.
    Start(Box<Plan>, f64, Nanos),
    /// The bounds of files and of the recording are those of this plan now.
    Bounds(Box<Plan>),
    /// The camera gives so many pictures a second now.
    Rate(f64),
    /// End the file.
    Stop,
    /// Leave out what comes.
    Pause,
    /// Go on.
    Resume,
    /// Keep so much from before the start.
    Keep(Nanos),
}

/// What a reel says of itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<RecordingState>,
    /// Since when it is at the disk.
    busy: Mutex<Option<Nanos>>,
    pub(super) progress: Mutex<Option<Progress>>,
    /// For how long was recorded, in nanoseconds of capture time.
    spent: AtomicU64,
}

impl Shared {
    /// As others see it.
    pub(super) fn shown(&self, at: Nanos) -> RecordingState {
        let mut state = self.state.lock().clone();
        let busy = *self.busy.lock();
        if busy.is_some_and(|since| at.since(since) > STALL) {
            "stalled".clone_into(&mut state.state);
            "storage does not answer".clone_into(&mut state.error);
        }
        state
    }

    /// For how long was recorded as captured, so that the limit holds over a restart.
    pub(super) fn spent(&self) -> Nanos {
        Nanos(self.spent.load(Ordering::Relaxed))
    }

    pub(super) fn set_spent(&self, spent: Nanos) {
        self.spent.store(spent.0, Ordering::Relaxed);
    }

    /// Whether a recording is asked for, be it that storage has no room.
    pub(super) fn records(&self) -> bool {
        self.state.lock().started_ms > 0
    }
}

/// The file that is open.
struct Open {
    file: File,
    name: String,
    /// Bytes that are whole.
    good: u64,
    /// Capture time of the last picture, UTC ms.
    until_ms: i64,
}

/// See the module.
pub(super) struct Reel {
    pub(super) stream: Arc<Stream>,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: Receiver<Order>,
    pub(super) folder: Folder,
    pub(super) store: Arc<Store>,
    fps: f64,
    subscription: Option<Subscription>,
    cursor: Cursor,
    before: VecDeque<Unit>,
    before_bytes: usize,
    keep: Nanos,
    plan: Option<Plan>,
    session: Option<Session>,
    head: Option<(Vec<u8>, UnitMeta)>,
    open: Option<Open>,
    /// Until when a fresh key frame is waited for.
    fresh_until: Option<Nanos>,
    /// Why it does not write, and since when.
    halted: Option<Nanos>,
}

impl Reel {
    pub(super) fn new(
        stream: Arc<Stream>,
        shared: Arc<Shared>,
        orders: Receiver<Order>,
        folder: Folder,
        store: Arc<Store>,
    ) -> Self {
        let cursor = Cursor::at_head(stream.ring());
        Self {
            stream,
            shared,
            orders,
            folder,
            store,
            fps: 0.0,
            subscription: None,
            cursor,
            before: VecDeque::new(),
            before_bytes: 0,
            keep: Nanos(0),
            plan: None,
            session: None,
            head: None,
            open: None,
            fresh_until: None,
            halted: None,
        }
    }

    /// Runs until told to stop, or until there is nothing to do.
    pub(super) fn run(mut self, stop: &Stop, bell: &Bell) -> io::Result<()> {
        loop {
            let wait = self.session.as_ref().and_then(Session::deadline);
            let wait = wait.map_or(TICK, |until| until.since(now()).min(TICK));
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::try_from(wait.0).unwrap_or(0) };
            let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&wait));
            bell.take();
            while let Ok(order) = self.orders.try_recv() {
                self.take(order);
            }
            if stop.is_set() {
                self.end();
                return Ok(());
            }
            if self.plan.is_none() && self.keep.0 == 0 {
                self.subscription = None;
                continue;
            }
            if self.subscription.is_none() {
                self.subscription = Some(Subscription::new(&self.stream, bell.try_clone()?));
                self.cursor = if self.flows(now()) {
                    Cursor::at_key(self.stream.ring())
                } else {
                    Cursor::at_head(self.stream.ring())
                };
            }
            self.read(now());
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Start(plan, fps, spent) => {
                self.fps = fps;
                self.start(*plan, spent, now());
            }
            Order::Bounds(bounds) => {
                if let Some(session) = &mut self.session {
                    session.set_bounds(&bounds);
                }
            }
            Order::Rate(fps) => {
                self.fps = fps;
                if let Some(session) = &mut self.session {
                    session.set_rate(fps);
                    self.perform(now());
                }
            }
            Order::Stop => self.end(),
            Order::Keep(span) => {
                self.keep = span;
                if !self.shared.records() {
                    self.set_state(if span.0 > 0 { "armed" } else { "off" });
                }
                if span.0 == 0 {
                    self.before.clear();
                    self.before_bytes = 0;
                }
            }
            Order::Pause => {
                if let Some(session) = &mut self.session {
                    session.pause();
                    self.set_state("paused");
                    self.perform(now());
                }
            }
            Order::Resume => {
                if let Some(session) = &mut self.session {
                    session.resume();
                    self.set_state("recording");
                    self.perform(now());
                }
            }
        }
    }

    fn set_state(&self, word: &str) {
        word.clone_into(&mut self.shared.state.lock().state);
    }

    fn start(&mut self, plan: Plan, spent: Nanos, at: Nanos) {
        if self.plan.is_some() {
            return;
        }
        let mut state = self.shared.state.lock();
        plan.mode.name().clone_into(&mut state.mode);
        "waiting".clone_into(&mut state.state);
        state.started_ms = utc_now().millis();
        state.error = self.stream.away().unwrap_or_default();
        (state.dropped_units, state.dropped_groups) = (0, 0);
        drop(state);
        let mut session = Session::new(plan.clone(), self.fps, spent);
        self.shared.set_spent(spent);
        self.plan = Some(plan);
        self.stream.want_key();
        if self.keep.0 > 0 && !self.before.is_empty() {
            for unit in std::mem::take(&mut self.before) {
                let _ = session.handle_unit(unit, at);
            }
            self.before_bytes = 0;
            self.session = Some(session);
            self.perform(at);
            return;
        }
        self.session = Some(session);
        if self.subscription.is_none() {
            self.cursor = Cursor::at_head(self.stream.ring());
        }
        self.fresh_until = Some(at.plus(FRESH));
    }

    /// Ends the recording; what is kept from before the next start goes on.
    fn end(&mut self) {
        if let Some(session) = &mut self.session {
            session.close();
        }
        self.perform(now());
        self.finish_off();
    }

    fn finish_off(&mut self) {
        (self.session, self.plan, self.fresh_until, self.halted) = (None, None, None, None);
        let mut state = self.shared.state.lock();
        if state.started_ms > 0 {
            state.started_ms = 0;
            self.store.tell_main();
            let word = if self.keep.0 > 0 { "armed" } else { "off" };
            word.clone_into(&mut state.state);
        }
    }

    fn read(&mut self, at: Nanos) {
        loop {
            match self.cursor.next(self.stream.ring()) {
                Next::Unit(view) => match self.copy(&view) {
                    Some(unit) => self.handle(unit, at),
                    None => self.lost(1),
                },
                Next::Lapped(units) => self.lost(units),
                Next::Empty => break,
                Next::Corrupt => {
                    self.cursor = Cursor::at_head(self.stream.ring());
                    break;
                }
            }
            if self.orders.len() > 1 {
                break;
            }
        }
        let at = now();
        if let Some(until) = self.fresh_until
            && at > until
        {
            // Else the camera is away, or only begins to encode: what comes is waited for.
            if !self.flows(at) {
                self.fresh_until = Some(at.plus(FRESH));
                return;
            }
            // Whoever passes pictures through cannot be asked: then it begins a little early.
            self.fresh_until = None;
            if let Some(key) = self.stream.ring().newest_key() {
                self.cursor = Cursor::at(key.seq);
                self.shared.state.lock().error.clear();
                return;
            }
        }
        if let Some(session) = &mut self.session {
            session.handle_time(at);
            self.shared.set_spent(session.spent());
        }
        self.perform(at);
        self.try_again(at);
    }

    /// Whether what is in the ring is of now, and not from before its camera went away or had no
    /// reader.
    fn flows(&self, at: Nanos) -> bool {
        if self.stream.silent().is_some() {
            return false;
        }
        let ring = self.stream.ring();
        let newest = ring.head().checked_sub(1).and_then(|seq| ring.view(seq).ok());
        newest.is_some_and(|unit| at.since(unit.meta.capture.mono) < FLOWS)
    }

    fn copy(&self, view: &UnitView) -> Option<Unit> {
        let (mut bytes, mut nals) = (Vec::new(), Vec::new());
        let ring = self.stream.ring();
        ring.copy(view, 0, view.len, &mut bytes).ok()?;
        ring.nals(view, &mut nals).ok()?;
        Some(Unit { meta: view.meta, bytes, nals })
    }

    /// Units were overwritten before they were read.
    fn lost(&mut self, units: u64) {
        if let Some(session) = &mut self.session {
            session.skip_to_key();
            let mut state = self.shared.state.lock();
            state.dropped_units += units;
            state.dropped_groups += 1;
            let (stream, groups) = (&state.stream, state.dropped_groups);
            tracing::warn!(
                stream,
                units,
                groups,
                "the disk is too slow: pictures are not recorded"
            );
        }
        self.before.clear();
        self.before_bytes = 0;
    }

    fn handle(&mut self, unit: Unit, at: Nanos) {
        let Some(session) = &mut self.session else { return self.keep(unit) };
        if self.halted.is_some() {
            return;
        }
        if session.handle_unit(unit, at).is_ok() {
            self.fresh_until = None;
        }
        self.perform(at);
    }

    /// Keeps the last seconds, beginning with a key frame.
    fn keep(&mut self, unit: Unit) {
        if self.before.is_empty() && !unit.meta.key {
            return;
        }
        self.before_bytes += unit.bytes.len();
        let newest = unit.meta.capture.mono;
        self.before.push_back(unit);
        // Where the second group begins.
        while let Some(second) = self.before.iter().skip(1).position(|u| u.meta.key) {
            let next = self.before[second + 1].meta.capture.mono;
            let enough = newest.since(next) >= self.keep;
            if !enough && self.before_bytes <= MOST_BEFORE {
                break;
            }
            for gone in self.before.drain(..=second) {
                self.before_bytes -= gone.bytes.len();
            }
        }
        if self.before_bytes > MOST_BEFORE {
            self.before.clear();
            self.before_bytes = 0;
        }
    }

    fn perform(&mut self, at: Nanos) {
        while let Some(output) = self.session.as_mut().and_then(Session::poll_output) {
            let done = match output {
                Output::Open { head, first } => {
                    self.head = Some((head, first));
                    Ok(())
                }
                Output::Fragment { bytes, until, played } => self.write(&bytes, until, played),
                Output::Close => {
                    self.close("");
                    Ok(())
                }
                Output::WantKey => {
                    self.stream.want_key();
                    Ok(())
                }
                Output::Done => {
                    self.finish_off();
                    return;
                }
            };
            if let Err(e) = done {
                self.halt(&e, at);
            }
        }
    }

    fn write(&mut self, bytes: &[u8], until: Stamp, played: u64) -> io::Result<()> {
        self.store.has_room()?;
        *self.shared.busy.lock() = Some(now());
        let written = self.write_now(bytes);
        *self.shared.busy.lock() = None;
        let first = written?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.until_ms = until.utc.millis();
        let duration_ms = i64::try_from(played / 90).unwrap_or(i64::MAX);
        let mut state = self.shared.state.lock();
        if state.state != "paused" {
            "recording".clone_into(&mut state.state);
        }
        state.error.clear();
        state.filename.clone_from(&open.name);
        (state.duration_ms, state.bytes) = (duration_ms, open.good);
        if first.is_some() {
            state.id = 0;
        }
        drop(state);
        let size = open.good;
        let progress = Progress { timestamp_end_ms: until.utc.millis(), duration_ms, size };
        *self.shared.progress.lock() = Some(progress);
        if let Some(new) = first {
            self.store.tell_main();
            self.tell(Job::Begun { new: Box::new(new), shared: Arc::clone(&self.shared) });
        }
        Ok(())
    }

    /// Writes a fragment, before the first one what the file begins with.
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<Option<NewRecord>> {
        let (camera, kind) = (self.stream.camera, self.stream.kind.name());
        if let Some((head, first)) = &self.head {
            let (mut file, name) = {
                // Whoever compares files with rows meanwhile knows it as soon as it sees it.
                let mut writing = self.store.writing.lock();
                let made = self.folder.create(What::Recording, first.capture.utc, camera, kind)?;
                writing.insert(made.1.clone());
                made
            };
            let new = self.row(&name, first);
            let begun = file.write_all(&[head.as_slice(), bytes].concat());
            if let Err(e) = begun.and_then(|()| file.sync_all()) {
                // Nothing of it is worth keeping.
                let _ = std::fs::remove_file(self.folder.path(&name));
                self.store.writing.lock().remove(&name);
                return Err(e);
            }
            let good = (head.len() + bytes.len()) as u64;
            let until_ms = first.capture.utc.millis();
            self.open = Some(Open { file, name, good, until_ms });
            self.head = None;
            return Ok(Some(new));
        }
        let open = self.open.as_mut().ok_or_else(|| io::Error::other("no file is open"))?;
        open.file.write_all(bytes)?;
        open.file.sync_data()?;
        open.good += bytes.len() as u64;
        Ok(None)
    }

    fn row(&self, name: &str, first: &UnitMeta) -> NewRecord {
        let plan = self.plan.clone().unwrap_or_default();
        let fps = match plan.mode {
            super::plan::Mode::Video => self.fps,
            super::plan::Mode::TimeLapse { rate, .. } | super::plan::Mode::SlowMotion { rate } => {
                f64::from(rate)
            }
        };
        NewRecord {
            filename: name.to_owned(),
            media_type: MediaType::Video,
            encoding: encoding(first.codec),
            camera: self.stream.camera,
            stream: self.stream.name.clone(),
            mode: plan.mode.name().to_owned(),
            timestamp_start_ms: first.capture.utc.millis(),
            resolution: format!("{}x{}", first.width, first.height),
            fps,
            title: plan.title,
        }
    }

    /// Closes the file; `error`: what went wrong, else empty.
    fn close(&mut self, error: &str) {
        self.head = None;
        if let Some(open) = self.open.take() {
            let Open { name: filename, until_ms, .. } = open;
            self.tell(Job::Ended { filename, until_ms, error: error.to_owned() });
            let mut state = self.shared.state.lock();
            if state.state == "recording" {
                "waiting".clone_into(&mut state.state);
            }
        }
    }

    /// Storage failed: the file ends where it was whole.
    fn halt(&mut self, e: &io::Error, at: Nanos) {
        let why = match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "full",
            _ => "gone",
        };
        if let Some(open) = &mut self.open {
            // Perhaps in vain; mending finds the last whole fragment.
            let _ = open.file.set_len(open.good);
            let _ = open.file.seek(SeekFrom::End(0));
        }
        if let Some(session) = &mut self.session {
            session.give_up();
        }
        let text = if why == "full" { "the disk is full".to_owned() } else { e.to_string() };
        self.close(&format!("ended early: {text}"));
        let mut state = self.shared.state.lock();
        why.clone_into(&mut state.state);
        state.error.clone_from(&text);
        let stream = state.stream.clone();
        drop(state);
        tracing::error!(stream, "recording cannot go on: {text}");
        self.store.note("recording.error", self.stream.camera, "", &text);
        if self.store.options.lock().resume {
            self.halted = Some(at);
        } else {
            self.finish_off();
            let mut state = self.shared.state.lock();
            why.clone_into(&mut state.state);
        }
    }

    /// Tries again when there may be room.
    fn try_again(&mut self, at: Nanos) {
        if self.halted.is_some_and(|since| at.since(since) > RETRY) {
            if self.store.has_room().is_err() {
                self.halted = Some(at);
            } else {
                self.halted = None;
                self.set_state("waiting");
                self.stream.want_key();
            }
        }
    }

    /// What the keeper does not take now it finds at the next start.
    fn tell(&self, job: Job) {
        if let Err(TrySendError::Full(_)) = self.store.jobs.try_send(job) {
            tracing::warn!("the catalogue does not keep up: recordings are entered later");
        }
    }
}

impl Drop for Reel {
    fn drop(&mut self) {
        // Of a thread that panicked: the file is mended at once instead of at the next start.
        self.close("the recorder failed");
        let _ = sync_folder(self.folder.root());
    }
}
