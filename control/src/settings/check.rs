//! What values of this plane's keys must look like, beyond their kinds.

use crate::{presets, profiles};
use serde_json::Value;

/// What a value must be beyond what its kind says.
///
/// # Errors
/// Why it is not.
pub(super) fn check(name: &str, value: &Value) -> Result<(), String> {
    match name {
        "device-name" if value.as_str().is_none_or(|text| text.trim().is_empty()) => {
            return Err("Value must be a name: it may not be empty".to_owned());
        }
        "cors-origins" => check_origins(value)?,
        "metrics-allow" | "onvif-push-hosts" => {
            let nobody = std::net::Ipv4Addr::UNSPECIFIED.into();
            crate::config::is_among(value.as_str().unwrap_or_default(), nobody)?;
        }
        "ptz-presets" => _ = presets::presets(value)?,
        "ptz-home" => _ = presets::homes(value)?,
        "onvif-profiles" => _ = profiles::parse(value)?,
        "onvif-scopes" => check_scopes(value)?,
        _ => {}
    }
    Ok(())
}

fn check_origins(value: &Value) -> Result<(), String> {
    let list = value.as_array().ok_or("Value must be a list of origins")?;
    for origin in list {
        let good = origin.as_str().is_some_and(|text| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            host.is_some_and(|h| !h.is_empty() && !h.contains(['/', ' ', '*', '@', '?']))
        });
        if !good {
            return Err(format!(
                "{origin} is no origin: it must be http:// or https:// with a host and no path"
            ));
        }
    }
    Ok(())
}

/// Most scopes that clients may set, and the longest one.
const SCOPES: (usize, usize) = (32, 200);

fn check_scopes(value: &Value) -> Result<(), String> {
    let (most, longest) = SCOPES;
    let list = value.as_array().ok_or("Value must be a list of scopes")?;
    if list.len() > most {
        return Err(format!("at most {most} scopes"));
    }
    for scope in list {
        let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
        let good = scope.as_str().is_some_and(|text| {
            let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
            let letters = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(letters)
                && text.len() <= longest
                && text.chars().all(plain)
        });
        if !good {
            return Err(format!("{scope} is no URI of at most {longest} characters"));
        }
    }
    Ok(())
}
