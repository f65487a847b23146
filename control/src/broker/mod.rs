//! Events for who has subscribed to them (WS-BaseNotification 1.3, ONVIF Core 9), without a socket:
//! what holds now ([`Broker::publish`]), who wants to know of what ([`Filter`]), and what each has
//! not been told yet.
//!
//! Everything is bounded: subscriptions in all and of each user, messages that wait for each, the
//! time that each lasts. Who does not fetch loses the oldest messages, and is told anew what holds
//! then. `W` is the world of the loop, as in [`crate::work`].

mod content;
mod filter;
mod message;
mod topic;

pub use filter::fuzz_filter;
pub(crate) use filter::{CONCRETE, CONCRETE_SET, Filter, ITEM_FILTER, Wrong};
pub(crate) use message::{Message, Operation};
#[cfg(test)]
use topic::find;
pub(crate) use topic::{Item, TOPICS, Topic};

use crate::engine::ConnKey;
use crate::http::At;
use lensd_ffi::auth::{Login, Users};
use lensd_ffi::time::Nanos;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

/// Most pull points, and most subscriptions that are pushed to.
pub(crate) const MAX_PULL: usize = 16;
pub(crate) const MAX_PUSH: usize = 8;
/// Most of either kind that one user has and that were never fetched: some clients leave one
/// behind whenever they connect.
const MAX_LEFT: usize = 4;
/// Most of either kind that one user has.
const MAX_USER: usize = 12;
/// Messages that wait for one subscriber.
const MAX_WAITING: usize = 256;
/// Most properties: topics times sources.
const MAX_PROPERTIES: usize = 1024;
/// How long an address that does not take messages is left alone.
const PUSH_AGAIN: Nanos = Nanos::from_secs(5);
/// Failures in a row after which nothing is pushed any more.
const MAX_FAILURES: u32 = 5;
/// Messages that are pushed at a time.
const MAX_PUSHED: usize = 32;

/// What configurations say, by their tokens: a kind, and words that only compare.
pub(crate) type Configurations = BTreeMap<String, (&'static str, String)>;

/// How far what happens has been followed.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    /// The last event of the log that was told; none before the first look.
    pub(crate) seen: Option<u64>,
    /// The states that were told.
    pub(crate) states: Option<States>,
    /// The configurations that clients know; none while there are no subscriptions.
    pub(crate) configurations: Option<Configurations>,
    /// When states are looked at next.
    pub(crate) next: Nanos,
}

/// States of what events are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct States {
    /// Video sources, and whether they deliver.
    pub(crate) cameras: Vec<(String, bool)>,
    /// Recordings, and whether they run.
    pub(crate) recordings: Vec<(String, bool)>,
    /// The state of storage.
    pub(crate) storage: String,
}

/// What a parked pull gets.
#[derive(Debug)]
pub(crate) enum Woken {
    /// Messages, or none when its time is over; and until when the subscription lasts.
    Messages(Vec<Arc<Message>>, Nanos),
    /// The subscription has ended.
    Gone,
    /// Another pull of the same subscription has come.
    Replaced,
}

/// Answers a parked pull.
pub(crate) type Wake<W> = Box<dyn FnOnce(&mut W, Woken, At)>;

/// Where messages are pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The address that was resolved and allowed.
    pub(crate) address: SocketAddr,
    /// As the subscriber wrote it.
    pub(crate) url: String,
}

/// How a subscriber is told.
enum Way<W> {
    /// He fetches; a pull that waits.
    Pull { waits: Option<Pull<W>>, fetched: bool },
    /// He is told.
    Push { target: Target, under_way: bool, failures: u32, again: Nanos },
}

struct Pull<W> {
    key: ConnKey,
    deadline: Nanos,
    limit: usize,
    wake: Wake<W>,
}

struct Subscription<W> {
    number: u64,
    owner: Login,
    filter: Filter,
    way: Way<W>,
    waiting: VecDeque<Arc<Message>>,
    /// Messages were lost: what holds is told anew when there is room.
    lost: bool,
    until: Nanos,
    /// How long it lasts from each sign of life.
    span: Nanos,
}

