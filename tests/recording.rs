//! Recordings and snapshots, made over REST by the real binary and read by programs that know
//! nothing of lensd.
#![allow(missing_docs)]

mod play;

use lensd_engine::syntax::sei::Capture;
use play::proof::{check_numbers, messages_of};
use play::{CAMERA, Folder, Play, Server, http, linked_tool, make_h264, run, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn server() -> Server {
    Play::open().users().camera(CAMERA).start()
}

fn ask(server: &Server, head: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = http(server, head, &body);
    (status, serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{head}: {answer}")))
}

fn post(server: &Server, path: &str, body: &Value) -> Value {
    let (status, answer) = ask(server, &format!("POST {path}"), body);
    assert_eq!(status, 200, "{path}: {answer}");
    answer["data"].clone()
}

fn set(server: &Server, keys: &Value) {
    let (status, answer) = ask(server, "PATCH /api/settings", keys);
    assert_eq!(status, 200, "{answer}");
}

fn status(server: &Server) -> Value {
    ask(server, "GET /api/recording/status", &Value::Null).1["data"].clone()
}

/// Waits until the file of a stream plays for so long.
fn recorded(server: &Server, stream: &str, ms: i64) -> Value {
    until("a recording", || {
        let all = status(server);
        let list = all["recordings"].as_array().unwrap().clone();
        list.into_iter().find(|r| {
            r["stream"] == stream
                && r["filename"].is_string()
                && r["duration_ms"].as_i64() >= Some(ms)
        })
    })
}

fn rows(server: &Server) -> Vec<Value> {
    let db = server.folder.file("data/catalog.db");
    let done = run(Command::new("sqlite3").args(["-json", "-readonly"]).arg(db).arg(
        "select id, filename, media_type, state, duration, size, resolution, fps, mode, error, \
         timestamp_start, timestamp_end, title, camera from records order by id",
    ));
    if done.out.is_empty() { Vec::new() } else { serde_json::from_slice(&done.out).unwrap() }
}

/// The rows once all of them have ended.
fn ended(server: &Server, count: usize) -> Vec<Value> {
    until("the end of the recordings", || {
        let all = rows(server);
        (all.len() >= count && all.iter().all(|r| r["state"] != "recording")).then_some(all)
    })
}

fn file(server: &Server, row: &Value) -> PathBuf {
    server.folder.file("data/media").join(row["filename"].as_str().unwrap())
}

fn messages(path: &PathBuf) -> Vec<Capture> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(["-c", "copy", "-f", "h264", "-"]);
    messages_of(&run(&mut command).out)
}

/// Presentation times in seconds, in decode order, and whether each is a key frame.
fn packets(path: &PathBuf) -> Vec<(f64, bool)> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_packets", "-of", "json", "-select_streams", "v"]).arg(path);
    let all: Value = serde_json::from_slice(&run(&mut command).out).unwrap();
    let of = |p: &Value| {
        let time = p["pts_time"].as_str().unwrap().parse().unwrap();
        (time, p["flags"].as_str().unwrap().starts_with('K'))
    };
    all["packets"].as_array().unwrap().iter().map(of).collect()
}

fn probe(path: &PathBuf) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_format", "-show_streams", "-count_frames", "-of", "json"]);
    serde_json::from_slice(&run(command.arg(path)).out).unwrap()
}

/// Other readers of MP4 accept a file, and find the same in it as FFmpeg does.
fn accepted(path: &PathBuf, cut: bool) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/play/mp4.js");
    let mut command = Command::new("node");
    command.env("NODE_PATH", linked_tool("node_modules")).arg(script).arg(path);
    let told = run(command.args(cut.then_some("cut"))).out;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["complaints"], &told["tracks"]), (&json!([]), &json!(1)), "{told}");
    let packets = packets(path);
    let keys = packets.iter().filter(|(_, key)| *key).count();
    // Of a torn end FFmpeg also tells the sample that is there in part.
    for (what, count) in [("samples", packets.len()), ("keys", keys)] {
        let theirs = usize::try_from(told[what].as_u64().unwrap()).unwrap();
        assert!(theirs == count || (cut && theirs + 1 == count), "{what}: {count} {told}");
    }
    // A fragment that is torn names more samples than are there.
    let boxed = told["boxed"].as_u64() >= told["samples"].as_u64();
    assert!(boxed && (cut || told["boxed"] == told["samples"]), "{told}");
    assert_eq!(told["first_dts"], 0, "{told}");
    let stream = &probe(path)["streams"][0];
    assert_eq!((&told["width"], &told["height"]), (&stream["width"], &stream["height"]));
    // A file that is done is an ordinary one, with all its samples in one index.
    assert_eq!(told["fragmented"], cut, "{told}");
    let played: f64 = probe(path)["format"]["duration"].as_str().unwrap().parse().unwrap();
    assert!((told["seconds"].as_f64().unwrap() - played).abs() < 0.2, "{told} {played}");
}

