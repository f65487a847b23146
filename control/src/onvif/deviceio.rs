//! The device IO service (ONVIF Device IO Service Specification). What has no connector here reads as
//! an empty list.

use super::call::{Answer, Call, Done, Handler, needed};
use super::entities::{camera, camera_of_source, cameras};
use super::services::{self, Service};
use super::table::Class::{self, Actuate, PreAuth, ReadMedia, ReadSystem};
use super::table::Operation;
use super::{profiles, sources};
use crate::soap::{Fault, Node, Ns, Writer};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Tmd,
    path: "deviceio_service",
    version: (20, 12),
    capabilities: write_capabilities,
    section: Some(("DeviceIO", section)),
    is_there: |_| true,
};

/// What there is none of.
const NONE: [&str; 5] =
    ["VideoOutputs", "AudioSources", "AudioOutputs", "RelayOutputs", "SerialPorts"];

fn write_capabilities(call: &mut Call<'_>, w: &mut Writer) {
    let count = cameras(call.desk).len();
    w.open("tmd:Capabilities").attribute("VideoSources", count);
    for name in NONE {
        w.attribute(name, 0);
    }
    w.attribute("DigitalInputs", call.desk.config.system.inputs.len());
    w.attribute("DigitalInputOptions", false).close();
}

fn section(call: &mut Call<'_>, w: &mut Writer) {
    let count = cameras(call.desk).len();
    w.open("tt:DeviceIO").leaf("tt:XAddr", call.address.service(SERVICE.path));
    w.leaf("tt:VideoSources", count).leaf("tt:VideoOutputs", 0).leaf("tt:AudioSources", 0);
    w.leaf("tt:AudioOutputs", 0).leaf("tt:RelayOutputs", 0).close();
}

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "tmd:GetServiceCapabilitiesResponse", w)
}

fn video_sources(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tmd:GetVideoSourcesResponse");
    for camera in cameras(call.desk) {
        w.leaf("tmd:Token", camera.token());
    }
    w.close();
    Ok(Done::Now)
}

fn view(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let token = needed(asked, "VideoSourceToken")?;
    let found = camera_of_source(call.desk, token).and_then(|id| camera(call.desk, id));
    let camera = found.ok_or_else(|| {
        Fault::invalid_value("ter:NoVideoSource", format!("there is no video source {token:?}"))
    })?;
    let all = profiles::all(call);
    w.open("tmd:GetVideoSourceConfigurationResponse");
    let uses = profiles::uses(&all, &camera.view());
    sources::write("tmd:VideoSourceConfiguration", &camera, uses, w);
    w.close();
    Ok(Done::Now)
}

fn none(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.empty(call.operation.response());
    Ok(Done::Now)
}

/// `GetDigitalInputs`: those of `hardware.inputs`, by their names.
fn inputs(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tmd:GetDigitalInputsResponse");
    for input in &call.desk.config.system.inputs {
        w.open("tmd:DigitalInputs").attribute("token", &input.name);
        w.attribute("IdleState", if input.inverted { "closed" } else { "open" }).close();
    }
    w.close();
    Ok(Done::Now)
}

fn no_token(_: &mut Call<'_>, _: Node<'_>, _: &mut Writer) -> Answer {
    Err(Fault::invalid_value("ter:NoToken", "this device has no such input or output"))
}

fn relay_options(_: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    if asked.value("RelayOutputToken").is_some_and(|token| !token.is_empty()) {
        return Err(Fault::invalid_value("ter:RelayToken", "this device has no relay outputs"));
    }
    w.empty("tmd:GetRelayOutputOptionsResponse");
    Ok(Done::Now)
}

const fn row(name: &'static str, class: Class, handler: Handler) -> Operation {
    Operation::new(Ns::Tmd, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServiceCapabilities", PreAuth, capabilities),
    row("GetVideoSources", ReadMedia, video_sources),
    row("GetVideoSourceConfiguration", ReadMedia, view),
    row("GetVideoOutputs", ReadMedia, none),
    row("GetAudioSources", ReadMedia, none),
    row("GetAudioOutputs", ReadMedia, none),
    row("GetSerialPorts", ReadMedia, none),
    row("GetDigitalInputs", ReadSystem, inputs),
    row("SetDigitalInputConfigurations", Actuate, no_token),
    row("GetRelayOutputOptions", PreAuth, relay_options),
    row("SetRelayOutputSettings", Actuate, no_token),
];
