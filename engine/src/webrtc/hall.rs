//! All sessions: what may be asked of them, whose datagram it is, who gets which unit. No socket and
//! no clock.

mod client;

use super::addresses;
use super::feed::{Copies, Feed};
use super::session::{Session, Wire, datagram};
use super::signal::{self, Refusal};
use super::socket::Family;
use super::timeline::Timeline;
use super::view::{Post, View};
use crate::config::WebRtcOptions;
use crate::publish::{Kind, Recent, Stage, Stream};
use crate::switchboard::Switchboard;
use crate::thread::guard;
use crate::users::UserTable;
use client::Client;
use crossbeam::channel::Sender;
use lensd_ffi::auth::{Guard, network};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::Answer;
use lensd_ffi::rtc::{RtcAct, RtcFrom};
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::Codec;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::mem::take;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use str0m::Input;

/// How long a client may take to answer our offer, and then to be connected.
const CONNECT_TIME: Nanos = Nanos::from_secs(30);
/// How long a question waits for a camera's first picture: less than control waits for its answer.
const FIRST_PICTURE: Nanos = Nanos::from_millis(3500);
/// Most questions that wait for that.
const MAX_WAITING: usize = 64;
/// The least number of sessions that one network may begin at once; see [`Hall::room`].
const PENDING: usize = 3;
/// Most addresses of a client that are remembered; ICE tries a few.
const MAX_ADDRESSES: usize = 16;
/// How often it is looked whether logins still stand, if no user has changed.
const LOGINS_EVERY: Nanos = Nanos::from_secs(10);

/// What everything here needs of the engine.
pub struct World {
    /// Streams.
    pub switchboard: Arc<Switchboard>,
    /// Users.
    pub users: Arc<UserTable>,
    /// Whether logins still stand.
    pub guard: Guard,
    /// Questions and answers.
    pub view: Arc<View>,
    /// Makes numbers that nobody guesses.
    pub random: fn() -> u64,
    /// Times for str0m.
    pub timeline: Timeline,
}

/// A question that waits for a camera.
struct Waiting {
    post: Post,
    /// Keeps the stream running.
    _feed: Feed,
    until: Nanos,
}

/// What becomes of a question.
enum Reply {
    Now(Answer),
    /// The stream's parameters are not known yet.
    Wait(Arc<Stream>),
}

/// See the module.
pub struct Hall {
    world: World,
    options: WebRtcOptions,
    named: Vec<(IpAddr, u16)>,
    machine: Vec<IpAddr>,
    /// Port and addresses of the socket, or why there is none.
    place: Result<(u16, Family), String>,
    clients: Slab<Client>,
    /// Who sends from an address.
    owners: HashMap<SocketAddr, usize>,
    waiting: Vec<Waiting>,
    copies: Copies,
    looked: Nanos,
    /// How long units took, until the streams are told.
    sent: Vec<(Arc<Stream>, Nanos)>,
}

impl Hall {
    /// Nobody is there.
    pub fn new(world: World) -> Self {
        Self {
            world,
            options: WebRtcOptions::default(),
            named: Vec::new(),
            machine: Vec::new(),
            place: Err("WebRTC is starting".to_owned()),
            clients: Slab::new(),
            owners: HashMap::new(),
            waiting: Vec::new(),
            copies: Copies::default(),
            looked: Nanos(0),
            sent: Vec::new(),
        }
    }

    /// Other options, and where the socket is now. **Who is there stays; see [`Hall::end_all`].**
    pub fn set(&mut self, options: &WebRtcOptions, place: Result<(u16, Family), String>) {
        self.options = options.clone();
        // Checked when it was set; one of the settings file may be wrong.
        self.named = addresses::parse(&options.addresses).unwrap_or_else(|why| {
            tracing::warn!("webrtc-addresses: {why}");
            Vec::new()
        });
        self.place = place;
    }

    /// The addresses of the machine, as they are now.
    pub fn meet_machine(&mut self, machine: Vec<IpAddr>) {
        self.machine = machine;
    }

