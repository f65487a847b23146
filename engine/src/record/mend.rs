//! Closes recordings: after a clean stop, and after a crash, wherever that was, also one in here.
//!
//! No sample is moved or written again. Behind the last whole fragment everything is cut off, the
//! last `moov` is appended and made safe, and then 16 bytes at the front turn the file from a
//! fragmented one into one with an index. Until those are on the device the file is what it was;
//! so whatever a crash leaves of these steps, the next mending begins where the first did.

use super::disk::{Disk, OnDisk};
use lensd_ffi::mux::{
    End, Form, Fragment, Header, Next, SEAL, Scanner, TIMESCALE, TooMany, Unreadable, Whole,
    same_samples, whole_lid,
};
use lensd_ffi::time::{Nanos, UtcNanos, now};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Where a recording whose front is damaged has its first whole fragment at the latest. What has
/// none there is another file, which may be long.
const FRONT: u64 = 256 << 20;

/// What is in a recording that was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mended {
    /// Bytes of the file.
    pub bytes: u64,
    /// From the first picture to the end of the last, in milliseconds.
    pub duration_ms: u64,
    /// When the first picture was captured, in milliseconds since 1970, UTC.
    pub captured_ms: i64,
    /// When the last picture was captured, by the file's own times; where these are not those of
    /// capture (time-lapse, slow motion) it may be some pictures off.
    pub until_ms: i64,
    /// Number of fragments. 0: nothing was recorded, and the file is as it was.
    pub fragments: usize,
    /// Number of pictures.
    pub pictures: usize,
    /// Bytes of fragments that were not whole, or of whatever else was behind the last whole one.
    pub trimmed: u64,
}

/// Why a recording could not be closed.
#[derive(Debug)]
pub enum Failed {
    /// The device says so; the file plays as far as it did.
    Io(io::Error),
    /// At this offset the file is damaged, though it was closed, or pictures behind it are whole. A
    /// crash does not do that; nothing was changed.
    Damaged(u64),
    /// It has more pictures than a file may have.
    TooMany(TooMany),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(at) => write!(
                f,
                "byte {at}: damaged, and not by a crash; the file was left alone, and plays up to there"
            ),
            Self::TooMany(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failed {}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Mends the file of this path and closes it, whatever state it is in. `title` goes into the file.
///
/// # Errors
/// [`Failed`].
pub fn mend(path: &Path, title: Option<&str>) -> Result<Mended, Failed> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    close(&mut OnDisk(file), title)
}

/// The same for a file of which nobody knows whether it is as it was written: all its seals are
/// looked at, until `until`.
///
/// # Errors
/// [`Failed`].
pub fn mend_found(path: &Path, until: Nanos) -> Result<Mended, Failed> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    close_found(&mut OnDisk(file), None, &mut || now() < until)
}

/// Where the first fragment begins whose seal is wrong, in a file that was closed. `goes_on` is asked
/// ahead of each.
///
/// # Errors
/// Of the device.
pub(super) fn damage(path: &Path, goes_on: &mut dyn FnMut() -> bool) -> io::Result<Option<u64>> {
    let disk = OnDisk(File::open(path)?);
    // One that has no such front was not taken for a recording.
    let Ok(header) = Header::read(&disk) else { return Ok(None) };
    for fragment in whole_fragments(&disk, &header)?.0 {
        if !goes_on() {
            return Ok(None);
        }
        if !fragment.check(&disk)? {
            return Ok(Some(fragment.offset));
        }
    }
    Ok(None)
}

/// Closes a recording. All fragments that its writer has made safe, and those behind them that are
/// whole all the same, are kept.
///
/// # Errors
/// [`Failed`].
pub fn close(disk: &mut impl Disk, title: Option<&str>) -> Result<Mended, Failed> {
    close_found(disk, title, &mut || false)
}

