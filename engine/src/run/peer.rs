//! What the engine gets of the control plane: its memory, and a link to it.

use super::{LEASH, register};
use crate::requests::Requests;
use crate::users::UserTable;
use lensd_ffi::link::{Link, Order, Received};
use lensd_ffi::region::Region;
use lensd_ffi::settings::bank::BankReader;
use lensd_ffi::state::BANK_AT;
use lensd_ffi::time::{Nanos, now};
use mio::{Events, Poll};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How long the first clients wait for a control plane that does not come up. Without it nobody can
/// log in; only who needs no login can be served.
pub(super) const PATIENCE: Nanos = Nanos::from_secs(5);

/// What came of waiting for the control plane.
pub(super) enum Met {
    /// It is there. `None`: its link cannot be used.
    Control(Option<Link>),
    /// It is not there yet.
    Late,
    /// The engine has to end.
    Over,
}

/// Takes over users and settings; what comes back is the link.
pub(super) fn welcome(
    fds: Vec<OwnedFd>,
    users: &UserTable,
    requests: &mut Requests,
) -> io::Result<Option<Link>> {
    let Ok([memory, socket]) = <[_; 2]>::try_from(fds) else { return Ok(None) };
    if let Ok(region) = Region::open(memory) {
        let region = Arc::new(region);
        users.attach(Arc::clone(&region));
        requests.apply().attach(BankReader::attach(region, BANK_AT), now());
    }
    let link = Link::from_fd(socket);
    link.set_nonblocking(true)?;
    requests.reset();
    Ok(Some(link))
}

/// Waits until the control plane has been introduced: who is served before users and settings are
/// known would be refused with the right password, and counted as one who guesses.
pub(super) fn meet(
    leash: &Link,
    users: &UserTable,
    requests: &mut Requests,
    patience: Nanos,
) -> io::Result<Met> {
    leash.set_nonblocking(true)?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
    register(&poll, leash, LEASH)?;
    let end = now().plus(patience);
    loop {
        match leash.receive::<Order>()? {
            Received::Message(Order::Peer, fds) => {
                return welcome(fds, users, requests).map(Met::Control);
            }
            Received::Message(Order::Stop, _) | Received::Closed => return Ok(Met::Over),
            Received::Message(Order::Start { .. }, _) => {}
            Received::Empty => {
                let rest = end.since(now());
                if rest == Nanos(0) {
                    return Ok(Met::Late);
                }
                match poll.poll(&mut events, Some(rest.duration())) {
                    Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
                    _ => {}
                }
            }
        }
    }
}
