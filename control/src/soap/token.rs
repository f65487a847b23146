//! WS-UsernameToken (OASIS WSS UsernameToken Profile 1.0, 3.1): what stands in it, whether it is
//! right, and that it is used once.

use super::time::parse_date_time;
use super::{Fault, Node};
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_ffi::auth::digest::same;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

/// Longest nonce in Base64: more is not looked at.
pub const MAX_NONCE: usize = 64;
/// Longest name and longest password.
const MAX_TEXT: usize = 256;
/// Most tokens that are remembered.
const MAX_USED: usize = 4096;

/// What the password element holds, as its `Type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// [`password_digest`].
    Digest,
    /// The password itself.
    Text,
    /// It does not say: the profile says text then, and some clients mean a digest.
    Unsaid,
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Name of the user.
    pub user: String,
    /// When it was made, in UTC milliseconds since 1970.
    pub created_ms: i64,
    nonce: Vec<u8>,
    created: String,
    password: String,
    kind: Kind,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Token {
    /// Of a UsernameToken. None: it names nobody, as clients without a login have it.
    ///
    /// # Errors
    /// What it lacks: then it is refused, whatever the password is (ONVIF Core 5.9.2.1).
    pub fn of(node: Node<'_>) -> Result<Option<Self>, Fault> {
        let refuse = |why: &'static str| Err(Fault::not_authorized(why));
        let Some(user) = node.value("Username") else { return Ok(None) };
        let Some(password) = node.child("Password") else {
            return refuse("the UsernameToken has no Password");
        };
        if user.len() > MAX_TEXT || password.raw_text().len() > MAX_TEXT {
            return refuse("the UsernameToken has a name or a password that is too long");
        }
        let Some(nonce) = node.value("Nonce") else {
            return refuse("the UsernameToken has no Nonce");
        };
        let nonce = if nonce.len() > MAX_NONCE { None } else { STANDARD.decode(nonce).ok() };
        let Some(nonce) = nonce.filter(|n| !n.is_empty()) else {
            return refuse("the Nonce is no Base64 of at most 64 characters");
        };
        let Some(created) = node.value("Created") else {
            return refuse("the UsernameToken has no Created");
        };
        let Some(created_ms) = parse_date_time(created) else {
            return refuse("the UsernameToken's Created is no moment such as 2024-11-21T17:24:34Z");
        };
        let kind = match password.attribute("Type") {
            None => Kind::Unsaid,
            Some(name) if name.ends_with("#PasswordDigest") => Kind::Digest,
            Some(name) if name.ends_with("#PasswordText") => Kind::Text,
            Some(_) => return refuse("the Password is of a type that is not known"),
        };
        let (user, created) = (user.to_owned(), created.to_owned());
        let password = password.raw_text().to_owned();
        Ok(Some(Self { user, created_ms, nonce, created, password, kind }))
    }

    /// Whether it was made with this password. A password in the clear is taken only where nobody
    /// can read along (`secure`).
    pub fn is_right(&self, password: &str, secure: bool) -> bool {
        let expected = password_digest(&self.nonce, &self.created, password);
        let digest = same(&expected, self.password.trim());
        let text = same(password, &self.password) && secure;
        match self.kind {
            Kind::Digest => digest,
            Kind::Text => text,
            Kind::Unsaid => digest | text,
        }
    }
}

/// Base64(SHA-1(nonce + created + password)), as a token has it.
pub fn password_digest(nonce: &[u8], created: &str, password: &str) -> String {
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for part in [nonce, created.as_bytes(), password.as_bytes()] {
        hash.update(part);
    }
    STANDARD.encode(hash.finish())
}

/// What became of a token that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It counts.
    Good,
    /// It was used before.
    Again,
    /// Its moment is too far from ours, by so many seconds; the sender's clock is ahead if that is
    /// positive.
    OutOfTime(i64),
}

/// Tokens that were used. **Only those that are right are put here,** so that nobody without a
/// password can fill it.
#[derive(Debug, Default)]
pub struct Used {
    /// By a hash of user and nonce: when they may be forgotten.
    until: HashMap<u64, i64>,
    hash: RandomState,
}

