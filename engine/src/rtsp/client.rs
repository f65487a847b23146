//! One receiver of an outlet: where it stands, how it is sent to, what it got and lost.

use super::conn::{Conn, Sent};
use crate::config::Join;
use crate::publish::Recent;
use crate::rtp::outlet::{Found, Framing, Outlet, Packed};
use crate::rtp::rtcp::{self, Report};
use crate::sys::socket::{Address, Gather};
use lensd_ffi::state::Spread;
use lensd_ffi::time::{Nanos, Stamp, UtcNanos, now as clock_now};
use lensd_ffi::unit::Codec;
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// How often a sender report is sent; with the loop's tick this stays under five seconds.
pub(super) const REPORT_EVERY: Nanos = Nanos::from_secs(4);
/// How old the newest unit may be where somebody joins with the group in the ring. Behind an older
/// one a stream has rested: its last group would be a picture of long ago, and then a gap.
pub const STALE: Nanos = Nanos::from_secs(3);
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

impl Delivery {
    /// Sends an RTCP packet.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub(super) fn send_control(
        &self,
        bytes: &[u8],
        conn: Option<&mut Conn>,
        socket: &UdpSocket,
    ) -> Result<(), Over> {
        match (self, conn) {
            (Self::Stream { rtcp, .. }, Some(conn)) => {
                let mut framed = vec![b'$', *rtcp];
                framed.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
                framed.extend_from_slice(bytes);
                conn.write(&framed).map_err(Over::Io)
            }
            (Self::Datagrams { rtcp, .. }, _) => {
                // A report that the network does not take is made up for by the next.
                let _ = socket.send_to(bytes, *rtcp);
                Ok(())
            }
            _ => Ok(()),
        }
    }
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
    /// Packets of the next unit that are sent already.
    partly: usize,
    /// When the rest of them may go, if the stream is paced.
    resume: Nanos,
    /// The way to this client refuses `UDP_SEGMENT`, e.g. a tunnel with small packets.
    single: bool,
    /// Coding of what it gets, as its SDP said.
    codec: Option<Codec>,
    /// It has had a report, so it knows our source and is owed a goodbye.
    reported: bool,
    /// [`Outlet::lost`] when it was last looked at.
    seen_lost: u64,
    next_report: Nanos,
    /// It has had no unit since it began.
    fresh: bool,
    /// When it began to play. Units from before that show how far back it began, and nothing else.
    began: Nanos,
    /// When the unit came into the ring of which the kernel has not taken all yet.
    unwritten: Option<Nanos>,
    /// How long units took until the kernel had them.
    recent: Recent,
}

/// Why a connection is to be closed.
#[derive(Debug)]
pub enum Over {
    /// The socket says so.
    Io(io::Error),
    /// See [`Sent::Torn`].
    Torn,
    /// The path leads to a stream of another coding now, which a client that was told of this one
    /// cannot play: it must ask anew.
    Recoded,
}

