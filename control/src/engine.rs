//! The engine as the control plane meets it: its published state, questions with deadlines, and
//! the rings of JPEG streams.
//!
//! The engine may go and come back at any time. Questions that wait for an answer are asked again
//! when it is back within their deadline, so a restart is a delay and not an error.

use crate::fmp4::{Broadcast, News};
use crate::http::respond::Fault;
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, LoginNews, Received};
use lensd_ffi::region::Region;
use lensd_ffi::ring::{Missed, RingReader};
use lensd_ffi::state::{CameraState, EngineState, StateReader, StreamState};
use lensd_ffi::time::{Nanos, Stamp, now};
use lensd_ffi::unit::Codec;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Questions that may wait at a time.
const MAX_ASKS: usize = 1024;
/// A question for a still that is younger than this also answers who comes now: the picture is
/// then at most this much older than the request.
const COALESCE: Nanos = Nanos::from_millis(50);
/// How old the newest picture of a live stream may be to be sent at once.
const FRESH: Nanos = Nanos::from_secs(2);
/// An engine that has said nothing for so long hangs; it says something twice a second.
const HUNG: Nanos = Nanos::from_secs(5);
/// How long the engine may take to open a ring.
const RING_TIME: Nanos = Nanos::from_secs(5);

/// Names a connection for as long as that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnKey {
    /// Place in the table of connections.
    pub(crate) index: usize,
    /// Tells successive connections in one place apart.
    pub(crate) generation: u64,
}

/// A picture by the ring that it is in, counted over all rings of its stream, and its number there.
pub(crate) type Place = (u64, u64);

/// How a question ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The engine's answer.
    Answer(Answer),
    /// A still picture.
    Picture { jpeg: Arc<Vec<u8>>, capture: Stamp, stream: String },
    /// No answer in time.
    Late,
}

/// A question that has ended, and who waits for it.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ask: Ask,
    pub(crate) outcome: Outcome,
    pub(crate) waiters: Vec<ConnKey>,
    /// The set of settings that it was asked for.
    pub(crate) set: Option<u64>,
}

#[derive(Debug)]
struct Pending {
    ask: Ask,
    asked: Nanos,
    deadline: Nanos,
    waiters: Vec<ConnKey>,
    /// Where the still lies, while its ring is being opened.
    unit: Option<(String, u64)>,
    retried: bool,
    set: Option<u64>,
}

#[derive(Debug)]
struct Peer {
    link: Link,
    state: StateReader<Region>,
    memory: Arc<Region>,
}

/// A stream's ring, and who reads it.
#[derive(Debug, Default)]
struct Feed {
    reader: Option<RingReader<Region>>,
    /// Tells successive rings of the stream apart: sequence numbers begin anew in each.
    epoch: u64,
    subscribed: bool,
    /// The question for the ring, while it is open.
    asked: Option<u64>,
    viewers: usize,
    /// Whether the last question for the ring was refused, so that it is logged once.
    refused: bool,
    /// The newest picture as a part of a multipart body, made once for all viewers.
    part: Option<(u64, Arc<Vec<u8>>)>,
    /// The picture that WebSockets got last.
    shown: Option<Place>,
    /// Its video for players, while somebody plays it.
    video: Option<Box<Broadcast>>,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    peer: Option<Peer>,
    state: EngineState,
    /// Whether this incarnation has said anything yet.
    published: bool,
    /// When it was found to have said something last.
    heard: Nanos,
    bell: Bell,
    next_id: u64,
    logins: Vec<LoginNews>,
    pending: BTreeMap<u64, Pending>,
    feeds: BTreeMap<String, Feed>,
    finished: Vec<Finished>,
}

