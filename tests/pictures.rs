//! What settings do to pictures before they are encoded, held against the same done by OpenCV, and
//! what ffprobe reads of the streams.
#![allow(missing_docs)]

mod play;

use play::{Play, Server, linked_tool, run, until};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Shared by all scripts: settings by REST, pictures as arrays, and a comparison that leaves out
/// what changes by itself.
const COMMON: &str = r#"
import cv2, numpy, requests, sys, time
base, data = sys.argv[1], sys.argv[2]
session = requests.Session()
session.auth = ("ann", "secret123")
def put(refused=False, **keys):
    for key, value in keys.items():
        key = key.replace("_", "-")
        answer = session.post(base + "api/settings/" + key, json={"value": value}, timeout=60)
        assert (answer.status_code == 200) != refused, (key, value, answer.text)
        if refused: return answer.json()["message"]
        assert answer.json()["data"]["value"] == value, answer.text
def put_all(**keys):
    keys = {key.replace("_", "-"): value for key, value in keys.items()}
    answer = session.patch(base + "api/settings", json=keys, timeout=60)
    assert answer.status_code == 200, answer.text
def shot(camera=1, colour=0):
    time.sleep(0.15)  # ten a second are allowed
    answer = session.get(base + f"api/snapshot?camera={camera}&quality=95", timeout=60)
    assert answer.status_code == 200, answer.text
    return cv2.imdecode(numpy.frombuffer(answer.content, "u1"), colour)
def differs(a, b, mask):
    return numpy.abs(a.astype(int) - b)[mask].mean() if a.shape == b.shape else 1e9
def check(what, want, mask, most=3):
    end = time.monotonic() + 100
    while True:
        got = differs(shot(), want, mask)
        if got < most: return
        assert time.monotonic() < end, (what, got, cv2.imwrite(data + "/wrong.png", shot()))
# The marks, with what JPEG smears around them.
plain = shot()
mask = numpy.full(plain.shape, True)
mask[:160, :300] = False
"#;

fn python(server: &Server, script: &str) {
    let data = server.folder.file("data");
    let mut command = Command::new(linked_tool("python3"));
    run(command.args(["-c", &format!("{COMMON}{script}"), &server.http("")]).arg(data));
}

fn probe(server: &Server, path: &str) -> Value {
    let url = format!("{}?token=tok-bob", server.rtsp(path));
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-rtsp_transport", "tcp", "-show_streams", "-of", "json", &url]);
    let done = run(&mut command);
    serde_json::from_slice::<Value>(&done.out).unwrap()["streams"][0].clone()
}

fn server(cameras: &[&str]) -> Server {
    let server = cameras.iter().fold(Play::new().users(), |play, spec| play.camera(spec)).start();
    until("the cameras", || {
        let all = server.state()["engine"]["cameras"].as_array().cloned().unwrap_or_default();
        (all.len() == cameras.len() && all.iter().all(|c| c["connected"] == true)).then_some(())
    });
    server
}

