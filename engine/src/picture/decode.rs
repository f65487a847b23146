//! Coded pictures to I420: JPEG from cameras, and H.264 that is passed through, for its stills
//! and sub streams.

use super::scale::{Area, PlaneView, Scaler, halve_rows};
use super::{Canvas, Picture, View};
use crate::sys::jpeg::{Decompressor, Subsampling};
use crate::sys::openh264::Decoder;
use lensd_ffi::time::Nanos;

/// Decodes JPEGs, whatever their chroma.
#[derive(Default)]
pub struct JpegDecoder {
    decompressor: Option<Decompressor>,
    picture: Picture,
    /// Luma of a JPEG whose blocks are wider than the picture, with that.
    luma: Vec<u8>,
    /// Chroma of a JPEG that is not 4:2:0, before it is scaled.
    chroma: [Vec<u8>; 2],
    scaler: Scaler,
    damaged: u64,
}

impl std::fmt::Debug for JpegDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JpegDecoder({} damaged)", self.damaged)
    }
}

impl JpegDecoder {
    /// As [`JpegDecoder::decode_to`], into a buffer of its own.
    ///
    /// # Errors
    /// As there.
    pub fn decode(&mut self, jpeg: &[u8]) -> Result<View<'_>, String> {
        let mut picture = std::mem::take(&mut self.picture);
        let decoded = self.decode_to(jpeg, |width, height, decode| {
            picture.resize(width, height);
            picture
                .canvas()
                .ok_or("a picture without a size")
                .map_err(str::to_owned)
                .and_then(decode)
        });
        self.picture = picture;
        let (width, height) = decoded?;
        let view = self.picture.view().ok_or("a decoded picture has a size")?;
        View::new(width, height, view.planes(), view.strides())
            .ok_or_else(|| "a decoded picture has planes".into())
    }

    /// Decodes one JPEG to I420 of full range, and gives its size. `place` is asked for a canvas,
    /// whose sides are even (4:2:0 rounds luma up to whole chroma samples), and has it drawn on.
    /// Pictures without Huffman tables, as MJPEG cameras send them, get the standard ones. A
    /// truncated picture is grey from some row on, and counted.
    ///
    /// Luma is written once, where it is to be. So is chroma that is 4:2:0 in the JPEG; other
    /// chroma is scaled on the way.
    ///
    /// # Errors
    /// When it is no JPEG or one that cameras do not make (CMYK, lossless, 12 bits).
    pub fn decode_to(
        &mut self,
        jpeg: &[u8],
        place: impl FnOnce(
            usize,
            usize,
            &mut dyn FnMut(Canvas<'_>) -> Result<(), String>,
        ) -> Result<(), String>,
    ) -> Result<(usize, usize), String> {
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            slot => slot.insert(Decompressor::new()?),
        };
        let header = decompressor.header(jpeg)?;
        let (width, height) = (header.width, header.height);
        let Self { luma, chroma, scaler, damaged, .. } = self;
        let mut draw = |to: Canvas<'_>| {
            let (half, half_rows) = to.plane_size(1);
            let even = (to.width(), to.height());
            let [y_stride, u_stride, v_stride] = to.strides();
            let [y, u, v] = to.into_planes();
            let whole = if header.subsampling == Subsampling::S420 {
                let mut planes = [(&mut *y, y_stride), (&mut *u, u_stride), (&mut *v, v_stride)];
                decompressor.decompress(jpeg, &header, &mut planes)?
            } else {
                let count = header.subsampling.planes();
                let (columns, rows) =
                    header.subsampling.plane_size(1.min(count - 1), width, height);
                chroma.iter_mut().for_each(|plane| plane.resize(columns * rows, 0));
                let [first, second] = &mut *chroma;
                // 4:1:1 rounds up to four columns.
                let (wide, high) = header.subsampling.plane_size(0, width, height);
                let fits = wide <= y_stride && high <= even.1;
                luma.resize(if fits { 0 } else { wide * high }, 0);
                let own = if fits { (&mut *y, y_stride) } else { (&mut luma[..], wide) };
                let mut planes = [own, (&mut first[..], columns), (&mut second[..], columns)];
                let whole = decompressor.decompress(jpeg, &header, &mut planes[..count])?;
                for (to, from) in y.chunks_mut(y_stride).zip(luma.chunks_exact(wide)).take(height) {
                    to[..width].copy_from_slice(&from[..width]);
                }
                pad(y, y_stride, (width, height), even);
                for (from, to) in chroma.iter().zip([&mut *u, &mut *v]) {
                    let to = &mut to[..half * half_rows];
                    let from =
                        PlaneView { bytes: from, stride: columns, width: columns, height: rows };
                    if count == 1 {
                        to.fill(128);
                    } else if columns == half {
                        halve_rows(&from, to, half);
                    } else {
                        let area = Area::whole(columns, rows);
                        scaler.plane(&from, area, to, (half, half_rows))?;
                    }
                }
                whole
            };
            *damaged += u64::from(!whole);
            Ok(())
        };
        place(width.next_multiple_of(2), height.next_multiple_of(2), &mut draw)?;
        Ok((width, height))
    }

    /// Damaged pictures so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

