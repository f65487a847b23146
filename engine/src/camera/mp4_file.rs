//! Playing `.mp4` files, plain and fragmented: samples passed through at their own times.

use super::file::{Item, Source, Timed};
use super::mp4::{
    BoxHeader, Cursor, Sample, Track, parse_box_header, parse_moof, parse_moov, to_annex_b,
};
use super::{CameraInfo, CodedUnit};
use lensd_ffi::time::Nanos;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Largest movie box: a day at 30 pictures a second has 20 MiB of tables.
const MAX_MOOV: u64 = 128 << 20;
/// Largest fragment header.
const MAX_MOOF: u64 = 32 << 20;
/// Largest sample.
const MAX_SAMPLE: u64 = 32 << 20;

pub(super) struct Mp4File {
    file: File,
    /// Bytes of the file when it was opened.
    length: u64,
    track: Track,
    cursor: Cursor,
    /// Samples of the current fragment that are left, last first.
    fragment: Vec<Sample>,
    /// Where to look for the next fragment.
    next_box: u64,
    next_dts: u64,
    /// Decode time of the first sample of a pass, and the end of the last so far.
    first_dts: Option<u64>,
    end_dts: u64,
    max_cts: i64,
    fps: f64,
    scratch: Vec<u8>,
    remarks: Vec<String>,
}

/// Reads the movie box. `length` is the file's, in bytes.
pub(super) fn open(file: File, length: u64) -> Result<Mp4File, String> {
    let moov = find_moov(&file, length)?;
    let track = parse_moov(&moov)?;
    let mean = track.table.mean_duration().unwrap_or(f64::from(track.defaults.0));
    let mut this = Mp4File {
        file,
        length,
        cursor: Cursor::default(),
        fragment: Vec::new(),
        next_box: 0,
        next_dts: 0,
        first_dts: None,
        end_dts: 0,
        max_cts: track.table.max_cts(),
        fps: if mean > 0.0 { f64::from(track.timescale) / mean } else { 0.0 },
        scratch: Vec::new(),
        remarks: Vec::new(),
        track,
    };
    if this.track.table.is_empty() {
        if !this.read_fragment()? {
            return Err("it has a movie box, and neither samples nor fragments".into());
        }
        let spans: u64 = this.fragment.iter().map(|s| u64::from(s.duration)).sum();
        if spans > 0 {
            this.fps = f64::from(this.track.timescale) * this.fragment.len() as f64 / spans as f64;
        }
    } else {
        this.check_tail();
    }
    this.rewind()?;
    Ok(this)
}

/// The movie box, header included.
fn find_moov(file: &File, length: u64) -> Result<Vec<u8>, String> {
    let mut at = 0;
    while let Some(found) = read_box_header(file, at, length)? {
        let size = found.size.unwrap_or(length - at);
        if at == 0
            && !matches!(
                &found.kind,
                b"ftyp" | b"moov" | b"free" | b"mdat" | b"skip" | b"wide" | b"styp"
            )
        {
            let kind = String::from_utf8_lossy(&found.kind).into_owned();
            return Err(format!("offset 0: a box ftyp is expected, not {kind:?}: is this MP4?"));
        }
        if &found.kind == b"moov" {
            if size > MAX_MOOV || size > length - at {
                return Err(format!(
                    "offset {at}: the movie box has {size} bytes; {} are there, {MAX_MOOV} allowed",
                    length - at
                ));
            }
            let mut bytes = vec![0; usize::try_from(size).map_err(|e| e.to_string())?];
            file.read_exact_at(&mut bytes, at).map_err(|e| format!("offset {at}: {e}"))?;
            return Ok(bytes);
        }
        at = at.saturating_add(size);
    }
    Err(format!(
        "there is no movie box (moov) in its {length} bytes: a recording that was cut off? \
         ffmpeg -movflags +frag_keyframe writes files that survive that"
    ))
}

/// The header of the box at `at`; `None` at the end of the file, or if a header is cut by it.
fn read_box_header(file: &File, at: u64, length: u64) -> Result<Option<BoxHeader>, String> {
    let left = length.saturating_sub(at).min(16);
    if left < 8 {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..left as usize];
    file.read_exact_at(bytes, at).map_err(|e| format!("offset {at}: {e}"))?;
    parse_box_header(bytes)
        .map(Some)
        .ok_or_else(|| format!("offset {at}: {:02x?} is no box header: is this MP4?", &bytes[..8]))
}

