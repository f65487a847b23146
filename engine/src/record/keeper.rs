//! The thread that owns the catalogue: rows, completion of files, retention, the state of storage.

mod storage;

use super::folder::{Folder, What};
use super::hub::Snap;
use super::list::List;
use super::mend::{self, Mended};
use super::plan::{Mode, Options};
use super::reel::Shared;
use super::{reconcile, work};
use crate::thread::Stop;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use lensd_ffi::bell::Bell;
use lensd_ffi::catalogue::{
    Catalogue, CatalogueError, Encoding, Finished, MediaType, NewRecord, Progress, Query, Record,
    State, Totals,
};
use lensd_ffi::link::Answer;
use lensd_ffi::state::{MAX_EVENTS, MediaEvent, StorageState};
use lensd_ffi::time::{Nanos, now, utc_now};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often it looks whether it is to end, and looks at the disk.
const TICK: Nanos = Nanos::from_millis(200);
const LOOK: Nanos = Nanos::from_secs(1);
/// How often running recordings are noted, and what is kept is looked at.
const BATCH: Nanos = Nanos::from_secs(5);
/// When storage has not answered for so long, it is stalled.
const STALL: Nanos = Nanos::from_secs(10);

/// What the keeper is asked.
pub(super) enum Job {
    /// A file was begun.
    Begun { new: Box<NewRecord>, shared: Arc<Shared> },
    /// A file has ended. `until_ms`: when its last picture was captured, UTC; `error`: what went
    /// wrong, else empty.
    Ended { filename: String, until_ms: i64, error: String },
    /// A snapshot is to be kept.
    Snap { picture: Box<Picture>, answer: Sender<Answer> },
    /// Files and rows are to be removed.
    Remove { ids: Vec<i64>, answer: Sender<Answer> },
}

/// A JPEG that becomes a snapshot.
pub(super) struct Picture {
    pub(super) snap: Snap,
    pub(super) camera_name: String,
}

/// What all threads of recording share.
pub(super) struct Store {
    pub(super) options: Mutex<Options>,
    pub(super) jobs: Sender<Job>,
    pub(super) state: Mutex<StorageState>,
    /// Files that are being written, from before they exist: nobody else touches these.
    pub(super) writing: Mutex<HashSet<String>>,
    /// Rung when an answer is there, or news are.
    bell: Bell,
    news: AtomicBool,
    /// When the keeper looked around last.
    looked: AtomicU64,
    events: Mutex<(u64, VecDeque<MediaEvent>)>,
}

impl Store {
    pub(super) fn new(jobs: Sender<Job>, bell: Bell) -> Self {
        let state = StorageState { state: "starting".to_owned(), ..StorageState::default() };
        Self {
            options: Mutex::default(),
            jobs,
            state: Mutex::new(state),
            writing: Mutex::default(),
            bell,
            news: AtomicBool::new(false),
            looked: AtomicU64::new(now().0),
            events: Mutex::default(),
        }
    }

