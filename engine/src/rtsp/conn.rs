//! One TCP connection: bytes in, bytes and packed units out, with TLS or without.

use crate::rtp::outlet::Packed;
use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

/// Most bytes that wait for a client besides the rest of one unit: answers to requests. A client
/// that asks on without reading is let go.
const MAX_ANSWERS: usize = 256 * 1024;

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is sent, or its rest waits here.
    Taken,
    /// The socket took nothing; try it again when it is writable.
    Blocked,
    /// Bytes went out that the writer had overwritten meanwhile: end the connection, so that the
    /// client cannot take them for a picture.
    Torn,
}

/// A connection.
pub struct Conn {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    out: Vec<u8>,
    sent: usize,
    /// Bytes of answers and reports since nothing waited last; units are not among them.
    answers: usize,
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as the client sees it.
    pub local: SocketAddr,
}

impl Conn {
    /// A connection that was accepted.
    ///
    /// # Errors
    /// When it is gone already, or TLS cannot begin.
    pub fn new(
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let mut tls =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                // What waits is bounded by us: one unit, and MAX_ANSWERS.
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
        };
        let local = stream.local_addr()?;
        Ok(Self { stream, tls, out: Vec::new(), sent: 0, answers: 0, peer, local })
    }

    /// The socket, to be registered.
    pub const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether it is encrypted.
    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what is there. `Ok(0)`: the client has closed.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else the connection is over.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // A close without close_notify is a close, too.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            if let Err(e) = tls.process_new_packets() {
                // Let the alert out that says why.
                let _ = tls.write_tls(&mut self.stream);
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
    }

    /// Whether nothing waits, so that a unit may begin.
    pub fn is_clear(&self) -> bool {
        match &self.tls {
            Some(tls) => !tls.wants_write(),
            None => self.out.is_empty(),
        }
    }

    /// Sends an answer or a report, behind whatever waits.
    ///
    /// # Errors
    /// When the connection is over, or too much waits.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_clear() {
            self.answers = 0;
        }
        self.answers += bytes.len();
        if self.answers > MAX_ANSWERS && !self.is_clear() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"));
        }
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.out.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(e) => return Err(e),
                }
            }
            return Ok(());
        }
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // An idle client keeps no buffer.
        self.out = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Sends a unit that is whole already. Only while [`Conn::is_clear`].
    ///
    /// # Errors
    /// When the connection is over.
    pub fn send_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes)?,
            None => self.out.extend_from_slice(bytes),
        }
        self.flush()
    }

    /// Tells a TLS client that nothing follows (RFC 8446 section 6.1), as far as the socket takes it
    /// now: without that an end may be an attacker's.
    pub fn farewell(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = self.flush();
        }
    }

    /// Sends a unit. Only while [`Conn::is_clear`].
    ///
    /// # Errors
    /// When the connection is over.
    pub fn send(&mut self, packed: &Packed) -> io::Result<Sent> {
        if let Some(tls) = &mut self.tls {
            let mut bytes = Vec::with_capacity(packed.gather.len());
            if packed.copy_rest(0, &mut bytes).is_err() {
                return Ok(Sent::Torn);
            }
            tls.writer().write_all(&bytes)?;
            self.flush()?;
            return Ok(Sent::Taken);
        }
        let sent = match packed.gather.send_stream(&self.stream) {
            Ok(sent) => sent,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Blocked),
            Err(e) => return Err(e),
        };
        if !packed.is_intact() {
            return Ok(Sent::Torn);
        }
        if sent < packed.gather.len() && packed.copy_rest(sent, &mut self.out).is_err() {
            return Ok(Sent::Torn);
        }
        Ok(Sent::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose peer does not read, and the peer.
    fn stuck() -> (Conn, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, address) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        (Conn::new(TcpStream::from_std(stream), address, None).unwrap(), peer)
    }

    #[test]
    fn a_unit_that_waits_does_not_count_as_answers() {
        let (mut conn, _peer) = stuck();
        // The rest of a unit, more than the kernel takes.
        conn.out = vec![0; 64 << 20];
        for _ in 0..100 {
            conn.write(&[0; 60]).unwrap();
        }
        assert!(!conn.is_clear());
    }

    #[test]
    fn answers_that_nobody_reads_are_bounded() {
        let (mut conn, _peer) = stuck();
        conn.out = vec![0; 64 << 20];
        let written = (0..10_000).take_while(|_| conn.write(&[0; 1000]).is_ok()).count();
        assert_eq!(written, MAX_ANSWERS / 1000);
    }
}
