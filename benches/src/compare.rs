//! `bench compare`: the bare sender and servers in turns, each round under the same conditions.
//!
//! Sender and load client run as processes of their own: their CPU time is then theirs alone, and
//! every run starts from the same state.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use lensd_ffi::time::Nanos;
use serde::{Deserialize, Serialize};

use crate::load::report::Report;
use crate::rtsp::auth::Login;

/// The name of the bare sender's rows.
pub(crate) const BARE: &str = "bare";
/// A stream whose rate is farther from the bare sender's than this is not comparable.
const RATE_TOLERANCE: f64 = 0.15;

/// A server that runs already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// Its name in the table.
    pub name: String,
    /// What to play; `%t` becomes `tcp` or `udp`.
    pub url: String,
    /// Its processes.
    pub pids: Vec<u32>,
}

/// The command line of `bench compare`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Servers besides the bare sender.
    pub contestants: Vec<Contestant>,
    /// Clients where CPU time is measured.
    pub cpu_clients: u32,
    /// Clients where latency is measured.
    pub latency_clients: u32,
    /// How often everything is measured.
    pub rounds: u32,
    /// Length of each measurement.
    pub length: Nanos,
    /// Of the bare sender.
    pub bitrate: u32,
    /// Of the bare sender.
    pub fps: u32,
    /// For all servers.
    pub login: Option<Login>,
    /// What leads this executable to `bench`.
    pub again: Vec<String>,
}

/// All rows, and how they were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// 1.
    pub version: u32,
    /// Rounds that were run.
    pub rounds: u32,
    /// Length of each measurement in seconds.
    pub seconds: f64,
    /// One per case and server.
    pub rows: Vec<Row>,
}

/// One server in one case, over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// `bare`, `lensd` or a peer's name.
    pub name: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Clients.
    pub clients: u32,
    /// Runs that gave a report.
    pub runs: u32,
    /// Of them those without any loss or disorder.
    pub clean_runs: u32,
    /// Server CPU milliseconds per client and second.
    pub cpu_ms_per_client_second: Median,
    /// Capture to last packet, median of each run.
    pub latency_p50_ms: Median,
    /// Capture to last packet, 99th percentile of each run.
    pub latency_p99_ms: Median,
    /// The medians divided by the bare sender's.
    pub to_bare: Ratios,
    /// RTP megabits per second and client.
    pub mbit_per_client: f64,
    /// Growth of the server's resident memory per client, KiB.
    pub rss_kib_per_client: f64,
    /// CPU percent of the load client, the highest of all runs.
    pub client_cpu_percent: f64,
    /// The first failure, if a run failed.
    pub failure: Option<String>,
}

/// Median, least and greatest of the rounds; zero if there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Median {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Medians of a server divided by the bare sender's in the same case; `None` if either lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// Of CPU time.
    pub cpu: Option<f64>,
    /// Of the median latency.
    pub p50: Option<f64>,
    /// Of the 99th percentile.
    pub p99: Option<f64>,
}

impl Contestant {
    /// Parses `NAME=URL@PID[,PID]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: expected NAME=URL@PID, such as x=rtsp://127.0.0.1/s@42");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        // The URL may hold a login with an @ of its own; the process comes last.
        let (url, pids) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let pids: Result<Vec<u32>, _> = pids.split(',').map(str::parse).collect();
        let pids = pids.map_err(|_| wrong())?;
        Ok(Self { name: name.to_owned(), url: url.to_owned(), pids })
    }
}

