//! The last `moov` of a recording: the tables of all its samples, made of its fragments.

use super::boxes::boxes;
use super::movie::{Movie, Tables};
use super::scan::{Fragment, Header, Sampled};
use mp4_atom::{Ctts, CttsEntry, Stsc, StscEntry, Stss, Stsz, StszSamples, Stts, SttsEntry};

/// Most samples of a file: two weeks at 50 a second.
const MAX_SAMPLES: usize = 1 << 26;

/// Collects fragments; some 20 bytes for each sample.
///
/// Times in the file may begin anywhere, as those of `CLOCK_MONOTONIC` do; by the tables the first
/// picture is shown at 0. Where groups of pictures are missing, the sample before them lasts as
/// long as they would have. Where times go back, or on by half a day and more, that is no time in
/// which pictures are shown: the next sample follows at once.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    /// When the first picture was captured, as an NTP time stamp.
    ntp: u64,
    sizes: Vec<u32>,
    keys: Vec<u32>,
    /// Of all samples but the last.
    stts: Vec<SttsEntry>,
    ctts: Vec<CttsEntry>,
    stsc: Vec<StscEntry>,
    chunks: Vec<u64>,
    /// Decode time in the file and by the tables, and duration of the last sample.
    last: Option<(u64, u64, u32)>,
    /// When the first picture is shown, and when the last ends, from the first decode time.
    shown: Option<(i64, i64)>,
}

/// More samples than a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a recording of more than {MAX_SAMPLES} pictures; begin another file earlier")
    }
}

impl std::error::Error for TooMany {}

impl Whole {
    /// Takes the next fragment.
    ///
    /// # Errors
    /// [`TooMany`], and nothing of it was taken.
    pub fn push(&mut self, fragment: &Fragment) -> Result<(), TooMany> {
        if self.sizes.len() + fragment.samples.len() > MAX_SAMPLES {
            return Err(TooMany);
        }
        if self.sizes.is_empty() {
            self.ntp = fragment.ntp;
        }
        let mut decode = fragment.decode;
        let mut chunk: Option<(u64, u32)> = None;
        for sample in &fragment.samples {
            self.time(decode, sample);
            decode += u64::from(sample.duration);
            self.sizes.push(sample.size);
            if sample.key {
                self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
            }
            match &mut chunk {
                Some((end, count)) if *end == sample.offset => {
                    *count += 1;
                    *end += u64::from(sample.size);
                }
                other => {
                    let begun = other.replace((sample.offset + u64::from(sample.size), 1));
                    self.chunks.push(sample.offset);
                    if let Some((_, count)) = begun {
                        self.end_chunk(count, 1);
                    }
                }
            }
        }
        if let Some((_, count)) = chunk {
            self.end_chunk(count, 0);
        }
        Ok(())
    }

    /// A chunk of `count` samples is over, behind which so many others were begun.
    fn end_chunk(&mut self, count: u32, behind: usize) {
        if self.stsc.last().is_none_or(|last| last.samples_per_chunk != count) {
            self.stsc.push(StscEntry {
                first_chunk: u32::try_from(self.chunks.len() - behind).unwrap_or(u32::MAX),
                samples_per_chunk: count,
                sample_description_index: 1,
            });
        }
    }

    fn time(&mut self, decode: u64, sample: &Sampled) {
        let at = match self.last {
            None => 0,
            Some((last, at, duration)) => {
                let apart = decode.checked_sub(last).and_then(|apart| u32::try_from(apart).ok());
                let delta = apart.filter(|apart| *apart > 0).unwrap_or(duration.max(1));
                match self.stts.last_mut() {
                    Some(run) if run.sample_delta == delta => run.sample_count += 1,
                    _ => self.stts.push(SttsEntry { sample_count: 1, sample_delta: delta }),
                }
                at + u64::from(delta)
            }
        };
        self.last = Some((decode, at, sample.duration));
        let offset = i64::from(sample.cts);
        match self.ctts.last_mut() {
            Some(run) if run.sample_offset == offset => run.sample_count += 1,
            _ => self.ctts.push(CttsEntry { sample_count: 1, sample_offset: offset }),
        }
        let begins = i64::try_from(at).unwrap_or(i64::MAX).saturating_add(offset);
        let ends = begins.saturating_add(sample.duration.into());
        let (first, last) = self.shown.unwrap_or((begins, ends));
        self.shown = Some((first.min(begins), last.max(ends)));
    }

    /// Number of samples.
    pub const fn samples(&self) -> usize {
        self.sizes.len()
    }

    /// Ticks from the first picture to the end of the last.
    pub fn duration(&self) -> u64 {
        self.shown.map_or(0, |(first, last)| last.abs_diff(first))
    }

    /// Milliseconds since 1970 at which the first picture was captured.
    pub const fn captured_ms(&self) -> i64 {
        unix_ms(self.ntp)
    }

