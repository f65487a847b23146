//! The load client's only loop: connect, settle, measure, report, say goodbye.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

use lensd_ffi::time::{self, Nanos};
use mio::{Events, Poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Config;
use super::client::{Client, TOKENS};
use super::report::{Counts, Failure, Line, Own, Report, Server, Spread};
use super::tally::Tally;
use super::udp::{Pair, Receiver};
use crate::process::{Sample, Watch, machine_ticks, own_cpu_ms, udp_drops};

/// One buffer for all connections; it holds the longest item that the parser accepts.
const BUFFER: usize = 256 * 1024;
/// How often deadlines are looked at; the finest of them is a second.
const TICK: Nanos = Nanos::from_millis(50);
/// Clients that have no packet by then will not get one.
const SETTLE_LIMIT: Nanos = Nanos::from_secs(20);
/// How long goodbyes may take.
const GOODBYE_LIMIT: Nanos = Nanos::from_secs(2);
/// RTP ports are taken from here on.
const FIRST_PORT: u16 = 22_000;

/// Runs the load that `config` describes.
pub fn run(config: &Config) -> Result<Report, String> {
    let address = config.url.resolve()?;
    raise_file_limit(config.clients * TOKENS + 64)?;
    let watch = match &config.server_pids[..] {
        [] => None,
        pids => Some(Watch::new(pids)?),
    };
    let idle = watch.as_ref().map(|watch| {
        let (from, began) = (watch.sample(), time::now());
        std::thread::sleep(config.baseline.duration());
        (from, watch.sample(), time::now().since(began))
    });
    let mut load = Load::new(config, address).map_err(|e| e.to_string())?;
    let measured = load.run(watch.as_ref()).map_err(|e| e.to_string())?;
    let report = load.report(&measured, idle);
    load.say_goodbye().map_err(|e| e.to_string())?;
    Ok(report)
}

/// Samples at both ends of the measurement.
struct Measured {
    from: Instant,
    to: Instant,
}

struct Instant {
    at: Nanos,
    own_cpu_ms: f64,
    machine: [u64; 3],
    server: Option<Sample>,
    bytes: u64,
}

struct Load<'a> {
    config: &'a Config,
    address: SocketAddr,
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    receiver: Receiver,
    tally: Tally,
    clients: Vec<Client>,
    /// Why a client could not even be made.
    unmade: Vec<String>,
    next_port: u16,
    next_tick: Nanos,
}

