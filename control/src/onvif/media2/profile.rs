//! Media profiles, as Media2 has them.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::entities::{camera, encoder_of, ptz_camera};
use crate::onvif::profiles::{self, Part};
use crate::onvif::{encoders, metadata, ptz, sources};
use crate::profiles::Profile;
use crate::soap::{Fault, Node, Writer};

/// Most configurations that a request names.
const MOST: usize = 16;

/// `tr2:MediaProfile` with those of its configurations that are wanted.
fn write(call: &mut Call<'_>, profile: &Profile, wanted: &[Part], all: &[Profile], w: &mut Writer) {
    let uses = |token: &str| profiles::uses(all, token);
    w.open("tr2:Profiles").attribute("token", &profile.token).attribute("fixed", profile.fixed);
    w.leaf("tr2:Name", &profile.name);
    if wanted.is_empty() {
        w.close();
        return;
    }
    w.open("tr2:Configurations");
    if wanted.contains(&Part::Source)
        && let Some(id) = profiles::camera_of(call, profile)
        && let Some(camera) = camera(call.desk, id)
    {
        sources::write("tr2:VideoSource", &camera, uses(&camera.view()), w);
    }
    if let Some(token) = profile.encoder.as_ref().filter(|_| wanted.contains(&Part::Encoder))
        && let Some(encoder) = encoder_of(call.desk, token)
    {
        encoders::write2(call, "tr2:VideoEncoder", &encoder, uses(token), w);
    }
    if let Some(token) = profile.ptz.as_ref().filter(|_| wanted.contains(&Part::Ptz))
        && let Some(id) = ptz_camera(call.desk, token)
        && let Some(camera) = camera(call.desk, id)
    {
        ptz::write_configuration(call, "tr2:PTZ", &camera, uses(token), w);
    }
    if let Some(token) = profile.metadata.as_ref().filter(|_| wanted.contains(&Part::Metadata))
        && let Ok(camera) = metadata::by_token(call, token)
    {
        metadata::write(call, "tr2:Metadata", &camera, uses(token), w);
    }
    w.close().close();
}

pub(super) fn get_all(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let all = profiles::all(call);
    let shown = match asked.value("Token").filter(|t| !t.is_empty()) {
        Some(token) => vec![profiles::find(call, token)?],
        None => all.clone(),
    };
    let types: Vec<&str> = asked.all("Type").take(MOST).map(Node::text).collect();
    let wanted: Vec<Part> = if types.contains(&"All") {
        Part::ALL.to_vec()
    } else {
        types.iter().filter_map(|name| Part::parse(name)).collect()
    };
    w.open("tr2:GetProfilesResponse");
    for profile in &shown {
        write(call, profile, &wanted, &all, w);
    }
    w.close();
    Ok(Done::Now)
}

/// The kinds of configurations that are known, but that this device has none of.
const ABSENT: [&str; 6] =
    ["AudioSource", "AudioEncoder", "AudioOutput", "AudioDecoder", "Analytics", "Receiver"];

/// The configurations that a request names, in its order: an encoder may come before its source.
fn parts(asked: Node<'_>) -> Result<Vec<(Part, Option<String>)>, Fault> {
    let mut out = Vec::new();
    for node in asked.all("Configuration").take(MOST) {
        let kind = needed(node, "Type")?;
        let token = node.value("Token").filter(|t| !t.is_empty()).map(str::to_owned);
        match Part::parse(kind) {
            Some(part) => out.push((part, token)),
            None if kind == "All" => out.extend(Part::ALL.map(|part| (part, None))),
            None if ABSENT.contains(&kind) => {
                return Err(profiles::no_config(token.as_deref().unwrap_or(kind)));
            }
            None => return Err(Fault::invalid_args(format!("there is no type {kind:?}"))),
        }
    }
    out.sort_by_key(|(part, _)| *part != Part::Source);
    Ok(out)
}

/// The same, where each needs its token.
fn named(asked: Node<'_>) -> Result<Vec<(Part, String)>, Fault> {
    let missing = |part: Part| Fault::invalid_args(format!("the Token of {part:?} is missing"));
    parts(asked)?
        .into_iter()
        .map(|(part, token)| Ok((part, token.ok_or_else(|| missing(part))?)))
        .collect()
}

pub(super) fn create(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    profiles::create(call, needed(asked, "Name")?, None, &named(asked)?, |w, profile| {
        w.open("tr2:CreateProfileResponse").leaf("tr2:Token", &profile.token).close();
    })
}

pub(super) fn delete(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    profiles::delete(call, needed(asked, "Token")?, "tr2:DeleteProfileResponse")
}

pub(super) fn add(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let token = needed(asked, "ProfileToken")?;
    let name = asked.value("Name").filter(|name| !name.is_empty());
    profiles::add(call, token, name, &named(asked)?, "tr2:AddConfigurationResponse", w)
}

pub(super) fn remove(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let token = needed(asked, "ProfileToken")?;
    let parts: Vec<Part> = parts(asked)?.into_iter().map(|(part, _)| part).collect();
    profiles::remove(call, token, &parts, "tr2:RemoveConfigurationResponse", w)
}
