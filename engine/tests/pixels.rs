//! Pictures through our encoders and file cameras, judged by ffmpeg.

use lensd_engine::camera::annexb::split_units;
use lensd_engine::camera::marks::read_marks;
use lensd_engine::camera::spec::{CameraSpec, FileSpec, TestSpec};
use lensd_engine::camera::{Camera, CodedUnit, Shot, file, mjpeg, mp4, pattern};
use lensd_engine::encode::openh264::{OpenH264, Tuning};
use lensd_engine::encode::{Encoder, Rate};
use lensd_engine::frame::{Frame, PixelFormat};
use lensd_engine::picture::decode::{H264Decoder, JpegDecoder};
use lensd_engine::syntax::sei::{self, Capture};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::now;
use lensd_ffi::unit::{Codec, split_annex_b};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("pixels-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ffmpeg(arguments: &str, inputs_and_outputs: &[(&str, &str)]) {
    let mut words: Vec<String> = Vec::new();
    for word in arguments.split_ascii_whitespace() {
        let named = inputs_and_outputs.iter().find(|(name, _)| *name == word);
        words.push(named.map_or(word, |(_, path)| path).to_owned());
    }
    let run = Command::new("ffmpeg").args(["-v", "error", "-y"]).args(&words).output();
    let run = run.expect("these tests need ffmpeg");
    let complaints = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && complaints.is_empty(), "{words:?}: {complaints}");
}

fn test_camera(text: &str) -> pattern::TestCamera {
    let Ok(CameraSpec::Test(spec)) = text.parse() else { panic!("{text}") };
    pattern::open(&spec).unwrap()
}

fn next_frame(camera: &mut dyn Camera, bell: &Bell) -> Frame {
    loop {
        match camera.next(bell).unwrap() {
            Shot::Frame(frame) => return frame,
            Shot::Woken => {}
            Shot::Unit(unit) => panic!("a unit of {} bytes", unit.bytes.len()),
        }
    }
}

fn next_unit(camera: &mut dyn Camera, bell: &Bell) -> CodedUnit {
    loop {
        match camera.next(bell).unwrap() {
            Shot::Unit(unit) => return unit,
            Shot::Woken => {}
            Shot::Frame(frame) => panic!("{frame:?}"),
        }
    }
}

/// Plays `count` units; each must have a true table of NAL units.
fn play_units(path: &str, options: &str, count: usize) -> Vec<CodedUnit> {
    let Ok(CameraSpec::File(spec)) = format!("file:{path}?{options}").parse() else { panic!() };
    let mut camera = file::open(&spec).unwrap();
    let bell = Bell::new().unwrap();
    (0..count)
        .map(|n| {
            let unit = next_unit(&mut camera, &bell);
            let mut spans = Vec::new();
            split_annex_b(&unit.bytes, &mut spans);
            assert_eq!(unit.nals, spans);
            assert_eq!(unit.number, n as u64);
            assert!(unit.capture.mono <= now());
            unit
        })
        .collect()
}

fn joined(units: &[CodedUnit]) -> Vec<u8> {
    units.iter().flat_map(|u| u.bytes.iter().copied()).collect()
}

