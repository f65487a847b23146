//! Where the fragments of a recording lie in time: found one after the other, or, in a file that is
//! done, read from its last `moov` at once.
//!
//! Times here are ticks from the first picture's presentation time, by the tables that
//! [`super::Whole`] makes; so they are the same before and after a file is closed.

use super::boxes::{boxes, inside, leaf};
use super::scan::{Form, Fragment, Header, ReadAt, read};
use mp4_atom::{Co64, Ctts, Elst, Stco, Stsc, Stss, Stsz, StszSamples, Stts};
use std::io;

/// Most fragments that are listed: three weeks of two a second.
const MAX_PLACES: usize = 1 << 22;
/// Most samples that its tables may name.
const MAX_SAMPLES: usize = 1 << 26;
/// Most bytes of its last `moov` that are read at once: two days of 60 pictures a second. Of a
/// larger one the fragments are listed.
const MAX_MOVIE: u64 = 128 << 20;

/// A fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Offset of its seal.
    pub offset: u64,
    /// When its first sample is shown. The others follow from their decode times and offsets.
    pub first: i64,
    /// When its first key frame is shown; none: it has none.
    pub key: Option<i64>,
}

/// The fragments of a file in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    places: Vec<Place>,
    /// Offset of the fragment that is not listed yet.
    end: u64,
    /// Decode time in the file and here, and duration of the last sample.
    last: Option<(u64, i64, u32)>,
    /// Presentation time of the first picture, from the first decode time.
    begin: i64,
    /// When the last picture ends.
    shown: i64,
}

impl Index {
    /// Of a file whose fragments are still to be listed.
    pub fn new(header: &Header) -> Self {
        Self { end: header.end, ..Self::default() }
    }

    /// The fragments.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Offset behind the last of them.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// When the last picture ends.
    pub fn duration(&self) -> u64 {
        u64::try_from(self.shown).unwrap_or(0)
    }

    /// Lists the next fragment. A file of more than some millions is not listed to its end.
    pub fn push(&mut self, fragment: &Fragment) {
        if self.places.len() >= MAX_PLACES || fragment.offset != self.end {
            return;
        }
        let mut at = match self.last {
            None => 0,
            Some((last, at, duration)) => {
                let apart = fragment.decode.checked_sub(last);
                let apart = apart.and_then(|apart| u32::try_from(apart).ok());
                at + i64::from(apart.filter(|apart| *apart > 0).unwrap_or(duration.max(1)))
            }
        };
        let mut decode = fragment.decode;
        if self.last.is_none() {
            // Pictures may be shown before the one that is decoded first.
            let mut from = 0;
            let shown = fragment.samples.iter().map(|sample| {
                let shown = from + i64::from(sample.cts);
                from += i64::from(sample.duration);
                shown
            });
            self.begin = shown.min().unwrap_or(0);
            at = -self.begin;
        }
        let first = at + fragment.samples.first().map_or(0, |sample| i64::from(sample.cts));
        let mut place = Place { offset: fragment.offset, first, key: None };
        for sample in &fragment.samples {
            let shown = at + i64::from(sample.cts);
            if sample.key && place.key.is_none() {
                place.key = Some(shown);
            }
            self.shown = self.shown.max(shown + i64::from(sample.duration));
            self.last = Some((decode, at, sample.duration));
            at += i64::from(sample.duration.max(1));
            decode += u64::from(sample.duration);
        }
        self.places.push(place);
        self.end = fragment.end();
    }

