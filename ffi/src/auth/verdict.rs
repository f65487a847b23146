//! The one decision.

use super::digest::{self, Algorithm, NonceState, Nonces, Response};
use super::lockout::Lockout;
use super::rights::Access;
use super::users::{Login, User, Users};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

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
    /// The name that they are for; empty if they name nobody.
    pub fn name(&self) -> &str {
        match self {
            Self::Basic { name, .. } => name,
            Self::Digest(response) => &response.username,
            Self::None | Self::Token(_) | Self::Malformed => "",
        }
    }

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
    /// Go on, as this user.
    Allow(Login),
    /// Ask for a login. `stale`: only the nonce was too old. `failed`: credentials were wrong.
    Login {
        /// RFC 7616 section 3.3.
        stale: bool,
        /// A wrong name or password, which counted towards the lock-out.
        failed: bool,
    },
    /// There were too many failures: nothing was looked at, also if it was right.
    Locked {
        /// Seconds until there may be another try.
        retry_after: u32,
    },
    /// Known, but not allowed.
    Forbid(Login),
}

/// Decides, over a table of users, with nonces of its own.
#[derive(Debug)]
pub struct Guard {
    users: Users,
    nonces: Nonces,
    lockout: Lockout,
    edition: u64,
}

impl Guard {
    /// A guard with a secret key for its nonces.
    pub fn new(users: Users, key: [u8; 32]) -> Self {
        Self { users, nonces: Nonces::new(key), lockout: Lockout::new(), edition: 0 }
    }

    /// With a count of failures that others share.
    #[must_use]
    pub fn with_lockout(self, lockout: Lockout) -> Self {
        Self { lockout, ..self }
    }

    /// Replaces the table.
    pub fn set_users(&mut self, users: Users) {
        self.users = users;
    }

    /// Which edition of a table that several guards share this one has; 0 before the first.
    pub const fn edition(&mut self) -> &mut u64 {
        &mut self.edition
    }

    /// The table.
    pub const fn users(&self) -> &Users {
        &self.users
    }

    /// The count of failures, for log-ins that are not requests.
    pub const fn lockout(&mut self) -> &mut Lockout {
        &mut self.lockout
    }

    /// Decides about a request from an address at UTC millisecond `now_ms`.
    pub fn verdict(&mut self, request: &Request<'_>, from: IpAddr, now_ms: i64) -> Verdict {
        match self.identify(request, from, now_ms) {
            Ok(login) if login.allows(request.access) => Verdict::Allow(login),
            Ok(login) if login.user.is_empty() => Verdict::Login { stale: false, failed: false },
            Ok(login) => Verdict::Forbid(login),
            Err(verdict) => verdict,
        }
    }

