//! The values of all keys in shared memory: a bank in each plane's.
//!
//! Control's bank says what is *desired* of the engine, and the values of control's own keys. The
//! engine's says what is *applied*: what the hardware took, what was measured, and why something
//! was not taken. Each key has a [`cell`](crate::cell) of its own, so one change moves a few dozen
//! bytes, and a reader never sees half a value. Values are JSON text, which every language reads.
//!
//! ```text
//! word 0   fingerprint of the table of keys: a reader with another table must not attach
//! word 1   number of keys
//! word 2   how often anything changed
//! word 8…  the keys' cells, in the order of the table; each 3 + 2 * (bytes / 8) words
//! ```

use super::kind::fingerprint;
use super::registry::entries;
use crate::cell::{CellPlace, CellReader, CellWriter, cell_words};
use crate::order;
use crate::ring::Words;
use crate::sync::Ordering;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Words before the first cell.
const HEADER: usize = 8;
/// Bytes for what stands beside a value: the hardware's range, an error.
const BESIDE: usize = 768;
/// Longest error in bytes, before its quotes are escaped.
const LONGEST_ERROR: usize = 200;

/// A key's value and what is known about it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Held {
    /// The value; null if it is unknown, or as the hardware has it.
    pub value: Value,
    /// Why there is no value, or the last one was not taken; empty if all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What the hardware says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
}

impl Held {
    /// A value about which nothing else is to be said.
    pub fn of(value: impl Into<Value>) -> Self {
        Self { value: value.into(), ..Self::default() }
    }

    /// No value, and why.
    pub fn missing(error: impl Into<String>) -> Self {
        Self { error: error.into(), ..Self::default() }
    }
}

/// A control as the device itself counts it (V4L2 "Querying Controls"), where a key maps 0 to 100
/// to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Least value.
    pub min: i64,
    /// Greatest value.
    pub max: i64,
    /// Step.
    pub step: i64,
    /// The device's default.
    pub default: i64,
    /// What it is set to.
    pub value: i64,
}

impl Hardware {
    /// The device's value for a percentage of its range, on one of its steps.
    pub fn of_percent(&self, percent: i64) -> i64 {
        let span = i128::from(self.max) - i128::from(self.min);
        let step = i128::from(self.step.max(1));
        let exact = span * i128::from(percent.clamp(0, 100));
        // To the nearest step; the last step may be beyond the range.
        let steps = (exact + 50 * step) / (100 * step);
        let value = i128::from(self.min) + (steps * step).min(span);
        i64::try_from(value).unwrap_or(self.max)
    }

    /// The percentage that the device's value is of its range.
    pub fn percent(&self) -> i64 {
        let span = i128::from(self.max) - i128::from(self.min);
        if span <= 0 {
            return 0;
        }
        let part = (i128::from(self.value) - i128::from(self.min)).clamp(0, span);
        i64::try_from((part * 100 + span / 2) / span).unwrap_or(0)
    }
}

/// Where the cells are.
fn places(at: usize) -> impl Iterator<Item = CellPlace> {
    entries().iter().scan(at + HEADER, |next, entry| {
        let place = CellPlace { at: *next, bytes: entry.key.kind.longest() + BESIDE };
        *next = place.end();
        Some(place)
    })
}

/// Words that a bank takes.
pub fn bank_words() -> usize {
    let cells = entries().iter().map(|e| cell_words(e.key.kind.longest() + BESIDE));
    HEADER + cells.sum::<usize>()
}

/// Names, order and lengths: what two programs must have in common to share a bank.
fn table_print() -> u64 {
    let mut text = String::new();
    for entry in entries() {
        text.push_str(entry.key.name);
        text.push_str(&format!(" {}\n", entry.key.kind.longest() + BESIDE));
    }
    // Zero is fresh memory.
    fingerprint(&text).max(1)
}

/// Writes a bank.
#[derive(Debug)]
pub struct BankWriter<M: Words> {
    memory: Arc<M>,
    at: usize,
    cells: Vec<CellWriter<M>>,
    changes: u64,
}

impl<M: Words> BankWriter<M> {
    /// In fresh memory, from word `at` on.
    ///
    /// # Panics
    /// When the memory is too small or another process's: a mistake of the program.
    pub fn create(memory: Arc<M>, at: usize) -> Self {
        let cells = places(at).map(|p| CellWriter::create(Arc::clone(&memory), p)).collect();
        let words = memory.words();
        words[at + 1].store(entries().len() as u64, Ordering::Relaxed);
        order::publish(&words[at], table_print());
        Self { memory, at, cells, changes: 0 }
    }

    /// Publishes what is known of a key. A text that is too long for its place is cut off in the
    /// error, never in the value.
    ///
    /// Returns `false` if the value itself is too long; then nothing changed.
    pub fn set(&mut self, index: usize, held: &Held) -> bool {
        let Some(cell) = self.cells.get_mut(index) else { return false };
        let mut end = held.error.len().min(LONGEST_ERROR);
        while !held.error.is_char_boundary(end) {
            end -= 1;
        }
        let other = held.error.len() > end || held.error.contains(char::is_control);
        let written = if other {
            // Control characters would take six bytes each, and be of no use to anybody.
            let error = held.error[..end].replace(char::is_control, " ");
            serde_json::to_vec(&Held { error, ..held.clone() })
        } else {
            serde_json::to_vec(held)
        };
        let done = written.is_ok_and(|bytes| cell.set(&bytes).is_ok());
        if done {
            self.changes += 1;
            if let Some(word) = self.memory.words().get(self.at + 2) {
                order::publish(word, self.changes);
            }
        }
        done
    }
}

