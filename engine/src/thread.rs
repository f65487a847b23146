//! A thread as a value: it has a name, it is told to stop and waited for when dropped, and its
//! panic is a fault that somebody reads.

use lensd_ffi::bell::Bell;
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Tells a thread to end, and wakes it.
#[derive(Debug, Clone)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    bell: Arc<Bell>,
}

impl Stop {
    /// With the bell that the thread waits for.
    pub fn new(bell: Arc<Bell>) -> Self {
        Self { flag: Arc::default(), bell }
    }

    /// Whether it is told to end.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Tells it.
    pub fn set(&self) {
        self.flag.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// A running thread.
#[derive(Debug)]
pub struct Thread {
    name: String,
    stop: Stop,
    handle: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts one.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(
        name: &str,
        stop: Stop,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> io::Result<Self> {
        let inner = stop.clone();
        let handle =
            std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&inner))?;
        Ok(Self { name: name.to_owned(), stop, handle: Some(handle) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended, which it should not before it is told to.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Tells it to end and waits. Returns what it panicked with.
    pub fn join(&mut self) -> Option<String> {
        self.stop.set();
        self.handle.take()?.join().err().map(|panic| text_of(&*panic))
    }
}

/// Runs something whose panic must not end the thread. What it leaves half done is the caller's to
/// throw away.
///
/// # Errors
/// What it panicked with.
pub fn guard<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| text_of(&*panic))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    text.unwrap_or_else(|| "panic".to_owned())
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(panic) = self.join() {
            tracing::error!(thread = self.name, panic, "a thread had panicked");
        }
    }
}
