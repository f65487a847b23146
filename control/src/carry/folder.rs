//! Copies in a folder of the machine, on which a share is mounted (SMB, NFS, FUSE).
//!
//! The folder is opened once per file and all names are looked up from there: what is unmounted
//! meanwhile takes the copy with it, and nothing is written to the disk below. A copy has its name
//! when all of it is there and was read back.

use super::pace::{Pace, Standing, Trouble};
use super::plan::Guard;
use crate::media::Beneath;
use rustix::fs::{Advice, AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, mkdirat, openat};
use rustix::fs::{fadvise, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file that says that a folder is ours.
pub(crate) const MARKER: &str = ".lensd-storage";
/// Where copies are until they are whole.
const PARTS: &str = ".lensd-parts";
/// Bytes that are copied before it is asked whether to go on.
const PIECE: usize = 256 * 1024;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    path: PathBuf,
    guard: Guard,
    /// What parts of this server are called: others may use the same folder.
    owner: String,
}

/// A file's bytes in a hash, in hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Share {
    pub(crate) const fn new(path: PathBuf, guard: Guard, owner: String) -> Self {
        Self { path, guard, owner }
    }

    /// Opens the folder, if it is what it should be.
    fn open(&self, pace: &Pace) -> Result<OwnedFd, Trouble> {
        pace.step(|| self.open_now())
    }

    fn open_now(&self) -> Result<OwnedFd, Trouble> {
        let shown = self.path.display();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|e| Trouble::of(&format!("{shown}"), &e.into()))?;
        let gone = |why: String| Err(Trouble::Storage(Standing::Unreachable, why));
        match self.guard {
            Guard::None => {}
            Guard::Mount => {
                let there =
                    is_mounted(&self.path).map_err(|e| Trouble::of(&format!("{shown}"), &e))?;
                if !there {
                    return gone(format!("nothing is mounted at {shown}"));
                }
            }
            Guard::Marker => match statat(&folder, MARKER, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => {}
                Err(Errno::NOENT) => {
                    return gone(format!(
                        "{shown} has no {MARKER}: what is meant is not mounted, or it was not \
                         marked yet (POST /api/network-storage/test with \"mark\": true)"
                    ));
                }
                Err(e) => return Err(Trouble::of(&format!("{shown}"), &e.into())),
            },
        }
        Ok(folder)
    }

    /// Removes parts that a process that is gone has left.
    pub(crate) fn sweep(&self, pace: &Pace) -> Result<(), Trouble> {
        let folder = self.open(pace)?;
        let swept = pace.step(|| -> io::Result<()> {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let parts = match openat(&folder, PARTS, flags, Mode::empty()) {
                Err(Errno::NOENT) => return Ok(()),
                parts => parts?,
            };
            for entry in Dir::read_from(&parts)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy();
                if name.strip_prefix(&self.owner).is_some_and(|rest| rest.starts_with('-')) {
                    unlinkat(&parts, entry.file_name(), AtFlags::empty())?;
                }
            }
            Ok(())
        });
        swept.map_err(|e| Trouble::of("what was left of copies", &e))
    }

    /// Copies a file. `sha256`: as the catalogue has it. `wanted` is asked before the copy gets its
    /// name.
    ///
    /// # Errors
    /// Why it is not there.
    pub(crate) fn put(
        &self,
        pace: &mut Pace,
        from: &mut File,
        name: &str,
        sha256: Option<&str>,
        verify: bool,
        wanted: &mut dyn FnMut() -> Result<(), Trouble>,
    ) -> Result<u64, Trouble> {
        let path = Beneath::parse(name).filter(|path| path.name().is_some());
        let path = path.ok_or_else(|| Trouble::File(format!("{name:?} is no name of a file")))?;
        let base = self.open(pace)?;
        let at = |what: &str| format!("{}/{what}", self.path.display());
        let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
        let to = pace.step(|| walk(&base, folders)).map_err(|e| Trouble::of(&at(folders), &e))?;
        let parts = pace.step(|| walk(&base, PARTS)).map_err(|e| Trouble::of(&at(PARTS), &e))?;
        debug_assert_eq!(path.name(), Some(file));

        if let Some(there) =
            self.existing(pace, &to, file).map_err(|e| Trouble::of(&at(name), &e))?
        {
            return self.same(pace, there, from, &at(name));
        }
        let part = format!("{}-{file}", self.owner);
        let done = self.write(pace, from, &parts, &part, sha256, verify).and_then(|size| {
            wanted()?;
            pace.step(|| give_name(&parts, &part, &to, file)).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => Trouble::File(taken(&at(name))),
                _ => Trouble::of(&at(name), &e),
            })?;
            Ok(size)
        });
        if done.is_err() && !pace.shared.is_over() {
            let _ = pace.step(|| unlinkat(&parts, &part, AtFlags::empty()));
        }
        done
    }

    /// A regular file of this name.
    fn existing(&self, pace: &Pace, to: &OwnedFd, file: &str) -> io::Result<Option<File>> {
        pace.step(|| match openat(to, file, reading(), Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            opened => Ok(Some(File::from(opened?))),
        })
    }

    /// A file is there already: from before a crash, if it is the same.
    fn same(
        &self,
        pace: &mut Pace,
        mut there: File,
        from: &mut File,
        shown: &str,
    ) -> Result<u64, Trouble> {
        let own = from.metadata().map_err(|e| Trouble::File(e.to_string()))?;
        let found = pace.step(|| there.metadata()).map_err(|e| Trouble::of(shown, &e))?;
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            // By whatever path: it would count as copied, and be removed here.
            let why = format!(
                "{} is the folder of the recordings themselves: choose another",
                self.path.display()
            );
            return Err(Trouble::Storage(Standing::Error, why));
        }
        let size = own.len();
        if found.len() == size {
            let theirs = read_through(pace, &mut there).map_err(|e| e.at(shown))?;
            let mut ours = Sha256::new();
            io::copy(from, &mut ours).map_err(|e| Trouble::File(e.to_string()))?;
            if theirs == hex(ours) {
                pace.note(size);
                return Ok(size);
            }
        }
        Err(Trouble::File(taken(shown)))
    }

    fn write(
        &self,
        pace: &mut Pace,
        from: &mut File,
        parts: &OwnedFd,
        part: &str,
        sha256: Option<&str>,
        verify: bool,
    ) -> Result<u64, Trouble> {
        let shown = format!("{}/{PARTS}/{part}", self.path.display());
        let wrong = |e: io::Error| Trouble::of(&shown, &e);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Always a new one: a thread that was given up may still write to the last.
        let file = pace.step(|| {
            let _ = unlinkat(parts, part, AtFlags::empty());
            openat(parts, part, flags, Mode::from_raw_mode(0o640))
        });
        let mut file = File::from(file.map_err(|e| wrong(e.into()))?);
        let (mut hash, mut piece, mut size) = (Sha256::new(), vec![0; PIECE], 0);
        loop {
            let count = from.read(&mut piece).map_err(|e| Trouble::File(format!("here: {e}")))?;
            if count == 0 {
                break;
            }
            pace.spend(count)?;
            pace.step(|| file.write_all(&piece[..count])).map_err(wrong)?;
            hash.update(&piece[..count]);
            size += count as u64;
            pace.note(count as u64);
        }
        let ours = hex(hash);
        if sha256.is_some_and(|known| known != ours) {
            let why = "the file here is not what was recorded: its SHA-256 has become another";
            return Err(Trouble::File(why.to_owned()));
        }
        // A close tells what a share could not keep, as well as this does.
        pace.step(|| file.sync_all()).map_err(wrong)?;
        drop(file);
        let back = pace.step(|| openat(parts, part, reading(), Mode::empty()));
        let mut back = File::from(back.map_err(|e| wrong(e.into()))?);
        let length = pace.step(|| back.metadata()).map_err(wrong)?.len();
        if length != size {
            return Err(Trouble::File(format!("{shown} has {length} bytes, not {size}")));
        }
        if verify && read_through(pace, &mut back).map_err(|e| e.at(&shown))? != ours {
            return Err(Trouble::File(format!("{shown} reads back as another file")));
        }
        Ok(size)
    }

    /// Writes a small file, reads it back, removes it; with `mark` the folder is marked as ours.
    ///
    /// # Errors
    /// What does not work.
    pub(crate) fn test(&self, pace: &mut Pace, mark: bool) -> Result<(), Trouble> {
        if mark {
            let unguarded = Self { guard: Guard::None, ..self.clone() };
            let folder = unguarded.open(pace)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            pace.step(|| openat(&folder, MARKER, flags, Mode::from_raw_mode(0o644)))
                .map_err(|e| Trouble::of(MARKER, &e.into()))?;
        }
        let folder = self.open(pace)?;
        let name = format!(".lensd-test-{}", self.owner);
        let wrong = |e: io::Error| Trouble::of("the test", &e);
        let words = b"lensd tests this storage\n";
        let done = pace.step(|| -> io::Result<Vec<u8>> {
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::TRUNC
                | OFlags::CLOEXEC
                | OFlags::NOFOLLOW;
            let mut file = File::from(openat(&folder, &name, flags, Mode::from_raw_mode(0o640))?);
            file.write_all(words)?;
            file.sync_all()?;
            let mut back = Vec::new();
            let file = File::from(openat(&folder, &name, reading(), Mode::empty())?);
            file.take(1024).read_to_end(&mut back)?;
            Ok(back)
        });
        let removed = pace.step(|| unlinkat(&folder, &name, AtFlags::empty()));
        if done.map_err(wrong)? != words {
            let why = "what is written reads back as something else".to_owned();
            return Err(Trouble::Storage(Standing::Error, why));
        }
        removed.map_err(|e| wrong(e.into()))
    }
}

