//! ONVIF as unmodified clients see it: `tests/onvif/accept_zeep.py` drives the real binary with
//! onvif-zeep, and holds every answer against the official schemas; `tests/onvif/add_camera.js` adds
//! the camera as two clients of Node do, and programs of a client in Rust look it over; FFmpeg and GStreamer play what they were told of.
#![allow(missing_docs)]

mod play;

use play::{Play, Running, Server, linked_tool, run, until};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The administrator's login, whose password is known in the clear: a WS-UsernameToken can be
/// checked in no other way.
const PASSWORD: &str = "Secret-123";

fn start() -> Server {
    let (mut command, folder) = Play::new().isolated().found().command();
    command.env("LENSD_ADMIN_PASSWORD", PASSWORD);
    Server::start(command, folder)
}

/// Runs the acceptance, and shows what failed.
fn accept(server: &Server, options: &[&str]) {
    let python = linked_tool("onvif/bin/python");
    let port = server.port("http").to_string();
    let mut command = server.tool(&python.display().to_string());
    command.args(["-u", "tests/onvif/accept_zeep.py", "127.0.0.1", &port, "admin", PASSWORD]);
    command.args(options).env("ONVIF_WSDL", linked_tool("onvif/wsdl"));
    let done = Running::start(&mut command).finish();
    let out = String::from_utf8_lossy(&done.out);
    let failed: Vec<&str> = out.lines().filter(|l| l.starts_with("FAIL")).collect();
    let last = out.lines().last().unwrap_or_default();
    assert!(failed.is_empty() && done.status.success(), "{last}\n{failed:#?}\n{}", done.err);
    assert!(last.contains(" passed, 0 failed"), "{last}");
    println!("{last}");
}

/// All that the two profiles ask for, logins and hostile requests, discovery, events.
#[test]
fn profiles_s_and_t() {
    let server = start();
    let login = json!({ "username": "admin", "password": PASSWORD }).to_string();
    let done =
        run(server.tool("curl").args(["-sS", "-f", "-d", &login, &server.http("api/login")]));
    let answer: Value = serde_json::from_slice(&done.out).unwrap();
    let token = answer["token"].as_str().unwrap();
    let motion = format!("{}?token={token}", server.http("api/motion/test"));
    // The test camera's picture moves: else there is motion already when it is pretended.
    set(&server, "motion-detection", "\"off\"");
    accept(&server, &["--profile", "ST", "--motion-url", &motion]);
}

/// A server with two interfaces, at each of which another machine (a namespace) listens.
fn start_between_two_networks() -> Server {
    let (command, folder) = Play::new().on_all_addresses().found().command();
    // The other machine ends with the server.
    let script = "set -e; ip link set lo up; \
         setpriv --pdeathsig KILL unshare -n sh -c 'echo $$ >\"$0.new\" && mv \"$0.new\" \"$0\"; exec sleep 100000' \"$PEER\" & \
         while ! [ -s \"$PEER\" ]; do sleep 0.01; done; \
         peer=$(cat \"$PEER\"); \
         for n in 1 2; do \
           ip link add a$n type veth peer name b$n netns $peer; \
           ip addr add 10.$n.0.1/24 dev a$n; ip link set a$n up; \
           nsenter -t $peer -n ip addr add 10.$n.0.2/24 dev b$n; \
           nsenter -t $peer -n ip link set b$n up; \
         done; \
         exec \"$0\" \"$@\"";
    let mut outer = Command::new("unshare");
    outer.args(["-rn", "sh", "-c", script, play::LENSD]).args(command.get_args());
    outer.env("PEER", folder.file("peer")).env("LENSD_ADMIN_PASSWORD", PASSWORD);
    Server::start(outer, folder)
}

/// What the other machine finds, by the address that it looks from.
fn found(server: &Server, from: &[&str]) -> Value {
    let peer = fs::read_to_string(server.folder.file("peer")).unwrap();
    let mut command = server.tool("nsenter");
    command.args(["-t", peer.trim(), "-n", "python3", "tests/onvif/probe.py"]).args(from);
    let done = run(&mut command);
    serde_json::from_slice(&done.out).unwrap()
}

