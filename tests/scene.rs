//! Motion and tampering as clients are told of them: the test camera, and a film that ffmpeg made.
#![allow(missing_docs)]

mod play;

use play::{Folder, Play, Running, Server, ann, ask, run, until};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

fn value(server: &Server, key: &str) -> Value {
    ann(server, "GET", &format!("api/settings/{key}"), "").1["data"]["value"].clone()
}

fn set(server: &Server, key: &str, value: &Value) {
    let path = format!("api/settings/{key}");
    let (status, body) = ann(server, "POST", &path, &value.to_string());
    assert_eq!(status, 200, "{body}");
}

/// Events of a kind, oldest first.
fn events(server: &Server, kind: &str) -> Vec<Value> {
    let (_, body) = ann(server, "GET", "api/events?limit=1000", "");
    let all = body["data"]["events"].as_array().cloned().unwrap_or_default();
    all.into_iter().rev().filter(|event| event["kind"] == kind).collect()
}

fn frames(server: &Server) -> u64 {
    let (_, body) = ann(server, "GET", "api/cameras/1", "");
    body["data"]["frames"].as_u64().unwrap_or(0)
}

#[test]
fn motion_is_looked_for_while_somebody_listens_and_told_where_there_is_any() {
    let server = Play::new()
        .users()
        .camera("test:?size=320x180&fps=20&pattern=still")
        .camera("test:?size=320x180&fps=20&pattern=bars")
        .start();
    // The marks of the test camera change with each picture; what moves besides is at the bottom.
    let bottom = json!({ "x": 0, "y": 88, "width": 100, "height": 12 });
    set(&server, "motion-region", &bottom);
    set(&server, "motion-area", &json!(0.3));
    let bad = ann(&server, "POST", "api/settings/motion-region", "{\"x\":200}");
    assert_eq!(bad.0, 422, "{}", bad.1);
    // Nobody listens: no picture is looked at.
    let begun = frames(&server);
    until("pictures", || (frames(&server) > begun + 20).then_some(()));
    assert_eq!(value(&server, "motion-looks"), 0);
    assert_eq!(value(&server, "motion-active"), Value::Null);
    let words = || value(&server, "stream-main-pipeline").as_str().unwrap_or_default().to_owned();
    assert!(!words().contains("motion"), "{}", words());
    // Somebody does.
    let mut curl = Command::new("curl");
    curl.args(["-sSN", "-u", "ann:secret123", "-H", "Accept: text/event-stream"]);
    let listener = Running::start(curl.arg(server.http("api/events")).stdout(Stdio::piped()));
    until("looks", || (value(&server, "motion-looks").as_u64() > Some(40)).then_some(()));
    assert!(words().contains("motion"), "{}", words());
    assert!(value(&server, "motion-read").as_u64() > Some(1000));
    until("motion before camera 2", || {
        (value(&server, "motion-cameras") == json!([2])).then_some(())
    });
    assert_eq!(value(&server, "motion-active"), false, "camera 1 is the active one");
    let found = events(&server, "motion");
    assert!(found.iter().all(|e| e["camera"] == 2 && e.get("test").is_none()), "{found:?}");
    assert_eq!((&found[0]["active"], &found[0]["event"]), (&json!(true), &json!("motion.start")));
    // Switched off it ends, though somebody listens.
    set(&server, "motion-detection", &json!("off"));
    set(&server, "tamper-detection", &json!("off"));
    until("its end", || (value(&server, "motion-cameras") == json!([])).then_some(()));
    until("no motion in the words", || (!words().contains("motion")).then_some(()));
    assert_eq!(events(&server, "motion").last().unwrap()["active"], false);
    // What follows from it can be tried at any time, by who may.
    let body = "{\"camera\":1}";
    assert_eq!(ask(&server, "bob:secret456", "POST", "api/motion/test", body).0, 403);
    assert_eq!(ann(&server, "POST", "api/motion/test", "{\"camera\":9}").0, 404);
    assert_eq!(ann(&server, "POST", "api/motion/test", body).0, 200);
    until("the test", || (value(&server, "motion-active") == true).then_some(()));
    let test = events(&server, "motion").last().cloned().unwrap();
    assert_eq!((&test["test"], &test["camera"]), (&json!(true), &json!(1)));
    assert_eq!(ann(&server, "GET", "api/motion/test?state=false&camera=1", "").0, 200);
    until("its end", || (value(&server, "motion-active") != true).then_some(()));
    assert_eq!(ann(&server, "POST", "api/tamper/test", "").0, 200);
    until("the other", || (value(&server, "tamper-reason") == "test").then_some(()));
    drop(listener);
}

#[test]
fn a_film_has_motion_where_something_moves_and_tampering_where_it_is_black() {
    let folder = Folder::new();
    let film = folder.file("film.mp4");
    // Five seconds of a picture, three in which a box walks through it, four of nothing.
    let graph = "smptehdbars=s=640x360:r=20:d=8[p];color=white:s=120x120:r=20:d=8[b];\
                 [p][b]overlay=x='if(lt(t,5),-200,(t-5)*200)':y=100[m];\
                 color=black:s=640x360:r=20:d=4[k];[m][k]concat=n=2[o]";
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-filter_complex", graph, "-map", "[o]"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-pix_fmt", "yuv420p"])
        .arg(&film));
    let server = Play::new().users().camera(&format!("file:{}", film.display())).start();
    set(&server, "tamper-delay", &json!(1));
    set(&server, "motion-hold", &json!(1));
    set(&server, "motion-detection", &json!("on"));
    set(&server, "tamper-detection", &json!("on"));
    let tampered = until("tampering", || {
        let found = events(&server, "tamper");
        (found.len() >= 4).then_some(found)
    });
    assert!(tampered.iter().all(|e| e["why"] == "black"), "{tampered:?}");
    let active: Vec<_> = tampered.iter().map(|e| e["active"].as_bool().unwrap()).collect();
    assert!(active.windows(2).all(|two| two[0] != two[1]), "{tampered:?}");
    let moved = events(&server, "motion");
    assert!(
        moved.len() >= 2 && moved[0]["active"] == true && moved[1]["active"] == false,
        "{moved:?}"
    );
    // Between the box and the darkness lie some seconds at most, whatever the machine does: both are
    // told by the film's own time.
    assert!(moved[0]["area"].as_f64() > Some(1.0), "{moved:?}");
    assert_eq!(value(&server, "motion-error"), Value::Null);
}

