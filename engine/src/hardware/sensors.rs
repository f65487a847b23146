//! Sensors: hwmon (`temp1_input`, in thousandths of a degree) and IIO (`in_…_raw` or `_input`,
//! with `_offset` and `_scale`; kernel's `Documentation/ABI/testing/sysfs-bus-iio`).

use crate::config::HardwareConfig;
use crate::thread::{Stop, Thread};
use lensd_ffi::bell::Bell;
use lensd_ffi::time::Nanos;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How often they are read. A read may take milliseconds, hence a thread.
const EVERY: Nanos = Nanos::from_secs(1);

/// A value, or why there is none.
pub type Reading = Result<f64, String>;

/// What all sensors say.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensors {
    /// Along x, y, z in m/s².
    pub acceleration: [Reading; 3],
    /// Of the head in °C.
    pub head_temperature: Reading,
    /// In kPa.
    pub pressure: Reading,
    /// Of the FPGA in °C.
    pub fpga_temperature: Reading,
    /// Whether the FPGA is there.
    pub fpga: Result<(), String>,
}

/// Reads all sensors once.
pub(super) fn read(config: &HardwareConfig) -> Sensors {
    let path = |path: &Option<std::path::PathBuf>, setting: &str| {
        path.clone().ok_or_else(|| format!("none is configured: set hardware.{setting}"))
    };
    let acceleration = |axis: &str| {
        path(&config.accelerometer, "accelerometer")
            .and_then(|p| iio(&p, &format!("in_accel_{axis}")))
    };
    Sensors {
        acceleration: ["x", "y", "z"].map(acceleration),
        head_temperature: path(&config.head_temperature, "head-temperature")
            .and_then(|p| temperature(&p)),
        pressure: path(&config.pressure, "pressure").and_then(|p| iio(&p, "in_pressure")),
        fpga_temperature: path(&config.fpga_temperature, "fpga-temperature")
            .and_then(|p| temperature(&p)),
        fpga: path(&config.fpga, "fpga").and_then(|p| {
            let there = fs::metadata(&p).map(|_| ());
            there.map_err(|e| format!("{}: {e}", p.display()))
        }),
    }
}

fn number(path: &Path) -> Reading {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let value = text.trim().parse::<f64>().ok().filter(|v| v.is_finite());
    value.ok_or_else(|| format!("{} holds no number", path.display()))
}

/// A channel of an IIO device's folder.
fn iio(folder: &Path, channel: &str) -> Reading {
    let input = folder.join(format!("{channel}_input"));
    if input.exists() {
        return number(&input);
    }
    let raw = number(&folder.join(format!("{channel}_raw")))?;
    // Some drivers give one scale for all axes.
    let shared = channel.rsplit_once('_').map_or(channel, |(kind, _)| kind);
    let factor = |what: &str, none: f64| {
        [channel, shared]
            .iter()
            .map(|name| folder.join(format!("{name}_{what}")))
            .find(|p| p.exists())
            .map_or(Ok(none), |p| number(&p))
    };
    Ok((raw + factor("offset", 0.0)?) * factor("scale", 1.0)?)
}

/// A file of hwmon or of a thermal zone, or the folder of an IIO device.
fn temperature(path: &Path) -> Reading {
    let thousandths = if path.is_dir() { iio(path, "in_temp")? } else { number(path)? };
    Ok(thousandths / 1000.0)
}

/// Reads the sensors again and again.
pub struct Watch {
    now: Arc<Mutex<Sensors>>,
    _thread: Option<Thread>,
}

impl Watch {
    /// Begins. Without any configured path nothing runs.
    ///
    /// # Errors
    /// When there is no thread or descriptor to be had.
    pub fn start(config: HardwareConfig) -> io::Result<Self> {
        let now = Arc::new(Mutex::new(read(&config)));
        if config == HardwareConfig::default() {
            return Ok(Self { now, _thread: None });
        }
        let bell = Arc::new(Bell::new()?);
        let shared = Arc::clone(&now);
        let thread = Thread::start("sensors", Stop::new(Arc::clone(&bell)), move |stop| {
            let every = Timespec { tv_sec: (EVERY.0 / 1_000_000_000).cast_signed(), tv_nsec: 0 };
            while !stop.is_set() {
                let _ = poll(&mut [PollFd::new(&*bell, PollFlags::IN)], Some(&every));
                bell.take();
                let sensors = read(&config);
                *shared.lock() = sensors;
            }
        })?;
        Ok(Self { now, _thread: Some(thread) })
    }

    /// What they said last.
    pub fn now(&self) -> Sensors {
        self.now.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lensd-iio-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    #[test]
    fn iio_and_hwmon() {
        let path = folder(
            "all",
            &[
                ("in_accel_x_raw", "-512\n"),
                ("in_accel_y_raw", "0\n"),
                ("in_accel_z_raw", "1024\n"),
                ("in_accel_scale", "0.009577\n"),
                ("in_pressure_input", "101.325\n"),
                ("in_temp_raw", "100\n"),
                ("in_temp_offset", "50\n"),
                ("in_temp_scale", "250\n"),
                ("temp1_input", "42500\n"),
            ],
        );
        let config = HardwareConfig {
            accelerometer: Some(path.clone()),
            pressure: Some(path.clone()),
            head_temperature: Some(path.join("temp1_input")),
            fpga_temperature: Some(path.clone()),
            ..HardwareConfig::default()
        };
        let sensors = read(&config);
        assert!((sensors.acceleration[0].clone().unwrap() + 4.903_424).abs() < 1e-6);
        assert_eq!(sensors.pressure, Ok(101.325));
        assert_eq!(sensors.head_temperature, Ok(42.5));
        assert_eq!(sensors.fpga_temperature, Ok(37.5));
        assert!(sensors.fpga.unwrap_err().contains("hardware.fpga"));
        fs::write(path.join("temp1_input"), "warm").unwrap();
        assert!(read(&config).head_temperature.unwrap_err().contains("temp1_input"));
        fs::remove_dir_all(path).unwrap();
    }
}
