//! The data folder: made at the first start, with a TLS identity and the first user.

use lensd_control::accounts::Accounts;
use lensd_control::external;
use lensd_control::files;
use lensd_control::store::{Store, StoreError};
use lensd_ffi::time::utc_now;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What was found or made.
pub(crate) struct Prepared {
    /// The password that was made up for the first user, at the very first start.
    pub(crate) password: Option<Zeroizing<String>>,
    /// Streams of other servers that were added as cameras.
    pub(crate) added: Vec<String>,
    /// What the person who starts the server should know.
    pub(crate) notes: Vec<String>,
    /// Held as long as the server runs, so that no second one uses the folder.
    pub(crate) lock: File,
}

/// Prepares the folder.
///
/// # Errors
/// One line: what, where, what to do.
pub(crate) fn prepare(data: &Path, admin_password: Option<&str>) -> Result<Prepared, String> {
    for part in ["", "state", "tls", "run", "logs"] {
        make_folder(&data.join(part))?;
    }
    let lock = lock(data)?.ok_or_else(|| {
        format!(
            "another lensd uses the data folder {}; stop it, or choose another with --data DIR",
            data.display()
        )
    })?;
    // What the engine of an earlier run had found is not what there is now.
    let _ = fs::remove_file(data.join("run/cameras.json"));
    identity(data)?;
    let mut notes = Vec::new();
    // Often another disk, which may be missing: that is no reason not to serve pictures.
    let media = data.join("media");
    if let Err(e) = fs::DirBuilder::new().recursive(true).mode(0o700).create(&media) {
        notes.push(format!(
            "nothing can be recorded: the folder {} is not there: {e}",
            media.display()
        ));
    }
    let (password, added) = first_user(data, admin_password, &mut notes)?;
    Ok(Prepared { password, added, notes, lock })
}

pub(crate) fn make_folder(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        format!(
            "the data folder {} cannot be made: {e}; choose another with --data DIR",
            path.display()
        )
    })
}

/// The lock of whoever uses the folder; none if another process has it.
pub(crate) fn lock(data: &Path) -> Result<Option<File>, String> {
    let path = data.join("run/lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| {
            format!(
                "the data folder {} is not writable: {e}; choose another with --data DIR",
                data.display()
            )
        })?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}

/// Sees to it that there is a TLS identity.
pub(crate) fn identity(data: &Path) -> Result<(), String> {
    if data.join("tls/key.pem").exists() {
        return Ok(());
    }
    make_identity(&data.join("tls")).map_err(|e| format!("TLS identity: {e}"))
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
) -> Result<(Option<Zeroizing<String>>, Vec<String>), String> {
    let store = match Store::open(data) {
        Ok(store) => store,
        Err(e @ StoreError::InUse(_)) => return Err(e.to_string()),
        // The control plane meets the same and says what does not work then.
        Err(_) => return Ok((None, Vec::new())),
    };
    notes.extend(store.notes().iter().cloned());
    notes.extend(external::take_over(&store, data).err());
    let added = external::read(&store);
    let mut accounts = Accounts::new(Arc::new(store), false);
    let now_ms = utc_now().millis();
    notes.extend(accounts.take_over(data, now_ms));
    let password = accounts.ensure_admin(given, now_ms).map_err(|e| match given {
        Some(_) => format!("LENSD_ADMIN_PASSWORD: {e}"),
        None => format!("the first user: {e}"),
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
