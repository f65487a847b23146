//! The socket of WS-Discovery: datagrams in and out, and the interfaces on which they are heard.
//! What they mean is [`Session`]'s.
//!
//! It joins the group on each interface that is up and carries multicast, and again when addresses
//! come and go. A port that is taken, or a network without multicast, is a note and no fault:
//! clients that know the address need none of this.

use crate::desk::Desk;
use crate::discovery::wire::MAX_DATAGRAM;
use crate::discovery::{GROUP, Place, Session, Transmit};
use crate::http::At;
use crate::onvif::{self, Address};
use lensd_ffi::time::Nanos;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use rustix::net::{AddressFamily, SocketType, sockopt as option};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _};

/// Most interfaces: Linux lets one socket join 20 groups (igmp_max_memberships).
const MAX_INTERFACES: usize = 20;
/// Datagrams that are read before others have their turn.
const TURN: usize = 64;
/// Nothing goes beyond the local network (WS-Discovery, appendix I).
const TTL: u32 = 1;

/// An interface with an address under which HTTP is served.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Interface {
    index: u32,
    ip: Ipv4Addr,
    multicast: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Beacon {
    socket: UdpSocket,
    port: u16,
    session: Session,
    interfaces: Vec<Interface>,
    /// Those on which the group is joined.
    joined: Vec<Interface>,
    /// Something more is to be read.
    eager: bool,
    scratch: Box<[u8]>,
}

