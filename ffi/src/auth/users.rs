//! The table of users as control writes it and both planes read it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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

/// A set of permissions with a name.
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
    /// Whether the role may read, or with `write` change, things of this domain.
    pub const fn allows(self, permission: Permission, write: bool) -> bool {
        use Permission::{Device, Light, Media, Reboot, Storage, System};
        match self {
            Self::Administrator => true,
            Self::Operator => match permission {
                Device | Media | Light | Reboot => true,
                Storage | System => !write,
                _ => false,
            },
            Self::Viewer => {
                !write && matches!(permission, Device | Media | Light | Storage | System)
            }
            Self::Guest => !write && matches!(permission, System),
        }
    }
}

/// One user. The digests are as good as the password for Digest authentication, so the table is
/// never logged and never leaves the two planes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Log-in name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// `H(name:realm:password)` with MD5, in hex (RFC 7616 section 3.4.2).
    pub ha1_md5: String,
    /// The same with SHA-256.
    pub ha1_sha256: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish()
    }
}

impl User {
    /// A user with a password in the clear, which is not kept.
    pub fn new(name: &str, role: Role, realm: &str, password: &str) -> Self {
        let secret = format!("{name}:{realm}:{password}");
        Self {
            name: name.to_owned(),
            role,
            ha1_md5: super::digest::Algorithm::Md5.hash(&secret),
            ha1_sha256: super::digest::Algorithm::Sha256.hash(&secret),
        }
    }
}

/// A token that stands for a user until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the token, in hex; the token itself is not kept.
    pub sha256: String,
    /// Whose token it is.
    pub user: String,
    /// UTC milliseconds since 1970 after which it is void; 0: never.
    pub expires_ms: i64,
}

impl Token {
    /// The hash by which a token is found.
    pub fn hash(token: &str) -> String {
        super::digest::hex(&Sha256::digest(token.as_bytes()))
    }
}

/// All users, tokens, and whether streams are open to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// The realm that the digests were made with.
    pub realm: String,
    /// Whether [`Permission::Media`] may be read without a login.
    pub open: bool,
    /// Users.
    pub users: Vec<User>,
    /// Tokens.
    #[serde(default)]
    pub tokens: Vec<Token>,
}

/// The realm of all schemes.
pub const REALM: &str = "lensd";

impl Default for Users {
    fn default() -> Self {
        Self { realm: REALM.to_owned(), open: false, users: Vec::new(), tokens: Vec::new() }
    }
}

impl Users {
    /// The user of this name.
    pub fn find(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|u| u.name == name)
    }
}
