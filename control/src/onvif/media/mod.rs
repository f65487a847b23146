//! The media service, version 1 (ONVIF Media Service Specification): what Profile S clients use.
//!
//! H.265 has no words here: a stream of it is told by Media2 only.

mod audio;
mod configurations;
mod profile;
mod streaming;

pub(super) use streaming::synchronize;

use super::call::{Answer, Call, Handler};
use super::services::{self, Service};
use super::table::Class::{self, Actuate, PreAuth, ReadMedia};
use super::table::Operation;
use super::{osds, profiles};
use crate::soap::{Node, Ns, Writer};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Trt,
    path: "media_service",
    version: (20, 12),
    capabilities: write_capabilities,
    section: Some(("Media", section)),
    is_there: |_| true,
};

fn write_capabilities(call: &mut Call<'_>, w: &mut Writer) {
    let most = profiles::most(call);
    w.open("trt:Capabilities");
    for (name, has) in [
        ("SnapshotUri", true),
        ("Rotation", false),
        ("VideoSourceMode", false),
        ("OSD", true),
        ("TemporaryOSDText", false),
        ("EXICompression", false),
    ] {
        w.attribute(name, has);
    }
    w.open("trt:ProfileCapabilities").attribute("MaximumNumberOfProfiles", most).close();
    w.open("trt:StreamingCapabilities").attribute("RTPMulticast", true);
    w.attribute("RTP_TCP", false).attribute("RTP_RTSP_TCP", true);
    w.attribute("NonAggregateControl", false).attribute("NoRTSPStreaming", false).close();
    w.close();
}

fn section(call: &mut Call<'_>, w: &mut Writer) {
    let most = profiles::most(call);
    w.open("tt:Media").leaf("tt:XAddr", call.address.service(SERVICE.path));
    w.open("tt:StreamingCapabilities").leaf("tt:RTPMulticast", true);
    w.leaf("tt:RTP_TCP", false).leaf("tt:RTP_RTSP_TCP", true).close();
    w.open("tt:Extension").open("tt:ProfileCapabilities");
    w.leaf("tt:MaximumNumberOfProfiles", most).close().close().close();
}

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "trt:GetServiceCapabilitiesResponse", w)
}

