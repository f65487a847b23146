//! Texts on the picture, each at its own place (ONVIF Media2 Service Specification, "OSD").

use super::Corner;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most texts of a camera, and of all.
pub const MOST: usize = 8;
const MOST_OF_ALL: usize = 32;
/// Longest text, in characters.
const LONGEST: usize = 120;
/// Longest name.
const TOKEN: usize = 64;
/// Least and greatest height of a line, in pixels.
const SIZES: std::ops::RangeInclusive<u32> = 8..=256;

/// How dates are written: as ONVIF names it, and for `strftime`.
pub const DATES: &[(&str, &str)] = &[
    ("yyyy-MM-dd", "%Y-%m-%d"),
    ("yyyy/MM/dd", "%Y/%m/%d"),
    ("M/d/yyyy", "%-m/%-d/%Y"),
    ("MM/dd/yyyy", "%m/%d/%Y"),
    ("dd/MM/yyyy", "%d/%m/%Y"),
    ("dd.MM.yyyy", "%d.%m.%Y"),
    ("dddd, MMMM dd, yyyy", "%A, %B %d, %Y"),
    ("MMMM dd, yyyy", "%B %d, %Y"),
    ("dd MMMM, yyyy", "%d %B, %Y"),
];

/// The same of times.
pub const TIMES: &[(&str, &str)] = &[
    ("HH:mm:ss", "%H:%M:%S"),
    ("H:mm:ss", "%-H:%M:%S"),
    ("hh:mm:ss tt", "%I:%M:%S %p"),
    ("h:mm:ss tt", "%-I:%M:%S %p"),
];

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A text that stays the same.
    #[default]
    Text,
    /// The date.
    Date,
    /// The time of day.
    Time,
    /// Both.
    DateTime,
}

/// Where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "they are their names")]
pub enum Place {
    #[default]
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
    /// Its top left corner is at `x` and `y`.
    Custom,
}

impl Place {
    /// The corner that it is.
    pub const fn corner(self) -> Option<Corner> {
        Some(match self {
            Self::TopLeft => Corner::TopLeft,
            Self::TopRight => Corner::TopRight,
            Self::BottomLeft => Corner::BottomLeft,
            Self::BottomRight => Corner::BottomRight,
            Self::Custom => return None,
        })
    }
}

/// A text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Osd {
    /// What programs call it; unique.
    pub token: String,
    /// Camera from 1; 0: all.
    pub camera: u32,
    /// What is written.
    pub kind: Kind,
    /// The text, or what stands before the date and time.
    pub text: String,
    /// One of [`DATES`].
    pub date_format: String,
    /// One of [`TIMES`].
    pub time_format: String,
    /// UTC instead of the machine's time zone.
    pub utc: bool,
    /// Where.
    pub position: Place,
    /// Of a custom place: -1 at the left, 1 at the right.
    pub x: f64,
    /// -1 at the bottom, 1 at the top.
    pub y: f64,
    /// Height of the line in pixels; 0: as `overlay-size`.
    pub size: u32,
    /// `#rrggbb`.
    pub colour: String,
    /// Whether the picture below it stays as bright as it is.
    pub transparent: bool,
}

impl Default for Osd {
    fn default() -> Self {
        Self {
            token: String::new(),
            camera: 0,
            kind: Kind::Text,
            text: String::new(),
            date_format: "yyyy-MM-dd".to_owned(),
            time_format: "HH:mm:ss".to_owned(),
            utc: false,
            position: Place::TopLeft,
            x: 0.0,
            y: 0.0,
            size: 0,
            colour: "#ffffff".to_owned(),
            transparent: false,
        }
    }
}

fn format_of(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
}

impl Osd {
    /// How its date and time are written, for `strftime`; none of a plain text.
    pub fn format(&self) -> Option<String> {
        let date = format_of(DATES, &self.date_format).unwrap_or("%Y-%m-%d");
        let time = format_of(TIMES, &self.time_format).unwrap_or("%H:%M:%S");
        match self.kind {
            Kind::Text => None,
            Kind::Date => Some(date.to_owned()),
            Kind::Time => Some(time.to_owned()),
            Kind::DateTime => Some(format!("{date} {time}")),
        }
    }

