//! Recordings and snapshots as rows.

use serde::Serialize;

/// Most characters of a title.
pub const MAX_TITLE: usize = 200;
/// Most characters of a note.
pub const MAX_NOTE: usize = 4_000;

/// A closed set of words, as they stand in the file and in JSON.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $case:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$each])* $case),+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$case),+];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$case => $word),+ }
            }

            /// By its word.
            pub fn by_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                self.word().to_sql()
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(
                value: rusqlite::types::ValueRef<'_>,
            ) -> rusqlite::types::FromSqlResult<Self> {
                let word = value.as_str()?;
                let unknown = || {
                    let why = format!(concat!("no ", stringify!($name), ": {:?}"), word);
                    rusqlite::types::FromSqlError::Other(why.into())
                };
                Self::by_word(word).ok_or_else(unknown)
            }
        }
    };
}

words! {
    /// What a file holds.
    MediaType {
        /// Moving pictures.
        Video = "video",
        /// One picture.
        Image = "image",
    }
}

words! {
    /// How the pictures of a file are coded.
    Encoding {
        /// H.264.
        H264 = "h264",
        /// H.265.
        H265 = "h265",
        /// JPEGs.
        Mjpeg = "mjpeg",
        /// One JPEG.
        Jpeg = "jpeg",
    }
}

words! {
    /// How far a file is.
    State {
        /// Whole: it is not written any more.
        Ready = "ready",
        /// It is being written.
        Recording = "recording",
        /// Something is wrong with it; the row's error says what.
        Defect = "defect",
    }
}

words! {
    /// How far the copy of a file on network storage is.
    CopyState {
        /// It waits, or is on its way.
        Queued = "queued",
        /// It is there.
        Copied = "copied",
        /// It was tried too often; it waits for somebody to look.
        Failed = "failed",
        /// Somebody did not want it.
        Dropped = "dropped",
    }
}

/// A recording or snapshot that begins.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    /// The file, relative to `DATA/media`, with `/`: `recordings/2026/11/21/….mp4`.
    pub filename: String,
    /// What it holds.
    pub media_type: MediaType,
    /// How it is coded.
    pub encoding: Encoding,
    /// Camera from 1; 0: none.
    pub camera: u32,
    /// Name of the stream, such as `cam1/main`.
    pub stream: String,
    /// Mode, such as `video` or `time-lapse`.
    pub mode: String,
    /// Capture time of the first picture, UTC ms.
    pub timestamp_start_ms: i64,
    /// `WIDTHxHEIGHT` in pixels.
    pub resolution: String,
    /// Pictures a second, as played.
    pub fps: f64,
    /// A title; empty: none.
    pub title: String,
}

/// How far a recording has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Capture time of the newest picture, UTC ms.
    pub timestamp_end_ms: i64,
    /// Playing time in ms.
    pub duration_ms: i64,
    /// Bytes.
    pub size: u64,
}

/// How a recording has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Capture time of the last picture, UTC ms.
    pub timestamp_end_ms: i64,
    /// Playing time in ms.
    pub duration_ms: i64,
    /// Bytes.
    pub size: u64,
    /// [`State::Ready`] or [`State::Defect`].
    pub state: State,
    /// What went wrong, if something did. A recording that was cut off and mended may be ready and
    /// say so.
    pub error: Option<String>,
}

/// A file that was found without a row.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRecord {
    /// What a new one would have.
    pub record: NewRecord,
    /// How it ends.
    pub end: Finished,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Its number, which no other one ever gets.
    pub id: i64,
    /// The file, relative to `DATA/media`.
    pub filename: String,
    /// What it holds.
    pub media_type: MediaType,
    /// How it is coded.
    pub encoding: Encoding,
    /// Capture time of the first picture, UTC ms.
    pub timestamp_start: i64,
    /// Capture time of the last picture, UTC ms, as far as it is known.
    pub timestamp_end: Option<i64>,
    /// Playing time in ms.
    pub duration: i64,
    /// Bytes.
    pub size: u64,
    /// `WIDTHxHEIGHT` in pixels.
    pub resolution: String,
    /// Pictures a second, as played.
    pub fps: f64,
    /// How far it is.
    pub state: State,
    /// Where its tags are, in ms from its start.
    pub tag_markers: Vec<i64>,
    /// SHA-256 of the whole file, in hexadecimal, once it is known.
    pub sha256: Option<String>,
    /// Camera from 1; 0: none.
    pub camera: u32,
    /// Name of the stream.
    pub stream: String,
    /// Mode.
    pub mode: String,
    /// Title; empty: none.
    pub title: String,
    /// Note; empty: none.
    pub note: String,
    /// Whether nothing removes it but its owner's wish.
    pub protected: bool,
    /// What is wrong with it.
    pub error: Option<String>,
    /// How far its copy on network storage is; none: it has not been asked for.
    pub copy: Option<CopyState>,
}

impl Record {
    /// Columns in the order in which [`Record::of_row`] takes them.
    pub(super) const COLUMNS: &str = "id, filename, media_type, encoding, timestamp_start, \
        timestamp_end, duration, size, resolution, fps, state, tag_markers, sha256, camera, \
        stream, mode, title, note, protected, error, copy";

    pub(super) fn of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let markers: String = row.get(11)?;
        Ok(Self {
            id: row.get(0)?,
            filename: row.get(1)?,
            media_type: row.get(2)?,
            encoding: row.get(3)?,
            timestamp_start: row.get(4)?,
            timestamp_end: row.get(5)?,
            duration: row.get(6)?,
            size: row.get(7)?,
            resolution: row.get(8)?,
            fps: row.get(9)?,
            state: row.get(10)?,
            tag_markers: serde_json::from_str(&markers).unwrap_or_default(),
            sha256: row.get(12)?,
            camera: row.get(13)?,
            stream: row.get(14)?,
            mode: row.get(15)?,
            title: row.get(16)?,
            note: row.get(17)?,
            protected: row.get(18)?,
            error: row.get(19)?,
            copy: row.get(20)?,
        })
    }
}

/// How many there are, and how large they are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// By what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Recordings.
    pub video: Total,
    /// Snapshots.
    pub image: Total,
}
