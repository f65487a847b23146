//! Every carrier of the capture time against the one that is in the picture itself, as programs
//! read them that know nothing of lensd: to the millisecond, and closer where the carrier is.
#![allow(missing_docs)]

mod play;

use play::proof::{let_frames_pass, marks_of};
use play::{Folder, LIMIT, Play, Running, Server, http, linked_tool, make_h264, run, until};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

const MS: i64 = 1_000_000;
/// A tick of the RTP clock is 11.1 us, and a report may be off by one of its own.
const TICKS: i64 = 2 * 11_112;
const BOTH: &str = "?ext=ntp-64,abs-capture-time";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/carriers").join(name)
}

/// UTC in nanoseconds of an NTP time (RFC 5905 section 6).
fn unix_of(ntp: &Value) -> i64 {
    let ns = (u128::from(ntp.as_u64().unwrap()) * 1_000_000_000) >> 32;
    i64::try_from(ns).unwrap() - 2_208_988_800_000_000_000
}

fn whole(line: &Value, name: &str) -> i64 {
    line[name].as_i64().unwrap_or_else(|| panic!("{name} of {line}"))
}

fn ticks(line: &Value) -> u32 {
    u32::try_from(whole(line, "rtp")).unwrap()
}

fn witness(server: &Server, transport: &str, path: &str, frames: u32, pause: bool) -> Running {
    let mut command = server.tool(linked_tool("python3").to_str().unwrap());
    command.arg(script("witness.py")).args([transport, &server.rtsp(path), &frames.to_string()]);
    if pause {
        command.arg("--pause");
    }
    Running::start(&mut command)
}

fn lines(out: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(out);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a witness has seen of a stream, checked against the message in its pictures.
struct Seen {
    sdp: String,
    /// Header extensions of the frames: identifier and time, by frames.
    extensions: Vec<Vec<(String, i64)>>,
}

fn check(lines: &[Value]) -> Seen {
    let mut seen = Seen { sdp: String::new(), extensions: Vec::new() };
    let mut report: Option<&Value> = None;
    let mut first: Option<&Value> = None;
    for line in lines {
        if let Some(sdp) = line["sdp"].as_str() {
            sdp.clone_into(&mut seen.sdp);
        } else if line.get("play").is_some() {
            // What was heard before a pause is not what who begins now has heard.
            report = None;
        } else if line.get("sr").is_some() {
            report = Some(line);
        } else {
            let report = report.unwrap_or_else(|| panic!("no report before {line}"));
            let utc = whole(line, "utc");
            let since = i64::from(ticks(line).wrapping_sub(ticks(report)).cast_signed());
            let by_report = unix_of(&report["sr"]) + since * 1_000_000_000 / 90_000;
            assert!((by_report - utc).abs() <= TICKS, "{by_report} by {report}, in {line}");
            let first = first.get_or_insert(line);
            let by_time = i64::from(ticks(line).wrapping_sub(ticks(first)).cast_signed());
            let by_mono = whole(line, "mono") - whole(first, "mono");
            let apart = by_time * 1_000_000_000 / 90_000 - by_mono;
            assert!(apart.abs() <= TICKS, "RTP time and capture time are {apart} ns apart: {line}");
            let of = |id: &str| {
                line.get(id).map(|ntp| {
                    let at = unix_of(ntp);
                    assert!((at - utc).abs() <= 1, "extension {id} of {line} says {at}");
                    (id.to_owned(), at)
                })
            };
            seen.extensions.push(["1", "2"].into_iter().filter_map(of).collect());
        }
    }
    seen
}

fn ids(seen: &Seen) -> Vec<Vec<&str>> {
    seen.extensions.iter().map(|e| e.iter().map(|(id, _)| id.as_str()).collect()).collect()
}

#[test]
fn rtp_reports_and_extensions_over_tcp_and_udp_also_after_a_pause() {
    let server = Play::open().start();
    for transport in ["tcp", "udp"] {
        let done = witness(&server, transport, &format!("stream1{BOTH}"), 60, true).succeed();
        let seen = check(&lines(&done.out));
        assert!(
            seen.sdp.contains("a=extmap:1 urn:ietf:params:rtp-hdrext:ntp-64\r\n"),
            "{}",
            seen.sdp
        );
        let webrtc = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
        assert!(seen.sdp.contains(&format!("a=extmap:2 {webrtc}\r\n")), "{}", seen.sdp);
        assert!(seen.extensions.len() >= 120);
        assert!(ids(&seen).iter().all(|ids| ids == &["1", "2"]), "{transport}");
    }
}

#[test]
fn extensions_for_all_and_not_for_who_refuses_them() {
    let settings = "[rtsp]\nextensions = \"abs-capture-time\"\n";
    let server = Play::open().settings(settings).start();
    for (path, want) in
        [("stream1", &["2"][..]), ("stream1?ext=none", &[]), ("stream1?ext=ntp-64", &["1"])]
    {
        let done = witness(&server, "tcp", path, 10, false).succeed();
        let seen = check(&lines(&done.out));
        assert!(ids(&seen).iter().all(|ids| ids == want), "{path}: {:?}", ids(&seen));
        assert_eq!(seen.sdp.matches("a=extmap").count(), want.len());
    }
    // Players that know nothing of them are not disturbed.
    let both = server.rtsp(&format!("stream1{BOTH}"));
    for transport in ["tcp", "udp"] {
        let done = run(Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-rtsp_transport", transport, "-i", &both])
            .args(["-frames:v", "50", "-fps_mode", "passthrough"])
            .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]));
        assert_eq!(marks_of(&done.out, 320, 180, 320 * 180).len(), 50);
        assert!(!done.err.contains("error") && !done.err.contains("Invalid"), "{}", done.err);
    }
    let small = server.rtsp(&format!("cam1/mjpeg{BOTH}"));
    let done = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", &small])
        .args(["-frames:v", "10", "-f", "null", "-"]));
    assert_eq!(done.err, "");
}

