//! Video encoder configurations: how streams are coded, as Media1 and Media2 write it, and what a
//! change of one means for the settings.
//!
//! A device may adapt what is asked of quality and rates without a fault (Media2 Service
//! Specification, "SetVideoEncoderConfiguration"): a rate beyond the range becomes the nearest. Size,
//! coding, profile and the distance of key frames are taken as asked or refused.

use super::call::{Answer, Call, needed, number};
use super::entities::{Camera, Encoder, Kind, camera, encoder_of, qp_min_of, small_size};
use super::multicast;
use super::profiles;
use crate::desk::Desk;
use crate::soap::{Fault, Node, Ns, Writer};
use lensd_ffi::unit::Codec;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Pictures per second that the camera takes (key `fps`).
const RATES: RangeInclusive<u32> = 5..=60;
/// Seconds between key frames (key `gop`).
const GOP_SECS: RangeInclusive<f64> = 0.1..=60.0;
/// kbit/s (keys `bitrate`, `sub-bitrate`).
const MAIN_KBITS: (u64, u64) = (100, 100_000);
const SUB_KBITS: (u64, u64) = (50, 50_000);
/// Profiles of H.264 in Media1's words, and as the setting has them.
const PROFILES: [(&str, &str); 3] = [("Baseline", "baseline"), ("Main", "main"), ("High", "high")];
/// Widths of the small stream.
const SMALL: [u32; 6] = [1920, 1280, 960, 640, 480, 320];
/// Rates that are offered by name.
const USUAL_RATES: [u32; 9] = [1, 2, 5, 10, 15, 20, 25, 30, 60];
/// How long an RTSP session lives without a sign of its client.
pub(super) const SESSION_TIMEOUT: &str = "PT60S";

/// What an encoder can be set to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    /// Whether H.264 and JPEG can be chosen; else the coding stays as it is.
    pub(super) codecs: Vec<Codec>,
    /// Largest first.
    pub(super) sizes: Vec<(u32, u32)>,
    /// Pictures per second.
    pub(super) rates: (u32, u32),
    /// kbit/s.
    pub(super) kbits: (u64, u64),
    /// Pictures between key frames.
    pub(super) gop: (u32, u32),
    /// Of H.264, as Media1 names them.
    pub(super) profiles: Vec<&'static str>,
}

/// What an encoder of a camera can be set to.
pub(super) fn options(camera: &Camera, encoder: &Encoder) -> Options {
    let own = (encoder.width, encoder.height);
    let settable = !camera.modes.is_empty();
    let mut sizes = match encoder.kind {
        Kind::Main => camera.modes.iter().map(|m| (m.width, m.height)).collect(),
        Kind::Sub => SMALL.map(|width| small_size(camera, width)).to_vec(),
        Kind::Mjpeg => Vec::new(),
    };
    if encoder.kind == Kind::Main && camera.turned {
        sizes.iter_mut().for_each(|size| *size = (size.1, size.0));
    }
    if !sizes.contains(&own) {
        sizes.push(own);
    }
    sizes.sort_by_key(|(w, h)| std::cmp::Reverse((u64::from(*w) * u64::from(*h), *w)));
    sizes.dedup();
    let fps = encoder.whole_fps();
    let most = camera.modes.iter().fold(0.0_f64, |most, m| most.max(m.fps));
    let rates = match encoder.kind {
        Kind::Main if settable => {
            let most = if most >= 1.0 { whole(most) } else { *RATES.end() };
            (*RATES.start().min(&fps), most.clamp(*RATES.start(), *RATES.end()).max(fps))
        }
        Kind::Sub => (1, whole(camera.fps).max(fps)),
        Kind::Main | Kind::Mjpeg => (fps, fps),
    };
    let codecs = match (encoder.kind, encoder.codec) {
        (Kind::Mjpeg, _) => vec![Codec::Jpeg],
        (_, Codec::H264 | Codec::Jpeg) if settable => vec![Codec::H264, Codec::Jpeg],
        (_, codec) => vec![codec],
    };
    if encoder.fixed {
        let (kbits, gop) = (kbits(encoder), encoder.gop());
        let (kbits, gop, profiles) = ((kbits, kbits), (gop, gop), vec![encoder.profile]);
        return Options { codecs, sizes, rates, kbits, gop, profiles };
    }
    let kbits = if encoder.kind == Kind::Sub { SUB_KBITS } else { MAIN_KBITS };
    let gop = |secs: f64, fps: f64| whole((secs * fps).max(1.0));
    let gop = (gop(*GOP_SECS.start(), encoder.fps), gop(*GOP_SECS.end(), encoder.fps));
    let profiles = PROFILES.map(|(name, _)| name).to_vec();
    Options { codecs, sizes, rates, kbits, gop, profiles }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "held in range")]
