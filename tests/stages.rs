//! The order of start and end, as the log shows it.
#![allow(missing_docs)]

mod play;

use lensd_ffi::stages::{Plane, START, STOP, Stage};
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
    // Each plane in its order; which of them is faster is not said.
    let want = |what: &str, table: &[Stage], plane: Plane| -> Vec<String> {
        let own = table.iter().enumerate().filter(|(_, stage)| stage.0 == plane);
        let line = |i: usize, name: &str| format!("{}/{} {name}: done", i + 1, table.len());
        let lines: Vec<String> = own.map(|(i, stage)| line(i, stage.1)).collect();
        let found: Vec<String> = rows(what).into_iter().filter(|row| lines.contains(row)).collect();
        assert_eq!(found, lines, "{what}");
        lines
    };
    let all = [want("start", START, Plane::Engine), want("start", START, Plane::Control)];
    assert_eq!(rows("start").len(), all.concat().len());
    let control = Pid::from_raw(server.plane("control")).unwrap();
    // The supervisor, and not the plane, is told to end: it ends the plane in order.
    kill_process(Pid::from_raw(server.supervisor()).unwrap(), Signal::TERM).unwrap();
    until("the end", || rustix::process::test_kill_process(control).is_err().then_some(()));
    until("its last word", || (rows("stop").len() == STOP.len()).then_some(()));
    let names = STOP.iter().enumerate();
    let want: Vec<String> =
        names.map(|(i, stage)| format!("{}/{} {}: done", i + 1, STOP.len(), stage.1)).collect();
    assert_eq!(rows("stop"), want, "one after the other");
}