fn decodes(path: &PathBuf) {
    plays(path);
    accepted(path, false);
}

fn plays(path: &PathBuf) {
    let done = run(Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"]));
    assert!(done.err.is_empty(), "{}", done.err);
}

#[test]
fn what_is_recorded_is_what_was_captured_and_when() {
    let server = server();
    let begun = post(&server, "/api/recording/start", &json!({"title": "first"}));
    assert_eq!(begun["stream"], "cam1/main");
    let (code, again) = ask(&server, "POST /api/recording/start", &Value::Null);
    assert_eq!((code, again["code"].as_str()), (409, Some("RECORDING_IN_PROGRESS")));
    recorded(&server, "cam1/main", 3000);
    let stopped = post(&server, "/api/recording/stop", &Value::Null);
    assert_eq!(stopped["state"], "stopped");
    let (code, nothing) = ask(&server, "POST /api/recording/stop", &Value::Null);
    assert_eq!((code, nothing["code"].as_str()), (409, Some("NOT_RECORDING")));

    let rows = ended(&server, 1);
    assert_eq!((rows.len(), rows[0]["state"].as_str()), (1, Some("ready")), "{rows:?}");
    let path = file(&server, &rows[0]);
    decodes(&path);
    let seen = messages(&path);
    let numbers: Vec<u32> = seen.iter().map(|m| m.number).collect();
    check_numbers(&server, 1, &numbers);
    let times = packets(&path);
    assert_eq!(times.len(), seen.len());
    let made = times.len() as u64 + server.camera_lost(1);
    assert!(made >= 150 && times[0] == (0.0, true), "{made}, {:?}", times.first());
    for (packet, message) in times.iter().zip(&seen) {
        let captured = message.mono.since(seen[0].mono).0 as f64 / 1e9;
        // One tick of 90 kHz.
        assert!((packet.0 - captured).abs() < 12e-6, "{packet:?} {captured}");
    }
    let told = probe(&path);
    let stream = &told["streams"][0];
    assert_eq!(stream["nb_frames"], stream["nb_read_frames"]);
    assert_eq!(told["format"]["tags"]["title"], "first");
    // The row says the same as the pictures.
    let first_ms = seen[0].utc.millis();
    assert!((rows[0]["timestamp_start"].as_i64().unwrap() - first_ms).abs() <= 1);
    let last_ms = seen[seen.len() - 1].utc.millis();
    assert!((rows[0]["timestamp_end"].as_i64().unwrap() - last_ms).abs() <= 1, "{rows:?}");
    let duration = told["format"]["duration"].as_str().unwrap().parse::<f64>().unwrap();
    assert!((rows[0]["duration"].as_f64().unwrap() / 1000.0 - duration).abs() < 0.002);
    assert_eq!(rows[0]["size"].as_u64(), Some(fs::metadata(&path).unwrap().len()));
    // OpenCV finds pictures by their numbers, which it takes from their times: where the camera has
    // left some out, it is mistaken by as many.
    let script = "
import cv2, sys
film = cv2.VideoCapture(sys.argv[1])
count = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
assert count == int(sys.argv[2]), count
for place in (count - 3, 7, count // 2):
    film.set(cv2.CAP_PROP_POS_FRAMES, place)
    assert film.read()[0]
    found = film.get(cv2.CAP_PROP_POS_FRAMES)
    assert abs(found - place - 1) <= int(sys.argv[3]), (place, found)
";
    let (count, lost) = (times.len().to_string(), server.camera_lost(1).to_string());
    run(Command::new(linked_tool("python3")).args(["-c", script]).arg(&path).args([count, lost]));
    run(Command::new("gst-launch-1.0")
        .args(["-q", "filesrc"])
        .arg(format!("location={}", path.display()))
        .args(["!", "qtdemux", "!", "h264parse", "!", "avdec_h264", "!", "fakesink"]));
    // And a check sum, some seconds later.
    let sum = run(Command::new("sha256sum").arg(&path)).out;
    let sum = String::from_utf8_lossy(&sum)[..64].to_owned();
    until("the check sum", || {
        let db = server.folder.file("data/catalog.db");
        let mut command = Command::new("sqlite3");
        let done = run(command.arg("-readonly").arg(db).arg("select sha256 from records"));
        (String::from_utf8_lossy(&done.out).trim() == sum).then_some(())
    });
}

#[test]
fn a_pause_is_no_gap() {
    let server = server();
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 1000);
    post(&server, "/api/recording/pause", &Value::Null);
    let paused = until("the pause", || {
        let all = status(&server);
        (all["paused"] == true).then(|| all["recordings"][0].clone())
    });
    play::proof::let_frames_pass(&server, 60);
    post(&server, "/api/recording/resume", &Value::Null);
    recorded(&server, "cam1/main", paused["duration_ms"].as_i64().unwrap() + 1000);
    post(&server, "/api/recording/stop", &Value::Null);
    let rows = ended(&server, 1);
    assert_eq!(rows.len(), 1, "it is one file: {rows:?}");
    let path = file(&server, &rows[0]);
    decodes(&path);
    let (times, seen) = (packets(&path), messages(&path));
    let mut jumps = 0;
    for (pair, captured) in times.windows(2).zip(seen.windows(2)) {
        let missing = captured[1].number - captured[0].number > 20;
        jumps += u32::from(missing);
        let real = captured[1].mono.since(captured[0].mono).0 as f64 / 1e9;
        let played = pair[1].0 - pair[0].0;
        if missing {
            assert!(pair[1].1 && played < 0.5, "{played} s after a pause of {real} s");
        } else {
            assert!((played - real).abs() < 24e-6, "{played} {real}");
        }
    }
    assert_eq!(jumps, 1, "the pause left pictures out, once");
}

#[test]
fn time_lapse_and_slow_motion_play_at_their_own_rates() {
    let server = server();
    set(
        &server,
        &json!({
            "record-mode": "time-lapse", "time-lapse-interval": 0.5, "time-lapse-rate": 10,
        }),
    );
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 600);
    post(&server, "/api/recording/stop", &Value::Null);
    let row = ended(&server, 1).remove(0);
    assert_eq!((row["mode"].as_str(), row["fps"].as_f64()), (Some("time-lapse"), Some(10.0)));
    let path = file(&server, &row);
    decodes(&path);
    let (times, seen) = (packets(&path), messages(&path));
    for (place, (time, key)) in times.iter().enumerate() {
        assert!(*key && (time - place as f64 / 10.0).abs() < 1e-4, "{times:?}");
    }
    for pair in seen.windows(2) {
        assert!(pair[1].number - pair[0].number >= 20, "{seen:?}");
    }

    // Slower than it was captured, by two.
    set(&server, &json!({"record-mode": "slow-motion", "slow-motion-rate": 25}));
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 2000);
    post(&server, "/api/recording/stop", &Value::Null);
    let path = file(&server, &ended(&server, 2)[1]);
    decodes(&path);
    let (times, seen) = (packets(&path), messages(&path));
    let last = times.len() - 1;
    let real = seen[last].mono.since(seen[0].mono).0 as f64 / 1e9;
    assert!((times[last].0 / real - 2.0).abs() < 0.001, "{} {real}", times[last].0);
    // A camera that is no faster cannot.
    set(&server, &json!({"slow-motion-rate": 60}));
    let (code, why) = ask(&server, "POST /api/recording/start", &Value::Null);
    assert_eq!((code, why["code"].as_str()), (422, Some("INVALID_VALUE")), "{why}");
    assert!(why["message"].as_str().unwrap().contains("50"), "{why}");
    // What is wrong is named.
    for (key, wrong) in [
        ("stream", json!({"stream": "third"})),
        ("camera", json!({"camera": "front"})),
        ("duration", json!({"duration": "long"})),
        ("titel", json!({"titel": "a"})),
    ] {
        let (code, why) = ask(&server, "POST /api/recording/start", &wrong);
        assert_eq!((code, &why["key"]), (422, &json!(key)), "{why}");
    }
}