/// See the module.
pub(crate) struct Broker<W> {
    properties: BTreeMap<(&'static str, Vec<String>), Arc<Message>>,
    subscriptions: BTreeMap<String, Subscription<W>>,
    number: u64,
    /// Pulls that have ended by what others did.
    ended: Vec<(Wake<W>, Woken)>,
}

impl<W> Default for Broker<W> {
    fn default() -> Self {
        Self {
            properties: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            number: 0,
            ended: Vec::new(),
        }
    }
}

/// How a new subscriber wants to be told.
pub(crate) enum Wanted {
    /// He fetches.
    Pull,
    /// He is told.
    Push(Target),
}

impl<W> Broker<W> {
    /// Something happened, or holds now. Of a property only what is new is told.
    pub(crate) fn publish(&mut self, mut message: Message) {
        if message.topic.property {
            let key = (message.topic.name, message.source.clone());
            let before = self.properties.get(&key);
            if before.is_some_and(|b| b.data == message.data) {
                return;
            }
            message.operation = match before {
                Some(_) => Operation::Changed,
                None if self.properties.len() >= MAX_PROPERTIES => return,
                None => Operation::Initialized,
            };
            let held = Message { operation: Operation::Initialized, ..message.clone() };
            self.properties.insert(key, Arc::new(held));
        }
        let message = Arc::new(message);
        for subscription in self.subscriptions.values_mut() {
            subscription.offer(&message);
        }
    }

    /// Properties whose source has gone are told so, and forgotten.
    pub(crate) fn retain(&mut self, utc_ms: i64, keep: impl Fn(&Message) -> bool) {
        let gone: Vec<_> =
            self.properties.iter().filter(|(_, m)| !keep(m)).map(|(k, _)| k.clone()).collect();
        for key in gone {
            let Some(held) = self.properties.remove(&key) else { continue };
            let message =
                Arc::new(Message { operation: Operation::Deleted, utc_ms, ..(*held).clone() });
            for subscription in self.subscriptions.values_mut() {
                subscription.offer(&message);
            }
        }
    }

    /// Begins a subscription: its name. None: there is no room, and nobody who could give way.
    pub(crate) fn subscribe(
        &mut self,
        id: String,
        owner: Login,
        filter: Filter,
        wanted: Wanted,
        span: Nanos,
        now: Nanos,
    ) -> bool {
        let pushes = matches!(wanted, Wanted::Push(_));
        if let Wanted::Push(new) = &wanted {
            // Who subscribes once more for the same address has forgotten the first time.
            let same = |s: &Subscription<W>| {
                let to_it = matches!(&s.way, Way::Push { target, .. } if target.url == new.url);
                to_it && s.owner.user == owner.user
            };
            self.subscriptions.retain(|_, s| !same(s));
        }
        if !self.make_room(&owner.user, pushes) {
            return false;
        }
        self.number += 1;
        let way = match wanted {
            Wanted::Pull => Way::Pull { waits: None, fetched: false },
            Wanted::Push(target) => {
                Way::Push { target, under_way: false, failures: 0, again: Nanos(0) }
            }
        };
        let mut subscription = Subscription {
            number: self.number,
            owner,
            filter,
            way,
            waiting: VecDeque::new(),
            lost: false,
            until: now.plus(span),
            span,
        };
        subscription.tell_all(&self.properties);
        self.subscriptions.insert(id, subscription);
        true
    }

    /// Room for one more of a kind, at the cost of one that was never fetched.
    fn make_room(&mut self, user: &str, pushes: bool) -> bool {
        let most = if pushes { MAX_PUSH } else { MAX_PULL };
        let same = |s: &&Subscription<W>| matches!(s.way, Way::Push { .. }) == pushes;
        let all = self.subscriptions.values().filter(same).count();
        let own = self.subscriptions.values().filter(same).filter(|s| s.owner.user == user);
        let (own, left) =
            own.fold((0, 0), |(all, left), s| (all + 1, left + usize::from(!s.was_fetched())));
        if all < most && own < MAX_USER && left < MAX_LEFT {
            return true;
        }
        // One's own first: nobody takes another's place who leaves his own behind.
        let oldest = self
            .subscriptions
            .iter()
            .filter(|(_, s)| matches!(s.way, Way::Push { .. }) == pushes && !s.was_fetched())
            .min_by_key(|(_, s)| (s.owner.user != user, s.number))
            .filter(|(_, s)| all >= most || s.owner.user == user)
            .map(|(id, _)| id.clone());
        oldest.is_some_and(|id| self.end(&id))
    }

    /// Whether somebody may do something with a subscription: whose it is, and administrators.
    pub(crate) fn is_of(&self, id: &str, who: &Login, administers: bool) -> bool {
        let found = self.subscriptions.get(id);
        found.is_some_and(|s| administers || s.owner.user == who.user)
    }

