//! The shape of the table, and finding things in it.

use super::kind::Kind;
use super::table::MODULES;
use crate::auth::{Access, Permission};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Who takes a key's changes, or measures its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// The engine.
    Engine,
    /// The control plane.
    Control,
}

/// What a key is set to before anybody sets it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// Nothing: it is as the hardware has it, or unknown.
    Null,
    /// A flag.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(&'static str),
    /// An empty list.
    Empty,
}

impl Default {
    /// As JSON.
    pub fn value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => json!(flag),
            Self::Whole(n) => json!(n),
            Self::Number(n) => json!(n),
            Self::Text(text) => json!(text),
            Self::Empty => json!([]),
        }
    }
}

/// One setting or measured value.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name everywhere: WebSocket, REST, store.
    pub name: &'static str,
    /// Other names by which it may be read and set.
    pub aliases: &'static [&'static str],
    /// Type.
    pub kind: Kind,
    /// Unit, as it is written behind a number; empty without one.
    pub unit: &'static str,
    /// Default.
    pub default: Default,
    /// Who may read it, if not who may read its module.
    pub read: Option<Permission>,
    /// Who may change it, if not who may change its module.
    pub write: Option<Permission>,
    /// Whether it can be changed.
    pub settable: bool,
    /// Whether a change outlives a restart.
    pub saved: bool,
    /// Whether setting it does something and leaves no value behind.
    pub action: bool,
    /// Whether its value fluctuates by itself: it is told only to who has subscribed to that.
    pub quiet: bool,
    /// Members of its value, at any depth, that are secret.
    pub secrets: &'static [&'static str],
    /// One line of documentation.
    pub doc: &'static str,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            kind,
            unit: "",
            default,
            read: None,
            write: None,
            settable: true,
            saved: true,
            action: false,
            quiet: false,
            secrets: &[],
            doc,
        }
    }

    /// A setting that is kept.
    pub(super) const fn set(
        name: &'static str,
        kind: Kind,
        default: Default,
        doc: &'static str,
    ) -> Self {
        Self::new(name, kind, default, doc)
    }

    /// A value that is measured, and cannot be set.
    pub(super) const fn measured(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            settable: false,
            saved: false,
            quiet: true,
            ..Self::new(name, kind, Default::Null, doc)
        }
    }

    /// Something to be done.
    pub(super) const fn action(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { action: true, saved: false, ..Self::new(name, kind, Default::Null, doc) }
    }

    /// Of a measured value: a state that changes seldom, and that everybody is told of.
    pub(super) const fn announced(self) -> Self {
        Self { quiet: false, ..self }
    }

    /// Of a setting that the machine keeps, not we.
    pub(super) const fn not_saved(self) -> Self {
        Self { saved: false, ..self }
    }

    pub(super) const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Of a setting whose members of these names are kept sealed.
    pub(super) const fn secrets(self, secrets: &'static [&'static str]) -> Self {
        Self { secrets, ..self }
    }

    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub(super) const fn read_by(self, permission: Permission) -> Self {
        Self { read: Some(permission), ..self }
    }

    pub(super) const fn written_by(self, permission: Permission) -> Self {
        Self { write: Some(permission), ..self }
    }
}

/// Keys of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Name.
    pub name: &'static str,
    /// Who takes its changes.
    pub plane: Plane,
    /// Who may read its keys.
    pub read: Permission,
    /// Who may change its keys.
    pub write: Permission,
    /// One line of documentation.
    pub doc: &'static str,
    /// Keys.
    pub keys: &'static [Key],
}

/// A key with what it has of its module.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its place in [`entries`] and in the banks.
    pub index: usize,
    /// Its module.
    pub module: &'static Module,
    /// The key.
    pub key: &'static Key,
}

impl Entry {
    /// What one must be allowed to read it.
    pub fn read(&self) -> Access {
        Access::read(self.key.read.unwrap_or(self.module.read))
    }

    /// What one must be allowed to change it; none: nobody can.
    pub fn write(&self) -> Option<Access> {
        let permission = self.key.write.unwrap_or(self.module.write);
        self.key.settable.then_some(Access::write(permission))
    }

    /// Whether `image-reset` sets it back: how pictures of the cameras look and what they show.
    pub fn is_of_picture(&self) -> bool {
        /// Modules of such keys.
        const PICTURE: [&str; 5] = ["image", "auto-exposure", "white-balance", "noise", "zoom"];
        self.key.saved && PICTURE.contains(&self.module.name)
    }

