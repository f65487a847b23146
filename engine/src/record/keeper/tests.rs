use super::*;
use crate::record::hub::Snap;
use crossbeam::channel::bounded;
use lensd_ffi::mux::{Init, Reference, Sample, begin, sealed};
use lensd_ffi::time::{Stamp, UtcNanos};
use lensd_ffi::unit::Codec;
use std::path::PathBuf;

/// 2026-11-21T14:00:00Z.
const BEGIN: i64 = 1_795_269_600_000;

struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lensd-keep-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("media")).unwrap();
        fs::create_dir_all(path.join("state")).unwrap();
        Self(path)
    }

    fn keeper(&self) -> Keeper {
        let (jobs, taken) = bounded(16);
        let store = Arc::new(Store::new(jobs, Bell::new().unwrap()));
        store.options.lock().keep.free = 0;
        let list = Arc::new(List::read(&self.0.join("state/recording.json"), 8));
        Keeper::new(store, Folder::new(&self.0), &self.0, taken, list)
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::open(&self.0.join("catalog.db")).unwrap()
    }

    /// A row of a recording, `n` seconds after [`BEGIN`]; its file if there is to be one.
    fn row(&self, n: i64, file: bool) -> i64 {
        let mut catalogue = self.catalogue();
        let name = name(n);
        if file {
            let path = self.0.join("media").join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, recording(2)).unwrap();
        }
        let id = catalogue.begin(&new(&name, BEGIN + n * 1000)).unwrap();
        let end = BEGIN + n * 1000 + 500;
        let (duration_ms, state) = (500, State::Ready);
        let end = Finished { timestamp_end_ms: end, duration_ms, size: 1000, state, error: None };
        catalogue.finish(id, &end).unwrap();
        id
    }

    fn states(&self) -> Vec<(State, u64)> {
        let all = Query { descending: false, limit: 1000, ..Query::default() };
        let page = self.catalogue().list(&all);
        page.unwrap().records.iter().map(|row| (row.state, row.size)).collect()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name(n: i64) -> String {
    format!("recordings/2026/11/21/recording_20261121_14{n:04}_cam1.mp4")
}

fn new(filename: &str, timestamp_start_ms: i64) -> NewRecord {
    NewRecord {
        filename: filename.to_owned(),
        media_type: MediaType::Video,
        encoding: Encoding::Mjpeg,
        camera: 1,
        stream: "cam1/main".to_owned(),
        mode: "video".to_owned(),
        timestamp_start_ms,
        resolution: "64x48".to_owned(),
        fps: 25.0,
        title: String::new(),
    }
}

/// Each fragment has two pictures, 40 ms apart, and is 80 ms after the one before.
fn recording(fragments: u32) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&Init::jpeg(64, 48).unwrap(), &mut out);
    for n in 0..fragments {
        let picture = Sample {
            codec: Codec::Jpeg,
            bytes: &[7; 40],
            nals: &[],
            key: true,
            duration: 3600,
            offset: 0,
        };
        let ntp = UtcNanos((BEGIN + i64::from(n) * 80) * 1_000_000).ntp64();
        let decode = u64::from(n) * 7200;
        let reference = Reference { ntp, time: decode };
        sealed(n + 1, decode, reference, &[picture, picture], &mut out).unwrap();
    }
    out
}

#[test]
fn files_that_are_missing_take_no_place_of_those_that_are_there() {
    let data = Data::new("ghosts");
    (0..48).for_each(|n| _ = data.row(n, false));
    (48..61).for_each(|n| _ = data.row(n, true));
    let mut keeper = data.keeper();
    keeper.look();
    let states = data.states();
    assert!(states[..48].iter().all(|row| *row == (State::Defect, 0)), "{states:?}");
    keeper.store.options.lock().keep.count = 30;
    keeper.keep_house();
    // 61 rows of 1000 bytes, by what they once were.
    keeper.store.options.lock().keep.bytes = 20_000;
    keeper.keep_house();
    assert_eq!(data.states()[48..], [(State::Ready, 1000); 13]);
    // The bound holds for those that are there.
    keeper.store.options.lock().keep.count = 10;
    keeper.keep_house();
    assert_eq!(data.states()[48..], [(State::Ready, 1000); 10]);
    assert!(!data.0.join("media").join(name(50)).exists());
    assert!(data.0.join("media").join(name(51)).exists());
    keeper.store.options.lock().keep.bytes = 9_000;
    keeper.keep_house();
    assert_eq!(data.states()[48..], [(State::Ready, 1000); 9]);
}