    /// What holds is told anew. False: there is no such subscription.
    pub(crate) fn synchronize(&mut self, id: &str) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return false };
        subscription.tell_all(&self.properties);
        true
    }

    /// Lasts so much longer from now on. False: there is no such subscription.
    pub(crate) fn renew(&mut self, id: &str, span: Nanos, now: Nanos) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return false };
        subscription.span = span;
        subscription.until = now.plus(span);
        true
    }

    /// Ends a subscription. False: there is none.
    pub(crate) fn end(&mut self, id: &str) -> bool {
        let Some(subscription) = self.subscriptions.remove(id) else { return false };
        if let Way::Pull { waits: Some(pull), .. } = subscription.way {
            self.ended.push((pull.wake, Woken::Gone));
        }
        true
    }

    /// Fetches: `wake` is called when there is something, or at the deadline. False: there is no
    /// such pull point.
    pub(crate) fn pull(
        &mut self,
        id: &str,
        key: ConnKey,
        limit: usize,
        deadline: Nanos,
        now: Nanos,
        wake: Wake<W>,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return false };
        let Way::Pull { waits, fetched } = &mut subscription.way else { return false };
        *fetched = true;
        if let Some(before) = waits.replace(Pull { key, deadline, limit, wake }) {
            self.ended.push((before.wake, Woken::Replaced));
        }
        // It lasts as long as somebody waits for it, and its span beyond.
        subscription.until = subscription.until.max(deadline.max(now).plus(subscription.span));
        true
    }

    /// A connection is gone: what it waited for stays for the next one.
    pub(crate) fn forget(&mut self, key: ConnKey) {
        for subscription in self.subscriptions.values_mut() {
            if let Way::Pull { waits, .. } = &mut subscription.way {
                waits.take_if(|pull| pull.key == key);
            }
        }
    }

    /// A client sends no more while it waits. Mostly that means that it has gone, which shows only
    /// when it is written to: it gets no messages, which stay for the next one, and at once.
    pub(crate) fn conclude(&mut self, key: ConnKey) {
        for subscription in self.subscriptions.values_mut() {
            if let Way::Pull { waits, .. } = &mut subscription.way
                && let Some(pull) = waits.take_if(|pull| pull.key == key)
            {
                self.ended.push((pull.wake, Woken::Messages(Vec::new(), subscription.until)));
            }
        }
    }

    /// Pulls that are to be answered now. **Call each with what it gets.**
    pub(crate) fn ready(&mut self, now: Nanos) -> Vec<(Wake<W>, Woken)> {
        let mut ready = std::mem::take(&mut self.ended);
        for subscription in self.subscriptions.values_mut() {
            let Way::Pull { waits, .. } = &mut subscription.way else { continue };
            let due = |p: &Pull<W>| !subscription.waiting.is_empty() || p.deadline <= now;
            if !waits.as_ref().is_some_and(due) {
                continue;
            }
            let Some(pull) = waits.take() else { continue };
            let count = subscription.waiting.len().min(pull.limit);
            let messages = subscription.waiting.drain(..count).collect();
            let until = subscription.until.max(now.plus(subscription.span));
            subscription.until = until;
            subscription.catch_up(&self.properties);
            ready.push((pull.wake, Woken::Messages(messages, until)));
        }
        ready
    }

    /// What is to be pushed now, and whose it is. **[`Broker::pushed`] must follow.**
    pub(crate) fn pushes(&mut self, now: Nanos) -> Vec<(String, Target, Vec<Arc<Message>>)> {
        let mut out = Vec::new();
        for (id, subscription) in &mut self.subscriptions {
            let Way::Push { target, under_way, again, .. } = &mut subscription.way else {
                continue;
            };
            if *under_way || *again > now || subscription.waiting.is_empty() {
                continue;
            }
            *under_way = true;
            let count = subscription.waiting.len().min(MAX_PUSHED);
            let messages = subscription.waiting.iter().take(count).cloned().collect();
            out.push((id.clone(), target.clone(), messages));
        }
        out
    }

    /// So many messages of a subscription were pushed, or it failed.
    pub(crate) fn pushed(&mut self, id: &str, taken: Option<usize>, now: Nanos) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let Way::Push { under_way, failures, again, .. } = &mut subscription.way else { return };
        *under_way = false;
        match taken {
            Some(count) => {
                *failures = 0;
                let count = count.min(subscription.waiting.len());
                subscription.waiting.drain(..count);
                subscription.catch_up(&self.properties);
            }
            None => {
                *failures += 1;
                *again = now.plus(PUSH_AGAIN);
                if *failures >= MAX_FAILURES {
                    tracing::warn!("a subscriber does not take events: its subscription ends");
                    self.end(id);
                }
            }
        }
    }

    /// Ends subscriptions whose time is over.
    pub(crate) fn expire(&mut self, now: Nanos) {
        let over: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| s.until <= now)
            .map(|e| e.0.clone())
            .collect();
        over.iter().for_each(|id| _ = self.end(id));
    }

    /// Ends subscriptions whose login stands no more.
    pub(crate) fn check_logins(&mut self, users: &Users, now_ms: i64) {
        let held = |s: &Subscription<W>| users.holds(&s.owner, now_ms);
        let over: Vec<String> =
            self.subscriptions.iter().filter(|(_, s)| !held(s)).map(|e| e.0.clone()).collect();
        over.iter().for_each(|id| _ = self.end(id));
    }

    /// Whether it is known what holds of a source.
    pub(crate) fn holds(&self, topic: &'static str, source: &str) -> bool {
        self.properties.contains_key(&(topic, vec![source.to_owned()]))
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions.len()
    }
}

