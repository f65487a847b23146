//! The thread that copies: one file after the other, from the queue in the catalogue.
//!
//! What goes wrong with the storage is waited out, and counts against no file. What goes wrong with a
//! file is tried again later, a bounded number of times; then it stays as failed until somebody looks.

use super::folder::Share;
use super::pace::{Current, Pace, Shared, Standing, Trouble};
use super::plan::{Place, Plan, Secret};
use super::s3::{Clerk, Parcel, Storage};
use crate::catalogue::Shelf;
use crate::media::{Beneath, Media};
use lensd_ffi::catalogue::{Catalogue, CatalogueError, Copy, CopyState};
use lensd_ffi::time::{Nanos, utc_now};
use std::sync::Arc;

/// How often it looks whether there is something to copy.
const LOOK: Nanos = Nanos::from_secs(2);
/// Files that are queued in one transaction.
const QUEUED: u32 = 500;
/// How often a file is tried.
const MOST_ATTEMPTS: u32 = 8;
/// From one attempt to the next: doubled each time, up to the longest.
const FIRST_WAIT: i64 = 10_000;
const LONGEST_WAIT: i64 = 3_600_000;
/// The same for a storage that cannot take anything.
const FIRST_PAUSE: Nanos = Nanos::from_secs(1);
const LONGEST_PAUSE: Nanos = Nanos::from_secs(60);
/// Recordings that are removed here at a time.
const REMOVED: u32 = 100;

/// The storage, made ready.
enum Target {
    Share(Share),
    Bucket(Box<Storage>),
}

/// What the thread has.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) media: Media,
    pub(super) plan: Plan,
    pub(super) owner: String,
    pub(super) secret: Option<Secret>,
    /// Up to which number recordings were offered to be removed.
    pub(super) offered: i64,
}

/// Makes the storage of a plan ready.
fn target(plan: &Plan, owner: &str, secret: Option<&Secret>) -> Result<Target, Trouble> {
    let wrong = |why: String| Trouble::Storage(Standing::Error, why);
    match &plan.place {
        Place::Folder { path, guard } => {
            Ok(Target::Share(Share::new(path.clone(), *guard, owner.to_owned())))
        }
        Place::S3(bucket) => {
            let secret = secret.ok_or_else(|| wrong("network-storage-secret is missing".into()))?;
            let made = Storage::new(bucket, secret, plan.patience).map_err(wrong)?;
            Ok(Target::Bucket(Box::new(made)))
        }
    }
}

/// Writes something small, reads it back and removes it.
///
/// # Errors
/// What does not work.
pub(super) fn test(
    plan: &Plan,
    owner: &str,
    secret: Option<&Secret>,
    shared: Arc<Shared>,
    mark: bool,
) -> Result<(), Trouble> {
    let mut pace = Pace::new(shared, plan);
    match target(plan, owner, secret)? {
        Target::Share(share) => share.test(&mut pace, mark),
        Target::Bucket(storage) => {
            let name = plan.name(&format!("lensd-test-{owner}"));
            storage.test(&mut pace, &name)
        }
    }
}

/// What is noted on the way of one file.
struct Notes<'a> {
    shelf: &'a Shelf,
    id: i64,
    target: String,
    path: String,
}

impl Clerk for Notes<'_> {
    fn begun(&mut self, upload: &str) -> Result<(), Trouble> {
        with(self.shelf, |c| c.copy_begun(self.id, &self.target, &self.path, upload))
    }

    fn wanted(&mut self) -> Result<(), Trouble> {
        match with(self.shelf, |c| c.copy(self.id))? {
            Some(copy) if copy.state == CopyState::Queued => Ok(()),
            _ => Err(Trouble::Unwanted),
        }
    }
}

/// Does something with the catalogue. A recording that is gone is no trouble: its copy is unwanted.
fn with<T>(
    shelf: &Shelf,
    job: impl FnOnce(&mut Catalogue) -> Result<T, CatalogueError>,
) -> Result<T, Trouble> {
    shelf.with(job).map_err(|fault| match fault.status {
        404 => Trouble::Unwanted,
        _ => Trouble::Storage(Standing::Error, format!("here: {}", fault.message)),
    })
}