#[test]
fn what_was_before_the_start_is_part_of_it() {
    let server = server();
    set(&server, &json!({"pre-event": 3.0}));
    until("the recorder to be armed", || {
        let all = status(&server);
        (all["recordings"][0]["state"] == "armed" && all["recording"] == false).then_some(())
    });
    play::proof::let_frames_pass(&server, 250);
    let asked = lensd_ffi::time::utc_now().millis();
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 4000);
    post(&server, "/api/recording/stop", &Value::Null);
    let path = file(&server, &ended(&server, 1)[0]);
    decodes(&path);
    let seen = messages(&path);
    check_numbers(&server, 1, &seen.iter().map(|m| m.number).collect::<Vec<_>>());
    let early = asked - seen[0].utc.millis();
    // With the group of pictures that it begins in.
    assert!((2900..6000).contains(&early), "it begins {early} ms before the start");
}

#[test]
fn files_end_where_they_are_told_to_and_nothing_is_lost_between() {
    let server = server();
    set(&server, &json!({"record-segment": 1}));
    post(&server, "/api/recording/start", &json!({"duration": 4}));
    recorded(&server, "cam1/main", 500);
    until("four seconds", || (status(&server)["recording"] == false).then_some(()));
    let rows = ended(&server, 3);
    assert!((3..=5).contains(&rows.len()), "{rows:?}");
    let mut all = Vec::new();
    for row in &rows {
        let path = file(&server, row);
        decodes(&path);
        assert!(packets(&path)[0] == (0.0, true));
        all.extend(messages(&path).iter().map(|m| m.number));
    }
    check_numbers(&server, 1, &all);
    assert!((190..=215).contains(&all.len()), "{} pictures of four seconds", all.len());
}

