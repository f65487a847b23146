//! What a value may be, and the words in which a wrong one is refused.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number in a range, both ends included.
    Whole(i64, i64),
    /// A number in a range, both ends included.
    Number(f64, f64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`, also as `"on"` and `"off"`, or one of these further words.
    Switch(&'static [&'static str]),
    /// A text of at most so many bytes without control characters.
    Text(usize),
    /// A picture size as `WIDTHxHEIGHT`, each 16 to 8192 pixels.
    Size,
    /// Any JSON of at most so many bytes: lists and tables.
    Json(usize),
}

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

const SMALLEST: u32 = 16;
const LARGEST: u32 = 8192;

impl Kind {
    /// The value as it is kept: `"on"` of a switch becomes `true`, `2.0` of a whole number `2`.
    ///
    /// # Errors
    /// What values are possible, as a sentence for people.
    pub fn check(&self, value: &Value) -> Result<Value, Refusal> {
        match (self, value) {
            (Self::Flag, Value::Bool(_)) => Some(value.clone()),
            (Self::Whole(least, most), Value::Number(n)) => {
                whole(n).filter(|n| (least..=most).contains(&n)).map(Value::from)
            }
            (Self::Number(least, most), Value::Number(n)) => {
                n.as_f64().filter(|n| (least..=most).contains(&n)).map(|_| value.clone())
            }
            (Self::Choice(words), Value::String(word)) => {
                words.contains(&word.as_str()).then(|| value.clone())
            }
            // A number among words, as that of degrees.
            (Self::Choice(words), Value::Number(n)) => {
                let word = n.to_string();
                words.contains(&word.as_str()).then(|| json!(word))
            }
            (Self::Switch(_), Value::Bool(_)) => Some(value.clone()),
            (Self::Switch(words), Value::String(word)) => match word.as_str() {
                "on" => Some(json!(true)),
                "off" => Some(json!(false)),
                word => words.contains(&word).then(|| value.clone()),
            },
            (Self::Text(most), Value::String(text)) => {
                (text.len() <= *most && !text.chars().any(char::is_control)).then(|| value.clone())
            }
            (Self::Size, Value::String(text)) => {
                size(text).map(|(width, height)| json!(format!("{width}x{height}")))
            }
            (Self::Json(most), value) => (value.to_string().len() <= *most).then(|| value.clone()),
            _ => None,
        }
        .ok_or_else(|| {
            // The sentence of the WebSocket's documentation is for numbers that are out of range;
            // for others it would name a range that they may seem to be in.
            let whole = matches!(self, Self::Whole(..)) && !is_whole(value);
            let what = if whole { "a whole number " } else { "" };
            Refusal(format!("Value must be {what}{}", self.describe()))
        })
    }

    /// The possible values in words, to follow "must be".
    pub fn describe(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            // Without "a whole number": the sentence that the WebSocket's documentation gives.
            Self::Whole(least, most) => format!("between {least} and {most}"),
            Self::Number(least, most) => format!("a number between {least} and {most}"),
            Self::Choice(words) => format!("one of: {}", words.join(", ")),
            Self::Switch([]) => "true, false, \"on\" or \"off\"".to_owned(),
            Self::Switch(words) => {
                format!("true, false, \"on\", \"off\", or one of: {}", words.join(", "))
            }
            Self::Text(most) => format!("a text of at most {most} bytes in one line"),
            Self::Size => format!("WIDTHxHEIGHT, each from {SMALLEST} to {LARGEST}"),
            Self::Json(most) => format!("JSON of at most {most} bytes"),
        }
    }

    /// The type as a JSON Schema (draft 2020-12).
    pub fn schema(&self) -> Value {
        let mut schema = Map::new();
        match self {
            Self::Flag => schema.insert("type".into(), json!("boolean")),
            Self::Whole(least, most) => {
                schema.insert("type".into(), json!("integer"));
                schema.insert("minimum".into(), json!(least));
                schema.insert("maximum".into(), json!(most))
            }
            Self::Number(least, most) => {
                schema.insert("type".into(), json!("number"));
                schema.insert("minimum".into(), json!(least));
                schema.insert("maximum".into(), json!(most))
            }
            Self::Choice(words) => {
                schema.insert("type".into(), json!("string"));
                schema.insert("enum".into(), json!(words))
            }
            Self::Switch(words) => {
                let mut all = vec![json!(true), json!(false), json!("on"), json!("off")];
                all.extend(words.iter().map(|w| json!(w)));
                schema.insert("enum".into(), json!(all))
            }
            Self::Text(most) => {
                schema.insert("type".into(), json!("string"));
                schema.insert("maxLength".into(), json!(most))
            }
            Self::Size => {
                schema.insert("type".into(), json!("string"));
                schema.insert("pattern".into(), json!("^[0-9]{2,4}x[0-9]{2,4}$"))
            }
            Self::Json(_) => None,
        };
        Value::Object(schema)
    }

    /// The type's name in the reference page.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Flag => "boolean",
            Self::Whole(..) => "integer",
            Self::Number(..) => "number",
            Self::Choice(_) => "string",
            Self::Switch(_) => "boolean or string",
            Self::Text(_) => "string",
            Self::Size => "string",
            Self::Json(_) => "JSON",
        }
    }

    /// The longest value as JSON text, in bytes.
    pub fn longest(&self) -> usize {
        match self {
            Self::Flag | Self::Whole(..) | Self::Number(..) | Self::Size => 32,
            Self::Choice(words) | Self::Switch(words) => {
                words.iter().map(|w| w.len() + 2).max().unwrap_or(0).max(8)
            }
            // Quotes and backslashes double; control characters are not allowed.
            Self::Text(most) => 2 * most + 2,
            Self::Json(most) => *most,
        }
    }
}

/// `2` and `2.0` are the same number to JavaScript.
fn whole(n: &serde_json::Number) -> Option<i64> {
    n.as_i64().or_else(|| {
        let float = n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15)?;
        Some(float as i64)
    })
}

fn is_whole(value: &Value) -> bool {
    value.as_number().and_then(whole).is_some()
}

/// Width and height of a `WIDTHxHEIGHT`.
pub(super) fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let side = |text: &str| {
        let plain = text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        let side = plain.then(|| text.parse().ok()).flatten()?;
        (SMALLEST..=LARGEST).contains(&side).then_some(side)
    };
    Some((side(width)?, side(height)?))
}

/// A short name of a table's contents: who attaches to a bank compares it.
pub(super) fn fingerprint(text: &str) -> u64 {
    let hash = Sha256::digest(text.as_bytes());
    u64::from_le_bytes(hash.first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, value: Value) -> Result<Value, String> {
        kind.check(&value).map_err(|r| r.0)
    }

    #[test]
    fn values_are_brought_into_one_form() {
        assert_eq!(check(Kind::Whole(0, 100), json!(75.0)), Ok(json!(75)));
        assert_eq!(check(Kind::Switch(&["pause"]), json!("on")), Ok(json!(true)));
        assert_eq!(check(Kind::Switch(&["pause"]), json!("pause")), Ok(json!("pause")));
        assert_eq!(check(Kind::Size, json!("0640x480")), Ok(json!("640x480")));
        assert_eq!(check(Kind::Text(3), json!("a\"b")), Ok(json!("a\"b")));
    }

    #[test]
    fn wrong_ones_are_refused_with_what_is_possible() {
        let range = Err("Value must be between 0 and 100".to_owned());
        for value in [json!(150), json!(-1)] {
            assert_eq!(check(Kind::Whole(0, 100), value), range);
        }
        let range = Err("Value must be a whole number between 0 and 100".to_owned());
        for value in [json!("75"), json!(1.5), json!(null), json!([1]), json!(true)] {
            assert_eq!(check(Kind::Whole(0, 100), value), range);
        }
        assert_eq!(check(Kind::Choice(&["0", "90"]), json!(90)), Ok(json!("90")));
        assert!(check(Kind::Choice(&["0", "90"]), json!(91)).is_err());
        let words = Kind::Choice(&["a", "b"]);
        assert_eq!(check(words, json!("c")), Err("Value must be one of: a, b".to_owned()));
        assert!(check(Kind::Switch(&[]), json!("pause")).unwrap_err().contains("true, false"));
        assert!(check(Kind::Text(3), json!("abcd")).is_err());
        assert!(check(Kind::Text(3), json!("a\n")).is_err());
        for text in ["640", "x480", "640x", "8x8", "640x480x2", "-640x480", "99999x2", "640X480"] {
            assert!(check(Kind::Size, json!(text)).is_err(), "{text}");
        }
        assert!(check(Kind::Json(4), json!([1, 2, 3])).is_err());
    }

    #[test]
    fn no_value_is_longer_than_its_place() {
        let text = "\"\\".repeat(8);
        assert!(json!(text).to_string().len() <= Kind::Text(16).longest());
        assert!(json!(i64::MIN).to_string().len() <= Kind::Whole(0, 0).longest());
        assert!(json!(f64::MIN_POSITIVE).to_string().len() <= Kind::Number(0.0, 0.0).longest());
    }
}
