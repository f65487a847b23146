//! Where files are: names of recordings and snapshots, and folders that outlive a power cut.

use lensd_ffi::time::UtcNanos;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Most files of the same second that are told apart.
const SAME: u32 = 1000;

/// `DATA/media` and what is in it.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A recording.
    Recording,
    /// A snapshot.
    Snapshot,
}

impl What {
    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Recording => ("recordings", "recording", "mp4"),
            Self::Snapshot => ("snapshots", "snapshot", "jpg"),
        }
    }
}

impl Folder {
    /// Below the data folder.
    pub fn new(data: &Path) -> Self {
        Self { root: data.join("media") }
    }

    /// `DATA/media`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the catalogue.
    pub fn path(&self, filename: &str) -> PathBuf {
        self.root.join(filename)
    }

    /// The small picture of a row.
    pub fn thumbnail(&self, id: i64) -> PathBuf {
        self.root.join(format!("thumbnails/{id}.jpg"))
    }

    /// Makes an empty file for what was captured at this time, and its folders. Returns it and its
    /// name relative to [`Folder::root`].
    ///
    /// # Errors
    /// Of the file system.
    pub fn create(
        &self,
        what: What,
        at: UtcNanos,
        camera: u32,
        stream: &str,
    ) -> io::Result<(File, String)> {
        let (folder, word, suffix) = what.words();
        let at = jiff::Timestamp::from_nanosecond(at.0.into())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::system());
        let day = format!("{folder}/{}", at.strftime("%Y/%m/%d"));
        self.make(&day)?;
        let own = if stream == "main" { String::new() } else { format!("_{stream}") };
        let stem = format!("{day}/{word}_{}_cam{camera}{own}", at.strftime("%Y%m%d_%H%M%S"));
        for n in 1..=SAME {
            let again = if n == 1 { String::new() } else { format!("_{n}") };
            let name = format!("{stem}{again}.{suffix}");
            // What a camera has seen is not for every user of the machine.
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            let opened = options.open(self.path(&name));
            match opened {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
                Ok(file) => {
                    sync_folder(&self.path(&day))?;
                    return Ok((file, name));
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{SAME} files named {stem}")))
    }

    /// Makes a folder and those above it, each entered in the one above for good.
    fn make(&self, relative: &str) -> io::Result<()> {
        let path = self.root.join(relative);
        if path.is_dir() {
            return Ok(());
        }
        // The root itself is made by whoever starts the program: one that is missing is a disk
        // that is not there, and writing below its mount point would hide the recordings.
        let mut above = self.root.clone();
        for part in Path::new(relative).components() {
            let below = above.join(part);
            match fs::create_dir(&below) {
                Ok(()) => sync_folder(&above)?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
            above = below;
        }
        Ok(())
    }

    /// The folder for recordings, on a disk that has none.
    ///
    /// # Errors
    /// Of the file system.
    pub fn make_recordings(&self) -> io::Result<()> {
        self.make(What::Recording.words().0)
    }

    /// A folder for thumbnails.
    ///
    /// # Errors
    /// Of the file system.
    pub fn make_thumbnails(&self) -> io::Result<()> {
        self.make("thumbnails")
    }
}

/// Makes what was entered into a folder outlive a power cut.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