#[test]
fn both_streams_and_jpeg_at_the_same_time() {
    let server = Play::open().users().camera("test:?size=640x360&fps=25").camera(CAMERA).start();
    set(&server, &json!({"record-camera": "all", "record-stream": "both"}));
    let begun = post(&server, "/api/recording/start", &Value::Null);
    assert_eq!(begun["recordings"].as_array().unwrap().len(), 4, "{begun}");
    post(&server, "/api/recording/start", &json!({"camera": 1, "stream": "mjpeg"}));
    for stream in ["cam1/main", "cam1/sub", "cam1/mjpeg", "cam2/main", "cam2/sub"] {
        recorded(&server, stream, 1500);
    }
    post(&server, "/api/recording/stop", &json!({"camera": "cam2"}));
    until("two of them to end", || {
        let all = status(&server);
        let all = all["recordings"].as_array().unwrap().iter();
        (all.filter(|r| r["started"].as_i64() > Some(0)).count() == 3).then_some(())
    });
    post(&server, "/api/recording/stop", &Value::Null);
    let rows = ended(&server, 5);
    assert_eq!(rows.len(), 5, "{rows:?}");
    for row in &rows {
        let path = file(&server, row);
        decodes(&path);
        let name = row["filename"].as_str().unwrap();
        let codec = if name.contains("_mjpeg") { "mjpeg" } else { "h264" };
        assert_eq!(probe(&path)["streams"][0]["codec_name"], codec, "{name}");
    }
}

#[test]
fn an_engine_that_is_killed_loses_half_a_second_at_most_and_goes_on() {
    let mut server = server();
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 1500);
    let newest = || lensd_ffi::time::utc_now().millis();
    let at = newest();
    server.kill_plane("engine");
    // It records again by itself, and the first file is mended.
    let rows = until("both files", || {
        let all = rows(&server);
        (all.len() == 2 && all[0]["state"] == "ready").then_some(all)
    });
    assert_eq!(rows[0]["error"], "cut off, and mended");
    let path = file(&server, &rows[0]);
    decodes(&path);
    let seen = messages(&path);
    // What the camera itself left out died with the engine's count of it.
    assert!(seen.windows(2).all(|p| (1..25).contains(&(p[1].number - p[0].number))), "{seen:?}");
    let lost = at - seen[seen.len() - 1].utc.millis();
    assert!(lost <= 500, "{lost} ms are lost");
    recorded(&server, "cam1/main", 500);
    // A clean end closes the file, and the next start goes on again.
    assert!(server.end(Signal::TERM).success());
    let last = rows_of(&server.folder);
    assert!(last.iter().all(|r| r["state"] == "ready"), "{last:?}");
    decodes(&file(&server, &last[1]));
}

