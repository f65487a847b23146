//! Where streams are, and what is asked of them, as Media1 has it.

use crate::onvif::call::{Answer, Call, Done, needed};
use crate::onvif::uris::{self, Way};
use crate::onvif::{multicast, profiles};
use crate::soap::{Fault, Node, Writer};
use lensd_ffi::link::Ask;
use lensd_ffi::time::Nanos;

/// How long the engine may take to note a wish.
const PATIENCE: Nanos = Nanos::from_secs(3);

/// How a `StreamSetup` wants it.
fn way(setup: Node<'_>) -> Result<Way, Fault> {
    let refuse = |why: String| Err(Fault::invalid_value("ter:InvalidStreamSetup", why));
    let stream = needed(setup, "Stream")?;
    let protocol = setup.path(&["Transport", "Protocol"]).map(Node::text).unwrap_or_default();
    match (stream, protocol) {
        ("RTP-Unicast", "UDP" | "TCP" | "RTSP") => Ok(Way::Rtsp),
        ("RTP-Multicast", "UDP" | "RTSP") => Ok(Way::Group),
        ("RTP-Unicast", "HTTP") => Ok(Way::Http),
        ("RTP-Unicast" | "RTP-Multicast", protocol) => {
            refuse(format!("{stream} does not go over {protocol:?}"))
        }
        (stream, _) => refuse(format!("Stream is RTP-Unicast or RTP-Multicast, not {stream:?}")),
    }
}

fn write_uri(name: &'static str, uri: &str, w: &mut Writer) {
    w.open(name).open("trt:MediaUri").leaf("tt:Uri", uri);
    w.leaf("tt:InvalidAfterConnect", false).leaf("tt:InvalidAfterReboot", false);
    // It never ends.
    w.leaf("tt:Timeout", "PT0S").close().close();
}

pub(super) fn stream_uri(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let setup = asked.child("StreamSetup");
    let way = way(setup.ok_or_else(|| Fault::invalid_args("StreamSetup is missing"))?)?;
    write_uri("trt:GetStreamUriResponse", &uris::stream(call, &profile, way)?, w);
    Ok(Done::Now)
}

pub(super) fn snapshot_uri(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    write_uri("trt:GetSnapshotUriResponse", &uris::snapshot(call, &profile)?, w);
    Ok(Done::Now)
}

/// `SetSynchronizationPoint` of Media1 and Media2: a key frame, now.
pub(in crate::onvif) fn synchronize(
    call: &mut Call<'_>,
    asked: Node<'_>,
    _: &mut Writer,
) -> Answer {
    let profile = profiles::find(call, needed(asked, "ProfileToken")?)?;
    let stream = profiles::stream_of(call, &profile)?.path();
    let response = call.operation.response();
    call.ask(Ask::KeyFrame { stream }, PATIENCE, move |_, _, w, _| {
        w.empty(response);
        Ok(())
    })
}

pub(super) fn start_multicast(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    multicast::stream(call, needed(asked, "ProfileToken")?, true, call.operation.response())
}

pub(super) fn stop_multicast(call: &mut Call<'_>, asked: Node<'_>, _: &mut Writer) -> Answer {
    multicast::stream(call, needed(asked, "ProfileToken")?, false, call.operation.response())
}
