//! Players that others wrote, against the real server: what they decode is proved frame by frame.
#![allow(missing_docs)]

mod play;

use play::proof::{check_agreement, check_marks, check_messages, marks_of, messages_of};
use play::{CAMERA, Folder, Play, Running, Server, http, linked_tool, make_h264, run, until};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const I420: usize = WIDTH * HEIGHT * 3 / 2;

/// Lets FFmpeg decode 300 frames, keep the coded stream beside them, and checks both.
fn ffmpeg_plays(server: &Server, options: &[&str], url: &str) {
    let coded = server.folder.file("coded.h264");
    let out = run(server
        .tool("ffmpeg")
        .args(["-nostdin", "-v", "warning"])
        .args(options)
        .args(["-i", url, "-map", "0:v", "-frames:v", "300"])
        .args(["-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"])
        .args(["-map", "0:v", "-c", "copy", "-frames:v", "300", "-f", "h264", "-y"])
        .arg(&coded));
    let marks = marks_of(&out.out, WIDTH, HEIGHT, WIDTH * HEIGHT);
    check_marks(server, &marks, 300);
    let messages = messages_of(&fs::read(coded).unwrap());
    check_messages(server, &messages, 300);
    check_agreement(&marks, &messages);
    for bad in ["error", "corrupt", "missed", "Invalid"] {
        assert!(!out.err.contains(bad), "{}", out.err);
    }
}

#[test]
fn ffmpeg_over_tcp() {
    let server = Play::open().start();
    ffmpeg_plays(&server, &["-rtsp_transport", "tcp"], &server.rtsp("stream1"));
}

#[test]
fn ffmpeg_over_udp() {
    let server = Play::open().start();
    ffmpeg_plays(&server, &["-rtsp_transport", "udp"], &server.rtsp("stream1?udp"));
}

#[test]
fn ffmpeg_over_multicast() {
    let server = Play::open().isolated().start();
    ffmpeg_plays(&server, &["-rtsp_transport", "udp_multicast"], &server.rtsp("stream1"));
}

#[test]
fn ffmpeg_over_tls() {
    let server = Play::open().start();
    ffmpeg_plays(&server, &["-rtsp_transport", "tcp"], &server.rtsps("stream1"));
}

#[test]
fn ffmpeg_through_http() {
    let server = Play::open().start();
    ffmpeg_plays(&server, &["-rtsp_transport", "http"], &server.rtsp("stream1"));
}

#[test]
fn ffmpeg_with_a_name_and_a_password() {
    let server = Play::new().users().start();
    let url = server.rtsp_as("bob:secret456", "stream1");
    ffmpeg_plays(&server, &["-rtsp_transport", "tcp"], &url);
    // FFmpeg takes the digest when it is offered one.
    let refused = |url: &str| {
        let done = Running::start(Command::new("ffprobe").args([
            "-v",
            "error",
            "-rtsp_transport",
            "tcp",
            url,
        ]))
        .finish();
        assert!(!done.status.success(), "{url}");
        assert!(done.err.contains("401"), "{}", done.err);
    };
    refused(&server.rtsp_as("bob:wrong", "stream1"));
    refused(&server.rtsp_as("eve:secret456", "stream1"));
    refused(&server.rtsp("stream1"));
}

#[test]
fn ffmpeg_with_a_token() {
    let server = Play::new().users().start();
    let url = server.rtsp("stream1?token=tok-bob");
    ffmpeg_plays(&server, &["-rtsp_transport", "tcp"], &url);
    ffmpeg_plays(&server, &["-rtsp_transport", "udp"], &url);
    let url = server.rtsp("stream1?token=tok-eve");
    let done =
        Running::start(Command::new("ffprobe").args(["-rtsp_transport", "tcp", &url])).finish();
    assert!(!done.status.success() && done.err.contains("401"), "{}", done.err);
}

