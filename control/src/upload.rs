//! A form that is written to the disk as it comes: into files that nobody sees until all of it is
//! there.

use crate::http::form::{FormReader, Step};
use crate::http::respond::Fault;
use crate::media::{Draft, Media, is_name};
use std::io::{self, Write as _};

/// The folder of the media folder that uploads are put into.
pub(crate) const FOLDER: &str = "uploads";

/// Bytes that uploads leave free.
const RESERVE: u64 = 256 << 20;

/// A file of an upload.
#[derive(Debug)]
struct Part {
    name: String,
    draft: Draft,
    size: u64,
}

/// An upload under way. Dropped, it leaves nothing behind. **Only on a worker:** every step waits
/// for the disk.
#[derive(Debug)]
pub(crate) struct Upload {
    reader: FormReader,
    media: Media,
    parts: Vec<Part>,
    /// Whether the field at hand is a file.
    is_file: bool,
    size: u64,
    most: u64,
}

/// A file that is there now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Uploaded {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// The one map from what the disk refuses here to HTTP.
fn refused(e: &io::Error) -> Fault {
    let message = format!("the upload cannot be written: {e}");
    match e.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::ReadOnlyFilesystem => Fault::unavailable("INSUFFICIENT_STORAGE", message),
        _ => Fault::new(500, "INTERNAL", "Internal error", message),
    }
}

/// 413, with what is allowed.
pub(crate) fn too_large(most: u64) -> Fault {
    let message = format!("an upload may have {most} bytes; see the setting limit-upload");
    Fault::new(413, "PAYLOAD_TOO_LARGE", "Payload too large", message)
}

impl Upload {
    /// Of a body of this type with at most `most` bytes in its files.
    ///
    /// # Errors
    /// 415 when it is no form.
    pub(crate) fn new(content_type: &str, media: Media, most: u64) -> Result<Self, Fault> {
        let reader = FormReader::new(content_type)?;
        Ok(Self { reader, media, parts: Vec::new(), is_file: false, size: 0, most })
    }

    /// The next piece of the body.
    ///
    /// # Errors
    /// 400 for a malformed form, 413 when it is too long, 503 when the disk is full.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if !self.parts.is_empty() && self.media.free().is_ok_and(|free| free < RESERVE) {
            let message = format!(
                "the disk is nearly full: its last {} MiB are for recordings",
                RESERVE >> 20
            );
            return Err(Fault::unavailable("INSUFFICIENT_STORAGE", message));
        }
        let Self { reader, media, parts, is_file, size, most } = self;
        reader.feed(piece, |step| match step {
            Step::Begin(head) => {
                // Other fields than files mean nothing here.
                *is_file = head.filename.is_some();
                let Some(name) = head.filename else { return Ok(()) };
                if !is_name(&name) {
                    let message = format!(
                        "{name:.100?} cannot be a file's name: it must not be empty, begin with a \
                         dot, or have slashes, control characters or more than 255 bytes"
                    );
                    return Err(Fault::invalid_value("filename", message));
                }
                let draft = media.draft(FOLDER).map_err(|e| refused(&e))?;
                parts.push(Part { name, draft, size: 0 });
                Ok(())
            }
            Step::Data(bytes) if *is_file => {
                *size += bytes.len() as u64;
                if *size > *most {
                    return Err(too_large(*most));
                }
                let Some(part) = parts.last_mut() else { return Ok(()) };
                part.size += bytes.len() as u64;
                part.draft.file.write_all(bytes).map_err(|e| refused(&e))
            }
            Step::Data(_) | Step::End => Ok(()),
        })
    }

    /// The body is over: gives the files their names.
    ///
    /// # Errors
    /// 400 when the form is not whole or has no file, 409 when a name is taken: then what has got
    /// its name by then stays.
    pub(crate) fn keep(self) -> Result<Vec<Uploaded>, Fault> {
        self.reader.finish()?;
        if self.parts.is_empty() {
            let message = "the form has no file: send one as curl -F file=@NAME does";
            return Err(Fault::invalid_value("file", message));
        }
        let mut kept = Vec::new();
        for Part { name, draft, size } in self.parts {
            draft.keep(&name).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => {
                    let message = format!("there is a file {FOLDER}/{name} already");
                    Fault::new(409, "CONFLICT", "Conflict", message)
                }
                _ => refused(&e),
            })?;
            kept.push(Uploaded { name, size });
        }
        Ok(kept)
    }
}
