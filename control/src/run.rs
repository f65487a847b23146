//! The process: its start, its one loop, its end.

use crate::config::Config;
use crate::desk::Desk;
use crate::http::At;
use crate::local;
use crate::net::{Beacon, Serve};
use crate::{inputs, onvif, settings, v1};
use lensd_ffi::link::{self, Link, Order, Received, Report};
use lensd_ffi::listen::Doors;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::stages::{Plane, Walk};
use lensd_ffi::time::Nanos;
use mio::net::{TcpListener, UnixListener};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::process::ExitCode;

const LEASH: Token = Token(0);
const LINK: Token = Token(1);
const BELL: Token = Token(2);
const WORK: Token = Token(3);
/// `lensd user`. Beyond any token of the server's.
const LOCAL: Token = Token(usize::MAX - 1);
/// WS-Discovery.
const BEACON: Token = Token(usize::MAX - 2);
/// The server's own tokens begin here.
const LISTENER: Token = Token(4);

/// How long connections may take to end.
const GRACE: Nanos = Nanos::from_millis(400);
/// How often deadlines are looked at while there are any.
const TICK: Nanos = Nanos::from_millis(250);
/// How often files are looked at.
const LOOK: Nanos = Nanos::from_secs(1);

/// The body of `lensd control`: serves until the supervisor says stop, or is gone.
pub fn run(leash: Link) -> ExitCode {
    match start(&leash).and_then(|mut house| house.live(&leash)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("{reason}");
            let _ = leash.send(&Report::Failed { reason }, &[]);
            ExitCode::from(1)
        }
    }
}

struct House {
    poll: Poll,
    desk: Desk,
    serve: Serve,
    local: Option<UnixListener>,
    beacon: Option<Beacon>,
    doors: Doors,
    next_tick: Nanos,
    next_look: Nanos,
    /// When the last connections are cut; set once the end has begun.
    end: Option<Nanos>,
    stopping: Walk,
}

