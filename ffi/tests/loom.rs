//! The ring, the cell and the tap's blocks in every interleaving and with every stale value that the
//! memory model allows (loom), and the proof that the models would notice: each of the five orderings is
//! weakened in turn, and the models must fail.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p lensd-ffi --release --test loom --target-dir target/loom`
//!
//! The geometries are the smallest in which words are overwritten: with one slot each unit takes
//! the descriptor of the one before, with four records the fifth takes the bytes of the first.
#![cfg(loom)]

use lensd_ffi::cell::{CellPlace, CellReader, CellWriter, cell_words};
use lensd_ffi::order::weaken;
use lensd_ffi::ring::{Cursor, Geometry, Missed, Next, RingReader, RingWriter};
use lensd_ffi::sync::{AtomicU64, Ordering};
use lensd_ffi::tap::block::{ACK_WORDS, AckReader, GIVER_WORDS, Giver, Record, Taken, Taker};
use lensd_ffi::unit::{NalSpan, UnitMeta};
use std::process::Command;
use std::sync::Arc;

type Memory = Vec<AtomicU64>;

const ONE_SLOT: Geometry = Geometry { slots: 1, bytes: 64 };
const FOUR_RECORDS: Geometry = Geometry { slots: 8, bytes: 32 };

/// What a model says when it has found what must never be.
const TORN: &str = "a torn unit was believed";

fn memory(words: usize) -> Arc<Memory> {
    Arc::new((0..words).map(|_| AtomicU64::new(0)).collect())
}

fn ring(geometry: Geometry) -> RingWriter<Memory> {
    RingWriter::create(memory(geometry.words()), geometry)
}

/// Everything about a unit follows from its number.
fn publish(writer: &mut RingWriter<Memory>) {
    let seq = writer.next_seq();
    let meta = UnitMeta { frame: seq, key: true, ..UnitMeta::default() };
    writer.publish(&meta, &[], &[&content(seq)]).unwrap();
}

fn content(seq: u64) -> [u8; 8] {
    (seq + 1).wrapping_mul(0x0101_0101_0101_0101).to_le_bytes()
}

/// Reads a unit as every reader does, and panics if it believes what was never published.
fn read(reader: &RingReader<Memory>, seq: u64) -> Result<(), Missed> {
    let unit = match reader.view(seq) {
        Ok(unit) => unit,
        // The writer of these models is sound: only a torn descriptor looks otherwise.
        Err(Missed::Corrupt) => panic!("{TORN}: descriptor"),
        Err(missed) => return Err(missed),
    };
    assert!(unit.meta.frame == seq && unit.len == 8, "{TORN}: {unit:?}");
    let mut bytes = Vec::new();
    reader.copy(&unit, 0, unit.len, &mut bytes)?;
    assert!(bytes == content(seq), "{TORN}: {bytes:?} of {seq}");
    Ok(())
}

/// Runs a model; `preemptions` bounds how often a thread is interrupted where it need not wait
/// (`LOOM_MAX_PREEMPTIONS` overrides it).
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    if let Ok(which) = std::env::var("LENSD_WEAKEN") {
        weaken(which.parse().unwrap());
    }
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(model);
}

/// `first` units are there, `more` are published while a reader reads unit `seq`.
fn overwrite_model(geometry: Geometry, first: usize, more: usize, seq: u64) {
    check(3, move || {
        let mut writer = ring(geometry);
        for _ in 0..first {
            publish(&mut writer);
        }
        let reader = writer.reader();
        let thread = loom::thread::spawn(move || {
            for _ in 0..more {
                publish(&mut writer);
            }
            // Its drop closes the ring, which is another model's business.
            std::mem::forget(writer);
        });
        let _ = read(&reader, seq);
        thread.join().unwrap();
    });
}

#[test]
fn a_unit_is_seen_whole_or_not_yet() {
    overwrite_model(FOUR_RECORDS, 0, 1, 0);
}

#[test]
fn an_overwritten_descriptor_is_never_believed() {
    overwrite_model(ONE_SLOT, 1, 1, 0);
}

#[test]
fn overwritten_bytes_are_never_believed() {
    overwrite_model(FOUR_RECORDS, 4, 1, 0);
}

