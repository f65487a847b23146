//! JSON (RFC 8259) as bodies and messages bring it: strictly, so that what one reader takes for the
//! value of a key, no other takes for another.

use super::respond::Fault;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Deepest nesting of objects and arrays.
pub const MAX_DEPTH: usize = 32;

/// Parses a whole text.
///
/// # Errors
/// 400 that says what is wrong and where: not UTF-8, not JSON, a key that is there twice, nesting
/// deeper than 32, a number that no double holds, something behind the value.
pub fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    let wrong = |message: String| Fault::new(400, "INVALID_JSON", "Invalid JSON", message);
    let text = std::str::from_utf8(bytes)
        .map_err(|e| wrong(format!("byte {} is not UTF-8", e.valid_up_to() + 1)))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let strict = Strict { depth: 0 };
    let value = strict.deserialize(&mut reader).map_err(|e| wrong(e.to_string()))?;
    reader.end().map_err(|e| wrong(e.to_string()))?;
    Ok(value)
}

/// Parses a text that must be an object.
///
/// # Errors
/// As [`parse`].
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        _ => {
            let why = "this must be a JSON object";
            Err(Fault::new(400, "INVALID_VALUE", "Invalid value", why))
        }
    }
}

/// A value inside so many others.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} is there twice")));
            }
            let value = members.next_value_seed(inside)?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

/// The names of an object's members, in the order in which they are written; none of what is no
/// object.
pub fn names(text: &[u8]) -> Vec<String> {
    serde_json::from_slice::<Names>(text).map(|names| names.0).unwrap_or_default()
}

struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some((name, _)) = members.next_entry::<String, IgnoredAny>()? {
                    all.push(name);
                }
                Ok(Names(all))
            }
        }
        reader.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_json_is_read() {
        let text =
            r#" {"a": [1, -2, 2.5, 18446744073709551615, true, null], "b": {"c": "é\n😀"}} "#;
        let want = json!({"a": [1, -2, 2.5, u64::MAX, true, null], "b": {"c": "é\n😀"}});
        assert_eq!(parse(text.as_bytes()), Ok(want));
        assert_eq!(parse(b"0"), Ok(json!(0)));
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse(deep(MAX_DEPTH + 1).as_bytes()).unwrap_err().message.contains("deeper"));
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn members_have_an_order() {
        assert_eq!(names(br#"{"b":1,"a":{"z":[]},"\u0063":null}"#), ["b", "a", "c"]);
        assert!(names(b"[1]").is_empty() && names(b"{").is_empty());
    }

    #[test]
    fn what_is_none_is_refused_with_its_place() {
        for (text, want) in [
            (&b""[..], "line 1 column 0"),
            (b"{\"a\":1,\"a\":2}", "the key \"a\" is there twice at line 1 column 10"),
            (b"{\"a\":{\"b\":1,\"\\u0062\":2}}", "the key \"b\" is there twice"),
            (b"1 2", "line 1 column 3"),
            (b"{}x", "line 1 column 3"),
            (b"NaN", "line 1"),
            (b"Infinity", "line 1"),
            (b"1e999", "out of range"),
            (b"{'a':1}", "line 1"),
            (b"[1,]", "line 1"),
            (b"{\"a\":1,}", "line 1"),
            (b"01", "line 1"),
            (b"\"\\ud800\"", "line 1"),
            (b"\"a\nb\"", "line"),
            (b"{\n \"a\": ?}", "line 2"),
            (b"\"\xff\"", "byte 2 is not UTF-8"),
            (b"\xef\xbb\xbf1", "line 1 column 1"),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.status, &*fault.code), (400, "INVALID_JSON"));
            assert!(fault.message.contains(want), "{text:?}: {}", fault.message);
        }
    }
}
