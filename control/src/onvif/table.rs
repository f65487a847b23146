//! The one table of operations: what each is called, who may call it, who answers.

use super::call::Handler;
use super::{device, deviceio, events, imaging, media, media2, ptz};
use crate::soap::{Node, Ns};
use lensd_ffi::auth::{Access, Permission};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Who may call an operation (ONVIF Core 5.9.4.3), as the default policy has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Everybody, also with a wrong login.
    PreAuth,
    /// Whoever looks on, of what the device is.
    ReadSystem,
    /// Administrators, of what is secret.
    ReadSystemSecret,
    /// Administrators.
    WriteSystem,
    /// Administrators, of what ends connections or loses settings.
    Unrecoverable,
    /// Whoever looks on, of pictures and events.
    ReadMedia,
    /// Operators.
    Actuate,
}

impl Class {
    /// What one must be allowed; none: nothing.
    pub(super) const fn access(self) -> Option<Access> {
        Some(match self {
            Self::PreAuth => return None,
            Self::ReadSystem => Access::read(Permission::System),
            Self::ReadSystemSecret => Access::read(Permission::User),
            Self::WriteSystem | Self::Unrecoverable => Access::write(Permission::System),
            Self::ReadMedia => Access::LIVE,
            Self::Actuate => Access::write(Permission::Device),
        })
    }

    /// Whether a guest may who has the right to: where streams are open to everybody, what leads
    /// to them is, too. Otherwise one logs in, though REST tells guests a little of the system.
    pub(super) const fn is_open(self, open: bool) -> bool {
        open && matches!(self, Self::ReadSystem | Self::ReadMedia)
    }
}

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    /// Namespace of its element.
    pub(super) ns: Ns,
    /// Name of its element.
    pub(super) name: &'static str,
    /// Who may call it.
    pub(super) class: Class,
    /// Who answers.
    pub(super) handler: Handler,
    /// The port type in its action, where the service has several.
    port: &'static str,
}

impl Operation {
    /// An operation.
    pub(super) const fn new(ns: Ns, name: &'static str, class: Class, handler: Handler) -> Self {
        Self { ns, name, class, handler, port: "" }
    }

    /// Of a port type, which stands in its action.
    pub(super) const fn of_port(self, port: &'static str) -> Self {
        Self { port, ..self }
    }

    /// The element of its response, with its prefix.
    pub(super) fn response(&self) -> &'static str {
        RESPONSES.get(&(self.ns, self.name)).map_or("", String::as_str)
    }

    /// The action of its response (WS-Addressing 1.0 Metadata 4.4.1).
    pub(super) fn response_action(&self) -> String {
        let (ns, name) = (self.ns.uri(), self.name);
        // WS-BaseNotification's actions are of the namespace of its description.
        let ns = if self.ns == Ns::Wsnt { "http://docs.oasis-open.org/wsn/bw-2" } else { ns };
        match self.port {
            "" => format!("{ns}/{name}Response"),
            port => format!("{ns}/{port}/{name}Response"),
        }
    }
}

/// Names of the elements of responses, with their prefixes.
static RESPONSES: LazyLock<HashMap<(Ns, &str), String>> = LazyLock::new(|| {
    let name = |o: &Operation| format!("{}:{}Response", o.ns.prefix(), o.name);
    SERVICES.iter().copied().flatten().map(|o| ((o.ns, o.name), name(o))).collect()
});

/// All operations, by service.
pub(super) static SERVICES: &[&[Operation]] = &[
    device::OPERATIONS,
    events::OPERATIONS,
    media::OPERATIONS,
    media2::OPERATIONS,
    imaging::OPERATIONS,
    ptz::OPERATIONS,
    deviceio::OPERATIONS,
];

/// The operation that an element names.
pub(super) fn find(element: Node<'_>) -> Option<&'static Operation> {
    let (ns, name) = (element.ns(), element.local());
    SERVICES.iter().copied().flatten().find(|o| o.ns == ns && o.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::*;

    /// The access classes of ONVIF's specification, by name; of what is not named, by how the name
    /// begins.
    fn specified(ns: Ns, name: &str) -> Class {
        let among = |list: &str| list.split_whitespace().any(|n| n == name);
        let reads = name.starts_with("Get");
        if name == "GetServiceCapabilities"
            || ns == Ns::Tmd && name == "GetRelayOutputOptions"
            || ns == Ns::Tds
                && among(
                    "GetWsdlUrl GetServices GetCapabilities GetHostname GetSystemDateAndTime \
                     GetEndpointReference",
                )
        {
            return PreAuth;
        }
        match ns {
            Ns::Tds if name == "GetRelayOutputs" => ReadMedia,
            Ns::Tds if name.starts_with("SetRelayOutput") || name == "SendAuxiliaryCommand" => {
                Actuate
            }
            Ns::Tds
                if among(
                    "GetUsers GetAccessPolicy GetSystemLog GetSystemBackup \
                     GetSystemSupportInformation",
                ) =>
            {
                ReadSystemSecret
            }
            Ns::Tds
                if among(
                    "SystemReboot SetSystemFactoryDefault StartFirmwareUpgrade StartSystemRestore \
                     RestoreSystem UpgradeFirmware",
                ) =>
            {
                Unrecoverable
            }
            Ns::Tds if reads => ReadSystem,
            Ns::Tds => WriteSystem,
            Ns::Tmd if name == "GetDigitalInputs" => ReadSystem,
            Ns::Tr2 if name == "GetVideoSourceModes" => ReadSystem,
            Ns::Trt | Ns::Tr2 if name == "SetVideoSourceMode" => WriteSystem,
            Ns::Tev | Ns::Wsnt => ReadMedia,
            _ if reads => ReadMedia,
            _ => Actuate,
        }
    }

    #[test]
    fn every_operation_has_the_class_that_the_specification_gives_it() {
        for operation in SERVICES.iter().copied().flatten() {
            let (ns, name) = (operation.ns, operation.name);
            assert_eq!(operation.class, specified(ns, name), "{ns:?} {name}");
        }
    }

    #[test]
    fn no_operation_stands_twice() {
        let all: Vec<_> = SERVICES.iter().copied().flatten().map(|o| (o.ns, o.name)).collect();
        let unique: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
    }

    #[test]
    fn levels_of_users_are_those_of_roles() {
        use lensd_ffi::auth::Role;
        let may = |role: Role, class: Class| class.access().is_none_or(|a| role.rights().allows(a));
        for (role, most) in [
            (Role::Viewer, &[ReadSystem, ReadMedia][..]),
            (Role::Operator, &[ReadSystem, ReadMedia, Actuate]),
            (
                Role::Administrator,
                &[ReadSystem, ReadMedia, Actuate, ReadSystemSecret, WriteSystem, Unrecoverable],
            ),
        ] {
            for class in
                [ReadSystem, ReadSystemSecret, WriteSystem, Unrecoverable, ReadMedia, Actuate]
            {
                assert_eq!(may(role, class), most.contains(&class), "{role:?} {class:?}");
            }
        }
    }
}
