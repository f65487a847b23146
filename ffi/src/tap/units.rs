//! A client of coded units: the stream's ring, read where it lies, and a bell.

use super::client::{News, Options, Talk, TapError, wait};
use super::wire::What;
use crate::bell::Bell;
use crate::region::Region;
use crate::ring::{Cursor, Next, RingReader};
use crate::time::{Nanos, now};
use crate::unit::UnitMeta;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A connection that gives units. They begin with the newest key frame.
#[derive(Debug)]
pub struct Units {
    talk: Talk,
    bell: Bell,
    ring: RingReader<Region>,
    cursor: Cursor,
    lost: u64,
    bytes: Vec<u8>,
    /// Until the first key frame nothing can be decoded.
    joined: bool,
}

/// A unit, copied out of the ring and checked.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// Its number in the ring.
    pub seq: u64,
    /// What is known of it.
    pub meta: UnitMeta,
    /// H.264 or H.265 as a byte stream (Annex B), or a JPEG.
    pub bytes: &'a [u8],
}

impl Units {
    /// Connects.
    ///
    /// # Errors
    /// [`TapError`], whose words say what to do.
    pub fn open(options: &Options) -> Result<Self, TapError> {
        let (talk, mut fds) = Talk::open(options, What::Encoded)?;
        let bell = fds.pop().ok_or(TapError::Broken("a welcome without its descriptors"))?;
        let (ring, bell) = (attach(fds)?, Bell::from_fd(bell));
        let cursor = Cursor::at_key(&ring);
        Ok(Self { talk, bell, ring, cursor, lost: 0, bytes: Vec::new(), joined: false })
    }

    /// Becomes readable when there is a unit.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The stream that is meant now, such as `cam1/main`.
    pub fn stream(&self) -> &str {
        &self.talk.stream
    }

    /// Units that were overwritten before they were read.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The next unit, or none if there is none within `patience` (none: for ever) or a signal came.
    /// It is valid until the next call.
    ///
    /// # Errors
    /// They end the connection.
    pub fn next(&mut self, patience: Option<Nanos>) -> Result<Option<Unit<'_>>, TapError> {
        let until = patience.map(|p| now().plus(p));
        loop {
            self.bell.take();
            if let Some((seq, meta)) = self.take()? {
                return Ok(Some(Unit { seq, meta, bytes: &self.bytes }));
            }
            let left = until.map(|until| until.since(now()));
            let mut over = left == Some(Nanos(0));
            if !over {
                let ready = wait(&self.bell, &self.talk, left)?;
                over = ready.signal;
                if !ready.news && !over {
                    continue;
                }
            }
            loop {
                match self.talk.news()? {
                    News::Nothing => break,
                    News::Buffer { .. } => return Err(TapError::Broken("a buffer for units")),
                    News::Moved(fds) => {
                        self.ring = attach(fds)?;
                        self.cursor = Cursor::at_key(&self.ring);
                        self.joined = false;
                    }
                }
            }
            if over {
                return Ok(None);
            }
        }
    }

    fn take(&mut self) -> Result<Option<(u64, UnitMeta)>, TapError> {
        loop {
            match self.cursor.next(&self.ring) {
                Next::Empty => return Ok(None),
                Next::Corrupt => return Err(TapError::Broken("its ring is not sound")),
                Next::Lapped(units) => {
                    self.lost += units;
                    self.joined = false;
                }
                Next::Unit(unit) => {
                    self.joined |= unit.meta.key;
                    if !self.joined {
                        continue;
                    }
                    self.bytes.clear();
                    if self.ring.copy(&unit, 0, unit.len, &mut self.bytes).is_ok() {
                        return Ok(Some((unit.seq, unit.meta)));
                    }
                    self.lost += 1;
                    self.joined = false;
                }
            }
        }
    }
}

fn attach(fds: Vec<OwnedFd>) -> Result<RingReader<Region>, TapError> {
    let Ok([ring]) = <[OwnedFd; 1]>::try_from(fds) else {
        return Err(TapError::Broken("a ring without its descriptor"));
    };
    RingReader::attach(Arc::new(Region::open(ring)?))
        .map_err(|_| TapError::Broken("its ring is not sound"))
}