#[test]
fn a_damaged_file_is_not_weighed_against_good_ones() {
    let data = Data::new("damaged");
    let ids: Vec<i64> = (0..4).map(|n| data.row(n, true)).collect();
    let mut keeper = data.keeper();
    keeper.look();
    let row = data.catalogue().record(ids[0]).unwrap().unwrap();
    let end = Finished {
        timestamp_end_ms: row.timestamp_start,
        duration_ms: 0,
        size: 50_000,
        state: State::Defect,
        error: Some("damaged".to_owned()),
    };
    data.catalogue().finish(ids[0], &end).unwrap();
    keeper.store.options.lock().keep.count = 3;
    keeper.store.options.lock().keep.bytes = 4_000;
    keeper.keep_house();
    let ready = (State::Ready, 1000);
    assert_eq!(data.states(), [(State::Defect, 50_000), ready, ready, ready]);
}

#[test]
fn a_missing_file_that_is_there_again_weighs_as_before() {
    let data = Data::new("back");
    data.row(0, false);
    data.row(1, true);
    data.keeper().look();
    assert_eq!(data.states()[0], (State::Defect, 0));
    let bytes = recording(2);
    fs::write(data.0.join("media").join(name(0)), &bytes).unwrap();
    data.keeper().look();
    let (state, size) = data.states()[0];
    assert_eq!((state, size > bytes.len() as u64), (State::Ready, true));
}

#[test]
fn an_empty_disk_that_is_mounted_is_a_new_one() {
    let data = Data::new("new-disk");
    data.row(0, false);
    let recordings = data.0.join("media/recordings");
    let mut keeper = data.keeper();
    for _ in 0..2 {
        keeper.batched = Nanos(0);
        keeper.look();
        assert_eq!(keeper.store.shown(now()).state, "gone", "nothing is mounted");
    }
    assert_eq!(data.states(), [(State::Ready, 1000)], "and nothing is said of its files");
    // One with other files is somebody else's.
    keeper.mounts = |_| true;
    keeper.batched = Nanos(0);
    fs::write(data.0.join("media/letter.txt"), "").unwrap();
    keeper.look();
    assert_eq!(keeper.store.shown(now()).state, "gone");
    fs::remove_file(data.0.join("media/letter.txt")).unwrap();
    fs::create_dir(data.0.join("media/lost+found")).unwrap();
    keeper.batched = Nanos(0);
    keeper.look();
    assert_eq!(keeper.store.shown(now()).state, "ok");
    assert!(recordings.is_dir());
    assert_eq!(data.states(), [(State::Defect, 0)]);
}

#[test]
fn rows_without_files_are_no_reason_to_wait_for_a_disk() {
    let data = Data::new("only-ghosts");
    let id = data.row(0, false);
    let row = data.catalogue().record(id).unwrap().unwrap();
    let end = Finished {
        timestamp_end_ms: row.timestamp_start,
        duration_ms: 0,
        size: 1000,
        state: State::Defect,
        error: Some("the file is missing".to_owned()),
    };
    data.catalogue().finish(id, &end).unwrap();
    let mut keeper = data.keeper();
    keeper.look();
    assert_eq!(keeper.store.shown(now()).state, "ok");
    // One that was cut off when its disk went away is with the disk.
    let cut = Finished { error: Some("ended early".to_owned()), ..end };
    data.catalogue().finish(id, &cut).unwrap();
    let mut keeper = data.keeper();
    keeper.look();
    assert_eq!(keeper.store.shown(now()).state, "gone");
    // And so it is for who saw the disk go.
    fs::create_dir_all(data.0.join("media/recordings")).unwrap();
    let mut keeper = data.keeper();
    keeper.look();
    assert_eq!(keeper.store.shown(now()).state, "ok");
    fs::remove_dir_all(data.0.join("media/recordings")).unwrap();
    keeper.look_at_disk();
    assert_eq!(keeper.store.shown(now()).state, "gone");
}

