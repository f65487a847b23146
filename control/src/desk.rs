//! What handlers get: the engine, the door, who watches, and what is known of this server.

use crate::accounts::{Accounts, Passwords, Refusal, Table};
use crate::audit::{Audit, Event};
use crate::board::{Board, Events};
use crate::broker::{Broker, Fed};
use crate::carry::Carry;
use crate::catalogue::Shelf;
use crate::clients::Clients;
use crate::config::Config;
use crate::engine::{Engine, Finished, Outcome};
use crate::export::Export;
use crate::hls::Hls;
use crate::http::At;
use crate::http::auth::Door;
use crate::http::limit::Brake;
use crate::http::respond::{Fault, Response};
use crate::listeners::Listeners;
use crate::live::{self, Listener, Viewer};
use crate::media::{Media, Wish};
use crate::outbox::Outbox;
use crate::soap;
use crate::store::Store;
use crate::tls::Identity;
use crate::upload::Upload;
use crate::work::{Panicked, Work};
use lensd_ffi::auth::Lockout;
use lensd_ffi::link::{Ask, Report};
use lensd_ffi::region::Region;
use lensd_ffi::state::{ClientState, ControlState, StateWriter};
use lensd_ffi::time::Nanos;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use crate::engine::ConnKey;

/// Makes the response to a request whose question has ended.
/// None: something else will answer.
/// A change whose turn has come.
pub(crate) type Edit = Box<dyn FnOnce(&mut Desk, At)>;
pub(crate) type Finish = Box<dyn FnOnce(&mut Desk, &Ask, &Outcome, At) -> Option<Response>>;

/// The desk.
pub(crate) struct Desk {
    pub(crate) config: Config,
    pub(crate) door: Door,
    pub(crate) engine: Engine,
    /// Users, sessions, tokens. Workers change them: see [`Desk::change_accounts`].
    pub(crate) accounts: Arc<Mutex<Accounts>>,
    /// What a WS-UsernameToken is checked against.
    pub(crate) passwords: Passwords,
    /// Those that were used.
    pub(crate) tokens: soap::Used,
    /// What wrong ones cost.
    pub(crate) brake: Brake,
    /// Who did what.
    pub(crate) audit: Audit,
    /// Settings and measured values.
    pub(crate) board: Board<Self>,
    /// Lists that are being changed, by their settings, and who comes next.
    pub(crate) edits: BTreeMap<&'static str, VecDeque<Edit>>,
    /// What happened.
    pub(crate) events: Events,
    /// Who has subscribed to what happens, and how far they were told of it.
    pub(crate) broker: Broker<Self>,
    pub(crate) fed: Fed,
    /// What outlives the process.
    pub(crate) store: Arc<Store>,
    /// Recordings and what is said of them, for workers.
    pub(crate) shelf: Arc<Shelf>,
    /// The folder of recordings, snapshots and uploads, for workers.
    pub(crate) media: Media,
    /// Recordings that are copied to a medium.
    pub(crate) export: Export,
    /// Recordings that are carried to network storage.
    pub(crate) carry: Carry,
    /// Who waits for a test of it.
    pub(crate) storage_test: Option<ConnKey>,
    /// Clients of `/api/v1`.
    pub(crate) clients: Clients,
    /// Streams that are played by HLS.
    pub(crate) hls: Hls,
    /// Who listens to what happens before the cameras.
    pub(crate) listeners: Listeners,
    /// What the supervisor is to be told.
    pub(crate) reports: Vec<Report>,
    /// Threads for what would hold the loop up.
    pub(crate) work: Work<Self>,
    /// Threads for reading and writing long files, apart from those: a disk that hangs keeps
    /// nobody from logging in.
    pub(crate) disk: Work<Self>,
    /// Threads that push events to subscribers, who may be slow.
    pub(crate) push: Work<Self>,
    /// Threads that wait for digital inputs, if there are any.
    pub(crate) sense: Option<Work<Self>>,
    /// What these said last.
    pub(crate) inputs: Vec<Result<bool, String>>,
    /// Whether other devices are looked for now.
    pub(crate) searching: bool,
    /// Uploads under way; none while a thread has it.
    pub(crate) uploads: HashMap<ConnKey, Option<Upload>>,
    /// Whose next piece may come.
    pub(crate) resumed: Vec<ConnKey>,
    /// Pieces of files that were read for whom.
    pub(crate) chunks: Vec<(ConnKey, Vec<u8>)>,
    /// Messages to WebSockets.
    pub(crate) outbox: Outbox,
    /// Certificate and key.
    pub(crate) identity: Identity,
    pub(crate) started: At,
    /// Our own ports by name.
    pub(crate) own_ports: BTreeMap<String, u16>,
    /// Connections now, as the server counts them.
    pub(crate) connections: usize,
    /// Ports by name, as the supervisor wrote them down when all listened.
    ports: BTreeMap<String, u16>,
    writer: StateWriter<Region>,
    /// The newest table of users that was published.
    users_version: u64,
    /// Whether another one was published since the loop looked: logins that are kept may be void.
    pub(crate) users_changed: bool,
    waiting: HashMap<ConnKey, Finish>,
    /// What the engine has answered to sets of settings.
    set_answers: Vec<(u64, Outcome)>,
    /// Responses that jobs have made, for whoever still waits.
    made: Vec<(ConnKey, Response)>,
    /// Responses that are held back until a moment.
    held_back: BTreeMap<(Nanos, ConnKey), Response>,
    viewers: BTreeMap<ConnKey, Viewer>,
    /// The active camera at the last look.
    active: u32,
}

