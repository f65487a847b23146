//! An outlet: one RTP stream that many clients receive at the same time.
//!
//! It follows a ring (and goes over to another one at a key frame when told to), gives every unit
//! its sequence numbers, and makes its packets once. Units keep an index of the outlet's own, so
//! that clients stand at an index wherever the units come from.

use super::jpeg;
use super::packet::{PREFIX, Packets, Piece, Shape, Source, rtp_time};
use super::rtcp::SenderReport;
use crate::publish::{Stage, Stream, Subscription, Switch};
use crate::sys::socket::{Body, Gather, Part};
use lensd_ffi::bell::Bell;
use lensd_ffi::ring::{Cursor, Missed, Next, UnitView};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::Codec;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Most units that are remembered for clients that lag.
const MAX_ENTRIES: usize = 1024;
/// From so many clients on a unit is copied once, with its headers between, and every client gets
/// that image: the kernel takes one long piece in less time than many short ones. Measured here,
/// the copy (1 us) is made up for by the third client.
const CROWD: usize = 3;
/// Most times that wait to be told; more are as many clients twice.
const MAX_SENT: usize = 16_384;
/// Most packed units that are kept; late joiners walk through the same few.
const MAX_PACKED: usize = 8;

/// A unit that was given out.
#[derive(Debug, Clone)]
struct Entry {
    stream: Arc<Stream>,
    view: UnitView,
    first_seq: u16,
    /// When it came into the ring.
    published: Nanos,
}

/// How a unit's packets are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Interleaved on a channel.
    Interleaved(u8),
    /// One datagram a packet.
    Datagrams,
}

/// A unit, packed and ready to be sent to any client with this framing.
pub struct Packed {
    /// The message.
    pub gather: Gather,
    /// Packets in it.
    pub packets: usize,
    /// RTP bytes in it, without interleaved prefixes.
    pub bytes: usize,
    entry: Entry,
    made: Packets,
    lent: bool,
}

impl Packed {
    /// Whether every byte that was sent so far was right: asked after sending.
    pub fn is_intact(&self) -> bool {
        !self.lent || self.entry.stream.ring().is_intact(&self.entry.view)
    }

    /// How the unit is coded.
    pub const fn codec(&self) -> Codec {
        self.entry.view.meta.codec
    }

    /// When the unit was captured.
    pub const fn capture(&self) -> Stamp {
        self.entry.view.meta.capture
    }

    /// When the unit came into the ring.
    pub const fn published(&self) -> Nanos {
        self.entry.published
    }

    /// Appends the interleaved bytes from `from` on to `out`, for a client whose socket took only
    /// the first part.
    ///
    /// # Errors
    /// The unit is gone; the client has half of it and must be let go.
    pub fn copy_rest(&self, mut from: usize, out: &mut Vec<u8>) -> Result<(), Missed> {
        if let Some(image) = self.gather.image() {
            out.extend_from_slice(image.get(from..).unwrap_or_default());
            return Ok(());
        }
        for piece in &self.made.pieces {
            if from >= piece.len() {
                from -= piece.len();
                continue;
            }
            match piece {
                Piece::Header(r) => {
                    out.extend_from_slice(&self.made.headers[r.start + from..r.end]);
                }
                Piece::Unit(r) => self.entry.stream.ring().copy(
                    &self.entry.view,
                    r.start + from,
                    r.len() - from,
                    out,
                )?,
            }
            from = 0;
        }
        Ok(())
    }
}

/// What a client finds at its index.
pub enum Found {
    /// The unit.
    Unit(Arc<Packed>),
    /// It is not there yet.
    NotYet,
    /// It is gone: the client was too slow.
    Gone,
}

/// One RTP stream.
pub struct Outlet {
    shape: Shape,
    subscription: Subscription,
    cursor: Cursor,
    /// Where to go over to: the ring, and the first unit that counts there.
    pending: Switch,
    entries: VecDeque<Entry>,
    /// Index of the first entry.
    base: u64,
    next_seq: u16,
    packets: u32,
    octets: u32,
    last_capture: Nanos,
    /// Something was lost: what follows refers to it, so nothing is given out before a key frame.
    waits_for_key: bool,
    /// Units of the ring that no client can have.
    lost: u64,
    /// Why the newest unit that RTP cannot carry was left out.
    unfit: Option<&'static str>,
    packed: VecDeque<(u64, Framing, Arc<Packed>)>,
    /// How long units took to the kernel, one of each client, until the stream is told.
    sent: Vec<Nanos>,
    /// How many clients there are.
    pub crowd: usize,
}

