//! A socket with or without TLS: plain bytes on our side.

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::Shutdown;
use std::sync::Arc;

/// Most plain bytes that wait to become records.
const MAX_PLAIN: usize = 64 * 1024;
/// Records without content in one call: a peer may send them without end.
const MAX_EMPTY: usize = 16;

#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    /// Whether the peer knows that we send no more.
    said_end: bool,
}

impl Stream {
    /// A connection that was accepted.
    pub(super) fn new(tcp: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let _ = tcp.set_nodelay(true);
        let tls = match tls {
            None => None,
            Some(config) => {
                let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
                tls.set_buffer_limit(Some(MAX_PLAIN));
                Some(Box::new(tls))
            }
        };
        Ok(Self { tcp, tls, said_end: false })
    }

    /// The socket.
    pub(super) const fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Whether nobody on the way can read along.
    pub(super) const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what is there. `Ok(0)`: the peer sends no more. `Interrupted`: try again.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        for _ in 0..MAX_EMPTY {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                // An end without close_notify: HTTP and WebSocket have ends of their own.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            if let Err(e) = tls.process_new_packets() {
                // Let the alert out that says why.
                let _ = tls.write_tls(&mut self.tcp);
                return Err(io::Error::new(ErrorKind::InvalidData, e));
            }
        }
        Err(ErrorKind::Interrupted.into())
    }

    /// Takes bytes to be sent, as many as there is room for.
    pub(super) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.tls.is_none() {
            return self.tcp.write_vectored(pieces);
        }
        // What waits goes first: else its room would be taken for a socket that takes something.
        self.flush()?;
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let n = tls.writer().write_vectored(pieces)?;
        if n == 0 {
            // Before the handshake is over there is room for so much only.
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.flush() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(n),
            done => done.map(|()| n),
        }
    }

    /// Whether records wait to be sent.
    pub(super) fn wants_flush(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends all records that wait.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent. True once it is said.
    pub(super) fn end(&mut self) -> bool {
        if !std::mem::replace(&mut self.said_end, true)
            && let Some(tls) = &mut self.tls
        {
            tls.send_close_notify();
        }
        match self.flush() {
            Ok(()) => {
                let _ = self.tcp.shutdown(Shutdown::Write);
                true
            }
            Err(e) => e.kind() != ErrorKind::WouldBlock,
        }
    }
}
