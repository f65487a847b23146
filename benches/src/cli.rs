//! The command line of `lensd bench`.

use serde::Serialize;
use std::io::Write as _;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use lensd_ffi::tap::wire::Mode;
use lensd_ffi::time::Nanos;

use crate::catalogue;
use crate::compare::{self, Contestant};
use crate::latency;
use crate::load::{self, Stop};
use crate::record;
use crate::rtsp::auth::Login;
use crate::rtsp::url::RtspUrl;
use crate::sender::{self, Sender};
use crate::tap;
use crate::ws;

/// The grammar of the command line; public so that `lensd --help` and the docs can show it.
pub fn command() -> Command {
    Command::new("bench")
        .about("Load client, latency meter and the kernel's floor to compare with")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(rtsp())
        .subcommand(sender_command())
        .subcommand(compare_command())
        .subcommand(latency_command())
        .subcommand(ws_command())
        .subcommand(tap_command())
        .subcommand(catalogue_command())
        .subcommand(record_command())
}

fn ws_command() -> Command {
    Command::new("ws")
        .about("Sets a key over WebSocket, and reports how soon it is confirmed and told to others")
        .arg(option("url", "URL", "ws://HOST:PORT/api/v1").required(true))
        .arg(number("clients", "N", "How many listen").default_value("100"))
        .arg(number("rounds", "R", "How often the key is set").default_value("500"))
        .arg(number("setters", "N", "Clients of the test of many changes").default_value("250"))
        .arg(seconds("seconds", "Length of that test").default_value("5"))
        .arg(option("key", "KEY", "A number from 1 to 100").default_value("jpeg-quality"))
        .arg(option("user", "USER", "Who may set it").default_value("admin"))
        .arg(option("password", "PASSWORD", "Password").required(true))
        .arg(pids())
        .arg(json())
}

fn record_command() -> Command {
    Command::new("record")
        .about("Records all cameras by turns, and reports what that costs: CPU, latency, memory")
        .arg(option("http", "URL", "http://HOST:PORT of lensd").required(true))
        .arg(option("url", "URL", "A stream that carries its stamps, for latency").required(true))
        .arg(option("user", "USER", "Who may record").default_value("admin"))
        .arg(option("password", "PASSWORD", "Password").required(true))
        .arg(number("rounds", "R", "Rounds, each without and with recording").default_value("5"))
        .arg(seconds("seconds", "Of each half of a round").default_value("10"))
        .arg(pids().required(true))
        .arg(json())
}

fn tap_command() -> Command {
    Command::new("tap")
        .about("Reads frames from shared memory, and reports how soon clients are woken")
        .arg(option("socket", "PATH", "The server's socket").default_value("data/run/tap.sock"))
        .arg(option("stream", "STREAM", "Which stream").default_value("stream1"))
        .arg(number("clients", "N", "How many read").default_value("4"))
        .arg(seconds("seconds", "Length of the measurement").default_value("10"))
        .arg(
            option("mode", "every|latest", "All frames, or the newest")
                .value_parser(PossibleValuesParser::new(["every", "latest"]))
                .default_value("every"),
        )
        .arg(json())
}

fn catalogue_command() -> Command {
    Command::new("catalogue")
        .about("Fills a catalogue, and reports how soon pages of recordings are found")
        .arg(number("rows", "N", "Recordings").default_value("1000000"))
        .arg(number("rounds", "R", "Queries of each kind").default_value("2"))
        .arg(option("file", "PATH", "A file to keep and use again [default: a temporary one]"))
        .arg(json())
}

fn rtsp() -> Command {
    Command::new("rtsp")
        .about("Plays one URL with many clients and reports loss, latency and cost")
        .arg(
            option("url", "URL", "What to play: rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH")
                .required(true),
        )
        .arg(number("clients", "N", "How many clients").default_value("1"))
        .arg(transport().default_value("tcp"))
        .arg(seconds("seconds", "Length of the measurement").default_value("10"))
        .arg(option("user", "USER", "User, instead of the URL's"))
        .arg(option("password", "PASSWORD", "Password, instead of the URL's"))
        .arg(number(
            "join-spread",
            "MS",
            "All clients connect within this time [default: 5 per client]",
        ))
        .arg(
            number("settle", "MS", "From the last first packet to the measurement")
                .default_value("1000"),
        )
        .arg(
            option("stop-client", "K@FROM:TO", "Client K (from 0) reads nothing in these seconds")
                .action(ArgAction::Append)
                .value_parser(Stop::parse),
        )
        .arg(pids())
        .arg(seconds("baseline", "Watch the idle server so long first").default_value("2"))
        .arg(flag("strict", "Exit with 1 if anything was lost, torn or out of order"))
        .arg(json())
}

