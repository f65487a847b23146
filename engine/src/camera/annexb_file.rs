//! Playing `.h264` files: access units passed through at the rate of their parameter sets.

use super::annexb::Splitter;
use super::file::{Item, Source, Timed};
use super::pattern::Pace;
use super::spec::FileSpec;
use super::{CameraInfo, CodedUnit};
use crate::syntax::sei;
use crate::syntax::sps::parse_sps;
use lensd_ffi::time::Nanos;
use lensd_ffi::unit::{Codec, NalSpan};
use std::fs::File;
use std::io::{Seek, SeekFrom};

pub(super) struct AnnexBFile {
    splitter: Splitter<File>,
    pace: Pace,
    count: u64,
    size: (usize, usize),
    /// Parameter sets seen last, with start codes: for key frames that come without.
    sets: Vec<u8>,
    set_spans: Vec<NalSpan>,
    remarks: Vec<String>,
}

/// Reads the first parameter sets.
pub(super) fn open(mut file: File, spec: &FileSpec) -> Result<AnnexBFile, String> {
    let mut splitter = Splitter::new(&file);
    let mut units = 0;
    let sps = loop {
        match splitter.next_unit()? {
            Some(unit) if unit.nals.is_empty() => {
                return Err("offset 0: there is no start code (00 00 01): is this H.264?".into());
            }
            Some(_) => units += 1,
            None => return Err("there is no sequence parameter set in it: is this H.264?".into()),
        }
        if let Some(sps) = splitter.boundaries().sps() {
            break *sps;
        }
        if units > 1000 {
            return Err("the first 1000 units have no sequence parameter set".into());
        }
    };
    file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    let mut remarks = Vec::new();
    if spec.fps.is_none() && sps.fps.is_none() {
        remarks.push("it does not tell its frame rate: played at 25 fps, or ?fps=N".into());
    }
    Ok(AnnexBFile {
        splitter: Splitter::new(file),
        pace: Pace::new(spec.fps.or(sps.fps).unwrap_or(25.0), Nanos(0)),
        count: 0,
        size: (sps.width, sps.height),
        sets: Vec::new(),
        set_spans: Vec::new(),
        remarks,
    })
}

impl Source for AnnexBFile {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: String::new(),
            format: Codec::H264.name().into(),
            width: self.size.0,
            height: self.size.1,
            fps: self.pace.fps(),
            coded: Some(Codec::H264),
            remarks: self.remarks.clone(),
        }
    }

    fn next(&mut self) -> Result<Option<Timed>, String> {
        loop {
            let Some(found) = self.splitter.next_unit()? else { return Ok(None) };
            let kind = |nal: &NalSpan| found.bytes[nal.offset as usize] & 31;
            // Delimiters, parameter sets or an end of sequence alone are no picture; the sets are
            // kept for the next key frame.
            let picture = found.nals.iter().any(|nal| matches!(kind(nal), 1 | 2 | 5));
            // An IDR picture, or the intra picture of an open group.
            let key = found.nals.iter().any(|nal| match kind(nal) {
                5 => true,
                6 => {
                    let end = (nal.offset + nal.len) as usize;
                    sei::is_recovery_point(&found.bytes[nal.offset as usize..end])
                }
                _ => false,
            });
            let has_sets = found.nals.iter().any(|nal| kind(nal) == 7);
            if has_sets {
                self.sets.clear();
                self.set_spans.clear();
            }
            for nal in found.nals.iter().filter(|nal| matches!(kind(nal), 7 | 8)) {
                let bytes = &found.bytes[nal.offset as usize..(nal.offset + nal.len) as usize];
                if let Some(sps) = parse_sps(bytes) {
                    self.size = (sps.width, sps.height);
                }
                if has_sets {
                    append_nal(bytes, &mut self.sets, &mut self.set_spans);
                }
            }
            if !picture {
                continue;
            }
            let mut unit = CodedUnit { codec: Codec::H264, key, ..CodedUnit::default() };
            (unit.width, unit.height) = self.size;
            // Behind a delimiter, which must stay the first.
            let (index, cut) = sei::place(Codec::H264, found.bytes, found.nals);
            unit.bytes.extend_from_slice(&found.bytes[..cut]);
            unit.nals.extend_from_slice(&found.nals[..index]);
            if key && !has_sets {
                let shift = cut as u32;
                unit.bytes.extend_from_slice(&self.sets);
                let sets = self.set_spans.iter();
                unit.nals.extend(sets.map(|nal| NalSpan { offset: nal.offset + shift, ..*nal }));
            }
            let shift = (unit.bytes.len() - cut) as u32;
            unit.bytes.extend_from_slice(&found.bytes[cut..]);
            let rest = found.nals[index..].iter();
            unit.nals.extend(rest.map(|nal| NalSpan { offset: nal.offset + shift, ..*nal }));
            let at = self.pace.deadline(self.count);
            self.count += 1;
            return Ok(Some(Timed { at, back: Nanos(0), item: Item::Unit(unit) }));
        }
    }

    fn rewind(&mut self) -> Result<Nanos, String> {
        let played = self.pace.deadline(self.count);
        self.count = 0;
        let mut file = self.splitter.reader_mut().try_clone().map_err(|e| e.to_string())?;
        file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
        self.splitter = Splitter::new(file);
        Ok(played)
    }
}

/// Appends a NAL unit behind a start code of four bytes.
pub(super) fn append_nal(nal: &[u8], bytes: &mut Vec<u8>, nals: &mut Vec<NalSpan>) {
    bytes.extend_from_slice(&[0, 0, 0, 1]);
    if let (Ok(offset), Ok(len)) = (u32::try_from(bytes.len()), u32::try_from(nal.len())) {
        nals.push(NalSpan { offset, len });
    }
    bytes.extend_from_slice(nal);
}
