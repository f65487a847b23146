//! Controls of a V4L2 device: what there is, what it is set to, and setting it ("User Controls",
//! "Extended Controls API").

use crate::sys::v4l2::control::{Description, MenuItem, Raw};
use crate::sys::v4l2::{Device, bindings};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of value a control has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A number from a range.
    Integer,
    /// 0 or 1.
    Boolean,
    /// The index of a named item.
    Menu,
    /// The index of a number.
    IntegerMenu,
    /// No value: writing it does something.
    Button,
    /// Text.
    String,
    /// Bits.
    Bitmask,
}

/// A control's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number: also of booleans, menus (the item's index) and bit masks.
    Number(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The value that chooses it.
    pub index: i64,
    /// Its name, or its number as text.
    pub name: String,
}

/// A control and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Control {
    /// `V4L2_CID_*`
    pub id: u32,
    /// Its name as a key: lower case, words joined by `_`, as `v4l2-ctl` writes it.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Kind of value.
    pub kind: Kind,
    /// Least value; of a string its least length.
    pub minimum: i64,
    /// Greatest value; of a string its greatest length.
    pub maximum: i64,
    /// Step.
    pub step: u64,
    /// Default.
    pub default: i64,
    /// What it is set to; absent if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Items of a menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// What its flags say (`V4L2_CTRL_FLAG_*`), e.g. `read-only`, `inactive`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
}

/// Why a control was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlError(pub String);

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ControlError {}

/// More controls than any device has: where a broken driver's enumeration ends.
const MOST_CONTROLS: usize = 1024;
/// More items than any menu has.
const MOST_ITEMS: i64 = 1024;

/// All controls of `device`, with their values.
pub fn list(device: &Device) -> Vec<Control> {
    let mut controls = Vec::new();
    let mut last = 0;
    while let Some(description) = device.query_next_ctrl(last)
        && controls.len() < MOST_CONTROLS
    {
        last = description.id;
        controls.extend(describe(device, &description));
    }
    controls
}

/// The control that `name` means: its key, its name, or its id as a number.
pub fn find<'a>(controls: &'a [Control], name: &str) -> Option<&'a Control> {
    let id = name
        .strip_prefix("0x")
        .map_or_else(|| name.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
    controls.iter().find(|c| c.key == name || c.name.eq_ignore_ascii_case(name) || Some(c.id) == id)
}

/// What `control` is set to now; `None` if it cannot be read.
pub fn get(device: &Device, control: &Control) -> Option<Value> {
    if control.kind == Kind::Button || control.flags.contains(&"write-only") {
        return None;
    }
    let like = match control.kind {
        // The kernel says ENOSPC to less room than the greatest length.
        Kind::String => {
            Raw::Text(vec![0; usize::try_from(control.maximum).unwrap_or(0).min(65_536)])
        }
        _ if wide(control) => Raw::Integer64(0),
        _ => Raw::Integer(0),
    };
    device.g_ext_ctrl(control.id, like).ok().map(|raw| of_raw(control, raw))
}

/// Sets `control`; answers the value that the driver took, which may be another.
///
/// # Errors
/// A value that the control cannot have (the message states the range), or the driver's refusal.
pub fn set(device: &Device, control: &Control, value: &Value) -> Result<Value, ControlError> {
    let raw = to_raw(control, value)?;
    let set = device
        .s_ext_ctrl(control.id, raw)
        .map_err(|refusal| ControlError(format!("{}: {refusal}", control.name)))?;
    // Some drivers adjust only what they answer afterwards.
    Ok(get(device, control).unwrap_or_else(|| of_raw(control, set)))
}

