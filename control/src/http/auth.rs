//! Whether a request may be made: who sends it, what that one may do, and how often.
//!
//! The decision about credentials is [`Guard`]'s, the same as RTSP's. Added here is what belongs
//! to HTTP: where credentials stand in a request, that a digest is for this very target and is
//! used once (RFC 7616 3.4.5, 3.4.6, 5.5), that another site's page cannot use a browser's login,
//! and the limits.

use super::At;
use super::limit::{Class, Limiter, Rate};
use super::parse::{Method, Request};
use super::respond::{Fault, Response};
use crate::config::Limits;
use lensd_ffi::auth::digest;
use lensd_ffi::auth::{Access, Credentials, Guard, Role, Users, Verdict};
use lensd_ffi::time::Nanos;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

/// Period of the limit of failed logins.
const FAILURE_PERIOD: Nanos = Nanos::from_secs(300);

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// User, empty without a login.
    pub user: String,
    /// Role.
    pub role: Role,
}

impl Who {
    /// Whether they may.
    pub const fn allows(&self, access: Access) -> bool {
        self.role.allows(access.permission, access.write)
    }
}

/// Decides about requests.
#[derive(Debug)]
pub struct Door {
    guard: Guard,
    used: Used,
    failures: Limiter,
    anonymous: Limiter,
    users: Limiter,
    stills: Limiter,
}

impl Door {
    /// Who a login of a WebSocket is.
    ///
    /// # Errors
    /// 401 or 429.
    pub fn login(&mut self, credentials: &Credentials, from: IpAddr, at: At) -> Result<Who, Fault> {
        let failures = self.failures.look(from, at.mono);
        if !failures.within {
            return Err(Fault {
                retry_after: Some(failures.reset),
                ..Fault::new(429, "RATE_LIMITED", "Rate limit exceeded", "too many failed logins")
            });
        }
        let asked = lensd_ffi::auth::Request {
            credentials,
            method: "",
            uri: "",
            access: Access::read(lensd_ffi::auth::Permission::System),
        };
        match self.guard.verdict(&asked, at.utc.millis()) {
            Verdict::Allow { user, role } => Ok(Who { user, role }),
            _ => {
                self.failures.count(from, at.mono);
                let why = "the user name, password or token is wrong";
                Err(Fault::new(401, "INVALID_CREDENTIALS", "Invalid credentials", why))
            }
        }
    }

