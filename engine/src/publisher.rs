//! A camera that is another program: it publishes by ANNOUNCE and RECORD, and its units are passed
//! through. It is there as long as units come.

use crate::camera::{Camera, CameraError, CameraInfo, Shot, StampedAt};
use crate::ingest::{Place, SILENCE};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::Codec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;

/// See the module.
pub struct PublishedCamera {
    place: Arc<Place>,
    name: String,
    /// When the last unit was taken.
    last: Nanos,
}

impl PublishedCamera {
    /// Takes what is published at a place.
    ///
    /// # Errors
    /// When nothing is.
    pub fn open(name: &str, place: Arc<Place>) -> Result<Self, CameraError> {
        if !place.is_live() {
            return Err(CameraError::passing(format!(
                "nobody publishes to {name}: it is sent to rtsp://HOST/{name} by ANNOUNCE and RECORD"
            )));
        }
        Ok(Self { place, name: name.to_owned(), last: now() })
    }

    fn take(&mut self) -> Option<Shot> {
        let unit = self.place.take()?;
        self.last = now();
        Some(Shot::Unit(unit))
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
        if let Some(shot) = self.take() {
            return Ok(shot);
        }
        if !self.place.is_busy() {
            let name = &self.name;
            return Err(CameraError::passing(format!("the publisher of {name} has gone")));
        }
        let left = SILENCE.since(now().since(self.last));
        if left == Nanos(0) {
            let (name, secs) = (&self.name, SILENCE.0 / 1_000_000_000);
            let why = format!("the publisher of {name} has sent nothing for {secs} s");
            return Err(CameraError::passing(why));
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&second));
        Ok(self.take().unwrap_or(Shot::Woken))
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Arrived
    }

    fn lost(&self) -> u64 {
        self.place.lost()
    }
}
