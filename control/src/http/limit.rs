//! How often one address may do something, in tables that cannot grow without bound.

use lensd_ffi::auth::network;
use lensd_ffi::time::Nanos;
use std::collections::HashMap;
use std::net::IpAddr;

/// Most addresses that a table remembers.
const MAX_ADDRESSES: usize = 4096;

/// Which limit holds for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// None.
    Free,
    /// API calls.
    Api,
    /// Still pictures, which are API calls too.
    Still,
}

/// Counts events per address in windows of a fixed length.
#[derive(Debug)]
pub struct Limiter {
    limit: u32,
    period: Nanos,
    windows: HashMap<IpAddr, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    start: Nanos,
    count: u32,
}

/// What a limiter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Events per period.
    pub limit: u32,
    /// Events that are left in this one.
    pub remaining: u32,
    /// Seconds to the next period, at least 1.
    pub reset: u32,
    /// Whether the event is within the limit.
    pub within: bool,
}

impl Limiter {
    /// So many events per period.
    pub fn new(limit: u32, period: Nanos) -> Self {
        Self { limit, period, windows: HashMap::new() }
    }

    /// Another limit, from now on.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Counts an event, if it is within the limit.
    pub fn count(&mut self, address: IpAddr, now: Nanos) -> Rate {
        let rate = self.look(address, now);
        if rate.within {
            let window = self.window(address, now);
            window.count += 1;
        }
        Rate { remaining: rate.remaining.saturating_sub(1), ..rate }
    }

    /// Whether another event would be within the limit.
    pub fn look(&self, address: IpAddr, now: Nanos) -> Rate {
        let window =
            self.windows.get(&network(address)).filter(|w| now.since(w.start) < self.period);
        let count = window.map_or(0, |w| w.count);
        let left = window.map_or(self.period, |w| w.start.plus(self.period).since(now));
        Rate {
            limit: self.limit,
            remaining: self.limit.saturating_sub(count),
            reset: u32::try_from(left.0.div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1),
            within: count < self.limit,
        }
    }

    fn window(&mut self, address: IpAddr, now: Nanos) -> &mut Window {
        let key = network(address);
        if self.windows.len() >= MAX_ADDRESSES && !self.windows.contains_key(&key) {
            let period = self.period;
            self.windows.retain(|_, w| now.since(w.start) < period);
            // Full of live windows: somebody has very many addresses. The oldest is forgotten.
            if self.windows.len() >= MAX_ADDRESSES
                && let Some(oldest) =
                    self.windows.iter().min_by_key(|(_, w)| w.start).map(|(k, _)| *k)
            {
                self.windows.remove(&oldest);
            }
        }
        let window = self.windows.entry(key).or_insert(Window { start: now, count: 0 });
        if now.since(window.start) >= self.period {
            *window = Window { start: now, count: 0 };
        }
        window
    }
}

/// What a wrong login costs whoever sends it: time. The first few cost nothing, for people mistype;
/// then each answer comes a second after the one before, and when too many wait nothing is looked
/// at for a moment. Nobody is locked out by it for longer than he goes on.
#[derive(Debug, Default)]
pub struct Brake(HashMap<IpAddr, Nanos>);

/// What one failure costs.
const COST: Nanos = Nanos::from_secs(1);
/// How much of it is free.
const FREE: Nanos = Nanos::from_secs(10);
/// The longest time that an answer is held back.
const LONGEST: Nanos = Nanos::from_secs(10);

impl Brake {
    /// Seconds to wait before another login is looked at; none: now.
    pub fn wait(&self, address: IpAddr, now: Nanos) -> Option<u32> {
        let over = self.delay(address, now).since(LONGEST);
        let secs = u32::try_from(over.0.div_ceil(1_000_000_000)).unwrap_or(u32::MAX);
        (secs > 0).then_some(secs)
    }

    /// A login has failed: how long its answer is to be held back.
    pub fn fail(&mut self, address: IpAddr, now: Nanos) -> Nanos {
        let key = network(address);
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&key) {
            self.0.retain(|_, until| *until > now);
            if self.0.len() >= MAX_ADDRESSES
                && let Some(oldest) = self.0.iter().min_by_key(|(_, u)| **u).map(|(k, _)| *k)
            {
                self.0.remove(&oldest);
            }
        }
        let until = self.0.entry(key).or_insert(now);
        *until = (*until).max(now).plus(COST);
        self.delay(address, now)
    }

    fn delay(&self, address: IpAddr, now: Nanos) -> Nanos {
        let until = self.0.get(&network(address)).copied().unwrap_or_default();
        until.since(now).since(FREE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_per_window_and_address() {
        let mut limiter = Limiter::new(2, Nanos::from_secs(60));
        let (a, b) = ("10.0.0.1".parse().unwrap(), "::ffff:10.0.0.1".parse().unwrap());
        let at = Nanos::from_secs;
        assert_eq!(limiter.count(a, at(0)).remaining, 1);
        assert!(limiter.count(b, at(30)).within, "the same host");
        let over = limiter.count(a, at(50));
        assert_eq!((over.within, over.reset), (false, 10));
        assert!(limiter.count("10.0.0.2".parse().unwrap(), at(50)).within);
        assert!(limiter.count(a, at(60)).within);
    }

    #[test]
    fn a_network_of_many_addresses_is_one() {
        let mut limiter = Limiter::new(1, Nanos::from_secs(60));
        assert!(limiter.count("2001:db8::1".parse().unwrap(), Nanos(0)).within);
        assert!(!limiter.count("2001:db8::2".parse().unwrap(), Nanos(0)).within);
        assert!(limiter.count("2001:db8:0:1::1".parse().unwrap(), Nanos(0)).within);
    }

    #[test]
    fn failures_cost_time_and_time_heals() {
        let (mut brake, at) = (Brake::default(), Nanos::from_secs);
        let (a, b) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert!((0..10).all(|_| brake.fail(a, at(5)) == Nanos(0)));
        assert_eq!((brake.fail(a, at(5)), brake.wait(a, at(5))), (at(1), None));
        for _ in 0..10 {
            brake.fail(a, at(5));
        }
        assert_eq!((brake.wait(a, at(5)), brake.wait(b, at(5))), (Some(1), None));
        assert_eq!((brake.wait(a, at(6)), brake.fail(a, at(60))), (None, Nanos(0)));
        for i in 0..20_000_u32 {
            brake.fail(IpAddr::V4(i.into()), Nanos(u64::from(i)));
        }
        assert_eq!(brake.0.len(), MAX_ADDRESSES);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut limiter = Limiter::new(1, Nanos::from_secs(60));
        for i in 0..20_000_u32 {
            limiter.count(IpAddr::V4(i.into()), Nanos(u64::from(i)));
        }
        assert_eq!(limiter.windows.len(), MAX_ADDRESSES);
    }
}