    /// Other limits.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.failures.set_limit(limits.failed_logins);
        self.anonymous.set_limit(limits.anonymous_per_minute);
        self.users.set_limit(limits.user_per_second);
        self.stills.set_limit(if self.guard.users().open {
            u32::MAX
        } else {
            limits.stills_per_second
        });
    }

    /// With a secret key for nonces.
    pub fn new(users: Users, key: [u8; 32], limits: &Limits) -> Self {
        let (second, minute) = (Nanos::from_secs(1), Nanos::from_secs(60));
        let anonymous = if users.open { second } else { minute };
        Self {
            failures: Limiter::new(limits.failed_logins, FAILURE_PERIOD),
            anonymous: Limiter::new(limits.anonymous_per_minute, anonymous),
            users: Limiter::new(limits.user_per_second, second),
            stills: Limiter::new(
                if users.open { u32::MAX } else { limits.stills_per_second },
                second,
            ),
            guard: Guard::new(users, key),
            used: Used::default(),
        }
    }

    /// Replaces the table of users.
    pub fn set_users(&mut self, users: Users) {
        self.guard.set_users(users);
    }

    /// The table of users.
    pub const fn users(&self) -> &Users {
        self.guard.users()
    }

    /// Lets a request in, or answers it.
    ///
    /// # Errors
    /// The answer: 401, 403 or 429.
    pub fn admit(
        &mut self,
        request: &Request,
        access: Option<Access>,
        class: Class,
        from: IpAddr,
        at: At,
    ) -> Result<(Who, Option<Rate>), Box<Response>> {
        let who = match access {
            None => Who { user: String::new(), role: Role::Guest },
            Some(access) => self.identify(request, access, from, at)?,
        };
        if !request.method.is_safe() {
            same_origin(request).map_err(|f| Box::new(f.response(at)))?;
        }
        if class == Class::Free {
            return Ok((who, None));
        }
        let limiter = if who.user.is_empty() { &mut self.anonymous } else { &mut self.users };
        let mut rate = limiter.count(from, at.mono);
        let mut period =
            if who.user.is_empty() && !self.guard.users().open { "minute" } else { "second" };
        if rate.within && class == Class::Still {
            let stills = self.stills.count(from, at.mono);
            if !stills.within {
                (rate, period) = (stills, "second");
            }
        }
        if rate.within { Ok((who, Some(rate))) } else { Err(too_many(rate, period, at)) }
    }

    fn identify(
        &mut self,
        request: &Request,
        access: Access,
        from: IpAddr,
        at: At,
    ) -> Result<Who, Box<Response>> {
        let credentials = credentials(request);
        let failures = self.failures.look(from, at.mono);
        if credentials != Credentials::None && !failures.within {
            return Err(too_many(failures, "5 minutes", at));
        }
        let now_ms = at.utc.millis();
        let asked = lensd_ffi::auth::Request {
            credentials: &credentials,
            method: request.method.name(),
            uri: &request.target,
            access,
        };
        let mut verdict = self.guard.verdict(&asked, now_ms);
        // Only a digest that is right uses its count up: else anybody could use up another's.
        if let (Verdict::Allow { .. } | Verdict::Forbid, Credentials::Digest(response)) =
            (&verdict, &credentials)
            && !self.used.is_first(response, request.method, at.mono)
        {
            verdict = Verdict::Login { stale: true, failed: false };
        }
        match verdict {
            Verdict::Allow { user, role } => Ok(Who { user, role }),
            Verdict::Forbid => Err(Box::new(
                Fault::new(
                    403,
                    "PERMISSION_DENIED",
                    "Permission denied",
                    format!(
                        "this needs permission to {} {:?}; ask an administrator",
                        if access.write { "change" } else { "read" },
                        access.permission
                    ),
                )
                .response(at),
            )),
            Verdict::Login { stale, failed } => {
                if failed {
                    self.failures.count(from, at.mono);
                    tracing::warn!(%from, target = path_only(&request.target), "login failed");
                }
                let message = if failed {
                    "the user name, password or token is wrong"
                } else {
                    "log in with Basic, Digest or Bearer, or add ?token="
                };
                let error = "Authentication required";
                let mut response =
                    Fault::new(401, "INVALID_CREDENTIALS", error, message).response(at);
                for challenge in self.guard.challenges(stale, now_ms) {
                    response = response.header("WWW-Authenticate", challenge);
                }
                Err(Box::new(response))
            }
        }
    }
}

/// A target without its query, which may hold a token and so must not be logged.
fn path_only(target: &str) -> &str {
    target.split('?').next().unwrap_or("")
}

fn too_many(rate: Rate, period: &'static str, at: At) -> Box<Response> {
    let message = format!("{} per {period} are allowed; try again later", rate.limit);
    let fault = Fault {
        limit: Some((rate.limit, period)),
        retry_after: Some(rate.reset),
        ..Fault::new(429, "RATE_LIMITED", "Rate limit exceeded", message)
    };
    Box::new(with_rate(fault.response(at), rate))
}

/// Adds the X-RateLimit fields.
pub fn with_rate(response: Response, rate: Rate) -> Response {
    if rate.limit == u32::MAX {
        return response;
    }
    response
        .header("X-RateLimit-Limit", rate.limit.to_string())
        .header("X-RateLimit-Remaining", rate.remaining.to_string())
        .header("X-RateLimit-Reset", rate.reset.to_string())
}

/// What a request brought. A header wins over `?token=`.
fn credentials(request: &Request) -> Credentials {
    let mut fields = request.headers("authorization");
    match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => Credentials::Malformed,
        (Some(field), None) => match Credentials::parse(field) {
            // RFC 7616 3.4.6: a digest is for one target. RTSP must be lenient here, HTTP need not.
            Credentials::Digest(r) if !is_target(&r.uri, &request.target) => Credentials::Malformed,
            credentials => credentials,
        },
        (None, _) => match request.query("token") {
            Some(token) if !token.is_empty() => Credentials::Token(token.to_owned()),
            _ => Credentials::None,
        },
    }
}

/// Whether a digest's `uri` is the request target, which either side may write in absolute form.
fn is_target(uri: &str, target: &str) -> bool {
    let path = |u: &str| match u.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |i| &rest[i..]).to_owned(),
        None => u.to_owned(),
    };
    uri == target || path(uri) == path(target)
}

