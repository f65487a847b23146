//! What all RTSP connections share: outlets, datagram sockets, users. A [`Call`] is the house of
//! one connection's session.

mod beside;
mod stored;

use super::client::{CNAME, Counts, Delivery, Receiver, STALE, Way};
use super::groups::Group;
use super::metadata::{self, Feed};
use super::path::Path;
use super::replay::{Replay, Replays, recording_of};
use super::session::{Described, House, Start, Uses, Wanted};
use super::transport::{Chosen, Lower, Offer};
use super::udp::Pair;
use super::wire::Status;
use crate::config::{Extensions, Join, RtspOptions};
use crate::ingest::{Desk, Ingest};
use crate::publish::{Stream, Subscription};
use crate::replay::reader::Reader;
use crate::rtp::outlet::{Outlet, refusal};
use crate::rtp::packet::Shape;
use crate::rtp::rtcp;
use crate::scene::Scenes;
use crate::sdp::{self, Announced};
use crate::switchboard::Switchboard;
use crate::sys::socket::{Address, MAX_SEGMENTS};
use crate::users::UserTable;
use lensd_ffi::auth::{Guard, Verdict};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::LoginNews;
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::Codec;
use mio::net::UdpSocket;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How often a publisher is told how its packets arrive (RFC 3550 section 6.2).
const REPORT_EVERY: Nanos = Nanos::from_secs(5);
/// Packets that are sent at once while pacing.
const PACED_BURST: usize = 8;

/// Names an outlet: the path, since `/stream1` and `/cam1/main` may part ways, and the extensions.
pub type OutletKey = (String, Extensions);

/// An outlet, who receives it, and the group that receives it for many.
pub struct Post {
    /// The RTP stream.
    pub outlet: Outlet,
    /// Tokens of its clients.
    pub members: Vec<usize>,
    /// Multicast.
    pub group: Option<Group>,
}

/// See the module.
pub struct World {
    /// Options.
    pub options: RtspOptions,
    /// Streams.
    pub switchboard: Arc<Switchboard>,
    /// Outlets in use.
    pub posts: HashMap<OutletKey, Post>,
    /// UDP.
    pub udp: Pair,
    /// How datagrams are sent.
    pub way: Way,
    /// Which client an address belongs to: RTCP, and RTP of publishers.
    pub addresses: HashMap<SocketAddr, usize>,
    /// Users.
    pub users: Arc<UserTable>,
    /// Verdicts.
    pub guard: Guard,
    /// The loop's bell.
    pub bell: Arc<Bell>,
    /// Sessions that play or record.
    pub sessions: u32,
    /// Cameras that take a publisher's stream.
    pub ingest: Arc<Desk>,
    /// Which group an outlet has, counted from the first: the same whenever it is asked for, so that
    /// no stream ever comes to the address of another.
    pub groups: HashMap<OutletKey, u32>,
    /// Streams whose pictures RTP cannot carry, and why: what the log has said already.
    pub unfit: HashMap<String, &'static str>,
    /// Who has logged in or failed to, until the view is told.
    pub logins: Vec<LoginNews>,
    /// Makes numbers that nobody guesses.
    pub random: fn() -> u64,
    /// Recordings that are played.
    pub replays: Replays,
    /// What happens before the cameras.
    pub scenes: Arc<Scenes>,
    /// Connections that have a metadata stream.
    pub feeds: Vec<usize>,
}

/// What a connection has of the world.
#[derive(Default)]
pub struct Holding {
    /// The outlet that was set up.
    pub key: Option<OutletKey>,
    /// The receiver.
    pub receiver: Option<Receiver>,
    /// The publisher.
    pub ingest: Option<Publishing>,
    /// What plays a recording.
    pub replay: Option<Box<Replay>>,
    /// The metadata stream.
    pub feed: Option<Box<Feed>>,
    /// The coding that the client was told of when it asked.
    told: Option<(String, Codec)>,
    /// The recording that was described, by its path.
    pub reader: Option<(String, Reader)>,
    /// Keeps a stream running between DESCRIBE and PLAY.
    pub hold: Option<Subscription>,
    /// Addresses in [`World::addresses`].
    addresses: Vec<SocketAddr>,
    /// Counted in [`World::sessions`].
    counted: bool,
}