/// The same; fragments are read and their seals looked at while `looks` says so.
fn close_found(
    disk: &mut impl Disk,
    title: Option<&str>,
    looks: &mut dyn FnMut() -> bool,
) -> Result<Mended, Failed> {
    let size = disk.size()?;
    let nothing = Mended { bytes: size, ..Mended::default() };
    let header = match Header::read(disk) {
        Ok(header) => header,
        Err(Unreadable::Io(error)) => return Err(error.into()),
        Err(Unreadable::Cut) => return Ok(nothing),
        Err(Unreadable::Foreign { at, .. }) => {
            return if seal_behind(disk, 0, FRONT)? {
                Err(Failed::Damaged(at))
            } else {
                Ok(nothing)
            };
        }
    };
    let (fragments, end) = whole_fragments(disk, &header)?;
    let at = fragments.last().map_or(header.end, Fragment::end);
    let closed = matches!(header.form, Form::Whole { .. });
    // What is not safe yet can be torn, and nothing else: what comes behind, or in a file that was
    // closed, is damage.
    let torn = !matches!(end, End::Bare | End::Movie(_));
    let misplaced = closed && header.form != (Form::Whole { movie_at: at });
    if misplaced || (torn && seal_behind(disk, at + 1, u64::MAX)?) {
        return Err(Failed::Damaged(at));
    }
    for fragment in fragments.iter().take_while(|_| looks()) {
        if !fragment.check(disk)? {
            return Err(Failed::Damaged(fragment.offset));
        }
    }
    let mut whole = Whole::default();
    for fragment in &fragments {
        whole.push(fragment).map_err(Failed::TooMany)?;
    }
    let Some(movie) = whole.movie(&header, title) else { return Ok(nothing) };
    let bytes = at + movie.len() as u64;
    let mended = Mended {
        bytes,
        duration_ms: whole.duration() * 1000 / u64::from(TIMESCALE),
        captured_ms: whole.captured_ms(),
        until_ms: fragments.last().map_or(0, last_captured_ms),
        fragments: fragments.len(),
        pictures: whole.samples(),
        trimmed: size.saturating_sub(at),
    };
    if closed && let Some(bytes) = same_movie(disk, at, &movie, end)? {
        if size > bytes {
            disk.truncate(bytes)?;
            disk.sync()?;
        }
        return Ok(Mended { bytes, trimmed: size - bytes, ..mended });
    }
    disk.truncate(at)?;
    if let Err(error) = disk.write_at(at, &movie).and_then(|()| disk.sync()) {
        // The disk is full: the room that half of it takes is needed by others.
        let _ = disk.truncate(at);
        return Err(error.into());
    }
    disk.write_at(header.lid, &whole_lid(at - header.lid))?;
    disk.sync()?;
    Ok(mended)
}

/// When the last picture of a fragment was captured.
fn last_captured_ms(fragment: &Fragment) -> i64 {
    let mut decode = fragment.decode;
    let mut last = fragment.time;
    for sample in &fragment.samples {
        last = last.max(decode.saturating_add_signed(sample.cts.into()));
        decode += u64::from(sample.duration);
    }
    let nanos = u128::from(last - fragment.time) * 1_000_000_000 / u128::from(TIMESCALE);
    let begun = UtcNanos::of_ntp64(fragment.ntp);
    UtcNanos(begun.0.saturating_add(i64::try_from(nanos).unwrap_or(0))).millis()
}

/// The fragments up to the last whose seal is right, and what follows behind them.
///
/// Only the last ones are read: what is ahead of one that is whole was made safe before it.
fn whole_fragments(disk: &impl Disk, header: &Header) -> io::Result<(Vec<Fragment>, End)> {
    let mut scanner = Scanner::new(header);
    let mut fragments = Vec::new();
    let mut end = loop {
        match scanner.next(disk)? {
            Next::Fragment(fragment) => fragments.push(fragment),
            Next::End(end) => break end,
        }
    };
    while let Some(last) = fragments.last()
        && !last.check(disk)?
    {
        fragments.pop();
        end = End::Torn("a fragment whose seal is wrong");
    }
    Ok((fragments, end))
}

/// Whether a fragment with a right seal begins behind `from`, before `until`.
fn seal_behind(disk: &impl Disk, from: u64, until: u64) -> io::Result<bool> {
    const BLOCK: usize = 1 << 20;
    /// From a fragment's first byte to the type in its seal.
    const BEFORE: u64 = 8;
    let mut block = vec![0; BLOCK];
    let mut at = from;
    loop {
        let got = read(disk, at, &mut block)?;
        let seals = block[..got].windows(SEAL.len()).enumerate().filter(|(_, w)| **w == SEAL);
        for (n, _) in seals {
            let begin = (at + n as u64).saturating_sub(BEFORE).max(from);
            if let Next::Fragment(fragment) = Scanner::from(begin).next(disk)?
                && fragment.check(disk)?
            {
                return Ok(true);
            }
        }
        if got < BLOCK || at + BLOCK as u64 > until {
            return Ok(false);
        }
        // A type may lie across two blocks.
        at += (BLOCK - SEAL.len()) as u64;
    }
}

/// Where the `moov` at `at` ends, if it says of the samples what `movie` says.
fn same_movie(disk: &impl Disk, at: u64, movie: &[u8], end: End) -> io::Result<Option<u64>> {
    let End::Movie(size) = end else { return Ok(None) };
    // Other metadata is some more or less, not another order of size.
    if at + size > disk.size()? || size > 2 * movie.len() as u64 + 65_536 {
        return Ok(None);
    }
    let mut found = vec![0; usize::try_from(size).unwrap_or(0)];
    if read(disk, at, &mut found)? < found.len() {
        return Ok(None);
    }
    Ok(same_samples(&found, movie).then_some(at + size))
}

/// Reads as much as there is.
fn read(disk: &impl Disk, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match disk.read_at(at + got as u64, &mut into[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests;