impl Receiver {
    /// The same for a client that was told how the stream is coded.
    pub fn expecting(self, codec: Option<Codec>) -> Self {
        Self { codec, ..self }
    }

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
            codec: None,
            reported: false,
            seen_lost: 0,
            next_report: Nanos(0),
            fresh: true,
            began: Nanos(0),
            unwritten: None,
            recent: Recent::default(),
        }
    }

    /// Begins. Returns the index it begins at if that is known, and asks for a key frame if not.
    pub fn begin(&mut self, outlet: &Outlet, join: Join, now: Stamp) -> Option<u64> {
        self.playing = true;
        self.since_ms = now.utc.millis();
        self.greet();
        self.partly = 0;
        self.began = now.mono;
        self.seen_lost = outlet.lost();
        let fresh = now.mono.since(outlet.last_capture()) <= STALE;
        match outlet.newest_key().filter(|_| join == Join::Gop && fresh) {
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
        // What the outlet itself has lost, all its clients have.
        let lost = outlet.lost() - std::mem::replace(&mut self.seen_lost, outlet.lost());
        self.counts.skipped += lost;
        self.counts.skipped_groups += u64::from(lost > 0);
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
                        Found::Unit(unit) if self.codec.is_some_and(|c| c != unit.codec()) => {
                            return Err(Over::Recoded);
                        }
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
                    Found::Unit(unit) if self.codec.is_some_and(|c| c != unit.codec()) => {
                        return Err(Over::Recoded);
                    }
                    Found::Unit(unit) => {
                        if now.mono < self.resume {
                            // Somebody else has woken the loop, which then asks all for the time.
                            way.come_back(self.resume);
                            return Ok(());
                        }
                        let mut segment_ok = way.segment_ok && !self.single;
                        let outcome = send_datagrams(
                            &unit.gather,
                            socket,
                            rtp,
                            &mut self.partly,
                            way.pacing.0 > 0,
                            &mut segment_ok,
                        );
                        self.single = !segment_ok;
                        match outcome {
                            // What went out torn is a broken picture at the client, which its
                            // decoder will not believe after the group is left out.
                            Datagrams::Sent if !unit.is_intact() => {
                                self.leave_out(outlet);
                                continue;
                            }
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
                Some(unit) => {
                    // An answer to a request may have taken the rest of the one before along.
                    self.written(outlet, now.mono);
                    self.count(&unit);
                    // A second report goes with the second unit: GStreamer's jitter buffer forgets
                    // the one that came before its first packet.
                    if std::mem::take(&mut self.fresh) {
                        self.report_at_once();
                    }
                    self.unwritten = Some(unit.published());
                    if conn.as_deref().is_none_or(Conn::is_clear) {
                        self.written(outlet, clock_now());
                    }
                }
                None => self.skip_to_key(outlet),
            }
        }
    }

    /// The kernel has all of the newest unit now, if it was not so before.
    pub fn written(&mut self, outlet: &mut Outlet, now: Nanos) {
        if let Some(published) = self.unwritten.take().filter(|at| *at >= self.began) {
            let span = now.since(published);
            self.recent.note(span, now);
            outlet.note_sent(span);
        }
    }

    /// How long units took from the ring until the kernel had them, as of `now`.
    pub fn sent(&mut self, now: Nanos) -> Option<Spread> {
        self.recent.spread(now)
    }

    /// Lets reports go to one who has had none: before the next unit and before the one behind it.
    pub const fn greet(&mut self) {
        self.fresh = true;
        self.report_at_once();
    }

    /// Lets a sender report go before whatever is sent next.
    pub const fn report_at_once(&mut self) {
        self.next_report = Nanos(0);
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
        self.codec = Some(unit.codec());
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
        self.reported = true;
        let bytes = rtcp::sender_report(&outlet.report(now), CNAME);
        self.delivery.send_control(&bytes, conn, socket)
    }

    /// Says goodbye (RFC 3550 section 6.6), once: a receiver that has not heard of us must not hear
    /// that.
    pub fn goodbye(&mut self, outlet: &Outlet, conn: Option<&mut Conn>, socket: &UdpSocket) {
        if std::mem::take(&mut self.reported) {
            let bytes = rtcp::goodbye(outlet.ssrc(), CNAME);
            // Whoever is gone already misses nothing.
            let _ = self.delivery.send_control(&bytes, conn, socket);
        }
        self.playing = false;
    }

    /// Takes a client's RTCP.
    pub fn heard(&mut self, bytes: &[u8], ssrc: u32, utc: UtcNanos) {
        self.counts.heard(bytes, ssrc, utc);
    }
}

