//! The supervisor: it starts both planes, gives each the other's memory and a link to it, starts
//! again whichever dies, and stops both in order.
//!
//! It parses nothing that comes from outside, opens no port, and has nothing to crash on.

use crate::banner::Banner;
use crate::data::{self, Prepared};
use crate::settings::Settings;
use crate::update;
use lensd_ffi::auth::LOCKOUT_WORDS;
use lensd_ffi::link::{Link, Order, Received, Report};
use lensd_ffi::region::{self, Region};
use lensd_ffi::state::PLANE_WORDS;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::update::Marker;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

/// Waits before a plane is started again: doubling from the first to the last.
const FIRST_WAIT: Nanos = Nanos::from_millis(50);
const LAST_WAIT: Nanos = Nanos::from_secs(5);
/// A plane that has run this long has earned the first wait again.
const HEALTHY: Nanos = Nanos::from_secs(20);
/// How long a plane may take to stop before it is killed.
const STOP_WAIT: Nanos = Nanos::from_secs(5);

/// How long a plane may take to end in order when its supervisor was killed: the next one wants its
/// ports. The engine asks for them again for longer than this.
const ORPHAN_WAIT: Nanos = Nanos::from_millis(500);

/// Most messages of a plane that are read before the other plane and the signals get their turn.
const MAX_AT_ONCE: usize = 64;

const SIGNALS: Token = Token(2);

/// The planes, by their tokens.
const ENGINE: usize = 0;
const CONTROL: usize = 1;
const NAMES: [&str; 2] = ["engine", "control"];

/// A plane's process.
struct Plane {
    child: Child,
    leash: Link,
    memory: OwnedFd,
    sealed: bool,
    since: Nanos,
}

/// How often a file that could not be written is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(5);

struct Supervisor {
    settings: Settings,
    planes: [Option<Plane>; 2],
    /// The count of failed log-ins: it outlives the planes that write it.
    failures: Region,
    waits: [Nanos; 2],
    restart_at: [Option<Nanos>; 2],
    poll: Poll,
    /// Ports that were had: they are kept over the planes' ends.
    ports: BTreeMap<String, u16>,
    /// Those that each plane listens at.
    open: [BTreeMap<String, u16>; 2],
    /// The file of these could not be written: the disk may be full.
    unwritten: bool,
    notes: Vec<String>,
    listening: [bool; 2],
    announced: bool,
    /// Control has asked for both planes to be started again.
    restart: bool,
    /// Another version is in the place of the program.
    update: bool,
    /// This version is on trial until it has come up.
    trial: Option<Marker>,
    /// That of the data folder, unless another version has it.
    lock: Option<File>,
    password: Option<Zeroizing<String>>,
    /// The disk of the data folder fails: how.
    trouble: Option<String>,
    /// What the environment wants it to be, also after a factory reset.
    given: Option<Zeroizing<String>>,
}

/// Runs the server until it is told to stop.
pub(crate) fn run(settings: Settings) -> ExitCode {
    // Taken out of the environment before anything else starts.
    let given = std::env::var("LENSD_ADMIN_PASSWORD").ok().filter(|p| !p.is_empty());
    let given = given.map(Zeroizing::new);
    let prepared = match data::prepare(&settings.engine.data, given.as_ref().map(|p| p.as_str())) {
        Ok(prepared) => prepared,
        Err(reason) => return refuse(&reason),
    };
    let mut settings = settings;
    settings.engine.data.clone_from(&prepared.data);
    let ports_file = settings.engine.data.join("run/ports.json");
    let _ = std::fs::remove_file(&ports_file);
    let trial = update::begin(&settings.engine.data);
    let outcome = begin(settings, prepared, trial, given).and_then(Supervisor::serve);
    let _ = std::fs::remove_file(&ports_file);
    match outcome {
        Ok(code) => code,
        Err(reason) => refuse(&reason),
    }
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("lensd: {reason}");
    ExitCode::FAILURE
}

fn begin(
    settings: Settings,
    prepared: Prepared,
    trial: Option<Marker>,
    given: Option<Zeroizing<String>>,
) -> Result<Supervisor, String> {
    let Prepared { password, added, mut notes, trouble, lock, .. } = prepared;
    notes.extend(trouble.clone());
    let mut settings = settings;
    settings.engine.added = added;
    let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
    let failures = Region::invite("log-ins", LOCKOUT_WORDS).map_err(|e| format!("memory: {e}"))?;
    let mut supervisor = Supervisor {
        settings,
        planes: [None, None],
        failures,
        waits: [FIRST_WAIT; 2],
        restart_at: [None; 2],
        poll,
        ports: BTreeMap::new(),
        open: Default::default(),
        unwritten: false,
        notes,
        listening: [false; 2],
        announced: false,
        restart: false,
        update: false,
        trial,
        lock: Some(lock),
        password,
        trouble,
        given,
    };
    for which in [ENGINE, CONTROL] {
        supervisor
            .start(which)
            .map_err(|e| format!("the {} process cannot start: {e}", NAMES[which]))?;
    }
    Ok(supervisor)
}

