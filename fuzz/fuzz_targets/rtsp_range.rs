//! The headers Range and Scale. Laws: no panic; what is told of a moment is read as the same again;
//! a scale is one that is played.
#![no_main]

use lensd_engine::replay::range::{Point, Range, SCALES, scale, to_clock, to_npt};
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
        // What is told has microseconds.
        let wanted = match point {
            Point::Utc(at) => Point::Utc(UtcNanos(at.0.div_euclid(1000) * 1000)),
            point => point,
        };
        let told = match wanted {
            Point::Ticks(at) => format!("npt={}-", to_npt(at)),
            Point::Utc(at) => format!("clock={}-", to_clock(at)),
            Point::Now => "npt=now-".to_owned(),
        };
        assert_eq!(Range::parse(&told).and_then(|range| range.from), Some(wanted), "{told}");
    }
});
