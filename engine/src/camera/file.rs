//! Files as cameras: `.y4m` and `.mjpeg` as pictures, `.h264` and `.mp4` as coded units that are
//! passed through; paced by their own time stamps and played in a loop without a jump.
//!
//! A file is read piece by piece and never held in memory as a whole. The capture time of a unit
//! is the moment at which it was due, less its composition delay where the file tells it (mp4):
//! streams with B pictures keep their decode order, and their capture times go back and forth as
//! their presentation does. In `.h264` files, which tell no such thing, capture times follow the
//! decode order.

use super::pattern::wait_until;
use super::spec::FileSpec;
use super::{Camera, CameraError, CameraInfo, CodedUnit, Shot, StampedAt};
use super::{annexb_file, mjpeg_file, mp4_file, y4m_file};
use crate::clock;
use crate::frame::Frame;
use crate::syntax::sei::{Capture, stamp_unit};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use std::fs::File;
use std::path::Path;

/// A picture or unit of a file, not yet stamped.
pub(super) struct Timed {
    /// When it is due, from the beginning of the file.
    pub(super) at: Nanos,
    /// How much earlier it was captured (its reordering delay).
    pub(super) back: Nanos,
    pub(super) item: Item,
}

/// What a file gives.
pub(super) enum Item {
    Frame(Frame),
    Unit(CodedUnit),
    /// Nothing: every buffer is lent.
    Lost,
}

/// A file that is being played.
pub(super) trait Source: Send {
    /// What it gives.
    fn info(&self) -> CameraInfo;

    /// The next picture or unit; `None` at the end.
    fn next(&mut self) -> Result<Option<Timed>, String>;

    /// Back to the beginning. Returns how long the file played, so that the next pass begins when
    /// the last picture has been shown for its time.
    fn rewind(&mut self) -> Result<Nanos, String>;
}

/// A file camera.
pub struct FileCamera {
    path: String,
    source: Box<dyn Source>,
    stamp: bool,
    once: bool,
    /// When the current pass began.
    base: Nanos,
    pending: Option<Timed>,
    /// Whether this pass has given anything.
    alive: bool,
    number: u64,
    lost: u64,
}

/// A delay from which on the file's time is moved instead of catching up.
const MAX_BEHIND: Nanos = Nanos::from_millis(500);

/// Opens a file.
///
/// # Errors
/// When it cannot be read, is of no kind that is known, or holds what cannot be shown.
pub fn open(spec: &FileSpec) -> Result<FileCamera, CameraError> {
    let path = Path::new(&spec.path);
    let lasting = |why: String| CameraError::lasting(format!("{}: {why}", spec.path));
    let passing = |why: String| CameraError::passing(format!("{}: {why}", spec.path));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    if !matches!(&extension[..], "y4m" | "mjpeg" | "mjpg" | "h264" | "264" | "mp4" | "m4v" | "mov")
    {
        return Err(lasting(format!(
            "extension \"{extension}\" is not known; there are .y4m, .mjpeg, .h264, .264 and .mp4"
        )));
    }
    let file = File::open(path).map_err(|e| passing(e.to_string()))?;
    let meta = file.metadata().map_err(|e| passing(e.to_string()))?;
    if !meta.is_file() {
        return Err(lasting("is not a regular file".into()));
    }
    let source: Box<dyn Source> = match &extension[..] {
        "y4m" => Box::new(y4m_file::open(file, meta.len(), spec).map_err(lasting)?),
        "mjpeg" | "mjpg" => Box::new(mjpeg_file::open(file, spec).map_err(lasting)?),
        "h264" | "264" => Box::new(annexb_file::open(file, spec).map_err(lasting)?),
        _ => Box::new(mp4_file::open(file, meta.len()).map_err(lasting)?),
    };
    let at = now();
    Ok(FileCamera {
        path: spec.path.clone(),
        source,
        stamp: spec.stamp,
        once: spec.once,
        base: at,
        pending: None,
        alive: false,
        number: 0,
        lost: 0,
    })
}

impl FileCamera {
    fn error(&self, why: &str) -> CameraError {
        CameraError::lasting(format!("{}: {why}", self.path))
    }

    /// Reads ahead by one, so that the disk's delay is over when the unit is due.
    fn prepare(&mut self) -> Result<&Timed, CameraError> {
        while self.pending.is_none() {
            match self.source.next().map_err(|why| self.error(&why))? {
                Some(timed) => {
                    self.alive = true;
                    self.pending = Some(timed);
                }
                None if !self.alive => return Err(self.error("there is no picture in it")),
                None if self.once => return Err(self.error("was played to its end (loop=0)")),
                None => {
                    let played = self.source.rewind().map_err(|why| self.error(&why))?;
                    // At least a millisecond, so that a file without times does not spin.
                    self.base = self.base.plus(played.max(Nanos::from_millis(1)));
                    self.alive = false;
                }
            }
        }
        self.pending.as_ref().ok_or_else(|| CameraError::lasting("nothing is pending"))
    }
}

impl Camera for FileCamera {
    fn info(&self) -> CameraInfo {
        let name = Path::new(&self.path).file_name().map(|n| n.to_string_lossy().into_owned());
        CameraInfo { name: name.unwrap_or_default(), ..self.source.info() }
    }

    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError> {
        let at = self.prepare()?.at;
        let due = self.base.plus(at);
        if !wait_until(due, bell)? {
            return Ok(Shot::Woken);
        }
        let Some(timed) = self.pending.take() else { return Ok(Shot::Woken) };
        let late = now().since(due);
        if late > MAX_BEHIND {
            // A suspended machine or a stalled disk: no burst of old units.
            self.base = self.base.plus(late);
        }
        let due = self.base.plus(timed.at);
        let capture = clock::stamp(Nanos(due.0.saturating_sub(timed.back.0)));
        let number = self.number;
        self.number += 1;
        Ok(match timed.item {
            Item::Lost => {
                self.lost += 1;
                Shot::Woken
            }
            Item::Frame(frame) => Shot::Frame(Frame { capture, number, ..frame }),
            Item::Unit(mut unit) => {
                (unit.capture, unit.number) = (capture, number);
                if self.stamp {
                    // The moment it enters, whatever its place in the presentation.
                    stamp_unit(&mut unit, &Capture::of(clock::stamp_now(), number, None));
                }
                Shot::Unit(unit)
            }
        })
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Made
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}
