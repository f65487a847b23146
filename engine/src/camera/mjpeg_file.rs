//! Playing `.mjpeg` files: JPEGs one behind the other.

use super::CameraInfo;
use super::file::{Item, Source, Timed};
use super::mjpeg::{Jpeg, MAX_JPEG, measure};
use super::pattern::Pace;
use super::pool::Pool;
use super::spec::FileSpec;
use crate::frame::{Colour, Frame, PixelFormat, Plane};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::Codec;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Pictures that consumers can hold at the same time.
const BUFFERS: usize = 8;
const CHUNK: usize = 64 << 10;

pub(super) struct MjpegFile {
    file: File,
    /// What was read and not yet given.
    ahead: Vec<u8>,
    /// Offset in the file of the first byte of `ahead`.
    offset: u64,
    ended: bool,
    pool: Pool<Vec<u8>>,
    pace: Pace,
    count: u64,
    size: (usize, usize),
    remarks: Vec<String>,
}

/// A whole picture that lies ahead.
struct Found {
    length: usize,
    size: (usize, usize),
}

/// Finds the first picture.
pub(super) fn open(file: File, spec: &FileSpec) -> Result<MjpegFile, String> {
    let mut this = MjpegFile {
        file,
        ahead: Vec::new(),
        offset: 0,
        ended: false,
        pool: Pool::new((0..BUFFERS).map(|_| Vec::new())),
        pace: Pace::new(spec.fps.unwrap_or(25.0), Nanos(0)),
        count: 0,
        size: (0, 0),
        remarks: Vec::new(),
    };
    match this.find()? {
        Some(found) => this.size = found.size,
        None => return Err("there is no whole JPEG in it".into()),
    }
    Ok(this)
}

impl MjpegFile {
    /// Reads until a whole picture lies ahead: its length and size. `None` at the end.
    fn find(&mut self) -> Result<Option<Found>, String> {
        // Measured again only when twice as much is there: linear in all.
        let mut wanted = 1;
        loop {
            while self.ahead.len() < wanted && !self.ended {
                self.read_more()?;
            }
            if self.ahead.is_empty() {
                return Ok(None);
            }
            match measure(&self.ahead) {
                Jpeg::Whole { length, width, height } => {
                    return Ok(Some(Found { length, size: (width, height) }));
                }
                Jpeg::Partial if self.ended => {
                    if self.remarks.is_empty() {
                        let cut = self.ahead.len();
                        self.remarks.push(format!("the last {cut} bytes are a cut picture"));
                    }
                    return Ok(None);
                }
                Jpeg::Partial if self.ahead.len() > MAX_JPEG => {
                    return Err(format!(
                        "offset {}: no JPEG ends within {} MiB",
                        self.offset,
                        MAX_JPEG >> 20
                    ));
                }
                Jpeg::Partial => wanted = self.ahead.len() * 2,
                Jpeg::Foreign { offset, why } => {
                    return Err(format!("offset {}: {why}", self.offset + offset as u64));
                }
            }
        }
    }

    fn read_more(&mut self) -> Result<(), String> {
        let from = self.ahead.len();
        let read = self.file.by_ref().take(CHUNK as u64).read_to_end(&mut self.ahead);
        read.map_err(|e| e.to_string())?;
        self.ended = self.ahead.len() == from;
        Ok(())
    }
}

impl Source for MjpegFile {
    fn info(&self) -> CameraInfo {
        CameraInfo {
            name: String::new(),
            format: PixelFormat::Mjpeg.to_string(),
            width: self.size.0,
            height: self.size.1,
            fps: self.pace.fps(),
            coded: Some(Codec::Jpeg),
            remarks: self.remarks.clone(),
        }
    }

    fn next(&mut self) -> Result<Option<Timed>, String> {
        let Some(Found { length, size: (width, height) }) = self.find()? else { return Ok(None) };
        let at = self.pace.deadline(self.count);
        self.count += 1;
        let ahead = &self.ahead[..length];
        let lent = self.pool.lend(|bytes| {
            bytes.clear();
            bytes.extend_from_slice(ahead);
        });
        self.ahead.drain(..length);
        self.offset += length as u64;
        let item = match lent {
            Some((memory, ())) => Item::Frame(Frame {
                format: PixelFormat::Mjpeg,
                width,
                height,
                planes: [Plane::default(); 3],
                used: length,
                colour: Colour::JPEG,
                memory,
                capture: Stamp::default(),
                number: 0,
                crc: None,
            }),
            None => Item::Lost,
        };
        Ok(Some(Timed { at, back: Nanos(0), item }))
    }

    fn rewind(&mut self) -> Result<Nanos, String> {
        let played = self.pace.deadline(self.count);
        self.file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
        self.ahead.clear();
        (self.offset, self.count, self.ended) = (0, 0, false);
        Ok(played)
    }
}
