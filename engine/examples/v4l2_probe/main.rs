//! Looks at the V4L2 devices of this machine, and tests lensd's handling of them against the kernel's
//! virtual drivers.
//!
//! ```text
//! v4l2_probe list | table           the devices, as JSON or for people
//! v4l2_probe vivid                  every check that vivid allows; it must be loaded with two
//!                                   devices, the second multi-planar, and nobody else using them
//! v4l2_probe m2m FOLDER             vivid to vicodec; leaves FOLDER/{raw.nv12,units.fwht}
//! v4l2_probe scaled FOLDER          vivid to vim2m to vicodec; leaves FOLDER/small.{raw,fwht}
//! v4l2_probe path [looks]           the same without any check, for strace; `looks`: pictures are read
//! v4l2_probe compare A B            mean difference of two raw files' bytes, which must be small
//! v4l2_probe jpeg NODE              a USB camera that gives MJPEG, until it is unplugged
//! v4l2_probe loopback NODE          an H.264 camera made of v4l2loopback, set to H264 beforehand
//! v4l2_probe frozen NODE            one that marks frames as damaged and freezes while plugged in
//! ```
//!
//! `tests/rig/v4l2.sh` runs it in a virtual machine. Each check prints a line; the exit code is 1 if
//! one failed.

mod m2m;

use lensd_engine::camera::controls::{self, Value};
use lensd_engine::camera::v4l2::{CameraV4l2, Delivers, StampedAt, Wanted};
use lensd_engine::camera::{Camera, CameraError, Shot, devices};
use lensd_engine::frame::{Frame, PixelFormat, packed_planes};
use lensd_engine::picture::convert::Converter;
use lensd_engine::sys::v4l2::{Device, QueueType};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

type Check = Result<String, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let failed = match args.as_slice() {
        ["list"] => {
            println!("{}", serde_json::to_string_pretty(&devices::list()).unwrap_or_default());
            0
        }
        ["table"] => {
            print!("{}", devices::table(&devices::list()));
            0
        }
        ["vivid"] => vivid(),
        ["m2m", folder] => run(&[("vivid to vicodec", &|| m2m::to_vicodec(Path::new(folder)))]),
        ["scaled", folder] => {
            run(&[("vivid to vim2m to vicodec", &|| m2m::scaled(Path::new(folder)))])
        }
        ["path"] => run(&[("hardware path", &|| m2m::path(false))]),
        ["path", "looks"] => run(&[("hardware path, looked at", &|| m2m::path(true))]),
        ["compare", a, b] => run(&[("decoded picture", &|| m2m::compare(a, b))]),
        ["loopback", node] => run(&[("H.264 camera", &|| loopback(node))]),
        ["frozen", node] => run(&[("frozen camera", &|| frozen(node))]),
        ["jpeg", node] => run(&[("MJPEG", &|| jpeg(node))]),
        _ => {
            eprintln!("usage: see the head of examples/v4l2_probe.rs");
            2
        }
    };
    ExitCode::from(u8::from(failed > 0))
}