/// MD5 of every decoded picture.
fn picture_hashes(input: &str, folder: &Folder) -> Vec<String> {
    let out = folder.path("hashes");
    ffmpeg(
        "-i IN -map 0:v -fps_mode passthrough -pix_fmt yuv420p -f framemd5 OUT",
        &[("IN", input), ("OUT", &out)],
    );
    let text = fs::read_to_string(out).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

#[test]
fn every_frame_of_the_test_camera_is_known_again_after_h264() {
    let folder = Folder::new("marks");
    for (options, bitrate, count) in [
        ("size=640x360&fps=100&pattern=bars", 300_000, 60u32),
        ("size=1280x720&fps=50&pattern=noise&seed=5", 3_000_000, 25),
        ("size=320x180&fps=100&pattern=clock", 100_000, 60),
        ("size=640x480&fps=100&pattern=still", 100_000, 60),
    ] {
        let mut camera = test_camera(&format!("test:?{options}"));
        let bell = Bell::new().unwrap();
        let info = camera.info();
        let rate = Rate { bitrate, fps: 30.0, gop: 20 };
        let mut encoder = OpenH264::new(rate, Tuning::default()).unwrap();
        let mut unit = CodedUnit::default();
        let mut stream = Vec::new();
        let mut captures = Vec::new();
        for _ in 0..count {
            let frame = next_frame(&mut camera, &bell);
            assert_eq!(frame.crc, Some(crc32fast_of(&frame)));
            assert!(encoder.encode(&frame, false, &mut unit).unwrap());
            let capture = Capture::of(frame.capture, frame.number, frame.crc);
            sei::stamp_unit(&mut unit, &capture);
            assert_eq!(sei::find(Codec::H264, &unit.bytes, &unit.nals), Some(capture));
            stream.extend_from_slice(&unit.bytes);
            captures.push(capture);
        }
        assert_eq!(split_units(&stream).len(), captures.len());
        let coded = folder.path("marks.h264");
        fs::write(&coded, &stream).unwrap();
        for divisor in [1, 2] {
            let (width, height) = (info.width / divisor, info.height / divisor);
            let raw = folder.path("marks.grey");
            let scale = format!("scale={width}:{height}:flags=area");
            ffmpeg(
                "-i IN -vf SCALE -fps_mode passthrough -pix_fmt gray -f rawvideo OUT",
                &[("IN", &coded), ("SCALE", &scale), ("OUT", &raw)],
            );
            let raw = fs::read(raw).unwrap();
            let pictures = raw.chunks_exact(width * height);
            assert_eq!(pictures.len(), captures.len());
            for (picture, capture) in pictures.zip(&captures) {
                let marks = read_marks(picture, width, width, height)
                    .unwrap_or_else(|| panic!("{options} by {divisor}: {capture:?}"));
                assert_eq!((marks.number, marks.capture), (capture.number, capture.mono));
            }
        }
    }
}

fn crc32fast_of(frame: &Frame) -> u32 {
    // Bit by bit, to be independent of the crate.
    !frame.memory.bytes()[..frame.used].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| c >> 1 ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    })
}

#[test]
fn h264_files_are_cut_into_the_units_that_ffmpeg_sees() {
    let folder = Folder::new("h264");
    let path = folder.path("a.h264");
    for options in [
        "-c:v libx264 -preset ultrafast -g 10 -bf 0 -x264-params aud=1",
        "-c:v libx264 -preset veryfast -g 12 -bf 3 -x264-params slices=4:bframes=3",
        "-c:v libx264 -preset ultrafast -g 10 -x264-params slice-max-size=300",
        "-c:v libx264 -preset veryfast -x264-params tff=1:keyint=8",
        "-c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=8:bframes=2",
    ] {
        let make =
            format!("-f lavfi -i testsrc2=s=322x180:r=30:d=1 -pix_fmt yuv420p {options} OUT");
        ffmpeg(&make, &[("OUT", &path)]);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(split_units(&bytes).len(), 30, "{options}");
        let units = play_units(&path, "fps=1000", 60);
        assert_eq!(joined(&units[..30]), bytes, "{options}");
        assert_eq!(joined(&units[30..]), bytes, "the second pass is the first again");
        for unit in &units {
            assert_eq!((unit.width, unit.height), (322, 180));
            let types: Vec<u8> =
                unit.nals.iter().map(|n| unit.bytes[n.offset as usize] & 31).collect();
            assert!(unit.key || !types.contains(&5));
            assert_eq!(unit.key, types.contains(&7), "{options}: {types:?}");
        }
        assert!(units[..30].iter().filter(|u| u.key).count() >= 2, "{options}");
    }
}

#[test]
fn stamped_units_say_when_they_entered_and_still_decode() {
    let folder = Folder::new("stamp");
    let (path, stamped) = (folder.path("a.h264"), folder.path("b.h264"));
    let make = "-f lavfi -i testsrc2=s=320x180:r=30:d=1 -c:v libx264 -x264-params aud=1 OUT";
    ffmpeg(make, &[("OUT", &path)]);
    let units = play_units(&path, "fps=500&stamp=1", 30);
    for (n, unit) in units.iter().enumerate() {
        let capture = sei::find(Codec::H264, &unit.bytes, &unit.nals).unwrap();
        assert_eq!(capture.number as usize, n);
        // The unit's own time is when it was due; it enters a little later.
        assert!(capture.mono >= unit.capture.mono);
        let first = unit.bytes[unit.nals[0].offset as usize] & 31;
        assert_eq!(first, 9, "the delimiter stays first");
        if n > 0 {
            let step = unit.capture.mono.since(units[n - 1].capture.mono).0;
            assert_eq!(step, 2_000_000, "paced without jitter");
        }
    }
    fs::write(&stamped, joined(&units)).unwrap();
    assert_eq!(picture_hashes(&path, &folder), picture_hashes(&stamped, &folder));
}

