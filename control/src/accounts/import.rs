//! What an imported configuration says of users and roles, checked as if each had been made here.

use super::{MAX_ROLES, MAX_USERS, Material, Record, check_name, check_role_rights};
use crate::password::is_hash;
use crate::store::Import;
use lensd_ffi::auth::{Rights, Role};
use serde_json::{Value, json};

/// What a record may say.
const MEMBERS: [&str; 5] = ["role", "permissions", "generation", "created", "changed"];

/// Checks roles, users, and the secrets that are theirs; values become what is stored of them.
///
/// # Errors
/// What is wrong, by its name.
pub fn check_import(import: &mut Import) -> Result<(), String> {
    if import.users.len() > MAX_USERS || import.roles.len() > MAX_ROLES + 1 {
        return Err(format!("there can be {MAX_USERS} users and {MAX_ROLES} custom roles"));
    }
    for (name, value) in &mut import.roles {
        let at = |why: String| format!("roles.{name}: {why}");
        let rights: Rights =
            serde_json::from_value(value.clone()).map_err(|e| at(e.to_string()))?;
        check_name("name", name).map_err(|e| at(e.to_string()))?;
        check_role_rights(name, rights).map_err(|e| at(e.to_string()))?;
        *value = json!(rights);
    }
    for (name, value) in &mut import.users {
        let at = |why: String| format!("users.{name}: {why}");
        check_name("username", name).map_err(|e| at(e.to_string()))?;
        let members = value.as_object().ok_or_else(|| at("it is no object".to_owned()))?;
        if let Some(other) = members.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
            return Err(at(format!("the key {other:?} is not known here")));
        }
        let record: Record =
            serde_json::from_value(value.clone()).map_err(|e| at(e.to_string()))?;
        let role = &record.role;
        let guest = role == Role::Guest.name();
        if guest || Role::parse(role).is_none() && !import.roles.contains_key(role) {
            return Err(at(format!("there is no role {role:?} that a user can have")));
        }
        *value = json!(record);
    }
    for (key, secret) in &import.secrets {
        let (user, good) = if let Some(user) = key.strip_prefix("password/") {
            (user, std::str::from_utf8(secret).is_ok_and(is_hash))
        } else if let Some(user) = key.strip_prefix("secret/user/") {
            (user, serde_json::from_slice::<Material>(secret).is_ok())
        } else {
            continue;
        };
        if !good {
            return Err(format!("{key} cannot be read"));
        }
        if !matches!(import.users.get(user), Some(Value::Object(_))) {
            return Err(format!("{key} is of nobody: there is no user {user:?}"));
        }
    }
    Ok(())
}
