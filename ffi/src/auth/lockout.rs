//! Who has guessed wrong too often waits (SURFACE section 3).
//!
//! Failures count three times: for the address that they come from, for the name that was tried, and
//! for both together. The first stops one guesser, the second many who share the work. So that
//! neither many nor one program with an old password behind the same address can lock a user out
//! of his own server, those two do not hold for him where he has logged in before; the third does.
//!
//! What is counted lies in memory that all planes share and the supervisor keeps: five guesses are
//! five, over RTSP, HTTP, WebSocket and the tap together, and a plane that is started again forgets
//! none. (ONVIF's WS-UsernameToken is slowed down instead, see `control/src/onvif`.) An entry
//! is one word, so that nobody ever meets half of one, and a plane that is killed leaves no lock
//! behind.

#[cfg(not(loom))]
use crate::region::Region;
use crate::ring::Words;
use crate::sync::{AtomicU64, Ordering};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
#[cfg(not(loom))]
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Failures within the period after which one has to wait.
pub const MAX_FAILURES: u32 = 5;
/// The period, in seconds.
const PERIOD: u64 = 300;
/// Addresses and names whose failures are remembered; as many pairs of them that are known.
const MAX_REMEMBERED: usize = 4096;
/// Entries among which one has its place.
const WAYS: usize = 8;
/// Most failures that are counted, and the highest limit.
const MOST: u64 = 0x3ff;
/// Before the entries: two words of a secret, and the limit.
const HEADER: usize = 3;
/// Words of memory that it takes.
pub const LOCKOUT_WORDS: usize = HEADER + 2 * MAX_REMEMBERED;

/// Counts failures.
pub struct Lockout {
    memory: Arc<dyn Words>,
    /// Log-ins that this guard has told of, and when.
    told: HashMap<u64, i64>,
}

/// One word: 30 bits of whose it is, 10 of how many, 24 of since when (UTC seconds, modulo). Zero:
/// there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const fn new(tag: u64, count: u64, now: u64) -> Self {
        let count = if count > MOST { MOST } else { count };
        Self(tag << 34 | count << 24 | now & 0xff_ffff)
    }

    const fn tag(self) -> u64 {
        self.0 >> 34
    }

    const fn count(self) -> u64 {
        self.0 >> 24 & MOST
    }

    /// Seconds between its beginning and now. Of a time in the future, too: a clock that was set
    /// back must lock nobody out for long.
    const fn age(self, now: u64) -> u64 {
        let past = now.wrapping_sub(self.0) & 0xff_ffff;
        let future = self.0.wrapping_sub(now) & 0xff_ffff;
        if past < future { past } else { future }
    }
}

/// Which of the two tables.
#[derive(Debug, Clone, Copy)]
enum Table {
    Failures,
    Known,
}

impl Lockout {
    /// One that no other guard shares.
    pub fn new() -> Self {
        let memory: Vec<AtomicU64> = (0..LOCKOUT_WORDS).map(|_| AtomicU64::new(0)).collect();
        Self::with_memory(Arc::new(memory))
    }

    /// One in memory that others use, too; nothing is counted in memory that is too small. Whoever
    /// comes first makes up the secret under which names are kept, so that nobody can choose names
    /// that push others out.
    pub fn shared(memory: Arc<dyn Words>) -> Self {
        if memory.is_writable() && memory.words().len() >= LOCKOUT_WORDS {
            Self::with_memory(memory)
        } else {
            Self::new()
        }
    }

    /// One in the memory that a plane got from its supervisor, if it did and can be used.
    #[cfg(not(loom))]
    pub fn received(memory: Option<OwnedFd>) -> Self {
        let memory = memory.and_then(|fd| Region::accept(fd).ok());
        memory.map_or_else(Self::new, |memory| Self::shared(Arc::new(memory)))
    }