#[test]
fn turns_and_zoom_are_those_of_opencv() {
    let server = server(&["test:?size=640x360&fps=30&pattern=still"]);
    python(
        &server,
        r#"
put(rotate="90")
check("90", cv2.rotate(plain, cv2.ROTATE_90_CLOCKWISE), cv2.rotate(mask.astype("u1"), cv2.ROTATE_90_CLOCKWISE) == 1)
put(rotate="270")
check("270", cv2.rotate(plain, cv2.ROTATE_90_COUNTERCLOCKWISE), cv2.rotate(mask.astype("u1"), cv2.ROTATE_90_COUNTERCLOCKWISE) == 1)
put(rotate="180")
check("180", cv2.rotate(plain, cv2.ROTATE_180), cv2.rotate(mask.astype("u1"), cv2.ROTATE_180) == 1)
# This camera has no controls for it: the processor does it.
put_all(rotate="0", mirror=True, flip=True)
check("mirror and flip", cv2.rotate(plain, cv2.ROTATE_180), cv2.rotate(mask.astype("u1"), cv2.ROTATE_180) == 1)
put(flip=False)
check("mirror", cv2.flip(plain, 1), mask[:, ::-1])
put(mirror=False, flip=True)
check("flip", cv2.flip(plain, 0), mask[::-1])
put(flip=False, digital_zoom=2.0, digital_pan=100, digital_tilt=-100)
check("zoom", cv2.resize(plain[180:, 320:], (640, 360), interpolation=cv2.INTER_LINEAR), numpy.full(plain.shape, True), 4)
put(digital_zoom=1.0, cam1_offset_x=40, cam1_offset_y=-20)
moved = numpy.full(plain.shape, 0); moved[:-20, 40:] = plain[20:, :-40]
seen = numpy.full(plain.shape, True); seen[:160, :360] = False
check("moved", moved, seen, 4)
put(cam1_offset_x=0, cam1_offset_y=0)
check("plain again", plain, mask)
"#,
    );
    until("a pipeline without a stage", || {
        let words = &server.state()["engine"]["streams"][0]["pipeline"];
        (words == "test camera I420 -> openh264 -> ring").then_some(())
    });
}

