//! Taking the ports that the engine listens at.

use lensd_ffi::time::{Nanos, now};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Between two attempts at an address in use.
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Listens at an address, and notes the port by its name. None: there is to be none.
///
/// # Errors
/// One line: what is wrong, and the option that changes it.
pub(super) fn bind(
    address: Option<&str>,
    name: &str,
    until: Nanos,
    ports: &mut BTreeMap<String, u16>,
) -> Result<Option<TcpListener>, String> {
    let Some(address) = address else { return Ok(None) };
    let parsed: SocketAddr = address.parse().map_err(|_| {
        format!("{name} address {address:?} is not IP:PORT, such as 0.0.0.0:8554 or [::]:8554")
    })?;
    // std sets SO_REUSEADDR, so that a restart finds its port free.
    let listener = patiently(until, || TcpListener::bind(parsed)).map_err(|e| {
        let hint = match e.kind() {
            io::ErrorKind::AddrInUse => "another program listens there",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "see the system's message",
        };
        format!("{name} cannot listen on {parsed}: {e} ({hint}); choose another with --{name} ADDR")
    })?;
    // The usual queue of 128 overflows when hundreds of clients come at once, and each that is left
    // out tries again only a second later.
    rustix::net::listen(&listener, 4096).map_err(|e| format!("{name}: listen: {e}"))?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    ports.insert(name.to_owned(), port);
    Ok(Some(listener))
}

/// Tries until an address is free, but not longer than `until`.
/// Tries until an address is free, or it is too late.
pub(super) fn patiently<T>(
    until: Nanos,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match attempt() {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && now() < until => {
                std::thread::sleep(BIND_PAUSE);
            }
            done => return done,
        }
    }
}
