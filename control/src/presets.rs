//! Positions that cameras go back to, as the settings `ptz-presets` and `ptz-home` keep them.

use lensd_ffi::ptz::PtzVector;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most presets of a camera.
pub(crate) const MOST: usize = 32;
/// Longest name and token, in characters.
pub(crate) const LONGEST: usize = 64;
/// Highest number of a camera.
const CAMERAS: u32 = 64;

/// A position with a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preset {
    /// Number of the camera.
    pub(crate) camera: u32,
    /// What it is called by programs; unique among the camera's.
    pub(crate) token: String,
    /// What it is called by people; unique too.
    pub(crate) name: String,
    #[serde(default)]
    pan: Option<f64>,
    #[serde(default)]
    tilt: Option<f64>,
    #[serde(default)]
    zoom: Option<f64>,
}

impl Preset {
    /// A position and what it is called.
    pub(crate) fn new(camera: u32, token: String, name: String, at: PtzVector) -> Self {
        Self { camera, token, name, pan: at.pan, tilt: at.tilt, zoom: at.zoom }
    }

    /// Where it is.
    pub(crate) const fn position(&self) -> PtzVector {
        PtzVector { pan: self.pan, tilt: self.tilt, zoom: self.zoom }
    }
}

/// Where a camera goes home to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Home {
    /// Number of the camera.
    pub(crate) camera: u32,
    #[serde(default)]
    pan: Option<f64>,
    #[serde(default)]
    tilt: Option<f64>,
    #[serde(default)]
    zoom: Option<f64>,
}

impl Home {
    /// A position of a camera.
    pub(crate) const fn new(camera: u32, at: PtzVector) -> Self {
        Self { camera, pan: at.pan, tilt: at.tilt, zoom: at.zoom }
    }

    /// Where it is.
    pub(crate) const fn position(&self) -> PtzVector {
        PtzVector { pan: self.pan, tilt: self.tilt, zoom: self.zoom }
    }
}

fn check_place(camera: u32, at: PtzVector) -> Result<(), String> {
    if !(1..=CAMERAS).contains(&camera) {
        return Err(format!("camera must be between 1 and {CAMERAS}"));
    }
    let within = |n: Option<f64>, least: f64| n.is_none_or(|n| (least..=1.0).contains(&n));
    let good = within(at.pan, -1.0) && within(at.tilt, -1.0) && within(at.zoom, 0.0);
    if good { Ok(()) } else { Err("pan and tilt go from -1 to 1, zoom from 0 to 1".to_owned()) }
}

/// Whether a name or a token can be one.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let good = !name.trim().is_empty()
        && name.chars().count() <= LONGEST
        && !name.chars().any(char::is_control);
    let why = || format!("it must have 1 to {LONGEST} characters in one line");
    if good { Ok(()) } else { Err(why()) }
}

/// The list of presets that a value is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn presets(value: &Value) -> Result<Vec<Preset>, String> {
    let list: Vec<Preset> = match value {
        Value::Null => Vec::new(),
        value => serde_json::from_value(value.clone()).map_err(|e| {
            format!("Value must be [{{camera, token, name, pan, tilt, zoom}}]: {e}")
        })?,
    };
    let (mut tokens, mut names) = (BTreeSet::new(), BTreeSet::new());
    for preset in &list {
        check_place(preset.camera, preset.position())?;
        check_name(&preset.name).map_err(|why| format!("name: {why}"))?;
        check_name(&preset.token).map_err(|why| format!("token: {why}"))?;
        if !tokens.insert((preset.camera, &preset.token)) {
            return Err(format!("the token {:?} is there twice", preset.token));
        }
        if !names.insert((preset.camera, &preset.name)) {
            return Err(format!("the name {:?} is there twice", preset.name));
        }
        if list.iter().filter(|p| p.camera == preset.camera).count() > MOST {
            return Err(format!("a camera has at most {MOST} presets"));
        }
    }
    Ok(list)
}

/// The homes that a value is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn homes(value: &Value) -> Result<Vec<Home>, String> {
    let list: Vec<Home> = match value {
        Value::Null => Vec::new(),
        value => serde_json::from_value(value.clone())
            .map_err(|e| format!("Value must be [{{camera, pan, tilt, zoom}}]: {e}"))?,
    };
    let mut cameras = BTreeSet::new();
    for home in &list {
        check_place(home.camera, home.position())?;
        if !cameras.insert(home.camera) {
            return Err(format!("camera {} is there twice", home.camera));
        }
    }
    Ok(list)
}

/// A token that no preset of a camera has: the least number.
pub(crate) fn free_token(list: &[Preset], camera: u32) -> String {
    let taken = |token: &str| list.iter().any(|p| p.camera == camera && p.token == token);
    let free = (1..=MOST + 1).map(|n| n.to_string()).find(|token| !taken(token));
    free.unwrap_or_default()
}

/// Lists as anybody may set them. Laws: no panic; what is taken is read as it is written, and the
/// next preset gets a token that no other has.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_presets(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(list) = presets(&value) {
        assert_eq!(presets(&serde_json::json!(list)).as_ref(), Ok(&list));
        let free = free_token(&list, 1);
        assert!(!list.iter().any(|p| p.camera == 1 && p.token == free));
    }
    if let Ok(list) = homes(&value) {
        assert_eq!(homes(&serde_json::json!(list)), Ok(list));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_read_as_they_are_written_and_wrong_ones_are_refused() {
        let at = PtzVector { pan: Some(0.5), tilt: None, zoom: Some(1.0) };
        let list = vec![Preset::new(1, "1".into(), "door".into(), at)];
        assert_eq!(presets(&json!(list)), Ok(list.clone()));
        assert_eq!((free_token(&list, 1), free_token(&list, 2)), ("2".into(), "1".into()));
        assert_eq!(presets(&Value::Null), Ok(Vec::new()));
        let with = |change: &dyn Fn(&mut Value)| {
            let mut value = json!(list);
            change(&mut value);
            presets(&value).unwrap_err()
        };
        assert!(with(&|v| v[0]["pan"] = json!(1.5)).contains("-1 to 1"));
        assert!(with(&|v| v[0]["camera"] = json!(0)).contains("camera"));
        assert!(with(&|v| v[0]["name"] = json!("a\nb")).contains("name"));
        assert!(with(&|v| v[0]["other"] = json!(1)).contains("other"));
        assert!(with(&|v| *v = json!(5)).contains("Value must be"));
        assert!(with(&|v| *v = json!([v[0], v[0]])).contains("twice"));
        let many: Vec<_> =
            (0..=MOST).map(|n| Preset::new(1, n.to_string(), n.to_string(), at)).collect();
        assert!(presets(&json!(many)).unwrap_err().contains("at most 32"));
        let home = vec![Home::new(2, at)];
        assert_eq!(homes(&json!(home)), Ok(home.clone()));
        assert!(homes(&json!([home[0], home[0]])).is_err());
    }
}
