//! A bank of settings that another process writes as it likes. Laws: no panic; what was set is read
//! back as it was, once as a change; a bank of another table is not attached.
#![no_main]

use lensd_ffi::settings::bank::{BankReader, BankWriter, Hardware, Held, bank_words};
use lensd_ffi::settings::entries;
use lensd_ffi::sync::{AtomicU64, Ordering};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    let memory: Arc<Vec<_>> = Arc::new((0..bank_words()).map(|_| AtomicU64::new(0)).collect());
    let mut writer = BankWriter::create(Arc::clone(&memory), 0);
    let mut reader = BankReader::attach(Arc::clone(&memory), 0).expect("our own table");
    let index = data.first().map_or(0, |b| usize::from(*b)) % entries().len();
    let number = data.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    let hardware =
        Hardware { min: -number.saturating_abs(), max: 7, step: number, default: 0, value: 3 };
    assert!((0..=100).contains(&hardware.percent()));
    for percent in [0, 50, 100, number] {
        let raw = hardware.of_percent(percent);
        assert!(raw >= hardware.min && (raw <= hardware.max || hardware.min > hardware.max));
    }
    let error = String::from_utf8_lossy(data).into_owned();
    let held = Held { value: number.into(), error, hardware: Some(hardware) };
    assert!(writer.set(index, &held), "a number has room in every key's place");
    let read = reader.get(index).expect("it was set");
    assert!(read.value == held.value && read.error.len() <= held.error.len());
    assert_eq!(reader.changed().len(), 1);
    assert!(reader.changed().is_empty());
    for c in data.chunks_exact(10) {
        let at = usize::from(u16::from_le_bytes([c[0], c[1]])) % memory.len();
        let value = u64::from_le_bytes(c[2..].try_into().expect("eight bytes"));
        memory[at].store(value, Ordering::Relaxed);
        let _ = reader.get(index);
        let _ = reader.changed();
    }
    let _ = BankReader::attach(memory, 0);
});
