//! What is done because time has passed: silent clients go, reports are due, logins end.

use super::{Client, Role, Server};
use crate::clock;
use crate::rtsp::world::timeout;
use lensd_ffi::time::{Nanos, Stamp};

/// How long a connection may take to send its first request.
const FIRST_REQUEST: Nanos = Nanos::from_secs(10);
/// How often it is looked whether the logins of sessions still stand, if no user has changed: their
/// tokens may have expired.
const LOGINS_EVERY: Nanos = Nanos::from_secs(10);

impl Server {
    /// Looks after all clients.
    pub(super) fn tick(&mut self) {
        let stamp = clock::stamp_now();
        self.ticked = stamp.mono;
        if std::mem::take(&mut self.full) {
            self.accept_again();
        }
        self.end_void_logins(stamp);
        self.report_steps();
        // Streams may have come.
        self.world.pin_groups(stamp);
        for post in self.world.posts.values_mut() {
            if let Some(group) = &mut post.group {
                // Datagrams: nothing that would end a connection.
                let _ = group.receiver.report(&post.outlet, None, &group.socket, stamp);
            }
        }
        let limit = timeout(&self.world.options);
        let mut over = Vec::new();
        for (token, client) in &mut self.clients {
            let post = client.holding.key.as_ref().and_then(|k| self.world.posts.get(k));
            if post.is_some_and(|p| p.outlet.stream().silent().is_some()) {
                // Who gets nothing, for the camera is away, has nothing to report either.
                client.session.heard(stamp.mono);
            }
            let silent = stamp.mono.since(client.session.last_heard());
            let late =
                !client.session.has_spoken() && stamp.mono.since(client.accepted) > FIRST_REQUEST;
            // What a tunnel's receiving half brings is heard by the other half's session, with
            // which it ends.
            let bound = matches!(client.role, Role::TunnelIn { .. });
            if (silent > limit || late) && !bound {
                over.push(token);
                continue;
            }
            if let Some(publishing) = &mut client.holding.ingest {
                publishing.report(&self.world.udp.rtcp, stamp.mono);
            }
            if let Some(replay) = &mut client.holding.replay
                && replay.report(Some(&mut client.conn), &self.world.udp, stamp).is_err()
            {
                over.push(token);
                continue;
            }
            let post = client.holding.key.as_ref().and_then(|k| self.world.posts.get(k));
            if let (Some(post), Some(receiver)) = (post, &mut client.holding.receiver)
                && receiver
                    .report(&post.outlet, Some(&mut client.conn), &self.world.udp.rtcp, stamp)
                    .is_err()
            {
                over.push(token);
            }
        }
        for token in over {
            self.close(token);
        }
        self.pump_feeds(stamp);
        self.retry_waiting(stamp);
        self.publish_view();
    }

    /// Tells the clients of metadata what has happened.
    pub(super) fn pump_feeds(&mut self, stamp: Stamp) {
        let mut over = Vec::new();
        for &token in &self.world.feeds {
            let Some(client) = self.clients.get_mut(token) else { continue };
            let Some(feed) = &mut client.holding.feed else { continue };
            let size = self.world.options.packet_size;
            let (conn, scenes) = (&mut client.conn, &self.world.scenes);
            if feed.pump(conn, &self.world.udp, scenes, size, stamp).is_err() {
                over.push(token);
            }
        }
        for token in over {
            self.close(token);
        }
    }

    /// When UTC was set, nobody is left with the old time until the next regular report.
    fn report_steps(&mut self) {
        let steps = clock::state().steps;
        if std::mem::replace(&mut self.steps, steps) == steps {
            return;
        }
        for (_, client) in &mut self.clients {
            if let Some(receiver) = &mut client.holding.receiver {
                receiver.report_at_once();
            }
            if let Some(replay) = &mut client.holding.replay {
                replay.report_at_once();
            }
        }
        for group in self.world.posts.values_mut().filter_map(|post| post.group.as_mut()) {
            group.receiver.report_at_once();
        }
    }

    /// Ends the sessions of users who are gone or were changed.
    fn end_void_logins(&mut self, stamp: Stamp) {
        let changed = self.world.users.refresh(&mut self.world.guard);
        if !changed && stamp.mono.since(self.looked) < LOGINS_EVERY {
            return;
        }
        self.looked = stamp.mono;
        let (users, now_ms) = (self.world.guard.users(), stamp.utc.millis());
        let void = |c: &Client| c.session.login().is_some_and(|l| !users.holds(l, now_ms));
        let over: Vec<usize> =
            self.clients.iter().filter(|(_, c)| void(c)).map(|(token, _)| token).collect();
        for token in over {
            self.dismiss(token);
        }
    }
}
