//! One non-blocking connection: a socket and the machine that its bytes are for.

use super::stream::Stream;
use crate::desk::{ConnKey, Desk};
use crate::face::Face;
use crate::http::At;
use crate::http::cors::Site;
use crate::http::respond::Response;
use crate::http::session::Session;
use crate::media::Wish;
use crate::outbox::Parcel;
use crate::rest::{From, Pass};
use crate::ws;
use crate::ws::wire::Code;
use lensd_ffi::time::Nanos;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

/// How long a peer may go on sending after our last byte. To close at once would let its kernel
/// throw away the answer that it has not read yet (RFC 9112 9.6).
const LINGER: Nanos = Nanos::from_millis(500);
/// How long a peer may take for what TLS still has for it at the end.
const FLUSH_TIME: Nanos = Nanos::from_secs(30);
/// The kernel's send buffer of a live connection: about one picture, so that a slow viewer sees
/// what is new.
const LIVE_BUFFER: usize = 128 * 1024;
/// Most pieces that leave in one call.
const PIECES: usize = 32;

/// Pieces of a file before others have their turn.
const CHUNKS: usize = 2;

/// Who understands the bytes.
#[derive(Debug)]
pub(super) enum Machine {
    /// HTTP.
    Http(Box<Session>),
    /// A WebSocket.
    Ws(Box<Socket>),
}

/// A WebSocket and its face.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) session: ws::session::Session,
    pub(super) face: &'static Face,
    /// Whether the face knows that it is over.
    over: bool,
}

impl Socket {
    /// Tells the face, once, when messages are no longer exchanged.
    pub(super) fn tell_end(&mut self, key: ConnKey, gone: bool, desk: &mut Desk, at: At) {
        if !self.over && (gone || !self.session.is_open()) {
            self.over = true;
            (self.face.on_close)(desk, key, at);
        }
    }
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    /// Our end of it.
    local: SocketAddr,
    pub(super) key: ConnKey,
    pub(super) machine: Machine,
    /// The request at hand, between its head and its answer, and where it comes from.
    pub(super) pass: Option<Pass>,
    pub(super) site: Site,
    /// mio tells of changes only; these say what is known until the next one.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether the loop is to write, so that it is noted once.
    pub(super) is_noted: bool,
    /// Whether the peer has said that it sends no more, and whether that is still to be told.
    ended: bool,
    end_is_news: bool,
    /// Whether the peer knows that we send no more, and until when it may go on.
    is_shut: bool,
    lingers: Option<Nanos>,
    broken: bool,
    /// A piece of a file that must be read elsewhere, because the disk is to be waited for, and
    /// whether it is being read.
    wish: Option<Wish>,
    is_reading: bool,
}

impl Conn {
    pub(super) fn new(mut stream: Stream, peer: SocketAddr, key: ConnKey, at: At) -> Self {
        // It has one as long as it is connected.
        let local = stream.tcp().local_addr().unwrap_or(peer);
        Self {
            stream,
            peer,
            local,
            key,
            machine: Machine::Http(Box::new(Session::new(at))),
            pass: None,
            site: Site::Own,
            readable: false,
            writable: true,
            is_noted: false,
            ended: false,
            end_is_news: false,
            is_shut: false,
            lingers: None,
            broken: false,
            wish: None,
            is_reading: false,
        }
    }

    /// Where its requests come from.
    pub(super) const fn from(&self, secure: bool) -> From {
        From { peer: self.peer, local: self.local, key: self.key, secure }
    }

    /// Gives what must be read elsewhere to those who do it. False: they are too busy.
    pub(super) fn pass_wish(&mut self, desk: &mut Desk) -> bool {
        let Some(wish) = self.wish.take() else { return true };
        self.is_reading = desk.read_chunk(self.key, wish);
        self.is_reading
    }

    /// A piece of a file, as it was wished for.
    pub(super) fn take_chunk(&mut self, bytes: Vec<u8>) {
        self.is_reading = false;
        if let Machine::Http(session) = &mut self.machine
            && session.wants_chunk().is_some()
        {
            session.take_chunk(bytes);
        }
    }

    /// The HTTP session, as long as it is one.
    pub(super) fn http(&mut self) -> Option<&mut Session> {
        match &mut self.machine {
            Machine::Http(session) => Some(session),
            Machine::Ws(_) => None,
        }
    }

    /// Reads once, as much as the machine takes. False: nothing is there, or nothing is taken.
    pub(super) fn read(&mut self, scratch: &mut [u8], at: At) -> bool {
        let room = match &self.machine {
            Machine::Http(session) => session.room(),
            Machine::Ws(socket) => socket.session.room(),
        };
        let room = room.min(scratch.len());
        if !self.readable || room == 0 || self.broken {
            return false;
        }
        match self.stream.read(&mut scratch[..room]) {
            Ok(0) => {
                self.readable = false;
                self.ended = true;
                self.end_is_news = true;
                match &mut self.machine {
                    Machine::Http(session) => session.handle_end(),
                    Machine::Ws(socket) => socket.session.handle_end(),
                }
            }
            Ok(n) => match &mut self.machine {
                Machine::Http(session) => session.handle_input(&scratch[..n], at),
                Machine::Ws(socket) => socket.session.handle_input(&scratch[..n]),
            },
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return false;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.broken = true,
        }
        true
    }

