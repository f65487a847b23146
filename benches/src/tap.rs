//! How soon programs that read frames from shared memory are awake: from the moment at which the
//! server begins to give a frame to the moment at which a client has it.
//!
//! A thread and a connection for each client, as each would be a program of its own.

use hdrhistogram::Histogram;
use lensd_ffi::bell::Bell;
use lensd_ffi::tap::client::{Counts, Options, Tap};
use lensd_ffi::tap::wire::Mode;
use lensd_ffi::time::{Nanos, now};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder};
use std::time::Duration;

/// How long a client waits for a frame before it looks at the time.
const WAIT: Nanos = Nanos::from_millis(200);
/// Before the measurement: buffers are sent and mapped.
const SETTLE: Nanos = Nanos::from_millis(500);

/// What to do; the command line of `bench tap`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's socket.
    pub socket: PathBuf,
    /// Which stream.
    pub stream: String,
    /// How many read.
    pub clients: usize,
    /// Length of the measurement.
    pub length: Nanos,
    /// All frames, or the newest.
    pub mode: Mode,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
}

impl Spread {
    #[expect(clippy::cast_precision_loss, reason = "spans below seconds")]
    fn of(all: &Histogram<u64>) -> Self {
        let at = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: all.max() as f64 / 1e3,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Clients that read.
    pub clients: usize,
    /// Size of the frames.
    pub size: String,
    /// Frames that were taken, of all clients.
    pub frames: u64,
    /// Frames per second and client.
    pub fps: f64,
    /// From the server's giving to the client's having.
    pub wake: Spread,
    /// From the capture to the client's having.
    pub latency: Spread,
    /// What the kernel alone takes on this machine at this time: as many threads that wait for an
    /// eventfd each, rung at the same rate by one thread that does nothing else.
    pub floor: Spread,
    /// Frames that a client did not get, or lost while it held them.
    pub lost: u64,
    /// Picture bytes that the server's processors wrote for the tap meanwhile; none: its operations
    /// socket is not beside the tap's.
    pub copied_bytes: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, size, frames, fps, lost, .. } = self;
        writeln!(f, "{clients} clients, {size}, {fps:.1} frames per second each, {frames} in all")?;
        let rows = [
            ("given to woken", self.wake),
            ("capture to woken", self.latency),
            ("bare eventfds", self.floor),
        ];
        for (name, s) in rows {
            let Spread { p50_us, p99_us, p999_us, max_us } = s;
            writeln!(
                f,
                "{name:<17} p50 {p50_us:.1} us, p99 {p99_us:.1} us, p99.9 {p999_us:.1} us, max \
                 {max_us:.1} us"
            )?;
        }
        writeln!(f, "lost              {lost}")?;
        match self.copied_bytes {
            Some(bytes) => writeln!(f, "copied            {bytes} bytes"),
            None => writeln!(f, "copied            unknown: no operations socket"),
        }
    }
}

/// What one client has found.
struct Found {
    wake: Histogram<u64>,
    latency: Histogram<u64>,
    counts: Counts,
    size: String,
}

/// Runs it.
///
/// # Errors
/// What stood in the way.
pub fn run(config: &Config) -> Result<Report, String> {
    let ops = config.socket.with_file_name("engine-ops.sock");
    let begin = now().plus(SETTLE);
    let end = begin.plus(config.length);
    let before = copied(&ops);
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..config.clients)
            .map(|n| {
                let name = format!("client-{n}");
                Builder::new().name(name).spawn_scoped(scope, || client(config, begin, end))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let thread = thread.map_err(|e| format!("thread: {e}"))?;
                thread.join().map_err(|_| "a client has panicked".to_owned())?
            })
            .collect::<Result<Vec<Found>, String>>()
    })?;
    let copied_bytes = copied(&ops).zip(before).map(|(after, before)| after - before);
    let mut wake = found[0].wake.clone();
    let mut latency = found[0].latency.clone();
    for other in &found[1..] {
        wake.add(&other.wake).map_err(|e| e.to_string())?;
        latency.add(&other.latency).map_err(|e| e.to_string())?;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
    let fps = wake.len() as f64 / config.clients as f64 / (config.length.0 as f64 / 1e9);
    let floor = floor(config, fps)?;
    Ok(Report {
        clients: config.clients,
        size: found[0].size.clone(),
        frames: wake.len(),
        fps,
        wake: Spread::of(&wake),
        latency: Spread::of(&latency),
        floor: Spread::of(&floor),
        lost: found.iter().map(|f| f.counts.lost + f.counts.revoked).sum(),
        copied_bytes,
    })
}

