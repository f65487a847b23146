//! `bench latency`: every stage of a unit's way in one table: what the server says of itself, and
//! what a client measures from the capture of a picture to its last packet, for lensd, the bare
//! sender and peers in turns.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compare::{self, BARE, Median};
use crate::load::report::Report;
use crate::rtsp::auth::Login;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const MOST: u64 = 4 << 20;

/// The command line of `bench latency`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Servers, the first of which is asked for its stages, and how each run is made.
    pub runs: compare::Config,
    /// How many clients play, case by case.
    pub clients: Vec<u32>,
    /// `http://HOST:PORT` of the first server; none: its stages are not asked for.
    pub http: Option<String>,
    /// Name of its stream in `/api/latency`.
    pub stream: String,
}

/// All rows, and how they were made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
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
    /// The server's stages in their order, then `first` and `glass`: from the capture until the
    /// client has read the first and the last packet of a frame.
    pub stages: Vec<Stage>,
    /// The first failure, if a run failed.
    pub failure: Option<String>,
}

/// A stage: medians of the rounds, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub stage: String,
    /// Half took no longer.
    pub p50_us: f64,
    /// 99 of a hundred took no longer.
    pub p99_us: f64,
    /// None took longer.
    pub max_us: f64,
}

/// What a run found: stages of the server and of the client.
type Found = Result<(Report, Vec<Stage>), String>;

/// Runs all rounds. Progress goes to stderr, since minutes pass.
pub fn run(config: &Config) -> Result<Table, String> {
    // A wrong address is told before minutes have passed.
    if let Some(http) = &config.http {
        stages(http, &config.stream, config.runs.login.as_ref())?;
    }
    let contestants = &config.runs.contestants;
    let names: Vec<&str> =
        std::iter::once(BARE).chain(contestants.iter().map(|c| c.name.as_str())).collect();
    let mut rows = Vec::new();
    for &clients in &config.clients {
        for transport in ["tcp", "udp"] {
            let mut found: Vec<Vec<Found>> = vec![Vec::new(); names.len()];
            for round in 0..config.runs.rounds {
                for (i, name) in names.iter().enumerate() {
                    let of = config.runs.rounds;
                    eprintln!("round {} of {of}: {name} {transport} {clients}", round + 1);
                    found[i].push(measure(config, i.checked_sub(1), transport, clients));
                }
            }
            rows.extend(
                names
                    .iter()
                    .zip(&found)
                    .map(|(name, runs)| Row::of(name, transport, clients, runs)),
            );
        }
    }
    let seconds = config.runs.length.0 as f64 / 1e9;
    Ok(Table { version: 1, rounds: config.runs.rounds, seconds, rows })
}

/// One run; `which` of the servers, none: the bare sender.
fn measure(config: &Config, which: Option<usize>, transport: &str, clients: u32) -> Found {
    let Some(which) = which else {
        return Ok((compare::measure_bare(&config.runs, transport, clients)?, Vec::new()));
    };
    let server = &config.runs.contestants[which];
    let report = compare::measure(&config.runs, server, transport, clients)?;
    let own = match &config.http {
        Some(http) if which == 0 => stages(http, &config.stream, config.runs.login.as_ref())?,
        _ => Vec::new(),
    };
    Ok((report, own))
}

/// What `/api/latency` says of a stream.
fn stages(http: &str, stream: &str, login: Option<&Login>) -> Result<Vec<Stage>, String> {
    let answer = ask(http, "/api/latency", None, login)?;
    parse_stages(&answer, stream).map_err(|why| format!("{http}/api/latency: {why}"))
}

fn parse_stages(answer: &str, stream: &str) -> Result<Vec<Stage>, String> {
    let answer: Value = serde_json::from_str(answer).map_err(|e| e.to_string())?;
    let streams = answer["data"]["streams"].as_array().ok_or("it names no streams")?;
    let found = streams.iter().find(|s| s["stream"] == stream);
    let found = found.ok_or_else(|| format!("there is no stream {stream}; see --stream"))?;
    let number = |stage: &Value, name: &str| stage[name].as_f64().unwrap_or_default();
    let stage = |stage: &Value| Stage {
        stage: stage["stage"].as_str().unwrap_or_default().to_owned(),
        p50_us: number(stage, "p50_us"),
        p99_us: number(stage, "p99_us"),
        max_us: number(stage, "max_us"),
    };
    Ok(found["stages"].as_array().into_iter().flatten().map(stage).collect())
}

/// A GET request, or a POST of JSON; the body of a 200.
pub(crate) fn ask(
    http: &str,
    path: &str,
    json: Option<&str>,
    login: Option<&Login>,
) -> Result<String, String> {
    let host = http.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let host = host.ok_or_else(|| format!("--http {http}: expected http://HOST:PORT"))?;
    let failed = |e: std::io::Error| format!("{http}{path}: {e}");
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let login = login.map(|l| {
        let text = format!("{}:{}", l.user, l.password);
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        format!("Authorization: Basic {text}\r\n")
    });
    let login = login.unwrap_or_default();
    let (method, kind) = match json {
        Some(body) => {
            let length = body.len();
            ("POST", format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"))
        }
        None => ("GET", String::new()),
    };
    let body = json.unwrap_or_default();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{login}{kind}\r\n{body}"
    )
    .map_err(failed)?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401" | "403") => Err(format!("{http}{path}: give --user and --password")),
        _ => Err(format!("{http}{path}: {}", head.lines().next().unwrap_or("no answer"))),
    }
}

