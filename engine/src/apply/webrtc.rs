//! Settings of WebRTC.

use super::Apply;
use crate::config::{Join, WebRtcOptions};
use crate::webrtc::addresses;
use crate::webrtc::signal::check_ice_servers;
use crate::webrtc::view::View;
use lensd_ffi::settings::bank::Held;
use serde_json::{Value, json};
use std::sync::Arc;

/// How a key changes the options.
pub(super) fn change_of(key: &str) -> Option<fn(&mut WebRtcOptions, &Value)> {
    Some(match key {
        "webrtc-enabled" => |options, v| options.enabled = v == true,
        "webrtc-port" => |options, v| {
            options.port = v.as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
        },
        "webrtc-addresses" => |options, v| {
            v.as_str().unwrap_or_default().clone_into(&mut options.addresses);
        },
        "webrtc-max-clients" => |options, v| {
            options.max_clients = v.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        },
        "webrtc-join" => |options, v| {
            options.join = if v == "gop" { Join::Gop } else { Join::Key };
        },
        // Told to clients by control, which reads what holds.
        "webrtc-ice-servers" => |_, _| (),
        _ => return None,
    })
}

impl Apply {
    /// With WebRTC.
    pub fn with_webrtc(self, view: Arc<View>) -> Self {
        Self { webrtc: Some(view), ..self }
    }

    /// Changes an option, after what the registry cannot know is checked.
    pub(super) fn set_webrtc(
        &self,
        key: &str,
        change: fn(&mut WebRtcOptions, &Value),
        value: &Value,
    ) -> Result<(), String> {
        match key {
            "webrtc-addresses" => _ = addresses::parse(value.as_str().unwrap_or_default())?,
            "webrtc-ice-servers" => check_ice_servers(value)?,
            _ => {}
        }
        let view = self.webrtc.as_ref().ok_or("there is no WebRTC")?;
        view.change(|options| change(options, value));
        Ok(())
    }

    /// What holds for an option.
    pub(super) fn webrtc_now(&self, key: &str) -> Held {
        let Some(view) = &self.webrtc else { return Held::default() };
        let options = view.options.lock();
        Held::of(match key {
            "webrtc-enabled" => json!(options.enabled),
            "webrtc-port" => json!(options.port),
            "webrtc-addresses" => json!(options.addresses),
            "webrtc-max-clients" => json!(options.max_clients),
            "webrtc-join" => json!(options.join),
            _ => self.wish(key),
        })
    }

    /// What is measured.
    pub(super) fn webrtc_measured(&self, key: &str) -> Value {
        let Some(view) = &self.webrtc else { return Value::Null };
        match key {
            "webrtc-clients" => json!(view.count()),
            "webrtc-udp-port" => json!(view.health.lock().port),
            _ => json!(view.health.lock().error),
        }
    }
}
