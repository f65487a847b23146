//! What a run found, as the documented JSON object and as a table for people.

use std::fmt::{self, Write as _};

use hdrhistogram::{Counter, Histogram};
use lensd_ffi::time::Nanos;
use serde::{Deserialize, Serialize};

use crate::media::stream::Stream;
use crate::process::Sample;

/// A run of `bench rtsp`. Fields are only ever added; their meaning is in `benches/README.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// 1.
    pub version: u32,
    /// What was played, without the login.
    pub url: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Clients that were started.
    pub clients: usize,
    /// Of them those that were playing at the end.
    pub playing: usize,
    /// Length of the measurement in seconds.
    pub seconds: f64,
    /// Nothing failed, and nothing was lost, torn, repeated or out of order.
    pub clean: bool,
    /// Sum over all clients but those told to stop.
    pub total: Counts,
    /// RTP megabits per second and client, in the measurement.
    pub mbit_per_client: f64,
    /// TCP connect to first packet, over the clients.
    pub time_to_first_packet_ms: Spread,
    /// TCP connect to the end of the first whole key frame, over the clients.
    pub time_to_first_key_frame_ms: Spread,
    /// RFC 3550 jitter at the end, over the clients.
    pub jitter_ms: Spread,
    /// Capture to the last packet of each stamped frame, in the measurement.
    pub latency_ms: Option<Spread>,
    /// Capture to the first packet.
    pub first_packet_latency_ms: Option<Spread>,
    /// The server, if its processes were named.
    pub server: Option<Server>,
    /// This load client.
    pub client: Own,
    /// Why clients failed: the reason, and how many.
    pub failures: Vec<Failure>,
    /// Each client.
    pub per_client: Vec<Line>,
}

/// Counters of one client, or their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// RTP packets.
    pub packets: u64,
    /// Bytes of them, RTP headers included.
    pub bytes: u64,
    /// Places at which sequence numbers were missing.
    pub gaps: u64,
    /// Packets missing in the end.
    pub lost: u64,
    /// Packets that came late.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that are no RTP or contradict their payload format.
    pub malformed: u64,
    /// Whole frames.
    pub frames: u64,
    /// Whole key frames.
    pub key_frames: u64,
    /// Torn or incomplete frames.
    pub torn: u64,
    /// Frames with a capture stamp.
    pub stamped: u64,
    /// Frame numbers skipped.
    pub lost_frames: u64,
    /// Frame numbers repeated.
    pub repeated_frames: u64,
    /// Frame numbers going back.
    pub disordered_frames: u64,
}

/// Quantiles of a distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many values.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 99 of 100 are not greater.
    pub p99: f64,
    /// 999 of 1000 are not greater.
    pub p999: f64,
    /// The greatest.
    pub max: f64,
}

/// CPU time and memory of the server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// Before the first client.
    pub idle: Sample,
    /// At the end of the measurement.
    pub loaded: Sample,
    /// CPU percent of one core before the first client.
    pub idle_cpu_percent: f64,
    /// CPU percent of one core in the measurement.
    pub cpu_percent: f64,
    /// CPU milliseconds per playing client and second.
    pub cpu_ms_per_client_second: f64,
    /// The same, less what the server used when idle.
    pub net_cpu_ms_per_client_second: f64,
    /// Growth of resident memory per client, KiB.
    pub rss_kib_per_client: f64,
    /// Growth of the proportional set size per client, KiB.
    pub pss_kib_per_client: f64,
}

/// The load client itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Own {
    /// CPU percent of one core in the measurement. Near 100, this client is what was measured.
    pub cpu_percent: f64,
    /// CPU milliseconds per playing client and second.
    pub cpu_ms_per_client_second: f64,
    /// Datagrams dropped in this machine's own receive buffers: not the server's loss.
    pub udp_receive_drops: u64,
    /// Percent of all cores that were busy in the measurement, whoever used them.
    pub machine_busy_percent: f64,
    /// Percent of all cores that the hypervisor gave to others.
    pub machine_stolen_percent: f64,
}

/// A reason for failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In words.
    pub reason: String,
    /// How many clients.
    pub clients: usize,
}