#[test]
fn who_joins_a_group_that_plays_is_told_the_time_first() {
    let server = Play::open().isolated().start();
    let other = witness(&server, "multicast", "stream1", 400, false);
    until("the group", || server.clients().iter().any(|c| c["state"] == "playing").then_some(()));
    // The first reports have gone by, and the next is some seconds away.
    let_frames_pass(&server, 50);
    let done = witness(&server, "multicast", "stream1", 150, false).succeed();
    let all = lines(&done.out);
    // Until its answer came it heard what was sent for the other one.
    let from = all.iter().position(|line| line.get("sr").is_some()).expect("a report");
    let heard = all[..from].iter().filter(|line| line.get("frame").is_some()).count();
    assert!(heard < 25, "{heard} frames before the first report; regular ones come every 200");
    assert!(check(&all[from..]).extensions.len() > 100);
    check(&lines(&other.succeed().out));
}

#[test]
fn gstreamer_knows_when_a_packet_was_captured() {
    let server = Play::open().start();
    for path in ["stream1", "stream1?ext=ntp-64"] {
        let done = run(Command::new(linked_tool("python3"))
            .arg(script("gst.py"))
            .args([&server.rtsp(path), "100"]));
        let all = lines(&done.out);
        // At once by the extension; by reports from the one on that comes with the second frame.
        let without = all.iter().filter(|line| line.get("reference").is_none()).count();
        let most = if path.contains("ext") { 0 } else { 50 };
        assert!(without <= most, "{path}: {without} frames without a time");
        for line in all.iter().filter(|line| line.get("reference").is_some()) {
            let apart = whole(line, "reference") - whole(line, "utc");
            assert!(apart.abs() <= MS, "{path}: {apart} ns apart in {line}");
        }
    }
}

