//! Recordings in both forms, read by programs that others wrote: FFmpeg decodes from them exactly
//! the pictures that went in, at exactly their times; OpenCV finds pictures by their number;
//! GStreamer and VLC play and seek in them.
#![allow(missing_docs)]

mod tape;

use lensd_engine::record::mend::mend;
use lensd_ffi::unit::Codec;
use std::path::Path;
use std::process::Command;
use tape::{BEGIN, Folder, decoded, python, record, run, source};

fn probe(path: &Path, entries: &str) -> String {
    let (out, errors) = run(Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", entries, "-of", "default=nw=1:nk=1"])
        .arg(path));
    assert_eq!(errors, "", "{path:?}");
    String::from_utf8(out).unwrap().trim().to_owned()
}

fn both_forms(codec: Codec, name: &str) {
    let folder = Folder::new(name);
    let (source, pictures) = source(&folder.0, codec);
    let path = folder.0.join("recording.mp4");
    record(&path, &pictures);
    let wanted = decoded(&source);
    assert_eq!(wanted.len(), 75);
    assert_eq!(decoded(&path), wanted, "while it is written");

    let mended = mend(&path, Some("Größe \"XL\"")).unwrap();
    assert_eq!((mended.pictures, mended.fragments, mended.duration_ms), (75, 7, 3000));
    assert_eq!(mended.captured_ms, BEGIN.millis());
    assert_eq!(decoded(&path), wanted, "when it is closed");
    assert_eq!(probe(&path, "format=duration"), "3.000000");
    assert_eq!(probe(&path, "stream=start_time"), "0.000000", "the first picture is shown at 0");
    assert_eq!(probe(&path, "format_tags=title"), "Größe \"XL\"");
    assert_eq!(probe(&path, "format_tags=date"), "2026-11-21T14:05:57.250Z");
    assert_eq!(probe(&path, "format_tags=creation_time"), "2026-11-21T14:05:57.000000Z");
    assert_eq!(probe(&path, "stream=nb_frames"), "75");

    // OpenCV, by the number of the picture, wherever key frames are.
    let script = "import cv2, sys\n\
        def grey(v):\n\
        \x20   ok, p = v.read()\n\
        \x20   assert ok\n\
        \x20   return p\n\
        v = cv2.VideoCapture(sys.argv[1])\n\
        assert v.get(cv2.CAP_PROP_FRAME_COUNT) == 75, v.get(cv2.CAP_PROP_FRAME_COUNT)\n\
        all = [grey(v) for _ in range(75)]\n\
        for n in (60, 3, 24, 25, 26, 74, 0, 49):\n\
        \x20   v.set(cv2.CAP_PROP_POS_FRAMES, n)\n\
        \x20   assert (grey(v) == all[n]).all(), n\n";
    run(Command::new(python()).args(["-c", script]).arg(&path));
}

#[test]
fn h264_with_b_pictures() {
    both_forms(Codec::H264, "rec-h264");
}

#[test]
fn h265_with_b_pictures() {
    both_forms(Codec::H265, "rec-h265");
}

#[test]
fn jpeg() {
    both_forms(Codec::Jpeg, "rec-jpeg");
}

#[test]
fn a_file_that_was_cut_plays_up_to_there_and_is_mended() {
    let folder = Folder::new("rec-cut");
    let (source, pictures) = source(&folder.0, Codec::H264);
    let path = folder.0.join("recording.mp4");
    record(&path, &pictures);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1000]).unwrap();
    let mended = mend(&path, None).unwrap();
    assert_eq!((mended.pictures, mended.fragments), (72, 6));
    let (found, wanted) = (decoded(&path), decoded(&source));
    assert!(found.iter().all(|picture| wanted.contains(picture)));
    assert_eq!(found.len(), 72);
}

