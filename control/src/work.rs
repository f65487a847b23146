//! Work that would hold the loop up, on a few threads: hashing a password, a large query, copying
//! a file.
//!
//! A job runs on a thread and knows nothing of the plane; what follows from it runs on the loop
//! ([`Work::take_done`]), so no state is ever shared. The queue is bounded: who comes when it is
//! full is told so (503 `BUSY`) and nothing waits without end.

use crate::http::At;
use crate::http::respond::Fault;
use lensd_ffi::bell::Bell;
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Threads. Two, so that one long copy does not hold up all logins.
const THREADS: usize = 2;
/// Jobs that may wait for a thread.
const MAX_WAITING: usize = 64;

/// What a job made, or none if it panicked.
type Made = Option<Box<dyn Any + Send>>;
type Job = Box<dyn FnOnce() -> Made + Send>;
/// What follows from a job, with the world `W` of the loop.
type Then<W> = Box<dyn FnOnce(&mut W, Made, At)>;

/// A job did not come to its end: it panicked. The reason is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

impl From<Panicked> for Fault {
    fn from(_: Panicked) -> Self {
        Self::new(500, "INTERNAL", "Internal error", "the work for this request failed")
    }
}

/// The pool.
pub(crate) struct Work<W> {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Whether the end waits for the jobs that run.
    ends: bool,
    follows: BTreeMap<u64, Then<W>>,
    next_id: u64,
}

/// What the loop and the threads share.
struct Shared {
    queue: Mutex<Queue>,
    /// A job has come, or the end.
    come: Condvar,
    bell: Bell,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u64, Job)>,
    done: Vec<(u64, Made)>,
    over: bool,
}

impl Shared {
    /// A thread that panics does so outside the lock; were it inside, the queue would still hold.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Work<W> {
    /// Starts the threads, whose names begin so.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), come: Condvar::new(), bell: Bell::new()? });
        let mut work =
            Self { shared, threads: Vec::new(), ends: true, follows: BTreeMap::new(), next_id: 0 };
        for number in 0..THREADS {
            let shared = Arc::clone(&work.shared);
            let name = format!("{name}-{number}");
            work.threads.push(Builder::new().name(name).spawn(move || labour(&shared))?);
        }
        Ok(work)
    }

    /// The same whose jobs may hang: the end does not wait for them.
    pub(crate) fn without_end(mut self) -> Self {
        self.ends = false;
        self
    }

    /// Rings when a job is done: call [`Work::take_done`] then.
    pub(crate) fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    /// Lets `job` run on a thread and `then` on the loop. If the job panics, that is logged, and
    /// nothing follows.
    ///
    /// # Errors
    /// 503 `BUSY` when too many jobs wait.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut W, T, At) + 'static,
    ) -> Result<(), Fault> {
        self.try_run(job, |world, made, at| {
            if let Ok(made) = made {
                then(world, made, at);
            }
        })
    }

    /// The same, when something must follow in any case.
    ///
    /// # Errors
    /// 503 `BUSY` when too many jobs wait.
    pub(crate) fn try_run<T: Send + 'static>(
        &mut self,
        job: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(&mut W, Result<T, Panicked>, At) + 'static,
    ) -> Result<(), Fault> {
        let id = self.next_id;
        let job: Job = Box::new(move || {
            // Whatever the job held is dropped with it; nobody sees it half done.
            let made = catch_unwind(AssertUnwindSafe(job)).ok()?;
            Some(Box::new(made))
        });
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= MAX_WAITING {
            return Err(Fault::unavailable("BUSY", "too much work waits; try again in a second"));
        }
        queue.waiting.push_back((id, job));
        drop(queue);
        self.shared.come.notify_one();
        self.next_id += 1;
        let follow = move |world: &mut W, made: Made, at| {
            let made = made.and_then(|made| made.downcast().ok()).map(|made| *made);
            then(world, made.ok_or(Panicked), at);
        };
        self.follows.insert(id, Box::new(follow));
        Ok(())
    }

    /// What follows from the jobs that are done since the last call. **Call each with the world.**
    pub(crate) fn take_done(&mut self) -> Vec<impl FnOnce(&mut W, At) + use<W>> {
        self.shared.bell.take();
        let done = std::mem::take(&mut self.shared.queue().done);
        let follow = |(id, made)| {
            let then = self.follows.remove(&id)?;
            Some(move |world: &mut W, at| then(world, made, at))
        };
        done.into_iter().filter_map(follow).collect()
    }
}

