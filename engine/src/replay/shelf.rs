//! The catalogue as who plays recordings sees it.

use super::{Found, Shelf};
use lensd_ffi::catalogue::{Catalogue, MediaType, State};
use std::path::{Path, PathBuf};

/// Recordings of a data folder.
#[derive(Debug)]
pub struct Catalogued {
    data: PathBuf,
}

impl Catalogued {
    /// Of this data folder, whose catalogue need not be there yet.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }
}

impl Shelf for Catalogued {
    fn find(&self, id: Option<i64>) -> Option<Found> {
        // Opened anew: it may be another file since, and who plays asks once.
        let catalogue = Catalogue::open_reader(&self.data.join("catalog.db"))
            .inspect_err(|e| tracing::debug!("no recordings to play: {e}"))
            .ok()?;
        let row = match id {
            Some(id) => catalogue.record(id),
            None => catalogue.newest(MediaType::Video),
        };
        let row = row.ok()?.filter(|row| row.media_type == MediaType::Video)?;
        Some(Found {
            id: row.id,
            path: self.data.join("media").join(&row.filename),
            growing: row.state == State::Recording,
        })
    }
}
