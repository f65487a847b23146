//! A camera that is another program: it publishes by ANNOUNCE and RECORD, and its units are passed
//! through.

use crate::camera::{Camera, CameraError, CameraInfo, Shot, StampedAt};
use crate::ingest::Place;
use lensd_ffi::bell::Bell;
use lensd_ffi::unit::Codec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;

/// See the module.
pub struct PublishedCamera {
    place: Arc<Place>,
    name: String,
}

impl PublishedCamera {
    /// Takes what is published at a place.
    pub fn new(name: &str, place: Arc<Place>) -> Self {
        Self { place, name: name.to_owned() }
    }
}

impl Camera for PublishedCamera {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: format!("publisher of {}", self.name),
            format: "H264".to_owned(),
            coded: Some(Codec::H264),
            ..CameraInfo::default()
        }
    }

    fn next(&mut self, bell: &Bell) -> Result<Shot, CameraError> {
        if let Some(unit) = self.place.take() {
            return Ok(Shot::Unit(unit));
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&second));
        Ok(self.place.take().map_or(Shot::Woken, Shot::Unit))
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Arrived
    }

    fn lost(&self) -> u64 {
        self.place.lost()
    }
}