impl Mp4File {
    /// Walks the table once: remarks on samples past the end of the file.
    fn check_tail(&mut self) {
        let mut cursor = Cursor::default();
        let (mut whole, total) = (0, self.track.table.len());
        while let Some(sample) = cursor.next(&self.track.table) {
            if sample.offset.saturating_add(sample.size.into()) > self.length {
                break;
            }
            whole += 1;
        }
        if whole < total {
            self.remarks.push(format!("the file is cut: {whole} of {total} pictures are there"));
        }
    }

    /// Reads on to the next fragment with samples of the track. `false` at the end.
    fn read_fragment(&mut self) -> Result<bool, String> {
        while let Some(found) = read_box_header(&self.file, self.next_box, self.length)? {
            let at = self.next_box;
            let size = found.size.unwrap_or(self.length - at);
            self.next_box = at.saturating_add(size);
            if &found.kind != b"moof" {
                continue;
            }
            if self.next_box > self.length {
                self.remark_cut(at);
                return Ok(false);
            }
            if size > MAX_MOOF {
                return Err(format!("offset {at}: a fragment header of {size} bytes"));
            }
            self.scratch.resize(size as usize, 0);
            let read = self.file.read_exact_at(&mut self.scratch, at);
            read.map_err(|e| format!("offset {at}: {e}"))?;
            self.fragment = parse_moof(&self.scratch, at, &self.track, &mut self.next_dts)?;
            self.fragment.reverse();
            if !self.fragment.is_empty() {
                let cts = self.fragment.iter().map(|s| s.cts).max().unwrap_or(0);
                self.max_cts = self.max_cts.max(cts);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn remark_cut(&mut self, at: u64) {
        if self.remarks.is_empty() {
            self.remarks.push(format!("the file is cut: it is played up to offset {at}"));
        }
    }

    fn next_sample(&mut self) -> Result<Option<Sample>, String> {
        if let Some(sample) = self.cursor.next(&self.track.table) {
            self.next_dts = sample.dts + u64::from(sample.duration);
            return Ok(Some(sample));
        }
        loop {
            if let Some(sample) = self.fragment.pop() {
                return Ok(Some(sample));
            }
            if !self.read_fragment()? {
                return Ok(None);
            }
        }
    }

    fn nanos(&self, units: u64) -> Nanos {
        let ns = u128::from(units) * 1_000_000_000 / u128::from(self.track.timescale);
        Nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

impl Source for Mp4File {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: String::new(),
            format: self.track.codec.name().into(),
            width: self.track.width,
            height: self.track.height,
            fps: self.fps,
            coded: Some(self.track.codec),
            remarks: self.remarks.clone(),
        }
    }

    fn next(&mut self) -> Result<Option<Timed>, String> {
        let Some(sample) = self.next_sample()? else { return Ok(None) };
        let end = sample.offset.saturating_add(sample.size.into());
        if end > self.length {
            self.remark_cut(sample.offset);
            // Nothing behind it can be whole either.
            self.fragment.clear();
            self.next_box = self.length;
            return Ok(None);
        }
        if u64::from(sample.size) > MAX_SAMPLE {
            return Err(format!("offset {}: a picture of {} bytes", sample.offset, sample.size));
        }
        self.scratch.resize(sample.size as usize, 0);
        let offset = sample.offset;
        let read = self.file.read_exact_at(&mut self.scratch, offset);
        read.map_err(|e| format!("offset {offset}: {e}"))?;
        let mut unit = CodedUnit::default();
        unit.bytes.reserve(self.scratch.len() + 256);
        to_annex_b(&self.scratch, sample.sync, &self.track, &mut unit)
            .map_err(|why| format!("offset {offset}: {why}"))?;
        let first = *self.first_dts.get_or_insert(sample.dts);
        let at = self.nanos(sample.dts.saturating_sub(first));
        self.end_dts = sample.dts.saturating_add(sample.duration.into()).saturating_sub(first);
        // Less than the largest offset: captured before the one that is decoded first.
        let back = self.max_cts.saturating_sub(sample.cts).max(0).cast_unsigned();
        let back = if self.max_cts == 0 { Nanos(0) } else { self.nanos(back) };
        Ok(Some(Timed { at, back, item: Item::Unit(unit) }))
    }

    fn rewind(&mut self) -> Result<Nanos, String> {
        let played = self.nanos(self.end_dts);
        self.cursor = Cursor::default();
        self.fragment.clear();
        (self.next_box, self.next_dts, self.first_dts, self.end_dts) = (0, 0, None, 0);
        Ok(played)
    }
}
