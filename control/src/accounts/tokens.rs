//! Sessions and API tokens: 256 random bits, of which only the hash is kept.

use super::{Accounts, Refusal};
use crate::store::{ChangeSet, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lensd_ffi::auth::Token;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// How long a session lasts that is not used.
pub(super) const SESSION_MS: i64 = 24 * 3_600_000;
/// Most sessions; the one that was not used longest makes room.
const MAX_SESSIONS: usize = 1024;
/// Most of those that the store has no room for.
const MAX_UNKEPT: usize = 64;
/// Most API tokens.
const MAX_TOKENS: usize = 128;
/// Letters of a hash that name its token to people.
const ID: usize = 16;
/// Longest text that a client says of itself.
const MAX_TEXT: usize = 120;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Made by a log-in; lasts as long as it is used.
    Session,
    /// Made for a program; lasts as long as was said.
    Token,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is.
    pub user: String,
    /// What it is called, or the client that logged in.
    #[serde(default)]
    pub name: String,
    /// The address that it was made from.
    #[serde(default)]
    pub from: String,
    /// UTC milliseconds.
    #[serde(default)]
    pub created: i64,
    /// UTC milliseconds of about its last use.
    #[serde(default)]
    pub used: i64,
    /// UTC milliseconds after which it is void; 0: never.
    pub expires: i64,
    /// The role that it is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl TokenRecord {
    /// By what people name a token of this hash.
    pub fn id(hash: &str) -> &str {
        hash.get(..ID).unwrap_or(hash)
    }
}

/// A token that was just made. It is shown once.
#[derive(Clone)]
pub struct Begun {
    /// The token.
    pub token: Zeroizing<String>,
    /// What is known of it.
    pub record: TokenRecord,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("record", &self.record).finish_non_exhaustive()
    }
}

/// The session that was used longest ago.
fn oldest(sessions: &BTreeMap<String, TokenRecord>) -> Option<String> {
    sessions.iter().min_by_key(|(_, session)| session.used).map(|(hash, _)| hash.clone())
}

impl Accounts {
    /// How long a session lasts that is not used, from now on.
    pub const fn set_session_ms(&mut self, ms: i64) {
        self.session_ms = ms;
    }

    /// Sessions and tokens by their hashes, of one user or of all.
    pub fn tokens(&self, kind: Kind, user: Option<&str>) -> Vec<(&str, &TokenRecord)> {
        let wanted = |(_, t): &(&String, &TokenRecord)| {
            t.kind == kind && user.is_none_or(|user| t.user == user)
        };
        self.tokens.iter().filter(wanted).map(|(hash, t)| (hash.as_str(), t)).collect()
    }

