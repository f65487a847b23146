//! The server: accepts connections, carries requests to their handlers and answers back.

use super::conn::{Conn, Machine};
use super::stream::Stream;
use crate::desk::{ConnKey, Desk};
use crate::http::At;
use crate::http::auth::with_rate;
use crate::http::cors::Site;
use crate::http::respond::{Fault, Response};
use crate::http::session::Event;
use crate::rest::{self, Reply};
use crate::ws::session::Event as Message;
use lensd_ffi::time::Nanos;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Connections past the cap that are told so; further ones are closed without a word.
const MAX_REFUSED: usize = 32;
/// Requests or messages of one connection before others have their turn.
const TURN: usize = 16;
/// This many parcels in the outbox are carried away before further messages are heard.
const MAX_PARCELS: usize = 16 * 1024;
/// When a process is out of file descriptors, this long until the next try.
const ACCEPT_AGAIN: Nanos = Nanos::from_millis(100);
/// Who has asked nothing for this long may lose his place when all are taken. Shorter would hit
/// those whose first request is on its way.
const REST: Nanos = Nanos::from_secs(1);
const SCRATCH: usize = 16 * 1024;
/// How many WebSockets are written in a turn of the loop, of many who are told something.
const AT_A_TURN: usize = 64;
/// So many are written at once.
const FEW: usize = 8;

/// A socket that accepts connections.
#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    /// Whether it speaks TLS.
    secure: bool,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Serve {
    /// By their tokens, from the first on.
    listeners: Vec<Listener>,
    registry: Registry,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    open: usize,
    max: usize,
    generation: u64,
    /// The first of the tokens of listeners, and of connections.
    listen_token: usize,
    first: usize,
    /// Connections that have more to do without an event.
    again: Vec<usize>,
    accept_again: Option<Nanos>,
    /// Connections to write to; kept for its room only.
    noted: VecDeque<usize>,
    scratch: Box<[u8]>,
}