impl<W> Drop for Work<W> {
    /// Waits for the jobs that run; those that wait are given up.
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.over = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.come.notify_all();
        for thread in self.threads.drain(..).filter(|_| self.ends) {
            let _ = thread.join();
        }
    }
}

/// The life of a thread.
fn labour(shared: &Shared) {
    loop {
        let mut queue = shared.queue();
        let (id, job) = loop {
            if queue.over {
                return;
            }
            match queue.waiting.pop_front() {
                Some(next) => break next,
                None => queue = shared.come.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        let made = job();
        if made.is_none() {
            tracing::error!("a job panicked");
        }
        shared.queue().done.push((id, made));
        shared.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    type Log = Vec<String>;

    /// Waits until a job is done, as the loop does, and does what follows.
    fn follow(work: &mut Work<Log>, log: &mut Log, jobs: usize) {
        let mut left = jobs;
        while left > 0 {
            let mut fds =
                [rustix::event::PollFd::new(&work.shared.bell, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            for then in work.take_done() {
                then(log, At::default());
                left -= 1;
            }
        }
    }

    fn gate() -> (Sender<()>, Receiver<()>) {
        channel()
    }

    #[test]
    fn what_follows_runs_here_with_what_the_job_made() {
        let (mut work, mut log) = (Work::new("test").unwrap(), Log::new());
        let here = std::thread::current().id();
        work.run(
            move || (std::thread::current().id(), 6 * 7),
            move |log: &mut Log, (there, made), _| {
                log.push(format!(
                    "{made} {} {}",
                    there != here,
                    std::thread::current().id() == here
                ));
            },
        )
        .unwrap();
        follow(&mut work, &mut log, 1);
        assert_eq!(log, ["42 true true"]);
    }

    #[test]
    fn a_panic_is_a_fault_and_the_thread_works_on() {
        let (mut work, mut log) = (Work::new("test").unwrap(), Log::new());
        for _ in 0..2 * THREADS {
            let job = || -> u8 { panic!("as it should, in this test") };
            work.try_run(job, |log: &mut Log, made, _| log.push(format!("{made:?}"))).unwrap();
        }
        work.run(|| 1, |log: &mut Log, made, _| log.push(made.to_string())).unwrap();
        follow(&mut work, &mut log, 2 * THREADS + 1);
        assert_eq!(log.iter().filter(|l| *l == "Err(Panicked)").count(), 2 * THREADS);
        assert!(log.contains(&"1".to_owned()));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let (mut work, mut log) = (Work::new("test").unwrap(), Log::new());
        let (started, starts) = gate();
        let mut gates = Vec::new();
        for _ in 0..THREADS {
            let (open, wait) = gate();
            let started = started.clone();
            let job = move || {
                started.send(()).unwrap();
                wait.recv().unwrap();
            };
            work.run(job, |_: &mut Log, (), _| ()).unwrap();
            gates.push(open);
        }
        for _ in 0..THREADS {
            starts.recv().unwrap();
        }
        for _ in 0..MAX_WAITING {
            work.run(|| (), |log: &mut Log, (), _| log.push(String::new())).unwrap();
        }
        let refused = work.run(|| (), |_: &mut Log, (), _| ()).unwrap_err();
        assert_eq!((refused.status, &*refused.code), (503, "BUSY"));
        for gate in gates {
            gate.send(()).unwrap();
        }
        follow(&mut work, &mut log, THREADS + MAX_WAITING);
        assert_eq!(log.len(), MAX_WAITING);
    }

    #[test]
    fn the_end_waits_for_what_runs_and_for_nothing_else() {
        let mut work: Work<Log> = Work::new("test").unwrap();
        let (ran, runs) = gate();
        for _ in 0..MAX_WAITING {
            let ran = ran.clone();
            let _ = work.run(move || ran.send(()), |_: &mut Log, _, _| ());
        }
        drop(ran);
        drop(work);
        assert!(runs.iter().count() <= MAX_WAITING, "and all threads have let go of their ends");
    }
}
