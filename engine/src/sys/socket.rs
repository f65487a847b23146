//! Gathered sending, straight from shared memory: `sendmsg(2)` and `sendmmsg(2)`, the latter with
//! `UDP_SEGMENT` (`udp(7)`), which lets the kernel cut one large datagram into packets.

use lensd_ffi::region::Region;
use lensd_ffi::ring::Words;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// Most segments that the kernel makes of one datagram (`UDP_MAX_SEGMENTS` before Linux 6.9).
pub const MAX_SEGMENTS: usize = 64;
/// Most bytes of a datagram before it is cut.
const MAX_DATAGRAM: usize = 65_000;
/// Most pieces in one call (`IOV_MAX`).
const MAX_IOV: usize = 1024;
/// Most datagrams in one call.
const MAX_BATCH: usize = 8;

/// Where the bytes of a unit are.
pub enum Body {
    /// In a ring: the memory, and the address of the unit's first byte in it.
    Ring(Arc<Region>, *const u8),
    /// Copied out of it.
    Copy(Vec<u8>),
}

/// A piece of a message.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// Bytes of the headers.
    Header(&'a Range<usize>),
    /// Bytes of the unit.
    Unit(&'a Range<usize>),
}

/// A datagram that the kernel may cut.
struct Datagram {
    iov: Range<usize>,
    /// Bytes of each packet but the last; 0: one packet, nothing to cut.
    segment: u16,
    /// Which packets of the message it holds.
    packets: Range<usize>,
}

/// A message that is sent as it is to many clients: pieces of headers and of a unit, with
/// everything that they point into.
pub struct Gather {
    iov: Vec<libc::iovec>,
    datagrams: Vec<Datagram>,
    len: usize,
    // Held for the pointers in `iov`; neither is changed after `new`.
    _headers: Box<[u8]>,
    _body: Body,
}

// SAFETY: the pointers lead into memory that the value owns (or shares by an `Arc`), and are only
// read, by the kernel.
unsafe impl Send for Gather {}
// SAFETY: as above; no method changes anything.
unsafe impl Sync for Gather {}

impl Gather {
    /// Makes a stream message of `parts`. `None` if a part lies outside the headers or the unit of
    /// `unit_len` bytes.
    pub fn stream<'a>(
        headers: Vec<u8>,
        body: Body,
        unit_len: usize,
        parts: impl Iterator<Item = Part<'a>>,
    ) -> Option<Self> {
        let mut out = Self::new(headers, body, unit_len)?;
        for part in parts {
            out.push(part, 0, unit_len, 0)?;
        }
        out.len = out.iov.iter().map(|v| v.iov_len).sum();
        Some(out)
    }

    /// Makes datagrams of `packets`, each a list of parts of which the first `skip` bytes are left
    /// out. Neighbours of equal length go into one datagram, at most `burst` of them.
    pub fn datagrams<'a, P: Iterator<Item = Part<'a>>>(
        headers: Vec<u8>,
        body: Body,
        unit_len: usize,
        skip: usize,
        burst: usize,
        packets: impl Iterator<Item = P>,
    ) -> Option<Self> {
        let mut out = Self::new(headers, body, unit_len)?;
        // The group that may still grow: length of its packets, their number.
        let mut group: Option<(usize, usize)> = None;
        for packet in packets {
            let from = out.iov.len();
            let mut len = 0;
            for (i, part) in packet.enumerate() {
                len += out.push(part, if i == 0 { skip } else { 0 }, unit_len, from)?;
            }
            out.len += len;
            let to = out.iov.len();
            let first = out.datagrams.last().map_or(0, |d| d.iov.start);
            match &mut group {
                Some((segment, count))
                    if len <= *segment
                        && *count < burst.min(MAX_SEGMENTS)
                        && *segment * (*count + 1) <= MAX_DATAGRAM
                        && to - first <= MAX_IOV =>
                {
                    let segment = *segment;
                    *count += 1;
                    let end = out.join(from, to);
                    if let Some(datagram) = out.datagrams.last_mut() {
                        datagram.iov.end = end;
                        datagram.packets.end += 1;
                        datagram.segment = u16::try_from(segment).ok()?;
                    }
                    if len < segment {
                        group = None;
                    }
                }
                _ => {
                    let at = out.packet_count();
                    let packets = at..at + 1;
                    out.datagrams.push(Datagram { iov: from..to, segment: 0, packets });
                    group = Some((len, 1));
                }
            }
        }
        Some(out)
    }

    /// The whole message, if it is one copy of everything.
    pub fn image(&self) -> Option<&[u8]> {
        match &self._body {
            Body::Copy(bytes) if self._headers.is_empty() => Some(bytes),
            _ => None,
        }
    }

    fn new(headers: Vec<u8>, body: Body, unit_len: usize) -> Option<Self> {
        let inside = match &body {
            Body::Copy(bytes) => bytes.len() >= unit_len,
            Body::Ring(region, unit) => {
                let memory = region.words().as_ptr_range();
                let (from, to) = (memory.start.addr(), memory.end.addr());
                let at = unit.addr();
                from <= at && at.checked_add(unit_len).is_some_and(|end| end <= to)
            }
        };
        inside.then(|| Self {
            iov: Vec::new(),
            datagrams: Vec::new(),
            len: 0,
            _headers: headers.into_boxed_slice(),
            _body: body,
        })
    }

    /// Appends a part and returns its length. Parts that lie end to end, from piece `first` on, are
    /// one piece for the kernel.
    fn push(
        &mut self,
        part: Part<'_>,
        skip: usize,
        unit_len: usize,
        first: usize,
    ) -> Option<usize> {
        let (base, limit, range) = match part {
            Part::Header(range) => (self._headers.as_ptr(), self._headers.len(), range),
            Part::Unit(range) => match &self._body {
                Body::Copy(bytes) => (bytes.as_ptr(), bytes.len(), range),
                Body::Ring(_, unit) => (*unit, unit_len, range),
            },
        };
        if range.end > limit || range.start + skip > range.end {
            return None;
        }
        let iov_base = base.wrapping_add(range.start + skip).cast_mut().cast();
        let iov_len = range.len() - skip;
        self.iov.push(libc::iovec { iov_base, iov_len });
        let to = self.iov.len();
        self.join(first.max(to.saturating_sub(2)) + 1, to);
        Some(iov_len)
    }

    /// Joins piece `at`, the last but `to - at` one, with the one before it if they lie end to end;
    /// returns how many pieces there are then.
    fn join(&mut self, at: usize, to: usize) -> usize {
        if at > 0 && at < to {
            let (before, this) = (self.iov[at - 1], self.iov[at]);
            if before.iov_base.addr() + before.iov_len == this.iov_base.addr() {
                self.iov[at - 1].iov_len += this.iov_len;
                self.iov.remove(at);
            }
        }
        self.iov.len()
    }

    /// Bytes in all.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sends everything down a stream socket, as far as it takes it now. Returns how many bytes.
    ///
    /// # Errors
    /// Of the first call; `WouldBlock` means none.
    pub fn send_stream(&self, socket: impl AsFd) -> io::Result<usize> {
        let mut sent = 0;
        for iov in self.iov.chunks(MAX_IOV) {
            // SAFETY: an all-zero msghdr is a valid empty one.
            let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
            message.msg_iov = iov.as_ptr().cast_mut();
            message.msg_iovlen = iov.len();
            let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
            // SAFETY: the iovecs point into memory that `self` keeps, within bounds that `push`
            // checked; the kernel reads it alone.
            let n = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, flags) };
            let Ok(n) = usize::try_from(n) else {
                let error = io::Error::last_os_error();
                return if sent > 0 && error.kind() == io::ErrorKind::WouldBlock {
                    Ok(sent)
                } else {
                    Err(error)
                };
            };
            sent += n;
            if n < iov.iter().map(|v| v.iov_len).sum() {
                break;
            }
        }
        Ok(sent)
    }

    /// Sends a range of the packets to an address. Returns how many were sent before the socket was
    /// full. What is counted is packets, not datagrams, since a socket may be full in the middle of
    /// one whose packets go one by one.
    ///
    /// `segment_ok` is cleared, and the packets are sent one by one, when the kernel or the network
    /// device refuses `UDP_SEGMENT`.
    ///
    /// # Errors
    /// `WouldBlock` if not even one was sent; else what the kernel says.
    pub fn send_datagrams(
        &self,
        socket: impl AsFd,
        to: &Address,
        range: Range<usize>,
        segment_ok: &mut bool,
    ) -> io::Result<usize> {
        let fd = socket.as_fd().as_raw_fd();
        let mut single = |pieces: &mut [libc::iovec]| send_packet(fd, to, pieces);
        let end = range.end.min(self.packet_count());
        let mut at = range.start;
        while at < end {
            let first = self.datagram_of(at);
            let whole = self.datagrams[first..].iter().take(MAX_BATCH);
            let whole = whole.take_while(|d| d.packets.start >= at && d.packets.end <= end).count();
            let sent = if *segment_ok && whole > 0 {
                match self.send_segmented(fd, to, &self.datagrams[first..first + whole]) {
                    // The address may be what is wrong: only packets that go one by one prove that
                    // it was the cutting.
                    Err(e) if refuses_segments(&e) => {
                        let sent = self.send_single(first, at..end, &mut single);
                        *segment_ok = sent.is_err();
                        sent
                    }
                    sent => sent.map(|n| self.datagrams[first + n - 1].packets.end - at),
                }
            } else {
                self.send_single(first, at..end, &mut single)
            };
            match sent {
                Ok(packets) => at += packets,
                Err(e) if at > range.start && e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(at - range.start)
    }

    /// Number of datagrams.
    pub const fn datagram_count(&self) -> usize {
        self.datagrams.len()
    }

    /// Number of packets.
    pub fn packet_count(&self) -> usize {
        self.datagrams.last().map_or(0, |d| d.packets.end)
    }

    /// The first packet that is not in one datagram with packet `at`.
    pub fn datagram_end(&self, at: usize) -> usize {
        self.datagrams.get(self.datagram_of(at)).map_or(at, |d| d.packets.end)
    }

    fn datagram_of(&self, packet: usize) -> usize {
        self.datagrams.partition_point(|d| d.packets.end <= packet)
    }

    fn send_segmented(&self, fd: i32, to: &Address, batch: &[Datagram]) -> io::Result<usize> {
        let mut controls = [[0u64; CONTROL_WORDS]; MAX_BATCH];
        // SAFETY: all-zero mmsghdrs are valid empty ones.
        let mut messages: [libc::mmsghdr; MAX_BATCH] =
            unsafe { MaybeUninit::zeroed().assume_init() };
        for ((datagram, message), control) in batch.iter().zip(&mut messages).zip(&mut controls) {
            let header = &mut message.msg_hdr;
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len;
            header.msg_iov = self.iov[datagram.iov.clone()].as_ptr().cast_mut();
            header.msg_iovlen = datagram.iov.len();
            if datagram.segment > 0 {
                *control = segment_control(datagram.segment);
                header.msg_control = control.as_mut_ptr().cast();
                header.msg_controllen = CONTROL_WORDS * 8;
            }
        }
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: `batch.len()` (at most MAX_BATCH) headers are filled; their names, iovecs and
        // control words outlive the call; the kernel writes only `msg_len`.
        let n = unsafe {
            libc::sendmmsg(fd, messages.as_mut_ptr(), batch.len() as libc::c_uint, flags)
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Sends those packets of a datagram that are in `range`, one by one. Returns how many were sent
    /// before the socket was full.
    fn send_single(
        &self,
        datagram: usize,
        range: Range<usize>,
        send: &mut impl FnMut(&mut [libc::iovec]) -> io::Result<()>,
    ) -> io::Result<usize> {
        let datagram = &self.datagrams[datagram];
        let mut rest = self.iov[datagram.iov.clone()].to_vec();
        let all: usize = rest.iter().map(|v| v.iov_len).sum();
        let segment = if datagram.segment == 0 { all } else { datagram.segment.into() };
        let mut sent = 0;
        for packet in datagram.packets.start..datagram.packets.end.min(range.end) {
            let mut pieces = Vec::new();
            let mut room = segment;
            while room > 0 && !rest.is_empty() {
                let first = &mut rest[0];
                let take = first.iov_len.min(room);
                pieces.push(libc::iovec { iov_base: first.iov_base, iov_len: take });
                first.iov_base = first.iov_base.wrapping_byte_add(take);
                first.iov_len -= take;
                room -= take;
                if first.iov_len == 0 {
                    rest.remove(0);
                }
            }
            if packet < range.start {
                continue;
            }
            match send(&mut pieces) {
                Ok(()) => sent += 1,
                Err(e) if sent > 0 && e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(sent)
    }
}

/// `sendmsg(2)` of one packet, whose pieces are parts of those that `Gather::push` checked.
fn send_packet(fd: i32, to: &Address, pieces: &mut [libc::iovec]) -> io::Result<()> {
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = to.as_ptr().cast_mut().cast();
    message.msg_namelen = to.len;
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: as in `send_stream`.
    let n = unsafe { libc::sendmsg(fd, &raw const message, flags) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn refuses_segments(error: &io::Error) -> bool {
    // EIO: a device without checksum offload; EINVAL, ENOPROTOOPT: a kernel before 4.18.
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::ENOPROTOOPT))
}

/// Words of a control message that holds one `u16`: `cmsghdr` and the value, padded.
const CONTROL_WORDS: usize = 3;

/// `cmsg(3)` with `UDP_SEGMENT`.
fn segment_control(segment: u16) -> [u64; CONTROL_WORDS] {
    const { assert!(size_of::<libc::cmsghdr>() == 16) };
    let level = u64::from(libc::SOL_UDP.cast_unsigned());
    let kind = u64::from(libc::UDP_SEGMENT.cast_unsigned());
    // cmsg_len (8 bytes), cmsg_level and cmsg_type (4 each), then the value.
    if cfg!(target_endian = "little") {
        [16 + 2, level | kind << 32, u64::from(segment)]
    } else {
        [16 + 2, level << 32 | kind, u64::from(segment) << 48]
    }
}

/// A socket address as the kernel takes it, made once per client.
pub struct Address {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Address {
    fn as_ptr(&self) -> *const libc::sockaddr_storage {
        &raw const self.storage
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        // SAFETY: an all-zero sockaddr_storage is valid.
        let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        let len = match address {
            SocketAddr::V4(v4) => {
                let value = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: a sockaddr_storage has room and alignment for every address.
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(value) };
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let value = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(value) };
                size_of::<libc::sockaddr_in6>()
            }
        };
        Self { storage, len: len as libc::socklen_t }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    const UNIT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn a_stream_message_arrives_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let out = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let parts = [Part::Header(&(0..2)), Part::Unit(&(10..13)), Part::Header(&(2..4))];
        let gather = Gather::stream(
            b"HHTT".to_vec(),
            Body::Copy(UNIT.to_vec()),
            UNIT.len(),
            parts.into_iter(),
        )
        .unwrap();
        assert_eq!(gather.send_stream(&out).unwrap(), 7);
        let mut got = [0; 7];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"HHabcTT");
    }

    fn datagrams(lens: &[usize], segment: bool) -> Vec<Vec<u8>> {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ranges: Vec<[Range<usize>; 2]> = lens.iter().map(|&n| [0..6, 0..n - 2]).collect();
        let gather = Gather::datagrams(
            b"skipHH".to_vec(),
            Body::Copy(UNIT.to_vec()),
            UNIT.len(),
            4,
            MAX_SEGMENTS,
            ranges.iter().map(|[h, u]| [Part::Header(h), Part::Unit(u)].into_iter()),
        )
        .unwrap();
        let mut segment_ok = segment;
        let to = Address::from(receiver.local_addr().unwrap());
        let sent = gather.send_datagrams(&socket, &to, 0..usize::MAX, &mut segment_ok).unwrap();
        assert_eq!(sent, lens.len());
        assert_eq!(gather.packet_count(), lens.len());
        lens.iter()
            .map(|_| {
                let mut buffer = [0; 2000];
                let n = receiver.recv(&mut buffer).unwrap();
                buffer[..n].to_vec()
            })
            .collect()
    }

    #[test]
    fn packets_of_all_sizes_arrive_whole_cut_by_the_kernel_or_not() {
        let lens = [10, 30, 30, 30, 12, 30, 20, 20, 20, 25];
        for segment in [true, false] {
            let got = datagrams(&lens, segment);
            for (packet, len) in got.iter().zip(lens) {
                assert_eq!(packet[..2], *b"HH");
                assert_eq!(packet[2..], UNIT[..len - 2], "segment: {segment}");
            }
        }
    }

    #[test]
    fn more_packets_than_a_datagram_has_segments() {
        let lens = [20; 150];
        assert!(datagrams(&lens, true).iter().all(|p| p.len() == 20));
    }

    /// Lengths of the packets that a socket takes which is full after every `room` packets.
    fn sent_to_a_full_socket(gather: &Gather, room: usize) -> Vec<usize> {
        let mut got = Vec::new();
        let mut left = 0;
        let mut at = 0;
        while at < gather.packet_count() {
            let sent = gather.send_single(
                gather.datagram_of(at),
                at..usize::MAX,
                &mut |pieces: &mut [libc::iovec]| {
                    if left == 0 {
                        left = room;
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                    left -= 1;
                    got.push(pieces.iter().map(|p| p.iov_len).sum());
                    Ok(())
                },
            );
            at += sent.unwrap_or(0);
        }
        got
    }

    #[test]
    fn no_packet_goes_twice_when_the_socket_is_full_in_between() {
        let lens = [20, 20, 20, 20, 7, 30, 30, 9];
        let ranges = lens.map(|n: usize| 0..n);
        let body = Body::Copy(UNIT.to_vec());
        let packets = ranges.iter().map(|r| std::iter::once(Part::Unit(r)));
        let gather = Gather::datagrams(Vec::new(), body, UNIT.len(), 0, 64, packets).unwrap();
        assert_eq!((gather.datagram_count(), gather.packet_count()), (2, 8));
        assert_eq!([0, 4, 5, 7].map(|p| gather.datagram_end(p)), [5, 5, 8, 8]);
        for room in 1..10 {
            assert_eq!(sent_to_a_full_socket(&gather, room), lens, "full after {room}");
        }
    }

    #[test]
    fn the_rest_of_a_datagram_can_be_sent_alone() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Address::from(receiver.local_addr().unwrap());
        let lens = [20, 20, 20, 7, 30, 30, 9];
        let ranges = lens.map(|n: usize| 0..n);
        let body = Body::Copy(UNIT.to_vec());
        let packets = ranges.iter().map(|r| std::iter::once(Part::Unit(r)));
        let gather = Gather::datagrams(Vec::new(), body, UNIT.len(), 0, 64, packets).unwrap();
        for segment in [true, false] {
            for (from, end) in [(0, 7), (2, 7), (3, 5), (6, 7)] {
                let sent = gather.send_datagrams(&socket, &to, from..end, &mut { segment });
                assert_eq!(sent.unwrap(), end - from);
                for len in &lens[from..end] {
                    let mut buffer = [0; 100];
                    assert_eq!(receiver.recv(&mut buffer).unwrap(), *len, "{from}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_copy_of_everything_is_one_piece_for_the_kernel() {
        let packets = [0..10, 10..20, 20..30, 30..36];
        let parts = |r| std::iter::once(Part::Unit(r));
        let body = Body::Copy(UNIT.to_vec());
        let gather =
            Gather::datagrams(Vec::new(), body, UNIT.len(), 0, 64, packets.iter().map(parts))
                .unwrap();
        assert_eq!((gather.iov.len(), gather.datagrams.len(), gather.len()), (1, 1, 36));
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Address::from(receiver.local_addr().unwrap());
        for mut segment_ok in [true, false] {
            gather.send_datagrams(&socket, &to, 0..usize::MAX, &mut segment_ok).unwrap();
            for packet in &packets {
                let mut buffer = [0; 100];
                let n = receiver.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], &UNIT[packet.clone()]);
            }
        }
    }

    #[test]
    fn an_address_that_cannot_be_sent_to_says_nothing_of_segments() {
        // Port 0 is nobody's: EINVAL.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Address::from("127.0.0.1:0".parse::<SocketAddr>().unwrap());
        let packets = [0..10, 10..20];
        let parts = |r| std::iter::once(Part::Unit(r));
        let body = Body::Copy(UNIT.to_vec());
        let gather =
            Gather::datagrams(Vec::new(), body, UNIT.len(), 0, 64, packets.iter().map(parts))
                .unwrap();
        let mut segment_ok = true;
        assert!(gather.send_datagrams(&socket, &to, 0..1, &mut segment_ok).is_err());
        assert!(segment_ok);
    }

    #[test]
    fn parts_outside_are_refused() {
        for part in [Part::Header(&(0..5)), Part::Unit(&(30..37))] {
            let body = Body::Copy(UNIT.to_vec());
            assert!(
                Gather::stream(b"HHTT".to_vec(), body, UNIT.len(), [part].into_iter()).is_none()
            );
        }
    }
}
