//! What is made of the table: the schema, the reference page, the header part. Tests compare the
//! committed copies.

use super::registry::{Entry, Plane, entries};
use super::table::MODULES;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// One key as JSON Schema, with what the schema language has no word for under `x-` names.
pub fn key_schema(entry: &Entry) -> Value {
    let key = entry.key;
    let mut schema = key.kind.schema();
    schema["description"] = json!(key.doc);
    let default = key.default.value();
    if !default.is_null() {
        schema["default"] = default;
    }
    if !key.settable {
        schema["readOnly"] = json!(true);
    }
    if key.action {
        schema["writeOnly"] = json!(true);
    }
    if !key.unit.is_empty() {
        schema["x-unit"] = json!(key.unit);
    }
    if !key.aliases.is_empty() {
        schema["x-aliases"] = json!(key.aliases);
    }
    schema["x-module"] = json!(entry.module.name);
    schema["x-read"] = json!(format!("{:?}", entry.read().permission));
    if let Some(write) = entry.write() {
        schema["x-write"] = json!(format!("{:?}", write.permission));
    }
    schema["x-saved"] = json!(key.saved);
    schema
}

/// All keys as one JSON Schema (draft 2020-12): what `GET /api/settings` answers, and what may be
/// sent back to it. A value that is not known is null.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for entry in entries() {
        properties.insert(entry.key.name.to_owned(), key_schema(entry));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lensd settings",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "# Settings and measured values\n\n\
         Made of the table in `ffi/src/settings/table`; a test compares. Every key is read and \
         set under its name or an alias over WebSocket (`/api/v1`), `/api/settings` and \
         `/api/config`.\nA key that is not *set* is measured; *once* means that setting it does \
         something and leaves no value behind; *kept* survives a restart.\n",
    );
    for module in MODULES {
        let plane = match module.plane {
            Plane::Engine => "engine",
            Plane::Control => "control",
        };
        let _ = write!(
            out,
            "\n## {}\n\n{}. Owner: {plane}; read {:?}, change {:?}.\n\n\
             | key | value | default | | |\n|---|---|---|---|---|\n",
            module.name, module.doc, module.read, module.write
        );
        for key in module.keys {
            let names = key.aliases.iter().map(|a| format!(", `{a}`")).collect::<String>();
            let value = match key.kind {
                super::Kind::Json(_) => key.kind.name().to_owned(),
                kind => kind.describe(),
            };
            let unit = if key.unit.is_empty() { String::new() } else { format!(" {}", key.unit) };
            let default = match key.default.value() {
                Value::Null => String::new(),
                value => format!("`{value}`"),
            };
            let how = match (key.settable, key.action, key.saved) {
                (false, ..) => "",
                (_, true, _) => "once",
                (.., true) => "set, kept",
                (.., false) => "set",
            };
            let mut doc = key.doc.to_owned();
            for (permission, what) in [(key.read, "read"), (key.write, "change")] {
                if let Some(permission) = permission {
                    let _ = write!(doc, " ({what}: {permission:?})");
                }
            }
            let _ = writeln!(
                out,
                "| `{}`{names} | {value}{unit} | {default} | {how} | {doc} |",
                key.name
            );
        }
    }
    out
}

/// The part of the C header that names the keys' places in the banks.
pub fn header() -> String {
    let mut out = String::from(
        "/* Places of keys in the banks of engine.mem and control.mem. Made of the table in\n   \
         ffi/src/settings/table; a test compares. */\n",
    );
    for entry in entries() {
        let name = entry.key.name.to_ascii_uppercase().replace('-', "_");
        let _ = writeln!(out, "#define LENSD_KEY_{name} {}", entry.index);
    }
    let _ = writeln!(out, "#define LENSD_KEYS {}", entries().len());
    out
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Compares a committed file, or writes it anew with `LENSD_RENDER=1`.
    fn compare(path: &str, made: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
        if std::env::var_os("LENSD_RENDER").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            there == made,
            "{} is not what the table says; make it anew: \
             LENSD_RENDER=1 cargo test -p lensd-ffi render",
            path.display()
        );
    }

    #[test]
    fn committed_copies_are_up_to_date() {
        compare("SETTINGS.md", &reference());
        compare("include/lensd_keys.h", &header());
        compare("settings.schema.json", &format!("{:#}\n", schema()));
    }
}
