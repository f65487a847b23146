//! Which cameras were found, in the order of their numbers: `DATA/run/cameras.json`, for the engine
//! that follows one that was killed. A camera that is away just then keeps its number, and so do the
//! others. The supervisor removes the file when it starts, so nothing is known for ever.

use super::MAX_CAMERAS;
use crate::camera::spec::CameraSpec;
use std::fs;
use std::io;
use std::path::Path;

const FILE: &str = "run/cameras.json";
/// Most bytes of the file that are read.
const MAX_BYTES: u64 = 64 * 1024;

/// The SPECs that were written down; none if there is nothing, or something else.
pub(super) fn read(data: &Path) -> Vec<String> {
    let path = data.join(FILE);
    if fs::metadata(&path).map_or(0, |m| m.len()) > MAX_BYTES {
        return Vec::new();
    }
    let read = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let mut specs: Vec<String> = read.unwrap_or_default();
    let sound = |spec: &String| matches!(spec.parse(), Ok(CameraSpec::V4l2(_)));
    if !specs.iter().all(sound) {
        return Vec::new();
    }
    specs.truncate(MAX_CAMERAS);
    specs
}

/// Writes them down. What fails is of no consequence but to an engine that is killed.
pub(super) fn write(data: &Path, specs: &[String]) {
    let write = || -> io::Result<()> {
        let (new, path) = (data.join("run/cameras.json.new"), data.join(FILE));
        fs::write(&new, serde_json::to_vec(specs)?)?;
        fs::rename(new, path)
    };
    if let Err(e) = write() {
        tracing::debug!("the cameras that were found are not written down: {e}");
    }
}

/// Whether a device of this id is one of those: by the id alone, or with its place.
pub(super) fn knows(specs: &[String], id: &str) -> bool {
    let base = id.split_once('@').map_or(id, |(base, _)| base);
    specs
        .iter()
        .filter_map(|spec| spec.strip_prefix("v4l2:id="))
        .any(|name| [id, base].contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let data = std::env::temp_dir().join(format!("lensd-roster-{}", std::process::id()));
        fs::create_dir_all(data.join("run")).unwrap();
        assert!(read(&data).is_empty());
        let specs = ["v4l2:id=usb-1-2-A".to_owned(), "v4l2:id=usb-1-2-B@usb-1".to_owned()];
        write(&data, &specs);
        assert_eq!(read(&data), specs);
        assert!(knows(&specs, "usb-1-2-A") && knows(&specs, "usb-1-2-A@usb-7"));
        assert!(knows(&specs, "usb-1-2-B@usb-1"));
        assert!(!knows(&specs, "usb-1-2-B@usb-2") && !knows(&specs, "usb-1-2-B"));
        for wrong in ["", "{}", "[1]", r#"["file:/etc/passwd"]"#, r#"["v4l2:id=x", "test:"]"#] {
            fs::write(data.join(FILE), wrong).unwrap();
            assert!(read(&data).is_empty(), "{wrong}");
        }
        write(&data, &vec!["v4l2:id=x".to_owned(); 100]);
        assert_eq!(read(&data).len(), MAX_CAMERAS);
        fs::remove_dir_all(data).unwrap();
    }
}