fn whole(number: f64) -> u32 {
    number.round().clamp(0.0, 100_000.0) as u32
}

/// A coding as Media2 names it: a media subtype (IANA).
pub(super) const fn subtype(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Jpeg => "JPEG",
    }
}

fn kbits(encoder: &Encoder) -> u64 {
    (encoder.bitrate / 1000).max(1)
}

/// `tt:VideoEncoderConfiguration` of Media1. Other codings than it knows are not to be shown there.
pub(super) fn write(
    call: &Call<'_>,
    name: &'static str,
    encoder: &Encoder,
    uses: usize,
    w: &mut Writer,
) {
    let h264 = encoder.codec == Codec::H264;
    head(name, encoder, uses, w);
    w.leaf("tt:Encoding", subtype(encoder.codec));
    size("tt:Resolution", (encoder.width, encoder.height), w);
    w.leaf("tt:Quality", encoder.quality);
    w.open("tt:RateControl").leaf("tt:FrameRateLimit", encoder.whole_fps());
    w.leaf("tt:EncodingInterval", 1).leaf("tt:BitrateLimit", kbits(encoder)).close();
    if h264 {
        w.open("tt:H264").leaf("tt:GovLength", encoder.gop());
        w.leaf("tt:H264Profile", encoder.profile).close();
    }
    multicast::write(call, Some(&encoder.path()), w);
    w.leaf("tt:SessionTimeout", SESSION_TIMEOUT).close();
}

/// `tt:VideoEncoder2Configuration` of Media2.
pub(super) fn write2(
    call: &Call<'_>,
    name: &'static str,
    encoder: &Encoder,
    uses: usize,
    w: &mut Writer,
) {
    w.open(name).attribute("token", encoder.token());
    if encoder.codec != Codec::Jpeg {
        w.attribute("GovLength", encoder.gop()).attribute("Profile", encoder.profile);
    }
    w.leaf("tt:Name", title(encoder)).leaf("tt:UseCount", uses);
    w.leaf("tt:Encoding", subtype(encoder.codec));
    size("tt:Resolution", (encoder.width, encoder.height), w);
    let constant = call.value("rate-mode") != "variable";
    w.open("tt:RateControl").attribute("ConstantBitRate", constant);
    w.leaf("tt:FrameRateLimit", encoder.whole_fps()).leaf("tt:BitrateLimit", kbits(encoder));
    w.close();
    multicast::write(call, Some(&encoder.path()), w);
    w.leaf("tt:Quality", encoder.quality).close();
}

fn title(encoder: &Encoder) -> String {
    format!("cam{} {}", encoder.camera, encoder.kind.name())
}

fn head(name: &'static str, encoder: &Encoder, uses: usize, w: &mut Writer) {
    w.open(name).attribute("token", encoder.token());
    w.leaf("tt:Name", title(encoder)).leaf("tt:UseCount", uses);
}

fn size(name: &'static str, (width, height): (u32, u32), w: &mut Writer) {
    w.open(name).leaf("tt:Width", width).leaf("tt:Height", height).close();
}

/// A range, as `tt:Min` and `tt:Max`.
pub(super) fn range<T: std::fmt::Display>(name: &'static str, (min, max): (T, T), w: &mut Writer) {
    w.open(name).leaf("tt:Min", min).leaf("tt:Max", max).close();
}

/// `tt:VideoEncoderConfigurationOptions` of Media1, of one encoder, or of all together.
pub(super) fn write_options(name: &'static str, list: &[(Options, Encoder)], w: &mut Writer) {
    w.open(name);
    range("tt:QualityRange", (1, 100), w);
    for (codec, part) in [(Codec::Jpeg, "tt:JPEG"), (Codec::H264, "tt:H264")] {
        if let Some(options) = merged(list, codec) {
            write_codec(part, codec, &options, w);
            w.close();
        }
    }
    w.open("tt:Extension");
    for (codec, part) in [(Codec::Jpeg, "tt:JPEG"), (Codec::H264, "tt:H264")] {
        if let Some(options) = merged(list, codec) {
            write_codec(part, codec, &options, w);
            range("tt:BitrateRange", options.kbits, w);
            w.close();
        }
    }
    w.close().close();
}

