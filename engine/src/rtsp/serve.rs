//! The one loop that does the RTSP server's I/O.

mod show;
mod tick;
mod tunnel;

use super::client::{Delivery, Over, Receiver, Way};
use super::conn::Conn;
use super::session::{Output, Session, State};
use super::world::{Call, Holding, World};
use crate::clock;
use crate::config::{Join, RtspOptions};
use crate::rtp::outlet::Outlet;
use lensd_ffi::bell::Bell;
use lensd_ffi::link::LoginNews;
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, Stamp, now};
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use parking_lot::Mutex;
use rustls::ServerConfig;
use show::describe;
use slab::Slab;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tunnel::decode_tunnel;

const RTSP: Token = Token(usize::MAX);
const RTSPS: Token = Token(usize::MAX - 1);
const BELL: Token = Token(usize::MAX - 2);
const RTP: Token = Token(usize::MAX - 3);
const RTCP: Token = Token(usize::MAX - 4);
const CHANGE: Token = Token(usize::MAX - 5);

/// How often deadlines are looked at while there are clients.
const TICK: Nanos = Nanos::from_millis(250);
/// Most connections; past it the one that has been idle without a session longest makes room.
const MAX_CONNECTIONS: usize = 8192;
/// Most bytes of messages that are not whole, of all connections.
const MAX_HELD: usize = 64 << 20;
/// What each may have of that even when others take all the rest.
const HELD_SHARE: usize = MAX_HELD / MAX_CONNECTIONS;
/// Most connections that are taken, or datagrams that are read, before the others get their turn.
const MAX_AT_ONCE: usize = 128;

/// Most bytes of one read, and most reads of a connection before the others get their turn: one that
/// sends without end must not keep them waiting.
const READ: usize = 16 * 1024;
const READS_AT_ONCE: usize = 64;

/// What the rest of the engine sees of the server.
#[derive(Debug, Default)]
pub struct View {
    /// Clients, renewed at each tick.
    pub clients: Mutex<Vec<ClientState>>,
    /// At which addresses it does not listen yet, and why; empty: none.
    pub missing: Mutex<String>,
    /// Multicast groups that are sent to.
    pub groups: Mutex<serde_json::Value>,
    /// Set to end it.
    pub stop: AtomicBool,
    /// Who has logged in or failed to, for control's audit log.
    pub logins: Mutex<Vec<LoginNews>>,
    /// Put here, other options are taken over at the next ring.
    pub options: Mutex<Option<RtspOptions>>,
}

struct Client {
    conn: Conn,
    session: Session,
    holding: Holding,
    role: Role,
    accepted: Nanos,
    closing: bool,
    /// As [`Session::held`] was.
    held: usize,
    /// In [`Server::more`].
    more: bool,
}

/// What a TCP connection is.
enum Role {
    /// RTSP both ways.
    Direct,
    /// The half of a tunnel that sends to the client; its session is fed by the other half.
    TunnelOut(String),
    /// The half that receives, and base64 that is not whole yet.
    TunnelIn { out: usize, pending: Vec<u8> },
}

/// Gives what a new TLS connection is served with: the certificate may be another one by now.
pub type Identity = Box<dyn FnMut() -> Arc<ServerConfig> + Send>;

