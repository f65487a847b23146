//! The data folder: made at the first start, with a TLS identity and the first user.

use crate::stand_in;
use lensd_control::accounts::{Accounts, Refusal};
use lensd_control::external;
use lensd_control::files;
use lensd_control::store::{Store, StoreError};
use lensd_ffi::time::utc_now;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// How much a disk must take at the very first start, in bytes.
const FIRST: usize = 512 << 10;

/// What was found or made.
pub(crate) struct Prepared {
    /// The folder: the given one, or what stands in for it.
    pub(crate) data: PathBuf,
    /// The password that was made up for the first user, at the very first start.
    pub(crate) password: Option<Zeroizing<String>>,
    /// Streams of other servers that were added as cameras.
    pub(crate) added: Vec<String>,
    /// What the person who starts the server should know.
    pub(crate) notes: Vec<String>,
    /// What whoever uses it should know: the disk fails.
    pub(crate) trouble: Option<String>,
    /// Held as long as the server runs, so that no second one uses the folder.
    pub(crate) lock: File,
}

/// Why a folder cannot be used, in one line: what, where, what to do.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) why: String,
    /// It is the disk.
    disk: bool,
}

impl Unfit {
    fn io(e: &io::Error, what: String) -> Self {
        let why = format!("{what}: {e}; choose another with --data DIR");
        Self { why, disk: stand_in::is_disks(e) }
    }

    const fn other(why: String) -> Self {
        Self { why, disk: false }
    }
}

/// Prepares the folder, or one in its place when its disk fails.
///
/// # Errors
/// One line: what, where, what to do.
pub(crate) fn prepare(data: &Path, admin_password: Option<&str>) -> Result<Prepared, String> {
    let why = match prepare_in(data, admin_password) {
        Ok(prepared) => {
            stand_in::remove(data);
            return Ok(prepared);
        }
        Err(Unfit { why, disk: false }) => return Err(why),
        Err(Unfit { why, .. }) => why,
    };
    let place =
        stand_in::make(data).map_err(|e| format!("{why} (nor is there room in memory: {e})"))?;
    let mut prepared = prepare_in(&place, admin_password).map_err(|unfit| unfit.why)?;
    prepared.trouble = Some(format!(
        "{why}. Until then {} is used: what is set now is gone when the machine is \
         switched off, or when the folder can be used again",
        place.display()
    ));
    Ok(prepared)
}

fn prepare_in(data: &Path, admin_password: Option<&str>) -> Result<Prepared, Unfit> {
    for part in ["", "state", "tls", "run", "logs"] {
        make_folder(&data.join(part))?;
    }
    let lock = lock(data)?.ok_or_else(|| {
        Unfit::other(format!(
            "another lensd uses the data folder {}; stop it, or choose another with --data DIR",
            data.display()
        ))
    })?;
    let trouble = probe(data)?;
    // What the engine of an earlier run had found is not what there is now.
    let _ = fs::remove_file(data.join("run/cameras.json"));
    identity(data)?;
    let mut notes = Vec::new();
    // Often another disk, which may be missing: that is no reason not to serve pictures.
    let media = data.join("media");
    if let Err(e) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&media) {
        // In a stand-in it is a link to where the recordings are.
        let (path, why) = match fs::read_link(&media) {
            Ok(target) => (target, String::new()),
            Err(_) => (media, format!(": {e}")),
        };
        notes.push(format!("nothing can be recorded: {} is not there{why}", path.display()));
    }
    let (password, added) = first_user(data, admin_password, &mut notes)?;
    Ok(Prepared { data: data.to_owned(), password, added, notes, trouble, lock })
}

/// Whether the disk takes what has to be written. One that is full is good enough for settings that
/// are there already; then this says so.
fn probe(data: &Path) -> Result<Option<String>, Unfit> {
    let kept = data.join("state/data.mdb").exists();
    let path = data.join("run/probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; if kept { 4096 } else { FIRST }])?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    match written {
        Err(e) if kept && e.kind() == io::ErrorKind::StorageFull => Ok(Some(format!(
            "the disk of the data folder {} is full: what is set before there is room holds \
             until the next restart only",
            data.display()
        ))),
        Err(e) => {
            Err(Unfit::io(&e, format!("the data folder {} cannot be written", data.display())))
        }
        Ok(()) => Ok(None),
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<(), Unfit> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Unfit::io(&e, format!("the data folder {} cannot be made", path.display())))
}

