//! The thread that serves browsers.

use super::{random_key, random_word};
use crate::config::WebRtcOptions;
use crate::switchboard::Switchboard;
use crate::thread::{Stop, Thread, guard};
use crate::users::UserTable;
use crate::webrtc::hall::World;
use crate::webrtc::serve::{Server, timeline};
use crate::webrtc::view::View;
use lensd_ffi::bell::Bell;
use lensd_ffi::time::Nanos;
use std::io;
use std::sync::Arc;

/// How long it rests after a fault.
const AGAIN: Nanos = Nanos::from_secs(10);

/// What the engine sees of it; `answered` rings when a question has its answer.
pub(super) fn view(options: &WebRtcOptions, answered: &Bell) -> io::Result<Arc<View>> {
    let bell = Arc::new(Bell::new()?);
    Ok(Arc::new(View::new(options.clone(), bell, answered.try_clone()?)))
}

/// The thread, and what starts another one when it has ended by a fault.
pub(super) struct Browsers {
    switchboard: Arc<Switchboard>,
    users: Arc<UserTable>,
    view: Arc<View>,
    /// Rung when streams change.
    change: Bell,
    thread: Option<Thread>,
    /// When it is started again.
    again: Option<Nanos>,
}

impl Browsers {
    /// Starts WebRTC. Streams go on without it.
    ///
    /// # Errors
    /// Without a descriptor.
    pub(super) fn start(
        switchboard: &Arc<Switchboard>,
        users: &Arc<UserTable>,
        view: &Arc<View>,
    ) -> io::Result<Self> {
        let change = Bell::new()?;
        switchboard.watch(change.try_clone()?);
        let (switchboard, users) = (Arc::clone(switchboard), Arc::clone(users));
        let view = Arc::clone(view);
        let mut own = Self { switchboard, users, view, change, thread: None, again: None };
        own.begin();
        Ok(own)
    }

    fn begin(&mut self) {
        self.thread = self.try_start().map_err(|e| lose(&self.view, e.to_string())).ok();
    }

    fn try_start(&self) -> io::Result<Thread> {
        let world = World {
            switchboard: Arc::clone(&self.switchboard),
            guard: self.users.guard(random_key()),
            users: Arc::clone(&self.users),
            view: Arc::clone(&self.view),
            random: random_word,
            timeline: timeline(),
        };
        let server = Server::new(world, self.change.try_clone()?)?;
        let view = Arc::clone(&self.view);
        Thread::start("webrtc", Stop::new(Arc::clone(&view.bell)), move |_| {
            match guard(|| server.run()) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => lose(&view, e.to_string()),
                Err(panic) => lose(&view, panic),
            }
        })
    }

    /// Starts it again some time after it has ended by a fault. To be called now and then.
    pub(super) fn look(&mut self, at: Nanos) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        if *self.again.get_or_insert(at.plus(AGAIN)) > at {
            return;
        }
        self.again = None;
        self.thread = None;
        self.view.begin_anew();
        tracing::info!("WebRTC is started again");
        self.begin();
    }
}

fn lose(view: &View, why: String) {
    tracing::error!("WebRTC has ended: {why}");
    view.lose(why);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_was_lost_is_started_again_after_a_rest() {
        let (answered, switchboard) = (Bell::new().unwrap(), Arc::<Switchboard>::default());
        let options = WebRtcOptions { port: 0, ..WebRtcOptions::default() };
        let view = view(&options, &answered).unwrap();
        let users = Arc::new(UserTable::new(true, lensd_ffi::auth::Lockout::new()));
        let mut browsers = Browsers::start(&switchboard, &users, &view).unwrap();
        while view.health.lock().port == 0 {
            std::thread::yield_now();
        }
        // Whatever it was, this is how it ends.
        view.lose("a fault".to_owned());
        view.bell.ring();
        let ended = browsers.thread.as_mut().unwrap().join();
        assert_eq!((ended, view.health.lock().error.as_str()), (None, "a fault"));
        let at = Nanos::from_secs;
        browsers.look(at(100));
        browsers.look(at(109));
        assert!(view.stop.load(std::sync::atomic::Ordering::Acquire), "it rests");
        browsers.look(at(110));
        assert!(browsers.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
        assert!(view.health.lock().error.is_empty() && browsers.again.is_none());
        view.end();
    }
}
