//! Low-latency HLS, by players and readers of others.
#![allow(missing_docs)]

mod play;

use lensd_ffi::time::now;
use play::browser::Browser;
use play::proof::{check_marks, marks_of};
use play::{Folder, Play, Running, Server, ann, linked_tool, run, until};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

fn script(python: &str, name: &str) -> Command {
    let mut command = Command::new(linked_tool(python));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hls").join(name));
    command
}

/// A player that holds all that it gets against the rules, to so many segments; see the script.
fn rules(url: &str, segments: u32, more: &[&str]) -> Command {
    let mut command = script("venv/bin/python", "rules.py");
    command.arg(url).arg(segments.to_string()).args(more);
    command
}

/// The same beside the test, once it plays.
fn follow(server: &Server, url: &str, segments: u32, more: &[&str]) -> Running {
    let mark = server.folder.file("begun");
    let _ = fs::remove_file(&mark);
    let player = Running::start(rules(url, segments, more).arg("--begun").arg(&mark));
    until("the player", || mark.exists().then_some(()));
    player
}

/// What it says at its end.
fn said(done: &play::Done) -> Value {
    let text = String::from_utf8_lossy(&done.out);
    println!("{}", text.trim());
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn set(server: &Server, key: &str, value: Value) {
    let (status, body) = ann(server, "POST", &format!("api/settings/{key}"), &value.to_string());
    assert_eq!(status, 200, "{key}: {body}");
}

fn value(server: &Server, key: &str) -> Value {
    ann(server, "GET", &format!("api/settings/{key}"), "").1["data"]["value"].clone()
}

/// Status and body without a login.
fn get(url: &str, more: &[&str]) -> (u16, String) {
    let done = run(Command::new("curl")
        .args(["-sS", "-m", "60", "-w", "\n%{http_code}"])
        .args(more)
        .arg(url));
    let text = String::from_utf8_lossy(&done.out).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Luma of the pictures that FFmpeg makes of a URL or a file.
fn decode(input: &str, options: &[&str]) -> Vec<u8> {
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i", input, "-map", "0:v", "-fps_mode", "passthrough"])
        .args(options)
        .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]))
    .out
}

#[test]
fn playlists_keep_the_rules_and_nothing_is_lost() {
    let server = Play::open().start();
    let file = server.folder.file("played.mp4");
    let options = ["--file", file.to_str().unwrap()];
    let url = server.http("hls/stream1/index.m3u8");
    let said = said(&run(&mut rules(&url, 10, &options)));
    // A machine that is too busy for its camera makes gaps, and where they are long it cuts.
    if server.camera_lost(1) == 0 {
        assert_eq!((&said["breaks"], &said["short_parts"]), (&json!(0), &json!(0)), "{said}");
        assert_eq!(said["keys"], said["segments"], "each segment begins with a key frame");
    }
    assert_eq!(said["resolution"], json!([320, 180]));
    let raw = decode(file.to_str().unwrap(), &[]);
    let marks = marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT);
    let made = 700usize.saturating_sub(usize::try_from(server.camera_lost(1)).unwrap());
    check_marks(&server, &marks, made);
}

#[test]
fn players_of_others_play_it() {
    let server = Play::open().start();
    for name in ["stream1", "cam1/main", "cam1", "cam1-sub", "stream2"] {
        let url = server.http(&format!("hls/{name}/index.m3u8"));
        let probe = run(Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
            .args(["-show_entries", "stream=codec_name,width"])
            .arg(&url));
        let text = String::from_utf8(probe.out).unwrap();
        assert!(text.starts_with("h264,"), "{name}: {text}");
    }
    let index = server.http("hls/stream1/index.m3u8");
    let raw = decode(&index, &["-frames:v", "300"]);
    let marks = marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT);
    check_marks(&server, &marks, 300);
    for how in ["hlsdemux", "playbin3"] {
        let done = run(script("python3", "gst.py").args([how, &index, "300"]));
        let count: u32 = String::from_utf8(done.out).unwrap().trim().parse().unwrap();
        // It shows a few more until it is told to end.
        assert!(count >= 300, "{how}: {count}");
    }
}