#[test]
fn streams_say_what_their_pictures_are() {
    let server = server(&["test:?size=640x360&fps=30&pattern=bars"]);
    let stream = probe(&server, "stream1");
    assert_eq!((&stream["width"], &stream["height"]), (&640.into(), &360.into()), "{stream}");
    assert_eq!(stream["profile"], "Constrained Baseline", "{stream}");
    assert_eq!(
        (&stream["color_range"], &stream["color_space"]),
        (&"tv".into(), &"smpte170m".into())
    );
    assert_eq!(stream["color_primaries"], "bt709", "{stream}");
    python(&server, r#"put(rotate="90", encoder_profile="high", rate_mode="variable", qp_max=40)"#);
    let stream = probe(&server, "stream1");
    assert_eq!((&stream["width"], &stream["height"]), (&360.into(), &640.into()), "{stream}");
    assert_eq!(stream["profile"], "High", "{stream}");
    let words = server.state()["engine"]["streams"][0]["pipeline"].as_str().unwrap().to_owned();
    assert!(words.contains("turn by 90 (CPU: the settings ask for it)"), "{words}");
    let small = probe(&server, "stream2");
    assert_eq!((&small["width"], &small["height"]), (&360.into(), &640.into()), "{small}");
}

#[test]
fn what_is_written_on_pictures_is_seen() {
    let server = server(&["test:?size=640x360&fps=30&pattern=still"]);
    fs::create_dir_all(server.folder.file("data/media/uploads")).unwrap();
    python(
        &server,
        r#"
put(overlay_time="utc", overlay_text="Gate 7", overlay_position="bottom-left", overlay_size="large")
def white(picture): return (picture[280:, :420] > 225).sum() - (plain[280:, :420] > 225).sum()
end = time.monotonic() + 60
while white(shot()) < 300: assert time.monotonic() < end, white(shot())
seen = mask.copy(); seen[250:] = False
check("the rest of it", plain, seen)
put(overlay_time="off", overlay_text="")
check("plain again", plain, mask)
mark = numpy.zeros((40, 60, 4), "u1"); mark[:] = (0, 0, 255, 255); mark[:, :20, 3] = 0
cv2.imwrite(data + "/media/uploads/mark.png", mark)
put(overlay_watermark="mark.png")
end = time.monotonic() + 60
while True:
    blue, green, red = shot(colour=1)[320, 620].astype(int)
    if red > 200 and blue < 60 and green < 60: break
    assert time.monotonic() < end, (blue, green, red)
seen = mask.copy(); seen[300:, 570:] = False
check("the rest of it", plain, seen)
# Another file of the same name, said again.
mark[:] = (0, 255, 0, 255)
cv2.imwrite(data + "/media/uploads/mark.png", mark)
put(overlay_watermark="mark.png")
end = time.monotonic() + 60
while True:
    blue, green, red = shot(colour=1)[320, 620].astype(int)
    if green > 200 and red < 60: break
    assert time.monotonic() < end, (blue, green, red)
open(data + "/media/uploads/bad.png", "w").write("no picture")
assert "no PNG" in put(refused=True, overlay_watermark="bad.png")
assert "without a folder" in put(refused=True, overlay_watermark="../lensd.toml")
answer = session.get(base + "api/settings/overlay-watermark").json()["data"]["value"]
assert answer == "mark.png", answer
"#,
    );
}

#[test]
fn another_camera_is_shown_within_the_picture() {
    let server = server(&[
        "test:?size=640x360&fps=30&pattern=still",
        "test:?size=640x360&fps=15&pattern=still&seed=5",
    ]);
    python(
        &server,
        r#"
other = shot(2)
put(pip_mode="bottom-right")
want = plain.copy(); want[260:350, 470:630] = cv2.resize(other, (160, 90), interpolation=cv2.INTER_AREA)
seen = mask.copy(); seen[255:310, 460:560] = False; seen[255:262] = False; seen[345:352] = False; seen[:, 465:475] = False; seen[:, 625:635] = False
check("corner", want, seen, 6)
put(pip_mode="side-by-side")
want = numpy.zeros(plain.shape, int)
want[90:270, :320] = cv2.resize(plain, (320, 180), interpolation=cv2.INTER_AREA)
want[90:270, 320:] = cv2.resize(other, (320, 180), interpolation=cv2.INTER_AREA)
seen = numpy.full(plain.shape, True); seen[80:180, :160] = False; seen[80:180, 320:480] = False
check("both", want, seen, 6)
put(pip_mode="off")
check("plain again", plain, mask)
"#,
    );
}

#[test]
fn a_stream_that_is_passed_through_cannot_be_changed() {
    let folder = play::Folder::new();
    let file = folder.file("a.h264");
    play::make_h264(&file, 60, 30);
    let server = server(&[&format!("file:{}", file.display())]);
    python(
        &server,
        r#"
assert "passed through" in put(refused=True, rotate="90")
assert "passed through" in put(refused=True, encoder_profile="high")
"#,
    );
}

#[test]
fn what_is_shown_of_a_setting_is_what_the_active_camera_does() {
    let folder = play::Folder::new();
    let file = folder.file("a.h264");
    play::make_h264(&file, 60, 30);
    let server = server(&["test:?size=640x360&fps=30", &format!("file:{}", file.display())]);
    let holds = r#"
def holds(**keys):
    for key, (value, why) in keys.items():
        end = time.monotonic() + 60
        while True:
            answer = session.get(base + "api/settings/" + key.replace("_", "-")).json()["data"]
            if answer["value"] == value and why in (answer.get("error") or "") and bool(why) == bool(answer.get("error")): break
            assert time.monotonic() < end, (key, answer)
            time.sleep(0.05)
passed = dict(digital_zoom=(1.0, "passed through"), overlay_text=("", "passed through"), encoder_profile=("auto", "passed through"), rotate=("0", ""))
"#;
    python(
        &server,
        &format!(
            r#"{holds}
put(digital_zoom=2, overlay_text="Gate 7", encoder_profile="main")
holds(digital_zoom=(2, ""), overlay_text=("Gate 7", ""), encoder_profile=("main", ""))
put(main_camera=2)
holds(**passed)
put(main_camera=1)
holds(digital_zoom=(2, ""), overlay_text=("Gate 7", ""), encoder_profile=("main", ""))
put(main_camera=2)
"#
        ),
    );
    // A new engine is told what was saved, which the camera refuses again.
    let pid = server.state()["engine"]["pid"].as_u64().unwrap();
    run(Command::new("kill").args(["-9", &pid.to_string()]));
    let engine = || server.state()["engine"]["pid"].as_u64();
    until("another engine", || engine().filter(|now| *now != pid));
    python(&server, &format!("{holds}\nholds(**passed)"));
}
