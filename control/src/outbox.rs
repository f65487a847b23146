//! What handlers send to WebSockets: it is carried to the connections when the handlers are done,
//! so that one who sends never meets one who receives, and messages to one client leave together.

use crate::engine::ConnKey;
use std::sync::Arc;

/// What is sent.
#[derive(Debug)]
pub(crate) enum Parcel {
    /// A frame.
    Frame(Arc<Vec<u8>>),
    /// A frame that a client who has not taken everything before does without.
    IfClear(Arc<Vec<u8>>),
    /// Frames of video, all or none: a client who is behind does without, and that is noted.
    Together(Vec<Arc<Vec<u8>>>),
    /// Longer messages are taken from this client from now on.
    Trust,
    /// The end, with a code of RFC 6455 7.4.1.
    Close(u16, &'static str),
}

/// The outbox.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    parcels: Vec<(ConnKey, Parcel)>,
    /// To whom video was not sent, since they are behind.
    behind: Vec<ConnKey>,
}

impl Outbox {
    /// A frame of `ws::frame_text` or `ws::frame_binary`. One for many clients is made once.
    pub(crate) fn send(&mut self, to: ConnKey, frame: Arc<Vec<u8>>) {
        self.parcels.push((to, Parcel::Frame(frame)));
    }

    /// A picture: who is behind gets none.
    pub(crate) fn send_if_clear(&mut self, to: ConnKey, frame: Arc<Vec<u8>>) {
        self.parcels.push((to, Parcel::IfClear(frame)));
    }

    /// Video: who is behind gets nothing of it, see [`Outbox::take_behind`].
    pub(crate) fn send_together(&mut self, to: ConnKey, frames: Vec<Arc<Vec<u8>>>) {
        self.parcels.push((to, Parcel::Together(frames)));
    }

    /// Video was not sent to this client.
    pub(crate) fn note_behind(&mut self, client: ConnKey) {
        self.behind.push(client);
    }

    /// Who did not get video since the last call.
    pub(crate) fn take_behind(&mut self) -> Vec<ConnKey> {
        std::mem::take(&mut self.behind)
    }

    /// The client has logged in, and may send messages of full length.
    pub(crate) fn trust(&mut self, to: ConnKey) {
        self.parcels.push((to, Parcel::Trust));
    }

    /// Ends a connection behind what was sent to it.
    pub(crate) fn close(&mut self, to: ConnKey, code: u16, reason: &'static str) {
        self.parcels.push((to, Parcel::Close(code, reason)));
    }

    /// How much waits to be carried away.
    pub(crate) const fn len(&self) -> usize {
        self.parcels.len()
    }

    /// Takes everything.
    pub(crate) fn take(&mut self) -> Vec<(ConnKey, Parcel)> {
        std::mem::take(&mut self.parcels)
    }
}
