//! Controls of an open camera, to be set from any thread while its own thread delivers pictures.

use super::controls::{self, Control, ControlError, Value};
use crate::sys::v4l2::Device;
use std::fmt::Debug;
use std::path::Path;

/// What can be turned at an open camera. The engine's main thread holds it beside the camera's
/// thread, so that a change does not wait for a frame to be encoded.
pub trait Knobs: Send + Sync + Debug {
    /// All controls, with what they are set to.
    fn controls(&self) -> Vec<Control>;

    /// Sets a control; answers the value that was taken, which may be another.
    ///
    /// # Errors
    /// A value that it cannot have, or the camera's refusal.
    fn set(&self, control: &Control, value: &Value) -> Result<Value, ControlError>;

    /// The inputs (sensors), and which one is in use, from 0. Empty: there is no choice.
    fn inputs(&self) -> (Vec<String>, u32) {
        (Vec::new(), 0)
    }
}

/// Those of a V4L2 device, through a descriptor of their own ("Opening and Closing Devices":
/// controls belong to the device, not to who opened it).
#[derive(Debug)]
pub struct DeviceKnobs(Device);

impl DeviceKnobs {
    /// Opens the device once more. `None` where that is refused: a driver that can be opened once.
    pub fn open(path: &Path) -> Option<Self> {
        Device::open(path).ok().map(Self)
    }
}

impl Knobs for DeviceKnobs {
    fn controls(&self) -> Vec<Control> {
        controls::list(&self.0)
    }

    fn set(&self, control: &Control, value: &Value) -> Result<Value, ControlError> {
        controls::set(&self.0, control, value)
    }

    fn inputs(&self) -> (Vec<String>, u32) {
        let names = (0..32).map_while(|i| self.0.enuminput(i)).map(|input| input.name).collect();
        (names, self.0.g_input().unwrap_or(0))
    }
}
