//! Cameras that are plugged in while the engine runs and nobody has configured which there are.
//!
//! Each becomes a camera with the next number, for as long as the engine runs: when it comes back it
//! is the same one. Where there was no camera at the start, the first takes the place of the test
//! camera, with its number and its clients, as it would have had it been there at the start; the
//! test camera goes on if that one cannot be opened.

use super::{Engine, MAX_CAMERAS, found, roster, start_camera};
use crate::capture::Order;
use crate::change::Change;
use crate::encode::EncodeError;
use crossbeam::channel::{Receiver, TryRecvError, bounded};
use lensd_ffi::time::Nanos;
use std::path::PathBuf;

/// When a device that could not be used is tried again although it has not changed. The test camera
/// stops for a moment at each attempt to take its place.
const AGAIN: Nanos = Nanos::from_secs(30);

/// What is under way.
pub(super) struct Arrivals {
    /// Devices that are found become cameras.
    automatic: bool,
    /// The active camera that the configuration names.
    main: u32,
    /// The data folder.
    data: PathBuf,
    /// Changes of the devices, and events of the cameras, that were looked at.
    seen: Option<(u64, u64)>,
    /// Number of the newest event that was published.
    pub(super) told: u64,
    /// What the test camera's thread says to who takes its place.
    stepping: Option<Receiver<Result<(), EncodeError>>>,
    /// When what failed is tried again.
    again: Option<Nanos>,
    /// What was said of those that cannot become cameras.
    said: String,
}

impl Arrivals {
    pub(super) fn new(automatic: bool, main: u32, data: PathBuf) -> Self {
        let said = String::new();
        Self { automatic, main, data, seen: None, told: 0, stepping: None, again: None, said }
    }
}

impl Engine {
    /// Whether a camera came or went since the state was published.
    pub(super) fn is_news(&self) -> bool {
        self.hotplug.newest_event() > self.arrivals.told
    }

    /// Makes cameras of devices that are new.
    pub(super) fn meet_arrivals(&mut self, at: Nanos) {
        if !self.arrivals.automatic || !self.hear_test_camera(at) {
            return;
        }
        let changes = (self.hotplug.changes(), self.hotplug.newest_event());
        let due = self.arrivals.again.is_some_and(|again| at >= again);
        if self.arrivals.seen == Some(changes) && !due {
            return;
        }
        self.arrivals.seen = Some(changes);
        self.arrivals.again = None;
        for name in self.hotplug.newcomers() {
            let done = self.meet(&name);
            if let Err(why) = &done
                && *why != self.arrivals.said
            {
                tracing::warn!(device = name, "a camera that was plugged in is not used: {why}");
                self.arrivals.said.clone_from(why);
            }
            if done.is_err() {
                self.arrivals.again = Some(at.plus(AGAIN));
            }
            if self.arrivals.stepping.is_some() {
                // Who is next is seen when that is over.
                return;
            }
        }
    }

    /// Writes down which cameras were found, for an engine that follows.
    pub(super) fn write_roster(&self) {
        if self.arrivals.automatic {
            let sources = self.cameras.iter().map(|cam| cam.state.lock().source.clone());
            let specs: Vec<String> = sources.filter(|s| s.starts_with("v4l2:")).collect();
            roster::write(&self.arrivals.data, &specs);
        }
    }

    /// Makes a camera of one device.
    fn meet(&mut self, name: &str) -> Result<(), String> {
        let (config, spec) = found(format!("v4l2:{name}"))?;
        if let [test] = self.cameras.as_slice()
            && test.state.lock().source.starts_with("test:")
        {
            tracing::info!(device = name, "a camera was plugged in: the test camera steps aside");
            let (reply, answer) = bounded(1);
            let order = Order { change: Change::Source(spec), reply };
            test.orders.try_send(order).map_err(|_| "the test camera is busy".to_owned())?;
            test.bell.ring();
            self.arrivals.stepping = Some(answer);
            return Ok(());
        }
        if self.cameras.len() >= MAX_CAMERAS {
            return Err(format!("there are {MAX_CAMERAS} cameras already, counting those away"));
        }
        let id = u32::try_from(self.cameras.len() + 1).map_err(|e| e.to_string())?;
        let started = start_camera(
            id,
            config,
            spec,
            &self.switchboard,
            (&self.hub, &self.tap_view),
            (&self.desk, &self.glimpses, &self.scenes, self.requests.bell()),
            &self.hotplug,
        );
        let (cam, camera) = started.map_err(|e| e.to_string())?;
        tracing::info!(camera = id, device = name, "a camera was plugged in");
        self.cameras.push(cam);
        self.write_roster();
        self.requests.apply().add(camera, self.arrivals.main, lensd_ffi::time::now());
        Ok(())
    }

    /// Whether nothing is under way with the test camera any more.
    fn hear_test_camera(&mut self, at: Nanos) -> bool {
        let Some(answer) = &self.arrivals.stepping else { return true };
        match answer.try_recv() {
            Err(TryRecvError::Empty) => return false,
            Ok(Ok(())) => {
                self.arrivals.seen = None;
                self.write_roster();
            }
            Ok(Err(EncodeError(why))) => {
                if why != self.arrivals.said {
                    tracing::warn!("the test camera goes on: {why}");
                    self.arrivals.said = why;
                }
                self.arrivals.again = Some(at.plus(AGAIN));
            }
            Err(TryRecvError::Disconnected) => self.arrivals.again = Some(at.plus(AGAIN)),
        }
        self.arrivals.stepping = None;
        true
    }
}