impl Beacon {
    /// Opens the socket. `port` 0: any free one.
    pub(crate) fn open(port: u16, registry: &Registry, token: Token, at: At) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
            None,
        )?;
        // Others on this machine may look for devices, or be one.
        option::set_socket_reuseaddr(&fd, true)?;
        option::set_ip_multicast_ttl(&fd, TTL)?;
        // Who looks for devices on this very machine is to hear us.
        option::set_ip_multicast_loop(&fd, true)?;
        setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
        rustix::net::bind(&fd, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
        let mut socket = UdpSocket::from_std(std::net::UdpSocket::from(fd));
        registry.register(&mut socket, token, Interest::READABLE)?;
        let port = socket.local_addr()?.port();
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        let instance = u32::try_from(at.utc.millis() / 1000).unwrap_or(u32::MAX);
        let session = Session::new(instance, u64::from_ne_bytes(seed));
        let scratch = vec![0; MAX_DATAGRAM + 1].into_boxed_slice();
        let (interfaces, joined) = (Vec::new(), Vec::new());
        Ok(Self { socket, port, session, interfaces, joined, eager: false, scratch })
    }

    /// The port that it has.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// When it is to be called without an event.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        if self.eager { Some(Nanos(0)) } else { self.session.deadline() }
    }

    /// Reads what is there and sends what is due. Called at each turn.
    pub(crate) fn turn(&mut self, readable: bool, desk: &Desk, at: At) {
        if readable || self.eager {
            self.eager = true;
            for _ in 0..TURN {
                if !self.read(desk, at) {
                    self.eager = false;
                    break;
                }
            }
        }
        while let Some(transmit) = self.session.poll_output(at.mono) {
            self.send(&transmit);
        }
    }

    fn read(&mut self, desk: &Desk, at: At) -> bool {
        let mut space = nix::cmsg_space!(nix::libc::in_pktinfo);
        let mut pieces = [IoSliceMut::new(&mut self.scratch)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = match recvmsg::<SockaddrIn>(fd, &mut pieces, Some(&mut space), flags) {
            Ok(got) => got,
            Err(nix::errno::Errno::EINTR) => return true,
            Err(_) => return false,
        };
        let Some(from) = got.address.map(|a| SocketAddr::from(SocketAddrV4::from(a))) else {
            return true;
        };
        let info = Some(got.cmsgs()).and_then(|mut all| {
            all.find_map(|c| match c {
                ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
                _ => None,
            })
        });
        let (length, Some(info)) = (got.bytes, info) else { return true };
        // In the order of the bytes on the wire.
        let to = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
        let index = u32::try_from(info.ipi_ifindex).unwrap_or(0);
        let found = match to.is_multicast() {
            true => self.interfaces.iter().find(|i| i.index == index),
            false => self.interfaces.iter().find(|i| i.ip == to),
        };
        let Some(interface) = found.cloned() else { return true };
        let mut place = place(&interface, desk);
        if !to.is_multicast() {
            // The routes know best how to reach who has asked only us.
            place.index = 0;
        }
        let bytes = self.scratch.get(..length).unwrap_or_default().to_vec();
        self.session.handle_input(&bytes, from, to.is_multicast(), &place, at.mono);
        true
    }

    fn send(&self, transmit: &Transmit) {
        let SocketAddr::V4(to) = transmit.to else { return };
        let info = nix::libc::in_pktinfo {
            ipi_ifindex: i32::try_from(transmit.index).unwrap_or(0),
            ipi_spec_dst: nix::libc::in_addr { s_addr: 0 },
            ipi_addr: nix::libc::in_addr { s_addr: 0 },
        };
        let pieces = [IoSlice::new(&transmit.bytes)];
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let address = SockaddrIn::from(to);
        let sent = sendmsg(self.socket.as_raw_fd(), &pieces, &control, flags, Some(&address));
        if let Err(e) = sent {
            // A network that has gone, or a full buffer: datagrams may be lost.
            tracing::debug!(%to, "a discovery message is not sent: {e}");
        }
    }

    /// Once a second: interfaces that come and go, and what is said there of us.
    pub(crate) fn look(&mut self, desk: &mut Desk, at: At) {
        if !self.session.is_known() {
            self.session.set_identity(onvif::endpoint(desk), self.port);
        }
        let others = self.session.set_scopes(onvif::scopes(desk));
        let bound = desk.config.http_address().ok().flatten().map(|a| a.ip());
        let now = match interfaces() {
            Ok(all) => all,
            // They stay as they were.
            Err(e) => {
                let why = format!("the interfaces cannot be listed: {e}");
                let addresses: Vec<String> = self.joined.iter().map(|i| i.ip.to_string()).collect();
                return onvif::note_discovery(desk, &addresses, Some(&why));
            }
        };
        let serves = |i: &Interface| match bound {
            Some(ip) => ip.is_unspecified() || ip == i.ip,
            // By HTTPS alone.
            None => desk.own_ports.contains_key("https"),
        };
        self.interfaces = now.into_iter().filter(serves).take(MAX_INTERFACES).collect();
        let before = std::mem::take(&mut self.joined);
        for gone in before.iter().filter(|i| !self.interfaces.contains(i)) {
            let _ = option::set_ip_drop_membership(self.socket.as_fd(), &GROUP, &gone.ip);
        }
        let mut error = None;
        for interface in self.interfaces.iter().filter(|i| i.multicast) {
            let new = !before.contains(interface);
            if new
                && let Err(e) =
                    option::set_ip_add_membership(self.socket.as_fd(), &GROUP, &interface.ip)
            {
                error = Some(format!("{}: {e}", interface.ip));
                continue;
            }
            self.joined.push(interface.clone());
        }
        let silent = !onvif::is_discoverable(desk);
        let was_silent = self.session.is_silent();
        if silent && !was_silent {
            self.leave(desk);
        }
        self.session.set_silent(silent);
        for interface in &self.joined {
            if others || was_silent || !before.contains(interface) {
                self.session.greet(place(interface, desk), at.mono);
            }
        }
        let addresses: Vec<String> = self.joined.iter().map(|i| i.ip.to_string()).collect();
        onvif::note_discovery(desk, &addresses, error.as_deref());
    }

    /// Says bye.
    pub(crate) fn leave(&mut self, desk: &Desk) {
        let places: Vec<Place> = self.joined.iter().map(|i| place(i, desk)).collect();
        for transmit in self.session.leave(&places) {
            self.send(&transmit);
        }
    }
}

fn place(interface: &Interface, desk: &Desk) -> Place {
    let ip = interface.ip.into();
    let url = match (desk.own_ports.get("http"), desk.own_ports.get("https")) {
        (None, Some(port)) => Address::entry("https", ip, *port),
        (port, _) => Address::entry("http", ip, port.copied().unwrap_or(80)),
    };
    Place { index: interface.index, url }
}

/// IPv4 addresses of interfaces that are up.
fn interfaces() -> io::Result<Vec<Interface>> {
    let mut all = Vec::new();
    for address in nix::ifaddrs::getifaddrs()? {
        let up = address.flags.contains(InterfaceFlags::IFF_UP);
        let Some(ip) = address.address.as_ref().and_then(|a| Some(a.as_sockaddr_in()?.ip())) else {
            continue;
        };
        let Ok(index) = if_nametoindex(address.interface_name.as_str()) else { continue };
        if up {
            let multicast = address.flags.contains(InterfaceFlags::IFF_MULTICAST);
            all.push(Interface { index, ip, multicast });
        }
    }
    Ok(all)
}