impl Row {
    /// Whether a client has seen stamps.
    pub fn is_measured(&self) -> bool {
        self.stages.iter().any(|s| s.stage == "glass")
    }

    fn of(name: &str, transport: &str, clients: u32, runs: &[Found]) -> Self {
        let good: Vec<_> = runs.iter().filter_map(|run| run.as_ref().ok()).collect();
        let all: Vec<Vec<Stage>> = good
            .iter()
            .map(|(report, own)| {
                let mut stages = own.clone();
                let client =
                    [("first", report.first_packet_latency_ms), ("glass", report.latency_ms)];
                stages.extend(client.into_iter().filter_map(|(stage, spread)| {
                    let us = |ms: f64| ms * 1000.0;
                    let spread = spread?;
                    let (p50_us, p99_us) = (us(spread.p50), us(spread.p99));
                    Some(Stage { stage: stage.to_owned(), p50_us, p99_us, max_us: us(spread.max) })
                }));
                stages
            })
            .collect();
        let failure = runs.iter().find_map(|run| match run {
            Ok((report, _)) => report.failures.first().map(|failure| failure.reason.clone()),
            Err(reason) => Some(reason.clone()),
        });
        Self {
            name: name.to_owned(),
            transport: transport.to_owned(),
            clients,
            runs: u32::try_from(good.len()).unwrap_or(u32::MAX),
            clean_runs: u32::try_from(good.iter().filter(|(r, _)| r.clean).count())
                .unwrap_or(u32::MAX),
            stages: medians(&all),
            failure,
        }
    }
}

/// The stages of all runs, each by the medians of its figures.
fn medians(runs: &[Vec<Stage>]) -> Vec<Stage> {
    let names = runs.iter().max_by_key(|stages| stages.len()).into_iter().flatten();
    names
        .map(|Stage { stage, .. }| {
            let of = |figure: fn(&Stage) -> f64| {
                let all = runs.iter().flatten().filter(|s| s.stage == *stage).map(figure);
                Median::of(all).median
            };
            Stage {
                stage: stage.clone(),
                p50_us: of(|s| s.p50_us),
                p99_us: of(|s| s.p99_us),
                max_us: of(|s| s.max_us),
            }
        })
        .collect()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "medians of {} rounds of {:.0} s, in microseconds; first and glass: capture to the first \
             and the last packet read",
            self.rounds, self.seconds
        )?;
        writeln!(f, "case      server       stage         p50        p99        max  clean")?;
        for row in &self.rows {
            for (i, s) in row.stages.iter().enumerate() {
                let case = format!("{} {}", row.transport, row.clients);
                let (case, name) =
                    if i == 0 { (case.as_str(), row.name.as_str()) } else { ("", "") };
                write!(
                    f,
                    "{case:<9} {name:<12} {:<8} {:>8.0} {:>10.0} {:>10.0}",
                    s.stage, s.p50_us, s.p99_us, s.max_us
                )?;
                if i == 0 {
                    write!(f, "  {}/{}", row.clean_runs, self.rounds)?;
                }
                writeln!(f)?;
            }
            if !row.is_measured() && row.failure.is_none() {
                writeln!(
                    f,
                    "{} {} {}: no stamps in its frames",
                    row.transport, row.clients, row.name
                )?;
            }
            if let Some(failure) = &row.failure {
                writeln!(f, "          failed: {failure}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_an_answer() {
        let answer = r#"{"data":{"streams":[{"stream":"cam1/main","stages":
            [{"stage":"send","units":3,"p50_us":1,"p99_us":2,"max_us":3}]}]}}"#;
        let send = Stage { stage: "send".to_owned(), p50_us: 1.0, p99_us: 2.0, max_us: 3.0 };
        assert_eq!(parse_stages(answer, "cam1/main"), Ok(vec![send]));
        assert!(parse_stages(answer, "cam2/main").unwrap_err().contains("--stream"));
        assert!(parse_stages("{", "x").is_err() && parse_stages("{}", "x").is_err());
    }

    #[test]
    fn medians_of_rounds_in_which_a_stage_may_be_missing() {
        let of = |stage: &str, us: f64| Stage {
            stage: stage.to_owned(),
            p50_us: us,
            p99_us: 2.0 * us,
            max_us: 3.0 * us,
        };
        let rounds = [
            vec![of("glass", 5.0)],
            vec![of("send", 2.0), of("glass", 1.0)],
            vec![of("glass", 3.0)],
        ];
        assert_eq!(medians(&rounds), [of("send", 2.0), of("glass", 3.0)]);
        assert_eq!(medians(&[]), []);
    }
}
