//! Reads recordings in the form of [`super::recording`], being written or done, from anything that
//! can be read at a position. Headers are read, samples are not.

use super::TIMESCALE;
use super::boxes::{HEADER, boxes, inside, leaf, short_header};
use super::fragment::TRACK;
use super::recording::{LID_SIZE, OPEN_LID, SEAL, SEAL_SIZE};
use crate::unit::Codec;
use mp4_atom::{Avcc, Decode, Hvcc, Mdhd, Moof, Prft, Tkhd};
use std::io;

/// Most bytes of `ftyp`; ours has 28.
const MAX_FTYP: u64 = 4096;
/// Most bytes of the first `moov`; ours has some 600 and the parameter sets.
const MAX_INIT: u64 = 1 << 20;
/// Most bytes of a `moof`.
const MAX_MOOF: u64 = 4 << 20;
/// Most samples of a fragment.
const MAX_SAMPLES: usize = 1 << 16;
/// What is read of a fragment at once: its seal, `prft`, and `moof` in most cases.
const GUESS: usize = 2048;
/// Bytes of `prft` in its versions 0 and 1 (ISO/IEC 14496-12 8.16.5).
const PRFT: [u64; 2] = [28, 32];
/// Beyond this no decode time is believed: sums of such do not overflow.
const MAX_TIME: u64 = 1 << 62;

/// What can be read at a position.
pub trait ReadAt {
    /// Reads bytes that begin at `at` and says how many; 0 at the end, fewer than asked only there
    /// or when it was interrupted.
    ///
    /// # Errors
    /// Of the device.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// How many bytes there are now.
    ///
    /// # Errors
    /// Of the device.
    fn size(&self) -> io::Result<u64>;
}

impl ReadAt for [u8] {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.len());
        let part = &self[from..self.len().min(from.saturating_add(into.len()))];
        into[..part.len()].copy_from_slice(part);
        Ok(part.len())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Why a file cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// The device says so.
    Io(io::Error),
    /// It ends within what every recording begins with: it was cut off before the first picture.
    Cut,
    /// At this offset is something that lensd does not write: it is no recording of lensd's, or was
    /// damaged.
    Foreign {
        /// Bytes from the beginning of the file.
        at: u64,
        /// What was expected there.
        what: &'static str,
    },
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Cut => f.write_str("the file ends before its first picture"),
            Self::Foreign { at, what } => {
                write!(
                    f,
                    "byte {at}: no {what}, so this is no recording of lensd's or a damaged one"
                )
            }
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is being written, or was cut off: only fragments.
    Open,
    /// It is done: its `mdat` ends here, where the last `moov` is to be.
    Whole {
        /// Offset of that `moov`.
        movie_at: u64,
    },
    /// It was being closed, or bytes behind it are missing: its lid says neither.
    Unclear,
}

/// What stands ahead of the fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `ftyp` and `moov`, as the init segment of the live stream.
    pub init: Vec<u8>,
    /// Offset of the lid.
    pub lid: u64,
    /// How far the file is.
    pub form: Form,
    /// Offset of the first fragment.
    pub end: u64,
    /// Coding.
    pub codec: Codec,
    /// The sample entry, a whole box.
    pub entry: Vec<u8>,
    /// Parameter sets without start codes, in the order in which they are sent; none of JPEG.
    pub sets: Vec<Vec<u8>>,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

/// A sample of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Offset of its first byte in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Ticks until the next sample is decoded.
    pub duration: u32,
    /// Presentation time less decode time, in ticks.
    pub cts: i32,
    /// Whether decoding can begin here.
    pub key: bool,
}

/// A fragment whose boxes are whole. Whether its bytes are, [`Fragment::check`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Offset of its seal.
    pub offset: u64,
    /// Bytes with its seal.
    pub length: u64,
    /// The CRC-32 (IEEE) that the seal says.
    pub crc: u32,
    /// When the first picture was captured, as an NTP time stamp.
    pub ntp: u64,
    /// The presentation time of that, in ticks.
    pub time: u64,
    /// When the first sample is decoded, in ticks.
    pub decode: u64,
    /// At least one, in the order of decoding.
    pub samples: Vec<Sampled>,
}