    /// Begins a session of a user who has proved who he is.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub fn begin_session(
        &mut self,
        user: &str,
        from: &str,
        agent: &str,
        now_ms: i64,
    ) -> Result<Begun, Refusal> {
        self.user(user)?;
        let mut set = ChangeSet::default();
        self.sweep(&mut set, now_ms);
        let sessions = self.tokens(Kind::Session, None);
        if sessions.len() >= MAX_SESSIONS
            && let Some((oldest, _)) = sessions.iter().min_by_key(|(_, t)| t.used)
        {
            set.delete(format!("token/{oldest}"));
        }
        let record = TokenRecord {
            kind: Kind::Session,
            user: user.to_owned(),
            name: short(agent),
            from: from.to_owned(),
            created: now_ms,
            used: now_ms,
            expires: now_ms + self.session_ms,
            role: None,
        };
        self.make(set, record)
    }

    /// Makes a token for a program. `expires`: UTC milliseconds; 0: never.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`, `Invalid`, `Denied`, `Store`.
    pub fn make_token(
        &mut self,
        user: &str,
        name: &str,
        role: Option<&str>,
        from: &str,
        expires: i64,
        now_ms: i64,
    ) -> Result<Begun, Refusal> {
        let own = self.rights(self.user(user)?);
        if let Some(role) = role {
            self.check_role(role)?;
            // It would be listed as what it is not: a token never has more than its user.
            if !own.contain(self.role(role).unwrap_or_default()) {
                let why = format!("the role {role} is more than {user} may do; choose another one");
                return Err(Refusal::Denied(why));
            }
        }
        let mut set = ChangeSet::default();
        self.sweep(&mut set, now_ms);
        if self.tokens(Kind::Token, None).len() >= MAX_TOKENS {
            return Err(Refusal::Conflict(format!("there can be {MAX_TOKENS} tokens; delete one")));
        }
        let record = TokenRecord {
            kind: Kind::Token,
            user: user.to_owned(),
            name: short(name),
            from: from.to_owned(),
            created: now_ms,
            used: 0,
            expires,
            role: role.map(str::to_owned),
        };
        self.make(set, record)
    }

    fn make(&mut self, mut set: ChangeSet, record: TokenRecord) -> Result<Begun, Refusal> {
        let mut bytes = Zeroizing::new([0; 32]);
        rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| StoreError::Io(e.to_string()))?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        let hash = Token::hash(&token);
        set.put_json(format!("token/{hash}"), &record)?;
        match self.commit(&set) {
            // Whoever wants to make room must be able to log in.
            Err(Refusal::Store(StoreError::NoRoom(why))) if record.kind == Kind::Session => {
                tracing::warn!("a session is not kept over a restart: {why}");
                self.unkept.retain(|_, session| session.expires > record.created);
                while self.unkept.len() >= MAX_UNKEPT
                    && let Some(oldest) = oldest(&self.unkept)
                {
                    self.unkept.remove(&oldest);
                    self.tokens.remove(&oldest);
                }
                self.unkept.insert(hash.clone(), record.clone());
                self.tokens.insert(hash, record.clone());
                self.version += 1;
            }
            done => done?,
        }
        Ok(Begun { token, record })
    }

    /// Ends a session or a token, by its hash or by what people call it, if it is `user`'s.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub fn end_token(
        &mut self,
        kind: Kind,
        id: &str,
        user: Option<&str>,
    ) -> Result<TokenRecord, Refusal> {
        let found = self
            .tokens(kind, user)
            .into_iter()
            .find(|(hash, _)| *hash == id || TokenRecord::id(hash) == id)
            .map(|(hash, record)| (hash.to_owned(), record.clone()));
        let Some((hash, record)) = found else {
            return Err(Refusal::NotFound(format!("there is no {kind:?} {id:?}").to_lowercase()));
        };
        if self.unkept.remove(&hash).is_some() {
            self.tokens.remove(&hash);
            self.version += 1;
            return Ok(record);
        }
        let mut set = ChangeSet::default();
        set.delete(format!("token/{hash}"));
        self.commit(&set)?;
        Ok(record)
    }

    /// Notes that tokens were used: a session lasts longer by that.
    ///
    /// # Errors
    /// `Store`.
    pub fn touch(&mut self, hashes: &[String], now_ms: i64) -> Result<(), Refusal> {
        let mut set = ChangeSet::default();
        for hash in hashes {
            let Some(record) = self.tokens.get(hash) else { continue };
            let mut record = record.clone();
            record.used = now_ms;
            if record.kind == Kind::Session {
                record.expires = now_ms + self.session_ms;
            }
            set.put_json(format!("token/{hash}"), &record)?;
        }
        self.sweep(&mut set, now_ms);
        if set.is_empty() { Ok(()) } else { self.commit(&set) }
    }

    /// Removes what has expired.
    fn sweep(&self, set: &mut ChangeSet, now_ms: i64) {
        let over = self.tokens.iter().filter(|(_, t)| t.expires != 0 && t.expires <= now_ms);
        over.for_each(|(hash, _)| set.delete(format!("token/{hash}")));
    }

    /// Ends all tokens of a user.
    pub(super) fn end_tokens_of(&self, set: &mut ChangeSet, user: &str) {
        let his = self.tokens.iter().filter(|(_, t)| t.user == user);
        his.for_each(|(hash, _)| set.delete(format!("token/{hash}")));
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
