//! openh264's C interface with every length checked (`codec_api.h`, `codec_app_def.h`).

use openh264_sys2 as h264;
use openh264_sys2::source::APILoader;
use std::os::raw::{c_int, c_void};
use std::ptr::{NonNull, null_mut};

/// Ties the build to the SIMD code: if `libopenh264_common` was built while nasm was missing,
/// linking fails here instead of encoding at a third of the speed. Remedy: install nasm and run
/// `cargo clean -p openh264-sys2`.
#[cfg(openh264_simd)]
mod simd {
    unsafe extern "C" {
        fn WelsSampleSad16x16_sse2();
    }

    #[used]
    static OPENH264_WAS_BUILT_WITH_NASM: unsafe extern "C" fn() = WelsSampleSad16x16_sse2;
}

/// How a picture is cut into slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slices {
    /// One slice a picture.
    One,
    /// This many of equal area, for as many threads; 2 to 35.
    Count(u32),
    /// As many as needed to keep every NAL unit within this many bytes, from 500.
    MaxBytes(u32),
}

/// `profile_idc`, as far as the library has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are their names")]
pub enum Profile {
    Baseline,
    Main,
    High,
}

/// What an encoder is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Width in pixels; even, from 16.
    pub width: usize,
    /// Height in pixels; even, from 16.
    pub height: usize,
    /// Target in bits per second.
    pub bitrate: u32,
    /// Pictures per second.
    pub fps: f64,
    /// Pictures from one IDR picture to the next.
    pub gop: u32,
    /// Tools.
    pub profile: Profile,
    /// Whether the quality is kept rather than the bit rate.
    pub variable: bool,
    /// Least and largest quantizer, 0 to 51.
    pub qp: (u8, u8),
    /// `colour_primaries`, `transfer_characteristics`, `matrix_coefficients` (H.264 E.2.1), and
    /// whether samples are of full range.
    pub colour: ([u8; 3], bool),
    /// Threads; more than one needs [`Slices::Count`].
    pub threads: u16,
    /// Slices.
    pub slices: Slices,
    /// Whether the rate control may leave pictures out.
    pub skip: bool,
    /// Whether the pictures are of a screen rather than of a camera.
    pub screen: bool,
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coded {
    /// An IDR picture, with parameter sets.
    Key,
    /// A picture that refers to earlier ones.
    Delta,
    /// The rate control left it out.
    Skipped,
}

/// Rates that openh264 knows, in pictures per second; it clips all others.
const FPS_RANGE: (f64, f64) = (1.0, 60.0);

/// An encoder.
pub struct Encoder {
    raw: NonNull<h264::ISVCEncoder>,
    info: Box<h264::SFrameBSInfo>,
    settings: Settings,
}

// SAFETY: the encoder has no ties to the thread that made it; `&mut self` keeps calls apart.
unsafe impl Send for Encoder {}

macro_rules! call {
    ($self:expr, $method:ident $(, $arg:expr)*) => {{
        let raw = $self.raw.as_ptr();
        // SAFETY: `raw` came from the library's constructor and lives until our drop; its first
        // word points to a table of functions that the library fills completely. The arguments
        // are valid as the calling function says.
        unsafe { ((**raw).$method.expect("openh264 fills its table of functions"))(raw $(, $arg)*) }
    }};
}

