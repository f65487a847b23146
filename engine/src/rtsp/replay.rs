//! A client that plays a recording: what it asks for, and when each picture goes to it.
//!
//! Each has a source, a pace and an RTP clock of its own. That clock is `CLOCK_MONOTONIC` as with
//! live streams, so that sender reports are right whatever was skipped or scaled; a picture's RTP
//! time is when it is to be shown (RFC 2326 section 12.34 and appendix B). Nothing is left out for
//! a slow client: it is waited for, which costs nobody else.

use super::client::{CNAME, Counts, Datagrams, Delivery, Over, REPORT_EVERY, Way, send_datagrams};
use super::conn::Conn;
use super::session::{Onvif, Start, Wanted};
use super::udp::Pair;
use super::wire::Status;
use crate::replay::range::{self, KEYS_BEYOND, Point, Range, to_clock, to_npt};
use crate::replay::reader::{Item, Order, Permits, Reader};
use crate::replay::walk::{Picture, Which};
use crate::replay::{Opened, Shelf, nanos};
use crate::rtp::extension::{REPLAY, Replayed};
use crate::rtp::outlet::part;
use crate::rtp::packet::{PREFIX, Packets, Piece, Shape, Source, rtp_time};
use crate::rtp::rtcp::{self, SenderReport};
use crate::sys::socket::{Body, Gather};
use lensd_ffi::mux::ticks;
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::UnitMeta;
use std::sync::Arc;

/// A picture that its reader brings later than this is not made up for: the clock waits.
const LATE: Nanos = Nanos::from_millis(100);

/// How long datagrams wait for the answer to PLAY, which goes another way: with packets that come
/// before it, GStreamer still looks for those of the place before.
const AHEAD: Nanos = Nanos::from_millis(50);

/// Most pictures of a client that go before the others get their turn.
const AT_ONCE: u64 = 64;

/// What all replays share.
#[derive(Default)]
pub struct Replays {
    /// Knows the recordings; none: there are none.
    pub shelf: Option<Arc<dyn Shelf>>,
    /// How many may be read at once.
    pub permits: Permits,
    /// Clients that play one.
    pub tokens: Vec<usize>,
}

/// Which recording a path names: `recording`, the newest, or `recording/ID`. None: it is no such
/// path.
pub fn recording_of(name: &str) -> Option<Option<i64>> {
    match name.strip_prefix("recording")? {
        "" => Some(None),
        id => id.strip_prefix('/')?.parse().ok().filter(|id| *id > 0).map(Some),
    }
}

/// What a PLAY has set off.
#[derive(Debug, Clone, Copy)]
struct Asked {
    onvif: Option<Onvif>,
    /// The range was one of the clock.
    by_clock: bool,
    scale: f64,
    until: Option<Point>,
    /// It begins somewhere else, not where it was paused.
    elsewhere: bool,
}

/// Which moment of the recording is played when.
#[derive(Debug, Clone, Copy, Default)]
struct Anchor {
    wall: Nanos,
    at: i64,
}

/// A picture on its way.
struct Parcel {
    /// Interleaved packets, for a client that gets them on its connection.
    image: Vec<u8>,
    /// Datagrams, for others.
    gather: Option<Gather>,
    /// Packets that are sent already.
    partly: usize,
    packets: usize,
    bytes: usize,
    payload: usize,
}

/// See the module.
pub struct Replay {
    /// How the client is reached.
    pub delivery: Delivery,
    /// What it got.
    pub counts: Counts,
    /// UTC milliseconds at which it began.
    pub since_ms: i64,
    /// The path that it was opened by.
    name: String,
    reader: Reader,
    opened: Arc<Opened>,
    shape: Shape,
    next_seq: u16,
    packets: u32,
    octets: u32,
    playing: bool,
    asked: Option<Asked>,
    anchor: Anchor,
    scale: f64,
    /// Which pictures were ordered.
    which: Which,
    /// What the last PLAY said of ONVIF's replay.
    onvif: Option<Onvif>,
    /// The next picture does not follow the one before.
    discontinuity: bool,
    /// Where it would go on, in ticks of the recording.
    position: i64,
    /// When the last picture that was taken ends.
    ends: i64,
    /// Something was ordered, and its end has not come.
    going: bool,
    /// There was nothing to send.
    starved: bool,
    parcel: Option<Parcel>,
    next_report: Nanos,
    reported: bool,
    fresh: bool,
    single: bool,
    resume: Nanos,
}

