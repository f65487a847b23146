//! What control asks of the engine over their link.

use crate::apply::Apply;
use crate::publish::{Kind, Subscription};
use crate::rtsp::serve::View;
use crate::switchboard::Switchboard;
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, MAX_PACKET, Received};
use lensd_ffi::ring::{Cursor, Next};
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, now};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// How long a still picture may take.
const STILL_WAIT: Nanos = Nanos::from_secs(4);
/// How long the JPEG encoder goes on after the last still picture, so that a page that asks for
/// one every second finds it warm.
const STILL_LINGER: Nanos = Nanos::from_secs(3);
/// Most still pictures that are waited for at once; control asks for one at a time per camera.
const MAX_STILLS: usize = 64;

/// See the module.
pub struct Requests {
    switchboard: Arc<Switchboard>,
    view: Arc<View>,
    bell: Bell,
    apply: Apply,
    subscriptions: HashMap<String, Subscription>,
    stills: Vec<Still>,
    /// Streams that keep running for a while.
    lingering: Vec<(Subscription, Nanos)>,
}

struct Still {
    id: u64,
    subscription: Subscription,
    cursor: Cursor,
    asked: Nanos,
}

fn fault(code: &str, message: impl Into<String>) -> Answer {
    Answer::Fault { code: code.to_owned(), message: message.into() }
}

impl Requests {
    /// Nothing asked yet.
    pub fn new(switchboard: Arc<Switchboard>, view: Arc<View>, bell: Bell, apply: Apply) -> Self {
        Self {
            switchboard,
            view,
            bell,
            apply,
            subscriptions: HashMap::new(),
            stills: Vec::new(),
            lingering: Vec::new(),
        }
    }

    /// The settings.
    pub const fn apply(&mut self) -> &mut Apply {
        &mut self.apply
    }

    /// Rings when a picture that somebody waits for is there.
    pub const fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Forgets everything: control is another one now.
    pub fn reset(&mut self) {
        self.subscriptions.clear();
        self.stills.clear();
        self.lingering.clear();
    }

    /// Answers what is there. `false`: the link is over.
    pub fn serve(&mut self, link: &Link) -> bool {
        self.bell.take();
        loop {
            match link.receive::<Asked>() {
                Ok(Received::Message(asked, fds)) => {
                    let bell = fds.into_iter().next().map(Bell::from_fd);
                    if !self.answer(link, asked, bell) {
                        return false;
                    }
                }
                Ok(Received::Empty) => break,
                Ok(Received::Closed) => return false,
                Err(e) => {
                    tracing::warn!("a request of control was not understood: {e}");
                    break;
                }
            }
        }
        self.look(link)
    }

    fn answer(&mut self, link: &Link, asked: Asked, bell: Option<Bell>) -> bool {
        let id = asked.id;
        let unknown = |stream: &str| fault("NOT_FOUND", format!("there is no stream {stream:?}"));
        let answer = match asked.ask {
            Ask::Still { camera, quality } => match self.still(id, camera, quality) {
                None => return true,
                Some(answer) => answer,
            },
            Ask::Subscribe { stream } => match (self.switchboard.resolve(&stream), bell) {
                (None, _) => unknown(&stream),
                (_, None) => fault("INVALID_VALUE", "a subscription needs a bell"),
                (Some(found), Some(bell)) => {
                    let subscription = Subscription::new(&found, bell);
                    self.subscriptions.insert(stream, subscription);
                    return reply(link, id, Answer::Ring, &[found.region().as_fd()]);
                }
            },
            Ask::Unsubscribe { stream } => {
                self.subscriptions.remove(&stream);
                Answer::Done
            }
            Ask::Set { changes } => match self.apply.set(id, changes, now()) {
                None => return true,
                Some(answer) => answer,
            },
            Ask::Remove { .. } | Ask::Thumbnail { .. } => fault("NOT_FOUND", "no catalogue yet"),
            Ask::Clients { stream } => {
                let all = self.view.clients.lock();
                let asked = all.iter().filter(|c| stream.is_empty() || c.path == stream);
                Answer::Clients { clients: fitting(asked) }
            }
        };
        reply(link, id, answer, &[])
    }