    /// Of a file that is done, by its last `moov`. None: it is not, or that box says what cannot be;
    /// its fragments can be listed all the same.
    ///
    /// # Errors
    /// Of the device.
    pub fn of_movie(header: &Header, file: &(impl ReadAt + ?Sized)) -> io::Result<Option<Self>> {
        let Form::Whole { movie_at } = header.form else { return Ok(None) };
        let size = file.size()?.saturating_sub(movie_at);
        if size > MAX_MOVIE {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let got = read(file, movie_at, &mut bytes)?;
        Ok(Self::of_tables(header, movie_at, &bytes[..got]))
    }

    fn of_tables(header: &Header, movie_at: u64, movie: &[u8]) -> Option<Self> {
        let track = inside(movie, &[b"moov", b"trak"])?;
        let stbl = inside(track, &[b"mdia", b"minf", b"stbl"])?;
        let begin = inside(track, &[b"edts"])
            .and_then(leaf::<Elst>)
            .and_then(|elst| elst.entries.first()?.media_time)
            .map_or(Some(0), |begin| i64::try_from(begin).ok())?;
        let sizes = leaf::<Stsz>(stbl)?.samples;
        let count = match &sizes {
            StszSamples::Identical { count, .. } => *count as usize,
            StszSamples::Different { sizes } => sizes.len(),
        };
        let size = |n: usize| match &sizes {
            StszSamples::Identical { size, .. } => *size,
            StszSamples::Different { sizes } => sizes.get(n).copied().unwrap_or(0),
        };
        let chunks: Vec<u64> = match leaf::<Co64>(stbl) {
            Some(co64) => co64.entries,
            None => leaf::<Stco>(stbl)?.entries.into_iter().map(u64::from).collect(),
        };
        if count == 0 || count > MAX_SAMPLES || chunks.len() > MAX_PLACES {
            return None;
        }
        let stts = leaf::<Stts>(stbl)?.entries;
        let mut deltas =
            Runs::new(stts.iter().map(|e| (e.sample_count, i64::from(e.sample_delta))));
        let ctts = leaf::<Ctts>(stbl).map(|ctts| ctts.entries).unwrap_or_default();
        let mut offsets = Runs::new(ctts.iter().map(|e| (e.sample_count, e.sample_offset)));
        let stss = boxes(stbl).any(|(kind, ..)| &kind == b"stss");
        let keys = if stss { Some(leaf::<Stss>(stbl)?.entries) } else { None };
        let mut keys = keys.as_ref().map(|keys| keys.iter().peekable());
        let stsc = leaf::<Stsc>(stbl)?.entries;
        let mut runs = stsc.iter().peekable();
        let (mut per_chunk, mut n, mut at) = (0, 0_usize, -begin);
        let mut out = Self { end: header.end, begin, ..Self::default() };
        for (chunk, offset) in (1_u32..).zip(&chunks) {
            if let Some(run) = runs.next_if(|run| run.first_chunk == chunk) {
                per_chunk = run.samples_per_chunk;
            }
            // A fragment begins where the samples of the one before end.
            if *offset < out.end {
                return None;
            }
            let mut place = Place { offset: out.end, first: at, key: None };
            out.end = *offset;
            for i in 0..per_chunk {
                if n >= count {
                    return None;
                }
                let (delta, shown) = (deltas.next()?, at + offsets.next().unwrap_or(0));
                if i == 0 {
                    place.first = shown;
                }
                let number = u32::try_from(n + 1).ok()?;
                let key =
                    keys.as_mut().is_none_or(|keys| keys.next_if(|k| **k == number).is_some());
                if key && place.key.is_none() {
                    place.key = Some(shown);
                }
                out.shown = out.shown.max(shown.checked_add(delta)?);
                out.end = out.end.checked_add(size(n).into())?;
                at = at.checked_add(delta)?;
                n += 1;
            }
            out.places.push(place);
        }
        (n == count && out.end == movie_at).then_some(out)
    }

    /// The number of the last fragment that has a key frame shown at `at` or before; if there is
    /// none, of the first that has one at all.
    pub fn key_before(&self, at: i64) -> Option<usize> {
        let before = |place: &Place| place.key.is_some_and(|key| key <= at);
        let found = self.places.iter().rposition(before);
        found.or_else(|| self.places.iter().position(|place| place.key.is_some()))
    }
}

/// Values of a table of runs, one after the other.
struct Runs<I> {
    runs: I,
    left: u32,
    value: i64,
}

impl<I: Iterator<Item = (u32, i64)>> Runs<I> {
    const fn new(runs: I) -> Self {
        Self { runs, left: 0, value: 0 }
    }

