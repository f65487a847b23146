//! One non-blocking connection: a socket and the session that its bytes are for.

use crate::desk::ConnKey;
use crate::http::At;
use crate::http::session::Session;
use crate::rest::Pass;
use lensd_ffi::time::Nanos;
use mio::net::TcpStream;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

/// How long a peer may go on sending after our last byte. To close at once would let its kernel
/// throw away the answer that it has not read yet (RFC 9112 9.6).
const LINGER: Nanos = Nanos::from_millis(500);
/// The kernel's send buffer of a live connection: about one picture, so that a slow viewer sees
/// what is new.
const LIVE_BUFFER: usize = 128 * 1024;

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) key: ConnKey,
    pub(super) session: Session,
    /// The request at hand, between its head and its answer.
    pub(super) pass: Option<Pass>,
    /// mio tells of changes only; these say what is known until the next one.
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Whether the peer has said that it sends no more.
    ended: bool,
    lingers: Option<Nanos>,
    broken: bool,
}

impl Conn {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, key: ConnKey, at: At) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            peer,
            key,
            session: Session::new(at),
            pass: None,
            readable: false,
            writable: true,
            ended: false,
            lingers: None,
            broken: false,
        }
    }

    /// Reads once, as much as the session takes. False: nothing is there, or nothing is taken.
    pub(super) fn read(&mut self, scratch: &mut [u8], at: At) -> bool {
        let room = self.session.room().min(scratch.len());
        if !self.readable || room == 0 || self.broken {
            return false;
        }
        match self.stream.read(&mut scratch[..room]) {
            Ok(0) => {
                self.readable = false;
                self.session.handle_end();
                self.ended = true;
            }
            Ok(n) => self.session.handle_input(&scratch[..n], at),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return false;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.broken = true,
        }
        true
    }

    /// Writes what the session has, as far as the socket takes it.
    pub(super) fn write(&mut self, at: At) {
        while self.writable && !self.broken {
            let bytes = self.session.poll_output();
            if bytes.is_empty() {
                break;
            }
            match self.stream.write(bytes) {
                Ok(n) => self.session.output_sent(n, at),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    self.session.note_stall(at);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
        if !self.session.is_done() || self.broken {
            return;
        }
        if self.ended {
            // All that it sent is read, so closing throws nothing away.
            self.broken = true;
        } else if self.lingers.is_none() {
            let _ = self.stream.shutdown(Shutdown::Write);
            self.lingers = Some(at.mono.plus(LINGER));
        }
    }

    /// Live pictures follow.
    pub(super) fn prepare_live(&self) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.stream, LIVE_BUFFER);
    }

    pub(super) fn handle_timeout(&mut self, at: At) {
        if self.session.deadline().is_some_and(|d| d <= at.mono) {
            self.session.handle_timeout(at);
        }
        self.broken |= self.lingers.is_some_and(|until| until <= at.mono);
    }

    /// Whether the socket can be closed now.
    pub(super) fn is_over(&self) -> bool {
        self.broken
    }
}
