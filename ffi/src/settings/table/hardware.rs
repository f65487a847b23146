//! What is built around a camera: lights, motor, sensors. Paths come from the configuration
//! (`hardware.*`); what has none reads as null, and its module's `…-error` says so.

use crate::auth::Permission::{Device, Light, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const ERROR: Kind = Kind::Text(200);

const fn sensors(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Engine, read: System, write: Device, doc, keys }
}

pub(super) const LIGHT: Module = Module {
    name: "light",
    plane: Plane::Engine,
    read: Light,
    write: Light,
    doc: "Lights at the cameras: a PWM channel or a LED (/sys/class/pwm, /sys/class/leds) each",
    keys: &[
        Key::set("cam1-light", Kind::Flag, D::Flag(false), "Light of camera 1").alias(&["light0"]),
        Key::set("cam2-light", Kind::Flag, D::Flag(false), "Light of camera 2").alias(&["light1"]),
        Key::set(
            "cam1-light-level",
            Kind::Whole(0, 100),
            D::Whole(100),
            "How bright it is when on",
        )
        .unit("%"),
        Key::set(
            "cam2-light-level",
            Kind::Whole(0, 100),
            D::Whole(100),
            "How bright it is when on",
        )
        .unit("%"),
        Key::measured("light-error", ERROR, "Why a light cannot be switched").announced(),
    ],
};

pub(super) const DISC_ROTATION: Module = Module {
    name: "disc-rotation",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "The motor of the spinning window: a PWM channel",
    keys: &[
        Key::set("disc-rotation", Kind::Flag, D::Flag(false), "Whether the disc spins"),
        Key::set("disc-speed", Kind::Whole(0, 100), D::Whole(100), "Speed when it spins").unit("%"),
        Key::measured("disc-rotation-error", ERROR, "Why the motor cannot be driven").announced(),
    ],
};

pub(super) const AUTO_ROTATE: Module = Module {
    name: "auto-rotate",
    plane: Plane::Engine,
    read: Device,
    write: Device,
    doc: "Pictures the right way up, however the camera head is mounted",
    keys: &[
        Key::set(
            "auto-rotate",
            Kind::Flag,
            D::Flag(false),
            "Whether mirror and flip follow the head's acceleration sensor",
        ),
        Key::measured("rotation", Kind::Whole(0, 359), "How the head is mounted")
            .unit("degrees")
            .announced(),
        Key::measured("auto-rotate-error", ERROR, "Why it cannot be followed").announced(),
    ],
};

pub(super) const HEAD_SENSORS: Module = sensors(
    "head-sensors",
    "Acceleration at the camera head (IIO), which tells how it is mounted",
    &[
        Key::measured("acceleration-x", Kind::Number(-1000.0, 1000.0), "To the right").unit("m/s2"),
        Key::measured("acceleration-y", Kind::Number(-1000.0, 1000.0), "Upwards").unit("m/s2"),
        Key::measured("acceleration-z", Kind::Number(-1000.0, 1000.0), "Towards the lens")
            .unit("m/s2"),
        Key::measured("head-sensors-error", ERROR, "Why there is no value").announced(),
    ],
);

pub(super) const HEAD_TEMPERATURE: Module = sensors(
    "head-temperature",
    "Temperature of the camera head (hwmon or IIO)",
    &[
        Key::measured("head-temperature", Kind::Number(-273.15, 1000.0), "Temperature").unit("C"),
        Key::set(
            "head-temperature-limit",
            Kind::Number(-50.0, 200.0),
            D::Number(80.0),
            "Above it, head-temperature-high is true",
        )
        .unit("C"),
        Key::measured("head-temperature-high", Kind::Flag, "Whether it is too hot").announced(),
        Key::measured("head-temperature-error", ERROR, "Why there is no value").announced(),
    ],
);

pub(super) const PRESSURE: Module = sensors(
    "pressure",
    "Pressure of the purge air (IIO)",
    &[
        Key::measured("pressure", Kind::Number(0.0, 1e6), "Pressure").unit("kPa"),
        Key::set(
            "pressure-limit",
            Kind::Number(0.0, 1e6),
            D::Number(0.0),
            "Below it, pressure-low is true",
        )
        .unit("kPa"),
        Key::measured("pressure-low", Kind::Flag, "Whether it is too low").announced(),
        Key::measured("pressure-error", ERROR, "Why there is no value").announced(),
    ],
);

pub(super) const FPGA: Module = sensors(
    "fpga",
    "The image processor (UIO)",
    &[
        Key::measured("fpga-present", Kind::Flag, "Whether there is one").announced(),
        Key::measured("fpga-error", ERROR, "Why it cannot be used").announced(),
    ],
);

pub(super) const FPGA_TEMPERATURE: Module = sensors(
    "fpga-temperature",
    "Temperature of the image processor (hwmon or IIO)",
    &[
        Key::measured("fpga-temperature", Kind::Number(-273.15, 1000.0), "Temperature").unit("C"),
        Key::measured("fpga-temperature-error", ERROR, "Why there is no value").announced(),
    ],
);
