//! The generic spaces (PTZ Service Specification 5.7), and vectors in them.

use crate::onvif::encoders::range;
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::ptz::{PtzReach, PtzStatus, PtzVector};

/// What a vector means: its space for pan and tilt, and the one for zoom.
pub(in crate::onvif) type Pair = (&'static str, &'static str);

pub(in crate::onvif) const POSITION: Pair = (
    "http://www.onvif.org/ver10/tptz/PanTiltSpaces/PositionGenericSpace",
    "http://www.onvif.org/ver10/tptz/ZoomSpaces/PositionGenericSpace",
);
pub(super) const TRANSLATION: Pair = (
    "http://www.onvif.org/ver10/tptz/PanTiltSpaces/TranslationGenericSpace",
    "http://www.onvif.org/ver10/tptz/ZoomSpaces/TranslationGenericSpace",
);
pub(super) const VELOCITY: Pair = (
    "http://www.onvif.org/ver10/tptz/PanTiltSpaces/VelocityGenericSpace",
    "http://www.onvif.org/ver10/tptz/ZoomSpaces/VelocityGenericSpace",
);
pub(super) const SPEED: Pair = (
    "http://www.onvif.org/ver10/tptz/PanTiltSpaces/GenericSpeedSpace",
    "http://www.onvif.org/ver10/tptz/ZoomSpaces/ZoomGenericSpeedSpace",
);

/// Whether pan or tilt, and zoom, can do so much.
pub(super) fn reaches(status: &PtzStatus, wanted: PtzReach) -> (bool, bool) {
    let can = |reach: PtzReach| match wanted {
        PtzReach::Position => reach == PtzReach::Position,
        _ => reach != PtzReach::None,
    };
    (can(status.pan.reach) || can(status.tilt.reach), can(status.zoom.reach))
}

fn plane(name: &'static str, uri: &str, x: (f64, f64), y: (f64, f64), w: &mut Writer) {
    w.open(name).leaf("tt:URI", uri);
    range("tt:XRange", x, w);
    range("tt:YRange", y, w);
    w.close();
}

fn line(name: &'static str, uri: &str, x: (f64, f64), w: &mut Writer) {
    w.open(name).leaf("tt:URI", uri);
    range("tt:XRange", x, w);
    w.close();
}

/// `tt:PTZSpaces` of what a camera can do.
pub(super) fn write(name: &'static str, status: &PtzStatus, w: &mut Writer) {
    let (both, unit) = ((-1.0, 1.0), (0.0, 1.0));
    let (goes, zooms) = reaches(status, PtzReach::Position);
    let (moves, drives) = reaches(status, PtzReach::Speed);
    w.open(name);
    if goes {
        plane("tt:AbsolutePanTiltPositionSpace", POSITION.0, both, both, w);
    }
    if zooms {
        line("tt:AbsoluteZoomPositionSpace", POSITION.1, unit, w);
    }
    if goes {
        plane("tt:RelativePanTiltTranslationSpace", TRANSLATION.0, both, both, w);
    }
    if zooms {
        line("tt:RelativeZoomTranslationSpace", TRANSLATION.1, both, w);
    }
    if moves {
        plane("tt:ContinuousPanTiltVelocitySpace", VELOCITY.0, both, both, w);
    }
    if drives {
        line("tt:ContinuousZoomVelocitySpace", VELOCITY.1, both, w);
    }
    if moves {
        line("tt:PanTiltSpeedSpace", SPEED.0, unit, w);
    }
    if drives {
        line("tt:ZoomSpeedSpace", SPEED.1, unit, w);
    }
    w.close();
}

/// The limits of positions, as a configuration has them.
pub(super) fn write_limits(
    (pan, tilt, zoom): ((f64, f64), (f64, f64), (f64, f64)),
    status: &PtzStatus,
    w: &mut Writer,
) {
    let (goes, zooms) = reaches(status, PtzReach::Position);
    if goes {
        w.open("tt:PanTiltLimits");
        plane("tt:Range", POSITION.0, pan, tilt, w);
        w.close();
    }
    if zooms {
        w.open("tt:ZoomLimits");
        line("tt:Range", POSITION.1, zoom, w);
        w.close();
    }
}

/// A vector's elements, of the axes that are known.
pub(super) fn write_vector(vector: PtzVector, spaces: Pair, w: &mut Writer) {
    if vector.pan.is_some() || vector.tilt.is_some() {
        w.open("tt:PanTilt").attribute("x", vector.pan.unwrap_or(0.0));
        w.attribute("y", vector.tilt.unwrap_or(0.0)).attribute("space", spaces.0).close();
    }
    if let Some(zoom) = vector.zoom {
        w.open("tt:Zoom").attribute("x", zoom).attribute("space", spaces.1).close();
    }
}

