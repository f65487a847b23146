//! Who is at the other end of a unix socket (`unix(7)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Most groups of a process that are asked for (`NGROUPS_MAX` is 65536).
const MAX_GROUPS: usize = 65_536;

/// Who connected, as the kernel noted it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Process id; 0 if it is in another namespace.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective and supplementary groups.
    pub groups: Vec<u32>,
}

/// `SO_PEERCRED` and `SO_PEERGROUPS`.
///
/// # Errors
/// Those of `getsockopt(2)`. A kernel without the second (before 4.13) gives the first's group
/// alone.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let fd = socket.as_fd().as_raw_fd();
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let at = std::ptr::from_mut(&mut cred).cast();
    // SAFETY: `at` has room for `len` bytes, and any bytes are a `ucred`.
    let done =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, at, &raw mut len) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut groups = vec![0u32; 64];
    loop {
        let mut len = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        let at = groups.as_mut_ptr().cast();
        // SAFETY: `groups` has room for `len` bytes, and any bytes are group numbers.
        let done = unsafe {
            libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERGROUPS, at, &raw mut len)
        };
        let there = len as usize / size_of::<u32>();
        if done == 0 {
            groups.truncate(there);
            break;
        }
        // ERANGE: the kernel has said how many there are.
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || there > MAX_GROUPS {
            groups.clear();
            break;
        }
        groups.resize(there.max(groups.len() * 2).min(MAX_GROUPS), 0);
    }
    groups.push(cred.gid);
    Ok(Peer { pid: cred.pid, uid: cred.uid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn the_peer_of_our_own_socket_is_this_process() {
        let path = std::env::temp_dir().join(format!("lensd-peer-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let peer = peer(&socket).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(peer.pid.cast_unsigned(), std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer.groups.contains(&rustix::process::getegid().as_raw()));
    }
}