/// hls.js in a page of ours: what it says of itself, and where the time goes.
const PAGE: &str = "(() => {
    document.body.innerHTML = '<video id=v muted autoplay playsinline></video>';
    const hls = window.hls = new Hls({ lowLatencyMode: true, enableWorker: false });
    const seen = window.seen = { parts: 0, reloads: 0, inits: 0, fatal: [], errors: {} };
    hls.on(Hls.Events.FRAG_LOADED, (_, d) => { seen.parts += d.part ? 1 : 0; });
    hls.on(Hls.Events.LEVEL_UPDATED, () => { seen.reloads += 1; });
    hls.on(Hls.Events.FRAG_PARSING_INIT_SEGMENT, () => { seen.inits += 1; });
    hls.on(Hls.Events.ERROR, (_, d) => {
        seen.errors[d.details] = (seen.errors[d.details] || 0) + 1;
        if (!d.fatal) return;
        // As its documentation has players do.
        seen.fatal.push(d.details);
        if (d.type === Hls.ErrorTypes.NETWORK_ERROR) hls.startLoad();
        else if (d.type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
    });
    hls.loadSource('/hls/stream1/index.m3u8');
    hls.attachMedia(document.getElementById('v'));
    return true; })()";

/// From a picture's capture to the moment that the page shows it, in milliseconds.
fn behind(browser: &mut Browser) -> Option<f64> {
    let marks = browser.marks("document.getElementById('v')")?;
    Some(now().since(marks.capture).0 as f64 / 1e6)
}

/// Waits until time goes on and other pictures are shown.
fn plays_on(browser: &mut Browser, what: &str) {
    let first = until(what, || browser.marks("document.getElementById('v')"));
    until(what, || {
        let marks = browser.marks("document.getElementById('v')")?;
        (marks.capture.since(first.capture).0 > 3_000_000_000).then_some(())
    });
}

#[test]
fn hls_js_plays_with_low_latency_whatever_happens() {
    let mut server = Play::open().users().camera("test:?size=640x360&fps=25").start();
    let mut browser = Browser::start();
    browser.open(&server.http("health"));
    let library = linked_tool("node_modules/hls.js/dist/hls.min.js");
    browser.value(&format!("{}\ntrue", fs::read_to_string(library).unwrap()));
    assert_eq!(browser.value(PAGE), true);
    until("a picture", || browser.marks("document.getElementById('v')"));
    plays_on(&mut browser, "playing");
    until("parts", || browser.value("seen.parts").as_u64().filter(|parts| *parts > 20));
    let mut measured: Vec<f64> = (0..50).filter_map(|_| behind(&mut browser)).collect();
    measured.sort_by(f64::total_cmp);
    println!(
        "hls.js shows pictures {:.0} to {:.0} ms after their capture (median {:.0}); it says {} s",
        measured[0],
        measured[measured.len() - 1],
        measured[measured.len() / 2],
        browser.value("hls.latency")
    );
    assert_eq!(browser.value("hls.lowLatencyMode && hls.latestLevelDetails.canBlockReload"), true);
    assert_eq!(browser.value("seen.fatal.length"), 0);

    let breaks = browser.value("hls.latestLevelDetails.endCC").as_u64().unwrap();
    set(&server, "resolution", json!("320x180"));
    let size = "document.getElementById('v').videoWidth";
    until("the other size", || (browser.value(size) == 320).then_some(()));
    plays_on(&mut browser, "playing the other size");
    assert!(browser.value("hls.latestLevelDetails.endCC").as_u64().unwrap() > breaks);

    let init = "hls.latestLevelDetails.fragments[0].initSegment.relurl";
    let window = browser.value(init);
    server.kill_plane("control");
    until("another window", || Some(browser.value(init)).filter(|now| *now != window));
    plays_on(&mut browser, "playing with another control plane");
    server.kill_plane("engine");
    plays_on(&mut browser, "playing with another engine");
    println!("hls.js: {}", browser.value("JSON.stringify(seen)"));
}

#[test]
fn a_change_of_parameters_is_a_break_with_another_init_segment() {
    let server = Play::open().users().camera("test:?size=640x360&fps=25").start();
    let url = server.http("hls/cam1/main/index.m3u8");
    let player = follow(&server, &url, 8, &["--breaks", "1"]);
    set(&server, "resolution", json!("320x180"));
    let said = said(&player.succeed());
    assert!(said["breaks"].as_u64() >= Some(1) && said["inits"].as_u64() >= Some(2), "{said}");
}

