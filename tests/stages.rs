//! The order of start and end, as the log shows it.
#![allow(missing_docs)]

mod play;

use play::{Play, until};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn stages_are_in_the_log_in_their_order() {
    let server = Play::new().users().start();
    let rows = |what: &str| -> Vec<String> {
        let log = server.log();
        let rows = log.lines().filter_map(|line| Some(line.split_once(&format!(" {what} "))?.1));
        rows.filter(|row| row.contains("/")).map(|row| row.trim().to_owned()).collect()
    };
    let want = ["factory", "network", "storage", "users", "settings", "certificate", "servers"];
    let want: Vec<String> =
        want.iter().enumerate().map(|(i, name)| format!("{}/7 {name}: done", i + 1)).collect();
    assert_eq!(rows("start"), want);
    let control = Pid::from_raw(server.plane("control")).unwrap();
    // The supervisor, and not the plane, is told to end: it ends the plane in order.
    kill_process(Pid::from_raw(server.supervisor()).unwrap(), Signal::TERM).unwrap();
    until("the end", || rustix::process::test_kill_process(control).is_err().then_some(()));
    assert_eq!(rows("stop"), ["1/3 servers: done", "2/3 streams: done", "3/3 storage: done"]);
}