    /// Begins to wait for a picture; an answer only if that cannot be.
    fn still(&mut self, id: u64, camera: u32, quality: u8) -> Option<Answer> {
        let camera = if camera == 0 { self.switchboard.main_camera() } else { camera };
        let Some(stream) = self.switchboard.of(camera, Kind::Mjpeg) else {
            return Some(fault("NOT_FOUND", format!("there is no camera {camera}")));
        };
        if let Some(why) = stream.away() {
            return Some(fault("CAMERA_NOT_CONNECTED", why));
        }
        let bell = match self.bell.try_clone() {
            Ok(bell) if self.stills.len() < MAX_STILLS => bell,
            _ => return Some(fault("RATE_LIMITED", "too many still pictures at once")),
        };
        if quality > 0 {
            stream.want_quality(quality.min(100));
        }
        let cursor = Cursor::at_head(stream.ring());
        let subscription = Subscription::new(&stream, bell);
        self.stills.push(Still { id, subscription, cursor, asked: now() });
        None
    }

    /// Tells who has logged in; what the link does not take now waits.
    fn tell_logins(&self, link: &Link) -> bool {
        let mut waiting = self.view.logins.lock();
        if waiting.is_empty() {
            return true;
        }
        let answer = Answer::Logins { logins: waiting.clone() };
        match link.send(&Answered { id: Answered::UNASKED, answer }, &[]) {
            Ok(()) => {
                waiting.clear();
                true
            }
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Looks after what is waited for.
    fn look(&mut self, link: &Link) -> bool {
        let at = now();
        let mut open = self.tell_logins(link);
        self.lingering.retain(|(_, until)| *until > at);
        for (id, answer) in self.apply.look(at) {
            open &= reply(link, id, answer, &[]);
        }
        let mut done = Vec::new();
        for (i, still) in self.stills.iter_mut().enumerate() {
            let stream = still.subscription.stream();
            if let Next::Unit(unit) = still.cursor.next(stream.ring()) {
                let answer = Answer::Unit { stream: stream.name.clone(), seq: unit.seq };
                open &= reply(link, still.id, answer, &[]);
                done.push(i);
            } else if at.since(still.asked) > STILL_WAIT {
                let error = stream.state(at).error;
                let why = if error.is_empty() { "the camera delivers no pictures" } else { &error };
                open &= reply(link, still.id, fault("CAMERA_NOT_CONNECTED", why), &[]);
                done.push(i);
            }
        }
        for i in done.into_iter().rev() {
            let still = self.stills.swap_remove(i);
            self.lingering.truncate(8);
            self.lingering.push((still.subscription, at.plus(STILL_LINGER)));
        }
        open
    }
}

/// As many clients as an answer has room for.
fn fitting<'a>(clients: impl Iterator<Item = &'a ClientState>) -> Vec<ClientState> {
    /// What is around the list.
    const FRAME: usize = 256;
    let mut room = MAX_PACKET - FRAME;
    let fits = |client: &&ClientState| {
        let len = serde_json::to_vec(client).map_or(usize::MAX, |text| text.len() + 1);
        room.checked_sub(len).inspect(|left| room = *left).is_some()
    };
    clients.take_while(fits).cloned().collect()
}

fn reply(link: &Link, id: u64, answer: Answer, fds: &[BorrowedFd<'_>]) -> bool {
    match link.send(&Answered { id, answer }, fds) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            let answer = fault("INTERNAL", "the answer is too long");
            link.send(&Answered { id, answer }, &[]).is_ok()
        }
        // Control does not read: it will be restarted, or asks again.
        Err(e) => e.kind() == io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_clients_is_as_long_as_a_packet_takes() {
        let client = ClientState { agent: "\u{1}".repeat(64), ..ClientState::default() };
        let all = vec![client; 1000];
        let clients = fitting(all.iter());
        assert!((100..1000).contains(&clients.len()), "{}", clients.len());
        let (a, b) = Link::pair().unwrap();
        assert!(reply(&a, u64::MAX, Answer::Clients { clients: clients.clone() }, &[]));
        let Received::Message(Answered { answer, .. }, _) = b.receive().unwrap() else { panic!() };
        assert_eq!(answer, Answer::Clients { clients });
        assert_eq!(fitting(all[..3].iter()).len(), 3);
    }
}
