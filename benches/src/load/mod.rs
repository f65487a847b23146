//! The load client: many RTSP sessions in one thread, cheap enough not to be the bottleneck.

use lensd_ffi::time::Nanos;

use crate::rtsp::auth::Login;
use crate::rtsp::url::RtspUrl;

mod client;
pub mod report;
mod serve;
mod tally;
mod udp;

pub use serve::run;

/// A client that stops reading for a while, like a stopped process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Which client, from 0.
    pub client: usize,
    /// From when, in the measurement.
    pub from: Nanos,
    /// Until when.
    pub until: Nanos,
}

/// What to do; the command line of `bench rtsp`.
#[derive(Debug, Clone)]
pub struct Config {
    /// What to play.
    pub url: RtspUrl,
    /// How many clients.
    pub clients: usize,
    /// RTP over UDP instead of interleaved.
    pub udp: bool,
    /// Length of the measurement.
    pub length: Nanos,
    /// User and password.
    pub login: Option<Login>,
    /// The clients connect evenly within this time.
    pub join_spread: Nanos,
    /// From the last client's first packet to the begin of the measurement.
    pub settle: Nanos,
    /// Clients that stop reading.
    pub stops: Vec<Stop>,
    /// Server processes to watch.
    pub server_pids: Vec<u32>,
    /// How long the server is watched before the first client connects.
    pub baseline: Nanos,
}

impl Stop {
    /// Parses `K@FROM:TO`, seconds of the measurement.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected CLIENT@FROM:TO in seconds, such as 0@2:7.5");
        let (client, span) = text.split_once('@').ok_or_else(wrong)?;
        let (from, until) = span.split_once(':').ok_or_else(wrong)?;
        let nanos = |text: &str| {
            let span = std::time::Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
            Some(Nanos(u64::try_from(span.as_nanos()).ok()?))
        };
        let client = client.parse().map_err(|_| wrong())?;
        let (from, until) = nanos(from).zip(nanos(until)).ok_or_else(wrong)?;
        if until <= from { Err(wrong()) } else { Ok(Self { client, from, until }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops() {
        let stop = Stop::parse("3@2:7.5").unwrap();
        assert_eq!((stop.client, stop.until), (3, Nanos::from_millis(7500)));
        for bad in ["3", "3@2", "3@5:2", "x@1:2", "3@-1:2"] {
            assert!(Stop::parse(bad).is_err(), "{bad}");
        }
    }
}
