//! Image cores in an FPGA, behind one trait. No device is supported yet, and [`open`] says so.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::fmt;

/// What an FPGA with lensd's cores can do.
pub trait Fpga: Send {
    /// The bit stream's version, for people.
    fn version(&self) -> String;

    /// Die temperature in degrees Celsius.
    ///
    /// # Errors
    /// When the device does not answer.
    fn temperature(&self) -> Result<f32, NoDevice>;
}

/// There is no such device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoDevice {
    /// Where it was looked for.
    pub path: String,
}

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no FPGA device at {}: this version drives none", self.path)
    }
}

impl std::error::Error for NoDevice {}

/// Opens the device at `path`, e.g. `/dev/uio0`.
///
/// # Errors
/// Always, in this version.
pub fn open(path: &str) -> Result<Box<dyn Fpga>, NoDevice> {
    Err(NoDevice { path: path.to_owned() })
}