#[test]
fn mp4_files_become_the_stream_that_went_in() {
    let folder = Folder::new("mp4");
    for (codec, extension, options) in [
        ("libx264 -g 10 -bf 0", "h264", ""),
        ("libx264 -g 10 -bf 2", "h264", "-movflags +faststart"),
        ("libx264 -g 10 -bf 2", "h264", "-movflags +frag_keyframe+empty_moov"),
        ("libx264 -g 10", "h264", "-movflags +frag_keyframe+default_base_moof"),
        ("libx265 -x265-params keyint=10:log-level=none", "hevc", "-tag:v hvc1"),
    ] {
        let (mp4, stream) = (folder.path("a.mp4"), folder.path(&format!("b.{extension}")));
        let make = format!(
            "-f lavfi -i testsrc2=s=320x180:r=100:d=0.4 -f lavfi -i sine=d=0.4 -pix_fmt yuv420p \
             -preset ultrafast -c:v {codec} {options} OUT"
        );
        ffmpeg(&make, &[("OUT", &mp4)]);
        let start = now();
        let units = play_units(&mp4, "", 80);
        let took = now().since(start).0 / 1_000_000;
        assert!((750..2000).contains(&took), "{options}: 80 pictures of 10 ms took {took} ms");
        fs::write(&stream, joined(&units[..40])).unwrap();
        let hashes = picture_hashes(&mp4, &folder);
        assert_eq!(hashes.len(), 40);
        assert_eq!(hashes, picture_hashes(&stream, &folder), "{codec} {options}");
        assert_eq!(joined(&units[..40]), joined(&units[40..]));
        assert_eq!(units.iter().filter(|u| u.key).count(), 8, "{codec} {options}");
        // Capture times are those of the presentation: sorted, they are 10 ms apart.
        let mut times: Vec<u64> = units[..40].iter().map(|u| u.capture.mono.0).collect();
        times.sort_unstable();
        // (ffmpeg shifts the first picture of an empty_moov file by 3 ms.)
        for pair in times.windows(2).skip(1) {
            assert!(pair[1].abs_diff(pair[0]).abs_diff(10_000_000) < 200_000, "{options} {pair:?}");
        }
    }
}

#[test]
fn y4m_and_mjpeg_files_are_played_as_pictures() {
    let folder = Folder::new("raw");
    let bell = Bell::new().unwrap();
    for (make, name, format) in [
        ("-pix_fmt yuv420p", "a.y4m", PixelFormat::I420),
        ("-pix_fmt gray -strict -1", "b.y4m", PixelFormat::Grey),
        ("-pix_fmt yuvj420p -c:v mjpeg -f mjpeg", "c.mjpeg", PixelFormat::Mjpeg),
        ("-pix_fmt yuvj422p -c:v mjpeg -f mjpeg", "d.mjpeg", PixelFormat::Mjpeg),
    ] {
        let path = folder.path(name);
        let make = format!("-f lavfi -i testsrc2=s=162x90:r=200:d=0.05 {make} OUT");
        ffmpeg(&make, &[("OUT", &path)]);
        let fps = (format == PixelFormat::Mjpeg).then_some(200.0);
        let spec = FileSpec { path: path.clone(), fps, ..FileSpec::default() };
        let mut camera = file::open(&spec).unwrap();
        let info = camera.info();
        assert_eq!((info.width, info.height, info.fps), (162, 90, 200.0));
        assert!(info.remarks.is_empty(), "{:?}", info.remarks);
        let mut pictures: Vec<Vec<u8>> = Vec::new();
        for n in 0..20 {
            let frame = next_frame(&mut camera, &bell);
            assert_eq!((frame.format, frame.number, frame.width), (format, n, 162));
            pictures.push(frame.memory.bytes()[..frame.used].to_vec());
        }
        assert_eq!(pictures[..10], pictures[10..]);
        assert_ne!(pictures[0], pictures[1]);
        if format == PixelFormat::Mjpeg {
            assert_eq!(pictures[..10].concat(), fs::read(&path).unwrap());
        }
        // A cut file is played up to its last whole picture.
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let mut camera = file::open(&spec).unwrap();
        for n in 0..18 {
            let frame = next_frame(&mut camera, &bell);
            assert_eq!(frame.memory.bytes()[..frame.used], pictures[n % 9]);
        }
        assert_eq!(camera.info().remarks.len(), 1, "{:?}", camera.info().remarks);
    }
}

