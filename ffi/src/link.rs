//! Messages between processes: a `SOCK_SEQPACKET` pair that carries one JSON value and some file
//! descriptors per packet.
//!
//! Two conversations use it. The *leash* ties a plane to the supervisor ([`Order`], [`Report`]);
//! its end of file means that the other side is gone. The *link* ties control to the engine
//! ([`Ask`], [`Answer`]). Packets are rare (settings, requests, descriptors), pictures never go
//! this way, so they are JSON, which a person can read in a trace.

#[cfg(not(loom))]
use crate::auth::Lockout;
use crate::ptz::{PtzAct, PtzStatus};
#[cfg(not(loom))]
use crate::region::Region;
use crate::rtc::{RtcAct, RtcFrom};
use crate::time::Nanos;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest packet in bytes.
pub const MAX_PACKET: usize = 128 * 1024;
/// Most descriptors in a packet.
pub const MAX_FDS: usize = 4;

/// One end of a packet socket.
#[derive(Debug)]
pub struct Link(OwnedFd);

/// A packet that was received.
#[derive(Debug)]
pub enum Received<T> {
    /// A message and the descriptors that came with it.
    Message(T, Vec<OwnedFd>),
    /// Nothing there now (only if the socket does not block).
    Empty,
    /// The other side is gone.
    Closed,
}

impl Link {
    /// Two ends of a new link. They block; see [`Link::set_nonblocking`].
    ///
    /// # Errors
    /// When the process is out of file descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(a), Self(b)))
    }

    /// An end that was handed over.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sets whether calls wait.
    ///
    /// # Errors
    /// What `ioctl(2)` says.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        Ok(rustix::io::ioctl_fionbio(&self.0, on)?)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `InvalidInput` if it is longer than [`MAX_PACKET`] or has more than [`MAX_FDS`] descriptors;
    /// `WouldBlock`; `BrokenPipe`.
    pub fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_PACKET || fds.len() > MAX_FDS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a message of {} bytes and {} descriptors is over {MAX_PACKET} and {MAX_FDS}",
                    bytes.len(),
                    fds.len()
                ),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives one message.
    ///
    /// # Errors
    /// `InvalidData` for a packet that is no such message; else what the kernel says.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        Ok(match self.receive_packet()? {
            Received::Empty => Received::Empty,
            Received::Closed => Received::Closed,
            Received::Message(bytes, fds) => {
                let message = serde_json::from_slice(&bytes)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                Received::Message(message, fds)
            }
        })
    }

    /// Receives one packet as it is.
    ///
    /// # Errors
    /// `InvalidData` for one that was cut; else what the kernel says.
    pub fn receive_packet(&self) -> io::Result<Received<Vec<u8>>> {
        let mut bytes = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut receive = || {
            let flags = RecvFlags::CMSG_CLOEXEC;
            let got = recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
            Ok((got.bytes, got.flags))
        };
        let got = match receive() {
            // The other end has closed with something of ours unread. The kernel says so once, and
            // before what the other end has sent: its last words are behind that.
            Err(rustix::io::Errno::CONNRESET) => receive(),
            got => got,
        };
        let (len, flags) = match got {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN) => return Ok(Received::Empty),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Received::Closed),
            Err(e) => return Err(e.into()),
        };
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        // The buffer may have room for one descriptor more, by its alignment.
        let cut = flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if cut || fds.len() > MAX_FDS {
            let why =
                "a packet is too long, has too many descriptors, or we have none left for them";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        // Ours are never empty, so this is the end of file.
        if len == 0 {
            return Ok(Received::Closed);
        }
        bytes.truncate(len);
        Ok(Received::Message(bytes, fds))
    }
}