/// A browser sends its saved login along with what another site's page posts. Browsers say so, in
/// fields that a page cannot forge; who is not a browser sends neither.
fn same_origin(request: &Request) -> Result<(), Fault> {
    let site = request.header("sec-fetch-site").unwrap_or("none");
    let foreign = match (request.header("origin"), request.header("host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, o)| o != host),
        _ => false,
    };
    if foreign || !["same-origin", "none"].contains(&site) {
        let message = "changes are not taken from pages of other sites";
        return Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", message));
    }
    Ok(())
}

/// Most client nonces that are remembered: many clients make a new one for each request.
const MAX_CLIENTS: usize = 65_536;
/// Longer than a nonce lives.
const USED_TIME: Nanos = Nanos::from_secs(330);

/// Which nonce counts were used, so that a digest that was overheard is worth nothing.
///
/// Kept per nonce and client nonce, because nonces of the same second are the same. Counts come
/// out of order over parallel connections, hence a window of the last 64.
#[derive(Debug, Default)]
struct Used {
    clients: HashMap<u64, Counts>,
    hash: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    highest: u32,
    /// Bit `i`: `highest - i` was used.
    window: u64,
    since: Nanos,
}

impl Used {
    fn is_first(&mut self, response: &digest::Response, method: Method, now: Nanos) -> bool {
        let Some(_) = response.qop else {
            // RFC 2069 has no count. What only reads may be read again.
            return method.is_safe();
        };
        let Ok(count) = u32::from_str_radix(&response.nc, 16) else { return false };
        if count == 0 {
            return false;
        }
        let key = self.hash.hash_one((&response.nonce, &response.cnonce, &response.username));
        if self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&key) {
            self.make_room(now);
        }
        let fresh = Counts { highest: 0, window: 0, since: now };
        let counts = self.clients.entry(key).or_insert(fresh);
        if count > counts.highest {
            let shift = count - counts.highest;
            counts.window = counts.window.checked_shl(shift).unwrap_or(0) | 1;
            counts.highest = count;
            return true;
        }
        let bit = 1_u64.checked_shl(counts.highest - count).unwrap_or(0);
        let first = bit != 0 && counts.window & bit == 0;
        counts.window |= bit;
        first
    }

    /// Forgets nonces that are void. If more logins than fit came while nonces live, the oldest of
    /// those too: only who has a password fills this table, and to lock him out would be worse.
    fn make_room(&mut self, now: Nanos) {
        let mut age = USED_TIME;
        while self.clients.len() >= MAX_CLIENTS && age > Nanos(0) {
            self.clients.retain(|_, c| now.since(c.since) < age);
            age = Nanos(age.0 / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse::{HeadScan, parse_head};
    use lensd_ffi::auth::{Permission, Token, User};
    use lensd_ffi::time::UtcNanos;

    const READ: Option<Access> = Some(Access::read(Permission::Media));
    const WRITE: Option<Access> = Some(Access::write(Permission::Device));
    const AT: At = At { mono: Nanos(0), utc: UtcNanos(1_000_000_000_000) };

    fn door(open: bool) -> Door {
        let users = Users {
            open,
            users: vec![User::new("ann", Role::Viewer, "lensd", "secret")],
            tokens: vec![Token { sha256: Token::hash("tok"), user: "ann".into(), expires_ms: 0 }],
            ..Users::default()
        };
        Door::new(users, [3; 32], &Limits::default())
    }

    fn request(line: &str, fields: &[String]) -> Request {
        let text = format!("{line} HTTP/1.1\r\nHost: h:1\r\n{}\r\n", fields.concat());
        let range = HeadScan::default().advance(text.as_bytes()).unwrap().unwrap();
        parse_head(&text.as_bytes()[range]).unwrap().request
    }

    fn ask(door: &mut Door, line: &str, fields: &[&str], access: Option<Access>, at: At) -> u16 {
        let fields: Vec<String> = fields.iter().map(|f| format!("{f}\r\n")).collect();
        let from = "10.0.0.1".parse().unwrap();
        match door.admit(&request(line, &fields), access, Class::Api, from, at) {
            Ok(_) => 200,
            Err(response) => response.status,
        }
    }

    fn digest_field(door: &Door, uri: &str, nc: u32) -> String {
        let challenge = door.guard.challenges(false, AT.utc.millis()).remove(0);
        let text = challenge.strip_prefix("Digest ").unwrap();
        let text = format!("{text}, username=ann, response=0, uri=\"{uri}\"");
        let mut r = digest::Response::parse(&text).unwrap();
        (r.nc, r.cnonce) = (format!("{nc:08x}"), "c".to_owned());
        let ha1 = digest::Algorithm::Sha256.hash("ann:lensd:secret");
        r.response = r.expected(digest::Algorithm::Sha256, &ha1, "GET");
        format!(
            "Authorization: Digest username=\"ann\", realm=\"lensd\", nonce=\"{}\", uri=\"{uri}\", \
             algorithm=SHA-256, qop=auth, nc={}, cnonce=\"c\", response=\"{}\"",
            r.nonce, r.nc, r.response
        )
    }

    #[test]
    fn every_scheme_opens_the_door() {
        let mut d = door(false);
        assert_eq!(ask(&mut d, "GET /x", &[], READ, AT), 401);
        assert_eq!(ask(&mut d, "GET /x", &[], None, AT), 200);
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], READ, AT), 200);
        let basic = "Authorization: Basic YW5uOnNlY3JldA==";
        assert_eq!(ask(&mut d, "GET /x", &[basic], READ, AT), 200);
        assert_eq!(ask(&mut d, "POST /x", &[basic], WRITE, AT), 403);
        assert_eq!(ask(&mut d, "GET /x", &["Authorization: Bearer tok"], READ, AT), 200);
        assert_eq!(ask(&mut d, "GET /x", &[basic, basic], READ, AT), 401);
        assert_eq!(ask(&mut door(true), "GET /x", &[], READ, AT), 200);
    }

    #[test]
    fn a_digest_is_for_one_target_and_one_time() {
        let mut d = door(false);
        let field = digest_field(&d, "/x?q=1", 2);
        assert_eq!(ask(&mut d, "GET /x?q=1", &[&field], READ, AT), 200);
        assert_eq!(ask(&mut d, "GET /x?q=1", &[&field], READ, AT), 401, "again");
        let earlier = digest_field(&d, "/x", 1);
        assert_eq!(ask(&mut d, "GET /x", &[&earlier], READ, AT), 200, "out of order");
        let root = digest_field(&d, "/", 3);
        assert_eq!(ask(&mut d, "GET /x", &[&root], READ, AT), 401, "of another target");
        let far = digest_field(&d, "/x", 900);
        assert_eq!(ask(&mut d, "GET /x", &[&far], READ, AT), 200);
        let old = digest_field(&d, "/x", 800);
        assert_eq!(ask(&mut d, "GET /x", &[&old], READ, AT), 401, "beyond the window");
    }

    #[test]
    fn the_table_of_used_counts_is_bounded() {
        let mut used = Used::default();
        let mut r =
            digest::Response { qop: Some("auth".into()), nc: "1".into(), ..Default::default() };
        for i in 0..MAX_CLIENTS as u64 + 100 {
            r.cnonce = i.to_string();
            assert!(used.is_first(&r, Method::Get, Nanos(i * 1_000_000)));
            assert!(!used.is_first(&r, Method::Get, Nanos(i * 1_000_000)));
        }
        assert!(used.clients.len() <= MAX_CLIENTS);
    }

    #[test]
    fn five_failures_lock_an_address_out() {
        let mut d = door(false);
        for _ in 0..5 {
            assert_eq!(ask(&mut d, "GET /x?token=no", &[], READ, AT), 401);
        }
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], READ, AT), 429);
        assert_eq!(ask(&mut d, "GET /x", &[], None, AT), 200, "what needs no login goes on");
        let later = At { mono: FAILURE_PERIOD, ..AT };
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], READ, later), 200);
    }

    #[test]
    fn calls_are_limited_with_and_without_a_login() {
        let system = Some(Access::read(Permission::System));
        let mut d = door(false);
        for _ in 0..100 {
            assert_eq!(ask(&mut d, "GET /x", &[], system, AT), 200);
            assert_eq!(ask(&mut d, "GET /x?token=tok", &[], system, AT), 200);
        }
        assert_eq!(ask(&mut d, "GET /x", &[], system, AT), 429);
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], system, AT), 429);
        let later = At { mono: Nanos::from_secs(1), ..AT };
        assert_eq!(ask(&mut d, "GET /x", &[], system, later), 429);
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], system, later), 200);
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let mut d = door(false);
        for (fields, want) in [
            (vec!["Origin: http://evil"], 403),
            (vec!["Origin: null"], 403),
            (vec!["Sec-Fetch-Site: cross-site"], 403),
            (vec!["Origin: http://h:1", "Sec-Fetch-Site: same-origin"], 200),
            (vec![], 200),
        ] {
            assert_eq!(ask(&mut d, "POST /x", &fields, None, AT), want, "{fields:?}");
        }
    }
}
