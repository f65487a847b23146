//! The imaging service (ONVIF Imaging Service Specification): the registry's image keys.
//!
//! Keys from 0 to 100 stand for the whole range of the camera's own control; a key that reads as
//! nothing is one that the camera lacks, and is not offered. They are those of the active camera and
//! hold for all that have the control.

use super::call::{Answer, Call, Done, Handler, needed, number};
use super::encoders::range;
use super::entities::camera_of_source;
use super::services::{self, Service};
use super::table::Class::{self, Actuate, PreAuth, ReadMedia};
use super::table::Operation;
use crate::soap::{Fault, Node, Ns, Writer};
use lensd_ffi::settings::find;
use serde_json::{Value, json};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Timg,
    path: "imaging_service",
    version: (20, 12),
    capabilities: write_capabilities,
    section: Some(("Imaging", section)),
    is_there: |_| true,
};

/// What is a plain number in `tt:ImagingSettings20`: its name, and the key.
const PLAIN: [(&str, &str); 4] = [
    ("tt:Brightness", "brightness"),
    ("tt:ColorSaturation", "saturation"),
    ("tt:Contrast", "contrast"),
    ("tt:Sharpness", "sharpness"),
];
const PERCENT: (f64, f64) = (0.0, 100.0);

fn write_capabilities(_: &mut Call<'_>, w: &mut Writer) {
    w.open("timg:Capabilities").attribute("ImageStabilization", false);
    w.attribute("Presets", false).attribute("AdaptablePreset", false).close();
}

fn section(call: &mut Call<'_>, w: &mut Writer) {
    w.open("tt:Imaging").leaf("tt:XAddr", call.address.service(SERVICE.path)).close();
}

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "timg:GetServiceCapabilitiesResponse", w)
}

/// That the video source that a request names is there.
fn check_source(call: &mut Call<'_>, asked: Node<'_>) -> Result<(), Fault> {
    let token = needed(asked, "VideoSourceToken")?;
    let no_source =
        || Fault::invalid_value("ter:NoSource", format!("there is no video source {token:?}"));
    camera_of_source(call.desk, token).map(|_| ()).ok_or_else(no_source)
}

fn percent(call: &Call<'_>, key: &str) -> Option<f64> {
    call.value(key).as_f64()
}

/// Whether the camera does it by itself; none: it has no such control.
fn automatic(call: &Call<'_>, key: &str) -> Option<bool> {
    match call.value(key) {
        Value::Bool(on) => Some(on),
        // The time is set by hand, the rest follows.
        Value::String(word) => Some(word != "shutter-priority"),
        _ => None,
    }
}

fn mode(automatic: bool) -> &'static str {
    if automatic { "AUTO" } else { "MANUAL" }
}

/// Least and greatest exposure time in microseconds, as the camera has it in units of 100.
#[expect(clippy::cast_precision_loss, reason = "at most ten seconds")]
fn exposure_times(call: &Call<'_>) -> Option<(f64, f64)> {
    let hardware = call.desk.board.held(find("exposure-time")?).hardware?;
    let micros = |units: i64| units.saturating_mul(100).clamp(1, 10_000_000) as f64;
    Some((micros(hardware.min), micros(hardware.max)))
}

fn get(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    w.open("timg:GetImagingSettingsResponse").open("timg:ImagingSettings");
    if let Some(level) = percent(call, "backlight") {
        w.open("tt:BacklightCompensation").leaf("tt:Mode", if level > 0.0 { "ON" } else { "OFF" });
        w.leaf("tt:Level", level).close();
    }
    for (name, key) in &PLAIN[..3] {
        w.maybe(name, percent(call, key));
    }
    if let Some(auto) = automatic(call, "auto-exposure") {
        w.open("tt:Exposure").leaf("tt:Mode", mode(auto));
        w.maybe("tt:ExposureTime", percent(call, "exposure-time"));
        w.maybe("tt:Gain", percent(call, "gain")).close();
    }
    if let Some(auto) = automatic(call, "auto-focus") {
        w.open("tt:Focus").leaf("tt:AutoFocusMode", mode(auto)).close();
    }
    let (name, key) = PLAIN[3];
    w.maybe(name, percent(call, key));
    if let Some(auto) = automatic(call, "auto-white-balance") {
        w.open("tt:WhiteBalance").leaf("tt:Mode", mode(auto));
        w.maybe("tt:CrGain", percent(call, "red-gain"));
        w.maybe("tt:CbGain", percent(call, "blue-gain")).close();
    }
    w.close().close();
    Ok(Done::Now)
}

fn modes(w: &mut Writer, name: &'static str, words: [&str; 2]) {
    for word in words {
        w.leaf(name, word);
    }
}

