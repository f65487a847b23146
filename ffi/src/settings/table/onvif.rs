//! ONVIF and how it is found.

use crate::auth::Permission::{Device, Media, Network, System};
use crate::settings::{Default as D, Key, Kind, Module, Plane};

const fn module(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Module {
    Module { name, plane: Plane::Control, read: System, write: Network, doc, keys }
}

pub(super) const ONVIF: Module = module(
    "onvif",
    "ONVIF clients: recorders, video management, home automation",
    &[
        Key::set("onvif", Kind::Flag, D::Flag(true), "Whether ONVIF clients are answered"),
        Key::set(
            "onvif-hosts",
            Kind::Text(512),
            D::Text(""),
            "Names and addresses, besides the machine's own, under which clients reach this \
             server, separated by blanks: behind a router, say",
        ),
        Key::set(
            "onvif-token-window",
            Kind::Whole(10, 3600),
            D::Whole(300),
            "How far a client's clock may be from ours, for logins by WS-UsernameToken",
        )
        .unit("s"),
        Key::set(
            "onvif-scopes",
            Kind::Json(8192),
            D::Empty,
            "Scopes that clients have set, such as [\"onvif://www.onvif.org/location/hall\"]",
        ),
        Key::set(
            "onvif-profiles",
            Kind::Json(16_384),
            D::Empty,
            "Media profiles that clients have made or changed: [{token, name, source, encoder, ptz, \
             metadata, fixed}], at most 16 that are not fixed",
        )
        .read_by(Media)
        .written_by(Device),
        Key::set(
            "onvif-push-hosts",
            Kind::Text(512),
            D::Text(""),
            "Addresses and networks to which events may be pushed, besides each subscriber's own, \
             separated by blanks",
        ),
        Key::measured(
            "onvif-subscriptions",
            Kind::Whole(0, 1000),
            "Subscriptions of events that have not ended",
        )
        .announced(),
    ],
);

pub(super) const DISCOVERY: Module = module(
    "discovery",
    "WS-Discovery: being found by ONVIF clients on the network",
    &[
        Key::set(
            "discovery",
            Kind::Flag,
            D::Flag(true),
            "Whether this server answers who looks for cameras (discovery mode Discoverable)",
        ),
        Key::measured(
            "discovery-interfaces",
            Kind::Json(1024),
            "Addresses of the interfaces on which it is heard",
        )
        .announced(),
        Key::measured("discovery-error", Kind::Text(200), "Why it is not heard").announced(),
    ],
);
