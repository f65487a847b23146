//! WebRTC, received by programs that know nothing of lensd: Chromium, and aiortc with FFmpeg's decoder.
#![allow(missing_docs)]

mod play;

use lensd_engine::camera::marks::{Marks, read_marks};
use play::browser::Browser;
use play::proof::{check_marks, marks_of};
use play::{Play, Running, Server, ann, linked_tool, run, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// Plays by WHEP with aiortc until it has so many pictures (0: for ever), which it writes as luma.
/// Says a line of JSON for the answer and for each picture: when it came, by CLOCK_MONOTONIC in ns.
const AIORTC: &str = r#"
import asyncio, json, sys, time
from urllib.parse import urljoin
import requests
from aiortc import RTCPeerConnection, RTCSessionDescription

async def main(url, count, out, authorization):
    pc = RTCPeerConnection()
    pc.addTransceiver("video", direction="recvonly")
    track = asyncio.get_running_loop().create_future()
    pc.on("track", track.set_result)
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Content-Type": "application/sdp"}
    if authorization:
        headers["Authorization"] = authorization
    answer = requests.post(url, data=pc.localDescription.sdp, headers=headers)
    about = {"status": answer.status_code, "body": answer.text, "headers": dict(answer.headers)}
    print(json.dumps(about), flush=True)
    if answer.status_code != 201:
        return
    await pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    track = await track
    got = 0
    with open(out, "wb") as file:
        while got < int(count) or count == "0":
            frame = await track.recv()
            now = time.monotonic_ns()
            got += 1
            if count != "0":
                file.write(frame.to_ndarray(format="gray").tobytes())
            print(json.dumps({"got": got, "at": now, "pts": frame.pts}), flush=True)
    resource = urljoin(url, answer.headers["Location"])
    done = requests.delete(resource, headers=headers)
    again = requests.delete(resource, headers=headers)
    print(json.dumps({"ended": [done.status_code, again.status_code]}), flush=True)
    await pc.close()

asyncio.run(main(*sys.argv[1:]))
"#;

const TOKEN: &str = "Bearer tok-bob";

fn aiortc(server: &Server, path: &str, count: u32, name: &str, authorization: &str) -> Command {
    let mut command = Command::new(linked_tool("venv/bin/python"));
    command.args(["-c", AIORTC, &server.http(path), &count.to_string()]);
    command.arg(server.folder.file(name)).arg(authorization);
    command
}

fn lines(out: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(out).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Clients of the main stream by WebRTC, as REST shows them.
fn clients(server: &Server) -> Vec<Value> {
    let (status, said) = ann(server, "GET", "api/streams/cam1-main/clients", "");
    assert_eq!(status, 200, "{said}");
    let all = said["data"]["clients"].as_array().unwrap();
    all.iter().filter(|client| client["transport"] == "webrtc").cloned().collect()
}

fn setting(server: &Server, key: &str, value: &Value) {
    let (status, said) = ann(server, "PATCH", &format!("api/settings/{key}"), &value.to_string());
    assert_eq!(status, 200, "{said}");
}

#[test]
fn aiortc_decodes_every_picture() {
    let server = Play::new().users().start();
    let servers =
        json!([{ "urls": ["turn:turn.example:3478"], "username": "u", "credential": "c" }]);
    setting(&server, "webrtc-ice-servers", &servers);
    let playing = Running::start(&mut aiortc(&server, "whep/stream1", 300, "luma", TOKEN));
    let client = until("the client in the list", || clients(&server).pop());
    assert_eq!((client["path"].as_str(), client["user"].as_str()), (Some("stream1"), Some("bob")));
    assert!(client["agent"].as_str().unwrap().starts_with("python-requests"), "{client}");
    let said = lines(&playing.succeed().out);

    let about = &said[0]["headers"];
    assert_eq!(about["Content-Type"], "application/sdp");
    assert!(about["Location"].as_str().unwrap().starts_with("/whep/stream1/"), "{about}");
    assert_eq!(about["Accept-Patch"], "application/trickle-ice-sdpfrag");
    let link = "<turn:turn.example:3478>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; \
                credential-type=\"password\"";
    assert_eq!(about["Link"], link);
    assert_eq!(said.last().unwrap()["ended"], json!([200, 404]), "it ends once");
    until("the list without it", || clients(&server).is_empty().then_some(()));

    let raw = fs::read(server.folder.file("luma")).unwrap();
    let marks = marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT);
    check_marks(&server, &marks, 300);
    // RTP times are the capture times, to a tick of 90 kHz.
    let came = &said[1..=300];
    let first = (came[0]["pts"].as_i64().unwrap(), marks[0].capture);
    for (line, mark) in came.iter().zip(&marks) {
        let ticks = line["pts"].as_i64().unwrap() - first.0;
        let micros = (mark.capture.0 - first.1.0) / 1000;
        let span = i64::try_from(micros).unwrap() * 9 / 100;
        assert!((ticks - span).abs() <= 2, "{ticks} ticks, {span} expected");
    }
    // How long it took is told, not judged.
    let mut late: Vec<i64> =
        came.iter().zip(&marks).map(|(line, mark)| latency(line, mark)).collect();
    late.sort_unstable();
    println!("capture to decoded: p50 {} us, p99 {} us", late[150] / 1000, late[297] / 1000);
}

fn latency(line: &Value, mark: &Marks) -> i64 {
    line["at"].as_i64().unwrap() - i64::try_from(mark.capture.0).unwrap()
}

/// Plays in a page of the server, as code for WHEP does.
const WHEP: &str = r#"(async () => {
    window.pc = new RTCPeerConnection();
    window.video = document.createElement('video');
    video.muted = true; video.autoplay = true; document.body.append(video);
    pc.ontrack = (event) => { video.srcObject = new MediaStream([event.track]); };
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    await pc.setLocalDescription();
    const answer = await fetch('/whep/stream1', { method: 'POST', body: pc.localDescription.sdp,
        headers: { 'Content-Type': 'application/sdp' } });
    const sdp = await answer.text();
    if (answer.status !== 201) return sdp;
    window.resource = answer.headers.get('Location');
    await pc.setRemoteDescription({ type: 'answer', sdp });
    return '';
})()"#;