#[test]
fn basic_and_both_digests_by_hand() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let server = Play::new().users().start();
    let mut talk = server.connect();
    let answer = talk.ask("DESCRIBE", "stream1", "");
    assert_eq!(answer.status, 401);
    let challenges: Vec<_> =
        answer.headers.iter().filter(|(n, _)| n == "WWW-Authenticate").map(|(_, v)| v).collect();
    let has = |text: &str| challenges.iter().any(|c| c.contains(text));
    assert!(has("algorithm=MD5") && has("algorithm=SHA-256") && has("Basic"), "{challenges:?}");
    let basic = |login: &str| {
        let coded = base64::engine::general_purpose::STANDARD.encode(login);
        format!("Authorization: Basic {coded}\r\n")
    };
    assert_eq!(talk.ask("DESCRIBE", "stream1", &basic("bob:wrong")).status, 401);
    assert_eq!(talk.ask("DESCRIBE", "stream1", &basic("bob:secret456")).status, 200);
    // SHA-256, which no player of today's takes, by RFC 7616 3.4.1.
    let challenge = challenges.iter().find(|c| c.contains("SHA-256")).unwrap();
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let hash = |text: String| -> String {
        sha2::Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
    };
    let uri = server.rtsp("stream1");
    let mut digest = |password: &str| {
        let (ha1, ha2) = (hash(format!("bob:lensd:{password}")), hash(format!("DESCRIBE:{uri}")));
        let response = hash(format!("{ha1}:{nonce}:00000001:abc:auth:{ha2}"));
        let header = format!(
            "Authorization: Digest username=\"bob\", realm=\"lensd\", nonce=\"{nonce}\", \
             uri=\"{uri}\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"abc\", \
             response=\"{response}\"\r\n"
        );
        talk.ask("DESCRIBE", "stream1", &header).status
    };
    assert_eq!(digest("wrong"), 401);
    assert_eq!(digest("secret456"), 200);
}

fn gstreamer_plays(server: &Server, url: &str, protocols: &str, decode: &str) -> Vec<u8> {
    let file = server.folder.file("raw");
    // The last one ends the pipeline and is not written.
    let pipeline = format!(
        "rtspsrc location={url} protocols={protocols} latency=200 tcp-timeout=0 ! {decode} ! \
         identity eos-after=101 ! filesink location={}",
        file.display()
    );
    let mut command = server.tool("gst-launch-1.0");
    let done = Running::start(command.arg("-q").args(pipeline.split_whitespace())).finish();
    // Pictures count. At the end rtspsrc may send PAUSE on a connection that it has closed itself.
    let at_end = done.err.contains("gst_rtspsrc_pause");
    assert!(done.status.success() || at_end, "{}", done.err);
    fs::read(file).unwrap()
}

const H264: &str = "rtph264depay ! h264parse ! avdec_h264 max-threads=1";

#[test]
fn gstreamer_over_tcp_udp_and_http() {
    let server = Play::open().start();
    let tunnel = server.rtsp("stream1").replace("rtsp://", "rtsph://");
    let plain = server.rtsp("stream1");
    for (url, protocols) in [(&plain, "tcp"), (&plain, "udp"), (&tunnel, "tcp")] {
        let raw = gstreamer_plays(&server, url, protocols, H264);
        check_marks(&server, &marks_of(&raw, WIDTH, HEIGHT, I420), 100);
    }
}

#[test]
fn gstreamer_over_multicast_and_tls() {
    let server = Play::open().isolated().start();
    let raw = gstreamer_plays(&server, &server.rtsp("stream1"), "udp-mcast", H264);
    check_marks(&server, &marks_of(&raw, WIDTH, HEIGHT, I420), 100);
    let url = server.rtsps("stream1");
    let raw = gstreamer_plays(&server, &format!("{url} tls-validation-flags=0"), "tcp", H264);
    check_marks(&server, &marks_of(&raw, WIDTH, HEIGHT, I420), 100);
}

#[test]
fn mjpeg_over_rtp_by_ffmpeg_and_gstreamer() {
    let server = Play::open().start();
    let url = server.rtsp("cam1/mjpeg");
    // RFC 2435 counts the height in blocks of eight lines: 180 become 184.
    let bytes = WIDTH * 184;
    let out = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", &url])
        .args(["-frames:v", "100", "-fps_mode", "passthrough"])
        .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]));
    check_marks(&server, &marks_of(&out.out, WIDTH, HEIGHT, bytes), 100);
    for protocol in ["tcp", "udp"] {
        let raw = gstreamer_plays(&server, &url, protocol, "rtpjpegdepay ! jpegdec");
        check_marks(&server, &marks_of(&raw, WIDTH, HEIGHT, bytes * 3 / 2), 100);
    }
}

#[test]
fn the_small_stream() {
    let server = Play::open().camera("test:?size=1280x720&fps=25").start();
    let out = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp"])
        .args(["-i", &server.rtsp("stream2"), "-frames:v", "50", "-fps_mode", "passthrough"])
        .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]));
    check_marks(&server, &marks_of(&out.out, 640, 360, 640 * 360), 50);
    // It costs nothing any more once nobody reads it.
    until("the rest of the small stream", || {
        let state = server.state();
        let streams = state["engine"]["streams"].as_array().unwrap();
        let small = streams.iter().find(|s| s["name"] == "cam1/sub").unwrap();
        (small["readers"] == 0 && small["running"] == false).then_some(())
    });
}

