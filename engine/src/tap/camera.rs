//! One camera's frames, and who wants them.

use super::group::{Group, Member};
use super::view::View;
use super::workshop::{KEEPS, Kind, Press, Shape, Workshop};
use crate::frame::{Frame, PixelFormat};
use crate::picture::convert::Converter;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The taps of all cameras. Made once.
#[derive(Debug, Default)]
pub struct Hub(RwLock<Vec<Arc<CameraTap>>>);

impl Hub {
    /// Adds a camera's.
    pub fn add(&self, tap: Arc<CameraTap>) {
        self.0.write().push(tap);
    }

    /// A camera's, from 1.
    pub fn of(&self, camera: u32) -> Option<Arc<CameraTap>> {
        self.0.read().iter().find(|t| t.camera == camera).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<CameraTap>> {
        self.0.read().clone()
    }
}

/// See the module.
pub struct CameraTap {
    /// The camera's number, from 1.
    pub camera: u32,
    /// Wakes the camera's thread.
    bell: Bell,
    view: Arc<View>,
    /// Clients of any shape.
    wanted: AtomicUsize,
    /// What the newest frame was like.
    kind: Mutex<Option<Kind>>,
    /// Those that take frames as they are.
    raw: Mutex<Group>,
    workshop: Mutex<Option<Workshop>>,
    /// For frames that lie where no other process can see them.
    press: Mutex<(Converter, Press)>,
    /// Why there are no raw frames; empty: there are.
    fault: Mutex<String>,
}

impl fmt::Debug for CameraTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraTap({})", self.camera)
    }
}

impl CameraTap {
    /// Of a camera whose thread is woken by `bell`.
    pub fn new(camera: u32, bell: Bell, view: Arc<View>) -> Arc<Self> {
        Arc::new(Self {
            camera,
            bell,
            view,
            wanted: AtomicUsize::new(0),
            kind: Mutex::default(),
            raw: Mutex::default(),
            workshop: Mutex::default(),
            press: Mutex::default(),
            fault: Mutex::default(),
        })
    }

