//! One receiver of an outlet: where it stands, how it is sent to, what it got and lost.

use super::conn::{Conn, Sent};
use crate::config::Join;
use crate::rtp::outlet::{Found, Framing, Outlet, Packed};
use crate::rtp::rtcp::{self, Report};
use crate::sys::socket::Address;
use lensd_ffi::time::{Nanos, Stamp, UtcNanos};
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How often a sender report is sent; with the loop's tick this stays under five seconds.
const REPORT_EVERY: Nanos = Nanos::from_secs(4);
/// The name in source descriptions (RFC 3550 6.5.1); no host name, which would be told to all.
pub const CNAME: &str = "lensd";

/// How packets reach a client.
#[derive(Debug)]
pub enum Delivery {
    /// On two channels of its connection.
    Stream {
        /// RTP channel.
        rtp: u8,
        /// RTCP channel.
        rtcp: u8,
    },
    /// To its address.
    Datagrams {
        /// Where RTP goes, as the kernel takes it.
        rtp: Address,
        /// Where RTCP goes.
        rtcp: SocketAddr,
    },
    /// To a group, together with others: the group's receiver sends, not this one.
    Group,
}

/// What a client got and lost.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Units sent.
    pub units: u64,
    /// Packets sent.
    pub packets: u64,
    /// RTP bytes sent.
    pub bytes: u64,
    /// Units left out.
    pub skipped: u64,
    /// Groups that these belong to.
    pub skipped_groups: u64,
    /// Lost packets by its last report.
    pub reported_lost: i64,
    /// Jitter by its last report, in microseconds.
    pub jitter_us: u64,
    /// Round trip time, in microseconds.
    pub round_trip_us: u64,
}

/// A receiver.
#[derive(Debug)]
pub struct Receiver {
    /// How it is reached.
    pub delivery: Delivery,
    /// Whether it plays.
    pub playing: bool,
    /// UTC milliseconds at which it began to.
    pub since_ms: i64,
    /// What it got.
    pub counts: Counts,
    /// Index of the unit that it gets next.
    next: u64,
    /// It gets nothing until this index or a later key frame.
    waits_for_key: bool,
    /// Its socket took nothing of the next unit.
    blocked: bool,
    /// Datagrams of the next unit that are sent already.
    partly: usize,
    /// When the rest of them may go, if the stream is paced.
    resume: Nanos,
    /// The way to this client refuses `UDP_SEGMENT`, e.g. a tunnel with small packets.
    single: bool,
    next_report: Nanos,
}

/// Why a connection is to be closed.
#[derive(Debug)]
pub enum Over {
    /// The socket says so.
    Io(io::Error),
    /// See [`Sent::Torn`].
    Torn,
}