/// What is possible with a coding by any of these encoders.
fn merged(list: &[(Options, Encoder)], codec: Codec) -> Option<Options> {
    let mut with = list.iter().map(|(o, _)| o).filter(|o| o.codecs.contains(&codec));
    let first = with.next()?.clone();
    Some(with.fold(first, |mut all, more| {
        all.sizes.extend(more.sizes.iter().filter(|s| !all.sizes.contains(s)).collect::<Vec<_>>());
        all.rates = (all.rates.0.min(more.rates.0), all.rates.1.max(more.rates.1));
        all.kbits = (all.kbits.0.min(more.kbits.0), all.kbits.1.max(more.kbits.1));
        all.gop = (all.gop.0.min(more.gop.0), all.gop.1.max(more.gop.1));
        // In the order of the table.
        let either = |name: &&str| all.profiles.contains(name) || more.profiles.contains(name);
        all.profiles = PROFILES.map(|(name, _)| name).into_iter().filter(either).collect();
        all
    }))
}

fn write_codec(name: &'static str, codec: Codec, options: &Options, w: &mut Writer) {
    w.open(name);
    for one in &options.sizes {
        size("tt:ResolutionsAvailable", *one, w);
    }
    if codec == Codec::H264 {
        range("tt:GovLengthRange", options.gop, w);
    }
    range("tt:FrameRateRange", options.rates, w);
    range("tt:EncodingIntervalRange", (1, 1), w);
    if codec == Codec::H264 {
        for profile in &options.profiles {
            w.leaf("tt:H264ProfilesSupported", profile);
        }
    }
}

/// `tt:VideoEncoder2ConfigurationOptions` of Media2, one for each coding.
pub(super) fn write_options2(name: &'static str, list: &[(Options, Encoder)], w: &mut Writer) {
    for codec in [Codec::H264, Codec::H265, Codec::Jpeg] {
        let Some(options) = merged(list, codec) else { continue };
        let joined =
            |numbers: Vec<u32>| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let (least, most) = options.rates;
        let mut rates: Vec<u32> =
            USUAL_RATES.into_iter().filter(|r| (least..=most).contains(r)).collect();
        rates.extend([least, most]);
        rates.extend(list.iter().map(|(_, encoder)| encoder.whole_fps()));
        rates.sort_unstable_by_key(|rate| std::cmp::Reverse(*rate));
        rates.dedup();
        w.open(name);
        if codec != Codec::Jpeg {
            w.attribute("GovLengthRange", format!("{} {}", options.gop.0, options.gop.1));
            w.attribute("ProfilesSupported", options.profiles.join(" "));
            w.attribute("ConstantBitRateSupported", true);
        }
        w.attribute("FrameRatesSupported", joined(rates));
        w.leaf("tt:Encoding", subtype(codec));
        range("tt:QualityRange", (1, 100), w);
        for one in &options.sizes {
            size("tt:ResolutionsAvailable", *one, w);
        }
        range("tt:BitrateRange", options.kbits, w);
        w.close();
    }
}

/// The encoders that a request for options means: of a configuration, of a profile, or all.
pub(super) fn asked(call: &mut Call<'_>, asked: Node<'_>) -> Result<Vec<Encoder>, Fault> {
    let given = |name: &str| asked.value(name).filter(|t| !t.is_empty()).map(str::to_owned);
    let profile = given("ProfileToken").map(|token| profiles::find(call, &token)).transpose()?;
    let own = profile.as_ref().and_then(|p| p.encoder.clone());
    if let Some(token) = given("ConfigurationToken").or(own) {
        let found = encoder_of(call.desk, &token).ok_or_else(|| profiles::no_config(&token))?;
        return Ok(vec![found]);
    }
    if let Some(profile) = profile {
        return fitting(call, &profile.token);
    }
    let cameras = super::entities::cameras(call.desk);
    Ok(cameras.iter().flat_map(|c| super::entities::encoders(call.desk, c)).collect())
}

