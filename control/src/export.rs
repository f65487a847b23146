//! Recordings copied to a medium that can be taken out: a USB stick, a card.
//!
//! Only what the kernel calls removable and has mounted is a target, and it is looked at once more
//! after it was opened: a stick that was pulled out leaves a folder behind that is on another disk.

use crate::media::{Beneath, Media};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

/// The folder on the medium.
const FOLDER: &str = "lensd";
/// Bytes that are copied before it is asked whether to go on.
const PIECE: usize = 1 << 20;
/// Longest table of mounts that is read.
const MAX_MOUNTS: usize = 1 << 20;

/// A medium that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name of its device, such as `sdb1`.
    pub(crate) name: String,
    /// Where it is mounted.
    pub(crate) path: PathBuf,
    /// Major and minor number of its device.
    device: (u32, u32),
}

impl Target {
    /// Opens its folder for our files. It must be on the device: nothing is written to the disk
    /// below a medium that is gone.
    fn folder(&self) -> io::Result<PathBuf> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the medium is gone");
        let here = |path: &Path| {
            let of = fs::symlink_metadata(path)?;
            let device = (rustix::fs::major(of.dev()), rustix::fs::minor(of.dev()));
            if of.is_dir() && device == self.device { Ok(()) } else { Err(gone()) }
        };
        here(&self.path)?;
        let folder = self.path.join(FOLDER);
        match fs::create_dir(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        here(&folder)?;
        Ok(folder)
    }

    /// As clients see it.
    pub(crate) fn value(&self) -> Value {
        let stat = rustix::fs::statvfs(&self.path).ok();
        let free = stat.map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        json!({ "name": self.name, "path": self.path, "free": free })
    }
}

/// The media that are there. `proc` and `sys` are where proc(5) and sysfs(5) are.
pub(crate) fn targets(proc: &Path, sys: &Path) -> Vec<Target> {
    let Ok(file) = File::open(proc.join("self/mountinfo")) else { return Vec::new() };
    let mut text = String::new();
    if file.take(MAX_MOUNTS as u64).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    text.lines().filter_map(mounted).filter(|target| is_removable(sys, target)).collect()
}

/// A line of mountinfo (proc_pid_mountinfo(5)): what is mounted to be written.
fn mounted(line: &str) -> Option<Target> {
    let (mount, source) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(2);
    let (major, minor) = fields.next()?.split_once(':')?;
    // Only a whole file system: what is bound elsewhere is named there, too.
    let (root, path, options) = (fields.next()?, fields.next()?, fields.next()?);
    let device = source.split(' ').nth(1)?;
    if root != "/" || !options.split(',').any(|option| option == "rw") {
        return None;
    }
    let name = device.rsplit('/').next()?.to_owned();
    let device = (major.parse().ok()?, minor.parse().ok()?);
    Some(Target { name, path: PathBuf::from(unescape(path)?), device })
}

/// Blanks and backslashes stand as `\040` and the like.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()?);
    }
    String::from_utf8(out).ok()
}

/// sysfs says it of the disk, of which the device may be a part.
fn is_removable(sys: &Path, target: &Target) -> bool {
    let (major, minor) = target.device;
    let device = sys.join(format!("dev/block/{major}:{minor}"));
    let Ok(device) = fs::canonicalize(device) else { return false };
    let disk = if device.join("partition").exists() { device.parent() } else { Some(&*device) };
    let says = disk.and_then(|disk| fs::read_to_string(disk.join("removable")).ok());
    says.is_some_and(|text| text.trim() == "1")
}

/// A file to be copied.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: i64,
    /// Relative to the media folder.
    pub(crate) filename: String,
}

/// How far an export is.
#[derive(Debug, Default, Clone)]
struct Progress {
    running: bool,
    target: String,
    files: usize,
    done: usize,
    bytes: u64,
    failed: Vec<(i64, String)>,
}

/// The export that runs, or ran last.
#[derive(Debug, Default)]
pub(crate) struct Export {
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
}

impl Export {
    /// As clients see it.
    pub(crate) fn value(&self) -> Value {
        let p = self.progress.lock().clone();
        let failed: Vec<Value> =
            p.failed.iter().map(|(id, why)| json!({ "id": id, "reason": why })).collect();
        json!({
            "running": p.running,
            "target": p.target,
            "files": p.files,
            "done": p.done,
            "bytes": p.bytes,
            "failed": failed,
        })
    }

    /// Begins one on a thread of its own. False: another one runs.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn begin(&self, media: Media, target: Target, items: Vec<Item>) -> io::Result<bool> {
        let mut progress = self.progress.lock();
        if progress.running {
            return Ok(false);
        }
        let (all, stop) = (Arc::clone(&self.progress), Arc::clone(&self.stop));
        let name = target.name.clone();
        let files = items.len();
        let job = move || {
            for item in items {
                let copied = copy(&media, &target, &item.filename, &stop, &mut |bytes| {
                    all.lock().bytes += bytes;
                });
                let mut progress = all.lock();
                match copied {
                    Ok(()) => progress.done += 1,
                    Err(e) => progress.failed.push((item.id, e.to_string())),
                }
            }
            all.lock().running = false;
        };
        Builder::new().name("export".to_owned()).spawn(job)?;
        *progress = Progress { running: true, target: name, files, ..Progress::default() };
        Ok(true)
    }
}

impl Drop for Export {
    /// The thread ends with its piece; a medium that hangs is not waited for.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Copies a file, which has its name only when all of it is on the medium. One that is there with
/// the same size is not copied again.
fn copy(
    media: &Media,
    target: &Target,
    filename: &str,
    stop: &AtomicBool,
    tell: &mut impl FnMut(u64),
) -> io::Result<()> {
    let path = Beneath::parse(filename).ok_or(io::ErrorKind::NotFound)?;
    let mut from = media.open(&path)?;
    let folder = target.folder()?;
    let to = folder.join(path.name().unwrap_or_default());
    let size = from.metadata()?.len();
    match fs::symlink_metadata(&to) {
        Ok(there) if there.is_file() && there.len() == size => return Ok(()),
        Ok(_) => {
            let why = format!("{} is another file: move it away", to.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Err(_) => {}
    }
    let part = folder.join(".lensd-part");
    let _ = fs::remove_file(&part);
    let copied = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        let mut piece = vec![0; PIECE];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the server stops"));
            }
            let n = from.read(&mut piece)?;
            if n == 0 {
                break;
            }
            file.write_all(&piece[..n])?;
            tell(n as u64);
        }
        file.sync_all()?;
        fs::rename(&part, &to)?;
        File::open(&folder)?.sync_all()
    })();
    if copied.is_err() {
        let _ = fs::remove_file(&part);
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo() {
        let line = "36 35 8:17 / /media/my\\040stick rw,noatime shared:1 - vfat /dev/sdb1 rw";
        let target = mounted(line).unwrap();
        assert_eq!((&*target.name, target.device), ("sdb1", (8, 17)));
        assert_eq!(target.path, Path::new("/media/my stick"));
        for bad in [
            "",
            "36 35 8:17 / /x ro,noatime - vfat /dev/sdb1 rw",
            "36 35 8:17 /sub /x rw - vfat /dev/sdb1 rw",
            "36 35 8 / /x rw - vfat /dev/sdb1 rw",
            "36 35 8:17 / /x\\04 rw - vfat /dev/sdb1 rw",
            "36 35 8:17 / /x rw vfat /dev/sdb1 rw",
        ] {
            assert_eq!(mounted(bad), None, "{bad}");
        }
    }
}