#[test]
fn another_camera_is_a_break_with_another_init_segment() {
    let other = "test:?size=640x360&fps=25&seed=7";
    let server = Play::open().users().camera(play::CAMERA).camera(other).start();
    let url = server.http("hls/stream1/index.m3u8");
    let player = follow(&server, &url, 8, &["--breaks", "1"]);
    set(&server, "main-camera", json!(2));
    let said = said(&player.succeed());
    assert_eq!((&said["breaks"], &said["inits"]), (&json!(1), &json!(2)), "{said}");
    let size = run(Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v", "-of", "csv=p=0"])
        .args(["-show_entries", "stream=width", &url]));
    let widths = String::from_utf8(size.out).unwrap();
    assert!(widths.split_whitespace().next() == Some("640"), "{widths}");
}

#[test]
fn it_goes_on_when_planes_die() {
    let mut server = Play::open().users().start();
    let url = server.http("hls/stream1/index.m3u8");
    // Time goes on where another engine is there soon; another control plane knows nothing of before.
    for (plane, segments, more) in
        [("engine", 12, &["--patient"][..]), ("control", 6, &["--patient", "--breaks", "1"])]
    {
        let player = follow(&server, &url, segments, more);
        server.kill_plane(plane);
        let said = said(&player.succeed());
        match plane {
            "engine" => assert_eq!(said["anew"], 1, "pictures of two engines: {said}"),
            _ => assert!(said["births"].as_u64() >= Some(2), "{said}"),
        }
    }
}

#[test]
fn settings_hold_while_it_runs_and_it_sleeps_when_nobody_asks() {
    let server = Play::open().users().start();
    let running = |name: &str| {
        let streams = ann(&server, "GET", "api/streams", "").1["data"]["streams"].clone();
        let found = streams.as_array().unwrap().iter().find(|s| s["name"] == name).cloned();
        found.unwrap()
    };
    assert_eq!(running("cam1/sub")["running"], false);
    let url = running("cam1/sub")["hls"].as_str().unwrap().to_owned();
    let live = url.replace("index", "live");
    let player = follow(&server, &url, 12, &["--breaks", "1"]);
    assert_eq!(value(&server, "hls-streams"), 1);
    assert!(value(&server, "hls-memory").as_u64() > Some(10_000));
    assert_eq!(running("cam1/sub")["running"], true);
    set(&server, "hls-part", json!(500));
    set(&server, "hls-segments", json!(14));
    let said = said(&player.succeed());
    assert!(said["births"].as_u64() >= Some(2), "{said}");
    let part = said["part_target"].as_f64().unwrap();
    assert!((0.5..0.6).contains(&part), "{part}");
    let count = || get(&live, &[]).1.matches("#EXTINF").count();
    until("14 segments", || (count() == 14).then_some(()));
    set(&server, "hls-segment", json!(5));
    until("longer segments", || {
        let (_, text) = get(&live, &[]);
        let mut lengths = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
        lengths.any(|l| l.trim_end_matches(',').parse::<f64>().unwrap() > 4.5).then_some(())
    });
    // Whoever waits is sent away, too.
    let blocked = Running::start(Command::new("curl").args(["-s", "-w", "%{http_code}", &url]));
    set(&server, "hls", json!(false));
    blocked.finish();
    let (status, body) = get(&url, &[]);
    assert!(status == 404 && body.contains("setting hls"), "{status} {body}");
    assert!(running("cam1/sub")["hls"].is_null());
    until("rest", || (running("cam1/sub")["running"] == false).then_some(()));
    assert_eq!(value(&server, "hls-streams"), 0);
    set(&server, "hls", json!(true));
    assert_eq!(get(&url, &[]).0, 200);
    assert_eq!(running("cam1/sub")["running"], true);
    until("rest again", || (running("cam1/sub")["running"] == false).then_some(()));
    until("nothing to be kept", || (value(&server, "hls-memory") == 0).then_some(()));
}