impl Supervisor {
    fn serve(mut self) -> Result<ExitCode, String> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM]).map_err(|e| format!("signal handlers: {e}"))?;
        self.poll
            .registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)
            .map_err(|e| format!("epoll: {e}"))?;
        let mut events = Events::with_capacity(8);
        let mut more = false;
        loop {
            let wait = match self.restart_at.iter().flatten().min() {
                _ if more => Some(Duration::ZERO),
                at => at.map(|at| at.since(now()).duration()),
            };
            let wait = match self.unwritten {
                true => Some(wait.unwrap_or(WRITE_AGAIN).min(WRITE_AGAIN)),
                false => wait,
            };
            more = false;
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => done.map_err(|e| format!("epoll: {e}"))?,
            }
            if self.unwritten {
                self.write_ports();
            }
            if signals.pending().next().is_some() {
                self.stop();
                return Ok(ExitCode::SUCCESS);
            }
            for which in [ENGINE, CONTROL] {
                match self.read(which) {
                    Ok(rest) => more |= rest,
                    Err(reason) => {
                        self.stop();
                        return Err(reason);
                    }
                }
                if std::mem::take(&mut self.update) {
                    self.stop();
                    self.lock = None;
                    let data = &self.settings.engine.data;
                    if let Some(code) = update::hand_over(data, &mut signals) {
                        return Ok(code);
                    }
                    self.lock = data::lock(data).map_err(|e| e.why)?;
                    self.write_ports();
                    self.restart_at = [Some(now()); 2];
                }
                if std::mem::take(&mut self.restart) {
                    tracing::warn!("both planes are started again, as was asked for");
                    self.stop();
                    self.look_at_store();
                    self.restart_at = [Some(now()); 2];
                }
                if self.restart_at[which].is_some_and(|at| now() >= at) {
                    self.restart_at[which] = None;
                    if let Err(e) = self.start(which) {
                        tracing::error!("the {} process cannot start: {e}", NAMES[which]);
                        self.back_off(which);
                    }
                }
            }
        }
    }

    /// Gives the first user the password of the environment, as every start does, and learns which
    /// cameras there are now. Nobody else has the store open.
    fn look_at_store(&mut self) {
        let given = self.given.as_ref().map(|p| p.as_str());
        // A factory reset has taken it away.
        if let Err(e) = data::identity(&self.settings.engine.data) {
            tracing::error!("{}", e.why);
        }
        match data::first_user(&self.settings.engine.data, given, &mut Vec::new()) {
            Ok((password, added)) => {
                self.settings.engine.added = added;
                if let Some(password) = password {
                    show(&Banner::password(&password));
                }
            }
            Err(e) => tracing::error!("{}", e.why),
        }
    }

    fn start(&mut self, which: usize) -> io::Result<()> {
        let (leash, far) = Link::pair()?;
        let memory = region::blank(NAMES[which], PLANE_WORDS)?;
        let far = far.as_fd().try_clone_to_owned()?;
        // By its path if the file is still there, else as the kernel holds it.
        let own = std::env::current_exe().ok().filter(|p| p.exists());
        let mut child = Command::new(own.unwrap_or_else(|| "/proc/self/exe".into()))
            .arg(NAMES[which])
            // The child finds its leash as its standard input: no descriptor number to agree on.
            .stdin(Stdio::from(far))
            .env("LENSD_JSON_LOGS", if self.settings.json_logs { "1" } else { "0" })
            .env_remove("LENSD_ADMIN_PASSWORD")
            // Ctrl-C reaches the supervisor alone, which stops the planes in order.
            .process_group(0)
            .spawn()?;
        if let Err(e) = self.instruct(which, &leash, &memory) {
            // A child that is neither waited for nor on a leash would stay as a zombie, at best.
            drop(leash);
            let _ = wait_or_kill(&mut child, Nanos(0));
            return Err(e);
        }
        self.planes[which] = Some(Plane { child, leash, memory, sealed: false, since: now() });
        Ok(())
    }

    /// Gives a new plane its orders, and listens to it.
    fn instruct(&self, which: usize, leash: &Link, memory: &OwnedFd) -> io::Result<()> {
        let fds = [memory.as_fd(), self.failures.as_fd()];
        leash.send(&Order::Start { config: self.config(which) }, &fds)?;
        leash.set_nonblocking(true)?;
        self.poll.registry().register(
            &mut SourceFd(&leash.as_fd().as_raw_fd()),
            Token(which),
            Interest::READABLE,
        )
    }

    /// A plane's configuration; ports that it has had are its own again.
    fn config(&self, which: usize) -> serde_json::Value {
        let same_port = |address: &Option<String>, name: &str| {
            let address = address.clone()?;
            match (address.parse::<SocketAddr>(), self.ports.get(name)) {
                (Ok(parsed), Some(port)) => Some(SocketAddr::new(parsed.ip(), *port).to_string()),
                _ => Some(address),
            }
        };
        let engine = &self.settings.engine;
        let value = if which == ENGINE {
            let mut config = engine.clone();
            config.rtsp = same_port(&config.rtsp, "rtsp");
            config.rtsps = same_port(&config.rtsps, "rtsps");
            serde_json::to_value(config)
        } else {
            serde_json::to_value(lensd_control::Config {
                // Nothing said would mean the default.
                http: same_port(&self.settings.http, "http").or(Some("off".to_owned())),
                https: same_port(&self.settings.https, "https"),
                origins: self.settings.origins.clone(),
                discovery_port: self.settings.discovery_port,
                data: engine.data.clone(),
                open: engine.open,
                trouble: self.trouble.clone(),
                variant: self.settings.variant.clone(),
                system: self.settings.system.clone(),
                ..lensd_control::Config::default()
            })
        };
        value.unwrap_or_default()
    }

    /// Reads what a plane says; `true` if there may be more. An error ends the server: it cannot
    /// even start.
    fn read(&mut self, which: usize) -> Result<bool, String> {
        for _ in 0..MAX_AT_ONCE {
            let Some(plane) = &mut self.planes[which] else { return Ok(false) };
            match plane.leash.receive::<Report>() {
                Ok(Received::Message(Report::Sealed, _)) => {
                    if region::is_sealed(&plane.memory).unwrap_or(false) {
                        plane.sealed = true;
                        self.introduce();
                    } else {
                        tracing::error!("the {} process did not seal its memory", NAMES[which]);
                    }
                }
                Ok(Received::Message(Report::Listening { ports, notes }, _)) => {
                    self.ports.extend(ports.clone());
                    let news = self.open[which] != ports;
                    self.open[which] = ports;
                    // They are for the banner; a plane that is started again repeats them.
                    if !self.announced {
                        self.notes.extend(notes);
                    }
                    self.listening[which] = true;
                    if self.announced && news {
                        self.write_ports();
                    }
                    self.announce();
                }
                Ok(Received::Message(Report::Restart, _)) => self.restart = true,
                // It will be the given one again.
                Ok(Received::Message(Report::Password { .. }, _)) if self.given.is_some() => {}
                Ok(Received::Message(Report::Password { password }, _)) => {
                    show(&Banner::password(&Zeroizing::new(password)));
                }
                Ok(Received::Message(Report::Update, _)) => self.update = true,
                Ok(Received::Message(Report::Failed { reason }, _)) => {
                    if !self.announced {
                        return Err(reason);
                    }
                    tracing::error!("the {} process failed: {reason}", NAMES[which]);
                }
                Ok(Received::Empty) => return Ok(false),
                Ok(Received::Closed) | Err(_) => return self.bury(which).map(|()| false),
            }
        }
        Ok(true)
    }

    /// A plane's leash has ended: so has the plane, or it is about to.
    fn bury(&mut self, which: usize) -> Result<(), String> {
        let Some(mut plane) = self.planes[which].take() else { return Ok(()) };
        let fd = plane.leash.as_fd().as_raw_fd();
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        let status = wait_or_kill(&mut plane.child, Nanos::from_millis(500));
        if !self.listening[which] {
            return Err(format!(
                "the {} process ended before it was ready ({status})",
                NAMES[which]
            ));
        }
        if now().since(plane.since) > HEALTHY {
            self.waits[which] = FIRST_WAIT;
        }
        tracing::error!(
            "the {} process ended ({status}); starting it again in {} ms",
            NAMES[which],
            self.waits[which].0 / 1_000_000
        );
        self.back_off(which);
        Ok(())
    }

    fn back_off(&mut self, which: usize) {
        self.restart_at[which] = Some(now().plus(self.waits[which]));
        self.waits[which] = Nanos((self.waits[which].0 * 2).min(LAST_WAIT.0));
    }

    /// When both memories are sealed, gives each plane the other's and a link.
    fn introduce(&self) {
        let [Some(engine), Some(control)] = &self.planes else { return };
        if !engine.sealed || !control.sealed {
            return;
        }
        let Ok((a, b)) = Link::pair() else { return };
        for (plane, other, link) in [(engine, control, &a), (control, engine, &b)] {
            // A plane that is gone is noticed by its leash.
            let _ = plane.leash.send(&Order::Peer, &[other.memory.as_fd(), link.as_fd()]);
        }
    }

    /// Once everything listens: the banner, and the ports for programs.
    fn announce(&mut self) {
        if self.announced || self.listening != [true; 2] {
            return;
        }
        self.announced = true;
        if let Some(marker) = self.trial.take() {
            update::came_up(&marker, &self.settings.engine.data);
        }
        self.write_ports();
        let engine = &self.settings.engine;
        let hosts = [
            ("http", &self.settings.http),
            ("https", &self.settings.https),
            ("rtsp", &engine.rtsp),
            ("rtsps", &engine.rtsps),
        ];
        let hosts = hosts.into_iter().filter_map(|(name, address)| {
            let ip = address.as_ref()?.parse::<SocketAddr>().ok()?.ip();
            (!ip.is_unspecified()).then_some((name, ip))
        });
        let banner = Banner {
            ports: &self.open_ports(),
            password: self.password.take().as_ref().map(|p| p.as_str()),
            open: self.settings.engine.open,
            notes: &self.notes,
            hosts: hosts.collect(),
        }
        .render();
        show(&banner);
    }

    /// Ports that are listened at now.
    fn open_ports(&self) -> BTreeMap<String, u16> {
        self.open.iter().flatten().map(|(name, port)| (name.clone(), *port)).collect()
    }

    fn write_ports(&mut self) {
        let file = self.settings.engine.data.join("run/ports.json");
        let ports = serde_json::json!(self.open_ports()).to_string();
        let written = data::write_new(&file, ports.as_bytes(), 0o644);
        if let Err(e) = &written
            && !self.unwritten
        {
            tracing::error!("{} cannot be written, and is tried again: {e}", file.display());
        }
        self.unwritten = written.is_err();
    }

    /// Control first, so that nothing new begins; then the engine, which says its goodbyes.
    fn stop(&mut self) {
        for which in [CONTROL, ENGINE] {
            if let Some(mut plane) = self.planes[which].take() {
                let _ = plane.leash.send(&Order::Stop, &[]);
                let _ = wait_or_kill(&mut plane.child, STOP_WAIT);
            }
        }
    }
}

