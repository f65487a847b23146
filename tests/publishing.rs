//! Clients that publish a stream to the server, and others that play it.
#![allow(missing_docs)]

mod play;

use play::{Play, Running, Server, make_h264, run, until};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

/// FFmpeg publishes a file again and again, at the pace of its time stamps.
fn publish(file: &Path, transport: &str, url: &str) -> Running {
    Running::start(
        Command::new("ffmpeg")
            .args(["-nostdin", "-v", "warning", "-re", "-stream_loop", "-1", "-i"])
            .arg(file)
            .args(["-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, url]),
    )
}

fn wait_for_publisher(server: &Server) {
    until("the publisher", || {
        server.clients().iter().any(|c| c["state"] == "recording").then_some(())
    });
}

fn slices(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut spans = Vec::new();
    lensd_ffi::unit::split_annex_b(bytes, &mut spans);
    let nals = spans.iter().map(|s| &bytes[s.offset as usize..(s.offset + s.len) as usize]);
    nals.filter(|n| matches!(n[0] & 31, 1 | 5)).map(<[u8]>::to_vec).collect()
}

#[test]
fn what_is_published_can_be_played() {
    for transport in ["tcp", "udp"] {
        let server = Play::open().users().camera("publish:live").start();
        let file = server.folder.file("footage.mp4");
        make_h264(&file, 100, 25);
        let publisher = publish(&file, transport, &server.rtsp_as("ann:secret123", "live"));
        wait_for_publisher(&server);
        let probe = run(Command::new("ffprobe")
            .args(["-v", "error", "-rtsp_transport", "tcp", "-show_entries"])
            .args(["stream=codec_name,width,height", "-of", "csv=p=0", &server.rtsp("stream1")]));
        assert_eq!(String::from_utf8_lossy(&probe.out).trim(), "h264,320,240");
        let coded = server.folder.file("received.h264");
        run(Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-rtsp_transport", "tcp"])
            .args(["-i", &server.rtsp("cam1/main"), "-c", "copy", "-frames:v", "150"])
            .args(["-f", "h264"])
            .arg(&coded));
        let original = server.folder.file("footage.h264");
        run(Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-i"])
            .arg(&file)
            .args(["-c", "copy", "-f", "h264"])
            .arg(&original));
        let sent = slices(&fs::read(original).unwrap());
        let received = slices(&fs::read(coded).unwrap());
        assert_eq!((sent.len(), received.len()), (100, 150));
        let begin = sent.iter().position(|s| *s == received[0]).expect("a slice of the file");
        let mut next = begin;
        for (i, slice) in received.iter().enumerate() {
            if *slice != sent[next % sent.len()] {
                // On a machine that stands still for a second, units are left out up to the next
                // key frame, and never otherwise.
                assert_eq!(slice[0] & 31, 5, "{transport}: slice {i}");
                next = sent.iter().position(|s| s == slice).expect("a slice of the file");
            }
            next += 1;
        }
        drop(publisher);
    }
}

#[test]
fn a_camera_is_there_as_long_as_somebody_publishes() {
    let server = Play::open().users().camera("publish:live").start();
    let file = server.folder.file("footage.mp4");
    make_h264(&file, 100, 25);
    let get = |path: &str| play::ann(&server, "GET", path, "").1["data"].clone();
    let camera = |name: &str| get("api/camera/status")[name].clone();
    until("the reason", || {
        let error = camera("error").as_str()?.to_owned();
        error.contains("nobody publishes to live").then_some(())
    });
    assert_eq!(camera("connected"), false);
    for round in 1..=2 {
        let publisher = publish(&file, "tcp", &server.rtsp_as("ann:secret123", "live"));
        until("the camera", || (camera("connected") == true).then_some(()));
        until("a picture", || (camera("width") == 320).then_some(()));
        drop(publisher);
        until("the camera's end", || (camera("connected") == false).then_some(()));
        let events = get("api/events").to_string();
        let count = |word: &str| events.matches(word).count();
        assert!(count("camera.disconnected") >= round, "{events}");
        assert!(count("camera.connected") >= round, "{events}");
    }
}

#[test]
fn publishers_are_refused_where_they_do_not_belong() {
    let server = Play::open().users().camera("publish:live").camera(play::CAMERA).start();
    let file = server.folder.file("footage.mp4");
    make_h264(&file, 50, 25);
    let refused = |url: &str, status: &str| {
        let done = publish(&file, "tcp", url).finish();
        assert!(!done.status.success());
        assert!(done.err.contains(status), "{url}: {}", done.err);
    };
    // No such place; a camera's own path; nobody's login; a viewer's.
    refused(&server.rtsp_as("ann:secret123", "other"), "404");
    refused(&server.rtsp_as("ann:secret123", "cam2/main"), "405");
    refused(&server.rtsp("live"), "401");
    refused(&server.rtsp_as("bob:secret456", "live"), "403");
    let first = publish(&file, "tcp", &server.rtsp_as("ann:secret123", "live"));
    wait_for_publisher(&server);
    refused(&server.rtsp_as("ann:secret123", "live"), "403");
    // The place is free again when the first one has left, even without a goodbye.
    drop(first);
    until("the first publisher's end", || server.clients().is_empty().then_some(()));
    let next = publish(&file, "udp", &server.rtsp_as("ann:secret123", "live"));
    wait_for_publisher(&server);
    drop(next);
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n\
                   m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n";

fn announce(talk: &mut play::talk::Talk, path: &str, sdp: &str) -> u16 {
    // ann:secret123
    let headers = format!(
        "Authorization: Basic YW5uOnNlY3JldDEyMw==\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n",
        sdp.len()
    );
    let head = talk.request("ANNOUNCE", path, &headers);
    talk.status_of(format!("{head}{sdp}").as_bytes())
}

#[test]
fn a_publisher_out_of_order() {
    let server = Play::open().users().camera("publish:live").start();
    let login = "Authorization: Basic YW5uOnNlY3JldDEyMw==\r\n";
    let mut talk = server.connect();
    assert_eq!(announce(&mut talk, "live", "nonsense"), 415);
    let sound = "v=0\r\ns=x\r\nm=audio 0 RTP/AVP 0\r\n";
    assert_eq!(announce(&mut talk, "live", sound), 415);
    assert_eq!(talk.ask("RECORD", "live", login).status, 455);
    assert_eq!(announce(&mut talk, "live", SDP), 200);
    assert_eq!(talk.ask("RECORD", "live", login).status, 455);
    // What plays cannot be set up on what was announced.
    assert_eq!(talk.ask("SETUP", "live/streamid=0", play::talk::TCP).status, 461);
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    let session = talk.ask("SETUP", "live/streamid=0", transport).session();
    assert_eq!(talk.ask("PLAY", "live", &format!("Session: {session}\r\n")).status, 455);
    let record = format!("Session: {session}\r\n{login}");
    assert_eq!(talk.ask("RECORD", "live", &record).status, 200);
    // Rubbish among the packets harms nobody.
    for packet in [&b""[..], b"x", &[0x80; 11], &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 28, 5]] {
        let mut framed = vec![b'$', 0, 0, u8::try_from(packet.len()).unwrap()];
        framed.extend_from_slice(packet);
        talk.send(&framed).unwrap();
    }
    assert_eq!(talk.ask("OPTIONS", "live", "").status, 200);
    drop(talk);
    let mut next = server.connect();
    until("the place", || (announce(&mut next, "live", SDP) == 200).then_some(()));
}

/// A transport that was refused is no reason to refuse the next one.
#[test]
fn a_publisher_may_try_another_transport() {
    let server = Play::open().users().camera("publish:live").start();
    let mut talk = server.connect();
    assert_eq!(announce(&mut talk, "live", SDP), 200);
    let group = "Transport: RTP/AVP;multicast;mode=record\r\n";
    assert_eq!(talk.ask("SETUP", "live/streamid=0", group).status, 461);
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    let answer = talk.ask("SETUP", "live/streamid=0", transport);
    assert_eq!(answer.status, 200);
    let record =
        format!("Session: {}\r\nAuthorization: Basic YW5uOnNlY3JldDEyMw==\r\n", answer.session());
    assert_eq!(talk.ask("RECORD", "live", &record).status, 200);
}

#[test]
fn a_publisher_is_told_how_its_datagrams_arrive() {
    let server = Play::open().users().camera("publish:live").start();
    let [rtp, rtcp] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    rtcp.set_read_timeout(Some(play::LIMIT.duration())).unwrap();
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let mut talk = server.connect();
    assert_eq!(announce(&mut talk, "live", SDP), 200);
    let ports = format!("client_port={}-{}", port(&rtp), port(&rtcp));
    let transport = format!("Transport: RTP/AVP;unicast;{ports};mode=record\r\n");
    let answer = talk.ask("SETUP", "live/streamid=0", &transport);
    let to = answer.header("Transport").unwrap().split_once("server_port=").unwrap().1;
    let to: u16 = to.split('-').next().unwrap().parse().unwrap();
    let record =
        format!("Session: {}\r\nAuthorization: Basic YW5uOnNlY3JldDEyMw==\r\n", answer.session());
    assert_eq!(talk.ask("RECORD", "live", &record).status, 200);
    for seq in [0, 1, 2, 5] {
        let packet = [0x80, 96, 0, seq, 0, 0, 0, 0, 1, 2, 3, 4, 0x65, 0];
        rtp.send_to(&packet, ("127.0.0.1", to)).unwrap();
    }
    until("a report of all packets", || {
        let mut buffer = [0; 200];
        let n = rtcp.recv(&mut buffer).unwrap();
        let report = &buffer[..n];
        // A receiver report with one block (RFC 3550 6.4.2), of our own source.
        assert_eq!((report[0], report[1], &report[8..12]), (0x81, 201, &[1, 2, 3, 4][..]));
        // The first may have come before the last packet did.
        (report[16..20] == [0, 0, 0, 5]).then(|| assert_eq!(report[13..16], [0, 0, 2]))
    });
}
