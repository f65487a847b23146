//! What is built around a camera, by Linux's own interfaces: lights and a motor as PWM channels or
//! LEDs, sensors of hwmon and IIO. Paths come from the configuration; what has none is said to be
//! missing, and no number is ever made up.

mod lamp;
mod sensors;

pub use lamp::Lamp;
pub use sensors::{Reading, Sensors, Watch};
