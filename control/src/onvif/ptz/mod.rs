//! The PTZ service (ONVIF PTZ Service Specification): each camera that can be moved is a node and a
//! configuration. Positions and speeds are those of the generic spaces.

mod moves;
mod nodes;
mod presets;
pub(super) mod spaces;

pub(super) use nodes::write_configuration;

use super::call::{Answer, Call, Handler, needed};
use super::entities::{cameras, ptz_camera};
use super::profiles;
use super::services::{self, Service};
use super::table::Class::{self, Actuate, PreAuth, ReadMedia};
use super::table::Operation;
use crate::desk::Desk;
use crate::http::At;
use crate::http::respond::Fault as Refused;
use crate::ptz::{self, Act, Done};
use crate::soap::{Fault, Node, Ns, Writer};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Tptz,
    path: "ptz_service",
    version: (20, 12),
    capabilities: write_capabilities,
    section: Some(("PTZ", section)),
    is_there: |call| cameras(call.desk).iter().any(|camera| camera.movable),
};

fn write_capabilities(_: &mut Call<'_>, w: &mut Writer) {
    w.open("tptz:Capabilities").attribute("EFlip", false).attribute("Reverse", false);
    w.attribute("GetCompatibleConfigurations", true).attribute("MoveStatus", true);
    w.attribute("StatusPosition", true).close();
}

fn section(call: &mut Call<'_>, w: &mut Writer) {
    w.open("tt:PTZ").leaf("tt:XAddr", call.address.service(SERVICE.path)).close();
}

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "tptz:GetServiceCapabilitiesResponse", w)
}

/// The camera that the profile of a request moves.
fn camera_of(call: &mut Call<'_>, asked: Node<'_>) -> Result<u32, Fault> {
    let token = needed(asked, "ProfileToken")?;
    let profile = profiles::find(call, token)?;
    let camera = profile.ptz.and_then(|token| ptz_camera(call.desk, &token));
    camera.ok_or_else(|| {
        let why = format!("the profile {token:?} has no PTZ configuration");
        Fault::invalid_value("ter:NoPTZProfile", why)
    })
}

/// Why a camera did not do it; `invalid`: ONVIF's code for a value that cannot be.
fn refused(fault: &Refused, invalid: &'static str) -> Fault {
    let message = fault.message.to_string();
    match (fault.status, fault.error) {
        (404, _) => Fault::invalid_value("ter:NoToken", message),
        (422, _) => Fault::invalid_value(invalid, message),
        (409, "Too many presets") => {
            Fault::receiver(&["ter:Action", "ter:TooManyPresets"], message)
        }
        (409, "Name is taken") => Fault::invalid_value("ter:PresetExist", message),
        (409, _) => Fault::receiver(&["ter:Action", "ter:CannotMove"], message),
        (503, _) => Fault::busy(message),
        _ => Fault::receiver(&["ter:Action"], message),
    }
}

/// Lets a camera do something, and answers with what `then` writes when it has begun.
fn act(
    call: &mut Call<'_>,
    camera: u32,
    act: Act,
    invalid: &'static str,
    then: impl FnOnce(&mut Writer, &Done, At) + 'static,
) -> Answer {
    let ticket = call.ticket();
    let finish = move |_: &mut Desk, outcome: Result<Done, Refused>, at: At| match outcome {
        Ok(done) => {
            let mut w = Writer::new();
            then(&mut w, &done, at);
            ticket.response(w)
        }
        Err(fault) => ticket.fault(&refused(&fault, invalid), at),
    };
    let (user, key, at) = (call.who.user.clone(), call.key(), call.at);
    let begun = ptz::act(call.desk, camera, act, &user, key, at, finish);
    begun.map_err(|fault| refused(&fault, invalid))?;
    Ok(super::call::Done::Later)
}

const fn row(name: &'static str, class: Class, handler: Handler) -> Operation {
    Operation::new(Ns::Tptz, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServiceCapabilities", PreAuth, capabilities),
    row("GetNodes", ReadMedia, nodes::all),
    row("GetNode", ReadMedia, nodes::one),
    row("GetConfigurations", ReadMedia, nodes::configurations),
    row("GetConfiguration", ReadMedia, nodes::configuration),
    row("GetCompatibleConfigurations", ReadMedia, nodes::compatible),
    row("GetConfigurationOptions", ReadMedia, nodes::options),
    row("SetConfiguration", Actuate, nodes::set),
    row("GetStatus", ReadMedia, moves::status),
    row("AbsoluteMove", Actuate, moves::absolute),
    row("RelativeMove", Actuate, moves::relative),
    row("ContinuousMove", Actuate, moves::continuous),
    row("Stop", Actuate, moves::stop),
    row("SendAuxiliaryCommand", Actuate, moves::auxiliary),
    row("GetPresets", ReadMedia, presets::all),
    row("SetPreset", Actuate, presets::set),
    row("RemovePreset", Actuate, presets::remove),
    row("GotoPreset", Actuate, presets::go),
    row("SetHomePosition", Actuate, presets::set_home),
    row("GotoHomePosition", Actuate, presets::go_home),
];