/// Luma of a JPEG picture of the test camera.
fn luma(jpeg: &[u8], folder: &Folder) -> Vec<u8> {
    let file = folder.file("picture.jpg");
    fs::write(&file, jpeg).unwrap();
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(file)
        .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]))
    .out
}

/// Head and JPEG, read up to the end of what `length` says.
fn picture(stream: &mut TcpStream, got: &mut Vec<u8>, head_end: usize) -> (String, Vec<u8>) {
    let mut more = |until: &dyn Fn(&[u8]) -> Option<usize>| {
        let mut buffer = [0; 65536];
        loop {
            if let Some(at) = until(got) {
                return at;
            }
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the server has closed");
            got.extend_from_slice(&buffer[..n]);
        }
    };
    let find = |bytes: &[u8]| {
        let at = bytes[head_end..].windows(4).position(|w| w == b"\r\n\r\n")?;
        Some(head_end + at + 4)
    };
    let body = more(&find);
    let head = String::from_utf8_lossy(&got[head_end..body]).into_owned();
    let length: usize = header(&head, "Content-Length").parse().unwrap();
    let mut more = |len: usize| {
        let mut buffer = [0; 65536];
        while got.len() < len {
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the server has closed");
            got.extend_from_slice(&buffer[..n]);
        }
    };
    more(body + length);
    (head, got[body..body + length].to_vec())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find(|l| l.starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {head:?}")).split_once(": ").unwrap().1
}

#[test]
fn pictures_over_http() {
    let server = Play::open().start();
    // UTC less monotonic time: one number for all carriers, as long as nobody sets the clock.
    let done = witness(&server, "tcp", "stream1", 1, false).succeed();
    let frame = lines(&done.out).into_iter().find(|l| l.get("frame").is_some()).unwrap();
    let offset = whole(&frame, "utc") - whole(&frame, "mono");
    let check = |head: &str, name: &str, scale: f64, jpeg: &[u8]| {
        let marks = marks_of(&luma(jpeg, &server.folder), 320, 180, 320 * 180);
        let want = i64::try_from(marks[0].capture.0).unwrap() + offset;
        let told: f64 = header(head, name).parse().unwrap();
        // Milliseconds and microseconds are what is left of nanoseconds.
        let apart = told - (want / 1000) as f64 / scale;
        assert!(apart.abs() * scale <= 1000.0, "{name}: {told}, {want} in the picture");
    };
    let connect = |path: &str| {
        let mut stream = TcpStream::connect(server.address("http")).unwrap();
        stream.set_read_timeout(Some(LIMIT.duration())).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream
    };
    let (head, jpeg) = picture(&mut connect("/api/snapshot"), &mut Vec::new(), 0);
    check(&head, "X-Capture-Time", 1e3, &jpeg);
    let (mut stream, mut got) = (connect("/mjpeg/stream1"), Vec::new());
    // The answer's own head, then the parts', each of which begins with its boundary.
    let mut buffer = [0; 65536];
    while !got.windows(4).any(|w| w == b"\r\n\r\n") {
        let n = stream.read(&mut buffer).unwrap();
        got.extend_from_slice(&buffer[..n]);
    }
    let end = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let (head, jpeg) = picture(&mut stream, &mut got, end);
    check(&head, "X-Timestamp", 1e6, &jpeg);
}

#[test]
fn a_camera_that_is_told_to_says_it_in_messages() {
    let folder = Folder::new();
    let file = folder.file("real.h264");
    make_h264(&file, 100, 25);
    let settings =
        format!("[[camera]]\nsource = \"file:{}\"\ncapture-sei = true\n", file.display());
    let server = Play::open().settings(&settings).start();
    let done = witness(&server, "tcp", &format!("stream1{BOTH}"), 50, false).succeed();
    assert_eq!(check(&lines(&done.out)).extensions.len(), 50);
}

#[test]
fn clock_and_stages_are_shown() {
    let server = Play::open().users().start();
    let mut talk = server.connect();
    talk.play("stream1");
    std::thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || while talk.next().is_ok() {})
        .unwrap();
    let get = |path: &str| -> Value {
        let (status, body) = http(&server, &format!("GET {path}"), "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].clone()
    };
    let stages = until("all stages", || {
        let stages = get("/api/latency")["streams"][0]["stages"].as_array().cloned()?;
        (stages.len() == 6).then_some(stages)
    });
    let names: Vec<&str> = stages.iter().map(|s| s["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["capture", "convert", "encode", "ring", "total", "send"]);
    let send = until("the client's share", || {
        let clients = get("/api/streams/cam1-main/clients");
        clients["clients"][0].get("send").cloned()
    });
    let of = |name: &str| send[name].as_u64().unwrap();
    assert!(of("p50_us") <= of("p99_us") && of("p99_us") <= of("max_us") && of("max_us") > 0);
    let (_, text) = http(&server, "GET /metrics", "");
    for want in ["stage=\"send\",quantile=\"0.99\"", "lensd_clock_synchronized "] {
        assert!(text.contains(want), "{want} in {text}");
    }
    assert_eq!(get("/api/cameras")["cameras"][0]["stamped_at"], "made");
    let clock = get("/api/latency")["clock"].clone();
    // The kernel's own word, as another program reads it.
    let ask = "import ctypes, struct; b = ctypes.create_string_buffer(256); \
               assert ctypes.CDLL(None).adjtimex(b) >= 0; print(struct.unpack_from('i', b, 40)[0])";
    let done = run(Command::new(linked_tool("python3")).args(["-c", ask]));
    let status: i32 = String::from_utf8_lossy(&done.out).trim().parse().unwrap();
    // STA_UNSYNC of adjtimex(2).
    assert_eq!(clock["error_ns"].is_null(), status & 0x40 != 0, "{clock}, status {status:#x}");
    // Measured once a second.
    let settings = until("the clock's keys", || {
        Some(get("/api/settings")).filter(|s| s["clock-synchronized"].is_boolean())
    });
    let of = |key: &str| settings[key].clone();
    assert_eq!(of("clock-synchronized"), clock["error_ns"].is_u64(), "{settings}");
    assert_eq!(of("clock-source"), clock["source"]);
}

#[test]
fn the_table_of_latencies_has_every_stage() {
    let server = Play::open().start();
    // A machine that is busy loses datagrams, which is no fault of the table: its exit code is.
    let done = Running::start(
        Command::new(play::LENSD)
            .args([
                "bench",
                "latency",
                "--json",
                "--rounds",
                "1",
                "--seconds",
                "1",
                "--clients",
                "2",
            ])
            .args([
                "--url",
                &server.rtsp("stream1"),
                "--http",
                server.http("").trim_end_matches('/'),
            ]),
    )
    .finish();
    let table: Value = serde_json::from_slice(&done.out).unwrap();
    let rows = table["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|r| (&r["transport"], &r["name"])).collect();
    let want = serde_json::json!(["tcp", "udp"]);
    let all: Vec<_> = (0..2).flat_map(|i| [(&want[i], "bare"), (&want[i], "lensd")]).collect();
    assert!(names.iter().zip(&all).all(|(a, b)| a.0 == b.0 && a.1 == b.1), "{names:?}");
    for row in rows {
        let stages = row["stages"].as_array().unwrap();
        let names: Vec<&str> = stages.iter().map(|s| s["stage"].as_str().unwrap()).collect();
        let own = ["capture", "convert", "encode", "ring", "total", "send"];
        let own = if row["name"] == "lensd" { &own[..] } else { &[] };
        assert_eq!(names, [own, &["first", "glass"]].concat());
        for stage in stages {
            let of = |name: &str| stage[name].as_f64().unwrap();
            assert!(of("p50_us") <= of("p99_us") && of("p99_us") <= of("max_us"), "{stage}");
        }
    }
}
