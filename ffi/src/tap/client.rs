//! A client of raw frames.

use super::block::{MAX_HELD, Record, Taken, Taker};
use super::wire::{BufferKind, Mode, Request, Told, VERSION, What};
use crate::bell::Bell;
use crate::link::{Link, Received};
use crate::region::{Pixels, Region};
use crate::time::{Nanos, now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Most buffers of a camera.
pub const MAX_BUFFERS: usize = 64;
/// How long the server may take to answer.
const PATIENCE: Nanos = Nanos::from_secs(10);

/// What a client wants. [`Options::default`] is the newest frames of the active camera.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The server's socket; none: `LENSD_TAP`, then `data/run/tap.sock`.
    pub socket: Option<PathBuf>,
    /// As [`Request::stream`].
    pub stream: String,
    /// As [`Request::token`]; none: `LENSD_TOKEN`.
    pub token: Option<String>,
    /// Which frames.
    pub mode: Mode,
    /// As [`Request::size`].
    pub size: Option<String>,
    /// As [`Request::format`].
    pub format: Option<String>,
    /// As [`Request::queue`].
    pub queue: u32,
}

/// Why there are no frames.
#[derive(Debug)]
pub enum TapError {
    /// The server cannot be reached: what, where, and what to do.
    Unreachable(String),
    /// The server has refused: its code and its words.
    Refused {
        /// A code of SURFACE section 3.
        code: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The server has ended, or has ended this.
    Closed(String),
    /// All [`MAX_HELD`] frames are held: one must be given back first.
    Full,
    /// The server says what cannot be.
    Broken(&'static str),
    /// The system refuses.
    Io(io::Error),
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Closed(why) => f.write_str(why),
            Self::Refused { message, .. } => f.write_str(message),
            Self::Full => {
                write!(f, "{MAX_HELD} frames are held, which is the most: give one back first")
            }
            Self::Broken(why) => write!(f, "the server is broken or no lensd: {why}"),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for TapError {}

impl From<io::Error> for TapError {
    fn from(e: io::Error) -> Self {
        if e.kind() == io::ErrorKind::InvalidData {
            Self::Broken("its packet or its memory is not as it should be")
        } else {
            Self::Io(e)
        }
    }
}

impl From<rustix::io::Errno> for TapError {
    fn from(e: rustix::io::Errno) -> Self {
        Self::Io(e.into())
    }
}

/// The conversation with the server.
#[derive(Debug)]
pub(super) struct Talk {
    link: Link,
    /// The stream that is meant now.
    pub(super) stream: String,
}

/// What else the server has said.
pub(super) enum News {
    Buffer { pool: u32, index: u32, len: u64, kind: BufferKind, fd: OwnedFd },
    Moved(Vec<OwnedFd>),
    Nothing,
}

impl Talk {
    /// Connects and asks. Returns the descriptors of the welcome.
    pub(super) fn open(options: &Options, what: What) -> Result<(Self, Vec<OwnedFd>), TapError> {
        let path = options
            .socket
            .clone()
            .or_else(|| std::env::var_os("LENSD_TAP").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("data/run/tap.sock"));
        let unreachable = |e: &dyn fmt::Display| {
            TapError::Unreachable(format!(
                "no lensd at {}: {e}; is it running, is its frame tap enabled, and is this its \
                 data folder?",
                path.display()
            ))
        };
        let address = SocketAddrUnix::new(&path).map_err(|e| unreachable(&e))?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &address).map_err(|e| unreachable(&io::Error::from(e)))?;
        let link = Link::from_fd(socket);
        let request = Request {
            version: VERSION,
            stream: options.stream.clone(),
            what,
            mode: options.mode,
            token: options.token.clone().or_else(|| std::env::var("LENSD_TOKEN").ok()),
            size: options.size.clone(),
            format: options.format.clone(),
            queue: options.queue,
        };
        let mut talk = Self { link, stream: String::new() };
        // A server that refuses at once may be gone before it is asked: its words are there.
        let sent = talk.link.send(&request, &[]);
        talk.link.set_nonblocking(true)?;
        let until = now().plus(PATIENCE);
        loop {
            match talk.link.receive::<Told>()? {
                Received::Message(Told::Welcome { stream }, fds) => {
                    talk.stream = stream;
                    return Ok((talk, fds));
                }
                Received::Message(Told::Refused { code, message }, _) => {
                    return Err(TapError::Refused { code, message });
                }
                Received::Message(..) => return Err(TapError::Broken("it does not answer")),
                Received::Closed => {
                    sent?;
                    return Err(TapError::Closed("the server closed the connection".into()));
                }
                Received::Empty => {
                    let left = until.since(now());
                    if left == Nanos(0) {
                        return Err(unreachable(&"it does not answer"));
                    }
                    poll_for(&mut [PollFd::new(&talk.link, PollFlags::IN)], Some(left))?;
                }
            }
        }
    }

    /// What the server has said since.
    pub(super) fn news(&mut self) -> Result<News, TapError> {
        match self.link.receive::<Told>()? {
            Received::Empty => Ok(News::Nothing),
            Received::Message(Told::Buffer { pool, index, len, kind }, mut fds) => {
                let fd = fds.pop().ok_or(TapError::Broken("a buffer without its descriptor"))?;
                Ok(News::Buffer { pool, index, len, kind, fd })
            }
            Received::Message(Told::Moved { stream }, fds) => {
                self.stream = stream;
                Ok(News::Moved(fds))
            }
            Received::Message(Told::Over { message } | Told::Refused { message, .. }, _) => {
                Err(TapError::Closed(message))
            }
            Received::Message(Told::Welcome { .. }, _) => Err(TapError::Broken("two answers")),
            Received::Closed => Err(TapError::Closed("the server has ended".into())),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// What [`wait`] found.
pub(super) struct Ready {
    /// The server has said something.
    pub(super) news: bool,
    /// A signal ended it.
    pub(super) signal: bool,
}

/// Waits until the bell rings or the server says something, or as long as `span`.
pub(super) fn wait(bell: &Bell, talk: &Talk, span: Option<Nanos>) -> Result<Ready, TapError> {
    let flags = PollFlags::IN;
    let mut fds = [
        PollFd::from_borrowed_fd(talk.as_fd(), flags),
        PollFd::from_borrowed_fd(bell.as_fd(), flags),
    ];
    let signal = poll_for(&mut fds, span)?;
    // Not asked for on each frame: a call of the kernel costs as much as the frame.
    Ok(Ready { news: !fds[0].revents().is_empty(), signal })
}

/// Whether a signal ended it.
fn poll_for(fds: &mut [PollFd<'_>], span: Option<Nanos>) -> Result<bool, TapError> {
    let span = span.map(|span| Timespec {
        tv_sec: (span.0 / 1_000_000_000).cast_signed(),
        tv_nsec: (span.0 % 1_000_000_000).cast_signed(),
    });
    match poll(fds, span.as_ref()) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(e) => Err(e.into()),
    }
}

/// What a frame needs of its connection, also after that is closed.
#[derive(Debug)]
struct Hold {
    taker: Taker<Region>,
    /// Bits of the places that are taken.
    places: AtomicU32,
}

/// A connection that gives frames.
#[derive(Debug)]
pub struct Tap {
    talk: Talk,
    bell: Bell,
    hold: Arc<Hold>,
    next: u64,
    mode: Mode,
    pool: u32,
    buffers: Vec<Option<Arc<Pixels>>>,
    /// Frames that were gone when they should be taken, or whose buffer was.
    gone: u64,
}

/// How a connection has fared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Frames that the server has given.
    pub given: u64,
    /// Frames that this client did not get because it was slow; in mode `latest` those do not
    /// count that were skipped for a newer one.
    pub lost: u64,
    /// Frames that the server took back while they were held.
    pub revoked: u64,
}

impl Tap {
    /// Connects.
    ///
    /// # Errors
    /// [`TapError`], whose words say what to do.
    pub fn open(options: &Options) -> Result<Self, TapError> {
        let (talk, mut fds) = Talk::open(options, What::Raw)?;
        let bell = fds.pop().ok_or(TapError::Broken("a welcome without its descriptors"))?;
        Ok(Self {
            talk,
            bell: Bell::from_fd(bell),
            hold: attach(fds)?,
            next: 0,
            mode: options.mode,
            pool: 0,
            buffers: Vec::new(),
            gone: 0,
        })
    }

    /// Becomes readable when there is a frame; [`Tap::next`] then returns at once. Also when the
    /// server has ended, poll [`Tap::socket`].
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The connection; readable when the server has ended, among others.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.talk.as_fd()
    }

    /// The stream that is meant now, such as `cam1/main`.
    pub fn stream(&self) -> &str {
        &self.talk.stream
    }

    /// How it has fared.
    pub fn counts(&self) -> Counts {
        let taker = &self.hold.taker;
        Counts { given: taker.given(), lost: taker.lost() + self.gone, revoked: taker.revoked() }
    }

    /// The next frame, or none if there is none within `patience` (none: for ever) or a signal
    /// came.
    ///
    /// # Errors
    /// [`TapError::Full`], and all is as before; others end the connection.
    pub fn next(&mut self, patience: Option<Nanos>) -> Result<Option<Frame>, TapError> {
        let until = patience.map(|p| now().plus(p));
        let mut waited = false;
        loop {
            // Who was woken for a frame has it before anything else.
            let mut frame = if waited { self.take()? } else { None };
            if frame.is_none() {
                // Before the look: a ring after it is not lost.
                self.bell.take();
                frame = self.take()?;
            }
            if let Some(frame) = frame {
                if waited {
                    // Who comes late for a frame was not woken for it.
                    let record = &frame.record;
                    self.hold.taker.note_woken(record.seq, frame.woken.since(record.given));
                }
                return Ok(Some(frame));
            }
            let left = until.map(|until| until.since(now()));
            if left == Some(Nanos(0)) {
                // The server's end is noticed also by those who never wait.
                self.hear()?;
                return Ok(None);
            }
            let ready = wait(&self.bell, &self.talk, left)?;
            waited = true;
            if ready.news {
                self.hear()?;
            }
            if ready.signal {
                return Ok(None);
            }
        }
    }

    /// Takes in all that the server has said.
    fn hear(&mut self) -> Result<(), TapError> {
        loop {
            match self.talk.news()? {
                News::Nothing => return Ok(()),
                News::Moved(fds) => {
                    // Frames of the last camera that are held keep its blocks.
                    self.hold = attach(fds)?;
                    self.next = 0;
                }
                News::Buffer { pool, index, len, kind, fd } => {
                    if pool != self.pool {
                        self.pool = pool;
                        self.buffers.clear();
                    }
                    let index = index as usize;
                    if index >= MAX_BUFFERS {
                        return Err(TapError::Broken("too many buffers"));
                    }
                    if self.buffers.len() <= index {
                        self.buffers.resize(index + 1, None);
                    }
                    let pixels = Pixels::open(fd, len, kind == BufferKind::Dmabuf)?;
                    self.buffers[index] = Some(Arc::new(pixels));
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<Frame>, TapError> {
        loop {
            let head = self.hold.taker.head();
            if head <= self.next {
                return Ok(None);
            }
            // What is older has no place any more.
            let oldest = head.saturating_sub(super::block::SLOTS as u64);
            let seq = match self.mode {
                Mode::Latest => head - 1,
                // What was given up is counted by the server.
                Mode::Every => self.next.max(oldest),
            };
            let place = self.hold.reserve().ok_or(TapError::Full)?;
            self.next = seq + 1;
            let record = match self.hold.taker.take(seq, place) {
                Taken::Frame(record) => record,
                // Withdrawn: the server has counted it.
                Taken::Gone | Taken::NotYet => {
                    self.hold.free(place);
                    continue;
                }
            };
            let mut frame = Frame {
                record,
                place: Some(place),
                pixels: None,
                hold: Arc::clone(&self.hold),
                woken: now(),
            };
            // Sent before the frame was given, so it is there.
            if self.buffer_of(&record).is_none() {
                self.hear()?;
            }
            match self.buffer_of(&record) {
                Some(pixels) if record.fits(pixels.len()) => {
                    pixels.begin_look();
                    frame.pixels = Some(pixels);
                    return Ok(Some(frame));
                }
                Some(_) => return Err(TapError::Broken("a frame does not fit its buffer")),
                // The camera was opened anew meanwhile.
                None => self.gone += 1,
            }
        }
    }

    fn buffer_of(&self, record: &Record) -> Option<Arc<Pixels>> {
        let known = self.buffers.get(record.index as usize).filter(|_| record.pool == self.pool);
        known.and_then(Clone::clone)
    }
}

fn attach(fds: Vec<OwnedFd>) -> Result<Arc<Hold>, TapError> {
    let Ok([given, acks]) = <[OwnedFd; 2]>::try_from(fds) else {
        return Err(TapError::Broken("a welcome without its descriptors"));
    };
    let (given, acks) = (Region::open(given)?, Region::accept(acks)?);
    let taker = Taker::attach(Arc::new(given), Arc::new(acks))
        .ok_or(TapError::Broken("its blocks are of another version"))?;
    Ok(Arc::new(Hold { taker, places: AtomicU32::new(0) }))
}

impl Hold {
    fn reserve(&self) -> Option<usize> {
        let mut places = self.places.load(Ordering::Relaxed);
        loop {
            let free = (!places).trailing_zeros();
            if free as usize >= MAX_HELD {
                return None;
            }
            let taken = places | 1 << free;
            let done = self.places.compare_exchange_weak(
                places,
                taken,
                // SYNC POINT with `free`: what was said of the last frame here was before.
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match done {
                Ok(_) => return Some(free as usize),
                Err(now) => places = now,
            }
        }
    }

    fn free(&self, place: usize) {
        self.places.fetch_and(!(1 << place), Ordering::Release);
    }
}

/// A frame that is lent to us. It may be sent to other threads, and outlive its [`Tap`]; when that
/// is closed it is not valid any more.
#[derive(Debug)]
pub struct Frame {
    /// What is known of it.
    pub record: Record,
    /// When it was taken.
    pub woken: Nanos,
    /// Where it is held; none: given back.
    place: Option<usize>,
    pixels: Option<Arc<Pixels>>,
    hold: Arc<Hold>,
}

impl Frame {
    /// Its buffer.
    ///
    /// # Panics
    /// Never: a frame that was handed out has one.
    #[expect(clippy::expect_used, reason = "`Tap::take` hands out none without")]
    pub fn pixels(&self) -> &Pixels {
        self.pixels.as_ref().expect("a frame has a buffer")
    }

    /// Whether it is still lent. What was read of it before this call is then right.
    pub fn is_valid(&self) -> bool {
        self.place.is_some() && self.hold.taker.is_valid(self.record.seq)
    }

    /// Gives it back, which [`Drop`] does too; tells whether it was valid until now. Its memory
    /// stays mapped as long as this value.
    pub fn give_back(&mut self) -> bool {
        let Some(place) = self.place.take() else { return false };
        if let Some(pixels) = &self.pixels {
            pixels.end_look();
        }
        let valid = self.hold.taker.give_back(self.record.seq, place);
        self.hold.free(place);
        valid
    }

    /// The picture as it lies in its buffer, from the first byte that is used; none if it was taken
    /// back meanwhile. A copy, as everything that Rust calls a slice must be here: its owner may
    /// write to the buffer at any time.
    pub fn copy(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.record.used as usize];
        self.pixels().copy(0, &mut bytes);
        self.is_valid().then_some(bytes)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.give_back();
    }
}
