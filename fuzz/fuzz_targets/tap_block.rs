//! The engine's block as a client reads it, when whoever wrote it is broken or hostile.
//!
//! Laws: nothing panics; a record that fits its buffer has all planes inside it.
#![no_main]

use lensd_ffi::sync::{AtomicU64, Ordering};
use lensd_ffi::tap::block::{ACK_WORDS, GIVER_WORDS, Giver, MAX_PLANES, Record, Taken, Taker};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

const LEN: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let memory = |n: usize| Arc::new((0..n).map(|_| AtomicU64::new(0)).collect::<Vec<AtomicU64>>());
    let (given, acks) = (memory(GIVER_WORDS), memory(ACK_WORDS));
    let mut giver = Giver::create(Arc::clone(&given));
    for number in 0..3 {
        giver.give(&Record { number, ..Record::default() });
    }
    let taker = Taker::attach(Arc::clone(&given), Arc::clone(&acks)).expect("a sound block");
    for poke in data.chunks_exact(10).take(64) {
        let word = usize::from(u16::from_le_bytes([poke[0], poke[1]]));
        let value = u64::from_le_bytes(poke[2..].try_into().expect("eight bytes"));
        // Mostly words that mean something.
        given[word % 100].store(value, Ordering::Relaxed);
        let _ = Taker::attach(Arc::clone(&given), Arc::clone(&acks));
        let head = taker.head();
        for seq in [0, 1, 2, head.wrapping_sub(1), head.wrapping_sub(64)] {
            if seq == u64::MAX {
                continue;
            }
            match taker.take(seq, 3) {
                Taken::Frame(record) => {
                    assert_eq!(record.seq, seq);
                    if record.fits(LEN) {
                        assert!(record.used as usize <= LEN);
                        assert!(record.plane_count as usize <= MAX_PLANES);
                        for p in record.planes.iter().take(record.plane_count as usize) {
                            let last = u64::from(p.rows - 1) * u64::from(p.stride);
                            let end = u64::from(p.offset) + last + u64::from(p.row);
                            assert!(end <= LEN as u64);
                        }
                    }
                    taker.give_back(seq, 3);
                }
                Taken::Gone | Taken::NotYet => {}
            }
        }
    }
});
