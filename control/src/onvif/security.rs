//! Who calls, and whether he may (ONVIF Core 5.9).
//!
//! A UsernameToken counts if there is one, else what HTTP brings (Digest). The decision is the same
//! as REST's and RTSP's: one table of users, one lock-out. What differs is the protocol's: answers
//! are SOAP faults, a wrong token is 400 and not 401, and guessing costs time instead of locking
//! out, because a recorder that was given a wrong password asks for ever.

use super::table::Class;
use super::{From, is_known, of_fault};
use crate::desk::Desk;
use crate::http::At;
use crate::http::auth::Door;
use crate::http::parse::Request;
use crate::http::respond::Response;
use crate::soap::{Fault, Header, Node, Spent, Token};
use lensd_ffi::auth::{Login, Verdict};
use lensd_ffi::time::Nanos;

/// Why somebody is not let in.
#[derive(Debug)]
pub(super) struct Refusal {
    fault: Box<Fault>,
    /// Challenges of Digest.
    challenges: Vec<String>,
    /// When this may be said.
    pub(super) held_until: Option<Nanos>,
}

impl Refusal {
    fn of(fault: Fault) -> Self {
        Self { fault: Box::new(fault), challenges: Vec::new(), held_until: None }
    }

    /// As a response.
    pub(super) fn response(&self, header: &Header, at: At) -> Response {
        let mut response = of_fault(header, &self.fault, at);
        for challenge in &self.challenges {
            response = response.header("WWW-Authenticate", challenge.clone());
        }
        response
    }
}

/// Who calls an operation of this class, if he may.
pub(super) fn admit(
    desk: &mut Desk,
    request: &Request,
    token: Option<Node<'_>>,
    class: Class,
    from: From,
    at: At,
) -> Result<Login, Refusal> {
    let Some(access) = class.access() else {
        // Also with a wrong login (ONVIF Core 5.9.4.2): clients ask for the time to make a right one.
        return Ok(desk.door.users().guest());
    };
    if let Err(fault) = Door::check_origin(request) {
        let fault = Fault::not_authorized(fault.message);
        return Err(Refusal::of(Fault { status: 403, ..fault }));
    }
    let who = identify(desk, request, token, from, at)?;
    let may = who.allows(access) && (is_known(&who) || class.is_open(desk.door.users().open));
    match (may, is_known(&who)) {
        (true, _) => Ok(who),
        (false, true) => {
            let why = "Sender not Authorized: this user may not do that";
            Err(Refusal::of(Fault::not_authorized(why)))
        }
        (false, false) => Err(ask_login(desk, false, at)),
    }
}

fn ask_login(desk: &Desk, stale: bool, at: At) -> Refusal {
    let challenges = desk.door.digest_challenges(stale, at);
    Refusal { challenges, ..Refusal::of(Fault::no_login()) }
}

/// Who calls; a guest, if nothing is brought.
fn identify(
    desk: &mut Desk,
    request: &Request,
    token: Option<Node<'_>>,
    from: From,
    at: At,
) -> Result<Login, Refusal> {
    let ip = from.peer.ip();
    let token = token.map(Token::of).transpose().map_err(Refusal::of)?.flatten();
    let Some(token) = token else {
        return match desk.door.prove_field(request, from.secure, ip, at) {
            Ok(who) => Ok(who),
            Err(Verdict::Locked { retry_after }) => Err(locked(retry_after)),
            Err(Verdict::Login { stale, .. }) => Err(ask_login(desk, stale, at)),
            Err(_) => Err(ask_login(desk, false, at)),
        };
    };
    if let Some(retry_after) = desk.brake.wait(ip, at.mono) {
        return Err(locked(retry_after));
    }
    // A name that there is not takes as long as a wrong password.
    let password = desk.passwords.find(&token.user);
    let right = token.is_right(password.unwrap_or_default(), from.secure) && password.is_some();
    let wrong = |desk: &mut Desk| {
        let delay = desk.brake.fail(ip, at.mono);
        let fault = Fault::not_authorized("Sender not Authorized: wrong name or password");
        let held_until = (delay.0 > 0).then(|| at.mono.plus(delay));
        Refusal { held_until, ..Refusal::of(fault) }
    };
    let who = match desk.door.prove_name(&token.user, right, ip, at) {
        Ok(who) => who,
        Err(Verdict::Locked { retry_after }) => return Err(locked(retry_after)),
        Err(_) => return Err(wrong(desk)),
    };
    // Only now, so that nobody without a password fills the table.
    match desk.tokens.spend(&token, at.utc.millis(), window_ms(desk)) {
        Spent::Good => Ok(who),
        Spent::Again => {
            let why = "Sender not Authorized: this UsernameToken was used before";
            Err(Refusal::of(Fault::not_authorized(why)))
        }
        Spent::OutOfTime(ahead) => {
            let word = if ahead > 0 { "ahead of" } else { "behind" };
            let why = format!(
                "Sender not Authorized: the UsernameToken was made {} s {word} this device's time; \
                 set the clock, or make it by GetSystemDateAndTime",
                ahead.abs()
            );
            Err(Refusal::of(Fault::not_authorized(why)))
        }
    }
}

fn window_ms(desk: &Desk) -> i64 {
    let set = desk.board.value("onvif-token-window").as_i64();
    set.unwrap_or(300) * 1000
}

fn locked(retry_after: u32) -> Refusal {
    let why = format!(
        "Sender not Authorized: too many failed logins; try again in {retry_after} seconds"
    );
    let fault = Fault { retry_after: Some(retry_after), ..Fault::not_authorized(why) };
    Refusal::of(fault)
}