impl Desk {
    /// Reads the users, and publishes them in the plane's memory. Notes are for the person who
    /// started the server.
    pub(crate) fn new(
        config: Config,
        memory: Region,
        lockout: Lockout,
        at: At,
        notes: &mut Vec<String>,
    ) -> io::Result<Self> {
        let mut key = [0; 32];
        rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
        let store = Arc::new(Store::open_or_volatile(&config.data));
        notes.extend(store.notes().iter().cloned());
        notes.extend(
            store.fault().map(|why| format!("settings are lost at the next restart: {why}")),
        );
        let mut accounts = Accounts::new(Arc::clone(&store), config.open);
        notes.extend(accounts.take_over(&config.data, at.utc.millis()));
        if accounts.users().is_empty() {
            notes.push("there are no users, nobody can log in: `lensd user add`".to_owned());
        }
        let Table { version, users, passwords } = accounts.table();
        let memory = Arc::new(memory);
        let board = Board::new(Arc::clone(&memory), &store);
        let mut writer = StateWriter::new(memory);
        if !writer.set(&ControlState { users: users.clone() }) {
            return Err(io::Error::other("the table of users is too large"));
        }
        let (shelf, media) = (Arc::new(Shelf::new(&config.data)), Media::new(&config.data));
        let machine_id = &config.system.machine_id;
        let carry = Carry::new(Arc::clone(&shelf), media.clone(), machine_id, &config.data);
        let mut desk = Self {
            door: Door::new(users, key, lockout, &config.limits),
            engine: Engine::new()?,
            board,
            edits: BTreeMap::new(),
            events: Events::default(),
            broker: Broker::default(),
            fed: Fed::default(),
            shelf,
            media,
            export: Export::default(),
            carry,
            storage_test: None,
            clients: Clients::default(),
            hls: Hls::default(),
            listeners: Listeners::default(),
            reports: Vec::new(),
            work: Work::new("work")?,
            disk: Work::new("disk")?.without_end(),
            push: Work::new("push")?.without_end(),
            sense: None,
            inputs: Vec::new(),
            searching: false,
            uploads: HashMap::new(),
            resumed: Vec::new(),
            chunks: Vec::new(),
            outbox: Outbox::default(),
            identity: Identity::new(&config.data),
            started: at,
            own_ports: BTreeMap::new(),
            connections: 0,
            ports: BTreeMap::new(),
            writer,
            users_version: version,
            users_changed: false,
            store,
            accounts: Arc::new(Mutex::new(accounts)),
            passwords,
            tokens: soap::Used::default(),
            brake: Brake::default(),
            audit: Audit::open(&config.data),
            waiting: HashMap::new(),
            set_answers: Vec::new(),
            made: Vec::new(),
            held_back: BTreeMap::new(),
            viewers: BTreeMap::new(),
            active: 0,
            config,
        };
        let media = desk.media.clone();
        // What nobody will finish, from before a crash.
        let swept =
            desk.disk.run(move || media.sweep(crate::upload::FOLDER), |_: &mut Self, (), _| ());
        debug_assert!(swept.is_ok(), "nothing waits yet");
        Ok(desk)
    }

    /// An answer for a connection whose handler returned `Reply::Later`.
    pub(crate) fn answer_later(&mut self, key: ConnKey, response: Response) {
        self.made.push((key, response));
    }

