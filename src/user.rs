//! `lensd user`: users without the server's HTTP.
//!
//! While a server runs on the data folder, it is asked over its socket, so that a change is valid at
//! once; otherwise the store is opened here, under the folder's lock. A password never stands in the
//! arguments, where every process of the machine could read it: it comes by standard input, or is
//! made up and printed.

use crate::data;
use clap::{Arg, ArgAction, ArgMatches, Command as Cli};
use lensd_control::accounts::{Accounts, Command, Done, obey};
use lensd_control::audit::{Audit, Event};
use lensd_control::store::Store;
use lensd_control::{local, password};
use lensd_ffi::time::{Nanos, now, utc_now};
use parking_lot::Mutex;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a server that is just starting, or busy, is waited for.
const PATIENCE: Nanos = Nanos::from_secs(10);
/// Longest line that is read as a password.
const MAX_LINE: u64 = 1024;

/// The command.
pub(crate) fn command() -> Cli {
    let verb = |name: &'static str, about: &'static str| Cli::new(name).about(about);
    let name = || Arg::new("name").value_name("NAME").required(true);
    let generate = || {
        Arg::new("generate")
            .long("generate")
            .action(ArgAction::SetTrue)
            .help("Makes a password up and prints it")
    };
    let input = "The password is read from standard input; without one it is made up and printed";
    Cli::new("user")
        .about("Adds, changes, lists and removes users, also while the server runs")
        .subcommand_required(true)
        .subcommand(
            verb("add", "Adds a user").after_help(input).arg(name()).arg(generate()).arg(
                Arg::new("role")
                    .long("role")
                    .value_name("ROLE")
                    .default_value("viewer")
                    .help("administrator, operator, viewer, or a role of your own"),
            ),
        )
        .subcommand(
            verb("passwd", "Sets a user's password").after_help(input).arg(name()).arg(generate()),
        )
        .subcommand(
            verb("role", "Sets a user's role")
                .arg(name())
                .arg(Arg::new("role").value_name("ROLE").required(true)),
        )
        .subcommand(verb("rm", "Removes a user").arg(name()))
        .subcommand(
            verb("list", "Lists the users")
                .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("As JSON")),
        )
}

/// Does what a verb asks for.
///
/// # Errors
/// One line: what is wrong.
pub(crate) fn run(verb: &str, matches: &ArgMatches, folder: &Path) -> Result<(), String> {
    let folder = &*data::used(folder);
    let text = |id: &str| matches.get_one::<String>(id).cloned().unwrap_or_default();
    let name = if verb == "list" { String::new() } else { text("name") };
    let mut made = None;
    let mut password = || -> Result<String, String> {
        let (password, is_made) = take_password(matches.get_flag("generate"))?;
        made = is_made.then(|| password.clone());
        Ok(password.to_string())
    };
    let command = match verb {
        "add" => Command::Add { role: text("role"), password: password()?, name },
        "passwd" => Command::Passwd { password: password()?, name },
        "role" => Command::Role { role: text("role"), name },
        "rm" => Command::Rm { name },
        _ => Command::List,
    };
    if verb != "add" && !folder.join("state").exists() {
        let shown = folder.display();
        return Err(format!(
            "there are no users in {shown}: --data names the server's data folder"
        ));
    }
    let done = ask(folder, &command)?;
    if let Some(error) = done.error {
        return Err(error);
    }
    if let Some(password) = made {
        println!("password: {}", *password);
    }
    if verb == "list" {
        show(&done, matches.get_flag("json"));
    }
    Ok(())
}

fn show(done: &Done, json: bool) {
    if json {
        let user =
            |(name, role): &(String, String)| serde_json::json!({ "username": name, "role": role });
        let users: Vec<serde_json::Value> = done.users.iter().map(user).collect();
        println!("{}", serde_json::json!(users));
        return;
    }
    let width = done.users.iter().map(|(n, _)| n.len()).max().unwrap_or(0);
    for (name, role) in &done.users {
        println!("{name:width$}  {role}");
    }
}

/// A line of standard input, unless that is a terminal (on which it could be read) or is empty.
fn take_password(generate: bool) -> Result<(Zeroizing<String>, bool), String> {
    let input = io::stdin();
    if !generate && !input.is_terminal() {
        let mut line = Zeroizing::new(String::new());
        let read = input.lock().take(MAX_LINE).read_line(&mut line);
        read.map_err(|e| format!("the password cannot be read: {e}"))?;
        let password = line.trim_end_matches(['\r', '\n']);
        if !password.is_empty() {
            return Ok((Zeroizing::new(password.to_owned()), false));
        }
    }
    let made = password::generate().map_err(|e| e.to_string())?;
    Ok((Zeroizing::new(made), true))
}

/// Asks the server that runs, or does it here if none does.
fn ask(folder: &Path, command: &Command) -> Result<Done, String> {
    for part in ["", "state", "run", "logs"] {
        data::make_folder(&folder.join(part)).map_err(|e| e.why)?;
    }
    let end = now().plus(PATIENCE);
    loop {
        if let Some(_lock) = data::lock(folder).map_err(|e| e.why)? {
            return here(folder, command);
        }
        let why = match local::ask(folder, command) {
            Ok(done) => return Ok(done),
            Err(e) => e,
        };
        // It may be starting, or its control plane coming back.
        if now() >= end {
            return Err(format!("a server uses {} and does not answer: {why}", folder.display()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn here(folder: &Path, command: &Command) -> Result<Done, String> {
    let store = Store::open(folder).map_err(|e| e.to_string())?;
    for note in store.notes() {
        eprintln!("lensd: {note}");
    }
    let mut accounts = Accounts::new(Arc::new(store), false);
    let now_ms = utc_now().millis();
    if let Some(note) = accounts.take_over(folder, now_ms) {
        eprintln!("lensd: {note}");
    }
    let done = obey(&Mutex::new(accounts), command, now_ms);
    if done.error.is_none() && !matches!(command, Command::List) {
        let (what, subject) = command.subject();
        let event = Event { what, subject, from: "lensd user", ..Event::default() };
        Audit::open(folder).note(&event, now_ms);
    }
    Ok(done)
}
