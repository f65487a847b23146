//! What control and supervisor leave for each other while another version takes over: files in
//! `DATA/update`.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Another version is in the place of the program, and has not come up yet. Whoever finds this at
/// his start and has been tried before puts the old one back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The program.
    pub binary: PathBuf,
    /// Where the old one is.
    pub old: PathBuf,
    /// The old version.
    pub from: String,
    /// The new one.
    pub to: String,
    /// How often the new one was started.
    pub tries: u32,
}

/// What became of the last update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// `installed` or `rolled back`.
    pub state: String,
    /// The version that was to be installed.
    pub version: String,
    /// Why it was not; empty if it was.
    pub reason: String,
}

/// The folder of both.
pub fn folder(data: &Path) -> PathBuf {
    data.join("update")
}

fn read<T: serde::de::DeserializeOwned>(data: &Path, name: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(folder(data).join(name)).ok()?).ok()
}

/// In one step, and on the disk.
fn write(data: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let folder = folder(data);
    fs::create_dir_all(&folder)?;
    let new = folder.join(format!("{name}.new"));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    fs::File::open(&folder)?.sync_all()
}

impl Marker {
    const NAME: &str = "marker.json";

    /// The marker of a data folder.
    pub fn find(data: &Path) -> Option<Self> {
        read(data, Self::NAME)
    }

    /// Leaves it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn leave(&self, data: &Path) -> io::Result<()> {
        write(data, Self::NAME, self)
    }

    /// The end of an update: the marker is gone, and what became of it is written down.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn end(&self, data: &Path, reason: &str) -> io::Result<()> {
        let state = if reason.is_empty() { "installed" } else { "rolled back" }.to_owned();
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(160).collect();
        write(data, Ended::NAME, &Ended { state, version: self.to.clone(), reason })?;
        fs::remove_file(folder(data).join(Self::NAME))
    }

    /// Puts the old version back in one step, and ends the update.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn roll_back(&self, data: &Path, reason: &str) -> io::Result<()> {
        fs::rename(&self.old, &self.binary)?;
        self.end(data, reason)
    }
}

impl Ended {
    const NAME: &str = "ended.json";

    /// The last one of a data folder.
    pub fn find(data: &Path) -> Option<Self> {
        read(data, Self::NAME)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_old_version_comes_back_and_the_reason_stays() {
        let data = std::env::temp_dir().join(format!("lensd-marker-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let (binary, old) = (data.join("bin"), data.join("bin.old"));
        fs::write(&binary, "new").unwrap();
        fs::write(&old, "old").unwrap();
        let marker = Marker { binary, old, from: "1".into(), to: "2".into(), tries: 0 };
        assert_eq!((Marker::find(&data), Ended::find(&data)), (None, None));
        marker.leave(&data).unwrap();
        assert_eq!(Marker::find(&data).as_ref(), Some(&marker));
        marker.roll_back(&data, "it did not\ncome up").unwrap();
        assert_eq!(fs::read_to_string(&marker.binary).unwrap(), "old");
        assert_eq!(Marker::find(&data), None);
        let ended = Ended::find(&data).unwrap();
        assert_eq!(
            (ended.state.as_str(), ended.reason.as_str()),
            ("rolled back", "it did notcome up")
        );
        assert!(marker.roll_back(&data, "x").is_err(), "there is no old one");
        fs::remove_dir_all(&data).unwrap();
    }
}
