use super::*;
use crate::coded::CodedUnit;
use crate::publish::{Publisher, geometry_for};
use lensd_ffi::catalogue::{Catalogue, Query, Record};
use lensd_ffi::time::utc_now;
use lensd_ffi::unit::Codec;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How often the cameras here give a picture.
const EACH: Duration = Duration::from_millis(20);

/// Two cameras with a stream each, and a recorder.
struct Rig {
    data: PathBuf,
    streams: Vec<Arc<Stream>>,
    publishers: Vec<Publisher>,
    hub: Hub,
    number: u64,
}

impl Rig {
    /// `list`: what was recorded when the last engine ended.
    fn new(name: &str, list: &str) -> Self {
        let data = std::env::temp_dir().join(format!("lensd-hub-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("media")).unwrap();
        fs::create_dir_all(data.join("state")).unwrap();
        fs::write(data.join("state/recording.json"), list).unwrap();
        let switchboard = Arc::new(Switchboard::default());
        let (mut streams, mut publishers) = (Vec::new(), Vec::new());
        for camera in 1..=2 {
            let bell = Bell::new().unwrap();
            let made = Stream::create(camera, Kind::Main, Codec::Jpeg, geometry_for(1), bell);
            let (stream, publisher) = made.unwrap();
            switchboard.add(Arc::clone(&stream));
            streams.push(stream);
            publishers.push(publisher);
        }
        switchboard.select(1);
        let hub = Hub::start(&data, switchboard, Bell::new().unwrap()).unwrap();
        hub.change(|options| {
            options.which = Which::All;
            options.keep.free = 0;
        });
        let mut rig = Self { data, streams, publishers, hub, number: 0 };
        rig.set_rate(50.0);
        rig.hub.settle();
        rig.until("storage", |rig| rig.hub.storage().state == "ok");
        rig
    }

    fn set_rate(&self, fps: f64) {
        let camera = |id| CameraState { id, fps, ..CameraState::default() };
        self.hub.meet(&[camera(1), camera(2)]);
    }

    /// Each camera that is there gives a picture; then the hub looks.
    fn turn(&mut self) {
        std::thread::sleep(EACH);
        self.number += 1;
        for (stream, publisher) in self.streams.iter().zip(&mut self.publishers) {
            if stream.away().is_some() {
                continue;
            }
            let capture = Stamp { mono: now(), utc: utc_now(), ..Stamp::default() };
            let unit = CodedUnit {
                codec: Codec::Jpeg,
                bytes: vec![7; 100],
                nals: Vec::new(),
                key: true,
                width: 64,
                height: 48,
                capture,
                number: self.number,
            };
            publisher.publish(&unit, None).unwrap();
        }
        self.hub.look(now());
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = now();
        while !holds(self) {
            assert!(now().since(begun) < Nanos::from_secs(30), "{what}: {:?}", self.hub.states());
            self.turn();
        }
    }

    fn start(&self) -> Result<Vec<RecordingState>, Refusal> {
        self.hub.record(RecordAct::Start, None, None, |_| {})
    }

    fn runs(&self, camera: u32) -> bool {
        self.hub.states().iter().any(|s| s.camera == camera && !s.filename.is_empty())
    }

    fn rows(&self) -> Vec<Record> {
        let catalogue = Catalogue::open(&self.data.join("catalog.db")).unwrap();
        let query = Query { descending: false, ..Query::default() };
        catalogue.list(&query).unwrap().records
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.hub.end();
        let _ = fs::remove_dir_all(&self.data);
    }
}

#[test]
fn a_camera_that_is_away_keeps_no_other_from_being_recorded() {
    let mut rig = Rig::new("away", "[]");
    // It has given pictures, but that was before.
    rig.turn();
    rig.streams[1].set_away("unplugged", false);
    let begun = rig.start().unwrap();
    let of = |camera: u32| begun.iter().find(|s| s.camera == camera).unwrap();
    assert_eq!((of(1).error.as_str(), of(2).error.as_str()), ("", "unplugged"));
    let told = rig.hub.events();
    assert!(told.iter().any(|e| e.camera == 2 && e.text.contains("unplugged")), "{told:?}");
    rig.until("the one that is there", |rig| rig.runs(1));
    for _ in 0..125 {
        rig.turn();
    }
    assert!(!rig.runs(2));
    let back = utc_now().millis();
    rig.streams[1].set_away("", false);
    rig.until("the one that is back", |rig| rig.runs(2));
    rig.hub.record(RecordAct::Stop, None, None, |_| {}).unwrap();
    rig.until("the end", |rig| rig.rows().len() == 2);
    let row = rig.rows().into_iter().find(|row| row.camera == 2).unwrap();
    assert!(row.timestamp_start >= back, "nothing from before is in it");
    for stream in &rig.streams {
        stream.set_away("unplugged", false);
    }
    let refusal = rig.start().unwrap_err();
    assert_eq!(refusal.code, "CAMERA_NOT_CONNECTED");
    assert!(refusal.message.contains("camera 1: unplugged"), "{}", refusal.message);
}

#[test]
fn what_was_recorded_before_a_crash_counts_for_the_limit() {
    let plan = Plan { limit_secs: 60, ..Plan::default() };
    let going = Going { stream: "cam1/main".to_owned(), plan, paused: false, spent_secs: 58 };
    let over = Going { stream: "cam2/main".to_owned(), spent_secs: 60, ..going.clone() };
    let list = serde_json::to_string(&[going, over]).unwrap();
    let mut rig = Rig::new("spent", &list);
    rig.until("the recording to go on", |rig| rig.runs(1));
    assert!(!rig.runs(2), "it was over");
    let path = rig.data.join("state/recording.json");
    rig.until("the limit", |rig| !rig.hub.recording().0);
    rig.until("its row", |rig| rig.rows().iter().any(|r| r.duration > 0));
    let row = rig.rows().remove(0);
    assert!((1500..3000).contains(&row.duration), "{row:?}");
    assert_eq!(List::read(&path, MOST).all(), []);
}

#[test]
fn how_long_was_recorded_is_written_down_while_there_is_a_limit() {
    let mut rig = Rig::new("written", "[]");
    let path = rig.data.join("state/recording.json");
    rig.hub.record(RecordAct::Start, Some(1), None, |plan| plan.limit_secs = 600).unwrap();
    rig.until("two seconds", |_| {
        let list = List::read(&path, MOST).all();
        list.first().is_some_and(|going| going.spent_secs >= 2)
    });
}

#[test]
fn another_rate_of_the_camera_is_that_of_the_next_file() {
    let mut rig = Rig::new("rate", "[]");
    rig.hub.record(RecordAct::Start, Some(1), None, |_| {}).unwrap();
    rig.until("a file", |rig| rig.rows().len() == 1);
    rig.set_rate(25.0);
    rig.until("another file", |rig| rig.rows().len() == 2);
    let rates: Vec<f64> = rig.rows().iter().map(|row| row.fps).collect();
    assert_eq!(rates, [50.0, 25.0]);
    // A camera that is away has none.
    rig.set_rate(0.0);
    (0..50).for_each(|_| rig.turn());
    assert_eq!(rig.rows().len(), 2);
}

#[test]
fn bounds_that_are_set_hold_for_what_is_recorded_unless_its_start_named_others() {
    let mut rig = Rig::new("bounds", "[]");
    rig.hub.record(RecordAct::Start, Some(1), None, |_| {}).unwrap();
    rig.hub.record(RecordAct::Start, Some(2), None, |plan| plan.limit_secs = 600).unwrap();
    rig.until("both", |rig| rig.runs(1) && rig.runs(2));
    rig.hub.change(|options| options.plan.segment_secs = 1);
    rig.until("more files of both", |rig| {
        let rows = rig.rows();
        (1..=2).all(|camera| rows.iter().filter(|row| row.camera == camera).count() >= 2)
    });
    rig.hub.change(|options| options.plan.limit_secs = 1);
    rig.until("the end of one", |rig| {
        let started = |camera| {
            rig.hub.states().iter().any(|state| state.camera == camera && state.started_ms > 0)
        };
        !started(1) && started(2)
    });
}