impl<'a> Load<'a> {
    fn new(config: &'a Config, address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            config,
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            receiver: Receiver::new(),
            tally: Tally::new(),
            clients: Vec::with_capacity(config.clients),
            unmade: Vec::new(),
            // Another start in every process: a server that has not yet noticed the end of the last
            // run would otherwise send its packets into this one.
            next_port: FIRST_PORT + (std::process::id() % 256) as u16 * 64,
            next_tick: Nanos(0),
        })
    }

    fn run(&mut self, watch: Option<&Watch>) -> io::Result<Measured> {
        self.join()?;
        let give_up = time::now().plus(SETTLE_LIMIT);
        while time::now() < give_up && !self.clients.iter().all(Client::is_settled) {
            self.turn(give_up)?;
        }
        let settled = time::now().plus(self.config.settle);
        while time::now() < settled {
            self.turn(settled)?;
        }
        let from = self.instant(watch);
        self.tally.open = true;
        let end = from.at.plus(self.config.length);
        loop {
            let now = time::now();
            // With nobody left there is nothing to wait for.
            if now >= end || self.clients.iter().all(|c| c.failure.is_some()) {
                break;
            }
            let next_stop = self.stop_and_resume(now.since(from.at))?;
            self.turn(end.min(from.at.plus(next_stop)))?;
        }
        let to = self.instant(watch);
        self.tally.open = false;
        Ok(Measured { from, to })
    }

    /// Connects the clients, evenly spread.
    fn join(&mut self) -> io::Result<()> {
        let began = time::now();
        let step = self.config.join_spread.0 / self.config.clients.max(1) as u64;
        for index in 0..self.config.clients {
            let due = began.plus(Nanos(step * index as u64));
            while time::now() < due {
                self.turn(due)?;
            }
            if let Err(e) = self.connect() {
                self.unmade.push(e.to_string());
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<()> {
        let udp = match self.config.udp {
            true => Some(Pair::bind(self.local_ip(), &mut self.next_port)?),
            false => None,
        };
        let uri = self.config.url.request_uri();
        let index = self.clients.len();
        let mut client = Client::connect(
            index,
            self.address,
            uri,
            self.config.login.clone(),
            udp,
            self.poll.registry(),
        )?;
        client.stops = self.config.stops.iter().any(|stop| stop.client == index);
        self.clients.push(client);
        Ok(())
    }

    /// Loopback for a loopback server, so that nobody else can send; else any interface.
    fn local_ip(&self) -> IpAddr {
        match self.address.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => IpAddr::from([0; 4]),
            IpAddr::V6(_) => IpAddr::from([0; 16]),
        }
    }

    /// One wait, until `limit` at most, and all that it brings.
    fn turn(&mut self, limit: Nanos) -> io::Result<()> {
        let now = time::now();
        if now >= self.next_tick {
            self.next_tick = now.plus(TICK);
            self.clients.iter_mut().for_each(|client| client.tick(now));
        }
        let wait = self.next_tick.min(limit).since(now).duration();
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.events {
            let token = event.token().0;
            let Some(client) = self.clients.get_mut(token / TOKENS) else { continue };
            match token % TOKENS {
                0 => {
                    let ended = event.is_read_closed() || event.is_error();
                    client.tcp_ready(ended, &mut self.buffer, &mut self.tally);
                }
                kind => client.udp_ready(kind == 2, &mut self.receiver, &mut self.tally),
            }
        }
        Ok(())
    }

    /// Pauses and resumes the clients that are to stop; says when that is next due.
    fn stop_and_resume(&mut self, elapsed: Nanos) -> io::Result<Nanos> {
        let mut next = Nanos(u64::MAX / 2);
        for stop in &self.config.stops {
            let Some(client) = self.clients.get_mut(stop.client) else { continue };
            client.pause((stop.from..stop.until).contains(&elapsed), self.poll.registry())?;
            for edge in [stop.from, stop.until] {
                if edge > elapsed {
                    next = next.min(edge);
                }
            }
        }
        Ok(next)
    }

    fn instant(&self, watch: Option<&Watch>) -> Instant {
        Instant {
            server: watch.map(Watch::sample),
            bytes: self.clients.iter().map(|c| c.stream.counters.bytes).sum(),
            own_cpu_ms: own_cpu_ms(),
            machine: machine_ticks(),
            at: time::now(),
        }
    }

    fn report(&self, measured: &Measured, idle: Option<(Sample, Sample, Nanos)>) -> Report {
        let Measured { from, to } = measured;
        let per_client: Vec<Line> = self.clients.iter().map(line).collect();
        let playing = per_client.iter().filter(|l| l.failure.is_none() && l.counts.packets > 0);
        let playing = playing.count();
        let mut total = Counts::default();
        per_client.iter().filter(|l| !l.stopped).for_each(|l| total.add(&l.counts));
        let span = to.at.since(from.at);
        let seconds = span.0.max(1) as f64 / 1e9;
        let client_seconds = seconds * playing.max(1) as f64;
        let own = if playing == 0 { 0.0 } else { to.own_cpu_ms - from.own_cpu_ms };
        let ticks = |i: usize| to.machine[i].saturating_sub(from.machine[i]) as f64;
        let of_machine = |i: usize| 100.0 * ticks(i) / ticks(2).max(1.0);
        let server = idle.zip(from.server.zip(to.server));
        let ports: BTreeSet<u16> = self.clients.iter().filter_map(Client::rtp_port).collect();
        let failures = self.failures(&per_client);
        let spread = |value: fn(&Line) -> Option<f64>| {
            Spread::of_values(per_client.iter().filter(|l| !l.stopped).filter_map(value))
        };
        Report {
            version: 1,
            url: self.config.url.request_uri(),
            transport: if self.config.udp { "udp" } else { "tcp" }.to_owned(),
            clients: self.config.clients,
            playing,
            seconds,
            clean: total.is_clean() && failures.is_empty() && playing == self.config.clients,
            total,
            mbit_per_client: (to.bytes - from.bytes) as f64 * 8.0 / 1e6 / client_seconds,
            time_to_first_packet_ms: spread(|l| l.time_to_first_packet_ms),
            time_to_first_key_frame_ms: spread(|l| l.time_to_first_key_frame_ms),
            jitter_ms: spread(|l| Some(l.jitter_ms)),
            latency_ms: Spread::of(&self.tally.last_packet),
            first_packet_latency_ms: Spread::of(&self.tally.first_packet),
            server: server.map(|(idle, (a, b))| Server::of(idle, (a, b, span), playing)),
            client: Own {
                cpu_percent: own / seconds / 10.0,
                cpu_ms_per_client_second: own / client_seconds,
                udp_receive_drops: if ports.is_empty() { 0 } else { udp_drops(&ports) },
                machine_busy_percent: of_machine(0),
                machine_stolen_percent: of_machine(1),
            },
            failures,
            per_client,
        }
    }

    fn failures(&self, lines: &[Line]) -> Vec<Failure> {
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in lines.iter().filter_map(|l| l.failure.as_deref()) {
            *counted.entry(reason).or_default() += 1;
        }
        for reason in &self.unmade {
            *counted.entry(reason).or_default() += 1;
        }
        let failure =
            |(reason, clients): (&str, usize)| Failure { reason: reason.to_owned(), clients };
        counted.into_iter().map(failure).collect()
    }

    fn say_goodbye(&mut self) -> io::Result<()> {
        let now = time::now();
        self.clients.iter_mut().for_each(|client| client.close(now));
        let limit = now.plus(GOODBYE_LIMIT);
        while time::now() < limit && !self.clients.iter().all(Client::is_over) {
            self.turn(limit)?;
        }
        Ok(())
    }
}

fn line(client: &Client) -> Line {
    let stream = &client.stream;
    let since_connect = |at: Nanos| at.since(client.began).0 as f64 / 1e6;
    Line {
        counts: Counts::of(stream),
        time_to_first_packet_ms: stream.first_packet.map(since_connect),
        time_to_first_key_frame_ms: stream.first_key_frame.map(since_connect),
        jitter_ms: stream.jitter_ms(),
        latency_ms: Spread::of(&client.latency),
        stopped: client.stops,
        failure: client.failure.clone(),
    }
}

/// Lets this process have `wanted` descriptors, past the soft limit if the hard one allows it.
fn raise_file_limit(wanted: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = wanted as u64;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = match limit.maximum {
        Some(maximum) if maximum < wanted => {
            // Only root may pass the hard limit; the refusal is the user's to solve.
            Some(wanted)
        }
        other => other,
    };
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|e| format!("{wanted} open files are needed, see `ulimit -n`: {e}"))
}