/// A publisher.
pub struct Publishing {
    /// Puts its packets together and gives the units to the camera.
    pub ingest: Ingest,
    /// Channels, if interleaved.
    pub channels: Option<(u8, u8)>,
    /// Where its reports go, if it sends datagrams: over TCP nothing is lost that it could mend.
    reports_to: Option<SocketAddr>,
    /// What we are called in them.
    ssrc: u32,
    next_report: Nanos,
}

impl Holding {
    /// How the client is reached, if it receives something.
    pub fn delivery(&self) -> Option<&Delivery> {
        let replay = self.replay.as_ref().map(|replay| &replay.delivery);
        self.receiver.as_ref().map(|receiver| &receiver.delivery).or(replay)
    }

    /// How metadata reach the client.
    pub fn feed_way(&self) -> &'static str {
        self.feed.as_ref().map_or("tcp", |feed| feed.way())
    }

    /// UTC milliseconds at which it began to receive; 0 if it does not.
    pub fn since_ms(&self) -> i64 {
        let replay = self.replay.as_ref().map(|replay| replay.since_ms);
        self.receiver.as_ref().map(|receiver| receiver.since_ms).or(replay).unwrap_or(0)
    }
}

impl Publishing {
    /// Sends a receiver report if it is time.
    pub fn report(&mut self, socket: &UdpSocket, now: Nanos) {
        let Some(to) = self.reports_to.filter(|_| now >= self.next_report) else { return };
        let Some(block) = self.ingest.report(now) else { return };
        self.next_report = now.plus(REPORT_EVERY);
        // One that the network does not take is made up for by the next.
        let _ = socket.send_to(&rtcp::receiver_report(self.ssrc, &block, CNAME), to);
    }
}

/// One request's view.
pub struct Call<'a> {
    /// What all share.
    pub world: &'a mut World,
    /// What this connection has.
    pub holding: &'a mut Holding,
    /// This connection.
    pub token: usize,
    /// The client.
    pub peer: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// Whether it is encrypted: then packets do not leave it.
    pub tls: bool,
    /// Now.
    pub now: Stamp,
}

impl World {
    /// The bell as a subscription wants it.
    fn ringer(&self) -> Option<Bell> {
        self.bell.try_clone().ok()
    }

    /// Makes outlets follow the active camera.
    pub fn follow(&mut self) {
        for ((name, _), post) in &mut self.posts {
            if let Some(stream) = self.switchboard.resolve(name)
                && let Ok(bell) = self.bell.try_clone()
            {
                post.outlet.switch_to(&stream, bell);
            }
        }
    }

    /// What the packets of a new source have in common, and the number of the first.
    fn shape(&self, extensions: Extensions) -> (Shape, u16) {
        let random = (self.random)().to_be_bytes();
        let word =
            |i: usize| u32::from_be_bytes([random[i], random[i + 1], random[i + 2], random[i + 3]]);
        let shape = Shape {
            packet_size: self.options.packet_size,
            ssrc: word(0),
            time_offset: word(4),
            extensions,
            burst: if self.options.pacing_ms > 0 { PACED_BURST } else { MAX_SEGMENTS },
        };
        (shape, u16::from_be_bytes([random[1], random[6]]))
    }

    /// The extensions that a client gets at a path.
    fn extensions(&self, path: &Path) -> Extensions {
        path.extensions.unwrap_or(self.options.extensions)
    }

    pub(super) fn post(&mut self, path: &Path) -> Result<&mut Post, Status> {
        let extensions = self.extensions(path);
        let key = (path.name.clone(), extensions);
        if !self.posts.contains_key(&key) {
            let stream = self.switchboard.resolve(&path.name).ok_or(Status::NOT_FOUND)?;
            let bell = self.ringer().ok_or(Status::UNAVAILABLE)?;
            let (shape, first_seq) = self.shape(extensions);
            let outlet = Outlet::new(&stream, bell, shape, first_seq);
            self.posts.insert(key.clone(), Post { outlet, members: Vec::new(), group: None });
        }
        self.posts.get_mut(&key).ok_or(Status::UNAVAILABLE)
    }

    /// Drops an outlet that nobody receives.
    pub(super) fn sweep(&mut self, key: &OutletKey) {
        if self.posts.get(key).is_some_and(|p| p.members.is_empty() && !p.is_pinned()) {
            self.posts.remove(key);
        }
    }

