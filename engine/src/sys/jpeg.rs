//! TurboJPEG's C interface with every length checked (`turbojpeg.h`).
//!
//! `tj3DecompressToYUVPlanes8` writes as many samples as the JPEG's own subsampling says, not as
//! the caller's buffers hold: so planes are measured against the header of the very same bytes
//! before each call.

use std::ffi::CStr;
use std::os::raw::{c_int, c_uchar, c_void};
use std::ptr::{NonNull, null_mut};
use turbojpeg::raw as tj;

/// How many samples chroma has for each of luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// As many.
    S444,
    /// Half as many columns.
    S422,
    /// Half as many columns and rows.
    S420,
    /// No chroma.
    Grey,
    /// Half as many rows.
    S440,
    /// A quarter of the columns.
    S411,
    /// A quarter of the rows.
    S441,
}

impl Subsampling {
    const ALL: [(Self, tj::TJSAMP); 7] = [
        (Self::S444, tj::TJSAMP_TJSAMP_444),
        (Self::S422, tj::TJSAMP_TJSAMP_422),
        (Self::S420, tj::TJSAMP_TJSAMP_420),
        (Self::Grey, tj::TJSAMP_TJSAMP_GRAY),
        (Self::S440, tj::TJSAMP_TJSAMP_440),
        (Self::S411, tj::TJSAMP_TJSAMP_411),
        (Self::S441, tj::TJSAMP_TJSAMP_441),
    ];

    fn to_raw(self) -> tj::TJSAMP {
        Self::ALL
            .iter()
            .find(|(s, _)| *s == self)
            .map_or(tj::TJSAMP_TJSAMP_UNKNOWN, |(_, raw)| *raw)
    }

    fn from_raw(raw: c_int) -> Option<Self> {
        Self::ALL.iter().find(|(_, r)| *r == raw).map(|(s, _)| *s)
    }

    /// Number of planes.
    pub fn planes(self) -> usize {
        if self == Self::Grey { 1 } else { 3 }
    }

    /// Columns and rows of a plane (`tj3YUVPlaneWidth`, `tj3YUVPlaneHeight`): luma is rounded up
    /// to whole chroma samples. (0, 0) if there is no such plane.
    pub fn plane_size(self, plane: usize, width: usize, height: usize) -> (usize, usize) {
        let (Ok(plane), Ok(width), Ok(height)) =
            (c_int::try_from(plane), c_int::try_from(width), c_int::try_from(height))
        else {
            return (0, 0);
        };
        // SAFETY: arithmetic on numbers.
        let columns = unsafe { tj::tj3YUVPlaneWidth(plane, width, self.to_raw()) };
        // SAFETY: arithmetic on numbers.
        let rows = unsafe { tj::tj3YUVPlaneHeight(plane, height, self.to_raw()) };
        (usize::try_from(columns).unwrap_or(0), usize::try_from(rows).unwrap_or(0))
    }

    /// Bytes that a plane spans at `stride` bytes a row; `None` if the stride is too small.
    fn plane_bytes(self, plane: usize, size: (usize, usize), stride: usize) -> Option<usize> {
        let (columns, rows) = self.plane_size(plane, size.0, size.1);
        if columns == 0 || rows == 0 || stride < columns {
            return None;
        }
        (rows - 1).checked_mul(stride)?.checked_add(columns)
    }
}

/// Largest width and height of a picture.
pub const MAX_SIDE: usize = 8192;

/// A `tjhandle`.
struct Handle(NonNull<c_void>);

// SAFETY: a handle has no ties to its thread; `&mut self` keeps calls apart.
unsafe impl Send for Handle {}

impl Handle {
    /// `tj3Init`.
    fn new(kind: tj::TJINIT) -> Result<Self, String> {
        // SAFETY: takes a number, returns null or a handle that is ours.
        let raw = unsafe { tj::tj3Init(kind as c_int) };
        NonNull::new(raw).map(Self).ok_or_else(|| "TurboJPEG gives no handle".into())
    }

    /// `tj3Set`.
    fn set(&mut self, parameter: tj::TJPARAM, value: c_int) -> Result<(), String> {
        // SAFETY: the handle is alive; parameters are checked by the library.
        let code = unsafe { tj::tj3Set(self.0.as_ptr(), parameter as c_int, value) };
        if code == 0 { Ok(()) } else { Err(self.error()) }
    }

