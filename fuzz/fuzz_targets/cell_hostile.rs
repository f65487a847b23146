//! A cell that another process writes as it likes. Laws: no panic; a value is no longer than the
//! cell; what was set is read back unless somebody wrote over it.
#![no_main]

use lensd_ffi::cell::{CellPlace, CellReader, CellWriter};
use lensd_ffi::state::{ControlState, EngineState, PLANE_WORDS, StateReader};
use lensd_ffi::sync::{AtomicU64, Ordering};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fn zeros(words: usize) -> Arc<Vec<AtomicU64>> {
    Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

fuzz_target!(|data: &[u8]| {
    let place = CellPlace { at: 2, bytes: 100 };
    let memory = zeros(place.end());
    let cell = CellReader::attach(Arc::clone(&memory), place).expect("it fits");
    let mut writer = CellWriter::create(Arc::clone(&memory), place);
    let set = writer.set(data).is_ok();
    assert_eq!(set, data.len() <= place.bytes);
    assert_eq!(cell.read().map(|(_, v)| v), set.then(|| data.to_vec()));
    for c in data.chunks_exact(9) {
        let value = u64::from_le_bytes(c[1..].try_into().expect("eight bytes"));
        memory[usize::from(c[0]) % memory.len()].store(value, Ordering::Relaxed);
        assert!(cell.read().is_none_or(|(version, v)| version > 0 && v.len() <= place.bytes));
        let _ = cell.version();
    }
    // The same bytes as a state.
    let memory = zeros(PLANE_WORDS);
    let mut writer = CellWriter::create(Arc::clone(&memory), lensd_ffi::state::STATE_CELL);
    if writer.set(data).is_ok() {
        let mut reader = StateReader::attach(memory).expect("it fits");
        let _ = reader.read::<EngineState>();
        let _ = reader.read_new::<ControlState>();
        assert!(reader.read_new::<ControlState>().is_none());
    }
});
