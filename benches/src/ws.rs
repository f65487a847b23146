//! The load client of WebSocket `/api/v1`: one client sets a key, all others are told.
//!
//! One thread, one poller, blocking writes of single frames: cheap enough not to be the bottleneck
//! up to some thousand clients.

use hdrhistogram::Histogram;
use lensd_ffi::time::{Nanos, now};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

/// How long anything may take before the bench gives up.
const PATIENCE: Nanos = Nanos::from_secs(20);
/// What a client may send per second, with some room below the server's limit of 100.
const PACE: u32 = 96;

/// What to do; the command line of `bench ws`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `ws://HOST:PORT/PATH`.
    pub url: String,
    /// How many listen.
    pub clients: usize,
    /// How often the key is set.
    pub rounds: u32,
    /// How many set at once in the test of many changes.
    pub setters: usize,
    /// Length of that test.
    pub length: Nanos,
    /// The key, a number from 1 to 100.
    pub key: String,
    /// Who may set it.
    pub user: String,
    /// Password.
    pub password: String,
    /// Server processes whose memory is looked at.
    pub server_pids: Vec<u32>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Clients that listened.
    pub clients: usize,
    /// From a change to its confirmation.
    pub confirmation: Spread,
    /// From a change to each client's being told.
    pub broadcast: Spread,
    /// Changes that a client was not told of in time.
    pub lost: u64,
    /// Confirmed changes per second, by many clients at once.
    pub updates_per_s: u64,
    /// Resident memory per idle client in KiB, if processes were named.
    pub kib_per_client: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, lost, updates_per_s, .. } = self;
        writeln!(f, "{clients} clients")?;
        for (name, s) in [("confirmation", self.confirmation), ("broadcast", self.broadcast)] {
            let Spread { p50_us, p99_us, max_us } = s;
            writeln!(f, "{name:<13} p50 {p50_us} us, p99 {p99_us} us, max {max_us} us")?;
        }
        writeln!(f, "lost          {lost}")?;
        writeln!(f, "updates       {updates_per_s} per second")?;
        if let Some(kib) = self.kib_per_client {
            writeln!(f, "memory        {kib:.1} KiB per idle client")?;
        }
        Ok(())
    }
}

/// One client.
struct Client {
    stream: TcpStream,
    /// Bytes that are no whole frame yet.
    input: Vec<u8>,
}

impl Client {
    fn connect(host: &str, path: &str) -> io::Result<Self> {
        let mut stream = std::net::TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE.duration()))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bGVuc2QgYmVuY2ggd3MuLg==\r\n\r\n"
        )?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let text = String::from_utf8_lossy(&head).lines().next().unwrap_or("").to_owned();
            return Err(io::Error::other(format!("no WebSocket: {text}")));
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream: TcpStream::from_std(stream), input: Vec::new() })
    }

    /// Sends a text; the mask is zero, which is a mask.
    fn send(&mut self, message: &Value) -> io::Result<()> {
        let text = message.to_string();
        let length = u16::try_from(text.len()).map_err(io::Error::other)?;
        let mut frame = match u8::try_from(length) {
            Ok(short @ 0..126) => vec![0x81, 0x80 | short],
            _ => [&[0x81, 0xfe][..], &length.to_be_bytes()].concat(),
        };
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        let mut rest = &frame[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads what is there, and gives each whole message to `take`.
    fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.input.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let mut rest = &self.input[..];
        let mut pings = 0;
        while let Some((opcode, payload, behind)) = split(rest) {
            match opcode {
                1 => take(payload),
                9 => pings += 1,
                8 => return Err(io::Error::other("the server ended the connection")),
                _ => {}
            }
            rest = behind;
        }
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        for _ in 0..pings {
            let _ = self.stream.write(&[0x8a, 0x80, 0, 0, 0, 0]);
        }
        Ok(())
    }
}

/// The first frame: opcode, payload, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)?);
    let (length, head) = match length {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = head + usize::try_from(length).ok()?;
    Some((first & 15, bytes.get(head..end)?, &bytes[end..]))
}

struct Bench {
    poll: Poll,
    clients: Vec<Client>,
}

impl Bench {
    fn add(&mut self, mut client: Client) -> io::Result<usize> {
        let token = Token(self.clients.len());
        self.poll.registry().register(&mut client.stream, token, Interest::READABLE)?;
        self.clients.push(client);
        Ok(token.0)
    }

    /// Hears messages until `over` says so, or the time is up.
    fn hear(&mut self, until: Nanos, mut over: impl FnMut(usize, &[u8]) -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut done = false;
        while !done && now() < until {
            let wait = until.since(now()).duration().min(Duration::from_millis(100));
            self.poll.poll(&mut events, Some(wait))?;
            for event in &events {
                let index = event.token().0;
                self.clients[index].read(|message| done |= over(index, message))?;
            }
        }
        Ok(())
    }

