//! What control asks the engine about WebRTC: signalling comes over HTTP, sessions are the engine's.

use crate::auth::Login;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Longest session description in bytes. Browsers' offers of one picture have some 8,000.
pub const MAX_SDP: usize = 64 * 1024;

/// Who asks, and how he reached the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RtcFrom {
    /// Who he has proved to be; a session ends when that does not hold any more.
    pub login: Login,
    /// His address.
    pub peer: IpAddr,
    /// Our address at which he asked: one that certainly leads here.
    pub local: IpAddr,
    /// Product name of the client.
    pub agent: String,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum RtcAct {
    /// The client offers to receive a stream (WHEP, draft-ietf-wish-whep section 4). Answer
    /// [`Answer::Rtc`](crate::link::Answer::Rtc) with our SDP answer.
    Play {
        /// Path of the stream, such as `stream1`.
        stream: String,
        /// SDP, at most [`MAX_SDP`] bytes.
        offer: String,
    },
    /// We offer to send a stream. Answer [`Answer::Rtc`](crate::link::Answer::Rtc) with our offer.
    Offer {
        /// Path of the stream.
        stream: String,
    },
    /// The client's answer to our offer. Answer [`Answer::Done`](crate::link::Answer::Done).
    Accept {
        /// The session; empty: the one whose offer had the `a=mid` of this answer.
        session: String,
        /// SDP, at most [`MAX_SDP`] bytes.
        answer: String,
    },
    /// Candidates of the client (RFC 8840, trickle ICE). Answer
    /// [`Answer::Done`](crate::link::Answer::Done).
    Trickle {
        /// The session; empty: the one of this user whose offer had this `a=mid`.
        session: String,
        /// `application/trickle-ice-sdpfrag`.
        fragment: String,
    },
    /// Ends a session. Answer [`Answer::Done`](crate::link::Answer::Done).
    End {
        /// The session.
        session: String,
    },
}
