//! Recordings over RTSP to programs that others wrote: FFmpeg gets every picture, bit by bit and at
//! its time, and so does GStreamer; both find the place that they ask for.
#![allow(missing_docs)]

mod tape;

use lensd_engine::config::RtspOptions;
use lensd_engine::record::mend::mend;
use lensd_engine::replay::{Found, Shelf};
use lensd_engine::rtsp::client::Way;
use lensd_engine::rtsp::replay::Replays;
use lensd_engine::rtsp::serve::{Server, View};
use lensd_engine::rtsp::udp::Pair;
use lensd_engine::rtsp::world::World;
use lensd_engine::users::UserTable;
use lensd_ffi::auth::{Access, Lockout, Permission, Rights, Users};
use lensd_ffi::bell::Bell;
use lensd_ffi::unit::Codec;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tape::{Folder, decoded, decoded_with, record, run, source};

/// Recordings by their number.
struct Files(PathBuf);

impl Shelf for Files {
    fn find(&self, id: Option<i64>) -> Option<Found> {
        let id = id?;
        let path = self.0.join(format!("{id}.mp4"));
        path.exists().then_some(Found { id, path, growing: false })
    }
}

/// An RTSP server with nothing but recordings.
struct Running {
    address: SocketAddr,
    view: Arc<View>,
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(folder: &Folder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let users = Arc::new(UserTable::new(true, Lockout::new()));
        let bell = Arc::new(Bell::new().unwrap());
        let shelf: Arc<dyn Shelf> = Arc::new(Files(folder.0.clone()));
        // What was recorded is for those who may read Media: here everybody.
        let guest = Rights::NONE.with(Access::read(Permission::Media));
        let mut guard = users.guard([0; 32]);
        guard.set_users(Users { guest, ..Users::default() });
        let world = World {
            options: RtspOptions::default(),
            switchboard: Arc::default(),
            posts: HashMap::new(),
            udp: Pair::bind(address.ip(), 0).unwrap(),
            way: Way { segment_ok: true, ..Way::default() },
            addresses: HashMap::new(),
            guard,
            users,
            bell: Arc::clone(&bell),
            sessions: 0,
            ingest: Arc::default(),
            groups: HashMap::new(),
            unfit: HashMap::new(),
            logins: Vec::new(),
            random: || 0xfff0_1234_ffff_f000,
            replays: Replays { shelf: Some(shelf), ..Replays::default() },
            scenes: Arc::default(),
            feeds: Vec::new(),
        };
        let view = Arc::new(View::default());
        let server =
            Server::new(Some(listener), None, world, Bell::new().unwrap(), Arc::clone(&view));
        let server = server.unwrap();
        let body = move || server.run().unwrap();
        let thread = std::thread::Builder::new().name("rtsp".to_owned()).spawn(body).unwrap();
        Self { address, view, bell, thread: Some(thread) }
    }