/// The vector in an element, of the axes that the camera has. `pan_tilt` and `zoom`: the ranges;
/// `invalid`: ONVIF's code for what lies beyond.
pub(in crate::onvif) fn read_vector(
    node: Node<'_>,
    status: &PtzStatus,
    spaces: Pair,
    (pan_tilt, zoom): ((f64, f64), (f64, f64)),
    invalid: &'static str,
) -> Result<PtzVector, Fault> {
    let part = |axes: Node<'_>, name: &str, range: (f64, f64)| -> Result<f64, Fault> {
        let text = axes.attribute(name);
        let text = text.ok_or_else(|| Fault::invalid_args(format!("{name} is missing")))?;
        let number = text.parse::<f64>();
        let number = number.map_err(|_| Fault::invalid_args(format!("{name} is no number")))?;
        let (least, most) = range;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        let why = format!("{name} must be between {least} and {most}, not {number}");
        Err(Fault::invalid_value(invalid, why))
    };
    let check_space = |axes: Node<'_>, own: &str| match axes.attribute("space") {
        Some(space) if !space.is_empty() && space != own => {
            let why = format!("the space must be {own}, not {space:?}");
            Err(Fault::invalid_value("ter:SpaceNotSupported", why))
        }
        _ => Ok(()),
    };
    let mut out = PtzVector::default();
    if let Some(axes) = node.child("PanTilt") {
        check_space(axes, spaces.0)?;
        let (pan, tilt) = (part(axes, "x", pan_tilt)?, part(axes, "y", pan_tilt)?);
        // An axis that there is not has nothing to say.
        out.pan = Some(pan).filter(|_| status.pan.reach != PtzReach::None);
        out.tilt = Some(tilt).filter(|_| status.tilt.reach != PtzReach::None);
    }
    if let Some(axis) = node.child("Zoom") {
        check_space(axis, spaces.1)?;
        let near = part(axis, "x", zoom)?;
        out.zoom = Some(near).filter(|_| status.zoom.reach != PtzReach::None);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::Document;
    use lensd_ffi::ptz::PtzAxis;

    fn status(pan: PtzReach, tilt: PtzReach, zoom: PtzReach) -> PtzStatus {
        let axis = |reach| PtzAxis { reach, ..PtzAxis::default() };
        PtzStatus { pan: axis(pan), tilt: axis(tilt), zoom: axis(zoom), ..PtzStatus::default() }
    }

    fn read(text: &str, status: &PtzStatus) -> Result<PtzVector, Fault> {
        let document = Document::parse(text.as_bytes()).unwrap();
        let ranges = ((-1.0, 1.0), (0.0, 1.0));
        read_vector(document.root(), status, POSITION, ranges, "ter:InvalidPosition")
    }

    #[test]
    fn vectors_are_those_of_the_axes_that_there_are() {
        let all = status(PtzReach::Position, PtzReach::Position, PtzReach::Position);
        let text = "<P><PanTilt x='0.5' y='-0.5' space=''/><Zoom x='1'/></P>";
        let whole = PtzVector { pan: Some(0.5), tilt: Some(-0.5), zoom: Some(1.0) };
        assert_eq!(read(text, &all), Ok(whole));
        let motor = status(PtzReach::Speed, PtzReach::None, PtzReach::None);
        assert_eq!(read(text, &motor), Ok(PtzVector { tilt: None, zoom: None, ..whole }));
        assert_eq!(
            (reaches(&motor, PtzReach::Position), reaches(&motor, PtzReach::Speed)),
            ((false, false), (true, false))
        );
        for (bad, code) in [
            ("<P><PanTilt x='5' y='0'/></P>", "ter:InvalidPosition"),
            ("<P><PanTilt x='NaN' y='0'/></P>", "ter:InvalidPosition"),
            ("<P><Zoom x='-0.1'/></P>", "ter:InvalidPosition"),
            ("<P><Zoom x='0' space='urn:x'/></P>", "ter:SpaceNotSupported"),
        ] {
            let fault = read(bad, &all).unwrap_err();
            assert_eq!(fault.subcodes, ["ter:InvalidArgVal", code], "{bad}");
        }
        assert_eq!(
            read("<P><PanTilt x='0'/></P>", &all).unwrap_err().subcodes,
            ["ter:InvalidArgs"]
        );
    }
}