impl Encoder {
    /// `WelsCreateSVCEncoder`, `InitializeExt`.
    ///
    /// # Errors
    /// When the size or another setting is out of openh264's range, or memory is short.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let Settings { width, height, .. } = settings;
        let sound = |n: usize| (16..=8192).contains(&n) && n.is_multiple_of(2);
        if !sound(width) || !sound(height) {
            return Err(format!(
                "openh264 cannot encode {width}x{height}: sides must be even, from 16 to 8192"
            ));
        }
        let mut raw = null_mut();
        // SAFETY: `raw` is where the constructor puts its result.
        let code = unsafe { APILoader::WelsCreateSVCEncoder(&raw mut raw) };
        let raw = NonNull::new(raw).filter(|_| code == 0).ok_or("openh264 gives no encoder")?;
        let encoder = Self { raw, info: Box::default(), settings };
        // Its complaints would go to stderr; what matters is in the return codes.
        let mut level: c_int = h264::WELS_LOG_QUIET;
        encoder.set_option(h264::ENCODER_OPTION_TRACE_LEVEL, &mut level, "log level")?;
        let params = encoder.params()?;
        // `params` is read during the call only.
        let code = call!(encoder, InitializeExt, &raw const params);
        if code != 0 {
            return Err(format!("openh264 refuses {settings:?} (code {code})"));
        }
        // NV12 and others are converted before; the library takes I420 alone.
        let mut format: c_int = h264::videoFormatI420;
        encoder.set_option(h264::ENCODER_OPTION_DATAFORMAT, &mut format, "I420 input")?;
        Ok(encoder)
    }

    /// `GetDefaultParams`, then ours.
    fn params(&self) -> Result<h264::SEncParamExt, String> {
        let s = &self.settings;
        let mut p = h264::SEncParamExt::default();
        // `p` is written during the call only.
        if call!(self, GetDefaultParams, &raw mut p) != 0 {
            return Err("openh264 gives no default parameters".into());
        }
        let too_large = |_| format!("openh264 cannot use {s:?}");
        let fps = s.fps.clamp(FPS_RANGE.0, FPS_RANGE.1) as f32;
        let bitrate = scaled_bitrate(s.bitrate, s.fps);
        p.iUsageType =
            if s.screen { h264::SCREEN_CONTENT_REAL_TIME } else { h264::CAMERA_VIDEO_REAL_TIME };
        p.iPicWidth = c_int::try_from(s.width).map_err(too_large)?;
        p.iPicHeight = c_int::try_from(s.height).map_err(too_large)?;
        p.iTargetBitrate = bitrate;
        p.iRCMode = if s.variable { h264::RC_QUALITY_MODE } else { h264::RC_BITRATE_MODE };
        if s.qp != (0, 51) {
            // 0 would stand for its own bounds of both; below 12 it does not go.
            (p.iMinQp, p.iMaxQp) = (s.qp.0.clamp(1, 51).into(), s.qp.1.clamp(1, 51).into());
        }
        p.fMaxFrameRate = fps;
        p.iTemporalLayerNum = 1;
        p.iSpatialLayerNum = 1;
        p.iComplexityMode = h264::LOW_COMPLEXITY;
        p.uiIntraPeriod = s.gop;
        // One number for all parameter sets, so that those in SDP and files stay right.
        p.eSpsPpsIdStrategy = h264::CONSTANT_ID;
        // CABAC, which baseline lacks.
        p.iEntropyCodingModeFlag = c_int::from(s.profile != Profile::Baseline);
        p.bEnableFrameSkip = s.skip;
        p.iMultipleThreadIdc = s.threads.max(1);
        p.bUseLoadBalancing = false;
        // Key frames come when asked for: readers count on the interval.
        p.bEnableSceneChangeDetect = false;
        let layer = &mut p.sSpatialLayers[0];
        layer.iVideoWidth = p.iPicWidth;
        layer.iVideoHeight = p.iPicHeight;
        layer.fFrameRate = fps;
        layer.iSpatialBitrate = bitrate;
        layer.uiProfileIdc = match s.profile {
            Profile::Baseline => h264::PRO_BASELINE,
            Profile::Main => h264::PRO_MAIN,
            Profile::High => h264::PRO_HIGH,
        };
        layer.bVideoSignalTypePresent = true;
        // "Unspecified video format": 0 to 4 are of analogue television.
        layer.uiVideoFormat = 5;
        let ([primaries, transfer, matrix], full_range) = s.colour;
        layer.bFullRange = full_range;
        layer.bColorDescriptionPresent = true;
        layer.uiColorPrimaries = primaries;
        layer.uiTransferCharacteristics = transfer;
        layer.uiColorMatrix = matrix;
        match s.slices {
            Slices::One => layer.sSliceArgument.uiSliceMode = h264::SM_SINGLE_SLICE,
            Slices::Count(n) => {
                layer.sSliceArgument.uiSliceMode = h264::SM_FIXEDSLCNUM_SLICE;
                layer.sSliceArgument.uiSliceNum = n.clamp(2, 35);
            }
            Slices::MaxBytes(n) => {
                layer.sSliceArgument.uiSliceMode = h264::SM_SIZELIMITED_SLICE;
                layer.sSliceArgument.uiSliceSizeConstraint = n.max(500);
                p.uiMaxNalSize = n.max(500);
            }
        }
        Ok(p)
    }

    /// What it was made with, and the rates set since.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `SetOption`.
    fn set_option<T>(
        &self,
        id: h264::ENCODER_OPTION,
        value: &mut T,
        what: &str,
    ) -> Result<(), String> {
        let value: *mut c_void = (&raw mut *value).cast();
        // `value` is of the type that the option's number asks for: every caller is in this file.
        match call!(self, SetOption, id, value) {
            0 => Ok(()),
            code => Err(format!("openh264 refuses the {what} (code {code})")),
        }
    }

    /// `ENCODER_OPTION_BITRATE`, `ENCODER_OPTION_FRAME_RATE`, `ENCODER_OPTION_IDR_INTERVAL`: new
    /// rates from the next picture on, without a key frame.
    ///
    /// # Errors
    /// When the library refuses; then some of them may have changed.
    pub fn set_rate(&mut self, bitrate: u32, fps: f64, gop: u32) -> Result<(), String> {
        let mut rate = fps.clamp(FPS_RANGE.0, FPS_RANGE.1) as f32;
        self.set_option(h264::ENCODER_OPTION_FRAME_RATE, &mut rate, "frame rate")?;
        let mut bits = h264::SBitrateInfo {
            iLayer: h264::SPATIAL_LAYER_ALL,
            iBitrate: scaled_bitrate(bitrate, fps),
        };
        self.set_option(h264::ENCODER_OPTION_BITRATE, &mut bits, "bit rate")?;
        let mut interval = c_int::try_from(gop).unwrap_or(c_int::MAX);
        self.set_option(h264::ENCODER_OPTION_IDR_INTERVAL, &mut interval, "key frame interval")?;
        (self.settings.bitrate, self.settings.fps, self.settings.gop) = (bitrate, fps, gop);
        Ok(())
    }

    /// `ForceIntraFrame`, `EncodeFrame`: encodes the I420 picture whose planes and strides (bytes)
    /// are given and hands out its NAL units in order, each with its start code.
    ///
    /// # Errors
    /// When a plane is too short for the size, or the library fails.
    pub fn encode(
        &mut self,
        planes: [&[u8]; 3],
        strides: [usize; 3],
        time_ms: u64,
        key: bool,
        each_nal: &mut dyn FnMut(&[u8]),
    ) -> Result<Coded, String> {
        let picture = self.picture(planes, strides, time_ms)?;
        if key {
            let code = call!(self, ForceIntraFrame, true);
            if code != 0 {
                return Err(format!("openh264 refuses a key frame (code {code})"));
            }
        }
        // `picture` says where the planes are, whose lengths were checked, and is read during the
        // call only; `info` is written with pointers into buffers of the encoder, which stay
        // until the next call.
        let info: *mut h264::SFrameBSInfo = &raw mut *self.info;
        let code = call!(self, EncodeFrame, &raw const picture, info);
        if code != 0 {
            return Err(format!("openh264 failed to encode a picture (code {code})"));
        }
        let layers = usize::try_from(self.info.iLayerNum).unwrap_or(0);
        for layer in self.info.sLayerInfo.iter().take(layers) {
            hand_out(layer, each_nal)?;
        }
        Ok(match self.info.eFrameType {
            h264::videoFrameTypeIDR => Coded::Key,
            h264::videoFrameTypeSkip | h264::videoFrameTypeInvalid => Coded::Skipped,
            _ => Coded::Delta,
        })
    }

    fn picture(
        &self,
        planes: [&[u8]; 3],
        strides: [usize; 3],
        time_ms: u64,
    ) -> Result<h264::SSourcePicture, String> {
        let Settings { width, height, .. } = self.settings;
        let mut picture = h264::SSourcePicture {
            iColorFormat: h264::videoFormatI420,
            iPicWidth: c_int::try_from(width).unwrap_or(0),
            iPicHeight: c_int::try_from(height).unwrap_or(0),
            uiTimeStamp: time_ms.cast_signed(),
            ..h264::SSourcePicture::default()
        };
        for (i, (plane, stride)) in planes.into_iter().zip(strides).enumerate() {
            let (row, rows) = if i == 0 { (width, height) } else { (width / 2, height / 2) };
            let needed = stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row));
            if stride < row || needed.is_none_or(|n| n > plane.len()) {
                return Err(format!(
                    "plane {i} of a {width}x{height} picture has {} bytes at {stride} a row",
                    plane.len()
                ));
            }
            picture.iStride[i] = c_int::try_from(stride).map_err(|e| e.to_string())?;
            // The library only reads from its source picture.
            picture.pData[i] = plane.as_ptr().cast_mut();
        }
        Ok(picture)
    }
}