impl<W> Subscription<W> {
    fn was_fetched(&self) -> bool {
        match &self.way {
            Way::Pull { fetched, .. } => *fetched,
            Way::Push { failures, .. } => *failures == 0,
        }
    }

    fn offer(&mut self, message: &Arc<Message>) {
        if !self.filter.matches(message) {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
            self.lost = true;
        }
        self.waiting.push_back(Arc::clone(message));
    }

    fn tell_all(&mut self, properties: &BTreeMap<(&'static str, Vec<String>), Arc<Message>>) {
        for message in properties.values() {
            self.offer(message);
        }
    }

    /// What holds, after messages were lost and others fetched.
    fn catch_up(&mut self, properties: &BTreeMap<(&'static str, Vec<String>), Arc<Message>>) {
        if self.lost && self.waiting.is_empty() {
            self.lost = false;
            self.tell_all(properties);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Vec<String>;

    const NOW: Nanos = Nanos::from_secs(1000);
    const SPAN: Nanos = Nanos::from_secs(60);

    fn key(index: usize) -> ConnKey {
        ConnKey { index, generation: 1 }
    }

    fn motion(state: bool) -> Message {
        Message::new(
            "tns1:VideoSource/MotionAlarm",
            5,
            vec!["VideoSource_1".into()],
            vec![state.to_string()],
        )
    }

    fn who(user: &str) -> Login {
        Login { user: user.to_owned(), ..Login::default() }
    }

    fn pull_point(broker: &mut Broker<Log>, id: &str, user: &str) -> bool {
        broker.subscribe(id.to_owned(), who(user), Filter::default(), Wanted::Pull, SPAN, NOW)
    }

    fn wake(name: &'static str) -> Wake<Log> {
        Box::new(move |log: &mut Log, woken, _| {
            log.push(match woken {
                Woken::Messages(m, _) => {
                    let all: Vec<String> =
                        m.iter().map(|m| format!("{:?}={}", m.operation, m.data[0])).collect();
                    format!("{name}: {}", all.join(" "))
                }
                other => format!("{name}: {other:?}"),
            });
        })
    }

    fn turn(broker: &mut Broker<Log>, log: &mut Log, now: Nanos) {
        for (wake, woken) in broker.ready(now) {
            wake(log, woken, At::default());
        }
    }

    #[test]
    fn what_holds_is_told_first_and_then_what_changes() {
        let (mut broker, mut log) = (Broker::default(), Log::new());
        broker.publish(motion(false));
        assert!(pull_point(&mut broker, "a", "ann"));
        let later = NOW.plus(Nanos::from_secs(5));
        broker.publish(motion(false));
        assert!(broker.pull("a", key(1), 10, later, NOW, wake("1")));
        turn(&mut broker, &mut log, NOW);
        assert!(broker.pull("a", key(1), 10, later, NOW, wake("2")));
        turn(&mut broker, &mut log, NOW);
        assert_eq!(log, ["1: Initialized=false"], "nothing new: it waits");
        broker.publish(motion(true));
        turn(&mut broker, &mut log, NOW);
        assert!(broker.pull("a", key(1), 10, later, NOW, wake("3")));
        turn(&mut broker, &mut log, later);
        assert!(broker.synchronize("a") && broker.pull("a", key(1), 10, later, NOW, wake("4")));
        turn(&mut broker, &mut log, later);
        assert_eq!(log[1..], ["2: Changed=true", "3: ", "4: Initialized=true"]);
        broker.retain(9, |_| false);
        assert!(broker.pull("a", key(1), 10, later, NOW, wake("5")));
        turn(&mut broker, &mut log, later);
        assert_eq!(log[4], "5: Deleted=true");
    }

    #[test]
    fn one_pull_waits_and_goes_with_its_connection() {
        let (mut broker, mut log) = (Broker::default(), Log::new());
        assert!(pull_point(&mut broker, "a", "ann"));
        let later = NOW.plus(Nanos::from_secs(5));
        broker.pull("a", key(1), 1, later, NOW, wake("1"));
        broker.pull("a", key(2), 1, later, NOW, wake("2"));
        turn(&mut broker, &mut log, NOW);
        broker.forget(key(2));
        broker.publish(motion(true));
        broker.publish(motion(false));
        turn(&mut broker, &mut log, later);
        broker.pull("a", key(3), 1, later, NOW, wake("3"));
        turn(&mut broker, &mut log, NOW);
        broker.pull("a", key(3), 1, later, NOW, wake("4"));
        assert!(broker.end("a") && !broker.end("a"));
        turn(&mut broker, &mut log, NOW);
        assert_eq!(log, ["1: Replaced", "3: Initialized=true", "4: Gone"]);
        assert!(
            !broker.pull("a", key(3), 1, later, NOW, wake("5")) && !broker.renew("a", SPAN, NOW)
        );
    }

    #[test]
    fn who_sends_no_more_gets_nothing_that_another_could_have() {
        let (mut broker, mut log) = (Broker::default(), Log::new());
        assert!(pull_point(&mut broker, "a", "ann"));
        let later = NOW.plus(Nanos::from_secs(5));
        broker.pull("a", key(1), 1, later, NOW, wake("1"));
        broker.conclude(key(2));
        broker.conclude(key(1));
        broker.publish(motion(true));
        turn(&mut broker, &mut log, NOW);
        broker.pull("a", key(2), 1, later, NOW, wake("2"));
        turn(&mut broker, &mut log, NOW);
        assert_eq!(log, ["1: ", "2: Initialized=true"]);
    }

    #[test]
    fn who_does_not_fetch_loses_the_oldest_and_learns_what_holds() {
        let (mut broker, mut log) = (Broker::default(), Log::new());
        assert!(pull_point(&mut broker, "a", "ann"));
        for i in 0..2 * MAX_WAITING {
            broker.publish(motion(i % 2 == 0));
        }
        broker.pull("a", key(1), MAX_WAITING, NOW, NOW, wake("1"));
        turn(&mut broker, &mut log, NOW);
        broker.pull("a", key(1), MAX_WAITING, NOW, NOW, wake("2"));
        turn(&mut broker, &mut log, NOW);
        assert_eq!(log[0].split(' ').count(), MAX_WAITING + 1);
        assert_eq!(log[1], "2: Initialized=false");
    }

    #[test]
    fn those_left_behind_give_way_to_new_ones() {
        let mut broker: Broker<Log> = Broker::default();
        for i in 0..40 {
            assert!(pull_point(&mut broker, &format!("l{i}"), "leaks"));
        }
        assert_eq!(broker.len(), MAX_LEFT);
        for i in 0..MAX_PULL {
            let id = format!("f{i}");
            assert!(pull_point(&mut broker, &id, if i % 2 == 0 { "ann" } else { "bob" }), "{i}");
            assert!(broker.pull(&id, key(i), 1, NOW, NOW, Box::new(|_: &mut Log, _, _| ())));
        }
        assert_eq!(broker.len(), MAX_PULL);
        assert!(!pull_point(&mut broker, "x", "leaks"), "all are in use");
        broker.expire(NOW.plus(SPAN).plus(SPAN));
        assert_eq!(broker.len(), 0);
    }

    #[test]
    fn pushing_goes_on_until_it_fails_too_often() {
        let mut broker: Broker<Log> = Broker::default();
        let target =
            Target { address: "10.0.0.1:80".parse().unwrap(), url: "http://10.0.0.1/".into() };
        let push = Wanted::Push(target.clone());
        assert!(broker.subscribe("p".into(), who("ann"), Filter::default(), push, SPAN, NOW));
        broker.publish(motion(true));
        let due = broker.pushes(NOW);
        assert_eq!((due.len(), &due[0].1, due[0].2.len()), (1, &target, 1));
        assert!(broker.pushes(NOW).is_empty(), "one at a time");
        broker.pushed("p", None, NOW);
        assert!(broker.pushes(NOW).is_empty(), "not at once again");
        let mut now = NOW;
        broker.pushed("p", Some(1), now);
        for _ in 0..MAX_FAILURES {
            broker.publish(motion(now.0.is_multiple_of(2)));
            now = now.plus(PUSH_AGAIN).plus(Nanos(1));
            broker.pushed("p", None, now);
        }
        assert_eq!(broker.len(), 0);
        assert!(!broker.is_of("p", &who("ann"), true));
    }
}