#[test]
fn cut_mp4_files_are_played_as_far_as_they_go() {
    let folder = Folder::new("cut");
    for options in ["+faststart", "+frag_keyframe+empty_moov"] {
        let path = folder.path("a.mp4");
        let make = format!(
            "-f lavfi -i testsrc2=s=320x180:r=100:d=0.3 -c:v libx264 -g 10 -movflags {options} OUT"
        );
        ffmpeg(&make, &[("OUT", &path)]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
        let spec = FileSpec { path: path.clone(), ..FileSpec::default() };
        let mut camera = file::open(&spec).unwrap();
        let bell = Bell::new().unwrap();
        let first = next_unit(&mut camera, &bell);
        let again = (1..40).find(|_| next_unit(&mut camera, &bell).bytes == first.bytes);
        assert!(again.is_some_and(|n| n >= 10), "{options}: loops after {again:?}");
        assert!(camera.info().remarks.iter().any(|r| r.contains("is cut")), "{options}");
    }
}

#[test]
fn footage_of_other_encoders_is_decoded_for_stills() {
    let folder = Folder::new("decode");
    let path = folder.path("a.h264");
    for (options, reordered) in [
        ("-profile:v baseline", false),
        ("-profile:v main -bf 0", false),
        ("-profile:v high -bf 0 -x264-params cabac=1:8x8dct=1:ref=4", false),
        ("-profile:v high -bf 3", true),
    ] {
        let make = format!(
            "-f lavfi -i testsrc2=s=320x180:r=30:d=1 -pix_fmt yuv420p -c:v libx264 -g 15 {options} OUT"
        );
        ffmpeg(&make, &[("OUT", &path)]);
        let mut decoder = H264Decoder::default();
        let mut shown = Vec::new();
        let mut times = Vec::new();
        for unit in play_units(&path, "fps=1000", 30) {
            let at = unit.capture.mono;
            // openh264 runs out of buffers where B pictures refer to each other, and begins anew
            // at the next key frame: good for stills, which are all that is asked of it there.
            let result = decoder.decode_at(&unit.bytes, unit.key, at);
            let view = if reordered && !unit.key { None } else { result.unwrap() };
            assert!(view.is_some() || reordered && !unit.key, "{options}: {}", unit.number);
            if let Some(view) = view {
                assert_eq!((view.width(), view.height()), (320, 180));
                shown.push((0..180).flat_map(|y| view.row(0, y).to_vec()).collect::<Vec<u8>>());
                times.push(at.since(decoder.captured()).0);
            }
        }
        assert!(times.iter().all(|&t| t == 0), "{options}: {times:?}");
        assert!(reordered || decoder.damaged() == 0, "{options}");
        assert!(
            shown.len() == if reordered { 2 } else { 30 },
            "{options}: {} pictures",
            shown.len()
        );
        let raw = folder.path("a.grey");
        ffmpeg(
            "-i IN -fps_mode passthrough -vf extractplanes=y -f rawvideo OUT",
            &[("IN", &path), ("OUT", &raw)],
        );
        let raw = fs::read(raw).unwrap();
        let theirs: Vec<&[u8]> = raw.chunks_exact(320 * 180).collect();
        for (n, ours) in shown.iter().enumerate() {
            if reordered {
                assert!(theirs.contains(&&ours[..]), "{options}: picture {n} is another");
            } else {
                assert!(ours == theirs[n], "{options}: picture {n} differs");
            }
        }
    }
}

/// Plays `bytes` with random bytes changed, which must not panic, hang or read out of bounds.
fn mutate(bytes: &[u8], rounds: usize, mut check: impl FnMut(&[u8])) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % n as u64).unwrap()
    };
    for _ in 0..rounds {
        let mut mutated = bytes.to_vec();
        for _ in 0..=random(6) {
            let at = random(mutated.len());
            mutated[at] = match random(4) {
                0 => 0xff,
                1 => 0,
                2 => mutated[at] ^ 1 << random(8),
                _ => u8::try_from(random(256)).unwrap(),
            };
        }
        if random(8) == 0 {
            mutated.truncate(random(bytes.len()));
        }
        check(&mutated);
    }
}