/// Takes the first order, publishes the users, binds the sockets, and reports both.
fn start(leash: &Link) -> Result<House, String> {
    let mut walk = Walk::start(Plane::Control);
    let first = link::first_order::<Config>(leash)?;
    let (config, memory, lockout) = first.ok_or("the supervisor is gone")?;
    tell(&mut walk, "factory", None);
    let addresses =
        [("http", config.http_address()?, false), ("https", config.https_address()?, true)];
    // Before anything is said to the supervisor: then there is no order of it that we would leave
    // unread if this fails, with which the reason would be lost.
    let (mut listeners, mut doors) = (Vec::new(), Doors::default());
    for (name, address, secure) in addresses {
        let Some(address) = address else { continue };
        let listener = TcpListener::from_std(doors.open(name, address)?);
        listeners.push((listener, secure));
    }
    let mut notes = doors.missing();
    let none = Some("any server").filter(|_| listeners.is_empty());
    tell(&mut walk, "network", notes.first().map(String::as_str).or(none));
    let at = At::now();
    let max = allow_descriptors(config.max_connections, &mut notes);
    let mut desk = Desk::new(config, memory, lockout, at, &mut notes).map_err(|e| e.to_string())?;
    let fault = desk.store.fault().map(str::to_owned);
    tell(&mut walk, "storage", fault.as_deref());
    if let Some(why) = fault {
        desk.board.notices.add("error", format!("settings are not kept: {why}"), at);
    }
    if let Some(why) = desk.config.trouble.clone() {
        desk.board.notices.add("error", why, at);
    }
    let nobody = "anybody: nobody can log in";
    let nobody = Some(nobody).filter(|_| desk.door.users().users.is_empty());
    tell(&mut walk, "users", nobody);
    if nobody.is_some() {
        desk.board.notices.add("warning", "there are no users: `lensd user add`", at);
    }
    settings::adopt_all(&mut desk);
    tell(&mut walk, "settings", None);
    let report = |e: io::Error| format!("cannot report to the supervisor: {e}");
    leash.send(&Report::Sealed, &[]).map_err(report)?;

    note_doors(&mut desk, &doors);
    for why in doors.missing() {
        desk.board.notices.add("error", why, at);
    }
    if addresses[1].1.is_some() {
        let missing = match desk.identity.look() {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(format!("{why}; https waits for another one")),
            None => Some("https waits for a certificate in the data folder".to_owned()),
        };
        tell(&mut walk, "certificate", missing.as_deref());
        if let Some(why) = missing {
            desk.board.notices.add("error", why.as_str(), at);
            notes.push(why);
        }
    } else {
        tell(&mut walk, "certificate", None);
    }

    let poll = Poll::new().map_err(|e| e.to_string())?;
    let registry = poll.registry().try_clone().map_err(|e| e.to_string())?;
    let serve = Serve::new(listeners, registry, LISTENER, max).map_err(|e| e.to_string())?;
    leash.set_nonblocking(true).map_err(|e| e.to_string())?;
    watch(&poll, leash.as_fd(), LEASH).map_err(|e| e.to_string())?;
    watch(&poll, desk.engine.bell().as_fd(), BELL).map_err(|e| e.to_string())?;
    watch(&poll, desk.work.bell().as_fd(), WORK).map_err(|e| e.to_string())?;
    watch(&poll, desk.disk.bell().as_fd(), WORK).map_err(|e| e.to_string())?;
    watch(&poll, desk.push.bell().as_fd(), WORK).map_err(|e| e.to_string())?;
    if let Some(bell) = inputs::begin(&mut desk, at).map_err(|e| e.to_string())? {
        watch(&poll, bell, WORK).map_err(|e| e.to_string())?;
    }
    let local = listen_locally(&poll, &desk, &mut notes);
    let beacon = be_found(&poll, &mut desk, &mut notes, at);
    tell(&mut walk, "servers", None);
    leash.send(&listening(&doors, beacon.as_ref(), notes), &[]).map_err(report)?;
    let stopping = Walk::stop(Plane::Control);
    let (next_tick, next_look) = (at.mono, at.mono);
    Ok(House { poll, desk, serve, local, beacon, doors, next_tick, next_look, end: None, stopping })
}

/// Where we listen, for the supervisor.
fn listening(doors: &Doors, beacon: Option<&Beacon>, notes: Vec<String>) -> Report {
    let mut ports = doors.ports().clone();
    ports.extend(beacon.map(|beacon| ("discovery".to_owned(), beacon.port())));
    Report::Listening { ports, notes }
}

/// The same for clients.
fn note_doors(desk: &mut Desk, doors: &Doors) {
    desk.own_ports.clone_from(doors.ports());
    let missing = doors.missing().join("; ");
    let why = Some(missing).filter(|why| !why.is_empty());
    let why: Option<String> = why.map(|why| why.chars().take(300).collect());
    desk.board.own("http-error", Held::of(why), None);
}

/// Pictures are served without it.
fn listen_locally(poll: &Poll, desk: &Desk, notes: &mut Vec<String>) -> Option<UnixListener> {
    let listening = local::listen(&desk.config.data).and_then(|mut listener| {
        poll.registry().register(&mut listener, LOCAL, Interest::READABLE)?;
        Ok(listener)
    });
    let why = |e| notes.push(format!("`lensd user` cannot reach this server: {e}"));
    listening.map_err(why).ok()
}

/// Who knows the address does without it.
fn be_found(poll: &Poll, desk: &mut Desk, notes: &mut Vec<String>, at: At) -> Option<Beacon> {
    let port = desk.config.discovery_port;
    match Beacon::open(port, poll.registry(), BEACON, at) {
        Ok(beacon) => Some(beacon),
        Err(e) => {
            let why = format!("WS-Discovery cannot use UDP port {port}: {e}");
            notes.push(why.clone());
            onvif::note_discovery(desk, &[], Some(&why));
            None
        }
    }
}

/// Says that a stage is done, or what it goes on without.
fn tell(walk: &mut Walk, name: &str, missing: Option<&str>) {
    let line = walk.done(name, missing);
    match missing {
        None => tracing::info!("{line}"),
        Some(_) => tracing::warn!("{line}"),
    }
}

