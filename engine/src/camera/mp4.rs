//! MP4 files (ISO/IEC 14496-12, -15): where the samples of the video track are, and samples as
//! Annex B. Pure functions on bytes; `mp4_file` does the reading.

use super::CodedUnit;
use super::annexb_file::append_nal;
use lensd_ffi::unit::{Codec, NalSpan};
use mp4_atom as mp4;
use mp4_atom::Decode;

/// Samples of a movie fragment that are taken; a sane one has some hundreds.
const MAX_FRAGMENT_SAMPLES: usize = 1 << 20;

/// Type, header length and length of a box (14496-12 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxHeader {
    /// Its four characters.
    pub kind: [u8; 4],
    /// Bytes of the header.
    pub header: u64,
    /// Bytes of the box, header included; `None`: up to the end of the file.
    pub size: Option<u64>,
}

/// Reads a box header from up to 16 bytes. `None` if they are too few or say what cannot be.
pub fn parse_box_header(bytes: &[u8]) -> Option<BoxHeader> {
    let kind: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let (header, size) = match u32::from_be_bytes(bytes[..4].try_into().ok()?) {
        0 => (8, None),
        1 => (16, Some(u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?))),
        size => (8, Some(size.into())),
    };
    size.is_none_or(|size| size >= header).then_some(BoxHeader { kind, header, size })
}

/// The video track of a file.
#[derive(Debug, Clone)]
pub struct Track {
    /// `track_ID`.
    pub id: u32,
    /// Coding.
    pub codec: Codec,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Units of time per second.
    pub timescale: u32,
    /// Bytes of the length before each NAL unit.
    pub length_size: usize,
    /// Parameter sets, without start codes.
    pub sets: Vec<Vec<u8>>,
    /// Samples listed in the movie box; empty in a fragmented file.
    pub table: Table,
    /// Duration, size and flags of a fragment's sample that does not tell them (`trex`).
    pub defaults: (u32, u32, u32),
}

/// The boxes that lie one after the other in `bytes`: type, the whole box, and what is in it. Ends
/// at the first that cannot be, as the padding that some writers leave behind the last.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let head = parse_box_header(bytes)?;
        let size = head.size.map_or(Some(bytes.len()), |size| usize::try_from(size).ok())?;
        let (whole, rest) = bytes.split_at_checked(size)?;
        bytes = rest;
        Some((head.kind, whole, &whole[head.header as usize..]))
    })
}

/// What is in the first box of each type of `path`, one within the other.
fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| {
        boxes(bytes).find(|(found, ..)| found == *kind).map(|(_, _, body)| body)
    })
}

/// Decodes the first `T` among the boxes in `bytes`; `None` without one.
fn leaf<T: mp4::Atom>(bytes: &[u8]) -> Result<Option<T>, String> {
    let kind: [u8; 4] = T::KIND.into();
    let Some((_, whole, _)) = boxes(bytes).find(|(found, ..)| *found == kind) else {
        return Ok(None);
    };
    let decoded = T::decode(&mut &whole[..]);
    decoded.map(Some).map_err(|e| format!("{} box: {e}", name(kind)))
}

fn required<T: mp4::Atom>(bytes: &[u8]) -> Result<T, String> {
    leaf(bytes)?.ok_or_else(|| format!("{} box: there is none", name(T::KIND.into())))
}

/// A type of box as text.
fn name(kind: [u8; 4]) -> String {
    kind.escape_ascii().to_string()
}