#[test]
fn logins_are_as_everywhere_and_tokens_are_carried() {
    let server = Play::new().users().start();
    let url = server.http("hls/stream1/index.m3u8");
    for name in ["index.m3u8", "live.m3u8", "segment-1.mp4", "part-1-1.mp4"] {
        assert_eq!(get(&server.http(&format!("hls/stream1/{name}")), &[]).0, 401, "{name}");
    }
    for login in [
        &["-u", "bob:secret456"][..],
        &["--digest", "-u", "bob:secret456"],
        &["-H", "Authorization: Bearer tok-bob"],
    ] {
        let (status, body) = get(&url, login);
        assert!(status == 200 && body.ends_with("\nlive.m3u8\n"), "{login:?}: {status} {body}");
    }
    assert_eq!(get(&format!("{url}?token=wrong"), &[]).0, 401);
    let with = format!("{url}?token=tok-bob");
    said(&run(&mut rules(&with, 5, &[])));
    // A player that knows of no logins.
    let marks = marks_of(&decode(&with, &["-frames:v", "100"]), WIDTH, HEIGHT, WIDTH * HEIGHT);
    check_marks(&server, &marks, 100);
    let kept = format!("{}{}", server.log(), logs(&server.folder));
    assert!(!kept.contains("tok-bob"), "a token in a log");
    for (path, words) in [
        ("hls/cam9/index.m3u8", "/api/streams"),
        ("hls/cam1/mjpeg/index.m3u8", "JPEG"),
        ("hls/stream1/other.m3u8", "index.m3u8"),
    ] {
        let (status, body) = get(&format!("{}?token=tok-bob", server.http(path)), &[]);
        assert!(status == 404 && body.contains(words), "{path}: {status} {body}");
    }
    let info = ann(&server, "GET", "api/info", "").1;
    assert_eq!(info["data"]["urls"]["hls"], url);
}

/// All that the server has written down.
fn logs(folder: &Folder) -> String {
    let all = fs::read_dir(folder.file("data/logs")).into_iter().flatten().flatten();
    all.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
}

/// What a camera codes by itself: H.265, in groups that do not fit two seconds.
#[test]
fn h265_of_a_camera_is_played_as_it_comes() {
    let folder = Folder::new();
    let file = folder.file("coded.mp4");
    run(Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=322x182:r=25",
            "-t",
            "15",
        ])
        .args([
            "-c:v",
            "libx265",
            "-x265-params",
            "bframes=0:keyint=75:min-keyint=75:scenecut=0:log-level=error",
        ])
        .args(["-pix_fmt", "yuv420p", "-tag:v", "hvc1"])
        .arg(&file));
    let server = Play::open().camera(&format!("file:{}?stamp=1", file.display())).start();
    let url = server.http("hls/stream1/index.m3u8");
    let played = server.folder.file("played.mp4");
    // What stands in a file's pictures is when they were passed on, not when they were due.
    let said = said(&run(&mut rules(&url, 5, &["--no-date", "--file", played.to_str().unwrap()])));
    assert!(said["codecs"].as_str().unwrap().starts_with("hvc1.1."), "{said}");
    assert_eq!(said["resolution"], json!([322, 182]));
    assert!(said["keys"].as_u64() >= Some(4), "groups of three seconds fit segments: {said}");
    let raw = decode(played.to_str().unwrap(), &["-vf", "crop=320:180:0:0"]);
    assert!(raw.len() >= 4 * 75 * WIDTH * HEIGHT, "{} bytes", raw.len());
    let probe = run(Command::new("ffprobe").args(["-v", "error", "-show_streams", &url]));
    assert!(String::from_utf8(probe.out).unwrap().contains("codec_name=hevc"));
}

fn publish(server: &Server, size: &str) -> Running {
    let picture = format!("testsrc=s={size}:r=25");
    let mut publisher = Command::new("ffmpeg");
    publisher.args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", &picture]);
    publisher.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0"]);
    publisher.args(["-pix_fmt", "yuv420p", "-f", "rtsp", "-rtsp_transport", "tcp"]);
    Running::start(publisher.arg(server.rtsp_as("ann:secret123", "door")))
}

#[test]
fn a_camera_that_is_away_comes_back() {
    let server = Play::open().users().camera("publish:door").start();
    let first = publish(&server, "320x240");
    let url = server.http("hls/cam1/main/index.m3u8");
    until("the playlist", || (get(&url, &[]).0 == 200).then_some(()));
    let player = follow(&server, &url, 5, &["--breaks", "1", "--patient", "--no-date"]);
    drop(first);
    let live = url.replace("index", "live");
    // Nothing comes, and nothing goes: there are four parts a second.
    until("the pictures to end", || {
        let (status, before) = get(&live, &[]);
        assert_eq!(status, 200, "{before}");
        std::thread::sleep(std::time::Duration::from_secs(2));
        (get(&live, &[]).1 == before).then_some(())
    });
    let _second = publish(&server, "176x144");
    let said = said(&player.succeed());
    assert_eq!((&said["births"], &said["inits"]), (&json!(1), &json!(2)), "{said}");
}