#[test]
fn what_is_cut_off_is_whole_as_far_as_it_goes() {
    let server = server();
    for kind in ["main", "mjpeg"] {
        set(&server, &json!({ "record-stream": kind }));
        post(&server, "/api/recording/start", &Value::Null);
        let running = recorded(&server, &format!("cam1/{kind}"), 1500);
        // As after the power went, with nobody to mend it: between fragments, and within one.
        let bytes = fs::read(file(&server, &running)).unwrap();
        post(&server, "/api/recording/stop", &Value::Null);
        for (name, length) in [("growing", bytes.len()), ("torn", bytes.len() - 333)] {
            let path = server.folder.file(&format!("{kind}-{name}.mp4"));
            fs::write(&path, &bytes[..length]).unwrap();
            accepted(&path, true);
            let seen = packets(&path).len();
            assert!(seen > 50, "{name}: {seen} pictures");
            if name == "growing" {
                plays(&path);
            }
        }
    }
}

fn rows_of(folder: &Folder) -> Vec<Value> {
    let mut command = Command::new("sqlite3");
    command.args(["-json", "-readonly"]).arg(folder.file("data/catalog.db"));
    let done = run(command.arg("select filename, state, error from records order by id"));
    serde_json::from_slice(&done.out).unwrap()
}

#[test]
fn passed_through_streams_begin_at_the_newest_key_frame() {
    let folder = Folder::new();
    let source = folder.file("source.h264");
    make_h264(&source, 1000, 250);
    let spec = format!("file:{}", source.display());
    let server = Play::open().users().camera(&spec).start();
    play::proof::let_frames_pass(&server, 30);
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 500);
    post(&server, "/api/recording/stop", &Value::Null);
    let path = file(&server, &ended(&server, 1)[0]);
    decodes(&path);
    assert_eq!(packets(&path)[0], (0.0, true));
}

#[test]
fn snapshots_say_when_they_were_taken() {
    let server = server();
    let plain = post(&server, "/api/snapshot", &json!({"title": "A title", "quality": 85}));
    let stamped = post(&server, "/api/snapshot", &json!({"stamp": true}));
    let row = &ended(&server, 2)[0];
    assert_eq!(row["filename"], plain["filename"]);
    assert_eq!(
        (row["title"].as_str(), row["media_type"].as_str()),
        (Some("A title"), Some("image"))
    );
    for shot in [&plain, &stamped] {
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-show_frames", "-of", "json"]).arg(file(&server, shot));
        let told: Value = serde_json::from_slice(&run(&mut command).out).unwrap();
        let (frame, tags) = (&told["frames"][0], &told["frames"][0]["tags"]);
        let tag =
            |name: &str| tags[name].as_str().unwrap_or_else(|| panic!("{name}: {tags}")).trim();
        assert_eq!((tag("Make"), tag("Model")), ("lensd", "test camera"));
        assert_eq!((frame["width"].as_u64(), frame["height"].as_u64()), (Some(320), Some(180)));
        // Offset and parts of a second, by EXIF's numbers where FFmpeg has no name for them.
        let (date, clock) = tag("DateTimeOriginal").split_once(' ').unwrap();
        let (parts, zone) = (tag("SubSecTimeOriginal"), tag("0x9011"));
        let text = format!("{} {clock}.{parts}{zone}", date.replace(':', "-"));
        let done = run(Command::new("date").args(["-d", &text, "+%s%3N"]));
        let ms: i64 = String::from_utf8_lossy(&done.out).trim().parse().unwrap();
        assert!((ms - shot["captured"].as_i64().unwrap()).abs() <= 1, "{text} {shot}");
    }
    // By key, and one that takes the place of the one before.
    set(&server, &json!({"snap-keep-one": true}));
    set(&server, &json!({"snap": true}));
    until("the third in the place of the second", || {
        let all = rows(&server);
        let second = all.iter().any(|r| r["filename"] == stamped["filename"]);
        (all.len() == 2 && !second).then_some(())
    });
    assert!(!file(&server, &stamped).exists());
}

