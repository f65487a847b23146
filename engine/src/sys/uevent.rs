//! Kernel uevents: a `NETLINK_KOBJECT_UEVENT` socket (netlink(7); `lib/kobject_uevent.c` of the
//! kernel for the message), on which the kernel says which devices come and go.
//!
//! Messages are hints and nothing else. Some may be lost (`ENOBUFS`), and a container may never get
//! any although it can have the socket: the kernel sends them to network namespaces of the initial
//! user namespace only.

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The multicast group of the kernel itself. Group 2 is udev's, which anybody with the privilege may
/// send to.
const KERNEL: u32 = 1;
/// Longest message that is looked at: the kernel's own limit is 2048 bytes of variables
/// (`UEVENT_BUFFER_SIZE`) behind a path of at most one page.
pub const MAX_MESSAGE: usize = 8192;
/// Most variables of a message that are looked at (the kernel makes at most 64).
const MAX_VARIABLES: usize = 128;

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is there now: its node in devtmpfs as well, which is made before the message.
    Add,
    /// It is gone.
    Remove,
    /// Bound, unbound, moved, changed: whatever else the kernel says.
    Other,
}

/// A message, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uevent<'a> {
    /// What happened.
    pub action: Action,
    /// Path below `/sys`.
    pub path: &'a str,
    /// The device's class or bus, such as `video4linux`.
    pub subsystem: &'a str,
    /// Its node below `/dev`; empty if it has none.
    pub node: &'a str,
}

impl<'a> Uevent<'a> {
    /// Reads a message of the kernel: `ACTION@PATH`, then variables `NAME=VALUE`, each with a NUL
    /// behind. `None` for any other, such as udev's, which begin with `libudev`.
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        if message.len() > MAX_MESSAGE {
            return None;
        }
        let mut fields = message.split(|b| *b == 0).map(str::from_utf8);
        let (action, path) = fields.next()?.ok()?.split_once('@')?;
        if !path.starts_with('/') {
            return None;
        }
        let action = match action {
            "add" => Action::Add,
            "remove" => Action::Remove,
            _ => Action::Other,
        };
        let mut found = Self { action, path, subsystem: "", node: "" };
        // Variables may hold any bytes; those that are looked at are text.
        for field in fields.take(MAX_VARIABLES).flatten() {
            match field.split_once('=') {
                Some(("SUBSYSTEM", value)) => found.subsystem = value,
                Some(("DEVNAME", value)) => found.node = value,
                _ => {}
            }
        }
        (!found.subsystem.is_empty()).then_some(found)
    }
}

/// What a look at the socket brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A device came, went or changed.
    Event(Uevent<'a>),
    /// A message that says nothing here, or comes from another process.
    Noise,
    /// Messages were lost: anything may have happened.
    Lost,
    /// Nothing more now.
    Empty,
}

/// The socket. It does not block.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// `socket(2)` and `bind(2)` to the kernel's group. Needs no privilege.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` of a kernel without it, `EPERM` or `EACCES` where a container forbids it.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self(socket))
    }

    /// Takes one message, into `buffer`, of which [`MAX_MESSAGE`] bytes are enough.
    ///
    /// # Errors
    /// What `recv(2)` says; the socket is then of no more use.
    pub fn hear<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Heard<'a>> {
        let (len, from) = match recvfrom(&self.0, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, len, from)) => (len, from),
            Err(Errno::AGAIN) => return Ok(Heard::Empty),
            Err(Errno::NOBUFS) => return Ok(Heard::Lost),
            Err(Errno::INTR) => return Ok(Heard::Noise),
            Err(e) => return Err(e.into()),
        };
        // The kernel's own port is 0; who is root in the namespace may send to the group, too.
        let kernel = from
            .and_then(|from| SocketAddrNetlink::try_from(from).ok())
            .is_some_and(|from| from.pid() == 0);
        if !kernel {
            return Ok(Heard::Noise);
        }
        // With `MSG_TRUNC` the length is the message's own.
        Ok(match buffer.get(..len) {
            Some(message) => Uevent::parse(message).map_or(Heard::Noise, Heard::Event),
            None => Heard::Lost,
        })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD: &[u8] = b"add@/devices/platform/vivid.0/video4linux/video0\0ACTION=add\0\
        DEVPATH=/devices/platform/vivid.0/video4linux/video0\0SUBSYSTEM=video4linux\0MAJOR=81\0\
        MINOR=0\0DEVNAME=video0\0SEQNUM=731\0";

    #[test]
    fn a_camera_that_comes() {
        let event = Uevent::parse(ADD).unwrap();
        assert_eq!((event.action, event.subsystem), (Action::Add, "video4linux"));
        assert_eq!((event.node, event.path.len()), ("video0", 44));
        let gone = Uevent::parse(b"remove@/x\0SUBSYSTEM=video4linux\0").unwrap();
        assert_eq!((gone.action, gone.node), (Action::Remove, ""));
        assert_eq!(Uevent::parse(b"bind@/x\0SUBSYSTEM=usb").unwrap().action, Action::Other);
    }

    #[test]
    fn what_is_no_message_of_the_kernel() {
        for wrong in [
            &b""[..],
            b"add",
            b"add@relative\0SUBSYSTEM=x\0",
            b"add@/x\0",
            b"libudev\0\xfe\xed\xca\xfe",
            b"\xff\xfe@/x\0SUBSYSTEM=x\0",
        ] {
            assert_eq!(Uevent::parse(wrong), None, "{wrong:?}");
        }
        let mut long = ADD.to_vec();
        long.resize(MAX_MESSAGE + 1, b'x');
        assert_eq!(Uevent::parse(&long), None);
        let mut odd = ADD.to_vec();
        odd.extend_from_slice(b"PRODUCT=\xff\xff\0");
        assert_eq!(Uevent::parse(&odd), Uevent::parse(ADD));
    }

    #[test]
    fn an_open_socket_says_nothing_by_itself() {
        // A sandbox may forbid it; then there is nothing to test.
        let Ok(socket) = Socket::open() else { return };
        let mut buffer = [0; MAX_MESSAGE];
        // Another device of this machine may come or go meanwhile.
        assert!(socket.hear(&mut buffer).is_ok());
    }
}
