//! What is copied and where to, as the settings say it.

use crate::media::Beneath;
use lensd_ffi::catalogue::CopyWish;
use lensd_ffi::time::Nanos;
use serde_json::Value;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of the machine, on which a share is mounted.
    Folder {
        /// The folder.
        path: PathBuf,
        /// How it is known that the share is there.
        guard: Guard,
    },
    /// A bucket of S3, or of what speaks like it.
    S3(Bucket),
}

/// How it is known that something is mounted at a folder: without it, copies would fill the disk
/// below the mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// It, or a folder above it, is another file system than what is above that (`st_dev`).
    Mount,
    /// It has the file [`super::folder::MARKER`].
    Marker,
    /// It is taken as it is.
    None,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// URL of the server.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    /// What names begin with; empty, or without a slash at its ends.
    pub(crate) prefix: String,
    /// Whether the bucket is part of the host's name.
    pub(crate) virtual_host: bool,
    pub(crate) access_key: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) wish: CopyWish,
    /// Whether recordings are removed here once they are there.
    pub(crate) delete_local: bool,
    /// Whether copies are read back.
    pub(crate) verify: bool,
    /// Bytes a second; 0: as fast as it goes.
    pub(crate) rate: u64,
    /// When a storage that does not answer is stalled.
    pub(crate) patience: Nanos,
}

/// A text that is never shown.
pub(crate) type Secret = Zeroizing<String>;

impl Plan {
    /// As settings say it, by what gives their values; none: nothing is copied.
    ///
    /// # Errors
    /// What is missing or wrong, with the key.
    pub(crate) fn of(value: impl Fn(&str) -> Value) -> Result<Option<Self>, String> {
        let text = |key: &str| value(key).as_str().unwrap_or_default().to_owned();
        let number = |key: &str| value(key).as_u64().unwrap_or(0);
        let flag = |key: &str| value(key).as_bool().unwrap_or(false);
        let place = match text("network-storage-kind").as_str() {
            "folder" => {
                let path = PathBuf::from(text("network-storage-folder"));
                if !path.is_absolute() || path.parent().is_none() {
                    let why = "network-storage-folder must be the path of a folder, from / on";
                    return Err(why.to_owned());
                }
                let guard = match text("network-storage-guard").as_str() {
                    "marker" => Guard::Marker,
                    "none" => Guard::None,
                    _ => Guard::Mount,
                };
                Place::Folder { path, guard }
            }
            "s3" => {
                let bucket = Bucket {
                    endpoint: text("network-storage-endpoint"),
                    region: text("network-storage-region"),
                    bucket: text("network-storage-bucket"),
                    prefix: text("network-storage-prefix"),
                    virtual_host: flag("network-storage-virtual-host"),
                    access_key: text("network-storage-access-key"),
                };
                check(&bucket)?;
                Place::S3(bucket)
            }
            _ => return Ok(None),
        };
        let what = text("network-storage-what");
        Ok(Some(Self {
            place,
            wish: CopyWish {
                videos: what != "snapshots",
                images: what != "videos",
                tagged_only: flag("network-storage-tagged"),
            },
            delete_local: flag("network-storage-delete-local"),
            verify: flag("network-storage-verify"),
            rate: number("network-storage-rate") * 1_000,
            patience: Nanos::from_secs(number("network-storage-timeout").max(1)),
        }))
    }

    /// The storage in words, by which copies remember where they are.
    pub(crate) fn target(&self) -> String {
        match &self.place {
            Place::Folder { path, .. } => path.display().to_string(),
            Place::S3(b) => format!("{} {}", b.endpoint.trim_end_matches('/'), b.bucket),
        }
    }

    /// The name that a file of the media folder has there.
    pub(crate) fn name(&self, filename: &str) -> String {
        match &self.place {
            Place::S3(bucket) if !bucket.prefix.is_empty() => {
                format!("{}/{filename}", bucket.prefix)
            }
            _ => filename.to_owned(),
        }
    }
}

