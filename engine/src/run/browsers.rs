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
use std::io;
use std::sync::Arc;

/// What the engine sees of it; `answered` rings when a question has its answer.
pub(super) fn view(options: &WebRtcOptions, answered: &Bell) -> io::Result<Arc<View>> {
    let bell = Arc::new(Bell::new()?);
    Ok(Arc::new(View::new(options.clone(), bell, answered.try_clone()?)))
}

/// Starts WebRTC. Streams go on without it.
pub(super) fn start(
    switchboard: &Arc<Switchboard>,
    users: &Arc<UserTable>,
    view: &Arc<View>,
) -> Option<Thread> {
    let started = try_start(switchboard, users, view);
    started.map_err(|e| lose(view, e.to_string())).ok()
}

fn try_start(
    switchboard: &Arc<Switchboard>,
    users: &Arc<UserTable>,
    view: &Arc<View>,
) -> io::Result<Thread> {
    let change = Bell::new()?;
    switchboard.watch(change.try_clone()?);
    let world = World {
        switchboard: Arc::clone(switchboard),
        guard: users.guard(random_key()),
        users: Arc::clone(users),
        view: Arc::clone(view),
        random: random_word,
        timeline: timeline(),
    };
    let server = Server::new(world, change)?;
    let view = Arc::clone(view);
    Thread::start("webrtc", Stop::new(Arc::clone(&view.bell)), move |_| {
        match guard(|| server.run()) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => lose(&view, e.to_string()),
            Err(panic) => lose(&view, panic),
        }
    })
}

fn lose(view: &View, why: String) {
    tracing::error!("WebRTC has ended: {why}");
    view.lose(why);
}
