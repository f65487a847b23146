//! Playing `.y4m` files.

use super::CameraInfo;
use super::file::{Item, Source, Timed};
use super::pattern::Pace;
use super::pool::{Pool, Sheet, sheets};
use super::spec::FileSpec;
use super::y4m::{Y4mHeader, parse_frame_line, parse_header};
use crate::frame::{Colour, Frame, PixelFormat, packed_planes};
use lensd_ffi::time::{Nanos, Stamp};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Pictures that consumers can hold at the same time.
const BUFFERS: u32 = 8;

pub(super) struct Y4mFile {
    reader: BufReader<File>,
    header: Y4mHeader,
    pool: Pool<Sheet>,
    pace: Pace,
    /// Pictures of this pass so far.
    count: u64,
    remarks: Vec<String>,
}

/// Reads the header. `length` is the file's, in bytes.
pub(super) fn open(file: File, length: u64, spec: &FileSpec) -> Result<Y4mFile, String> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let header = parse_header(reader.fill_buf().map_err(|e| e.to_string())?)?;
    reader.consume(header.length);
    let fps = spec.fps.unwrap_or(header.fps);
    let bytes = header.picture_bytes();
    let mut remarks = Vec::new();
    // Lines before pictures are nearly always the bare word.
    let tail = (length - header.length as u64) % (bytes as u64 + 6);
    if tail != 0 {
        remarks.push(format!("the last {tail} bytes are no whole picture and may be left out"));
    }
    let pool = sheets(BUFFERS, bytes).map_err(|e| format!("no memory for pictures: {e}"))?;
    Ok(Y4mFile { reader, header, pool, pace: Pace::new(fps, Nanos(0)), count: 0, remarks })
}

impl Source for Y4mFile {
    fn info(&self) -> CameraInfo {
        let format = if self.header.mono { PixelFormat::Grey } else { PixelFormat::I420 };
        CameraInfo {
            name: String::new(),
            format: format.to_string(),
            width: self.header.width,
            height: self.header.height,
            fps: self.pace.fps(),
            coded: None,
            remarks: self.remarks.clone(),
        }
    }

    fn next(&mut self) -> Result<Option<Timed>, String> {
        let Y4mHeader { width, height, mono, .. } = self.header;
        let format = if mono { PixelFormat::Grey } else { PixelFormat::I420 };
        let at = self.pace.deadline(self.count);
        let offset = self.reader.stream_position().map_err(|e| e.to_string())?;
        let ahead = self.reader.fill_buf().map_err(|e| e.to_string())?;
        if ahead.is_empty() {
            return Ok(None);
        }
        let line = match parse_frame_line(ahead) {
            Ok(line) => line,
            // A line cut by the end of the file, or by the end of the buffer.
            Err(_) if ahead.len() < 1024 => return self.read_cut_line(at, offset),
            Err(why) => return Err(format!("offset {offset}: {why}")),
        };
        self.reader.consume(line);
        self.read_picture(format, width, height, at)
    }

    fn rewind(&mut self) -> Result<Nanos, String> {
        let played = self.pace.deadline(self.count);
        self.count = 0;
        self.reader.seek(SeekFrom::Start(self.header.length as u64)).map_err(|e| e.to_string())?;
        Ok(played)
    }
}

impl Y4mFile {
    /// Reads a line byte by byte where the buffer ends within it.
    fn read_cut_line(&mut self, at: Nanos, offset: u64) -> Result<Option<Timed>, String> {
        let mut line = Vec::new();
        let mut limited = self.reader.by_ref().take(1024);
        limited.read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if !line.ends_with(b"\n") && line.len() < 1024 {
            return Ok(None);
        }
        parse_frame_line(&line).map_err(|why| format!("offset {offset}: {why}"))?;
        let format = if self.header.mono { PixelFormat::Grey } else { PixelFormat::I420 };
        self.read_picture(format, self.header.width, self.header.height, at)
    }

    fn read_picture(
        &mut self,
        format: PixelFormat,
        width: usize,
        height: usize,
        at: Nanos,
    ) -> Result<Option<Timed>, String> {
        self.count += 1;
        let (planes, used) = packed_planes(format, width, height);
        let reader = &mut self.reader;
        let item = match self.pool.lend(|sheet| sheet.fill(|bytes| reader.read_exact(bytes))) {
            Some((memory, Ok(()))) => Item::Frame(Frame {
                format,
                width,
                height,
                planes,
                used,
                colour: Colour::default(),
                memory,
                capture: Stamp::default(),
                number: 0,
                crc: None,
            }),
            Some((_, Err(e))) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                // The tail of a cut file.
                self.count -= 1;
                return Ok(None);
            }
            Some((_, Err(e))) => return Err(e.to_string()),
            None => {
                let step = i64::try_from(used).map_err(|e| e.to_string())?;
                self.reader.seek_relative(step).map_err(|e| e.to_string())?;
                Item::Lost
            }
        };
        Ok(Some(Timed { at, back: Nanos(0), item }))
    }
}
