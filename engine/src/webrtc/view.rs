//! What the rest of the engine sees of WebRTC, and how it asks.

use super::signal::Refusal;
use crate::config::WebRtcOptions;
use crossbeam::channel::{Receiver, Sender, bounded};
use lensd_ffi::bell::Bell;
use lensd_ffi::link::Answer;
use lensd_ffi::rtc::{RtcAct, RtcFrom};
use lensd_ffi::state::ClientState;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most questions that wait.
const MAX_POSTS: usize = 64;

/// A question, and where its answer goes.
pub struct Post {
    /// Who asks.
    pub from: RtcFrom,
    /// What is asked.
    pub act: RtcAct,
    /// Takes one answer.
    pub answer: Sender<Answer>,
}

/// What is known of the server as a whole.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Health {
    /// The UDP port; 0: there is none.
    pub port: u16,
    /// Why there are no sessions; empty if there can be.
    pub error: String,
}

/// Shared by the server's thread and the engine's.
pub struct View {
    /// How it is to work. Ring [`View::bell`] after a change.
    pub options: Mutex<WebRtcOptions>,
    /// Set to end it.
    pub stop: AtomicBool,
    /// Sessions, renewed at each tick.
    pub clients: Mutex<Vec<ClientState>>,
    /// Whether it works.
    pub health: Mutex<Health>,
    /// The server's bell.
    pub bell: Arc<Bell>,
    posts: Sender<Post>,
    /// Where the server finds them.
    pub inbox: Receiver<Post>,
    /// Rung when an answer is there.
    answered: Bell,
}

impl View {
    /// `answered` is rung when an answer is there.
    pub fn new(options: WebRtcOptions, bell: Arc<Bell>, answered: Bell) -> Self {
        let (posts, inbox) = bounded(MAX_POSTS);
        Self {
            options: Mutex::new(options),
            stop: AtomicBool::new(false),
            clients: Mutex::default(),
            health: Mutex::default(),
            bell,
            posts,
            inbox,
            answered,
        }
    }

    /// Asks. The answer comes later.
    ///
    /// # Errors
    /// `WEBRTC_UNAVAILABLE` where the server is gone, `TOO_MANY_SESSIONS` where it has too much to do.
    pub fn ask(&self, from: RtcFrom, act: RtcAct) -> Result<Receiver<Answer>, Refusal> {
        if self.stop.load(Ordering::Acquire) {
            let error = self.health.lock().error.clone();
            let why = if error.is_empty() { "the engine ends" } else { &error };
            let message = format!("WebRTC has ended and is started again soon: {why}");
            return Err(Refusal::new("WEBRTC_UNAVAILABLE", message));
        }
        let (answer, waiting) = bounded(1);
        self.posts.try_send(Post { from, act, answer }).map_err(|_| {
            let message = "WebRTC has too much to do; try again later";
            Refusal::new("TOO_MANY_SESSIONS", message)
        })?;
        self.bell.ring();
        Ok(waiting)
    }

    /// Answers a question.
    pub fn answer(&self, to: &Sender<Answer>, answer: Answer) {
        // Who asked may be gone.
        let _ = to.try_send(answer);
        self.answered.ring();
    }

    /// How many sessions there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.clients.lock().len()).unwrap_or(u32::MAX)
    }

    /// Changes how it is to work.
    pub fn change(&self, change: impl FnOnce(&mut WebRtcOptions)) {
        change(&mut self.options.lock());
        self.bell.ring();
    }

    /// It has ended by a fault: whoever waits finds out, and whoever comes is told.
    pub fn lose(&self, why: String) {
        self.clients.lock().clear();
        let error = why.chars().take(150).collect();
        *self.health.lock() = Health { port: 0, error };
        self.stop.store(true, Ordering::Release);
        // Their senders go, and with them what is waited for.
        while self.inbox.try_recv().is_ok() {}
        self.answered.ring();
    }

    /// Another server takes the place of one that was lost.
    pub fn begin_anew(&self) {
        *self.health.lock() = Health::default();
        self.stop.store(false, Ordering::Release);
    }

    /// Ends it.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::auth::Login;
    use std::net::Ipv4Addr;

    #[test]
    fn whoever_comes_after_its_end_is_told_why() {
        let bells = [Bell::new().unwrap(), Bell::new().unwrap()];
        let [bell, answered] = bells;
        let view = View::new(WebRtcOptions::default(), Arc::new(bell), answered);
        let ask = || {
            let peer = Ipv4Addr::LOCALHOST.into();
            let from = RtcFrom { login: Login::default(), peer, local: peer, agent: String::new() };
            view.ask(from, RtcAct::End { session: String::new() })
        };
        let waiting: Vec<_> = (0..MAX_POSTS).map(|_| ask().unwrap()).collect();
        assert_eq!(ask().unwrap_err().code, "TOO_MANY_SESSIONS");
        view.lose("epoll_wait said no".to_owned());
        let refusal = ask().unwrap_err();
        assert_eq!(refusal.code, "WEBRTC_UNAVAILABLE");
        assert!(refusal.message.contains("epoll_wait said no"), "{}", refusal.message);
        assert!(waiting.iter().all(|answer| answer.recv().is_err()), "nobody waits for ever");
    }
}