#[test]
fn opencv() {
    let server = Play::open().start();
    let script = "import sys, cv2\n\
                  video = cv2.VideoCapture(sys.argv[1], cv2.CAP_FFMPEG)\n\
                  for _ in range(100):\n\
                  \x20   ok, picture = video.read()\n\
                  \x20   assert ok\n\
                  \x20   sys.stdout.buffer.write(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).tobytes())\n";
    for transport in ["tcp", "udp"] {
        let out = run(Command::new(linked_tool("python3"))
            .env("OPENCV_FFMPEG_CAPTURE_OPTIONS", format!("rtsp_transport;{transport}"))
            .args(["-c", script, &server.rtsp("stream1")]));
        check_marks(&server, &marks_of(&out.out, WIDTH, HEIGHT, WIDTH * HEIGHT), 100);
    }
}

/// Debian's VLC is built without live555, so it knows no RTSP but RealNetworks'. There it plays
/// the MJPEG stream over HTTP; where it has live555, RTSP.
#[test]
fn vlc() {
    let server = Play::open().camera("test:?size=320x180&fps=25").start();
    let home = Folder::new();
    fs::set_permissions(&home.0, fs::Permissions::from_mode(0o777)).unwrap();
    let cvlc = |args: &[&str]| {
        // VLC refuses to be root.
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--clear-groups", "cvlc"]);
            command
        } else {
            Command::new("cvlc")
        };
        command.env("HOME", &home.0).args(args);
        command
    };
    let modules = run(&mut cvlc(&["--list"]));
    let rtsp = String::from_utf8_lossy(&modules.out).contains("live555");
    let url = if rtsp { server.rtsp("stream1") } else { server.http("mjpeg/stream1") };
    let folder = format!("--scene-path={}", home.0.display());
    let mut player = Running::start(&mut cvlc(&[
        "--quiet",
        "--no-audio",
        "--vout=dummy",
        "--no-drop-late-frames",
        "--no-skip-frames",
        "--video-filter=scene",
        "--scene-format=png",
        "--scene-ratio=1",
        "--scene-prefix=s",
        &folder,
        &url,
    ]));
    let pictures = || fs::read_dir(&home.0).unwrap().flatten();
    until("pictures of VLC", || {
        assert!(!player.is_over(), "VLC has ended");
        let png = pictures().filter(|e| e.path().extension().is_some_and(|e| e == "png"));
        (png.count() > 60).then_some(())
    });
    player.signal(Signal::TERM);
    player.finish();
    let out = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-pattern_type", "glob", "-i"])
        .arg(home.0.join("s*.png"))
        // The filter makes the picture as high as its coded blocks.
        .args(["-vf", "scale=320:180"])
        .args(["-frames:v", "60", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"]));
    let marks = marks_of(&out.out, WIDTH, HEIGHT, WIDTH * HEIGHT);
    // VLC shows pictures at their time and its filter takes those that are shown: some twice.
    assert!(marks.windows(2).all(|m| m[0].number <= m[1].number), "{marks:?}");
    let shown: std::collections::BTreeSet<u32> = marks.iter().map(|m| m.number).collect();
    assert!(shown.len() >= 10, "{shown:?}");
}

/// retina refuses what the standards do not allow, and warns of what it only tolerates.
#[test]
fn retina_is_content() {
    let server = Play::open().start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for tcp in [true, false] {
        let numbers = runtime.block_on(retina_numbers(&server.rtsp("stream1"), tcp, None));
        assert_eq!(numbers.len(), 100);
        play::proof::check_numbers(&server, 1, &numbers);
    }
}

#[test]
fn retina_logs_in() {
    let server = Play::new().users().start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let login = retina::client::Credentials {
        username: "bob".to_owned(),
        password: "secret456".to_owned(),
    };
    let numbers = runtime.block_on(retina_numbers(&server.rtsp("stream1"), true, Some(login)));
    assert_eq!(numbers.len(), 100);
}

async fn retina_numbers(
    url: &str,
    tcp: bool,
    login: Option<retina::client::Credentials>,
) -> Vec<u32> {
    use futures::StreamExt;
    use lensd_engine::syntax::sei;
    use lensd_ffi::unit::Codec;
    use retina::client::{
        Demuxed, PlayOptions, Session, SessionOptions, SetupOptions, TcpTransportOptions,
        Transport, UdpTransportOptions,
    };
    use retina::codec::{CodecItem, FrameFormat};
    let options = SessionOptions::default().creds(login);
    let mut session = Session::describe(url.parse().unwrap(), options).await.unwrap();
    let transport = if tcp {
        Transport::Tcp(TcpTransportOptions::default())
    } else {
        Transport::Udp(UdpTransportOptions::default())
    };
    let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::SIMPLE);
    session.setup(0, setup).await.unwrap();
    let playing = session.play(PlayOptions::default()).await.unwrap();
    let mut frames: Demuxed = playing.demuxed().unwrap();
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        let item = frames.next().await.unwrap().unwrap();
        let CodecItem::VideoFrame(frame) = item else { continue };
        assert_eq!(frame.loss(), 0);
        let mut spans = Vec::new();
        let bytes = frame.data();
        lensd_ffi::unit::split_annex_b(bytes, &mut spans);
        let found = sei::find(Codec::H264, bytes, &spans);
        numbers.push(found.expect("a capture message in each frame").number);
    }
    numbers
}

