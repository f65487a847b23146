//! Power goes, and storage fails, while lensd records: `tests/power/power.py` cuts it, starts lensd on
//! what is left, and looks for what was captured until half a second before; `tests/power/storage.py`
//! takes the disk away.
//!
//! With `LENSD_LONG=1` hundreds of times; `tests/power/power.py kill|cut target/debug/lensd COUNT` as
//! often as one likes.
#![allow(missing_docs)]

mod play;

use play::{LENSD, linked_tool, run};
use std::process::Command;

fn script(name: &str, args: &[&str]) {
    let path = format!("{}/tests/power/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(linked_tool("python3"));
    println!("{}", String::from_utf8_lossy(&run(command.arg(path).args(args)).out));
}

fn power(what: &str, few: &str, many: &str) {
    let long = std::env::var("LENSD_LONG").is_ok_and(|long| long == "1");
    script("power.py", &[what, LENSD, if long { many } else { few }]);
}

/// What the kernel has is not lost with the process: a group at most.
#[test]
fn an_engine_that_is_killed_loses_less_than_half_a_second() {
    power("kill", "20", "300");
}

/// What was not synced is lost, or arrives in parts.
#[test]
fn a_disk_whose_power_goes_loses_less_than_half_a_second() {
    power("cut", "10", "500");
}

#[test]
fn a_start_among_many_recordings() {
    power("many", "2000", "100000");
}

#[test]
fn a_full_disk() {
    script("storage.py", &["full", LENSD]);
}

#[test]
fn a_disk_on_which_the_oldest_make_room() {
    script("storage.py", &["replace", LENSD]);
}

#[test]
fn a_disk_that_cannot_be_written() {
    script("storage.py", &["read-only", LENSD]);
}

/// The disk of the data folder itself, before the first start and before a later one.
#[test]
fn a_data_folder_that_cannot_be_written() {
    script("folder.py", &["new-read-only", LENSD]);
    script("folder.py", &["read-only", LENSD]);
}

#[test]
fn a_data_folder_on_a_full_disk() {
    script("folder.py", &["new-full", LENSD]);
    script("folder.py", &["full", LENSD]);
}

#[test]
fn a_disk_that_is_gone() {
    script("storage.py", &["gone", LENSD]);
}

/// Recorded is what it can keep up with, in whole groups; what it cannot is counted.
#[test]
fn a_disk_that_is_too_slow() {
    script("storage.py", &["slow", LENSD]);
}

/// Wherever recordings are carried to, and whatever becomes of that.
#[test]
fn a_share_that_takes_recordings() {
    script("carry.py", &["folder", LENSD]);
}

#[test]
fn a_share_that_is_full() {
    script("carry.py", &["full", LENSD]);
}

#[test]
fn a_share_that_is_gone() {
    script("carry.py", &["gone", LENSD]);
}

#[test]
fn a_share_that_does_not_answer() {
    script("carry.py", &["stalled", LENSD]);
}

#[test]
fn a_control_plane_that_is_killed_while_it_copies() {
    script("carry.py", &["killed", LENSD]);
}

#[test]
fn uploads_go_on_where_they_were() {
    script("carry.py", &["resumed", LENSD, &tools()]);
}

#[test]
fn a_server_that_refuses_or_dies() {
    script("carry.py", &["refused", LENSD, &tools()]);
}

/// Where tests/setup.sh has put things.
fn tools() -> String {
    linked_tool("python3").parent().unwrap().display().to_string()
}

#[test]
fn a_disk_that_does_not_answer() {
    script("storage.py", &["stalled", LENSD]);
}