/// Reads a bank.
#[derive(Debug)]
pub struct BankReader<M: Words> {
    memory: Arc<M>,
    at: usize,
    cells: Vec<CellReader<M>>,
    seen: Vec<u64>,
    changes: u64,
}

impl<M: Words> BankReader<M> {
    /// From word `at` on; `None` if there is no bank, or one of another table.
    pub fn attach(memory: Arc<M>, at: usize) -> Option<Self> {
        let words = memory.words();
        let print = order::observe(words.get(at)?);
        let count = words.get(at + 1)?.load(Ordering::Relaxed);
        if print != table_print() || count != entries().len() as u64 {
            return None;
        }
        let cells: Option<Vec<_>> =
            places(at).map(|p| CellReader::attach(Arc::clone(&memory), p)).collect();
        let cells = cells?;
        Some(Self { seen: vec![0; cells.len()], memory, at, cells, changes: 0 })
    }

    /// What is known of a key; `None` if nothing was ever said.
    pub fn get(&self, index: usize) -> Option<Held> {
        let (_, bytes) = self.cells.get(index)?.read()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The keys that changed since the last call, with what is known of them now.
    pub fn changed(&mut self) -> Vec<(usize, Held)> {
        let changes = self.memory.words().get(self.at + 2).map_or(0, order::observe);
        if changes == self.changes {
            return Vec::new();
        }
        self.changes = changes;
        let mut out = Vec::new();
        for (index, (cell, seen)) in self.cells.iter().zip(&mut self.seen).enumerate() {
            let version = cell.version();
            if version == *seen {
                continue;
            }
            // Not read: the writer was too fast, and will have counted once more.
            let Some((version, bytes)) = cell.read() else {
                self.changes = changes.wrapping_sub(1);
                continue;
            };
            *seen = version;
            if let Ok(held) = serde_json::from_slice(&bytes) {
                out.push((index, held));
            }
        }
        out
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::settings::find;
    use crate::sync::AtomicU64;
    use serde_json::json;

    fn memory() -> Arc<Vec<AtomicU64>> {
        Arc::new((0..bank_words() + 4).map(|_| AtomicU64::new(0)).collect())
    }

    #[test]
    fn what_is_written_is_read_once_as_a_change() {
        let memory = memory();
        assert!(BankReader::attach(Arc::clone(&memory), 4).is_none(), "no bank yet");
        let mut writer = BankWriter::create(Arc::clone(&memory), 4);
        let mut reader = BankReader::attach(Arc::clone(&memory), 4).unwrap();
        assert!(reader.changed().is_empty());
        let index = find("brightness").unwrap().index;
        assert_eq!(reader.get(index), None);
        let hardware = Hardware { min: -64, max: 64, step: 1, default: 0, value: 32 };
        let held = Held { hardware: Some(hardware), ..Held::of(75) };
        assert!(writer.set(index, &held));
        assert_eq!(reader.changed(), [(index, held.clone())]);
        assert!(reader.changed().is_empty());
        assert_eq!(reader.get(index), Some(held));
        assert!(!writer.set(index, &Held::of("x".repeat(10_000))));
        assert!(writer.set(index, &Held::missing("é".repeat(10_000))));
        assert_eq!(reader.get(index).unwrap().error.len(), LONGEST_ERROR);
        let most = Hardware { min: i64::MIN, ..hardware };
        let most = Hardware { max: i64::MIN, step: i64::MIN, default: i64::MIN, ..most };
        for worst in ["\"\\", "\u{1}\n", "\u{80}x"] {
            let held = Held { error: worst.repeat(200), hardware: Some(most), ..Held::of(1) };
            assert!(writer.set(index, &held), "{worst:?}");
        }
        assert!(!writer.set(usize::MAX, &Held::default()));
    }

    #[test]
    fn the_bank_fits_its_room() {
        assert!(bank_words() <= crate::state::BANK_ROOM, "{}", bank_words());
    }

    #[test]
    fn hostile_memory_is_refused_or_read_as_nothing() {
        let memory = memory();
        let _writer = BankWriter::create(Arc::clone(&memory), 0);
        for word in memory.iter().skip(HEADER) {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        let reader = BankReader::attach(Arc::clone(&memory), 0).unwrap();
        assert!((0..entries().len()).all(|i| reader.get(i).is_none()));
        memory[0].store(7, Ordering::Relaxed);
        assert!(BankReader::attach(Arc::clone(&memory), 0).is_none());
        assert!(BankReader::attach(memory, usize::MAX - 1).is_none());
    }

    #[test]
    fn percentages_meet_the_ends_and_the_steps() {
        let range = |min, max, step| Hardware { min, max, step, default: min, value: min };
        assert_eq!(range(-64, 64, 1).of_percent(0), -64);
        assert_eq!(range(-64, 64, 1).of_percent(100), 64);
        assert_eq!(range(-64, 64, 1).of_percent(75), 32);
        assert_eq!(range(0, 10, 4).of_percent(100), 10);
        assert_eq!(range(0, 1, 1).of_percent(50), 1);
        assert_eq!(range(i64::MIN, i64::MAX, 1).of_percent(100), i64::MAX);
        for percent in 0..=100 {
            let mut hardware = range(0, 255, 1);
            hardware.value = hardware.of_percent(percent);
            assert_eq!(hardware.percent(), percent);
        }
        assert_eq!(Hardware { value: 5, ..range(5, 5, 1) }.percent(), 0);
        assert_eq!(json!(Held::of(1)).to_string(), r#"{"value":1}"#);
    }
}
