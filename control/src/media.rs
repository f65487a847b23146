//! The media folder, and nothing but it: files are opened one path component after the other, and
//! no component may be a symbolic link or lead upwards, so no name leaves the folder whatever
//! others do there at the same time.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat_with, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest path below the folder, and most components of it.
const MAX_PATH: usize = 1024;
const MAX_DEPTH: usize = 16;
/// Longest name of a file: what file systems take.
pub(crate) const MAX_NAME: usize = 255;

/// A path below the media folder: components without `.`, `..`, slashes and control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beneath(Vec<String>);

impl Beneath {
    /// By its text with `/` between components; empty: the folder itself. None: it is no such
    /// path.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        let fits = text.len() <= MAX_PATH && parts.len() <= MAX_DEPTH;
        (fits && parts.iter().all(|part| is_name(part))).then_some(Self(parts))
    }

    /// As text.
    pub fn text(&self) -> String {
        self.0.join("/")
    }

    /// Its last component.
    pub fn name(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Its first component.
    pub fn top(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }
}

/// Whether a name can be that of a file here. Names that begin with a dot are the server's own.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.starts_with('.')
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    /// Bytes.
    pub(crate) size: u64,
    /// UTC ms.
    pub(crate) modified: i64,
}

/// The media folder. Clones are of the same.
#[derive(Debug, Clone)]
pub(crate) struct Media(Arc<PathBuf>);

impl Media {
    pub(crate) fn new(data: &Path) -> Self {
        Self(Arc::new(data.join("media")))
    }

    fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&**self.0, flags, Mode::empty())?)
    }

    /// A folder below; with `make` it is made if it is not there.
    fn folder(&self, parts: &[String], make: bool) -> io::Result<OwnedFd> {
        if make {
            std::fs::create_dir_all(&**self.0)?;
        }
        let mut folder = self.root()?;
        for part in parts {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            folder = match openat(&folder, part, flags, Mode::empty()) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(e) => return Err(e.into()),
                    }
                    openat(&folder, part, flags, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    /// The folder that holds `path`, and its name there.
    fn holder<'a>(&self, path: &'a Beneath) -> io::Result<(OwnedFd, &'a str)> {
        let Some((name, folders)) = path.0.split_last() else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        Ok((self.folder(folders, false)?, name))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound` also for what is no regular file: a folder, a link, a device.
    pub(crate) fn open(&self, path: &Beneath) -> io::Result<File> {
        let (folder, name) = self.holder(path)?;
        // Without NONBLOCK a FIFO would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::from(openat(&folder, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(file)
    }

    /// Files and folders of a folder, by name. Links, devices and the server's own files are left
    /// out.
    ///
    /// # Errors
    /// What the kernel says; `NotADirectory` for a file.
    pub(crate) fn list(&self, path: &Beneath) -> io::Result<Vec<Entry>> {
        let folder = match self.folder(&path.0, false) {
            // The media folder is made with the first recording.
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.0.is_empty() => {
                return Ok(Vec::new());
            }
            folder => folder?,
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !is_name(name) {
                continue;
            }
            match look(&folder, name) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                // Gone meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// What the kernel says; `NotFound` also for what is no regular file.
    pub(crate) fn remove(&self, path: &Beneath) -> io::Result<()> {
        let (folder, name) = self.holder(path)?;
        match look(&folder, name)? {
            Some(entry) if !entry.is_folder => {}
            Some(_) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
    }

    /// Begins a file in a folder, which is made if it is not there. It has no name that anybody
    /// sees until [`Draft::keep`].
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn draft(&self, folder: &str) -> io::Result<Draft> {
        let folder = self.folder(&[folder.to_owned()], true)?;
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = format!(".upload-{:016x}", u64::from_ne_bytes(random));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = File::from(openat(&folder, &name, flags, Mode::from_raw_mode(0o640))?);
        Ok(Draft { folder, name, file, kept: false })
    }

    /// Bytes that are free for files (statvfs(3), `f_bavail`).
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(self.root()?)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Removes drafts that a process that is gone has left in a folder.
    pub(crate) fn sweep(&self, folder: &str) {
        let Ok(folder) = self.folder(&[folder.to_owned()], false) else { return };
        let Ok(entries) = Dir::read_from(&folder) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_bytes().starts_with(b".upload-") {
                let _ = rustix::fs::unlinkat(&folder, entry.file_name(), AtFlags::empty());
            }
        }
    }
}

/// What a name stands for; none: neither a file nor a folder.
fn look(folder: &OwnedFd, name: &str) -> io::Result<Option<Entry>> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_folder = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => false,
        FileType::Directory => true,
        _ => return Ok(None),
    };
    let ms =
        stat.st_mtime.saturating_mul(1_000).saturating_add(stat.st_mtime_nsec as i64 / 1_000_000);
    let size = if is_folder { 0 } else { u64::try_from(stat.st_size).unwrap_or(0) };
    Ok(Some(Entry { name: name.to_owned(), is_folder, size, modified: ms }))
}

/// A piece of a file that is to be read.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

impl Wish {
    /// Reads it, however long that takes; nothing if it is not there any more.
    pub(crate) fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        let n = self.file.read_at(&mut bytes, self.offset).unwrap_or_else(|e| {
            tracing::warn!("a file that is being sent cannot be read: {e}");
            0
        });
        bytes.truncate(n);
        bytes
    }

    /// The same, if it is in memory (preadv2(2), `RWF_NOWAIT`); none: the disk would be waited for,
    /// or the file system cannot tell.
    pub(crate) fn read_at_once(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let n = rustix::io::preadv2(&self.file, &mut pieces, self.offset, flags).ok()?;
        bytes.truncate(n);
        Some(bytes)
    }
}

/// A file that is being written and goes away again unless it is kept.
#[derive(Debug)]
pub(crate) struct Draft {
    folder: OwnedFd,
    name: String,
    pub(crate) file: File,
    kept: bool,
}

impl Draft {
    /// Writes it to the disk and gives it its name, which no other file may have.
    ///
    /// # Errors
    /// `AlreadyExists`; else what the kernel says.
    pub(crate) fn keep(mut self, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match renameat_with(&self.folder, &self.name, &self.folder, name, flags) {
            // File systems that do not know the flag: network shares, some FUSE.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.folder, &self.name, &self.folder, name, AtFlags::empty())?;
            }
            done => {
                done?;
                self.kept = true;
            }
        }
        Ok(rustix::fs::fsync(&self.folder)?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// The laws of paths, for a fuzzer: what is taken has only plain names, and is read back as itself.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_media_path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(path) = Beneath::parse(&text) else { return };
    assert_eq!(path.text(), text);
    let walked: PathBuf = Path::new("/media").join(path.text());
    assert!(walked.starts_with("/media"));
    let plain = |c: std::path::Component<'_>| {
        matches!(c, std::path::Component::Normal(_) | std::path::Component::RootDir)
    };
    assert!(walked.components().all(plain));
    assert_eq!(walked.components().count(), 2 + path.0.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> Beneath {
        Beneath::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn only_plain_paths_are_taken() {
        for good in ["", "a", "a/b.mp4", "Ä ö/ü", "a..b", "%2e%2e"] {
            assert!(Beneath::parse(good).is_some(), "{good}");
            fuzz_media_path(good.as_bytes());
        }
        let long = "x".repeat(256);
        let deep = ["a"; 17].join("/");
        for bad in [
            "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a\\b",
            "a\0", "a\nb", &long, &deep,
        ] {
            assert_eq!(Beneath::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_outside_is_reached() {
        let data = std::env::temp_dir().join(format!("lensd-media-{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("media/a")).unwrap();
        fs::write(data.join("secret"), "s").unwrap();
        fs::write(data.join("media/a/f"), "file").unwrap();
        symlink(data.join("secret"), data.join("media/a/link")).unwrap();
        symlink(&data, data.join("media/out")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            data.join("media/a/fifo"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let media = Media::new(&data);
        assert!(media.open(&path("a/f")).is_ok());
        for bad in ["a/link", "out/secret", "a", "a/fifo", "a/none", "a/f/x", ""] {
            assert!(media.open(&path(bad)).is_err(), "{bad}");
            assert!(media.remove(&path(bad)).is_err(), "{bad}");
        }
        assert!(media.list(&path("out")).is_err() && media.list(&path("a/f")).is_err());
        let names = |p: &str| {
            let entries = media.list(&path(p)).unwrap();
            entries.into_iter().map(|e| (e.name, e.is_folder, e.size)).collect::<Vec<_>>()
        };
        assert_eq!(names(""), [("a".to_owned(), true, 0)]);
        assert_eq!(names("a"), [("f".to_owned(), false, 4)]);

        let mut draft = media.draft("uploads").unwrap();
        draft.file.write_all(b"12").unwrap();
        assert!(names("uploads").is_empty(), "nobody sees a draft");
        draft.keep("x").unwrap();
        assert_eq!(names("uploads"), [("x".to_owned(), false, 2)]);
        let again = media.draft("uploads").unwrap().keep("x").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        drop(media.draft("uploads").unwrap());
        std::mem::forget(media.draft("uploads").unwrap());
        let count = || fs::read_dir(data.join("media/uploads")).unwrap().count();
        assert_eq!(count(), 2, "one is left, as after a crash");
        media.sweep("uploads");
        assert_eq!(count(), 1);
        media.remove(&path("uploads/x")).unwrap();
        fs::remove_dir_all(data).unwrap();
    }
}
