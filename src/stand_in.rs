//! A folder in memory in place of a data folder on a disk that fails: a file system that went
//! read-only, is full, or has errors. The server runs, with the settings and users that can still
//! be read, and says what is lost when the machine is switched off. Recordings stay where they are.
//!
//! What a person has to mend, such as a path that does not exist or belongs to another user, is no
//! such case: the start is refused, as for any mistake in the configuration.

use rustix::io::Errno;
use rustix::process::geteuid;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

/// Most that is taken over of one file: memory is scarce.
const MAX_FILE: u64 = 64 << 20;

/// Whether an error is the disk's, not that of whoever named the folder.
pub(crate) fn is_disks(e: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull};
    matches!(e.kind(), ReadOnlyFilesystem | StorageFull | QuotaExceeded | StaleNetworkFileHandle)
        || [Errno::IO, Errno::NODEV, Errno::NXIO, Errno::UCLEAN]
            .iter()
            .any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

/// Where such folders may be, best first.
fn places() -> Vec<PathBuf> {
    // systemd names folders of its own for a service (RuntimeDirectory= in systemd.exec(5)).
    let own = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].map(std::env::var_os);
    let own: Vec<PathBuf> = own.iter().flatten().flat_map(std::env::split_paths).collect();
    let own = own.into_iter().filter(|path| path.is_absolute());
    own.chain(["/run".into(), "/dev/shm".into(), std::env::temp_dir()]).collect()
}

/// The name of the folder that stands in for another, the same at every start.
fn name(data: &Path) -> io::Result<String> {
    let path = std::path::absolute(data)?;
    let mut name = "lensd".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' => name.push('-'),
            b if b.is_ascii_alphanumeric() || b"._".contains(b) => name.push(char::from(*b)),
            b => name.push_str(&format!("%{b:02x}")),
        }
    }
    Ok(name)
}

/// Whether a folder is there, and nobody else can have put something into it.
fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o077 == 0
    })
}

/// The folder that stands in for another one, if there is one.
pub(crate) fn of(data: &Path) -> Option<PathBuf> {
    let name = name(data).ok()?;
    places().into_iter().map(|place| place.join(&name)).find(|path| is_ours(path))
}

/// Makes one, or finds that of an earlier start.
///
/// # Errors
/// What the last place lacked.
pub(crate) fn make(data: &Path) -> io::Result<PathBuf> {
    if let Some(path) = of(data) {
        return Ok(path);
    }
    let name = name(data)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in places() {
        // Whole or not at all: nobody finds one that is being filled.
        let (new, path) = (place.join(format!(".{name}.new")), place.join(&name));
        if is_ours(&new) {
            let _ = fs::remove_dir_all(&new);
        }
        match fill(&new, data).and_then(|()| fs::rename(&new, &path)) {
            Ok(()) => return Ok(path),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn fill(new: &Path, data: &Path) -> io::Result<()> {
    let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    make(new)?;
    for part in ["", "state", "tls"] {
        let to = new.join(part);
        if !part.is_empty() {
            make(&to)?;
        }
        // What cannot be read is as lost as the disk.
        for entry in fs::read_dir(data.join(part)).into_iter().flatten().flatten() {
            if entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE) {
                let _ = fs::copy(entry.path(), to.join(entry.file_name()));
            }
        }
    }
    symlink(std::path::absolute(data)?.join("media"), new.join("media"))
}

/// Removes it: the data folder is there again.
pub(crate) fn remove(data: &Path) {
    if let Some(path) = of(data)
        && let Err(e) = fs::remove_dir_all(&path)
    {
        tracing::warn!("{} stays behind: {e}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_their_folders_own() {
        let all = ["/a/b", "/a-b", "/a%2db", "/a b", "/a/b/c"].map(|p| name(Path::new(p)).unwrap());
        assert_eq!(all[0], "lensd-a-b");
        for (i, one) in all.iter().enumerate() {
            assert!(!one.contains('/') && all.iter().skip(i + 1).all(|other| other != one));
        }
        assert_eq!(name(Path::new("data")).unwrap(), name(Path::new("./data")).unwrap());
    }

    #[test]
    fn only_what_disks_do_is_stood_in_for() {
        let kinds = [Errno::ROFS, Errno::NOSPC, Errno::DQUOT, Errno::IO];
        assert!(kinds.iter().all(|e| is_disks(&(*e).into())));
        let not = [Errno::NOENT, Errno::NOTDIR, Errno::ACCESS, Errno::PERM, Errno::LOOP];
        assert!(!not.iter().any(|e| is_disks(&(*e).into())));
    }

    #[test]
    fn what_can_be_read_is_taken_over() {
        let root = std::env::temp_dir().join(format!("lensd-stand-in-{}", std::process::id()));
        let (data, new) = (root.join("data"), root.join("new"));
        fs::create_dir_all(data.join("state")).unwrap();
        fs::create_dir_all(data.join("media/recordings")).unwrap();
        fs::write(data.join("state/data.mdb"), "settings").unwrap();
        fs::write(data.join("catalog.db"), "recordings").unwrap();
        fill(&new, &data).unwrap();
        assert!(is_ours(&new) && new.join("tls").is_dir());
        assert_eq!(fs::read(new.join("state/data.mdb")).unwrap(), b"settings");
        assert_eq!(fs::read(new.join("catalog.db")).unwrap(), b"recordings");
        assert!(new.join("media/recordings").is_dir());
        fs::remove_dir_all(&new).unwrap();
        assert!(data.join("media/recordings").is_dir(), "the recordings are not in it");
        fs::remove_dir_all(&root).unwrap();
    }
}