/// The value as the driver wants it. Numbers out of range are the driver's to clamp; what has no
/// meaning for the control at all is refused here.
fn to_raw(control: &Control, value: &Value) -> Result<Raw, ControlError> {
    let refuse =
        |wanted: &str| Err(ControlError(format!("{} takes {wanted}, not {value}", control.name)));
    match (control.kind, value) {
        (Kind::String, Value::Text(text)) => {
            let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
            if text.contains('\0') || length < control.minimum || length > control.maximum {
                let (min, max) = (control.minimum, control.maximum);
                return refuse(&format!("a text of {min} to {max} bytes"));
            }
            // Steps count from the least length: pad with blanks up to the next.
            let step = i64::try_from(control.step.max(1)).unwrap_or(1);
            let missing = (step - (length - control.minimum) % step) % step;
            let blanks = " ".repeat(usize::try_from(missing).unwrap_or(0));
            Ok(Raw::Text(format!("{text}{blanks}").into_bytes()))
        }
        (Kind::String, Value::Number(_)) => refuse("a text"),
        (Kind::Menu | Kind::IntegerMenu, Value::Text(text)) => {
            match control.items.iter().find(|item| item.name.eq_ignore_ascii_case(text)) {
                Some(item) => Ok(Raw::Integer(i32::try_from(item.index).unwrap_or(0))),
                None => refuse(&one_of(&control.items)),
            }
        }
        (Kind::Menu | Kind::IntegerMenu, Value::Number(n)) => {
            if control.items.iter().any(|item| item.index == *n) {
                Ok(Raw::Integer(i32::try_from(*n).unwrap_or(0)))
            } else {
                refuse(&one_of(&control.items))
            }
        }
        (_, Value::Text(_)) => {
            refuse(&format!("a number from {} to {}", control.minimum, control.maximum))
        }
        (Kind::Button, _) => Ok(Raw::Integer(0)),
        // A mask of 32 bits comes as an unsigned number but travels as a signed one.
        (Kind::Bitmask, Value::Number(n)) => match u32::try_from(*n) {
            Ok(bits) => Ok(Raw::Integer(bits.cast_signed())),
            Err(_) => refuse("a mask of 32 bits"),
        },
        (_, Value::Number(n)) if wide(control) => Ok(Raw::Integer64(*n)),
        (_, Value::Number(n)) => {
            let clamped = (*n).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            Ok(Raw::Integer(i32::try_from(clamped).unwrap_or(0)))
        }
    }
}

fn one_of(items: &[Item]) -> String {
    let names: Vec<_> = items.iter().map(|i| format!("{} ({})", i.index, i.name)).collect();
    format!("one of {}", names.join(", "))
}

