//! The block that a client of the frame tap writes as it likes, while the engine lends it frames.
//!
//! Laws: nothing panics; what is lent stays bounded; what has come back is dropped; a sound client
//! that shares nothing with it but the engine is not harmed.
#![no_main]

use lensd_engine::frame::{Frame, PixelFormat, packed_planes};
use lensd_engine::tap::session::Session;
use lensd_ffi::sync::{AtomicU64, Ordering};
use lensd_ffi::tap::block::{ACK_WORDS, GIVER_WORDS, MAX_HELD, Record, Taken, Taker};
use lensd_ffi::tap::wire::Mode;
use lensd_ffi::time::{Nanos, Stamp};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, Weak};

type Memory = Vec<AtomicU64>;
const BOUND: Nanos = Nanos(1000);

fn memory(words: usize) -> Arc<Memory> {
    Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

fn frame(number: u64) -> (Frame, Weak<Vec<u8>>) {
    let (planes, used) = packed_planes(PixelFormat::Grey, 4, 2);
    let memory = Arc::new(vec![0; used]);
    let weak = Arc::downgrade(&memory);
    let frame = Frame {
        format: PixelFormat::Grey,
        width: 4,
        height: 2,
        planes,
        used,
        colour: Default::default(),
        memory,
        capture: Stamp::default(),
        number,
        crc: None,
    };
    (frame, weak)
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mode = if first & 1 == 0 { Mode::Latest } else { Mode::Every };
    let acks = memory(ACK_WORDS);
    let mut hostile =
        Session::new(memory(GIVER_WORDS), Arc::clone(&acks), mode, u32::from(first >> 1));
    let (given, sound_acks) = (memory(GIVER_WORDS), memory(ACK_WORDS));
    let mut sound = Session::new(Arc::clone(&given), Arc::clone(&sound_acks), Mode::Every, 0);
    let client = Taker::attach(given, sound_acks).expect("a sound block");
    let mut lent = Vec::new();
    let (mut at, mut turn) = (0, 0);
    for step in rest.chunks_exact(10).take(200) {
        let value = u64::from_le_bytes(step[2..].try_into().expect("eight bytes"));
        match step[0] % 4 {
            0 => {
                let (frame, weak) = frame(turn);
                let record = Record { number: turn, given: Nanos(at), ..Record::default() };
                hostile.give(&frame, &record, turn);
                sound.give(&frame, &record, turn);
                drop(frame);
                lent.push(weak);
                let seq = client.head() - 1;
                assert!(matches!(client.take(seq, 0), Taken::Frame(f) if f.number == turn));
                assert!(client.give_back(seq, 0));
                turn += 1;
            }
            1 => acks[usize::from(step[1]) % ACK_WORDS].store(value, Ordering::Relaxed),
            // Near what is lent: values that mean something.
            2 => {
                acks[usize::from(step[1]) % ACK_WORDS].store(value % (turn + 2), Ordering::Relaxed)
            }
            _ => hostile.take_back(value % (turn + 1)),
        }
        at += value % 256;
        sound.collect(Nanos(at), BOUND);
        assert_eq!(sound.loan_count(), 0);
        hostile.collect(Nanos(at), BOUND);
        let alive = lent.iter().filter(|w| w.strong_count() > 0).count();
        assert_eq!(alive, hostile.loan_count());
        assert!(alive <= 2 * MAX_HELD, "{alive} are lent");
    }
    assert_eq!(sound.counts(), (0, 0));
    hostile.collect(Nanos(at + 2 * BOUND.0), BOUND);
    assert!(hostile.loan_count() <= 1, "only the newest waits for ever");
    hostile.end();
    assert!(lent.iter().all(|w| w.strong_count() == 0));
});