impl Outlet {
    /// Follows a stream from its newest key frame on, or from now on if it has none.
    pub fn new(stream: &Arc<Stream>, bell: Bell, shape: Shape, first_seq: u16) -> Self {
        Self {
            shape,
            cursor: Cursor::at_key(stream.ring()),
            subscription: Subscription::new(stream, bell),
            pending: Switch::default(),
            entries: VecDeque::new(),
            base: 0,
            next_seq: first_seq,
            packets: 0,
            octets: 0,
            last_capture: Nanos(0),
            waits_for_key: false,
            lost: 0,
            unfit: None,
            packed: VecDeque::new(),
            sent: Vec::new(),
            crowd: 0,
        }
    }

    /// The stream that it follows.
    pub const fn stream(&self) -> &Arc<Stream> {
        self.subscription.stream()
    }

    /// Its SSRC.
    pub const fn ssrc(&self) -> u32 {
        self.shape.ssrc
    }

    /// Goes over to another stream at that one's next key frame.
    pub fn switch_to(&mut self, stream: &Arc<Stream>, bell: Bell) {
        self.pending.to(self.subscription.stream(), stream, bell);
    }

    /// One past the newest unit.
    pub fn head(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The newest key frame's index, if it can still be sent.
    pub fn newest_key(&self) -> Option<u64> {
        let back = self.entries.iter().rev().position(|e| e.view.meta.key)?;
        Some(self.head() - 1 - back as u64)
    }

    /// Capture time of the newest unit, 0 if there is none.
    pub const fn last_capture(&self) -> Nanos {
        self.last_capture
    }

    /// Units of the ring that never got an index: the outlet itself was too slow, or RTP cannot
    /// carry them.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the unit at this index is a key frame.
    pub fn is_key(&self, index: u64) -> bool {
        self.entry(index).is_some_and(|e| e.view.meta.key)
    }

    /// Sequence number and RTP time that the unit at this index has or the next unit will have.
    pub fn position(&self, index: u64) -> (u16, Option<u32>) {
        match self.entry(index) {
            Some(e) => (e.first_seq, Some(self.time_of(e.view.meta.capture.mono))),
            None => (self.next_seq, None),
        }
    }

    /// A capture time on this stream's RTP clock.
    pub const fn time_of(&self, capture: Nanos) -> u32 {
        rtp_time(capture).wrapping_add(self.shape.time_offset)
    }

    /// The sender report of this moment.
    pub const fn report(&self, now: Stamp) -> SenderReport {
        SenderReport {
            ssrc: self.shape.ssrc,
            utc: now.utc,
            rtp_time: self.time_of(now.mono),
            packets: self.packets,
            octets: self.octets,
        }
    }

    /// A client's socket has taken a unit that long after it came into the ring. Told to the stream
    /// by [`Outlet::tell_sent`] for all clients at once.
    pub fn note_sent(&mut self, span: Nanos) {
        if self.sent.len() < MAX_SENT {
            self.sent.push(span);
        }
    }

    /// Tells the stream what was noted until `now`.
    pub fn tell_sent(&mut self, now: Nanos) {
        if !self.sent.is_empty() {
            self.stream().note_spans(Stage::Send, &self.sent, now);
            self.sent.clear();
        }
    }

    /// Takes in all new units. Returns whether there were any.
    pub fn advance(&mut self) -> bool {
        self.go_over();
        let before = self.head();
        loop {
            let stream = Arc::clone(self.stream());
            match self.cursor.next(stream.ring()) {
                Next::Unit(view) => self.admit(stream, view),
                // The cursor stands at a key frame then only if the ring still has one.
                Next::Lapped(units) => self.lose(units),
                Next::Empty | Next::Corrupt => break,
            }
        }
        if self.waits_for_key {
            self.stream().want_key();
        }
        self.head() > before
    }

    /// Follows the pending stream if it has a key frame that is newer than all we sent.
    fn go_over(&mut self) {
        if let Some((subscription, key)) = self.pending.due(self.last_capture) {
            self.cursor = Cursor::at(key);
            self.subscription = subscription;
        }
    }

    /// Notes that units are gone before anybody saw them.
    fn lose(&mut self, units: u64) {
        self.lost += units;
        if !std::mem::replace(&mut self.waits_for_key, true) {
            // Clients notice by the missing sequence number.
            self.next_seq = self.next_seq.wrapping_add(1);
        }
    }

    fn admit(&mut self, stream: Arc<Stream>, view: UnitView) {
        if self.waits_for_key && !view.meta.key {
            self.lost += 1;
            return;
        }
        // Who looks at the ring at once may be here before the writer has said it.
        let published = stream.published_at(view.seq).unwrap_or(view.meta.encoded);
        let entry = Entry { stream, view, first_seq: self.next_seq, published };
        // The writer may be so near that the unit is overwritten while it is looked at.
        let Some(made) = self.make(&entry) else { return self.lose(1) };
        self.waits_for_key = false;
        if made.is_empty() {
            self.lost += 1;
            self.say_unfit(&entry);
            return;
        }
        self.next_seq = made.next_seq();
        self.packets = self.packets.wrapping_add(u32::try_from(made.packets.len()).unwrap_or(0));
        self.octets = self.octets.wrapping_add(u32::try_from(made.payload_len()).unwrap_or(0));
        self.last_capture = entry.view.meta.capture.mono;
        self.entries.push_back(entry);
        if self.entries.len() > MAX_ENTRIES {
            self.entries.pop_front();
            self.base += 1;
        }
    }

    /// Says once why pictures are left out.
    fn say_unfit(&mut self, entry: &Entry) {
        let why = refusal(&entry.stream, &entry.view);
        if why.is_some() && why != self.unfit {
            let why = why.unwrap_or_default();
            tracing::warn!(stream = entry.stream.name, "a picture is not sent over RTP: {why}");
            self.unfit = Some(why);
        }
    }

    fn make(&self, entry: &Entry) -> Option<Packets> {
        let ring = entry.stream.ring();
        let mut nals = Vec::new();
        ring.nals(&entry.view, &mut nals).ok()?;
        let head = |range| head_of(&entry.stream, &entry.view, range);
        let source =
            Source { meta: &entry.view.meta, len: entry.view.len, nals: &nals, head: &head };
        Some(Packets::pack(&source, &self.shape, entry.first_seq))
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.checked_sub(self.base)?).ok()?)
    }

    /// The unit at an index, packed for a framing.
    pub fn find(&mut self, index: u64, framing: Framing) -> Found {
        if index >= self.head() {
            return Found::NotYet;
        }
        if let Some((_, _, packed)) =
            self.packed.iter().find(|(i, f, _)| *i == index && *f == framing)
            && packed.is_sendable()
        {
            return Found::Unit(Arc::clone(packed));
        }
        let Some(packed) = self.entry(index).and_then(|e| self.pack(e, framing)) else {
            return Found::Gone;
        };
        let packed = Arc::new(packed);
        self.packed.retain(|(i, f, _)| (*i, *f) != (index, framing));
        if self.packed.len() >= MAX_PACKED {
            self.packed.pop_front();
        }
        self.packed.push_back((index, framing, Arc::clone(&packed)));
        Found::Unit(packed)
    }

    fn pack(&self, entry: &Entry, framing: Framing) -> Option<Packed> {
        if self.crowd >= CROWD {
            return self.pack_image(entry, framing);
        }
        let ring = entry.stream.ring();
        let mut made = self.make(entry)?;
        let lent = ring.is_lendable(&entry.view);
        let body = if lent {
            Body::Ring(Arc::clone(entry.stream.region()), ring.address(&entry.view))
        } else {
            // Too near to the writer to be lent: a checked copy cannot be torn.
            let mut bytes = Vec::with_capacity(entry.view.len);
            ring.copy(&entry.view, 0, entry.view.len, &mut bytes).ok()?;
            Body::Copy(bytes)
        };
        let gather = match framing {
            Framing::Interleaved(channel) => {
                made.set_channel(channel);
                let parts = made.pieces.iter().map(part);
                Gather::stream(made.headers.clone(), body, entry.view.len, parts)
            }
            Framing::Datagrams => {
                let packets =
                    made.packets.iter().map(|p| made.pieces[p.pieces.clone()].iter().map(part));
                Gather::datagrams(
                    made.headers.clone(),
                    body,
                    entry.view.len,
                    PREFIX,
                    self.shape.burst,
                    packets,
                )
            }
        };
        Some(Packed {
            gather: gather?,
            packets: made.packets.len(),
            bytes: made.len(),
            entry: entry.clone(),
            made,
            lent,
        })
    }
}