/// Reads a `moov` box (header included) and finds its first H.264 or H.265 track.
///
/// Only the boxes that are needed are decoded, each by the library: what else is in the file, an
/// audio track or a box whose count is far larger than itself, can neither spoil it nor cost.
///
/// # Errors
/// When the box is damaged, or has no such track: says what there is.
pub fn parse_moov(bytes: &[u8]) -> Result<Track, String> {
    let moov = inside(bytes, &[b"moov"]).ok_or("moov box: cut short")?;
    let mut others = Vec::new();
    for (_, _, trak) in boxes(moov).filter(|(kind, ..)| kind == b"trak") {
        let mdia = inside(trak, &[b"mdia"]).unwrap_or_default();
        let stbl = inside(mdia, &[b"minf", b"stbl"]).unwrap_or_default();
        // The version, flags and count of stsd; then the sample entries (8.5.2).
        let entry = inside(stbl, &[b"stsd"]).and_then(|stsd| boxes(stsd.get(8..)?).next());
        let Some((coding, _, entry)) = entry else {
            others.push("empty".to_owned());
            continue;
        };
        // VisualSampleEntry (12.1.3): sizes at 24, boxes from 78.
        let visual = |at: usize| Some(u16::from_be_bytes(entry.get(at..at + 2)?.try_into().ok()?));
        let (size, extra) = (visual(24).zip(visual(26)), entry.get(78..).unwrap_or_default());
        let (codec, length_size, sets) = match &coding {
            b"avc1" | b"avc3" => {
                let avcc = required::<mp4::Avcc>(extra)?;
                let mut sets = avcc.sequence_parameter_sets;
                sets.extend(avcc.picture_parameter_sets);
                (Codec::H264, avcc.length_size, sets)
            }
            b"hvc1" | b"hev1" => {
                let hvcc = required::<mp4::Hvcc>(extra)?;
                let sets = hvcc.arrays.into_iter().flat_map(|array| array.nalus).collect();
                (Codec::H265, (hvcc.length_size_minus_one & 3) + 1, sets)
            }
            other => {
                others.push(name(*other));
                continue;
            }
        };
        let (width, height) = size.ok_or("stsd box: a sample entry cut short")?;
        let id = required::<mp4::Tkhd>(trak)?.track_id;
        let timescale = required::<mp4::Mdhd>(mdia)?.timescale;
        if timescale == 0 {
            return Err("mdhd box: a time scale of 0".into());
        }
        let mut defaults = (0, 0, 0);
        for (_, whole, _) in
            boxes(inside(moov, &[b"mvex"]).unwrap_or_default()).filter(|(kind, ..)| kind == b"trex")
        {
            let trex = mp4::Trex::decode(&mut &whole[..]).map_err(|e| format!("trex box: {e}"))?;
            if trex.track_id == id {
                defaults = (
                    trex.default_sample_duration,
                    trex.default_sample_size,
                    trex.default_sample_flags,
                );
            }
        }
        return Ok(Track {
            id,
            codec,
            width: width.into(),
            height: height.into(),
            timescale,
            length_size: length_size.into(),
            sets,
            table: Table::read(stbl)?,
            defaults,
        });
    }
    Err(format!("no H.264 or H.265 track; its tracks are: {}", others.join(", ")))
}

/// A sample: one access unit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Decode time in units of the track, from the beginning.
    pub dts: u64,
    /// How long it lasts, in units of the track.
    pub duration: u32,
    /// Composition offset in units of the track.
    pub cts: i64,
    /// Whether the file calls it a sync sample.
    pub sync: bool,
}

/// The sample tables of a track (14496-12 8.6, 8.7), as compact as in the file.
#[derive(Debug, Clone, Default)]
pub struct Table {
    stts: Vec<mp4::SttsEntry>,
    ctts: Vec<mp4::CttsEntry>,
    stsc: Vec<mp4::StscEntry>,
    sizes: mp4::StszSamples,
    chunks: Vec<u64>,
    /// Numbers of sync samples from 1; `None`: all are.
    stss: Option<Vec<u32>>,
}