/// Runs checks, prints how each went, and counts those that failed.
fn run(checks: &[(&str, &dyn Fn() -> Check)]) -> usize {
    let mut failed = 0;
    for (name, check) in checks {
        let begun = now();
        let (verdict, words) = match check() {
            Ok(words) => ("ok  ", words),
            Err(words) => {
                failed += 1;
                ("FAIL", words)
            }
        };
        println!("{verdict} {name} [{} ms] {words}", now().since(begun).0 / 1_000_000);
    }
    failed
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The capture node of vivid's instance `n`.
fn node(n: usize) -> Result<PathBuf, String> {
    let name = format!("vivid-{n:03}-vid-cap");
    devices::paths()
        .into_iter()
        .find(|path| {
            let folder = Path::new("/sys/class/video4linux").join(path.file_name().unwrap());
            fs::read_to_string(folder.join("name")).is_ok_and(|found| found.trim() == name)
        })
        .ok_or_else(|| format!("no {name}"))
}

fn wanted(format: &str) -> Wanted {
    Wanted { format: format.parse().ok(), size: Some((640, 480)), fps: Some(25.0), input: None }
}

fn open(n: usize, format: &str) -> Result<CameraV4l2, String> {
    CameraV4l2::open(node(n)?, &wanted(format)).map_err(text)
}

fn frame(camera: &mut CameraV4l2, bell: &Bell) -> Result<Frame, CameraError> {
    loop {
        if let Shot::Frame(frame) = camera.next(bell)? {
            return Ok(frame);
        }
    }
}

fn vivid() -> usize {
    let mut failed = run(&[("listing", &listing)]);
    for n in [0, 1] {
        for format in ["NV12", "NV21", "YU12", "YUYV", "UYVY", "GREY", "RGB3", "BGR3"] {
            failed += run(&[(&format!("vivid {n} {format}"), &|| capture(n, format))]);
        }
    }
    for format in ["NM12", "NM21", "YM12"] {
        failed += run(&[(&format!("vivid 1 {format}"), &|| m2m::apart(format))]);
    }
    for order in ["BGGR", "GBRG", "GRBG", "RGGB"] {
        for depth in [8, 10, 12, 16] {
            let format = format!("{order}{depth}");
            failed += run(&[(&format!("vivid 0 {format}"), &|| capture(0, &format))]);
        }
    }
    for format in ["GREY10", "GREY12", "GREY16"] {
        failed += run(&[(&format!("vivid 0 {format}"), &|| capture(0, format))]);
    }
    failed
        + run(&[
            ("defaults", &defaults),
            ("a frame outlives its camera", &outlives),
            ("controls of all kinds", &control_kinds),
            ("busy device", &busy),
            ("format and size that it lacks", &lacking),
            ("output device", &not_a_camera),
            ("bell", &bell_wakes),
            ("readers that hold all buffers", &starvation),
            ("dropped frames are counted", &dropped),
            ("damaged frames are skipped", &damaged),
            ("fatal streaming error", &fatal),
            ("refused start", &refused_start),
            ("disconnect", &disconnect),
            ("unbind while streaming, 10 times", &unbind),
        ])
}

fn listing() -> Check {
    let list = devices::list();
    let path = node(0)?;
    let device = list.iter().find(|d| d.path == path).ok_or("vivid is not listed")?;
    ensure(device.role == devices::Role::Camera, || format!("role {:?}", device.role))?;
    ensure(device.driver == "vivid" && device.bus.contains("vivid"), || device.bus.clone())?;
    ensure(device.formats.len() > 20, || format!("{} formats", device.formats.len()))?;
    let sizes: usize = device.formats.iter().map(|f| f.sizes.len()).sum();
    let rates = device.formats.iter().flat_map(|f| &f.sizes).map(|s| s.rates.len()).sum::<usize>();
    ensure(sizes > 20 && rates > 100, || format!("{sizes} sizes, {rates} rates"))?;
    ensure(device.inputs.len() == 4 && device.input == Some(0), || {
        format!("inputs {:?}, {:?}", device.inputs, device.input)
    })?;
    let strangers: Vec<_> = list
        .iter()
        .filter(|d| d.driver == "vivid" && d.role != devices::Role::Camera)
        .map(|d| d.path.clone())
        .collect();
    ensure(strangers.is_empty(), || format!("listed too: {strangers:?}"))?;
    let json = serde_json::to_string(&list).map_err(text)?;
    Ok(format!("{} devices, {} bytes of JSON, id {}", list.len(), json.len(), device.id))
}

fn capture(n: usize, format: &str) -> Check {
    let mut camera = open(n, format)?;
    // vivid's end-of-frame times lie in the future, since it fills a buffer when the frame begins:
    // those are not believed. The first device gives times of the start.
    let believed = n == 0;
    let list = controls::list(camera.device());
    let source = controls::find(&list, "timestamp_source").ok_or("no timestamp_source")?;
    controls::set(camera.device(), source, &Value::Number(i64::from(believed))).map_err(text)?;
    let info = camera.info();
    ensure((info.width, info.height) == (640, 480), || format!("{}x{}", info.width, info.height))?;
    ensure(info.remarks.is_empty(), || info.remarks.join("; "))?;
    let Ok(Delivers::Pixels(pixels)) = format.parse() else { return Err("not a format".into()) };
    let bell = Bell::new().map_err(text)?;
    let (packed, size) = packed_planes(pixels, 640, 480);
    let (mut last, begun) = (None::<(u64, Nanos)>, now());
    let mut ages = Vec::new();
    for _ in 0..30 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        let at = now();
        ensure(frame.format == pixels, || format!("it is {}", frame.format))?;
        ensure(frame.planes == packed && frame.used == size, || {
            format!("planes {:?}, used {}", frame.planes, frame.used)
        })?;
        let fd = frame.memory.dmabuf().ok_or("not exported")?;
        let flags = rustix::fs::fcntl_getfl(fd).map_err(text)?;
        ensure(!flags.contains(rustix::fs::OFlags::RDWR), || "exported for writing".into())?;
        ensure(frame.memory.bytes().len() >= size, || "too short a mapping".into())?;
        for plane in 0..pixels.planes() {
            let rows = frame.rows(plane).count();
            ensure(rows == pixels.rows(plane, 480), || format!("{rows} rows in plane {plane}"))?;
        }
        // vivid's colour bars: the first row has several brightnesses.
        let row = frame.rows(0).next().unwrap_or(&[]);
        let differing = row.iter().filter(|b| **b != row[0]).count();
        ensure(differing > 100, || "the picture is blank".into())?;
        if last.is_none() {
            bars(&frame)?;
        }
        if let Some((number, time)) = last {
            ensure(frame.number > number, || format!("{} after {number}", frame.number))?;
            ensure(frame.capture.mono > time, || "time did not go on".into())?;
        }
        let age = at.since(frame.capture.mono);
        ensure(frame.capture.mono <= at && age < Nanos::from_millis(500), || {
            format!("captured {} us ago", age.micros())
        })?;
        let utc = lensd_ffi::time::utc_now().0 - frame.capture.utc.0;
        ensure((0..1_000_000_000).contains(&utc), || format!("UTC is {utc} ns off"))?;
        last = Some((frame.number, frame.capture.mono));
        ages.push(age.micros());
    }
    let fps = 30e9 / now().since(begun).0 as f64;
    ages.sort_unstable();
    let wanted = if believed { StampedAt::StartOfExposure } else { StampedAt::Dequeued };
    ensure(camera.stamped_at() == wanted, || format!("{:?}", camera.stamped_at()))?;
    let (stamped, counts) = (camera.stamped_at(), camera.counts());
    Ok(format!("{fps:.1} fps, {stamped:?} {} us before (median), {counts:?}", ages[15]))
}