fn sender_command() -> Command {
    Command::new("sender")
        .about("The bare sender: one write or one UDP_SEGMENT send per frame and client")
        .arg(option("listen", "ADDR", "Where to listen").default_value("127.0.0.1:0"))
        .arg(transport().help("Refuse the other transport [default: as clients ask]"))
        .arg(number("clients", "N", "End when N clients have played and all have left"))
        .arg(number("bitrate", "BITS", "Bits per second").default_value("4000000"))
        .arg(number("fps", "FPS", "Frames per second").default_value("30"))
        .arg(number("gop", "FRAMES", "Frames from key frame to key frame").default_value("30"))
}

fn compare_command() -> Command {
    Command::new("compare")
        .about("The bare sender, lensd and peers side by side, medians of several rounds")
        .arg(option("url", "URL", "lensd's stream"))
        .arg(pids().requires("url"))
        .arg(
            option("peer", "NAME=URL@PID", "Another server; URL may hold %t for tcp or udp")
                .action(ArgAction::Append)
                .value_parser(Contestant::parse),
        )
        .arg(number("clients", "N", "Clients where CPU is measured").default_value("200"))
        .arg(
            number("latency-clients", "N", "Clients where latency is measured")
                .default_value("100"),
        )
        .arg(number("rounds", "R", "Rounds; the servers take turns").default_value("3"))
        .arg(seconds("seconds", "Length of each measurement").default_value("10"))
        .arg(
            number("bitrate", "BITS", "Of the bare sender; the stream's own")
                .default_value("4000000"),
        )
        .arg(number("fps", "FPS", "Of the bare sender").default_value("30"))
        .arg(option("user", "USER", "User for all servers"))
        .arg(option("password", "PASSWORD", "Password for all servers"))
        .arg(json())
}

fn latency_command() -> Command {
    Command::new("latency")
        .about("Every stage from capture to client, of lensd, the bare sender and peers")
        .arg(option("url", "URL", "lensd's stream, of frames that carry their stamps"))
        .arg(
            option("http", "URL", "http://HOST:PORT of lensd, for the stages of the server")
                .requires("url"),
        )
        .arg(
            option("stream", "NAME", "The stream's name in /api/latency")
                .default_value("cam1/main"),
        )
        .arg(
            option("peer", "NAME=URL@PID", "Another server; URL may hold %t for tcp or udp")
                .action(ArgAction::Append)
                .value_parser(Contestant::parse),
        )
        .arg(
            number("clients", "N[,N]", "How many clients play, case by case")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .default_value("1"),
        )
        .arg(number("rounds", "R", "Rounds; the servers take turns").default_value("3"))
        .arg(
            seconds("seconds", "Of each measurement; stages are of a server's last 10 to 20 s")
                .default_value("20"),
        )
        .arg(
            number("bitrate", "BITS", "Of the bare sender; the stream's own")
                .default_value("4000000"),
        )
        .arg(number("fps", "FPS", "Of the bare sender").default_value("30"))
        .arg(option("user", "USER", "User for all servers"))
        .arg(option("password", "PASSWORD", "Password for all servers"))
        .arg(json())
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn number(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).value_parser(value_parser!(u32).range(1..))
}

fn seconds(name: &'static str, help: &'static str) -> Arg {
    option(name, "S", help).value_parser(parse_seconds)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

fn json() -> Arg {
    flag("json", "A JSON object on stdout instead of the table")
}

fn transport() -> Arg {
    option("transport", "tcp|udp", "How RTP travels")
        .value_parser(PossibleValuesParser::new(["tcp", "udp"]))
}

fn pids() -> Arg {
    option("server-pid", "PID[,PID]", "Server processes to watch; their descendants are found")
        .value_delimiter(',')
        .action(ArgAction::Append)
        .value_parser(value_parser!(u32))
}

fn parse_seconds(text: &str) -> Result<Nanos, String> {
    let span: f64 = text.parse().map_err(|_| "expected seconds, such as 2.5".to_owned())?;
    if !(0.1..=86_400.0).contains(&span) {
        return Err("expected 0.1 to 86400 seconds".to_owned());
    }
    Ok(Nanos::from_millis((span * 1000.0) as u64))
}

/// Runs what `matches` ask for; the answer is whether all went well.
pub fn run(matches: &ArgMatches, again: &[&str]) -> Result<bool, String> {
    match matches.subcommand() {
        Some(("rtsp", m)) => run_rtsp(m),
        Some(("sender", m)) => run_sender(m),
        Some(("compare", m)) => run_compare(m, again),
        Some(("latency", m)) => run_latency(m, again),
        Some(("ws", m)) => run_ws(m),
        Some(("tap", m)) => run_tap(m),
        Some(("catalogue", m)) => run_catalogue(m),
        Some(("record", m)) => run_record(m),
        _ => Err("no such bench".to_owned()),
    }
}

fn get<T: Clone + Send + Sync + 'static>(m: &ArgMatches, name: &str) -> Option<T> {
    m.get_one::<T>(name).cloned()
}

