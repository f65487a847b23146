//! The device service (ONVIF Core 8).

mod capabilities;
mod information;
mod network;
mod scopes;
mod system;
mod users;

pub(crate) use information::endpoint;
pub(crate) use scopes::{all as scopes, is_discoverable};

use super::services::{self, Service};
use super::table::Class::{
    PreAuth, ReadMedia, ReadSystem, ReadSystemSecret, Unrecoverable, WriteSystem,
};
use super::table::Operation;
use crate::soap::Ns;

/// As `GetServices` tells it.
pub(super) static SERVICE: Service = Service {
    ns: Ns::Tds,
    path: "device_service",
    version: (21, 12),
    capabilities: capabilities::write,
    section: Some(("Device", capabilities::section)),
    is_there: |_| true,
};

const fn row(
    name: &'static str,
    class: super::table::Class,
    handler: super::call::Handler,
) -> Operation {
    Operation::new(Ns::Tds, name, class, handler)
}

/// Its operations.
pub(super) static OPERATIONS: &[Operation] = &[
    row("GetServices", PreAuth, services::get_services),
    row("GetServiceCapabilities", PreAuth, capabilities::get),
    row("GetCapabilities", PreAuth, services::get_capabilities),
    row("GetWsdlUrl", PreAuth, information::wsdl_url),
    row("GetEndpointReference", PreAuth, information::endpoint_reference),
    row("GetDeviceInformation", ReadSystem, information::device),
    row("GetSystemDateAndTime", PreAuth, information::date_and_time),
    row("SetSystemDateAndTime", WriteSystem, system::set_date_and_time),
    row("SystemReboot", Unrecoverable, system::reboot),
    row("SetSystemFactoryDefault", Unrecoverable, system::factory_default),
    row("GetSystemLog", ReadSystemSecret, system::log),
    row("GetScopes", ReadSystem, scopes::list),
    row("SetScopes", WriteSystem, scopes::set),
    row("AddScopes", WriteSystem, scopes::add),
    row("RemoveScopes", WriteSystem, scopes::remove),
    row("GetDiscoveryMode", ReadSystem, scopes::mode),
    row("SetDiscoveryMode", WriteSystem, scopes::set_mode),
    row("GetUsers", ReadSystemSecret, users::list),
    row("CreateUsers", WriteSystem, users::create),
    row("SetUser", WriteSystem, users::set),
    row("DeleteUsers", WriteSystem, users::delete),
    row("GetHostname", PreAuth, information::hostname),
    row("SetHostname", WriteSystem, network::set_hostname),
    row("GetDNS", ReadSystem, network::dns),
    row("SetDNS", WriteSystem, network::set_dns),
    row("GetNTP", ReadSystem, network::ntp),
    row("SetNTP", WriteSystem, network::set_ntp),
    row("GetNetworkInterfaces", ReadSystem, network::interfaces_of),
    row("SetNetworkInterfaces", WriteSystem, network::set_interfaces),
    row("GetNetworkProtocols", ReadSystem, network::protocols_of),
    row("SetNetworkProtocols", WriteSystem, network::set_protocols),
    row("GetNetworkDefaultGateway", ReadSystem, network::gateway),
    row("SetNetworkDefaultGateway", WriteSystem, network::set_gateway),
    row("GetRelayOutputs", ReadMedia, network::relays),
];
