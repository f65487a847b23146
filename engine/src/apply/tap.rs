//! Settings of the frame tap.

use super::Apply;
use crate::config::TapOptions;
use crate::tap::door::Allowed;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::tap::wire::parse_size;
use serde_json::{Value, json};

impl Apply {
    /// Changes an option, after what the registry cannot know is checked.
    pub(super) fn set_tap(
        &self,
        key: &str,
        change: fn(&mut TapOptions, &Value),
        value: &Value,
    ) -> Result<(), String> {
        let text = value.as_str().unwrap_or_default();
        match key {
            "tap-users" => {
                let read = |path| std::fs::read_to_string(path).unwrap_or_default();
                Allowed::parse(text, &read("/etc/passwd"), &read("/etc/group"))?;
            }
            "tap-size" => {
                parse_size(text)?;
            }
            _ => {}
        }
        let (view, bell) = &self.tap;
        change(&mut view.options.lock(), value);
        bell.ring();
        Ok(())
    }

    /// What holds for an option.
    pub(super) fn tap_now(&self, key: &str) -> Held {
        let options = self.tap.0.options.lock();
        Held::of(match key {
            "tap-enabled" => json!(options.enabled),
            "tap-users" => json!(options.users),
            "tap-size" => json!(options.size),
            "tap-format" => json!(options.format),
            "tap-lease" => json!(options.lease_ms),
            _ => json!(options.max_clients),
        })
    }

    /// What is measured.
    pub(super) fn tap_measured(&self, key: &str) -> u64 {
        let figures = self.tap.0.figures();
        match key {
            "tap-clients" => figures.clients,
            "tap-frames" => figures.frames,
            "tap-lost" => figures.lost,
            "tap-revoked" => figures.revoked,
            "tap-loans" => figures.loans,
            _ => figures.copied_pixel_bytes,
        }
    }
}