/// Plays as [`WHEP`] does, with media, a policy and a beginning of `a=mid` that are filled in.
const OTHERWISE: &str = r#"(async () => {
    if (window.pc) pc.close();
    window.pc = new RTCPeerConnection({ bundlePolicy: 'POLICY' });
    for (const kind of 'KINDS'.split(' ')) {
        if (kind === 'data') pc.createDataChannel('d');
        else pc.addTransceiver(kind, { direction: 'recvonly' });
    }
    const { type, sdp: plain } = await pc.createOffer();
    const named = plain.replace(/a=mid:/g, 'a=mid:PREFIX')
        .replace(/a=group:BUNDLE.*/, (line) => line.replace(/ /g, ' PREFIX'));
    await pc.setLocalDescription({ type, sdp: named });
    const answer = await fetch('/whep/stream1', { method: 'POST', body: pc.localDescription.sdp,
        headers: { 'Content-Type': 'application/sdp' } });
    const sdp = await answer.text();
    if (answer.status !== 201) return sdp;
    await pc.setRemoteDescription({ type: 'answer', sdp });
    return '';
})()"#;

/// Seed 002's example as it is written there. That it sets `ontrack` when the track has been told of
/// already is its own: browsers tell of it while `setRemoteDescription` is awaited.
const SEED: &str = r#"(async () => {
    const response = await fetch('/api/webrtc/offer');
    const offer = await response.json();
    const pc = new RTCPeerConnection({
        iceServers: [{ urls: 'stun:stun.l.google.com:19302' }]
    });
    await pc.setRemoteDescription(offer);
    const answer = await pc.createAnswer();
    await pc.setLocalDescription(answer);
    await fetch('/api/webrtc/answer', {
        method: 'POST',
        body: JSON.stringify(answer)
    });
    pc.ontrack = (event) => {
        document.getElementById('video').srcObject = event.streams[0];
    };
    window.pc = pc;
    window.video = document.createElement('video');
    video.muted = true; video.autoplay = true; document.body.append(video);
    video.srcObject = new MediaStream(pc.getReceivers().map((receiver) => receiver.track));
    return '';
})()"#;

const DECODED: &str = "(async () => { let n = null; \
    (await pc.getStats()).forEach((s) => { if (s.type === 'inbound-rtp') n = s.framesDecoded; }); \
    return n; })()";

/// The picture that is shown, as luma.
const PIXELS: &str = "(() => { const c = document.createElement('canvas');
    const video = window.video; if (!video) return null;
    c.width = video.videoWidth; c.height = video.videoHeight; if (!c.width) return null;
    const x = c.getContext('2d'); x.drawImage(video, 0, 0);
    const d = x.getImageData(0, 0, c.width, c.height).data;
    const luma = []; for (let i = 1; i < d.length; i += 4) luma.push(d[i]);
    return { width: c.width, height: c.height, luma }; })()";

