//! Who may do what: one verdict for every protocol of both planes.
//!
//! Three layers: the arithmetic of each scheme ([`digest`]), what a request brought
//! ([`Credentials`]), and the one decision ([`Guard::verdict`]). RTSP in the engine and HTTP in the
//! control plane ask the same function over the same table of users in shared memory.

pub mod digest;
mod users;
mod verdict;

pub use users::{Permission, REALM, Role, Token, User, Users};
pub use verdict::{Access, Credentials, Guard, Request, Verdict};