/// The lock of whoever uses the folder; none if another process has it.
pub(crate) fn lock(data: &Path) -> Result<Option<File>, Unfit> {
    let path = data.join("run/lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| {
        Unfit::io(&e, format!("the data folder {} is not writable", data.display()))
    })?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}

/// The folder that a server on a data folder uses: itself, or what stands in for it now.
pub(crate) fn used(data: &Path) -> PathBuf {
    let stand_in = stand_in::of(data).filter(|place| matches!(lock(place), Ok(None)));
    stand_in.unwrap_or_else(|| data.to_owned())
}

/// Sees to it that there is a TLS identity.
pub(crate) fn identity(data: &Path) -> Result<(), Unfit> {
    if data.join("tls/key.pem").exists() {
        return Ok(());
    }
    make_identity(&data.join("tls")).map_err(|e| {
        let disk = e.downcast_ref::<io::Error>().is_some_and(stand_in::is_disks);
        Unfit { why: format!("TLS identity: {e}"), disk }
    })
}

/// A self-signed certificate for this machine's names.
fn make_identity(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !host.trim().is_empty() {
        names.push(host.trim().to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "lensd");
    params.distinguished_name = subject;
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write_new(&folder.join("cert.pem"), certificate.pem().as_bytes(), 0o644)?;
    write_new(&folder.join("key.pem"), key.serialize_pem().as_bytes(), 0o600)?;
    Ok(())
}

/// Makes the first user, or sets its password to the given one, and reads which streams of other
/// servers were added as cameras. The store is open for that moment
/// only: from then on it is the control plane's. One that cannot be used is no reason not to serve
/// pictures.
pub(crate) fn first_user(
    data: &Path,
    given: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(Option<Zeroizing<String>>, Vec<String>), Unfit> {
    let store = match Store::open(data) {
        Ok(store) => store,
        Err(e @ StoreError::InUse(_)) => return Err(Unfit::other(e.to_string())),
        Err(e @ StoreError::NoRoom(_)) => return Err(Unfit { why: e.to_string(), disk: true }),
        // The control plane meets the same and says what does not work then.
        Err(_) => return Ok((None, Vec::new())),
    };
    notes.extend(store.notes().iter().cloned());
    notes.extend(external::take_over(&store, data).err());
    let added = external::read(&store);
    let mut accounts = Accounts::new(Arc::new(store), false);
    let now_ms = utc_now().millis();
    notes.extend(accounts.take_over(data, now_ms));
    let password = accounts.ensure_admin(given, now_ms).map_err(|e| Unfit {
        why: match given {
            Some(_) => format!("LENSD_ADMIN_PASSWORD: {e}"),
            None => format!("the first user: {e}"),
        },
        disk: matches!(e, Refusal::Store(StoreError::NoRoom(_))),
    })?;
    Ok((password, added))
}

/// Replaces a file as a whole: a crash leaves the old or the new one.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    files::replace(path, bytes, mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("lensd-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn the_first_start_makes_everything_and_the_second_nothing() {
        let path = folder("first");
        let first = prepare(&path, None).unwrap();
        let password = first.password.clone().unwrap();
        assert_eq!(password.len(), 20);
        for secret in ["tls/key.pem", "state/data.mdb", "state/device.key"] {
            let mode = fs::metadata(path.join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        let stored = fs::read(path.join("state/data.mdb")).unwrap();
        assert!(!stored.windows(password.len()).any(|w| w == password.as_bytes()));
        let busy = prepare(&path, None).err().unwrap();
        assert!(busy.starts_with("another lensd uses"), "{busy}");
        drop(first);
        assert!(prepare(&path, None).unwrap().password.is_none());
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let why = prepare(Path::new("/proc/lensd"), None).err().unwrap();
        assert!(why.contains("/proc/lensd") && why.contains("--data"), "{why}");
    }
}
