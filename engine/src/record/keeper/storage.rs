//! How the disk is, and what is removed from it.

use super::Keeper;
use crate::record::reconcile::MISSING;
use lensd_ffi::catalogue::{
    Catalogue, CatalogueError, MAX_LIMIT, MediaType, Query, Record, Sort, State, Total, Totals,
};
use lensd_ffi::time::utc_now;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Most rows that retention removes at once.
const REMOVED: u32 = 200;
/// Room that is made ahead of time, at least, unless the disk is tiny.
const SPARE: u64 = 100_000_000;
/// Most pages of damaged files that are weighed.
const PAGES: usize = 100;

/// The file system of the recordings.
struct Disk {
    word: &'static str,
    why: String,
    total: u64,
    free: u64,
}

impl Keeper {
    pub(super) fn look_at_disk(&mut self) {
        let mut disk = self.disk();
        if self.store.options.lock().replace && matches!(disk.word, "ok" | "full") {
            // Before it is full: a recording that was interrupted has a gap.
            let floor = self.floor(disk.total);
            let spare = (floor / 10).max(SPARE).min(disk.total / 20);
            if disk.free < floor.saturating_add(spare) {
                self.remove_oldest(floor.saturating_add(2 * spare) - disk.free);
                disk = self.disk();
            }
        }
        let Disk { word, why, total, free } = disk;
        let mut state = self.store.state.lock();
        let news = state.state != word;
        // What became of its files while it was away is not known.
        self.unlike |= news && state.state == "gone";
        word.clone_into(&mut state.state);
        state.error.clone_from(&why);
        (state.total, state.free) = (total, free);
        drop(state);
        if news {
            self.store.note("storage", 0, "", if why.is_empty() { word } else { &why });
            if word == "ok" {
                tracing::debug!("storage: {} MiB are free", free >> 20);
            } else {
                tracing::warn!("storage: {why}");
            }
        }
    }

    fn disk(&mut self) -> Disk {
        let root = self.folder.root().to_owned();
        let disk = match rustix::fs::statvfs(&root) {
            Err(e) => {
                let why = format!("{}: {e}", root.display());
                return Disk { word: "gone", why, total: 0, free: 0 };
            }
            Ok(disk) => disk,
        };
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let floor = self.floor(total);
        let away = !root.join("recordings").is_dir() && self.had_recordings();
        if !away {
            // From now on, or as soon as the first one begins.
            self.had = Some(root.join("recordings").is_dir());
        }
        let (word, why) = if away && !self.begin_anew(total) {
            ("gone", "the recordings are not there: is the disk mounted?".to_owned())
        } else if disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            ("read-only", "the file system is read-only".to_owned())
        } else if free < floor {
            ("full", format!("{} MiB are free, {} MiB are to stay", free >> 20, floor >> 20))
        } else {
            ("ok", String::new())
        };
        Disk { word, why, total, free }
    }

    /// Whether there should be recordings: of rows whose files are known to be missing nobody expects
    /// any, but what was cut off when its disk went away is there with the disk.
    fn had_recordings(&mut self) -> bool {
        if self.there.video.count > 0 {
            return true;
        }
        let any = self.store.state.lock().videos > 0;
        let had = match self.had {
            Some(had) => had,
            None => {
                let expected = self.with("the catalogue cannot be read", |c| expected(c));
                *self.had.insert(expected.unwrap_or(false))
            }
        };
        had && any
    }

    /// Whether the disk of the recordings is another one, which is mounted and empty; then it gets
    /// its folder. An empty folder of the disk above is the place of one that is not mounted.
    fn begin_anew(&mut self, total: u64) -> bool {
        let root = self.folder.root();
        // What mounts by itself when it is looked at has no size until then.
        if total == 0 || !(self.mounts)(root) || !is_empty(root) {
            return false;
        }
        if let Err(e) = self.folder.make_recordings() {
            self.complain(&format!("the disk is empty, and stays so: {e}"));
            return false;
        }
        tracing::warn!("the disk is another one and empty: recordings begin anew on it");
        self.unlike = true;
        true
    }

    /// Bytes that are to stay free: as set, but no more than half of a small disk.
    fn floor(&self, total: u64) -> u64 {
        self.store.options.lock().keep.free.min(total / 2)
    }

    /// Removes what is kept no longer, oldest first.
    pub(super) fn keep_house(&mut self) {
        let keep = self.store.options.lock().keep;
        if keep.days == 0 && keep.bytes == 0 && keep.count == 0 {
            return;
        }
        let oldest = (keep.days > 0).then(|| {
            let days = i64::try_from(keep.days).unwrap_or(i64::MAX / 86_400_000 - 1);
            utc_now().millis() - days.saturating_mul(86_400_000)
        });
        self.refresh();
        let (videos, images) = (self.there.video, self.there.image);
        let (mut count, mut bytes) = (videos.count + images.count, videos.bytes + images.bytes);
        self.remove_while(|row| {
            let end = row.timestamp_end.unwrap_or(row.timestamp_start);
            let goes = oldest.is_some_and(|at| end < at)
                || (keep.bytes > 0 && bytes > keep.bytes)
                || (keep.count > 0 && count > keep.count);
            count = count.saturating_sub(1);
            bytes = bytes.saturating_sub(row.size);
            goes
        });
    }

    /// Makes room of so many bytes.
    fn remove_oldest(&mut self, bytes: u64) {
        let mut short = bytes;
        self.remove_while(|row| {
            let goes = short > 0;
            short = short.saturating_sub(row.size);
            goes
        });
    }

    /// Removes the oldest of those that may be, as long as they are `wanted` to go.
    fn remove_while(&mut self, mut wanted: impl FnMut(&Record) -> bool) {
        let oldest = self.with("retention", |c| c.oldest_removable(REMOVED));
        let oldest = oldest.unwrap_or_default().into_iter();
        let ids: Vec<i64> = oldest.take_while(|row| wanted(row)).map(|row| row.id).collect();
        if !ids.is_empty() {
            let count = ids.len();
            self.remove(&ids);
            tracing::info!(count, "retention removed what was oldest");
            self.store.note("storage", 0, "", &format!("{count} of the oldest files were removed"));
        }
    }
}

