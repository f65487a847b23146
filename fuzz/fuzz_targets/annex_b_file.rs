//! H.264 files. Laws: no panic; the same units however the file is read; together they are the file.
#![no_main]

use lensd_engine::camera::annexb::Splitter;
use libfuzzer_sys::fuzz_target;
use std::io::Read;

/// Gives so many bytes at a time.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(to.len()).min(self.0.len());
        to[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn units(reader: impl Read) -> Vec<(Vec<u8>, Vec<lensd_ffi::unit::NalSpan>)> {
    let (mut splitter, mut out) = (Splitter::new(reader), Vec::new());
    while let Ok(Some(unit)) = splitter.next_unit() {
        out.push((unit.bytes.to_vec(), unit.nals.to_vec()));
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let whole = units(data);
    assert_eq!(whole, units(Dribble(data, usize::from(step) + 1)));
    let joined: Vec<u8> = whole.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    assert!(data.starts_with(&joined) || data.ends_with(&joined));
    for (bytes, nals) in &whole {
        assert!(nals.iter().all(|n| n.len > 0 && (n.offset + n.len) as usize <= bytes.len()));
    }
});
