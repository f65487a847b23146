//! Something that is driven by a level: a light or a motor, at a PWM channel or a LED.

use std::fs;
use std::path::{Path, PathBuf};

/// Period of a PWM channel that has none yet, in nanoseconds: 1 kHz, above what a camera's shutter
/// shows as bands.
const PERIOD: u64 = 1_000_000;

/// A PWM channel (`/sys/class/pwm/pwmchipN/pwmM`) or a LED (`/sys/class/leds/NAME`).
#[derive(Debug, Clone)]
pub struct Lamp {
    path: Option<PathBuf>,
    /// Key of the configuration, for messages.
    setting: &'static str,
}

impl Lamp {
    /// A lamp at a path of the configuration.
    pub const fn new(path: Option<PathBuf>, setting: &'static str) -> Self {
        Self { path, setting }
    }

    /// Drives it with `percent` of its range, 0 to 100.
    ///
    /// # Errors
    /// What is missing, and the key of the configuration that says where it is.
    pub fn drive(&self, percent: u64) -> Result<(), String> {
        let setting = self.setting;
        let Some(path) = &self.path else {
            return Err(format!("none is configured: set {setting} to its folder below /sys"));
        };
        let percent = percent.min(100);
        if path.join("brightness").exists() {
            let most = number(&path.join("max_brightness"))?;
            // What is on at all must be seen to be on.
            let level = (most * percent).div_ceil(100);
            return write(&path.join("brightness"), level);
        }
        if !path.join("duty_cycle").exists() {
            return Err(format!(
                "{} ({setting}) is neither a LED (no brightness) nor a PWM channel (no duty_cycle)",
                path.display()
            ));
        }
        let period = match number(&path.join("period"))? {
            0 => {
                write(&path.join("period"), PERIOD)?;
                PERIOD
            }
            period => period,
        };
        write(&path.join("duty_cycle"), period / 100 * percent)?;
        write(&path.join("enable"), u64::from(percent > 0))
    }

    /// Whether there is one, as far as one can see without driving it.
    pub fn missing(&self) -> Option<String> {
        let setting = self.setting;
        match &self.path {
            None => Some(format!("none is configured: set {setting} to its folder below /sys")),
            Some(path) if !path.is_dir() => {
                Some(format!("{} ({setting}) is not there", path.display()))
            }
            Some(_) => None,
        }
    }
}

fn number(path: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} holds no number", path.display()))
}

/// Attributes of sysfs are there already; to make a file would hide a wrong path.
fn write(path: &Path, value: u64) -> Result<(), String> {
    use std::io::Write as _;
    fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.to_string().as_bytes()))
        .map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lensd-lamp-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    fn read(path: &Path, file: &str) -> String {
        fs::read_to_string(path.join(file)).unwrap()
    }

    #[test]
    fn a_led() {
        let path = folder("led", &[("brightness", "0\n"), ("max_brightness", "31\n")]);
        let lamp = Lamp::new(Some(path.clone()), "hardware.light1");
        for (percent, level) in [(100, "31"), (50, "16"), (1, "1"), (0, "0"), (500, "31")] {
            lamp.drive(percent).unwrap();
            assert_eq!(read(&path, "brightness"), level);
        }
        assert_eq!(lamp.missing(), None);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_pwm_channel_that_nobody_used_yet() {
        let path = folder("pwm", &[("duty_cycle", "0"), ("period", "0"), ("enable", "0")]);
        let lamp = Lamp::new(Some(path.clone()), "hardware.disc");
        lamp.drive(25).unwrap();
        assert_eq!(
            ["period", "duty_cycle", "enable"].map(|f| read(&path, f)),
            ["1000000", "250000", "1"]
        );
        lamp.drive(0).unwrap();
        assert_eq!(read(&path, "enable"), "0");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_is_not_there_is_named() {
        let none = Lamp::new(None, "hardware.light1");
        assert!(none.drive(1).unwrap_err().contains("hardware.light1"));
        let gone = Lamp::new(Some("/nowhere/led".into()), "hardware.light1");
        assert!(gone.drive(1).unwrap_err().contains("/nowhere/led"));
        assert!(gone.missing().unwrap().contains("/nowhere/led"));
        assert!(!Path::new("/nowhere").exists());
    }
}