/// What retention counts: defect rows are left out. Many have no file, and none of them is ever
/// removed by itself: good ones would go in their place, until there are none.
pub(super) fn there(catalogue: &Catalogue, totals: Totals) -> Result<Totals, CatalogueError> {
    let good = |of: MediaType, all: Total| -> Result<Total, CatalogueError> {
        let defect = defect(catalogue, of)?;
        let count = all.count.saturating_sub(defect.count);
        Ok(Total { count, bytes: all.bytes.saturating_sub(defect.bytes) })
    };
    Ok(Totals {
        video: good(MediaType::Video, totals.video)?,
        image: good(MediaType::Image, totals.image)?,
    })
}

fn defect(catalogue: &Catalogue, of: MediaType) -> Result<Total, CatalogueError> {
    let all = Query {
        state: Some(State::Defect),
        media_type: Some(of),
        sort: Sort::Size,
        limit: 1,
        ..Query::default()
    };
    let mut total = Total { count: catalogue.list(&all)?.total, bytes: 0 };
    // Those that are missing weigh nothing: what is left are a few.
    let mut heavy = Query { size_min: Some(1), limit: MAX_LIMIT, ..all };
    for _ in 0..PAGES {
        if total.count == 0 {
            break;
        }
        let page = catalogue.list(&heavy)?;
        total.bytes += page.records.iter().map(|row| row.size).sum::<u64>();
        heavy.after = page.next;
        if heavy.after.is_none() {
            break;
        }
    }
    Ok(total)
}

/// Whether there is a defect row whose file was there when it was looked for last.
fn expected(catalogue: &Catalogue) -> Result<bool, CatalogueError> {
    let mut defect = Query {
        state: Some(State::Defect),
        media_type: Some(MediaType::Video),
        limit: MAX_LIMIT,
        ..Query::default()
    };
    for _ in 0..PAGES {
        let page = catalogue.list(&defect)?;
        if page.records.iter().any(|row| row.error.as_deref() != Some(MISSING)) {
            return Ok(true);
        }
        defect.after = page.next;
        if defect.after.is_none() {
            break;
        }
    }
    Ok(false)
}

/// Whether something is mounted there: what is above it is on another device.
pub(super) fn is_mount(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|at| at.dev());
    let mounted = || -> io::Result<bool> {
        let folder = folder.canonicalize()?;
        let Some(above) = folder.parent() else { return Ok(true) };
        Ok(device(&folder)? != device(above)?)
    };
    mounted().unwrap_or(false)
}

/// Whether a disk has nothing but what formatting leaves.
fn is_empty(root: &Path) -> bool {
    const LEFT: [&str; 2] = ["lost+found", "System Volume Information"];
    let Ok(mut entries) = fs::read_dir(root) else { return false };
    entries.all(|entry| {
        let Ok(entry) = entry else { return false };
        let name = entry.file_name();
        name.to_str().is_some_and(|name| LEFT.contains(&name) || name.starts_with('.'))
    })
}
