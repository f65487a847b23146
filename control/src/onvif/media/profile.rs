//! Media profiles, as Media1 has them.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::entities::{camera, encoder_of, ptz_camera};
use crate::onvif::profiles::{self, Part};
use crate::onvif::{encoders, metadata, ptz, sources};
use crate::profiles::Profile;
use crate::soap::{Node, Writer};
use lensd_ffi::unit::Codec;

/// `tt:Profile`. What is not there any more, a camera that was unplugged for good, is left out.
fn write(
    call: &mut Call<'_>,
    name: &'static str,
    profile: &Profile,
    all: &[Profile],
    w: &mut Writer,
) {
    let uses = |token: &str| profiles::uses(all, token);
    w.open(name).attribute("token", &profile.token).attribute("fixed", profile.fixed);
    w.leaf("tt:Name", &profile.name);
    if let Some(id) = profiles::camera_of(call, profile)
        && let Some(camera) = camera(call.desk, id)
    {
        let uses = uses(&camera.view());
        sources::write("tt:VideoSourceConfiguration", &camera, uses, w);
    }
    if let Some(token) = &profile.encoder
        && let Some(encoder) = encoder_of(call.desk, token).filter(|e| e.codec != Codec::H265)
    {
        encoders::write(call, "tt:VideoEncoderConfiguration", &encoder, uses(token), w);
    }
    if let Some(token) = &profile.ptz
        && let Some(id) = ptz_camera(call.desk, token)
        && let Some(camera) = camera(call.desk, id)
    {
        ptz::write_configuration(call, "tt:PTZConfiguration", &camera, uses(token), w);
    }
    if let Some(token) = &profile.metadata
        && let Ok(camera) = metadata::by_token(call, token)
    {
        metadata::write(call, "tt:MetadataConfiguration", &camera, uses(token), w);
    }
    w.close();
}

pub(super) fn get_all(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let all = profiles::all(call);
    w.open("trt:GetProfilesResponse");
    for profile in &all {
        write(call, "trt:Profiles", profile, &all, w);
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn get(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let all = profiles::all(call);
    w.open("trt:GetProfileResponse");
    write(call, "trt:Profile", &profile, &all, w);
    w.close();
    Ok(Done::Now)
}

pub(super) fn create(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let token = asked.value("Token").filter(|t| !t.is_empty());
    // It has nothing in it yet.
    profiles::create(call, needed(asked, "Name")?, token, &[], |w, profile| {
        w.open("trt:CreateProfileResponse").open("trt:Profile");
        w.attribute("token", &profile.token).attribute("fixed", false);
        w.leaf("tt:Name", &profile.name).close().close();
    })
}

pub(super) fn delete(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    profiles::delete(call, needed(asked, "ProfileToken")?, "trt:DeleteProfileResponse")
}

fn add(call: &mut Call<'_>, asked: Node<'_>, part: Part, w: &mut Writer) -> Answer {
    let profile = needed(asked, "ProfileToken")?;
    let parts = [(part, needed(asked, "ConfigurationToken")?.to_owned())];
    profiles::add(call, profile, None, &parts, call.operation.response(), w)
}

fn remove(call: &mut Call<'_>, asked: Node<'_>, part: Part, w: &mut Writer) -> Answer {
    let profile = needed(asked, "ProfileToken")?;
    profiles::remove(call, profile, &[part], call.operation.response(), w)
}

pub(super) fn add_source(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    add(call, asked, Part::Source, w)
}

pub(super) fn add_encoder(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    add(call, asked, Part::Encoder, w)
}

pub(super) fn add_ptz(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    add(call, asked, Part::Ptz, w)
}

pub(super) fn add_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    add(call, asked, Part::Metadata, w)
}

pub(super) fn remove_source(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    remove(call, asked, Part::Source, w)
}

pub(super) fn remove_encoder(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    remove(call, asked, Part::Encoder, w)
}

pub(super) fn remove_ptz(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    remove(call, asked, Part::Ptz, w)
}

pub(super) fn remove_metadata(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    remove(call, asked, Part::Metadata, w)
}