impl Replay {
    /// Of a recording that is open, and the path that it was opened by.
    pub fn new(
        (name, reader): (String, Reader),
        opened: Arc<Opened>,
        delivery: Delivery,
        shape: Shape,
        first_seq: u16,
    ) -> Self {
        Self {
            delivery,
            counts: Counts::default(),
            since_ms: 0,
            name,
            reader,
            opened,
            shape,
            next_seq: first_seq,
            packets: 0,
            octets: 0,
            playing: false,
            asked: None,
            anchor: Anchor::default(),
            scale: 1.0,
            which: Which::All,
            onvif: None,
            discontinuity: true,
            position: 0,
            ends: 0,
            going: false,
            starved: false,
            parcel: None,
            next_report: Nanos(0),
            reported: false,
            fresh: true,
            single: false,
            resume: Nanos(0),
        }
    }

    /// Its source.
    pub const fn ssrc(&self) -> u32 {
        self.shape.ssrc
    }

    /// What is known of the recording.
    pub const fn opened(&self) -> &Arc<Opened> {
        &self.opened
    }

    /// Gives the reader back, with the path.
    pub fn into_reader(self) -> (String, Reader) {
        (self.name, self.reader)
    }

    /// Begins, resumes, or goes elsewhere. None: the reader has not read that yet; ask again when
    /// the bell has rung.
    ///
    /// # Errors
    /// 400 for a scale that is none, 457 for a range that the recording does not have, 503 when its
    /// file cannot be read.
    pub fn play(&mut self, wanted: &Wanted<'_>, now: Stamp) -> Result<Option<Start>, Status> {
        let asked = match self.asked {
            Some(asked) => asked,
            None if self.playing && (wanted.range, wanted.scale) == (None, None) => {
                let range = Some(format!("npt={}-", to_npt(self.position)));
                return Ok(Some(Start { range, same: true, ..Start::default() }));
            }
            None => {
                let asked = self.ask(wanted)?;
                *self.asked.insert(asked)
            }
        };
        let paced = |picture: &Picture| (self.paced(picture), picture.shown, picture.captured);
        let first = self.reader.peek(|item| match item {
            Item::Picture(picture) => Ok(Some(paced(picture))),
            Item::End if asked.elsewhere => Err(Status::INVALID_RANGE),
            Item::End => Ok(None),
            Item::Failed(_) => Err(Status::UNAVAILABLE),
        });
        let first = match first {
            None => return Ok(None),
            Some(Ok(first)) => first,
            Some(Err(status)) => {
                self.pause();
                return Err(status);
            }
        };
        self.asked = None;
        (self.scale, self.onvif) = (asked.scale, asked.onvif);
        self.discontinuity |= asked.elsewhere;
        let (paced, shown, captured) =
            first.unwrap_or((self.ends, self.ends, self.opened.captured));
        let wait = match self.delivery {
            Delivery::Datagrams { .. } => AHEAD,
            Delivery::Stream { .. } | Delivery::Group => Nanos(0),
        };
        self.anchor = Anchor { wall: now.mono.plus(wait), at: paced };
        (self.playing, self.starved) = (true, false);
        self.since_ms = now.utc.millis();
        (self.fresh, self.next_report) = (true, Nanos(0));
        let all = self.opened.duration.map(|all| i64::try_from(all).unwrap_or(i64::MAX));
        let range = match (asked.by_clock, asked.until) {
            (true, Some(Point::Utc(until))) => {
                format!("clock={}-{}", to_clock(captured), to_clock(until))
            }
            (true, _) => format!("clock={}-", to_clock(captured)),
            (false, Some(Point::Ticks(until))) => {
                format!("npt={}-{}", to_npt(shown), to_npt(until))
            }
            (false, _) => {
                let until = if self.scale < 0.0 { Some(0) } else { all };
                format!("npt={}-{}", to_npt(shown), until.map(to_npt).unwrap_or_default())
            }
        };
        Ok(Some(Start {
            seq: Some(self.next_seq),
            time: first.map(|_| self.time_of(shown)),
            range: Some(range),
            scale: (wanted.scale.is_some() || self.scale != 1.0).then_some(self.scale),
            unpaced: self.is_unpaced(),
            same: false,
        }))
    }

