//! Media profiles: those that are there of themselves, one for each stream of a camera, and those
//! that clients have made. Media1 and Media2 tell the same ones by the same tokens.
//!
//! The largest comes first: recorders take the first profile as the main stream, and the second as
//! the small one.

use super::call::{Answer, Call, Done};
use super::entities::{Camera, Encoder, Kind, cameras, encoder_of, metadata_camera, ptz_camera};
use super::entities::{encoders, source_camera};
use super::events;
use crate::profiles::{self as kept, LONGEST, MOST, Profile};
use crate::soap::{Fault, Writer};
use serde_json::json;
use std::collections::BTreeSet;

/// The setting that keeps them.
const KEY: &str = "onvif-profiles";

/// What a profile consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Video source configuration.
    Source,
    /// Video encoder configuration.
    Encoder,
    /// PTZ configuration.
    Ptz,
    /// Metadata configuration.
    Metadata,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Source, Self::Encoder, Self::Ptz, Self::Metadata];

    /// Where a profile has it.
    pub(super) const fn of(self, profile: &mut Profile) -> &mut Option<String> {
        match self {
            Self::Source => &mut profile.source,
            Self::Encoder => &mut profile.encoder,
            Self::Ptz => &mut profile.ptz,
            Self::Metadata => &mut profile.metadata,
        }
    }

    /// Its name in Media2 (`tr2:ConfigurationEnumeration`).
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "VideoSource" => Self::Source,
            "VideoEncoder" => Self::Encoder,
            "PTZ" => Self::Ptz,
            "Metadata" => Self::Metadata,
            _ => return None,
        })
    }

    /// The camera that a token of such a configuration is of.
    fn camera(self, call: &mut Call<'_>, token: &str) -> Option<u32> {
        match self {
            Self::Source => source_camera(call.desk, token),
            Self::Encoder => encoder_of(call.desk, token).map(|e| e.camera),
            Self::Ptz => ptz_camera(call.desk, token),
            Self::Metadata => metadata_camera(call.desk, token),
        }
    }
}

/// The profile of a stream as it is there of itself.
fn fixed(camera: &Camera, encoder: &Encoder) -> Profile {
    let (id, kind) = (camera.id, encoder.kind);
    Profile {
        token: format!("profile-cam{id}-{}", kind.name()),
        name: format!("cam{id} {}", kind.name()),
        source: Some(camera.view()),
        encoder: Some(encoder.token()),
        ptz: camera.movable.then(|| camera.ptz()),
        // Beside the stream that is recorded, and not beside those that are only looked at.
        metadata: (kind == Kind::Main).then(|| camera.metadata()),
        fixed: true,
    }
}

/// All profiles.
pub(super) fn all(call: &mut Call<'_>) -> Vec<Profile> {
    let kept = kept::parse(&call.value(KEY)).unwrap_or_default();
    let mut cameras = cameras(call.desk);
    cameras.sort_by_key(|c| std::cmp::Reverse(u64::from(c.width) * u64::from(c.height)));
    let mut out = Vec::new();
    for camera in &cameras {
        for encoder in encoders(call.desk, camera) {
            let profile = fixed(camera, &encoder);
            let changed = kept.iter().find(|p| p.fixed && p.token == profile.token);
            out.push(changed.cloned().unwrap_or(profile));
        }
    }
    out.extend(kept.into_iter().filter(|p| !p.fixed));
    out
}

/// How many there can be.
pub(super) fn most(call: &mut Call<'_>) -> usize {
    cameras(call.desk).len() * Kind::ALL.len() + MOST
}

/// How many profiles have a configuration.
pub(super) fn uses(profiles: &[Profile], token: &str) -> usize {
    let has = |p: &&Profile| {
        [&p.source, &p.encoder, &p.ptz, &p.metadata].into_iter().flatten().any(|t| t == token)
    };
    profiles.iter().filter(has).count()
}

/// A profile by its token.
pub(super) fn find(call: &mut Call<'_>, token: &str) -> Result<Profile, Fault> {
    let found = all(call).into_iter().find(|p| p.token == token);
    found.ok_or_else(|| {
        Fault::invalid_value("ter:NoProfile", format!("there is no profile {token:?}"))
    })
}

/// That a configuration is unknown.
pub(super) fn no_config(token: &str) -> Fault {
    Fault::invalid_value("ter:NoConfig", format!("there is no configuration {token:?}"))
}

/// Keeps profiles of which one, `token`, is another than before; answers when they are stored, and
/// tells who has subscribed to that.
fn keep(
    call: &mut Call<'_>,
    profiles: Vec<Profile>,
    token: String,
    write: impl FnOnce(&mut Writer) + 'static,
) -> Answer {
    let changes = vec![(KEY.to_owned(), json!(profiles))];
    call.change(changes, "ter:InvalidArgVal", move |desk, w, at| {
        write(w);
        events::profile_changed(desk, &token, at);
        Ok(())
    })
}

/// What is kept, with this profile in its present form.
fn kept_with(call: &Call<'_>, profile: Profile) -> Vec<Profile> {
    let mut list = kept::parse(&call.value(KEY)).unwrap_or_default();
    match list.iter_mut().find(|p| p.token == profile.token) {
        Some(old) => *old = profile,
        None => list.push(profile),
    }
    list
}

