//! Ring and cell between threads, at full speed: what the sanitizers watch (`tests/sanitize.sh`).
#![cfg(not(loom))]

use lensd_ffi::cell::{CellPlace, CellReader, CellWriter};
use lensd_ffi::region::Region;
use lensd_ffi::ring::{Cursor, Geometry, Next, RingReader, RingWriter};
use lensd_ffi::unit::{NalSpan, UnitMeta};
use std::sync::Arc;
use std::thread;

const UNITS: u64 = 20_000;
const GEOMETRY: Geometry = Geometry { slots: 16, bytes: 1 << 14 };

fn fill(seq: u64) -> (Vec<u8>, UnitMeta) {
    let len = usize::try_from(seq * 37 % 3000).unwrap() + 1;
    let meta = UnitMeta { frame: seq, key: seq.is_multiple_of(4), ..UnitMeta::default() };
    (vec![u8::try_from(seq % 251).unwrap(); len], meta)
}

/// Reads until the ring is closed; returns how many units it verified.
fn read(ring: &RingReader<Region>) -> u64 {
    let (mut cursor, mut whole) = (Cursor::at_head(ring), 0);
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    loop {
        // Before the look for more: what is not there then will never be.
        let closed = ring.is_closed();
        match cursor.next(ring) {
            Next::Unit(unit) => {
                let (want, meta) = fill(unit.seq);
                assert_eq!((unit.len, unit.meta), (want.len(), meta));
                bytes.clear();
                spans.clear();
                let read = ring.nals(&unit, &mut spans).and_then(|()| {
                    assert_eq!(spans, [NalSpan { offset: 0, len: 1 }]);
                    ring.copy(&unit, 0, unit.len, &mut bytes)
                });
                if read.is_ok() {
                    assert_eq!(bytes, want);
                    whole += 1;
                }
            }
            Next::Lapped(_) => {}
            Next::Empty if closed => return whole,
            Next::Empty => thread::yield_now(),
            Next::Corrupt => panic!("corrupt at {}", cursor.seq()),
        }
    }
}

#[test]
fn every_reader_thread_sees_whole_units_and_the_end() {
    let region = Arc::new(Region::create("threads", GEOMETRY.words()).unwrap());
    let mut writer = RingWriter::create(Arc::clone(&region), GEOMETRY);
    let other = Arc::new(Region::open(region.share().unwrap()).unwrap());
    let rings = [writer.reader(), writer.reader(), writer.reader()];
    thread::scope(|s| {
        // One reader of another mapping, read-only, as a process has it.
        let far = s.spawn(|| read(&RingReader::attach(other).unwrap()));
        let near: Vec<_> = rings.iter().map(|ring| s.spawn(|| read(ring))).collect();
        for seq in 0..UNITS {
            let (bytes, meta) = fill(seq);
            let nals = [NalSpan { offset: 0, len: 1 }];
            writer.publish(&meta, &nals, &[&bytes]).unwrap();
            if seq % 8 == 0 {
                thread::yield_now();
            }
        }
        drop(writer);
        for reader in near {
            assert!(reader.join().unwrap() > 0);
        }
        assert!(far.join().unwrap() > 0);
    });
}

#[test]
fn every_value_of_a_cell_is_whole() {
    let place = CellPlace { at: 3, bytes: 512 };
    let region = Arc::new(Region::create("cell", place.end()).unwrap());
    let mut writer = CellWriter::create(Arc::clone(&region), place);
    let value = |version: u64| {
        vec![u8::try_from(version % 251).unwrap(); usize::try_from(version * 31 % 512).unwrap()]
    };
    thread::scope(|s| {
        for _ in 0..3 {
            let cell = CellReader::attach(Arc::clone(&region), place).unwrap();
            s.spawn(move || {
                let mut last = 0;
                while last < UNITS {
                    if let Some((version, bytes)) = cell.read() {
                        assert!(version >= last);
                        assert_eq!(bytes, value(version));
                        last = version;
                    }
                }
            });
        }
        for version in 1..=UNITS {
            writer.set(&value(version)).unwrap();
        }
    });
}
