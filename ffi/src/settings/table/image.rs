//! How pictures look: controls of the active camera.
//!
//! A key from 0 to 100 stands for the whole range of the camera's own control; what that is, is
//! shown beside the value. A camera without the control refuses the key.

use crate::auth::Permission::Device;
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const PERCENT: Kind = Kind::Whole(0, 100);

const fn percent(name: &'static str, doc: &'static str) -> Key {
    Key::set(name, PERCENT, D::Null, doc).unit("%")
}

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Engine, read: Device, write: Device, doc, keys }
}

pub(super) const IMAGE: Module = module(
    "image",
    "Colours and orientation of the active camera's picture",
    &[
        percent("brightness", "Brightness (V4L2_CID_BRIGHTNESS)"),
        percent("contrast", "Contrast (V4L2_CID_CONTRAST)"),
        percent("sharpness", "Sharpness (V4L2_CID_SHARPNESS)"),
        percent("saturation", "Saturation of colours (V4L2_CID_SATURATION)"),
        percent("hue", "Hue (V4L2_CID_HUE)"),
        percent("gamma", "Gamma (V4L2_CID_GAMMA)"),
        percent("gain", "Gain of the sensor (V4L2_CID_GAIN)"),
        percent("red-gain", "Gain of red (V4L2_CID_RED_BALANCE)").alias(&["redGain"]),
        percent("blue-gain", "Gain of blue (V4L2_CID_BLUE_BALANCE)").alias(&["blueGain"]),
        percent("backlight", "Compensation of back light (V4L2_CID_BACKLIGHT_COMPENSATION)"),
        Key::set("mirror", Kind::Flag, D::Null, "Left and right swapped (V4L2_CID_HFLIP)"),
        Key::set("flip", Kind::Flag, D::Null, "Top and bottom swapped (V4L2_CID_VFLIP)"),
        Key::set(
            "power-line",
            Kind::Choice(&["off", "50hz", "60hz", "auto"]),
            D::Null,
            "Against flicker of lamps (V4L2_CID_POWER_LINE_FREQUENCY)",
        ),
        Key::action(
            "image-reset",
            Kind::Flag,
            "Sets every control of the active camera to the camera's default",
        ),
    ],
);

pub(super) const AUTO_EXPOSURE: Module = module(
    "auto-exposure",
    "Exposure of the active camera",
    &[
        Key::set(
            "auto-exposure",
            Kind::Switch(&["shutter-priority", "aperture-priority"]),
            D::Null,
            "Whether the camera sets exposure by itself (V4L2_CID_EXPOSURE_AUTO)",
        )
        .alias(&["exposure"]),
        Key::set(
            "exposure-time",
            Kind::Whole(1, 10_000_000),
            D::Null,
            "Exposure time, if it is not automatic (V4L2_CID_EXPOSURE_ABSOLUTE)",
        )
        .unit("us"),
        percent("exposure-bias", "Brighter or darker than automatic (V4L2_CID_AUTO_EXPOSURE_BIAS)"),
    ],
);

pub(super) const WHITE_BALANCE: Module = module(
    "white-balance",
    "White balance of the active camera",
    &[
        Key::set(
            "auto-white-balance",
            Kind::Switch(&[]),
            D::Null,
            "Whether the camera finds white by itself (V4L2_CID_AUTO_WHITE_BALANCE)",
        )
        .alias(&["whiteBalance"]),
        Key::set(
            "white-balance-temperature",
            Kind::Whole(1000, 20_000),
            D::Null,
            "Colour temperature (V4L2_CID_WHITE_BALANCE_TEMPERATURE)",
        )
        .unit("K"),
    ],
);

pub(super) const NOISE: Module = module(
    "noise",
    "Noise of the active camera's picture",
    &[Key::set(
        "noise-supression",
        Kind::Flag,
        D::Null,
        "Whether the camera reduces noise (its control whose name says noise reduction)",
    )
    .alias(&["noise-suppression", "noiseSuppression"])],
);

pub(super) const ZOOM: Module = module(
    "zoom",
    "Lens and direction of the active camera",
    &[
        percent("zoom", "Focal length (V4L2_CID_ZOOM_ABSOLUTE)"),
        percent("focus", "Distance in focus (V4L2_CID_FOCUS_ABSOLUTE)"),
        Key::set(
            "auto-focus",
            Kind::Switch(&[]),
            D::Null,
            "Whether the camera focuses by itself (V4L2_CID_FOCUS_AUTO)",
        ),
        percent("pan", "Direction, left to right (V4L2_CID_PAN_ABSOLUTE)"),
        percent("tilt", "Direction, down to up (V4L2_CID_TILT_ABSOLUTE)"),
    ],
);
