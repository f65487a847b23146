//! Keys that are controls of a camera: which control, and how its values are meant.

use crate::camera::controls::{Control, Kind, Value as Raw};
use lensd_ffi::settings::bank::{Hardware, Held};
use serde_json::{Value, json};

/// How a key's value stands for a control's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// 0 to 100 for the whole range.
    Percent,
    /// true for 1.
    Flag,
    /// `V4L2_CID_EXPOSURE_AUTO`'s menu.
    Exposure,
    /// `V4L2_CID_POWER_LINE_FREQUENCY`'s menu.
    PowerLine,
    /// The control counts in so many of the key's units.
    Times(i64),
}

/// A key and its control.
#[derive(Debug)]
pub(super) struct Meaning {
    pub(super) key: &'static str,
    /// `V4L2_CID_*`; the first that the camera has.
    ids: &'static [u32],
    /// What a control's name must contain, where V4L2 has no number for it.
    name: &'static str,
    form: Form,
}

const fn id(key: &'static str, ids: &'static [u32], form: Form) -> Meaning {
    Meaning { key, ids, name: "", form }
}

/// Numbers of v4l2-controls.h.
#[rustfmt::skip]
pub(super) const MEANINGS: &[Meaning] = &[
    id("brightness", &[0x0098_0900], Form::Percent),
    id("contrast", &[0x0098_0901], Form::Percent),
    id("saturation", &[0x0098_0902], Form::Percent),
    id("hue", &[0x0098_0903], Form::Percent),
    id("sharpness", &[0x0098_091b], Form::Percent),
    id("gamma", &[0x0098_0910], Form::Percent),
    // V4L2_CID_GAIN, or V4L2_CID_ANALOGUE_GAIN of image sensors.
    id("gain", &[0x0098_0913, 0x009e_0903], Form::Percent),
    id("red-gain", &[0x0098_090e], Form::Percent),
    id("blue-gain", &[0x0098_090f], Form::Percent),
    id("backlight", &[0x0098_091c], Form::Percent),
    id("mirror", &[0x0098_0914], Form::Flag),
    id("flip", &[0x0098_0915], Form::Flag),
    id("power-line", &[0x0098_0918], Form::PowerLine),
    id("auto-exposure", &[0x009a_0901], Form::Exposure),
    // In units of 100 us.
    id("exposure-time", &[0x009a_0902], Form::Times(100)),
    id("exposure-bias", &[0x009a_0913, 0x0098_0911], Form::Percent),
    id("auto-white-balance", &[0x0098_090c], Form::Flag),
    id("white-balance-temperature", &[0x0098_091a], Form::Times(1)),
    Meaning { key: "noise-supression", ids: &[], name: "noise reduction", form: Form::Flag },
    id("zoom", &[0x009a_090d], Form::Percent),
    id("focus", &[0x009a_090a], Form::Percent),
    id("auto-focus", &[0x009a_090c], Form::Flag),
    id("pan", &[0x009a_0908], Form::Percent),
    id("tilt", &[0x009a_0909], Form::Percent),
];

const POWER_LINE: [&str; 4] = ["off", "50hz", "60hz", "auto"];
/// Items of `V4L2_CID_EXPOSURE_AUTO`.
const AUTO: i64 = 0;
const MANUAL: i64 = 1;
const SHUTTER: i64 = 2;
const APERTURE: i64 = 3;