/// Real H.264 is passed through: every NAL unit that was in the file comes out as it was.
#[test]
fn a_file_is_passed_through_bit_by_bit() {
    let folder = Folder::new();
    let file = folder.file("footage.h264");
    make_h264(&file, 100, 25);
    let server = Play::open().camera(&format!("file:{}?fps=50", file.display())).start();
    let coded = folder.file("received.h264");
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", &server.rtsp("stream1")])
        .args(["-c", "copy", "-frames:v", "150", "-f", "h264"])
        .arg(&coded));
    let slices = |path: &std::path::Path| -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let mut spans = Vec::new();
        lensd_ffi::unit::split_annex_b(&bytes, &mut spans);
        let nal = |s: &lensd_ffi::unit::NalSpan| {
            bytes[s.offset as usize..(s.offset + s.len) as usize].to_vec()
        };
        spans.iter().map(nal).filter(|n| matches!(n[0] & 31, 1 | 5)).collect()
    };
    let (sent, received) = (slices(&file), slices(&coded));
    assert_eq!((sent.len(), received.len()), (100, 150));
    let begin = sent.iter().position(|s| *s == received[0]).expect("a slice of the file");
    for (i, slice) in received.iter().enumerate() {
        assert!(*slice == sent[(begin + i) % sent.len()], "slice {i}");
    }
}

/// `/stream1` goes over to another camera, and the player goes on.
#[test]
fn the_active_camera_changes_under_a_player() {
    let server =
        Play::open().users().camera(CAMERA).camera("test:?size=640x360&fps=50&seed=7").start();
    let player = Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-rtsp_transport", "tcp"])
            .args(["-i", &server.rtsp("stream1"), "-frames:v", "400"])
            .args(["-fps_mode", "passthrough", "-vf", "showinfo=checksum=0,scale=320:180"])
            .args(["-pix_fmt", "gray", "-f", "rawvideo", "pipe:1", "-v", "info"]),
    );
    until("the player", || server.clients().iter().any(|c| c["state"] == "playing").then_some(()));
    let mut reference = server.connect();
    reference.play("stream1");
    play::proof::let_frames_pass(&server, 60);
    let (status, body) = http(&server, "POST /api/settings/main-camera", "2");
    assert_eq!(status, 200, "{body}");
    let session = server.clients();
    let done = player.succeed();
    // One and the same session before and after.
    assert!(session.iter().any(|c| c["agent"].as_str().unwrap_or_default().contains("Lavf")));
    let sizes: Vec<&str> = done
        .err
        .lines()
        .filter_map(|l| {
            l.split_once(" s:").map(|(_, rest)| rest.split(' ').next().unwrap_or_default())
        })
        .collect();
    let small = sizes.iter().take_while(|s| **s == "320x180").count();
    assert!(small >= 20, "{sizes:?}\n{}", done.err);
    assert!(sizes.len() >= 400 && sizes[small..].iter().all(|s| *s == "640x360"), "{sizes:?}");
    let marks = marks_of(&done.out, WIDTH, HEIGHT, WIDTH * HEIGHT);
    assert!(marks.len() >= 400);
    let numbers: Vec<u32> = marks.iter().map(|m| m.number).collect();
    play::proof::check_numbers(&server, 1, &numbers[..small]);
    play::proof::check_numbers(&server, 2, &numbers[small..]);
    assert!(marks.windows(2).all(|m| m[0].capture < m[1].capture), "time goes on");
    let change = http(&server, "POST /api/settings/main-camera", "3");
    assert_eq!(change.0, 422, "{}", change.1);
}