#[test]
fn a_mount_is_told_by_its_device() {
    let folder = std::env::temp_dir().join(format!("lensd-mount-{}", std::process::id()));
    fs::create_dir_all(folder.join("media")).unwrap();
    assert!(!storage::is_mount(&folder.join("media")));
    assert!(storage::is_mount(Path::new("/proc")));
    std::os::unix::fs::symlink("/proc", folder.join("link")).unwrap();
    assert!(storage::is_mount(&folder.join("link")));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_was_cut_off_ends_with_its_own_last_picture() {
    let data = Data::new("cut");
    let path = data.0.join("media").join(name(0));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, recording(50)).unwrap();
    let mut catalogue = data.catalogue();
    let id = catalogue.begin(&new(&name(0), BEGIN)).unwrap();
    // As it was seconds before.
    let progress = Progress { timestamp_end_ms: BEGIN + 1000, duration_ms: 1040, size: 10_000 };
    catalogue.progress(&[(id, progress)]).unwrap();
    data.keeper().look();
    let row = catalogue.record(id).unwrap().unwrap();
    assert_eq!((row.state, row.duration), (State::Ready, 4000));
    assert_eq!(row.timestamp_end, Some(BEGIN + 3960));
}

#[test]
fn a_found_file_is_looked_at_as_a_whole() {
    let data = Data::new("found");
    data.row(0, true);
    let folder = data.0.join("media/recordings/2026/11/21");
    let (good, bad) = (folder.join("a_b_c_cam1.mp4"), folder.join("d_e_f_cam1.mp4"));
    for path in [&good, &bad] {
        fs::write(path, recording(5)).unwrap();
        mend::mend(path, None).unwrap();
    }
    let mut damaged = fs::read(&bad).unwrap();
    damaged[recording(2).len() - 5] ^= 1;
    fs::write(&bad, &damaged).unwrap();
    data.keeper().look();
    let state = |name: &str| {
        let name = format!("recordings/2026/11/21/{name}");
        data.catalogue().by_filename(&name).unwrap().unwrap().state
    };
    assert_eq!(state("a_b_c_cam1.mp4"), State::Ready);
    assert_eq!(state("d_e_f_cam1.mp4"), State::Defect);
    assert_eq!(fs::read(&bad).unwrap(), damaged, "it is left alone");
}

#[test]
fn each_camera_has_its_own_snapshot_that_is_replaced() {
    let data = Data::new("alone");
    let mut keeper = data.keeper();
    keeper.look();
    for n in 0..6 {
        let captured = Stamp { utc: UtcNanos((BEGIN + n * 1000) * 1_000_000), ..Stamp::default() };
        let camera = if n % 2 == 0 { 1 } else { 2 };
        // SOI and EOI: nobody decodes it.
        let jpeg = vec![0xff, 0xd8, 0xff, 0xd9];
        let snap = Snap { jpeg, camera, captured, alone: true, ..Snap::default() };
        let kept = keeper.snap(&Picture { snap, camera_name: String::new() });
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    }
    let page = data.catalogue().list(&Query::default()).unwrap();
    let left: Vec<_> = page.records.iter().map(|row| (row.camera, row.timestamp_start)).collect();
    assert_eq!(left, [(2, BEGIN + 5000), (1, BEGIN + 4000)]);
}
