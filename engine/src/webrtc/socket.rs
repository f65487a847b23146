//! The one UDP socket of all sessions. It hears on every address of the machine, so each datagram's
//! own address counts: ICE answers from the address that was asked (RFC 8445 section 7.3), and a
//! machine with several has to be told which (`IPV6_PKTINFO`, ipv6(7); `IP_PKTINFO`, ip(7)).

use super::session::Wire;
use mio::net::UdpSocket;
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage,
    recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use str0m::net::Transmit;

/// Most datagrams that the kernel makes of one (`UDP_MAX_SEGMENTS` before Linux 6.9).
const MAX_SEGMENTS: usize = 64;
/// Most bytes of a datagram before it is cut.
const MAX_DATAGRAM: usize = 65_000;
/// A key frame of a large picture, several times.
const BUFFER: usize = 4 << 20;

/// Which addresses a socket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv6, and IPv4 mapped into it (RFC 4291 section 2.5.5.2).
    Both,
    /// The machine has no IPv6.
    V4,
}

/// See the module.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    family: Family,
    port: u16,
    /// Whether the kernel and the network device cut datagrams (`UDP_SEGMENT`, udp(7)).
    segments: bool,
    control: Vec<u8>,
}

/// A datagram that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// Bytes.
    pub len: usize,
    /// From where.
    pub from: SocketAddr,
    /// To which of our addresses.
    pub to: SocketAddr,
}

impl Datagrams {
    /// Binds a port of all addresses; 0: any.
    ///
    /// # Errors
    /// What the kernel says, e.g. that another program has the port.
    pub fn bind(port: u16) -> io::Result<Self> {
        let open = |domain| Socket::new(domain, Type::DGRAM, Some(Protocol::UDP));
        let (socket, family) = match open(Domain::IPV6) {
            Ok(socket) => (socket, Family::Both),
            Err(_) => (open(Domain::IPV4)?, Family::V4),
        };
        let all = match family {
            Family::Both => {
                socket.set_only_v6(false)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
            }
            Family::V4 => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
            }
        };
        // The kernel gives less where its limits are lower.
        let _ = socket.set_send_buffer_size(BUFFER);
        let _ = socket.set_recv_buffer_size(BUFFER / 8);
        socket.bind(&all.into())?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket.into());
        let port = socket.local_addr()?.port();
        let control = match family {
            Family::Both => cmsg_space!(nix::libc::in6_pktinfo),
            Family::V4 => cmsg_space!(nix::libc::in_pktinfo),
        };
        Ok(Self { socket, family, port, segments: true, control })
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its addresses.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// For the poll.
    pub const fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// The next datagram.
    ///
    /// # Errors
    /// `WouldBlock`; else what the kernel says.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Came> {
        let mut pieces = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = self.socket.as_raw_fd();
        let got = recvmsg::<SockaddrStorage>(fd, &mut pieces, Some(&mut self.control), flags)?;
        let from = got.address.as_ref().and_then(address_of).ok_or(io::ErrorKind::InvalidData)?;
        let to = got.cmsgs().find_map(|message| match message {
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
            }
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())))
            }
            _ => None,
        });
        let to = to.ok_or(io::ErrorKind::InvalidData)?.to_canonical();
        Ok(Came { len: got.bytes, from, to: SocketAddr::new(to, self.port) })
    }

    /// `sendmsg(2)` of datagrams of one length, but for the last, end to end.
    fn send_run(&self, first: &Transmit, run: &[IoSlice<'_>]) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let segment = u16::try_from(first.contents.len()).unwrap_or(u16::MAX);
        let (source, to) = (first.source.ip(), first.destination);
        match self.family {
            Family::Both => {
                let address = mapped(source);
                let info = nix::libc::in6_pktinfo {
                    ipi6_addr: nix::libc::in6_addr { s6_addr: address.octets() },
                    ipi6_ifindex: 0,
                };
                let messages = [
                    ControlMessage::Ipv6PacketInfo(&info),
                    ControlMessage::UdpGsoSegments(&segment),
                ];
                let SocketAddr::V6(to) = SocketAddr::new(mapped(to.ip()).into(), to.port()) else {
                    return Err(io::ErrorKind::InvalidInput.into());
                };
                let messages = if run.len() > 1 { &messages[..] } else { &messages[..1] };
                sendmsg(fd, run, messages, flags, Some(&SockaddrIn6::from(to)))?;
            }
            Family::V4 => {
                let (IpAddr::V4(source), SocketAddr::V4(to)) = (source, to) else {
                    return Err(io::ErrorKind::AddrNotAvailable.into());
                };
                let address = nix::libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) };
                let info = nix::libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: address,
                    ipi_addr: address,
                };
                let messages = [
                    ControlMessage::Ipv4PacketInfo(&info),
                    ControlMessage::UdpGsoSegments(&segment),
                ];
                let messages = if run.len() > 1 { &messages[..] } else { &messages[..1] };
                sendmsg(fd, run, messages, flags, Some(&SockaddrIn::from(to)))?;
            }
        }
        Ok(())
    }
}

