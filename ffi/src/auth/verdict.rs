//! The one decision.

use super::digest::{self, Algorithm, NonceState, Nonces, Response};
use super::users::{Permission, Role, Token, User, Users};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a request brought to prove who sends it.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// A name and a password in the clear.
    Basic {
        /// Name.
        name: String,
        /// Password.
        password: String,
    },
    /// A digest.
    Digest(Box<Response>),
    /// A token: `Bearer`, or `?token=` of a URL.
    Token(String),
    /// Something that could not be read.
    Malformed,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic",
            Self::Digest(_) => "Digest",
            Self::Token(_) => "Token",
            Self::Malformed => "Malformed",
        })
    }
}

impl Credentials {
    /// Parses the value of an `Authorization` header.
    pub fn parse(header: &str) -> Self {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => STANDARD
                .decode(rest.trim())
                .ok()
                .and_then(|b| String::from_utf8(b).ok())
                .and_then(|s| {
                    let (name, password) = s.split_once(':')?;
                    Some(Self::Basic { name: name.to_owned(), password: password.to_owned() })
                })
                .unwrap_or(Self::Malformed),
            "digest" => {
                Response::parse(rest).map_or(Self::Malformed, |r| Self::Digest(Box::new(r)))
            }
            "bearer" if !rest.trim().is_empty() => Self::Token(rest.trim().to_owned()),
            _ => Self::Malformed,
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Domain.
    pub permission: Permission,
    /// Whether something would change.
    pub write: bool,
}

impl Access {
    /// Reading things of a domain.
    pub const fn read(permission: Permission) -> Self {
        Self { permission, write: false }
    }

    /// Changing things of a domain.
    pub const fn write(permission: Permission) -> Self {
        Self { permission, write: true }
    }
}

/// A request as the verdict sees it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What it brought.
    pub credentials: &'a Credentials,
    /// Its method, which a digest covers.
    pub method: &'a str,
    /// Its URI as it stands in the request line, which a digest names.
    pub uri: &'a str,
    /// What it wants.
    pub access: Access,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, as this user (empty: nobody has logged in).
    Allow {
        /// Name.
        user: String,
        /// Role.
        role: Role,
    },
    /// Ask for a login. `stale`: only the nonce was too old. `failed`: credentials were wrong.
    Login {
        /// RFC 7616 section 3.3.
        stale: bool,
        /// A wrong name or password, which counts towards the lock-out.
        failed: bool,
    },
    /// Known, but not allowed.
    Forbid,
}

/// Decides, over a table of users, with nonces of its own.
#[derive(Debug)]
pub struct Guard {
    users: Users,
    nonces: Nonces,
}

impl Guard {
    /// A guard with a secret key for its nonces.
    pub const fn new(users: Users, key: [u8; 32]) -> Self {
        Self { users, nonces: Nonces::new(key) }
    }

    /// Replaces the table.
    pub fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// The table.
    pub const fn users(&self) -> &Users {
        &self.users
    }

    /// Decides at UTC millisecond `now_ms`.
    pub fn verdict(&self, request: &Request<'_>, now_ms: i64) -> Verdict {
        let login = |failed| Verdict::Login { stale: false, failed };
        let Access { permission, write } = request.access;
        let open = self.users.open && permission == Permission::Media && !write;
        let user = match request.credentials {
            Credentials::None => {
                return if open || Role::Guest.allows(permission, write) {
                    Verdict::Allow { user: String::new(), role: Role::Guest }
                } else {
                    login(false)
                };
            }
            Credentials::Malformed => return login(true),
            Credentials::Basic { name, password } => self.basic(name, password),
            Credentials::Token(token) => self.token(token, now_ms),
            Credentials::Digest(response) => match self.digest(response, request, now_ms) {
                Ok(user) => user,
                Err(stale) => return Verdict::Login { stale, failed: false },
            },
        };
        match user {
            None => login(true),
            Some(u) if open || u.role.allows(permission, write) => {
                Verdict::Allow { user: u.name.clone(), role: u.role }
            }
            Some(_) => Verdict::Forbid,
        }
    }

    /// The challenges of a 401, strongest first.
    pub fn challenges(&self, stale: bool, now_ms: i64) -> Vec<String> {
        let nonce = self.nonces.make(secs(now_ms));
        let realm = &self.users.realm;
        let stale = if stale { ", stale=true" } else { "" };
        let digest = |a: Algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                a.name()
            )
        };
        vec![digest(Algorithm::Sha256), digest(Algorithm::Md5), format!("Basic realm=\"{realm}\"")]
    }

    fn basic(&self, name: &str, password: &str) -> Option<&User> {
        let secret = format!("{name}:{}:{password}", self.users.realm);
        // Hashed before the name is looked up: a wrong name takes as long as a wrong password.
        let ha1 = Algorithm::Sha256.hash(&secret);
        self.users.find(name).filter(|u| digest::same(&u.ha1_sha256, &ha1))
    }

    fn token(&self, token: &str, now_ms: i64) -> Option<&User> {
        let hash = Token::hash(token);
        let found = self.users.tokens.iter().find(|t| digest::same(&t.sha256, &hash))?;
        let alive = found.expires_ms == 0 || now_ms < found.expires_ms;
        self.users.find(&found.user).filter(|_| alive)
    }

    /// `Err(stale)` asks for another try that does not count as a failure.
    fn digest(
        &self,
        response: &Response,
        request: &Request<'_>,
        now_ms: i64,
    ) -> Result<Option<&User>, bool> {
        match self.nonces.check(&response.nonce, secs(now_ms)) {
            NonceState::Good => {}
            NonceState::Stale => return Err(true),
            // After a restart of the plane clients come with nonces that were good: not a failure.
            NonceState::Unknown => return Err(true),
        }
        let Some(algorithm) = response.algorithm() else { return Ok(None) };
        if response.realm != self.users.realm
            || response.qop.as_deref().is_some_and(|q| !q.eq_ignore_ascii_case("auth"))
            || !same_resource(&response.uri, request.uri)
        {
            return Ok(None);
        }
        let user = self.users.find(&response.username);
        let ha1 = user.map_or("", |u| match algorithm {
            Algorithm::Md5 => &u.ha1_md5,
            Algorithm::Sha256 => &u.ha1_sha256,
        });
        let expected = response.expected(algorithm, ha1, request.method);
        Ok(user.filter(|_| digest::same(&expected, &response.response)))
    }
}

