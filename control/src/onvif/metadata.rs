//! Metadata configurations: what happens before a camera and where it looks, beside its video.
//!
//! The stream carries all of that whenever it is asked for, so nothing of a configuration can be set
//! to something else.

use super::call::{Answer, Call, Done, flag};
use super::encoders::SESSION_TIMEOUT;
use super::entities::{Camera, camera, cameras, metadata_camera};
use super::{multicast, profiles};
use crate::soap::{Fault, Node, Writer};

/// `tt:MetadataConfiguration`.
pub(super) fn write(
    call: &Call<'_>,
    name: &'static str,
    camera: &Camera,
    uses: usize,
    w: &mut Writer,
) {
    w.open(name).attribute("token", camera.metadata());
    w.leaf("tt:Name", format!("cam{} metadata", camera.id)).leaf("tt:UseCount", uses);
    if camera.movable {
        w.open("tt:PTZStatus").leaf("tt:Status", true).leaf("tt:Position", true).close();
    }
    w.empty("tt:Events").leaf("tt:Analytics", false);
    multicast::write(call, None, w);
    w.leaf("tt:SessionTimeout", SESSION_TIMEOUT).close();
}

/// The cameras whose configurations a request means: of a token, of a profile, or all.
pub(super) fn asked(call: &mut Call<'_>, node: Node<'_>) -> Result<Vec<Camera>, Fault> {
    if let Some(token) = node.value("ConfigurationToken").filter(|t| !t.is_empty()) {
        return Ok(vec![by_token(call, token)?]);
    }
    let mut list = cameras(call.desk);
    if let Some(token) = node.value("ProfileToken").filter(|t| !t.is_empty()) {
        let profile = profiles::find(call, token)?;
        let own = profiles::camera_of(call, &profile);
        list.retain(|camera| own.is_none_or(|own| own == camera.id));
    }
    Ok(list)
}

/// The camera of a metadata configuration.
pub(super) fn by_token(call: &mut Call<'_>, token: &str) -> Result<Camera, Fault> {
    let found = metadata_camera(call.desk, token).and_then(|id| camera(call.desk, id));
    found.ok_or_else(|| profiles::no_config(token))
}

/// `tt:MetadataConfigurationOptions`.
pub(super) fn write_options(name: &'static str, list: &[Camera], w: &mut Writer) {
    let movable = list.iter().any(|camera| camera.movable);
    w.open(name).attribute("GeoLocation", false);
    w.open("tt:PTZStatusFilterOptions");
    for part in [
        "tt:PanTiltStatusSupported",
        "tt:ZoomStatusSupported",
        "tt:PanTiltPositionSupported",
        "tt:ZoomPositionSupported",
    ] {
        w.leaf(part, movable);
    }
    w.close().close();
}

/// `SetMetadataConfiguration`.
pub(super) fn set(
    call: &mut Call<'_>,
    request: Node<'_>,
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    let node = request.child("Configuration");
    let node = node.ok_or_else(|| Fault::invalid_args("Configuration is missing"))?;
    by_token(call, node.attribute("token").unwrap_or_default())?;
    if flag(node, "Analytics")? == Some(true) {
        let why = "the metadata have no descriptions of scenes: Analytics must be false";
        return Err(Fault::invalid_value("ter:ConfigModify", why));
    }
    w.empty(response);
    Ok(Done::Now)
}
