//! What an imported configuration says of settings, checked as if each had been set.

use super::check;
use crate::store::Import;
use lensd_ffi::settings::find;

/// Checks settings and the secrets that are theirs; values become what is stored of them.
///
/// What only the engine knows, such as whether a camera can do it, is seen when it gets them.
///
/// # Errors
/// What is wrong, by its name.
pub(crate) fn check_import(import: &mut Import) -> Result<(), String> {
    for (name, value) in &mut import.settings {
        let at = |why: String| format!("settings.{name}: {why}");
        let entry = find(name).filter(|e| e.key.name == name && e.key.saved);
        let entry = entry.ok_or_else(|| at("there is no such setting that is kept".to_owned()))?;
        *value = entry.key.kind.check(value).map_err(|why| at(why.0))?;
        check::check(name, value).map_err(at)?;
    }
    for (key, secret) in &import.secrets {
        let text = std::str::from_utf8(secret);
        match key.as_str() {
            "secret/cameras" => {}
            "secret/network-storage" if text.is_ok() => {}
            _ if key.strip_prefix("secret/setting/").and_then(find).is_some_and(|entry| {
                let value = serde_json::from_slice(secret).ok();
                !entry.key.secrets.is_empty()
                    && value.is_some_and(|value| entry.key.kind.check(&value).is_ok())
            }) => {}
            _ if key.starts_with("password/") || key.starts_with("secret/user/") => {}
            _ => return Err(format!("the secret {key:?} is not known, or cannot be read")),
        }
    }
    Ok(())
}
