//! What the loop does for ONVIF at each turn.

use super::events;
use crate::desk::Desk;
use crate::http::At;
use lensd_ffi::settings::bank::Held;

/// At each turn: what has happened reaches who has subscribed to it. Whether somebody who waited
/// is answered.
pub(crate) fn turn(desk: &mut Desk, at: At) -> bool {
    events::feed(desk, at);
    events::push(desk, at);
    let ready = desk.broker.ready(at.mono);
    let any = !ready.is_empty();
    for (wake, woken) in ready {
        wake(desk, woken, at);
    }
    any
}

/// Once a second: what is over ends.
pub(crate) fn tick(desk: &mut Desk, at: At) {
    desk.broker.expire(at.mono);
    // A token may come to its time.
    check_logins(desk, at);
    let count = desk.broker.len();
    desk.board.own("onvif-subscriptions", Held::of(count), None);
}

/// Other users, or other rights: subscriptions of who has none any more end.
pub(crate) fn check_logins(desk: &mut Desk, at: At) {
    desk.broker.check_logins(desk.door.users(), at.utc.millis());
}

/// Where discovery is heard, and why not.
pub(crate) fn note_discovery(desk: &mut Desk, addresses: &[String], error: Option<&str>) {
    desk.board.own("discovery-interfaces", Held::of(addresses), None);
    let why: Option<String> = error.map(|e| e.chars().take(200).collect());
    desk.board.own("discovery-error", Held::of(why), None);
}