/// Whether vivid's bars (white, yellow, cyan, green, magenta, red, blue, black) have their colours
/// once they are I420.
fn bars(frame: &Frame) -> Result<(), String> {
    let mut converter = Converter::default();
    let view = converter.view(frame)?;
    let y = view.height() / 6 * 5;
    let sample = |bar: usize| {
        let x = (2 * bar + 1) * view.width() / 16;
        [view.row(0, y)[x], view.row(1, y / 2)[x / 2], view.row(2, y / 2)[x / 2]]
    };
    let all: Vec<[u8; 3]> = (0..8).map(sample).collect();
    let wrong = |what: &str| Err(format!("{what}: {all:?}"));
    if !all.windows(2).all(|pair| pair[0][0] > pair[1][0]) {
        return wrong("brightness does not fall from bar to bar");
    }
    let grey = matches!(frame.format, PixelFormat::Grey | PixelFormat::GreyDeep(_));
    if grey {
        return if all.iter().all(|s| s[1..] == [128, 128]) { Ok(()) } else { wrong("colours") };
    }
    let near = |s: [u8; 3]| s[1].abs_diff(128) < 10 && s[2].abs_diff(128) < 10;
    let (yellow, cyan, red, blue) = (all[1], all[2], all[5], all[6]);
    let right = near(all[0]) && near(all[7]) && yellow[1] < 90 && cyan[2] < 90;
    if right && red[2] > 180 && blue[1] > 180 { Ok(()) } else { wrong("colours") }
}

