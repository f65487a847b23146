//! The one loop that does WebRTC's I/O.

use super::addresses;
use super::hall::{Hall, World};
use super::session::Wire;
use super::socket::{Datagrams, Family};
use super::timeline::Timeline;
use super::view::{Health, View};
use crate::clock;
use crate::config::WebRtcOptions;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use str0m::Rtc;
use str0m::net::Transmit;

const BELL: Token = Token(0);
const CHANGE: Token = Token(1);
const UDP: Token = Token(2);

/// How often deadlines are looked at while there are clients.
const TICK: Nanos = Nanos::from_millis(250);
/// How often a port that could not be had is tried again.
const RETRY: Nanos = Nanos::from_secs(5);
/// Most datagrams that are read before the clients get their pictures.
const MAX_AT_ONCE: usize = 128;

/// What has no socket takes nothing.
struct Nowhere;

impl Wire for Nowhere {
    fn flush(&mut self, queue: &mut VecDeque<Transmit>) -> bool {
        queue.clear();
        true
    }
}

/// The server.
pub struct Server {
    poll: Poll,
    hall: Hall,
    socket: Option<Datagrams>,
    options: WebRtcOptions,
    view: Arc<View>,
    change: Bell,
    ticked: Nanos,
    tried: Nanos,
    buffer: Vec<u8>,
}

/// Times for str0m, taken when it takes its own.
pub fn timeline() -> Timeline {
    #[expect(clippy::disallowed_methods, reason = "str0m knows no other times")]
    let instant = Instant::now();
    let at = clock::stamp_now();
    // It takes its pair of an instant and UTC at the first one that it is told.
    let mut first = Rtc::builder().build(instant);
    let _ = first.handle_input(str0m::Input::Timeout(instant));
    Timeline::new(instant, at)
}

