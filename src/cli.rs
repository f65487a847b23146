//! The command line, made from the table of settings.

use crate::settings::{self, Kind, SETTINGS, Settings, Sources};
use crate::supervise;
use crate::user;
use clap::{Arg, ArgAction, ArgMatches, Command};
use lensd_engine::camera::spec::CameraSpec;
use lensd_ffi::link::Link;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::filter::LevelFilter;

/// The file that is read when none is named, if it exists.
const DEFAULT_FILE: &str = "lensd.toml";

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    // The planes' own entrances, for the supervisor only: no options, a leash as standard input.
    match std::env::args().nth(1).as_deref() {
        Some("engine") => return plane("engine", lensd_engine::run::run),
        Some("control") => return plane("control", lensd_control::run),
        Some("bench") => {
            let args: Vec<OsString> = std::env::args_os().skip(2).collect();
            return lensd_benches::main(&args, &["bench"]);
        }
        _ => {}
    }
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    match matches.subcommand() {
        Some(("version", _)) => {
            println!("{}", version(&matches));
            ExitCode::SUCCESS
        }
        Some(("check", sub)) if sub.get_flag("keys") => {
            print!("{}", settings::reference());
            ExitCode::SUCCESS
        }
        Some(("check", sub)) => check(sub),
        Some(("user", sub)) => users(sub),
        Some(("devices", sub)) => devices(sub.get_flag("json")),
        Some(("run", sub)) => run(sub),
        _ => run(&matches),
    }
}

fn command() -> Command {
    let mut command = Command::new("lensd")
        .about("Camera server: finds the cameras of this machine and serves them")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_negates_reqs(true)
        .args(options())
        .subcommand(Command::new("run").about("Starts the server (the default)"))
        .subcommand(
            Command::new("check").about("Validates the settings; exit code 0 or 1").arg(
                Arg::new("keys")
                    .long("keys")
                    .action(ArgAction::SetTrue)
                    .help("Lists all keys of the settings file instead"),
            ),
        )
        .subcommand(
            Command::new("devices")
                .about("V4L2 cameras and encoders with their formats, sizes, rates and controls")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As JSON")),
        )
        .subcommand(user::command())
        .subcommand(Command::new("version").about("Version, variant and features"));
    command = command.subcommand(
        Command::new("bench").about("Load generator and latency meter; see `lensd bench --help`"),
    );
    command
}

/// The settings that have an option, which may stand before a sub-command or behind it.
fn options() -> Vec<Arg> {
    let mut args = vec![
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .help("Settings file [default: lensd.toml if it exists] [env: LENSD_CONFIG]"),
        Arg::new("camera")
            .long("camera")
            .value_name("SPEC")
            .action(ArgAction::Append)
            .help("A camera: v4l2:/dev/video0, v4l2:serial=…, test:, file:PATH, publish:NAME; repeatable [env: LENSD_CAMERA]"),
    ];
    for setting in SETTINGS {
        let Some(option) = setting.option else { continue };
        let help = format!("{} [env: {}]", setting.help, setting.environment());
        let arg = Arg::new(option).long(option).help(help);
        args.push(match setting.kind {
            Kind::Flag => arg.action(ArgAction::SetTrue),
            Kind::Address => arg.value_name("ADDR"),
            _ if option == "data" => arg.value_name("DIR"),
            _ => arg.value_name("NAME"),
        });
    }
    args.into_iter().map(|arg| arg.global(true)).collect()
}

fn load(matches: &ArgMatches) -> Result<(Settings, Option<PathBuf>), ExitCode> {
    let environment = |name: &str| std::env::var(name).ok();
    let named =
        matches.get_one::<String>("config").cloned().or_else(|| environment("LENSD_CONFIG"));
    let file = match named {
        Some(path) => (PathBuf::from(path), true),
        None => (PathBuf::from(DEFAULT_FILE), false),
    };
    let mut given = Vec::new();
    for setting in SETTINGS {
        let Some(option) = setting.option else { continue };
        match setting.kind {
            Kind::Flag if matches.get_flag(option) => given.push((option, "true".to_owned())),
            Kind::Flag => {}
            _ => given.extend(matches.get_one::<String>(option).map(|v| (option, v.clone()))),
        }
    }
    let cameras = matches.get_many::<String>("camera").into_iter().flatten().cloned().collect();
    let read = file.0.exists().then(|| file.0.clone());
    let sources = Sources { file: Some(file), environment: &environment, options: given, cameras };
    match settings::load(&sources) {
        Ok(settings) => Ok((settings, read)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("lensd: {problem}");
            }
            Err(ExitCode::FAILURE)
        }
    }
}

