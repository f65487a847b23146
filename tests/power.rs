//! Power goes while lensd records: `tests/power/power.py` cuts it, starts lensd on what is left, and
//! looks for what was captured until half a second before.
//!
//! With `LENSD_LONG=1` hundreds of times; `tests/power/power.py kill|cut target/debug/lensd COUNT` as
//! often as one likes.
#![allow(missing_docs)]

mod play;

use play::{LENSD, linked_tool, run};
use std::process::Command;

fn power(what: &str, few: &str, many: &str) {
    let long = std::env::var("LENSD_LONG").is_ok_and(|long| long == "1");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/power.py");
    let mut command = Command::new(linked_tool("python3"));
    command.args([script, what, LENSD, if long { many } else { few }]);
    println!("{}", String::from_utf8_lossy(&run(&mut command).out));
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
