//! Who may do what.

use crate::auth::Permission::User;
use crate::settings::{Key, Kind, Module, Plane};

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Control, read: User, write: User, doc, keys }
}

pub(super) const USERS: Module = module(
    "users",
    "Who may log in; see /api/users",
    &[Key::measured("users", Kind::Json(16_384), "Names and roles").announced()],
);