    /// Works out what is wanted, and orders it.
    fn ask(&mut self, wanted: &Wanted<'_>) -> Result<Asked, Status> {
        let scale = match wanted.scale {
            Some(header) => range::scale(header).ok_or(Status::BAD_REQUEST)?,
            None => 1.0,
        };
        let range = match wanted.range {
            Some(header) => Range::parse(header).ok_or(Status::INVALID_RANGE)?,
            None => Range::default(),
        };
        let grows = self.opened.duration.is_none();
        // Of what does not grow, now is where it stands.
        let from = range.from.filter(|from| grows || *from != Point::Now);
        let until = range.until;
        let keys = wanted.onvif.is_some_and(|onvif| onvif.keys);
        let which = match scale {
            scale if scale < 0.0 => Which::KeysBack,
            scale if scale > KEYS_BEYOND || keys => Which::Keys,
            _ => Which::All,
        };
        let same = scale == self.scale && which == self.which && self.going;
        let elsewhere = from.is_some() || until.is_some() || !same;
        let all = i64::try_from(self.reader.duration()).unwrap_or(i64::MAX);
        let begun = self.going || self.position != 0;
        let at = match from {
            Some(at) => at,
            None if scale < 0.0 && !begun => Point::Ticks(all),
            None => Point::Ticks(self.position),
        };
        if matches!(at, Point::Ticks(at) if at > all) {
            return Err(Status::INVALID_RANGE);
        }
        if elsewhere {
            self.reader.order(Order { at, which, until });
            self.parcel = None;
            self.playing = false;
            (self.which, self.going) = (which, true);
        }
        let by_clock = matches!(range.from.or(range.until), Some(Point::Utc(_)));
        Ok(Asked { onvif: wanted.onvif, by_clock, scale, until, elsewhere })
    }

    /// Stops until the next [`Replay::play`].
    pub fn pause(&mut self) {
        self.playing = false;
        if self.asked.take().is_some_and(|asked| asked.elsewhere) {
            // What was ordered has not begun, so it is not what goes on.
            self.going = false;
        }
    }

    /// The moment by which a picture is paced: pictures out of order are sent when they are decoded,
    /// key frames alone when they are shown.
    fn paced(&self, picture: &Picture) -> i64 {
        if self.which == Which::All { picture.decode } else { picture.shown }
    }

    /// Whether the client sets the pace, which with datagrams it cannot.
    fn is_unpaced(&self) -> bool {
        let asked = self.onvif.is_some_and(|onvif| onvif.unpaced);
        asked && matches!(self.delivery, Delivery::Stream { .. })
    }

    /// How long after the anchor a moment of the recording is, in ticks.
    fn after(&self, at: i64) -> f64 {
        (at - self.anchor.at) as f64 / self.scale
    }

    fn due(&self, at: i64) -> Nanos {
        let span = self.after(at) * 100_000.0 / 9.0;
        self.anchor.wall.plus(Nanos(span.max(0.0) as u64))
    }

    /// RTP ticks, without the offset, at which a moment of the recording is shown.
    fn shown_at(&self, at: i64) -> u64 {
        ticks(self.anchor.wall).saturating_add_signed(self.after(at).round() as i64)
    }

    fn time_of(&self, at: i64) -> u32 {
        rtp_time(Nanos(nanos(self.shown_at(at)))).wrapping_add(self.shape.time_offset)
    }