fn set(server: &Server, key: &str, value: &str) {
    let url = server.http(&format!("api/settings/{key}"));
    let login = format!("admin:{PASSWORD}");
    run(server.tool("curl").args(["-sS", "-f", "-u", &login, "-d", value, &url]));
}

#[test]
fn each_network_is_told_its_own_address() {
    let server = start_between_two_networks();
    let port = server.port("http");
    let url = |ip: &str| json!([format!("http://{ip}:{port}/onvif/device_service")]);
    let both = ["10.1.0.2", "10.2.0.2"];
    let want = json!({ "10.1.0.2": url("10.1.0.1"), "10.2.0.2": url("10.2.0.1") });
    until("both networks", || (found(&server, &both) == want).then_some(()));
    // Who is not to be found is silent everywhere.
    set(&server, "discovery", "false");
    let nobody = json!({ "10.1.0.2": [], "10.2.0.2": [] });
    until("silence", || (found(&server, &both) == nobody).then_some(()));
    set(&server, "discovery", "true");
    // An address that changes is told from then on.
    for arguments in ["addr del 10.2.0.1/24 dev a2", "addr add 10.2.0.9/24 dev a2"] {
        run(server.tool("ip").args(arguments.split(' ')));
    }
    let want = json!({ "10.1.0.2": url("10.1.0.1"), "10.2.0.2": url("10.2.0.9") });
    until("the new address", || (found(&server, &both) == want).then_some(()));
}

/// What REST answers the administrator.
fn ask(server: &Server, path: &str, body: Option<&Value>) -> Option<Value> {
    let login = format!("admin:{PASSWORD}");
    let mut command = server.tool("curl");
    command.args(["-sS", "-f", "-u", &login, &server.http(path)]);
    if let Some(body) = body {
        command.args(["-d", &body.to_string()]);
    }
    let done = Running::start(&mut command).finish();
    serde_json::from_slice::<Value>(&done.out).ok().map(|mut answer| answer["data"].take())
}

/// A device is found, asked for its streams, and one of these is another camera from then on. The
/// device is the server itself, to which it speaks as it would to others.
#[test]
fn a_stream_of_a_device_that_was_found_is_played() {
    let server = start_between_two_networks();
    let path = "api/onvif/discover";
    let found = until("the device", || {
        let found = ask(&server, path, None)?;
        (found["devices"][0]["name"] == "lensd").then_some(found)
    });
    assert_eq!(found["devices"].as_array().unwrap().len(), 1, "{found}");
    let login = json!({ "username": "admin", "password": PASSWORD });
    let found = ask(&server, path, Some(&login)).unwrap();
    let streams = found["devices"][0]["streams"].as_array().unwrap();
    let uri = streams.iter().filter_map(|s| s["uri"].as_str()).find(|u| u.contains("/sub"));
    let uri = uri.unwrap_or_else(|| panic!("{found:#}"));
    let mut add = login;
    add["add"] = json!(uri);
    assert_eq!(ask(&server, path, Some(&add)).unwrap()["added"], *uri);
    let added = until("the other camera", || {
        let cameras = ask(&server, "api/cameras", None)?;
        cameras["cameras"]
            .as_array()?
            .iter()
            .find(|c| c["id"] == 2 && c["connected"] == true)
            .cloned()
    });
    assert!(!added.to_string().contains(PASSWORD), "{added}");
    let url = format!("rtsp://127.0.0.1:{}/cam2/main", server.port("rtsp"));
    assert_eq!(ffmpeg_plays(&server, &url, "tcp"), "h264");
    let streams = until("its row", || {
        let held = ask(&server, "api/settings/external-streams", None)?["value"].take();
        (held[0]["connected"] == true).then_some(held)
    });
    assert_eq!(streams[0]["camera"], 2, "{streams}");
    // It goes as it came.
    let url = streams[0]["url"].as_str().unwrap();
    assert!(!url.contains(PASSWORD), "{url}");
    set(&server, "external-stream-remove", &json!(url).to_string());
    until("one camera", || {
        let cameras = ask(&server, "api/cameras", None)?;
        (cameras["cameras"].as_array()?.len() == 1).then_some(())
    });
    assert!(!server.log().contains(PASSWORD), "{}", server.log());
}

