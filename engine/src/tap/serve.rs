//! The tap's thread: lets clients in and out. Frames do not pass here.

use super::camera::{Hub, Seat};
use super::door::Allowed;
use super::group::Member;
use super::session::Session;
use super::view::{ClientView, View};
use super::workshop::Shape;
use crate::picture::pack::FORMATS;
use crate::publish::{Kind, Stream, Subscription};
use crate::switchboard::Switchboard;
use crate::sys::unix::{Peer, peer};
use crate::users::UserTable;
use lensd_ffi::auth::{Access, Credentials, Guard, Login, Verdict};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Link, Received};
use lensd_ffi::region::Region;
use lensd_ffi::tap::block::{ACK_WORDS, GIVER_WORDS};
use lensd_ffi::tap::wire::{Request, Told, What, parse_size};
use lensd_ffi::time::{Nanos, now, utc_now};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use slab::Slab;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const DOOR: Token = Token(usize::MAX);
const BELL: Token = Token(usize::MAX - 1);
const CHANGE: Token = Token(usize::MAX - 2);

/// How often loans and logins are looked at while there are clients.
const TICK: Nanos = Nanos::from_millis(100);
/// How long a connection may take to say what it wants.
const FIRST_REQUEST: Nanos = Nanos::from_secs(5);
/// Most connections, also of those that have not asked yet; the oldest of these makes room.
const MAX_CONNECTIONS: usize = 320;
/// Most connections that are taken before the others get their turn.
const MAX_AT_ONCE: usize = 64;

/// A connection.
struct Guest {
    link: Arc<Link>,
    peer: Peer,
    since: Nanos,
    /// None: it has not asked yet.
    client: Option<Client>,
}

/// A connection that gets something.
struct Client {
    request: Request,
    /// None: the system's user suffices.
    login: Option<Login>,
    stream: Arc<Stream>,
    shape: Shape,
    /// Wakes it, whichever stream it gets.
    bell: Bell,
    /// Dropped, it gets nothing any more.
    gets: Gets,
}

enum Gets {
    Frames(Seat),
    Units { _subscription: Subscription },
}