/// The encoders that a profile can have: those of the camera that it shows.
pub(super) fn fitting(call: &mut Call<'_>, profile: &str) -> Result<Vec<Encoder>, Fault> {
    let profile = profiles::find(call, profile)?;
    let shown = profiles::camera_of(call, &profile);
    let mut cameras = super::entities::cameras(call.desk);
    cameras.retain(|camera| shown.is_none_or(|id| id == camera.id));
    Ok(cameras.iter().flat_map(|c| super::entities::encoders(call.desk, c)).collect())
}

/// Encoders that a request for options means, with what they can be set to.
pub(super) fn asked_options(
    call: &mut Call<'_>,
    node: Node<'_>,
) -> Result<Vec<(Options, Encoder)>, Fault> {
    let list = asked(call, node)?;
    let with = |e: Encoder| Some((options(&camera(call.desk, e.camera)?, &e), e));
    Ok(list.into_iter().filter_map(with).collect())
}

/// `SetVideoEncoderConfiguration` of Media1 and Media2: one change of everything that is another than
/// now.
pub(super) fn set(call: &mut Call<'_>, request: Node<'_>, response: &'static str) -> Answer {
    let media2 = request.ns() == Ns::Tr2;
    let node = request.child("Configuration");
    let node = node.ok_or_else(|| Fault::invalid_args("Configuration is missing"))?;
    let token = node.attribute("token").unwrap_or_default();
    let encoder = encoder_of(call.desk, token).ok_or_else(|| profiles::no_config(token))?;
    let camera = camera(call.desk, encoder.camera).ok_or_else(|| profiles::no_config(token))?;
    let wanted = Wanted::of(node, media2)?;
    let mut changes = changes(&camera, &encoder, &wanted)?;
    call.camera = Some(camera.id);
    let (group, path) = (multicast::named(node)?, encoder.path());
    let make = move |desk: &mut Desk| {
        let groups = desk.board.value(multicast::KEY);
        changes.extend(group.and_then(|group| multicast::changed(groups, &path, group)));
        Ok((changes, ()))
    };
    call.edit(multicast::KEY, "ter:ConfigModify", make, move |(), w| _ = w.empty(response))
}

/// What a client wants of an encoder.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    codec: String,
    size: (u32, u32),
    quality: f64,
    fps: Option<f64>,
    kbits: Option<u64>,
    interval: u32,
    gop: Option<u32>,
    profile: Option<String>,
    constant: Option<bool>,
}

impl Wanted {
    fn of(node: Node<'_>, media2: bool) -> Result<Self, Fault> {
        let resolution = node.child("Resolution");
        let resolution = resolution.ok_or_else(|| Fault::invalid_args("Resolution is missing"))?;
        let side = |name| -> Result<u32, Fault> {
            number(resolution, name)?.ok_or_else(|| Fault::invalid_args("Resolution is missing"))
        };
        let rates = node.child("RateControl");
        let rate = |name| rates.map_or(Ok(None), |rates| number::<f64>(rates, name));
        let kbits = rates.map_or(Ok(None), |rates| number::<i64>(rates, "BitrateLimit"))?;
        let interval = rates.map_or(Ok(None), |rates| number(rates, "EncodingInterval"))?;
        let attribute = |name: &str| node.attribute(name).map(str::to_owned);
        let (gop, profile) = if media2 {
            (attribute("GovLength"), attribute("Profile"))
        } else {
            let h264 = node.child("H264");
            let part = |name| h264.and_then(|h| h.value(name)).map(str::to_owned);
            (part("GovLength"), part("H264Profile"))
        };
        let gop = gop.map(|gop| gop.parse::<u32>()).transpose();
        let quality = number::<f64>(node, "Quality")?.unwrap_or(50.0);
        let constant = rates.and_then(|r| r.attribute("ConstantBitRate"));
        Ok(Self {
            codec: needed(node, "Encoding")?.to_owned(),
            size: (side("Width")?, side("Height")?),
            quality: if quality.is_finite() { quality } else { 50.0 },
            fps: rate("FrameRateLimit")?.filter(|fps| fps.is_finite()),
            kbits: kbits.map(|kbits| u64::try_from(kbits).unwrap_or(0)),
            interval: interval.unwrap_or(1),
            gop: gop.map_err(|_| Fault::invalid_args("GovLength is not such a number"))?,
            profile,
            constant: constant.map(|constant| constant == "true" || constant == "1"),
        })
    }
}

