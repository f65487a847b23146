//! Frames in another size or layout than the camera's: made once for all clients that want the same,
//! on a thread that exists only while somebody does.

use super::group::Group;
use super::view::View;
use crate::camera::pool::{Pool, Sheet, sheets};
use crate::frame::{Frame, PixelFormat, packed_planes};
use crate::picture::convert::Converter;
use crate::picture::pack::pack;
use crate::picture::scale::{Area, Scaler};
use crate::picture::{Picture, View as Pixels};
use crate::thread::{Stop, Thread};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::now;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pictures of one shape that can be out at the same time.
const BUFFERS: u32 = 8;
/// Camera buffers that the workshop may keep: the one it works on and the one that waits.
pub(super) const KEEPS: usize = 2;

/// What frames are to be like. The default is: as they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Width and height in pixels, even; a height of 0 follows the width.
    pub size: Option<(u32, u32)>,
    /// Layout, one of [`crate::picture::pack::FORMATS`].
    pub format: Option<PixelFormat>,
}

impl Shape {
    /// Whether frames like this one are what is asked for.
    pub fn is_met_by(&self, kind: Kind) -> bool {
        self.size.is_none_or(|size| size == (kind.width, kind.height))
            && self.format.is_none_or(|format| format == kind.format)
    }
}

/// What a camera's frames are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Layout.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((width, height)) = self.size {
            write!(f, "{width}x{height}")?;
        }
        match self.format {
            Some(format) if self.size.is_some() => write!(f, " {format}"),
            Some(format) => format.fmt(f),
            None => Ok(()),
        }
    }
}

type Benches = Mutex<Vec<(Shape, Arc<Mutex<Group>>)>>;

/// What the threads of the camera, of the server and of the workshop share.
struct Shared {
    camera: u32,
    /// The newest frame that waits.
    waiting: Mutex<Option<Frame>>,
    benches: Benches,
    view: Arc<View>,
    /// Frames that came while one waited.
    missed: AtomicU64,
    /// Why frames cannot be made; empty: they can.
    fault: Mutex<String>,
}

/// See the module.
pub(super) struct Workshop {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    thread: Thread,
}

impl Workshop {
    pub(super) fn start(camera: u32, view: Arc<View>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            camera,
            waiting: Mutex::default(),
            benches: Mutex::default(),
            view,
            missed: AtomicU64::new(0),
            fault: Mutex::default(),
        });
        let bell = Arc::new(Bell::new()?);
        let (own, rung) = (Arc::clone(&shared), Arc::clone(&bell));
        let stop = Stop::new(Arc::clone(&bell));
        let thread =
            Thread::start(&format!("tap-{camera}"), stop, move |stop| run(&own, &rung, stop))?;
        Ok(Self { shared, bell, thread })
    }

    /// The clients that want frames of this shape; made if there are none.
    pub(super) fn group(&self, shape: Shape) -> Arc<Mutex<Group>> {
        let mut benches = self.shared.benches.lock();
        if let Some((_, group)) = benches.iter().find(|(s, _)| *s == shape) {
            return Arc::clone(group);
        }
        let group = Arc::<Mutex<Group>>::default();
        benches.push((shape, Arc::clone(&group)));
        group
    }

    /// Forgets shapes that nobody wants; tells whether any is left.
    pub(super) fn sweep(&self) -> bool {
        let mut benches = self.shared.benches.lock();
        benches.retain(|(_, group)| !group.lock().is_empty());
        !benches.is_empty()
    }

    /// All groups.
    pub(super) fn groups(&self) -> Vec<Arc<Mutex<Group>>> {
        self.shared.benches.lock().iter().map(|(_, group)| Arc::clone(group)).collect()
    }

    /// Takes a frame in. One that still waits gives way.
    pub(super) fn push(&self, frame: &Frame) {
        if self.shared.waiting.lock().replace(frame.clone()).is_some() {
            self.shared.missed.fetch_add(1, Ordering::Relaxed);
        }
        self.bell.ring();
    }

    /// Lets go of the frame that waits.
    pub(super) fn rest(&self) {
        self.shared.waiting.lock().take();
    }

    /// Why frames cannot be made.
    pub(super) fn fault(&self) -> Option<String> {
        if self.thread.is_finished() {
            return Some("the thread that makes these frames has ended: connect again".to_owned());
        }
        Some(self.shared.fault.lock().clone()).filter(|f| !f.is_empty())
    }
}

