//! Recordings as paths: opened by DESCRIBE, played from SETUP on.

use super::Call;
use crate::publish::Parameters;
use crate::replay::Refused;
use crate::replay::range::to_npt;
use crate::replay::reader::Reader;
use crate::rtsp::path::Path;
use crate::rtsp::replay::Replay;
use crate::rtsp::session::Described;
use crate::rtsp::transport::{Chosen, Offer};
use crate::rtsp::wire::Status;
use crate::sdp;
use std::sync::Arc;

impl Call<'_> {
    /// As [`Self::try_setup`], of a recording that is open.
    pub(super) fn try_setup_replay(
        &mut self,
        path: &Path,
        offers: &[Offer],
    ) -> Result<(Chosen, u32), Status> {
        let opened = match self.holding.reader.as_ref().filter(|(name, _)| *name == path.name) {
            Some((_, reader)) => reader.opened(),
            None => return Err(Status::NOT_FOUND),
        };
        let opened = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(Refused::NotFound)) => return Err(Status::NOT_FOUND),
            _ => return Err(Status::UNAVAILABLE),
        };
        self.admit()?;
        let (chosen, delivery) = self.choose(offers, None)?;
        let (shape, first_seq) = self.world.shape(self.world.extensions(path));
        if let Some(reader) = self.holding.reader.take() {
            let replay = Replay::new(reader, opened, delivery, shape, first_seq);
            self.holding.replay = Some(Box::new(replay));
            self.world.replays.tokens.push(self.token);
        }
        Ok((chosen, shape.ssrc))
    }

    /// Opens a recording, unless it is open, and says what is known of it.
    pub(super) fn describe_recording(&mut self, path: &Path, id: Option<i64>) -> Described {
        if self.holding.reader.as_ref().is_some_and(|(name, _)| *name != path.name) {
            self.holding.reader = None;
        }
        let opened = match (&self.holding.replay, &self.holding.reader) {
            (Some(replay), _) => Some(Ok(Arc::clone(replay.opened()))),
            (None, Some((_, reader))) => reader.opened(),
            (None, None) => {
                let world = &*self.world;
                let (Some(shelf), Some(bell)) = (world.replays.shelf.clone(), world.ringer())
                else {
                    return Described::NotFound;
                };
                match Reader::open(shelf, id, bell, &world.replays.permits) {
                    Some(reader) => self.holding.reader = Some((path.name.clone(), reader)),
                    None => return Described::Full,
                }
                None
            }
        };
        let opened = match opened {
            None => return Described::Wait,
            Some(Ok(opened)) => opened,
            Some(Err(refused)) => {
                // What is asked again is looked for again.
                self.holding.reader = None;
                return match refused {
                    Refused::NotFound => Described::NotFound,
                    Refused::Unreadable(why) => Described::Unavailable(why),
                    Refused::Unfit(why) => Described::Unfit(why),
                };
            }
        };
        let parameters = Parameters {
            codec: opened.codec,
            width: opened.width,
            height: opened.height,
            sets: opened.sets.clone(),
        };
        let end = |ticks: u64| to_npt(i64::try_from(ticks).unwrap_or(i64::MAX));
        let until = opened.duration.map(end).unwrap_or_default();
        let extensions = self.world.extensions(path);
        let origin = opened.id.cast_unsigned();
        let name = format!("recording/{}", opened.id);
        Described::Sdp(sdp::describe_stored(
            &name,
            &parameters,
            extensions,
            origin,
            opened.fps,
            &until,
        ))
    }
}