/// Does something with the profiles that clients have made; the number that is told.
fn profiles(server: &Server, what: &str) -> usize {
    let python = linked_tool("onvif/bin/python");
    let port = server.port("http").to_string();
    let mut command = server.tool(&python.display().to_string());
    command.args(["tests/onvif/profiles.py", "127.0.0.1", &port, "admin", PASSWORD, what]);
    let done = Running::start(&mut command).succeed();
    String::from_utf8_lossy(&done.out).lines().last().unwrap().trim().parse().unwrap()
}

#[test]
fn profiles_are_bounded_and_outlive_a_restart() {
    let mut server = start();
    assert_eq!(profiles(&server, "storm"), 16);
    server.kill_plane("control");
    assert_eq!(profiles(&server, "count"), 16);
    assert_eq!(profiles(&server, "clear"), 16);
    assert_eq!((profiles(&server, "count"), profiles(&server, "storm")), (0, 16));
}

/// What nobody should send is refused, and forgotten subscriptions are bounded in memory.
#[test]
fn hostile_requests_cost_little() {
    let server = start();
    let (port, pid) = (server.port("http").to_string(), server.plane("control").to_string());
    let mut command = server.tool(&linked_tool("python3").display().to_string());
    command.args(["tests/onvif/hostile.py", "127.0.0.1", &port, "admin", PASSWORD, &pid, "5"]);
    let done = Running::start(&mut command).finish();
    let out = String::from_utf8_lossy(&done.out);
    assert!(done.status.success(), "{out}\n{}", done.err);
    println!("{out}");
}

/// What is set is what is played.
#[test]
fn encoders_become_what_is_asked() {
    let server = start();
    let python = linked_tool("onvif/bin/python");
    let port = server.port("http").to_string();
    let mut command = server.tool(&python.display().to_string());
    command.args(["-u", "tests/onvif/change_encoder.py", "127.0.0.1", &port, "admin", PASSWORD]);
    let done = Running::start(&mut command).finish();
    let out = String::from_utf8_lossy(&done.out);
    assert!(done.status.success(), "{out}\n{}", done.err);
    assert_eq!(out.lines().filter(|line| line.starts_with("ok ")).count(), 8, "{out}");
}

/// The address with a login, as a player takes it.
fn with_login(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    format!("{scheme}://admin:{PASSWORD}@{rest}")
}

/// Lets FFmpeg play five packets; the coding.
fn ffmpeg_plays(server: &Server, uri: &str, transport: &str) -> String {
    // The tunnel is a way of RTSP to it, not a scheme.
    let url = with_login(uri).replacen("http://", "rtsp://", 1);
    let done = Running::start(server.tool("ffprobe").args([
        "-v",
        "error",
        "-rtsp_transport",
        transport,
        "-select_streams",
        "v",
        "-count_packets",
        "-read_intervals",
        "%+#5",
        "-show_entries",
        "stream=codec_name,nb_read_packets",
        "-of",
        "json",
        &url,
    ]))
    .succeed();
    let told: Value = serde_json::from_slice(&done.out).unwrap();
    let stream = &told["streams"][0];
    assert_eq!(stream["nb_read_packets"], "5", "{uri} by {transport}: {told}");
    stream["codec_name"].as_str().unwrap().to_owned()
}