fn run(matches: &ArgMatches) -> ExitCode {
    match load(matches) {
        Ok((settings, _)) => {
            log("supervisor", settings.json_logs);
            supervise::run(settings)
        }
        Err(code) => code,
    }
}

fn check(matches: &ArgMatches) -> ExitCode {
    match load(matches) {
        Ok((settings, file)) => {
            let from =
                file.map_or_else(|| "no settings file".to_owned(), |f| f.display().to_string());
            println!("{from}: the settings are valid");
            for (i, camera) in settings.engine.cameras.iter().enumerate() {
                let shown = match camera.source.parse::<CameraSpec>() {
                    Ok(spec @ CameraSpec::Rtsp { .. }) => spec.shown(),
                    _ => camera.source.clone(),
                };
                println!("  camera {}: {shown}", i + 1);
            }
            ExitCode::SUCCESS
        }
        Err(code) => code,
    }
}

fn version(matches: &ArgMatches) -> String {
    let variant = load(matches).map_or_else(|_| "DEFAULT".to_owned(), |(s, _)| s.variant);
    format!(
        "lensd {}\nvariant: {variant}\nfeatures: v4l2 test file publish openh264 m2m jpeg rtsp rtsps webrtc hls http https websocket onvif recording tap",
        env!("CARGO_PKG_VERSION")
    )
}

/// Administers users.
fn users(matches: &ArgMatches) -> ExitCode {
    let Some((verb, sub)) = matches.subcommand() else { return ExitCode::from(2) };
    let (settings, _) = match load(sub) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match user::run(verb, sub, &settings.engine.data) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("lensd: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a plane on the leash that the supervisor gave it as its standard input.
fn plane(name: &'static str, body: fn(Link) -> ExitCode) -> ExitCode {
    log(name, std::env::var("LENSD_JSON_LOGS").is_ok_and(|v| v == "1"));
    let stdin = std::io::stdin();
    let socket = rustix::net::sockopt::socket_type(stdin.as_fd());
    match (socket, stdin.as_fd().try_clone_to_owned()) {
        (Ok(rustix::net::SocketType::SEQPACKET), Ok(fd)) => {
            let watched = fd.try_clone().and_then(supervise::end_with_supervisor);
            if let Err(e) = watched {
                tracing::warn!("nobody sees to it that this process ends with its supervisor: {e}");
            }
            body(Link::from_fd(fd))
        }
        _ => {
            eprintln!("lensd: `lensd {name}` is started by `lensd run` only");
            ExitCode::from(2)
        }
    }
}

/// Lists the devices of this machine.
fn devices(json: bool) -> ExitCode {
    let list = lensd_engine::camera::devices::list();
    if json {
        match serde_json::to_string_pretty(&list) {
            Ok(text) => println!("{text}"),
            Err(e) => {
                eprintln!("lensd: {e}");
                return ExitCode::FAILURE;
            }
        }
    } else if list.is_empty() {
        println!("no V4L2 camera or encoder; `lensd run` shows the built-in test camera");
    } else {
        print!("{}", lensd_engine::camera::devices::table(&list));
    }
    ExitCode::SUCCESS
}

fn log(process: &'static str, json: bool) {
    let level = std::env::var("LENSD_LOG").ok().and_then(|l| l.parse().ok());
    let level: LevelFilter = level.unwrap_or(LevelFilter::INFO);
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    if json {
        builder.json().flatten_event(true).init();
    } else {
        builder.with_target(false).with_ansi(false).init();
    }
    tracing::debug!(process, "started");
}