impl Engine {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            peer: None,
            state: EngineState::default(),
            published: false,
            heard: Nanos(0),
            bell: Bell::new()?,
            next_id: 1,
            logins: Vec::new(),
            pending: BTreeMap::new(),
            feeds: BTreeMap::new(),
            finished: Vec::new(),
        })
    }

    /// The bell that the engine rings at each unit of a subscribed stream.
    pub(crate) const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// The link's descriptor, if there is a link.
    pub(crate) fn link(&self) -> Option<BorrowedFd<'_>> {
        self.peer.as_ref().map(|p| p.link.as_fd())
    }

    /// Meets another incarnation: `[memory, link]`. What was open with the last one is opened anew.
    pub(crate) fn attach(&mut self, mut fds: Vec<OwnedFd>, now: Nanos) -> io::Result<()> {
        self.detach();
        if fds.len() != 2 {
            return Err(io::Error::other("the engine's memory or link did not come with it"));
        }
        let link = Link::from_fd(fds.remove(1));
        link.set_nonblocking(true)?;
        let memory = Arc::new(Region::open(fds.remove(0))?);
        let state = StateReader::attach(Arc::clone(&memory))
            .ok_or_else(|| io::Error::other("the engine's memory is too small"))?;
        self.peer = Some(Peer { link, state, memory });
        let watched = self.feeds.iter().filter(|(_, f)| f.viewers > 0).map(|(n, _)| n.clone());
        for stream in watched.collect::<Vec<_>>() {
            self.subscribe(&stream, now);
        }
        for id in self.pending.keys().copied().collect::<Vec<_>>() {
            self.send_again(id, now);
        }
        Ok(())
    }

    /// The engine is gone: its rings are dead and its link is closed.
    pub(crate) fn detach(&mut self) {
        self.peer = None;
        self.published = false;
        for feed in self.feeds.values_mut() {
            (feed.reader, feed.asked, feed.subscribed, feed.part) = (None, None, false, None);
        }
        self.feeds.retain(|_, f| f.viewers > 0);
        self.pending
            .retain(|_, p| !matches!(p.ask, Ask::Subscribe { .. } | Ask::Unsubscribe { .. }));
    }

    /// Whether the engine is there and has published its state.
    pub(crate) fn is_running(&mut self) -> bool {
        self.refresh();
        self.published
    }

    /// The same in a word, which also says that it has hung for a while: its state is old then.
    pub(crate) fn word(&mut self) -> &'static str {
        match self.is_running() {
            true if now().since(self.heard) > HUNG => "stalled",
            true => "running",
            false => "starting",
        }
    }

    /// Its state, the last that is known.
    pub(crate) fn state(&mut self) -> &EngineState {
        self.refresh();
        &self.state
    }

    fn refresh(&mut self) {
        if let Some(peer) = &mut self.peer
            && let Some(state) = peer.state.read_new()
        {
            self.state = state;
            self.published = true;
            self.heard = now();
        }
    }

    /// The JPEG stream of a camera.
    pub(crate) fn jpeg_stream(&mut self, camera: u32) -> Option<StreamState> {
        let state = self.state();
        // Others may be JPEG pictures for a while; this one always is.
        let name = format!("cam{camera}/mjpeg");
        state.streams.iter().find(|s| s.name == name).cloned()
    }

    /// A stream by its own name or as `stream1` and `stream2` of the active camera.
    pub(crate) fn find_stream(&mut self, name: &str) -> Option<StreamState> {
        let state = self.state();
        let name = match name {
            "stream1" => format!("cam{}/main", state.main_camera),
            "stream2" => format!("cam{}/sub", state.main_camera),
            name => name.to_owned(),
        };
        state.streams.iter().find(|s| s.name == name).cloned()
    }

    /// The JPEG stream that a name of a camera or of one of its streams means.
    pub(crate) fn pictures_of(&mut self, name: &str) -> Option<String> {
        let camera = match (name, self.find_stream(name)) {
            ("stream1" | "stream2" | "active", _) => self.state().main_camera,
            (_, Some(stream)) => stream.camera,
            (name, None) => camera_number(name)?,
        };
        self.jpeg_stream(camera).map(|stream| stream.name)
    }

    /// The video stream that a name of it or of its camera means.
    pub(crate) fn video_of(&mut self, name: &str) -> Option<String> {
        let found = match name {
            "active" => self.find_stream("stream1"),
            name => self.find_stream(name).or_else(|| {
                let camera = camera_number(name)?;
                let streams = &self.state().streams;
                streams.iter().find(|s| s.camera == camera && s.codec != Codec::Jpeg).cloned()
            }),
        };
        found.filter(|stream| stream.codec != Codec::Jpeg).map(|stream| stream.name)
    }

    /// A camera; 0: the active one.
    pub(crate) fn camera(&mut self, camera: u32) -> Option<CameraState> {
        let state = self.state();
        let id = if camera == 0 { state.main_camera } else { camera };
        state.cameras.iter().find(|c| c.id == id).cloned()
    }

    /// Asks, for `waiter`. The answer comes out of [`Engine::take_finished`].
    pub(crate) fn ask(
        &mut self,
        ask: Ask,
        waiter: ConnKey,
        patience: Nanos,
        now: Nanos,
    ) -> Result<(), Fault> {
        if matches!(ask, Ask::Still { .. }) {
            let same = self
                .pending
                .values_mut()
                .find(|p| p.ask == ask && p.unit.is_none() && now.since(p.asked) < COALESCE);
            if let Some(pending) = same {
                pending.waiters.push(waiter);
                return Ok(());
            }
        }
        if let Ask::Still { camera, .. } = ask {
            self.open_for_still(camera, now);
        }
        self.start(ask, vec![waiter], patience, now).map(|_| ())
    }

    /// Asks for something whose outcome nobody waits for.
    pub(crate) fn ask_alone(&mut self, ask: Ask, patience: Nanos, now: Nanos) -> Result<(), Fault> {
        self.start(ask, Vec::new(), patience, now).map(|_| ())
    }

    /// Asks for a set of settings; its number comes back with the answer.
    pub(crate) fn ask_for_board(
        &mut self,
        set: u64,
        ask: Ask,
        patience: Nanos,
        now: Nanos,
    ) -> Result<(), Fault> {
        let id = self.start(ask, Vec::new(), patience, now)?;
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.set = Some(set);
        }
        Ok(())
    }

    /// Tells the engine something that needs no answer.
    pub(crate) fn tell(&mut self, ask: Ask, now: Nanos) -> Result<(), Fault> {
        self.start(ask, Vec::new(), RING_TIME, now).map(|_| ())
    }

    /// The memory of the engine that was met.
    pub(crate) fn memory(&self) -> Option<Arc<Region>> {
        self.peer.as_ref().map(|p| Arc::clone(&p.memory))
    }

    fn start(
        &mut self,
        ask: Ask,
        waiters: Vec<ConnKey>,
        patience: Nanos,
        now: Nanos,
    ) -> Result<u64, Fault> {
        if self.peer.is_none() {
            return Err(away());
        }
        if self.pending.len() >= MAX_ASKS {
            return Err(Fault::unavailable("BUSY", "too many requests wait for the engine"));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.send(id, &ask)?;
        let deadline = now.plus(patience);
        let pending =
            Pending { ask, asked: now, deadline, waiters, unit: None, retried: false, set: None };
        self.pending.insert(id, pending);
        Ok(id)
    }

    fn send(&self, id: u64, ask: &Ask) -> Result<(), Fault> {
        let Some(peer) = &self.peer else { return Err(away()) };
        let bell = matches!(ask, Ask::Subscribe { .. }).then(|| self.bell.as_fd());
        let fds: Vec<BorrowedFd<'_>> = bell.into_iter().collect();
        peer.link.send(&Asked { id, ask: ask.clone() }, &fds).map_err(|e| {
            if e.kind() == std::io::ErrorKind::InvalidInput {
                // Nothing that time mends.
                let message = "what is asked is too long for the engine: send less at once";
                return Fault::new(413, "TOO_LARGE", "Content too large", message);
            }
            tracing::warn!("cannot ask the engine: {e}");
            Fault::unavailable("ENGINE_STARTING", "the engine does not take questions now")
        })
    }

    fn send_again(&mut self, id: u64, now: Nanos) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.unit = None;
        let ask = pending.ask.clone();
        if let Ask::Still { camera, .. } = ask {
            self.open_for_still(camera, now);
        }
        // If that fails the deadline answers.
        let _ = self.send(id, &ask);
    }

    /// Sees to it that the ring in which a still will appear is open. The question for the ring
    /// goes ahead of the one for the still on the same link, so it is answered first.
    fn open_for_still(&mut self, camera: u32, now: Nanos) {
        let Some(camera) = self.camera(camera) else { return };
        if let Some(stream) = self.jpeg_stream(camera.id) {
            self.open(&stream.name, now);
        }
    }

    fn open(&mut self, stream: &str, now: Nanos) {
        let feed = self.feeds.entry(stream.to_owned()).or_default();
        let alive = feed.reader.as_ref().is_some_and(|r| !r.is_closed());
        if !alive && feed.asked.is_none() {
            feed.reader = None;
            self.subscribe(stream, now);
        }
    }

    fn subscribe(&mut self, stream: &str, now: Nanos) {
        let ask = Ask::Subscribe { stream: stream.to_owned() };
        let id = self.start(ask, Vec::new(), RING_TIME, now).ok();
        if let Some(feed) = self.feeds.get_mut(stream) {
            feed.asked = id;
        }
    }

    /// Takes the engine's answers. False: it is gone.
    pub(crate) fn handle_link(&mut self, now: Nanos) -> bool {
        while let Some(peer) = &self.peer {
            match peer.link.receive::<Answered>() {
                Ok(Received::Message(answered, fds)) => self.handle_answer(answered, fds, now),
                Ok(Received::Empty) => return true,
                Ok(Received::Closed) => break,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("an answer of the engine that is none: {e}");
                }
                Err(e) => {
                    tracing::warn!("the link to the engine broke: {e}");
                    break;
                }
            }
        }
        self.detach();
        false
    }

    fn handle_answer(&mut self, answered: Answered, fds: Vec<OwnedFd>, now: Nanos) {
        let id = answered.id;
        if id == Answered::UNASKED {
            if let Answer::Logins { logins } = answered.answer {
                self.logins.extend(logins.into_iter().take(LoginNews::MOST));
                self.logins.truncate(LoginNews::MOST);
            }
            return;
        }
        let Some(pending) = self.pending.get_mut(&id) else { return };
        match (&pending.ask, answered.answer) {
            (Ask::Subscribe { stream }, answer) => {
                let stream = stream.clone();
                self.pending.remove(&id);
                self.handle_ring(&stream, answer, fds, now);
            }
            (Ask::Unsubscribe { .. }, _) => _ = self.pending.remove(&id),
            (Ask::Still { .. }, Answer::Unit { stream, seq }) => {
                pending.unit = Some((stream, seq));
                self.finish_still(id, now);
            }
            (Ask::Stamped { .. }, Answer::Picture { stream, capture }) => {
                let jpeg = fds.into_iter().next().and_then(read_picture);
                let outcome = jpeg.map_or(Outcome::Late, |jpeg| Outcome::Picture {
                    jpeg: Arc::new(jpeg),
                    capture,
                    stream,
                });
                self.finish(id, outcome);
            }
            (_, answer) => self.finish(id, Outcome::Answer(answer)),
        }
    }

    fn handle_ring(&mut self, stream: &str, answer: Answer, fds: Vec<OwnedFd>, now: Nanos) {
        let Some(feed) = self.feeds.get_mut(stream) else { return };
        feed.asked = None;
        let reader = match (answer, fds.into_iter().next()) {
            (Answer::Ring, Some(fd)) => Region::open(fd)
                .map_err(|e| e.to_string())
                .and_then(|r| RingReader::attach(Arc::new(r)).map_err(|e| format!("{e:?}"))),
            (Answer::Fault { message, .. }, _) => Err(message),
            _ => Err("the answer held no ring".to_owned()),
        };
        match reader {
            Ok(reader) => {
                feed.reader = Some(reader);
                feed.subscribed = true;
                feed.epoch += 1;
                feed.part = None;
                feed.refused = false;
            }
            Err(e) if feed.refused => tracing::debug!(stream, "still no ring: {e}"),
            Err(e) => {
                feed.refused = true;
                tracing::warn!(stream, "cannot open the ring: {e}; trying again");
            }
        }
        let waiting =
            self.pending.iter().filter(|(_, p)| p.unit.as_ref().is_some_and(|(s, _)| s == stream));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.finish_still(id, now);
        }
        self.rest(stream, now);
    }

    /// Reads the picture of a question whose answer said where it lies.
    fn finish_still(&mut self, id: u64, now: Nanos) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let Some((stream, seq)) = pending.unit.clone() else { return };
        let feed = self.feeds.entry(stream.clone()).or_default();
        if let Some(reader) = &feed.reader {
            let mut jpeg = Vec::new();
            match read_unit(reader, seq, &mut jpeg) {
                Ok(capture) => {
                    let picture = Outcome::Picture { jpeg: Arc::new(jpeg), capture, stream };
                    return self.finish(id, picture);
                }
                Err(_) if pending.retried => return self.finish(id, Outcome::Late),
                // The ring may be that of a stream that was stopped and started again.
                Err(_) => {
                    pending.retried = true;
                    feed.reader = None;
                    feed.subscribed = false;
                    return self.send_again(id, now);
                }
            }
        }
        if feed.asked.is_none() {
            self.subscribe(&stream, now);
        }
    }

    fn finish(&mut self, id: u64, outcome: Outcome) {
        if let Some(p) = self.pending.remove(&id) {
            self.finished.push(Finished { ask: p.ask, outcome, waiters: p.waiters, set: p.set });
        }
    }

    /// Ends the subscription of a stream that nobody watches; stills do not need it to run.
    fn rest(&mut self, stream: &str, now: Nanos) {
        let waits = self.pending.values().any(|p| matches!(p.ask, Ask::Still { .. }));
        let Some(feed) = self.feeds.get_mut(stream) else { return };
        if feed.viewers == 0 && feed.subscribed && !waits {
            feed.subscribed = false;
            (feed.part, feed.video) = (None, None);
            let ask = Ask::Unsubscribe { stream: stream.to_owned() };
            let _ = self.start(ask, Vec::new(), RING_TIME, now);
        }
    }

    /// Who has logged in at the engine, or failed to, since the last call.
    pub(crate) fn take_logins(&mut self) -> Vec<LoginNews> {
        std::mem::take(&mut self.logins)
    }

    /// Questions that have ended since the last call.
    pub(crate) fn take_finished(&mut self, now: Nanos) -> Vec<Finished> {
        let finished = std::mem::take(&mut self.finished);
        if !finished.is_empty() {
            for stream in self.feeds.keys().cloned().collect::<Vec<_>>() {
                self.rest(&stream, now);
            }
        }
        finished
    }

    /// Whether a question waits, so that time matters.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends the questions whose time is over.
    pub(crate) fn handle_timeout(&mut self, now: Nanos) {
        let late = self.pending.iter().filter(|(_, p)| p.deadline <= now).map(|(id, _)| *id);
        for id in late.collect::<Vec<_>>() {
            if let Some(Pending { ask: Ask::Subscribe { stream }, .. }) = self.pending.get(&id)
                && let Some(feed) = self.feeds.get_mut(stream)
            {
                feed.asked = None;
            }
            self.finish(id, Outcome::Late);
        }
        // A viewer's ring may have been refused (its camera was away) or ended: try again.
        let dead = self.feeds.iter().filter(|(_, f)| {
            let alive = f.reader.as_ref().is_some_and(|r| !r.is_closed());
            f.viewers > 0 && f.asked.is_none() && !(alive && f.subscribed)
        });
        for stream in dead.map(|(n, _)| n.clone()).collect::<Vec<_>>() {
            self.subscribe(&stream, now);
        }
    }

    /// Somebody watches a stream from now on.
    pub(crate) fn watch(&mut self, stream: &str, now: Nanos) {
        let feed = self.feeds.entry(stream.to_owned()).or_default();
        feed.viewers += 1;
        if !feed.subscribed && feed.asked.is_none() {
            self.subscribe(stream, now);
        }
    }

    /// Somebody watches it no longer.
    pub(crate) fn unwatch(&mut self, stream: &str, now: Nanos) {
        if let Some(feed) = self.feeds.get_mut(stream) {
            feed.viewers = feed.viewers.saturating_sub(1);
        }
        self.rest(stream, now);
    }

    /// The newest picture of a watched stream as a WebSocket's frame, once.
    pub(crate) fn newest_frame(&mut self, stream: &str, now: Nanos) -> Option<Arc<Vec<u8>>> {
        let feed = self.feeds.get_mut(stream)?;
        let reader = feed.reader.as_ref()?;
        let newest = reader.head().checked_sub(1)?;
        if feed.shown == Some((feed.epoch, newest)) {
            return None;
        }
        let mut jpeg = Vec::new();
        let capture = read_unit(reader, newest, &mut jpeg).ok()?;
        feed.shown = Some((feed.epoch, newest));
        (now.since(capture.mono) <= FRESH).then(|| crate::ws::frame_binary(&[&jpeg]))
    }

    /// The next fragment of a watched stream, made once for all who play it; none: not yet.
    pub(crate) fn next_fragment(&mut self, stream: &str, now: Nanos) -> Option<News> {
        let feed = self.feeds.get_mut(stream)?;
        let reader = feed.reader.as_ref()?;
        feed.video.get_or_insert_default().next(reader, feed.epoch, now)
    }

    /// What a watched stream has sent to its players since its last key frame.
    pub(crate) fn video(&self, stream: &str) -> Option<&Broadcast> {
        self.feeds.get(stream)?.video.as_deref()
    }

    /// The newest picture of a watched stream as a multipart part, unless `seen` is it.
    pub(crate) fn newest_part(
        &mut self,
        stream: &str,
        seen: Option<Place>,
        now: Nanos,
    ) -> Option<(Place, Arc<Vec<u8>>)> {
        let feed = self.feeds.get_mut(stream)?;
        let reader = feed.reader.as_ref()?;
        let newest = reader.head().checked_sub(1)?;
        if seen == Some((feed.epoch, newest)) {
            return None;
        }
        if feed.part.as_ref().is_none_or(|(seq, _)| *seq != newest) {
            let mut jpeg = Vec::new();
            let capture = read_unit(reader, newest, &mut jpeg).ok()?;
            if now.since(capture.mono) > FRESH {
                return None;
            }
            feed.part = Some((newest, Arc::new(crate::live::part(&jpeg, capture))));
        }
        let (seq, part) = feed.part.as_ref()?;
        Some(((feed.epoch, *seq), Arc::clone(part)))
    }
}

fn away() -> Fault {
    Fault::unavailable("ENGINE_STARTING", "the engine is starting; try again in a second")
}

fn read_unit(reader: &RingReader<Region>, seq: u64, out: &mut Vec<u8>) -> Result<Stamp, Missed> {
    let unit = reader.view(seq)?;
    if unit.meta.codec != Codec::Jpeg {
        return Err(Missed::Corrupt);
    }
    reader.copy(&unit, 0, unit.len, out)?;
    Ok(unit.meta.capture)
}

/// A camera number as people write it: `1`, `cam1`, `camera1`.
pub(crate) fn camera_number(text: &str) -> Option<u32> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let word = &text[..text.len() - digits.len()];
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    (plain && ["", "cam", "camera"].contains(&word)).then(|| digits.parse().ok()).flatten()
}

/// What a memfd of the engine holds; none: too much for a picture, or nothing.
fn read_picture(fd: OwnedFd) -> Option<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    /// Longest picture.
    const LONGEST: u64 = 32 << 20;
    let file = std::fs::File::from(fd);
    let length = file.metadata().ok().map(|of| of.len()).filter(|n| (1..=LONGEST).contains(n))?;
    let mut jpeg = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut jpeg, 0).ok().map(|()| jpeg)
}