impl Fragment {
    /// Offset of the first byte behind it.
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// When the last sample ends, in ticks.
    pub fn decoded(&self) -> u64 {
        self.decode + self.samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>()
    }

    /// Reads all of it and tells whether its seal is right.
    ///
    /// # Errors
    /// Of the device.
    pub fn check(&self, file: &(impl ReadAt + ?Sized)) -> io::Result<bool> {
        let mut crc = crc32fast::Hasher::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut at = self.offset + SEAL_SIZE as u64;
        while at < self.end() {
            let left = usize::try_from(self.end() - at).unwrap_or(usize::MAX).min(buffer.len());
            let part = &mut buffer[..left];
            if read(file, at, part)? < left {
                return Ok(false);
            }
            crc.update(part);
            at += left as u64;
        }
        Ok(crc.finalize() == self.crc)
    }
}

/// What comes next in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A fragment.
    Fragment(Fragment),
    /// No further one, at least not yet.
    End(End),
}

/// How fragments end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing follows.
    Bare,
    /// A `moov` box, of this many bytes, as it says.
    Movie(u64),
    /// Something that is no whole fragment: why not. In a file that grows it may become one.
    Torn(&'static str),
}

/// Reads from one fragment to the next.
#[derive(Debug, Clone)]
pub struct Scanner {
    at: u64,
}

impl Header {
    /// Reads what stands ahead of the fragments.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(file: &(impl ReadAt + ?Sized)) -> Result<Self, Unreadable> {
        let mut init = whole_box(file, 0, b"ftyp", MAX_FTYP, "ftyp box")?;
        let lid = init.len() as u64;
        let moov_at = lid + LID_SIZE as u64;
        let moov = whole_box(
            file,
            moov_at,
            b"moov",
            MAX_INIT,
            "moov box behind the first 16 bytes of data",
        )?;
        let mut bytes = [0; LID_SIZE];
        read(file, lid, &mut bytes)?;
        let end = moov_at + moov.len() as u64;
        let form = form(&bytes, lid, end, file.size()?);
        let foreign = |what| Unreadable::Foreign { at: moov_at, what };
        let track = inside(&moov, &[b"moov", b"trak"]).ok_or_else(|| foreign("track"))?;
        let known = leaf::<Tkhd>(track).is_some_and(|tkhd| tkhd.track_id == TRACK);
        let mdia = inside(track, &[b"mdia"]).filter(|_| known).ok_or_else(|| foreign("track 1"))?;
        if leaf::<Mdhd>(mdia).is_none_or(|mdhd| mdhd.timescale != TIMESCALE) {
            return Err(foreign("clock of 90 kHz"));
        }
        let entry = inside(mdia, &[b"minf", b"stbl", b"stsd"])
            .and_then(|stsd| boxes(stsd.get(8..)?).next())
            .map(|(_, whole, _)| whole.to_vec())
            .ok_or_else(|| foreign("sample entry"))?;
        let (codec, sets, [width, height]) =
            coding(&entry).ok_or_else(|| foreign("sample entry avc1, hvc1 or mp4v of JPEG"))?;
        init.extend_from_slice(&moov);
        Ok(Self { init, lid, form, end, codec, entry, sets, width, height })
    }
}

fn form(lid: &[u8; LID_SIZE], at: u64, least: u64, size: u64) -> Form {
    if *lid == OPEN_LID {
        return Form::Open;
    }
    let (head, length) = lid.split_at(8);
    let length = length.try_into().map_or(0, u64::from_be_bytes);
    match at.checked_add(length) {
        Some(movie_at)
            if *head == super::whole_lid(0)[..8] && (least..=size).contains(&movie_at) =>
        {
            Form::Whole { movie_at }
        }
        _ => Form::Unclear,
    }
}

