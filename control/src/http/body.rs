//! Bodies of requests: strict JSON, whatever type the client says it is of. (curl's `-d` says
//! `application/x-www-form-urlencoded`, as in seed 002's examples.)

use crate::http::json;
use crate::http::respond::Fault;
use lensd_ffi::auth::Rights;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// The value of a body.
///
/// # Errors
/// 400, for what is not JSON.
pub(crate) fn value(body: &[u8]) -> Result<Value, Fault> {
    json::parse(body)
}

/// The members of a body that is an object. **Call [`Members::end`] when all are taken.**
#[derive(Debug)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// Of a body; an empty one is an empty object.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn of(body: &[u8]) -> Result<Self, Fault> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(Map::new()));
        }
        match value(body)? {
            Value::Object(members) => Ok(Self(members)),
            _ => {
                let message = "the body must be a JSON object";
                Err(Fault::new(400, "INVALID_VALUE", "Invalid value", message))
            }
        }
    }

    /// Of an object within a body.
    pub(crate) const fn from_map(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Fault> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Fault::invalid_value(key, format!("{key} must be a string"))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn needed(&mut self, key: &str) -> Result<String, Fault> {
        let text = self.text(key)?;
        text.ok_or_else(|| Fault::invalid_value(key, format!("{key} is missing")))
    }

    /// A password that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn password(&mut self, key: &str) -> Result<Option<Zeroizing<String>>, Fault> {
        Ok(self.text(key)?.map(Zeroizing::new))
    }

    /// A whole number in a range, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn number(&mut self, key: &str, from: i64, to: i64) -> Result<Option<i64>, Fault> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_i64().filter(|n| (from..=to).contains(n)) {
                Some(n) => Ok(Some(n)),
                None => {
                    let message = format!("Value must be between {from} and {to}");
                    Err(Fault::invalid_value(key, message))
                }
            },
        }
    }

    /// Whether a member is there; one that is null counts as missing, and is taken.
    pub(crate) fn has(&mut self, key: &str) -> bool {
        if self.0.get(key).is_some_and(Value::is_null) {
            self.0.remove(key);
        }
        self.0.contains_key(key)
    }

    /// Whatever it is, or nothing.
    pub(crate) fn any(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// A whole number in a range, `null` for none, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn number_or_null(
        &mut self,
        key: &str,
        from: i64,
        to: i64,
    ) -> Result<Option<Option<i64>>, Fault> {
        if self.0.get(key).is_some_and(Value::is_null) {
            self.0.remove(key);
            return Ok(Some(None));
        }
        Ok(self.number(key, from, to)?.map(Some))
    }

    /// A text, or a number that is taken as its digits, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn text_or_number(&mut self, key: &str) -> Result<Option<String>, Fault> {
        if let Some(number) = self.0.get(key).and_then(Value::as_u64) {
            self.0.remove(key);
            return Ok(Some(number.to_string()));
        }
        self.text(key)
    }

    /// Yes or no, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Fault> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Fault::invalid_value(key, format!("{key} must be true or false"))),
        }
    }

    /// A list of texts, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Fault> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(list) => serde_json::from_value(list)
                .map(Some)
                .map_err(|_| Fault::invalid_value(key, format!("{key} must be a list of strings"))),
        }
    }

    /// A list of 1 to `most` numbers from 1 on, each once.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn ids(&mut self, key: &str, most: usize) -> Result<Vec<i64>, Fault> {
        let wrong = || {
            let message = format!("{key} must be a list of 1 to {most} numbers, each once");
            Fault::invalid_value(key, message)
        };
        let Some(Value::Array(list)) = self.0.remove(key) else { return Err(wrong()) };
        let ids: Option<BTreeSet<i64>> =
            list.iter().map(|id| id.as_i64().filter(|id| *id > 0)).collect();
        let ids = ids.filter(|ids| ids.len() == list.len()).ok_or_else(wrong)?;
        if ids.is_empty() || ids.len() > most {
            Err(wrong())
        } else {
            Ok(ids.into_iter().collect())
        }
    }

    /// Permissions, that may be missing.
    ///
    /// # Errors
    /// 422.
    pub(crate) fn rights(&mut self, key: &str) -> Result<Option<Rights>, Fault> {
        match self.0.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => rights(&value).map(Some),
        }
    }

    /// Nothing else may be there.
    ///
    /// # Errors
    /// 422, with the key that is not known.
    pub(crate) fn end(self) -> Result<(), Fault> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => {
                Err(Fault::invalid_value(key, format!("the key {key:?} is not known here")))
            }
        }
    }
}

/// Permissions by their names.
///
/// # Errors
/// 422.
pub(crate) fn rights(value: &Value) -> Result<Rights, Fault> {
    serde_json::from_value(value.clone()).map_err(|e| {
        let message = format!("permissions are a list such as [\"Media_r\", \"Light_rw\"]: {e}");
        Fault::invalid_value("permissions", message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_taken_strictly() {
        assert_eq!(
            value(br#"{"a":[1,-2,0.5,null,true,"x"]}"#).unwrap(),
            json!({"a":[1,-2,0.5,null,true,"x"]})
        );
        let deep = "[".repeat(10_000);
        for bad in
            ["", "{", "NaN", "1 2", r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"a":2}}]"#, "1e999", &deep]
        {
            assert_eq!(value(bad.as_bytes()).unwrap_err().status, 400, "{bad:.40}");
        }
    }

    #[test]
    fn numbers_flags_and_lists() {
        let mut members =
            Members::of(br#"{"a":null,"b":5,"c":7,"d":"x","e":true,"f":[3,1],"g":1}"#).unwrap();
        assert_eq!(members.number_or_null("a", 1, 9), Ok(Some(None)));
        assert_eq!(members.number_or_null("b", 1, 9), Ok(Some(Some(5))));
        assert_eq!(members.number_or_null("z", 1, 9), Ok(None));
        assert_eq!(members.text_or_number("c").unwrap().as_deref(), Some("7"));
        assert_eq!(members.text_or_number("d").unwrap().as_deref(), Some("x"));
        assert_eq!(members.flag("e"), Ok(Some(true)));
        assert_eq!(members.ids("f", 2), Ok(vec![1, 3]));
        assert!(members.flag("g").is_err());
        for bad in ["[]", "[0]", "[1,1]", "[1,2,3]", "[\"1\"]", "[1.5]", "5", "null"] {
            let mut members = Members::of(format!("{{\"ids\":{bad}}}").as_bytes()).unwrap();
            assert_eq!(members.ids("ids", 2).unwrap_err().status, 422, "{bad}");
        }
        assert!(Members::of(b"{}").unwrap().ids("ids", 2).is_err());
    }

    #[test]
    fn members_are_taken_by_name_and_type() {
        let mut members =
            Members::of(br#"{"name":"x","n":5,"permissions":["Light_rw"],"other":1}"#).unwrap();
        assert_eq!(members.needed("name").unwrap(), "x");
        assert_eq!(members.number("n", 1, 4).unwrap_err().key.as_deref(), Some("n"));
        assert_eq!(members.rights("permissions").unwrap().unwrap().names(), ["Light_rw"]);
        assert_eq!(members.needed("name").unwrap_err().status, 422);
        assert_eq!(members.end().unwrap_err().key.as_deref(), Some("other"));
        assert!(Members::of(b" \n").unwrap().end().is_ok());
        assert_eq!(Members::of(b"[]").unwrap_err().status, 400);
        assert!(rights(&json!(["Light"])).is_err() && rights(&json!("Light_r")).is_err());
    }
}