/// Whether a digest's URI means the request's. Clients differ in a trailing slash and in whether
/// they give the whole URL or the path (VLC, FFmpeg, NVRs with `/trackID` of their own), so the
/// paths are compared, and a control URL below the presentation counts as it. The root is no
/// presentation: everything is below it.
fn same_resource(digest_uri: &str, request_uri: &str) -> bool {
    let (a, b) = (path_of(digest_uri), path_of(request_uri));
    a == b || !a.is_empty() && b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'))
}

fn path_of(uri: &str) -> &str {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |i| &rest[i..]),
        None => uri,
    };
    path.trim_end_matches('/')
}

fn secs(now_ms: i64) -> u64 {
    u64::try_from(now_ms / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA: Access = Access::read(Permission::Media);

    fn guard(open: bool) -> Guard {
        let user = User::new("ann", Role::Viewer, "lensd", "secret");
        let tokens =
            vec![Token { sha256: Token::hash("tok"), user: "ann".into(), expires_ms: 5_000 }];
        Guard::new(Users { open, users: vec![user], tokens, ..Users::default() }, [1; 32])
    }

    fn ask(guard: &Guard, credentials: &Credentials, access: Access) -> Verdict {
        let request = Request { credentials, method: "DESCRIBE", uri: "rtsp://h/stream1", access };
        guard.verdict(&request, 1_000)
    }

    fn allowed() -> Verdict {
        Verdict::Allow { user: "ann".into(), role: Role::Viewer }
    }

    #[test]
    fn basic_and_its_failures() {
        let guard = guard(false);
        let basic = |s: &str| Credentials::parse(&format!("Basic {}", STANDARD.encode(s)));
        assert_eq!(ask(&guard, &basic("ann:secret"), MEDIA), allowed());
        let failed = Verdict::Login { stale: false, failed: true };
        assert_eq!(ask(&guard, &basic("ann:wrong"), MEDIA), failed);
        assert_eq!(ask(&guard, &basic("bob:secret"), MEDIA), failed);
        assert_eq!(ask(&guard, &Credentials::parse("Basic !"), MEDIA), failed);
        assert_eq!(
            ask(&guard, &basic("ann:secret"), Access::write(Permission::Media)),
            Verdict::Forbid
        );
    }

    #[test]
    fn digest_with_both_hashes_and_both_kinds_of_uri() {
        let guard = guard(false);
        for (challenge, uri) in
            guard.challenges(false, 1_000).iter().zip(["rtsp://h/stream1/", "/stream1"])
        {
            let params = Response::parse(&format!(
                "{}, username=ann, response=0",
                challenge.strip_prefix("Digest ").unwrap()
            ))
            .unwrap();
            let algorithm = params.algorithm().unwrap();
            let mut r = Response {
                uri: uri.to_owned(),
                nc: "00000001".into(),
                cnonce: "c".into(),
                qop: Some("auth".into()),
                ..params
            };
            let ha1 = algorithm.hash("ann:lensd:secret");
            r.response = r.expected(algorithm, &ha1, "DESCRIBE");
            assert_eq!(ask(&guard, &Credentials::Digest(Box::new(r.clone())), MEDIA), allowed());
            r.uri = "/other".into();
            r.response = r.expected(algorithm, &ha1, "DESCRIBE");
            assert!(matches!(
                ask(&guard, &Credentials::Digest(Box::new(r)), MEDIA),
                Verdict::Login { failed: true, .. }
            ));
        }
    }

    #[test]
    fn a_digest_is_good_for_its_resource_and_its_tracks() {
        assert!(same_resource("rtsp://h/s/", "/s") && same_resource("/s", "rtsp://h/s/trackID=0"));
        assert!(same_resource("/", "rtsp://h"));
        for (digest, request) in [("/", "/s"), ("", "/s"), ("rtsp://h", "/s"), ("/s", "/st")] {
            assert!(!same_resource(digest, request), "{digest} {request}");
        }
    }

    #[test]
    fn tokens_expire() {
        let guard = guard(false);
        let token = Credentials::parse("Bearer tok");
        assert_eq!(ask(&guard, &token, MEDIA), allowed());
        let request = Request { credentials: &token, method: "GET", uri: "/", access: MEDIA };
        assert!(matches!(guard.verdict(&request, 5_000), Verdict::Login { failed: true, .. }));
    }

    #[test]
    fn open_opens_streams_and_nothing_else() {
        let none = Credentials::None;
        let guest = Verdict::Allow { user: String::new(), role: Role::Guest };
        let login = Verdict::Login { stale: false, failed: false };
        assert_eq!(ask(&guard(true), &none, MEDIA), guest);
        assert_eq!(ask(&guard(false), &none, MEDIA), login);
        assert_eq!(ask(&guard(true), &none, Access::write(Permission::Media)), login);
        assert_eq!(ask(&guard(true), &none, Access::read(Permission::User)), login);
        assert_eq!(ask(&guard(false), &none, Access::read(Permission::System)), guest);
    }
}
