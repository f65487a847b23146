//! The services that there are, as `GetServices` and `GetCapabilities` tell them.

use super::call::{Answer, Call, Done, flag};
use super::{device, deviceio, events, imaging, media, media2, ptz};
use crate::soap::{Fault, Node, Ns, Writer};

/// Writes one element.
pub(super) type Write = fn(&mut Call<'_>, &mut Writer);

/// A service.
#[derive(Debug)]
pub(super) struct Service {
    /// Its namespace.
    pub(super) ns: Ns,
    /// The last segment of its path.
    pub(super) path: &'static str,
    /// Version of its description.
    pub(super) version: (u16, u16),
    /// Writes its `Capabilities` element, which is in its own namespace.
    pub(super) capabilities: Write,
    /// Its category in `GetCapabilities`, and what writes that element; none: it has none there.
    pub(super) section: Option<(&'static str, Write)>,
    /// Whether this device has it.
    pub(super) is_there: fn(&mut Call<'_>) -> bool,
}

/// All services. The device's comes first: clients look there for the others.
static SERVICES: &[&Service] = &[
    &device::SERVICE,
    &events::SERVICE,
    &media::SERVICE,
    &media2::SERVICE,
    &imaging::SERVICE,
    &ptz::SERVICE,
    &deviceio::SERVICE,
];

/// The order of `tt:Capabilities`.
const SECTIONS: &[&str] = &["Analytics", "Device", "Events", "Imaging", "Media", "PTZ"];

fn present(call: &mut Call<'_>) -> Vec<&'static Service> {
    SERVICES.iter().copied().filter(|s| (s.is_there)(call)).collect()
}

/// `GetServices`.
pub(super) fn get_services(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let capabilities = flag(asked, "IncludeCapability")?.unwrap_or(false);
    w.open("tds:GetServicesResponse");
    for service in present(call) {
        w.open("tds:Service").leaf("tds:Namespace", service.ns.uri());
        w.leaf("tds:XAddr", call.address.service(service.path));
        if capabilities {
            w.open("tds:Capabilities");
            (service.capabilities)(call, w);
            w.close();
        }
        let (major, minor) = service.version;
        w.open("tds:Version").leaf("tt:Major", major).leaf("tt:Minor", minor).close();
        w.close();
    }
    w.close();
    Ok(Done::Now)
}

/// `GetServiceCapabilities` of a service, whose response has the prefix of its namespace.
pub(super) fn capabilities_of(
    call: &mut Call<'_>,
    service: &Service,
    response: &'static str,
    w: &mut Writer,
) -> Answer {
    w.open(response);
    (service.capabilities)(call, w);
    w.close();
    Ok(Done::Now)
}

/// `GetCapabilities`. Without a category all are meant.
pub(super) fn get_capabilities(call: &mut Call<'_>, asked: Node<'_>, w: &mut Writer) -> Answer {
    let wanted: Vec<&str> = asked.all("Category").map(Node::text).collect();
    let present = present(call);
    let has = |name: &str| present.iter().any(|s| s.section.is_some_and(|(n, _)| n == name));
    for category in &wanted {
        if *category != "All" && !SECTIONS.contains(category) {
            let why = format!("there is no category {category:?}");
            return Err(Fault::invalid_args(why));
        }
        if *category != "All" && !has(category) {
            let why = format!("this device has no service of category {category}");
            return Err(Fault::receiver(&["ter:ActionNotSupported", "ter:NoSuchService"], why));
        }
    }
    let all = wanted.is_empty() || wanted.contains(&"All");
    w.open("tds:GetCapabilitiesResponse").open("tds:Capabilities");
    for name in SECTIONS.iter().filter(|name| all || wanted.contains(name)) {
        for service in &present {
            if let Some((own, write)) = service.section
                && own == *name
            {
                write(call, w);
            }
        }
    }
    if all {
        extension(call, &present, w);
    }
    w.close().close();
    Ok(Done::Now)
}

/// What newer services have in `GetCapabilities`: `tt:CapabilitiesExtension`.
fn extension(call: &mut Call<'_>, present: &[&'static Service], w: &mut Writer) {
    let write = present.iter().find_map(|s| s.section.filter(|(name, _)| *name == "DeviceIO"));
    if let Some((_, write)) = write {
        w.open("tt:Extension");
        write(call, w);
        w.close();
    }
}
