//! Configurations of sources, encoders and metadata, as Media2 has them.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::{encoders as coding, metadata as meta, profiles, sources};
use crate::soap::{Node, Writer};
use lensd_ffi::unit::Codec;

pub(super) fn views(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = sources::asked(call, asked)?;
    let all = profiles::all(call);
    w.open("tr2:GetVideoSourceConfigurationsResponse");
    for camera in list {
        let uses = profiles::uses(&all, &camera.view());
        sources::write("tr2:Configurations", &camera, uses, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn view_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = sources::asked(call, asked)?;
    w.open("tr2:GetVideoSourceConfigurationOptionsResponse");
    sources::write_options(call, "tr2:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_view(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    sources::set(call, asked, "tr2:SetVideoSourceConfigurationResponse", w)
}

pub(super) fn encoders(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = asked.value("ProfileToken").filter(|t| !t.is_empty());
    let list = match (profile, asked.value("ConfigurationToken").filter(|t| !t.is_empty())) {
        (Some(profile), None) => coding::fitting(call, profile)?,
        _ => coding::asked(call, asked)?,
    };
    let all = profiles::all(call);
    w.open("tr2:GetVideoEncoderConfigurationsResponse");
    for encoder in &list {
        let uses = profiles::uses(&all, &encoder.token());
        coding::write2(call, "tr2:Configurations", encoder, uses, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn encoder_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = coding::asked_options(call, asked)?;
    w.open("tr2:GetVideoEncoderConfigurationOptionsResponse");
    coding::write_options2("tr2:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_encoder(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    coding::set(call, asked, "tr2:SetVideoEncoderConfigurationResponse")
}

/// Each camera has its own encoders, which all run at the same time.
pub(super) fn instances(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let camera = sources::by_view(call, needed(asked, "ConfigurationToken")?)?;
    let encoders = crate::onvif::entities::encoders(call.desk, &camera);
    w.open("tr2:GetVideoEncoderInstancesResponse").open("tr2:Info");
    for codec in [Codec::H264, Codec::H265, Codec::Jpeg] {
        let can = |e: &&_| coding::options(&camera, e).codecs.contains(&codec);
        let number = encoders.iter().filter(can).count();
        if number > 0 {
            w.open("tr2:Codec").leaf("tr2:Encoding", coding::subtype(codec));
            w.leaf("tr2:Number", number).close();
        }
    }
    w.leaf("tr2:Total", encoders.len()).close().close();
    Ok(Done::Now)
}

pub(super) fn metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = meta::asked(call, asked)?;
    let all = profiles::all(call);
    w.open("tr2:GetMetadataConfigurationsResponse");
    for camera in list {
        let uses = profiles::uses(&all, &camera.metadata());
        meta::write(call, "tr2:Configurations", &camera, uses, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn metadata_options(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let list = meta::asked(call, asked)?;
    w.open("tr2:GetMetadataConfigurationOptionsResponse");
    meta::write_options("tr2:Options", &list, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn set_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    meta::set(call, asked, "tr2:SetMetadataConfigurationResponse", w)
}