/// Codec, parameter sets, width and height of a sample entry.
fn coding(entry: &[u8]) -> Option<(Codec, Vec<Vec<u8>>, [u16; 2])> {
    let (kind, _, body) = boxes(entry).next()?;
    // VisualSampleEntry (ISO/IEC 14496-12 12.1.3): sizes at 24, boxes from 78.
    let size = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let (size, extra) = ([size(24)?, size(26)?], body.get(78..)?);
    match &kind {
        b"avc1" => {
            let avcc = leaf::<Avcc>(extra).filter(|avcc| avcc.length_size == 4)?;
            let mut sets = avcc.sequence_parameter_sets;
            sets.extend(avcc.picture_parameter_sets);
            Some((Codec::H264, sets, size))
        }
        b"hvc1" => {
            let hvcc = leaf::<Hvcc>(extra).filter(|hvcc| hvcc.length_size_minus_one == 3)?;
            let sets = hvcc.arrays.into_iter().flat_map(|array| array.nalus).collect();
            Some((Codec::H265, sets, size))
        }
        b"mp4v" => {
            let esds = leaf::<mp4_atom::esds::Esds>(extra)?;
            let jpeg = esds.es_desc.dec_config.object_type_indication == 0x6c;
            jpeg.then_some((Codec::Jpeg, Vec::new(), size))
        }
        _ => None,
    }
}

impl Scanner {
    /// Begins with the first fragment.
    pub const fn new(header: &Header) -> Self {
        Self { at: header.end }
    }

    /// Goes on at the offset of a fragment that is known.
    pub const fn from(at: u64) -> Self {
        Self { at }
    }

    /// The offset where the next fragment is to be.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Reads the next fragment. After [`Next::End`] it may be asked again when the file has grown.
    ///
    /// # Errors
    /// Of the device.
    pub fn next(&mut self, file: &(impl ReadAt + ?Sized)) -> io::Result<Next> {
        let left = file.size()?.saturating_sub(self.at);
        if left == 0 {
            return Ok(Next::End(End::Bare));
        }
        let mut head = vec![0; GUESS];
        let got = read(file, self.at, &mut head)?;
        head.truncate(got);
        if let Some((kind, size)) = short_header(&head)
            && &kind == b"moov"
        {
            return Ok(Next::End(End::Movie(size)));
        }
        Ok(match fragment(file, self.at, left, head)? {
            Ok(fragment) => {
                self.at = fragment.end();
                Next::Fragment(fragment)
            }
            Err(why) => Next::End(End::Torn(why)),
        })
    }
}

/// Reads the fragment at `at`, `left` bytes before the end of the file, that begins with `head`.
fn fragment(
    file: &(impl ReadAt + ?Sized),
    at: u64,
    left: u64,
    mut head: Vec<u8>,
) -> io::Result<Result<Fragment, &'static str>> {
    let Some((crc, length)) = seal(&head) else { return Ok(Err("no seal of a fragment")) };
    let length = SEAL_SIZE as u64 + u64::from(length);
    if length > left {
        return Ok(Err("a fragment that is cut off"));
    }
    let inner = &head[SEAL_SIZE..];
    let clock = short_header(inner).filter(|(kind, size)| kind == b"prft" && PRFT.contains(size));
    let prft = leaf::<Prft>(inner).zip(clock);
    let Some((prft, (_, prft_size))) = prft else {
        return Ok(Err("a fragment without a prft box"));
    };
    let moof_at = SEAL_SIZE as u64 + prft_size;
    let Some((kind, moof_size)) = head.get(moof_at as usize..).and_then(short_header) else {
        return Ok(Err("a fragment without a moof box"));
    };
    let mdat_at = moof_at + moof_size;
    if &kind != b"moof" || moof_size > MAX_MOOF || mdat_at + HEADER > length {
        return Ok(Err("a fragment without a moof box of sense"));
    }
    // The moof and the header of mdat.
    let want = usize::try_from(mdat_at + HEADER).unwrap_or(usize::MAX);
    let got = head.len();
    if got < want {
        head.resize(want, 0);
        if read(file, at + got as u64, &mut head[got..])? < want - got {
            return Ok(Err("a fragment that is cut off"));
        }
    }
    let (moof, mdat) = (moof_at as usize..mdat_at as usize, mdat_at as usize);
    if short_header(&head[mdat..]) != Some((*b"mdat", length - mdat_at)) {
        return Ok(Err("a fragment whose mdat box is not its rest"));
    }
    let bytes = at + mdat_at + HEADER..at + length;
    let Some((decode, samples)) = samples(&head[moof], at + moof_at, &bytes) else {
        return Ok(Err("a fragment whose moof box says what cannot be"));
    };
    let (ntp, time) = (prft.ntp_timestamp, prft.media_time);
    Ok(Ok(Fragment { offset: at, length, crc, ntp, time, decode, samples }))
}

