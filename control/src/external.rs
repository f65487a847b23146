//! Streams of other servers that were taken up as cameras: a list of URLs among the store's secrets,
//! for there are passwords in it. The supervisor gives it to the engine with the rest of its
//! configuration.

use crate::http::respond::redact;
use crate::store::{Store, StoreError};
use parking_lot::Mutex;
use serde_json::Value;
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

/// By what the store knows the list.
pub(crate) const SECRET: &str = "cameras";
/// Held by who changes it: several workers may.
static CHANGE: Mutex<()> = Mutex::new(());

/// Most streams that can be added.
const MOST: usize = 16;
/// Longest URL.
pub(crate) const LONGEST: usize = 512;

/// Name and password of a user of another server.
pub(crate) type Login = (String, Zeroizing<String>);

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

/// The list.
pub fn read(store: &Store) -> Vec<String> {
    let list = store.load_secret(SECRET);
    list.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// As the store keeps it.
pub(crate) fn text(list: &[String]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Value::from(list).to_string().into_bytes())
}

fn write(store: &Store, all: &[String]) -> Result<(), StoreError> {
    if all.is_empty() { store.delete_secret(SECRET) } else { store.save_secret(SECRET, &text(all)) }
}

/// Takes over the file in which an earlier version kept the list.
///
/// # Errors
/// It stays where it is.
pub fn take_over(store: &Store, data: &Path) -> Result<(), String> {
    let path = data.join("state/cameras.json");
    let Ok(found) = fs::read(&path).map(Zeroizing::new) else { return Ok(()) };
    let say = |why: String| format!("{}: {why}", path.display());
    let list: Vec<String> = serde_json::from_slice(&found).map_err(|e| say(e.to_string()))?;
    let mut all = read(store);
    all.extend(list.into_iter().filter(|url| is_stream(url)));
    all.dedup();
    all.truncate(MOST);
    write(store, &all).map_err(|e| say(e.to_string()))?;
    fs::remove_file(&path).map_err(|e| say(e.to_string()))
}

/// The list as an export has it: addresses without who asks for them.
pub(crate) fn export(store: &Store) -> Vec<String> {
    read(store).iter().map(|url| bare(url)).collect()
}

/// Checks the list of an export; `open`: the one that its passphrase protects. Without it a stream
/// that is here too is asked for as before.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(
    store: &Store,
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
    let known = read(store);
    let one = |value: &Value| {
        let url = value.as_str().filter(|url| is_stream(url)).ok_or("cameras: one is no stream")?;
        let same = known.iter().find(|other| open.is_none() && bare(other) == bare(url));
        Ok(same.map_or(url, String::as_str).to_owned())
    };
    list.iter().map(one).collect()
}

/// Adds a stream. The same one with another password takes its place.
///
/// # Errors
/// There are too many, or the list cannot be kept.
pub(crate) fn add(store: &Store, url: String) -> Result<(), String> {
    // The restart that follows would lose it.
    if let Some(fault) = store.fault() {
        return Err(format!("it cannot be kept: {fault}"));
    }
    let _alone = CHANGE.lock();
    let mut all = read(store);
    all.retain(|other| bare(other) != bare(&url));
    if all.len() >= MOST {
        return Err(format!("{MOST} cameras were added already"));
    }
    all.push(url);
    write(store, &all).map_err(|e| e.to_string())
}

/// Removes a stream, by its URL with or without who asks for it.
///
/// # Errors
/// It was not added, or the list cannot be kept.
pub(crate) fn remove(store: &Store, url: &str) -> Result<(), String> {
    let _alone = CHANGE.lock();
    let mut all = read(store);
    let before = all.len();
    all.retain(|other| bare(other) != bare(url));
    if all.len() == before {
        return Err(format!("{} was not added", redact(url)));
    }
    write(store, &all).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let data = std::env::temp_dir().join(format!("lensd-cameras-{}", std::process::id()));
        fs::create_dir_all(data.join("state")).unwrap();
        let old = data.join("state/cameras.json");
        fs::write(&old, r#"["rtsp://a:hidden99@h/1", "file:/etc/passwd"]"#).unwrap();
        let store = Store::open(&data).unwrap();
        take_over(&store, &data).unwrap();
        assert!(!old.exists() && read(&store) == ["rtsp://a:hidden99@h/1"]);
        for url in ["rtsp://a:hidden88@h/1", "rtsp://h/2"] {
            add(&store, url.to_owned()).unwrap();
        }
        assert_eq!(read(&store), ["rtsp://a:hidden88@h/1", "rtsp://h/2"]);
        assert_eq!(export(&store), ["rtsp://h/1", "rtsp://h/2"]);
        for i in 0..MOST {
            let _ = add(&store, format!("rtsp://h/x{i}"));
        }
        assert!(add(&store, "rtsp://h/y".to_owned()).unwrap_err().contains("already"));
        remove(&store, "rtsp://***@h/1").unwrap();
        assert!(
            remove(&store, "rtsp://u:secret@h/1")
                .unwrap_err()
                .ends_with("rtsp://***@h/1 was not added")
        );
        assert_eq!(read(&store)[0], "rtsp://h/2");
        drop(store);
        let kept = fs::read(data.join("state/data.mdb")).unwrap();
        for secret in ["hidden88", "hidden99"] {
            assert!(!kept.windows(8).any(|part| part == secret.as_bytes()), "{secret} can be read");
        }
        let none = Store::volatile(Some("the disk is full".to_owned()));
        assert!(add(&none, "rtsp://h/2".to_owned()).unwrap_err().contains("the disk is full"));
        fs::remove_dir_all(&data).unwrap();
    }
}
