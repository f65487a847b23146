//! Media profiles that clients of ONVIF have made or changed, as the setting `onvif-profiles` keeps
//! them (ONVIF Media Service Specification, "Media profiles").

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most profiles that clients can make: what each recorder adds, several times over.
pub(crate) const MOST: usize = 16;
/// Most that are kept: those that are there of themselves may have been changed, too.
const MOST_KEPT: usize = 80;
/// Longest name and token, in characters (`tt:Name`, `tt:ReferenceToken`).
pub(crate) const LONGEST: usize = 64;

/// A profile: a name, and tokens of configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// What programs call it; unique.
    pub(crate) token: String,
    /// What people call it.
    pub(crate) name: String,
    /// Video source configuration.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// Video encoder configuration.
    #[serde(default)]
    pub(crate) encoder: Option<String>,
    /// PTZ configuration.
    #[serde(default)]
    pub(crate) ptz: Option<String>,
    /// Metadata configuration.
    #[serde(default)]
    pub(crate) metadata: Option<String>,
    /// Whether it is one that is there of itself, and cannot be deleted.
    #[serde(default)]
    pub(crate) fixed: bool,
}

/// Whether a token can be one.
pub(crate) fn is_token(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(|c| c.is_control() || ['<', '>', '&', '"', '\''].contains(&c))
}

/// Whether a name can be one.
pub(crate) fn is_name(name: &str) -> bool {
    name.chars().count() <= LONGEST && !name.chars().any(char::is_control)
}

/// The profiles that a value is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(value: &Value) -> Result<Vec<Profile>, String> {
    let list: Vec<Profile> = match value {
        Value::Null => Vec::new(),
        value => serde_json::from_value(value.clone()).map_err(|e| {
            format!("Value must be [{{token, name, source, encoder, ptz, metadata, fixed}}]: {e}")
        })?,
    };
    if list.len() > MOST_KEPT || list.iter().filter(|p| !p.fixed).count() > MOST {
        return Err(format!("there are at most {MOST} profiles of clients"));
    }
    let mut tokens = BTreeSet::new();
    for profile in &list {
        if !is_token(&profile.token) {
            return Err(format!("token: it must have 1 to {LONGEST} plain characters"));
        }
        if !is_name(&profile.name) {
            return Err(format!("name: it must have at most {LONGEST} characters in one line"));
        }
        let parts = [&profile.source, &profile.encoder, &profile.ptz, &profile.metadata];
        if parts.into_iter().flatten().any(|token| !is_token(token)) {
            return Err(format!("{}: a token has 1 to {LONGEST} characters", profile.token));
        }
        if !tokens.insert(&profile.token) {
            return Err(format!("the token {:?} is there twice", profile.token));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_read_and_others_refused() {
        let good = json!([{ "token": "made-1", "name": "SynoProfile", "source": "cam1-view" }]);
        let list = parse(&good).unwrap();
        assert_eq!(parse(&json!(list)).unwrap(), list);
        assert_eq!((parse(&Value::Null), parse(&json!([]))), (Ok(vec![]), Ok(vec![])));
        for (bad, word) in [
            (json!([{ "token": "", "name": "x" }]), "token"),
            (json!([{ "token": "a<b", "name": "x" }]), "token"),
            (json!([{ "token": "a", "name": "x\n" }]), "name"),
            (json!([{ "token": "a", "name": "x".repeat(65) }]), "name"),
            (json!([{ "token": "a", "name": "x", "ptz": "" }]), "token"),
            (json!([{ "token": "a", "name": "x" }, { "token": "a", "name": "y" }]), "twice"),
            (json!([{ "token": "a", "name": "x", "more": 1 }]), "more"),
            (json!(7), "Value must be"),
        ] {
            let why = parse(&bad).unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
        let many: Vec<Value> =
            (0..=MOST).map(|n| json!({ "token": format!("t{n}"), "name": "" })).collect();
        assert!(parse(&json!(many)).unwrap_err().contains("at most"));
    }
}
