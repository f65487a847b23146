//! What control asks of the engine over their link.

use crate::apply::Apply;
use crate::publish::{Kind, Stream, Subscription};
use crate::record::{Snap, stamped};
use crate::rtsp::serve::View;
use crate::switchboard::Switchboard;
use crate::webrtc;
use crossbeam::channel::{Receiver, TryRecvError, bounded};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, MAX_PACKET, Received, RecordAct};
use lensd_ffi::ring::{Cursor, Next, UnitView};
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, now};
use rustix::fs::{MemfdFlags, memfd_create};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::Builder;

/// How long a still picture may take.
const STILL_WAIT: Nanos = Nanos::from_secs(4);
/// How long the JPEG encoder goes on after the last still picture, so that a page that asks for
/// one every second finds it warm.
const STILL_LINGER: Nanos = Nanos::from_secs(3);
/// Most still pictures that are waited for at once; control asks for one at a time per camera.
const MAX_STILLS: usize = 64;
/// Most questions to the recorder that are open at once.
const MAX_MEDIA: usize = 64;
/// Most pictures into which the time is written at once: each has a thread meanwhile.
const MAX_STAMPS: usize = 4;

/// See the module.
pub struct Requests {
    switchboard: Arc<Switchboard>,
    view: Arc<View>,
    webrtc: Arc<webrtc::view::View>,
    bell: Bell,
    apply: Apply,
    subscriptions: HashMap<String, Subscription>,
    stills: Vec<Still>,
    /// What the recorder and WebRTC were asked.
    media: Vec<(Option<u64>, Receiver<Answer>)>,
    /// Pictures into which the time is being written.
    stamps: Vec<(u64, Receiver<Stamped>)>,
    /// Streams that keep running for a while.
    lingering: Vec<(Subscription, Nanos)>,
}

struct Still {
    /// None: nobody waits for it.
    id: Option<u64>,
    subscription: Subscription,
    cursor: Cursor,
    asked: Nanos,
    /// What is done with it, if not only shown.
    then: Option<Then>,
}

/// What is done with a still.
enum Then {
    /// It becomes a snapshot.
    Keep(Keep),
    /// Its time is written into it, with this quality, or that of the stream, and it is shown.
    Stamp(u8),
}

/// A picture that was made, as its memfd, or why it was not.
type Stamped = Result<(Answer, OwnedFd), String>;

/// A still that becomes a snapshot.
struct Keep {
    stamp: bool,
    quality: u8,
    title: String,
}

fn fault(code: &str, message: impl Into<String>) -> Answer {
    Answer::Fault { code: code.to_owned(), message: message.into() }
}

