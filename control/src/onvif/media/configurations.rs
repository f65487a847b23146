//! Configurations of sources, encoders and metadata, as Media1 has them.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::entities::{Encoder, cameras};
use crate::onvif::{encoders as coding, metadata as meta, profiles, sources as views_of};
use crate::soap::{Node, Writer};
use lensd_ffi::unit::Codec;

pub(super) fn sources(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("trt:GetVideoSourcesResponse");
    for camera in cameras(call.desk) {
        views_of::write_source("trt:VideoSources", &camera, w);
    }
    w.close();
    Ok(Done::Now)
}

fn write_views(
    call: &mut Call<'_>,
    asked: Node<'_>,
    (response, item): (&'static str, &'static str),
    w: &mut Writer,
) -> Answer {
    let list = views_of::asked(call, asked)?;
    let all = profiles::all(call);
    w.open(response);
    for camera in list {
        views_of::write(item, &camera, profiles::uses(&all, &camera.view()), w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn views(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let names = ("trt:GetVideoSourceConfigurationsResponse", "trt:Configurations");
    write_views(call, asked, names, w)
}

pub(super) fn view(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    needed(asked, "ConfigurationToken")?;
    let names = ("trt:GetVideoSourceConfigurationResponse", "trt:Configuration");
    write_views(call, asked, names, w)
}

pub(super) fn compatible_views(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    needed(asked, "ProfileToken")?;
    let names = ("trt:GetCompatibleVideoSourceConfigurationsResponse", "trt:Configurations");
    write_views(call, asked, names, w)
}

pub(super) fn view_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = views_of::asked(call, asked)?;
    w.open("trt:GetVideoSourceConfigurationOptionsResponse");
    views_of::write_options(call, "trt:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_view(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    views_of::set(call, asked, "trt:SetVideoSourceConfigurationResponse", w)
}

fn write_encoders(
    call: &mut Call<'_>,
    list: &[Encoder],
    (response, item): (&'static str, &'static str),
    w: &mut Writer,
) -> Answer {
    let all = profiles::all(call);
    w.open(response);
    for encoder in list.iter().filter(|e| e.codec != Codec::H265) {
        coding::write(call, item, encoder, profiles::uses(&all, &encoder.token()), w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn encoders(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = coding::asked(call, asked)?;
    let names = ("trt:GetVideoEncoderConfigurationsResponse", "trt:Configurations");
    write_encoders(call, &list, names, w)
}

pub(super) fn encoder(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let token = needed(asked, "ConfigurationToken")?;
    let list = coding::asked(call, asked)?;
    if list.iter().all(|e| e.codec == Codec::H265) {
        return Err(profiles::no_config(token));
    }
    let names = ("trt:GetVideoEncoderConfigurationResponse", "trt:Configuration");
    write_encoders(call, &list, names, w)
}

/// Those of the camera that the profile shows; of all, where it shows none yet.
pub(super) fn compatible_encoders(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = coding::fitting(call, needed(asked, "ProfileToken")?)?;
    let names = ("trt:GetCompatibleVideoEncoderConfigurationsResponse", "trt:Configurations");
    write_encoders(call, &list, names, w)
}

pub(super) fn encoder_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = coding::asked_options(call, asked)?;
    w.open("trt:GetVideoEncoderConfigurationOptionsResponse");
    coding::write_options("trt:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_encoder(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    coding::set(call, asked, "trt:SetVideoEncoderConfigurationResponse")
}

/// Each camera has its own encoders, which all run at the same time.
pub(super) fn instances(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let camera = views_of::by_view(call, needed(asked, "ConfigurationToken")?)?;
    let (total, jpeg, h264) = numbers(&crate::onvif::entities::encoders(call.desk, &camera));
    w.open("trt:GetGuaranteedNumberOfVideoEncoderInstancesResponse");
    w.leaf("trt:TotalNumber", total).leaf("trt:JPEG", jpeg).leaf("trt:H264", h264);
    w.leaf("trt:MPEG4", 0).close();
    Ok(Done::Now)
}

/// All of them, those that can be JPEG, and those that can be H.264.
fn numbers(list: &[Encoder]) -> (usize, usize, usize) {
    let fixed = list.iter().filter(|e| e.codec == Codec::H265).count();
    let jpeg_only = list.iter().filter(|e| e.kind == crate::onvif::entities::Kind::Mjpeg).count();
    (list.len(), list.len() - fixed, list.len() - fixed - jpeg_only)
}

fn write_metadata(
    call: &mut Call<'_>,
    asked: Node<'_>,
    (response, item): (&'static str, &'static str),
    w: &mut Writer,
) -> Answer {
    let list = meta::asked(call, asked)?;
    let all = profiles::all(call);
    w.open(response);
    for camera in list {
        meta::write(call, item, &camera, profiles::uses(&all, &camera.metadata()), w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn all_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let names = ("trt:GetMetadataConfigurationsResponse", "trt:Configurations");
    write_metadata(call, asked, names, w)
}

pub(super) fn metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    needed(asked, "ConfigurationToken")?;
    let names = ("trt:GetMetadataConfigurationResponse", "trt:Configuration");
    write_metadata(call, asked, names, w)
}

pub(super) fn compatible_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    needed(asked, "ProfileToken")?;
    let names = ("trt:GetCompatibleMetadataConfigurationsResponse", "trt:Configurations");
    write_metadata(call, asked, names, w)
}

pub(super) fn metadata_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = meta::asked(call, asked)?;
    w.open("trt:GetMetadataConfigurationOptionsResponse");
    meta::write_options("trt:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    meta::set(call, asked, "trt:SetMetadataConfigurationResponse", w)
}
