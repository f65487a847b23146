//! From vivid by DMA-buf to the kernel's memory-to-memory drivers: vicodec encodes, vim2m scales.

use crate::{Check, bars, ensure, frame, open, text};
use lensd_engine::camera::Camera;
use lensd_engine::encode::Rate;
use lensd_engine::encode::m2m::{self, Coding, M2m};
use lensd_engine::frame::{Colour, Frame, PixelFormat, packed_planes};
use lensd_engine::m2m::scaler::ScalerM2m;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::{Nanos, now};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// What a unit's header says (`struct fwht_cframe_hdr`).
#[derive(Debug, PartialEq)]
struct Fwht {
    width: u32,
    height: u32,
    /// `V4L2_FWHT_FL_I_FRAME`; vicodec does not set `V4L2_BUF_FLAG_KEYFRAME`.
    key: bool,
}

/// The header of a whole unit.
fn fwht(unit: &[u8]) -> Option<Fwht> {
    let word = |i: usize| Some(u32::from_be_bytes(unit.get(i * 4..i * 4 + 4)?.try_into().ok()?));
    let whole = word(10)? as usize == unit.len() - 44;
    (word(0)? == 0x4f4f_4f4f && word(1)? == 0xffff_ffff && whole).then_some(Fwht {
        width: word(3)?,
        height: word(4)?,
        key: word(5)? & 1 << 10 != 0,
    })
}

/// Adds a unit to a file for `v4l2-ctl --stream-from-hdr`: "Vhdr", backwards, and a size before each.
fn append(units: &mut Vec<u8>, unit: &[u8]) -> Result<(), String> {
    units.extend_from_slice(b"rdhV");
    units.extend_from_slice(&u32::try_from(unit.len()).map_err(text)?.to_be_bytes());
    units.extend_from_slice(unit);
    Ok(())
}

/// That no part of a frame's DMA-buf is in this process's memory.
fn unmapped(frame: &Frame) -> Result<(), String> {
    let file = rustix::fs::fstat(frame.memory.dmabuf().ok_or("not exported")?);
    let inode = format!(" {} ", file.map_err(text)?.st_ino);
    let maps = fs::read_to_string("/proc/self/maps").map_err(text)?;
    let mapped = maps.lines().find(|line| line.contains("dmabuf") && line.contains(&inode));
    ensure(mapped.is_none(), || format!("mapped: {mapped:?}"))
}