impl Table {
    /// Reads it from what is in an `stbl` box.
    fn read(stbl: &[u8]) -> Result<Self, String> {
        let chunks = match leaf::<mp4::Co64>(stbl)? {
            Some(co64) => co64.entries,
            None => leaf::<mp4::Stco>(stbl)?
                .map(|stco| stco.entries.into_iter().map(u64::from).collect())
                .unwrap_or_default(),
        };
        Ok(Self {
            stts: required::<mp4::Stts>(stbl)?.entries,
            ctts: leaf::<mp4::Ctts>(stbl)?.map(|c| c.entries).unwrap_or_default(),
            stsc: required::<mp4::Stsc>(stbl)?.entries,
            sizes: required::<mp4::Stsz>(stbl)?.samples,
            chunks,
            stss: leaf::<mp4::Stss>(stbl)?.map(|s| s.entries),
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match &self.sizes {
            mp4::StszSamples::Identical { count, .. } => *count as usize,
            mp4::StszSamples::Different { sizes } => sizes.len(),
        }
    }

    /// Whether there are none, as in a fragmented file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 || self.chunks.is_empty()
    }

    /// Mean time between samples in units of the track; `None` without samples.
    pub fn mean_duration(&self) -> Option<f64> {
        let (samples, total) = self.stts.iter().fold((0u64, 0u128), |(n, total), e| {
            let span = u128::from(e.sample_count) * u128::from(e.sample_delta);
            (n + u64::from(e.sample_count), total + span)
        });
        (samples > 0 && total > 0).then(|| total as f64 / samples as f64)
    }

    /// Largest composition offset.
    pub fn max_cts(&self) -> i64 {
        self.ctts.iter().map(|e| e.sample_offset).max().unwrap_or(0).max(0)
    }
}

/// A position in a [`Table`].
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    index: usize,
    /// Entry of `stts`, `ctts`, `stsc` and `stss`, with samples used of the first two.
    stts: (usize, u32),
    ctts: (usize, u32),
    stsc: usize,
    stss: usize,
    chunk: usize,
    in_chunk: u32,
    offset_in_chunk: u64,
    dts: u64,
}

impl Cursor {
    /// The next sample; `None` at the end of the shortest table.
    pub fn next(&mut self, table: &Table) -> Option<Sample> {
        let size = match &table.sizes {
            mp4::StszSamples::Identical { count, size } => {
                (self.index < *count as usize).then_some(*size)?
            }
            mp4::StszSamples::Different { sizes } => *sizes.get(self.index)?,
        };
        let offset = self.locate(table)?.checked_add(self.offset_in_chunk)?;
        let duration = next_of(&mut self.stts, |i| {
            table.stts.get(i).map(|e| (e.sample_count, e.sample_delta))
        })
        .unwrap_or_else(|| table.stts.last().map_or(0, |e| e.sample_delta));
        let cts = next_of(&mut self.ctts, |i| {
            table.ctts.get(i).map(|e| (e.sample_count, e.sample_offset))
        })
        .unwrap_or(0);
        let dts = self.dts;
        self.index += 1;
        self.in_chunk += 1;
        self.offset_in_chunk += u64::from(size);
        self.dts = dts.saturating_add(duration.into());
        Some(Sample { offset, size, dts, duration, cts, sync: self.is_sync(table) })
    }

    /// The offset of the chunk that holds the next sample.
    fn locate(&mut self, table: &Table) -> Option<u64> {
        loop {
            let next = table.stsc.get(self.stsc + 1);
            if next.is_some_and(|e| e.first_chunk as usize <= self.chunk + 1) {
                self.stsc += 1;
                continue;
            }
            let entry = table.stsc.get(self.stsc)?;
            if self.in_chunk < entry.samples_per_chunk {
                return table.chunks.get(self.chunk).copied();
            }
            self.chunk += 1;
            (self.in_chunk, self.offset_in_chunk) = (0, 0);
            if self.chunk >= table.chunks.len() {
                return None;
            }
        }
    }

    /// Whether the sample just taken is a sync sample.
    fn is_sync(&mut self, table: &Table) -> bool {
        let Some(stss) = &table.stss else { return true };
        while stss.get(self.stss).is_some_and(|&n| (n as usize) < self.index) {
            self.stss += 1;
        }
        stss.get(self.stss).is_some_and(|&n| n as usize == self.index)
    }
}

/// The value of the next sample in a run-length table; entries of no samples are passed over.
fn next_of<T>(
    (entry, used): &mut (usize, u32),
    at: impl Fn(usize) -> Option<(u32, T)>,
) -> Option<T> {
    loop {
        let (count, value) = at(*entry)?;
        if *used < count {
            *used += 1;
            return Some(value);
        }
        (*entry, *used) = (*entry + 1, 0);
    }
}

