//! The store's promise: what was confirmed is there, and nothing is there by halves, whenever the
//! process is killed.
//!
//! The test starts itself again as a writer, which stores numbered sets of changes and prints the
//! number of each one once it is confirmed. It is killed (`SIGKILL`) after some of them, at a moment
//! that nobody chooses, and the store is opened again. 40 times; 1,000 with `LENSD_LONG=1`.

use lensd_control::store::Store;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Keys of a set: all of them bear its number.
const KEYS: usize = 5;

fn main() -> ExitCode {
    if let Some(data) = std::env::var_os("LENSD_KILLED_WRITER") {
        write_for_ever(Path::new(&data));
    }
    // What `cargo nextest` and `cargo test` ask of a test without the standard harness.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        if !args.iter().any(|a| a == "--ignored") {
            println!("confirmed_changes_outlive_a_kill: test");
        }
        return ExitCode::SUCCESS;
    }
    let name = args.iter().find(|a| !a.starts_with('-'));
    if name.is_none_or(|n| "confirmed_changes_outlive_a_kill".contains(n.as_str())) {
        confirmed_changes_outlive_a_kill();
    }
    ExitCode::SUCCESS
}

/// The settings of set `n`. Their sizes differ, so that values move between pages and off them;
/// every seventh set also removes and makes a key.
fn set(n: u64) -> Vec<(String, Option<Value>)> {
    let text = |i: u64| "x".repeat(usize::try_from((n * 131 + i * 977) % 6000).unwrap());
    let mut out: Vec<(String, Option<Value>)> =
        (0..KEYS as u64).map(|i| (format!("key{i}"), Some(json!([n, text(i)])))).collect();
    let extra = n.is_multiple_of(7).then(|| json!(n));
    out.push(("extra".to_owned(), extra));
    out
}

/// The number of the set that is stored.
///
/// # Panics
/// When it is there by halves.
fn stored(store: &Store) -> u64 {
    let found = store.load_settings();
    if found.is_empty() {
        return 0;
    }
    let n = found["key0"][0].as_u64().unwrap();
    let want = set(n).into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
    assert!(found == want, "set {n} is there by halves");
    n
}

fn write_for_ever(data: &Path) -> ! {
    let store = Store::open(data).unwrap();
    let mut out = std::io::stdout().lock();
    for n in stored(&store) + 1.. {
        store.save_settings(&set(n)).unwrap();
        writeln!(out, "{n}").unwrap();
        out.flush().unwrap();
    }
    unreachable!()
}

fn confirmed_changes_outlive_a_kill() {
    let long = std::env::var("LENSD_LONG").is_ok_and(|v| v == "1");
    let data: PathBuf = std::env::temp_dir().join(format!("lensd-killed-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let mut last = 0;
    for round in 0..if long { 1000 } else { 40 } {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("LENSD_KILLED_WRITER", &data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        // None, too: then it is killed while it opens.
        let mut line = String::new();
        for _ in 0..round % 6 {
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        let whole = format!("{line}{rest}");
        let confirmed = whole
            .split_inclusive('\n')
            .filter_map(|l| l.strip_suffix('\n')?.parse().ok())
            .next_back()
            .unwrap_or(last);

        let store = Store::open(&data).unwrap();
        assert!(store.notes().is_empty(), "{:?}", store.notes());
        let found = stored(&store);
        // One more may be on the disk whose confirmation was not printed.
        assert!(
            (confirmed..=confirmed + 1).contains(&found),
            "{confirmed} confirmed, {found} found"
        );
        last = found;
    }
    assert!(last > 0);
    std::fs::remove_dir_all(&data).unwrap();
}
