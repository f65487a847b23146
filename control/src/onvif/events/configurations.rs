//! Configurations that become others, whoever changes them: an operation of ONVIF, REST, WebSocket,
//! or a camera that comes with other pictures.

use super::feed::configuration_changed;
use crate::broker::Configurations;
use crate::desk::Desk;
use crate::http::At;
use crate::onvif::entities::{self, Camera};
use crate::onvif::multicast;

/// The settings of PTZ configurations.
const PTZ: [&str; 7] = [
    "ptz-timeout",
    "ptz-speed",
    "ptz-pan-min",
    "ptz-pan-max",
    "ptz-tilt-min",
    "ptz-tilt-max",
    "ptz-zoom-max",
];

/// Tells of those that have changed since the last look. While nobody subscribes nothing is looked
/// at, and a first look tells of nothing.
pub(super) fn watch(desk: &mut Desk, at: At) {
    if desk.broker.len() == 0 {
        desk.fed.configurations = None;
        return;
    }
    let now = known(desk);
    if let Some(before) = desk.fed.configurations.take() {
        for (token, (kind, words)) in &now {
            if before.get(token).is_some_and(|(_, old)| old != words) {
                configuration_changed(desk, token, kind, at);
            }
        }
    }
    desk.fed.configurations = Some(now);
}

fn known(desk: &mut Desk) -> Configurations {
    let mut known = Configurations::new();
    let ptz = PTZ.map(|key| desk.board.value(key).to_string()).join(" ");
    for camera in entities::cameras(desk) {
        let Camera { width, height, turned, movable, .. } = camera;
        known.insert(camera.view(), ("VideoSource", format!("{width}x{height} {turned}")));
        if movable {
            known.insert(camera.ptz(), ("PTZ", ptz.clone()));
        }
        for encoder in entities::encoders(desk, &camera) {
            let group = multicast::words(desk.board.value(multicast::KEY), &encoder.path());
            // As clients are told them: rates are measured, too.
            let fps = encoder.whole_fps();
            let mut steady = entities::Encoder { fps: 0.0, ..encoder.clone() };
            if encoder.fixed {
                (steady.bitrate, steady.gop_secs) = (0, 0.0);
            }
            let encoder_words = format!("{steady:?} {fps} {group}");
            known.insert(encoder.token(), ("VideoEncoder", encoder_words));
        }
    }
    known
}