/// Some bytes of a unit; `None` if it does not have them, or not any more.
fn head_of(stream: &Stream, view: &UnitView, range: Range<usize>) -> Option<Vec<u8>> {
    // A NAL unit may be shorter than its own header, at the end of a truncated file.
    if range.end > view.len {
        return None;
    }
    let mut out = Vec::new();
    stream.ring().copy(view, range.start, range.len(), &mut out).ok()?;
    Some(out)
}

/// Why RTP cannot carry a unit of a stream; `None` if it can.
pub fn refusal(stream: &Stream, view: &UnitView) -> Option<&'static str> {
    match view.meta.codec {
        Codec::Jpeg => jpeg::refusal(view.len, &|range| head_of(stream, view, range)),
        Codec::H264 | Codec::H265 => None,
    }
}

impl Outlet {
    /// As `pack`, with everything copied into one piece.
    fn pack_image(&self, entry: &Entry, framing: Framing) -> Option<Packed> {
        let mut made = self.make(entry)?;
        let prefix = match framing {
            Framing::Interleaved(channel) => {
                made.set_channel(channel);
                0
            }
            Framing::Datagrams => PREFIX,
        };
        let ring = entry.stream.ring();
        let mut unit = Vec::with_capacity(entry.view.len);
        ring.copy(&entry.view, 0, entry.view.len, &mut unit).ok()?;
        let mut image = Vec::with_capacity(made.len() + PREFIX * made.packets.len());
        let mut packets = Vec::with_capacity(made.packets.len());
        for packet in &made.packets {
            let start = image.len();
            for (i, piece) in made.pieces[packet.pieces.clone()].iter().enumerate() {
                let skip = if i == 0 { prefix } else { 0 };
                image.extend_from_slice(match piece {
                    Piece::Header(r) => made.headers.get(r.start + skip..r.end)?,
                    Piece::Unit(r) => unit.get(r.clone())?,
                });
            }
            packets.push(start..image.len());
        }
        let len = image.len();
        let body = Body::Copy(image);
        let gather = match framing {
            Framing::Interleaved(_) => {
                Gather::stream(Vec::new(), body, len, packets.iter().map(Part::Unit))
            }
            Framing::Datagrams => {
                let each = packets.iter().map(|p| std::iter::once(Part::Unit(p)));
                Gather::datagrams(Vec::new(), body, len, 0, self.shape.burst, each)
            }
        };
        Some(Packed {
            gather: gather?,
            packets: made.packets.len(),
            bytes: made.len(),
            entry: entry.clone(),
            made,
            lent: false,
        })
    }
}