impl Worker {
    /// Copies until told to end.
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut made = None;
        loop {
            let turn = self.ready(&mut made).and_then(|(target, pace)| self.turn(target, pace));
            match turn {
                Ok(true) => pause = FIRST_PAUSE,
                Ok(false) => {
                    pause = FIRST_PAUSE;
                    self.stand(Standing::Idle, String::new());
                    self.shared.rest(LOOK);
                }
                Err(Trouble::Over) => return,
                Err(Trouble::Unwanted) => {}
                Err(Trouble::Storage(standing, why)) => {
                    self.stand(standing, why);
                    self.shared.rest(pause);
                    pause = Nanos((pause.0 * 2).min(LONGEST_PAUSE.0));
                }
                // Only of a file, which `turn` has noted.
                Err(Trouble::File(why)) => {
                    self.stand(Standing::Error, why);
                    self.shared.rest(pause);
                }
            }
            if self.shared.is_over() {
                return;
            }
        }
    }

    fn stand(&self, standing: Standing, error: String) {
        let mut status = self.shared.status.lock();
        if status.standing != standing || status.error != error {
            if standing.is_trouble() {
                tracing::warn!(storage = self.plan.target(), "network storage: {error}");
            }
            status.standing = standing;
            status.error = error;
        }
        status.current = None;
    }

    /// The storage, made ready once.
    fn ready<'a>(
        &self,
        made: &'a mut Option<(Target, Pace)>,
    ) -> Result<(&'a Target, &'a mut Pace), Trouble> {
        if made.is_none() {
            let pace = Pace::new(Arc::clone(&self.shared), &self.plan);
            let target = target(&self.plan, &self.owner, self.secret.as_ref())?;
            if let Target::Share(share) = &target {
                self.count()?;
                share.sweep(&pace)?;
            }
            *made = Some((target, pace));
        }
        let (target, pace) = made.as_mut().ok_or(Trouble::Over)?;
        Ok((target, pace))
    }

    fn count(&self) -> Result<(), Trouble> {
        let totals = with(&self.shelf, |c| {
            while c.queue_copies(self.plan.wish, QUEUED, utc_now().millis())? == QUEUED as usize
                && !self.shared.is_over()
            {}
            c.copy_totals()
        })?;
        self.shared.status.lock().totals = totals;
        Ok(())
    }

    /// Copies the next file. False: there is none.
    fn turn(&mut self, target: &Target, pace: &mut Pace) -> Result<bool, Trouble> {
        pace.go_on()?;
        self.count()?;
        self.offer_removable()?;
        self.end_remains(target, pace)?;
        let now_ms = utc_now().millis();
        let Some(copy) = with(&self.shelf, |c| c.next_copy(now_ms))? else {
            return Ok(false);
        };
        let current =
            Current { id: copy.id, filename: copy.filename.clone(), size: copy.size, done: 0 };
        {
            let mut status = self.shared.status.lock();
            status.current = Some(current);
            // A storage that was in trouble is well when a file came there.
            if !status.standing.is_trouble() {
                status.standing = Standing::Copying;
            }
        }
        match self.carry(target, pace, &copy) {
            Ok((path, size)) => self.note_done(&copy, &path, size)?,
            Err(Trouble::File(why)) => {
                let tried = copy.attempts + 1;
                let wait = FIRST_WAIT.saturating_mul(1 << tried.min(20)).min(LONGEST_WAIT);
                let next = (tried < MOST_ATTEMPTS).then(|| utc_now().millis() + wait);
                tracing::warn!(file = copy.filename, tried, "not copied: {why}");
                with(&self.shelf, |c| c.copy_failed(copy.id, &why, next))?;
                // Something answered: the storage is there.
                self.stand(Standing::Idle, String::new());
            }
            Err(trouble) => return Err(trouble),
        }
        self.count()?;
        Ok(true)
    }

    fn note_done(&self, copy: &Copy, path: &str, size: u64) -> Result<(), Trouble> {
        let now_ms = utc_now().millis();
        with(&self.shelf, |c| c.copy_done(copy.id, &self.plan.target(), path, size, now_ms))?;
        tracing::info!(file = copy.filename, bytes = size, "copied to network storage");
        let mut status = self.shared.status.lock();
        status.standing = Standing::Copying;
        status.error.clear();
        status.bytes += size;
        status.last = Some((copy.filename.clone(), now_ms));
        Ok(())
    }

    /// Copies a file; the name that it has there, and its bytes.
    fn carry(
        &self,
        target: &Target,
        pace: &mut Pace,
        copy: &Copy,
    ) -> Result<(String, u64), Trouble> {
        let here = |why: String| Trouble::File(format!("here: {why}"));
        let path = Beneath::parse(&copy.filename).ok_or_else(|| here("no such file".into()))?;
        let mut file = self.media.open(&path).map_err(|e| here(e.to_string()))?;
        let name = self.plan.name(&copy.filename);
        let mut notes = Notes {
            shelf: &self.shelf,
            id: copy.id,
            target: self.plan.target(),
            path: name.clone(),
        };
        let sha256 = copy.sha256.as_deref();
        let verify = self.plan.verify;
        let size = match target {
            Target::Share(share) => {
                share.put(pace, &mut file, &name, sha256, verify, &mut || notes.wanted())?
            }
            Target::Bucket(storage) => {
                // What was begun elsewhere goes to what is to be ended there.
                let ours = copy.target == notes.target && copy.path == name;
                if !ours && !copy.upload.is_empty() {
                    notes.begun("")?;
                }
                let upload = if ours { copy.upload.as_str() } else { "" };
                let parcel = Parcel { file: &file, name: &name, sha256, upload, verify };
                storage.put(pace, &parcel, &mut notes)?
            }
        };
        Ok((name, size))
    }

    /// Ends uploads of files that were removed meanwhile.
    fn end_remains(&self, target: &Target, pace: &mut Pace) -> Result<(), Trouble> {
        let Target::Bucket(storage) = target else { return Ok(()) };
        while let Some(remains) = with(&self.shelf, |c| c.copy_remains(&self.plan.target()))? {
            storage.abort(pace, &remains.path, &remains.upload)?;
            with(&self.shelf, |c| c.copy_remains_gone(remains.id))?;
        }
        Ok(())
    }

    /// Says what may be removed here, when what was said before has been taken.
    fn offer_removable(&mut self) -> Result<(), Trouble> {
        if !self.plan.delete_local || !self.shared.status.lock().removable.is_empty() {
            return Ok(());
        }
        // Behind those that were offered before: one that cannot be removed holds up no other.
        let ids = with(&self.shelf, |c| c.copied_removable(self.offered, REMOVED))?;
        self.offered = ids.last().copied().unwrap_or_default();
        self.shared.status.lock().removable = ids;
        Ok(())
    }
}
