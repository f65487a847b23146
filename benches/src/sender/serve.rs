//! The bare sender's loop.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use lensd_ffi::time::{self, Nanos};
use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt};

use super::Config;
use super::frames::{Film, Frame, PACKET};
use super::session::{Mode, Session};

const LISTENER: Token = Token(usize::MAX);
/// Whole packets below the 65,507 bytes of a UDP datagram, and below the kernel's 64 segments.
const GSO_BYTES: usize = 45 * PACKET;

/// The bare sender, listening.
pub struct Sender {
    config: Config,
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    peers: Vec<Option<Peer>>,
    film: Film,
    /// Clients that have played so far.
    served: usize,
    /// Frames that a client's full socket did not take.
    skipped: u64,
}

struct Peer {
    tcp: TcpStream,
    session: Session,
    udp: Option<UdpSocket>,
    /// The rest of a frame that the socket did not take.
    rest: Vec<u8>,
    counted: bool,
}

impl Sender {
    /// Listens.
    pub fn bind(config: Config) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(config.listen)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let film = Film::new(config.bitrate, config.fps, config.gop);
        let address = listener.local_addr()?;
        Ok(Self { config, poll, listener, address, peers: Vec::new(), film, served: 0, skipped: 0 })
    }

    /// The URL to play.
    pub fn url(&self) -> String {
        format!("rtsp://{}/bench", self.address)
    }

    /// Serves until all expected clients have left; says how many frames were skipped because a
    /// client read too slowly.
    pub fn run(&mut self) -> io::Result<u64> {
        let interval = Nanos(1_000_000_000 / u64::from(self.config.fps.max(1)));
        let mut events = Events::with_capacity(1024);
        let mut next_frame = time::now();
        loop {
            let playing = self.peers.iter().flatten().any(|p| p.session.playing);
            let wait = playing.then(|| next_frame.since(time::now()).duration());
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                outcome => outcome?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => self.peer_ready(index),
                }
            }
            if self.is_done() {
                return Ok(self.skipped);
            }
            let now = time::now();
            if now >= next_frame && self.peers.iter().flatten().any(|p| p.session.playing) {
                self.send_frame(now);
                // On the beat; but after a pause no burst makes up for it.
                next_frame = next_frame.plus(interval).max(now);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.config.clients.is_some_and(|n| self.served >= n)
            && self.peers.iter().all(Option::is_none)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut tcp = match self.listener.accept() {
                Ok((tcp, _)) => tcp,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(e) => return Err(e),
            };
            tcp.set_nodelay(true)?;
            let free = self.peers.iter().position(Option::is_none);
            let index = free.unwrap_or(self.peers.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut tcp, Token(index), both)?;
            let session = Session::default();
            let peer = Peer { tcp, session, udp: None, rest: Vec::new(), counted: false };
            match free {
                Some(index) => self.peers[index] = Some(peer),
                None => self.peers.push(Some(peer)),
            }
        }
    }

    fn peer_ready(&mut self, index: usize) {
        let Some(Some(peer)) = self.peers.get_mut(index) else { return };
        let alive = peer.handle(self.config.udp_only).is_ok() && !peer.session.over;
        if peer.session.playing && !peer.counted {
            peer.counted = true;
            self.served += 1;
        }
        if !alive {
            self.peers[index] = None;
        }
    }

    fn send_frame(&mut self, now: Nanos) {
        let modes = || self.peers.iter().flatten().filter_map(|p| p.session.mode);
        let tcp = modes().any(|mode| mode == Mode::Tcp);
        let udp = modes().any(|mode| mode != Mode::Tcp);
        let utc = time::utc_now().0.cast_unsigned();
        let frame = self.film.next(now.0, utc, tcp, udp);
        for slot in &mut self.peers {
            let Some(peer) = slot.as_mut().filter(|p| p.session.playing) else { continue };
            match peer.send(frame) {
                Ok(true) => {}
                Ok(false) => self.skipped += 1,
                Err(_) => *slot = None,
            }
        }
    }
}

impl Peer {
    /// Reads requests, writes what waits.
    fn handle(&mut self, udp_only: Option<bool>) -> io::Result<()> {
        let mut buf = [0; 4096];
        loop {
            match self.tcp.read(&mut buf) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => self.take(&buf[..got], udp_only)?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        // An answer must not fall into the middle of a frame.
        if self.flush()? && !self.session.output.is_empty() {
            self.rest = std::mem::take(&mut self.session.output);
            self.flush()?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], udp_only: Option<bool>) -> io::Result<()> {
        // The port is told in the answer to SETUP, so the socket is there before it.
        let port = match &self.udp {
            Some(socket) => socket.local_addr()?.port(),
            None => {
                let socket = UdpSocket::bind(SocketAddr::new(self.tcp.local_addr()?.ip(), 0))?;
                let port = socket.local_addr()?.port();
                self.udp = Some(socket);
                port
            }
        };
        self.session.handle_input(bytes, udp_only, port);
        if let (Some(Mode::Udp(to)), Some(socket)) = (self.session.mode, &self.udp) {
            // Connected: the route is looked up once, not at each send.
            socket.connect(SocketAddr::new(self.tcp.peer_addr()?.ip(), to))?;
            let segment = i32::try_from(PACKET).unwrap_or(i32::MAX);
            setsockopt(socket, sockopt::UdpGsoSegment, &segment)?;
        }
        Ok(())
    }

    /// Writes `rest`; says whether it is empty now.
    fn flush(&mut self) -> io::Result<bool> {
        while !self.rest.is_empty() {
            match self.tcp.write(&self.rest) {
                Ok(sent) => drop(self.rest.drain(..sent)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// One frame; says whether it was taken or skipped.
    fn send(&mut self, frame: &Frame) -> io::Result<bool> {
        if let (Some(Mode::Udp(_)), Some(socket)) = (self.session.mode, &self.udp) {
            for train in frame.udp.chunks(GSO_BYTES) {
                match socket.send(train) {
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                    // The client's port is gone; its TEARDOWN or the end of TCP will follow.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(false),
                    Err(e) => return Err(e),
                }
            }
            return Ok(true);
        }
        if !self.rest.is_empty() {
            return Ok(false);
        }
        let sent = match self.tcp.write(&frame.tcp) {
            Ok(sent) => sent,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        };
        if sent < frame.tcp.len() {
            self.rest.extend_from_slice(&frame.tcp[sent..]);
        }
        Ok(true)
    }
}