const fn row(name: &'static str, class: Class, handler: Handler) -> Operation {
    Operation::new(Ns::Trt, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServiceCapabilities", PreAuth, capabilities),
    row("GetProfiles", ReadMedia, profile::get_all),
    row("GetProfile", ReadMedia, profile::get),
    row("CreateProfile", Actuate, profile::create),
    row("DeleteProfile", Actuate, profile::delete),
    row("AddVideoSourceConfiguration", Actuate, profile::add_source),
    row("AddVideoEncoderConfiguration", Actuate, profile::add_encoder),
    row("AddPTZConfiguration", Actuate, profile::add_ptz),
    row("AddMetadataConfiguration", Actuate, profile::add_metadata),
    row("RemoveVideoSourceConfiguration", Actuate, profile::remove_source),
    row("RemoveVideoEncoderConfiguration", Actuate, profile::remove_encoder),
    row("RemovePTZConfiguration", Actuate, profile::remove_ptz),
    row("RemoveMetadataConfiguration", Actuate, profile::remove_metadata),
    row("GetVideoSources", ReadMedia, configurations::sources),
    row("GetVideoSourceConfigurations", ReadMedia, configurations::views),
    row("GetVideoSourceConfiguration", ReadMedia, configurations::view),
    row("GetCompatibleVideoSourceConfigurations", ReadMedia, configurations::compatible_views),
    row("GetVideoSourceConfigurationOptions", ReadMedia, configurations::view_options),
    row("SetVideoSourceConfiguration", Actuate, configurations::set_view),
    row("GetVideoEncoderConfigurations", ReadMedia, configurations::encoders),
    row("GetVideoEncoderConfiguration", ReadMedia, configurations::encoder),
    row("GetCompatibleVideoEncoderConfigurations", ReadMedia, configurations::compatible_encoders),
    row("GetVideoEncoderConfigurationOptions", ReadMedia, configurations::encoder_options),
    row("SetVideoEncoderConfiguration", Actuate, configurations::set_encoder),
    row("GetGuaranteedNumberOfVideoEncoderInstances", ReadMedia, configurations::instances),
    row("GetMetadataConfigurations", ReadMedia, configurations::all_metadata),
    row("GetMetadataConfiguration", ReadMedia, configurations::metadata),
    row("GetCompatibleMetadataConfigurations", ReadMedia, configurations::compatible_metadata),
    row("GetMetadataConfigurationOptions", ReadMedia, configurations::metadata_options),
    row("SetMetadataConfiguration", Actuate, configurations::set_metadata),
    row("GetStreamUri", ReadMedia, streaming::stream_uri),
    row("GetSnapshotUri", ReadMedia, streaming::snapshot_uri),
    row("SetSynchronizationPoint", Actuate, streaming::synchronize),
    row("StartMulticastStreaming", Actuate, streaming::start_multicast),
    row("StopMulticastStreaming", Actuate, streaming::stop_multicast),
    row("GetOSDs", ReadMedia, |call, asked, w| {
        osds::get_all(call, asked, ("trt:GetOSDsResponse", "trt:OSDs"), w)
    }),
    row("GetOSD", ReadMedia, osds::get),
    row("GetOSDOptions", ReadMedia, |call, asked, w| {
        osds::options(call, asked, ("trt:GetOSDOptionsResponse", "trt:OSDOptions"), w)
    }),
    row("CreateOSD", Actuate, |call, asked, _| {
        osds::create(call, asked, ("trt:CreateOSDResponse", "trt:OSDToken"))
    }),
    row("SetOSD", Actuate, |call, asked, _| osds::set(call, asked, "trt:SetOSDResponse")),
    row("DeleteOSD", Actuate, |call, asked, _| osds::delete(call, asked, "trt:DeleteOSDResponse")),
    row("GetAudioSources", ReadMedia, audio::none),
    row("GetAudioOutputs", ReadMedia, audio::none),
    row("GetAudioSourceConfigurations", ReadMedia, audio::none),
    row("GetAudioEncoderConfigurations", ReadMedia, audio::none),
    row("GetAudioOutputConfigurations", ReadMedia, audio::none),
    row("GetAudioDecoderConfigurations", ReadMedia, audio::none),
    row("GetCompatibleAudioSourceConfigurations", ReadMedia, audio::none_fits),
    row("GetCompatibleAudioEncoderConfigurations", ReadMedia, audio::none_fits),
    row("GetCompatibleAudioOutputConfigurations", ReadMedia, audio::none_fits),
    row("GetCompatibleAudioDecoderConfigurations", ReadMedia, audio::none_fits),
    row("GetVideoAnalyticsConfigurations", ReadMedia, audio::none),
    row("GetCompatibleVideoAnalyticsConfigurations", ReadMedia, audio::none_fits),
    row("GetAudioSourceConfiguration", ReadMedia, audio::unknown),
    row("GetAudioEncoderConfiguration", ReadMedia, audio::unknown),
    row("GetAudioOutputConfiguration", ReadMedia, audio::unknown),
    row("GetAudioDecoderConfiguration", ReadMedia, audio::unknown),
    row("GetVideoAnalyticsConfiguration", ReadMedia, audio::unknown),
    row("GetAudioSourceConfigurationOptions", ReadMedia, audio::unsupported),
    row("GetAudioEncoderConfigurationOptions", ReadMedia, audio::unsupported),
    row("GetAudioOutputConfigurationOptions", ReadMedia, audio::unsupported),
    row("GetAudioDecoderConfigurationOptions", ReadMedia, audio::unsupported),
    row("SetAudioSourceConfiguration", Actuate, audio::unsupported),
    row("SetAudioEncoderConfiguration", Actuate, audio::unsupported),
    row("SetAudioOutputConfiguration", Actuate, audio::unsupported),
    row("SetAudioDecoderConfiguration", Actuate, audio::unsupported),
    row("AddAudioSourceConfiguration", Actuate, audio::unsupported),
    row("AddAudioEncoderConfiguration", Actuate, audio::unsupported),
    row("AddAudioOutputConfiguration", Actuate, audio::unsupported),
    row("AddAudioDecoderConfiguration", Actuate, audio::unsupported),
    row("RemoveAudioSourceConfiguration", Actuate, audio::nothing_removed),
    row("RemoveAudioEncoderConfiguration", Actuate, audio::nothing_removed),
    row("RemoveAudioOutputConfiguration", Actuate, audio::nothing_removed),
    row("RemoveAudioDecoderConfiguration", Actuate, audio::nothing_removed),
];
