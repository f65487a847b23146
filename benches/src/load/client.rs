//! One client: its sockets, its session, its stream.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use hdrhistogram::Histogram;
use lensd_ffi::time::{self, Nanos};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::tally::{Arrivals, Tally, histogram};
use super::udp::{Pair, Receiver};
use crate::media::stream::Stream;
use crate::rtsp::auth::Login;
use crate::rtsp::session::{Session, State, Transport};

/// Tokens per client: RTSP connection, RTP socket, RTCP socket.
pub(super) const TOKENS: usize = 3;

/// A client and all it has seen.
pub(super) struct Client {
    index: usize,
    tcp: TcpStream,
    udp: Option<Pair>,
    session: Session,
    /// The beginning of an item whose end has not arrived.
    carry: Vec<u8>,
    pub(super) stream: Stream,
    pub(super) began: Nanos,
    pub(super) latency: Histogram<u32>,
    /// Why it ended early.
    pub(super) failure: Option<String>,
    /// It was or will be told to stop reading.
    pub(super) stops: bool,
    paused: bool,
}

impl Client {
    /// Connects; the session goes on as the sockets report.
    pub(super) fn connect(
        index: usize,
        to: SocketAddr,
        uri: String,
        login: Option<Login>,
        udp: Option<Pair>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let began = time::now();
        let tcp = TcpStream::connect(to)?;
        let transport = match &udp {
            Some(pair) => Transport::Udp { rtp_port: pair.port },
            None => Transport::Tcp,
        };
        let session = Session::new(uri, login, transport, began);
        let mut client = Self {
            index,
            tcp,
            udp,
            session,
            carry: Vec::new(),
            stream: Stream::default(),
            began,
            latency: histogram(2),
            failure: None,
            stops: false,
            paused: false,
        };
        client.register(registry)?;
        Ok(client)
    }

    fn register(&mut self, registry: &Registry) -> io::Result<()> {
        let token = self.index * TOKENS;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.tcp, Token(token), both)?;
        if let Some(pair) = &mut self.udp {
            registry.register(&mut pair.rtp, Token(token + 1), Interest::READABLE)?;
            registry.register(&mut pair.rtcp, Token(token + 2), Interest::READABLE)?;
        }
        Ok(())
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.tcp)?;
        if let Some(pair) = &mut self.udp {
            registry.deregister(&mut pair.rtp)?;
            registry.deregister(&mut pair.rtcp)?;
        }
        Ok(())
    }

    /// Stops or resumes reading. Registering again reports at once what has come meanwhile.
    pub(super) fn pause(&mut self, paused: bool, registry: &Registry) -> io::Result<()> {
        if self.failure.is_some() || self.paused == paused {
            return Ok(());
        }
        self.paused = paused;
        if paused { self.deregister(registry) } else { self.register(registry) }
    }

    /// Media arrived, or never will.
    pub(super) fn is_settled(&self) -> bool {
        self.failure.is_some() || self.stream.first_packet.is_some()
    }

    /// Nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || self.paused || self.session.state() == State::Closed
    }

    /// The UDP port of RTP, if it has one.
    pub(super) fn rtp_port(&self) -> Option<u16> {
        self.udp.as_ref().map(|pair| pair.port)
    }

    /// Handles readiness of the RTSP connection. `ended` says that the peer has closed its side,
    /// so that reading must go on until the end is seen.
    pub(super) fn tcp_ready(&mut self, ended: bool, buf: &mut [u8], tally: &mut Tally) {
        if self.failure.is_none()
            && let Err(reason) = self.read(ended, buf, tally).and_then(|()| self.flush())
        {
            self.failure = Some(reason);
        }
    }

    fn read(&mut self, ended: bool, buf: &mut [u8], tally: &mut Tally) -> Result<(), String> {
        loop {
            // Only the beginning of one packet is ever carried, so this copies little.
            let have = self.carry.len();
            buf[..have].copy_from_slice(&self.carry);
            let space = buf.len() - have;
            let got = match self.tcp.read(&mut buf[have..]) {
                Ok(0) if self.session.state() == State::Closed => return Ok(()),
                Ok(0) => return Err("the server closed the connection".to_owned()),
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e.to_string()),
            };
            let now = time::now();
            let mut sink = Arrivals {
                now,
                stream: &mut self.stream,
                own: &mut self.latency,
                tally: (!self.stops).then_some(&mut *tally),
            };
            let bytes = &buf[..have + got];
            let used =
                self.session.handle_input(now, bytes, &mut sink).map_err(|f| f.to_string())?;
            self.carry.clear();
            self.carry.extend_from_slice(&bytes[used..]);
            // A short read has emptied the socket; asking again would double the system calls.
            if got < space && !ended {
                return Ok(());
            }
        }
    }

    /// Handles readiness of a UDP socket.
    pub(super) fn udp_ready(&mut self, rtcp: bool, receiver: &mut Receiver, tally: &mut Tally) {
        let Some(pair) = &self.udp else { return };
        if self.failure.is_some() {
            return;
        }
        loop {
            let batch = if rtcp {
                receiver.batch(&pair.rtcp, |_| {})
            } else {
                let mut sink = Arrivals {
                    now: Nanos(0),
                    stream: &mut self.stream,
                    own: &mut self.latency,
                    tally: (!self.stops).then_some(&mut *tally),
                };
                receiver.batch(&pair.rtp, |packet| {
                    // One reading of the clock per batch: it is when the batch arrived here.
                    if sink.now == Nanos(0) {
                        sink.now = time::now();
                    }
                    crate::rtsp::session::Sink::packet(&mut sink, packet);
                })
            };
            match batch {
                Ok(true) => {}
                Ok(false) => return,
                Err(e) => {
                    self.failure = Some(e.to_string());
                    return;
                }
            }
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Nanos) {
        if self.is_over() {
            return;
        }
        let due = self.session.handle_timeout(now).map_err(|f| f.to_string());
        if let Err(reason) = due.and_then(|()| self.flush()) {
            self.failure = Some(reason);
        }
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, now: Nanos) {
        if !self.is_over() {
            self.session.close(now);
            // The measurement is over; whether the goodbye arrives is the server's concern.
            let _ = self.flush();
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        let out = self.session.output();
        while !out.is_empty() {
            match self.tcp.write(out) {
                Ok(sent) => {
                    out.drain(..sent);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::NotConnected => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        Ok(())
    }
}
