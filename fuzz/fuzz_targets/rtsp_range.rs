//! The headers Range and Scale. Laws: no panic; what is told of a moment is read as the same again;
//! a scale is one that is played.
#![no_main]

use lensd_engine::replay::range::{Point, Range, SCALES, scale, to_npt};
use lensd_ffi::time::UtcNanos;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(scale) = scale(text) {
        assert!(SCALES.contains(&scale.abs()));
    }
    let Some(range) = Range::parse(text) else { return };
    assert!(range.from.is_some() || range.until.is_some());
    for point in [range.from, range.until].into_iter().flatten() {
        let ticks = point.ticks(1 << 40, UtcNanos(1_700_000_000_000_000_000));
        if let Point::Ticks(_) = point {
            let again = Range::parse(&format!("npt={}-", to_npt(ticks)));
            assert_eq!(again.and_then(|range| range.from), Some(point));
        }
    }
});
