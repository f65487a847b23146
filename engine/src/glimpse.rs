//! The newest picture of each camera, for those that show it within their own.

use crate::frame::Frame;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Kept only while somebody shows one: a picture that is held is a buffer that its camera lacks.
#[derive(Debug, Default)]
pub struct Glimpses {
    wanted: AtomicUsize,
    newest: Mutex<BTreeMap<u32, Frame>>,
}

impl Glimpses {
    /// One more who shows another camera's picture, or one less.
    pub fn want(&self, more: bool) {
        if more {
            self.wanted.fetch_add(1, Ordering::Relaxed);
        } else if self.wanted.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.newest.lock().clear();
        }
    }

    /// A picture of camera `id`.
    pub fn offer(&self, id: u32, frame: &Frame) {
        if self.wanted.load(Ordering::Relaxed) > 0 {
            let old = self.newest.lock().insert(id, frame.clone());
            // Its buffer goes back without the lock.
            drop(old);
        }
    }

    /// Camera `id` has gone.
    pub fn forget(&self, id: u32) {
        let old = self.newest.lock().remove(&id);
        drop(old);
    }

    /// The newest picture of the first camera that is not `id`.
    pub fn other(&self, id: u32) -> Option<Frame> {
        self.newest.lock().iter().find(|(other, _)| **other != id).map(|(_, frame)| frame.clone())
    }
}