impl Serve {
    /// Tokens from `listen_token` on are the server's. Of listeners it is said whether they speak
    /// TLS.
    pub(crate) fn new(
        sockets: Vec<(TcpListener, bool)>,
        registry: Registry,
        listen_token: Token,
        max: usize,
    ) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (mut socket, secure) in sockets {
            let token = Token(listen_token.0 + listeners.len());
            registry.register(&mut socket, token, Interest::READABLE)?;
            listeners.push(Listener { socket, secure });
        }
        Ok(Self {
            listen_token: listen_token.0,
            first: listen_token.0 + listeners.len(),
            listeners,
            registry,
            conns: Vec::new(),
            free: Vec::new(),
            open: 0,
            max,
            generation: 0,
            again: Vec::new(),
            accept_again: None,
            noted: VecDeque::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
        })
    }

    /// Something happened to one of our sockets.
    pub(crate) fn handle_event(&mut self, event: &mio::event::Event, desk: &mut Desk, at: At) {
        let token = event.token().0;
        if token < self.first {
            return self.accept(token - self.listen_token, desk, at);
        }
        let index = token - self.first;
        if let Some(Some(conn)) = self.conns.get_mut(index) {
            conn.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
            conn.writable |= event.is_writable() || event.is_error();
            self.drive(index, desk, at);
        }
    }

    /// Whether somebody is connected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Whether something is to be done at once.
    pub(crate) fn is_eager(&self) -> bool {
        !self.again.is_empty() || self.is_telling()
    }

    /// Whether some do not have yet what is told to many.
    pub(crate) fn is_telling(&self) -> bool {
        !self.noted.is_empty()
    }

    fn accept(&mut self, which: usize, desk: &mut Desk, at: At) {
        loop {
            let Some(listener) = self.listeners.get(which) else { return };
            let (stream, peer) = match listener.socket.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // A client that was gone before it was accepted.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
                // Its address is not to be had yet.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => return,
                Err(e) => {
                    tracing::warn!("cannot accept a connection: {e}");
                    self.accept_again = Some(at.mono.plus(ACCEPT_AGAIN));
                    return;
                }
            };
            let tls = match (listener.secure, desk.identity.config()) {
                (false, _) => None,
                (true, Some(config)) => Some(Arc::clone(config)),
                // There is no certificate (yet), which the log says.
                (true, None) => continue,
            };
            if self.open >= self.max {
                self.drop_resting(desk, at);
            }
            if self.open >= self.max + MAX_REFUSED {
                continue;
            }
            let Ok(mut stream) = Stream::new(stream, tls) else { continue };
            let index = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            let token = Token(self.first + index);
            if let Err(e) = self.registry.register(stream.tcp(), token, interest) {
                tracing::warn!("cannot watch a connection: {e}");
                self.free.push(index);
                continue;
            }
            self.generation += 1;
            let key = ConnKey { index, generation: self.generation };
            let mut conn = Conn::new(stream, peer, key, at);
            if self.open >= self.max
                && let Some(session) = conn.http()
            {
                let message = format!("{} connections are open; try again later", self.max);
                session.refuse(&Fault::unavailable("TOO_MANY_CONNECTIONS", message), at);
            }
            self.conns[index] = Some(conn);
            self.open += 1;
            desk.connections = self.open;
            self.drive(index, desk, at);
        }
    }

    /// Room for somebody who wants something, at the cost of one who asks nothing.
    fn drop_resting(&mut self, desk: &mut Desk, at: At) {
        let resting = self.conns.iter().flatten().filter_map(|conn| {
            let Machine::Http(session) = &conn.machine else { return None };
            let since = session.rests_since().filter(|s| at.mono.since(*s) >= REST)?;
            Some((since, conn.key.index))
        });
        // A WebSocket rests for good: there one address must not have all places.
        let crowd = || desk.clients.one_of_a_crowd().map(|key| key.index);
        if let Some(index) = resting.min().map(|(_, index)| index).or_else(crowd) {
            self.remove(index, desk, at);
        }
    }

    /// Goes on with a connection until it waits for something.
    fn drive(&mut self, index: usize, desk: &mut Desk, at: At) {
        let Some(Some(conn)) = self.conns.get_mut(index) else { return };
        let mut turns = TURN;
        loop {
            let read = conn.read(&mut self.scratch, at);
            if conn.take_end() {
                desk.broker.conclude(conn.key);
            }
            let mut asked = false;
            while turns > 0 && go_on(conn, desk, at) {
                asked = true;
                turns -= 1;
            }
            match &mut conn.machine {
                Machine::Http(session) if session.wants_live() => {
                    if desk.is_viewer_over(conn.key, at) {
                        asked = true;
                        session.end_live(desk.last_part(conn.key));
                    } else if let Some(part) = desk.next_part(conn.key, at.mono) {
                        asked = true;
                        turns = turns.saturating_sub(1);
                        session.push_live(part);
                    }
                }
                Machine::Http(_) => {}
                Machine::Ws(socket) => socket.tell_end(conn.key, false, desk, at),
            }
            // Frames and records that bring nothing must not keep the loop either.
            turns = turns.saturating_sub(usize::from(read));
            // What is sent makes room for requests that were held back.
            let wrote = conn.write(at);
            turns = turns.saturating_sub(usize::from(wrote && conn.sends_file()));
            if !conn.pass_wish(desk) {
                turns = 0;
            }
            if turns == 0 {
                self.again.push(index);
                break;
            }
            if !read && !asked && !wrote {
                break;
            }
        }
        if conn.is_over() {
            self.remove(index, desk, at);
        }
        if desk.outbox.len() >= MAX_PARCELS {
            self.carry(desk, at);
        }
    }

    fn remove(&mut self, index: usize, desk: &mut Desk, at: At) {
        if let Some(mut conn) = self.conns[index].take() {
            let _ = self.registry.deregister(conn.stream.tcp());
            desk.forget(conn.key, at.mono);
            if let Machine::Ws(socket) = &mut conn.machine {
                socket.tell_end(conn.key, true, desk, at);
            }
            self.free.push(index);
            self.open -= 1;
            desk.connections = self.open;
            if self.open == 0 {
                // What a crowd needed is given back when it has gone.
                (self.conns, self.free) = (Vec::new(), Vec::new());
            }
        }
    }

    /// Carries answers that have become ready, and pictures, to their connections.
    pub(crate) fn deliver(&mut self, desk: &mut Desk, at: At) {
        for index in std::mem::take(&mut self.again) {
            self.drive(index, desk, at);
        }
        for (key, bytes) in std::mem::take(&mut desk.chunks) {
            if let Some(conn) = self.find(key) {
                conn.take_chunk(bytes);
                self.drive(key.index, desk, at);
            }
        }
        for key in std::mem::take(&mut desk.resumed) {
            if let Some(session) = self.find(key).and_then(Conn::http) {
                session.resume(at);
                self.drive(key.index, desk, at);
            }
        }
        for (key, response) in desk.take_ready(at) {
            if let Some(conn) = self.find(key) {
                finish(conn, response, desk, at);
                self.drive(key.index, desk, at);
            }
        }
    }

    /// Carries what handlers have sent to its WebSockets. First everything is given to the
    /// sessions, then each is written once, so that what belongs together leaves together. What is
    /// for a few leaves at once; what is told to many leaves in turns of the loop, for whoever is
    /// answered in between must not wait for a thousand others.
    pub(crate) fn carry(&mut self, desk: &mut Desk, at: At) {
        let mut turn = AT_A_TURN;
        while desk.outbox.len() > 0 || turn > 0 && !self.noted.is_empty() {
            let mut news = Vec::new();
            for (key, parcel) in desk.outbox.take() {
                let Some(conn) = self.find(key) else { continue };
                if !conn.take(parcel, at) {
                    desk.outbox.note_behind(key);
                }
                if !std::mem::replace(&mut conn.is_noted, true) {
                    news.push(key.index);
                }
            }
            if news.len() <= FEW {
                news.into_iter().for_each(|index| self.write_noted(index, desk, at));
            } else {
                self.noted.extend(news);
            }
            while turn > 0
                && let Some(index) = self.noted.pop_front()
            {
                turn -= 1;
                self.write_noted(index, desk, at);
            }
        }
    }

    /// Writes what a WebSocket was given.
    fn write_noted(&mut self, index: usize, desk: &mut Desk, at: At) {
        let Some(Some(conn)) = self.conns.get_mut(index) else { return };
        // Its place may be another's by now.
        if !std::mem::take(&mut conn.is_noted) {
            return;
        }
        let Machine::Ws(socket) = &mut conn.machine else { return };
        let waits = socket.session.has_input();
        socket.tell_end(conn.key, false, desk, at);
        conn.write(at);
        if conn.is_over() {
            self.remove(index, desk, at);
        } else if waits {
            // Its messages may have been held back for want of room in the output.
            self.again.push(index);
        }
    }

    /// New pictures may be there.
    pub(crate) fn handle_bell(&mut self, desk: &mut Desk, at: At) {
        desk.follow(at.mono);
        for key in desk.viewers() {
            let wants = self.find(key).and_then(Conn::http).is_some_and(|s| s.wants_live());
            if wants {
                self.drive(key.index, desk, at);
            }
        }
    }

    fn find(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(key.index)?.as_mut().filter(|c| c.key == key)
    }

    /// Ends what has taken too long.
    pub(crate) fn handle_timeout(&mut self, desk: &mut Desk, at: At) {
        for index in 0..self.conns.len() {
            if let Some(Some(conn)) = self.conns.get_mut(index)
                && conn.handle_timeout(at)
            {
                self.drive(index, desk, at);
            }
        }
        if self.accept_again.is_some_and(|again| again <= at.mono) {
            self.accept_again = None;
            for which in 0..self.listeners.len() {
                self.accept(which, desk, at);
            }
        }
    }

    /// Accepts nobody any more, and ends every connection when its answer is sent.
    pub(crate) fn stop(&mut self, desk: &mut Desk, at: At) {
        for mut listener in self.listeners.drain(..) {
            let _ = self.registry.deregister(&mut listener.socket);
        }
        for index in 0..self.conns.len() {
            if let Some(Some(conn)) = self.conns.get_mut(index) {
                conn.close(at);
                self.drive(index, desk, at);
            }
        }
    }
}