/// The server.
pub struct Server {
    poll: Poll,
    listener: Option<TcpListener>,
    tls_listener: Option<TcpListener>,
    tls: Option<Identity>,
    clients: Slab<Client>,
    world: World,
    bell: Arc<Bell>,
    change: Bell,
    view: Arc<View>,
    /// How often UTC had been set at the last look.
    steps: u64,
    ticked: Nanos,
    /// When logins were looked at.
    looked: Nanos,
    /// There was no descriptor left for a connection.
    full: bool,
    /// Bytes that all clients hold.
    held: usize,
    max_held: usize,
    /// Connections that have used up their turn: whether they have more is not told again by an
    /// edge, nor ever of what TLS has decrypted already.
    more: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    /// Puts the server together; the listeners are bound already.
    ///
    /// # Errors
    /// When a descriptor cannot be registered.
    pub fn new(
        listener: Option<std::net::TcpListener>,
        tls: Option<(std::net::TcpListener, Identity)>,
        world: World,
        change: Bell,
        view: Arc<View>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let accept = |listener: std::net::TcpListener, token| -> io::Result<TcpListener> {
            listener.set_nonblocking(true)?;
            let mut listener = TcpListener::from_std(listener);
            registry.register(&mut listener, token, Interest::READABLE)?;
            Ok(listener)
        };
        let listener = listener.map(|l| accept(l, RTSP)).transpose()?;
        let (tls_listener, tls) = match tls {
            Some((l, identity)) => (Some(accept(l, RTSPS)?), Some(identity)),
            None => (None, None),
        };
        let bell = Arc::clone(&world.bell);
        let mut world = world;
        registry.register(&mut SourceFd(&bell.as_fd().as_raw_fd()), BELL, Interest::READABLE)?;
        registry.register(
            &mut SourceFd(&change.as_fd().as_raw_fd()),
            CHANGE,
            Interest::READABLE,
        )?;
        registry.register(&mut world.udp.rtp, RTP, Interest::READABLE | Interest::WRITABLE)?;
        registry.register(&mut world.udp.rtcp, RTCP, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            tls_listener,
            tls,
            clients: Slab::new(),
            world,
            bell,
            change,
            view,
            steps: clock::state().steps,
            ticked: Nanos(0),
            looked: Nanos(0),
            full: false,
            held: 0,
            max_held: MAX_HELD,
            more: Vec::new(),
            buffer: vec![0; READ],
        })
    }

    /// Runs until the view says stop.
    ///
    /// # Errors
    /// When `epoll_wait(2)` fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.view.stop.load(Ordering::Acquire) {
            let busy = !self.clients.is_empty() || self.world.has_pins();
            let mut wait = busy.then(|| Duration::from_nanos(TICK.0));
            if let Some(resume) = self.world.way.resume {
                let until = resume.since(now()).duration();
                wait = Some(wait.map_or(until, |w| w.min(until)));
            }
            if !self.more.is_empty() {
                wait = Some(Duration::ZERO);
            }
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            // Pictures first: a bell among many requests must not wait for them.
            let paced = self.world.way.resume.is_some_and(|at| now() >= at);
            if self.bell.take() || paced {
                self.deliver();
                let options = self.view.options.lock().take();
                if let Some(options) = options {
                    self.world.way.pacing = Nanos::from_millis(options.pacing_ms);
                    self.world.options = options;
                    self.world.pin_groups(clock::stamp_now());
                    self.publish_view();
                }
            }
            for event in &events {
                match event.token() {
                    RTSP => self.accept(false),
                    RTSPS => self.accept(true),
                    CHANGE => self.follow(),
                    RTP => {
                        self.read_rtp();
                        // It says so also whenever something has come.
                        if event.is_writable() && std::mem::take(&mut self.world.way.full) {
                            self.deliver();
                        }
                    }
                    RTCP => self.read_rtcp(),
                    BELL => {}
                    Token(token) => {
                        if event.is_writable() {
                            self.write_ready(token);
                        }
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            self.read_ready(token);
                        }
                    }
                }
            }
            for token in std::mem::take(&mut self.more) {
                if let Some(client) = self.clients.get_mut(token) {
                    client.more = false;
                    self.read_ready(token);
                }
            }
            if now().since(self.ticked) >= TICK {
                self.tick();
            }
        }
        self.end();
        Ok(())
    }

    fn accept(&mut self, tls: bool) {
        for _ in 0..MAX_AT_ONCE {
            let listener = if tls { &self.tls_listener } else { &self.listener };
            let Some(listener) = listener else { return };
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // Its address is not to be had yet.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => return,
                Err(_) => {
                    // Out of descriptors: make room, so that the queue of new ones moves on.
                    if !self.evict() {
                        self.full = true;
                        return;
                    }
                    continue;
                }
            };
            if self.clients.len() >= MAX_CONNECTIONS {
                self.evict();
            }
            let config = self.tls.as_mut().filter(|_| tls).map(|identity| identity());
            let Ok(conn) = Conn::new(stream, peer, config.as_ref()) else { continue };
            let now = now();
            let token = self.clients.insert(Client {
                conn,
                session: Session::new(now),
                holding: Holding::default(),
                role: Role::Direct,
                accepted: now,
                closing: false,
                held: 0,
                more: false,
            });
            let stream = self.clients[token].conn.stream();
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(stream, Token(token), both).is_err() {
                self.clients.remove(token);
            }
        }
        self.accept_again();
    }

    /// There may be more connections than were taken, and the edge is used up.
    fn accept_again(&mut self) {
        let registry = self.poll.registry();
        for (listener, token) in [(&mut self.listener, RTSP), (&mut self.tls_listener, RTSPS)] {
            if let Some(listener) = listener {
                let _ = registry.reregister(listener, token, Interest::READABLE);
            }
        }
    }

    /// Closes the connection that has been without a session longest.
    fn evict(&mut self) -> bool {
        let oldest = self
            .clients
            .iter()
            // The receiving half of a tunnel never has a session; it goes with its other half.
            .filter(|(_, c)| c.session.id().is_none() && !matches!(c.role, Role::TunnelIn { .. }))
            .min_by_key(|(_, c)| c.session.last_heard())
            .map(|(token, _)| token);
        match oldest {
            Some(token) => {
                self.close(token);
                true
            }
            None => false,
        }
    }

    fn read_ready(&mut self, token: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.read_some(token, &mut buffer)
            && let Some(client) = self.clients.get_mut(token)
            && !std::mem::replace(&mut client.more, true)
        {
            self.more.push(token);
        }
        self.buffer = buffer;
    }

    /// Reads what is there; `true` if there may be more.
    fn read_some(&mut self, token: usize, buffer: &mut [u8]) -> bool {
        for _ in 0..READS_AT_ONCE {
            let Some(client) = self.clients.get_mut(token).filter(|c| !c.closing) else {
                return false;
            };
            let read = match client.conn.read(buffer) {
                Ok(n) if n > 0 => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                _ => {
                    self.close(token);
                    return false;
                }
            };
            self.take_bytes(token, &buffer[..read]);
        }
        true
    }

    fn take_bytes(&mut self, token: usize, bytes: &[u8]) {
        let stamp = clock::stamp_now();
        let Some(client) = self.clients.get_mut(token) else { return };
        let (target, decoded);
        match &mut client.role {
            Role::Direct | Role::TunnelOut(_) => {
                target = token;
                decoded = None;
            }
            Role::TunnelIn { out, pending } => {
                target = *out;
                decoded = Some(decode_tunnel(pending, bytes));
            }
        }
        let bytes = match &decoded {
            None => bytes,
            Some(Some(bytes)) => bytes,
            Some(None) => return self.close(token),
        };
        let Some(client) = self.clients.get_mut(target) else { return self.close(token) };
        let mut call = Call {
            world: &mut self.world,
            holding: &mut client.holding,
            token: target,
            peer: client.conn.peer,
            local: client.conn.local,
            tls: client.conn.is_tls(),
            now: stamp,
        };
        client.session.handle_input(bytes, stamp.mono, &mut call);
        self.drain(target);
    }

    /// Does what a session asks for.
    fn drain(&mut self, token: usize) {
        while let Some(client) = self.clients.get_mut(token) {
            match client.session.poll_output() {
                None => return self.weigh(token),
                Some(Output::Bytes(bytes)) => {
                    if client.conn.write(&bytes).is_err() {
                        return self.close(token);
                    }
                }
                Some(Output::Close) => {
                    client.closing = true;
                    if client.conn.is_clear() {
                        return self.close(token);
                    }
                }
                Some(Output::Tunnel { cookie, get, rest }) => {
                    self.tunnel(token, cookie, get, &rest)
                }
            }
        }
    }

    /// Counts what a client holds. When all hold too much, those go that hold more than their share;
    /// not publishers, who have shown who they are, and whose packets may be large.
    fn weigh(&mut self, token: usize) {
        let Some(client) = self.clients.get_mut(token) else { return };
        let before = std::mem::replace(&mut client.held, client.session.held());
        self.held = self.held + client.held - before;
        if self.held > self.max_held
            && client.held > HELD_SHARE
            && client.session.state() != State::Recording
        {
            self.close(token);
        }
    }

    fn write_ready(&mut self, token: usize) {
        let stamp = clock::stamp_now();
        let Some(client) = self.clients.get_mut(token) else { return };
        let waited = !client.conn.is_clear();
        if client.conn.flush().is_err() || (client.closing && client.conn.is_clear()) {
            return self.close(token);
        }
        // A client so slow that something always waits for it lives all the same: it has taken the
        // rest of a unit.
        if waited && client.conn.is_clear() {
            client.session.heard(stamp.mono);
        }
        let post = client.holding.key.as_ref().and_then(|k| self.world.posts.get_mut(k));
        if let (Some(post), Some(receiver)) = (post, &mut client.holding.receiver) {
            if client.conn.is_clear() {
                receiver.written(&mut post.outlet, now());
            }
            receiver.writable(&post.outlet, waited);
        }
        self.pump(token, stamp);
    }

    /// Sends new units to everybody.
    fn deliver(&mut self) {
        let stamp = clock::stamp_now();
        let mut over = Vec::new();
        self.world.way.resume = None;
        for post in self.world.posts.values_mut() {
            post.outlet.crowd = post.members.len();
            post.outlet.advance();
            for &token in &post.members {
                let Some(client) = self.clients.get_mut(token) else { continue };
                let sent =
                    pump_one(client, &mut post.outlet, &self.world.udp, &mut self.world.way, stamp);
                if sent.is_err() {
                    over.push(token);
                }
            }
            if let Some(group) = &mut post.group {
                // Nobody is told when a group's network fails; the reports make it visible.
                let sent = group.receiver.pump(
                    &mut post.outlet,
                    None,
                    &group.socket,
                    &group.socket,
                    &mut self.world.way,
                    stamp,
                );
                if matches!(sent, Err(Over::Recoded)) {
                    let listens = |c: &Client| {
                        let receiver = c.holding.receiver.as_ref();
                        receiver.is_some_and(|r| matches!(r.delivery, Delivery::Group))
                    };
                    if group.pinned {
                        // Whoever listens without asking sees by the payload type what it is now.
                        let delivery = &mut group.receiver.delivery;
                        let delivery = std::mem::replace(delivery, Delivery::Group);
                        group.receiver = Receiver::new(delivery);
                        group.receiver.begin(&post.outlet, Join::Key, stamp);
                    }
                    let members = post.members.iter().copied();
                    over.extend(members.filter(|&t| self.clients.get(t).is_some_and(listens)));
                }
            }
            post.outlet.tell_sent(stamp.mono);
        }
        for &token in &self.world.replays.tokens {
            let Some(client) = self.clients.get_mut(token) else { continue };
            if replay_one(client, &self.world.udp, &mut self.world.way, stamp).is_err() {
                over.push(token);
            }
        }
        for token in over {
            self.close(token);
        }
        self.pump_feeds(stamp);
        self.retry_waiting(stamp);
    }

    fn pump(&mut self, token: usize, stamp: Stamp) {
        let Some(client) = self.clients.get_mut(token) else { return };
        if replay_one(client, &self.world.udp, &mut self.world.way, stamp).is_err() {
            return self.close(token);
        }
        let Some(key) = &client.holding.key else { return };
        let Some(post) = self.world.posts.get_mut(key) else { return };
        let sent = pump_one(client, &mut post.outlet, &self.world.udp, &mut self.world.way, stamp);
        post.outlet.tell_sent(stamp.mono);
        if sent.is_err() {
            self.close(token);
        }
    }

    /// Requests that waited for a camera may have their answer now.
    fn retry_waiting(&mut self, stamp: Stamp) {
        let waiting: Vec<usize> =
            self.clients.iter().filter(|(_, c)| c.session.is_waiting()).map(|(t, _)| t).collect();
        for token in waiting {
            if let Some(client) = self.clients.get_mut(token) {
                let mut call = Call {
                    world: &mut self.world,
                    holding: &mut client.holding,
                    token,
                    peer: client.conn.peer,
                    local: client.conn.local,
                    tls: client.conn.is_tls(),
                    now: stamp,
                };
                client.session.handle_timeout(stamp.mono, &mut call);
                self.drain(token);
            }
        }
    }

    fn follow(&mut self) {
        if self.change.take() {
            self.world.follow();
            self.deliver();
        }
    }

    fn read_rtcp(&mut self) {
        let stamp = clock::stamp_now();
        let mut buffer = [0; 2048];
        for _ in 0..MAX_AT_ONCE {
            let Ok((n, from)) = self.world.udp.rtcp.recv_from(&mut buffer) else { return };
            let Some(token) = self.owner(from) else { continue };
            let Some(client) = self.clients.get_mut(token) else { continue };
            client.session.heard(stamp.mono);
            let post = client.holding.key.as_ref().and_then(|k| self.world.posts.get(k));
            if let (Some(post), Some(receiver)) = (post, &mut client.holding.receiver) {
                receiver.heard(&buffer[..n], post.outlet.ssrc(), stamp.utc);
            } else if let Some(publishing) = &mut client.holding.ingest {
                publishing.ingest.heard(&buffer[..n], stamp.mono);
            } else if let Some(replay) = &mut client.holding.replay {
                let ssrc = replay.ssrc();
                replay.counts.heard(&buffer[..n], ssrc, stamp.utc);
            }
        }
        // There may be more; whoever floods us must not keep the clients waiting.
        let registry = self.poll.registry();
        let _ = registry.reregister(&mut self.world.udp.rtcp, RTCP, Interest::READABLE);
    }

    fn read_rtp(&mut self) {
        let stamp = clock::stamp_now();
        let mut buffer = [0; 65536];
        for _ in 0..MAX_AT_ONCE {
            let Ok((n, from)) = self.world.udp.rtp.recv_from(&mut buffer) else { return };
            // Strangers, and players that punch holes into their NAT, are not heard.
            let Some(token) = self.owner(from) else { continue };
            let Some(client) = self.clients.get_mut(token) else { continue };
            if client.session.state() == State::Recording
                && let Some(publishing) = &mut client.holding.ingest
            {
                client.session.heard(stamp.mono);
                publishing.ingest.push(&buffer[..n], stamp.mono);
            }
        }
        let both = Interest::READABLE | Interest::WRITABLE;
        let _ = self.poll.registry().reregister(&mut self.world.udp.rtp, RTP, both);
    }

    fn owner(&self, from: SocketAddr) -> Option<usize> {
        self.world.addresses.get(&from).copied()
    }

    /// Says goodbye to a client and closes its connection.
    fn dismiss(&mut self, token: usize) {
        let Some(client) = self.clients.get_mut(token) else { return };
        let post = client.holding.key.as_ref().and_then(|k| self.world.posts.get(k));
        if let (Some(post), Some(receiver)) = (post, &mut client.holding.receiver) {
            receiver.goodbye(&post.outlet, Some(&mut client.conn), &self.world.udp.rtcp);
        }
        if let Some(replay) = &mut client.holding.replay {
            replay.goodbye(Some(&mut client.conn), &self.world.udp);
        }
        if let Some(feed) = &client.holding.feed {
            feed.goodbye(&mut client.conn, &self.world.udp);
        }
        self.close(token);
    }

    fn publish_view(&mut self) {
        let at = now();
        let clients = self
            .clients
            .iter_mut()
            .filter_map(|(_, c)| {
                let id = c.session.id()?.to_owned();
                Some(describe(c, &id, at))
            })
            .collect();
        *self.view.clients.lock() = clients;
        *self.view.groups.lock() = self.world.shown_groups();
        if !self.world.logins.is_empty() {
            let mut told = self.view.logins.lock();
            // While control is away, what happened first is kept.
            let room = LoginNews::MOST.saturating_sub(told.len());
            told.extend(self.world.logins.drain(..).take(room));
        }
    }

    fn close(&mut self, token: usize) {
        let stamp = clock::stamp_now();
        let Some(mut client) = self.clients.try_remove(token) else { return };
        self.held -= client.held;
        let mut call = Call {
            world: &mut self.world,
            holding: &mut client.holding,
            token,
            peer: client.conn.peer,
            local: client.conn.local,
            tls: client.conn.is_tls(),
            now: stamp,
        };
        client.session.end(&mut call);
        client.conn.farewell();
        let _ = self.poll.registry().deregister(client.conn.stream());
        if let Role::TunnelOut(_) = client.role {
            self.close_feeders(token);
        }
        if self.clients.is_empty() {
            self.publish_view();
        }
    }

    /// Says goodbye to everybody and closes.
    fn end(mut self) {
        let tokens: Vec<usize> = self.clients.iter().map(|(t, _)| t).collect();
        for token in tokens {
            self.dismiss(token);
        }
    }
}

