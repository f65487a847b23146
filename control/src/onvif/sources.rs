//! Video sources and their configurations: a camera, and its whole picture.

use super::call::{Answer, Call, Done};
use super::encoders::range;
use super::entities::{Camera, camera, cameras, source_camera};
use super::profiles;
use crate::soap::{Fault, Node, Writer};

/// `tt:VideoSource`.
pub(super) fn write_source(name: &'static str, camera: &Camera, w: &mut Writer) {
    w.open(name).attribute("token", camera.token());
    w.leaf("tt:Framerate", (camera.fps * 1000.0).round() / 1000.0);
    w.open("tt:Resolution").leaf("tt:Width", camera.width).leaf("tt:Height", camera.height);
    w.close().close();
}

/// `tt:VideoSourceConfiguration`.
pub(super) fn write(name: &'static str, camera: &Camera, uses: usize, w: &mut Writer) {
    w.open(name).attribute("token", camera.view());
    w.leaf("tt:Name", &camera.name).leaf("tt:UseCount", uses);
    w.leaf("tt:SourceToken", camera.token());
    w.open("tt:Bounds").attribute("x", 0).attribute("y", 0);
    w.attribute("width", camera.width).attribute("height", camera.height).close();
    w.close();
}

/// The cameras whose configurations a request means: of a token, of a profile, or all.
pub(super) fn asked(call: &mut Call<'_>, node: Node<'_>) -> Result<Vec<Camera>, Fault> {
    if let Some(token) = node.value("ConfigurationToken").filter(|t| !t.is_empty()) {
        return Ok(vec![by_view(call, token)?]);
    }
    if let Some(token) = node.value("ProfileToken").filter(|t| !t.is_empty()) {
        // Every camera's fits into every profile.
        profiles::find(call, token)?;
    }
    Ok(cameras(call.desk))
}

/// The camera of a video source configuration.
pub(super) fn by_view(call: &mut Call<'_>, token: &str) -> Result<Camera, Fault> {
    let found = source_camera(call.desk, token).and_then(|id| camera(call.desk, id));
    found.ok_or_else(|| profiles::no_config(token))
}

/// `tt:VideoSourceConfigurationOptions`: the whole picture, nothing else.
pub(super) fn write_options(
    call: &mut Call<'_>,
    name: &'static str,
    list: &[Camera],
    w: &mut Writer,
) {
    let most = profiles::most(call);
    let least = |side: fn(&Camera) -> u32| list.iter().map(side).min().unwrap_or_default();
    let greatest = |side: fn(&Camera) -> u32| list.iter().map(side).max().unwrap_or_default();
    w.open(name).attribute("MaximumNumberOfProfiles", most);
    w.open("tt:BoundsRange");
    range("tt:XRange", (0, 0), w);
    range("tt:YRange", (0, 0), w);
    range("tt:WidthRange", (least(|c| c.width), greatest(|c| c.width)), w);
    range("tt:HeightRange", (least(|c| c.height), greatest(|c| c.height)), w);
    w.close();
    for camera in list {
        w.leaf("tt:VideoSourceTokensAvailable", camera.token());
    }
    w.close();
}

/// `SetVideoSourceConfiguration`: nothing of it can be another, so the same is taken and all else
/// refused.
pub(super) fn set(
    call: &mut Call<'_>,
    request: Node<'_>,
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    let node = request.child("Configuration");
    let node = node.ok_or_else(|| Fault::invalid_args("Configuration is missing"))?;
    let camera = by_view(call, node.attribute("token").unwrap_or_default())?;
    let refuse = |why: String| Err(Fault::invalid_value("ter:ConfigModify", why));
    if node.value("SourceToken").is_some_and(|token| token != camera.token()) {
        return refuse(format!("this configuration is of the source {:?}", camera.token()));
    }
    let Some(bounds) = node.child("Bounds") else {
        return Err(Fault::invalid_args("Bounds are missing"));
    };
    let side = |name: &str| bounds.attribute(name).and_then(|text| text.parse::<u32>().ok());
    let whole = (Some(0), Some(0), Some(camera.width), Some(camera.height));
    if (side("x"), side("y"), side("width"), side("height")) != whole {
        let (width, height) = (camera.width, camera.height);
        return refuse(format!("Bounds must be the whole picture: 0, 0, {width}x{height}"));
    }
    w.empty(response);
    Ok(Done::Now)
}
