//! What is made of pictures that were recorded: snapshots with EXIF, thumbnails, check sums.

use super::disk::OnDisk;
use super::folder::Folder;
use super::keeper::{Picture, Store};
use super::{mend, reconcile};
use crate::encode::jpeg::Jpeg;
use crate::frame::Colour;
use crate::picture::decode::{H264Decoder, JpegDecoder};
use crate::picture::finish::write_time;
use crate::picture::scale::{Area, Scaler};
use crate::picture::{Picture as Pixels, View};
use crate::thread::Stop;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use exif::experimental::Writer;
use exif::{Field, In, Tag, Value};
use lensd_ffi::catalogue::{Catalogue, Encoding, Finished, MediaType, Record, State};
use lensd_ffi::link::Answer;
use lensd_ffi::mux::{Header, Next, ReadAt as _, Scanner};
use lensd_ffi::time::{Nanos, Stamp, now};
use lensd_ffi::unit::Codec;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pixels of a thumbnail's width.
const WIDTH: usize = 320;
/// Its JPEG quality.
const QUALITY: u8 = 75;
/// Most bytes of a key frame or JPEG that is decoded for one.
const LARGEST: u64 = 32 << 20;
/// Fragments at the beginning of a file that are looked at for a key frame.
const LOOKED: usize = 64;
/// How often it looks whether it is to end, and files without a check sum are looked for.
const TICK: Duration = Duration::from_millis(200);
const SUMS: Nanos = Nanos::from_secs(5);
/// Bytes that are read at once, and how long others then have the disk for themselves.
const PIECE: usize = 1 << 20;
const BREATH: Duration = Duration::from_millis(4);

/// Files of which check sums are made in one go.
const GO: usize = 16;
/// When a file that cannot be read is tried again, twice as long each time up to the longest.
const AGAIN: Nanos = Nanos::from_secs(60);
const LONGEST: Nanos = Nanos::from_secs(3600);
/// Most files that are remembered for that; with more, all are tried anew.
const MOST_BAD: usize = 4096;

/// A thumbnail that somebody waits for.
pub(super) struct Wanted {
    pub(super) id: i64,
    pub(super) answer: Sender<Answer>,
}

/// The thread for what takes long and nobody waits for, besides thumbnails.
pub(super) struct Worker {
    pub(super) store: Arc<Store>,
    pub(super) folder: Folder,
    pub(super) database: PathBuf,
    pub(super) wanted: Receiver<Wanted>,
}

