use super::super::pace::Shared;
use super::super::plan::Plan;
use super::*;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;

/// A folder that goes with its holder.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-share-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn share(&self, guard: Guard) -> Share {
        Share::new(self.0.join("share"), guard, "me".to_owned())
    }

    fn source(&self, bytes: &[u8]) -> File {
        fs::write(self.0.join("source"), bytes).unwrap();
        File::open(self.0.join("source")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pace() -> Pace {
    let value = |key: &str| match key {
        "network-storage-kind" => json!("folder"),
        "network-storage-folder" => json!("/x"),
        _ => Value::Null,
    };
    Pace::new(Arc::new(Shared::default()), &Plan::of(value).unwrap().unwrap())
}

fn put(share: &Share, from: &mut File, name: &str, sum: Option<&str>) -> Result<u64, Trouble> {
    share.put(&mut pace(), from, name, sum, true, &mut || Ok(()))
}

#[test]
fn a_copy_has_its_name_when_it_is_whole_and_is_made_once() {
    let folder = Folder::new("whole");
    fs::create_dir(folder.0.join("share")).unwrap();
    let share = folder.share(Guard::None);
    let words = vec![7; PIECE * 2 + 5];
    let size = words.len() as u64;
    let name = "recordings/2026/a.mp4";
    let to = folder.0.join("share").join(name);
    // Nobody wants it any more, when all of it is there.
    let unwanted =
        share.put(&mut pace(), &mut folder.source(&words), name, None, true, &mut || {
            assert!(!to.exists());
            Err(Trouble::Unwanted)
        });
    assert_eq!((unwanted, to.exists()), (Err(Trouble::Unwanted), false));
    let parts = folder.0.join("share").join(PARTS);
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 0);

    let sum = {
        let mut hash = Sha256::new();
        hash.update(&words);
        hex(hash)
    };
    let wrong = put(&share, &mut folder.source(&words), name, Some("00"));
    let Err(Trouble::File(why)) = wrong else { panic!("{wrong:?}") };
    assert!(why.contains("SHA-256") && !to.exists());
    assert_eq!(put(&share, &mut folder.source(&words), name, Some(&sum)), Ok(size));
    assert_eq!(fs::read(&to).unwrap(), words);
    assert_eq!(put(&share, &mut folder.source(&words), name, Some(&sum)), Ok(size), "the same");
    for other in [&b"short"[..], &vec![8; words.len()]] {
        let taken = put(&share, &mut folder.source(other), name, None);
        let Err(Trouble::File(why)) = taken else { panic!("{taken:?}") };
        assert!(why.contains("another file"), "{why}");
    }
    assert_eq!(fs::read(&to).unwrap(), words);
    for bad in ["", "../x", "a/../../x", "/x", "a/", ".hidden"] {
        let refused = put(&share, &mut folder.source(b"x"), bad, None);
        assert!(matches!(refused, Err(Trouble::File(_))), "{bad}: {refused:?}");
    }
}

#[test]
fn links_lead_nowhere_and_parts_of_others_stay() {
    let folder = Folder::new("links");
    let (share, out) = (folder.0.join("share"), folder.0.join("out"));
    fs::create_dir_all(share.join(PARTS)).unwrap();
    fs::create_dir(&out).unwrap();
    std::os::unix::fs::symlink(&out, share.join("recordings")).unwrap();
    let refused = put(&folder.share(Guard::None), &mut folder.source(b"x"), "recordings/x", None);
    assert!(matches!(refused, Err(Trouble::Storage(..))), "{refused:?}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    for name in ["me-x.mp4", "other-x.mp4", "mean"] {
        fs::write(share.join(PARTS).join(name), "x").unwrap();
    }
    folder.share(Guard::None).sweep(&pace()).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(share.join(PARTS)).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["mean", "other-x.mp4"]);
}

#[test]
fn nothing_is_written_where_no_share_is() {
    let folder = Folder::new("guard");
    let gone = |done: Result<u64, Trouble>, word: &str| {
        let Err(Trouble::Storage(Standing::Unreachable, why)) = done else { panic!("{done:?}") };
        assert!(why.contains(word), "{why}");
    };
    let share = folder.0.join("share");
    gone(put(&folder.share(Guard::None), &mut folder.source(b"x"), "x", None), "No such file");
    fs::create_dir(&share).unwrap();
    let marked = folder.share(Guard::Marker);
    gone(put(&marked, &mut folder.source(b"x"), "x", None), MARKER);
    assert!(marked.test(&mut pace(), false).is_err());
    assert_eq!(fs::read_dir(&share).unwrap().count(), 0);
    marked.test(&mut pace(), true).unwrap();
    marked.test(&mut pace(), false).unwrap();
    assert_eq!(put(&marked, &mut folder.source(b"x"), "x", None), Ok(1));

    assert!(is_mounted(Path::new("/proc/sys")).unwrap(), "something is mounted above");
    assert!(!is_mounted(Path::new("/")).unwrap());
    assert!(is_mounted(&folder.0.join("source")).is_err(), "no folder");
}

#[test]
fn a_recording_is_no_copy_of_itself() {
    let folder = Folder::new("itself");
    let media = folder.0.join("media/recordings");
    fs::create_dir_all(&media).unwrap();
    fs::write(media.join("a.mp4"), b"pictures").unwrap();
    // Also by another way to it.
    std::os::unix::fs::symlink(folder.0.join("media"), folder.0.join("share")).unwrap();
    let mut from = File::open(media.join("a.mp4")).unwrap();
    let put = put(&folder.share(Guard::None), &mut from, "recordings/a.mp4", None);
    let Err(Trouble::Storage(Standing::Error, why)) = put else { panic!("{put:?}") };
    assert!(why.contains("choose another"), "{why}");
    assert_eq!(fs::read(media.join("a.mp4")).unwrap(), b"pictures");
}