    /// Whether anybody wants frames.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) > 0
    }

    /// Gives a raw frame to everybody who wants it. For the camera's thread, which calls
    /// [`CameraTap::settle`] when it has done the rest of its work for this frame.
    pub fn offer(&self, frame: &Frame) {
        *self.kind.lock() = Some(Kind {
            // What is lent instead of memory that cannot be shared.
            format: if frame.memory.shared().is_some() { frame.format } else { PixelFormat::I420 },
            width: u32::try_from(frame.width).unwrap_or(0),
            height: u32::try_from(frame.height).unwrap_or(0),
        });
        if !self.is_wanted() {
            return;
        }
        let workshop = self.workshop.lock();
        let held_back = if workshop.is_some() { KEEPS } else { 0 };
        let mut raw = self.raw.lock();
        if !raw.is_empty() {
            if frame.memory.shared().is_some() {
                raw.offer(frame, now(), held_back, self.camera, &self.view);
            } else {
                match self.shareable(frame) {
                    Ok(Some(copy)) => {
                        self.set_fault("");
                        raw.offer(&copy, now(), 0, self.camera, &self.view);
                    }
                    Ok(None) => raw.miss(1, &self.view),
                    Err(why) => self.set_fault(&why),
                }
            }
        }
        let woken = !raw.is_empty();
        drop(raw);
        if let Some(workshop) = &*workshop {
            workshop.push(frame);
        }
        drop(workshop);
        if woken {
            // The encoder has this core next, for milliseconds: a client that was woken here goes
            // first, it needs microseconds.
            rustix::thread::sched_yield();
        }
    }

    /// A copy in shared memory of a frame that was decoded, or whose driver does not export its
    /// buffers.
    fn shareable(&self, frame: &Frame) -> Result<Option<Frame>, String> {
        let (converter, press) = &mut *self.press.lock();
        let before = converter.copied_pixel_bytes() + press.copied;
        let view = converter.view(frame)?;
        let copy = press.print(frame, &view, PixelFormat::I420);
        let after = converter.copied_pixel_bytes() + press.copied;
        self.view.copied.fetch_add(after - before, Ordering::Relaxed);
        copy
    }

    /// Says why there are no raw frames; an empty text, that there are.
    pub fn set_fault(&self, why: &str) {
        let mut fault = self.fault.lock();
        if *fault != why {
            why.clone_into(&mut fault);
        }
    }

    /// Why there are no frames for clients, of another shape than the camera's if `made`.
    fn fault(&self, made: bool) -> Option<String> {
        let own = Some(self.fault.lock().clone()).filter(|f| !f.is_empty());
        let workshop = || self.workshop.lock().as_ref().and_then(Workshop::fault);
        own.or_else(|| if made { workshop() } else { None })
    }

    /// The camera is closed: it gets back what no client looks at.
    pub fn rest(&self) {
        self.set_fault("");
        for group in self.groups() {
            group.lock().rest(&self.view);
        }
        self.raw.lock().rest(&self.view);
        if let Some(workshop) = &*self.workshop.lock() {
            workshop.rest();
        }
        // Its buffers are of the last camera's size.
        self.press.lock().1 = Press::default();
    }

    /// Ends loans that are over, and tells how long clients took to be woken. By now most of them
    /// have looked at the frame, so that nothing of this is between the next one and its clients.
    pub fn settle(&self, at: Nanos, note_woken: impl FnOnce(&mut dyn Iterator<Item = Nanos>)) {
        if self.is_wanted() {
            let mut raw = self.raw.lock();
            raw.collect(at, &self.view);
            note_woken(&mut raw.woken());
        }
    }

    /// Ends loans that are over, while no frames come.
    pub fn collect(&self, at: Nanos) {
        self.raw.lock().collect(at, &self.view);
        for group in self.groups() {
            group.lock().collect(at, &self.view);
        }
    }

    fn groups(&self) -> Vec<Arc<Mutex<Group>>> {
        self.workshop.lock().as_ref().map(Workshop::groups).unwrap_or_default()
    }

    /// Lets a client in. **Only one thread lets clients in and out.**
    ///
    /// # Errors
    /// When there is no thread to be had for another shape.
    pub fn join(self: &Arc<Self>, shape: Shape, member: Member) -> io::Result<Seat> {
        let id = member.id;
        // What the camera delivers anyway is lent as it is.
        let kind = self.kind.lock().filter(|kind| shape.is_met_by(*kind));
        if shape == Shape::default() || kind.is_some() {
            self.raw.lock().join(member);
        } else {
            let mut workshop = self.workshop.lock();
            let open = match &mut *workshop {
                Some(open) => open,
                slot => slot.insert(Workshop::start(self.camera, Arc::clone(&self.view))?),
            };
            open.group(shape).lock().join(member);
        }
        self.wanted.fetch_add(1, Ordering::AcqRel);
        // A camera that rests until somebody wants it.
        self.bell.ring();
        Ok(Seat { tap: Arc::clone(self), id, shape, kind })
    }

    fn leave(&self, id: u64) {
        self.wanted.fetch_sub(1, Ordering::AcqRel);
        self.raw.lock().leave(id, &self.view);
        for group in self.groups() {
            group.lock().leave(id, &self.view);
        }
        let closed = self.workshop.lock().take_if(|w| !w.sweep());
        // Waits for its thread: not while the camera's may wait for the lock.
        drop(closed);
        if !self.is_wanted() {
            self.press.lock().1 = Press::default();
        }
        self.bell.ring();
    }
}

/// A client's place; dropped, everything that was lent to it comes back.
#[derive(Debug)]
pub struct Seat {
    tap: Arc<CameraTap>,
    id: u64,
    shape: Shape,
    /// What the camera delivered then, if that was what is asked for.
    kind: Option<Kind>,
}

impl Seat {
    /// Why there are no frames for this client.
    pub fn fault(&self) -> Option<String> {
        let now = *self.tap.kind.lock();
        let met = self.kind.is_none() || now.is_some_and(|kind| self.shape.is_met_by(kind));
        if met {
            let made = self.kind.is_none() && self.shape != Shape::default();
            return self.tap.fault(made);
        }
        Some("the camera delivers something else now than was asked for: connect again".to_owned())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tap.leave(self.id);
    }
}