/// One client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// TCP connect to first packet.
    pub time_to_first_packet_ms: Option<f64>,
    /// TCP connect to the end of the first whole key frame.
    pub time_to_first_key_frame_ms: Option<f64>,
    /// RFC 3550 jitter at the end.
    pub jitter_ms: f64,
    /// Capture to last packet.
    pub latency_ms: Option<Spread>,
    /// It was told to stop reading for a while.
    pub stopped: bool,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Counts {
    /// The counters of `stream`.
    pub fn of(stream: &Stream) -> Self {
        let (s, c) = (&stream.sequence, &stream.counters);
        Self {
            packets: c.packets,
            bytes: c.bytes,
            gaps: s.gaps,
            lost: s.lost,
            reordered: s.reordered,
            duplicates: s.duplicates,
            malformed: c.malformed,
            frames: c.frames,
            key_frames: c.key_frames,
            torn: c.torn,
            stamped: c.stamped,
            lost_frames: c.lost_numbers,
            repeated_frames: c.repeated_numbers,
            disordered_frames: c.disordered_numbers,
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.malformed += other.malformed;
        self.frames += other.frames;
        self.key_frames += other.key_frames;
        self.torn += other.torn;
        self.stamped += other.stamped;
        self.lost_frames += other.lost_frames;
        self.repeated_frames += other.repeated_frames;
        self.disordered_frames += other.disordered_frames;
    }

    /// Nothing lost, torn, repeated or out of order.
    pub fn is_clean(&self) -> bool {
        let bad = self.gaps + self.reordered + self.duplicates + self.malformed + self.torn;
        bad + self.lost_frames + self.repeated_frames + self.disordered_frames == 0
    }
}

impl Spread {
    /// The quantiles of a histogram of nanoseconds; `None` if it is empty.
    pub fn of<C: Counter>(histogram: &Histogram<C>) -> Option<Self> {
        let ms = |ns: u64| ns as f64 / 1e6;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.5)),
            p99: ms(histogram.value_at_quantile(0.99)),
            p999: ms(histogram.value_at_quantile(0.999)),
            max: ms(histogram.max()),
        })
    }

    /// The quantiles of a few values (nearest rank).
    pub fn of_values(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |q: f64| {
            let rank = (q * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        let count = sorted.len() as u64;
        Self { count, p50: rank(0.5), p99: rank(0.99), p999: rank(0.999), max: rank(1.0) }
    }
}

impl Server {
    /// Puts samples together: idle over `idle_span`, then from `begin` to `end` over `span`.
    pub fn of(
        idle: (Sample, Sample, Nanos),
        (begin, end, span): (Sample, Sample, Nanos),
        clients: usize,
    ) -> Self {
        let rate = |from: Sample, to: Sample, span: Nanos| {
            (to.cpu_ms - from.cpu_ms) / (span.0 as f64 / 1e9).max(1e-9)
        };
        let (idle_rate, rate) = (rate(idle.0, idle.1, idle.2), rate(begin, end, span));
        let clients = clients.max(1) as f64;
        Self {
            idle: idle.1,
            loaded: end,
            idle_cpu_percent: idle_rate / 10.0,
            cpu_percent: rate / 10.0,
            cpu_ms_per_client_second: rate / clients,
            net_cpu_ms_per_client_second: (rate - idle_rate) / clients,
            rss_kib_per_client: (end.rss_kib as f64 - idle.1.rss_kib as f64) / clients,
            pss_kib_per_client: (end.pss_kib as f64 - idle.1.pss_kib as f64) / clients,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.total;
        writeln!(
            f,
            "{} over {}: {} of {} clients playing, {:.1} s, {:.2} Mbit/s each",
            self.url,
            self.transport,
            self.playing,
            self.clients,
            self.seconds,
            self.mbit_per_client
        )?;
        writeln!(f, "  packets      {} ({} bytes)", t.packets, t.bytes)?;
        writeln!(
            f,
            "  order        {} gaps, {} lost, {} late, {} twice, {} malformed",
            t.gaps, t.lost, t.reordered, t.duplicates, t.malformed
        )?;
        writeln!(f, "  frames       {} whole ({} key), {} torn", t.frames, t.key_frames, t.torn)?;
        if t.stamped > 0 {
            writeln!(
                f,
                "  numbers      {} stamped, {} lost, {} repeated, {} out of order",
                t.stamped, t.lost_frames, t.repeated_frames, t.disordered_frames
            )?;
        }
        writeln!(f, "  ms              p50      p99    p99.9      max")?;
        row(f, "first packet", &self.time_to_first_packet_ms)?;
        row(f, "first key", &self.time_to_first_key_frame_ms)?;
        row(f, "jitter", &self.jitter_ms)?;
        if let (Some(last), Some(first)) = (&self.latency_ms, &self.first_packet_latency_ms) {
            row(f, "latency", last)?;
            row(f, "to 1st packet", first)?;
        }
        if let Some(s) = &self.server {
            writeln!(
                f,
                "  server       {:.1} % CPU (idle {:.1} %), {:.3} ms per client-second (net {:.3}), \
                 {:.1} KiB RSS and {:.1} KiB PSS per client, {} KiB PSS in {} processes",
                s.cpu_percent,
                s.idle_cpu_percent,
                s.cpu_ms_per_client_second,
                s.net_cpu_ms_per_client_second,
                s.rss_kib_per_client,
                s.pss_kib_per_client,
                s.loaded.pss_kib,
                s.loaded.processes
            )?;
        }
        let o = &self.client;
        writeln!(
            f,
            "  this client  {:.1} % CPU, {:.3} ms per client-second, {} datagrams dropped here",
            o.cpu_percent, o.cpu_ms_per_client_second, o.udp_receive_drops
        )?;
        writeln!(
            f,
            "  machine      {:.1} % of all cores busy, {:.1} % stolen",
            o.machine_busy_percent, o.machine_stolen_percent
        )?;
        for failure in &self.failures {
            writeln!(f, "  failed       {} clients: {}", failure.clients, failure.reason)?;
        }
        self.odd_clients(f)?;
        f.write_str(if self.clean { "  clean\n" } else { "  NOT CLEAN\n" })
    }
}

impl Report {
    /// People want the clients that stand out; all of them are in the JSON.
    fn odd_clients(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More lines than this hide the table.
        const SHOWN: usize = 10;
        let odd = |line: &&(usize, &Line)| !line.1.counts.is_clean() || line.1.stopped;
        let lines: Vec<_> = self.per_client.iter().enumerate().collect();
        let mut shown = String::new();
        for (index, line) in lines.iter().filter(odd).take(SHOWN) {
            let c = &line.counts;
            let stopped = if line.stopped { " (stopped for a while)" } else { "" };
            writeln!(
                shown,
                "  client {index:<5} {} frames, {} torn, {} gaps, {} numbers lost{stopped}",
                c.frames, c.torn, c.gaps, c.lost_frames
            )?;
        }
        f.write_str(&shown)?;
        match lines.iter().filter(odd).count().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more such clients"),
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, s: &Spread) -> fmt::Result {
    writeln!(f, "  {name:<13}{:>7.3}  {:>7.3}  {:>7.3}  {:>7.3}", s.p50, s.p99, s.p999, s.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_few_values() {
        let spread = Spread::of_values((1..=100).rev().map(f64::from));
        assert_eq!((spread.p50, spread.p99, spread.max), (50.0, 99.0, 100.0));
        assert_eq!(Spread::of_values(std::iter::empty()).count, 0);
    }

    #[test]
    fn server_rates() {
        let at = |cpu_ms, rss_kib| Sample { processes: 1, cpu_ms, rss_kib, pss_kib: rss_kib };
        let server = Server::of(
            (at(0.0, 0), at(10.0, 1000), Nanos::from_secs(1)),
            (at(50.0, 0), at(250.0, 1200), Nanos::from_secs(2)),
            10,
        );
        assert!((server.cpu_ms_per_client_second - 10.0).abs() < 1e-9);
        assert!((server.net_cpu_ms_per_client_second - 9.0).abs() < 1e-9);
        assert!((server.rss_kib_per_client - 20.0).abs() < 1e-9);
    }
}
