//! The table of users as control writes it and both planes read it.

use super::rights::{Access, Rights, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One user. The digests are as good as the password for Digest authentication, so the table is
/// never logged and never leaves the two planes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Log-in name.
    pub name: String,
    /// Name of the role.
    pub role: String,
    /// What the role and the permissions of this user alone come to.
    pub rights: Rights,
    /// Another one whenever the password, the role or the rights are: what was allowed under the
    /// last one ends.
    pub generation: u64,
    /// `H(name:realm:password)` with MD5, in hex (RFC 7616 section 3.4.2). Empty: not known.
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
            role: role.name().to_owned(),
            rights: role.rights(),
            generation: 0,
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
    /// To what it is limited; none: it may do what its user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}

impl Token {
    /// The hash by which a token is found.
    pub fn hash(token: &str) -> String {
        super::digest::hex(&Sha256::digest(token.as_bytes()))
    }
}

/// Who somebody has proved to be, and what follows from it. It may be kept for as long as
/// [`Users::holds`] says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Login {
    /// Name; empty without a login.
    pub user: String,
    /// Name of the role.
    pub role: String,
    /// What he may do.
    pub rights: Rights,
    /// [`User::generation`].
    pub generation: u64,
    /// SHA-256 of the token that proved it, if one did.
    pub token: Option<String>,
}

impl Login {
    /// Whether he may do this.
    pub const fn allows(&self, access: Access) -> bool {
        self.rights.allows(access)
    }
}

/// All users, tokens, and whether streams are open to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// The realm that the digests were made with.
    pub realm: String,
    /// Whether [`Access::LIVE`] is for everybody.
    pub open: bool,
    /// What may be done without a login.
    #[serde(default = "guest_rights")]
    pub guest: Rights,
    /// Users.
    pub users: Vec<User>,
    /// Tokens.
    #[serde(default)]
    pub tokens: Vec<Token>,
}

/// The realm of all schemes.
pub const REALM: &str = "lensd";

const fn guest_rights() -> Rights {
    Role::Guest.rights()
}

impl Default for Users {
    fn default() -> Self {
        Self {
            realm: REALM.to_owned(),
            open: false,
            guest: guest_rights(),
            users: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

impl Users {
    /// The user of this name.
    pub fn find(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|u| u.name == name)
    }

    /// The token of this hash, if it is valid at UTC millisecond `now_ms`.
    pub fn token(&self, sha256: &str, now_ms: i64) -> Option<&Token> {
        let found = self.tokens.iter().find(|t| t.sha256 == sha256)?;
        (found.expires_ms == 0 || now_ms < found.expires_ms).then_some(found)
    }

    /// Nobody in particular.
    pub fn guest(&self) -> Login {
        let rights = self.opened(self.guest);
        Login { role: Role::Guest.name().to_owned(), rights, ..Login::default() }
    }

    /// A user who has proved who he is.
    pub fn login(&self, name: &str) -> Option<Login> {
        let user = self.find(name)?;
        Some(Login {
            user: user.name.clone(),
            role: user.role.clone(),
            rights: self.opened(user.rights),
            generation: user.generation,
            token: None,
        })
    }

    /// What a token stands for at UTC millisecond `now_ms`.
    pub fn login_by_token(&self, token: &str, now_ms: i64) -> Option<Login> {
        let found = self.token(&Token::hash(token), now_ms)?;
        let mut login = self.login(&found.user)?;
        if let Some(rights) = found.rights {
            login.rights = self.opened(login.rights.and(rights));
        }
        login.token = Some(found.sha256.clone());
        Some(login)
    }

    /// Whether a login of before still stands: the user is there and unchanged, and so is the
    /// token; what a guest was given is still given to guests.
    pub fn holds(&self, login: &Login, now_ms: i64) -> bool {
        if login.user.is_empty() {
            return self.opened(self.guest).contain(login.rights);
        }
        let same = self.find(&login.user).is_some_and(|u| u.generation == login.generation);
        same && login.token.as_ref().is_none_or(|t| self.token(t, now_ms).is_some())
    }

    /// With what `open` adds for everybody.
    const fn opened(&self, rights: Rights) -> Rights {
        if self.open { rights.with(Access::LIVE) } else { rights }
    }
}
