//! What a camera's thread does while the camera is away.

use super::{Order, note_orders, rest};
use crate::clock;
use crate::config::CameraConfig;
use crate::nosignal::StandIn;
use crate::pipeline::Publishers;
use crate::thread::{Stop, guard};
use crossbeam::channel::Receiver;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::Nanos;
use lensd_ffi::unit::Codec;
use std::sync::atomic::{AtomicU64, Ordering};

/// What readers get of a camera that is away.
#[expect(clippy::large_enum_variant, reason = "there is one of it, on its thread's stack")]
enum Air {
    Silent(Publishers),
    Covered(StandIn),
}

/// The time between two attempts to open a camera that is away.
pub(super) struct Absence<'a> {
    /// The camera's name.
    pub(super) name: String,
    /// The size of its pictures; 0 if that is not known.
    pub(super) size: (usize, usize),
    /// Why it is away.
    pub(super) why: &'a str,
    /// Since when.
    pub(super) since: Nanos,
    /// Its configuration, in which changes are noted.
    pub(super) config: &'a mut CameraConfig,
    /// Changes.
    pub(super) orders: &'a Receiver<Order>,
    /// Wakes its thread.
    pub(super) bell: &'a Bell,
    /// Wakes the main thread.
    pub(super) desk_bell: &'a Bell,
    /// Counts panics.
    pub(super) panics: &'a AtomicU64,
}

impl Absence<'_> {
    /// Waits until `until` although clients come and ring, but not when told to stop, and not when
    /// the device is `back`; whether it is. Shows a picture meanwhile if that is wished.
    pub(super) fn pass(
        &mut self,
        own: Publishers,
        stop: &Stop,
        until: Nanos,
        back: impl Fn() -> bool,
    ) -> (Publishers, bool) {
        let mut air = Air::Silent(own);
        let is_back = loop {
            note_orders(self.orders, self.config, self.why);
            self.desk_bell.ring();
            let is_back = back();
            let at = clock::stamp_now();
            let mut left = until.since(at.mono);
            if is_back || left.0 == 0 || stop.is_set() {
                break is_back;
            }
            air = match air {
                Air::Silent(own) if self.config.no_signal && self.can_cover(&own) => {
                    self.tell(&own, true);
                    let since = clock::stamp(self.since);
                    let shown =
                        StandIn::new(own, self.config, &self.name, self.size, self.why, since);
                    Air::Covered(shown)
                }
                Air::Covered(shown) if !self.config.no_signal => Air::Silent(shown.end()),
                same => same,
            };
            match &mut air {
                Air::Silent(own) => self.tell(own, false),
                Air::Covered(shown) => match guard(|| shown.show(at)) {
                    Ok(due) => left = left.min(due.since(at.mono)),
                    Err(panic) => {
                        self.panics.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(panic, "no picture can be shown for a camera that is away");
                        self.config.no_signal = false;
                        continue;
                    }
                },
            }
            rest(self.bell, left);
        };
        match air {
            Air::Silent(own) => (own, is_back),
            Air::Covered(shown) => (shown.end(), is_back),
        }
    }

    /// Whether a picture can be shown: not in a coding that is made by cameras alone.
    fn can_cover(&self, own: &Publishers) -> bool {
        own.main.stream().codec() == Codec::H264
    }

    /// Says to all readers that the camera is away.
    fn tell(&self, publishers: &Publishers, covered: bool) {
        for publisher in [&publishers.main, &publishers.sub, &publishers.mjpeg] {
            let stream = publisher.stream();
            let known = stream.away().as_deref() == Some(self.why);
            stream.set_away(self.why, covered);
            if !known {
                stream.ring_bells();
            }
        }
    }
}
