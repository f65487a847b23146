//! Recordings carried to network storage: a folder on which a share is mounted, or a bucket of S3.
//!
//! What is to be copied stands in the catalogue, so it survives everything. One thread copies
//! (`worker`); only it, and nothing else, hangs with a share that does not answer. The loop sees that
//! by the clock, tells it, and never waits for it. When the settings change, a thread that hangs is
//! left behind and another one begins.

mod folder;
mod pace;
mod plan;
mod s3;
mod worker;

pub(crate) use pace::{Standing, Status};
pub(crate) use plan::{Plan, Secret};
pub use s3::fuzz_answer;

use crate::catalogue::Shelf;
use crate::media::Media;
use lensd_ffi::time::{Nanos, utc_now};
use pace::{Shared, Trouble};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use worker::Worker;

/// Most threads that hang at a storage that was given up.
const MOST_LEFT: usize = 4;

/// What became of a test: the words, if it failed.
pub(crate) type Tested = Result<(), String>;

/// A test that runs.
#[derive(Debug)]
struct Test {
    made: Arc<Mutex<Option<Tested>>>,
    shared: Arc<Shared>,
    until: Nanos,
}

/// The handle of the loop.
#[derive(Debug)]
pub(crate) struct Carry {
    shelf: Arc<Shelf>,
    media: Media,
    owner: String,
    plan: Result<Option<Plan>, String>,
    worker: Option<Arc<Shared>>,
    /// Threads that live, of workers and tests.
    threads: Arc<AtomicUsize>,
    test: Option<Test>,
    /// Why there is no thread.
    fault: Option<String>,
    /// What was told last, and whether it was trouble.
    told: (Standing, String),
    /// The sum of what earlier threads have copied.
    bytes: u64,
    last: Option<(String, i64)>,
}

/// Another standing, to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) standing: Standing,
    pub(crate) error: String,
    /// It was in trouble before.
    pub(crate) was_trouble: bool,
    /// UTC ms.
    pub(crate) time_ms: i64,
}

impl Carry {
    /// Nothing is copied yet. `machine_id` and `data` tell this server from others at the same
    /// storage.
    pub(crate) fn new(shelf: Arc<Shelf>, media: Media, machine_id: &Path, data: &Path) -> Self {
        let mut hash = Sha256::new();
        hash.update(std::fs::read(machine_id).unwrap_or_default());
        let data = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
        hash.update(data.as_os_str().as_encoded_bytes());
        let mut owner = folder::hex(hash);
        owner.truncate(12);
        Self {
            shelf,
            media,
            owner,
            plan: Ok(None),
            worker: None,
            threads: Arc::default(),
            test: None,
            fault: None,
            told: (Standing::Off, String::new()),
            bytes: 0,
            last: None,
        }
    }

    /// The plan that holds.
    ///
    /// # Errors
    /// What of the settings cannot be.
    pub(crate) fn plan(&self) -> Result<Option<&Plan>, &str> {
        self.plan.as_ref().map(Option::as_ref).map_err(String::as_str)
    }

    /// Takes another plan, or the same one with another secret: a new thread begins.
    pub(crate) fn take(&mut self, plan: Result<Option<Plan>, String>, secret: Option<Secret>) {
        self.stop();
        self.fault = None;
        self.plan = plan;
        let Ok(Some(plan)) = self.plan.clone() else { return };
        let shared = Arc::new(Shared::default());
        shared.status.lock().standing = Standing::Idle;
        let worker = Worker {
            shared: Arc::clone(&shared),
            shelf: Arc::clone(&self.shelf),
            media: self.media.clone(),
            plan,
            owner: self.owner.clone(),
            secret,
            offered: 0,
        };
        match self.spawn("carry", move || worker.run()) {
            Ok(()) => self.worker = Some(shared),
            Err(why) => self.fault = Some(why),
        }
    }

    /// Whether a thread should run and does not: there were too many, or it has panicked.
    pub(crate) fn lacks_thread(&self) -> bool {
        let dead = |worker: &Arc<Shared>| Arc::strong_count(worker) == 1;
        matches!(self.plan, Ok(Some(_))) && self.worker.as_ref().is_none_or(dead)
    }

