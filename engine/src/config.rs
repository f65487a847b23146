//! What the engine is told when it starts. The root package makes it of the command line, the
//! environment and the settings file, and sends it over the leash.

use crate::rtsp::world::Options;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The engine's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data folder.
    pub data: PathBuf,
    /// Address of RTSP, e.g. `0.0.0.0:8554`; none: not served.
    pub rtsp: Option<String>,
    /// Address of RTSPS; none: not served.
    pub rtsps: Option<String>,
    /// Whether streams can be read without a login.
    pub open: bool,
    /// How RTSP behaves.
    pub rtsp_options: Options,
    /// Cameras in order of their numbers. Empty: all that are found, else the test camera.
    pub cameras: Vec<CameraConfig>,
    /// The active camera at the start, from 1.
    pub main_camera: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            rtsp: Some("0.0.0.0:8554".to_owned()),
            rtsps: Some("0.0.0.0:8322".to_owned()),
            open: false,
            rtsp_options: Options::default(),
            cameras: Vec::new(),
            main_camera: 1,
        }
    }
}

/// One camera and its streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraConfig {
    /// SPEC (SURFACE section 1).
    pub source: String,
    /// Name for people; empty: the camera's own.
    pub name: String,
    /// Bits per second of the main stream.
    pub bitrate: u32,
    /// Seconds from one key frame to the next.
    pub gop_secs: f64,
    /// Width of the sub stream in pixels; its height follows. Not above the camera's.
    pub sub_width: u32,
    /// Bits per second of the sub stream.
    pub sub_bitrate: u32,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// `auto`, `openh264`, or the node of a V4L2 M2M encoder.
    pub encoder: String,
    /// Whether every unit carries its capture time in an SEI. The test camera's always do.
    pub capture_sei: bool,
    /// Whether the camera rests while nobody reads any of its streams.
    pub on_demand: bool,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            source: String::new(),
            name: String::new(),
            bitrate: 4_000_000,
            gop_secs: 1.0,
            sub_width: 640,
            sub_bitrate: 700_000,
            quality: 80,
            encoder: "auto".to_owned(),
            capture_sei: false,
            on_demand: false,
        }
    }
}