/// Spans from a nanosecond to a minute.
#[expect(clippy::expect_used, reason = "constant bounds")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are sound")
}

fn client(config: &Config, begin: Nanos, end: Nanos) -> Result<Found, String> {
    let (mut wake, mut latency) = (histogram(), histogram());
    let options = Options {
        socket: Some(config.socket.clone()),
        stream: config.stream.clone(),
        mode: config.mode,
        ..Options::default()
    };
    let mut tap = Tap::open(&options).map_err(|e| e.to_string())?;
    let mut size = String::new();
    loop {
        let frame = tap.next(Some(WAIT)).map_err(|e| e.to_string())?;
        if now() >= end {
            break;
        }
        let Some(frame) = frame else { continue };
        if frame.woken < begin {
            continue;
        }
        let r = &frame.record;
        if size.is_empty() {
            size = format!("{}x{}", r.width, r.height);
        }
        wake.saturating_record(frame.woken.since(r.given).0);
        latency.saturating_record(frame.woken.since(r.capture.mono).0);
    }
    if wake.is_empty() {
        return Err("the camera delivers no frames".to_owned());
    }
    Ok(Found { wake, latency, counts: tap.counts(), size })
}

/// The same without a server: see [`Report::floor`].
fn floor(config: &Config, fps: f64) -> Result<Histogram<u64>, String> {
    let bells = (0..config.clients).map(|_| Bell::new());
    let bells = bells.collect::<Result<Vec<_>, _>>().map_err(|e| format!("eventfd: {e}"))?;
    let (rung, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let period = Duration::from_secs_f64(1.0 / fps.clamp(1.0, 1000.0));
    let end = now().plus(config.length);
    thread::scope(|scope| {
        let waiters: Vec<_> = bells
            .iter()
            .map(|bell| {
                let (rung, over) = (&rung, &over);
                Builder::new().name("waiter".to_owned()).spawn_scoped(scope, move || {
                    let mut spans = histogram();
                    loop {
                        let _ = poll(&mut [PollFd::new(bell, PollFlags::IN)], None);
                        bell.take();
                        let woken = now();
                        // The last ring has no moment of its own.
                        if over.load(Ordering::Acquire) {
                            return spans;
                        }
                        let rung = Nanos(rung.load(Ordering::Acquire));
                        spans.saturating_record(woken.since(rung).0);
                    }
                })
            })
            .collect();
        while now() < end {
            thread::sleep(period);
            rung.store(now().0, Ordering::Release);
            bells.iter().for_each(Bell::ring);
        }
        thread::sleep(period);
        over.store(true, Ordering::Release);
        bells.iter().for_each(Bell::ring);
        let mut all = histogram();
        for waiter in waiters {
            let waiter = waiter.map_err(|e| format!("thread: {e}"))?;
            let spans = waiter.join().map_err(|_| "a waiter has panicked".to_owned())?;
            all.add(&spans).map_err(|e| e.to_string())?;
        }
        Ok(all)
    })
}

/// The server's own count of copied bytes.
fn copied(ops: &std::path::Path) -> Option<u64> {
    let mut stream = UnixStream::connect(ops).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let line = text.lines().find(|l| l.starts_with("lensd_tap_copied_pixel_bytes_total "))?;
    line.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_microseconds() {
        let mut all = histogram();
        for span in (1..=1000).map(|us| us * 1000) {
            all.saturating_record(span);
        }
        let Spread { p50_us, p99_us, max_us, .. } = Spread::of(&all);
        assert!((499.0..501.0).contains(&p50_us), "{p50_us}");
        assert!((989.0..992.0).contains(&p99_us), "{p99_us}");
        assert!((999.0..1002.0).contains(&max_us), "{max_us}");
    }
}