    /// Whether the peer has ended its side; true once.
    pub(super) const fn take_end(&mut self) -> bool {
        std::mem::replace(&mut self.end_is_news, false)
    }

    /// Writes what the machine has, as far as the socket takes it. False: nothing went out.
    pub(super) fn write(&mut self, at: At) -> bool {
        let mut wrote = false;
        let mut chunks = CHUNKS;
        while self.writable && !self.broken {
            if let Machine::Http(session) = &mut self.machine
                && let Some((file, offset, length)) = session.wants_chunk()
            {
                if chunks == 0 || self.is_reading || self.wish.is_some() {
                    break;
                }
                chunks -= 1;
                let wish = Wish { file, offset, length };
                match wish.read_at_once() {
                    Some(bytes) => session.take_chunk(bytes),
                    None => {
                        self.wish = Some(wish);
                        break;
                    }
                }
            }
            let mut pieces = [IoSlice::new(&[]); PIECES];
            let count = match &self.machine {
                Machine::Http(session) => session.poll_pieces(&mut pieces),
                Machine::Ws(socket) => socket.session.poll_output(&mut pieces),
            };
            let done = match count {
                0 if self.stream.wants_flush() => self.stream.flush().map(|()| 0),
                0 => break,
                count => self.stream.write(&pieces[..count]),
            };
            match done {
                Ok(n) => {
                    wrote |= n > 0;
                    match &mut self.machine {
                        Machine::Http(session) => session.output_sent(n, at),
                        Machine::Ws(socket) => socket.session.output_sent(n, at),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    match &mut self.machine {
                        Machine::Http(session) => session.note_stall(at),
                        Machine::Ws(socket) => socket.session.note_stall(at),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
        let done = match &self.machine {
            Machine::Http(session) => session.is_done(),
            Machine::Ws(socket) => socket.session.is_done(),
        };
        if !done || self.broken {
            return wrote;
        }
        if !self.is_shut {
            self.is_shut = self.stream.end();
            let time = if self.is_shut { LINGER } else { FLUSH_TIME };
            self.lingers = Some(at.mono.plus(time).min(self.lingers.unwrap_or(Nanos(u64::MAX))));
        }
        // If all that it sent is read, closing throws nothing away.
        self.broken |= self.is_shut && self.ended;
        wrote
    }

    /// Whether a file is being sent: then what is written makes nobody wait but others.
    pub(super) fn sends_file(&self) -> bool {
        matches!(&self.machine, Machine::Http(session) if session.wants_chunk().is_some())
    }

    /// Live pictures follow.
    pub(super) fn prepare_live(&mut self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(self.stream.tcp(), LIVE_BUFFER);
    }

    /// Becomes a WebSocket.
    pub(super) fn upgrade(&mut self, response: &Response, face: &'static Face, at: At) -> bool {
        let Some((input, output)) = self.http().and_then(|s| s.upgrade(response, at)) else {
            return false;
        };
        let mut session = ws::session::Session::new(at);
        session.handle_input(&input);
        session.send(Arc::new(output));
        self.machine = Machine::Ws(Box::new(Socket { session, face, over: false }));
        true
    }

    /// Something is sent to this WebSocket. False: it was video, and the client is behind.
    pub(super) fn take(&mut self, parcel: Parcel, at: At) -> bool {
        let Machine::Ws(socket) = &mut self.machine else { return true };
        let taken = match parcel {
            Parcel::Frame(frame) => socket.session.send(frame),
            Parcel::IfClear(frame) => !socket.session.is_clear() || socket.session.send(frame),
            Parcel::Together(frames) => return socket.session.send_together(&frames),
            Parcel::Trust => {
                socket.session.trust();
                true
            }
            Parcel::Close(code, reason) => {
                socket.session.close(Code::Other(code), reason, at);
                true
            }
        };
        if !taken {
            tracing::info!(peer = %self.peer, "a WebSocket that does not read is dropped");
        }
        true
    }

    /// Begins the end.
    pub(super) fn close(&mut self, at: At) {
        match &mut self.machine {
            Machine::Http(session) => session.close(),
            Machine::Ws(socket) => socket.session.close(Code::Away, "the server stops", at),
        }
    }

    /// Whether there was something to do; then go on with the connection.
    pub(super) fn handle_timeout(&mut self, at: At) -> bool {
        let deadline = match &self.machine {
            Machine::Http(session) => session.deadline(),
            Machine::Ws(socket) => socket.session.deadline(),
        };
        let due = deadline.is_some_and(|d| d <= at.mono);
        if due {
            match &mut self.machine {
                Machine::Http(session) => session.handle_timeout(at),
                Machine::Ws(socket) => socket.session.handle_timeout(at),
            }
        }
        self.broken |= self.lingers.is_some_and(|until| until <= at.mono);
        due || self.broken
    }

    /// Whether the socket can be closed now.
    pub(super) const fn is_over(&self) -> bool {
        self.broken
    }
}
