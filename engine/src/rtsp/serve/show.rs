//! What others see of the clients.

use super::{Client, Role};
use crate::rtsp::client::Delivery;
use crate::rtsp::session::State;
use crate::rtsp::world::Call;
use lensd_ffi::state::ClientState;
use lensd_ffi::time::Nanos;

/// What others see of a client at `now`.
pub(super) fn describe(client: &mut Client, id: &str, now: Nanos) -> ClientState {
    let transport = match (client.holding.delivery(), &client.role) {
        _ if client.conn.is_tls() => "tls",
        (_, Role::TunnelOut(_)) => "http",
        (Some(delivery), _) => match delivery {
            Delivery::Stream { .. } => "tcp",
            Delivery::Datagrams { .. } => "udp",
            Delivery::Group => "multicast",
        },
        (None, _) if client.holding.feed.is_some() => client.holding.feed_way(),
        (None, _) => match &client.holding.ingest {
            Some(p) if p.channels.is_none() => "udp",
            _ => "tcp",
        },
    };
    let state = match client.session.state() {
        State::Playing => "playing",
        State::Recording => "recording",
        State::Ready | State::Init => "paused",
    };
    let counts = Call::counts(&client.holding);
    ClientState {
        id: id.chars().take(6).collect(),
        address: client.conn.peer.to_string(),
        user: client.session.user().to_owned(),
        path: client.session.path().name.clone(),
        transport: transport.to_owned(),
        agent: client.session.agent().to_owned(),
        state: state.to_owned(),
        since_ms: client.holding.since_ms(),
        units: counts.units,
        packets: counts.packets,
        bytes: counts.bytes,
        skipped: counts.skipped,
        skipped_groups: counts.skipped_groups,
        reported_lost: counts.reported_lost,
        jitter_us: counts.jitter_us,
        round_trip_us: counts.round_trip_us,
        send: client.holding.receiver.as_mut().and_then(|r| r.sent(now)),
    }
}