/// Waits for the first order of a plane's supervisor: its configuration, its memory, which is sealed
/// by this, and the count of failed log-ins. None: the supervisor is gone.
///
/// # Errors
/// What is wrong with it, for the supervisor's user.
#[cfg(not(loom))]
pub fn first_order<C: DeserializeOwned>(
    leash: &Link,
) -> Result<Option<(C, Region, Lockout)>, String> {
    match leash.receive::<Order>() {
        Ok(Received::Message(Order::Start { config }, mut fds)) if !fds.is_empty() => {
            let config =
                serde_json::from_value(config).map_err(|e| format!("configuration: {e}"))?;
            let memory = Region::adopt(fds.remove(0)).map_err(|e| format!("memory: {e}"))?;
            Ok(Some((config, memory, Lockout::received(fds.pop()))))
        }
        Ok(Received::Closed) => Ok(None),
        other => Err(format!("the supervisor said something else than start: {other:?}")),
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// From the supervisor to a plane.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// The first message. Descriptors: the plane's own memory, to be mapped and sealed, and the
    /// count of failed log-ins that the planes share ([`crate::auth::Lockout`]).
    Start {
        /// The plane's configuration.
        config: serde_json::Value,
    },
    /// Another incarnation of the other plane. Descriptors: its memory, and a new link to it.
    Peer,
    /// End: close streams and files in order, then exit.
    Stop,
}

/// From a plane to the supervisor. A report may hold a password: it is never logged.
#[derive(Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The memory is sealed and holds valid values.
    Sealed,
    /// All sockets listen: their names and ports.
    Listening {
        /// Ports by name: `http`, `rtsp`, ….
        ports: BTreeMap<String, u16>,
        /// What the plane tells the person who started it, a line each.
        #[serde(default)]
        notes: Vec<String>,
    },
    /// A password that was made up for the first user, after a factory reset: to be shown once.
    Password {
        /// The password.
        password: String,
    },
    /// Somebody who may asks for both planes to be started again.
    Restart,
    /// Another version of the program is in place, with its [`Marker`](crate::update::Marker): it
    /// is to take over.
    Update,
    /// The plane cannot start, and trying again will not help.
    Failed {
        /// One line: what, where, and what to do.
        reason: String,
    },
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sealed => f.write_str("Sealed"),
            Self::Listening { ports, notes } => {
                f.debug_struct("Listening").field("ports", ports).field("notes", notes).finish()
            }
            Self::Password { .. } => f.write_str("Password"),
            Self::Restart => f.write_str("Restart"),
            Self::Update => f.write_str("Update"),
            Self::Failed { reason } => f.debug_struct("Failed").field("reason", reason).finish(),
        }
    }
}

/// From control to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// A JPEG of now. It appears in the ring of the camera's `mjpeg` stream; the answer is
    /// [`Answer::Unit`].
    Still {
        /// Camera from 1; 0: the active one.
        camera: u32,
        /// JPEG quality 1 to 100; 0: as the stream's.
        quality: u8,
    },
    /// The same with its time of capture written into it. Answer [`Answer::Picture`].
    Stamped {
        /// Camera from 1; 0: the active one.
        camera: u32,
        /// JPEG quality 1 to 100; 0: as the stream's.
        quality: u8,
    },
    /// Opens a stream's ring. Descriptor: a bell that is rung at each unit. Answer
    /// [`Answer::Ring`]. The stream runs until the subscription ends.
    Subscribe {
        /// Stream name, as in [`crate::state::StreamState::name`].
        stream: String,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Stream name.
        stream: String,
    },
    /// Sets keys of the registry that the engine owns, one after the other. Answer
    /// [`Answer::Set`]; what was taken is in the engine's bank by then.
    Set {
        /// Names, and values that the registry has checked.
        changes: Vec<(String, serde_json::Value)>,
        /// When whoever asks stops waiting, and takes it for refused: after that nothing is done.
        until: Nanos,
        /// The camera that is meant, whose word counts; none: the active one. Settings of pictures
        /// are for all cameras, and one that cannot be set so leaves the others as they are.
        camera: Option<u32>,
    },
    /// The clients of a stream, or of all (empty name).
    Clients {
        /// Stream name.
        stream: String,
    },
    /// Begins, interrupts or ends recording. Answer [`Answer::Recordings`].
    Record {
        /// What is to be done.
        act: RecordAct,
        /// Camera from 1; none: as the settings say.
        camera: Option<u32>,
        /// `main`, `sub` or `mjpeg`; empty: as the settings say.
        stream: String,
        /// Seconds after which it ends; none: as the settings say.
        seconds: Option<u64>,
        /// Title of the files.
        title: String,
    },
    /// Takes a snapshot and keeps it. Answer [`Answer::Kept`].
    Snap {
        /// Camera from 1; 0: the active one.
        camera: u32,
        /// JPEG quality 1 to 100; 0: as the stream's.
        quality: u8,
        /// Whether the time is written into the picture; none: as the settings say.
        stamp: Option<bool>,
        /// Title.
        title: String,
    },
    /// Deletes recordings and snapshots, files and rows. Answer [`Answer::Removed`].
    Remove {
        /// Their numbers in the catalogue.
        ids: Vec<i64>,
    },
    /// Moves a camera, or asks where it looks. Answer [`Answer::Ptz`], as soon as it has begun.
    Ptz {
        /// Camera from 1; 0: the active one.
        camera: u32,
        /// What it is to do.
        what: PtzAct,
    },
    /// Begins, changes or ends a WebRTC session.
    Rtc {
        /// Who asks.
        from: Box<RtcFrom>,
        /// What is asked.
        act: RtcAct,
    },
    /// Asks a stream's encoder for a key frame. Answer [`Answer::Done`].
    KeyFrame {
        /// Stream name.
        stream: String,
    },
    /// How many clients listen to what happens before the cameras; it holds until it is said anew.
    Listen {
        /// Listeners.
        listeners: u32,
    },
    /// Pretends motion or tampering, so that what follows from it can be tried.
    TestScene {
        /// Camera from 1; 0: the active one.
        camera: u32,
        /// Tampering, else motion.
        tamper: bool,
        /// Whether it begins or ends.
        active: bool,
    },
    /// Makes the small picture of a recording or snapshot, unless it is there. Answer
    /// [`Answer::Done`] when it is, as `media/thumbnails/ID.jpg` in the data folder.
    Thumbnail {
        /// Its number in the catalogue.
        id: i64,
    },
}

