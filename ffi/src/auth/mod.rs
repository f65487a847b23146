//! Who may do what: one verdict for every protocol of both planes.
//!
//! Three layers: the arithmetic of each scheme ([`digest`]), what a request brought
//! ([`Credentials`]), and the one decision ([`Guard::verdict`]). RTSP in the engine and HTTP in the
//! control plane ask the same function over the same table of users and the same count of failures, both in shared memory.

pub mod digest;
mod lockout;
mod rights;
mod users;
mod verdict;

pub use lockout::{LOCKOUT_WORDS, Lockout, MAX_FAILURES, network};
pub use rights::{Access, Permission, Rights, Role};
pub use users::{Login, REALM, Token, User, Users};
pub use verdict::{Credentials, Guard, Request, Verdict};