    /// The `moov` box. None: there are no samples, or more than boxes can say.
    pub fn movie(&self, header: &Header, title: Option<&str>) -> Option<Vec<u8>> {
        let tables = self.tables()?;
        let date = iso_8601(self.captured_ms());
        let mut items = vec![(*b"\xa9day", &*date)];
        if let Some(title) = title {
            items.insert(0, (*b"\xa9nam", title));
        }
        let movie = Movie {
            entry: &header.entry,
            width: header.width,
            height: header.height,
            created: since_1904(self.ntp),
            tables: Some(&tables),
            items: &items,
        };
        let mut out = Vec::new();
        movie.write(&mut out).ok().map(|()| out)
    }

    fn tables(&self) -> Option<Tables> {
        let (last, first) = (self.last?, self.shown?.0);
        let mut stts = self.stts.clone();
        match stts.last_mut() {
            Some(run) if run.sample_delta == last.2 => run.sample_count += 1,
            _ => stts.push(SttsEntry { sample_count: 1, sample_delta: last.2 }),
        }
        // The smallest offset becomes 0: all players know offsets that are not negative, and those
        // that are all the same need no table.
        let least = self.ctts.iter().map(|run| run.sample_offset).min()?;
        let moved =
            |run: &CttsEntry| CttsEntry { sample_offset: run.sample_offset - least, ..*run };
        let entries: Vec<_> = self.ctts.iter().map(moved).collect();
        let all_keys = self.keys.len() == self.sizes.len();
        let identical = self.sizes.windows(2).all(|pair| pair[0] == pair[1]);
        let samples = if identical {
            let count = u32::try_from(self.sizes.len()).ok()?;
            StszSamples::Identical { count, size: *self.sizes.first()? }
        } else {
            StszSamples::Different { sizes: self.sizes.clone() }
        };
        Some(Tables {
            stts: Stts { entries: stts },
            ctts: (entries.len() > 1).then_some(Ctts { entries }),
            stss: (!all_keys).then(|| Stss { entries: self.keys.clone() }),
            stsc: Stsc { entries: self.stsc.clone() },
            stsz: Stsz { samples },
            chunks: self.chunks.clone(),
            decoded: last.1 + u64::from(last.2),
            shown: self.duration(),
            begin: u64::try_from(first - least).ok()?,
        })
    }
}

/// Whether two `moov` boxes say the same but for their metadata (`udta`).
pub fn same_samples(a: &[u8], b: &[u8]) -> bool {
    let movie = |bytes| {
        let mut all = boxes(bytes);
        let (kind, whole, body) = all.next()?;
        (&kind == b"moov" && whole.len() == bytes.len()).then_some(body)
    };
    let (Some(a), Some(b)) = (movie(a), movie(b)) else { return false };
    let length = |bytes| boxes(bytes).map(|(_, whole, _)| whole.len()).sum::<usize>();
    let said = |bytes| boxes(bytes).filter(|(kind, ..)| kind != b"udta").map(|(_, whole, _)| whole);
    length(a) == a.len() && length(b) == b.len() && said(a).eq(said(b))
}

/// Seconds since 1900 of an NTP time stamp; what cannot be in its first era is of the next, which
/// begins in 2036 (RFC 4330 section 3).
const fn since_1900(ntp: u64) -> u64 {
    let secs = ntp >> 32;
    if secs < 1 << 31 { secs + (1 << 32) } else { secs }
}

/// Seconds since 1904-01-01, as `mvhd` counts; 0 without a time.
const fn since_1904(ntp: u64) -> u64 {
    /// Four years without a leap day.
    const APART: u64 = 4 * 365 * 86_400;
    if ntp == 0 { 0 } else { since_1900(ntp) - APART }
}

/// Milliseconds since 1970 of an NTP time stamp, the nearest.
const fn unix_ms(ntp: u64) -> i64 {
    let fraction = ((ntp & 0xffff_ffff) * 1000 + (1 << 31)) >> 32;
    (since_1900(ntp).cast_signed() - 2_208_988_800) * 1000 + fraction.cast_signed()
}

