//! Live pictures over HTTP: `multipart/x-mixed-replace`, one JPEG a part.
//!
//! A viewer is given the newest picture whenever everything before it has left, so a slow one
//! sees fewer pictures and never older ones. Events go the same way, and none of them is skipped.

use lensd_ffi::auth::Login;
use lensd_ffi::state::ClientState;
use lensd_ffi::time::{Nanos, Stamp};
use std::sync::Arc;

/// Between parts. Long enough that no JPEG holds it by accident.
pub(crate) const BOUNDARY: &str = "lensd-frame-7f3a9c51";

/// A picture as a part. The boundary stands behind it too, so that a client shows a picture when
/// it has come and not when the next one begins.
pub(crate) fn part(jpeg: &[u8], capture: Stamp) -> Vec<u8> {
    let secs = capture.utc.0.div_euclid(1_000_000_000);
    let micros = capture.utc.0.rem_euclid(1_000_000_000) / 1000;
    let mut out = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {secs}.{micros:06}\r\n\r\n",
        jpeg.len()
    )
    .into_bytes();
    out.reserve(jpeg.len() + BOUNDARY.len() + 6);
    out.extend_from_slice(jpeg);
    out.extend_from_slice(format!("\r\n--{BOUNDARY}\r\n").as_bytes());
    out
}

/// What stands before the first part.
pub(crate) fn opening() -> Arc<Vec<u8>> {
    Arc::new(format!("--{BOUNDARY}\r\n").into_bytes())
}

/// Who is sent something without an end.
#[derive(Debug)]
pub(crate) enum Viewer {
    /// Watches pictures.
    Pictures(Box<Pictures>),
    /// Is told of events.
    Events(Listener),
}

/// Who is told of events (server-sent events, as HTML's standard names them).
#[derive(Debug)]
pub(crate) struct Listener {
    /// What he may read, as long as that login holds.
    pub(crate) who: Login,
    /// The last event that he was told of, or may not read.
    pub(crate) seen: u64,
    /// When he was told something last; none: not even that it begins.
    pub(crate) told: Option<Nanos>,
}

/// Who watches pictures.
#[derive(Debug)]
pub(crate) struct Pictures {
    /// Who he is, as long as that login holds.
    pub(crate) who: Login,
    /// The stream at present.
    pub(crate) stream: String,
    /// Whether it goes over to another camera when the active one changes.
    pub(crate) follows: bool,
    /// Whether the opening is sent.
    pub(crate) opened: bool,
    /// Ring and number of the last picture.
    pub(crate) seen: Option<(u64, u64)>,
    /// As `/api/streams/{id}/clients` shows it.
    pub(crate) client: ClientState,
}

impl Pictures {
    /// A picture of so many bytes is on its way.
    pub(crate) fn note(&mut self, at: (u64, u64), bytes: usize) {
        if let Some((epoch, seq)) = self.seen
            && epoch == at.0
        {
            self.client.skipped += at.1.saturating_sub(seq + 1);
        }
        self.seen = Some(at);
        self.client.units += 1;
        self.client.bytes += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::time::UtcNanos;

    #[test]
    fn a_part_has_its_length_its_time_and_an_end() {
        let capture = Stamp { utc: UtcNanos(1_700_000_000_000_001_000), ..Stamp::default() };
        let text = String::from_utf8(part(b"JPEG", capture)).unwrap();
        assert!(
            text.contains("Content-Length: 4\r\nX-Timestamp: 1700000000.000001\r\n\r\nJPEG\r\n--")
        );
    }

    #[test]
    fn skipped_pictures_are_counted_within_a_ring() {
        let mut viewer = Pictures {
            who: Login::default(),
            stream: String::new(),
            follows: false,
            opened: true,
            seen: None,
            client: ClientState::default(),
        };
        for at in [(1, 5), (1, 6), (1, 9), (2, 0)] {
            viewer.note(at, 10);
        }
        assert_eq!((viewer.client.units, viewer.client.skipped, viewer.client.bytes), (4, 2, 40));
    }
}