fn defaults() -> Check {
    let path = node(0)?.display().to_string();
    let mut camera = CameraV4l2::open(&path, &Wanted::default()).map_err(text)?;
    let info = camera.info();
    ensure((info.width, info.height) == (1280, 720), || format!("{info:?}"))?;
    ensure(info.format == "NV12", || info.format.clone())?;
    // vivid's webcam has 12.5 at most there, and says so.
    ensure(info.fps < 30.0 && info.remarks.len() == 1, || format!("{info:?}"))?;
    frame(&mut camera, &Bell::new().map_err(text)?).map_err(text)?;
    Ok(info.remarks.join("; "))
}

fn outlives() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    let looked = frame(&mut camera, &bell).map_err(text)?;
    let unseen = frame(&mut camera, &bell).map_err(text)?;
    let before = looked.memory.bytes().to_vec();
    drop(camera);
    // The device is free at once although frames of it are held.
    let mut again = open(0, "YUYV")?;
    frame(&mut again, &bell).map_err(text)?;
    ensure(looked.memory.bytes() == before, || "the bytes changed".into())?;
    ensure(unseen.rows(0).count() == 480, || "it cannot be mapped any more".into())?;
    Ok(String::new())
}

fn control_kinds() -> Check {
    let device = Device::open(&node(0)?).map_err(text)?;
    let list = controls::list(&device);
    let find = |key: &str| controls::find(&list, key).ok_or(format!("no {key}"));
    let set = |key: &str, value: Value| controls::set(&device, find(key)?, &value).map_err(text);
    let number = Value::Number;
    for (key, value, taken) in [
        ("brightness", number(77), number(77)),
        ("brightness", number(9_999), number(255)),
        ("integer_32_bits", number(-5), number(-5)),
        ("integer_64_bits", number(1 << 40), number(1 << 40)),
        ("boolean", number(0), number(0)),
        ("menu", number(3), number(3)),
        ("integer_menu", number(2), number(2)),
        ("bitmask", number(0x8000_2000), number(0x8000_2000)),
        ("string", Value::Text("lens".into()), Value::Text("lens".into())),
    ] {
        let got = set(key, value.clone())?;
        ensure(got == taken, || format!("{key} {value}: {got}, not {taken}"))?;
        let read = controls::get(&device, find(key)?);
        ensure(read == Some(taken), || format!("{key} reads as {read:?}"))?;
    }
    set("button", number(1))?;
    ensure(set("menu", number(99)).is_err(), || "an item that is not there was taken".into())?;
    ensure(set("string", number(1)).is_err(), || "a number was taken for a text".into())?;
    let kinds: Vec<_> = list.iter().map(|c| format!("{:?}", c.kind)).collect();
    for kind in ["Integer", "Boolean", "Menu", "IntegerMenu", "Button", "String", "Bitmask"] {
        ensure(kinds.iter().any(|k| k == kind), || format!("no {kind}"))?;
    }
    set("brightness", number(128))?;
    Ok(format!("{} controls", list.len()))
}

fn busy() -> Check {
    let _first = open(0, "NV12")?;
    let path = node(0)?.display().to_string();
    let error = CameraV4l2::open(&path, &wanted("NV12")).err().ok_or("it opened twice")?;
    ensure(error.retry && error.message.contains("is busy: v4l2_probe (process"), || text(&error))?;
    Ok(error.message)
}

