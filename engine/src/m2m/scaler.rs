//! A scaler of the kernel: raw pictures in, smaller ones out, neither of them touched by the
//! processor. The camera's DMA-buf is imported at the OUTPUT queue, and what comes out of the CAPTURE
//! queue is a DMA-buf again.

use super::{IMPORTS, dmabuf_size, exchange};
use crate::camera::devices;
use crate::camera::v4l2::colour;
use crate::camera::v4l2::layout::{self, Delivers};
use crate::frame::{Colour, Frame, PixelFormat, Plane};
use crate::sys::v4l2::format::{Format, PlaneFormat};
use crate::sys::v4l2::queue::{CaptureQueue, OutputQueue};
use crate::sys::v4l2::{Device, QueueType, Refusal, bindings as b};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Buffers of small pictures: one that is written, one that an encoder reads, and two for readers
/// that are late.
const BUFFERS: u32 = 4;

/// A device that is set up for pictures of one kind, its queues streaming.
#[derive(Debug)]
pub struct ScalerM2m {
    // Dropped first: both stop while the device is open.
    given: OutputQueue,
    made: CaptureQueue,
    device: Arc<Device>,
    takes: Shape,
    size: (usize, usize),
    format: PixelFormat,
    planes: [Plane; 3],
    /// Bytes of a small picture.
    used: usize,
    colour: Colour,
}

/// What must stay the same of the pictures that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    format: PixelFormat,
    width: usize,
    height: usize,
    planes: [Plane; 3],
    colour: Colour,
}

impl Shape {
    fn of(frame: &Frame) -> Self {
        let Frame { format, width, height, planes, colour, .. } = *frame;
        Self { format, width, height, planes, colour }
    }
}

impl ScalerM2m {
    /// Sets up a device for pictures like `frame`, to be made `size`: the first of this machine that
    /// can, or the one at `only`. It gives them in the first of `layouts` that it has.
    ///
    /// # Errors
    /// Why there is none, in words that follow on "the processor scales: ".
    pub fn find(
        frame: &Frame,
        size: (usize, usize),
        layouts: &[PixelFormat],
        only: Option<&Path>,
    ) -> Result<Self, String> {
        if frame.memory.dmabuf().is_none() {
            return Err("the pictures do not lie in one DMA-buf each".to_owned());
        }
        let paths = only.map_or_else(devices::paths, |path| vec![PathBuf::from(path)]);
        let mut why = None;
        for path in paths {
            match Self::open(&path, frame, size, layouts) {
                Ok(Some(scaler)) => return Ok(scaler),
                Ok(None) if only.is_some() => {
                    why = Some(format!("{} is no scaler", path.display()));
                }
                // Cameras and the like, which may be busy.
                Ok(None) => {}
                Err(refused) => why = Some(refused),
            }
        }
        Err(why.unwrap_or_else(|| "there is no device that scales".to_owned()))
    }

    /// `None`: it is no scaler.
    fn open(
        path: &Path,
        frame: &Frame,
        size: (usize, usize),
        layouts: &[PixelFormat],
    ) -> Result<Option<Self>, String> {
        let Ok(device) = Device::open(path) else { return Ok(None) };
        let Ok(cap) = device.querycap() else { return Ok(None) };
        let Some((output, capture)) = cap.m2m_queues().filter(|_| cap.streams()) else {
            return Ok(None);
        };
        if !devices::converts(&device, output, capture) {
            return Ok(None);
        }
        let has = |queue| {
            let formats = devices::formats(&device, queue, |_| false);
            let pixels = formats.into_iter().filter_map(|caps| match Delivers::of(caps.fourcc)? {
                Delivers::Pixels(PixelFormat::Mjpeg) | Delivers::Apart(_) | Delivers::Coded(_) => {
                    None
                }
                Delivers::Pixels(pixels) => Some(pixels),
            });
            pixels.collect::<Vec<_>>()
        };
        let (takes, gives) = (has(output), has(capture));
        let name = format!("{} ({})", path.display(), cap.card);
        if !takes.contains(&frame.format) {
            return Err(format!("{name} does not take {}", frame.format));
        }
        let device = Arc::new(device);
        let mut why = format!("{name} gives no layout that is taken here");
        for format in layouts.iter().filter(|format| gives.contains(format)) {
            match Self::start(&device, (output, capture), frame, size, *format) {
                Ok(scaler) => return Ok(Some(scaler)),
                Err(refused) => why = format!("{name}: {refused}"),
            }
        }
        Err(why)
    }

