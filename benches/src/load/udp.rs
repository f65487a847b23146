//! UDP sockets of the clients: pairs of ports, and one batch receiver for all of them.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt};

/// Datagrams per system call.
const SLOTS: usize = 32;
/// Room for each; no RTP sender uses more than an Ethernet frame.
const SLOT: usize = 2048;
/// Several key frames of 4 Mbit/s video, so that a burst is not lost while other clients are read.
const RECEIVE_BUFFER: usize = 2 << 20;

/// An RTP socket on an even port and its RTCP socket on the next.
pub(super) struct Pair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    pub(super) port: u16,
}

impl Pair {
    /// Binds the next free pair at `ip`, trying even ports from `*next` on.
    pub(super) fn bind(ip: IpAddr, next: &mut u16) -> io::Result<Self> {
        while *next < 65_000 {
            let port = *next;
            *next += 2;
            let pair = UdpSocket::bind(SocketAddr::new(ip, port))
                .and_then(|rtp| Ok((rtp, UdpSocket::bind(SocketAddr::new(ip, port + 1))?)));
            match pair {
                Ok((rtp, rtcp)) => {
                    // Root may pass the system's limit; others get as much as it allows.
                    if setsockopt(&rtp, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
                        setsockopt(&rtp, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
                    }
                    return Ok(Self { rtp, rtcp, port });
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no free pair of UDP ports is left"))
    }
}

/// Reads many datagrams per system call into one buffer that all sockets share.
pub(super) struct Receiver {
    /// With room for addresses, which nobody reads: the kernel writes their length into the headers,
    /// and without room the next call with the same headers would fail.
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Box<[u8]>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        let buffer = vec![0; SLOTS * SLOT].into_boxed_slice();
        Self { headers: MultiHeaders::preallocate(SLOTS, None), buffer }
    }

    /// One batch, each datagram shown to `each`; says whether the socket may hold more.
    pub(super) fn batch(
        &mut self,
        socket: &UdpSocket,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        let mut slots = self.buffer.chunks_exact_mut(SLOT);
        let mut slices: [[IoSliceMut<'_>; 1]; SLOTS] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let received =
            recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None);
        let messages = match received {
            Ok(messages) => messages,
            Err(Errno::EAGAIN) => return Ok(false),
            // An ICMP answer to something that was sent from here; the socket lives on.
            Err(Errno::ECONNREFUSED | Errno::EINTR) => return Ok(true),
            Err(e) => return Err(e.into()),
        };
        let mut count = 0;
        for message in messages {
            count += 1;
            message.iovs().for_each(&mut each);
        }
        Ok(count == SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_until_the_socket_is_empty() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let mut next = 21_000;
        let pair = Pair::bind(ip, &mut next).unwrap();
        let sender = std::net::UdpSocket::bind((ip, 0)).unwrap();
        for i in 0..SLOTS + 3 {
            sender.send_to(&vec![7; i], (ip, pair.port)).unwrap();
        }
        let mut receiver = Receiver::new();
        let mut sizes = Vec::new();
        while receiver.batch(&pair.rtp, |d| sizes.push(d.len())).unwrap() {}
        // An empty datagram shows no slice; RTP never is one.
        assert_eq!(sizes, (1..SLOTS + 3).collect::<Vec<_>>());
        assert_eq!(pair.port % 2, 0);
    }
}
