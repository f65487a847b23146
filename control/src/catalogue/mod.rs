//! The catalogue of recordings as the control plane has it: opened by workers when one needs it,
//! and again when another file has taken its place.

pub(crate) mod moment;
pub mod query;

use crate::http::respond::Fault;
use lensd_ffi::catalogue::{Catalogue, CatalogueError};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};

/// Connections that are kept; there are a few workers.
const KEPT: usize = 4;

/// Where workers get the catalogue from.
#[derive(Debug)]
pub(crate) struct Shelf {
    path: PathBuf,
    idle: Mutex<Vec<Catalogue>>,
}

impl Shelf {
    /// Of a data folder. Nothing is opened yet.
    pub(crate) fn new(data: &Path) -> Self {
        Self { path: data.join("catalog.db"), idle: Mutex::new(Vec::new()) }
    }

    /// Does something with the catalogue. **Only on a worker:** it waits for the disk, and for who
    /// writes at the moment.
    ///
    /// # Errors
    /// What `job` says, or that the file cannot be opened.
    pub(crate) fn with<T>(
        &self,
        job: impl FnOnce(&mut Catalogue) -> Result<T, CatalogueError>,
    ) -> Result<T, Fault> {
        let kept = self.idle.lock().pop().filter(|catalogue| !catalogue.is_replaced());
        let mut catalogue = match kept {
            Some(catalogue) => catalogue,
            None => {
                let catalogue = Catalogue::open(&self.path).map_err(|e| refused(&e))?;
                catalogue.notes().iter().for_each(|note| tracing::warn!("{note}"));
                catalogue
            }
        };
        let done = job(&mut catalogue);
        if let Err(e @ CatalogueError::Damaged(_)) = &done {
            tracing::error!("{e}; a new one is begun");
            if let Err(e) = catalogue.mark_damaged() {
                tracing::error!("that cannot be noted: {e}");
            }
            return done.map_err(|e| refused(&e));
        }
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(catalogue);
        }
        done.map_err(|e| refused(&e))
    }
}

/// The one map from what the catalogue refuses to HTTP.
fn refused(why: &CatalogueError) -> Fault {
    let message = why.to_string();
    match why {
        CatalogueError::NotFound(_) => Fault::not_found(message),
        CatalogueError::Conflict(_) => Fault::new(409, "CONFLICT", "Conflict", message),
        CatalogueError::Invalid(key, _) => Fault::invalid_value(key, message),
        CatalogueError::NoRoom(_) => Fault::unavailable("INSUFFICIENT_STORAGE", message),
        CatalogueError::Damaged(_) => Fault::unavailable("BUSY", message),
        CatalogueError::Newer { .. } | CatalogueError::Sqlite(_) | CatalogueError::Io(_) => {
            tracing::error!("{message}");
            Fault::new(500, "INTERNAL", "Internal error", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_in_its_place_is_opened() {
        let folder = std::env::temp_dir().join(format!("lensd-shelf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let shelf = Shelf::new(&folder);
        let count = || shelf.with(|c| Ok(c.categories()?.len())).unwrap();
        shelf.with(|c| c.add_category("a", "", 0)).unwrap();
        assert_eq!((count(), shelf.idle.lock().len()), (1, 1));
        assert_eq!(shelf.with(|c| c.add_category("A", "", 0)).unwrap_err().status, 409);
        shelf.with(|c| Ok(c.mark_damaged()?)).unwrap();
        Catalogue::open(&folder.join("catalog.db")).unwrap();
        assert_eq!(count(), 0);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
