//! Who may do what.

use crate::auth::Permission::{Network, System, User};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Control, read: User, write: User, doc, keys }
}

pub(super) const USERS: Module = module(
    "users",
    "Who may log in; see /api/users",
    &[Key::measured("users", Kind::Json(16_384), "Names and roles").announced()],
);

pub(super) const ROLES: Module = module(
    "roles",
    "What sets of permissions there are; see /api/roles",
    &[Key::measured("roles", Kind::Json(16_384), "Names and permissions").announced()],
);

pub(super) const SESSIONS: Module = module(
    "sessions",
    "Who is logged in; see /api/sessions",
    &[
        Key::measured("session-count", Kind::Whole(0, 1_000_000), "Sessions that have not ended"),
        Key::measured(
            "sessions",
            Kind::Json(16_384),
            "The newest: user, address, client, times of log-in, last use and end",
        ),
    ],
);

pub(super) const LICENCES: Module = Module {
    read: System,
    write: System,
    ..module(
        "licences",
        "Features that the vendor has signed for this device",
        &[
            Key::set(
                "licence",
                Kind::Text(3000),
                D::Text(""),
                "The signed text: BASE64({features, serial, until}).BASE64(Ed25519 signature)",
            ),
            Key::measured(
                "licences",
                Kind::Json(4096),
                "Features, and until when (ms; null: always)",
            )
            .announced(),
            Key::measured("licence-error", Kind::Text(200), "Why there is none").announced(),
        ],
    )
};

pub(super) const CERTIFICATES: Module = Module {
    read: Network,
    write: Network,
    ..module(
        "certificates",
        "The TLS certificate; see /api/certificate",
        &[
            Key::measured("certificate-subject", Kind::Text(256), "Whom it names").announced(),
            Key::measured("certificate-expires", Kind::Whole(0, i64::MAX), "Its end, since 1970")
                .unit("ms")
                .announced(),
            Key::measured("certificate-error", Kind::Text(200), "Why there is none").announced(),
        ],
    )
};