impl Worker {
    pub(super) fn run(self, stop: &Stop) {
        let mut catalogue = None;
        let mut bad = Bad::default();
        let mut looked = now();
        while !stop.is_set() {
            match self.wanted.recv_timeout(TICK) {
                Ok(wanted) => {
                    let made = self.thumbnail(self.open(&mut catalogue), wanted.id);
                    let answer = match made {
                        Ok(()) => Answer::Done,
                        Err((code, message)) => Answer::Fault { code: code.to_owned(), message },
                    };
                    self.store.answer(&wanted.answer, answer);
                }
                Err(RecvTimeoutError::Timeout) => {
                    // Early, so that what this process has open soon stays as it is.
                    self.open(&mut catalogue);
                    if now().since(looked) < SUMS {
                        continue;
                    }
                    looked = now();
                    if self.store.has_room().is_ok()
                        && let Some(catalogue) = self.open(&mut catalogue)
                    {
                        self.sum_up(catalogue, &mut bad, stop);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn open<'a>(&self, slot: &'a mut Option<Catalogue>) -> Option<&'a mut Catalogue> {
        if slot.as_ref().is_some_and(Catalogue::is_replaced) {
            *slot = None;
        }
        // The keeper makes it, and says what is wrong.
        if slot.is_none() && self.database.exists() {
            *slot = Catalogue::open(&self.database).ok();
        }
        slot.as_mut()
    }

    /// Check sums of files that have none.
    fn sum_up(&self, catalogue: &mut Catalogue, bad: &mut Bad, stop: &Stop) {
        let most = u32::try_from(GO + bad.0.len()).unwrap_or(u32::MAX);
        let Ok(rows) = catalogue.missing_sha256(most) else { return };
        let at = now();
        bad.0.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let due: Vec<Record> =
            rows.into_iter().filter(|row| bad.is_due(row.id, at)).take(GO).collect();
        for row in due {
            if stop.is_set() || !self.wanted.is_empty() {
                return;
            }
            match self.look_into(catalogue, &row, stop) {
                Ok(true) => bad.forget(row.id),
                Ok(false) => return,
                Err(e) => {
                    tracing::debug!(file = row.filename, "no check sum: {e}");
                    bad.put_off(row.id, now());
                }
            }
        }
    }

    /// The check sum of a file, and its seals if it was found: who found it had no time for that.
    /// `false`: told to stop.
    fn look_into(
        &self,
        catalogue: &mut Catalogue,
        row: &Record,
        stop: &Stop,
    ) -> std::io::Result<bool> {
        let path = self.folder.path(&row.filename);
        let found = row.error.as_deref() == Some(reconcile::FOUND);
        if found && row.media_type == MediaType::Video {
            let mut goes_on = || {
                std::thread::sleep(BREATH);
                !stop.is_set()
            };
            if let Some(at) = mend::damage(&path, &mut goes_on)? {
                let why = mend::Failed::Damaged(at).to_string();
                tracing::warn!(file = row.filename, "{why}");
                let end = Finished {
                    timestamp_end_ms: row.timestamp_end.unwrap_or(row.timestamp_start),
                    duration_ms: row.duration,
                    size: row.size,
                    state: State::Defect,
                    error: Some(why),
                };
                return catalogue
                    .finish(row.id, &end)
                    .map(|()| true)
                    .map_err(std::io::Error::other);
            }
        }
        let Some(sum) = sum(&path, stop)? else { return Ok(false) };
        // Its row may be gone by now.
        let _ = catalogue.set_sha256(row.id, &sum);
        Ok(true)
    }

    fn thumbnail(
        &self,
        catalogue: Option<&mut Catalogue>,
        id: i64,
    ) -> Result<(), (&'static str, String)> {
        let to = self.folder.thumbnail(id);
        if to.exists() {
            return Ok(());
        }
        let away = || ("STORAGE_UNAVAILABLE", "the catalogue cannot be read".to_owned());
        let row = catalogue.ok_or_else(away)?.record(id).map_err(|_| away())?;
        let row = row.ok_or_else(|| ("NOT_FOUND", format!("there is no recording {id}")))?;
        let jpeg = thumbnail(&self.folder.path(&row.filename), &row)
            .map_err(|why| ("NOT_FOUND", format!("{}: {why}", row.filename)))?;
        let kept = self.folder.make_thumbnails().and_then(|()| {
            // Never half of one, whoever reads meanwhile.
            let draft = to.with_extension("tmp");
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(&jpeg)?;
            fs::rename(&draft, &to)
        });
        kept.map_err(|e| ("STORAGE_UNAVAILABLE", format!("the thumbnail is not kept: {e}")))
    }
}

/// Files that cannot be read, by their rows: when each is tried again, and for how long it was put
/// off.
#[derive(Debug, Default)]
struct Bad(HashMap<i64, (Nanos, Nanos)>);

impl Bad {
    fn is_due(&self, id: i64, at: Nanos) -> bool {
        self.0.get(&id).is_none_or(|(next, _)| at >= *next)
    }

    fn put_off(&mut self, id: i64, at: Nanos) {
        if self.0.len() >= MOST_BAD {
            self.0.clear();
        }
        let before = self.0.get(&id).map(|(_, pause)| Nanos(pause.0.saturating_mul(2)));
        let pause = before.unwrap_or(AGAIN).min(LONGEST);
        self.0.insert(id, (at.plus(pause), pause));
    }

    fn forget(&mut self, id: i64) {
        self.0.remove(&id);
    }
}

/// SHA-256 of a file in hexadecimal; none: told to stop.
fn sum(path: &Path, stop: &Stop) -> std::io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        if stop.is_set() {
            return Ok(None);
        }
        hash.update(&piece[..count]);
        std::thread::sleep(BREATH);
    }
    Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// The first picture of a file, small.
fn thumbnail(path: &Path, row: &Record) -> Result<Vec<u8>, String> {
    if row.media_type == MediaType::Image {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let mut jpeg = Vec::new();
        file.take(LARGEST).read_to_end(&mut jpeg).map_err(|e| e.to_string())?;
        return small_jpeg(&jpeg);
    }
    if row.encoding == Encoding::H265 {
        return Err("there is no decoder of H.265 for its thumbnail".to_owned());
    }
    let (codec, picture) = first_key(path)?;
    match codec {
        Codec::Jpeg => small_jpeg(&picture),
        _ => {
            let mut decoder = H264Decoder::default();
            let view = decoder.decode(&picture, true)?.ok_or("its first picture is not whole")?;
            small(&view, false)
        }
    }
}

fn small_jpeg(jpeg: &[u8]) -> Result<Vec<u8>, String> {
    small(&JpegDecoder::default().decode(jpeg)?, true)
}

fn small(view: &View<'_>, full_range: bool) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut encoder = Jpeg::new(QUALITY).map_err(|e| e.0)?;
    if view.width() <= WIDTH {
        encoder.encode_view(view, full_range, &mut out).map_err(|e| e.0)?;
        return Ok(out);
    }
    let mut pixels = Pixels::default();
    pixels.resize(WIDTH, ((view.height() * WIDTH / view.width()) & !1).max(2));
    let canvas = pixels.canvas().ok_or("a picture without a size")?;
    Scaler::default().scale(view, Area::of(view), canvas)?;
    let view = pixels.view().ok_or("a picture without a size")?;
    encoder.encode_view(&view, full_range, &mut out).map_err(|e| e.0)?;
    Ok(out)
}

/// The first key frame of a recording, with its parameter sets, as a decoder takes it.
fn first_key(path: &Path) -> Result<(Codec, Vec<u8>), String> {
    let file = OnDisk(File::open(path).map_err(|e| e.to_string())?);
    let header = Header::read(&file).map_err(|e| e.to_string())?;
    let mut scanner = Scanner::new(&header);
    for _ in 0..LOOKED {
        let Next::Fragment(fragment) = scanner.next(&file).map_err(|e| e.to_string())? else {
            break;
        };
        let Some(key) = fragment.samples.iter().find(|s| s.key) else { continue };
        if u64::from(key.size) > LARGEST {
            return Err("its first picture is too large".to_owned());
        }
        let mut sample = vec![0; key.size as usize];
        let got = file.read_at(key.offset, &mut sample).map_err(|e| e.to_string())?;
        sample.truncate(got);
        if header.codec == Codec::Jpeg {
            return Ok((header.codec, sample));
        }
        let mut unit = Vec::with_capacity(sample.len() + 256);
        for set in &header.sets {
            unit.extend_from_slice(&[0, 0, 0, 1]);
            unit.extend_from_slice(set);
        }
        let mut rest = &sample[..];
        while let Some((length, from)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some((nal, behind)) = from.split_at_checked(length) else { break };
            unit.extend_from_slice(&[0, 0, 0, 1]);
            unit.extend_from_slice(nal);
            rest = behind;
        }
        return Ok((header.codec, unit));
    }
    Err("it has no picture yet".to_owned())
}

/// A snapshot as it is kept.
pub(super) fn finished(picture: &Picture) -> Result<Vec<u8>, String> {
    match picture.snap.stamp {
        Some(quality) => {
            let jpeg = stamped(&picture.snap.jpeg, picture.snap.captured, quality)?;
            with_exif(picture, &jpeg)
        }
        None => with_exif(picture, &picture.snap.jpeg),
    }
}

/// Writes the time of capture into a JPEG.
///
/// # Errors
/// What is wrong with the JPEG.
pub fn stamped(jpeg: &[u8], capture: Stamp, quality: u8) -> Result<Vec<u8>, String> {
    let mut pixels = Pixels::default();
    pixels.copy_from(&JpegDecoder::default().decode(jpeg)?);
    let mut canvas = pixels.canvas().ok_or("a picture without a size")?;
    write_time(capture, Colour::JPEG, &mut canvas);
    let mut out = Vec::new();
    let view = pixels.view().ok_or("a picture without a size")?;
    let mut encoder = Jpeg::new(quality).map_err(|e| e.0)?;
    encoder.encode_view(&view, true, &mut out).map_err(|e| e.0)?;
    Ok(out)
}

/// Puts what is known of a picture into its JPEG: an APP1 segment right behind SOI (Exif 2.32 4.7.2),
/// in the place of the one that is there.
fn with_exif(picture: &Picture, jpeg: &[u8]) -> Result<Vec<u8>, String> {
    let mut tiff = Cursor::new(Vec::new());
    let at = jiff::Timestamp::from_nanosecond(picture.snap.captured.utc.0.into())
        .map_err(|e| e.to_string())?
        .to_zoned(jiff::tz::TimeZone::system());
    let text = |text: String| {
        // ASCII ends where it is zero, and has nothing else in it.
        let ascii = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
        Value::Ascii(vec![ascii.collect::<String>().into_bytes()])
    };
    let field = |tag, value| Field { tag, ifd_num: In::PRIMARY, value };
    let time = at.strftime("%Y:%m:%d %H:%M:%S").to_string();
    let (parts, zone) = (at.strftime("%6f").to_string(), at.strftime("%:z").to_string());
    let comment =
        [b"ASCII\0\0\0".as_slice(), picture.snap.settings.to_string().as_bytes()].concat();
    let mut fields = vec![
        field(Tag::Make, text("lensd".to_owned())),
        field(Tag::Model, text(picture.camera_name.clone())),
        field(Tag::Software, text(concat!("lensd ", env!("CARGO_PKG_VERSION")).to_owned())),
        field(Tag::DateTime, text(time.clone())),
        field(Tag::DateTimeOriginal, text(time.clone())),
        field(Tag::DateTimeDigitized, text(time)),
        field(Tag::SubSecTime, text(parts.clone())),
        field(Tag::SubSecTimeOriginal, text(parts.clone())),
        field(Tag::SubSecTimeDigitized, text(parts)),
        field(Tag::OffsetTime, text(zone.clone())),
        field(Tag::OffsetTimeOriginal, text(zone.clone())),
        field(Tag::OffsetTimeDigitized, text(zone)),
        field(Tag::PixelXDimension, Value::Long(vec![picture.snap.size.0.into()])),
        field(Tag::PixelYDimension, Value::Long(vec![picture.snap.size.1.into()])),
        field(Tag::UserComment, Value::Undefined(comment, 0)),
    ];
    if !picture.snap.title.is_empty() {
        fields.push(field(Tag::ImageDescription, text(picture.snap.title.clone())));
    }
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    writer.write(&mut tiff, false).map_err(|e| e.to_string())?;
    let tiff = tiff.into_inner();
    let length = u16::try_from(tiff.len() + 8).map_err(|_| "too much to say")?;
    let body = jpeg.strip_prefix(&[0xff, 0xd8]).ok_or("no JPEG")?;
    let mut out = Vec::with_capacity(jpeg.len() + tiff.len() + 16);
    out.extend_from_slice(&[0xff, 0xd8, 0xff, 0xe1]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(b"Exif\0\0");
    out.extend_from_slice(&tiff);
    out.extend_from_slice(without_exif(body));
    Ok(out)
}

/// What follows an APP1 segment that the camera itself has put first.
fn without_exif(body: &[u8]) -> &[u8] {
    match body {
        [0xff, 0xe1, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
            rest.get(length..).unwrap_or(body)
        }
        _ => body,
    }
}

#[cfg(test)]
mod tests;
