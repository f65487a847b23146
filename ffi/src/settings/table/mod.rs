//! The table, in the order of the start-up: hardware before what uses it, users before servers.

mod camera;
mod hardware;
mod image;
mod onvif;
mod ptz;
mod recording;
mod scene;
mod security;
mod servers;
mod streams;
mod system;

use super::registry::Module;

/// All modules.
pub static MODULES: &[Module] = &[
    system::FACTORY,
    system::VARIANT,
    system::NOTIFICATIONS,
    servers::API,
    system::SYSTEM_INFO,
    system::VERSION,
    camera::CAMERA_HEADS,
    camera::SENSORS,
    camera::DEVICES,
    hardware::LIGHT,
    hardware::AUTO_ROTATE,
    hardware::DISC_ROTATION,
    hardware::HEAD_SENSORS,
    hardware::HEAD_TEMPERATURE,
    hardware::PRESSURE,
    hardware::FPGA,
    hardware::FPGA_TEMPERATURE,
    image::IMAGE,
    image::AUTO_EXPOSURE,
    image::WHITE_BALANCE,
    image::NOISE,
    image::ZOOM,
    scene::MOTION,
    scene::TAMPER,
    ptz::PTZ,
    ptz::PTZ_PRESETS,
    image::PIP,
    image::ALIGNMENT,
    image::OVERLAY,
    streams::STREAM_MAIN,
    streams::STREAM_SUB,
    streams::EXTERNAL_STREAMS,
    streams::LATENCY,
    streams::RTSP,
    streams::WEBRTC,
    streams::MJPEG,
    streams::HLS,
    streams::FRAME_TAP,
    recording::RECORDING,
    recording::RECORDING_MODES,
    recording::SNAPSHOT,
    recording::RECORDS,
    recording::TAGS,
    recording::CATEGORIES,
    system::DISK,
    recording::STORAGE,
    recording::NETWORK_STORAGE,
    recording::RETENTION,
    servers::NETWORK,
    system::TIME,
    security::USERS,
    security::ROLES,
    security::SESSIONS,
    security::LICENCES,
    servers::WEBSERVER,
    security::CERTIFICATES,
    servers::RATE_LIMITS,
    servers::URLS,
    onvif::ONVIF,
    onvif::DISCOVERY,
    system::UPDATE,
    system::RESTART,
];