/// The law of configurations: what they make of the settings is what the registry takes.
pub(super) fn fuzz(node: Node<'_>) {
    let mode = lensd_ffi::state::CameraMode { width: 1280, height: 720, fps: 30.0 };
    let camera = Camera {
        id: 1,
        name: String::new(),
        width: 640,
        height: 360,
        fps: 30.0,
        movable: false,
        modes: vec![mode],
        turned: false,
    };
    for (kind, media2) in [(Kind::Main, false), (Kind::Sub, true), (Kind::Mjpeg, false)] {
        let encoder = Encoder {
            camera: 1,
            kind,
            codec: if kind == Kind::Mjpeg { Codec::Jpeg } else { Codec::H264 },
            width: 640,
            height: 360,
            fps: 30.0,
            bitrate: 1_000_000,
            gop_secs: 1.0,
            profile: "Baseline",
            quality: 100,
            fixed: false,
        };
        let Ok(wanted) = Wanted::of(node, media2) else { continue };
        for (key, value) in changes(&camera, &encoder, &wanted).unwrap_or_default() {
            let entry = lensd_ffi::settings::find(&key);
            assert!(entry.is_some_and(|e| e.key.kind.check(&value).is_ok()), "{key}: {value}");
        }
    }
}

fn refuse(why: impl Into<String>) -> Fault {
    Fault::invalid_value("ter:ConfigModify", why.into())
}

/// The settings that become others.
fn changes(
    camera: &Camera,
    encoder: &Encoder,
    wanted: &Wanted,
) -> Result<Vec<(String, Value)>, Fault> {
    let options = options(camera, encoder);
    let mut out: Vec<(String, Value)> = Vec::new();
    let mut put = |key: &str, value: Value| out.push((key.to_owned(), value));
    let is_sub = encoder.kind == Kind::Sub;

    let codec = options.codecs.iter().copied().find(|c| subtype(*c) == wanted.codec);
    let codec = codec.ok_or_else(|| {
        let there: Vec<_> = options.codecs.iter().map(|c| subtype(*c)).collect();
        refuse(format!("Encoding must be {}, not {:?}", there.join(" or "), wanted.codec))
    })?;
    if wanted.interval != 1 {
        return Err(refuse("EncodingInterval must be 1"));
    }
    if !options.sizes.contains(&wanted.size) {
        let (width, height) = wanted.size;
        let there: Vec<_> = options.sizes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
        let why = format!("Resolution must be one of {}, not {width}x{height}", there.join(", "));
        return Err(refuse(why));
    }
    if wanted.size != (encoder.width, encoder.height) {
        if is_sub {
            put("sub-width", json!(wanted.size.0));
        } else {
            let (width, height) = wanted.size;
            let (width, height) = if camera.turned { (height, width) } else { (width, height) };
            put("resolution", json!(format!("{width}x{height}")));
        }
    }
    let fps = wanted.fps.map_or(encoder.whole_fps(), whole);
    let fps = fps.clamp(options.rates.0, options.rates.1);
    let mut real_fps = encoder.fps;
    if fps != encoder.whole_fps() {
        real_fps = f64::from(fps);
        match encoder.kind {
            // All that the camera gives.
            Kind::Sub if fps >= whole(camera.fps) => put("sub-fps", json!(0)),
            Kind::Sub => put("sub-fps", json!(fps)),
            Kind::Main => put("fps", json!(fps)),
            Kind::Mjpeg => {}
        }
    }
    if codec != encoder.codec {
        let key = if is_sub { "sub-encoding" } else { "main-encoding" };
        put(key, json!(if codec == Codec::Jpeg { "jpeg" } else { "h264" }));
    }
    // Quality and rates: the nearest that is possible, which is none for pictures that come coded.
    #[expect(clippy::cast_possible_truncation, reason = "1 to 100")]
    let quality = wanted.quality.round().clamp(1.0, 100.0) as i64;
    if !encoder.fixed && quality != encoder.quality || codec != encoder.codec {
        match codec {
            Codec::Jpeg => put("jpeg-quality", json!(quality)),
            _ => put("qp-min", json!(qp_min_of(quality))),
        }
    }
    if codec == Codec::Jpeg {
        return Ok(out);
    }
    let kbits = wanted.kbits.unwrap_or(kbits(encoder)).clamp(options.kbits.0, options.kbits.1);
    if kbits != self::kbits(encoder) {
        put(if is_sub { "sub-bitrate" } else { "bitrate" }, json!(kbits * 1000));
    }
    if encoder.fixed {
        return unchanged(encoder, wanted).map(|()| out);
    }
    if let Some(gop) = wanted.gop {
        let secs = f64::from(gop) / real_fps;
        let now = whole(encoder.gop_secs * real_fps).max(1);
        if gop == 0 || !GOP_SECS.contains(&secs) && gop != now {
            let (least, most) = options.gop;
            return Err(refuse(format!("GovLength must be between {least} and {most}, not {gop}")));
        }
        if gop != now {
            put("gop", json!(secs));
        }
    }
    if let Some(profile) = wanted.profile.as_deref()
        && profile != encoder.profile
    {
        let key = PROFILES.iter().find(|(name, _)| *name == profile).map(|(_, key)| *key);
        let key = key.ok_or_else(|| {
            refuse(format!("the profile must be Baseline, Main or High, not {profile:?}"))
        })?;
        put("encoder-profile", json!(key));
    }
    if let Some(constant) = wanted.constant {
        put("rate-mode", json!(if constant { "constant" } else { "variable" }));
    }
    Ok(out)
}