    /// The same at a moment that is still to come. What was held back is bounded by the
    /// connections, each of which waits for one answer.
    pub(crate) fn answer_at(&mut self, when: Nanos, key: ConnKey, response: Response) {
        self.held_back.insert((when, key), response);
    }

    /// Once a second: what others changed in files, and what is measured.
    pub(crate) fn look_around(&mut self) {
        self.ports.clear();
        self.look_at_identity();
    }

    /// Writes down who came through the door, and that tokens were used.
    pub(crate) fn settle_door(&mut self) {
        let now_ms = lensd_ffi::time::utc_now().millis();
        for news in self.door.take_news() {
            let from = news.from.to_string();
            let what = if news.success { "login" } else { "login failed" };
            let event = Event { what, user: &news.user, from: &from, ..Event::default() };
            self.audit.note(&event, now_ms);
        }
        for news in self.engine.take_logins() {
            let from = news.from.to_string();
            let what = if news.success { "login" } else { "login failed" };
            let details = Some(json!({ "by": "rtsp" }));
            let user = &news.user;
            self.audit
                .note(&Event { what, user, from: &from, details, ..Event::default() }, news.time);
        }
        let touched = self.door.take_touched();
        if touched.is_empty() {
            return;
        }
        let accounts = Arc::clone(&self.accounts);
        let job = move || {
            let mut accounts = accounts.lock();
            (accounts.touch(&touched, now_ms), accounts.table())
        };
        let noted = self.work.run(job, |desk: &mut Self, (done, table), _| {
            if let Err(e) = done {
                tracing::warn!("the use of tokens is not noted: {e}");
            }
            desk.publish_users(table);
        });
        if noted.is_err() {
            tracing::debug!("workers are busy: the use of tokens is not noted");
        }
    }

    /// Makes a table of users valid, here and in the engine, unless a newer one is.
    pub(crate) fn publish_users(&mut self, table: Table) {
        if table.version <= self.users_version {
            return;
        }
        self.users_version = table.version;
        if !self.writer.set(&ControlState { users: table.users.clone() }) {
            tracing::error!("the table of users is too large for the engine");
        }
        self.door.set_users(table.users);
        self.passwords = table.passwords;
        self.users_changed = true;
    }