impl Wire for Datagrams {
    fn flush(&mut self, queue: &mut VecDeque<Transmit>) -> bool {
        while let Some(first) = queue.front() {
            let most = if self.segments { MAX_SEGMENTS } else { 1 };
            let len = first.contents.len();
            let mut run = Vec::with_capacity(most.min(queue.len()));
            for packet in queue.iter().take(most.min(MAX_DATAGRAM / len.max(1)).max(1)) {
                let same = packet.destination == first.destination && packet.source == first.source;
                if !same || packet.contents.len() > len {
                    break;
                }
                run.push(IoSlice::new(&packet.contents));
                if packet.contents.len() < len {
                    break;
                }
            }
            let count = run.len();
            match self.send_run(first, &run) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // EIO: a device without checksum offload; EINVAL, ENOPROTOOPT: an old kernel. One
                // by one it is found out whether it was that.
                Err(e)
                    if count > 1
                        && matches!(
                            e.raw_os_error(),
                            Some(nix::libc::EIO | nix::libc::EINVAL | nix::libc::ENOPROTOOPT)
                        ) =>
                {
                    self.segments = false;
                    continue;
                }
                // What the network does not take is lost, as datagrams are; the client asks again.
                Err(e) => tracing::trace!(to = %first.destination, "a datagram was not sent: {e}"),
                Ok(()) => {}
            }
            queue.drain(..count);
        }
        true
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// A socket address as the rest of the program writes it.
fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), a.port())));
    let v6 = || address.as_sockaddr_in6().map(|a| SocketAddr::from((a.ip(), a.port())));
    let found = v4().or_else(v6)?;
    Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::time::{Nanos, now};
    use str0m::net::Protocol;

    fn receive(socket: &mut Datagrams, buffer: &mut [u8]) -> Came {
        let end = now().plus(Nanos::from_secs(60));
        loop {
            match socket.receive(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && now() < end => {
                    std::thread::yield_now();
                }
                got => return got.unwrap(),
            }
        }
    }

    /// Loopback has many addresses: an answer must come from the one that was asked.
    #[test]
    fn addresses_of_datagrams_are_known_and_chosen() {
        let (mut a, mut b) = (Datagrams::bind(0).unwrap(), Datagrams::bind(0).unwrap());
        let sizes = [1000, 1000, 400, 1200, 1200, 1200, 7];
        for (from, to) in [("127.0.0.7", "127.0.0.9"), ("::1", "::1")] {
            if a.family() == Family::V4 && from == "::1" {
                continue;
            }
            let source = SocketAddr::new(from.parse().unwrap(), a.port());
            let destination = SocketAddr::new(to.parse().unwrap(), b.port());
            let packet = |(i, len): (usize, &usize)| Transmit {
                proto: Protocol::Udp,
                source,
                destination,
                contents: vec![u8::try_from(i).unwrap(); *len].into(),
            };
            let mut queue: VecDeque<Transmit> = sizes.iter().enumerate().map(packet).collect();
            assert!(a.flush(&mut queue) && queue.is_empty());
            let mut buffer = [0; 2000];
            for (i, len) in sizes.iter().enumerate() {
                let came = receive(&mut b, &mut buffer);
                assert_eq!(came, Came { len: *len, from: source, to: destination });
                assert!(buffer[..*len].iter().all(|byte| usize::from(*byte) == i));
            }
        }
    }
}
