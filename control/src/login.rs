//! Logging in with a name and a password: the same for HTTP and WebSocket.

use crate::accounts::{self, Begun};
use crate::desk::{Desk, refused};
use crate::http::At;
use crate::http::auth::{Who, csrf, wrong};
use crate::http::respond::Fault;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// Longest name and password that are looked at.
const MAX_TEXT: usize = 256;

/// Who has logged in.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// Who it is, and what he may do.
    pub(crate) who: Who,
    /// The session's token, which is shown this once.
    pub(crate) token: Zeroizing<String>,
    /// What changes need beside the session's cookie.
    pub(crate) csrf: String,
    /// UTC milliseconds at which the session ends if it is not used.
    pub(crate) expires: i64,
}

/// Who tries to log in.
pub(crate) struct Attempt {
    /// Name.
    pub(crate) name: String,
    /// Password.
    pub(crate) password: Zeroizing<String>,
    /// The client's address.
    pub(crate) from: IpAddr,
    /// What the client calls itself.
    pub(crate) agent: String,
}

/// Checks a name and a password and begins a session; `then` follows in any case, unless this
/// already fails.
///
/// # Errors
/// 429 after too many failures; 503 `BUSY`.
pub(crate) fn log_in(
    desk: &mut Desk,
    attempt: Attempt,
    at: At,
    then: impl FnOnce(&mut Desk, Result<LoggedIn, Fault>, At) + 'static,
) -> Result<(), Fault> {
    let Attempt { name, password, from, agent } = attempt;
    desk.door.check_lock(&name, from, at)?;
    let now_ms = at.utc.millis();
    let user = name.clone();
    let job = move |all: &parking_lot::Mutex<accounts::Accounts>| {
        let sane = user.len() <= MAX_TEXT && password.len() <= MAX_TEXT;
        if !sane || !accounts::is_password(all, &user, &password) {
            return Ok(None);
        }
        let begun = all.lock().begin_session(&user, &from.to_string(), &agent, now_ms);
        begun.map(Some)
    };
    desk.with_accounts(job, move |desk, made, at| {
        let outcome = made.and_then(|made| finish(desk, &name, from, made, at));
        then(desk, outcome, at);
    })
}

type Made = Result<Option<Begun>, accounts::Refusal>;

fn finish(
    desk: &mut Desk,
    name: &str,
    from: IpAddr,
    made: Made,
    at: At,
) -> Result<LoggedIn, Fault> {
    // Others may have failed meanwhile: what was guessed in the crowd is not told either.
    if let Err(fault) = desk.door.check_lock(name, from, at) {
        if let Ok(Some(begun)) = made {
            end_quietly(desk, &begun);
        }
        return Err(fault);
    }
    let Some(begun) = made.map_err(|refusal| refused(&refusal))? else {
        desk.door.note_login(name, false, from, at);
        return Err(wrong());
    };
    desk.door.note_login(name, true, from, at);
    let who = desk.door.users().login_by_token(&begun.token, at.utc.millis());
    Ok(LoggedIn {
        // None: the user was changed in this very moment.
        who: who.ok_or_else(wrong)?,
        csrf: csrf(&begun.token),
        expires: begun.record.expires,
        token: begun.token,
    })
}

fn end_quietly(desk: &mut Desk, begun: &Begun) {
    let hash = lensd_ffi::auth::Token::hash(&begun.token);
    let kind = begun.record.kind;
    let job = move |all: &parking_lot::Mutex<accounts::Accounts>| {
        let _ = all.lock().end_token(kind, &hash, None);
    };
    // If nobody has time for it, the session ends by itself: its token was shown to nobody.
    let _ = desk.with_accounts(job, |_, _, _| ());
}