fn options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    let has = |key: &str| percent(call, key).is_some();
    w.open("timg:GetOptionsResponse").open("timg:ImagingOptions");
    if has("backlight") {
        w.open("tt:BacklightCompensation");
        modes(w, "tt:Mode", ["OFF", "ON"]);
        range("tt:Level", PERCENT, w);
        w.close();
    }
    for (name, key) in &PLAIN[..3] {
        if has(key) {
            range(name, PERCENT, w);
        }
    }
    if automatic(call, "auto-exposure").is_some() {
        w.open("tt:Exposure");
        modes(w, "tt:Mode", ["AUTO", "MANUAL"]);
        if let Some(times) = exposure_times(call) {
            range("tt:ExposureTime", times, w);
        }
        if has("gain") {
            range("tt:Gain", PERCENT, w);
        }
        w.close();
    }
    if automatic(call, "auto-focus").is_some() {
        w.open("tt:Focus");
        modes(w, "tt:AutoFocusModes", ["AUTO", "MANUAL"]);
        w.close();
    }
    let (name, key) = PLAIN[3];
    if has(key) {
        range(name, PERCENT, w);
    }
    if automatic(call, "auto-white-balance").is_some() {
        w.open("tt:WhiteBalance");
        modes(w, "tt:Mode", ["AUTO", "MANUAL"]);
        for (name, key) in [("tt:YrGain", "red-gain"), ("tt:YbGain", "blue-gain")] {
            if has(key) {
                range(name, PERCENT, w);
            }
        }
        w.close();
    }
    w.close().close();
    Ok(Done::Now)
}

fn invalid(why: String) -> Fault {
    Fault::invalid_value("ter:SettingsInvalid", why)
}

/// Changes as they are gathered: keys that the camera lacks and values beyond are refused.
struct Changes<'a, 'b> {
    call: &'a Call<'b>,
    out: Vec<(String, Value)>,
}

impl Changes<'_, '_> {
    fn put(&mut self, name: &str, key: &str, value: Value) -> Result<(), Fault> {
        let now = self.call.value(key);
        if now.is_null() {
            return Err(invalid(format!("this camera has no {name}")));
        }
        if now != value {
            self.out.push((key.to_owned(), value));
        }
        Ok(())
    }

    /// A number in `node`, if there is one.
    fn number(
        &mut self,
        node: Node<'_>,
        (name, key): (&str, &str),
        (least, most): (f64, f64),
    ) -> Result<(), Fault> {
        let Some(value) = number::<f64>(node, name)? else { return Ok(()) };
        if !(least..=most).contains(&value) {
            return Err(invalid(format!("{name} must be between {least} and {most}, not {value}")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "in the range")]
        self.put(name, key, json!(value.round() as i64))
    }

    /// `AUTO` or `MANUAL` in `node`, if it is there.
    fn mode(&mut self, node: Node<'_>, name: &str, key: &str) -> Result<Option<bool>, Fault> {
        let auto = match node.value(name) {
            None => return Ok(None),
            Some("AUTO") => true,
            Some("MANUAL") => false,
            Some(other) => return Err(invalid(format!("{name} is AUTO or MANUAL, not {other:?}"))),
        };
        // Between two kinds of the same the camera stays with its own.
        if automatic(self.call, key) != Some(auto) {
            self.put(name, key, json!(auto))?;
        }
        Ok(Some(auto))
    }
}

fn set(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    let settings = asked.child("ImagingSettings");
    let settings = settings.ok_or_else(|| Fault::invalid_args("ImagingSettings is missing"))?;
    let changes = gather(call, settings)?;
    if changes.is_empty() {
        w.empty("timg:SetImagingSettingsResponse");
        return Ok(Done::Now);
    }
    call.change(changes, "ter:SettingsInvalid", |_, w, _| {
        w.empty("timg:SetImagingSettingsResponse");
        Ok(())
    })
}

/// The settings that become others: what is automatic first, since the rest may depend on it.
fn gather(call: &Call<'_>, settings: Node<'_>) -> Result<Vec<(String, Value)>, Fault> {
    let times = exposure_times(call).unwrap_or((1.0, 10_000_000.0));
    let mut changes = Changes { call, out: Vec::new() };
    if let Some(exposure) = settings.child("Exposure") {
        let auto = changes.mode(exposure, "Mode", "auto-exposure")?;
        // What the camera sets by itself is not for us to set.
        if auto != Some(true) {
            changes.number(exposure, ("ExposureTime", "exposure-time"), times)?;
            changes.number(exposure, ("Gain", "gain"), PERCENT)?;
        }
    }
    if let Some(white) = settings.child("WhiteBalance") {
        let auto = changes.mode(white, "Mode", "auto-white-balance")?;
        if auto != Some(true) {
            changes.number(white, ("CrGain", "red-gain"), PERCENT)?;
            changes.number(white, ("CbGain", "blue-gain"), PERCENT)?;
        }
    }
    if let Some(focus) = settings.child("Focus") {
        changes.mode(focus, "AutoFocusMode", "auto-focus")?;
    }
    for (name, key) in PLAIN {
        changes.number(settings, (name.trim_start_matches("tt:"), key), PERCENT)?;
    }
    if let Some(backlight) = settings.child("BacklightCompensation") {
        match needed(backlight, "Mode")? {
            "OFF" => changes.put("BacklightCompensation", "backlight", json!(0))?,
            "ON" => {
                let level = number::<f64>(backlight, "Level")?;
                let now = percent(call, "backlight").filter(|level| *level > 0.0);
                let level = level.or(now).unwrap_or(100.0);
                if !(1.0..=100.0).contains(&level) {
                    return Err(invalid(
                        "Level must be between 1 and 100 when it is on".to_owned(),
                    ));
                }
                #[expect(clippy::cast_possible_truncation, reason = "1 to 100")]
                changes.put("BacklightCompensation", "backlight", json!(level.round() as i64))?;
            }
            other => return Err(invalid(format!("Mode is ON or OFF, not {other:?}"))),
        }
    }
    for (name, why) in [
        ("IrCutFilter", "this camera has no IR cut filter"),
        ("WideDynamicRange", "this camera has no wide dynamic range"),
    ] {
        if settings.child(name).is_some() {
            return Err(invalid(why.to_owned()));
        }
    }
    Ok(changes.out)
}

/// That there is no focus to be moved.
fn no_focus() -> Fault {
    let why = "Optional Action Not Implemented: this camera's focus cannot be moved";
    Fault::receiver(&["ter:ActionNotSupported", "ter:NoImagingForSource"], why)
}

fn move_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    w.open("timg:GetMoveOptionsResponse").open("timg:MoveOptions");
    if percent(call, "focus").is_some() {
        w.open("tt:Absolute");
        range("tt:Position", PERCENT, w);
        w.close().open("tt:Relative");
        range("tt:Distance", (-100, 100), w);
        w.close();
    }
    w.close().close();
    Ok(Done::Now)
}