fn lacking() -> Check {
    let path = node(0)?.display().to_string();
    let error = CameraV4l2::open(&path, &wanted("H264")).err().ok_or("it has H264")?;
    ensure(!error.retry && error.message.contains("it offers YUYV"), || text(&error))?;
    let odd = Wanted { size: Some((700, 500)), ..wanted("YUYV") };
    let remarks = CameraV4l2::open(&path, &odd).map_err(text)?.info().remarks;
    ensure(remarks[0].starts_with("asked for 700x500, the driver gives 640x"), || {
        remarks.join("; ")
    })?;
    Ok(remarks[0].clone())
}

fn not_a_camera() -> Check {
    let path = devices::paths()
        .into_iter()
        .find(|path| {
            let cap = Device::open(path).and_then(|device| device.querycap());
            cap.is_ok_and(|cap| cap.capture_queue().is_none())
        })
        .ok_or("every node is a camera")?;
    let error = CameraV4l2::open(path, &Wanted::default());
    let error = error.err().ok_or("it opened")?;
    ensure(!error.retry && error.message.contains("is not a capture device; there is"), || {
        text(&error)
    })?;
    Ok(error.message)
}

fn bell_wakes() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    bell.ring();
    let begun = now();
    ensure(matches!(camera.next(&bell), Ok(Shot::Woken)), || "not woken".into())?;
    let took = now().since(begun);
    ensure(took < Nanos::from_millis(20), || format!("after {} us", took.micros()))?;
    bell.take();
    frame(&mut camera, &bell).map_err(text)?;
    Ok(String::new())
}

fn starvation() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    let mut held = Vec::new();
    let until = now().plus(Nanos::from_secs(4));
    while now() < until {
        if let Shot::Frame(frame) = camera.next(&bell).map_err(text)? {
            held.push(frame);
        }
    }
    let counts = camera.counts();
    ensure(counts.starved == 1, || format!("{counts:?} with {} held", held.len()))?;
    let n = held.len();
    held.clear();
    for _ in 0..10 {
        frame(&mut camera, &bell).map_err(text)?;
    }
    ensure(camera.counts().starved == 1, || format!("{:?}", camera.counts()))?;
    Ok(format!("{n} held for 3 s, {} lost", camera.counts().lost))
}

/// Sets a control of the camera while it streams.
fn inject(camera: &CameraV4l2, key: &str, value: i64) -> Result<(), String> {
    let list = controls::list(camera.device());
    let control = controls::find(&list, key).ok_or(format!("no control {key}"))?;
    controls::set(camera.device(), control, &Value::Number(value)).map_err(text).map(drop)
}

fn dropped() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    inject(&camera, "percentage_of_dropped_buffers", 30)?;
    let mut numbers = Vec::new();
    for _ in 0..30 {
        numbers.push(frame(&mut camera, &bell).map_err(text)?.number);
    }
    inject(&camera, "percentage_of_dropped_buffers", 0)?;
    let gaps = numbers[29] - numbers[0] - 29;
    ensure(gaps > 0 && camera.lost() == gaps, || format!("{gaps} gaps, {} lost", camera.lost()))?;
    Ok(format!("{gaps} lost"))
}

fn damaged() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    let first = frame(&mut camera, &bell).map_err(text)?.number;
    for _ in 0..3 {
        inject(&camera, "inject_v4l2_buf_flag_error", 1)?;
        for _ in 0..4 {
            frame(&mut camera, &bell).map_err(text)?;
        }
    }
    let counts = camera.counts();
    ensure(counts.damaged == 3 && counts.lost >= 3, || format!("{counts:?}"))?;
    Ok(format!("{counts:?} from frame {first} on"))
}

