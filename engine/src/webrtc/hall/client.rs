//! One client in the hall: his session, his place in the ring, and what he was sent.

use super::super::feed::{Copies, Feed, Found};
use super::super::session::{Session, Wire};
use super::super::signal;
use super::shown;
use crate::publish::{Recent, Stream};
use lensd_ffi::rtc::RtcFrom;
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, Stamp, now as clock_now};
use std::sync::Arc;

/// How often one client's wish for a key frame, which all get, goes to the encoder.
const KEY_EVERY: Nanos = Nanos::from_secs(1);

/// A client.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) from: RtcFrom,
    pub(super) path: String,
    pub(super) session: Session,
    pub(super) feed: Feed,
    /// `a=mid` of our offer; empty if the client offered.
    pub(super) mid: String,
    /// When it was connected.
    pub(super) since: Option<Stamp>,
    /// When it must be.
    pub(super) until: Nanos,
    pub(super) addresses: usize,
    pub(super) units: u64,
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    /// When the unit came into the ring of which the socket has not taken all yet.
    pub(super) unsent: Option<Nanos>,
    pub(super) recent: Recent,
    /// Whether the client has asked for a key frame since it was sent one.
    pub(super) wants_key: bool,
    /// When that went to the encoder.
    pub(super) key_asked: Option<Nanos>,
}

impl Client {
    /// Whether the stream's profile is still one that was agreed on.
    fn is_still_fit(&self, stream: &Stream) -> bool {
        let Some(parameters) = stream.parameters() else { return true };
        let now = signal::profiles(&parameters, stream.reorders(), &self.path, "");
        now.is_ok_and(|now| self.session.takes(&now))
    }

    /// Lets the wish for a key frame go to the encoder, if none is on its way already. All clients
    /// get what it makes, so one of them with a bad network must not ask all the time.
    pub(super) fn ask_for_key(&mut self, now: Nanos) {
        if self.wants_key && self.feed.has_key_ahead() {
            self.wants_key = false;
        }
        if self.wants_key && self.key_asked.is_none_or(|at| now.since(at) >= KEY_EVERY) {
            (self.wants_key, self.key_asked) = (false, Some(now));
            self.feed.stream().want_key();
        }
    }

    pub(super) fn pump(
        &mut self,
        wire: &mut impl Wire,
        copies: &mut Copies,
        sent: &mut Vec<(Arc<Stream>, Nanos)>,
        now: Stamp,
    ) {
        self.flush(wire, sent);
        if self.since.is_none() || self.session.over().is_some() {
            return;
        }
        loop {
            if !self.session.is_clear() {
                self.feed.fall_behind();
                return;
            }
            match self.feed.next(copies) {
                Found::Nothing => return,
                Found::Recoded => {
                    self.session.close("the stream is coded otherwise now", now.mono);
                    self.flush(wire, sent);
                    return;
                }
                Found::Unit(unit, bytes) => {
                    let stream = self.feed.stream();
                    if unit.meta.key && !self.is_still_fit(stream) {
                        self.session.close("the stream is coded otherwise now", now.mono);
                        self.flush(wire, sent);
                        return;
                    }
                    let published = stream.published_at(unit.seq).unwrap_or(unit.meta.encoded);
                    self.unsent = Some(published).filter(|at| *at >= self.feed.began());
                    self.units += 1;
                    self.wants_key &= !unit.meta.key;
                    self.session.write(&unit, bytes, now.mono);
                    self.flush(wire, sent);
                }
            }
        }
    }

    /// Time has passed. Returns whether it is over.
    pub(super) fn handle_timeout(
        &mut self,
        wire: &mut impl Wire,
        sent: &mut Vec<(Arc<Stream>, Nanos)>,
        now: Stamp,
    ) -> bool {
        if self.session.deadline() <= now.mono {
            self.session.handle_timeout(now.mono);
            self.flush(wire, sent);
        }
        if self.since.is_none() && now.mono >= self.until {
            self.session.close("it was not connected in time", now.mono);
        }
        if let Some(why) = self.session.over() {
            let (session, units) = (shown(&self.id), self.units);
            tracing::info!(session, units, "a WebRTC session is over: {why}");
            self.flush(wire, sent);
            return true;
        }
        false
    }

    pub(super) fn flush(&mut self, wire: &mut impl Wire, sent: &mut Vec<(Arc<Stream>, Nanos)>) {
        /// Most times that wait to be told.
        const MAX_SENT: usize = 4096;
        let (datagrams, bytes) = self.session.flush(wire);
        self.datagrams += datagrams;
        self.bytes += bytes;
        if self.session.is_clear()
            && let Some(published) = self.unsent.take()
        {
            let now = clock_now();
            let span = now.since(published);
            self.recent.note(span, now);
            if sent.len() < MAX_SENT {
                sent.push((Arc::clone(self.feed.stream()), span));
            }
        }
    }

    pub(super) fn describe(&mut self, now: Nanos) -> ClientState {
        let reported = self.session.reported;
        let state = if self.since.is_some() { "playing" } else { "connecting" };
        ClientState {
            id: shown(&self.id).to_owned(),
            address: self.from.peer.to_string(),
            user: self.from.login.user.clone(),
            path: self.path.clone(),
            transport: "webrtc".to_owned(),
            agent: self.from.agent.clone(),
            state: state.to_owned(),
            since_ms: self.since.map_or(0, |since| since.utc.millis()),
            units: self.units,
            packets: self.datagrams,
            bytes: self.bytes,
            skipped: self.feed.skipped,
            skipped_groups: self.feed.skipped_groups,
            reported_lost: reported.lost,
            jitter_us: reported.jitter_us,
            round_trip_us: reported.round_trip_us,
            send: self.recent.spread(now),
        }
    }
}