/// The camera goes to a distance at once, so a move is a change of the setting.
fn move_focus(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    check_source(call, asked)?;
    let now = percent(call, "focus").ok_or_else(no_focus)?;
    let focus = asked.child("Focus").ok_or_else(|| Fault::invalid_args("Focus is missing"))?;
    let missing = |name: &str| Fault::invalid_args(format!("{name} is missing"));
    let to = if let Some(absolute) = focus.child("Absolute") {
        number::<f64>(absolute, "Position")?.ok_or_else(|| missing("Position"))?
    } else if let Some(relative) = focus.child("Relative") {
        let by = number::<f64>(relative, "Distance")?.ok_or_else(|| missing("Distance"))?;
        if !(-100.0..=100.0).contains(&by) {
            return Err(invalid("Distance must be between -100 and 100".to_owned()));
        }
        (now + by).clamp(0.0, 100.0)
    } else {
        return Err(invalid("this camera's focus moves Absolute or Relative".to_owned()));
    };
    if !(0.0..=100.0).contains(&to) {
        return Err(invalid(format!("Position must be between 0 and 100, not {to}")));
    }
    let mut changes = Vec::new();
    if automatic(call, "auto-focus") == Some(true) {
        changes.push(("auto-focus".to_owned(), json!(false)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "0 to 100")]
    changes.push(("focus".to_owned(), json!(to.round() as i64)));
    call.change(changes, "ter:SettingsInvalid", |_, w, _| {
        w.empty("timg:MoveResponse");
        Ok(())
    })
}

/// There is nothing to stop: a move is over when it is answered.
fn stop(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    percent(call, "focus").ok_or_else(no_focus)?;
    w.empty("timg:StopResponse");
    Ok(Done::Now)
}

fn status(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    check_source(call, asked)?;
    w.open("timg:GetStatusResponse").open("timg:Status");
    if let Some(position) = percent(call, "focus") {
        w.open("tt:FocusStatus20").leaf("tt:Position", position);
        w.leaf("tt:MoveStatus", "IDLE").close();
    }
    w.close().close();
    Ok(Done::Now)
}

const fn row(name: &'static str, class: Class, handler: Handler) -> Operation {
    Operation::new(Ns::Timg, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServiceCapabilities", PreAuth, capabilities),
    row("GetImagingSettings", ReadMedia, get),
    row("GetOptions", ReadMedia, options),
    row("SetImagingSettings", Actuate, set),
    row("GetMoveOptions", ReadMedia, move_options),
    row("Move", Actuate, move_focus),
    row("Stop", Actuate, stop),
    row("GetStatus", ReadMedia, status),
];
