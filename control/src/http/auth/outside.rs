//! Log-ins by the rules of another protocol over HTTP (ONVIF): who asks is told apart from what he
//! may do, and the answers are that protocol's own.

use super::{At, Door, Login, News, Request, same_origin};
use crate::http::respond::Fault;
use lensd_ffi::auth::{Access, Credentials, Permission, Verdict};
use std::net::IpAddr;

impl Door {
    /// Who sends a request, by what it brings besides a cookie; a guest without anything. Names and
    /// passwords in the clear are taken only where nobody can read along (`secure`).
    ///
    /// # Errors
    /// `Login` or `Locked`.
    pub fn prove_field(
        &mut self,
        request: &Request,
        secure: bool,
        from: IpAddr,
        at: At,
    ) -> Result<Login, Verdict> {
        let credentials = super::credentials(request);
        if matches!(credentials, Credentials::Basic { .. }) && !secure {
            return Err(Verdict::Login { stale: false, failed: false });
        }
        // It is asked later what he may do.
        let access = Access::read(Permission::System);
        self.prove(&credentials, request, access, from, at)
    }

    /// The same for somebody whose password was checked by the protocol itself. None: nobody of
    /// that name, or not his password.
    ///
    /// # Errors
    /// `Locked`, whether it was right or not, or `Login`.
    pub fn prove_name(
        &mut self,
        name: &str,
        right: bool,
        from: IpAddr,
        at: At,
    ) -> Result<Login, Verdict> {
        let now_ms = at.utc.millis();
        if let Some(retry_after) = self.guard.lockout().locked(name, from, now_ms) {
            return Err(Verdict::Locked { retry_after });
        }
        let Some(login) = self.users().login(name).filter(|_| right) else {
            tracing::warn!(%from, "login failed");
            self.tell(News { success: false, user: name.to_owned(), from });
            return Err(Verdict::Login { stale: false, failed: true });
        };
        // Each request is a log-in of its own; that of a user from another place is news.
        if self.guard.lockout().succeeded(name, from, now_ms) {
            self.tell(News { success: true, user: name.to_owned(), from });
        }
        Ok(login)
    }

    /// The challenges of Digest, the oldest algorithm first: some clients read the first one only.
    pub fn digest_challenges(&self, stale: bool, at: At) -> Vec<String> {
        let all = self.guard.challenges(stale, at.utc.millis());
        let mut digests: Vec<String> =
            all.into_iter().filter(|c| c.starts_with("Digest ")).collect();
        digests.reverse();
        digests
    }

    /// Refuses what a page of another site lets a browser send.
    ///
    /// # Errors
    /// 403.
    pub fn check_origin(request: &Request) -> Result<(), Fault> {
        same_origin(request)
    }
}
