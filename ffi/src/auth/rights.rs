//! What somebody may read and change: nine domains, and sets of them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A domain of things that a user may read or write (SURFACE, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Cameras and their settings.
    Device,
    /// Streams and still pictures.
    Media,
    /// Users and sessions.
    User,
    /// Addresses and servers.
    Network,
    /// Recordings and files.
    Storage,
    /// State and settings of the system.
    System,
    /// Installing another version of this program.
    FirmwareUpdate,
    /// Restarting the program or the machine: can only be written.
    Reboot,
    /// Lights.
    Light,
}

impl Permission {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Device,
        Self::Media,
        Self::User,
        Self::Network,
        Self::Storage,
        Self::System,
        Self::FirmwareUpdate,
        Self::Reboot,
        Self::Light,
    ];

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Domain.
    pub permission: Permission,
    /// Whether something would change.
    pub write: bool,
    /// How much of it.
    pub extent: Extent,
}

/// How much of a domain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Things of it.
    Domain,
    /// See [`Access::LIVE`].
    Live,
    /// See [`Access::ANY`].
    Any,
}

impl Access {
    /// Streams and still pictures of now: part of what [`Permission::Media`] lets read, and all of
    /// it that `open` gives to everybody. What was recorded is more.
    pub const LIVE: Self =
        Self { permission: Permission::Media, write: false, extent: Extent::Live };
    /// Whatever one may read of any domain: for what is asked again, thing by thing.
    pub const ANY: Self =
        Self { permission: Permission::System, write: false, extent: Extent::Any };

    /// Reading things of a domain.
    pub const fn read(permission: Permission) -> Self {
        Self { permission, write: false, extent: Extent::Domain }
    }

    /// Changing things of a domain.
    pub const fn write(permission: Permission) -> Self {
        Self { permission, write: true, extent: Extent::Domain }
    }
}

/// A set of permissions. Who may write may read.
///
/// In JSON a list of names as in seed 000: `["Light_rw", "System_r"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    read: u16,
    write: u16,
}

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self { read: 0, write: 0 };
    /// Everything.
    pub const ALL: Self = Self { read: 0x1ff, write: 0x1ff };

    /// Of `read`: what is live. It has no name, for nobody is given it: see [`Access::LIVE`].
    const LIVE: u16 = 1 << 15;

    /// These and one more.
    #[must_use]
    pub const fn with(self, access: Access) -> Self {
        if matches!(access.extent, Extent::Live) {
            return Self { read: self.read | Self::LIVE, ..self };
        }
        let bit = access.permission.bit();
        let write = if access.write { self.write | bit } else { self.write };
        Self { read: self.read | bit, write }
    }

    /// What either has.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { read: self.read | other.read, write: self.write | other.write }
    }

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { read: self.read & other.read, write: self.write & other.write }
    }

    /// Whether something is among them.
    pub const fn allows(self, access: Access) -> bool {
        let all = if access.write { self.write } else { self.read };
        let enough = match access.extent {
            Extent::Domain => access.permission.bit(),
            Extent::Live => access.permission.bit() | Self::LIVE,
            Extent::Any => u16::MAX,
        };
        all & enough != 0
    }

    /// Whether all of `other` is among them.
    pub fn contain(self, other: Self) -> bool {
        self.and(other) == other
    }

    /// Their names.
    pub fn names(self) -> Vec<String> {
        let name = |p: Permission| {
            let how = match (self.allows(Access::write(p)), self.allows(Access::read(p))) {
                (true, _) if p == Permission::Reboot => "w",
                (true, _) => "rw",
                (false, true) => "r",
                (false, false) => return None,
            };
            Some(format!("{p:?}_{how}"))
        };
        Permission::ALL.into_iter().filter_map(name).collect()
    }

    /// Adds one by its name. `None`: there is none of that name.
    pub fn with_name(self, name: &str) -> Option<Self> {
        let (permission, how) = name.rsplit_once('_')?;
        let permission = Permission::ALL.into_iter().find(|p| format!("{p:?}") == permission)?;
        match how {
            // Restarting has nothing to read.
            "r" if permission == Permission::Reboot => None,
            "r" => Some(self.with(Access::read(permission))),
            "rw" | "w" => Some(self.with(Access::write(permission))),
            _ => None,
        }
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rights = Self::NONE;
        for name in Vec::<String>::deserialize(deserializer)? {
            rights = rights.with_name(&name).ok_or_else(|| {
                D::Error::custom(format!("{name:?} is no permission, such as Media_r or Light_rw"))
            })?;
        }
        Ok(rights)
    }
}

/// A set of permissions with a name that is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do everything.
    Administrator,
    /// Runs cameras.
    Operator,
    /// Looks on.
    Viewer,
    /// What somebody without a login may do.
    Guest,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Administrator, Self::Operator, Self::Viewer, Self::Guest];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Guest => "guest",
        }
    }

    /// The role of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// What it may do, as the factory sees it. Only the guest's can be set otherwise.
    pub const fn rights(self) -> Rights {
        use Permission::{Device, Light, Media, Reboot, Storage, System};
        let look = Rights::NONE
            .with(Access::read(Device))
            .with(Access::read(Media))
            .with(Access::read(Light))
            .with(Access::read(Storage))
            .with(Access::read(System));
        match self {
            Self::Administrator => Rights::ALL,
            Self::Operator => look
                .with(Access::write(Device))
                .with(Access::write(Media))
                .with(Access::write(Light))
                .with(Access::write(Reboot)),
            Self::Viewer => look,
            Self::Guest => Rights::NONE.with(Access::read(System)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_back() {
        let rights = Role::Operator.rights();
        assert_eq!(
            rights.names(),
            ["Device_rw", "Media_rw", "Storage_r", "System_r", "Reboot_w", "Light_rw"]
        );
        let json = serde_json::to_string(&rights).unwrap();
        assert_eq!(serde_json::from_str::<Rights>(&json).unwrap(), rights);
        for bad in ["Media", "media_r", "Media_x", "Reboot_r", "", "_r"] {
            assert_eq!(Rights::NONE.with_name(bad), None, "{bad}");
        }
        assert_eq!(Rights::ALL.names().len(), 9);
    }

    #[test]
    fn sets() {
        let (viewer, guest) = (Role::Viewer.rights(), Role::Guest.rights());
        assert!(viewer.contain(guest) && !guest.contain(viewer));
        assert_eq!(viewer.and(guest), guest);
        assert_eq!(viewer.or(guest), viewer);
        let writes = Rights::NONE.with(Access::write(Permission::Light));
        assert!(writes.allows(Access::read(Permission::Light)));
        assert!(!viewer.allows(Access::write(Permission::Light)));
        assert_eq!(Role::parse("viewer"), Some(Role::Viewer));
        assert_eq!(Role::parse("Viewer"), None);
    }
}