    /// Logs a client in; returns its token.
    fn log_in(&mut self, index: usize, login: &Value) -> Result<String, String> {
        let fail = |e: io::Error| format!("login: {e}");
        self.clients[index].send(login).map_err(fail)?;
        let mut answer = Value::Null;
        self.hear(now().plus(PATIENCE), |from, message| {
            let parsed: Value = serde_json::from_slice(message).unwrap_or_default();
            let ours = from == index && parsed.get("authenticated").is_some();
            if ours {
                answer = parsed;
            }
            ours
        })
        .map_err(fail)?;
        match answer["token"].as_str() {
            Some(token) if answer["authenticated"] == true => Ok(token.to_owned()),
            _ => Err(format!("login: {answer}")),
        }
    }
}

fn spread(histogram: &Histogram<u64>) -> Spread {
    let us = |q| histogram.value_at_quantile(q) / 1000;
    Spread { p50_us: us(0.5), p99_us: us(0.99), max_us: histogram.max() / 1000 }
}

/// Resident memory of processes in KiB.
fn memory(pids: &[u32]) -> u64 {
    let of = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    pids.iter().filter_map(of).sum()
}

/// Runs it.
///
/// # Errors
/// When there is no such server, or nobody may log in.
pub fn run(config: &Config) -> Result<Report, String> {
    let address = config.url.strip_prefix("ws://").ok_or("the URL must begin with ws://")?;
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let path = format!("/{path}");
    let fail = |e: io::Error| format!("{}: {e}", config.url);
    let mut bench = Bench { poll: Poll::new().map_err(fail)?, clients: Vec::new() };
    let setter = bench.add(Client::connect(host, &path).map_err(fail)?).map_err(fail)?;
    let login = json!({ "username": config.user, "password": config.password });
    let token = bench.log_in(setter, &login)?;
    let before = memory(&config.server_pids);
    for _ in 0..config.clients {
        bench.add(Client::connect(host, &path).map_err(fail)?).map_err(fail)?;
    }
    std::thread::sleep(Duration::from_millis(500));
    let grown = memory(&config.server_pids).saturating_sub(before);
    let kib_per_client =
        (!config.server_pids.is_empty()).then(|| grown as f64 / config.clients as f64);
    for index in 1..=config.clients {
        bench.log_in(index, &json!({ "token": token }))?;
    }
    let (confirmation, broadcast, lost) = latencies(&mut bench, config).map_err(fail)?;
    drop(bench);
    let updates_per_s = many_changes(host, &path, config, &token)?;
    let clients = config.clients;
    Ok(Report { clients, confirmation, broadcast, lost, updates_per_s, kib_per_client })
}

fn latencies(bench: &mut Bench, config: &Config) -> io::Result<(Spread, Spread, u64)> {
    let histogram = || Histogram::<u64>::new(3).map_err(io::Error::other);
    let (mut confirmed, mut told, mut lost) = (histogram()?, histogram()?, 0);
    for round in 0..config.rounds {
        // Another value each time, so that a late message is not taken for this round's.
        let value = round % 90 + 5;
        let want = format!("\"{}\":{value}", config.key);
        let mut left = config.clients;
        let mut waits = true;
        let sent = now();
        bench.clients[0].send(&json!({ config.key.as_str(): value }))?;
        bench.hear(now().plus(PATIENCE), |index, message| {
            let took = now().since(sent).0;
            let ours = message.windows(want.len()).any(|w| w == want.as_bytes());
            if ours && index == 0 {
                waits = false;
                let _ = confirmed.record(took);
            } else if ours {
                left -= 1;
                let _ = told.record(took);
            }
            left == 0 && !waits
        })?;
        lost += left as u64 + u64::from(waits);
        // Below the limit of messages.
        std::thread::sleep(Duration::from_millis(12));
    }
    Ok((spread(&confirmed), spread(&told), lost))
}

/// Many clients, each as fast as it may.
fn many_changes(host: &str, path: &str, config: &Config, token: &str) -> Result<u64, String> {
    let fail = |e: io::Error| format!("{}: {e}", config.url);
    let mut bench = Bench { poll: Poll::new().map_err(fail)?, clients: Vec::new() };
    for _ in 0..config.setters {
        let index = bench.add(Client::connect(host, path).map_err(fail)?).map_err(fail)?;
        bench.log_in(index, &json!({ "token": token }))?;
    }
    let (begin, mut confirmed) = (now(), 0_u64);
    let end = begin.plus(config.length);
    let mut round = 0_u64;
    while now() < end {
        let value = round % 90 + 5;
        for client in &mut bench.clients {
            client.send(&json!({ config.key.as_str(): value })).map_err(fail)?;
        }
        round += 1;
        let next = begin.plus(Nanos(round * 1_000_000_000 / u64::from(PACE)));
        bench
            .hear(next, |_, message| {
                confirmed += u64::from(message.windows(8).any(|w| w == b"\"info\":["));
                false
            })
            .map_err(fail)?;
    }
    let took = now().since(begin).0.max(1);
    Ok(confirmed * 1_000_000_000 / took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(split(b"\x81\x02hix"), Some((1, &b"hi"[..], &b"x"[..])));
        assert_eq!(split(b"\x81\x02h"), None);
        let long = [&[0x82, 126, 0, 200][..], &[7; 200]].concat();
        assert_eq!(split(&long).map(|(op, p, r)| (op, p.len(), r.len())), Some((2, 200, 0)));
        assert_eq!(split(&[0x81, 127, 0]), None);
    }
}
