//! Video over the WebSocket, as browsers' Media Source Extensions take it, by programs of others.
#![allow(missing_docs)]

mod play;

use lensd_engine::syntax::sei::Capture;
use lensd_ffi::mux::Muxer;
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::{Codec, NalSpan, UnitMeta, split_annex_b};
use play::proof::{check_agreement, check_marks, check_messages, marks_of, messages_of};
use play::{Folder, Play, Running, Server, linked_tool, run, until};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Takes messages until there are so many fragments; says the texts, keeps the binary ones.
const CLIENT: &str = r#"
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main(url, ask, count, out):
    async with connect(url, max_size=None, max_queue=None) as c:
        await c.send(ask)
        with open(out, "wb") as file:
            got = 0
            while got < int(count):
                message = await c.recv()
                if isinstance(message, str):
                    said = json.loads(message)
                    if "subscribed" in said or "error" in said:
                        print(message, flush=True)
                    if "error" in said:
                        return
                    continue
                file.write(message)
                got += message[4:8] != b"ftyp"

asyncio.run(main(*sys.argv[1:]))
"#;

/// The texts that a client got, and the file with the rest.
fn record(server: &Server, ask: &str, count: u32, name: &str) -> (Vec<Value>, String) {
    let file = server.folder.file(name).to_str().unwrap().to_owned();
    let url = server.http("api/v1").replacen("http", "ws", 1);
    let done = run(Command::new(linked_tool("venv/bin/python")).args([
        "-c",
        CLIENT,
        &url,
        ask,
        &count.to_string(),
        &file,
    ]));
    let text = String::from_utf8(done.out).unwrap();
    let texts = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (texts, file)
}

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// Decodes a file to luma; FFmpeg must have nothing to complain of.
fn decode(server: &Server, file: &str, coded: &str) -> Vec<u8> {
    let done = run(server
        .tool("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-i", file, "-map", "0:v", "-fps_mode", "passthrough"])
        // Times as they are, not rounded to a rate: pictures may come close together.
        .args(["-enc_time_base:v", "-1", "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"])
        .args(["-map", "0:v", "-c", "copy", "-f", "h264", "-y", coded]));
    assert_eq!(done.err, "");
    done.out
}

/// Presentation times, durations and key flags, as ffprobe reads them from the boxes.
fn packets(file: &str) -> Vec<(u64, u64, bool)> {
    let done =
        run(Command::new("ffprobe").args(["-v", "error", "-of", "json", "-show_packets", file]));
    let said: Value = serde_json::from_slice(&done.out).unwrap();
    let packets = said["packets"].as_array().unwrap();
    let read = |packet: &Value| {
        let key = packet["flags"].as_str().unwrap().starts_with('K');
        (packet["pts"].as_u64().unwrap(), packet["duration"].as_u64().unwrap_or(0), key)
    };
    packets.iter().map(read).collect()
}

#[test]
fn ffmpeg_decodes_what_a_websocket_client_has_received() {
    let server = Play::open().start();
    let ask = r#"{"subscribe":"frames","stream":"stream1"}"#;
    let (texts, file) = record(&server, ask, 300, "whole.mp4");
    let [about] = &texts[..] else { panic!("{texts:?}") };
    assert_eq!((about["width"].as_u64(), about["height"].as_u64()), (Some(320), Some(180)));

    let coded = server.folder.file("coded.h264");
    let raw = decode(&server, &file, coded.to_str().unwrap());
    let marks = marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT);
    assert_eq!(marks.len(), 300, "a picture of every fragment");
    check_marks(&server, &marks, 300);
    let stream = fs::read(&coded).unwrap();
    let sps = units(&stream, |b| b & 31 == 7)[0][0];
    let sps = &stream[sps.offset as usize..][..sps.len as usize];
    let codecs = format!("video/mp4; codecs=\"avc1.{:02x}{:02x}{:02x}\"", sps[1], sps[2], sps[3]);
    assert_eq!(about["mime"], codecs);
    let messages = messages_of(&stream);
    check_messages(&server, &messages, 300);
    check_agreement(&marks, &messages);

    // Shown when captured, to the tick; and the text says what that is in UTC.
    let packets = packets(&file);
    assert!(packets[0].2 && packets.iter().filter(|p| p.2).count() >= 2, "key frames");
    assert_eq!(packets.len(), 300);
    let epoch_ms = about["epoch_ms"].as_f64().unwrap();
    let late = |n: usize| packets[n].0 - lensd_ffi::mux::ticks(messages[n].mono);
    // FFmpeg moves all times where one picture is shown before it is decoded: that is one that came
    // sooner than the last one had promised, from a camera that a busy machine had held up.
    let held_up = |pair: &[Capture]| pair[1].mono.since(pair[0].mono) < Nanos::from_millis(12);
    if !messages.windows(2).any(held_up) {
        assert_eq!(late(0), 0);
    }
    for (n, (packet, message)) in packets.iter().zip(&messages).enumerate() {
        assert_eq!(late(n), late(0), "frame {}", message.number);
        let utc_ms = (packet.0 - late(0)) as f64 / 90.0 + epoch_ms;
        assert!((utc_ms - message.utc.0 as f64 / 1e6).abs() < 1.0, "{utc_ms} {message:?}");
    }
}

