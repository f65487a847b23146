//! Streams of other servers that were taken up as cameras: `DATA/state/cameras.json`, a list of URLs
//! that the engine reads at its start. There are passwords in it, so it is its owner's alone.

use crate::files;
use crate::http::respond::redact;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Most streams that can be added.
const MOST: usize = 16;
/// Longest URL.
pub(crate) const LONGEST: usize = 512;

/// Name and password of a user of another server.
pub(crate) type Login = (String, Zeroizing<String>);

/// Where the list is.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join("state/cameras.json")
}

/// Whether an address can be that of a camera whose stream is pulled.
pub(crate) fn is_stream(uri: &str) -> bool {
    let rest = uri.strip_prefix("rtsp://");
    let plain = uri.len() <= LONGEST && uri.bytes().all(|b| b.is_ascii_graphic());
    plain && rest.is_some_and(|r| !r.is_empty() && !r.starts_with('/'))
}

/// With a name and a password in it.
pub(crate) fn with_login(uri: &str, (user, password): &Login) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encode = |text: &str| -> String {
        let one = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
        text.bytes().map(one).collect()
    };
    match uri.strip_prefix("rtsp://") {
        Some(rest) if !rest.split('/').next().unwrap_or_default().contains('@') => {
            format!("rtsp://{}:{}@{rest}", encode(user), encode(password))
        }
        _ => uri.to_owned(),
    }
}

/// The address of a stream without who asks for it.
fn bare(url: &str) -> String {
    redact(url).replace("***@", "")
}

fn read(path: &Path) -> Vec<String> {
    let known = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    known.unwrap_or_default()
}

fn write(path: &Path, all: Vec<String>) -> Result<(), String> {
    let text = Value::from(all).to_string();
    files::replace(path, text.as_bytes(), 0o600).map_err(|e| format!("{}: {e}", path.display()))
}

/// The list as an export has it: addresses without and with who asks for them.
pub(crate) fn export(path: &Path) -> (Vec<String>, Zeroizing<Vec<u8>>) {
    let all = read(path);
    let open = Zeroizing::new(Value::from(all.clone()).to_string().into_bytes());
    (all.iter().map(|url| bare(url)).collect(), open)
}

/// Checks the list of an export; `open`: the one that its passphrase protects. Without it a stream
/// that is here too is asked for as before.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(
    path: &Path,
    listed: Vec<Value>,
    open: Option<&[u8]>,
) -> Result<Vec<String>, String> {
    let list = match open {
        Some(open) => serde_json::from_slice(open).map_err(|_| "cameras cannot be read")?,
        None => listed,
    };
    if list.len() > MOST {
        return Err(format!("cameras: there can be {MOST}"));
    }
    let known = read(path);
    let one = |value: &Value| {
        let url = value.as_str().filter(|url| is_stream(url)).ok_or("cameras: one is no stream")?;
        let same = known.iter().find(|other| open.is_none() && bare(other) == bare(url));
        Ok(same.map_or(url, String::as_str).to_owned())
    };
    list.iter().map(one).collect()
}

/// Puts a list in the place of this one; what was there, to put it back.
///
/// # Errors
/// It cannot be written.
pub(crate) fn replace(path: &Path, list: Vec<String>) -> Result<Vec<String>, String> {
    let before = read(path);
    write(path, list)?;
    Ok(before)
}

/// Takes all of them out.
///
/// # Errors
/// The list cannot be removed.
pub(crate) fn clear(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {e}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Adds a stream. The same one with another password takes its place.
///
/// # Errors
/// There are too many, or the list cannot be written.
pub(crate) fn add(path: &Path, url: String) -> Result<(), String> {
    let mut all = read(path);
    all.retain(|other| bare(other) != bare(&url));
    if all.len() >= MOST {
        return Err(format!("{MOST} cameras were added already"));
    }
    all.push(url);
    write(path, all)
}

/// Removes a stream, by its URL with or without who asks for it.
///
/// # Errors
/// It was not added, or the list cannot be written.
pub(crate) fn remove(path: &Path, url: &str) -> Result<(), String> {
    let mut all = read(path);
    let before = all.len();
    all.retain(|other| bare(other) != bare(url));
    if all.len() == before {
        return Err(format!("{} was not added", redact(url)));
    }
    write(path, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn streams_with_and_without_a_login() {
        let login = ("a b".to_owned(), Zeroizing::new("p@/".to_owned()));
        assert_eq!(with_login("rtsp://h/x", &login), "rtsp://a%20b:p%40%2F@h/x");
        assert_eq!(with_login("rtsp://u:p@h/x", &login), "rtsp://u:p@h/x");
        assert!(is_stream("rtsp://h:554/x?y") && !is_stream("rtsp:///x"));
        assert!(!is_stream("http://h/") && !is_stream("rtsp://h/ x") && !is_stream("rtsp://h/\n"));
    }

    #[test]
    fn a_stream_is_added_once_and_removed() {
        let path = std::env::temp_dir().join(format!("lensd-cameras-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        for url in ["rtsp://a:b@h/1", "rtsp://a:c@h/1", "rtsp://h/2"] {
            add(&path, url.to_owned()).unwrap();
        }
        assert_eq!(read(&path), ["rtsp://a:c@h/1", "rtsp://h/2"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for i in 0..MOST {
            let _ = add(&path, format!("rtsp://h/x{i}"));
        }
        assert!(add(&path, "rtsp://h/y".to_owned()).unwrap_err().contains("already"));
        remove(&path, "rtsp://***@h/1").unwrap();
        assert!(
            remove(&path, "rtsp://u:secret@h/1")
                .unwrap_err()
                .ends_with("rtsp://***@h/1 was not added")
        );
        assert_eq!(read(&path)[0], "rtsp://h/2");
        fs::remove_file(&path).unwrap();
    }
}