pub(crate) fn to_vicodec(folder: &Path) -> Check {
    let rate = Rate { bitrate: 4_000_000, fps: 25.0, gop: 10 };
    let path = m2m::find(Coding::Fwht).ok_or("no FWHT encoder")?;
    ensure(m2m::find(Coding::H264).is_none(), || "an H264 encoder in the rig?".into())?;
    let mut encoder = M2m::open(&path, Coding::Fwht, rate).map_err(text)?;
    let mut camera = open(0, "NV12")?;
    let bell = Bell::new().map_err(text)?;
    // Nothing maps a buffer of the camera as long as nobody looks into it.
    for _ in 0..10 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        encoder.encode_with(&frame, false, |_, _| ()).map_err(text)?;
        unmapped(&frame)?;
    }
    let (mut units, mut raw) = (Vec::new(), Vec::new());
    let (mut keys, mut longest) = (0, Nanos(0));
    for n in 0..30 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        let begun = now();
        let unit = encoder.encode_with(&frame, false, |b, _| b.to_vec()).map_err(text)?;
        longest = longest.max(now().since(begun));
        let header = fwht(&unit).ok_or_else(|| format!("unit {n}: {:x?}", &unit[..44]))?;
        ensure((header.width, header.height) == (640, 480), || format!("unit {n}: {header:?}"))?;
        keys += usize::from(header.key);
        append(&mut units, &unit)?;
        // Looked at only after it was encoded.
        raw.extend_from_slice(&frame.memory.bytes()[..frame.used]);
    }
    ensure(encoder.imports(), || "it does not import".into())?;
    let copied = encoder.copied_pixel_bytes();
    ensure(copied == 0, || format!("{copied} pixel bytes copied"))?;
    ensure((1..30).contains(&keys), || format!("{keys} key frames"))?;
    fs::write(folder.join("units.fwht"), &units).map_err(text)?;
    fs::write(folder.join("raw.nv12"), &raw).map_err(text)?;
    // The same from memory that no device shares, at a size that the encoder pads.
    for (width, height) in [(640, 480), (642, 362)] {
        let (planes, used) = packed_planes(PixelFormat::I420, width, height);
        let before = encoder.copied_pixel_bytes();
        for number in 0..5 {
            let memory = Arc::new(vec![number as u8 * 40; used]);
            let frame = Frame {
                format: PixelFormat::I420,
                width,
                height,
                planes,
                used,
                colour: Colour::default(),
                memory,
                capture: lensd_ffi::time::UtcMap::measure().stamp(now()),
                number,
                crc: None,
            };
            let header = encoder.encode_with(&frame, true, |b, _| fwht(b)).map_err(text)?;
            let visible = header.as_ref().map(|h| (h.width as usize, h.height as usize));
            ensure(visible == Some((width, height)), || format!("{width}x{height}: {header:?}"))?;
        }
        let copied = encoder.copied_pixel_bytes() - before;
        ensure(copied == 5 * used as u64, || format!("{copied} of {} counted", 5 * used))?;
    }
    let (planes, used) = packed_planes(PixelFormat::I420, 320, 240);
    let memory = Arc::new(vec![0; used]);
    let small = Frame {
        format: PixelFormat::I420,
        width: 320,
        height: 240,
        planes,
        used,
        colour: Colour::default(),
        memory,
        capture: lensd_ffi::time::Stamp::default(),
        number: 0,
        crc: None,
    };
    let error = encoder.encode_with(&small, true, |_, _| ()).err().ok_or("too small a picture")?;
    ensure(error.0.contains("320x240 is too small, 640x3"), || error.0.clone())?;
    let takes: Vec<_> = encoder.takes().iter().map(ToString::to_string).collect();
    Ok(format!(
        "{}: 30 units, {keys} key frames, 0 bytes copied, at most {} us each; takes {}",
        encoder.name(),
        longest.micros(),
        takes.join(" ")
    ))
}

/// vicodec, which encodes nothing that is smaller than 640x360.
fn encoder() -> Result<M2m, String> {
    let rate = Rate { bitrate: 4_000_000, fps: 25.0, gop: 10 };
    let path = m2m::find(Coding::Fwht).ok_or("no FWHT encoder")?;
    M2m::open(&path, Coding::Fwht, rate).map_err(text)
}

/// vivid, vim2m, vicodec: the whole way of a sub stream, of which no pixel is touched.
pub(crate) fn scaled(folder: &Path) -> Check {
    let (mut encoder, bell) = (encoder()?, Bell::new().map_err(text)?);
    let mut camera = open(0, "RGB3")?;
    let first = frame(&mut camera, &bell).map_err(text)?;
    let size = (640, 360);
    let mut scaler = ScalerM2m::find(&first, size, encoder.takes(), None)?;
    // Nothing maps a buffer of either as long as nobody looks into it.
    for _ in 0..10 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        let small = scaler.scale(&frame)?;
        encoder.encode_with(&small, false, |_, _| ()).map_err(text)?;
        unmapped(&frame)?;
        unmapped(&small)?;
    }
    let (mut units, mut raw, mut longest) = (Vec::new(), Vec::new(), Nanos(0));
    for n in 0..30 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        ensure(scaler.fits(&frame, size), || "it does not fit any more".into())?;
        let begun = now();
        let small = scaler.scale(&frame)?;
        longest = longest.max(now().since(begun));
        ensure(small.capture == frame.capture && small.number == frame.number, || {
            format!("{small:?} of {frame:?}")
        })?;
        // What is decoded later begins with a key frame.
        let unit = encoder.encode_with(&small, n == 0, |b, _| b.to_vec()).map_err(text)?;
        let header = fwht(&unit).ok_or("no header")?;
        ensure((header.width, header.height) == (640, 360), || format!("{header:?}"))?;
        append(&mut units, &unit)?;
        unmapped(&frame)?;
        // Looked at only after it was encoded.
        raw.extend_from_slice(&small.memory.bytes()[..small.used]);
        if n == 29 {
            bars(&small)?;
        }
    }
    ensure(encoder.imports() && encoder.copied_pixel_bytes() == 0, || {
        format!("{} pixel bytes copied: {}", encoder.copied_pixel_bytes(), encoder.copies())
    })?;
    fs::write(folder.join("small.fwht"), &units).map_err(text)?;
    fs::write(folder.join("small.raw"), &raw).map_err(text)?;
    // Other sizes and reasons.
    let small = ScalerM2m::find(&first, (322, 242), &[PixelFormat::Yuyv], None)?.scale(&first)?;
    ensure((small.width, small.height) == (322, 242), || format!("{small:?}"))?;
    bars(&small)?;
    for (layouts, size, why) in [
        (&[PixelFormat::Yuyv][..], (16, 16), "it has YUYV 32x32"),
        (&[PixelFormat::Nv12], (320, 240), "no layout that is taken here"),
    ] {
        let refused = ScalerM2m::find(&first, size, layouts, None).err().ok_or("it took that")?;
        ensure(refused.contains(why), || refused.clone())?;
    }
    let (name, us) = (scaler.name(), longest.micros());
    Ok(format!("{name} -> {}: 30 units, 0 bytes copied, at most {us} us", encoder.name()))
}

