//! The datagram sockets: one pair for all clients, and one per multicast group.

use lensd_ffi::listen::bind_freely;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Bytes of send buffer asked for: a key frame for every client at once.
const SEND_BUFFER: usize = 8 << 20;

/// RTP on an even port, RTCP on the next (RFC 3550 section 11).
#[derive(Debug)]
pub struct Pair {
    /// RTP.
    pub rtp: UdpSocket,
    /// RTCP.
    pub rtcp: UdpSocket,
    /// Their ports.
    pub ports: (u16, u16),
}

impl Pair {
    /// Binds a pair on an address; `port` 0 takes any even one.
    ///
    /// # Errors
    /// When the ports are taken, or no pair is free.
    pub fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        for _ in 0..64 {
            let rtp = socket(SocketAddr::new(ip, port))?;
            let bound = rtp.local_addr()?.as_socket().map_or(0, |a| a.port());
            let Some(next) = bound.checked_add(1).filter(|_| port != 0 || bound % 2 == 0) else {
                continue;
            };
            match socket(SocketAddr::new(ip, next)) {
                Ok(rtcp) => {
                    return Ok(Self {
                        rtp: UdpSocket::from_std(rtp.into()),
                        rtcp: UdpSocket::from_std(rtcp.into()),
                        ports: (bound, next),
                    });
                }
                Err(_) if port == 0 => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no two neighbouring UDP ports are free"))
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // The kernel gives what net.core.wmem_max allows.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    bind_freely(&socket, address)?;
    Ok(socket)
}

/// A socket that sends to a group, out of the interface with the address `from`.
///
/// # Errors
/// When the kernel refuses one of the options.
pub fn multicast_sender(from: IpAddr, ttl: u8) -> io::Result<UdpSocket> {
    let from = match from.to_canonical() {
        IpAddr::V4(ip) => ip,
        // Groups are IPv4; an IPv6 client's are sent by the default route.
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let socket = socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))?;
    socket.set_multicast_ttl_v4(u32::from(ttl))?;
    socket.set_multicast_loop_v4(true)?;
    if !from.is_unspecified() {
        socket.set_multicast_if_v4(&from)?;
    }
    Ok(UdpSocket::from_std(socket.into()))
}