/// Sends what is due of a recording.
fn replay_one(
    client: &mut Client,
    udp: &super::udp::Pair,
    way: &mut Way,
    stamp: Stamp,
) -> Result<(), Over> {
    let Some(replay) = &mut client.holding.replay else { return Ok(()) };
    let before = replay.counts.units;
    replay.pump(&mut client.conn, udp, way, stamp)?;
    // As with a stream.
    if replay.counts.units > before
        && matches!(replay.delivery, Delivery::Stream { .. })
        && client.conn.is_clear()
    {
        client.session.heard(stamp.mono);
    }
    Ok(())
}

fn pump_one(
    client: &mut Client,
    outlet: &mut Outlet,
    udp: &super::udp::Pair,
    way: &mut Way,
    stamp: Stamp,
) -> Result<(), Over> {
    let Some(receiver) = &mut client.holding.receiver else { return Ok(()) };
    let before = receiver.counts.units;
    receiver.pump(outlet, Some(&mut client.conn), &udp.rtp, &udp.rtcp, way, stamp)?;
    // A socket that takes what we send belongs to a client that lives.
    if receiver.counts.units > before
        && matches!(receiver.delivery, Delivery::Stream { .. })
        && client.conn.is_clear()
    {
        client.session.heard(stamp.mono);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