    /// Red, green, blue.
    pub fn rgb(&self) -> Option<[u8; 3]> {
        let hex = self.colour.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii())?;
        let part = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).ok();
        Some([part(0)?, part(2)?, part(4)?])
    }

    fn check(&self) -> Result<(), String> {
        let line = |text: &str, most: usize| {
            text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        if self.token.is_empty() || !line(&self.token, TOKEN) {
            return Err(format!("token must have 1 to {TOKEN} characters"));
        }
        if !line(&self.text, LONGEST) {
            return Err(format!("text must have at most {LONGEST} characters in one line"));
        }
        if self.kind == Kind::Text && self.text.is_empty() {
            return Err("text must not be empty".to_owned());
        }
        let names = |table: &[(&str, &str)]| {
            table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | ")
        };
        if format_of(DATES, &self.date_format).is_none() {
            return Err(format!("date_format must be one of: {}", names(DATES)));
        }
        if format_of(TIMES, &self.time_format).is_none() {
            return Err(format!("time_format must be one of: {}", names(TIMES)));
        }
        if !(-1.0..=1.0).contains(&self.x) || !(-1.0..=1.0).contains(&self.y) {
            return Err("x and y must be between -1 and 1".to_owned());
        }
        if self.size != 0 && !SIZES.contains(&self.size) {
            return Err(format!("size must be 0, or {} to {} pixels", SIZES.start(), SIZES.end()));
        }
        if self.camera > 64 {
            return Err("camera must be 0 for all, or a number up to 64".to_owned());
        }
        if self.rgb().is_none() {
            return Err("colour must be #rrggbb".to_owned());
        }
        Ok(())
    }
}

/// The texts that a setting's value is.
///
/// # Errors
/// What is wrong with which of them.
pub fn parse(value: &Value) -> Result<Vec<Osd>, String> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let list: Vec<Osd> = serde_json::from_value(value.clone())
        .map_err(|e| format!("Value must be [{{token, camera, kind, text, position, …}}]: {e}"))?;
    if list.len() > MOST_OF_ALL {
        return Err(format!("at most {MOST_OF_ALL} texts"));
    }
    for (i, osd) in list.iter().enumerate() {
        osd.check().map_err(|why| format!("text {}: {why}", i + 1))?;
        if list[..i].iter().any(|other| other.token == osd.token) {
            return Err(format!("the token {:?} is there twice", osd.token));
        }
        let same = |other: &&Osd| other.camera == osd.camera;
        if list.iter().filter(same).count() > MOST {
            return Err(format!("a camera has at most {MOST} texts"));
        }
    }
    Ok(list)
}

/// Those of a camera.
pub fn of_camera(value: &Value, camera: u32) -> Vec<Osd> {
    let mut list = parse(value).unwrap_or_default();
    list.retain(|osd| osd.camera == 0 || osd.camera == camera);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_are_read_and_those_of_other_cameras_left_out() {
        let value = json!([
            { "token": "a", "text": "door" },
            { "token": "b", "kind": "date-time", "camera": 2, "date_format": "M/d/yyyy",
              "time_format": "h:mm:ss tt", "position": "custom", "x": -0.5, "y": 1, "size": 24,
              "colour": "#ff8000", "transparent": true },
        ]);
        let all = parse(&value).unwrap();
        assert_eq!(parse(&json!(all)).unwrap(), all);
        assert_eq!(all[1].format().as_deref(), Some("%-m/%-d/%Y %-I:%M:%S %p"));
        assert_eq!((all[1].rgb(), all[0].format()), (Some([255, 128, 0]), None));
        assert_eq!((of_camera(&value, 1).len(), of_camera(&value, 2).len()), (1, 2));
        assert_eq!((parse(&json!([])), parse(&Value::Null)), (Ok(vec![]), Ok(vec![])));
    }

    #[test]
    fn others_are_refused_and_say_why() {
        for (osd, word) in [
            (json!({ "text": "x" }), "token"),
            (json!({ "token": "a" }), "empty"),
            (json!({ "token": "a", "text": "a\nb" }), "one line"),
            (json!({ "token": "a", "kind": "date", "date_format": "%Y" }), "date_format"),
            (json!({ "token": "a", "kind": "time", "time_format": "" }), "time_format"),
            (json!({ "token": "a", "text": "x", "x": 2 }), "between -1 and 1"),
            (json!({ "token": "a", "text": "x", "size": 5 }), "size"),
            (json!({ "token": "a", "text": "x", "colour": "#fffff\u{e9}" }), "#rrggbb"),
            (json!({ "token": "a", "text": "x", "colour": "red" }), "#rrggbb"),
            (json!({ "token": "a", "text": "x", "kind": "song" }), "song"),
            (json!({ "token": "a", "text": "x", "other": 1 }), "other"),
            (json!({ "token": "a", "text": "x", "camera": 65 }), "camera"),
        ] {
            let why = parse(&json!([osd])).unwrap_err();
            assert!(why.contains(word), "{osd}: {why}");
        }
        assert!(parse(&json!(5)).is_err());
        let twice = json!([{ "token": "a", "text": "x" }, { "token": "a", "text": "y" }]);
        assert!(parse(&twice).unwrap_err().contains("twice"));
        let many: Vec<Value> =
            (0..9).map(|n| json!({ "token": n.to_string(), "text": "x" })).collect();
        assert!(parse(&json!(many)).unwrap_err().contains("at most 8"));
    }
}