    /// Sends all that is due.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn pump(
        &mut self,
        conn: &mut Conn,
        udp: &Pair,
        way: &mut Way,
        now: Stamp,
    ) -> Result<(), Over> {
        let begin = self.counts.units;
        while self.playing {
            if self.counts.units - begin >= AT_ONCE {
                way.come_back(now.mono);
                return Ok(());
            }
            if self.parcel.is_none() && !self.take(conn, udp, way, now.mono) {
                return Ok(());
            }
            self.report(Some(conn), udp, now)?;
            let Some(parcel) = &mut self.parcel else { continue };
            match &self.delivery {
                Delivery::Stream { .. } => {
                    if !conn.is_clear() {
                        return Ok(());
                    }
                    conn.send_whole(&parcel.image).map_err(Over::Io)?;
                }
                Delivery::Datagrams { rtp, .. } => {
                    if now.mono < self.resume {
                        way.come_back(self.resume);
                        return Ok(());
                    }
                    let Some(gather) = &parcel.gather else { return Ok(()) };
                    let mut segment_ok = way.segment_ok && !self.single;
                    let paced = way.pacing.0 > 0;
                    let partly = &mut parcel.partly;
                    let sent =
                        send_datagrams(gather, &udp.rtp, rtp, partly, paced, &mut segment_ok);
                    self.single = !segment_ok;
                    match sent {
                        Datagrams::Sent => {}
                        Datagrams::Full => {
                            way.full = true;
                            return Ok(());
                        }
                        Datagrams::Later => {
                            let slots = gather.datagram_count() as u64;
                            self.resume = now.mono.plus(Nanos(way.pacing.0 / slots.max(1)));
                            way.come_back(self.resume);
                            return Ok(());
                        }
                        Datagrams::Failed => {
                            self.counts.skipped += 1;
                            self.parcel = None;
                            continue;
                        }
                    }
                }
                Delivery::Group => return Ok(()),
            }
            self.count();
        }
        Ok(())
    }

    fn count(&mut self) {
        let Some(parcel) = self.parcel.take() else { return };
        self.counts.units += 1;
        self.counts.packets += parcel.packets as u64;
        self.counts.bytes += parcel.bytes as u64;
        self.packets = self.packets.wrapping_add(u32::try_from(parcel.packets).unwrap_or(0));
        self.octets = self.octets.wrapping_add(u32::try_from(parcel.payload).unwrap_or(0));
        // As with live streams: GStreamer's jitter buffer forgets the report that came before its
        // first packet.
        if std::mem::take(&mut self.fresh) {
            self.next_report = Nanos(0);
        }
    }

    /// Takes the next picture if it is due. False: there is nothing to send now.
    fn take(&mut self, conn: &mut Conn, udp: &Pair, way: &mut Way, now: Nanos) -> bool {
        let paced = |item: &Item| match item {
            Item::Picture(picture) => self.paced(picture),
            Item::End | Item::Failed(_) => self.ends,
        };
        let Some(at) = self.reader.peek(paced) else {
            self.starved = true;
            return false;
        };
        let last = match (self.onvif, self.reader.is_last()) {
            (None, _) => false,
            (Some(_), Some(last)) => last,
            // The end itself has nothing behind it.
            (Some(_), None)
                if self.reader.peek(|item| !matches!(item, Item::Picture(_))) == Some(true) =>
            {
                false
            }
            // Whether it is the last is to be said with it, so it waits for the next.
            (Some(_), None) => {
                self.starved = true;
                return false;
            }
        };
        let due = if self.is_unpaced() { now } else { self.due(at) };
        if std::mem::take(&mut self.starved) && now.since(due) > LATE {
            self.anchor.wall = self.anchor.wall.plus(now.since(due));
        } else if now < due {
            way.come_back(due);
            return false;
        }
        match self.reader.take() {
            Some(Item::Picture(picture)) => {
                self.position = picture.shown.max(0);
                // Backwards a picture lasts as long as the way to the one before.
                let lasts = if self.scale > 0.0 { i64::from(picture.duration) } else { 0 };
                self.ends = at + lasts;
                self.pack(picture, last);
            }
            Some(Item::Failed(why)) => {
                tracing::warn!(recording = self.opened.id, "it cannot be played on: {why}");
                self.end(conn, udp);
            }
            _ => self.end(conn, udp),
        }
        self.playing
    }

    fn end(&mut self, conn: &mut Conn, udp: &Pair) {
        // Who plays on begins anew.
        self.position = 0;
        self.going = false;
        self.goodbye(Some(conn), udp);
    }

    /// Makes the packets of a picture.
    fn pack(&mut self, picture: Picture, last: bool) {
        let mono = Nanos(nanos(self.shown_at(picture.shown)));
        let meta = UnitMeta {
            codec: self.opened.codec,
            key: picture.key,
            width: self.opened.width,
            height: self.opened.height,
            // The extensions tell when it was captured, the RTP time when it is shown.
            capture: Stamp { mono, utc: picture.captured, error_ns: Stamp::NO_BOUND },
            ..UnitMeta::default()
        };
        let head = |range: std::ops::Range<usize>| picture.bytes.get(range).map(<[u8]>::to_vec);
        let len = picture.bytes.len();
        let source = Source { meta: &meta, len, nals: &picture.nals, head: &head };
        let discontinuity = std::mem::take(&mut self.discontinuity);
        let mut made = match self.onvif {
            None => Packets::pack(&source, &self.shape, self.next_seq),
            Some(Onvif { cseq, .. }) => {
                let marks = Replayed { clean: picture.key, last, discontinuity, cseq };
                let words = marks.words(picture.captured);
                Packets::pack_with(&source, &self.shape, self.next_seq, (REPLAY, words))
            }
        };
        if made.is_empty() {
            self.counts.skipped += 1;
            return;
        }
        self.next_seq = made.next_seq();
        let mut parcel = Parcel {
            image: Vec::new(),
            gather: None,
            partly: 0,
            packets: made.packets.len(),
            bytes: made.len(),
            payload: made.payload_len(),
        };
        if let Delivery::Stream { rtp, .. } = self.delivery {
            made.set_channel(rtp);
            parcel.image.reserve_exact(made.len() + PREFIX * made.packets.len());
            for piece in &made.pieces {
                parcel.image.extend_from_slice(match piece {
                    Piece::Header(range) => &made.headers[range.clone()],
                    Piece::Unit(range) => &picture.bytes[range.clone()],
                });
            }
        } else {
            let packets =
                made.packets.iter().map(|p| made.pieces[p.pieces.clone()].iter().map(part));
            let (headers, body) = (made.headers.clone(), Body::Copy(picture.bytes));
            parcel.gather =
                Gather::datagrams(headers, body, len, PREFIX, self.shape.burst, packets);
        }
        self.parcel = Some(parcel);
    }

    /// Sends a sender report if it is time.
    ///
    /// # Errors
    /// The connection is to be closed.
    pub fn report(&mut self, conn: Option<&mut Conn>, udp: &Pair, now: Stamp) -> Result<(), Over> {
        if !self.playing || now.mono < self.next_report {
            return Ok(());
        }
        self.next_report = now.mono.plus(REPORT_EVERY);
        self.reported = true;
        let report = SenderReport {
            ssrc: self.shape.ssrc,
            utc: now.utc,
            rtp_time: rtp_time(now.mono).wrapping_add(self.shape.time_offset),
            packets: self.packets,
            octets: self.octets,
        };
        let bytes = rtcp::sender_report(&report, CNAME);
        self.delivery.send_control(&bytes, conn, &udp.rtcp)
    }

    /// Lets a sender report go before whatever is sent next.
    pub const fn report_at_once(&mut self) {
        self.next_report = Nanos(0);
    }

    /// Says goodbye (RFC 3550 section 6.6), and sends nothing until it is told to play.
    pub fn goodbye(&mut self, conn: Option<&mut Conn>, udp: &Pair) {
        if std::mem::take(&mut self.reported) {
            let bytes = rtcp::goodbye(self.shape.ssrc, CNAME);
            // Whoever is gone already misses nothing.
            let _ = self.delivery.send_control(&bytes, conn, &udp.rtcp);
        }
        self.playing = false;
    }
}