/// Repeats the last column and the last row where a plane has one more than the picture.
fn pad(
    plane: &mut [u8],
    stride: usize,
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) {
    if to_width > width {
        for row in plane.chunks_mut(stride).take(height) {
            row[width] = row[width - 1];
        }
    }
    if to_height > height {
        let last = (height - 1) * stride;
        plane.copy_within(last..last + to_width, last + stride);
    }
}

/// Decodes H.264, from a key frame on. Damage is concealed with what was there before, and counted.
#[derive(Default)]
pub struct H264Decoder {
    decoder: Option<Decoder>,
    /// The decoder gave up and is to be replaced.
    broken: bool,
    started: bool,
    /// Capture time of the picture given last.
    captured: Nanos,
    damaged: u64,
}

/// States in which the library itself is of no more use (`DECODING_STATE`: `dsInvalidArgument`,
/// `dsInitialOptExpected`, `dsOutOfMemory`).
const BROKEN: i32 = 0x1000 | 0x2000 | 0x4000;

impl H264Decoder {
    /// [`H264Decoder::decode_at`] for those who do not ask when the picture was captured.
    ///
    /// # Errors
    /// When the decoder gave up. The next key frame begins anew.
    pub fn decode(&mut self, unit: &[u8], key: bool) -> Result<Option<View<'_>>, String> {
        self.decode_at(unit, key, Nanos(0))
    }

    /// Decodes one access unit (Annex B) captured at `capture`; `key` says whether decoding can
    /// begin with it. Gives its picture at once, and [`H264Decoder::captured`] the picture's time:
    /// in streams with B pictures, pictures come in decode order. Where B pictures refer to each
    /// other, openh264 gives up within a group of pictures and begins anew at the next key frame.
    ///
    /// # Errors
    /// When the decoder gave up. The next key frame begins anew.
    pub fn decode_at(
        &mut self,
        unit: &[u8],
        key: bool,
        capture: Nanos,
    ) -> Result<Option<View<'_>>, String> {
        if !self.started && !key {
            return Ok(None);
        }
        if std::mem::take(&mut self.broken) {
            self.decoder = None;
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            slot => slot.insert(Decoder::new()?),
        };
        self.started = true;
        let (picture, state) = decoder.decode(unit, capture.0)?;
        if state != 0 {
            self.damaged += 1;
        }
        if state & BROKEN != 0 {
            self.started = false;
            self.broken = true;
            return Err(format!("openh264 gave up decoding (state {state:#x})"));
        }
        let Some(picture) = picture else { return Ok(None) };
        self.captured = Nanos(picture.time);
        Ok(View::new(picture.width, picture.height, picture.planes, picture.strides))
    }

    /// Forgets all references: the stream was switched. The next unit must be a key frame.
    pub fn restart(&mut self) {
        self.decoder = None;
        self.started = false;
    }

    /// Capture time of the picture given last.
    pub fn captured(&self) -> Nanos {
        self.captured
    }

    /// Units that were damaged so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::marks::read_marks;
    use crate::camera::spec::{Pattern, Size, TestSpec};
    use crate::camera::{Camera, CodedUnit, Shot, pattern};
    use crate::encode::openh264::{OpenH264, Tuning};
    use crate::encode::{Encoder, Rate};
    use crate::frame::Frame;
    use crate::sys::jpeg::Compressor;
    use lensd_ffi::bell::Bell;

    fn test_frames(count: usize, width: usize, height: usize) -> Vec<Frame> {
        let spec =
            TestSpec { size: Size { width, height }, fps: 100.0, pattern: Pattern::Bars, seed: 2 };
        let mut camera = pattern::open(&spec).unwrap();
        let bell = Bell::new().unwrap();
        let mut frames = Vec::new();
        while frames.len() < count {
            if let Shot::Frame(mut frame) = camera.next(&bell).unwrap() {
                frame.memory = std::sync::Arc::new(frame.memory.bytes().to_vec());
                frames.push(frame);
            }
        }
        frames
    }

    #[test]
    fn jpegs_of_every_chroma_become_i420() {
        let mut compressor = Compressor::new().unwrap();
        let mut decoder = JpegDecoder::default();
        let mut jpeg = Vec::new();
        for subsampling in [
            Subsampling::S444,
            Subsampling::S422,
            Subsampling::S420,
            Subsampling::Grey,
            Subsampling::S440,
            Subsampling::S411,
            Subsampling::S441,
        ] {
            for size in [(64, 48), (33, 35), (1, 1), (100, 7)] {
                let planes: Vec<(Vec<u8>, usize)> = (0..subsampling.planes())
                    .map(|i| {
                        let (columns, rows) = subsampling.plane_size(i, size.0, size.1);
                        (vec![[200, 90, 160][i]; columns * rows], columns)
                    })
                    .collect();
                let planes: Vec<(&[u8], usize)> =
                    planes.iter().map(|(plane, stride)| (&plane[..], *stride)).collect();
                compressor.compress_planes(&planes, size, subsampling, 95, &mut jpeg).unwrap();
                let view = decoder.decode(&jpeg).unwrap();
                assert_eq!((view.width(), view.height()), size);
                let chroma = subsampling != Subsampling::Grey;
                let want = if chroma { [200, 90, 160] } else { [200, 128, 128] };
                for (p, want) in want.into_iter().enumerate() {
                    let rows = size.1.div_ceil(if p == 0 { 1 } else { 2 });
                    for y in 0..rows {
                        let sound = view.row(p, y).iter().all(|b| b.abs_diff(want) <= 2);
                        assert!(sound, "{subsampling:?} {size:?} {p} {y}: {:?}", view.row(p, y));
                    }
                }
            }
        }
        assert_eq!(decoder.damaged(), 0);
    }

    #[test]
    fn missing_huffman_tables_and_truncation_are_survived() {
        let frame = test_frames(1, 320, 180).remove(0);
        let mut encoder = crate::encode::jpeg::Jpeg::new(80).unwrap();
        let mut unit = CodedUnit::default();
        encoder.encode(&frame, true, &mut unit).unwrap();
        let mut bare = Vec::new();
        let mut at = 2;
        bare.extend_from_slice(&unit.bytes[..2]);
        while unit.bytes[at + 1] != 0xda {
            let length =
                2 + usize::from(unit.bytes[at + 2]) * 256 + usize::from(unit.bytes[at + 3]);
            if unit.bytes[at + 1] != 0xc4 {
                bare.extend_from_slice(&unit.bytes[at..at + length]);
            }
            at += length;
        }
        bare.extend_from_slice(&unit.bytes[at..]);
        assert!(bare.len() + 400 < unit.bytes.len(), "the tables are gone");
        let mut decoder = JpegDecoder::default();
        let whole = decoder.decode(&unit.bytes).unwrap().row(0, 100).to_vec();
        let mut marks = || {
            let view = decoder.decode(&bare).unwrap();
            assert_eq!(view.row(0, 100), whole);
            read_marks(view.planes()[0], view.strides()[0], view.width(), view.height())
        };
        assert_eq!(marks().map(|m| m.capture), Some(frame.capture.mono));
        for cut in [bare.len() / 2, bare.len() - 40] {
            assert!(decoder.decode(&bare[..cut]).is_ok());
        }
        assert_eq!(decoder.damaged(), 2);
        for cut in 0..200 {
            let _ = decoder.decode(&bare[..cut]);
        }
    }

    #[test]
    fn h264_begins_at_a_key_frame_and_gives_every_picture_at_once() {
        let rate = Rate { bitrate: 400_000, fps: 30.0, gop: 8 };
        let mut encoder = OpenH264::new(rate, Tuning::default()).unwrap();
        let mut decoder = H264Decoder::default();
        let mut unit = CodedUnit::default();
        for (n, frame) in test_frames(20, 640, 360).iter().enumerate() {
            encoder.encode(frame, false, &mut unit).unwrap();
            if n == 0 {
                continue;
            }
            let view = decoder.decode(&unit.bytes, unit.key).unwrap();
            assert_eq!(view.is_some(), n >= 8, "{n}");
            if let Some(view) = view {
                let (width, height) = (view.width(), view.height());
                assert_eq!((width, height), (640, 360));
                let marks = read_marks(view.planes()[0], view.strides()[0], width, height);
                assert_eq!(marks.map(|m| m.capture), Some(frame.capture.mono), "{n}");
            }
        }
        assert_eq!(decoder.damaged(), 0);
    }

    #[test]
    fn damage_is_counted_and_survived() {
        let rate = Rate { bitrate: 400_000, fps: 30.0, gop: 5 };
        let mut encoder = OpenH264::new(rate, Tuning::default()).unwrap();
        let mut decoder = H264Decoder::default();
        let mut unit = CodedUnit::default();
        let mut shown = 0;
        for (n, frame) in test_frames(15, 320, 180).iter().enumerate() {
            encoder.encode(frame, false, &mut unit).unwrap();
            if n % 5 == 2 {
                continue; // Lost: the ones behind it refer to it.
            }
            if n % 5 == 3 {
                let half = unit.bytes.len() / 2;
                unit.bytes.truncate(half);
            }
            shown += usize::from(matches!(decoder.decode(&unit.bytes, unit.key), Ok(Some(_))));
        }
        assert!(decoder.damaged() > 0);
        assert!(shown >= 6, "{shown}");
        assert!(decoder.decode(&[], true).is_err());
        let _ = decoder.decode(&[0, 0, 0, 1, 0x67, 1, 2, 3], true);
        decoder.restart();
        assert!(decoder.decode(&unit.bytes, false).unwrap().is_none());
    }
}
