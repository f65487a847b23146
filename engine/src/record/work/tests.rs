use super::*;
use crossbeam::channel::bounded;
use lensd_ffi::bell::Bell;
use lensd_ffi::catalogue::NewRecord;
use lensd_ffi::mux::{Init, Reference, Sample, begin, sealed};

fn worker(data: &Path) -> (Worker, Catalogue) {
    let _ = fs::remove_dir_all(data);
    fs::create_dir_all(data.join("media/recordings")).unwrap();
    let database = data.join("catalog.db");
    let catalogue = Catalogue::open(&database).unwrap();
    let store = Arc::new(Store::new(bounded(1).0, Bell::new().unwrap()));
    let wanted = bounded(1).1;
    (Worker { store, folder: Folder::new(data), database, wanted }, catalogue)
}

fn enter(catalogue: &mut Catalogue, filename: &str, error: Option<&str>) -> i64 {
    let new = NewRecord {
        filename: filename.to_owned(),
        media_type: MediaType::Video,
        encoding: Encoding::Mjpeg,
        camera: 1,
        stream: "cam1/main".to_owned(),
        mode: "video".to_owned(),
        timestamp_start_ms: 1,
        resolution: String::new(),
        fps: 25.0,
        title: String::new(),
    };
    let id = catalogue.begin(&new).unwrap();
    let end = Finished {
        timestamp_end_ms: 2,
        duration_ms: 1,
        size: 3,
        state: State::Ready,
        error: error.map(str::to_owned),
    };
    catalogue.finish(id, &end).unwrap();
    id
}

fn stop() -> Stop {
    Stop::new(Arc::new(Bell::new().unwrap()))
}

#[test]
fn files_that_cannot_be_read_do_not_keep_others_from_their_check_sums() {
    let data = std::env::temp_dir().join(format!("lensd-sums-{}", std::process::id()));
    let (worker, mut catalogue) = worker(&data);
    // More of them than are looked at in one go.
    let away: Vec<i64> = (0..2 * GO)
        .map(|n| enter(&mut catalogue, &format!("recordings/away{n}.mp4"), None))
        .collect();
    fs::write(data.join("media/recordings/there.mp4"), "abc").unwrap();
    let there = enter(&mut catalogue, "recordings/there.mp4", None);
    let mut bad = Bad::default();
    for _ in 0..3 {
        worker.sum_up(&mut catalogue, &mut bad, &stop());
    }
    let sum = catalogue.record(there).unwrap().unwrap().sha256.unwrap();
    assert!(sum.starts_with("ba7816bf"), "{sum}");
    assert_eq!(bad.0.len(), away.len());
    // They are tried again, though not at once.
    let at = now();
    assert!(away.iter().all(|id| !bad.is_due(*id, at) && bad.is_due(*id, at.plus(AGAIN))));
    bad.put_off(away[0], at);
    assert!(!bad.is_due(away[0], at.plus(AGAIN)) && bad.is_due(away[0], at.plus(LONGEST)));
    catalogue.remove(&away).unwrap();
    worker.sum_up(&mut catalogue, &mut bad, &stop());
    assert!(bad.0.is_empty(), "nobody is remembered for ever");
    fs::remove_dir_all(&data).unwrap();
}

#[test]
fn damage_of_a_found_file_is_found_with_its_check_sum() {
    let data = std::env::temp_dir().join(format!("lensd-seals-{}", std::process::id()));
    let (worker, mut catalogue) = worker(&data);
    let mut file = Vec::new();
    begin(&Init::jpeg(64, 48).unwrap(), &mut file);
    let mut ends = Vec::new();
    for n in 0..3 {
        let picture = Sample {
            codec: Codec::Jpeg,
            bytes: &[7; 40],
            nals: &[],
            key: true,
            duration: 3600,
            offset: 0,
        };
        let decode = u64::from(n) * 3600;
        sealed(n + 1, decode, Reference { ntp: 1, time: decode }, &[picture], &mut file).unwrap();
        ends.push(file.len());
    }
    let mut damaged = file.clone();
    damaged[ends[0] - 5] ^= 1;
    let mut states = Vec::new();
    for (name, bytes) in [("good", &file), ("damaged", &damaged)] {
        let name = format!("recordings/{name}.mp4");
        fs::write(data.join("media").join(&name), bytes).unwrap();
        let id = enter(&mut catalogue, &name, Some(reconcile::FOUND));
        worker.sum_up(&mut catalogue, &mut Bad::default(), &stop());
        states.push(catalogue.record(id).unwrap().unwrap().state);
    }
    assert_eq!(states, [State::Ready, State::Defect]);
    fs::remove_dir_all(&data).unwrap();
}