    fn join_group(&mut self, key: &OutletKey, local: IpAddr) -> Result<Chosen, Status> {
        self.open_group(key, local).map_err(|_| Status::UNSUPPORTED_TRANSPORT)?;
        let post = self.posts.get_mut(key).ok_or(Status::UNAVAILABLE)?;
        let group = post.group.as_mut().ok_or(Status::UNAVAILABLE)?;
        group.listeners += 1;
        let (ports, ttl) = (group.ports, group.ttl);
        Ok(Chosen::Multicast { group: IpAddr::V4(group.address), ports, ttl })
    }
}

impl Call<'_> {
    /// Why the pictures that a stream has now cannot be sent, and whether that is known of one that
    /// is new: what is in the ring of a stream that has rested says nothing of those to come.
    fn unfit(&mut self, stream: &Stream) -> Option<(&'static str, bool)> {
        let newest = stream.ring().newest_key()?;
        let why = refusal(stream, &newest)?;
        let fresh = self.now.mono.since(newest.meta.encoded) <= STALE;
        if fresh && self.world.unfit.insert(stream.name.clone(), why) != Some(why) {
            tracing::warn!(stream = stream.name, "RTP cannot carry this camera's JPEG: {why}");
        }
        Some((why, fresh))
    }

    fn choose_udp(&self, offer: &Offer) -> Option<(Chosen, [SocketAddr; 2])> {
        if self.tls {
            return None;
        }
        let client = offer.client_port?;
        // With the interface, without which a link-local address cannot be reached.
        let to = |port| {
            let mut address = self.peer;
            address.set_port(port);
            address
        };
        let taken = |a: &SocketAddr| self.world.addresses.contains_key(a);
        let addresses = [to(client.0), to(client.1)];
        // Two sessions on the same ports of one client could not be told apart.
        if client.0 == 0 || client.1 == 0 || addresses.iter().any(taken) {
            return None;
        }
        Some((Chosen::Udp { client, server: self.world.udp.ports }, addresses))
    }

    fn note_addresses(&mut self, addresses: [SocketAddr; 2]) {
        for address in addresses {
            self.world.addresses.insert(address, self.token);
            self.holding.addresses.push(address);
        }
    }

    fn admit(&mut self) -> Result<(), Status> {
        let limit = self.world.options.max_sessions;
        let open = self.world.guard.users().open;
        if limit > 0 && !open && self.world.sessions >= limit {
            return Err(Status::NOT_ENOUGH_BANDWIDTH);
        }
        self.world.sessions += 1;
        self.holding.counted = true;
        Ok(())
    }

    fn try_setup(&mut self, path: &Path, offers: &[Offer]) -> Result<(Chosen, u32), Status> {
        if self.world.switchboard.resolve(&path.name).is_none() {
            return Err(Status::NOT_FOUND);
        }
        self.admit()?;
        let key = (path.name.clone(), self.world.extensions(path));
        let token = self.token;
        let post = self.world.post(path)?;
        post.members.push(token);
        let ssrc = post.outlet.ssrc();
        self.holding.key = Some(key.clone());
        let (chosen, delivery) = self.choose(offers, Some(&key))?;
        // The stream may have become another one since it was described.
        let told = self.holding.told.as_ref().filter(|(name, _)| *name == path.name);
        let told = told.map(|(_, codec)| *codec);
        self.holding.receiver = Some(Receiver::new(delivery).expecting(told));
        Ok((chosen, ssrc))
    }

    /// Chooses one of the offered transports; a group only for the outlet that it receives.
    fn choose(
        &mut self,
        offers: &[Offer],
        group: Option<&OutletKey>,
    ) -> Result<(Chosen, Delivery), Status> {
        for offer in offers {
            match (offer.lower, offer.multicast) {
                (Lower::Tcp, _) => {
                    let channels = offer.interleaved.unwrap_or((0, 1));
                    let delivery = Delivery::Stream { rtp: channels.0, rtcp: channels.1 };
                    return Ok((Chosen::Tcp { channels }, delivery));
                }
                (Lower::Udp, true) => {
                    if let Some(key) = group.filter(|_| !self.tls)
                        && let Ok(chosen) = self.world.join_group(key, self.local.ip())
                    {
                        return Ok((chosen, Delivery::Group));
                    }
                }
                (Lower::Udp, false) => {
                    if let Some((chosen, addresses)) = self.choose_udp(offer) {
                        self.note_addresses(addresses);
                        let rtp = Address::from(addresses[0]);
                        return Ok((chosen, Delivery::Datagrams { rtp, rtcp: addresses[1] }));
                    }
                }
            }
        }
        Err(Status::UNSUPPORTED_TRANSPORT)
    }

    fn try_setup_record(&mut self, offers: &[Offer]) -> Result<Chosen, Status> {
        self.admit()?;
        for offer in offers {
            let chosen = match offer.lower {
                Lower::Tcp => {
                    let channels = offer.interleaved.unwrap_or((0, 1));
                    if let Some(publishing) = &mut self.holding.ingest {
                        publishing.channels = Some(channels);
                        publishing.reports_to = None;
                    }
                    Chosen::Tcp { channels }
                }
                Lower::Udp if offer.multicast => continue,
                Lower::Udp => match self.choose_udp(offer) {
                    Some((chosen, addresses)) => {
                        self.note_addresses(addresses);
                        if let Some(publishing) = &mut self.holding.ingest {
                            publishing.channels = None;
                            publishing.reports_to = Some(addresses[1]);
                        }
                        chosen
                    }
                    None => continue,
                },
            };
            return Ok(chosen);
        }
        Err(Status::UNSUPPORTED_TRANSPORT)
    }

    fn note_login(&mut self, success: bool, name: &str) {
        if self.world.logins.len() < LoginNews::MOST {
            let user = name.chars().take(LoginNews::MAX_NAME).collect();
            let (from, time) = (self.peer.ip(), self.now.utc.millis());
            self.world.logins.push(LoginNews { success, user, from, time });
        }
    }

    /// Gives back what a SETUP got, metadata too.
    fn release(&mut self) {
        if self.holding.feed.take().is_some() {
            self.world.feeds.retain(|token| *token != self.token);
            self.world.count_feeds();
        }
        self.release_pictures();
    }

    /// The same without metadata.
    fn release_pictures(&mut self) {
        if std::mem::take(&mut self.holding.counted) {
            self.world.sessions -= 1;
        }
        for address in self.holding.addresses.drain(..) {
            self.world.addresses.remove(&address);
        }
        if let Some(key) = self.holding.key.take() {
            if let Some(post) = self.world.posts.get_mut(&key) {
                post.members.retain(|m| *m != self.token);
                if let Some(Receiver { delivery: Delivery::Group, .. }) = &self.holding.receiver {
                    self.world.leave_group(&key);
                }
            }
            self.world.sweep(&key);
        }
        self.holding.receiver = None;
        if let Some(replay) = self.holding.replay.take() {
            self.world.replays.tokens.retain(|token| *token != self.token);
            self.holding.reader = Some(replay.into_reader());
        }
    }

    /// Counts of the receiver, for the state.
    pub fn counts(holding: &Holding) -> Counts {
        let replay = holding.replay.as_ref().map(|replay| replay.counts);
        holding.receiver.as_ref().map(|receiver| receiver.counts).or(replay).unwrap_or_default()
    }
}