/// What is done about recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordAct {
    /// Begins.
    Start,
    /// Ends.
    Stop,
    /// Leaves out what comes.
    Pause,
    /// Goes on in the same file.
    Resume,
}

/// An [`Ask`] with a number by which its answer is known.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Chosen by control.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// From the engine to control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// A ring. Descriptor: its memory.
    Ring,
    /// The unit of this number in the ring of this stream is what was asked for.
    Unit {
        /// Stream name.
        stream: String,
        /// Sequence number.
        seq: u64,
    },
    /// What became of the changes, in their order.
    Set {
        /// One for each change.
        outcomes: Vec<Outcome>,
    },
    /// Who has logged in at the engine, or failed to: nobody asked, so it comes as
    /// [`Answered::UNASKED`].
    Logins {
        /// Oldest first.
        logins: Vec<LoginNews>,
    },
    /// Clients.
    Clients {
        /// All of them.
        clients: Vec<crate::state::ClientState>,
    },
    /// Streams that are recorded now.
    Recordings {
        /// Those that were meant; after a stop the last that was known of them.
        recordings: Vec<crate::state::RecordingState>,
    },
    /// A JPEG. Descriptor: a memfd that holds it.
    Picture {
        /// Name of the stream that it was taken from.
        stream: String,
        /// When it was captured.
        capture: crate::time::Stamp,
    },
    /// A snapshot was kept.
    Kept {
        /// Its number in the catalogue; 0 if it could not be entered yet.
        id: i64,
        /// The file, relative to `DATA/media`.
        filename: String,
        /// Bytes.
        size: u64,
        /// Capture time, UTC milliseconds since 1970.
        captured_ms: i64,
    },
    /// What became of those to be removed.
    Removed {
        /// Which are gone.
        gone: Vec<i64>,
        /// Which are not, and why: `NOT_FOUND`, `RECORDING_IN_PROGRESS`, `PROTECTED`, or what the
        /// file system said.
        kept: Vec<(i64, String)>,
    },
    /// Where a camera looks, and whether it moves.
    Ptz {
        /// How it stands.
        status: Box<PtzStatus>,
    },
    /// A WebRTC session that has begun.
    Rtc {
        /// Its name, which nobody guesses.
        session: String,
        /// Our offer or answer.
        sdp: String,
    },
    /// It cannot be done.
    Fault {
        /// A code of SURFACE section 3, such as `NOT_FOUND`.
        code: String,
        /// What is wrong, and what to do.
        message: String,
    },
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Name of the key.
    pub key: String,
    /// What holds now: the new value as the hardware took it, or the old one.
    pub held: crate::settings::bank::Held,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Something that the audit log should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginNews {
    /// Whether it was a log-in, or a failed one.
    pub success: bool,
    /// The name that was given, shortened; empty with a token.
    pub user: String,
    /// From where.
    pub from: IpAddr,
    /// UTC milliseconds since 1970.
    pub time: i64,
}