/// CRC and length that a seal says.
fn seal(head: &[u8]) -> Option<(u32, u32)> {
    let head = head.first_chunk::<SEAL_SIZE>()?;
    let word = |at: usize| head[at..at + 4].try_into().map_or(0, u32::from_be_bytes);
    let ours = short_header(head) == Some((*b"uuid", SEAL_SIZE as u64)) && head[8..24] == SEAL;
    ours.then(|| (word(24), word(28)))
}

/// Decode time and samples of a `moof` that lies at `at`, all of whose samples are to lie in
/// `bytes`.
fn samples(moof: &[u8], at: u64, bytes: &std::ops::Range<u64>) -> Option<(u64, Vec<Sampled>)> {
    let moof = Moof::decode(&mut &moof[..]).ok()?;
    let [traf] = &moof.traf[..] else { return None };
    let (tfhd, tfdt) = (&traf.tfhd, traf.tfdt.as_ref()?);
    let base = tfhd.base_data_offset.unwrap_or(at);
    let decode = tfdt.base_media_decode_time;
    let mut samples = Vec::new();
    let (mut next, mut decoded) = (base, decode);
    for trun in &traf.trun {
        if let Some(offset) = trun.data_offset {
            next = base.checked_add_signed(offset.into())?;
        }
        if samples.len() + trun.samples.len() > MAX_SAMPLES {
            return None;
        }
        for entry in &trun.samples {
            let size = entry.size.or(tfhd.default_sample_size)?;
            let duration = entry.duration.or(tfhd.default_sample_duration)?;
            let flags = entry.flags.or(tfhd.default_sample_flags).unwrap_or(0);
            let end = next.checked_add(size.into())?;
            if size == 0 || next < bytes.start || end > bytes.end {
                return None;
            }
            samples.push(Sampled {
                offset: next,
                size,
                duration,
                cts: i32::try_from(entry.cts.unwrap_or(0)).ok()?,
                // sample_is_non_sync_sample (8.8.3.1)
                key: flags & 0x1_0000 == 0,
            });
            next = end;
            decoded = decoded.checked_add(duration.into()).filter(|sum| *sum < MAX_TIME)?;
        }
    }
    (tfhd.track_id == TRACK && !samples.is_empty()).then_some((decode, samples))
}

/// Reads as much as there is.
fn read(file: &(impl ReadAt + ?Sized), at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(at + got as u64, &mut into[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Reads a box of this type at `at`.
fn whole_box(
    file: &(impl ReadAt + ?Sized),
    at: u64,
    kind: &[u8; 4],
    most: u64,
    what: &'static str,
) -> Result<Vec<u8>, Unreadable> {
    let mut head = [0; HEADER as usize];
    if read(file, at, &mut head)? < head.len() {
        return Err(Unreadable::Cut);
    }
    let size = short_header(&head).filter(|(found, size)| found == kind && *size <= most);
    let Some((_, size)) = size else { return Err(Unreadable::Foreign { at, what }) };
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    if read(file, at, &mut bytes)? < bytes.len() {
        return Err(Unreadable::Cut);
    }
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests;