impl Meaning {
    /// The camera's control.
    pub(super) fn find<'a>(&self, controls: &'a [Control]) -> Option<&'a Control> {
        let numbered = self.ids.iter().find_map(|id| controls.iter().find(|c| c.id == *id));
        numbered.or_else(|| {
            let named = |c: &&Control| c.name.to_lowercase().contains(self.name);
            controls.iter().find(named).filter(|_| !self.name.is_empty())
        })
    }

    /// The control's value for the key's.
    ///
    /// # Errors
    /// What this camera has instead.
    pub(super) fn raw(&self, control: &Control, value: &Value) -> Result<Raw, String> {
        let number = || value.as_i64().unwrap_or_default();
        let on = value.as_bool().unwrap_or_default();
        let has = |index: &i64| control.items.iter().any(|item| item.index == *index);
        let raw = match self.form {
            Form::Percent => hardware(control).of_percent(number()),
            Form::Flag => i64::from(on),
            Form::Times(unit) => {
                // To the nearest; the driver clamps.
                (number() + unit / 2) / unit
            }
            Form::PowerLine => {
                let word = value.as_str().unwrap_or_default();
                let index = POWER_LINE.iter().position(|w| *w == word).unwrap_or(0);
                i64::try_from(index).unwrap_or(0)
            }
            Form::Exposure => match (value.as_bool(), value.as_str()) {
                // Webcams know no other automatic than aperture priority.
                (Some(true), _) => *[AUTO, APERTURE].iter().find(|i| has(i)).unwrap_or(&AUTO),
                (Some(false), _) => *[MANUAL, SHUTTER].iter().find(|i| has(i)).unwrap_or(&MANUAL),
                (_, Some("shutter-priority")) => SHUTTER,
                _ => APERTURE,
            },
        };
        if !control.items.is_empty() && !has(&raw) {
            let names: Vec<_> = control.items.iter().map(|i| i.name.as_str()).collect();
            return Err(format!("this camera's {} is one of: {}", control.name, names.join(", ")));
        }
        Ok(Raw::Number(raw))
    }

    /// The key's value for what a control is set to.
    pub(super) fn held(&self, control: &Control) -> Held {
        let Some(Raw::Number(raw)) = control.value else {
            return Held::missing("the camera does not say what this is set to");
        };
        let value = match self.form {
            Form::Percent => json!(hardware(control).percent()),
            Form::Flag => json!(raw != 0),
            Form::Times(unit) => json!(raw.saturating_mul(unit)),
            Form::PowerLine => {
                let word = usize::try_from(raw).ok().and_then(|i| POWER_LINE.get(i));
                json!(word)
            }
            Form::Exposure => match raw {
                SHUTTER => json!("shutter-priority"),
                // What webcams have as their automatic.
                APERTURE if control.items.iter().any(|i| i.index == AUTO) => {
                    json!("aperture-priority")
                }
                raw => json!(raw != MANUAL),
            },
        };
        let ranged = matches!(self.form, Form::Percent | Form::Times(_));
        let inactive = control.flags.contains(&"inactive");
        Held {
            value,
            error: if inactive {
                "this camera sets it by itself now, by another control".to_owned()
            } else {
                String::new()
            },
            hardware: ranged.then(|| hardware(control)),
        }
    }
}

fn hardware(control: &Control) -> Hardware {
    let value = match control.value {
        Some(Raw::Number(n)) => n,
        _ => control.default,
    };
    Hardware {
        min: control.minimum,
        max: control.maximum,
        step: i64::try_from(control.step).unwrap_or(1).max(1),
        default: control.default,
        value,
    }
}

/// Whether setting it may change what other controls are or take.
pub(super) fn has_followers(control: &Control) -> bool {
    matches!(control.kind, Kind::Boolean | Kind::Menu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::controls::Item;

    fn control(kind: Kind, min: i64, max: i64, value: i64, items: &[(i64, &str)]) -> Control {
        let item = |(index, name): &(i64, &str)| Item { index: *index, name: (*name).to_owned() };
        Control {
            id: 1,
            key: "x".into(),
            name: "X".into(),
            kind,
            minimum: min,
            maximum: max,
            step: 1,
            default: min,
            value: Some(Raw::Number(value)),
            items: items.iter().map(item).collect(),
            flags: Vec::new(),
        }
    }

    fn meaning(key: &str) -> &'static Meaning {
        MEANINGS.iter().find(|m| m.key == key).unwrap()
    }

    #[test]
    fn percentages_are_of_the_cameras_own_range() {
        let brightness = meaning("brightness");
        let c = control(Kind::Integer, -64, 64, 32, &[]);
        assert_eq!(brightness.raw(&c, &json!(75)), Ok(Raw::Number(32)));
        let held = brightness.held(&c);
        assert_eq!(held.value, json!(75));
        assert_eq!(held.hardware.unwrap().max, 64);
    }

    #[test]
    fn automatic_exposure_is_what_the_camera_calls_it() {
        let exposure = meaning("auto-exposure");
        let webcam = control(Kind::Menu, 0, 3, 3, &[(1, "Manual"), (3, "Aperture Priority")]);
        assert_eq!(exposure.raw(&webcam, &json!(true)), Ok(Raw::Number(3)));
        assert_eq!(exposure.raw(&webcam, &json!(false)), Ok(Raw::Number(1)));
        assert_eq!(exposure.held(&webcam).value, json!(true));
        let why = exposure.raw(&webcam, &json!("shutter-priority")).unwrap_err();
        assert!(why.contains("Manual, Aperture Priority"), "{why}");
        let full = control(Kind::Menu, 0, 3, 3, &[(0, "Auto"), (1, "M"), (2, "S"), (3, "A")]);
        assert_eq!(exposure.held(&full).value, json!("aperture-priority"));
        assert_eq!(exposure.raw(&full, &json!("shutter-priority")), Ok(Raw::Number(2)));
    }

    #[test]
    fn units_are_turned_to_the_controls() {
        let time = meaning("exposure-time");
        let c = control(Kind::Integer, 1, 5000, 333, &[]);
        assert_eq!(time.raw(&c, &json!(33_349)), Ok(Raw::Number(333)));
        assert_eq!(time.held(&c).value, json!(33_300));
        let inactive = Control { flags: vec!["inactive"], ..c };
        assert!(!time.held(&inactive).error.is_empty());
    }
}