/// The first box of a kind, header included, and its offset.
fn find_box<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> (&'a [u8], u64) {
    let mut at = 0;
    loop {
        let header = mp4::parse_box_header(&bytes[at..]).unwrap();
        let end = at + usize::try_from(header.size.unwrap()).unwrap();
        if &header.kind == kind {
            return (&bytes[at..end], at as u64);
        }
        at = end;
    }
}

#[test]
fn damaged_files_do_no_harm() {
    let folder = Folder::new("damage");
    let (plain, fragmented) = (folder.path("a.mp4"), folder.path("b.mp4"));
    let make = "-f lavfi -i testsrc2=s=160x90:r=100:d=0.3 -c:v libx264 -bf 2";
    ffmpeg(&format!("{make} OUT"), &[("OUT", &plain)]);
    ffmpeg(&format!("{make} -movflags +frag_keyframe+empty_moov OUT"), &[("OUT", &fragmented)]);
    mutate(find_box(&fs::read(&plain).unwrap(), b"moov").0, 20_000, |moov| {
        let Ok(track) = mp4::parse_moov(moov) else { return };
        let mut cursor = mp4::Cursor::default();
        for _ in 0..1000 {
            if cursor.next(&track.table).is_none() {
                break;
            }
        }
    });
    let bytes = fs::read(&fragmented).unwrap();
    let track = mp4::parse_moov(find_box(&bytes, b"moov").0).unwrap();
    let (moof, offset) = find_box(&bytes, b"moof");
    mutate(moof, 20_000, |moof| drop(mp4::parse_moof(moof, offset, &track, &mut 0)));

    let stream = folder.path("a.h264");
    ffmpeg(&format!("{make} OUT"), &[("OUT", &stream)]);
    let stream = fs::read(&stream).unwrap();
    mutate(&stream[..stream.len().min(8000)], 2000, |bytes| {
        let units = split_units(bytes);
        assert_eq!(units.last().map_or(0, |u| u.end), bytes.len());
    });

    let picture = folder.path("a.jpg");
    ffmpeg("-f lavfi -i testsrc2=s=160x90 -frames:v 1 OUT", &[("OUT", &picture)]);
    let mut decoder = JpegDecoder::default();
    mutate(&fs::read(&picture).unwrap(), 1000, |jpeg| {
        mjpeg::measure(jpeg);
        let _ = decoder.decode(jpeg);
    });
}

#[test]
fn foreign_files_are_refused_with_what_is_there_and_what_should_be() {
    let folder = Folder::new("foreign");
    let refusal = |name: &str, bytes: &[u8]| {
        let path = folder.path(name);
        fs::write(&path, bytes).unwrap();
        let why = file::open(&FileSpec { path, ..FileSpec::default() }).err().unwrap();
        assert!(!why.retry, "{why}");
        assert!(why.message.contains(name), "{why}");
        why.message
    };
    let text = b"a text file that is quite long and has nothing to do with cameras";
    for (name, bytes, part) in [
        ("a.avi", &text[..], "there are .y4m, .mjpeg, .h264, .264 and .mp4"),
        ("a.y4m", text, "offset 0: \"YUV4MPEG2 \" is expected"),
        ("a.mjpeg", text, "offset 0: a JPEG begins with ff d8"),
        ("a.h264", text, "no start code"),
        ("b.h264", &[0, 0, 0, 1, 0x65, 1, 2, 3], "no sequence parameter set"),
        ("a.mp4", text, "is this MP4?"),
        ("b.mp4", b"\0\0\0\x10ftypisom\0\0\0\0", "no movie box"),
        ("c.mp4", b"", "no movie box"),
        ("c.mjpeg", b"", "no whole JPEG"),
        ("c.h264", b"", "no sequence parameter set"),
    ] {
        let why = refusal(name, bytes);
        assert!(why.contains(part), "{name}: {why}");
    }
    let path = folder.path("missing.mp4");
    let why = file::open(&FileSpec { path, ..FileSpec::default() }).err().unwrap();
    assert!(why.retry && why.message.contains("No such file"), "{why}");
    let default = TestSpec::default();
    assert_eq!(default.size.width, 1280);
}