#[test]
fn overwritten_nal_tables_are_never_believed() {
    check(3, || {
        // A record is two words, one of the table and one of bytes; four fit.
        let mut writer = ring(Geometry { slots: 8, bytes: 64 });
        let reader = writer.reader();
        let mut publish = move || {
            let seq = writer.next_seq();
            let span = NalSpan { offset: u32::try_from(seq).unwrap() + 1, len: 1 };
            writer.publish(&UnitMeta::default(), &[span], &[&content(seq)]).unwrap();
        };
        for _ in 0..4 {
            publish();
        }
        let thread = loom::thread::spawn(move || {
            publish();
            std::mem::forget(publish);
        });
        if let Ok(unit) = reader.view(0) {
            let mut spans = Vec::new();
            match reader.nals(&unit, &mut spans) {
                Ok(()) => assert!(spans == [NalSpan { offset: 1, len: 1 }], "{TORN}: {spans:?}"),
                Err(missed) => assert!(missed == Missed::Overwritten, "{TORN}: NAL table"),
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_cursor_goes_forwards_over_whole_units() {
    check(1, || {
        let mut writer = ring(ONE_SLOT);
        publish(&mut writer);
        let reader = writer.reader();
        let thread = loom::thread::spawn(move || {
            publish(&mut writer);
            std::mem::forget(writer);
        });
        let mut cursor = Cursor::at(0);
        let mut step = || {
            let before = cursor.seq();
            match cursor.next(&reader) {
                Next::Unit(unit) => {
                    assert!(unit.seq == before && unit.meta.frame == before, "{TORN}: {unit:?}");
                }
                Next::Lapped(n) => assert_eq!((n, before), (1, 0)),
                Next::Empty => panic!("unit {before} was there"),
                Next::Corrupt => panic!("{TORN}: corrupt"),
            }
            cursor.seq()
        };
        // Racing with the writer; a second racing step would multiply the time by a thousand.
        assert_eq!(step(), 1);
        thread.join().unwrap();
        assert_eq!(step(), 2);
    });
}

#[test]
fn the_newest_key_frame_is_never_missed() {
    check(2, || {
        let mut writer = ring(Geometry { slots: 4, bytes: 64 });
        publish(&mut writer);
        let reader = writer.reader();
        let thread = loom::thread::spawn(move || {
            publish(&mut writer);
            std::mem::forget(writer);
        });
        let key = reader.newest_key().expect("unit 0 is a key frame and stays");
        assert!(key.meta.frame == key.seq && key.seq <= 1, "{TORN}: {key:?}");
        thread.join().unwrap();
    });
}

#[test]
fn a_closed_ring_is_complete() {
    check(3, || {
        let mut writer = ring(FOUR_RECORDS);
        let reader = writer.reader();
        let thread = loom::thread::spawn(move || {
            publish(&mut writer);
            writer.close();
            std::mem::forget(writer);
        });
        if reader.is_closed() {
            assert!(reader.head() == 1, "{TORN}: closed before its last unit");
            read(&reader, 0).unwrap();
        }
        thread.join().unwrap();
    });
}

/// `first` values are there, `more` are set while a reader reads.
fn cell_model(first: u64, more: u64) {
    check(3, move || {
        let place = CellPlace { at: 0, bytes: 16 };
        let memory = memory(cell_words(16));
        let reader = CellReader::attach(Arc::clone(&memory), place).unwrap();
        let mut writer = CellWriter::create(memory, place);
        // One word or two, so that the length can tear as well.
        let value = |version: u64| content(version).repeat(1 + usize::from(version % 4 > 1));
        for version in 1..=first {
            writer.set(&value(version)).unwrap();
        }
        let thread = loom::thread::spawn(move || {
            for version in first + 1..=first + more {
                writer.set(&value(version)).unwrap();
            }
        });
        if let Some((version, bytes)) = reader.read() {
            assert!(version >= first && bytes == value(version), "{TORN}: {version} {bytes:?}");
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_cell_is_seen_whole() {
    cell_model(0, 1);
    cell_model(1, 2);
}

/// A giver with one frame that is lent, its look at the client, the client, and the picture.
fn tap() -> (Giver<Memory>, AckReader<Memory>, Taker<Memory>, Arc<AtomicU64>) {
    let (given, acks) = (memory(GIVER_WORDS), memory(ACK_WORDS));
    let mut giver = Giver::create(Arc::clone(&given));
    let taker = Taker::attach(given, Arc::clone(&acks)).unwrap();
    giver.give(&Record { number: 7, ..Record::default() });
    (giver, AckReader::new(acks), taker, Arc::new(AtomicU64::new(7)))
}

/// The engine withdraws a frame, if it can, and writes the next picture there, while the client
/// takes it.
#[test]
fn a_frame_is_never_withdrawn_and_taken() {
    check(2, || {
        let (mut giver, acks, taker, picture) = tap();
        let camera = Arc::clone(&picture);
        let thread = loom::thread::spawn(move || {
            if giver.withdraw(0, &acks, true) {
                camera.store(8, Ordering::Relaxed);
            }
        });
        if let Taken::Frame(frame) = taker.take(0, 0) {
            assert!(frame.number == 7, "{TORN}: {frame:?}");
            let seen = picture.load(Ordering::Relaxed);
            assert!(seen == 7, "{TORN}: the picture was withdrawn from under the client");
            taker.give_back(0, 0);
        }
        thread.join().unwrap();
    });
}

/// The engine takes a frame back whatever the client does, and writes the next picture there.
#[test]
fn a_client_finds_out_that_a_frame_was_revoked() {
    check(2, || {
        let (mut giver, _, taker, picture) = tap();
        let Taken::Frame(_) = taker.take(0, 0) else { panic!("it is there") };
        let camera = Arc::clone(&picture);
        let thread = loom::thread::spawn(move || {
            giver.revoke(0);
            camera.store(8, Ordering::Relaxed);
        });
        let seen = picture.load(Ordering::Relaxed);
        assert!(!taker.is_valid(0) || seen == 7, "{TORN}: a revoked frame was believed");
        thread.join().unwrap();
    });
}

/// The engine writes the next picture where one was given back, while the client looks at it last.
#[test]
fn a_frame_that_comes_back_is_not_looked_at_any_more() {
    check(2, || {
        let (_giver, acks, taker, picture) = tap();
        let Taken::Frame(_) = taker.take(0, 0) else { panic!("it is there") };
        let camera = Arc::clone(&picture);
        let thread = loom::thread::spawn(move || {
            if acks.read().is_returned(0) {
                camera.store(8, Ordering::Relaxed);
            }
        });
        let seen = picture.load(Ordering::Relaxed);
        assert!(seen == 7, "{TORN}: the picture changed before it was given back");
        taker.give_back(0, 0);
        thread.join().unwrap();
    });
}

/// What is given is seen whole.
#[test]
fn a_record_is_seen_whole_or_not_yet() {
    check(2, || {
        let (mut giver, _, taker, _) = tap();
        let thread = loom::thread::spawn(move || {
            giver.give(&Record { number: 8, ..Record::default() });
        });
        if let Taken::Frame(frame) = taker.take(1, 0) {
            assert!(frame.number == 8, "{TORN}: {frame:?}");
        }
        thread.join().unwrap();
    });
}

/// Runs models of this file in a process of their own each: a model that fails in the midst of a
/// destructor takes its process along.
fn fail_when_weakened(which: usize, models: &[&str]) {
    for model in models {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", model, "--nocapture"])
            .env("LENSD_WEAKEN", which.to_string())
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success(), "{model} does not notice that ordering {which} is weak");
        assert!(said.contains(TORN), "{model} failed for another reason:\n{said}");
    }
}

const WHOLE: &str = "a_unit_is_seen_whole_or_not_yet";
const CLOSED: &str = "a_closed_ring_is_complete";
const DESCRIPTOR: &str = "an_overwritten_descriptor_is_never_believed";
const BYTES: &str = "overwritten_bytes_are_never_believed";
const TABLES: &str = "overwritten_nal_tables_are_never_believed";
const CELL: &str = "a_cell_is_seen_whole";
const WITHDRAWN: &str = "a_frame_is_never_withdrawn_and_taken";
const REVOKED: &str = "a_client_finds_out_that_a_frame_was_revoked";
const RECORD: &str = "a_record_is_seen_whole_or_not_yet";

#[test]
fn publish_must_release() {
    fail_when_weakened(1, &[WHOLE, CLOSED, CELL, RECORD]);
}

#[test]
fn observe_must_acquire() {
    // Not RECORD: who takes a frame has settled with the engine, which is more.
    fail_when_weakened(2, &[WHOLE, CLOSED, CELL]);
}

#[test]
fn the_announcement_must_come_before_the_overwriting() {
    fail_when_weakened(3, &[DESCRIPTOR, BYTES, TABLES, CELL, REVOKED]);
}

#[test]
fn the_second_look_must_come_after_the_reading() {
    fail_when_weakened(4, &[DESCRIPTOR, BYTES, TABLES, CELL, REVOKED]);
}

#[test]
fn both_sides_must_speak_before_they_listen() {
    fail_when_weakened(5, &[WITHDRAWN]);
}