    /// `tj3Get`.
    fn get(&self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: the handle is alive; parameters are checked by the library.
        unsafe { tj::tj3Get(self.0.as_ptr(), parameter as c_int) }
    }

    /// `tj3GetErrorStr`.
    fn error(&self) -> String {
        // SAFETY: the handle is alive; the text ends with a zero and stays until the next call.
        let text = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(self.0.as_ptr())) };
        text.to_string_lossy().into_owned()
    }

    /// `tj3GetErrorCode`: whether the picture is there in spite of the error.
    fn is_warning(&self) -> bool {
        // SAFETY: the handle is alive.
        let code = unsafe { tj::tj3GetErrorCode(self.0.as_ptr()) };
        code == tj::TJERR_TJERR_WARNING as c_int
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe { tj::tj3Destroy(self.0.as_ptr()) };
    }
}

/// Makes baseline JPEGs with the standard Huffman tables (which RFC 2435 requires).
pub struct Compressor(Handle);

impl Compressor {
    /// `tj3Init`.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<Self, String> {
        let mut handle = Handle::new(tj::TJINIT_TJINIT_COMPRESS)?;
        handle.set(tj::TJPARAM_TJPARAM_NOREALLOC, 1)?;
        Ok(Self(handle))
    }

    /// `tj3CompressFromYUVPlanes8`: from planes (full range, as JFIF has it) with their strides,
    /// as many as `subsampling` has. `out` is replaced.
    ///
    /// # Errors
    /// When a plane is too short or the quality is not 1 to 100.
    pub fn compress_planes(
        &mut self,
        planes: &[(&[u8], usize)],
        size: (usize, usize),
        subsampling: Subsampling,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        check_size(size)?;
        let mut pointers = [std::ptr::null::<c_uchar>(); 3];
        let mut strides: [c_int; 3] = [0; 3];
        if planes.len() != subsampling.planes() {
            return Err(format!("{subsampling:?} has not {} planes", planes.len()));
        }
        for (i, &(plane, stride)) in planes.iter().enumerate() {
            let needed = subsampling.plane_bytes(i, size, stride);
            if needed.is_none_or(|n| n > plane.len()) {
                return Err(format!("plane {i} of {size:?} is too short: {}", plane.len()));
            }
            pointers[i] = plane.as_ptr();
            strides[i] = c_int::try_from(stride).map_err(|e| e.to_string())?;
        }
        let [width, height] = self.prepare(size, subsampling, quality, out)?;
        let (mut to, mut length) = (out.as_mut_ptr(), out.capacity() as tj::size_t);
        let (handle, pointers, strides) = (self.0.0.as_ptr(), pointers.as_ptr(), strides.as_ptr());
        // SAFETY: the planes were measured; `to` has `length` bytes, at least `tj3JPEGBufSize`,
        // and is not moved because of NOREALLOC.
        let code = unsafe {
            tj::tj3CompressFromYUVPlanes8(
                handle,
                pointers,
                width,
                strides,
                height,
                &raw mut to,
                &raw mut length,
            )
        };
        self.finish(code, length, out)
    }

    /// `tj3Compress8`: from RGB or (`bgr`) BGR pixels of three bytes, to 4:2:0. `out` is replaced.
    ///
    /// # Errors
    /// When the pixels are too few or the quality is not 1 to 100.
    pub fn compress_rgb(
        &mut self,
        pixels: &[u8],
        stride: usize,
        size: (usize, usize),
        bgr: bool,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        check_size(size)?;
        let row = size.0 * 3;
        let needed = (size.1 - 1).checked_mul(stride).and_then(|n| n.checked_add(row));
        if stride < row || needed.is_none_or(|n| n > pixels.len()) {
            return Err(format!("{size:?} pixels do not fit {} bytes", pixels.len()));
        }
        let pitch = c_int::try_from(stride).map_err(|e| e.to_string())?;
        let format = if bgr { tj::TJPF_TJPF_BGR } else { tj::TJPF_TJPF_RGB };
        let [width, height] = self.prepare(size, Subsampling::S420, quality, out)?;
        let (mut to, mut length) = (out.as_mut_ptr(), out.capacity() as tj::size_t);
        let (handle, pixels) = (self.0.0.as_ptr(), pixels.as_ptr());
        // SAFETY: the pixels were measured; `to` has `length` bytes, at least `tj3JPEGBufSize`,
        // and is not moved because of NOREALLOC.
        let code = unsafe {
            tj::tj3Compress8(
                handle,
                pixels,
                width,
                pitch,
                height,
                format,
                &raw mut to,
                &raw mut length,
            )
        };
        self.finish(code, length, out)
    }

    /// Sets the parameters and makes room (`tj3JPEGBufSize`).
    fn prepare(
        &mut self,
        (width, height): (usize, usize),
        subsampling: Subsampling,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<[c_int; 2], String> {
        self.0.set(tj::TJPARAM_TJPARAM_SUBSAMP, subsampling.to_raw())?;
        self.0.set(tj::TJPARAM_TJPARAM_QUALITY, quality.into())?;
        let size = [width as c_int, height as c_int];
        // SAFETY: arithmetic on numbers.
        let room = unsafe { tj::tj3JPEGBufSize(size[0], size[1], subsampling.to_raw()) };
        if room == 0 {
            return Err(self.0.error());
        }
        out.clear();
        out.reserve(usize::try_from(room).map_err(|e| e.to_string())?);
        Ok(size)
    }

    fn finish(&self, code: c_int, length: tj::size_t, out: &mut Vec<u8>) -> Result<(), String> {
        if code != 0 {
            return Err(self.0.error());
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        assert!(length <= out.capacity(), "TurboJPEG wrote past its buffer");
        // SAFETY: the library wrote the first `length` bytes.
        unsafe { out.set_len(length) };
        Ok(())
    }
}

fn check_size((width, height): (usize, usize)) -> Result<(), String> {
    let sound = |n: usize| (1..=MAX_SIDE).contains(&n);
    if sound(width) && sound(height) {
        return Ok(());
    }
    Err(format!("a picture of {width}x{height} pixels; sides may be 1 to {MAX_SIDE}"))
}

/// What a JPEG's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Its chroma.
    pub subsampling: Subsampling,
}