/// Runs all rounds. Progress goes to stderr, since minutes pass.
pub fn run(config: &Config) -> Result<Comparison, String> {
    let mut cases = Vec::new();
    for clients in [config.cpu_clients, config.latency_clients] {
        cases.extend(["tcp", "udp"].map(|transport| (transport, clients)));
    }
    cases.dedup();
    let names: Vec<&str> = std::iter::once(BARE)
        .chain(config.contestants.iter().map(|contestant| contestant.name.as_str()))
        .collect();
    let mut results = vec![vec![Vec::new(); names.len()]; cases.len()];
    for round in 0..config.rounds {
        for (case, (transport, clients)) in cases.iter().enumerate() {
            for (i, name) in names.iter().enumerate() {
                eprintln!("round {} of {}: {name} {transport} {clients}", round + 1, config.rounds);
                let report = match i.checked_sub(1) {
                    None => measure_bare(config, transport, *clients),
                    Some(i) => measure(config, &config.contestants[i], transport, *clients),
                };
                results[case][i].push(report);
            }
        }
    }
    let mut rows = Vec::new();
    for (case, (transport, clients)) in cases.iter().enumerate() {
        let bare = rows.len();
        for (name, runs) in names.iter().zip(&results[case]) {
            let mut row = Row::of(name, transport, *clients, runs);
            row.to_bare = rows.get(bare).map_or_else(Ratios::default, |bare| row.ratios(bare));
            rows.push(row);
        }
    }
    let seconds = config.length.0 as f64 / 1e9;
    Ok(Comparison { version: 1, rounds: config.rounds, seconds, rows })
}

/// A child process that does not outlive its run.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn this_program(config: &Config) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| format!("own executable: {e}"))?;
    let mut command = Command::new(program);
    command.args(&config.again).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(command)
}

/// The bare sender lives for one run only: idle it would still own memory and a wake-up.
pub(crate) fn measure_bare(
    config: &Config,
    transport: &str,
    clients: u32,
) -> Result<Report, String> {
    let mut command = this_program(config)?;
    command.args(["sender", "--transport", transport]);
    command.args(["--bitrate", &config.bitrate.to_string(), "--fps", &config.fps.to_string()]);
    command.args(["--gop", &config.fps.to_string()]);
    let mut child = Guard(command.spawn().map_err(|e| format!("bare sender: {e}"))?);
    let mut line = String::new();
    if let Some(stdout) = child.0.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(|e| format!("bare sender: {e}"))?;
    }
    let url = line.trim().strip_prefix("listening ").ok_or("the bare sender did not start")?;
    let pids = vec![child.0.id()];
    let bare = Contestant { name: BARE.to_owned(), url: url.to_owned(), pids };
    measure(config, &bare, transport, clients)
}

/// One run against a server.
pub(crate) fn measure(
    config: &Config,
    contestant: &Contestant,
    transport: &str,
    clients: u32,
) -> Result<Report, String> {
    let mut command = this_program(config)?;
    let seconds = (config.length.0 as f64 / 1e9).to_string();
    let url = contestant.url.replace("%t", transport);
    command.args(["rtsp", "--json", "--baseline", "1", "--url", &url, "--transport", transport]);
    command.args(["--clients", &clients.to_string(), "--seconds", &seconds]);
    if !contestant.pids.is_empty() {
        let pids: Vec<String> = contestant.pids.iter().map(u32::to_string).collect();
        command.args(["--server-pid", &pids.join(",")]);
    }
    if let Some(login) = &config.login {
        command.args(["--user", &login.user, "--password", &login.password]);
    }
    let output = command.output().map_err(|e| format!("load client: {e}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{}: no report from the load client", contestant.name))
}

impl Median {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self::default();
        };
        let half = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[half - 1] + sorted[half]) / 2.0,
            _ => sorted[half],
        };
        Self { median, min, max }
    }

    fn over(self, bare: Self) -> Option<f64> {
        (self.median > 0.0 && bare.median > 0.0).then(|| self.median / bare.median)
    }
}

