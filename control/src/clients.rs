//! Who is connected to `/api/v1`, and what each wants to be told.

use crate::engine::ConnKey;
use crate::http::auth::Who;
use lensd_ffi::auth::network;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) who: Who,
    /// When the token that it came with ends, in UTC milliseconds; none: it has none, or that lasts.
    pub(crate) until_ms: Option<i64>,
    /// What it may do, in words: clients of the same words get the same bytes.
    pub(crate) class: Arc<str>,
    /// Whether it is told of fluctuating values.
    pub(crate) measured: bool,
    /// Whether it gets pictures, and of which stream.
    pub(crate) pictures: Option<Watched>,
    /// Its messages that wait for the one before.
    pub(crate) queue: Queue,
}

/// Messages of a client, which are answered in their order: one that changes something is over when
/// the change has its answer.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) waiting: VecDeque<String>,
    /// Bytes of those that wait.
    pub(crate) bytes: usize,
    /// Whether one has no answer yet.
    pub(crate) busy: bool,
    /// Whether they are gone through now.
    pub(crate) turning: bool,
}

/// What a client watches.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The stream's own name.
    pub(crate) stream: String,
    /// As the client named it.
    pub(crate) named: String,
    /// As video; none: as JPEG pictures.
    pub(crate) video: Option<Playing>,
}

/// How far a client is that plays video.
#[derive(Debug, Default)]
pub(crate) struct Playing {
    /// The init segment that it has, by its number; none: it has none.
    pub(crate) init: Option<u64>,
    /// The one that it had before the last parcel, which it may not have got.
    pub(crate) before: Option<u64>,
    /// Whether it has had everything up to here, and so can take what comes next.
    pub(crate) flows: bool,
    /// Whether it was behind, and goes on with the next key frame.
    pub(crate) skips: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// By their connections.
    pub(crate) map: HashMap<ConnKey, Client>,
}

/// More clients without a login than any one address needs when there is no room for others.
const CROWD: usize = 16;

impl Clients {
    /// Who makes room when there is none: the one that has waited longest of those without a login
    /// from the address that has the most of them, if those are a crowd.
    pub(crate) fn one_of_a_crowd(&self) -> Option<ConnKey> {
        let mut crowds: HashMap<IpAddr, (usize, ConnKey)> = HashMap::new();
        for (key, client) in self.map.iter().filter(|(_, client)| client.who.user.is_empty()) {
            let (count, first) = crowds.entry(network(client.peer.ip())).or_insert((0, *key));
            *count += 1;
            if key.generation < first.generation {
                *first = *key;
            }
        }
        let most = crowds.into_values().max_by_key(|(count, first)| (*count, first.generation))?;
        (most.0 >= CROWD).then_some(most.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_makes_room_and_nobody_else() {
        let mut clients = Clients::default();
        let add = |clients: &mut Clients, from: [u8; 4], user: &str| {
            let generation = clients.map.len() as u64;
            let who = Who { user: user.into(), ..Who::default() };
            let client = Client {
                peer: SocketAddr::from((from, 1)),
                who,
                until_ms: None,
                class: "".into(),
                measured: false,
                pictures: None,
                queue: Queue::default(),
            };
            let key = ConnKey { index: 0, generation };
            clients.map.insert(key, client);
            key
        };
        for _ in 0..30 {
            add(&mut clients, [10, 0, 0, 1], "ann");
        }
        add(&mut clients, [10, 0, 0, 2], "");
        let first = add(&mut clients, [10, 0, 0, 3], "");
        for _ in 1..CROWD {
            assert_eq!(clients.one_of_a_crowd(), None);
            add(&mut clients, [10, 0, 0, 3], "");
        }
        assert_eq!(clients.one_of_a_crowd(), Some(first));
    }
}
