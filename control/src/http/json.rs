//! JSON that can be read in one way only: no member twice, nothing behind the value, no nesting
//! without end. (Two parsers that take the first and the last of two members are how a check is
//! passed by one and another value used by the other.)

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;

/// One value.
///
/// # Errors
/// What is wrong, and where.
pub fn value(text: &[u8], deepest: usize) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let strict = Strict { left: deepest };
    let value = deserializer.deserialize_any(strict).map_err(|e| e.to_string())?;
    deserializer.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// One object.
///
/// # Errors
/// What is wrong, and where.
pub fn object(text: &[u8], deepest: usize) -> Result<Map<String, Value>, String> {
    match value(text, deepest)? {
        Value::Object(members) => Ok(members),
        _ => Err("this must be a JSON object".to_owned()),
    }
}

/// Reads a value that may nest so deep.
#[derive(Clone, Copy)]
struct Strict {
    left: usize,
}

impl<'de> serde::de::DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left }).ok_or_else(|| E::custom("this is nested too deep"))
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

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(name) = members.next_key::<Name>()? {
            let value = members.next_value_seed(inner)?;
            let shown: String = name.0.chars().take(64).collect();
            if out.insert(name.0, value).is_some() {
                return Err(A::Error::custom(format!("member {shown:?} stands here twice")));
            }
        }
        Ok(Value::Object(out))
    }
}

#[derive(Deserialize)]
struct Name(String);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_plain_is_read() {
        let text = br#" {"a":[1,-2,3.5,true,null,"x"],"b":{}} "#;
        assert_eq!(value(text, 8), Ok(json!({"a":[1,-2,3.5,true,null,"x"],"b":{}})));
        assert_eq!(value(b"75", 0), Ok(json!(75)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, why) in [
            (&b"{\"a\":1,\"a\":2}"[..], "twice"),
            (b"{\"a\":{\"b\":1,\"\\u0062\":2}}", "twice"),
            (b"1 2", "trailing"),
            (b"NaN", "expected"),
            (b"[[[[[[[[[1]]]]]]]]]", "deep"),
            (b"{\"a\":\"\xff\"}", "line 1"),
            (b"", "EOF"),
            (b"{'a':1}", "line 1 column"),
        ] {
            let refused = value(text, 8).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(value("[".repeat(100_000).as_bytes(), 32).is_err());
        assert!(object(b"[]", 8).unwrap_err().contains("object"));
    }
}