fn get_number(m: &ArgMatches, name: &str) -> u32 {
    get(m, name).unwrap_or_default()
}

fn get_all<T: Clone + Send + Sync + 'static>(m: &ArgMatches, name: &str) -> Vec<T> {
    m.get_many::<T>(name).into_iter().flatten().cloned().collect()
}

fn run_rtsp(m: &ArgMatches) -> Result<bool, String> {
    let url = RtspUrl::parse(&get::<String>(m, "url").unwrap_or_default())?;
    let user = get::<String>(m, "user").or_else(|| url.user.clone());
    let password = get::<String>(m, "password").or_else(|| url.password.clone());
    let clients = get_number(m, "clients");
    let spread = get(m, "join-spread").unwrap_or(5 * clients);
    let config = load::Config {
        url,
        clients: clients as usize,
        udp: get::<String>(m, "transport").is_some_and(|t| t == "udp"),
        length: get(m, "seconds").unwrap_or_default(),
        login: user.map(|user| Login { user, password: password.unwrap_or_default() }),
        join_spread: Nanos::from_millis(u64::from(spread)),
        settle: Nanos::from_millis(u64::from(get_number(m, "settle"))),
        stops: get_all(m, "stop-client"),
        server_pids: get_all(m, "server-pid"),
        baseline: get(m, "baseline").unwrap_or_default(),
    };
    let report = load::run(&config)?;
    show(m, &report)?;
    Ok(if m.get_flag("strict") { report.clean } else { report.playing == report.clients })
}

fn run_ws(m: &ArgMatches) -> Result<bool, String> {
    let report = ws::run(&ws::Config {
        url: get(m, "url").unwrap_or_default(),
        clients: get_number(m, "clients") as usize,
        rounds: get_number(m, "rounds"),
        setters: get_number(m, "setters") as usize,
        length: get(m, "seconds").unwrap_or_default(),
        key: get(m, "key").unwrap_or_default(),
        user: get(m, "user").unwrap_or_default(),
        password: get(m, "password").unwrap_or_default(),
        server_pids: get_all(m, "server-pid"),
    })?;
    show(m, &report)?;
    Ok(report.lost == 0)
}

/// Prints a report, for people or with `--json` for programs.
fn show(m: &ArgMatches, report: &(impl Serialize + std::fmt::Display)) -> Result<(), String> {
    if m.get_flag("json") {
        return print(&(serde_json::to_string_pretty(report).map_err(|e| e.to_string())? + "\n"));
    }
    print(&report.to_string())
}

fn run_tap(m: &ArgMatches) -> Result<bool, String> {
    let report = tap::run(&tap::Config {
        socket: get::<String>(m, "socket").unwrap_or_default().into(),
        stream: get(m, "stream").unwrap_or_default(),
        clients: get_number(m, "clients") as usize,
        length: get(m, "seconds").unwrap_or_default(),
        mode: match get::<String>(m, "mode").as_deref() {
            Some("latest") => Mode::Latest,
            _ => Mode::Every,
        },
    })?;
    show(m, &report)?;
    Ok(report.lost == 0)
}

fn run_catalogue(m: &ArgMatches) -> Result<bool, String> {
    let report = catalogue::run(&catalogue::Config {
        rows: u64::from(get_number(m, "rows")),
        rounds: u64::from(get_number(m, "rounds")),
        file: get::<String>(m, "file").map(Into::into),
    })?;
    show(m, &report)?;
    Ok(true)
}

fn run_record(m: &ArgMatches) -> Result<bool, String> {
    let report = record::run(&record::Config {
        http: get(m, "http").unwrap_or_default(),
        url: RtspUrl::parse(&get::<String>(m, "url").unwrap_or_default())?,
        login: Login {
            user: get(m, "user").unwrap_or_default(),
            password: get(m, "password").unwrap_or_default(),
        },
        rounds: get_number(m, "rounds"),
        length: get(m, "seconds").unwrap_or_default(),
        server_pids: get_all(m, "server-pid"),
    })?;
    show(m, &report)?;
    Ok(report.lost == 0)
}