    /// Who makes a request, whatever he may do; a guest, if it brings nothing.
    ///
    /// A wrong name or password counts as a failure. What cannot be read does not, nor does a
    /// token: nobody guesses 256 bits, but old ones are kept in many a program's settings, which
    /// must not lock out who sits behind the same address.
    ///
    /// # Errors
    /// `Login` or `Locked`.
    pub fn identify(
        &mut self,
        request: &Request<'_>,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Login, Verdict> {
        let name = match request.credentials {
            Credentials::None => return Ok(self.users.guest()),
            Credentials::Token(token) => {
                let known = self.users.login_by_token(token, now_ms);
                return known.ok_or(Verdict::Login { stale: false, failed: true });
            }
            Credentials::Malformed => return Err(Verdict::Login { stale: false, failed: true }),
            Credentials::Basic { name, .. } => name.as_str(),
            Credentials::Digest(response) => response.username.as_str(),
        };
        if let Some(retry_after) = self.lockout.locked(name, from, now_ms) {
            return Err(Verdict::Locked { retry_after });
        }
        let login = match request.credentials {
            Credentials::Digest(response) => self.digest(response, request, now_ms),
            Credentials::Basic { name, password } => self.basic(name, password),
            _ => Ok(None),
        };
        login.map_err(|stale| Verdict::Login { stale, failed: false })?.ok_or_else(|| {
            self.lockout.failed(name, from, now_ms);
            Verdict::Login { stale: false, failed: true }
        })
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

    /// `Err` as of [`Self::digest`].
    fn basic(&self, name: &str, password: &str) -> Result<Option<Login>, bool> {
        let secret = format!("{name}:{}:{password}", self.users.realm);
        // Hashed before the name is looked up: a wrong name takes as long as a wrong password.
        let ha1 = Algorithm::Sha256.hash(&secret);
        let user = self.users.find(name);
        // Of a user whose digests are lost nobody can say whether it is right: /api/login can.
        if user.is_some_and(|u| u.ha1_sha256.is_empty()) {
            return Err(false);
        }
        let user = user.filter(|u| digest::same(&u.ha1_sha256, &ha1));
        Ok(user.and_then(|u| self.users.login(&u.name)))
    }

    /// `Err(stale)` asks for another try that does not count as a failure.
    fn digest(
        &self,
        response: &Response,
        request: &Request<'_>,
        now_ms: i64,
    ) -> Result<Option<Login>, bool> {
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
        let of = |u: &User| match algorithm {
            Algorithm::Md5 => u.ha1_md5.clone(),
            Algorithm::Sha256 => u.ha1_sha256.clone(),
        };
        let ha1 = user.map(of).unwrap_or_default();
        let expected = response.expected(algorithm, &ha1, request.method);
        if user.is_some() && ha1.is_empty() {
            return Err(false);
        }
        let right = digest::same(&expected, &response.response);
        Ok(user.filter(|_| right).and_then(|u| self.users.login(&u.name)))
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
    use super::super::rights::{Permission, Role};
    use super::super::users::Token;
    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    const MEDIA: Access = Access::read(Permission::Media);

    fn guard(open: bool) -> Guard {
        let user = User::new("ann", Role::Viewer, "lensd", "secret");
        let tokens = vec![Token {
            sha256: Token::hash("tok"),
            user: "ann".into(),
            expires_ms: 5_000,
            rights: None,
        }];
        Guard::new(Users { open, users: vec![user], tokens, ..Users::default() }, [1; 32])
    }

    fn ask(guard: &mut Guard, credentials: &Credentials, access: Access) -> Verdict {
        let request = Request { credentials, method: "DESCRIBE", uri: "rtsp://h/stream1", access };
        guard.verdict(&request, FROM, 1_000)
    }

    fn is_ann(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Allow(login) if login.user == "ann" && login.role == "viewer")
    }

    fn basic(login: &str) -> Credentials {
        Credentials::parse(&format!("Basic {}", STANDARD.encode(login)))
    }

    #[test]
    fn basic_and_its_failures() {
        let mut guard = guard(false);
        assert!(is_ann(&ask(&mut guard, &basic("ann:secret"), MEDIA)));
        let failed = Verdict::Login { stale: false, failed: true };
        assert_eq!(ask(&mut guard, &basic("ann:wrong"), MEDIA), failed);
        assert_eq!(ask(&mut guard, &basic("bob:secret"), MEDIA), failed);
        assert_eq!(ask(&mut guard, &Credentials::parse("Basic !"), MEDIA), failed);
        let write = Access::write(Permission::Media);
        let forbidden = ask(&mut guard, &basic("ann:secret"), write);
        assert!(matches!(forbidden, Verdict::Forbid(_)));
    }

    #[test]
    fn during_a_lock_out_the_right_password_is_refused_too() {
        let mut guard = guard(false);
        for _ in 0..crate::auth::MAX_FAILURES {
            let failed = Verdict::Login { stale: false, failed: true };
            assert_eq!(ask(&mut guard, &basic("ann:wrong"), MEDIA), failed);
        }
        let locked = ask(&mut guard, &basic("ann:secret"), MEDIA);
        assert_eq!(locked, Verdict::Locked { retry_after: 300 });
        let token = Credentials::Token("tok".into());
        assert!(is_ann(&ask(&mut guard, &token, MEDIA)), "who is logged in stays so");
        let guest = ask(&mut guard, &Credentials::None, Access::read(Permission::System));
        assert!(matches!(guest, Verdict::Allow(_)), "who says nothing has not failed");
    }

    #[test]
    fn what_nobody_guesses_with_is_no_failure() {
        let mut guard = guard(false);
        let failed = Verdict::Login { stale: false, failed: true };
        for _ in 0..20 {
            assert_eq!(ask(&mut guard, &Credentials::parse("Negotiate abc"), MEDIA), failed);
            assert_eq!(ask(&mut guard, &Credentials::Token("old".into()), MEDIA), failed);
        }
        assert!(is_ann(&ask(&mut guard, &basic("ann:secret"), MEDIA)));
        guard.users.users[0].ha1_sha256.clear();
        let unknown = Verdict::Login { stale: false, failed: false };
        for _ in 0..20 {
            assert_eq!(ask(&mut guard, &basic("ann:secret"), MEDIA), unknown, "its digest is lost");
        }
        guard.users.users[0] = User::new("ann", Role::Viewer, "lensd", "secret");
        assert!(is_ann(&ask(&mut guard, &basic("ann:secret"), MEDIA)));
    }

    #[test]
    fn a_login_holds_until_something_changes() {
        let mut guard = guard(false);
        let by_name = guard.users.login("ann").unwrap();
        let by_token = guard.users.login_by_token("tok", 0).unwrap();
        let nobody = guard.users.guest();
        for login in [&by_name, &by_token, &nobody] {
            assert!(guard.users.holds(login, 1));
        }
        assert!(!guard.users.holds(&by_token, 5_000), "it has expired");
        guard.users.tokens.clear();
        assert!(!guard.users.holds(&by_token, 1) && guard.users.holds(&by_name, 1));
        guard.users.users[0].generation += 1;
        assert!(!guard.users.holds(&by_name, 1));
        guard.users.guest = super::super::rights::Rights::NONE;
        assert!(!guard.users.holds(&nobody, 1));
    }

    #[test]
    fn a_token_may_be_limited_and_never_exceeds_its_user() {
        let mut guard = guard(false);
        guard.users.tokens[0].rights = Some(Role::Guest.rights());
        let token = Credentials::Token("tok".into());
        assert!(matches!(ask(&mut guard, &token, MEDIA), Verdict::Forbid(_)));
        guard.users.tokens[0].rights = Some(Role::Administrator.rights());
        assert!(is_ann(&ask(&mut guard, &token, MEDIA)));
        let write = Access::write(Permission::User);
        assert!(matches!(ask(&mut guard, &token, write), Verdict::Forbid(_)));
    }

    #[test]
    fn digest_with_both_hashes_and_both_kinds_of_uri() {
        let mut guard = guard(false);
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
            assert!(is_ann(&ask(&mut guard, &Credentials::Digest(Box::new(r.clone())), MEDIA)));
            r.uri = "/other".into();
            r.response = r.expected(algorithm, &ha1, "DESCRIBE");
            assert!(matches!(
                ask(&mut guard, &Credentials::Digest(Box::new(r)), MEDIA),
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
        let mut guard = guard(false);
        let token = Credentials::parse("Bearer tok");
        assert!(is_ann(&ask(&mut guard, &token, MEDIA)));
        let request = Request { credentials: &token, method: "GET", uri: "/", access: MEDIA };
        let late = guard.verdict(&request, FROM, 5_000);
        assert!(matches!(late, Verdict::Login { failed: true, .. }));
    }

    #[test]
    fn open_opens_live_pictures_and_nothing_else() {
        let ask = |open, access| {
            let verdict = ask(&mut guard(open), &Credentials::None, access);
            matches!(verdict, Verdict::Allow(login) if login.user.is_empty())
        };
        assert!(ask(true, Access::LIVE) && !ask(false, Access::LIVE));
        assert!(!ask(true, MEDIA), "what was recorded is nobody's business");
        assert!(!ask(true, Access::write(Permission::Media)));
        assert!(!ask(true, Access::read(Permission::User)));
        assert!(ask(false, Access::read(Permission::System)));
    }
}