/// What is needed and no more, for who watches the system calls: a camera's pictures to the encoder,
/// and scaled to another one; `looks`: the processor reads them, too, which must be noticed.
pub(crate) fn path(looks: bool) -> Check {
    let (mut large, mut small) = (encoder()?, encoder()?);
    let bell = Bell::new().map_err(text)?;
    let mut camera = open(0, "RGB3")?;
    let mut scaler: Option<ScalerM2m> = None;
    let mut sum = 0;
    for _ in 0..40 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        sum += large.encode_with(&frame, false, |b, _| b.len()).map_err(text)?;
        let scaler = match &mut scaler {
            Some(scaler) => scaler,
            slot => slot.insert(ScalerM2m::find(&frame, (640, 360), small.takes(), None)?),
        };
        let scaled = scaler.scale(&frame)?;
        sum += small.encode_with(&scaled, false, |b, _| b.len()).map_err(text)?;
        if looks {
            sum += usize::from(frame.memory.bytes()[0]);
        }
    }
    let copied = large.copied_pixel_bytes() + small.copied_pixel_bytes();
    ensure(copied == 0, || format!("{copied} pixel bytes copied"))?;
    Ok(format!("{sum} bytes made of 40 pictures, 0 copied"))
}

/// A camera whose planes lie in buffers of their own: seen right, and copied for an encoder that
/// wants them in one, which is said.
pub(crate) fn apart(format: &str) -> Check {
    let (mut camera, bell) = (open(1, format)?, Bell::new().map_err(text)?);
    let mut encoder = encoder()?;
    ensure(camera.info().format == format, || camera.info().format)?;
    for n in 0..20 {
        let frame = frame(&mut camera, &bell).map_err(text)?;
        ensure(frame.memory.dmabuf().is_none(), || "one buffer".into())?;
        for plane in 0..frame.format.planes() {
            let rows = frame.rows(plane).count();
            ensure(rows == frame.format.rows(plane, 480), || format!("{rows} rows of {plane}"))?;
        }
        bars(&frame)?;
        if n < 5 {
            let unit = encoder.encode_with(&frame, true, |b, _| fwht(b)).map_err(text)?;
            ensure(unit.is_some_and(|unit| unit.width == 640), || "no unit".into())?;
        }
    }
    let (copied, why) = (encoder.copied_pixel_bytes(), encoder.copies());
    ensure(copied == 5 * 640 * 480 * 3 / 2, || format!("{copied} bytes copied"))?;
    ensure(why == "the pictures do not lie in one DMA-buf each", || why.into())?;
    Ok(format!("{:?}; copied: {why}", camera.counts()))
}

pub(crate) fn compare(a: &str, b: &str) -> Check {
    let (a, b) = (fs::read(a).map_err(text)?, fs::read(b).map_err(text)?);
    ensure(a.len() == b.len() && !a.is_empty(), || format!("{} and {} bytes", a.len(), b.len()))?;
    let sum: u64 = a.iter().zip(&b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = sum as f64 / a.len() as f64;
    ensure(mean < 4.0, || format!("they differ by {mean:.2} of 255"))?;
    Ok(format!("{} bytes, mean difference {mean:.2} of 255", a.len()))
}