#[test]
fn a_still_shows_its_time_when_that_is_asked_for() {
    let server = server();
    let get = |query: &str| {
        let (head, body) = (server.folder.file("head"), server.folder.file("still.jpg"));
        let url = server.http(&format!("api/snapshot?quality=90{query}"));
        let mut command = Command::new("curl");
        command.args(["-s", "-u", "ann:secret123", "-D"]).arg(&head).arg("-o").arg(&body);
        run(command.arg(url));
        (fs::read_to_string(&head).unwrap(), body)
    };
    // The time stands at the top left, where the camera's marks have a black edge of 16 pixels.
    let bright = |path: &PathBuf| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(path);
        let luma = run(command.args(["-f", "rawvideo", "-pix_fmt", "gray", "-"])).out;
        assert_eq!(luma.len(), 320 * 180);
        let edge = luma.chunks(320).take(16).flat_map(|row| &row[..288]);
        edge.filter(|luma| **luma > 150).count()
    };
    let (head, path) = get("&stamp=1");
    assert!(head.contains("image/jpeg") && head.contains("X-Capture-Time: "), "{head}");
    assert!(bright(&path) > 50, "{}", bright(&path));
    for query in ["", "&stamp=0", "&stamp=false"] {
        assert!(bright(&get(query).1) < 20, "{query}: {}", bright(&get(query).1));
    }
    let (head, _) = get("&stamp=maybe");
    assert!(head.contains(" 422 "), "{head}");
}

#[test]
fn snapshots_by_interval_go_on_without_the_control_plane() {
    let mut server = server();
    set(&server, &json!({ "snap-interval": 1 }));
    until("the first", || (!rows(&server).is_empty()).then_some(()));
    // Whenever there is one, it is killed: it is away for longer each time.
    let before = rows(&server).len();
    until("more of them", || {
        server.kill_plane("control");
        (rows(&server).len() >= before + 3).then_some(())
    });
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let server = server();
    for (path, body, code, word) in [
        ("start", json!({"camera": 7}), 404, "no camera 7"),
        ("start", json!({"stream": "noise"}), 422, "main, sub and mjpeg"),
        ("start", json!({"duration": 0}), 422, "between 1 and"),
        ("start", json!({"camera": "x"}), 422, "camera's number"),
        ("start", json!({"colour": 1}), 422, "colour"),
        ("pause", json!({}), 409, "nothing"),
    ] {
        let (status, answer) = ask(&server, &format!("POST /api/recording/{path}"), &body);
        assert_eq!(status, code, "{body} {answer}");
        assert!(answer["message"].as_str().unwrap().contains(word), "{answer}");
    }
    let (status, answer) =
        ask(&server, "POST /api/settings/record-schedule", &json!({"value": "sometimes"}));
    assert_eq!(status, 422, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("Mon-Fri 08:00-18:00"), "{answer}");
    assert!(rows(&server).is_empty());
}

#[test]
fn the_schedule_records_and_retention_removes() {
    let server = server();
    set(&server, &json!({"record-segment": 1, "keep-count": 2, "record-schedule": "always"}));
    let late = until("the third file", || {
        let all = rows(&server);
        (all.last().is_some_and(|r| r["id"].as_i64() > Some(4))).then_some(all)
    });
    assert!(late.len() < 5 + 5, "{late:?}");
    until("the oldest to be gone", || {
        let all = rows(&server);
        (all.iter().filter(|r| r["state"] == "ready").count() <= 4
            && all[0]["id"].as_i64() > Some(1))
        .then_some(())
    });
    set(&server, &json!({"record-schedule": ""}));
    until("the end of the window", || (status(&server)["recording"] == false).then_some(()));
    for row in ended(&server, 1) {
        assert!(file(&server, &row).exists(), "{row}");
    }
}

