//! What the device service can do.

use super::SERVICE;
use crate::onvif::call::{Answer, Call};
use crate::onvif::services;
use crate::settings::MOST_SERVERS;
use crate::soap::{Node, Writer};

/// Most users, longest name, longest password: as `accounts` has them.
const USERS: (usize, usize, usize) = (100, 64, 256);

/// `GetServiceCapabilities`.
pub(super) fn get(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    services::capabilities_of(call, &SERVICE, "tds:GetServiceCapabilitiesResponse", w)
}

/// `tds:Capabilities`.
pub(super) fn write(_: &mut Call<'_>, w: &mut Writer) {
    w.open("tds:Capabilities");
    w.open("tds:Network");
    for name in ["IPFilter", "ZeroConfiguration"] {
        w.attribute(name, false);
    }
    w.attribute("IPVersion6", true);
    for name in ["DynDNS", "Dot11Configuration", "HostnameFromDHCP", "DHCPv6"] {
        w.attribute(name, false);
    }
    w.attribute("Dot1XConfigurations", 0);
    w.attribute("NTP", MOST_SERVERS).close();
    w.open("tds:Security");
    for (name, has) in [
        ("TLS1.0", false),
        ("TLS1.1", false),
        ("TLS1.2", true),
        ("OnboardKeyGeneration", false),
        ("AccessPolicyConfig", false),
        ("DefaultAccessPolicy", true),
        ("Dot1X", false),
        ("RemoteUserHandling", false),
        ("X.509Token", false),
        ("SAMLToken", false),
        ("KerberosToken", false),
        ("UsernameToken", true),
        ("HttpDigest", true),
        ("RELToken", false),
    ] {
        w.attribute(name, has);
    }
    let (users, name, password) = USERS;
    w.attribute("MaxUsers", users).attribute("MaxUserNameLength", name);
    w.attribute("MaxPasswordLength", password).close();
    w.open("tds:System");
    for (name, has) in [
        ("DiscoveryResolve", true),
        ("DiscoveryBye", true),
        ("RemoteDiscovery", false),
        ("SystemBackup", false),
        ("SystemLogging", true),
        ("FirmwareUpgrade", false),
        ("HttpFirmwareUpgrade", false),
        ("HttpSystemBackup", false),
        ("HttpSystemLogging", false),
        ("HttpSupportInformation", false),
    ] {
        w.attribute(name, has);
    }
    w.close().close();
}

/// `tt:Device` of `GetCapabilities`.
pub(super) fn section(call: &mut Call<'_>, w: &mut Writer) {
    w.open("tt:Device").leaf("tt:XAddr", call.address.service(SERVICE.path));
    w.open("tt:Network").leaf("tt:IPFilter", false).leaf("tt:ZeroConfiguration", false);
    w.leaf("tt:IPVersion6", true).leaf("tt:DynDNS", false).close();
    w.open("tt:System").leaf("tt:DiscoveryResolve", true).leaf("tt:DiscoveryBye", true);
    for name in ["tt:RemoteDiscovery", "tt:SystemBackup", "tt:SystemLogging", "tt:FirmwareUpgrade"]
    {
        w.leaf(name, false);
    }
    w.open("tt:SupportedVersions").leaf("tt:Major", 21).leaf("tt:Minor", 12).close().close();
    w.open("tt:IO").leaf("tt:InputConnectors", 0).leaf("tt:RelayOutputs", 0).close();
    w.open("tt:Security").leaf("tt:TLS1.1", false).leaf("tt:TLS1.2", true);
    for name in [
        "tt:OnboardKeyGeneration",
        "tt:AccessPolicyConfig",
        "tt:X.509Token",
        "tt:SAMLToken",
        "tt:KerberosToken",
        "tt:RELToken",
    ] {
        w.leaf(name, false);
    }
    w.close().close();
}