fn taken(shown: &str) -> String {
    format!("{shown} is another file: each server needs a folder of its own")
}

const fn reading() -> OFlags {
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK)
}

/// Opens a folder below another one, and makes what is missing. No link is followed.
fn walk(base: &OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut folder = openat(base, ".", flags, Mode::empty())?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        folder = match openat(&folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                openat(&folder, name, flags, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(folder)
}

/// Gives a part its name, which no other file may have.
fn give_name(parts: &OwnedFd, part: &str, to: &OwnedFd, file: &str) -> io::Result<()> {
    match renameat_with(parts, part, to, file, RenameFlags::NOREPLACE) {
        // Shares that do not know the flag. Who else writes here has other names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if statat(to, file, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            renameat(parts, part, to, file)?;
        }
        done => done?,
    }
    match rustix::fs::fsync(to) {
        // Shares whose folders cannot be synchronized.
        Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => Ok(()),
        done => Ok(done?),
    }
}

/// Reading what is there went wrong.
enum Unread {
    Io(io::Error),
    Trouble(Trouble),
}

impl Unread {
    fn at(self, shown: &str) -> Trouble {
        match self {
            Self::Io(e) => Trouble::of(shown, &e),
            Self::Trouble(trouble) => trouble,
        }
    }
}

/// SHA-256 of a file, from the storage and not from memory where the kernel can tell these apart.
fn read_through(pace: &mut Pace, file: &mut File) -> Result<String, Unread> {
    let _ = pace.step(|| fadvise(&*file, 0, None, Advice::DontNeed));
    let (mut hash, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        pace.go_on().map_err(Unread::Trouble)?;
        let count = pace.step(|| file.read(&mut piece)).map_err(Unread::Io)?;
        if count == 0 {
            return Ok(hex(hash));
        }
        hash.update(&piece[..count]);
    }
}

/// Whether a folder, or one above it but the root, is where something is mounted.
fn is_mounted(path: &Path) -> io::Result<bool> {
    let path = path.canonicalize()?;
    let mut below = path.metadata()?;
    if FileType::from_raw_mode(below.mode()) != FileType::Directory {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    for above in path.ancestors().skip(1) {
        let folder = above.metadata()?;
        if folder.dev() != below.dev() {
            return Ok(true);
        }
        below = folder;
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