/// `2026-11-21T14:05:00.123Z`.
fn iso_8601(ms: i64) -> String {
    let (mut days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut year = 1970;
    while days < 0 {
        year -= 1;
        days += 365 + i64::from(leap(year));
    }
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let february = 28 + i64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::scan::tests::{append, recording, scan};
    use crate::time::UtcNanos;
    use mp4_atom::{Decode as _, Moov};

    fn moov(fragments: &[Fragment]) -> (Whole, Moov) {
        let mut whole = Whole::default();
        fragments.iter().for_each(|fragment| whole.push(fragment).unwrap());
        let header = Header::read(&recording(&[])[..]).unwrap();
        let bytes = whole.movie(&header, Some("A title")).unwrap();
        (whole, Moov::decode(&mut &bytes[..]).unwrap())
    }

    fn deltas(moov: &Moov) -> Vec<(u32, u32)> {
        let entries = &moov.trak[0].mdia.minf.stbl.stts.entries;
        entries.iter().map(|run| (run.sample_count, run.sample_delta)).collect()
    }

    #[test]
    fn tables_say_what_the_fragments_said() {
        let file = recording(&[(90_000, &[5, 7]), (96_000, &[3]), (99_000, &[9])]);
        let fragments = scan(&file).0;
        let (whole, moov) = moov(&fragments);
        assert_eq!((whole.samples(), whole.duration()), (4, 12_000));
        let (trak, stbl) = (&moov.trak[0], &moov.trak[0].mdia.minf.stbl);
        assert_eq!(deltas(&moov), [(4, 3000)]);
        assert_eq!((moov.mvhd.duration, trak.tkhd.duration), (12_000, 12_000));
        assert_eq!(trak.mdia.mdhd.duration, 12_000);
        assert_eq!((&stbl.ctts, &stbl.stss, &trak.edts), (&None, &None, &None));
        assert_eq!(stbl.stsz.samples, StszSamples::Different { sizes: vec![5, 7, 3, 9] });
        let chunks: Vec<u64> = fragments.iter().map(|f| f.samples[0].offset).collect();
        let short = stbl.stco.as_ref().unwrap().entries.iter().map(|o| u64::from(*o));
        assert_eq!(short.collect::<Vec<_>>(), chunks);
        let runs: Vec<_> =
            stbl.stsc.entries.iter().map(|e| (e.first_chunk, e.samples_per_chunk)).collect();
        assert_eq!(runs, [(1, 2), (2, 1)]);
    }

    #[test]
    fn missing_groups_are_time_and_times_that_go_back_are_none() {
        let hours = 20 * 3600 * 90_000;
        let file =
            recording(&[(0, &[5, 5]), (90_000, &[5]), (6000, &[5]), (hours, &[5]), (hours, &[5])]);
        let (whole, moov) = moov(&scan(&file).0);
        assert_eq!(deltas(&moov), [(1, 3000), (1, 87_000), (4, 3000)]);
        assert_eq!(whole.duration(), 102_000);
    }

    #[test]
    fn pictures_out_of_order_begin_at_nothing() {
        let file = recording(&[(90_000, &[5, 5, 5, 5])]);
        let mut fragment = scan(&file).0.remove(0);
        // Decoded 0 3 1 2, with offsets that CMAF allows.
        for (sample, (cts, key)) in fragment.samples.iter_mut().zip([
            (0, true),
            (6000, false),
            (-3000, false),
            (-3000, false),
        ]) {
            (sample.cts, sample.key) = (cts, key);
        }
        let (whole, moov) = moov(&[fragment]);
        let stbl = &moov.trak[0].mdia.minf.stbl;
        let offsets: Vec<_> = stbl
            .ctts
            .as_ref()
            .unwrap()
            .entries
            .iter()
            .map(|run| (run.sample_count, run.sample_offset))
            .collect();
        assert_eq!(offsets, [(1, 3000), (1, 9000), (2, 0)]);
        assert_eq!(stbl.stss.as_ref().unwrap().entries, [1]);
        let edit = &moov.trak[0].edts.as_ref().unwrap().elst.as_ref().unwrap().entries[0];
        assert_eq!((edit.media_time, edit.segment_duration), (Some(3000), 12_000));
        assert_eq!(whole.duration(), 12_000);
    }

    #[test]
    fn far_offsets_have_64_bits() {
        let mut fragments = scan(&recording(&[(0, &[5]), (3000, &[5])])).0;
        fragments[1].samples[0].offset = 1 << 33;
        let stbl = &moov(&fragments).1.trak[0].mdia.minf.stbl.clone();
        assert_eq!(stbl.stco, None);
        assert_eq!(stbl.co64.as_ref().unwrap().entries[1], 1 << 33);
    }

    #[test]
    fn samples_apart_are_chunks_of_their_own() {
        let mut fragment = scan(&recording(&[(0, &[5; 5])])).0.remove(0);
        fragment.samples[2].offset += 100;
        let stsc = moov(&[fragment]).1.trak[0].mdia.minf.stbl.stsc.clone();
        let runs: Vec<_> =
            stsc.entries.iter().map(|e| (e.first_chunk, e.samples_per_chunk)).collect();
        assert_eq!(runs, [(1, 2), (2, 1), (3, 2)]);
    }

    #[test]
    fn nothing_of_nothing() {
        let header = Header::read(&recording(&[])[..]).unwrap();
        assert_eq!(Whole::default().movie(&header, None), None);
        let mut file = recording(&[]);
        append(0, 0, &[1], &mut file);
        assert_eq!(scan(&file).0.len(), 1);
    }

    #[test]
    fn dates_are_of_the_calendar() {
        let date = |ms: i64| {
            let ntp = UtcNanos(ms * 1_000_000).ntp64();
            assert_eq!(unix_ms(ntp), ms);
            iso_8601(unix_ms(ntp))
        };
        assert_eq!(date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(date(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(date(1_795_269_957_999), "2026-11-21T14:05:57.999Z");
        assert_eq!(date(1_798_761_599_123), "2026-12-31T23:59:59.123Z");
        assert_eq!(date(2_085_978_496_000), "2036-02-07T06:28:16.000Z", "the next era of NTP");
        assert_eq!(since_1904(UtcNanos(0).ntp64()), 2_082_844_800);
        assert_eq!(since_1904(0), 0);
    }
}
