//! Goes through a recording: from a moment on, picture by picture, or by key frames to either side.

use super::{Opened, Refused, nanos};
use crate::rtp::jpeg;
use lensd_ffi::mux::{
    End, Form, Fragment, Header, Index, Next, ReadAt, Sampled, Scanner, TIMESCALE, Unreadable,
};
use lensd_ffi::time::UtcNanos;
use lensd_ffi::unit::{Codec, NalSpan};
use std::io;

/// Most bytes of a picture that is read.
const MAX_SAMPLE: u32 = 64 << 20;
/// Most NAL units of a picture, as in a ring.
const MAX_NALS: usize = lensd_ffi::unit::MAX_NALS;

/// Which pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// Those with which decoding can begin.
    Keys,
    /// Those, the last first.
    KeysBack,
}

/// A picture, with its times in ticks from the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// NAL units, or a JPEG.
    pub bytes: Vec<u8>,
    /// Where they lie in `bytes`, in the order in which they are sent. With a key frame the
    /// parameter sets come along.
    pub nals: Vec<NalSpan>,
    /// Whether decoding can begin here.
    pub key: bool,
    /// When it is decoded.
    pub decode: i64,
    /// When it is shown.
    pub shown: i64,
    /// How long, about.
    pub duration: u32,
    /// When it was captured.
    pub captured: UtcNanos,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A picture.
    Picture(Picture),
    /// Nothing, until more is written.
    NotYet,
    /// Nothing any more.
    End,
}

/// A fragment that was read, and when its samples are decoded.
#[derive(Debug)]
struct Loaded {
    place: usize,
    fragment: Fragment,
    decode: Vec<i64>,
}

/// A recording and a position in it.
#[derive(Debug)]
pub struct Walk<F> {
    file: F,
    header: Header,
    index: Index,
    /// Somebody writes to it.
    growing: bool,
    which: Which,
    until: Option<i64>,
    /// Number of the fragment and of the sample in it that come next.
    place: usize,
    sample: usize,
    /// Backwards, the beginning is passed.
    passed: bool,
    loaded: Option<Loaded>,
}

