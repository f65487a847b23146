//! Moves, and where a camera looks.

use super::spaces::{POSITION, Pair, SPEED, TRANSLATION, VELOCITY, read_vector, write_vector};
use super::{act, camera_of};
use crate::onvif::call::{Answer, Call, flag, needed};
use crate::ptz::{self, Act, Done};
use crate::soap::time::{date_time, parse_duration};
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::ptz::{PtzAct, PtzReach, PtzStatus, PtzVector};
use serde_json::{Value, json};

/// How long a move may be told to go on, in milliseconds (key `ptz-timeout`).
pub(super) const TIMEOUTS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
/// Ranges of pan and tilt, and of zoom.
type Ranges = ((f64, f64), (f64, f64));
const BOTH: (f64, f64) = (-1.0, 1.0);
const UNIT: (f64, f64) = (0.0, 1.0);

/// How fast the elements of a request say; 0 is as fast as usual.
pub(super) fn speed(asked: Node<'_>, status: &PtzStatus) -> Result<PtzVector, Fault> {
    let Some(node) = asked.child("Speed") else { return Ok(PtzVector::default()) };
    let given = read_vector(node, status, SPEED, (UNIT, UNIT), "ter:InvalidSpeed")?;
    Ok(PtzVector::of(given.axes().map(|axis| axis.filter(|speed| *speed > 0.0))))
}

/// What is known of a camera that can be moved.
pub(super) fn known(call: &mut Call<'_>, camera: u32) -> PtzStatus {
    ptz::known(call.desk, camera).unwrap_or_default()
}

fn vector(
    asked: Node<'_>,
    name: &str,
    status: &PtzStatus,
    (spaces, ranges): (Pair, Ranges),
    invalid: &'static str,
) -> Result<PtzVector, Fault> {
    let node = asked.child(name);
    let node = node.ok_or_else(|| Fault::invalid_args(format!("{name} is missing")))?;
    read_vector(node, status, spaces, ranges, invalid)
}

pub(super) fn absolute(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let status = known(call, camera);
    let invalid = "ter:InvalidPosition";
    let to = vector(asked, "Position", &status, (POSITION, (BOTH, UNIT)), invalid)?;
    let speed = speed(asked, &status)?;
    act(call, camera, Act::Direct(PtzAct::Absolute { to, speed }), invalid, |w, _, _| {
        w.empty("tptz:AbsoluteMoveResponse");
    })
}

pub(super) fn relative(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let status = known(call, camera);
    let invalid = "ter:InvalidTranslation";
    let by = vector(asked, "Translation", &status, (TRANSLATION, (BOTH, BOTH)), invalid)?;
    let speed = speed(asked, &status)?;
    act(call, camera, Act::Direct(PtzAct::Relative { by, speed }), invalid, |w, _, _| {
        w.empty("tptz:RelativeMoveResponse");
    })
}

pub(super) fn continuous(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let status = known(call, camera);
    let invalid = "ter:InvalidVelocity";
    let velocity = vector(asked, "Velocity", &status, (VELOCITY, (BOTH, BOTH)), invalid)?;
    let timeout_ms = match asked.value("Timeout").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let ms = parse_duration(text);
            let ms = ms.ok_or_else(|| Fault::invalid_args("Timeout is no duration"))?;
            if !TIMEOUTS.contains(&ms) {
                let why = "Timeout must be between PT0.1S and PT3600S";
                return Err(Fault::invalid_value("ter:TimeoutNotSupported", why));
            }
            u64::try_from(ms).ok()
        }
    };
    let what = PtzAct::Continuous { velocity, timeout_ms };
    act(call, camera, Act::Direct(what), invalid, |w, _, _| {
        w.empty("tptz:ContinuousMoveResponse");
    })
}

pub(super) fn stop(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let (pan_tilt, zoom) = (flag(asked, "PanTilt")?, flag(asked, "Zoom")?);
    // Without either all stops.
    let all = pan_tilt.is_none() && zoom.is_none();
    let what =
        PtzAct::Stop { pan_tilt: all || pan_tilt == Some(true), zoom: all || zoom == Some(true) };
    act(call, camera, Act::Direct(what), "ter:InvalidArgVal", |w, _, _| {
        w.empty("tptz:StopResponse");
    })
}

fn moves(moving: bool) -> &'static str {
    if moving { "MOVING" } else { "IDLE" }
}

pub(super) fn status(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    act(call, camera, Act::Direct(PtzAct::Look), "ter:InvalidArgVal", |w, done, at| {
        write_status(w, done, at.utc.millis());
    })
}

fn write_status(w: &mut Writer, done: &Done, ms: i64) {
    let status = &done.status;
    w.open("tptz:GetStatusResponse").open("tptz:PTZStatus");
    let position = status.position();
    if position != PtzVector::default() {
        w.open("tt:Position");
        write_vector(position, POSITION, w);
        w.close();
    }
    w.open("tt:MoveStatus");
    if status.pan.reach != PtzReach::None || status.tilt.reach != PtzReach::None {
        w.leaf("tt:PanTilt", moves(status.pan_tilt_moves()));
    }
    if status.zoom.reach != PtzReach::None {
        w.leaf("tt:Zoom", moves(status.zoom.moving));
    }
    w.close();
    w.maybe("tt:Error", Some(&status.error).filter(|e| !e.is_empty()));
    w.leaf("tt:UtcTime", date_time(ms)).close().close();
}

/// What is built around a camera, as auxiliary commands name it (ONVIF Core, "Auxiliary
/// operation"): the lamp, and the spinning window, which does what a wiper does.
const AUXILIARIES: [(&str, &str); 2] = [("tt:IRLamp", "light"), ("tt:Wiper", "disc-rotation")];

fn auxiliary_key(camera: u32, key: &str) -> String {
    if key == "light" { format!("cam{camera}-light") } else { key.to_owned() }
}

/// The commands of what is really there.
pub(super) fn auxiliaries(call: &Call<'_>, camera: u32) -> Vec<String> {
    let is_there = |key: &str| call.value(&auxiliary_key(camera, key)) != Value::Null;
    let there = AUXILIARIES.iter().filter(|(_, key)| is_there(key));
    there.flat_map(|(name, _)| ["On", "Off"].map(|word| format!("{name}|{word}"))).collect()
}

pub(super) fn auxiliary(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let command = needed(asked, "AuxiliaryData")?.to_owned();
    let known = auxiliaries(call, camera);
    let name = command.split('|').next().unwrap_or_default();
    let found = AUXILIARIES.iter().find(|(own, _)| *own == name);
    let Some((_, key)) = found.filter(|_| known.contains(&command)) else {
        let why = if known.is_empty() {
            "this camera has nothing that is switched by such commands".to_owned()
        } else {
            format!("the command must be one of {}", known.join(", "))
        };
        return Err(Fault::receiver(&["ter:ActionNotSupported"], why));
    };
    let changes = vec![(auxiliary_key(camera, key), json!(command.ends_with("|On")))];
    call.change(changes, "ter:InvalidArgVal", move |_, w, _| {
        w.open("tptz:SendAuxiliaryCommandResponse").leaf("tptz:AuxiliaryResponse", command);
        w.close();
        Ok(())
    })
}

/// How long a move goes on that says nothing of it.
pub(super) fn usual_timeout_ms(call: &Call<'_>) -> i64 {
    let secs = call.value("ptz-timeout").as_f64().unwrap_or(10.0).clamp(0.1, 3600.0);
    #[expect(clippy::cast_possible_truncation, reason = "at most an hour")]
    let ms = (secs * 1000.0).round() as i64;
    ms
}
