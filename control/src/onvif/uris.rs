//! Where streams and snapshots are: made of the address under which the client knows us, without
//! passwords.

use super::call::Call;
use super::profiles;
use crate::profiles::Profile;
use crate::soap::Fault;

/// How a stream is to be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// RTSP, with RTP over UDP or within RTSP: the client says which at SETUP.
    Rtsp,
    /// RTSP, with RTP to a group. Metadata have none, and some clients take all or nothing.
    Group,
    /// All of it over TLS.
    Rtsps,
    /// RTSP within HTTP, on the port of RTSP.
    Http,
}

/// The URI of a profile's stream.
pub(super) fn stream(call: &mut Call<'_>, profile: &Profile, way: Way) -> Result<String, Fault> {
    let path = profiles::stream_of(call, profile)?.path();
    let ports = call.desk.ports();
    let plain = ports.get("rtsp").map(|port| ("rtsp", *port));
    let secure = ports.get("rtsps").map(|port| ("rtsps", *port));
    let found = match way {
        Way::Rtsp | Way::Group => plain.or(secure),
        Way::Rtsps => secure,
        Way::Http => plain.map(|(_, port)| ("http", port)),
    };
    let (scheme, port) = found.ok_or_else(|| {
        let why = "this server does not listen for that protocol";
        Fault::invalid_value("ter:InvalidStreamSetup", why)
    })?;
    let host = call.address.host();
    let metadata = profile.metadata.is_some() && way != Way::Group;
    let query = if metadata { "?metadata" } else { "" };
    Ok(format!("{scheme}://{host}:{port}/{path}{query}"))
}

/// The URI of a JPEG of now.
pub(super) fn snapshot(call: &mut Call<'_>, profile: &Profile) -> Result<String, Fault> {
    let camera = profiles::camera_of(call, profile).ok_or_else(|| {
        let why = "the profile needs a video source configuration";
        Fault::receiver(&["ter:Action", "ter:IncompleteConfiguration"], why)
    })?;
    Ok(call.address.url(&format!("/api/snapshot?camera={camera}")))
}

/// Whether streams can be had over TLS.
pub(super) fn has_secure(call: &mut Call<'_>) -> bool {
    call.desk.ports().contains_key("rtsps")
}