/// Lets GStreamer play some packets.
fn gstreamer_plays(server: &Server, uri: &str, protocols: &str) {
    let file = server.folder.file("packets");
    let url = with_login(uri).replacen("http://", "rtsph://", 1);
    // The stream with pictures: the other one only says what happens.
    let pipeline = format!(
        "rtspsrc location={url} protocols={protocols} tcp-timeout=0 ! \
         application/x-rtp,media=video ! identity eos-after=10 ! filesink location={}",
        file.display()
    );
    let play = || {
        let _ = fs::remove_file(&file);
        let mut command = server.tool("gst-launch-1.0");
        // Packets count: it may fail to pause a tunnel at the end, when it has what it wanted.
        let done = Running::start(command.arg("-q").args(pipeline.split_whitespace())).finish();
        (fs::metadata(&file).map_or(0, |file| file.len()), done.err)
    };
    let (mut length, mut err) = play();
    // It gives up when the metadata, which nobody takes here, come before the pictures are linked.
    for _ in 0..3 {
        if length == 0 && err.contains("not-linked") {
            (length, err) = play();
        }
    }
    assert!(length > 0, "{uri} by {protocols}: {err}");
}

/// What a client in Rust thinks of us (the programs come with its crate).
#[test]
fn a_client_of_rust_is_content() {
    let server = start();
    let address = format!("127.0.0.1:{}", server.port("http"));
    let url = format!("http://{address}/onvif/device_service");
    let mut command = server.tool(&linked_tool("oxvif/bin/healthcheck").display().to_string());
    let done =
        Running::start(command.args([&url, "admin", PASSWORD, "--write", "--json"])).finish();
    let out = String::from_utf8_lossy(&done.out);
    assert!(done.status.success(), "{out}\n{}", done.err);
    let told: Value = serde_json::from_str(&out).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let with = |status: &str| checks.iter().filter(|c| c["status"]["kind"] == status).count();
    assert!(with("pass") >= 27 && with("fail") == 0, "{told:#}");
    // It reads and changes what it knows of, and says which operations it did without.
    let mut command = server.tool(&linked_tool("oxvif/bin/camera").display().to_string());
    let login = format!("admin/{PASSWORD}");
    let done = Running::start(command.args(["full-workflow", "--ip", &address, "--auth", &login]))
        .succeed();
    let out = String::from_utf8_lossy(&done.out);
    let optional = ["GetStorageConfigurations", "GetSystemUris", "GetPresetTours"];
    let without = out.lines().filter(|line| line.contains("(skipped")).count();
    assert!(without <= optional.len() + 1 && out.contains("Full workflow complete"), "{out}");
    assert!(out.contains("made-") && out.contains("device state restored"), "{out}");
}

#[test]
fn clients_of_node_add_the_camera_and_play_it() {
    let server = start();
    let port = server.port("http").to_string();
    let motion = server.http("api/motion/test");
    let mut command = server.tool("node");
    command.args(["tests/onvif/add_camera.js", "127.0.0.1", &port, "admin", PASSWORD]);
    command.args(["--motion", &motion]).env("NODE_PATH", linked_tool("node_modules"));
    let done = Running::start(&mut command).finish();
    let out = String::from_utf8_lossy(&done.out).into_owned();
    assert!(done.status.success(), "{out}\n{}", done.err);
    let told: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let streams = told["streams"].as_array().unwrap();
    let uri = |n: usize, way: &str| streams[n][way].as_str().unwrap().to_owned();
    let codings: Vec<String> =
        (0..streams.len()).map(|n| ffmpeg_plays(&server, &uri(n, "rtsp"), "tcp")).collect();
    assert_eq!(codings, ["h264", "h264", "mjpeg"]);
    for n in 0..streams.len() {
        ffmpeg_plays(&server, &uri(n, "udp"), "udp");
        ffmpeg_plays(&server, &uri(n, "http"), "http");
        for protocols in ["udp", "tcp", "udp-mcast"] {
            gstreamer_plays(&server, &uri(n, "rtsp"), protocols);
        }
        gstreamer_plays(&server, &uri(n, "http"), "tcp");
    }
    let groups = told["multicast"].as_array().unwrap();
    let codings: Vec<String> = groups
        .iter()
        .map(|uri| ffmpeg_plays(&server, uri.as_str().unwrap(), "udp_multicast"))
        .collect();
    assert_eq!(codings, ["h264", "h264", "mjpeg"]);
    for uri in told["uris"].as_array().unwrap() {
        ffmpeg_plays(&server, uri.as_str().unwrap(), "tcp");
    }
}
