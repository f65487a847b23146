//! A ring in memory that another process writes as it likes, also while it is read.
//!
//! Laws: nothing panics; what is returned lies inside the unit and the unit inside the ring; a
//! cursor never goes back.
#![no_main]

use lensd_ffi::ring::{Cursor, Geometry, HEADER_WORDS, Next, RingReader, RingWriter, SLOT_WORDS};
use lensd_ffi::sync::{AtomicU64, Ordering};
use lensd_ffi::unit::{NalSpan, UnitMeta};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const GEOMETRY: Geometry = Geometry { slots: 4, bytes: 256 };

/// Eleven bytes of the input: which word gets which value.
struct Poke {
    word: usize,
    value: u64,
}

fn pokes(data: &[u8]) -> impl Iterator<Item = Poke> {
    data.chunks_exact(10).map(|c| Poke {
        word: usize::from(u16::from_le_bytes([c[0], c[1]]) & 0x7fff),
        value: u64::from_le_bytes(c[2..].try_into().expect("eight bytes")),
    })
}

fuzz_target!(|data: &[u8]| {
    let memory: Arc<Vec<AtomicU64>> =
        Arc::new((0..GEOMETRY.words()).map(|_| AtomicU64::new(0)).collect());
    let mut writer = RingWriter::create(Arc::clone(&memory), GEOMETRY);
    for frame in 0..6u64 {
        let meta = UnitMeta { key: frame % 3 == 0, frame, ..UnitMeta::default() };
        let nals = [NalSpan { offset: 1, len: 5 }];
        writer.publish(&meta, &nals, &[&[7; 40]]).expect("it fits");
    }
    // A reader that was there before, and one that comes at each change.
    let old = RingReader::attach(Arc::clone(&memory)).expect("a sound ring");
    let mut cursor = Cursor::at_key(&old);
    for poke in pokes(data).take(64) {
        // Mostly words that mean something.
        let span = HEADER_WORDS + GEOMETRY.slots * SLOT_WORDS + 8;
        memory[poke.word % span].store(poke.value, Ordering::Relaxed);
        let new = RingReader::attach(Arc::clone(&memory)).ok();
        for ring in [Some(&old), new.as_ref()].into_iter().flatten() {
            for seq in [ring.tail(), ring.head().wrapping_sub(1), 5, poke.value] {
                let Ok(unit) = ring.view(seq) else { continue };
                assert_eq!(unit.seq, seq);
                assert!(unit.len <= memory.len() * 8);
                let (mut bytes, mut spans) = (vec![1], vec![NalSpan::default()]);
                match ring.copy(&unit, unit.len / 3, unit.len / 2, &mut bytes) {
                    Ok(()) => assert_eq!(bytes.len(), 1 + unit.len / 2),
                    Err(_) => assert_eq!(bytes, [1]),
                }
                match ring.nals(&unit, &mut spans) {
                    Ok(()) => {
                        assert!(spans[1..].iter().all(|s| (s.offset + s.len) as usize <= unit.len))
                    }
                    Err(_) => assert_eq!(spans.len(), 1),
                }
                let (base, at) = (memory.as_ptr() as usize, ring.address(&unit) as usize);
                assert!(at == 0 || at >= base && at + unit.len <= base + memory.len() * 8);
                let _ = (ring.is_lendable(&unit), ring.is_intact(&unit), ring.is_closed());
            }
            assert!(ring.newest_key().is_none_or(|u| u.meta.key));
        }
        let before = cursor.seq();
        match cursor.next(&old) {
            Next::Unit(unit) => assert!(unit.seq == before && cursor.seq() == before + 1),
            Next::Lapped(n) => assert!(n > 0 && cursor.seq() == before + n),
            Next::Empty | Next::Corrupt => assert_eq!(cursor.seq(), before),
        }
    }
});