#[test]
fn recordings_are_played_over_rtsp_also_while_they_grow_and_after_they_are_deleted() {
    let server = server();
    let url = |path: &str| server.rtsp_as("ann:secret123", path);
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 2000);
    // The newest is the one that is being written.
    let mut growing = Command::new("ffmpeg");
    growing.args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url("recording")]);
    let seen = messages_of(&run(growing.args(["-t", "2", "-c", "copy", "-f", "h264", "-"])).out);
    let made = seen.len() as u64 + server.camera_lost(1);
    assert!(made >= 90, "{made} pictures");
    post(&server, "/api/recording/stop", &Value::Null);
    let row = ended(&server, 1).remove(0);
    let kept = messages(&file(&server, &row));
    let path = format!("recording/{}", row["id"]);
    let mut whole = Command::new("ffmpeg");
    whole.args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url(&path)]);
    let played = messages_of(&run(whole.args(["-c", "copy", "-f", "h264", "-"])).out);
    let numbers = |all: &[Capture]| all.iter().map(|m| m.number).collect::<Vec<_>>();
    assert_eq!(numbers(&played), numbers(&kept));

    // What everybody may watch is what the cameras show now.
    let mut nobody = Command::new("ffprobe");
    nobody.args(["-v", "error", "-rtsp_transport", "tcp", &server.rtsp(&path)]);
    assert!(String::from_utf8_lossy(&nobody.output().unwrap().stderr).contains("401"));

    // Deleting takes nothing away from who plays, and there is nothing to play afterwards.
    let mut player = Command::new("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "tcp", "-i", &url(&path)]);
    let player = play::Running::start(player.args(["-c", "copy", "-f", "h264", "-"]));
    until("the player", || {
        let list = server.clients();
        list.iter()
            .any(|c| c["path"].as_str().is_some_and(|p| p.contains("recording")))
            .then_some(())
    });
    let (code, answer) =
        ask(&server, &format!("DELETE /api/recordings/{}", row["id"]), &Value::Null);
    assert_eq!(code, 200, "{answer}");
    assert!(!file(&server, &row).exists() && rows(&server).is_empty());
    assert_eq!(numbers(&messages_of(&player.succeed().out)), numbers(&kept));
    let mut late = Command::new("ffprobe");
    let done = late.args(["-v", "error", "-rtsp_transport", "tcp", &url(&path)]).output();
    assert!(String::from_utf8_lossy(&done.unwrap().stderr).contains("404"));
}

#[test]
fn thumbnails_and_downloads_of_what_was_recorded() {
    let server = server();
    post(&server, "/api/recording/start", &Value::Null);
    recorded(&server, "cam1/main", 500);
    post(&server, "/api/snapshot", &Value::Null);
    post(&server, "/api/recording/stop", &Value::Null);
    let rows = ended(&server, 2);
    for row in &rows {
        for (part, own) in [("/thumbnail", false), ("", true)] {
            let url = server.http(&format!("api/recordings/{}{part}", row["id"]));
            let got = server.folder.file("got");
            run(Command::new("curl")
                .args(["-sf", "-u", "ann:secret123", "-o"])
                .arg(&got)
                .arg(&url));
            if own {
                assert_eq!(fs::read(&got).unwrap(), fs::read(file(&server, row)).unwrap());
            } else {
                assert_eq!(probe(&got)["streams"][0]["codec_name"], "mjpeg");
            }
        }
    }
}

/// Its disk is a link to what is not mounted yet.
#[test]
fn a_server_without_its_disk_streams_and_records_once_it_is_there() {
    let (command, folder) = Play::open().users().command();
    let disk = folder.file("disk");
    std::os::unix::fs::symlink(&disk, folder.file("data/media")).unwrap();
    let server = Server::start(command, folder);
    until("the reason", || server.log().contains("nothing can be recorded").then_some(()));
    let value = |key: &str| {
        play::ann(&server, "GET", &format!("api/settings/{key}"), "").1["data"]["value"].clone()
    };
    until("its state", || (value("storage-state") == "gone").then_some(()));
    assert_eq!(server.connect().ask("DESCRIBE", "stream1", "").status, 200);
    let (status, body) = play::ann(&server, "POST", "api/recording/start", "");
    assert!(status >= 400, "{body}");
    fs::create_dir(&disk).unwrap();
    until("the disk", || (value("storage-state") == "ok").then_some(()));
    assert_eq!(play::ann(&server, "POST", "api/recording/start", "").0, 200);
    until("a recording", || (value("record-state") == "recording").then_some(()));
    assert_eq!(play::ann(&server, "POST", "api/recording/stop", "").0, 200);
}