/// Reads JPEGs.
pub struct Decompressor(Handle);

impl Decompressor {
    /// `tj3Init`.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<Self, String> {
        let mut handle = Handle::new(tj::TJINIT_TJINIT_DECOMPRESS)?;
        // A progressive JPEG of few bytes may have thousands of scans, each a whole pass.
        handle.set(tj::TJPARAM_TJPARAM_SCANLIMIT, 64)?;
        Ok(Self(handle))
    }

    /// `tj3DecompressHeader`.
    ///
    /// # Errors
    /// When it is no JPEG, or one that a camera does not make: lossless, 12 bits, CMYK, RGB, a
    /// chroma that has no name, more than 8192 pixels wide or high.
    pub fn header(&mut self, jpeg: &[u8]) -> Result<Header, String> {
        let (handle, from, length) = (self.0.0.as_ptr(), jpeg.as_ptr(), jpeg.len() as tj::size_t);
        // SAFETY: `from` has `length` bytes.
        let code = unsafe { tj::tj3DecompressHeader(handle, from, length) };
        if code != 0 && !self.0.is_warning() {
            return Err(self.0.error());
        }
        let side = |p| usize::try_from(self.0.get(p)).unwrap_or(0);
        let width = side(tj::TJPARAM_TJPARAM_JPEGWIDTH);
        let height = side(tj::TJPARAM_TJPARAM_JPEGHEIGHT);
        check_size((width, height)).map_err(|why| format!("JPEG header: {why}"))?;
        let subsampling = Subsampling::from_raw(self.0.get(tj::TJPARAM_TJPARAM_SUBSAMP))
            .ok_or("JPEG header: chroma of a size that has no name")?;
        let colours = self.0.get(tj::TJPARAM_TJPARAM_COLORSPACE);
        if ![tj::TJCS_TJCS_YCbCr as c_int, tj::TJCS_TJCS_GRAY as c_int].contains(&colours) {
            return Err("JPEG header: colours other than YCbCr and grey".into());
        }
        if self.0.get(tj::TJPARAM_TJPARAM_LOSSLESS) != 0
            || self.0.get(tj::TJPARAM_TJPARAM_PRECISION) != 8
        {
            return Err("JPEG header: lossless, or other than 8 bits a sample".into());
        }
        Ok(Header { width, height, subsampling })
    }

    /// `tj3DecompressToYUVPlanes8` into planes with their strides, as many as the JPEG has, each
    /// as large as [`Subsampling::plane_size`] says. The header is read again and compared.
    ///
    /// Returns whether the picture is undamaged: a truncated one is grey from some row on.
    ///
    /// # Errors
    /// When a plane is too short, the header is another one, or nothing could be decoded.
    pub fn decompress(
        &mut self,
        jpeg: &[u8],
        header: &Header,
        planes: &mut [(&mut [u8], usize)],
    ) -> Result<bool, String> {
        // What is written depends on the bytes alone: so do the checks.
        if self.header(jpeg)? != *header || planes.len() != header.subsampling.planes() {
            return Err("the JPEG is not the one whose header was read".into());
        }
        let mut pointers = [null_mut::<c_uchar>(); 3];
        let mut strides: [c_int; 3] = [0; 3];
        for (i, (plane, stride)) in planes.iter_mut().enumerate() {
            let size = (header.width, header.height);
            let needed = header.subsampling.plane_bytes(i, size, *stride);
            if needed.is_none_or(|n| n > plane.len()) {
                return Err(format!("plane {i} for {header:?} is too short: {}", plane.len()));
            }
            pointers[i] = plane.as_mut_ptr();
            strides[i] = c_int::try_from(*stride).map_err(|e| e.to_string())?;
        }
        let (handle, from, length) = (self.0.0.as_ptr(), jpeg.as_ptr(), jpeg.len() as tj::size_t);
        let (pointers, strides) = (pointers.as_mut_ptr(), strides.as_mut_ptr());
        // SAFETY: `from` has `length` bytes; the planes were measured against their header.
        let code =
            unsafe { tj::tj3DecompressToYUVPlanes8(handle, from, length, pointers, strides) };
        match code {
            0 => Ok(true),
            _ if self.0.is_warning() => Ok(false),
            _ => Err(self.0.error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_measured_by_the_jpegs_own_subsampling() {
        let mut compressor = Compressor::new().unwrap();
        let plane = vec![90; 32 * 32];
        let mut jpeg = Vec::new();
        let planes = [(&plane[..], 32), (&plane[..], 32), (&plane[..], 32)];
        compressor.compress_planes(&planes, (32, 32), Subsampling::S444, 80, &mut jpeg).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        let header = decompressor.header(&jpeg).unwrap();
        assert_eq!(header, Header { width: 32, height: 32, subsampling: Subsampling::S444 });
        // Buffers of 4:2:0, the case that overflows when nobody checks.
        let (mut y, mut u, mut v) = (vec![0; 1024], vec![0; 256], vec![0; 256]);
        let mut planes = [(&mut y[..], 32), (&mut u[..], 16), (&mut v[..], 16)];
        assert!(decompressor.decompress(&jpeg, &header, &mut planes).is_err());
        let lie = Header { subsampling: Subsampling::S420, ..header };
        assert!(decompressor.decompress(&jpeg, &lie, &mut planes).is_err());
    }

    #[test]
    fn short_planes_and_wrong_numbers_are_refused() {
        let mut compressor = Compressor::new().unwrap();
        let plane = vec![90; 33 * 33];
        let mut out = Vec::new();
        // 33 wide at 4:2:0: luma is read 34 wide.
        let planes = [(&plane[..], 33), (&plane[..], 17), (&plane[..], 17)];
        let s420 = Subsampling::S420;
        assert!(compressor.compress_planes(&planes, (33, 33), s420, 80, &mut out).is_err());
        assert!(compressor.compress_planes(&planes[..1], (32, 32), s420, 80, &mut out).is_err());
        assert!(compressor.compress_planes(&planes, (32, 32), s420, 0, &mut out).is_err());
        assert!(compressor.compress_planes(&planes, (32, 32), s420, 101, &mut out).is_err());
        assert!(compressor.compress_planes(&planes, (32, 32), s420, 100, &mut out).is_ok());
        assert!(compressor.compress_planes(&planes, (0, 32), s420, 80, &mut out).is_err());
        assert!(compressor.compress_rgb(&plane, 99, (33, 33), false, 80, &mut out).is_err());
        assert!(compressor.compress_rgb(&plane, 99, (33, 11), true, 80, &mut out).is_ok());
    }

    #[test]
    fn what_is_no_jpeg_is_refused() {
        let mut decompressor = Decompressor::new().unwrap();
        for bytes in [&b""[..], b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"RIFF....WEBP"] {
            assert!(decompressor.header(bytes).is_err(), "{bytes:?}");
        }
    }
}
