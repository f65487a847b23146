//! The media service, version 2 (ONVIF Media2 Service Specification): the same profiles and
//! configurations as Media1, in newer words.

mod configurations;
mod profile;

use super::call::{Answer, Call, Done, Handler, needed};
use super::media::synchronize;
use super::services::{self, Service};
use super::table::Class::{self, Actuate, PreAuth, ReadMedia};
use super::table::Operation;
use super::uris::{self, Way};
use super::{multicast, osds, profiles};
use crate::soap::{Fault, Node, Ns, Writer};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Tr2,
    path: "media2_service",
    version: (20, 12),
    capabilities: write_capabilities,
    section: None,
    is_there: |_| true,
};

fn write_capabilities(call: &mut Call<'_>, w: &mut Writer) {
    let (most, secure) = (profiles::most(call), uris::has_secure(call));
    w.open("tr2:Capabilities");
    for (name, has) in [
        ("SnapshotUri", true),
        ("Rotation", false),
        ("VideoSourceMode", false),
        ("OSD", true),
        ("TemporaryOSDText", false),
        ("Mask", false),
        ("SourceMask", false),
    ] {
        w.attribute(name, has);
    }
    w.open("tr2:ProfileCapabilities").attribute("MaximumNumberOfProfiles", most);
    w.attribute("ConfigurationsSupported", "VideoSource VideoEncoder PTZ Metadata").close();
    w.open("tr2:StreamingCapabilities").attribute("RTSPStreaming", true);
    w.attribute("RTPMulticast", true).attribute("RTP_RTSP_TCP", true);
    w.attribute("NonAggregateControl", false).attribute("AutoStartMulticast", true);
    w.attribute("SecureRTSPStreaming", secure).close();
    w.close();
}

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "tr2:GetServiceCapabilitiesResponse", w)
}

fn stream_uri(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let way = match needed(asked, "Protocol")? {
        "RtspUnicast" | "RTSP" => Way::Rtsp,
        "RtspMulticast" => Way::Group,
        "RtspsUnicast" | "RtspsMulticast" => Way::Rtsps,
        "RtspOverHttp" => Way::Http,
        other => {
            let why = format!("{other:?} is no protocol of this server; try RtspUnicast");
            return Err(Fault::invalid_value("ter:InvalidStreamSetup", why));
        }
    };
    let uri = uris::stream(call, &profile, way)?;
    w.open("tr2:GetStreamUriResponse").leaf("tr2:Uri", uri).close();
    Ok(Done::Now)
}

fn snapshot_uri(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let uri = uris::snapshot(call, &profile)?;
    w.open("tr2:GetSnapshotUriResponse").leaf("tr2:Uri", uri).close();
    Ok(Done::Now)
}

/// Lists of what there is none of: sound, analytics.
fn none(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.empty(call.operation.response());
    Ok(Done::Now)
}

fn no_audio(_: &mut Call<'_>, _: Node<'_>, _: &mut Writer) -> Answer {
    let why = "Optional Action Not Implemented: this device has no audio";
    Err(Fault::receiver(&["ter:ActionNotSupported", "ter:AudioNotSupported"], why))
}

const fn row(name: &'static str, class: Class, handler: Handler) -> Operation {
    Operation::new(Ns::Tr2, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServiceCapabilities", PreAuth, capabilities),
    row("GetProfiles", ReadMedia, profile::get_all),
    row("CreateProfile", Actuate, profile::create),
    row("DeleteProfile", Actuate, profile::delete),
    row("AddConfiguration", Actuate, profile::add),
    row("RemoveConfiguration", Actuate, profile::remove),
    row("GetVideoSourceConfigurations", ReadMedia, configurations::views),
    row("GetVideoSourceConfigurationOptions", ReadMedia, configurations::view_options),
    row("SetVideoSourceConfiguration", Actuate, configurations::set_view),
    row("GetVideoEncoderConfigurations", ReadMedia, configurations::encoders),
    row("GetVideoEncoderConfigurationOptions", ReadMedia, configurations::encoder_options),
    row("SetVideoEncoderConfiguration", Actuate, configurations::set_encoder),
    row("GetVideoEncoderInstances", ReadMedia, configurations::instances),
    row("GetMetadataConfigurations", ReadMedia, configurations::metadata),
    row("GetMetadataConfigurationOptions", ReadMedia, configurations::metadata_options),
    row("SetMetadataConfiguration", Actuate, configurations::set_metadata),
    row("GetStreamUri", ReadMedia, stream_uri),
    row("GetSnapshotUri", ReadMedia, snapshot_uri),
    row("SetSynchronizationPoint", Actuate, synchronize),
    row("StartMulticastStreaming", Actuate, |call, asked, _| {
        let token = needed(asked, "ProfileToken")?;
        multicast::stream(call, token, true, "tr2:StartMulticastStreamingResponse")
    }),
    row("StopMulticastStreaming", Actuate, |call, asked, _| {
        let token = needed(asked, "ProfileToken")?;
        multicast::stream(call, token, false, "tr2:StopMulticastStreamingResponse")
    }),
    row("GetOSDs", ReadMedia, |call, asked, w| {
        osds::get_all(call, asked, ("tr2:GetOSDsResponse", "tr2:OSDs"), w)
    }),
    row("GetOSDOptions", ReadMedia, |call, asked, w| {
        osds::options(call, asked, ("tr2:GetOSDOptionsResponse", "tr2:OSDOptions"), w)
    }),
    row("CreateOSD", Actuate, |call, asked, _| {
        osds::create(call, asked, ("tr2:CreateOSDResponse", "tr2:OSDToken"))
    }),
    row("SetOSD", Actuate, |call, asked, _| osds::set(call, asked, "tr2:SetOSDResponse")),
    row("DeleteOSD", Actuate, |call, asked, _| osds::delete(call, asked, "tr2:DeleteOSDResponse")),
    row("GetAudioSourceConfigurations", ReadMedia, none),
    row("GetAudioEncoderConfigurations", ReadMedia, none),
    row("GetAudioOutputConfigurations", ReadMedia, none),
    row("GetAudioDecoderConfigurations", ReadMedia, none),
    row("GetAnalyticsConfigurations", ReadMedia, none),
    row("GetAudioSourceConfigurationOptions", ReadMedia, no_audio),
    row("GetAudioEncoderConfigurationOptions", ReadMedia, no_audio),
    row("GetAudioOutputConfigurationOptions", ReadMedia, no_audio),
    row("GetAudioDecoderConfigurationOptions", ReadMedia, no_audio),
    row("SetAudioSourceConfiguration", Actuate, no_audio),
    row("SetAudioEncoderConfiguration", Actuate, no_audio),
    row("SetAudioOutputConfiguration", Actuate, no_audio),
    row("SetAudioDecoderConfiguration", Actuate, no_audio),
];
