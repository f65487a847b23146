//! The five orderings by which rings, cells and the tap are safe, each named by its partner.
//!
//! Both overwrite in place under one rule: announce, overwrite, publish; and read under one rule:
//! observe, read, look at the announcement again. [`settle`] is for two that both speak before they
//! listen. In a loom build a test weakens one ordering at a
//! time, and the model must notice (`tests/loom.rs`).

use crate::sync::{AtomicU64, Ordering, fence};

#[cfg(loom)]
static WEAKENED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Weakens one ordering (1 to 5, in the order of this file; 0: none), to show that a model notices.
#[cfg(loom)]
pub fn weaken(which: usize) {
    WEAKENED.store(which, std::sync::atomic::Ordering::SeqCst);
}

#[cfg(loom)]
fn weak(which: usize) -> bool {
    WEAKENED.load(std::sync::atomic::Ordering::SeqCst) == which
}
#[cfg(not(loom))]
const fn weak(_which: usize) -> bool {
    false
}

/// The writer's last store, that makes a value visible. SYNC POINT with [`observe`]: who sees it
/// sees the whole value.
pub(crate) fn publish(word: &AtomicU64, value: u64) {
    word.store(value, if weak(1) { Ordering::Relaxed } else { Ordering::Release });
}

/// A reader's first load. SYNC POINT with [`publish`].
///
/// A relaxed load and a fence, since a reader's mapping is read-only: there Rust promises nothing
/// for a load with `Acquire` (`std::sync::atomic`, "Atomic accesses to read-only memory").
pub(crate) fn observe(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    if !weak(2) {
        fence(Ordering::Acquire);
    }
    value
}

/// The writer, between its announcement and its first overwriting store. SYNC POINT with
/// [`after_read`]: who sees an overwritten word will see the announcement.
pub(crate) fn before_overwrite() {
    if !weak(3) {
        fence(Ordering::Release);
    }
}

/// A reader, between its last load of a value's words and its second look at the announcement.
/// SYNC POINT with [`before_overwrite`].
pub(crate) fn after_read() {
    if !weak(4) {
        fence(Ordering::Acquire);
    }
}

/// Between saying what one does with a frame of the tap and looking at what the other side says of
/// it. SYNC POINT with itself: of two sides that both did, at least one sees what the other said.
pub(crate) fn settle() {
    if !weak(5) {
        fence(Ordering::SeqCst);
    }
}