impl Requests {
    /// Nothing asked yet.
    pub fn new(
        switchboard: Arc<Switchboard>,
        (view, webrtc): (Arc<View>, Arc<webrtc::view::View>),
        bell: Bell,
        apply: Apply,
    ) -> Self {
        Self {
            switchboard,
            view,
            webrtc,
            bell,
            apply,
            subscriptions: HashMap::new(),
            stills: Vec::new(),
            media: Vec::new(),
            stamps: Vec::new(),
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
        for still in &mut self.stills {
            still.id = None;
        }
        self.stills.retain(|still| matches!(still.then, Some(Then::Keep(_))));
        self.stamps.clear();
        for (id, _) in &mut self.media {
            *id = None;
        }
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
        self.look(Some(link))
    }

    /// Does what needs no control: snapshots by interval and by key, and keeps them.
    pub fn serve_alone(&mut self) {
        self.bell.take();
        self.look(None);
    }

    fn answer(&mut self, link: &Link, asked: Asked, bell: Option<Bell>) -> bool {
        let id = asked.id;
        let unknown = |stream: &str| fault("NOT_FOUND", format!("there is no stream {stream:?}"));
        let answer = match asked.ask {
            Ask::Still { camera, quality } => match self.still(Some(id), camera, quality, None) {
                None => return true,
                Some(answer) => answer,
            },
            Ask::Stamped { camera, quality } => {
                match self.still(Some(id), camera, quality, Some(Then::Stamp(quality))) {
                    None => return true,
                    Some(answer) => answer,
                }
            }
            Ask::Snap { camera, quality, stamp, title } => {
                let stamp = stamp.unwrap_or(self.apply.snapshot_options().0);
                let keep = Keep { stamp, quality, title };
                match self.still(Some(id), camera, quality, Some(Then::Keep(keep))) {
                    None => return true,
                    Some(answer) => answer,
                }
            }
            Ask::Record { act, camera, stream, seconds, title } => {
                self.record(act, camera, &stream, seconds, title)
            }
            Ask::Remove { ids } => match self.apply.hub().remove(ids) {
                Ok(answer) => return self.await_media(link, id, answer),
                Err(refusal) => fault(refusal.code, refusal.message),
            },
            Ask::Thumbnail { id: row } => match self.apply.hub().thumbnail(row) {
                Ok(answer) => return self.await_media(link, id, answer),
                Err(refusal) => fault(refusal.code, refusal.message),
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
            Ask::Set { changes, until, camera } => {
                match self.apply.set(id, changes, (until, camera), now()) {
                    None => return true,
                    Some(answer) => answer,
                }
            }
            Ask::Rtc { from, act } => match self.webrtc.ask(*from, act) {
                Ok(answer) => return self.await_media(link, id, answer),
                Err(refusal) => fault(refusal.code, refusal.message),
            },
            Ask::KeyFrame { stream } => match self.switchboard.resolve(&stream) {
                Some(found) => {
                    found.want_key();
                    Answer::Done
                }
                None => unknown(&stream),
            },
            Ask::Listen { listeners } => {
                self.apply.listen(listeners);
                Answer::Done
            }
            Ask::TestScene { camera, tamper, active } => {
                self.apply.test_scene(camera, tamper, active, now())
            }
            Ask::Ptz { camera, what } => self.apply.ptz(camera, &what, now()),
            Ask::Clients { stream } => {
                let (rtsp, webrtc) = (self.view.clients.lock(), self.webrtc.clients.lock());
                let all = rtsp.iter().chain(webrtc.iter());
                let asked = all.filter(|c| stream.is_empty() || c.path == stream);
                Answer::Clients { clients: fitting(asked) }
            }
        };
        reply(link, id, answer, &[])
    }

    fn record(
        &self,
        act: RecordAct,
        camera: Option<u32>,
        stream: &str,
        seconds: Option<u64>,
        title: String,
    ) -> Answer {
        let kind = match stream {
            "" => None,
            "main" => Some(Kind::Main),
            "sub" => Some(Kind::Sub),
            "mjpeg" => Some(Kind::Mjpeg),
            other => {
                let message = format!("{other:?} is no stream; they are main, sub and mjpeg");
                return fault("INVALID_VALUE", message);
            }
        };
        let done = self.apply.hub().record(act, camera, kind, |plan| {
            if let Some(seconds) = seconds {
                plan.limit_secs = seconds;
            }
            plan.title = title;
        });
        match done {
            Ok(recordings) => Answer::Recordings { recordings },
            Err(refusal) => fault(refusal.code, refusal.message),
        }
    }

    /// Waits for what the recorder or WebRTC answers.
    fn await_media(&mut self, link: &Link, id: u64, answer: Receiver<Answer>) -> bool {
        if self.media.len() >= MAX_MEDIA {
            return reply(link, id, fault("RATE_LIMITED", "too much is asked at once"), &[]);
        }
        self.media.push((Some(id), answer));
        true
    }

    /// Begins to wait for a picture; an answer only if that cannot be.
    fn still(
        &mut self,
        id: Option<u64>,
        camera: u32,
        quality: u8,
        then: Option<Then>,
    ) -> Option<Answer> {
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
        self.stills.push(Still { id, subscription, cursor, asked: now(), then });
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
    fn look(&mut self, link: Option<&Link>) -> bool {
        let at = now();
        let mut open = link.is_none_or(|link| self.tell_logins(link));
        let reply = |id, answer, fds: &[BorrowedFd<'_>]| {
            // Who asked over a link that is gone is not there any more.
            link.is_none_or(|link| reply(link, id, answer, fds))
        };
        for _ in 0..self.apply.due_snapshots(at) {
            let keep =
                Keep { stamp: self.apply.snapshot_options().0, quality: 0, title: String::new() };
            let then = Some(Then::Keep(keep));
            if let Some(Answer::Fault { message, .. }) = self.still(None, 0, 0, then) {
                tracing::warn!("no snapshot: {message}");
            }
        }
        self.lingering.retain(|(_, until)| *until > at);
        for (id, answer) in self.apply.look(at) {
            open &= reply(id, answer, &[]);
        }
        self.stamps.retain(|(id, made)| {
            let answer = match made.try_recv() {
                Err(TryRecvError::Empty) => return true,
                Ok(Ok((answer, picture))) => {
                    open &= reply(*id, answer, &[picture.as_fd()]);
                    return false;
                }
                Ok(Err(why)) => fault("INTERNAL", why),
                Err(TryRecvError::Disconnected) => fault("INTERNAL", "the picture was not made"),
            };
            open &= reply(*id, answer, &[]);
            false
        });
        self.media.retain(|(id, answer)| match (id, answer.try_recv()) {
            (_, Err(TryRecvError::Empty)) => true,
            (Some(id), Ok(answer)) => {
                open &= reply(*id, answer, &[]);
                false
            }
            (Some(id), Err(TryRecvError::Disconnected)) => {
                open &= reply(*id, fault("INTERNAL", "the recorder, or WebRTC, failed"), &[]);
                false
            }
            (None, _) => false,
        });
        let mut done = Vec::new();
        for (i, still) in self.stills.iter_mut().enumerate() {
            let stream = still.subscription.stream();
            let answer = if let Next::Unit(unit) = still.cursor.next(stream.ring()) {
                match still.then.take() {
                    None => Answer::Unit { stream: stream.name.clone(), seq: unit.seq },
                    Some(Then::Stamp(_)) if self.stamps.len() >= MAX_STAMPS => {
                        fault("RATE_LIMITED", "too many pictures get their time at once")
                    }
                    Some(Then::Stamp(quality)) => {
                        match stamp_still(stream, &unit, quality, &self.bell) {
                            Ok(made) => {
                                self.stamps.extend(still.id.map(|id| (id, made)));
                                done.push(i);
                                continue;
                            }
                            Err(answer) => answer,
                        }
                    }
                    Some(Then::Keep(keep)) => match keep_still(&self.apply, stream, &unit, keep) {
                        Ok(answer) => {
                            self.media.push((still.id, answer));
                            done.push(i);
                            continue;
                        }
                        Err(answer) => answer,
                    },
                }
            } else if at.since(still.asked) > STILL_WAIT {
                let error = stream.state(at).error;
                let why = if error.is_empty() { "the camera delivers no pictures" } else { &error };
                fault("CAMERA_NOT_CONNECTED", why)
            } else {
                continue;
            };
            if let Some(id) = still.id {
                open &= reply(id, answer, &[]);
            }
            done.push(i);
        }
        for i in done.into_iter().rev() {
            let still = self.stills.swap_remove(i);
            self.lingering.truncate(8);
            self.lingering.push((still.subscription, at.plus(STILL_LINGER)));
        }
        open
    }
}

/// Writes the time into a still, on a thread of its own: milliseconds that nobody else waits for.
fn stamp_still(
    stream: &Stream,
    unit: &UnitView,
    quality: u8,
    bell: &Bell,
) -> Result<Receiver<Stamped>, Answer> {
    let mut jpeg = Vec::new();
    if stream.ring().copy(unit, 0, unit.len, &mut jpeg).is_err() {
        return Err(fault("CAMERA_NOT_CONNECTED", "the picture was overwritten; try again"));
    }
    let failed = |e: io::Error| fault("INTERNAL", format!("no thread for the picture: {e}"));
    let bell = bell.try_clone().map_err(failed)?;
    let quality = if quality > 0 { quality } else { stream.quality().unwrap_or(90) };
    let capture = unit.meta.capture;
    let answer = Answer::Picture { stream: stream.name.clone(), capture };
    let (to, made) = bounded(1);
    let job = move || {
        let picture = stamped(&jpeg, capture, quality).and_then(|jpeg| {
            let fd = memfd_create("lensd-still", MemfdFlags::CLOEXEC).map_err(|e| e.to_string())?;
            let mut file = File::from(fd);
            file.write_all(&jpeg).map_err(|e| e.to_string())?;
            Ok((answer, OwnedFd::from(file)))
        });
        // Who asked may be gone.
        let _ = to.send(picture);
        bell.ring();
    };
    Builder::new().name("stamp".to_owned()).spawn(job).map_err(failed)?;
    Ok(made)
}

/// Hands a still to the recorder.
fn keep_still(
    apply: &Apply,
    stream: &Stream,
    unit: &UnitView,
    keep: Keep,
) -> Result<Receiver<Answer>, Answer> {
    let mut jpeg = Vec::new();
    if stream.ring().copy(unit, 0, unit.len, &mut jpeg).is_err() {
        return Err(fault("CAMERA_NOT_CONNECTED", "the picture was overwritten; try again"));
    }
    let usual = || stream.quality().unwrap_or(90);
    let quality = if keep.quality > 0 { keep.quality } else { usual() };
    let snap = Snap {
        jpeg,
        camera: stream.camera,
        captured: unit.meta.capture,
        size: (unit.meta.width, unit.meta.height),
        title: keep.title,
        settings: apply.picture_settings(),
        stamp: keep.stamp.then_some(quality),
        alone: apply.snapshot_options().1,
    };
    apply.hub().snap(snap).map_err(|refusal| fault(refusal.code, refusal.message))
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