    fn next(&mut self) -> Option<i64> {
        while self.left == 0 {
            (self.left, self.value) = self.runs.next()?;
        }
        self.left -= 1;
        Some(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mux::scan::tests::{recording, scan};
    use crate::mux::{Whole, whole_lid};

    /// The same recording open and closed.
    fn both(fragments: &[Fragment], mut file: Vec<u8>) -> [Index; 2] {
        let header = Header::read(&file[..]).unwrap();
        let (mut index, mut whole) = (Index::new(&header), Whole::default());
        for fragment in fragments {
            index.push(fragment);
            whole.push(fragment).unwrap();
        }
        let end = file.len() as u64;
        let at = usize::try_from(header.lid).unwrap();
        file[at..at + 16].copy_from_slice(&whole_lid(end - header.lid));
        file.extend_from_slice(&whole.movie(&header, None).unwrap());
        let header = Header::read(&file[..]).unwrap();
        let mut closed = Index::of_movie(&header, &file[..]).unwrap().unwrap();
        // What only a file that grows needs, and where its first picture is by its own table.
        (closed.last, closed.begin) = (index.last, index.begin);
        [index, closed]
    }

    #[test]
    fn a_closed_file_has_the_index_of_the_open_one() {
        let hours = 20 * 3600 * 90_000;
        let file = recording(&[
            (90_000, &[5, 7]),
            (96_000, &[3]),
            (199_000, &[9; 30]),
            (6000, &[4]),
            (hours, &[4, 4]),
        ]);
        let mut fragments = scan(&file).0;
        let [open, closed] = both(&fragments, file.clone());
        assert_eq!(open, closed);
        assert_eq!(open.places().len(), 5);
        assert_eq!(open.end(), file.len() as u64);

        // And with pictures out of order, of which some are no key frames.
        for sample in fragments.iter_mut().flat_map(|f| &mut f.samples).enumerate() {
            let (n, sample) = sample;
            sample.cts = [0, 6000, -3000, -3000][n % 4];
            sample.key = n % 8 == 0;
        }
        let [open, closed] = both(&fragments, file);
        assert_eq!(open, closed);
        assert_eq!(open.places()[0].key, Some(0));
        assert_eq!(open.places()[1].key, None);
    }

    #[test]
    fn key_frames_are_found_by_time() {
        let file = recording(&[(0, &[5]), (3000, &[5]), (6000, &[5]), (9000, &[5])]);
        let mut fragments = scan(&file).0;
        fragments[0].samples[0].key = false;
        fragments[2].samples[0].key = false;
        let index = &both(&fragments, file)[0];
        let found = [-5, 0, 2999, 3000, 6000, 8999, 9000, 1 << 40].map(|at| index.key_before(at));
        assert_eq!(found, [1, 1, 1, 1, 1, 1, 3, 3].map(Some));
        assert_eq!(Index::default().key_before(7), None);
    }

    #[test]
    fn tables_that_lie_are_not_believed() {
        let file = recording(&[(0, &[5, 6]), (6000, &[7])]);
        let header = Header::read(&file[..]).unwrap();
        let mut whole = Whole::default();
        scan(&file).0.iter().for_each(|fragment| whole.push(fragment).unwrap());
        let movie = whole.movie(&header, None).unwrap();
        let end = file.len() as u64;
        assert!(Index::of_tables(&header, end, &movie).is_some());
        assert!(Index::of_tables(&header, end + 1, &movie).is_none(), "of another file");
        for at in 0..movie.len() {
            let mut other = movie.clone();
            other[at] ^= 0x41;
            if let Some(index) = Index::of_tables(&header, end, &other) {
                assert!(index.places().len() <= 2);
            }
        }
    }
}