    /// Lets a worker do something with the accounts, makes the outcome valid everywhere, and then
    /// does `then`, which runs in any case.
    ///
    /// # Errors
    /// 503 `BUSY` when too much work waits.
    pub(crate) fn with_accounts<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&Mutex<Accounts>) -> T + Send + 'static,
        then: impl FnOnce(&mut Self, Result<T, Fault>, At) + 'static,
    ) -> Result<(), Fault> {
        let accounts = Arc::clone(&self.accounts);
        let job = move || {
            let made = job(&accounts);
            (made, accounts.lock().table())
        };
        self.work.try_run(job, move |desk: &mut Self, made, at| match made {
            Ok((made, table)) => {
                desk.publish_users(table);
                then(desk, Ok(made), at);
            }
            Err(panicked) => then(desk, Err(panicked.into()), at),
        })
    }

    /// The same for a request: `finish` makes the response for `key`. **The handler returns
    /// `Reply::Later`.**
    ///
    /// # Errors
    /// 503 `BUSY` when too much work waits.
    pub(crate) fn change_accounts<T: Send + 'static>(
        &mut self,
        key: ConnKey,
        job: impl FnOnce(&Mutex<Accounts>) -> Result<T, Refusal> + Send + 'static,
        finish: impl FnOnce(&mut Self, T, At) -> Result<Response, Fault> + 'static,
    ) -> Result<(), Fault> {
        self.with_accounts(job, move |desk, made, at| {
            let response = made
                .and_then(|made| made.map_err(|refusal| refused(&refusal)))
                .and_then(|made| finish(desk, made, at));
            desk.answer_later(key, response.unwrap_or_else(|fault| fault.response(at)));
        })
    }

    /// Takes up another certificate, if there is one and HTTPS is on.
    pub(crate) fn look_at_identity(&mut self) {
        if !self.own_ports.contains_key("https") {
            return;
        }
        match self.identity.look() {
            None => {}
            Some(Ok(())) => tracing::info!("new connections are shown this TLS certificate now"),
            Some(Err(why)) => tracing::warn!("{why}; the TLS certificate stays as it is"),
        }
    }

    /// Ports by name, ours included; read at most once a second, once there is something to read.
    pub(crate) fn ports(&mut self) -> BTreeMap<String, u16> {
        if self.ports.is_empty() {
            let path: PathBuf = self.config.data.join("run/ports.json");
            let read = std::fs::read(path).ok();
            // One left over from an earlier run does not name our ports.
            let read: Option<BTreeMap<String, u16>> =
                read.and_then(|text| serde_json::from_slice(&text).ok());
            let ours = |ports: &BTreeMap<String, u16>| {
                self.own_ports.iter().all(|(name, port)| ports.get(name) == Some(port))
            };
            // Before all listen there is no file: what is missing now must not be missing later.
            self.ports = read.filter(ours).unwrap_or_default();
        }
        let mut ports = self.ports.clone();
        ports.extend(self.own_ports.clone());
        ports
    }

    /// Seconds since the start.
    pub(crate) fn uptime(&self, at: At) -> u64 {
        at.mono.since(self.started.mono).0 / 1_000_000_000
    }

    /// Asks the engine; `finish` makes the response for `key` when it answers, or does not.
    pub(crate) fn ask(
        &mut self,
        ask: Ask,
        patience: Nanos,
        key: ConnKey,
        finish: impl FnOnce(&mut Self, &Ask, &Outcome, At) -> Response + 'static,
        at: At,
    ) -> Result<(), Fault> {
        let then = |desk: &mut Self, ask: &Ask, outcome: &Outcome, at| {
            Some(finish(desk, ask, outcome, at))
        };
        self.ask_then(ask, patience, key, then, at)
    }

    /// The same, where more may have to be done before there is a response: then `finish` makes
    /// none, and [`Desk::answer_later`] follows.
    pub(crate) fn ask_then(
        &mut self,
        ask: Ask,
        patience: Nanos,
        key: ConnKey,
        finish: impl FnOnce(&mut Self, &Ask, &Outcome, At) -> Option<Response> + 'static,
        at: At,
    ) -> Result<(), Fault> {
        self.engine.ask(ask, key, patience, at.mono)?;
        self.waiting.insert(key, Box::new(finish));
        Ok(())
    }

    /// Lets a thread do `job`; `finish` makes the response for `key` from it. It runs also if the
    /// client has gone meanwhile, for what was done is done. **The handler returns
    /// `Reply::Later`.**
    ///
    /// # Errors
    /// 503 `BUSY` when too much work waits.
    pub(crate) fn answer_by_work<T: Send + 'static>(
        &mut self,
        key: ConnKey,
        job: impl FnOnce() -> T + Send + 'static,
        finish: impl FnOnce(&mut Self, T, At) -> Result<Response, Fault> + 'static,
    ) -> Result<(), Fault> {
        self.work.try_run(job, finish_for(key, finish))
    }

    /// The same for a job that works on files of the media folder, which may be on a disk that
    /// hangs.
    ///
    /// # Errors
    /// 503 `BUSY` when too much work waits.
    pub(crate) fn answer_by_disk<T: Send + 'static>(
        &mut self,
        key: ConnKey,
        job: impl FnOnce() -> T + Send + 'static,
        finish: impl FnOnce(&mut Self, T, At) -> Result<Response, Fault> + 'static,
    ) -> Result<(), Fault> {
        self.disk.try_run(job, finish_for(key, finish))
    }

    /// Does what follows from the jobs that are done.
    pub(crate) fn follow_work(&mut self, at: At) {
        for then in self.work.take_done() {
            then(self, at);
        }
        for then in self.disk.take_done() {
            then(self, at);
        }
        for then in self.push.take_done() {
            then(self, at);
        }
        for then in self.sense.as_mut().map(Work::take_done).unwrap_or_default() {
            then(self, at);
        }
    }

    /// Lets a thread read a piece of a file for a connection; it comes by [`Desk::chunks`]. False:
    /// too much work waits.
    pub(crate) fn read_chunk(&mut self, key: ConnKey, wish: Wish) -> bool {
        let job = move || wish.read();
        // Nothing of it: the connection ends.
        let then = move |desk: &mut Self, made: Result<Vec<u8>, Panicked>, _: At| {
            desk.chunks.push((key, made.unwrap_or_default()));
        };
        self.disk.try_run(job, then).is_ok()
    }

    /// What the engine has answered to sets of settings since the last call.
    pub(crate) fn take_set_answers(&mut self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut self.set_answers)
    }

    /// Responses that have become ready.
    pub(crate) fn take_ready(&mut self, at: At) -> Vec<(ConnKey, Response)> {
        let mut ready = std::mem::take(&mut self.made);
        ready.extend(self.hls.take_ready(at));
        while let Some(entry) = self.held_back.first_entry().filter(|e| e.key().0 <= at.mono) {
            let ((_, key), response) = entry.remove_entry();
            ready.push((key, response));
        }
        for Finished { ask, outcome, waiters, set } in self.engine.take_finished(at.mono) {
            if let Some(set) = set {
                self.set_answers.push((set, outcome));
                continue;
            }
            for key in waiters {
                if let Some(finish) = self.waiting.remove(&key) {
                    ready.extend(finish(self, &ask, &outcome, at).map(|response| (key, response)));
                }
            }
        }
        ready
    }

    /// A connection is gone, and with it whatever it waited for.
    pub(crate) fn forget(&mut self, key: ConnKey, now: Nanos) {
        self.waiting.remove(&key);
        self.broker.forget(key);
        self.hls.forget(key);
        self.held_back.retain(|(_, held), _| *held != key);
        self.uploads.remove(&key);
        if let Some(Viewer::Pictures(viewer)) = self.viewers.remove(&key) {
            self.engine.unwatch(&viewer.stream, now);
        }
    }

    /// Ends what nobody plays by HLS any more, and who has waited long enough for it.
    pub(crate) fn tick_hls(&mut self, at: At) {
        let late = self.hls.tick(&mut self.engine, at);
        self.made.extend(late);
    }

    /// A connection watches from now on.
    pub(crate) fn watch(&mut self, key: ConnKey, viewer: Viewer, now: Nanos) {
        if let Viewer::Pictures(viewer) = &viewer {
            self.engine.watch(&viewer.stream, now);
        }
        self.viewers.insert(key, viewer);
    }

    /// Connections that watch.
    pub(crate) fn viewers(&self) -> Vec<ConnKey> {
        self.viewers.keys().copied().collect()
    }

    /// Takes up what happened; whether viewers are to be looked at: somebody is to be told of that
    /// or that nothing happened, or it is time to see whether their logins still hold.
    pub(crate) fn look_at_events(&mut self, is_time: bool) -> bool {
        let news = self.events.look(&self.audit, &self.board.notices, self.engine.state());
        is_time && !self.viewers.is_empty()
            || news && self.viewers.values().any(|v| matches!(v, Viewer::Events(_)))
    }

    /// Tells the engine how many listen to what happens before the cameras, when that has changed.
    pub(crate) fn tell_listeners(&mut self, now: Nanos) {
        if !self.engine.is_running() {
            return;
        }
        let engine = self.engine.state().started_ms;
        let streams = self.viewers.values().filter(|v| matches!(v, Viewer::Events(_))).count();
        let sockets = self.clients.map.values().filter(|client| client.measured).count();
        let all = streams + sockets + self.broker.len();
        if let Some(listeners) = self.listeners.news(engine, all, now)
            && self.engine.tell(Ask::Listen { listeners }, now).is_ok()
        {
            self.listeners.told(engine, listeners);
        }
    }

    /// Those who watch a stream, as clients of it.
    pub(crate) fn watching(&self, stream: &str) -> Vec<ClientState> {
        let client = |viewer: &Viewer| match viewer {
            Viewer::Pictures(v) if v.stream == stream => Some(v.client.clone()),
            _ => None,
        };
        self.viewers.values().filter_map(client).collect()
    }

    /// Whether the login that somebody watches with stands no more.
    pub(crate) fn is_viewer_over(&self, key: ConnKey, at: At) -> bool {
        let who = match self.viewers.get(&key) {
            Some(Viewer::Pictures(viewer)) => &viewer.who,
            Some(Viewer::Events(listener)) => &listener.who,
            None => return false,
        };
        !self.door.users().holds(who, at.utc.millis())
    }

    /// What such a viewer is told at the end.
    pub(crate) fn last_part(&self, key: ConnKey) -> Option<Arc<Vec<u8>>> {
        match self.viewers.get(&key)? {
            Viewer::Events(_) => Some(Arc::new(b"event: over\ndata: {}\n\n".to_vec())),
            Viewer::Pictures(_) => None,
        }
    }

    /// What a viewer who has taken everything gets next.
    pub(crate) fn next_part(&mut self, key: ConnKey, now: Nanos) -> Option<Arc<Vec<u8>>> {
        let viewer = match self.viewers.get_mut(&key)? {
            Viewer::Pictures(viewer) => viewer,
            Viewer::Events(listener) => return tell(listener, &self.events, now),
        };
        if !viewer.opened {
            viewer.opened = true;
            return Some(live::opening());
        }
        let (at, part) = self.engine.newest_part(&viewer.stream, viewer.seen, now)?;
        viewer.note(at, part.len());
        Some(part)
    }

    /// Answers who waits for a test of network storage.
    fn follow_storage_test(&mut self, now: Nanos) {
        let Some(key) = self.storage_test else { return };
        let Some(tested) = self.carry.take_tested(now) else { return };
        self.storage_test = None;
        let at = At { mono: now, utc: lensd_ffi::time::utc_now() };
        let response = match tested {
            Ok(()) => Response::success(json!({ "tested": true }), at),
            Err(why) => Fault::unavailable("STORAGE_UNAVAILABLE", why).response(at),
        };
        self.carry.wake();
        self.made.push((key, response));
    }

    /// Takes viewers of the active camera's stream along when another camera becomes active.
    pub(crate) fn follow(&mut self, now: Nanos) {
        self.follow_storage_test(now);
        let active = self.engine.state().main_camera;
        if active == self.active {
            return;
        }
        self.active = active;
        let Some(stream) = self.engine.jpeg_stream(active) else { return };
        for viewer in self.viewers.values_mut() {
            let Viewer::Pictures(viewer) = viewer else { continue };
            if !viewer.follows || viewer.stream == stream.name {
                continue;
            }
            self.engine.watch(&stream.name, now);
            self.engine.unwatch(&viewer.stream, now);
            viewer.stream.clone_from(&stream.name);
            viewer.seen = None;
        }
    }
}

