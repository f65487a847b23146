//! The event service (ONVIF Core 9): pull points, and messages that are pushed
//! (WS-BaseNotification 1.3).

mod configurations;
mod feed;
mod properties;
mod push;
mod subscriptions;

pub(super) use feed::feed;
pub(super) use feed::profile_changed;
pub(super) use push::push;

use super::call::{Answer, Call, Handler};
use super::services::{self, Service};
use super::table::Class::{PreAuth, ReadMedia};
use super::table::{Class, Operation};
use crate::broker::{MAX_PULL, MAX_PUSH};
use crate::soap::{Node, Ns, Writer};

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Tev,
    path: "event_service",
    version: (21, 12),
    capabilities: write,
    section: Some(("Events", section)),
    is_there: |_| true,
};

const fn row(
    ns: Ns,
    name: &'static str,
    class: Class,
    port: &'static str,
    handler: Handler,
) -> Operation {
    Operation::new(ns, name, class, handler).of_port(port)
}

const EVENTS: &str = "EventPortType";
const PULL: &str = "PullPointSubscription";
const MANAGER: &str = "SubscriptionManager";
const PRODUCER: &str = "NotificationProducer";

/// Its operations.
#[rustfmt::skip]
pub(super) static OPERATIONS: &[Operation] = &[
    row(Ns::Tev, "GetServiceCapabilities", PreAuth, EVENTS, capabilities),
    row(Ns::Tev, "GetEventProperties", ReadMedia, EVENTS, properties::get),
    row(Ns::Tev, "CreatePullPointSubscription", ReadMedia, EVENTS, subscriptions::create_pull_point),
    row(Ns::Tev, "PullMessages", ReadMedia, PULL, subscriptions::pull_messages),
    row(Ns::Tev, "SetSynchronizationPoint", ReadMedia, PULL, subscriptions::synchronize),
    row(Ns::Wsnt, "Subscribe", ReadMedia, PRODUCER, push::subscribe),
    row(Ns::Wsnt, "Renew", ReadMedia, MANAGER, subscriptions::renew),
    row(Ns::Wsnt, "Unsubscribe", ReadMedia, MANAGER, subscriptions::unsubscribe),
];

fn capabilities(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "tev:GetServiceCapabilitiesResponse", w)
}

fn write(_: &mut Call<'_>, w: &mut Writer) {
    w.open("tev:Capabilities").attribute("WSSubscriptionPolicySupport", false);
    w.attribute("WSPausableSubscriptionManagerInterfaceSupport", false);
    w.attribute("MaxNotificationProducers", MAX_PUSH).attribute("MaxPullPoints", MAX_PULL);
    w.attribute("PersistentNotificationStorage", false).close();
}

fn section(call: &mut Call<'_>, w: &mut Writer) {
    w.open("tt:Events").leaf("tt:XAddr", call.address.service(SERVICE.path));
    w.leaf("tt:WSSubscriptionPolicySupport", false).leaf("tt:WSPullPointSupport", true);
    w.leaf("tt:WSPausableSubscriptionManagerInterfaceSupport", false).close();
}