/// Whether the page plays by WebRTC.
const PLAYS: &str = "window.video.srcObject !== null && !window.video.hidden";

fn shown(browser: &mut Browser) -> Option<u32> {
    let picture = browser.value(PIXELS);
    let luma =
        picture["luma"].as_array()?.iter().map(|v| u8::try_from(v.as_u64().unwrap()).unwrap());
    let luma: Vec<u8> = luma.collect();
    assert_eq!((picture["width"].as_u64(), picture["height"].as_u64()), (Some(320), Some(180)));
    // A picture that is being replaced while it is drawn is none.
    read_marks(&luma, WIDTH, WIDTH, HEIGHT).map(|marks| marks.number)
}

fn plays(browser: &mut Browser, script: &str) {
    assert_eq!(browser.value(script), "", "{:#?}", browser.complaints);
    let decoded = |browser: &mut Browser| browser.value(DECODED).as_u64();
    let first = until("a decoded picture", || decoded(browser).filter(|n| *n > 0));
    until("more of them", || decoded(browser).filter(|n| *n > first + 50));
    let number = until("the test camera's picture", || shown(browser));
    until("another one", || shown(browser).filter(|n| *n > number + 20));
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn chromium_plays_by_whep() {
    let server = Play::open().users().start();
    let mut browser = Browser::start();
    browser.open(&server.http("still"));
    plays(&mut browser, WHEP);
    let client = clients(&server).pop().unwrap();
    assert!(client["units"].as_u64().unwrap() > 50, "{client}");
    assert!(client["send"]["p50_us"].as_u64().is_some(), "{client}");
    let ended = "fetch(resource, { method: 'DELETE' }).then((answer) => answer.status)";
    assert_eq!(browser.value(ended), 200);
    until("its end in the browser", || {
        (browser.value("pc.connectionState") != "connected").then_some(())
    });
    assert!(clients(&server).is_empty());
}

#[test]
fn chromium_plays_whatever_else_is_offered_and_in_any_order() {
    let server = Play::open().users().start();
    let mut browser = Browser::start();
    browser.open(&server.http("still"));
    for (kinds, policy, prefix) in [
        ("audio video", "balanced", ""),
        ("audio video", "max-bundle", ""),
        ("video audio", "max-bundle", ""),
        ("audio data video", "max-compat", ""),
        ("video data", "max-bundle", "cam-"),
    ] {
        let script = OTHERWISE.replace("KINDS", kinds).replace("POLICY", policy);
        let script = script.replace("PREFIX", prefix);
        assert_eq!(browser.value(&script), "", "{kinds}, {policy}: {:#?}", browser.complaints);
        until(&format!("pictures of {kinds}, {policy}"), || {
            browser.value(DECODED).as_u64().filter(|n| *n > 10)
        });
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_page_plays_by_webrtc_where_it_is_asked_to() {
    let mut server = Play::open().users().start();
    let mut browser = Browser::start();
    browser.open(&server.http("?player=webrtc"));
    let there = "!!(window.video = document.getElementById('video'))";
    until("the page", || (browser.value(there) == true).then_some(()));
    let number = until("a picture", || shown(&mut browser));
    until("another one", || shown(&mut browser).filter(|n| *n > number + 20));
    assert_eq!(browser.value(PLAYS), true);
    assert_eq!(clients(&server).len(), 1);
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    // Its end is noticed, and healed without a reload.
    let before = until("a picture", || shown(&mut browser));
    server.kill_plane("engine");
    until("the new engine's pictures", || {
        shown(&mut browser).filter(|n| *n < before || *n > before + 100)
    });
    assert_eq!(browser.value(PLAYS), true);
}

#[test]
fn chromium_plays_as_seed_002_writes_it() {
    let server = Play::open().users().start();
    let mut browser = Browser::start();
    browser.open(&server.http("still"));
    plays(&mut browser, SEED);
    // Each page has its own, though both say the same about themselves.
    let mut other = Browser::start();
    other.open(&server.http("still"));
    plays(&mut other, SEED);
    assert_eq!(clients(&server).len(), 2);
    // What the browser does not close is missed all the same.
    drop(other);
    until("the end of who is gone", || (clients(&server).len() == 1).then_some(()));
}

/// A description as aiortc makes one.
fn offer(server: &Server) -> String {
    let script = "import asyncio\nfrom aiortc import RTCPeerConnection\n\
                  async def main():\n pc = RTCPeerConnection()\n \
                  pc.addTransceiver('video', direction='recvonly')\n \
                  await pc.setLocalDescription(await pc.createOffer())\n \
                  print(pc.localDescription.sdp, end='')\n await pc.close()\nasyncio.run(main())";
    let file = server.folder.file("offer.sdp");
    let done = run(Command::new(linked_tool("venv/bin/python")).args(["-c", script]));
    fs::write(&file, &done.out).unwrap();
    String::from_utf8(done.out).unwrap()
}

/// Status and body that curl gets for a body.
fn send(server: &Server, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let file = server.folder.file("body");
    fs::write(&file, body).unwrap();
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "60", "-w", "\n%{http_code}", "-X", method, "--data-binary"]);
    command.arg(format!("@{}", file.display()));
    for header in headers {
        command.args(["-H", header]);
    }
    let text = String::from_utf8(run(command.arg(server.http(path))).out).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

const SDP: &str = "Content-Type: application/sdp";
const BOB: &str = "Authorization: Bearer tok-bob";

#[test]
fn what_cannot_be_is_refused_in_words() {
    let server = Play::new().users().start();
    let good = offer(&server);
    let sends = good.replace("a=recvonly", "a=sendonly");
    let vp8 = good.replace("H264/90000", "H266/90000");
    let audio = good.replace("m=video", "m=audio");
    let odd = format!("{good}m=hologram 9\r\na=mid:9\r\n");
    let long = format!("{good}{}", "a=x\r\n".repeat(20_000));
    let controls = format!("v=0\r\n{}", "\u{1}".repeat(60_000));
    let quotes = "\"".repeat(65_536);
    let accept = "Accept: text/html";
    let trickle = "Content-Type: application/trickle-ice-sdpfrag";
    let text = "Content-Type: text/plain";
    let cases: &[(&str, &str, &[&str], &str, u16)] = &[
        ("POST", "whep/stream1", &[SDP], &good, 401),
        ("POST", "whep/stream1", &[BOB, text], &good, 415),
        ("POST", "whep/stream1", &[BOB, SDP, accept], &good, 406),
        ("POST", "whep/stream7", &[BOB, SDP], &good, 404),
        ("POST", "whep/stream1", &[BOB, SDP], "", 400),
        ("POST", "whep/stream1", &[BOB, SDP], "v=0\r\nm=video nonsense\r\n", 400),
        ("POST", "whep/stream1", &[BOB, SDP], &controls, 400),
        ("POST", "whep/stream1", &[BOB, SDP], &quotes, 413),
        ("POST", "whep/stream1", &[BOB, SDP], &odd, 400),
        ("POST", "whep/stream1", &[BOB, SDP], &long, 413),
        ("POST", "whep/stream1", &[BOB, SDP], &audio, 406),
        ("POST", "whep/stream1", &[BOB, SDP], &vp8, 406),
        ("POST", "whep/stream1", &[BOB, SDP], &sends, 406),
        ("POST", "whep/cam1/mjpeg", &[BOB, SDP], &good, 406),
        ("PUT", "whep/stream1", &[BOB, SDP], &good, 405),
        ("GET", "whep/stream1/0123", &[BOB], "", 405),
        ("DELETE", "whep/stream1/0123", &[BOB], "", 404),
        ("PATCH", "whep/stream1/0123", &[BOB, SDP], "", 415),
        ("PATCH", "whep/stream1/0123", &[BOB, trickle], "", 404),
        ("POST", "api/webrtc/answer", &[BOB], "{}", 422),
        ("POST", "api/webrtc/answer", &[BOB], "{\"type\":\"answer\",\"sdp\":\"x\"}", 400),
        ("POST", "api/webrtc/ice", &[BOB], "{\"candidate\":\"x\"}", 422),
    ];
    for (method, path, headers, body, want) in cases {
        let (status, said) = send(&server, method, path, headers, body);
        assert_eq!(status, *want, "{method} {path} {headers:?}: {said}");
        if *want != 401 {
            let said: Value = serde_json::from_str(&said).unwrap();
            assert!(said["message"].as_str().unwrap().len() > 10, "{said}");
        }
    }
    assert!(clients(&server).is_empty(), "nothing is left of them");

    // Of what is begun, others than its owner end nothing.
    let (status, _) = send(&server, "POST", "whep/stream1", &[BOB, SDP], &good);
    assert_eq!(status, 201);
    let (status, said) = send(&server, "GET", "api/webrtc/offer?stream=cam1/main", &[BOB], "");
    assert_eq!(status, 200);
    let resource =
        serde_json::from_str::<Value>(&said).unwrap()["resource"].as_str().unwrap().to_owned();
    assert!(resource.starts_with("/whep/cam1/main/"), "{resource}");
    // It has no answer yet; after that another a=ice-ufrag were an ICE restart.
    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n";
    let patch = |path: &str| send(&server, "PATCH", path, &[BOB, trickle], fragment).0;
    assert_eq!(patch(&resource[1..]), 204);
    assert_eq!(ann(&server, "DELETE", &resource[1..], "").0, 404);
    assert_eq!(send(&server, "DELETE", &resource[1..], &[BOB], "").0, 200);

    // As many as are allowed; what has never been connected makes room.
    setting(&server, "webrtc-max-clients", &json!(1));
    let (status, said) = send(&server, "POST", "whep/stream1", &[BOB, SDP], &good);
    assert_eq!((status, clients(&server).len()), (201, 1), "{said}");
    setting(&server, "webrtc-enabled", &json!(false));
    let (status, said) = send(&server, "POST", "whep/stream1", &[BOB, SDP], &good);
    assert!(status == 409 && said.contains("webrtc-enabled"), "{said}");
    until("the end of those there were", || clients(&server).is_empty().then_some(()));
    setting(&server, "webrtc-enabled", &json!(true));
    for _ in 0..3 {
        assert_eq!(send(&server, "GET", "api/webrtc/offer", &[BOB], "").0, 200);
    }
    assert_eq!(clients(&server).len(), 1);
    let (_, said) = ann(&server, "PATCH", "api/settings/webrtc-addresses", "\"nowhere\"");
    assert!(said.to_string().contains("203.0.113.5"), "{said}");
}

/// Pictures that a client has so far.
fn units(server: &Server, id: &str) -> u64 {
    let client = clients(server).into_iter().find(|client| client["id"] == id);
    client.map_or(0, |client| client["units"].as_u64().unwrap())
}

fn new_client(server: &Server, but: &[String]) -> String {
    until("the client's pictures", || {
        let all = clients(server);
        let new = all.iter().find(|client| {
            client["units"].as_u64() > Some(10) && !but.iter().any(|id| client["id"] == *id)
        });
        new.map(|client| client["id"].as_str().unwrap().to_owned())
    })
}

#[test]
fn clients_are_apart_from_each_other_and_end_with_their_logins() {
    let mut server = Play::new().users().start();
    let one = Running::start(&mut aiortc(&server, "whep/stream1", 0, "one", TOKEN));
    let first = new_client(&server, &[]);
    let two = Running::start(&mut aiortc(&server, "whep/cam1-main", 0, "two", TOKEN));
    let second = new_client(&server, std::slice::from_ref(&first));
    one.signal(Signal::STOP);
    let before = units(&server, &second);
    until("the other's pictures", || (units(&server, &second) > before + 100).then_some(()));
    // Nor does it notice that the control plane is another one.
    let before = units(&server, &second);
    server.kill_plane("control");
    until("more of them", || (units(&server, &second) > before + 100).then_some(()));
    until("the end of the one that is not heard any more", || {
        (units(&server, &first) == 0).then_some(())
    });
    assert!(units(&server, &second) > 0);
    // Another password ends what was begun with the old one, his token too.
    let (status, said) =
        ann(&server, "PUT", "api/users/bob/password", "{\"password\":\"another-secret-1\"}");
    assert_eq!(status, 200, "{said}");
    until("the end of bob's session", || clients(&server).is_empty().then_some(()));
    drop((one, two));
    // A new engine has the sockets and settings of the old one, and no sessions.
    setting(&server, "webrtc-join", &json!("gop"));
    server.kill_plane("engine");
    let ann_basic = "Basic YW5uOnNlY3JldDEyMw==";
    let said = until("a session of the new engine", || {
        let mut command = aiortc(&server, "whep/stream1", 50, "three", ann_basic);
        let said = lines(&Running::start(&mut command).succeed().out);
        (said[0]["status"] == 201).then_some(said)
    });
    assert_eq!(said.len(), 52);
    let raw = fs::read(server.folder.file("three")).unwrap();
    check_marks(&server, &marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT), 50);
}