    /// The engine's state is another one: it is to be published.
    pub(super) fn tell_main(&self) {
        self.news.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Whether that is so since the last call.
    pub(super) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Somebody's answer is there.
    pub(super) fn answer(&self, to: &Sender<Answer>, answer: Answer) {
        // Who asked may be gone.
        let _ = to.send(answer);
        self.bell.ring();
    }

    /// Remembers something for who looks.
    pub(super) fn note(&self, topic: &str, camera: u32, filename: &str, text: &str) {
        let mut events = self.events.lock();
        events.0 += 1;
        let event = MediaEvent {
            number: events.0,
            time_ms: utc_now().millis(),
            topic: topic.to_owned(),
            camera,
            filename: filename.to_owned(),
            text: text.chars().take(200).collect(),
        };
        events.1.push_back(event);
        if events.1.len() > MAX_EVENTS {
            events.1.pop_front();
        }
        drop(events);
        self.tell_main();
    }

    pub(super) fn events(&self) -> Vec<MediaEvent> {
        self.events.lock().1.iter().cloned().collect()
    }

    /// Storage as others see it.
    pub(super) fn shown(&self, at: Nanos) -> StorageState {
        let mut state = self.state.lock().clone();
        if at.since(Nanos(self.looked.load(Ordering::Acquire))) > STALL {
            "stalled".clone_into(&mut state.state);
            "storage does not answer".clone_into(&mut state.error);
        }
        state
    }

    /// Whether there is room to write.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn has_room(&self) -> io::Result<()> {
        let state = self.state.lock();
        match state.state.as_str() {
            "full" => Err(io::Error::new(io::ErrorKind::StorageFull, state.error.clone())),
            "gone" => Err(io::Error::new(io::ErrorKind::NotFound, state.error.clone())),
            "read-only" => {
                Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, state.error.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// See the module.
pub(super) struct Keeper {
    pub(super) store: Arc<Store>,
    pub(super) folder: Folder,
    pub(super) database: PathBuf,
    pub(super) jobs: Receiver<Job>,
    catalogue: Option<Catalogue>,
    /// Files that are being written: their numbers, and who writes them.
    running: HashMap<String, (i64, Arc<Shared>)>,
    list: Arc<List>,
    /// Of files that are there and whole, or being written.
    there: Totals,
    /// Whether this disk has, or had, the recordings: then an empty place is one that lost it. None:
    /// that was not looked at yet.
    had: Option<bool>,
    /// Whether files are to be compared with rows as soon as there is a disk.
    unlike: bool,
    /// Whether a folder is where a disk is mounted.
    mounts: fn(&Path) -> bool,
    told: String,
    batched: Nanos,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<Store>,
        folder: Folder,
        data: &Path,
        jobs: Receiver<Job>,
        list: Arc<List>,
    ) -> Self {
        Self {
            store,
            folder,
            database: data.join("catalog.db"),
            jobs,
            catalogue: None,
            running: HashMap::new(),
            list,
            there: Totals::default(),
            had: None,
            unlike: false,
            mounts: storage::is_mount,
            told: String::new(),
            batched: Nanos(0),
        }
    }

    /// Runs until told to stop, and then until nobody has anything to say.
    pub(super) fn run(mut self, stop: &Stop) {
        self.look();
        while !stop.is_set() {
            match self.jobs.recv_timeout(TICK.duration()) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look();
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.take(job);
        }
    }

    /// The catalogue, opened if it can be.
    fn open(&mut self) -> Option<&mut Catalogue> {
        if self.catalogue.as_ref().is_some_and(Catalogue::is_replaced) {
            self.catalogue = None;
        }
        if self.catalogue.is_none() {
            match Catalogue::open(&self.database) {
                Ok(catalogue) => {
                    for note in catalogue.notes() {
                        tracing::warn!("{note}");
                    }
                    self.unlike = true;
                    self.catalogue = Some(catalogue);
                }
                Err(e) => self.complain(&format!("the catalogue cannot be opened: {e}")),
            }
        }
        self.catalogue.as_mut()
    }

    /// Compares files with rows, if that is due and there is a disk that can be written.
    fn compare(&mut self) {
        let there = matches!(self.store.state.lock().state.as_str(), "ok" | "full");
        if !there || !std::mem::take(&mut self.unlike) {
            return;
        }
        let (store, folder) = (Arc::clone(&self.store), self.folder.clone());
        let mounted = (self.mounts)(folder.root());
        let report = self.with("recordings cannot be compared", |catalogue| {
            reconcile::compare(catalogue, &folder, mounted, &|name| {
                store.writing.lock().contains(name)
            })
        });
        if let Some(report) = report.filter(|report| !report.is_quiet()) {
            tracing::info!("recordings: {report}");
            self.store.note("storage", 0, "", &report.to_string());
        }
    }

    fn complain(&mut self, text: &str) {
        if self.told != text {
            tracing::error!("{text}");
            text.clone_into(&mut self.told);
        }
    }

    /// Does something with the catalogue; what fails is logged, and mended at the next start.
    fn with<T>(
        &mut self,
        what: &str,
        body: impl FnOnce(&mut Catalogue) -> Result<T, CatalogueError>,
    ) -> Option<T> {
        match body(self.open()?) {
            Ok(done) => Some(done),
            Err(e) => {
                if let CatalogueError::Damaged(_) = &e
                    && let Some(catalogue) = self.catalogue.take()
                {
                    let _ = catalogue.mark_damaged();
                }
                self.complain(&format!("{what}: {e}"));
                None
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Begun { new, shared } => {
                let entered = self.with("a recording is not entered", |c| c.begin(&new));
                let id = entered.unwrap_or_default();
                let mut state = shared.state.lock();
                if state.filename == new.filename {
                    state.id = id;
                }
                drop(state);
                self.store.note("recording.start", new.camera, &new.filename, &new.mode);
                tracing::info!(file = new.filename, stream = new.stream, "recording");
                self.running.insert(new.filename, (id, shared));
            }
            Job::Ended { filename, until_ms, error } => self.end(&filename, until_ms, &error),
            Job::Snap { picture, answer } => {
                let kept = self.snap(&picture);
                self.store.answer(&answer, kept);
            }
            Job::Remove { ids, answer } => {
                let removed = self.remove(&ids);
                self.store.answer(&answer, removed);
            }
        }
    }

    fn end(&mut self, filename: &str, until_ms: i64, error: &str) {
        self.running.remove(filename);
        let path = self.folder.path(filename);
        let row = self.with("a recording is not found", |c| c.by_filename(filename)).flatten();
        let title = row.as_ref().map(|row| row.title.as_str()).filter(|title| !title.is_empty());
        let error = (!error.is_empty()).then(|| error.to_owned());
        let mut end = finished(mend::mend(&path, title), row.as_ref(), error);
        end.timestamp_end_ms = until_ms;
        let camera = row.as_ref().map_or(0, |row| row.camera);
        let text = end.error.clone().unwrap_or_default();
        tracing::info!(file = filename, bytes = end.size, ms = end.duration_ms, "recorded {text}");
        self.store.note("recording.stop", camera, filename, &text);
        match row {
            Some(row) => {
                self.with("the end of a recording is not entered", |c| c.finish(row.id, &end));
            }
            // The catalogue was away, or is another one, since it began.
            None => {
                if let Some(found) = reconcile::adopt(&self.folder, filename, now()) {
                    self.with("a recording is not entered", |c| c.adopt(&[found]));
                }
            }
        }
        self.store.writing.lock().remove(filename);
    }

    /// Writes a snapshot: whole or not at all.
    fn snap(&mut self, picture: &Picture) -> Answer {
        let snap = &picture.snap;
        let before = if snap.alone { self.snapshot_before(snap.camera) } else { None };
        let made = work::finished(picture).map_err(io::Error::other);
        let made = made.and_then(|jpeg| Ok((self.write_snapshot(snap, &jpeg)?, jpeg.len() as u64)));
        let (filename, size) = match made {
            Ok(made) => made,
            Err(e) => {
                self.store.note("snapshot.error", snap.camera, "", &e.to_string());
                return super::fault_of(&e);
            }
        };
        let captured_ms = snap.captured.utc.millis();
        let new = NewRecord {
            filename: filename.clone(),
            media_type: MediaType::Image,
            encoding: Encoding::Jpeg,
            camera: snap.camera,
            stream: format!("cam{}/mjpeg", snap.camera),
            mode: "snapshot".to_owned(),
            timestamp_start_ms: captured_ms,
            resolution: format!("{}x{}", snap.size.0, snap.size.1),
            fps: 0.0,
            title: snap.title.clone(),
        };
        let end = Finished {
            timestamp_end_ms: captured_ms,
            duration_ms: 0,
            size,
            state: State::Ready,
            error: None,
        };
        let id = self.with("a snapshot is not entered", |c| {
            let id = c.begin(&new)?;
            c.finish(id, &end)?;
            Ok(id)
        });
        self.store.note("snapshot.taken", snap.camera, &filename, "");
        if let Some(old) = before.filter(|old| old.tag_markers.is_empty()) {
            self.remove(&[old.id]);
        }
        Answer::Kept { id: id.unwrap_or_default(), filename, size, captured_ms }
    }

    /// The newest snapshot of a camera: each has its own that is replaced.
    fn snapshot_before(&mut self, camera: u32) -> Option<Record> {
        let query = Query {
            camera: Some(camera),
            media_type: Some(MediaType::Image),
            state: Some(State::Ready),
            limit: 1,
            ..Query::default()
        };
        self.with("snapshots", |c| c.list(&query))?.records.pop()
    }

    fn write_snapshot(&self, snap: &Snap, jpeg: &[u8]) -> io::Result<String> {
        self.store.has_room()?;
        let (mut file, name) =
            self.folder.create(What::Snapshot, snap.captured.utc, snap.camera, "main")?;
        let written = file.write_all(jpeg).and_then(|()| file.sync_all());
        if let Err(e) = written {
            let _ = fs::remove_file(self.folder.path(&name));
            return Err(e);
        }
        Ok(name)
    }

    /// Removes files, and then their rows. What is being written stays.
    fn remove(&mut self, ids: &[i64]) -> Answer {
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for &id in ids {
            match self.remove_one(id) {
                Ok(()) => gone.push(id),
                Err(why) => kept.push((id, why)),
            }
        }
        if self.with("recordings are not removed", |c| c.remove(&gone)).is_none()
            && !gone.is_empty()
        {
            // Their files are gone: the next comparison says so.
            tracing::warn!("rows of removed files stay until the next start");
        }
        self.refresh();
        Answer::Removed { gone, kept }
    }

    fn remove_one(&mut self, id: i64) -> Result<(), String> {
        let row = self
            .with("a recording is not found", |c| c.record(id))
            .ok_or("the catalogue cannot be read")?
            .ok_or("NOT_FOUND")?;
        if self.running.contains_key(&row.filename) {
            return Err("RECORDING_IN_PROGRESS".to_owned());
        }
        if row.protected {
            return Err("PROTECTED".to_owned());
        }
        match fs::remove_file(self.folder.path(&row.filename)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.to_string()),
            _ => {
                let _ = fs::remove_file(self.folder.thumbnail(id));
                Ok(())
            }
        }
    }

    /// Looks at storage, and every few seconds at the rest.
    fn look(&mut self) {
        let at = now();
        let looked = Nanos(self.store.looked.load(Ordering::Acquire));
        if self.batched.0 > 0 && at.since(looked) < LOOK {
            return;
        }
        // What the catalogue knows tells whether the disk is the one that is meant.
        self.refresh();
        self.look_at_disk();
        self.store.looked.store(now().0, Ordering::Release);
        self.compare();
        self.list.write();
        if at.since(self.batched) < BATCH && self.batched.0 > 0 {
            return;
        }
        self.batched = at;
        let running: Vec<(i64, Progress)> = self
            .running
            .values()
            .filter_map(|(id, shared)| Some((*id, (*shared.progress.lock())?)))
            .filter(|(id, _)| *id > 0)
            .collect();
        if !running.is_empty() {
            self.with("progress is not entered", |c| c.progress(&running));
        }
        self.keep_house();
        self.refresh();
    }

    fn refresh(&mut self) {
        let totals = self.with("the catalogue cannot be read", |c| {
            let totals = c.totals()?;
            Ok((totals, storage::there(c, totals)?))
        });
        if let Some((totals, there)) = totals {
            self.there = there;
            let mut state = self.store.state.lock();
            (state.videos, state.video_bytes) = (totals.video.count, totals.video.bytes);
            (state.images, state.image_bytes) = (totals.image.count, totals.image.bytes);
        }
    }
}

/// What a row says of a file that was closed.
pub(super) fn finished(
    mended: Result<Mended, mend::Failed>,
    row: Option<&Record>,
    error: Option<String>,
) -> Finished {
    let start = row.map_or(0, |row| row.timestamp_start);
    match mended {
        Ok(mended) if mended.fragments > 0 => {
            let duration_ms = i64::try_from(mended.duration_ms).unwrap_or(i64::MAX);
            // The row is seconds behind. But pictures may be played at another rate than they were
            // captured: then it may know more than the times of the file say.
            let stretched = row.filter(|row| row.mode != Mode::Video.name());
            let known = stretched.and_then(|row| row.timestamp_end).unwrap_or(i64::MIN);
            let end = mended.until_ms.max(known);
            let size = mended.bytes;
            Finished { timestamp_end_ms: end, duration_ms, size, state: State::Ready, error }
        }
        other => {
            let why = match other {
                Ok(_) => "no picture was written".to_owned(),
                Err(e) => e.to_string(),
            };
            Finished {
                timestamp_end_ms: row.and_then(|row| row.timestamp_end).unwrap_or(start),
                duration_ms: row.map_or(0, |row| row.duration),
                size: row.map_or(0, |row| row.size),
                state: State::Defect,
                error: Some(error.map_or_else(|| why.clone(), |error| format!("{error}; {why}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
