//! The order in which the plane starts and ends, as data, and as lines in the log.
//!
//! It is that of the device this server stands for: what the variant says before anything that
//! depends on it, storage before what is stored, users before servers. The engine and its cameras
//! are started before this plane and stopped after it, by the supervisor.

/// Stages of the start, in their order.
pub(super) const START: &[(&str, &str)] = &[
    ("factory", "configuration and variant"),
    ("network", "ports are taken, and nobody is answered yet"),
    ("storage", "the store is opened and checked"),
    ("users", "who may do what is published for both planes"),
    ("settings", "what is stored holds"),
    ("certificate", "the TLS identity is read"),
    ("servers", "HTTP, HTTPS and WebSocket answer"),
];

/// Stages of the end, in their order. A recording is completed by the engine, after this plane.
pub(super) const STOP: &[(&str, &str)] = &[
    ("servers", "no new connection is accepted"),
    ("streams", "live pictures end, answers under way are sent"),
    ("storage", "what was confirmed is on the disk already"),
];

/// Walks a table of stages from its beginning to its end.
#[derive(Debug)]
pub(super) struct Walk {
    what: &'static str,
    stages: &'static [(&'static str, &'static str)],
    next: usize,
}

impl Walk {
    /// `what`: `start` or `stop`.
    pub(super) const fn new(
        what: &'static str,
        stages: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { what, stages, next: 0 }
    }

    /// The next stage is done: it must be this one. `missing`: what it has to do without.
    pub(super) fn done(&mut self, name: &str, missing: Option<&str>) {
        let stage = self.stages.get(self.next);
        debug_assert_eq!(stage.map(|s| s.0), Some(name), "{} {}", self.what, self.next);
        self.next += 1;
        let (at, of, doing) = (self.next, self.stages.len(), self.what);
        match missing {
            None => tracing::info!("{doing} {at}/{of} {name}: done"),
            Some(missing) => tracing::warn!("{doing} {at}/{of} {name}: goes on without: {missing}"),
        }
    }

    /// Whether all is done.
    pub(super) const fn is_over(&self) -> bool {
        self.next >= self.stages.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_before_what_needs_it() {
        let at = |name: &str| START.iter().position(|s| s.0 == name).unwrap();
        assert_eq!(at("factory"), 0);
        assert!(at("storage") < at("users") && at("users") < at("settings"));
        assert!(at("network") < at("servers") && at("users") < at("servers"));
        assert_eq!(at("servers"), START.len() - 1);
        assert_eq!(STOP[0].0, "servers", "nothing new begins while the rest ends");
        let mut walk = Walk::new("stop", STOP);
        for (name, doc) in STOP {
            assert!(!walk.is_over() && doc.len() > 5);
            walk.done(name, None);
        }
        assert!(walk.is_over());
    }
}
