//! Packages: another version of the program, signed by the vendor.
//!
//! ```text
//! {"lensd-package":1,"version":"1.2.3","sha256":"…","signature":"…"}\n
//! the program's bytes
//! ```
//!
//! The signature (Ed25519, Base64) is over `lensd-package 1\nVERSION\nSHA256\n`, the hash in hex
//! over the bytes that follow the first line.

use super::is_signed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::auth::digest::hex;
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::update::Marker;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest package.
pub const MOST_BYTES: u64 = 256 << 20;
/// Longest first line.
const LONGEST_HEAD: u64 = 4096;
/// How long the new program may take to say what it is.
const PATIENCE: Nanos = Nanos::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "lensd-package")]
    form: u64,
    version: String,
    sha256: String,
    signature: String,
}

/// What the signature of a package is over.
pub fn message(version: &str, sha256: &str) -> String {
    format!("lensd-package 1\n{version}\n{sha256}\n")
}

/// The numbers of a version such as `1.2.3`.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split('.').map(|p| {
        let plain = !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| p.parse().ok()).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Puts the program of a package in the place of `binary`, with the old one beside it and the
/// marker in the data folder. Answers the new version. Whatever goes wrong, the old program is in
/// its place.
///
/// # Errors
/// Why not.
pub fn install(
    package: &Path,
    key: &[u8; 32],
    binary: &Path,
    data: &Path,
    running: &str,
) -> Result<String, String> {
    let file = File::open(package).map_err(|e| format!("the package cannot be read: {e}"))?;
    let mut reader = BufReader::new(file);
    let head = head(&mut reader, key)?;
    let newer = numbers(&head.version).zip(numbers(running)).is_some_and(|(new, old)| new > old);
    if !newer {
        return Err(format!("version {} is not newer than {running}, which runs", head.version));
    }
    let new = beside(binary, "new");
    let installed = unpack(&mut reader, &head.sha256, &new)
        .and_then(|()| try_out(&new, &head.version))
        .and_then(|()| switch(&new, binary, data, &head.version, running));
    if installed.is_err() {
        let _ = fs::remove_file(&new);
    }
    installed.map(|()| head.version)
}

/// A file of the same folder, so that it can be renamed to the program.
fn beside(binary: &Path, what: &str) -> PathBuf {
    let mut name = binary.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    binary.with_file_name(name)
}

fn head(reader: &mut BufReader<File>, key: &[u8; 32]) -> Result<Head, String> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(LONGEST_HEAD).read_until(b'\n', &mut line);
    let none = || "this is no package of lensd".to_owned();
    read.map_err(|e| e.to_string())?;
    let head: Head = serde_json::from_slice(&line).map_err(|_| none())?;
    if head.form != 1 {
        return Err("the package is for a newer lensd".to_owned());
    }
    let signature = STANDARD.decode(&head.signature).map_err(|_| none())?;
    if !is_signed(key, message(&head.version, &head.sha256).as_bytes(), &signature) {
        return Err("the package is not signed by the vendor".to_owned());
    }
    Ok(head)
}

fn unpack(reader: &mut BufReader<File>, sha256: &str, new: &Path) -> Result<(), String> {
    let fail = |e: io::Error| format!("{}: {e}", new.display());
    let _ = fs::remove_file(new);
    let mut out = File::create(new).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = reader.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        out.write_all(&buffer[..n]).map_err(fail)?;
    }
    if hex(&hash.finalize()) != sha256 {
        return Err("the package is damaged: its hash is another".to_owned());
    }
    out.set_permissions(fs::Permissions::from_mode(0o755)).map_err(fail)?;
    out.sync_all().map_err(fail)
}

/// The new program must at least start here and say that it is what the package says.
fn try_out(new: &Path, version: &str) -> Result<(), String> {
    let said = new.with_extension("said");
    let outcome = try_into(new, &said);
    let text = fs::read_to_string(&said).unwrap_or_default();
    let _ = fs::remove_file(&said);
    outcome?;
    let first = text.lines().next().unwrap_or_default();
    if first == format!("lensd {version}") {
        return Ok(());
    }
    let first: String = first.chars().take(60).collect();
    Err(format!("the new program says that it is {first:?}, not lensd {version}"))
}

fn try_into(new: &Path, said: &Path) -> Result<(), String> {
    let fail = |e: io::Error| format!("the new program does not start here: {e}");
    let end = now().plus(PATIENCE);
    let mut child = loop {
        let out = File::create(said).map_err(fail)?;
        let started = Command::new(new)
            .arg("version")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn();
        match started {
            // A process that was forked while the file was written holds it for a moment.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            started => break started.map_err(fail)?,
        }
    };
    loop {
        match child.try_wait().map_err(fail)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("the new program does not work here: {status}")),
            None if now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("the new program does not say what it is".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn switch(new: &Path, binary: &Path, data: &Path, to: &str, from: &str) -> Result<(), String> {
    let old = beside(binary, "old");
    let _ = fs::remove_file(&old);
    let fail = |e: io::Error| format!("{} cannot be replaced: {e}", binary.display());
    // A second name for the old program: it is never away.
    fs::hard_link(binary, &old).map_err(fail)?;
    let marker = Marker {
        binary: binary.to_owned(),
        old,
        from: from.to_owned(),
        to: to.to_owned(),
        tries: 0,
    };
    // First, so that no power failure leaves a new program that nobody watches.
    marker.leave(data).map_err(fail)?;
    let renamed = fs::rename(new, binary);
    if let Err(e) = renamed {
        let _ = marker.roll_back(data, "it could not be put in place");
        return Err(fail(e));
    }
    let folder = binary.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|f| f.sync_all()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        assert!(numbers("0.10.0") > numbers("0.9.9") && numbers("1.0.0") > numbers("0.10.0"));
        for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.-2.3", "1.2.3-rc1", "99999999999.0.0"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }
}