/// Passes on the NAL units of a layer.
fn hand_out(layer: &h264::SLayerBSInfo, each_nal: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let count = usize::try_from(layer.iNalCount).unwrap_or(0);
    if count == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
        return Ok(());
    }
    // SAFETY: the library says that there are `iNalCount` lengths, valid until the next call.
    let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, count) };
    let total =
        lengths.iter().try_fold(0usize, |sum, &n| sum.checked_add(usize::try_from(n).ok()?));
    let total = total.ok_or("openh264 gives a negative length")?;
    // SAFETY: the NAL units of a layer lie one behind the other from `pBsBuf` on, in a buffer of
    // the library that is valid until the next call.
    let mut bytes = unsafe { std::slice::from_raw_parts(layer.pBsBuf, total) };
    for &length in lengths {
        let (nal, rest) = bytes.split_at(usize::try_from(length).unwrap_or(0));
        each_nal(nal);
        bytes = rest;
    }
    Ok(())
}

impl Drop for Encoder {
    fn drop(&mut self) {
        call!(self, Uninitialize);
        // SAFETY: made by `WelsCreateSVCEncoder`, destroyed once.
        unsafe { APILoader::WelsDestroySVCEncoder(self.raw.as_ptr()) };
    }
}

/// The bit rate to ask for so that a picture gets its share at a rate that openh264 clips.
fn scaled_bitrate(bitrate: u32, fps: f64) -> c_int {
    let scaled = f64::from(bitrate) * fps.clamp(FPS_RANGE.0, FPS_RANGE.1) / fps.max(0.001);
    // `as` saturates.
    (scaled as c_int).max(1000)
}

