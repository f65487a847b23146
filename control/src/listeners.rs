//! How many of our clients listen to what happens before the cameras: the engine looks for motion
//! while somebody does.

use lensd_ffi::time::Nanos;

/// Who asks for events now and then listens in between, for so long.
const POLLED: Nanos = Nanos::from_secs(60);

/// Those whom no table of connections knows, and what the engine was told.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    polled: Option<Nanos>,
    /// Which incarnation of the engine was told which number.
    told: Option<(i64, u32)>,
}

impl Listeners {
    /// Somebody has asked for events.
    pub(crate) fn note_poll(&mut self, now: Nanos) {
        self.polled = Some(now);
    }

    /// What an incarnation of the engine has to be told, if that is another number than it knows.
    /// `others`: event streams, WebSockets and ONVIF's subscriptions.
    pub(crate) fn news(&mut self, engine: i64, others: usize, now: Nanos) -> Option<u32> {
        let polls = self.polled.is_some_and(|polled| now.since(polled) < POLLED);
        let others = u32::try_from(others).unwrap_or(u32::MAX);
        let count = others.saturating_add(u32::from(polls));
        (self.told != Some((engine, count))).then_some(count)
    }

    /// It was told that.
    pub(crate) fn told(&mut self, engine: i64, count: u32) {
        self.told = Some((engine, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_is_told_once_and_polls_count_for_a_while() {
        let mut listeners = Listeners::default();
        let at = Nanos::from_secs;
        assert_eq!(listeners.news(1, 0, at(100)), Some(0));
        listeners.told(1, 0);
        assert_eq!(listeners.news(1, 0, at(100)), None);
        listeners.note_poll(at(100));
        assert_eq!(listeners.news(1, 5, at(101)), Some(6));
        listeners.told(1, 6);
        assert_eq!(listeners.news(1, 5, at(161)), Some(5), "the poll is over");
        assert_eq!(listeners.news(2, 5, at(120)), Some(6), "another engine");
    }
}
