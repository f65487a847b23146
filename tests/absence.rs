//! What clients get of a camera that is not there, by the real binary; coming and going is seen in
//! the rig (`tests/rig/plug.sh`).
#![allow(missing_docs)]

mod play;

use play::{Play, Server, http, run, until};

fn start() -> Server {
    let cameras = "[[camera]]\nsource = \"v4l2:/dev/video4711\"\n\
                   [[camera]]\nsource = \"v4l2:serial=nobody\"\nname = \"door\"\nno-signal = true\n";
    Play::open().users().settings(cameras).start()
}

#[test]
fn a_camera_that_is_away_is_refused_with_the_reason() {
    let server = start();
    let mut talk = server.connect();
    let reason = until("the refusal", || {
        let answer = talk.ask("DESCRIBE", "cam1/main", "");
        (answer.status == 503).then(|| answer.header("Warning").unwrap_or_default().to_owned())
    });
    assert!(reason.contains("/dev/video4711 does not exist"), "{reason}");
    let (status, body) = http(&server, "GET /api/snapshot", "");
    assert!(status == 503 && body.contains("CAMERA_NOT_CONNECTED"), "{status} {body}");
    until("the event", || {
        let (_, events) = http(&server, "GET /api/events", "");
        (events.contains("camera.disconnected") && events.contains("serial number nobody"))
            .then_some(())
    });
}

#[test]
fn or_a_picture_says_so_if_that_is_wished() {
    let server = start();
    let out = run(server
        .tool("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-rtsp_transport", "tcp", "-i"])
        .arg(server.rtsp("cam2/main"))
        .args(["-frames:v", "3", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]));
    assert_eq!(out.out.len(), 3 * 1280 * 720);
    assert!(out.err.is_empty(), "{}", out.err);
    // Letters on a dark ground.
    let bright = out.out.iter().filter(|v| **v > 128).count();
    assert!((10_000..300_000).contains(&bright), "{bright}");
    assert_eq!(server.state()["engine"]["cameras"][1]["connected"], false);
    let (status, _) = http(&server, "GET /api/snapshot?camera=2", "");
    assert_eq!(status, 503, "a still is of the camera or it is none");
}