/// A decoded picture in the decoder's own memory, valid until its next call.
pub struct Decoded<'a> {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Y, U and V.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next, of each plane.
    pub strides: [usize; 3],
    /// The time that was given with the unit that it was in.
    pub time: u64,
}

/// A decoder.
pub struct Decoder {
    raw: NonNull<h264::ISVCDecoder>,
}

// SAFETY: the decoder has no ties to the thread that made it; `&mut self` keeps calls apart.
unsafe impl Send for Decoder {}

impl Decoder {
    /// `WelsCreateDecoder`, `Initialize`: with concealment by what the picture before showed.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> Result<Self, String> {
        let mut raw = null_mut();
        // SAFETY: `raw` is where the constructor puts its result.
        let code = unsafe { APILoader::WelsCreateDecoder(&raw mut raw) };
        let raw = NonNull::new(raw).filter(|_| code == 0).ok_or("openh264 gives no decoder")?;
        let decoder = Self { raw };
        let mut level: c_int = h264::WELS_LOG_QUIET;
        let level: *mut c_void = (&raw mut level).cast();
        // The option takes an int.
        call!(decoder, SetOption, h264::DECODER_OPTION_TRACE_LEVEL, level);
        let params = h264::SDecodingParam {
            uiTargetDqLayer: u8::MAX,
            eEcActiveIdc: h264::ERROR_CON_SLICE_MV_COPY_CROSS_IDR_FREEZE_RES_CHANGE,
            sVideoProperty: h264::SVideoProperty {
                size: size_of::<h264::SVideoProperty>() as u32,
                eVideoBsType: h264::VIDEO_BITSTREAM_AVC,
            },
            ..h264::SDecodingParam::default()
        };
        // `params` is read during the call only.
        match call!(decoder, Initialize, &raw const params) {
            0 => Ok(decoder),
            code => Err(format!("openh264 refuses to decode (code {code})")),
        }
    }

    /// `DecodeFrameNoDelay`, `FlushFrame`: decodes one access unit with start codes; `time` comes
    /// back with its picture. Gives a picture, if one is due, and what the library says of damage:
    /// 0 or bits of `DECODING_STATE`.
    ///
    /// Beyond the baseline profile the library holds each picture back until it has seen that none
    /// goes before it. It is taken out at once: its own ordering gives pictures in a wrong order,
    /// or runs out of buffers, where B pictures refer to each other.
    ///
    /// # Errors
    /// When the unit is empty or above 2 GiB.
    pub fn decode(&mut self, unit: &[u8], time: u64) -> Result<(Option<Decoded<'_>>, i32), String> {
        let length = c_int::try_from(unit.len()).map_err(|e| e.to_string())?;
        if length == 0 {
            return Err("an empty access unit".into());
        }
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = h264::SBufferInfo { uiInBsTimeStamp: time, ..Default::default() };
        // `unit` has `length` bytes and is copied; `planes` and `info` are written during the call.
        let (from, to, about) = (unit.as_ptr(), planes.as_mut_ptr(), &raw mut info);
        let state = call!(self, DecodeFrameNoDelay, from, length, to, about);
        if info.iBufferStatus != 1 {
            // `planes` and `info` are written during the call.
            call!(self, FlushFrame, planes.as_mut_ptr(), &raw mut info);
        }
        if info.iBufferStatus != 1 {
            return Ok((None, state));
        }
        // SAFETY: the library has filled the union's only member.
        let layout = unsafe { info.UsrData.sSystemBuffer };
        let number = |n: c_int| usize::try_from(n).unwrap_or(0);
        let (width, height) = (number(layout.iWidth), number(layout.iHeight));
        let strides = [0, 1, 1].map(|i: usize| number(layout.iStride[i]));
        let mut slices: [&[u8]; 3] = [&[]; 3];
        for (i, slice) in slices.iter_mut().enumerate() {
            let (row, rows) =
                if i == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
            if planes[i].is_null() || row == 0 || rows == 0 || strides[i] < row {
                return Ok((None, state));
            }
            let length = strides[i] * (rows - 1) + row;
            // SAFETY: the library's picture has `rows` rows of `row` samples, a stride apart, from
            // this pointer on, and keeps them until its next call, which needs `&mut self`.
            *slice = unsafe { std::slice::from_raw_parts(planes[i], length) };
        }
        let time = info.uiOutYuvTimeStamp;
        Ok((Some(Decoded { width, height, planes: slices, strides, time }), state))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        call!(self, Uninitialize);
        // SAFETY: made by `WelsCreateDecoder`, destroyed once.
        unsafe { APILoader::WelsDestroyDecoder(self.raw.as_ptr()) };
    }
}