fn run_sender(m: &ArgMatches) -> Result<bool, String> {
    let listen = get::<String>(m, "listen").unwrap_or_default();
    let config = sender::Config {
        listen: listen.parse().map_err(|e| format!("--listen {listen}: {e}"))?,
        udp_only: get::<String>(m, "transport").map(|t| t == "udp"),
        clients: get::<u32>(m, "clients").map(|n| n as usize),
        bitrate: get_number(m, "bitrate"),
        fps: get_number(m, "fps"),
        gop: get_number(m, "gop"),
    };
    let mut sender = Sender::bind(config).map_err(|e| format!("{listen}: {e}"))?;
    print(&format!("listening {}\n", sender.url()))?;
    let skipped = sender.run().map_err(|e| e.to_string())?;
    print(&format!("{skipped} frames skipped for clients that read too slowly\n"))?;
    Ok(skipped == 0)
}

fn run_compare(m: &ArgMatches, again: &[&str]) -> Result<bool, String> {
    let mut contestants = Vec::new();
    if let Some(url) = get::<String>(m, "url") {
        let pids = get_all(m, "server-pid");
        contestants.push(Contestant { name: "lensd".to_owned(), url, pids });
    }
    contestants.extend(get_all::<Contestant>(m, "peer"));
    let comparison = compare::run(&compare::Config {
        contestants,
        cpu_clients: get_number(m, "clients"),
        latency_clients: get_number(m, "latency-clients"),
        rounds: get_number(m, "rounds"),
        length: get(m, "seconds").unwrap_or_default(),
        bitrate: get_number(m, "bitrate"),
        fps: get_number(m, "fps"),
        login: login(m),
        again: again.iter().map(|&a| a.to_owned()).collect(),
    })?;
    let text = if m.get_flag("json") {
        serde_json::to_string_pretty(&comparison).map_err(|e| e.to_string())? + "\n"
    } else {
        comparison.to_string()
    };
    print(&text)?;
    Ok(comparison.rows.iter().all(|row| row.clean_runs == row.runs))
}

fn run_latency(m: &ArgMatches, again: &[&str]) -> Result<bool, String> {
    let own = get::<String>(m, "url");
    let own = own.map(|url| Contestant { name: "lensd".to_owned(), url, pids: Vec::new() });
    let table = latency::run(&latency::Config {
        runs: compare::Config {
            contestants: own.into_iter().chain(get_all::<Contestant>(m, "peer")).collect(),
            cpu_clients: 0,
            latency_clients: 0,
            rounds: get_number(m, "rounds"),
            length: get(m, "seconds").unwrap_or_default(),
            bitrate: get_number(m, "bitrate"),
            fps: get_number(m, "fps"),
            login: login(m),
            again: again.iter().map(|&a| a.to_owned()).collect(),
        },
        clients: get_all(m, "clients"),
        http: get(m, "http"),
        stream: get(m, "stream").unwrap_or_default(),
    })?;
    let text = if m.get_flag("json") {
        serde_json::to_string_pretty(&table).map_err(|e| e.to_string())? + "\n"
    } else {
        table.to_string()
    };
    print(&text)?;
    Ok(table.rows.iter().all(|row| row.clean_runs == table.rounds && row.is_measured()))
}

fn login(m: &ArgMatches) -> Option<Login> {
    let password = || get(m, "password").unwrap_or_default();
    get::<String>(m, "user").map(|user| Login { user, password: password() })
}

/// Prints; a closed stdout is an error and no panic.
fn print(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| format!("stdout: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn options_of_the_load_client() {
        let line = ["bench", "rtsp", "--url", "rtsp://h/s", "--server-pid", "1,2"];
        let matches = command().try_get_matches_from(line).unwrap();
        let (_, m) = matches.subcommand().unwrap();
        assert_eq!(get_all::<u32>(m, "server-pid"), [1, 2]);
        assert_eq!(get::<Nanos>(m, "seconds"), Some(Nanos::from_secs(10)));
        for bad in ["--clients=0", "--seconds=x", "--transport=quic", "--stop-client=1@2"] {
            let line = ["bench", "rtsp", "--url", "rtsp://h/s", bad];
            assert!(command().try_get_matches_from(line).is_err(), "{bad}");
        }
    }
}