/// Reads a `moof` box (header included) that lies at `offset` in its file, and lists the samples
/// of the track. `next_dts` is where the track's time stands if the fragment does not tell, and
/// is moved on.
///
/// # Errors
/// When the box is damaged or lists more than a million samples.
pub fn parse_moof(
    bytes: &[u8],
    offset: u64,
    track: &Track,
    next_dts: &mut u64,
) -> Result<Vec<Sample>, String> {
    let damaged = |why: &dyn std::fmt::Display| format!("offset {offset}: moof box: {why}");
    let moof = inside(bytes, &[b"moof"]).ok_or_else(|| damaged(&"cut short"))?;
    let mut samples = Vec::new();
    for (_, _, traf) in boxes(moof).filter(|(kind, ..)| kind == b"traf") {
        let tfhd = required::<mp4::Tfhd>(traf).map_err(|e| damaged(&e))?;
        if tfhd.track_id != track.id {
            continue;
        }
        let (duration, size, flags) = track.defaults;
        let duration = tfhd.default_sample_duration.unwrap_or(duration);
        let size = tfhd.default_sample_size.unwrap_or(size);
        let flags = tfhd.default_sample_flags.unwrap_or(flags);
        let base = tfhd.base_data_offset.unwrap_or(offset);
        if let Some(tfdt) = leaf::<mp4::Tfdt>(traf).map_err(|e| damaged(&e))? {
            *next_dts = tfdt.base_media_decode_time;
        }
        let mut at = base;
        for (_, whole, _) in boxes(traf).filter(|(kind, ..)| kind == b"trun") {
            let trun = mp4::Trun::decode(&mut &whole[..]).map_err(|e| damaged(&e))?;
            if let Some(relative) = trun.data_offset {
                at = base
                    .checked_add_signed(relative.into())
                    .ok_or_else(|| damaged(&"samples before the beginning of the file"))?;
            }
            if samples.len() + trun.samples.len() > MAX_FRAGMENT_SAMPLES {
                return Err(damaged(&"more than a million samples"));
            }
            for entry in &trun.samples {
                let size = entry.size.unwrap_or(size);
                let duration = entry.duration.unwrap_or(duration);
                samples.push(Sample {
                    offset: at,
                    size,
                    dts: *next_dts,
                    duration,
                    cts: entry.cts.unwrap_or(0),
                    // sample_is_non_sync_sample (8.8.3.1)
                    sync: entry.flags.unwrap_or(flags) & 0x1_0000 == 0,
                });
                at = at.saturating_add(size.into());
                *next_dts = next_dts.saturating_add(duration.into());
            }
        }
    }
    Ok(samples)
}