/// Hears the next request or message; false if there is none.
fn go_on(conn: &mut Conn, desk: &mut Desk, at: At) -> bool {
    match &mut conn.machine {
        Machine::Http(session) => {
            let Some(event) = session.poll(at) else { return false };
            handle(conn, event, desk, at);
        }
        Machine::Ws(socket) => match socket.session.poll(at) {
            None => return false,
            Some(Message::Text(text)) => (socket.face.on_text)(desk, conn.key, &text, at),
            Some(Message::Binary(bytes)) => (socket.face.on_binary)(desk, conn.key, &bytes, at),
        },
    }
    true
}

/// Does what a session wants.
fn handle(conn: &mut Conn, event: Event, desk: &mut Desk, at: At) {
    match event {
        Event::Offer => {
            let from = conn.from(false);
            let Machine::Http(session) = &mut conn.machine else { return };
            let Some(request) = session.offered() else { return };
            conn.site = Site::of(request, &desk.config.origins);
            match rest::admit(desk, request, &conn.site, conn.peer, at) {
                Ok(pass) => {
                    let begun = match request.is_streamed() {
                        true => rest::begin(desk, request, from),
                        false => Ok(()),
                    };
                    conn.pass = Some(pass);
                    match begun {
                        Ok(()) => session.accept(),
                        Err(fault) => finish(conn, fault.response(at), desk, at),
                    }
                }
                Err(response) => finish(conn, *response, desk, at),
            }
        }
        Event::Piece(bytes) => {
            if let Err(fault) = rest::feed(desk, conn.key, bytes) {
                finish(conn, fault.response(at), desk, at);
            }
        }
        Event::Request(request) => {
            let pass = match conn.pass.take() {
                Some(pass) => pass,
                None => {
                    conn.site = Site::of(&request, &desk.config.origins);
                    match rest::admit(desk, &request, &conn.site, conn.peer, at) {
                        Ok(pass) => pass,
                        Err(response) => return finish(conn, *response, desk, at),
                    }
                }
            };
            let from = conn.from(conn.stream.is_secure());
            let reply = rest::answer(desk, &pass, &request, from, at);
            conn.pass = Some(pass);
            obey(conn, reply, desk, at);
        }
    }
}

/// Does what a handler wants.
fn obey(conn: &mut Conn, reply: Reply, desk: &mut Desk, at: At) {
    match reply {
        Reply::Now(response) => finish(conn, response, desk, at),
        Reply::Later => {}
        Reply::Live(response, viewer) => {
            conn.pass = None;
            let response = conn.site.allow(response, &desk.config.origins);
            let Some(session) = conn.http() else { return };
            session.start_live(&response, at);
            if session.is_live() {
                conn.prepare_live();
                desk.watch(conn.key, *viewer, at.mono);
            }
        }
        Reply::Upgrade(response, face) => {
            let Some(pass) = conn.pass.take() else { return };
            if conn.upgrade(&response, face, at) {
                (face.on_open)(desk, conn.key, conn.peer, &pass.who, at);
            }
        }
    }
}

/// Answers the request at hand.
fn finish(conn: &mut Conn, response: Response, desk: &Desk, at: At) {
    let rate = conn.pass.take().and_then(|pass| pass.rate);
    let response = match rate {
        Some(rate) => with_rate(response, rate),
        None => response,
    };
    let response = conn.site.allow(response, &desk.config.origins);
    if let Some(session) = conn.http() {
        session.answer(response, at);
    }
}