/// Shows who started the server something. A closed standard output is no reason to stop.
fn show(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
    let _ = io::stdout().flush();
}

/// In a plane: sees to it that it does not outlive its supervisor, even if it hangs. A plane that
/// does not hang ends by itself when its leash does, after its goodbyes.
///
/// # Errors
/// When there is no thread to be had.
pub(crate) fn end_with_supervisor(leash: OwnedFd) -> io::Result<()> {
    when_orphaned(leash, || {
        std::thread::sleep(ORPHAN_WAIT.duration());
        let _ = kill_process(getpid(), Signal::KILL);
    })
}

/// Does something on a thread of its own when the other end of a leash is gone. `prctl(2)` with
/// `PR_SET_PDEATHSIG` would not do: its signal comes at once, and when a mere thread ends.
fn when_orphaned(leash: OwnedFd, then: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let wait = move || {
        // No event is asked for: that the other end is gone is told always.
        while let Err(Errno::INTR) = poll(&mut [PollFd::new(&leash, PollFlags::empty())], None) {}
        then();
    };
    std::thread::Builder::new().name("leash".to_owned()).spawn(wait).map(drop)
}

/// Waits for a process as long as `limit`, then kills it. Returns its end in words.
fn wait_or_kill(child: &mut Child, limit: Nanos) -> String {
    let until = now().plus(limit);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.to_string(),
            Ok(None) if now() < until => std::thread::sleep(Duration::from_millis(2)),
            Ok(None) => {
                let _ = child.kill();
                return child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
            }
            Err(e) => return e.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_plane_learns_that_its_supervisor_is_gone_whatever_it_has_not_read() {
        let (own, far) = Link::pair().unwrap();
        let (told, orphaned) = channel();
        let leash = far.as_fd().try_clone_to_owned().unwrap();
        when_orphaned(leash, move || told.send(()).unwrap()).unwrap();
        own.send(&Order::Stop, &[]).unwrap();
        assert!(orphaned.recv_timeout(Duration::from_millis(50)).is_err());
        drop(own);
        orphaned.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
