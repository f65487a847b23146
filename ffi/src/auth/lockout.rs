//! Who has guessed wrong too often waits (SURFACE section 3).
//!
//! Failures count twice: for the address that they come from and for the name that was tried. The
//! first stops one guesser, the second many who share the work. So that many cannot lock a user
//! out of his own server, a name's lock does not hold for addresses from which that user has logged
//! in before; theirs does.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;

/// Failures within the period after which one has to wait.
pub const MAX_FAILURES: u32 = 5;
/// The period.
const PERIOD_MS: u64 = 300_000;
/// Addresses, names, and pairs of them that are remembered.
const MAX_REMEMBERED: usize = 4096;

/// Counts failures.
#[derive(Debug)]
pub struct Lockout {
    limit: u32,
    failures: Recent<Failures>,
    /// Who has logged in from where.
    known: Recent<()>,
    hash: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Failures(u32);

/// What happened lately to whom, by a hash of whom: names of any length take the same room.
#[derive(Debug)]
struct Recent<T>(HashMap<u64, (i64, T)>);

impl<T: Default> Recent<T> {
    fn find(&self, key: u64) -> Option<&(i64, T)> {
        self.0.get(&key)
    }

    /// The entry of a key. The oldest makes room when there is none.
    fn entry(&mut self, key: u64, now_ms: i64) -> &mut (i64, T) {
        if self.0.len() >= MAX_REMEMBERED
            && !self.0.contains_key(&key)
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (at, _))| *at).map(|(k, _)| *k)
        {
            self.0.remove(&oldest);
        }
        self.0.entry(key).or_insert_with(|| (now_ms, T::default()))
    }
}

impl Lockout {
    /// So many failures in five minutes.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            failures: Recent(HashMap::new()),
            known: Recent(HashMap::new()),
            hash: RandomState::new(),
        }
    }

    /// Another number of failures; what was counted stays.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Whether a login as `user` (if that is known yet) from an address must wait, and for how many
    /// seconds.
    pub fn locked(&self, user: Option<&str>, from: IpAddr, now_ms: i64) -> Option<u32> {
        let who = network(from);
        let address = self.wait(self.key(&who), now_ms);
        let name = user
            .filter(|user| self.known.find(self.key(&(*user, who))).is_none())
            .and_then(|user| self.wait(self.key(user), now_ms));
        address.max(name)
    }

    /// A login has failed.
    pub fn failed(&mut self, user: Option<&str>, from: IpAddr, now_ms: i64) {
        let keys = [Some(self.key(&network(from))), user.map(|user| self.key(user))];
        for key in keys.into_iter().flatten() {
            let entry = self.failures.entry(key, now_ms);
            if is_over(entry.0, now_ms) {
                *entry = (now_ms, Failures(0));
            }
            entry.1.0 = entry.1.0.saturating_add(1);
        }
    }

    /// A login has succeeded. Returns whether that is news: no login of this user from there is
    /// remembered.
    pub fn succeeded(&mut self, user: &str, from: IpAddr, now_ms: i64) -> bool {
        let key = self.key(&(user, network(from)));
        let news = self.known.find(key).is_none();
        self.known.entry(key, now_ms).0 = now_ms;
        news
    }

    fn wait(&self, key: u64, now_ms: i64) -> Option<u32> {
        let (since, failures) = self.failures.find(key)?;
        if failures.0 < self.limit || is_over(*since, now_ms) {
            return None;
        }
        let left = PERIOD_MS - now_ms.abs_diff(*since);
        Some(u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX).max(1))
    }

    fn key(&self, of: &(impl Hash + ?Sized)) -> u64 {
        self.hash.hash_one(of)
    }
}

/// Also a time in the future is over: a clock that was set back must lock nobody out for long.
fn is_over(since_ms: i64, now_ms: i64) -> bool {
    now_ms.abs_diff(since_ms) >= PERIOD_MS
}

/// Who stands behind an address: of IPv6 a whole /64, since one host has that many.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_names_are_locked() {
        let mut lockout = Lockout::new(5);
        let (a, b) = (ip("10.0.0.1"), ip("10.0.0.2"));
        for i in 0..5 {
            assert_eq!(lockout.locked(Some("ann"), a, i), None);
            lockout.failed(Some("ann"), a, i);
        }
        assert_eq!(lockout.locked(Some("ann"), a, 1000), Some(299));
        assert_eq!(lockout.locked(Some("bob"), a, 1000), Some(299), "the address");
        assert_eq!(lockout.locked(None, ip("::ffff:10.0.0.1"), 1000), Some(299));
        assert_eq!(lockout.locked(Some("ann"), b, 1000), Some(299), "the name");
        assert_eq!(lockout.locked(Some("bob"), b, 1000), None);
        assert_eq!(lockout.locked(Some("ann"), a, 300_000), None);
        assert_eq!(lockout.locked(Some("ann"), a, -300_000), None, "the clock was set back");
        lockout.failed(Some("ann"), a, 300_000);
        assert_eq!(lockout.locked(Some("ann"), a, 300_001), None, "a new count");
    }

    #[test]
    fn many_cannot_lock_a_user_out_of_where_he_was() {
        let mut lockout = Lockout::new(5);
        let home = ip("10.0.0.1");
        assert!(lockout.succeeded("ann", home, 0));
        assert!(!lockout.succeeded("ann", home, 1));
        for i in 0..5 {
            lockout.failed(Some("ann"), ip(&format!("10.0.1.{i}")), 2);
        }
        assert!(lockout.locked(Some("ann"), ip("10.0.0.9"), 3).is_some());
        assert_eq!(lockout.locked(Some("ann"), home, 3), None);
        for _ in 0..5 {
            lockout.failed(Some("ann"), home, 4);
        }
        assert!(lockout.locked(Some("ann"), home, 5).is_some(), "his own failures count");
    }

    #[test]
    fn the_tables_are_bounded() {
        let mut lockout = Lockout::new(1);
        for i in 0..10_000_u32 {
            let name = format!("user{i}");
            lockout.failed(Some(&name), IpAddr::V4(i.into()), i64::from(i));
            lockout.succeeded(&name, IpAddr::V4(i.into()), i64::from(i));
        }
        assert_eq!(lockout.failures.0.len(), MAX_REMEMBERED);
        assert_eq!(lockout.known.0.len(), MAX_REMEMBERED);
        assert!(lockout.locked(Some("user9999"), ip("1.1.1.1"), 10_000).is_some());
    }
}