/// Documents on a channel of a connection, whole, and how many packets came on others meanwhile.
fn document(talk: &mut play::talk::Talk, channel: u8, others: &mut usize) -> String {
    let mut whole = Vec::new();
    loop {
        let (on, packet) = talk.packet().unwrap();
        if on != channel {
            *others += usize::from(on == 0);
            continue;
        }
        whole.extend_from_slice(&packet[12..]);
        // The mark: the document's end.
        if packet[1] & 0x80 != 0 {
            assert_eq!(packet[1] & 0x7f, 107);
            return String::from_utf8(whole).unwrap();
        }
    }
}

/// What Python's parser makes of it: the topics with their states, and move states.
fn parsed(document: &str) -> String {
    let script = "import sys, xml.etree.ElementTree as E; r = E.fromstring(sys.argv[1])\n\
        n = lambda e: e.tag.rsplit('}')[-1]\n\
        assert n(r) == 'MetadataStream'\n\
        t = [e.text for e in r.iter() if n(e) == 'Topic']\n\
        s = [e.get('Value') for e in r.iter() if n(e) == 'SimpleItem' and e.get('Name') == 'State']\n\
        m = [e.text for s in r.iter() if n(s) == 'MoveStatus' for e in s]\n\
        print(*[a.rsplit(':')[1] + '=' + b for a, b in zip(t, s)], *m)";
    let mut python = Command::new(play::linked_tool("python3"));
    let out = run(python.args(["-c", script]).arg(document)).out;
    String::from_utf8(out).unwrap().trim().to_owned()
}

#[test]
fn metadata_go_over_rtsp_alone_and_beside_a_video() {
    const LOGIN: &str = "Authorization: Basic Ym9iOnNlY3JldDQ1Ng==\r\n";
    let server = Play::new().users().camera("test:?size=320x180&fps=20&pattern=still").start();
    for (path, video) in [("cam1/metadata", false), ("cam1/main?metadata", true)] {
        let mut talk = server.connect();
        let sdp = talk.ask("DESCRIBE", path, LOGIN);
        let text = String::from_utf8(sdp.body).unwrap();
        assert!(text.contains("m=application 0 RTP/AVP 107\r\n"), "{text}");
        assert!(text.contains("a=rtpmap:107 vnd.onvif.metadata/90000\r\n"), "{text}");
        assert_eq!(text.contains("m=video"), video);
        let name = path.split('?').next().unwrap();
        let mut session = String::new();
        for (track, channels) in [(0, "0-1"), (1, "2-3")] {
            if track == 0 && !video {
                continue;
            }
            let headers = format!(
                "{LOGIN}Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n{session}"
            );
            let answer = talk.ask("SETUP", &format!("{name}/trackID={track}"), &headers);
            assert_eq!(answer.status, 200);
            session = format!("Session: {}\r\n", answer.session());
        }
        assert_eq!(talk.ask("PLAY", name, &format!("{LOGIN}{session}")).status, 200);
        let mut frames = 0;
        let first = parsed(&document(&mut talk, 2, &mut frames));
        assert!(first.contains("VideoSource/MotionAlarm=false"), "{first}");
        assert!(first.ends_with("IDLE IDLE"), "{first}");
        assert_eq!(ann(&server, "POST", "api/motion/test", "").0, 200);
        let alarm = document(&mut talk, 2, &mut frames);
        assert_eq!(parsed(&alarm), "VideoSource/MotionAlarm=true");
        assert!(alarm.contains("VideoSource_1") && alarm.contains("\"Changed\""), "{alarm}");
        let body = r#"{"mode":"continuous","pan":0.5,"timeout":60}"#;
        assert_eq!(ann(&server, "POST", "api/ptz/move", body).0, 200);
        assert_eq!(parsed(&document(&mut talk, 2, &mut frames)), "MOVING IDLE");
        assert_eq!(ann(&server, "POST", "api/ptz/stop", "").0, 200);
        while parsed(&document(&mut talk, 2, &mut frames)) != "IDLE IDLE" {}
        assert_eq!(ann(&server, "POST", "api/motion/test", "{\"active\":false}").0, 200);
        assert_eq!(parsed(&document(&mut talk, 2, &mut frames)), "VideoSource/MotionAlarm=false");
        assert_eq!(frames > 0, video);
        // It counts as somebody who listens, as long as it is there.
        until("a listener", || {
            (value(&server, "motion-listeners").as_u64() > Some(0)).then_some(())
        });
        assert_eq!(talk.ask("TEARDOWN", name, &format!("{LOGIN}{session}")).status, 200);
        ann(&server, "POST", "api/ptz/move", r#"{"pan":0}"#);
        until("the camera to rest", || {
            let moving = ann(&server, "GET", "api/ptz", "").1["data"]["moving"].clone();
            (moving == false).then_some(())
        });
    }
    assert_eq!(server.connect().ask("DESCRIBE", "cam9/metadata", LOGIN).status, 404);
}