    /// Whether nobody is there and nobody waits.
    pub fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.waiting.is_empty()
    }

    /// When [`Hall::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Nanos> {
        self.clients.iter().map(|(_, client)| client.session.deadline()).min()
    }

    /// Takes a question.
    pub fn ask(&mut self, post: Post, now: Stamp) {
        match self.try_ask(&post.from, &post.act, now) {
            Reply::Now(answer) => self.world.view.answer(&post.answer, answer),
            Reply::Wait(stream) => {
                let until = now.mono.plus(FIRST_PICTURE);
                match self.bell() {
                    Some(bell) if self.waiting.len() < MAX_WAITING => {
                        stream.want_key();
                        let feed = Feed::new(&stream, bell);
                        self.waiting.push(Waiting { post, _feed: feed, until });
                    }
                    _ => self.refuse(&post.answer, &busy()),
                }
            }
        }
    }

    fn refuse(&self, to: &Sender<Answer>, refusal: &Refusal) {
        self.world.view.answer(to, fault(refusal));
    }

    fn bell(&self) -> Option<Bell> {
        self.world.view.bell.try_clone().ok()
    }

    fn try_ask(&mut self, from: &RtcFrom, act: &RtcAct, now: Stamp) -> Reply {
        let done = match act {
            RtcAct::Play { stream, offer } => return self.begin(from, stream, Some(offer), now),
            RtcAct::Offer { stream } => return self.begin(from, stream, None, now),
            RtcAct::Accept { session, answer } => self.accept(from, session, answer, now),
            RtcAct::Trickle { session, fragment } => self.trickle(from, session, fragment, now),
            RtcAct::End { session } => self.find(from, session).map(|token| {
                self.guarded(token, |client| {
                    client.session.close("its client has ended it", now.mono);
                });
            }),
        };
        Reply::Now(done.map_or_else(|refusal| fault(&refusal), |()| Answer::Done))
    }

    /// Begins a session, with the client's offer or one of our own.
    fn begin(&mut self, from: &RtcFrom, path: &str, offer: Option<&str>, now: Stamp) -> Reply {
        let stream = match self.stream_for(path, now) {
            Ok(stream) => stream,
            Err(refusal) => return Reply::Now(fault(&refusal)),
        };
        let Some(parameters) = stream.parameters() else { return Reply::Wait(stream) };
        // What str0m makes of a description from outside must not end the others' sessions.
        let begun = guard(|| {
            let advice = self.advice(&stream);
            let profiles = signal::profiles(&parameters, stream.reorders(), path, &advice)?;
            let leaves = self.room(from.peer)?;
            let (port, family) = self.place()?;
            let told = addresses::candidates(from.local, &self.named, &self.machine, port, family);
            let timeline = self.world.timeline.renewed(now);
            #[expect(clippy::cast_possible_truncation, reason = "half of a random number")]
            let random = (self.world.random)() as u32;
            let mut session =
                Session::new(timeline, &told, profiles, random, now.mono).with_advice(advice);
            let (sdp, mid) = match offer {
                Some(sdp) => {
                    let offer = signal::parse_offer(sdp)?;
                    (session.accept_offer(offer, now.mono)?, String::new())
                }
                None => session.make_offer(path, now.mono)?,
            };
            Ok((session, sdp, mid, leaves))
        });
        let begun = begun.unwrap_or_else(|panic| {
            tracing::error!(panic, "str0m has panicked over a session description");
            Err(Refusal::invalid("the session description cannot be used"))
        });
        let bell = self.bell();
        match (begun, bell) {
            (Ok((session, sdp, mid, leaves)), Some(bell)) => {
                if let Some(token) = leaves {
                    self.remove(token);
                }
                let feed = Feed::new(&stream, bell);
                let id = format!("{:016x}{:016x}", (self.world.random)(), (self.world.random)());
                tracing::info!(
                    session = shown(&id), stream = path, user = from.login.user, from = %from.peer,
                    "a WebRTC session begins"
                );
                self.clients.insert(Client {
                    id: id.clone(),
                    from: from.clone(),
                    path: path.to_owned(),
                    session,
                    feed,
                    mid,
                    since: None,
                    until: now.mono.plus(CONNECT_TIME),
                    addresses: 0,
                    units: 0,
                    datagrams: 0,
                    bytes: 0,
                    unsent: None,
                    recent: Recent::default(),
                    wants_key: false,
                    key_asked: None,
                });
                Reply::Now(Answer::Rtc { session: id, sdp })
            }
            (Err(refusal), _) => Reply::Now(fault(&refusal)),
            (Ok(_), None) => Reply::Now(fault(&busy())),
        }
    }

    /// Port and addresses of the socket.
    fn place(&self) -> Result<(u16, Family), Refusal> {
        let code = if self.options.enabled { "WEBRTC_UNAVAILABLE" } else { "WEBRTC_OFF" };
        self.place.clone().map_err(|why| Refusal::new(code, why))
    }

    /// The stream of a path, if it can be had now.
    fn stream_for(&self, path: &str, now: Stamp) -> Result<Arc<Stream>, Refusal> {
        self.place()?;
        let Some(stream) = self.world.switchboard.resolve(path) else {
            let message = format!("there is no stream {path:?}; see /api/streams");
            return Err(Refusal::new("NOT_FOUND", message));
        };
        let state = stream.state(now.mono);
        let why = stream.silent().or_else(|| {
            (stream.parameters().is_none() && !state.error.is_empty()).then_some(state.error)
        });
        why.map_or(Ok(stream), |why| Err(Refusal::new("CAMERA_NOT_CONNECTED", why)))
    }

    /// What may be done about a stream that a browser cannot play.
    fn advice(&self, stream: &Stream) -> String {
        let again = (stream.kind == Kind::Main && stream.codec() == Codec::H264)
            .then(|| self.world.switchboard.of(stream.camera, Kind::Sub))
            .flatten();
        signal::advice(stream.is_passed(), again.as_ref().map(|sub| sub.name.as_str()))
    }

    /// Whether one more of this address fits; if only without one that is not connected yet, which
    /// that is. Who begins many sessions ends his own: of all networks, the one that has begun most
    /// loses its oldest, and none has more than half of the places that way.
    fn room(&self, from: IpAddr) -> Result<Option<usize>, Refusal> {
        let most = usize::try_from(self.options.max_clients).unwrap_or(usize::MAX);
        let there = || self.clients.iter().filter(|(_, c)| c.session.over().is_none());
        let begun = || there().filter(|(_, c)| c.since.is_none());
        let of = |from: IpAddr| {
            let from = network(from);
            begun().filter(move |(_, c)| network(c.from.peer) == from)
        };
        let leaves = if of(from).count() >= (most / 2).max(PENDING) {
            of(from).min_by_key(|(_, c)| c.until)
        } else if there().count() < most {
            return Ok(None);
        } else {
            // With the one that is to begin, which goes at the expense of its own first.
            let weight = |peer: IpAddr| {
                let own = network(peer) == network(from);
                (of(peer).count() + usize::from(own), own)
            };
            begun().max_by_key(|(_, c)| (weight(c.from.peer), Reverse(c.until)))
        };
        leaves.map(|(token, _)| Some(token)).ok_or_else(|| {
            let message = format!(
                "there are {most} WebRTC sessions, as many as webrtc-max-clients allows: try again \
                 later"
            );
            Refusal::new("TOO_MANY_SESSIONS", message)
        })
    }

    /// The session of this name, if it is this user's.
    fn find(&self, from: &RtcFrom, id: &str) -> Result<usize, Refusal> {
        let own = |c: &Client| {
            c.id == id && c.from.login.user == from.login.user && c.session.over().is_none()
        };
        let found = self.clients.iter().find(|(_, c)| own(c)).map(|(token, _)| token);
        found.ok_or_else(no_session)
    }

    /// The same, where the client may know it only by the `a=mid` of our offer.
    fn find_offered(&self, from: &RtcFrom, id: &str, mid: Option<&str>) -> Result<usize, Refusal> {
        if !id.is_empty() {
            return self.find(from, id);
        }
        let own = |c: &Client| {
            !c.mid.is_empty()
                && mid == Some(c.mid.as_str())
                && c.from.login.user == from.login.user
                && c.from.peer == from.peer
                && c.session.over().is_none()
        };
        // The newest: names of media are short, and an older one may have the same.
        let found = self.clients.iter().filter(|(_, c)| own(c)).max_by_key(|(_, c)| c.until);
        found.map(|(token, _)| token).ok_or_else(no_session)
    }

    fn accept(
        &mut self,
        from: &RtcFrom,
        id: &str,
        answer: &str,
        now: Stamp,
    ) -> Result<(), Refusal> {
        let parsed = guard(|| signal::parse_answer(answer));
        let parsed = parsed.unwrap_or_else(|_| Err(Refusal::invalid("it cannot be read")))?;
        let token = self.find_offered(from, id, signal::attribute(answer, "mid"))?;
        let Some(client) = self.clients.get_mut(token) else { return Err(no_session()) };
        let session = &mut client.session;
        let taken = guard(|| session.accept_answer(parsed, answer, now.mono));
        let taken = taken.unwrap_or_else(|panic| {
            tracing::error!(panic, "str0m has panicked over an answer");
            Err(Refusal::invalid("the session description cannot be used"))
        });
        match &taken {
            Ok(()) => client.until = now.mono.plus(CONNECT_TIME),
            Err(refusal) if refusal.code == "CONFLICT" => {}
            Err(refusal) => {
                self.guarded(token, |client| client.session.close(&refusal.message, now.mono));
            }
        }
        taken
    }

    /// Lets a client do something. Whom str0m panics over is let go, and the others stay. None: so it
    /// was, or there is none.
    fn guarded<T>(&mut self, token: usize, act: impl FnOnce(&mut Client) -> T) -> Option<T> {
        let client = self.clients.get_mut(token)?;
        match guard(|| act(client)) {
            Ok(done) => Some(done),
            Err(panic) => {
                let session = shown(&client.id);
                tracing::error!(session, panic, "str0m has panicked: this session is over");
                self.remove(token);
                None
            }
        }
    }

    fn tokens(&self) -> Vec<usize> {
        self.clients.iter().map(|(token, _)| token).collect()
    }

    fn trickle(&mut self, from: &RtcFrom, id: &str, text: &str, now: Stamp) -> Result<(), Refusal> {
        let fragment = guard(|| signal::parse_fragment(text))
            .unwrap_or_else(|_| Err(Refusal::invalid("the fragment cannot be read")))?;
        let token = self.find_offered(from, id, fragment.mid.as_deref())?;
        let taken = self.guarded(token, |client| client.session.trickle(fragment, now.mono));
        taken.unwrap_or_else(|| Err(no_session()))
    }

    /// Takes a datagram that came to one of our addresses. Returns whose it is.
    pub fn receive(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        now: Stamp,
    ) -> Option<usize> {
        let base = self.world.timeline.instant(now.mono);
        let input = Input::Receive(base, datagram(from, to, bytes)?);
        let takes = |client: &Client| {
            client.session.over().is_none()
                && guard(|| client.session.accepts(&input)).unwrap_or(false)
        };
        let known = self.owners.get(&from).copied();
        let known = known.filter(|token| self.clients.get(*token).is_some_and(takes));
        let token = known
            .or_else(|| self.clients.iter().find(|(_, client)| takes(client)).map(|(t, _)| t))?;
        let client = self.clients.get_mut(token)?;
        if known.is_none() && client.addresses < MAX_ADDRESSES {
            client.addresses += 1;
            self.owners.insert(from, token);
        }
        let Input::Receive(_, received) = input else { return None };
        self.guarded(token, |client| client.session.receive(received, now.mono))?;
        self.look_at(token, now);
        Some(token)
    }

    /// What follows from what a session has heard.
    fn look_at(&mut self, token: usize, now: Stamp) {
        let Some(client) = self.clients.get_mut(token) else { return };
        client.wants_key |= client.session.take_key_wanted();
        client.ask_for_key(now.mono);
        if client.since.is_none() && client.session.is_ready() {
            client.since = Some(now);
            client.feed.begin(self.options.join, now);
        }
    }

    /// Sends new units, and what waits, to one.
    pub fn pump(&mut self, token: usize, wire: &mut impl Wire, now: Stamp) {
        let (mut copies, mut sent) = (take(&mut self.copies), take(&mut self.sent));
        self.guarded(token, |client| client.pump(wire, &mut copies, &mut sent, now));
        (self.copies, self.sent) = (copies, sent);
    }

    /// The same to all.
    pub fn deliver(&mut self, wire: &mut impl Wire, now: Stamp) {
        for token in self.tokens() {
            self.pump(token, wire, now);
        }
        self.copies.clear();
        for (stream, span) in self.sent.drain(..) {
            stream.note_spans(Stage::Send, &[span], now.mono);
        }
        self.ask_again(now);
    }

    /// Questions that waited for a camera may have their answer now.
    fn ask_again(&mut self, now: Stamp) {
        for Waiting { post, _feed: feed, until } in std::mem::take(&mut self.waiting) {
            match self.try_ask(&post.from, &post.act, now) {
                Reply::Now(answer) => self.world.view.answer(&post.answer, answer),
                Reply::Wait(_) if now.mono >= until => {
                    let message = "the camera delivers no pictures";
                    self.refuse(&post.answer, &Refusal::new("CAMERA_NOT_CONNECTED", message));
                }
                Reply::Wait(_) => self.waiting.push(Waiting { post, _feed: feed, until }),
            }
        }
    }

    /// The active camera has changed.
    pub fn follow(&mut self) {
        let bell = Arc::clone(&self.world.view.bell);
        for (_, client) in &mut self.clients {
            if let Some(stream) = self.world.switchboard.resolve(&client.path)
                && let Ok(bell) = bell.try_clone()
            {
                client.feed.switch_to(&stream, bell);
            }
        }
    }

    /// Time has passed: timers of sessions, and who is over.
    pub fn handle_timeout(&mut self, wire: &mut impl Wire, now: Stamp) {
        let mut sent = take(&mut self.sent);
        for token in self.tokens() {
            let over = self.guarded(token, |client| client.handle_timeout(wire, &mut sent, now));
            if over == Some(true) {
                self.remove(token);
            } else {
                self.look_at(token, now);
            }
        }
        self.sent = sent;
        self.ask_again(now);
    }

    /// Ends the sessions of users who are gone or were changed.
    pub fn end_void_logins(&mut self, now: Stamp) {
        let world = &mut self.world;
        let changed = world.users.refresh(&mut world.guard);
        if !changed && now.mono.since(self.looked) < LOGINS_EVERY {
            return;
        }
        self.looked = now.mono;
        for token in self.tokens() {
            let users = self.world.guard.users();
            let stands = |client: &Client| users.holds(&client.from.login, now.utc.millis());
            if !self.clients.get(token).is_none_or(stands) {
                self.guarded(token, |client| {
                    client.session.close("its login does not stand any more", now.mono);
                });
            }
        }
    }

    /// Ends all.
    pub fn end_all(&mut self, wire: &mut impl Wire, now: Stamp) {
        let mut sent = take(&mut self.sent);
        for token in self.tokens() {
            self.guarded(token, |client| {
                client.session.close("WebRTC is switched off, or has moved", now.mono);
                client.flush(wire, &mut sent);
            });
        }
        self.sent = sent;
        self.clients.clear();
        self.owners.clear();
    }

    fn remove(&mut self, token: usize) {
        if self.clients.try_remove(token).is_some() {
            self.owners.retain(|_, owner| *owner != token);
        }
    }

    /// What others see of the sessions.
    pub fn describe(&mut self, now: Nanos) -> Vec<ClientState> {
        let there = self.clients.iter_mut().filter(|(_, client)| client.session.over().is_none());
        there.map(|(_, client)| client.describe(now)).collect()
    }
}

/// As much of a session's name as others may know: with all of it they could end it.
fn shown(id: &str) -> &str {
    id.get(..6).unwrap_or_default()
}

fn fault(refusal: &Refusal) -> Answer {
    Answer::Fault { code: refusal.code.to_owned(), message: refusal.message.clone() }
}

fn busy() -> Refusal {
    Refusal::new("TOO_MANY_SESSIONS", "too many WebRTC sessions begin at once: try again later")
}

fn no_session() -> Refusal {
    let message = "there is no such WebRTC session (any more); begin another";
    Refusal::new("NOT_FOUND", message)
}

#[cfg(test)]
mod tests;