impl<F: ReadAt> Walk<F> {
    /// Opens a recording at its beginning.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(file: F, growing: bool) -> Result<Self, Refused> {
        let unreadable = |why: Unreadable| Refused::Unreadable(why.to_string());
        let header = Header::read(&file).map_err(unreadable)?;
        let closed = Index::of_movie(&header, &file).map_err(|e| unreadable(e.into()))?;
        let whole = closed.is_some() || matches!(header.form, Form::Whole { .. });
        let index = closed.unwrap_or_else(|| Index::new(&header));
        let mut walk = Self {
            file,
            header,
            index,
            growing: growing && !whole,
            which: Which::All,
            until: None,
            place: 0,
            sample: 0,
            passed: false,
            loaded: None,
        };
        while walk.grow().map_err(|e| unreadable(e.into()))? {}
        Ok(walk)
    }

    /// What is known of it.
    ///
    /// # Errors
    /// [`Refused`]: it has no picture, or one that RTP cannot carry.
    pub fn describe(&mut self, id: i64) -> Result<Opened, Refused> {
        let unreadable = |why: &dyn std::fmt::Display| Refused::Unreadable(why.to_string());
        let nothing = || unreadable(&"it has no picture yet");
        self.load(0).map_err(|e| unreadable(&e))?;
        let loaded = self.loaded.as_ref().ok_or_else(nothing)?;
        let (fragment, first) = (&loaded.fragment, loaded.fragment.samples[0]);
        let captured = captured(fragment, loaded.fragment.decode, &first);
        let shown = u64::from(TIMESCALE) * fragment.samples.len() as u64;
        let lasts = fragment.decoded() - fragment.decode;
        let fps = if lasts > 0 { shown as f64 / lasts as f64 } else { 0.0 };
        if self.header.codec == Codec::Jpeg {
            let bytes = self.bytes(&first).map_err(|e| unreadable(&e))?;
            let head = |range: std::ops::Range<usize>| bytes.get(range).map(<[u8]>::to_vec);
            if let Some(why) = jpeg::refusal(bytes.len(), &head) {
                return Err(Refused::Unfit(why));
            }
        }
        Ok(Opened {
            id,
            codec: self.header.codec,
            sets: self.header.sets.clone(),
            width: self.header.width,
            height: self.header.height,
            duration: (!self.growing).then(|| self.index.duration()),
            fps,
            captured,
        })
    }

    /// When the last picture ends, in ticks, as far as it is known.
    pub fn duration(&self) -> u64 {
        self.index.duration()
    }

    /// Whether it may still grow.
    pub const fn is_growing(&self) -> bool {
        self.growing
    }

    /// Nobody writes to it any more.
    pub const fn finish(&mut self) {
        self.growing = false;
    }

    /// Goes to the key frame that is shown at `at` or before; without one, to the first. `until` is
    /// where the walk ends, on either side.
    ///
    /// # Errors
    /// Of the device.
    pub fn seek(&mut self, at: i64, which: Which, until: Option<i64>) -> io::Result<()> {
        while self.grow()? {}
        (self.which, self.until, self.passed) = (which, until, false);
        let Some(place) = self.index.key_before(at) else {
            (self.place, self.sample) = (self.index.places().len(), 0);
            self.passed = which == Which::KeysBack;
            return Ok(());
        };
        self.load(place)?;
        (self.place, self.sample) = (place, 0);
        if let Some(loaded) = &self.loaded {
            let samples = &loaded.fragment.samples;
            let keys = samples.iter().zip(&loaded.decode).enumerate().filter(|(_, (s, _))| s.key);
            let mut first = None;
            for (n, (sample, decode)) in keys {
                if first.is_none() || decode + i64::from(sample.cts) <= at {
                    first = Some(n);
                }
            }
            self.sample = first.unwrap_or(0);
        }
        Ok(())
    }

    /// When what was captured at `at` is shown, in ticks; what nobody captured, as in a pause, where
    /// it went on. None: it is not in the recording.
    ///
    /// # Errors
    /// Of the device.
    pub fn moment(&mut self, at: UtcNanos) -> io::Result<Option<i64>> {
        while self.grow()? {}
        // Fragments say when they were captured, an index does not.
        let (mut low, mut high) = (0, self.index.places().len());
        while low < high {
            let middle = low.midpoint(high);
            self.load(middle)?;
            if self.loaded.as_ref().is_some_and(|l| UtcNanos::of_ntp64(l.fragment.ntp) <= at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(place) = low.checked_sub(1) else { return Ok(None) };
        self.load(place)?;
        let (Some(loaded), Some(of)) = (&self.loaded, self.index.places().get(place)) else {
            return Ok(None);
        };
        let fragment = &loaded.fragment;
        let first = fragment.decode.saturating_add_signed(fragment.samples[0].cts.into());
        let reference =
            of.first.saturating_add_unsigned(fragment.time).saturating_sub_unsigned(first);
        let since = at.0.saturating_sub(UtcNanos::of_ntp64(fragment.ntp).0);
        let since = i64::try_from(i128::from(since) * 9 / 100_000).unwrap_or(i64::MAX);
        let lasts = i64::try_from(fragment.decoded() - fragment.decode).unwrap_or(i64::MAX);
        let last = place + 1 == self.index.places().len();
        let over = last && !self.growing && since >= lasts;
        Ok((!over).then(|| reference.saturating_add(since.min(lasts))))
    }

    /// The next picture. One that is damaged is left out.
    ///
    /// # Errors
    /// Of the device.
    pub fn step(&mut self) -> io::Result<Step> {
        loop {
            let Some((sample, decode)) = self.next_sample()? else {
                let waits = self.growing && self.which != Which::KeysBack;
                return Ok(if waits { Step::NotYet } else { Step::End });
            };
            let shown = decode + i64::from(sample.cts);
            if !sample.key && self.which != Which::All {
                self.pass();
                continue;
            }
            if self.is_over(&sample, decode, shown) {
                return Ok(Step::End);
            }
            self.pass();
            let fragment = self.loaded.as_ref().map(|loaded| &loaded.fragment);
            let captured = fragment.map_or(UtcNanos(0), |fragment| {
                let first = self.loaded.as_ref().map_or(0, |loaded| loaded.decode[0]);
                let at = fragment.decode.saturating_add_signed(decode - first);
                captured(fragment, at, &sample)
            });
            let bytes = self.bytes(&sample)?;
            if let Some((bytes, nals)) = frame(bytes, sample.key, &self.header) {
                let (key, duration) = (sample.key, sample.duration);
                let picture = Picture { bytes, nals, key, decode, shown, duration, captured };
                return Ok(Step::Picture(picture));
            }
        }
    }

    /// The sample that comes next and when it is decoded; none: there is none yet.
    fn next_sample(&mut self) -> io::Result<Option<(Sampled, i64)>> {
        loop {
            if self.passed || (self.place >= self.index.places().len() && !self.grow()?) {
                return Ok(None);
            }
            let skipped = self.which != Which::All && self.index.places()[self.place].key.is_none();
            if !skipped {
                self.load(self.place)?;
                if let Some(loaded) = &self.loaded
                    && let Some(sample) = loaded.fragment.samples.get(self.sample)
                {
                    return Ok(Some((*sample, loaded.decode[self.sample])));
                }
            }
            self.pass_fragment()?;
        }
    }

    /// Steps over the sample that came.
    fn pass(&mut self) {
        match (self.which, self.sample) {
            (Which::All | Which::Keys, _) => self.sample += 1,
            (Which::KeysBack, 0) => self.sample = usize::MAX,
            (Which::KeysBack, _) => self.sample -= 1,
        }
    }

    /// Steps over the fragment, at an end of which the walk is.
    fn pass_fragment(&mut self) -> io::Result<()> {
        if self.which != Which::KeysBack {
            (self.place, self.sample) = (self.place + 1, 0);
        } else if self.place == 0 {
            self.passed = true;
        } else {
            self.place -= 1;
            self.sample = 0;
            if self.index.places()[self.place].key.is_some() {
                self.load(self.place)?;
                let last = self.loaded.as_ref().map_or(0, |l| l.fragment.samples.len() - 1);
                self.sample = last;
            }
        }
        Ok(())
    }

    /// Whether a sample lies behind the end that was asked for.
    fn is_over(&self, sample: &Sampled, decode: i64, shown: i64) -> bool {
        let Some(until) = self.until else { return false };
        if self.which == Which::KeysBack {
            return shown < until;
        }
        // Behind one that is decoded long before it is shown come others that are shown earlier.
        let ordered = shown - decode <= i64::from(sample.duration);
        decode >= until || (ordered && shown >= until)
    }

    /// Lists the next fragment, if there is one.
    fn grow(&mut self) -> io::Result<bool> {
        match Scanner::from(self.index.end()).next(&self.file)? {
            Next::Fragment(fragment) => {
                let before = self.index.places().len();
                self.index.push(&fragment);
                Ok(self.index.places().len() > before)
            }
            Next::End(end) => {
                self.growing &= !matches!(end, End::Movie(_));
                Ok(false)
            }
        }
    }

    /// Reads what a fragment says of its samples.
    fn load(&mut self, place: usize) -> io::Result<()> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.place == place) {
            return Ok(());
        }
        self.loaded = None;
        let Some(at) = self.index.places().get(place) else { return Ok(()) };
        let Next::Fragment(fragment) = Scanner::from(at.offset).next(&self.file)? else {
            let what = format!("byte {}: there was a fragment, and is none any more", at.offset);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let mut next = at.first - i64::from(fragment.samples[0].cts);
        let decode = fragment.samples.iter().map(|sample| {
            let this = next;
            next += i64::from(sample.duration);
            this
        });
        self.loaded = Some(Loaded { place, decode: decode.collect(), fragment });
        Ok(())
    }

    fn bytes(&self, sample: &Sampled) -> io::Result<Vec<u8>> {
        if sample.size > MAX_SAMPLE {
            let what = format!("byte {}: a picture of {} bytes", sample.offset, sample.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut bytes = vec![0; sample.size as usize];
        let mut got = 0;
        while got < bytes.len() {
            match self.file.read_at(sample.offset + got as u64, &mut bytes[got..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// When the sample of a fragment that is decoded at `decode`, in the file's own time, was captured.
fn captured(fragment: &Fragment, decode: u64, sample: &Sampled) -> UtcNanos {
    let shown = decode.saturating_add_signed(sample.cts.into());
    let apart = i64::try_from(nanos(shown.abs_diff(fragment.time))).unwrap_or(i64::MAX);
    let first = UtcNanos::of_ntp64(fragment.ntp).0;
    let at = if shown < fragment.time {
        first.saturating_sub(apart)
    } else {
        first.saturating_add(apart)
    };
    UtcNanos(at)
}

/// NAL units of a sample with lengths before them; a JPEG is one. None: it is damaged.
fn frame(mut bytes: Vec<u8>, key: bool, header: &Header) -> Option<(Vec<u8>, Vec<NalSpan>)> {
    let whole = u32::try_from(bytes.len()).ok()?;
    if header.codec == Codec::Jpeg {
        return Some((bytes, vec![NalSpan { offset: 0, len: whole }]));
    }
    let (mut nals, mut at) = (Vec::new(), 0_usize);
    while at < bytes.len() {
        let len = u32::from_be_bytes(*bytes[at..].first_chunk()?);
        let from = at + 4;
        at = from.checked_add(len as usize).filter(|end| *end <= bytes.len())?;
        if len > 0 {
            nals.push(NalSpan { offset: u32::try_from(from).ok()?, len });
        }
    }
    if key {
        // Behind a delimiter, which has to be first; what the spans say is the order.
        let delimiter = nals.first().is_some_and(|nal| {
            let first = bytes[nal.offset as usize];
            match header.codec {
                Codec::H265 => first >> 1 & 63 == 35,
                _ => first & 31 == 9,
            }
        });
        for (n, set) in header.sets.iter().enumerate() {
            let offset = u32::try_from(bytes.len()).ok()?;
            nals.insert(
                n + usize::from(delimiter),
                NalSpan { offset, len: u32::try_from(set.len()).ok()? },
            );
            bytes.extend_from_slice(set);
        }
    }
    (!nals.is_empty() && nals.len() <= MAX_NALS).then_some((bytes, nals))
}

#[cfg(test)]
pub(crate) mod tests;