impl House for Call<'_> {
    fn verdict(&mut self, request: &lensd_ffi::auth::Request<'_>) -> Verdict {
        self.world.users.refresh(&mut self.world.guard);
        let (from, time) = (self.peer.ip(), self.now.utc.millis());
        let verdict = self.world.guard.verdict(request, from, time);
        match &verdict {
            // An old token is no guess: nobody is locked out for it, so nobody is told each time.
            Verdict::Login { failed: true, .. } if request.credentials.name().is_empty() => {
                tracing::debug!(%from, "login failed");
            }
            Verdict::Login { failed: true, .. } => {
                tracing::warn!(%from, "login failed");
                self.note_login(false, request.credentials.name());
            }
            // Each request is a log-in of its own; that of a user from another place is news.
            Verdict::Allow(login) | Verdict::Forbid(login)
                if !login.user.is_empty()
                    && login.token.is_none()
                    && self.world.guard.lockout().succeeded(&login.user, from, time) =>
            {
                self.note_login(true, &login.user);
            }
            _ => {}
        }
        verdict
    }

    fn challenges(&mut self, stale: bool) -> Vec<String> {
        self.world.guard.challenges(stale, self.now.utc.millis())
    }

    fn uses(&mut self, path: &Path) -> Uses {
        if let Some(camera) = metadata::camera_of(&path.name) {
            let play = self.world.metadata_of(camera).is_some();
            return Uses { play, ..Uses::default() };
        }
        // Whether there is one is for its reader to find out: that may take a while.
        let stored = recording_of(&path.name).is_some();
        Uses {
            play: stored || self.world.switchboard.resolve(&path.name).is_some(),
            publish: self.world.ingest.has(&path.name),
            stored,
        }
    }

    fn describe(&mut self, path: &Path) -> Described {
        if let Some(id) = recording_of(&path.name) {
            return self.describe_recording(path, id);
        }
        if let Some(camera) = metadata::camera_of(&path.name) {
            let Some(camera) = self.world.metadata_of(camera) else { return Described::NotFound };
            let origin = u64::from(camera) << 32 | u64::from(std::process::id());
            return Described::Sdp(sdp::describe_metadata(&path.name, origin));
        }
        let Some(stream) = self.world.switchboard.resolve(&path.name) else {
            return Described::NotFound;
        };
        // What is known of its pictures would be a promise that nobody keeps.
        if let Some(why) = stream.silent() {
            self.holding.hold = None;
            return Described::Unavailable(why);
        }
        let state = stream.state(self.now.mono);
        let unfit = self.unfit(&stream);
        if let Some((why, true)) = unfit {
            self.holding.hold = None;
            return Described::Unfit(why);
        }
        if let Some(parameters) = stream.parameters().filter(|_| unfit.is_none()) {
            self.holding.hold = None;
            self.holding.told = Some((path.name.clone(), parameters.codec));
            let origin = u64::from(stream.camera) << 32 | u64::from(std::process::id());
            let extensions = self.world.extensions(path);
            let group = path.multicast.then(|| {
                let (address, ports, ttl) = self.world.group_of(&(path.name.clone(), extensions));
                (address, ports.0, ttl)
            });
            let fps = state.fps;
            let mut text = sdp::describe(&path.name, &parameters, extensions, origin, fps, group);
            if path.metadata {
                text.push_str(&sdp::metadata_medium());
            }
            return Described::Sdp(text);
        }
        if self.holding.hold.as_ref().is_none_or(|h| !Arc::ptr_eq(h.stream(), &stream))
            && let Some(bell) = self.world.ringer()
        {
            // A stream that rests until somebody wants it runs now.
            self.holding.hold = Some(Subscription::new(&stream, bell));
            stream.want_key();
        }
        if state.error.is_empty() { Described::Wait } else { Described::Unavailable(state.error) }
    }

    fn setup(&mut self, path: &Path, offers: &[Offer]) -> Result<(Chosen, u32), Status> {
        if path.is_metadata() {
            return self.setup_metadata(path, offers);
        }
        self.release_pictures();
        let got = match recording_of(&path.name) {
            Some(_) => self.try_setup_replay(path, offers),
            None => self.try_setup(path, offers),
        };
        if got.is_err() {
            self.release();
        }
        got
    }

    fn play(&mut self, path: &Path, wanted: &Wanted<'_>) -> Result<Option<Start>, Status> {
        if let Some(replay) = &mut self.holding.replay {
            let start = replay.play(wanted, self.now)?;
            if start.is_some() {
                // The loop sends at once what can be sent, after the answer.
                self.world.bell.ring();
            }
            return Ok(start);
        }
        let join = path.join.unwrap_or(self.world.options.join);
        if let Some(feed) = &mut self.holding.feed {
            feed.play();
            self.world.bell.ring();
            if self.holding.key.is_none() {
                return Ok(Some(Start::default()));
            }
        }
        let (Some(key), Some(receiver)) = (&self.holding.key, &mut self.holding.receiver) else {
            return Err(Status::UNAVAILABLE);
        };
        let Some(post) = self.world.posts.get_mut(key) else { return Err(Status::UNAVAILABLE) };
        // An outlet takes in what came since the last bell, so that a group to join is complete.
        post.outlet.advance();
        let begun = match (&receiver.delivery, &mut post.group) {
            (Delivery::Group, Some(group)) => {
                receiver.playing = true;
                receiver.since_ms = self.now.utc.millis();
                if group.receiver.playing {
                    // The others play on; a key frame lets the new one in, and a report before it
                    // tells the time to who has heard none.
                    group.receiver.greet();
                    post.outlet.stream().want_key();
                    None
                } else {
                    group.receiver.begin(&post.outlet, Join::Key, self.now)
                }
            }
            _ => receiver.begin(&post.outlet, join, self.now),
        };
        self.holding.hold = None;
        // The loop sends at once what can be sent, after the answer.
        self.world.bell.ring();
        Ok(Some(begun.map_or_else(Start::default, |index| {
            let (seq, time) = post.outlet.position(index);
            Start { seq: Some(seq), time, ..Start::default() }
        })))
    }

    fn pause(&mut self) {
        if let Some(feed) = &mut self.holding.feed {
            feed.playing = false;
        }
        if let Some(receiver) = &mut self.holding.receiver {
            receiver.playing = false;
        }
        if let Some(replay) = &mut self.holding.replay {
            replay.pause();
        }
    }

    fn teardown(&mut self) {
        let post = self.holding.key.as_ref().and_then(|k| self.world.posts.get(k));
        if let (Some(post), Some(receiver)) = (post, &mut self.holding.receiver) {
            // Who gets datagrams learns of the end by this alone, be it a time-out's.
            receiver.goodbye(&post.outlet, None, &self.world.udp.rtcp);
        }
        if let Some(replay) = &mut self.holding.replay {
            replay.goodbye(None, &self.world.udp);
        }
        self.release();
        self.holding.reader = None;
        self.holding.ingest = None;
    }

    fn announce(&mut self, path: &Path, what: &Announced) -> Result<(), Status> {
        if !self.world.ingest.has(&path.name) {
            return Err(Status::NOT_FOUND);
        }
        // Whoever announces again begins anew.
        self.holding.ingest = None;
        let ingest = self.world.ingest.begin(&path.name, what).ok_or(Status::FORBIDDEN)?;
        let [a, b, c, d, ..] = (self.world.random)().to_be_bytes();
        self.holding.ingest = Some(Publishing {
            ingest,
            channels: None,
            reports_to: None,
            ssrc: u32::from_be_bytes([a, b, c, d]),
            next_report: Nanos(0),
        });
        Ok(())
    }

    fn setup_record(&mut self, _path: &Path, offers: &[Offer]) -> Result<Chosen, Status> {
        self.release();
        let got = self.try_setup_record(offers);
        if got.is_err() {
            self.release();
        }
        got
    }

    fn setup_ignored(&mut self, offers: &[Offer]) -> Result<Chosen, Status> {
        let of = |offer: &Offer| match offer.lower {
            Lower::Tcp => Some(Chosen::Tcp { channels: offer.interleaved.unwrap_or((2, 3)) }),
            Lower::Udp if offer.multicast || self.tls => None,
            // Its address is noted nowhere, so its packets are a stranger's.
            Lower::Udp => {
                offer.client_port.map(|client| Chosen::Udp { client, server: self.world.udp.ports })
            }
        };
        offers.iter().find_map(of).ok_or(Status::UNSUPPORTED_TRANSPORT)
    }

    fn record(&mut self) -> Result<(), Status> {
        if self.holding.ingest.is_some() { Ok(()) } else { Err(Status::UNAVAILABLE) }
    }

    fn interleaved(&mut self, channel: u8, payload: &[u8]) {
        if let Some(publishing) = &mut self.holding.ingest {
            if publishing.channels.is_some_and(|c| c.0 == channel) {
                publishing.ingest.push(payload, self.now.mono);
            }
            return;
        }
        if let Some(replay) = &mut self.holding.replay
            && matches!(replay.delivery, Delivery::Stream { rtcp, .. } if rtcp == channel)
        {
            let ssrc = replay.ssrc();
            replay.counts.heard(payload, ssrc, self.now.utc);
        }
        let Some(receiver) = &mut self.holding.receiver else { return };
        let rtcp = matches!(receiver.delivery, Delivery::Stream { rtcp, .. } if rtcp == channel);
        if rtcp && let Some(post) = self.holding.key.as_ref().and_then(|k| self.world.posts.get(k))
        {
            receiver.heard(payload, post.outlet.ssrc(), self.now.utc);
        }
    }

    fn random(&mut self) -> u64 {
        (self.world.random)()
    }

    fn timeout_secs(&self) -> u64 {
        self.world.options.timeout_secs
    }
}

/// How long a session may be silent.
pub const fn timeout(options: &RtspOptions) -> Nanos {
    Nanos::from_secs(options.timeout_secs)
}

#[cfg(test)]
mod tests;