    /// A value as it may be written down: what is secret in it is [`MASK`].
    pub fn masked(&self, value: &Value) -> Value {
        let mut shown = value.clone();
        mask(&mut shown, self.key.secrets);
        shown
    }

    /// Who takes its changes, or measures it.
    pub const fn plane(&self) -> Plane {
        self.module.plane
    }
}

/// What stands in the place of a secret.
pub const MASK: &str = "***";

fn mask(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::Array(list) if !secrets.is_empty() => {
            list.iter_mut().for_each(|one| mask(one, secrets));
        }
        Value::Object(members) if !secrets.is_empty() => {
            for (name, member) in members {
                if secrets.contains(&name.as_str()) {
                    *member = MASK.into();
                } else {
                    mask(member, secrets);
                }
            }
        }
        _ => {}
    }
}

struct Index {
    entries: Vec<Entry>,
    names: HashMap<&'static str, usize>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut entries = Vec::new();
        let mut names = HashMap::new();
        for module in MODULES {
            for key in module.keys {
                let index = entries.len();
                entries.push(Entry { index, module, key });
                names.insert(key.name, index);
                names.extend(key.aliases.iter().map(|alias| (*alias, index)));
            }
        }
        Index { entries, names }
    })
}

/// All keys, in the order of the table.
pub fn entries() -> &'static [Entry] {
    &index().entries
}

/// The key of this name or alias.
pub fn find(name: &str) -> Option<&'static Entry> {
    let index = index();
    index.names.get(name).and_then(|at| index.entries.get(*at))
}

/// The key of this name or alias; if there is none, names that are near.
///
/// # Errors
/// The names, at most three.
pub fn resolve(name: &str) -> Result<&'static Entry, Vec<&'static str>> {
    find(name).ok_or_else(|| {
        // A longer one is nobody's mistyping, and comparing is quadratic.
        if name.len() > 64 {
            return Vec::new();
        }
        let mut near: Vec<_> = index()
            .names
            .keys()
            .map(|known| (distance(name, known), *known))
            .filter(|(d, known)| *d <= 1 + known.len() / 4)
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, known)| known).collect()
    })
}

/// Edits from one word to the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_has_one_meaning_and_a_line_of_documentation() {
        let mut seen = BTreeSet::new();
        let mut modules = BTreeSet::new();
        for module in MODULES {
            assert!(modules.insert(module.name), "{}", module.name);
            assert!(module.doc.len() > 5 && !module.keys.is_empty(), "{}", module.name);
        }
        for entry in entries() {
            let key = entry.key;
            for name in [&[key.name], key.aliases].concat() {
                assert!(seen.insert(name), "{name} twice");
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                assert!(
                    key.aliases.contains(&name) || name.bytes().all(plain),
                    "{name} is not in kebab-case"
                );
            }
            assert!(key.doc.len() > 5 && !key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            let default = key.default.value();
            assert!(default.is_null() || key.kind.check(&default).is_ok(), "{}", key.name);
            assert!(key.settable || !key.saved && !key.action, "{}", key.name);
        }
    }

    #[test]
    fn the_keys_of_the_websocket_documentation_are_there() {
        for name in "cam1-light cam2-light cam1-exists cam2-exists main-camera cam1-sensor \
             cam2-sensor resolution fps brightness contrast sharpness saturation gain red-gain \
             blue-gain auto-exposure auto-white-balance noise-supression noise-suppression \
             jpeg-quality light0 cam0Exists cameraSwitch redGain pictureQuality"
            .split_whitespace()
        {
            assert!(find(name).is_some(), "{name}");
        }
        let guest = crate::auth::Role::Guest.rights();
        let exists = find("cam1-exists").unwrap().read();
        assert!(guest.allows(exists));
        let brightness = find("brightness").unwrap().read();
        assert!(!guest.allows(brightness));
    }

    #[test]
    fn what_is_secret_is_masked_at_any_depth() {
        let servers = find("webrtc-ice-servers").unwrap();
        let value = json!([{"urls": "turn:h", "credential": "x"}, [{"credential": {"a": 1}}]]);
        let masked = json!([{"urls": "turn:h", "credential": "***"}, [{"credential": "***"}]]);
        assert_eq!(servers.masked(&value), masked);
        assert_eq!(find("osd").unwrap().masked(&value), value);
    }

    #[test]
    fn mistyped_names_are_met_halfway() {
        assert_eq!(resolve("brightnes").unwrap_err(), ["brightness"]);
        assert!(resolve("").unwrap_err().is_empty());
        assert!(resolve(&"x".repeat(100_000)).unwrap_err().is_empty());
        assert!(resolve("redGain").is_ok());
    }
}
