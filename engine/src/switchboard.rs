//! Which streams there are, by which path they are reached, and which camera is the active one.

use crate::publish::{Kind, Stream};
use lensd_ffi::bell::Bell;
use parking_lot::RwLock;
use std::sync::Arc;

/// The streams of all cameras. Cameras are added, while the engine runs too, and never removed; the
/// active one changes.
#[derive(Debug, Default)]
pub struct Switchboard {
    streams: RwLock<Vec<Arc<Stream>>>,
    main: RwLock<u32>,
    bells: RwLock<Vec<Bell>>,
}

impl Switchboard {
    /// Adds a camera's stream.
    pub fn add(&self, stream: Arc<Stream>) {
        self.streams.write().push(stream);
    }

    /// Rings at every change of the active camera.
    pub fn watch(&self, bell: Bell) {
        self.bells.write().push(bell);
    }

    /// All streams.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().clone()
    }

    /// The active camera, from 1.
    pub fn main_camera(&self) -> u32 {
        *self.main.read()
    }

    /// Makes a camera the active one. `false` if there is no such camera.
    pub fn select(&self, camera: u32) -> bool {
        if !self.streams.read().iter().any(|s| s.camera == camera) {
            return false;
        }
        *self.main.write() = camera;
        for bell in self.bells.read().iter() {
            bell.ring();
        }
        true
    }

    /// A camera's stream.
    pub fn of(&self, camera: u32, kind: Kind) -> Option<Arc<Stream>> {
        self.streams.read().iter().find(|s| s.camera == camera && s.kind == kind).cloned()
    }

    /// What a path means now: `stream1` and `stream2` are the active camera's streams, `camN/main`
    /// and so on a camera's own.
    pub fn resolve(&self, path: &str) -> Option<Arc<Stream>> {
        match path {
            "stream1" => self.of(self.main_camera(), Kind::Main),
            "stream2" => self.of(self.main_camera(), Kind::Sub),
            name => self.streams.read().iter().find(|s| s.name == name).cloned(),
        }
    }
}