/// Why a client gets nothing: a code of SURFACE section 3, and words.
type No = (&'static str, String);

/// The server.
pub struct Server {
    poll: Poll,
    door: OwnedFd,
    path: PathBuf,
    guests: Slab<Guest>,
    switchboard: Arc<Switchboard>,
    hub: Arc<Hub>,
    users: Arc<UserTable>,
    guard: Guard,
    allowed: (String, Allowed),
    view: Arc<View>,
    bell: Arc<Bell>,
    change: Bell,
    next_id: u64,
    ticked: Nanos,
    /// There was no descriptor left for a connection.
    full: bool,
}

/// What the server looks at.
pub struct World {
    /// Streams.
    pub switchboard: Arc<Switchboard>,
    /// Frames.
    pub hub: Arc<Hub>,
    /// Users.
    pub users: Arc<UserTable>,
    /// Verdicts over them.
    pub guard: Guard,
    /// Options and counts.
    pub view: Arc<View>,
    /// Rung at a change of the options, and to end it.
    pub bell: Arc<Bell>,
    /// Rung when the active camera is another one.
    pub change: Bell,
}

impl Server {
    /// Listens at `path`, whose folder is made if it is missing.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn new(path: &Path, world: World) -> io::Result<Self> {
        let said = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let door = open_door(path).map_err(said)?;
        let poll = Poll::new()?;
        let World { switchboard, hub, users, guard, view, bell, change } = world;
        let register = |fd: BorrowedFd<'_>, token| {
            poll.registry().register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)
        };
        register(door.as_fd(), DOOR)?;
        register(bell.as_fd(), BELL)?;
        register(change.as_fd(), CHANGE)?;
        Ok(Self {
            poll,
            door,
            path: path.to_owned(),
            guests: Slab::new(),
            switchboard,
            hub,
            users,
            guard,
            allowed: Default::default(),
            view,
            bell,
            change,
            next_id: 0,
            ticked: now(),
            full: false,
        })
    }

    /// Serves until [`View::stop`].
    ///
    /// # Errors
    /// When the system cannot wait any more.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        self.take_options();
        while !self.view.stop.load(Ordering::Acquire) {
            let idle = self.guests.is_empty() && !self.full;
            let wait = (!idle).then_some(Duration::from_nanos(TICK.0));
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &events {
                match event.token() {
                    DOOR => self.let_in(),
                    BELL => {
                        self.bell.take();
                        self.take_options();
                    }
                    CHANGE => {
                        self.change.take();
                        self.follow();
                    }
                    Token(guest) => self.hear(guest),
                }
            }
            let at = now();
            if at.since(self.ticked) >= TICK {
                self.tick(at);
            }
        }
        for (_, guest) in &mut self.guests {
            say(&guest.link, Told::Over { message: "the server ends".into() });
        }
        Ok(())
    }

    fn let_in(&mut self) {
        for _ in 0..MAX_AT_ONCE {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match accept_with(&self.door, flags) {
                Ok(socket) => socket,
                Err(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                    self.full = true;
                    return;
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => continue,
                Err(_) => return,
            };
            if self.guests.len() >= MAX_CONNECTIONS && !self.evict() {
                continue;
            }
            // Without its name nobody is let in.
            let Ok(peer) = peer(&socket) else { continue };
            let link = Arc::new(Link::from_fd(socket));
            let entry = self.guests.vacant_entry();
            let token = Token(entry.key());
            let fd = link.as_fd().as_raw_fd();
            let guest = Guest { link, peer, since: now(), client: None };
            entry.insert(guest);
            let interest = Interest::READABLE;
            if self.poll.registry().register(&mut SourceFd(&fd), token, interest).is_err() {
                self.guests.remove(token.0);
                continue;
            }
        }
        // An edge is told once; there may be more.
        self.full = true;
    }

    /// Makes room: closes the connection that has kept silent for longest.
    fn evict(&mut self) -> bool {
        let silent = self.guests.iter().filter(|(_, g)| g.client.is_none());
        let oldest = silent.min_by_key(|(_, g)| g.since).map(|(token, _)| token);
        oldest.is_some_and(|token| {
            self.guests.remove(token);
            true
        })
    }

    /// Reads what a client says, up to its end: that is told once. It may speak once.
    fn hear(&mut self, token: usize) {
        while let Some(guest) = self.guests.get(token) {
            match guest.link.receive_packet() {
                Ok(Received::Empty) => return,
                Ok(Received::Message(packet, _)) if guest.client.is_none() => {
                    self.answer(token, &packet);
                }
                Ok(Received::Message(..)) => {
                    self.end(vec![(token, "a client says nothing after its request")]);
                }
                Ok(Received::Closed) | Err(_) => self.dismiss(token),
            }
        }
    }

    fn answer(&mut self, token: usize, packet: &[u8]) {
        let outcome = Request::parse(packet)
            .map_err(|why| ("INVALID_VALUE", why))
            .and_then(|request| self.admit(token, request));
        match outcome {
            Ok(client) => {
                if let Some(guest) = self.guests.get_mut(token) {
                    guest.client = Some(client);
                }
                self.show();
            }
            Err((code, message)) => {
                self.view.refused.fetch_add(1, Ordering::Relaxed);
                tracing::info!(code, "frame tap: refused: {message}");
                if let Some(guest) = self.guests.get(token) {
                    say(&guest.link, Told::Refused { code: code.into(), message });
                }
                self.dismiss(token);
            }
        }
    }

    fn admit(&mut self, token: usize, request: Request) -> Result<Client, No> {
        let options = self.view.options.lock().clone();
        if !options.enabled {
            let message = "the frame tap is switched off: set tap-enabled to true".into();
            return Err(("PERMISSION_DENIED", message));
        }
        let Some(guest) = self.guests.get(token) else {
            return Err(("INTERNAL", "the connection is gone".into()));
        };
        let (link, peer) = (Arc::clone(&guest.link), guest.peer.clone());
        // What was set a moment ago holds, though the bell may still ring.
        self.look_up_users(&options.users);
        let login = self.identify(&peer, request.token.as_deref())?;
        let most = options.max_clients as usize;
        if self.guests.iter().filter(|(_, g)| g.client.is_some()).count() >= most {
            let message = format!("{most} clients are the most at a time (tap-max-clients)");
            return Err(("RATE_LIMITED", message));
        }
        let path = match request.stream.as_str() {
            "" => "stream1",
            path => path,
        };
        let stream = self.resolve(path).ok_or_else(|| {
            let mut names: Vec<_> =
                self.switchboard.streams().iter().map(|s| s.name.clone()).collect();
            names.truncate(12);
            let names = names.join(", ");
            ("NOT_FOUND", format!("there is no stream {path:?}, but stream1, stream2, {names}"))
        })?;
        let shape = match request.what {
            What::Raw => self.shape_of(&request, &stream)?,
            What::Encoded => Shape::default(),
        };
        let gets = self
            .begin(&link, &request, &stream, shape, None)
            .map_err(|e| ("INTERNAL", format!("the server cannot serve more: {e}")))?;
        let (bell, gets) = gets;
        Ok(Client { request, login, stream, shape, bell, gets })
    }

    /// `camN` is its main stream.
    fn resolve(&self, path: &str) -> Option<Arc<Stream>> {
        let path = path.trim_matches('/');
        self.switchboard.resolve(path).or_else(|| self.switchboard.resolve(&format!("{path}/main")))
    }

    /// None: the system's user may. Else who the token says it is, or a guest.
    fn identify(&mut self, peer: &Peer, token: Option<&str>) -> Result<Option<Login>, No> {
        let own = rustix::process::geteuid().as_raw();
        if self.allowed.1.lets_in(peer, own) {
            return Ok(None);
        }
        let credentials = match token {
            Some(token) => Credentials::Token(token.to_owned()),
            None => Credentials::None,
        };
        self.users.refresh(&mut self.guard);
        let request = lensd_ffi::auth::Request {
            credentials: &credentials,
            method: "TAP",
            uri: "/tap",
            access: Access::LIVE,
        };
        let uid = peer.uid;
        let help = "give a token of a lensd user who may read Media (LENSD_TOKEN), or let an \
                    administrator add the user to tap-users";
        match self.guard.verdict(&request, address_of(uid), utc_now().millis()) {
            Verdict::Allow(login) => Ok(Some(login)),
            Verdict::Locked { retry_after } => {
                let message = format!("too many wrong tokens: try again in {retry_after} s");
                Err(("RATE_LIMITED", message))
            }
            Verdict::Login { failed: true, .. } => {
                Err(("INVALID_CREDENTIALS", format!("this token is wrong or has expired; {help}")))
            }
            Verdict::Login { .. } => {
                Err(("PERMISSION_DENIED", format!("user {uid} may not read frames: {help}")))
            }
            Verdict::Forbid(login) => Err((
                "PERMISSION_DENIED",
                format!("{} may not read Media, which frames need", login.user),
            )),
        }
    }

    fn shape_of(&self, request: &Request, stream: &Stream) -> Result<Shape, No> {
        let invalid = |why: String| ("INVALID_VALUE", why);
        let options = self.view.options.lock().clone();
        let size = match request.size().map_err(invalid)? {
            Some(size) => size,
            None if stream.kind == Kind::Sub => {
                // As large as the stream is, once it runs.
                let state = stream.state(now());
                let width = if state.width > 0 { state.width & !1 } else { 640 };
                Some((width, if state.width > 0 { state.height & !1 } else { 0 }))
            }
            None => parse_size(&options.size).map_err(invalid)?,
        };
        let format = request.format.as_deref().unwrap_or(&options.format);
        let format = match format {
            "" | "camera" => None,
            name => Some(
                FORMATS.into_iter().find(|f| f.to_string().eq_ignore_ascii_case(name)).ok_or_else(
                    || {
                        let all: Vec<_> = FORMATS.iter().map(ToString::to_string).collect();
                        let all = all.join(", ");
                        invalid(format!("format {name:?} is none of camera, {all}"))
                    },
                )?,
            ),
        };
        Ok(Shape { size, format })
    }

    /// Begins to give a client what it wants: with a welcome, or, when it has its bell already,
    /// because its path means another stream now.
    fn begin(
        &mut self,
        link: &Arc<Link>,
        request: &Request,
        stream: &Arc<Stream>,
        shape: Shape,
        known: Option<Bell>,
    ) -> io::Result<(Bell, Gets)> {
        let name = stream.name.clone();
        let (told, kept) = match known {
            None => (Told::Welcome { stream: name }, 0),
            Some(_) => (Told::Moved { stream: name }, 1),
        };
        let bell = known.map_or_else(Bell::new, Ok)?;
        let own = bell.try_clone()?;
        if request.what == What::Encoded {
            let fds = [stream.region().as_fd(), bell.as_fd()];
            link.send(&told, &fds[..2 - kept])?;
            let subscription = Subscription::new(stream, bell);
            if stream.ring().newest_key().is_none() {
                stream.want_key();
            }
            // There may be units of before.
            own.ring();
            return Ok((own, Gets::Units { _subscription: subscription }));
        }
        let tap = self
            .hub
            .of(stream.camera)
            .ok_or_else(|| io::Error::other("this camera has no frames"))?;
        let given = Arc::new(Region::create("lensd-tap", GIVER_WORDS)?);
        let acks = Arc::new(Region::invite("lensd-tap-acks", ACK_WORDS)?);
        // Its header is in the block before the client is told of it.
        let session =
            Session::new(Arc::clone(&given), Arc::clone(&acks), request.mode, request.queue);
        let fds = [given.as_fd(), acks.as_fd(), bell.as_fd()];
        link.send(&told, &fds[..3 - kept])?;
        self.next_id += 1;
        let member = Member { id: self.next_id, session, link: Arc::clone(link), bell };
        Ok((own, Gets::Frames(tap.join(shape, member)?)))
    }

    /// Whom the setting means.
    fn look_up_users(&mut self, users: &str) {
        if self.allowed.0 == users {
            return;
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        // It was checked when it was set; a user that has gone since is nobody.
        let known = users.split_whitespace().filter_map(|word| {
            Allowed::parse(word, &read("/etc/passwd"), &read("/etc/group")).ok()
        });
        self.allowed = (users.to_owned(), known.fold(Allowed::default(), Allowed::or));
    }

    /// Other options: those who may not any more go.
    fn take_options(&mut self) {
        let options = self.view.options.lock().clone();
        self.look_up_users(&options.users);
        let own = rustix::process::geteuid().as_raw();
        let over: Vec<(usize, &str)> = self
            .guests
            .iter()
            .filter_map(|(token, guest)| {
                let client = guest.client.as_ref()?;
                if !options.enabled {
                    return Some((token, "the frame tap was switched off"));
                }
                let out = client.login.is_none() && !self.allowed.1.lets_in(&guest.peer, own);
                out.then_some((token, "this user may not read frames any more"))
            })
            .collect();
        self.end(over);
    }

    /// The active camera is another one: those who want that get its frames.
    fn follow(&mut self) {
        let moved: Vec<_> = self
            .guests
            .iter()
            .filter_map(|(token, guest)| {
                let client = guest.client.as_ref()?;
                let path = Some(client.request.stream.as_str()).filter(|p| !p.is_empty());
                let stream = self.resolve(path.unwrap_or("stream1"))?;
                (!Arc::ptr_eq(&stream, &client.stream)).then_some((token, stream))
            })
            .collect();
        for (token, stream) in moved {
            let Some(guest) = self.guests.get_mut(token) else { continue };
            let link = Arc::clone(&guest.link);
            // The last camera's frames come back first.
            let Some(client) = guest.client.take() else { continue };
            let Client { request, login, bell, gets, .. } = client;
            drop(gets);
            let shape = match request.what {
                What::Raw => self.shape_of(&request, &stream).unwrap_or_default(),
                What::Encoded => Shape::default(),
            };
            match self.begin(&link, &request, &stream, shape, Some(bell)) {
                Ok((bell, gets)) => {
                    if let Some(guest) = self.guests.get_mut(token) {
                        guest.client = Some(Client { request, login, stream, shape, bell, gets });
                    }
                }
                Err(e) => self.end(vec![(token, &e.to_string())]),
            }
        }
        self.show();
    }

    fn end(&mut self, over: Vec<(usize, &str)>) {
        for (token, why) in over {
            if let Some(guest) = self.guests.get(token) {
                say(&guest.link, Told::Over { message: why.to_owned() });
            }
            self.dismiss(token);
        }
    }

    /// Closes a connection. Everything that was lent to it comes back.
    fn dismiss(&mut self, token: usize) {
        if let Some(guest) = self.guests.try_remove(token) {
            let fd = guest.link.as_fd().as_raw_fd();
            // A member of a group may hold the link for a moment longer.
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
            let _ = rustix::net::shutdown(&guest.link, rustix::net::Shutdown::Both);
            if guest.client.is_some() {
                drop(guest);
                self.show();
            }
        }
    }

    fn tick(&mut self, at: Nanos) {
        self.ticked = at;
        if std::mem::take(&mut self.full) {
            self.let_in();
        }
        for tap in self.hub.all() {
            tap.collect(at);
        }
        self.users.refresh(&mut self.guard);
        let (users, now_ms) = (self.guard.users(), utc_now().millis());
        let mut over = Vec::new();
        for (token, guest) in &self.guests {
            let Some(client) = &guest.client else {
                if at.since(guest.since) > FIRST_REQUEST {
                    over.push((token, "it did not say what it wants".to_owned()));
                }
                continue;
            };
            if client.login.as_ref().is_some_and(|l| !users.holds(l, now_ms)) {
                over.push((token, "the login does not stand any more".to_owned()));
            } else if let Gets::Frames(seat) = &client.gets
                && let Some(fault) = seat.fault()
            {
                over.push((token, fault));
            }
        }
        for (token, why) in over {
            self.end(vec![(token, &why)]);
        }
    }

    /// Lets others see who is here.
    fn show(&self) {
        let clients: Vec<ClientView> = self
            .guests
            .iter()
            .filter_map(|(_, guest)| {
                let client = guest.client.as_ref()?;
                Some(ClientView {
                    pid: guest.peer.pid,
                    uid: guest.peer.uid,
                    user: client.login.as_ref().map(|l| l.user.clone()).unwrap_or_default(),
                    stream: client.stream.name.clone(),
                    what: match client.request.what {
                        What::Raw => "raw",
                        What::Encoded => "encoded",
                    },
                    shape: client.shape.to_string(),
                })
            })
            .collect();
        self.view.connected.store(clients.len() as u64, Ordering::Relaxed);
        *self.view.clients.lock() = clients;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Who does not read misses it, and learns by the end of the connection.
fn say(link: &Link, told: Told) {
    let _ = link.send(&told, &[]);
}

/// The address under which wrong tokens of a user of this machine are counted: a unique local one
/// (RFC 4193) that no other client has.
fn address_of(uid: u32) -> IpAddr {
    let [a, b, c, d] = uid.to_be_bytes();
    let halves = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    IpAddr::V6(Ipv6Addr::new(0xfd6c, 0x656e, 0x7364, 0, 0, 0, halves[0], halves[1]))
}

fn open_door(path: &Path) -> io::Result<OwnedFd> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // A socket of an engine that was killed is in the way of a new one.
    if fs::symlink_metadata(path).is_ok_and(|m| {
        use std::os::unix::fs::FileTypeExt;
        m.file_type().is_socket()
    }) {
        fs::remove_file(path)?;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let door = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    bind(&door, &SocketAddrUnix::new(path)?)?;
    // Whoever reaches it may ask; the kernel says who that is.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    listen(&door, 128)?;
    Ok(door)
}
