//! Servers and what they allow.

use crate::auth::Permission::{Network, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Control, read: Network, write: Network, doc, keys }
}

pub(super) const API: Module = Module {
    read: System,
    write: System,
    ..module(
        "api",
        "The WebSocket API",
        &[
            Key::measured("api-version", Kind::Text(16), "Version of the API"),
            Key::measured("api-clients", Kind::Whole(0, 1_000_000), "WebSocket clients now"),
        ],
    )
};

pub(super) const NETWORK: Module = module(
    "network",
    "Interfaces of the machine",
    &[
        Key::measured(
            "network-interfaces",
            Kind::Json(8192),
            "Name, state, hardware address and addresses of each",
        )
        .announced(),
        Key::set(
            "network-config",
            Kind::Json(2048),
            D::Null,
            "What systemd-networkd is told: {interface, dhcp} or {interface, address, gateway, dns}",
        )
        .not_saved(),
        Key::measured("network-error", Kind::Text(200), "Why it cannot be set").announced(),
    ],
);

pub(super) const WEBSERVER: Module = module(
    "webserver",
    "The HTTP server",
    &[
        Key::measured("http-connections", Kind::Whole(0, 1_000_000), "Open connections")
            .read_by(System),
        Key::measured(
            "http-error",
            Kind::Text(1200),
            "At which addresses it does not listen, and why",
        )
        .read_by(System)
        .announced(),
        Key::set(
            "cors-origins",
            Kind::Json(2048),
            D::Empty,
            "Origins whose pages may use the API, such as [\"https://a.example\"]",
        ),
        Key::set(
            "metrics-allow",
            Kind::Text(512),
            D::Text("127.0.0.0/8 ::1"),
            "Addresses and networks that read /metrics without a login, separated by blanks",
        ),
    ],
);

pub(super) const RATE_LIMITS: Module = module(
    "rate-limits",
    "What one address may ask for",
    &[
        Key::set(
            "limit-anonymous",
            Kind::Whole(1, 1_000_000),
            D::Null,
            "API calls without a login",
        )
        .unit("1/min"),
        Key::set("limit-user", Kind::Whole(1, 1_000_000), D::Null, "API calls with a login")
            .unit("1/s"),
        Key::set("limit-upload", Kind::Whole(1, 1_048_576), D::Null, "Longest upload").unit("MiB"),
        Key::set("limit-stills", Kind::Whole(1, 1_000_000), D::Null, "Still pictures").unit("1/s"),
        Key::set(
            "limit-failed-logins",
            Kind::Whole(1, 1000),
            D::Null,
            "Failed logins within five minutes",
        ),
    ],
);

pub(super) const URLS: Module = Module {
    read: System,
    write: System,
    ..module(
        "urls",
        "Where the servers are",
        &[Key::measured("ports", Kind::Json(1024), "Ports by name").announced()],
    )
};
