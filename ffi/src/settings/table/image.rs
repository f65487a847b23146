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
        Key::set(
            "mirror",
            Kind::Flag,
            D::Null,
            "Left and right swapped (V4L2_CID_HFLIP; by the processor where the camera has no such \
             control)",
        ),
        Key::set(
            "flip",
            Kind::Flag,
            D::Null,
            "Top and bottom swapped (V4L2_CID_VFLIP; by the processor where the camera has no such \
             control)",
        ),
        Key::set(
            "rotate",
            Kind::Choice(&["0", "90", "180", "270"]),
            D::Text("0"),
            "Degrees by which pictures are turned clockwise, by the processor",
        ),
        Key::set(
            "power-line",
            Kind::Choice(&["off", "50hz", "60hz", "auto"]),
            D::Null,
            "Against flicker of lamps (V4L2_CID_POWER_LINE_FREQUENCY)",
        ),
        Key::action(
            "image-reset",
            Kind::Flag,
            "Sets the keys of image, auto-exposure, white-balance, noise and zoom back to the defaults, \
             of each camera its own",
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
        Key::set(
            "digital-zoom",
            Kind::Number(1.0, 16.0),
            D::Number(1.0),
            "How many times as large a part of the picture is shown, by the processor",
        ),
        Key::set(
            "digital-pan",
            Kind::Whole(-100, 100),
            D::Whole(0),
            "Where that part is: -100 at the left, 100 at the right",
        )
        .unit("%"),
        Key::set(
            "digital-tilt",
            Kind::Whole(-100, 100),
            D::Whole(0),
            "Where that part is: -100 at the bottom, 100 at the top",
        )
        .unit("%"),
    ],
);

const CORNERS: &[&str] = &["top-left", "top-right", "bottom-left", "bottom-right"];

pub(super) const PIP: Module = module(
    "pip",
    "The other camera's picture within each camera's own",
    &[Key::set(
        "pip-mode",
        Kind::Choice(&[
            "off",
            "top-left",
            "top-right",
            "bottom-left",
            "bottom-right",
            "side-by-side",
        ]),
        D::Text("off"),
        "Where it is shown: a quarter as wide in a corner, or both half as wide",
    )
    .alias(&["pip"])],
);

const fn offset(name: &'static str, doc: &'static str) -> Key {
    Key::set(name, Kind::Whole(-1024, 1024), D::Whole(0), doc).unit("px")
}

pub(super) const ALIGNMENT: Module = module(
    "alignment",
    "Where the pictures of two cameras lie, so that both show the same place; even numbers",
    &[
        offset("cam1-offset-x", "By how much camera 1's picture is moved to the right"),
        offset("cam1-offset-y", "By how much camera 1's picture is moved downwards"),
        offset("cam2-offset-x", "By how much camera 2's picture is moved to the right"),
        offset("cam2-offset-y", "By how much camera 2's picture is moved downwards"),
    ],
);

pub(super) const OVERLAY: Module = module(
    "overlay",
    "What is written on pictures",
    &[
        Key::set(
            "overlay-time",
            Kind::Choice(&["off", "utc", "local"]),
            D::Text("off"),
            "The time of capture, with thousandths of a second",
        ),
        Key::set("overlay-text", Kind::Text(80), D::Text(""), "A line of text"),
        Key::set("overlay-position", Kind::Choice(CORNERS), D::Text("top-left"), "Where both are"),
        Key::set(
            "overlay-size",
            Kind::Choice(&["small", "medium", "large"]),
            D::Text("medium"),
            "Height of a line: a 36th, a 24th or a 16th of the picture's",
        ),
        Key::set(
            "osd",
            Kind::Json(8192),
            D::Empty,
            "Further texts: [{token, camera (0: all), kind: text, date, time or date-time, text, \
             date_format, time_format, utc, position: a corner or custom, x, y, size in pixels, \
             colour: #rrggbb, transparent}], at most 8 of each camera",
        ),
        Key::set(
            "overlay-watermark",
            Kind::Text(120),
            D::Text(""),
            "Name of a PNG file in DATA/media/uploads that is laid over pictures",
        ),
        Key::set(
            "overlay-watermark-position",
            Kind::Choice(CORNERS),
            D::Text("bottom-right"),
            "Where it is",
        ),
    ],
);
