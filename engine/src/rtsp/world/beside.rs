//! Metadata: a stream of its own, or beside the video of the same session.

use super::{Call, World};
use crate::publish::Kind;
use crate::rtsp::metadata::{self, Feed};
use crate::rtsp::path::Path;
use crate::rtsp::transport::{Chosen, Offer};
use crate::rtsp::wire::Status;
use crate::scene::Listeners;

impl World {
    /// The camera whose metadata are meant; 0: the active one. None: there is no such camera.
    pub(super) fn metadata_of(&self, camera: u32) -> Option<u32> {
        let id = if camera == 0 { self.switchboard.main_camera() } else { camera };
        self.switchboard.of(id, Kind::Main).map(|_| id)
    }

    /// Says how many metadata streams there are: motion is looked for while there are some.
    pub(super) fn count_feeds(&self) {
        let count = u32::try_from(self.feeds.len()).unwrap_or(u32::MAX);
        self.scenes.listen(Listeners::Metadata, count);
    }
}

impl Call<'_> {
    /// Sets metadata up, beside what else was set up.
    pub(super) fn setup_metadata(
        &mut self,
        path: &Path,
        offers: &[Offer],
    ) -> Result<(Chosen, u32), Status> {
        let camera = match metadata::camera_of(&path.name) {
            Some(camera) => self.world.metadata_of(camera),
            None => self.world.switchboard.resolve(&path.name).map(|stream| stream.camera),
        };
        let camera = camera.ok_or(Status::NOT_FOUND)?;
        if !self.holding.counted {
            self.admit()?;
        }
        let made = self.choose(offers, None).and_then(|(chosen, delivery)| {
            let feed = Feed::new(camera, &chosen, &delivery, (self.world.random)());
            Ok((feed.ok_or(Status::UNSUPPORTED_TRANSPORT)?, chosen))
        });
        match made {
            Ok((feed, chosen)) => {
                let ssrc = feed.ssrc();
                if self.holding.feed.replace(Box::new(feed)).is_none() {
                    self.world.feeds.push(self.token);
                }
                self.world.count_feeds();
                Ok((chosen, ssrc))
            }
            Err(status) => {
                if self.holding.key.is_none() && self.holding.feed.is_none() {
                    self.release();
                }
                Err(status)
            }
        }
    }
}
