//! What recording costs: CPU time, latency and memory of a server that records, against the same one
//! that does not, by turns.

use crate::compare::Median;
use crate::latency::ask;
use crate::load::{self, report::Report as Load};
use crate::process::Watch;
use crate::rtsp::auth::Login;
use crate::rtsp::url::RtspUrl;
use lensd_ffi::time::{Nanos, now};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// What to do; the command line of `bench record`.
#[derive(Debug, Clone)]
pub struct Config {
    /// `http://HOST:PORT`.
    pub http: String,
    /// A stream whose frames carry their stamps; one client plays it all the time.
    pub url: RtspUrl,
    /// Who may record.
    pub login: Login,
    /// How often both are measured.
    pub rounds: u32,
    /// Length of each measurement.
    pub length: Nanos,
    /// Server processes; their descendants are found.
    pub server_pids: Vec<u32>,
}

/// A server in one of the two states: medians of all rounds, the least and the greatest.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Side {
    /// Percent of one core.
    pub cpu_percent: Median,
    /// Median latency of a round, in milliseconds.
    pub p50_ms: Median,
    /// 99th percentile of a round, in milliseconds.
    pub p99_ms: Median,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Rounds.
    pub rounds: u32,
    /// Without recording.
    pub idle: Side,
    /// With it.
    pub recording: Side,
    /// What recording adds, in percent of one core: the median of the rounds' differences.
    pub added_cpu_percent: Median,
    /// Streams that were recorded, as the server says.
    pub streams: usize,
    /// Bytes a second that were written for all of them.
    pub written_per_s: f64,
    /// Units that the recorder says it left out, and frames that the client missed.
    pub lost: u64,
    /// Proportional memory of the server in KiB, after each time that it recorded.
    pub memory_kib: Vec<u64>,
}

/// One measurement.
struct Half {
    cpu_percent: f64,
    load: Load,
}

/// Measures.
///
/// # Errors
/// In words: who cannot be reached, or does not do what it is asked for.
pub fn run(config: &Config) -> Result<Report, String> {
    let watch = Watch::new(&config.server_pids)?;
    set(config, "record", &json!(false))?;
    set(config, "record-camera", &json!("all"))?;
    let (mut idle, mut recording) = (Vec::new(), Vec::new());
    let (mut memory_kib, mut streams, mut lost, mut rates) = (Vec::new(), 0, 0, Vec::new());
    for _ in 0..config.rounds {
        idle.push(half(config, &watch)?);
        set(config, "record", &json!(true))?;
        // Files begin with a key frame.
        std::thread::sleep(Nanos::from_secs(2).duration());
        let before = status(config)?;
        let begun = now();
        recording.push(half(config, &watch)?);
        let seconds = now().since(begun).0 as f64 / 1e9;
        let after = status(config)?;
        streams = after.streams;
        lost += after.skipped;
        rates.push(after.bytes.saturating_sub(before.bytes) as f64 / seconds);
        memory_kib.push(watch.sample().pss_kib);
        set(config, "record", &json!(false))?;
    }
    lost += idle.iter().chain(&recording).map(|half| half.load.total.lost_frames).sum::<u64>();
    let differences = idle.iter().zip(&recording).map(|(a, b)| b.cpu_percent - a.cpu_percent);
    Ok(Report {
        rounds: config.rounds,
        added_cpu_percent: Median::of(differences),
        idle: side(&idle),
        recording: side(&recording),
        streams,
        written_per_s: Median::of(rates.into_iter()).median,
        lost,
        memory_kib,
    })
}

fn half(config: &Config, watch: &Watch) -> Result<Half, String> {
    let (before, begun) = (watch.sample(), now());
    let load = load::run(&load::Config {
        url: config.url.clone(),
        clients: 1,
        udp: false,
        length: config.length,
        login: Some(config.login.clone()),
        join_spread: Nanos(0),
        settle: Nanos::from_millis(500),
        stops: Vec::new(),
        server_pids: Vec::new(),
        baseline: Nanos(0),
    })?;
    let spent = watch.sample().cpu_ms - before.cpu_ms;
    let took = now().since(begun).0 as f64 / 1e6;
    if load.playing == 0 {
        let why = load.failures.first().map_or("it does not play", |f| f.reason.as_str());
        return Err(format!("--url: {why}"));
    }
    Ok(Half { cpu_percent: spent / took * 100.0, load })
}

fn side(halves: &[Half]) -> Side {
    let latency =
        |of: fn(&Load) -> Option<f64>| Median::of(halves.iter().filter_map(|half| of(&half.load)));
    Side {
        cpu_percent: Median::of(halves.iter().map(|half| half.cpu_percent)),
        p50_ms: latency(|load| Some(load.latency_ms?.p50)),
        p99_ms: latency(|load| Some(load.latency_ms?.p99)),
    }
}

fn set(config: &Config, key: &str, value: &Value) -> Result<(), String> {
    let body = json!({ "value": value }).to_string();
    let path = format!("/api/settings/{key}");
    ask(&config.http, &path, Some(&body), Some(&config.login)).map(drop)
}

/// What the recorder says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    streams: usize,
    bytes: u64,
    skipped: u64,
}

fn status(config: &Config) -> Result<Status, String> {
    let path = "/api/recording/status";
    let answer = ask(&config.http, path, None, Some(&config.login))?;
    parse_status(&answer).map_err(|why| format!("{}{path}: {why}", config.http))
}

fn parse_status(answer: &str) -> Result<Status, String> {
    let answer: Value = serde_json::from_str(answer).map_err(|e| e.to_string())?;
    let all = answer["data"]["recordings"].as_array().ok_or("it names no recordings")?;
    let sum = |name: &str| all.iter().filter_map(|one| one[name].as_u64()).sum();
    Ok(Status { streams: all.len(), bytes: sum("size"), skipped: sum("dropped_pictures") })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} streams, medians of {} rounds (least to greatest)",
            self.streams, self.rounds
        )?;
        for (name, side) in [("idle", &self.idle), ("recording", &self.recording)] {
            let Side { cpu_percent: cpu, p50_ms: p50, p99_ms: p99 } = side;
            writeln!(
                f,
                "{name:<10} {:>6.2} % of a core ({:.2} to {:.2}); latency p50 {:.2} ms, p99 {:.2} ms \
                 ({:.2} to {:.2})",
                cpu.median, cpu.min, cpu.max, p50.median, p99.median, p99.min, p99.max
            )?;
        }
        let added = self.added_cpu_percent;
        writeln!(
            f,
            "added      {:>6.2} % of a core ({:.2} to {:.2})",
            added.median, added.min, added.max
        )?;
        writeln!(f, "written    {:.2} Mbit/s; {} lost", self.written_per_s * 8e-6, self.lost)?;
        writeln!(f, "memory     {:?} KiB after each recording", self.memory_kib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_recorder_says() {
        let answer = r#"{"data":{"recordings":[{"size":5,"dropped_pictures":1},{"size":7}]}}"#;
        assert_eq!(parse_status(answer), Ok(Status { streams: 2, bytes: 12, skipped: 1 }));
        assert!(parse_status("{}").is_err() && parse_status("{").is_err());
    }
}