impl Server {
    /// Puts the server together. `change` rings when another camera becomes the active one.
    ///
    /// # Errors
    /// When a descriptor cannot be registered.
    pub fn new(world: World, change: Bell) -> io::Result<Self> {
        let poll = Poll::new()?;
        let view = Arc::clone(&world.view);
        for (bell, token) in [(&*view.bell, BELL), (&change, CHANGE)] {
            let fd = bell.as_fd().as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            hall: Hall::new(world),
            socket: None,
            options: WebRtcOptions { enabled: false, ..WebRtcOptions::default() },
            view,
            change,
            ticked: Nanos(0),
            tried: Nanos(0),
            buffer: vec![0; 2048],
        })
    }

    /// Runs until the view says stop.
    ///
    /// # Errors
    /// When `epoll_wait(2)` fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        self.take_options();
        while !self.view.stop.load(Ordering::Acquire) {
            let wait = self.wait();
            match self.poll.poll(&mut events, wait.map(Nanos::duration)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            // Pictures first.
            if self.view.bell.take() {
                self.deliver();
                self.take_options();
                self.take_posts();
            }
            for event in &events {
                match event.token() {
                    CHANGE if self.change.take() => {
                        self.hall.follow();
                        self.deliver();
                    }
                    UDP => {
                        if event.is_readable() {
                            self.read();
                        }
                        if event.is_writable() {
                            self.deliver();
                        }
                    }
                    _ => {}
                }
            }
            self.look();
        }
        let at = clock::stamp_now();
        match &mut self.socket {
            Some(socket) => self.hall.end_all(socket, at),
            None => self.hall.end_all(&mut Nowhere, at),
        }
        Ok(())
    }

    /// How long there is nothing to do.
    fn wait(&self) -> Option<Nanos> {
        let retry = (self.options.enabled && self.socket.is_none()).then_some(RETRY);
        if self.hall.is_idle() {
            return retry;
        }
        let until = self.hall.deadline().map_or(TICK, |at| at.since(now()));
        Some(until.min(TICK))
    }

    fn deliver(&mut self) {
        let at = clock::stamp_now();
        match &mut self.socket {
            Some(socket) => self.hall.deliver(socket, at),
            None => self.hall.deliver(&mut Nowhere, at),
        }
    }

    fn take_posts(&mut self) {
        // A port that was taken may be free by now.
        let mut first = true;
        while let Ok(post) = self.view.inbox.try_recv() {
            if std::mem::take(&mut first) {
                self.hall.meet_machine(addresses::of_machine());
            }
            self.hall.ask(post, clock::stamp_now());
        }
        if !first {
            self.publish();
        }
    }

    fn read(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        let mut heard: Vec<usize> = Vec::new();
        let mut more = true;
        for _ in 0..MAX_AT_ONCE {
            match socket.receive(&mut self.buffer) {
                Ok(came) => {
                    let at = clock::stamp_now();
                    let bytes = &self.buffer[..came.len];
                    if let Some(token) = self.hall.receive(came.from, came.to, bytes, at)
                        && !heard.contains(&token)
                    {
                        heard.push(token);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Such as what ICMP says of a client that is gone.
                Err(_) => {}
            }
        }
        let at = clock::stamp_now();
        for token in heard {
            self.hall.pump(token, socket, at);
        }
        if more {
            // There may be more; the pictures come first.
            let both = Interest::READABLE | Interest::WRITABLE;
            let _ = self.poll.registry().reregister(socket.source(), UDP, both);
        }
    }

    /// What is due because time has passed.
    fn look(&mut self) {
        let at = clock::stamp_now();
        if self.options.enabled && self.socket.is_none() && at.mono.since(self.tried) >= RETRY {
            self.open();
        }
        if self.hall.is_idle() {
            if !self.view.clients.lock().is_empty() {
                self.publish();
            }
            return;
        }
        if at.mono.since(self.ticked) >= TICK {
            self.ticked = at.mono;
            self.hall.end_void_logins(at);
            match &mut self.socket {
                Some(socket) => self.hall.handle_timeout(socket, at),
                None => self.hall.handle_timeout(&mut Nowhere, at),
            }
            self.publish();
        } else if self.hall.deadline().is_some_and(|deadline| deadline <= at.mono)
            && let Some(socket) = &mut self.socket
        {
            self.hall.handle_timeout(socket, at);
        }
    }

    fn publish(&mut self) {
        *self.view.clients.lock() = self.hall.describe(now());
    }

    /// Takes other options up. Another port ends who is there: he is connected to the old one.
    fn take_options(&mut self) {
        let options = self.view.options.lock().clone();
        if options == self.options && self.tried.0 > 0 {
            return;
        }
        let moved = options.port != self.options.port || options.enabled != self.options.enabled;
        self.options = options;
        if !moved && self.socket.is_some() {
            let place = self.place();
            return self.hall.set(&self.options, place);
        }
        if let Some(mut socket) = self.socket.take() {
            self.hall.end_all(&mut socket, clock::stamp_now());
            let _ = self.poll.registry().deregister(socket.source());
        }
        self.open();
        self.publish();
    }

    fn place(&self) -> Result<(u16, Family), String> {
        let socket = self.socket.as_ref().map(|socket| (socket.port(), socket.family()));
        socket.ok_or_else(|| "there is no socket".to_owned())
    }

    /// Opens the socket, if there is to be one.
    fn open(&mut self) {
        self.tried = now();
        let port = self.options.port;
        let opened = if self.options.enabled {
            Datagrams::bind(port)
                .and_then(|mut socket| {
                    let both = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(socket.source(), UDP, both)?;
                    Ok(socket)
                })
                .map_err(|e| {
                    format!("WebRTC needs UDP port {port}: {e}. Set webrtc-port to another, or 0")
                })
        } else {
            Err("WebRTC is switched off; the setting webrtc-enabled switches it on".to_owned())
        };
        let (place, health, socket) = match opened {
            Ok(socket) => {
                let health = Health { port: socket.port(), error: String::new() };
                (Ok((socket.port(), socket.family())), health, Some(socket))
            }
            Err(why) => {
                let error = if self.options.enabled { why.clone() } else { String::new() };
                (Err(why), Health { port: 0, error }, None)
            }
        };
        let mut known = self.view.health.lock();
        if !health.error.is_empty() && known.error != health.error {
            tracing::warn!("{}", health.error);
        }
        *known = health;
        drop(known);
        self.socket = socket;
        self.hall.set(&self.options, place);
    }
}