impl Used {
    /// Uses a token up, at UTC millisecond `now_ms`, if it was made within `window_ms` of it.
    pub fn spend(&mut self, token: &Token, now_ms: i64, window_ms: i64) -> Spent {
        let ahead = token.created_ms.saturating_sub(now_ms);
        if ahead.abs() > window_ms {
            return Spent::OutOfTime(ahead / 1000);
        }
        let key = self.hash.hash_one((&token.user, &token.nonce));
        // After that its moment is out of the window anyway.
        let until = token.created_ms.saturating_add(window_ms);
        if self.until.get(&key).is_some_and(|until| *until >= now_ms) {
            return Spent::Again;
        }
        if self.until.len() >= MAX_USED {
            self.until.retain(|_, until| *until >= now_ms);
        }
        if self.until.len() >= MAX_USED
            && let Some(oldest) = self.until.iter().min_by_key(|(_, until)| **until).map(|e| *e.0)
        {
            self.until.remove(&oldest);
        }
        self.until.insert(key, until);
        Spent::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::Document;

    fn token(inside: &str) -> Result<Option<Token>, Fault> {
        let text = format!("<UsernameToken>{inside}</UsernameToken>");
        Token::of(Document::parse(text.as_bytes()).unwrap().root())
    }

    /// The example of ONVIF's Application Programmer's Guide, 6.1.1.3.
    const NONCE: &str = "<Nonce>LKqI6G/AikKCQrN0zqZFlg==</Nonce>";
    const CREATED: &str = "<Created>2010-09-16T07:50:45Z</Created>";
    const DIGEST: &str = "tuOSpGlFlIXsozq4HFNeeGeFLEI=";

    fn example(kind: &str, password: &str) -> Token {
        let text = format!(
            "<Username>user</Username><Password Type='x#{kind}'>{password}</Password>{NONCE}{CREATED}"
        );
        token(&text).unwrap().unwrap()
    }

    #[test]
    fn the_example_of_the_programmers_guide() {
        let good = example("PasswordDigest", DIGEST);
        assert!(good.is_right("userpassword", false) && !good.is_right("other", true));
        assert!(!good.is_right(DIGEST, true), "a digest is no password");
        let text = example("PasswordText", "userpassword");
        assert!(text.is_right("userpassword", true) && !text.is_right("userpassword", false));
        let unsaid =
            format!("<Username>user</Username><Password>{DIGEST}</Password>{NONCE}{CREATED}");
        assert!(token(&unsaid).unwrap().unwrap().is_right("userpassword", false));
    }

    #[test]
    fn what_is_missing_is_refused() {
        let password = format!("<Username>u</Username><Password>{DIGEST}</Password>");
        for bad in [
            password.clone(),
            format!("{password}{NONCE}"),
            format!("{password}{CREATED}"),
            format!("{password}{CREATED}<Nonce>!</Nonce>"),
            format!("{password}{CREATED}<Nonce>{}</Nonce>", "A".repeat(MAX_NONCE + 4)),
            format!("{password}{NONCE}<Created>yesterday</Created>"),
            format!("<Username>u</Username>{NONCE}{CREATED}"),
            format!("<Username>{}</Username><Password/>{NONCE}{CREATED}", "u".repeat(300)),
            format!("<Username>u</Username><Password Type='#X'/>{NONCE}{CREATED}"),
        ] {
            let fault = token(&bad).unwrap_err();
            assert_eq!(
                (fault.status, &*fault.subcodes),
                (400, &["ter:NotAuthorized"][..]),
                "{bad}"
            );
        }
        assert_eq!(token("<Username/><Password/>"), Ok(None));
    }

    #[test]
    fn a_token_counts_once_and_within_its_time() {
        let mut used = Used::default();
        let token = example("PasswordDigest", DIGEST);
        let (now, window) = (token.created_ms, 300_000);
        assert_eq!(used.spend(&token, now + 300_001, window), Spent::OutOfTime(-300));
        assert_eq!(used.spend(&token, now - 300_001, window), Spent::OutOfTime(300));
        assert_eq!(used.spend(&token, now - 300_000, window), Spent::Good);
        assert_eq!(used.spend(&token, now + 300_000, window), Spent::Again);
        let mut other = token.clone();
        other.user = "other".to_owned();
        assert_eq!(used.spend(&other, now, window), Spent::Good, "nonces are each user's own");
        for i in 0..2 * MAX_USED {
            other.nonce = i.to_be_bytes().to_vec();
            other.created_ms = now + 1 + i64::try_from(i).unwrap();
            assert_eq!(used.spend(&other, now, window), Spent::Good);
        }
        assert!(used.until.len() <= MAX_USED);
        assert_eq!(used.spend(&other, now, window), Spent::Again, "the newest are known");
    }
}
