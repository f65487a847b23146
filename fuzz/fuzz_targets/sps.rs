//! Sequence parameter sets. Laws: no panic; a size that a camera can have.
#![no_main]

use lensd_engine::syntax::sps::parse_sps;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = parse_sps(data);
    let mut nal = vec![0x67];
    nal.extend_from_slice(data);
    if let Some(sps) = parse_sps(&nal) {
        assert!(sps.width > 0 && sps.height > 0 && sps.id < 32, "{sps:?}");
        assert!(sps.fps.is_none_or(|f| f.is_finite() && f > 0.0), "{sps:?}");
    }
});