/// GStreamer plays a file of 75 pictures, and goes to one of them to the picture.
const GSTREAMER: &str = r#"
import sys, gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipe = Gst.parse_launch(
    f"filesrc location={sys.argv[1]} ! qtdemux ! {sys.argv[2]} ! appsink name=sink sync=false")
sink, bus = pipe.get_by_name("sink"), pipe.get_bus()
closed = len(sys.argv) > 3
def wait():
    kinds = Gst.MessageType.ASYNC_DONE | Gst.MessageType.ERROR
    message = bus.timed_pop_filtered(20 * Gst.SECOND, kinds)
    assert message and message.type == Gst.MessageType.ASYNC_DONE, message and message.parse_error()
def times():
    out = []
    while True:
        sample = sink.emit("try-pull-sample", 10 * Gst.SECOND)
        if not sample:
            assert sink.get_property("eos"), "no end"
            # What is still written begins at any time.
            begin = 0 if closed else out[0]
            return [round(n - begin, 2) for n in out]
        time = sample.get_segment().to_stream_time(Gst.Format.TIME, sample.get_buffer().pts)
        out.append(time / Gst.SECOND * 25)
pipe.set_state(Gst.State.PAUSED)
wait()
pipe.set_state(Gst.State.PLAYING)
all = times()
assert all == list(range(75)), all
if closed:
    ok, duration = pipe.query_duration(Gst.Format.TIME)
    assert ok and duration == 3 * Gst.SECOND, duration
    flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
    assert pipe.seek_simple(Gst.Format.TIME, flags, 37 * Gst.SECOND // 25)
    wait()
    after = times()
    assert after == list(range(37, 75)), after
pipe.set_state(Gst.State.NULL)
"#;

#[test]
fn gstreamer_and_vlc_play_both_forms() {
    let codecs = [
        (Codec::H264, "h264parse ! avdec_h264"),
        (Codec::H265, "h265parse ! avdec_h265"),
        (Codec::Jpeg, "jpegdec"),
    ];
    for (codec, decoder) in codecs {
        let folder = Folder::new(&format!("rec-players-{codec:?}"));
        let (_, pictures) = source(&folder.0, codec);
        let path = folder.0.join("recording.mp4");
        record(&path, &pictures);
        let file = path.to_str().unwrap();
        run(Command::new("/usr/bin/python3").args(["-c", GSTREAMER, file, decoder]));
        assert!(vlc(&folder, &path, "0") >= 60, "while it is written");
        mend(&path, None).unwrap();
        run(Command::new("/usr/bin/python3").args(["-c", GSTREAMER, file, decoder, "seek"]));
        assert!(vlc(&folder, &path, "0") >= 60, "when it is closed");
        let after = vlc(&folder, &path, "2");
        assert!((10..=40).contains(&after), "{after} pictures from 2 s on");
    }
}

/// How many pictures VLC shows of a file from `begin` on.
fn vlc(folder: &Folder, file: &Path, begin: &str) -> usize {
    use std::os::unix::fs::PermissionsExt;
    let home = folder.0.join("vlc");
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home).unwrap();
    for (path, mode) in [(&folder.0, 0o755), (&home, 0o777)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    // VLC refuses to be root.
    let root = rustix::process::getuid().is_root();
    let mut command = Command::new(if root { "setpriv" } else { "cvlc" });
    if root {
        command.args(["--reuid=nobody", "--clear-groups", "cvlc"]);
    }
    let pictures = format!("--scene-path={}", home.display());
    command.env("HOME", &home).args(["--quiet", "--no-audio", "--vout=dummy"]).args([
        "--no-drop-late-frames",
        "--no-skip-frames",
        "--video-filter=scene",
        "--scene-format=png",
        "--scene-ratio=1",
        "--play-and-exit",
        "--start-time",
        begin,
        &pictures,
    ]);
    run(command.arg(file).arg("vlc://quit"));
    std::fs::read_dir(&home)
        .unwrap()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|e| e == "png"))
        .count()
}