/// Appends a sample's NAL units with start codes to `unit` and tells whether decoding can begin
/// with it: then the track's parameter sets are put in, unless the sample has its own.
///
/// # Errors
/// When a NAL unit is longer than the sample: says where.
pub fn to_annex_b(
    sample: &[u8],
    sync: bool,
    track: &Track,
    unit: &mut CodedUnit,
) -> Result<(), String> {
    let mut rest = sample;
    let (mut key, mut has_sets) = (false, false);
    let mut spans: Vec<&[u8]> = Vec::new();
    while !rest.is_empty() {
        let at = sample.len() - rest.len();
        let Some((length, behind)) = rest.split_at_checked(track.length_size) else {
            return Err(format!("byte {at} of a sample of {}: a cut length", sample.len()));
        };
        let length = length.iter().fold(0usize, |n, &b| n << 8 | usize::from(b));
        let Some((nal, behind)) = behind.split_at_checked(length) else {
            return Err(format!(
                "byte {at} of a sample of {}: a NAL unit of {length} bytes",
                sample.len()
            ));
        };
        rest = behind;
        let Some(&header) = nal.first() else { continue };
        match track.codec {
            Codec::H265 => {
                // IRAP pictures; SPS.
                key |= matches!(header >> 1 & 63, 16..=23);
                has_sets |= header >> 1 & 63 == 33;
            }
            _ => {
                key |= header & 31 == 5;
                has_sets |= header & 31 == 7;
            }
        }
        spans.push(nal);
    }
    unit.codec = track.codec;
    // Open groups of pictures begin with an intra picture that is no IDR.
    unit.key = key || sync;
    let is_delimiter = |nal: &[u8]| match track.codec {
        Codec::H265 => nal[0] >> 1 & 63 == 35,
        _ => nal[0] & 31 == 9,
    };
    let CodedUnit { bytes, nals, .. } = unit;
    let head = usize::from(spans.first().is_some_and(|nal| is_delimiter(nal)));
    spans[..head].iter().for_each(|nal| append_nal(nal, bytes, nals));
    if unit.key && !has_sets {
        track
            .sets
            .iter()
            .filter(|set| !set.is_empty())
            .for_each(|set| append_nal(set, bytes, nals));
    }
    spans[head..].iter().for_each(|nal| append_nal(nal, bytes, nals));
    debug_assert!(nals.iter().all(|NalSpan { len, .. }| *len > 0));
    (unit.width, unit.height) = (track.width, track.height);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(codec: Codec, length_size: usize) -> Track {
        Track {
            id: 1,
            codec,
            width: 64,
            height: 48,
            timescale: 1000,
            length_size,
            sets: vec![vec![0x67, 1], vec![0x68, 2]],
            table: Table::default(),
            defaults: (40, 7, 0x1_0000),
        }
    }

    #[test]
    fn box_headers_have_three_forms() {
        let header = |kind: &[u8; 4], header, size| Some(BoxHeader { kind: *kind, header, size });
        assert_eq!(parse_box_header(b"\0\0\0\x10mdat"), header(b"mdat", 8, Some(16)));
        assert_eq!(parse_box_header(b"\0\0\0\0mdat"), header(b"mdat", 8, None));
        let large = b"\0\0\0\x01mdat\0\0\0\x01\0\0\0\0";
        assert_eq!(parse_box_header(large), header(b"mdat", 16, Some(1 << 32)));
        assert_eq!(parse_box_header(&large[..12]), None);
        assert_eq!(parse_box_header(b"\0\0\0\x07mdat"), None);
        assert_eq!(parse_box_header(b"\0\0\0"), None);
    }

    #[test]
    fn tables_are_walked_together() {
        let table = Table {
            stts: vec![
                mp4::SttsEntry { sample_count: 2, sample_delta: 10 },
                mp4::SttsEntry { sample_count: 0, sample_delta: 99 },
                mp4::SttsEntry { sample_count: 2, sample_delta: 20 },
            ],
            ctts: vec![mp4::CttsEntry { sample_count: 1, sample_offset: 5 }],
            stsc: vec![
                mp4::StscEntry {
                    first_chunk: 1,
                    samples_per_chunk: 2,
                    sample_description_index: 1,
                },
                mp4::StscEntry {
                    first_chunk: 2,
                    samples_per_chunk: 1,
                    sample_description_index: 1,
                },
            ],
            sizes: mp4::StszSamples::Different { sizes: vec![3, 4, 5, 6, 7] },
            chunks: vec![100, 200, 300],
            stss: Some(vec![1, 3]),
        };
        let mut cursor = Cursor::default();
        let got: Vec<_> = std::iter::from_fn(|| cursor.next(&table))
            .map(|s| (s.offset, s.size, s.dts, s.cts, s.sync))
            .collect();
        // The fifth has no chunk.
        assert_eq!(
            got,
            [
                (100, 3, 0, 5, true),
                (103, 4, 10, 0, false),
                (200, 5, 20, 0, true),
                (300, 6, 40, 0, false)
            ]
        );
        assert_eq!(table.max_cts(), 5);
        let endless = Table {
            sizes: mp4::StszSamples::Identical { count: u32::MAX, size: 9 },
            stsc: vec![mp4::StscEntry {
                first_chunk: 1,
                samples_per_chunk: 0,
                sample_description_index: 1,
            }],
            chunks: vec![1; 100],
            ..Table::default()
        };
        assert_eq!(Cursor::default().next(&endless), None);
    }

    #[test]
    fn samples_become_byte_streams_with_their_parameter_sets() {
        let track = track(Codec::H264, 2);
        let mut unit = CodedUnit::default();
        let sample = [0, 2, 9, 0xf0, 0, 3, 0x65, 7, 8, 0, 0, 0, 1, 6];
        to_annex_b(&sample, false, &track, &mut unit).unwrap();
        assert!(unit.key);
        let mut spans = Vec::new();
        lensd_ffi::unit::split_annex_b(&unit.bytes, &mut spans);
        assert_eq!(spans, unit.nals);
        let heads: Vec<u8> = spans.iter().map(|n| unit.bytes[n.offset as usize]).collect();
        assert_eq!(heads, [9, 0x67, 0x68, 0x65, 6]);
        for cut in [1, 3, 5, 7, 8, 10] {
            let why = to_annex_b(&sample[..cut], false, &track, &mut unit).unwrap_err();
            assert!(why.contains("byte "), "{why}");
        }
    }

    fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
    }

    /// A movie of one H.264 track and no samples, with `extra` among its sample tables.
    fn movie(extra: &[u8]) -> Vec<u8> {
        let avcc = boxed(b"avcC", &[&[1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2]]);
        let visual = [&[0; 24][..], &[0, 64, 0, 48], &[0; 50]].concat();
        let stsd = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &boxed(b"avc1", &[&visual, &avcc])]);
        let empty = |kind| boxed(kind, &[&[0; 8]]);
        let stsz = boxed(b"stsz", &[&[0; 12]]);
        let tables = [extra, &stsd, &empty(b"stts"), &empty(b"stsc"), &stsz, &empty(b"stco")];
        let minf = boxed(b"minf", &[&boxed(b"stbl", &tables)]);
        let mdhd =
            boxed(b"mdhd", &[&[0; 12], &1000u32.to_be_bytes(), &[0; 4], &[0x55, 0xc4, 0, 0]]);
        let tkhd = boxed(b"tkhd", &[&[0; 12], &7u32.to_be_bytes(), &[0; 68]]);
        let trak = boxed(b"trak", &[&tkhd, &boxed(b"mdia", &[&mdhd, &minf])]);
        let sound = boxed(b"trak", &[&boxed(b"mdia", &[&boxed(b"minf", &[&boxed(b"stbl", &[])])])]);
        boxed(b"moov", &[&sound, &trak])
    }

    #[test]
    fn boxes_that_are_not_needed_cost_nothing() {
        // Four thousand million group descriptions of no bytes each (8.9.3, version 0).
        let groups = boxed(b"sgpd", &[&[0; 4], b"roll", &[0xff; 4]]);
        for extra in [&[][..], &groups, &boxed(b"stts", &[])[..4], &[0, 0, 0, 9, b'x', 0, 0, 0, 0]]
        {
            let track = parse_moov(&movie(extra));
            if extra.len() == 4 {
                assert!(
                    track.unwrap_err().contains("empty"),
                    "nothing is read behind a broken box"
                );
                continue;
            }
            let track = track.unwrap();
            assert_eq!((track.id, track.width, track.height, track.timescale), (7, 64, 48, 1000));
            assert_eq!(track.sets, [vec![0x67, 1], vec![0x68, 2]]);
            assert!(track.table.is_empty());
        }
        let sound = boxed(b"moov", &[&boxed(b"trak", &[&boxed(b"mdia", &[])])]);
        assert!(parse_moov(&sound).unwrap_err().ends_with("tracks are: empty"));
        assert!(parse_moov(&boxed(b"moov", &[])).unwrap_err().contains("no H.264 or H.265 track"));
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut state = 5u32;
        let track = track(Codec::H265, 4);
        for _ in 0..5000 {
            let bytes: Vec<u8> = (0..60)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8 & if state & 0x300 == 0 { 0xff } else { 3 }
                })
                .collect();
            let _ = parse_box_header(&bytes);
            let framed = |kind: &[u8; 4]| [&60u32.to_be_bytes()[..], kind, &bytes[..52]].concat();
            let _ = parse_moov(&framed(b"moov"));
            let _ = parse_moof(&framed(b"moof"), 0, &track, &mut 0);
            let _ = to_annex_b(&bytes, false, &track, &mut CodedUnit::default());
        }
    }
}