    fn url(&self, id: u32) -> String {
        format!("rtsp://{}/recording/{id}", self.address)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.view.stop.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Times to a millisecond, pictures to the bit.
fn check(found: &[(i64, String)], wanted: &[(i64, String)]) {
    let hashes = |all: &[(i64, String)]| all.iter().map(|one| one.1.clone()).collect::<Vec<_>>();
    assert_eq!(hashes(found), hashes(wanted));
    for (found, wanted) in found.iter().zip(wanted) {
        let (found, wanted) = (found.0 - wanted.0, wanted.0);
        assert!(found.abs() <= 90, "{found} ticks off at {wanted}");
    }
}

/// Number 1 is being written, or was cut off; number 2 is closed.
fn played(codec: Codec, name: &str) {
    let folder = Folder::new(name);
    let (source, pictures) = source(&folder.0, codec);
    for id in ["1.mp4", "2.mp4"] {
        record(&folder.0.join(id), &pictures);
    }
    mend(&folder.0.join("2.mp4"), None).unwrap();
    let wanted = decoded(&source);
    let server = Running::start(&folder);
    for (id, transport) in [(1, "tcp"), (2, "tcp"), (2, "udp"), (2, "http")] {
        let url = server.url(id);
        let found = decoded_with(&["-rtsp_transport", transport], url.as_ref());
        check(&found, &wanted);
    }
    // FFmpeg is sent the key frame before. To the first picture of a stream that has B pictures it
    // gives no time.
    let url = server.url(2);
    let seek = ["-rtsp_transport", "tcp", "-noaccurate_seek", "-ss", "1.5"];
    let found = decoded_with(&seek, url.as_ref());
    assert_eq!(found[0].1, wanted[if codec == Codec::Jpeg { 37 } else { 25 }].1);
    let from = wanted.len() - found.len() + 1;
    let since_second = |all: &[(i64, String)]| -> Vec<_> {
        all.iter().map(|(at, hash)| (at - all[0].0, hash.clone())).collect()
    };
    check(&since_second(&found[1..]), &since_second(&wanted[from..]));
    let out = run(Command::new("ffprobe").args(["-v", "error", "-rtsp_transport", "tcp"]).args([
        "-show_entries",
        "format=duration",
        "-of",
        "default=nw=1:nk=1",
        &url,
    ]));
    assert_eq!(String::from_utf8_lossy(&out.0).trim(), "3.000000");
}

#[test]
fn h264_with_b_pictures() {
    played(Codec::H264, "replay-h264");
}

#[test]
fn h265_with_b_pictures() {
    played(Codec::H265, "replay-h265");
}

#[test]
fn jpeg() {
    played(Codec::Jpeg, "replay-jpeg");
}

/// GStreamer plays, seeks, and plays to the end.
const GSTREAMER: &str = r#"
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
url, protocol, depay = sys.argv[1:4]
pipe = Gst.parse_launch(
    f"rtspsrc name=src location={url} protocols={protocol} latency=100 buffer-mode=none ! {depay} ! "
    "appsink name=sink sync=false max-buffers=500")
sink, bus = pipe.get_by_name("sink"), pipe.get_bus()
def wait(kinds):
    message = bus.timed_pop_filtered(20 * Gst.SECOND, kinds | Gst.MessageType.ERROR)
    assert message, "nothing happens"
    assert message.type != Gst.MessageType.ERROR, message.parse_error()
def times(most=1000):
    out = []
    while len(out) < most:
        sample = sink.emit("try-pull-sample", 10 * Gst.SECOND)
        if not sample:
            assert sink.get_property("eos"), "no end"
            return out
        segment, buffer = sample.get_segment(), sample.get_buffer()
        out.append(segment.to_stream_time(Gst.Format.TIME, buffer.pts) / Gst.SECOND)
    return out
pipe.set_state(Gst.State.PLAYING)
wait(Gst.MessageType.ASYNC_DONE)
# Not to the end: whom we have said goodbye to would go on with a source that is to be forgotten.
all = times(30)
assert set(range(20)) <= {round(t * 25) for t in all}, all
ok, duration = pipe.query_duration(Gst.Format.TIME)
assert ok and duration == 3 * Gst.SECOND, duration
flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT
assert pipe.seek(1, Gst.Format.TIME, flags, Gst.SeekType.SET, 1_500_000_000, Gst.SeekType.NONE, 0)
wait(Gst.MessageType.ASYNC_DONE)
after = times()
assert sorted(round(t * 25) for t in after) == list(range(25, 75)), after
pipe.set_state(Gst.State.NULL)
print("good")
"#;

#[test]
fn gstreamer_plays_and_seeks() {
    let folder = Folder::new("replay-gst");
    let (_, pictures) = source(&folder.0, Codec::H264);
    record(&folder.0.join("1.mp4"), &pictures);
    mend(&folder.0.join("1.mp4"), None).unwrap();
    let server = Running::start(&folder);
    for protocol in ["tcp", "udp"] {
        let depay = "rtph264depay ! h264parse ! video/x-h264,alignment=au";
        let args = ["-c", GSTREAMER, &server.url(1), protocol, depay];
        let (out, errors) = run(Command::new("/usr/bin/python3").args(args));
        assert!(out.starts_with(b"good"), "{errors}");
    }
}