impl LoginNews {
    /// Most characters of a name that is told: names come from whoever tries to log in.
    pub const MAX_NAME: usize = 64;
    /// Most of them that wait to be told, and fit a packet; more are an attack that is known by then.
    pub const MOST: usize = 128;
}

/// An [`Answer`] with the number of its [`Ask`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Answered {
    /// As asked.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

impl Answered {
    /// The number of what nobody has asked for.
    pub const UNASKED: u64 = u64::MAX;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bell::Bell;

    #[test]
    fn a_message_and_a_descriptor_cross() {
        let (a, b) = Link::pair().unwrap();
        let bell = Bell::new().unwrap();
        let ask = Asked { id: 7, ask: Ask::Subscribe { stream: "cam1/main".into() } };
        a.send(&ask, &[bell.as_fd()]).unwrap();
        let Received::Message(got, mut fds) = b.receive::<Asked>().unwrap() else { panic!() };
        assert_eq!((got.id, got.ask), (7, ask.ask));
        Bell::from_fd(fds.remove(0)).ring();
        assert!(bell.take() && !bell.take());
    }

    #[test]
    fn the_end_and_nothing_are_told_apart() {
        let (a, b) = Link::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        assert!(matches!(b.receive::<Order>(), Ok(Received::Empty)));
        drop(a);
        assert!(matches!(b.receive::<Order>(), Ok(Received::Closed)));
    }

    #[test]
    fn last_words_are_heard_also_of_one_that_did_not_listen() {
        let (a, b) = Link::pair().unwrap();
        b.send(&Order::Stop, &[]).unwrap();
        a.send(&Order::Stop, &[]).unwrap();
        drop(a);
        assert!(matches!(b.receive::<Order>(), Ok(Received::Message(Order::Stop, _))));
        assert!(matches!(b.receive::<Order>(), Ok(Received::Closed)));
    }

    #[test]
    fn garbage_is_an_error_and_the_next_message_is_read() {
        let (a, b) = Link::pair().unwrap();
        rustix::io::write(&a, b"garbage").unwrap();
        a.send(&Order::Stop, &[]).unwrap();
        assert!(b.receive::<Order>().is_err());
        assert!(matches!(b.receive::<Order>(), Ok(Received::Message(Order::Stop, _))));
    }

    #[test]
    fn a_packet_that_was_cut_is_an_error() {
        let (a, b) = Link::pair().unwrap();
        let bell = Bell::new().unwrap();
        let peer = br#"{"order":"peer"}"#;
        for more in [1, 3] {
            let many = [bell.as_fd(); MAX_FDS + 3];
            let many = &many[..MAX_FDS + more];
            assert!(a.send(&Order::Peer, many).is_err());
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS + 3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(many));
            sendmsg(&a, &[IoSlice::new(peer)], &mut control, SendFlags::NOSIGNAL).unwrap();
            assert_eq!(b.receive::<Order>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let mut long = peer.to_vec();
        long.resize(MAX_PACKET + 1, b' ');
        rustix::io::write(&a, &long).unwrap();
        assert_eq!(b.receive::<Order>().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn as_many_logins_as_may_wait_fit_a_packet() {
        let (a, b) = Link::pair().unwrap();
        let user = "\u{1}".repeat(LoginNews::MAX_NAME);
        let from = IpAddr::V6([0xffff; 8].into());
        let login = LoginNews { success: false, user, from, time: i64::MIN };
        let answer = Answer::Logins { logins: vec![login; LoginNews::MOST] };
        a.send(&Answered { id: Answered::UNASKED, answer: answer.clone() }, &[]).unwrap();
        let Received::Message(got, _) = b.receive::<Answered>().unwrap() else { panic!() };
        assert_eq!((got.id, got.answer), (Answered::UNASKED, answer));
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let (a, _b) = Link::pair().unwrap();
        let reason = "x".repeat(MAX_PACKET);
        let e = a.send(&Report::Failed { reason }, &[]).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
    }
}
