//! Keys with another value than clients were told, and when it is time to tell.

use crate::engine::ConnKey;
use lensd_ffi::time::Nanos;
use std::collections::BTreeMap;

/// How long news wait for a transaction: as long as a disk takes that does not stall.
const WAIT: Nanos = Nanos::from_millis(5);

/// See the module.
#[derive(Default)]
pub(crate) struct News {
    /// By the keys' places; who knows already.
    keys: BTreeMap<usize, Option<ConnKey>>,
    /// The transaction they wait for, and until when at most.
    wait: Option<(u64, Nanos)>,
}

impl News {
    /// A key has another value; `origin` knows already.
    pub(super) fn note(&mut self, index: usize, origin: Option<ConnKey>) {
        let known = self.keys.entry(index).or_insert(origin);
        if *known != origin {
            *known = None;
        }
    }

    /// Whether it is time for [`News::take`]. News wait for the transaction that is under way when
    /// they come, told by its number: whoever made the change is to hear first, and not while the
    /// processors are busy with telling a thousand others.
    pub(super) fn is_time(&mut self, under_way: Option<u64>, now: Nanos) -> bool {
        let Some(number) = under_way.filter(|_| !self.keys.is_empty()) else {
            self.wait = None;
            return true;
        };
        let (first, until) = *self.wait.get_or_insert((number, now.plus(WAIT)));
        let is_time = number != first || until <= now;
        if is_time {
            self.wait = None;
        }
        is_time
    }

    /// When they have waited long enough.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.wait.map(|(_, until)| until)
    }

    /// Calling takes them.
    pub(super) fn take(&mut self) -> BTreeMap<usize, Option<ConnKey>> {
        std::mem::take(&mut self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_wait_for_one_transaction_and_not_for_a_disk_that_stalls() {
        let mut news = News::default();
        let ms = Nanos::from_millis;
        assert!(news.is_time(Some(1), ms(0)), "there are none to wait");
        news.note(7, None);
        assert!(news.is_time(None, ms(0)), "there is nothing to wait for");
        assert!(!news.is_time(Some(1), ms(1)));
        assert_eq!(news.deadline(), Some(ms(1).plus(WAIT)));
        // The next one is under way already: with many changes at once there always is one.
        assert!(news.is_time(Some(2), ms(2)));
        assert_eq!(news.deadline(), None);
        assert!(!news.is_time(Some(2), ms(3)));
        assert!(news.is_time(Some(2), ms(3).plus(WAIT)));
        assert_eq!(news.take().len(), 1);
        assert!(news.is_time(Some(2), ms(4)));
    }

    #[test]
    fn two_who_set_one_key_are_both_told() {
        let key = |index| Some(ConnKey { index, generation: 1 });
        let mut news = News::default();
        news.note(1, key(1));
        news.note(1, key(1));
        news.note(2, key(1));
        news.note(2, key(2));
        assert_eq!(news.take(), BTreeMap::from([(1, key(1)), (2, None)]));
    }
}