impl Receiver {
    /// One that has not begun.
    pub fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            playing: false,
            since_ms: 0,
            counts: Counts::default(),
            next: 0,
            waits_for_key: false,
            blocked: false,
            partly: 0,
            resume: Nanos(0),
            single: false,
            next_report: Nanos(0),
        }
    }

    /// Begins. Returns the index it begins at if that is known, and asks for a key frame if not.
    pub fn begin(&mut self, outlet: &Outlet, join: Join, utc: UtcNanos) -> Option<u64> {
        self.playing = true;
        self.since_ms = utc.millis();
        self.next_report = Nanos(0);
        self.partly = 0;
        match outlet.newest_key().filter(|_| join == Join::Gop) {
            Some(key) => {
                self.next = key;
                self.waits_for_key = false;
                Some(key)
            }
            None => {
                self.next = outlet.head();
                self.waits_for_key = true;
                outlet.stream().want_key();
                None
            }
        }
    }

    /// Whether it stands at the end of the outlet, or waits for a key frame.
    pub const fn index(&self) -> u64 {
        self.next
    }

    /// Sends all that can be sent now.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn pump(
        &mut self,
        outlet: &mut Outlet,
        conn: Option<&mut Conn>,
        socket: &UdpSocket,
        reports: &UdpSocket,
        way: &mut Way,
        now: Stamp,
    ) -> Result<(), Over> {
        if !self.playing {
            return Ok(());
        }
        let mut conn = conn;
        loop {
            if self.waits_for_key && !self.find_key(outlet) {
                return Ok(());
            }
            if self.next >= outlet.head() {
                return Ok(());
            }
            if now.mono >= self.next_report {
                self.report(outlet, conn.as_deref_mut(), reports, now)?;
            }
            let sent = match &self.delivery {
                Delivery::Group => return Ok(()),
                Delivery::Stream { rtp, .. } => {
                    let Some(conn) = conn.as_deref_mut() else { return Ok(()) };
                    if !conn.is_clear() {
                        return Ok(());
                    }
                    match outlet.find(self.next, Framing::Interleaved(*rtp)) {
                        Found::NotYet => return Ok(()),
                        Found::Gone => None,
                        Found::Unit(unit) => match conn.send(&unit).map_err(Over::Io)? {
                            Sent::Taken => Some(unit),
                            Sent::Blocked => {
                                self.blocked = true;
                                self.drop_if_behind(outlet);
                                return Ok(());
                            }
                            Sent::Torn => return Err(Over::Torn),
                        },
                    }
                }
                Delivery::Datagrams { rtp, .. } => match outlet.find(self.next, Framing::Datagrams)
                {
                    Found::NotYet => return Ok(()),
                    Found::Gone => None,
                    Found::Unit(unit) => {
                        if now.mono < self.resume {
                            // Somebody else has woken the loop, which then asks all for the time.
                            way.come_back(self.resume);
                            return Ok(());
                        }
                        let mut segment_ok = way.segment_ok && !self.single;
                        let outcome = send_datagrams(
                            &unit,
                            socket,
                            rtp,
                            &mut self.partly,
                            way.pacing.0 > 0,
                            &mut segment_ok,
                        );
                        self.single = !segment_ok;
                        match outcome {
                            Datagrams::Sent => Some(unit),
                            Datagrams::Full => {
                                way.full = true;
                                return Ok(());
                            }
                            Datagrams::Later => {
                                let slots = unit.gather.datagram_count() as u64;
                                self.resume = now.mono.plus(Nanos(way.pacing.0 / slots.max(1)));
                                way.come_back(self.resume);
                                return Ok(());
                            }
                            Datagrams::Failed => {
                                // Not for one whom nothing reaches should all others get key
                                // frames again and again: the next one that comes is its next try.
                                self.leave_out(outlet);
                                continue;
                            }
                        }
                    }
                },
            };
            match sent {
                Some(unit) => self.count(&unit),
                None => self.skip_to_key(outlet),
            }
        }
    }

    /// Leaves a group out if a newer key frame waits behind a socket that takes nothing.
    fn drop_if_behind(&mut self, outlet: &Outlet) {
        if outlet.newest_key().is_some_and(|key| key > self.next) {
            self.skip_to_key(outlet);
        }
    }

    /// When the client's socket takes bytes; `waited`: some of the unit before had to wait.
    ///
    /// A socket says that it takes bytes also whenever it has brought some, so this alone does not
    /// mean that the client is slow.
    pub fn writable(&mut self, outlet: &Outlet, waited: bool) {
        let slow = std::mem::take(&mut self.blocked) || waited;
        if slow && self.playing && !self.waits_for_key {
            self.drop_if_behind(outlet);
        }
    }

    fn skip_to_key(&mut self, outlet: &Outlet) {
        if self.leave_out(outlet) {
            outlet.stream().want_key();
        }
    }

    /// Goes on at the newest key frame, or at the next one: then it returns `true`.
    fn leave_out(&mut self, outlet: &Outlet) -> bool {
        let key = outlet.newest_key().filter(|k| *k > self.next);
        let to = key.unwrap_or_else(|| outlet.head().max(self.next + 1));
        self.counts.skipped += to - self.next;
        self.counts.skipped_groups += 1;
        self.next = to;
        self.partly = 0;
        self.waits_for_key = key.is_none();
        self.waits_for_key
    }

    fn find_key(&mut self, outlet: &Outlet) -> bool {
        match outlet.newest_key().filter(|k| *k >= self.next) {
            Some(key) => {
                self.next = key;
                self.waits_for_key = false;
                true
            }
            None => false,
        }
    }

    fn count(&mut self, unit: &Arc<Packed>) {
        self.next += 1;
        self.partly = 0;
        self.counts.units += 1;
        self.counts.packets += unit.packets as u64;
        self.counts.bytes += unit.bytes as u64;
    }

    /// Sends a sender report if it is time.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn report(
        &mut self,
        outlet: &Outlet,
        conn: Option<&mut Conn>,
        socket: &UdpSocket,
        now: Stamp,
    ) -> Result<(), Over> {
        if !self.playing || now.mono < self.next_report {
            return Ok(());
        }
        self.next_report = now.mono.plus(REPORT_EVERY);
        let bytes = rtcp::sender_report(&outlet.report(now), CNAME);
        self.send_control(&bytes, conn, socket)
    }

    /// Says goodbye.
    pub fn goodbye(&mut self, outlet: &Outlet, conn: Option<&mut Conn>, socket: &UdpSocket) {
        if self.playing {
            let bytes = rtcp::goodbye(outlet.ssrc(), CNAME);
            // Whoever is gone already misses nothing.
            let _ = self.send_control(&bytes, conn, socket);
        }
        self.playing = false;
    }

    fn send_control(
        &self,
        bytes: &[u8],
        conn: Option<&mut Conn>,
        socket: &UdpSocket,
    ) -> Result<(), Over> {
        match (&self.delivery, conn) {
            (Delivery::Stream { rtcp, .. }, Some(conn)) => {
                let mut framed = vec![b'$', *rtcp];
                framed.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
                framed.extend_from_slice(bytes);
                conn.write(&framed).map_err(Over::Io)
            }
            (Delivery::Datagrams { rtcp, .. }, _) => {
                // A report that the network does not take is made up for by the next.
                let _ = socket.send_to(bytes, *rtcp);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a client's RTCP.
    pub fn heard(&mut self, bytes: &[u8], ssrc: u32, utc: UtcNanos) {
        for report in rtcp::parse(bytes) {
            if let Report::Block(block) = report
                && block.source == ssrc
            {
                self.counts.reported_lost = block.lost.into();
                self.counts.jitter_us = u64::from(block.jitter) * 1_000_000 / 90_000;
                if let Some(us) = rtcp::round_trip_us(&block, utc) {
                    self.counts.round_trip_us = us;
                }
            }
        }
    }
}

/// How datagrams are sent, and when the loop must come back for more.
#[derive(Debug, Default)]
pub struct Way {
    /// Whether the kernel cuts datagrams.
    pub segment_ok: bool,
    /// Over how long a unit is spread.
    pub pacing: Nanos,
    /// The next moment at which somebody's rest may go.
    pub resume: Option<Nanos>,
    /// The socket was full: somebody waits until it is not.
    pub full: bool,
}

impl Way {
    /// Notes that somebody's rest may go at `at`.
    fn come_back(&mut self, at: Nanos) {
        self.resume = Some(self.resume.map_or(at, |other| other.min(at)));
    }
}

enum Datagrams {
    Sent,
    /// The socket is full; the rest goes when it is not.
    Full,
    /// The stream is paced; the rest goes after a while.
    Later,
    /// The unit cannot be sent to this client.
    Failed,
}

fn send_datagrams(
    unit: &Packed,
    socket: &UdpSocket,
    to: &Address,
    partly: &mut usize,
    paced: bool,
    segment_ok: &mut bool,
) -> Datagrams {
    let all = unit.gather.datagram_count();
    while *partly < all {
        let end = if paced { *partly + 1 } else { all };
        match unit.gather.send_datagrams(socket, to, *partly..end, segment_ok) {
            Ok(n) => *partly += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Datagrams::Full,
            Err(_) => return Datagrams::Failed,
        }
        if paced && *partly < all {
            return Datagrams::Later;
        }
    }
    // What went out torn is a broken picture at the client, which its decoder will not believe
    // after the group is left out.
    if unit.is_intact() { Datagrams::Sent } else { Datagrams::Failed }
}