    fn with_memory(memory: Arc<dyn Words>) -> Self {
        for word in &memory.words()[..2] {
            // The standard library's keys are the system's random numbers; its hash of nothing is
            // one of them, as far as anybody can tell.
            let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) | 1;
            let _ = word.compare_exchange(0, random, Ordering::Relaxed, Ordering::Relaxed);
        }
        Self { memory, told: HashMap::new() }
    }

    /// The same memory, for another guard.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { memory: Arc::clone(&self.memory), told: HashMap::new() }
    }

    /// Another number of failures in five minutes, for all who share it; what was counted stays.
    pub fn set_limit(&self, limit: u32) {
        self.memory.words()[2].store(u64::from(limit).clamp(1, MOST), Ordering::Relaxed);
    }

    fn limit(&self) -> u64 {
        match self.memory.words()[2].load(Ordering::Relaxed) {
            0 => u64::from(MAX_FAILURES),
            limit => limit,
        }
    }

    /// Whether a login as `user` from an address must wait, and for how many seconds.
    pub fn locked(&self, user: &str, from: IpAddr, now_ms: i64) -> Option<u32> {
        let ([address, name, pair], now) = (self.keys(user, from), secs(now_ms));
        let own = self.wait(pair, now);
        if self.entries(Table::Known, pair).any(|e| Entry(load(e)).tag() == tag(pair)) {
            return own;
        }
        own.max(self.wait(address, now)).max(self.wait(name, now))
    }

    /// A login has failed.
    pub fn failed(&self, user: &str, from: IpAddr, now_ms: i64) {
        for key in self.keys(user, from) {
            self.count(Table::Failures, key, secs(now_ms));
        }
    }

    /// Those of an address, of a name, and of both.
    fn keys(&self, user: &str, from: IpAddr) -> [u64; 3] {
        let (who, user) = (octets(network(from)), user.as_bytes());
        [self.key(&[&who]), self.key(&[b"name", user]), self.key(&[&who, user])]
    }

    /// A login has succeeded. Returns whether that is news: this guard has not told of a login of
    /// this user from there yet.
    pub fn succeeded(&mut self, user: &str, from: IpAddr, now_ms: i64) -> bool {
        let [_, _, key] = self.keys(user, from);
        self.count(Table::Known, key, secs(now_ms));
        if self.told.len() >= MAX_REMEMBERED
            && !self.told.contains_key(&key)
            && let Some(oldest) = self.told.iter().min_by_key(|(_, at)| **at).map(|(k, _)| *k)
        {
            self.told.remove(&oldest);
        }
        self.told.insert(key, now_ms).is_none()
    }

    fn wait(&self, key: u64, now: u64) -> Option<u32> {
        let entries = self.entries(Table::Failures, key).map(|e| Entry(load(e)));
        let mine = entries.filter(|e| e.tag() == tag(key) && e.age(now) < PERIOD);
        // Two processes may have made an entry each at the same moment.
        let (count, age) =
            mine.fold((0, PERIOD), |(n, age), e| (n + e.count(), age.min(e.age(now))));
        (count >= self.limit()).then(|| u32::try_from(PERIOD - age).unwrap_or(u32::MAX).max(1))
    }

    /// One more, since now if it is the first within the period.
    fn count(&self, table: Table, key: u64, now: u64) {
        // Another process wins the place a few times at most.
        for _ in 0..64 {
            let mut place: Option<((u8, u64, u64), &AtomicU64, u64)> = None;
            for word in self.entries(table, key) {
                let old = load(word);
                let entry = Entry(old);
                // Room is made by what is over, then by whoever has failed the least often, then
                // by the oldest; who has an entry takes that.
                let worth = match entry {
                    Entry(0) => (1, 0, 0),
                    e if e.tag() == tag(key) => (0, 0, 0),
                    e if matches!(table, Table::Failures) && e.age(now) < PERIOD => {
                        (3, e.count(), u64::MAX - e.age(now))
                    }
                    e => (2, 0, u64::MAX - e.age(now)),
                };
                if place.is_none_or(|(best, ..)| worth < best) {
                    place = Some((worth, word, old));
                }
            }
            let Some((_, word, old)) = place else { return };
            let entry = Entry(old);
            let new = match table {
                Table::Failures if entry.tag() == tag(key) && entry.age(now) < PERIOD => {
                    // Whoever has reached the limit waits from then on.
                    let reached = entry.count() + 1 == self.limit();
                    Entry::new(tag(key), entry.count() + 1, if reached { now } else { entry.0 })
                }
                _ => Entry::new(tag(key), 1, now),
            };
            if word.compare_exchange(old, new.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Where an entry of a key may be.
    fn entries(&self, table: Table, key: u64) -> std::slice::Iter<'_, AtomicU64> {
        let sets = (MAX_REMEMBERED / WAYS) as u64;
        let set = usize::try_from(key % sets).unwrap_or(0);
        let table = match table {
            Table::Failures => 0,
            Table::Known => MAX_REMEMBERED,
        };
        let first = HEADER + table + set * WAYS;
        self.memory.words()[first..first + WAYS].iter()
    }

    /// Whom an entry is about, in a way that nobody outside can foresee.
    fn key(&self, of: &[&[u8]]) -> u64 {
        let mut hash = Sha256::new();
        for word in &self.memory.words()[..2] {
            hash.update(load(word).to_le_bytes());
        }
        for part in of {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lockout").field("limit", &self.limit()).finish_non_exhaustive()
    }
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

/// The part of a key that an entry holds; never zero.
const fn tag(key: u64) -> u64 {
    key >> 34 | 1
}

const fn secs(now_ms: i64) -> u64 {
    now_ms.div_euclid(1000).cast_unsigned()
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Who stands behind an address: of IPv6 a whole /64, since one host has that many.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_names_are_locked() {
        let lockout = Lockout::new();
        let (a, b) = (ip("10.0.0.1"), ip("10.0.0.2"));
        for i in 0..5 {
            assert_eq!(lockout.locked("ann", a, i), None);
            lockout.failed("ann", a, i);
        }
        assert_eq!(lockout.locked("ann", a, 1000), Some(299));
        assert_eq!(lockout.locked("bob", a, 1000), Some(299), "the address");
        assert_eq!(lockout.locked("bob", ip("::ffff:10.0.0.1"), 1000), Some(299));
        assert_eq!(lockout.locked("ann", b, 1000), Some(299), "the name");
        assert_eq!(lockout.locked("bob", b, 1000), None);
        assert_eq!(lockout.locked("ann", a, 300_000), None);
        assert_eq!(lockout.locked("ann", a, -300_000), None, "the clock was set back");
        lockout.failed("ann", a, 300_000);
        assert_eq!(lockout.locked("ann", a, 300_001), None, "a new count");
    }

    #[test]
    fn many_cannot_lock_a_user_out_of_where_he_was() {
        let mut lockout = Lockout::new();
        let home = ip("10.0.0.1");
        assert!(lockout.succeeded("ann", home, 0));
        assert!(!lockout.succeeded("ann", home, 1));
        for i in 0..5 {
            lockout.failed("ann", ip(&format!("10.0.1.{i}")), 2);
        }
        assert!(lockout.locked("ann", ip("10.0.0.9"), 3).is_some());
        assert_eq!(lockout.locked("ann", home, 3), None);
        for _ in 0..5 {
            lockout.failed("ann", home, 4);
        }
        assert!(lockout.locked("ann", home, 5).is_some(), "his own failures count");
    }

    #[test]
    fn an_old_password_of_one_locks_no_other_out_of_where_he_was() {
        let mut lockout = Lockout::new();
        let office = ip("10.0.0.1");
        lockout.succeeded("ann", office, 0);
        (0..5).for_each(|_| lockout.failed("recorder", office, 0));
        assert_eq!(lockout.locked("ann", office, 0), None);
        assert!(lockout.locked("recorder", office, 0).is_some());
        assert!(lockout.locked("bob", office, 0).is_some(), "nobody knows him here");
    }

    #[test]
    fn a_lock_lasts_from_the_failure_that_was_too_many() {
        let lockout = Lockout::new();
        let a = ip("10.0.0.1");
        lockout.failed("ann", a, 0);
        (0..4).for_each(|_| lockout.failed("ann", a, 299_000));
        assert_eq!(lockout.locked("ann", a, 300_000), Some(299));
        assert_eq!(lockout.locked("ann", a, 599_000), None);
    }

    #[test]
    fn what_one_guard_counts_holds_for_all() {
        let memory: Arc<Vec<AtomicU64>> =
            Arc::new((0..LOCKOUT_WORDS).map(|_| AtomicU64::new(0)).collect());
        let mut one = Lockout::shared(Arc::clone(&memory) as Arc<dyn Words>);
        let mut other = Lockout::shared(memory);
        let (a, b) = (ip("10.0.0.1"), ip("10.0.0.2"));
        other.set_limit(4);
        one.failed("ann", a, 0);
        one.another().failed("ann", a, 0);
        other.failed("ann", a, 0);
        assert_eq!(one.locked("ann", a, 1000), None);
        other.failed("ann", a, 0);
        for guard in [&one, &other] {
            assert_eq!(guard.locked("ann", a, 1000), Some(299));
            assert_eq!(guard.locked("ann", b, 1000), Some(299));
        }
        assert!(one.succeeded("ann", b, 0), "news for one");
        assert_eq!(other.locked("ann", b, 1000), None, "and known to the other");
        assert!(other.succeeded("ann", b, 0), "which tells of its own");
    }

    #[test]
    fn guards_that_count_at_the_same_time_lose_nothing() {
        let lockout = Lockout::new();
        let a = ip("10.0.0.1");
        let begin = || {
            let guard = lockout.another();
            let fail = move || (0..40).for_each(|_| guard.failed("eve", a, 0));
            std::thread::Builder::new().name("guard".to_owned()).spawn(fail).unwrap()
        };
        let threads: Vec<_> = (0..4).map(|_| begin()).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        lockout.set_limit(160);
        assert!(lockout.locked("bob", a, 0).is_some());
        lockout.set_limit(161);
        assert_eq!(lockout.locked("bob", a, 0), None);
    }

    #[test]
    fn memory_that_does_not_fit_is_not_used() {
        let small: Arc<Vec<AtomicU64>> = Arc::new(vec![AtomicU64::new(0)]);
        let lockout = Lockout::shared(Arc::clone(&small) as Arc<dyn Words>);
        lockout.failed("eve", ip("10.0.0.1"), 0);
        assert_eq!(load(&small[0]), 0);
    }

    #[test]
    fn the_tables_are_bounded_and_who_is_locked_stays_locked() {
        let mut lockout = Lockout::new();
        let guesser = ip("192.0.2.1");
        (0..5).for_each(|_| lockout.failed("root", guesser, 0));
        for i in 0..10_000_u32 {
            let name = format!("user{i}");
            lockout.failed(&name, IpAddr::V4(i.into()), i64::from(i));
            lockout.succeeded(&name, IpAddr::V4(i.into()), i64::from(i));
        }
        assert!(lockout.told.len() <= MAX_REMEMBERED);
        assert!(lockout.locked("bob", guesser, 10_000).is_some());
        assert!(lockout.locked("root", ip("1.1.1.1"), 10_000).is_some());
        lockout.set_limit(1);
        assert!(lockout.locked("user9999", ip("1.1.1.1"), 10_000).is_some());
    }
}