/// Takes frames until the error that `what` caused; it must come within two seconds and be one that
/// may pass.
fn ends(camera: &mut CameraV4l2, bell: &Bell) -> Result<(CameraError, Nanos), String> {
    let begun = now();
    loop {
        match camera.next(bell) {
            Err(error) => {
                let took = now().since(begun);
                ensure(error.retry, || format!("lasting: {error}"))?;
                ensure(took < Nanos::from_secs(2), || format!("after {} us", took.micros()))?;
                return Ok((error, took));
            }
            Ok(_) if now().since(begun) > Nanos::from_secs(5) => {
                return Err("no error within 5 s".into());
            }
            Ok(_) => {}
        }
    }
}

fn fatal() -> Check {
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    frame(&mut camera, &bell).map_err(text)?;
    inject(&camera, "inject_fatal_streaming_error", 1)?;
    let (error, took) = ends(&mut camera, &bell)?;
    drop(camera);
    frame(&mut open(0, "NV12")?, &bell).map_err(text)?;
    Ok(format!("after {} ms: {error}", took.0 / 1_000_000))
}

fn refused_start() -> Check {
    let camera = open(0, "NV12")?;
    inject(&camera, "inject_vidioc_streamon_error", 1)?;
    drop(camera);
    let error = open(0, "NV12").err().ok_or("it started")?;
    open(0, "NV12")?;
    Ok(error)
}

/// Unbinds (and binds) vivid with all its devices: unplugging and plugging in.
fn bind(verb: &str) -> Result<(), String> {
    let file = format!("/sys/bus/platform/drivers/vivid/{verb}");
    fs::write(&file, "vivid.0").map_err(|e| format!("{file}: {e}"))?;
    Ok(())
}