fn run(shared: &Shared, bell: &Bell, stop: &Stop) {
    let mut converter = Converter::default();
    let mut makers = HashMap::<Shape, Maker>::new();
    let mut copied = 0;
    while !stop.is_set() {
        let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], None);
        bell.take();
        let Some(frame) = shared.waiting.lock().take() else { continue };
        let benches = shared.benches.lock().clone();
        makers.retain(|shape, _| benches.iter().any(|(s, _)| s == shape));
        let missed = shared.missed.swap(0, Ordering::Relaxed);
        let mut fault = String::new();
        for (shape, group) in benches {
            // What is given back is a buffer for this frame.
            group.lock().collect(now(), &shared.view);
            if missed > 0 {
                group.lock().miss(missed, &shared.view);
            }
            match makers.entry(shape).or_default().make(&frame, shape, &mut converter) {
                Ok(Some(made)) => {
                    group.lock().offer(&made, now(), 0, shared.camera, &shared.view);
                }
                Ok(None) => group.lock().miss(1, &shared.view),
                Err(why) => fault = why,
            }
        }
        let made: u64 = makers.values().map(Maker::copied_pixel_bytes).sum();
        let all = converter.copied_pixel_bytes() + made;
        // Less than before where a maker went.
        shared.view.copied.fetch_add(all.saturating_sub(copied), Ordering::Relaxed);
        copied = all;
        let mut known = shared.fault.lock();
        if *known != fault {
            *known = fault;
        }
    }
}

/// Makes frames of one shape.
#[derive(Default)]
struct Maker {
    scaler: Scaler,
    scaled: Picture,
    press: Press,
}

/// Puts pictures into buffers that can be lent.
#[derive(Default)]
pub(super) struct Press {
    /// For pictures of this layout and so many bytes.
    pool: Option<(PixelFormat, usize, Pool<Sheet>)>,
    /// Bytes written.
    pub(super) copied: u64,
}

impl Maker {
    /// `None` if all buffers are lent.
    fn make(
        &mut self,
        frame: &Frame,
        shape: Shape,
        converter: &mut Converter,
    ) -> Result<Option<Frame>, String> {
        let (width, height) = size_of(shape, frame);
        let format = shape.format.unwrap_or(PixelFormat::I420);
        let mut view = converter.view(frame)?;
        if (width, height) != (view.width(), view.height()) {
            let from = view.even();
            self.scaled.resize(width, height);
            let to = self.scaled.canvas().ok_or("a picture without a size")?;
            self.scaler.scale(&from, Area::of(&from), to)?;
            view = self.scaled.view().ok_or("a picture without a size")?;
        }
        self.press.print(frame, &view, format)
    }

    fn copied_pixel_bytes(&self) -> u64 {
        self.scaler.copied_pixel_bytes() + self.press.copied
    }
}

impl Press {
    /// A picture in this layout, as a frame like the one it was made of. `None` if all buffers are
    /// lent.
    pub(super) fn print(
        &mut self,
        frame: &Frame,
        view: &Pixels<'_>,
        format: PixelFormat,
    ) -> Result<Option<Frame>, String> {
        let (width, height) = (view.width(), view.height());
        let (planes, used) = packed_planes(format, width, height);
        let fits = |pool: &(PixelFormat, usize, _)| (pool.0, pool.1) == (format, used);
        let pool = match self.pool.take().filter(fits) {
            Some(pool) => self.pool.insert(pool),
            None => {
                let pool = sheets(BUFFERS, used).map_err(|e| format!("no memory: {e}"))?;
                self.pool.insert((format, used, pool))
            }
        };
        let lent = pool.2.lend(|sheet| sheet.fill(|bytes| pack(view, frame.colour, format, bytes)));
        let Some((memory, packed)) = lent else { return Ok(None) };
        packed?;
        self.copied += used as u64;
        // The checksum is of the I420 picture in the camera's size.
        let same = format == PixelFormat::I420 && (width, height) == (frame.width, frame.height);
        let crc = frame.crc.filter(|_| same);
        let (capture, number) = (frame.capture, frame.number);
        let colour = frame.colour;
        Ok(Some(Frame {
            format,
            width,
            height,
            planes,
            used,
            colour,
            memory,
            capture,
            number,
            crc,
        }))
    }
}

/// The size in which frames of a shape are made of this one.
fn size_of(shape: Shape, frame: &Frame) -> (usize, usize) {
    match shape.size {
        None => (frame.width, frame.height),
        Some((width, 0)) => {
            let width = width as usize;
            (width, (frame.height * width / frame.width.max(1)).max(2) & !1)
        }
        Some((width, height)) => (width as usize, height as usize),
    }
}
