//! A camera that is another server's stream: pulled over RTSP, passed through.

pub mod session;

use crate::camera::{Camera, CameraError, CameraInfo, Shot, StampedAt};
use crate::ingest::{Ingest, Place};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::Codec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use session::{ClientSession, Event, SILENCE, Target};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;

/// See the module.
pub struct PulledCamera {
    target: Target,
    stream: TcpStream,
    session: ClientSession,
    place: Arc<Place>,
    ingest: Option<Ingest>,
}

impl PulledCamera {
    /// Connects; the stream's facts come later.
    ///
    /// # Errors
    /// When the address is none, or nobody answers there.
    pub fn open(url: &str, bell: Bell) -> Result<Self, CameraError> {
        let target = Target::parse(url).ok_or_else(|| {
            CameraError::lasting(
                "the URL is not rtsp://[user:password@]host[:port]/path".to_owned(),
            )
        })?;
        let fail = |e: io::Error| CameraError::passing(format!("{target:?}: {e}"));
        let addresses = target.address.to_socket_addrs().map_err(fail)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, SILENCE.duration()) {
                Ok(stream) => {
                    stream.set_nonblocking(true).map_err(fail)?;
                    let session = ClientSession::new(target.clone(), now());
                    let place = Place::new(bell);
                    return Ok(Self { target, stream, session, place, ingest: None });
                }
                Err(e) => last = e,
            }
        }
        Err(fail(last))
    }

    fn passing(&self, why: &str) -> CameraError {
        CameraError::passing(format!("{:?}: {why}", self.target))
    }

    /// Moves bytes both ways.
    fn turn(&mut self, at: Nanos) -> Result<(), CameraError> {
        let mut events = Vec::new();
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.passing("the server has closed the connection")),
                Ok(n) => self.session.handle_input(&buffer[..n], at, &mut events),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.passing(&e.to_string())),
            }
        }
        self.session.handle_timeout(at, &mut events);
        let out = self.session.take_output();
        if !out.is_empty() {
            // A few requests always fit into the socket's buffer.
            self.stream.write_all(&out).map_err(|e| self.passing(&e.to_string()))?;
        }
        for event in events {
            match event {
                Event::Described(what) => self.ingest = self.place.begin(&what),
                Event::Packet(bytes) => {
                    if let Some(ingest) = &mut self.ingest {
                        ingest.push(&bytes, at);
                    }
                }
                Event::Over(why, retry) => {
                    let message = format!("{:?}: {why}", self.target);
                    return Err(CameraError { message, retry });
                }
            }
        }
        Ok(())
    }
}

impl Camera for PulledCamera {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: self.target.url.clone(),
            format: "H264".to_owned(),
            coded: Some(Codec::H264),
            ..CameraInfo::default()
        }
    }

    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError> {
        if let Some(unit) = self.place.take() {
            return Ok(Shot::Unit(unit));
        }
        self.turn(now())?;
        if let Some(unit) = self.place.take() {
            return Ok(Shot::Unit(unit));
        }
        let mut fds = [PollFd::new(bell, PollFlags::IN), PollFd::new(&self.stream, PollFlags::IN)];
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut fds, Some(&second));
        let rung = fds[0].revents().contains(PollFlags::IN);
        if !rung {
            self.turn(now())?;
        }
        Ok(self.place.take().map_or(Shot::Woken, Shot::Unit))
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Arrived
    }

    fn lost(&self) -> u64 {
        self.place.lost()
    }
}

impl Drop for PulledCamera {
    fn drop(&mut self) {
        self.session.teardown(now());
        // The server notices the end of the connection in any case.
        let _ = self.stream.write_all(&self.session.take_output());
    }
}
