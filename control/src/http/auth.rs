//! Whether a request may be made: who sends it, what that one may do, and how often.
//!
//! The decision about credentials is [`Guard`]'s, the same as RTSP's. Added here is what belongs
//! to HTTP: where credentials stand in a request, that a digest is for this very target and is
//! used once (RFC 7616 3.4.5, 3.4.6, 5.5), that another site's page cannot use a browser's login,
//! and the limits.

mod outside;

use super::At;
use super::limit::{Class, Limiter, Rate};
use super::parse::{Method, Request};
use super::respond::{Fault, Response};
use crate::config::Limits;
use lensd_ffi::auth::digest;
use lensd_ffi::auth::{Access, Credentials, Guard, Lockout, Login, Permission, Users, Verdict};
use lensd_ffi::time::Nanos;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

/// Who makes a request.
pub type Who = Login;

/// The cookie that holds a session's token.
pub const COOKIE: &str = "lensd-session";
/// The field that a request with the cookie must have if it changes something: another site's page
/// can make a browser send the cookie, and cannot know this.
const CSRF_FIELD: &str = "x-csrf-token";
/// How often the use of a token is noted: a session need not be written at each request.
const TOUCH_MS: i64 = 3_600_000;
/// News that wait to be taken; more within a second are an attack that is known by then.
const MAX_NEWS: usize = 256;

/// Something that the audit log should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whether it was a log-in, or a failed one.
    pub success: bool,
    /// The name that was given, if any.
    pub user: String,
    /// From where.
    pub from: IpAddr,
}

/// Decides about requests.
#[derive(Debug)]
pub struct Door {
    guard: Guard,
    used: Used,
    max_failures: u32,
    anonymous: Limiter,
    users: Limiter,
    stills: Limiter,
    /// When the use of a token was noted last, by its hash; only of tokens that are valid.
    touched: HashMap<String, i64>,
    to_touch: Vec<String>,
    news: Vec<News>,
}