#[test]
fn what_cannot_be_had_is_said() {
    let server = Play::open().start();
    let said = |ask: &str| record(&server, ask, 1, "none").0[0].clone();
    let refused = said(r#"{"subscribe":"frames","format":"webm"}"#);
    assert_eq!(refused["message"], "Value must be one of: mp4, jpeg");
    let refused = said(r#"{"subscribe":"frames","stream":"cam1/mjpeg"}"#);
    assert!(refused["message"].as_str().unwrap().contains("JPEG"), "{refused}");
    let refused = said(r#"{"subscribe":"frames","stream":"cam7"}"#);
    assert!(refused["message"].as_str().unwrap().contains("/api/streams"), "{refused}");
    for name in ["stream2", "cam1", "cam1/sub", "active"] {
        let ask = format!(r#"{{"subscribe":"frames","format":"mp4","stream":"{name}"}}"#);
        let about = said(&ask);
        assert!(about["mime"].as_str().unwrap().starts_with("video/mp4; codecs="), "{about}");
        assert_eq!(about["stream"], name);
    }
    let closed = Play::new().start();
    let denied = record(&closed, r#"{"subscribe":"frames"}"#, 1, "denied").0[0].clone();
    assert_eq!(denied["error"], "Permission denied", "{denied}");
}

/// Access units of a byte stream whose delimiters begin each of them.
fn units(bytes: &[u8], is_delimiter: impl Fn(u8) -> bool) -> Vec<Vec<NalSpan>> {
    let mut nals = Vec::new();
    split_annex_b(bytes, &mut nals);
    let mut units: Vec<Vec<NalSpan>> = Vec::new();
    for nal in nals {
        if is_delimiter(bytes[nal.offset as usize]) {
            units.push(Vec::new());
        }
        // What stands before the first belongs to none.
        if let Some(unit) = units.last_mut() {
            unit.push(nal);
        }
    }
    units
}

/// What encoders of others make, with sizes that need cropping and with colours, comes out of MP4 as
/// it went in.
#[test]
fn others_streams_are_the_same_in_mp4() {
    let folder = Folder::new();
    let file = |name: &str| folder.file(name).to_str().unwrap().to_owned();
    let source = "testsrc=s=322x182:r=25";
    let x264 = "aud=1:bframes=0:keyint=20:colorprim=bt709:transfer=bt709:colormatrix=bt709";
    let x265 = format!("{x264}:log-level=error:range=limited:repeat-headers=1");
    /// Codec, file, options of ffmpeg, MIME type, which headers begin a picture.
    type Case<'a> = (Codec, &'a str, &'a [&'a str], &'a str, fn(u8) -> bool);
    let cases: [Case<'_>; 2] = [
        (Codec::H264, "h264", &["libx264", "-x264-params"], x264, |b| b & 31 == 9),
        (Codec::H265, "hevc", &["libx265", "-x265-params"], &x265, |b| b >> 1 & 63 == 35),
    ];
    for (codec, name, encoder, params, is_delimiter) in cases {
        let (coded, boxed) = (file(name), file(&format!("{name}.mp4")));
        run(Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-t", "4", "-c:v"])
            .args(encoder)
            .args([params, "-pix_fmt", "yuv420p", "-f", name, &coded]));
        let bytes = fs::read(&coded).unwrap();
        let mut muxer = Muxer::new();
        let (mut out, mut fragments) = (Vec::new(), Vec::new());
        for (n, nals) in units(&bytes, is_delimiter).iter().enumerate() {
            let kind = |nal: &NalSpan| {
                Codec::H264 == codec && bytes[nal.offset as usize] & 31 == 5
                    || Codec::H265 == codec
                        && (16..=21).contains(&(bytes[nal.offset as usize] >> 1 & 63))
            };
            let key = nals.iter().any(kind);
            let mono = Nanos::from_millis(5000 + n as u64 * 40);
            let capture = Stamp { mono, ..Stamp::default() };
            let meta = UnitMeta { codec, key, capture, ..UnitMeta::default() };
            let muxed = muxer.push(&meta, &bytes, nals, &mut fragments).unwrap();
            if muxed.new_init {
                out.extend_from_slice(&muxer.init().unwrap().bytes);
            }
            out.append(&mut fragments);
        }
        fs::write(&boxed, out).unwrap();
        let sums = |of: &str| {
            let done = run(Command::new("ffmpeg")
                .args(["-nostdin", "-v", "warning", "-i", of, "-fps_mode", "passthrough"])
                .args(["-f", "framehash", "-hash", "crc32", "pipe:1"]));
            let text = String::from_utf8(done.out).unwrap();
            let sums = text.lines().filter(|l| !l.starts_with('#'));
            (
                sums.map(|l| l.rsplit(',').next().unwrap().trim().to_owned()).collect::<Vec<_>>(),
                done.err,
            )
        };
        let (want, (got, complaints)) = (sums(&coded).0, sums(&boxed));
        assert_eq!(complaints, "", "{name}");
        assert_eq!(want.len(), 100);
        assert_eq!(want, got, "{name}");
        let said = run(Command::new("ffprobe").args(["-v", "error", "-show_streams", &boxed])).out;
        let said = String::from_utf8(said).unwrap();
        for line in ["width=322", "height=182", "color_space=bt709", "time_base=1/90000"] {
            assert!(said.contains(line), "{line}: {said}");
        }
    }
}

/// Reads with pauses until fragments are missing, then to the end of the next few.
const SLOW: &str = r#"
import asyncio, socket, struct, sys
from websockets.asyncio.client import connect

def word(message, name, at, form):
    return struct.unpack_from(form, message, message.find(name) + at)[0]

async def main(port, out):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(("127.0.0.1", int(port)))
    s.setblocking(False)
    url = f"ws://127.0.0.1:{port}/api/v1"
    async with connect(url, sock=s, max_size=None, max_queue=1, ping_interval=None) as c:
        await c.send('{"subscribe":"frames"}')
        due, gaps, count, inits, left = None, 0, 0, 0, 30
        with open(out, "wb") as file:
            while left:
                message = await c.recv()
                if isinstance(message, str):
                    continue
                file.write(message)
                if message[4:8] == b"ftyp":
                    inits += 1
                    continue
                count += 1
                at = word(message, b"tfdt", 8, ">Q")
                if due is not None and at != due:
                    gaps += 1
                    assert word(message, b"trun", 16, ">I") == 0x02000000, "not a key frame"
                due = at + word(message, b"trun", 20, ">I")
                if gaps:
                    left -= 1
                elif count % 20 == 0:
                    await asyncio.sleep(4)
        print(count, gaps, inits)

asyncio.run(main(*sys.argv[1:]))
"#;

#[test]
fn who_is_behind_goes_on_with_a_key_frame() {
    let folder = Folder::new();
    let noise = folder.file("noise.h264");
    run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi"])
        .args(["-i", "testsrc=s=1280x720:r=30,noise=alls=60:allf=t", "-t", "2"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "20M", "-g", "30", "-f", "h264"])
        .arg(&noise));
    let server = Play::open().camera(&format!("file:{}", noise.display())).start();
    let file = folder.file("slow.mp4").to_str().unwrap().to_owned();
    let port = server.port("http").to_string();
    let done = run(Command::new(linked_tool("venv/bin/python")).args(["-c", SLOW, &port, &file]));
    let said = String::from_utf8(done.out).unwrap();
    let said: Vec<usize> = said.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [count, gaps, inits] = said[..] else { panic!("{said:?}") };
    assert!(gaps > 0 && inits == 1, "{said:?}");
    let decoded = run(server
        .tool("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-i", &file, "-fps_mode", "passthrough"])
        .args(["-f", "framehash", "-hash", "crc32", "pipe:1"]));
    assert_eq!(decoded.err, "");
    let lines = String::from_utf8(decoded.out).unwrap();
    assert_eq!(lines.lines().filter(|l| !l.starts_with('#')).count(), count, "all that came");
}

#[test]
fn it_goes_on_when_the_engine_has_died() {
    let mut server = Play::open().start();
    let (url, file) =
        (server.http("api/v1").replacen("http", "ws", 1), server.folder.file("f.mp4"));
    let mut client = Command::new(linked_tool("venv/bin/python"));
    client.args(["-c", CLIENT, &url, r#"{"subscribe":"frames"}"#, "400"]).arg(&file);
    let client = Running::start(&mut client);
    until("the first fragments", || fs::metadata(&file).ok().filter(|f| f.len() > 20_000));
    server.kill_plane("engine");
    client.succeed();
    let coded = server.folder.file("coded.h264");
    let raw = decode(&server, file.to_str().unwrap(), coded.to_str().unwrap());
    let marks = marks_of(&raw, WIDTH, HEIGHT, WIDTH * HEIGHT);
    assert_eq!(marks.len(), 400);
    let anew = marks.windows(2).filter(|pair| pair[1].number < pair[0].number).count();
    assert_eq!(anew, 1, "the frames of two engines");
}

#[test]
fn it_goes_over_to_another_camera_with_what_is_asked_for() {
    let other = "test:?size=640x360&fps=25&seed=7";
    let server = Play::open().users().camera(play::CAMERA).camera(other).start();
    let (url, file) =
        (server.http("api/v1").replacen("http", "ws", 1), server.folder.file("both.mp4"));
    let mut client = Command::new(linked_tool("venv/bin/python"));
    client.args(["-c", CLIENT, &url, r#"{"subscribe":"frames"}"#, "300"]).arg(&file);
    let client = Running::start(&mut client);
    until("the first fragments", || fs::metadata(&file).ok().filter(|f| f.len() > 20_000));
    let (status, body) = play::ann(&server, "POST", "api/settings/main-camera", "2");
    assert_eq!(status, 200, "{body}");
    let text = String::from_utf8(client.succeed().out).unwrap();
    let about: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let widths: Vec<_> = about.iter().map(|about| about["width"].as_u64().unwrap()).collect();
    assert_eq!(widths, [320, 640], "it is told what comes: {text}");
    assert!(about.iter().all(|about| about["stream"] == "stream1"), "{text}");

    let bytes = fs::read(&file).unwrap();
    let second = bytes.windows(4).rposition(|four| four == b"ftyp").unwrap() - 4;
    let mut count = 0;
    let mut last = None;
    for (part, bytes) in [&bytes[..second], &bytes[second..]].into_iter().enumerate() {
        let name = server.folder.file(&format!("part{part}.mp4")).to_str().unwrap().to_owned();
        fs::write(&name, bytes).unwrap();
        let raw = decode(&server, &name, server.folder.file("coded.h264").to_str().unwrap());
        let (width, height) = (WIDTH * (part + 1), HEIGHT * (part + 1));
        let marks = marks_of(&raw, width, height, width * height);
        let numbers: Vec<u32> = marks.iter().map(|mark| mark.number).collect();
        play::proof::check_numbers(&server, part + 1, &numbers);
        count += marks.len();
        let times: Vec<u64> = packets(&name).iter().map(|packet| packet.0).collect();
        // The other camera's group may have begun before the change; what follows has not.
        assert!(times.is_sorted() && times.last() > last.as_ref(), "time goes on");
        last = times.last().copied();
    }
    assert_eq!(count, 300, "a picture of every fragment");
}
