//! The data folder: made at the first start, with a TLS identity and the first user.

use lensd_ffi::auth::{REALM, Role, User, Users};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The user that exists from the start.
pub(crate) const ADMIN: &str = "admin";

/// What was found or made.
pub(crate) struct Prepared {
    /// The password that was made up for the first user, at the very first start.
    pub(crate) password: Option<String>,
    /// Held as long as the server runs, so that no second one uses the folder.
    _lock: File,
}

/// Prepares the folder.
///
/// # Errors
/// One line: what, where, what to do.
pub(crate) fn prepare(data: &Path, admin_password: Option<&str>) -> Result<Prepared, String> {
    for part in ["", "state", "tls", "run", "logs", "media"] {
        make_folder(&data.join(part))?;
    }
    let lock = lock(data)?;
    if !data.join("tls/key.pem").exists() {
        make_identity(&data.join("tls")).map_err(|e| format!("TLS identity: {e}"))?;
    }
    let password = first_user(&data.join("state/users.json"), admin_password)?;
    Ok(Prepared { password, _lock: lock })
}

fn make_folder(path: &Path) -> Result<(), String> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        format!(
            "the data folder {} cannot be made: {e}; choose another with --data DIR",
            path.display()
        )
    })
}

fn lock(data: &Path) -> Result<File, String> {
    let path = data.join("run/lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(|e| {
            format!(
                "the data folder {} is not writable: {e}; choose another with --data DIR",
                data.display()
            )
        })?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        format!(
            "another lensd uses the data folder {}; stop it, or choose another with --data DIR",
            data.display()
        )
    })?;
    Ok(file)
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

/// Makes the first user, or sets its password to the given one.
fn first_user(path: &Path, given: Option<&str>) -> Result<Option<String>, String> {
    let fail = |e: &dyn std::fmt::Display| format!("the users' table {}: {e}", path.display());
    let mut users: Users = match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(&e))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Users::default(),
        Err(e) => return Err(fail(&e)),
    };
    let fresh = users.users.is_empty();
    let made = match given {
        Some(_) => None,
        None if fresh => Some(make_password().map_err(|e| fail(&e))?),
        None => return Ok(None),
    };
    let password = given.or(made.as_deref()).unwrap_or_default();
    if password.len() < 8 {
        return Err("LENSD_ADMIN_PASSWORD must have at least 8 characters".to_owned());
    }
    users.users.retain(|u| u.name != ADMIN);
    users.users.insert(0, User::new(ADMIN, Role::Administrator, REALM, password));
    let bytes = serde_json::to_vec_pretty(&users).map_err(|e| fail(&e))?;
    write_new(path, &bytes, 0o600).map_err(|e| fail(&e))?;
    Ok(made)
}

/// 96 random bits in letters and digits that are hard to mistake for each other.
fn make_password() -> io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";
    let mut bytes = [0; 20];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|b| char::from(LETTERS[usize::from(b % 31)])).collect())
}

/// Replaces a file as a whole: a crash leaves the old or the new one.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A leftover could be readable by others.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for secret in ["tls/key.pem", "state/users.json"] {
            let mode = fs::metadata(path.join(secret)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{secret}");
        }
        let stored = fs::read_to_string(path.join("state/users.json")).unwrap();
        assert!(!stored.contains(&password));
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