impl Row {
    fn of(name: &str, transport: &str, clients: u32, runs: &[Result<Report, String>]) -> Self {
        let good: Vec<&Report> = runs.iter().filter_map(|run| run.as_ref().ok()).collect();
        let median = |value: fn(&Report) -> Option<f64>| {
            Median::of(good.iter().filter_map(|report| value(report)))
        };
        let failure = runs.iter().find_map(|run| match run {
            Ok(report) => report.failures.first().map(|failure| failure.reason.clone()),
            Err(reason) => Some(reason.clone()),
        });
        Self {
            name: name.to_owned(),
            transport: transport.to_owned(),
            clients,
            runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            clean_runs: u32::try_from(good.iter().filter(|r| r.clean).count()).unwrap_or(u32::MAX),
            cpu_ms_per_client_second: median(|r| Some(r.server?.cpu_ms_per_client_second)),
            latency_p50_ms: median(|r| Some(r.latency_ms?.p50)),
            latency_p99_ms: median(|r| Some(r.latency_ms?.p99)),
            to_bare: Ratios { cpu: Some(1.0), p50: Some(1.0), p99: Some(1.0) },
            mbit_per_client: median(|r| Some(r.mbit_per_client)).median,
            rss_kib_per_client: median(|r| Some(r.server?.rss_kib_per_client)).median,
            client_cpu_percent: median(|r| Some(r.client.cpu_percent)).max,
            failure,
        }
    }

    fn ratios(&self, bare: &Self) -> Ratios {
        Ratios {
            cpu: self.cpu_ms_per_client_second.over(bare.cpu_ms_per_client_second),
            p50: self.latency_p50_ms.over(bare.latency_p50_ms),
            p99: self.latency_p99_ms.over(bare.latency_p99_ms),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians of {} rounds of {:.0} s; x = times the bare sender",
            self.rounds, self.seconds
        )?;
        writeln!(
            f,
            "case     server       CPU ms/client-s (min-max)      x    p50 ms      x    p99 ms      x  \
             Mbit/s KiB/client client%  clean"
        )?;
        let times = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |r| format!("{r:.2}"));
        let mut bare_rate = 0.0;
        for row in &self.rows {
            let cpu = row.cpu_ms_per_client_second;
            writeln!(
                f,
                "{} {:<4} {:<12} {:>7.3} ({:.3}-{:.3}) {:>13} {:>9.3} {:>6} {:>9.3} {:>6} {:>7.2} {:>10.1} {:>7.1}  {}/{}",
                row.transport,
                row.clients,
                row.name,
                cpu.median,
                cpu.min,
                cpu.max,
                times(row.to_bare.cpu),
                row.latency_p50_ms.median,
                times(row.to_bare.p50),
                row.latency_p99_ms.median,
                times(row.to_bare.p99),
                row.mbit_per_client,
                row.rss_kib_per_client,
                row.client_cpu_percent,
                row.clean_runs,
                row.runs
            )?;
            if row.name == BARE {
                bare_rate = row.mbit_per_client;
            } else if (row.mbit_per_client / bare_rate - 1.0).abs() > RATE_TOLERANCE {
                writeln!(
                    f,
                    "         note: its bit rate differs from the bare sender's; not comparable"
                )?;
            }
            if let Some(failure) = &row.failure {
                writeln!(f, "         failed: {failure}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        let peer = Contestant::parse("x=rtsp://u:p@h:1/s@12,13").unwrap();
        assert_eq!((peer.name.as_str(), peer.url.as_str()), ("x", "rtsp://u:p@h:1/s"));
        assert_eq!(peer.pids, [12, 13]);
        assert!(Contestant::parse("x=rtsp://h/s").is_err());
        assert!(Contestant::parse("rtsp://h/s@4").is_err());
    }

    #[test]
    fn medians() {
        let of = |values: &[f64]| Median::of(values.iter().copied());
        assert!((of(&[3.0, 1.0, 2.0]).median - 2.0).abs() < 1e-9);
        assert!((of(&[4.0, 1.0]).median - 2.5).abs() < 1e-9);
        assert_eq!(of(&[]).over(of(&[1.0])), None);
        assert_eq!(of(&[3.0]).over(of(&[2.0])), Some(1.5));
    }
}