/// A piece as the kernel is given it.
pub const fn part(piece: &Piece) -> Part<'_> {
    match piece {
        Piece::Header(range) => Part::Header(range),
        Piece::Unit(range) => Part::Unit(range),
    }
}

impl Packed {
    /// Whether the message may be handed to the kernel now.
    fn is_sendable(&self) -> bool {
        !self.lent || self.entry.stream.ring().is_lendable(&self.entry.view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coded::CodedUnit;
    use crate::publish::{Kind, Publisher};
    use crate::rtp::packet::tests::PLAIN;
    use lensd_ffi::ring::Geometry;
    use lensd_ffi::unit::split_annex_b;

    const SHAPE: Shape =
        Shape { packet_size: 1000, ssrc: 1, time_offset: 0, extensions: PLAIN, burst: 64 };

    /// An outlet of a ring that holds four units.
    fn outlet() -> (Outlet, Publisher) {
        let geometry = Geometry { slots: 4, bytes: 4096 };
        let (stream, publisher) =
            Stream::create(1, Kind::Main, Codec::H264, geometry, Bell::new().unwrap()).unwrap();
        (Outlet::new(&stream, Bell::new().unwrap(), SHAPE, 0), publisher)
    }

    fn publish(publisher: &mut Publisher, key: bool) {
        let bytes = vec![0, 0, 0, 1, if key { 0x65 } else { 0x41 }, 1, 2, 3];
        let mut unit = CodedUnit { codec: Codec::H264, key, bytes, ..CodedUnit::default() };
        split_annex_b(&unit.bytes, &mut unit.nals);
        publisher.publish(&unit, None).unwrap();
    }

    /// Sequence number and key of all units that can be had.
    fn given(outlet: &Outlet) -> Vec<(u16, bool)> {
        (0..outlet.head()).map(|i| (outlet.position(i).0, outlet.is_key(i))).collect()
    }

    #[test]
    fn an_outlet_that_was_lapped_goes_on_at_a_key_frame() {
        let (mut outlet, mut publisher) = outlet();
        publish(&mut publisher, true);
        publish(&mut publisher, false);
        assert!(outlet.advance());
        // The ring holds no key frame any more when the outlet looks again.
        for _ in 0..9 {
            publish(&mut publisher, false);
        }
        assert!(!outlet.advance());
        assert!(outlet.stream().take_key_wanted());
        publish(&mut publisher, false);
        assert!(!outlet.advance(), "a picture that refers to what is lost");
        publish(&mut publisher, true);
        publish(&mut publisher, false);
        assert!(outlet.advance());
        // One sequence number is left out, by which decoders learn of the loss.
        assert_eq!(given(&outlet), [(0, true), (1, false), (3, true), (4, false)]);
        assert_eq!(outlet.lost(), 10);
    }

    #[test]
    fn an_outlet_that_was_lapped_finds_the_key_frame_in_the_ring() {
        let (mut outlet, mut publisher) = outlet();
        publish(&mut publisher, true);
        assert!(outlet.advance());
        for key in [false, false, false, false, false, true, false] {
            publish(&mut publisher, key);
        }
        assert!(outlet.advance());
        assert_eq!(given(&outlet), [(0, true), (2, true), (3, false)]);
        assert_eq!(outlet.lost(), 5);
    }

    #[test]
    fn a_picture_that_rtp_cannot_carry_is_left_out_and_counted() {
        let (mut outlet, mut publisher) = outlet();
        let bytes = vec![0xff, 0xd8, 0xff, 0xc2, 0, 2, 0xff, 0xd9];
        let nals = vec![lensd_ffi::unit::NalSpan { offset: 0, len: 8 }];
        let unit = CodedUnit { codec: Codec::Jpeg, key: true, bytes, nals, ..CodedUnit::default() };
        publisher.publish(&unit, None).unwrap();
        assert!(!outlet.advance());
        assert_eq!(outlet.lost(), 1);
        assert!(outlet.unfit.unwrap().contains("baseline"));
        publish(&mut publisher, true);
        assert!(outlet.advance());
        assert_eq!(given(&outlet), [(0, true)]);
    }

    #[test]
    fn a_unit_that_is_overwritten_while_it_is_taken_in_is_a_loss() {
        let (mut outlet, mut publisher) = outlet();
        publish(&mut publisher, true);
        let stream = Arc::clone(outlet.stream());
        let seen = stream.ring().view(0).unwrap();
        for _ in 0..4 {
            publish(&mut publisher, false);
        }
        outlet.admit(Arc::clone(&stream), seen);
        outlet.cursor = Cursor::at(1);
        assert!(!outlet.advance(), "nothing can be decoded without the unit that is gone");
        publish(&mut publisher, true);
        assert!(outlet.advance());
        assert_eq!(given(&outlet), [(1, true)]);
    }
}