    /// Runs something on a thread that is not waited for.
    fn spawn(&self, name: &str, job: impl FnOnce() + Send + 'static) -> Result<(), String> {
        let threads = Arc::clone(&self.threads);
        if threads.fetch_add(1, Ordering::AcqRel) > MOST_LEFT {
            threads.fetch_sub(1, Ordering::AcqRel);
            return Err(format!(
                "{MOST_LEFT} calls to storages that do not answer hang: unmount these"
            ));
        }
        /// Counts down also when the job panics.
        struct Down(Arc<AtomicUsize>);
        impl Drop for Down {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let down = Down(threads);
        let job = move || {
            let _down = down;
            job();
        };
        let spawned = Builder::new().name(name.to_owned()).spawn(job);
        spawned.map(|_| ()).map_err(|e| format!("no thread for it: {e}"))
    }

    fn stop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.end();
            let status = worker.status.lock();
            self.bytes += status.bytes;
            self.last = status.last.clone().or_else(|| self.last.take());
        }
    }

    /// How it goes at a moment.
    pub(crate) fn status(&self, at: Nanos) -> Status {
        let mut status = match &self.worker {
            Some(worker) => worker.status.lock().clone(),
            None => Status::default(),
        };
        status.bytes += self.bytes;
        if status.last.is_none() {
            status.last.clone_from(&self.last);
        }
        let why = self.plan.as_ref().err().or(self.fault.as_ref());
        if let Some(why) = why {
            (status.standing, status.error) = (Standing::Error, why.clone());
        }
        if let (Some(worker), Ok(Some(plan))) = (&self.worker, &self.plan) {
            let waiting = worker.waiting(at);
            if waiting > plan.patience {
                status.standing = Standing::Stalled;
                let s = waiting.0 / 1_000_000_000;
                status.error = format!("{} does not answer since {s} s", plan.target());
            }
        }
        status
    }

    /// Whether the standing is another one than was told.
    pub(crate) fn news(&mut self, status: &Status) -> Option<News> {
        // Between files and on the way is all the same to who is told.
        let calm = |standing| if standing == Standing::Copying { Standing::Idle } else { standing };
        let standing = calm(status.standing);
        let same_words = standing == Standing::Stalled || self.told.1 == status.error;
        if self.told.0 == standing && same_words {
            return None;
        }
        let was_trouble = self.told.0.is_trouble();
        self.told = (standing, status.error.clone());
        Some(News {
            standing,
            error: status.error.clone(),
            was_trouble,
            time_ms: utc_now().millis(),
        })
    }

    /// Recordings that may be removed here now. Calling takes them.
    pub(crate) fn take_removable(&self) -> Vec<i64> {
        let taken = self.worker.as_ref().map(|w| std::mem::take(&mut w.status.lock().removable));
        taken.unwrap_or_default()
    }

    /// There may be something to copy: it looks at once.
    pub(crate) fn wake(&self) {
        if let Some(worker) = &self.worker {
            worker.wake();
        }
    }

    /// Begins a test of the storage; `mark` marks its folder as ours.
    ///
    /// # Errors
    /// Why there is none: another one runs, or there are no threads.
    pub(crate) fn begin_test(
        &mut self,
        plan: Plan,
        secret: Option<Secret>,
        mark: bool,
        at: Nanos,
    ) -> Result<(), String> {
        if self.test.is_some() {
            return Err("another test runs".to_owned());
        }
        let shared = Arc::new(Shared::default());
        let made = Arc::new(Mutex::new(None));
        // Each of its calls may take as long as the storage may.
        let until = at.plus(plan.patience).plus(plan.patience);
        let (slot, owner) = (Arc::clone(&made), self.owner.clone());
        let known = Arc::clone(&shared);
        self.spawn("carry-test", move || {
            let tested = worker::test(&plan, &owner, secret.as_ref(), known, mark);
            *slot.lock() = Some(tested.map_err(|trouble| match trouble {
                Trouble::Storage(_, why) | Trouble::File(why) => why,
                Trouble::Unwanted | Trouble::Over => "it was ended".to_owned(),
            }));
        })?;
        self.test = Some(Test { made, shared, until });
        Ok(())
    }

    /// What became of the test that runs, when that is known, or it took too long.
    pub(crate) fn take_tested(&mut self, at: Nanos) -> Option<Tested> {
        let test = self.test.as_ref()?;
        let made = test.made.lock().take();
        let made = made
            .or_else(|| (at > test.until).then(|| Err("the storage does not answer".to_owned())))?;
        test.shared.end();
        self.test = None;
        Some(made)
    }
}

impl Drop for Carry {
    /// The thread ends with its piece; one that hangs is not waited for.
    fn drop(&mut self) {
        self.stop();
    }
}