/// Makes the response for `key` from what a job has made.
fn finish_for<T>(
    key: ConnKey,
    finish: impl FnOnce(&mut Desk, T, At) -> Result<Response, Fault> + 'static,
) -> impl FnOnce(&mut Desk, Result<T, Panicked>, At) + 'static {
    move |desk: &mut Desk, made: Result<T, Panicked>, at| {
        let response = made.map_err(Fault::from).and_then(|made| finish(desk, made, at));
        let response = response.unwrap_or_else(|fault| fault.response(at));
        desk.made.push((key, response));
    }
}

/// What is so seldom said that a connection would seem dead without it.
const HEARTBEAT: Nanos = Nanos::from_secs(15);
/// Most events that are told at a time.
const MOST_TOLD: usize = 100;

/// What a listener is told next: events, or after a while that there were none.
fn tell(listener: &mut Listener, events: &Events, now: Nanos) -> Option<Arc<Vec<u8>>> {
    let mut out = String::new();
    if listener.told.is_none() {
        out.push_str("retry: 2000\n\n");
    }
    for event in events.since(listener.seen).take(MOST_TOLD) {
        listener.seen = event.id;
        if listener.who.allows(event.access()) {
            let (id, kind) = (event.id, event.kind);
            // JSON has no line breaks.
            out.push_str(&format!("id: {id}\nevent: {kind}\ndata: {}\n\n", event.value()));
        }
    }
    if out.is_empty() && listener.told.is_some_and(|told| now.since(told) >= HEARTBEAT) {
        out.push_str(":\n\n");
    }
    if out.is_empty() {
        return None;
    }
    listener.told = Some(now);
    Some(Arc::new(out.into_bytes()))
}

/// The one map from what accounts refuse to HTTP.
pub(crate) fn refused(refusal: &Refusal) -> Fault {
    use crate::store::StoreError;
    let message = refusal.to_string();
    match refusal {
        Refusal::NotFound(_) => Fault::not_found(message),
        Refusal::Conflict(_) => Fault::new(409, "CONFLICT", "Conflict", message),
        Refusal::Denied(_) => Fault::new(403, "PERMISSION_DENIED", "Permission denied", message),
        Refusal::Invalid(key, _) => Fault::invalid_value(key, message),
        Refusal::Store(StoreError::NoRoom(_)) => {
            Fault::unavailable("INSUFFICIENT_STORAGE", message)
        }
        Refusal::Store(StoreError::Refused(_)) => Fault::invalid_value("", message),
        Refusal::Store(_) => Fault::new(500, "INTERNAL", "Internal error", message),
    }
}
