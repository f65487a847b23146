//! The order in which the planes start and end, as data, and the lines of it in the log.
//!
//! It is that of the device this server stands for: what the variant says before anything that
//! depends on it, storage before what is stored, users before servers; at the end nobody comes in any
//! more before what runs is completed, and cameras are last. The supervisor starts the engine and
//! then control, and each goes on when it can; it ends control and, when that is over, the engine.

/// A plane of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// `lensd engine`.
    Engine,
    /// `lensd control`.
    Control,
}
use Plane::{Control, Engine};

/// A stage: whose it is, its name, and what is done.
pub type Stage = (Plane, &'static str, &'static str);

/// Stages of the start, in their order.
pub const START: &[Stage] = &[
    (Engine, "ports", "RTSP's ports are taken, and nobody is answered yet"),
    (Engine, "cameras", "each camera is opened, or waited for"),
    (Engine, "recording", "the recorder is ready, what a crash has cut off is completed"),
    (Engine, "hardware", "lights, motors and sensors"),
    (Engine, "streams", "RTSP, WebRTC and the frame tap answer"),
    (Control, "factory", "configuration and variant"),
    (Control, "network", "HTTP's ports are taken, and nobody is answered yet"),
    (Control, "storage", "the store is opened and checked"),
    (Control, "users", "who may do what is published for both planes"),
    (Control, "settings", "what is stored holds"),
    (Control, "certificate", "the TLS identity is read"),
    (Control, "servers", "HTTP, HTTPS and WebSocket answer"),
];

/// Stages of the end, in their order.
pub const STOP: &[Stage] = &[
    (Control, "servers", "no new connection is accepted"),
    (Control, "pictures", "live pictures end, answers under way are sent"),
    (Control, "storage", "what was confirmed is on the disk already"),
    (Engine, "recordings", "each is completed"),
    (Engine, "streams", "players are told goodbye"),
    (Engine, "cameras", "each is closed"),
];

/// Walks a plane's part of a table from its beginning to its end.
#[derive(Debug)]
pub struct Walk {
    what: &'static str,
    stages: &'static [Stage],
    plane: Plane,
    next: usize,
}

impl Walk {
    /// Through [`START`].
    pub const fn start(plane: Plane) -> Self {
        Self { what: "start", stages: START, plane, next: 0 }
    }

    /// Through [`STOP`].
    pub const fn stop(plane: Plane) -> Self {
        Self { what: "stop", stages: STOP, plane, next: 0 }
    }

    /// The next stage is done: it must be this one. The line for the log; `missing` is what it has
    /// to do without.
    pub fn done(&mut self, name: &str, missing: Option<&str>) -> String {
        self.skip();
        let stage = self.stages.get(self.next);
        debug_assert_eq!(stage.map(|s| s.1), Some(name), "{} {}", self.what, self.next);
        self.next += 1;
        let (at, of, what) = (self.next, self.stages.len(), self.what);
        match missing {
            None => format!("{what} {at}/{of} {name}: done"),
            Some(missing) => format!("{what} {at}/{of} {name}: goes on without: {missing}"),
        }
    }

    /// Whether all is done.
    pub fn is_over(&mut self) -> bool {
        self.skip();
        self.next >= self.stages.len()
    }

    /// Passes over the other plane's stages.
    fn skip(&mut self) {
        while self.stages.get(self.next).is_some_and(|stage| stage.0 != self.plane) {
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_before_what_needs_it() {
        let at = |name: &str| START.iter().position(|s| s.1 == name).unwrap();
        for (first, then) in [
            ("ports", "streams"),
            ("cameras", "recording"),
            ("cameras", "streams"),
            ("factory", "storage"),
            ("storage", "users"),
            ("users", "settings"),
            ("settings", "servers"),
        ] {
            assert!(at(first) < at(then), "{first} {then}");
        }
        let end = |name: &str| STOP.iter().position(|s| s.1 == name).unwrap();
        assert_eq!(STOP[0].1, "servers", "nothing new begins while the rest ends");
        assert!(end("recordings") < end("streams") && end("streams") < end("cameras"));
    }

    #[test]
    fn each_plane_walks_its_own_part() {
        for plane in [Engine, Control] {
            for (mut walk, table) in [(Walk::start(plane), START), (Walk::stop(plane), STOP)] {
                for (i, (_, name, _)) in table.iter().enumerate().filter(|(_, s)| s.0 == plane) {
                    assert!(!walk.is_over());
                    let line = walk.done(name, Some("x").filter(|_| i == 1));
                    assert!(
                        line.contains(&format!(" {}/{} {name}: ", i + 1, table.len())),
                        "{line}"
                    );
                    assert_eq!(line.ends_with("goes on without: x"), i == 1, "{line}");
                }
                assert!(walk.is_over());
            }
        }
    }
}