/// Whether a client wants pictures that come coded as they are. Their distance of key frames is a
/// measured one: what a client read a moment ago is as good.
fn unchanged(encoder: &Encoder, wanted: &Wanted) -> Result<(), Fault> {
    let now = encoder.gop();
    let near = |gop: u32| gop.abs_diff(now) <= 1 + now / 4;
    if let Some(gop) = wanted.gop.filter(|gop| !near(*gop)) {
        let why = format!("GovLength is {now} as this camera's stream comes, and not {gop}");
        return Err(refuse(why));
    }
    match wanted.profile.as_deref() {
        Some(profile) if profile != encoder.profile => Err(refuse(format!(
            "the profile is {} as this camera's stream comes, and not {profile:?}",
            encoder.profile
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::state::CameraMode;

    fn fixture(kind: Kind) -> (Camera, Encoder) {
        let mode = |width, height| CameraMode { width, height, fps: 30.0 };
        let camera = Camera {
            id: 1,
            name: "test".to_owned(),
            width: 1280,
            height: 720,
            fps: 25.0,
            movable: true,
            modes: vec![mode(1920, 1080), mode(1280, 720)],
            turned: false,
        };
        let (width, height) = if kind == Kind::Sub { (640, 360) } else { (1280, 720) };
        let encoder = Encoder {
            camera: 1,
            kind,
            codec: if kind == Kind::Mjpeg { Codec::Jpeg } else { Codec::H264 },
            width,
            height,
            fps: 25.0,
            bitrate: 4_000_000,
            gop_secs: 2.0,
            profile: "Baseline",
            quality: 100,
            fixed: false,
        };
        (camera, encoder)
    }

    fn same(encoder: &Encoder) -> Wanted {
        Wanted {
            codec: subtype(encoder.codec).to_owned(),
            size: (encoder.width, encoder.height),
            #[expect(clippy::cast_precision_loss, reason = "at most 100")]
            quality: encoder.quality as f64,
            fps: Some(encoder.fps),
            kbits: Some(encoder.bitrate / 1000),
            interval: 1,
            gop: Some(encoder.gop()),
            profile: Some(encoder.profile.to_owned()),
            constant: None,
        }
    }

    #[test]
    fn what_is_as_it_was_changes_nothing() {
        for kind in Kind::ALL {
            let (camera, encoder) = fixture(kind);
            assert_eq!(changes(&camera, &encoder, &same(&encoder)), Ok(vec![]), "{kind:?}");
        }
    }

    #[test]
    fn each_part_becomes_its_setting() {
        let (camera, main) = fixture(Kind::Main);
        let key = |wanted: &Wanted| changes(&camera, &main, wanted).unwrap();
        let set = |key: &str, value: Value| vec![(key.to_owned(), value)];
        let w = same(&main);
        let size = Wanted { size: (1920, 1080), ..w.clone() };
        assert_eq!(key(&size), set("resolution", json!("1920x1080")));
        let rate = Wanted { kbits: Some(999_999), ..w.clone() };
        assert_eq!(key(&rate), set("bitrate", json!(100_000_000)));
        let gop = Wanted { gop: Some(25), ..w.clone() };
        assert_eq!(key(&gop), set("gop", json!(1.0)));
        // The distance of key frames is of pictures: another rate, another time.
        let fps = Wanted { fps: Some(10.0), ..w.clone() };
        let both = vec![("fps".to_owned(), json!(10)), ("gop".to_owned(), json!(5.0))];
        assert_eq!(key(&fps), both);
        let profile = Wanted { profile: Some("High".to_owned()), ..w.clone() };
        assert_eq!(key(&profile), set("encoder-profile", json!("high")));
        let jpeg = Wanted { codec: "JPEG".to_owned(), quality: 70.0, gop: None, ..w };
        let both = vec![
            ("main-encoding".to_owned(), json!("jpeg")),
            ("jpeg-quality".to_owned(), json!(70)),
        ];
        assert_eq!(key(&jpeg), both);
        let (camera, sub) = fixture(Kind::Sub);
        let small = Wanted { size: (320, 180), fps: Some(5.0), gop: None, ..same(&sub) };
        let both = vec![("sub-width".to_owned(), json!(320)), ("sub-fps".to_owned(), json!(5))];
        assert_eq!(changes(&camera, &sub, &small), Ok(both));
    }

    #[test]
    fn what_is_not_possible_is_refused() {
        let (camera, main) = fixture(Kind::Main);
        let w = same(&main);
        for (wanted, word) in [
            (Wanted { size: (12345, 720), ..w.clone() }, "1920x1080"),
            (Wanted { codec: "H265".to_owned(), ..w.clone() }, "H264 or JPEG"),
            (Wanted { interval: 2, ..w.clone() }, "EncodingInterval"),
            (Wanted { gop: Some(0), ..w.clone() }, "GovLength"),
            (Wanted { gop: Some(100_000), ..w.clone() }, "GovLength"),
            (Wanted { profile: Some("Extended".to_owned()), ..w.clone() }, "High"),
        ] {
            let fault = changes(&camera, &main, &wanted).unwrap_err();
            assert!(fault.reason.contains(word), "{}", fault.reason);
            assert_eq!(fault.subcodes, ["ter:InvalidArgVal", "ter:ConfigModify"]);
        }
    }

    #[test]
    fn what_is_offered_can_be_set() {
        for kind in Kind::ALL {
            let (camera, encoder) = fixture(kind);
            let options = options(&camera, &encoder);
            assert!(options.sizes.contains(&(encoder.width, encoder.height)));
            for codec in &options.codecs {
                for size in &options.sizes {
                    let codec = subtype(*codec).to_owned();
                    let wanted = Wanted { codec, size: *size, gop: None, ..same(&encoder) };
                    assert!(changes(&camera, &encoder, &wanted).is_ok(), "{kind:?} {wanted:?}");
                }
            }
        }
        let (mut camera, encoder) = fixture(Kind::Main);
        camera.modes.clear();
        let options = options(&camera, &encoder);
        assert_eq!((options.sizes.len(), options.rates), (1, (25, 25)));
        assert_eq!(options.codecs, [Codec::H264]);
    }

    #[test]
    fn what_comes_coded_is_offered_as_it_is() {
        let (mut camera, encoder) = fixture(Kind::Main);
        camera.modes.clear();
        let encoder = Encoder { fixed: true, ..encoder };
        let offered = options(&camera, &encoder);
        assert_eq!((offered.kbits, offered.gop), ((4000, 4000), (50, 50)));
        assert_eq!(offered.profiles, ["Baseline"]);
        let w = same(&encoder);
        // What is measured was a little different a moment ago; qualities and rates adapt.
        let near = Wanted { gop: Some(52), kbits: Some(9), quality: 3.0, ..w.clone() };
        assert_eq!(changes(&camera, &encoder, &near), Ok(vec![]));
        for (wanted, word) in [
            (Wanted { gop: Some(25), ..w.clone() }, "GovLength is 50"),
            (Wanted { profile: Some("High".to_owned()), ..w }, "the profile is Baseline"),
        ] {
            let fault = changes(&camera, &encoder, &wanted).unwrap_err();
            assert!(fault.reason.contains(word), "{}", fault.reason);
        }
    }
}
