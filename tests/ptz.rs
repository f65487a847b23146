//! Moving a camera as integrators do it: REST by curl, the window within the picture of the test
//! camera, presets that outlive a restart.
#![allow(missing_docs)]

mod play;

use play::{Folder, LENSD, Play, Server, ann, ask, run, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Command;

/// Where the camera is when it has come to rest.
fn rest(server: &Server) -> [f64; 3] {
    until("the camera to rest", || {
        let (status, body) = ann(server, "GET", "api/ptz", "");
        assert_eq!(status, 200, "{body}");
        let at = |axis: &str| body["data"][axis]["position"].as_f64().unwrap();
        (body["data"]["moving"] == false).then(|| ["pan", "tilt", "zoom"].map(at))
    })
}

fn near(at: [f64; 3], wanted: [f64; 3]) {
    assert!(at.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.001), "{at:?} is not {wanted:?}");
}

/// The server again, on the same data.
fn again(mut server: Server, camera: &str) -> Server {
    assert!(server.end(Signal::TERM).success());
    let folder = std::mem::replace(&mut server.folder, Folder::new());
    let mut command = Command::new(LENSD);
    command.arg("--config").arg(folder.file("lensd.toml")).arg("--data").arg(folder.file("data"));
    for option in ["--http", "--https", "--rtsp", "--rtsps"] {
        command.args([option, "127.0.0.1:0"]);
    }
    Server::start(
        {
            command.args(["--camera", camera]);
            command
        },
        folder,
    )
}

#[test]
fn a_camera_without_a_drive_looks_around_in_its_picture() {
    const CAMERA: &str = "test:?size=640x360&fps=25&pattern=still";
    let server = Play::new().users().camera(CAMERA).start();
    let go = |body: Value| ann(&server, "POST", "api/ptz/move", &body.to_string());
    ann(&server, "POST", "api/settings/ptz-travel-time", "0.5");
    let picture = || {
        run(Command::new("curl")
            .args(["-sS", "-m", "60"])
            .arg(server.http("api/snapshot?token=tok-bob")))
        .out
    };
    let (status, body) = ann(&server, "GET", "api/ptz", "");
    assert_eq!((status, &body["data"]["backend"]), (200, &json!("digital")));
    let whole = picture();
    // Absolute.
    let (status, body) = go(json!({ "pan": 0.5, "tilt": -0.5, "zoom": 0.5 }));
    assert_eq!((status, &body["data"]["moving"]), (200, &json!(true)), "{body}");
    near(rest(&server), [0.5, -0.5, 0.5]);
    // It is really another picture, and the settings say which part of it.
    until("another picture", || (picture() != whole).then_some(()));
    let key = |name: &str| {
        ann(&server, "GET", &format!("api/settings/{name}"), "").1["data"]["value"].clone()
    };
    until("the keys", || (key("digital-zoom") == 4.0 && key("digital-pan") == 50).then_some(()));
    // Relative, and no further than a limit.
    assert_eq!(go(json!({ "mode": "relative", "pan": -0.2, "tilt": 0.2 })).0, 200);
    near(rest(&server), [0.3, -0.3, 0.5]);
    assert_eq!(ann(&server, "POST", "api/settings/ptz-pan-max", "40").0, 200);
    assert_eq!(go(json!({ "mode": "continuous", "pan": 1, "timeout": 60 })).0, 200);
    near(rest(&server), [0.4, -0.3, 0.5]);
    // What is not possible is refused, and says why.
    for (body, status) in [
        (json!({ "pan": 0.5 }), 422),
        (json!({ "zoom": 1.5 }), 422),
        (json!({ "pan": "left" }), 422),
        (json!({ "mode": "sideways", "pan": 0 }), 422),
        (json!({}), 422),
        (json!({ "pan": 0, "camera": 9 }), 404),
        (json!({ "mode": "continuous", "pan": 0.5, "timeout": -1 }), 422),
    ] {
        let (got, answer) = go(body.clone());
        assert_eq!(got, status, "{body} {answer}");
        assert!(answer["message"].as_str().is_some_and(|m| m.len() > 5), "{answer}");
    }
    assert_eq!(ask(&server, "bob:secret456", "POST", "api/ptz/stop", "{}").0, 403);
    assert_eq!(ask(&server, "bob:secret456", "GET", "api/ptz", "").0, 200);
    // A long way, stopped before its end.
    ann(&server, "POST", "api/settings/ptz-travel-time", "600");
    go(json!({ "pan": -1 }));
    let (status, body) = ann(&server, "POST", "api/ptz/stop", "{}");
    assert_eq!((status, &body["data"]["moving"]), (200, &json!(false)));
    assert!(body["data"]["pan"]["position"].as_f64().unwrap() > 0.0, "{body}");
    ann(&server, "POST", "api/settings/ptz-travel-time", "0.5");
    // Presets.
    go(json!({ "pan": 0.1, "tilt": 0.1, "zoom": 0.2 }));
    near(rest(&server), [0.1, 0.1, 0.2]);
    let (status, body) = ann(&server, "POST", "api/ptz/presets", r#"{"name":"door"}"#);
    assert_eq!((status, &body["data"]["preset"]["token"]), (200, &json!("1")), "{body}");
    assert_eq!(ann(&server, "POST", "api/ptz/presets", r#"{"name":"door"}"#).0, 409);
    assert_eq!(ann(&server, "PUT", "api/ptz/home", "").0, 200);
    go(json!({ "pan": -0.4, "tilt": 0.4, "zoom": 0 }));
    near(rest(&server), [-0.4, 0.4, 0.0]);
    assert_eq!(ann(&server, "POST", "api/ptz/presets/9/recall", "").0, 404);
    // They outlive a restart; where it looked does not.
    let server = again(server, CAMERA);
    let (_, body) = ann(&server, "GET", "api/ptz/presets", "");
    assert_eq!(body["data"]["presets"][0]["name"], "door", "{body}");
    until("the camera", || {
        (ann(&server, "POST", "api/ptz/presets/1/recall", "").0 == 200).then_some(())
    });
    near(rest(&server), [0.1, 0.1, 0.2]);
    assert_eq!(ann(&server, "DELETE", "api/ptz/presets/1", "").0, 200);
    assert_eq!(ann(&server, "DELETE", "api/ptz/presets/1", "").0, 404);
    ann(&server, "POST", "api/ptz/move", r#"{"pan":0,"tilt":0,"zoom":0}"#);
    near(rest(&server), [0.0, 0.0, 0.0]);
    ann(&server, "POST", "api/ptz/home", "");
    near(rest(&server), [0.1, 0.1, 0.2]);
    // The window's own keys take it over again.
    assert_eq!(ann(&server, "POST", "api/settings/digital-zoom", "1").0, 200);
    until("the whole picture", || (rest(&server)[2] == 0.0).then_some(()));
    // Nobody moves what is switched off.
    ann(&server, "POST", "api/settings/ptz-backend", "\"off\"");
    let (status, body) = ann(&server, "POST", "api/ptz/move", r#"{"pan":0.5}"#);
    assert_eq!((status, &body["code"]), (409, &json!("UNSUPPORTED")), "{body}");
}