/// Makes the process's limit of descriptors fit the cap of connections, or the cap the limit.
fn allow_descriptors(connections: usize, notes: &mut Vec<String>) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Descriptors that are not connections.
    const OTHERS: u64 = 96;
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + OTHERS;
    if limit.current.is_none_or(|have| have >= wanted) {
        return connections;
    }
    let possible = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let raised = Rlimit { current: Some(possible), maximum: limit.maximum };
    let have = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => possible,
        Err(_) => limit.current.unwrap_or(possible),
    };
    let fits = usize::try_from(have.saturating_sub(OTHERS)).unwrap_or(connections).max(1);
    if fits < connections {
        notes.push(format!("only {fits} connections at a time: raise the limit of open files"));
    }
    fits.min(connections)
}

fn watch(poll: &Poll, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
}

impl House {
    /// The loop.
    fn live(&mut self, leash: &Link) -> Result<(), String> {
        let mut events = Events::with_capacity(256);
        loop {
            let patience = self.patience(At::now());
            match self.poll.poll(&mut events, Some(patience.duration())) {
                Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e.to_string()),
                _ => {}
            }
            let at = At::now();
            let (mut rung, mut heard) = (false, false);
            for event in &events {
                match event.token() {
                    LEASH => self.obey(leash, at),
                    LINK => self.hear_engine(at),
                    WORK => self.desk.follow_work(at),
                    BELL => rung |= self.desk.engine.bell().take(),
                    BEACON => heard = true,
                    LOCAL => {
                        if let Some(listener) = &self.local {
                            local::accept(listener, &mut self.desk);
                        }
                    }
                    _ => self.serve.handle_event(event, &mut self.desk, at),
                }
            }
            if let Some(beacon) = &mut self.beacon {
                beacon.turn(heard, &self.desk, at);
            }
            onvif::turn(&mut self.desk, at);
            self.serve.deliver(&mut self.desk, at);
            self.desk.settle_door();
            let told = self.desk.look_at_events(self.next_look <= at.mono);
            if onvif::turn(&mut self.desk, at) {
                self.serve.deliver(&mut self.desk, at);
            }
            if rung || told {
                self.serve.handle_bell(&mut self.desk, at);
            }
            if rung {
                v1::show(&mut self.desk, at);
                self.serve.deliver(&mut self.desk, at);
            }
            self.tick(at);
            settings::follow(&mut self.desk, at);
            if std::mem::take(&mut self.desk.users_changed) {
                v1::check_logins(&mut self.desk, at);
                onvif::check_logins(&mut self.desk, at);
            }
            // Else more turns would mean more messages: until then news gather.
            if !self.serve.is_telling() && self.desk.board.may_tell(at.mono) {
                // Who is answered is not to wait until a thousand others have their copy.
                self.serve.carry(&mut self.desk, at);
                v1::tell(&mut self.desk);
            }
            if !self.desk.reports.is_empty() {
                settings::write_down(&mut self.desk, at);
            }
            for report in self.desk.reports.drain(..) {
                if let Err(e) = leash.send(&report, &[]) {
                    tracing::error!("cannot report to the supervisor: {e}");
                }
            }
            self.serve.carry(&mut self.desk, at);
            if self.end.is_some_and(|end| self.serve.is_empty() || end <= at.mono) {
                let cut = Some("connections that did not end in time");
                tell(&mut self.stopping, "pictures", cut.filter(|_| !self.serve.is_empty()));
                let fault = self.desk.store.fault().map(str::to_owned);
                tell(&mut self.stopping, "storage", fault.as_deref());
                debug_assert!(self.stopping.is_over());
                settings::write_down(&mut self.desk, at);
                return Ok(());
            }
        }
    }

    /// How long nothing needs to be done without an event.
    fn patience(&self, at: At) -> Nanos {
        if self.serve.is_eager() {
            return Nanos(0);
        }
        let busy = !self.serve.is_empty() || self.desk.engine.is_waiting() || self.end.is_some();
        let next = if busy { self.next_tick.min(self.next_look) } else { self.next_look };
        let beacon = self.beacon.as_ref().and_then(Beacon::deadline);
        let deadlines = beacon.into_iter().chain(self.desk.board.news_deadline());
        deadlines.fold(next, Nanos::min).since(at.mono)
    }

    fn tick(&mut self, at: At) {
        if self.next_tick <= at.mono {
            self.next_tick = at.mono.plus(TICK);
            self.desk.engine.handle_timeout(at.mono);
            self.desk.follow(at.mono);
            v1::follow(&mut self.desk, at);
            self.desk.tick_hls(at);
            self.desk.board.look_at_engine();
            self.desk.tell_listeners(at.mono);
            self.serve.deliver(&mut self.desk, at);
            self.serve.handle_timeout(&mut self.desk, at);
        }
        if self.next_look <= at.mono {
            self.next_look = at.mono.plus(LOOK);
            self.try_doors(at);
            settings::tick(&mut self.desk, at);
            self.desk.tell_listeners(at.mono);
            v1::check_ends(&mut self.desk, at);
            onvif::tick(&mut self.desk, at);
            if let Some(beacon) = &mut self.beacon {
                beacon.look(&mut self.desk, at);
            }
            // After it, which reads the ports: who asks next gets them as they are then.
            self.desk.look_around();
        }
    }

    /// Looks whether an address that was missing is there.
    fn try_doors(&mut self, at: At) {
        if self.end.is_some() || !self.doors.try_again() {
            return;
        }
        note_doors(&mut self.desk, &self.doors);
        let missing = self.doors.missing();
        let text = "the HTTP server listens at an address that was missing";
        tracing::info!("{text}; now missing: {missing:?}");
        self.desk.board.notices.add("info", text, at);
        self.desk.reports.push(listening(&self.doors, self.beacon.as_ref(), Vec::new()));
    }

    /// Orders of the supervisor. That it is gone means stop.
    fn obey(&mut self, leash: &Link, at: At) {
        loop {
            match leash.receive::<Order>() {
                Ok(Received::Message(Order::Peer, fds)) => self.meet(fds, at),
                Ok(Received::Message(Order::Start { .. }, _)) => {}
                Ok(Received::Empty) => return,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("an order that is none: {e}");
                }
                Ok(Received::Message(Order::Stop, _) | Received::Closed) | Err(_) => {
                    let _ =
                        self.poll.registry().deregister(&mut SourceFd(&leash.as_fd().as_raw_fd()));
                    if let Some(mut beacon) = self.beacon.take() {
                        beacon.leave(&self.desk);
                    }
                    if self.end.is_none() {
                        tell(&mut self.stopping, "servers", None);
                    }
                    self.end.get_or_insert(at.mono.plus(GRACE));
                    return self.serve.stop(&mut self.desk, at);
                }
            }
        }
    }

    /// Another incarnation of the engine.
    fn meet(&mut self, fds: Vec<std::os::fd::OwnedFd>, at: At) {
        self.unwatch_link();
        let met = self.desk.engine.attach(fds, at.mono);
        let watched = met.and_then(|()| match self.desk.engine.link() {
            Some(link) => watch(&self.poll, link, LINK),
            None => Ok(()),
        });
        if let Err(e) = watched {
            tracing::error!("cannot meet the engine: {e}");
            self.desk.engine.detach();
        }
        if let Some(memory) = self.desk.engine.memory() {
            self.desk.board.meet_engine(memory);
        }
    }

    fn hear_engine(&mut self, at: At) {
        // When the engine is gone its descriptor is closed, and with that epoll forgets it.
        if !self.desk.engine.handle_link(at.mono) {
            tracing::warn!("the engine is gone; waiting for the next one");
            settings::engine_ended(&mut self.desk, at);
        }
    }

    fn unwatch_link(&self) {
        if let Some(link) = self.desk.engine.link() {
            let _ = self.poll.registry().deregister(&mut SourceFd(&link.as_raw_fd()));
        }
    }
}