impl Door {
    /// Other limits.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.max_failures = limits.failed_logins;
        self.guard.lockout().set_limit(limits.failed_logins);
        self.anonymous.set_limit(limits.anonymous_per_minute);
        self.users.set_limit(limits.user_per_second);
        self.stills.set_limit(if self.guard.users().open {
            u32::MAX
        } else {
            limits.stills_per_second
        });
    }

    /// With a secret key for nonces, and the count of failures.
    pub fn new(users: Users, key: [u8; 32], lockout: Lockout, limits: &Limits) -> Self {
        lockout.set_limit(limits.failed_logins);
        let (second, minute) = (Nanos::from_secs(1), Nanos::from_secs(60));
        let anonymous = if users.open { second } else { minute };
        Self {
            max_failures: limits.failed_logins,
            anonymous: Limiter::new(limits.anonymous_per_minute, anonymous),
            users: Limiter::new(limits.user_per_second, second),
            stills: Limiter::new(
                if users.open { u32::MAX } else { limits.stills_per_second },
                second,
            ),
            guard: Guard::new(users, key).with_lockout(lockout),
            used: Used::default(),
            touched: HashMap::new(),
            to_touch: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Replaces the table of users.
    pub fn set_users(&mut self, users: Users) {
        self.touched.retain(|hash, _| users.tokens.iter().any(|t| t.sha256 == *hash));
        self.guard.set_users(users);
    }

    /// The table of users.
    pub const fn users(&self) -> &Users {
        self.guard.users()
    }

    /// Whether somebody may try to log in with a name and a password.
    ///
    /// # Errors
    /// 429, after too many failures.
    pub fn check_lock(&mut self, name: &str, from: IpAddr, at: At) -> Result<(), Fault> {
        let wait = self.guard.lockout().locked(name, from, at.utc.millis());
        wait.map_or(Ok(()), |retry_after| Err(self.locked(retry_after)))
    }

    /// Notes how a log-in with a name and a password went.
    pub fn note_login(&mut self, name: &str, success: bool, from: IpAddr, at: At) {
        let now_ms = at.utc.millis();
        if success {
            self.guard.lockout().succeeded(name, from, now_ms);
        } else {
            self.guard.lockout().failed(name, from, now_ms);
        }
        self.tell(News { success, user: name.to_owned(), from });
    }

    /// Who a token stands for: for log-ins that are no requests. Its use is noted.
    ///
    /// # Errors
    /// 401 or 429.
    pub fn admit_token(&mut self, token: &str, from: IpAddr, at: At) -> Result<Who, Fault> {
        let credentials = Credentials::Token(token.to_owned());
        // Of a token neither method nor target matters, and what it may do is asked later.
        let access = Access::read(Permission::System);
        let asked =
            lensd_ffi::auth::Request { credentials: &credentials, method: "", uri: "", access };
        match self.guard.identify(&asked, from, at.utc.millis()) {
            Ok(login) => {
                self.touch(&login, at);
                Ok(login)
            }
            Err(Verdict::Locked { retry_after }) => Err(self.locked(retry_after)),
            Err(_) => {
                self.tell(News { success: false, user: String::new(), from });
                Err(wrong())
            }
        }
    }

    /// Log-ins since the last call.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Hashes of tokens whose use is to be noted, since the last call.
    pub fn take_touched(&mut self) -> Vec<String> {
        std::mem::take(&mut self.to_touch)
    }

    fn tell(&mut self, news: News) {
        if self.news.len() < MAX_NEWS {
            self.news.push(news);
        }
    }

    fn touch(&mut self, login: &Login, at: At) {
        let Some(hash) = &login.token else { return };
        let now_ms = at.utc.millis();
        let last = self.touched.get(hash);
        if last.is_none_or(|last| now_ms.abs_diff(*last) >= TOUCH_MS.unsigned_abs()) {
            self.touched.insert(hash.clone(), now_ms);
            self.to_touch.push(hash.clone());
        }
    }

    fn locked(&self, retry_after: u32) -> Fault {
        let message = format!(
            "there were {} failed logins; try again in {retry_after} seconds",
            self.max_failures
        );
        Fault {
            limit: Some((self.max_failures, "5 minutes")),
            retry_after: Some(retry_after),
            ..Fault::new(429, "RATE_LIMITED", "Rate limit exceeded", message)
        }
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
            None => self.who(request, from, at),
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

    /// Who makes a request that everybody may make; a guest, if that is not clear.
    fn who(&mut self, request: &Request, from: IpAddr, at: At) -> Who {
        let (credentials, csrf) = self.credentials(request, at);
        let access = Access::read(Permission::System);
        let known = match csrf {
            Ok(()) => self.prove(&credentials, request, access, from, at).ok(),
            Err(_) => None,
        };
        known.unwrap_or_else(|| self.guard.users().guest())
    }

    fn identify(
        &mut self,
        request: &Request,
        access: Access,
        from: IpAddr,
        at: At,
    ) -> Result<Who, Box<Response>> {
        let (credentials, csrf) = self.credentials(request, at);
        csrf.map_err(|f| Box::new(f.response(at)))?;
        let verdict = match self.prove(&credentials, request, access, from, at) {
            Ok(login) if login.allows(access) => return Ok(login),
            Ok(login) if login.user.is_empty() => Verdict::Login { stale: false, failed: false },
            Ok(login) => Verdict::Forbid(login),
            Err(verdict) => verdict,
        };
        Err(match verdict {
            Verdict::Locked { retry_after } => Box::new(self.locked(retry_after).response(at)),
            Verdict::Login { stale, failed } => Box::new(self.ask_login(stale, failed, at)),
            Verdict::Allow(_) | Verdict::Forbid(_) => Box::new(forbidden(access).response(at)),
        })
    }

    /// 401 with its challenges.
    pub fn ask_login(&self, stale: bool, failed: bool, at: At) -> Response {
        let message = "log in with Basic, Digest or Bearer, or at /api/login, or add ?token=";
        let fault = if failed {
            wrong()
        } else {
            Fault::new(401, "INVALID_CREDENTIALS", "Authentication required", message)
        };
        let mut response = fault.response(at);
        for challenge in self.guard.challenges(stale, at.utc.millis()) {
            response = response.header("WWW-Authenticate", challenge);
        }
        response
    }

    /// The guard's answer, and what only HTTP must see to.
    fn prove(
        &mut self,
        credentials: &Credentials,
        request: &Request,
        access: Access,
        from: IpAddr,
        at: At,
    ) -> Result<Login, Verdict> {
        let asked = lensd_ffi::auth::Request {
            credentials,
            method: request.method.name(),
            uri: &request.target,
            access,
        };
        let login = match self.guard.identify(&asked, from, at.utc.millis()) {
            Ok(login) => login,
            Err(verdict) => {
                // What is no guess is not locked out; it must not fill the audit log either.
                let guess =
                    matches!(credentials, Credentials::Basic { .. } | Credentials::Digest(_));
                if matches!(verdict, Verdict::Login { failed: true, .. })
                    && (guess || self.anonymous.count(from, at.mono).within)
                {
                    let user = credentials.name().to_owned();
                    tracing::warn!(%from, target = path_only(&request.target), "login failed");
                    self.tell(News { success: false, user, from });
                }
                return Err(verdict);
            }
        };
        // Only a digest that is right uses its count up: else anybody could use up another's.
        if let Credentials::Digest(response) = credentials
            && !self.used.is_first(response, request.method, at.mono)
        {
            return Err(Verdict::Login { stale: true, failed: false });
        }
        self.touch(&login, at);
        // Each request is a log-in of its own; that of a user from another place is news.
        if !login.user.is_empty()
            && login.token.is_none()
            && self.guard.lockout().succeeded(&login.user, from, at.utc.millis())
        {
            self.tell(News { success: true, user: login.user.clone(), from });
        }
        Ok(login)
    }

    /// What a change with a session's cookie lacks, if it does.
    pub fn lacks_csrf(&self, request: &Request, at: At) -> Option<Fault> {
        self.credentials(request, at).1.err()
    }

    /// What a request brought, and whether it may be used.
    fn credentials(&self, request: &Request, at: At) -> (Credentials, Result<(), Fault>) {
        match credentials(request) {
            Credentials::None => {}
            credentials => return (credentials, Ok(())),
        }
        let known = |t: &&str| self.guard.users().login_by_token(t, at.utc.millis()).is_some();
        // A browser also brings cookies of sessions that are over: they are as good as none, and
        // no attempt to guess.
        let Some(token) = cookies(request).find(known) else { return (Credentials::None, Ok(())) };
        let given = request.header(CSRF_FIELD).unwrap_or_default();
        let safe =
            request.method.is_safe() || digest::same(given, &csrf(token)) || is_own_view(request);
        let verdict = if safe {
            Ok(())
        } else {
            let message = "a change with the session's cookie needs the field X-CSRF-Token, \
                           which /api/login and /api/session give";
            Err(Fault::new(403, "PERMISSION_DENIED", "Permission denied", message))
        };
        (Credentials::Token(token.to_owned()), verdict)
    }
}

/// Whether a request only goes on with what the same page has been offered: an answer to an offer of
/// WebRTC, or a candidate. Another site's page could not know the offer; and browsers' code for this,
/// as everybody writes it, sends no field of ours.
fn is_own_view(request: &Request) -> bool {
    let mut path = request.segments.iter().map(String::as_str);
    path.next() == Some("api")
        && path.next() == Some("webrtc")
        && matches!(path.next(), Some("answer" | "ice"))
        && path.next().is_none()
}

/// 403 for somebody who is known.
pub fn forbidden(access: Access) -> Fault {
    let verb = if access.write { "change" } else { "read" };
    let message =
        format!("this needs permission to {verb} {:?}; ask an administrator", access.permission);
    Fault::new(403, "PERMISSION_DENIED", "Permission denied", message)
}

/// 401 for wrong credentials.
pub fn wrong() -> Fault {
    let message = "the user name, password or token is wrong";
    Fault::new(401, "INVALID_CREDENTIALS", "Authentication failed", message)
}

/// What proves that a request comes from a page of ours: made of the session's token, which no
/// page can read, so that nothing more is kept.
pub fn csrf(token: &str) -> String {
    let mut hash = lensd_ffi::auth::Token::hash(&format!("lensd csrf {token}"));
    hash.truncate(32);
    hash
}

/// The tokens in the session's cookies (RFC 6265 5.4): there may be some of several paths.
pub fn cookies(request: &Request) -> impl Iterator<Item = &str> {
    request
        .headers("cookie")
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, value)| value.trim_matches('"'))
        .take(4)
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

/// What a request brought besides a cookie. A header wins over `?token=`.
fn credentials(request: &Request) -> Credentials {
    let mut fields = request.headers("authorization");
    match (fields.next(), fields.next()) {
        (Some(_), Some(_)) => return Credentials::Malformed,
        (Some(field), None) => {
            return match Credentials::parse(field) {
                // RFC 7616 3.4.6: a digest is for one target. RTSP must be lenient here.
                Credentials::Digest(r) if !is_target(&r.uri, &request.target) => {
                    Credentials::Malformed
                }
                credentials => credentials,
            };
        }
        (None, _) => {}
    }
    let token = request.header("x-api-key").or_else(|| request.query("token"));
    match token.map(str::trim).filter(|t| !t.is_empty()) {
        Some(token) => Credentials::Token(token.to_owned()),
        None => Credentials::None,
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
    use lensd_ffi::auth::{Role, Token, User};
    use lensd_ffi::time::UtcNanos;

    const READ: Option<Access> = Some(Access::read(Permission::Media));
    const WRITE: Option<Access> = Some(Access::write(Permission::Device));
    const AT: At = At { mono: Nanos(0), utc: UtcNanos(1_000_000_000_000) };

    fn door(open: bool) -> Door {
        let users = Users {
            open,
            users: vec![User::new("ann", Role::Viewer, "lensd", "secret")],
            tokens: vec![Token {
                sha256: Token::hash("tok"),
                user: "ann".into(),
                expires_ms: 0,
                rights: None,
            }],
            ..Users::default()
        };
        Door::new(users, [3; 32], Lockout::new(), &Limits::default())
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
        let live = Some(Access::LIVE);
        assert_eq!(ask(&mut door(true), "GET /x", &[], live, AT), 200);
        assert_eq!(ask(&mut door(true), "GET /x", &[], READ, AT), 401, "recordings are not live");
        assert_eq!(ask(&mut d, "GET /x", &[basic], live, AT), 200);
        assert_eq!(ask(&mut d, "GET /x", &[], live, AT), 401);
    }

    #[test]
    fn a_cookie_reads_and_with_its_companion_writes() {
        let mut d = door(false);
        let mut users = d.users().clone();
        users.users[0] = User::new("ann", Role::Operator, "lensd", "secret");
        d.set_users(users);
        let cookie = "Cookie: a=b; lensd-session=tok";
        let field = format!("X-CSRF-Token: {}", csrf("tok"));
        assert_eq!(ask(&mut d, "GET /x", &[cookie], READ, AT), 200);
        assert_eq!(ask(&mut d, "POST /x", &[cookie], WRITE, AT), 403);
        assert_eq!(ask(&mut d, "POST /x", &[cookie, "X-CSRF-Token: x"], WRITE, AT), 403);
        assert_eq!(ask(&mut d, "POST /x", &[cookie, &field], WRITE, AT), 200);
        assert_eq!(ask(&mut d, "POST /api/webrtc/answer", &[cookie], READ, AT), 200);
        assert_eq!(ask(&mut d, "POST /api/webrtc/answer/x", &[cookie], READ, AT), 403);
        let foreign = "Sec-Fetch-Site: cross-site";
        assert_eq!(ask(&mut d, "POST /api/webrtc/answer", &[cookie, foreign], READ, AT), 403);
        let api_key = "X-API-Key: tok";
        assert_eq!(ask(&mut d, "POST /x", &[api_key], WRITE, AT), 200, "no browser sends that");
        assert_eq!(d.take_touched(), [Token::hash("tok")], "once in an hour");
        for _ in 0..10 {
            let old = "Cookie: lensd-session=over";
            assert_eq!(ask(&mut d, "GET /x", &[old], READ, AT), 401);
        }
        assert_eq!(ask(&mut d, "GET /x", &[cookie], READ, AT), 200, "that was no guessing");
    }

    #[test]
    fn who_asks_for_what_everybody_may_is_known_all_the_same() {
        let mut d = door(false);
        let from = "10.0.0.1".parse().unwrap();
        let mut who = |line: &str, field: &str| {
            let request = request(line, &[format!("{field}\r\n")]);
            d.admit(&request, None, Class::Api, from, AT).unwrap().0.user
        };
        assert_eq!(who("GET /x", "Authorization: Bearer tok"), "ann");
        assert_eq!(who("GET /x", "Cookie: lensd-session=tok"), "ann");
        assert_eq!(who("POST /x", "Cookie: lensd-session=tok"), "");
        assert_eq!(who("GET /x", "Authorization: Bearer no"), "");
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
        let wrong = "Authorization: Basic YW5uOndyb25n";
        for _ in 0..5 {
            assert_eq!(ask(&mut d, "GET /x", &[wrong], READ, AT), 401);
        }
        assert_eq!(ask(&mut d, "GET /x", &[wrong], READ, AT), 429);
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], READ, AT), 200, "who is logged in");
        assert_eq!(ask(&mut d, "GET /x", &[], None, AT), 200, "what needs no login goes on");
        assert!(d.check_lock("ann", "10.0.0.1".parse().unwrap(), AT).is_err());
        let later = At { utc: UtcNanos(AT.utc.0 + 300_000_000_000), ..AT };
        assert_eq!(ask(&mut d, "GET /x", &[wrong], READ, later), 401);
        assert_eq!(d.take_news().len(), 6);
    }

    #[test]
    fn what_nobody_guesses_with_locks_nobody_out_and_fills_no_log() {
        let mut d = door(false);
        for _ in 0..200 {
            assert_eq!(ask(&mut d, "GET /x?token=old", &[], READ, AT), 401);
            assert_eq!(ask(&mut d, "GET /x", &["Authorization: Negotiate abc"], READ, AT), 401);
        }
        assert_eq!(ask(&mut d, "GET /x?token=tok", &[], READ, AT), 200);
        assert_eq!(d.take_news().len(), 100, "as many as calls without a login in a minute");
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