    fn start(
        device: &Arc<Device>,
        (output, capture): (QueueType, QueueType),
        frame: &Frame,
        size: (usize, usize),
        format: PixelFormat,
    ) -> Result<Self, String> {
        let words = |refusal: Refusal| refusal.to_string();
        let large = asked(frame.format, (frame.width, frame.height), frame.planes[0].stride)?;
        let large = Format { colour: colour::to_driver(frame.colour), ..large };
        let small = asked(format, size, 0)?;
        device.s_fmt(output, &large).map_err(words)?;
        let gives = device.s_fmt(capture, &small).map_err(words)?;
        // A driver that cannot scale makes one queue follow the other.
        let takes = device.g_fmt(output).map_err(words)?;
        for (asked, given) in [(&large, &takes), (&small, &gives)] {
            let kind = |f: &Format| (f.fourcc, f.width, f.height);
            if kind(given) != kind(asked) {
                let [asked, given] =
                    [asked, given].map(kind).map(|(c, w, h)| format!("{c} {w}x{h}"));
                return Err(format!("asked for {asked}, it has {given}"));
            }
        }
        let single = |f: &Format| f.planes.len() == 1;
        layout::planes(frame.format, &takes)
            .filter(|(planes, _)| single(&takes) && *planes == frame.planes)
            .ok_or("it wants other rows or padding than the camera gives")?;
        if dmabuf_size(frame) < u64::from(takes.planes[0].size) {
            return Err("it wants larger buffers than the camera gives".to_owned());
        }
        let (planes, used) = layout::planes(format, &gives)
            .filter(|_| single(&gives))
            .ok_or("it gives planes in separate buffers")?;
        let made = CaptureQueue::start(Arc::clone(device), capture, BUFFERS).map_err(words)?;
        if !made.exported() {
            return Err("it does not export its pictures".to_owned());
        }
        let given = OutputQueue::importing(Arc::clone(device), output, IMPORTS).map_err(words)?;
        Ok(Self {
            given,
            made,
            device: Arc::clone(device),
            takes: Shape::of(frame),
            size,
            format,
            planes,
            used,
            colour: if is_rgb(frame.format) {
                colour::of_camera(gives.colour, format)
            } else {
                // Samples stay what they are.
                frame.colour
            },
        })
    }

    /// Whether it is set up for pictures like `frame`, to be made `size`.
    pub fn fits(&self, frame: &Frame, size: (usize, usize)) -> bool {
        self.takes == Shape::of(frame) && self.size == size && frame.memory.dmabuf().is_some()
    }

    /// The picture, smaller. Its memory is the driver's again once nobody holds it.
    ///
    /// # Errors
    /// In words; it is not to be used any more.
    pub fn scale(&mut self, frame: &Frame) -> Result<Frame, String> {
        let fd = frame.memory.dmabuf().ok_or("a picture that is in no DMA-buf")?;
        if self.made.with_driver() == 0 {
            return Err("readers hold all its pictures".to_owned());
        }
        let length = u32::try_from(dmabuf_size(frame)).unwrap_or(u32::MAX);
        let used = u32::try_from(frame.used).unwrap_or(u32::MAX);
        self.given
            .queue_import(fd, length, used, frame.capture.mono)
            .map_err(|refusal| refusal.to_string())?;
        let lease = exchange(&self.device, &mut self.given, &self.made)?;
        if lease.filled.damaged() || lease.filled.used < self.used + lease.filled.offset {
            return Err("it could not scale the picture".to_owned());
        }
        let mut planes = self.planes;
        for plane in planes.iter_mut().take(self.format.planes()) {
            plane.offset += lease.filled.offset;
        }
        Ok(Frame {
            format: self.format,
            width: self.size.0,
            height: self.size.1,
            planes,
            used: lease.filled.used.min(lease.length()),
            colour: self.colour,
            memory: Arc::new(lease),
            // The checksum is of the picture before.
            crc: None,
            ..frame.clone()
        })
    }

    /// Its name in a pipeline's description.
    pub fn name(&self) -> String {
        let (width, height) = self.size;
        let path = self.device.path().display();
        format!("v4l2 m2m scaler {path} {} {width}x{height} dmabuf", self.format)
    }
}

const fn is_rgb(format: PixelFormat) -> bool {
    matches!(format, PixelFormat::Rgb24 | PixelFormat::Bgr24 | PixelFormat::Bayer(..))
}

/// A format to ask a driver for.
fn asked(
    format: PixelFormat,
    (width, height): (usize, usize),
    stride: usize,
) -> Result<Format, String> {
    let number = |n: usize| u32::try_from(n).map_err(|_| "too large a picture".to_owned());
    Ok(Format {
        fourcc: Delivers::Pixels(format).fourcc(),
        width: number(width)?,
        height: number(height)?,
        field: b::v4l2_field_V4L2_FIELD_NONE,
        planes: vec![PlaneFormat { stride: number(stride)?, size: 0 }],
        ..Format::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::packed_planes;
    use lensd_ffi::time::Stamp;

    #[test]
    fn pictures_in_plain_memory_are_not_for_it() {
        let (planes, used) = packed_planes(PixelFormat::Nv12, 64, 32);
        let frame = Frame {
            format: PixelFormat::Nv12,
            width: 64,
            height: 32,
            planes,
            used,
            colour: Colour::default(),
            memory: Arc::new(vec![0; used]),
            capture: Stamp::default(),
            number: 0,
            crc: None,
        };
        let why = ScalerM2m::find(&frame, (32, 16), &[PixelFormat::Nv12], None).unwrap_err();
        assert_eq!(why, "the pictures do not lie in one DMA-buf each");
    }
}