impl Counts {
    /// Takes what a client reports of the stream of this SSRC.
    pub(super) fn heard(&mut self, bytes: &[u8], ssrc: u32, utc: UtcNanos) {
        for report in rtcp::parse(bytes) {
            if let Report::Block(block) = report
                && block.source == ssrc
            {
                self.reported_lost = block.lost.into();
                self.jitter_us = u64::from(block.jitter) * 1_000_000 / 90_000;
                if let Some(us) = rtcp::round_trip_us(&block, utc) {
                    self.round_trip_us = us;
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
    pub(super) fn come_back(&mut self, at: Nanos) {
        self.resume = Some(self.resume.map_or(at, |other| other.min(at)));
    }
}

/// What became of a message of datagrams.
pub(super) enum Datagrams {
    Sent,
    /// The socket is full; the rest goes when it is not.
    Full,
    /// The stream is paced; the rest goes after a while.
    Later,
    /// The unit cannot be sent to this client.
    Failed,
}

/// Sends the packets of a message that are not sent yet, from `partly` on.
pub(super) fn send_datagrams(
    gather: &Gather,
    socket: &UdpSocket,
    to: &Address,
    partly: &mut usize,
    paced: bool,
    segment_ok: &mut bool,
) -> Datagrams {
    let all = gather.packet_count();
    while *partly < all {
        let end = if paced { gather.datagram_end(*partly) } else { all };
        match gather.send_datagrams(socket, to, *partly..end, segment_ok) {
            Ok(n) => *partly += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Datagrams::Full,
            Err(_) => return Datagrams::Failed,
        }
        if paced && *partly < all {
            return Datagrams::Later;
        }
    }
    Datagrams::Sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::CodedUnit;
    use crate::publish::{Kind, Publisher, Stream};
    use crate::rtp::packet::Shape;
    use crate::rtp::packet::tests::PLAIN;
    use lensd_ffi::bell::Bell;
    use lensd_ffi::ring::Geometry;
    use lensd_ffi::unit::split_annex_b;

    const SHAPE: Shape =
        Shape { packet_size: 1000, ssrc: 1, time_offset: 0, extensions: PLAIN, burst: 64 };

    fn at(secs: u64) -> Stamp {
        Stamp { mono: Nanos::from_secs(secs), ..Stamp::default() }
    }

    fn unit(codec: Codec, key: bool, capture: Stamp) -> CodedUnit {
        let bytes = vec![0, 0, 0, 1, 0x65, 1, 2, 3];
        let mut unit = CodedUnit { codec, key, capture, bytes, ..CodedUnit::default() };
        split_annex_b(&unit.bytes, &mut unit.nals);
        unit
    }

    fn outlet() -> (Outlet, Publisher) {
        let geometry = Geometry { slots: 16, bytes: 4096 };
        let (stream, publisher) =
            Stream::create(1, Kind::Main, Codec::H264, geometry, Bell::new().unwrap()).unwrap();
        (Outlet::new(&stream, Bell::new().unwrap(), SHAPE, 0), publisher)
    }

    #[test]
    fn another_coding_ends_the_session() {
        let (mut outlet, mut publisher) = outlet();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = peer.local_addr().unwrap();
        let delivery = Delivery::Datagrams { rtp: Address::from(to), rtcp: to };
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut receiver = Receiver::new(delivery);
        receiver.begin(&outlet, Join::Key, at(10));
        let mut way = Way { segment_ok: true, ..Way::default() };
        for (codec, ends) in [(Codec::H264, false), (Codec::H264, false), (Codec::H265, true)] {
            publisher.publish(&unit(codec, true, at(10)), None).unwrap();
            outlet.advance();
            let sent = receiver.pump(&mut outlet, None, &socket, &socket, &mut way, at(10));
            assert_eq!(matches!(sent, Err(Over::Recoded)), ends);
        }
        assert_eq!(receiver.counts.units, 2);
    }

    #[test]
    fn a_nal_unit_without_a_whole_header_is_survived() {
        let (mut outlet, mut publisher) = outlet();
        let mut broken = unit(Codec::H265, true, at(10));
        broken.bytes.extend_from_slice(&[0, 0, 1, 0x40]);
        broken.nals.clear();
        split_annex_b(&broken.bytes, &mut broken.nals);
        assert_eq!(broken.nals.len(), 2);
        publisher.publish(&broken, None).unwrap();
        assert!(outlet.advance());
    }

    #[test]
    fn a_group_of_long_ago_is_not_joined() {
        let (mut outlet, mut publisher) = outlet();
        publisher.publish(&unit(Codec::H264, true, at(10)), None).unwrap();
        outlet.advance();
        let mut receiver = Receiver::new(Delivery::Group);
        assert_eq!(receiver.begin(&outlet, Join::Gop, at(11)), Some(0));
        assert_eq!(receiver.begin(&outlet, Join::Gop, at(100)), None);
        assert!(outlet.stream().take_key_wanted());
    }
}