fn disconnect() -> Check {
    let mut camera = open(1, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    frame(&mut camera, &bell).map_err(text)?;
    inject(&camera, "disconnect", 1)?;
    let (error, took) = ends(&mut camera, &bell)?;
    drop(camera);
    bind("unbind")?;
    bind("bind")?;
    frame(&mut open(1, "NV12")?, &bell).map_err(text)?;
    Ok(format!("after {} ms: {error}", took.0 / 1_000_000))
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn unbind() -> Check {
    let bell = Bell::new().map_err(text)?;
    let before = descriptors();
    let mut longest = Nanos(0);
    let mut last = String::new();
    for _ in 0..10 {
        let mut camera = open(0, "NV12")?;
        // One is held over the end of its device.
        let held = frame(&mut camera, &bell).map_err(text)?;
        bind("unbind")?;
        let (error, took) = ends(&mut camera, &bell)?;
        longest = longest.max(took);
        last = error.message;
        drop(camera);
        ensure(held.rows(0).count() == 480, || "a held frame is gone".into())?;
        drop(held);
        bind("bind")?;
    }
    frame(&mut open(0, "NV12")?, &bell).map_err(text)?;
    let after = descriptors();
    ensure(after == before, || format!("{before} descriptors before, {after} after"))?;
    Ok(format!("noticed within {} us: {last}", longest.micros()))
}

fn jpeg(node: &str) -> Check {
    let mut camera = CameraV4l2::open(node, &wanted("MJPEG")).map_err(text)?;
    let bell = Bell::new().map_err(text)?;
    let mut sizes = Vec::new();
    for _ in 0..30 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        let bytes = &frame.memory.bytes()[..frame.used];
        ensure(bytes.starts_with(&[0xff, 0xd8]), || "not a JPEG".into())?;
        sizes.push(frame.used);
    }
    println!("streaming");
    let begun = now();
    let error = loop {
        match camera.next(&bell) {
            Err(error) => break error,
            Ok(_) if now().since(begun) > Nanos::from_secs(20) => {
                return Err("it was not unplugged".into());
            }
            Ok(_) => {}
        }
    };
    ensure(error.retry, || text(&error))?;
    let info = camera.info();
    let (least, most) = (sizes.iter().min(), sizes.iter().max());
    Ok(format!("{} {least:?}..{most:?} bytes; then {error}; {:?}", info.name, info.remarks))
}

fn frozen(node: &str) -> Check {
    let mut camera = CameraV4l2::open(node, &wanted("MJPEG")).map_err(text)?;
    let bell = Bell::new().map_err(text)?;
    let (mut frames, mut last) = (0, now());
    let error = loop {
        match camera.next(&bell) {
            Ok(Shot::Frame(_)) => (frames, last) = (frames + 1, now()),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let took = now().since(last);
    ensure(error.retry && error.message.contains("no frame for 1."), || text(&error))?;
    ensure(took < Nanos::from_millis(2_500), || format!("after {} us", took.micros()))?;
    ensure(frames > 10 && camera.lost() > 0, || format!("{frames} frames, {:?}", camera.counts()))?;
    Ok(format!("after {frames} frames: {error}, {:?}", camera.counts()))
}

/// Unit `n` of the made-up stream: parameter sets only before the first picture, an IDR each tenth.
fn access_unit(n: u32) -> Vec<u8> {
    let mut unit = Vec::new();
    if n == 0 {
        unit.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x42, 1, 0, 0, 0, 1, 0x68, 0x0c]);
    }
    unit.extend_from_slice(&[0, 0, 0, 1, if n.is_multiple_of(10) { 0x65 } else { 0x41 }]);
    unit.extend_from_slice(format!("unit {n:06}").as_bytes());
    unit
}

fn loopback(node: &str) -> Check {
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, path) = (Arc::clone(&stop), node.to_owned());
    // Its write() does not say how much of a buffer is used: write all of it.
    let format = Device::open(Path::new(node)).and_then(|d| d.g_fmt(QueueType::VideoOutput));
    let size = format.map_err(text)?.planes[0].size as usize;
    let (begun, first) = crossbeam::channel::bounded(1);
    let write = move || -> std::io::Result<u32> {
        let mut file = fs::OpenOptions::new().write(true).open(path)?;
        let mut n = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let mut unit = access_unit(n);
            unit.resize(size, 0);
            std::io::Write::write_all(&mut file, &unit)?;
            n += 1;
            let _ = begun.try_send(());
            std::thread::sleep(std::time::Duration::from_millis(40));
        }
        Ok(n)
    };
    let writer = std::thread::Builder::new().name("writer".into()).spawn(write).map_err(text)?;
    // Before the first picture the device has no format to offer. A writer that fails ends the wait.
    let _ = first.recv_timeout(std::time::Duration::from_secs(10));
    let result = loopback_units(node);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let written = writer.join().map_err(|_| "the writer panicked")?.map_err(text);
    Ok(format!("{}, {} written", result?, written?))
}

fn loopback_units(node: &str) -> Check {
    let mut camera = CameraV4l2::open(node, &wanted("H264")).map_err(text)?;
    let bell = Bell::new().map_err(text)?;
    let (mut keys, mut units) = (0, 0);
    while units < 40 {
        let Shot::Unit(unit) = camera.next(&bell).map_err(text)? else { continue };
        units += 1;
        let types: Vec<u8> =
            unit.nals.iter().map(|nal| unit.bytes[nal.offset as usize] & 0x1f).collect();
        let expected: &[u8] = if unit.key { &[7, 8, 5] } else { &[1] };
        ensure(types == expected, || format!("key {}, NAL units {types:?}", unit.key))?;
        ensure(unit.bytes.len() < 60, || format!("{} bytes", unit.bytes.len()))?;
        keys += usize::from(unit.key);
    }
    let info = camera.info();
    ensure(info.coded.is_some() && info.format == "H264", || format!("{info:?}"))?;
    Ok(format!(
        "{units} units, {keys} key frames, {:?}, {}",
        camera.counts(),
        info.remarks.join("; ")
    ))
}
