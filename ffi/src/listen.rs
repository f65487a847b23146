//! Listening sockets, also of addresses that are not to be had yet.
//!
//! A server whose port another program holds, or whose address the machine gets only later (DHCP),
//! serves all the rest meanwhile. Its socket exists from the start and can be watched: nobody comes
//! before [`Doors::try_again`] has found the address free.

use crate::time::{Nanos, now};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// Connections that may wait to be accepted. The usual queue of 128 overflows when hundreds come at
/// once, and each that is left out tries again only a second later.
const BACKLOG: i32 = 4096;
/// How long an address in use is asked for again at the start: the planes of a supervisor that was
/// killed may still be ending.
const PATIENCE: Nanos = Nanos::from_secs(1);
/// Between two attempts of these.
const PAUSE: Duration = Duration::from_millis(20);

/// What an address lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Another program has it.
    Taken,
    /// The machine does not have it. One listens there nevertheless (`IP_FREEBIND`, ip(7)).
    Absent,
}

/// A server whose address is not to be had now.
#[derive(Debug)]
struct Door {
    name: &'static str,
    address: SocketAddr,
    /// The socket that its server watches.
    socket: OwnedFd,
    bound: bool,
    lack: Lack,
}

/// Where a plane listens.
#[derive(Debug, Default)]
pub struct Doors {
    ports: BTreeMap<String, u16>,
    waiting: Vec<Door>,
}

impl Doors {
    /// Listens at an address, or sees to it that it will be. The socket does not block.
    ///
    /// `name` is the server's, and that of the option which says another address: `--rtsp`.
    ///
    /// # Errors
    /// One line that says what is wrong: what neither ends by itself nor lets this server run.
    pub fn open(&mut self, name: &'static str, address: SocketAddr) -> Result<TcpListener, String> {
        let why = |e: io::Error| {
            let hint = match e.kind() {
                ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
                _ => "see the system's message",
            };
            format!(
                "{name} cannot listen on {address}: {e} ({hint}); choose another with --{name} ADDR"
            )
        };
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = || -> io::Result<(OwnedFd, OwnedFd)> {
            let socket = socket_with(family, SocketType::STREAM, flags, None)?;
            // So that a restart finds its port free.
            sockopt::set_socket_reuseaddr(&socket, true)?;
            Ok((socket.try_clone()?, socket))
        };
        let (own, socket) = open().map_err(why)?;
        let mut door = Door { name, address, socket: own, bound: false, lack: Lack::Taken };
        match patiently(|| door.attempt()) {
            Ok(port) => {
                self.ports.insert(name.to_owned(), port);
                if door.lack == Lack::Absent {
                    self.waiting.push(door);
                }
            }
            Err(e) if e.kind() == ErrorKind::AddrInUse => self.waiting.push(door),
            Err(e) => return Err(why(e)),
        }
        Ok(socket.into())
    }

    /// Ports that are listened at, by their servers' names.
    pub const fn ports(&self) -> &BTreeMap<String, u16> {
        &self.ports
    }

    /// What is missing, each in a sentence for people.
    pub fn missing(&self) -> Vec<String> {
        self.waiting
            .iter()
            .map(|Door { name, address, lack, .. }| match lack {
                Lack::Taken => format!(
                    "{name} waits for {address}, which another program has: end that, or choose another with --{name} ADDR"
                ),
                Lack::Absent => format!(
                    "{name} waits for the address {}, which this machine does not have; --{name} ADDR is another",
                    address.ip()
                ),
            })
            .collect()
    }

    /// Looks whether what was missing is there now; to be called now and then. Returns whether
    /// something has changed.
    pub fn try_again(&mut self) -> bool {
        let before = self.waiting.len();
        let ports = &mut self.ports;
        self.waiting.retain_mut(|door| match door.lack {
            Lack::Taken => match door.attempt() {
                Ok(port) => {
                    ports.insert(door.name.to_owned(), port);
                    door.lack == Lack::Absent
                }
                Err(_) => true,
            },
            Lack::Absent => !is_here(door.address.ip()),
        });
        self.waiting.len() != before
    }
}

impl Door {
    /// Binds and listens; the port.
    fn attempt(&mut self) -> io::Result<u16> {
        if !self.bound {
            if bind_freely(&self.socket, self.address)? {
                self.lack = Lack::Absent;
            }
            self.bound = true;
        }
        // Two programs may both bind an address; the second to listen is refused.
        listen(&self.socket, BACKLOG)?;
        let name = rustix::net::getsockname(&self.socket)?;
        Ok(SocketAddr::try_from(name).map_or(self.address.port(), |a| a.port()))
    }
}

/// Binds, also to an address that the machine does not have, and returns whether it is that.
///
/// # Errors
/// bind(2).
pub fn bind_freely(socket: impl AsFd, address: SocketAddr) -> io::Result<bool> {
    match bind(&socket, &address) {
        Err(Errno::ADDRNOTAVAIL) => {
            match address {
                SocketAddr::V4(_) => sockopt::set_ip_freebind(&socket, true)?,
                SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&socket, true)?,
            }
            bind(&socket, &address)?;
            Ok(true)
        }
        done => Ok(done.map(|()| false)?),
    }
}

/// Tries until an address is free, for a second.
///
/// # Errors
/// What the last attempt said.
pub fn patiently<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    until(now().plus(PATIENCE), attempt)
}

fn until<T>(end: Nanos, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(e) if e.kind() == ErrorKind::AddrInUse && now() < end => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// Whether the machine has an address.
fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_taken_port_is_had_once_it_is_free() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let mut doors = Doors::default();
        let listener = doors.open("rtsp", address).unwrap();
        let free = doors.open("http", "127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(doors.ports()["http"], free.local_addr().unwrap().port());
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert!(!doors.ports().contains_key("rtsp") && !doors.try_again());
        let missing = doors.missing();
        assert!(missing.len() == 1 && missing[0].contains("--rtsp"), "{missing:?}");
        drop(other);
        assert!(doors.try_again() && doors.missing().is_empty());
        assert_eq!(doors.ports()["rtsp"], address.port());
        TcpStream::connect(address).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn an_address_that_may_come_is_listened_at() {
        let mut doors = Doors::default();
        // TEST-NET-1 (RFC 5737) is nobody's.
        let listener = doors.open("https", "192.0.2.1:0".parse().unwrap()).unwrap();
        assert_eq!(doors.ports()["https"], listener.local_addr().unwrap().port());
        assert!(doors.missing()[0].contains("192.0.2.1") && !doors.try_again());
        assert!(is_here(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn an_address_in_use_is_asked_for_again_and_nothing_else_is() {
        use ErrorKind::{AddrInUse, PermissionDenied};
        let tried = |kinds: &[ErrorKind], end| {
            let mut left = kinds.iter();
            let done = until(end, || left.next().map_or(Ok(()), |kind| Err((*kind).into())));
            (done.is_ok(), kinds.len() - left.len())
        };
        let late = now().plus(Nanos::from_secs(600));
        assert_eq!(tried(&[AddrInUse, AddrInUse], late), (true, 2));
        assert_eq!(tried(&[AddrInUse, PermissionDenied, AddrInUse], late), (false, 2));
        assert_eq!(tried(&[AddrInUse, AddrInUse], Nanos(0)), (false, 1));
    }

    #[test]
    fn what_does_not_end_by_itself_is_an_error() {
        // A link-local address needs its interface.
        let why = Doors::default().open("http", "[fe80::1]:0".parse().unwrap()).unwrap_err();
        assert!(why.contains("fe80::1") && why.contains("--http"), "{why}");
    }
}