fn check(bucket: &Bucket) -> Result<(), String> {
    let endpoint = bucket.endpoint.as_str();
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    if !host.is_some_and(|host| !host.is_empty() && !host.contains(['@', '?', '#'])) {
        let why = "network-storage-endpoint must be a URL such as https://s3.example.org";
        return Err(why.to_owned());
    }
    // Names of buckets (Amazon S3, "Bucket naming rules"), with the capitals of older ones.
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = &bucket.bucket;
    if !(3..=63).contains(&name.len()) || !name.chars().all(letter) || name.starts_with('.') {
        let why = "network-storage-bucket must have 3 to 63 letters, digits, points or dashes";
        return Err(why.to_owned());
    }
    if bucket.region.is_empty() || !bucket.region.chars().all(letter) {
        return Err("network-storage-region must be a word such as eu-central-1".to_owned());
    }
    if bucket.access_key.is_empty() {
        return Err("network-storage-access-key is missing".to_owned());
    }
    if Beneath::parse(&bucket.prefix).is_none() {
        let why = "network-storage-prefix must be names with / between, none at its ends";
        return Err(why.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn plan(values: &[(&str, Value)]) -> Result<Option<Plan>, String> {
        let mut all: BTreeMap<String, Value> = lensd_ffi::settings::entries()
            .iter()
            .map(|e| (e.key.name.to_owned(), e.key.default.value()))
            .collect();
        for (key, value) in values {
            all.insert(format!("network-storage-{key}"), value.clone());
        }
        Plan::of(|key| all[key].clone())
    }

    #[test]
    fn settings_become_a_plan() {
        assert_eq!(plan(&[]), Ok(None));
        let folder = plan(&[("kind", json!("folder")), ("folder", json!("/mnt/nas"))]);
        let folder = folder.unwrap().unwrap();
        assert_eq!((folder.target().as_str(), folder.name("a/b").as_str()), ("/mnt/nas", "a/b"));
        assert!(folder.wish.videos && folder.wish.images && folder.verify && !folder.delete_local);
        let Place::Folder { guard: Guard::Mount, .. } = folder.place else { panic!() };
        let s3 = [
            ("kind", json!("s3")),
            ("endpoint", json!("https://s3.example.org/")),
            ("bucket", json!("cams")),
            ("prefix", json!("a/b")),
            ("access-key", json!("k")),
            ("what", json!("videos")),
            ("rate", json!(7)),
        ];
        let plan = plan(&s3).unwrap().unwrap();
        assert_eq!(plan.target(), "https://s3.example.org cams");
        assert_eq!((plan.name("x.mp4").as_str(), plan.rate), ("a/b/x.mp4", 7_000));
        assert!(plan.wish.videos && !plan.wish.images);
    }

    #[test]
    fn what_cannot_be_is_said_by_its_key() {
        let s3 = |key: &'static str, value: &str| {
            let mut all = vec![
                ("kind", json!("s3")),
                ("endpoint", json!("http://h:9000")),
                ("bucket", json!("cams")),
                ("access-key", json!("k")),
            ];
            all.push((key, json!(value)));
            plan(&all)
        };
        assert!(s3("prefix", "ok").is_ok());
        for (key, bad) in [
            ("endpoint", "ftp://x"),
            ("endpoint", "https://"),
            ("endpoint", "https://user:word@host"),
            ("bucket", ""),
            ("bucket", "a/b"),
            ("bucket", "..."),
            ("region", ""),
            ("access-key", ""),
            ("prefix", "../x"),
            ("prefix", "/x"),
        ] {
            let why = s3(key, bad).unwrap_err();
            assert!(why.starts_with(&format!("network-storage-{key} ")), "{bad}: {why}");
        }
        for bad in ["", "mnt/nas", "/"] {
            assert!(plan(&[("kind", json!("folder")), ("folder", json!(bad))]).is_err(), "{bad}");
        }
    }
}
