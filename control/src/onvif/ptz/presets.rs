//! Presets, and the home position.

use super::moves::{known, speed};
use super::spaces::{POSITION, write_vector};
use super::{act, camera_of};
use crate::onvif::call::{Answer, Call, Done, needed};
use crate::ptz::{self, Act};
use crate::soap::{Fault, Node, Writer};

/// Stands before the tokens of presets: some clients take a token of digits for a number.
const PREFIX: &str = "preset-";

fn told(token: &str) -> String {
    format!("{PREFIX}{token}")
}

/// The token of a preset in a request, as it is kept.
fn token_of(asked: Node<'_>) -> Result<String, Fault> {
    let token = needed(asked, "PresetToken")?;
    let own = token.strip_prefix(PREFIX).filter(|own| !own.is_empty()).map(str::to_owned);
    own.ok_or_else(|| Fault::invalid_value("ter:NoToken", format!("there is no preset {token:?}")))
}

pub(super) fn all(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    w.open("tptz:GetPresetsResponse");
    for preset in ptz::presets_of(call.desk, camera) {
        w.open("tptz:Preset").attribute("token", told(&preset.token));
        w.leaf("tt:Name", &preset.name).open("tt:PTZPosition");
        write_vector(preset.position(), POSITION, w);
        w.close().close();
    }
    w.close();
    Ok(Done::Now)
}

pub(super) fn set(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let given = asked.value("PresetToken").is_some_and(|token| !token.is_empty());
    let token = if given { Some(token_of(asked)?) } else { None };
    let name = asked.value("PresetName").filter(|name| !name.is_empty()).map(str::to_owned);
    act(call, camera, Act::Save { token, name }, "ter:InvalidPresetName", |w, done, _| {
        let token = done.preset.as_ref().map(|p| told(&p.token)).unwrap_or_default();
        w.open("tptz:SetPresetResponse").leaf("tptz:PresetToken", token).close();
    })
}

pub(super) fn remove(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let token = token_of(asked)?;
    act(call, camera, Act::Remove { token }, "ter:InvalidArgVal", |w, _, _| {
        w.empty("tptz:RemovePresetResponse");
    })
}

pub(super) fn go(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let token = token_of(asked)?;
    let status = known(call, camera);
    let speed = speed(asked, &status)?;
    act(call, camera, Act::GoTo { token, speed }, "ter:InvalidSpeed", |w, _, _| {
        w.empty("tptz:GotoPresetResponse");
    })
}

pub(super) fn set_home(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    act(call, camera, Act::SetHome, "ter:InvalidArgVal", |w, _, _| {
        w.empty("tptz:SetHomePositionResponse");
    })
}

pub(super) fn go_home(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    let camera = camera_of(call, asked)?;
    let status = known(call, camera);
    let speed = speed(asked, &status)?;
    act(call, camera, Act::GoHome { speed }, "ter:InvalidSpeed", |w, _, _| {
        w.empty("tptz:GotoHomePositionResponse");
    })
}
