//! What ONVIF clients change of a stream while it runs, over REST: how it is coded, its size and rate,
//! the texts on it, the multicast group that it is sent to without being asked.
#![allow(missing_docs)]

mod play;

use play::{Play, Running, Server, run, until};
use serde_json::{Value, json};

/// Status and body of what the administrator gets, from within the server's network.
fn ann(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut command = server.tool("curl");
    command.args(["-sS", "-m", "60", "-w", "\n%{http_code}", "-u", "ann:secret123", "-X", method]);
    if !body.is_empty() {
        command.args(["-d", body]);
    }
    let done = run(command.arg(server.http(path)));
    // It may be a picture.
    let text = String::from_utf8_lossy(&done.out);
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn value(server: &Server, key: &str) -> Value {
    ann(server, "GET", &format!("api/settings/{key}"), "").1["data"]["value"].clone()
}

/// Sets a key; the value that was confirmed.
fn set(server: &Server, key: &str, value: Value) -> Value {
    let path = format!("api/settings/{key}");
    let (status, body) = ann(server, "POST", &path, &value.to_string());
    assert_eq!(status, 200, "{key}: {body}");
    body["data"]["value"].clone()
}

/// Codec, profile and size of a stream, by ffprobe.
fn probe(server: &Server, path: &str) -> String {
    let url = server.rtsp_as("ann:secret123", path);
    let mut ffprobe = server.tool("ffprobe");
    ffprobe.args([
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-select_streams",
        "v",
        "-of",
        "csv=p=0",
    ]);
    ffprobe.args(["-show_entries", "stream=codec_name,profile,width,height"]).arg(url);
    String::from_utf8(run(&mut ffprobe).out).unwrap().trim().to_owned()
}

#[test]
fn a_stream_is_another_as_soon_as_that_is_confirmed() {
    let server = Play::new().users().camera("test:?size=640x360&fps=25").start();
    assert_eq!(probe(&server, "stream1"), "h264,Constrained Baseline,640,360");
    // Somebody who plays it is sent away when it is coded otherwise, and may come back.
    until("the prober to go", || (value(&server, "rtsp-sessions") == 0).then_some(()));
    let url = server.rtsp_as("ann:secret123", "stream1");
    let mut player = server.tool("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "tcp", "-i"]).arg(&url);
    let player = Running::start(player.args(["-f", "null", "-"]));
    until("a reader", || {
        let (_, body) = ann(&server, "GET", "api/streams/cam1-main/clients", "");
        (body["data"]["clients"][0]["units"].as_u64() > Some(5)).then_some(())
    });
    assert_eq!(set(&server, "main-encoding", json!("jpeg")), "jpeg");
    player.finish();
    assert!(probe(&server, "stream1").starts_with("mjpeg,Baseline,640,360"));
    assert!(probe(&server, "cam1/main").starts_with("mjpeg"));
    // Stills and the MJPEG stream are as before; so is the sub stream.
    assert!(probe(&server, "cam1/mjpeg").starts_with("mjpeg"));
    assert_eq!(ann(&server, "GET", "api/snapshot?quality=50", "").0, 200);
    assert!(probe(&server, "stream2").starts_with("h264"));
    // Quality is that of the pictures that come.
    let bytes = |quality: u32| {
        set(&server, "jpeg-quality", json!(quality));
        let mut ffmpeg = server.tool("ffmpeg");
        ffmpeg.args(["-v", "error", "-rtsp_transport", "tcp", "-i"]).arg(&url);
        ffmpeg.args(["-c", "copy", "-frames:v", "3", "-f", "mjpeg", "-"]);
        run(&mut ffmpeg).out.len()
    };
    assert!(4 * bytes(95) > 5 * bytes(15));
    // Size, rate, and the way back.
    assert_eq!(set(&server, "resolution", json!("320x180")), "320x180");
    // RFC 2435 counts the height in blocks of eight lines.
    assert!(probe(&server, "stream1").starts_with("mjpeg,Baseline,320,184"));
    assert_eq!(set(&server, "main-encoding", json!("h264")), "h264");
    assert_eq!(set(&server, "encoder-profile", json!("high")), "high");
    assert_eq!(probe(&server, "stream1"), "h264,High,320,180");
    assert_eq!(set(&server, "fps", json!(10)), 10);
    assert_eq!(set(&server, "gop", json!(0.5)), 0.5);
    assert_eq!(set(&server, "bitrate", json!(300_000)), 300_000);
    let rate = |key: &str, least: f64, most: f64| {
        until(key, || {
            let fps = value(&server, key).as_f64()?;
            (least..=most).contains(&fps).then_some(())
        });
    };
    rate("stream-main-fps", 9.0, 11.0);
    // The same of the sub stream, and its own rate.
    assert_eq!(set(&server, "fps", json!(30)), 30);
    assert_eq!(set(&server, "sub-width", json!(160)), 160);
    assert_eq!(set(&server, "sub-fps", json!(6)), 6);
    assert_eq!(set(&server, "sub-encoding", json!("jpeg")), "jpeg");
    assert!(probe(&server, "stream2").starts_with("mjpeg,Baseline,160,96"));
    let sub = server.rtsp_as("ann:secret123", "stream2");
    let mut player = server.tool("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "tcp", "-i"]).arg(&sub);
    let player = Running::start(player.args(["-f", "null", "-"]));
    rate("stream-sub-fps", 5.0, 7.0);
    until("a reader", || {
        let (_, body) = ann(&server, "GET", "api/streams/cam1-sub/clients", "");
        (body["data"]["clients"][0]["units"].as_u64() > Some(5)).then_some(())
    });
    set(&server, "sub-encoding", json!("h264"));
    player.finish();
    set(&server, "sub-fps", json!(0));
    assert!(probe(&server, "stream2").starts_with("h264"));
}

#[test]
fn texts_are_written_where_they_are_wished() {
    let server = Play::new().users().camera("test:?size=640x360&fps=10&pattern=still").start();
    let all = json!([
        { "token": "a", "text": "upper right", "position": "top-right" },
        { "token": "b", "kind": "date", "position": "bottom-left", "date_format": "dd/MM/yyyy" },
        { "token": "c", "kind": "time", "position": "bottom-right", "size": 32, "colour": "#ff0000" },
        { "token": "d", "kind": "date-time", "text": "cam", "position": "custom", "x": 0.0, "y": 0.0 },
        { "token": "e", "camera": 2, "text": "of another camera" },
    ]);
    set(&server, "osd", all.clone());
    assert_eq!(value(&server, "osd"), all);
    let (status, body) =
        ann(&server, "POST", "api/settings/osd", r#"[{"token":"a","text":"x","size":3}]"#);
    assert_eq!((status, &body["code"]), (422, &json!("INVALID_VALUE")), "{body}");
    assert_eq!(value(&server, "osd"), all, "the last good one holds");
    // Red letters at the bottom right, and none where nothing is written.
    let script = "import cv2, numpy, sys; d = numpy.frombuffer(sys.stdin.buffer.read(), 'u1')\n\
        i = cv2.imdecode(d, 1).astype(int); r = (i[:,:,2] > 150) & (i[:,:,1] < 110) & (i[:,:,0] < 110)\n\
        print(r[300:, 400:].sum(), r[60:140, 400:].sum())";
    let shell = "curl -sS -m 60 \"$2\" | \"$0\" -c \"$1\"";
    let red = || {
        let mut sh = server.tool("sh");
        sh.args(["-c", shell]).arg(play::linked_tool("python3")).arg(script);
        let done = run(sh.arg(server.http("api/snapshot?token=tok-bob&quality=95")));
        let text = String::from_utf8(done.out).unwrap();
        let counts: Vec<u64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
        (counts[0], counts[1])
    };
    let before = {
        set(&server, "osd", json!([]));
        red()
    };
    set(&server, "osd", all);
    let after = red();
    assert!(after.0 > before.0 + 200, "{before:?} {after:?}");
    assert_eq!(after.1, before.1);
}

#[test]
fn a_group_is_sent_to_without_being_asked() {
    let server = Play::new().users().camera("test:?size=320x180&fps=25").isolated().start();
    let group = json!([{ "stream": "cam1/main", "address": "239.9.8.7", "port": 6200, "ttl": 3,
        "on": true }]);
    set(&server, "rtsp-multicast", group.clone());
    let (status, _) =
        ann(&server, "POST", "api/settings/rtsp-multicast", r#"[{"stream":"a","port":7}]"#);
    assert_eq!(status, 422);
    until("the group", || {
        let shown = value(&server, "rtsp-multicast-groups");
        (shown[0]["address"] == "239.9.8.7" && shown[0]["clients"] == 0).then_some(())
    });
    // The description says where, and who has it needs nothing else.
    let script = "import base64, socket, sys; h, p = '127.0.0.1', int(sys.argv[1])\n\
        s = socket.create_connection((h, p), 60); a = base64.b64encode(b'ann:secret123').decode()\n\
        u = f'rtsp://{h}:{p}/cam1/main?multicast'\n\
        s.sendall(f'DESCRIBE {u} RTSP/1.0\\r\\nCSeq: 1\\r\\nAuthorization: Basic {a}\\r\\n\\r\\n'.encode())\n\
        t = ''\n\
        while not t.endswith('trackID=0\\r\\n'): t += s.recv(4096).decode()\n\
        sys.stdout.write(t)";
    let mut python = server.tool(play::linked_tool("python3").to_str().unwrap());
    python.args(["-c", script]).arg(server.port("rtsp").to_string());
    let sdp = String::from_utf8(run(&mut python).out).unwrap();
    assert!(sdp.contains("c=IN IP4 239.9.8.7/3\r\n"), "{sdp}");
    assert!(sdp.contains("m=video 6200 RTP/AVP 96\r\n"), "{sdp}");
    let file = server.folder.file("group.sdp");
    std::fs::write(&file, &sdp[sdp.find("v=0").unwrap()..]).unwrap();
    let listen = || {
        let mut ffmpeg = server.tool("ffmpeg");
        ffmpeg.args([
            "-v",
            "error",
            "-protocol_whitelist",
            "file,udp,rtp",
            "-localaddr",
            "127.0.0.1",
        ]);
        ffmpeg.arg("-i").arg(&file);
        ffmpeg.args(["-frames:v", "20", "-f", "framecrc", "-"]);
        let out = run(&mut ffmpeg).out;
        assert!(
            String::from_utf8(out).unwrap().lines().filter(|l| l.starts_with('0')).count() >= 20
        );
    };
    listen();
    // A client of RTSP shares it.
    let mut player = server.tool("ffmpeg");
    player.args(["-v", "error", "-rtsp_transport", "udp_multicast", "-i"]);
    player.arg(server.rtsp_as("ann:secret123", "cam1/main"));
    run(player.args(["-frames:v", "10", "-f", "null", "-"]));
    // It goes on after that one, also as JPEG, and ends when it is switched off.
    listen();
    let mut off = group;
    off[0]["on"] = json!(false);
    set(&server, "rtsp-multicast", off);
    until("its end", || (value(&server, "rtsp-multicast-groups") == json!([])).then_some(()));
}