/// Makes a profile with these configurations, and answers with what `then` writes of its token.
pub(super) fn create(
    call: &mut Call<'_>,
    name: &str,
    token: Option<&str>,
    parts: &[(Part, String)],
    then: impl FnOnce(&mut Writer, &Profile) + 'static,
) -> Answer {
    if !kept::is_name(name) || name.trim().is_empty() {
        let why = format!("Name must have 1 to {LONGEST} characters");
        return Err(Fault::invalid_args(why));
    }
    if token.is_some_and(|token| !kept::is_token(token)) {
        let why = format!("Token must have 1 to {LONGEST} plain characters");
        return Err(Fault::invalid_args(why));
    }
    let all = all(call);
    let mut list = kept::parse(&call.value(KEY)).unwrap_or_default();
    if list.iter().filter(|p| !p.fixed).count() >= MOST {
        let why = format!("clients have made {MOST} profiles already; delete one");
        return Err(Fault::receiver(&["ter:Action", "ter:MaxNVTProfiles"], why));
    }
    let token = match token {
        Some(token) if all.iter().any(|p| p.token == token) => {
            let why = format!("there is a profile {token:?} already");
            return Err(Fault::invalid_value("ter:ProfileExists", why));
        }
        Some(token) => token.to_owned(),
        None => {
            let taken: BTreeSet<&str> = all.iter().map(|p| p.token.as_str()).collect();
            let free = (1..).map(|n| format!("profile-made-{n}"));
            let mut free = free.filter(|token| !taken.contains(token.as_str()));
            free.next().unwrap_or_default()
        }
    };
    let mut profile = Profile { token, name: name.to_owned(), ..Profile::default() };
    for (part, token) in parts {
        put(call, &mut profile, *part, token)?;
    }
    list.push(profile.clone());
    keep(call, list, profile.token.clone(), move |w| then(w, &profile))
}

fn conflict(why: String) -> Fault {
    Fault::receiver(&["ter:Action", "ter:ConfigurationConflict"], why)
}

/// Puts a configuration into a profile.
fn put(call: &mut Call<'_>, profile: &mut Profile, part: Part, token: &str) -> Result<(), Fault> {
    let camera = part.camera(call, token).ok_or_else(|| no_config(token))?;
    if part == Part::Encoder && profile.source.is_none() {
        let why = format!("{:?} has no video source configuration; add that first", profile.token);
        return Err(conflict(why));
    }
    // Everything in a profile is of one camera.
    for other in Part::ALL.into_iter().filter(|other| *other != part) {
        let Some(own) = other.of(profile).clone() else { continue };
        if other.camera(call, &own).is_some_and(|own| own != camera) {
            return Err(conflict(format!("{token:?} is of another camera than {own:?}")));
        }
    }
    *part.of(profile) = Some(token.to_owned());
    Ok(())
}

/// Puts configurations into a profile, and a name, if one is given.
pub(super) fn add(
    call: &mut Call<'_>,
    profile: &str,
    name: Option<&str>,
    parts: &[(Part, String)],
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    let before = find(call, profile)?;
    let mut profile = before.clone();
    if let Some(name) = name {
        if !kept::is_name(name) {
            return Err(Fault::invalid_args(format!("Name must have 1 to {LONGEST} characters")));
        }
        name.clone_into(&mut profile.name);
    }
    for (part, token) in parts {
        put(call, &mut profile, *part, token)?;
    }
    changed(call, &before, profile, response, w)
}

/// Takes configurations out of a profile.
pub(super) fn remove(
    call: &mut Call<'_>,
    profile: &str,
    parts: &[Part],
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    let before = find(call, profile)?;
    let mut profile = before.clone();
    for part in parts {
        // What is not there needs not be removed.
        *part.of(&mut profile) = None;
    }
    changed(call, &before, profile, response, w)
}

fn changed(
    call: &mut Call<'_>,
    before: &Profile,
    profile: Profile,
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    if profile == *before {
        w.empty(response);
        return Ok(Done::Now);
    }
    let token = profile.token.clone();
    let list = kept_with(call, profile);
    keep(call, list, token, move |w| _ = w.empty(response))
}

/// Deletes a profile.
pub(super) fn delete(call: &mut Call<'_>, token: &str, response: &'static str) -> Answer {
    if find(call, token)?.fixed {
        let why = format!("{token:?} is there of itself and cannot be deleted");
        return Err(Fault::sender(&["ter:Action", "ter:DeletionOfFixedProfile"], why));
    }
    let mut list = kept::parse(&call.value(KEY)).unwrap_or_default();
    list.retain(|p| p.token != token);
    keep(call, list, token.to_owned(), move |w| _ = w.empty(response))
}

/// The camera that a profile shows.
pub(super) fn camera_of(call: &mut Call<'_>, profile: &Profile) -> Option<u32> {
    profile.source.as_ref().and_then(|token| source_camera(call.desk, token))
}

/// The stream that a profile means.
pub(super) fn stream_of(call: &mut Call<'_>, profile: &Profile) -> Result<Encoder, Fault> {
    let encoder = profile.encoder.as_ref().and_then(|token| encoder_of(call.desk, token));
    encoder.filter(|_| profile.source.is_some()).ok_or_else(|| {
        let why = "the profile needs a video source and a video encoder configuration";
        Fault::receiver(&["ter:Action", "ter:IncompleteConfiguration"], why)
    })
}