fn of_raw(control: &Control, raw: Raw) -> Value {
    match raw {
        Raw::Integer(n) if control.kind == Kind::Bitmask => {
            Value::Number(i64::from(n.cast_unsigned()))
        }
        Raw::Integer(n) => Value::Number(i64::from(n)),
        Raw::Integer64(n) => Value::Number(n),
        Raw::Text(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Whether it is an `V4L2_CTRL_TYPE_INTEGER64`: the only kind whose range can say so.
fn wide(control: &Control) -> bool {
    control.flags.contains(&"64-bit")
}

/// The control that `description` describes; `None` for headings, arrays and disabled ones.
fn describe(device: &Device, d: &Description) -> Option<Control> {
    let kind = kind(d.kind)?;
    if d.flags & bindings::V4L2_CTRL_FLAG_DISABLED != 0 || d.elements > 1 {
        return None;
    }
    let mut control = Control {
        id: d.id,
        key: key(&d.name),
        name: d.name.clone(),
        kind,
        minimum: d.minimum,
        maximum: d.maximum,
        step: d.step,
        default: d.default,
        value: None,
        items: Vec::new(),
        flags: flags(d),
    };
    if matches!(kind, Kind::Menu | Kind::IntegerMenu) {
        control.items = items(device, d, kind == Kind::IntegerMenu);
    }
    control.value = get(device, &control);
    Some(control)
}

fn items(device: &Device, d: &Description, integer: bool) -> Vec<Item> {
    let last = d.maximum.min(d.minimum.saturating_add(MOST_ITEMS));
    (d.minimum.max(0)..=last)
        .filter_map(|index| {
            // Gaps answer EINVAL.
            let item = device.querymenu(d.id, u32::try_from(index).ok()?, integer).ok()?;
            let name = match item {
                MenuItem::Name(name) => name,
                MenuItem::Number(n) => n.to_string(),
            };
            Some(Item { index, name })
        })
        .collect()
}

fn kind(v4l2: u32) -> Option<Kind> {
    use bindings as b;
    Some(match v4l2 {
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER | b::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => {
            Kind::Integer
        }
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Kind::Boolean,
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => Kind::Menu,
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => Kind::IntegerMenu,
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => Kind::Button,
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING => Kind::String,
        b::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => Kind::Bitmask,
        _ => return None,
    })
}

fn flags(d: &Description) -> Vec<&'static str> {
    use bindings as b;
    let mut flags: Vec<_> = [
        (b::V4L2_CTRL_FLAG_GRABBED, "grabbed"),
        (b::V4L2_CTRL_FLAG_READ_ONLY, "read-only"),
        (b::V4L2_CTRL_FLAG_UPDATE, "update"),
        (b::V4L2_CTRL_FLAG_INACTIVE, "inactive"),
        (b::V4L2_CTRL_FLAG_SLIDER, "slider"),
        (b::V4L2_CTRL_FLAG_WRITE_ONLY, "write-only"),
        (b::V4L2_CTRL_FLAG_VOLATILE, "volatile"),
        (b::V4L2_CTRL_FLAG_EXECUTE_ON_WRITE, "execute-on-write"),
        (b::V4L2_CTRL_FLAG_MODIFY_LAYOUT, "modify-layout"),
    ]
    .into_iter()
    .filter(|(bit, _)| d.flags & bit != 0)
    .map(|(_, name)| name)
    .collect();
    if d.kind == b::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 {
        flags.push("64-bit");
    }
    flags
}

/// `White Balance, Auto` becomes `white_balance_auto`.
fn key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            key.push(c.to_ascii_lowercase());
        } else if !key.is_empty() && !key.ends_with('_') {
            key.push('_');
        }
    }
    key.trim_end_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(kind: Kind) -> Control {
        Control {
            id: 0x0098_0900,
            key: "a".into(),
            name: "A".into(),
            kind,
            minimum: 0,
            maximum: 10,
            step: 1,
            default: 0,
            value: None,
            items: vec![
                Item { index: 1, name: "Fifty".into() },
                Item { index: 3, name: "Sixty".into() },
            ],
            flags: Vec::new(),
        }
    }

    #[test]
    fn keys_are_those_of_v4l2_ctl() {
        assert_eq!(key("White Balance, Auto"), "white_balance_auto");
        assert_eq!(key("Exposure (Absolute)"), "exposure_absolute");
        assert_eq!(key("  "), "");
    }

    #[test]
    fn menus_take_indices_and_names_but_not_gaps() {
        let menu = control(Kind::Menu);
        assert_eq!(to_raw(&menu, &Value::Number(3)), Ok(Raw::Integer(3)));
        assert_eq!(to_raw(&menu, &Value::Text("fifty".into())), Ok(Raw::Integer(1)));
        let refused = to_raw(&menu, &Value::Number(2)).unwrap_err();
        assert_eq!(refused.0, "A takes one of 1 (Fifty), 3 (Sixty), not 2");
    }

    #[test]
    fn texts_have_lengths_and_steps() {
        let mut string = control(Kind::String);
        string.step = 4;
        let padded = to_raw(&string, &Value::Text("abc".into()));
        assert_eq!(padded, Ok(Raw::Text(b"abc ".to_vec())));
        assert!(to_raw(&string, &Value::Text("eleven char".into())).is_err());
        assert!(to_raw(&string, &Value::Number(1)).is_err());
    }

    #[test]
    fn masks_and_wide_numbers() {
        let mask = control(Kind::Bitmask);
        assert_eq!(to_raw(&mask, &Value::Number(0xffff_ffff)), Ok(Raw::Integer(-1)));
        assert_eq!(of_raw(&mask, Raw::Integer(-1)), Value::Number(0xffff_ffff));
        let mut wide = control(Kind::Integer);
        assert_eq!(to_raw(&wide, &Value::Number(1 << 40)), Ok(Raw::Integer(i32::MAX)));
        wide.flags.push("64-bit");
        assert_eq!(to_raw(&wide, &Value::Number(1 << 40)), Ok(Raw::Integer64(1 << 40)));
    }

    #[test]
    fn found_by_key_name_or_id() {
        let controls = [control(Kind::Integer)];
        for name in ["a", "A", "0x00980900", "9963776"] {
            assert!(find(&controls, name).is_some(), "{name}");
        }
        assert!(find(&controls, "b").is_none());
    }
}
