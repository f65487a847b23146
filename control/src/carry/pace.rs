//! What the thread that copies and the loop know of each other: how far it is, whether it is to end,
//! and since when it waits for the storage.

use super::plan::Plan;
use lensd_ffi::catalogue::CopyTotals;
use lensd_ffi::time::{Nanos, now};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Longest sleep before it is asked whether to go on.
const NAP: Nanos = Nanos::from_millis(100);

/// How the storage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is copied.
    #[default]
    Off,
    /// Nothing waits.
    Idle,
    /// A file is on its way.
    Copying,
    /// A call does not come back.
    Stalled,
    /// It is not there.
    Unreachable,
    /// It has no room.
    Full,
    /// It refuses, or the settings cannot be.
    Error,
}

impl Standing {
    /// Its word, as `network-storage-state` has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Idle => "idle",
            Self::Copying => "copying",
            Self::Stalled => "stalled",
            Self::Unreachable => "unreachable",
            Self::Full => "full",
            Self::Error => "error",
        }
    }

    /// Whether somebody should look.
    pub(crate) const fn is_trouble(self) -> bool {
        matches!(self, Self::Stalled | Self::Unreachable | Self::Full | Self::Error)
    }
}

/// Why a copy was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The storage cannot take anything now, and why.
    Storage(Standing, String),
    /// It is about this file.
    File(String),
    /// Nobody wants this copy any more.
    Unwanted,
    /// The thread is to end.
    Over,
}

impl Trouble {
    /// What the kernel said of a path of the storage.
    pub(crate) fn of(what: &str, e: &io::Error) -> Self {
        use rustix::io::Errno;
        let standing = match Errno::from_io_error(e) {
            Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => Standing::Full,
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG) => Standing::Error,
            _ => Standing::Unreachable,
        };
        Self::Storage(standing, format!("{what}: {e}"))
    }
}

/// The file that is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) id: i64,
    pub(crate) filename: String,
    /// Bytes.
    pub(crate) size: u64,
    /// Bytes that are there.
    pub(crate) done: u64,
}

/// How it goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) standing: Standing,
    /// Why, if it is in trouble.
    pub(crate) error: String,
    pub(crate) current: Option<Current>,
    pub(crate) totals: CopyTotals,
    /// Bytes that were copied since the start.
    pub(crate) bytes: u64,
    /// The last file that came there, and when, UTC ms.
    pub(crate) last: Option<(String, i64)>,
    /// Recordings that may be removed here.
    pub(crate) removable: Vec<i64>,
}

/// What both know.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) status: Mutex<Status>,
    /// Since when it waits for the storage; 0: it does not.
    waits: AtomicU64,
    over: AtomicBool,
    /// Whether there is a reason to look at once.
    wake: Mutex<bool>,
    woken: Condvar,
}

impl Shared {
    /// Tells the thread to end, as soon as it can.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.wake();
    }

    /// Tells it to look at once.
    pub(crate) fn wake(&self) {
        *self.wake.lock() = true;
        self.woken.notify_all();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits for as long, or until woken.
    pub(crate) fn rest(&self, span: Nanos) {
        let mut wake = self.wake.lock();
        if !*wake {
            self.woken.wait_for(&mut wake, span.duration());
        }
        *wake = false;
    }

    /// How long a call to the storage has not come back.
    pub(crate) fn waiting(&self, at: Nanos) -> Nanos {
        match self.waits.load(Ordering::Acquire) {
            0 => Nanos(0),
            since => at.since(Nanos(since)),
        }
    }
}

/// How fast, and whether at all.
pub(crate) struct Pace {
    pub(crate) shared: Arc<Shared>,
    /// Bytes a second; 0: as fast as it goes.
    rate: u64,
    /// When the next byte may go.
    next: Nanos,
}

impl Pace {
    pub(crate) fn new(shared: Arc<Shared>, plan: &Plan) -> Self {
        Self { shared, rate: plan.rate, next: Nanos(0) }
    }

    /// Does something that may never come back.
    pub(crate) fn step<T>(&self, call: impl FnOnce() -> T) -> T {
        self.beat();
        let made = call();
        self.shared.waits.store(0, Ordering::Release);
        made
    }

    /// Within a step: it has come on.
    pub(crate) fn beat(&self) {
        self.shared.waits.store(now().0.max(1), Ordering::Release);
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Trouble::Over`].
    pub(crate) fn go_on(&self) -> Result<(), Trouble> {
        if self.shared.is_over() { Err(Trouble::Over) } else { Ok(()) }
    }

    /// So many bytes go: waits until they may.
    ///
    /// # Errors
    /// [`Trouble::Over`].
    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.go_on()?;
        if self.rate == 0 {
            return Ok(());
        }
        while now() < self.next {
            std::thread::sleep(NAP.duration().min(self.next.since(now()).duration()));
            self.go_on()?;
        }
        let cost = (bytes as u64).saturating_mul(1_000_000_000) / self.rate;
        // What was not used before is not made up for.
        self.next = self.next.max(now()).plus(Nanos(cost));
        Ok(())
    }

    /// So many bytes are there.
    pub(crate) fn note(&self, bytes: u64) {
        if let Some(current) = &mut self.shared.status.lock().current {
            current.done += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_becomes_a_standing() {
        use rustix::io::Errno;
        let standing = |errno: Errno| match Trouble::of("x", &errno.into()) {
            Trouble::Storage(standing, why) if why.starts_with("x: ") => standing,
            other => panic!("{other:?}"),
        };
        assert_eq!(standing(Errno::NOSPC), Standing::Full);
        assert_eq!(standing(Errno::DQUOT), Standing::Full);
        assert_eq!(standing(Errno::ROFS), Standing::Error);
        for gone in [Errno::STALE, Errno::NOTCONN, Errno::IO, Errno::HOSTDOWN, Errno::NOENT] {
            assert_eq!(standing(gone), Standing::Unreachable, "{gone}");
        }
    }

    #[test]
    fn a_call_that_does_not_come_back_is_seen() {
        let shared = Arc::new(Shared::default());
        let pace = Pace { shared: Arc::clone(&shared), rate: 0, next: Nanos(0) };
        let later = || now().plus(Nanos::from_secs(9));
        assert_eq!(shared.waiting(later()), Nanos(0));
        pace.step(|| assert!(shared.waiting(later()) >= Nanos::from_secs(8)));
        assert_eq!(shared.waiting(later()), Nanos(0));
        shared.end();
        assert_eq!(pace.go_on(), Err(Trouble::Over));
    }

    #[test]
    fn bytes_go_no_faster_than_they_may() {
        let mut pace = Pace { shared: Arc::default(), rate: 1_000_000, next: Nanos(0) };
        let begun = now();
        for _ in 0..5 {
            pace.spend(10_000).unwrap();
        }
        assert!(now().since(begun) >= Nanos::from_millis(40));
    }
}
